//! The rules of the house that no compiler checks.
//!
//! Each check takes what it reads as text or as a list and returns what is wrong, one line each,
//! so that its tests need no repository. Enter at [`run`].

mod changelog;
mod direction;
mod documents;
mod limits;
mod links;
mod sources;
mod tree;

use std::path::Path;

use tree::Source;

/// Shelves whose error codes and limits users meet.
const PRODUCT: &[&str] = &["contract/", "crates/", "modules/"];

/// Renews what can be made from the sources.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let files = tree::read(root)?;
    if let Some((path, text)) = limits::renewed(&files, &product(&files))? {
        std::fs::write(root.join(path), text).map_err(|err| format!("{path}: {err}"))?;
        println!("{path}: written");
    }
    Ok(())
}

/// Runs every check and prints everything that is wrong.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let complaints = check(root)?;
    for complaint in &complaints {
        println!("{complaint}");
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(format!("{} things are untidy; they are listed above", complaints.len()))
    }
}

fn check(root: &Path) -> Result<Vec<String>, String> {
    let files = tree::read(root)?;
    let product = product(&files);
    let workspace = direction::Workspace::read(root)?;
    let mut complaints = direction::check(&workspace);
    complaints.extend(direction::check_document(tree::text(&files, "ARCHITECTURE.md")?));
    complaints.extend(direction::check_manifests(&files));
    complaints.extend(sources::check(&files));
    complaints.extend(limits::check(&files, &product));
    complaints.extend(documents::check(&files, &product)?);
    complaints.extend(links::check(root, &files));
    complaints.extend(changelog::check(&files));
    Ok(complaints)
}

/// The sources of what ships, without the tests at a file's end.
fn product(files: &[Source]) -> Vec<Source> {
    let ships = |it: &str| PRODUCT.iter().any(|shelf| it.starts_with(shelf));
    let tests = |it: &str| it.contains("/tests/") || it.contains("exeunt-testkit");
    let chosen = files.iter().filter(|it| it.is("rs") && ships(&it.path) && !tests(&it.path));
    chosen.map(Source::without_tests).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let complaints = super::check(&crate::root()).unwrap();
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }
}
