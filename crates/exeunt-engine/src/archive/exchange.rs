//! The CA's exchange certificate: clients encrypt to it what only the CA may read.
//!
//! Its key is never written anywhere, as with the OCSP responder's (decision 0015): what was encrypted to
//! it cannot be opened by whoever copies the home, not even by the CA itself after a restart. A new key and
//! a new certificate are made at the first question after a start and when the certificate grows old. The
//! certificate goes the way of all certificates; one that a newer took the place of opens until it ends.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use exeunt_keys::{KeyError, OpeningKey, SignError, SigningKey as _, SoftwareKey};
use exeunt_types::{KeyAlgorithm, RequestFlags, Roles, Serial, UnixMillis};
use exeunt_x509::{
    BuildError, CA_EXCHANGE, KeyUsage, Name, NameError, assemble_request, build_request_info,
    parse_certificate,
};

use crate::engine::Engine;
use crate::error::{Blame, SubmitError};
use crate::journey::{Outcome, Own, Submitted};
use crate::policy::{Caller, Door, Plan};

/// Who asks for the exchange certificate.
const EXCHANGE_CALLER: &str = "exeunt:exchange";
/// Under which name the row has it; no template of the policy.
const EXCHANGE_TEMPLATE: &str = "ca-exchange";
/// How long it is valid: a week, the original's `CAXchgValidityPeriod`.
const VALIDITY: Duration = Duration::from_hours(7 * 24);
/// How long before its end another one takes its place: a day, the original's `CAXchgOverlapPeriod`.
const OVERLAP: Duration = Duration::from_hours(24);
/// How far its validity begins in the past, for clients whose clocks are late.
const BACKDATE: Duration = Duration::from_mins(10);
/// How long no other one is tried for after one could not be made: each attempt may be a row in the
/// store, and anybody can ask.
const RETRY: Duration = Duration::from_mins(1);
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
    /// A key pair could not be made.
    #[error("making a key failed")]
    Key {
        /// What the key's maker said.
        source: KeyError,
    },
    /// It has no name.
    #[error("naming the exchange certificate failed")]
    Name {
        /// What is wrong with it.
        source: NameError,
    },
    /// The request for it could not be built.
    #[error("building the request failed")]
    Request {
        /// What the builder said.
        source: BuildError,
    },
    /// The request for it could not be signed.
    #[error("signing the request failed")]
    Sign {
        /// What the key said.
        source: SignError,
    },
    /// It was not issued.
    #[error("issuing the certificate failed")]
    Issue {
        /// Why.
        source: SubmitError,
    },
    /// It was refused.
    #[error("no certificate was issued: {message}")]
    Refused {
        /// Why.
        message: String,
    },
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
            Self::Issue { source } => source.blame(),
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
        let rests = |failed: UnixMillis| failed <= now && now < failed.plus(RETRY);
        let made = if exchange.failed.is_some_and(rests) {
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
        let key = |source| ExchangeError::Key { source };
        let made = SoftwareKey::generate(KeyAlgorithm::Rsa { bits: RSA_BITS }).map_err(key)?;
        let opener = made.opener().map_err(key)?;
        let subject =
            exchange_name(ca.issuer().name()).map_err(|source| ExchangeError::Name { source })?;
        let info = build_request_info(&subject, made.public_key_der(), &[])
            .map_err(|source| ExchangeError::Request { source })?;
        let signature = made.sign(&info).map_err(|source| ExchangeError::Sign { source })?;
        let request = assemble_request(&info, made.scheme(), &signature);
        let plan = Plan {
            template: EXCHANGE_TEMPLATE.to_owned(),
            subject,
            subject_alternative_names: Vec::new(),
            key_usage: KeyUsage::KEY_ENCIPHERMENT,
            extended_key_usage: vec![CA_EXCHANGE],
            validity: VALIDITY,
            backdate: BACKDATE,
            path_length: None,
            not_before: None,
            not_after: None,
            extensions: Vec::new(),
            limits: Vec::new(),
            flags: None,
            notes: Vec::new(),
        };
        let own = Own {
            request,
            plan,
            extensions: Vec::new(),
            flags: RequestFlags::CA_EXCHANGE_CERT,
            ca: Arc::clone(ca),
        };
        let caller = Caller::new(EXCHANGE_CALLER, Door::Local, Roles::NONE);
        let Submitted { outcome, .. } =
            self.issue_own(own, caller).map_err(|source| ExchangeError::Issue { source })?;
        match outcome {
            Outcome::Issued { certificate, not_after, serial, .. } => {
                tracing::info!(%serial, "there is a new exchange certificate");
                self.warn_of_agents(now);
                let certificate = ExchangeCertificate { der: certificate, serial, not_after };
                Ok(ExchangeKey { opener, certificate, made: now })
            }
            Outcome::Pending { message } | Outcome::Denied { message, .. } => {
                Err(ExchangeError::Refused { message })
            }
        }
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
fn exchange_name(ca: &Name) -> Result<Name, NameError> {
    // RFC 4514, section 2.4.
    let escape = |letter: char| {
        let special = "\"+,;<>\\".contains(letter);
        special.then_some('\\').into_iter().chain([letter])
    };
    let of_ca = ca.common_name().and_then(|it| {
        let escaped: String = it.trim().chars().flat_map(escape).collect();
        Name::parse(&format!("CN={escaped}-Xchg")).ok()
    });
    of_ca.map_or_else(|| Name::parse("CN=CA exchange"), Ok)
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
