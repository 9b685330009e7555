//! The kit against its own test host: on a thread and as a process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    process::Command,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use exeunt_module::call_back::{Asked, Found, Query};
use exeunt_module_kit::{
    CallBackError, CallBacks, CallError, Event, EventMask, ExitModule, Initialize,
    ManageExitModule, Outcome, Refusal, Value,
    exit_event::{self, CERT_ISSUED},
    manage::{ManageModule, SettingInfo, SettingType},
    testing::{Host, HostError, issued_event},
};
use serde_json::json;

mod maintain;
mod policy;
mod python;

/// What the module was told, in order.
type Diary = Arc<Mutex<Vec<String>>>;

/// Writes down what it is told. An event with the attribute `Do: panic` makes it panic.
struct Scribe {
    diary: Diary,
    /// Holds the first batch until the test has sent everything.
    gate: Option<Receiver<()>>,
}

impl Scribe {
    fn new() -> (Self, Diary) {
        let diary = Diary::default();
        (Self { diary: Arc::clone(&diary), gate: None }, diary)
    }

    fn gated() -> (Self, Diary, Sender<()>) {
        let (sender, gate) = channel();
        let (scribe, diary) = Self::new();
        (Self { gate: Some(gate), ..scribe }, diary, sender)
    }

    fn note(&self, text: impl Into<String>) {
        self.diary.lock().unwrap().push(text.into());
    }
}

impl ExitModule for Scribe {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        if hello.settings.contains_key("bad") {
            return Err("bad is no setting".to_owned());
        }
        self.note(format!("hello {}", hello.module));
        Ok(EventMask(CERT_ISSUED))
    }

    fn description(&self) -> String {
        "writes everything down".to_owned()
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        assert!(event.request_attribute("Do") != Ok("panic"), "cannot bear {}", event.seq);
        self.note(format!("{}", event.seq));
        Outcome::Accept
    }

    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        if let Some(gate) = self.gate.take() {
            gate.recv().unwrap();
        }
        self.note(format!("batch of {}", events.len()));
        events.iter().map(|event| self.notify(event)).collect()
    }

    fn shutdown(&mut self) {
        self.note("bye");
    }
}

fn event(seq: u64) -> Event {
    issued_event(seq, b"DER")
}

fn event_with(seq: u64, deed: &str) -> Event {
    Event { attributes: vec![("Do".to_owned(), deed.to_owned())], ..event(seq) }
}

fn entries(diary: &Diary) -> Vec<String> {
    diary.lock().unwrap().clone()
}

fn echo() -> Host {
    // Examples of a package are built before its tests, beside the folder of the test's binary.
    let target = std::env::current_exe().unwrap();
    let echo = target.parent().unwrap().parent().unwrap().join("examples/echo");
    Host::spawn(Command::new(echo)).unwrap()
}

#[test]
fn a_module_lives_from_greeting_to_farewell() {
    let (scribe, diary) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap();
    let initialized = host.initialize(&json!({})).unwrap();
    assert_eq!(initialized.event_mask, exit_event::CERT_ISSUED);
    assert_eq!(initialized.protocol, 1);
    assert_eq!(host.description().unwrap(), "writes everything down");
    assert_eq!(host.notify(&event(7)).unwrap(), Outcome::Accept);
    host.shutdown().unwrap();
    assert_eq!(entries(&diary), ["hello under-test", "batch of 1", "7", "bye"]);
}

#[test]
fn the_end_of_input_is_a_farewell() {
    let (scribe, diary) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap();
    host.initialize(&json!({})).unwrap();
    host.hang_up().unwrap();
    assert_eq!(entries(&diary), ["hello under-test", "bye"]);
}

#[test]
fn what_has_arrived_is_one_batch_and_answered_in_order() {
    let (scribe, diary, gate) = Scribe::gated();
    let mut host = Host::in_memory(scribe).unwrap();
    host.initialize(&json!({})).unwrap();
    let sender = std::thread::spawn(move || {
        let events: Vec<Event> = (1..=64).map(event).collect();
        let outcomes = host.notify_all(&events).unwrap();
        (host, outcomes)
    });
    gate.send(()).unwrap();
    let (host, outcomes) = sender.join().unwrap();
    host.shutdown().unwrap();
    assert_eq!(outcomes, vec![Ok(Outcome::Accept); 64]);
    let seqs: Vec<String> =
        entries(&diary).into_iter().filter(|it| it.parse::<u64>().is_ok()).collect();
    assert_eq!(seqs, (1..=64).map(|it| it.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_batch_is_never_larger_than_the_window() {
    let (scribe, diary, gate) = Scribe::gated();
    let mut host = Host::in_memory(scribe).unwrap();
    host.initialize_with(Initialize {
        protocol: 1,
        module: "narrow".to_owned(),
        window: 4,
        ..Initialize::default()
    })
    .unwrap();
    // More than the window at once, which a host must not do, and the kit does not suffer from.
    let mut lines = Vec::new();
    for seq in 1..=10 {
        exeunt_module::line::write_notify(&mut lines, 1000 + seq, &event(seq)).unwrap();
    }
    host.send_lines(&lines).unwrap();
    gate.send(()).unwrap();
    for seq in 1..=10 {
        assert_eq!(host.next_answer().unwrap().id, Some(1000 + seq));
    }
    host.shutdown().unwrap();
    for entry in entries(&diary) {
        if let Some(size) = entry.strip_prefix("batch of ") {
            assert!(size.parse::<u32>().unwrap() <= 4, "{entry}");
        }
    }
}

#[test]
fn a_panic_is_the_failure_of_its_event_alone() {
    let (scribe, diary, gate) = Scribe::gated();
    let mut host = Host::in_memory(scribe).unwrap();
    host.initialize(&json!({})).unwrap();
    gate.send(()).unwrap();
    let events = [event(1), event_with(2, "panic"), event(3)];
    let outcomes = host.notify_all(&events).unwrap();
    assert_eq!(outcomes[0], Ok(Outcome::Accept));
    let refusal = outcomes[1].clone().unwrap_err();
    assert_eq!(refusal.code, CallError::INTERNAL);
    assert_eq!(refusal.message, "the module panicked: cannot bear 2");
    assert_eq!(outcomes[2], Ok(Outcome::Accept));
    assert_eq!(host.notify(&event(4)).unwrap(), Outcome::Accept);
    host.shutdown().unwrap();
    assert_eq!(entries(&diary).last().unwrap(), "bye");
}

#[test]
fn a_module_that_miscounts_fails_its_events_and_goes_on() {
    struct Miscounts;
    impl ExitModule for Miscounts {
        fn initialize(&mut self, _: &Initialize) -> Result<EventMask, String> {
            Ok(EventMask(exit_event::ALL))
        }
        fn description(&self) -> String {
            String::new()
        }
        fn notify(&mut self, _: &Event) -> Outcome {
            Outcome::Accept
        }
        fn notify_batch(&mut self, _: &[Event]) -> Vec<Outcome> {
            Vec::new()
        }
    }
    let mut host = Host::in_memory(Miscounts).unwrap();
    host.initialize(&json!({})).unwrap();
    for outcome in host.notify_all(&[event(1), event(2)]).unwrap() {
        assert_eq!(outcome.unwrap_err().message, "the module gave 0 outcomes for 1 events");
    }
    host.shutdown().unwrap();
}

#[test]
fn bad_settings_are_a_refusal_and_good_ones_may_follow() {
    let (scribe, diary) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap();
    let Err(HostError::Refuse(refusal)) = host.initialize(&json!({"bad": 1})) else {
        panic!("the setting was accepted")
    };
    assert_eq!(refusal, CallError::new(CallError::REFUSED, "bad is no setting"));
    host.initialize(&json!({})).unwrap();
    host.shutdown().unwrap();
    assert_eq!(entries(&diary), ["hello under-test", "bye"]);
}

#[test]
fn a_module_that_was_never_greeted_is_told_nothing() {
    let (scribe, diary) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap();
    let Err(HostError::Refuse(refusal)) = host.notify(&event(1)) else {
        panic!("an event before the greeting was taken")
    };
    assert_eq!(refusal.code, CallError::INVALID_REQUEST);
    host.shutdown().unwrap();
    assert!(entries(&diary).is_empty());
}

#[test]
fn garbage_is_answered_and_survived() {
    let (scribe, _) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap();
    let answers: [(&[u8], Option<u64>, i64); 5] = [
        (b"not json\n", None, CallError::PARSE),
        (b"\xff\xfe\x00\n", None, CallError::PARSE),
        (b"[1,2]\n", None, CallError::INVALID_REQUEST),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"Nope\"}\n",
            Some(5),
            CallError::METHOD_NOT_FOUND,
        ),
        (
            b"{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"Notify\",\"params\":{}}\n",
            Some(6),
            CallError::INVALID_PARAMS,
        ),
    ];
    for (line, id, code) in answers {
        host.send_lines(line).unwrap();
        let response = host.next_answer().unwrap();
        assert_eq!((response.id, response.answer.unwrap_err().code), (id, code));
    }
    // Neither empty lines nor notifications are answered: the next answer is the greeting's.
    host.send_lines(b"\n \r\n{\"jsonrpc\":\"2.0\",\"method\":\"Whatever\"}\n").unwrap();
    host.initialize(&json!({})).unwrap();
    host.shutdown().unwrap();
}

#[test]
fn a_line_without_an_end_ends_the_module() {
    let (scribe, _) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap();
    host.initialize(&json!({})).unwrap();
    host.send_lines(&vec![b'x'; exeunt_module::LINE_BYTES_MAX + 2]).unwrap();
    assert!(matches!(host.hang_up(), Err(HostError::Io(_))));
}

#[test]
fn a_process_speaks_as_a_thread_does() {
    let mut host = echo();
    host.initialize(&json!({"greeting": "ave"})).unwrap();
    assert_eq!(host.description().unwrap(), "says \"ave\"");
    let events = [
        event(1),
        event_with(2, "skip"),
        event_with(3, "retry"),
        event_with(4, "park"),
        event_with(5, "panic"),
        event(6),
    ];
    let outcomes = host.notify_all(&events).unwrap();
    let reason = "as you said".to_owned();
    assert_eq!(outcomes[0], Ok(Outcome::Accept));
    assert_eq!(outcomes[1], Ok(Outcome::Skip));
    assert_eq!(outcomes[2], Ok(Outcome::Retry { after_ms: Some(1500), reason: reason.clone() }));
    assert_eq!(outcomes[3], Ok(Outcome::Park { reason }));
    assert_eq!(outcomes[4].as_ref().unwrap_err().message, "the module panicked: as you said");
    assert_eq!(outcomes[5], Ok(Outcome::Accept));
    host.shutdown().unwrap();
}

#[test]
fn a_process_ends_when_the_host_is_gone() {
    let mut host = echo();
    host.initialize(&json!({})).unwrap();
    host.hang_up().unwrap();
    echo().hang_up().unwrap();
}

#[test]
fn a_process_refuses_a_setting_that_it_does_not_know() {
    let mut host = echo();
    let Err(HostError::Refuse(refusal)) = host.initialize(&json!({"greting": "ave"})) else {
        panic!("the setting was accepted")
    };
    assert_eq!(refusal.message, "there is no setting greting");
    host.shutdown().unwrap();
}

/// Asks for the request of every event, and once for the CA's name.
#[derive(Default)]
struct Asker {
    call_backs: Option<CallBacks>,
    ca: String,
}

impl ExitModule for Asker {
    fn use_call_backs(&mut self, call_backs: &CallBacks) -> bool {
        self.call_backs = Some(call_backs.clone());
        true
    }

    fn initialize(&mut self, _hello: &Initialize) -> Result<EventMask, String> {
        if let Some(call_backs) = &self.call_backs {
            let asked = Asked { seq: 0, name: "SanitizedCAName".to_owned(), value_type: None };
            let found = call_backs.ask(Query::GetCertificateProperty(asked));
            let Ok(Found::Value(Value::String(name))) = found else {
                return Err(format!("{found:?}"));
            };
            self.ca = name;
        }
        Ok(EventMask(CERT_ISSUED))
    }

    fn description(&self) -> String {
        format!("asks {}", self.ca)
    }

    fn notify(&mut self, event: &Event) -> Outcome {
        let call_backs = self.call_backs.as_ref().unwrap();
        match call_backs.request_property(event.seq, "RawRequest", Some("binary")) {
            Ok(Value::Binary(raw)) => {
                assert_eq!(raw, event.seq.to_be_bytes());
                Outcome::Accept
            }
            Err(CallBackError::Refuse { refusal: Refusal::Empty, .. }) => Outcome::Skip,
            other => Outcome::Park { reason: format!("{other:?}") },
        }
    }
}

fn answer_call_back(query: &Query) -> Result<Found, Refusal> {
    match query {
        Query::GetCertificateProperty(asked) if asked.seq == 0 => {
            Ok(Found::Value(Value::String("Test CA".to_owned())))
        }
        // Every third event has no request.
        Query::GetRequestProperty(asked) if asked.seq % 3 == 0 => Err(Refusal::Empty),
        Query::GetRequestProperty(asked) => {
            Ok(Found::Value(Value::Binary(asked.seq.to_be_bytes().to_vec())))
        }
        _ => Err(Refusal::Invalid),
    }
}

#[test]
fn a_module_asks_for_what_an_event_leaves_out() {
    let mut host = Host::in_memory(Asker::default()).unwrap().with_call_backs(answer_call_back);
    let initialized = host.initialize(&json!({})).unwrap();
    assert_eq!(initialized.features, ["call-backs"]);
    assert_eq!(host.description().unwrap(), "asks Test CA");
    let events: Vec<Event> = (1..=300).map(event).collect();
    let outcomes = host.notify_all(&events).unwrap();
    for (event, outcome) in events.iter().zip(outcomes) {
        let expected = if event.seq % 3 == 0 { Outcome::Skip } else { Outcome::Accept };
        assert_eq!(outcome.unwrap(), expected, "{}", event.seq);
    }
    host.shutdown().unwrap();
}

#[test]
fn a_full_window_does_not_stop_the_answers_to_call_backs() {
    let mut host = Host::in_memory(Asker::default()).unwrap().with_call_backs(answer_call_back);
    let hello = Initialize {
        protocol: 1,
        features: vec!["call-backs".to_owned(), "telepathy".to_owned()],
        config: "Test CA".to_owned(),
        window: 4096,
        deadline_ms: 30_000,
        partial: false,
        ..Initialize::default()
    };
    let initialized = host.initialize_with(hello).unwrap();
    assert_eq!((initialized.features, initialized.window), (vec!["call-backs".to_owned()], 128));
    let events: Vec<Event> = (1..=1000).map(event).collect();
    assert!(host.notify_all(&events).unwrap().into_iter().all(|it| it.is_ok()));
    host.shutdown().unwrap();
}

#[test]
fn a_module_that_needs_no_call_backs_takes_none() {
    let (scribe, _) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap().with_call_backs(answer_call_back);
    assert!(host.initialize(&json!({})).unwrap().features.is_empty());
    host.shutdown().unwrap();
}

#[test]
fn a_module_without_management_says_that_there_is_no_such_method() {
    let (scribe, _) = Scribe::new();
    let mut host = Host::in_memory(scribe).unwrap();
    let Err(HostError::Refuse(refusal)) = host.manage_module() else { panic!("not refused") };
    assert_eq!(refusal.code, CallError::METHOD_NOT_FOUND);
    host.shutdown().unwrap();
}

/// Knows one setting, `greeting`.
struct Managed;

impl ExitModule for Managed {
    fn initialize(&mut self, _hello: &Initialize) -> Result<EventMask, String> {
        Ok(EventMask(0))
    }
    fn description(&self) -> String {
        "manages itself".to_owned()
    }
    fn notify(&mut self, _event: &Event) -> Outcome {
        Outcome::Accept
    }
    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        Some(self)
    }
}

impl ManageExitModule for Managed {
    fn manage_module(&mut self) -> Result<ManageModule, String> {
        Ok(ManageModule {
            settings: vec![SettingInfo {
                name: "greeting".to_owned(),
                kind: SettingType::String,
                description: "what to say".to_owned(),
                default: Some(json!("hello")),
                required: false,
            }],
        })
    }

    fn property(&mut self, name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(name.eq_ignore_ascii_case("Name").then(|| Value::String("Managed".to_owned())))
    }

    fn set_property(&mut self, name: &str, _value: &serde_json::Value) -> Result<(), String> {
        if name == "greeting" { Ok(()) } else { Err(format!("{name} is no setting")) }
    }

    fn configure(
        &mut self,
        settings: &serde_json::Map<String, serde_json::Value>,
        flags: u32,
    ) -> Result<(), String> {
        assert_eq!(flags, 2);
        settings.iter().try_for_each(|(name, value)| self.set_property(name, value))
    }
}

#[test]
fn a_module_that_manages_itself_is_asked_before_it_is_greeted() {
    let mut host = Host::in_memory(Managed).unwrap();
    assert_eq!(host.manage_module().unwrap().settings[0].name, "greeting");
    let name = host.module_property("NAME").unwrap();
    assert_eq!(name, Some(Value::String("Managed".to_owned())));
    assert_eq!(host.module_property("HWND").unwrap(), None);
    host.configure(&json!({"greeting": "ahoy"})).unwrap();
    host.set_module_property("greeting", json!("ahoy")).unwrap();
    for refused in [
        host.set_module_property("volume", json!(11)),
        host.configure(&json!({"greeting": "ahoy", "volume": 11})),
    ] {
        let Err(HostError::Refuse(refusal)) = refused else { panic!("not refused") };
        assert_eq!(refusal, CallError::new(CallError::REFUSED, "volume is no setting"));
    }
    host.shutdown().unwrap();

    let mut host = Host::in_memory(Managed).unwrap();
    host.initialize(&json!({})).unwrap();
    let Err(HostError::Refuse(refusal)) = host.manage_module() else { panic!("not refused") };
    assert_eq!(refusal.code, CallError::INVALID_REQUEST);
    host.shutdown().unwrap();
}
