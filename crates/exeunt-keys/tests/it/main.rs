//! Keys against the world: OpenSSL and pyca/cryptography read, sign and verify the same.

#![expect(clippy::unwrap_used, reason = "every function here serves a test")]

mod at_rest;
mod files;
mod pkcs11;
mod signatures;
