//! The kit against good modules, which pass, and against bad ones, each of which fails its own rule
//! and no other: a rule that cannot fail would be worthless.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{process::Command, sync::OnceLock, time::Duration};

use exeunt_conformance::{ModuleUnderTest, Options, Report, Verdict, check};

mod bad;
mod good;
mod policy;

/// Long enough for a loaded machine, short enough to wait for the bad ones that never answer.
fn options() -> Options {
    Options {
        answer_within: Duration::from_secs(10),
        whole_within: Duration::from_mins(2),
        window: 16,
    }
}

/// The module of `module.py` with a class `Bad` that overrides parts of it.
fn python(bad: &str) -> ModuleUnderTest {
    let script = format!("{}\n\n{bad}\n\nBad().run()\n", include_str!("module.py"));
    ModuleUnderTest::new(interpreter()).args(["-I", "-S", "-c", &script]).setting("colour", "blue")
}

/// Python itself: what stands in `PATH` may be a script that looks for it, at every start.
fn interpreter() -> &'static str {
    static FOUND: OnceLock<String> = OnceLock::new();
    FOUND.get_or_init(|| {
        let print = ["-c", "import sys; print(sys.executable, end='')"];
        let output = Command::new("python3").args(print).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    })
}

#[track_caller]
fn check_it(module: &ModuleUnderTest) -> Report {
    let report = check(module, &options());
    // A report can be shown, whatever it says.
    assert!(report.to_string().contains("The module"));
    assert_eq!(report.json()["passed"], report.passed());
    report
}

/// What a report says about one rule.
#[track_caller]
fn verdict(report: &Report, rule: &str) -> Verdict {
    report.rules.iter().find(|it| it.id == rule).unwrap().verdict
}
