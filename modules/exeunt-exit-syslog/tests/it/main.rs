//! The module under the kit's host, against receivers of syslog messages that take them apart
//! themselves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod fixture;
mod maintain;
mod rsyslog;
