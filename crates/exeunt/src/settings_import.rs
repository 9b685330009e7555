//! The settings of a Windows CA become a configuration: what stands in an export of its registry.
//!
//! `registry` reads the export, `convert` takes it value by value, `places` is where it publishes,
//! `mail` the mail of its default exit module. Every value is either taken over or said to be not,
//! with the reason; nothing is dropped in silence.

mod compose;
mod convert;
mod exits;
mod mail;
mod places;
mod reasons;
pub mod registry;

pub use convert::{ConvertError, Converted, by_reason, convert};

#[cfg(test)]
mod tests;
