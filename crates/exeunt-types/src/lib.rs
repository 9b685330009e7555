//! The nouns of Exeunt: ids, serials, times, dispositions, events, keys, records.
//!
//! No I/O, no serde, no clock. Wire, file and row types live at the edge that needs them and are
//! converted by hand.

mod event;
mod id;
mod key;
mod record;
mod serial;
mod status;
mod time;

pub use event::{EventKind, EventState, StartAt};
pub use id::{EventSeq, ExitName, ExitNameError, RequestId, SubjectKey};
pub use key::{KeyAlgorithm, SignatureScheme};
pub use record::{
    AbandonedSerial, CertificateRecord, ExtensionOrigin, ExtensionRecord, Intent, NewCertificate,
    NewIntent, NewRequest, RequestRecord, Resolution,
};
pub use serial::{Serial, SerialError};
pub use status::{Disposition, RequestType, StatusCode};
pub use time::UnixMillis;
