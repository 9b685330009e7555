//! Certificates and revocation lists made by openssl, a foreign implementation.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lists;
mod openssl;
