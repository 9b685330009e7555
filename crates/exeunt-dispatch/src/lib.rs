//! Steps 6 to 8 of the journey: reads the event log and delivers to each module from its own place.
//!
//! One log, a cursor per module, a shelf for the exceptions. A thread per module reads a window of
//! events after the cursor, hands it to the module's process, and settles it: the cursor moves on,
//! what failed goes on the shelf and is told again later. On the happy path nothing is written per
//! module and event. Enter at [`Dispatcher::start`].
//!
//! **Invariants.** Every event is told at least once, with an id that never changes, and in order
//! per subject; only the oldest unsettled event of a subject is ever told. An event that fails
//! holds back its subject and nothing else. No module's failure reaches the engine, another module,
//! or the answer to a request: the engine does not know that this crate exists.

mod breaker;
mod call_back;
mod delivered;
mod dispatcher;
mod error;
mod explain;
mod filter;
mod maintain;
mod module;
mod order;
mod place;
mod settings;
mod shared;
mod shelf;
mod snapshot;
mod status;
mod worker;

pub use breaker::BREAKER_FAILURES;
pub use delivered::{DELIVERED_MAX, Delivered};
pub use dispatcher::{Dispatcher, ORDER_WAIT_MAX};
pub use error::DispatchError;
pub use explain::{Answer, Rule};
pub use filter::{
    FILTER_BRACKETS_MAX, FILTER_BYTES_MAX, FILTER_MATCHED_BYTES_MAX, FILTER_OPERATORS_MAX,
    FILTER_PATTERN_BYTES_MAX, FILTER_PATTERNS_MAX, FILTER_SUMS_MAX, Filter, FilterError, Verdict,
};
pub use maintain::{
    END_CALLS_MAX, FollowMaintenance, Maintained, Maintainer, Maintenance, MaintenanceError,
    REST_WAIT_MAX,
};
pub use order::{Done, Order};
pub use settings::{CaCertificateFacts, CaFacts, ExitSettings, ListFacts, RetrySchedule};
pub use shared::{Clock, Random};
pub use shelf::SHELF_EVENTS_MAX;
pub use snapshot::CaProperties;
pub use status::{ExitState, ExitStatus};
pub use worker::LEASE;
