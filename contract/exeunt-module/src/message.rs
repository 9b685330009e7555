//! The calls of the conversation and their answers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::SerializeMap};

use crate::{
    Event,
    maintain::{Install, Reconcile, ReconcileEnd, Test},
    manage::{Configure, GetProperty, SetProperty},
    policy::{Ruling, VerifyRequest},
};

/// Names of the methods, as they stand in the messages.
pub mod method {
    /// The greeting; the first call.
    pub const INITIALIZE: &str = "Initialize";
    /// What the module is, in words.
    pub const GET_DESCRIPTION: &str = "GetDescription";
    /// An event.
    pub const NOTIFY: &str = "Notify";
    /// A request to decide about; to policy modules alone.
    pub const VERIFY_REQUEST: &str = "VerifyRequest";
    /// Whether the target can be worked with; to processes that maintain alone, like the three that
    /// follow.
    pub const TEST: &str = "Test";
    /// To make what has to be in the target.
    pub const INSTALL: &str = "Install";
    /// To compare the target with what the CA holds.
    pub const RECONCILE: &str = "Reconcile";
    /// The end of that: what is left over.
    pub const RECONCILE_END: &str = "ReconcileEnd";
    /// The farewell; the last call.
    pub const SHUTDOWN: &str = "Shutdown";
    /// Which settings the module knows; before any greeting, like the three that follow.
    pub const GET_MANAGE_MODULE: &str = "GetManageModule";
    /// A fact about the module.
    pub const GET_PROPERTY: &str = "GetProperty";
    /// Whether one setting would do.
    pub const SET_PROPERTY: &str = "SetProperty";
    /// Whether these settings would do together.
    pub const CONFIGURE: &str = "Configure";
}

/// A call by the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Number of the call; the answer carries the same. Below 2^53, so that any JSON reader keeps it.
    pub id: u64,
    /// What is called.
    pub call: Call,
}

/// What a host can call.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// The greeting.
    Initialize(Initialize),
    /// Asks for one line that describes the module.
    GetDescription,
    /// Hands over an event.
    Notify(Box<Event>),
    /// Asks a policy module to decide about a request: [`Ruling`].
    VerifyRequest(Box<VerifyRequest>),
    /// Asks whether the target can be worked with: [`TestReport`](crate::maintain::TestReport).
    Test(Box<Test>),
    /// Makes what has to be in the target: [`InstallReport`](crate::maintain::InstallReport).
    Install(Install),
    /// Compares the target with what the CA holds: [`Compared`](crate::maintain::Compared).
    Reconcile(Box<Reconcile>),
    /// Ends that, with what is left over: [`Compared`](crate::maintain::Compared).
    ReconcileEnd(ReconcileEnd),
    /// The farewell: the module answers and exits.
    Shutdown,
    /// Which settings the module knows: [`ManageModule`](crate::manage::ManageModule). A module
    /// that does not manage itself answers this and the next three that there is no such method.
    GetManageModule,
    /// A fact about the module: a property, or null.
    GetProperty(GetProperty),
    /// Whether one setting would do: null, or [`CallError::REFUSED`] with the reason.
    SetProperty(SetProperty),
    /// Whether these settings would do together: null, or [`CallError::REFUSED`] with the reason.
    Configure(Configure),
}

/// What the host tells in its greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Initialize {
    /// Version of the protocol that the host speaks: [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION).
    pub protocol: u32,
    /// Optional parts of the protocol that the host can do, by name:
    /// [`CALL_BACKS`](crate::call_back::CALL_BACKS).
    #[serde(default)]
    pub features: Vec<String>,
    /// Name of the CA.
    pub config: String,
    /// Name under which the module is configured.
    pub module: String,
    /// What the module is asked to be: [`policy::ROLE`](crate::policy::ROLE) or
    /// [`maintain::ROLE`](crate::maintain::ROLE). Left out, it is an exit module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The module's settings from the configuration. The module refuses what it does not know.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// How many calls of `Notify` or `VerifyRequest` the host is willing to leave unanswered at the same time;
    /// 1 to [`WINDOW_MAX`](crate::WINDOW_MAX).
    pub window: u32,
    /// How long the host waits for the answer to one `Notify` or `VerifyRequest`, in milliseconds.
    pub deadline_ms: u64,
    /// With [`maintain::ROLE`](crate::maintain::ROLE): the module is told of a part only, because its
    /// exit has a filter or a list of events. What is in the target and in no `Reconcile` may be
    /// what another module was told of, and is nothing to be taken out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// The module's answer to the greeting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Initialized {
    /// Version of the protocol that the module speaks.
    pub protocol: u32,
    /// Those of the host's features that the module uses.
    #[serde(default)]
    pub features: Vec<String>,
    /// Events that the module wants: bits of [`exit_event`](crate::exit_event). 0 means none.
    pub event_mask: u32,
    /// How many calls of `Notify` may be unanswered at the same time: 1 to what was offered.
    pub window: u32,
}

/// What became of one attempt to deliver an event.
///
/// In JSON an object whose member `outcome` names the variant in lower case, beside its fields;
/// [`Outcome::TargetDown`] is a `retry` with the member `target`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done. The host does not deliver this event again.
    Accept,
    /// The event does not concern this module. Recorded, and not delivered again.
    Skip,
    /// Not now: deliver it again later.
    Retry {
        /// Earliest moment that makes sense, in milliseconds from now; `None` leaves it to the
        /// host, who never waits less than its own schedule says.
        after_ms: Option<u64>,
        /// Why, in one line for the operator.
        reason: String,
    },
    /// Not now, and it is not for this event's sake: the target can be neither reached nor used by
    /// anybody. Such an attempt does not bring the event nearer to being parked. A host that does not
    /// know of it reads a [`Outcome::Retry`].
    TargetDown {
        /// As in [`Outcome::Retry`].
        after_ms: Option<u64>,
        /// Why, in one line for the operator.
        reason: String,
    },
    /// Trying again is of no use until an operator has looked at it.
    Park {
        /// Why, in one line for the operator.
        reason: String,
    },
    /// An answer that this version does not understand, kept as it came. The host treats it as
    /// [`Outcome::Retry`]; a module never sends it.
    Unknown(serde_json::Map<String, serde_json::Value>),
}

impl Serialize for Outcome {
    /// By hand, because two variants have one name on the wire.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (name, target, after_ms, reason) = match self {
            Self::Accept => ("accept", false, None, ""),
            Self::Skip => ("skip", false, None, ""),
            Self::Retry { after_ms, reason } => ("retry", false, *after_ms, reason.as_str()),
            Self::TargetDown { after_ms, reason } => ("retry", true, *after_ms, reason.as_str()),
            Self::Park { reason } => ("park", false, None, reason.as_str()),
            Self::Unknown(members) => return members.serialize(serializer),
        };
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("outcome", name)?;
        if target {
            members.serialize_entry("target", &true)?;
        }
        if let Some(after_ms) = after_ms {
            members.serialize_entry("after_ms", &after_ms)?;
        }
        if !reason.is_empty() {
            members.serialize_entry("reason", reason)?;
        }
        members.end()
    }
}

impl<'de> Deserialize<'de> for Outcome {
    /// By hand, because what is derived takes numbers for names as well: `{"outcome":0}` would be
    /// [`Outcome::Accept`], and an event that nobody meant to accept would be lost.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = serde_json::Map::deserialize(deserializer)?;
        Ok(Self::known(&members).unwrap_or(Self::Unknown(members)))
    }
}

impl Outcome {
    /// Whether the event is to come again, whoever is to blame.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        matches!(self, Self::Retry { .. } | Self::TargetDown { .. })
    }

    /// The outcome that these members mean, if they mean one.
    fn known(members: &serde_json::Map<String, serde_json::Value>) -> Option<Self> {
        // What is null counts as left out: languages differ in how they write nothing.
        let member = |name| members.get(name).filter(|it| !it.is_null());
        let reason = || match member("reason") {
            None => Some(String::new()),
            Some(reason) => reason.as_str().map(str::to_owned),
        };
        match members.get("outcome")?.as_str()? {
            "accept" => Some(Self::Accept),
            "skip" => Some(Self::Skip),
            "retry" => {
                let after_ms = match member("after_ms") {
                    None => None,
                    Some(after_ms) => Some(after_ms.as_u64()?),
                };
                let reason = reason()?;
                Some(match member("target").and_then(serde_json::Value::as_bool) {
                    Some(true) => Self::TargetDown { after_ms, reason },
                    // Also where a later version says more: it is a retry in any case.
                    _ => Self::Retry { after_ms, reason },
                })
            }
            "park" => Some(Self::Park { reason: reason()? }),
            _ => None,
        }
    }
}

/// An answer by the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Number of the call, or `None` where the module could not read it.
    pub id: Option<u64>,
    /// The result, whose shape depends on the method, or the refusal.
    pub answer: Result<serde_json::Value, CallError>,
}

impl Response {
    /// Reads the result as the answer to `Initialize`.
    ///
    /// # Errors
    ///
    /// The module's own refusal, or [`CallError::INVALID_RESULT`] where the result has another shape.
    pub fn into_initialized(self) -> Result<Initialized, CallError> {
        self.into_result("Initialize")
    }

    /// Reads the result as the answer to `GetDescription`.
    ///
    /// # Errors
    ///
    /// As [`Response::into_initialized`].
    pub fn into_description(self) -> Result<String, CallError> {
        self.into_result("GetDescription")
    }

    /// Reads the result as the answer to `Notify`.
    ///
    /// # Errors
    ///
    /// As [`Response::into_initialized`].
    pub fn into_outcome(self) -> Result<Outcome, CallError> {
        self.into_result("Notify")
    }

    /// Reads the result as the answer to `VerifyRequest`.
    ///
    /// # Errors
    ///
    /// As [`Response::into_initialized`].
    pub fn into_ruling(self) -> Result<Ruling, CallError> {
        self.into_result("VerifyRequest")
    }

    fn into_result<T: serde::de::DeserializeOwned>(self, method: &str) -> Result<T, CallError> {
        serde_json::from_value(self.answer?).map_err(|err| {
            CallError::new(CallError::INVALID_RESULT, format!("result of {method}: {err}"))
        })
    }
}

/// A refusal: the error object of JSON-RPC 2.0, section 5.1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message} (code {code})")]
pub struct CallError {
    /// What kind: one of the constants, or the module's own.
    pub code: i64,
    /// One line for the operator.
    pub message: String,
    /// Whatever else the module wants to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<serde_json::Value>,
}

impl CallError {
    /// The line is no JSON (JSON-RPC 2.0, section 5.1).
    pub const PARSE: i64 = -32_700;
    /// The line is no request (JSON-RPC 2.0, section 5.1).
    pub const INVALID_REQUEST: i64 = -32_600;
    /// There is no such method (JSON-RPC 2.0, section 5.1).
    pub const METHOD_NOT_FOUND: i64 = -32_601;
    /// The parameters have another shape (JSON-RPC 2.0, section 5.1).
    pub const INVALID_PARAMS: i64 = -32_602;
    /// The module failed within (JSON-RPC 2.0, section 5.1).
    pub const INTERNAL: i64 = -32_603;
    /// The module refuses the greeting: its settings, or the version of the protocol. Ours, from
    /// the range that JSON-RPC 2.0 leaves to implementations.
    pub const REFUSED: i64 = -32_000;
    /// The peer's result has another shape than the method's. Ours; never on the wire.
    pub const INVALID_RESULT: i64 = -32_099;

    /// A refusal without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}
