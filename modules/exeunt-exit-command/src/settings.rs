//! What the operator says: the program, its time, its events, more of its environment.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use exeunt_module_kit::{
    Initialize, exit_event,
    manage::{SettingInfo, SettingType},
};
use serde_json::{Map, Value as Json};

use crate::environment::PREFIX;

/// Time for a program where nothing is said, in seconds. The server's deadline is 30 s by default.
const TIMEOUT_S_DEFAULT: u64 = 20;

/// What has to remain of the deadline of an event for killing a program and answering, in
/// milliseconds.
const MARGIN_MS: u64 = 1000;

/// Most arguments of the program, itself counted, and most variables in `environment`.
const ENTRIES_MAX: usize = 256;

/// The events that the program runs for where nothing is said.
const EVENTS_DEFAULT: u32 = exit_event::CERT_ISSUED;

/// The settings, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// The program and its arguments; never empty.
    pub program: Vec<String>,
    /// How long a program may take.
    pub timeout: Duration,
    /// The events that it runs for: bits of [`exit_event`].
    pub events: u32,
    /// More variables of its environment.
    pub environment: Vec<(String, String)>,
}

impl Settings {
    /// Reads the settings of a greeting.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn from_greeting(hello: &Initialize) -> Result<Self, String> {
        let said = Said::read(&hello.settings)?;
        let limit_ms = hello.deadline_ms.saturating_sub(MARGIN_MS);
        let timeout_ms = match said.timeout_s {
            None if limit_ms == 0 => {
                return Err(format!(
                    "the deadline of {} ms leaves no time for a program: more than {MARGIN_MS} \
                     ms are needed",
                    hello.deadline_ms
                ));
            }
            None => limit_ms.min(TIMEOUT_S_DEFAULT * 1000),
            Some(timeout_s) if timeout_s.saturating_mul(1000) <= limit_ms => timeout_s * 1000,
            Some(timeout_s) => {
                return Err(format!(
                    "timeout_s is {timeout_s}, at most {} fit into the deadline of {} ms",
                    limit_ms / 1000,
                    hello.deadline_ms
                ));
            }
        };
        let program = said.program.ok_or(PROGRAM_MISSING)?;
        check_executable(&program[0])?;
        Ok(Self {
            program,
            timeout: Duration::from_millis(timeout_ms),
            events: said.events.unwrap_or(EVENTS_DEFAULT),
            environment: said.environment,
        })
    }
}

/// What the module knows of its settings.
pub fn infos() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let program = "the program and its arguments; no shell reads them";
    let events = "the events that it runs for, by their words";
    vec![
        SettingInfo { required: true, ..info("program", SettingType::List, program, None) },
        info(
            "timeout_s",
            SettingType::Long,
            "how long a program may take, in seconds; less than the deadline of an event",
            Some(TIMEOUT_S_DEFAULT.into()),
        ),
        info("events", SettingType::List, events, Some(serde_json::json!(["issued"]))),
        info("environment", SettingType::Object, "more variables of its environment", None),
    ]
}

/// Looks at one setting alone.
///
/// # Errors
///
/// One line for the operator that names the setting.
pub fn check_one(name: &str, value: &Json) -> Result<(), String> {
    Said::read(&Map::from_iter([(name.to_owned(), value.clone())])).map(drop)
}

/// Looks at all settings together, but for the deadline, which only the greeting names.
///
/// # Errors
///
/// One line for the operator that names the setting.
pub fn check_all(settings: &Map<String, Json>) -> Result<(), String> {
    let program = Said::read(settings)?.program.ok_or(PROGRAM_MISSING)?;
    check_executable(&program[0])
}

const PROGRAM_MISSING: &str = "program is missing: say what is to be run";

/// The settings as they stand there, each checked alone.
#[derive(Default)]
struct Said {
    program: Option<Vec<String>>,
    timeout_s: Option<u64>,
    events: Option<u32>,
    environment: Vec<(String, String)>,
}

impl Said {
    fn read(settings: &Map<String, Json>) -> Result<Self, String> {
        let mut said = Self::default();
        for (name, value) in settings {
            match name.as_str() {
                "program" => said.program = Some(program_from(value)?),
                "timeout_s" => {
                    let timeout_s = value.as_u64().filter(|it| 0 < *it);
                    said.timeout_s = Some(
                        timeout_s.ok_or("timeout_s has to be a number of seconds, 1 or more")?,
                    );
                }
                "events" => said.events = Some(events_from(value)?),
                "environment" => said.environment = environment_from(value)?,
                _ => {
                    return Err(format!(
                        "there is no setting {name:?}; there are program, timeout_s, events and \
                         environment"
                    ));
                }
            }
        }
        Ok(said)
    }
}

fn program_from(value: &Json) -> Result<Vec<String>, String> {
    let program = texts("program", value)?;
    match program.first() {
        None => Err("program is empty".to_owned()),
        Some(first) if first.is_empty() => Err("program has no name".to_owned()),
        Some(_) if program.iter().any(|it| it.contains('\0')) => {
            Err("program holds a NUL".to_owned())
        }
        Some(_) => Ok(program),
    }
}

fn events_from(value: &Json) -> Result<u32, String> {
    let mut events = 0;
    for word in texts("events", value)? {
        let event = exit_event::from_word(&word)
            .ok_or_else(|| format!("events: {word:?} is no kind of event"))?;
        events |= event;
    }
    Ok(events)
}

fn environment_from(value: &Json) -> Result<Vec<(String, String)>, String> {
    let object = value.as_object().ok_or("environment has to be a table of texts")?;
    if ENTRIES_MAX < object.len() {
        return Err(format!("environment has more than {ENTRIES_MAX} variables"));
    }
    let mut variables = Vec::new();
    for (name, value) in object {
        let value =
            value.as_str().ok_or_else(|| format!("environment: {name} has to be a text"))?;
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!("environment: {name:?} cannot be a variable"));
        }
        if name.starts_with(PREFIX) {
            return Err(format!("environment: {name} is one of those that the event fills"));
        }
        variables.push((name.clone(), value.to_owned()));
    }
    Ok(variables)
}

fn texts(name: &str, value: &Json) -> Result<Vec<String>, String> {
    let wrong = || {
        let example = match name {
            "program" => ", for example --set 'program=[\"/opt/pki/on-issue.sh\"]'",
            "events" => ", for example --set 'events=[\"issued\", \"revoked\"]'",
            _ => "",
        };
        format!("{name} has to be a list of texts{example}")
    };
    let list = value.as_array().ok_or_else(wrong)?;
    if ENTRIES_MAX < list.len() {
        return Err(format!("{name} has more than {ENTRIES_MAX} entries"));
    }
    list.iter().map(|it| it.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

/// A mistake in the name is told when the module starts and not at the first event.
fn check_executable(program: &str) -> Result<(), String> {
    let may_run = |path: &Path| {
        fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return match fs::metadata(program) {
            Err(err) => Err(format!("program {program}: {err}")),
            Ok(_) if may_run(Path::new(program)) => Ok(()),
            Ok(_) => Err(format!("program {program} is no executable file")),
        };
    }
    let folders: Vec<PathBuf> =
        env::var_os("PATH").map(|it| env::split_paths(&it).collect()).unwrap_or_default();
    if folders.iter().any(|it| may_run(&it.join(program))) {
        Ok(())
    } else {
        Err(format!("program {program} is in no folder of PATH"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(settings: &Json, deadline_ms: u64) -> Result<Settings, String> {
        let settings = settings.as_object().unwrap().clone();
        Settings::from_greeting(&Initialize { settings, deadline_ms, ..Initialize::default() })
    }

    #[test]
    fn a_program_is_all_that_is_needed() {
        let settings = parse(&json!({"program": ["sh"]}), 30_000).unwrap();
        assert_eq!(settings.program, ["sh"]);
        assert_eq!(settings.timeout, Duration::from_secs(20));
        assert_eq!(settings.events, exit_event::CERT_ISSUED);
        assert!(settings.environment.is_empty());
        let settings = parse(&json!({"program": ["/bin/sh"]}), 5_000).unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(4));
    }

    #[test]
    fn every_setting_can_be_given() {
        let settings = json!({
            "program": ["/bin/sh", "-c", "exit 0"],
            "timeout_s": 29,
            "events": ["issued", "denied"],
            "environment": {"LANG": "C"},
        });
        let settings = parse(&settings, 30_000).unwrap();
        assert_eq!(settings.timeout, Duration::from_secs(29));
        assert_eq!(settings.events, exit_event::CERT_ISSUED | exit_event::CERT_DENIED);
        assert_eq!(settings.environment, [("LANG".to_owned(), "C".to_owned())]);
        assert_eq!(infos().len(), 4);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let table = [
            (json!({}), "program is missing"),
            (json!({"program": "sh"}), "program has to be a list of texts"),
            (json!({"program": []}), "program is empty"),
            (json!({"program": [""]}), "program has no name"),
            (json!({"program": ["sh", "a\u{0}"]}), "program holds a NUL"),
            (json!({"program": ["/etc/passwd"]}), "program /etc/passwd is no executable file"),
            (json!({"program": ["/nowhere/x"]}), "program /nowhere/x: No such file"),
            (json!({"program": ["no-such-program"]}), "no-such-program is in no folder of PATH"),
            (json!({"program": vec!["sh"; 257]}), "program has more than 256 entries"),
            (json!({"program": ["sh"], "timeout_s": 0}), "timeout_s has to be a number"),
            (json!({"program": ["sh"], "timeout_s": "5"}), "timeout_s has to be a number"),
            (
                json!({"program": ["sh"], "timeout_s": 30}),
                "timeout_s is 30, at most 29 fit into the deadline of 30000 ms",
            ),
            (json!({"program": ["sh"], "timeout_s": u64::MAX}), "at most 29 fit"),
            (json!({"program": ["sh"], "events": ["isued"]}), "\"isued\" is no kind of event"),
            (json!({"program": ["sh"], "environment": []}), "environment has to be a table"),
            (json!({"program": ["sh"], "environment": {"A": 1}}), "A has to be a text"),
            (json!({"program": ["sh"], "environment": {"A=": "1"}}), "cannot be a variable"),
            (json!({"program": ["sh"], "environment": {"EXEUNT_SEQ": "1"}}), "the event fills"),
            (json!({"program": ["sh"], "shell": true}), "there is no setting \"shell\""),
        ];
        for (settings, says) in table {
            let err = parse(&settings, 30_000).unwrap_err();
            assert!(err.contains(says), "{settings}: {err}");
            assert!(!err.contains('\n'));
        }
        let err = parse(&json!({"program": ["sh"]}), 1000).unwrap_err();
        assert!(err.contains("leaves no time for a program"), "{err}");
    }
}
