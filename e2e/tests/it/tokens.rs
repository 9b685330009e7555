//! The CA's key in a token, and every kind of key judged by strangers.
//!
//! The tokens are `SoftHSM`'s. It learns from a variable of the environment where they are, which
//! each command of these tests gets.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_e2e::wire::Connection;
use exeunt_testkit::{foreign, tools};
use exeunt_types::KeyAlgorithm;
use exeunt_x509::{decode_pem_or_der, encode_pem};
use serde_json::Value;

use super::issuing::request;

const PIN: &str = "open-2718-sesame";

/// A place for a CA with tokens beside it.
struct Bed {
    ca: Ca,
}

impl Bed {
    fn new() -> Self {
        let bed = Self { ca: Ca::bare() };
        fs::create_dir(bed.tokens()).unwrap();
        let settings =
            format!("directories.tokendir = {}\nlog.level = ERROR\n", bed.tokens().display());
        fs::write(bed.conf(), settings).unwrap();
        bed.init_token("ca");
        bed.pin_file("pin", PIN);
        bed
    }

    fn tokens(&self) -> PathBuf {
        self.ca.scratch().join("tokens")
    }

    fn conf(&self) -> PathBuf {
        self.ca.scratch().join("softhsm2.conf")
    }

    fn init_token(&self, label: &str) {
        let args = ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "31415"];
        let done = Command::new(tools::softhsm_util())
            .args(args)
            .env("SOFTHSM2_CONF", self.conf())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    }

    /// A file with a PIN that only its owner can read.
    fn pin_file(&self, name: &str, pin: &str) -> String {
        let path = self.ca.scratch().join(name);
        fs::write(&path, format!("{pin}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.ca.command(args);
        command.env("SOFTHSM2_CONF", self.conf()).current_dir(self.ca.scratch());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// `init` with a key in the token.
    fn init(&self, options: &[&str]) -> Output {
        let module = tools::softhsm_module().to_str().unwrap();
        let key = ["--key", "pkcs11", "--pkcs11-module", module];
        self.run(&[&["init", "--name", "Test Root"], &key[..], options].concat())
    }

    #[track_caller]
    fn made(&self, options: &[&str]) {
        let output = self.init(&[&IN_TOKEN[..], options].concat());
        assert!(output.status.success(), "{options:?}: {}", text(&output.stderr));
    }

    fn serve(&self) -> Served {
        self.ca.serve_with(&[("SOFTHSM2_CONF", self.conf().to_str().unwrap())])
    }

    /// Pulls the token out, by moving its files away.
    fn pull_out(&self) {
        fs::rename(self.tokens(), self.ca.scratch().join("elsewhere")).unwrap();
        fs::create_dir(self.tokens()).unwrap();
    }

    fn plug_in(&self) {
        fs::remove_dir_all(self.tokens()).unwrap();
        fs::rename(self.ca.scratch().join("elsewhere"), self.tokens()).unwrap();
    }

    /// The one thing that a refused `init` says, and that it left no CA.
    #[track_caller]
    fn refused(&self, options: &[&str]) -> String {
        let output = self.init(options);
        assert!(!output.status.success(), "{options:?} was done");
        assert!(!self.ca.home().join("exeunt.toml").exists(), "{options:?}");
        text(&output.stderr)
    }
}

/// The token and its PIN.
const IN_TOKEN: [&str; 4] = ["--token", "ca", "--pin-file", "pin"];

/// Verifies an OCSP answer by pyca/cryptography, for keys that this openssl does not know: the
/// responder's certificate by the CA's key, and the answer by the responder's.
const JUDGE_OCSP: &str = r#"
import sys
from cryptography import x509
from cryptography.x509 import ocsp
answer = ocsp.load_der_ocsp_response(open(sys.argv[1], "rb").read())
root = x509.load_pem_x509_certificate(open(sys.argv[2], "rb").read())
responder = answer.certificates[0]
responder.verify_directly_issued_by(root)
responder.public_key().verify(answer.signature, answer.tbs_response_bytes)
print(answer.certificate_status.name)
"#;

/// Has strangers judge what the CA's key signs: its own certificate, another one, the revocation
/// list before and after a revocation, and an OCSP answer.
fn judge(ca: &Ca, server: &Served, key_type: &str) {
    let said = |what: &str| format!("{key_type}: {what}");
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let certificate = ca.scratch().join("host.pem");
    let path = certificate.to_str().unwrap();
    ca.ok(&["submit", &file, "--out", path]);
    let pem = fs::read_to_string(&certificate).unwrap();
    let root = ca.certificate();
    let crl = |name: &str| {
        ca.ok(&["crl", "publish"]);
        let out = ca.scratch().join(name);
        let fetched = get(server, "/crl/ca.crl");
        fs::write(&out, &fetched).unwrap();
        encode_pem("X509 CRL", &fetched)
    };
    let before = crl("before.crl");
    let is_known_here = !key_type.starts_with("ml-dsa");
    if is_known_here {
        foreign::openssl_verify_with_crl(&pem, &root, &before)
            .unwrap_or_else(|it| panic!("{}", said(&it)));
        let answer = openssl_ocsp(ca, server, path);
        assert!(
            answer.contains("Response verify OK") && answer.contains(": good"),
            "{}",
            said(&answer)
        );
    } else {
        // The OpenSSL 3.0 of Debian 12 knows no ML-DSA.
        foreign::python_issued_by(&pem, &root).unwrap_or_else(|it| panic!("{}", said(&it)));
        foreign::python_issued_by(&root, &root).unwrap_or_else(|it| panic!("{}", said(&it)));
        foreign::python_crl_issued_by(&before, &root).unwrap_or_else(|it| panic!("{}", said(&it)));
        assert_eq!(python_ocsp(ca, server, path), "GOOD", "{key_type}");
    }
    ca.ok(&["cert", "revoke", "--file", path, "--reason", "key-compromise"]);
    let after = crl("after.crl");
    if is_known_here {
        let refused = foreign::openssl_verify_with_crl(&pem, &root, &after).unwrap_err();
        assert!(refused.contains("certificate revoked"), "{}", said(&refused));
        let answer = openssl_ocsp(ca, server, path);
        assert!(
            answer.contains("Response verify OK") && answer.contains(": revoked"),
            "{}",
            said(&answer)
        );
    } else {
        foreign::python_crl_issued_by(&after, &root).unwrap_or_else(|it| panic!("{}", said(&it)));
        assert_eq!(python_ocsp(ca, server, path), "REVOKED", "{key_type}");
    }
}

fn openssl_ocsp(ca: &Ca, server: &Served, certificate: &str) -> String {
    let root = ca.home().join("ca.cert.pem");
    let root = root.to_str().unwrap();
    let url = format!("http://{}/ocsp", server.address());
    let args = ["ocsp", "-url", &url, "-issuer", root, "-CAfile", root, "-cert", certificate];
    let output = Command::new(tools::openssl()).args(args).output().unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

fn python_ocsp(ca: &Ca, server: &Served, certificate: &str) -> String {
    let root = ca.home().join("ca.cert.pem");
    let (asking, answer) = (ca.scratch().join("asking.der"), ca.scratch().join("answer.der"));
    let (root, asking, answer) =
        (root.to_str().unwrap(), asking.to_str().unwrap(), answer.to_str().unwrap());
    // What is asked for needs no key that openssl would have to know.
    let args = ["ocsp", "-issuer", root, "-cert", certificate, "-no_nonce", "-reqout", asking];
    tools::run_ok(tools::openssl(), args, b"");
    let url = format!("http://{}/ocsp", server.address());
    let data = format!("@{asking}");
    let kind = "Content-Type: application/ocsp-request";
    let args = ["-sS", "--fail", "--data-binary", &data, "-H", kind, "-o", answer, &url];
    tools::run_ok(std::path::Path::new("curl"), args, b"");
    let judged = tools::run_ok(tools::python(), ["-c", JUDGE_OCSP, answer, root], b"");
    text(&judged).trim().to_owned()
}

fn get(server: &Served, path: &str) -> Vec<u8> {
    let url = format!("http://{}{path}", server.address());
    tools::run_ok(std::path::Path::new("curl"), ["-sS", "--fail", &url], b"")
}

#[test]
fn a_key_of_every_type_signs_certificates_lists_and_answers_that_strangers_verify() {
    let plain = KeyAlgorithm::KEY_TYPES.map(|it| (it.name(), "default"));
    let pss = ["rsa-2048", "rsa-3072"].map(|it| (it.to_owned(), "pss"));
    for (key_type, scheme) in plain.into_iter().chain(pss) {
        let ca = Ca::init(&["--key-type", &key_type, "--signature-scheme", scheme]);
        let server = ca.serve();
        judge(&ca, &server, &key_type);
        server.stop();
        if scheme == "pss" {
            assert_pss(&ca);
        }
    }
}

#[test]
fn a_key_in_a_token_signs_certificates_lists_and_answers_that_strangers_verify() {
    for (key_type, scheme) in [
        ("ecdsa-p256", "default"),
        ("ecdsa-p384", "default"),
        ("ecdsa-p521", "default"),
        ("ed25519", "default"),
        ("rsa-2048", "default"),
        ("rsa-3072", "default"),
        ("rsa-2048", "pss"),
    ] {
        let bed = Bed::new();
        bed.made(&["--key-type", key_type, "--signature-scheme", scheme]);
        // Nothing of the key is in the home, and what is there is what a token needs.
        assert!(!bed.ca.home().join("secrets/ca.key.pem").exists());
        let server = bed.serve();
        judge(&bed.ca, &server, key_type);
        server.stop();
        if scheme == "pss" {
            assert_pss(&bed.ca);
        }
        let checked = bed.run(&["config", "check"]);
        assert!(text(&checked.stdout).contains(key_type), "{}", text(&checked.stderr));
    }
}

/// Everything that the key signed is signed by PSS, as openssl reads it.
fn assert_pss(ca: &Ca) {
    let host = fs::read_to_string(ca.scratch().join("host.pem")).unwrap();
    let crl = encode_pem("X509 CRL", &fs::read(ca.scratch().join("after.crl")).unwrap());
    let root = ca.certificate();
    foreign::certtool_verify(&host, &root).unwrap();
    let linted = [("root", root.as_str()), ("host", &host), ("list", &crl)];
    foreign::pkilint_many(linted).unwrap();
    let shown = [
        foreign::openssl_text(&root),
        foreign::openssl_text(&host),
        foreign::openssl_crl_text(&crl),
    ];
    for shown in shown {
        let at = shown.find("Signature Algorithm: rsassaPss").expect("a signature by PSS");
        assert!(shown[at..].contains("Hash Algorithm: sha256"), "{shown}");
        assert!(!shown.contains("sha256WithRSAEncryption"), "{shown}");
    }
}

#[test]
fn the_request_of_a_subordinate_is_signed_in_the_token_by_the_scheme_that_was_chosen() {
    let bed = Bed::new();
    let scheme = ["--key-type", "rsa-2048", "--signature-scheme", "pss", "--kind", "subordinate"];
    bed.made(&[&scheme[..], &["--key-id", "ca01"]].concat());
    let request = fs::read_to_string(bed.ca.home().join("ca.csr.pem")).unwrap();
    let shown = foreign::openssl_request_text(&request);
    assert!(shown.contains("Signature Algorithm: rsassaPss"), "{shown}");
    let config = fs::read_to_string(bed.ca.home().join("exeunt.toml")).unwrap();
    assert!(config.contains("key_id = \"ca01\"\n") && !config.contains("key_label"), "{config}");
    let checked = text(&bed.run(&["config", "check"]).stdout);
    assert!(
        checked.contains("the private key of id ca01 in the token labelled \"ca\""),
        "{checked}"
    );
    assert!(checked.contains("rsa-pss-sha256"), "{checked}");
}

#[test]
fn an_init_that_the_token_does_not_allow_says_why_and_leaves_nothing() {
    let bed = Bed::new();
    let module = tools::softhsm_module().to_str().unwrap();
    let missing = bed.refused(&["--token", "another", "--pin-file", "pin"]);
    assert!(
        missing.contains("error[token-missing]: there is no token labelled \"another\""),
        "{missing}"
    );
    let wrong = bed.pin_file("wrong", "3141");
    let refused = bed.refused(&["--token", "ca", "--pin-file", &wrong]);
    assert!(refused.contains("error[token-pin-wrong]"), "{refused}");
    assert!(refused.contains("hint: the token does not tell how many tries are left"), "{refused}");
    assert!(!refused.contains("3141"), "{refused}");
    let refused = bed.refused(&["--token", "ca", "--pin-env", "NO_SUCH_PIN"]);
    assert!(
        refused.contains("error[token-pin-missing]") && refused.contains("NO_SUCH_PIN"),
        "{refused}"
    );
    let none = bed.refused(&[&IN_TOKEN[..], &["--existing-key", "--key-label", "old"]].concat());
    assert!(none.contains("error[token-key-missing]"), "{none}");
    let unsupported = bed.refused(&[&IN_TOKEN[..], &["--key-type", "ml-dsa-65"]].concat());
    assert!(unsupported.contains("error[token-unsupported]"), "{unsupported}");
    for (options, expected) in [
        (&["--pin-file", "pin"][..], "error[usage-key]: --key pkcs11 needs --token"),
        (&["--token", "ca"], "error[usage-key]: --key pkcs11 needs --pin-file or --pin-env"),
        (
            &["--token", "ca", "--pin-file", "pin", "--key-id", "xyz"],
            "error[usage-key]: --key-id: must be",
        ),
        (
            &["--token", "ca", "--pin-file", "pin", "--signature-scheme", "pss"],
            "error[usage-scheme]",
        ),
    ] {
        let refused = bed.refused(options);
        assert!(refused.contains(expected), "{options:?}: {refused}");
    }
    let plain = ["init", "--name", "X", "--pkcs11-module", module];
    let refused = text(&bed.run(&plain).stderr);
    assert!(refused.contains("hint: give --key pkcs11 as well"), "{refused}");

    // After all this, nothing is in the way of a good one.
    bed.made(&[]);
    assert!(bed.run(&["config", "check"]).status.success());
}

#[test]
fn a_key_that_is_in_the_token_is_taken_by_order_only() {
    let bed = Bed::new();
    bed.made(&["--key-label", "other"]);
    fs::remove_dir_all(bed.ca.home()).unwrap();
    bed.made(&["--key-label", "root", "--key-type", "ecdsa-p384"]);
    let spki = public_key(&bed.ca.certificate());
    fs::remove_dir_all(bed.ca.home()).unwrap();

    let label = ["--key-label", "root"];
    let taken = bed.refused(&[&IN_TOKEN[..], &label].concat());
    assert!(taken.contains("error[token-key-exists]"), "{taken}");
    assert!(taken.contains("--existing-key"), "{taken}");
    let existing = [&IN_TOKEN[..], &label, &["--existing-key"]].concat();
    let other = bed.refused(&[&existing[..], &["--key-type", "rsa-2048"]].concat());
    assert!(other.contains("error[key-type-other]"), "{other}");
    let pss = bed.refused(&[&existing[..], &["--signature-scheme", "pss"]].concat());
    assert!(pss.contains("rsa-pss-sha256") && pss.contains("ecdsa-p384"), "{pss}");
    let made = bed.init(&existing);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert!(text(&made.stdout).contains("private key labelled \"root\""), "{}", text(&made.stdout));
    assert_eq!(public_key(&bed.ca.certificate()), spki);
    let config = fs::read_to_string(bed.ca.home().join("exeunt.toml")).unwrap();
    assert!(config.contains("# In a PKCS #11 token"), "{config}");
    assert!(config.contains("key_label = \"root\"\n"), "{config}");

    // A configuration that names another key, or none that there is, is found out before a start.
    let refused = |from: &str, to: &str| {
        bed.ca.configure(from, to);
        let said = text(&bed.run(&["config", "check"]).stderr);
        let code = said.split_inclusive("]: ").next().unwrap();
        let at_start = text(&bed.run(&["serve", "--listen", "127.0.0.1:0"]).stderr);
        assert!(at_start.starts_with(code), "{at_start}");
        said
    };
    let other = refused("key_label = \"root\"", "key_label = \"other\"");
    assert!(other.contains("error[ca-key-mismatch]"), "{other}");
    let none = refused("key_label = \"other\"", "key_label = \"third\"");
    assert!(
        none.contains("error[token-key-missing]: there is no private key labelled \"third\""),
        "{none}"
    );
    assert!(none.contains("hint: which keys there are: pkcs11-tool"), "{none}");
}

fn public_key(certificate: &str) -> String {
    let args = ["x509", "-noout", "-pubkey"];
    text(&tools::run_ok(tools::openssl(), args, certificate.as_bytes()))
}

#[test]
fn a_token_that_goes_and_comes_back_costs_the_requests_of_the_time_between_and_no_more() {
    let bed = Bed::new();
    bed.made(&[]);
    let ca = &bed.ca;
    let server = bed.serve();
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let certificate = ca.scratch().join("first.pem");
    ca.ok(&["submit", &file, "--out", certificate.to_str().unwrap()]);
    let answer = openssl_ocsp(ca, &server, certificate.to_str().unwrap());
    assert!(answer.contains(": good"), "{answer}");

    bed.pull_out();
    let refused = ca.run(&["submit", &file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("error[issue-sign]"), "{}", text(&refused.stderr));
    let der = fs::read(&file).unwrap();
    let der = decode_pem_or_der(&der, &["CERTIFICATE REQUEST"]).unwrap();
    let begun = Instant::now();
    let refused = Connection::open(server.address(), &ca.token()).unwrap().submit(&der).unwrap();
    assert_eq!(refused.status, 503);
    assert!(text(&refused.body).contains("\"issue-sign\""), "{}", text(&refused.body));
    assert!(begun.elapsed() < Duration::from_secs(10), "the answer took {:?}", begun.elapsed());
    let published = ca.run(&["crl", "publish"]);
    assert_eq!(published.status.code(), Some(1), "{}", text(&published.stderr));
    // What needs no key goes on: answers by OCSP among it, as the responder has a key of its own.
    let answer = openssl_ocsp(ca, &server, certificate.to_str().unwrap());
    assert!(answer.contains("Response verify OK") && answer.contains(": good"), "{answer}");
    let log = fs::read_to_string(ca.log()).unwrap();
    assert!(log.contains("is missing or does not answer: there is no token labelled"), "{log}");
    assert!(log.contains("\"cause\":\"sign-token-missing\""), "{log}");
    assert!(!log.contains(PIN) && !log.contains("cryptoki"), "{log}");

    bed.plug_in();
    // By itself: the module may have to be restarted, which is tried every 15 seconds at most.
    let issued = wait_for("the token to be found again", || {
        let output = ca.run(&["submit", &file]);
        output.status.success().then(|| text(&output.stdout))
    });
    foreign::openssl_verify(&issued, &ca.certificate()).unwrap();
    ca.ok(&["crl", "publish"]);
    let failed = ca.ok(&["request", "show", "3", "--json"]);
    assert!(failed.contains("the CA's key did not sign"), "{failed}");
    server.stop();
}

#[test]
fn a_ca_with_its_key_in_a_file_is_renewed_with_one_in_a_token_and_stays_there() {
    let bed = Bed::new();
    let ca = &bed.ca;
    assert!(bed.run(&["init", "--name", "Test Root"]).status.success());
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let issue = || {
        let server = bed.serve();
        let issued = ca.ok(&["submit", &file]);
        server.stop();
        issued
    };
    let root = |name: &str| fs::read_to_string(ca.home().join(name)).unwrap();
    foreign::openssl_verify(&issue(), &root("ca.cert.pem")).unwrap();

    let module = tools::softhsm_module().to_str().unwrap();
    let key = ["--new-key", "--key", "pkcs11", "--pkcs11-module", module, "--key-type", "rsa-2048"];
    let scheme = ["--signature-scheme", "pss"];
    let renewed = bed.run(&[&["ca", "renew"], &key[..], &scheme, &IN_TOKEN].concat());
    assert!(renewed.status.success(), "{}", text(&renewed.stderr));
    let issued = issue();
    foreign::openssl_verify(&issued, &root("ca(1).cert.pem")).unwrap();
    assert!(foreign::openssl_text(&issued).contains("rsassaPss"));
    assert!(foreign::openssl_verify(&issued, &root("ca.cert.pem")).is_err());

    // What is not said of the next key is as with this one; only its label is another.
    let renewed = bed.run(&["ca", "renew", "--new-key"]);
    assert!(renewed.status.success(), "{}", text(&renewed.stderr));
    assert!(!ca.home().join("secrets/ca(2).key.pem").exists());
    let issued = issue();
    foreign::openssl_verify(&issued, &root("ca(2).cert.pem")).unwrap();
    assert!(foreign::openssl_text(&issued).contains("rsassaPss"));
    let config = fs::read_to_string(ca.home().join("exeunt.toml")).unwrap();
    assert_eq!(config.matches("pkcs11_module = ").count(), 2, "{config}");
    let checked = bed.run(&["config", "check"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn ocsp_without_a_responder_says_try_later_while_the_token_is_away() {
    let bed = Bed::new();
    bed.made(&["--key-type", "ecdsa-p384"]);
    let ca = &bed.ca;
    let server = bed.serve();
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let certificate = ca.scratch().join("host.pem");
    let certificate = certificate.to_str().unwrap();
    ca.ok(&["submit", &file, "--out", certificate]);
    // Its certificate is made when the first one asks.
    bed.pull_out();
    let answer = openssl_ocsp(ca, &server, certificate);
    assert!(answer.contains("trylater"), "{answer}");
    server.stop();
    // The next one is tried for a minute later, or at the next start.
    bed.plug_in();
    let server = bed.serve();
    let answer = openssl_ocsp(ca, &server, certificate);
    assert!(answer.contains("Response verify OK") && answer.contains(": good"), "{answer}");
    server.stop();
}

/// What was answered to a client that goes on asking.
#[derive(Default)]
struct Answers {
    issued: BTreeSet<String>,
    refused: usize,
}

#[test]
fn under_load_every_answer_of_a_ca_whose_token_goes_and_comes_back_is_on_record() {
    let bed = Bed::new();
    bed.made(&[]);
    let ca = &bed.ca;
    let server = bed.serve();
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let pem = fs::read(file).unwrap();
    let der = decode_pem_or_der(&pem, &["CERTIFICATE REQUEST"]).unwrap();
    let (address, token) = (server.address(), ca.token());
    let stop = AtomicBool::new(false);
    // How many were issued and refused so far.
    let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let await_more = |which: usize| {
        let before = counts[which].load(Ordering::SeqCst);
        wait_for("more answers", || {
            (before + 10 < counts[which].load(Ordering::SeqCst)).then_some(())
        });
    };
    let client = || {
        let mut answers = Answers::default();
        let mut connection = Connection::open(address, &token).unwrap();
        while !stop.load(Ordering::SeqCst) {
            let answer = connection.submit(&der).unwrap();
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            let which = usize::from(answer.status == 503);
            if which == 0 {
                let serial = body["serial"].as_str().unwrap_or_else(|| panic!("{body}"));
                assert!(answers.issued.insert(serial.to_owned()), "{serial} twice");
            } else {
                assert_eq!(body["code"], "issue-sign", "{body}");
                answers.refused += 1;
            }
            counts[which].fetch_add(1, Ordering::SeqCst);
            // The list of all that happened has to be short enough to be read at once.
            std::thread::sleep(Duration::from_millis(100));
        }
        answers
    };
    let answers = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(client)).collect();
        await_more(0);
        bed.pull_out();
        await_more(1);
        bed.plug_in();
        await_more(0);
        stop.store(true, Ordering::SeqCst);
        let done = clients.into_iter().map(|it| it.join().unwrap());
        done.fold(Answers::default(), |mut all, mut it| {
            all.issued.append(&mut it.issued);
            all.refused += it.refused;
            all
        })
    });

    let listed = |what: &str, rows: &str| -> Vec<Value> {
        let text = ca.ok(&[what, "list", "--limit", "1000", "--json"]);
        let list: Value = serde_json::from_str(&text).unwrap();
        list[rows].as_array().unwrap_or_else(|| panic!("{text}")).clone()
    };
    let certificates = listed("cert", "certificates");
    let known: BTreeSet<String> =
        certificates.iter().map(|it| it["serial"].as_str().unwrap().to_owned()).collect();
    assert_eq!(known, answers.issued);
    let requests = listed("request", "requests");
    assert!(requests.len() < 1000, "too many to be seen at once");
    let failed = requests.iter().filter(|it| it["disposition"] == "failed").count();
    assert_eq!((failed, requests.len()), (answers.refused, answers.issued.len() + answers.refused));
    // A serial number that was given up while the token was away counts as revoked.
    ca.ok(&["crl", "publish"]);
    let crl = encode_pem("X509 CRL", &get(&server, "/crl/ca.crl"));
    let listed = foreign::openssl_crl_text(&crl).matches("Serial Number:").count();
    assert_eq!(listed, answers.refused);
    server.stop();
}

#[test]
fn a_start_without_the_token_is_refused_and_says_which_one() {
    let bed = Bed::new();
    bed.made(&[]);
    bed.pull_out();
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["config", "check"]] {
        let refused = bed.run(command);
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused.stderr);
        assert!(said.contains("error[token-missing]: there is no token labelled \"ca\""), "{said}");
        assert!(said.contains("hint: "), "{said}");
    }
    bed.plug_in();
    bed.serve().stop();

    // The PIN may come from the environment, and only a right one opens the token.
    let pin = format!("pin_file = {:?}", bed.ca.scratch().join("pin"));
    bed.ca.configure(&pin, "pin_env = \"TOKEN_PIN\"");
    let check =
        |pin: &str| bed.command(&["config", "check"]).env("TOKEN_PIN", pin).output().unwrap();
    assert!(check(PIN).status.success(), "{}", text(&check(PIN).stderr));
    assert!(text(&check("1414").stderr).contains("error[token-pin-wrong]"));
    let unset = bed.run(&["config", "check"]);
    assert!(text(&unset.stderr).contains("error[token-pin-missing]"), "{}", text(&unset.stderr));
}
