//! `exeunt exit …`: what can be typed about exit modules.

use clap::{ArgGroup, Args, Subcommand};
use std::path::PathBuf;

use super::{Check, Door};

/// `exeunt exit …`.
#[derive(Debug, Subcommand)]
pub enum Exit {
    /// List exit modules and how they stand
    #[command(after_help = "Examples:\n  exeunt exit list --home ca")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Show one exit module, with the events on its shelf; without a name, list them all
    #[command(after_help = "Examples:\n  exeunt exit status file --home ca")]
    Status {
        /// Its name
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Add an exit module, while the server runs
    ///
    /// Writes a table into exeunt.toml, after asking the module whether its settings will do, and
    /// starts it. It is told what happens from now on, unless one of the --from options says more.
    #[command(after_help = "Examples:
  exeunt exit add copies --use file --set directory=certificates --home ca
  exeunt exit add mail --command '/usr/local/bin/mail --quiet' --set to=ca@example.test --home ca
  exeunt exit add register --command register --from-start --events issued,denied --home ca
  exeunt exit add old --library /usr/lib/old.so --class Old.Exit --home ca \\
    --where 'event.kind == \"issued\"'")]
    Add(Add),

    /// Check whether an exit module keeps the contract; needs no server
    ///
    /// Starts the module some ten times and drives it through everything that the contract names.
    /// It really does what it does: it is told of certificates that never existed, and publishes them
    /// where its settings lead. To try the target of a configured module use exit test. Exit status 1
    /// says that the module breaks a rule.
    #[command(after_help = "Examples:
  exeunt exit check --command './census.py' --set directory=/tmp/census
  exeunt exit check --library ./libcensus.so --class Example.Census --json
  exeunt exit check file --yes --home ca")]
    Check(Check),

    /// Remove an exit module
    ///
    /// Says what it has not been told, and asks. Its place in the log and its parked events are kept
    /// under its name, unless --drop-backlog is given.
    #[command(after_help = "Examples:
  exeunt exit remove mail --home ca
  exeunt exit remove mail --drop-backlog --yes --home ca")]
    Remove(Remove),

    /// Switch an exit module on
    #[command(after_help = "Examples:\n  exeunt exit enable mail --home ca")]
    Enable(Named),

    /// Switch an exit module off; its events wait
    #[command(after_help = "Examples:\n  exeunt exit disable mail --home ca")]
    Disable(Named),

    /// Read and change an exit module's own settings
    #[command(subcommand, after_help = "Examples:\n  exeunt exit settings get file --home ca")]
    Settings(Settings),

    /// Look after the events that an exit module did not take
    #[command(subcommand, after_help = "Examples:\n  exeunt exit parked list mail --home ca")]
    Parked(Parked),

    /// Tell an exit module old events again
    ///
    /// Goes back to the first one, and on from where it stands now after the last one. A module
    /// knows an event that it has had by its id.
    #[command(after_help = "Examples:
  exeunt exit replay register --from 100 --to 250 --home ca
  exeunt exit replay register --cancel --home ca")]
    Replay(Replay),

    /// Try an exit module's target: connect, authenticate, look at rights and schema
    ///
    /// Says what the module would write for what the CA has done last, and writes nothing. The module
    /// goes on meanwhile. Exit status 1 says that a check failed.
    #[command(after_help = "Examples:\n  exeunt exit test directory --home ca")]
    Test(Named),

    /// Prepare an exit module's target, or say what it needs
    ///
    /// Says what it would make, asks, and makes it. With --print or --out it makes nothing, and gives a
    /// text to be applied by hand, where the target has such texts.
    #[command(after_help = "Examples:
  exeunt exit install directory --home ca
  exeunt exit install directory --print --home ca
  exeunt exit install register --out schema.sql --home ca")]
    Install(Install),

    /// Compare an exit module's target with what the CA holds, and mend it if told to
    ///
    /// Lists what is missing, stale or should not be there. With --mend the module is told nothing
    /// meanwhile; its events wait. Ctrl-C ends it in order. Exit status 1 says that something is left
    /// that is not as it should be.
    #[command(after_help = "Examples:
  exeunt exit reconcile files --home ca
  exeunt exit reconcile files --mend --home ca")]
    Reconcile(Reconcile),

    /// Say why an exit module is told of a request, or is not
    #[command(after_help = "Examples:\n  exeunt exit explain mail --request 17 --home ca")]
    Explain {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Number of the request
        #[arg(long, value_name = "ID")]
        request: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Follow what an exit module is told, until Ctrl-C
    #[command(after_help = "Examples:
  exeunt exit tail mail --home ca
  exeunt exit tail mail --from-start --lines 10 --json --home ca")]
    Tail(Tail),
}

/// Options of `exit install`.
#[derive(Debug, Args)]
pub struct Install {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Make nothing; write what is to be applied by hand to standard output
    #[arg(long)]
    pub print: bool,

    /// Make nothing; write what is to be applied by hand to a new file
    #[arg(long, value_name = "FILE", conflicts_with = "print")]
    pub out: Option<PathBuf>,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// Print JSON
    #[arg(long, conflicts_with_all = ["print", "out"])]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `exit reconcile`.
#[derive(Debug, Args)]
pub struct Reconcile {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Mend what differs
    #[arg(long)]
    pub mend: bool,

    /// End the maintenance that is under way, whoever has ordered it
    #[arg(long, conflicts_with_all = ["mend", "limit"])]
    pub cancel: bool,

    /// Most findings that are shown; all are counted
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub limit: u64,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `exit add`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["shipped", "command", "library"]))]
pub struct Add {
    /// Its name: 1 to 64 of a-z, 0-9 and -, starting with a letter
    #[arg(value_name = "NAME")]
    pub name: String,

    /// A module that is inside this program: file, directory, mail, webhook, bus, sql, object, syslog
    /// or command
    #[arg(long = "use", value_name = "MODULE")]
    pub shipped: Option<String>,

    /// A program and its arguments, split at blanks as a shell does; no shell runs
    #[arg(long, value_name = "WORDS")]
    pub command: Option<String>,

    /// A library with classes that are exit modules
    #[arg(long, value_name = "FILE", requires = "class")]
    pub library: Option<PathBuf>,

    /// The class of the library, by name (`Example.Exit`) or by number (`{…}`)
    #[arg(long, value_name = "PROGID", requires = "library", conflicts_with_all = ["shipped", "command"])]
    pub class: Option<String>,

    /// Condition that an event must meet, in CEL
    #[arg(long = "where", value_name = "EXPR")]
    pub filter: Option<String>,

    /// Events that it is told, out of those that it asks for, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub events: Option<Vec<String>>,

    /// Answers to requests wait until it has been told, up to `before_reply_s`
    #[arg(long)]
    pub before_reply: bool,

    /// Tell it everything from the beginning
    #[arg(long, conflicts_with = "from_event")]
    pub from_start: bool,

    /// Tell it everything from this event on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub from_event: Option<u64>,

    /// A setting of its own (can be repeated); the value is TOML, or plain text where it is not valid TOML
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `exit remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Forget its place in the log and its parked events as well
    #[arg(long)]
    pub drop_backlog: bool,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// A module and nothing else.
#[derive(Debug, Args)]
pub struct Named {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// `exeunt exit settings …`.
#[derive(Debug, Subcommand)]
pub enum Settings {
    /// Show what it is set to
    #[command(after_help = "Examples:
  exeunt exit settings get file --home ca
  exeunt exit settings get file directory --home ca")]
    Get {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// One setting alone
        #[arg(value_name = "KEY")]
        key: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// Change settings; the module is asked first and goes on with them
    ///
    /// A value is TOML, or plain text where it is not valid TOML: 25 is a number, true is true, smtp is
    /// a text, and so is '"25"'. A key with dots is a setting in a table; the others of that table stay,
    /// and so do the comments in exeunt.toml.
    #[command(after_help = "Examples:
  exeunt exit settings set mail port=2525 to=ca@example.test --home ca
  exeunt exit settings set file 'pattern={subject_cn}-{serial}.pem' --home ca
  exeunt exit settings set directory objects.container=ou=pki,dc=example,dc=com --home ca
  exeunt exit settings set mail --unset port --home ca")]
    Set {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Settings and their new values
        #[arg(value_name = "KEY=VALUE", required_unless_present = "unset")]
        settings: Vec<String>,
        /// A setting to leave out from now on (can be repeated)
        #[arg(long, value_name = "KEY")]
        unset: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Which server
        #[command(flatten)]
        door: Door,
    },

    /// List the settings that the module knows
    #[command(after_help = "Examples:\n  exeunt exit settings list file --home ca")]
    List(Named),
}

/// `exeunt exit parked …`.
#[derive(Debug, Subcommand)]
pub enum Parked {
    /// List its parked events
    #[command(after_help = "Examples:\n  exeunt exit parked list mail --home ca")]
    List(Named),

    /// Show parked or held events with all that is known of them
    ///
    /// With --all, those that are parked.
    #[command(
        override_usage = "exeunt exit parked show [OPTIONS] <NAME> <EVENT>...
       exeunt exit parked show [OPTIONS] <NAME> --all",
        after_help = "Examples:\n  exeunt exit parked show mail 17 --home ca"
    )]
    Show(ShelfEvents),

    /// Tell parked and held events once more, at once
    #[command(
        override_usage = "exeunt exit parked retry [OPTIONS] <NAME> <EVENT>...
       exeunt exit parked retry [OPTIONS] <NAME> --all",
        after_help = "Examples:
  exeunt exit parked retry mail 17 18 --home ca
  exeunt exit parked retry mail --all --home ca"
    )]
    Retry(ShelfEvents),

    /// Give events up for good that are parked or held
    ///
    /// With --all, those that are parked.
    #[command(
        override_usage = "exeunt exit parked drop [OPTIONS] --reason <TEXT> <NAME> <EVENT>...
       exeunt exit parked drop [OPTIONS] --reason <TEXT> <NAME> --all",
        after_help = "Examples:
  exeunt exit parked drop mail 17 --reason 'the mailbox is gone' --home ca
  exeunt exit parked drop mail --all --reason 'it was a test' --home ca"
    )]
    Drop {
        /// Why, for the audit trail
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Which
        #[command(flatten)]
        events: ShelfEvents,
    },
}

fn event_number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not the number of an event"))
}

/// Events on a module's shelf.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["events", "all"]))]
pub struct ShelfEvents {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Numbers of the events
    #[arg(value_name = "EVENT", value_parser = event_number)]
    pub events: Vec<u64>,

    /// All of them
    #[arg(long)]
    pub all: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `exit replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// First event
    #[arg(long, value_name = "N", requires = "to", required_unless_present = "cancel")]
    pub from: Option<u64>,

    /// Last event
    #[arg(long, value_name = "M", requires = "from")]
    pub to: Option<u64>,

    /// End the replay that is under way
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub cancel: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}

/// Options of `exit tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Begin with what it was told before, as far as the server remembers: about a thousand events
    #[arg(long)]
    pub from_start: bool,

    /// End after so many lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub lines: Option<u64>,

    /// Print JSON, one object on each line
    #[arg(long)]
    pub json: bool,

    /// Which server
    #[command(flatten)]
    pub door: Door,
}
