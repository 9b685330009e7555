//! `exeunt principal …` and `exeunt token …`: what can be typed about who may do what.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Door;

/// `exeunt principal …`.
#[derive(Debug, Subcommand)]
pub enum Principal {
    /// List who is known, with roles and by what each is recognized
    #[command(after_help = "Examples:
  exeunt principal list --home ca
  exeunt principal list --home ca --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },
}

/// `exeunt token …`.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Give a principal another token
    ///
    /// Makes 256 random bits, has the server put their SHA-256 into exeunt.toml, and shows them once:
    /// nobody can show them again. The token counts at once, without a restart.
    #[command(after_help = "Examples:
  exeunt token add alice --home ca
  exeunt token add web-1 --name deploy --expires 90d --scope enrollee --out token --home ca
  exeunt token add web-1 --from 192.0.2.0/24 --home ca")]
    Add(AddToken),

    /// List tokens; nobody knows more of them than their names and limits
    #[command(after_help = "Examples:
  exeunt token list --home ca
  exeunt token list alice --home ca --json")]
    List {
        /// Of this principal only
        #[arg(value_name = "PRINCIPAL")]
        principal: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Take a token away; it counts no more at once
    #[command(after_help = "Examples:\n  exeunt token remove alice laptop --home ca")]
    Remove {
        /// Whose it is
        #[arg(value_name = "PRINCIPAL")]
        principal: String,
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },
}

/// Options of `token add`.
#[derive(Debug, Args)]
pub struct AddToken {
    /// Who gets it: a `[[principal]]` of exeunt.toml
    #[arg(value_name = "PRINCIPAL")]
    pub principal: String,

    /// Its name among those of the principal; a new one if not given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// When it ends: RFC 3339 (2026-12-01T00:00:00Z) or a time from now on, 90d or 12h; never if not
    /// given
    #[arg(long, value_name = "TIME", value_parser = ending)]
    pub expires: Option<Ending>,

    /// A role of the principal that it gives (can be repeated); all of them if not given
    #[arg(long, value_name = "ROLE", value_parser = role)]
    pub scope: Vec<String>,

    /// Network from where it is taken (can be repeated); from anywhere if not given
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub from: Vec<String>,

    /// Where the token goes, a new file with mode 0600; standard output if not given
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// When a token ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At this moment, RFC 3339.
    At(String),
    /// So many seconds from now on.
    After(u64),
}

/// Longest time that a token counts which is given by its length, in seconds: ten years.
const TOKEN_VALIDITY_S_MAX: u64 = 315_360_000;

fn ending(text: &str) -> Result<Ending, String> {
    if exeunt_http::from_rfc3339(text).is_some() {
        return Ok(Ending::At(text.to_owned()));
    }
    let hint = "write a moment such as 2027-01-31T12:00:00Z, or 90d, 12h, 90m";
    let split = text.char_indices().next_back().ok_or(hint)?.0;
    let (number, unit) = text.split_at(split);
    let unit_s = match unit {
        "d" => 86_400,
        "h" => 3600,
        "m" => 60,
        _ => return Err(hint.to_owned()),
    };
    let number = Some(number).filter(|it| it.bytes().all(|it| it.is_ascii_digit()));
    let number: u64 = number.and_then(|it| it.parse().ok()).ok_or(hint)?;
    match number.checked_mul(unit_s) {
        Some(seconds @ 1..=TOKEN_VALIDITY_S_MAX) => Ok(Ending::After(seconds)),
        _ => Err("at least a minute and at most 3650d".to_owned()),
    }
}

fn role(text: &str) -> Result<String, String> {
    let known = exeunt_types::Roles::NAMES.map(|(name, _)| name);
    if known.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("it is one of {}", known.join(", ")))
}

fn network(text: &str) -> Result<String, String> {
    match exeunt_http::Network::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a network such as 192.0.2.0/24".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_at_a_moment_or_after_a_time() {
        assert_eq!(ending("90d"), Ok(Ending::After(7_776_000)));
        assert_eq!(ending("12h"), Ok(Ending::After(43_200)));
        assert_eq!(ending("1m"), Ok(Ending::After(60)));
        let moment = "2027-01-31T12:00:00Z";
        assert_eq!(ending(moment), Ok(Ending::At(moment.to_owned())));
        for bad in ["", "d", "0d", "-1d", "+1d", "90", "90s", "3651d", "99999999999999999999d", "ä"]
        {
            assert!(ending(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn roles_and_networks_are_read_before_anything_is_sent() {
        assert!(role("auditor").is_ok() && role("root").is_err());
        assert!(network("::/0").is_ok() && network("here").is_err());
    }
}
