//! What networks and servers do: in the end, every event is there.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use exeunt_exit_webhook::WebhookExit;
use exeunt_module_kit::{Outcome, testing::Host};
use exeunt_testbed::{
    authority::Flaw,
    proxy::{Fault, Proxy},
    receiver::Setup,
};
use serde_json::json;

use crate::fixture::{Fixture, SECRET, assert_down, deliver, events};

#[test]
fn a_server_that_was_down_has_every_event_in_the_end() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.receiver.port());
    for mode in ["structured", "batched"] {
        let mut host = it.host_at(proxy.port(), &json!({"mode": mode}));
        let events = events(300);
        assert_eq!(deliver(&mut host, &events[..50]), 0);
        proxy.set(Fault::Refuse);
        for outcome in host.notify_all(&events[50..150]).unwrap() {
            assert_down(&outcome.unwrap(), "cannot be reached");
        }
        proxy.set(Fault::Nothing);
        deliver(&mut host, &events[50..]);
        it.assert_has(&events);
    }
}

#[test]
fn a_network_that_is_slow_or_silent_costs_time_and_nothing_else() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.receiver.port());
    let mut host = it.host_at(proxy.port(), &json!({}));
    let mut hasty = it.host_at(proxy.port(), &json!({"timeout_s": 1}));
    let events = events(200);
    proxy.set(Fault::Delay(Duration::from_millis(10)));
    assert_eq!(deliver(&mut host, &events[..100]), 0);
    proxy.set(Fault::Silence);
    assert_down(&hasty.notify(&events[100]).unwrap(), "in time");
    proxy.set(Fault::Nothing);
    deliver(&mut host, &events[100..]);
    it.assert_has(&events);
}

#[test]
fn connections_that_are_cut_off_anywhere_lose_nothing() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.receiver.port());
    let mut retried = 0;
    let events = events(120);
    for (index, cut) in [50, 700, 1500, 2500].into_iter().enumerate() {
        let part = &events[index * 30..(index + 1) * 30];
        let mut host = it.host_at(proxy.port(), &json!({"connections": 2}));
        for fault in [Fault::CutToClient(cut), Fault::CutToServer(cut)] {
            proxy.set(fault);
            let outcomes = host.notify_all(part).unwrap();
            let again =
                |it: &Outcome| matches!(it, Outcome::Retry { .. } | Outcome::TargetDown { .. });
            retried += outcomes.iter().filter(|it| it.as_ref().is_ok_and(again)).count();
        }
        proxy.set(Fault::Nothing);
        deliver(&mut host, part);
    }
    assert!(20 < retried, "{retried}");
    it.assert_has(&events);
}

#[test]
fn a_server_that_is_killed_in_the_middle_has_every_event_in_the_end() {
    for mode in ["structured", "batched"] {
        let mut it = Fixture::new();
        let mut host = it.host(&json!({"mode": mode}));
        let events = events(3000);
        let all = events.clone();
        let delivery = std::thread::spawn(move || deliver(&mut host, &all));
        for count in [1, 10] {
            exeunt_testbed::process::wait_for("requests", crate::fixture::LIMIT, || {
                count <= it.receiver.received().len()
            });
            it.receiver.restart();
        }
        let retried = delivery.join().unwrap();
        it.assert_has(&events);
        assert!(0 < retried, "it was killed while nothing was sent");
    }
}

#[test]
fn a_server_with_a_wrong_certificate_is_told_nothing() {
    for flaw in [Flaw::OtherName, Flaw::OtherAuthority, Flaw::Expired] {
        let it = Fixture::with(&Setup { flaw, secret: SECRET.to_vec(), ..Setup::default() });
        let mut host = it.host(&json!({}));
        let outcome = host.notify(&events(1)[0]).unwrap();
        assert_down(&outcome, "certificate");
        assert!(it.receiver.received().is_empty(), "{flaw:?}");
        // It is that alone: with this very certificate pinned, the event is there.
        let mut settings = it.settings(it.receiver.port(), &json!({}));
        settings.as_object_mut().unwrap().remove("ca_file");
        settings["server_certificate_sha256"] = json!([it.receiver.fingerprint()]);
        let mut host = Host::in_memory(WebhookExit::default()).unwrap();
        host.initialize(&settings).unwrap();
        assert_eq!(host.notify(&events(1)[0]).unwrap(), Outcome::Accept, "{flaw:?}");
    }
}

#[test]
fn a_pinned_certificate_is_trusted_and_no_other() {
    let it =
        Fixture::with(&Setup { flaw: Flaw::Expired, secret: SECRET.to_vec(), ..Setup::default() });
    let event = &events(1)[0];
    let pinned = |pin: &str| {
        let mut settings =
            it.settings(it.receiver.port(), &json!({"server_certificate_sha256": [pin]}));
        settings.as_object_mut().unwrap().remove("ca_file");
        let mut host = Host::in_memory(WebhookExit::default()).unwrap();
        host.initialize(&settings).unwrap();
        host.notify(event).unwrap()
    };
    assert_down(&pinned(&"00".repeat(32)), "certificate");
    assert!(it.receiver.received().is_empty());
    assert_eq!(pinned(&it.receiver.fingerprint()), Outcome::Accept);
    it.assert_has(std::slice::from_ref(event));
}

/// Port of the server that [`the_systems_certificates_are_trusted_where_none_are_named`] is to talk to in a
/// process of its own, whose environment says where the system's certificates are.
const PORT: &str = "EXEUNT_TEST_PORT";

#[test]
fn the_systems_certificates_are_trusted_where_none_are_named() {
    if let Ok(port) = std::env::var(PORT) {
        let url = format!("https://localhost:{port}/hook");
        let mut host = Host::in_memory(WebhookExit::default()).unwrap();
        host.initialize(&json!({"url": url, "allow_networks": ["127.0.0.1"]})).unwrap();
        println!("it is {:?}", host.notify(&events(1)[0]).unwrap());
        return;
    }
    let it = Fixture::with(&Setup::default());
    let other = Fixture::with(&Setup::default());
    let said = |ca_file: PathBuf| {
        let test = "faults::the_systems_certificates_are_trusted_where_none_are_named";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("SSL_CERT_FILE", ca_file)
            .env_remove("SSL_CERT_DIR")
            .env(PORT, it.receiver.port().to_string())
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        String::from_utf8(child.stdout).unwrap()
    };
    let stranger = said(other.receiver.ca_file());
    assert!(stranger.contains("certificate") && !stranger.contains("Accept"), "{stranger}");
    assert!(it.receiver.received().is_empty());
    let known = said(it.receiver.ca_file());
    assert!(known.contains("it is Accept"), "{known}");
    assert_eq!(it.receiver.received().len(), 1);
}

#[test]
fn an_address_that_is_not_allowed_is_not_connected_to() {
    let it = Fixture::new();
    let proxy = Proxy::to_port(it.receiver.port());
    for allowed in [json!([]), json!(["10.0.0.0/8", "127.0.0.2", "::2"])] {
        let mut host = it.host_at(proxy.port(), &json!({"allow_networks": allowed}));
        let outcome = host.notify(&events(1)[0]).unwrap();
        assert_down(&outcome, "127.0.0.1 is loopback (RFC 1122)");
        assert_down(&outcome, "allow_networks");
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_name_that_changes_its_address_leads_nowhere_else() {
    let it = Fixture::new();
    let mut proxy = Proxy::to_port(it.receiver.port());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // The first answer is the allowed one; all others are of the same server, by another address.
    let look_up = move |_: &str, port: u16| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if first { [127, 0, 0, 1] } else { [127, 0, 0, 2] };
        Ok(vec![SocketAddr::from((address, port))])
    };
    let mut host = Host::in_memory(WebhookExit::with_look_up(Arc::new(look_up))).unwrap();
    host.initialize(&it.settings(proxy.port(), &json!({}))).unwrap();
    let events = events(3);
    assert_eq!(host.notify(&events[0]).unwrap(), Outcome::Accept);
    proxy.set(Fault::Refuse);
    assert_down(&host.notify(&events[1]).unwrap(), "cannot be reached");
    proxy.set(Fault::Nothing);
    let connections = proxy.connections();
    assert_down(&host.notify(&events[2]).unwrap(), "127.0.0.2 is loopback");
    assert_eq!((proxy.connections(), asked.load(Ordering::SeqCst)), (connections, 2));
}
