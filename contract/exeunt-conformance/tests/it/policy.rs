//! Policy modules: the example keeps every rule, and each bad one breaks its own.

use std::path::Path;

use exeunt_conformance::{ModuleUnderTest, PolicyReport, Verdict, check_policy};

use crate::interpreter;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../python")
}

fn python(body: &str) -> PolicyReport {
    let script = format!(
        "import os, sys; sys.path.insert(0, {:?})\nfrom exeunt_policy import *\n\
         class It(PolicyModule):\n    description = 'a policy'\n    calls = 0\n    \
         def verify_request(self, request):\n        self.calls += 1\n        {body}\nIt().serve()\n",
        folder().to_str().unwrap()
    );
    check_policy(&ModuleUnderTest::new(interpreter()).args(["-B", "-I", "-S", "-c", &script]))
}

fn failed(report: &PolicyReport) -> Vec<&'static str> {
    report.rules.iter().filter(|it| it.verdict == Verdict::Fail).map(|it| it.id).collect()
}

#[test]
fn the_example_keeps_every_rule() {
    let module = ModuleUnderTest::new(interpreter())
        .args(["-B"])
        .args([folder().join("examples/guard.py")])
        .setting("domain", "example.com");
    let report = check_policy(&module);
    assert!(report.passed(), "{report}");
    assert!(report.rules.iter().all(|it| it.verdict == Verdict::Pass), "{report}");
    assert_eq!(report.description, "names of one domain alone");
    assert_eq!(report.said[0], ("a new request", "issue".to_owned()));
    let text = report.to_string();
    assert!(text.ends_with("The module keeps every rule that was looked at."), "{text}");
    assert_eq!(report.json()["passed"], true);
}

#[test]
fn a_bad_module_breaks_its_own_rule_and_no_other() {
    for (body, rule) in [
        ("return Issue if self.calls % 2 else Deny", "policy-repeated"),
        (
            "request._set_properties.append({'name': 'SerialNumber', 'value': None}); return Issue",
            "policy-settable",
        ),
        ("v = Issue(); v._disposition = 3; return v", "policy-disposition"),
        ("return Issue if request.request_property('CommonName') else Deny", "policy-oddities"),
    ] {
        let report = python(body);
        assert_eq!(failed(&report), [rule], "{body}: {report}");
    }
    let never = python("raise OSError('no directory')");
    assert_eq!(failed(&never), ["policy-rules", "policy-oddities"], "{never}");
    let nothing = check_policy(&ModuleUnderTest::new("/no/such/module"));
    assert_eq!(failed(&nothing), ["policy-starts"], "{nothing}");
}
