//! The journey of a request: admit, decide, build and lint, intend, sign, record; and recovery.
//!
//! Synchronous: call it from worker threads. It knows no HTTP, no exit module and no runtime; time
//! and randomness are given to it. Enter at [`Engine::submit`]; `journey.rs` is the story.

mod attributes;
mod authority;
mod build;
mod engine;
mod error;
mod journey;
mod policy;

pub use attributes::{
    ATTRIBUTE_COUNT_MAX, ATTRIBUTE_TEXT_BYTES_MAX, AttributeError, parse_attributes,
};
pub use authority::{AuthorityError, CaProfile, ca_request, self_signed_root};
pub use engine::{
    Clock, Engine, EngineError, Entropy, Parts, Publication, Recovered, SERIAL_ATTEMPTS_MAX,
};
pub use error::{Blame, SubmitError};
pub use journey::{Outcome, Submission, Submitted};
pub use policy::{Asked, Caller, Decision, Door, Plan, Policy};
