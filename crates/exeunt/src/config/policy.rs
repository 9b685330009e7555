//! `[policy]`: the policy module, if there is one, checked.

use std::path::Path;
use std::time::Duration;

use exeunt_policy::OnFailure;

use super::exit::{self, ExitConfig};
use super::file::{ExitTable, PolicyTable};
use super::{ConfigError, value_error};

/// Longest deadline for one request, in seconds: somebody waits for the answer.
const DEADLINE_S_MAX: u64 = 300;
/// Deadline for one request where nothing is said, in seconds.
const DEADLINE_S_DEFAULT: u64 = 10;
/// Validity of certificates where neither a template nor the configuration says it, in days: a year.
const VALIDITY_DAYS_DEFAULT: u32 = 365;
/// Longest validity, in days: a hundred years.
const VALIDITY_DAYS_MAX: u32 = 36_525;
/// How far `notBefore` lies before issuance: the original's `ClockSkewMinutes`.
const BACKDATE: Duration = Duration::from_mins(10);
/// The module's name, in its greeting and in the log.
pub const POLICY_NAME: &str = "policy";
/// The policy that is no module of others.
const TEMPLATES: &str = "templates";
/// Where the module runs if its table does not say, relative to the home.
const OWN_FOLDER: &str = "policy-module";

/// A policy module. Paths are absolute.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyConfig {
    /// What runs and what it is kept from, in the terms of exit modules; what is about events there
    /// has no meaning here.
    pub runs: ExitConfig,
    /// Whether the templates decide first and the module can only be stricter.
    pub chain: bool,
    /// What becomes of a request that the module does not decide about.
    pub on_failure: OnFailure,
    /// Whether it is only asked.
    pub audit: bool,
    /// How long certificates hold at most, where no template says it.
    pub validity: Duration,
    /// How far `notBefore` lies before issuance, where no template says it.
    pub backdate: Duration,
}

/// The table, checked; nothing where it names no module.
pub fn checked(table: &PolicyTable, home: &Path) -> Result<Option<PolicyConfig>, ConfigError> {
    let key = |field: &str| format!("policy.{field}");
    // 1. Whether there is a module.
    match table.module.as_deref() {
        None | Some(TEMPLATES) => (),
        Some(other) => {
            let reason = format!(
                "there is no policy {other:?}; there is {TEMPLATES:?}, and what command or library say"
            );
            return Err(value_error(key("module"), reason));
        }
    }
    let PolicyTable { command, library, class, .. } = table;
    if command.is_none() && library.is_none() && class.is_none() {
        let said = said_of_module(table);
        return match said.first() {
            None => Ok(None),
            Some(field) => {
                let reason = "is for a policy module; name one with command, or library and class";
                Err(value_error(key(field), reason))
            }
        };
    }
    if table.module.is_some() {
        let reason =
            "give one of module, command (a list, the program first) and library (with class)";
        return Err(value_error(key("module"), reason));
    }

    // 2. What runs, as an exit module would.
    let mut runs = ExitTable::of_policy(POLICY_NAME, table);
    runs.working_directory.get_or_insert_with(|| OWN_FOLDER.into());
    let mut runs = exit::checked(runs, home).map_err(|err| match err {
        // Its key names a module that the file does not have.
        ConfigError::Value { key: path, reason } => {
            let field = path.rsplit(": ").next().unwrap_or_default();
            value_error(key(field), reason)
        }
        err => err,
    })?;

    // 3. What its word counts.
    let deadline_s = table.deadline_s.unwrap_or(DEADLINE_S_DEFAULT);
    if deadline_s == 0 || DEADLINE_S_MAX < deadline_s {
        return Err(value_error(key("deadline_s"), format!("must be 1 to {DEADLINE_S_MAX}")));
    }
    runs.deadline = Duration::from_secs(deadline_s);
    let validity_days = table.validity_days.unwrap_or(VALIDITY_DAYS_DEFAULT);
    if validity_days == 0 || VALIDITY_DAYS_MAX < validity_days {
        return Err(value_error(key("validity_days"), format!("must be 1 to {VALIDITY_DAYS_MAX}")));
    }
    let on_failure = match table.on_failure.as_deref() {
        None | Some("pend") => OnFailure::Pend,
        Some("fail") => OnFailure::Fail,
        Some(other) => {
            let reason = format!("{other:?} is not known; there are pend and fail");
            return Err(value_error(key("on_failure"), reason));
        }
    };
    Ok(Some(PolicyConfig {
        runs,
        // Whoever says nothing keeps what the templates say.
        chain: table.chain.unwrap_or(true),
        on_failure,
        audit: table.audit.unwrap_or(false),
        validity: Duration::from_hours(24 * u64::from(validity_days)),
        backdate: BACKDATE,
    }))
}

/// Keys that mean nothing without a module.
fn said_of_module(table: &PolicyTable) -> Vec<&'static str> {
    let PolicyTable {
        default_template: _,
        module: _,
        command: _,
        library: _,
        class: _,
        chain,
        on_failure,
        audit,
        deadline_s,
        validity_days,
        working_directory,
        writable,
        sandbox,
        memory_mib,
        open_files,
        cpu_s,
        settings,
    } = table;
    [
        ("chain", chain.is_some()),
        ("on_failure", on_failure.is_some()),
        ("audit", audit.is_some()),
        ("deadline_s", deadline_s.is_some()),
        ("validity_days", validity_days.is_some()),
        ("working_directory", working_directory.is_some()),
        ("writable", !writable.is_empty()),
        ("sandbox", sandbox.is_some()),
        ("memory_mib", memory_mib.is_some()),
        ("open_files", open_files.is_some()),
        ("cpu_s", cpu_s.is_some()),
        ("settings", !settings.is_empty()),
    ]
    .into_iter()
    .filter(|(_, said)| *said)
    .map(|(key, _)| key)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<PolicyConfig>, String> {
        let table: PolicyTable = toml::from_str(text).map_err(|err| err.to_string())?;
        checked(&table, Path::new("/ca")).map_err(|err| err.to_string())
    }

    #[test]
    fn without_a_module_the_templates_decide() {
        for text in ["", "default_template = \"tls\"", "module = \"templates\""] {
            assert_eq!(read(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn a_module_is_chained_pends_on_failure_and_is_obeyed_where_nothing_else_is_said() {
        let config = read("command = [\"guard\"]").unwrap().unwrap();
        assert!(config.chain && !config.audit && config.runs.sandbox);
        assert_eq!(config.on_failure, OnFailure::Pend);
        assert_eq!(config.runs.deadline, Duration::from_secs(10));
        assert_eq!(config.validity, Duration::from_hours(24 * 365));
        assert_eq!(config.runs.working_directory, Path::new("/ca/policy-module"));
        let config = read(
            "library = \"p.so\"\nclass = \"P.Policy\"\nchain = false\non_failure = \"fail\"\naudit = true\n\
             deadline_s = 3\nvalidity_days = 30\n[settings]\na = 1",
        );
        let config = config.unwrap().unwrap();
        assert!(!config.chain && config.audit);
        assert_eq!(config.on_failure, OnFailure::Fail);
        assert_eq!(config.runs.settings["a"], 1);
    }

    #[test]
    fn what_does_not_do_is_refused_with_its_key() {
        for (text, expected) in [
            ("module = \"guard\"", "policy.module: there is no policy \"guard\""),
            ("chain = true", "policy.chain: is for a policy module"),
            ("[settings]\na = 1", "policy.settings: is for a policy module"),
            ("module = \"templates\"\ncommand = [\"a\"]", "policy.module: give one of"),
            ("command = []", "policy.module: give exactly one of"),
            ("library = \"p.so\"", "library and class go together"),
            ("command = [\"a\"]\non_failure = \"issue\"", "policy.on_failure: \"issue\" is not"),
            ("command = [\"a\"]\ndeadline_s = 0", "policy.deadline_s: must be 1 to 300"),
            ("command = [\"a\"]\nvalidity_days = 0", "policy.validity_days: must be 1 to 36525"),
            ("command = [\"a\"]\nmemory_mib = 1", "policy.memory_mib: must be"),
            ("command = [\"a\"]\nwindow = 1", "unknown field `window`"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }
}
