//! The JSON schema of the conversation between server and module, committed beside the contract.
//!
//! It is made from the contract's types by an example of `exeunt-module`, because this crate
//! depends on nothing of ours. The tests hold it against the sources, and recorded conversations
//! against it.

use std::path::Path;

use serde_json::Value;

use crate::process::{cargo, read};

/// Where the schema is, from the root.
const DOCUMENT: &str = "contract/exeunt-module/schema/v1.json";

/// Says whether the committed schema is that of the types, or makes it so.
pub(crate) fn run(root: &Path, write: bool) -> Result<(), String> {
    let path = root.join(DOCUMENT);
    let made = made(root)?;
    if write {
        std::fs::write(&path, made).map_err(|err| format!("{DOCUMENT}: {err}"))?;
        println!("{DOCUMENT}: written");
        return Ok(());
    }
    let committed = std::fs::read_to_string(&path).map_err(|err| format!("{DOCUMENT}: {err}"))?;
    if same(&made, &committed) {
        Ok(())
    } else {
        Err(format!("{DOCUMENT} is old; run `cargo xtask schema --write`"))
    }
}

/// The schema as the types make it.
fn made(root: &Path) -> Result<String, String> {
    let arguments = ["run", "--quiet", "--package", "exeunt-module", "--features", "schema"];
    read(cargo(root).args(arguments).args(["--example", "schema"]))
}

/// Whether two texts are the same JSON; in which order members stand does not matter.
pub(crate) fn same(one: &str, other: &str) -> bool {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    parse(one).is_some_and(|it| Some(it) == parse(other))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use serde_json::json;

    use super::*;
    use crate::{root, tools};

    /// Reads the schema and then pairs of a definition's name and a message, one a line; writes
    /// for each whether the message fits.
    const VALIDATOR: &str = "
import json, sys
from jsonschema import Draft202012Validator
schema = json.loads(sys.stdin.readline())
Draft202012Validator.check_schema(schema)
for line in sys.stdin:
    name, message = json.loads(line)
    part = {'$ref': '#/$defs/' + name, '$defs': schema['$defs']} if name else schema
    print('yes' if Draft202012Validator(part).is_valid(message) else 'no')
";

    #[test]
    fn the_schema_is_that_of_the_types() {
        run(&root(), false).unwrap();
    }

    /// Asks an implementation of JSON schema that is not ours which messages fit.
    fn fit(messages: &[(String, Value)]) -> Vec<bool> {
        let schema: Value =
            serde_json::from_slice(&std::fs::read(root().join(DOCUMENT)).unwrap()).unwrap();
        let python = tools::folder(&root()).join("venv/bin/python");
        assert!(python.exists(), "run `cargo xtask test-tools`");
        let mut child = Command::new(python)
            .args(["-c", VALIDATOR])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = format!("{schema}\n");
        for (name, message) in messages {
            input.extend([json!([name, message]).to_string(), "\n".to_owned()]);
        }
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.status.success());
        let answers = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<bool> = answers.lines().map(|it| it == "yes").collect();
        assert_eq!(answers.len(), messages.len());
        answers
    }

    /// Every message of every recorded conversation, with the name of its definition.
    fn recorded() -> Vec<(String, Value)> {
        let folder = root().join("contract/exeunt-module/conversations/v1");
        let mut messages = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let mut called: HashMap<(bool, u64), String> = HashMap::new();
            for line in text.lines() {
                let said: Value = serde_json::from_str(line).unwrap();
                let by_host = said.get("host").is_some();
                let message = said.get(if by_host { "host" } else { "module" }).unwrap().clone();
                let name = match (message["method"].as_str(), message["id"].as_u64()) {
                    (Some(method), Some(id)) => {
                        called.insert((by_host, id), method.to_owned());
                        format!("{method}{}", if by_host { "Call" } else { "CallBack" })
                    }
                    (None, Some(id)) => {
                        let method = called.remove(&(!by_host, id)).unwrap();
                        format!("{method}{}", if by_host { "Found" } else { "Answer" })
                    }
                    (_, None) => "UnreadAnswer".to_owned(),
                };
                // There is no such method, and so no such definition.
                if !name.starts_with("SetCertificateProperty") {
                    messages.push((name, message));
                }
            }
        }
        messages
    }

    #[test]
    fn every_recorded_message_fits_the_schema() {
        let messages = recorded();
        assert!(70 < messages.len());
        let odd: Vec<&Value> = messages
            .iter()
            .zip(fit(&messages))
            .filter(|(_, fits)| !fits)
            .map(|it| &it.0.1)
            .collect();
        // The outcome of a later version is recorded as something to be survived.
        assert_eq!(odd.len(), 1, "{odd:?}");
        assert_eq!(odd[0]["result"]["outcome"], "postpone");
        // Without the name of its definition each fits as well; that one fits the answer to another
        // call, of which everything may be left out.
        let whole: Vec<(String, Value)> =
            messages.iter().map(|(_, message)| (String::new(), message.clone())).collect();
        assert_eq!(fit(&whole), vec![true; whole.len()]);
    }

    #[test]
    fn what_is_no_message_does_not_fit() {
        let message = |name: &str, message: Value| (name.to_owned(), message);
        let answer = |name: &str, result: Value| {
            message(name, json!({"jsonrpc": "2.0", "id": 1, "result": result}))
        };
        let greeting = json!({"protocol": 1, "event_mask": 1, "window": 1});
        let mut without_window = greeting.clone();
        without_window.as_object_mut().unwrap().remove("window");
        assert_eq!(fit(&[answer("InitializeAnswer", greeting.clone())]), [true]);
        let bad = [
            answer("InitializeAnswer", without_window),
            answer("InitializeAnswer", json!({"protocol": 1, "event_mask": "all", "window": 1})),
            answer("NotifyAnswer", json!({"outcome": "done"})),
            answer("NotifyAnswer", json!({"outcome": "retry", "after_ms": -1})),
            answer("NotifyAnswer", json!("accept")),
            answer("ShutdownAnswer", json!("bye")),
            answer("GetDescriptionAnswer", json!(null)),
            answer("GetPropertyAnswer", json!({"qubits": 1})),
            answer("GetPropertyAnswer", json!({"long": 1_u64 << 31})),
            answer("GetPropertyAnswer", json!({"binary": "MAA"})),
            answer("GetManageModuleAnswer", json!({"settings": [{"name": "a", "type": "colour"}]})),
            message("NotifyAnswer", json!({"jsonrpc": "2.0", "id": 1})),
            message(
                "NotifyAnswer",
                json!({"jsonrpc": "1.0", "id": 1, "result": {"outcome": "skip"}}),
            ),
            message(
                "GetRequestPropertyCallBack",
                json!({"jsonrpc": "2.0", "id": 1, "method": "GetRequestProperty", "params": {}}),
            ),
            message("", json!({"hello": "world"})),
        ];
        assert_eq!(fit(&bad), vec![false; bad.len()]);
    }
}
