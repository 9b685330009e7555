//! Too much, too slow, too many.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use exeunt_api::REQUEST_BYTES_MAX;

use crate::ca::{Ca, TOKEN, Wanted, problem};

fn post(length: usize) -> String {
    format!(
        "POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// A server that waits for nobody, but for what a busy machine needs to write a head.
fn impatient() -> Ca {
    let mut wanted = Wanted::default();
    wanted.limits.read = Duration::from_secs(2);
    Ca::start_as(wanted)
}

#[test]
fn a_request_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let ca = Ca::start();
    for http in [ca.local(), ca.remote()] {
        let body = vec![b'x'; REQUEST_BYTES_MAX + 1];
        problem(http.post("/v1/requests", body.clone()), 413, "request-too-large");
        let chunked = reqwest::blocking::Body::new(std::io::Cursor::new(body));
        problem(http.post("/v1/requests", chunked), 413, "request-too-large");
        let at_the_limit = vec![b'x'; REQUEST_BYTES_MAX];
        assert_eq!(http.post("/v1/requests", at_the_limit).status(), 400);
    }
}

#[test]
fn a_body_far_too_large_is_not_read_to_its_end() {
    let ca = Ca::start();
    let mut raw = ca.raw();
    raw.write(&post(1 << 30));
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0_usize;
    // The server stops reading and closes; the kernel's buffers take some more.
    while sent < 1 << 30 && raw.0.write_all(&chunk).is_ok() {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

#[test]
fn a_head_that_comes_too_slowly_is_answered_408() {
    let ca = impatient();
    let mut raw = ca.raw();
    raw.write("GET /v1/health HTTP/1.1\r\nhos");
    let answer = raw.read_to_end();
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem: exeunt_api::Problem = serde_json::from_str(body).unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (408, "request-timeout"));
}

#[test]
fn a_body_that_comes_too_slowly_is_answered_408() {
    let ca = impatient();
    let mut raw = ca.raw();
    raw.write(&post(1000));
    let mut drip = raw.0.try_clone().unwrap();
    let (answer, took) = std::thread::scope(|scope| {
        let began = Instant::now();
        // A byte now and then keeps nobody's clock from running.
        scope.spawn(move || {
            while drip.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut head = [0; 1024];
        let got = raw.0.read(&mut head).unwrap();
        let took = began.elapsed();
        // Ends the drip, where the server has not done so already.
        let _ = raw.0.shutdown(Shutdown::Both);
        (String::from_utf8_lossy(&head[..got]).into_owned(), took)
    });
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(took < Duration::from_mins(1), "took {took:?}");
}

#[test]
fn an_idle_connection_is_closed_in_silence() {
    let ca = impatient();
    assert_eq!(ca.raw().read_to_end(), "");
}

#[test]
fn requests_in_one_packet_are_answered_in_order_and_garbage_ends_the_connection() {
    let ca = Ca::start();
    let mut raw = ca.raw();
    raw.write(
        "GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/ca HTTP/1.1\r\nhost: x\r\n\r\n\
         \x01\x02garbage\r\n\r\nGET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n",
    );
    let answers = raw.read_to_end();
    let lines: Vec<_> = answers.lines().filter(|it| it.contains("HTTP/1.1 ")).collect();
    let statuses: Vec<_> =
        lines.iter().map(|it| &it[it.find("HTTP/1.1 ").unwrap() + 9..][..3]).collect();
    assert_eq!(statuses, ["200", "401", "400"]);
    assert_eq!(ca.remote().get("/v1/health").status(), 200);
}

#[test]
fn a_head_that_is_too_large_is_answered_431() {
    let ca = Ca::start();
    let head = |length: usize| {
        let mut raw = ca.raw();
        let field = "y".repeat(length);
        let close = "connection: close\r\n";
        raw.write(&format!("GET /v1/health HTTP/1.1\r\nhost: x\r\n{close}x: {field}\r\n\r\n"));
        raw.read_to_end()
    };
    let most = exeunt_http::Limits::HEAD_BYTES_MAX;
    assert!(head(most - 1000).starts_with("HTTP/1.1 200"));
    let answer = head(most);
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem: exeunt_api::Problem = serde_json::from_str(body).unwrap();
    assert_eq!((problem.status, problem.code.as_str()), (431, "head-too-long"));
}

#[test]
fn a_head_far_too_large_is_not_read_to_its_end() {
    let ca = Ca::start();
    let mut raw = ca.raw();
    raw.write(&format!(
        "GET /v1/health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "y".repeat(2 * exeunt_http::Limits::HEAD_BYTES_MAX)
    ));
    let mut head = [0; 12];
    raw.0.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 431");
}

#[test]
fn one_submission_too_many_is_told_to_come_again() {
    let mut wanted = Wanted::default();
    wanted.limits.workers = 1;
    wanted.limits.submissions_in_flight = 1;
    let (ca, gate) = Ca::start_gated(wanted);
    let request = ca.request("/CN=host.example", &[]);
    let first = std::thread::scope(|scope| {
        let first = scope.spawn(|| ca.remote().post("/v1/requests", request.clone()).status());
        gate.wait();
        let response = ca.remote().post("/v1/requests", request.clone());
        assert_eq!(response.headers()["retry-after"], "1");
        problem(response, 503, "server-busy");
        // Look-ups are not submissions.
        assert_eq!(ca.remote().get("/v1/requests").status(), 200);
        gate.open();
        first.join().unwrap()
    });
    assert_eq!(first, 200);
    assert_eq!(ca.remote().post("/v1/requests", request).status(), 200);
}

#[test]
fn a_policy_that_takes_its_time_over_trials_holds_up_no_look_up() {
    let (ca, gate) = Ca::start_gated(Wanted::default());
    let request = ca.request("/CN=host.example", &[]);
    let trial = || ca.remote().post("/v1/requests?dry_run", request.clone()).status();
    std::thread::scope(|scope| {
        // As many as there are threads for look-ups, and one more.
        let trials: Vec<_> = (0..5).map(|_| scope.spawn(trial)).collect();
        gate.wait();
        gate.wait();
        for _ in 0..3 {
            assert_eq!(ca.remote().get("/v1/requests").status(), 200);
        }
        gate.open();
        assert!(trials.into_iter().all(|it| it.join().unwrap() == 200));
    });
}

/// Every endpoint with a body: its method, a path of its, and how long the body may be.
fn with_bodies() -> impl Iterator<Item = (&'static str, String, usize)> {
    exeunt_http::ENDPOINTS.iter().filter_map(|it| {
        let parts = [("{oid}", "1.2.3"), ("{id}", "1"), ("{serial}", "0a"), ("{name}", "file")];
        let path = parts.iter().fold(it.path.to_owned(), |path, (part, it)| path.replace(part, it));
        Some((it.method, path, it.body?.bytes_max))
    })
}

#[test]
fn no_endpoint_takes_a_body_that_is_longer_than_the_table_says() {
    let ca = Ca::start();
    let http = ca.local();
    for (method, path, most) in with_bodies() {
        let url = format!("{}{path}", http.base);
        let request = http.client.request(method.parse().unwrap(), url);
        let response = http.send(request.body(vec![b'['; most + 1]));
        assert_eq!(response.status(), 413, "{method} {path}");
        assert_eq!(response.headers()["content-type"], exeunt_api::PROBLEM_MEDIA_TYPE);
        let problem: exeunt_api::Problem = response.json().unwrap();
        assert!(problem.code.ends_with("-too-large"), "{method} {path}: {}", problem.code);
    }
}

#[test]
fn no_endpoint_waits_for_a_body_for_ever() {
    let ca = impatient();
    let all: Vec<_> = with_bodies().collect();
    // A few at a time, so that each has its head written before the server is done waiting for it.
    for some in all.chunks(8) {
        std::thread::scope(|scope| {
            for (method, path, _) in some {
                let ca = &ca;
                scope.spawn(move || {
                    let head = "host: x\r\ncontent-length: 10\r\n\r\n{\"a\"";
                    let octets = format!("{method} {path} HTTP/1.1\r\n{head}").into_bytes();
                    let mut raw = std::os::unix::net::UnixStream::connect(ca.socket()).unwrap();
                    raw.write_all(&octets).unwrap();
                    let mut answer = [0; 12];
                    raw.read_exact(&mut answer).unwrap();
                    assert_eq!(&answer, b"HTTP/1.1 408", "{method} {path}");
                });
            }
        });
    }
}
