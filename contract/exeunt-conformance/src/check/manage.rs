//! Managing: what the module tells of its settings in a process that is never greeted.

use exeunt_module::{
    CallError, Value,
    manage::{CMM_READONLY, ManageModule},
};
use serde_json::{Value as Json, json};

use super::{Check, answer_words, is_no_method, wire::unknown_setting, with_stderr};
use crate::{
    rule::Rule,
    talk::{Reply, Talk},
};

/// The original's names, one of them in another case, and one that nobody has.
const PROPERTIES: [&str; 6] =
    ["Name", "description", "Copyright", "File Version", "Product Version", "Favourite Colour"];

impl Check<'_> {
    pub(super) fn managing(&mut self) {
        let Some(mut talk) = self.start() else { return };
        let Some(manages) = self.manage_module(&mut talk) else { return };
        for name in PROPERTIES {
            let params = json!({"name": name, "flags": 0});
            let good = |answer: &Result<Json, CallError>| match answer {
                Ok(Json::Null) => true,
                Ok(result) => serde_json::from_value::<Value>(result.clone()).is_ok(),
                Err(_) => is_no_method(answer),
            };
            if !self.manage_call(&mut talk, Rule::ManageGetProperty, "GetProperty", &params, good) {
                return;
            }
        }
        if !manages {
            for rule in [Rule::ManageSetProperty, Rule::ManageConfigure] {
                self.findings.not_applicable(rule, "it does not manage its settings");
            }
            return self.close(talk);
        }
        let good = |answer: &Result<Json, CallError>| {
            matches!(answer, Ok(Json::Null)) || is_no_method(answer)
        };
        // A setting may need another one beside it: only all of them together have to be taken.
        let good_alone = |answer: &Result<Json, CallError>| good(answer) || has_reason(answer);
        let settings = self.module.settings.clone();
        for (name, value) in &settings {
            let params = json!({"name": name, "value": value});
            let rule = Rule::ManageSetProperty;
            if !self.manage_call(&mut talk, rule, "SetProperty", &params, good_alone) {
                return;
            }
        }
        let params = json!({"name": unknown_setting(), "value": true});
        if !self.unknown_managed(&mut talk, Rule::ManageSetProperty, "SetProperty", &params) {
            return;
        }
        let params = json!({"settings": settings, "flags": CMM_READONLY});
        if !self.manage_call(&mut talk, Rule::ManageConfigure, "Configure", &params, good) {
            return;
        }
        let mut more = settings;
        more.insert(unknown_setting(), Json::Bool(true));
        let params = json!({"settings": more, "flags": CMM_READONLY});
        if self.unknown_managed(&mut talk, Rule::ManageConfigure, "Configure", &params) {
            self.close(talk);
        }
    }

    /// A setting that the module cannot know; whether the module is still there.
    fn unknown_managed(
        &mut self,
        talk: &mut Talk,
        rule: Rule,
        method: &str,
        params: &Json,
    ) -> bool {
        let answer = match talk.call(&mut self.findings, method, params) {
            Ok(response) => response.answer,
            Err(silence) => {
                let text = format!("an unknown setting: {}", Reply::Nothing(silence).words());
                self.findings.fail(rule, with_stderr(text, talk));
                return false;
            }
        };
        match &answer {
            Err(error) if error.code == CallError::REFUSED => self.findings.pass(rule, ""),
            Err(_) if is_no_method(&answer) => self.findings.pass(rule, ""),
            Ok(Json::Null) if rule == Rule::ManageConfigure && self.refuses_unknown => {
                let text = "it takes an unknown setting, and Initialize refuses it";
                self.findings.fail(rule, text);
            }
            Ok(Json::Null) => {
                self.findings.advice(rule, "it takes an unknown setting: typing mistakes stay");
            }
            _ => self.findings.fail(rule, format!("unknown: {}", answer_words(&answer))),
        }
        true
    }

    /// Whether the module manages itself; `None` where it is gone.
    fn manage_module(&mut self, talk: &mut Talk) -> Option<bool> {
        let rule = Rule::ManageAnswered;
        let answer = match talk.call(&mut self.findings, "GetManageModule", &json!({})) {
            Ok(response) => response.answer,
            Err(silence) => {
                let text = Reply::Nothing(silence).words();
                self.findings.fail(rule, with_stderr(text, talk));
                return None;
            }
        };
        if is_no_method(&answer) {
            self.findings.pass(rule, "it does not manage its settings");
            return Some(false);
        }
        let described = match &answer {
            Ok(result @ Json::Object(_)) => {
                serde_json::from_value::<ManageModule>(result.clone()).map_err(|it| it.to_string())
            }
            other => Err(answer_words(other)),
        };
        match described {
            Ok(ManageModule { settings }) => {
                let given = self.module.settings.keys();
                let missing: Vec<&str> = given
                    .map(String::as_str)
                    .filter(|given| settings.iter().all(|it| it.name != *given))
                    .collect();
                if missing.is_empty() {
                    let names: Vec<&str> = settings.iter().map(|it| it.name.as_str()).collect();
                    let text = match names.as_slice() {
                        [] => "it has no settings".to_owned(),
                        names => format!("settings: {}", names.join(", ")),
                    };
                    self.findings.pass(rule, text);
                } else {
                    let text = format!("it does not describe {}", missing.join(", "));
                    self.findings.advice(rule, text);
                }
                Some(true)
            }
            Err(text) => {
                self.findings.fail(rule, text);
                Some(false)
            }
        }
    }

    /// Calls and judges; whether the module is still there.
    fn manage_call(
        &mut self,
        talk: &mut Talk,
        rule: Rule,
        method: &str,
        params: &Json,
        good: impl Fn(&Result<Json, CallError>) -> bool,
    ) -> bool {
        let about = params["name"].as_str().unwrap_or("all settings").to_owned();
        match talk.call(&mut self.findings, method, params) {
            Ok(response) if good(&response.answer) => self.findings.pass(rule, ""),
            Ok(response) => {
                let text = format!("{about}: {}", answer_words(&response.answer));
                self.findings.fail(rule, text);
            }
            Err(silence) => {
                let text = format!("{about}: {}", Reply::Nothing(silence).words());
                self.findings.fail(rule, with_stderr(text, talk));
                return false;
            }
        }
        true
    }
}

/// Whether that is a refusal that says why.
fn has_reason(answer: &Result<Json, CallError>) -> bool {
    matches!(answer, Err(error) if error.code == CallError::REFUSED && !error.message.trim().is_empty())
}
