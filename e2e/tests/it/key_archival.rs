//! Private keys that go along with requests, through the whole program: archived for a recovery agent that
//! openssl made, recovered by two people, and opened by openssl as well as by the program.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_e2e::wire;
use exeunt_testkit::tools;
use serde_json::Value;

const SETTINGS: &str = r#"
[key_archival]
agents_used = 2

[[recovery_agent]]
certificate = "agents/kra0.pem"

[[recovery_agent]]
certificate = "agents/kra1.pem"

[[template]]
name = "mail"
validity_days = 90
key_usage = ["keyEncipherment"]
extended_key_usage = ["emailProtection"]
subject_from_request = ["CN"]
issue = "at-once"
callers = "authenticated"
archive_key = "require"

[[principal]]
name = "alice"
roles = ["certificate-manager"]

[[principal]]
name = "bob"
roles = ["certificate-manager"]

[[principal]]
name = "carol"
roles = ["certificate-manager"]

[[principal]]
name = "dave"
roles = ["enrollee", "reader", "auditor"]
"#;

/// Writes down what it reads of an archived key.
const MODULE: &str = r#"
import json
from exeunt_module import ExitEvent, ExitModule, PropertyEmpty

class Keys(ExitModule):
    description = "reads archived keys"
    settings = None

    def initialize(self, hello):
        self.file = hello.settings["file"]
        return ExitEvent.CERT_ISSUED

    def notify(self, event):
        if event.certificate_property("CertificateTemplate") != "mail":
            return
        read = {
            "archived": event.certificate_property("KeyArchived"),
            "raw": event.request_property("RawArchivedKey").hex(),
            "hashes": event.request_property("KeyRecoveryHashes"),
        }
        try:
            event.request_property("ArchivedKey")
        except PropertyEmpty:
            read["clear"] = None
        with open(self.file, "w") as file:
            json.dump(read, file)

Keys().serve()
"#;

fn openssl(args: &[&str]) -> Vec<u8> {
    tools::run_ok(tools::openssl(), args, b"")
}

/// A CA with two recovery agents, who are nobody it issued to.
fn ca() -> Ca {
    let ca = Ca::init(&[]);
    let agents = ca.home().join("agents");
    fs::create_dir(&agents).unwrap();
    for name in ["kra0", "kra1"] {
        let key = path(ca.scratch(), &format!("{name}.key"));
        let certificate = path(&agents, &format!("{name}.pem"));
        let subject = format!("/CN={name}");
        let args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "400"];
        let more = ["-addext", "extendedKeyUsage=1.3.6.1.4.1.311.21.6", "-subj", &subject];
        let files = ["-keyout", &key, "-out", &certificate];
        openssl(&[&args[..], &more[..], &files[..]].concat());
    }
    ca.configure_more(SETTINGS);
    ca
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// A subscriber's key by openssl, PEM of a PKCS #8 for its owner alone, and a request for it.
fn subscriber(ca: &Ca, name: &str) -> (String, String) {
    let (key, request) = (path(ca.scratch(), name), path(ca.scratch(), &format!("{name}.csr")));
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &key]);
    let subject = format!("/CN={name}");
    openssl(&["req", "-new", "-key", &key, "-subj", &subject, "-out", &request]);
    // openssl makes it so; a stranger's umask may not.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&key, mode).unwrap();
    (key, request)
}

/// People with tokens, who come by HTTP.
struct People<'a> {
    ca: &'a Ca,
    server: String,
}

impl<'a> People<'a> {
    fn of(ca: &'a Ca, served: &Served) -> Self {
        let url = format!("http://{}", served.address());
        for name in ["alice", "bob", "carol", "dave"] {
            ca.ok(&["token", "add", name, "--out", &path(ca.scratch(), &format!("{name}.token"))]);
        }
        Self { ca, server: url }
    }

    fn run(&self, who: &str, args: &[&str]) -> Output {
        let token = path(self.ca.scratch(), &format!("{who}.token"));
        let door = ["--server", &self.server, "--token-file", &token];
        let mut asked = self.ca.command(&[args, &door[..]].concat());
        asked.env_remove("EXEUNT_HOME").output().unwrap()
    }

    #[track_caller]
    fn ok(&self, who: &str, args: &[&str]) -> String {
        let output = self.run(who, args);
        assert!(output.status.success(), "{who} {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    #[track_caller]
    fn json(&self, who: &str, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(who, &[args, &["--json"]].concat())).unwrap()
    }

    #[track_caller]
    fn refused(&self, who: &str, args: &[&str], code: &str) {
        let output = self.run(who, args);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(&format!("[{code}]")), "{who}: {said}");
    }
}

#[track_caller]
fn refused(ca: &Ca, args: &[&str], code: &str) {
    let output = ca.run(args);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(&format!("[{code}]")), "{said}");
}

fn word(ca: &Ca, name: &str, text: &str) -> String {
    let file = ca.scratch().join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The octets of a key, by openssl.
fn pkcs8(key: &str, passphrase: Option<&str>) -> Vec<u8> {
    let word = passphrase.map(|it| format!("file:{it}"));
    let mut args = vec!["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in", key];
    args.extend(word.iter().flat_map(|it| ["-passin", it]));
    openssl(&args)
}

#[test]
fn a_key_is_archived_and_two_people_and_an_agent_bring_it_back() {
    let ca = ca();
    let served = ca.serve();
    let people = People::of(&ca, &served);
    let (key, request) = subscriber(&ca, "erin");
    let certificate = path(ca.scratch(), "erin.pem");
    let submit = ["submit", &request, "--template", "mail", "--out", &certificate];
    people.refused("dave", &submit, "archived-key-required");
    let answer = people.json("dave", &[&submit[..], &["--archive-key", &key]].concat());
    let id = answer["request_id"].to_string();

    assert_eq!(people.json("dave", &["request", "show", &id])["key_archived"], true);
    // Nobody alone, and nobody else.
    let ask = ["key", "recover", "--request", &id, "--reason", "laptop lost"];
    people.refused("dave", &ask, "role-missing");
    let recovery = people.json("alice", &ask)["id"].to_string();
    let approve = ["key", "approve-recovery", &recovery];
    let blob = path(ca.scratch(), "erin.recovery");
    let fetch = ["key", "fetch", &recovery, "--out", &blob];
    people.refused("alice", &fetch, "recovery-not-approved");
    people.refused("alice", &approve, "recovery-same-person");
    people.ok("bob", &approve);
    people.refused("carol", &fetch, "recovery-stranger");
    people.ok("alice", &fetch);
    let listed = people.json("dave", &["key", "list"]);
    assert_eq!(listed["recoveries"][0]["approved_by"], "principal:bob");

    // The agent, by openssl and by the program.
    let agent = path(ca.scratch(), "kra1.key");
    let (out, opened) = (path(ca.scratch(), "erin.out"), path(ca.scratch(), "erin.opened"));
    let recipient = path(&ca.home().join("agents"), "kra1.pem");
    let args = ["cms", "-decrypt", "-binary", "-inform", "PEM", "-in", &blob, "-inkey", &agent];
    openssl(&[&args[..], &["-recip", &recipient, "-out", &out]].concat());
    assert_eq!(fs::read(&out).unwrap(), pkcs8(&key, None));
    let word_file = word(&ca, "word", "open sesame\n");
    let unwrap = ["key", "unwrap", "--blob", &blob, "--out", &opened];
    let with = ["--out-passphrase-file", &word_file, "--key"];
    ca.ok(&[&unwrap[..], &with[..], &[&agent]].concat());
    assert_eq!(pkcs8(&opened, Some(&word_file)), pkcs8(&key, None));
    let issued = fs::read_to_string(&certificate).unwrap();
    assert!(fs::read_to_string(&opened).unwrap().contains(issued.trim()));
    // Whoever is no agent opens nothing, and writes over nothing.
    let other = path(ca.scratch(), "other");
    let unwrap = ["key", "unwrap", "--blob", &blob, "--out", &other];
    refused(&ca, &[&unwrap[..], &with[..], &[&key]].concat(), "recovery-not-opened");

    // A backup has what was archived, and to whom; who gets it has the key no more than before.
    let backup = path(ca.scratch(), "backup");
    ca.ok(&["backup", &backup, "--no-keys"]);
    let inside = ca.ok(&["verify-backup", &backup, "--json"]);
    assert!(inside.contains("agents/kra0.pem") && inside.contains("agents/kra1.pem"), "{inside}");
    fs::rename(&backup, ca.home().join("backup")).unwrap();

    served.stop();
    check_nothing_leaks(&ca, &key);
}

/// No piece of the private numbers is in the home or the log.
fn check_nothing_leaks(ca: &Ca, key: &str) {
    let der = pkcs8(key, None);
    let pem = fs::read_to_string(key).unwrap();
    // Behind the modulus of 256 octets and what is before it.
    let secrets: Vec<&[u8]> = der[330..].chunks(24).filter(|it| it.len() == 24).collect();
    let lines: Vec<&str> = pem.lines().skip(8).filter(|it| it.len() == 64).collect();
    assert!(10 < secrets.len() && 10 < lines.len());
    let mut folders = vec![ca.home()];
    let mut files: Vec<PathBuf> = vec![ca.log()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in files {
        let Ok(octets) = fs::read(&file) else { continue };
        let has = |wanted: &[u8]| octets.windows(wanted.len()).any(|it| it == wanted);
        let leaks = secrets.iter().any(|it| has(it)) || lines.iter().any(|it| has(it.as_bytes()));
        assert!(!leaks, "a private key is in {}", file.display());
    }
}

#[test]
fn a_module_reads_the_encrypted_key_and_never_the_clear_one() {
    let ca = ca();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let kit = root.join("contract/python/exeunt_module.py");
    fs::copy(kit, ca.scratch().join("exeunt_module.py")).unwrap();
    let (script, heard) = (path(ca.scratch(), "keys.py"), ca.scratch().join("heard"));
    fs::write(&script, MODULE).unwrap();
    ca.configure_more(&format!(
        "[[exit]]\nname = \"keys\"\ncommand = [\"python3\", \"-B\", {script:?}]\n\
         [exit.settings]\nfile = {heard:?}"
    ));
    let _served = ca.serve();
    let (key, request) = subscriber(&ca, "erin");
    ca.ok(&["submit", &request, "--template", "mail", "--archive-key", &key]);
    let read = wait_for("the module to hear of the key", || {
        let text = fs::read_to_string(&heard).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    });
    assert_eq!((&read["archived"], &read["clear"]), (&Value::from(1), &Value::Null));
    let agents = ["kra0.pem", "kra1.pem"].map(|it| path(&ca.home().join("agents"), it));
    // The fingerprints as openssl has them.
    for agent in &agents {
        let shown = openssl(&["x509", "-in", agent, "-noout", "-fingerprint", "-sha1"]);
        let hash = text(&shown).split_once('=').unwrap().1.trim().replace(':', "").to_lowercase();
        assert!(read["hashes"].as_str().unwrap().contains(&hash), "{read}");
    }
    let raw = read["raw"].as_str().unwrap().as_bytes().chunks(2);
    let raw: Vec<u8> =
        raw.map(|it| u8::from_str_radix(str::from_utf8(it).unwrap(), 16).unwrap()).collect();
    let (blob, out) = (path(ca.scratch(), "blob"), path(ca.scratch(), "out"));
    fs::write(&blob, raw).unwrap();
    let agent = path(ca.scratch(), "kra0.key");
    let args = ["cms", "-decrypt", "-binary", "-inform", "DER", "-in", &blob, "-inkey", &agent];
    openssl(&[&args[..], &["-recip", &agents[0], "-out", &out]].concat());
    assert_eq!(fs::read(&out).unwrap(), pkcs8(&key, None));
}

#[test]
fn the_exchange_certificate_is_public_and_openssl_believes_it() {
    let ca = ca();
    let served = ca.serve();
    let fetch = |path: &str| {
        let mut stream = TcpStream::connect(served.address()).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut octets = Vec::new();
        stream.read_to_end(&mut octets).unwrap();
        let answer = wire::parse(&octets).unwrap().unwrap();
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    };
    let file = path(ca.scratch(), "exchange.crt");
    fs::write(&file, fetch("/ca/exchange.crt")).unwrap();
    let pem = path(ca.scratch(), "exchange.pem");
    openssl(&["x509", "-inform", "DER", "-in", &file, "-out", &pem]);
    let told: Value = serde_json::from_slice(&fetch("/v1/ca/exchange")).unwrap();
    assert_eq!(told["certificate"].as_str().unwrap(), fs::read_to_string(&pem).unwrap());
    let root = path(&ca.home(), "ca.cert.pem");
    openssl(&["verify", "-CAfile", &root, &pem]);
    let shown = text(&openssl(&["x509", "-in", &pem, "-noout", "-text"]));
    for line in ["1.3.6.1.4.1.311.21.5", "Key Encipherment", "CN = Test Root-Xchg"] {
        let plain = shown.replace("CN=", "CN = ");
        assert!(plain.contains(line), "{line}: {shown}");
    }
}

#[test]
fn a_client_is_told_before_anything_is_sent_what_does_not_go_together() {
    let ca = ca();
    let served = ca.serve();
    let (key, request) = subscriber(&ca, "erin");
    let (other, _) = subscriber(&ca, "frank");
    let submit = ["submit", &request, "--template", "mail", "--archive-key"];
    refused(&ca, &[&submit[..], &[&other]].concat(), "archived-key-mismatch");
    // An encrypted key needs its passphrase.
    let (sealed, word_file) = (path(ca.scratch(), "sealed"), word(&ca, "word", "sesame\n"));
    let passout = format!("file:{word_file}");
    let args = ["pkcs8", "-topk8", "-in", &key, "-out", &sealed, "-passout", &passout];
    openssl(&args);
    fs::set_permissions(&sealed, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    refused(&ca, &[&submit[..], &[&sealed]].concat(), "usage-passphrase");
    let with = [sealed.as_str(), "--key-passphrase-file", &word_file];
    ca.ok(&[&submit[..], &with[..]].concat());
    // A key that others can read is none.
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    refused(&ca, &[&submit[..], &[&key]].concat(), "key-file-readable-by-others");
    // A template that archives none.
    let with = ["submit", &request, "--template", "tls-server", "--archive-key", &sealed];
    let word_of = ["--key-passphrase-file", &word_file];
    refused(&ca, &[&with[..], &word_of[..]].concat(), "archived-key-unexpected");
    drop(served);
}

#[test]
fn a_key_is_archived_later_for_a_certificate_that_came_without_it() {
    let ca = ca();
    ca.configure("archive_key = \"require\"", "archive_key = \"allow\"");
    let served = ca.serve();
    let people = People::of(&ca, &served);
    let (key, request) = subscriber(&ca, "erin");
    let answer: Value =
        serde_json::from_str(&ca.ok(&["submit", &request, "--template", "mail", "--json"]))
            .unwrap();
    let serial = answer["serial"].as_str().unwrap();
    let ask = ["key", "recover", serial, "--reason", "lost"];
    people.refused("alice", &ask, "archived-key-none");
    let (other, _) = subscriber(&ca, "frank");
    people.refused("bob", &["key", "import", serial, "--key", &other], "archived-key-unusable");
    people.ok("bob", &["key", "import", serial, "--key", &key]);
    people.refused("bob", &["key", "import", serial, "--key", &key], "archived-key-there");
    people.ok("alice", &ask);
}

#[test]
fn settings_that_do_not_do_are_found_by_config_check() {
    let ca = ca();
    ca.ok(&["config", "check"]);
    let path = ca.home().join("exeunt.toml");
    let good = fs::read_to_string(&path).unwrap();
    for (from, to, code) in [
        ("agents_used = 2", "agents_used = 3", "config-invalid"),
        ("archive_key = \"require\"", "archive_key = \"perhaps\"", "config-invalid"),
        ("agents/kra1.pem", "agents/none.pem", "recovery-agent-unreadable"),
        ("agents/kra1.pem", "agents/kra0.pem", "ca-key-archival-invalid"),
        ("agents/kra1.pem", "ca.cert.pem", "ca-key-archival-invalid"),
    ] {
        ca.configure(from, to);
        refused(&ca, &["config", "check"], code);
        refused(&ca, &["serve", "--listen", "127.0.0.1:0"], code);
        fs::write(&path, &good).unwrap();
    }
}
