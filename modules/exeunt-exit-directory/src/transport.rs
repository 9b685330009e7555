//! The bytes between a server and the library: TCP or a Unix socket, TLS, and what the library does
//! not have: a bound on what a server answers.
//!
//! The library reads a message until its announced end, however far that is, and goes as deep into it
//! as it is nested. So TLS ends here, and the library gets a pair of sockets whose other end passes on
//! what [`Guard`] has looked at. Enter at [`connect`].

use std::{
    net::SocketAddr,
    os::unix::net::UnixStream as Pair,
    sync::{Arc, OnceLock},
    time::Duration,
};

use exeunt_publication::{
    outcome,
    resolver::{ADDRESSES_MAX, first},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split},
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use url::Url;

use crate::{result_code, settings::ConnectionSettings};

/// Longest message of a server, in octets. Active Directory takes values up to 10 MiB; `OpenLDAP`
/// takes 4 MiB at once unless it is told otherwise.
pub const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// How deep the parts of a message may be nested; an entry of a search has five levels (RFC 4511,
/// section 4.5.2).
pub const NESTING_MAX: usize = 16;

/// Longest answer to `StartTLS`, in octets.
const START_TLS_BYTES_MAX: usize = 4096;

/// Octets that are passed on at once.
const CHUNK_BYTES: usize = 16 << 10;

/// `StartTLS` as message 1 (RFC 4511, section 4.14.1).
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// What is said of bytes that are no message.
const NO_LDAP: &str = "the server's answer is no LDAP";

/// Why a connection was ended by us; nothing where it was not.
pub type Refused = Arc<OnceLock<&'static str>>;

/// The library's end of a connection, and what has to be run so that anything passes. It is there at
/// that moment or never.
///
/// # Errors
///
/// One line: what kept it from being made.
pub async fn connect(
    settings: &ConnectionSettings,
    url: &Url,
    refused: Refused,
    until: Instant,
) -> Result<(Pair, impl Future<Output = ()> + use<>), String> {
    let failed = |err: std::io::Error| outcome::chain(&err);
    let host = url.host_str().unwrap_or_default();
    let stream: Box<dyn Stream> = match url.scheme() {
        "ldapi" => {
            let path = percent_decoded(host).ok_or("its path is no path")?;
            Box::new(UnixStream::connect(path).await.map_err(failed)?)
        }
        scheme => {
            let port = url.port().unwrap_or(if scheme == "ldaps" { 636 } else { 389 });
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            let found = lookup_host((bare, port)).await.map_err(failed)?;
            let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
            let mut tcp = first(&addresses, until.into_std(), tcp).await?;
            tcp.set_nodelay(true).map_err(failed)?;
            if scheme == "ldap" && settings.start_tls {
                start_tls(&mut tcp).await?;
            }
            if scheme == "ldaps" || settings.start_tls {
                let name = ServerName::try_from(bare.to_owned())
                    .map_err(|err| format!("{host:?} is no name for a server: {err}"))?;
                let connector = TlsConnector::from(Arc::new(settings.tls.client_config()?));
                Box::new(connector.connect(name, tcp).await.map_err(failed)?)
            } else {
                Box::new(tcp)
            }
        }
    };
    let (ours, theirs) = Pair::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let ours = UnixStream::from_std(ours).map_err(failed)?;
    Ok((theirs, pass(stream, ours, refused)))
}

/// A connection to one address.
async fn tcp(address: SocketAddr, within: Duration) -> Result<TcpStream, String> {
    let connected = timeout(within, TcpStream::connect(address)).await;
    connected.map_err(|_| "no answer in time".to_owned())?.map_err(|err| err.to_string())
}

/// Whatever carries bytes both ways.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Asks for TLS and waits for the answer, of which nothing more than itself is read: what somebody puts
/// behind it is no answer over TLS.
async fn start_tls(tcp: &mut TcpStream) -> Result<(), String> {
    let failed = |err: std::io::Error| format!("StartTLS: {}", outcome::chain(&err));
    tcp.write_all(START_TLS).await.map_err(failed)?;
    let mut answer = vec![0; 2];
    tcp.read_exact(&mut answer).await.map_err(failed)?;
    let more = if answer[1] < 0x80 { 0 } else { usize::from(answer[1] & 0x7f).min(8) };
    answer.resize(2 + more, 0);
    tcp.read_exact(&mut answer[2..]).await.map_err(failed)?;
    let length = length(&answer[1..]).and_then(|it| usize::try_from(it).ok());
    let length = length.filter(|it| (1..=START_TLS_BYTES_MAX).contains(it));
    let mut message = vec![0; length.ok_or("StartTLS: the answer is no LDAP")?];
    tcp.read_exact(&mut message).await.map_err(failed)?;
    match started(&message) {
        Some(0) => Ok(()),
        Some(code) => {
            let name = result_code::find(u32::from(code)).name;
            Err(format!("StartTLS: the server says {name} ({code})"))
        }
        None => Err("StartTLS: the answer is no LDAP".to_owned()),
    }
}

/// The result code in what an `ExtendedResponse` to message 1 holds.
fn started(message: &[u8]) -> Option<u8> {
    let rest = message.strip_prefix(&[2, 1, 1, 0x78])?;
    let rest =
        rest.get(if *rest.first()? < 0x80 { 1 } else { 1 + usize::from(rest[0] & 0x7f) }..)?;
    let [0x0a, 1, code, ..] = rest else { return None };
    Some(*code)
}

/// A length in BER; none where it has no end or does not fit.
fn length(octets: &[u8]) -> Option<u64> {
    match octets {
        [short @ 0..=0x7f] => Some(u64::from(*short)),
        [long @ 0x81..=0x88, rest @ ..] if rest.len() == usize::from(long & 0x7f) => {
            Some(rest.iter().fold(0, |sum, it| sum << 8 | u64::from(*it)))
        }
        _ => None,
    }
}

/// Passes on both ways until one end is closed or the server's messages are not taken.
async fn pass(stream: Box<dyn Stream>, ours: UnixStream, refused: Refused) {
    let (mut from_server, mut to_server) = split(stream);
    let (mut from_us, mut to_us) = ours.into_split();
    let down = async {
        let mut guard = Guard::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(count @ 1..) = from_server.read(&mut chunk).await {
            if let Err(why) = guard.look(&chunk[..count]) {
                refused.set(why).ok();
                return;
            }
            if to_us.write_all(&chunk[..count]).await.is_err() {
                return;
            }
        }
    };
    let up = async {
        tokio::io::copy(&mut from_us, &mut to_server).await.ok();
        // TLS says farewell, too.
        to_server.shutdown().await.ok();
    };
    // What was passed on before the end of one way can still be read.
    tokio::select! {
        () = down => (),
        () = up => (),
    }
}

/// What a path in an address stands for.
fn percent_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

/// Whether what a server sends would be passed on to the library, if it came in pieces of `at_once`
/// octets; for trials of the guard alone.
///
/// # Errors
///
/// Why it would not.
pub fn check_messages(octets: &[u8], at_once: usize) -> Result<(), &'static str> {
    let mut guard = Guard::default();
    octets.chunks(at_once.max(1)).try_for_each(|it| guard.look(it))
}

/// Looks at a server's messages as they pass: their lengths and how they are nested, nothing else.
#[derive(Debug, Default)]
struct Guard {
    /// Octets that are left of each constructed part that is open, the message first.
    open: Vec<u64>,
    /// Octets that are left of a value.
    value: u64,
    /// The header of a part as far as it has come.
    header: Vec<u8>,
}

impl Guard {
    /// Takes the next octets.
    ///
    /// # Errors
    ///
    /// Why they are not to be passed on.
    fn look(&mut self, mut octets: &[u8]) -> Result<(), &'static str> {
        loop {
            let skipped = usize::try_from(self.value).unwrap_or(usize::MAX).min(octets.len());
            self.value -= skipped as u64;
            octets = &octets[skipped..];
            let Some((first, rest)) = octets.split_first() else { return Ok(()) };
            octets = rest;
            self.header.push(*first);
            while self.open.last() == Some(&0) {
                self.open.pop();
            }
            let needed = match self.header.get(1) {
                Some(it @ 0x80..) => 2 + usize::from(it & 0x7f),
                _ => 2,
            };
            // Where not even the header fits, the part around it would seem to be whole without it.
            if self.open.last().is_some_and(|left| *left < needed as u64) {
                return Err(NO_LDAP);
            }
            // No length has more octets, so that no header grows for ever.
            if needed <= self.header.len() || 10 < self.header.len() {
                self.begin()?;
            }
        }
    }

    /// A part begins, whose header is whole.
    fn begin(&mut self) -> Result<(), &'static str> {
        let header = std::mem::take(&mut self.header);
        let length = length(&header[1..]).ok_or(NO_LDAP)?;
        match self.open.last_mut() {
            None if header[0] != 0x30 => return Err(NO_LDAP),
            None if ANSWER_BYTES_MAX < length => {
                return Err("the server's answer is larger than 64 MiB");
            }
            None => (),
            Some(left) => {
                let whole = length.saturating_add(header.len() as u64);
                *left = left.checked_sub(whole).ok_or(NO_LDAP)?;
            }
        }
        if header[0] & 0x20 == 0 {
            self.value = length;
            return Ok(());
        }
        if NESTING_MAX <= self.open.len() {
            return Err("the server's answer is nested too deep");
        }
        self.open.push(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_testbed::silent::Silent;
    use proptest::prelude::*;
    use std::net::TcpListener;

    /// A result of a search that has found nothing, as servers write it: short lengths and long ones.
    const SHORT: &[u8] = &[0x30, 12, 2, 1, 2, 0x65, 7, 10, 1, 0, 4, 0, 4, 0];
    const LONG: &[u8] =
        &[0x30, 0x84, 0, 0, 0, 16, 2, 1, 2, 0x65, 0x84, 0, 0, 0, 7, 10, 1, 0, 4, 0, 4, 0];

    #[test]
    fn messages_pass_however_they_are_cut() {
        let all = [SHORT, LONG, SHORT].concat();
        for at_once in 1..=all.len() {
            assert_eq!(check_messages(&all, at_once), Ok(()));
        }
    }

    #[test]
    fn what_is_too_large_too_deep_or_no_message_does_not_pass() {
        let no_ldap = Err(NO_LDAP);
        let deep =
            |levels: u8| (0..levels).rev().flat_map(|it| [0x30, 2 * it]).collect::<Vec<u8>>();
        for (octets, expected) in [
            (vec![0x30, 0x84, 4, 0, 0, 0], Ok(())),
            (vec![0x30, 0x84, 4, 0, 0, 1], Err("the server's answer is larger than 64 MiB")),
            (
                vec![0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                Err("the server's answer is larger than 64 MiB"),
            ),
            (deep(16), Ok(())),
            (deep(17), Err("the server's answer is nested too deep")),
            (b"HTTP/1.1 400 Bad Request".to_vec(), no_ldap),
            (vec![0x30, 0x80, 2, 1, 2], no_ldap),
            (vec![0x30, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0], no_ldap),
            (vec![0x30, 3, 4, 2, 0, 0], no_ldap),
            // The message ends within the header of a part of it.
            (vec![0x30, 1, 4], no_ldap),
            (vec![0x30, 4, 4, 0x84, 0, 0], no_ldap),
        ] {
            for at_once in [1, octets.len()] {
                assert_eq!(check_messages(&octets, at_once), expected, "{octets:02x?}");
            }
        }
    }

    #[test]
    fn the_answer_to_starttls_is_understood_in_both_ways_of_writing() {
        assert_eq!(started(&[2, 1, 1, 0x78, 7, 10, 1, 0, 4, 0, 4, 0]), Some(0));
        assert_eq!(started(&[2, 1, 1, 0x78, 0x84, 0, 0, 0, 7, 10, 1, 52, 4, 0, 4, 0]), Some(52));
        for octets in
            [&[][..], &[2, 1, 2, 0x78, 7, 10, 1, 0], &[2, 1, 1, 0x78], &[2, 1, 1, 0x78, 0x84]]
        {
            assert_eq!(started(octets), None);
        }
        assert_eq!(usize::from(START_TLS[1]) + 2, START_TLS.len());
    }

    #[test]
    fn an_address_that_is_silent_leaves_time_for_the_next_one() {
        let (silent, good) = (Silent::start(), TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = [silent.address(), good.local_addr().unwrap()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(2);
        let stream = runtime.block_on(first(&addresses, until, tcp)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), addresses[1]);
    }

    #[test]
    fn a_path_is_decoded() {
        assert_eq!(percent_decoded("%2Frun%2fldapi").as_deref(), Some("/run/ldapi"));
        assert_eq!(percent_decoded("a%2"), None);
        assert_eq!(percent_decoded("%zz"), None);
    }

    proptest! {
        /// Whatever a server sends, and however it is cut: the same is said, and little is kept.
        #[test]
        fn any_octets_are_judged_alike_however_they_are_cut(
            octets in prop::collection::vec(prop_oneof![Just(0x30_u8), 0_u8..8, any::<u8>()], 0..200),
            at_once in 1_usize..50,
        ) {
            let mut guard = Guard::default();
            let judged = octets.chunks(at_once).try_for_each(|it| guard.look(it));
            prop_assert_eq!(judged, check_messages(&octets, 200));
            prop_assert!(guard.open.len() <= NESTING_MAX && guard.header.len() <= 10);
        }
    }
}
