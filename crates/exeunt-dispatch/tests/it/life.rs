//! Modules that come, go and change while the server works, and what the operator lets them hear.

use exeunt_dispatch::{Answer, ExitState, Filter, Order, Rule};
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
        let rules = dispatcher.explain(&named("clerk"), &logged, None).unwrap();
        let no = |it: &&Rule| it.answer == Answer::No;
        let no: Vec<_> = rules.iter().filter(no).map(|it| it.rule).collect();
        let last = rules.last().unwrap().clone();
        assert_eq!((last.rule, last.answer), ("the event has been settled", Answer::Yes));
        (no, last.because)
    };
    let (no, last) = verdict(1);
    assert_eq!(no, ["the module asked for such events", "the expression in `where` is true"]);
    assert_eq!(last, "it was passed over");
    let (no, _) = verdict(2);
    assert_eq!(no, ["the expression in `where` is true"]);
    stage.issue(8);
    status_when(&dispatcher, |it| it.cursor == EventSeq(3));
    let (no, last) = verdict(3);
    assert_eq!(no, [""; 0]);
    assert_eq!(last, "the module accepted or skipped it");
}

#[test]
fn an_explanation_says_what_is_still_to_come_and_what_nobody_can_know() {
    let stage = Stage::new();
    stage.deny(2);
    let mut module = stage.module("clerk", PARKS_AND_FAILS);
    module.retry.longest = Duration::from_hours(1);
    let explained = |dispatcher: &Dispatcher, seq, dropped| {
        let logged = stage.store.event(EventSeq(seq)).unwrap().unwrap();
        let rules = dispatcher.explain(&named("clerk"), &logged, dropped).unwrap();
        let line = |it: &Rule| (it.answer, format!("{}: {}", it.rule, it.because));
        rules.iter().map(line).collect::<Vec<_>>()
    };
    let line = |answer, text: &str| (answer, text.to_owned());

    // 1. Before its first start nobody knows what it asks for.
    let disabled = ExitSettings { enabled: false, ..module.clone() };
    let dispatcher = stage.start(vec![disabled]);
    let expected = [
        line(Answer::No, "the module is enabled: it is disabled; its events wait in the log"),
        line(
            Answer::Yes,
            "the event is not older than the module's start: the module began after event 0; \
             this is event 1",
        ),
        line(
            Answer::Unknown,
            "the module asked for such events: it has not said yet what it asks for",
        ),
        line(Answer::NotYet, "it has been told: the module is at event 0"),
    ];
    assert_eq!(explained(&dispatcher, 1, None), expected);

    // 2. On the shelf.
    dispatcher.replace(module).unwrap();
    status_when(&dispatcher, |it| it.held_parked == 1 && it.held_retry == 1 && it.lag == 0);
    let parked = explained(&dispatcher, 1, None);
    assert_eq!(parked[0], line(Answer::Yes, "the module is enabled: "));
    let settled = "the event has been settled";
    let expected = line(Answer::No, &format!("{settled}: it is parked after 1 attempt: no"));
    assert_eq!(parked.last(), Some(&expected));
    let because = "1 attempt failed, it is told again: busy";
    let expected = line(Answer::NotYet, &format!("{settled}: {because}"));
    assert_eq!(explained(&dispatcher, 2, None).last(), Some(&expected));

    // 3. Dropped.
    dispatcher.order(&named("clerk"), Order::Drop(vec![EventSeq(1)])).unwrap();
    let expected = line(Answer::Yes, &format!("{settled}: it was dropped by local:0: obsolete"));
    assert_eq!(explained(&dispatcher, 1, Some("local:0: obsolete")).last(), Some(&expected));
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
    assert_eq!(of(1), [(1, "failed"), (2, "parked")], "the last failure parks it");
    let again: Vec<_> = all.iter().map(|it| (it.outcome, it.again)).collect();
    for (outcome, again) in again {
        // Half of the first pause: the lowest draw.
        let expected = (outcome == "failed").then_some(Duration::from_millis(50));
        assert_eq!(again, expected, "{outcome}");
    }
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

/// Parks event 1, has event 2 tried again and accepts the others.
const PARKS_AND_FAILS: &str = r#"
def notify(call):
    if there_is("open"):
        accept(call)
    elif seq(call) == 1:
        answer(call, {"outcome": "park", "reason": "no"})
    elif seq(call) == 2:
        retry(call, 3600000)
    else:
        accept(call)
"#;

#[test]
fn a_module_without_a_worker_shows_what_is_on_its_shelf() {
    let stage = Stage::new();
    stage.deny(2);
    let module = ExitSettings {
        retry: RetrySchedule {
            longest: Duration::from_hours(1),
            ..stage.module("clerk", "").retry
        },
        ..stage.module("clerk", PARKS_AND_FAILS)
    };
    let disabled = ExitSettings { enabled: false, ..module.clone() };
    let shelf = |it: &ExitStatus| (it.held_parked, it.held_retry, it.held_behind);
    let dispatcher = stage.start(vec![module.clone()]);
    status_when(&dispatcher, |it| shelf(it) == (1, 1, 0) && it.lag == 0);

    // Disabled while the server runs.
    dispatcher.replace(disabled.clone()).unwrap();
    let status = dispatcher.status().remove(0);
    assert_eq!(status.state.word(), "disabled");
    assert_eq!(shelf(&status), (1, 1, 0));
    assert!(status.oldest_unsettled_age.is_some(), "event 2 is still to be told");

    // After the server was started again.
    drop(dispatcher);
    let dispatcher = stage.start(vec![disabled]);
    assert_eq!(shelf(&dispatcher.status()[0]), (1, 1, 0));

    // And from the first moment of an enabled one, whatever its worker is doing.
    dispatcher.replace(module).unwrap();
    assert_eq!(shelf(&dispatcher.status()[0]), (1, 1, 0));
}

#[test]
fn what_was_counted_before_a_change_of_the_settings_counts_on() {
    let stage = Stage::new();
    stage.deny(2);
    let mut module = stage.module("clerk", PARKS_AND_FAILS);
    // Event 2 is not told again before the numbers are compared.
    module.retry.longest = Duration::from_hours(1);
    let dispatcher = stage.start(vec![module.clone()]);
    stage.deny(1);
    let before = status_when(&dispatcher, |it| it.accepted != 0 && it.lag == 0);
    assert_eq!(before.starts, 1);
    dispatcher.replace(ExitSettings { enabled: false, ..module.clone() }).unwrap();
    let between = dispatcher.status().remove(0);
    assert_eq!((between.accepted, between.starts), (before.accepted, 1));
    assert_eq!((between.attempts, between.last_error), (before.attempts, before.last_error));
    dispatcher.replace(module).unwrap();
    stage.deny(1);
    let after = status_when(&dispatcher, |it| before.accepted < it.accepted && it.lag == 0);
    assert_eq!(after.starts, 2);
    assert!(before.attempts < after.attempts);
}

#[test]
fn a_module_that_is_to_begin_beyond_the_log_is_told_where_the_log_ends() {
    let stage = Stage::new();
    stage.deny(5);
    let dispatcher = stage.start(Vec::new());
    let begins = |after| ExitSettings {
        start_at: StartAt::After(EventSeq(after)),
        ..stage.module("clerk", "")
    };
    let refused = dispatcher.add(begins(998)).unwrap_err();
    assert_eq!(refused.code(), "order-invalid");
    assert_eq!(refused.to_string(), "there is no event 999 yet; the newest is 5");
    assert!(dispatcher.status().is_empty());
    // The next event that will be there is not beyond it.
    dispatcher.add(begins(5)).unwrap();
    stage.deny(1);
    status_when(&dispatcher, |it| it.cursor == EventSeq(6));
    assert_eq!(stage.heard_seqs("clerk"), [6]);
}
