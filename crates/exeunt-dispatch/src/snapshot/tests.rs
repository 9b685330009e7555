//! Tests of the snapshots.

mod foreign;
mod lists;

use std::fmt::Write as _;

use super::*;
use crate::settings::CaCertificateFacts;
use exeunt_types::{
    CertificateRecord, EventKind, EventState, KeyAlgorithm, NewCertificate, NewRequest, RequestId,
    RequestRecord, RequestType, Serial, StatusCode, TemplateFlags,
};
use expect_test::{Expect, expect};

/// When the events are told, where nothing depends on it.
const NOW: UnixMillis = UnixMillis(1_735_689_700_000);

fn facts() -> CaFacts {
    CaFacts {
        name: "Example & Söhne / CA 1".to_owned(),
        machine_dns_name: "ca.example.org".to_owned(),
        root: true,
        certificates: vec![CaCertificateFacts { der: vec![0x30, 0x00], key_index: 0 }],
        lists: None,
    }
}

/// Request 7, issued at 2025-01-01T00:00:02.5Z.
fn issued() -> LoggedEvent {
    let at = UnixMillis(1_735_689_602_500);
    let serial = Serial::from_be_bytes(&[0x4a, 0x01]).unwrap();
    LoggedEvent {
        seq: EventSeq(9),
        kind: EventKind::CERT_ISSUED,
        subject: SubjectKey::Request(RequestId(7)),
        at,
        state: Some(EventState {
            disposition: Disposition::Issued,
            status: StatusCode::OK,
            message: "issued".to_owned(),
            revocation: None,
        }),
        request: Some(RequestRecord {
            id: RequestId(7),
            request: NewRequest {
                raw: vec![0x30, 0x01],
                request_type: RequestType::Pkcs10,
                requester: "alice".to_owned(),
                caller: "ra".to_owned(),
                template: "tls".to_owned(),
                attributes: vec![
                    ("CertificateTemplate".to_owned(), "tls".to_owned()),
                    ("cdc".to_owned(), "dc1".to_owned()),
                ],
                subject: "CN=www.example.org".to_owned(),
                flags: exeunt_types::RequestFlags::default(),
                old_certificate: None,
                submitted: UnixMillis(1_735_689_600_000),
            },
            disposition: Disposition::Revoked,
            status: StatusCode::FAIL,
            message: "revoked since".to_owned(),
            resolved: Some(at),
            officer_extensions: Vec::new(),
            revocation: None,
            publish_expired: false,
            serial: Some(serial),
        }),
        certificate: Some(CertificateRecord {
            request: RequestId(7),
            certificate: NewCertificate {
                serial,
                raw: vec![0x30, 0x02],
                subject: "CN=www.example.org,OU=a,OU=b,O=x\\, y".to_owned(),
                subject_alternative_names: String::new(),
                not_before: UnixMillis(1_735_689_600_000),
                not_after: UnixMillis(1_743_465_599_000),
                ca_key: 0,
                crl_partition: 0,
                key: KeyAlgorithm::EcdsaP256,
            },
            template: "tls".to_owned(),
            issued: at,
            event: EventSeq(9),
            template_flags: None,
        }),
        detail: Vec::new(),
        corrupt: None,
    }
}

#[track_caller]
fn check(logged: &LoggedEvent, expect: &Expect) {
    let event = Snapshots::new("store".to_owned(), &facts()).event(logged, 3, false, NOW);
    let mut text = format!(
        "{} {} {:#x} {} {} {} {}\n",
        event.id, event.seq, event.event, event.context, event.subject, event.time, event.attempt
    );
    for (title, properties) in [("request", &event.request), ("certificate", &event.certificate)] {
        for (name, value) in properties.iter() {
            writeln!(text, "{title} {name} {value:?}").unwrap();
        }
    }
    for (name, value) in &event.attributes {
        writeln!(text, "attribute {name} {value}").unwrap();
    }
    expect.assert_eq(&text);
}

#[test]
fn a_module_reads_which_part_of_the_lists_a_certificate_belongs_to() {
    let part = |logged: &LoggedEvent| {
        let event = Snapshots::new("store".to_owned(), &facts()).event(logged, 1, false, NOW);
        let read = event.request.iter().find(|(name, _)| *name == "CRLPartitionIndex");
        read.map(|(_, value)| value.clone())
    };
    let mut logged = issued();
    assert_eq!(part(&logged), None);
    logged.certificate.as_mut().unwrap().certificate.crl_partition = 3;
    assert_eq!(part(&logged), Some(exeunt_module::Value::Long(3)));
}

#[test]
fn a_module_that_hears_late_reads_what_was_true_then() {
    check(
        &issued(),
        &expect![[r#"
            store-9 9 0x1 7 request:7 2025-01-01T00:00:02.500Z 3
            request RequestID Long(7)
            request RequestType Long(256)
            request RequestFlags Long(0)
            request StatusCode Long(0)
            request Disposition Long(20)
            request DispositionMessage String("issued")
            request SubmittedWhen Date("2025-01-01T00:00:00.000Z")
            request ResolvedWhen Date("2025-01-01T00:00:02.500Z")
            request RequesterName String("alice")
            request CallerName String("ra")
            request CertificateTemplate String("tls")
            request RequestAttributes String("CertificateTemplate:tls\ncdc:dc1\n")
            request DistinguishedName String("CN=www.example.org")
            request CommonName String("www.example.org")
            request RawRequest Binary([48, 1])
            certificate RequestID Long(7)
            certificate RawCertificate Binary([48, 2])
            certificate CertificateHash String("76dd9dfcf91cacb2961d1b931edd3d5201cfa6fd")
            certificate CertificateTemplate String("tls")
            certificate SerialNumber String("4a01")
            certificate NotBefore Date("2025-01-01T00:00:00Z")
            certificate NotAfter Date("2025-03-31T23:59:59Z")
            certificate PublicKeyLength Long(256)
            certificate DistinguishedName String("CN=www.example.org,OU=a,OU=b,O=x\\, y")
            certificate CommonName String("www.example.org")
            certificate OrgUnit String("a\nb")
            certificate Organization String("x, y")
            attribute CertificateTemplate tls
            attribute cdc dc1
        "#]],
    );
}

#[test]
fn a_pending_request_has_no_certificate_even_if_it_has_one_now() {
    let mut logged = issued();
    logged.kind = EventKind::CERT_PENDING;
    logged.state = Some(EventState {
        disposition: Disposition::Pending,
        status: StatusCode::OK,
        message: "taken under submission".to_owned(),
        revocation: None,
    });
    let event = Snapshots::new("store".to_owned(), &facts()).event(&logged, 1, false, NOW);
    assert!(event.certificate.is_empty());
    assert_eq!(event.request.long("Disposition").unwrap(), 9);
    assert!(event.request.date("ResolvedWhen").is_err());
}

#[test]
fn an_event_that_ended_the_processing_says_itself_when_that_was() {
    let resolved_when = |kind, disposition, resolved| {
        let mut logged = issued();
        logged.kind = kind;
        logged.at = UnixMillis(1_735_689_601_000);
        logged.state.as_mut().unwrap().disposition = disposition;
        logged.request.as_mut().unwrap().resolved = resolved;
        if disposition != Disposition::Issued && disposition != Disposition::Revoked {
            logged.certificate = None;
        }
        let event = Snapshots::new("store".to_owned(), &facts()).event(&logged, 1, false, NOW);
        event.request.date("ResolvedWhen").map(str::to_owned).ok()
    };
    let (of_event, of_row) = ("2025-01-01T00:00:01.000Z", "2025-01-01T00:01:00.000Z");
    // Taken up again since, and in work, or over with for the second time.
    for row in [None, Some(UnixMillis(1_735_689_660_000))] {
        let of = |kind, disposition| resolved_when(kind, disposition, row);
        let denied = of(EventKind::CERT_DENIED, Disposition::Denied);
        assert_eq!(denied.as_deref(), Some(of_event));
        let failed = of(EventKind::REQUEST_FAILED, Disposition::Error);
        assert_eq!(failed.as_deref(), Some(of_event));
        // The certificate knows its own moment.
        let issued = of(EventKind::CERT_ISSUED, Disposition::Issued);
        assert_eq!(issued.as_deref(), Some("2025-01-01T00:00:02.500Z"));
        assert_eq!(of(EventKind::CERT_PENDING, Disposition::Pending), None);
        let revoked = of(EventKind::CERT_REVOKED, Disposition::Revoked);
        assert_eq!(revoked.as_deref(), row.map(|_| of_row));
    }
}

#[test]
fn an_event_of_the_server_has_context_zero_and_an_unknown_kind_keeps_its_bit() {
    let logged = LoggedEvent {
        kind: EventKind::from_bit(0x4000_0000),
        subject: SubjectKey::Server,
        state: None,
        request: None,
        certificate: None,
        ..issued()
    };
    check(
        &logged,
        &expect![[r"
        store-9 9 0x40000000 0 server 2025-01-01T00:00:02.500Z 3
    "]],
    );
}

#[test]
fn a_name_comes_apart_by_the_rules_of_rfc_4514() {
    // The examples of RFC 4514, section 4.
    let of = |text| {
        let mut properties = Properties::default();
        name::push(&mut properties, text, None);
        properties
    };
    let steve = of("UID=jsmith,DC=example,DC=net");
    assert_eq!(steve.string("DomainComponent").unwrap(), "example\nnet");
    let smith = of("OU=Sales+CN=J.  Smith,DC=example,DC=net");
    assert_eq!(smith.string("CommonName").unwrap(), "J.  Smith");
    assert_eq!(smith.string("OrgUnit").unwrap(), "Sales");
    let quoted = of(r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#);
    assert_eq!(quoted.string("CommonName").unwrap(), r#"James "Jim" Smith, III"#);
    // One with a carriage return in it: no request with such a name is taken in.
    assert!(of(r"CN=Before\0dAfter,DC=example,DC=net").string("CommonName").is_err());
    assert_eq!(of(r"CN=Lu\C4\8Di\C4\87").string("CommonName").unwrap(), "Lučić");
    assert!(of("1.3.6.1.4.1.1466.0=#04024869").string("CommonName").is_err());
    assert!(of("").is_empty());
}

#[test]
fn of_several_countries_the_first_is_read() {
    let mut properties = Properties::default();
    name::push(&mut properties, "C=DE,C=FR", None);
    assert_eq!(properties.string("Country").unwrap(), "DE");
}

#[test]
fn an_event_is_made_once_and_told_to_each_module_with_its_own_attempt() {
    let snapshots = Snapshots::new("store".to_owned(), &facts());
    let (census, mail) = (snapshots.of_module("census"), snapshots.of_module("mail"));
    let logged = issued();
    let (first, second) = (census.event(&logged, 1, false, NOW), mail.event(&logged, 4, true, NOW));
    assert!(Arc::ptr_eq(&census.made(&logged), &mail.made(&logged)));
    assert_eq!((first.attempt, second.attempt), (1, 4));
    let location = |event: &Event| {
        event
            .system
            .string("ModuleRegistryLocation")
            .unwrap()
            .rsplit('\\')
            .next()
            .map(str::to_owned)
    };
    assert_eq!(location(&first).as_deref(), Some("census"));
    assert_eq!(location(&second).as_deref(), Some("mail"));
    assert!(
        snapshots.event(&logged, 1, false, NOW).system.string("ModuleRegistryLocation").is_err()
    );
    // A lean event lacks the request's bytes and nothing else.
    let fat: Vec<_> = first.request.iter().filter(|(name, _)| *name != "RawRequest").collect();
    assert_eq!(fat, second.request.iter().collect::<Vec<_>>());
    assert_eq!(first.request.binary("RawRequest").unwrap(), [0x30, 0x01]);
    assert!(second.request.binary("RawRequest").is_err());
    assert_eq!(first.certificate, second.certificate);
}

#[test]
fn what_an_event_says_beside_request_and_certificate_is_its_detail() {
    let detail = vec![("Module".to_owned(), "census".to_owned())];
    let event = Snapshots::new("store".to_owned(), &facts()).event(
        &LoggedEvent { detail, ..issued() },
        1,
        false,
        NOW,
    );
    assert_eq!(event.detail.string("Module").unwrap(), "census");
}

#[test]
fn a_module_reads_the_flags_of_the_template_that_it_publishes_by() {
    let snapshots = Snapshots::new("store".to_owned(), &facts());
    let flags = |template_flags| {
        let mut logged = issued();
        logged.certificate.as_mut().unwrap().template_flags = template_flags;
        let read = snapshots.make(&logged).certificate;
        ["EnrollmentFlags", "GeneralFlags", "PrivatekeyFlags"].map(|it| read.long(it).ok())
    };
    assert_eq!(flags(None), [None; 3]);
    let set = TemplateFlags { enrollment: 8, general: 0, private_key: 0x8000_0000 };
    assert_eq!(flags(Some(set)), [Some(8), Some(0), Some(i32::MIN)]);
}
