//! One conversation with the mail server.
//!
//! A mail is one transaction for all its recipients, so that it is taken for all of them or for none:
//! only the server's answer to the end of the mail counts, and nothing is sent before every recipient
//! is accepted. Each answer has to have exactly the code that its command asks for. Otherwise somebody
//! who puts an answer in front of TLS could have us take one answer for another.

use std::{
    error::Error as _,
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

use exeunt_publication::{
    outcome::{chain, line},
    resolver::{Resolver, turns},
    secret::Secret,
};
use lettre::{
    Address,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{Certificate, CertificateStore, SmtpConnection, TlsParameters},
        commands::{Data, Ehlo, Mail, Rcpt, Rset},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
        response::Response,
    },
};

use crate::{
    compose::Mail as Letter,
    recipient::is_domain,
    settings::{RefusedRecipient, Security, Server},
};

/// Longest that a connection waits for its next mail, so that it is still there: servers give up after
/// some minutes (RFC 5321, section 4.5.3.2.7: at least five).
const IDLE_MAX: Duration = Duration::from_mins(1);

/// What is waited for until a server can be spoken with: the connection, its greeting, and its answer to
/// ours.
const CONNECT_WAITS: u32 = 3;

/// Shortest of these waits: the system takes no time of zero.
const CONNECT_WAIT_MIN: Duration = Duration::from_millis(1);

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server cannot be spoken with, or does not take us: any other mail would fare the same now.
    Server(String),
    /// A connection that had been used before is no more, and nothing was begun on it.
    Stale(String),
    /// A setting has to be mended, and then all goes on by itself; a mail by another rule may well be
    /// taken.
    Setting(String),
    /// Not now, and another mail may well be taken.
    Later(String),
    /// Never to these people, whatever the mail is.
    Nobody(String),
    /// This mail never, as long as nobody changes something.
    Refused(String),
}

/// A greeted, secured and authenticated connection.
pub struct Connection {
    smtp: SmtpConnection,
    timeout: Duration,
    /// Largest mail that the server takes, in octets; `None` where it does not say.
    size_max: Option<usize>,
    last_used: Instant,
    /// Whether a mail was sent over it before.
    used: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connection").field("used", &self.used).finish_non_exhaustive()
    }
}

/// How far a conversation is, for the reason that an operator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Until the server has greeted us.
    Connect,
    /// TLS, and the server's certificate.
    Secure,
    /// The user.
    Authenticate,
}

impl Connection {
    /// Connects, secures and authenticates.
    ///
    /// # Errors
    ///
    /// One line, and how far it came.
    pub fn open(
        server: &Server,
        resolver: &Resolver,
        until: Instant,
    ) -> Result<Self, (Stage, String)> {
        let place = format!("{}:{}", server.host, server.port);
        let connecting = |why: String| (Stage::Connect, format!("{place}: {why}"));
        let securing = |why: String| (Stage::Secure, format!("{place}: {why}"));
        let hello = client_id(server.hello.as_deref());
        let parameters = match server.security {
            Security::Nothing => None,
            Security::StartTls | Security::Tls => Some(tls_parameters(server).map_err(securing)?),
        };
        let from_the_start = parameters.as_ref().filter(|_| server.security == Security::Tls);
        let within = left(server.timeout, until).map_err(connecting)?;
        let addresses = resolver.addresses(within).map_err(connecting)?;
        let mut smtp = connect(&addresses, server.timeout, until, &hello, from_the_start)
            .map_err(connecting)?;
        if server.security == Security::StartTls
            && let Some(parameters) = &parameters
        {
            if !smtp.can_starttls() {
                return Err(securing("the server does not offer STARTTLS".to_owned()));
            }
            let timeout = left(server.timeout, until).map_err(securing)?;
            smtp.set_timeout(Some(timeout)).map_err(|err| securing(err.to_string()))?;
            smtp.starttls(parameters, &hello).map_err(|err| securing(said(&err)))?;
        }
        if !server.tls.pins.is_empty() {
            let shown = smtp.peer_certificate().map_err(|err| securing(said(&err)))?;
            if !server.tls.is_pinned(&shown) {
                let why = "the server's certificate is none of server_certificate_sha256";
                return Err(securing(why.to_owned()));
            }
        }
        let mut connection = Self {
            smtp,
            timeout: server.timeout,
            size_max: None,
            last_used: Instant::now(),
            used: false,
        };
        connection.ask_size(&hello, until).map_err(securing)?;
        connection.authenticate(server, until).map_err(|why| (Stage::Authenticate, why))?;
        Ok(connection)
    }

    /// Asks once more what the server can do: the library does not keep the limit that it names.
    fn ask_size(&mut self, hello: &ClientId, until: Instant) -> Result<(), String> {
        self.limit(until)?;
        let answer = self.smtp.command(Ehlo::new(hello.clone())).map_err(|err| said(&err))?;
        has_code(&answer, 250)?;
        self.size_max = size_max(&answer);
        Ok(())
    }

    fn authenticate(&mut self, server: &Server, until: Instant) -> Result<(), String> {
        let Some((user, file)) = &server.login else { return Ok(()) };
        // Read each time: a password may be changed while the module runs.
        let secret = Secret::read("password_file", file)?;
        let credentials = Credentials::new(user.clone(), secret.text("password_file")?.to_owned());
        self.limit(until)?;
        let answer = self
            .smtp
            .auth(DEFAULT_MECHANISMS, &credentials)
            .map_err(|err| format!("the server does not take the user {user:?}: {}", said(&err)))?;
        has_code(&answer, 235).map_err(|why| format!("authenticating as {user:?}: {why}"))
    }

    /// Whether it may be used once more.
    pub fn is_fresh(&self) -> bool {
        !self.smtp.has_broken() && self.last_used.elapsed() < IDLE_MAX
    }

    /// Sends a mail. Success means that the server has taken it, and says which recipients were left
    /// out, a line each. After [`Failure::Server`] and [`Failure::Stale`] the connection is of no use.
    ///
    /// # Errors
    ///
    /// Nobody got the mail, as far as can be known: where the connection breaks behind the end of the
    /// mail, the server may have taken it.
    pub fn send(
        &mut self,
        letter: &Letter,
        policy: RefusedRecipient,
        until: Instant,
    ) -> Result<Vec<String>, Failure> {
        let sent = self.transact(letter, policy, until);
        self.last_used = Instant::now();
        self.used = true;
        match &sent {
            Err(
                Failure::Setting(_) | Failure::Later(_) | Failure::Nobody(_) | Failure::Refused(_),
            ) => {
                if self.reset(until).is_err() {
                    self.smtp.abort();
                }
            }
            Err(Failure::Server(_) | Failure::Stale(_)) => self.smtp.abort(),
            Ok(_) => (),
        }
        sent
    }

    fn transact(
        &mut self,
        letter: &Letter,
        policy: RefusedRecipient,
        until: Instant,
    ) -> Result<Vec<String>, Failure> {
        // 1. The sender.
        match self.begin(letter, until) {
            Err(Failure::Server(why)) if self.used => return Err(Failure::Stale(why)),
            other => other?,
        }
        // 2. Every recipient.
        let mut left_out = Vec::new();
        // Whether one of them is the operator's to mend; then all goes on by itself.
        let mut can_be_mended = false;
        for recipient in &letter.recipients {
            if let Err(mut why) = self.recipient(recipient, until)? {
                if let Some((_, setting)) = letter.fixed.iter().find(|(it, _)| it == recipient) {
                    can_be_mended = true;
                    why = format!("{why} (it stands in the setting {setting:?})");
                }
                left_out.push(why);
                if policy == RefusedRecipient::Park {
                    break;
                }
            }
        }
        let is_refused = policy == RefusedRecipient::Park && !left_out.is_empty();
        if is_refused || left_out.len() == letter.recipients.len() {
            let why = left_out.join("; ");
            return Err(if can_be_mended { Failure::Later(why) } else { Failure::Nobody(why) });
        }
        // 3. The mail. What the server says at its end is what counts.
        self.limit(until).map_err(Failure::Server)?;
        let answer = self.smtp.command(Data).map_err(|err| failure("DATA", &err))?;
        has_code(&answer, 354).map_err(Failure::Server)?;
        // The last answer may take long, for servers look at what is in a mail; and who gives up before
        // it comes has sent the mail twice in the end. So it has all the time that is left.
        let rest = left(Duration::MAX, until).map_err(Failure::Server)?;
        self.smtp.set_timeout(Some(rest)).map_err(|err| Failure::Server(err.to_string()))?;
        let answer = self
            .smtp
            .command(Content(&letter.text))
            .map_err(|err| failure("the mail itself", &err))?;
        has_code(&answer, 250).map_err(Failure::Server)?;
        Ok(left_out)
    }

    /// Names the sender.
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    pub fn begin(&mut self, letter: &Letter, until: Instant) -> Result<(), Failure> {
        let size = letter.text.len();
        if let Some(size_max) = self.size_max.filter(|it| *it < size) {
            return Err(Failure::Refused(format!(
                "the mail has {size} octets, and the server takes {size_max} at most"
            )));
        }
        let mut parameters = Vec::new();
        let supports = |extension| self.smtp.server_info().supports_feature(extension);
        let all = letter.recipients.iter().chain([&letter.sender]);
        if all.into_iter().any(|it| !it.to_string().is_ascii()) {
            if !supports(Extension::SmtpUtfEight) {
                let why = "an address is not of ASCII, and the server does not take SMTPUTF8";
                return Err(Failure::Nobody(why.to_owned()));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !letter.text.is_ascii() && supports(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        self.limit(until).map_err(Failure::Server)?;
        let command = Mail::new(Some(letter.sender.clone()), parameters);
        let answer = self.smtp.command(command).map_err(|err| {
            match failure(&format!("the sender {}", letter.sender), &err) {
                Failure::Refused(why) => Failure::Setting(why),
                other => other,
            }
        })?;
        has_code(&answer, 250).map_err(Failure::Server)
    }

    /// Names a recipient. The inner error is a refusal for good.
    ///
    /// # Errors
    ///
    /// As [`Connection::send`].
    pub fn recipient(
        &mut self,
        address: &Address,
        until: Instant,
    ) -> Result<Result<(), String>, Failure> {
        self.limit(until).map_err(Failure::Server)?;
        match self.smtp.command(Rcpt::new(address.clone(), Vec::new())) {
            // 251: it will be forwarded; 252: it cannot be verified and will be tried (RFC 5321,
            // section 4.2.3).
            Ok(answer) if [250, 251, 252].iter().any(|it| answer.has_code(*it)) => Ok(Ok(())),
            Ok(answer) => Err(Failure::Server(unexpected(&answer))),
            Err(err) => match failure(&format!("the recipient {address}"), &err) {
                Failure::Refused(why) => Ok(Err(why)),
                other => Err(other),
            },
        }
    }

    /// Forgets the transaction that was begun.
    ///
    /// # Errors
    ///
    /// The connection is of no use any more.
    pub fn reset(&mut self, until: Instant) -> Result<(), String> {
        self.limit(until)?;
        let answer = self.smtp.command(Rset).map_err(|err| said(&err))?;
        has_code(&answer, 250)
    }

    /// Says farewell.
    pub fn close(mut self) {
        if self.smtp.set_timeout(Some(Duration::from_secs(1))).is_ok() {
            // Whatever it answers: all mails are settled.
            self.smtp.quit().ok();
        }
    }

    /// Bounds the next answer by what is left of the time. A server that gives its answer octet by
    /// octet can take longer; then the host ends this process and tells the events again.
    fn limit(&mut self, until: Instant) -> Result<(), String> {
        let timeout = left(self.timeout, until)?;
        self.smtp.set_timeout(Some(timeout)).map_err(|err| err.to_string())
    }
}

/// A mail as it goes over the line, with its end: a dot before each line that starts with one, and one
/// alone at last (RFC 5321, section 4.5.2). The library has a function for it, which writes the end by
/// itself; it then waits for some 40 ms until the server's system has acknowledged the rest.
struct Content<'a>(&'a str);

impl fmt::Display for Content<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text) = self;
        for line in text.strip_suffix("\r\n").unwrap_or(text).split("\r\n") {
            let dot = if line.starts_with('.') { "." } else { "" };
            write!(out, "{dot}{line}\r\n")?;
        }
        out.write_str(".\r\n")
    }
}

fn left(timeout: Duration, until: Instant) -> Result<Duration, String> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err("no time is left before the deadline of the event".to_owned());
    }
    Ok(timeout.min(left))
}

fn client_id(hello: Option<&str>) -> ClientId {
    let machine = || rustix::system::uname().nodename().to_str().map(str::to_owned).ok();
    let name = hello.map(str::to_owned).or_else(machine).filter(|it| is_domain(it));
    name.map_or_else(ClientId::default, ClientId::Domain)
}

/// The library's own way to say what `tls` says. With pins it takes every certificate, whose holder it
/// still makes prove that it has the key, and [`Connection::open`] compares before it goes on.
fn tls_parameters(server: &Server) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(server.host.clone());
    if !server.tls.pins.is_empty() {
        builder = builder
            .certificate_store(CertificateStore::None)
            .dangerous_accept_invalid_certs(true)
            .dangerous_accept_invalid_hostnames(true);
    } else if let Some(path) = &server.tls.ca_file {
        let refused = |why: String| format!("ca_file: {}: {why}", path.display());
        let content = std::fs::read(path).map_err(|err| refused(err.to_string()))?;
        let certificates = Certificate::from_pem(&content).map_err(|err| refused(said(&err)))?;
        builder =
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificates);
    }
    builder.build().map_err(|err| said(&err))
}

fn has_code(answer: &Response, code: u16) -> Result<(), String> {
    if answer.has_code(code) { Ok(()) } else { Err(unexpected(answer)) }
}

fn unexpected(answer: &Response) -> String {
    let words: Vec<&str> = answer.message().collect();
    line(&format!(
        "the server answers {} {} where that makes no sense",
        answer.code(),
        words.join(" ")
    ))
}

/// What the server's refusal means for the mail at hand.
fn failure(what: &str, err: &Error) -> Failure {
    let Some(code) = err.status() else {
        return Failure::Server(format!("{what}: {}", said(err)));
    };
    let why = format!("{what}: {}", said(err));
    match u16::from(code) {
        // Whatever the mail: it closes the connection, who we are is not enough, or it is full or at
        // rest itself.
        421 | 530 | 534 | 535 | 538 => Failure::Server(why),
        400..=499 if is_of_the_system(err) => Failure::Server(why),
        // Too big for ever, and not full for now.
        552 if is_too_big(err) => Failure::Refused(why),
        // Full, in the permanent form too.
        552 => Failure::Later(why),
        500..=599 => Failure::Refused(why),
        _ => Failure::Later(why),
    }
}

/// Whether the server says of its refusal that the mail is too big, for a mailbox or for itself
/// (RFC 3463, sections 3.3 and 3.4).
fn is_too_big(err: &Error) -> bool {
    has_status(err, &["5.2.3", "5.3.4"])
}

/// Whether it speaks of itself: storage is full, or it takes nothing at the moment (RFC 3463, X.3.1 and
/// X.3.2).
fn is_of_the_system(err: &Error) -> bool {
    has_status(err, &["4.3.1", "4.3.2"])
}

/// Whether the answer begins with one of these enhanced status codes.
fn has_status(err: &Error, codes: &[&str]) -> bool {
    let words = err.source().map(ToString::to_string).unwrap_or_default();
    words.split_whitespace().next().is_some_and(|it| codes.contains(&it))
}

/// The limit in an answer to EHLO. None and zero are none (RFC 1870, section 4).
fn size_max(answer: &Response) -> Option<usize> {
    answer
        .message()
        .filter_map(|line| line.split_once(' '))
        .filter(|(word, _)| word.eq_ignore_ascii_case("SIZE"))
        .find_map(|(_, octets)| octets.trim().parse().ok().filter(|it| *it != 0))
}

/// Connects to the first of the addresses that greets us. They share the time that is left, so that one
/// that is silent leaves some to those behind it.
fn connect(
    addresses: &[SocketAddr],
    timeout: Duration,
    until: Instant,
    hello: &ClientId,
    tls: Option<&TlsParameters>,
) -> Result<SmtpConnection, String> {
    let mut failed = "the name has no address".to_owned();
    for (address, within) in turns(addresses, until) {
        left(within, until)?;
        let timeout = timeout.min(within / CONNECT_WAITS).max(CONNECT_WAIT_MIN);
        match SmtpConnection::connect(address, Some(timeout), hello, tls, None) {
            Ok(smtp) => return Ok(smtp),
            Err(err) => failed = format!("{address}: {}", said(&err)),
        }
    }
    Err(failed)
}

/// The server's words, or what went wrong, in one line.
fn said(err: &Error) -> String {
    let text = match (err.status(), err.source()) {
        (Some(code), Some(words)) => format!("{code} {words}"),
        _ => chain(err),
    };
    line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    use exeunt_testbed::smtp::{Security as In, Setup, Smtp};

    fn silent() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[test]
    fn many_silent_addresses_take_no_more_than_the_time_that_is_left() {
        // The system takes the connections, and nobody says a word.
        let servers: Vec<_> = (0..8).map(|_| silent()).collect();
        let addresses: Vec<SocketAddr> = servers.iter().map(|it| it.1).collect();
        let start = Instant::now();
        let until = start + Duration::from_secs(2);
        let hello = ClientId::default();
        assert!(connect(&addresses, Duration::from_mins(1), until, &hello, None).is_err());
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[test]
    fn a_silent_address_does_not_hide_the_one_behind_it() {
        let setup = Setup { security: In::None, authentication: false, ..Setup::default() };
        let server = Smtp::start(&setup);
        let addresses = [silent().1, SocketAddr::from(([127, 0, 0, 1], server.port()))];
        let (_listener, first) = silent();
        // So far away that each address has all of the timeout, in which a busy server greets, too.
        let until = Instant::now() + Duration::from_mins(1);
        let (hello, timeout) = (ClientId::default(), Duration::from_secs(3));
        assert!(connect(&[first, addresses[1]], timeout, until, &hello, None).is_ok());
        // The first of these has hung up: its listener is gone.
        assert!(connect(&addresses, timeout, until, &hello, None).is_ok());
    }

    #[test]
    fn the_largest_mail_is_what_the_server_says_and_zero_is_no_limit() {
        for (line, expected) in [
            ("SIZE 1000", Some(1000)),
            ("size 1000", Some(1000)),
            ("SIZE 0", None),
            ("SIZE", None),
            ("SIZE x", None),
            ("8BITMIME", None),
        ] {
            let answer: Response = format!("250-mail\r\n250 {line}\r\n").parse().unwrap();
            assert_eq!(size_max(&answer), expected, "{line}");
        }
    }

    #[test]
    fn a_mail_goes_over_the_line_with_its_dots_doubled_and_ends_with_one() {
        for (text, sent) in [
            ("A: b\r\n\r\nc\r\n", "A: b\r\n\r\nc\r\n.\r\n"),
            (".\r\n..\r\na.\r\n", "..\r\n...\r\na.\r\n.\r\n"),
            ("a\r\n\r\n", "a\r\n\r\n.\r\n"),
            ("a\r\n.", "a\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(Content(text).to_string(), sent);
        }
    }
}
