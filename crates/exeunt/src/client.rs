//! The client's side of the API: over the Unix socket of the home, or over HTTPS with a token or a
//! certificate.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use exeunt_api::{
    ATTRIBUTE_HEADER, DISPOSITION_HEADER, IDEMPOTENCY_KEY_HEADER, Problem, REQUEST_HEADER,
    REQUESTS_PATH, SubmitAnswer, TrialAnswer,
};
use exeunt_keys::secret_file;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::ACCEPT;
use reqwest::{Certificate, Identity, Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::Door;
use crate::failure::{Failure, chain};
use crate::home::Home;
use crate::output;

/// How long a command waits for its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
/// Largest answer that is read, in bytes: a page of 1,000 requests stays far below.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A way to one server.
pub struct ApiClient {
    client: Client,
    base: Url,
    token: Option<String>,
    /// Goes along with submissions.
    idempotency_key: Option<String>,
    /// For error messages: the socket or the URL.
    peer: String,
}

/// Without the token.
impl fmt::Debug for ApiClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ApiClient").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// What came back where an answer in CMS was wanted.
#[derive(Debug)]
pub enum CmsAnswer {
    /// The message.
    Message {
        /// DER.
        octets: Vec<u8>,
        /// Number of the request; empty where it has no row.
        request: String,
        /// What became of it, one word.
        disposition: String,
    },
    /// There is no certificate to put into one.
    None(SubmitAnswer),
}

impl ApiClient {
    /// The server that the options name.
    ///
    /// # Errors
    ///
    /// Options that do not name one, or a token over plain HTTP to another machine.
    pub fn open(door: &Door) -> Result<Self, Failure> {
        match (&door.server, &door.home) {
            (Some(url), _) => match url.strip_prefix("unix:") {
                Some(path) => Self::socket(Path::new(path)),
                None => Self::remote(url, door),
            },
            (None, Some(home)) => Self::local(&Home::at(home)?),
            (None, None) => Err(Failure::usage("usage-no-server", "no CA is named")
                .hint("give --home DIR or set EXEUNT_HOME, or give --server URL")),
        }
    }

    /// The running server of a home.
    ///
    /// # Errors
    ///
    /// When there is no socket, that is no server.
    pub fn local(home: &Home) -> Result<Self, Failure> {
        let socket = home.socket_path();
        if !socket.exists() {
            return Err(not_running(home));
        }
        // One that was killed has left its socket behind.
        if let Err(err) = std::os::unix::net::UnixStream::connect(&socket)
            && err.kind() == std::io::ErrorKind::ConnectionRefused
        {
            return Err(not_running(home));
        }
        Self::socket(&socket)
    }

    /// A server behind a Unix socket, whoever made it.
    fn socket(socket: &Path) -> Result<Self, Failure> {
        let client = builder()
            .unix_socket(socket)
            .build()
            .map_err(|err| Failure::from_error("client", &err))?;
        let base = Url::parse("http://localhost/").expect("BUG: a constant URL");
        let peer = socket.display().to_string();
        Ok(Self { client, base, token: None, idempotency_key: None, peer })
    }

    fn remote(url: &str, door: &Door) -> Result<Self, Failure> {
        let base = Url::parse(url).map_err(|err| {
            Failure::usage("usage-server", format!("--server {url}: {err}"))
                .hint("for example --server https://ca.example:8443")
        })?;
        let loopback = match base.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            _ => false,
        };
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            let message = format!("--server {url}: a token is not sent without TLS");
            return Err(Failure::usage("usage-server", message)
                .hint("use https://, or http:// with a loopback address such as 127.0.0.1"));
        }
        if door.token_file.is_none() && door.client_cert.is_none() {
            return Err(Failure::usage("usage-token", "--server needs a token or a certificate")
                .hint("give --token-file FILE; on the CA's machine it is secrets/admin.token")
                .hint("or give --client-cert FILE and --client-key FILE"));
        }
        if door.client_cert.is_some() && base.scheme() != "https" {
            let message = format!("--server {url}: a certificate is shown over https:// only");
            return Err(Failure::usage("usage-server", message));
        }
        let mut builder = builder();
        if let (Some(certificate), Some(key)) = (&door.client_cert, &door.client_key) {
            builder = builder.identity(identity(certificate, key)?);
        }
        if let Some(path) = &door.ca_file {
            builder = builder.tls_certs_only(trusted(path)?);
        }
        let client = builder.build().map_err(|err| match &door.client_cert {
            None => Failure::from_error("client", &err),
            Some(_) => Failure::from_error("client-certificate", &err).hint(CLIENT_HINT),
        })?;
        let token = door.token_file.as_deref().map(read_token).transpose()?;
        let peer = url.to_owned();
        Ok(Self { client, base, token, idempotency_key: None, peer })
    }

    /// The same, whose submissions may be repeated: one that was sent with this key before is not made
    /// again.
    #[must_use]
    pub fn with_idempotency_key(self, key: Option<String>) -> Self {
        Self { idempotency_key: key, ..self }
    }

    /// A server on this machine over HTTP, with a token in hand: what the quickstart shows.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::open`].
    pub fn loopback(address: std::net::SocketAddr, token_file: &Path) -> Result<Self, Failure> {
        let door = Door {
            home: None,
            server: Some(format!("http://{address}")),
            token_file: Some(token_file.to_owned()),
            ca_file: None,
            client_cert: None,
            client_key: None,
        };
        Self::open(&door)
    }

    /// Reads one resource.
    ///
    /// # Errors
    ///
    /// What the server answered, or that it did not.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let response = self.send(self.client.get(self.url(path)).query(query))?;
        if !response.status().is_success() {
            return Err(problem(response));
        }
        body(response)
    }

    /// Reads one resource whose answer may take its time, without a word about that.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::get`].
    pub fn wait_for<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let builder = self.authorized(self.client.get(self.url(path)).query(query));
        let response = builder.send().map_err(|err| self.unreachable(err))?;
        if !response.status().is_success() {
            return Err(problem(response));
        }
        body(response)
    }

    /// Changes something; `sent` is the body, if there is one.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::get`].
    pub fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        sent: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let mut builder = self.client.request(method, self.url(path)).query(query);
        if let Some(sent) = sent {
            builder = builder.json(sent);
        }
        let response = self.send(builder)?;
        if !response.status().is_success() {
            return Err(problem(response));
        }
        body(response)
    }

    /// Submits a request. A refusal by the policy is an answer, not an error.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::get`].
    pub fn submit(
        &self,
        request: Vec<u8>,
        attributes: &[String],
        template: Option<&str>,
    ) -> Result<SubmitAnswer, Failure> {
        decision(self.send(self.submission(request, attributes, template))?)
    }

    /// Asks what would become of a request. Whatever it is, is an answer.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::get`].
    pub fn try_out(
        &self,
        request: Vec<u8>,
        attributes: &[String],
        template: Option<&str>,
    ) -> Result<TrialAnswer, Failure> {
        let builder = self.submission(request, attributes, template);
        let response = self.send(builder.query(&[("dry_run", "true")]))?;
        if !response.status().is_success() {
            return Err(problem(response));
        }
        body(response)
    }

    /// Submits a request, for an answer in CMS of that media type where there is one.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::get`].
    pub fn submit_for_cms(
        &self,
        request: Vec<u8>,
        attributes: &[String],
        template: Option<&str>,
        accept: &str,
    ) -> Result<CmsAnswer, Failure> {
        let builder = self.submission(request, attributes, template);
        let response = self.send(builder.header(ACCEPT, accept))?;
        let word = |name: &str| {
            let value = response.headers().get(name).and_then(|it| it.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (request, disposition) = (word(REQUEST_HEADER), word(DISPOSITION_HEADER));
        if disposition.is_empty() {
            return decision(response).map(CmsAnswer::None);
        }
        Ok(CmsAnswer::Message { octets: bounded(response)?, request, disposition })
    }

    fn submission(
        &self,
        request: Vec<u8>,
        attributes: &[String],
        template: Option<&str>,
    ) -> RequestBuilder {
        let mut builder = self.client.post(self.url(REQUESTS_PATH)).body(request);
        if let Some(template) = template {
            builder = builder.query(&[("template", template)]);
        }
        for attribute in attributes {
            builder = builder.header(ATTRIBUTE_HEADER, attribute);
        }
        if let Some(key) = &self.idempotency_key {
            // As a string of structured fields (RFC 9651, section 3.3.3).
            builder = builder.header(IDEMPOTENCY_KEY_HEADER, format!("\"{key}\""));
        }
        builder
    }

    /// Has something decided or fetched about a request. A refusal by the policy is an answer, not an
    /// error.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::get`].
    pub fn decide(&self, path: &str) -> Result<SubmitAnswer, Failure> {
        decision(self.send(self.client.post(self.url(path)))?)
    }

    /// Reads one resource that is no JSON.
    ///
    /// # Errors
    ///
    /// As [`ApiClient::get`]; also an answer that is larger than is read.
    pub fn octets(&self, path: &str, query: &[(&str, String)]) -> Result<Vec<u8>, Failure> {
        let response = self.send(self.client.get(self.url(path)).query(query))?;
        if !response.status().is_success() {
            return Err(problem(response));
        }
        bounded(response)
    }

    fn url(&self, path: &str) -> Url {
        self.base.join(path).expect("BUG: API paths join to any base")
    }

    fn send(&self, builder: RequestBuilder) -> Result<Response, Failure> {
        let builder = self.authorized(builder);
        let sent = output::with_progress("waiting for the server", || builder.send());
        sent.map_err(|err| self.unreachable(err))
    }

    fn authorized(&self, builder: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => builder.bearer_auth(token),
            None => builder,
        }
    }

    fn unreachable(&self, err: reqwest::Error) -> Failure {
        let message = format!("no answer from {}: {}", self.peer, chain(&err.without_url()));
        let hint = unreachable_hint(&message);
        Failure::new("server-unreachable", message).hint(hint)
    }
}

/// What helps where there was no answer. A library of TLS says in words alone what it did not like.
fn unreachable_hint(message: &str) -> &'static str {
    if message.contains("received fatal alert: CertificateRequired") {
        "the server wants a certificate: --client-cert FILE and --client-key FILE"
    } else if message.contains("received fatal alert") {
        "does the server take the certificate of --client-cert? docs/manual/tls.md says which are good"
    } else if message.contains("invalid peer certificate: UnknownIssuer") {
        "name the CA of the server's certificate: --ca-file FILE"
    } else if message.contains("invalid peer certificate") {
        "see what certificate the server shows: docs/manual/tls.md"
    } else {
        "is the server running? exeunt serve"
    }
}

fn builder() -> reqwest::blocking::ClientBuilder {
    Client::builder()
        .timeout(ANSWER_TIMEOUT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("exeunt/", env!("CARGO_PKG_VERSION")))
}

/// No server answers for this home; perhaps because it is none.
pub fn not_running(home: &Home) -> Failure {
    match home.config_path().try_exists() {
        Ok(false) => {
            return home.missing(format!("there is no CA in {}", home.path().display()));
        }
        Ok(true) => (),
        // It may be one, and its server may run.
        Err(err) => {
            let message = format!("no server of {} can be reached: {err}", home.path().display());
            return Failure::new("server-not-running", message)
                .hint("its own user and root reach it there")
                .hint("others by [server] peer_socket: --server unix:PATH");
        }
    }
    let home = home.path().display();
    Failure::new("server-not-running", format!("no server runs for {home}"))
        .hint(format!("start it: exeunt serve --home {home}"))
}

const CLIENT_HINT: &str =
    "--client-cert has a certificate in PEM, and --client-key its private key";

/// What is shown to a server that asks for certificates.
fn identity(certificate: &Path, key: &Path) -> Result<Identity, Failure> {
    let mut pem = secret_file::read(key)?;
    pem.push(b'\n');
    pem.extend(std::fs::read(certificate).map_err(|err| {
        let message = format!("{} cannot be read: {err}", certificate.display());
        Failure::new("client-certificate", message)
    })?);
    Identity::from_pem(&pem)
        .map_err(|err| Failure::from_error("client-certificate", &err).hint(CLIENT_HINT))
}

fn trusted(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let text = std::fs::read(path).map_err(|err| {
        Failure::new("client-ca-file", format!("{} cannot be read: {err}", path.display()))
    })?;
    Certificate::from_pem_bundle(&text).map_err(|err| {
        Failure::new("client-ca-file", format!("{}: {}", path.display(), chain(&err)))
    })
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let bytes = secret_file::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim().to_owned())
}

fn decision(response: Response) -> Result<SubmitAnswer, Failure> {
    match response.status() {
        StatusCode::OK | StatusCode::ACCEPTED => body(response),
        StatusCode::FORBIDDEN if is_json(&response) => body(response),
        _ => Err(problem(response)),
    }
}

fn is_json(response: &Response) -> bool {
    let media = response.headers().get(reqwest::header::CONTENT_TYPE);
    media.is_some_and(|it| it.as_bytes().starts_with(b"application/json"))
}

fn body<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let text = bounded(response)?;
    serde_json::from_slice(&text).map_err(|err| {
        Failure::new("server-answer", format!("the server's answer cannot be read: {err}"))
            .hint("are client and server of the same version?")
    })
}

fn bounded(response: Response) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    let mut limited = std::io::Read::take(response, ANSWER_BYTES_MAX + 1);
    std::io::Read::read_to_end(&mut limited, &mut text).map_err(|err| {
        Failure::new("server-answer", format!("the server's answer broke off: {err}"))
    })?;
    if ANSWER_BYTES_MAX < text.len() as u64 {
        return Err(Failure::new("server-answer", "the server's answer is too large"));
    }
    Ok(text)
}

fn problem(response: Response) -> Failure {
    let status = response.status();
    let text = match bounded(response) {
        Ok(text) => text,
        Err(failure) => return failure,
    };
    match serde_json::from_slice::<Problem>(&text) {
        Ok(problem) => {
            let row = problem.request_id.map(|id| format!(" (request {id})")).unwrap_or_default();
            let failure = Failure::new(problem.code, format!("{}{row}", problem.detail));
            match problem.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        Err(_) => Failure::new("server-answer", format!("the server answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::unreachable_hint;

    #[test]
    fn whoever_gets_no_answer_is_told_what_helps() {
        for (message, expected) in [
            ("client error (Connect): tcp connect error: Connection refused", "exeunt serve"),
            ("client error (Connect): invalid peer certificate: UnknownIssuer", "--ca-file"),
            ("connection error: received fatal alert: CertificateRequired", "--client-cert FILE"),
            ("connection error: received fatal alert: UnsupportedCertificate", "tls.md"),
        ] {
            assert!(unreachable_hint(message).contains(expected), "{message}");
        }
    }
}
