//! A policy module in Python, through the whole program: what it says, and what becomes of requests
//! when it says nothing good.

use std::fs;
use std::path::{Path, PathBuf};

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testkit::tools;
use serde_json::{Value as Json, json};

use super::issuing::request;

/// Does what the first label of the common name says.
const PUPPET: &str = r#"
import datetime, os, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from exeunt_policy import *

class Puppet(PolicyModule):
    description = "does as it is told"
    settings = [Setting("unit", "string", "the unit", default="Unit")]

    def initialize(self, hello):
        self.unit = hello.settings["unit"]

    def verify_request(self, request):
        what = request.request_property("CommonName").split(".")[0]
        if what == "pend":
            return Pend("an officer looks") if request.new_request else Issue
        if what == "deny":
            return Deny("not today")
        if what == "officer":
            if request.new_request:
                return Pend("an officer looks")
            there = request.extension("2.5.29.17")
            if there.flags & 0xF0000 == 0x30000:
                return Deny("an officer set names of %d octets" % len(there.value))
            return Issue
        if what == "status":
            return Deny("not yours", 0x80070005)
        if what == "hang":
            time.sleep(1000)
        if what == "die":
            os._exit(3)
        if what == "nonsense":
            return 1
        if what == "garbage":
            os.write(4, b"issue it\n") if os.path.exists("/proc/self/fd/4") else os._exit(4)
        if what == "serial":
            request.set_certificate_property("SerialNumber", "01")
        if what == "loosen":
            der = bytes.fromhex("300e820c6576696c2e6578616d706c65")
            request.set_certificate_extension("2.5.29.17", der)
            return Issue
        if what == "set":
            request.set_certificate_property("OrgUnit", self.unit)
            until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=5)
            request.set_certificate_property("NotAfter", until)
        if request.default is None:
            request.enable_extension("2.5.29.17")
        request.set_certificate_property("EventLogTerse", "ruled on " + what)
        return Issue

Puppet().serve()
"#;

fn kit(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("contract/python").join(name)
}

/// A CA with the puppet as its policy module, and more keys of its table.
fn puppet(more: &str) -> Ca {
    let ca = Ca::init(&[]);
    let folder = ca.home().join("policies");
    fs::create_dir(&folder).unwrap();
    for file in ["exeunt_module.py", "exeunt_policy.py"] {
        fs::copy(kit(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("puppet.py"), PUPPET).unwrap();
    // The folder of the kit lies in the home, which modules do not read.
    let table = format!(
        "[policy]\ncommand = [\"python3\", \"-B\", '{}']\nworking_directory = '{}'\n{more}\n",
        folder.join("puppet.py").display(),
        folder.display()
    );
    ca.configure("[policy]\n", &table);
    ca
}

/// Submits a request for `what.example.test`: the exit code, and what was said.
fn submit(ca: &Ca, what: &str) -> (i32, String, String) {
    let host = format!("{what}.example.test");
    let file = request(ca, "ec:P-256", &format!("/CN={host}"), &[&host]);
    let output = ca.run(&["submit", &file]);
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// The newest request, as the program shows it.
fn newest(ca: &Ca) -> Json {
    let list: Json = serde_json::from_str(&ca.ok(&["request", "list", "--json"])).unwrap();
    let requests = list["requests"].as_array().unwrap();
    let newest = requests.iter().max_by_key(|it| it["id"].as_u64()).unwrap();
    newest.clone()
}

fn certificates(ca: &Ca) -> usize {
    let list: Json = serde_json::from_str(&ca.ok(&["cert", "list", "--json"])).unwrap();
    list["certificates"].as_array().unwrap().len()
}

/// Subject, alternative names and days of validity, as Python's `cryptography` reads them.
fn read(pem: &str) -> Json {
    let script = "import json, sys; from cryptography import x509\n\
        it = x509.load_pem_x509_certificate(sys.stdin.buffer.read())\n\
        try:\n names = it.extensions.get_extension_for_class(x509.SubjectAlternativeName).value\n\
        \x20names = names.get_values_for_type(x509.DNSName)\n\
        except x509.ExtensionNotFound:\n names = []\n\
        days = round((it.not_valid_after_utc - it.not_valid_before_utc).total_seconds() / 86400)\n\
        print(json.dumps([it.subject.rfc4514_string(), names, days]))";
    let out = tools::run_ok(tools::python(), ["-c", script], pem.as_bytes());
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_module_by_itself_issues_holds_and_refuses() {
    let ca = puppet("chain = false\nvalidity_days = 30\nsettings = { unit = \"Tests\" }");
    let server = ca.serve();
    let (code, pem, said) = submit(&ca, "set");
    assert_eq!(code, 0, "{said} {}", fs::read_to_string(ca.log()).unwrap());
    assert_eq!(read(&pem), json!(["CN=set.example.test,OU=Tests", ["set.example.test"], 5]));
    let (_, pem, _) = submit(&ca, "plain");
    assert_eq!(read(&pem), json!(["CN=plain.example.test", ["plain.example.test"], 30]));

    let (code, _, said) = submit(&ca, "deny");
    assert_eq!(code, 1);
    assert!(said.contains("not today"), "{said}");
    let denied = newest(&ca);
    assert_eq!(
        (&denied["disposition"], &denied["message"]),
        (&json!("denied"), &json!("not today"))
    );
    let (_, _, said) = submit(&ca, "status");
    assert!(said.contains("not yours"), "{said}");

    submit(&ca, "pend");
    let held = newest(&ca);
    assert_eq!(
        (&held["disposition"], &held["message"]),
        (&json!("pending"), &json!("an officer looks"))
    );
    // Taken up again, it is asked again, and knows that it is not new.
    ca.ok(&["request", "approve", &held["id"].to_string()]);
    assert_eq!(newest(&ca)["disposition"], "issued");
    let log = fs::read_to_string(ca.log()).unwrap();
    assert!(log.contains("ruled on set"), "{log}");
    server.stop();
}

#[test]
fn what_a_module_fails_at_is_held_or_failed_and_never_issued() {
    for (on_failure, state) in [("pend", "pending"), ("fail", "failed")] {
        let ca = puppet(&format!("chain = false\ndeadline_s = 2\non_failure = \"{on_failure}\""));
        let server = ca.serve();
        for what in ["die", "nonsense", "serial", "garbage", "hang"] {
            let (_, out, said) = submit(&ca, what);
            assert!(!out.contains("BEGIN CERTIFICATE"), "{what}: {out}{said}");
            assert_eq!(newest(&ca)["disposition"], state, "{what}: {said}");
        }
        assert_eq!(certificates(&ca), 0);
        // It was started again, and works.
        let issued = wait_for("the module to be started again", || {
            let (code, pem, _) = submit(&ca, "plain");
            (code == 0 && pem.contains("BEGIN CERTIFICATE")).then_some(pem)
        });
        assert_eq!(read(&issued)[0], "CN=plain.example.test");
        server.stop();
    }
}

#[test]
fn a_chained_module_tightens_and_cannot_loosen() {
    let ca = puppet("chain = true");
    let server = ca.serve();
    let (_, pem, _) = submit(&ca, "plain");
    assert_eq!(read(&pem), json!(["CN=plain.example.test", ["plain.example.test"], 90]));
    let (code, _, said) = submit(&ca, "loosen");
    assert_ne!(code, 0, "{said}");
    assert_eq!(newest(&ca)["disposition"], "pending");
    let (code, _, said) = submit(&ca, "deny");
    assert_eq!(code, 1);
    assert!(said.contains("not today"), "{said}");
    // What the template refuses stays refused, whatever the module would say.
    let file = request(&ca, "ec:P-256", "/title=Dr/CN=plain.example.test", &["plain.example.test"]);
    assert_eq!(ca.run(&["submit", &file]).status.code(), Some(1));
    assert_eq!(certificates(&ca), 1);
    server.stop();
}

#[test]
fn a_chained_module_sees_what_an_officer_set() {
    let ca = puppet("chain = true");
    let server = ca.serve();
    // A sequence of one DNS name.
    let names = ca.home().join("names.der");
    fs::write(&names, b"\x30\x0e\x82\x0cevil.example").unwrap();
    let names = format!("@{}", names.display());
    for is_set in [true, false] {
        submit(&ca, "officer");
        assert_eq!(newest(&ca)["disposition"], "pending");
        let id = newest(&ca)["id"].to_string();
        if is_set {
            ca.ok(&["request", "set-extension", &id, "2.5.29.17", "--value", &names]);
        }
        let approved = ca.run(&["request", "approve", &id]);
        assert_eq!(approved.status.success(), !is_set, "{}", text(&approved.stderr));
        let end = newest(&ca);
        assert_eq!(end["disposition"], if is_set { "denied" } else { "issued" });
        let said = end["message"].as_str().unwrap_or_default();
        assert!(!is_set || said.contains("names of 16 octets"), "{end}");
    }
    server.stop();
}

#[test]
fn a_dry_run_is_written_down_and_changes_nothing() {
    let ca = puppet("audit = true");
    let server = ca.serve();
    for what in ["deny", "pend", "die", "set", "plain"] {
        let (code, pem, said) = submit(&ca, what);
        assert_eq!(code, 0, "{said}");
        assert_eq!(read(&pem)[0], format!("CN={what}.example.test"));
    }
    let trail = ca.ok(&["audit", "show", "--json"]);
    for what in ["would have been denied", "would have been held: an officer", "module ended"] {
        assert!(trail.contains(what), "{what}: {trail}");
    }
    assert!(!trail.contains("plain.example.test: would"), "{trail}");
    server.stop();
}

#[test]
fn a_policy_is_exchanged_by_a_reload() {
    let ca = puppet("chain = true");
    let server = ca.serve();
    assert_eq!(submit(&ca, "deny").0, 1);
    ca.configure("chain = true", "chain = true\naudit = true");
    let said = ca.ok(&["reload"]);
    assert!(said.contains("policy"), "{said}");
    assert_eq!(submit(&ca, "deny").0, 0);
    server.stop();
}

#[test]
fn the_policy_is_shown_changed_checked_and_explained() {
    let ca = puppet("chain = true");
    let server = ca.serve();
    let shown = ca.ok(&["policy", "show"]);
    for words in ["does as it is told", "the module can only be stricter", "pend"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let file = request(&ca, "ec:P-256", "/CN=deny.example.test", &["deny.example.test"]);
    let explained = ca.run(&["policy", "explain", &file]);
    assert_eq!(explained.status.code(), Some(1));
    let words = text(&explained.stdout);
    assert!(words.contains("policy-module") && words.contains("not today"), "{words}");
    assert_eq!(certificates(&ca), 0);

    // Changed while the server runs, and in the file with its comments.
    ca.configure("default_template", "# ours\ndefault_template");
    ca.ok(&["policy", "set", "--dry-run", "true", "--on-failure", "fail"]);
    assert_eq!(submit(&ca, "deny").0, 0);
    ca.ok(&["policy", "set", "--dry-run", "false"]);
    assert_eq!(submit(&ca, "deny").0, 1);
    assert!(ca.ok(&["policy", "settings"]).contains("no settings"));
    ca.ok(&["policy", "settings", "unit=Other"]);
    assert!(ca.ok(&["policy", "settings"]).contains("Other"));
    let shown: Json = serde_json::from_str(&ca.ok(&["policy", "show", "--json"])).unwrap();
    assert_eq!(shown["on_failure"], "fail");
    assert_eq!(shown["chain"], true);
    // What the module refuses, or what does not start, changes nothing.
    let said = text(&ca.run(&["policy", "settings", "colour=blue"]).stderr);
    assert!(said.contains("there is no setting 'colour'"), "{said}");
    let said = text(&ca.run(&["policy", "set", "--command", "/no/such/module"]).stderr);
    assert!(said.contains("does not start"), "{said}");
    assert!(ca.ok(&["policy", "settings"]).contains("Other"));
    assert_eq!(submit(&ca, "plain").0, 0);

    // What cannot be changes nothing.
    let wrong = ca.run(&["policy", "set", "--command", "''"]);
    assert_eq!(wrong.status.code(), Some(2));
    let trail = ca.ok(&["audit", "show", "--json"]);
    assert!(trail.contains("policy-change"), "{trail}");
    ca.ok(&["policy", "set", "--none"]);
    assert!(ca.ok(&["policy", "show"]).contains("the templates decide"));
    assert_eq!(submit(&ca, "deny").0, 0);
    let config = fs::read_to_string(ca.home().join("exeunt.toml")).unwrap();
    assert!(config.contains("# ours") && !config.contains("puppet.py"), "{config}");
    server.stop();

    let guard = kit("examples/guard.py");
    let command = format!("python3 -B {}", guard.display());
    let checked = ca.ok(&["policy", "check", "--command", &command, "--set", "domain=example.com"]);
    assert!(checked.contains("keeps every rule"), "{checked}");
    let broken = ca.run(&["policy", "check", "--command", "/bin/false"]);
    assert_eq!(broken.status.code(), Some(1));
}

#[test]
fn the_five_minutes_of_the_page_are_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/manual/policy-modules.md")).unwrap();
    let script = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let ca = Ca::init(&[]);
    let folder = ca.scratch().join("guard");
    fs::create_dir(&folder).unwrap();
    for file in ["exeunt_module.py", "exeunt_policy.py"] {
        fs::copy(kit(file), folder.join(file)).unwrap();
    }
    fs::write(folder.join("guard.py"), script).unwrap();
    let command = format!("python3 {}", folder.join("guard.py").display());
    let checked = ca.ok(&["policy", "check", "--command", &command, "--set", "domain=example.com"]);
    assert!(checked.contains("keeps every rule"), "{checked}");

    let server = ca.serve();
    let setting = ["--setting", "domain=example.com"];
    let dry_run = ["policy", "set", "--command", &command, "--dry-run", "true"];
    ca.ok(&[&dry_run[..], &setting].concat());
    let shown = ca.ok(&["policy", "show"]);
    assert!(shown.contains("names of one domain alone"), "{shown}");
    assert_eq!(submit(&ca, "www").0, 0);
    assert!(ca.ok(&["audit", "show", "--json"]).contains("www.example.test is not ours"));
    ca.ok(&["policy", "set", "--dry-run", "false"]);
    assert_eq!(submit(&ca, "www").0, 1);
    let file = request(&ca, "ec:P-256", "/CN=www.example.com", &["www.example.com"]);
    ca.ok(&["submit", &file]);
    server.stop();
}
