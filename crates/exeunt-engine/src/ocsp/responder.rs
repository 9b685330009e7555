//! Who signs the answers: for each key of the CA a responder that the key names by a certificate (RFC
//! 6960, section 4.2.2.2).
//!
//! Its key is never written anywhere (`own_certificate.rs`). A new key and a new certificate are made
//! at the first question after a start and whenever the certificate has grown old.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, TryLockError};

use exeunt_keys::{KeyError, SigningKey, SoftwareKey};
use exeunt_types::{KeyAlgorithm, OfficerExtension, RequestFlags, Serial, UnixMillis};
use exeunt_x509::{
    BuildError, Extension, KeyUsage, Name, ObjectIdentifier, OcspRefusal, key_identifier,
};

use super::{Trouble, locked};
use crate::ca::CaCertificate;
use crate::engine::Engine;
use crate::own_certificate::{
    BACKDATE, OwnCertificate, OwnCertificateError, OwnOrder, name_after, rests,
};
use crate::policy::Plan;

/// Who asks for the responder's certificate.
const OCSP_CALLER: &str = "exeunt:ocsp";
/// Under which name the row has it; no template of the policy.
const OCSP_TEMPLATE: &str = "ocsp-responder";
/// `id-kp-OCSPSigning` (RFC 6960, section 4.2.2.2).
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
/// Size of its keys where the CA's is RSA: enough for a few days, and fast.
const RSA_BITS: u32 = 2048;

/// A key, and the certificate that names it.
#[derive(Debug)]
pub(super) struct Responder {
    key: SoftwareKey,
    key_hash: [u8; 20],
    certificate: Vec<u8>,
    serial: Serial,
    not_before: UnixMillis,
    not_after: UnixMillis,
    /// When another one takes its place.
    renew: UnixMillis,
}

/// The responders of the CA's keys, by the key's index. There are no more than keys.
#[derive(Debug, Default)]
pub(super) struct Responders(Mutex<BTreeMap<u16, Arc<OfKey>>>);

/// The responder of one key that answers now, and the making of the next.
#[derive(Debug, Default)]
struct OfKey {
    current: Mutex<Option<Arc<Responder>>>,
    /// Held while one is made. Inside: when the last attempt failed.
    making: Mutex<Option<UnixMillis>>,
}

impl Responder {
    pub(super) fn key(&self) -> &dyn SigningKey {
        &self.key
    }

    /// How answers name it: SHA-1 over the bits of its key.
    pub(super) fn key_hash(&self) -> [u8; 20] {
        self.key_hash
    }

    pub(super) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Last second of its validity.
    pub(super) fn not_after(&self) -> i64 {
        self.not_after.unix_seconds()
    }

    /// Whether it can give an answer that counts for at least a second.
    fn is_valid(&self, now: UnixMillis) -> bool {
        let now = now.unix_seconds();
        self.not_before.unix_seconds() <= now && now < self.not_after()
    }

    fn is_fresh(&self, now: UnixMillis) -> bool {
        self.is_valid(now) && now < self.renew
    }
}

impl Responders {
    /// That of a key. Making one holds up those who ask for the same key, and nobody else.
    fn of_key(&self, key_index: u16) -> Arc<OfKey> {
        Arc::clone(locked(&self.0).entry(key_index).or_default())
    }

    /// The certificate with that serial number was revoked, or so: if it is a responder's, that one
    /// does not answer any more.
    pub(super) fn dismiss(&self, serial: &Serial) -> bool {
        locked(&self.0).values().any(|it| it.dismiss(serial))
    }
}

impl OfKey {
    fn current(&self) -> Option<Arc<Responder>> {
        locked(&self.current).clone()
    }

    fn dismiss(&self, serial: &Serial) -> bool {
        locked(&self.current).take_if(|it| it.serial == *serial).is_some()
    }
}

impl Engine {
    /// Who answers now for that key. One caller makes the next one while the others still use the old
    /// one, or wait if there is none.
    pub(super) fn responder(
        &self,
        key_index: u16,
        now: UnixMillis,
    ) -> Result<Arc<Responder>, Trouble> {
        let responders = self.ocsp.responders.of_key(key_index);
        let old = match responders.current() {
            Some(current) if current.is_fresh(now) => return Ok(current),
            current => current.filter(|it| it.is_valid(now)),
        };
        let mut failed = match (responders.making.try_lock(), &old) {
            (Ok(making), _) => making,
            (Err(TryLockError::WouldBlock), Some(old)) => return Ok(Arc::clone(old)),
            (Err(_), _) => locked(&responders.making),
        };
        // Somebody else may have made one meanwhile.
        if let Some(current) = responders.current().filter(|it| it.is_fresh(now)) {
            return Ok(current);
        }
        let or_old = || old.ok_or(Trouble::Refuse(OcspRefusal::TryLater));
        if failed.is_some_and(|it| rests(it, now)) {
            return or_old();
        }
        // Noted first: also a panic is a failure.
        *failed = Some(now);
        match self.make_responder(key_index, now) {
            Ok(responder) => {
                let made = Arc::new(responder);
                *locked(&responders.current) = Some(Arc::clone(&made));
                *failed = None;
                Ok(made)
            }
            Err(err) => {
                let source = std::error::Error::source(&err).map(ToString::to_string);
                let source = source.unwrap_or_default();
                tracing::error!(error = %err, source, "OCSP: there is no new responder");
                or_old()
            }
        }
    }

    /// A new key and its certificate, on record when this returns. The CA's key of that index signs it
    /// (RFC 6960, section 4.2.2.2), in the name of the newest certificate with that key that is valid.
    fn make_responder(
        &self,
        key_index: u16,
        now: UnixMillis,
    ) -> Result<Responder, OwnCertificateError> {
        // It would have to end with it, too early for any answer.
        let ca = self.ca.valid_with_key(key_index, now.unix_seconds());
        let ca = ca.filter(|it| now.unix_seconds() < it.issuer().not_after());
        let ca = ca.ok_or(OwnCertificateError::CaEnds)?;
        let key = responder_key(ca).map_err(|source| OwnCertificateError::Key { source })?;
        let subject = responder_name(ca.issuer().name())?;
        let (key_usage, validity) =
            (KeyUsage::DIGITAL_SIGNATURE, self.ocsp.settings.responder_validity);
        let plan = Plan {
            extended_key_usage: vec![OCSP_SIGNING],
            backdate: BACKDATE,
            ..Plan::new(OCSP_TEMPLATE, subject, key_usage, validity)
        };
        let no_check = Extension::ocsp_no_check();
        let no_check =
            OfficerExtension { oid: no_check.oid.to_string(), flags: 0, value: no_check.value };
        let own = self.issue_to_own_key(OwnOrder {
            caller: OCSP_CALLER,
            key: &key,
            plan,
            extensions: vec![no_check],
            flags: RequestFlags::default(),
            ca,
        })?;
        let renew = own.renew(ca, now);
        let OwnCertificate { der: certificate, serial, not_before, not_after } = own;
        let key_hash = key_identifier(key.public_key_der()).map_err(|source| {
            let source = BuildError::PublicKey { source: source.into() };
            OwnCertificateError::Request { source }
        })?;
        tracing::info!(%serial, key = key_index, "OCSP: a new responder answers");
        Ok(Responder { key, key_hash, certificate, serial, not_before, not_after, renew })
    }
}

/// Of the CA's kind, because who verifies the CA's signatures verifies these, too.
fn responder_key(ca: &CaCertificate) -> Result<SoftwareKey, KeyError> {
    match ca.issuer().key() {
        KeyAlgorithm::Rsa { .. } => SoftwareKey::generate(KeyAlgorithm::Rsa { bits: RSA_BITS })?
            .with_scheme(ca.key().scheme()),
        other => SoftwareKey::generate(other),
    }
}

/// Says whose responder it is, if that is short enough.
fn responder_name(ca: &Name) -> Result<Name, OwnCertificateError> {
    name_after(ca, |it| format!("OCSP responder of {it}"), "OCSP responder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_responder_is_named_after_its_ca_where_there_is_room() {
        let long = "x".repeat(64);
        for (ca, responder) in [
            ("CN=Root,O=Acme", "CN=OCSP responder of Root"),
            (r"CN=A\, B \+ \<C\>", r"CN=OCSP responder of A\, B \+ \<C\>"),
            ("O=Acme", "CN=OCSP responder"),
            (&format!("CN={long}"), "CN=OCSP responder"),
        ] {
            let made = responder_name(&Name::parse(ca).unwrap()).unwrap();
            assert_eq!(made.to_string(), responder);
        }
    }
}
