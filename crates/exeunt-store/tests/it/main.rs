//! The store on real files.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod audit;
mod backup;
mod ca;
mod chain;
mod crl;
mod cursor;
mod expiry;
mod faults;
mod group_commit;
mod idempotency;
mod import;
mod journey;
mod kill;
mod list;
mod log;
mod lookup;
mod officer;
mod open;
mod resume;
mod revoke;
mod revoked;
mod shelf;
mod support;
mod undone;
