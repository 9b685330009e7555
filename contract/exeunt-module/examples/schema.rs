//! Prints the schema of the conversation. `cargo xtask schema --write` keeps it in `schema/`.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&exeunt_module::schema::protocol())?);
    Ok(())
}
