//! The module itself: what happens to a batch of events, in order.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use exeunt_module::call_back::{Asked, Found, Query};
use exeunt_module_kit::{
    CallBackError, CallBacks, Event, EventMask, ExitModule, Facts, Greeted, Initialize,
    MaintainExitModule, ManageExitModule, Outcome, Properties, Refusal, Value, exit_event,
    maintain::{Check, TestReport},
    manage::ManageModule,
    notify_as_batch,
};
use exeunt_publication::{
    authority::CERTIFICATE_COUNT_MAX,
    cloudevent, outcome,
    resolver::{self, LookUp},
    time,
};
use reqwest::blocking::Response;

use crate::{
    cloud_event::{Frame, RAW_REQUEST},
    reply::Reply,
    sender::{ALLOWED_ORIGIN, Call, Sender},
    settings::{self, Mode, Settings},
};

/// What the module is, in one line.
const DESCRIPTION: &str = "tells a web server of events";

/// What the console shows of it.
const FACTS: Facts =
    Facts { name: "webhook", description: DESCRIPTION, version: env!("CARGO_PKG_VERSION") };

/// Properties of the CA that hold its revocation lists.
const LISTS: [&str; 2] = ["RawCRL", "RawDeltaCRL"];

/// Most octets of one call in the batched mode. A single event that is larger goes alone.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Most calls of one connection in a batch of single events; fewer where the server is slow.
const SHARE_MAX: usize = 16;

/// From which attempt on an event goes alone in the batched mode: one that the server breaks at
/// should not take its neighbours along for ever.
const ALONE_FROM_ATTEMPT: u32 = 4;

/// The exit module. It starts its work with the host's greeting.
pub struct WebhookExit {
    state: Greeted<State>,
    call_backs: Option<CallBacks>,
    look_up: LookUp,
}

impl std::fmt::Debug for WebhookExit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("WebhookExit").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Default for WebhookExit {
    fn default() -> Self {
        Self { state: Greeted::default(), call_backs: None, look_up: resolver::system() }
    }
}

#[derive(Debug)]
struct State {
    frame: Frame,
    sender: Sender,
    /// How long all of a batch may take.
    budget: Duration,
    /// Calls that one connection is given in a batch of single events.
    share: usize,
}

impl WebhookExit {
    /// A module that resolves names by a way of the caller's, for tests.
    #[must_use]
    pub fn with_look_up(look_up: LookUp) -> Self {
        Self { look_up, ..Self::default() }
    }

    fn state(&self, hello: &Initialize) -> Result<State, String> {
        let settings = Settings::read(&hello.settings)?;
        let budget = time::budget(hello.deadline_ms);
        let timeout = time::timeout_within(settings.timeout, budget)?;
        let frame = settings.frame(hello);
        let sender = Sender::new(settings, timeout, Arc::clone(&self.look_up))?;
        Ok(State { frame, sender, budget, share: 1 })
    }
}

impl ExitModule for WebhookExit {
    fn use_call_backs(&mut self, call_backs: &CallBacks) -> bool {
        self.call_backs = Some(call_backs.clone());
        true
    }

    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        let state = self.state(hello)?;
        self.state.set(state);
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
        self.state.get().map_or(1, |it| {
            let settings = it.sender.settings();
            match settings.mode {
                Mode::Structured => settings.connections * it.share,
                Mode::Batched => settings.batch_max,
            }
        })
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        notify_as_batch(self, event)
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        let call_backs = self.call_backs.as_ref();
        self.state.notify_batch(events, |state, events| state.tell(events, call_backs))
    }
}

impl ManageExitModule for WebhookExit {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule { settings: settings::known() })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(FACTS.property(name))
    }

    fn set_property(&mut self, name: &str, value: &serde_json::Value) -> Result<(), String> {
        // With a URL, which no set of settings may lack; whether its address may be talked to depends
        // on another setting.
        let mut written = serde_json::Map::from_iter([
            ("url".to_owned(), "https://example.com/".into()),
            ("allow_networks".to_owned(), vec!["0.0.0.0/0", "::/0"].into()),
        ]);
        written.insert(name.to_owned(), value.clone());
        match Settings::read(&written) {
            // One that only goes with another cannot be looked at alone.
            Err(err) if !err.ends_with("go together") => Err(err),
            _ => Ok(()),
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

impl MaintainExitModule for WebhookExit {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        let state = self.state(hello)?;
        self.state.set(state);
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        let state = self.state.get_mut()?;
        let checks = state.checks();
        let settings = state.sender.settings();
        let would_write = samples
            .iter()
            .map(|event| {
                let octets = state.frame.encode(event, None).len();
                let kind = cloudevent::word(event.event);
                let (id, server) = (&event.id, settings.server());
                format!("exeunt.{kind} {id} about {}, {octets} octets, to {server}", event.subject)
            })
            .collect();
        Ok(TestReport { checks, would_write })
    }
}

/// An event that is ready to be sent.
struct Ready {
    /// Its place in the batch of the host.
    index: usize,
    alone: bool,
    id: String,
    body: Vec<u8>,
}

impl State {
    fn tell(&mut self, events: &[Event], call_backs: Option<&CallBacks>) -> Vec<Outcome> {
        let until = Instant::now() + self.budget;
        let mut outcomes: BTreeMap<usize, Outcome> = BTreeMap::new();
        // 1. The octets of each.
        let mut ready = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let asked = self
                .raw_request(event, call_backs)
                .and_then(|it| Ok((it, self.with_lists(event, call_backs)?)));
            match asked {
                Ok((raw_request, event)) => ready.push(Ready {
                    index,
                    alone: ALONE_FROM_ATTEMPT <= event.attempt,
                    id: event.id.clone(),
                    body: self.frame.encode(&event, raw_request.as_deref()),
                }),
                Err(reason) => drop(outcomes.insert(index, outcome::retry(reason))),
            }
        }
        // 2. To the server.
        let sending = Instant::now();
        let replies = match self.sender.prepare(until) {
            Err(reason) => {
                let reply = Reply::nothing_can_be_sent(reason);
                ready.iter().map(|it| (it.index, reply.clone())).collect()
            }
            Ok(()) => match self.sender.settings().mode {
                Mode::Structured => self.send_each(&ready, until),
                Mode::Batched => self.send_batches(&ready, until),
            },
        };
        self.adapt(sending.elapsed());
        // 3. What it says.
        outcomes.extend(replies.into_iter().map(|(index, reply)| (index, of_reply(&reply))));
        (0..events.len())
            .map(|it| {
                outcomes.remove(&it).unwrap_or_else(|| outcome::target_retry("it was not sent"))
            })
            .collect()
    }

    /// Batches grow while they are quick. A server that takes its time is given one round of calls, so
    /// that each of them has the whole of the deadline.
    fn adapt(&mut self, took: Duration) {
        if took < self.budget / 16 {
            self.share = (self.share * 2).min(SHARE_MAX);
        } else if self.budget / 4 < took {
            self.share = 1;
        }
    }

    /// The request as it came, where the operator wants it told. Without call-backs it is in the
    /// event.
    fn raw_request(
        &self,
        event: &Event,
        call_backs: Option<&CallBacks>,
    ) -> Result<Option<Vec<u8>>, String> {
        if !self.sender.settings().raw_request || event.context == 0 {
            return Ok(None);
        }
        if let Ok(der) = event.request.binary(RAW_REQUEST) {
            return Ok(Some(der.to_vec()));
        }
        let Some(call_backs) = call_backs else { return Ok(None) };
        match call_backs.request_property(event.seq, RAW_REQUEST, Some("binary")) {
            Ok(Value::Binary(der)) => Ok(Some(der)),
            Ok(_) | Err(CallBackError::Refuse { refusal: Refusal::Empty, .. }) => Ok(None),
            Err(err) => Err(format!("asking for {RAW_REQUEST}: {}", outcome::chain(&err))),
        }
    }

    /// An event about lists with those that hold now. Who may ask is not told them.
    fn with_lists<'a>(
        &self,
        event: &'a Event,
        call_backs: Option<&CallBacks>,
    ) -> Result<Cow<'a, Event>, String> {
        let wanted = self.frame.system && event.event == exit_event::CRL_ISSUED;
        let Some(call_backs) = call_backs.filter(|_| wanted) else {
            return Ok(Cow::Borrowed(event));
        };
        let count = event.system.long("CertCount").ok().and_then(|it| usize::try_from(it).ok());
        let count = count.unwrap_or(1).clamp(1, CERTIFICATE_COUNT_MAX);
        let mut system = Properties::clone(&event.system);
        for index in 0..count {
            let ending = if index + 1 == count { String::new() } else { format!(".{index}") };
            for name in LISTS {
                let asked = Asked {
                    seq: event.seq,
                    name: format!("{name}.{index}"),
                    value_type: Some("binary".to_owned()),
                };
                match call_backs.ask(Query::GetCertificateProperty(asked)) {
                    Ok(Found::Value(list)) => system.push(format!("{name}{ending}"), list),
                    // There is no such list, or it is too large for an event.
                    Ok(Found::Extension(_)) | Err(CallBackError::Refuse { .. }) => (),
                    Err(err) => {
                        return Err(format!("asking for {name}: {}", outcome::chain(&err)));
                    }
                }
            }
        }
        Ok(Cow::Owned(Event { system: Arc::new(system), ..event.clone() }))
    }

    fn send_each(&self, ready: &[Ready], until: Instant) -> Vec<(usize, Reply)> {
        let calls: Vec<Call> = ready.iter().map(|it| self.call(&[it])).collect();
        let replies = self.sender.send(&calls, until);
        ready.iter().map(|it| it.index).zip(replies).collect()
    }

    /// Fills calls up to their limit. One that is refused is sent event by event, so that only the
    /// guilty one is parked.
    fn send_batches(&self, ready: &[Ready], until: Instant) -> Vec<(usize, Reply)> {
        let (alone, together): (Vec<&Ready>, Vec<&Ready>) = ready.iter().partition(|it| it.alone);
        let mut batches: Vec<Vec<&Ready>> = Vec::new();
        let mut octets = usize::MAX;
        for it in together {
            octets = octets.saturating_add(it.body.len());
            if octets <= BATCH_BYTES_MAX
                && let Some(batch) = batches.last_mut()
            {
                batch.push(it);
            } else {
                octets = it.body.len();
                batches.push(vec![it]);
            }
        }
        let mut replies = Vec::with_capacity(ready.len());
        let mut singles: Vec<&Ready> = Vec::new();
        let mut stopped: Option<Reply> = None;
        for batch in batches {
            let reply = match &stopped {
                Some(reply) => reply.clone(),
                None => self
                    .sender
                    .send(&[self.call(&batch)], until)
                    .pop()
                    .unwrap_or_else(|| Reply::nothing_can_be_sent("it was not sent")),
            };
            if reply.stops() {
                stopped = Some(reply.clone());
            }
            if matches!(reply, Reply::Refuse { .. }) && 1 < batch.len() {
                singles.extend(batch);
            } else {
                replies.extend(batch.iter().map(|it| (it.index, reply.clone())));
            }
        }
        singles.extend(alone);
        if let Some(reply) = stopped {
            replies.extend(singles.iter().map(|it| (it.index, reply.clone())));
        } else {
            let calls: Vec<Call> = singles.iter().map(|it| self.call(&[it])).collect();
            let alone = self.sender.send(&calls, until);
            replies.extend(singles.iter().map(|it| it.index).zip(alone));
        }
        replies
    }

    /// One call with these events.
    fn call(&self, events: &[&Ready]) -> Call {
        if let (Mode::Structured, [it]) = (self.sender.settings().mode, events) {
            let (id, body) = (it.id.clone(), it.body.clone());
            return Call { id, content_type: cloudevent::STRUCTURED, body };
        }
        let bodies: Vec<&[u8]> = events.iter().map(|it| it.body.as_slice()).collect();
        let mut body = vec![b'['];
        body.extend(bodies.join(&b','));
        body.push(b']');
        Call { id: batch_id(events), content_type: cloudevent::BATCHED, body }
    }

    /// Tries what can be tried without sending an event.
    fn checks(&mut self) -> Vec<Check> {
        let until = Instant::now() + self.budget;
        let server = self.sender.settings().server();
        let what = format!("resolve {server}");
        if let Err(reason) = self.sender.prepare(until) {
            return vec![Check::failed(what, reason)];
        }
        let mut checks = vec![Check::passed(what, "every address that is used may be talked to")];
        if self.sender.settings().secret_file.is_none() {
            let text = "set secret_file, so that the server can tell our events from others'";
            checks.push(Check::warning("sign", text));
        }
        let what = format!("connect to {server}");
        match self.sender.ask_for_leave(until) {
            Err(reason) => checks.push(Check::failed(what, reason)),
            Ok(response) => {
                checks.push(Check::passed(what, "the server has answered over TLS"));
                checks.push(self.leave(&response));
            }
        }
        checks
    }

    /// What the answer to `OPTIONS` says. Only a server that knows the protocol has to give leave.
    fn leave(&self, response: &Response) -> Check {
        let origin = self.sender.settings().origin.as_deref();
        let status = response.status();
        let allowed = response.headers().get(ALLOWED_ORIGIN).and_then(|it| it.to_str().ok());
        let what = "ask for leave to send (OPTIONS)";
        match (status.as_u16(), origin, allowed) {
            (401 | 403 | 407, _, _) => Check::failed(
                what,
                format!(
                    "{status}; look at token_file, client_certificate_file and the path of url"
                ),
            ),
            (300..=399, _, _) => Check::failed(
                what,
                format!("{status}; redirects are not followed, so set the final url"),
            ),
            // Deliveries are POST, which a server may well take that knows nothing else.
            (405 | 501, None, _) => Check::passed(
                what,
                format!("{status}: the server knows no OPTIONS, and deliveries need none"),
            ),
            (405 | 501, Some(origin), _) => Check::warning(
                what,
                format!(
                    "{status}: the server knows no OPTIONS, so it does not ask who {origin} is; \
                     deliveries need none"
                ),
            ),
            (404 | 410, _, _) => Check::warning(what, format!("{status}; look at the path of url")),
            (500..=599, _, _) => Check::warning(what, format!("{status}; the server has a fault")),
            (_, Some(origin), Some(allowed)) if allowed == "*" || allowed == origin => {
                Check::passed(what, format!("{origin} may send"))
            }
            (_, Some(origin), Some(allowed)) => {
                let said = outcome::line(allowed);
                Check::failed(what, format!("{said} may send, and {origin} may not"))
            }
            (_, Some(origin), None) => Check::warning(
                what,
                format!("{status}, without a word about {origin}: the server does not ask for it"),
            ),
            (_, None, _) => {
                Check::passed(what, format!("{status}; without origin, nothing was asked"))
            }
        }
    }
}

/// Names a batch by what is in it, so that the same batch has the same id at every attempt.
fn batch_id(events: &[&Ready]) -> String {
    let ids: Vec<&str> = events.iter().map(|it| it.id.as_str()).collect();
    let hash = digest(&SHA256, ids.join("\n").as_bytes());
    let short: String =
        hash.as_ref().iter().take(16).flat_map(|it| [it >> 4, it & 15]).map(hex_digit).collect();
    format!("batch-{short}")
}

fn hex_digit(it: u8) -> char {
    char::from_digit(it.into(), 16).unwrap_or('0')
}

fn of_reply(reply: &Reply) -> Outcome {
    match reply {
        Reply::Accept => Outcome::Accept,
        Reply::Refuse { reason } => outcome::park(reason),
        Reply::NotNow { after: Some(after), everybody: true, reason } => {
            outcome::target_retry_after(*after, reason)
        }
        Reply::NotNow { after: None, everybody: true, reason } => outcome::target_retry(reason),
        Reply::NotNow { after: Some(after), reason, .. } => outcome::retry_after(*after, reason),
        Reply::NotNow { after: None, reason, .. } => outcome::retry(reason),
    }
}
