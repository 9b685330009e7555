//! Comparing targets with the CA by itself, as often as the configuration says.
//!
//! One at a time in the whole server, and none at the moment of the start: what many modules compare at
//! once would be felt.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use exeunt_types::ExitName;

use crate::clock::jitter;
use crate::failure::{Failure, chain};
use crate::manage::{ManageError, Manager};

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);

/// Longest time from the start of the server, or from the moment when a module's table says that it is
/// compared, to the first comparison; where they are compared more often, it is that time.
const FIRST_MAX: Duration = Duration::from_hours(1);

/// When each module is compared next.
#[derive(Debug, Default)]
struct Plan {
    /// With how often it is, to see that it has changed.
    next: HashMap<ExitName, (Duration, Instant)>,
    /// The one that is under way.
    under_way: Option<ExitName>,
}

/// Starts the thread; it ends when the sender is dropped.
///
/// # Errors
///
/// The system gives no thread.
pub fn start(manager: &Arc<Manager>) -> Result<mpsc::Sender<()>, Failure> {
    let (sender, stop) = mpsc::channel::<()>();
    let manager = Arc::clone(manager);
    let mut plan = Plan::default();
    let keep = move || {
        while stop.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
            let look = AssertUnwindSafe(|| plan.look(&manager, Instant::now()));
            if catch_unwind(look).is_err() {
                tracing::error!(code = "internal", "BUG: looking for what is due panicked");
            }
        }
    };
    let thread = std::thread::Builder::new().name("reconcile".to_owned()).spawn(keep);
    thread.map_err(|err| Failure::from_error("threads-unavailable", &err))?;
    Ok(sender)
}

impl Plan {
    fn look(&mut self, manager: &Manager, at: Instant) {
        if self.under_way.as_ref().is_some_and(|it| manager.is_maintained(it)) {
            return;
        }
        self.under_way = None;
        let wanted = manager.wants_comparison();
        self.take_up(&wanted, at, jitter);
        let Some(name) = self.due(at) else { return };
        let Some((_, it)) = wanted.iter().find(|(it, _)| *it == name) else { return };
        // However it ends: a target that is down is not compared every second.
        self.next.insert(name.clone(), (it.every, at + it.every));
        match manager.begin_scheduled(&name, it.mend) {
            Ok(()) => self.under_way = Some(name),
            Err(ManageError::MaintenanceRuns(_) | ManageError::Stopping) => (),
            Err(err) => {
                let why = chain(&err);
                tracing::error!(module = %name, code = err.code(), "not compared: {why}");
            }
        }
    }

    /// Forgets what is not wanted any more, and draws a moment for what is new.
    fn take_up(
        &mut self,
        wanted: &[(ExitName, crate::config::ReconcileConfig)],
        at: Instant,
        jitter: impl Fn() -> u64,
    ) {
        self.next.retain(|name, (every, _)| {
            wanted.iter().any(|(it, config)| it == name && config.every == *every)
        });
        for (name, config) in wanted {
            self.next.entry(name.clone()).or_insert_with(|| {
                let first_max = config.every.min(FIRST_MAX);
                let steps = u64::try_from(first_max.as_millis()).unwrap_or(u64::MAX).max(1);
                (config.every, at + Duration::from_millis(jitter() % steps))
            });
        }
    }

    /// The module that is due for the longest time.
    fn due(&self, at: Instant) -> Option<ExitName> {
        let due = self.next.iter().filter(|(_, (_, next))| *next <= at);
        due.min_by_key(|(_, (_, next))| *next).map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ReconcileConfig;

    fn wanted(name: &str, hours: u64) -> (ExitName, ReconcileConfig) {
        let every = Duration::from_hours(hours);
        (ExitName::parse(name).unwrap(), ReconcileConfig { every, mend: false })
    }

    #[test]
    fn modules_are_compared_first_at_moments_that_are_drawn() {
        let start = Instant::now();
        let mut plan = Plan::default();
        plan.take_up(&[wanted("a", 24)], start, || 59 * 60_000);
        plan.take_up(&[wanted("a", 24), wanted("b", 24)], start, || 61 * 60_000);
        assert_eq!(plan.due(start), None);
        let minutes = |it| start + Duration::from_mins(it);
        // 61 minutes are one more than an hour.
        assert_eq!(plan.due(minutes(2)).unwrap().as_str(), "b");
        assert_eq!(plan.due(minutes(60)).unwrap().as_str(), "b");
        plan.next.insert(ExitName::parse("b").unwrap(), (Duration::from_hours(24), minutes(1500)));
        assert_eq!(plan.due(minutes(60)).unwrap().as_str(), "a");
    }

    #[test]
    fn what_is_no_longer_wanted_is_forgotten_and_what_has_changed_drawn_anew() {
        let start = Instant::now();
        let mut plan = Plan::default();
        plan.take_up(&[wanted("a", 24), wanted("b", 24)], start, || 0);
        plan.take_up(&[wanted("b", 48)], start + Duration::from_mins(5), || 1);
        assert_eq!(plan.next.len(), 1);
        assert_eq!(plan.due(start + Duration::from_mins(5)), None);
        assert_eq!(plan.due(start + Duration::from_mins(6)).unwrap().as_str(), "b");
    }
}
