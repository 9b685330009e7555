//! Certificates that the CA issues to keys of its own: what its OCSP responders, its server and its
//! exchange certificate have in common.
//!
//! Such a key is made with its certificate and lives in memory only, so that there is nothing to back
//! up, to encrypt or to steal from a disk. The certificate goes the way of all certificates, and the
//! next one takes its place in time.

use std::sync::Arc;
use std::time::Duration;

use exeunt_keys::{KeyError, SignError, SigningKey as _, SoftwareKey};
use exeunt_types::{OfficerExtension, RequestFlags, Roles, Serial, UnixMillis};
use exeunt_x509::{BuildError, Name, NameError, assemble_request, build_request_info};

use crate::ca::CaCertificate;
use crate::engine::Engine;
use crate::error::SubmitError;
use crate::journey::{Outcome, Own, Submitted};
use crate::policy::{Caller, Door, Plan};

/// How far their validity begins in the past, for those whose clocks are late: as much as the original
/// allows revocation lists.
pub(crate) const BACKDATE: Duration = Duration::from_mins(10);
/// How long no other one is tried for after one could not be made: each attempt may be a row in the
/// store, and anybody can ask.
const RETRY: Duration = Duration::from_mins(1);

/// Why the CA has no new certificate of that kind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnCertificateError {
    /// The CA's own certificate is at its end.
    #[error("the certificate of this CA is at its end")]
    CaEnds,
    /// The key could not be made.
    #[error("making a key failed")]
    Key {
        /// What the keys' keeper said.
        source: KeyError,
    },
    /// What it should be called is no name.
    #[error("naming the certificate failed")]
    Name {
        /// What is wrong with it.
        source: NameError,
    },
    /// The request could not be built.
    #[error("building the request failed")]
    Request {
        /// What the builder said.
        source: BuildError,
    },
    /// The new key did not sign.
    #[error("signing the request failed")]
    Sign {
        /// What it said.
        source: SignError,
    },
    /// The CA did not issue it.
    #[error("issuing the certificate failed")]
    Issue {
        /// What stood against it.
        source: SubmitError,
    },
    /// The certificate would break a rule.
    #[error("no certificate was issued: {message}")]
    Refused {
        /// Which one.
        message: String,
    },
}

/// What the CA wants certified.
pub(crate) struct OwnOrder<'a> {
    /// Who asks, for the record.
    pub(crate) caller: &'static str,
    /// The key that it is for.
    pub(crate) key: &'a SoftwareKey,
    pub(crate) plan: Plan,
    /// What the certificate has beyond a plan.
    pub(crate) extensions: Vec<OfficerExtension>,
    /// What its row says.
    pub(crate) flags: RequestFlags,
    /// Which of the CA's certificates issues it.
    pub(crate) ca: &'a Arc<CaCertificate>,
}

/// What was issued.
pub(crate) struct OwnCertificate {
    /// The certificate, DER.
    pub(crate) der: Vec<u8>,
    pub(crate) serial: Serial,
    /// First second of its validity.
    pub(crate) not_before: UnixMillis,
    /// Last second of its validity.
    pub(crate) not_after: UnixMillis,
}

impl OwnCertificate {
    /// When another one should take its place: when a third of the time from now to its end is left.
    pub(crate) fn renew(&self, ca: &CaCertificate, now: UnixMillis) -> UnixMillis {
        let third = self.not_after.0.saturating_sub(now.0) / 3;
        // One that ends with the CA's own certificate could only be replaced by a shorter one.
        let ends_with_ca = ca.issuer().not_after() <= self.not_after.unix_seconds();
        if ends_with_ca { self.not_after } else { UnixMillis(self.not_after.0 - third) }
    }
}

impl Engine {
    /// Issues such a certificate; it is on record when this returns.
    pub(crate) fn issue_to_own_key(
        &self,
        order: OwnOrder<'_>,
    ) -> Result<OwnCertificate, OwnCertificateError> {
        let OwnOrder { caller, key, plan, extensions, flags, ca } = order;
        let request = own_request(key, &plan.subject)?;
        let own = Own { request, plan, extensions, flags, ca: Arc::clone(ca) };
        let Submitted { outcome, .. } = self
            .issue_own(own, Caller::new(caller, Door::Local, Roles::NONE))
            .map_err(|source| OwnCertificateError::Issue { source })?;
        match outcome {
            Outcome::Issued { certificate: der, serial, not_before, not_after, .. } => {
                Ok(OwnCertificate { der, serial, not_before, not_after })
            }
            Outcome::Pending { message } | Outcome::Denied { message, .. } => {
                Err(OwnCertificateError::Refused { message })
            }
        }
    }
}

/// The row of a certificate has a request, and a request is signed by its own key.
fn own_request(key: &SoftwareKey, subject: &Name) -> Result<Vec<u8>, OwnCertificateError> {
    let info = build_request_info(subject, key.public_key_der(), &[])
        .map_err(|source| OwnCertificateError::Request { source })?;
    let signature = key.sign(&info).map_err(|source| OwnCertificateError::Sign { source })?;
    Ok(assemble_request(&info, key.scheme(), &signature))
}

/// Whether it is too early to try once more.
pub(crate) fn rests(failed: UnixMillis, now: UnixMillis) -> bool {
    failed <= now && now < failed.plus(RETRY)
}

/// The common name that `naming` makes of the CA's, if there is room, else another one.
pub(crate) fn name_after(
    ca: &Name,
    naming: impl FnOnce(&str) -> String,
    otherwise: &str,
) -> Result<Name, OwnCertificateError> {
    let of_ca = ca.common_name().and_then(|it| {
        let escaped: String = it.trim().chars().flat_map(escape).collect();
        Name::parse(&format!("CN={}", naming(&escaped))).ok()
    });
    of_ca
        .map_or_else(|| Name::parse(&format!("CN={otherwise}")), Ok)
        .map_err(|source| OwnCertificateError::Name { source })
}

/// RFC 4514, section 2.4.
fn escape(letter: char) -> impl Iterator<Item = char> {
    let special = "\"+,;<>\\".contains(letter);
    special.then_some('\\').into_iter().chain([letter])
}
