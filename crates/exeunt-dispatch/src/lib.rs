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
mod dispatcher;
mod error;
mod module;
mod place;
mod settings;
mod shared;
mod shelf;
mod snapshot;
mod status;
mod worker;

pub use breaker::BREAKER_FAILURES;
pub use dispatcher::Dispatcher;
pub use error::DispatchError;
pub use settings::{CaFacts, ExitSettings, RetrySchedule};
pub use shared::{Clock, Random};
pub use shelf::SHELF_EVENTS_MAX;
pub use status::{ExitState, ExitStatus};
pub use worker::LEASE;
