//! Documents that promise to be complete or short.

use std::collections::BTreeSet;

use super::tree::{self, Source};

/// Longest `ARCHITECTURE.md`, in lines: it is re-read as a whole, or not at all.
const ARCHITECTURE_LINES_MAX: usize = 300;

pub(crate) fn check(files: &[Source], product: &[Source]) -> Result<Vec<String>, String> {
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

    for page in PAGES_OF_CLAIMS {
        complaints.extend(tests_missing(page, files)?);
    }
    Ok(complaints)
}

/// The pages that name tests as `crate::test`.
const PAGES_OF_CLAIMS: [&str; 2] = ["SECURITY.md", "docs/failures.md"];

/// Tests that a page names and no crate has.
fn tests_missing(page: &str, files: &[Source]) -> Result<Vec<String>, String> {
    let text = tree::text(files, page)?;
    let mut complaints = Vec::new();
    let mut named = 0;
    for (home, test) in tests_named(text) {
        named += 1;
        let is_there = files
            .iter()
            .filter(|it| it.is("rs") && it.path.split('/').any(|part| part == folder_of(home)))
            .any(|it| has_test(&it.text, test));
        if !is_there {
            complaints.push(format!("{page}: {home} has no test {test}"));
        }
    }
    if named == 0 {
        complaints.push(format!("{page}: it names no test"));
    }
    Ok(complaints)
}

/// The folder of a crate: its name, but for the one that stands at the root.
fn folder_of(home: &str) -> &str {
    if home == "exeunt-e2e" { "e2e" } else { home }
}

/// Crate and name of every test in backticks.
fn tests_named(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('`').skip(1).step_by(2).filter_map(|it| it.split_once("::"))
}

/// Whether a source has a function of that name that is a test, or that a macro `suite!` makes a test of
/// for each of several servers.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    text.match_indices(&head).any(|(at, _)| {
        let before = text[..at].trim_end_matches(|it: char| !matches!(it, '}' | ';' | '{'));
        text[before.len()..at].contains("#[test]") || is_in_suite(text, name)
    })
}

fn is_in_suite(text: &str, name: &str) -> bool {
    let suites = text.split("suite!(").skip(1).filter_map(|it| it.split_once(");\n"));
    suites.flat_map(|(list, _)| list.lines()).any(|it| it.trim().trim_end_matches(',') == name)
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
    "code =",
    "code.unwrap_or_else(||",
    "Failure::new(",
    "Failure::usage(",
    "Failure::from_error(",
    "Fault::attribute(",
    "Fault::id_invalid(",
    "Fault::not_found(",
    "Fault::store(",
    "Ruling::refuse(",
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
            tracing::error!(
                code = \"store-restored\", \"words\");
            let other = [\"no-code\", \"neither\"];
        ";
        assert_eq!(
            error_codes(text),
            ["home-exists", "path-unknown", "template-unknown", "store-restored"]
        );
    }

    #[test]
    fn a_test_that_is_named_and_is_not_there_is_a_complaint() {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let files = [
            source(
                "docs/failures.md",
                "| A. | `exeunt-a::it_is_true`, `exeunt-a::no_test` | `exeunt-e2e::far` |\n\
                 | B. | `exeunt-c::one`, `exeunt-c::two` |",
            ),
            source(
                "crates/exeunt-a/tests/it/main.rs",
                "#[test]\nfn it_is_true() {}\nfn no_test() {}\n",
            ),
            source("crates/exeunt-b/tests/it/main.rs", "#[test]\nfn no_test() {}\n"),
            source("e2e/tests/it/main.rs", "/// Words.\n#[test]\nfn far()\n{}\n"),
            source(
                "crates/exeunt-c/tests/it/main.rs",
                "suite!(a, b(), [\n        one,\n]);\nfn one(bed: &mut Bed) {}\nfn two(bed: &mut Bed) {}",
            ),
        ];
        let expected = [
            "docs/failures.md: exeunt-a has no test no_test",
            "docs/failures.md: exeunt-c has no test two",
        ];
        assert_eq!(tests_missing("docs/failures.md", &files).unwrap(), expected);
        let files = [source("SECURITY.md", "No claim is `shown`.")];
        let expected = ["SECURITY.md: it names no test"];
        assert_eq!(tests_missing("SECURITY.md", &files).unwrap(), expected);
    }

    #[test]
    fn a_table_names_things_in_its_first_column() {
        let text = "| Code | Meaning |\n|---|---|\n| `a-b` | `c-d` |\n";
        assert_eq!(first_cells(text).collect::<Vec<_>>(), ["a-b"]);
    }
}
