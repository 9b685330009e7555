//! The module under the kit's host, with real shell scripts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use exeunt_exit_command::CommandExit;
use exeunt_module_kit::{
    Event, Outcome, Value, exit_event,
    testing::{Host, HostError, issued_event},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// How long a test waits for something that another process does.
const WITHIN: Duration = Duration::from_secs(20);

/// A folder, and a started module that runs a script in it.
struct Fixture {
    folder: TempDir,
    host: Host,
}

impl Fixture {
    /// The script finds the folder in `$FOLDER`.
    fn new(script: &str) -> Self {
        Self::with(script, &json!({}))
    }

    fn with(script: &str, more: &Json) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = json!({
            "program": ["/bin/sh", "-c", script],
            "environment": {"FOLDER": folder.path()},
        });
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        let mut host = Host::in_memory(CommandExit::default()).unwrap();
        host.initialize(&settings).unwrap();
        Self { folder, host }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn notify(&mut self) -> Outcome {
        self.host.notify(&issued_event(9, b"0\0")).unwrap()
    }
}

fn retry(reason: &str) -> Outcome {
    Outcome::Retry { after_ms: None, reason: reason.to_owned() }
}

fn down(reason: &str) -> Outcome {
    Outcome::TargetDown { after_ms: None, reason: reason.to_owned() }
}

fn park(reason: &str) -> Outcome {
    Outcome::Park { reason: reason.to_owned() }
}

/// Waits until a process has gone. A zombie is gone: it only waits for its parent to look.
fn wait_for_end(pid: &str) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which stands in brackets.
        let state = status.rsplit(')').next().and_then(|it| it.trim().chars().next());
        if matches!(state, None | Some('Z' | 'X')) {
            return;
        }
        assert!(Instant::now() < deadline, "{pid} is still there: {status}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_program_gets_the_event_as_json_and_its_facts_as_variables() {
    let mut it = Fixture::new("cat > $FOLDER/event && env > $FOLDER/environment");
    assert_eq!(it.notify(), Outcome::Accept);
    let event: Event = serde_json::from_str(&it.read("event")).unwrap();
    assert_eq!(event, issued_event(9, b"0\0"));
    assert_eq!(it.read("event").lines().count(), 1);
    let environment = it.read("environment");
    for variable in [
        "EXEUNT_EVENT=issued",
        "EXEUNT_EVENT_BIT=1",
        "EXEUNT_EVENT_ID=00000000000000000000000000000001-9",
        "EXEUNT_SEQ=9",
        "EXEUNT_ATTEMPT=1",
        "EXEUNT_REQUEST_ID=9",
        "EXEUNT_SUBJECT=request:9",
        "EXEUNT_REQUESTER=test",
        "EXEUNT_SERIAL=40000000000000000000000000000009",
        "EXEUNT_TEMPLATE=WebServer",
        "EXEUNT_NOT_AFTER=2027-11-21T07:00:00Z",
        "EXEUNT_MODULE=under-test",
    ] {
        assert!(environment.lines().any(|line| line == variable), "{variable}\n{environment}");
    }
}

#[test]
fn what_the_requester_wrote_reaches_no_shell() {
    let mut it = Fixture::new("printf %s \"$EXEUNT_COMMON_NAME\" > $FOLDER/name");
    let mut event = issued_event(9, b"0\0");
    let name = "$(touch $FOLDER/hacked) `id` ' \" \n; () { :; };";
    event.certificate = [("CommonName", Value::String(name.to_owned()))].into_iter().collect();
    assert_eq!(it.host.notify(&event).unwrap(), Outcome::Accept);
    assert_eq!(it.read("name"), name);
    assert!(!it.path("hacked").exists());
}

#[test]
fn the_exit_status_says_what_became_of_the_event() {
    let table = [
        ("exit 0", Outcome::Accept),
        ("echo fine >&2", Outcome::Accept),
        ("echo first >&2; echo no such host >&2; exit 75", retry("no such host (exit status 75)")),
        ("exit 1", retry("the program said nothing (exit status 1)")),
        ("echo usage >&2; exit 64", retry("usage (exit status 64)")),
        ("echo not on standard error; exit 3", retry("the program said nothing (exit status 3)")),
        ("printf 'a bad serial' >&2; exit 65", park("a bad serial (exit status 65)")),
        ("echo no server >&2; exit 69", down("no server (exit status 69)")),
        ("echo dying >&2; kill -SEGV $$", retry("dying (ended by signal 11)")),
    ];
    for (script, expected) in table {
        assert_eq!(Fixture::new(script).notify(), expected, "{script}");
    }
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_all_that_it_started() {
    let script =
        "sleep 600 & echo $! > $FOLDER/child; echo $$ > $FOLDER/leader; echo slow >&2; wait";
    let mut it = Fixture::with(script, &json!({"timeout_s": 5}));
    assert_eq!(it.notify(), retry("slow (killed after 5000 ms)"));
    wait_for_end(it.read("child").trim());
    wait_for_end(it.read("leader").trim());
}

#[test]
fn what_a_program_leaves_behind_in_its_group_ends_with_it() {
    let mut it = Fixture::new("sleep 600 & echo $! > $FOLDER/child; exit 0");
    let start = Instant::now();
    assert_eq!(it.notify(), Outcome::Accept);
    assert!(start.elapsed() < WITHIN);
    wait_for_end(it.read("child").trim());
}

#[test]
fn a_process_that_escapes_with_the_pipes_does_not_hold_the_event() {
    let mut it = Fixture::new(
        "setsid sh -c 'echo $$ > $FOLDER/child; exec sleep 600' & \
                               while ! test -s $FOLDER/child; do :; done; echo done >&2; exit 75",
    );
    let start = Instant::now();
    assert_eq!(it.notify(), retry("done (exit status 75)"));
    assert!(start.elapsed() < WITHIN);
    let child = it.read("child");
    assert!(Path::new("/proc").join(child.trim()).exists());
    Command::new("kill").args(["-KILL", child.trim()]).status().unwrap();
    wait_for_end(child.trim());
}

#[test]
fn a_program_need_not_read_its_input() {
    let mut it = Fixture::new("exec 0<&-; exit 0");
    let event = issued_event(9, &vec![0x30; 1024 * 1024]);
    for _ in 0..3 {
        assert_eq!(it.host.notify(&event).unwrap(), Outcome::Accept);
    }
}

#[test]
fn much_output_stops_nothing() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo \"line $i $EXEUNT_CA\"; echo \"line $i\" >&2; \
                  i=$((i+1)); done; exit 75";
    assert_eq!(Fixture::new(script).notify(), retry("line 1999 (exit status 75)"));
}

#[test]
fn an_event_that_no_variable_can_hold_is_parked() {
    let mut it = Fixture::new("exit 0");
    let mut event = issued_event(9, b"0\0");
    event.request.push("DispositionMessage", Value::String("a\0b".to_owned()));
    let outcome = it.host.notify(&event).unwrap();
    assert_eq!(outcome, park("EXEUNT_DISPOSITION_MESSAGE would hold a NUL"));
}

#[test]
fn a_program_that_has_gone_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("hook");
    let write = || {
        // Written by another process: one of ours that is just being forked would keep it open.
        let script =
            format!("printf '#!/bin/sh\\nexit 0\\n' > {0} && chmod 755 {0}", program.display());
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
    };
    write();
    let mut host = Host::in_memory(CommandExit::default()).unwrap();
    host.initialize(&json!({"program": [program]})).unwrap();
    assert_eq!(host.notify(&issued_event(1, b"")).unwrap(), Outcome::Accept);
    fs::remove_file(&program).unwrap();
    let outcome = host.notify(&issued_event(2, b"")).unwrap();
    let Outcome::Retry { after_ms: None, reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("starting ") && reason.contains("No such file"), "{reason}");
    write();
    assert_eq!(host.notify(&issued_event(2, b"")).unwrap(), Outcome::Accept);
    host.shutdown().unwrap();
}

#[test]
fn many_events_run_one_after_the_other() {
    let mut it = Fixture::new(
        "mkdir $FOLDER/lock && echo $EXEUNT_SEQ >> $FOLDER/seen && rmdir $FOLDER/lock",
    );
    let events: Vec<Event> = (1..=50).map(|seq| issued_event(seq, b"")).collect();
    let outcomes = it.host.notify_all(&events).unwrap();
    assert!(outcomes.iter().all(|it| *it == Ok(Outcome::Accept)), "{outcomes:?}");
    let seen: Vec<u64> = it.read("seen").lines().map(|it| it.parse().unwrap()).collect();
    assert_eq!(seen, (1..=50).collect::<Vec<u64>>());
}

#[test]
fn the_module_asks_for_the_events_of_its_settings() {
    let mut host = Host::in_memory(CommandExit::default()).unwrap();
    let settings = json!({"program": ["sh"], "events": ["denied", "request-failed", "heartbeat"]});
    let mask = host.initialize(&settings).unwrap().event_mask;
    let expected = exit_event::CERT_DENIED | exit_event::REQUEST_FAILED | exit_event::HEARTBEAT;
    assert_eq!(mask, expected);
    assert_eq!(host.description().unwrap(), "runs a program for each event");
    // An event of a later version, say.
    assert_eq!(host.notify(&issued_event(1, b"")).unwrap(), Outcome::Skip);
    host.shutdown().unwrap();
}

#[test]
fn the_module_manages_its_settings() {
    let mut host = Host::in_memory(CommandExit::default()).unwrap();
    let names: Vec<String> =
        host.manage_module().unwrap().settings.into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["program", "timeout_s", "events", "environment"]);
    let name = host.module_property("Name").unwrap();
    assert_eq!(name, Some(Value::String("command".to_owned())));
    host.configure(&json!({"program": ["/bin/sh", "-c", "exit 0"]})).unwrap();
    host.set_module_property("timeout_s", json!(5)).unwrap();
    for (refused, says) in [
        (host.set_module_property("timeout_s", json!(0)), "timeout_s has to be"),
        (host.set_module_property("shell", json!("zsh")), "there is no setting \"shell\""),
        (host.configure(&json!({"timeout_s": 5})), "program is missing"),
        (host.configure(&json!({"program": ["/no/such"]})), "No such file"),
    ] {
        let Err(HostError::Refuse(refusal)) = refused else { panic!("not refused: {says}") };
        assert!(refusal.message.contains(says), "{refusal}");
    }
    host.shutdown().unwrap();
}

/// As a process, whose standard output is the conversation.
#[test]
fn what_the_program_prints_never_breaks_the_conversation() {
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().parent().unwrap().join("examples/command");
    let mut host = Host::spawn(Command::new(example)).unwrap();
    let script = "echo '{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":null}'; echo no JSON; exit 0";
    host.initialize(&json!({"program": ["/bin/sh", "-c", script]})).unwrap();
    for seq in 1..=3 {
        assert_eq!(host.notify(&issued_event(seq, b"")).unwrap(), Outcome::Accept);
    }
    host.shutdown().unwrap();
}
