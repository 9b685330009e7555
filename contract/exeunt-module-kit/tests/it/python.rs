//! The kit for Python, `contract/python`: its own tests, and its example against this kit's host.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use exeunt_module::call_back::{Found, Query};
use exeunt_module_kit::{
    CallError, Event, Outcome, Refusal, Value, exit_event,
    manage::SettingType,
    testing::{Host, HostError, issued_event},
};
use serde_json::json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../python")
}

fn census() -> Host {
    let mut command = Command::new("python3");
    command.arg("-B").arg(folder().join("examples/census.py"));
    command.stderr(Stdio::null());
    Host::spawn(command).unwrap()
}

#[test]
fn the_python_kit_passes_its_own_tests() {
    let output = Command::new("python3")
        .args(["-B", "-W", "error", "-m", "unittest"])
        .current_dir(folder())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_module_in_python_is_a_module_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("census");
    let asked = |query: &Query| match query {
        Query::GetRequestProperty(asked) if asked.name == "RawRequest" => {
            Ok(Found::Value(Value::Binary(vec![0x30; asked.seq.try_into().unwrap()])))
        }
        _ => Err(Refusal::Empty),
    };
    let mut host = census().with_call_backs(asked);
    let hello = host.initialize(&json!({"file": file, "template": "WebServer"})).unwrap();
    assert_eq!(hello.event_mask, exit_event::CERT_ISSUED | exit_event::CERT_REVOKED);
    assert_eq!(hello.features, ["call-backs"]);
    assert_eq!(host.description().unwrap(), "writes down what was issued");

    let events: Vec<Event> = (1..=200).map(|seq| issued_event(seq, b"0\0")).collect();
    let outcomes = host.notify_all(&events).unwrap();
    assert!(outcomes.iter().all(|it| *it == Ok(Outcome::Accept)), "{outcomes:?}");
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 200);
    let seventh = "00000000000000000000000000000001-7 issued 40000000000000000000000000000007 7";
    assert_eq!(lines.lines().nth(6), Some(seventh));

    let denied = Event { event: exit_event::CERT_DENIED, ..issued_event(1, b"0\0") };
    assert_eq!(host.notify(&denied).unwrap(), Outcome::Skip);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let Outcome::Retry { after_ms: Some(5000), reason } = host.notify(&events[0]).unwrap() else {
        panic!("not retried");
    };
    assert!(reason.contains("Is a directory"), "{reason}");
    host.shutdown().unwrap();
}

#[test]
fn a_module_in_python_manages_its_settings() {
    let mut host = census();
    let settings = host.manage_module().unwrap().settings;
    assert_eq!((settings[0].name.as_str(), settings[0].kind), ("file", SettingType::String));
    assert!(settings[0].required && !settings[1].required);
    let name = host.module_property("Name").unwrap();
    assert_eq!(name, Some(Value::String("census".to_owned())));
    host.configure(&json!({"file": "/census"})).unwrap();
    for (settings, message) in [
        (json!({"file": "census"}), "setting 'file' is a path from the root"),
        (json!({"file": 7}), "setting 'file' is a string"),
        (json!({"file": "/census", "colour": "blue"}), "there is no setting 'colour'"),
    ] {
        let Err(HostError::Refuse(refusal)) = host.configure(&settings) else { panic!("accepted") };
        assert_eq!(refusal, CallError::new(CallError::REFUSED, message));
    }
    host.shutdown().unwrap();
}

#[test]
fn a_module_in_python_ends_when_its_host_has_gone() {
    let mut host = census();
    host.initialize(&json!({"file": "/dev/null"})).unwrap();
    host.hang_up().unwrap();
}
