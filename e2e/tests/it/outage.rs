//! A small CA whose target is away for longer than an event has attempts.

use std::os::unix::net::UnixDatagram;

use exeunt_e2e::ca::{Ca, wait_for};
use serde_json::Value;

use super::issuing::request;

/// Attempts after which an event is parked, where it is the event's fault. The pauses between them are
/// the breaker's, which grow: few enough for a test.
const ATTEMPTS_MAX: u64 = 3;

#[test]
fn one_event_whose_target_is_away_for_long_is_never_parked_and_comes_when_it_is_back() {
    let ca = Ca::init(&[]);
    let path = ca.scratch().join("log");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"log\"\nmodule = \"syslog\"\nevents = [\"issued\"]\nretry_first_s = 1\n\
         retry_longest_s = 1\nretry_attempts_max = {ATTEMPTS_MAX}\nsettings = {{ transport = \
         \"unix\", path = \"{}\" }}\n",
        path.display()
    ));
    let server = ca.serve();
    let status =
        || -> Value { serde_json::from_str(&ca.ok(&["exit", "status", "log", "--json"])).unwrap() };
    let file = request(&ca, "ec:P-256", "/CN=only.example.test", &["only.example.test"]);
    ca.ok(&["submit", &file]);
    wait_for("more attempts than there are", || {
        let status = status();
        assert_eq!(status["held_parked"], 0, "{status}");
        (ATTEMPTS_MAX < status["retried"].as_u64().unwrap()).then_some(())
    });
    // It holds back, and says why.
    let down = status();
    assert_eq!((&down["state"], &down["held_retry"]), (&"waiting".into(), &1.into()), "{down}");
    assert!(down["why"].as_str().unwrap().contains("log"), "{down}");

    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut octets = [0; 10_000];
    let message = wait_for("the event", || {
        let count = socket.recv(&mut octets).ok()?;
        Some(String::from_utf8_lossy(&octets[..count]).into_owned())
    });
    assert!(message.contains("dn=\"CN=only.example.test\""), "{message}");
    wait_for("nothing on the shelf", || {
        let status = status();
        (status["held_retry"] == 0 && status["held_parked"] == 0 && status["state"] == "running")
            .then_some(())
    });
    assert!(socket.recv(&mut octets).is_err(), "it came twice");
    server.stop();
}
