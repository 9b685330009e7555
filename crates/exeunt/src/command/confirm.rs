//! Asking a person before something is done that cannot be taken back.

use std::io::{BufRead as _, IsTerminal as _};

use crate::failure::{Failure, plain};

/// What is asked, and what is said where nobody answers yes.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What comes of a yes, in a sentence.
    pub consequence: &'a str,
    /// The question, with its question mark.
    pub words: &'a str,
    /// What did not happen after a no.
    pub refused: &'a str,
    /// What else to do, best first, after `--yes`.
    pub hints: &'a [String],
}

/// Goes on only after a yes from a person.
///
/// # Errors
///
/// Nobody can be asked, or the answer is another one.
pub fn ask(it: Question<'_>) -> Result<(), Failure> {
    let refused = |message: &str| Failure::usage("usage-not-confirmed", message);
    let with_hints = |failure: Failure| {
        it.hints.iter().fold(failure, |failure, hint| failure.hint(hint.clone()))
    };
    if !it.consequence.is_empty() {
        eprintln!("{}", plain(it.consequence));
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let message = "standard input is no terminal, so nobody can be asked";
        return Err(with_hints(refused(message).hint("give --yes")));
    }
    eprint!("{} [y/N] ", plain(it.words));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|err| Failure::from_error("output", &err))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(with_hints(refused(it.refused))),
    }
}
