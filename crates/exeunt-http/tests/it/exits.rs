//! Exit modules over HTTP: what is asked arrives, and only at the socket.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exeunt_api::{
    Deliveries, Delivery, ExitChanged, ExitDetail, ExitList, ExitRemoved, ExitSettings, ExitState,
    ExitStatus, Explanation, HeldEvent, HeldState, KnownSettings, Reloaded, ShelfOrder,
    SubmitAnswer,
};
use exeunt_http::{BeforeReply, Change, Changed, Exits, Refusal, RefusalKind, Server, WhichHeld};

use crate::ca::{Ca, PATIENCE, Wanted, problem};

/// Explanations under way in the one test that asks for them.
static EXPLAINING: AtomicUsize = AtomicUsize::new(0);

/// Two modules as a dispatcher would tell of them. Changes are answered with what arrived, in words.
pub struct TwoExits;

impl TwoExits {
    fn find(&self, name: &str) -> Result<ExitStatus, Refusal> {
        let found = self.list()?.exits.into_iter().find(|it| it.name == name);
        found.ok_or_else(|| Refusal {
            kind: RefusalKind::Missing,
            code: "exit-not-found",
            detail: "no such module".to_owned(),
            hint: "exeunt exit list".to_owned(),
        })
    }
}

impl Exits for TwoExits {
    fn list(&self) -> Result<ExitList, Refusal> {
        Ok(ExitList { exits: vec![status("file", 0), status("mail", 1)] })
    }

    fn show(&self, name: &str, held: WhichHeld) -> Result<ExitDetail, Refusal> {
        let row = |event, state| HeldEvent {
            event,
            kind: "issued".to_owned(),
            subject: "request:2".to_owned(),
            state,
            attempts: 9,
            next_attempt: None,
            last_error: Some("no such mailbox".to_owned()),
            at: None,
            held_since: None,
            requester: None,
            certificate_subject: None,
            serial: None,
        };
        let mut rows = vec![row(4, HeldState::Parked)];
        if held == WhichHeld::All {
            rows.push(row(5, HeldState::Behind));
        }
        Ok(ExitDetail { status: self.find(name)?, held: rows })
    }

    fn settings(&self, name: &str) -> Result<ExitSettings, Refusal> {
        self.find(name)?;
        let settings = [("directory".to_owned(), "published".into())].into_iter().collect();
        Ok(ExitSettings { settings })
    }

    fn known_settings(&self, name: &str) -> Result<KnownSettings, Refusal> {
        self.find(name)?;
        Ok(KnownSettings { settings: Vec::new() })
    }

    fn deliveries(&self, name: &str, after: Option<u64>) -> Result<Deliveries, Refusal> {
        self.find(name)?;
        let deliveries = (after.unwrap_or(2)..2).map(|before| Delivery {
            number: before + 1,
            event: 9,
            kind: "issued".to_owned(),
            subject: "request:2".to_owned(),
            attempt: 1,
            outcome: "accept".to_owned(),
            reason: String::new(),
            at: "2026-11-21T07:39:05Z".to_owned(),
            retry_ms: None,
            took_us: 17,
        });
        Ok(Deliveries { deliveries: deliveries.collect(), next_after: 2 })
    }

    fn explain(&self, name: &str, request: u64) -> Result<Explanation, Refusal> {
        self.find(name)?;
        // Long enough for another one to come in, if it may.
        if request == 88 {
            let before = EXPLAINING.fetch_add(1, SeqCst);
            std::thread::sleep(Duration::from_millis(5));
            EXPLAINING.fetch_sub(1, SeqCst);
            assert_eq!(before, 0, "two explanations at a time");
        }
        Ok(Explanation { name: name.to_owned(), request, events: Vec::new() })
    }

    fn change(&self, actor: &str, change: Change) -> Result<Changed, Refusal> {
        let notes = vec![format!("{change:?}")];
        let arrived = ExitChanged { name: actor.to_owned(), events: 1, state: None, notes };
        Ok(match change {
            Change::Add(_) => Changed::Added(arrived),
            Change::Remove { name, drop_backlog } => {
                let before = self.show(&name, WhichHeld::All)?;
                Changed::Removed(Box::new(ExitRemoved { before, backlog_dropped: drop_backlog }))
            }
            Change::Reload => Changed::Reloaded(Reloaded {
                added: vec!["mail".to_owned()],
                ..Reloaded::default()
            }),
            _ => Changed::Done(arrived),
        })
    }
}

fn status(name: &str, held_parked: u64) -> ExitStatus {
    ExitStatus {
        name: name.to_owned(),
        state: ExitState::Running,
        enabled: true,
        why: None,
        until: None,
        pid: Some(4711),
        description: "writes files".to_owned(),
        events: None,
        isolation: String::new(),
        cursor: 5,
        head: 7,
        lag: 2,
        undelivered: 2,
        oldest_unsettled_s: Some(3),
        replay: None,
        held_behind: 0,
        skipped: 0,
        retried: 0,
        faults: 0,
        held_retry: 0,
        held_parked,
        accepted: 5,
        attempts: 6,
        starts: 1,
        last_error: None,
        last_error_at: None,
        mended_at: None,
        reconciled: None,
    }
}

const CHANGES: [(&str, &str, &str); 9] = [
    ("POST", "/v1/exits", r#"{"name":"new","module":"file"}"#),
    ("DELETE", "/v1/exits/mail?drop_backlog=true", ""),
    ("POST", "/v1/exits/mail/enable", ""),
    ("POST", "/v1/exits/mail/disable", ""),
    ("POST", "/v1/exits/mail/retry", r#"{"all":true}"#),
    ("POST", "/v1/exits/mail/drop", r#"{"events":[4],"reason":"gone"}"#),
    ("POST", "/v1/exits/mail/replay", r#"{"from":1,"to":4}"#),
    ("PUT", "/v1/exits/mail/settings", r#"{"settings":{"directory":"x"}}"#),
    ("POST", "/v1/reload", ""),
];

const QUESTIONS: [&str; 4] = [
    "/v1/exits/mail/settings",
    "/v1/exits/mail/settings/known",
    "/v1/exits/mail/deliveries?after=0",
    "/v1/exits/mail/explain?request=7",
];

/// What starts no other program takes the role alone.
fn refused_from_elsewhere(path: &str) -> &'static str {
    let by_role = ["/retry", "/drop", "/replay", "/deliveries", "/explain"];
    if by_role.iter().any(|it| path.contains(it)) { "role-missing" } else { "manage-local-only" }
}

#[test]
fn modules_are_managed_at_the_socket_and_nowhere_else() {
    let ca = Ca::start();
    let uid = rustix::process::geteuid().as_raw();
    for (method, path, body) in CHANGES {
        let ask = |http: &crate::ca::Http| {
            let method = method.parse().unwrap();
            http.send(http.client.request(method, format!("{}{path}", http.base)).body(body))
        };
        problem(ask(&ca.remote()), 403, refused_from_elsewhere(path));
        let response = ask(&ca.local());
        let status = response.status().as_u16();
        assert_eq!(status, if path == "/v1/exits" { 201 } else { 200 }, "{method} {path}");
        let text = response.text().unwrap();
        if let Ok(changed) = serde_json::from_str::<ExitChanged>(&text)
            && !changed.notes.is_empty()
        {
            assert_eq!(changed.name, format!("local:{uid}"), "{path}");
        }
    }
    for path in QUESTIONS {
        problem(ca.remote().get(path), 403, refused_from_elsewhere(path));
        assert_eq!(ca.local().get(path).status(), 200, "{path}");
    }
    for path in ["/v1/exits", "/v1/exits/mail"] {
        assert_eq!(ca.remote().get(path).status(), 200, "{path}: how modules stand is no secret");
    }
}

#[test]
fn what_is_asked_is_what_arrives() {
    let ca = Ca::start();
    let local = ca.local();
    let change = |method: &str, path: &str, body: &str| -> serde_json::Value {
        let url = format!("{}{path}", local.base);
        let request = local.client.request(method.parse().unwrap(), url).body(body.to_owned());
        local.send(request).json().unwrap()
    };
    let removed = change("DELETE", "/v1/exits/mail?drop_backlog", "");
    assert_eq!((&removed["backlog_dropped"], &removed["lag"]), (&true.into(), &2.into()));
    assert_eq!(change("DELETE", "/v1/exits/mail", "")["backlog_dropped"], false);

    let arrived = change("POST", "/v1/exits/mail/drop", r#"{"events":[4],"reason":"gone"}"#);
    let order = ShelfOrder { events: vec![4], all: false, reason: Some("gone".to_owned()) };
    let expected = Change::Drop { name: "mail".to_owned(), order };
    assert_eq!(arrived["notes"][0], format!("{expected:?}"));
    let arrived = change("POST", "/v1/exits/mail/disable", "");
    let expected = Change::Switch { name: "mail".to_owned(), on: false };
    assert_eq!(arrived["notes"][0], format!("{expected:?}"));

    let all: ExitDetail = local.get("/v1/exits/mail").json().unwrap();
    let parked: ExitDetail = local.get("/v1/exits/mail?parked").json().unwrap();
    assert_eq!((all.held.len(), parked.held.len()), (2, 1));
}

#[test]
fn what_does_not_do_is_refused_before_anybody_is_asked() {
    let ca = Ca::start();
    let local = ca.local();
    problem(local.post("/v1/exits", "{"), 400, "body-invalid");
    problem(local.post("/v1/exits", r#"{"name":"x","colour":"red"}"#), 400, "body-invalid");
    problem(local.post("/v1/exits/mail/retry", ""), 400, "request-empty");
    problem(local.get("/v1/exits/mail/enable"), 405, "method-not-allowed");
    problem(local.get("/v1/exits/mail/paint"), 404, "path-unknown");
    problem(local.get("/v1/exits/mail/explain"), 400, "query-invalid");
    problem(local.get("/v1/exits/mail/deliveries?wait_s=21"), 400, "query-invalid");
    problem(local.get("/v1/exits/fax"), 404, "exit-not-found");
    problem(local.get("/v1/reload"), 405, "method-not-allowed");
}

#[test]
fn whoever_follows_waits_for_the_next_delivery_and_not_for_ever() {
    let ca = Ca::start();
    let ask = |query: &str| -> Deliveries {
        ca.local().get(&format!("/v1/exits/mail/deliveries{query}")).json().unwrap()
    };
    let numbers = |it: &Deliveries| it.deliveries.iter().map(|it| it.number).collect::<Vec<_>>();
    assert_eq!(numbers(&ask("?after=0&wait_s=20")), [1, 2], "what is there is told at once");
    assert_eq!(numbers(&ask("")), [] as [u64; 0]);
    assert_eq!(ask("").next_after, 2);
    let start = Instant::now();
    assert_eq!(numbers(&ask("?after=2&wait_s=1")), [] as [u64; 0]);
    assert!(Duration::from_millis(900) < start.elapsed());
}

#[test]
fn an_answer_waits_until_the_modules_were_told_and_is_the_same_all_the_same() {
    let told = Arc::new(AtomicBool::new(false));
    let is_told = Arc::clone(&told);
    let before_reply = Some(BeforeReply {
        told: Arc::new(move |event| {
            assert_eq!(event.0, 1);
            is_told.swap(true, Ordering::Relaxed)
        }),
        limit: Duration::from_mins(1),
    });
    let ca = Ca::start_as(Wanted { before_reply, ..Wanted::default() });
    let request = ca.request("/CN=host.example", &[]);
    let answer: SubmitAnswer = ca.local().post("/v1/requests", request).json().unwrap();
    assert_eq!(answer.request_id, 1);
    assert!(told.load(Ordering::Relaxed));
}

#[test]
fn an_answer_waits_no_longer_than_its_limit() {
    let limit = Duration::from_millis(300);
    let before_reply = Some(BeforeReply { told: Arc::new(|_| false), limit });
    let ca = Ca::start_as(Wanted { before_reply, ..Wanted::default() });
    let request = ca.request("/CN=host.example", &[]);
    let start = Instant::now();
    assert_eq!(ca.local().post("/v1/requests", request).status(), 200);
    assert!(limit <= start.elapsed());
    // What was never written waits for nobody.
    problem(ca.local().post("/v1/requests", "nonsense"), 400, "request-not-pem");
}

#[test]
fn a_process_that_is_refused_has_no_answer_and_takes_no_room() {
    let (mut ca, gate) = Ca::closed();
    gate.open();
    let (own, is_module) = (std::process::id(), Arc::new(AtomicBool::new(true)));
    let mut settings = ca.settings(Wanted::default());
    settings.limits.local_connections = 1;
    let refused = Arc::clone(&is_module);
    settings.refused_process = Some(Arc::new(move |pid| pid == own && refused.load(SeqCst)));
    let server = Server::start(settings, Arc::clone(&ca.engine), Arc::new(TwoExits)).unwrap();
    ca.server = Some(server);
    // They hold on to their ends; the server does not.
    let crowd: Vec<UnixStream> = (0..4)
        .map(|_| {
            let mut stream = UnixStream::connect(ca.socket()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "it was answered");
            stream
        })
        .collect();
    assert_eq!(ca.remote().get("/v1/ca").status(), 200, "over TCP the token says who it is");
    is_module.store(false, SeqCst);
    assert_eq!(ca.local().get("/v1/ca").status(), 200);
    drop(crowd);
}

#[test]
fn one_explanation_is_looked_up_at_a_time() {
    let ca = Ca::start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let answer = ca.local().get("/v1/exits/mail/explain?request=88");
                assert_eq!(answer.status(), 200);
            });
        }
    });
}
