//! What the wiring hands to the dispatcher: the configured modules and the facts about the CA.

use std::{fmt, path::PathBuf, time::Duration};

use exeunt_host::{HostLimits, ModuleCommand};
use exeunt_types::{ExitName, StartAt};

use crate::filter::Filter;

/// One configured exit module. The same executable may stand behind several of them: each has a
/// cursor, an order and a filter of its own.
#[derive(Clone, Debug)]
pub struct ExitSettings {
    /// Name of the module; the key of its cursor and its shelf.
    pub name: ExitName,
    /// Whether it is told anything. A disabled module keeps its place, and its events wait.
    pub enabled: bool,
    /// What to run.
    pub command: ModuleCommand,
    /// What the process may take: time per event, sizes.
    pub limits: HostLimits,
    /// When an event that failed is told again.
    pub retry: RetrySchedule,
    /// Where a module starts that the store does not know yet.
    pub start_at: StartAt,
    /// Bits of the events that the operator lets it hear of; `None` leaves it to the module.
    pub events: Option<u32>,
    /// The operator's expression; events for which it is not true are passed over.
    pub filter: Option<Filter>,
    /// Whether requesters wait for its first attempt: see [`Dispatcher::told`].
    ///
    /// [`Dispatcher::told`]: crate::Dispatcher::told
    pub before_reply: bool,
    /// The module's own settings, handed over at the handshake as they are.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

/// Pauses that grow by a factor up to a limit, each drawn from its upper half, so that many
/// failures at one moment do not come back at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    /// Pause after the first failure.
    pub first: Duration,
    /// How much longer each pause is than the one before; 1 keeps them equal.
    pub factor: u32,
    /// Longest pause; also the longest that a module can ask for.
    pub longest: Duration,
    /// Failed attempts after which an event is parked for an operator.
    pub attempts_max: u32,
}

impl Default for RetrySchedule {
    /// 5 s, three times as long each time, up to an hour; parked after 12 attempts, which is
    /// between three and six hours after the event.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(5),
            factor: 3,
            longest: Duration::from_hours(1),
            attempts_max: 12,
        }
    }
}

impl RetrySchedule {
    /// The pause after failure number `failures` (1 and up), with `random` choosing the place
    /// between its half and its whole.
    #[must_use]
    pub fn pause(&self, failures: u32, random: u64) -> Duration {
        let growth = self.factor.max(1).saturating_pow(failures.saturating_sub(1));
        jittered(self.first.saturating_mul(growth).min(self.longest), random)
    }
}

/// A length between the half and the whole of `whole`, in steps of a millisecond.
fn jittered(whole: Duration, random: u64) -> Duration {
    let half = whole / 2;
    let steps =
        u64::try_from(whole.saturating_sub(half).as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    half + Duration::from_millis(random % steps)
}

/// What modules can read about the CA itself.
#[derive(Clone, PartialEq, Eq)]
pub struct CaFacts {
    /// Common name of the CA, as people write it; modules read it sanitised.
    pub name: String,
    /// Full name of the machine in the DNS. It is also the holder of the modules' leases, so it
    /// must differ between the nodes of one CA.
    pub machine_dns_name: String,
    /// Whether the CA is a root (its certificate is self-signed).
    pub root: bool,
    /// The CA's own certificates, in the order in which they were installed. The last one issues.
    pub certificates: Vec<CaCertificateFacts>,
    /// Its revocation lists; none where it makes none.
    pub lists: Option<ListFacts>,
}

/// A certificate of the CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificateFacts {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Index of the first certificate with the same key.
    pub key_index: u16,
}

/// What modules can read about the CA's revocation lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFacts {
    /// Folder with their files, named by `CrlRecord::file_name`.
    pub folder: PathBuf,
    /// Whether there are delta lists.
    pub deltas: bool,
}

impl fmt::Debug for CaFacts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, machine_dns_name, root, certificates, lists } = self;
        out.debug_struct("CaFacts")
            .field("name", name)
            .field("machine_dns_name", machine_dns_name)
            .field("root", root)
            .field("certificates", &certificates.len())
            .field("lists", lists)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_no_further() {
        let schedule = RetrySchedule::default();
        // The upper end of each interval: the remainder that picks the last step.
        let upper = |failures: u32, seconds: u64| {
            let steps = seconds * 1000 - seconds * 1000 / 2 + 1;
            assert_eq!(schedule.pause(failures, steps - 1), Duration::from_secs(seconds));
            assert_eq!(schedule.pause(failures, 0), Duration::from_secs(seconds) / 2);
        };
        upper(1, 5);
        upper(2, 15);
        upper(3, 45);
        upper(7, 3600);
        upper(u32::MAX, 3600);
    }

    #[test]
    fn a_pause_lies_between_its_half_and_its_whole() {
        let schedule = RetrySchedule::default();
        for random in [0, 1, 2_499, 2_500, 2_501, 77_777, u64::MAX] {
            let pause = schedule.pause(1, random);
            assert!(Duration::from_millis(2_500) <= pause && pause <= Duration::from_secs(5));
        }
    }

    #[test]
    fn a_schedule_of_nothing_does_not_panic() {
        let schedule = RetrySchedule {
            first: Duration::ZERO,
            factor: 0,
            longest: Duration::ZERO,
            attempts_max: 0,
        };
        assert_eq!(schedule.pause(0, u64::MAX), Duration::ZERO);
    }
}
