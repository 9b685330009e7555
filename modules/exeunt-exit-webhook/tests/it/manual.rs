//! The receiver in the manual does what the manual says.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
};

use exeunt_module_kit::Outcome;
use exeunt_testbed::{
    process::{Process, free_port},
    receiver::Received,
};
use serde_json::json;

use crate::fixture::{Fixture, SECRET_BASE64, events};

/// The first block of Python in the manual's page.
fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual/webhook-module.md");
    let page = fs::read_to_string(path).unwrap();
    let (_, rest) = page.split_once("```python\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Posts what the module has sent, with this body, and gives the status.
fn post(port: u16, request: &Received, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut lines = vec!["POST /hook HTTP/1.0".to_owned()];
    let headers = request.headers.iter().filter(|(it, _)| it.starts_with("webhook-"));
    lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
    lines.push(format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(&[lines.join("\r\n").as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn the_receiver_in_the_manual_takes_what_is_ours_and_nothing_else() {
    let it = Fixture::new();
    let mut host = it.host(&json!({}));
    assert_eq!(host.notify(&events(1)[0]).unwrap(), Outcome::Accept);
    let request = it.receiver.received().remove(0);

    let folder = it.folder.path();
    let port = free_port();
    let script = example();
    assert!(script.contains("8080"));
    fs::write(folder.join("receiver.py"), script.replace("8080", &port.to_string())).unwrap();
    fs::write(folder.join("key"), format!("whsec_{SECRET_BASE64}\n")).unwrap();
    let mut command = Command::new("python3");
    command.arg("receiver.py").current_dir(folder);
    let mut process = Process::start(&mut command, &folder.join("log"));
    process.wait_for_port(port);

    assert_eq!(post(port, &request, &request.body), "204");
    assert_eq!(post(port, &request, &request.body), "204", "again, which it knows");
    let mut forged = request.body.clone();
    forged.push(b' ');
    assert_eq!(post(port, &request, &forged), "401");
    process.stop();
    let log = fs::read_to_string(folder.join("log")).unwrap();
    assert_eq!(log.matches("exeunt.issued 40000000000000000000000000000001").count(), 1, "{log}");
}
