//! Messages of ours, read by OpenSSL, `GnuTLS` and pyasn1.

use crate::cmc::python;
use crate::openssl::{ED25519, OpenSsl, P256, P384, RSA_2048};
use exeunt_testkit::tools;
use exeunt_types::SignatureScheme;
use exeunt_x509::{
    CmcFailure, CmcStatus, FullResponse, SignerIdentifier, build_certs_only, build_full_response,
    encode_pem, parse_certificate,
};

/// Makes `NAME.pem`, self-signed, and gives its DER.
fn certificate(openssl: &OpenSsl, name: &str, kind: &str) -> Vec<u8> {
    openssl.key(name, kind);
    openssl.run(&format!("req -x509 -new -key {name}.key -subj /CN={name} -out {name}.pem"), &[]);
    openssl.run(&format!("x509 -in {name}.pem -outform DER"), &[])
}

#[test]
fn a_bag_of_certificates_is_read_by_openssl_and_gnutls() {
    let openssl = OpenSsl::new();
    let certificates: Vec<_> = [("leaf", P256), ("middle", RSA_2048), ("root", P384)]
        .into_iter()
        .map(|(name, kind)| certificate(&openssl, name, kind))
        .collect();
    let der = build_certs_only(&certificates);
    openssl.write("chain.p7b", &der);
    let text = openssl.text("pkcs7 -inform DER -in chain.p7b -print_certs -noout", &[]);
    let text = text.replace(" = ", "=");
    for name in ["leaf", "middle", "root"] {
        assert!(text.contains(&format!("subject=CN={name}")), "{text}");
    }
    // What OpenSSL reads it writes in the same octets, so it is DER.
    assert_eq!(openssl.run("cms -cmsout -inform DER -in chain.p7b -outform DER", &[]), der);
    openssl.write("chain.pem", encode_pem("PKCS7", &der));
    let certtool = tools::certtool().to_str().unwrap();
    let output = openssl.try_run(certtool, "--p7-info --infile chain.pem", &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("Number of certificates: 3"), "{text}");

    let none: [&[u8]; 0] = [];
    openssl.write("empty.p7b", build_certs_only(&none));
    openssl.run("pkcs7 -inform DER -in empty.p7b -print_certs -noout", &[]);
    let twice = [&certificates[0], &certificates[0]];
    assert_eq!(build_certs_only(&twice), build_certs_only(&certificates[..1]));
}

#[test]
fn a_full_response_is_verified_by_openssl_and_read_by_pyasn1() {
    let answers = [
        (
            FullResponse {
                status: CmcStatus::Success,
                text: None,
                body_part: &[1],
                transaction_id: Some(&[0xff, 0x7f]),
                recipient_nonce: Some(b"theirs"),
                sender_nonce: Some(b"ours"),
                data_return: Some(b"back"),
            },
            "1 25 success 1\n2 5 -129\n3 6 6f757273\n4 7 746865697273\n5 4 6261636b",
        ),
        (
            FullResponse {
                status: CmcStatus::Failed(CmcFailure::BadIdentity),
                text: Some("wer bist du? ÄÖÜ"),
                body_part: &[5, 4_294_967_295],
                transaction_id: None,
                recipient_nonce: None,
                sender_nonce: None,
                data_return: None,
            },
            "1 25 failed 5.4294967295 wer bist du? ÄÖÜ badIdentity",
        ),
        (
            FullResponse {
                status: CmcStatus::Pending { token: b"17", until: 1_800_000_000 },
                text: None,
                body_part: &[],
                transaction_id: Some(&[7]),
                recipient_nonce: None,
                sender_nonce: None,
                data_return: None,
            },
            "1 25 pending 0 3137 20270115080000Z\n2 5 7",
        ),
    ];
    for (kind, scheme) in
        [(P256, SignatureScheme::EcdsaSha256), (RSA_2048, SignatureScheme::RsaPkcs1Sha256)]
    {
        let openssl = OpenSsl::new();
        let signer_der = certificate(&openssl, "ca", kind);
        let leaf = certificate(&openssl, "leaf", P256);
        let signer = parse_certificate(&signer_der).unwrap();
        let identifiers = [
            SignerIdentifier::of(&signer),
            SignerIdentifier::KeyIdentifier(signer.key_identifier().unwrap()),
        ];
        for (identifier, (response, expected)) in
            identifiers.iter().flat_map(|it| answers.iter().map(move |answer| (it, answer)))
        {
            let certificates = [leaf.as_slice(), signer_der.as_slice()];
            let message =
                build_full_response(response, identifier.clone(), scheme, &certificates).unwrap();
            assert_eq!(message.scheme(), scheme);
            let signature = openssl.sign("ca", message.bytes_to_sign());
            let der = message.assemble(&signature);
            openssl.write("response.p7", &der);
            openssl.run(
                "cms -verify -binary -inform DER -in response.p7 -CAfile ca.pem -purpose any \
                 -certsout all.pem -out content.bin",
                &[],
            );
            assert_eq!(
                openssl.run("cms -cmsout -inform DER -in response.p7 -outform DER", &[]),
                der
            );
            let text = openssl.text("storeutl -certs -noout -text all.pem", &[]);
            assert!(text.replace(" = ", "=").contains("Subject: CN=leaf"), "{text}");
            let controls = python(&openssl, "response(read('content.bin'))");
            assert_eq!(String::from_utf8(controls).unwrap(), *expected);
            // A signature that is not there does not verify.
            let wrong = build_full_response(response, identifier.clone(), scheme, &certificates);
            openssl.write("wrong.p7", wrong.unwrap().assemble(&openssl.sign("ca", b"else")));
            let verify = "cms -verify -binary -inform DER -in wrong.p7 -CAfile ca.pem -purpose any";
            assert!(!openssl.try_run("openssl", verify, &[]).status.success());
        }
        let late = FullResponse {
            status: CmcStatus::Pending { token: b"", until: i64::MAX },
            ..answers[2].0.clone()
        };
        let err = build_full_response(&late, identifiers[0].clone(), scheme, &[]).unwrap_err();
        assert_eq!(err.code(), "build-time");
    }
}

#[test]
fn a_response_by_ed25519_is_verified_by_gnutls() {
    // OpenSSL 3.0 knows no Ed25519 in messages.
    let openssl = OpenSsl::new();
    let signer = parse_certificate(&certificate(&openssl, "ca", ED25519)).unwrap();
    let response = FullResponse {
        status: CmcStatus::Success,
        text: None,
        body_part: &[1],
        transaction_id: None,
        recipient_nonce: None,
        sender_nonce: None,
        data_return: None,
    };
    let (identifier, scheme) = (SignerIdentifier::of(&signer), SignatureScheme::Ed25519);
    let message = build_full_response(&response, identifier, scheme, &[signer.der()]).unwrap();
    for (signed, verified) in [(message.bytes_to_sign().to_vec(), true), (b"else".to_vec(), false)]
    {
        let signature = openssl.sign("ca", &signed);
        openssl.write("response.p7", message.clone().assemble(&signature));
        let verify = "--p7-verify --load-ca-certificate ca.pem --inder --infile response.p7";
        let output = openssl.try_run(tools::certtool().to_str().unwrap(), verify, &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.success(), verified, "{said}");
    }
}
