//! What clients ask by OCSP, read here; and answers made here, read by others.

use crate::crls::{END, START, authority, serial};
use crate::openssl::{ED25519, OpenSsl, P256, RSA_2048, hex};
use exeunt_testkit::foreign;
use exeunt_types::{RevocationReason as Reason, Serial, SignatureScheme};
use exeunt_x509::{
    CertId, CertStatus, CertificateFields, Extension, Issuer, KeyUsage, Name, OcspFields,
    OcspRefusal, OcspRequest, SingleResponse, assemble_certificate, assemble_ocsp_response,
    build_ocsp_response_data, build_tbs, encode_pem, key_identifier, lint_tbs, parse_ocsp_request,
    public_key_parts, refuse_ocsp,
};

/// A CA with two certificates as files, and what OpenSSL calls them on the command line.
fn files(openssl: &OpenSsl, kind: &str, scheme: SignatureScheme) -> Issuer {
    let (issuer, certificates) = authority(openssl, kind, scheme);
    for (name, pem) in ["root", "one", "two"].into_iter().zip(certificates) {
        openssl.write(&format!("{name}.pem"), pem);
    }
    issuer
}

fn ask(openssl: &OpenSsl, more: &str) -> Vec<u8> {
    openssl.run(&format!("ocsp -issuer root.pem {more} -reqout request.der"), &[]);
    std::fs::read(openssl.path("request.der")).unwrap()
}

fn is_of(certificate: &CertId<'_>, issuer: &Issuer) -> bool {
    let key = public_key_parts(issuer.spki_der()).unwrap().key;
    certificate.matches(issuer.name().der(), key)
}

/// Requests of OpenSSL: for two certificates by either hash, without nonce, signed.
pub fn samples(openssl: &OpenSsl) -> Vec<Vec<u8>> {
    files(openssl, P256, SignatureScheme::EcdsaSha256);
    [
        "-cert one.pem",
        "-no_nonce -sha256 -cert one.pem -sha1 -cert two.pem",
        "-cert one.pem -signer root.pem -signkey root.key",
    ]
    .map(|more| ask(openssl, more))
    .to_vec()
}

#[test]
fn what_openssl_asks_is_read() {
    let openssl = OpenSsl::new();
    let issuer = files(&openssl, P256, SignatureScheme::EcdsaSha256);
    let request = ask(&openssl, "-cert one.pem -sha256 -cert two.pem -sha384 -cert two.pem");
    let text = openssl.text("ocsp -reqin request.der -req_text", &[]);
    let OcspRequest { certificates, nonce, .. } = parse_ocsp_request(&request).unwrap();
    let serials: Vec<_> = certificates.iter().map(CertId::serial).collect();
    assert_eq!(serials, [1, 2, 2].map(|it| Some(serial(it))));
    // SHA-1 and SHA-256 are known; by SHA-384 nobody asks.
    assert_eq!([0, 1, 2].map(|it| is_of(&certificates[it], &issuer)), [true, true, false]);
    let nonce = hex(nonce.unwrap()).to_uppercase();
    // Its text is "OCSP Nonce:" and the octet string, header and all.
    assert!(nonce.len() >= 32 && text.contains(&nonce), "{nonce}: {text}");

    let other = OpenSsl::new();
    let other = files(&other, P256, SignatureScheme::EcdsaSha256);
    assert_eq!(other.name(), issuer.name());
    assert!(!is_of(&certificates[0], &other) && !is_of(&certificates[1], &other));
    let key = public_key_parts(issuer.spki_der()).unwrap().key;
    assert!(!certificates[0].matches(Name::parse("CN=Example Root").unwrap().der(), key));

    let signed = ask(&openssl, "-no_nonce -cert one.pem -signer root.pem -signkey root.key");
    assert!(openssl.text("ocsp -reqin request.der -req_text", &[]).contains("Signature Algorithm"));
    let request = parse_ocsp_request(&signed).unwrap();
    assert_eq!((request.nonce, request.certificates[0].serial()), (None, Some(serial(1))));
    assert!(is_of(&request.certificates[0], &issuer));
    let foreign = ask(&openssl, "-serial 0x80");
    let request = parse_ocsp_request(&foreign).unwrap();
    assert_eq!(request.certificates[0].serial(), Serial::from_be_bytes(&[0, 0x80]).ok());
    // One that no conforming CA gives out is none of ours, and asking for it no fault.
    let foreign = ask(&openssl, &format!("-serial 0x{}", "ff".repeat(20)));
    let request = parse_ocsp_request(&foreign).unwrap();
    assert_eq!((request.certificates[0].serial(), request.nonce.is_some()), (None, true));
}

#[test]
fn a_request_is_bounded() {
    let openssl = OpenSsl::new();
    files(&openssl, P256, SignatureScheme::EcdsaSha256);
    let asked = |count| ask(&openssl, &"-cert one.pem ".repeat(count));
    let hundred = asked(100);
    assert_eq!(parse_ocsp_request(&hundred).unwrap().certificates.len(), 100);
    let err = parse_ocsp_request(&asked(101)).unwrap_err();
    assert_eq!(err.to_string(), "OCSP request asks for more than 100 certificates");
    assert_eq!(err.code(), "ocsp-request-too-many");
    let err = parse_ocsp_request(&vec![0x30; 65_537]).unwrap_err();
    assert_eq!(err.code(), "ocsp-request-too-large");
}

/// A DER element; good for contents up to 255 octets.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u8::try_from(value.len()).unwrap();
    let header = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [header, value].concat()
}

#[test]
fn a_request_is_read_by_the_letter() {
    const OCSP: [u8; 10] = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1];
    const TRUE: &[u8] = &[1, 1, 0xff];
    let sha1 = der(0x30, &[&[6, 5, 0x2b, 14, 3, 2, 26]]);
    let cert_id = der(0x30, &[&sha1, &der(4, &[&[1; 20]]), &der(4, &[&[2; 20]]), &[2, 1, 5]]);
    let single = der(0x30, &[&cert_id]);
    let extension = |last, critical: &[u8], value: &[u8]| {
        der(0x30, &[&OCSP, &[last], critical, &der(4, &[value])])
    };
    let extensions = |list: &[&[u8]]| der(0xa2, &[&der(0x30, list)]);
    let nonce = |octets| extension(2, &[], &der(4, &[&vec![7; octets]]));
    let request = |parts: &[&[u8]]| der(0x30, &[&der(0x30, parts)]);
    let list = der(0x30, &[&single]);
    let said = |bytes: &[u8]| match parse_ocsp_request(bytes) {
        Ok(request) => format!("{}", request.nonce.map_or(0, <[u8]>::len)),
        Err(err) => err.to_string(),
    };
    let malformed = |what: &str| format!("OCSP request is malformed: {what}");

    assert_eq!(said(&request(&[&list])), "0");
    assert_eq!(said(&request(&[&[0xa0, 3, 2, 1, 0], &list])), "0");
    assert_eq!(said(&request(&[&[0xa0, 3, 2, 1, 1], &list])), malformed("version is not 1"));
    // requestorName, here a dNSName.
    assert_eq!(said(&request(&[&der(0xa1, &[&der(0x82, &[b"a"])]), &list])), "0");
    // RFC 9654: 1 to 128 octets.
    for (octets, accepted) in [(0, false), (1, true), (16, true), (128, true), (129, false)] {
        let expected =
            if accepted { octets.to_string() } else { malformed("nonce has not 1 to 128 octets") };
        assert_eq!(said(&request(&[&list, &extensions(&[&nonce(octets)])])), expected);
    }
    let bare = extension(2, &[], &[7; 16]);
    assert!(said(&request(&[&list, &extensions(&[&bare])])).starts_with("OCSP request is malform"));
    let twice = extensions(&[&nonce(1), &nonce(1)]);
    assert_eq!(said(&request(&[&list, &twice])), malformed("an extension occurs twice"));

    // What is not known may be passed over unless it is critical, wherever it stands.
    let unknown = |critical| extension(99, critical, &[5, 0]);
    assert_eq!(said(&request(&[&list, &extensions(&[&unknown(&[]), &nonce(9)])])), "9");
    let refused = "OCSP request has unknown critical extension 1.3.6.1.5.5.7.48.1.99";
    assert_eq!(said(&request(&[&list, &extensions(&[&unknown(TRUE)])])), refused);
    let single_extensions = |critical| der(0xa0, &[&der(0x30, &[&unknown(critical)])]);
    let with = |critical| der(0x30, &[&der(0x30, &[&cert_id, &single_extensions(critical)])]);
    assert_eq!(said(&request(&[&with(&[])])), "0");
    assert_eq!(said(&request(&[&with(TRUE)])), refused);

    assert_eq!(said(&request(&[&[0x30, 0]])), malformed("a request is missing or no sequence"));
    let mut more = request(&[&list]);
    more.push(0);
    assert_eq!(said(&more), malformed("bytes follow the end of the structure"));
    assert_eq!(said(&[]), malformed("an element is missing"));
}

/// Answers the request in `request.der` and puts the answer into `response.der`.
fn answer(
    openssl: &OpenSsl,
    request: &[u8],
    responder: (&str, &[u8], SignatureScheme),
    certificates: &[&[u8]],
) -> Vec<u8> {
    let (key, spki, scheme) = responder;
    let request = parse_ocsp_request(request).unwrap();
    let responses: Vec<SingleResponse<'_>> = request
        .certificates
        .iter()
        .map(|certificate| SingleResponse {
            certificate: *certificate,
            status: match certificate.serial() {
                Some(it) if it == serial(1) => CertStatus::Good,
                Some(it) if it == serial(2) => {
                    CertStatus::Revoked { at: START + 60, reason: Reason::KeyCompromise }
                }
                _ => CertStatus::Unknown,
            },
            this_update: START,
            next_update: Some(END),
        })
        .collect();
    let data = build_ocsp_response_data(&OcspFields {
        responder_key_hash: key_identifier(spki).unwrap(),
        produced_at: START + 1,
        responses: &responses,
        nonce: request.nonce,
    })
    .unwrap();
    let response = assemble_ocsp_response(&data, scheme, &openssl.sign(key, &data), certificates);
    openssl.write("response.der", &response);
    response
}

/// `option` says how `GnuTLS` is to take `root.pem`.
#[track_caller]
fn gnutls_verify(openssl: &OpenSsl, option: &str) {
    let verify = format!("--verify-response {option} root.pem --load-response response.der");
    let output = openssl.try_run("ocsptool", &verify, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("Verifying OCSP Response: Success"), "{said}");
}

/// What OpenSSL thinks of `response.der`: of its signature and nonce, then of each certificate. It
/// takes either a request or certificates to name.
fn judged(openssl: &OpenSsl, asked: &str) -> String {
    let judge = "ocsp -respin response.der -CAfile root.pem -issuer root.pem";
    let by_request = openssl.try_run("openssl", &format!("{judge} -reqin request.der"), &[]);
    let by_name = format!("{judge} -no_nonce {asked}");
    let by_name = openssl.try_run("openssl", &by_name, &[]);
    String::from_utf8([by_request.stderr, by_name.stderr, by_name.stdout].concat()).unwrap()
}

#[test]
fn an_answer_of_the_ca_itself_is_verified_and_read_by_others() {
    for (kind, scheme) in [
        (P256, SignatureScheme::EcdsaSha256),
        (RSA_2048, SignatureScheme::RsaPkcs1Sha256),
        (ED25519, SignatureScheme::Ed25519),
    ] {
        let openssl = OpenSsl::new();
        let issuer = files(&openssl, kind, scheme);
        let asked = "-sha256 -cert one.pem -cert two.pem -serial 77";
        let request = ask(&openssl, asked);
        let response = answer(&openssl, &request, ("root", issuer.spki_der(), scheme), &[]);
        let said = judged(&openssl, asked);
        for expected in [
            "Response verify OK\nResponse verify OK\n",
            "one.pem: good\n\tThis Update: Jan  1 00:00:00 2026 GMT\n\t\
             Next Update: Jan  1 00:00:00 2060 GMT\n",
            "two.pem: revoked\n\tThis Update: Jan  1 00:00:00 2026 GMT\n\t\
             Next Update: Jan  1 00:00:00 2060 GMT\n\tReason: keyCompromise\n\t\
             Revocation Time: Jan  1 00:01:00 2026 GMT\n",
            "77: unknown\n",
        ] {
            assert!(said.contains(expected), "{expected:?} is not in\n{said}");
        }
        assert!(!said.contains("WARNING") && !said.contains("Nonce"), "{said}");
        assert_eq!(foreign::pkilint(&encode_pem("OCSP RESPONSE", &response)), Ok(()));
        gnutls_verify(&openssl, "--load-signer");

        // The verifiers are awake: another nonce and another signature are noticed.
        ask(&openssl, asked);
        let check =
            "ocsp -respin response.der -issuer root.pem -CAfile root.pem -reqin request.der";
        let other_nonce = openssl.try_run("openssl", check, &[]);
        assert!(String::from_utf8_lossy(&other_nonce.stderr).contains("Nonce Verify error"));
        openssl.write("request.der", &request);
        let mut broken = response;
        *broken.last_mut().unwrap() ^= 1;
        openssl.write("response.der", broken);
        assert!(judged(&openssl, asked).contains("Response Verify Failure"));
    }
}

#[test]
fn a_responder_that_the_ca_names_is_believed() {
    let openssl = OpenSsl::new();
    let scheme = SignatureScheme::EcdsaSha256;
    let issuer = files(&openssl, P256, scheme);
    let spki = openssl.key("responder", P256);
    let subject = Name::parse("CN=Responder").unwrap();
    let certify = |purpose: &[Extension]| {
        let mut extensions = vec![
            Extension::subject_key_identifier(&spki).unwrap(),
            Extension::authority_key_identifier(issuer.key_identifier()),
            Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE),
        ];
        extensions.extend_from_slice(purpose);
        let tbs = build_tbs(&CertificateFields {
            serial: Serial::from_random([3; 16]),
            scheme,
            issuer: issuer.name(),
            subject: &subject,
            not_before: START,
            not_after: END,
            spki_der: &spki,
            extensions: &extensions,
        })
        .unwrap();
        assert_eq!(lint_tbs(&tbs, Some(&issuer)), Ok(()));
        assemble_certificate(&tbs, scheme, &openssl.sign("root", &tbs))
    };
    let asked = "-cert one.pem";
    let request = ask(&openssl, asked);
    let named = certify(&[Extension::ocsp_signing(), Extension::ocsp_no_check()]);
    let pem = encode_pem("CERTIFICATE", &named);
    let text = foreign::openssl_text(&pem);
    assert!(text.contains("OCSP Signing") && text.contains("OCSP No Check"), "{text}");
    assert_eq!(foreign::pkilint(&pem), Ok(()));

    let responder = ("responder", &spki[..], scheme);
    let response = answer(&openssl, &request, responder, &[&named]);
    let said = judged(&openssl, asked);
    assert!(said.starts_with("Response verify OK\nResponse verify OK\none.pem: good\n"), "{said}");
    assert_eq!(foreign::pkilint(&encode_pem("OCSP RESPONSE", &response)), Ok(()));

    gnutls_verify(&openssl, "--load-trust");

    // Without the purpose, anybody with a certificate could answer.
    answer(&openssl, &request, responder, &[&certify(&[])]);
    assert!(judged(&openssl, asked).contains("Response Verify Failure"));
}

#[test]
fn every_status_is_what_openssl_reads() {
    let openssl = OpenSsl::new();
    let issuer = files(&openssl, P256, SignatureScheme::EcdsaSha256);
    let request = ask(&openssl, "-no_nonce -cert one.pem");
    let certificate = parse_ocsp_request(&request).unwrap().certificates[0];
    let read = |status, next_update| {
        let response = SingleResponse { certificate, status, this_update: START, next_update };
        let data = build_ocsp_response_data(&OcspFields {
            responder_key_hash: key_identifier(issuer.spki_der()).unwrap(),
            produced_at: END,
            responses: &[response],
            nonce: None,
        })
        .unwrap();
        let scheme = SignatureScheme::EcdsaSha256;
        openssl.write("response.der", assemble_ocsp_response(&data, scheme, &[0; 8], &[]));
        openssl.text("ocsp -respin response.der -noverify -resp_text", &[])
    };
    for (reason, name) in [
        (Reason::Unspecified, ""),
        (Reason::KeyCompromise, "keyCompromise (0x1)"),
        (Reason::CaCompromise, "cACompromise (0x2)"),
        (Reason::AffiliationChanged, "affiliationChanged (0x3)"),
        (Reason::Superseded, "superseded (0x4)"),
        (Reason::CessationOfOperation, "cessationOfOperation (0x5)"),
        (Reason::CertificateHold, "certificateHold (0x6)"),
        (Reason::RemoveFromCrl, ""),
    ] {
        let text = read(CertStatus::Revoked { at: START, reason }, None);
        assert!(text.contains("Cert Status: revoked"), "{text}");
        assert!(text.contains("Revocation Time: Jan  1 00:00:00 2026 GMT"), "{text}");
        let found = text.lines().find_map(|it| it.trim().strip_prefix("Revocation Reason: "));
        assert_eq!(found.unwrap_or_default(), name);
        assert!(!text.contains("Next Update"), "{text}");
        assert!(text.contains("Produced At: Jan  1 00:00:00 2060 GMT"), "{text}");
    }
    let text = read(CertStatus::Unknown, Some(END));
    assert!(text.contains("Cert Status: unknown"), "{text}");
    assert!(text.contains("Next Update: Jan  1 00:00:00 2060 GMT"), "{text}");
    let key_hash = key_identifier(issuer.spki_der()).unwrap().map(|it| format!("{it:02X}"));
    assert!(text.contains(&format!("Responder Id: {}", key_hash.concat())), "{text}");
}

#[test]
fn an_answer_to_nothing_or_out_of_time_is_not_made() {
    let openssl = OpenSsl::new();
    files(&openssl, P256, SignatureScheme::EcdsaSha256);
    let request = ask(&openssl, "-cert one.pem");
    let certificate = parse_ocsp_request(&request).unwrap().certificates[0];
    let status = CertStatus::Good;
    let good = SingleResponse { certificate, status, this_update: START, next_update: Some(END) };
    let code = |responses: &[SingleResponse<'_>], produced_at, nonce: Option<&[u8]>| {
        let responder_key_hash = [7; 20];
        let fields = OcspFields { responder_key_hash, produced_at, responses, nonce };
        build_ocsp_response_data(&fields).err().map_or("", |it| it.code())
    };
    assert_eq!(code(&[good; 100], START, Some(&[1; 128])), "");
    for (responses, nonce) in [
        (&[good; 101][..], None),
        (&[], None),
        (&[good], Some(&[][..])),
        (&[good], Some(&[1; 129])),
    ] {
        assert_eq!(code(responses, START, nonce), "ocsp-build-invalid");
    }
    let at_once = SingleResponse { next_update: Some(START), ..good };
    assert_eq!(code(&[at_once], START, None), "ocsp-build-invalid");
    let revoked = CertStatus::Revoked { at: i64::MAX, reason: Reason::Superseded };
    for (bad, produced_at) in [
        (good, -1),
        (SingleResponse { this_update: -1, ..good }, START),
        (SingleResponse { next_update: Some(i64::MAX), ..good }, START),
        (SingleResponse { status: revoked, ..good }, START),
    ] {
        assert_eq!(code(&[good, bad, good], produced_at, None), "ocsp-build-time");
    }
}

#[test]
fn a_refusal_is_what_openssl_reads() {
    let openssl = OpenSsl::new();
    for (refusal, name) in [
        (OcspRefusal::MalformedRequest, "malformedrequest (1)"),
        (OcspRefusal::InternalError, "internalerror (2)"),
        (OcspRefusal::TryLater, "trylater (3)"),
        (OcspRefusal::Unauthorized, "unauthorized (6)"),
    ] {
        openssl.write("response.der", refuse_ocsp(refusal));
        let output = openssl.try_run("openssl", "ocsp -respin response.der", &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(said.contains(&format!("Responder Error: {name}")), "{said}");
    }
}
