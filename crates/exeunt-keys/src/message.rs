//! A message that is read once, to be signed and to be checked.

use std::io;

use aws_lc_rs::digest::Digest;
use exeunt_types::SignatureScheme;

use crate::stream::{self, ReadError, WHOLE_MESSAGE_BYTES_MAX};

/// A message as a scheme takes it: its hash, or all of it where the scheme has none. A long one is read once
/// this way, and not for each signature and each check.
#[derive(Debug)]
pub struct Message {
    pub(crate) scheme: SignatureScheme,
    pub(crate) taken: Taken,
}

/// What is kept of a message.
#[derive(Debug)]
pub(crate) enum Taken {
    Hash(Digest),
    Whole(Vec<u8>),
}

impl Message {
    /// Reads what `message` gives to its end, for that scheme.
    ///
    /// It is hashed as it comes, and 64 KiB of it are held. Ed25519 and ML-DSA take the message itself, not a
    /// hash of it (RFC 8032, section 4; RFC 9881, section 3): under them it is held whole, up to
    /// [`WHOLE_MESSAGE_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn read(scheme: SignatureScheme, message: &mut dyn io::Read) -> Result<Self, ReadError> {
        let taken = match stream::hash_of(scheme) {
            Some(hash) => Taken::Hash(stream::hash(hash, message)?),
            None => Taken::Whole(stream::whole(message, WHOLE_MESSAGE_BYTES_MAX)?),
        };
        Ok(Self { scheme, taken })
    }
}
