//! Answering by OCSP whether certificates of this CA are revoked (RFC 6960, in the manner of RFC
//! 5019). Enter at [`Engine::answer_ocsp`].
//!
//! The CA's own keys do not answer: each names a responder, whose key is kept in memory only
//! (`ocsp/responder.rs`). Answers for one certificate and without a nonce are kept and given again
//! (`ocsp/kept.rs`), until they grow old or the certificate's status changes.

mod kept;
mod responder;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use exeunt_store::{SerialStatus, StoreError};
use exeunt_types::{RevocationReason, Serial, UnixMillis};
use exeunt_x509::{
    CertId, CertStatus, OcspFields, OcspRefusal, OcspRequest, SingleResponse,
    assemble_ocsp_response, build_ocsp_response_data, parse_ocsp_request, public_key_parts,
    refuse_ocsp,
};

use crate::engine::Engine;
use crate::revoke::counts;
use kept::KeptAnswers;
pub use kept::{OCSP_ANSWER_BYTES_MAX, OCSP_ANSWER_COUNT_MAX};
use responder::{Responder, Responders};

/// Shortest validity of an answer. What is shorter is over before slow networks have brought it.
pub const OCSP_VALIDITY_MIN: Duration = Duration::from_mins(1);
/// Shortest validity of a responder's certificate: a new one is a row in the store each time.
pub const OCSP_RESPONDER_VALIDITY_MIN: Duration = Duration::from_hours(1);
/// Longest validity of answers and of responders. Nobody asks whether a responder is revoked, so it must
/// end by itself (RFC 6960, section 4.2.2.2.1).
pub const OCSP_VALIDITY_MAX: Duration = Duration::from_hours(365 * 24);
/// Longest validity of an answer that knows nothing of a certificate: it may be issued at any time.
const UNKNOWN_VALIDITY: Duration = Duration::from_mins(1);
/// Largest request for which [`Engine::kept_ocsp_answer`] looks, in octets. In the manner of RFC 5019 a
/// request has about 80; a path as long as the RFC allows, 255 octets in base64, holds 191.
pub const OCSP_KEPT_REQUEST_BYTES_MAX: usize = 256;

/// How OCSP is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspSettings {
    /// Whether it is at all. Where it is not, every answer is `unauthorized`.
    pub enabled: bool,
    /// How long an answer counts, and with that how long a revocation may go unnoticed by those who
    /// keep answers: [`OCSP_VALIDITY_MIN`] to [`OCSP_VALIDITY_MAX`].
    pub validity: Duration,
    /// How long the responder's certificate is valid: [`OCSP_RESPONDER_VALIDITY_MIN`] to
    /// [`OCSP_VALIDITY_MAX`]. A new one is made when a third of it is left.
    pub responder_validity: Duration,
}

impl Default for OcspSettings {
    /// Answers of four hours, which let somebody go to lunch and see a revocation the same day; a
    /// responder of two weeks.
    fn default() -> Self {
        Self {
            enabled: true,
            validity: Duration::from_hours(4),
            responder_validity: Duration::from_hours(14 * 24),
        }
    }
}

impl OcspSettings {
    /// Which rule the settings break.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if !(OCSP_VALIDITY_MIN..=OCSP_VALIDITY_MAX).contains(&self.validity) {
            return Err("answers are valid for less than a minute or more than a year");
        }
        if !(OCSP_RESPONDER_VALIDITY_MIN..=OCSP_VALIDITY_MAX).contains(&self.responder_validity) {
            return Err("the responder is valid for less than an hour or more than a year");
        }
        Ok(())
    }
}

/// What goes back to a client. There always is something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspAnswer {
    /// The `OCSPResponse`, DER.
    pub der: Vec<u8>,
    /// When what it says was known to be true; of a refusal, when it was refused.
    pub this_update: UnixMillis,
    /// Until when it counts; none of a refusal.
    pub next_update: Option<UnixMillis>,
    /// Whether others who ask the same may be given it until then: it repeats no nonce and knows the
    /// certificates.
    pub cacheable: bool,
    /// SHA-256 of [`Self::der`], made once for all who are given it.
    pub sha256: [u8; 32],
}

impl OcspAnswer {
    /// A refusal at that moment, DER.
    #[must_use]
    pub fn refusal(der: &[u8], at: UnixMillis) -> Self {
        let sha256 = exeunt_keys::sha256(der);
        Self { der: der.to_vec(), this_update: at, next_update: None, cacheable: false, sha256 }
    }
}

/// What the engine keeps for OCSP.
#[derive(Debug)]
pub(crate) struct Ocsp {
    settings: OcspSettings,
    responders: Responders,
    kept: Mutex<KeptAnswers>,
}

impl Ocsp {
    pub(crate) fn new(settings: OcspSettings) -> Self {
        Self { settings, responders: Responders::default(), kept: Mutex::default() }
    }

    /// How often the status of any certificate has changed since the start.
    pub(crate) fn changes(&self) -> u64 {
        locked(&self.kept).changes()
    }

    /// The status of that certificate is another one now: what was answered before is not given
    /// again. Call it when the change is durable and before anybody is told.
    pub(crate) fn forget(&self, serial: &Serial) {
        let was_responder = self.responders.dismiss(serial);
        let mut kept = locked(&self.kept);
        if was_responder {
            // What it has signed is worth no more than itself.
            let all = kept.clear();
            // Those who ask wait for the lock, and not for a hundred thousand answers to be freed.
            drop(kept);
            drop(all);
        } else {
            kept.remove(serial);
        }
    }
}

/// What is known of a certificate, and until when.
struct Known {
    status: CertStatus,
    next_update: i64,
}

/// An answer that cannot be given. The reason is for the log.
enum Trouble {
    Refuse(OcspRefusal),
    Store(StoreError),
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl Engine {
    /// Answers an `OCSPRequest`, DER. Requests may come from anybody.
    ///
    /// `good` is a certificate that this CA has on record under the key that the request names, and
    /// that is not revoked at this moment; a hold counts as revoked, and so does a serial number that
    /// was given up. `unknown` is a serial number that this key never signed, or a certificate of
    /// another CA, or of another key of this one, that was asked for along with one of this key. Where
    /// nothing of this CA is asked for, the answer is `unauthorized`.
    ///
    /// Each key of the CA has a responder of its own. The first answer after a start has to wait for
    /// the key and the certificate of the responder; if they cannot be had, the answers of that key
    /// are `tryLater` for a minute.
    #[must_use]
    pub fn answer_ocsp(&self, request_der: &[u8]) -> OcspAnswer {
        let now = self.clock.now();
        // Keys are foreign code; a panic of theirs is an answer, too.
        let answered = catch_unwind(AssertUnwindSafe(|| self.try_answer_ocsp(request_der, now)));
        let refusal = match answered {
            Ok(Ok(answer)) => return answer,
            Ok(Err(Trouble::Refuse(refusal))) => refusal,
            Ok(Err(Trouble::Store(err))) => {
                tracing::error!(error = %err, "OCSP: the store cannot be read");
                OcspRefusal::InternalError
            }
            Ok(Err(Trouble::Internal(err))) => {
                tracing::error!(error = %err, "OCSP: an answer could not be made");
                OcspRefusal::InternalError
            }
            Err(_) => {
                tracing::error!("OCSP: making an answer panicked");
                OcspRefusal::InternalError
            }
        };
        OcspAnswer::refusal(&refuse_ocsp(refusal), now)
    }

    /// The answer to an `OCSPRequest` if it is among those that are kept; [`Self::answer_ocsp`] would
    /// say the same. It takes microseconds: nothing is signed, and neither the store nor a key is asked.
    #[must_use]
    pub fn kept_ocsp_answer(&self, request_der: &[u8]) -> Option<OcspAnswer> {
        if !self.ocsp.settings.enabled || OCSP_KEPT_REQUEST_BYTES_MAX < request_der.len() {
            return None;
        }
        let request = parse_ocsp_request(request_der).ok()?;
        // What was kept was found to be of this CA.
        let (serial, cert_id) = kept_as(&request)?;
        let now = self.clock.now();
        locked(&self.ocsp.kept).find(&serial, cert_id, now)
    }

    fn try_answer_ocsp(&self, request_der: &[u8], now: UnixMillis) -> Result<OcspAnswer, Trouble> {
        if !self.ocsp.settings.enabled {
            return Err(Trouble::Refuse(OcspRefusal::Unauthorized));
        }
        let request = parse_ocsp_request(request_der).map_err(|err| {
            tracing::debug!(error = %err, "OCSP: a request is malformed");
            Trouble::Refuse(OcspRefusal::MalformedRequest)
        })?;
        let kept_as = kept_as(&request);
        let mut changes = 0;
        if let Some((serial, cert_id)) = kept_as {
            let kept = locked(&self.ocsp.kept);
            if let Some(answer) = kept.find(&serial, cert_id, now) {
                return Ok(answer);
            }
            changes = kept.changes();
        }
        let OcspRequest { certificates, nonce, .. } = request;
        let keys = certificates.iter().map(|it| self.key_of(it)).collect::<Result<Vec<_>, _>>()?;
        // A responder speaks for the key that has signed its own certificate, and for no other.
        let Some(key_index) = keys.iter().find_map(|it| *it) else {
            return Err(Trouble::Refuse(OcspRefusal::Unauthorized));
        };
        let own: Vec<bool> = keys.iter().map(|it| *it == Some(key_index)).collect();
        let responder = self.responder(key_index, now)?;
        let asked = (&certificates[..], &own[..]);
        let answer = self.sign_ocsp((&responder, key_index), now, asked, nonce)?;
        if let Some((serial, cert_id)) = kept_as
            && answer.cacheable
        {
            // Refused if a status changed meanwhile: what was read may be the old one.
            locked(&self.ocsp.kept).keep(serial, cert_id, &answer, changes);
        }
        Ok(answer)
    }

    /// Index of the key of this CA that the certificate is said to be signed with.
    fn key_of(&self, certificate: &CertId<'_>) -> Result<Option<u16>, Trouble> {
        for ca in self.ca.certificates() {
            let key = public_key_parts(ca.issuer().spki_der()).map_err(Trouble::internal)?.key;
            if certificate.matches(ca.issuer().name().der(), key) {
                return Ok(Some(ca.key_index()));
            }
        }
        Ok(None)
    }

    /// A new answer by the responder of that key. Of each certificate is said whether it is of the key.
    fn sign_ocsp(
        &self,
        (responder, key_index): (&Responder, u16),
        now: UnixMillis,
        (certificates, own): (&[CertId<'_>], &[bool]),
        nonce: Option<&[u8]>,
    ) -> Result<OcspAnswer, Trouble> {
        let this_update = now.unix_seconds();
        let mut responses = Vec::with_capacity(certificates.len());
        for (certificate, own) in certificates.iter().zip(own) {
            let serial = certificate.serial().filter(|_| *own);
            let Known { status, next_update } = self.known(serial, key_index, now)?;
            // Nobody believes an answer for longer than its responder.
            let next_update = next_update.min(responder.not_after());
            responses.push(SingleResponse {
                certificate: *certificate,
                status,
                this_update,
                next_update: Some(next_update),
            });
        }
        let data = build_ocsp_response_data(&OcspFields {
            responder_key_hash: responder.key_hash(),
            produced_at: this_update,
            responses: &responses,
            nonce,
        })
        .map_err(Trouble::internal)?;
        let key = responder.key();
        let signature = key.sign(&data).map_err(Trouble::internal)?;
        let der =
            assemble_ocsp_response(&data, key.scheme(), &signature, &[responder.certificate()]);
        let next_update = responses.iter().filter_map(|it| it.next_update).min();
        let knows_all = responses.iter().all(|it| it.status != CertStatus::Unknown);
        let sha256 = exeunt_keys::sha256(&der);
        Ok(OcspAnswer {
            der,
            this_update: UnixMillis::from_unix_seconds(this_update),
            next_update: next_update.map(UnixMillis::from_unix_seconds),
            cacheable: nonce.is_none() && knows_all,
            sha256,
        })
    }

    /// What is true of a serial number of that key now, and until when that is said.
    fn known(
        &self,
        serial: Option<Serial>,
        key_index: u16,
        now: UnixMillis,
    ) -> Result<Known, Trouble> {
        let validity = self.ocsp.settings.validity;
        let status = match serial {
            Some(serial) => {
                self.store.serial_status_of(&serial, key_index).map_err(Trouble::Store)?
            }
            None => SerialStatus::Unknown,
        };
        let next_update = now.plus(validity).unix_seconds();
        let revoked =
            |at, reason| Known { status: CertStatus::Revoked { at, reason }, next_update };
        Ok(match status {
            SerialStatus::Issued => Known { status: CertStatus::Good, next_update },
            SerialStatus::Revoked(revocation) => {
                let effective = revocation.effective.unix_seconds();
                if counts(&revocation, now) || effective <= now.unix_seconds() {
                    let reason = revocation.reason.unwrap_or(RevocationReason::Unspecified);
                    revoked(effective, reason)
                } else {
                    // Good until then, and not a second longer.
                    Known { status: CertStatus::Good, next_update: next_update.min(effective) }
                }
            }
            SerialStatus::Abandoned { at } => {
                revoked(at.unix_seconds(), RevocationReason::Unspecified)
            }
            SerialStatus::Unknown => {
                let next_update = now.plus(validity.min(UNKNOWN_VALIDITY)).unix_seconds();
                Known { status: CertStatus::Unknown, next_update }
            }
        })
    }
}

impl Trouble {
    fn internal(err: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(err))
    }
}

/// As what the answer to this request is kept, if it is: clients in the manner of RFC 5019 ask for one
/// certificate and have no nonce. The octets name the key as well.
fn kept_as<'a>(request: &OcspRequest<'a>) -> Option<(Serial, &'a [u8])> {
    match (&request.certificates[..], request.nonce) {
        ([one], None) => one.serial().map(|serial| (serial, one.der())),
        _ => None,
    }
}

/// What is under these locks is whole between any two statements, so a panic spoils nothing.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
