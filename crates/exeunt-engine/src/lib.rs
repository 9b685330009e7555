//! The journey of a request: admit, decide, build and lint, intend, sign, record; and recovery. What
//! officers decide, revocation, the making of revocation lists, and answers by OCSP.
//!
//! Synchronous: call it from worker threads. It knows no HTTP, no exit module and no runtime; time
//! and randomness are given to it. Enter at [`Engine::submit`]; `journey.rs` is the story, and
//! `officer.rs`, `revoke.rs`, `crl.rs` and `ocsp.rs` go on with it.

mod access;
mod address;
mod again;
mod archive;
mod attributes;
mod audit;
mod authority;
mod backup;
mod build;
mod bulk;
mod ca;
mod crl;
mod engine;
mod enroll;
mod error;
mod expiry;
mod import;
mod journey;
mod ocsp;
mod officer;
mod officer_error;
mod officer_extension;
mod own_certificate;
mod policy;
mod renewal;
mod repeat;
mod respond;
mod revoke;
mod tls;
mod trial;

pub use access::{ManagerScope, is_like};
pub use address::{suffix, tells_certificates_apart, tells_keys_apart};
pub use archive::exchange::{ExchangeCertificate, ExchangeError};
pub use archive::recovery::{
    RECOVERY_REASON_BYTES_MAX, RECOVERY_VALIDITY, RecoveredKey, RecoveryError,
};
pub use archive::{
    ArchiveRefusal, ArchiveRule, KeyArchivalSettings, RECOVERY_AGENT_BITS_MIN,
    RECOVERY_AGENT_WARNING, RECOVERY_AGENTS_MAX, RecoveryAgent, open_key, seal_key,
};
pub use attributes::{
    ATTRIBUTE_COUNT_MAX, ATTRIBUTE_TEXT_BYTES_MAX, AttributeError, parse_attributes,
};
pub use audit::{
    CHECKPOINT_BLOCK_OCTETS_MAX, Checkpoint, CheckpointError, CheckpointFile, CheckpointFileError,
    CheckpointRefusal, TrailError,
};
pub use authority::{
    AuthorityError, CaProfile, Renewal, ca_request, renewal_request, renewed_root, self_signed_root,
};
pub use backup::{BACKUP_NAME_BYTES_MAX, BackupStage};
pub use bulk::BulkOutcome;
pub use ca::{Ca, CaCertificate, CaEntry};
pub use crl::{CRL_KEPT, CRL_PARTITIONS_MAX, CrlError, CrlOrder, CrlSettings, example_address};
pub use engine::{
    Clock, Engine, EngineError, Entropy, Parts, Publication, Recovered, SERIAL_ATTEMPTS_MAX,
};
pub use enroll::{MessageRefusal, REQUESTER_NAME_BYTES_MAX};
pub use error::{Blame, SubmitError};
pub use expiry::{EXPIRY_DAYS_MAX, EXPIRY_DISTANCES_MAX};
pub use import::{IMPORT_WAITING_MAX, ImportError, ImportOrder, Imported};
pub use journey::{Outcome, Submission, Submitted};
pub use ocsp::{
    OCSP_ANSWER_BYTES_MAX, OCSP_ANSWER_COUNT_MAX, OCSP_KEPT_REQUEST_BYTES_MAX,
    OCSP_RESPONDER_VALIDITY_MIN, OCSP_VALIDITY_MAX, OCSP_VALIDITY_MIN, OcspAnswer, OcspSettings,
};
pub use officer::{REASON_BYTES_MAX, Retrieved};
pub use officer_error::OfficerError;
pub use officer_extension::{
    ExtensionRefusal, OFFICER_EXTENSION_BYTES_MAX, OFFICER_EXTENSION_COUNT_MAX,
};
pub use own_certificate::OwnCertificateError;
pub use policy::{
    ApprovalRule, Asked, Caller, Decision, Door, Plan, Policy, Rehearsal, RuleVerdict,
    TemplateView, Verdict,
};
pub use renewal::{CrossCertificate, CrossError, OwnState, key_indexes, own_states};
pub use respond::{CmsResponse, ResponseError};
pub use revoke::{RevokeOrder, Revoked, Which};
pub use tls::{
    ClientCertificate, ClientCertificateError, GivenCertificate, SERVER_VALIDITY_MAX,
    SERVER_VALIDITY_MIN, ServerCertificate, ServerCertificateError, ServerCertificateSettings,
    Standing,
};
pub use trial::{Trial, TrialCertificate};
