//! Exit modules as their operator meets them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use exeunt_e2e::ca::{Ca, wait_for};
use exeunt_e2e::{load, program, record};

use super::issuing::request;

fn exit(ca: &Ca, name: &str) -> serde_json::Value {
    serde_json::from_str(&ca.ok(&["exit", "status", name, "--json"])).unwrap()
}

fn issue(ca: &Ca, host: &str) {
    let file = request(ca, "ec:P-256", &format!("/CN={host}"), &[host]);
    ca.ok(&["submit", &file]);
}

/// How many certificates there are; the CA's own and its lists are beside them.
fn published(ca: &Ca) -> usize {
    let is_pem = |it: &std::fs::DirEntry| it.path().extension().is_some_and(|it| it == "pem");
    std::fs::read_dir(ca.published()).map_or(0, |it| it.flatten().filter(is_pem).count())
}

#[test]
fn a_missing_module_holds_nothing_up_and_hears_everything_once_it_is_there() {
    let ca = Ca::init(&[]);
    let late = ca.scratch().join("late-module");
    let heard = ca.scratch().join("heard");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"late\"\ncommand = [{late:?}]\n[exit.settings]\nfile = {heard:?}"
    ));
    let server = ca.serve();
    issue(&ca, "one.example.test");
    issue(&ca, "two.example.test");
    wait_for("the other module to publish", || (published(&ca) == 2).then_some(()));
    let status = wait_for("the late module to be down", || {
        Some(exit(&ca, "late")).filter(|it| it["state"] == "down")
    });
    assert!(status["why"].as_str().unwrap().contains("late-module"), "{status}");
    assert!(status["until"].as_str().unwrap().ends_with('Z'), "{status}");
    assert!(status["last_error"].as_str().unwrap().contains("late-module"), "{status}");
    wait_for("people to be told the same", || {
        let shown = ca.ok(&["exit", "status", "late"]);
        (shown.contains("down") && shown.contains("Next try:")).then_some(())
    });
    assert_eq!(status["held_parked"], 0, "{status}");

    install(&program::built("record-module"), &late);
    let issued = |heard: &[record::Heard]| heard.iter().filter(|it| it.event == 1).count();
    wait_for("the module to hear of both", || {
        (issued(&record::read(&heard).unwrap()) == 2).then_some(())
    });
    server.stop();
}

#[test]
fn a_modules_update_needs_no_stop_of_the_ca() {
    let ca = Ca::init(&[]);
    let module = ca.scratch().join("module.py");
    let heard = ca.scratch().join("heard");
    install_script(&module, "old");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"script\"\ncommand = [\"python3\", {module:?}, {heard:?}]"
    ));
    let server = ca.serve();
    issue(&ca, "one.example.test");
    let lines = || std::fs::read_to_string(&heard).unwrap_or_default();
    wait_for("the old module", || lines().contains("old 1").then_some(()));
    install_script(&module, "new");
    issue(&ca, "two.example.test");
    issue(&ca, "three.example.test");
    let new_one_works = || {
        issue(&ca, "more.example.test");
        lines().contains("new 1").then_some(())
    };
    wait_for("the new module", new_one_works);
    wait_for("everything", || (exit(&ca, "script")["lag"] == 0).then_some(()));
    let requests: serde_json::Value =
        serde_json::from_str(&ca.ok(&["request", "list", "--json"])).unwrap();
    let issued = requests["requests"].as_array().unwrap().len();
    let told = lines().lines().filter(|it| it.ends_with(" 1")).count();
    assert_eq!(told, issued, "{}", lines());
    server.stop();
}

#[test]
fn one_poisoned_event_is_held_and_the_others_pass() {
    let ca = Ca::init(&[]);
    let module = ca.scratch().join("module.py");
    let heard = ca.scratch().join("heard");
    install_script(&module, "good");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"script\"\ncommand = [\"python3\", {module:?}, {heard:?}]\n\
         retry_first_s = 1\nretry_longest_s = 1\nretry_attempts_max = 2"
    ));
    let server = ca.serve();
    issue(&ca, "poison.example.test");
    issue(&ca, "fine.example.test");
    wait_for("the fine one", || {
        std::fs::read_to_string(&heard).unwrap_or_default().contains("good 1").then_some(())
    });
    let parked = wait_for("the poisoned one to be parked", || {
        let status = exit(&ca, "script");
        (status["held_parked"] == 1).then_some(status)
    });
    let held = &parked["held"][0];
    assert_eq!(held["state"], "parked", "{parked}");
    assert_eq!(held["attempts"], 2, "{parked}");
    assert!(held["last_error"].as_str().unwrap().contains("will not take it"), "{parked}");
    assert!(ca.ok(&["exit", "status", "script"]).contains("parked"));
    server.stop();
}

#[test]
fn two_modules_hear_each_event_from_places_of_their_own() {
    let ca = Ca::init(&[]);
    let module = program::built("record-module");
    let (a, b) = (ca.scratch().join("a"), ca.scratch().join("b"));
    ca.configure_more(&format!(
        "[[exit]]\nname = \"a\"\ncommand = [{module:?}]\n[exit.settings]\nfile = {a:?}"
    ));
    let server = ca.serve();
    issue(&ca, "one.example.test");
    wait_for("a to hear", || (exit(&ca, "a")["lag"] == 0).then_some(()));
    server.stop();
    // A module that comes later is filled from the log, and disturbs the first one's place not.
    ca.configure_more(&format!(
        "[[exit]]\nname = \"b\"\ncommand = [{module:?}]\n[exit.settings]\nfile = {b:?}"
    ));
    let server = ca.serve();
    issue(&ca, "two.example.test");
    for name in ["a", "b"] {
        wait_for("both to hear", || (exit(&ca, name)["lag"] == 0).then_some(()));
    }
    server.stop();
    let (a, b) = (record::read(&a).unwrap(), record::read(&b).unwrap());
    assert_eq!(a, b, "both heard the same events in the same order, once");
    assert_eq!(a.iter().filter(|it| it.event == 1).count(), 2);
}

/// Puts a program in place the way an installer does: whole, by renaming.
fn install(program: &Path, place: &Path) {
    let beside = place.with_extension("new");
    std::fs::copy(program, &beside).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(beside, place).unwrap();
}

/// A module in Python, from the contract alone.
fn install_script(place: &Path, word: &str) {
    let script = format!(
        r#"import json, sys
for line in sys.stdin:
    call = json.loads(line)
    method, result = call["method"], None
    if method == "Initialize":
        result = {{"protocol": 1, "features": [], "event_mask": 1, "window": 8}}
    elif method == "GetDescription":
        result = "a script"
    elif method == "Notify":
        event = call["params"]["event"]
        subject = event["certificate"]["DistinguishedName"]["string"]
        if "poison" in subject:
            result = {{"outcome": "retry", "reason": "will not take it"}}
        else:
            with open(sys.argv[1], "a") as heard:
                heard.write("{word} %d\n" % event["event"])
            result = {{"outcome": "accept"}}
    print(json.dumps({{"jsonrpc": "2.0", "id": call["id"], "result": result}}), flush=True)
    if method == "Shutdown":
        break
"#
    );
    let beside = place.with_extension("new");
    std::fs::write(&beside, script).unwrap();
    std::fs::rename(beside, place).unwrap();
}

#[test]
fn a_stop_lets_a_slow_module_finish_what_it_has_in_hand() {
    let ca = Ca::init(&[]);
    let heard = ca.scratch().join("heard");
    let module = program::built("record-module");
    ca.configure_more(&format!(
        "[[exit]]\nname = \"slow\"\ncommand = [{module:?}]\nwindow = 1\n\
         [exit.settings]\nfile = {heard:?}\ndelay_ms = 700"
    ));
    let server = ca.serve();
    // All at once: the module is to have most of them before it when the order comes.
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let requests = [std::fs::read(file).unwrap()];
    load::issue(server.address(), &ca.token(), &requests, 4, 24).unwrap();
    server.stop();
    let first = record::read(&heard).unwrap();
    let server = ca.serve();
    wait_for("the rest", || (exit(&ca, "slow")["lag"] == 0).then_some(()));
    server.stop();
    let all = record::read(&heard).unwrap();
    assert!(first.len() < 24, "the stop came too late to interrupt anything");
    let mut seqs: Vec<u64> = all.iter().map(|it| it.seq).collect();
    seqs.dedup();
    assert_eq!(seqs.len(), all.len(), "an event that was in hand was told again: {all:?}");
}
