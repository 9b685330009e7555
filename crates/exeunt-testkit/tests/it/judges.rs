//! A small CA made with openssl, one good certificate and several broken ones.

use std::{fs, path::PathBuf, sync::LazyLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use exeunt_testkit::{
    foreign,
    requests::{openssl_key, openssl_request},
    tools,
};
use tempfile::TempDir;

/// Certificates of one CA, as PEM.
struct Fixture {
    ca: String,
    good: String,
    negative_serial: String,
    crl: String,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(make);

fn make() -> Fixture {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let ca_key = openssl_key("ec:P-256#ca");
    fs::write(
        path("extensions"),
        "basicConstraints=critical,CA:FALSE\n\
         keyUsage=critical,digitalSignature\n\
         subjectKeyIdentifier=hash\n\
         authorityKeyIdentifier=keyid\n\
         subjectAltName=DNS:leaf.example\n",
    )
    .unwrap();
    fs::write(
        path("ca.conf"),
        format!(
            "[ca]\ndefault_ca=it\n[it]\ndatabase={0}/index\ncrlnumber={0}/number\n\
             default_md=sha256\ndefault_crl_days=5\ncrl_extensions=ext\n\
             [ext]\nauthorityKeyIdentifier=keyid\n",
            dir.path().display()
        ),
    )
    .unwrap();
    fs::write(path("index"), "").unwrap();
    fs::write(path("number"), "01").unwrap();

    let ca = openssl(
        "req -x509 -new -days 30 -subj /C=DE/CN=Root -addext keyUsage=critical,keyCertSign,cRLSign",
        &[("-key", &ca_key)],
    );
    fs::write(path("ca.pem"), &ca).unwrap();
    let request = openssl_request("ec:P-256", "/C=DE/CN=leaf", &[], dir.path());
    let files = [
        ("-in", &request),
        ("-CA", &path("ca.pem")),
        ("-CAkey", &ca_key),
        ("-extfile", &path("extensions")),
    ];
    let good = openssl("x509 -req -days 10 -set_serial 0x4455667788990011", &files);
    let negative_serial = openssl("x509 -req -days 10 -set_serial -5", &files);
    let crl = openssl(
        "ca -gencrl",
        &[("-config", &path("ca.conf")), ("-cert", &path("ca.pem")), ("-keyfile", &ca_key)],
    );
    Fixture { ca, good, negative_serial, crl }
}

fn openssl(command: &str, files: &[(&str, &PathBuf)]) -> String {
    let mut args: Vec<PathBuf> = command.split(' ').map(PathBuf::from).collect();
    args.extend(files.iter().flat_map(|(option, path)| [PathBuf::from(option), (*path).clone()]));
    String::from_utf8(tools::run_ok(tools::openssl(), args, b"")).unwrap()
}

/// Turns one bit of the last octet over, which belongs to the signature in any signed structure.
fn with_flipped_signature(pem: &str) -> String {
    let body: String = pem.lines().filter(|it| !it.starts_with("-----")).collect();
    let mut der = BASE64_STANDARD.decode(body).unwrap();
    *der.last_mut().unwrap() ^= 1;
    let label = pem.split("-----").nth(1).unwrap().trim_start_matches("BEGIN ");
    let lines: Vec<String> = BASE64_STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|it| String::from_utf8_lossy(it).into_owned())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn every_judge_accepts_a_good_certificate_and_a_good_list() {
    let Fixture { ca, good, crl, .. } = &*FIXTURE;
    foreign::openssl_verify(good, ca).unwrap();
    foreign::openssl_verify(ca, ca).unwrap();
    foreign::certtool_verify(good, ca).unwrap();
    foreign::python_issued_by(good, ca).unwrap();
    foreign::openssl_crl_verify(crl, ca).unwrap();
    foreign::python_crl_issued_by(crl, ca).unwrap();
    foreign::openssl_verify_with_crl(good, ca, crl).unwrap();
    foreign::pkilint_many([("ca", ca), ("good", good), ("crl", crl)].map(|(a, b)| (a, &**b)))
        .unwrap();
}

#[test]
fn a_flipped_signature_is_caught_by_all_who_verify() {
    let Fixture { ca, good, crl, .. } = &*FIXTURE;
    let broken = with_flipped_signature(good);
    let said = foreign::openssl_verify(&broken, ca).unwrap_err();
    assert!(said.contains("signature failure"), "{said}");
    let said = foreign::certtool_verify(&broken, ca).unwrap_err();
    assert!(said.contains("signature"), "{said}");
    assert!(foreign::python_issued_by(&broken, ca).is_err());

    let broken = with_flipped_signature(crl);
    assert!(foreign::openssl_crl_verify(&broken, ca).is_err());
    assert!(foreign::python_crl_issued_by(&broken, ca).is_err());
    let broken = with_flipped_signature(ca);
    assert!(foreign::openssl_verify(good, &broken).is_err());
}

#[test]
fn a_negative_serial_is_caught_by_the_linter_alone() {
    let Fixture { ca, good, negative_serial, .. } = &*FIXTURE;
    // That these two let it pass is why a linter is needed.
    foreign::openssl_verify(negative_serial, ca).unwrap();
    foreign::certtool_verify(negative_serial, ca).unwrap();
    let said = foreign::pkilint(negative_serial).unwrap_err();
    assert!(said.contains("pkix.certificate_serial_number_out_of_range"), "{said}");

    let documents = [("good", good.as_str()), ("bad", negative_serial), ("root", ca)];
    let said = foreign::pkilint_many(documents).unwrap_err();
    assert!(said.lines().all(|it| it.starts_with("bad: ERROR ")), "{said}");
}

#[test]
fn the_texts_are_those_of_openssl() {
    let Fixture { good, crl, .. } = &*FIXTURE;
    let text = foreign::openssl_text(good);
    assert!(text.contains("DNS:leaf.example"), "{text}");
    let text = foreign::openssl_crl_text(crl);
    assert!(text.contains("No Revoked Certificates"), "{text}");
}

#[test]
fn a_flipped_ml_dsa_signature_is_caught() {
    let mut made = foreign::ml_dsa_sign(44, b"message");
    foreign::ml_dsa_verify(&made.spki_der, b"message", &made.signature).unwrap();
    made.signature[100] ^= 1;
    assert!(foreign::ml_dsa_verify(&made.spki_der, b"message", &made.signature).is_err());
}
