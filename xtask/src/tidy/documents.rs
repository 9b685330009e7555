//! Documents that promise to be complete, and links that lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;

use super::tree::{self, Source};

/// Longest `ARCHITECTURE.md`, in lines: it is re-read as a whole, or not at all.
const ARCHITECTURE_LINES_MAX: usize = 300;

/// Shelves whose error codes and limits users meet.
const PRODUCT: &[&str] = &["contract/", "crates/", "modules/"];

pub(crate) fn check(root: &Path, files: &[Source]) -> Result<Vec<String>, String> {
    let mut complaints = Vec::new();
    let lines = tree::text(files, "ARCHITECTURE.md")?.lines().count();
    if ARCHITECTURE_LINES_MAX <= lines {
        complaints
            .push(format!("ARCHITECTURE.md: {lines} lines, under {ARCHITECTURE_LINES_MAX} wanted"));
    }
    let product: Vec<&Source> = files
        .iter()
        .filter(|it| it.is("rs") && PRODUCT.iter().any(|at| it.path.starts_with(at)))
        .filter(|it| !it.path.contains("/tests/") && !it.path.contains("exeunt-testkit"))
        .collect();

    let errors = tree::text(files, "docs/errors.md")?;
    let codes: BTreeSet<&str> = product.iter().flat_map(|it| error_codes(&it.text)).collect();
    complaints.extend(compare("docs/errors.md", "error code", &codes, &first_column(errors)));

    let limits = tree::text(files, "docs/limits.md")?;
    let names: BTreeSet<&str> = product.iter().flat_map(|it| limit_names(&it.text)).collect();
    complaints.extend(compare("docs/limits.md", "limit", &names, &first_column(limits)));

    for Source { path, text } in files.iter().filter(|it| it.is("md")) {
        let folder = root.join(path).parent().map(Path::to_owned).unwrap_or_default();
        for target in links(text) {
            if !folder.join(target).exists() {
                complaints.push(format!("{path}: the link {target} leads nowhere"));
            }
        }
    }
    Ok(complaints)
}

/// What only the sources or only the document has.
fn compare(
    document: &str,
    noun: &str,
    sources: &BTreeSet<&str>,
    written: &BTreeSet<&str>,
) -> Vec<String> {
    let missing = sources.difference(written).map(|it| format!("{document}: no {noun} {it}"));
    let stale = written
        .difference(sources)
        .map(|it| format!("{document}: {noun} {it} is not in the sources"));
    missing.chain(stale).collect()
}

/// String literals in the bodies of functions called `code` that return a text.
fn error_codes(text: &str) -> Vec<&str> {
    let mut codes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("fn code(") {
        let body = &rest[at..];
        let end = end_of_body(body);
        if body[..end].lines().next().is_some_and(|it| it.contains("&'static str")) {
            // Between quotes is every second piece; a code has no quote or backslash in it.
            let pieces = body[..end].split('"').skip(1).step_by(2);
            codes.extend(pieces.filter(|it| is_code(it)));
        }
        rest = &body[end..];
    }
    codes
}

/// Length of a function's text, by its braces.
fn end_of_body(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, it) in text.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn is_code(text: &str) -> bool {
    let plain = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
    !text.is_empty() && text.chars().all(plain)
}

/// Names of constants that end in `_MAX`.
fn limit_names(text: &str) -> Vec<&str> {
    let code = text.lines().filter(|it| !it.trim_start().starts_with("//"));
    let declared = code.filter_map(|it| it.split_once("const ")?.1.split_once(':'));
    declared.map(|(name, _)| name).filter(|it| it.ends_with("_MAX") && !it.contains(' ')).collect()
}

/// What stands between backticks in the first column of a document's tables.
fn first_column(text: &str) -> BTreeSet<&str> {
    let cells = text.lines().filter_map(|it| it.strip_prefix("| `"));
    cells.filter_map(|it| it.split_once('`')).map(|(name, _)| name).collect()
}

/// Targets of links to files of ours, without their anchors.
fn links(text: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    for piece in text.split("](").skip(1) {
        let Some((target, _)) = piece.split_once(')') else { continue };
        let foreign = target.contains("://") || target.starts_with("mailto:");
        let file = target.split('#').next().unwrap_or_default();
        if !foreign && !file.is_empty() {
            targets.push(file);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_are_the_words_in_code_functions() {
        let text = "
            fn code(&self) -> &'static str {
                match self {
                    Self::A { .. } => \"store-full\",
                    Self::B(_) => { \"store-io\" }
                }
            }
            fn other(&self) -> &'static str { \"not-a-code\" }
            fn code(self) -> i32 { let _ = \"neither\"; 8 }
        ";
        assert_eq!(error_codes(text), ["store-full", "store-io"]);
    }

    #[test]
    fn limits_are_the_constants_with_max() {
        let text = "
            pub const BODY_BYTES_MAX: usize = 1;
            const NAME_MAX: usize = 1;
            const OTHER: usize = 1;
            // const OLD_MAX: usize = 1;
        ";
        assert_eq!(limit_names(text), ["BODY_BYTES_MAX", "NAME_MAX"]);
    }

    #[test]
    fn a_table_names_things_in_its_first_column() {
        let text = "| Code | Meaning |\n|---|---|\n| `a-b` | `c-d` |\n";
        assert_eq!(first_column(text), BTreeSet::from(["a-b"]));
    }

    #[test]
    fn links_to_files_are_followed_and_others_are_not() {
        let text = "[a](docs/a.md#part) [b](https://example.org/b) [c](#here) [d](d.md)";
        assert_eq!(links(text), ["docs/a.md", "d.md"]);
    }
}
