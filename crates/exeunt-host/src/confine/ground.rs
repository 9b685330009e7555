//! The folders that a running module was given, and whether they are still the same.
//!
//! A grant is of what stands at a path when the process starts, not of the path: a folder that is
//! made anew there, mounted over or made only later is closed to the process, while every process
//! that starts from then on is given it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use exeunt_module::Outcome;

use super::{Confinement, Trampoline, support};
use crate::{command::ModuleCommand, error::one_line, process::TEXT_CHARS_MAX};

/// Most folders that a reason names.
const NAMED_MAX: usize = 4;

/// How the system's "no" looks in a module's words (`EACCES`): of C, Rust and the shell; of Rust and
/// Python; of Node. Go writes it small, at the end. A server's "permission denied for table" is none.
const DENIALS: [&str; 4] = ["Permission denied", "os error 13)", "Errno 13]", "EACCES"];
const DENIAL_AT_END: &str = ": permission denied";

/// What a process was given by its rules, as it was at its start.
#[derive(Debug, Default)]
pub(crate) struct Ground {
    /// Each folder, and what stood there.
    folders: Vec<(PathBuf, Option<Identity>)>,
    /// How many of them, from the first, a process does not start without.
    needed: usize,
    /// What a module is told of that the system refuses something; `None` where nothing is closed.
    hint: Option<String>,
}

/// What stands at a path: device and inode. The system keeps the number of a folder that was given
/// to a process from being used again as long as the process runs.
type Identity = (u64, u64);

impl Ground {
    /// What a process would be given now. To be asked before it starts: what changes right then
    /// counts as changed, which costs one start too many instead of one too few.
    pub(crate) fn of(command: &ModuleCommand) -> Self {
        let Some(Trampoline { confinement, .. }) = &command.confine else { return Self::default() };
        if !confinement.sandbox || support().landlock.is_none() {
            return Self::default();
        }
        let here = &command.working_directory;
        let Confinement { writable, writable_if_there, readable_folders, .. } = confinement;
        let named = writable.iter().chain(writable_if_there).chain(readable_folders);
        let folders = named.map(|it| here.join(it)).chain([here.clone()]);
        let folders = folders.map(|it| (identity(&it), it)).map(|(was, it)| (it, was)).collect();
        Self { folders, needed: writable.len(), hint: hint(here, confinement) }
    }

    /// The first of the folders that is another one now. One that is gone is not another one: the
    /// process would gain nothing by a new start, and the folder may come back. Nor is there one as
    /// long as a new process would not start.
    pub(crate) fn moved(&self) -> Option<&Path> {
        if self.folders.iter().take(self.needed).any(|(path, _)| identity(path).is_none()) {
            return None;
        }
        let is_other =
            |path: &Path, was: Option<Identity>| identity(path).is_some_and(|now| was != Some(now));
        self.folders.iter().find(|(path, was)| is_other(path, *was)).map(|(path, _)| path.as_path())
    }

    /// A module's words, and where the system has refused it something, that its rules may be why.
    pub(crate) fn explain(&self, words: String) -> String {
        let is_denial = DENIALS.iter().any(|it| words.contains(it))
            || words.trim_end().ends_with(DENIAL_AT_END);
        match &self.hint {
            // A module that shows another one's words would have it said twice.
            Some(hint) if is_denial && !words.contains(hint.as_str()) => {
                let room = TEXT_CHARS_MAX.saturating_sub(hint.chars().count() + 1);
                format!("{} {hint}", one_line(words.trim_end(), room))
            }
            _ => words,
        }
    }

    /// As [`Self::explain`], for the reason of an outcome.
    pub(crate) fn explain_outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Retry { after_ms, reason } => {
                Outcome::Retry { after_ms, reason: self.explain(reason) }
            }
            Outcome::TargetDown { after_ms, reason } => {
                Outcome::TargetDown { after_ms, reason: self.explain(reason) }
            }
            Outcome::Park { reason } => Outcome::Park { reason: self.explain(reason) },
            other => other,
        }
    }
}

fn identity(path: &Path) -> Option<Identity> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_dir)?;
    Some((metadata.dev(), metadata.ino()))
}

/// What is closed, what is not, and how more is opened. In brackets, behind the module's own words.
fn hint(here: &Path, confinement: &Confinement) -> Option<String> {
    let closed = confinement.forbidden.first()?.display();
    let Confinement { writable, writable_if_there, .. } = confinement;
    let named = [here.to_owned()];
    let folders: Vec<String> = named
        .iter()
        .chain(writable)
        .chain(writable_if_there)
        .map(|it| here.join(it).display().to_string())
        .collect();
    let more = folders.len().saturating_sub(NAMED_MAX);
    let shown = folders.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!(
        "(this module is confined: in {closed}, and among what is made beside it later, it may write \
         in {shown}{more}, as far as these were there when it started; the setting `writable` opens \
         more)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ground(home: &Path) -> Ground {
        Ground {
            folders: ["here", "later"]
                .map(|it| home.join(it))
                .map(|it| (it.clone(), identity(&it)))
                .to_vec(),
            needed: 0,
            hint: Some("(it is confined)".to_owned()),
        }
    }

    #[test]
    fn as_long_as_a_needed_folder_is_gone_no_start_would_help() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("later")).unwrap();
        let ground = Ground { needed: 1, ..ground(home.path()) };
        fs::rename(home.path().join("later"), home.path().join("aside")).unwrap();
        fs::create_dir(home.path().join("later")).unwrap();
        assert_eq!(ground.moved(), None);
        fs::create_dir(home.path().join("here")).unwrap();
        assert!(ground.moved().is_some());
    }

    #[test]
    fn a_folder_that_is_made_anew_or_later_is_another_one_and_one_that_is_gone_is_not() {
        let home = tempfile::tempdir().unwrap();
        let (here, later) = (home.path().join("here"), home.path().join("later"));
        fs::create_dir(&here).unwrap();
        let ground = ground(home.path());
        assert_eq!(ground.moved(), None);
        // What is in it is no matter.
        fs::write(here.join("file"), "x").unwrap();
        assert_eq!(ground.moved(), None);
        fs::rename(&here, home.path().join("aside")).unwrap();
        assert_eq!(ground.moved(), None);
        fs::create_dir(&here).unwrap();
        assert_eq!(ground.moved(), Some(here.as_path()));
        fs::remove_dir(&here).unwrap();
        fs::rename(home.path().join("aside"), &here).unwrap();
        assert_eq!(ground.moved(), None);
        fs::write(&later, "no folder").unwrap();
        assert_eq!(ground.moved(), None);
        fs::remove_file(&later).unwrap();
        fs::create_dir(&later).unwrap();
        assert_eq!(ground.moved(), Some(later.as_path()));
    }

    #[test]
    fn what_the_system_refuses_is_explained_and_what_a_server_refuses_is_not() {
        let ground = ground(Path::new("/none"));
        for words in [
            "opening /x: Permission denied (os error 13)",
            "[Errno 13] Permission denied: '/x'",
            "Error: EACCES: permission denied, open '/x'",
            "open /x: permission denied",
            "sh: 1: cannot create /x: Permission denied",
        ] {
            let explained = ground.explain(words.to_owned());
            assert_eq!(explained, format!("{words} (it is confined)"));
            assert_eq!(ground.explain(explained.clone()), explained);
        }
        for words in ["permission denied for table x", "No such file or directory", ""] {
            assert_eq!(ground.explain(words.to_owned()), words);
        }
        let long = ground.explain(format!("Permission denied {}", "x".repeat(2 * TEXT_CHARS_MAX)));
        assert!(long.ends_with("… (it is confined)"), "{long}");
        assert!(long.chars().count() <= TEXT_CHARS_MAX + 1, "{}", long.chars().count());
        let free = Ground::default();
        assert_eq!(free.explain("Permission denied".to_owned()), "Permission denied");
    }
}
