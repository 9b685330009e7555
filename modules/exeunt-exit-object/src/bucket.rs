//! The bucket: looking, writing on a condition, listing.

use std::{
    fmt,
    time::{Duration, Instant},
};

use exeunt_publication::{outcome, secret::Secret};
use futures_util::TryStreamExt as _;
use object_store::{
    Attribute, Attributes, ClientOptions, Error, GetOptions, ObjectStore as _, PutMode, PutOptions,
    PutPayload, RetryConfig, UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut},
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind},
    path::Path,
};
use reqwest::{Client, redirect::Policy};
use tokio::time;

use crate::settings::Settings;

/// How long an idle connection is kept; servers close theirs after half a minute and more.
const IDLE_MAX: Duration = Duration::from_secs(15);

/// Largest object that is looked at, in octets: the largest revocation list.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// Most octets that are read where a certificate is to stand: one of 64 KiB in PEM, and some text around it. What is
/// larger is no certificate, and many are looked at together.
pub const CERTIFICATE_BYTES_MAX: u64 = 128 * 1024;

/// Longest code of a server that is shown, in octets; those of Amazon have up to fifty.
const CODE_BYTES_MAX: usize = 64;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may go well later, or when somebody has mended the server.
    Later(String),
    /// This object cannot be made now; nothing is said of the server by that.
    NotNow(String),
    /// This object never will.
    Never(String),
}

impl Failure {
    /// One line for the operator.
    pub fn into_text(self) -> String {
        match self {
            Self::Later(why) | Self::NotNow(why) | Self::Never(why) => why,
        }
    }
}

/// What stands under a key.
#[derive(Debug)]
pub struct Found {
    /// Its octets.
    pub bytes: Vec<u8>,
    version: UpdateVersion,
}

/// What is written.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// The octets.
    pub bytes: &'a [u8],
    /// Media type.
    pub content_type: &'static str,
    /// How long others may keep it.
    pub cache_control: Option<&'a str>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is there.
    Written,
    /// What stands there is not what was looked at; nothing was written.
    Changed,
}

/// The bucket, for as long as its keys let the module in.
pub struct Bucket {
    store: AmazonS3,
}

impl fmt::Debug for Bucket {
    /// Without the library's, which shows the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Bucket(..)")
    }
}

impl Bucket {
    /// Makes ready; nothing is asked of the server yet.
    ///
    /// # Errors
    ///
    /// One line for the operator: a file cannot be used.
    pub fn open(settings: &Settings) -> Result<Self, String> {
        let id = Secret::read("access_key_file", &settings.access_key_file)?;
        let key = Secret::read("secret_key_file", &settings.secret_key_file)?;
        let client = Client::builder()
            .tls_backend_preconfigured(settings.tls.client_config()?)
            .https_only(settings.endpoint.scheme() == "https")
            .no_proxy()
            .redirect(Policy::none())
            .user_agent(concat!("exeunt-exit-object/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout)
            .pool_idle_timeout(IDLE_MAX)
            .build()
            .map_err(|err| format!("making the HTTP client: {}", outcome::chain(&err)))?;
        let mut endpoint = settings.endpoint.as_str().trim_end_matches('/').to_owned();
        if !settings.path_style {
            // The library wants the bucket in the host's name by then.
            endpoint = endpoint.replacen("://", &format!("://{}.", settings.bucket), 1);
        }
        let store = AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_allow_http(settings.endpoint.scheme() == "http")
            .with_virtual_hosted_style_request(!settings.path_style)
            .with_region(&settings.region)
            .with_bucket_name(&settings.bucket)
            .with_access_key_id(id.text("access_key_file")?)
            .with_secret_access_key(key.text("secret_key_file")?)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // So that the server notices what was changed on the way.
            .with_checksum_algorithm(Checksum::SHA256)
            .with_http_connector(Connector(client))
            // The host tries again, and knows when.
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .map_err(|err| format!("making the client: {}", outcome::chain(&err)))?;
        Ok(Self { store })
    }

    /// What stands under a key, of at most so many octets.
    ///
    /// # Errors
    ///
    /// It cannot be looked at.
    pub async fn get(
        &self,
        key: &str,
        bytes_max: u64,
        deadline: Instant,
    ) -> Result<Option<Found>, Failure> {
        let path = path(key)?;
        let get = async {
            let found = match self.store.get_opts(&path, GetOptions::default()).await {
                Ok(found) => found,
                Err(err @ Error::NotFound { .. }) if !is_bucket(&err) => {
                    return Ok(None);
                }
                Err(err) => return Err(failure("reading", key, &err)),
            };
            if bytes_max < found.meta.size {
                let why =
                    format!("{key}: what is there is too large to be ours; it was left alone");
                return Err(Failure::Never(why));
            }
            let version = UpdateVersion {
                e_tag: found.meta.e_tag.clone(),
                version: found.meta.version.clone(),
            };
            let bytes = found.bytes().await.map_err(|err| failure("reading", key, &err))?;
            Ok(Some(Found { bytes: bytes.into(), version }))
        };
        within(deadline, key, get).await
    }

    /// Writes where nothing is, or over what was looked at.
    ///
    /// # Errors
    ///
    /// It may have been written or not.
    pub async fn put(
        &self,
        key: &str,
        body: Body<'_>,
        over: Option<&Found>,
        deadline: Instant,
    ) -> Result<Put, Failure> {
        let mode = match over {
            None => PutMode::Create,
            Some(found) => PutMode::Update(found.version.clone()),
        };
        self.put_in(key, body, mode, deadline).await
    }

    async fn put_in(
        &self,
        key: &str,
        body: Body<'_>,
        mode: PutMode,
        deadline: Instant,
    ) -> Result<Put, Failure> {
        let path = path(key)?;
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, body.content_type.into());
        if let Some(cache_control) = body.cache_control {
            attributes.insert(Attribute::CacheControl, cache_control.to_owned().into());
        }
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let put = async {
            let payload = PutPayload::from(body.bytes.to_vec());
            match self.store.put_opts(&path, payload, options).await {
                Ok(_) => Ok(Put::Written),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Changed),
                // Somebody deleted it in the meantime.
                Err(err @ Error::NotFound { .. }) if !is_bucket(&err) => Ok(Put::Changed),
                Err(err) => Err(failure("writing", key, &err)),
            }
        };
        within(deadline, key, put).await
    }

    /// Writes what has to be refused, because it is to take the place of something that never was.
    /// The server looks at the rights before it does.
    ///
    /// # Errors
    ///
    /// It was refused for another reason.
    pub async fn put_refused(&self, key: &str, deadline: Instant) -> Result<Put, Failure> {
        let never = UpdateVersion {
            e_tag: Some("\"00000000000000000000000000000000\"".to_owned()),
            version: None,
        };
        let body = Body { bytes: b"", content_type: "text/plain", cache_control: None };
        self.put_in(key, body, PutMode::Update(never), deadline).await
    }

    /// Up to `count` keys that begin with a prefix, after a given one.
    ///
    /// # Errors
    ///
    /// They cannot be listed.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        count: usize,
        deadline: Instant,
    ) -> Result<Vec<String>, Failure> {
        let folder = Path::parse(prefix.trim_end_matches('/'))
            .map_err(|err| Failure::Never(format!("{prefix}: {err}")))?;
        let after = after.map(path).transpose()?;
        let list = async {
            let mut found = match &after {
                None => self.store.list(Some(&folder)),
                Some(after) => self.store.list_with_offset(Some(&folder), after),
            };
            let mut keys = Vec::new();
            while keys.len() < count {
                match found.try_next().await {
                    Ok(Some(object)) => keys.push(object.location.to_string()),
                    Ok(None) => break,
                    Err(err) => {
                        let what = if prefix.is_empty() { "the bucket" } else { prefix };
                        return Err(failure("listing", what, &err));
                    }
                }
            }
            Ok(keys)
        };
        within(deadline, prefix, list).await
    }
}

/// Hands out the one client that was made with the operator's trust.
struct Connector(Client);

impl fmt::Debug for Connector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

fn path(key: &str) -> Result<Path, Failure> {
    Path::parse(key).map_err(|err| Failure::Never(format!("key {key:?}: {}", outcome::chain(&err))))
}

async fn within<T>(
    deadline: Instant,
    key: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    time::timeout_at(deadline.into(), work)
        .await
        .unwrap_or_else(|_| Err(Failure::Later(format!("{key}: no answer in time"))))
}

fn failure(doing: &str, key: &str, err: &Error) -> Failure {
    let said = Said::of(err);
    let why = format!("{doing} {key}: {}", said.words());
    match said.code.as_deref() {
        Some("EntityTooLarge") => Failure::Never(why),
        _ => Failure::Later(why),
    }
}

/// Whether it is the bucket that is not there.
fn is_bucket(err: &Error) -> bool {
    Said::of(err).code.as_deref() == Some("NoSuchBucket")
}

/// What became of a request, without the library's words, which have times in them: the same trouble has
/// the same reason at every attempt.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// Status of the answer, if there was one.
    status: Option<u16>,
    /// The server's code for what went wrong, from the body of its answer.
    code: Option<String>,
    /// What happened instead of an answer.
    instead: String,
}

impl Said {
    fn of(err: &Error) -> Self {
        let text = outcome::chain(err);
        let code = element(&text, "Code").filter(|it| {
            let is_word = it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'.');
            is_word && !it.is_empty() && it.len() <= CODE_BYTES_MAX
        });
        // The library's type is its own; its words are not, but for this number.
        let status = text.split_once("status code: ").and_then(|(_, after)| after.get(..3));
        let status = status.and_then(|it| it.parse().ok());
        let mut root: &(dyn std::error::Error + 'static) = err;
        let mut kind = None;
        while let Some(cause) = root.source() {
            kind = kind.or_else(|| cause.downcast_ref::<HttpError>().map(HttpError::kind));
            root = cause;
        }
        let instead = match kind {
            Some(HttpErrorKind::Connect) => format!("the server cannot be reached: {root}"),
            Some(HttpErrorKind::Timeout) => "the server did not answer in time".to_owned(),
            Some(_) => format!("the server's answer broke off: {root}"),
            None if status.is_none() && code.is_none() => root.to_string(),
            None => String::new(),
        };
        Self { status, code, instead }
    }

    /// In one clause, with what to look at where that is known.
    fn words(&self) -> String {
        let Self { status, code, instead } = self;
        let said = match (status, code) {
            (Some(status), Some(code)) => format!("the server answers {status} {code}"),
            (Some(status), None) => format!("the server answers {status}"),
            (None, Some(code)) => format!("the server answers {code}"),
            (None, None) => return instead.clone(),
        };
        match (code.as_deref(), status) {
            (Some("NoSuchBucket"), _) => format!("{said}; look at bucket and path_style"),
            (Some("InvalidAccessKeyId" | "SignatureDoesNotMatch"), _) => {
                format!("{said}; look at access_key_file, secret_key_file and region")
            }
            (Some("RequestTimeTooSkewed"), _) => {
                format!("{said}; look at the clocks of this machine and the server's")
            }
            (_, Some(301 | 307 | 308)) => format!("{said}; look at endpoint and region"),
            (_, Some(401 | 403)) => format!("{said}; look at what the key may do"),
            _ => said,
        }
    }
}

/// What stands in an element of the answer, which has no attributes and nothing in it but text.
fn element(answer: &str, name: &str) -> Option<String> {
    let (_, after) = answer.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once("</")?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_code_is_found_in_its_answer() {
        let answer = "403: <Error><Code>AccessDenied</Code><Message>No.</Message></Error>";
        assert_eq!(element(answer, "Code").as_deref(), Some("AccessDenied"));
        assert_eq!(element("<Code>", "Code"), None);
        assert_eq!(element("503", "Code"), None);
    }
}
