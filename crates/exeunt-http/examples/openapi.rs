//! Prints the `OpenAPI` document. `cargo xtask tidy --write` keeps it in `docs/openapi.json`.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&exeunt_http::openapi::document())?);
    Ok(())
}
