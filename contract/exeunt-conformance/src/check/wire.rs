//! The conversation itself: ids, windows, interleaved subjects, lines and methods that are none.

use exeunt_module::{CallError, Event};
use serde_json::{Value as Json, json};

use super::{Agreed, Check, answer_words, with_stderr};
use crate::{
    fixtures,
    rule::Rule,
    talk::{Reply, Talk},
};

/// Ids as the contract allows them: any, in any order, up to 2^53 - 1.
const IDS: [u64; 5] = [(1 << 53) - 1, 4_294_967_296, 70_000, 0, 65_536];

/// Setting that no module has.
const UNKNOWN_SETTING: &str = "no_such_setting_of_any_module";

impl Check<'_> {
    /// Ids in any order, subjects in turns, a full window.
    pub(super) fn many_at_once(&mut self, agreed: Agreed) {
        let Some(event) = Self::asked_event(agreed) else {
            let rules = [Rule::IdsAnyOrder, Rule::SubjectsInterleaved, Rule::WindowFilled];
            return self.nothing_asked(&rules);
        };
        if let Some((mut talk, _)) = self.open_usual() {
            let mut lives = true;
            for (id, seq) in IDS.into_iter().zip(201..) {
                let event = fixtures::about_request(&event, seq, 209);
                let (reply, _) = talk.notify_with_id(&mut self.findings, id, &event);
                if let Reply::Nothing(_) = reply {
                    let text = format!("the call with id {id}: {}", reply.words());
                    self.findings.fail(Rule::IdsAnyOrder, with_stderr(text, &talk));
                    lives = false;
                    break;
                }
                self.findings.pass(Rule::IdsAnyOrder, "");
            }
            if lives {
                self.close(talk);
            }
        }
        if let Some((mut talk, agreed)) = self.open_usual() {
            // The next event of a subject goes out when the one before it is settled.
            let turn = |first_seq| {
                let subjects = [(first_seq, 219), (first_seq + 1, 229)];
                subjects.map(|(seq, request)| fixtures::about_request(&event, seq, request))
            };
            let mut lives = true;
            for events in [turn(211), turn(213), turn(215)] {
                lives =
                    lives && self.at_once(&mut talk, agreed, Rule::SubjectsInterleaved, &events);
            }
            if lives {
                self.close(talk);
            }
        }
        if let Some((mut talk, agreed)) = self.open_usual() {
            let events: Vec<Event> = (0..agreed.window)
                .map(|it| fixtures::about_request(&event, 1001 + u64::from(it), 1001 + it))
                .collect();
            if self.at_once(&mut talk, agreed, Rule::WindowFilled, &events) {
                let text = format!("{} at once", events.len());
                self.findings.pass(Rule::WindowFilled, text);
                self.close(talk);
            }
        }
    }

    /// Delivers events, as many at once as the window allows. Whether all were answered.
    fn at_once(&mut self, talk: &mut Talk, agreed: Agreed, rule: Rule, events: &[Event]) -> bool {
        let window = usize::try_from(agreed.window).unwrap_or(1);
        for events in events.chunks(window) {
            let ids = talk.send_events(events);
            for (id, place) in ids.into_iter().zip(1..) {
                let (reply, _) = talk.reply(&mut self.findings, id);
                if let Reply::Nothing(_) = reply {
                    let text = format!("event {place} of {}: {}", events.len(), reply.words());
                    self.findings.fail(rule, with_stderr(text, talk));
                    return false;
                }
                if let Reply::Error(_) = reply {
                    self.findings.advice(rule, reply.words());
                }
            }
        }
        self.findings.pass(rule, "");
        true
    }

    /// Messages that a good host does not send, or not yet.
    pub(super) fn odd_messages(&mut self) {
        type Act<'a> = fn(&mut Check<'a>, &mut Talk) -> bool;
        let acts: [(Rule, Act<'_>); 4] = [
            (Rule::MethodUnknown, Self::unknown_method),
            (Rule::NotificationUnanswered, Self::notification),
            (Rule::LineMalformed, Self::malformed_line),
            (Rule::InitializeTwice, Self::second_greeting),
        ];
        let mut talk: Option<Talk> = None;
        for (rule, act) in acts {
            let opened = talk.take().or_else(|| self.open_usual().map(|it| it.0));
            let Some(mut current) = opened else { return };
            if act(self, &mut current) && self.still_answers(&mut current, rule) {
                talk = Some(current);
            }
        }
        if let Some(talk) = talk {
            self.close(talk);
        }
    }

    /// Whether the module still answers a plain call.
    fn still_answers(&mut self, talk: &mut Talk, rule: Rule) -> bool {
        match talk.call(&mut self.findings, "GetDescription", &json!({})) {
            Ok(_) => true,
            Err(silence) => {
                let text = format!("afterwards {}", Reply::Nothing(silence).words());
                self.findings.fail(rule, with_stderr(text, talk));
                false
            }
        }
    }

    fn unknown_method(&mut self, talk: &mut Talk) -> bool {
        let rule = Rule::MethodUnknown;
        match talk.call(&mut self.findings, "GetWeather", &json!({"where": "here"})) {
            Ok(response) if super::is_no_method(&response.answer) => self.findings.pass(rule, ""),
            Ok(response) => self.findings.fail(rule, answer_words(&response.answer)),
            Err(silence) => {
                let text = Reply::Nothing(silence).words();
                self.findings.fail(rule, with_stderr(text, talk));
                return false;
            }
        }
        true
    }

    fn notification(&mut self, talk: &mut Talk) -> bool {
        let rule = Rule::NotificationUnanswered;
        talk.anonymous_allowed = true;
        talk.send_raw(b"{\"jsonrpc\":\"2.0\",\"method\":\"Weather\",\"params\":{}}\n".to_vec());
        if !self.still_answers(talk, rule) {
            return false;
        }
        match talk.anonymous.first() {
            None => self.findings.pass(rule, ""),
            Some(response) => self.findings.fail(rule, answer_words(&response.answer)),
        }
        talk.anonymous.clear();
        true
    }

    fn malformed_line(&mut self, talk: &mut Talk) -> bool {
        let rule = Rule::LineMalformed;
        talk.anonymous_allowed = true;
        talk.send_raw(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\n".to_vec());
        if !self.still_answers(talk, rule) {
            return false;
        }
        match talk.anonymous.first().map(|it| &it.answer) {
            None => self.findings.pass(rule, "passed over"),
            Some(Err(error)) if error.code == CallError::PARSE => {
                self.findings.pass(rule, "answered with -32700");
            }
            Some(other) => self.findings.advice(rule, answer_words(other)),
        }
        talk.anonymous.clear();
        true
    }

    fn second_greeting(&mut self, talk: &mut Talk) -> bool {
        let rule = Rule::InitializeTwice;
        let settings = self.module.settings.clone();
        let features = [exeunt_module::call_back::CALL_BACKS];
        match self.greet(talk, &features, self.options.window, &settings).map(|it| it.answer) {
            Ok(Err(error)) if error.code == CallError::INVALID_REQUEST => {
                self.findings.pass(rule, "refused with -32600");
            }
            Ok(answer) => {
                let text = format!("{}; -32600 says it best", answer_words(&answer));
                self.findings.advice(rule, text);
            }
            Err(silence) => {
                let text = Reply::Nothing(silence).words();
                self.findings.fail(rule, with_stderr(text, talk));
                return false;
            }
        }
        true
    }

    /// A setting that the module cannot know.
    pub(super) fn unknown_setting(&mut self) {
        let rule = Rule::SettingsUnknown;
        let Some(mut talk) = self.start() else { return };
        let mut settings = self.module.settings.clone();
        settings.insert(unknown_setting(), Json::Bool(true));
        let answer = self.greet(&mut talk, &[], self.options.window, &settings);
        match answer.map(|it| it.answer) {
            Ok(Err(error)) if error.code == CallError::REFUSED => {
                self.refuses_unknown = true;
                if error.message.contains(UNKNOWN_SETTING) {
                    self.findings.pass(rule, error.message);
                } else {
                    let text = format!("the message does not name it: {}", error.message);
                    self.findings.advice(rule, text);
                }
            }
            Ok(Err(error)) => self.findings.fail(rule, answer_words(&Err(error))),
            Ok(Ok(_)) => self.findings.advice(rule, "accepted: nobody will find a typing mistake"),
            Err(silence) => {
                let text = Reply::Nothing(silence).words();
                self.findings.fail(rule, with_stderr(text, &talk));
                return;
            }
        }
        self.close(talk);
    }
}

/// Name of a setting that no module has.
pub(super) fn unknown_setting() -> String {
    UNKNOWN_SETTING.to_owned()
}
