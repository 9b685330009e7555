//! Revocation lists made here, read by others; and others' read here.

use crate::openssl::{ED25519, OpenSsl, P256, RSA_2048, hex};
use exeunt_testkit::foreign;
use exeunt_types::{CrlNumber, RevocationReason as Reason, Serial, SignatureScheme, UnixMillis};
use exeunt_x509::{
    CRL_BYTES_MAX, CRL_PEM_LABEL, CaVersion, CertificateFields, CrlBuildError, CrlFields,
    CrlLengths, CrlScope, CrlWriter, Extension, Issuer, IssuingDistributionPoint, KeyUsage, Name,
    RevokedEntry, assemble_certificate, build_tbs, encode_pem, frame_crl, frame_tbs, parse_crl,
};
use proptest::prelude::*;

/// 2026-01-01T00:00:00Z, 2026-01-03T00:00:00Z and 2060-01-01T00:00:00Z, by `date --utc`.
pub const START: i64 = 1_767_225_600;
const NEXT_PUBLISH: i64 = 1_767_398_400;
pub const END: i64 = 2_840_140_800;

const MICROSOFT: &str = "1.3.6.1.4.1.311.21";

pub fn serial(octet: u8) -> Serial {
    Serial::from_be_bytes(&[0x60, octet]).unwrap()
}

fn entry(octet: u8, reason: Option<Reason>) -> RevokedEntry {
    RevokedEntry { serial: serial(octet), revoked: START + 60, reason, invalid_since: None }
}

fn uris(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| format!("http://a.example.org/{it}")).collect()
}

/// The entries, then what stands around them; gives the signed part.
fn write(fields: &CrlFields<'_>, entries: &[RevokedEntry]) -> Result<Vec<u8>, CrlBuildError> {
    let mut written = Vec::new();
    let mut writer = CrlWriter::new(&mut written, fields.base.is_some());
    entries.iter().try_for_each(|it| writer.entry(it))?;
    let lengths = writer.finish()?;
    let count = (u64::try_from(entries.len()).unwrap(), u64::try_from(written.len()).unwrap());
    assert_eq!((lengths.entries, lengths.octets), count);
    let frame = frame_tbs(fields, lengths)?;
    let tbs = [&frame.head[..], &written, &frame.tail].concat();
    assert_eq!(u64::try_from(tbs.len()).unwrap(), frame.length);
    Ok(tbs)
}

fn framed(tbs: &[u8], scheme: SignatureScheme, signature: &[u8]) -> Vec<u8> {
    let frame = frame_crl(tbs.len().try_into().unwrap(), scheme, signature);
    [&frame.head[..], tbs, &frame.tail].concat()
}

fn fields(issuer: &Name) -> CrlFields<'_> {
    CrlFields {
        scheme: SignatureScheme::EcdsaSha256,
        issuer,
        this_update: START,
        next_update: END,
        number: CrlNumber(7),
        base: None,
        authority_key_identifier: &[0xa5; 20],
        issuing_distribution_point: None,
        freshest_crl: &[],
        next_publish: None,
        ca_version: None,
        published_locations: &[],
    }
}

/// Lists with everything in them, signed by nobody.
pub fn samples() -> Vec<Vec<u8>> {
    let name = Name::parse("CN=Example Root").unwrap();
    let point =
        IssuingDistributionPoint { uris: uris(&["a.crl"]), scope: CrlScope::UserCertificates };
    let (freshest, published) = (uris(&["d.crl"]), uris(&["a.crl", "b.crl"]));
    let base = CrlFields {
        issuing_distribution_point: Some(&point),
        freshest_crl: &freshest,
        next_publish: Some(NEXT_PUBLISH),
        ca_version: Some(CaVersion { certificate_index: 2, key_index: 1 }),
        published_locations: &published,
        ..fields(&name)
    };
    let delta = CrlFields { base: Some(CrlNumber(6)), freshest_crl: &[], ..base };
    let mut entries = vec![entry(1, Some(Reason::KeyCompromise)), entry(2, None)];
    entries[0].invalid_since = Some(START);
    let base = write(&base, &entries[..1]).unwrap();
    let delta = write(&delta, &entries).unwrap();
    [base, delta].map(|tbs| framed(&tbs, SignatureScheme::EcdsaSha256, &[0; 8])).to_vec()
}

/// A root and two certificates below it with the serials 6001 and 6002, as PEM.
pub fn authority(openssl: &OpenSsl, kind: &str, scheme: SignatureScheme) -> (Issuer, Vec<String>) {
    let name = Name::parse("CN=Example Root,O=Größe,C=DE").unwrap();
    let spki = openssl.key("root", kind);
    let mut extensions = vec![
        Extension::subject_key_identifier(&spki).unwrap(),
        Extension::basic_constraints(true, None),
        Extension::key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN),
    ];
    let make = |serial, subject: &Name, extensions: &[Extension]| {
        let fields = CertificateFields {
            serial,
            scheme,
            issuer: &name,
            subject,
            not_before: START,
            not_after: END,
            spki_der: &spki,
            extensions,
        };
        let tbs = build_tbs(&fields).unwrap();
        assemble_certificate(&tbs, scheme, &openssl.sign("root", &tbs))
    };
    let root = make(Serial::from_random([1; 16]), &name, &extensions);
    let issuer = Issuer::from_certificate(&root).unwrap();
    extensions[1] = Extension::basic_constraints(false, None);
    extensions[2] = Extension::authority_key_identifier(issuer.key_identifier());
    let leaf = Name::parse("CN=leaf").unwrap();
    let mut certificates = vec![encode_pem("CERTIFICATE", &root)];
    for octet in [1, 2] {
        let der = make(serial(octet), &leaf, &extensions);
        certificates.push(encode_pem("CERTIFICATE", &der));
    }
    (issuer, certificates)
}

/// Signs, has four foreign tools look at it, and gives PEM.
#[track_caller]
fn sign_and_verify(
    openssl: &OpenSsl,
    root_pem: &str,
    tbs: &[u8],
    scheme: SignatureScheme,
) -> String {
    let der = framed(tbs, scheme, &openssl.sign("root", tbs));
    assert_eq!(parse_crl(&der).unwrap().tbs_der, tbs);
    let pem = encode_pem(CRL_PEM_LABEL, &der);
    openssl.write("root.pem", root_pem);
    openssl.write("list.pem", &pem);
    assert_eq!(foreign::openssl_crl_verify(&pem, root_pem), Ok(()));
    assert_eq!(foreign::python_crl_issued_by(&pem, root_pem), Ok(()));
    assert_eq!(foreign::pkilint(&pem), Ok(()));
    let verify = "--verify-crl --load-ca-certificate root.pem --infile list.pem";
    let gnutls = openssl.try_run("certtool", verify, &[]);
    let said = String::from_utf8_lossy(&gnutls.stdout);
    assert!(gnutls.status.success() && said.contains("Verified"), "{said}");
    pem
}

/// What OpenSSL thinks of a certificate on 2026-01-02, with those lists at hand.
fn judged(openssl: &OpenSsl, lists: &[&str], certificate: &str, more: &str) -> String {
    openssl.write("lists.pem", lists.concat());
    openssl.write("leaf.pem", certificate);
    let verify = format!(
        "verify -x509_strict -attime {} -crl_check {more} -CAfile root.pem -CRLfile lists.pem \
         leaf.pem",
        START + 86_400
    );
    let output = openssl.try_run("openssl", &verify, &[]);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_list_made_here_is_verified_and_believed_by_others() {
    for (kind, scheme) in [
        (P256, SignatureScheme::EcdsaSha256),
        (RSA_2048, SignatureScheme::RsaPkcs1Sha256),
        (ED25519, SignatureScheme::Ed25519),
    ] {
        let openssl = OpenSsl::new();
        let (issuer, certificates) = authority(&openssl, kind, scheme);
        let entries = [
            RevokedEntry {
                invalid_since: Some(START + 5),
                ..entry(2, Some(Reason::KeyCompromise))
            },
            entry(9, Some(Reason::Unspecified)),
            entry(8, Some(Reason::RemoveFromCrl)),
            entry(7, Some(Reason::CertificateHold)),
        ];
        let fields = CrlFields {
            scheme,
            authority_key_identifier: issuer.key_identifier(),
            ..fields(issuer.name())
        };
        let tbs = write(&fields, &entries).unwrap();
        let pem = sign_and_verify(&openssl, &certificates[0], &tbs, scheme);
        assert!(judged(&openssl, &[&pem], &certificates[1], "").contains("leaf.pem: OK"));
        let said = judged(&openssl, &[&pem], &certificates[2], "");
        assert!(said.contains("certificate revoked"), "{said}");

        let text = foreign::openssl_crl_text(&pem);
        for expected in [
            "Version 2 (0x1)",
            "Last Update: Jan  1 00:00:00 2026 GMT",
            "Next Update: Jan  1 00:00:00 2060 GMT",
            "X509v3 CRL Number: \n                7\n",
            "    Serial Number: 6002\n        Revocation Date: Jan  1 00:01:00 2026 GMT\n        \
             CRL entry extensions:\n            X509v3 CRL Reason Code: \n                \
             Key Compromise\n            Invalidity Date: \n                \
             Jan  1 00:00:05 2026 GMT\n",
            // Without a reason, and with one that must not be said here.
            "    Serial Number: 6009\n        Revocation Date: Jan  1 00:01:00 2026 GMT\n    Serial",
            "    Serial Number: 6008\n        Revocation Date: Jan  1 00:01:00 2026 GMT\n    Serial",
            "Certificate Hold",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }

        let empty =
            sign_and_verify(&openssl, &certificates[0], &write(&fields, &[]).unwrap(), scheme);
        assert!(foreign::openssl_crl_text(&empty).contains("No Revoked Certificates."));
    }
}

#[test]
fn a_delta_revokes_and_releases_what_its_base_said() {
    let openssl = OpenSsl::new();
    let scheme = SignatureScheme::EcdsaSha256;
    let (issuer, certificates) = authority(&openssl, P256, scheme);
    let freshest = uris(&["delta.crl"]);
    let base = CrlFields {
        authority_key_identifier: issuer.key_identifier(),
        freshest_crl: &freshest,
        ..fields(issuer.name())
    };
    let delta = CrlFields {
        number: CrlNumber(8),
        base: Some(CrlNumber(7)),
        freshest_crl: &[],
        this_update: START + 3600,
        ..base
    };
    let held = [entry(1, Some(Reason::CertificateHold))];
    let changes = [entry(1, None), entry(2, Some(Reason::Superseded))];
    let base_tbs = write(&base, &held).unwrap();
    let base_pem = sign_and_verify(&openssl, &certificates[0], &base_tbs, scheme);
    let delta_tbs = write(&delta, &changes).unwrap();
    let delta_pem = sign_and_verify(&openssl, &certificates[0], &delta_tbs, scheme);

    let alone = [&base_pem[..]];
    let both = [&base_pem[..], &delta_pem];
    let revoked = |lists: &[&str], more, which: usize| {
        let said = judged(&openssl, lists, &certificates[which], more);
        let revoked = said.contains("certificate revoked");
        assert_ne!(revoked, said.contains("leaf.pem: OK"), "{said}");
        revoked
    };
    assert!(revoked(&alone, "", 1) && !revoked(&alone, "", 2));
    let deltas = "-extended_crl -use_deltas";
    assert!(!revoked(&both, deltas, 1) && revoked(&both, deltas, 2));

    let text = foreign::openssl_crl_text(&delta_pem);
    let indicator = "X509v3 Delta CRL Indicator: critical\n                7\n";
    assert!(text.contains(indicator) && text.contains("Remove From CRL"), "{text}");
}

#[test]
fn extensions_are_what_others_read() {
    let [base, delta] = <[Vec<u8>; 2]>::try_from(samples()).unwrap();
    let text = foreign::openssl_crl_text(&encode_pem(CRL_PEM_LABEL, &base));
    for expected in [
        "X509v3 Issuing Distribution Point: critical\n                Full Name:\n                  \
         URI:http://a.example.org/a.crl",
        "Only User Certificates",
        "X509v3 Freshest CRL: \n                Full Name:\n                  \
         URI:http://a.example.org/d.crl",
        "X509v3 Authority Key Identifier: \n                A5:A5:A5:A5:",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }

    // The values of Microsoft's, written by hand: INTEGER 0x00010002, UTCTime, and two points with
    // a full name of one URI each.
    let point = |name: &str| {
        let uri = format!("http://a.example.org/{name}");
        assert_eq!(uri.len(), 0x1a);
        format!("3020a01ea01c861a{}", hex(uri.as_bytes()))
    };
    let openssl = OpenSsl::new();
    for list in [&base, &delta] {
        openssl.write("list.der", list);
        let parts = openssl.text("asn1parse -inform DER -in list.der", &[]);
        for (number, value) in [
            ("1", "0203010002".to_owned()),
            ("4", format!("170d{}", hex(b"260103000000Z"))),
            ("14", format!("3044{}{}", point("a.crl"), point("b.crl"))),
        ] {
            let dotted = format!("{MICROSOFT}.{number}");
            // Newer OpenSSL has a name for one of them.
            let names = [format!(":{dotted}\n"), ":Microsoft CA Version\n".to_owned()];
            let at = names.iter().find_map(|it| parts.find(&it[..]).map(|at| at + it.len()));
            let next = parts[at.unwrap_or_else(|| panic!("{dotted}: {parts}"))..].lines().next();
            let next = next.unwrap().to_lowercase();
            assert!(next.ends_with(&format!("[hex dump]:{value}")), "{dotted}: {next}");
        }
    }

    let crl = parse_crl(&base).unwrap();
    assert_eq!((crl.number, crl.base, crl.entry_count), (CrlNumber(7), None, 1));
    assert_eq!((crl.this_update, crl.next_update), (START, END));
    assert_eq!(crl.authority_key_identifier, Some(&[0xa5; 20][..]));
    assert_eq!(crl.next_publish, Some(NEXT_PUBLISH));
    assert_eq!(crl.ca_version, Some(CaVersion { certificate_index: 2, key_index: 1 }));
    assert_eq!(crl.freshest_crl, uris(&["d.crl"]));
    assert_eq!(crl.published_locations, uris(&["a.crl", "b.crl"]));
    let point = crl.issuing_distribution_point.unwrap();
    assert_eq!((point.uris, point.scope), (uris(&["a.crl"]), CrlScope::UserCertificates));
    let crl = parse_crl(&delta).unwrap();
    assert_eq!((crl.base, crl.entry_count), (Some(CrlNumber(6)), 2));
    assert_eq!(crl.entries().nth(1), Some(entry(2, None)));
}

#[test]
fn a_long_list_is_as_good_as_a_short_one() {
    let name = Name::parse("CN=Example Root").unwrap();
    let entries: Vec<RevokedEntry> = (0..70_000_u32)
        .map(|number| {
            let serial = Serial::from_be_bytes(&[&[0x21][..], &number.to_be_bytes()].concat());
            RevokedEntry { serial: serial.unwrap(), ..entry(1, Some(Reason::Superseded)) }
        })
        .collect();
    let der = framed(&write(&fields(&name), &entries).unwrap(), fields(&name).scheme, &[0; 8]);
    assert_eq!(parse_crl(&der).unwrap().entry_count, 70_000);
    let openssl = OpenSsl::new();
    openssl.write("list.der", &der);
    let text = openssl.text("crl -inform DER -in list.der -noout -text", &[]);
    assert_eq!(text.matches("Serial Number: ").count(), 70_000);
    assert!(text.contains("Serial Number: 210001116F\n"));
}

/// A list of `openssl ca` with number 1000 and three entries.
pub fn made_by_openssl(openssl: &OpenSsl) -> Vec<u8> {
    openssl.key("a", P256);
    let make = "req -x509 -new -key a.key -out a.pem -days 10000 -subj /O=Acme/CN=Old -addext";
    openssl.run(make, &["keyUsage=critical,keyCertSign,cRLSign"]);
    openssl.write(
        "ca.cnf",
        "[ca]\ndefault_ca=it\n[it]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n\
         default_crl_days=5\ncrl_extensions=ext\n\
         [ext]\nauthorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@point\n\
         freshestCRL=URI:http://a.example.org/d.crl\n\
         [point]\nfullname=URI:http://a.example.org/a.crl\nonlyuser=TRUE\n",
    );
    openssl.write(
        "index",
        "R\t300101000000Z\t260101000000Z\t01\tunknown\t/CN=a\n\
         R\t300101000000Z\t260101000100Z,keyCompromise\t7FEE\tunknown\t/CN=b\n\
         R\t300101000000Z\t260101000200Z,keyTime,20260101000000Z\t03\tunknown\t/CN=c\n",
    );
    openssl.write("number", "03E8");
    openssl.run("ca -gencrl -config ca.cnf -cert a.pem -keyfile a.key -out list.pem", &[]);
    openssl.run("crl -in list.pem -outform DER", &[])
}

#[test]
fn a_list_made_by_openssl_is_read() {
    let der = made_by_openssl(&OpenSsl::new());
    let crl = parse_crl(&der).unwrap();
    assert_eq!(crl.issuer.to_string(), "CN=Old,O=Acme");
    assert_eq!((crl.number, crl.base), (CrlNumber(1000), None));
    assert_eq!(crl.next_update - crl.this_update, 5 * 86_400);
    assert_eq!(crl.freshest_crl, uris(&["d.crl"]));
    let point = crl.issuing_distribution_point.as_ref().unwrap();
    assert_eq!((&point.uris, point.scope), (&uris(&["a.crl"]), CrlScope::UserCertificates));
    let expected = [
        (&[1][..], START, Some(Reason::Unspecified), None),
        (&[0x7f, 0xee], START + 60, Some(Reason::KeyCompromise), None),
        (&[3], START + 120, Some(Reason::KeyCompromise), Some(START)),
    ];
    let expected = expected.map(|(serial, revoked, reason, invalid_since)| RevokedEntry {
        serial: Serial::from_be_bytes(serial).unwrap(),
        revoked,
        reason,
        invalid_since,
    });
    let mut read: Vec<RevokedEntry> = crl.entries().collect();
    // OpenSSL sorts by serial number.
    read.sort_by_key(|it| it.revoked);
    assert_eq!(read, expected);
    assert_eq!(crl.entry_count, 3);
}

fn any_entry() -> impl Strategy<Value = RevokedEntry> {
    let serial = prop::collection::vec(any::<u8>(), 0..20).prop_map(|mut octets| {
        octets.insert(0, 0x21);
        Serial::from_be_bytes(&octets).unwrap()
    });
    let time = 0..=253_402_300_799_i64;
    let mut reasons: Vec<_> = Reason::ALL.map(Some).to_vec();
    reasons.retain(|it| *it != Some(Reason::RemoveFromCrl));
    reasons.push(None);
    let reason = prop::sample::select(reasons);
    (serial, time.clone(), reason, prop::option::of(time)).prop_map(
        |(serial, revoked, reason, invalid_since)| RevokedEntry {
            serial,
            revoked,
            reason,
            invalid_since,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(
        entries in prop::collection::vec(any_entry(), 0..40),
        number in any::<u64>(),
        base in any::<u64>(),
        version in any::<(u16, u16)>(),
        next_publish in prop::option::of(0..=253_402_300_799_i64),
    ) {
        let name = Name::parse("CN=Example Root").unwrap();
        let (number, base) = (CrlNumber(number.max(base)), CrlNumber(number.min(base)));
        let ca_version = CaVersion { certificate_index: version.0, key_index: version.1 };
        let fields = CrlFields {
            number,
            base: Some(base),
            ca_version: Some(ca_version),
            next_publish,
            ..fields(&name)
        };
        let der = framed(&write(&fields, &entries).unwrap(), fields.scheme, &[1; 70]);
        let crl = parse_crl(&der).unwrap();
        prop_assert_eq!((crl.number, crl.base), (number, Some(base)));
        prop_assert_eq!((crl.ca_version, crl.next_publish), (Some(ca_version), next_publish));
        prop_assert_eq!((crl.issuer == name, crl.signature), (true, &[1; 70][..]));
        prop_assert_eq!(crl.entries().collect::<Vec<_>>(), entries);
    }
}

#[test]
fn a_list_that_nobody_could_use_is_not_begun() {
    let name = Name::parse("CN=Example Root").unwrap();
    let nobody = Name::from_der(&[0x30, 0]).unwrap();
    let nothing = IssuingDistributionPoint::default();
    let blank = ["http://a b".to_owned()];
    let many = vec!["http://a".to_owned(); 33];
    let good = fields(&name);
    assert!(write(&good, &[]).is_ok());
    for (bad, expected) in [
        (CrlFields { issuer: &nobody, ..good }, "issuer is empty"),
        (CrlFields { next_update: START, ..good }, "next update is not after this update"),
        (CrlFields { base: Some(CrlNumber(8)), ..good }, "base of a delta is newer than the delta"),
        (CrlFields { authority_key_identifier: &[], ..good }, "authority key identifier is empty"),
        (
            CrlFields { issuing_distribution_point: Some(&nothing), ..good },
            "issuing distribution point is empty",
        ),
        (
            CrlFields { base: Some(CrlNumber(1)), freshest_crl: &many[..1], ..good },
            "a delta names a fresher list",
        ),
        (CrlFields { freshest_crl: &blank, ..good }, "an extension has a URI that is none"),
        (CrlFields { published_locations: &many, ..good }, "an extension has more than 32 URIs"),
    ] {
        let err = frame_tbs(&bad, CrlLengths::default()).unwrap_err();
        assert_eq!(err.to_string(), format!("revocation list cannot be made: {expected}"));
        assert_eq!(err.code(), "crl-build-invalid");
    }
    for bad in [
        CrlFields { this_update: -1, ..good },
        CrlFields { next_update: i64::MAX, ..good },
        CrlFields { next_publish: Some(UnixMillis(i64::MIN).unix_seconds()), ..good },
    ] {
        assert_eq!(write(&bad, &[]).unwrap_err().code(), "crl-build-time");
    }
    let revoked = RevokedEntry { revoked: i64::MAX, ..entry(1, Some(Reason::Superseded)) };
    let known = RevokedEntry { invalid_since: Some(-1), revoked: START, ..revoked };
    for bad in [revoked, known] {
        assert_eq!(write(&good, &[bad]).unwrap_err().code(), "crl-build-time");
    }
    // A GiB has room for entries, but not for what stands around them.
    let lengths = CrlLengths { entries: 1, octets: CRL_BYTES_MAX };
    assert_eq!(frame_tbs(&good, lengths).unwrap_err().code(), "crl-build-too-large");
}

/// A list with the only such octets in it replaced by others.
fn changed(list: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let found: Vec<usize> = (0..list.len()).filter(|&at| list[at..].starts_with(from)).collect();
    let [at] = found[..] else { panic!("{from:?} is in there {} times", found.len()) };
    [&list[..at], to, &list[at + from.len()..]].concat()
}

#[test]
fn a_delta_whose_base_is_newer_than_itself_is_not_read() {
    let delta = &samples()[1];
    let base = [0x55, 0x1d, 27, 1, 1, 0xff, 4, 3, 2, 1, 6];
    let of = |number| [&base[..10], &[number]].concat();
    assert_eq!(parse_crl(&changed(delta, &base, &of(7))).unwrap().base, Some(CrlNumber(7)));
    let newer = changed(delta, &base, &of(8));
    let err = parse_crl(&newer).unwrap_err();
    assert_eq!(err.code(), "crl-malformed");
    let source = std::error::Error::source(&err).unwrap().to_string();
    assert_eq!(source, "base of a delta is newer than the delta");
}

#[test]
fn a_list_is_read_by_the_letter() {
    let said = |from: &[u8], to: &[u8]| {
        let err = parse_crl(&changed(&samples()[0], from, to)).map(|it| it.number).unwrap_err();
        let source = std::error::Error::source(&err).map(ToString::to_string);
        source.unwrap_or_else(|| err.to_string())
    };
    // Version, and the algorithm that follows it.
    let version = [2, 1, 1, 0x30, 10];
    assert_eq!(said(&version, &[2, 1, 0, 0x30, 10]), "list is not of version 2");
    // The algorithm behind the signed part, and the signature.
    let outer = [4, 3, 2, 3, 9, 0];
    assert_eq!(said(&outer, &[4, 3, 3, 3, 9, 0]), "the two signature algorithms differ");
    // Times: one before 2050 that is no UTCTime, a minute 60, a zone.
    let next = b"20600101000000Z";
    assert_eq!(said(next, b"20250101000000Z"), "next update is missing or invalid");
    assert_eq!(said(next, b"20600101006000Z"), "next update is missing or invalid");
    assert_eq!(said(b"260103000000Z", b"260103000000X"), "time does not end in Z");
    // A number that is negative, missing, there twice; an identifier that nobody knows.
    let number = [0x55, 0x1d, 20, 4, 3, 2, 1, 7];
    let not_a_number = "number of the list is negative or longer than 20 octets";
    assert_eq!(said(&number, &[0x55, 0x1d, 20, 4, 3, 2, 1, 0x87]), not_a_number);
    assert_eq!(said(&number, &[0x55, 0x1d, 99, 4, 3, 2, 1, 7]), "list has no number");
    assert_eq!(said(&number, &[0x55, 0x1d, 35, 4, 3, 2, 1, 7]), "an extension occurs twice");
    let not_der = "integer is not in its shortest form";
    assert_eq!(said(&[2, 3, 1, 0, 2], &[2, 3, 0, 0, 2]), not_der);
    // Which certificates it is about: critical, and nothing that is not known here.
    let point = [0x55, 0x1d, 28, 1, 1, 0xff];
    let default = "an extension encodes the default of not being critical";
    assert_eq!(said(&point, &[0x55, 0x1d, 28, 1, 1, 0]), default);
    let critical = "critical extension of the revocation list is not supported";
    assert_eq!(said(&point, &[0x55, 0x1d, 98, 1, 1, 0xff]), critical);
    let only_users = [0x81, 1, 0xff];
    let restriction =
        "issuing distribution point's restriction of the revocation list is not supported";
    assert_eq!(said(&only_users, &[0x84, 1, 0xff]), restriction);
    let flag = "a flag of the issuing distribution point is not TRUE";
    assert_eq!(said(&only_users, &[0x81, 1, 0]), flag);
    // In an entry: a serial number below zero, an extension twice.
    let serial = [2, 2, 0x60, 1];
    assert_eq!(said(&serial, &[2, 2, 0xe0, 1]), "serial number is negative");
    let date = [0x55, 0x1d, 24, 4, 17];
    let reason = "reason is not an enumerated number";
    assert_eq!(said(&date, &[0x55, 0x1d, 21, 4, 17]), reason);
}

#[test]
fn a_release_stands_in_no_complete_list() {
    let name = Name::parse("CN=Example Root").unwrap();
    let err = write(&fields(&name), &[entry(1, None)]).unwrap_err();
    assert_eq!(err.to_string(), "release of 6001 is in a complete revocation list");
    assert_eq!(err.code(), "crl-build-release-in-base");
    // Whoever writes it nevertheless is not believed: a delta's indicator is turned into another
    // extension, which makes it a complete list.
    let delta = &samples()[1];
    let indicator = [6, 3, 0x55, 0x1d, 27, 1, 1, 0xff];
    let at = delta.windows(8).position(|it| it == indicator).unwrap();
    let mut broken = delta.clone();
    broken[at + 4] = 99;
    assert_eq!(parse_crl(&broken).unwrap_err().code(), "crl-unsupported");
    let reason = [6, 3, 0x55, 0x1d, 21, 4, 3, 10, 1, 1];
    let at = samples()[0].windows(10).position(|it| it == reason).unwrap();
    let mut broken = samples()[0].clone();
    broken[at + 9] = 8;
    assert_eq!(parse_crl(&broken).unwrap_err().code(), "crl-malformed");
    broken[at + 9] = 7;
    assert_eq!(parse_crl(&broken).unwrap_err().code(), "crl-unsupported");
}

#[test]
fn a_full_disk_is_told() {
    let mut room = [0_u8; 16];
    let mut writer = CrlWriter::new(&mut room[..], false);
    writer.entry(&entry(1, Some(Reason::KeyCompromise))).unwrap();
    assert_eq!(writer.finish().unwrap_err().code(), "crl-build-write");
}
