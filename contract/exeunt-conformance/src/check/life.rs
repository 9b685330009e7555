//! The ordinary life: greeting, description, every event that was asked for, farewell.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value as Json, json};

use super::{Agreed, Check, with_stderr};
use crate::{
    fixtures,
    report::Told,
    rule::{Rule, cut},
    talk::{Reply, Talk},
};

impl Check<'_> {
    /// Greeting, description, each event alone, farewell. `None` where nothing more can be checked.
    pub(super) fn life(&mut self) -> Option<Agreed> {
        let (mut talk, agreed) = self.open_usual()?;
        self.description(&mut talk);
        let mut talk = Some(talk);
        for event in fixtures::every_event() {
            if agreed.mask & event.event == 0 || self.deadlines.over() {
                continue;
            }
            let current = match talk.take() {
                Some(current) => current,
                // The one before was killed by an event; the others get their chance.
                None => self.open_usual()?.0,
            };
            talk = self.plain_event(current, &event);
        }
        if self.told.is_empty() {
            self.nothing_asked(&[Rule::NotifyAnswered, Rule::NotifyOutcome]);
        }
        if let Some(talk) = talk {
            self.farewell(talk);
        } else if let Some((talk, _)) = self.open_usual() {
            self.farewell(talk);
        }
        Some(agreed)
    }

    fn plain_event(&mut self, mut talk: Talk, event: &exeunt_module::Event) -> Option<Talk> {
        let word = exeunt_module::exit_event::word(event.event);
        let (reply, took) = talk.notify(&mut self.findings, event);
        self.count(event.event, &reply, took);
        if let Reply::Nothing(_) = reply {
            let text = with_stderr(format!("{word}: {}", reply.words()), &talk);
            self.findings.fail(Rule::NotifyAnswered, text);
            self.keep_stderr(&talk);
            return None;
        }
        self.findings.pass(Rule::NotifyAnswered, "");
        Some(talk)
    }

    fn count(&mut self, bit: u32, reply: &Reply, took: Option<Duration>) {
        let reason = match reply {
            Reply::Outcome(_) if reply.is_settled() => String::new(),
            other => cut(&other.words()),
        };
        self.told.push(Told { event: bit, outcome: reply.word(), reason, took });
    }

    fn description(&mut self, talk: &mut Talk) {
        let response = talk.call(&mut self.findings, "GetDescription", &json!({}));
        let findings = &mut self.findings;
        match response.map(|it| it.answer) {
            Ok(Ok(Json::String(text))) => {
                if text.contains(['\n', '\r']) {
                    findings.fail(Rule::DescriptionText, "several lines");
                } else if text.trim().is_empty() {
                    findings.advice(Rule::DescriptionText, "an empty text");
                } else {
                    findings.pass(Rule::DescriptionText, text.clone());
                }
                self.about.description = Some(cut(&text));
            }
            Ok(answer) => findings.fail(Rule::DescriptionText, super::answer_words(&answer)),
            Err(silence) => {
                findings.fail(Rule::DescriptionText, Reply::Nothing(silence).words());
                self.keep_stderr(talk);
            }
        }
    }

    /// The farewell that is judged.
    fn farewell(&mut self, mut talk: Talk) {
        let response = talk.call(&mut self.findings, "Shutdown", &json!({}));
        let answered = match response.map(|it| it.answer) {
            Ok(Ok(Json::Null)) => {
                self.findings.pass(Rule::ShutdownAnswered, "");
                true
            }
            Ok(answer) => {
                self.findings.fail(Rule::ShutdownAnswered, super::answer_words(&answer));
                true
            }
            Err(silence) => {
                self.findings.fail(Rule::ShutdownAnswered, Reply::Nothing(silence).words());
                silence == crate::peer::Silence::Ended
            }
        };
        // Waiting twice for the same silence tells nothing new.
        if answered {
            match talk.end(&mut self.findings) {
                Some(status) if status.success() => {
                    self.ends_well = true;
                    self.findings.pass(Rule::ShutdownExits, "");
                }
                Some(status) => self.findings.fail(Rule::ShutdownExits, status.to_string()),
                None => self.findings.fail(Rule::ShutdownExits, "it did not end in time"),
            }
        }
        self.about.asked.append(&mut talk.asked);
    }

    /// The same event again: at the second attempt, and at the third.
    pub(super) fn redelivery(&mut self, agreed: Agreed) {
        let plain: HashMap<u32, bool> =
            self.told.iter().map(|it| (it.event, it.is_settled())).collect();
        let settled = fixtures::every_event()
            .into_iter()
            .filter(|it| agreed.mask & it.event != 0 && plain.get(&it.event) == Some(&true));
        // The kinds that modules do most about.
        let chosen: Vec<_> = settled.take(16).collect();
        if chosen.is_empty() {
            let text = "it settles no event that it asks for";
            return self.findings.not_applicable(Rule::Redelivery, text);
        }
        let Some((mut talk, _)) = self.open_usual() else { return };
        for event in chosen {
            let word = exeunt_module::exit_event::word(event.event);
            for attempt in 2..=3 {
                let again = exeunt_module::Event { attempt, ..event.clone() };
                let (reply, _) = talk.notify(&mut self.findings, &again);
                let text = format!("{word} at attempt {attempt}: {}", reply.words());
                if let Reply::Nothing(_) = reply {
                    return self.findings.fail(Rule::Redelivery, with_stderr(text, &talk));
                }
                if reply.is_settled() {
                    self.findings.pass(Rule::Redelivery, "");
                } else {
                    self.findings.fail(Rule::Redelivery, text);
                }
            }
        }
        self.close(talk);
    }

    /// Standard input ends without a word.
    pub(super) fn end_of_input(&mut self) {
        // A host that offers nothing and takes one event after the other.
        let Some((mut talk, _)) = self.open(&[], 1) else { return };
        match talk.hang_up(&mut self.findings) {
            Some(status) if status.success() => self.findings.pass(Rule::EndOfInputExits, ""),
            Some(status) => self.findings.advice(Rule::EndOfInputExits, status.to_string()),
            None => self.findings.fail(Rule::EndOfInputExits, "it did not end in time"),
        }
    }
}
