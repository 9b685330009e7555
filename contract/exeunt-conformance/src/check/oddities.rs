//! Events that are legitimate and unusual, each alone.

use std::sync::Arc;

use exeunt_module::{Event, Extension, Properties, Value, exit_event};
use serde_json::{Value as Json, json};

use super::{Agreed, Check, with_stderr};
use crate::{
    fixtures,
    rule::Rule,
    talk::{CallBacks, Reply, Talk},
};

/// A bit that no version has given a meaning yet.
const BIT_OF_THE_FUTURE: u32 = 0x4000_0000;

/// Size of an extension that makes its event 3 MiB long in base64.
const LARGE_BYTES: usize = 3 * 1024 * 1024 / 4 * 3;

/// What becomes of the message of an event just before it is sent.
type Change = fn(&mut Json);

/// Rules about a legitimate event that differs from a plain one in one point.
const AWKWARD: [Rule; 7] = [
    Rule::PropertiesMissing,
    Rule::TextNonAscii,
    Rule::AttributeLineFeeds,
    Rule::EventOfTheFuture,
    Rule::PropertyTypeOfTheFuture,
    Rule::MembersUnknown,
    Rule::EventLarge,
];

impl Check<'_> {
    pub(super) fn awkward_events(&mut self, agreed: Agreed) {
        let Some(plain_event) = Self::asked_event(agreed) else {
            return self.nothing_asked(&AWKWARD);
        };
        let mut talk: Option<Talk> = None;
        let mut plain = Reply::Error(exeunt_module::CallError::new(0, ""));
        for (rule, seq) in AWKWARD.into_iter().zip(101..) {
            let mut current = if let Some(current) = talk.take() {
                current
            } else {
                let Some((mut fresh, _)) = self.open_usual() else { return };
                let other = fixtures::about_request(&plain_event, 100, 109);
                plain = fresh.notify(&mut self.findings, &other).0;
                if let Reply::Nothing(_) = plain {
                    // Judged by the rule about plain events already.
                    return;
                }
                fresh
            };
            let mut event = fixtures::about_request(&plain_event, seq, 109);
            let change = awkward(rule, &mut event);
            let id = current.take_id();
            let params = json!({"event": current.event_json(&event)});
            let mut message =
                json!({"jsonrpc": "2.0", "id": id, "method": "Notify", "params": params});
            change(&mut message);
            let (reply, _) = current.notify_message(&mut self.findings, id, &event, &message);
            let lives = match rule {
                Rule::EventOfTheFuture => self.judge_future(&current, agreed, &reply),
                Rule::PropertiesMissing => self.judge_missing(&current, &reply),
                _ => self.judge_event(&mut current, rule, &plain, &reply),
            };
            if lives {
                talk = Some(current);
            }
        }
        if let Some(talk) = talk {
            self.close(talk);
        }
    }

    /// The server sends it to nobody who did not ask for that bit, so for others it is advice.
    fn judge_future(&mut self, talk: &Talk, agreed: Agreed, reply: &Reply) -> bool {
        let rule = Rule::EventOfTheFuture;
        let lives = !matches!(reply, Reply::Nothing(_));
        let text = if lives { reply.words() } else { with_stderr(reply.words(), talk) };
        if reply.is_settled() {
            self.findings.pass(rule, text);
        } else if agreed.mask & BIT_OF_THE_FUTURE == 0 {
            self.findings.advice(rule, text);
        } else {
            self.findings.fail(rule, text);
        }
        lives
    }

    fn judge_missing(&mut self, talk: &Talk, reply: &Reply) -> bool {
        let rule = Rule::PropertiesMissing;
        match reply {
            Reply::Nothing(_) => {
                self.findings.fail(rule, with_stderr(reply.words(), talk));
                return false;
            }
            Reply::Error(_) => self.findings.advice(rule, reply.words()),
            Reply::Outcome(_) => self.findings.pass(rule, reply.words()),
        }
        true
    }

    /// Events outside the mask: the server never sends them, another host may.
    pub(super) fn unasked_events(&mut self, agreed: Agreed) {
        let unasked: Vec<Event> = fixtures::every_event()
            .into_iter()
            .filter(|it| agreed.mask & it.event == 0)
            .zip(301..)
            .map(|(it, seq)| Event { seq, id: format!("c0ffee00-{seq}"), ..it })
            .collect();
        if unasked.is_empty() {
            return self.findings.not_applicable(Rule::EventUnasked, "it asks for every event");
        }
        let Some((mut talk, _)) = self.open_usual() else { return };
        for event in unasked {
            let (reply, _) = talk.notify(&mut self.findings, &event);
            let word = exit_event::word(event.event);
            match &reply {
                Reply::Nothing(_) => {
                    let text = with_stderr(format!("{word}: {}", reply.words()), &talk);
                    // No server sends it; so it is no fault.
                    return self.findings.advice(Rule::EventUnasked, text);
                }
                it if it.is_settled() => self.findings.pass(Rule::EventUnasked, ""),
                it => {
                    self.findings.advice(Rule::EventUnasked, format!("{word}: {}", it.words()));
                }
            }
        }
        self.close(talk);
    }

    /// Every call-back is answered that there is no value.
    pub(super) fn call_backs_without_values(&mut self) {
        let rules = [
            Rule::CallBacksWellFormed,
            Rule::CallBacksReadOnly,
            Rule::CallBacksInHand,
            Rule::CallBacksEmpty,
        ];
        let taken = !self.about.features.is_empty();
        if !taken || self.about.asked.is_empty() {
            let text = if taken { "it never calls back" } else { "it does not take call-backs" };
            for rule in rules {
                self.findings.not_applicable(rule, text);
            }
            // A module that takes the feature may still call back where it finds no value.
            if !taken {
                return;
            }
        }
        let Some((mut talk, _)) = self.open_usual() else { return };
        if talk.call_backs == CallBacks::Answered {
            talk.call_backs = CallBacks::WithoutValues;
        }
        // What got no answer with everything there is gets none without, after the same wait.
        let answered: Vec<u32> =
            self.told.iter().filter(|it| it.took.is_some()).map(|it| it.event).collect();
        for event in fixtures::every_event() {
            if !answered.contains(&event.event) {
                continue;
            }
            let asked_before = talk.asked.len();
            let (reply, _) = talk.notify(&mut self.findings, &event);
            if talk.asked.len() == asked_before {
                if let Reply::Nothing(_) = reply {
                    // Judged by the rule about plain events already; it will not say more to the next.
                    return;
                }
                continue;
            }
            let word = exit_event::word(event.event);
            let text = format!("{word}: {}", reply.words());
            match &reply {
                Reply::Nothing(_) => {
                    return self.findings.fail(Rule::CallBacksEmpty, with_stderr(text, &talk));
                }
                Reply::Error(_) => self.findings.advice(Rule::CallBacksEmpty, text),
                Reply::Outcome(_) => self.findings.pass(Rule::CallBacksEmpty, text),
            }
        }
        self.close(talk);
    }
}

/// Makes an event awkward in the way of the rule; what is beyond the types is done to the message.
fn awkward(rule: Rule, event: &mut Event) -> Change {
    let nothing: Change = |_| ();
    match rule {
        Rule::PropertiesMissing => {
            event.request = Properties::default();
            event.certificate = Properties::default();
            event.extensions = exeunt_module::Extensions::default();
            event.attributes = Vec::new();
            event.system = Arc::default();
            nothing
        }
        Rule::TextNonAscii => {
            replace(&mut event.request, "RequesterName", "EXAMPLE\\zoë");
            replace(&mut event.certificate, "CommonName", "Žofie 证书 🔏");
            replace(&mut event.certificate, "DistinguishedName", "CN=Žofie 证书 🔏,C=DE");
            event.attributes.push(("Comment".to_owned(), "клиент “один”".to_owned()));
            nothing
        }
        Rule::AttributeLineFeeds => {
            let text = "first line\nsecond line\r\n\tthird line\n";
            event.attributes.push(("Comment".to_owned(), text.to_owned()));
            nothing
        }
        Rule::EventOfTheFuture => {
            event.event = BIT_OF_THE_FUTURE;
            event.context = 0;
            "star:7".clone_into(&mut event.subject);
            event.request = Properties::default();
            event.certificate = Properties::default();
            event.extensions = exeunt_module::Extensions::default();
            event.attributes = Vec::new();
            nothing
        }
        Rule::PropertyTypeOfTheFuture => |message| {
            for of in ["request", "certificate", "system"] {
                message["params"]["event"][of]["Spectrum"] = json!({"colours": ["red", "blue"]});
            }
        },
        Rule::MembersUnknown => |message| {
            message["trace"] = json!({"span": 7});
            message["params"]["lane"] = json!("left");
            message["params"]["event"]["weather"] = json!(["rain"]);
            if let Some(extensions) = message["params"]["event"]["extensions"].as_object_mut() {
                for extension in extensions.values_mut() {
                    extension["note"] = json!(null);
                }
            }
        },
        Rule::EventLarge => {
            let value = vec![0x5a; LARGE_BYTES];
            event.extensions.push("1.3.6.1.4.1.32473.1", Extension { flags: 0x1_0002, value });
            nothing
        }
        _ => nothing,
    }
}

fn replace(properties: &mut Properties, name: &str, text: &str) {
    let value = Value::String(text.to_owned());
    let others = properties.iter().filter(|(it, _)| *it != name);
    *properties = others
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .chain([(name.to_owned(), value.clone())])
        .collect();
}
