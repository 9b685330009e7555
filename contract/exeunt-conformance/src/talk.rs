//! One conversation with one process of the module: calls, answers, call-backs, each line judged.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::{Duration, Instant},
};

use exeunt_module::{
    CallError, Event, Outcome, Properties, Response,
    call_back::{self, Query},
    line,
};
use serde_json::{Value as Json, json};

use crate::{
    answer,
    peer::{Peer, Program, Said, Silence},
    rule::{Findings, Rule, cut},
};

/// Ends of waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// How long one answer may take.
    pub answer: Duration,
    /// When the whole check ends.
    pub whole: Instant,
}

impl Deadlines {
    fn next(self) -> Instant {
        self.whole.min(Instant::now() + self.answer)
    }

    pub(crate) fn over(self) -> bool {
        self.whole <= Instant::now()
    }
}

/// What an answer to Notify was.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Outcome(Outcome),
    Error(CallError),
    /// No answer; the module has ended or hangs.
    Nothing(Silence),
}

impl Reply {
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Outcome(Outcome::Accept | Outcome::Skip))
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Outcome(Outcome::Accept) => "accept".to_owned(),
            Self::Outcome(Outcome::Skip) => "skip".to_owned(),
            Self::Outcome(Outcome::Retry { reason, .. }) => format!("retry: {reason}"),
            Self::Outcome(Outcome::TargetDown { reason, .. }) => {
                format!("retry, the target is down: {reason}")
            }
            Self::Outcome(Outcome::Park { reason }) => format!("park: {reason}"),
            Self::Outcome(other) => format!("an unknown outcome {other:?}"),
            Self::Error(error) => format!("error {}: {}", error.code, error.message),
            Self::Nothing(Silence::Late) => "no answer in time".to_owned(),
            Self::Nothing(Silence::Ended) => "no answer, the module ended".to_owned(),
            Self::Nothing(Silence::Unread) => "it could not read the line".to_owned(),
        }
    }

    /// For tables.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Outcome(Outcome::Accept) => "accept",
            Self::Outcome(Outcome::Skip) => "skip",
            Self::Outcome(Outcome::Retry { .. } | Outcome::TargetDown { .. }) => "retry",
            Self::Outcome(Outcome::Park { .. }) => "park",
            Self::Outcome(_) => "unknown",
            Self::Error(_) => "error",
            Self::Nothing(_) => "no answer",
        }
    }
}

/// What becomes of the module's call-backs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallBacks {
    /// The module has not taken the feature: there may be none.
    NotAgreed,
    /// The feature was offered and the greeting is not answered yet: the CA may be asked about.
    Offered,
    /// Each is answered with what there is.
    Answered,
    /// Each is answered that there is no value.
    WithoutValues,
}

/// The host's side of a conversation.
pub(crate) struct Talk {
    peer: Peer,
    deadlines: Deadlines,
    next_id: u64,
    /// Calls without an answer.
    open: HashMap<u64, Instant>,
    /// Answers that nobody has asked for yet, with the time that they took.
    answers: HashMap<u64, (Response, Duration)>,
    answered: HashSet<u64>,
    /// Answers to no particular call.
    pub anonymous: Vec<Response>,
    /// Whether an answer without an id may come: a line that is no message was sent.
    pub anonymous_allowed: bool,
    /// Whether the module could not read a line of ours.
    unread: bool,
    /// What becomes of a call-back.
    pub call_backs: CallBacks,
    /// Events without an answer, by the id of the call.
    in_hand: HashMap<u64, Event>,
    /// What the CA's own properties are.
    system: Properties,
    /// Call-backs of this conversation, in words.
    pub asked: Vec<String>,
}

/// Most call-backs that are written down for the report.
const ASKED_MAX: usize = 1000;

impl Talk {
    pub(crate) fn start(program: &Program, deadlines: Deadlines) -> io::Result<Self> {
        Ok(Self {
            peer: Peer::start(program)?,
            deadlines,
            next_id: 1,
            open: HashMap::new(),
            answers: HashMap::new(),
            answered: HashSet::new(),
            anonymous: Vec::new(),
            anonymous_allowed: false,
            unread: false,
            call_backs: CallBacks::NotAgreed,
            in_hand: HashMap::new(),
            system: crate::fixtures::system(),
            asked: Vec::new(),
        })
    }

    /// Calls and waits for the answer.
    pub(crate) fn call(
        &mut self,
        findings: &mut Findings,
        method: &str,
        params: &Json,
    ) -> Result<Response, Silence> {
        let id = self.send_call(method, params);
        self.answer(findings, id).map(|(response, _)| response)
    }

    /// Calls with the next id.
    pub(crate) fn send_call(&mut self, method: &str, params: &Json) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_message(
            id,
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
        );
        id
    }

    /// Sends a whole message that has that id.
    pub(crate) fn send_message(&mut self, id: u64, message: &Json) {
        self.open.insert(id, Instant::now());
        self.send_raw(format!("{message}\n").into_bytes());
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: Vec<u8>) {
        self.peer.send(bytes);
    }

    /// Delivers an event and waits for what becomes of it.
    pub(crate) fn notify(
        &mut self,
        findings: &mut Findings,
        event: &Event,
    ) -> (Reply, Option<Duration>) {
        let id = self.next_id;
        self.next_id += 1;
        self.notify_with_id(findings, id, event)
    }

    /// The same with an id of the caller's choice.
    pub(crate) fn notify_with_id(
        &mut self,
        findings: &mut Findings,
        id: u64,
        event: &Event,
    ) -> (Reply, Option<Duration>) {
        let params = json!({"event": self.event_json(event)});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "Notify", "params": params});
        self.notify_message(findings, id, event, &message)
    }

    /// The same with a message of the caller's making.
    pub(crate) fn notify_message(
        &mut self,
        findings: &mut Findings,
        id: u64,
        event: &Event,
        message: &Json,
    ) -> (Reply, Option<Duration>) {
        self.in_hand.insert(id, event.clone());
        self.send_message(id, message);
        self.reply(findings, id)
    }

    /// Delivers many events at once; their ids.
    pub(crate) fn send_events(&mut self, events: &[Event]) -> Vec<u64> {
        let mut lines = Vec::new();
        let mut ids = Vec::new();
        for event in events {
            let id = self.next_id;
            self.next_id += 1;
            let params = json!({"event": self.event_json(event)});
            let message = json!({"jsonrpc": "2.0", "id": id, "method": "Notify", "params": params});
            self.in_hand.insert(id, event.clone());
            self.open.insert(id, Instant::now());
            lines.extend_from_slice(format!("{message}\n").as_bytes());
            ids.push(id);
        }
        self.send_raw(lines);
        ids
    }

    /// What becomes of a delivered event.
    pub(crate) fn reply(&mut self, findings: &mut Findings, id: u64) -> (Reply, Option<Duration>) {
        match self.answer(findings, id) {
            Err(silence) => (Reply::Nothing(silence), None),
            Ok((response, took)) => (judge_reply(findings, response), Some(took)),
        }
    }

    /// An event as it goes over the wire: without what the module fetches by call-back.
    pub(crate) fn event_json(&self, event: &Event) -> Json {
        let mut event = json!(event);
        if self.call_backs != CallBacks::NotAgreed
            && let Some(request) = event["request"].as_object_mut()
        {
            request.retain(|name, _| name != "RawRequest");
        }
        event
    }

    /// The next id that [`Talk::call`] would use.
    pub(crate) fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Waits for the answer to a call. Every answer to another one gives it time again.
    pub(crate) fn answer(
        &mut self,
        findings: &mut Findings,
        id: u64,
    ) -> Result<(Response, Duration), Silence> {
        let mut deadline = self.deadlines.next();
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            if self.unread {
                return Err(Silence::Unread);
            }
            let still_open = self.open.len();
            match self.peer.next(deadline)? {
                Said::Line(line, when) => self.hear(findings, &line, when),
                Said::TooLong => {
                    findings.fail(Rule::StdoutIsMessages, "a line longer than 4 MiB");
                    return Err(Silence::Ended);
                }
            }
            if self.open.len() < still_open {
                deadline = self.deadlines.next();
            }
        }
    }

    /// Closes standard input and waits for the end; everything that still comes is judged.
    pub(crate) fn hang_up(&mut self, findings: &mut Findings) -> Option<std::process::ExitStatus> {
        self.peer.hang_up();
        self.end(findings)
    }

    /// Waits for the end by itself; everything that still comes is judged.
    pub(crate) fn end(&mut self, findings: &mut Findings) -> Option<std::process::ExitStatus> {
        let deadline = self.deadlines.next();
        loop {
            match self.peer.next(deadline) {
                Ok(Said::Line(line, when)) => self.hear(findings, &line, when),
                Ok(Said::TooLong) => {
                    findings.fail(Rule::StdoutIsMessages, "a line longer than 4 MiB");
                    return None;
                }
                Err(Silence::Ended) => return self.peer.wait(deadline),
                Err(Silence::Late | Silence::Unread) => return None,
            }
        }
    }

    pub(crate) fn stderr(&self) -> String {
        self.peer.stderr()
    }

    /// Takes one line of the module's: an answer, or a call-back.
    fn hear(&mut self, findings: &mut Findings, line: &[u8], when: Instant) {
        let shown = || cut(&String::from_utf8_lossy(&line[..line.len().min(1200)]));
        let Ok(Json::Object(message)) = serde_json::from_slice::<Json>(line) else {
            return findings.fail(Rule::StdoutIsMessages, format!("it wrote: {}", shown()));
        };
        if message.contains_key("method") {
            if self.call_backs == CallBacks::NotAgreed {
                let text = format!("a call without the feature call-backs: {}", shown());
                findings.fail(Rule::StdoutIsMessages, text);
            } else {
                self.call_back(findings, line);
            }
            return;
        }
        findings.pass(Rule::StdoutIsMessages, "");
        let malformed = if message.get("jsonrpc") != Some(&json!("2.0")) {
            Some("without jsonrpc \"2.0\"")
        } else if !message.contains_key("id") {
            Some("without an id")
        } else if message.get("error").is_some_and(|it| !it.is_null())
            && message.contains_key("result")
        {
            Some("with a result and an error")
        } else {
            None
        };
        if let Some(malformed) = malformed {
            findings.fail(Rule::AnswersWellFormed, format!("{malformed}: {}", shown()));
        }
        let response = match line::parse_response(line) {
            Ok(response) => response,
            Err(err) => {
                return findings.fail(Rule::AnswersWellFormed, format!("{err}: {}", shown()));
            }
        };
        if malformed.is_none() {
            findings.pass(Rule::AnswersWellFormed, "");
        }
        let Some(id) = response.id else {
            if !self.anonymous_allowed && response.answer.is_err() && !self.open.is_empty() {
                self.unread = true;
            } else if !self.anonymous_allowed {
                findings.fail(Rule::AnswersOnce, format!("an answer to nothing: {}", shown()));
            }
            self.anonymous.push(response);
            return;
        };
        if let Some(sent) = self.open.remove(&id) {
            findings.pass(Rule::AnswersOnce, "");
            self.in_hand.remove(&id);
            self.answered.insert(id);
            self.answers.insert(id, (response, when.saturating_duration_since(sent)));
        } else if self.answered.contains(&id) {
            findings.fail(Rule::AnswersOnce, format!("a second answer to call {id}: {}", shown()));
        } else {
            let text = format!("an answer to call {id}, which there was not: {}", shown());
            findings.fail(Rule::AnswersOnce, text);
        }
    }

    /// Answers a call-back as the server would.
    fn call_back(&mut self, findings: &mut Findings, line: &[u8]) {
        let mut out = Vec::new();
        match call_back::parse_call_back(line) {
            Ok(call_back) => {
                findings.pass(Rule::CallBacksWellFormed, "");
                findings.pass(Rule::CallBacksReadOnly, "");
                let asked = call_back.query.asked();
                if self.asked.len() < ASKED_MAX {
                    self.asked.push(format!("{} {}", call_back.query.method(), cut(&asked.name)));
                }
                let about_ca =
                    asked.seq == 0 && matches!(call_back.query, Query::GetCertificateProperty(_));
                let event = self.in_hand.values().find(|it| it.seq == asked.seq);
                if about_ca || event.is_some() {
                    findings.pass(Rule::CallBacksInHand, "");
                } else {
                    let text = format!(
                        "{} {} of event {}",
                        call_back.query.method(),
                        asked.name,
                        asked.seq
                    );
                    findings.fail(Rule::CallBacksInHand, text);
                }
                let mut found = answer::find(&call_back.query, event, &self.system);
                if self.call_backs == CallBacks::WithoutValues && found.is_ok() {
                    found = Err(call_back::Refusal::Empty.into_error("there is no value"));
                }
                let answer = found.as_ref().map_err(Clone::clone);
                call_back::write_found(&mut out, call_back.id, answer)
                    .expect("BUG: every value of the fixtures fits a line");
            }
            Err(err) => {
                let unknown = matches!(
                    &err,
                    line::LineError::Malformed { refusal, .. }
                        if refusal.code == CallError::METHOD_NOT_FOUND
                );
                let rule =
                    if unknown { Rule::CallBacksReadOnly } else { Rule::CallBacksWellFormed };
                findings.fail(rule, err.to_string());
                if let Some(response) = err.into_response() {
                    line::write_response(&mut out, &response)
                        .expect("BUG: a refusal of one clause fits a line");
                }
            }
        }
        self.peer.send(out);
    }
}

/// Takes an answer to Notify apart.
fn judge_reply(findings: &mut Findings, response: Response) -> Reply {
    let error = match &response.answer {
        Ok(_) => None,
        Err(error) => Some(error.clone()),
    };
    if let Some(error) = error {
        let text = format!(
            "error {}: {} (an error counts as retry, without a reason)",
            error.code, error.message
        );
        findings.advice(Rule::NotifyOutcome, text);
        return Reply::Error(error);
    }
    match response.into_outcome() {
        Ok(Outcome::Unknown(members)) => {
            findings.fail(Rule::NotifyOutcome, format!("{}", Json::Object(members.clone())));
            Reply::Outcome(Outcome::Unknown(members))
        }
        Ok(outcome) => {
            findings.pass(Rule::NotifyOutcome, "");
            Reply::Outcome(outcome)
        }
        Err(err) => {
            findings.fail(Rule::NotifyOutcome, err.message);
            Reply::Outcome(Outcome::Unknown(serde_json::Map::new()))
        }
    }
}
