//! The CA's own certificates and keys, in the order of their installation.
//!
//! A CA begins with one certificate. Each renewal adds one, with the same key or with a new one; none
//! ever goes. The newest that is valid issues; the older ones are there for what was issued under them.

use std::sync::Arc;

use exeunt_keys::SigningKey;
use exeunt_x509::{Extension, Issuer};

use crate::address::Tokens;
use crate::engine::{EngineError, Publication, fixed_extensions};

/// A certificate of the CA as it is handed over at start.
#[derive(Debug)]
pub struct CaEntry {
    /// The certificate, DER.
    pub certificate: Vec<u8>,
    /// Its private key; none where it renews an earlier one with the same key.
    pub key: Option<Box<dyn SigningKey>>,
}

/// A certificate of the CA, with its key.
#[derive(Debug)]
pub struct CaCertificate {
    index: u16,
    key_index: u16,
    issuer: Issuer,
    key: Arc<dyn SigningKey>,
    /// AKI, CDP and AIA are the same in every certificate that it issues and are encoded once.
    fixed_extensions: Vec<Extension>,
}

impl CaCertificate {
    /// Its place among the CA's certificates; 0 for the first one.
    #[must_use]
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Index of the first certificate with the same key.
    #[must_use]
    pub fn key_index(&self) -> u16 {
        self.key_index
    }

    /// What signing in its name takes from it.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Whether it is at that moment, in Unix seconds.
    fn is_valid(&self, now: i64) -> bool {
        (self.issuer.not_before()..=self.issuer.not_after()).contains(&now)
    }

    pub(crate) fn key(&self) -> &dyn SigningKey {
        &*self.key
    }

    pub(crate) fn fixed_extensions(&self) -> &[Extension] {
        &self.fixed_extensions
    }
}

/// The CA's certificates; at least one.
#[derive(Debug)]
pub struct Ca {
    certificates: Vec<Arc<CaCertificate>>,
    current: Arc<CaCertificate>,
}

impl Ca {
    pub(crate) fn new(
        entries: Vec<CaEntry>,
        publication: &Publication,
    ) -> Result<Self, EngineError> {
        let mut certificates: Vec<Arc<CaCertificate>> = Vec::with_capacity(entries.len());
        for CaEntry { certificate, key } in entries {
            let index =
                u16::try_from(certificates.len()).map_err(|_| EngineError::TooManyCertificates)?;
            let issuer = Issuer::from_certificate(&certificate)
                .map_err(|source| EngineError::Certificate { source })?;
            let first = certificates.iter().find(|it| it.issuer.spki_der() == issuer.spki_der());
            let (key_index, key) = match (first, key) {
                (Some(first), None) => (first.key_index, Arc::clone(&first.key)),
                (None, Some(key)) => (index, Arc::from(key)),
                // The same key once more, or one too many.
                (Some(first), Some(key)) => (first.key_index, Arc::from(key)),
                (None, None) => return Err(EngineError::KeyMismatch),
            };
            if issuer.spki_der() != key.public_key_der() {
                return Err(EngineError::KeyMismatch);
            }
            let tokens = Tokens { certificate_index: index, key_index, ..Tokens::default() };
            let fixed_extensions = fixed_extensions(&issuer, publication, tokens)
                .map_err(|source| EngineError::Publication { source })?;
            let made = CaCertificate { index, key_index, issuer, key, fixed_extensions };
            certificates.push(Arc::new(made));
        }
        let current = certificates.last().map(Arc::clone).ok_or(EngineError::NoCertificate)?;
        Ok(Self { certificates, current })
    }

    /// The newest certificate.
    #[must_use]
    pub fn current(&self) -> &Arc<CaCertificate> {
        &self.current
    }

    /// All of them, by index.
    #[must_use]
    pub fn certificates(&self) -> &[Arc<CaCertificate>] {
        &self.certificates
    }

    /// The certificate with that index.
    #[must_use]
    pub fn by_index(&self, index: u16) -> Option<&Arc<CaCertificate>> {
        self.certificates.get(usize::from(index))
    }

    /// The newest certificate with the key of that index: the one that its revocation lists belong to.
    #[must_use]
    pub fn owner(&self, key_index: u16) -> Option<&Arc<CaCertificate>> {
        self.certificates.iter().rev().find(|it| it.key_index == key_index)
    }

    /// The certificate that issues at that moment, in Unix seconds: the newest one that is valid then, or
    /// else the newest of all. One whose time is still to come holds nobody up.
    #[must_use]
    pub fn issuing(&self, now: i64) -> &Arc<CaCertificate> {
        self.certificates.iter().rev().find(|it| it.is_valid(now)).unwrap_or(&self.current)
    }

    /// The newest certificate with the key of that index that is valid at that moment, in Unix seconds.
    #[must_use]
    pub fn valid_with_key(&self, key_index: u16, now: i64) -> Option<&Arc<CaCertificate>> {
        let mut of_key = self.certificates.iter().rev().filter(|it| it.key_index == key_index);
        of_key.find(|it| it.is_valid(now))
    }

    /// First second, in Unix seconds, in which any certificate with that key is valid.
    #[must_use]
    pub fn key_not_before(&self, key_index: u16) -> Option<i64> {
        let of_key = self.certificates.iter().filter(|it| it.key_index == key_index);
        of_key.map(|it| it.issuer.not_before()).min()
    }

    /// Last second, in Unix seconds, in which any certificate with that key is valid: so long its
    /// revocation lists are made.
    #[must_use]
    pub fn key_not_after(&self, key_index: u16) -> Option<i64> {
        let of_key = self.certificates.iter().filter(|it| it.key_index == key_index);
        of_key.map(|it| it.issuer.not_after()).max()
    }

    /// [`Self::owner`] of each key, by the key's index.
    pub fn owners(&self) -> impl Iterator<Item = &Arc<CaCertificate>> {
        self.certificates
            .iter()
            .filter(|it| it.index == it.key_index)
            .filter_map(|first| self.owner(first.key_index))
    }
}
