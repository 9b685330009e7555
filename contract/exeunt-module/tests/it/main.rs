//! The contract against its document, its recorded conversations, and garbage.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use exeunt_module::{
    Call, Event, Initialize, LINE_BYTES_MAX, Outcome, Properties, Request, Value,
    call_back::{self, Found, Refusal},
    exit_event,
    line::{self, LineError},
    manage::ManageModule,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value as Json;

mod messages;

/// A line of a recorded conversation.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Said {
    Host(Json),
    Module(Json),
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn document() -> String {
    fs::read_to_string(root().join("../../docs/contract.md")).unwrap()
}

/// The block of the document that is marked with that language.
fn block(language: &str) -> String {
    let document = document();
    let start = format!("```{language}\n");
    let (_, rest) = document.split_once(&start).unwrap();
    let (block, rest) = rest.split_once("```\n").unwrap();
    assert!(!rest.contains(&start), "two blocks of {language}");
    block.to_owned()
}

/// Reads every message of a conversation into its type and writes it again. Returns how many there
/// were.
fn replay(name: &str, conversation: &str) -> usize {
    let mut methods = HashMap::new();
    let mut asked = HashMap::new();
    for (index, said) in conversation.lines().enumerate() {
        let place = format!("{name}, line {}", index + 1);
        let said = serde_json::from_str(said).unwrap_or_else(|err| panic!("{place}: {err}"));
        let (spoken, mut written) = match said {
            Said::Host(message) if message.get("method").is_some() => {
                let request = line::parse_request(message.to_string().as_bytes())
                    .unwrap_or_else(|err| panic!("{place}: {err}"));
                let mut written = Vec::new();
                line::write_request(&mut written, &request).unwrap();
                let method = message["method"].as_str().unwrap().to_owned();
                assert!(methods.insert(request.id, method).is_none(), "{place}: id is not new");
                (message, written)
            }
            Said::Module(message) if message.get("method").is_some() => {
                let id = message["id"].as_u64().unwrap();
                let method = message["method"].as_str().unwrap().to_owned();
                assert!(asked.insert(id, method.clone()).is_none(), "{place}: id is not new");
                let parsed = call_back::parse_call_back(message.to_string().as_bytes());
                let Ok(call_back) = parsed else {
                    // What there is no method for stands in a conversation to be refused.
                    assert!(method.starts_with("Set"), "{place}: {method}");
                    continue;
                };
                let mut written = Vec::new();
                call_back::write_call_back(&mut written, &call_back).unwrap();
                (message, written)
            }
            Said::Host(message) => {
                let written = replay_found(&place, &message, &mut asked);
                (message, written)
            }
            Said::Module(message) => {
                let written = replay_answer(&place, &message, &mut methods);
                (message, written)
            }
        };
        assert_eq!(written.pop(), Some(b'\n'), "{place}");
        assert!(!written.contains(&b'\n'), "{place}");
        let again: Json = serde_json::from_slice(&written).unwrap();
        assert_eq!(again, spoken, "{place}");
    }
    assert!(methods.is_empty(), "{name}: unanswered {methods:?}");
    assert!(asked.is_empty(), "{name}: unanswered {asked:?}");
    conversation.lines().count()
}

/// The module's answer to a call, read by the method that it answers and written again.
fn replay_answer(place: &str, message: &Json, methods: &mut HashMap<u64, String>) -> Vec<u8> {
    let mut written = Vec::new();
    let response = line::parse_response(message.to_string().as_bytes())
        .unwrap_or_else(|err| panic!("{place}: {err}"));
    let method = response.id.and_then(|id| methods.remove(&id));
    let Ok(result) = response.answer.clone() else {
        line::write_response(&mut written, &response).unwrap();
        return written;
    };
    let id = response.id.unwrap();
    match method.as_deref() {
        Some("Initialize") => {
            let initialized = response.into_initialized().unwrap();
            line::write_initialized(&mut written, id, &initialized).unwrap();
            return written;
        }
        Some("Notify") => {
            let outcome = response.into_outcome().unwrap();
            line::write_outcome(&mut written, id, &outcome).unwrap();
            return written;
        }
        Some("VerifyRequest") => {
            let ruling = response.into_ruling().unwrap();
            line::write_ruling(&mut written, id, &ruling).unwrap();
            return written;
        }
        Some("GetDescription") => assert!(result.is_string(), "{place}"),
        Some("GetManageModule") => {
            let managed: ManageModule = serde_json::from_value(result.clone()).unwrap();
            assert_eq!(serde_json::to_value(&managed).unwrap(), result, "{place}");
        }
        Some("GetProperty") => {
            let property: Option<Value> = serde_json::from_value(result.clone()).unwrap();
            assert_eq!(serde_json::to_value(&property).unwrap(), result, "{place}");
        }
        Some("Shutdown" | "SetProperty" | "Configure") => assert!(result.is_null(), "{place}"),
        method => panic!("{place}: a result of {method:?}"),
    }
    line::write_response(&mut written, &response).unwrap();
    written
}

/// The host's answer to a call-back.
fn replay_found(place: &str, message: &Json, asked: &mut HashMap<u64, String>) -> Vec<u8> {
    let mut written = Vec::new();
    let response = line::parse_response(message.to_string().as_bytes())
        .unwrap_or_else(|err| panic!("{place}: {err}"));
    let id = response.id.unwrap();
    let method = asked.remove(&id).unwrap_or_else(|| panic!("{place}: nobody asked"));
    match response.answer {
        Ok(result) => {
            let found: Found = serde_json::from_value(result).unwrap();
            let is_extension = matches!(found, Found::Extension(_));
            assert_eq!(is_extension, method == "GetCertificateExtension", "{place}");
            call_back::write_found(&mut written, id, Ok(&found)).unwrap();
        }
        Err(error) => {
            let refusal = Refusal::from_error(&error);
            assert_eq!(refusal.is_none(), method.starts_with("Set"), "{place}");
            if let Some(refusal) = refusal {
                assert_eq!(error, refusal.into_error(error.message.clone()), "{place}");
            }
            call_back::write_found(&mut written, id, Err(error)).unwrap();
        }
    }
    written
}

#[test]
fn every_recorded_conversation_still_replays() {
    let mut files = 0;
    for entry in fs::read_dir(root().join("conversations/v1")).unwrap() {
        let path = entry.unwrap().path();
        let messages = replay(&path.display().to_string(), &fs::read_to_string(&path).unwrap());
        assert!(0 < messages, "{} is empty", path.display());
        files += 1;
    }
    assert_eq!(files, 8);
}

#[test]
fn the_conversation_in_the_document_is_a_true_one() {
    assert_eq!(replay("docs/contract.md", &block("jsonl")), 8);
}

#[test]
fn the_module_in_the_document_works() {
    let mut child = Command::new("python3")
        .args(["-c", &block("python")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to_module = child.stdin.take().unwrap();
    let mut from_module = BufReader::new(child.stdout.take().unwrap());
    let mut say = |line: &[u8]| to_module.write_all(line).unwrap();
    let mut hear = || {
        let mut line = Vec::new();
        from_module.read_until(b'\n', &mut line).unwrap();
        line::parse_response(&line).unwrap()
    };
    let request = |id, call| {
        let mut line = Vec::new();
        line::write_request(&mut line, &Request { id, call }).unwrap();
        line
    };

    let hello = Initialize { protocol: 1, window: 8, ..Initialize::default() };
    say(&request(1, Call::Initialize(hello)));
    let initialized = hear().into_initialized().unwrap();
    assert_eq!((initialized.protocol, initialized.event_mask, initialized.window), (1, 1, 8));
    say(&request(2, Call::GetDescription));
    assert_eq!(hear().into_description().unwrap(), "writes down what was issued");
    // A whole window at once.
    for id in 10..18 {
        let serial = ("SerialNumber", Value::String(format!("4a{id}")));
        let certificate = Properties::from_iter([serial]);
        let event = Event { event: exit_event::CERT_ISSUED, certificate, ..Event::default() };
        say(&request(id, Call::Notify(Box::new(event))));
    }
    for id in 10..18 {
        let response = hear();
        assert_eq!(response.id, Some(id));
        assert_eq!(response.into_outcome().unwrap(), Outcome::Accept);
    }
    say(b"{\"jsonrpc\": \"2.0\", \"method\": \"Newer\"}\n");
    say(b"{\"jsonrpc\": \"2.0\", \"id\": 3, \"method\": \"Newer\"}\n");
    let response = hear();
    assert_eq!((response.id, response.answer.unwrap_err().code), (Some(3), -32601));
    say(&request(4, Call::Shutdown));
    assert_eq!(hear().answer, Ok(Json::Null));

    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(log.lines().count(), 8);
    assert!(log.starts_with("issued 4a10\n"), "{log}");
}

#[test]
fn the_document_has_the_numbers_of_the_code() {
    let document = document();
    for (bit, name) in exit_event::WORDS {
        assert!(document.contains(&format!("| {bit:#x} | {name} |")), "{name}");
    }
    assert!(document.contains(&format!("1 to {} |", exeunt_module::WINDOW_MAX)));
    assert!(document.contains("(4,194,304 bytes)"));
    assert_eq!(LINE_BYTES_MAX, 4_194_304);
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        line::parse_request(&bytes).ok();
        line::parse_response(&bytes).ok();
    }

    #[test]
    fn no_damage_to_a_message_makes_the_readers_panic(
        index in 0_usize..8,
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        truncate in any::<bool>(),
    ) {
        let conversation = block("jsonl");
        let said = conversation.lines().nth(index).unwrap();
        let message: HashMap<String, Json> = serde_json::from_str(said).unwrap();
        let mut bytes = message.into_values().next().unwrap().to_string().into_bytes();
        let at = cut.index(bytes.len());
        bytes[at] = byte;
        if truncate {
            bytes.truncate(at);
        }
        for result in [line::parse_request(&bytes).err(), line::parse_response(&bytes).err()] {
            // What is wrong can always be said in one line.
            if let Some(LineError::Malformed { refusal, .. }) = result {
                prop_assert!(!refusal.message.contains('\n'), "{}", refusal.message);
            }
        }
    }

    #[test]
    fn every_event_reads_back(
        id in ".*",
        seq in any::<u64>(),
        text in ".*",
        bytes in prop::collection::vec(any::<u8>(), 0..64),
        number in any::<i32>(),
    ) {
        let request = Properties::from_iter([
            ("A", Value::String(text.clone())),
            ("B", Value::Binary(bytes)),
            ("C", Value::Long(number)),
            ("D", Value::Date("2026-11-21T07:00:00Z".to_owned())),
        ]);
        let attributes = vec![(text, id.clone())];
        let event = Event { id, seq, request, attributes, ..Event::default() };
        let mut line = Vec::new();
        line::write_notify(&mut line, 7, &event).unwrap();
        let request = line::parse_request(&line).unwrap();
        prop_assert_eq!(request, Request { id: 7, call: Call::Notify(Box::new(event)) });
    }
}
