//! Errors on their way out: every one becomes a problem document (RFC 9457).

use std::borrow::Cow;

use exeunt_api::{Problem, REQUEST_BYTES_MAX};
use exeunt_engine::{Blame, SubmitError};
use exeunt_types::RequestId;
use hyper::StatusCode;

use crate::settings::Limits;

/// What a client that was turned away for lack of a worker should wait, in seconds.
const RETRY_AFTER_S: &str = "1";

/// An error as the client will see it. Contains no internals.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    detail: Cow<'static, str>,
    hint: Option<&'static str>,
    request: Option<RequestId>,
    /// Name (lower case) and value of a header that belongs to the status.
    pub(crate) header: Option<(&'static str, &'static str)>,
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), hint: None, request: None, header: None }
    }

    fn hinted(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    fn with(self, name: &'static str, value: &'static str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid token is required")
            .hinted("send the header 'Authorization: Bearer TOKEN'")
            .with("www-authenticate", r#"Bearer realm="exeunt""#)
    }

    pub(crate) fn stranger() -> Self {
        let detail = "only the server's own user and root may use this socket";
        Self::new(StatusCode::FORBIDDEN, "peer-not-allowed", detail)
    }

    pub(crate) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "path-unknown", "there is nothing at this path")
            .hinted("every path of this version starts with /v1/")
    }

    pub(crate) fn method(allowed: &'static str) -> Self {
        let detail = format!("this path takes {allowed} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .with("allow", allowed)
    }

    pub(crate) fn url_too_long() -> Self {
        let detail = format!("path and query may be {} bytes long at most", Limits::URL_BYTES_MAX);
        Self::new(StatusCode::URI_TOO_LONG, "url-too-long", detail)
            .hinted("send attributes in 'Exeunt-Attribute' headers")
    }

    pub(crate) fn query(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "query-invalid", detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(crate) fn id_invalid(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn attribute(code: &'static str, detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn empty() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request-empty", "the body is empty")
            .hinted("the body is a PKCS#10 request in DER or PEM")
    }

    pub(crate) fn too_large() -> Self {
        let detail = format!("a request may be {REQUEST_BYTES_MAX} bytes long at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail)
    }

    pub(crate) fn too_slow() -> Self {
        let detail = "the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", detail)
    }

    pub(crate) fn cut_short() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request-cut-short", "the body ended too early")
    }

    pub(crate) fn busy() -> Self {
        let detail = "as many requests as this server takes are in flight";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server-busy", detail)
            .hinted("try again after the seconds in 'Retry-After'")
            .with("retry-after", RETRY_AFTER_S)
    }

    pub(crate) fn internal() -> Self {
        let detail = "a fault in the server; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The store did not answer a look-up.
    pub(crate) fn store(code: &'static str) -> Self {
        let detail = "the CA is unable to look this up at the moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
    }

    /// A submission that the engine could not decide. Status and log level follow from the blame.
    pub(crate) fn submit(err: &SubmitError, form: bool) -> Self {
        let status = match err.blame() {
            Blame::Requester => StatusCode::BAD_REQUEST,
            Blame::Operator => StatusCode::SERVICE_UNAVAILABLE,
            Blame::Us => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let fault =
            Self { request: err.request(), ..Self::new(status, err.code(), err.public_message()) };
        // A form's media type on a broken request is nearly always `curl -d`.
        if form && err.blame() == Blame::Requester {
            return fault.hinted("curl's -d drops line ends: send the file with --data-binary");
        }
        fault
    }

    /// The document.
    pub(crate) fn problem(&self) -> Problem {
        Problem {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone().into_owned(),
            code: self.code.to_owned(),
            hint: self.hint.map(str::to_owned),
            request_id: self.request.map(|it| it.0),
        }
    }
}
