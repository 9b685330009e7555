//! Errors on their way out: every one becomes a problem document (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use exeunt_api::{IMPORT_BYTES_MAX, OCSP_REQUEST_BYTES_MAX, Problem, REQUEST_BYTES_MAX};
use exeunt_engine::{
    Blame, ClientCertificateError, CrlError, ExchangeError, OfficerError, RecoveryError,
    ResponseError, SubmitError,
};
use exeunt_types::{RecoveryRefusal, RequestId, Roles};
use hyper::StatusCode;

use crate::exits::{Refusal, RefusalKind};
use crate::settings::Limits;

/// What a client that was turned away for lack of a worker should wait, in seconds.
const RETRY_AFTER_S: &str = "1";

const ATTRIBUTE_HINT: &str =
    "an attribute is NAME:VALUE, for example CertificateTemplate:tls-server";
const RESTRICTED_HINT: &str = "see whom he decides about: exeunt principal list";
const LOG_HINT: &str = "the CA's administrator finds the reason in the server's log";
const MESSAGE_HINT: &str = "docs/manual/cmc.md says what a message around a request has to be";
const REQUEST_HINT: &str = "is it a certificate request? look: openssl req -in FILE -noout -text";

/// What whoever sent a submission can do about its failure.
fn submit_hint(err: &SubmitError) -> &'static str {
    match err {
        SubmitError::Unreadable { source } => match source.code() {
            "request-key-unsupported" | "request-key-too-small" | "request-key-invalid" => {
                "use RSA of 2048 to 8192 bits, P-256, P-384, P-521, Ed25519 or ML-DSA"
            }
            "request-name-invalid" | "request-san-invalid" => {
                "look at the names: openssl req -in FILE -noout -text"
            }
            code if code.starts_with("request-message") => MESSAGE_HINT,
            _ => REQUEST_HINT,
        },
        SubmitError::Attributes { .. } => ATTRIBUTE_HINT,
        SubmitError::TemplateConflict { .. } => "name the template once",
        SubmitError::AttributeSigned { .. } => "leave it out, or sign the message anew",
        SubmitError::Key { .. } => "docs/manual/key-archival.md says how a private key is sent",
        SubmitError::Message { .. } => "docs/manual/cmc.md says who has to sign",
        SubmitError::BadSignature { .. } => {
            "the request was changed after it was signed, or signed with another key: make it anew"
        }
        SubmitError::OfficerLint { .. } => {
            "leave out or change what breaks it: exeunt request set-extension"
        }
        SubmitError::OwnApproval { .. } => {
            "another certificate manager approves it; see who there is: exeunt principal list"
        }
        SubmitError::ApprovedAlready { .. } => {
            "see who has approved it: exeunt request show, with its number"
        }
        _ => LOG_HINT,
    }
}

/// An error as the client will see it. Contains no internals.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    detail: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    request: Option<RequestId>,
    /// Name (lower case) and value of a header that belongs to the status.
    pub(crate) header: Option<(&'static str, Box<str>)>,
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, hint: None, request: None, header: None }
    }

    fn hinted(self, hint: &'static str) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn with(self, name: &'static str, value: impl Into<Box<str>>) -> Self {
        Self { header: Some((name, value.into())), ..self }
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid token is required")
            .hinted("send the header 'Authorization: Bearer TOKEN'")
            .with("www-authenticate", r#"Bearer realm="exeunt""#)
    }

    /// A client's certificate is not taken, or not any more.
    pub(crate) fn client_certificate(err: &ClientCertificateError) -> Self {
        Self::new(StatusCode::FORBIDDEN, err.code(), err.to_string())
            .hinted("come with another certificate, or without one where the door lets you")
            .with("connection", "close")
    }

    /// The certificate of a client, which another CA has issued, is good no longer.
    pub(crate) fn certificate_not_good(code: &'static str) -> Self {
        let detail = "the client's certificate is not taken any more";
        Self::new(StatusCode::FORBIDDEN, code, detail)
            .hinted("come with another certificate, or without one where the door lets you")
            .with("connection", "close")
    }

    pub(crate) fn tls_required() -> Self {
        let detail = "this address speaks TLS, and not plain HTTP";
        Self::new(StatusCode::BAD_REQUEST, "tls-required", detail).hinted("use https://")
    }

    pub(crate) fn stranger() -> Self {
        let detail = "only the server's own user, root and users of principals may use this socket, \
                      and no exit module";
        Self::new(StatusCode::FORBIDDEN, "peer-not-allowed", detail)
            .hinted("use the address that the server listens on, with a token")
    }

    pub(crate) fn token_expired() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token-expired", "the token has expired")
            .hinted("the CA's administrator makes a new one: exeunt token add")
            .with("www-authenticate", r#"Bearer realm="exeunt", error="invalid_token""#)
    }

    pub(crate) fn token_elsewhere() -> Self {
        let detail = "the token does not count from this address";
        Self::new(StatusCode::FORBIDDEN, "token-elsewhere", detail)
            .hinted("see from where it counts: exeunt token list")
    }

    pub(crate) fn certificate_of_nobody() -> Self {
        let detail = "no principal has the client's certificate";
        Self::new(StatusCode::UNAUTHORIZED, "certificate-of-nobody", detail)
            .hinted("the CA's administrator names it in a [[principal]] of exeunt.toml")
            .with("www-authenticate", r#"Bearer realm="exeunt""#)
    }

    pub(crate) fn principal_disabled() -> Self {
        let detail = "the principal is switched off";
        Self::new(StatusCode::FORBIDDEN, "principal-disabled", detail)
            .hinted("the CA's administrator switches it on: [[principal]] of exeunt.toml")
    }

    pub(crate) fn guessing(left: Duration) -> Self {
        let detail = "too many wrong tokens came from this address";
        // Rounded up: not a moment too early.
        let seconds = left.as_secs() + 1;
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-guesses", detail)
            .hinted("try again after the seconds in 'Retry-After', with the right token")
            .with("retry-after", seconds.to_string())
    }

    /// The caller has none of the rights that this takes.
    pub(crate) fn role_missing(needs: Roles) -> Self {
        let names: Vec<&str> = needs.iter().map(|(name, _)| name).collect();
        let detail = match names[..] {
            [name] => format!("this takes the role {name}"),
            _ => format!("this takes one of the roles {}", names.join(", ")),
        };
        Self::new(StatusCode::FORBIDDEN, "role-missing", detail).hinted(
            "who may do what is in docs/roles.md; who has which roles: exeunt principal list",
        )
    }

    /// What was asked for is somebody else's.
    pub(crate) fn not_own(needs: Roles) -> Self {
        let detail =
            format!("an enrollee reads what is his own; this takes one of the roles {needs}");
        Self { detail: detail.into(), ..Self::role_missing(needs) }
    }

    /// A certificate manager with limits asked for what knows none.
    pub(crate) fn manager_restricted() -> Self {
        let detail = "this certificate manager is limited to some templates or requesters";
        Self::new(StatusCode::FORBIDDEN, "manager-restricted", detail).hinted(RESTRICTED_HINT)
    }

    /// Whether somebody was refused for what he is, and not for what he asked.
    pub(crate) fn is_about_access(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            || self.code == "too-many-guesses"
    }

    pub(crate) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "path-unknown", "there is nothing at this path")
            .hinted("every path of this version starts with /v1/")
    }

    pub(crate) fn method(allowed: String) -> Self {
        let detail = format!("this path takes {allowed} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .hinted("the header 'Allow' names what it takes")
            .with("allow", allowed)
    }

    pub(crate) fn url_too_long() -> Self {
        let detail = format!("path and query may be {} bytes long at most", Limits::URL_BYTES_MAX);
        Self::new(StatusCode::URI_TOO_LONG, "url-too-long", detail)
            .hinted("send attributes in 'Exeunt-Attribute' headers")
    }

    pub(crate) fn head_too_long() -> Self {
        let detail = format!("a head may be {} bytes long at most", Limits::HEAD_BYTES_MAX);
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-long", detail)
            .hinted("send fewer or shorter headers")
    }

    pub(crate) fn query(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "query-invalid", detail).hinted(
            "docs/api.md says what each path takes; of lists docs/manual/lookups.md as well",
        )
    }

    /// A list's filter, order or place that cannot be meant.
    pub(crate) fn filter(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "filter-invalid", detail)
            .hinted("docs/manual/lookups.md says what lists can be asked")
    }

    pub(crate) fn not_found(code: &'static str, detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail).hinted(match code {
            "request-not-found" => "see what there is: exeunt request list",
            "crl-not-found" => "see what there is: exeunt crl list",
            "template-not-found" => "see what there is: exeunt template list",
            _ => "see what there is: exeunt cert list; one of another CA is named by its request",
        })
    }

    pub(crate) fn id_invalid(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
            .hinted("copy it from the list that shows it")
    }

    pub(crate) fn attribute(code: &'static str, detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail).hinted(ATTRIBUTE_HINT)
    }

    pub(crate) fn empty() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request-empty", "the body is empty")
            .hinted("the body is a request in DER or PEM: PKCS#10, PKCS#7 or CMC")
    }

    pub(crate) fn too_large() -> Self {
        let detail = format!("a request may be {REQUEST_BYTES_MAX} bytes long at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request-too-large", detail).hinted(REQUEST_HINT)
    }

    pub(crate) fn ocsp_too_large() -> Self {
        let detail = format!("an OCSP request may be {OCSP_REQUEST_BYTES_MAX} bytes long at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "ocsp-request-too-large", detail)
            .hinted("ask for fewer certificates at once")
    }

    pub(crate) fn import_too_large() -> Self {
        let detail = format!("an import may be {IMPORT_BYTES_MAX} bytes long at most");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "import-too-large", detail)
            .hinted("send fewer certificates at once")
    }

    pub(crate) fn idempotency_key() -> Self {
        let most = exeunt_api::IDEMPOTENCY_KEY_BYTES_MAX;
        let detail = format!(
            "an idempotency key is 1 to {most} printable characters of ASCII \
             without blanks, quotation marks and backslashes, and there is one at most"
        );
        Self::new(StatusCode::BAD_REQUEST, "idempotency-key-invalid", detail)
            .hinted("a random number does: uuidgen")
    }

    pub(crate) fn idempotency_in_flight(request: RequestId) -> Self {
        let detail =
            "the request with this idempotency key has come to no end yet, or to a bad one";
        let fault = Self::new(StatusCode::CONFLICT, "idempotency-key-in-flight", detail);
        Self { request: Some(request), ..fault }
            .hinted("send it again after the seconds in 'Retry-After'")
            .with("retry-after", RETRY_AFTER_S)
    }

    /// The key stands for another request.
    fn idempotency_reused(err: &SubmitError) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, err.code(), err.public_message())
            .hinted("take another key for another request")
    }

    pub(crate) fn too_slow() -> Self {
        let detail = "the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", detail).hinted("send it again")
    }

    pub(crate) fn cut_short() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request-cut-short", "the body ended too early")
            .hinted("send it again")
    }

    pub(crate) fn busy() -> Self {
        let detail = "as many requests as this server takes are in flight";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server-busy", detail)
            .hinted("try again after the seconds in 'Retry-After'")
            .with("retry-after", RETRY_AFTER_S)
    }

    pub(crate) fn manage_local_only() -> Self {
        let detail = "this is done on the CA's own machine";
        Self::new(StatusCode::FORBIDDEN, "manage-local-only", detail)
            .hinted("use the Unix socket: --home DIR instead of --server")
    }

    /// An order that cannot be, whatever there is.
    pub(crate) fn order(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "order-invalid", detail)
            .hinted("docs/api.md says what this path takes")
    }

    /// What the engine refused to an officer. Status and log level follow from the error.
    pub(crate) fn officer(err: &OfficerError) -> Self {
        let message = err.public_message();
        let (status, hint) = match err {
            OfficerError::RequestUnknown(_) => {
                return Self::not_found("request-not-found", message);
            }
            OfficerError::CertificateUnknown(_) => {
                return Self::not_found("certificate-not-found", message);
            }
            OfficerError::Submit { source } => return Self::submit(source, false),
            OfficerError::WrongState { .. } => {
                (StatusCode::CONFLICT, "see how it stands: exeunt request show, with its number")
            }
            OfficerError::NotOnHold(_) | OfficerError::HoldOfRevoked(_) => {
                (StatusCode::CONFLICT, "only certificate-hold can be taken back")
            }
            OfficerError::ChangedMeanwhile(_) => {
                (StatusCode::CONFLICT, "look at it, and try again")
            }
            OfficerError::Restricted(_) => (StatusCode::FORBIDDEN, RESTRICTED_HINT),
            OfficerError::Attributes { .. } => (StatusCode::BAD_REQUEST, ATTRIBUTE_HINT),
            _ => match err.blame() {
                Blame::Requester => (StatusCode::BAD_REQUEST, "change the order"),
                Blame::Operator => (StatusCode::SERVICE_UNAVAILABLE, LOG_HINT),
                Blame::Us => (StatusCode::INTERNAL_SERVER_ERROR, LOG_HINT),
            },
        };
        Self::new(status, err.code(), message).hinted(hint)
    }

    /// Why there is no exchange certificate.
    pub(crate) fn exchange(err: &ExchangeError) -> Self {
        let (status, hint) = match err.blame() {
            Blame::Requester => (
                StatusCode::NOT_FOUND,
                "the CA's administrator names recovery agents: docs/manual/key-archival.md",
            ),
            Blame::Operator => (StatusCode::SERVICE_UNAVAILABLE, LOG_HINT),
            Blame::Us => (StatusCode::INTERNAL_SERVER_ERROR, LOG_HINT),
        };
        Self::new(status, err.code(), err.public_message()).hinted(hint)
    }

    /// Why an archived key is not recovered, or none is archived.
    pub(crate) fn recovery(err: &RecoveryError) -> Self {
        const HOW_HINT: &str = "docs/manual/key-archival.md says how keys are recovered";
        let (status, hint) = match err {
            RecoveryError::Officer(err) => return Self::officer(err),
            RecoveryError::NotAllowed => (StatusCode::FORBIDDEN, HOW_HINT),
            RecoveryError::NoKey(_) => (StatusCode::NOT_FOUND, HOW_HINT),
            RecoveryError::Refused { refusal, .. } => match refusal {
                RecoveryRefusal::Unknown => {
                    (StatusCode::NOT_FOUND, "see what there is: exeunt key list")
                }
                RecoveryRefusal::SamePerson | RecoveryRefusal::Stranger => {
                    (StatusCode::FORBIDDEN, HOW_HINT)
                }
                _ => (StatusCode::CONFLICT, "see how it stands: exeunt key list"),
            },
            RecoveryError::KeyThere(_)
            | RecoveryError::NoCertificate { .. }
            | RecoveryError::Off => (StatusCode::CONFLICT, HOW_HINT),
            _ => match err.blame() {
                Blame::Requester => (StatusCode::BAD_REQUEST, HOW_HINT),
                Blame::Operator => (StatusCode::SERVICE_UNAVAILABLE, LOG_HINT),
                Blame::Us => (StatusCode::INTERNAL_SERVER_ERROR, LOG_HINT),
            },
        };
        Self::new(status, err.code(), err.public_message()).hinted(hint)
    }

    /// Why a revocation list was not made.
    pub(crate) fn list_not_made(err: &CrlError) -> Self {
        let (status, hint) = match err.blame() {
            Blame::Requester if matches!(err, CrlError::NextPublishPast) => {
                (StatusCode::CONFLICT, "give a moment that is still to come, or none")
            }
            Blame::Requester => (StatusCode::CONFLICT, "look at [crl] in exeunt.toml"),
            Blame::Operator => (StatusCode::SERVICE_UNAVAILABLE, LOG_HINT),
            Blame::Us => (StatusCode::INTERNAL_SERVER_ERROR, LOG_HINT),
        };
        Self::new(status, err.code(), err.public_message()).hinted(hint)
    }

    /// There is no list under the name that relying parties know.
    pub(crate) fn no_list() -> Self {
        let detail = "this CA has published no such revocation list";
        Self::new(StatusCode::NOT_FOUND, "crl-not-published", detail)
            .hinted("the CA's administrator makes one: exeunt crl publish")
    }

    /// A list is on record, and its file is not what it was.
    pub(crate) fn list_file(number: u64) -> Self {
        let detail = format!("the file of revocation list {number} is missing or damaged");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "crl-file-missing", detail)
            .hinted("the CA's administrator makes a new one: exeunt crl publish")
    }

    pub(crate) fn json(err: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body-invalid", format!("the body does not do: {err}"))
            .hinted("it is one JSON object with the members of this path and no others")
    }

    /// What whoever manages the modules refused.
    pub(crate) fn refusal(refusal: Refusal) -> Self {
        let Refusal { kind, code, detail, hint } = refusal;
        let status = match kind {
            RefusalKind::Missing => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Invalid => StatusCode::BAD_REQUEST,
            RefusalKind::Unable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let hint = Some(Cow::Owned(hint));
        Self { status, code, detail: detail.into(), hint, request: None, header: None }
    }

    pub(crate) fn internal() -> Self {
        let detail = "a fault in the server; its log says more";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).hinted(LOG_HINT)
    }

    /// The store did not answer a look-up.
    pub(crate) fn store(code: &'static str) -> Self {
        let detail = "the CA is unable to look this up at the moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).hinted(LOG_HINT)
    }

    /// A submission that the engine could not decide. Status and log level follow from the blame.
    pub(crate) fn submit(err: &SubmitError, form: bool) -> Self {
        if matches!(err, SubmitError::KeyReused) {
            return Self::idempotency_reused(err);
        }
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
        fault.hinted(submit_hint(err))
    }

    /// What was decided stands, and cannot be said in CMC.
    pub(crate) fn cms(err: &ResponseError, request: Option<RequestId>) -> Self {
        let status = match err.blame() {
            Blame::Requester => StatusCode::BAD_REQUEST,
            Blame::Operator => StatusCode::SERVICE_UNAVAILABLE,
            Blame::Us => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let detail = "the CA is unable to answer in CMC at the moment; what it decided stands";
        let fault = Self { request, ..Self::new(status, err.code(), detail) };
        fault.hinted("fetch it by its number: POST /v1/requests/{id}/retrieve")
    }

    /// The document.
    pub(crate) fn problem(&self) -> Problem {
        Problem {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone().into_owned(),
            code: self.code.to_owned(),
            hint: self.hint.clone().map(Cow::into_owned),
            request_id: self.request.map(|it| it.0),
        }
    }
}
