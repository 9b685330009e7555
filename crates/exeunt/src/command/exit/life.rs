//! `exeunt exit add|remove|enable|disable`.

use std::io::{BufRead as _, IsTerminal as _};

use exeunt_api::{
    EXITS_PATH, ExitChanged, ExitDetail, ExitRemoved, ExitStart, ExitStatus, NewExit,
};
use reqwest::Method;

use super::settings::parse_all;
use super::{counted, path, told};
use crate::cli::{Add, Named, Remove};
use crate::client::ApiClient;
use crate::failure::{Failure, plain};
use crate::output;

pub fn add(options: Add) -> Result<(), Failure> {
    path(&options.name)?;
    let (json, door) = (options.json, options.door.clone());
    let new = new_exit(options)?;
    let client = ApiClient::open(&door)?;
    let changed: ExitChanged = client.change(Method::POST, EXITS_PATH, &[], Some(&new))?;
    let name = &changed.name;
    told(&changed, json, &format!("The module {name} is added: exeunt exit status {name}"))
}

fn new_exit(options: Add) -> Result<NewExit, Failure> {
    let usage = |message: &str| Failure::usage("usage-exit-add", message);
    let Add {
        name,
        shipped,
        command,
        library,
        class,
        filter,
        events,
        before_reply,
        from_start,
        from_event,
        settings,
        json: _,
        door: _,
    } = options;
    let command = command
        .map(|words| {
            shlex::split(&words).filter(|it| !it.is_empty()).ok_or_else(|| {
                usage("--command is empty or a quote in it is open")
                    .hint("for example --command '/usr/local/bin/mail --to \"the CA\"'")
            })
        })
        .transpose()?;
    let library = library.map(|it| {
        // The server's current folder is another one than ours.
        let absolute = std::path::absolute(&it).unwrap_or(it);
        absolute.into_os_string().into_string().map_err(|_not_utf8| {
            usage("--library is not UTF-8, which exeunt.toml is").hint("rename the file")
        })
    });
    let start_at = match (from_start, from_event) {
        (true, _) => Some(ExitStart::Word("first".to_owned())),
        (false, Some(first)) => Some(ExitStart::After(first - 1)),
        (false, None) => None,
    };
    Ok(NewExit {
        name,
        module: shipped,
        command,
        library: library.transpose()?,
        class,
        start_at,
        events,
        filter,
        before_reply,
        settings: parse_all(&settings)?,
    })
}

pub fn switch(options: &Named, word: &str) -> Result<(), Failure> {
    let client = ApiClient::open(&options.door)?;
    let path = format!("{}/{word}", path(&options.name)?);
    let changed: ExitChanged = client.change(Method::POST, &path, &[], None::<&()>)?;
    told(&changed, options.json, &format!("The module {} is {word}d.", options.name))
}

pub fn remove(options: &Remove) -> Result<(), Failure> {
    let client = ApiClient::open(&options.door)?;
    let path = path(&options.name)?;
    let before: ExitDetail = client.get(&path, &[])?;
    let consequence = consequence(&before.status, options.drop_backlog);
    if !options.yes {
        ask(&consequence)?;
    }
    let query = [("drop_backlog", options.drop_backlog.to_string())];
    let removed: ExitRemoved = client.change(Method::DELETE, &path, &query, None::<&()>)?;
    if options.json {
        return output::json(&removed);
    }
    if options.yes {
        output::line(&plain(&consequence))?;
    }
    output::line(&format!("The module {} is removed.", options.name))
}

/// What becomes of the module's events, in words.
fn consequence(status: &ExitStatus, drop_backlog: bool) -> String {
    let held = status.held_retry + status.held_behind;
    if status.lag + held + status.held_parked == 0 {
        let end =
            if drop_backlog { "is forgotten" } else { "is kept, for a module of the same name" };
        let name = &status.name;
        return format!("The module {name} was told everything. Its place in the log {end}.");
    }
    let mut words = format!(
        "The module {} has {} before it that it was not told. On its shelf, {} to be told again and \
         {} for an operator.",
        status.name,
        counted(status.lag),
        waiting(held),
        waiting(status.held_parked)
    );
    words.push(' ');
    words.push_str(if drop_backlog {
        "It will not hear of them, and its place in the log is forgotten."
    } else {
        "They are kept with its place in the log, for a module of the same name."
    });
    words
}

fn waiting(events: u64) -> String {
    format!("{} {}", counted(events), if events == 1 { "waits" } else { "wait" })
}

/// Goes on only after a yes from a person.
fn ask(consequence: &str) -> Result<(), Failure> {
    let refused = |message| {
        Failure::usage("usage-not-confirmed", message).hint("say --yes, or answer with yes")
    };
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(refused(format!("{consequence} Nobody is here to be asked")));
    }
    eprintln!("{}", plain(consequence));
    eprint!("Remove it? [y/N] ");
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|err| Failure::from_error("output", &err))?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused("not removed".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use expect_test::{Expect, expect};

    use super::*;
    use crate::cli::{Cli, Command, Exit};

    #[track_caller]
    fn check(line: &str, expect: &Expect) {
        let words = shlex::split(&format!("exeunt exit add {line} --home h")).unwrap();
        let told = match Cli::try_parse_from(words) {
            Err(err) => format!("{:?}", err.kind()),
            Ok(Cli { command: Command::Exit(exit) }) => match *exit {
                Exit::Add(options) => match new_exit(options) {
                    Ok(new) => serde_json::to_string(&new).unwrap(),
                    Err(failure) => format!("{}: {}", failure.code, failure.message),
                },
                other => format!("{other:?}"),
            },
            Ok(other) => format!("{other:?}"),
        };
        expect.assert_eq(&told);
    }

    #[test]
    fn a_module_is_one_of_three_things() {
        check("a --use file", &expect![[r#"{"name":"a","module":"file"}"#]]);
        check(
            r#"a --command 'mail --to "the CA" $HOME'"#,
            &expect![[r#"{"name":"a","command":["mail","--to","the CA","$HOME"]}"#]],
        );
        check(
            "a --library /l.so --class X.Y",
            &expect![[r#"{"name":"a","library":"/l.so","class":"X.Y"}"#]],
        );
        check("a", &expect!["MissingRequiredArgument"]);
        check("a --library /l.so", &expect!["MissingRequiredArgument"]);
        check("a --library /l.so --class X.Y --use file", &expect!["ArgumentConflict"]);
        check("a --use file --command mail", &expect!["ArgumentConflict"]);
        check(
            r#"a --command '"open'"#,
            &expect!["usage-exit-add: --command is empty or a quote in it is open"],
        );
    }

    #[test]
    fn what_it_is_told_is_said_in_options() {
        check(
            "a --use file --events issued,denied --where 'event.context > 5' --before-reply",
            &expect![[
                r#"{"name":"a","module":"file","events":["issued","denied"],"where":"event.context > 5","before_reply":true}"#
            ]],
        );
        check(
            "a --use file --from-start",
            &expect![[r#"{"name":"a","module":"file","start_at":"first"}"#]],
        );
        check(
            "a --use file --from-event 7",
            &expect![[r#"{"name":"a","module":"file","start_at":6}"#]],
        );
        check("a --use file --from-event 0", &expect!["ValueValidation"]);
        check("a --use file --from-event 1 --from-start", &expect!["ArgumentConflict"]);
        check(
            "a --use file --set port=25 --set 'to=ca@x' --set 'list=[1, \"b\"]'",
            &expect![[
                r#"{"name":"a","module":"file","settings":{"list":[1,"b"],"port":25,"to":"ca@x"}}"#
            ]],
        );
    }
}
