//! Requests in messages: renewals signed with the old certificate, and CMC on behalf of another. The
//! messages are OpenSSL's and pyasn1's.

use std::fs;
use std::path::{Path, PathBuf};

use exeunt_engine::{
    Caller, CmsResponse, Door, ImportOrder, Outcome, RevokeOrder, Submission, SubmitError,
    Submitted, Which,
};
use exeunt_policy::{Issuance, OnBehalf, Renewal, SignatureRule, Template, UsageName};
use exeunt_store::Store;
use exeunt_testkit::messages::{DATA, MessageSigner, PKI_DATA, cmc, sign, verified};
use exeunt_testkit::requests::{openssl_key, openssl_request};
use exeunt_types::{
    Disposition, EventKind, RequestFlags, RequestType, RevocationReason, Roles, Serial,
};
use exeunt_x509::{encode_pem, parse_certificate, parse_submission};
use tempfile::TempDir;

use crate::support::{Ca, DAY_S, House, create_store, officer, submission, template};

const AGENT: &str = "1.3.6.1.4.1.311.20.2.1";

/// A CA, and a folder for files of those who ask.
struct Desk {
    ca: Ca,
    folder: TempDir,
}

/// Somebody with a key, a certificate of this CA, and its names.
struct Person {
    signer: MessageSigner,
    subject: &'static str,
    names: &'static [&'static str],
    serial: Serial,
}

impl Person {
    fn der(&self) -> Vec<u8> {
        parse_certificate(&fs::read(&self.signer.certificate).unwrap()).unwrap().der().to_vec()
    }
}

fn desk() -> Desk {
    Desk { ca: house().open(), folder: tempfile::tempdir().unwrap() }
}

fn house() -> House {
    let mut house = House::new();
    let agents = Template {
        extended_key_usage: vec![UsageName::parse(AGENT).unwrap()],
        ..template("agent")
    };
    house.templates = vec![
        template("tls"),
        agents,
        Template { on_behalf: OnBehalf::Allow, ..template("user") },
        Template { on_behalf: OnBehalf::Allow, issuance: Issuance::Hold, ..template("held") },
        Template { renewal: Renewal::AnyNames, ..template("any") },
        Template { renewal: Renewal::Refuse, ..template("never") },
        Template { issuance: Issuance::Hold, ..cosigned("cosigned-held") },
        cosigned("cosigned"),
    ];
    house
}

/// A template that wants a signature by the holder of an agent's certificate.
fn cosigned(name: &str) -> Template {
    let purposes = vec![UsageName::parse(AGENT).unwrap()];
    let signatures = Some(SignatureRule { count: 1, purposes, policies: Vec::new() });
    Template { signatures, ..template(name) }
}

impl Desk {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A request of that key, as a file of DER.
    fn request(&self, key: &str, subject: &str, names: &[&str]) -> PathBuf {
        let pem = openssl_request(key, subject, names, self.folder.path());
        let der = crate::support::der_of(&fs::read(&pem).unwrap());
        fs::write(&pem, der).unwrap();
        pem
    }

    fn person(
        &self,
        key: &str,
        subject: &'static str,
        names: &'static [&'static str],
        template: &str,
    ) -> Person {
        let request = fs::read(self.request(key, subject, names)).unwrap();
        let asked = Submission { template: Some(template.to_owned()), ..submission(&request) };
        let issued = self.ca.issued(self.ca.engine.submit(asked));
        let certificate = self.path(&format!("{}.pem", issued.serial));
        fs::write(&certificate, &issued.pem).unwrap();
        let signer = MessageSigner { certificate, key: openssl_key(key) };
        Person { signer, subject, names, serial: issued.serial }
    }

    fn alice(&self) -> Person {
        self.person("ec:P-256#alice", "/CN=alice.example", &["alice.example"], "tls")
    }

    fn agent(&self) -> Person {
        self.person("ec:P-256#agent", "/CN=agent.example", &["agent.example"], "agent")
    }

    /// PKCS #7 around a request for a new key with the names of that person, signed by them.
    fn renewal(&self, of: &Person, key: &str) -> Vec<u8> {
        let request = self.request(key, of.subject, of.names);
        sign(&fs::read(request).unwrap(), DATA, &[&of.signer])
    }

    fn submit(&self, message: &[u8], template: Option<&str>) -> Result<Submitted, SubmitError> {
        let template = template.map(str::to_owned);
        self.ca.engine.submit(Submission { template, ..submission(message) })
    }

    fn revoke(&self, person: &Person, reason: RevocationReason) {
        let order = RevokeOrder::Revoke { reason, effective: None };
        self.ca.engine.revoke(Which::Serial(person.serial), order, &officer()).unwrap();
    }

    /// Submits what nobody may have, and looks at the row that says so.
    #[track_caller]
    fn check_failed(&self, message: &[u8], code: &str, status: u32) {
        let err = self.submit(message, None).unwrap_err();
        assert_eq!(err.code(), code, "{err}");
        assert!(!err.public_message().is_empty());
        let row = self.ca.row(err.request().unwrap());
        assert_eq!((row.disposition, row.status.0), (Disposition::Error, status), "{code}");
        assert_eq!(row.request.raw, message);
        // Nothing that was not proven is written down.
        assert_eq!(row.request.flags, RequestFlags::default());
        assert_eq!(
            (row.request.requester.as_str(), row.request.old_certificate),
            ("local:1000", None)
        );
        assert_eq!(self.ca.last_event().kind, EventKind::REQUEST_FAILED);
    }

    #[track_caller]
    fn check_denied(&self, result: Result<Submitted, SubmitError>, expected: &str) {
        let submitted = result.unwrap();
        let Outcome::Denied { code, .. } = submitted.outcome else { panic!("{submitted:?}") };
        assert_eq!(code, expected);
        assert_eq!(self.ca.row(submitted.request).disposition, Disposition::Denied);
    }
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_str().unwrap())
}

/// Expression of a full request around that file, with controls.
fn pki_data(request: &Path, controls: &str) -> String {
    format!("pki_data([{controls}], [tcr(1, read({}))])", quoted(request))
}

/// A full request on behalf of somebody, signed by that agent.
fn on_behalf(desk: &Desk, agent: &Person, requester: &str, template: &str) -> Vec<u8> {
    let request = desk.request("ec:P-256#bob", "/CN=bob.example", &["bob.example"]);
    let info = format!("CertificateTemplate={template}&RequesterName={requester}");
    let controls = format!("control(2, CMC + '18', octets({info:?}.encode()))");
    sign(&cmc(&pki_data(&request, &controls)), PKI_DATA, &[&agent.signer])
}

#[test]
fn a_renewal_in_pkcs7_is_issued_and_remembers_the_old_certificate() {
    let desk = desk();
    let alice = desk.alice();
    let message = desk.renewal(&alice, "ec:P-256#new");
    let pem = encode_pem("PKCS7", &message);
    for input in [&message[..], pem.as_bytes()] {
        let issued = desk.ca.issued(desk.submit(input, None));
        let row = desk.ca.row(issued.request).request;
        assert_eq!((row.request_type, row.flags), (RequestType::Pkcs7, RequestFlags::RENEWAL));
        assert_eq!(row.old_certificate, Some(alice.der()));
        assert_eq!(row.raw, message);
        assert_eq!((row.requester.as_str(), row.caller.as_str()), ("local:1000", "local:1000"));
        let new = parse_certificate(&issued.der).unwrap();
        assert_eq!(new.subject().to_string(), "CN=alice.example");
        assert_ne!(new.spki_der(), parse_certificate(&alice.der()).unwrap().spki_der());
    }
}

#[test]
fn a_renewal_is_of_the_template_of_the_old_certificate_unless_it_names_another() {
    let desk = desk();
    let alice = desk.person("ec:P-256#alice", "/CN=alice.example", &["alice.example"], "any");
    let message = desk.renewal(&alice, "ec:P-256#new");
    let template = |named| {
        let issued = desk.ca.issued(desk.submit(&message, named));
        desk.ca.row(issued.request).request.template
    };
    assert_eq!(template(None), "any");
    assert_eq!(template(Some("tls")), "tls");
    desk.check_denied(desk.submit(&message, Some("never")), "renewal-not-allowed");
}

#[test]
fn a_renewal_of_what_was_imported_is_of_the_default_template() {
    let house = house();
    let desk = Desk { ca: house.open(), folder: tempfile::tempdir().unwrap() };
    let alice = desk.alice();
    let message = desk.renewal(&alice, "ec:P-256#new");
    let Desk { ca, folder } = desk;
    drop(ca);
    // As after a restore of a backup from before.
    let path = folder.path().join("other.db");
    create_store(&path);
    let ca = house.open_with(Store::open(&path).unwrap());
    let order = ImportOrder { allow_foreign: false, existing_row: false, dry_run: false };
    for imported in ca.engine.import_all(&[alice.der()], order, &officer()) {
        imported.unwrap();
    }
    let issued = ca.issued(ca.engine.submit(submission(&message)));
    let row = ca.row(issued.request).request;
    assert_eq!((row.template.as_str(), row.flags), ("tls", RequestFlags::RENEWAL));
}

#[test]
fn a_renewal_asks_for_the_names_of_the_old_certificate_where_the_template_says_so() {
    let desk = desk();
    let alice = desk.alice();
    let signed = |subject, names: &[&str]| {
        let request = desk.request("ec:P-256#new", subject, names);
        sign(&fs::read(request).unwrap(), DATA, &[&alice.signer])
    };
    for other in [
        signed("/CN=mallory.example", &["alice.example"]),
        signed("/CN=alice.example", &["mallory.example"]),
        signed("/CN=alice.example", &["alice.example", "www.alice.example"]),
        signed("/CN=alice.example/O=Acme", &["alice.example"]),
    ] {
        desk.check_denied(desk.submit(&other, None), "renewal-names-differ");
        desk.ca.issued(desk.submit(&other, Some("any")));
    }
    desk.ca.issued(desk.submit(&signed("/CN=alice.example", &[]), None));
}

#[test]
fn a_certificate_that_ended_renews_nothing() {
    let desk = desk();
    let alice = desk.alice();
    let message = desk.renewal(&alice, "ec:P-256#new");
    desk.revoke(&alice, RevocationReason::CertificateHold);
    desk.check_failed(&message, "request-signer-revoked", 0x8009_2010);
    let which = Which::Serial(alice.serial);
    desk.ca.engine.revoke(which, RevokeOrder::Release, &officer()).unwrap();
    desk.ca.issued(desk.submit(&message, None));

    desk.ca.clock.set(desk.ca.clock.seconds() + 91 * DAY_S);
    desk.check_failed(&message, "request-signer-expired", 0x800b_0101);
}

#[test]
fn a_certificate_of_another_ca_renews_nothing_here() {
    let desk = desk();
    let elsewhere = self::desk();
    let other = elsewhere.alice();
    desk.check_failed(&desk.renewal(&other, "ec:P-256#new"), "request-signer-unknown", 0x800b_0109);

    // One that says the same and was never issued.
    let alice = desk.alice();
    let forged = desk.path("forged.pem");
    let mut der = alice.der();
    let last = der.len() - 1;
    der[last] ^= 1;
    fs::write(&forged, encode_pem("CERTIFICATE", &der)).unwrap();
    let signer = MessageSigner { certificate: forged, ..alice.signer.clone() };
    let request = desk.request("ec:P-256#new", alice.subject, alice.names);
    let message = sign(&fs::read(request).unwrap(), DATA, &[&signer]);
    desk.check_failed(&message, "request-signer-unknown", 0x800b_0109);
}

#[test]
fn signatures_are_verified_outside_and_inside() {
    let desk = desk();
    let alice = desk.alice();
    // Someone else's key under her certificate.
    let request = desk.request("ec:P-256#new", alice.subject, alice.names);
    let thief = format!(
        "signed_by(read({}), read({}), '1.2.840.113549.1.7.1', read({}))",
        quoted(&openssl_key("ec:P-256#thief")),
        quoted(&{
            let path = desk.path("alice.der");
            fs::write(&path, alice.der()).unwrap();
            path
        }),
        quoted(&request),
    );
    desk.check_failed(&cmc(&thief), "request-message-bad-signature", 0x8009_0006);

    // Her signature around a request whose own does not verify.
    let mut broken = fs::read(&request).unwrap();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    let message = sign(&broken, DATA, &[&alice.signer]);
    let err = desk.submit(&message, None).unwrap_err();
    assert_eq!(err.code(), "request-bad-signature");
    assert_eq!(desk.ca.row(err.request().unwrap()).request.raw, message);
}

#[test]
fn an_agent_asks_on_behalf_of_another() {
    let desk = desk();
    let message = on_behalf(&desk, &desk.agent(), "ACME\\bob", "user");
    let issued = desk.ca.issued(desk.submit(&message, None));
    let row = desk.ca.row(issued.request).request;
    assert_eq!((row.requester.as_str(), row.caller.as_str()), ("ACME\\bob", "local:1000"));
    assert_eq!((row.request_type, row.template.as_str()), (RequestType::Cmc, "user"));
    assert_eq!(row.flags, RequestFlags::ENROLL_ON_BEHALF_OF);
    assert_eq!(row.old_certificate, None);
}

#[test]
fn an_agent_names_the_requester_in_an_attribute_of_the_signature_as_well() {
    let desk = desk();
    let agent = desk.agent();
    let certificate = desk.path("agent.der");
    fs::write(&certificate, agent.der()).unwrap();
    let request = desk.request("ec:P-256#bob", "/CN=bob.example", &["bob.example"]);
    let message = |names: &str, content: &str, kind: &str| {
        cmc(&format!(
            "signed_by(read({}), read({}), '{kind}', {content}, \
             ('1.3.6.1.4.1.311.13.2.1', pair('requester-name', {names})))",
            quoted(&agent.signer.key),
            quoted(&certificate),
        ))
    };
    let data = "1.2.840.113549.1.7.1";
    let plain = message("'bob'", &format!("read({})", quoted(&request)), data);
    let full = message("'bob'", &pki_data(&request, ""), PKI_DATA);
    for (message, kind) in [(plain, RequestType::Pkcs7), (full, RequestType::Cmc)] {
        let issued = desk.ca.issued(desk.submit(&message, Some("user")));
        let row = desk.ca.row(issued.request).request;
        assert_eq!((row.requester.as_str(), row.request_type), ("bob", kind));
        assert_eq!(row.flags, RequestFlags::ENROLL_ON_BEHALF_OF);
    }
    // Two names for one requester.
    let controls = "control(2, CMC + '18', octets(b'RequesterName=carol'))";
    let two = message("'bob'", &pki_data(&request, controls), PKI_DATA);
    desk.check_failed(&two, "request-signers-contradict", 0x8009_480b);
    let long = message("'b' * 2049", &pki_data(&request, ""), PKI_DATA);
    desk.check_failed(&long, "request-requester-too-long", 0x8009_480b);
}

#[test]
fn only_agents_ask_for_others_and_only_where_the_template_allows_it() {
    let desk = desk();
    let (alice, agent) = (desk.alice(), desk.agent());
    let by_alice = on_behalf(&desk, &alice, "bob", "user");
    desk.check_failed(&by_alice, "request-signer-not-agent", 0x8009_480b);
    let refused = desk.submit(&on_behalf(&desk, &agent, "bob", "tls"), None);
    desk.check_denied(refused, "on-behalf-not-allowed");

    let message = on_behalf(&desk, &agent, "bob", "user");
    desk.revoke(&agent, RevocationReason::CessationOfOperation);
    desk.check_failed(&message, "request-signer-revoked", 0x8009_2010);
}

#[test]
fn an_agent_stands_for_all_that_is_around_the_request() {
    let desk = desk();
    let (alice, agent) = (desk.alice(), desk.agent());
    let inner = desk.path("inner.p7m");
    let around = |controls: &str| {
        format!("pki_data([{controls}], [], [message(1, read({}))])", quoted(&inner))
    };
    // Her renewal, in what the agent signed.
    fs::write(&inner, desk.renewal(&alice, "ec:P-256#new")).unwrap();
    let info = "control(2, CMC + '18', octets(b'RequesterName=alice&CertificateTemplate=user'))";
    let message = sign(&cmc(&around(info)), PKI_DATA, &[&agent.signer]);
    let issued = desk.ca.issued(desk.submit(&message, None));
    let row = desk.ca.row(issued.request).request;
    assert_eq!(row.flags, RequestFlags::RENEWAL.with(RequestFlags::ENROLL_ON_BEHALF_OF));
    assert_eq!((row.requester.as_str(), row.old_certificate), ("alice", Some(alice.der())));

    // What an agent signed, in what somebody else did.
    fs::write(&inner, on_behalf(&desk, &agent, "bob", "user")).unwrap();
    let message = sign(&cmc(&around("")), PKI_DATA, &[&alice.signer]);
    desk.check_failed(&message, "request-agent-inside", 0x8009_480b);
}

#[test]
fn what_a_message_adds_is_asked_for_and_counts() {
    let desk = desk();
    let request = desk.request("ec:P-256#bob", "/CN=bob.example", &[]);
    // subjectAltName with the DNS name added.example.
    let names = "(bytes.fromhex('300f820d') + b'added.example')";
    let controls = format!(
        "control(2, CMC + '18', octets(b'RequesterName=bob&CertificateTemplate=user')), \
         control(3, CMC + '8', add_extensions(0, [1], ('2.5.29.17', False, {names})))"
    );
    let agent = desk.agent();
    let message = sign(&cmc(&pki_data(&request, &controls)), PKI_DATA, &[&agent.signer]);
    let issued = desk.ca.issued(desk.submit(&message, None));
    let names = parse_certificate(&issued.der).unwrap().subject_alternative_names().to_vec();
    assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["dns:added.example"]);
}

#[test]
fn what_nobody_signed_adds_nothing() {
    let desk = desk();
    let request = desk.request("ec:P-256#bob", "/CN=bob.example", &["bob.example"]);
    let unsigned = |controls: &str| {
        let data = pki_data(&request, controls);
        cmc(&format!("signed_data('{PKI_DATA}', {data}, [no_signature('{PKI_DATA}', {data})])"))
    };
    let issued = desk.ca.issued(desk.submit(&unsigned(""), None));
    let row = desk.ca.row(issued.request).request;
    assert_eq!((row.request_type, row.flags), (RequestType::Cmc, RequestFlags::default()));
    let adds = unsigned("control(2, CMC + '18', octets(b'CertificateTemplate=any'))");
    desk.check_failed(&adds, "request-controls-unsigned", 0x8009_0006);
}

#[test]
fn a_renewal_that_is_claimed_is_proven_by_the_certificate_that_is_named() {
    let desk = desk();
    let (alice, agent) = (desk.alice(), desk.agent());
    let old = desk.path("old.der");
    fs::write(&old, alice.der()).unwrap();
    let request = desk.request("ec:P-256#new", alice.subject, alice.names);
    let claim = |more: &str| {
        let controls = format!(
            "{more} control(9, '1.3.6.1.4.1.311.10.10.1', add_attributes(0, [1], \
             attribute('1.3.6.1.4.1.311.13.1', read({}))))",
            quoted(&old)
        );
        cmc(&pki_data(&request, &controls))
    };
    let issued = desk.ca.issued(desk.submit(&sign(&claim(""), PKI_DATA, &[&alice.signer]), None));
    let row = desk.ca.row(issued.request).request;
    assert_eq!((row.flags, row.old_certificate), (RequestFlags::RENEWAL, Some(alice.der())));

    let by_other = sign(&claim(""), PKI_DATA, &[&agent.signer]);
    desk.check_failed(&by_other, "request-signer-unneeded", 0x8009_480b);
    let by_agent = claim("control(2, CMC + '18', octets(b'RequesterName=alice')),");
    let by_agent = sign(&by_agent, PKI_DATA, &[&agent.signer]);
    desk.check_failed(&by_agent, "request-renewal-unproven", 0x8009_400e);
    let by_both = sign(&claim(""), PKI_DATA, &[&alice.signer, &agent.signer]);
    desk.check_failed(&by_both, "request-signer-unneeded", 0x8009_480b);
}

#[test]
fn two_certificates_are_not_renewed_at_once() {
    let desk = desk();
    let alice = desk.alice();
    let again = desk.alice();
    let request = desk.request("ec:P-256#new", alice.subject, alice.names);
    let signed = sign(&fs::read(request).unwrap(), DATA, &[&alice.signer, &again.signer]);
    desk.check_failed(&signed, "request-signers-contradict", 0x8009_480b);
}

#[test]
fn what_stands_beside_a_message_does_not_overwrite_what_was_signed() {
    let desk = desk();
    let message = on_behalf(&desk, &desk.agent(), "bob", "user");
    let beside = |lines: &[(&str, &str)], template: Option<&str>| {
        let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        desk.ca.engine.submit(Submission {
            attributes: lines.iter().map(pair).collect(),
            template: template.map(str::to_owned),
            ..submission(&message)
        })
    };
    let before = desk.ca.counts();
    let err = beside(&[("Requester Name", "mallory")], None).unwrap_err();
    assert_eq!((err.code(), err.request()), ("attribute-signed", None));
    let err = beside(&[("certificatetemplate", "any")], None).unwrap_err();
    assert_eq!(err.code(), "attribute-signed");
    assert_eq!(beside(&[], Some("any")).unwrap_err().code(), "template-conflict");
    assert_eq!(desk.ca.counts(), before);
    let issued = desk.ca.issued(beside(&[("RequesterName", "bob"), ("Ticket", "4711")], None));
    let row = desk.ca.row(issued.request).request;
    assert!(row.attributes.contains(&("Ticket".to_owned(), "4711".to_owned())));
    assert_eq!(row.requester, "bob");
}

#[test]
fn an_officer_approves_after_the_signers_certificate_has_ended() {
    let desk = desk();
    let agent = desk.agent();
    let message = on_behalf(&desk, &agent, "bob", "held");
    let waiting = desk.submit(&message, None).unwrap();
    assert!(matches!(waiting.outcome, Outcome::Pending { .. }));
    desk.revoke(&agent, RevocationReason::Superseded);
    desk.ca.clock.set(desk.ca.clock.seconds() + 91 * DAY_S);
    let approved = desk.ca.engine.approve(waiting.request, &officer()).unwrap();
    assert!(matches!(approved.outcome, Outcome::Issued { .. }), "{approved:?}");
    let row = desk.ca.row(waiting.request).request;
    assert_eq!((row.requester.as_str(), row.caller.as_str()), ("bob", "local:1000"));
    assert_eq!(row.flags, RequestFlags::ENROLL_ON_BEHALF_OF);
}

#[test]
fn what_a_stolen_key_signed_is_not_approved_and_waits_as_before() {
    use RevocationReason as Reason;
    let desk = desk();
    let agent = desk.agent();
    let message = on_behalf(&desk, &agent, "bob", "held");
    let waiting = desk.submit(&message, None).unwrap().request;
    let refused = || {
        let before = (desk.ca.row(waiting), desk.ca.last_event());
        for result in [
            desk.ca.engine.approve(waiting, &officer()),
            desk.ca.engine.resubmit(waiting, &officer()),
        ] {
            assert_eq!(result.unwrap_err().code(), "request-signer-revoked");
        }
        assert_eq!((desk.ca.row(waiting), desk.ca.last_event()), before);
    };
    desk.revoke(&agent, Reason::CertificateHold);
    refused();
    let release = (Which::Serial(agent.serial), RevokeOrder::Release);
    desk.ca.engine.revoke(release.0, release.1, &officer()).unwrap();
    for reason in [Reason::Unspecified, Reason::KeyCompromise] {
        desk.revoke(&agent, reason);
        refused();
    }
    desk.revoke(&agent, Reason::Superseded);
    let approved = desk.ca.engine.approve(waiting, &officer()).unwrap();
    assert!(matches!(approved.outcome, Outcome::Issued { .. }), "{approved:?}");
}

/// What pyasn1 reads in a full response that openssl has verified.
#[track_caller]
fn read_response(desk: &Desk, message: &[u8]) -> Vec<String> {
    let root = desk.path("root.pem");
    fs::write(&root, desk.ca.root_pem()).unwrap();
    let content = verified(message, &root).unwrap();
    let file = desk.path("content.der");
    fs::write(&file, content).unwrap();
    let text = String::from_utf8(cmc(&format!("response(read({}))", quoted(&file)))).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_full_response_says_what_became_of_the_request() {
    let desk = desk();
    let agent = desk.agent();
    let request = desk.request("ec:P-256#bob", "/CN=bob.example", &["bob.example"]);
    let signed = |template: &str| {
        let controls = format!(
            "control(2, CMC + '18', octets(b'RequesterName=bob&CertificateTemplate={template}')), \
             control(3, CMC + '5', integer(42)), control(4, CMC + '6', octets(b'nonce'))"
        );
        sign(&cmc(&pki_data(&request, &controls)), PKI_DATA, &[&agent.signer])
    };
    let ask = |message: &[u8]| {
        let result = desk.submit(message, None);
        match desk.ca.engine.cms_response(message, &result).unwrap() {
            CmsResponse::Full(der) => (read_response(&desk, &der), der),
            other @ CmsResponse::CertsOnly(_) => panic!("{other:?}"),
        }
    };
    let (lines, der) = ask(&signed("user"));
    assert_eq!((lines[0].as_str(), lines[1].as_str()), ("1 25 success 1 issued", "2 5 42"));
    // Our nonce is random; theirs comes back.
    assert_eq!((lines[2].len(), lines[3].as_str()), (4 + 32, "4 7 6e6f6e6365"));
    let issued = desk.ca.last_event().certificate.unwrap().certificate.raw;
    assert!(der.windows(issued.len()).any(|it| it == issued), "without the certificate");

    let (lines, _) = ask(&signed("held"));
    assert!(lines[0].starts_with("1 25 pending 1 taken under submission "), "{lines:?}");
    let (lines, _) = ask(&signed("tls"));
    assert!(lines[0].starts_with("1 25 failed 1 on-behalf-not-allowed: "), "{lines:?}");
    assert!(lines[0].ends_with(" badIdentity"), "{lines:?}");
    desk.revoke(&agent, RevocationReason::Superseded);
    let (lines, _) = ask(&signed("user"));
    assert!(lines[0].starts_with("1 25 failed 1 request-signer-revoked: "), "{lines:?}");
    let (lines, _) = ask(b"hello");
    assert!(lines[0].starts_with("1 25 failed 0 request-not-pem: "), "{lines:?}");
    assert!(lines[0].ends_with(" badRequest"), "{lines:?}");
}

#[test]
fn who_asks_without_cmc_gets_certificates_alone() {
    let desk = desk();
    let alice = desk.alice();
    for message in [
        fs::read(desk.request("ec:P-256#new", "/CN=new.example", &["new.example"])).unwrap(),
        desk.renewal(&alice, "ec:P-256#new"),
    ] {
        let result = desk.submit(&message, None);
        let response = desk.ca.engine.cms_response(&message, &result).unwrap();
        let CmsResponse::CertsOnly(der) = response else { panic!("{response:?}") };
        let issued = desk.ca.last_event().certificate.unwrap().certificate.raw;
        for certificate in [&issued[..], desk.ca.engine.certificate_der()] {
            assert!(der.windows(certificate.len()).any(|it| it == certificate));
        }
    }
    let refused = Caller::new("token:x", Door::Remote, Roles::ENROLLEE);
    assert!(parse_submission(b"").is_err());
    let result = desk.ca.engine.submit(Submission { caller: refused, ..submission(b"") });
    assert_eq!(desk.ca.engine.certs_only(&result), None);
}

#[test]
fn a_template_wants_the_signature_of_somebody_with_a_certificate_for_it() {
    let desk = desk();
    let (alice, agent) = (desk.alice(), desk.agent());
    let request = desk.request("ec:P-256#bob", "/CN=bob.example", &["bob.example"]);
    let of = |template: &str, signers: &[&MessageSigner]| {
        let info = format!("CertificateTemplate={template}");
        let controls = format!("control(2, CMC + '18', octets({info:?}.encode()))");
        sign(&cmc(&pki_data(&request, &controls)), PKI_DATA, signers)
    };
    let outcome = |message: &[u8]| desk.submit(message, None).unwrap().outcome;
    let denied = |message: &[u8]| match outcome(message) {
        Outcome::Denied { code, .. } => code,
        other => panic!("{other:?}"),
    };
    // Whoever signs so renews nothing.
    let issued = desk.ca.issued(desk.submit(&of("cosigned", &[&agent.signer]), None));
    assert_eq!(desk.ca.row(issued.request).request.flags, RequestFlags::default());
    let both = of("cosigned", &[&alice.signer, &agent.signer]);
    assert!(matches!(outcome(&both), Outcome::Issued { .. }));
    // Not everybody's signature is one, and a plain request has none.
    assert_eq!(denied(&of("cosigned", &[&alice.signer])), "signatures-missing");
    let plain = Submission {
        template: Some("cosigned".to_owned()),
        ..submission(&fs::read(&request).unwrap())
    };
    match desk.ca.engine.submit(plain).unwrap().outcome {
        Outcome::Denied { code, .. } => assert_eq!(code, "signatures-missing"),
        other => panic!("{other:?}"),
    }
    // Where nobody asks for it, a signature is a renewal, and this one has other names.
    assert_eq!(denied(&of("tls", &[&agent.signer])), "renewal-names-differ");
    // It counts as well when an officer takes the request up again, unless its key was stolen meanwhile.
    let held = |message: &[u8]| {
        let Submitted { request, outcome } = desk.submit(message, None).unwrap();
        assert!(matches!(outcome, Outcome::Pending { .. }), "{outcome:?}");
        request
    };
    let message = of("cosigned-held", &[&agent.signer]);
    let (first, second) = (held(&message), held(&message));
    let approved = desk.ca.engine.approve(first, &officer()).unwrap().outcome;
    assert!(matches!(approved, Outcome::Issued { .. }), "{approved:?}");
    desk.revoke(&agent, RevocationReason::KeyCompromise);
    let err = desk.ca.engine.approve(second, &officer()).unwrap_err();
    assert_eq!(err.code(), "request-signer-revoked");
}
