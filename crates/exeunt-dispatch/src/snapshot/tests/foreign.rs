//! A request and a certificate made by OpenSSL, read by the snapshot and by pyca/cryptography: both
//! say the same.

use std::{fs, path::Path};

use exeunt_module::view::{Class, PROPERTIES, View};
use exeunt_testkit::messages::{DATA, MessageSigner, sign};
use exeunt_testkit::requests::{openssl_key, openssl_request};
use exeunt_testkit::tools;
use exeunt_types::{OfficerExtension, Revocation, RevocationReason};

use super::*;

/// What pyca reads in a certificate and a request, in the form of the properties.
const READ: &str = r#"
import hashlib, json, sys
from cryptography import x509
from cryptography.hazmat.primitives import serialization as s

cert = x509.load_der_x509_certificate(open(sys.argv[1], "rb").read())
request = x509.load_der_x509_csr(open(sys.argv[2], "rb").read())
def parts(name):
    found = {}
    for it in reversed(list(name)):
        found.setdefault(it.oid.dotted_string, []).append(it.value)
    return {oid: "\n".join(values) for oid, values in found.items()}
def extensions(of):
    return [[it.oid.dotted_string, it.critical, it.value.public_bytes().hex()] for it in of.extensions]
san = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
upn = [it.value for it in san if isinstance(it, x509.OtherName) and it.type_id.dotted_string == "1.3.6.1.4.1.311.20.2.3"]
spki = cert.public_key().public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
print(json.dumps({
    "serial": format(cert.serial_number, "x"),
    "hash": hashlib.sha1(cert.public_bytes(s.Encoding.DER)).hexdigest(),
    "key_id": cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex(),
    "bits": cert.public_key().key_size,
    "spki": spki.hex(),
    "algorithm": cert.public_key_algorithm_oid.dotted_string,
    "subject": cert.subject.public_bytes().hex(),
    "parts": parts(cert.subject),
    "requested": request.subject.public_bytes().hex(),
    "requested_parts": parts(request.subject),
    "not_before": cert.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "not_after": cert.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "upn": [it[2:].decode() for it in upn],
    "extensions": extensions(cert),
    "asked": extensions(request),
}))
"#;

/// Requested extensions: the names and the extended usage get into the certificate as they are,
/// the key usage with another value, the constraints not at all.
const ASKED: &str = "
[req]
distinguished_name = dn
req_extensions = ext
[dn]
[ext]
subjectAltName = DNS:host.example.org, otherName:1.3.6.1.4.1.311.20.2.3;UTF8:ada@example.org
extendedKeyUsage = serverAuth
keyUsage = critical, digitalSignature
basicConstraints = critical, CA:FALSE
";

const GIVEN: &str = "
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
crlDistributionPoints = URI:http://ca.example.org/ca.crl
authorityInfoAccess = caIssuers;URI:http://ca.example.org/ca.crt
keyUsage = critical, digitalSignature, keyEncipherment
certificatePolicies = 1.2.3.4
subjectAltName = DNS:host.example.org, otherName:1.3.6.1.4.1.311.20.2.3;UTF8:ada@example.org
extendedKeyUsage = serverAuth
";

/// Every part of a name that OpenSSL knows by a keyword; two units, in this order.
const SUBJECT: &str = "/C=DE/ST=Sachsen/L=Görlitz/street=Am Markt 1/O=Acme, Inc./OU=Outer/OU=Inner\
    /title=Dr/GN=Ada/SN=Lovelace/initials=AL/serialNumber=12-34/DC=org/DC=example\
    /CN=host.example.org/emailAddress=ada@example.org\
    /unstructuredName=box/unstructuredAddress=shelf 4";

struct Made {
    certificate: Vec<u8>,
    request: Vec<u8>,
    read: serde_json::Value,
}

fn make(key: &str) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let openssl = |text: &str, more: &[&str]| {
        let args = text.split(' ').chain(more.iter().copied());
        tools::run_ok(tools::openssl(), args, b"");
    };
    fs::write(path("asked.cnf"), ASKED).unwrap();
    fs::write(path("given.cnf"), GIVEN).unwrap();
    let key_of = |key: &str| openssl_key(key).to_str().unwrap().to_owned();
    let (ca_key, key) = (key_of("ec:P-256#ca"), key_of(key));
    let ca_pem = path("ca.pem");
    openssl("req -x509 -batch -days 9 -subj /CN=CA -key", &[&ca_key, "-out", &ca_pem]);
    let (request_pem, request_der) = (path("request.pem"), path("request.der"));
    let config = path("asked.cnf");
    openssl(
        "req -new -utf8 -batch -config",
        &[&config, "-key", &key, "-subj", SUBJECT, "-out", &request_pem],
    );
    openssl("req -outform DER -in", &[&request_pem, "-out", &request_der]);
    let certificate = path("certificate.der");
    openssl(
        "x509 -req -days 5 -outform DER -in",
        &[
            &request_pem,
            "-CA",
            &ca_pem,
            "-CAkey",
            &ca_key,
            "-extfile",
            &path("given.cnf"),
            "-out",
            &certificate,
        ],
    );
    let answer = tools::run_ok(tools::python(), ["-c", READ, &certificate, &request_der], b"");
    Made {
        certificate: fs::read(Path::new(&certificate)).unwrap(),
        request: fs::read(Path::new(&request_der)).unwrap(),
        read: serde_json::from_slice(&answer).unwrap(),
    }
}

fn logged(made: &Made) -> LoggedEvent {
    let mut logged = issued();
    let read = parse_certificate(&made.certificate).unwrap();
    let request = logged.request.as_mut().unwrap();
    request.request.subject =
        exeunt_x509::parse_request(&made.request).unwrap().subject().to_string();
    request.request.raw.clone_from(&made.request);
    logged.certificate.as_mut().unwrap().template_flags = Some(TemplateFlags::default());
    logged.certificate.as_mut().unwrap().certificate = NewCertificate {
        serial: read.serial(),
        ca_key: 0,
        crl_partition: 3,
        raw: made.certificate.clone(),
        subject: read.subject().to_string(),
        subject_alternative_names: String::new(),
        not_before: UnixMillis::from_unix_seconds(read.not_before()),
        not_after: UnixMillis::from_unix_seconds(read.not_after()),
        key: read.key(),
    };
    logged
}

fn unhex(text: &serde_json::Value) -> Vec<u8> {
    let digits = text.as_str().unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|it| u8::from_str_radix(&digits[it..it + 2], 16).unwrap())
        .collect()
}

/// A message around a request, signed with a certificate of two purposes and two policies.
fn signed_by_agent(request: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let signer = MessageSigner {
        certificate: folder.path().join("agent.pem"),
        key: openssl_key("ec:P-256"),
    };
    let (key, out) = (signer.key.to_str().unwrap(), signer.certificate.to_str().unwrap());
    let purposes = "extendedKeyUsage=1.3.6.1.4.1.311.20.2.1,clientAuth";
    let args = ["req", "-x509", "-new", "-subj", "/CN=agent", "-key", key, "-out", out];
    let more = ["-addext", purposes, "-addext", "certificatePolicies=1.2.3.4,1.2.3.5"];
    tools::run_ok(tools::openssl(), args.iter().chain(&more), b"");
    sign(request, DATA, &[&signer])
}

#[track_caller]
fn check(key: &str) {
    let made = make(key);
    let read = &made.read;
    let folder = tempfile::tempdir().unwrap();
    let snapshots = lists::with_both(folder.path());
    let mut logged = logged(&made);
    let moment = UnixMillis(1_735_689_603_000);
    let reason = Some(RevocationReason::Superseded);
    logged.state.as_mut().unwrap().revocation =
        Some(Revocation { reason, ran: moment, effective: moment });
    logged.request.as_mut().unwrap().publish_expired = true;
    let row = &mut logged.request.as_mut().unwrap().request;
    row.raw = signed_by_agent(&made.request);
    row.flags = RequestFlags::RENEWAL.with(RequestFlags::ENROLL_ON_BEHALF_OF);
    row.old_certificate = Some(made.certificate.clone());
    let event = snapshots.event(&logged, 1, false, NOW);
    let certificate = &event.certificate;
    let text = |name: &str| certificate.string(name).unwrap();

    // 1. The certificate.
    assert_eq!(text("SerialNumber").trim_start_matches('0'), read["serial"].as_str().unwrap());
    assert_eq!(text("CertificateHash"), read["hash"]);
    assert_eq!(text("SubjectKeyIdentifier"), read["key_id"]);
    assert_eq!(text("PublicKeyAlgorithm"), read["algorithm"]);
    assert_eq!(text("UPN"), read["upn"][0]);
    assert_eq!(certificate.date("NotBefore").unwrap(), read["not_before"]);
    assert_eq!(certificate.date("NotAfter").unwrap(), read["not_after"]);
    assert_eq!(certificate.long("PublicKeyLength").unwrap(), read["bits"]);
    assert_eq!(certificate.binary("RawName").unwrap(), unhex(&read["subject"]));
    // SEQUENCE { SEQUENCE { algorithm, parameters }, BIT STRING { 0, key } }: ends in both parts.
    let spki = unhex(&read["spki"]);
    let key = certificate.binary("RawPublicKey").unwrap();
    let parameters = certificate.binary("RawPublicKeyAlgorithmParameters").unwrap();
    assert!(spki.ends_with(key));
    let before_key = &spki[..spki.len() - key.len()];
    let bit_string = before_key.iter().rposition(|it| *it == 0x03).unwrap();
    assert!(before_key[..bit_string].ends_with(parameters));
    assert_eq!(event.request.binary("RawName").unwrap(), unhex(&read["requested"]));

    // 2. Both names, by the OIDs of their parts.
    let view = View::of(&event);
    for (call, parts) in [("certificate", &read["parts"]), ("request", &read["requested_parts"])] {
        let parts = parts.as_object().unwrap();
        assert_eq!(parts.len(), 16, "every part of a name is in the test");
        for (oid, expected) in parts {
            let found = match call {
                "request" => view.request_property(oid, None),
                _ => view.certificate_property(oid, None),
            };
            let expected = Value::String(expected.as_str().unwrap().to_owned());
            assert_eq!(*found.unwrap(), expected, "{call} {oid}");
        }
    }

    // 3. Extensions: the certificate's in its order, then what did not get in.
    let origin = |oid: &str| match oid {
        "2.5.29.14" | "2.5.29.35" | "2.5.29.31" | "1.3.6.1.5.5.7.1.1" => 0x4_0000,
        "2.5.29.17" | "2.5.29.37" => 0x1_0000,
        _ => 0x2_0000,
    };
    let mut expected = Vec::new();
    for it in read["extensions"].as_array().unwrap() {
        let oid = it[0].as_str().unwrap();
        let flags = origin(oid) | u32::from(it[1].as_bool().unwrap());
        expected.push((oid, flags, unhex(&it[2])));
    }
    assert_eq!(expected.len(), 8);
    let left_out =
        read["asked"].as_array().unwrap().iter().find(|it| it[0] == "2.5.29.19").unwrap();
    expected.push(("2.5.29.19", 0x1_0003, unhex(&left_out[2])));
    let found: Vec<_> =
        event.extensions.iter().map(|(oid, it)| (oid, it.flags, it.value.clone())).collect();
    assert_eq!(found, expected);

    // 4. Whatever was put in is in the table, under its class and with its type, and is filled.
    let known = |name: &str, value: &Value, classes: [Class; 2]| {
        let plain = PROPERTIES.iter().find(|it| it.name == name && classes.contains(&it.class));
        let known = plain.unwrap_or_else(|| panic!("{name} is in no table"));
        assert_eq!(known.kind, Some(value.kind()), "{name}");
        assert!(known.filled, "{name}");
    };
    let system = snapshots.of_module("census");
    let system = system.system_for("RawCRL", UnixMillis(0));
    event.request.iter().for_each(|(name, it)| known(name, it, [Class::Request, Class::Name]));
    certificate.iter().for_each(|(name, it)| known(name, it, [Class::Certificate, Class::Name]));
    system.iter().for_each(|(name, it)| known(name, it, [Class::System, Class::System]));
    // 5. And what the table calls filled is there. The request's own copy is the CA's.
    // What an archived key brings along, `call_back.rs` tests.
    let of_key = ["RawArchivedKey", "KeyRecoveryHashes", "KeyArchived"];
    for it in PROPERTIES.iter().filter(|it| it.filled && !of_key.contains(&it.name)) {
        let value = match it.class {
            Class::Request => view.request_property(it.name, it.kind),
            Class::System => View::of_system(&system).certificate_property(it.name, it.kind),
            _ => view.certificate_property(it.name, it.kind),
        };
        assert!(value.is_ok(), "{} should have a value: {value:?}", it.name);
    }
}

#[test]
fn what_is_read_of_an_ec_certificate_is_what_pyca_reads() {
    check("ec:P-256");
}

#[test]
fn what_is_read_of_an_rsa_certificate_is_what_pyca_reads() {
    check("rsa:2048");
}

#[test]
fn a_request_without_a_certificate_has_the_extensions_that_it_asks_for() {
    let made = make("ec:P-256");
    let mut logged = logged(&made);
    logged.kind = EventKind::CERT_PENDING;
    logged.state.as_mut().unwrap().disposition = Disposition::Pending;
    let event = Snapshots::new("store".to_owned(), &facts()).event(&logged, 1, false, NOW);
    let found: Vec<_> = event.extensions.iter().map(|(oid, it)| (oid, it.flags)).collect();
    let expected: Vec<_> = made.read["asked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it[0].as_str().unwrap(), 0x1_0000 | u32::from(it[1].as_bool().unwrap())))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(found.len(), 4);
}

/// OID, flags and value of all extensions of an event, where officers set some.
fn extensions_with(
    mut logged: LoggedEvent,
    officers: &[(&str, u16, &[u8])],
) -> Vec<(String, u32, Vec<u8>)> {
    logged.request.as_mut().unwrap().officer_extensions = officers
        .iter()
        .map(|&(oid, flags, value)| OfficerExtension {
            oid: oid.to_owned(),
            flags,
            value: value.to_vec(),
        })
        .collect();
    let event = Snapshots::new("store".to_owned(), &facts()).event(&logged, 1, false, NOW);
    event.extensions.iter().map(|(oid, it)| (oid.to_owned(), it.flags, it.value.clone())).collect()
}

#[test]
fn a_waiting_request_has_the_extensions_of_officers_in_place_of_its_own() {
    let made = make("ec:P-256");
    let mut logged = logged(&made);
    logged.kind = EventKind::CERT_DENIED;
    logged.state.as_mut().unwrap().disposition = Disposition::Denied;
    logged.certificate = None;
    let mut expected = extensions_with(logged.clone(), &[]);
    let place = |oid: &str| expected.iter().position(|it| it.0 == oid).unwrap();
    let (usages, constraints) = (place("2.5.29.37"), place("2.5.29.19"));
    // Replaced, left out, new with a flag of private use, new under another spelling of the same.
    let found = extensions_with(
        logged,
        &[
            ("2.5.29.37", 1, b"usages"),
            ("2.5.29.19", 2, b""),
            ("1.2.3.4", 0x100, b"old"),
            ("1.2.3.04", 0x500, b"new"),
            ("no oid", 0, b"none"),
        ],
    );
    expected[usages] = ("2.5.29.37".to_owned(), 0x3_0001, b"usages".to_vec());
    expected[constraints] = ("2.5.29.19".to_owned(), 0x3_0002, Vec::new());
    expected.push(("1.2.3.4".to_owned(), 0x3_0500, b"new".to_vec()));
    assert_eq!(found, expected);
}

#[test]
fn a_certificate_has_what_officers_set_as_theirs_and_at_its_end_what_they_left_out() {
    let made = make("ec:P-256");
    let logged = logged(&made);
    let mut expected = extensions_with(logged.clone(), &[]);
    let place = |oid: &str| expected.iter().position(|it| it.0 == oid).unwrap();
    let (policies, usage, key) = (place("2.5.29.32"), place("2.5.29.15"), place("2.5.29.14"));
    let value = |place: usize| expected[place].2.clone();
    let found = extensions_with(
        logged,
        &[
            ("2.5.29.32", 0x100, &value(policies)),
            // In the certificate is another value, or the server's own: no officer's.
            ("2.5.29.15", 1, b"another"),
            ("2.5.29.14", 0, &value(key)),
            // The request asked for the first and the certificate lacks both.
            ("2.5.29.19", 2, b"constraints"),
            ("1.2.3.4", 3, b"new"),
        ],
    );
    assert_eq!(
        (expected[policies].1, expected[usage].1, expected[key].1),
        (0x2_0000, 0x2_0001, 0x4_0000)
    );
    expected[policies].1 = 0x3_0100;
    assert_eq!(expected.pop().unwrap().0, "2.5.29.19");
    expected.push(("2.5.29.19".to_owned(), 0x3_0002, b"constraints".to_vec()));
    expected.push(("1.2.3.4".to_owned(), 0x3_0003, b"new".to_vec()));
    assert_eq!(found, expected);
}

/// The properties of the request in the event, by name.
fn of_request(logged: &LoggedEvent, name: &str) -> Option<Value> {
    let event = Snapshots::new("store".to_owned(), &facts()).event(logged, 1, false, NOW);
    let mut all = event.request.iter();
    all.find(|(it, _)| *it == name).map(|(_, value)| value.clone())
}

#[test]
fn who_signed_around_a_request_is_told_where_the_engine_believed_it() {
    let folder = tempfile::tempdir().unwrap();
    let request = openssl_request("ec:P-256", "/CN=bob.example", &["bob.example"], folder.path());
    let args = ["req", "-outform", "DER", "-in", request.to_str().unwrap()];
    let request = tools::run_ok(tools::openssl(), args, b"");

    let mut logged = issued();
    let row = &mut logged.request.as_mut().unwrap().request;
    row.raw = signed_by_agent(&request);
    row.request_type = RequestType::Pkcs7;
    row.subject = "CN=bob.example".to_owned();
    // The message is read to what is inside of it.
    assert!(of_request(&logged, "RawName").is_some());
    assert_eq!(of_request(&logged, "SignerPolicies"), None);
    assert_eq!(of_request(&logged, "SignerApplicationPolicies"), None);
    assert_eq!(of_request(&logged, "Officer"), None);

    let row = &mut logged.request.as_mut().unwrap().request;
    row.flags = RequestFlags::ENROLL_ON_BEHALF_OF;
    row.old_certificate = Some(vec![1, 2]);
    let text = |it: &str| Some(Value::String(it.to_owned()));
    assert_eq!(of_request(&logged, "SignerPolicies"), text("1.2.3.4\n1.2.3.5"));
    let purposes = text("1.3.6.1.4.1.311.20.2.1\n1.3.6.1.5.5.7.3.2");
    assert_eq!(of_request(&logged, "SignerApplicationPolicies"), purposes);
    assert_eq!(of_request(&logged, "Officer"), Some(Value::Long(1)));
    assert_eq!(of_request(&logged, "RequestFlags"), Some(Value::Long(0x10)));
    assert_eq!(of_request(&logged, "RequestType"), Some(Value::Long(0x300)));
    assert_eq!(of_request(&logged, "RawOldCertificate"), Some(Value::Binary(vec![1, 2])));
    // What is asked for is told from inside the message.
    let event = Snapshots::new("store".to_owned(), &facts()).event(&logged, 1, false, NOW);
    assert_eq!(event.request.iter().filter(|(it, _)| *it == "RawRequest").count(), 1);
}

/// A certificate without a request, also when later events tell of it.
#[test]
fn of_an_imported_certificate_everything_is_read_and_of_a_request_nothing() {
    let made = make("ec:P-256");
    let origins = |event: &exeunt_module::Event| -> Vec<(String, u32)> {
        event.extensions.iter().map(|(oid, it)| (oid.to_owned(), it.flags)).collect()
    };
    let imported: Vec<_> = made.read["extensions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let flags = 0x6_0000 | u32::from(it[1].as_bool().unwrap());
            (it[0].as_str().unwrap().to_owned(), flags)
        })
        .collect();
    for (number, disposition) in [(12, Disposition::Foreign), (20, Disposition::Issued)] {
        for kind in [EventKind::CERT_IMPORTED, EventKind::CERT_EXPIRING] {
            let mut logged = logged(&made);
            logged.kind = kind;
            logged.state.as_mut().unwrap().disposition = disposition;
            logged.certificate.as_mut().unwrap().template = String::new();
            let row = &mut logged.request.as_mut().unwrap().request;
            (row.raw, row.template, row.attributes) = (Vec::new(), String::new(), Vec::new());
            (row.requester, row.caller) = ("olga".to_owned(), "olga".to_owned());
            // What was made for an event is kept by its number.
            let snapshots = Snapshots::new("store".to_owned(), &facts());
            for lean in [false, true] {
                let event = snapshots.event(&logged, 1, lean, NOW);
                let view = View::of(&event);
                for name in
                    ["RawRequest", "RequestType", "RequestAttributes", "CertificateTemplate"]
                {
                    assert!(view.request_property(name, None).is_err(), "{name}");
                }
                for name in ["RequesterName", "CallerName"] {
                    assert_eq!(event.request.string(name).unwrap(), "olga");
                }
                assert_eq!(event.request.long("Disposition").unwrap(), number);
                assert_eq!(event.certificate.binary("RawCertificate").unwrap(), made.certificate);
                assert_eq!(event.certificate.string("CertificateHash").unwrap(), made.read["hash"]);
                assert!(event.certificate.string("CertificateTemplate").is_err());
                assert_eq!(origins(&event), imported);
            }
        }
    }
    // Under a row that waited, the request is there, and the certificate is what was imported.
    let mut logged = logged(&made);
    logged.kind = EventKind::CERT_IMPORTED;
    let event = Snapshots::new("store".to_owned(), &facts()).event(&logged, 1, false, NOW);
    assert_eq!(event.request.binary("RawRequest").unwrap(), made.request);
    assert_eq!(origins(&event), imported);
}
