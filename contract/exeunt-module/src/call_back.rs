//! Call-backs: what a module asks the host while it handles an event. Reading alone.
//!
//! They exist where both sides agreed on the feature [`CALL_BACKS`] in the greeting. Then an event
//! comes without what is large and rarely read (`RawRequest`), and the module fetches it when it
//! needs it. The messages go the other way than those of [`Call`](crate::Call): the module writes
//! the request, with an id of its own choosing, the host the response.

use serde::{Deserialize, Serialize};

use crate::{
    CallError, Extension, Response, Value,
    line::{self, LineError},
    property::{CERTSRV_E_PROPERTY_EMPTY, E_INVALIDARG},
};

/// Name of the feature in the greeting.
pub const CALL_BACKS: &str = "call-backs";

/// `HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND)`: an index that does not exist (winerror.h).
pub const E_FILE_NOT_FOUND: u32 = 0x8007_0002;

/// A call-back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallBack {
    /// Number that the module gave it; the response carries the same.
    pub id: u64,
    /// What is asked.
    pub query: Query,
}

/// What a module can ask. The names of the variants are the names of the methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// A property of the request.
    GetRequestProperty(Asked),
    /// An attribute of the request.
    GetRequestAttribute(Asked),
    /// A property of the certificate; with [`Asked::seq`] 0, of the CA.
    GetCertificateProperty(Asked),
    /// An extension, by its OID in dotted form.
    GetCertificateExtension(Asked),
}

/// Parameters of a call-back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asked {
    /// Number of an event that the module has in hand, unanswered; 0 means the CA itself, the
    /// original's context 0.
    pub seq: u64,
    /// Name of the property or attribute, or OID of the extension.
    pub name: String,
    /// Type that the value must have, as [`Value::type_name`] says it; any if left out.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub value_type: Option<String>,
}

impl Query {
    /// Name of the method, as it stands in the message.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::GetRequestProperty(_) => "GetRequestProperty",
            Self::GetRequestAttribute(_) => "GetRequestAttribute",
            Self::GetCertificateProperty(_) => "GetCertificateProperty",
            Self::GetCertificateExtension(_) => "GetCertificateExtension",
        }
    }

    /// The parameters.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        match self {
            Self::GetRequestProperty(asked)
            | Self::GetRequestAttribute(asked)
            | Self::GetCertificateProperty(asked)
            | Self::GetCertificateExtension(asked) => asked,
        }
    }
}

/// What the host found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Found {
    /// An extension, with its flags.
    Extension(Extension),
    /// A property; an attribute as [`Value::String`].
    Value(Value),
}

/// Why the host gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It has no value here: [`CERTSRV_E_PROPERTY_EMPTY`]. Ordinary.
    Empty,
    /// Another type than asked for, a name that cannot be, or an event that is not in hand:
    /// [`E_INVALIDARG`].
    Invalid,
    /// The name's index is beyond the last: [`E_FILE_NOT_FOUND`].
    NotFound,
}

impl Refusal {
    /// The original's code.
    #[must_use]
    pub fn hresult(self) -> u32 {
        match self {
            Self::Empty => CERTSRV_E_PROPERTY_EMPTY,
            Self::Invalid => E_INVALIDARG,
            Self::NotFound => E_FILE_NOT_FOUND,
        }
    }

    /// Code of the error in the response.
    #[must_use]
    pub fn call_code(self) -> i64 {
        match self {
            Self::Empty => -32_001,
            Self::Invalid => -32_002,
            Self::NotFound => -32_003,
        }
    }

    /// The error of the response. The original's code is its member `data.hresult`.
    #[must_use]
    pub fn into_error(self, message: impl Into<String>) -> CallError {
        let data = serde_json::json!({ "hresult": self.hresult() });
        CallError { code: self.call_code(), message: message.into(), data: Some(data) }
    }

    /// The refusal that an error means, if it is one.
    #[must_use]
    pub fn from_error(error: &CallError) -> Option<Self> {
        [Self::Empty, Self::Invalid, Self::NotFound]
            .into_iter()
            .find(|it| it.call_code() == error.code)
    }
}

/// Reads a module's line as a call-back. Members that are not known are passed over.
///
/// # Errors
///
/// [`LineError::Malformed`] with what the host answers, also for a method that does not exist:
/// there is none that changes anything. [`LineError::Notification`], [`LineError::TooLong`].
pub fn parse_call_back(line: &[u8]) -> Result<CallBack, LineError> {
    let (id, method, params) = line::parse_envelope(line)?;
    let query = match method.as_str() {
        "GetRequestProperty" => Query::GetRequestProperty,
        "GetRequestAttribute" => Query::GetRequestAttribute,
        "GetCertificateProperty" => Query::GetCertificateProperty,
        "GetCertificateExtension" => Query::GetCertificateExtension,
        other => return Err(line::no_method(id, other)),
    };
    let asked = serde_json::from_str(params).map_err(|err| {
        let text = format!("parameters of {method}: {err}");
        line::malformed(Some(id), CallError::INVALID_PARAMS, text)
    })?;
    Ok(CallBack { id, query: query(asked) })
}

/// Appends a call-back as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_call_back(out: &mut Vec<u8>, call_back: &CallBack) -> Result<(), LineError> {
    line::write_call(out, call_back.id, call_back.query.method(), call_back.query.asked())
}

/// Appends the host's answer to a call-back as a line.
///
/// # Errors
///
/// [`LineError::TooLong`]; the buffer is as it was.
pub fn write_found(
    out: &mut Vec<u8>,
    id: u64,
    answer: Result<&Found, CallError>,
) -> Result<(), LineError> {
    match answer {
        Ok(found) => line::write_result(out, Some(id), found),
        Err(error) => line::write_response(out, &Response { id: Some(id), answer: Err(error) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_back_survives_the_wire() {
        let asked =
            Asked { seq: 9, name: "RawRequest".to_owned(), value_type: Some("binary".to_owned()) };
        let call_back = CallBack { id: 3, query: Query::GetRequestProperty(asked) };
        let mut line = Vec::new();
        write_call_back(&mut line, &call_back).unwrap();
        let text = String::from_utf8(line.clone()).unwrap();
        let expected = r#"{"jsonrpc":"2.0","id":3,"method":"GetRequestProperty","params":{"seq":9,"name":"RawRequest","type":"binary"}}"#;
        assert_eq!(text.trim_end(), expected);
        assert_eq!(parse_call_back(&line).unwrap(), call_back);
    }

    #[test]
    fn there_is_no_call_back_that_changes_anything() {
        for method in ["SetCertificateProperty", "SetCertificateExtension", "Notify", "Shutdown"] {
            let line = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{"seq":1,"name":"x"}}}}"#
            );
            let Err(LineError::Malformed { id: Some(1), refusal }) =
                parse_call_back(line.as_bytes())
            else {
                panic!("{method} was accepted");
            };
            assert_eq!(refusal.code, CallError::METHOD_NOT_FOUND);
        }
    }

    #[test]
    fn what_is_found_and_what_is_refused_read_back_as_they_were() {
        let founds = [
            Found::Value(Value::Binary(vec![0, 1])),
            Found::Value(Value::Long(-1)),
            Found::Extension(Extension { flags: 0x1_0001, value: vec![5, 0] }),
        ];
        for found in founds {
            let mut line = Vec::new();
            write_found(&mut line, 7, Ok(&found)).unwrap();
            let response = line::parse_response(&line).unwrap();
            let read: Found = serde_json::from_value(response.answer.unwrap()).unwrap();
            assert_eq!((response.id, read), (Some(7), found));
        }
        for refusal in [Refusal::Empty, Refusal::Invalid, Refusal::NotFound] {
            let mut line = Vec::new();
            write_found(&mut line, 7, Err(refusal.into_error("no"))).unwrap();
            let error = line::parse_response(&line).unwrap().answer.unwrap_err();
            assert_eq!(Refusal::from_error(&error), Some(refusal));
            assert_eq!(error.data.unwrap()["hresult"], refusal.hresult());
        }
    }
}
