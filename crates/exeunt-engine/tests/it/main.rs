//! The journey with the real store, real keys and the real policy; strangers judge what comes out.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod access;
mod archive;
mod authority;
mod crash;
mod crl_failures;
mod crl_lines;
mod crls;
mod disk;
mod enroll;
mod expiry;
mod foreign;
mod import;
mod model;
mod mutants;
mod ocsp;
mod ocsp_model;
mod officers;
mod outcomes;
mod renewal;
mod repeat;
mod revocation;
mod serials;
mod support;
mod tables;
mod templates;
mod threads;
mod threats;
mod tls;
mod trail;
