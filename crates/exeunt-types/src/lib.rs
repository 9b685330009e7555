//! The nouns of Exeunt: ids, serials, times, dispositions, events, keys, records.
//!
//! No I/O, no serde, no clock. Wire, file and row types live at the edge that needs them and are
//! converted by hand.

mod admission;
mod archive;
mod audit;
mod crl;
mod event;
mod filter;
mod hexadecimal;
mod id;
mod idempotency;
mod key;
mod record;
mod revocation;
mod role;
mod serial;
mod status;
mod time;

pub use admission::{Approval, Asker, AuditNote, RateLimit, TemplateFlags};
pub use archive::{
    ArchivedKey, ArchivedKeyRecord, ContentCipher, KeyRecovery, KeyTransport, RecoveryRefusal,
};
pub use audit::{
    ACTION_ACCEPT, ACTION_DENIED, ACTION_FAILED, ACTION_FILTER, ACTION_ISSUED, ACTION_PENDING,
    ACTION_START, ACTION_STOP, AUDIT_KINDS, AuditCategories, AuditKind, AuditQuery, EVENT_RECEIVED,
    EVENT_UNKNOWN, OWN_EVENTS_FROM, audit_event_title, is_written_before_signing,
};
pub use crl::{CrlKind, CrlLine, CrlNumber, CrlRecord, RevokedCertificate};
pub use event::{EventKind, EventState, StartAt};
pub use filter::{
    CertificateFilter, CertificateKey, CertificateSort, FILTER_TEXT_OCTETS_MAX, FilterError, Found,
    KeyTextError, ListedCertificate, RequestFilter, SerialPrefix, Span, TextFilter,
};
pub use hexadecimal::{hexadecimal, push_hexadecimal};
pub use id::{EventSeq, ExitName, ExitNameError, RequestId, SubjectKey};
pub use idempotency::{IdempotencyKey, KnownKey, NewKey};
pub use key::{KeyAlgorithm, SignatureScheme};
pub use record::{
    AbandonedSerial, CertificateRecord, ExtensionOrigin, ExtensionRecord, Intent, NewCertificate,
    NewIntent, NewRequest, OfficerExtension, RequestRecord, Resolution,
};
pub use revocation::{Revocation, RevocationReason};
pub use role::Roles;
pub use serial::{Serial, SerialError};
pub use status::{Disposition, RequestFlags, RequestType, StatusCode};
pub use time::UnixMillis;
