//! Looks after a module's target, beside its deliveries: tries it, prepares it, compares it with
//! what the CA holds.
//!
//! It happens in a process of its own, on the caller's thread. The process that is told of events
//! goes on; only where something is to be mended does it rest meanwhile, and its events wait in the
//! log. Enter at [`Maintainer::run`].

mod held;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use exeunt_host::{MaintainCall, MaintainError, ModuleProcess};
use exeunt_module::{
    Initialize, PROTOCOL_VERSION,
    call_back::CALL_BACKS,
    maintain::{Compared, InstallReport, TestReport},
};
use exeunt_store::{Store, StoreError};
use exeunt_types::{ExitName, UnixMillis};

use self::held::{Held, HeldAnswers, Portion};
use crate::{
    call_back::Answers,
    filter::Filter,
    settings::ExitSettings,
    shared::{Clock, Seat},
    snapshot::Snapshots,
    status::ExitState,
    worker::NICE,
};

/// Time for a module's process to finish the batch in hand and end, before its target is mended.
pub const REST_WAIT_MAX: Duration = Duration::from_mins(1);

/// Most calls of `ReconcileEnd`; a module that then still has more is not believed.
pub const END_CALLS_MAX: u32 = 10_000;

/// How often it is looked whether the process has ended.
const REST_POLL: Duration = Duration::from_millis(10);

/// What is to be done for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// Connect, authenticate, look; write nothing.
    Test,
    /// Make what has to be there, or only say what that is.
    Install {
        /// Whether to make it.
        apply: bool,
    },
    /// Compare it with what the CA holds.
    Reconcile {
        /// Whether to mend what differs.
        mend: bool,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maintained {
    /// Of [`Maintenance::Test`].
    Tested(TestReport),
    /// Of [`Maintenance::Install`].
    Installed(InstallReport),
    /// Of [`Maintenance::Reconcile`]; what was found was told to [`FollowMaintenance`].
    Reconciled,
}

/// Whoever has it done, and hears how far it is.
pub trait FollowMaintenance {
    /// Whether it is to end. Asked several times a second.
    fn is_cancelled(&self) -> bool;

    /// How many things are compared in all, as far as that is known.
    fn expects(&self, total: u64);

    /// So many more were looked at, with what came of them.
    fn compared(&self, looked_at: u64, compared: Compared);
}

/// Why it was not done, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintenanceError {
    /// The module did not, or not so.
    #[error(transparent)]
    Module(#[from] MaintainError),
    /// What the CA holds cannot be read.
    #[error("reading what the CA holds failed")]
    Store(#[from] StoreError),
    /// The module's other process was busy for too long. Nothing was mended.
    #[error("module {0} is busy with its events; nothing was mended")]
    Busy(ExitName),
}

impl MaintenanceError {
    /// Stable code. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Module(err) => err.code(),
            Self::Store(err) => err.code(),
            Self::Busy(_) => "exit-busy",
        }
    }
}

/// Looks after one module's target, with the settings that the module had when this was made.
#[derive(Clone)]
pub struct Maintainer {
    pub(crate) store: Store,
    pub(crate) settings: Arc<ExitSettings>,
    pub(crate) snapshots: Snapshots,
    pub(crate) clock: Clock,
    /// Name of the CA.
    pub(crate) config: String,
    pub(crate) seat: Arc<Seat>,
    /// Wakes the worker, and says whether there is one.
    pub(crate) worker: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Maintainer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Maintainer").field("module", &self.settings.name).finish_non_exhaustive()
    }
}

/// What is compared with a target: what the module would be told of.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    pub(crate) mask: u32,
    pub(crate) filter: Option<&'a Filter>,
    /// Without what the module fetches when it needs it.
    pub(crate) lean: bool,
}

impl Maintainer {
    /// Does it on the caller's thread, which is there for nothing else: it gets the priority of those
    /// that deliver. Each call of the module has `limit`.
    ///
    /// # Errors
    ///
    /// [`MaintenanceError`]. What was mended before stays mended. The process is gone in any case,
    /// and the module's other one goes on.
    pub fn run(
        &self,
        what: Maintenance,
        limit: Duration,
        follow: &dyn FollowMaintenance,
    ) -> Result<Maintained, MaintenanceError> {
        // On Linux this is the priority of the calling thread alone.
        if let Err(err) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(module = %self.settings.name, %err, "no such priority");
        }
        self.await_hello(follow);
        // Rests until the end of this function, however it ends.
        let _rest = match what {
            Maintenance::Reconcile { mend: true } => Some(self.rest(follow)?),
            _ => None,
        };
        let now = (self.clock)();
        let answers = Answers::new(&self.store, &self.snapshots).at(now);
        let ExitSettings { command, limits, .. } = &*self.settings;
        let process = ModuleProcess::start_to_maintain(command, limits, &self.hello(), &answers)?;
        let mut process = Process { of_module: process, limit, follow };
        let done = self.work(what, &mut process, &answers, now);
        // One that was killed is stopped at once.
        process.of_module.stop();
        done
    }

    fn work(
        &self,
        what: Maintenance,
        process: &mut Process<'_>,
        answers: &Answers<'_>,
        now: UnixMillis,
    ) -> Result<Maintained, MaintenanceError> {
        // A module that has not said yet what it wants to hear is asked about everything.
        let mask = self.seat.numbers().status.mask.unwrap_or(u32::MAX);
        let told = Told {
            mask: mask & self.settings.events.unwrap_or(u32::MAX),
            filter: self.settings.filter.as_ref(),
            lean: process.of_module.has_feature(CALL_BACKS),
        };
        let mut held = Held::new(&self.store, &self.snapshots, told, now);
        match what {
            Maintenance::Test => {
                let portion = held.samples()?;
                let call_backs = HeldAnswers::new(answers, &portion);
                let samples = portion.events.clone();
                let report = process.call(&call_backs, |it, how| it.test_target(samples, how))?;
                Ok(Maintained::Tested(report))
            }
            Maintenance::Install { apply } => {
                let report = process.call(answers, |it, how| it.install_target(apply, how))?;
                Ok(Maintained::Installed(report))
            }
            Maintenance::Reconcile { mend } => {
                process.follow.expects(held.total()?);
                process.reconcile(mend, answers, &mut held)?;
                Ok(Maintained::Reconciled)
            }
        }
    }

    fn hello(&self) -> Initialize {
        let ExitSettings { name, settings, limits, events, filter, .. } = &*self.settings;
        Initialize {
            protocol: PROTOCOL_VERSION,
            features: exeunt_host::FEATURES.iter().map(|it| (*it).to_owned()).collect(),
            config: self.config.clone(),
            module: name.to_string(),
            role: None,
            settings: settings.clone(),
            window: 1,
            deadline_ms: u64::try_from(limits.event.as_millis()).unwrap_or(u64::MAX),
            partial: events.is_some() || filter.is_some(),
        }
    }

    /// A module that is just starting says in a moment what it wants to hear.
    fn await_hello(&self, follow: &dyn FollowMaintenance) {
        let until = Instant::now() + self.settings.limits.hello;
        let is_starting = || {
            let numbers = self.seat.numbers();
            numbers.status.mask.is_none() && numbers.status.state == ExitState::Starting
        };
        while is_starting() && (self.worker)() && !follow.is_cancelled() && Instant::now() < until {
            thread::sleep(REST_POLL);
        }
    }

    /// Has the module's other process end, and keeps it so while the answer lives.
    fn rest(&self, follow: &dyn FollowMaintenance) -> Result<Rest<'_>, MaintenanceError> {
        let rest = Rest(self);
        self.seat.pause.want(true);
        let until = Instant::now() + REST_WAIT_MAX;
        while (self.worker)() && !self.seat.pause.is_resting() {
            if follow.is_cancelled() {
                return Err(MaintainError::Cancelled.into());
            }
            if until <= Instant::now() {
                return Err(MaintenanceError::Busy(self.settings.name.clone()));
            }
            thread::sleep(REST_POLL);
        }
        Ok(rest)
    }
}

/// As long as it lives, the module's other process does not run.
struct Rest<'a>(&'a Maintainer);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.seat.pause.want(false);
        (self.0.worker)();
    }
}

/// The process that looks after the target, and who follows it.
struct Process<'a> {
    of_module: ModuleProcess,
    limit: Duration,
    follow: &'a dyn FollowMaintenance,
}

impl Process<'_> {
    fn reconcile(
        &mut self,
        mend: bool,
        answers: &Answers<'_>,
        held: &mut Held<'_>,
    ) -> Result<(), MaintenanceError> {
        while let Some(portion) = held.next_portion()? {
            if self.follow.is_cancelled() {
                return Err(MaintainError::Cancelled.into());
            }
            let Portion { looked_at, .. } = portion;
            let mut compared = Compared::default();
            if !portion.events.is_empty() {
                let call_backs = HeldAnswers::new(answers, &portion);
                let events = portion.events.clone();
                compared =
                    self.call(&call_backs, |it, how| it.reconcile_target(events, mend, how))?;
            }
            compared.findings.extend(portion.unsent);
            self.follow.compared(looked_at, compared);
        }
        for _ in 0..END_CALLS_MAX {
            let compared = self.call(answers, |it, how| it.end_reconcile(mend, how))?;
            let is_last = !compared.more;
            self.follow.compared(0, compared);
            if is_last {
                return Ok(());
            }
        }
        let reason = format!("there is still more after {END_CALLS_MAX} calls of ReconcileEnd");
        Err(MaintainError::Nonsense { reason }.into())
    }

    fn call<T>(
        &mut self,
        call_backs: &dyn exeunt_host::CallBacks,
        call: impl FnOnce(&mut ModuleProcess, &MaintainCall<'_>) -> Result<T, MaintainError>,
    ) -> Result<T, MaintainError> {
        let follow = self.follow;
        let is_cancelled = || follow.is_cancelled();
        let how = MaintainCall { limit: self.limit, call_backs, is_cancelled: &is_cancelled };
        call(&mut self.of_module, &how)
    }
}
