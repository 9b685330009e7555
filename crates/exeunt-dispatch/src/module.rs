//! One module's process: started when it is needed, started again when it is gone or replaced.
//!
//! A module that cannot be started holds nothing: its cursor stays where it is, and the next try
//! comes after a pause that grows.

use std::{sync::Arc, time::Duration};

use exeunt_host::{BatchReport, Delivery, Fault, ModuleProcess};
use exeunt_module::{Initialize, Outcome, PROTOCOL_VERSION};
use exeunt_store::Store;
use exeunt_types::UnixMillis;

use crate::{
    call_back::Answers,
    settings::{ExitSettings, RetrySchedule},
    snapshot::Snapshots,
};

/// Pauses between two starts; a start is never given up.
const STARTS: RetrySchedule = RetrySchedule {
    first: Duration::from_secs(1),
    factor: 2,
    longest: Duration::from_mins(1),
    attempts_max: u32::MAX,
};

/// Shortest time between two looks at the executable on disk.
const REPLACED_CHECK: Duration = Duration::from_secs(1);

/// Shortest time between two looks at the folders that were opened to the process. What fails
/// meanwhile is not taken back.
const FOLDERS_CHECK: Duration = Duration::from_secs(2);

/// There is no process now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Down {
    /// Moment of the next start.
    pub(crate) until: UnixMillis,
    /// Why, in one line.
    pub(crate) why: String,
}

/// Keeps one module's process running.
#[derive(Debug)]
pub(crate) struct Module {
    settings: Arc<ExitSettings>,
    /// For what the module asks while it says hello.
    store: Store,
    snapshots: Snapshots,
    hello: Initialize,
    process: Option<ModuleProcess>,
    down: Option<Down>,
    failures: u32,
    next_check: UnixMillis,
    looks: Looks,
    starts: u64,
}

/// When the folders that were opened to the process are looked at.
#[derive(Debug, Default)]
struct Looks {
    next: UnixMillis,
    /// What failed before was taken back.
    was_taken_back: bool,
}

impl Looks {
    /// Whether to look now, because the module has failed. After what was taken back, the next
    /// failure counts: where folders are others at every look, the process would be started anew for
    /// ever, and neither the event nor the target be found out.
    fn is_time(&mut self, now: UnixMillis) -> bool {
        if std::mem::take(&mut self.was_taken_back) || now < self.next {
            return false;
        }
        self.next = now.plus(FOLDERS_CHECK);
        true
    }
}

impl Module {
    /// A module that is not started yet. `config` is the name of the CA; `starts` were tried before
    /// its settings were changed.
    pub(crate) fn new(
        settings: Arc<ExitSettings>,
        config: String,
        store: Store,
        snapshots: Snapshots,
        starts: u64,
    ) -> Self {
        let hello = Initialize {
            protocol: PROTOCOL_VERSION,
            features: exeunt_host::FEATURES.iter().map(|it| (*it).to_owned()).collect(),
            config,
            module: settings.name.to_string(),
            role: None,
            settings: settings.settings.clone(),
            window: settings.limits.window_max,
            deadline_ms: u64::try_from(settings.limits.event.as_millis()).unwrap_or(u64::MAX),
            partial: false,
        };
        Self {
            settings,
            store,
            snapshots,
            hello,
            process: None,
            down: None,
            failures: 0,
            next_check: UnixMillis::default(),
            looks: Looks::default(),
            starts,
        }
    }

    /// The running process. Starts it when there is none or another executable is there now.
    ///
    /// # Errors
    ///
    /// [`Down`] until the next start is due, or because this one failed.
    pub(crate) fn ready(
        &mut self,
        now: UnixMillis,
        random: &dyn Fn() -> u64,
    ) -> Result<&mut ModuleProcess, Down> {
        self.look(now, random);
        if self.process.is_none() {
            if let Some(down) = self.down.as_ref().filter(|it| now < it.until) {
                return Err(down.clone());
            }
            self.start(now, random)?;
        }
        Ok(self.process.as_mut().expect("BUG: the process was started above"))
    }

    /// Notices that the process has ended by itself or is out of date.
    fn look(&mut self, now: UnixMillis, random: &dyn Fn() -> u64) {
        let Some(process) = &mut self.process else { return };
        if let Some(why) = process.has_exited() {
            self.process = None;
            self.failed(why, now, random);
            return;
        }
        if self.next_check <= now {
            self.next_check = now.plus(REPLACED_CHECK);
            if process.is_replaced() {
                tracing::info!(module = %self.settings.name, "executable was replaced, starting it anew");
                self.stop();
            }
        }
    }

    fn start(&mut self, now: UnixMillis, random: &dyn Fn() -> u64) -> Result<(), Down> {
        let ExitSettings { name, command, limits, .. } = &*self.settings;
        self.starts += 1;
        let answers = Answers::new(&self.store, &self.snapshots).at(now);
        match ModuleProcess::start_with(command, limits, &self.hello, &answers) {
            Ok(process) => {
                let (pid, description) = (process.pid(), process.description());
                tracing::info!(module = %name, pid, description, "module started");
                self.next_check = now.plus(REPLACED_CHECK);
                self.process = Some(process);
                Ok(())
            }
            Err(err) => {
                let mut why = err.to_string();
                if let Some(source) = std::error::Error::source(&err) {
                    why = format!("{why}: {source}");
                }
                Err(self.failed(why, now, random))
            }
        }
    }

    /// Plans the next start. The first failure of a kind is an error in the log, its repetitions
    /// are not.
    fn failed(&mut self, why: String, now: UnixMillis, random: &dyn Fn() -> u64) -> Down {
        let name = &self.settings.name;
        if self.down.as_ref().is_some_and(|it| it.why == why) {
            tracing::debug!(module = %name, why, "module is still down");
        } else {
            tracing::error!(module = %name, why, "module is down, its events wait");
        }
        self.failures = self.failures.saturating_add(1);
        let until = now.plus(STARTS.pause(self.failures, random()));
        let down = Down { until, why };
        self.down = Some(down.clone());
        down
    }

    /// The next start need not wait for its pause.
    pub(crate) fn try_at_once(&mut self) {
        self.down = None;
        self.failures = 0;
    }

    /// Answers what an idle module asks about the CA itself.
    pub(crate) fn attend(&mut self, now: UnixMillis) {
        let Some(process) = &mut self.process else { return };
        let answers = Answers::new(&self.store, &self.snapshots).at(now);
        if let Some(fault) = process.attend(&answers) {
            self.ended(&fault);
        }
    }

    /// The process ended with a batch in hand. It is started again without a pause: whatever was to
    /// blame is found by the next batches, and their failures are spaced by the breaker.
    pub(crate) fn ended(&mut self, fault: &Fault) {
        self.process = None;
        tracing::warn!(module = %self.settings.name, code = fault.code(), %fault, "module process ended");
    }

    /// Where the module could not do what it was told, and a folder that its rules open to it is
    /// another one than at its start: takes that from the report, as if it had not been told, and
    /// stops the process. The next one is given the folder as it is now.
    pub(crate) fn take_back(&mut self, report: &mut BatchReport, now: UnixMillis) {
        let Some(process) = &self.process else { return };
        let failed = |it: &Delivery| match it {
            Delivery::Answered(Outcome::Accept | Outcome::Skip) | Delivery::Unanswered => false,
            Delivery::Answered(_) | Delivery::Failed(_) => true,
        };
        if !report.outcomes.iter().any(failed) || !self.looks.is_time(now) {
            return;
        }
        let Some(folder) = process.moved_folder() else { return };
        let (module, folder) = (&self.settings.name, folder.display());
        tracing::info!(%module, %folder, "another folder is there now, starting the module anew");
        for outcome in report.outcomes.iter_mut().filter(|it| failed(it)) {
            *outcome = Delivery::Unanswered;
        }
        self.looks.was_taken_back = true;
        self.stop();
    }

    /// The module answered: it is up, whatever it said.
    pub(crate) fn answered(&mut self) {
        self.failures = 0;
        self.down = None;
    }

    /// Asks the process to end and waits for it, for the host's limit at the longest.
    pub(crate) fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    /// The process, if one runs.
    pub(crate) fn process(&self) -> Option<&ModuleProcess> {
        self.process.as_ref()
    }

    /// Times a start was tried.
    pub(crate) fn starts(&self) -> u64 {
        self.starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_failures_in_a_row_one_counts_however_often_a_folder_is_another_one() {
        let mut looks = Looks::default();
        let taken_back: Vec<bool> = (1..=6)
            .map(|hour| {
                let is_time = looks.is_time(UnixMillis(hour * 3_600_000));
                // Another folder at every look.
                looks.was_taken_back = is_time;
                is_time
            })
            .collect();
        assert_eq!(taken_back, [true, false, true, false, true, false]);
    }

    #[test]
    fn folders_that_stay_are_looked_at_every_two_seconds_at_the_most() {
        let mut looks = Looks::default();
        let looked = [0, 1, 1_999, 2_000, 3_999, 4_000].map(|it| looks.is_time(UnixMillis(it)));
        assert_eq!(looked, [true, false, false, true, false, true]);
    }
}
