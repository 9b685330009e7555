//! Commands that only a server on this machine obeys: their help is without the options that lead
//! elsewhere. Given all the same, these options have the server say why it refuses.

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The commands below `exeunt exit` that are answered from elsewhere as well.
const FROM_ANYWHERE: [&str; 3] = ["list", "status", "check"];

/// The commands below `exeunt request` that are an officer's.
const OFFICERS_OF_REQUESTS: [&str; 5] =
    ["approve", "deny", "resubmit", "set-attribute", "set-extension"];

/// Options that lead to a server elsewhere.
const ELSEWHERE: [&str; 3] = ["server", "token_file", "ca_file"];

/// The command line as it is shown and read.
pub fn command_line() -> Command {
    let exit = |command: Command| {
        command.mut_subcommands(|it| {
            if FROM_ANYWHERE.contains(&it.get_name()) { it } else { hidden(it) }
        })
    };
    // What officers do, beside what everybody may.
    let officers = |names: &'static [&'static str]| {
        move |command: Command| {
            command
                .mut_subcommands(|it| if names.contains(&it.get_name()) { hidden(it) } else { it })
        }
    };
    Cli::command()
        .mut_subcommand("exit", exit)
        .mut_subcommand("reload", hidden)
        .mut_subcommand("request", officers(&OFFICERS_OF_REQUESTS))
        .mut_subcommand("cert", officers(&["revoke", "unrevoke", "import", "publish-expired"]))
        .mut_subcommand("crl", officers(&["publish"]))
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
        for line in
            ["exit list", "exit status", "submit", "request list", "request retrieve", "crl show"]
        {
            assert!(help(line).contains("--server"), "{line}");
        }
        for line in [
            "exit disable",
            "exit settings set",
            "exit parked drop",
            "exit tail",
            "reload",
            "request approve",
            "request set-extension",
            "cert revoke",
            "crl publish",
        ] {
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
