//! The judges themselves are judged: each accepts what is right and catches what is wrong.

#![expect(clippy::unwrap_used, reason = "every function here serves a test")]

mod judges;
mod makers;
