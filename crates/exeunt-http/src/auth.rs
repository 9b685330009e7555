//! Who is at the door.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use exeunt_engine::{Caller, Door};
use exeunt_types::Roles;
use hyper::header::{AUTHORIZATION, HeaderMap};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::fault::Fault;

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
    /// The Unix socket, with the server's own user or root behind it.
    Local(Caller),
    /// The Unix socket, with somebody else behind it.
    Stranger,
    /// TCP; the token says who.
    Tcp(Door),
}

impl Peer {
    /// Judges the user behind a Unix socket.
    pub(crate) fn local(uid: u32, own_uid: u32) -> Self {
        if uid == own_uid || uid == 0 {
            Self::Local(Caller::new(format!("local:{uid}"), Door::Local, Roles::ALL))
        } else {
            Self::Stranger
        }
    }

    /// Judges the other end of a TCP connection.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        // An IPv6 socket shows IPv4 peers as mapped addresses.
        let loopback = address.ip().to_canonical().is_loopback();
        Self::Tcp(if loopback { Door::Loopback } else { Door::Remote })
    }
}

/// Who may come in by TCP. Holds digests only.
pub(crate) struct Tokens(Vec<(String, [u8; 32])>);

impl Tokens {
    pub(crate) fn new(tokens: Vec<(String, [u8; 32])>) -> Self {
        let caller = |name| format!("token:{name}");
        Self(tokens.into_iter().map(|(name, digest)| (caller(name), digest)).collect())
    }

    /// The caller behind a connection's request.
    pub(crate) fn caller(&self, peer: &Peer, headers: &HeaderMap) -> Result<Caller, Fault> {
        match peer {
            Peer::Local(caller) => Ok(caller.clone()),
            Peer::Stranger => Err(Fault::stranger()),
            Peer::Tcp(door) => bearer(headers)
                .and_then(|token| self.find(&token_digest(token)))
                .map(|name| Caller::new(name, *door, Roles::READER | Roles::ENROLLEE))
                .ok_or_else(Fault::unauthorized),
        }
    }

    /// Compares with every digest, so that the time taken tells nothing about any of them.
    fn find(&self, presented: &[u8; 32]) -> Option<&str> {
        let mut found = u64::MAX;
        for (place, (_, known)) in (0_u64..).zip(&self.0) {
            let same: Choice = known.as_slice().ct_eq(presented.as_slice());
            found.conditional_assign(&place, same);
        }
        let (name, _) = self.0.get(usize::try_from(found).ok()?)?;
        Some(name)
    }
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
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &[&str], expected: Option<&str>) {
        let tokens = Tokens::new(vec![
            ("first".to_owned(), token_digest("one")),
            ("second".to_owned(), token_digest("two")),
        ]);
        let mut headers = HeaderMap::new();
        for value in header {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        let caller = tokens.caller(&Peer::Tcp(Door::Remote), &headers).ok();
        assert_eq!(caller.map(|it| it.name).as_deref(), expected, "{header:?}");
    }

    #[test]
    fn only_a_known_token_has_a_name() {
        check(&["Bearer one"], Some("token:first"));
        check(&["bearer  two"], Some("token:second"));
        for bad in ["Bearer three", "Bearer ", "Bearer", "one", "Basic one", "Bearer one two"] {
            check(&[bad], None);
        }
        check(&[], None);
        check(&["Bearer one", "Bearer one"], None);
        check(&[&format!("Bearer {}", "x".repeat(TOKEN_BYTES_MAX + 1))], None);
    }

    // The digest of "abc" is the example of FIPS 180-2, appendix B.1.
    #[test]
    fn a_token_is_known_by_its_sha_256() {
        assert_eq!(token_digest("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn only_the_servers_own_user_and_root_are_local() {
        assert!(
            matches!(Peer::local(1000, 1000), Peer::Local(caller) if caller.name == "local:1000")
        );
        assert!(matches!(Peer::local(0, 1000), Peer::Local(_)));
        assert!(matches!(Peer::local(1001, 1000), Peer::Stranger));
        assert!(matches!(Peer::local(1000, 0), Peer::Stranger));
    }

    #[test]
    fn a_token_from_this_machine_comes_by_loopback() {
        for near in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(
                matches!(Peer::tcp(near.parse().unwrap()), Peer::Tcp(Door::Loopback)),
                "{near}"
            );
        }
        for far in ["192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"] {
            assert!(matches!(Peer::tcp(far.parse().unwrap()), Peer::Tcp(Door::Remote)), "{far}");
        }
    }
}
