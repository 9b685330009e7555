//! `exeunt exit add|remove|enable|disable`.

use std::path::Path;

use exeunt_api::{
    EXITS_PATH, ExitChanged, ExitDetail, ExitRemoved, ExitStart, ExitStatus, NewExit,
};
use reqwest::Method;

use super::settings::pairs;
use super::{and_state, counted, path, told};
use crate::cli::{Add, Named, Remove};
use crate::client::ApiClient;
use crate::command::confirm::{Question, ask};
use crate::failure::{Failure, plain};
use crate::output;

pub fn add(options: Add) -> Result<(), Failure> {
    path(&options.name)?;
    let (json, door) = (options.json, options.door.clone());
    let new = new_exit(options)?;
    let client = ApiClient::open(&door)?;
    let is_without_container = is_without_container(&new);
    let changed: ExitChanged = client.change(Method::POST, EXITS_PATH, &[], Some(&new))?;
    let name = &changed.name;
    if is_without_container {
        // Whether the directory names one, only the directory knows.
        eprintln!(
            "exeunt: note: objects.container is not set, which no other directory than Active Directory \
             can do without; to try it: exeunt exit test {name}"
        );
    }
    let starts = and_state(&changed);
    told(&changed, json, &format!("The module {name} is added{starts}: exeunt exit status {name}"))
}

/// Whether a module is to publish the CA's objects in a directory, and is not told where.
fn is_without_container(new: &NewExit) -> bool {
    let objects = new.settings.get("objects").and_then(serde_json::Value::as_object);
    new.module.as_deref() == Some("directory")
        && objects.is_some_and(|it| {
            ["container", "configuration"].iter().all(|name| !it.contains_key(*name))
        })
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
        mut events,
        before_reply,
        from_start,
        from_event,
        settings,
        json: _,
        door,
    } = options;
    for word in events.iter_mut().flatten() {
        *word = word.trim().to_owned();
    }
    let command = command
        .map(|words| {
            let words = shlex::split(&words).filter(|it| !it.is_empty()).ok_or_else(|| {
                usage("--command is empty or a quote in it is open")
                    .hint("for example --command '/usr/local/bin/mail --to \"the CA\"'")
            })?;
            from_here(words, Path::new(""), door.home.as_deref())
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
        settings: pairs::all(&settings)?,
    })
}

/// The words of a command as the server is to have them: it looks from other folders than the one where
/// they were typed, `here`.
fn from_here(
    mut words: Vec<String>,
    here: &Path,
    home: Option<&Path>,
) -> Result<Vec<String>, Failure> {
    let absolute = |word: &str| {
        let path = std::path::absolute(here.join(word)).ok()?;
        path.into_os_string().into_string().ok()
    };
    let is_ours = |word: &str| Path::new(word).is_relative() && here.join(word).is_file();
    let is_of_home = |word: &str| home.is_some_and(|it| it.join(word).is_file());
    let (program, args) = words.split_first_mut().expect("BUG: a command has a word");
    if program.contains('/')
        && is_ours(program)
        && let Some(path) = absolute(program)
    {
        *program = path;
    }
    let relative = args.iter().find(|it| is_ours(it) && !is_of_home(it));
    if let Some(word) = relative {
        let message = format!("{word:?} is a file of this folder, and the module runs in its own");
        return Err(Failure::usage("usage-exit-add", message)
            .hint(format!("write it as {:?}", absolute(word).unwrap_or_else(|| word.clone()))));
    }
    Ok(words)
}

pub fn switch(options: &Named, word: &str) -> Result<(), Failure> {
    let client = ApiClient::open(&options.door)?;
    let path = format!("{}/{word}", path(&options.name)?);
    let changed: ExitChanged = client.change(Method::POST, &path, &[], None::<&()>)?;
    let name = &options.name;
    let sentence = match and_state(&changed) {
        "" => format!("The module {name} is {word}d."),
        starts => format!("The module {name} is {word}d{starts}: exeunt exit status {name}"),
    };
    told(&changed, options.json, &sentence)
}

pub fn remove(options: &Remove) -> Result<(), Failure> {
    let client = ApiClient::open(&options.door)?;
    let path = path(&options.name)?;
    let before: ExitDetail = client.get(&path, &[])?;
    let consequence = consequence(&before.status, options.drop_backlog);
    if !options.yes {
        ask(Question {
            consequence: &consequence,
            words: "Remove it?",
            refused: "not removed",
            hints: &[],
        })?;
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
        check("a --command cat --class X.Y", &expect!["ArgumentConflict"]);
        check("a --use file --class X.Y", &expect!["ArgumentConflict"]);
        check("a --library /l.so --class X.Y --use file", &expect!["ArgumentConflict"]);
        check("a --use file --command mail", &expect!["ArgumentConflict"]);
        check(
            r#"a --command '"open'"#,
            &expect!["usage-exit-add: --command is empty or a quote in it is open"],
        );
    }

    #[test]
    fn a_file_of_this_folder_is_named_so_that_the_server_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let (here, home) = (folder.path().join("here"), folder.path().join("home"));
        for path in [&here, &home] {
            std::fs::create_dir(path).unwrap();
        }
        for path in [here.join("issued.py"), here.join("both.py"), home.join("both.py")] {
            std::fs::write(path, "").unwrap();
        }
        let words = |line: &str| {
            let words = shlex::split(line).unwrap();
            from_here(words, &here, Some(&home)).map_err(|it| it.message + ": " + &it.hints[0])
        };
        let whole = here.join("issued.py").to_str().unwrap().to_owned();
        assert_eq!(words("./issued.py -v").unwrap()[0], here.join("issued.py").to_str().unwrap());
        for as_it_is in ["issued.py", "hooks/later --x", "python3 both.py", "python3 none.py /"] {
            assert_eq!(words(as_it_is).unwrap(), shlex::split(as_it_is).unwrap());
        }
        let refused = words("python3 issued.py").unwrap_err();
        assert!(refused.contains("file of this folder") && refused.contains(&whole), "{refused}");
    }

    #[test]
    fn what_it_is_told_is_said_in_options() {
        check(
            "a --use file --events 'issued, denied' --where 'event.context > 5' --before-reply",
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
