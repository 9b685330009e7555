//! Requests around which others put PKCS #7 and CMC: signed by OpenSSL, with contents by pyasn1.

use crate::mutation::mutate;
use crate::openssl::{ED25519, OpenSsl, P256, P384, RSA_2048};
use exeunt_testkit::tools;
use exeunt_types::{RequestType, SignatureScheme};
use exeunt_x509::{
    DigestAlgorithm, SUBMISSION_BYTES_MAX, SUBMISSION_PEM_BYTES_MAX, SignedLayer, Signer,
    SignerIdentifier, SignerKey, SubmissionError, assemble_request, certificate_hash, encode_pem,
    parse_certificate, parse_request, parse_submission,
};
use proptest::prelude::*;

const PKI_DATA: &str = "1.3.6.1.5.5.7.12.2";

/// What an expression in the words of `cmc.py` gives, with the scratch directory's files at hand.
#[track_caller]
pub fn python(openssl: &OpenSsl, expression: &str) -> Vec<u8> {
    let script =
        format!("{}\nsys.stdout.buffer.write({expression})\n", exeunt_testkit::messages::CMC_PY);
    let output = openssl.try_run(tools::python().to_str().unwrap(), "-c", &[&script]);
    assert!(output.status.success(), "{expression}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A scratch directory with `a.csr`, a request of `a.key`, and two signers: `ra.pem` with `ra.key`,
/// an agent, and `a.pem` with the requester's own key.
fn scratch(requester: &str, agent: &str) -> OpenSsl {
    let openssl = OpenSsl::new();
    openssl.key("a", requester);
    openssl.key("ra", agent);
    openssl.run("req -new -key a.key -subj /CN=a -outform DER -out a.csr", &[]);
    openssl.run("req -x509 -new -key a.key -subj /CN=old -out a.pem", &[]);
    openssl.run("req -x509 -new -key ra.key -subj /O=Acme/CN=agent -out ra.pem", &[]);
    openssl
}

/// `openssl cms -sign` over those bytes, in DER.
#[track_caller]
fn sign(openssl: &OpenSsl, content: &[u8], content_type: &str, options: &str) -> Vec<u8> {
    openssl.write("content.bin", content);
    let kind = format!("cms -sign -binary -nodetach -econtent_type {content_type}");
    openssl.run(&format!("{kind} -in content.bin -outform DER {options}"), &[])
}

const DATA: &str = "pkcs7-data";
const BY_AGENT: &str = "-signer ra.pem -inkey ra.key -md sha256";

/// A full CMC request around `a.csr` with those controls, signed with those options.
#[track_caller]
fn full_request(openssl: &OpenSsl, controls: &str, options: &str) -> Vec<u8> {
    let data = python(openssl, &format!("pki_data([{controls}], [tcr(1, read('a.csr'))])"));
    sign(openssl, &data, PKI_DATA, options)
}

/// OpenSSL verifies what a signer hands out, with the key that he hands out.
#[track_caller]
fn verify(openssl: &OpenSsl, signer: &Signer, spki: &[u8]) {
    use SignatureScheme as Scheme;
    let options = match signer.scheme() {
        Scheme::RsaPkcs1Sha256 | Scheme::EcdsaSha256 => "-digest sha256",
        Scheme::RsaPkcs1Sha384 | Scheme::EcdsaSha384 => "-digest sha384",
        Scheme::RsaPkcs1Sha512 | Scheme::EcdsaSha512 => "-digest sha512",
        Scheme::RsaPssSha256 => {
            "-digest sha256 -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:32"
        }
        _ => "",
    };
    openssl.write("spki.der", spki);
    openssl.write("signed.bin", signer.signed_bytes());
    openssl.write("signature.bin", signer.signature());
    let verify = "pkeyutl -verify -rawin -pubin -keyform DER -inkey spki.der -in signed.bin";
    openssl.run(&format!("{verify} {options} -sigfile signature.bin"), &[]);
}

fn code(input: &[u8]) -> &'static str {
    parse_submission(input).unwrap_err().code()
}

/// Code and message of the refusal.
fn refusal(input: &[u8]) -> (&'static str, String) {
    let err = parse_submission(input).unwrap_err();
    (err.code(), err.to_string())
}

fn pairs(found: &[(String, String)]) -> Vec<(&str, &str)> {
    found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn a_plain_request_is_what_it_always_was() {
    let openssl = scratch(P256, P256);
    let der = openssl.read("a.csr");
    let pem = encode_pem("NEW CERTIFICATE REQUEST", &der);
    for input in [&der[..], pem.as_bytes()] {
        let submitted = parse_submission(input).unwrap();
        assert_eq!(submitted.request_type(), RequestType::Pkcs10);
        assert_eq!(submitted.request(), &parse_request(&der).unwrap());
        assert_eq!(submitted.der(), der);
        assert_eq!((submitted.layers(), submitted.body_part()), (&[][..], &[][..]));
        assert_eq!(submitted.transaction_id(), None);
    }
    assert_eq!(code(b"hello"), "request-not-pem");
    assert_eq!(code(&[0x30, 0]), "request-malformed");
    assert_eq!(code(&vec![0x30; SUBMISSION_BYTES_MAX + 1]), "request-too-large");
    assert_eq!(code(&vec![b'-'; SUBMISSION_PEM_BYTES_MAX + 1]), "request-too-large");
}

#[test]
fn a_renewal_is_a_pkcs7_signed_with_the_old_certificate() {
    use {DigestAlgorithm as Digest, SignatureScheme as Scheme};
    for (kind, options, digest, scheme) in [
        (P256, "-md sha256", Digest::Sha256, Scheme::EcdsaSha256),
        (P384, "-md sha512", Digest::Sha512, Scheme::EcdsaSha512),
        (RSA_2048, "-md sha256", Digest::Sha256, Scheme::RsaPkcs1Sha256),
        (RSA_2048, "-md sha384 -keyid", Digest::Sha384, Scheme::RsaPkcs1Sha384),
        (
            RSA_2048,
            "-md sha256 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:32",
            Digest::Sha256,
            Scheme::RsaPssSha256,
        ),
        (P256, "-md sha256 -noattr", Digest::Sha256, Scheme::EcdsaSha256),
    ] {
        let openssl = scratch(P256, kind);
        let request = openssl.read("a.csr");
        let der =
            sign(&openssl, &request, DATA, &format!("-signer ra.pem -inkey ra.key {options}"));
        for input in [der.clone(), encode_pem("PKCS7", &der).into_bytes()] {
            let submitted = parse_submission(&input).unwrap();
            assert_eq!(submitted.request_type(), RequestType::Pkcs7);
            assert_eq!(submitted.request().der(), request);
            assert_eq!(submitted.der(), der);
            let [layer] = submitted.layers() else { panic!("{options}") };
            let [signer] = layer.signers() else { panic!("{options}") };
            assert_eq!((signer.digest(), signer.scheme()), (digest, scheme));
            let old = parse_certificate(&openssl.read("ra.pem")).unwrap();
            assert_eq!(signer.certificate(), Some(&old));
            assert_eq!(layer.certificates(), [old.der()]);
            verify(&openssl, signer, old.spki_der());
            if options.contains("-keyid") {
                let identifier = old.key_identifier().unwrap();
                assert_eq!(signer.identifier(), &SignerIdentifier::KeyIdentifier(identifier));
            } else {
                assert_eq!(signer.identifier(), &SignerIdentifier::of(&old));
            }
        }
    }
}

#[test]
fn gnutls_signs_renewals_as_well() {
    for (kind, more) in
        [(P256, "--hash SHA256"), (RSA_2048, "--hash SHA384 --p7-time"), (ED25519, "")]
    {
        let openssl = scratch(P256, kind);
        let request = openssl.read("a.csr");
        let options = "--p7-sign --load-privkey ra.key --load-certificate ra.pem --infile a.csr";
        let certtool = tools::certtool().to_str().unwrap();
        let output = openssl.try_run(certtool, &format!("{options} {more}"), &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let submitted = parse_submission(&output.stdout).unwrap();
        assert_eq!(submitted.request_type(), RequestType::Pkcs7);
        assert_eq!(submitted.request().der(), request);
        let [signer] = submitted.layers()[0].signers() else { panic!("{kind}") };
        let old = parse_certificate(&openssl.read("ra.pem")).unwrap();
        assert_eq!(signer.certificate(), Some(&old));
        verify(&openssl, signer, old.spki_der());
    }
}

#[test]
fn a_certificate_that_did_not_come_along_is_named() {
    let openssl = scratch(P256, P256);
    let old = parse_certificate(&openssl.read("ra.pem")).unwrap();
    let der = sign(&openssl, &openssl.read("a.csr"), DATA, &format!("{BY_AGENT} -nocerts"));
    let submitted = parse_submission(&der).unwrap();
    let signer = &submitted.layers()[0].signers()[0];
    assert_eq!(signer.key(), &SignerKey::Elsewhere);
    assert_eq!(signer.identifier(), &SignerIdentifier::of(&old));
    verify(&openssl, signer, old.spki_der());
}

#[test]
fn a_full_request_says_what_its_controls_say() {
    let openssl = scratch(P256, RSA_2048);
    let controls = r"control(2, CMC + '5', integer(-129)), control(3, CMC + '6', octets(b'nonce')),
        control(4, CMC + '4', octets(b'back')),
        control(5, CMC + '18', octets('CertificateTemplate=User&Département=a=b&'.encode())),
        control(6, '1.3.6.1.4.1.311.13.2.1', pair('One', '1'), pair('Two', '2')),
        control(7, CMC + '8', add_extensions(0, [1], ('2.5.29.15', True, bytes.fromhex('03020780')))),
        control(8, '1.3.6.1.4.1.311.10.10.1', add_attributes(0, [1],
            attribute('1.3.6.1.4.1.311.21.20', sequence(integer(9), utf8('host'))),
            attribute('1.3.6.1.4.1.311.13.1', read('old.der')),
            attribute('1.3.6.1.4.1.311.13.2.1', pair('RequesterName', 'ACME\\bob')))),
        control(4294967295, '1.3.6.1.4.1.311.21.20', sequence(integer(9))),
        control(9, CMC + '2', utf8('bob')), control(10, CMC + '11', octets(b''))";
    openssl.run("x509 -in a.pem -outform DER -out old.der", &[]);
    let der = full_request(&openssl, controls, BY_AGENT);
    let submitted = parse_submission(&der).unwrap();
    assert_eq!(submitted.request_type(), RequestType::Cmc);
    assert_eq!(submitted.request().der(), openssl.read("a.csr"));
    assert_eq!(submitted.body_part(), [1]);
    assert_eq!(submitted.transaction_id(), Some(&[0xff, 0x7f][..]));
    assert_eq!(submitted.sender_nonce(), Some(&b"nonce"[..]));
    assert_eq!(submitted.data_return(), Some(&b"back"[..]));
    let [layer] = submitted.layers() else { panic!() };
    let mut found = pairs(layer.enrollment_attributes());
    // The members of a SET have no order of their own.
    found.sort_unstable();
    let expected = [
        ("CertificateTemplate", "User"),
        ("Département", "a=b"),
        ("One", "1"),
        ("RequesterName", r"ACME\bob"),
        ("Two", "2"),
    ];
    assert_eq!(found, expected);
    assert_eq!(submitted.enrollment_attributes_verified(|_| true).len(), expected.len());
    let extensions: Vec<_> =
        layer.extensions().iter().map(|it| (it.oid.to_string(), it.critical)).collect();
    assert_eq!(extensions, [("2.5.29.15".to_owned(), true)]);
    let old = submitted.renewal_certificate().unwrap();
    let fingerprint = openssl.text("x509 -in a.pem -noout -fingerprint -sha1", &[]);
    let hash: Vec<_> = certificate_hash(old).iter().map(|it| format!("{it:02X}")).collect();
    assert_eq!(fingerprint.trim().rsplit('=').next(), Some(hash.join(":").as_str()));
    let agent = parse_certificate(&openssl.read("ra.pem")).unwrap();
    let [signer] = layer.signers() else { panic!() };
    assert_eq!(signer.certificate(), Some(&agent));
    verify(&openssl, signer, agent.spki_der());
}

#[test]
fn a_new_request_is_signed_with_its_own_key_as_windows_does() {
    let openssl = scratch(P256, P256);
    let own = "-signer a.pem -inkey a.key -md sha256 -keyid";
    let der = full_request(&openssl, "", &format!("{own} -nocerts"));
    let submitted = parse_submission(&der).unwrap();
    let [SignedLayer { .. }] = submitted.layers() else { panic!() };
    let [signer] = submitted.layers()[0].signers() else { panic!() };
    assert_eq!(signer.key(), &SignerKey::Request);
    verify(&openssl, signer, submitted.request().spki_der());
    // With a certificate of that key at hand, the certificate says more.
    let der = full_request(&openssl, "", own);
    let submitted = parse_submission(&der).unwrap();
    let [signer] = submitted.layers()[0].signers() else { panic!() };
    let certificate = signer.certificate().unwrap();
    assert_eq!(certificate.spki_der(), submitted.request().spki_der());
    // An agent may sign beside the requester.
    let der = full_request(&openssl, "", &format!("{own} {BY_AGENT}"));
    let submitted = parse_submission(&der).unwrap();
    let mut subjects: Vec<_> = submitted.layers()[0]
        .signers()
        .iter()
        .map(|it| it.certificate().unwrap().subject().to_string())
        .collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["CN=agent,O=Acme", "CN=old"]);
}

#[test]
fn the_certificate_that_is_renewed_is_named_once() {
    let openssl = scratch(P256, P256);
    for name in ["a", "ra"] {
        openssl.run(&format!("x509 -in {name}.pem -outform DER -out {name}.der"), &[]);
    }
    let renews =
        |values: &str| format!("with_attribute(read('a.csr'), '1.3.6.1.4.1.311.13.1', {values})");
    let request = |values| {
        let info = python(&openssl, &renews(values));
        assemble_request(&info, SignatureScheme::EcdsaSha256, &openssl.sign("a", &info))
    };
    let plain = request("read('a.der')");
    openssl.write("b.csr", &plain);
    openssl.run("req -verify -noout -inform DER -in b.csr", &[]);
    let old = openssl.read("a.der");
    assert_eq!(parse_submission(&plain).unwrap().renewal_certificate(), Some(&*old));
    let in_control = |name: &str| {
        let data = python(
            &openssl,
            &format!(
                "pki_data([control(2, '1.3.6.1.4.1.311.10.10.1', add_attributes(0, [1],
                    attribute('1.3.6.1.4.1.311.13.1', read('{name}.der'))))],
                    [tcr(1, read('b.csr'))])"
            ),
        );
        sign(&openssl, &data, PKI_DATA, "-signer a.pem -inkey a.key -md sha256")
    };
    let submitted = parse_submission(&in_control("a")).unwrap();
    assert_eq!(submitted.renewal_certificate(), Some(&*old));
    let signer = submitted.layers()[0].signers()[0].certificate().unwrap();
    assert_eq!(signer.der(), old);
    assert!(submitted.renewal_signers().eq(submitted.layers()[0].signers()));
    let message = "message around the request is malformed: it renews two certificates";
    assert_eq!(refusal(&in_control("ra")), ("request-message-malformed", message.to_owned()));
    assert_eq!(code(&request("read('a.der'), read('ra.der')")), "request-attribute-invalid");
    assert_eq!(code(&request("octets(b'')")), "request-attribute-invalid");
}

#[test]
fn an_agent_asks_on_behalf_of_another_around_the_others_message() {
    let openssl = scratch(P256, P256);
    let own = "-signer a.pem -inkey a.key -md sha256 -keyid -nocerts";
    let inner = full_request(
        &openssl,
        "control(7, CMC + '18', octets(b'RequesterName=bob&Template=User')),
         control(8, CMC + '6', octets(b'inner'))",
        own,
    );
    let renewal = sign(&openssl, &openssl.read("a.csr"), DATA, own);
    for (inner, inner_type, path) in
        [(inner, RequestType::Cmc, &[5, 1][..]), (renewal, RequestType::Pkcs7, &[5])]
    {
        openssl.write("inner.p7", &inner);
        assert_eq!(parse_submission(&inner).unwrap().request_type(), inner_type);
        let data = python(
            &openssl,
            r"pki_data([control(1, '1.3.6.1.4.1.311.10.10.1', add_attributes(5, [1],
                  attribute('1.3.6.1.4.1.311.13.2.1', pair('RequesterName', 'ACME\\eve')))),
                control(2, CMC + '6', octets(b'outer'))], [], [message(5, read('inner.p7'))])",
        );
        let submitted = parse_submission(&sign(&openssl, &data, PKI_DATA, BY_AGENT)).unwrap();
        assert_eq!(submitted.request_type(), RequestType::Cmc);
        assert_eq!(submitted.body_part(), path);
        assert_eq!(submitted.sender_nonce(), Some(&b"outer"[..]));
        let [outer, inner] = submitted.layers() else { panic!() };
        assert_eq!(pairs(outer.enrollment_attributes()), [("RequesterName", r"ACME\eve")]);
        let agent = outer.signers()[0].certificate().unwrap();
        verify(&openssl, &outer.signers()[0], agent.spki_der());
        assert_eq!(inner.signers()[0].key(), &SignerKey::Request);
        verify(&openssl, &inner.signers()[0], submitted.request().spki_der());
        let requester = |is_verified: &dyn Fn(&Signer) -> bool| {
            let mut found = submitted.enrollment_attributes_verified(is_verified);
            found.retain(|(name, _)| name == "RequesterName");
            found.last().map(|(_, value)| value.as_str())
        };
        // The outermost speaks last, if it is believed.
        assert_eq!(requester(&|_| true), Some(r"ACME\eve"));
        let inner_says = (inner_type == RequestType::Cmc).then_some("bob");
        assert_eq!(requester(&|it| it.key() == &SignerKey::Request), inner_says);
        assert_eq!(requester(&|_| false), None);
    }
}

#[test]
fn what_a_signer_says_stands_with_the_signer() {
    use SignatureScheme as Scheme;
    // OpenSSL has no option for signed attributes of ours and none for Ed25519, so pyasn1 makes the
    // message and OpenSSL signs the set of attributes. The second scheme is how Windows names ECDSA.
    for (kind, oid, scheme) in [
        (P256, "1.2.840.10045.4.3.2", Scheme::EcdsaSha256),
        (P256, "1.2.840.10045.2.1", Scheme::EcdsaSha256),
        (ED25519, "1.3.101.112", Scheme::Ed25519),
    ] {
        let openssl = scratch(P256, kind);
        openssl.run("x509 -in ra.pem -outform DER -out ra.der", &[]);
        let agent = parse_certificate(&openssl.read("ra.pem")).unwrap();
        let expression = format!(
            r"signer('{oid}', read('ra.der'), '1.2.840.113549.1.7.1', read('a.csr'),
                [('1.3.6.1.4.1.311.13.2.1', pair('RequesterName', 'ACME\\bob'))]"
        );
        let to_sign = python(&openssl, &format!("signed_attributes({expression}))"));
        openssl.write("signature", openssl.sign("ra", &to_sign));
        let message = format!(
            "signed_data('1.2.840.113549.1.7.1', read('a.csr'),
                [{expression}, read('signature'))], [read('ra.der')])"
        );
        let submitted = parse_submission(&python(&openssl, &message)).unwrap();
        let [signer] = submitted.layers()[0].signers() else { panic!("{oid}") };
        assert_eq!(pairs(signer.enrollment_attributes()), [("RequesterName", r"ACME\bob")]);
        assert_eq!(signer.scheme(), scheme);
        assert_eq!(signer.signed_bytes(), to_sign);
        assert_eq!(signer.certificate(), Some(&agent));
        verify(&openssl, signer, agent.spki_der());
    }
}

#[test]
fn the_no_signature_mechanism_proves_nothing() {
    let openssl = scratch(P256, P256);
    let der = unsigned(&openssl, "pki_data([], [tcr(1, read('a.csr'))])");
    let submitted = parse_submission(&der).unwrap();
    assert_eq!(submitted.request_type(), RequestType::Cmc);
    assert_eq!(submitted.layers().len(), 1);
    assert_eq!(submitted.layers()[0].signers(), []);
    let nobody = python(&openssl, &format!("signed_data('{PKI_DATA}', read('data.bin'))"));
    assert_eq!(code(&nobody), "request-message-no-signer");
}

/// A CMC message with those contents that nobody signed.
#[track_caller]
fn unsigned(openssl: &OpenSsl, data: &str) -> Vec<u8> {
    openssl.write("data.bin", python(openssl, data));
    let none = format!("no_signature('{PKI_DATA}', read('data.bin'))");
    python(openssl, &format!("signed_data('{PKI_DATA}', read('data.bin'), [{none}])"))
}

#[test]
fn what_nobody_signed_is_never_around_what_somebody_did() {
    let openssl = scratch(P256, P256);
    let around = |inner: Vec<u8>, controls: &str| {
        openssl.write("inner.p7", inner);
        format!("pki_data([{controls}], [], [message(5, read('inner.p7'))])")
    };
    // An agent's message, caught and sent again with other wishes around it.
    let wish = "control(2, CMC + '18', octets(b'CertificateTemplate=Agent&RequesterName=eve'))";
    let caught = full_request(&openssl, "", BY_AGENT);
    let renewal = sign(&openssl, &openssl.read("a.csr"), DATA, BY_AGENT);
    let message = "message that nobody signed is around one that somebody signed";
    for caught in [caught, renewal] {
        let stolen = unsigned(&openssl, &around(caught, wish));
        assert_eq!(refusal(&stolen), ("request-message-unsigned-around", message.to_owned()));
        // Not even below a layer that somebody signed.
        let data = python(&openssl, &around(stolen, ""));
        let own = "-signer a.pem -inkey a.key -md sha256";
        assert_eq!(code(&sign(&openssl, &data, PKI_DATA, own)), "request-message-unsigned-around");
    }

    // Around what nobody signed either it adds nothing; who signs around both vouches for them.
    let inner = unsigned(&openssl, &format!("pki_data([{wish}], [tcr(1, read('a.csr'))])"));
    let both = unsigned(&openssl, &around(inner, wish));
    let submitted = parse_submission(&both).unwrap();
    assert_eq!(submitted.layers().len(), 2);
    assert!(submitted.enrollment_attributes_verified(|_| true).is_empty());
    let data = python(&openssl, &around(both, ""));
    let vouched = parse_submission(&sign(&openssl, &data, PKI_DATA, BY_AGENT)).unwrap();
    let signers: Vec<_> = vouched.layers().iter().map(|it| it.signers().len()).collect();
    assert_eq!(signers, [1, 0, 0]);
    assert_eq!(vouched.enrollment_attributes_verified(|_| true).len(), 4);
}

#[test]
fn a_renewal_that_another_claims_is_proven_by_nobody() {
    let openssl = scratch(P256, P256);
    openssl.run("x509 -in a.pem -outform DER -out old.der", &[]);
    // The owner of the old certificate signed something; a stranger makes a renewal of it.
    openssl.write("inner.p7", full_request(&openssl, "", "-signer a.pem -inkey a.key -md sha256"));
    let data = python(
        &openssl,
        "pki_data([control(2, '1.3.6.1.4.1.311.10.10.1', add_attributes(5, [1],
            attribute('1.3.6.1.4.1.311.13.1', read('old.der'))))],
            [], [message(5, read('inner.p7'))])",
    );
    let submitted = parse_submission(&sign(&openssl, &data, PKI_DATA, BY_AGENT)).unwrap();
    assert_eq!(submitted.renewal_certificate(), Some(&*openssl.read("old.der")));
    let inner = submitted.layers()[1].signers()[0].certificate().unwrap();
    assert_eq!(inner.der(), openssl.read("old.der"));
    assert_eq!(submitted.renewal_signers().count(), 0);
    // The owner's signature around the claim proves it.
    let own = sign(&openssl, &data, PKI_DATA, "-signer a.pem -inkey a.key -md sha256");
    let submitted = parse_submission(&own).unwrap();
    assert!(submitted.renewal_signers().eq(submitted.layers()[0].signers()));
}

#[test]
fn numbers_around_a_nested_message_are_der() {
    let openssl = scratch(P256, P256);
    openssl.write("inner.p7", full_request(&openssl, "", BY_AGENT));
    let data = python(&openssl, "pki_data([], [], [message(0x91, read('inner.p7'))])");
    let number = [2, 2, 0, 0x91];
    let at = data.windows(4).position(|it| it == number).unwrap();
    parse_submission(&sign(&openssl, &data, PKI_DATA, BY_AGENT)).unwrap();
    // A leading zero octet that is not needed.
    let longer = [&data[..at], &[2, 2, 0, 0x11], &data[at + 4..]].concat();
    let text = "message around the request is malformed: integer is not in its shortest form";
    let said = refusal(&sign(&openssl, &longer, PKI_DATA, BY_AGENT));
    assert_eq!(said, ("request-message-malformed", text.to_owned()));
}

#[test]
fn there_is_exactly_one_request_and_it_is_a_pkcs10() {
    let openssl = scratch(P256, P256);
    openssl.write("inner.p7", full_request(&openssl, "", BY_AGENT));
    for (data, expected) in [
        ("pki_data()", ("request-count", "message holds 0 requests, exactly one is needed")),
        (
            "pki_data([], [tcr(1, read('a.csr')), tcr(2, read('a.csr'))])",
            ("request-count", "message holds 2 requests, exactly one is needed"),
        ),
        (
            "pki_data([], [tcr(1, read('a.csr'))], [message(2, read('inner.p7'))])",
            ("request-count", "message holds 2 requests, exactly one is needed"),
        ),
        (
            "pki_data([], [crm()])",
            ("request-kind", "requests of the kind CRMF are not taken, only PKCS #10"),
        ),
        (
            "pki_data([], [orm(1, '1.2.3', integer(1))])",
            ("request-kind", "requests of the kind 1.2.3 are not taken, only PKCS #10"),
        ),
        (
            "pki_data([], [tcr(1, read('a.csr'))], [], [other(2, '1.2.3', integer(1))])",
            (
                "request-message-malformed",
                "message around the request is malformed: it holds other messages",
            ),
        ),
        (
            "b'hello'",
            (
                "request-message-malformed",
                "message around the request is malformed: PKIData is not a sequence",
            ),
        ),
    ] {
        let data = python(&openssl, data);
        let (code, message) = refusal(&sign(&openssl, &data, PKI_DATA, BY_AGENT));
        if expected.1.contains("PKIData") {
            assert_eq!(code, expected.0);
        } else {
            assert_eq!((code, message.as_str()), expected);
        }
    }
}

#[test]
fn a_control_that_could_matter_is_refused_by_name() {
    let openssl = scratch(P256, P256);
    let twice = "control(2, CMC + '6', octets(b'a')), control(3, CMC + '6', octets(b'b'))";
    let many: Vec<_> =
        (2..67).map(|it| format!("control({it}, '1.3.6.1.4.1.311.21.20', integer(1))")).collect();
    let many = many.join(", ");
    let many_pairs = "control(2, CMC + '18', octets(b'a=b&' * 65))";
    for (controls, code, message) in [
        ("control(2, CMC + '3', octets(b'a'))", "request-control-unsupported", "identityProof is"),
        (
            "control(2, CMC + '36', octets(b'a'))",
            "request-control-unsupported",
            "changeSubjectName",
        ),
        ("control(2, '1.2.3.4', octets(b'a'))", "request-control-unsupported", "1.2.3.4 is not"),
        (
            "control(2, '1.3.6.1.4.1.311.10.10.1', add_attributes(0, [1],
                attribute('1.3.6.1.4.1.311.21.13', octets(b'a'))))",
            "request-control-unsupported",
            "1.3.6.1.4.1.311.21.13 is not",
        ),
        (
            "control(2, '1.3.6.1.4.1.311.10.10.1', add_attributes(0, [9]))",
            "request-control-invalid",
            "a request that is not there",
        ),
        (
            "control(2, CMC + '8', add_extensions(3, [1]))",
            "request-control-invalid",
            "addExtensions is malformed: it refers to a request that is not there",
        ),
        (
            "control(2, CMC + '8', add_extensions(0, [1], ('2.5.29.15', True, b'x')))",
            "request-control-invalid",
            "addExtensions is malformed",
        ),
        (
            "control(2, CMC + '8', add_extensions(0, [1], ('1.2.3', True, integer(1)), ('1.2.3', True, integer(1))))",
            "request-control-invalid",
            "an extension occurs twice",
        ),
        (twice, "request-control-invalid", "senderNonce is malformed: it occurs twice"),
        (
            "control(2, CMC + '6', octets(b'a'), octets(b'b'))",
            "request-control-invalid",
            "it has more than one value",
        ),
        ("control(2, CMC + '5', octets(b'a'))", "request-control-invalid", "not of the right type"),
        (
            "control(2, CMC + '6', octets(bytes(1025)))",
            "request-control-invalid",
            "it is longer than 1024 octets",
        ),
        ("control(2, CMC + '18', octets(b'\\xff'))", "request-control-invalid", "not UTF-8"),
        ("control(2, CMC + '18', octets(b'a'))", "request-control-invalid", "name=value"),
        ("control(2, CMC + '18', octets(b'=a'))", "request-control-invalid", "too long or empty"),
        ("control(2, CMC + '18', octets(b'a=b\\nc=d'))", "request-control-invalid", "plain string"),
        ("control(1, CMC + '6', octets(b'a'))", "request-message-malformed", "the same number"),
        ("control(0, CMC + '6', octets(b'a'))", "request-message-malformed", "the number 0"),
        (many.as_str(), "request-too-many", "more than 64 controls"),
        (many_pairs, "request-too-many", "more than 64 enrolment attributes"),
    ] {
        let (found, text) = refusal(&full_request(&openssl, controls, BY_AGENT));
        assert_eq!(found, code, "{controls}: {text}");
        assert!(text.contains(message), "{controls}: {text}");
    }
}

#[test]
fn a_message_without_lengths_is_read_as_if_it_had_them() {
    let openssl = scratch(P256, P256);
    let request = openssl.read("a.csr");
    // OpenSSL writes what it does not know the length of, in pieces.
    let ber = sign(&openssl, &request, DATA, &format!("{BY_AGENT} -stream"));
    assert_eq!(ber[..2], [0x30, 0x80]);
    let submitted = parse_submission(&ber).unwrap();
    assert_eq!(submitted.request().der(), request);
    assert_eq!(parse_submission(submitted.der()).unwrap(), submitted);
    let agent = parse_certificate(&openssl.read("ra.pem")).unwrap();
    let signer = &submitted.layers()[0].signers()[0];
    assert_eq!(signer.certificate(), Some(&agent));
    verify(&openssl, signer, agent.spki_der());
    // It is the same message: OpenSSL verifies it still, and finds the request in it.
    openssl.write("rewritten.p7m", submitted.der());
    let found = openssl.run("cms -verify -noverify -binary -inform DER -in rewritten.p7m", &[]);
    assert_eq!(found, request);

    // Only the outermost may be so. After its type and two headers, two elements end without one.
    let type_end = 2 + 11;
    let inside = &ber[type_end + 2..ber.len() - 4];
    let header = |tag: u8, length: usize| {
        let [.., high, low] = length.to_be_bytes();
        [tag, 0x82, high, low]
    };
    let explicit = [&header(0xa0, inside.len())[..], inside].concat();
    let kind = &ber[2..type_end];
    let mixed = [&header(0x30, kind.len() + explicit.len())[..], kind, &explicit].concat();
    assert_eq!(code(&mixed), "request-message-ber");
    // Cut off, and longer than anything may be.
    assert_eq!(code(&ber[..ber.len() - 1]), "request-message-malformed");
    let mut long = ber[..type_end].to_vec();
    long.resize(SUBMISSION_BYTES_MAX, 0x05);
    assert_eq!(code(&long), "request-message-malformed");
}

#[test]
fn a_message_of_another_kind_is_refused_by_name() {
    let openssl = scratch(P256, P256);
    let request = openssl.read("a.csr");
    let sha1 = sign(&openssl, &request, DATA, "-signer ra.pem -inkey ra.key -md sha1");
    let expected = "signature algorithm of the message is not accepted: SHA-1 is broken, use SHA-256 or longer";
    assert_eq!(refusal(&sha1), ("request-message-signature-unsupported", expected.to_owned()));
    let detached =
        openssl.run(&format!("cms -sign -binary -in a.csr -outform DER {BY_AGENT}"), &[]);
    let expected = "message around the request is malformed: signed content is not in the message";
    assert_eq!(refusal(&detached), ("request-message-malformed", expected.to_owned()));
    let other = sign(&openssl, &request, "1.2.3.4", BY_AGENT);
    let expected = "messages of type 1.2.3.4 are not taken, only signed data around a request";
    assert_eq!(refusal(&other), ("request-message-type", expected.to_owned()));
    openssl.key("rsa", RSA_2048);
    openssl.run("req -x509 -new -key rsa.key -subj /CN=rsa -out rsa.pem", &[]);
    let enveloped = openssl.run("cms -encrypt -binary -in a.csr -outform DER -aes256 rsa.pem", &[]);
    assert_eq!(code(&enveloped), "request-message-type");
    for content in [&b"hello"[..], encode_pem("CERTIFICATE REQUEST", &request).as_bytes()] {
        let wrong = sign(&openssl, content, DATA, BY_AGENT);
        assert_eq!(code(&wrong), "request-message-malformed");
    }
    let certificate = sign(&openssl, &openssl.read("ra.pem"), DATA, BY_AGENT);
    assert_eq!(code(&certificate), "request-message-malformed");
}

#[test]
fn a_message_that_was_changed_is_refused() {
    let openssl = scratch(P256, P256);
    openssl.run("req -new -key a.key -subj /CN=b -outform DER -out b.csr", &[]);
    let (signed_for, changed_to) = (openssl.read("a.csr"), openssl.read("b.csr"));
    let der = sign(&openssl, &signed_for, DATA, BY_AGENT);
    // Requests of one key have the same length but for their signatures; swap the names alone.
    let mut changed = signed_for.clone();
    let at = signed_for.windows(5).position(|it| it == *b"\x55\x04\x03\x0c\x01").unwrap() + 5;
    assert_eq!((signed_for[at], changed_to[at]), (b'a', b'b'));
    changed[at] = b'b';
    let place = der.windows(signed_for.len()).position(|it| it == signed_for).unwrap();
    let der = [&der[..place], &changed, &der[place + changed.len()..]].concat();
    let err = parse_submission(&der).unwrap_err();
    assert!(matches!(err, SubmissionError::DigestMismatch), "{err}");
    // Another type of content is another message, too.
    let data = python(&openssl, "pki_data([], [tcr(1, read('a.csr'))])");
    let der = sign(&openssl, &data, "1.3.6.1.5.5.7.12.3", BY_AGENT);
    let place = der.windows(3).position(|it| it == [7, 12, 3]).unwrap();
    let mut changed = der;
    changed[place + 2] = 2;
    assert_eq!(code(&changed), "request-message-malformed");
}

#[test]
fn a_signer_contradicts_neither_himself_nor_his_key() {
    let openssl = scratch(P256, RSA_2048);
    openssl.run("x509 -in ra.pem -outform DER -out ra.der", &[]);
    let by = |signer: &str| {
        let made = format!(
            "signed_data('1.2.840.113549.1.7.1', read('a.csr'), [{signer}], [read('ra.der')])"
        );
        refusal(&python(&openssl, &made))
    };
    // A certificate with an RSA key, and a signature by ECDSA.
    let ecdsa =
        "signer('1.2.840.10045.4.3.2', read('ra.der'), '1.2.840.113549.1.7.1', read('a.csr'), [])";
    let message = "signature algorithm of the message does not fit the rsa-2048 key of its signer";
    assert_eq!(by(ecdsa), ("request-message-signature-mismatch", message.to_owned()));
    // ECDSA with SHA-384 over attributes with a SHA-256 digest.
    let (code, message) = by(&ecdsa.replace("4.3.2'", "4.3.3'"));
    assert_eq!(code, "request-message-signature-unsupported");
    assert!(message.ends_with("it digests otherwise than the signer says"), "{message}");
    // A type of content that the signer did not sign, though the digest is right.
    let (code, message) = by(&ecdsa.replace("113549.1.7.1", "113549.1.7.5"));
    assert_eq!(code, "request-message-malformed");
    assert!(message.ends_with("a signer signed another type of content"), "{message}");
    // Only plain data may go without signed attributes.
    let data = python(&openssl, "pki_data([], [tcr(1, read('a.csr'))])");
    let (code, message) = refusal(&sign(&openssl, &data, PKI_DATA, &format!("{BY_AGENT} -noattr")));
    assert_eq!(code, "request-message-malformed");
    assert!(message.ends_with("a signer has no signed attributes"), "{message}");
}

#[test]
fn signers_and_certificates_are_counted() {
    let openssl = scratch(P256, P256);
    let request = openssl.read("a.csr");
    let by = |count: usize| {
        sign(&openssl, &request, DATA, &format!("-nocerts {}", [BY_AGENT; 9][..count].join(" ")))
    };
    assert_eq!(parse_submission(&by(8)).unwrap().layers()[0].signers().len(), 8);
    assert_eq!(refusal(&by(9)).1, "message around the request has more than 8 signers");

    let bag: String = (0..32)
        .map(|it| {
            let make = format!("req -x509 -new -key a.key -subj /CN=a{it}");
            openssl.text(&make, &[])
        })
        .collect();
    openssl.write("bag.pem", bag);
    let der = sign(&openssl, &request, DATA, &format!("{BY_AGENT} -certfile bag.pem"));
    assert_eq!(refusal(&der).1, "message around the request has more than 32 certificates");
    let der = sign(&openssl, &request, DATA, &format!("{BY_AGENT} -certfile bag.pem -nocerts"));
    assert_eq!(parse_submission(&der).unwrap().layers()[0].certificates().len(), 32);
}

#[test]
fn messages_are_not_nested_without_end() {
    let openssl = scratch(P256, P256);
    let mut der = openssl.read("a.csr");
    for _ in 0..3 {
        der = sign(&openssl, &der, DATA, BY_AGENT);
        assert!(parse_submission(&der).is_ok());
    }
    assert_eq!(code(&sign(&openssl, &der, DATA, BY_AGENT)), "request-too-many");
}

#[test]
fn a_broken_message_never_breaks_the_reader() {
    let openssl = scratch(P256, P256);
    openssl
        .write("inner.p7", full_request(&openssl, "control(2, CMC + '5', integer(7))", BY_AGENT));
    let data = python(
        &openssl,
        "pki_data([control(1, CMC + '18', octets(b'a=b')), control(2, CMC + '8',
            add_extensions(0, [5], ('1.2.3', True, integer(1))))], [], [message(5, read('inner.p7'))])",
    );
    let originals = [
        sign(&openssl, &data, PKI_DATA, BY_AGENT),
        openssl.read("inner.p7"),
        sign(&openssl, &openssl.read("a.csr"), DATA, &format!("{BY_AGENT} -keyid")),
    ];
    assert!(originals.iter().all(|it| parse_submission(it).is_ok()));
    mutate(&originals, |bytes| {
        match parse_submission(bytes) {
            Ok(submitted) => {
                prop_assert_eq!(submitted.der(), bytes);
                for signer in submitted.layers().iter().flat_map(SignedLayer::signers) {
                    prop_assert!(!signer.signed_bytes().is_empty());
                }
            }
            Err(err) => {
                prop_assert!(err.code().starts_with("request-") && !err.to_string().is_empty());
            }
        }
        Ok(())
    });
}
