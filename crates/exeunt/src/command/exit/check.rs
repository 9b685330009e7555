//! `exeunt exit check`: whether a module keeps the contract. Needs no server.

mod configured;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use exeunt_conformance::{ModuleUnderTest, Options, Unchecked};

use super::settings::pairs;
use crate::cli::Check;
use crate::config::file_of_word;
use crate::failure::{Failure, STATUS_FAILED, plain};
use crate::home::Home;
use crate::manage::ManageError;
use crate::output;

pub fn run(options: Check) -> Result<u8, Failure> {
    let json = options.json;
    let configured = options.name.clone();
    let answer_within = Duration::from_secs(options.deadline.into());
    // The folder of a configured module lives as long as the check.
    let (module, _scratch) = module(options)?;
    let options = Options { answer_within, ..Options::default() };
    let report = output::with_progress("checking the module", || {
        exeunt_conformance::check(&module, &options)
    });
    if json {
        output::json(&report.json())?;
    } else {
        for text in report.to_string().lines() {
            output::line(&plain(text))?;
        }
    }
    if let Some(Unchecked::RefusesSettings(_)) = report.unchecked {
        let hint = match configured {
            Some(name) => format!(
                "change them in exeunt.toml, or while the server runs: exeunt exit settings set {name} \
                 KEY=VALUE"
            ),
            None => "give them with --set KEY=VALUE".to_owned(),
        };
        eprintln!("exeunt: hint: {hint}");
    }
    Ok(if report.passed() { 0 } else { STATUS_FAILED })
}

fn module(options: Check) -> Result<(ModuleUnderTest, Option<tempfile::TempDir>), Failure> {
    let Check { name, shipped, command, library, class, settings, home, yes, .. } = options;
    if let Some(name) = name {
        let home = home.ok_or_else(|| Failure::usage("usage-home", "NAME needs --home"))?;
        let (module, scratch) = configured::prepare(&Home::at(&home)?, &name, yes)?;
        return Ok((module, Some(scratch)));
    }
    let (program, args) = match (shipped, command, library, class) {
        (Some(name), ..) => run_module(&name)?,
        (_, Some(words), ..) => {
            let words = shlex::split(&words).unwrap_or_default();
            let mut words = words.into_iter().map(OsString::from);
            let program = words.next().ok_or_else(|| {
                Failure::usage("usage-exit-check", "--command is empty or a quote in it is open")
                    .hint("for example --command './census.py --quiet'")
            })?;
            (program, words.collect())
        }
        (_, _, Some(path), Some(class)) => load(&path, &class)?,
        _ => return Err(Failure::usage("usage-exit-check", "there is nothing to check")),
    };
    let settings = pairs::all(&settings)?;
    Ok((ModuleUnderTest { program, args, settings, directory: None }, None))
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|err| {
        Failure::from_error("module-missing", &err).hint("start exeunt by its full path")
    })
}

fn run_module(name: &str) -> Result<(OsString, Vec<OsString>), Failure> {
    let shipped = crate::command::run_module::SHIPPED;
    if !shipped.contains(&name) {
        return Err(Failure::usage("module-unknown", format!("there is no module {name:?}"))
            .hint(format!("there are: {}", shipped.join(", "))));
    }
    Ok((this_program()?.into(), vec!["run-module".into(), name.into()]))
}

/// The program that loads a library, and its arguments.
///
/// # Errors
///
/// It is not installed.
pub fn load(path: &Path, class: &str) -> Result<(OsString, Vec<OsString>), Failure> {
    let runner = this_program()?.with_file_name("exeunt-runner");
    if !runner.is_file() {
        let missing = ManageError::RunnerMissing(runner);
        return Err(Failure::from_error(missing.code(), &missing)
            .hint("install exeunt-runner beside exeunt"));
    }
    let path = std::path::absolute(path).unwrap_or_else(|_no_folder| path.to_owned());
    let args = ["--library".into(), path.into(), "--class".into(), class.into()];
    Ok((runner.into(), args.into()))
}

/// A word of the command; what names a file of the home is found from elsewhere.
pub fn from_home(home: &Home, word: &str, is_program: bool) -> OsString {
    file_of_word(home.path(), word, is_program).map_or_else(|| word.into(), Into::into)
}
