//! The module under the kit's host, against a mail server; the mails are judged by Python's parser.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod content;
mod digests;
mod faults;
mod fixture;
mod maintain;
mod postfix;
