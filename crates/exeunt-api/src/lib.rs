//! The admin API's wire types: what the server writes and the command line reads.
//!
//! Plain data with serde, no I/O and no domain type: a field here may change only as the API's
//! version prefix allows. New fields may appear at any time; readers ignore what they do not know.

mod archive;
mod audit;
mod backup;
mod ca;
mod certificate;
mod crl;
mod exit;
mod import;
mod list;
mod officer;
mod policy;
mod principal;
mod problem;
mod request;
#[cfg(feature = "schema")]
pub mod schema;
mod template;

pub use archive::{
    ExchangeCertificate, KeyImportOrder, KeyImported, KeyRecovery, KeyRecoveryList,
    KeyRecoveryOrder, RecoveredKey,
};
pub use audit::{AUDIT_CSV_HEADING, AuditPage, AuditRow};
pub use backup::{BackupNoted, BackupOrder};
pub use ca::{CaCertificate, CaDescription, Health};
pub use certificate::{CertificateDetail, CertificatePage, CertificateRow, CertificateSummary};
pub use crl::{CrlPage, CrlSummary, PublishOrder};
pub use exit::{
    Deliveries, Delivery, ExitChanged, ExitDetail, ExitList, ExitRemoved, ExitSettings, ExitStart,
    ExitState, ExitStatus, ExplainedEvent, ExplainedRule, Explanation, HeldEvent, HeldState,
    KnownSetting, KnownSettings, MaintenanceFault, MaintenanceKind, MaintenanceOrder,
    MaintenanceRun, MaintenanceState, MaintenanceStatus, NewExit, Reloaded, Replay, ReplayOrder,
    RuleAnswer, SettingsMap, ShelfOrder, TargetCheck, TargetFinding,
};
pub use import::{
    BulkAnswer, BulkOutcome, BulkReleaseOrder, BulkResult, BulkRevokeOrder, ImportAnswer,
    ImportOrder, PublishExpiredOrder,
};
pub use list::{
    CERTIFICATE_CSV_HEADING, CSV_MEDIA_TYPE, JSON_LINES_MEDIA_TYPE, REQUEST_CSV_HEADING, csv_record,
};
pub use officer::{
    AttributesOrder, Denied, DenyOrder, ExtensionOrder, OfficerExtension, Revocation, RevokeOrder,
    Revoked,
};
pub use policy::{POLICY_PATH, PolicyOrder, PolicySettings, PolicyStatus};
pub use principal::{NewToken, Principal, PrincipalList, PrincipalToken, TokenChanged};
pub use problem::Problem;
pub use request::{
    Approval, Disposition, RequestAttribute, RequestDetail, RequestPage, RequestSummary,
    SubmitAnswer,
};

pub use template::{
    TemplateDetail, TemplateList, TemplateSetting, TrialAnswer, TrialCertificate, TrialExtension,
    TrialRule, TrialVerdict,
};

/// Prefix of every path of this version.
pub const VERSION_PREFIX: &str = "/v1";

/// The exchange certificate, that clients encrypt their private keys to.
pub const EXCHANGE_PATH: &str = "/v1/ca/exchange";

/// Recoveries of archived keys: the list (`GET`) and asking for one (`POST`).
pub const KEY_RECOVERIES_PATH: &str = "/v1/key-recoveries";

/// Archiving the key of a certificate that was issued or imported without it (`POST`).
pub const KEY_IMPORTS_PATH: &str = "/v1/key-imports";

/// Submissions (`POST`) and the list of requests (`GET`).
pub const REQUESTS_PATH: &str = "/v1/requests";

/// The list of templates.
pub const TEMPLATES_PATH: &str = "/v1/templates";

/// The list of certificates.
pub const CERTIFICATES_PATH: &str = "/v1/certificates";

/// The list of revocation lists (`GET`), and their making (`POST`).
pub const CRLS_PATH: &str = "/v1/crls";

/// Where relying parties find the newest revocation lists: `ca.crl`, `ca+.crl`. Outside of the
/// version, because it stands in certificates.
pub const CRL_FILES_PATH: &str = "/crl";

/// Where relying parties find the CA's certificates in DER: the newest one in `current.crt`, all of them
/// by their index in `ca.crt` (the first one), `ca(1).crt` and so on, and those by which one key vouches for
/// another in `ca(0-1).crt`.
pub const CA_FILES_PATH: &str = "/ca";

/// Where relying parties ask by OCSP: requests as the body of a `POST`, or in base64 after a slash.
pub const OCSP_PATH: &str = "/ocsp";

/// Where clients of CMC over HTTP (RFC 5273) send their requests.
pub const CMC_PATH: &str = "/cmc";

/// The list of exit modules.
pub const EXITS_PATH: &str = "/v1/exits";

/// Reads the configuration again (`POST`).
pub const RELOAD_PATH: &str = "/v1/reload";

/// The list of principals.
pub const PRINCIPALS_PATH: &str = "/v1/principals";

/// The audit trail.
pub const AUDIT_PATH: &str = "/v1/audit";

/// Has the audit trail say that a backup is taken (`POST`).
pub const BACKUPS_PATH: &str = "/v1/backups";

/// The certificate authority itself.
pub const CA_PATH: &str = "/v1/ca";

/// Whether the server lives; needs no authentication.
pub const HEALTH_PATH: &str = "/v1/health";

/// Header that carries one request attribute, `Name:Value`; may be repeated.
pub const ATTRIBUTE_HEADER: &str = "exeunt-attribute";

/// Header of a submission with a key that the client chose: with the same one it gets the same answer
/// (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// Longest key of [`IDEMPOTENCY_KEY_HEADER`], in bytes. A UUID has 36.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Whether a text will do as a key: printable characters of ASCII, without those that would have to be
/// escaped in the header.
#[must_use]
pub fn is_idempotency_key(text: &str) -> bool {
    let is_plain = text.bytes().all(|it| matches!(it, b'!'..=b'~') && it != b'"' && it != b'\\');
    (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&text.len()) && is_plain
}

/// Header of an answer in CMS: number of the request's row, if there is one.
pub const REQUEST_HEADER: &str = "exeunt-request";

/// Header of an answer in CMS: `issued`, `pending`, `denied` or `failed`.
pub const DISPOSITION_HEADER: &str = "exeunt-disposition";

/// Media type of a PKCS#10 request in DER (RFC 5967, section 2).
pub const PKCS10_MEDIA_TYPE: &str = "application/pkcs10";

/// Media type of requests and answers in CMS: PKCS #7 and CMC (RFC 5273, section 3).
pub const CMS_MEDIA_TYPE: &str = "application/pkcs7-mime";

/// Media type of an answer with certificates and nothing else (RFC 8551, section 3.2.2).
pub const CERTS_ONLY_MEDIA_TYPE: &str = "application/pkcs7-mime; smime-type=certs-only";

/// Media type of a full PKI response (RFC 5273, section 3).
pub const CMC_RESPONSE_MEDIA_TYPE: &str = "application/pkcs7-mime; smime-type=CMC-response";

/// Media type of a request in PEM.
pub const PEM_MEDIA_TYPE: &str = "application/x-pem-file";

/// Media type of a revocation list in DER (RFC 2585, section 4.2).
pub const CRL_MEDIA_TYPE: &str = "application/pkix-crl";

/// Media type of a certificate in DER (RFC 2585, section 4.1).
pub const CERTIFICATE_MEDIA_TYPE: &str = "application/pkix-cert";

/// Media type of an OCSP request (RFC 6960, appendix C.1).
pub const OCSP_REQUEST_MEDIA_TYPE: &str = "application/ocsp-request";

/// Media type of an answer to one (RFC 6960, appendix C.2).
pub const OCSP_RESPONSE_MEDIA_TYPE: &str = "application/ocsp-response";

/// Media type of every answer that tells of an error (RFC 9457, section 3).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Largest body of a submission, in bytes. Requests with the largest known keys and signatures
/// (ML-DSA-87, about 7.5 kB) and a hundred names stay under 16 kB, and so do the messages around one
/// with their certificates; PEM adds a third.
pub const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// Largest OCSP request, in bytes, as a body. One in a path is shorter.
pub const OCSP_REQUEST_BYTES_MAX: usize = 64 * 1024;

/// Largest body with certificates to be imported, in bytes: half as many of the usual size again as
/// [`IMPORT_COUNT_MAX`] allows.
pub const IMPORT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most certificates that are imported at a time. They share a commit, and others wait for it.
pub const IMPORT_COUNT_MAX: usize = 512;

/// Most certificates that are revoked or released by one order.
pub const BULK_COUNT_MAX: usize = 512;

/// Longest that a request for deliveries waits for one, in seconds.
pub const DELIVERIES_WAIT_S_MAX: u64 = 20;

/// Most rows in one page of a list.
pub const PAGE_ROWS_MAX: u32 = 1000;

/// Rows in a page when the query names no `limit`.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
