//! The contract between Exeunt and its modules: events, properties, messages, outcomes.
//!
//! A module of the process tier is an executable that speaks JSON-RPC 2.0 on its standard input
//! and output, one message a line. This crate holds the types of that conversation and turns lines
//! into messages and back. It reads and writes nothing itself: the host and the kit do.
//!
//! Authors in Rust start with the kit, `exeunt-module-kit`; authors in any other language with
//! `docs/contract.md`. Enter here through [`Event`], then [`line`](mod@line).

pub mod call_back;
mod event;
pub mod line;
pub mod maintain;
pub mod manage;
mod message;
pub mod policy;
mod property;
#[cfg(feature = "schema")]
pub mod schema;
pub mod view;

pub use event::{Event, Extension, Extensions, exit_event};
pub use message::{Call, CallError, Initialize, Initialized, Outcome, Request, Response, method};
pub use property::{
    CERTSRV_E_PROPERTY_EMPTY, E_INVALIDARG, E_UNEXPECTED, PropType, Properties, PropertyError,
    Value,
};

/// Version of the protocol that this crate speaks.
///
/// An integer of its own: it moves when a peer that ignores the change would misunderstand, and
/// with nothing else. Additions are named features, agreed in `Initialize`.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest line, in bytes, the line feed not counted.
///
/// The largest event carries a request of 64 KiB and a certificate of 16 KiB (the original's column
/// sizes) several times over in base64; 4 MiB leaves room and still bounds what one peer can make
/// the other keep.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Largest window a host may offer: calls of `Notify` that are unanswered at the same time.
pub const WINDOW_MAX: u32 = 4096;
