//! Certificates made here, read by others; and others' read here.

use crate::openssl::{ED25519, OpenSsl, P256, P384, P521, RSA_2048};
use exeunt_types::{KeyAlgorithm, Serial, SignatureScheme};
use exeunt_x509::{
    CertificateFields, Extension, GeneralName, Issuer, KeyUsage, Name, ObjectIdentifier,
    assemble_certificate, build_tbs, encode_pem, key_identifier, lint_tbs, parse_certificate,
};

/// 2026-01-01T00:00:00Z and 2060-01-01T00:00:00Z, by `date --utc`.
const NOT_BEFORE: i64 = 1_767_225_600;
const NOT_AFTER: i64 = 2_840_140_800;

fn root_extensions(spki: &[u8]) -> Vec<Extension> {
    vec![
        Extension::basic_constraints(true, Some(1)),
        Extension::key_usage(KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN),
        Extension::subject_key_identifier(spki).unwrap(),
    ]
}

fn leaf_extensions(spki: &[u8], issuer: &Issuer) -> Vec<Extension> {
    let names = ["dns:www.example.org", "ip:192.0.2.1", "ip:2001:db8::1", "email:a@example.org"];
    let names = names.map(|it| GeneralName::parse(it).unwrap());
    vec![
        Extension::subject_key_identifier(spki).unwrap(),
        Extension::authority_key_identifier(issuer.key_identifier()),
        Extension::basic_constraints(false, None),
        Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE),
        Extension::extended_key_usage(&[ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1")]),
        Extension::subject_alternative_name(&names, false),
        Extension::crl_distribution_points(&[
            "http://a.example.org/a.crl".to_owned(),
            "http://b.example.org/a.crl".to_owned(),
        ]),
        Extension::authority_information_access(
            &["http://a.example.org/ca.crt".to_owned()],
            &["http://ocsp.example.org".to_owned()],
        ),
    ]
}

#[test]
fn a_chain_made_here_is_verified_by_openssl_and_gnutls() {
    for (kind, scheme, key) in [
        (P256, SignatureScheme::EcdsaSha256, KeyAlgorithm::EcdsaP256),
        (RSA_2048, SignatureScheme::RsaPkcs1Sha256, KeyAlgorithm::Rsa { bits: 2048 }),
        (ED25519, SignatureScheme::Ed25519, KeyAlgorithm::Ed25519),
    ] {
        let openssl = OpenSsl::new();
        let root_spki = openssl.key("root", kind);
        let name = Name::parse("CN=Example Root,O=Größe,C=DE").unwrap();
        let tbs = build_tbs(&CertificateFields {
            serial: Serial::from_random([1; 16]),
            scheme,
            issuer: &name,
            subject: &name,
            not_before: NOT_BEFORE,
            not_after: NOT_AFTER,
            spki_der: &root_spki,
            extensions: &root_extensions(&root_spki),
        })
        .unwrap();
        assert_eq!(lint_tbs(&tbs, None), Ok(()));
        let root = assemble_certificate(&tbs, scheme, &openssl.sign("root", &tbs));
        openssl.write("root.pem", encode_pem("CERTIFICATE", &root));
        let issuer = Issuer::from_certificate(&root).unwrap();
        assert_eq!((issuer.name(), issuer.key(), issuer.path_len()), (&name, key, Some(1)));
        assert_eq!((issuer.not_before(), issuer.not_after()), (NOT_BEFORE, NOT_AFTER));

        let spki = openssl.key("leaf", P256);
        let subject = Name::parse("CN=www.example.org").unwrap();
        let serial = Serial::from_random([0xa5; 16]);
        let extensions = leaf_extensions(&spki, &issuer);
        let tbs = build_tbs(&CertificateFields {
            serial,
            scheme,
            issuer: issuer.name(),
            subject: &subject,
            not_before: NOT_BEFORE,
            not_after: NOT_AFTER,
            spki_der: &spki,
            extensions: &extensions,
        })
        .unwrap();
        assert_eq!(lint_tbs(&tbs, Some(&issuer)), Ok(()));
        let leaf = assemble_certificate(&tbs, scheme, &openssl.sign("root", &tbs));
        openssl.write("leaf.pem", encode_pem("CERTIFICATE", &leaf));

        openssl.run(
            "verify -x509_strict -check_ss_sig -purpose sslserver -verify_hostname \
             www.example.org -CAfile root.pem leaf.pem",
            &[],
        );
        let gnutls = openssl.try_run("sh", "-c", &["command -v certtool"]);
        if gnutls.status.success() {
            let verify = "--verify --load-ca-certificate root.pem --infile leaf.pem";
            let output = openssl.try_run("certtool", verify, &[]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }

        let text =
            openssl.text("x509 -in leaf.pem -noout -text -certopt no_pubkey,no_sigdump", &[]);
        for expected in [
            "Version: 3 (0x2)",
            "65:a5:a5:a5:a5:a5:a5:a5:a5:a5:a5:a5:a5:a5:a5:a5",
            "Not Before: Jan  1 00:00:00 2026 GMT",
            "Not After : Jan  1 00:00:00 2060 GMT",
            "Subject: CN = www.example.org",
            "X509v3 Key Usage: critical\n                Digital Signature\n",
            "TLS Web Server Authentication",
            "DNS:www.example.org, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, \
             email:a@example.org",
            "URI:http://a.example.org/a.crl",
            "URI:http://b.example.org/a.crl",
            "OCSP - URI:http://ocsp.example.org",
            "CA Issuers - URI:http://a.example.org/ca.crt",
            "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        openssl.run("x509 -in leaf.pem -outform DER -out leaf.der", &[]);
        openssl.run("asn1parse -inform DER -in leaf.der", &[]);

        let read = parse_certificate(&leaf).unwrap();
        assert_eq!(read.der(), leaf);
        assert_eq!(read.tbs_der(), tbs);
        assert_eq!(
            (read.serial(), read.scheme(), read.key()),
            (serial, scheme, KeyAlgorithm::EcdsaP256)
        );
        assert_eq!((read.issuer(), read.subject()), (&name, &subject));
        assert_eq!((read.not_before(), read.not_after()), (NOT_BEFORE, NOT_AFTER));
        assert_eq!((read.spki_der(), read.extensions()), (&spki[..], &extensions[..]));
        assert_eq!(read.subject_alternative_names().len(), 4);
        assert_eq!(
            Issuer::from_certificate(&leaf).unwrap_err().to_string(),
            "certificate is not one of a certificate authority: its basic constraints say so"
        );
    }
}

#[test]
fn a_certificate_with_a_dummy_signature_is_read_by_openssl_for_every_scheme() {
    let openssl = OpenSsl::new();
    for (number, (kind, scheme, oid)) in [
        (P384, SignatureScheme::EcdsaSha384, "ecdsa-with-SHA384"),
        (P521, SignatureScheme::EcdsaSha512, "ecdsa-with-SHA512"),
        (RSA_2048, SignatureScheme::RsaPkcs1Sha384, "sha384WithRSAEncryption"),
        (RSA_2048, SignatureScheme::RsaPkcs1Sha512, "sha512WithRSAEncryption"),
        (RSA_2048, SignatureScheme::RsaPssSha256, "rsassaPss"),
        (RSA_2048, SignatureScheme::RsaPssSha512, "rsassaPss"),
        (P256, SignatureScheme::MlDsa44, "2.16.840.1.101.3.4.3.17"),
        (P256, SignatureScheme::MlDsa65, "2.16.840.1.101.3.4.3.18"),
        (P256, SignatureScheme::MlDsa87, "2.16.840.1.101.3.4.3.19"),
    ]
    .into_iter()
    .enumerate()
    {
        let spki = openssl.key("a", kind);
        let name = Name::parse("CN=a").unwrap();
        let tbs = build_tbs(&CertificateFields {
            serial: Serial::from_be_bytes(&[1]).unwrap(),
            scheme,
            issuer: &name,
            subject: &name,
            not_before: 0,
            not_after: 253_402_300_799,
            spki_der: &spki,
            extensions: &root_extensions(&spki),
        })
        .unwrap();
        let file = format!("{number}.der");
        openssl.write(&file, assemble_certificate(&tbs, scheme, &[0; 64]));
        let text = openssl.text("x509 -inform DER -noout -text -in", &[&file]);
        assert!(text.contains(&format!("Signature Algorithm: {oid}\n")), "{text}");
        assert!(text.contains("Not Before: Jan  1 00:00:00 1970 GMT"), "{text}");
        assert!(text.contains("Not After : Dec 31 23:59:59 9999 GMT"), "{text}");
    }
}

#[test]
fn key_identifiers_are_those_that_openssl_computes() {
    let openssl = OpenSsl::new();
    let spki = openssl.key("a", RSA_2048);
    openssl.run("req -x509 -new -key a.key -subj /CN=a -out a.pem", &[]);
    let text = openssl.text("x509 -in a.pem -noout -ext subjectKeyIdentifier", &[]);
    let expected = key_identifier(&spki).unwrap().map(|it| format!("{it:02X}")).join(":");
    assert!(text.contains(&expected), "{text}");
    assert_eq!(
        Extension::subject_key_identifier(&spki).unwrap().value[2..],
        key_identifier(&spki).unwrap()
    );
}

#[test]
fn authorities_made_by_openssl_are_read() {
    let openssl = OpenSsl::new();
    openssl.key("a", P256);
    let make = "req -x509 -new -key a.key -outform DER -days 10000 -subj /O=Acme/CN=Old";
    let der = openssl.run(make, &["-addext", "keyUsage=keyCertSign"]);
    let issuer = Issuer::from_certificate(&der).unwrap();
    assert_eq!(issuer.name().to_string(), "CN=Old,O=Acme");
    assert_eq!(issuer.path_len(), None);
    assert_eq!(issuer.key_identifier(), key_identifier(issuer.spki_der()).unwrap());
    assert_eq!(issuer.not_after() - issuer.not_before(), 10_000 * 86_400);
    assert_eq!(issuer.der(), der);
    let pem = encode_pem("CERTIFICATE", &der);
    assert_eq!(parse_certificate(pem.as_bytes()).unwrap().der(), der);

    // It issued its own certificate; a serial number with the top bit set is none of our business.
    assert!(issuer.is_self_issued());
    openssl.write("a.pem", pem);
    openssl.run("req -new -key a.key -subj /CN=Below -out b.csr", &[]);
    openssl.write("ca.cnf", "basicConstraints=CA:TRUE");
    let below =
        "x509 -req -in b.csr -CA a.pem -CAkey a.key -set_serial 0xfedcba9876543210 -outform DER";
    let below = Issuer::from_certificate(&openssl.run(below, &["-extfile", "ca.cnf"])).unwrap();
    assert_eq!(below.name().to_string(), "CN=Below");
    assert!(!below.is_self_issued());

    // Without a key usage it may sign; with one that says otherwise, not.
    assert!(Issuer::from_certificate(&openssl.run(make, &[])).is_ok());
    let no_sign = openssl.run(make, &["-addext", "keyUsage=digitalSignature"]);
    let err = Issuer::from_certificate(&no_sign).unwrap_err();
    assert_eq!(err.code(), "certificate-not-ca");
    let err = Issuer::from_certificate(&der[..der.len() - 1]).unwrap_err();
    assert_eq!(err.code(), "certificate-malformed");
}

#[test]
fn times_outside_what_certificates_can_write_are_refused() {
    let openssl = OpenSsl::new();
    let spki = openssl.key("a", P256);
    let name = Name::parse("CN=a").unwrap();
    for (not_before, not_after) in [(-1, 0), (0, 253_402_300_800), (0, i64::MAX), (i64::MIN, 0)] {
        let fields = CertificateFields {
            serial: Serial::from_random([1; 16]),
            scheme: SignatureScheme::EcdsaSha256,
            issuer: &name,
            subject: &name,
            not_before,
            not_after,
            spki_der: &spki,
            extensions: &[],
        };
        assert_eq!(build_tbs(&fields).unwrap_err().code(), "build-time");
        let too_many = vec![Extension::basic_constraints(true, None); 65];
        let fields =
            CertificateFields { not_before: 0, not_after: 1, extensions: &too_many, ..fields };
        assert_eq!(build_tbs(&fields).unwrap_err().code(), "build-too-many-extensions");
    }
}
