//! Modules that keep the contract.

use std::{fs, path::PathBuf};

use exeunt_conformance::{ModuleUnderTest, Verdict};
use exeunt_module::exit_event;

use crate::{check_it, python, verdict};

#[test]
fn a_module_that_keeps_every_rule_passes_every_rule() {
    let report = check_it(&python(
        "class Bad(Module):
    def notify(self, call, event):
        if event['context']:
            self.ask('GetRequestProperty', event['seq'], 'RawRequest')
        self.ask('GetCertificateProperty', 0, 'CertCount')
        self.result(call, {'outcome': 'accept'})",
    ));
    assert!(report.passed(), "{report}");
    assert_eq!(report.with_verdict(Verdict::Advice), [""; 0], "{report}");
    assert_eq!(report.with_verdict(Verdict::NotApplicable), ["event-unasked"], "{report}");
    assert_eq!(report.about.mask, Some(exit_event::ALL));
    assert_eq!(report.about.events().len(), exit_event::WORDS.len());
    assert_eq!(report.told.len(), exit_event::WORDS.len());
    assert_eq!(report.about.features, ["call-backs"]);
    assert_eq!(report.about.description.as_deref(), Some("keeps every rule"));
    let json = report.json();
    assert_eq!(json["events"][0]["event"], "startup");
    assert_eq!(json["events"][0]["outcome"], "accept");
    let asked = &json["module"]["call_backs"]["GetRequestProperty RawRequest"];
    assert!(asked.as_u64() > Some(0), "{asked}");
}

#[test]
fn a_module_may_ask_about_the_ca_before_it_answers_the_greeting() {
    let report = check_it(&python(
        "class Bad(Module):
    def on_Initialize(self, call, hello):
        if hello['features']:
            self.ask('GetCertificateProperty', 0, 'CertCount')
        super().on_Initialize(call, hello)",
    ));
    assert!(report.passed(), "{report}");
    let asked = &report.json()["module"]["call_backs"]["GetCertificateProperty CertCount"];
    assert!(asked.as_u64() > Some(0), "{asked}");
}

#[test]
fn a_setting_that_needs_another_may_be_refused_alone_with_a_reason() {
    let report = check_it(&python(
        "class Bad(Module):
    def on_SetProperty(self, call, asked):
        self.refuse(call, -32000, asked['name'] + ' needs a size beside it')",
    ));
    assert!(report.passed(), "{report}");
    assert_eq!(verdict(&report, "manage-set-property"), Verdict::Pass, "{report}");
}

#[test]
fn the_example_of_the_kit_passes() {
    // Built with the whole workspace's tests; alone, by this command.
    let status = std::process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "exeunt-module-kit", "--example", "echo"])
        .status()
        .unwrap();
    assert!(status.success());
    let target = std::env::current_exe().unwrap();
    let echo = target.parent().unwrap().parent().unwrap().join("examples/echo");
    let report = check_it(&ModuleUnderTest::new(echo).setting("greeting", "ave"));
    assert!(report.passed(), "{report}");
    assert_eq!(report.with_verdict(Verdict::Advice), [""; 0], "{report}");
}

#[test]
fn the_module_in_the_document_passes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("../../docs/contract.md")).unwrap();
    let (_, rest) = document.split_once("```python\n").unwrap();
    let (script, _) = rest.split_once("```\n").unwrap();
    let report = check_it(&ModuleUnderTest::new("python3").args(["-c", script]));
    assert!(report.passed(), "{report}");
    assert_eq!(report.about.events(), ["issued"]);
    assert_eq!(verdict(&report, "call-backs-in-hand"), Verdict::NotApplicable);
}

#[test]
fn the_manual_has_every_rule() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("../../docs/manual/conformance.md")).unwrap();
    let report = check_it(&ModuleUnderTest::new("/nowhere/at/all"));
    let rows: Vec<String> =
        report.rules.iter().map(|it| format!("| {} | {} |", it.id, it.sentence)).collect();
    let written: Vec<&str> = manual.lines().filter(|it| it.starts_with("| ")).skip(1).collect();
    assert_eq!(written, rows);
}
