//! Looking after a module's target, as an operator does it: with a module in Python, and with the file
//! module.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_e2e::program;
use serde_json::Value;

use super::issuing::request;

/// Keeps a file for each certificate that is valid, by its serial number, in a folder. A file `slow`
/// beside the folder makes it wait, one `broken` makes it fail.
const COPIES: &str = r#"
import os, sys, time
sys.path.insert(0, os.environ.get("KIT") or os.path.dirname(__file__))
from exeunt_module import Check, ExitEvent, ExitModule, Finding, MaintainExitModule, Refused, Setting


class Copies(MaintainExitModule, ExitModule):
    description = "copies"
    settings = [Setting("folder", "string", "where", required=True)]

    def initialize(self, hello):
        self.folder = hello.settings["folder"]
        return ExitEvent.CERT_ISSUED | ExitEvent.CERT_REVOKED

    def begin(self, hello):
        self.folder = hello.settings["folder"]
        self.told = set()

    def path(self, event):
        return os.path.join(self.folder, event.certificate_property("SerialNumber"))

    def put(self, event):
        raw = event.request_property("RawRequest")
        with open(self.path(event), "w") as file:
            file.write("%d %d" % (event.context, len(raw)))

    def notify(self, event):
        if event.event == ExitEvent.CERT_REVOKED:
            os.remove(self.path(event))
        else:
            self.put(event)

    def test(self, samples):
        is_there = os.path.isdir(self.folder)
        check = Check("look into the folder", "passed" if is_there else "failed")
        would = ["%s %s" % (it.kind, it.request_property("RawRequest")[:1].hex()) for it in samples]
        return [check], would

    def install(self, apply):
        if apply:
            os.makedirs(self.folder)
        return [Check("make the folder")], "mkdir %s\n" % self.folder

    def reconcile(self, events, mend):
        while os.path.exists("slow"):
            time.sleep(0.05)
        if not os.path.isdir(self.folder):
            raise Refused("there is no folder")
        good, findings = 0, []
        for event in events:
            path = self.path(event)
            name = os.path.basename(path)
            self.told.add(name)
            should = event.event == ExitEvent.CERT_ISSUED
            if os.path.exists(path) == should:
                good += 1
                continue
            if mend and should:
                self.put(event)
            elif mend:
                os.remove(path)
            findings.append(Finding("missing" if should else "stale", path, name, mended=mend))
        return good, findings

    def reconcile_end(self, mend):
        findings = []
        for name in sorted(set(os.listdir(self.folder)) - self.told):
            path = os.path.join(self.folder, name)
            if len(name) < 30:
                findings.append(Finding("foreign", path))
                continue
            if mend:
                os.remove(path)
            findings.append(Finding("surplus", path, mended=mend))
        return 0, findings, False


Copies().serve()
"#;

struct Stage {
    ca: Ca,
    server: Served,
    /// Where the module runs.
    own: PathBuf,
    folder: PathBuf,
}

/// A CA with that module, whose target is not there yet.
fn stage(more: &str) -> Stage {
    let ca = Ca::init(&[]);
    let home = ca.home();
    let own = home.join("modules/copies");
    std::fs::create_dir_all(&own).unwrap();
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract/python/exeunt_module.py");
    std::fs::copy(kit, own.join("exeunt_module.py")).unwrap();
    std::fs::write(own.join("copies.py"), COPIES).unwrap();
    let folder = own.join("copies");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"copies\"\ncommand = [\"python3\", \"modules/copies/copies.py\"]\n{more}\n\
         [exit.settings]\nfolder = \"{}\"",
        folder.display()
    ));
    let server = ca.serve();
    Stage { ca, server, own, folder }
}

impl Stage {
    /// Issues a certificate, and gives its serial number.
    fn issue(&self, host: &str) -> String {
        let file = request(&self.ca, "ec:P-256", &format!("/CN={host}"), &[host]);
        self.ca.ok(&["submit", &file]);
        let list: Value = serde_json::from_str(&self.ca.ok(&["cert", "list", "--json"])).unwrap();
        list["certificates"][0]["serial"].as_str().unwrap().to_owned()
    }

    /// The answer of a command in JSON, and its exit status.
    fn json(&self, args: &[&str]) -> (Value, Option<i32>) {
        let output = self.ca.run(&[args, &["--json"]].concat());
        let value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|err| panic!("{args:?}: {err}: {}", text(&output.stderr)));
        (value, output.status.code())
    }

    fn all_told(&self) {
        wait_for("everything to be told", || {
            let (status, _) = self.json(&["exit", "status", "copies"]);
            (status["lag"] == 0 && status["held_retry"] == 0).then_some(())
        });
    }

    fn copies(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.folder)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn differences(run: &Value) -> Vec<(String, String)> {
    let findings = run["findings"].as_array().cloned().unwrap_or_default();
    let name = |it: &Value| it.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    findings
        .iter()
        .map(|it| (it["difference"].as_str().unwrap().to_owned(), name(&it["place"])))
        .collect()
}

#[test]
fn a_target_is_tried_made_compared_and_mended() {
    let stage = stage("enabled = true\nretry_first_s = 1");
    let ca = &stage.ca;

    // 1. Nothing is there, and the test makes nothing.
    let (run, status) = stage.json(&["exit", "test", "copies"]);
    assert_eq!((status, &run["checks"][0]["result"]), (Some(1), &"failed".into()), "{run}");
    assert!(!stage.folder.exists());

    // 2. It is printed, and made after a yes alone.
    let script = ca.ok(&["exit", "install", "copies", "--print"]);
    assert_eq!(script, format!("mkdir {}\n", stage.folder.display()));
    let unasked = ca.run(&["exit", "install", "copies"]);
    assert_eq!(unasked.status.code(), Some(2), "{}", text(&unasked.stderr));
    assert!(!stage.folder.exists());
    assert!(ca.ok(&["exit", "install", "copies", "--yes"]).contains("passed"));

    // 3. Now the module works, and what it would write is told of what the CA has done.
    let (kept, revoked, lost) =
        (stage.issue("a.test"), stage.issue("b.test"), stage.issue("c.test"));
    ca.ok(&["cert", "revoke", &revoked]);
    stage.all_told();
    assert_eq!(stage.copies(), sorted([&kept, &lost]));
    let (run, status) = stage.json(&["exit", "test", "copies"]);
    assert_eq!(status, Some(0), "{run}");
    assert_eq!(run["would_write"], serde_json::json!(["issued 30", "revoked 30"]), "{run}");

    // 4. All is well.
    let (run, status) = stage.json(&["exit", "reconcile", "copies"]);
    assert_eq!((status, &run["good"], &run["differences"]), (Some(0), &3.into(), &0.into()));

    // 5. Damage of every kind is seen, and nothing is done about it.
    let surplus = "f".repeat(32);
    std::fs::remove_file(stage.folder.join(&lost)).unwrap();
    for name in [&revoked, &surplus, &"readme".to_owned()] {
        std::fs::write(stage.folder.join(name), "").unwrap();
    }
    let before = stage.copies();
    let expected = |mut them: Vec<(&str, &String)>| {
        them.sort();
        them.into_iter().map(|(it, name)| (it.to_owned(), name.clone())).collect::<Vec<_>>()
    };
    let readme = "readme".to_owned();
    let all = expected(vec![
        ("missing", &lost),
        ("stale", &revoked),
        ("surplus", &surplus),
        ("foreign", &readme),
    ]);
    let found = |run: &Value| {
        let mut found = differences(run);
        found.sort();
        found
    };
    let (run, status) = stage.json(&["exit", "reconcile", "copies"]);
    assert_eq!((status, found(&run)), (Some(1), all.clone()));
    assert_eq!(stage.copies(), before);

    // 6. It is mended, but for what is somebody else's, and the module works on.
    let (run, status) = stage.json(&["exit", "reconcile", "copies", "--mend"]);
    assert_eq!((status, found(&run), &run["mended"]), (Some(1), all, &3.into()));
    assert_eq!(stage.copies(), sorted([&kept, &lost, &readme]));
    std::fs::remove_file(stage.folder.join(&readme)).unwrap();
    assert_eq!(stage.json(&["exit", "reconcile", "copies", "--mend"]).1, Some(0));
    let late = stage.issue("d.test");
    stage.all_told();
    assert_eq!(stage.copies(), sorted([&kept, &lost, &late]));

    // 7. Every one is in the audit trail and in the module's status.
    let trail = ca.ok(&["audit", "show", "--object", "copies"]);
    for action in ["exit-test", "exit-install", "exit-reconcile", "exit-mend"] {
        assert!(trail.contains(action), "{action}: {trail}");
    }
    let (status, _) = stage.json(&["exit", "status", "copies"]);
    assert_eq!(status["reconciled"]["state"], "done", "{status}");
    stage.server.stop();
}

fn sorted<const N: usize>(names: [&String; N]) -> Vec<String> {
    let mut names = names.map(Clone::clone).to_vec();
    names.sort();
    names
}

#[test]
fn while_a_target_is_mended_its_module_rests_and_then_hears_everything() {
    let stage = stage("");
    let ca = &stage.ca;
    ca.ok(&["exit", "install", "copies", "--yes"]);
    let first = stage.issue("a.test");
    stage.all_told();
    std::fs::write(stage.own.join("slow"), "").unwrap();
    let mut client = ca
        .command(&["exit", "reconcile", "copies", "--mend"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stands = || stage.json(&["exit", "status", "copies"]).0;
    wait_for("the module to rest", || {
        let status = stands();
        let rests = status["state"] == "waiting" && status["reconciled"]["state"] == "running";
        (rests && status["why"] == "its target is being mended").then_some(())
    });

    // Nothing else is done to the target meanwhile.
    for args in [
        &["exit", "test", "copies"][..],
        &["exit", "reconcile", "copies"],
        &["exit", "disable", "copies"],
        &["exit", "remove", "copies", "--yes"],
    ] {
        let refused = ca.run(args);
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        assert!(text(&refused.stderr).contains("maintenance-runs"), "{args:?}");
    }
    // The CA works, and the event waits.
    let second = stage.issue("b.test");
    assert_eq!(stage.copies(), sorted([&first]));

    // Whoever ordered it dies; the server does not.
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(stands()["reconciled"]["state"], "running");
    std::fs::remove_file(stage.own.join("slow")).unwrap();
    let done = wait_for("the end of it", || {
        Some(stands()).filter(|it| it["reconciled"]["state"] != "running")
    });
    assert_eq!(done["reconciled"]["state"], "done", "{done}");
    stage.all_told();
    assert_eq!(stage.copies(), sorted([&first, &second]));
    assert_eq!(stands()["state"], "running");
    stage.server.stop();
}

#[test]
fn a_maintenance_that_is_ended_leaves_the_module_at_work() {
    let stage = stage("");
    let ca = &stage.ca;
    ca.ok(&["exit", "install", "copies", "--yes"]);
    let first = stage.issue("a.test");
    stage.all_told();
    std::fs::write(stage.own.join("slow"), "").unwrap();
    let client = ca
        .command(&["exit", "reconcile", "copies", "--mend"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stands = || stage.json(&["exit", "status", "copies"]).0;
    wait_for("it to be under way", || {
        (stands()["reconciled"]["total"] != 0 && stands()["state"] == "waiting").then_some(())
    });
    assert!(ca.ok(&["exit", "reconcile", "copies", "--cancel"]).contains("cancelled"));
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("maintain-cancelled"), "{}", text(&output.stderr));
    let second = stage.issue("b.test");
    stage.all_told();
    assert_eq!(stage.copies(), sorted([&first, &second]));

    // The server's stop ends one as well, and the next one tells what was waiting.
    let mut client = ca
        .command(&["exit", "reconcile", "copies", "--mend"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the module to rest", || (stands()["state"] == "waiting").then_some(()));
    let third = stage.issue("c.test");
    let Stage { ca, server, own, folder } = stage;
    server.stop();
    client.wait().unwrap();
    std::fs::remove_file(own.join("slow")).unwrap();
    let server = ca.serve();
    let stage = Stage { ca, server, own, folder };
    stage.all_told();
    assert_eq!(stage.copies(), sorted([&first, &second, &third]));
    stage.server.stop();
}

#[test]
fn a_module_is_not_compared_with_what_it_is_never_told() {
    let filter = "events = [\"issued\"]\nwhere = 'certificate.CommonName != \"skip.test\"'";
    let stage = stage(filter);
    stage.ca.ok(&["exit", "install", "copies", "--yes"]);
    let kept = stage.issue("a.test");
    let skipped = stage.issue("skip.test");
    stage.ca.ok(&["cert", "revoke", &kept]);
    stage.all_told();
    // It never hears of the revocation, so the copy of before is what it should have.
    assert_eq!(stage.copies(), sorted([&kept]), "{skipped} is not told");
    let (run, status) = stage.json(&["exit", "reconcile", "copies"]);
    assert_eq!((status, &run["good"]), (Some(0), &1.into()), "{run}");
    // Looked at is everything: two certificates, the CA's own, and its lists.
    assert_eq!((&run["compared"], &run["total"]), (&4.into(), &4.into()), "{run}");
    stage.server.stop();
}

#[test]
fn a_target_is_compared_by_itself_as_often_as_the_configuration_says() {
    let stage = stage("reconcile_every_s = 10\nreconcile_mend = true");
    stage.ca.ok(&["exit", "install", "copies", "--yes"]);
    // The moment is drawn within the first ten seconds.
    let done = wait_for("a comparison", || {
        let status = stage.json(&["exit", "status", "copies"]).0;
        (status["reconciled"]["state"] == "done").then_some(status)
    });
    let reconciled = &done["reconciled"];
    assert_eq!((&reconciled["by"], &reconciled["apply"]), (&"schedule".into(), &true.into()));
    assert!(stage.ca.ok(&["exit", "status", "copies"]).contains("Target compared:"));
    stage.server.stop();
}

#[test]
fn a_module_without_a_target_says_so() {
    let ca = Ca::init(&[]);
    let (module, heard) = (program::built("record-module"), ca.scratch().join("heard"));
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = [{module:?}]\n[exit.settings]\nfile = {heard:?}"
    ));
    let server = ca.serve();
    let none = ca.run(&["exit", "reconcile", "record", "--cancel"]);
    assert!(text(&none.stderr).contains("maintenance-none"), "{}", text(&none.stderr));
    for command in ["test", "reconcile"] {
        let refused = ca.run(&["exit", command, "record"]);
        assert_eq!(refused.status.code(), Some(1));
        let said = text(&refused.stderr);
        assert!(said.contains("maintain-unknown"), "{said}");
        assert!(said.contains("does not look after its target"), "{said}");
    }
    // There is nothing that would ever take the place of such a line.
    let status: Value =
        serde_json::from_str(&ca.ok(&["exit", "status", "record", "--json"])).unwrap();
    assert!(status["reconciled"].is_null(), "{status}");
    server.stop();
}

#[test]
fn the_file_modules_folder_is_mended() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    for host in ["a.test", "b.test"] {
        let file = request(&ca, "ec:P-256", &format!("/CN={host}"), &[host]);
        ca.ok(&["submit", &file]);
    }
    let pems = || {
        let is_pem = |it: &PathBuf| it.extension().is_some_and(|it| it == "pem");
        let files = std::fs::read_dir(ca.published()).unwrap().flatten().map(|it| it.path());
        files.filter(is_pem).collect::<Vec<_>>()
    };
    wait_for("both to be published", || (pems().len() == 2).then_some(()));
    assert!(ca.ok(&["exit", "test", "file"]).contains("It would write:"));
    let gone = pems().remove(0);
    std::fs::remove_file(&gone).unwrap();
    let listed = ca.run(&["exit", "reconcile", "file"]);
    assert_eq!(listed.status.code(), Some(1), "{}", text(&listed.stderr));
    assert!(text(&listed.stdout).contains("missing"), "{}", text(&listed.stdout));
    assert!(!gone.exists());
    assert!(ca.ok(&["exit", "reconcile", "file", "--mend"]).contains("1 of them mended"));
    assert!(gone.exists());
    server.stop();
}
