//! Fragments of the change log: `changelog.d/NNNN-slug.md`, the first line `kind: …`.

use super::tree::Source;

/// Kinds of change, as the change log groups them.
const KINDS: &[&str] = &["added", "changed", "fixed", "security"];

pub(crate) fn check(files: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Source { path, text } in files {
        let Some(name) = path.strip_prefix("changelog.d/") else { continue };
        if name == "README.md" {
            continue;
        }
        if !well_named(name) {
            complaints.push(format!("{path}: is not called NNNN-slug.md"));
        }
        let mut lines = text.lines();
        let kind = lines.next().and_then(|it| it.strip_prefix("kind: "));
        if !kind.is_some_and(|it| KINDS.contains(&it)) {
            complaints.push(format!("{path}: line 1 is not \"kind: {}\"", KINDS.join("|")));
        }
        if !lines.any(|it| !it.trim().is_empty()) {
            complaints.push(format!("{path}: says nothing"));
        }
    }
    complaints
}

fn well_named(name: &str) -> bool {
    let parts = name.strip_suffix(".md").and_then(|it| it.split_once('-'));
    parts.is_some_and(|(number, slug)| {
        let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        number.len() == 4
            && number.chars().all(|it| it.is_ascii_digit())
            && !slug.is_empty()
            && slug.chars().all(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_fragment(name: &str, text: &str, expected: usize) {
        let source = Source { path: format!("changelog.d/{name}"), text: text.to_owned() };
        let complaints = check(&[source]);
        assert_eq!(complaints.len(), expected, "{complaints:?}");
    }

    #[test]
    fn a_fragment_has_a_number_a_kind_and_something_to_say() {
        check_fragment("0001-first.md", "kind: added\n\nThere is a CA.\n", 0);
        check_fragment("first.md", "kind: added\n\nThere is a CA.\n", 1);
        check_fragment("0001-first.md", "kind: new\n\nThere is a CA.\n", 1);
        check_fragment("0001-First.md", "", 3);
    }
}
