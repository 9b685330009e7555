//! The life of an exit module, as its operator leads it: while the server runs, by commands.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use exeunt_e2e::ca::{Ca, text, wait_for};
use serde_json::Value;

use super::issuing::request;

/// A module from the contract alone. It writes down what it hears in its own folder, parks what its
/// setting `poison` names, and knows no other setting than that and `word`.
const MODULE: &str = r#"import json, sys
settings = {}
def fits(settings):
    for name, value in settings.items():
        if name not in ("word", "poison") or not isinstance(value, str):
            return {"code": -32000, "message": "%s cannot be %s" % (name, json.dumps(value))}
def handle(method, params):
    global settings
    if method == "Initialize":
        settings = params["settings"]
        if settings.get("word") == "late":
            return None, {"code": -32000, "message": "too late"}
        return {"protocol": 1, "event_mask": 0x7, "window": 8}, fits(settings)
    if method == "GetDescription":
        return "listens " + settings.get("word", "well"), None
    if method == "GetManageModule":
        return {"settings": [
            {"name": "word", "type": "string", "description": "how it listens", "default": "well"},
            {"name": "poison", "type": "string", "description": "a host that it does not take"},
        ]}, None
    if method == "Configure":
        return None, fits(params["settings"])
    if method == "Notify":
        event = params["event"]
        subject = event["certificate"]["DistinguishedName"]["string"]
        if settings.get("poison", "\0") in subject:
            return {"outcome": "park", "reason": "poison for me"}, None
        with open("heard", "a") as heard:
            heard.write("%d %s\n" % (event["seq"], subject))
        return {"outcome": "accept"}, None
    return None, None if method == "Shutdown" else {"code": -32601, "message": "no such method"}
for line in sys.stdin:
    call = json.loads(line)
    result, error = handle(call["method"], call["params"])
    answer = {"error": error} if error else {"result": result}
    print(json.dumps({"jsonrpc": "2.0", "id": call["id"], **answer}), flush=True)
    if call["method"] == "Shutdown":
        break
"#;

/// The place of the module's program.
fn module(ca: &Ca) -> PathBuf {
    let place = ca.scratch().join("listener.py");
    fs::write(&place, MODULE).unwrap();
    place
}

fn add(ca: &Ca, options: &[&str]) -> String {
    let command = format!("python3 '{}'", module(ca).display());
    ca.ok(&[&["exit", "add", "listener", "--command", &command], options].concat())
}

fn issue(ca: &Ca, host: &str) {
    let file = request(ca, "ec:P-256", &format!("/CN={host}"), &[host]);
    ca.ok(&["submit", &file]);
}

fn json(ca: &Ca, args: &[&str]) -> Value {
    serde_json::from_str(&ca.ok(&[args, &["--json"]].concat())).unwrap()
}

fn status(ca: &Ca) -> Value {
    json(ca, &["exit", "status", "listener"])
}

/// How often the module heard each event, by its number.
fn heard(ca: &Ca) -> BTreeMap<u64, usize> {
    let text = fs::read_to_string(ca.home().join("modules/listener/heard")).unwrap_or_default();
    let mut heard = BTreeMap::new();
    for line in text.lines() {
        let (seq, _) = line.split_once(' ').unwrap();
        *heard.entry(seq.parse().unwrap()).or_default() += 1;
    }
    heard
}

fn issued(ca: &Ca) -> Vec<u64> {
    let list = json(ca, &["cert", "list", "--limit", "1000"]);
    let certificates = list["certificates"].as_array().unwrap().iter();
    let mut events: Vec<u64> = certificates.map(|it| it["event"].as_u64().unwrap()).collect();
    events.sort_unstable();
    events
}

fn settled(ca: &Ca) -> Value {
    wait_for("the module to hear everything", || {
        Some(status(ca)).filter(|it| it["lag"] == 0 && it["held_retry"] == 0)
    })
}

fn refused(ca: &Ca, args: &[&str], code: &str) -> String {
    let output = ca.run(args);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{args:?} succeeded");
    assert!(stderr.contains(&format!("error[{code}]")), "{args:?}: {stderr}");
    assert!(stderr.contains("hint:"), "{stderr}");
    stderr
}

fn config(ca: &Ca) -> String {
    fs::read_to_string(ca.home().join("exeunt.toml")).unwrap()
}

#[test]
fn a_module_that_is_added_while_requests_come_hears_everything_once() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca, "before.example.test");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) && count < 200 {
                issue(&ca, &format!("host-{count}.example.test"));
                count += 1;
            }
        });
        let told = add(&ca, &["--from-start", "--set", "word=closely"]);
        assert!(told.contains("The module listener is added"), "{told}");
        wait_for("the module to hear", || (3 < heard(&ca).len()).then_some(()));
        stop.store(true, Ordering::Relaxed);
        client.join().unwrap();
    });
    let status = settled(&ca);
    let expected: BTreeMap<u64, usize> = issued(&ca).into_iter().map(|it| (it, 1)).collect();
    assert_eq!(heard(&ca), expected);
    assert_eq!(status["description"], "listens closely");
    assert_eq!(status["events"], serde_json::json!(["issued", "pending", "denied"]));
    assert!(status["isolation"].as_str().unwrap().contains("limits"), "{status}");

    // It is in the configuration, and so there after a restart.
    server.stop();
    let server = ca.serve();
    issue(&ca, "after.example.test");
    settled(&ca);
    assert_eq!(heard(&ca).len(), expected.len() + 1);
    let told = refused(&ca, &["exit", "add", "listener", "--use", "file"], "exit-exists");
    assert!(told.contains("exeunt exit settings set listener"), "{told}");
    server.stop();
}

#[test]
fn what_is_odd_about_a_new_module_is_said_once_when_it_is_added() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    // The server waits some seconds for the start. On a machine on which that is too short, the module
    // is added again.
    let say = |args: &[&str], what: &str| -> Vec<String> {
        wait_for(what, || {
            let output = ca.run(&[&["exit", "add"], args].concat());
            let stderr = text(&output.stderr);
            assert!(output.status.success(), "{args:?}: {stderr}");
            if stderr.contains(what) {
                return Some(stderr.lines().map(str::to_owned).collect());
            }
            ca.ok(&["exit", "remove", args[0], "--drop-backlog", "--yes"]);
            None
        })
    };
    for args in [
        &["missing", "--command", "/nowhere/census"][..],
        &["library", "--library", "/nowhere/census.so", "--class", "Example.Census"],
    ] {
        let notes = say(args, "it does not start");
        let [note] = notes.as_slice() else { panic!("{args:?}: {notes:?}") };
        assert!(note.contains("/nowhere/census"), "{note}");
        assert!(note.contains(&format!("exeunt exit remove {}", args[0])), "{note}");
    }
    let command = format!("python3 '{}'", module(&ca).display());
    say(
        &["deaf", "--command", &command, "--events", "revoked, imported"],
        "it will be told nothing",
    );
    server.stop();
}

#[test]
fn a_module_begins_where_its_operator_says() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca, "one.example.test");
    issue(&ca, "two.example.test");
    let events = issued(&ca);
    add(&ca, &["--from-event", &events[1].to_string()]);
    settled(&ca);
    assert_eq!(heard(&ca).into_keys().collect::<Vec<_>>(), events[1..]);
    ca.ok(&["exit", "remove", "listener", "--drop-backlog", "--yes"]);
    let ahead = ["exit", "add", "ahead", "--use", "file", "--from-event", "999"];
    let told = refused(&ca, &ahead, "order-invalid");
    assert!(told.contains("there is no event 999 yet") && told.contains("leave --from-event out"));
    assert!(!ca.home().join("modules/ahead").exists(), "a refused module left its folder");

    add(&ca, &["--where", "certificate.CommonName == 'four.example.test'"]);
    issue(&ca, "three.example.test");
    issue(&ca, "four.example.test");
    settled(&ca);
    assert_eq!(heard(&ca).into_keys().skip(1).collect::<Vec<_>>(), issued(&ca)[3..]);
    let told = ca.ok(&["exit", "explain", "listener", "--request", "3"]);
    assert!(told.contains("  no       the expression in `where` is true: certificate"), "{told}");
    let told = json(&ca, &["exit", "explain", "listener", "--request", "4"]);
    let rules = told["events"][0]["rules"].as_array().unwrap();
    assert!(1 < rules.len() && rules.iter().all(|it| it["answer"] == "yes"), "{told}");
    refused(&ca, &["exit", "explain", "listener", "--request", "99"], "request-not-found");
    server.stop();
}

#[test]
fn settings_are_checked_by_the_module_and_comments_stay() {
    let ca = Ca::init(&[]);
    ca.configure("[[exit]]", "# The first one; do not remove.\n[[exit]]");
    let server = ca.serve();
    let before = config(&ca);
    add(&ca, &["--set", "word=closely"]);
    let added = config(&ca);
    assert!(added.starts_with(before.trim_end()), "what was there has changed:\n{added}");

    ca.ok(&["exit", "settings", "set", "listener", "word=twice", "poison=\"25\""]);
    let set = json(&ca, &["exit", "settings", "get", "listener"]);
    assert_eq!(set, serde_json::json!({"word": "twice", "poison": "25"}));
    assert_eq!(ca.ok(&["exit", "settings", "get", "listener", "poison"]), "25\n");
    wait_for("the module to go on with them", || {
        (status(&ca)["description"] == "listens twice").then_some(())
    });
    ca.ok(&["exit", "settings", "set", "listener", "--unset", "poison"]);
    refused(&ca, &["exit", "settings", "get", "listener", "poison"], "setting-not-set");
    refused(&ca, &["exit", "settings", "set", "listener", "--unset", "nosuch"], "setting-not-set");

    let told =
        refused(&ca, &["exit", "settings", "set", "listener", "word=25"], "settings-refused");
    assert!(told.contains("word cannot be 25") && told.contains("it knows: word"), "{told}");
    let kept = config(&ca);
    refused(&ca, &["exit", "settings", "set", "listener", "colour=red"], "settings-refused");
    refused(&ca, &["exit", "settings", "set", "fax", "word=x"], "exit-not-found");
    assert_eq!(config(&ca), kept, "what was refused was written");
    // What the module finds out only at its start: it goes on as it did.
    // The server waits some seconds for the start. On a machine on which that is too short, it is
    // asked again.
    let told = wait_for("the old settings to be put back", || {
        wait_for("the module to run", || (status(&ca)["state"] == "running").then_some(()));
        let output = ca.run(&["exit", "settings", "set", "listener", "word=late"]);
        if output.status.success() {
            ca.ok(&["exit", "settings", "set", "listener", "word=twice"]);
            return None;
        }
        Some(text(&output.stderr))
    });
    assert!(told.contains("error[settings-refused]") && told.contains("hint:"), "{told}");
    assert!(told.contains("too late") && told.contains("put back"), "{told}");
    assert_eq!(config(&ca), kept, "settings that it does not start with were kept");
    wait_for("the module to go on with the old ones", || {
        (status(&ca)["description"] == "listens twice").then_some(())
    });
    ca.ok(&["exit", "disable", "listener"]);
    let told = ca.ok(&["exit", "settings", "set", "listener", "word=twice"]);
    assert!(told.contains("they count when it is enabled"), "{told}");
    let told = ca.ok(&["exit", "enable", "listener"]);
    assert!(told.contains("The module listener is enabled"), "{told}");
    let known = ca.ok(&["exit", "settings", "list", "listener"]);
    assert!(known.contains("poison") && known.contains("how it listens"), "{known}");

    ca.ok(&["exit", "remove", "listener", "--yes"]);
    assert_eq!(config(&ca).trim_end(), before.trim_end());
    server.stop();
}

#[test]
fn a_module_that_is_switched_off_keeps_its_backlog() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    add(&ca, &[]);
    issue(&ca, "one.example.test");
    settled(&ca);
    ca.ok(&["exit", "disable", "listener"]);
    issue(&ca, "two.example.test");
    issue(&ca, "three.example.test");
    let off = status(&ca);
    assert_eq!((&off["state"], &off["enabled"]), (&"disabled".into(), &false.into()), "{off}");
    assert_eq!(off["lag"], 2, "{off}");
    assert_eq!(heard(&ca).len(), 1);
    refused(&ca, &["exit", "parked", "retry", "listener", "--all"], "exit-disabled");

    // It is off after a restart as well.
    server.stop();
    let server = ca.serve();
    assert_eq!(status(&ca)["state"], "disabled");
    ca.ok(&["exit", "enable", "listener"]);
    settled(&ca);
    assert_eq!(heard(&ca).into_keys().collect::<Vec<_>>(), issued(&ca));
    server.stop();
}

#[test]
fn parked_events_are_looked_at_retried_and_dropped() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    add(&ca, &["--set", "poison=bad"]);
    for host in ["bad-1.example.test", "good.example.test", "bad-2.example.test"] {
        issue(&ca, host);
    }
    wait_for("both to be parked", || (status(&ca)["held_parked"] == 2).then_some(()));
    let events = issued(&ca);
    let [first, _, third] = [0, 1, 2].map(|it: usize| events[it].to_string());
    let list = json(&ca, &["exit", "parked", "list", "listener"]);
    let parked: Vec<String> =
        list.as_array().unwrap().iter().map(|it| it["event"].to_string()).collect();
    assert_eq!(parked, [first.clone(), third.clone()]);
    let shown = ca.ok(&["exit", "parked", "show", "listener", &first]);
    assert!(shown.contains("poison for me") && shown.contains("request:1"), "{shown}");
    assert!(shown.contains("CN=bad-1.example.test") && shown.contains("Serial:"), "{shown}");
    refused(&ca, &["exit", "parked", "show", "listener", "9999"], "event-not-parked");

    // The cause is gone, so one of them is told again; the other one is given up.
    ca.ok(&["exit", "settings", "set", "listener", "--unset", "poison"]);
    let told = ca.ok(&["exit", "parked", "retry", "listener", &first]);
    assert!(told.contains("1 event will be told"), "{told}");
    wait_for("the first one to be heard", || (heard(&ca).len() == 2).then_some(()));
    settled(&ca);
    let without_reason = ca.run(&["exit", "parked", "drop", "listener", &third]);
    assert_eq!(without_reason.status.code(), Some(2), "{}", text(&without_reason.stderr));
    let empty = ca.run(&["exit", "parked", "drop", "listener", &third, "--reason", " "]);
    assert_eq!(empty.status.code(), Some(2), "{}", text(&empty.stderr));
    let told = ca.ok(&["exit", "parked", "drop", "listener", "--all", "--reason", "a test"]);
    assert!(told.contains("1 event dropped"), "{told}");
    assert_eq!(ca.ok(&["exit", "parked", "list", "listener"]), "No event of listener is parked.\n");
    assert_eq!(status(&ca)["held_parked"], 0);
    refused(&ca, &["exit", "parked", "retry", "listener", &third], "exit-not-held");
    assert_eq!(heard(&ca).len(), 2, "what was given up was told");
    let told = ca.ok(&["exit", "explain", "listener", "--request", "3"]);
    assert!(told.contains("it was dropped by ") && told.contains(": a test"), "{told}");
    let told = ca.ok(&["exit", "explain", "listener", "--request", "1"]);
    assert!(told.contains("the module accepted or skipped it"), "{told}");
    server.stop();
}

#[test]
fn what_is_parked_is_told_of_a_disabled_module_as_well_also_after_a_restart() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    add(&ca, &["--set", "poison=bad"]);
    issue(&ca, "bad.example.test");
    wait_for("it to be parked", || (status(&ca)["held_parked"] == 1).then_some(()));
    ca.ok(&["exit", "disable", "listener"]);
    assert_eq!(status(&ca)["held_parked"], 1);
    server.stop();

    let server = ca.serve();
    assert_eq!(status(&ca)["held_parked"], 1);
    let list = json(&ca, &["exit", "list"]);
    assert_eq!(list["exits"][1]["held_parked"], 1, "{list}");
    let told =
        refused(&ca, &["exit", "remove", "listener", "--drop-backlog"], "usage-not-confirmed");
    assert!(told.contains("1 event waits for an operator"), "{told}");
    let told = json(&ca, &["exit", "remove", "listener", "--yes", "--drop-backlog"]);
    assert_eq!(told["held_parked"], 1, "{told}");
    server.stop();
}

#[test]
fn old_events_are_told_again_and_then_it_goes_on() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    add(&ca, &[]);
    for index in 0..4 {
        issue(&ca, &format!("host-{index}.example.test"));
    }
    settled(&ca);
    let events = issued(&ca);
    let [from, to] = [1, 2].map(|it: usize| events[it].to_string());
    ca.ok(&["exit", "replay", "listener", "--from", &from, "--to", &to]);
    wait_for("them to be heard again", || {
        let times: Vec<usize> = heard(&ca).into_values().collect();
        (times == [1, 2, 2, 1]).then_some(())
    });
    issue(&ca, "new.example.test");
    settled(&ca);
    assert_eq!(heard(&ca).into_values().collect::<Vec<_>>(), [1, 2, 2, 1, 1]);
    let told =
        refused(&ca, &["exit", "replay", "listener", "--from", "3", "--to", "2"], "order-invalid");
    assert!(!told.contains("--all"), "{told}");
    let beyond = ["exit", "replay", "listener", "--from", "1", "--to", "999"];
    let told = refused(&ca, &beyond, "store-replay-range");
    assert!(told.contains("listener was told up to event"), "{told}");
    let told = ca.ok(&["exit", "replay", "listener", "--cancel"]);
    assert_eq!(told, "No replay of listener is under way.\n");
    server.stop();
}

#[test]
fn a_tail_shows_what_was_told_and_what_comes() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    add(&ca, &[]);
    issue(&ca, "one.example.test");
    settled(&ca);
    let told = ca.ok(&["exit", "tail", "listener", "--from-start", "--lines", "1"]);
    assert!(told.contains("issued") && told.contains("request:1"), "{told}");

    let mut child = ca
        .command(&["exit", "tail", "listener", "--from-start", "--lines", "2", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines().map(Result::unwrap);
    // It shows what was told before the next thing happens, and waits.
    let first = lines.next().unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it did not wait for the second line");
    issue(&ca, "two.example.test");
    let lines = std::iter::once(first).chain(lines);
    let lines: Vec<Value> = lines.map(|it| serde_json::from_str(&it).unwrap()).collect();
    assert!(child.wait().unwrap().success());
    let subjects: Vec<&str> = lines.iter().map(|it| it["subject"].as_str().unwrap()).collect();
    assert_eq!(subjects, ["request:1", "request:2"]);
    assert_eq!(lines.iter().filter(|it| it["outcome"] == "accepted").count(), 2, "{lines:?}");

    let mut child = ca
        .command(&["exit", "tail", "listener", "--from-start"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It follows once its first line is there.
    BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    server.stop();
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(stderr.contains("[server-not-running]: the server has stopped"), "{stderr}");
}

#[test]
fn a_removal_asks_and_keeps_the_backlog_unless_told_otherwise() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    add(&ca, &["--set", "poison=bad"]);
    issue(&ca, "bad.example.test");
    wait_for("it to be parked", || (status(&ca)["held_parked"] == 1).then_some(()));
    let before = config(&ca);
    let told = refused(&ca, &["exit", "remove", "listener"], "usage-not-confirmed");
    assert!(
        told.contains("1 event waits for an operator") && told.contains("give --yes"),
        "{told}"
    );
    assert_eq!(config(&ca), before);

    let told = ca.ok(&["exit", "remove", "listener", "--yes"]);
    assert!(told.contains("They are kept"), "{told}");
    refused(&ca, &["exit", "status", "listener"], "exit-not-found");
    issue(&ca, "two.example.test");
    // Under its name it goes on where it was.
    add(&ca, &["--from-start"]);
    settled(&ca);
    assert_eq!(heard(&ca).into_keys().collect::<Vec<_>>(), issued(&ca)[1..]);
    assert_eq!(status(&ca)["held_parked"], 1);
    let told = json(&ca, &["exit", "remove", "listener", "--yes", "--drop-backlog"]);
    assert_eq!((&told["backlog_dropped"], &told["held_parked"]), (&true.into(), &1.into()));
    add(&ca, &[]);
    assert_eq!(settled(&ca)["held_parked"], 0);
    server.stop();
}

#[test]
fn a_reload_takes_up_modules_and_names_what_needs_a_restart() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    assert_eq!(ca.ok(&["reload"]), "Nothing has changed.\n");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"listener\"\ncommand = [\"python3\", {:?}]\n\
         working_directory = \"modules/listener\"\nevents = [\"issued\"]",
        module(&ca)
    ));
    ca.configure("check_signatures = false", "check_signatures = true");
    ca.configure("retry_attempts_max = 12", "retry_attempts_max = 3");
    let told = json(&ca, &["reload"]);
    assert_eq!(told["added"], serde_json::json!(["listener"]), "{told}");
    assert_eq!(told["changed"], serde_json::json!(["file"]), "{told}");
    assert_eq!(told["needs_restart"], serde_json::json!(["key.check_signatures"]), "{told}");
    issue(&ca, "one.example.test");
    settled(&ca);
    assert_eq!(heard(&ca).len(), 1);

    // One that does not start is named, and taken up all the same.
    ca.configure_more("[[exit]]\nname = \"missing\"\ncommand = [\"/nowhere/missing\"]");
    let told = json(&ca, &["reload"]);
    assert_eq!(told["added"], serde_json::json!(["missing"]), "{told}");
    assert!(told["not_started"][0].as_str().unwrap().starts_with("missing: "), "{told}");
    ca.ok(&["exit", "remove", "missing", "--yes"]);

    // One that is not good is refused whole.
    ca.configure("events = [\"issued\"]", "events = [\"baked\"]");
    refused(&ca, &["reload"], "config-invalid");
    refused(&ca, &["exit", "disable", "listener"], "config-invalid");
    issue(&ca, "two.example.test");
    settled(&ca);
    assert_eq!(heard(&ca).len(), 2);

    // A signal does the same.
    ca.configure("events = [\"baked\"]", "events = [\"denied\"]");
    let sent =
        std::process::Command::new("kill").args(["-HUP", &server.pid().to_string()]).status();
    assert!(sent.unwrap().success());
    wait_for("the signal to be obeyed", || {
        (status(&ca)["events"] == serde_json::json!(["denied"])).then_some(())
    });
    let text = config(&ca);
    let table = text.rfind("[[exit]]").unwrap();
    fs::write(ca.home().join("exeunt.toml"), &text[..table]).unwrap();
    assert_eq!(json(&ca, &["reload"])["removed"], serde_json::json!(["listener"]));
    refused(&ca, &["exit", "status", "listener"], "exit-not-found");
    server.stop();
}

#[test]
fn modules_are_not_managed_from_elsewhere() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let url = format!("http://{}", server.address());
    let token = ca.home().join("secrets/admin.token");
    let door = ["--server", &url, "--token-file", token.to_str().unwrap()];
    for args in [
        &["exit", "disable", "file"][..],
        &["exit", "settings", "get", "file"],
        &["exit", "add", "x", "--use", "file"],
        &["reload"],
    ] {
        refused(&ca, &[args, &door].concat(), "manage-local-only");
    }
    ca.ok(&[&["exit", "status", "file"][..], &door].concat());
    server.stop();
}

#[test]
fn an_answer_waits_for_the_modules_that_are_told_before_it() {
    let ca = Ca::init(&[]);
    // The module is an interpreter at the lowest priority, on a machine that may be busy.
    ca.configure("[server]", "[server]\nbefore_reply_s = 60");
    let server = ca.serve();
    add(&ca, &["--before-reply"]);
    wait_for("the module to run", || (status(&ca)["state"] == "running").then_some(()));
    for index in 0..5 {
        issue(&ca, &format!("host-{index}.example.test"));
        assert_eq!(heard(&ca).len(), index + 1, "answered before it was told");
    }
    server.stop();
}

/// Writes down what of the CA it reaches: what it can read, what it can write to, and the socket.
const SPY: &str = r#"import errno, json, os, socket, sys, time
home, found = os.path.realpath("../.."), []
def reach(name, mode):
    try:
        with open(os.path.join(home, name), mode + "b") as file:
            if mode == "r": file.read(1)
        found.append(mode + " " + name)
    except OSError:
        pass
for name in ["secrets/ca.key.pem", "exeunt.db", "exeunt.toml", "ca.cert.pem", "modules/file/note"]:
    reach(name, "r")
for name in ["exeunt.toml", "ca.cert.pem", "modules/file/note", "published/note", "hooks/spy.py", "new"]:
    reach(name, "a")
try:
    # The modules start before the door is open.
    for _ in range(3000):
        door = socket.socket(socket.AF_UNIX)
        if door.connect_ex(os.path.join(home, "exeunt.sock")) not in (errno.ENOENT, errno.ECONNREFUSED): break
        time.sleep(0.01)
    door.sendall(b"GET /v1/ca HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    if b" 200 " in door.recv(100): found.append("socket")
except OSError:
    pass
with open("found.new", "w") as file: json.dump(found, file)
os.rename("found.new", "found")
sys.stdin.read()
"#;

#[test]
fn a_module_reaches_nothing_of_the_home_but_its_own_folder() {
    let ca = Ca::init(&[]);
    // In the home, and named from there: it is read and executed all the same.
    fs::create_dir(ca.home().join("hooks")).unwrap();
    fs::write(ca.home().join("hooks/spy.py"), SPY).unwrap();
    fs::create_dir_all(ca.home().join("modules/file")).unwrap();
    fs::write(ca.home().join("modules/file/note"), "of another module").unwrap();
    for (name, sandbox) in [("kept", true), ("free", false)] {
        ca.configure_more(&format!(
            "[[exit]]\nname = {name:?}\ncommand = [\"python3\", \"hooks/spy.py\"]\n\
             sandbox = {sandbox}"
        ));
    }
    let server = ca.serve();
    let found = |name: &str| -> Vec<String> {
        let place = ca.home().join("modules").join(name).join("found");
        let text = wait_for("the spy to look around", || fs::read_to_string(&place).ok());
        serde_json::from_str(&text).unwrap()
    };
    // What nothing keeps from it, it does reach: the test does test something.
    let free = found("free");
    for reached in [
        "r secrets/ca.key.pem",
        "r exeunt.db",
        "r exeunt.toml",
        "r modules/file/note",
        "a ca.cert.pem",
        "a modules/file/note",
        "a published/note",
        "a new",
        "socket",
    ] {
        assert!(free.iter().any(|it| it == reached), "{reached}: {free:?}");
    }
    let kept = found("kept");
    let support = exeunt_host::confine::support();
    if support.landlock.is_some() {
        assert_eq!(kept, [""; 0]);
    }
    assert!(!support.seccomp || !kept.iter().any(|it| it == "socket"), "{kept:?}");
    server.stop();
}

#[test]
fn the_shipped_modules_work_where_only_their_folders_are_theirs() {
    let ca = Ca::init(&[]);
    fs::create_dir(ca.home().join("hooks")).unwrap();
    let hook = ca.home().join("hooks/hook.sh");
    fs::write(&hook, "#!/bin/sh\npwd > ran\n").unwrap();
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    ca.configure_more(
        "[[exit]]\nname = \"hook\"\nmodule = \"command\"\n\
         [exit.settings]\nprogram = [\"hooks/hook.sh\"]",
    );
    let server = ca.serve();
    ca.ok(&["exit", "add", "second", "--use", "file", "--from-start", "--set", "directory=second"]);
    issue(&ca, "one.example.test");
    for folder in ["published", "second"] {
        wait_for("the certificate", || {
            fs::read_dir(ca.home().join(folder))
                .ok()?
                .flatten()
                .find(|it| it.path().extension().is_some_and(|it| it == "pem"))
        });
    }
    let ran = ca.home().join("modules/hook/ran");
    wait_for("the hook to run", || fs::read_to_string(&ran).ok().filter(|it| it.ends_with('\n')));
    server.stop();
}

#[test]
fn silence_has_a_heartbeat() {
    let ca = Ca::init(&[]);
    ca.configure("[server]", "[server]\nheartbeat_s = 1");
    let server = ca.serve();
    let head = || json(&ca, &["exit", "status", "file"])["head"].as_u64().unwrap();
    let first = head();
    wait_for("two heartbeats", || (first + 2 <= head()).then_some(()));
    server.stop();
}
