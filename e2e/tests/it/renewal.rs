//! The CA's own certificates: a root that is renewed with the same key and with a new one, and a
//! subordinate CA below a root of openssl's. Strangers find the ways.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_e2e::{program, record};
use exeunt_testkit::{foreign, tools};
use exeunt_x509::encode_pem;
use serde_json::Value;

use super::issuing::request;

/// Exeunt's own: the CA has a new certificate.
const CA_CERT_ISSUED: u32 = 0x8_0000;
const HOST: &str = "host.example.test";

/// What `cryptography` says of a path: arguments are the leaf, what is trusted, and what is between.
const PYCA_PATH: &str = "
import sys
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
read = lambda path: x509.load_pem_x509_certificates(open(path, 'rb').read())
leaf, trusted, between = map(read, sys.argv[1:4])
builder = PolicyBuilder().store(Store(trusted))
builder.build_server_verifier(x509.DNSName('host.example.test')).verify(leaf[0], between)
";

fn issue(ca: &Ca) -> String {
    let file = request(ca, "ec:P-256", &format!("/CN={HOST}"), &[HOST]);
    ca.ok(&["submit", &file])
}

fn json(ca: &Ca, args: &[&str]) -> Value {
    serde_json::from_str(&ca.ok(&[args, &["--json"]].concat())).unwrap()
}

fn refused(ca: &Ca, args: &[&str], code: &str) {
    let output = ca.run(args);
    assert!(!output.status.success(), "{args:?} succeeded");
    let said = text(&output.stderr);
    assert!(said.contains(&format!("error[{code}]")), "{args:?}: {said}");
}

/// What anybody gets at a path, without a token; none where there is nothing.
fn fetch(server: &Served, path: &str) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: pki\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
    let is_there = text(&answer[..end]).lines().next().unwrap().contains(" 200 ");
    is_there.then(|| answer.split_off(end + 4))
}

fn certificate(server: &Served, path: &str) -> String {
    let der = fetch(server, path).unwrap_or_else(|| panic!("nothing at {path}"));
    encode_pem("CERTIFICATE", &der)
}

fn list(server: &Served, path: &str) -> String {
    encode_pem("X509 CRL", &wait_for("a revocation list", || fetch(server, path)))
}

/// Whether openssl, `GnuTLS`, NSS and pyca find a way from one trusted certificate to another.
#[track_caller]
fn check_path(ca: &Ca, leaf: &str, trusted: &str, between: &str) {
    let [leaf_file, trusted_file, between_file] =
        [("leaf", leaf), ("trusted", trusted), ("between", between)].map(|(name, pem)| {
            let path = ca.scratch().join(format!("{name}.pem"));
            std::fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        });
    let mut args = vec!["verify", "-x509_strict", "-no-CApath", "-no-CAstore"];
    args.extend(["-CAfile", &trusted_file]);
    if !between.is_empty() {
        args.extend(["-untrusted", &between_file]);
    }
    args.push(&leaf_file);
    tools::run_ok(tools::openssl(), args, b"");
    foreign::certtool_verify(&format!("{leaf}{between}"), trusted).unwrap();
    foreign::nss_verify(leaf, trusted, between).unwrap();
    if !between.is_empty() {
        let args = ["-c", PYCA_PATH, &leaf_file, &trusted_file, &between_file];
        tools::run_ok(tools::python(), args, b"");
    }
}

/// Adds the recording module; its record.
fn listen(ca: &Ca) -> PathBuf {
    let (module, heard) = (program::built("record-module"), ca.scratch().join("heard"));
    let (module, file) = (module.to_str().unwrap(), heard.to_str().unwrap());
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = [{module:?}]\n[exit.settings]\nfile = {file:?}"
    ));
    heard
}

#[test]
fn a_root_is_renewed_with_its_key_and_with_a_new_one_and_everything_it_issued_stays_good() {
    let ca = Ca::init(&["--subject", "CN=Test Root,O=Example,C=DE"]);
    ca.configure(
        "crl_distribution_points = []",
        "crl_distribution_points = [\"http://pki.test/ca%8%9.crl\"]",
    );
    ca.configure("ca_issuers = []", "ca_issuers = [\"http://pki.test/ca%4.crt\"]");
    let heard = listen(&ca);
    let server = ca.serve();
    let first = issue(&ca);

    // The renewal runs beside the server, which goes on with what it has.
    ca.ok(&["ca", "renew", "--validity", "20y"]);
    let second = issue(&ca);
    assert!(foreign::openssl_text(&second).contains("http://pki.test/ca.crt"));
    server.stop();

    let server = ca.serve();
    let third = issue(&ca);
    assert!(foreign::openssl_text(&third).contains("http://pki.test/ca(1).crt"));
    assert!(foreign::openssl_text(&third).contains("http://pki.test/ca.crl"));
    ca.ok(&["ca", "renew", "--new-key", "--key-type", "ecdsa-p384"]);
    server.stop();

    let server = ca.serve();
    let fourth = issue(&ca);
    assert!(foreign::openssl_text(&fourth).contains("http://pki.test/ca(2).crl"));
    let roots: Vec<String> =
        (0..3).map(|it| certificate(&server, &format!("/ca/ca({it}).crt"))).collect();
    assert_eq!(certificate(&server, "/ca/current.crt"), roots[2]);
    // What was issued first names it, and it stays what it was.
    assert_eq!(certificate(&server, "/ca/ca.crt"), roots[0]);
    assert_eq!(certificate(&server, "/ca/ca%281%29.crt"), roots[1]);
    assert_eq!(ca.certificate(), roots[0]);
    let on_disk = |name: &str| std::fs::read_to_string(ca.home().join(name)).unwrap();
    assert_eq!(on_disk("ca(2).cert.pem"), roots[2]);
    let [old_signs_new, new_signs_old] = ["(1-2)", "(2-1)"].map(|it| {
        let cross = certificate(&server, &format!("/ca/ca{it}.crt"));
        assert_eq!(on_disk(&format!("ca{it}.cert.pem")), cross);
        cross
    });
    assert_eq!(fetch(&server, "/ca/ca(3).crt"), None);
    assert_eq!(fetch(&server, "/ca/ca(0-1).crt"), None);

    // Each believes what its key signed, and by the cross certificates what the other key signed.
    for leaf in [&first, &second, &third] {
        for root in &roots[..2] {
            check_path(&ca, leaf, root, "");
        }
        foreign::openssl_verify(leaf, &roots[2]).unwrap_err();
        foreign::nss_verify(leaf, &roots[2], "").unwrap_err();
        check_path(&ca, leaf, &roots[2], &new_signs_old);
    }
    check_path(&ca, &fourth, &roots[2], "");
    for root in &roots[..2] {
        foreign::openssl_verify(&fourth, root).unwrap_err();
        check_path(&ca, &fourth, root, &old_signs_new);
    }
    foreign::pkilint_many(
        [("0", &roots[0]), ("1", &roots[1]), ("2", &roots[2]), ("1-2", &old_signs_new)]
            .map(|(name, pem)| (name, pem.as_str())),
    )
    .unwrap();

    // Each key has its list, and a revocation stands in the list of the key that signed.
    let leaf = ca.scratch().join("first.pem");
    std::fs::write(&leaf, &first).unwrap();
    ca.ok(&["cert", "revoke", "--file", leaf.to_str().unwrap()]);
    ca.ok(&["crl", "publish"]);
    let (of_old, of_new) = (list(&server, "/crl/ca.crl"), list(&server, "/crl/ca(2).crl"));
    for root in &roots[..2] {
        let said = foreign::openssl_verify_with_crl(&first, root, &of_old).unwrap_err();
        assert!(said.contains("certificate revoked"), "{said}");
        foreign::openssl_verify_with_crl(&third, root, &of_old).unwrap();
    }
    foreign::openssl_verify_with_crl(&fourth, &roots[2], &of_new).unwrap();
    foreign::openssl_verify_with_crl(&fourth, &roots[2], &of_old).unwrap_err();

    // The modules have heard of both, once each.
    let new = || {
        let all = record::read(&heard).unwrap();
        all.into_iter().filter(|it| it.event == CA_CERT_ISSUED).collect::<Vec<_>>()
    };
    wait_for("the modules to hear of it", || (2 <= new().len()).then_some(()));
    assert_eq!(new().len(), 2);
    assert!(new().iter().all(|it| it.subject == "ca"));
    server.stop();

    let shown = json(&ca, &["ca", "show"]);
    let column = |name: &str| -> Vec<Value> {
        shown.as_array().unwrap().iter().map(|it| it[name].clone()).collect()
    };
    assert_eq!(column("key_index"), [0, 0, 2]);
    assert_eq!(column("suffix"), ["", "(1)", "(2)"]);
    assert_eq!(column("cert_state"), ["valid"; 3]);
    assert_eq!(column("crl_state"), ["error", "valid", "valid"]);
    assert_eq!(ca.ok(&["ca", "export-chain", "--index", "1"]), roots[1]);
    assert_eq!(ca.ok(&["ca", "export-chain"]), roots[2]);
}

#[test]
fn addresses_without_tokens_are_told_of_when_a_renewal_makes_them_wrong() {
    let ca = Ca::init(&[]);
    ca.configure(
        "crl_distribution_points = []",
        "crl_distribution_points = [\"http://p.test/a.crl\"]",
    );
    ca.configure("ca_issuers = []", "ca_issuers = [\"http://p.test/a.crt\"]");
    let warned = |args: &[&str]| -> [bool; 2] {
        let output = ca.run(args);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stderr) + &text(&output.stdout);
        [("p.test/a.crt", "%4"), ("p.test/a.crl", "%8")].map(|(address, token)| {
            said.lines()
                .any(|it| it.contains("warning: ") && it.contains(address) && it.contains(token))
        })
    };
    assert_eq!(warned(&["config", "check"]), [false, false]);
    assert_eq!(warned(&["ca", "renew"]), [true, false]);
    assert_eq!(warned(&["config", "check"]), [true, false]);
    assert_eq!(warned(&["ca", "renew", "--new-key"]), [true, true]);
    assert_eq!(warned(&["config", "check"]), [true, true]);
    ca.configure("http://p.test/a.crl", "http://p.test/a%8%9.crl");
    ca.configure("http://p.test/a.crt", "http://p.test/a%4.crt");
    assert_eq!(warned(&["config", "check"]), [false, false]);
}

#[test]
fn a_server_does_not_start_with_another_past_of_its_certificates() {
    let ca = Ca::init(&[]);
    ca.ok(&["ca", "renew", "--new-key"]);
    ca.serve().stop();
    let (config, second) = (ca.home().join("exeunt.toml"), ca.home().join("ca(1).cert.pem"));
    let (text, pem) = [&config, &second].map(|it| std::fs::read_to_string(it).unwrap()).into();

    let before = text.find("\n[[renewal]]").unwrap();
    std::fs::write(&config, &text[..before]).unwrap();
    refused(&ca, &["config", "check"], "ca-certificate-removed");
    refused(&ca, &["serve"], "ca-certificate-removed");
    std::fs::write(&config, &text).unwrap();

    // Another certificate for the same key.
    ca.ok(&["ca", "renew"]);
    std::fs::rename(ca.home().join("ca(2).cert.pem"), &second).unwrap();
    std::fs::write(&config, &text).unwrap();
    refused(&ca, &["config", "check"], "ca-certificate-changed");
    refused(&ca, &["serve"], "ca-certificate-changed");
    std::fs::write(&second, pem).unwrap();
    ca.serve().stop();

    // A certificate for another key.
    std::fs::copy(ca.home().join("ca.cert.pem"), &second).unwrap();
    refused(&ca, &["serve"], "ca-key-mismatch");
    refused(&ca, &["config", "check"], "ca-key-mismatch");
}

#[test]
fn what_a_renewal_left_that_broke_off_is_in_nobodys_way_and_is_kept() {
    let ca = Ca::init(&[]);
    let leftovers = ["ca(1).cert.pem", "secrets/ca(1).key.pem", "secrets/ca(1).passphrase"];
    for name in leftovers {
        std::fs::write(ca.home().join(name), "left").unwrap();
    }
    // It counts for nothing as long as the configuration does not name it.
    ca.serve().stop();
    let output = ca.run(&["ca", "renew", "--new-key"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("ca(1).cert.pem was in the way"));
    let kept = |folder: PathBuf| -> usize {
        let files = std::fs::read_dir(folder).unwrap();
        files
            .filter(|it| it.as_ref().unwrap().path().extension().is_some_and(|it| it == "old"))
            .count()
    };
    assert_eq!((kept(ca.home()), kept(ca.home().join("secrets"))), (1, 2));
    let server = ca.serve();
    let (leaf, root) = (issue(&ca), certificate(&server, "/ca/ca(1).crt"));
    foreign::openssl_verify(&leaf, &root).unwrap();
    server.stop();
    refused(&ca, &["ca", "renew", "--key-type", "rsa-2048"], "usage-key");
    refused(
        &ca,
        &["ca", "install", ca.home().join("ca.cert.pem").to_str().unwrap()],
        "ca-request-none",
    );
    refused(&ca, &["ca", "request"], "ca-request-none");
    refused(&ca, &["ca", "export-chain", "--index", "2"], "usage-index");
}

#[test]
fn a_renewal_that_is_killed_at_any_moment_leaves_a_ca_that_starts_and_can_be_renewed() {
    let ca = Ca::init(&[]);
    let config = ca.home().join("exeunt.toml");
    let declared = || std::fs::read_to_string(&config).unwrap().matches("[[renewal]]").count();
    let started = Instant::now();
    ca.ok(&["ca", "renew", "--new-key"]);
    let whole = started.elapsed();
    for round in 0..12 {
        let before = declared();
        let mut renewal = ca.command(&["ca", "renew", "--new-key"]);
        let mut renewal = renewal.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(whole * round / 10);
        let _ = renewal.kill();
        renewal.wait().unwrap();
        // It has happened or it has not, and what is declared is there with its key.
        assert!((before..=before + 1).contains(&declared()));
        let shown = json(&ca, &["ca", "show"]);
        assert_eq!(shown.as_array().unwrap().len(), declared() + 1, "{shown}");
    }
    ca.ok(&["config", "check"]);
    let before = declared();
    ca.ok(&["ca", "renew"]);
    assert_eq!(declared(), before + 1);
    let server = ca.serve();
    let (leaf, root) = (issue(&ca), certificate(&server, "/ca/current.crt"));
    foreign::openssl_verify(&leaf, &root).unwrap();
    server.stop();
}

/// A root by openssl in a folder, which signs what it is given.
struct Parent<'a>(&'a Path);

impl<'a> Parent<'a> {
    fn new(folder: &'a Path, name: &str) -> Self {
        let parent = Self(folder);
        let (key, root) =
            (parent.file(&format!("{name}.key")), parent.file(&format!("{name}.pem")));
        let subject = format!("/CN={name}");
        let made =
            ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let more = ["-keyout", &key, "-out", &root, "-subj", &subject, "-days", "3650"];
        let more = more.into_iter().chain(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        tools::run_ok(tools::openssl(), made.into_iter().chain(more), b"");
        parent
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    /// Signs a request, as a CA or not; the certificate's file.
    fn sign(&self, name: &str, request: &Path, is_ca: bool, more: &[&str]) -> String {
        let extensions = self.file("extensions.cnf");
        let text = if is_ca {
            "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyCertSign,cRLSign\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        } else {
            "keyUsage=critical,digitalSignature\n"
        };
        std::fs::write(&extensions, text).unwrap();
        let (root, key) = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        let out = self.file("signed.pem");
        let mut args = vec!["x509", "-req", "-in", request.to_str().unwrap(), "-CA", &root];
        args.extend(["-CAkey", &key, "-extfile", &extensions, "-out", &out]);
        args.extend(if more.is_empty() { &["-days", "365"] } else { more });
        tools::run_ok(tools::openssl(), args, b"");
        out
    }
}

#[test]
fn a_subordinate_ca_takes_the_right_certificate_and_no_other_and_is_renewed_below_the_same_parent()
{
    let ca = Ca::init(&["--kind", "subordinate", "--subject", "CN=Test Sub,O=Example"]);
    let parent = Parent::new(ca.scratch(), "parent");
    let stranger = Parent::new(ca.scratch(), "stranger");
    refused(&ca, &["serve"], "ca-certificate-missing");
    assert_eq!(json(&ca, &["ca", "show"])[0]["cert_state"], "under-submission");
    refused(&ca, &["ca", "renew"], "ca-certificate-missing");
    let csr = ca.scratch().join("request.pem");
    ca.ok(&["ca", "request", "--out", csr.to_str().unwrap()]);
    assert_eq!(std::fs::read(&csr).unwrap(), std::fs::read(ca.home().join("ca.csr.pem")).unwrap());
    assert!(foreign::openssl_request_text(&parent.read("request.pem")).contains("Test Sub"));

    // What is not for it.
    refused(&ca, &["ca", "install", &parent.file("parent.pem")], "ca-install-other-key");
    refused(
        &ca,
        &["ca", "install", &parent.sign("parent", &csr, false, &[])],
        "certificate-not-ca",
    );
    refused(&ca, &["ca", "install", &parent.file("request.pem")], "certificate-malformed");
    let other = ["-days", "365", "-subj", "/CN=Somebody Else"];
    refused(
        &ca,
        &["ca", "install", &parent.sign("parent", &csr, true, &other)],
        "ca-install-other-subject",
    );
    // It ended a day before it began.
    let past = parent.sign("parent", &csr, true, &["-days", "-1"]);
    refused(&ca, &["ca", "install", &past], "ca-install-expired");
    // A parent of the right name with another key.
    let right = parent.sign("parent", &csr, true, &[]);
    let impostor = Parent::new(ca.scratch(), "impostor");
    let subject =
        ["req", "-x509", "-key", &impostor.file("impostor.key"), "-subj", "/CN=parent", "-out"];
    let wrong_root = parent.file("wrong-root.pem");
    tools::run_ok(tools::openssl(), subject.into_iter().chain([wrong_root.as_str()]), b"");
    let both = parent.file("both.pem");
    std::fs::write(&both, parent.read("wrong-root.pem") + &parent.read("signed.pem")).unwrap();
    refused(&ca, &["ca", "install", &both], "ca-install-signature");
    assert!(!ca.home().join("ca.cert.pem").exists());

    // The right one with its chain, as Windows would give it.
    let bag = parent.file("bag.p7b");
    let made =
        ["crl2pkcs7", "-nocrl", "-certfile", &right, "-certfile", &parent.file("parent.pem")];
    let made: Vec<String> = made.iter().map(|it| (*it).to_owned()).collect();
    let more = ["-certfile", &stranger.file("stranger.pem"), "-outform", "DER", "-out", &bag]
        .map(str::to_owned);
    tools::run_ok(tools::openssl(), made.into_iter().chain(more), b"");
    ca.ok(&["ca", "install", &bag]);
    refused(&ca, &["ca", "install", &bag], "ca-request-none");
    let root = parent.read("parent.pem");
    let server = ca.serve();
    let first = issue(&ca);
    check_path(&ca, &first, &root, &ca.certificate());
    assert_eq!(ca.ok(&["ca", "export-chain"]).matches("BEGIN CERTIFICATE").count(), 2);
    foreign::openssl_verify(&first, &ca.ok(&["ca", "export-chain"])).unwrap();
    let p7b = ca.ok(&["ca", "export-chain", "--p7b"]);
    let printed = tools::run_ok(tools::openssl(), ["pkcs7", "-print_certs"], p7b.as_bytes());
    assert_eq!(text(&printed).matches("BEGIN CERTIFICATE").count(), 2);

    // A renewal with a new key waits for the parent, and the server goes on meanwhile.
    refused(&ca, &["ca", "renew", "--validity", "1y"], "usage-validity");
    ca.ok(&["ca", "renew", "--new-key"]);
    refused(&ca, &["ca", "renew"], "ca-renewal-waiting");
    let shown = json(&ca, &["ca", "show"]);
    assert_eq!(
        (&shown[1]["cert_state"], &shown[1]["key_index"]),
        (&"under-submission".into(), &1.into())
    );
    server.stop();
    let server = ca.serve();
    check_path(&ca, &issue(&ca), &root, &ca.certificate());
    refused(&ca, &["ca", "install", &right], "ca-install-other-key");
    let renewed = parent.sign("parent", &ca.home().join("ca(1).csr.pem"), true, &[]);
    ca.ok(&["ca", "install", &renewed]);
    server.stop();

    let server = ca.serve();
    let second = issue(&ca);
    let own = [0, 1].map(|it| certificate(&server, &format!("/ca/ca({it}).crt")));
    check_path(&ca, &second, &root, &own[1]);
    check_path(&ca, &first, &root, &own[0]);
    let of_new = list(&server, "/crl/ca(1).crl");
    foreign::openssl_crl_verify(&of_new, &own[1]).unwrap();
    foreign::openssl_crl_verify(&of_new, &own[0]).unwrap_err();
    // Its keys do not vouch for each other: that is the parent's business.
    assert_eq!(fetch(&server, "/ca/ca(0-1).crt"), None);
    server.stop();

    // With the same key: one more certificate for it.
    ca.ok(&["ca", "renew"]);
    refused(&ca, &["ca", "install", &renewed], "ca-install-known");
    let again = parent.sign("parent", &ca.home().join("ca(2).csr.pem"), true, &[]);
    ca.ok(&["ca", "install", &again]);
    let server = ca.serve();
    check_path(&ca, &issue(&ca), &root, &certificate(&server, "/ca/current.crt"));
    server.stop();
    let shown = json(&ca, &["ca", "show"]);
    let keys: Vec<_> = shown.as_array().unwrap().iter().map(|it| it["key_index"].clone()).collect();
    assert_eq!(keys, [0, 1, 1]);
    assert_eq!(shown[1]["crl_state"], "error");
}
