//! The calls to the web server: connections, headers, time limits.

use std::{
    error::Error,
    io::{self, Read as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use exeunt_publication::{outcome::chain, resolver::LookUp, secret::Secret};
use reqwest::{
    Method,
    blocking::{Client, RequestBuilder, Response},
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    redirect::Policy,
};

use crate::{
    quoted::Secrets,
    reply::{self, Reply},
    resolver::Resolver,
    settings::Settings,
    signature::Keys,
};

/// Most octets of an answer's body that are read. More ends the connection.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Least time that a call is begun with. Below it, nothing can come of it.
const CALL_TIME_MIN: Duration = Duration::from_millis(50);

/// How long a connection is kept that nothing is sent on. Servers keep theirs a minute or longer.
const IDLE_MAX: Duration = Duration::from_secs(50);

/// When the system looks whether the other side of a silent connection is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What the library of TLS says where the other side refuses the connection by an alert (RFC 8446, section
/// 6.2), as it does for want of a client certificate: that concerns no event.
const ALERT: &str = "received fatal alert";

/// Header by which a sender asks for leave (HTTP 1.1 Web Hooks for Event Delivery, section 4.1).
pub const REQUEST_ORIGIN: &str = "webhook-request-origin";

/// Header by which a server gives leave (section 4.2).
pub const ALLOWED_ORIGIN: &str = "webhook-allowed-origin";

/// One call that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `webhook-id`: the same at every attempt.
    pub id: String,
    /// What is in the body.
    pub content_type: &'static str,
    /// What is sent.
    pub body: Vec<u8>,
}

/// The way to the server. It is prepared before each batch, because files and addresses may change.
#[derive(Debug)]
pub struct Sender {
    settings: Settings,
    /// How long one call may take.
    timeout: Duration,
    resolver: Resolver,
    /// `None` where it has to be made, anew or at all.
    client: Option<Client>,
    keys: Option<Keys>,
    token: Option<HeaderValue>,
    /// What a server may say back and nobody may read.
    secrets: Secrets,
    /// A call had no answer, or one against the sender: the address may be another one by now, and so
    /// may the certificates.
    lost: AtomicBool,
}

impl Sender {
    /// Reads all files once, so that what is wrong with them is said at once. Talks to nobody.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn new(settings: Settings, timeout: Duration, look_up: LookUp) -> Result<Self, String> {
        let host = settings.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = settings.url.port_or_known_default().unwrap_or_default();
        let resolver = Resolver::new(host, port, settings.allowed.clone(), look_up);
        let mut sender = Self {
            settings,
            timeout,
            resolver,
            client: None,
            keys: None,
            token: None,
            secrets: Secrets::default(),
            lost: AtomicBool::new(false),
        };
        sender.read_files()?;
        Ok(sender)
    }

    /// What the operator said.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes everything ready that calls need.
    ///
    /// # Errors
    ///
    /// One line for the operator: a file cannot be read, the name cannot be resolved, its addresses
    /// are refused.
    pub fn prepare(&mut self, until: Instant) -> Result<(), String> {
        if self.lost.swap(false, Ordering::Relaxed) {
            self.resolver.forget();
            self.client = None;
        }
        self.read_files()?;
        let within = until.saturating_duration_since(Instant::now()).min(self.timeout);
        self.resolver.refresh(within)
    }

    fn read_files(&mut self) -> Result<(), String> {
        self.keys = self.settings.secret_file.as_deref().map(Keys::read).transpose()?;
        let url = &self.settings.url;
        let path = [url.path(), url.query().unwrap_or_default()];
        // `/` alone is in every text.
        let path = path.into_iter().map(|it| it.trim_matches('/').as_bytes());
        let token = self
            .settings
            .token_file
            .as_ref()
            .map(|it| Secret::read("token_file", it))
            .transpose()?;
        self.secrets = Secrets::new(path.chain(token.iter().map(Secret::bytes)));
        self.token = match &token {
            None => None,
            Some(secret) => {
                let token = secret.text("token_file")?;
                let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| "token_file: it cannot stand in a header".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        if self.client.is_none() {
            self.client = Some(self.new_client()?);
        }
        Ok(())
    }

    fn new_client(&self) -> Result<Client, String> {
        Client::builder()
            .tls_backend_preconfigured(self.settings.tls.client_config()?)
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .dns_resolver(Arc::new(self.resolver.book()))
            .user_agent(concat!("exeunt-exit-webhook/", env!("CARGO_PKG_VERSION")))
            .timeout(self.timeout)
            .connect_timeout(self.timeout)
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(self.settings.connections)
            .tcp_keepalive(KEEP_ALIVE)
            .build()
            .map_err(|err| format!("making the HTTP client: {}", chain(&err)))
    }

    /// Makes the calls, several at a time. Once one reply stops, what was not begun is not begun, and
    /// has the same reply. `until` is when all of it has to be done.
    pub fn send(&self, calls: &[Call], until: Instant) -> Vec<Reply> {
        let next = AtomicUsize::new(0);
        let stopped: Mutex<Option<Reply>> = Mutex::new(None);
        let stop = || stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let work = || {
            let mut replies = Vec::new();
            while stop().is_none() {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(call) = calls.get(index) else { break };
                let reply = self.send_one(call, until);
                if reply.stops() {
                    stop().get_or_insert_with(|| reply.clone());
                }
                replies.push((index, reply));
            }
            replies
        };
        let workers = self.settings.connections.min(calls.len());
        let made: Vec<(usize, Reply)> = if workers <= 1 {
            work()
        } else {
            thread::scope(|scope| {
                let threads: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
                let mut made = work();
                for thread in threads {
                    made.extend(thread.join().unwrap_or_default());
                }
                made
            })
        };
        let rest = stop().take();
        let rest = rest.unwrap_or_else(|| Reply::nothing_can_be_sent("it was not sent"));
        let mut replies = vec![rest; calls.len()];
        for (index, reply) in made {
            if let Some(place) = replies.get_mut(index) {
                *place = reply;
            }
        }
        replies
    }

    /// Makes one call.
    fn send_one(&self, call: &Call, until: Instant) -> Reply {
        let Some(request) = self.request(Method::POST, until) else {
            return Reply::nothing_can_be_sent("no time was left before the event's deadline");
        };
        let now = SystemTime::now();
        let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut request = request
            .header(CONTENT_TYPE, call.content_type)
            .header("webhook-id", &call.id)
            .header("webhook-timestamp", timestamp.to_string());
        if let Some(keys) = &self.keys {
            let signature = keys.sign(&call.id, timestamp, &call.body);
            request = request.header("webhook-signature", signature);
        }
        match request.body(call.body.clone()).send() {
            Ok(mut response) => match said(&mut response) {
                Ok(said) => {
                    let against_us = matches!(response.status().as_u16(), 401 | 403 | 407);
                    self.lost.fetch_or(against_us, Ordering::Relaxed);
                    let (status, headers) = (response.status(), response.headers());
                    reply::of_answer(status, headers, &said, &self.secrets, now)
                }
                Err(err) => {
                    let (status, after, everybody) = (response.status(), None, false);
                    let reason = format!("the server's answer ({status}) broke off: {err}");
                    Reply::NotNow { after, everybody, reason }
                }
            },
            Err(err) => self.no_answer(&err),
        }
    }

    /// Asks for leave to send, without sending anything (HTTP 1.1 Web Hooks for Event Delivery,
    /// section 4).
    ///
    /// # Errors
    ///
    /// One line for the operator: there was no answer.
    pub fn ask_for_leave(&self, until: Instant) -> Result<Response, String> {
        let mut request = self.request(Method::OPTIONS, until).ok_or("no time was left")?;
        if let Some(origin) = &self.settings.origin {
            request = request.header(REQUEST_ORIGIN, origin);
        }
        request.send().map_err(|err| match self.no_answer(&err) {
            Reply::NotNow { reason, .. } | Reply::Refuse { reason } => reason,
            Reply::Accept => String::new(),
        })
    }

    /// A request with everything that all of them have; `None` where no time is left.
    fn request(&self, method: Method, until: Instant) -> Option<RequestBuilder> {
        let left = until.saturating_duration_since(Instant::now());
        let client = self.client.as_ref()?;
        if left < CALL_TIME_MIN {
            return None;
        }
        let request =
            client.request(method, self.settings.url.clone()).timeout(self.timeout.min(left));
        Some(match &self.token {
            Some(token) => request.header(AUTHORIZATION, token.clone()),
            None => request,
        })
    }

    fn no_answer(&self, err: &reqwest::Error) -> Reply {
        let root = root(err);
        let is_refused = root.contains(ALERT);
        let everybody = err.is_connect() || err.is_timeout() || is_refused;
        // Whatever it was: over TLS 1.3, a client certificate is refused after the connection stands.
        self.lost.store(true, Ordering::Relaxed);
        let what = if err.is_connect() {
            "the server cannot be reached"
        } else if err.is_timeout() {
            "the server did not answer in time"
        } else if is_refused {
            "the server refuses the connection; look at client_certificate_file"
        } else {
            "the server's answer broke off"
        };
        // The URL is in the words of the library, and its path may be a secret: the cause has neither.
        let reason = format!("{what}: {root}");
        Reply::NotNow { after: None, everybody, reason }
    }
}

/// The innermost cause: what lies around it says only in which layer it was met.
fn root(err: &reqwest::Error) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = err.source();
    let mut said = "no cause is known".to_owned();
    while let Some(err) = cause {
        said = err.to_string();
        cause = err.source();
    }
    said
}

/// Reads the body, so that the connection can be used again; of a large one, the start. One that breaks
/// off is an error: what comes second at worst is known by its id, and what is lost is lost.
fn said(response: &mut Response) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let bound = u64::try_from(ANSWER_BYTES_MAX).unwrap_or(u64::MAX);
    response.take(bound).read_to_end(&mut said)?;
    Ok(said)
}
