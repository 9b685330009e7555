//! Certificates that clients show: which ones a door takes in the handshake, and whether they still
//! stand at each request.
//!
//! The library verifies chain, time and the proof of the key; the purpose is looked at here. What this
//! CA has issued is looked up in the store: at the first request of each connection, and again when
//! the status of any certificate has changed since. What another one has issued is verified again when
//! the files of the door were read again.

use std::io;
use std::iter;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use exeunt_engine::{ClientCertificateError, Engine, Standing};
use exeunt_types::UnixMillis;
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::{ClientCertificate, DoorConfig, DoorTls, failed, read_certificates, read_file};
use crate::auth::ShownCertificate;
use crate::error::HttpError;
use crate::fault::Fault;
use crate::handler::{Edge, blocking};
use crate::settings::ClientTrust;

/// Largest revocation list of another CA, in bytes: some 400,000 entries. It is held in memory.
pub const CLIENT_CRL_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// First octet of a structure in DER: a sequence.
const SEQUENCE: u8 = 0x30;

/// Who judges the certificates of a door's clients.
pub(super) fn verifier(
    engine: &Engine,
    trust: &ClientTrust,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, HttpError> {
    if let Some(path) = &trust.ca {
        return build(read_roots(path)?, trust, required, provider);
    }
    let mut roots = RootCertStore::empty();
    for own in engine.ca().certificates() {
        roots
            .add(CertificateDer::from(own.issuer().der()))
            .map_err(|err| HttpError::TlsLibrary { source: err.into() })?;
    }
    build(roots, trust, required, provider)
}

/// The certificates of the CAs whose clients may come.
pub(super) fn read_roots(path: &Path) -> Result<RootCertStore, HttpError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|err| failed(path, err))?;
    }
    Ok(roots)
}

pub(super) fn build(
    roots: RootCertStore,
    trust: &ClientTrust,
    required: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, HttpError> {
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if !trust.crls.is_empty() {
        let mut lists = Vec::new();
        for path in &trust.crls {
            lists.extend(read_lists(path)?);
        }
        // Who is not named by a list that counts is not known to be good.
        builder = builder
            .with_crls(lists)
            .only_check_end_entity_revocation()
            .enforce_revocation_expiration();
    }
    if !required {
        builder = builder.allow_unauthenticated();
    }
    let library = builder.build().map_err(|err| HttpError::TlsLibrary { source: err.into() })?;
    Ok(Arc::new(ForClients(library)))
}

/// Revocation lists, in PEM or one in DER.
fn read_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, HttpError> {
    let octets = read_file(path, CLIENT_CRL_BYTES_MAX)?;
    if octets.first() == Some(&SEQUENCE) {
        return Ok(vec![CertificateRevocationListDer::from(octets)]);
    }
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(&octets)
        .collect::<Result<_, _>>()
        .map_err(|err| failed(path, err))?;
    if lists.is_empty() {
        return Err(failed(path, "the file holds no revocation list"));
    }
    Ok(lists)
}

/// The library's verifier, but that a certificate must name the purpose of clients. The library takes
/// one that names none.
#[derive(Debug)]
struct ForClients(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ForClients {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.0.verify_client_cert(end_entity, intermediates, now)?;
        match ClientCertificate::check_purpose(end_entity) {
            Ok(()) => Ok(verified),
            Err(ClientCertificateError::Unreadable { source }) => {
                tracing::debug!(error = %source, "a client's certificate cannot be read");
                Err(CertificateError::BadEncoding.into())
            }
            Err(_) => Err(CertificateError::InvalidPurpose.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Asks at each request of a connection whether its client's certificate still stands.
pub(crate) struct Guard(Judged);

enum Judged {
    Good {
        client: Arc<ClientCertificate>,
        standing: Mutex<Option<Standing>>,
        /// Where this CA has not issued it: who judges it.
        elsewhere: Option<Elsewhere>,
    },
    /// It was not taken, for whatever is asked.
    Bad(ClientCertificateError),
    /// It could not be looked at.
    Unknown,
}

/// A certificate of another CA. All that is known of it is what the files of the door say.
struct Elsewhere {
    door: Arc<DoorTls>,
    /// By what it was found good.
    verified: Mutex<Arc<DoorConfig>>,
    chain: Arc<[CertificateDer<'static>]>,
}

impl Elsewhere {
    /// Whether it is still good by what was read for the door since.
    async fn pass(&self, edge: &Arc<Edge>) -> Result<(), Fault> {
        let current = self.door.config();
        let verified = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, &verified()) {
            return Ok(());
        }
        let (chain, config) = (Arc::clone(&self.chain), Arc::clone(&current));
        let verify = move |edge: &Edge| config.still_takes(&chain, (edge.now)());
        blocking(edge, &edge.rooms.client, verify).await?.map_err(|err| {
            let refusal = HandshakeRefusal::of_certificate(&err);
            tracing::debug!(code = refusal.code(), error = %err, "verified again");
            Fault::certificate_not_good(refusal.code())
        })?;
        *verified() = current;
        Ok(())
    }
}

impl DoorConfig {
    fn still_takes(&self, chain: &[CertificateDer<'_>], now: UnixMillis) -> Result<(), Error> {
        let (Some(clients), [own, others @ ..]) = (&self.clients, chain) else { return Ok(()) };
        let seconds = u64::try_from(now.unix_seconds()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        clients.verify_client_cert(own, others, now).map(|_| ())
    }
}

impl Guard {
    /// Reads the certificate that a client has shown, with those that came along, at a door.
    pub(crate) async fn of(
        edge: &Arc<Edge>,
        (own, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        (door, verified): (Arc<DoorTls>, Arc<DoorConfig>),
    ) -> Self {
        let der = own.to_vec();
        let read = move |edge: &Edge| edge.engine.client_certificate(&der);
        let read = blocking(edge, &edge.rooms.client, read).await;
        Self(match read {
            Ok(Ok(client)) => Judged::Good {
                elsewhere: client.serial.is_none().then(|| Elsewhere {
                    door,
                    verified: Mutex::new(verified),
                    chain: iter::once(own)
                        .chain(others)
                        .map(|it| it.clone().into_owned())
                        .collect(),
                }),
                client: Arc::new(client),
                standing: Mutex::new(None),
            },
            Ok(Err(err)) => Judged::Bad(err),
            Err(_) => Judged::Unknown,
        })
    }

    /// As principals are found by it.
    pub(crate) fn shown(&self) -> Option<Arc<ShownCertificate>> {
        let Judged::Good { client, .. } = &self.0 else { return None };
        Some(Arc::new(ShownCertificate {
            sha256: client.sha256,
            subject: client.subject.clone(),
            is_own: client.serial.is_some(),
        }))
    }

    /// Whose it is, in the audit trail: only of this CA's own is known that the name is true.
    pub(crate) fn who(&self) -> Option<String> {
        let Judged::Good { client, .. } = &self.0 else { return None };
        let serial = client.serial?;
        Some(format!("certificate {serial} of {}", client.subject))
    }

    /// Whether it stands now.
    pub(crate) async fn pass(&self, edge: &Arc<Edge>) -> Result<(), Fault> {
        let (client, standing, elsewhere) = match &self.0 {
            Judged::Good { client, standing, elsewhere } => (client, standing, elsewhere),
            Judged::Bad(err) => return Err(refused(err)),
            Judged::Unknown => return Err(Fault::internal()),
        };
        if let Some(elsewhere) = elsewhere {
            elsewhere.pass(edge).await?;
        }
        let known = *standing.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|it| edge.engine.still_stands(&it)) {
            return Ok(());
        }
        let client = Arc::clone(client);
        let look = move |edge: &Edge| edge.engine.client_standing(&client);
        let found = blocking(edge, &edge.rooms.client, look).await?;
        *standing.lock().unwrap_or_else(PoisonError::into_inner) = found.as_ref().ok().copied();
        found.map(|_| ()).map_err(|err| refused(&err))
    }
}

fn refused(err: &ClientCertificateError) -> Fault {
    if let ClientCertificateError::Store { source } = err {
        tracing::error!(code = err.code(), error = %source, "{err}");
        return Fault::internal();
    }
    tracing::debug!(code = err.code(), "{err}");
    Fault::client_certificate(err)
}

/// Why a client's certificate ended a handshake, or does not do any more. In a handshake the client is told
/// by an alert of TLS, and the audit trail by the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeRefusal {
    Missing,
    NotTrusted,
    NotValid,
    Revoked,
    Purpose,
    Unreadable,
}

impl HandshakeRefusal {
    /// None where it was something else that went wrong.
    pub(crate) fn of(err: &io::Error) -> Option<Self> {
        match err.get_ref()?.downcast_ref::<Error>()? {
            Error::NoCertificatesPresented => Some(Self::Missing),
            told @ Error::InvalidCertificate(_) => Some(Self::of_certificate(told)),
            _ => None,
        }
    }

    fn of_certificate(err: &Error) -> Self {
        let Error::InvalidCertificate(told) = err else { return Self::NotTrusted };
        match told {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::NotValid,
            CertificateError::Revoked => Self::Revoked,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Purpose
            }
            CertificateError::BadEncoding => Self::Unreadable,
            _ => Self::NotTrusted,
        }
    }

    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Missing => "client-certificate-missing",
            Self::NotTrusted => "client-certificate-not-trusted",
            Self::NotValid => "client-certificate-not-valid",
            Self::Revoked => "client-certificate-revoked",
            Self::Purpose => "client-certificate-purpose",
            Self::Unreadable => "client-certificate-unreadable",
        }
    }
}

/// An error of a handshake with its reason, for the log.
pub(crate) fn told(err: &io::Error) -> String {
    err.get_ref().map_or_else(|| err.to_string(), ToString::to_string)
}
