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
    let text = include_str!("../fresh.toml").replacen("@NAME@", "\"A \\\"quoted\\\" name\"", 1);
    let config = Config::from_toml(&text, Path::new("/home")).unwrap();
    assert_eq!(config.name, "A \"quoted\" name");
    assert_eq!(config.templates.len(), 1);
    assert_eq!(config.exits[0].name.as_str(), "file");
    assert!(config.key.is_absolute());
}
