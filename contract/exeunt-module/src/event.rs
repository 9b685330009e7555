//! The event as a module sees it: what happened, and everything that can be read about it.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};

use crate::{
    Properties, PropertyError, Value,
    property::{self},
};

/// The bits of a module's event mask; an event carries exactly one.
///
/// The first nine are the original's `EXITEVENT_*`; Exeunt's own take bits from 0x10000 up.
pub mod exit_event {
    /// A certificate was issued.
    pub const CERT_ISSUED: u32 = 0x001;
    /// A request waits for a decision.
    pub const CERT_PENDING: u32 = 0x002;
    /// A request was refused.
    pub const CERT_DENIED: u32 = 0x004;
    /// A certificate was revoked.
    pub const CERT_REVOKED: u32 = 0x008;
    /// A formerly pending certificate was fetched.
    pub const CERT_RETRIEVE_PENDING: u32 = 0x010;
    /// Revocation lists were issued.
    pub const CRL_ISSUED: u32 = 0x020;
    /// The server stops.
    pub const SHUTDOWN: u32 = 0x040;
    /// The server has started.
    pub const STARTUP: u32 = 0x080;
    /// A certificate was imported. (The original has no constant for 0x100.)
    pub const CERT_IMPORTED: u32 = 0x200;
    /// Exeunt's own: a certificate on hold was released.
    pub const CERT_UNREVOKED: u32 = 0x0001_0000;
    /// Exeunt's own: the processing of a request failed.
    pub const REQUEST_FAILED: u32 = 0x0002_0000;
    /// Exeunt's own: a certificate expires soon.
    pub const CERT_EXPIRING: u32 = 0x0004_0000;
    /// Exeunt's own: the CA has a new certificate of its own.
    pub const CA_CERT_ISSUED: u32 = 0x0008_0000;
    /// Exeunt's own: a revocation list could not be published.
    pub const CRL_PUBLICATION_FAILED: u32 = 0x0010_0000;
    /// Exeunt's own: an event was parked for an operator; [`Event::detail`](super::Event::detail)
    /// says which one, of which module, and why.
    pub const DELIVERY_PARKED: u32 = 0x0020_0000;
    /// Exeunt's own: nothing has happened for a while, and the CA lives.
    pub const HEARTBEAT: u32 = 0x0040_0000;
    /// Exeunt's own: the CA was restored from a backup; [`Event::detail`](super::Event::detail) says of
    /// when it was, and which was its last event. Those between that one and this one are lost.
    pub const RESTORED: u32 = 0x0080_0000;
    /// Every event that this version knows.
    pub const ALL: u32 = CERT_ISSUED
        | CERT_PENDING
        | CERT_DENIED
        | CERT_REVOKED
        | CERT_RETRIEVE_PENDING
        | CRL_ISSUED
        | SHUTDOWN
        | STARTUP
        | CERT_IMPORTED
        | CERT_UNREVOKED
        | REQUEST_FAILED
        | CERT_EXPIRING
        | CA_CERT_ISSUED
        | CRL_PUBLICATION_FAILED
        | DELIVERY_PARKED
        | HEARTBEAT
        | RESTORED;

    /// Every event that this version knows, with its word in configurations, expressions and logs.
    pub const WORDS: [(u32, &str); 17] = [
        (CERT_ISSUED, "issued"),
        (CERT_PENDING, "pending"),
        (CERT_DENIED, "denied"),
        (CERT_REVOKED, "revoked"),
        (CERT_RETRIEVE_PENDING, "retrieve-pending"),
        (CRL_ISSUED, "crl-issued"),
        (SHUTDOWN, "shutdown"),
        (STARTUP, "startup"),
        (CERT_IMPORTED, "imported"),
        (CERT_UNREVOKED, "unrevoked"),
        (REQUEST_FAILED, "request-failed"),
        (CERT_EXPIRING, "expiring"),
        (CA_CERT_ISSUED, "ca-cert-issued"),
        (CRL_PUBLICATION_FAILED, "crl-publication-failed"),
        (DELIVERY_PARKED, "delivery-parked"),
        (HEARTBEAT, "heartbeat"),
        (RESTORED, "restored"),
    ];

    /// The word of an event; "unknown" where this version knows none.
    #[must_use]
    pub fn word(event: u32) -> &'static str {
        WORDS.iter().find_map(|(bit, word)| (*bit == event).then_some(*word)).unwrap_or("unknown")
    }

    /// The event that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<u32> {
        WORDS.iter().find_map(|(bit, it)| (*it == word).then_some(*bit))
    }
}

/// One event, with a snapshot of everything that a module may read about it.
///
/// The host delivers it at least once: make what you do with it repeatable, and recognise it by
/// [`Event::id`], which never changes between attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Id of the event, the same at every attempt: the store's id, a hyphen and [`Event::seq`].
    pub id: String,
    /// Place in the CA's event log: 1 and up, in the order in which things happened.
    pub seq: u64,
    /// What happened: one bit of [`exit_event`], possibly one that this version does not know.
    pub event: u32,
    /// The original's context: the request id, or 0 where the event is about no request.
    pub context: u64,
    /// What it is about, for example `request:9` or `server`. Events of one subject come in order.
    pub subject: String,
    /// When it was committed: RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// 1 at the first delivery to this module, 2 at the second, and so on.
    pub attempt: u32,
    /// Properties of the request (`GetRequestProperty`).
    #[serde(default)]
    pub request: Properties,
    /// Properties of the certificate (`GetCertificateProperty` with a context).
    #[serde(default)]
    pub certificate: Properties,
    /// Attributes that came with the request, name and value.
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
    /// Extensions of the certificate or request, by OID in dotted form.
    #[serde(default)]
    pub extensions: Extensions,
    /// What the event says beyond request and certificate; for most events nothing.
    #[serde(default, skip_serializing_if = "Properties::is_empty")]
    pub detail: Properties,
    /// Properties of the CA (`GetCertificateProperty` with context 0). Shared, because they are the
    /// same from event to event.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Properties"))]
    pub system: Arc<Properties>,
}

impl Event {
    /// A property of the request, by its name in any ASCII case.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has no value.
    pub fn request_property(&self, name: &str) -> Result<&Value, PropertyError> {
        self.request.property(name)
    }

    /// A property of the certificate, by its name in any ASCII case.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has no value.
    pub fn certificate_property(&self, name: &str) -> Result<&Value, PropertyError> {
        self.certificate.property(name)
    }

    /// A property of the CA, by its name in any ASCII case.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has no value.
    pub fn system_property(&self, name: &str) -> Result<&Value, PropertyError> {
        self.system.property(name)
    }

    /// An attribute of the request, by its name in any ASCII case. Blanks and hyphens were taken out
    /// of attribute names when the request was read.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where the request has no such attribute.
    pub fn request_attribute(&self, name: &str) -> Result<&str, PropertyError> {
        self.attributes
            .iter()
            .find_map(|(it, value)| it.eq_ignore_ascii_case(name).then_some(value.as_str()))
            .ok_or_else(|| PropertyError::Empty { name: name.to_owned() })
    }

    /// DER of an extension's value, by its OID in dotted form. Also one that was left out of the
    /// certificate: ask [`Event::extension_flags`].
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where there is no such extension.
    pub fn certificate_extension(&self, oid: &str) -> Result<&[u8], PropertyError> {
        self.extension(oid).map(|it| it.value.as_slice())
    }

    /// Flags and origin of an extension: see [`Extension::flags`].
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where there is no such extension.
    pub fn extension_flags(&self, oid: &str) -> Result<u32, PropertyError> {
        self.extension(oid).map(|it| it.flags)
    }

    fn extension(&self, oid: &str) -> Result<&Extension, PropertyError> {
        self.extensions.extension(oid).ok_or_else(|| PropertyError::Empty { name: oid.to_owned() })
    }
}

/// An extension of a certificate or request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Extension {
    /// The original's flags: [`Extension::CRITICAL`], [`Extension::DISABLED`], and the origin in
    /// the bits of [`Extension::ORIGIN_MASK`].
    pub flags: u32,
    /// DER of the value.
    #[serde(with = "property::base64_field")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Base64"))]
    pub value: Vec<u8>,
}

impl Extension {
    /// `EXTENSION_CRITICAL_FLAG`: the extension is critical.
    pub const CRITICAL: u32 = 0x1;
    /// `EXTENSION_DISABLE_FLAG`: known to the CA and not in the certificate.
    pub const DISABLED: u32 = 0x2;
    /// `EXTENSION_ORIGIN_MASK`: who put it there: 0x10000 the request, 0x20000 the policy, 0x30000
    /// an officer, 0x40000 the engine.
    pub const ORIGIN_MASK: u32 = 0xf_0000;
}

/// Extensions by OID, in the order in which they were put in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions(Vec<(Cow<'static, str>, Extension)>);

impl Extensions {
    /// An empty map with room for `capacity` extensions.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Puts an extension at the end, its OID in dotted form.
    pub fn push(&mut self, oid: impl Into<Cow<'static, str>>, extension: Extension) {
        self.0.push((oid.into(), extension));
    }

    /// Puts an extension in the place of the one with its OID, or at the end.
    pub fn set(&mut self, oid: impl Into<Cow<'static, str>>, extension: Extension) {
        let oid = oid.into();
        match self.0.iter_mut().find(|(it, _)| *it == oid) {
            Some((_, there)) => *there = extension,
            None => self.push(oid, extension),
        }
    }

    /// The extension with that OID.
    #[must_use]
    pub fn extension(&self, oid: &str) -> Option<&Extension> {
        self.0.iter().find_map(|(it, extension)| (it == oid).then_some(extension))
    }

    /// All extensions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Extension)> {
        self.0.iter().map(|(oid, extension)| (oid.as_ref(), extension))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Extensions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(oid, extension)| (oid, extension)))
    }
}

impl<'de> Deserialize<'de> for Extensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ExtensionsVisitor;
        impl<'de> Visitor<'de> for ExtensionsVisitor {
            type Value = Extensions;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object of extensions by OID")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Extensions, M::Error> {
                let mut extensions = Vec::new();
                while let Some((oid, extension)) = map.next_entry::<String, Extension>()? {
                    extensions.push((Cow::Owned(oid), extension));
                }
                Ok(Extensions(extensions))
            }
        }
        deserializer.deserialize_map(ExtensionsVisitor)
    }
}
