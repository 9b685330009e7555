//! Mail about events of a real CA, by a real mail server with TLS and authentication.

use std::fs;

use exeunt_e2e::ca::{Ca, wait_for};
use exeunt_e2e::{program, record};
use exeunt_testbed::smtp::{Behaviour, PASSWORD, Security, Setup, Smtp, USER};

use super::issuing::request;
use super::lookups::{EXPIRING, grow_old};

/// A template whose certificates name a mailbox.
const PEOPLE: &str = r#"
[[template]]
name = "people"
validity_days = 30
key_usage = ["digitalSignature"]
extended_key_usage = ["emailProtection"]
subject_from_request = ["CN"]
san_from_request = ["email"]
san_required = ["email"]
issue = "at-once"
"#;

fn issue(ca: &Ca, name: &str) -> String {
    let address = format!("email:owner@{name}.example.test");
    let file = request(ca, "ec:P-256", &format!("/CN={name}"), &[&address]);
    let out = ca.scratch().join(format!("{name}.pem"));
    ca.ok(&["submit", &file, "--template", "people", "--out", out.to_str().unwrap()]);
    fs::read_to_string(out).unwrap()
}

/// Adds the module under the name `post`, with what it needs for that server and these settings.
fn add_post(ca: &Ca, post: &Smtp, more: &[&str]) {
    let mut settings = vec![
        "server=localhost".to_owned(),
        format!("port={}", post.port()),
        format!("ca_file={}", post.ca_file().display()),
        format!("user={USER}"),
        format!("password_file={}", ca.secret("password", PASSWORD)),
        "from=ca@example.test".to_owned(),
    ];
    settings.extend(more.iter().map(|it| (*it).to_owned()));
    ca.add_exit(&["post", "--use", "mail"], &settings);
}

#[test]
fn a_mail_server_that_is_down_neither_fails_a_request_nor_loses_the_mail() {
    let mut post = Smtp::start(&Setup::default());
    let ca = Ca::init(&[]);
    ca.configure_more(PEOPLE);
    let mut server = ca.serve();
    add_post(
        &ca,
        &post,
        &[
            "to={requester}",
            "bcc=ops@example.test",
            "requester_domains=*.example.test",
            "EventFilter=1",
            "attach=pem",
        ],
    );

    // 1. A certificate, and the mail with it.
    let certificate = issue(&ca, "first");
    let mails = wait_for("the first mail", || Some(post.inbox()).filter(|it| !it.is_empty()));
    assert_eq!(mails[0].to, ["owner@first.example.test", "ops@example.test"]);
    assert!(mails[0].tls.is_some() && mails[0].user.as_deref() == Some(USER));
    let attached = mails[0].text.replace("\r\n", "\n");
    assert!(attached.contains(certificate.trim()), "{attached}");

    let tried = ca.ok(&["exit", "test", "post"]);
    for words in ["authenticate as ca@example.test", "sender ca@example.test", "Certificate issued"]
    {
        assert!(tried.contains(words), "{words}: {tried}");
    }
    assert_eq!(post.inbox().len(), 1);

    // 2. Nobody waits for a mail server that is down, and the mail comes when it is back.
    post.kill();
    issue(&ca, "second");
    ca.wait_for_retry("post");
    server.kill();
    server = ca.serve();
    post.restart();
    wait_for("the second mail", || (post.inbox().len() == 2).then_some(()));

    // 3. A recipient that does not exist is for an operator to look at.
    let refused = vec!["owner@third.example.test".to_owned()];
    post.behave(&Behaviour { refused, ..Behaviour::default() });
    issue(&ca, "third");
    wait_for("a parked event", || (ca.exit_status("post")["held_parked"] == 1).then_some(()));
    let parked = ca.ok(&["exit", "parked", "list", "post"]);
    assert!(parked.contains("550 5.1.1 no such user here"), "{parked}");
    assert_eq!(post.inbox().len(), 2);
    server.stop();
}

#[test]
fn a_notice_of_expiry_comes_once_and_those_that_wait_go_together() {
    let post = Smtp::start(&Setup::default());
    let ca = Ca::init(&[]);
    ca.configure("warn_days = [30, 7, 1]", "warn_days = []");
    let (module, heard) = (program::built("record-module"), ca.scratch().join("heard"));
    ca.configure_more(&format!(
        "{PEOPLE}\n[[exit]]\nname = \"record\"\ncommand = [{module:?}]\n\
         [exit.settings]\nfile = {heard:?}"
    ));
    let server = ca.serve();
    add_post(
        &ca,
        &post,
        &[
            "to=ops@example.test",
            "events=expiring",
            "text={{ who }} ends within {{ detail.ExpiresWithinDays }} days",
            "digest_s=5",
        ],
    );
    ca.ok(&["exit", "disable", "post"]);
    let names = ["first", "second", "third"];
    for name in names {
        issue(&ca, name);
    }
    server.stop();
    grow_old(&ca, names.len());
    ca.configure("warn_days = []", "warn_days = [30]");
    let server = ca.serve();
    wait_for("the events", || {
        let all = record::read(&heard).unwrap();
        (all.iter().filter(|it| it.event == EXPIRING).count() == names.len()).then_some(())
    });
    ca.ok(&["exit", "enable", "post"]);
    wait_for("the mail", || {
        let status = ca.exit_status("post");
        (status["accepted"] == 3 && status["lag"] == 0).then_some(())
    });
    let mails = post.inbox();
    // Those that the module has not read with the first one wait for the next mail.
    assert!(mails.len() <= 2, "{mails:?}");
    assert!(mails.iter().any(|it| it.text.contains(" events: ")), "{mails:?}");
    for name in names {
        let words = format!("{name} ends within 30 days");
        let told: usize = mails.iter().map(|it| it.text.matches(&words).count()).sum();
        assert_eq!(told, 1, "{name}: {mails:?}");
    }
    server.stop();
}

#[test]
fn the_module_keeps_the_contract() {
    let server =
        Smtp::start(&Setup { security: Security::None, authentication: false, ..Setup::default() });
    let ca = Ca::init(&[]);
    let port = format!("port={}", server.port());
    let check = ["exit", "check", "--use", "mail", "--set", "server=localhost", "--set", &port];
    let settings =
        ["security=none", "from=ca@example.test", "to=ops@example.test", "events=issued"];
    let mut args = check.to_vec();
    for it in settings {
        args.extend(["--set", it]);
    }
    let report = ca.ok(&args);
    assert!(report.contains("The module keeps the contract"), "{report}");
    assert!(!server.inbox().is_empty());
}
