//! Runs module processes: start, hello, deliver, deadline, kill.
//!
//! A module is an executable of somebody else's that speaks JSON-RPC 2.0 on its standard input and
//! output. This crate knows how to talk to one such process and how to survive it; it does not know
//! what the events mean, when to try again, or which modules there are. Enter at
//! [`ModuleProcess::start`]; for the rules that a process runs under, at [`confine`].
//!
//! **Invariants.** Every wait has a deadline. Every buffer has a limit. A process never outlives
//! its [`ModuleProcess`], nor do the processes that it started, as long as they stay in its process
//! group. A module sees of the server's environment what [`INHERITED_VARIABLES`] names.

mod call_backs;
mod command;
pub mod confine;
mod error;
mod group;
mod limits;
mod maintain;
mod manage;
mod pipes;
mod process;
mod stderr;
mod verify;

pub use call_backs::{
    CALL_BACKS_PER_ATTEND_MAX, CALL_BACKS_PER_BATCH_MAX, CallBacks, FEATURES, NoCallBacks,
};
pub use command::{INHERITED_VARIABLES, ModuleCommand, TEMPORARY_FOLDER};
pub use error::{EXCERPT_CHARS_MAX, Fault, LAST_WORDS_CHARS_MAX, StartError};
pub use limits::HostLimits;
pub use maintain::{
    CHECKS_MAX, FINDINGS_MAX, MAINTAIN_LIMIT, MaintainCall, MaintainError, SCRIPT_BYTES_MAX,
};
pub use manage::{ManageAnswer, ManageCall, manage};
pub use process::{BatchReport, Delivery, ModuleProcess, TEXT_CHARS_MAX};
pub use verify::VerifyError;
