//! Made-up but consistent events of one CA, with everything that a module can read about each.
//!
//! What happened: request 8 was denied, request 7 failed; request 9, a renewal, was pending, then
//! issued, fetched, held, released, and will expire; certificate 10 was imported. The certificates,
//! the request and the revocation lists are real; see `fixtures/README.md`.

use std::sync::Arc;

use exeunt_module::{Event, Extension, Extensions, Properties, Value, exit_event as bit};

const CA: &[u8] = include_bytes!("fixtures/ca.der");
const CERTIFICATE: &[u8] = include_bytes!("fixtures/certificate.der");
const CRL: &[u8] = include_bytes!("fixtures/crl.der");
const DELTA_CRL: &[u8] = include_bytes!("fixtures/delta-crl.der");
const NAME: &[u8] = include_bytes!("fixtures/name.der");
const OLD_CERTIFICATE: &[u8] = include_bytes!("fixtures/old-certificate.der");
const PUBLIC_KEY: &[u8] = include_bytes!("fixtures/public-key.der");
const REQUEST: &[u8] = include_bytes!("fixtures/request.der");

/// The made-up CA's name.
pub(crate) const CA_NAME: &str = "Example CA";

const DISTINGUISHED_NAME: &str =
    "E=web@example.com,CN=www.example.com,OU=Staging,OU=Web,O=Example,L=Altona,ST=Hamburg,C=DE";
const SERIAL: &str = "4a1f2b3c4d5e6f708192a3b4c5d6e7f8";

/// An event for each bit of [`bit::WORDS`], in the order in which they happened. The place in the log is
/// the place in the list, from 1 on.
pub(crate) fn every_event() -> Vec<Event> {
    const ORDER: [u32; 17] = [
        bit::STARTUP,
        bit::REQUEST_FAILED,
        bit::CERT_DENIED,
        bit::CERT_PENDING,
        bit::CERT_ISSUED,
        bit::CERT_RETRIEVE_PENDING,
        bit::CERT_REVOKED,
        bit::CERT_UNREVOKED,
        bit::CERT_IMPORTED,
        bit::CRL_ISSUED,
        bit::CRL_PUBLICATION_FAILED,
        bit::DELIVERY_PARKED,
        bit::CERT_EXPIRING,
        bit::CA_CERT_ISSUED,
        bit::HEARTBEAT,
        bit::RESTORED,
        bit::SHUTDOWN,
    ];
    ORDER.iter().zip(1..).map(|(bit, seq)| event(*bit, seq)).collect()
}

/// The event with that bit, at that place in the log.
pub(crate) fn event(bit: u32, seq: u64) -> Event {
    let request_id: i32 = match bit {
        bit::REQUEST_FAILED => 7,
        bit::CERT_DENIED => 8,
        bit::CERT_IMPORTED => 10,
        bit::CERT_PENDING
        | bit::CERT_ISSUED
        | bit::CERT_RETRIEVE_PENDING
        | bit::CERT_REVOKED
        | bit::CERT_UNREVOKED
        | bit::CERT_EXPIRING => 9,
        // The CA's own: no request, no certificate.
        _ => 0,
    };
    let mut event = Event {
        id: format!("c0ffee00c0ffee00c0ffee00c0ffee00-{seq}"),
        seq,
        event: bit,
        subject: "server".to_owned(),
        time: format!("2026-11-21T11:{:02}:{:02}.125Z", 4 + seq / 60 % 50, seq % 60),
        attempt: 1,
        system: Arc::new(system()),
        detail: detail(bit),
        ..Event::default()
    };
    if request_id == 0 {
        return event;
    }
    let built = !matches!(bit, bit::REQUEST_FAILED | bit::CERT_DENIED | bit::CERT_PENDING);
    event.context = u64::from(request_id.unsigned_abs());
    event.subject = format!("request:{request_id}");
    event.request = request(bit, request_id);
    event.certificate = certificate(request_id, built);
    event.extensions = extensions(built, bit == bit::CERT_IMPORTED);
    if bit != bit::CERT_IMPORTED {
        event.attributes = pairs(&[
            ("CertificateTemplate", "WebServer"),
            ("cdc", "dc.example.com"),
            ("rmd", "client.example.com"),
            ("ccm", "client.example.com"),
            ("RequestOSVersion", "10.0.20348.2"),
        ]);
    }
    event
}

/// The same event about another request: another place in the log, id, subject and number.
pub(crate) fn about_request(event: &Event, seq: u64, request_id: u32) -> Event {
    let number = Value::Long(i32::try_from(request_id).unwrap_or(i32::MAX));
    let renumbered = |properties: &Properties| {
        let renumber = |(name, value): (&str, &Value)| {
            let value = if name == "RequestID" { number.clone() } else { value.clone() };
            (name.to_owned(), value)
        };
        properties.iter().map(renumber).collect::<Properties>()
    };
    let mut other =
        Event { id: format!("c0ffee00c0ffee00c0ffee00c0ffee00-{seq}"), seq, ..event.clone() };
    if event.context != 0 {
        other.context = u64::from(request_id);
        other.subject = format!("request:{request_id}");
        other.request = renumbered(&event.request);
        other.certificate = renumbered(&event.certificate);
    }
    other
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn date(text: &str) -> Value {
    Value::Date(text.to_owned())
}

fn binary(bytes: &[u8]) -> Value {
    Value::Binary(bytes.to_vec())
}

/// A code that the original writes as an unsigned number.
fn code(code: u32) -> Value {
    Value::Long(code.cast_signed())
}

fn name_parts() -> [(&'static str, Value); 9] {
    [
        ("DistinguishedName", text(DISTINGUISHED_NAME)),
        ("RawName", binary(NAME)),
        ("CommonName", text("www.example.com")),
        ("Country", text("DE")),
        ("State", text("Hamburg")),
        ("Locality", text("Altona")),
        ("Organization", text("Example")),
        // Several values of one part are joined by a line feed.
        ("OrgUnit", text("Web\nStaging")),
        ("EMail", text("web@example.com")),
    ]
}

/// What is known of the request at that event.
fn request(bit: u32, request_id: i32) -> Properties {
    // DB_DISP_PENDING 9, ISSUED 20, REVOKED 21, ERROR 30, DENIED 31, FOREIGN 12.
    let (disposition, status, message) = match bit {
        bit::CERT_PENDING => (9, 0, "Taken Under Submission"),
        bit::CERT_REVOKED => (21, 0, "Revoked by EXAMPLE\\officer"),
        bit::REQUEST_FAILED => (30, 0x8009_4001, "The request subject name is invalid"),
        // CERTSRV_E_ADMIN_DENIED_REQUEST.
        bit::CERT_DENIED => (31, 0x8009_4014, "Denied by EXAMPLE\\officer"),
        bit::CERT_IMPORTED => (12, 0, "Imported"),
        _ => (20, 0, "Issued"),
    };
    let mut properties: Properties = [
        ("RequestID", Value::Long(request_id)),
        ("StatusCode", code(status)),
        ("Disposition", Value::Long(disposition)),
        ("DispositionMessage", text(message)),
        ("SubmittedWhen", date("2026-11-21T11:03:59.900Z")),
        ("RequesterName", text("EXAMPLE\\alice")),
        ("CallerName", text("EXAMPLE\\alice")),
    ]
    .into_iter()
    .collect();
    let mut push = |name: &'static str, value| properties.push(name, value);
    if bit != bit::CERT_PENDING {
        push("ResolvedWhen", date("2026-11-21T11:04:00.125Z"));
    }
    if matches!(bit, bit::CERT_REVOKED | bit::CERT_UNREVOKED) {
        // Certificate hold (RFC 5280: 6), and the original's code for its end.
        let reason = if bit == bit::CERT_REVOKED { 6 } else { -1 };
        push("RevokedReason", Value::Long(reason));
        push("RevokedWhen", date("2026-11-21T11:04:06Z"));
        push("RevokedEffectiveWhen", date("2026-11-21T11:04:00Z"));
    }
    if bit == bit::CERT_IMPORTED {
        return properties;
    }
    for (name, value) in name_parts() {
        push(name, value);
    }
    for (name, value) in [
        ("RawRequest", binary(REQUEST)),
        // CR_IN_PKCS10, and CR_FLG_RENEWAL.
        ("RequestType", Value::Long(0x100)),
        ("RequestFlags", Value::Long(2)),
        ("RequestAttributes", text("CertificateTemplate:WebServer\ncdc:dc.example.com")),
        ("RawOldCertificate", binary(OLD_CERTIFICATE)),
        ("RequesterNameFromOldCertificate", text("EXAMPLE\\alice")),
        ("SignerPolicies", text("1.3.6.1.4.1.311.21.8.1")),
        ("SignerApplicationPolicies", text("1.3.6.1.4.1.311.20.2.1")),
        ("Officer", Value::Long(0)),
        ("PublishExpiredCertInCRL", Value::Long(0)),
        ("CRLPartitionIndex", Value::Long(0)),
        ("KeyRecoveryHashes", text("")),
        ("AttestationChallenge", binary(&[0x04, 0x02, 0x00, 0xff])),
        (
            "EndorsementKeyHash",
            text("00aabbccddeeff112233445566778899aabbccddeeff00112233445566778899"),
        ),
        ("EndorsementCertificateHash", text("00aabbccddeeff11223344556677889900aabbcc")),
    ] {
        push(name, value);
    }
    properties
}

/// What is known of the certificate; before it was `built`, only what the policy decided.
fn certificate(request_id: i32, built: bool) -> Properties {
    let mut properties: Properties = [
        ("RequestID", Value::Long(request_id)),
        ("CertificateTemplate", text("WebServer")),
        ("EnrollmentFlags", Value::Long(0x20)),
        ("GeneralFlags", code(0x0002_0041)),
        ("PrivatekeyFlags", Value::Long(0x10)),
        ("NotBefore", date("2026-11-21T11:04:00Z")),
        ("NotAfter", date("2027-11-21T11:04:00Z")),
        ("SubjectKeyIdentifier", text("5c789c24cbcfea59f9c62a9d4e566e4a956fc74a")),
        ("RawPublicKey", binary(PUBLIC_KEY)),
        ("PublicKeyLength", Value::Long(256)),
        ("PublicKeyAlgorithm", text("1.2.840.10045.2.1")),
        // The parameters: the OID of P-256.
        (
            "RawPublicKeyAlgorithmParameters",
            binary(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        ),
        ("UPN", text("alice@example.com")),
        // Of the request, and read like the certificate's.
        ("RequesterCAAccess", Value::Long(0x200)),
        ("UserDN", text("CN=alice,CN=Users,DC=example,DC=com")),
        ("KeyArchived", Value::Long(0)),
    ]
    .into_iter()
    .collect();
    for (name, value) in name_parts() {
        // The whole name exists once the certificate is built, its parts since the policy.
        if built || !matches!(name, "DistinguishedName" | "RawName") {
            properties.push(name, value);
        }
    }
    if built {
        properties.push("RawCertificate", binary(CERTIFICATE));
        properties.push("SerialNumber", text(SERIAL));
        properties.push("CertificateHash", text("cbbd59d09d0f6d169cbd18338a7506e77ce84f73"));
    }
    properties
}

/// As they stand in the certificate; one more is known to the CA and not in the certificate.
fn extensions(built: bool, imported: bool) -> Extensions {
    const REQUEST: u32 = 0x1_0000;
    const POLICY: u32 = 0x2_0000;
    const SERVER: u32 = 0x4_0000;
    const IMPORTED: u32 = 0x6_0000;
    const ALTERNATIVE_NAMES: &[u8] = b"\x30\x1e\x82\x0fwww.example.com\x82\x0bexample.com";
    const KEY_ID: &[u8] = &[
        0x04, 0x14, 0x5c, 0x78, 0x9c, 0x24, 0xcb, 0xcf, 0xea, 0x59, 0xf9, 0xc6, 0x2a, 0x9d, 0x4e,
        0x56, 0x6e, 0x4a, 0x95, 0x6f, 0xc7, 0x4a,
    ];
    const ISSUER_KEY_ID: &[u8] = &[
        0x30, 0x16, 0x80, 0x14, 0xff, 0xe8, 0x49, 0x46, 0x28, 0x6d, 0xa4, 0xd9, 0x30, 0x03, 0xa5,
        0x14, 0xa9, 0xdb, 0xd2, 0xe2, 0x9a, 0x0e, 0x21, 0xbe,
    ];
    const SERVER_AUTHENTICATION: &[u8] =
        &[0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    // An IA5String.
    const CERTIFICATE_TYPE: &[u8] = b"\x16\x09WebServer";

    let mut extensions = Extensions::default();
    let mut push = |oid: &'static str, flags: u32, value: &[u8]| {
        let flags = if imported { flags & !Extension::ORIGIN_MASK | IMPORTED } else { flags };
        extensions.push(oid, Extension { flags, value: value.to_vec() });
    };
    push("2.5.29.17", REQUEST, ALTERNATIVE_NAMES);
    push("2.5.29.15", POLICY | Extension::CRITICAL, &[0x03, 0x02, 0x07, 0x80]);
    push("2.5.29.37", POLICY, SERVER_AUTHENTICATION);
    push("1.3.6.1.4.1.311.20.2", REQUEST | Extension::DISABLED, CERTIFICATE_TYPE);
    if built {
        push("2.5.29.19", SERVER | Extension::CRITICAL, &[0x30, 0x00]);
        push("2.5.29.14", SERVER, KEY_ID);
        push("2.5.29.35", SERVER, ISSUER_KEY_ID);
    }
    extensions
}

/// What is known of the CA. It has one certificate, so that each indexed name has the index 0.
pub(crate) fn system() -> Properties {
    [
        // Standalone root.
        ("CAType", Value::Long(3)),
        ("SanitizedCAName", text(CA_NAME)),
        ("SanitizedShortName", text(CA_NAME)),
        ("MachineDNSName", text("ca.example.com")),
        ("ModuleRegistryLocation", text("")),
        ("fUseDS", Value::Long(0)),
        ("fDeltaCRLsDisabled", Value::Long(0)),
        ("fServerUpgraded", Value::Long(0)),
        ("ConfigDN", text("CN=Configuration,DC=example,DC=com")),
        ("DomainDN", text("DC=example,DC=com")),
        ("LogLevel", Value::Long(3)),
        ("SessionCount", Value::Long(1)),
        ("TemplateChangeSequenceNumber", Value::Long(1)),
        ("VolatileMode", Value::Long(0)),
        ("SEAuditFilter", Value::Long(0x7f)),
        ("CertCount", Value::Long(1)),
        ("RawCACertificate", binary(CA)),
        ("RawCACertificate.0", binary(CA)),
        // CA_DISP_VALID.
        ("CertState.0", Value::Long(3)),
        ("CertSuffix.0", text("")),
        ("CRLIndex.0", Value::Long(0)),
        ("CRLState.0", Value::Long(3)),
        ("CRLSuffix.0", text("")),
        ("RawCRL", binary(CRL)),
        ("RawCRL.0", binary(CRL)),
        ("RawDeltaCRL", binary(DELTA_CRL)),
        ("RawDeltaCRL.0", binary(DELTA_CRL)),
    ]
    .into_iter()
    .collect()
}

/// What the event says beyond request and certificate.
fn detail(bit: u32) -> Properties {
    match bit {
        bit::DELIVERY_PARKED => [
            ("Module", text("directory")),
            ("Event", text("5")),
            ("Reason", text("no such object: ou=people,dc=example,dc=com")),
        ]
        .into_iter()
        .collect(),
        bit::RESTORED => [("Taken", text("2026-11-20T23:00:00Z")), ("LastEvent", text("15"))]
            .into_iter()
            .collect(),
        _ => Properties::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_is_one_event_of_each_kind() {
        let bits: BTreeSet<u32> = every_event().iter().map(|it| it.event).collect();
        assert_eq!(bits, bit::WORDS.iter().map(|(bit, _)| *bit).collect());
        assert_eq!(every_event().len(), bit::WORDS.len());
    }

    #[test]
    fn what_the_properties_say_stands_in_the_certificate() {
        let holds = |part: &[u8]| CERTIFICATE.windows(part.len()).any(|it| it == part);
        let event = event(bit::CERT_ISSUED, 5);
        assert!(holds(NAME) && holds(PUBLIC_KEY) && holds(b"\x4a\x1f\x2b\x3c\x4d\x5e\x6f\x70"));
        let in_it: Vec<&Extension> = event
            .extensions
            .iter()
            .map(|(_, it)| it)
            .filter(|it| it.flags & Extension::DISABLED == 0)
            .collect();
        assert!(in_it.iter().all(|it| holds(&it.value)));
        assert_eq!(in_it.len(), 6);
        assert!(CERTIFICATE.windows(13).any(|it| it == b"261121110400Z"));
    }

    #[test]
    fn an_event_about_another_request_is_one() {
        let other = about_request(&event(bit::CERT_ISSUED, 5), 70, 1009);
        assert_eq!((other.context, other.subject.as_str()), (1009, "request:1009"));
        assert_eq!(other.request.long("RequestID"), Ok(1009));
        assert_eq!(other.certificate.long("RequestID"), Ok(1009));
        assert!(other.id.ends_with("-70"));
    }
}
