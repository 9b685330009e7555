//! Rooms: how much of each kind of work that may block runs at a time.
//!
//! Each kind has threads of its own, so that none waits for another's: looking something up never
//! for the key, and revoking a certificate neither for the key nor for an exit module. Enter at
//! [`Room::enter`].

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::endpoint::EndpointRoom;
use crate::fault::Fault;
use crate::settings::Limits;
use crate::workers::BATCH_MAX;

/// Threads for look-ups in the store, and for fetching requests.
const LOOK_UP_THREADS: usize = 4;

/// Explanations at a time. One reads through the whole log for the events of a request, and holds a
/// reader of the store for as long.
const EXPLANATIONS: usize = 1;

/// Requests that are tried at a time. Each asks the policy, which may be a module that takes as long as
/// it may.
const TRIAL_THREADS: usize = 2;

/// Threads that hand out the exchange certificate. Anybody can ask, and when the last one is at its end,
/// the next one takes the CA's key: everybody who asks waits for that one.
const EXCHANGE_THREADS: usize = 1;

/// Threads that look revocation lists up for relying parties: anybody can be one.
const RELYING_THREADS: usize = 2;

/// Threads that answer OCSP. Anybody can ask, and an answer that is not kept is a signature.
const OCSP_THREADS: usize = 2;

/// OCSP requests that run or wait for a thread; the next one is told to try later. A thread makes
/// thousands of answers in a second, so that the last of them waits well below one.
pub(crate) const OCSP_IN_FLIGHT_MAX: usize = 256;

/// Threads that look up how certificates of clients stand. Whoever has such a certificate can have it
/// looked up, once for each connection.
const CLIENT_THREADS: usize = 2;

/// Threads for managing exit modules, which may take as long as a module does.
const MANAGE_THREADS: usize = 4;

/// Threads for officers' orders that need no key: refusing, changing, revoking, releasing.
const ORDER_THREADS: usize = 2;

/// Threads for officers' orders that need the CA's key, and may take as long as it does: approving,
/// resubmitting, making revocation lists.
const KEY_THREADS: usize = 4;

/// Threads that write refusals into the audit trail: apart, so that whoever is refused again and again
/// holds nobody up who is not.
const REFUSAL_THREADS: usize = 1;

/// Threads that read files for answers, a piece at a time.
const FILE_THREADS: usize = 2;

/// Exports at a time; the next one is told to try later. Each holds two pieces of its rows while its
/// client reads, and a thread for look-ups only while it reads the next ones.
pub(crate) const EXPORTS_MAX: usize = 16;

impl EndpointRoom {
    /// How many are at work at a time; the others wait in line. None where nothing waits.
    #[must_use]
    pub fn at_a_time(self) -> Option<usize> {
        Some(match self {
            Self::None => return None,
            Self::Workers => Limits::WORKERS * BATCH_MAX,
            Self::LookUp => LOOK_UP_THREADS,
            Self::Explain => EXPLANATIONS,
            Self::Relying => RELYING_THREADS,
            Self::Exchange => EXCHANGE_THREADS,
            Self::Ocsp => OCSP_THREADS,
            Self::Manage => MANAGE_THREADS,
            Self::Order => ORDER_THREADS,
            Self::Key => KEY_THREADS,
        })
    }

    /// How many are at work or wait, at most; the next one is turned away. None where the number of
    /// connections is the only bound.
    #[must_use]
    pub fn in_flight_max(self) -> Option<usize> {
        match self {
            Self::Workers => Some(Limits::SUBMISSIONS_IN_FLIGHT),
            Self::Ocsp => Some(OCSP_IN_FLIGHT_MAX),
            _ => None,
        }
    }
}

/// All rooms.
pub(crate) struct Rooms {
    pub(crate) look_up: Room,
    pub(crate) explain: Room,
    pub(crate) trial: Room,
    pub(crate) exchange: Room,
    pub(crate) relying: Room,
    pub(crate) ocsp: Room,
    pub(crate) client: Room,
    /// Who is in [`Rooms::ocsp`] or waits in front of it.
    pub(crate) ocsp_queue: Room,
    pub(crate) manage: Room,
    pub(crate) order: Room,
    pub(crate) key: Room,
    pub(crate) refusal: Room,
    /// Who has an export under way, without a thread of its own.
    pub(crate) export: Room,
}

impl Rooms {
    /// Threads that may block: enough for all rooms to be full.
    pub(crate) const THREADS: usize = LOOK_UP_THREADS
        + EXPLANATIONS
        + TRIAL_THREADS
        + EXCHANGE_THREADS
        + RELYING_THREADS
        + OCSP_THREADS
        + CLIENT_THREADS
        + MANAGE_THREADS
        + ORDER_THREADS
        + KEY_THREADS
        + REFUSAL_THREADS
        + FILE_THREADS;

    pub(crate) fn new() -> Self {
        Self {
            look_up: Room::of(LOOK_UP_THREADS),
            explain: Room::of(EXPLANATIONS),
            trial: Room::of(TRIAL_THREADS),
            exchange: Room::of(EXCHANGE_THREADS),
            relying: Room::of(RELYING_THREADS),
            ocsp: Room::of(OCSP_THREADS),
            client: Room::of(CLIENT_THREADS),
            ocsp_queue: Room::of(OCSP_IN_FLIGHT_MAX),
            manage: Room::of(MANAGE_THREADS),
            order: Room::of(ORDER_THREADS),
            key: Room::of(KEY_THREADS),
            refusal: Room::of(REFUSAL_THREADS),
            export: Room::of(EXPORTS_MAX),
        }
    }
}

/// Room for some at a time.
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    fn of(size: usize) -> Self {
        Self(Arc::new(Semaphore::new(size)))
    }

    /// Waits in line, without a thread. The permit goes along with the work: a client that hangs up
    /// makes no room while its work still runs.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Fault> {
        Arc::clone(&self.0).acquire_owned().await.map_err(|_closed| Fault::internal())
    }

    /// Comes in at once or not at all.
    pub(crate) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0).try_acquire_owned().ok()
    }
}
