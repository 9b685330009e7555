//! `[[exit]]`: one exit module, checked.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exeunt_dispatch::{Filter, RetrySchedule};
use exeunt_types::{EventKind, EventSeq, ExitName, StartAt};

use super::file::{ExitTable, StartWord};
use super::{ConfigError, EXIT_COUNT_MAX, value_error};
use crate::command::run_module::SHIPPED;

/// Longest deadline for one event, in seconds.
const DEADLINE_S_MAX: u64 = 3600;
/// Shortest time between two comparisons with the target, in seconds.
const RECONCILE_EVERY_S_MIN: u64 = 10;
/// Longest, in seconds: a year.
const RECONCILE_EVERY_S_MAX: u64 = 365 * 86_400;
/// Longest deadline for one call about the target, in seconds: a day.
const MAINTAIN_DEADLINE_S_MAX: u64 = 86_400;
/// Least memory of a module's process, in MiB: less does not hold an interpreter.
const MEMORY_MIB_MIN: u64 = 16;
/// Most memory of a module's process, in MiB: a terabyte.
const MEMORY_MIB_MAX: u64 = 1024 * 1024;
/// Fewest open files of a module's process.
const OPEN_FILES_MIN: u64 = 16;
/// Most open files of a module's process: the kernel's usual `fs.nr_open`.
const OPEN_FILES_MAX: u64 = 1024 * 1024;
/// Most processor time of a module's process, in seconds: a year.
const CPU_S_MAX: u64 = 365 * 86_400;
/// Most folders that a module may write to beside its own.
const WRITABLE_COUNT_MAX: usize = 64;

/// One exit module. Paths are absolute.
#[derive(Clone, Debug, PartialEq)]
pub struct ExitConfig {
    /// Its name.
    pub name: ExitName,
    /// What runs.
    pub module: ModuleConfig,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Bits of the events that it is told at most; all that it asks for without.
    pub events: Option<u32>,
    /// The condition that an event must meet, known to be one.
    pub filter: Option<String>,
    /// Whether answers wait until it has been told.
    pub before_reply: bool,
    /// Where a module that is new to the store begins.
    pub start_at: StartAt,
    /// How long it may take for one event.
    pub deadline: Duration,
    /// Most events that are under way at once.
    pub window: u32,
    /// When a failed delivery is tried again.
    pub retry: RetrySchedule,
    /// How long each call about its target may take.
    pub maintain_deadline: Duration,
    /// When its target is compared with what the CA holds by itself; never without.
    pub reconcile: Option<ReconcileConfig>,
    /// Where it runs; `modules/NAME` in the home where its table does not say.
    pub working_directory: PathBuf,
    /// Folders that it may write to although they lie in the home.
    pub writable: Vec<PathBuf>,
    /// Where the file module inside this program writes, from the home. It may, although a
    /// configuration from before `writable` does not name the folder.
    pub publishes: Option<PathBuf>,
    /// Whether it is kept from the CA's files and from most system calls.
    pub sandbox: bool,
    /// Most memory of one process, in octets.
    pub memory_bytes: u64,
    /// Most open files of one process.
    pub open_files: u64,
    /// Most processor time of one process, in seconds.
    pub cpu_s: u64,
    /// The module's own settings, passed on as they are.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// How a target is compared by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// How often.
    pub every: Duration,
    /// Whether what differs is mended.
    pub mend: bool,
}

/// What runs as a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleConfig {
    /// One of the modules inside this program.
    Shipped(String),
    /// A program with its arguments.
    Command(Vec<String>),
    /// A class of a library, in a process that loads it.
    Library {
        /// The library.
        path: PathBuf,
        /// The class, by name or by number.
        class: String,
    },
}

impl fmt::Display for ModuleConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped(name) => write!(out, "module {name}"),
            Self::Command(words) => {
                // A word that no shell could quote is shown as it is.
                let line = shlex::try_join(words.iter().map(String::as_str));
                write!(out, "command {}", line.unwrap_or_else(|_| words.join(" ")))
            }
            Self::Library { path, class } => {
                write!(out, "library {}, class {class}", path.display())
            }
        }
    }
}

/// Where a module runs whose table does not say, relative to the home.
pub fn own_folder(name: &str) -> String {
    format!("modules/{name}")
}

/// The file that a word of a command names: its path, or where it is from the home. A word without a
/// slash is no path where it stands for a program, which is searched in `PATH`.
pub fn file_of_word(home: &Path, word: &str, is_program: bool) -> Option<PathBuf> {
    let path = home.join(word);
    ((!is_program || word.contains('/')) && path.is_file()).then_some(path)
}

/// One table, checked.
pub fn checked(table: ExitTable, home: &Path) -> Result<ExitConfig, ConfigError> {
    let ExitTable {
        name,
        module,
        command,
        library,
        class,
        enabled,
        events,
        r#where,
        before_reply,
        start_at,
        deadline_s,
        window,
        retry_first_s,
        retry_longest_s,
        retry_attempts_max,
        maintain_deadline_s,
        reconcile_every_s,
        reconcile_mend,
        working_directory,
        writable,
        sandbox,
        memory_mib,
        open_files,
        cpu_s,
        settings,
    } = table;
    let key = |field: &str| format!("exit {name:?}: {field}");
    let within = |field: &str, value: u64, least: u64, most: u64| {
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        Err(value_error(key(field), format!("must be {least} to {most}")))
    };

    // 1. What runs, and where.
    let module = module_config(&key, module, command, library.map(|it| home.join(it)), class)?;
    let working_directory = match working_directory {
        Some(path) => home.join(path),
        None => home.join(own_folder(&name)),
    };
    if WRITABLE_COUNT_MAX < writable.len() {
        let reason = format!("more than {WRITABLE_COUNT_MAX} folders");
        return Err(value_error(key("writable"), reason));
    }
    let writable: Vec<PathBuf> = writable.into_iter().map(|it| home.join(it)).collect();
    let publishes = match (&module, settings.get("directory")) {
        (ModuleConfig::Shipped(it), Some(serde_json::Value::String(folder))) if it == "file" => {
            Some(home.join(folder))
        }
        _ => None,
    };

    // 2. What it is told.
    let events = events.map(|words| event_mask(&key, &words)).transpose()?;
    if let Some(text) = &r#where {
        Filter::parse(text)
            .map_err(|err| value_error(key("where"), crate::failure::chain(&err)))?;
    }
    within("deadline_s", deadline_s, 1, DEADLINE_S_MAX)?;
    within("window", window.into(), 1, exeunt_module::WINDOW_MAX.into())?;
    if retry_first_s == 0 || retry_longest_s < retry_first_s || retry_attempts_max == 0 {
        let reason = "retry_first_s must be at least 1 and at most retry_longest_s, and \
                      retry_attempts_max at least 1";
        return Err(value_error(key("retry"), reason));
    }
    let start_at = start(&key, start_at)?;
    within("maintain_deadline_s", maintain_deadline_s, 1, MAINTAIN_DEADLINE_S_MAX)?;
    let reconcile = reconcile_config(&key, reconcile_every_s, reconcile_mend)?;

    // 3. What it may use.
    within("memory_mib", memory_mib, MEMORY_MIB_MIN, MEMORY_MIB_MAX)?;
    within("open_files", open_files, OPEN_FILES_MIN, OPEN_FILES_MAX)?;
    within("cpu_s", cpu_s, 1, CPU_S_MAX)?;
    Ok(ExitConfig {
        name: ExitName::parse(&name)?,
        module,
        enabled,
        events,
        filter: r#where,
        before_reply,
        start_at,
        deadline: Duration::from_secs(deadline_s),
        window,
        retry: RetrySchedule {
            first: Duration::from_secs(retry_first_s),
            longest: Duration::from_secs(retry_longest_s),
            attempts_max: retry_attempts_max,
            ..RetrySchedule::default()
        },
        maintain_deadline: Duration::from_secs(maintain_deadline_s),
        reconcile,
        working_directory,
        writable,
        publishes,
        sandbox,
        memory_bytes: memory_mib << 20,
        open_files,
        cpu_s,
        settings,
    })
}

fn module_config(
    key: &dyn Fn(&str) -> String,
    module: Option<String>,
    command: Option<Vec<String>>,
    library: Option<PathBuf>,
    class: Option<String>,
) -> Result<ModuleConfig, ConfigError> {
    if class.is_some() != library.is_some() {
        return Err(value_error(key("library"), "library and class go together"));
    }
    match (module, command, library.zip(class)) {
        (Some(module), None, None) => {
            if !SHIPPED.contains(&module.as_str()) {
                let known = SHIPPED.join(", ");
                let reason = format!("there is no module {module:?}; there are: {known}");
                return Err(value_error(key("module"), reason));
            }
            Ok(ModuleConfig::Shipped(module))
        }
        (None, Some(command), None) if !command.is_empty() => Ok(ModuleConfig::Command(command)),
        (None, None, Some((path, class))) if !class.is_empty() => {
            Ok(ModuleConfig::Library { path, class })
        }
        _ => {
            let reason = "give exactly one of module, command (a list, the program first) and \
                          library (with class)";
            Err(value_error(key("module"), reason))
        }
    }
}

fn reconcile_config(
    key: &dyn Fn(&str) -> String,
    every_s: Option<u64>,
    mend: Option<bool>,
) -> Result<Option<ReconcileConfig>, ConfigError> {
    match (every_s, mend) {
        (Some(every_s), mend) => {
            if !(RECONCILE_EVERY_S_MIN..=RECONCILE_EVERY_S_MAX).contains(&every_s) {
                let range = format!("must be {RECONCILE_EVERY_S_MIN} to {RECONCILE_EVERY_S_MAX}");
                return Err(value_error(key("reconcile_every_s"), range));
            }
            let every = Duration::from_secs(every_s);
            Ok(Some(ReconcileConfig { every, mend: mend.unwrap_or(false) }))
        }
        (None, Some(_)) => {
            let reason = "goes with reconcile_every_s";
            Err(value_error(key("reconcile_mend"), reason))
        }
        (None, None) => Ok(None),
    }
}

fn event_mask(key: &dyn Fn(&str) -> String, words: &[String]) -> Result<u32, ConfigError> {
    if words.is_empty() {
        let reason = "name at least one event, or leave the key out for all";
        return Err(value_error(key("events"), reason));
    }
    let mut mask = 0;
    for word in words {
        let Some(kind) = EventKind::from_word(word) else {
            let known: Vec<&str> = EventKind::ALL.iter().map(|it| it.word()).collect();
            let reason = format!("there is no event {word:?}; there are: {}", known.join(", "));
            return Err(value_error(key("events"), reason));
        };
        mask |= kind.bit();
    }
    Ok(mask)
}

fn start(key: &dyn Fn(&str) -> String, start_at: StartWord) -> Result<StartAt, ConfigError> {
    match start_at {
        StartWord::Word(word) if word == "head" => Ok(StartAt::Head),
        StartWord::Word(word) if word == "first" => Ok(StartAt::After(EventSeq(0))),
        StartWord::After(place) => Ok(StartAt::After(EventSeq(place))),
        StartWord::Word(_) => {
            let reason = "must be \"head\", \"first\" or the number of an event";
            Err(value_error(key("start_at"), reason))
        }
    }
}

/// What only shows when all of them are there.
pub fn check_all(exits: &[ExitConfig]) -> Result<(), ConfigError> {
    if EXIT_COUNT_MAX < exits.len() {
        return Err(value_error("exit", format!("more than {EXIT_COUNT_MAX} modules")));
    }
    for (index, exit) in exits.iter().enumerate() {
        if exits[..index].iter().any(|it| it.name == exit.name) {
            return Err(value_error("exit", format!("the name {} is there twice", exit.name)));
        }
    }
    Ok(())
}
