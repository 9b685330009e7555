//! What others make is read right, and what is made here others read right: with OpenSSL, and with
//! `GnuTLS` where it is installed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are outside of test functions")]

mod certificates;
mod cmc;
mod crls;
mod mutation;
mod ocsp;
mod openssl;
mod requests;
mod responses;
