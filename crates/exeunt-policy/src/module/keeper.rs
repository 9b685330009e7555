//! The module's process: started when it is needed, asked about one request after the other, started
//! again when it is gone or replaced.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use exeunt_host::{CallBacks, Fault, HostLimits, ModuleCommand, ModuleProcess, VerifyError};
use exeunt_module::{
    CallError, Initialize, PROTOCOL_VERSION, Properties,
    call_back::Query,
    policy::{ROLE, Ruling, VerifyRequest},
    view::View,
};
use exeunt_types::UnixMillis;

use super::{ModuleFacts, ModuleSettings};

/// Shortest time between two looks at the executable on disk.
const REPLACED_CHECK: Duration = Duration::from_secs(1);

/// Pause after the second failed start in a row; it doubles up to [`PAUSE_MAX`]. After the first
/// there is none.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause between two starts.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// How a policy module does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleStatus {
    /// Number of its process, if one runs.
    pub pid: Option<u32>,
    /// What it calls itself, as far as it has said so.
    pub description: String,
    /// How often it was started.
    pub starts: u64,
    /// How many requests it has ruled on.
    pub rulings: u64,
    /// How many requests it gave no ruling on.
    pub failures: u64,
    /// Why it does not run, in one line.
    pub down: Option<String>,
}

/// Keeps one process, and lets one request at a time to it.
#[derive(Debug)]
pub(super) struct Keeper {
    name: String,
    command: ModuleCommand,
    limits: HostLimits,
    deadline: Duration,
    hello: Initialize,
    seq: AtomicU64,
    slot: Mutex<Slot>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    /// Whether somebody has the process.
    busy: bool,
    process: Option<ModuleProcess>,
    /// Starts that failed, and processes that ended, since the last ruling.
    troubles: u32,
    /// No start before then, and why.
    down: Option<(UnixMillis, String)>,
    next_check: UnixMillis,
    status: ModuleStatus,
}

/// The process in somebody's hands. Dropping it, also by a panic, lets the next one in.
struct Turn<'a> {
    keeper: &'a Keeper,
    process: Option<ModuleProcess>,
}

impl Keeper {
    pub(super) fn new(settings: &ModuleSettings, facts: &ModuleFacts) -> Self {
        let ModuleSettings { name, command, limits, deadline, settings, .. } = settings;
        let hello = Initialize {
            protocol: PROTOCOL_VERSION,
            features: exeunt_host::FEATURES.iter().map(|it| (*it).to_owned()).collect(),
            config: facts.config.clone(),
            module: name.clone(),
            role: Some(ROLE.to_owned()),
            settings: settings.clone(),
            window: 1,
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
            partial: false,
        };
        Self {
            name: name.clone(),
            command: command.clone(),
            limits: limits.clone(),
            deadline: *deadline,
            hello,
            seq: AtomicU64::new(1),
            slot: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// A number that no other request in hand has.
    pub(super) fn next_seq(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn status(&self) -> ModuleStatus {
        self.lock().status.clone()
    }

    /// Starts the process where none runs.
    pub(super) fn start(&self, now: UnixMillis, system: &Properties) -> Result<(), String> {
        let Some(mut turn) = self.turn(Instant::now() + self.limits.hello) else {
            return Err("it is busy".to_owned());
        };
        turn.ready(now, system).map(|_started| ()).map_err(|err| match err {
            VerifyError::NotRunning { why } => why,
            err => err.to_string(),
        })
    }

    /// Asks about one request: waits for those before it, starts the module where it does not run.
    pub(super) fn verify(
        &self,
        asked: &VerifyRequest,
        now: UnixMillis,
    ) -> Result<Ruling, VerifyError> {
        let until = Instant::now() + self.deadline;
        let Some(mut turn) = self.turn(until) else {
            self.lock().status.failures += 1;
            return Err(VerifyError::Ended(Fault::Deadline { limit: self.deadline }));
        };
        // A start has a limit of its own, and the new process then the whole deadline: it would have
        // no time to answer otherwise, and be ended for it.
        let started = turn.ready(now, &asked.event.system)?;
        let left = until.saturating_duration_since(Instant::now());
        // Who has waited long leaves it half of that: it is not ended for being asked so often.
        let left = if started { self.deadline } else { left.max(self.deadline / 2) };
        let answers = Answers(asked);
        let ruled = match &mut turn.process {
            Some(process) => process.verify(asked, left, &answers),
            None => Err(VerifyError::Ended(Fault::Closed)),
        };
        turn.settle(&ruled, now);
        ruled
    }

    /// Waits until nobody has the process; `None` where that is too late.
    fn turn(&self, until: Instant) -> Option<Turn<'_>> {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.freed.wait_timeout_while(self.lock(), left, |it| it.busy);
        let (mut slot, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() && slot.busy {
            return None;
        }
        slot.busy = true;
        Some(Turn { keeper: self, process: slot.process.take() })
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Sees to it that a process runs; says whether it was started for that.
    fn ready(&mut self, now: UnixMillis, system: &Properties) -> Result<bool, VerifyError> {
        let keeper = self.keeper;
        self.look(now);
        if self.process.is_some() {
            return Ok(false);
        }
        {
            let mut slot = keeper.lock();
            // A pause that is longer than any is one that a clock was put back in.
            let pauses = |until: UnixMillis| now < until && until <= now.plus(PAUSE_MAX);
            if let Some((_, why)) = slot.down.clone().filter(|(until, _)| pauses(*until)) {
                slot.status.failures += 1;
                return Err(is_down(why));
            }
            slot.status.starts += 1;
        }
        let answers = OfCa(system);
        let Keeper { command, limits, hello, .. } = keeper;
        match ModuleProcess::start_with(command, limits, hello, &answers) {
            Ok(process) => {
                let (pid, description) = (process.pid(), process.description().to_owned());
                tracing::info!(module = %keeper.name, pid, description, "policy module started");
                let mut slot = keeper.lock();
                slot.next_check = now.plus(REPLACED_CHECK);
                slot.down = None;
                slot.status.description = description;
                slot.status.pid = Some(pid);
                slot.status.down = None;
                drop(slot);
                self.process = Some(process);
                Ok(true)
            }
            Err(err) => {
                let why = match std::error::Error::source(&err) {
                    Some(source) => format!("{err}: {source}"),
                    None => err.to_string(),
                };
                tracing::error!(module = %keeper.name, why, "policy module does not start");
                keeper.lock().status.failures += 1;
                self.went_down(why.clone(), now);
                Err(is_down(why))
            }
        }
    }

    /// Notices a process that has ended by itself or is out of date.
    fn look(&mut self, now: UnixMillis) {
        let Some(process) = &mut self.process else { return };
        if let Some(why) = process.has_exited() {
            tracing::warn!(module = %self.keeper.name, why, "policy module ended");
            self.process = None;
            return;
        }
        let is_due = {
            let mut slot = self.keeper.lock();
            let is_due = slot.next_check <= now || now.plus(REPLACED_CHECK) < slot.next_check;
            if is_due {
                slot.next_check = now.plus(REPLACED_CHECK);
            }
            is_due
        };
        if is_due && process.is_replaced() {
            tracing::info!(module = %self.keeper.name, "executable was replaced, starting it anew");
            if let Some(process) = self.process.take() {
                process.stop();
            }
        }
    }

    /// Writes down how it went.
    fn settle(&mut self, ruled: &Result<Ruling, VerifyError>, now: UnixMillis) {
        match ruled {
            Ok(_) => {
                let mut slot = self.keeper.lock();
                slot.troubles = 0;
                slot.status.rulings += 1;
            }
            Err(VerifyError::Ended(fault)) => {
                self.process = None;
                tracing::warn!(
                    module = %self.keeper.name, code = fault.code(), %fault, "policy module ended"
                );
                self.keeper.lock().status.failures += 1;
                self.went_down(fault.to_string(), now);
            }
            Err(_) => {
                let mut slot = self.keeper.lock();
                slot.troubles = 0;
                slot.status.failures += 1;
            }
        }
    }

    fn went_down(&mut self, why: String, now: UnixMillis) {
        let mut slot = self.keeper.lock();
        let pause = match slot.troubles {
            0 => Duration::ZERO,
            many => PAUSE_MIN.saturating_mul(1 << (many - 1).min(6)).min(PAUSE_MAX),
        };
        slot.troubles = slot.troubles.saturating_add(1);
        slot.down = Some((now.plus(pause), why.clone()));
        slot.status.pid = None;
        slot.status.down = Some(why);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut slot = self.keeper.lock();
        slot.process = self.process.take();
        slot.busy = false;
        drop(slot);
        self.keeper.freed.notify_one();
    }
}

impl Drop for Keeper {
    /// Says farewell; a process that is killed instead might have had something to put away.
    fn drop(&mut self) {
        if let Some(process) = self.lock().process.take() {
            process.stop();
        }
    }
}

fn is_down(why: String) -> VerifyError {
    VerifyError::NotRunning { why }
}

/// Call-backs about one request, and about the CA.
struct Answers<'a>(&'a VerifyRequest);

impl CallBacks for Answers<'_> {
    fn answer(&self, query: &Query) -> Result<serde_json::Value, CallError> {
        let event = &self.0.event;
        match query.asked().seq {
            0 => OfCa(&event.system).answer(query),
            _ => in_json(&View::of(event), query),
        }
    }
}

/// Call-backs about the CA.
struct OfCa<'a>(&'a Properties);

impl CallBacks for OfCa<'_> {
    fn answer(&self, query: &Query) -> Result<serde_json::Value, CallError> {
        in_json(&View::of_system(self.0), query)
    }
}

fn in_json(view: &View<'_>, query: &Query) -> Result<serde_json::Value, CallError> {
    serde_json::to_value(view.answer(query)?)
        .map_err(|err| CallError::new(CallError::INTERNAL, err.to_string()))
}
