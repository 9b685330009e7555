//! What exit modules that publish have in common: settings, secrets, trust, addresses, time, names,
//! revocation lists.
//!
//! The shipped modules are built on it, and anybody's can be. It depends on the contract alone.

pub mod authority;
pub mod certificate;
pub mod cloudevent;
pub mod list;
pub mod outcome;
pub mod pattern;
pub mod resolver;
pub mod secret;
pub mod settings;
mod signed;
pub mod time;
pub mod tls;
pub mod url;
