//! The policy module: asked about each request before anything is issued, where an exit module is
//! told afterwards.
//!
//! It is a module like the others: the same process, greeting and messages, with the role
//! [`ROLE`] in its greeting. In place of `Notify` it is called with [`VerifyRequest`] and answers
//! with a [`Ruling`]. What a policy may set, and what it may not, is judged by [`ServerPolicy`]: by
//! kits and runners as soon as it is set, and by the host once more when the answer comes.

mod encode;
mod error;
mod name;
mod server;

use serde::{Deserialize, Serialize};

use crate::{Event, Value, property};

pub use error::{E_ACCESSDENIED, PolicyError};
pub use name::{NAME_BYTES_MAX, NAME_VALUES_MAX, NameLimit, name_limit};
pub use server::{
    CHANGES_MAX, EXTENSION_BYTES_MAX, FLAGS_SETTABLE, LOG_TEXT_CHARS_MAX, OID_CHARS_MAX, OWNED,
    ServerPolicy,
};

/// The role of a policy module in [`Initialize::role`](crate::Initialize::role). A greeting without a
/// role is that of an exit module.
pub const ROLE: &str = "policy";

/// Longest message of a ruling, in characters. It goes into the request's row and to the requester;
/// what is longer is cut by the host.
pub const MESSAGE_CHARS_MAX: usize = 1000;

/// What a policy module is asked: `VerifyRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VerifyRequest {
    /// Everything that can be read about the request, in the shape of an event, of which `event` is
    /// 0. `seq` and `context` are the same number: the original's handle, good for this call. What
    /// the certificate would say without the policy stands in `certificate` and `extensions`; those
    /// of the request's extensions that nobody has enabled carry
    /// [`Extension::DISABLED`](crate::Extension::DISABLED).
    pub event: Event,
    /// Whether the request comes for the first time; false when an officer takes it up again.
    pub new_request: bool,
    /// Reserved by the original: 0.
    #[serde(default)]
    pub flags: u32,
    /// What the CA's own policy has decided, where the module is chained to it. The event shows the
    /// certificate that it has planned, and the module can only be stricter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultRuling>,
}

/// What the CA's own policy has decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DefaultRuling {
    /// As [`Ruling::disposition`]: 0 or 1, for what it refuses no module is asked about.
    pub disposition: i64,
    /// Its words, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What a policy module answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ruling {
    /// The original's disposition: 0 pend, 1 issue, 2 deny, or a failing HRESULT, signed or
    /// unsigned, to deny with that status. Another number is no answer.
    pub disposition: i64,
    /// One line for the requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Properties of the certificate that are set, in the order in which they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_properties: Vec<SetProperty>,
    /// Extensions of the certificate that are set, in the order in which they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_extensions: Vec<SetExtension>,
    /// Lines for the server's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

/// A property that a policy sets: `SetCertificateProperty`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "PolicySetProperty"))]
pub struct SetProperty {
    /// Its name.
    pub name: String,
    /// Its value; null takes a part of the name out.
    #[serde(deserialize_with = "present")]
    pub value: Option<Value>,
}

/// An extension that a policy sets: `SetCertificateExtension`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "PolicySetExtension"))]
pub struct SetExtension {
    /// Its OID in dotted form.
    pub oid: String,
    /// [`Extension::CRITICAL`](crate::Extension::CRITICAL),
    /// [`Extension::DISABLED`](crate::Extension::DISABLED), and the bits of 0xff00, which are the
    /// module's own.
    #[serde(default)]
    pub flags: u32,
    /// DER of the value; null disables the extension that is there, and needs that flag.
    #[serde(with = "optional_base64")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Base64>"))]
    pub value: Option<Vec<u8>>,
}

/// A line for the server's log: the original's properties `EventLogError` and so on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The line.
    pub text: String,
}

/// How much a line for the log matters, by the original's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// `EventLogError`.
    Error,
    /// `EventLogWarning`.
    Warning,
    /// `EventLogTerse`.
    Terse,
    /// `EventLogVerbose`.
    Verbose,
    /// `EventLogExhaustive`.
    Exhaustive,
}

impl LogLevel {
    /// All of them, those that matter most first.
    pub const ALL: [Self; 5] =
        [Self::Error, Self::Warning, Self::Terse, Self::Verbose, Self::Exhaustive];

    /// The property that writes at this level.
    #[must_use]
    pub fn property(self) -> &'static str {
        match self {
            Self::Error => "EventLogError",
            Self::Warning => "EventLogWarning",
            Self::Terse => "EventLogTerse",
            Self::Verbose => "EventLogVerbose",
            Self::Exhaustive => "EventLogExhaustive",
        }
    }

    /// The level that a property writes at; its name in any ASCII case.
    #[must_use]
    pub fn from_property(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.property().eq_ignore_ascii_case(name))
    }
}

/// What a ruling's disposition means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// `VR_PENDING` (0): an officer is to decide.
    Pend,
    /// `VR_INSTANT_OK` (1): issue.
    Issue,
    /// `VR_INSTANT_BAD` (2): deny.
    Deny,
    /// A failing HRESULT: deny with it as the status.
    DenyWith(u32),
}

impl Disposition {
    /// What a number means; `None` where it means nothing: a positive number beyond 2, as a Win32
    /// code would be, and what does not fit 32 bits.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Pend),
            1 => Some(Self::Issue),
            2 => Some(Self::Deny),
            ..0 => i32::try_from(number).ok().map(|it| Self::DenyWith(it.cast_unsigned())),
            _ => u32::try_from(number).ok().filter(|it| *it >> 31 == 1).map(Self::DenyWith),
        }
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Pend => 0,
            Self::Issue => 1,
            Self::Deny => 2,
            Self::DenyWith(hresult) => i64::from(hresult.cast_signed()),
        }
    }
}

impl Ruling {
    /// A ruling that sets nothing.
    #[must_use]
    pub fn new(disposition: Disposition, message: Option<String>) -> Self {
        Self { disposition: disposition.number(), message, ..Self::default() }
    }

    /// What it rules; `None` where it rules nothing that is known.
    #[must_use]
    pub fn disposition(&self) -> Option<Disposition> {
        Disposition::from_number(self.disposition)
    }
}

/// The moment of a property of type date, in seconds since 1970; `None` where it is no time like
/// `2026-11-21T07:00:00Z`.
#[must_use]
pub fn unix_seconds(date: &str) -> Option<i64> {
    encode::moment(date).and_then(|it| i64::try_from(it.as_secs()).ok())
}

/// What is left out is not null: it is no answer.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Option::deserialize(deserializer)
}

/// `#[serde(with = …)]` for bytes or null. Left out is not null: it is no answer.
mod optional_base64 {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    use super::property::{AsBase64, FromBase64};

    #[expect(clippy::ref_option, reason = "serde gives a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(AsBase64).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<FromBase64>::deserialize(deserializer)?.map(|it| it.0))
    }
}

#[cfg(test)]
mod tests;
