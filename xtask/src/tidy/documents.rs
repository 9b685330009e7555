//! Documents that promise to be complete or short, and links that lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;

use super::tree::{self, Source};

/// Longest `ARCHITECTURE.md`, in lines: it is re-read as a whole, or not at all.
const ARCHITECTURE_LINES_MAX: usize = 300;

pub(crate) fn check(
    root: &Path,
    files: &[Source],
    product: &[Source],
) -> Result<Vec<String>, String> {
    let mut complaints = Vec::new();
    let lines = tree::text(files, "ARCHITECTURE.md")?.lines().count();
    if ARCHITECTURE_LINES_MAX <= lines {
        complaints
            .push(format!("ARCHITECTURE.md: {lines} lines, under {ARCHITECTURE_LINES_MAX} wanted"));
    }
    let codes = product.iter().flat_map(|it| error_codes(&it.text)).map(str::to_owned);
    let errors = tree::text(files, "docs/errors.md")?;
    let written = first_cells(errors).map(str::to_owned);
    complaints.extend(compare(
        "docs/errors.md",
        "error code",
        &codes.collect(),
        &written.collect(),
    ));

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
    sources: &BTreeSet<String>,
    written: &BTreeSet<String>,
) -> Vec<String> {
    let missing = sources.difference(written).map(|it| format!("{document}: no {noun} {it}"));
    let stale = written
        .difference(sources)
        .map(|it| format!("{document}: {noun} {it} is not in the sources"));
    missing.chain(stale).collect()
}

/// What a text literal that is an error code follows, line ends and blanks left out.
const BEFORE_CODE: &[&str] = &[
    "code:",
    "code.unwrap_or_else(||",
    "Failure::new(",
    "Failure::usage(",
    "Failure::from_error(",
    "Fault::attribute(",
    "Fault::id_invalid(",
    "Fault::not_found(",
    "Fault::store(",
];

/// Error codes: the literals in the bodies of functions called `code` that return a text, and those
/// that are given to a constructor of an error that leaves the process.
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
    let mut before = "";
    for piece in text.split('"') {
        // Whether this piece is inside or outside of a literal does not matter: what stands before
        // a code is never the end of a text.
        if is_code(piece) && gives_code(before) {
            codes.push(piece);
        }
        before = piece;
    }
    codes
}

fn gives_code(before: &str) -> bool {
    let before = before.trim_end();
    if BEFORE_CODE.iter().any(|it| before.ends_with(it)) {
        return true;
    }
    // `new(StatusCode::NOT_FOUND, `, as the edge makes its answers.
    let argument = before.strip_suffix(',').and_then(|it| it.rsplit_once("new(StatusCode::"));
    argument.is_some_and(|(_, name)| name.chars().all(|it| it.is_ascii_uppercase() || it == '_'))
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

/// The first cell of each row of a table, where it is in backticks.
fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|it| it.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name)
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
    fn error_codes_are_also_what_is_given_to_an_answer() {
        let text = "
            Failure::new(\"home-exists\", format!(\"{} is there\", path))
            Self::new(StatusCode::NOT_FOUND, \"path-unknown\", \"there\")
            Refusal { code: \"template-unknown\", status }
            let other = [\"no-code\", \"neither\"];
        ";
        assert_eq!(error_codes(text), ["home-exists", "path-unknown", "template-unknown"]);
    }

    #[test]
    fn a_table_names_things_in_its_first_column() {
        let text = "| Code | Meaning |\n|---|---|\n| `a-b` | `c-d` |\n";
        assert_eq!(first_cells(text).collect::<Vec<_>>(), ["a-b"]);
    }

    #[test]
    fn links_to_files_are_followed_and_others_are_not() {
        let text = "[a](docs/a.md#part) [b](https://example.org/b) [c](#here) [d](d.md)";
        assert_eq!(links(text), ["docs/a.md", "d.md"]);
    }
}
