//! What only tests use: foreign tools that judge what Exeunt makes, and make what it must read.
//!
//! Nothing here depends on the other crates, so that no verdict is our own. A missing tool or a
//! tool that breaks is a panic with a sentence: a test cannot go on without it.

pub mod foreign;
pub mod messages;
mod python;
pub mod requests;
pub mod tools;
