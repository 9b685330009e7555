//! The module itself: what happens to a batch of events, in order.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use exeunt_module_kit::{
    CallBacks, Event, EventMask, ExitModule, Facts, Greeted, Initialize, MaintainExitModule,
    ManageExitModule, Outcome, Value, exit_event,
    maintain::{Check, TestReport},
    manage::ManageModule,
    notify_as_batch,
};
use exeunt_publication::{outcome, resolver::Resolver, time};

use crate::{
    connection::{Connection, Datagrams, said},
    message::{LENGTH_MIN, message, message_within},
    settings::{self, Confirm, ENTERPRISE_NUMBER_EXAMPLE, Settings, Transport},
};

/// What the module is, in one line.
const DESCRIPTION: &str = "writes events to syslog";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "syslog", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// Most events of one batch: what is written before the server is asked whether it has read it.
const BATCH_MAX: usize = 256;

/// Why a batch that was written does not count.
const NOT_CONFIRMED: &str = "the server did not confirm that it has read";

/// The exit module. It starts its work with the host's greeting.
#[derive(Debug, Default)]
pub struct SyslogExit {
    state: Greeted<State>,
}

#[derive(Debug)]
struct State {
    settings: Settings,
    resolver: Resolver,
    /// How long all of a batch may take.
    timeout: Duration,
    /// The connection that is kept where nothing is confirmed.
    kept: Option<Connection>,
}

/// A message, and what it is made of: for a way that is too narrow it is made shorter.
struct Outgoing<'a> {
    event: &'a Event,
    octets: Vec<u8>,
}

impl SyslogExit {
    fn state(hello: &Initialize) -> Result<State, String> {
        let settings = Settings::read(&hello.settings)?;
        let budget = time::budget(hello.deadline_ms);
        let timeout = time::timeout_within(settings.timeout, budget)?;
        if settings.transport == Transport::Tls {
            // What is wrong with its files is said at once.
            settings.tls.client_config()?;
        }
        let resolver = Resolver::new(&settings.host, settings.port);
        Ok(State { settings, resolver, timeout, kept: None })
    }
}

impl ExitModule for SyslogExit {
    fn use_call_backs(&mut self, _call_backs: &CallBacks) -> bool {
        // Nothing is asked for; the events are smaller so.
        true
    }

    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        self.state.set(Self::state(hello)?);
        Ok(EventMask(exit_event::ALL))
    }

    fn description(&self) -> String {
        DESCRIPTION.to_owned()
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }

    fn maintained(&mut self) -> Option<&mut dyn MaintainExitModule> {
        Some(self)
    }

    fn batch_max(&self) -> usize {
        BATCH_MAX
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        notify_as_batch(self, event)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        self.state.notify_batch(events, State::tell)
    }

    fn shutdown(&mut self) {
        if let Ok(state) = self.state.get_mut()
            && let Some(connection) = state.kept.take()
        {
            // In good order; what was written was accepted long ago.
            connection.close(false, Instant::now() + Duration::from_secs(1)).ok();
        }
    }
}

impl ManageExitModule for SyslogExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &serde_json::Value) -> Result<(), String> {
        // With a server, which most sets of settings have to have.
        let server = ("server".to_owned(), "log.example.com".into());
        let mut written = serde_json::Map::from_iter([server]);
        written.insert(name.to_owned(), value.clone());
        match Settings::read(&written) {
            // One that only goes with another cannot be looked at alone.
            Err(err) if err.ends_with("go together") || err.ends_with("alone") => Ok(()),
            Err(err) => Err(err),
            Ok(_) => Ok(()),
        }
    }

    fn configure(
        &mut self,
        settings: &serde_json::Map<String, serde_json::Value>,
        _flags: u32,
    ) -> Result<(), String> {
        Settings::read(settings).map(drop)
    }
}

impl MaintainExitModule for SyslogExit {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        self.state.set(Self::state(hello)?);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let state = self.state.get()?;
        let would_write = samples
            .iter()
            .map(|event| String::from_utf8_lossy(&message(&state.settings, event)).into_owned())
            .collect();
        Ok(TestReport { checks: state.checks(), would_write })
    }
}

impl State {
    fn tell(&mut self, events: &[Event]) -> Vec<Outcome> {
        let until = Instant::now() + self.timeout;
        let outgoing = |event| Outgoing { event, octets: message(&self.settings, event) };
        let messages: Vec<Outgoing<'_>> = events.iter().map(outgoing).collect();
        let mut sent = self.send(&messages, until).into_iter();
        events
            .iter()
            .map(|_| match sent.next() {
                Some(Ok(())) => Outcome::Accept,
                Some(Err(reason)) => outcome::target_retry(reason),
                None => outcome::target_retry("it was not sent"),
            })
            .collect()
    }

    /// Sends messages; the answers are in their order.
    fn send(&mut self, messages: &[Outgoing<'_>], until: Instant) -> Vec<Result<(), String>> {
        if messages.is_empty() {
            return Vec::new();
        }
        match self.settings.transport {
            Transport::Tls | Transport::Tcp => {
                let sent = self.stream(&framed(messages), until);
                vec![sent; messages.len()]
            }
            Transport::Udp | Transport::Unix => match self.datagrams(until) {
                Ok(datagrams) => send_each(&self.settings, &datagrams, messages, until),
                Err(reason) => vec![Err(reason); messages.len()],
            },
        }
    }

    fn stream(&mut self, octets: &[u8], until: Instant) -> Result<(), String> {
        match self.settings.confirm {
            Confirm::Close | Confirm::Farewell => {
                let mut connection = self.open(until)?;
                connection.write(octets, until).map_err(|err| {
                    format!("writing to {}: {}", self.settings.place(), said(&err))
                })?;
                connection.close(self.settings.farewell(), until).map_err(|err| {
                    format!("{}: {NOT_CONFIRMED}: {}", self.settings.place(), why_not(&err))
                })
            }
            Confirm::Written => {
                let kept = self.kept.take();
                let mut connection = match kept.and_then(Connection::still_open) {
                    Some(connection) => connection,
                    None => self.open(until)?,
                };
                connection.write(octets, until).map_err(|err| {
                    format!("writing to {}: {}", self.settings.place(), said(&err))
                })?;
                self.kept = connection.still_open();
                match self.kept {
                    Some(_) => Ok(()),
                    None => Err(format!("{} has closed the connection", self.settings.place())),
                }
            }
        }
    }

    fn addresses(&self, until: Instant) -> Result<Vec<SocketAddr>, String> {
        self.resolver.addresses(until.saturating_duration_since(Instant::now()))
    }

    fn open(&self, until: Instant) -> Result<Connection, String> {
        // The files are read each time: certificates are renewed.
        let tls = match self.settings.transport {
            Transport::Tls => Some(Arc::new(self.settings.tls.client_config()?)),
            _ => None,
        };
        Connection::open(&self.settings.host, &self.addresses(until)?, tls, until)
    }

    fn datagrams(&self, until: Instant) -> Result<Datagrams, String> {
        match self.settings.transport {
            Transport::Unix => Datagrams::unix(&self.settings.path, self.timeout),
            _ => Datagrams::udp(&self.addresses(until)?, self.timeout),
        }
    }

    /// Tries what can be tried without a message.
    fn checks(&self) -> Vec<Check> {
        let until = Instant::now() + self.timeout;
        let place = self.settings.place();
        let mut checks = Vec::new();
        let what = format!("connect to {place}");
        match self.settings.transport {
            Transport::Tls | Transport::Tcp => match self.open(until) {
                Err(reason) => checks.push(Check::failed(what, reason)),
                Ok(connection) => {
                    checks.push(Check::passed(what, connection.protocol()));
                    if self.settings.confirm != Confirm::Written {
                        checks.push(confirms(connection, self.settings.farewell(), until));
                    }
                }
            },
            Transport::Udp | Transport::Unix => match self.datagrams(until) {
                Err(reason) => checks.push(Check::failed(what, reason)),
                Ok(_) if self.settings.transport == Transport::Udp => {
                    let text = "nobody says whether a datagram arrives; tls and tcp can";
                    checks.push(Check::warning(what, text));
                }
                Ok(_) => checks.push(Check::passed(what, "somebody listens")),
            },
        }
        if self.settings.enterprise_number == ENTERPRISE_NUMBER_EXAMPLE {
            let text = "the number for examples is used; if you have one of your own, set it";
            checks.push(Check::passed("enterprise_number", text));
        }
        checks
    }
}

/// Whether a server closes when it is told that nothing comes.
fn confirms(connection: Connection, farewell: bool, until: Instant) -> Check {
    let what = "confirm by closing";
    match connection.close(farewell, until) {
        Ok(()) => Check::passed(what, "the server closes when it has read everything"),
        Err(err) => Check::failed(what, why_not(&err)),
    }
}

/// Why a close confirms nothing, and what to do.
fn why_not(err: &io::Error) -> String {
    let (what, instead) = match err.kind() {
        io::ErrorKind::TimedOut => {
            ("it does not close when it is told that nothing more comes", "written")
        }
        io::ErrorKind::UnexpectedEof => ("it closes without the farewell of TLS", "close"),
        _ => return said(err),
    };
    format!("{what}; if it never does otherwise, set confirm = {instead:?}")
}

/// Each message with its length before it (RFC 5425, section 4.3; RFC 6587, section 3.4.1).
fn framed(messages: &[Outgoing<'_>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for message in messages {
        octets.extend_from_slice(message.octets.len().to_string().as_bytes());
        octets.push(b' ');
        octets.extend_from_slice(&message.octets);
    }
    octets
}

/// Sends one. What the way is too narrow for is sent in half the octets, and so on down to what every
/// receiver takes (RFC 5424, section 6.1): a shorter message says more than none.
fn send_one(settings: &Settings, datagrams: &Datagrams, message: &Outgoing<'_>) -> io::Result<()> {
    let is_too_long = |sent: &io::Result<()>| {
        let number = sent.as_ref().err().and_then(io::Error::raw_os_error);
        number == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
    };
    let mut length = message.octets.len();
    let mut sent = datagrams.send(&message.octets);
    while is_too_long(&sent) && LENGTH_MIN < length {
        length = (length / 2).max(LENGTH_MIN);
        sent = datagrams.send(&message_within(settings, message.event, length));
    }
    sent
}

fn send_each(
    settings: &Settings,
    datagrams: &Datagrams,
    messages: &[Outgoing<'_>],
    until: Instant,
) -> Vec<Result<(), String>> {
    let mut stopped: Option<String> = None;
    let mut sent = Vec::with_capacity(messages.len());
    for message in messages {
        if until <= Instant::now() {
            stopped
                .get_or_insert_with(|| "no time was left before the event's deadline".to_owned());
        }
        if let Some(reason) = &stopped {
            sent.push(Err(reason.clone()));
            continue;
        }
        sent.push(match send_one(settings, datagrams, message) {
            Ok(()) => Ok(()),
            Err(err) => {
                let reason = format!("sending: {}", said(&err));
                stopped = Some(reason.clone());
                Err(reason)
            }
        });
    }
    // Over UDP, that nobody listens is heard only after something was sent, and of all that was. A
    // socket of this machine has what it took.
    if let Datagrams::Udp(_) = datagrams {
        let heard = datagrams.heard().map_err(|err| format!("sending: {}", said(&err)));
        if let Some(reason) = heard.err().or(stopped) {
            for it in sent.iter_mut().filter(|it| it.is_ok()) {
                *it = Err(reason.clone());
            }
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::testing::issued_event;
    use serde_json::json;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn what_a_way_is_too_narrow_for_is_sent_shorter_and_still_with_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let theirs = UnixDatagram::bind(&path).unwrap();
        let written =
            json!({"transport": "unix", "path": path, "hostname": "a", "length_max": 65_000});
        let settings = Settings::read(written.as_object().unwrap()).unwrap();
        let socket = UnixDatagram::unbound().unwrap();
        // The system takes no datagram that is larger than the buffer of its sender.
        rustix::net::sockopt::set_socket_send_buffer_size(&socket, 2304).unwrap();
        socket.connect(&path).unwrap();
        let datagrams = Datagrams::Unix(socket);
        let mut event = issued_event(7, b"x");
        for number in 0..40 {
            let value = Value::String("x".repeat(1000));
            event.detail.push(format!("Number{number}"), value);
        }
        let octets = message(&settings, &event);
        assert!(30_000 < octets.len());
        let too_long = datagrams.send(&octets).unwrap_err();
        assert_eq!(too_long.raw_os_error(), Some(rustix::io::Errno::MSGSIZE.raw_os_error()));
        let until = Instant::now() + Duration::from_secs(10);
        let outgoing = || Outgoing { event: &event, octets: octets.clone() };
        let sent = send_each(&settings, &datagrams, &[outgoing(), outgoing()], until);
        assert_eq!(sent, [Ok(()), Ok(())]);
        let mut read = [0; 8192];
        let mut next = || {
            let count = theirs.recv(&mut read).unwrap();
            String::from_utf8(read[..count].to_vec()).unwrap()
        };
        let first = next();
        assert!(first.contains(&format!("id=\"{}\"", event.id)), "{first}");
        assert!(LENGTH_MIN <= first.len() && first.len() < 4608, "{}", first.len());
        assert_eq!(next(), first, "the same event is the same octets");
    }
}
