//! Who may do what: principals, their tokens, role separation, and what the audit trail says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use exeunt_e2e::ca::{Ca, Served, text};
use serde_json::Value;

use super::issuing::request;

/// Asserts that a command is refused with a code.
#[track_caller]
fn refused(ca: &Ca, args: &[&str], code: &str) {
    let output = ca.run(args);
    let said = text(&output.stderr);
    assert_ne!(output.status.code(), Some(0), "{args:?} was done");
    assert!(said.contains(&format!("error[{code}]")), "{args:?}: {said}");
}

fn json(ca: &Ca, args: &[&str]) -> Value {
    serde_json::from_str(&ca.ok(&[args, &["--json"]].concat())).unwrap()
}

fn config(ca: &Ca) -> String {
    fs::read_to_string(ca.home().join("exeunt.toml")).unwrap()
}

/// A new token of a principal, in a file.
fn add_token(ca: &Ca, principal: &str, options: &[&str]) -> PathBuf {
    let file = ca.scratch().join(format!("{principal}.token"));
    let out = file.to_str().unwrap();
    ca.ok(&[&["token", "add", principal, "--out", out], options].concat());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    file
}

/// Options that lead a command to the server by TCP, with a token.
fn from_elsewhere(server: &Served, token: &std::path::Path) -> Vec<String> {
    let url = format!("http://{}", server.address());
    ["--server", &url, "--token-file", token.to_str().unwrap()].map(str::to_owned).to_vec()
}

/// A command by TCP.
fn with<'a>(args: &[&'a str], door: &'a [String]) -> Vec<&'a str> {
    args.iter().copied().chain(door.iter().map(String::as_str)).collect()
}

fn audited(ca: &Ca, action: &str, door: &[String]) -> Vec<Value> {
    let show = ["audit", "show", "--all", "--format", "jsonl", "--oldest-first"];
    let lines = ca.ok(&with(&show, door));
    let rows = lines.lines().map(|it| serde_json::from_str::<Value>(it).unwrap());
    rows.filter(|it| it["action"] == action).collect()
}

const WEB: &str = "# Web servers.\n[[principal]]\nname = \"web\"\nroles = [\"enrollee\"]\n";

#[test]
fn a_token_comes_and_goes_without_a_restart_and_is_nowhere_on_record() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    ca.configure_more(WEB);
    refused(&ca, &["token", "list", "web"], "principal-not-found");
    assert_eq!(ca.ok(&["reload"]), "From now on:     principals\n");
    assert_eq!(ca.ok(&["reload"]), "Nothing has changed.\n");
    let before = config(&ca);

    let options = ["--name", "deploy", "--expires", "90d", "--from", "127.0.0.0/8"];
    let file = add_token(&ca, "web", &options);
    let token = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(token.len(), 64);
    let list = json(&ca, &["token", "list", "web"]);
    let known = &list[0]["tokens"][0];
    assert_eq!((known["name"].as_str(), known["expired"].as_bool()), (Some("deploy"), Some(false)));
    assert!(config(&ca).starts_with(before.trim_end()), "the file was written anew");
    assert!(ca.ok(&["principal", "list"]).contains("token deploy"));
    refused(&ca, &["token", "add", "web", "--name", "deploy"], "token-exists");
    refused(&ca, &["token", "add", "nobody"], "principal-not-found");
    let past = "2020-01-01T00:00:00Z";
    refused(&ca, &["token", "add", "web", "--expires", past], "order-invalid");

    let door = from_elsewhere(&server, &file);
    let mine = request(&ca, "ec:P-256", "/CN=mine.example.test", &[]);
    let others = request(&ca, "ec:P-256", "/CN=other.example.test", &[]);
    ca.ok(&["submit", &others]);
    ca.ok(&with(&["submit", &mine], &door));
    let requests = json(&ca, &with(&["request", "show", "2"], &door));
    assert_eq!(requests["caller"], "principal:web");
    refused(&ca, &with(&["request", "show", "1"], &door), "role-missing");
    refused(&ca, &with(&["cert", "list"], &door), "role-missing");
    refused(&ca, &with(&["request", "approve", "1"], &door), "role-missing");
    refused(&ca, &with(&["exit", "disable", "file"], &door), "manage-local-only");

    ca.ok(&["token", "remove", "web", "deploy"]);
    assert_eq!(config(&ca), before, "a token left something behind");
    refused(&ca, &with(&["request", "show", "2"], &door), "unauthorized");
    refused(&ca, &["token", "remove", "web", "deploy"], "token-not-found");

    let added = audited(&ca, "token-add", &[]);
    assert_eq!(added[0]["object"], "principal:web");
    assert_eq!(audited(&ca, "token-remove", &[]).len(), 1);
    assert_eq!(audited(&ca, "security-change", &[])[0]["object"], "principal:web");
    assert_eq!(
        audited(&ca, "access-known", &[]),
        [] as [Value; 0],
        "there was nobody at the start"
    );
    let refusals = audited(&ca, "access-refused", &[]);
    assert_eq!(refusals.len(), 5);
    assert!(refusals[..4].iter().all(|it| it["actor"] == "principal:web by token:deploy"));
    server.stop();
    // Neither the token nor anything by which it could be used.
    let store = fs::read(ca.home().join("exeunt.db")).unwrap();
    let log = fs::read_to_string(ca.log()).unwrap();
    assert!(!log.contains(&token), "the log has the token");
    assert!(!store.windows(token.len()).any(|it| it == token.as_bytes()), "the store has it");
}

#[test]
fn what_somebody_wrote_into_the_file_is_audited_however_it_comes_to_count() {
    let ca = Ca::init(&[]);
    ca.configure_more(WEB);
    let server = ca.serve();
    // Nobody reads the file again before the next token does.
    ca.configure("roles = [\"enrollee\"]", "roles = [\"enrollee\", \"auditor\"]");
    ca.configure_more("[[principal]]\nname = \"eve\"\nroles = [\"administrator\"]\n");
    ca.configure("[server]", "[server]\nbefore_reply_s = 3");
    ca.ok(&["token", "add", "web"]);
    assert!(ca.ok(&["principal", "list"]).contains("eve"));
    let changed = || {
        let rows = audited(&ca, "security-change", &[]);
        rows.iter().map(|it| it["object"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(changed(), ["principal:web", "principal:eve"]);
    let before = &audited(&ca, "security-change", &[])[0]["before"];
    assert_eq!(*before, "roles enrollee");
    ca.ok(&["reload"]);
    assert_eq!(changed(), ["principal:web", "principal:eve"], "nothing is new by then");
    let config = audited(&ca, "config-change", &[]);
    let keys: Vec<&str> = config.iter().map(|it| it["object"].as_str().unwrap()).collect();
    assert_eq!(keys, ["server.before_reply_s"], "a command took it out of sight");
    server.stop();
}

#[test]
fn whoever_asks_for_it_reads_the_token_once_on_standard_output() {
    let ca = Ca::init(&[]);
    ca.configure_more(WEB);
    let server = ca.serve();
    let token = ca.ok(&["token", "add", "web"]);
    assert!(token.trim().len() == 64 && token.lines().count() == 1, "{token}");
    let file = ca.scratch().join("token");
    fs::write(&file, &token).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let door = from_elsewhere(&server, &file);
    ca.ok(&with(&["request", "list"], &door));
    server.stop();
}

#[test]
fn a_token_in_a_file_counts_after_a_reload_and_one_that_is_another_ones_changes_nothing() {
    let ca = Ca::init(&[]);
    ca.configure_more(WEB);
    let server = ca.serve();
    let file = ca.home().join("secrets/second.token");
    let mode = fs::Permissions::from_mode(0o600);
    fs::write(&file, "1".repeat(64)).unwrap();
    fs::set_permissions(&file, mode.clone()).unwrap();
    let door = from_elsewhere(&server, &file);
    refused(&ca, &with(&["request", "list"], &door), "unauthorized");
    let one = "token_files = { admin = \"secrets/admin.token\" }";
    let two =
        "token_files = { admin = \"secrets/admin.token\", second = \"secrets/second.token\" }";
    ca.configure(one, two);
    let told = json(&ca, &["reload"]);
    assert_eq!(told["needs_restart"], serde_json::json!([]));
    assert_eq!(told["taken_up"], serde_json::json!(["principals"]));
    ca.ok(&with(&["request", "list"], &door));

    // The same token twice would be two callers.
    let webs = add_token(&ca, "web", &[]);
    fs::copy(webs, &file).unwrap();
    fs::set_permissions(&file, mode).unwrap();
    refused(&ca, &["reload"], "principals-unreadable");
    refused(&ca, &["config", "check"], "principal-shared");
    ca.ok(&["principal", "list"]);
    server.stop();
}

#[test]
fn under_role_separation_nobody_has_two_roles_and_the_owner_is_administrator() {
    let ca = Ca::init(&[]);
    ca.configure("[server]", "[server]\nrole_separation = true");
    ca.configure("issue = \"at-once\"", "issue = \"hold\"");
    let both = "[[principal]]\nname = \"both\"\nroles = [\"administrator\", \"auditor\"]\n";
    let good = config(&ca);
    ca.configure_more(both);
    refused(&ca, &["config", "check"], "role-separation");
    let start = ca.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(text(&start.stderr).contains("error[role-separation]"), "{}", text(&start.stderr));

    fs::write(ca.home().join("exeunt.toml"), good).unwrap();
    ca.configure_more(
        "[[principal]]\nname = \"manager\"\nroles = [\"certificate-manager\"]\n\n\
         [[principal]]\nname = \"auditor\"\nroles = [\"auditor\"]\n",
    );
    let said = ca.ok(&["config", "check"]);
    assert!(said.contains("manager: certificate-manager, by nothing yet"), "{said}");
    assert!(said.contains("administrator, reader, enrollee"), "{said}");
    assert!(said.contains("Role separation is on."), "{said}");

    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    assert_eq!(ca.run(&["submit", &file]).status.code(), Some(3));
    refused(&ca, &["request", "approve", "1"], "role-missing");
    let manager = from_elsewhere(&server, &add_token(&ca, "manager", &[]));
    let auditor = from_elsewhere(&server, &add_token(&ca, "auditor", &[]));
    refused(&ca, &with(&["request", "approve", "1"], &auditor), "role-missing");
    let pem = ca.ok(&with(&["request", "approve", "1"], &manager));
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"), "{pem}");
    refused(&ca, &with(&["token", "list"], &manager), "role-missing");
    ca.ok(&with(&["token", "list"], &auditor));
    refused(&ca, &with(&["token", "remove", "manager", "x"], &auditor), "role-missing");
    refused(&ca, &["audit", "show"], "role-missing");
    let known = &audited(&ca, "access-known", &auditor)[0];
    let lines = "role separation true\nmanager: roles certificate-manager\nauditor: roles auditor";
    assert_eq!(known["after"], lines);

    // A configuration that is not good changes nothing.
    ca.configure_more(both);
    refused(&ca, &["reload"], "role-separation");
    ca.ok(&with(&["token", "list"], &auditor));
    server.stop();
}

#[test]
fn a_guesser_is_told_to_wait_and_the_operator_is_not() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let file = ca.scratch().join("guess");
    fs::write(&file, "0".repeat(64)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let door = from_elsewhere(&server, &file);
    for _ in 0..10 {
        refused(&ca, &with(&["request", "list"], &door), "unauthorized");
    }
    refused(&ca, &with(&["request", "list"], &door), "too-many-guesses");
    ca.ok(&["request", "list"]);
    server.stop();
}
