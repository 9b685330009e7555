//! Certificates of TLS: the one that the CA issues to its own server, and those that clients show.
//!
//! The key of the server's certificate is made with it and lives in memory only (`own_certificate.rs`).
//! The price is a certificate for each start (decision 0016).

use std::fmt;
use std::time::Duration;

use exeunt_keys::{SoftwareKey, sha256, verify};
use exeunt_store::{SerialStatus, StoreError};
use exeunt_types::{KeyAlgorithm, RequestFlags, Serial, UnixMillis};
use exeunt_x509::{
    Certificate, CertificateError, GeneralName, KeyUsage, Name, NameError, ObjectIdentifier,
    parse_certificate,
};
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::own_certificate::{BACKDATE, OwnCertificate, OwnCertificateError, OwnOrder};
use crate::policy::Plan;
use crate::revoke::counts;

/// Who asks for the server's certificate.
const SERVER_CALLER: &str = "exeunt:server";
/// Under which name the row has it; no template of the policy.
const SERVER_TEMPLATE: &str = "own-server";
/// `id-kp-serverAuth` (RFC 5280, section 4.2.1.12).
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// `id-kp-clientAuth` (RFC 5280, section 4.2.1.12).
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// Longest text that stands as the subject of a server's certificate, in characters (RFC 5280,
/// appendix A.1, `ub-common-name`).
const COMMON_NAME_CHARS_MAX: usize = 64;

/// Shortest validity of the server's own certificate: a new one is a row in the store each time.
pub const SERVER_VALIDITY_MIN: Duration = Duration::from_hours(24);
/// Longest validity of the server's own certificate: what the CA/Browser Forum allowed last, 398
/// days, less the day that time zones may take.
pub const SERVER_VALIDITY_MAX: Duration = Duration::from_hours(397 * 24);

/// How the CA certifies its own server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificateSettings {
    /// Names and addresses under which clients reach it; at least one.
    pub names: Vec<GeneralName>,
    /// How long each certificate is valid: [`SERVER_VALIDITY_MIN`] to [`SERVER_VALIDITY_MAX`]. The
    /// next one is made when a third of it is left.
    pub validity: Duration,
    /// Kind of its key: ECDSA P-256 or P-384, Ed25519, or RSA of 2048, 3072 or 4096 bits.
    pub key: KeyAlgorithm,
}

/// A certificate of the CA's own server, and its key.
pub struct ServerCertificate {
    /// Its own first, then what leads to a root; DER.
    pub chain: Vec<Vec<u8>>,
    /// Its serial number.
    pub serial: Serial,
    /// First second of its validity.
    pub not_before: UnixMillis,
    /// Last second of its validity.
    pub not_after: UnixMillis,
    /// When another one takes its place: two thirds of its time are over.
    pub renew: UnixMillis,
    key: SoftwareKey,
}

impl ServerCertificate {
    /// Its private key, PEM of a PKCS#8 that is not encrypted: for the library that speaks TLS.
    ///
    /// # Errors
    ///
    /// [`ServerCertificateError`].
    pub fn key_pem(&self) -> Result<Zeroizing<String>, ServerCertificateError> {
        Ok(self.key.to_pem().map_err(|source| OwnCertificateError::Key { source })?)
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServerCertificate")
            .field("serial", &self.serial)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why the server has no new certificate.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServerCertificateError(#[from] OwnCertificateError);

impl ServerCertificateError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "tls-own-certificate"
    }
}

/// What a certificate that was given for a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenCertificate {
    /// First second of its validity.
    pub not_before: UnixMillis,
    /// Last second of its validity.
    pub not_after: UnixMillis,
    /// Names and addresses that it is for.
    pub names: Vec<GeneralName>,
}

impl GivenCertificate {
    /// Reads one, DER.
    ///
    /// # Errors
    ///
    /// [`CertificateError`] says what is malformed or not supported.
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        let read = parse_certificate(der)?;
        Ok(Self {
            not_before: UnixMillis::from_unix_seconds(read.not_before()),
            not_after: UnixMillis::from_unix_seconds(read.not_after()),
            names: read.subject_alternative_names().to_vec(),
        })
    }

    /// Whether it is valid at that moment.
    #[must_use]
    pub fn is_valid(&self, now: UnixMillis) -> bool {
        is_within((self.not_before.unix_seconds(), self.not_after.unix_seconds()), now)
    }
}

/// A certificate that a client of TLS has shown. Its chain was verified by whoever speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it.
    pub sha256: [u8; 32],
    /// Its subject, RFC 4514 text.
    pub subject: String,
    /// Its serial number, if this CA has issued it.
    pub serial: Option<Serial>,
    /// Index of the CA's key that signed it, if this CA has issued it.
    key_index: Option<u16>,
    /// First and last second of its validity, Unix seconds.
    validity: (i64, i64),
}

/// Why a client's certificate is not taken, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientCertificateError {
    /// It is malformed, or not supported.
    #[error("the client's certificate cannot be read")]
    Unreadable {
        /// What is wrong with it.
        source: CertificateError,
    },
    /// It is not for clients of TLS.
    #[error("the client's certificate does not name the purpose clientAuth")]
    NotForClients,
    /// It is not valid at this moment.
    #[error("the client's certificate is not valid now")]
    NotValid,
    /// This CA's key signed it, and this CA does not know it.
    #[error("the client's certificate is not on record at this CA")]
    Unknown,
    /// It is revoked, for good or on hold.
    #[error("the client's certificate is revoked")]
    Revoked,
    /// The store could not be read.
    #[error("whether the client's certificate is revoked could not be read")]
    Store {
        /// What the store said.
        source: StoreError,
    },
}

impl ClientCertificateError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "client-certificate-unreadable",
            Self::NotForClients => "client-certificate-purpose",
            Self::NotValid => "client-certificate-not-valid",
            Self::Unknown => "client-certificate-unknown",
            Self::Revoked => "client-certificate-revoked",
            Self::Store { source } => source.code(),
        }
    }
}

/// That a client's certificate was found good, and for how long that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How often the status of any certificate had changed when it was looked up.
    changes: u64,
    /// First second in which it has to be looked up again, Unix seconds.
    until: i64,
}

impl ClientCertificate {
    /// Whether a certificate names the purpose of clients of TLS. RFC 5280 lets one without any purpose
    /// be used for all; here somebody must have meant it.
    ///
    /// # Errors
    ///
    /// [`ClientCertificateError::Unreadable`], [`ClientCertificateError::NotForClients`].
    pub fn check_purpose(der: &[u8]) -> Result<(), ClientCertificateError> {
        read_for_clients(der).map(|_| ())
    }
}

fn read_for_clients(der: &[u8]) -> Result<Certificate, ClientCertificateError> {
    let read =
        parse_certificate(der).map_err(|source| ClientCertificateError::Unreadable { source })?;
    let purposes = read.extended_key_usages();
    purposes.contains(&CLIENT_AUTH).then_some(read).ok_or(ClientCertificateError::NotForClients)
}

fn is_within((first, last): (i64, i64), now: UnixMillis) -> bool {
    (first..=last).contains(&now.unix_seconds())
}

impl Engine {
    /// Issues a certificate to the CA's own server, for a new key. It is on record when this returns;
    /// the one before it is left to run out.
    ///
    /// # Errors
    ///
    /// [`ServerCertificateError`]; the server keeps what it has.
    pub fn certify_server(
        &self,
        settings: &ServerCertificateSettings,
    ) -> Result<ServerCertificate, ServerCertificateError> {
        let now = self.clock.now();
        let ca = self.ca.issuing(now.unix_seconds());
        if ca.issuer().not_after() <= now.unix_seconds() {
            return Err(OwnCertificateError::CaEnds.into());
        }
        let key = SoftwareKey::generate(settings.key)
            .map_err(|source| OwnCertificateError::Key { source })?;
        let subject =
            server_name(&settings.names).map_err(|source| OwnCertificateError::Name { source })?;
        let (key_usage, validity) = (KeyUsage::DIGITAL_SIGNATURE, settings.validity);
        let plan = Plan {
            subject_alternative_names: settings.names.clone(),
            extended_key_usage: vec![SERVER_AUTH],
            backdate: BACKDATE,
            ..Plan::new(SERVER_TEMPLATE, subject, key_usage, validity)
        };
        let own = self.issue_to_own_key(OwnOrder {
            caller: SERVER_CALLER,
            key: &key,
            plan,
            extensions: Vec::new(),
            flags: RequestFlags::default(),
            ca,
        })?;
        let renew = own.renew(ca, now);
        let OwnCertificate { der, serial, not_before, not_after } = own;
        let mut chain = vec![der];
        if !ca.issuer().is_self_issued() {
            chain.push(ca.issuer().der().to_vec());
        }
        tracing::info!(%serial, "the server has a new certificate of its own");
        Ok(ServerCertificate { chain, serial, not_before, not_after, renew, key })
    }

    /// Whether a certificate of the server's own still stands: it is not revoked.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn server_stands(&self, certificate: &ServerCertificate) -> Result<bool, StoreError> {
        let status = self.store.serial_status(&certificate.serial)?;
        Ok(matches!(status, SerialStatus::Issued))
    }

    /// Reads the certificate of a client, and finds out whether this CA has issued it.
    ///
    /// # Errors
    ///
    /// [`ClientCertificateError::Unreadable`], [`ClientCertificateError::NotForClients`]; and
    /// [`ClientCertificateError::Unknown`] for one that a key of this CA signed and that is not on
    /// record.
    pub fn client_certificate(
        &self,
        der: &[u8],
    ) -> Result<ClientCertificate, ClientCertificateError> {
        let read = read_for_clients(der)?;
        let mut same_name = self
            .ca
            .certificates()
            .iter()
            .filter(|it| it.issuer().name().der() == read.issuer().der());
        let signer = same_name.find(|it| {
            let (spki, key) = (it.issuer().spki_der(), it.issuer().key());
            verify(spki, key, read.scheme(), read.tbs_der(), read.signature()).is_ok()
        });
        if signer.is_some() {
            let found = self.store.certificate(&read.serial());
            let found = found.map_err(|source| ClientCertificateError::Store { source })?;
            // The octets are compared: only what this CA remembers can be revoked.
            if found.is_none_or(|it| it.certificate.raw != der) {
                return Err(ClientCertificateError::Unknown);
            }
        }
        Ok(ClientCertificate {
            der: der.to_vec(),
            sha256: sha256(der),
            subject: read.subject().to_string(),
            serial: signer.map(|_| read.serial()),
            key_index: signer.map(|it| it.key_index()),
            validity: (read.not_before(), read.not_after()),
        })
    }

    /// Looks up how a client's certificate stands at this moment.
    ///
    /// # Errors
    ///
    /// [`ClientCertificateError`] where it does not count, or that cannot be found out.
    pub fn client_standing(
        &self,
        client: &ClientCertificate,
    ) -> Result<Standing, ClientCertificateError> {
        let now = self.clock.now();
        // Read first: what changes while we look is looked up again.
        let changes = self.ocsp.changes();
        if !is_within(client.validity, now) {
            return Err(ClientCertificateError::NotValid);
        }
        let mut until = client.validity.1.saturating_add(1);
        if let (Some(serial), Some(key_index)) = (&client.serial, client.key_index) {
            let status = self.store.serial_status_of(serial, key_index);
            match status.map_err(|source| ClientCertificateError::Store { source })? {
                SerialStatus::Issued => {}
                SerialStatus::Revoked(revocation) => {
                    let effective = revocation.effective.unix_seconds();
                    if counts(&revocation, now) || effective <= now.unix_seconds() {
                        return Err(ClientCertificateError::Revoked);
                    }
                    until = until.min(effective);
                }
                SerialStatus::Abandoned { .. } => return Err(ClientCertificateError::Revoked),
                SerialStatus::Unknown => return Err(ClientCertificateError::Unknown),
            }
        }
        Ok(Standing { changes, until })
    }

    /// Whether what was found of a client's certificate still counts: no certificate of this CA was
    /// revoked since, and its time is not over. It takes no look into the store.
    #[must_use]
    pub fn still_stands(&self, standing: &Standing) -> bool {
        standing.changes == self.ocsp.changes() && self.clock.now().unix_seconds() < standing.until
    }
}

/// The first name, if it is short enough; clients look at the alternative names.
fn server_name(names: &[GeneralName]) -> Result<Name, NameError> {
    let text = names.iter().find_map(|it| match it {
        GeneralName::Dns(name) if name.chars().count() <= COMMON_NAME_CHARS_MAX => {
            Some(name.clone())
        }
        GeneralName::Ip(address) => Some(address.to_string()),
        _ => None,
    });
    Name::parse(&format!("CN={}", text.as_deref().unwrap_or("server of this CA")))
}
