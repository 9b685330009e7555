//! Lines to messages and messages to lines.
//!
//! A line is one JSON object in UTF-8 and a line feed. The readers take it without or with the line
//! feed, answer every possible sequence of bytes with a message or an error, and never panic. The
//! writers append to a buffer, so that many lines go out in one write.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Call, CallError, Event, Initialize, Initialized, LINE_BYTES_MAX, Outcome, Request, Response,
    method,
    policy::{Ruling, VerifyRequest},
};

/// Why a line is not a message.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Longer than [`LINE_BYTES_MAX`]. To the writer: nothing was appended.
    #[error("a line of {bytes} bytes is longer than the allowed {LINE_BYTES_MAX}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A request without an id. JSON-RPC forbids to answer it: leave it unanswered.
    #[error("a notification that this version does not know")]
    Notification,
    /// Not the message that it should be.
    #[error("{refusal}")]
    Malformed {
        /// Number of the call, where it could be read.
        id: Option<u64>,
        /// What a module answers.
        refusal: CallError,
    },
}

impl LineError {
    /// Stable code for logs. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "line-too-long",
            Self::Notification => "line-notification",
            Self::Malformed { .. } => "line-malformed",
        }
    }

    /// What a module answers to such a line; `None` means nothing.
    #[must_use]
    pub fn into_response(self) -> Option<Response> {
        match self {
            Self::Notification => None,
            Self::Malformed { id, refusal } => Some(Response { id, answer: Err(refusal) }),
            Self::TooLong { .. } => Some(Response {
                id: None,
                answer: Err(CallError::new(CallError::INVALID_REQUEST, self.to_string())),
            }),
        }
    }
}

/// Reads a host's line. Members that are not known are passed over.
///
/// # Errors
///
/// [`LineError::Malformed`] with the refusal to answer, [`LineError::Notification`] or
/// [`LineError::TooLong`].
pub fn parse_request(line: &[u8]) -> Result<Request, LineError> {
    let (id, name, params) = parse_envelope(line)?;
    let call = match name.as_str() {
        method::INITIALIZE => serde_json::from_str(params).map(Call::Initialize),
        method::GET_DESCRIPTION => Ok(Call::GetDescription),
        method::NOTIFY => serde_json::from_str::<NotifyParams<Box<Event>>>(params)
            .map(|params| Call::Notify(params.event)),
        method::VERIFY_REQUEST => serde_json::from_str(params).map(Call::VerifyRequest),
        method::TEST => serde_json::from_str(params).map(Call::Test),
        method::INSTALL => serde_json::from_str(params).map(Call::Install),
        method::RECONCILE => serde_json::from_str(params).map(Call::Reconcile),
        method::RECONCILE_END => serde_json::from_str(params).map(Call::ReconcileEnd),
        method::SHUTDOWN => Ok(Call::Shutdown),
        method::GET_MANAGE_MODULE => Ok(Call::GetManageModule),
        method::GET_PROPERTY => serde_json::from_str(params).map(Call::GetProperty),
        method::SET_PROPERTY => serde_json::from_str(params).map(Call::SetProperty),
        method::CONFIGURE => serde_json::from_str(params).map(Call::Configure),
        other => return Err(no_method(id, other)),
    };
    let call = call.map_err(|err| {
        let text = format!("parameters of {name}: {err}");
        malformed(Some(id), CallError::INVALID_PARAMS, text)
    })?;
    Ok(Request { id, call })
}

/// Id, method and parameters of a request.
pub(crate) fn parse_envelope(line: &[u8]) -> Result<(u64, String, &str), LineError> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        id: Option<serde_json::Value>,
        method: String,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }

    let Envelope { id, method, params } = parse(line)?;
    let Some(id) = id else { return Err(LineError::Notification) };
    let id = id.as_u64().ok_or_else(|| {
        malformed(None, CallError::INVALID_REQUEST, "the id is no number of a call")
    })?;
    Ok((id, method, params.map_or("{}", RawValue::get)))
}

pub(crate) fn no_method(id: u64, name: &str) -> LineError {
    // The name is the peer's: it is shown escaped and cut.
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    malformed(Some(id), CallError::METHOD_NOT_FOUND, format!("there is no method {shown}"))
}

/// Reads a module's line. Members that are not known are passed over.
///
/// # Errors
///
/// [`LineError::Malformed`] or [`LineError::TooLong`].
pub fn parse_response(line: &[u8]) -> Result<Response, LineError> {
    #[derive(Deserialize)]
    struct Envelope {
        id: Option<serde_json::Value>,
        // `Some(Null)` is the result null, and `None` is no result.
        #[serde(default, deserialize_with = "present")]
        result: Option<serde_json::Value>,
        error: Option<CallError>,
    }

    let envelope: Envelope = parse(line)?;
    let id = match envelope.id {
        None => None,
        Some(id) => Some(id.as_u64().ok_or_else(|| {
            malformed(None, CallError::INVALID_REQUEST, "the id is no number of a call")
        })?),
    };
    let answer = match (envelope.result, envelope.error) {
        (_, Some(refusal)) => Err(refusal),
        (Some(result), None) => Ok(result),
        (None, None) => {
            let text = "an answer without a result and without an error";
            return Err(malformed(id, CallError::INVALID_REQUEST, text));
        }
    };
    Ok(Response { id, answer })
}

/// Appends a host's call as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_request(out: &mut Vec<u8>, request: &Request) -> Result<(), LineError> {
    match &request.call {
        Call::Initialize(initialize) => write_initialize(out, request.id, initialize),
        Call::GetDescription => write_call(out, request.id, method::GET_DESCRIPTION, &Empty {}),
        Call::Notify(event) => write_notify(out, request.id, event),
        Call::VerifyRequest(asked) => write_verify_request(out, request.id, asked),
        Call::Test(params) => write_call(out, request.id, method::TEST, params),
        Call::Install(params) => write_call(out, request.id, method::INSTALL, params),
        Call::Reconcile(params) => write_call(out, request.id, method::RECONCILE, params),
        Call::ReconcileEnd(params) => write_call(out, request.id, method::RECONCILE_END, params),
        Call::Shutdown => write_call(out, request.id, method::SHUTDOWN, &Empty {}),
        Call::GetManageModule => write_call(out, request.id, method::GET_MANAGE_MODULE, &Empty {}),
        Call::GetProperty(params) => write_call(out, request.id, method::GET_PROPERTY, params),
        Call::SetProperty(params) => write_call(out, request.id, method::SET_PROPERTY, params),
        Call::Configure(params) => write_call(out, request.id, method::CONFIGURE, params),
    }
}

/// Appends a call of `Initialize` as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_initialize(
    out: &mut Vec<u8>,
    id: u64,
    initialize: &Initialize,
) -> Result<(), LineError> {
    write_call(out, id, method::INITIALIZE, initialize)
}

/// Appends a call of `Notify` as a line, without copying the event.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_notify(out: &mut Vec<u8>, id: u64, event: &Event) -> Result<(), LineError> {
    write_call(out, id, method::NOTIFY, &NotifyParams { event })
}

/// Appends a call of `VerifyRequest` as a line, without copying what is asked.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_verify_request(
    out: &mut Vec<u8>,
    id: u64,
    asked: &VerifyRequest,
) -> Result<(), LineError> {
    write_call(out, id, method::VERIFY_REQUEST, asked)
}

/// Appends the answer to `VerifyRequest` as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_ruling(out: &mut Vec<u8>, id: u64, ruling: &Ruling) -> Result<(), LineError> {
    write_result(out, Some(id), ruling)
}

/// Appends a module's answer as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_response(out: &mut Vec<u8>, response: &Response) -> Result<(), LineError> {
    match &response.answer {
        Ok(result) => write_result(out, response.id, result),
        Err(error) => write(
            out,
            &Answer::<()> { jsonrpc: "2.0", id: response.id, result: None, error: Some(error) },
        ),
    }
}

/// Appends the answer to `Initialize` as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_initialized(
    out: &mut Vec<u8>,
    id: u64,
    initialized: &Initialized,
) -> Result<(), LineError> {
    write_result(out, Some(id), initialized)
}

/// Appends the answer to `Notify` as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_outcome(out: &mut Vec<u8>, id: u64, outcome: &Outcome) -> Result<(), LineError> {
    write_result(out, Some(id), outcome)
}

#[derive(Serialize, Deserialize)]
struct NotifyParams<E> {
    event: E,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Answer<'a, T> {
    jsonrpc: &'static str,
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a CallError>,
}

pub(crate) fn write_result<T: Serialize>(
    out: &mut Vec<u8>,
    id: Option<u64>,
    result: &T,
) -> Result<(), LineError> {
    write(out, &Answer { jsonrpc: "2.0", id, result: Some(result), error: None })
}

pub(crate) fn write_call<T: Serialize>(
    out: &mut Vec<u8>,
    id: u64,
    method: &'static str,
    params: &T,
) -> Result<(), LineError> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        jsonrpc: &'static str,
        id: u64,
        method: &'static str,
        params: &'a T,
    }
    write(out, &Envelope { jsonrpc: "2.0", id, method, params })
}

fn write<T: Serialize>(out: &mut Vec<u8>, message: &T) -> Result<(), LineError> {
    let start = out.len();
    serde_json::to_writer(&mut *out, message)
        .expect("BUG: our messages have text keys, and writing to memory does not fail");
    let bytes = out.len() - start;
    if LINE_BYTES_MAX < bytes {
        out.truncate(start);
        return Err(LineError::TooLong { bytes });
    }
    out.push(b'\n');
    Ok(())
}

fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, LineError> {
    if LINE_BYTES_MAX < line.strip_suffix(b"\n").unwrap_or(line).len() {
        return Err(LineError::TooLong { bytes: line.len() });
    }
    if line.trim_ascii_start().first() == Some(&b'[') {
        let text = "one message a line; there are no batches";
        return Err(malformed(None, CallError::INVALID_REQUEST, text));
    }
    serde_json::from_slice(line).map_err(|err| {
        let code = if err.is_data() { CallError::INVALID_REQUEST } else { CallError::PARSE };
        malformed(None, code, err.to_string())
    })
}

pub(crate) fn malformed(id: Option<u64>, code: i64, message: impl Into<String>) -> LineError {
    LineError::Malformed { id, refusal: CallError::new(code, message) }
}

fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}
