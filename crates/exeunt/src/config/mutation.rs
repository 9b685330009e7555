//! Configurations that somebody has damaged: refused with a reason, and never more than that.

use std::fs;
use std::path::Path;

use super::Config;
use super::template_file::check_templates;

/// Numbers that look random and are the same each time (Knuth's MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}

fn damaged(numbers: &mut Numbers, text: &str) -> String {
    const PIECES: [&str; 16] = [
        "\"",
        "'",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        "-1",
        "99999999999999999999",
        "0x",
        "\u{202e}",
        "é",
        "true",
        "*",
        "{{",
    ];
    let mut characters: Vec<char> = text.chars().collect();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(characters.len());
        match numbers.below(4) {
            0 => drop(characters.drain(at..(at + numbers.below(12)).min(characters.len()))),
            1 => characters.truncate(at),
            2 => {
                let piece = PIECES[numbers.below(PIECES.len())];
                characters.splice(at..at, piece.chars());
            }
            _ => {
                let from = numbers.below(characters.len());
                let again: Vec<char> = characters[from..].iter().copied().take(60).collect();
                characters.splice(at..at, again);
            }
        }
    }
    characters.into_iter().collect()
}

#[test]
fn no_damage_to_a_configuration_or_a_file_of_templates_makes_the_reader_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/samples/good");
    let mut numbers = Numbers(5);
    let mut refused = 0;
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for _ in 0..200 {
            let text = damaged(&mut numbers, &text);
            if let Err(err) = Config::from_toml(&text, Path::new("/home")) {
                refused += 1;
                assert!(!err.code().is_empty());
            }
            let _ = check_templates(&text);
        }
    }
    assert!(500 < refused, "only {refused} were refused");
}
