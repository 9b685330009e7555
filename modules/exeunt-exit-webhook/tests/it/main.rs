//! The module under the kit's host, against a web server in Python that checks signatures itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod content;
mod faults;
mod fixture;
mod maintain;
mod manual;
