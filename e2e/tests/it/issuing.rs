//! Certificates, judged by strangers.

use exeunt_e2e::ca::{Ca, text};
use exeunt_testkit::{foreign, requests, tools};

/// A request by openssl as a file of the CA's scratch folder.
pub fn request(ca: &Ca, key: &str, subject: &str, san: &[&str]) -> String {
    let path = requests::openssl_request(key, subject, san, ca.scratch());
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// One CA of every key type; each issues for another kind of key.
const PAIRS: [(&str, &str); 10] = [
    ("ecdsa-p256", "rsa:2048"),
    ("ecdsa-p384", "ec:P-256"),
    ("ecdsa-p521", "ec:P-384"),
    ("rsa-2048", "ec:P-521"),
    ("rsa-3072", "ed25519"),
    ("rsa-4096", "ml-dsa:44"),
    ("ed25519", "rsa:3072"),
    ("ml-dsa-44", "ml-dsa:65"),
    ("ml-dsa-65", "ml-dsa:87"),
    ("ml-dsa-87", "ec:P-256"),
];

#[test]
fn a_ca_of_every_key_type_issues_certificates_that_foreign_tools_verify_and_lint() {
    let mut linted = Vec::new();
    for (key_type, requested) in PAIRS {
        let ca = Ca::init(&["--key-type", key_type, "--subject", "CN=Test Root,O=Example,C=DE"]);
        let server = ca.serve();
        let file =
            request(&ca, requested, "/O=Example/CN=host.example.test", &["host.example.test"]);
        let out = ca.scratch().join("host.pem");
        ca.ok(&["submit", &file, "--out", out.to_str().unwrap()]);
        server.stop();
        let certificate = std::fs::read_to_string(out).unwrap();
        let root = ca.certificate();
        foreign::python_issued_by(&certificate, &root)
            .unwrap_or_else(|err| panic!("{key_type} for {requested}: {err}"));
        // The OpenSSL 3.0 and GnuTLS 3.7 of Debian 12 know no ML-DSA.
        if !key_type.starts_with("ml-dsa") && !requested.starts_with("ml-dsa") {
            foreign::openssl_verify(&certificate, &root)
                .unwrap_or_else(|err| panic!("{key_type} for {requested}: {err}"));
            foreign::certtool_verify(&certificate, &root)
                .unwrap_or_else(|err| panic!("{key_type} for {requested}: {err}"));
        }
        linted.push((format!("{key_type} for {requested}"), certificate));
        linted.push((format!("{key_type} root"), root));
    }
    let named: Vec<(&str, &str)> =
        linted.iter().map(|(name, pem)| (name.as_str(), pem.as_str())).collect();
    foreign::pkilint_many(named).unwrap();
}

#[test]
fn a_subordinate_ca_serves_once_its_parent_has_signed_its_request() {
    let parent = Ca::init(&[]);
    let ca = Ca::init(&["--kind", "subordinate", "--subject", "CN=Test Sub"]);
    let refused = ca.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("error[ca-certificate-missing]"));

    sign_by_openssl(&parent, &ca);
    assert!(ca.ok(&["config", "check"]).contains("CN=Test Sub"));
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let certificate = ca.ok(&["submit", &file]);
    server.stop();
    let chain = ca.scratch().join("sub.pem");
    std::fs::write(&chain, ca.certificate()).unwrap();
    let root = ca.scratch().join("root.pem");
    std::fs::write(&root, parent.certificate()).unwrap();
    let (root, chain) = (root.to_str().unwrap(), chain.to_str().unwrap());
    tools::run_ok(
        tools::openssl(),
        ["verify", "-x509_strict", "-CAfile", root, "-untrusted", chain],
        certificate.as_bytes(),
    );
}

/// A parent of another make: openssl with the parent's key.
fn sign_by_openssl(parent: &Ca, ca: &Ca) {
    let home = |ca: &Ca, name: &str| ca.home().join(name).to_str().unwrap().to_owned();
    let extensions = ca.scratch().join("ca.cnf");
    std::fs::write(
        &extensions,
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
         subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
    )
    .unwrap();
    let passphrase = format!("file:{}", home(parent, "secrets/passphrase"));
    tools::run_ok(
        tools::openssl(),
        [
            "x509",
            "-req",
            "-in",
            &home(ca, "ca.csr.pem"),
            "-days",
            "365",
            // Its top bit is set, as with half of all CAs that draw 8 octets at random.
            "-set_serial",
            "0xF0E1D2C3B4A59687",
            "-CA",
            &home(parent, "ca.cert.pem"),
            "-CAkey",
            &home(parent, "secrets/ca.key.pem"),
            "-passin",
            &passphrase,
            "-extfile",
            extensions.to_str().unwrap(),
            "-out",
            &home(ca, "ca.cert.pem"),
        ],
        b"",
    );
}

#[test]
fn a_request_that_the_policy_refuses_gets_a_reason_a_row_and_no_certificate() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host/serialNumber=7", &[]);
    let refused = ca.run(&["submit", &file]);
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains("error[subject-not-allowed]"), "{message}");
    assert!(message.contains("hint:"), "{message}");
    let row = ca.ok(&["request", "show", "1"]);
    assert!(row.contains("denied") && row.contains("0x80094001"), "{row}");
    let certificates: serde_json::Value =
        serde_json::from_str(&ca.ok(&["cert", "list", "--json"])).unwrap();
    assert_eq!(certificates["certificates"].as_array().map(Vec::len), Some(0));
    server.stop();
}

#[test]
fn what_is_no_request_is_refused_with_a_code_and_the_server_goes_on() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let mut nested = [0x30, 0x80].repeat(1000);
    nested.extend([0; 2000]);
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("empty", Vec::new(), "request-"),
        ("text", b"hello".to_vec(), "request-"),
        ("nested", nested, "request-"),
        ("large", vec![0x30; 1 << 20], "request-too-large"),
        ("certificate", ca.certificate().into_bytes(), "request-"),
    ];
    for (name, bytes, code) in cases {
        let file = ca.scratch().join(name);
        std::fs::write(&file, bytes).unwrap();
        let refused = ca.run(&["submit", file.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        let message = text(&refused.stderr);
        assert!(message.contains(&format!("error[{code}")), "{name}: {message}");
        assert!(message.contains("exeunt: hint: "), "{name}: {message}");
    }
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    ca.ok(&["submit", &file]);
    server.stop();
}
