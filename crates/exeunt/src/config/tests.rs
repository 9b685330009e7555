//! Configurations as files: good ones, and bad ones each with its expected error beside it.

use std::fs;
use std::path::{Path, PathBuf};

use expect_test::expect_file;

use super::*;
use crate::failure::chain;

fn samples(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/samples").join(kind);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    files.retain(|it| it.extension().is_some_and(|it| it == "toml"));
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_good_sample_is_accepted() {
    for file in samples("good") {
        let checked = Config::load(&file, Path::new("/home"));
        assert!(checked.is_ok(), "{}: {:?}", file.display(), checked.unwrap_err());
    }
}

#[test]
fn every_bad_sample_is_refused_with_the_key_it_is_about() {
    for file in samples("bad") {
        let Err(err) = Config::load(&file, Path::new("/home")) else {
            panic!("{} was accepted", file.display());
        };
        let message = format!("{}: {}\n", err.code(), chain(&err));
        expect_file![file.with_extension("error")].assert_eq(&message);
        assert_eq!(message.lines().count(), 1, "{}", file.display());
    }
}

#[test]
fn a_fresh_configuration_is_a_good_one() {
    let key = "file = \"k\"\npassphrase_file = \"p\"\n";
    let text = crate::command::init::fresh_config("A \"quoted\" name", key);
    let config = Config::from_toml(&text, Path::new("/home")).unwrap();
    assert_eq!(config.name, "A \"quoted\" name");
    assert_eq!(config.templates.len(), 1);
    assert_eq!(config.exits[0].name.as_str(), "file");
    assert!(config.key.secret_files().iter().all(|it| it.is_absolute()));
}

/// The page of the manual with the given name.
fn manual(page: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual");
    fs::read_to_string(folder.join(page)).unwrap()
}

/// Tables and keys as `file.rs` has them: the heading in a structure's comment, and its fields.
fn keys_of_the_source() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut tables = Vec::new();
    let mut heading = "";
    for line in include_str!("file.rs").lines() {
        if let Some(comment) = line.strip_prefix("/// ") {
            heading = comment.trim_matches(['`', '.']);
        } else if line.starts_with("pub struct ") {
            tables.push((heading, Vec::new()));
        } else if let Some((key, _)) =
            line.strip_prefix("    pub ").and_then(|it| it.split_once(':'))
        {
            if key.starts_with("fn ") {
                continue;
            }
            // A key that is also a word of the language.
            let key = key.strip_prefix("r#").unwrap_or(key);
            tables.last_mut().unwrap().1.push(key);
        }
    }
    tables
}

/// Tables and keys as the manual has them: headings, and the first cells of their rows.
fn keys_of_the_manual(page: &str) -> Vec<(&str, Vec<&str>)> {
    let sections = page.split("\n## `").skip(1).map(|section| {
        let (heading, text) = section.split_once("`\n").unwrap();
        // What follows is about something else.
        let text = text.split("\n## ").next().unwrap();
        let rows = text.lines().filter_map(|it| it.strip_prefix("| `")?.split_once('`'));
        (heading, rows.map(|(key, _)| key).collect())
    });
    sections.collect()
}

#[test]
fn every_key_and_no_other_stands_in_the_manual() {
    let page = manual("configuration.md");
    let mut source = keys_of_the_source();
    let (_, tables) = source.remove(0);
    let headings = source.iter().map(|(it, _)| it.trim_matches(['[', ']']));
    // A table within a table is a key of that one.
    let headings: Vec<&str> = headings.filter(|it| !it.contains('.')).collect();
    assert_eq!(headings, tables, "a comment in file.rs does not name its table");
    assert_eq!(keys_of_the_manual(&page), source);
}

#[test]
fn every_example_of_the_manual_is_a_good_configuration() {
    let minimal = include_str!("samples/good/minimal.toml");
    for name in [
        "configuration.md",
        "crls.md",
        "file-module.md",
        "filters.md",
        "modules.md",
        "templates.md",
        "tls.md",
        "roles.md",
    ] {
        let page = manual(name);
        let examples = page.split("```toml\n").skip(1).map(|it| it.split("```").next().unwrap());
        let mut count = 0;
        for example in examples {
            let text = format!("{minimal}\n{example}");
            let checked = Config::from_toml(&text, Path::new("/home"));
            assert!(checked.is_ok(), "{name}: {}", checked.unwrap_err());
            count += 1;
        }
        assert!(0 < count, "{name} has no example");
    }
}
