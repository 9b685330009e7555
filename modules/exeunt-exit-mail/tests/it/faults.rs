//! What servers and networks do, while thousands of events are to be mailed about.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use crate::fixture::{Told, event_ids, issued, judged, password_file, settings};
use exeunt_exit_mail::MailExit;
use exeunt_module::PROTOCOL_VERSION;
use exeunt_module_kit::{Event, Initialize, Outcome, testing::Host};
use exeunt_testbed::{
    proxy::{Fault, Proxy},
    smtp::{Behaviour, Mail, PASSWORD, Setup, Smtp},
};
use serde_json::json;

/// Every event has its mail, and what came twice has the same `Message-ID`.
#[track_caller]
fn check_complete(mails: &[Mail], events: &[Event]) -> usize {
    let read = judged(mails);
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (id, mail) in event_ids(&read).into_iter().zip(&read) {
        seen.entry(id).or_default().insert(mail["id"].as_str().unwrap().to_owned());
    }
    let expected: BTreeSet<&str> = events.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(seen.keys().map(String::as_str).collect::<BTreeSet<_>>(), expected);
    for (id, message_ids) in &seen {
        assert_eq!(message_ids.len(), 1, "{id}: {message_ids:?}");
    }
    mails.len() - seen.len()
}

#[test]
fn thousands_of_events_arrive_once_each_over_a_few_connections() {
    let server = Smtp::start(&Setup::default());
    let proxy = Proxy::to_port(server.port());
    let mut told = Told::with(&server, proxy.port(), &json!({"connections": 4}));
    let events = issued(2000);
    told.deliver(&events, |left| assert_eq!(left, 0));
    assert_eq!(check_complete(&server.inbox(), &events), 0);
    assert!(proxy.connections() <= 4, "{} connections", proxy.connections());
}

#[test]
fn nothing_is_lost_whatever_the_network_does() {
    let server = Smtp::start(&Setup::default());
    let mut proxy = Proxy::to_port(server.port());
    let within = |seconds: u64| {
        let more = json!({"connections": 2, "timeout_s": seconds});
        Told::with(&server, proxy.port(), &more)
    };
    // What a busy machine takes its time for is not to be taken for silence.
    let (mut patient, mut hasty) = (within(15), within(1));
    let events = issued(400);
    for (round, events) in events.chunks(50).enumerate() {
        let fault = [
            Fault::Refuse,
            Fault::Silence,
            Fault::CutToServer(3000),
            Fault::CutToServer(7777),
            Fault::CutToClient(300),
            Fault::CutToClient(4000),
            Fault::Delay(Duration::from_millis(5)),
            Fault::Nothing,
        ][round];
        proxy.set(fault);
        let cuts = proxy.cuts();
        let mut rounds = 0;
        let mut put_off = 0;
        let told = if fault == Fault::Silence { &mut hasty } else { &mut patient };
        told.deliver(events, |left| {
            // It is mended by and by, as such things are.
            rounds += 1;
            put_off += left;
            if rounds == 2 {
                proxy.set(Fault::Nothing);
            }
        });
        let is_harmless = matches!(fault, Fault::Delay(_) | Fault::Nothing);
        assert_eq!(put_off == 0, is_harmless, "{fault:?}: {put_off} were put off");
        let is_cutting = matches!(fault, Fault::CutToServer(_) | Fault::CutToClient(_));
        assert_eq!(cuts < proxy.cuts(), is_cutting, "{fault:?}");
    }
    check_complete(&server.inbox(), &events);
}

#[test]
fn nothing_is_lost_whatever_the_server_does() {
    let mut server = Smtp::start(&Setup::default());
    let mut told = Told::with(&server, server.port(), &json!({"connections": 2}));
    let events = issued(250);
    for (round, events) in events.chunks(50).enumerate() {
        let cut_at = |command| Behaviour { cut_at: Some(command), ..Behaviour::default() };
        let behaviour = [
            Behaviour::full(),
            cut_at("DATA"),
            cut_at("ANSWER"),
            cut_at("RCPT"),
            Behaviour { delay: Duration::from_millis(2), ..Behaviour::default() },
        ];
        server.behave(&behaviour[round]);
        let mut rounds = 0;
        let mut put_off = 0;
        told.deliver(events, |left| {
            rounds += 1;
            put_off += left;
            if rounds == 2 {
                server.behave(&Behaviour::default());
            }
        });
        let is_slow = round == 4;
        assert_eq!(put_off == 0, is_slow, "{round}: {put_off} were put off");
    }
    let twice = check_complete(&server.inbox(), &events);
    // What was kept without an answer has come again: the module cannot know better.
    assert!(0 < twice, "no answer was cut off");
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_mail_gets_it_again() {
    let mut server = Smtp::start(&Setup::default());
    server.behave(&Behaviour { delay: Duration::from_millis(3), ..Behaviour::default() });
    let mut told = Told::with(&server, server.port(), &json!({"connections": 4}));
    let events = issued(300);
    std::thread::scope(|scope| {
        let deliveries = scope.spawn(|| told.deliver(&events, |_| ()));
        for wanted in [20, 60, 120] {
            exeunt_testbed::process::wait_for("mails", crate::fixture::LIMIT, || {
                wanted <= server.inbox().len()
            });
            assert!(!deliveries.is_finished(), "it was killed too late");
            server.kill();
            server.restart();
        }
        deliveries.join().unwrap();
    });
    check_complete(&server.inbox(), &events);
}

#[test]
fn a_slow_server_is_not_asked_for_more_than_the_deadline_allows() {
    let mut server = Smtp::start(&Setup::default());
    server.behave(&Behaviour { delay: Duration::from_millis(150), ..Behaviour::default() });
    let mut told = Told::with(&server, server.port(), &json!({"connections": 4}));
    let events = issued(24);
    told.deliver(&events, |left| assert_eq!(left, 0));
    assert_eq!(check_complete(&server.inbox(), &events), 0);
}

#[test]
fn a_mail_that_a_slow_server_left_no_time_for_counts_for_nothing() {
    let mut server = Smtp::start(&Setup::default());
    let folder = password_file(PASSWORD);
    // A module with digests takes up all that is there, however quick the machine is.
    let more = json!({"connections": 1, "digest_s": 1, "digest_events_max": 2});
    let settings = settings(&server, server.port(), &folder, &more);
    let mut host = Host::in_memory(MailExit::default()).unwrap();
    let hello = Initialize {
        module: "mail".to_owned(),
        config: "Test CA".to_owned(),
        protocol: PROTOCOL_VERSION,
        features: Vec::new(),
        role: None,
        settings: settings.as_object().unwrap().clone(),
        window: 64,
        // Of which a mail is begun in the first half.
        deadline_ms: 10_000,
        partial: false,
    };
    host.initialize_with(hello).unwrap();
    server.behave(&Behaviour { delay: Duration::from_millis(300), ..Behaviour::default() });
    let events = issued(64);
    let outcomes: Vec<Outcome> =
        host.notify_all(&events).unwrap().into_iter().map(Result::unwrap).collect();
    let (taken, left): (Vec<&Outcome>, Vec<&Outcome>) =
        outcomes.iter().partition(|it| **it == Outcome::Accept);
    assert!(!taken.is_empty() && !left.is_empty(), "{outcomes:?}");
    for outcome in left {
        let Outcome::TargetDown { reason, .. } = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("this one was not begun"), "{reason}");
    }
}

/// Passes one connection on, and puts an answer behind the one that begins TLS.
fn inject(listener: &TcpListener, server: u16) {
    let (mut client, _) = listener.accept().unwrap();
    let mut server = TcpStream::connect(("127.0.0.1", server)).unwrap();
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    let upward = thread::spawn(move || {
        std::io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(std::net::Shutdown::Both).ok();
    });
    let mut chunk = [0; 4096];
    let mut greetings = 0;
    while let Ok(count @ 1..) = server.read(&mut chunk) {
        let mut answer = chunk[..count].to_vec();
        greetings += usize::from(answer.starts_with(b"220 "));
        if greetings == 2 && answer.starts_with(b"220 ") {
            answer.extend(b"250 injected\r\n");
        }
        if client.write_all(&answer).is_err() {
            break;
        }
    }
    client.shutdown(std::net::Shutdown::Both).ok();
    upward.join().unwrap();
}

#[test]
fn an_answer_that_somebody_puts_before_tls_is_never_taken_for_the_server_s() {
    for (authentication, more) in
        [(true, json!({})), (false, json!({"user": null, "password_file": null}))]
    {
        let server = Smtp::start(&Setup { authentication, ..Setup::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = server.port();
        let between = thread::spawn(move || inject(&listener, to));
        let mut told = Told::with(&server, port, &more);
        let outcome = told.tell(&issued(1)[0]);
        assert!(
            matches!(outcome, Outcome::Retry { .. } | Outcome::TargetDown { .. }),
            "{outcome:?}"
        );
        told.end();
        between.join().unwrap();
        assert_eq!(server.inbox(), []);
    }
}
