//! Putting certificates on record that were made elsewhere: what came back from a backup, from another
//! program that used the CA's key, or from another CA. The rules are the original's (MS-CSRA, section
//! 3.1.4.1.26).
//!
//! Nothing is signed and no policy is asked: what is imported exists already. Enter at
//! [`Engine::import_all`].

use std::collections::HashMap;

use exeunt_keys::{sha256_reader, verify};
use exeunt_store::{
    AuditEntry, Import, ImportObstacle, ImportOrigin, NewImport, Pending, StoreError,
};
use exeunt_types::{
    Disposition, EventSeq, NewCertificate, RequestId, Serial, StatusCode, UnixMillis,
};
use exeunt_x509::{
    Certificate, CertificateError, CertificationRequest, ObjectIdentifier, key_identifier,
    parse_certificate, parse_submission,
};

use crate::engine::Engine;
use crate::error::{Blame, blame_of_store};
use crate::policy::Caller;

/// Most requests that wait among which the one of a certificate is looked for; the newest ones.
pub const IMPORT_WAITING_MAX: usize = exeunt_store::ROWS_MAX;

/// `ERROR_INVALID_DATA` as an HRESULT: not the DER of a certificate.
const INVALID_DATA: StatusCode = StatusCode(0x8007_000d);
/// `CERT_E_ISSUERCHAINING`: another CA made it.
const ISSUER_CHAINING: StatusCode = StatusCode(0x800b_0107);
/// `ERROR_OBJECT_ALREADY_EXISTS` as an HRESULT.
const OBJECT_EXISTS: StatusCode = StatusCode(0x8007_1392);
/// `CRYPT_E_NO_MATCH`: no request waits for it.
const NO_MATCH: StatusCode = StatusCode(0x8009_2009);
/// `E_NOTIMPL`.
const NOT_IMPLEMENTED: StatusCode = StatusCode(0x8000_4001);

/// `id-ce-cRLDistributionPoints` (RFC 5280, section 4.2.1.13).
const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");
/// What `<CRLPartitionIndex>` becomes in an address, before its five digits.
const PART_NAME: &[u8] = b"_Partition";

/// How certificates are imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOrder {
    /// Takes certificates of other CAs as well: `ICF_ALLOWFOREIGN`.
    pub allow_foreign: bool,
    /// Puts a certificate under the request that waits for it, instead of under a row of its own:
    /// `ICF_EXISTINGROW`.
    pub existing_row: bool,
    /// Says what would become of it, and changes nothing.
    pub dry_run: bool,
}

/// A certificate that was imported, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its serial number.
    pub serial: Serial,
    /// Its subject, RFC 4514 text.
    pub subject: String,
    /// State of its row: issued, or foreign.
    pub disposition: Disposition,
    /// Its row; none if it would be a new one.
    pub request: Option<RequestId>,
    /// The event that tells of it; none if nothing was changed.
    pub event: Option<EventSeq>,
}

/// Why a certificate was not imported. Nothing was changed by it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The octets are no certificate, or none that can be worked with.
    #[error("it cannot be imported")]
    Unreadable {
        /// What is wrong with them.
        source: CertificateError,
    },
    /// Another CA made it, and that was not allowed.
    #[error("it was issued by another CA, {issuer}")]
    Foreign {
        /// Who, RFC 4514 text.
        issuer: String,
    },
    /// It is a certificate of the CA itself.
    #[error("it is the CA's own certificate number {index}")]
    OfCa {
        /// Its place among the CA's certificates.
        index: u16,
    },
    /// It is on record already.
    #[error("it is on record already, under request {request}")]
    Present {
        /// Its row.
        request: RequestId,
    },
    /// Another certificate of this CA has its serial number.
    #[error("its serial number {serial} is that of another certificate, of request {request}")]
    SerialUsed {
        /// The number.
        serial: Serial,
        /// The row of the other one.
        request: RequestId,
    },
    /// Its serial number was given up. It counts as revoked, and stays so.
    #[error("its serial number {serial} was given up with request {request} and counts as revoked")]
    SerialAbandoned {
        /// The number.
        serial: Serial,
        /// The request that was to get it.
        request: RequestId,
    },
    /// No request waits for it.
    #[error("no request waits for it")]
    NotAwaited,
    /// Lists are in parts, or were when it was made.
    #[error(
        "nothing is imported while revocation lists are in parts, and nothing that is of a part"
    )]
    Partitioned,
    /// The store refused or lost a read or write.
    #[error("{action} failed")]
    Store {
        /// What was being done, as a gerund.
        action: &'static str,
        /// What the store said.
        source: StoreError,
    },
}

impl ImportError {
    /// Stable code for logs, API bodies and scripts. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { source } => source.code(),
            Self::Foreign { .. } => "import-foreign",
            Self::OfCa { .. } | Self::Present { .. } => "import-exists",
            Self::SerialUsed { .. } => "import-serial-used",
            Self::SerialAbandoned { .. } => "import-serial-abandoned",
            Self::NotAwaited => "import-not-awaited",
            Self::Partitioned => "import-partitioned",
            Self::Store { source, .. } => source.code(),
        }
    }

    /// The number that the original answers with, where it has one.
    #[must_use]
    pub fn hresult(&self) -> Option<StatusCode> {
        match self {
            Self::Unreadable { .. } => Some(INVALID_DATA),
            Self::Foreign { .. } => Some(ISSUER_CHAINING),
            Self::OfCa { .. }
            | Self::Present { .. }
            | Self::SerialUsed { .. }
            | Self::SerialAbandoned { .. } => Some(OBJECT_EXISTS),
            Self::NotAwaited => Some(NO_MATCH),
            Self::Partitioned => Some(NOT_IMPLEMENTED),
            Self::Store { .. } => None,
        }
    }

    /// Whose move it is. What an officer asked for and cannot have is the requester's.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Store { source, .. } => blame_of_store(source),
            _ => Blame::Requester,
        }
    }

    /// What the caller may read. Faults of the house collapse to one sentence.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Unreadable { source } => source.to_string(),
            Self::Store { .. } => "the CA is unable to do this at the moment".to_owned(),
            _ => self.to_string(),
        }
    }

    fn obstacle(obstacle: &ImportObstacle, serial: Serial) -> Self {
        match *obstacle {
            ImportObstacle::Present(request) => Self::Present { request },
            ImportObstacle::SerialUsed(request) => Self::SerialUsed { serial, request },
            ImportObstacle::SerialAbandoned(request) => Self::SerialAbandoned { serial, request },
            ImportObstacle::NotWaiting(_) => Self::NotAwaited,
        }
    }
}

/// An import that is on its way to the disk, or the answer of a dry run.
struct Begun {
    imported: Imported,
    pending: Option<Pending<Import>>,
}

/// The requests that wait, by the key identifier of what they ask for.
#[derive(Default)]
struct Waiting(HashMap<Vec<u8>, Vec<(RequestId, Vec<u8>)>>);

impl Engine {
    /// Imports certificates, in DER or PEM, each with an outcome of its own, in their order. They share
    /// the waiting for the disk.
    ///
    /// A certificate is this CA's own if it bears the CA's name as its issuer's and its signature
    /// verifies with one of the CA's keys. Its row is then as good as one that was issued here: it can
    /// be revoked, stands in lists, and OCSP knows it. One of another CA is kept as what it is, and
    /// nothing else follows. While lists are in parts nothing is imported, as in the original, and
    /// nothing of this CA that is of a part: which one that is, is drawn when it is made.
    pub fn import_all(
        &self,
        certificates: &[Vec<u8>],
        order: ImportOrder,
        by: &Caller,
    ) -> Vec<Result<Imported, ImportError>> {
        if self.crls.has_partitions() {
            return certificates.iter().map(|_| Err(ImportError::Partitioned)).collect();
        }
        let waiting = if order.existing_row { self.waiting() } else { Ok(Waiting::default()) };
        let waiting = match waiting {
            Ok(waiting) => waiting,
            Err(source) => {
                let action = "reading the requests that wait";
                let failed = || Err(ImportError::Store { action, source: source.clone() });
                return certificates.iter().map(|_| failed()).collect();
            }
        };
        let now = self.clock.now();
        let begun: Vec<_> = certificates
            .iter()
            .map(|octets| self.begin_import(octets, order, &waiting, by, now))
            .collect();
        begun.into_iter().map(|it| finish(it?)).collect()
    }

    fn begin_import(
        &self,
        octets: &[u8],
        order: ImportOrder,
        waiting: &Waiting,
        by: &Caller,
        now: UnixMillis,
    ) -> Result<Begun, ImportError> {
        let certificate =
            parse_certificate(octets).map_err(|source| ImportError::Unreadable { source })?;
        let of_ca = self.ca.certificates().iter().find(|it| it.issuer().der() == certificate.der());
        if let Some(found) = of_ca {
            return Err(ImportError::OfCa { index: found.index() });
        }
        let key_index = self.own_key(&certificate);
        if key_index.is_none() && !order.allow_foreign {
            return Err(ImportError::Foreign { issuer: certificate.issuer().to_string() });
        }
        if key_index.is_some() && names_part(&certificate) {
            return Err(ImportError::Partitioned);
        }
        let request = if order.existing_row {
            Some(waiting.find(&certificate)?.ok_or(ImportError::NotAwaited)?)
        } else {
            None
        };
        let import = new_import(&certificate, key_index, request, by, now)?;
        let serial = certificate.serial();
        let imported = Imported {
            serial,
            subject: import.certificate.subject.clone(),
            disposition: match key_index {
                Some(_) => Disposition::Issued,
                None => Disposition::Foreign,
            },
            request,
            event: None,
        };
        let action = "recording the certificate";
        let store = |source| ImportError::Store { action, source };
        if order.dry_run {
            let obstacle = self.store.import_obstacle(&import).map_err(store)?;
            return match obstacle {
                Some(obstacle) => Err(ImportError::obstacle(&obstacle, serial)),
                None => Ok(Begun { imported, pending: None }),
            };
        }
        let audit = audit(&import, by);
        let pending = self.store.start_import(import, audit).map_err(store)?;
        Ok(Begun { imported, pending: Some(pending) })
    }

    /// Index of the CA key that made a certificate; none if another CA did.
    fn own_key(&self, certificate: &Certificate) -> Option<u16> {
        let mut named = self
            .ca
            .certificates()
            .iter()
            .rev()
            .filter(|it| it.issuer().name().matches(certificate.issuer()));
        let made = named.find(|it| {
            let (key, scheme) = (it.issuer().key(), certificate.scheme());
            let (signed, signature) = (certificate.tbs_der(), certificate.signature());
            verify(it.issuer().spki_der(), key, scheme, signed, signature).is_ok()
        });
        made.map(|it| it.key_index())
    }

    fn waiting(&self) -> Result<Waiting, StoreError> {
        let mut waiting = Waiting::default();
        // The oldest one that fits is the one that is found.
        for (id, raw) in self.store.waiting_requests(IMPORT_WAITING_MAX)?.into_iter().rev() {
            match parse_submission(&raw) {
                Ok(submitted) => waiting.add(id, submitted.request()),
                Err(err) => {
                    tracing::warn!(request = id.0, error = %err, "a request cannot be read");
                }
            }
        }
        Ok(waiting)
    }
}

impl Waiting {
    fn add(&mut self, id: RequestId, request: &CertificationRequest) {
        let Ok(identifier) = key_identifier(request.spki_der()) else { return };
        let spki = request.spki_der().to_vec();
        self.0.entry(identifier.to_vec()).or_default().push((id, spki));
    }

    /// The request that asks for a certificate with that key.
    ///
    /// The original compares key identifiers. Here the keys themselves must be the same, too: an
    /// identifier is what whoever made the certificate wrote into it.
    fn find(&self, certificate: &Certificate) -> Result<Option<RequestId>, ImportError> {
        let identifier =
            certificate.key_identifier().map_err(|source| ImportError::Unreadable { source })?;
        let found = self.0.get(&identifier).map_or(&[][..], Vec::as_slice);
        Ok(found.iter().find(|(_, spki)| spki == certificate.spki_der()).map(|(id, _)| *id))
    }
}

/// Whether it says that it belongs to a part of the lists. Its row would not, and its revocation would
/// stand where nobody looks who goes by the certificate.
fn names_part(certificate: &Certificate) -> bool {
    let points = certificate.extensions().iter().filter(|it| it.oid == CRL_DISTRIBUTION_POINTS);
    points.flat_map(|it| it.value.windows(PART_NAME.len() + 5)).any(|window| {
        let (name, number) = window.split_at(PART_NAME.len());
        name == PART_NAME && number.iter().all(u8::is_ascii_digit)
    })
}

fn new_import(
    certificate: &Certificate,
    key_index: Option<u16>,
    request: Option<RequestId>,
    by: &Caller,
    now: UnixMillis,
) -> Result<NewImport, ImportError> {
    let names: Vec<String> =
        certificate.subject_alternative_names().iter().map(ToString::to_string).collect();
    let origin = match key_index {
        Some(_) => ImportOrigin::Own,
        None => ImportOrigin::Foreign(hash(certificate.der())?),
    };
    Ok(NewImport {
        certificate: NewCertificate {
            serial: certificate.serial(),
            raw: certificate.der().to_vec(),
            subject: certificate.subject().to_string(),
            subject_alternative_names: names.join(","),
            not_before: UnixMillis::from_unix_seconds(certificate.not_before()),
            not_after: UnixMillis::from_unix_seconds(certificate.not_after()),
            ca_key: key_index.unwrap_or_default(),
            crl_partition: 0,
            key: certificate.key(),
        },
        origin,
        request,
        importer: by.name.clone(),
        message: match origin {
            ImportOrigin::Own => format!("Issued; imported by {}", by.name),
            ImportOrigin::Foreign(_) => format!("Issued by another CA; imported by {}", by.name),
        },
        at: now,
    })
}

fn hash(der: &[u8]) -> Result<[u8; 32], ImportError> {
    let hashed = sha256_reader(&mut &*der);
    // Octets in memory do not fail to be read; whoever says otherwise gets no import.
    hashed.map_err(|_| ImportError::Unreadable { source: CertificateError::TooLarge })
}

fn audit(import: &NewImport, by: &Caller) -> AuditEntry {
    let whose = match import.origin {
        ImportOrigin::Own => "issued by this CA".to_owned(),
        ImportOrigin::Foreign(_) => "issued by another CA".to_owned(),
    };
    // The store writes which request it became.
    AuditEntry::new(import.at, by.actor(), "certificate-import", "")
        .detail(format!("serial {}, {whose}", import.certificate.serial))
}

fn finish(begun: Begun) -> Result<Imported, ImportError> {
    let Begun { mut imported, pending } = begun;
    let Some(pending) = pending else { return Ok(imported) };
    let action = "recording the certificate";
    match pending.wait().map_err(|source| ImportError::Store { action, source })? {
        Import::Done { request, disposition, event } => {
            imported.request = Some(request);
            imported.disposition = disposition;
            imported.event = Some(event);
            Ok(imported)
        }
        Import::Obstacle(obstacle) => Err(ImportError::obstacle(&obstacle, imported.serial)),
    }
}
