//! What comes with the renewal of a CA: that its certificates are those that it had before and new ones
//! at the end, and that a new key and the one before it vouch for each other.
//!
//! The renewal itself is made beside a running server, by `authority.rs`; here is what a start makes of
//! it. Enter at [`Engine::take_up_certificates`] and then at [`Engine::cross_certify`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use exeunt_keys::{SignError, sha256};
use exeunt_store::{AuditEntry, CrossRow, NewCaCertificate, StoreError};
use exeunt_types::{RequestFlags, Roles, UnixMillis, hexadecimal};
use exeunt_x509::{BuildError, KeyUsage, assemble_request, build_request_info};

use crate::address::suffix;
use crate::ca::CaCertificate;
use crate::engine::{Engine, EngineError};
use crate::error::SubmitError;
use crate::journey::{Outcome, Own, Submitted};
use crate::policy::{Caller, Door, Plan};

/// Who has new certificates of the CA taken up, and asks for cross certificates.
const CA_CALLER: &str = "exeunt:ca";
/// Under which name the rows of cross certificates have it; no template of the policy.
const CROSS_TEMPLATE: &str = "cross-ca";
/// How far the validity of a cross certificate begins in the past, for verifiers whose clocks are late: the
/// original's `ClockSkewMinutes`.
const BACKDATE: Duration = Duration::from_mins(10);

/// For each of the CA's certificates, given by its public key, the index of its key: that of the first
/// one with the same key.
#[must_use]
pub fn key_indexes<K: PartialEq>(public_keys: &[K]) -> Vec<usize> {
    let first = |key| public_keys.iter().position(|it| it == key);
    public_keys.iter().map(|it| first(it).expect("BUG: it is among them")).collect()
}

/// What a certificate of the CA is good for, in the original's words (`CA_DISP_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnState {
    /// Of its lists: another certificate with the same key has them.
    Error,
    /// It is valid, or its lists are made.
    Valid,
    /// It has expired; of its lists: so have all certificates with its key.
    Invalid,
    /// It was asked for and is not there yet.
    UnderSubmission,
}

impl OwnState {
    /// Its word, for answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::UnderSubmission => "under-submission",
        }
    }
}

/// The state of each of the CA's certificates and that of its lists, at a moment in Unix seconds. The
/// certificates are given by the index of their key and their last second.
#[must_use]
pub fn own_states(certificates: &[(u16, i64)], now: i64) -> Vec<(OwnState, OwnState)> {
    let state = |expired| if expired { OwnState::Invalid } else { OwnState::Valid };
    let of = |(place, &(key, not_after)): (usize, &(u16, i64))| {
        let mut of_key = certificates.iter().filter(|it| it.0 == key);
        let is_owner = !certificates[place + 1..].iter().any(|it| it.0 == key);
        let lists = if is_owner { state(of_key.all(|it| it.1 < now)) } else { OwnState::Error };
        (state(not_after < now), lists)
    };
    certificates.iter().enumerate().map(of).collect()
}

/// A certificate by which one key of the CA vouches for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossCertificate {
    /// Index of the CA certificate whose key signed it.
    pub signer: u16,
    /// Index of the CA certificate whose key it is for.
    pub subject: u16,
    /// The certificate, DER.
    pub der: Vec<u8>,
}

impl CrossCertificate {
    /// What stands behind the name of its file: `(0-1)`.
    #[must_use]
    pub fn suffix(&self) -> String {
        format!("({}-{})", self.signer, self.subject)
    }
}

/// Why a cross certificate was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrossError {
    /// Its request could not be built.
    #[error("building the request of a cross certificate failed")]
    Build {
        /// What the builder said.
        source: BuildError,
    },
    /// The key that it is for did not sign the request.
    #[error("signing the request of a cross certificate failed")]
    Sign {
        /// What the key's keeper said.
        source: SignError,
    },
    /// It was not issued.
    #[error("issuing a cross certificate failed")]
    Issue {
        /// Why.
        source: SubmitError,
    },
    /// It would break a rule.
    #[error("no cross certificate was issued: {message}")]
    Refused {
        /// Which one.
        message: String,
    },
    /// What there is could not be read, or what is new not written down.
    #[error("looking after cross certificates failed")]
    Store {
        /// What the store said.
        source: StoreError,
    },
}

impl CrossError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Build { .. } => "ca-cross-build",
            Self::Sign { .. } => "ca-cross-sign",
            Self::Issue { source } => source.code(),
            Self::Refused { .. } => "ca-cross-refused",
            Self::Store { source } => source.code(),
        }
    }
}

impl Engine {
    /// Compares the CA's certificates with those that the store knows, and has it know the new ones, each
    /// with an event; but the CA's first one is no news. Returns the indexes of the new ones. Call it
    /// before [`Engine::recover`].
    ///
    /// # Errors
    ///
    /// [`EngineError::CertificateChanged`] and [`EngineError::CertificateRemoved`] when the certificates
    /// have another past than the store; nothing was written. [`EngineError::Recovery`].
    pub fn take_up_certificates(&self) -> Result<Vec<u16>, EngineError> {
        let trouble = |source| EngineError::Recovery { source };
        let certificates = self.ca.certificates();
        let known = self.store.ca_certificates().map_err(trouble)?;
        for (index, hash) in (0_u16..).zip(&known) {
            match self.ca.by_index(index) {
                None => return Err(EngineError::CertificateRemoved { index }),
                Some(it) if sha256(it.issuer().der()) != *hash => {
                    return Err(EngineError::CertificateChanged { index });
                }
                Some(_) => (),
            }
        }
        let at = self.clock.now();
        let new: Vec<_> =
            certificates.iter().skip(known.len()).map(|it| new_certificate(it, at)).collect();
        let indexes = new.iter().map(|it| it.index).collect();
        if !new.is_empty() {
            self.store.add_ca_certificates(new, at).map_err(trouble)?;
        }
        Ok(indexes)
    }

    /// Has each new key of a root and the key before it vouch for each other, where they do not yet, so that
    /// whoever trusts either one finds a way to what the other one signed. What has expired, and what was
    /// revoked, is not made again. Call it after [`Engine::recover`].
    ///
    /// # Errors
    ///
    /// [`CrossError`], the first one. What could be made is in force; the next start tries the rest again.
    pub fn cross_certify(&self) -> Result<(), CrossError> {
        let trouble = |source| CrossError::Store { source };
        let now = self.clock.now();
        let rows = self.store.ca_cross_certificates().map_err(trouble)?;
        let (mut found, mut failed) = (Vec::new(), None);
        for (signer, subject) in self.pairs(now) {
            let is_it =
                |it: &&CrossRow| (it.signer, it.subject) == (signer.index(), subject.index());
            let made = match rows.iter().find(is_it) {
                Some(row) => self.recorded(*row).map_err(trouble)?,
                // A key that is away keeps no others from vouching.
                None => match self.cross(signer, subject, now) {
                    Ok(made) => Some(made),
                    Err(err) => {
                        failed.get_or_insert(err);
                        None
                    }
                },
            };
            found.extend(made.map(Arc::new));
            // What has come so far counts, whatever becomes of the next one.
            self.crosses.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        }
        failed.map_or(Ok(()), Err)
    }

    /// The cross certificates that count, by signer and subject.
    #[must_use]
    pub fn cross_certificates(&self) -> Vec<Arc<CrossCertificate>> {
        self.crosses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who is to vouch for whom: each new key of a root and the one before it, both ways, as long as
    /// both are valid.
    fn pairs(&self, now: UnixMillis) -> Vec<(&Arc<CaCertificate>, &Arc<CaCertificate>)> {
        let now = now.unix_seconds();
        let counts = |it: &CaCertificate| {
            let issuer = it.issuer();
            issuer.is_self_issued() && (issuer.not_before()..=issuer.not_after()).contains(&now)
        };
        let certificates = self.ca.certificates();
        let mut pairs: Vec<_> = certificates
            .iter()
            .zip(certificates.iter().skip(1))
            .filter(|(_, new)| new.key_index() == new.index())
            .filter(|(old, new)| counts(old) && counts(new))
            .flat_map(|(old, new)| [(old, new), (new, old)])
            .collect();
        pairs.sort_by_key(|(signer, subject)| (signer.index(), subject.index()));
        pairs
    }

    /// A cross certificate that was made before; none if it was revoked.
    fn recorded(&self, row: CrossRow) -> Result<Option<CrossCertificate>, StoreError> {
        let CrossRow { signer, subject, request } = row;
        let revoked = self.store.request(request)?.and_then(|it| it.revocation);
        if revoked.is_some_and(|it| it.reason.is_some()) {
            return Ok(None);
        }
        let found = self.store.certificate_of(request)?;
        Ok(found.map(|it| CrossCertificate { signer, subject, der: it.certificate.raw }))
    }

    /// Has the key of one certificate sign the key of another, on record when this returns.
    fn cross(
        &self,
        signer: &Arc<CaCertificate>,
        subject: &Arc<CaCertificate>,
        now: UnixMillis,
    ) -> Result<CrossCertificate, CrossError> {
        // It is worth nothing after the end of either.
        let end = signer.issuer().not_after().min(subject.issuer().not_after());
        let seconds = end.saturating_sub(now.unix_seconds()).saturating_add(1);
        let validity = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let key_usage = KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
        let name = subject.issuer().name().clone();
        let plan =
            Plan { backdate: BACKDATE, ..Plan::new(CROSS_TEMPLATE, name, key_usage, validity) };
        let own = Own {
            request: own_request(subject)?,
            plan,
            extensions: Vec::new(),
            flags: RequestFlags::CA_CROSS_CERT,
            ca: Arc::clone(signer),
        };
        let caller = Caller::new(CA_CALLER, Door::Local, Roles::NONE);
        let Submitted { request, outcome } =
            self.issue_own(own, caller).map_err(|source| CrossError::Issue { source })?;
        let der = match outcome {
            Outcome::Issued { certificate, .. } => certificate,
            Outcome::Pending { message } | Outcome::Denied { message, .. } => {
                return Err(CrossError::Refused { message });
            }
        };
        let (signer, subject) = (signer.index(), subject.index());
        // Lost with a crash at this moment, it is made once more, and there are two that say the same.
        self.store
            .add_ca_cross_certificate(CrossRow { signer, subject, request })
            .map_err(|source| CrossError::Store { source })?;
        tracing::info!(signer, subject, "one key of the CA vouches for another now");
        Ok(CrossCertificate { signer, subject, der })
    }
}

/// The row of a certificate has a request, and a request is signed by its own key.
fn own_request(ca: &CaCertificate) -> Result<Vec<u8>, CrossError> {
    let info = build_request_info(ca.issuer().name(), ca.key().public_key_der(), &[])
        .map_err(|source| CrossError::Build { source })?;
    let signature = ca.key().sign(&info).map_err(|source| CrossError::Sign { source })?;
    Ok(assemble_request(&info, ca.key().scheme(), &signature))
}

fn new_certificate(it: &CaCertificate, at: UnixMillis) -> NewCaCertificate {
    let (index, sha256) = (it.index(), sha256(it.issuer().der()));
    let hex = hexadecimal(&sha256);
    let detail = vec![
        ("CertIndex".to_owned(), index.to_string()),
        ("CertSuffix".to_owned(), suffix(index)),
        ("CRLIndex".to_owned(), it.key_index().to_string()),
        ("SHA256".to_owned(), hex.clone()),
    ];
    let by = AuditEntry::new(at, CA_CALLER, "ca-certificate", format!("ca:{index}"))
        .detail(format!("key {}, sha256 {hex}", it.key_index()));
    NewCaCertificate { index, sha256, tell: (0 < index).then_some(detail), by }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_of_each_key_has_its_lists_until_the_last_has_expired() {
        use OwnState::{Error, Invalid, Valid};
        let certificates = [(0, 10), (1, 30), (1, 20), (3, 40)];
        let at = |now| own_states(&certificates, now);
        assert_eq!(at(10), [(Valid, Valid), (Valid, Error), (Valid, Valid), (Valid, Valid)]);
        assert_eq!(at(11)[0], (Invalid, Invalid));
        assert_eq!(at(21)[1..3], [(Valid, Error), (Invalid, Valid)]);
        assert_eq!(at(31)[1..3], [(Invalid, Error), (Invalid, Invalid)]);
    }

    /// The original's own example: new, reuse, reuse, new, reuse, new, reuse after the first.
    #[test]
    fn the_index_of_a_key_is_that_of_its_first_certificate() {
        let keys = ["a", "b", "b", "b", "c", "c", "d", "d"];
        assert_eq!(key_indexes(&keys), [0, 1, 1, 1, 4, 4, 6, 6]);
        assert_eq!(key_indexes(&["a", "b", "a"]), [0, 1, 0]);
        assert_eq!(key_indexes::<&str>(&[]), Vec::<usize>::new());
    }
}
