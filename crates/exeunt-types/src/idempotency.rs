//! Keys by which a client repeats a submission without making it twice.

use crate::{RequestId, UnixMillis};

/// A key as it came with a submission, and what was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key, which the client chose.
    pub key: String,
    /// SHA-256 of everything that was asked for: with another one the same key is a mistake.
    pub asked: [u8; 32],
}

/// A key on its way into the store, with its request's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Who submitted: others may choose the same key.
    pub caller: String,
    /// The key.
    pub key: IdempotencyKey,
    /// Why the request was denied, if it was: the row of a request has no code.
    pub denied: Option<String>,
    /// When.
    pub at: UnixMillis,
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The request that was made with it.
    pub request: RequestId,
    /// SHA-256 of what was asked for then.
    pub asked: [u8; 32],
    /// Why it was denied, if it was.
    pub denied: Option<String>,
}
