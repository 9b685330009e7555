//! The journey with the real store, real keys and the real policy; strangers judge what comes out.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod authority;
mod crash;
mod disk;
mod foreign;
mod mutants;
mod outcomes;
mod serials;
mod support;
mod threads;
