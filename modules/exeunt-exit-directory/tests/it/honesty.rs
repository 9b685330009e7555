//! What is believed, and what is not: servers that confirm and write nothing, certificates, lists that
//! do not hold now.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    process::Command,
    thread,
};

use exeunt_module_kit::Outcome;
use exeunt_testbed::{
    authority::Flaw,
    openldap::{LIAR, OpenLdap, Settings},
    process::run,
};
use serde_json::{Value as Json, json};

use crate::{
    authority::Authority,
    bed::{Bed, all_accept},
    fixture::{certificate, issued, now, reason, settings, started, tell, with},
    minted::{DAY, TestCa},
    target::{Domain, Open, Target, object_settings, stranger},
};

suite!([lists_that_do_not_hold_now_are_not_written]);

#[test]
fn what_a_server_confirms_and_does_not_keep_is_not_accepted() {
    let server = OpenLdap::start_with(Settings { liar: true, ..Settings::default() });
    let (ca, authority) = (TestCa::new("Ours"), Authority::new("Test CA"));
    let lying = json!({
        "users": {"dn": format!("cn={{account}},{LIAR}"), "bases": [LIAR]},
        "objects": {"container": LIAR},
    });
    // The server says that it has written, which a stranger hears as well.
    let dn = format!("cn=alice,{LIAR}");
    let change = format!("dn: {dn}\nchangetype: modify\nadd: description\ndescription: x\n");
    server.try_ldif(exeunt_testbed::openldap::PUBLISHER, &change).unwrap();
    let mut host = started(&with(settings(&server, &server.tls_url()), &lying));
    let told = [
        issued(1, "alice", &certificate(&ca, "alice", 2), &ca),
        authority.lists_issued(2, &authority.list(1), None),
        authority.has_certificate(3),
    ];
    for (told, outcome) in told.iter().zip(tell(&mut host, &told)) {
        assert!(outcome.is_retry(), "{}: {outcome:?}", told.seq);
        assert!(reason(&outcome).starts_with("directory-not-there: "), "{outcome:?}");
    }
}

/// The fingerprint of what a server shows, by `openssl`.
fn fingerprint(server: &OpenLdap) -> String {
    let script = "openssl s_client -connect 127.0.0.1:$0 </dev/null 2>/dev/null \
                  | openssl x509 -noout -fingerprint -sha256";
    let said = run(Command::new("sh").args(["-c", script, &server.tls_port().to_string()]));
    String::from_utf8(said).unwrap().trim().split_once('=').unwrap().1.to_owned()
}

fn without_ca_file(server: &OpenLdap) -> Json {
    let mut settings = settings(server, &server.tls_url());
    settings.as_object_mut().unwrap().remove("ca_file");
    settings
}

#[test]
fn a_pinned_certificate_is_trusted_whatever_else_it_says_and_no_other_is() {
    // Neither its name nor its dates nor its issuer would do.
    let mut server =
        OpenLdap::start_with(Settings { flaw: Flaw::OtherName, ..Settings::default() });
    server.add_persons(["alice"]);
    let ca = TestCa::new("Ours");
    let pin = json!({"server_certificate_sha256": [fingerprint(&server)]});
    let settings = with(without_ca_file(&server), &pin);
    let plain = json!({"servers": [server.url()], "start_tls": true});
    let event = |serial: u32| issued(1, "alice", &certificate(&ca, "alice", serial), &ca);
    all_accept(&tell(&mut started(&settings), &[event(2)]));
    all_accept(&tell(&mut started(&with(settings.clone(), &plain)), &[event(3)]));
    // One that everybody else would trust is not the pinned one.
    server.start_again_with(Flaw::Nothing);
    for settings in [settings.clone(), with(settings, &plain)] {
        let outcome = tell(&mut started(&settings), &[event(4)]).remove(0);
        assert!(outcome.is_retry(), "{outcome:?}");
        assert!(reason(&outcome).contains("certificate"), "{outcome:?}");
    }
}

#[test]
fn an_answer_without_measure_ends_the_connection() {
    let (ca, event) = (TestCa::new("Ours"), 1);
    // The length says 2 GiB; or there are a million levels of nothing.
    let deep = [0x30, 0x83, 0x0f, 0xff, 0xff].repeat(200_000);
    for (answer, said) in [
        (vec![0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], "the server's answer is larger than 64 MiB"),
        (deep, "the server's answer is"),
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 8];
            stream.read_exact(&mut question).unwrap();
            // The other side hangs up in the middle.
            stream.write_all(&answer).ok();
            stream.read_to_end(&mut Vec::new()).ok();
        });
        let settings = json!({
            "servers": [format!("ldap://127.0.0.1:{port}")], "allow_plain": true,
            "authentication": "anonymous",
        });
        let told = issued(event, "alice", &certificate(&ca, "alice", 2), &ca);
        let outcome = tell(&mut started(&settings), &[told]).remove(0);
        assert!(outcome.is_retry() && reason(&outcome).contains(said), "{outcome:?}");
        server.join().unwrap();
    }
}

/// Where a process of its own finds what it is to be told.
const CHILD_SETTINGS: &str = "EXEUNT_TEST_CHILD_SETTINGS";

#[test]
fn where_nobody_else_is_named_those_are_trusted_that_the_system_trusts() {
    if let Ok(settings) = std::env::var(CHILD_SETTINGS) {
        let ca = TestCa::new("Ours");
        let settings: Json = serde_json::from_str(&settings).unwrap();
        let event = issued(1, "alice", &certificate(&ca, "alice", 2), &ca);
        println!("outcome: {:?}", tell(&mut started(&settings), &[event]));
        return;
    }
    let server = OpenLdap::start();
    server.add_persons(["alice"]);
    let (_folder, other) = stranger();
    // What the system trusts is a matter of the whole process.
    let outcome = |trusted: &std::path::Path| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let name = "where_nobody_else_is_named_those_are_trusted_that_the_system_trusts";
        child.args(["--exact", &format!("honesty::{name}"), "--nocapture"]);
        child.env(CHILD_SETTINGS, without_ca_file(&server).to_string());
        let said = run(child.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR"));
        let said = String::from_utf8(said).unwrap();
        said.lines().find_map(|it| it.split_once("outcome: ")).unwrap().1.to_owned()
    };
    let refused = outcome(&other.certificate());
    assert!(refused.starts_with("[TargetDown") && refused.contains("certificate"), "{refused}");
    assert_eq!(outcome(&server.authority().certificate()), "[Accept]");
}

fn lists_that_do_not_hold_now_are_not_written(bed: &mut Bed<impl Target>) {
    let ca = Authority::new("Test CA");
    // A place of its own in a directory that others use too.
    let place = json!({"objects": {"machine_short_name": "ca8"}});
    let settings = with(object_settings(&bed.target, &bed.url()), &place);
    let cdp = format!("CN=Test CA,CN=ca8,CN=CDP,{}", bed.target.pki());
    let lists = || bed.target.values(&cdp, "certificateRevocationList");
    let mut host = started(&settings);
    let mut told = |list: &[u8]| tell(&mut host, &[ca.lists_issued(1, list, None)]).remove(0);
    // Nothing is there yet, so that an object could be made for it.
    let over = ca.list_of(7, now() - 2 * DAY, now() - DAY);
    let early = ca.list_of(8, now() + DAY, now() + 2 * DAY);
    assert_eq!(told(&over), Outcome::Skip);
    let waits = told(&early);
    assert!(matches!(&waits, Outcome::Retry { after_ms: Some(82_000_000..=86_400_000), .. }));
    assert!(reason(&waits).starts_with("directory-list-early: "), "{waits:?}");
    assert_eq!(bed.target.rest(&bed.names), bed.before);
    // And the same where one is there.
    let good = ca.list(5);
    assert_eq!(told(&good), Outcome::Accept);
    assert_eq!(told(&over), Outcome::Skip);
    assert!(told(&early).is_retry());
    assert_eq!(told(&ca.list(4)), Outcome::Skip);
    assert_eq!(lists(), [good]);
    // One that would come early is no better than a newer one that is there.
    let newest = ca.list(9);
    assert_eq!(told(&newest), Outcome::Accept);
    assert_eq!(told(&early), Outcome::Skip);
    assert_eq!(lists(), [newest]);
}
