//! Checkpoints of the audit trail: what the end of the chain is, signed by the CA.
//!
//! Whoever has the database can write the whole chain anew; the signature they cannot make. A checkpoint
//! is a text in CMS `SignedData`, which `openssl cms -verify` reads (docs/decisions/0014).

mod file;
mod start;

use exeunt_keys::{SignError, VerifyError, verify};
use exeunt_store::{AuditCheckpoint, ChainHead, StoreError};
use exeunt_types::UnixMillis;
use exeunt_x509::{
    Issuer, SignedTextError, SignerIdentifier, build_signed_text, parse_signed_text,
};

use crate::engine::Engine;

pub use file::{CHECKPOINT_BLOCK_OCTETS_MAX, CheckpointFile, CheckpointFileError};
pub use start::TrailError;

/// First line of a checkpoint. The number at its end is the version of the text.
const TITLE: &str = "Exeunt audit checkpoint 1";

/// The end of the chain at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Id of the store.
    pub store: String,
    /// The last row and its hash.
    pub head: ChainHead,
    /// When.
    pub at: UnixMillis,
}

/// Why no checkpoint was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The CA's key did not sign.
    #[error("signing a checkpoint of the audit trail failed")]
    Sign {
        /// What the key's keeper said.
        source: SignError,
    },
    /// The store cannot be read, or did not keep it.
    #[error("keeping a checkpoint of the audit trail failed")]
    Store {
        /// What the store said.
        source: StoreError,
    },
    /// The file did not take it.
    #[error("keeping a checkpoint of the audit trail failed")]
    File {
        /// What the file said.
        source: CheckpointFileError,
    },
}

impl CheckpointError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sign { .. } => "audit-checkpoint-sign",
            Self::Store { source } => source.code(),
            Self::File { source } => source.code(),
        }
    }
}

/// Why a checkpoint does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointRefusal {
    /// It is no message, or no checkpoint.
    #[error("it is not a checkpoint: {what}")]
    Malformed {
        /// What was found.
        what: String,
    },
    /// It is of another store.
    #[error("it is of the store {store}")]
    OtherStore {
        /// Which one.
        store: String,
    },
    /// No certificate of the CA has the key that it names.
    #[error("it is not signed by a key of this CA")]
    Signer,
    /// The signature does not fit.
    #[error("its signature is wrong")]
    Signature {
        /// What the verifier said.
        source: VerifyError,
    },
}

impl CheckpointRefusal {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "audit-checkpoint-malformed",
            Self::OtherStore { .. } => "audit-checkpoint-of-another-store",
            Self::Signer | Self::Signature { .. } => "audit-checkpoint-signature",
        }
    }
}

impl From<SignedTextError> for CheckpointRefusal {
    fn from(err: SignedTextError) -> Self {
        Self::Malformed { what: err.to_string() }
    }
}

impl Checkpoint {
    /// What is signed: a title and four lines, each a name, a colon, a blank and a value.
    #[must_use]
    pub fn text(&self) -> String {
        let Self { store, head: ChainHead { number, hash }, at } = self;
        let digits = exeunt_types::hexadecimal(hash);
        format!("{TITLE}\nstore: {store}\nrow: {number}\nsha256: {digits}\ntime: {}\n", at.0)
    }

    /// Reads what [`Self::text`] wrote, and nothing else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(TITLE)?.strip_prefix('\n')?.lines();
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
        let store = value("store")?.to_owned();
        let number = value("row")?.parse().ok()?;
        let digits = value("sha256")?;
        let mut hash = [0; 32];
        for (octet, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
            *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        let at = UnixMillis(value("time")?.parse().ok()?);
        let read = Self { store, head: ChainHead { number, hash }, at };
        // One text for one checkpoint: signs, zeros in front and further lines are none of it.
        (read.text() == text).then_some(read)
    }

    /// Reads a signed checkpoint of a store and verifies that one of the CA's keys signed it.
    ///
    /// # Errors
    ///
    /// [`CheckpointRefusal`].
    pub fn verify(
        der: &[u8],
        store_id: &str,
        issuers: &[&Issuer],
    ) -> Result<Self, CheckpointRefusal> {
        let signed = parse_signed_text(der)?;
        let read = Self::from_text(signed.text()).ok_or_else(|| {
            let what = "its text is another one".to_owned();
            CheckpointRefusal::Malformed { what }
        })?;
        let named = |it: &&&Issuer| match signed.signer() {
            SignerIdentifier::KeyIdentifier(key) => it.key_identifier() == key,
            SignerIdentifier::IssuerAndSerial { .. } => false,
        };
        let issuer = issuers.iter().find(named).ok_or(CheckpointRefusal::Signer)?;
        let (spki, key, scheme) = (issuer.spki_der(), issuer.key(), signed.scheme());
        verify(spki, key, scheme, signed.signed_bytes(), signed.signature())
            .map_err(|source| CheckpointRefusal::Signature { source })?;
        if read.store != store_id {
            return Err(CheckpointRefusal::OtherStore { store: read.store });
        }
        Ok(read)
    }
}

impl Engine {
    /// Code of what keeps the store from writing, if anything does: as long as there is one, nothing is
    /// signed, because everything that is signed is written down first.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        self.store.trouble()
    }

    /// Signs what the end of the audit trail is now, and keeps it in the store and in `file`; nothing
    /// where the last checkpoint speaks of the same row. The CA's newest key signs.
    ///
    /// # Errors
    ///
    /// [`CheckpointError`]; there is no new checkpoint in the file then.
    pub fn checkpoint_audit(
        &self,
        file: &CheckpointFile,
    ) -> Result<Option<Checkpoint>, CheckpointError> {
        let store = |source| CheckpointError::Store { source };
        let head = self.store.audit_head().map_err(store)?;
        if head.number <= self.store.last_audit_checkpoint().map_err(store)? {
            return Ok(None);
        }
        let at = self.clock.now();
        let ca = self.ca.issuing(at.unix_seconds());
        let checkpoint = Checkpoint { store: self.store.store_id().to_owned(), head, at };
        let signer = SignerIdentifier::KeyIdentifier(ca.issuer().key_identifier().to_vec());
        let message = build_signed_text(&checkpoint.text(), signer, ca.key().scheme());
        let signature = ca.key().sign(message.bytes_to_sign());
        let signature = signature.map_err(|source| CheckpointError::Sign { source })?;
        let der = message.assemble(&signature);
        // The file first: where the store has one that the file has not, a start would be refused.
        file.append(&der).map_err(|source| CheckpointError::File { source })?;
        let row = AuditCheckpoint { number: head.number, at, signed: der };
        self.store.add_audit_checkpoint(row).map_err(store)?;
        Ok(Some(checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let head =
            ChainHead { number: 12, hash: std::array::from_fn(|it| u8::try_from(it).unwrap()) };
        Checkpoint { store: "00010203fcfdfeff".to_owned(), head, at: UnixMillis(1_790_000_000_000) }
    }

    #[test]
    fn a_checkpoint_is_a_text_that_people_can_read() {
        expect_test::expect![[r"
            Exeunt audit checkpoint 1
            store: 00010203fcfdfeff
            row: 12
            sha256: 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
            time: 1790000000000
        "]]
        .assert_eq(&checkpoint().text());
    }

    #[test]
    fn a_checkpoint_reads_back_and_nothing_else_does() {
        let text = checkpoint().text();
        assert_eq!(Checkpoint::from_text(&text), Some(checkpoint()));
        for other in [
            String::new(),
            text.replace("checkpoint 1", "checkpoint 2"),
            text.replace("row: 12", "row: +12"),
            text.replace("row: 12", "row: 012"),
            text.replace("0a0b", "0A0B"),
            text.replace("1e1f", "1e"),
            text.replace("1e1f", "1e1f20"),
            text.trim_end().to_owned(),
            format!("{text}\n"),
            format!("{text}more: 1\n"),
            text.replace('\n', "\r\n"),
        ] {
            assert_eq!(Checkpoint::from_text(&other), None, "{other:?}");
        }
    }
}
