//! The examples, each checked by the conformance kit and run by a real server; and the check itself
//! as its user meets it.

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_e2e::program::built;
use serde_json::Value;

use super::issuing::request;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What Python says of the inventory.
const READ: &str = "
import json, sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute('SELECT serial, common_name, state FROM certificate')
print(json.dumps(list(rows)))
";

/// Issues a certificate for each host and gives their serial numbers.
fn issue(ca: &Ca, hosts: &[&str]) -> BTreeSet<String> {
    for host in hosts {
        let file = request(ca, "ec:P-256", &format!("/CN={host}"), &[host]);
        ca.ok(&["submit", &file]);
    }
    let list: Value = serde_json::from_str(&ca.ok(&["cert", "list", "--json"])).unwrap();
    let certificates = list["certificates"].as_array().unwrap();
    certificates.iter().map(|it| it["serial"].as_str().unwrap().to_owned()).collect()
}

/// Runs `exeunt exit check` and wants every rule kept.
#[track_caller]
fn check(ca: &Ca, options: &[&str]) -> String {
    let output = ca.run(&[&["exit", "check"], options].concat());
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn the_table_in_rust_has_a_line_for_everything_that_happened() {
    let build = ["build", "--quiet", "--package", "exeunt-rust-csv"];
    let status =
        Command::new(env!("CARGO")).args(build).current_dir(repository()).status().unwrap();
    assert!(status.success());
    let program = built("exeunt-rust-csv");
    let ca = Ca::init(&[]);
    let checked = ca.scratch().join("checked.csv");
    let setting = format!("file={}", checked.display());
    check(&ca, &["--command", program.to_str().unwrap(), "--set", &setting]);
    // The check delivers many events more than once; in the file each stands once.
    let checked = std::fs::read_to_string(checked).unwrap();
    let ids: Vec<&str> = checked.lines().filter_map(|it| it.split(',').next()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());

    let table = ca.scratch().join("events.csv");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"table\"\ncommand = [{program:?}]\n[exit.settings]\nfile = {table:?}"
    ));
    let server = ca.serve();
    let serials = issue(&ca, &["one.example.test", "two.example.test"]);
    let lines = wait_for("both certificates to stand in the table", || {
        let text = std::fs::read_to_string(&table).ok()?;
        let issued: Vec<String> =
            text.lines().filter(|it| it.contains(",issued,")).map(str::to_owned).collect();
        (issued.len() == 2).then_some(issued)
    });
    for serial in &serials {
        assert!(lines.iter().any(|it| it.contains(&format!("\"{serial}\""))), "{lines:?}");
    }
    server.stop();
    let text = std::fs::read_to_string(&table).unwrap();
    assert!(text.starts_with("id,time,event,"), "{text}");
    assert!(text.contains(",startup,server,"), "{text}");
}

#[test]
fn the_inventory_in_python_knows_every_certificate() {
    let ca = Ca::init(&[]);
    let folder = repository().join("examples/python-inventory");
    let here = ca.scratch();
    for file in ["inventory.py", "exeunt_module.py"] {
        std::fs::copy(folder.join(file), here.join(file)).unwrap();
    }
    let script = here.join("inventory.py");
    let command = format!("python3 {}", script.display());
    let setting = format!("database={}", here.join("checked.db").display());
    check(&ca, &["--command", &command, "--set", &setting]);

    let database = here.join("inventory.db");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"inventory\"\ncommand = [\"python3\", {script:?}]\n\
         [exit.settings]\ndatabase = {database:?}"
    ));
    let server = ca.serve();
    let serials = issue(&ca, &["one.example.test", "two.example.test", "three.example.test"]);
    let rows: Vec<(String, String, String)> = wait_for("all to be in the inventory", || {
        let output = Command::new("python3").args(["-c", READ]).arg(&database).output().unwrap();
        let rows: Vec<_> = serde_json::from_slice(&output.stdout).ok()?;
        (rows.len() == 3).then_some(rows)
    });
    assert_eq!(rows.iter().map(|it| it.0.clone()).collect::<BTreeSet<_>>(), serials);
    assert!(rows.iter().any(|it| it.1 == "two.example.test"), "{rows:?}");
    assert!(rows.iter().all(|it| it.2 == "valid"), "{rows:?}");
    server.stop();
}

#[test]
fn the_line_for_syslog_is_written_once_the_log_is_there() {
    let ca = Ca::init(&[]);
    let script = repository().join("examples/shell-syslog/syslog.sh");
    let socket = ca.scratch().join("log.sock");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"syslog\"\nmodule = \"command\"\nretry_first_s = 1\n\
         [exit.settings]\nprogram = [{script:?}]\nevents = [\"issued\"]\n\
         environment = {{ SYSLOG_SOCKET = {socket:?} }}"
    ));
    let server = ca.serve();
    let serials = issue(&ca, &["one.example.test"]);
    wait_for("the event to be held, because there is no log", || {
        let status: Value =
            serde_json::from_str(&ca.ok(&["exit", "status", "syslog", "--json"])).unwrap();
        (status["held_retry"] == 1).then_some(())
    });
    let log = UnixDatagram::bind(&socket).unwrap();
    log.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut line = [0; 4096];
    let length = log.recv(&mut line).unwrap();
    let line = text(&line[..length]);
    let serial = serials.first().unwrap();
    assert!(line.contains(&format!("serial={serial} name=one.example.test")), "{line}");
    assert!(line.contains("exeunt") && line.contains("issued"), "{line}");
    server.stop();
}

#[test]
fn the_line_for_syslog_keeps_the_contract() {
    let ca = Ca::init(&[]);
    let script = repository().join("examples/shell-syslog/syslog.sh");
    let socket = ca.scratch().join("log.sock");
    let log = UnixDatagram::bind(&socket).unwrap();
    // A socket whose queue is full makes its writers wait.
    let reader = std::thread::spawn(move || {
        let mut line = [0; 4096];
        let mut lines = 0;
        while log.recv(&mut line).unwrap() != 0 {
            lines += 1;
        }
        lines
    });
    let program = format!("program=[{script:?}]");
    let environment = format!("environment={{ SYSLOG_SOCKET = {socket:?} }}");
    check(&ca, &["--use", "command", "--set", &program, "--set", &environment]);
    // An empty one is the end; the script writes none.
    UnixDatagram::unbound().unwrap().send_to(b"", &socket).unwrap();
    assert!(64 < reader.join().unwrap());
}

#[test]
fn a_configured_module_is_checked_where_it_does_no_harm() {
    let ca = Ca::init(&[]);
    let table = check(&ca, &["file"]);
    assert!(table.contains("The module keeps the contract"), "{table}");
    assert!(table.contains("publishes certificates and revocation lists into a folder"), "{table}");
    // Its folder is a relative path: it was made elsewhere, and is gone.
    assert!(
        !ca.published().exists() || std::fs::read_dir(ca.published()).unwrap().next().is_none()
    );
    let report: Value = serde_json::from_str(&check(&ca, &["file", "--json"])).unwrap();
    assert_eq!(report["passed"], true);
    let events = ["issued", "crl-issued", "startup", "ca-cert-issued"];
    assert_eq!(report["module"]["events"], serde_json::json!(events));
    let unknown = ca.run(&["exit", "check", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("error[exit-not-in-file]"));
}

#[test]
fn a_module_that_breaks_the_contract_is_found_out() {
    let ca = Ca::bare();
    let output = ca.run(&["exit", "check", "--command", "true", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], false);
    let failed = report["rules"].as_array().unwrap().iter().filter(|it| it["verdict"] == "fail");
    assert_eq!(
        failed.map(|it| it["id"].as_str().unwrap()).collect::<Vec<_>>(),
        ["initialize-answered"]
    );
    let output = ca.run(&["exit", "check"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_library_is_checked_through_its_runner() {
    for words in
        [&["--package", "exeunt-runner"][..], &["--package", "exeunt-com", "--example", "census"]]
    {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet"]).args(words).current_dir(repository());
        assert!(build.status().unwrap().success());
    }
    let library = built("exeunt-runner").with_file_name("examples/libcensus.so");
    let ca = Ca::bare();
    let options = ["--library", library.to_str().unwrap(), "--class", "Census.Exit"];
    let table = check(&ca, &[&options[..], &["--set", "greeting=ave"]].concat());
    assert!(table.contains("issued, shutdown (0x41)"), "{table}");
    let output = ca.run(&[&["exit", "check"], &options[..3], &["Census.Nothing"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("Census.Nothing"), "{}", text(&output.stdout));
}
