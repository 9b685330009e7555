//! Each server starts, answers a foreign client, and has what it was given after a power failure.

use std::process::Command;
use std::time::Duration;

use exeunt_testbed::authority::Flaw;
use exeunt_testbed::nats::Nats;
use exeunt_testbed::postgres::Postgres;
use exeunt_testbed::process::run;
use exeunt_testbed::receiver::{Answer, Receiver};
use exeunt_testbed::s3::S3;
use exeunt_testbed::smtp::{Behaviour, Smtp};
use exeunt_testbed::{nats, postgres, receiver, s3, smtp};

/// How long something that is under way may take.
const SOON: Duration = Duration::from_mins(1);

fn curl(words: &[&str]) -> (i32, String) {
    let output =
        Command::new("curl").args(["-sS", "--max-time", "20"]).args(words).output().expect("curl");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("an exit code"), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_receiver_checks_signatures_and_answers_as_it_is_told() {
    let setup =
        receiver::Setup { secret: b"0123456789abcdef01234567".to_vec(), ..Default::default() };
    let mut server = Receiver::start(&setup);
    let (ca, url) = (server.ca_file(), format!("{}/hook?a=b", server.url()));
    let ca = ca.to_str().unwrap();
    // Worked out by openssl.
    let now = String::from_utf8(run(Command::new("date").arg("+%s"))).unwrap();
    let sign = "printf 'm1.%s.hello' $0 | openssl dgst -sha256 -hmac $1 -binary | openssl base64";
    let signed = run(Command::new("sh").args(["-c", sign, now.trim(), "0123456789abcdef01234567"]));
    let headers = [
        "webhook-id: m1".to_owned(),
        format!("webhook-timestamp: {}", now.trim()),
        format!("webhook-signature: v1,{}", String::from_utf8(signed).unwrap().trim()),
    ];
    let [id, timestamp, signature] = headers.each_ref().map(String::as_str);
    server.answer_next(&Answer::status(503).with_header("Retry-After", "7"));
    for (body, status) in [("hello", "503"), ("hello", "200"), ("other", "200")] {
        let words = ["--cacert", ca, "-H", id, "-H", timestamp, "-H", signature, "-d", body];
        let (_, said) = curl(&[&words[..], &["-w", "%{http_code}", &url]].concat());
        assert_eq!(said, status);
    }
    server.answer_next(&Answer { cut: true, ..Answer::default() });
    assert_eq!(curl(&["--cacert", ca, &url]).0, 18, "a partial file");
    server.kill();
    assert_eq!(curl(&["--cacert", ca, &url]).0, 7, "nobody listens");
    server.restart();
    assert_eq!(curl(&["--cacert", ca, &url]).0, 0);
    let received = server.wait_for(5, SOON);
    let judged: Vec<&str> = received.iter().map(|it| it.signature.as_str()).collect();
    assert_eq!(judged[..2], ["good", "good"]);
    assert!(judged[2].starts_with("bad: ") && judged[3] == "none", "{judged:?}");
    assert_eq!((received[0].status, received[0].path.as_str()), (503, "/hook?a=b"));
    assert_eq!(received[2].body, b"other");
    assert_eq!(received[0].header("webhook-id"), Some("m1"));
}

#[test]
fn the_receiver_asks_for_a_certificate_and_may_show_a_wrong_one() {
    let setup = receiver::Setup { client_certificates: true, ..Default::default() };
    let server = Receiver::start(&setup);
    let ca = server.ca_file();
    let client = server.client("ca-one");
    let url = server.url();
    let words = ["--cacert", ca.to_str().unwrap(), "--cert", client.certificate.to_str().unwrap()];
    let words = [&words[..], &["--key", client.key.to_str().unwrap(), &url]].concat();
    assert_eq!(curl(&words).0, 0);
    assert_eq!(server.wait_for(1, SOON)[0].client.as_deref(), Some("ca-one"));
    assert_ne!(curl(&["--cacert", ca.to_str().unwrap(), &server.url()]).0, 0);

    let wrong = receiver::Setup { flaw: Flaw::OtherName, ..Default::default() };
    let server = Receiver::start(&wrong);
    let ca = server.ca_file();
    assert_eq!(curl(&["--cacert", ca.to_str().unwrap(), &server.url()]).0, 60, "a bad certificate");
}

#[test]
fn the_mail_server_takes_mail_over_tls_after_a_login_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mail");
    std::fs::write(&file, "Subject: issued\r\n\r\nhello\r\n").unwrap();
    for security in [smtp::Security::StartTls, smtp::Security::Tls] {
        let mut server = Smtp::start(&smtp::Setup { security, ..Default::default() });
        let scheme = if security == smtp::Security::Tls { "smtps" } else { "smtp" };
        let url = format!("{scheme}://localhost:{}", server.port());
        let ca = server.ca_file();
        let login = format!("{}:{}", smtp::USER, smtp::PASSWORD);
        let send = |more: &[&str]| {
            let words = [&url, "--mail-from", "ca@example.test", "--mail-rcpt", "a@example.test"];
            let words = [&words[..], &["-T", file.to_str().unwrap()], more].concat();
            curl(&words).0
        };
        let tls = ["--ssl-reqd", "--cacert", ca.to_str().unwrap()];
        let right = [&tls[..], &["-u", &login]].concat();
        assert_eq!(send(&right), 0);
        assert_eq!(send(&[&tls[..], &["-u", "ca@example.test:wrong"]].concat()), 67);
        assert_eq!(send(&tls), 55, "nobody has logged in");
        server.behave(&Behaviour { greylist: true, ..Behaviour::default() });
        assert_eq!((send(&right), send(&right)), (55, 0));
        server.behave(&Behaviour::full());
        assert_ne!(send(&right), 0);
        server.kill();
        assert_eq!(send(&right), 7);
        server.restart();
        server.behave(&Behaviour::default());
        assert_eq!(send(&right), 0);
        let inbox = server.wait_for(3, SOON);
        assert_eq!(inbox.len(), 3);
        assert_eq!(inbox[0].user.as_deref(), Some(smtp::USER));
        assert!(inbox[0].tls.as_deref().is_some_and(|it| it.starts_with("TLSv1.")));
        assert_eq!(inbox[0].to, ["a@example.test"]);
        assert!(inbox[0].text.contains("hello"));
    }
}

#[test]
fn the_bus_keeps_what_it_confirmed_and_drops_duplicates() {
    for login in [nats::Login::User, nats::Login::Token] {
        let mut server = Nats::start(&nats::Setup { login, ..Default::default() });
        server.make_stream("EVENTS", &["ca.>"], -1);
        server.publish("ca.issued", &[("Nats-Msg-Id", "e-1"), ("ce-type", "issued")], b"one");
        server.publish("ca.issued", &[("Nats-Msg-Id", "e-1")], b"again");
        server.publish("ca.revoked", &[], b"two");
        server.kill();
        server.restart();
        let messages = server.messages("EVENTS");
        let told: Vec<(&str, &[u8])> =
            messages.iter().map(|it| (it.subject.as_str(), it.data.as_slice())).collect();
        assert_eq!(told, [("ca.issued", &b"one"[..]), ("ca.revoked", b"two")]);
        assert_eq!(messages[0].header("ce-type"), Some("issued"));
        server.delete_stream("EVENTS");
    }
}

#[test]
fn the_object_store_honours_conditions_and_checks_signatures() {
    let mut server = S3::start(&s3::Setup::default());
    server.make_bucket("crls");
    let none = Some(("IfNoneMatch", "*"));
    let first = server.put("crls", "a b/ü.crl", b"one", none).unwrap();
    assert_eq!(server.put("crls", "a b/ü.crl", b"two", none).unwrap_err(), "PreconditionFailed");
    let second = server.put("crls", "a b/ü.crl", b"two", Some(("IfMatch", &first))).unwrap();
    let stale = server.put("crls", "a b/ü.crl", b"three", Some(("IfMatch", &first)));
    assert_eq!(stale.unwrap_err(), "PreconditionFailed");
    assert_eq!(
        server.put("crls", "gone", b"x", Some(("IfMatch", &first))).unwrap_err(),
        "NoSuchKey"
    );
    server.kill();
    server.restart();
    let object = server.get("crls", "a b/ü.crl").unwrap();
    assert_eq!((object.body.as_slice(), object.etag.as_str()), (&b"two"[..], second.as_str()));
    assert_eq!(server.get("crls", "gone"), None);
    assert_eq!(server.list("crls").len(), 1);

    let (ca, url) = (server.ca_file(), server.url());
    let ask = |words: &[&str]| {
        let words = [&["--cacert", ca.to_str().unwrap(), "-w", " %{http_code}"], words].concat();
        curl(&words).1
    };
    let object = format!("{url}/crls/x");
    // Curl takes what it sends for a form unless it is told otherwise.
    let octets = "Content-Type: application/octet-stream";
    let put = [
        "-X",
        "PUT",
        "-d",
        "x",
        "-H",
        octets,
        "--aws-sigv4",
        "aws:amz:us-east-1:s3",
        &object,
        "-u",
    ];
    let right = format!("{}:{}", s3::ACCESS_KEY, s3::SECRET_KEY);
    let hash =
        "x-amz-content-sha256: 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert!(ask(&[&put[..], &[&right, "-H", hash]].concat()).ends_with(" 200"));
    let wrong = format!("{}:wrong", s3::ACCESS_KEY);
    let said = ask(&[&put[..], &[&wrong, "-H", hash]].concat());
    assert!(said.contains("SignatureDoesNotMatch") && said.ends_with(" 403"), "{said}");
    assert!(ask(&["-X", "PUT", "-d", "x", &object]).contains("AccessDenied"));
    // As anybody fetches a revocation list.
    assert_eq!(ask(&[&object]), "x 200");
    server.behave(&s3::Behaviour { refuse: Some("SlowDown".to_owned()), ..Default::default() });
    assert_eq!(server.put("crls", "x", b"y", None).unwrap_err(), "SlowDown");
    server.behave(&s3::Behaviour::default());
    server.delete("crls", "x");
    assert_eq!(server.list("crls").len(), 1);
}

#[test]
fn the_database_takes_tls_with_a_password_alone_and_outlives_kill() {
    let mut server = Postgres::start(Flaw::Nothing);
    let client = |server: &Postgres, more: &str, password: &str, statement: &str| {
        let url = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user={} dbname={} {more}",
            server.port(),
            postgres::USER,
            postgres::DATABASE
        );
        let mut psql = Command::new("psql");
        psql.args(["-XAtq", "-d", &url, "-c", statement]).env("PGPASSWORD", password);
        psql.output().unwrap()
    };
    let ca = format!("sslmode=verify-full sslrootcert={}", server.ca_file().display());
    let made = client(
        &server,
        &ca,
        postgres::PASSWORD,
        "CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 7 AS n",
    );
    assert!(made.status.success(), "{made:?}");
    assert!(!client(&server, &ca, "wrong", "SELECT 1").status.success());
    assert!(!client(&server, "sslmode=disable", postgres::PASSWORD, "SELECT 1").status.success());
    server.kill();
    server.restart();
    assert_eq!(server.sql("SELECT n FROM s.t"), "7");
    server.stop();
    server.restart();
    assert_eq!(server.sql("SELECT n FROM s.t"), "7");
}
