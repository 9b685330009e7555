//! The server's own certificate: issued by the CA, shown at the doors, and replaced in time.
//!
//! A thread looks at it each second. Connections that exist go on when another one takes its place.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::Duration;

use exeunt_engine::{Engine, ServerCertificate, ServerCertificateError, ServerCertificateSettings};
use exeunt_types::UnixMillis;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{Source, with_source};
use crate::error::HttpError;
use crate::settings::NowFn;

/// How often is looked whether another one is needed. A look reads one row.
const LOOK: Duration = Duration::from_secs(1);
/// How long no other one is tried for after one could not be made: each attempt may be a row in the
/// store.
const RETRY: Duration = Duration::from_mins(1);

/// What the doors show now; nothing where the CA could not issue it.
#[derive(Debug, Default)]
pub(crate) struct Shown(RwLock<Option<Arc<CertifiedKey>>>);

impl Shown {
    fn set(&self, pair: Option<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = pair.map(Arc::new);
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why there is no other certificate.
#[derive(Debug, thiserror::Error)]
enum OwnError {
    #[error("the CA issues no certificate to its server")]
    Issue { source: ServerCertificateError },
    #[error("the new certificate of the server cannot be used for TLS")]
    Library { source: Source },
}

/// Keeps a certificate for the doors.
struct Keeper {
    engine: Arc<Engine>,
    settings: ServerCertificateSettings,
    now: NowFn,
    shown: Arc<Shown>,
    current: Option<ServerCertificate>,
    /// When that was made.
    made: UnixMillis,
    /// When the last attempt failed.
    failed: Option<UnixMillis>,
}

/// Starts keeping one, and gives what ends it when it is dropped. The first certificate is made when
/// this returns, if the CA can.
pub(crate) fn keep(
    engine: &Arc<Engine>,
    settings: ServerCertificateSettings,
    now: &NowFn,
    shown: &Arc<Shown>,
) -> Result<mpsc::Sender<()>, HttpError> {
    let mut keeper = Keeper {
        engine: Arc::clone(engine),
        settings,
        now: Arc::clone(now),
        shown: Arc::clone(shown),
        current: None,
        made: UnixMillis(0),
        failed: None,
    };
    keeper.guarded_look();
    let (stop, stopped) = mpsc::channel();
    let keep = move || {
        while stopped.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
            keeper.guarded_look();
        }
    };
    std::thread::Builder::new()
        .name("tls".to_owned())
        .spawn(keep)
        .map_err(|err| HttpError::Threads { action: "starting a thread", source: err.into() })?;
    Ok(stop)
}

impl Keeper {
    /// A panic, of a token's library most likely, must not leave the doors without a keeper.
    fn guarded_look(&mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.look())).is_err() {
            self.failed = Some((self.now)());
            tracing::error!(code = "internal", "making the server's certificate panicked");
        }
    }

    fn look(&mut self) {
        let now = (self.now)();
        if let Some(current) = &self.current {
            let holds = now.unix_seconds() <= current.not_after.unix_seconds();
            let stands = self.engine.server_stands(current).unwrap_or(true);
            // The clock was put back. One that is made now begins now, where the CA's own does.
            let is_ahead = now < current.not_before && now < self.made;
            if holds && stands && now < current.renew && !is_ahead {
                return;
            }
            if !holds || !stands {
                let why = if stands { "ran out" } else { "was revoked" };
                tracing::warn!(serial = %current.serial, "the server's own certificate {why}");
                self.shown.set(None);
                self.current = None;
                // Nothing is left that could be waited with.
                self.failed = self.failed.filter(|_| !stands);
            }
        }
        let rests = |failed: UnixMillis| failed <= now && now < failed.plus(RETRY);
        if self.failed.is_some_and(rests) {
            return;
        }
        match self.renew() {
            Ok(()) => self.failed = None,
            Err(err) => {
                self.failed = Some(now);
                let code = "tls-own-certificate";
                let error = with_source(&err);
                if let Some(old) = &self.current {
                    let until = crate::rfc3339(old.not_after);
                    tracing::error!(code, error, until, "TLS goes on with the old certificate");
                } else {
                    tracing::error!(code, error, "no handshake of TLS can succeed");
                }
            }
        }
    }

    fn renew(&mut self) -> Result<(), OwnError> {
        let issue = |source| OwnError::Issue { source };
        let began = (self.now)();
        let made = self.engine.certify_server(&self.settings).map_err(issue)?;
        let pem = made.key_pem().map_err(issue)?;
        let library = |source: Source| OwnError::Library { source };
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|it| library(it.into()))?;
        let chain = made.chain.iter().map(|it| CertificateDer::from(it.clone())).collect();
        let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
            .map_err(|it| library(it.into()))?;
        self.shown.set(Some(pair));
        self.current = Some(made);
        self.made = began;
        Ok(())
    }
}
