//! Templates through the whole program: looked at, checked, tried, limited, approved by two.

use exeunt_e2e::ca::{Ca, text};
use exeunt_testkit::foreign;
use serde_json::Value;

use crate::issuing::request;

const PEOPLE: &str = r#"
[[template]]
name = "people"
validity_days = 30
key_usage = ["digitalSignature"]
extended_key_usage = ["clientAuth", "smartcardLogon"]
key_minimum = ["rsa-3072", "ecdsa-p256"]
subject_from_request = ["CN"]
subject_other = "ignore"
subject = ["CN={CommonName}", "OU=Staff", "O=Acme"]
san_add = ["upn:{CommonName}@corp.example"]
san_required = ["upn"]
sid = { "local:*" = "S-1-5-21-1-2-3-1104" }
issue = "at-once"
enrollment_flags = ["publish-to-ds"]

[[template.rate]]
certificates = 2
window_s = 86400
per = "requester"

[[template]]
name = "four-eyes"
validity_days = 30
key_usage = ["digitalSignature"]
subject_from_request = ["CN"]
issue = "hold"
own_approval = "refuse"

[[template]]
name = "two"
validity_days = 30
key_usage = ["digitalSignature"]
subject_from_request = ["CN"]
issue = "hold"
approvals = 2
callers = "authenticated"
groups = ["web"]

[[template]]
name = "open"
validity_days = 30
key_usage = ["digitalSignature"]
subject_from_request = ["CN"]
issue = "at-once"

[template.dangerous]
san_from_attributes = true
"#;

fn ca() -> Ca {
    let ca = Ca::init(&[]);
    ca.configure_more(PEOPLE);
    ca
}

/// What a command says that fails with this status.
#[track_caller]
fn fails(ca: &Ca, args: &[&str], status: i32, code: &str) -> String {
    let output = ca.run(args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
    assert!(said.contains(&format!("error[{code}]")), "{args:?}: {said}");
    text(&output.stdout) + &said
}

#[test]
fn templates_are_listed_shown_and_named_where_they_are_dangerous() {
    let ca = ca();
    let checked = ca.ok(&["config", "check"]);
    assert!(checked.contains("template open: dangerous options are on"), "{checked}");
    assert!(checked.contains("san_from_attributes"), "{checked}");
    let server = ca.serve();
    let listed = ca.ok(&["template", "list"]);
    for words in ["tls-server", "default", "people", "dangerous: san_from_attributes"] {
        assert!(listed.contains(words), "{words:?} is not in {listed}");
    }
    let shown: Value =
        serde_json::from_str(&ca.ok(&["template", "show", "people", "--json"])).unwrap();
    let value = |key: &str| {
        let settings = shown["settings"].as_array().unwrap();
        settings.iter().find(|it| it["key"] == key).map(|it| it["value"].as_str().unwrap())
    };
    assert_eq!(value("key_minimum"), Some("rsa-3072, ecdsa-p256"));
    assert_eq!(value("enrollment_flags"), Some("0x8"));
    assert_eq!(value("rate"), Some("2 in 86400 s per requester"));
    fails(&ca, &["template", "show", "nothing"], 1, "template-not-found");
    server.stop();
    let log = std::fs::read_to_string(ca.log()).unwrap();
    assert!(log.contains("dangerous-options"), "{log}");
}

#[test]
fn every_mistake_of_a_file_with_templates_is_said_without_a_server() {
    let ca = Ca::bare();
    let file = ca.scratch().join("templates.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, PEOPLE).unwrap();
    let good = ca.ok(&["template", "check", path]);
    assert!(good.contains("people, four-eyes, two, open"), "{good}");
    assert!(good.contains("warning: template open: dangerous options are on"), "{good}");
    let bad = PEOPLE
        .replace("validity_days = 30", "validity_days = 0")
        .replace("\"hold\"", "\"later\"")
        .replace("{CommonName}", "{Nobody}")
        .replace("san_required", "san_require");
    std::fs::write(&file, bad).unwrap();
    let said = fails(&ca, &["template", "check", path], 1, "config-invalid");
    for words in ["san_require", "Nobody", "\"later\" is not known", "validity is not between"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    fails(&ca, &["template", "check", "nothing.toml"], 1, "config-missing");
}

#[test]
fn a_request_is_tried_issued_and_limited() {
    let ca = ca();
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/O=Evil/CN=alice", &[]);
    let of = |rest: &[&'static str]| {
        let mut args = vec!["submit", file.as_str(), "--template", "people"];
        args.extend(rest);
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let run = |rest: &[&'static str]| {
        let args = of(rest);
        ca.ok(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let tried = run(&["--dry-run"]);
    for words in [
        "subject-request",
        "left out of the subject: 2.5.4.10",
        "CN=alice,OU=Staff,O=Acme",
        "upn:alice@corp.example",
        "would be issued from template people",
    ] {
        assert!(tried.contains(words), "{words:?} is not in {tried}");
    }
    let json: Value = serde_json::from_str(&run(&["--dry-run", "--json"])).unwrap();
    assert_eq!(json["verdict"], "pass");
    assert!(json["rules"].as_array().unwrap().iter().any(|it| it["rule"] == "lint"));
    assert!(ca.ok(&["request", "list", "--json"]).contains("\"requests\": []"));

    let certificate = run(&[]);
    foreign::openssl_verify(&certificate, &ca.certificate()).unwrap();
    let seen = foreign::openssl_text(&certificate);
    for words in ["UPN::alice@corp.example", "OU = Staff", "S-1-5-21-1-2-3-1104"] {
        assert!(seen.contains(words), "{words:?} is not in {seen}");
    }
    run(&[]);
    let args = of(&[]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = fails(&ca, &args, 1, "rate-limited");
    assert!(said.contains("come again at"), "{said}");
    let args = of(&["--dry-run"]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    fails(&ca, &args, 1, "rate-limited");

    let small = request(&ca, "rsa:2048", "/CN=alice", &[]);
    fails(&ca, &["submit", &small, "--template", "people"], 1, "key-below-minimum");
    server.stop();
}

#[test]
fn whoever_asked_does_not_approve_their_own_request() {
    let ca = ca();
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=alice", &[]);
    let waits = ca.run(&["submit", &file, "--template", "four-eyes"]);
    assert_eq!(waits.status.code(), Some(3));
    let tried = ca.run(&["submit", &file, "--template", "four-eyes", "--dry-run"]);
    assert_eq!(tried.status.code(), Some(3));
    assert!(text(&tried.stdout).contains("would wait"), "{}", text(&tried.stdout));
    // Both are the same user of the socket.
    fails(&ca, &["request", "approve", "1"], 1, "approval-own");
    server.stop();
}

#[test]
fn names_in_attributes_count_where_a_template_says_so_and_nowhere_else() {
    let ca = ca();
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=alice", &[]);
    let of = |template: &str| {
        let attribute = "SAN:dns=evil.example&upn=admin@corp.example";
        ca.ok(&["submit", &file, "--template", template, "--attribute", attribute])
    };
    let open = foreign::openssl_text(&of("open"));
    assert!(open.contains("DNS:evil.example, othername: UPN::admin@corp.example"), "{open}");
    let closed = foreign::openssl_text(&of("people"));
    assert!(!closed.contains("evil") && !closed.contains("admin"), "{closed}");
    let audited = ca.ok(&["audit", "show"]);
    assert!(audited.contains("dangerous-option-used"), "{audited}");
    server.stop();
}

const PRINCIPALS: &str = r#"
[[principal]]
name = "web"
roles = ["enrollee"]
groups = ["web"]

[[principal]]
name = "anna"
roles = ["certificate-manager", "enrollee"]

[[principal]]
name = "bert"
roles = ["certificate-manager"]
"#;

#[test]
fn two_managers_approve_from_elsewhere_and_the_group_of_whoever_asked_counts() {
    let ca = ca();
    ca.configure_more(PRINCIPALS);
    let server = ca.serve();
    let url = format!("http://{}", server.address());
    let door = |name: &str| {
        let file = ca.scratch().join(format!("{name}.token"));
        let file = file.to_str().unwrap().to_owned();
        ca.ok(&["token", "add", name, "--out", &file]);
        let url = url.clone();
        move |args: &[&str]| {
            let rest = ["--server", &url, "--token-file", &file];
            [args, &rest].concat().into_iter().map(str::to_owned).collect::<Vec<_>>()
        }
    };
    let (web, anna, bert) = (door("web"), door("anna"), door("bert"));
    let run = |args: Vec<String>| {
        let mut command = std::process::Command::new(exeunt_e2e::program::built("exeunt"));
        let output = command.args(args).env_remove("EXEUNT_HOME").output().unwrap();
        (output.status.code().unwrap(), text(&output.stdout) + &text(&output.stderr))
    };
    let file = request(&ca, "ec:P-256", "/CN=host", &[]);
    let asked = ["submit", file.as_str(), "--template", "two"];
    // Whoever is not in the group does not even wait.
    let (status, said) = run(anna(&asked));
    assert!(status == 1 && said.contains("error[requester-not-allowed]"), "{said}");
    let (status, said) = run(web(&asked));
    assert!(status == 3 && said.contains("request 2 is pending"), "{said}");
    let (status, said) = run(anna(&["request", "approve", "2"]));
    assert!(status == 3 && said.contains("1 of 2 approvals"), "{said}");
    assert!(ca.ok(&["request", "show", "2"]).contains("principal:anna at 20"));
    let (status, said) = run(anna(&["request", "approve", "2"]));
    assert!(status == 1 && said.contains("error[approval-twice]"), "{said}");
    let (status, said) = run(bert(&["request", "approve", "2"]));
    assert!(status == 0 && said.contains("BEGIN CERTIFICATE"), "{said}");
    server.stop();
}
