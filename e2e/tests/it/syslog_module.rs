//! Events of a real CA in a socket of the machine, where syslog listens.

use std::os::unix::net::UnixDatagram;

use exeunt_e2e::ca::{Ca, wait_for};

use super::issuing::request;

#[test]
fn certificates_are_written_to_syslog_also_where_nobody_listened() {
    let ca = Ca::init(&[]);
    let path = ca.scratch().join("log");
    let server = ca.serve();
    let setting = format!("path={}", path.display());
    let add = ["exit", "add", "log", "--use", "syslog", "--set", "transport=unix", "--set"];
    ca.ok(&[&add[..], &[&setting]].concat());
    let issue = |host: &str| {
        let file = request(&ca, "ec:P-256", &format!("/CN={host}"), &[host]);
        ca.ok(&["submit", &file]);
    };
    issue("first.example.test");
    ca.wait_for_retry("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let tried = ca.ok(&["exit", "test", "log"]);
    assert!(tried.contains("exeunt - issued [exeunt@32473 id="), "{tried}");
    issue("second.example.test");
    let mut octets = [0; 10_000];
    let mut messages: Vec<String> = Vec::new();
    wait_for("both certificates", || {
        while let Ok(count) = socket.recv(&mut octets) {
            messages.push(String::from_utf8(octets[..count].to_vec()).unwrap());
        }
        let has = |host: &str| messages.iter().any(|it| it.contains(&format!("dn=\"CN={host}\"")));
        (has("first.example.test") && has("second.example.test")).then_some(())
    });
    let issued = messages.iter().find(|it| it.contains("first.example.test")).unwrap();
    assert!(
        issued.starts_with("<86>1 20") && issued.contains(" exeunt - issued [exeunt@32473 id=")
    );
    server.stop();
}
