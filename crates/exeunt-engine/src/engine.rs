//! The engine's parts, put together once at start.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use exeunt_keys::KeyError;
use exeunt_store::{Store, StoreError};
use exeunt_types::{Intent, UnixMillis};
use exeunt_x509::{CertificateError, Extension, GeneralName, GeneralNameError, Issuer};

use crate::address::Tokens;
use crate::archive::KeyArchival;
use crate::ca::{Ca, CaEntry};
use crate::crl::{CrlRuns, CrlSettings, example_address};
use crate::ocsp::{Ocsp, OcspSettings};
use crate::policy::Policy;
use crate::renewal::CrossCertificate;

/// The time. The system's in the server, a hand-moved one in tests.
pub trait Clock: fmt::Debug + Send + Sync {
    /// This moment.
    fn now(&self) -> UnixMillis;
}

/// Randomness for serial numbers.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Sixteen octets for a serial number; at least 64 bits of them must be unpredictable (CA/Browser
    /// Forum's baseline).
    fn serial_octets(&self) -> Result<[u8; 16], KeyError>;
}

/// Addresses that go into every certificate. An empty list leaves its extension out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Where revocation lists will be found (CDP).
    pub crl_distribution_points: Vec<String>,
    /// Where the CA's certificate is found (AIA, caIssuers).
    pub ca_issuers: Vec<String>,
    /// Where OCSP answers (AIA, ocsp).
    pub ocsp: Vec<String>,
}

/// Times that step 3 draws another serial when the store knows the first one already. Among 2^88
/// values a second collision means broken randomness, and then nothing must be issued.
pub const SERIAL_ATTEMPTS_MAX: u32 = 2;

/// Why an engine could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The CA's certificate cannot be used.
    #[error("the CA's certificate cannot be used")]
    Certificate {
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The certificate is for another key.
    #[error("the CA's certificate and its private key do not belong together")]
    KeyMismatch,
    /// There is none.
    #[error("the CA has no certificate")]
    NoCertificate,
    /// The index of a certificate has 16 bits, as the original has it.
    #[error("the CA has more certificates than can be counted")]
    TooManyCertificates,
    /// The CA had another certificate in that place.
    #[error("certificate {index} of the CA is not the one that it was")]
    CertificateChanged {
        /// Which one, from 0 on.
        index: u16,
    },
    /// The CA had a certificate in that place, and has none now.
    #[error("certificate {index} of the CA is missing")]
    CertificateRemoved {
        /// Which one, from 0 on.
        index: u16,
    },
    /// Addresses that cannot go into a certificate or a revocation list.
    #[error("the configured addresses for certificates or revocation lists cannot be used")]
    Publication {
        /// What is wrong with them.
        source: GeneralNameError,
    },
    /// Revocation lists cannot be cut into parts like that.
    #[error("the settings of revocation lists cannot be used: {rule}")]
    Crl {
        /// Which rule they break.
        rule: &'static str,
    },
    /// Keys cannot be archived like that.
    #[error("the settings of key archival cannot be used: {rule}")]
    KeyArchival {
        /// Which rule they break.
        rule: String,
    },
    /// OCSP cannot be answered like that.
    #[error("the settings of OCSP cannot be used: {rule}")]
    Ocsp {
        /// Which rule they break.
        rule: &'static str,
    },
    /// Recovery could not be written down.
    #[error("recovering after the last stop failed")]
    Recovery {
        /// What the store said.
        source: StoreError,
    },
}

impl EngineError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "ca-certificate-invalid",
            Self::KeyMismatch => "ca-key-mismatch",
            Self::NoCertificate => "ca-certificate-missing",
            Self::TooManyCertificates => "ca-certificates-too-many",
            Self::CertificateChanged { .. } => "ca-certificate-changed",
            Self::CertificateRemoved { .. } => "ca-certificate-removed",
            Self::Publication { .. } => "ca-publication-invalid",
            Self::Crl { .. } => "ca-crl-invalid",
            Self::KeyArchival { .. } => "ca-key-archival-invalid",
            Self::Ocsp { .. } => "ca-ocsp-invalid",
            Self::Recovery { source } => source.code(),
        }
    }
}

/// What recovery at start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Intents without a certificate; their serials count as revoked now.
    pub abandoned: Vec<Intent>,
}

/// What an engine is made of; each trait object is a seam with a real and a test implementation.
#[derive(Debug)]
pub struct Parts {
    /// The CA's name, as configured.
    pub name: String,
    /// Where facts become durable.
    pub store: Store,
    /// Decides what is issued.
    pub policy: Box<dyn Policy>,
    /// The time.
    pub clock: Box<dyn Clock>,
    /// Randomness for serial numbers.
    pub entropy: Box<dyn Entropy>,
    /// Whether each signature is verified before its certificate is recorded.
    pub check_signatures: bool,
    /// How revocation lists are made.
    pub crls: CrlSettings,
    /// Folder of the files with revocation lists; made when the first one is.
    pub crl_folder: PathBuf,
    /// How OCSP is answered.
    pub ocsp: OcspSettings,
}

/// A CA that can be asked for certificates.
#[derive(Debug)]
pub struct Engine {
    pub(crate) store: Store,
    pub(crate) ca: Ca,
    pub(crate) policy: Box<dyn Policy>,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) check_signatures: bool,
    pub(crate) crls: CrlSettings,
    pub(crate) crl_folder: PathBuf,
    /// Where certificates say their list is; with tokens.
    pub(crate) crl_distribution_points: Vec<String>,
    /// Held while revocation lists are made: one run at a time.
    pub(crate) crl_runs: Mutex<CrlRuns>,
    /// Held while an officer changes a waiting request.
    pub(crate) amending: Mutex<()>,
    pub(crate) ocsp: Ocsp,
    pub(crate) key_archival: KeyArchival,
    /// The cross certificates that count.
    pub(crate) crosses: Mutex<Vec<Arc<CrossCertificate>>>,
    name: String,
}

impl Engine {
    /// Puts an engine together. Call [`Engine::recover`] before the first submission.
    ///
    /// # Errors
    ///
    /// [`EngineError`] when certificate, key and addresses do not make a CA.
    pub fn new(
        parts: Parts,
        certificates: Vec<CaEntry>,
        publication: &Publication,
    ) -> Result<Self, EngineError> {
        let Parts { name, store, policy, clock, entropy, check_signatures, crls, crl_folder, ocsp } =
            parts;
        let ca = Ca::new(certificates, publication)?;
        check_crl_addresses(&crls).map_err(|source| EngineError::Publication { source })?;
        crls.check(&publication.crl_distribution_points)
            .map_err(|rule| EngineError::Crl { rule })?;
        // Found out now, and not when the next list is due.
        let parts = store.crl_partitions().map_err(|source| EngineError::Recovery { source })?;
        let now = clock.now();
        if parts.iter().any(|it| now <= it.not_after) {
            crls.check_older_parts(&publication.crl_distribution_points)
                .map_err(|rule| EngineError::Crl { rule })?;
        }
        ocsp.check().map_err(|rule| EngineError::Ocsp { rule })?;
        Ok(Self {
            store,
            ca,
            policy,
            clock,
            entropy,
            check_signatures,
            crls,
            crl_folder,
            crl_distribution_points: publication.crl_distribution_points.clone(),
            crl_runs: Mutex::default(),
            amending: Mutex::default(),
            ocsp: Ocsp::new(ocsp),
            key_archival: KeyArchival::default(),
            crosses: Mutex::default(),
            name,
        })
    }

    /// Settles what the last stop left in the middle. Safe to repeat.
    ///
    /// # Errors
    ///
    /// [`EngineError::Recovery`]; do not issue then.
    pub fn recover(&self) -> Result<Recovered, EngineError> {
        let abandoned = self
            .store
            .recover(self.clock.now())
            .map_err(|source| EngineError::Recovery { source })?;
        for intent in &abandoned {
            tracing::warn!(
                request = intent.request.0,
                serial = %intent.serial,
                "an intent without a certificate was found; its serial counts as revoked"
            );
        }
        self.remove_crl_orphans().map_err(|source| EngineError::Recovery { source })?;
        Ok(Recovered { abandoned })
    }

    /// The CA's name, as configured.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The CA's own certificates.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// The CA's newest certificate, DER.
    pub fn certificate_der(&self) -> &[u8] {
        self.ca.current().issuer().der()
    }

    /// Whether the CA issued its own certificate.
    pub fn is_root(&self) -> bool {
        self.ca.current().issuer().is_self_issued()
    }

    /// The store, for look-ups.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// What every certificate of an issuer has: AKI, CDP and AIA.
pub(crate) fn fixed_extensions(
    issuer: &Issuer,
    publication: &Publication,
    tokens: Tokens,
) -> Result<Vec<Extension>, GeneralNameError> {
    let Publication { crl_distribution_points, ca_issuers, ocsp } = publication;
    let [crl_distribution_points, ca_issuers, ocsp] = [crl_distribution_points, ca_issuers, ocsp]
        .map(|addresses| -> Vec<String> { addresses.iter().map(|it| tokens.expand(it)).collect() });
    for uri in [&crl_distribution_points, &ca_issuers, &ocsp].into_iter().flatten() {
        check_address(uri)?;
    }
    let mut extensions = vec![Extension::authority_key_identifier(issuer.key_identifier())];
    if !crl_distribution_points.is_empty() {
        extensions.push(Extension::crl_distribution_points(&crl_distribution_points));
    }
    if !ca_issuers.is_empty() || !ocsp.is_empty() {
        extensions.push(Extension::authority_information_access(&ca_issuers, &ocsp));
    }
    Ok(extensions)
}

/// Where verifiers go for lists must be HTTP or LDAP, as in certificates; where lists were put may be
/// anything.
fn check_crl_addresses(settings: &CrlSettings) -> Result<(), GeneralNameError> {
    let CrlSettings { freshest_crl, issuing_distribution_point, published_locations, .. } =
        settings;
    for uri in freshest_crl.iter().chain(issuing_distribution_point) {
        check_address(&example_address(uri))?;
    }
    published_locations.iter().try_for_each(|uri| GeneralName::Uri(example_address(uri)).check())
}

/// What the lint would refuse in every certificate is refused once, at the start: RFC 5280, sections
/// 4.2.1.13 and 4.2.2.1, names HTTP and LDAP. HTTPS would have verifiers check a certificate in
/// order to check a certificate.
fn check_address(uri: &str) -> Result<(), GeneralNameError> {
    GeneralName::Uri(uri.to_owned()).check()?;
    let scheme = uri.split_once("://").map_or("", |(scheme, _)| scheme);
    if ["http", "ldap"].iter().any(|it| it.eq_ignore_ascii_case(scheme)) {
        return Ok(());
    }
    let rule = "starts with neither http:// nor ldap://";
    let name = uri.chars().take(64).collect();
    Err(GeneralNameError::Invalid { kind: "uri", name, rule })
}
