//! Why a server did not start.

use std::net::SocketAddr;
use std::path::PathBuf;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a server did not start. Always the operator's move.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Tokens would cross a network in the clear.
    #[error("plain HTTP on {address} would show tokens to the network")]
    PlainHttp {
        /// The configured address.
        address: SocketAddr,
    },
    /// Somebody listens on the socket already.
    #[error("another server listens on {}", path.display())]
    SocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("the socket {} cannot be made", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: Source,
    },
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: Source,
    },
    /// The certificate or the key of the TCP door cannot be used.
    #[error("{} cannot be used for TLS", path.display())]
    Tls {
        /// The file in question.
        path: PathBuf,
        /// What is wrong with it.
        source: Source,
    },
    /// The library that speaks TLS refused the settings.
    #[error("TLS cannot be set up")]
    TlsLibrary {
        /// What it said.
        source: Source,
    },
    /// A door is to show the server's own certificate, and nothing says how to make it.
    #[error("the server's own certificate is to be shown, and there is none")]
    NoOwnCertificate,
    /// Certificates of clients come with TLS only.
    #[error("{address} is to ask clients for certificates, without TLS")]
    ClientsWithoutTls {
        /// The configured address.
        address: SocketAddr,
    },
    /// The system gave no threads.
    #[error("{action} failed")]
    Threads {
        /// What was being done, as a gerund.
        action: &'static str,
        /// What the system said.
        source: Source,
    },
}

impl HttpError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::PlainHttp { .. } => "http-plain-off-loopback",
            Self::SocketInUse { .. } => "socket-in-use",
            Self::Socket { .. } => "socket-unusable",
            Self::Listen { .. } => "listen-failed",
            Self::Tls { .. } => "tls-unusable",
            Self::TlsLibrary { .. } => "tls-setup",
            Self::NoOwnCertificate => "tls-own-missing",
            Self::ClientsWithoutTls { .. } => "tls-clients-without-tls",
            Self::Threads { .. } => "threads-unavailable",
        }
    }

    /// What the operator can do, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PlainHttp { .. } => {
                Some("give it TLS (tls = \"own\" will do), or listen on 127.0.0.1 or [::1]")
            }
            Self::SocketInUse { .. } => {
                Some("stop the other server, or start this one with another home")
            }
            Self::Tls { .. } => Some(
                "the certificate file holds the chain in PEM, the server's own first; the key file \
                 holds its private key in PEM, not encrypted",
            ),
            Self::NoOwnCertificate => Some("say under which names clients reach it: [tls] names"),
            Self::ClientsWithoutTls { .. } => {
                Some("give the door a certificate, or leave client_certificates out")
            }
            Self::TlsLibrary { .. }
            | Self::Socket { .. }
            | Self::Listen { .. }
            | Self::Threads { .. } => None,
        }
    }
}
