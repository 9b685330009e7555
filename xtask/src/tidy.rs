//! The rules of the house that no compiler checks.
//!
//! Each check takes what it reads as text or as a list and returns what is wrong, one line each,
//! so that its tests need no repository. Enter at [`run`].

mod changelog;
mod direction;
mod documents;
mod sources;
mod tree;

use std::path::Path;

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
    let workspace = direction::Workspace::read(root)?;
    let mut complaints = direction::check(&workspace);
    complaints.extend(direction::check_document(tree::text(&files, "ARCHITECTURE.md")?));
    complaints.extend(direction::check_manifests(&files));
    complaints.extend(sources::check(&files));
    complaints.extend(documents::check(root, &files)?);
    complaints.extend(changelog::check(&files));
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_house_is_tidy() {
        let complaints = super::check(&crate::root()).unwrap();
        assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    }
}
