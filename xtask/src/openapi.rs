//! The document of the HTTP API, committed in `docs/`, which the server hands out.
//!
//! It is made from the table of endpoints and the wire types by an example of `exeunt-http`, because this
//! crate depends on nothing of ours.

use std::path::Path;

use crate::process::{cargo, read};
use crate::schema::same;

/// Where the document is, from the root.
const DOCUMENT: &str = "docs/openapi.json";

/// Renews the document. The server that is built for it has the old one inside.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let made = made(root)?;
    std::fs::write(root.join(DOCUMENT), made).map_err(|err| format!("{DOCUMENT}: {err}"))?;
    println!("{DOCUMENT}: written");
    Ok(())
}

/// Says whether the committed document is that of the sources.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let made = made(root)?;
    let committed = std::fs::read_to_string(root.join(DOCUMENT));
    let committed = committed.map_err(|err| format!("{DOCUMENT}: {err}"))?;
    if same(&made, &committed) {
        Ok(())
    } else {
        Err(format!("{DOCUMENT} is old; run `cargo xtask tidy --write`"))
    }
}

/// The document as the sources make it.
fn made(root: &Path) -> Result<String, String> {
    let arguments = ["run", "--quiet", "--package", "exeunt-http", "--features", "schema"];
    read(cargo(root).args(arguments).args(["--example", "openapi"]))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_of_the_api_is_that_of_the_sources() {
        super::check(&crate::root()).unwrap();
    }
}
