//! What every source file must have, and must not.

use super::tree::Source;

/// A file is wondered at from 500 lines on and refused above this.
const LINES_MAX: usize = 800;

/// The module's own comment starts within so many lines; an attribute or two may precede it.
const HEADER_LINES: usize = 5;

/// What unfinished code and tests that hide something look like. In pieces, so that this file does
/// not contain what it looks for.
const REFUSED: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "a test that does not run"),
    (concat!("#[should", "_panic"), "a test that hides what it checks"),
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unimplemented", "!("), "unfinished code"),
    (concat!("db", "g!("), "left over from debugging"),
];

pub(crate) fn check(files: &[Source]) -> Vec<String> {
    let sources = files.iter().filter(|it| it.is("rs"));
    sources.flat_map(check_one).collect()
}

fn check_one(Source { path, text }: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if LINES_MAX < lines && !path.contains("/generated/") {
        complaints.push(format!("{path}: {lines} lines, at most {LINES_MAX} allowed"));
    }
    if !text.lines().take(HEADER_LINES).any(|it| it.starts_with("//!")) {
        complaints.push(format!("{path}: does not start with //! saying what it is"));
    }
    for (number, line) in text.lines().enumerate() {
        for (pattern, reason) in REFUSED {
            if line.contains(pattern) {
                complaints.push(format!("{path}:{}: {pattern}: {reason}", number + 1));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, expected: &[&str]) {
        let source = Source { path: "a.rs".to_owned(), text: text.to_owned() };
        assert_eq!(check_one(&source), expected);
    }

    #[test]
    fn a_file_says_what_it_is() {
        check_text("//! A thing.\n", &[]);
        check_text("#![no_main]\n//! A thing.\n", &[]);
        check_text("fn main() {}\n", &["a.rs: does not start with //! saying what it is"]);
    }

    #[test]
    fn a_long_file_is_refused() {
        let text = format!("//! Long.\n{}", "\n".repeat(800));
        check_text(&text, &["a.rs: 801 lines, at most 800 allowed"]);
    }

    #[test]
    fn unfinished_code_is_named_with_its_line() {
        let text = format!("//! A thing.\nfn f() {{ {}) }}\n", REFUSED[2].0);
        let expected = format!("a.rs:2: {}: unfinished code", REFUSED[2].0);
        check_text(&text, &[&expected]);
    }
}
