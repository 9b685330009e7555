//! What becomes of requests that get no certificate, and how attributes come together.

use exeunt_engine::{Blame, Caller, Door, Outcome, Submission, SubmitError, Submitted};
use exeunt_policy::{Callers, Issuance, NameKind, Template};
use exeunt_testkit::foreign::{openssl_request_text, openssl_text};
use exeunt_types::{Disposition, EventKind, EventSeq, KeyAlgorithm, Roles, StatusCode};
use exeunt_x509::{GeneralName, KeyUsage, REQUEST_BYTES_MAX, encode_pem};

use crate::support::{
    Ca, House, TestKey, der_of, plain_request, request,
    requests::{Requester, Wanted, der},
    submission, template,
};

/// A CA with one template of each kind.
fn ca() -> Ca {
    let hold = Template { issuance: Issuance::Hold, ..template("held") };
    let local = Template { callers: Callers::Local, ..template("local") };
    let dns = Template { names_allowed: vec![NameKind::Dns], ..template("dns") };
    let cn = Template { subject_allowed: vec!["2.5.4.3".to_owned()], ..template("cn") };
    let enciphers = Template { key_usage: KeyUsage::KEY_ENCIPHERMENT, ..template("enciphers") };
    let templates = vec![template("tls"), hold, local, dns, cn, enciphers];
    House { templates, ..House::new() }.open()
}

fn asking(template: &str, request: &[u8]) -> Submission {
    Submission { template: Some(template.to_owned()), ..submission(request) }
}

/// A refusal by the policy: its code, its number, its row and its event.
#[track_caller]
fn check_denied(ca: &Ca, submission: Submission, code: &str, status: StatusCode) -> String {
    let (requests, certificates, events) = ca.counts();
    let Submitted { request, outcome } = ca.engine.submit(submission).unwrap();
    let Outcome::Denied { code: found, status: number, message } = outcome else {
        panic!("{outcome:?} instead of {code}");
    };
    assert_eq!((found, number), (code, status), "{message}");
    ca.check_end(request, (Disposition::Denied, status, EventKind::CERT_DENIED));
    assert_eq!(ca.row(request).message, message);
    assert_eq!(ca.counts(), (requests + 1, certificates, events + 1));
    message
}

#[test]
fn each_refusal_has_its_code_its_row_and_its_event() {
    let ca = ca();
    let subject = StatusCode::BAD_REQUEST_SUBJECT;
    assert_eq!(subject.0, 0x8009_4001);
    check_denied(
        &ca,
        asking("nothing", plain_request()),
        "template-unknown",
        StatusCode::UNSUPPORTED_CERT_TYPE,
    );
    // Names of templates are compared exactly.
    check_denied(
        &ca,
        asking("TLS", plain_request()),
        "template-unknown",
        StatusCode::UNSUPPORTED_CERT_TYPE,
    );
    check_denied(&ca, asking("tls", &request("ec:P-256", "/", &[])), "request-nameless", subject);
    let nobody = request("ec:P-256", "/CN=host.example/serialNumber=1", &[]);
    let message = check_denied(&ca, asking("tls", &nobody), "subject-not-allowed", subject);
    assert!(message.contains("2.5.4.5"), "{message}");
    let o = request("ec:P-256", "/O=Exeunt/CN=host.example", &["host.example"]);
    check_denied(&ca, asking("cn", &o), "subject-not-allowed", subject);
    let mail = request("ec:P-256", "/CN=a", &["host.example", "email:a@host.example"]);
    let message = check_denied(&ca, asking("dns", &mail), "san-not-allowed", subject);
    assert!(message.contains("email:a@host.example"), "{message}");
    let unsuitable = StatusCode::KEY_LENGTH;
    check_denied(&ca, asking("enciphers", plain_request()), "key-unsuitable", unsuitable);
    let other = request("ec:P-256", "/CN=a", &["otherName:1.2.3.4;UTF8:x"]);
    check_denied(&ca, asking("tls", &other), "san-not-allowed", subject);
}

#[test]
fn a_caller_from_elsewhere_is_refused_by_a_local_template() {
    let ca = ca();
    let from = |door| Submission {
        caller: Caller::new("token:admin", door, Roles::ENROLLEE),
        ..asking("local", plain_request())
    };
    check_denied(&ca, from(Door::Remote), "caller-not-local", StatusCode::ENROLL_DENIED);
    assert_eq!(ca.row(exeunt_types::RequestId(1)).request.caller, "token:admin");
    for door in [Door::Local, Door::Loopback] {
        ca.issued(ca.engine.submit(from(door)));
    }
}

/// The policy plans it, and the lint has the last word.
#[test]
fn a_certificate_that_would_break_a_rule_is_refused_before_anything_is_signed() {
    let ca = ca();
    // Nobody but the authority itself gets its name.
    let impostor = request("ec:P-256", "/C=DE/O=Exeunt/CN=TEST root", &["host.example"]);
    let message = check_denied(&ca, asking("tls", &impostor), "lint-refused", StatusCode::FAIL);
    assert!(message.contains("subject is that of the issuer"), "{message}");
    assert_eq!(ca.key.asked.load(std::sync::atomic::Ordering::SeqCst), 1, "the root alone");
}

#[test]
fn a_held_request_waits_with_a_row_and_an_event() {
    let ca = ca();
    let Submitted { request, outcome } = ca.engine.submit(asking("held", plain_request())).unwrap();
    assert!(matches!(outcome, Outcome::Pending { .. }), "{outcome:?}");
    ca.check_end(request, (Disposition::Pending, StatusCode::OK, EventKind::CERT_PENDING));
    let row = ca.row(request);
    assert_eq!(row.request.template, "held");
    assert_eq!(row.request.raw, der_of(plain_request()));
    assert_eq!(row.resolved, None);
    // What is not acceptable is not put before an officer.
    let nameless = asking("held", &request_of_nobody());
    check_denied(&ca, nameless, "request-nameless", StatusCode::BAD_REQUEST_SUBJECT);
}

fn request_of_nobody() -> Vec<u8> {
    request("ec:P-256", "/", &[])
}

#[test]
fn a_bad_signature_leaves_a_failed_row_and_an_event_and_nothing_else() {
    let ca = ca();
    for key in ["ec:P-256", "rsa:2048", "ed25519"] {
        let mut der = der_of(&request(key, "/CN=host.example", &["host.example"]));
        *der.last_mut().unwrap() ^= 1;
        let before = ca.counts();
        let err = ca.submit(&der).unwrap_err();
        assert_eq!((err.code(), err.blame()), ("request-bad-signature", Blame::Requester));
        let id = err.request().unwrap();
        ca.check_end(
            id,
            (Disposition::Error, StatusCode::BAD_SIGNATURE, EventKind::REQUEST_FAILED),
        );
        assert_eq!(ca.row(id).disposition.code(), 30);
        assert_eq!(ca.row(id).request.raw, der);
        assert_eq!(ca.counts(), (before.0 + 1, before.1, before.2 + 1));
    }
    // A template that does not exist does not hide it.
    let mut der = der_of(plain_request());
    *der.last_mut().unwrap() ^= 1;
    let err = ca.engine.submit(asking("nothing", &der)).unwrap_err();
    assert_eq!(err.code(), "request-bad-signature");
    assert_eq!(ca.row(err.request().unwrap()).request.template, "nothing");
}

#[test]
fn submissions_that_are_handed_over_together_go_their_own_ways() {
    let ca = ca();
    let mut forged = der_of(plain_request());
    *forged.last_mut().unwrap() ^= 1;
    let together = vec![
        submission(plain_request()),
        submission(b"hello"),
        submission(&forged),
        asking("nothing", plain_request()),
        submission(plain_request()),
    ];
    let results = ca.engine.submit_all(together);
    let words: Vec<&str> = results
        .iter()
        .map(|result| match result {
            Ok(Submitted { outcome: Outcome::Issued { .. }, .. }) => "issued",
            Ok(Submitted { outcome: Outcome::Denied { code, .. }, .. }) => code,
            Ok(_) => "pending",
            Err(err) => err.code(),
        })
        .collect();
    let expected =
        ["issued", "request-not-pem", "request-bad-signature", "template-unknown", "issued"];
    assert_eq!(words, expected);
    // Every row but that of what could not be read, in the order of the call.
    let rows: Vec<u64> = results
        .iter()
        .filter_map(|it| it.as_ref().map_or_else(SubmitError::request, |it| Some(it.request)))
        .map(|it| it.0)
        .collect();
    assert_eq!(rows, [1, 2, 3, 4]);
    assert!(ca.engine.submit_all(Vec::new()).is_empty());
}

#[test]
fn what_cannot_be_read_is_answered_and_leaves_no_row() {
    let ca = ca();
    let small = request("rsa:1024", "/CN=host.example", &[]);
    for (bytes, code) in [
        (&b""[..], "request-not-pem"),
        (b"hello", "request-not-pem"),
        (&[0x30, 0x80], "request-not-der"),
        (&[0x30, 0x00], "request-malformed"),
        (ca.engine.certificate_der(), "request-malformed"),
        (&small, "request-key-too-small"),
    ] {
        let err = ca.submit(bytes).unwrap_err();
        assert_eq!((err.code(), err.blame()), (code, Blame::Requester));
        assert_eq!(err.request(), None);
        assert!(!err.public_message().is_empty());
    }
    assert_eq!(ca.counts(), (0, 0, 0));
}

#[test]
fn the_row_of_an_issued_request_says_what_was_asked_and_by_whom() {
    let ca = ca();
    let mut submission = asking("cn", plain_request());
    submission.attributes = vec![("note".to_owned(), "for the lab".to_owned())];
    let issued = ca.issued(ca.engine.submit(submission));
    let row = ca.row(issued.request).request;
    assert_eq!(row.raw, der_of(plain_request()));
    assert_eq!((row.template.as_str(), row.subject.as_str()), ("cn", "CN=host.example"));
    assert_eq!((row.caller.as_str(), row.requester.as_str()), ("local:1000", "local:1000"));
    assert_eq!(row.attributes, [("note".to_owned(), "for the lab".to_owned())]);
    assert_eq!(row.submitted.unix_seconds(), ca.clock.seconds());
    let certificate = ca.engine.store().certificate(&issued.serial).unwrap().unwrap().certificate;
    assert_eq!(certificate.subject_alternative_names, "dns:host.example");
    assert_eq!(ca.event(issued.event).at, row.submitted);
}

/// Without alternative names the common name becomes one, if it is a host name.
#[test]
fn a_common_name_that_is_a_host_name_becomes_a_dns_name() {
    let ca = ca();
    let names = |subject: &str| {
        let issued = ca.issue(&request("ec:P-256", subject, &[]));
        ca.check_certificate(&issued.der).subject_alternative_names().to_vec()
    };
    let dns = |name: &str| vec![GeneralName::Dns(name.to_owned())];
    assert_eq!(names("/CN=host.example"), dns("host.example"));
    assert_eq!(names("/CN=*.host.example"), dns("*.host.example"));
    assert_eq!(names("/CN=Exeunt GmbH"), []);
    assert_eq!(names("/CN=192.0.2.1"), []);
    assert_eq!(names("/O=Exeunt"), []);
}

/// A request with enrollment attributes inside, one attribute each, as Windows writes them.
fn with_pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let requester = Requester::new();
    let mut der = Wanted::subject("CN=host.example");
    der.pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let der = requester.signed(&der);
    // Our hand-made requests are requests to others too.
    openssl_request_text(&encode_pem("CERTIFICATE REQUEST", &der));
    der
}

/// Template and attributes of a row.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// What the row gets; or the code of the error.
#[track_caller]
fn check_merged(
    inside: &[(&str, &str)],
    beside: &[(&str, &str)],
    option: Option<&str>,
    expected: Result<Row<'_>, &str>,
) {
    let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let ca = ca();
    let asked = Submission {
        attributes: owned(beside),
        template: option.map(str::to_owned),
        ..submission(&with_pairs(inside))
    };
    match (ca.engine.submit(asked), expected) {
        (Ok(submitted), Ok((template, attributes))) => {
            let row = ca.row(submitted.request).request;
            assert_eq!(row.template, template);
            assert_eq!(row.attributes, owned(attributes));
        }
        (Err(err), Err(code)) => {
            assert_eq!((err.code(), err.blame()), (code, Blame::Requester));
            assert!(err.public_message().len() < 300);
            assert_eq!(ca.counts(), (0, 0, 0));
        }
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

#[test]
fn attributes_inside_the_request_and_beside_it_merge_by_the_rules() {
    // Those beside it overwrite those inside, whatever the case of the name.
    check_merged(
        &[("a", "1"), ("b", "2")],
        &[("B", "3"), ("c", "4")],
        None,
        Ok(("tls", &[("a", "1"), ("b", "3"), ("c", "4")])),
    );
    // Inside, a later one (in the order of the DER) wins as well, and blanks and hyphens do not count in names.
    check_merged(
        &[("A", "1"), ("a", "2"), ("Cert-Type", "x"), ("cert type", "y")],
        &[],
        None,
        Ok(("tls", &[("A", "2"), ("CertType", "y")])),
    );
    check_merged(
        &[("certificatetemplate", "cn")],
        &[],
        None,
        Ok(("cn", &[("certificatetemplate", "cn")])),
    );
    check_merged(
        &[("CertificateTemplate", "cn")],
        &[("CertificateTemplate", "dns")],
        None,
        Ok(("dns", &[("CertificateTemplate", "dns")])),
    );
    check_merged(
        &[],
        &[("CertificateTemplate", "cn")],
        Some("cn"),
        Ok(("cn", &[("CertificateTemplate", "cn")])),
    );
    check_merged(&[("CertificateTemplate", "cn")], &[], Some("dns"), Err("template-conflict"));
    check_merged(&[], &[("CertificateTemplate", "cn")], Some("dns"), Err("template-conflict"));
    // A name of hyphens alone is no name.
    check_merged(&[("- -", "x")], &[], None, Ok(("tls", &[])));
}

#[test]
fn attributes_inside_the_request_are_limited_like_those_beside_it() {
    let requester = Requester::new();
    let mut request = Wanted::subject("CN=host.example");
    request.pairs = (0..128).map(|it| (format!("n{it}").into(), "v".into())).collect();
    // Many pairs in one attribute, because a request may have 64 attributes only.
    request.pairs_together = true;
    let ca = ca();
    ca.issue(&requester.signed(&request));
    request.pairs.push(("one too many".into(), "v".into()));
    let err = ca.submit(&requester.signed(&request)).unwrap_err();
    assert_eq!((err.code(), err.blame()), ("attribute-too-large", Blame::Requester));
    assert_eq!(ca.counts(), (1, 1, 1));
}

/// They come back in answers, logs and rows: nothing in them may break a line or fill a disk.
#[test]
fn what_a_requester_writes_comes_back_short_and_on_one_line() {
    let ca = ca();
    let evil = format!("tls\u{ad}{}", "x".repeat(5_000));
    let mut conflict = asking(&evil, plain_request());
    conflict.attributes = vec![("CertificateTemplate".to_owned(), "tls".to_owned())];
    let err = ca.engine.submit(conflict).unwrap_err();
    assert!(matches!(err, SubmitError::TemplateConflict { .. }));
    let submitted = ca.engine.submit(asking(&evil, plain_request())).unwrap();
    let Outcome::Denied { message, .. } = submitted.outcome else { panic!() };
    let requester = Requester::new();
    let mut long = Wanted::subject("CN=host.example");
    let text = der(0xa0, &der(0x0c, &[b'x'; 5_000]));
    long.names = vec![(0xa0, [der(0x06, &[0x2a, 3, 4]), text].concat())];
    let submitted = ca.submit(&requester.signed(&long));
    let Outcome::Denied { message: names, .. } = submitted.unwrap().outcome else { panic!() };
    for text in [err.to_string(), err.public_message(), message, names] {
        assert!(text.len() < 400, "{} bytes", text.len());
        assert!(!text.contains(['\n', '\u{ad}']), "{text:?}");
    }
    let events = ca.engine.store().events_after(EventSeq(0), 10).unwrap();
    assert!(events.iter().all(|it| it.state.as_ref().unwrap().message.len() < 400));
}

#[test]
fn the_name_of_a_template_has_the_limits_of_an_attribute() {
    let ca = ca();
    for (name, code) in [
        ("tls\nadmin logged in".to_owned(), "attribute-invalid"),
        ("tls\0".to_owned(), "attribute-invalid"),
        ("tls\u{202e}".to_owned(), "attribute-invalid"),
        ("x".repeat(8_193), "attribute-too-large"),
    ] {
        let err = ca.engine.submit(asking(&name, plain_request())).unwrap_err();
        assert_eq!((err.code(), err.blame()), (code, Blame::Requester));
        assert!(err.public_message().len() < 200);
    }
    assert_eq!(ca.counts(), (0, 0, 0));
}

/// Whatever is issued can be read back: by us, because modules and look-ups must, and by others.
#[test]
fn the_largest_request_becomes_a_certificate_that_can_be_read_or_none() {
    let requester = Requester::new();
    let mut wanted = Wanted::subject("CN=host.example");
    let uri = |number: usize| {
        (0x86, format!("http://{number:02}.example/{}", "x".repeat(2_028)).into_bytes())
    };
    for algorithm in [KeyAlgorithm::Ed25519, KeyAlgorithm::MlDsa87] {
        let ca = House::with_key(TestKey::new(algorithm)).open();
        for (names, expected) in [(27, "issued"), (31, "lint-refused")] {
            wanted.names = (0..names).map(uri).collect();
            let request = requester.signed(&wanted);
            assert!((50_000..=REQUEST_BYTES_MAX).contains(&request.len()), "{}", request.len());
            match ca.submit(&request).unwrap().outcome {
                Outcome::Issued { certificate, .. } => {
                    assert_eq!(expected, "issued");
                    ca.check_certificate(&certificate);
                    let text = openssl_text(&encode_pem("CERTIFICATE", &certificate));
                    assert!(text.contains("URI:http://26.example/xxx"));
                }
                Outcome::Denied { code, message, .. } => {
                    assert_eq!(code, expected);
                    assert!(message.contains("larger than 65536 octets"), "{message}");
                }
                Outcome::Pending { .. } => panic!("nobody is asked"),
            }
        }
    }
}
