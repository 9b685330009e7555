//! Clients that leave, workers that break, servers that stop.

use std::net::Shutdown;
use std::time::Duration;

use exeunt_types::{Disposition, RequestId};

use crate::ca::{Ca, PATIENCE, TOKEN, Wanted, eventually, problem};

#[test]
fn a_client_that_hangs_up_does_not_cancel_a_signing_in_flight() {
    let (ca, gate) = Ca::start_gated(Wanted::default());
    let request = String::from_utf8(ca.request("/CN=host.example", &[])).unwrap();
    let mut raw = ca.raw();
    raw.write(&format!(
        "POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {}\r\n\r\n{request}",
        request.len()
    ));
    gate.wait();
    raw.0.shutdown(Shutdown::Both).unwrap();
    drop(raw);
    // Another connection's answer: the server has had time to see the first one go.
    assert_eq!(ca.remote().get("/v1/health").status(), 200);
    gate.open();
    let row = eventually("the certificate of a client that hung up", || {
        let row = ca.engine.store().request(RequestId(1)).unwrap()?;
        (row.disposition == Disposition::Issued).then_some(row)
    });
    assert!(row.serial.is_some());
}

#[test]
fn a_panic_in_a_worker_is_a_fault_and_not_the_end() {
    let mut wanted = Wanted::default();
    wanted.limits.workers = 1;
    let ca = Ca::start_as(wanted);
    let http = ca.remote();
    let request = ca.request("/CN=host.example", &[]);
    for _ in 0..3 {
        let response = http.post("/v1/requests?template=panic", request.clone());
        let problem = problem(response, 500, "internal");
        assert!(!problem.detail.contains("on purpose"), "an internal went out");
    }
    assert_eq!(http.post("/v1/requests", request).status(), 200);
}

#[test]
fn stopping_answers_what_is_in_hand_and_takes_nothing_new() {
    let (mut ca, gate) = Ca::start_gated(Wanted::default());
    let request = ca.request("/CN=host.example", &[]);
    let (http, address) = (ca.remote(), ca.address());
    let server = ca.server.take().unwrap();
    let status = std::thread::scope(|scope| {
        let submission = scope.spawn(|| http.post("/v1/requests", request).status());
        gate.wait();
        let stopped = scope.spawn(|| server.stop(PATIENCE));
        eventually("the closing of the door", || std::net::TcpStream::connect(address).err());
        assert!(!stopped.is_finished(), "stopped over a submission in flight");
        gate.open();
        stopped.join().unwrap();
        submission.join().unwrap()
    });
    assert_eq!(status, 200);
    assert!(!ca.socket().exists());
}

#[test]
fn stopping_waits_no_longer_than_its_grace() {
    let (mut ca, gate) = Ca::start_gated(Wanted::default());
    let request = ca.request("/CN=host.example", &[]);
    let http = ca.remote();
    let server = ca.server.take().unwrap();
    std::thread::scope(|scope| {
        let url = format!("{}/v1/requests", http.base);
        let submission = scope
            .spawn(move || http.client.post(url).bearer_auth(TOKEN).body(request).send().is_ok());
        gate.wait();
        server.stop(Duration::from_millis(100));
        assert!(!submission.join().unwrap(), "an answer came from a stopped server");
    });
    // The signing itself goes on: its worker lives as long as the process.
    gate.open();
    eventually("the certificate of a stopped server", || {
        let row = ca.engine.store().request(RequestId(1)).unwrap()?;
        (row.disposition == Disposition::Issued).then_some(())
    });
}

#[test]
fn a_stopped_server_can_be_started_again_on_the_same_home() {
    let mut ca = Ca::start();
    let address = ca.address();
    // A connection that the client keeps open does not hold the server up.
    let http = ca.remote();
    assert_eq!(http.get("/v1/health").status(), 200);
    ca.server.take().unwrap().stop(PATIENCE);
    ca.serve(Wanted { listen: Some(address), ..Wanted::default() });
    assert_eq!(ca.local().get("/v1/health").status(), 200);
    assert_eq!(ca.remote().get("/v1/health").status(), 200);
}
