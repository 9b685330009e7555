//! The same for policy modules: drives one through made-up requests and reports which rules it keeps.
//! Smaller than the check of exit modules: what happens on the wire is the same for both.

use std::{
    fmt,
    process::{Command, Stdio},
};

use exeunt_module::{
    CallError, Event, Extension, Value,
    policy::{DefaultRuling, Disposition, VerifyRequest},
};
use exeunt_module_kit::testing::{Host, HostError, request_for};
use serde_json::{Value as Json, json};

use crate::{ModuleUnderTest, rule::Verdict};

/// How a policy module stands to one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFinding {
    /// Id of the rule. Never renamed.
    pub id: &'static str,
    /// The rule.
    pub sentence: &'static str,
    /// Whether it is kept.
    pub verdict: Verdict,
    /// What was seen where it is not, in one line; else empty.
    pub seen: String,
}

/// What the check of a policy module says.
#[derive(Clone, Debug, Default)]
pub struct PolicyReport {
    /// What the module calls itself.
    pub description: String,
    /// Every rule, in the order of the contract.
    pub rules: Vec<PolicyFinding>,
    /// What it said about each made-up request.
    pub said: Vec<(&'static str, String)>,
}

const SENTENCES: [(&str, &str); 9] = [
    ("policy-starts", "The module starts, and takes the greeting of a policy module"),
    ("policy-event-mask", "A policy module asks for no events"),
    ("policy-description", "GetDescription is answered with one line of text"),
    ("policy-rules", "Every request is answered with a ruling"),
    ("policy-disposition", "A ruling's disposition is 0, 1, 2 or a failing HRESULT"),
    ("policy-settable", "A ruling sets only what a policy may set"),
    (
        "policy-oddities",
        "Requests without names, with long names and with unknown things are ruled on",
    ),
    ("policy-repeated", "The same request, asked about again, is ruled on alike"),
    ("policy-shutdown", "After Shutdown, and when its input ends, the module ends well"),
];

/// Checks a policy module. It is started three times, one process after the other.
#[must_use]
pub fn check_policy(module: &ModuleUnderTest) -> PolicyReport {
    let mut report = PolicyReport {
        rules: SENTENCES
            .into_iter()
            .map(|(id, sentence)| PolicyFinding {
                id,
                sentence,
                verdict: Verdict::NotApplicable,
                seen: String::new(),
            })
            .collect(),
        ..PolicyReport::default()
    };
    if let Some(mut host) = report.greeted(module) {
        report.ask(&mut host);
        let ended = host.shutdown();
        report.note("policy-shutdown", ended);
        if let Some(host) = report.greeted(module) {
            let ended = host.hang_up();
            report.note("policy-shutdown", ended);
        }
    }
    report
}

impl PolicyReport {
    /// Whether the module breaks no rule.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rules.iter().all(|it| it.verdict != Verdict::Fail)
    }

    /// The report for programs.
    #[must_use]
    pub fn json(&self) -> Json {
        let rule = |it: &PolicyFinding| {
            json!({
                "id": it.id, "sentence": it.sentence, "verdict": it.verdict.word(), "seen": it.seen,
            })
        };
        let said = |(request, said): &(&str, String)| json!({"request": request, "said": said});
        json!({
            "passed": self.passed(),
            "description": self.description,
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "requests": self.said.iter().map(said).collect::<Vec<_>>(),
        })
    }

    fn greeted(&mut self, module: &ModuleUnderTest) -> Option<Host> {
        let mut command = Command::new(&module.program);
        command.args(&module.args).stderr(Stdio::null());
        if let Some(directory) = &module.directory {
            command.current_dir(directory);
        }
        let settings = Json::Object(module.settings.clone());
        let greeted = Host::spawn(command)
            .and_then(|mut host| host.initialize_policy(&settings).map(|hello| (host, hello)));
        match greeted {
            Ok((host, hello)) => {
                self.keep("policy-starts");
                if hello.event_mask == 0 {
                    self.keep("policy-event-mask");
                } else {
                    self.fail("policy-event-mask", format!("mask {:#x}", hello.event_mask));
                }
                Some(host)
            }
            Err(err) => {
                self.fail("policy-starts", words(&err));
                None
            }
        }
    }

    fn ask(&mut self, host: &mut Host) {
        match host.description() {
            Ok(text) if !text.trim().is_empty() && !text.contains('\n') => {
                self.description = text;
                self.keep("policy-description");
            }
            Ok(text) => self.fail("policy-description", format!("{text:?}")),
            Err(err) => self.fail("policy-description", words(&err)),
        }
        for (what, asked, odd) in requests() {
            let first = self.rule(host, what, &asked, odd);
            let again = rule_again(host, &asked);
            if first.is_none() && again.is_none() {
                continue;
            }
            if first == again {
                self.keep("policy-repeated");
            } else {
                self.fail("policy-repeated", format!("{what}: {first:?}, then {again:?}"));
            }
        }
    }

    /// Asks once; the disposition, where there is a good ruling.
    fn rule(
        &mut self,
        host: &mut Host,
        what: &'static str,
        asked: &VerifyRequest,
        odd: bool,
    ) -> Option<Disposition> {
        let answered = if odd { "policy-oddities" } else { "policy-rules" };
        match host.verify(asked) {
            Ok((ruling, _)) => {
                self.keep(answered);
                self.keep("policy-disposition");
                self.keep("policy-settable");
                let disposition = ruling.disposition()?;
                let words = match disposition {
                    Disposition::Pend => "pend".to_owned(),
                    Disposition::Issue => "issue".to_owned(),
                    Disposition::Deny => "deny".to_owned(),
                    Disposition::DenyWith(hresult) => format!("deny with {hresult:#010x}"),
                };
                let message = ruling.message.unwrap_or_default();
                let colon = if message.is_empty() { "" } else { ": " };
                self.said.push((what, format!("{words}{colon}{message}")));
                Some(disposition)
            }
            Err(HostError::Unexpected(why)) if why.starts_with("disposition ") => {
                self.fail("policy-disposition", format!("{what}: {why}"));
                None
            }
            Err(HostError::Unexpected(why)) => {
                self.fail("policy-settable", format!("{what}: {why}"));
                None
            }
            Err(err) => {
                self.fail(answered, format!("{what}: {}", words(&err)));
                None
            }
        }
    }

    fn note(&mut self, id: &str, result: Result<(), HostError>) {
        match result {
            Ok(()) => self.keep(id),
            Err(err) => self.fail(id, words(&err)),
        }
    }

    fn keep(&mut self, id: &str) {
        if let Some(found) = self.rules.iter_mut().find(|it| it.id == id)
            && found.verdict == Verdict::NotApplicable
        {
            found.verdict = Verdict::Pass;
        }
    }

    fn fail(&mut self, id: &str, seen: String) {
        if let Some(found) = self.rules.iter_mut().find(|it| it.id == id)
            && found.verdict != Verdict::Fail
        {
            found.verdict = Verdict::Fail;
            found.seen = seen;
        }
    }
}

impl fmt::Display for PolicyReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.description.is_empty() {
            writeln!(out, "{}", self.description)?;
        }
        for (request, said) in &self.said {
            writeln!(out, "  {request}: {said}")?;
        }
        for PolicyFinding { id, sentence, verdict, seen } in &self.rules {
            writeln!(out, "{:<15} {id}: {sentence}", verdict.word())?;
            if !seen.is_empty() {
                writeln!(out, "{:<15} seen: {seen}", "")?;
            }
        }
        let failed = self.rules.iter().filter(|it| it.verdict == Verdict::Fail).count();
        match failed {
            0 => write!(out, "The module keeps every rule that was looked at."),
            1 => write!(out, "The module breaks one rule."),
            many => write!(out, "The module breaks {many} rules."),
        }
    }
}

/// Made-up requests: what each is, the call, and whether it is an odd one.
fn requests() -> Vec<(&'static str, VerifyRequest, bool)> {
    let plain = || request_for("www.example.com");
    let with = |change: &dyn Fn(&mut Event)| {
        let mut asked = request_for("www.example.com");
        change(&mut asked.event);
        asked
    };
    let default = |disposition| {
        let message = Some("taken under submission".to_owned()).filter(|_| disposition == 0);
        Some(DefaultRuling { disposition, message })
    };
    vec![
        ("a new request", plain(), false),
        ("one taken up again", VerifyRequest { new_request: false, ..plain() }, false),
        ("one that templates would issue", VerifyRequest { default: default(1), ..plain() }, false),
        ("one that templates hold", VerifyRequest { default: default(0), ..plain() }, false),
        (
            "one without names and extensions",
            with(&|it| {
                it.certificate.set("CommonName", None);
                it.request.set("CommonName", None);
                it.extensions = exeunt_module::Extensions::default();
            }),
            true,
        ),
        (
            "one with long names beyond ASCII",
            with(&|it| {
                let name = Value::String("ä\u{4f1a}\u{1f600}".repeat(500));
                it.request.set("CommonName", Some(name.clone()));
                it.certificate.set("CommonName", Some(name));
                it.attributes.push(("Odd".to_owned(), "line\nfeed".to_owned()));
            }),
            true,
        ),
        (
            "one with an unknown extension of 4096 octets",
            with(&|it| {
                let value = [&[4, 0x82, 0x0f, 0xfc][..], &[0; 4092]].concat();
                it.extensions.push("1.3.6.1.4.1.99999.1", Extension { flags: 0x1_0003, value });
            }),
            true,
        ),
    ]
}

fn rule_again(host: &mut Host, asked: &VerifyRequest) -> Option<Disposition> {
    host.verify(asked).ok().and_then(|(ruling, _)| ruling.disposition())
}

fn words(err: &HostError) -> String {
    match err {
        HostError::Refuse(CallError { message, .. }) => message.clone(),
        HostError::Io(source) => source.to_string(),
        err => err.to_string(),
    }
}
