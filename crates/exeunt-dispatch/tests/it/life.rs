//! Modules that come, go and change while the server works, and what the operator lets them hear.

use exeunt_dispatch::{ExitState, Filter, Order};
use exeunt_types::EventKind;

use super::*;

#[test]
fn a_module_added_later_is_told_the_whole_log_while_events_go_on() {
    let stage = Stage::new();
    stage.deny(50);
    let dispatcher = stage.start(vec![stage.module("first", "")]);
    dispatcher.add(stage.module("second", "")).unwrap();
    stage.deny(50);
    until(|| stage.heard("second").len() == 100 && stage.heard("first").len() == 100);
    assert_eq!(stage.heard_seqs("second"), (1..=100).collect::<Vec<_>>());
    let twice = dispatcher.add(stage.module("second", "")).unwrap_err();
    assert_eq!(twice.code(), "dispatch-duplicate");
}

#[test]
fn a_module_that_is_disabled_keeps_its_backlog() {
    let stage = Stage::new();
    stage.deny(2);
    let dispatcher = stage.start(vec![stage.module("clerk", "")]);
    all_told(&dispatcher);
    let off = ExitSettings { enabled: false, ..stage.module("clerk", "") };
    dispatcher.replace(off).unwrap();
    stage.deny(3);
    let status = status_when(&dispatcher, |it| it.lag == 3);
    assert_eq!((status.state, status.pid), (ExitState::Disabled, None));
    let refused = dispatcher.order(&named("clerk"), Order::Retry(Vec::new())).unwrap_err();
    assert_eq!(refused.code(), "exit-disabled");

    dispatcher.replace(stage.module("clerk", "")).unwrap();
    all_told(&dispatcher);
    assert_eq!(stage.heard_seqs("clerk"), [1, 2, 3, 4, 5]);
}

#[test]
fn a_module_that_is_removed_leaves_its_backlog_for_one_of_its_name() {
    let stage = Stage::new();
    stage.deny(2);
    let dispatcher = stage.start(vec![stage.module("clerk", "")]);
    all_told(&dispatcher);
    dispatcher.remove(&named("clerk")).unwrap();
    assert_eq!(dispatcher.status(), []);
    stage.deny(2);
    dispatcher.add(stage.module("clerk", "")).unwrap();
    all_told(&dispatcher);
    assert_eq!(stage.heard_seqs("clerk"), [1, 2, 3, 4]);
}

#[test]
fn a_busy_module_is_replaced_without_losing_or_doubling_what_it_answered() {
    let stage = Stage::new();
    let slow = "WINDOW = 4\ndef notify(call):\n    time.sleep(0.005)\n    accept(call)\n";
    let dispatcher = stage.start(vec![stage.module("clerk", slow)]);
    for _ in 0..10 {
        stage.deny(20);
        dispatcher.replace(stage.module("clerk", slow)).unwrap();
    }
    all_told(&dispatcher);
    assert_eq!(stage.heard_seqs("clerk"), (1..=200).collect::<Vec<_>>());
}

#[test]
fn a_module_that_is_removed_during_its_hello_is_told_nothing() {
    let stage = Stage::new();
    stage.deny(3);
    let own = r#"
def initialize(call):
    while not there_is("hello"):
        time.sleep(0.02)
    answer(call, {"protocol": 1, "features": [], "event_mask": MASK, "window": WINDOW})
open(os.path.join(FOLDER, "started"), "w").close()
"#;
    let dispatcher = stage.start(vec![stage.module("clerk", own)]);
    until(|| stage.path("started").exists());
    thread::scope(|scope| {
        let removed = scope.spawn(|| dispatcher.remove(&named("clerk")));
        until(|| dispatcher.status().is_empty());
        stage.touch("hello");
        removed.join().unwrap().unwrap();
    });
    assert_eq!(stage.heard_seqs("clerk"), [0; 0]);
    assert_eq!(stage.stored_cursor("clerk"), 0);
}

#[test]
fn who_waits_for_a_module_does_not_wait_for_its_replay() {
    let stage = Stage::new();
    let own = r#"
WINDOW = 1
def notify(call):
    while there_is("slow"):
        time.sleep(0.02)
    accept(call)
"#;
    let module = ExitSettings { before_reply: true, ..stage.module("clerk", own) };
    stage.deny(3);
    let dispatcher = stage.start(vec![module]);
    all_told(&dispatcher);
    stage.touch("slow");
    let replay = Order::Replay { from: EventSeq(1), to: EventSeq(3) };
    dispatcher.order(&named("clerk"), replay).unwrap();
    stage.deny(1);
    assert!(dispatcher.told(EventSeq(4), Duration::ZERO));
    fs::remove_file(stage.path("slow")).unwrap();
    status_when(&dispatcher, |it| it.replay.is_none() && it.lag == 0);
}

#[test]
fn a_busy_module_that_is_replaced_is_killed_and_its_event_comes_again() {
    let stage = Stage::new();
    stage.deny(1);
    // It ignores the end of its input and every polite signal, in the middle of its only event.
    let stuck = "def notify(call):\n    time.sleep(3600)\n";
    let dispatcher = stage.start(vec![stage.module("clerk", stuck)]);
    until(|| stage.heard("clerk").len() == 1);
    let began = Instant::now();
    dispatcher.replace(stage.module("clerk", "")).unwrap();
    assert!(began.elapsed() < Duration::from_secs(30));
    all_told(&dispatcher);
    let heard = stage.heard("clerk");
    assert_eq!(heard.iter().map(|it| it.seq).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(heard[0].id, heard[1].id);
}

#[test]
fn the_operators_list_and_expression_narrow_what_the_module_asked_for() {
    let stage = Stage::new();
    let listed = ExitSettings { events: Some(0x1), ..stage.module("listed", "") };
    let filter = Filter::parse(r#"certificate.SerialNumber == "4a02""#).unwrap();
    let filtered = ExitSettings { filter: Some(filter), ..stage.module("filtered", "") };
    stage.deny(1);
    stage.issue(1);
    stage.issue(2);
    let dispatcher = stage.start(vec![listed, filtered]);
    until(|| dispatcher.status().iter().all(|it| it.lag == 0));
    assert_eq!(stage.heard_seqs("listed"), [2, 3]);
    assert_eq!(stage.heard_seqs("filtered"), [3]);
}

#[test]
fn an_expression_that_fails_costs_nobody_an_event() {
    let stage = Stage::new();
    let filter = Filter::parse("request.RequestID / 0 == 1").unwrap();
    let module = ExitSettings { filter: Some(filter), ..stage.module("clerk", "") };
    stage.deny(2);
    let dispatcher = stage.start(vec![module]);
    let status = all_told(&dispatcher);
    assert_eq!(stage.heard_seqs("clerk"), [1, 2]);
    assert!(status.last_error.unwrap().contains("where"), "nobody is told why");
}

#[test]
fn every_rule_says_why_a_module_was_told_or_not() {
    let stage = Stage::new();
    stage.deny(1);
    stage.issue(7);
    let filter = Filter::parse(r#"certificate.SerialNumber == "4a08""#).unwrap();
    let module = ExitSettings { filter: Some(filter), ..stage.module("clerk", "MASK = 0x1") };
    let dispatcher = stage.start(vec![module]);
    status_when(&dispatcher, |it| it.lag == 0 && it.mask == Some(1));
    let verdict = |seq| {
        let logged = stage.store.event(EventSeq(seq)).unwrap().unwrap();
        let rules = dispatcher.explain(&named("clerk"), &logged).unwrap();
        let no: Vec<_> = rules.iter().filter(|it| !it.holds).map(|it| it.rule).collect();
        (no, rules.last().unwrap().because.clone())
    };
    let (no, last) = verdict(1);
    assert!(no.contains(&"the module asked for such events"), "{no:?}");
    assert_eq!(last, "it was passed over");
    let (no, _) = verdict(2);
    assert_eq!(no, ["the expression in `where` is true", "the event has been settled"]);
    stage.issue(8);
    status_when(&dispatcher, |it| it.cursor == EventSeq(3));
    let (no, last) = verdict(3);
    assert_eq!(no, [""; 0]);
    assert_eq!(last, "the module accepted or skipped it, unless an operator has dropped it");
}

#[test]
fn who_waits_for_the_first_attempt_waits_for_no_second_and_not_for_ever() {
    let stage = Stage::new();
    let own = r#"
def notify(call):
    if event(call)["event"] == 0x80:
        while not there_is("open"):
            time.sleep(0.01)
        accept(call)
    else:
        retry(call)
"#;
    let module = ExitSettings { before_reply: true, ..stage.module("clerk", own) };
    let dispatcher = stage.start(vec![module, stage.module("other", own)]);
    stage.deny(1);
    assert!(dispatcher.told(EventSeq(1), PATIENCE), "the first attempt failed, which is one");
    stage.serve(1);
    assert!(!dispatcher.told(EventSeq(2), Duration::from_millis(200)));
    stage.touch("open");
    assert!(dispatcher.told(EventSeq(2), PATIENCE));
}

#[test]
fn what_was_told_lately_can_be_followed() {
    let stage = Stage::new();
    stage.deny(1);
    stage.serve(1);
    let own = r#"
def notify(call):
    if event(call)["event"] == 0x80:
        answer(call, {"outcome": "skip"})
    else:
        retry(call)
"#;
    let mut module = stage.module("clerk", own);
    module.retry.attempts_max = 2;
    let dispatcher = stage.start(vec![module]);
    status_when(&dispatcher, |it| it.held_parked == 1 && it.lag == 0);
    let clerk = named("clerk");
    let all = dispatcher.deliveries(&clerk, 0, 100).unwrap();
    let of = |seq: u64| {
        let of: Vec<_> = all.iter().filter(|it| it.seq == EventSeq(seq)).collect();
        of.iter().map(|it| (it.attempt, it.outcome)).collect::<Vec<_>>()
    };
    assert_eq!(of(1), [(1, "failed"), (2, "failed")]);
    assert_eq!(of(2), [(1, "skipped")]);
    assert!(all.iter().any(|it| it.subject == "request:1" && it.reason == "busy"));
    assert!(all.iter().any(|it| it.kind == EventKind::STARTUP && it.subject == "server"));
    let numbers: Vec<u64> = all.iter().map(|it| it.number).collect();
    assert_eq!(numbers, (1..=u64::try_from(all.len()).unwrap()).collect::<Vec<_>>());
    assert_eq!(dispatcher.deliveries(&clerk, numbers[1], 1).unwrap(), [all[2].clone()]);

    // Other settings do not make the module forget.
    dispatcher.replace(stage.module("clerk", "")).unwrap();
    assert_eq!(dispatcher.deliveries(&clerk, 0, all.len()).unwrap(), all);
}

/// Asks the host for what its event leaves out, and about the CA before the hello and while it has
/// nothing to do.
const CURIOUS: &str = r#"
def ask(number, method, seq, name):
    params = {"seq": seq, "name": name}
    send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    answer = json.loads(sys.stdin.readline())
    assert answer["id"] == number, answer
    with open(os.path.join(FOLDER, "asked"), "a") as out:
        out.write(json.dumps([name, answer.get("result"), answer.get("error", {}).get("code")]) + "\n")

for line in sys.stdin:
    call = json.loads(line)
    if call["method"] == "Initialize":
        assert call["params"]["features"] == ["call-backs"], call
        answer(call, {"protocol": 1, "features": ["call-backs"], "event_mask": MASK, "window": 1})
    elif call["method"] == "GetDescription":
        ask(100, "GetCertificateProperty", 0, "SanitizedCAName")
        answer(call, "a curious module")
    elif call["method"] == "Notify":
        assert "RawRequest" not in event(call)["request"], call
        ask(101, "GetRequestProperty", seq(call), "RawRequest")
        ask(102, "GetRequestProperty", seq(call), "RawArchivedKey")
        ask(103, "GetRequestProperty", seq(call) + 1, "RawRequest")
        ask(104, "SetCertificateProperty", seq(call), "Challenge")
        accept(call)
        if seq(call) == 2:
            ask(105, "GetCertificateProperty", 0, "CertCount")
    else:
        answer(call, None)
        break
sys.exit(0)
"#;

#[test]
fn a_module_fetches_what_its_events_leave_out_and_can_change_nothing() {
    let stage = Stage::new();
    stage.deny(2);
    let mut module = stage.module("curious", CURIOUS);
    module.events = Some(0x4);
    let dispatcher = stage.start(vec![module]);
    let told = all_told(&dispatcher);
    assert_eq!((told.accepted, told.retried), (2, 0), "{told:?}");
    let asked = || fs::read_to_string(stage.path("asked")).unwrap_or_default();
    until(|| asked().lines().count() == 10);
    let lines: Vec<serde_json::Value> =
        asked().lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let expected = serde_json::json!([
        ["SanitizedCAName", {"string": "Test CA"}, null],
        // 30 02 05 00, as the stage's requests are.
        ["RawRequest", {"binary": "MAIFAA=="}, null],
        ["RawArchivedKey", null, -32001],
        ["RawRequest", null, -32002],
        ["Challenge", null, -32601],
    ]);
    assert_eq!(lines[..5], expected.as_array().unwrap()[..]);
    assert_eq!(lines[5..9], expected.as_array().unwrap()[1..]);
    assert_eq!(lines[9], serde_json::json!(["CertCount", {"long": 1}, null]));
}

#[test]
fn a_worker_that_was_left_behind_settles_nothing_and_holds_nobody_up() {
    let stage = Stage::new();
    stage.deny(1);
    let hangs = r#"
def initialize(call):
    while not there_is("hello"):
        time.sleep(0.02)
    answer(call, {"protocol": 1, "features": [], "event_mask": MASK, "window": WINDOW})
open(os.path.join(FOLDER, "started"), "w").close()
"#;
    let dispatcher = stage.start(vec![stage.module("clerk", hangs)]);
    until(|| stage.path("started").exists());
    // The worker waits for its hello for as long as the stage is patient, which is longer.
    dispatcher.replace(stage.module("clerk", "")).unwrap();
    all_told(&dispatcher);
    stage.touch("hello");
    stage.deny(1);
    status_when(&dispatcher, |it| it.cursor == EventSeq(2));
    assert_eq!(stage.heard_seqs("clerk"), [1, 2]);
}
