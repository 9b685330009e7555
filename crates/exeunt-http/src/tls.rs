//! TLS of the TCP doors: which certificate the server shows, and which ones it takes from clients.
//!
//! TLS 1.2 and 1.3 with the suites that the library has by default. What a door is made of is read
//! again by [`Doors::reload`]: connections that exist go on, new ones get what is new. Certificates of
//! clients that this CA has not issued are judged anew, also on connections that exist.

pub(crate) mod client;
pub(crate) mod own;
mod plain;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use exeunt_engine::{ClientCertificate, Engine, GivenCertificate};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{ServerConfig, sign::SingleCertAndKey};
use tokio_rustls::server::TlsStream;

use crate::error::HttpError;
use crate::settings::{Clients, Limits, NowFn, ReadKeyFn, TcpDoor, Tls, TlsFiles};
use own::Shown;

/// Largest file with certificates for TLS, in bytes. A chain has a few thousand.
pub const TLS_FILE_BYTES_MAX: u64 = 1024 * 1024;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The TLS of one door.
pub(crate) struct DoorTls {
    /// As the operator knows it.
    address: String,
    tls: Tls,
    clients: Clients,
    /// What new connections get.
    config: RwLock<Arc<DoorConfig>>,
    /// One permit for each handshake.
    handshakes: Semaphore,
}

/// What was read for a door.
pub(crate) struct DoorConfig {
    server: Arc<ServerConfig>,
    /// Who judges the certificates of clients, where they are asked for one.
    pub(crate) clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// What doors are made of.
pub(crate) struct Means {
    pub(crate) engine: Arc<Engine>,
    pub(crate) now: NowFn,
    pub(crate) read_key: ReadKeyFn,
    /// The server's own certificate, if there is to be one.
    pub(crate) own: Option<Arc<Shown>>,
}

/// All doors with TLS.
pub(crate) struct Doors {
    means: Means,
    all: Vec<Arc<DoorTls>>,
    /// Held while files are read: of two who read, the later one has what is newer.
    reading: Mutex<()>,
}

/// What came of reading the files of the doors again.
#[derive(Debug, Default)]
pub struct TlsReloaded {
    /// Doors whose files were read.
    pub read: Vec<String>,
    /// Doors that keep what they had, each with the reason.
    pub failed: Vec<String>,
}

/// What there is to say about a given certificate.
#[derive(Debug, Default)]
struct Remarks {
    out_of_time: Option<String>,
    nameless: Option<String>,
}

impl Remarks {
    fn all(&self) -> impl Iterator<Item = &str> {
        self.out_of_time.iter().chain(&self.nameless).map(String::as_str)
    }
}

/// How a handshake ended.
pub(crate) enum Shaken {
    /// With a connection, and what was read for the door when it began.
    Done(Box<TlsStream<TcpStream>>, Arc<DoorConfig>),
    /// Whoever came does not speak TLS, and was told.
    Plain,
}

impl Doors {
    pub(crate) fn new(means: Means) -> Self {
        Self { means, all: Vec::new(), reading: Mutex::default() }
    }

    /// Reads what the door needs.
    pub(crate) fn add(
        &mut self,
        door: &TcpDoor,
        limits: &Limits,
    ) -> Result<Option<Arc<DoorTls>>, HttpError> {
        let TcpDoor { address, tls, clients } = door;
        let Some(tls) = tls else {
            return match clients {
                Clients::Refuse => Ok(None),
                _ => Err(HttpError::ClientsWithoutTls { address: *address }),
            };
        };
        let (config, remarks) = self.means.config(tls, clients)?;
        for warning in remarks.all() {
            tracing::warn!(code = "tls-certificate", door = %address, "{warning}");
        }
        let made = Arc::new(DoorTls {
            address: address.to_string(),
            tls: tls.clone(),
            clients: clients.clone(),
            config: RwLock::new(Arc::new(config)),
            handshakes: Semaphore::new(limits.handshakes),
        });
        self.all.push(Arc::clone(&made));
        Ok(Some(made))
    }

    /// Reads all files anew. A door whose files are not good keeps what it has.
    pub(crate) fn reload(&self) -> TlsReloaded {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = TlsReloaded::default();
        for door in self.all.iter().filter(|it| it.has_files()) {
            let read = self.means.config(&door.tls, &door.clients);
            let read = read.and_then(|(config, remarks)| match (remarks.out_of_time, &door.tls) {
                // What nobody would take is no replacement for what is.
                (Some(remark), Tls::Files(files)) => Err(failed(&files.certificate, remark)),
                _ => Ok(config),
            });
            match read {
                Ok(config) => {
                    *door.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    tracing::info!(door = door.address, "the files of TLS were read again");
                    told.read.push(door.address.clone());
                }
                Err(err) => {
                    let reason = with_source(&err);
                    let code = err.code();
                    tracing::error!(code, door = door.address, "TLS stays as it was: {reason}");
                    let address = &door.address;
                    told.failed.push(format!("door {address}: {reason}; it keeps what it had"));
                }
            }
        }
        told
    }
}

impl DoorTls {
    /// What new connections get.
    pub(crate) fn config(&self) -> Arc<DoorConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_files(&self) -> bool {
        let of_clients = match &self.clients {
            Clients::Refuse => false,
            Clients::Ask(trust) | Clients::Require(trust) => trust.ca.is_some(),
        };
        of_clients || matches!(self.tls, Tls::Files(_))
    }

    /// Shakes hands, with as many others at a time as the limits say.
    pub(crate) async fn accept(&self, stream: TcpStream) -> std::io::Result<Shaken> {
        let _place = self.handshakes.acquire().await.map_err(std::io::Error::other)?;
        let config = self.config();
        if plain::is_http(&stream).await? {
            plain::answer(stream).await?;
            return Ok(Shaken::Plain);
        }
        let stream = TlsAcceptor::from(Arc::clone(&config.server)).accept(stream).await?;
        Ok(Shaken::Done(Box::new(stream), config))
    }
}

impl Means {
    /// What new connections get, and what there is to say about it.
    fn config(&self, tls: &Tls, clients: &Clients) -> Result<(DoorConfig, Remarks), HttpError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let time = Arc::new(EdgeTime(Arc::clone(&self.now)));
        let builder = ServerConfig::builder_with_details(Arc::clone(&provider), time)
            .with_safe_default_protocol_versions()
            .map_err(|err| HttpError::TlsLibrary { source: err.into() })?;
        let verifier = match clients {
            Clients::Refuse => None,
            Clients::Ask(trust) => Some((trust, false)),
            Clients::Require(trust) => Some((trust, true)),
        };
        let verifier = verifier
            .map(|(trust, required)| client::verifier(&self.engine, trust, required, &provider))
            .transpose()?;
        let nobody = WebPkiClientVerifier::no_client_auth;
        let builder = builder.with_client_cert_verifier(verifier.clone().unwrap_or_else(nobody));
        let (mut config, remarks) = match tls {
            Tls::Own => {
                let own = self.own.as_ref().ok_or(HttpError::NoOwnCertificate)?;
                (builder.with_cert_resolver(Arc::clone(own) as _), Remarks::default())
            }
            Tls::Files(files) => {
                let (pair, remarks) = load(files, &self.read_key, (self.now)(), &provider)?;
                (builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair))), remarks)
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !matches!(clients, Clients::Refuse) {
            // A session that is resumed brings its certificate along unverified: by then its time may
            // be over, or its list may name it.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok((DoorConfig { server: Arc::new(config), clients: verifier }, remarks))
    }
}

/// Reads certificate and key of a door, and whether they are good: they belong together, which is an
/// error where they do not. Gives what there is to say otherwise.
///
/// # Errors
///
/// [`HttpError::Tls`].
pub fn check_tls_files(
    files: &TlsFiles,
    read_key: &ReadKeyFn,
    now: exeunt_types::UnixMillis,
) -> Result<Vec<String>, HttpError> {
    let provider = aws_lc_rs::default_provider();
    load(files, read_key, now, &provider)
        .map(|(_, remarks)| remarks.all().map(str::to_owned).collect())
}

/// Reads the certificates that clients of a door must come from, and the lists that go with them.
///
/// # Errors
///
/// [`HttpError::Tls`].
pub fn check_client_files(clients: &Clients) -> Result<(), HttpError> {
    let (Clients::Ask(trust) | Clients::Require(trust)) = clients else { return Ok(()) };
    let provider = Arc::new(aws_lc_rs::default_provider());
    match &trust.ca {
        Some(path) => client::read_roots(path)
            .and_then(|roots| client::build(roots, trust, true, &provider))
            .map(|_| ()),
        None => Ok(()),
    }
}

fn load(
    files: &TlsFiles,
    read_key: &ReadKeyFn,
    now: exeunt_types::UnixMillis,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, Remarks), HttpError> {
    let TlsFiles { certificate, key } = files;
    let chain = read_certificates(certificate)?;
    let octets = read_key(key).map_err(|err| failed(key, err))?;
    let private = PrivateKeyDer::from_pem_slice(&octets).map_err(|err| failed(key, err))?;
    let pair =
        CertifiedKey::from_der(chain, private, provider).map_err(|err| failed(certificate, err))?;
    let mut remarks = Remarks::default();
    let path = certificate.display();
    match GivenCertificate::parse(&pair.cert[0]) {
        Ok(given) if !given.is_valid(now) => {
            let (from, until) = (crate::rfc3339(given.not_before), crate::rfc3339(given.not_after));
            remarks.out_of_time = Some(format!("{path} is valid from {from} until {until} only"));
        }
        Ok(given) if given.names.is_empty() => {
            remarks.nameless = Some(format!(
                "{path} has no alternative name: clients will not take it for any server"
            ));
        }
        Ok(_) => {}
        // The library found it good enough.
        Err(err) => tracing::debug!(error = %err, "a given certificate is not of our kinds"),
    }
    Ok((pair, remarks))
}

/// Reads certificates in PEM; at least one.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let octets = read_file(path, TLS_FILE_BYTES_MAX)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&octets)
        .collect::<Result<_, _>>()
        .map_err(|err| failed(path, err))?;
    if chain.is_empty() {
        return Err(failed(path, "the file holds no certificate in PEM"));
    }
    Ok(chain)
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, HttpError> {
    let mut octets = Vec::new();
    let file = File::open(path).map_err(|err| failed(path, err))?;
    file.take(bytes_max + 1).read_to_end(&mut octets).map_err(|err| failed(path, err))?;
    if bytes_max < octets.len() as u64 {
        return Err(failed(path, format!("the file is larger than {bytes_max} bytes")));
    }
    Ok(octets)
}

fn failed(path: &Path, source: impl Into<Source>) -> HttpError {
    HttpError::Tls { path: PathBuf::from(path), source: source.into() }
}

/// An error and what it comes from, in one line.
pub(crate) fn with_source(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut next = err.source();
    while let Some(err) = next {
        text = format!("{text}: {err}");
        next = err.source();
    }
    text
}

/// The edge's time for the library, which judges certificates by it.
struct EdgeTime(NowFn);

impl fmt::Debug for EdgeTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("EdgeTime")
    }
}

impl TimeProvider for EdgeTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from((self.0)().unix_seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
