//! The table of limits in `docs/limits.md`, made from the constants and their comments.
//!
//! A limit is a constant whose name ends in `_MAX`. The table is committed, so that it can be read
//! without building anything; tidy says when it is old, and `cargo xtask tidy --write` renews it.

use std::fmt::Write as _;

use super::tree::Source;

const DOCUMENT: &str = "docs/limits.md";
const BEGIN: &str = "<!-- written by `cargo xtask tidy --write` -->\n";
const END: &str = "<!-- end -->\n";

/// A limit as its source states it.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    /// The expression, as written.
    value: String,
    /// First paragraph of its comment.
    meaning: String,
}

/// Compares the document's table with the sources.
pub(crate) fn check(files: &[Source], product: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Source { path, text } in product {
        for limit in limits(text).iter().filter(|it| it.meaning.is_empty()) {
            complaints.push(format!("{path}: the limit {} has no comment", limit.name));
        }
    }
    match renewed(files, product) {
        Ok(None) => {}
        Ok(Some(_)) => {
            let advice = "run `cargo xtask tidy --write`";
            complaints.push(format!("{DOCUMENT}: the table is old; {advice}"));
        }
        Err(complaint) => complaints.push(complaint),
    }
    complaints
}

/// The document's path and new text, if the table in it is old.
pub(crate) fn renewed(
    files: &[Source],
    product: &[Source],
) -> Result<Option<(&'static str, String)>, String> {
    let old = super::tree::text(files, DOCUMENT)?;
    let parts = old.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("{DOCUMENT}: the marks are missing"))?;
    let new = format!("{before}{BEGIN}{}{END}{after}", table(product));
    Ok((new != old).then_some((DOCUMENT, new)))
}

fn table(product: &[Source]) -> String {
    let mut out = "| Limit | Crate | Value | What it bounds |\n|---|---|---|---|\n".to_owned();
    for Source { path, text } in product {
        let home = path.split('/').nth(1).unwrap_or_default();
        for Limit { name, value, meaning } in limits(text) {
            let meaning = meaning.replace('|', "\\|");
            writeln!(out, "| `{name}` | {home} | `{value}` | {meaning} |")
                .expect("BUG: writing to a String cannot fail");
        }
    }
    out
}

/// The limits of a file, in its order.
fn limits(text: &str) -> Vec<Limit> {
    let mut found = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some(words) = line.strip_prefix("///") {
            comment.push(words.trim());
            continue;
        }
        if let Some(declaration) = declaration(line) {
            // rustfmt may break a declaration before or inside its value.
            let mut whole = declaration.to_owned();
            while !whole.ends_with(';') {
                let Some(next) = lines.next() else { break };
                write!(whole, " {}", next.trim()).expect("BUG: writing to a String cannot fail");
            }
            let name = whole.split(':').next().unwrap_or_default().to_owned();
            let value = whole.split_once(" = ").map_or("", |(_, it)| it.trim_end_matches(';'));
            let paragraph = comment.split(|it| it.is_empty()).next().unwrap_or_default();
            let meaning = without_links(&paragraph.join(" "));
            found.push(Limit { name, value: value.to_owned(), meaning });
        }
        if !line.starts_with("#[") {
            comment.clear();
        }
    }
    found
}

/// What follows `const` in the declaration of a limit.
fn declaration(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("const ")?;
    let visible = before.is_empty() || before.starts_with("pub");
    let (name, _) = rest.split_once(':')?;
    let plain = name.chars().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == '_');
    (visible && plain && name.ends_with("_MAX")).then_some(rest)
}

/// A comment without the links between items, which lead nowhere in a document.
fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once("`]") else {
            rest = after;
            continue;
        };
        let _ = write!(out, "`{name}`");
        rest = match tail.strip_prefix('(').and_then(|it| it.split_once(')')) {
            Some((_, tail)) => tail,
            None => tail,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_one(text: &str, name: &str, value: &str, meaning: &str) {
        let [limit] = limits(text).try_into().unwrap();
        let expected = Limit { name: name.into(), value: value.into(), meaning: meaning.into() };
        assert_eq!(limit, expected);
    }

    #[test]
    fn a_limit_is_a_constant_with_max_and_its_comment() {
        check_one(
            "/// Longest name (X.520),\n/// in bytes.\n///\n/// More.\npub const NAME_MAX: usize = 64;\n",
            "NAME_MAX",
            "64",
            "Longest name (X.520), in bytes.",
        );
        check_one(
            "/// Other.\nconst OTHER: u8 = 1;\n#[expect(x)]\npub(crate) const A_MAX: Duration =\n    Duration::from_secs(5);\n",
            "A_MAX",
            "Duration::from_secs(5)",
            "",
        );
    }

    #[test]
    fn a_comment_loses_its_links() {
        assert_eq!(
            without_links("as [`A::b`](crate::A) and [`C`] say [1]"),
            "as `A::b` and `C` say [1]"
        );
    }

    #[test]
    fn an_old_table_is_renewed_between_the_marks() {
        let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
        let code = [source("crates/a/src/lib.rs", "/// Longest.\nconst A_MAX: u8 = 1;\n")];
        let files = [source(DOCUMENT, &format!("Head\n{BEGIN}old\n{END}Tail\n"))];
        let (_, text) = renewed(&files, &code).unwrap().unwrap();
        assert!(text.starts_with("Head\n") && text.ends_with("Tail\n") && !text.contains("old"));
        assert!(text.contains("| `A_MAX` | a | `1` | Longest. |"), "{text}");
        let files = [source(DOCUMENT, &text)];
        assert_eq!(renewed(&files, &code).unwrap(), None);
    }
}
