//! How a module that was just added or changed begins, and what there is to say about it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exeunt_api::{ExitState as Shown, Reloaded};
use exeunt_dispatch::{ExitState, ExitStatus};

use super::{ManageError, Manager, view};
use crate::config::{Config, ExitConfig};

/// How long a change waits for the module's process to say hello, so that whoever made it hears of
/// trouble. It goes on starting afterwards.
pub const START_WAIT_MAX: Duration = Duration::from_secs(3);
/// How often it looks.
const START_POLL: Duration = Duration::from_millis(10);

impl Manager {
    /// How a module stands; nothing where it is gone by now.
    pub(super) fn status_of(&self, exit: &ExitConfig) -> Result<Option<ExitStatus>, ManageError> {
        let statuses = self.dispatch(|it| Ok(it.status()))?;
        Ok(statuses.into_iter().find(|it| it.name == exit.name))
    }

    /// How a module stands once it has said hello, or could not; at `until` in any case.
    pub(super) fn status_at_start(
        &self,
        exit: &ExitConfig,
        until: Instant,
    ) -> Result<Option<ExitStatus>, ManageError> {
        loop {
            let status = self.status_of(exit)?;
            let is_starting = status.as_ref().is_some_and(|it| it.state == ExitState::Starting);
            if !is_starting || until <= Instant::now() {
                return Ok(status);
            }
            std::thread::sleep(START_POLL);
        }
    }

    /// Writes down which of the new and changed modules do not start.
    pub(super) fn note_who_does_not_start(
        &self,
        config: &Config,
        told: &mut Reloaded,
    ) -> Result<(), ManageError> {
        let until = Instant::now() + START_WAIT_MAX;
        for exit in &config.exits {
            let is = |names: &[String]| names.iter().any(|it| it == exit.name.as_str());
            if !is(&told.added) && !is(&told.changed) {
                continue;
            }
            let status = self.status_at_start(exit, until)?;
            if let Some(ExitStatus { state: ExitState::Down { why, .. }, .. }) = status {
                told.not_started.push(format!("{}: {why}", exit.name));
            }
        }
        Ok(())
    }
}

/// The state, as the API has it.
pub fn state(status: &ExitStatus) -> Shown {
    match status.state {
        ExitState::Starting => Shown::Starting,
        ExitState::Running => Shown::Running,
        ExitState::Waiting { .. } => Shown::Waiting,
        ExitState::Down { .. } => Shown::Down,
        ExitState::Stopped => Shown::Stopped,
        ExitState::Disabled => Shown::Disabled,
    }
}

/// What an operator should know of a module's beginning. `unasked` is what kept the module from saying
/// whether its settings will do.
pub fn notes(
    exit: &ExitConfig,
    status: Option<&ExitStatus>,
    unasked: Option<String>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let down = match status.map(|it| &it.state) {
        Some(ExitState::Down { why, .. }) => Some(why.as_str()),
        _ => None,
    };
    match (unasked, down) {
        // Most often it is one trouble, which shows twice.
        (Some(why), Some(_)) => notes.push(format!(
            "it does not start: {why}; mend it, or take it out: exeunt exit remove {}",
            exit.name
        )),
        (Some(why), None) => {
            notes.push(format!("the module could not be asked about its settings: {why}"));
        }
        (None, Some(why)) => notes
            .push(format!("it does not start and is tried again, while its events wait: {why}")),
        (None, None) => {}
    }
    if let (Some(asks), Some(allowed)) = (status.and_then(|it| it.mask), exit.events)
        && exit.enabled
        && asks & allowed == 0
    {
        let words = |mask| match view::words(mask) {
            words if words.is_empty() => "nothing".to_owned(),
            words => format!("{} only", words.join(", ")),
        };
        notes.push(format!(
            "the module asks for {} and is allowed {}: it will be told nothing",
            words(asks),
            words(allowed)
        ));
    }
    notes
}

/// A module's folder, and whether it was made for this.
#[derive(Debug)]
pub struct Made(Option<PathBuf>);

impl Made {
    /// Before anything is made.
    pub fn before(folder: &Path) -> Self {
        Self((!folder.exists()).then(|| folder.to_owned()))
    }

    /// Removes what was made, unless something is in it.
    pub fn take_back(self) {
        let Some(folder) = self.0 else { return };
        // The process that was asked had a folder for temporary files in it.
        for folder in [folder.join("tmp"), folder] {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
