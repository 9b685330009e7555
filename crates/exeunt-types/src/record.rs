//! What the engine hands to the store, and what the store hands back.

use crate::{
    Disposition, EventSeq, KeyAlgorithm, RequestFlags, RequestId, RequestType, Revocation, Serial,
    StatusCode, TemplateFlags, UnixMillis,
};

/// Who put an extension on a request or certificate: the original's `EXTENSION_ORIGIN_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionOrigin {
    /// The requester asked for it (0x10000).
    Request,
    /// The policy added it (0x20000).
    Policy,
    /// An officer set it (0x30000).
    Admin,
    /// The engine added it (0x40000).
    Server,
    /// It came in a certificate that was imported (0x60000).
    ImportedCert,
}

impl ExtensionOrigin {
    /// The bits, as the original's extension flags carry them.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Request => 0x1_0000,
            Self::Policy => 0x2_0000,
            Self::Admin => 0x3_0000,
            Self::Server => 0x4_0000,
            Self::ImportedCert => 0x6_0000,
        }
    }
}

/// An extension as a module reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionRecord {
    /// Object identifier in dotted form.
    pub oid: String,
    /// Whether it is critical.
    pub critical: bool,
    /// Whether it was left out of the certificate (`EXTENSION_DISABLE_FLAG`).
    pub disabled: bool,
    /// Who put it there.
    pub origin: ExtensionOrigin,
    /// DER of the extension's value.
    pub value: Vec<u8>,
}

/// An extension that an officer set on a pending request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfficerExtension {
    /// Object identifier in dotted form.
    pub oid: String,
    /// The low half of the original's extension flags: 1 critical, 2 disabled, the high eight bits
    /// free for private use.
    pub flags: u16,
    /// DER of the extension's value.
    pub value: Vec<u8>,
}

impl OfficerExtension {
    /// `EXTENSION_CRITICAL_FLAG`.
    pub const CRITICAL: u16 = 0x1;
    /// `EXTENSION_DISABLE_FLAG`: kept on the request, left out of the certificate.
    pub const DISABLED: u16 = 0x2;
}

/// A request at admission (step 0): everything about it that never changes, but for its attributes,
/// which an officer may change while it is pending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRequest {
    /// The request in DER, as it was received (PEM armour taken off).
    pub raw: Vec<u8>,
    /// Its format.
    pub request_type: RequestType,
    /// For whom the certificate is.
    pub requester: String,
    /// Who called; differs from the requester when somebody asks on behalf of another.
    pub caller: String,
    /// Template that was asked for or chosen by default; may be empty when none fits.
    pub template: String,
    /// Request attributes, name and value, parsed by the original's rules.
    pub attributes: Vec<(String, String)>,
    /// Subject as requested, RFC 4514 text.
    pub subject: String,
    /// What is special about it.
    pub flags: RequestFlags,
    /// The certificate that is renewed, DER.
    pub old_certificate: Option<Vec<u8>>,
    /// Moment of admission.
    pub submitted: UnixMillis,
}

/// What the engine is about to sign (step 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIntent {
    /// Serial number in `tbs`.
    pub serial: Serial,
    /// The exact `TBSCertificate` bytes.
    pub tbs: Vec<u8>,
    /// Last second of the validity in `tbs`.
    pub not_after: UnixMillis,
    /// Index of the CA key that is to sign; 0 for the first one.
    pub ca_key: u16,
    /// Part of the revocation list that `tbs` names; 0 where lists are whole.
    pub crl_partition: u32,
}

/// An intent that has no certificate: what recovery finds at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The request that it belongs to.
    pub request: RequestId,
    /// Serial number that may be out.
    pub serial: Serial,
    /// The exact `TBSCertificate` bytes.
    pub tbs: Vec<u8>,
}

/// A serial that was reserved and may have been signed, but was never recorded. It counts as
/// revoked, so that a signature nobody remembers is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbandonedSerial {
    /// The serial.
    pub serial: Serial,
    /// The request it was made for.
    pub request: RequestId,
    /// When it was given up.
    pub at: UnixMillis,
    /// Last second of its validity, had it become a certificate; none for those that were given up by
    /// versions which did not note it.
    pub not_after: Option<UnixMillis>,
    /// Index of the CA key that may have signed it.
    pub ca_key: u16,
    /// Part of the revocation list that it stands in.
    pub crl_partition: u32,
}

/// A signed certificate at its recording (step 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCertificate {
    /// Serial number of the intent.
    pub serial: Serial,
    /// The whole certificate in DER.
    pub raw: Vec<u8>,
    /// Issued subject, RFC 4514 text.
    pub subject: String,
    /// Subject alternative names as text, `type:value`, comma-separated; empty if there are none.
    pub subject_alternative_names: String,
    /// First second of validity.
    pub not_before: UnixMillis,
    /// Last second of validity.
    pub not_after: UnixMillis,
    /// Index of the CA key that signed it; 0 for the first one.
    pub ca_key: u16,
    /// Part of the revocation list that it belongs to, fixed at issuance; 0 where lists are whole.
    pub crl_partition: u32,
    /// Algorithm and size of the subject's key.
    pub key: KeyAlgorithm,
}

/// How a request ended without a certificate, or that it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Held for an officer's decision.
    Pend {
        /// One line for people.
        message: String,
    },
    /// Refused.
    Deny {
        /// Why, as a number.
        status: StatusCode,
        /// Why, in one line.
        message: String,
    },
    /// Could not be processed.
    Fail {
        /// Why, as a number.
        status: StatusCode,
        /// Why, in one line.
        message: String,
    },
}

/// A request's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Row number.
    pub id: RequestId,
    /// What never changes.
    pub request: NewRequest,
    /// Its state now.
    pub disposition: Disposition,
    /// Result of its processing.
    pub status: StatusCode,
    /// One line about it.
    pub message: String,
    /// End of its processing.
    pub resolved: Option<UnixMillis>,
    /// Extensions that an officer set while it was pending.
    pub officer_extensions: Vec<OfficerExtension>,
    /// The revocation of its certificate, where there is or was one.
    pub revocation: Option<Revocation>,
    /// Whether its certificate stays in revocation lists after its validity.
    pub publish_expired: bool,
    /// Serial of its certificate, if one was issued.
    pub serial: Option<Serial>,
}

/// A certificate's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRecord {
    /// The request that it came from.
    pub request: RequestId,
    /// The certificate and what was read from it.
    pub certificate: NewCertificate,
    /// Template it was issued from.
    pub template: String,
    /// Moment of issuance.
    pub issued: UnixMillis,
    /// The event that told of it.
    pub event: EventSeq,
    /// Flags of its template when it was issued, where it had any.
    pub template_flags: Option<TemplateFlags>,
}
