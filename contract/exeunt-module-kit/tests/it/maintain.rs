//! A module that looks after its target: greeted for it, and for nothing else.

use std::collections::BTreeSet;

use exeunt_module_kit::{
    CallError, Event, EventMask, ExitModule, Initialize, MaintainExitModule, Outcome, Value,
    maintain::{Check, CheckResult, Compared, Difference, Finding, TestReport},
    testing::{Host, HostError, issued_event},
};
use serde_json::json;

/// Its target is a set of serial numbers.
#[derive(Default)]
struct Register {
    target: BTreeSet<String>,
    told: BTreeSet<String>,
}

fn serial(event: &Event) -> String {
    event.certificate.string("SerialNumber").unwrap_or_default().to_owned()
}

impl ExitModule for Register {
    fn initialize(&mut self, _hello: &Initialize) -> Result<EventMask, String> {
        Err("this test greets for maintenance alone".to_owned())
    }

    fn description(&self) -> String {
        "keeps a register".to_owned()
    }

    fn maintained(&mut self) -> Option<&mut dyn MaintainExitModule> {
        Some(self)
    }

    fn notify(&mut self, _event: &Event) -> Outcome {
        Outcome::Accept
    }
}

impl MaintainExitModule for Register {
    fn begin(&mut self, hello: &Initialize) -> Result<(), String> {
        let there = hello.settings.get("there").and_then(|it| it.as_array());
        let there = there.ok_or("there is missing")?;
        self.target = there.iter().filter_map(|it| it.as_str()).map(str::to_owned).collect();
        Ok(())
    }

    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String> {
        Ok(TestReport {
            checks: vec![Check::passed("open the register", "")],
            would_write: samples.iter().map(serial).collect(),
        })
    }

    fn reconcile(&mut self, events: &[Event], mend: bool) -> Result<Compared, String> {
        let mut compared = Compared::default();
        for serial in events.iter().map(serial) {
            self.told.insert(serial.clone());
            if self.target.contains(&serial) {
                compared.good += 1;
                continue;
            }
            let finding = Finding::new(Difference::Missing, "register", serial.as_str());
            if mend {
                self.target.insert(serial);
                compared.findings.push(finding.mended(Ok(())));
            } else {
                compared.findings.push(finding);
            }
        }
        Ok(compared)
    }

    fn reconcile_end(&mut self, mend: bool) -> Result<Compared, String> {
        // One at a time, so that the host has to ask again.
        let surplus: Vec<String> = self.target.difference(&self.told).cloned().collect();
        let Some(first) = surplus.first() else { return Ok(Compared::default()) };
        let mut finding = Finding::new(Difference::Surplus, "register", first.as_str());
        self.told.insert(first.clone());
        if mend {
            self.target.remove(first);
            finding = finding.mended(Err("it is nailed down".to_owned()));
        }
        Ok(Compared { good: 0, findings: vec![finding], more: 1 < surplus.len() })
    }
}

fn event(serial: &str) -> Event {
    let mut event = issued_event(1, &[0x30, 0]);
    event.certificate.set("SerialNumber", Some(Value::String(serial.to_owned())));
    event
}

#[test]
fn a_module_that_is_greeted_to_maintain_tries_compares_and_mends() {
    let mut host = Host::in_memory(Register::default()).unwrap();
    let hello = host.initialize_maintain(&json!({"there": ["a", "x", "y"]})).unwrap();
    assert_eq!(hello.event_mask, 0);
    let report = host.test_target(&[event("a")]).unwrap();
    assert_eq!(report.checks[0].result, CheckResult::Passed);
    assert_eq!(report.would_write, ["a"]);

    let found = |compared: &Compared| -> Vec<(Difference, String, bool)> {
        compared.findings.iter().map(|it| (it.difference, it.text.clone(), it.mended)).collect()
    };
    let compared = host.reconcile(&[event("a"), event("b")], false).unwrap();
    let missing = |mended| (Difference::Missing, "b".to_owned(), mended);
    let surplus = |name: &str| (Difference::Surplus, name.to_owned(), false);
    assert_eq!(compared.good, 1);
    assert_eq!(found(&compared), [missing(false), surplus("x"), surplus("y")]);

    let mut host = Host::in_memory(Register::default()).unwrap();
    host.initialize_maintain(&json!({"there": ["a"]})).unwrap();
    let compared = host.reconcile(&[event("b")], true).unwrap();
    assert_eq!(found(&compared), [missing(true), surplus("a")]);
    assert_eq!(compared.findings[1].error.as_deref(), Some("it is nailed down"));
}

#[test]
fn it_is_told_of_no_event_and_only_it_is_asked() {
    let code = |err: HostError| match err {
        HostError::Refuse(CallError { code, .. }) => code,
        other => panic!("{other}"),
    };
    let mut host = Host::in_memory(Register::default()).unwrap();
    assert_eq!(code(host.test_target(&[]).unwrap_err()), CallError::INVALID_REQUEST);
    host.initialize_maintain(&json!({"there": []})).unwrap();
    assert_eq!(code(host.notify(&event("a")).unwrap_err()), CallError::INVALID_REQUEST);
    assert_eq!(code(host.install(true).unwrap_err()), CallError::REFUSED);

    let mut host = Host::in_memory(Register::default()).unwrap();
    assert_eq!(code(host.initialize_maintain(&json!({})).unwrap_err()), CallError::REFUSED);
}
