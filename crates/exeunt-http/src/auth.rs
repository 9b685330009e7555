//! Who is at the door: by the user of a Unix socket, by a bearer token, by a client's certificate.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use exeunt_engine::{Caller, Door};
use exeunt_types::{Roles, UnixMillis};
use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::fault::Fault;
use crate::guess::Guesses;
use crate::principal::{Access, Bearer, Known, Principal, Principals, TOKEN_FILE_ROLES, Token};

/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 1024;

/// SHA-256 of a token: the form in which the server knows it.
#[must_use]
pub fn token_digest(token: &str) -> [u8; 32] {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    octets
}

/// The other end of a connection, as far as the transport tells.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// A Unix socket, and the user behind it, if the system tells.
    Local(Option<u32>),
    /// TCP.
    Tcp(TcpPeer),
}

/// The other end of a TCP connection.
#[derive(Clone, Debug)]
pub(crate) struct TcpPeer {
    door: Door,
    address: IpAddr,
    /// The certificate that it has shown. Its chain was verified, and that it still counts.
    certificate: Option<Arc<ShownCertificate>>,
}

/// A certificate that a client of TLS has shown, and whose key it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShownCertificate {
    /// SHA-256 of its octets.
    pub(crate) sha256: [u8; 32],
    /// Its subject, as RFC 4514 text.
    pub(crate) subject: String,
    /// Whether this CA has issued it.
    pub(crate) is_own: bool,
}

impl Peer {
    /// The other end of a TCP connection.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        // An IPv6 socket shows IPv4 peers as mapped addresses.
        let address = address.ip().to_canonical();
        let door = if address.is_loopback() { Door::Loopback } else { Door::Remote };
        Self::Tcp(TcpPeer { door, address, certificate: None })
    }

    /// The same, with a certificate that it has shown.
    pub(crate) fn with_certificate(self, certificate: Option<Arc<ShownCertificate>>) -> Self {
        match self {
            Self::Tcp(it) => Self::Tcp(TcpPeer { certificate, ..it }),
            local @ Self::Local(_) => local,
        }
    }
}

/// From where somebody comes, for the audit trail.
impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(Some(uid)) => write!(out, "the socket, user {uid}"),
            Self::Local(None) => out.write_str("the socket"),
            Self::Tcp(TcpPeer { address, certificate: None, .. }) => write!(out, "{address}"),
            Self::Tcp(TcpPeer { address, certificate: Some(it), .. }) => {
                write!(out, "{address}, certificate {}", it.subject)
            }
        }
    }
}

/// Why somebody does not come in.
#[derive(Debug)]
pub(crate) struct Closed {
    /// The answer.
    pub(crate) fault: Box<Fault>,
    /// Who it is all the same, and by what, where that is known.
    pub(crate) who: Option<String>,
}

impl From<Fault> for Closed {
    fn from(fault: Fault) -> Self {
        Self { fault: fault.into(), who: None }
    }
}

/// Finds out who is at the door.
#[derive(Debug)]
pub(crate) struct Gate {
    access: Arc<Access>,
    /// The server's own user.
    own_uid: u32,
    guesses: Guesses,
}

impl Gate {
    pub(crate) fn new(access: Arc<Access>, own_uid: u32) -> Self {
        Self { access, own_uid, guesses: Guesses::default() }
    }

    /// Whether somebody at a Unix socket is anybody's user at this moment.
    pub(crate) fn knows(&self, peer: &Peer) -> bool {
        let Peer::Local(Some(uid)) = *peer else { return false };
        uid == 0 || uid == self.own_uid || self.access.current().by_uid(uid).is_some()
    }

    /// The caller behind a connection's request. A token that is sent decides before a certificate.
    pub(crate) fn caller(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
        (now, unix_now): (Instant, UnixMillis),
    ) -> Result<Caller, Closed> {
        let principals = self.access.current();
        match peer {
            Peer::Local(uid) => {
                let uid = uid.ok_or_else(Fault::stranger)?;
                match principals.by_uid(uid) {
                    Some(known) => enter(known, Door::Local),
                    None if uid == self.own_uid || uid == 0 => {
                        Ok(owner(uid, principals.owner_roles()))
                    }
                    None => Err(Fault::stranger().into()),
                }
            }
            Peer::Tcp(peer)
                if headers.contains_key(AUTHORIZATION) || peer.certificate.is_none() =>
            {
                self.by_token(&principals, peer, headers, (now, unix_now))
            }
            Peer::Tcp(peer) => by_certificate(&principals, peer),
        }
    }

    fn by_token(
        &self,
        principals: &Principals,
        peer: &TcpPeer,
        headers: &HeaderMap,
        (now, unix_now): (Instant, UnixMillis),
    ) -> Result<Caller, Closed> {
        // Also a right token: it would tell the guesser that it was the right one.
        if let Some(left) = self.guesses.closed_out(peer.address, now) {
            return Err(Fault::guessing(left).into());
        }
        let token = bearer(headers).ok_or_else(Fault::unauthorized)?;
        match principals.by_token(&token_digest(token)) {
            Bearer::Unknown => {
                self.guesses.wrong(peer.address, now);
                Err(Fault::unauthorized().into())
            }
            Bearer::File(name) => {
                Ok(Caller::new(format!("token:{name}"), peer.door, TOKEN_FILE_ROLES))
            }
            Bearer::Principal(principal, token) => {
                let Token { name, sha256: _, expires, scope, from } = token;
                let means = format!("token:{name}");
                let closed = |fault: Fault| Closed {
                    fault: fault.into(),
                    who: Some(actor(principal, &means)),
                };
                // Whoever has the token may know what is wrong with it.
                if expires.is_some_and(|it| it <= unix_now) {
                    return Err(closed(Fault::token_expired()));
                }
                if !from.is_empty() && !from.iter().any(|it| it.contains(peer.address)) {
                    return Err(closed(Fault::token_elsewhere()));
                }
                let roles = scope.map_or(principal.roles, |it| it.and(principal.roles));
                enter(Known { principal, roles, means }, peer.door)
            }
        }
    }
}

fn by_certificate(principals: &Principals, peer: &TcpPeer) -> Result<Caller, Closed> {
    let shown = peer.certificate.as_deref().ok_or_else(Fault::unauthorized)?;
    // Another CA may write any subject.
    let own_subject = shown.is_own.then_some(shown.subject.as_str());
    match principals.by_certificate(&shown.sha256, own_subject) {
        Some(known) => enter(known, peer.door),
        None => Err(Fault::certificate_of_nobody().into()),
    }
}

fn actor(principal: &Principal, means: &str) -> String {
    format!("principal:{} by {means}", principal.name)
}

/// Lets a principal in who is not switched off.
fn enter(known: Known<'_>, door: Door) -> Result<Caller, Closed> {
    let Known { principal, roles, means } = known;
    if principal.disabled {
        return Err(Closed {
            fault: Fault::principal_disabled().into(),
            who: Some(actor(principal, &means)),
        });
    }
    let Principal { name, groups, scope, .. } = principal;
    let (name, groups, scope) = (format!("principal:{name}"), groups.clone(), scope.clone());
    Ok(Caller { means, groups, scope, ..Caller::new(name, door, roles) })
}

fn owner(uid: u32, roles: Roles) -> Caller {
    Caller::new(format!("local:{uid}"), Door::Local, roles)
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750, section 2.1). Two such headers are none.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    let fits = !token.is_empty() && token.len() <= TOKEN_BYTES_MAX;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}

#[cfg(test)]
mod tests;
