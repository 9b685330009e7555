//! Who the module is for the server, and whom it trusts.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use exeunt_module_kit::{Outcome, maintain::CheckResult};
use exeunt_testbed::{
    authority::{Authority, Flaw},
    process::wait_for,
};
use serde_json::{Value as Json, json};

use crate::{
    assert_accepted, events, maintain, notify_all, plain, secret, server::Server, start,
    target_down, with,
};

/// The pair that the documentation of NATS shows for users; nobody's.
const NKEY: &str = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
const NKEY_SEED: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

/// A server with three users beside the other client: one that may publish, one that may publish
/// nothing of ours, and one that may hear no answers.
fn with_users(folder: &Path) -> Server {
    let mut server = Server::start(&folder.join("nats"), &users("exeunt.*.denied"));
    server.foreign = ["--user", "admin", "admin"].map(str::to_owned).to_vec();
    server.make_stream("EXEUNT", &["exeunt.*.*"], &json!({}));
    server
}

/// Who they are; `mute` is what the third one may publish beside its question about the stream.
fn users(mute: &str) -> String {
    format!(
        "authorization: {{ users: [
            {{ user: admin, password: admin }},
            {{ user: ca, password: s3cret, permissions: {{
                publish: [\"exeunt.>\", \"$JS.API.STREAM.INFO.EXEUNT\"],
                subscribe: [\"_INBOX.ca.>\"] }} }},
            {{ user: mute, password: s3cret, permissions: {{
                publish: [\"{mute}\", \"$JS.API.STREAM.INFO.EXEUNT\"] }} }},
            {{ nkey: {NKEY} }}
        ] }}"
    )
}

fn account(folder: &Path, address: &str, user: &str, password: &str) -> Json {
    let file = secret(folder, &format!("{user}.{password}"), password);
    with(&plain(address), &json!({ "user": user, "password_file": file }))
}

#[test]
fn an_account_that_may_publish_and_nothing_else_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_users(folder.path());
    let settings = account(folder.path(), &server.address(), "ca", "s3cret");
    let settings = with(&settings, &json!({"inbox_prefix": "_INBOX.ca"}));
    assert_accepted(&notify_all(&mut start(&settings), &events(1..11)));
    let report = maintain(&settings).test_target(&[]).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed);
    assert_eq!(failed, None);
    assert_eq!(server.read("EXEUNT").len(), 10);
}

#[test]
fn what_the_account_may_not_do_is_said_at_once_and_retried() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_users(folder.path());
    let address = server.address();
    let of = |user, password| account(folder.path(), &address, user, password);
    for (settings, said) in [
        (
            of("mute", "s3cret"),
            "Permissions Violation for Publish to \"exeunt.Test!0020CA.issued\"",
        ),
        (of("ca", "s3cret"), "Permissions Violation for Subscription to \"_INBOX"),
        (of("ca", "wrong"), "authorization violation"),
        (plain(&address), "authorization violation"),
    ] {
        // Far more than it takes, and less than waiting would take.
        let patient = with(&settings, &json!({"timeout_s": 20}));
        let begun = Instant::now();
        for outcome in notify_all(&mut start(&patient), &events(1..11)) {
            assert!(target_down(&outcome).contains(said), "{outcome:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(15), "{said}");
        let report = maintain(&settings).test_target(&events(1..2)).unwrap();
        let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
        assert!(failed.text.contains(said), "{failed:?}");
    }
    // Who hears no answers may have been taken, and accepts nothing.
    assert!(server.read("EXEUNT").len() <= 10);
}

#[test]
fn a_right_that_test_and_install_lack_is_named_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("nats"), &users("exeunt.*.denied"));
    let settings = account(folder.path(), &server.address(), "ca", "s3cret");
    let settings = with(&settings, &json!({"inbox_prefix": "_INBOX.ca", "timeout_s": 20}));
    let begun = Instant::now();
    let step = maintain(&settings).install(true).unwrap().steps.remove(0);
    assert_eq!(step.result, CheckResult::Failed);
    for said in ["cannot be made", "\"$JS.API.STREAM.CREATE.EXEUNT\"", "right to publish"] {
        assert!(step.text.contains(said), "{step:?}");
    }
    let other = with(&settings, &json!({"stream": "OTHER"}));
    for check in [
        maintain(&other).install(true).unwrap().steps.remove(0),
        maintain(&other).test_target(&[]).unwrap().checks.remove(1),
    ] {
        assert!(check.text.contains("\"$JS.API.STREAM.INFO.OTHER\""), "{check:?}");
    }
    let deaf = account(folder.path(), &server.address(), "ca", "s3cret");
    let step = maintain(&with(&deaf, &json!({"timeout_s": 20}))).install(true).unwrap().steps;
    assert!(step[0].text.contains("right to subscribe"), "{step:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn a_right_that_is_given_later_is_used_by_the_running_module() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_users(folder.path());
    let settings = account(folder.path(), &server.address(), "mute", "s3cret");
    let mut host = start(&settings);
    let refused = notify_all(&mut host, &events(1..2)).remove(0);
    assert!(target_down(&refused).contains("Permissions Violation for Publish"), "{refused:?}");
    server.reload(&users("exeunt.>"));
    wait_for("the right that was given", Duration::from_secs(20), || {
        notify_all(&mut host, &events(1..2)) == [Outcome::Accept]
    });
}

#[test]
fn an_nkey_and_a_token_let_the_module_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_users(folder.path());
    let seed = secret(folder.path(), "nkey", &format!("{NKEY_SEED}\n"));
    let settings = with(&plain(&server.address()), &json!({ "nkey_file": seed }));
    assert_accepted(&notify_all(&mut start(&settings), &events(1..2)));

    let server = Server::start(&folder.path().join("token"), "authorization: { token: t0ken }");
    let token = secret(folder.path(), "token.txt", "t0ken");
    let settings = with(&plain(&server.address()), &json!({ "token_file": token }));
    let outcome = notify_all(&mut start(&settings), &events(1..2)).remove(0);
    // It is in, and there is no stream.
    assert!(target_down(&outcome).contains("no stream takes"), "{outcome:?}");
}

#[test]
fn a_password_that_others_can_read_is_not_used_and_never_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_users(folder.path());
    let settings = account(folder.path(), &server.address(), "ca", "s3cret");
    let file = settings["password_file"].as_str().unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = notify_all(&mut start(&settings), &events(1..2)).remove(0);
    assert!(target_down(&outcome).contains("others than its owner can read it"), "{outcome:?}");
}

#[test]
fn a_server_has_to_show_the_right_certificate_and_may_ask_for_ours() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&folder.path().join("ca"));
    let ca_file = authority.certificate();
    for (flaw, said) in [
        (Flaw::Nothing, ""),
        (Flaw::OtherName, "not valid for name"),
        (Flaw::OtherAuthority, "certificate"),
        (Flaw::Expired, "expired"),
    ] {
        let identity = authority.server(flaw);
        let more = format!(
            "tls: {{ cert_file: {:?}, key_file: {:?}, ca_file: {ca_file:?}, verify: true }}",
            identity.certificate, identity.key
        );
        let server = Server::start(&folder.path().join(format!("{flaw:?}")), &more);
        let client = authority.client("exeunt");
        let settings = json!({
            "servers": format!("tls://localhost:{}", server.port), "ca_file": ca_file,
            "client_certificate_file": client.certificate, "client_key_file": client.key,
            "timeout_s": 5,
        });
        if flaw == Flaw::Nothing {
            assert_eq!(maintain(&settings).install(true).unwrap().steps[0].text, "it was made");
            assert_accepted(&notify_all(&mut start(&settings), &events(1..101)));
            let mut without = settings.clone();
            without.as_object_mut().unwrap().retain(|name, _| !name.starts_with("client_"));
            target_down(&notify_all(&mut start(&without), &events(1..2))[0]);
        } else {
            let outcome = notify_all(&mut start(&settings), &events(1..2)).remove(0);
            assert!(target_down(&outcome).contains(said), "{outcome:?}");
        }
    }
}

#[test]
fn nothing_is_said_in_the_clear_to_a_server_without_tls() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_users(folder.path());
    let mut settings = account(folder.path(), &server.address(), "ca", "s3cret");
    settings.as_object_mut().unwrap().remove("tls");
    let authority = Authority::new(&folder.path().join("ca"));
    settings["ca_file"] = json!(authority.certificate());
    let outcome = notify_all(&mut start(&settings), &events(1..2)).remove(0);
    target_down(&outcome);
}
