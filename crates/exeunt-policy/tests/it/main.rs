//! The templates decide: on requests made by openssl, without an engine around them.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod messages;
mod module;
mod plans;
mod rules;
mod support;
mod table;
mod templates;
