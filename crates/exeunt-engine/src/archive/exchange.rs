//! The CA's exchange certificate: clients encrypt to it what only the CA may read.
//!
//! Its key is never written anywhere, as with the OCSP responder's (decision 0015): what was encrypted to
//! it cannot be opened by whoever copies the home, not even by the CA itself after a restart. A new key and
//! a new certificate are made at the first question after a start and when the certificate grows old. The
//! certificate goes the way of all certificates; one that a newer took the place of opens until it ends.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use exeunt_keys::{OpeningKey, SoftwareKey};
use exeunt_types::{KeyAlgorithm, RequestFlags, Serial, UnixMillis};
use exeunt_x509::{CA_EXCHANGE, KeyUsage, Name, parse_certificate};

use crate::engine::Engine;
use crate::error::Blame;
use crate::own_certificate::{
    BACKDATE, OwnCertificate, OwnCertificateError, OwnOrder, name_after, rests,
};
use crate::policy::Plan;

/// Who asks for the exchange certificate.
const EXCHANGE_CALLER: &str = "exeunt:exchange";
/// Under which name the row has it; no template of the policy.
const EXCHANGE_TEMPLATE: &str = "ca-exchange";
/// How long it is valid: a week, the original's `CAXchgValidityPeriod`.
const VALIDITY: Duration = Duration::from_hours(7 * 24);
/// How long before its end another one takes its place: a day, the original's `CAXchgOverlapPeriod`.
const OVERLAP: Duration = Duration::from_hours(24);
/// Size of its key: what is encrypted to it may be worth something for years.
const RSA_BITS: u32 = 3072;

/// The exchange keys that open; the newest last.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    keys: Vec<Arc<ExchangeKey>>,
    /// When the last attempt to make one failed.
    failed: Option<UnixMillis>,
}

/// A key, and the certificate that names it.
#[derive(Debug)]
pub(crate) struct ExchangeKey {
    opener: OpeningKey,
    certificate: ExchangeCertificate,
    /// When it was made.
    made: UnixMillis,
}

/// The CA's exchange certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeCertificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Its serial number.
    pub serial: Serial,
    /// Last second of its validity.
    pub not_after: UnixMillis,
}

impl ExchangeKey {
    pub(crate) fn opener(&self) -> &OpeningKey {
        &self.opener
    }

    /// DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate.der
    }
}

/// Why there is no exchange certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// No recovery agent is configured.
    #[error("this CA does not archive keys")]
    Off,
    /// One could not be made a moment ago.
    #[error("the exchange certificate could not be made a moment ago")]
    Resting,
    /// One could not be made.
    #[error(transparent)]
    Make(#[from] OwnCertificateError),
}

impl ExchangeError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Off => "key-archival-off",
            _ => "exchange-certificate-unavailable",
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Off => Blame::Requester,
            Self::Make(OwnCertificateError::Issue { source }) => source.blame(),
            _ => Blame::Operator,
        }
    }

    /// What an outsider may read.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Off => self.to_string(),
            _ => "the CA has no exchange certificate at the moment".to_owned(),
        }
    }
}

impl Engine {
    /// The exchange certificate, which is made when there is none. May take seconds then.
    ///
    /// # Errors
    ///
    /// [`ExchangeError`].
    pub fn exchange_certificate(&self) -> Result<ExchangeCertificate, ExchangeError> {
        if !self.key_archival.is_on() {
            return Err(ExchangeError::Off);
        }
        let now = self.clock.now();
        let mut exchange = self.exchange();
        self.drop_old(&mut exchange, now);
        // One that was made a moment ago and ends soon ends with the CA: another one would end no later, and
        // anybody may ask.
        let fresh = |it: &&Arc<ExchangeKey>| {
            now.plus(OVERLAP) < it.certificate.not_after
                || (it.made <= now && now < it.made.plus(OVERLAP))
        };
        if let Some(key) = exchange.keys.last().filter(fresh) {
            return Ok(key.certificate.clone());
        }
        let made = if exchange.failed.is_some_and(|it| rests(it, now)) {
            Err(ExchangeError::Resting)
        } else {
            // Noted first: also a panic is a failure.
            exchange.failed = Some(now);
            self.make_exchange_key(now)
        };
        match (made, exchange.keys.last()) {
            (Ok(made), _) => {
                let certificate = made.certificate.clone();
                exchange.keys.push(Arc::new(made));
                exchange.failed = None;
                Ok(certificate)
            }
            // The old one does until its end.
            (Err(err), Some(old)) => {
                tracing::warn!(code = err.code(), error = %err, "there is no new exchange key");
                Ok(old.certificate.clone())
            }
            (Err(err), None) => Err(err),
        }
    }

    /// The keys that open now, the newest first.
    pub(super) fn exchange_keys(&self, now: UnixMillis) -> Vec<Arc<ExchangeKey>> {
        let mut exchange = self.exchange();
        self.drop_old(&mut exchange, now);
        exchange.keys.iter().rev().cloned().collect()
    }

    fn exchange(&self) -> MutexGuard<'_, Exchange> {
        self.key_archival.exchange.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets keys whose certificates have ended or were revoked.
    fn drop_old(&self, exchange: &mut Exchange, now: UnixMillis) {
        exchange.keys.retain(|it| {
            let is_revoked = || {
                let certificate = parse_certificate(&it.certificate.der);
                certificate.is_ok_and(|it| self.is_own_and_revoked(&it))
            };
            now <= it.certificate.not_after && !is_revoked()
        });
    }

    /// A new key and its certificate, on record when this returns.
    fn make_exchange_key(&self, now: UnixMillis) -> Result<ExchangeKey, ExchangeError> {
        let ca = self.ca.issuing(now.unix_seconds());
        let key = |source| OwnCertificateError::Key { source };
        let made = SoftwareKey::generate(KeyAlgorithm::Rsa { bits: RSA_BITS }).map_err(key)?;
        let opener = made.opener().map_err(key)?;
        let subject = exchange_name(ca.issuer().name())?;
        let key_usage = KeyUsage::KEY_ENCIPHERMENT;
        let plan = Plan {
            extended_key_usage: vec![CA_EXCHANGE],
            backdate: BACKDATE,
            ..Plan::new(EXCHANGE_TEMPLATE, subject, key_usage, VALIDITY)
        };
        let OwnCertificate { der, serial, not_after, .. } = self.issue_to_own_key(OwnOrder {
            caller: EXCHANGE_CALLER,
            key: &made,
            plan,
            extensions: Vec::new(),
            flags: RequestFlags::CA_EXCHANGE_CERT,
            ca,
        })?;
        tracing::info!(%serial, "there is a new exchange certificate");
        self.warn_of_agents(now);
        let certificate = ExchangeCertificate { der, serial, not_after };
        Ok(ExchangeKey { opener, certificate, made: now })
    }

    /// Says in the log which recovery agents can be encrypted to no longer, or soon.
    pub fn warn_of_agents(&self, now: UnixMillis) {
        for agent in self.recovery_agents() {
            let (subject, hash) = (agent.certificate().subject(), agent.hash());
            if !self.is_agent_usable(agent, now) {
                tracing::error!(%subject, hash, "no key is encrypted to this recovery agent");
            } else if agent.ends_soon(now) {
                tracing::warn!(%subject, hash, "the certificate of this recovery agent ends soon");
            }
        }
    }
}

/// As the original names it: the CA's name and `-Xchg`, if there is room.
fn exchange_name(ca: &Name) -> Result<Name, OwnCertificateError> {
    name_after(ca, |it| format!("{it}-Xchg"), "CA exchange")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exchange_certificate_is_named_after_its_ca_where_there_is_room() {
        let long = format!("CN={}", "x".repeat(64));
        for (ca, exchange) in [
            ("CN=Root,O=Acme", "CN=Root-Xchg"),
            (r"CN=A\, B", r"CN=A\, B-Xchg"),
            ("O=Acme", "CN=CA exchange"),
            (&long, "CN=CA exchange"),
        ] {
            let made = exchange_name(&Name::parse(ca).unwrap()).unwrap();
            assert_eq!(made.to_string(), exchange);
        }
    }
}
