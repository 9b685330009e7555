//! Commands that only a server on this machine obeys: their help is without the options that lead
//! elsewhere. Given all the same, these options have the server say why it refuses.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The commands below `exeunt exit` that start no program and change no setting: they are answered from
/// elsewhere as well.
const FROM_ANYWHERE: [&str; 7] = ["list", "status", "check", "parked", "replay", "explain", "tail"];

/// Options that lead to a server elsewhere.
const ELSEWHERE: [&str; 5] = ["server", "token_file", "ca_file", "client_cert", "client_key"];

/// The command line as it is shown and read.
pub fn command_line() -> Command {
    let exit = |command: Command| {
        command.mut_subcommands(|it| {
            if FROM_ANYWHERE.contains(&it.get_name()) { it } else { hidden(it) }
        })
    };
    Cli::command().mut_subcommand("exit", exit).mut_subcommand("reload", hidden)
}

fn hidden(command: Command) -> Command {
    let command = command.mut_subcommands(hidden);
    command.mut_args(|it| {
        let leads_elsewhere = ELSEWHERE.contains(&it.get_id().as_str());
        if leads_elsewhere { it.hide(true) } else { it }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_another_server_only_where_one_answers() {
        let help = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let mut command = command_line();
            command.build();
            let named = words.iter().fold(&command, |it, word| it.find_subcommand(word).unwrap());
            named.clone().render_long_help().to_string()
        };
        for line in [
            "exit list",
            "exit status",
            "exit parked drop",
            "exit tail",
            "submit",
            "request list",
            "request retrieve",
            "request approve",
            "request set-extension",
            "cert revoke",
            "crl show",
            "crl publish",
            "token add",
            "principal list",
        ] {
            assert!(help(line).contains("--server"), "{line}");
        }
        for line in ["exit disable", "exit settings set", "exit add", "reload"] {
            assert!(!help(line).contains("--server"), "{line}");
        }
        let drop = help("exit parked drop");
        assert!(drop.contains("<NAME> <EVENT>...") && drop.contains("<NAME> --all"), "{drop}");
    }

    #[test]
    fn what_is_hidden_is_still_taken() {
        let words = ["exeunt", "exit", "disable", "file", "--server", "https://ca.example"];
        assert!(command_line().try_get_matches_from(words).is_ok());
    }
}
