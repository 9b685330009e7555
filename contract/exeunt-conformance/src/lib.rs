//! Whether an exit module keeps the contract: one kit for the modules of every tier.
//!
//! [`check()`] starts the module as a process, as the server does, and drives it through everything
//! that the contract names: each event with everything that can be read about it, what is legitimate
//! and unusual, what a good host never sends, farewell and the end of input. A module of another
//! tier is checked through its runner, which speaks the process tier.
//!
//! Each rule is one entry of the [`Report`]. Nothing waits without a deadline, so the check always
//! ends. The module really does what it does: settings name a folder, a database, a mailbox that may
//! be written to.

mod answer;
mod check;
mod fixtures;
mod peer;
mod policy;
mod report;
mod rule;
mod talk;

use std::{
    ffi::OsString,
    path::PathBuf,
    time::{Duration, Instant},
};

pub use policy::{PolicyFinding, PolicyReport, check_policy};
pub use report::{About, Report, Told, Unchecked};
pub use rule::{Checked, Verdict};

/// What is checked: a program of the process tier and its settings.
#[derive(Clone, Debug)]
pub struct ModuleUnderTest {
    /// The executable; without a slash, searched in `PATH`.
    pub program: OsString,
    /// Its arguments, as they are; no shell reads them.
    pub args: Vec<OsString>,
    /// The settings that it is greeted with. They should be good ones.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Where it starts; the caller's own working directory if `None`.
    pub directory: Option<PathBuf>,
}

impl ModuleUnderTest {
    /// A program without arguments and settings, in the caller's working directory.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            settings: serde_json::Map::new(),
            directory: None,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn setting(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// Starts it in that folder.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }
}

/// How the check goes about it.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long one answer may take, and the end after a farewell. 10 s by default, which is more
    /// than a module should take for an event and less than a person waits.
    pub answer_within: Duration,
    /// How long the whole check may take. 5 min by default.
    pub whole_within: Duration,
    /// The window that is offered, 1 to [`exeunt_module::WINDOW_MAX`]. 64 by default, as the server
    /// offers.
    pub window: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(10),
            whole_within: Duration::from_mins(5),
            window: 64,
        }
    }
}

/// Checks a module. It is started some ten times, one process after the other.
#[must_use]
pub fn check(module: &ModuleUnderTest, options: &Options) -> Report {
    let start = Instant::now();
    let options =
        Options { window: options.window.clamp(1, exeunt_module::WINDOW_MAX), ..*options };
    let mut check = check::Check::new(module, &options);
    check.run();
    let words = std::iter::once(&module.program).chain(&module.args);
    let command: Vec<_> = words.map(|it| rule::cut(&it.to_string_lossy())).collect();
    let unchecked = check.unchecked();
    Report {
        command: command.join(" "),
        rules: check.findings.checked(),
        about: check.about,
        told: check.told,
        unchecked,
        stderr: check.stderr,
        took: start.elapsed(),
    }
}
