//! Messages that come through a reader: hashed as they come, or held whole where nothing else goes.

use std::io::{self, Read};

use aws_lc_rs::digest::{self, Digest};
use exeunt_types::SignatureScheme;

/// Longest message that is held whole because its scheme cannot hash it as it comes, in octets.
///
/// A revocation list of ten million certificates has about 400 MB.
pub const WHOLE_MESSAGE_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Octets that are read at a time to be hashed.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why a message was not read to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It would have to be held whole, and is longer than [`WHOLE_MESSAGE_BYTES_MAX`].
    #[error("the message is too long to be held as a whole")]
    TooLong,
    /// What the reader said.
    #[error("reading the message failed")]
    Io(#[source] io::Error),
}

impl From<io::Error> for ReadError {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

/// The hash that a scheme puts before its arithmetic; none for those that take the message itself.
pub(crate) fn hash_of(scheme: SignatureScheme) -> Option<&'static digest::Algorithm> {
    use SignatureScheme as Scheme;
    match scheme {
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPssSha256 | Scheme::EcdsaSha256 => {
            Some(&digest::SHA256)
        }
        Scheme::RsaPkcs1Sha384 | Scheme::RsaPssSha384 | Scheme::EcdsaSha384 => {
            Some(&digest::SHA384)
        }
        Scheme::RsaPkcs1Sha512 | Scheme::RsaPssSha512 | Scheme::EcdsaSha512 => {
            Some(&digest::SHA512)
        }
        Scheme::Ed25519 | Scheme::MlDsa44 | Scheme::MlDsa65 | Scheme::MlDsa87 => None,
    }
}

/// Hashes everything that `message` gives, holding 64 KiB of it at a time.
pub(crate) fn hash(
    algorithm: &'static digest::Algorithm,
    message: &mut dyn Read,
) -> io::Result<Digest> {
    let mut context = digest::Context::new(algorithm);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match message.read(&mut chunk) {
            Ok(0) => return Ok(context.finish()),
            Ok(len) => context.update(&chunk[..len]),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => (),
            Err(err) => return Err(err),
        }
    }
}

/// Everything that `message` gives, if it is not longer than `bytes_max`.
pub(crate) fn whole(message: &mut dyn Read, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let len = message.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if u64::try_from(len).is_ok_and(|it| it <= bytes_max) {
        Ok(bytes)
    } else {
        Err(ReadError::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one octet at a time and is interrupted before each.
    struct Drip<'a>(&'a [u8], bool);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn the_hash_is_the_same_however_the_message_comes() {
        let message = vec![7; 3 * CHUNK_BYTES + 1];
        let expected = digest::digest(&digest::SHA384, &message);
        let at_once = hash(&digest::SHA384, &mut &message[..]).unwrap();
        assert_eq!(at_once.as_ref(), expected.as_ref());
        let in_drips = hash(&digest::SHA384, &mut Drip(&message, false)).unwrap();
        assert_eq!(in_drips.as_ref(), expected.as_ref());
    }

    #[test]
    fn a_message_that_must_be_held_has_a_longest_length() {
        assert!(matches!(whole(&mut &b"1234"[..], 4), Ok(it) if it == b"1234"));
        assert!(matches!(whole(&mut &b"12345"[..], 4), Err(ReadError::TooLong)));
    }
}
