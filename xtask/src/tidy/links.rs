//! Links that lead somewhere: to a file that is there, and to a heading that it has.

use std::collections::BTreeMap;
use std::path::Path;

use super::tree::Source;

/// Links of the documents that lead nowhere.
pub(crate) fn check(root: &Path, files: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Source { path, text } in files.iter().filter(|it| it.is("md")) {
        let here = root.join(path);
        let folder = here.parent().unwrap_or(root);
        for Link { file, anchor } in links(text) {
            let target = if file.is_empty() { here.clone() } else { folder.join(file) };
            if !target.exists() {
                complaints.push(format!("{path}: the link {file} leads nowhere"));
                continue;
            }
            let Some(anchor) = anchor else { continue };
            let has_it = std::fs::read_to_string(&target).is_ok_and(|it| has(&it, anchor));
            if !has_it {
                complaints.push(format!("{path}: the link {file}#{anchor} leads to no heading"));
            }
        }
    }
    complaints
}

/// What a link to a file of ours says; no file is the same one.
#[derive(Debug, PartialEq, Eq)]
struct Link<'a> {
    file: &'a str,
    anchor: Option<&'a str>,
}

fn links(text: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    for piece in text.split("](").skip(1) {
        let Some((target, _)) = piece.split_once(')') else { continue };
        if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        found.push(match target.split_once('#') {
            Some((file, anchor)) => Link { file, anchor: Some(anchor) },
            None => Link { file: target, anchor: None },
        });
    }
    found
}

/// Whether a document has a heading with that anchor.
fn has(text: &str, anchor: &str) -> bool {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut is_code = false;
    text.lines().any(|line| {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || !line.starts_with('#') {
            return false;
        }
        let name = anchor_of(line);
        let before = seen.entry(name.clone()).or_default();
        let name = if *before == 0 { name } else { format!("{name}-{before}") };
        *before += 1;
        name == anchor
    })
}

/// The anchor of a heading, as GitHub and mdBook make it.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim();
    let kept = text.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_of_ours_are_found() {
        let text = "[a](docs/a.md) [b](https://b) [c](#c) [d](d.md#e) [f](mailto:f@g)";
        let link = |file, anchor| Link { file, anchor };
        assert_eq!(
            links(text),
            [link("docs/a.md", None), link("", Some("c")), link("d.md", Some("e"))]
        );
    }

    #[test]
    fn an_anchor_is_the_heading_without_what_is_no_letter() {
        let text = "# A `b`'s C-d\n```\n# No heading\n```\n## Twice\n## Twice\n";
        for there in ["a-bs-c-d", "twice", "twice-1"] {
            assert!(has(text, there), "{there}");
        }
        for not in ["no-heading", "twice-2", "a-b-s-c-d", ""] {
            assert!(!has(text, not), "{not}");
        }
    }
}
