//! Requests made by OpenSSL, and ours read by it.

use crate::openssl::{ED25519, OpenSsl, P256, P384, P521, RSA_2048, hex};
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use exeunt_x509::{
    Extension, GeneralName, KeyUsage, Name, REQUEST_BYTES_MAX, REQUEST_PEM_BYTES_MAX,
    assemble_request, build_request_info, encode_pem, parse_request,
};

const SUBJECT: [&str; 2] = ["-subj", "/C=DE/O=Müller & Söhne, KG/CN=www.example.org"];
const SAN: &str = "subjectAltName=DNS:www.example.org,DNS:*.example.org,IP:192.0.2.1,IP:2001:db8::1,\
     email:a@example.org,URI:https://example.org/a,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:u@x";

#[test]
fn a_request_of_every_kind_of_key_is_read() {
    use {KeyAlgorithm as Key, SignatureScheme as Scheme};
    for (kind, digest, key, scheme) in [
        (P256, "-sha256", Key::EcdsaP256, Scheme::EcdsaSha256),
        (P256, "-sha384", Key::EcdsaP256, Scheme::EcdsaSha384),
        (P384, "-sha384", Key::EcdsaP384, Scheme::EcdsaSha384),
        (P521, "-sha512", Key::EcdsaP521, Scheme::EcdsaSha512),
        (RSA_2048, "-sha256", Key::Rsa { bits: 2048 }, Scheme::RsaPkcs1Sha256),
        (RSA_2048, "-sha512", Key::Rsa { bits: 2048 }, Scheme::RsaPkcs1Sha512),
        (
            RSA_2048,
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
            Key::Rsa { bits: 2048 },
            Scheme::RsaPssSha256,
        ),
        (
            RSA_2048,
            "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
            Key::Rsa { bits: 2048 },
            Scheme::RsaPssSha384,
        ),
        (
            RSA_2048,
            "-sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
            Key::Rsa { bits: 2048 },
            Scheme::RsaPssSha512,
        ),
        (ED25519, "", Key::Ed25519, Scheme::Ed25519),
    ] {
        let openssl = OpenSsl::new();
        let spki = openssl.key("a", kind);
        let make = format!("req -new -utf8 -key a.key {digest}");
        let more =
            [&SUBJECT[..], &["-addext", SAN, "-addext", "keyUsage=digitalSignature"]].concat();
        let pem = openssl.run(&make, &more);
        openssl.write("a.csr", &pem);
        let der = openssl.run("req -in a.csr -outform DER", &[]);

        let request = parse_request(&pem).unwrap();
        assert_eq!(parse_request(&der).unwrap(), request);
        assert_eq!(request.der(), der);
        assert_eq!(request.key(), key);
        assert_eq!(request.scheme(), scheme);
        assert_eq!(request.spki_der(), spki);
        assert_eq!(request.subject().to_string(), r"CN=www.example.org,O=Müller & Söhne\, KG,C=DE");
        let names: Vec<_> =
            request.subject_alternative_names().iter().map(ToString::to_string).collect();
        assert_eq!(
            names[..6],
            [
                "dns:www.example.org",
                "dns:*.example.org",
                "ip:192.0.2.1",
                "ip:2001:db8::1",
                "email:a@example.org",
                "uri:https://example.org/a"
            ]
        );
        assert!(matches!(
            request.subject_alternative_names()[6],
            GeneralName::Other { tag: 0, .. }
        ));
        let oids: Vec<_> = request.extensions().iter().map(|it| it.oid.to_string()).collect();
        assert_eq!(oids, ["2.5.29.17", "2.5.29.15"]);
        assert!(request.enrollment_attributes().is_empty());

        // The slices are what the signature is about: OpenSSL verifies one against the other.
        openssl.write("info", request.info_der());
        openssl.write("signature", request.signature());
        let digest = digest.replacen('-', "-digest ", 1).replace("-sigopt", "-pkeyopt");
        let verify =
            format!("pkeyutl -verify -rawin {digest} -inkey a.key -in info -sigfile signature");
        openssl.run(&verify, &[]);
    }
}

#[test]
fn a_request_from_another_shop_is_read() {
    let openssl = OpenSsl::new();
    openssl.key("a", P256);
    let pem = openssl.text("req -new -key a.key -subj /CN=a", &[]);
    // What Windows writes around it.
    let windows =
        pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST").replace('\n', "\r\n");
    let with_text = openssl.text("req -new -key a.key -subj /CN=a -text", &[]);
    for pem in [&pem, &windows, &with_text] {
        let request = parse_request(pem.as_bytes()).unwrap();
        assert_eq!(request.subject().to_string(), "CN=a");
        assert!(request.extensions().is_empty());
    }
    let empty = openssl.run("req -new -key a.key -subj /", &[]);
    assert!(parse_request(&empty).unwrap().subject().is_empty());
    // A challenge password is an attribute that nobody here reads.
    openssl.write(
        "challenge.cnf",
        "[req]\nprompt=no\ndistinguished_name=dn\nattributes=at\n[dn]\nCN=a\n[at]\nchallengePassword=secret",
    );
    let challenge = openssl.run("req -new -key a.key -config challenge.cnf", &[]);
    assert!(parse_request(&challenge).is_ok());
}

/// A request info with an empty subject and these attributes.
fn info_with_attributes(openssl: &OpenSsl, attributes: &str) -> Vec<u8> {
    info(openssl, "", attributes)
}

/// A request info made by `openssl asn1parse -genconf`: contents of the sections for the subject,
/// and the section of attributes with all that it needs.
fn info(openssl: &OpenSsl, subject: &str, attributes: &str) -> Vec<u8> {
    let spki = openssl.key("a", P256);
    let point = hex(&spki[spki.len() - 65..]);
    openssl.write(
        "info.cnf",
        format!(
            "asn1=SEQUENCE:info
             [info]
             version=INTEGER:0
             subject=SEQUENCE:subject
             spki=SEQUENCE:spki
             attributes=IMPLICIT:0,SET:attributes
             [subject]
             {subject}
             [spki]
             algorithm=SEQUENCE:algorithm
             key=FORMAT:HEX,BITSTRING:{point}
             [algorithm]
             type=OID:id-ecPublicKey
             curve=OID:prime256v1
             {attributes}"
        ),
    );
    openssl.run("asn1parse -genconf info.cnf -noout -out info.der", &[]);
    std::fs::read(openssl.path("info.der")).unwrap()
}

fn signed(openssl: &OpenSsl, info: &[u8]) -> Vec<u8> {
    let request = assemble_request(info, SignatureScheme::EcdsaSha256, &openssl.sign("a", info));
    openssl.write("a.csr", &request);
    openssl.run("req -verify -noout -inform DER -in a.csr", &[]);
    request
}

#[test]
fn enrollment_attributes_and_both_kinds_of_extension_requests_are_read() {
    let openssl = OpenSsl::new();
    let info = info_with_attributes(
        &openssl,
        "[attributes]
         first=SEQUENCE:template
         second=SEQUENCE:language
         third=SEQUENCE:microsoft
         fourth=SEQUENCE:standard
         [template]
         type=OID:1.3.6.1.4.1.311.13.2.1
         values=SET:template_values
         [template_values]
         pair=SEQUENCE:template_pair
         [template_pair]
         name=FORMAT:UTF8,BMP:CertificateTemplate
         value=FORMAT:UTF8,BMP:WebServer
         [language]
         type=OID:1.3.6.1.4.1.311.13.2.1
         values=SET:language_values
         [language_values]
         pair=SEQUENCE:language_pair
         [language_pair]
         name=FORMAT:UTF8,BMP:Département
         value=FORMAT:UTF8,BMP:Größe €
         [microsoft]
         type=OID:1.3.6.1.4.1.311.2.1.14
         values=SET:microsoft_values
         [microsoft_values]
         extensions=SEQUENCE:microsoft_extensions
         [microsoft_extensions]
         usage=SEQUENCE:usage
         [usage]
         type=OID:keyUsage
         critical=BOOLEAN:TRUE
         value=FORMAT:HEX,OCTETSTRING:03020780
         [standard]
         type=OID:1.2.840.113549.1.9.14
         values=SET:standard_values
         [standard_values]
         extensions=SEQUENCE:standard_extensions
         [standard_extensions]
         names=SEQUENCE:names
         [names]
         type=OID:subjectAltName
         value=OCTWRAP,SEQUENCE:name_list
         [name_list]
         a=IMPLICIT:2,IA5STRING:a.example.org",
    );
    let request = parse_request(&signed(&openssl, &info)).unwrap();
    assert_eq!(request.info_der(), info);
    let attributes: Vec<_> =
        request.enrollment_attributes().iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert!(attributes.contains(&("CertificateTemplate", "WebServer")), "{attributes:?}");
    assert!(attributes.contains(&("Département", "Größe €")), "{attributes:?}");
    assert_eq!(attributes.len(), 2);
    assert_eq!(request.subject_alternative_names(), [GeneralName::Dns("a.example.org".to_owned())]);
    assert!(request.extensions().contains(&Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE)));
    assert_eq!(request.extensions().len(), 2);
}

/// Sections for attributes of these types, each with one value: a sequence of those extensions.
fn extension_request(attributes: &[(&str, &[&str])]) -> String {
    let mut sections = vec!["[attributes]".to_owned()];
    sections.extend((0..attributes.len()).map(|at| format!("a{at}=SEQUENCE:at{at}")));
    for (at, (oid, extensions)) in attributes.iter().enumerate() {
        sections.push(format!("[at{at}]\ntype=OID:{oid}\nvalues=SET:v{at}"));
        sections.push(format!("[v{at}]\nx=SEQUENCE:x{at}\n[x{at}]"));
        sections.extend((0..extensions.len()).map(|it| format!("e{it}=SEQUENCE:e{at}_{it}")));
        let bodies = extensions.iter().enumerate();
        sections.extend(bodies.map(|(it, body)| format!("[e{at}_{it}]\n{body}")));
    }
    sections.join("\n")
}

#[test]
fn what_is_asked_for_twice_or_malformed_is_refused() {
    const STANDARD: &str = "1.2.840.113549.1.9.14";
    const MICROSOFT: &str = "1.3.6.1.4.1.311.2.1.14";
    const USAGE: &str = "type=OID:keyUsage\nvalue=FORMAT:HEX,OCTETSTRING:03020780";
    const CLIENT: &str = "type=OID:1.2.3.4\nvalue=FORMAT:HEX,OCTETSTRING:0500";
    const GARBAGE: &str = "type=OID:1.2.3.4\nvalue=FORMAT:HEX,OCTETSTRING:050000";
    const DEFAULT: &str =
        "type=OID:1.2.3.4\ncritical=BOOLEAN:FALSE\nvalue=FORMAT:HEX,OCTETSTRING:0500";
    const SAN_EMPTY: &str = "type=OID:subjectAltName\nvalue=FORMAT:HEX,OCTETSTRING:3000";
    const SAN_ADDRESS: &str =
        "type=OID:subjectAltName\nvalue=FORMAT:HEX,OCTETSTRING:30098207312e322e332e34";
    const NO_VALUE: &str = "type=OID:1.2.3.4";
    let many =
        [CLIENT; 65].iter().enumerate().map(|(number, it)| it.replace(".4", &format!(".{number}")));
    let many: Vec<String> = many.collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (attributes, expected) in [
        (&[(STANDARD, &[USAGE, CLIENT][..])][..], None),
        (&[(STANDARD, &[USAGE]), (MICROSOFT, &[CLIENT])], None),
        (&[(STANDARD, &[USAGE, USAGE])], Some("request-extension-duplicate")),
        (&[(STANDARD, &[USAGE]), (MICROSOFT, &[USAGE])], Some("request-extension-duplicate")),
        (&[(STANDARD, &[USAGE]), (STANDARD, &[CLIENT])], Some("request-attribute-duplicate")),
        (&[(STANDARD, &[GARBAGE])], Some("request-extension-invalid")),
        (&[(STANDARD, &[DEFAULT])], Some("request-extension-invalid")),
        (&[(STANDARD, &[NO_VALUE])], Some("request-malformed")),
        (&[(STANDARD, &[SAN_EMPTY])], Some("request-san-invalid")),
        (&[(STANDARD, &[SAN_ADDRESS])], Some("request-san-invalid")),
        (&[("1.3.6.1.4.1.311.13.2.1", &[USAGE])], Some("request-attribute-invalid")),
        (&[(STANDARD, &many[..64])], None),
        (&[(STANDARD, &many[..])], Some("request-too-many")),
    ] {
        let openssl = OpenSsl::new();
        let info = info_with_attributes(&openssl, &extension_request(attributes));
        let result = parse_request(&signed(&openssl, &info));
        assert_eq!(result.err().map(|it| it.code()), expected, "{attributes:?}");
    }
}

#[test]
fn a_weak_or_foreign_key_or_signature_is_refused_with_its_reason() {
    for (kind, options, code, message) in [
        (
            "-algorithm RSA -pkeyopt rsa_keygen_bits:1024",
            "-sha256",
            "request-key-too-small",
            "RSA key has 1024 bits, at least 2048 needed",
        ),
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
            "-sha256",
            "request-key-unsupported",
            "public keys of type 1.3.132.0.10 are not supported",
        ),
        (
            "-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit",
            "-sha256",
            "request-key-invalid",
            "public key is malformed: EC key does not name its curve",
        ),
        (
            "-algorithm ED448",
            "",
            "request-key-unsupported",
            "public keys of type 1.3.101.113 are not supported",
        ),
        (
            RSA_2048,
            "-sha1",
            "request-signature-unsupported",
            "signature algorithm of the request is not accepted: SHA-1 is broken, use SHA-256 or longer",
        ),
        (
            P256,
            "-sha1",
            "request-signature-unsupported",
            "signature algorithm of the request is not accepted: SHA-1 is broken, use SHA-256 or longer",
        ),
        (
            RSA_2048,
            "-sha256 -sigopt rsa_padding_mode:pss",
            "request-signature-unsupported",
            "signature algorithm of the request is not accepted: RSA-PSS uses a salt that is not \
             as long as its hash; with openssl, add -sigopt rsa_pss_saltlen:digest",
        ),
        (
            RSA_2048,
            "-sha1 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
            "request-signature-unsupported",
            "signature algorithm of the request is not accepted: RSA-PSS uses SHA-1, which is \
             broken; use SHA-256 or longer",
        ),
    ] {
        let openssl = OpenSsl::new();
        openssl.key("a", kind);
        let pem = openssl.run(&format!("req -new -key a.key {options} -subj /CN=a"), &[]);
        let err = parse_request(&pem).unwrap_err();
        assert_eq!((err.code(), err.to_string().as_str()), (code, message));
    }
}

#[test]
fn a_subject_that_deceives_or_breaks_its_bounds_is_refused() {
    for (kind, tag, text, message) in [
        ("commonName", 12, "a\u{202e}b", "CN contains the forbidden character U+202E"),
        ("commonName", 12, "a.org\0.evil.org", "CN contains the forbidden character U+0000"),
        ("commonName", 20, "a\x1bb", "CN contains the forbidden character U+001B"),
        ("commonName", 19, "a@b", "CN is not a valid string of a type that it may have"),
        ("commonName", 22, "a", "CN is not a valid string of a type that it may have"),
        ("commonName", 12, &"x".repeat(65), "CN has 65 characters, 1 to 64 allowed"),
        ("countryName", 19, "DEU", "C has 3 characters, 2 to 2 allowed"),
        ("countryName", 12, "DE", "C is not a valid string of a type that it may have"),
        ("emailAddress", 12, "a@a.org", "E is not a valid string of a type that it may have"),
    ] {
        let openssl = OpenSsl::new();
        let text = hex(text.as_bytes());
        let subject = format!(
            "rdn=SET:rdn\n[rdn]\na=SEQUENCE:a\n[a]\nt=OID:{kind}\nv=IMPLICIT:{tag}U,FORMAT:HEX,OCTETSTRING:{text}"
        );
        let info = info(&openssl, &subject, "[attributes]");
        // OpenSSL need not like it either, so its verification is not asked.
        let signature = openssl.sign("a", &info);
        let request = assemble_request(&info, SignatureScheme::EcdsaSha256, &signature);
        let err = parse_request(&request).unwrap_err();
        let expected = format!("subject of the request is not accepted: {message}");
        assert_eq!((err.code(), err.to_string()), ("request-name-invalid", expected));
    }
}

#[test]
fn size_and_nesting_are_bounded() {
    let code = |input: &[u8]| parse_request(input).unwrap_err().code();
    assert_eq!(code(&vec![0x30; REQUEST_BYTES_MAX + 1]), "request-too-large");
    assert_eq!(code(&vec![b'-'; REQUEST_PEM_BYTES_MAX + 1]), "request-too-large");
    let large = encode_pem("CERTIFICATE REQUEST", &vec![0x30; REQUEST_BYTES_MAX + 1]);
    assert_eq!(code(large.as_bytes()), "request-too-large");
    // One sequence in the other, a thousand deep and to the limit of size.
    for depth in [1_000, 16_000] {
        let mut nested = vec![0x05, 0x00];
        for _ in 0..depth {
            let len = u16::try_from(nested.len()).unwrap().to_be_bytes();
            let header = match len {
                [0, short @ 0..0x80] => vec![0x30, short],
                [0, short] => vec![0x30, 0x81, short],
                [high, low] => vec![0x30, 0x82, high, low],
            };
            nested = [&header[..], &nested].concat();
        }
        assert!(nested.len() <= REQUEST_BYTES_MAX);
        assert_eq!(code(&nested), "request-not-der");
    }
    assert_eq!(code(b""), "request-not-pem");
    assert_eq!(code(b"hello"), "request-not-pem");
    assert_eq!(code(encode_pem("CERTIFICATE", &[0x30, 0]).as_bytes()), "request-not-pem");
    assert_eq!(code(&[0x30, 0]), "request-malformed");
    let openssl = OpenSsl::new();
    openssl.key("a", P256);
    let mut der = openssl.run("req -new -key a.key -subj /CN=a -outform DER", &[]);
    der.push(0);
    assert_eq!(code(&der), "request-not-der");
}

#[test]
fn our_requests_are_verified_by_openssl() {
    for (kind, scheme) in [
        (P256, SignatureScheme::EcdsaSha256),
        (RSA_2048, SignatureScheme::RsaPkcs1Sha256),
        (ED25519, SignatureScheme::Ed25519),
    ] {
        let openssl = OpenSsl::new();
        let spki = openssl.key("a", kind);
        let subject = Name::parse("CN=Größe,OU=a+OU=b".replace("+OU=b", "+O=b").as_str()).unwrap();
        let names =
            [GeneralName::parse("dns:a.org").unwrap(), GeneralName::parse("ip:::1").unwrap()];
        for extensions in [
            vec![],
            vec![
                Extension::subject_alternative_name(&names, true),
                Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE),
            ],
        ] {
            let info = build_request_info(&subject, &spki, &extensions).unwrap();
            let der = assemble_request(&info, scheme, &openssl.sign("a", &info));
            openssl.write("a.csr", encode_pem("CERTIFICATE REQUEST", &der));
            let text =
                openssl.text("req -verify -in a.csr -noout -text -nameopt RFC2253,-esc_msb", &[]);
            assert!(text.contains("Größe"), "{text}");
            assert_eq!(
                text.contains("DNS:a.org, IP Address:0:0:0:0:0:0:0:1"),
                !extensions.is_empty()
            );
            let request = parse_request(&der).unwrap();
            assert_eq!(request.extensions(), extensions);
            assert_eq!(request.subject(), &subject);
        }
    }
}
