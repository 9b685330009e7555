//! Looking after the targets of modules: one at a time for each module, on a thread of its own, and
//! what came of it for whoever asks.
//!
//! What is under way is in memory alone. It ends with the server, and a module that rested for it is
//! there again at the next start.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use exeunt_api::{
    MaintenanceFault, MaintenanceKind, MaintenanceOrder, MaintenanceRun, MaintenanceState,
    MaintenanceStatus, PAGE_ROWS_MAX, TargetCheck, TargetFinding,
};
use exeunt_dispatch::{FollowMaintenance, Maintained, Maintainer, Maintenance, MaintenanceError};
use exeunt_host::MaintainError;
use exeunt_http::rfc3339;
use exeunt_module::maintain::{Check, CheckResult, Compared, Finding, InstallReport, TestReport};
use exeunt_store::{AuditEntry, Store};
use exeunt_types::ExitName;

use super::{ManageError, Manager};
use crate::clock::now;
use crate::config::ReconcileConfig;
use crate::failure::chain;

/// Who a comparison is ascribed to that the configuration asks for.
const BY_SCHEDULE: &str = "schedule";

/// Most findings of a run that are kept; further ones are counted. A thousand octets each, that is
/// five megabytes for a module.
const FINDINGS_KEPT_MAX: usize = 5000;

/// How long whoever ends a run waits for its end.
const END_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether a run has ended.
const END_POLL: Duration = Duration::from_millis(20);

/// The runs of a server.
#[derive(Debug, Default)]
pub struct Runs {
    /// By module.
    runs: Mutex<HashMap<ExitName, OfModule>>,
    /// No more begin.
    is_stopping: AtomicBool,
}

#[derive(Debug)]
struct OfModule {
    newest: Arc<Run>,
    /// The newest comparison, which may be the same.
    reconciled: Option<Arc<Run>>,
}

/// One run.
#[derive(Debug)]
struct Run {
    name: ExitName,
    number: u64,
    is_cancelled: AtomicBool,
    so_far: Mutex<SoFar>,
}

/// What came of it so far.
#[derive(Debug)]
struct SoFar {
    status: MaintenanceStatus,
    checks: Vec<TargetCheck>,
    would_write: Vec<String>,
    script: Option<String>,
    findings: Vec<TargetFinding>,
}

impl Manager {
    /// Begins a run.
    pub(super) fn begin_maintenance(
        &self,
        actor: &str,
        name: &str,
        order: MaintenanceOrder,
    ) -> Result<MaintenanceRun, ManageError> {
        // The settings stay what they are until it has begun; then it keeps them from being changed.
        let _change = self.lock_changes();
        let exit = self.running(name)?;
        let (action, what) = match order {
            MaintenanceOrder { kind: MaintenanceKind::Test, apply: true } => {
                return Err(ManageError::Order {
                    what: "a test changes nothing".to_owned(),
                    hint: "leave apply out",
                });
            }
            MaintenanceOrder { kind: MaintenanceKind::Test, apply: false } => {
                ("exit-test", Maintenance::Test)
            }
            MaintenanceOrder { kind: MaintenanceKind::Install, apply } => {
                ("exit-install", Maintenance::Install { apply })
            }
            MaintenanceOrder { kind: MaintenanceKind::Reconcile, apply: false } => {
                ("exit-reconcile", Maintenance::Reconcile { mend: false })
            }
            MaintenanceOrder { kind: MaintenanceKind::Reconcile, apply: true } => {
                ("exit-mend", Maintenance::Reconcile { mend: true })
            }
        };
        self.launcher.prepare(&exit)?;
        let maintainer = self.dispatch(|it| Ok(it.maintainer(&exit.name)?))?;
        let run = self.runs.take_up(&exit.name, actor, order)?;
        let detail = if what == (Maintenance::Install { apply: false }) { "print" } else { "" };
        if let Err(err) = self.audit(actor, action, name, detail.to_owned()) {
            run.failed(err.code(), &chain(&err), &err.hint(name), MaintenanceState::Failed);
            return Err(err);
        }
        let begun = run.told(0);
        let work = Work {
            run: Arc::clone(&run),
            maintainer,
            what,
            limit: exit.maintain_deadline,
            store: self.store.clone(),
            actor: actor.to_owned(),
            action,
        };
        let thread = std::thread::Builder::new().name(format!("maintain-{name}"));
        if let Err(err) = thread.spawn(move || work.work()) {
            let code = "threads-unavailable";
            run.failed(code, &err.to_string(), "try again later", MaintenanceState::Failed);
            return Err(ManageError::Ask { code, source: Box::new(err) });
        }
        Ok(begun)
    }

    /// The newest run, with the findings after a place.
    pub(super) fn newest_maintenance(
        &self,
        name: &str,
        after: u64,
    ) -> Result<MaintenanceRun, ManageError> {
        let exit = self.running(name)?;
        let run = self.runs.newest(&exit.name);
        Ok(run.ok_or_else(|| ManageError::NotMaintained(name.to_owned()))?.told(after))
    }

    /// Ends the run of a module, if one is under way.
    pub(super) fn cancel_maintenance(
        &self,
        actor: &str,
        name: &str,
    ) -> Result<MaintenanceRun, ManageError> {
        let exit = self.running(name)?;
        let run = self.runs.newest(&exit.name);
        let run = run.ok_or_else(|| ManageError::NotMaintained(name.to_owned()))?;
        if run.is_running() {
            self.audit(actor, "exit-maintain-end", name, format!("run {}", run.number))?;
            run.is_cancelled.store(true, Ordering::SeqCst);
            run.await_end(Instant::now() + END_WAIT_MAX);
        }
        Ok(run.told(u64::MAX))
    }

    /// Refuses what must not happen to a module whose target is being looked after.
    pub(super) fn is_not_maintained(&self, name: &ExitName) -> Result<(), ManageError> {
        match self.runs.newest(name).filter(|it| it.is_running()) {
            Some(run) => Err(ManageError::MaintenanceRuns(run.name.clone())),
            None => Ok(()),
        }
    }

    /// The numbers of the newest comparison; none where the module knows of no such thing, which who
    /// ordered it was told.
    pub(super) fn reconciled(&self, name: &ExitName) -> Option<MaintenanceStatus> {
        let runs = self.runs.locked();
        let run = runs.get(name)?.reconciled.as_ref()?;
        let status = run.so_far().status.clone();
        let is_known = |it: &MaintenanceFault| it.code != MaintainError::NotMaintained.code();
        status.error.as_ref().is_none_or(is_known).then_some(status)
    }

    /// Ends what is under way about a module that is gone or has changed.
    pub(super) fn drop_maintenance(&self, name: &ExitName) {
        if let Some(run) = self.runs.newest(name) {
            run.is_cancelled.store(true, Ordering::SeqCst);
        }
    }

    /// Ends everything that is under way, and begins nothing more. For the stop of the server.
    pub fn stop_maintenance(&self, grace: Duration) {
        self.runs.is_stopping.store(true, Ordering::SeqCst);
        let runs: Vec<Arc<Run>> =
            self.runs.locked().values().map(|it| Arc::clone(&it.newest)).collect();
        for run in &runs {
            run.is_cancelled.store(true, Ordering::SeqCst);
        }
        let until = Instant::now() + grace;
        for run in runs {
            run.await_end(until);
        }
    }

    /// The modules whose targets are compared by themselves.
    pub fn wants_comparison(&self) -> Vec<(ExitName, ReconcileConfig)> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let exits = running.exits.iter().filter(|it| it.enabled);
        exits.filter_map(|it| Some((it.name.clone(), it.reconcile?))).collect()
    }

    /// Begins a comparison that nobody waits for.
    ///
    /// # Errors
    ///
    /// As of one that somebody orders.
    pub fn begin_scheduled(&self, name: &ExitName, mend: bool) -> Result<(), ManageError> {
        let order = MaintenanceOrder { kind: MaintenanceKind::Reconcile, apply: mend };
        self.begin_maintenance(BY_SCHEDULE, name.as_str(), order).map(|_| ())
    }

    /// Whether the newest run of a module is under way.
    pub fn is_maintained(&self, name: &ExitName) -> bool {
        self.runs.newest(name).is_some_and(|it| it.is_running())
    }
}

impl Runs {
    /// A new run, where none is under way.
    fn take_up(
        &self,
        name: &ExitName,
        actor: &str,
        order: MaintenanceOrder,
    ) -> Result<Arc<Run>, ManageError> {
        if self.is_stopping.load(Ordering::SeqCst) {
            return Err(ManageError::Stopping);
        }
        let mut runs = self.locked();
        let before = runs.get(name);
        if before.is_some_and(|it| it.newest.is_running()) {
            return Err(ManageError::MaintenanceRuns(name.clone()));
        }
        let number = before.map_or(1, |it| it.newest.number + 1);
        let status = MaintenanceStatus {
            number,
            kind: order.kind,
            apply: order.apply,
            by: actor.to_owned(),
            state: MaintenanceState::Running,
            started: rfc3339(now()),
            ended: None,
            compared: 0,
            total: 0,
            good: 0,
            differences: 0,
            mended: 0,
            failed_checks: 0,
            error: None,
        };
        let so_far = SoFar {
            status,
            checks: Vec::new(),
            would_write: Vec::new(),
            script: None,
            findings: Vec::new(),
        };
        let run = Arc::new(Run {
            name: name.clone(),
            number,
            is_cancelled: AtomicBool::new(false),
            so_far: Mutex::new(so_far),
        });
        let reconciled = match order.kind {
            MaintenanceKind::Reconcile => Some(Arc::clone(&run)),
            _ => before.and_then(|it| it.reconciled.clone()),
        };
        runs.insert(name.clone(), OfModule { newest: Arc::clone(&run), reconciled });
        Ok(run)
    }

    fn newest(&self, name: &ExitName) -> Option<Arc<Run>> {
        self.locked().get(name).map(|it| Arc::clone(&it.newest))
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<ExitName, OfModule>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self) -> bool {
        self.so_far().status.state == MaintenanceState::Running
    }

    fn await_end(&self, until: Instant) {
        while self.is_running() && Instant::now() < until {
            std::thread::sleep(END_POLL);
        }
    }

    /// As the API has it, with the findings after that place.
    fn told(&self, after: u64) -> MaintenanceRun {
        let so_far = self.so_far();
        let SoFar { status, checks, would_write, script, findings } = &*so_far;
        let kept = u64::try_from(findings.len()).unwrap_or(u64::MAX);
        let rows_max = usize::try_from(PAGE_ROWS_MAX).unwrap_or(usize::MAX);
        let from = usize::try_from(after.min(kept)).unwrap_or(usize::MAX);
        let page: Vec<_> = findings.iter().skip(from).take(rows_max).cloned().collect();
        MaintenanceRun {
            name: self.name.to_string(),
            status: status.clone(),
            checks: checks.clone(),
            would_write: would_write.clone(),
            script: script.clone(),
            next_after: after.min(kept) + u64::try_from(page.len()).unwrap_or(u64::MAX),
            findings: page,
            findings_left_out: status.differences.saturating_sub(kept),
        }
    }

    fn failed(&self, code: &str, detail: &str, hint: &str, state: MaintenanceState) {
        let mut so_far = self.so_far();
        so_far.status.error = Some(MaintenanceFault {
            code: code.to_owned(),
            detail: detail.to_owned(),
            hint: hint.to_owned(),
        });
        so_far.status.ended = Some(rfc3339(now()));
        so_far.status.state = state;
    }

    fn done(&self, maintained: Maintained) {
        let mut so_far = self.so_far();
        let checks = match maintained {
            Maintained::Tested(TestReport { checks, would_write }) => {
                so_far.would_write = would_write;
                checks
            }
            Maintained::Installed(InstallReport { steps, script }) => {
                so_far.script = script;
                steps
            }
            Maintained::Reconciled => Vec::new(),
        };
        let failed = checks.iter().filter(|it| it.result == CheckResult::Failed).count();
        so_far.status.failed_checks = u64::try_from(failed).unwrap_or(u64::MAX);
        so_far.checks = checks.into_iter().map(check).collect();
        so_far.status.ended = Some(rfc3339(now()));
        so_far.status.state = MaintenanceState::Done;
    }
}

impl FollowMaintenance for Run {
    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }

    fn expects(&self, total: u64) {
        self.so_far().status.total = total;
    }

    fn compared(&self, looked_at: u64, compared: Compared) {
        let Compared { good, findings, more: _ } = compared;
        let mut so_far = self.so_far();
        let status = &mut so_far.status;
        status.compared = status.compared.saturating_add(looked_at);
        // More may have been issued since they were counted.
        status.total = status.total.max(status.compared);
        status.good = status.good.saturating_add(good);
        for it in findings {
            so_far.status.differences += 1;
            so_far.status.mended += u64::from(it.mended);
            if so_far.findings.len() < FINDINGS_KEPT_MAX {
                so_far.findings.push(finding(it));
            }
        }
    }
}

/// What the thread of a run needs.
struct Work {
    run: Arc<Run>,
    maintainer: Maintainer,
    what: Maintenance,
    limit: Duration,
    store: Store,
    actor: String,
    action: &'static str,
}

impl Work {
    fn work(self) {
        let Self { run, maintainer, what, limit, store, actor, action } = self;
        // Whatever happens, the run ends, or the module could never be maintained again.
        let done = catch_unwind(AssertUnwindSafe(|| maintainer.run(what, limit, &*run)));
        let name = run.name.as_str();
        match done {
            Ok(Ok(maintained)) => {
                run.done(maintained);
                let MaintenanceStatus {
                    compared, good, differences, mended, failed_checks, ..
                } = run.so_far().status.clone();
                if run.so_far().status.is_good() {
                    tracing::info!(
                        module = name,
                        action,
                        compared,
                        good,
                        differences,
                        mended,
                        "the target was looked after"
                    );
                } else {
                    tracing::warn!(
                        module = name,
                        action,
                        compared,
                        good,
                        differences,
                        mended,
                        failed_checks,
                        "the target is not as it should be"
                    );
                }
                return;
            }
            Ok(Err(err)) => {
                let state = match err {
                    MaintenanceError::Module(MaintainError::Cancelled) => {
                        MaintenanceState::Cancelled
                    }
                    _ => MaintenanceState::Failed,
                };
                let why = chain(&err);
                tracing::warn!(module = name, action, code = err.code(), "not done: {why}");
                run.failed(err.code(), &why, &hint(&err, name), state);
            }
            Err(_) => {
                tracing::error!(module = name, action, "BUG: the maintenance panicked");
                let hint = "the CA's administrator finds the reason in the server's log";
                run.failed("internal", "the maintenance panicked", hint, MaintenanceState::Failed);
            }
        }
        let why =
            run.so_far().status.error.as_ref().map_or_else(String::new, |it| it.detail.clone());
        let entry = AuditEntry::new(now(), &actor, format!("{action}-failed"), name).detail(why);
        if let Err(err) = store.audit(entry) {
            tracing::error!(code = err.code(), "writing that down failed: {err}");
        }
    }
}

/// What to do about it.
fn hint(err: &MaintenanceError, name: &str) -> String {
    match err {
        MaintenanceError::Module(MaintainError::NotMaintained) => {
            "look into the module's own manual for how it is tried".to_owned()
        }
        MaintenanceError::Module(MaintainError::Cancelled) => "run it again".to_owned(),
        MaintenanceError::Module(MaintainError::Ended(exeunt_host::Fault::Deadline { .. })) => {
            "look at the target, or give it more time: maintain_deadline_s in exeunt.toml"
                .to_owned()
        }
        MaintenanceError::Busy(_) => format!("how it stands: exeunt exit status {name}"),
        _ => format!(
            "what it logs is in the server's log; what it is set to: exeunt exit settings get {name}"
        ),
    }
}

fn check(Check { what, result, text }: Check) -> TargetCheck {
    let result = match result {
        CheckResult::Passed => "passed",
        CheckResult::Warning => "warning",
        CheckResult::Failed => "failed",
    };
    TargetCheck { what, result: result.to_owned(), text }
}

fn finding(Finding { difference, place, text, mended, error }: Finding) -> TargetFinding {
    TargetFinding { difference: difference.word().to_owned(), place, text, mended, error }
}
