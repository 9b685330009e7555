//! The acts of the check, one after the other, each with processes of its own.
//!
//! A module that dies in one act is started again for the next, so that one fault is one finding.

use std::time::{Duration, Instant};

use exeunt_module::{CallError, Event, PROTOCOL_VERSION, Response, call_back, exit_event};
use serde_json::{Map, Value as Json, json};

use crate::{
    ModuleUnderTest, Options, fixtures,
    peer::{Program, Silence},
    report::{About, Told, Unchecked},
    rule::{Findings, Rule, Verdict, cut},
    talk::{CallBacks, Deadlines, Reply, Talk},
};

mod life;
mod manage;
mod oddities;
mod wire;

/// Name under which the module is greeted.
const MODULE_NAME: &str = "under-test";

/// A feature that no version has.
const FEATURE_OF_THE_FUTURE: &str = "conformance-future";

/// What the greeting agreed on.
#[derive(Clone, Copy, Debug)]
struct Agreed {
    mask: u32,
    window: u32,
}

/// A check under way.
pub(crate) struct Check<'a> {
    module: &'a ModuleUnderTest,
    options: &'a Options,
    program: Program,
    deadlines: Deadlines,
    pub findings: Findings,
    pub about: About,
    pub told: Vec<Told>,
    /// The start of what the module wrote to standard error, at its first fault.
    pub stderr: String,
    /// Why the last greeting came to nothing, where that may be for want of a program or of settings.
    ungreeted: Option<Unchecked>,
    /// Whether Initialize refuses a setting that the module does not know.
    refuses_unknown: bool,
    /// Whether Shutdown is worth trying at the end of an act.
    ends_well: bool,
}

impl<'a> Check<'a> {
    pub(crate) fn new(module: &'a ModuleUnderTest, options: &'a Options) -> Self {
        let program = Program {
            file: module.program.clone(),
            args: module.args.clone(),
            directory: module.directory.clone(),
        };
        let deadlines = Deadlines {
            answer: options.answer_within,
            whole: Instant::now() + options.whole_within,
        };
        Self {
            module,
            options,
            program,
            deadlines,
            findings: Findings::new(),
            about: About::default(),
            told: Vec::new(),
            stderr: String::new(),
            ungreeted: None,
            refuses_unknown: false,
            ends_well: false,
        }
    }

    pub(crate) fn run(&mut self) {
        let Some(agreed) = self.life() else { return };
        self.about.mask = Some(agreed.mask);
        self.redelivery(agreed);
        self.awkward_events(agreed);
        self.many_at_once(agreed);
        self.unasked_events(agreed);
        self.call_backs_without_values();
        self.odd_messages();
        self.unknown_setting();
        self.managing();
        self.end_of_input();
        if self.deadlines.over() {
            let text =
                "the check ran out of time; give it more, or find out why the module is slow";
            self.findings.fail(Rule::NotifyAnswered, text);
        }
    }

    /// Why nothing was checked: nothing but the start of the very first process was judged, and failed.
    pub(crate) fn unchecked(&self) -> Option<Unchecked> {
        let failed = self.findings.checked().into_iter().filter(|it| it.verdict == Verdict::Fail);
        let failed: Vec<&str> = failed.map(|it| it.id).collect();
        let is_start = matches!(failed.as_slice(), ["starts" | "initialize-answered"]);
        let never_greeted = self.about.mask.is_none() && self.about.description.is_none();
        self.ungreeted.clone().filter(|_| is_start && never_greeted)
    }

    /// Starts a process and greets it; the first rules are judged at every greeting.
    fn open(&mut self, features: &[&str], window: u32) -> Option<(Talk, Agreed)> {
        let mut talk = self.start()?;
        let settings = self.module.settings.clone();
        let response = self.greet(&mut talk, features, window, &settings);
        let Some(agreed) = self.judge_greeting(&mut talk, response, features, window) else {
            self.close(talk);
            return None;
        };
        Some((talk, agreed))
    }

    /// The usual greeting.
    fn open_usual(&mut self) -> Option<(Talk, Agreed)> {
        self.open(&[call_back::CALL_BACKS, FEATURE_OF_THE_FUTURE], self.options.window)
    }

    fn start(&mut self) -> Option<Talk> {
        match Talk::start(&self.program, self.deadlines) {
            Ok(talk) => {
                self.findings.pass(Rule::Starts, "");
                Some(talk)
            }
            Err(err) => {
                let program = self.program.file.to_string_lossy();
                self.ungreeted = Some(Unchecked::DidNotStart(cut(&format!("{program}: {err}"))));
                self.findings.fail(Rule::Starts, format!("{program}: {err}"));
                None
            }
        }
    }

    fn greet(
        &mut self,
        talk: &mut Talk,
        features: &[&str],
        window: u32,
        settings: &Map<String, Json>,
    ) -> Result<Response, Silence> {
        let params = json!({
            "protocol": PROTOCOL_VERSION,
            "features": features,
            "config": fixtures::CA_NAME,
            "module": MODULE_NAME,
            "settings": settings,
            "window": window,
            "deadline_ms": u64::try_from(self.options.answer_within.as_millis()).unwrap_or(u64::MAX),
        });
        if features.contains(&call_back::CALL_BACKS) {
            talk.call_backs = CallBacks::Offered;
        }
        talk.call(&mut self.findings, "Initialize", &params)
    }

    fn judge_greeting(
        &mut self,
        talk: &mut Talk,
        response: Result<Response, Silence>,
        offered: &[&str],
        window_offered: u32,
    ) -> Option<Agreed> {
        let findings = &mut self.findings;
        let result = match response.map(|it| it.answer) {
            Ok(Ok(Json::Object(result))) => result,
            Ok(Ok(other)) => {
                findings.fail(Rule::InitializeAnswered, format!("the result is {other}"));
                return None;
            }
            Ok(Err(error)) => {
                if error.code == CallError::REFUSED {
                    self.ungreeted = Some(Unchecked::RefusesSettings(cut(&error.message)));
                }
                let text = format!("refused with {}: {}", error.code, error.message);
                findings.fail(Rule::InitializeAnswered, text);
                return None;
            }
            Err(silence) => {
                findings.fail(Rule::InitializeAnswered, Reply::Nothing(silence).words());
                self.keep_stderr(talk);
                if silence == Silence::Ended {
                    let why = last_line(&self.stderr).unwrap_or("it ended without a word");
                    self.ungreeted = Some(Unchecked::DidNotStart(cut(why)));
                }
                return None;
            }
        };
        findings.pass(Rule::InitializeAnswered, "");
        Some(self.judge_result(talk, &result, offered, window_offered))
    }

    fn judge_result(
        &mut self,
        talk: &mut Talk,
        result: &Map<String, Json>,
        offered: &[&str],
        window_offered: u32,
    ) -> Agreed {
        let findings = &mut self.findings;
        let member = |name: &str| result.get(name).unwrap_or(&Json::Null);

        match member("protocol").as_u64() {
            Some(version) if version == u64::from(PROTOCOL_VERSION) => {
                findings.pass(Rule::ProtocolVersion, "");
            }
            _ => {
                findings.fail(Rule::ProtocolVersion, format!("protocol is {}", member("protocol")));
            }
        }
        let taken: Option<Vec<&str>> = match member("features") {
            Json::Null => Some(Vec::new()),
            Json::Array(features) => features.iter().map(Json::as_str).collect(),
            _ => None,
        };
        let known = |it: &&str| *it == call_back::CALL_BACKS && offered.contains(it);
        match &taken {
            Some(taken) if taken.iter().all(known) => {
                findings.pass(Rule::FeaturesOffered, "");
            }
            _ => {
                findings
                    .fail(Rule::FeaturesOffered, format!("features are {}", member("features")));
            }
        }
        let taken: Vec<&str> = taken.unwrap_or_default().into_iter().filter(known).collect();
        talk.call_backs = if taken.is_empty() { CallBacks::NotAgreed } else { CallBacks::Answered };

        let mask = member("event_mask").as_u64().and_then(|it| u32::try_from(it).ok());
        match mask {
            Some(0) => findings.advice(Rule::EventMask, "it asks for no event at all"),
            Some(mask) if mask & !exit_event::ALL != 0 => {
                let text = format!("{:#x} are no bits of this version", mask & !exit_event::ALL);
                findings.advice(Rule::EventMask, text);
            }
            Some(mask) => findings.pass(Rule::EventMask, format!("{mask:#x}")),
            None => {
                findings.fail(Rule::EventMask, format!("event_mask is {}", member("event_mask")));
            }
        }
        let window = member("window").as_u64().and_then(|it| u32::try_from(it).ok());
        match window {
            Some(window) if (1..=window_offered).contains(&window) => {
                findings.pass(Rule::WindowWithinOffer, format!("{window} of {window_offered}"));
            }
            _ => findings.fail(
                Rule::WindowWithinOffer,
                format!("window is {}, offered were {window_offered}", member("window")),
            ),
        }
        if self.about.window.is_none() {
            self.about.window = window;
            self.about.features = taken.into_iter().map(str::to_owned).collect();
        }
        // What is broken is judged; the check goes on with what comes nearest.
        Agreed {
            mask: mask.unwrap_or(exit_event::ALL),
            window: window.unwrap_or(1).clamp(1, window_offered),
        }
    }

    /// Ends a process in an act that is not about its end.
    fn close(&mut self, mut talk: Talk) {
        if self.ends_well && talk.call(&mut self.findings, "Shutdown", &json!({})).is_ok() {
            talk.end(&mut self.findings);
        }
        self.about.asked.append(&mut talk.asked);
    }

    /// Delivers an event that a rule is about, and judges what becomes of it against the plain
    /// event's fate. Gives back whether the module is still there.
    fn judge_event(&mut self, talk: &mut Talk, rule: Rule, plain: &Reply, reply: &Reply) -> bool {
        let findings = &mut self.findings;
        match reply {
            Reply::Nothing(_) => {
                findings.fail(rule, with_stderr(reply.words(), talk));
                return false;
            }
            Reply::Error(_) if plain.is_settled() => findings.fail(rule, reply.words()),
            Reply::Error(_) => findings.advice(rule, reply.words()),
            Reply::Outcome(_) if plain.is_settled() && !reply.is_settled() => {
                findings
                    .advice(rule, format!("{}, and a plain one: {}", reply.words(), plain.words()));
            }
            Reply::Outcome(_) => findings.pass(rule, reply.words()),
        }
        true
    }

    /// An event that the module asked for, as much like an issued certificate as it asked for.
    fn asked_event(agreed: Agreed) -> Option<Event> {
        const BEST_FIRST: [u32; 3] =
            [exit_event::CERT_ISSUED, exit_event::CERT_REVOKED, exit_event::CERT_RETRIEVE_PENDING];
        let others = exit_event::WORDS.iter().map(|(bit, _)| *bit);
        let bit = BEST_FIRST.into_iter().chain(others).find(|it| agreed.mask & it != 0)?;
        fixtures::every_event().into_iter().find(|it| it.event == bit)
    }

    /// Where the module asks for nothing, these rules have no occasion.
    fn nothing_asked(&mut self, rules: &[Rule]) {
        for rule in rules {
            self.findings.not_applicable(*rule, "it asks for no event that this version knows");
        }
    }

    fn keep_stderr(&mut self, talk: &Talk) {
        if self.stderr.is_empty() {
            // What the module wrote just before its end may still be on its way.
            for _ in 0..STDERR_LOOKS_MAX {
                std::thread::sleep(STDERR_ON_ITS_WAY);
                self.stderr = talk.stderr();
                if !self.stderr.is_empty() {
                    break;
                }
            }
        }
    }
}

/// How long the last words on standard error may take.
const STDERR_ON_ITS_WAY: Duration = Duration::from_millis(20);
/// How often they are looked for; a module may as well end without any.
const STDERR_LOOKS_MAX: u32 = 10;

/// A note with the last line of standard error, where most languages put the reason.
fn with_stderr(note: String, talk: &Talk) -> String {
    std::thread::sleep(STDERR_ON_ITS_WAY);
    match last_line(&talk.stderr()) {
        Some(last) => format!("{note}; its last words: {}", cut(last)),
        None => note,
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().rfind(|it| !it.trim().is_empty())
}

/// Whether that is how an unknown method is answered.
fn is_no_method(answer: &Result<Json, CallError>) -> bool {
    matches!(answer, Err(error) if error.code == CallError::METHOD_NOT_FOUND)
}

/// For people: an answer that was not expected.
fn answer_words(answer: &Result<Json, CallError>) -> String {
    match answer {
        Ok(result) => format!("result {result}"),
        Err(error) => format!("error {}: {}", error.code, error.message),
    }
}
