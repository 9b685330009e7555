//! Modules that ask, politely and not.

use std::{cell::Cell, time::Duration};

use exeunt_host::{CallBacks, FEATURES, NoCallBacks};
use exeunt_module::{
    CallError,
    call_back::{CALL_BACKS, Query, Refusal},
};
use serde_json::{Value, json};

use crate::{Log, Stage, check_alive, check_fault, events};

/// A module that uses call-backs, with a function to ask: gives the result, or the error's code.
/// Lines that are no answer to it are kept for later.
const ASKING: &str = r#"
kept = []
asked = 0

def initialize(call):
    greet(call, features=["call-backs", "unheard-of"])

def request(method, id, **params):
    send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})

def ask(method, **params):
    global asked
    asked += 1
    request(method, asked, **params)
    while True:
        line = json.loads(sys.stdin.readline())
        if "method" in line:
            kept.append(line)
        else:
            assert line["id"] == asked, line
            return line["result"] if "result" in line else line["error"]["code"]

def park(call, what):
    answer(call, {"outcome": "park", "reason": json.dumps(what)})
"#;

/// Works through what was kept, after each call.
const MAIN: &str = r#"
def main():
    while True:
        line = kept.pop(0) if kept else json.loads(sys.stdin.readline() or "null")
        if line is None: break
        {"Initialize": initialize, "GetDescription": describe, "Notify": notify, "Shutdown": shutdown}[line["method"]](line)
main()
sys.exit(0)
"#;

fn stage(own: &str) -> Stage {
    let mut stage = Stage::new(&format!("{ASKING}\n{own}\n{MAIN}"));
    stage.hello.features = FEATURES.map(str::to_owned).to_vec();
    stage
}

/// Answers with what was asked; refuses the name "empty"; counts.
#[derive(Default)]
struct Echo {
    answered: Cell<u32>,
    bytes: usize,
}

impl CallBacks for Echo {
    fn answer(&self, query: &Query) -> Result<Value, CallError> {
        self.answered.set(self.answered.get() + 1);
        let asked = query.asked();
        if asked.name == "empty" {
            return Err(Refusal::Empty.into_error("no value"));
        }
        let text = format!("{} {} {:?}", asked.seq, asked.name, asked.value_type);
        Ok(json!({ "string": text + &"x".repeat(self.bytes) }))
    }
}

#[track_caller]
fn reasons(report: &exeunt_host::BatchReport) -> Vec<Value> {
    assert_eq!(report.fault, None);
    let reason = |it: &exeunt_host::Delivery| match it {
        exeunt_host::Delivery::Answered(exeunt_module::Outcome::Park { reason }) => {
            serde_json::from_str(reason).unwrap()
        }
        other => panic!("{other:?}"),
    };
    report.outcomes.iter().map(reason).collect()
}

#[test]
fn a_module_asks_while_it_has_an_event_in_hand() {
    let stage = stage(
        "def notify(call):\n  \
           park(call, [ask('GetRequestProperty', seq=seq(call), name='RawRequest', type='binary'),\n    \
             ask('GetRequestAttribute', seq=seq(call), name='a'),\n    \
             ask('GetCertificateExtension', seq=seq(call), name='2.5.29.15'),\n    \
             ask('GetCertificateProperty', seq=0, name='SanitizedCAName'),\n    \
             ask('GetCertificateProperty', seq=seq(call), name='empty')])",
    );
    let mut process = stage.start();
    assert!(process.has_feature(CALL_BACKS));
    assert!(!process.has_feature("unheard-of"));
    let report = process.deliver_with(&events([7, 8, 9]), &Echo::default());
    for (seq, answers) in (7..).zip(reasons(&report)) {
        let text = |it: &str| json!({ "string": it });
        let expected = json!([
            text(&format!("{seq} RawRequest Some(\"binary\")")),
            text(&format!("{seq} a None")),
            text(&format!("{seq} 2.5.29.15 None")),
            text("0 SanitizedCAName None"),
            -32001,
        ]);
        assert_eq!(answers, expected);
    }
    process.stop();
}

#[test]
fn what_is_not_in_hand_cannot_be_asked_about() {
    // Of the events 1 and 2, the first is answered when the second is at work.
    let stage = stage(
        "def notify(call):\n  \
           ours = seq(call)\n  \
           park(call, [ask('GetRequestProperty', seq=it, name='n') for it in (1, 3, 0)]) if ours == 2 else park(call, [])",
    );
    let mut process = stage.start();
    let echo = Echo::default();
    let report = process.deliver_with(&events([1, 2]), &echo);
    assert_eq!(reasons(&report)[1], json!([-32002, -32002, -32002]));
    assert_eq!(echo.answered.get(), 0);
}

#[test]
fn what_changes_something_does_not_exist() {
    let stage = stage(
        "def notify(call):\n  \
           park(call, [ask('SetCertificateProperty', seq=seq(call), name='n'), ask('Notify'),\n    \
             ask('GetRequestProperty', seq='one', name='n'), ask('GetRequestProperty')])",
    );
    let mut process = stage.start();
    let report = process.deliver_with(&events([1]), &Echo::default());
    assert_eq!(reasons(&report)[0], json!([-32601, -32601, -32602, -32602]));
    // Nobody there who knows anything.
    let stage = self::stage(
        "def notify(call): park(call, ask('GetRequestProperty', seq=seq(call), name='n'))",
    );
    let mut process = stage.start();
    assert_eq!(reasons(&process.deliver(&events([1])))[0], json!(-32601));
    assert_eq!(reasons(&process.deliver_with(&events([1]), &NoCallBacks))[0], json!(-32601));
}

#[test]
fn the_ca_can_be_asked_about_before_the_first_event_and_between_two() {
    let stage = stage(
        "def initialize(call):\n  \
           global name\n  \
           name = ask('GetCertificateProperty', seq=0, name='CAName')['string']\n  \
           greet(call, features=['call-backs'])\n\
         def describe(call):\n  \
           answer(call, name + ' ' + str(ask('GetRequestProperty', seq=0, name='CAName')))\n\
         def notify(call):\n  \
           accept(call)\n  \
           open('heard', 'w').write(str(ask('GetCertificateProperty', seq=0, name='later')))\n  \
           os.rename('heard', 'there')",
    );
    let echo = Echo::default();
    let mut process =
        exeunt_host::ModuleProcess::start_with(&stage.command, &stage.limits, &stage.hello, &echo)
            .unwrap();
    assert_eq!(process.description(), "0 CAName None -32002");
    check_alive(&process.deliver_with(&events([1]), &echo), "a");
    crate::wait_for("the answer", || {
        assert_eq!(process.attend(&echo), None);
        stage.path("there").exists()
    });
    process.stop();
}

#[test]
fn requests_of_a_module_that_did_not_take_the_feature_are_passed_over_and_counted() {
    let mut stage = stage(
        "def initialize(call): greet(call)\n\
         def notify(call):\n  \
           request('GetRequestProperty', 1, seq=seq(call), name='n')\n  \
           accept(call)",
    );
    for features in [FEATURES.map(str::to_owned).to_vec(), Vec::new()] {
        stage.hello.features = features;
        let echo = Echo::default();
        let ((), log) = Log::capture(|| {
            let mut process = stage.start();
            assert!(!process.has_feature(CALL_BACKS));
            check_alive(&process.deliver_with(&events([1, 2]), &echo), "aa");
            process.stop();
        });
        assert_eq!(echo.answered.get(), 0);
        assert!(log.contains("lines=2"), "{log}");
    }
}

#[test]
fn a_module_that_asks_and_does_not_read_is_stopped_at_the_deadline() {
    // 100 answers of a megabyte each: neither side may hold them all, and nobody waits for ever.
    let stage = stage(
        "def notify(call):\n  \
           for id in range(100): request('GetRequestProperty', id, seq=seq(call), name='n')\n  \
           time.sleep(3600)",
    )
    .event_limit_ms(1500);
    let mut process = stage.start();
    let echo = Echo { bytes: 1 << 20, ..Echo::default() };
    let report = process.deliver_with(&events([1]), &echo);
    check_fault(&process, &report, "-", "module-deadline", "module did not answer within 1500 ms");
    // What fits into twice the longest line, and the one that went beyond.
    assert!(echo.answered.get() <= 10, "{}", echo.answered.get());
}

/// Asks about the CA for ever once it has answered for its event, and reads nothing more.
const INSATIABLE: &str = "def notify(call):\n  \
           accept(call)\n  \
           while True: request('GetCertificateProperty', 1, seq=0, name='RawCACertificate')";

#[test]
fn an_idle_module_that_asks_and_does_not_read_is_held_in_bounds_and_ended() {
    let stage = stage(INSATIABLE).event_limit_ms(5000);
    let mut process = stage.start();
    let echo = Echo { bytes: 1 << 20, ..Echo::default() };
    check_alive(&process.deliver_with(&events([1]), &echo), "a");
    let mut fault = None;
    crate::wait_for("the fault", || {
        fault = process.attend(&echo);
        // What fits into twice the longest line, and the one that went beyond: however often the
        // module is looked at. The batch may have had one or two of its own.
        assert!(echo.answered.get() <= 10, "{}", echo.answered.get());
        fault.is_some()
    });
    assert!(8 <= echo.answered.get(), "the backlog was never full: {}", echo.answered.get());
    let fault = fault.unwrap();
    assert_eq!(fault.code(), "module-unread");
    assert_eq!(fault.to_string(), "module did not read its answers for 5000 ms");
    assert!(crate::is_reaped(process.pid()));
    assert_eq!(process.attend(&echo), Some(fault));
}

#[test]
fn an_idle_module_that_reads_late_gets_every_answer() {
    let stage = stage(
        "def notify(call):\n  \
           accept(call)\n  \
           import threading\n  \
           def write():\n    \
             for id in range(40): request('GetCertificateProperty', id, seq=0, name='n')\n  \
           writer = threading.Thread(target=write)\n  \
           writer.start()\n  \
           time.sleep(0.5)\n  \
           total = sum(len(sys.stdin.readline()) for _ in range(40))\n  \
           writer.join()\n  \
           open('heard', 'w').write(str(total))\n  \
           os.rename('heard', 'there')",
    );
    let mut process = stage.start();
    let echo = Echo { bytes: 1 << 20, ..Echo::default() };
    check_alive(&process.deliver_with(&events([1]), &echo), "a");
    crate::wait_for("the answers", || {
        assert_eq!(process.attend(&echo), None);
        stage.path("there").exists()
    });
    let total: u64 = std::fs::read_to_string(stage.path("there")).unwrap().parse().unwrap();
    assert!(40 << 20 < total && total < 41 << 20, "{total}");
    process.stop();
}

#[test]
fn one_look_at_an_idle_module_has_an_end() {
    let count = 2 * exeunt_host::CALL_BACKS_PER_ATTEND_MAX + 10;
    let stage = stage(&format!(
        "def notify(call):\n  \
           accept(call)\n  \
           question = json.dumps({{'jsonrpc': '2.0', 'id': 1, 'method': 'GetCertificateProperty', 'params': {{'seq': 0, 'name': 'n'}}}})\n  \
           sys.stdout.write((question + '\\n') * {count})\n  \
           sys.stdout.flush()\n  \
           for _ in range({count}): sys.stdin.readline()\n  \
           open('there', 'w')",
    ));
    let mut process = stage.start();
    let echo = Echo::default();
    check_alive(&process.deliver_with(&events([1]), &echo), "a");
    let mut most = 0;
    crate::wait_for("the answers", || {
        let before = echo.answered.get();
        assert_eq!(process.attend(&echo), None);
        most = most.max(echo.answered.get() - before);
        stage.path("there").exists()
    });
    assert_eq!(echo.answered.get(), count);
    assert!(most <= exeunt_host::CALL_BACKS_PER_ATTEND_MAX, "{most}");
    process.stop();
}

#[test]
fn a_module_that_asks_first_and_reads_later_gets_every_answer() {
    let stage = stage(
        "def notify(call):\n  \
           import threading\n  \
           def write():\n    \
             for id in range(40): request('GetRequestProperty', id, seq=seq(call), name='n')\n  \
           writer = threading.Thread(target=write)\n  \
           writer.start()\n  \
           time.sleep(0.2)\n  \
           total = sum(len(sys.stdin.readline()) for _ in range(40))\n  \
           writer.join()\n  \
           park(call, total)",
    );
    let mut process = stage.start();
    let echo = Echo { bytes: 1 << 20, ..Echo::default() };
    let report = process.deliver_with(&events([1]), &echo);
    let total = reasons(&report)[0].as_u64().unwrap();
    assert!(40 << 20 < total && total < 41 << 20, "{total}");
    assert_eq!(echo.answered.get(), 40);
}

#[test]
fn questions_are_no_progress_and_have_a_limit() {
    let stage = stage(
        "def notify(call):\n  \
           while True: ask('GetRequestProperty', seq=seq(call), name='n')",
    )
    .event_limit_ms(1500);
    let mut process = stage.start();
    let echo = Echo::default();
    let report = process.deliver_with(&events([1]), &echo);
    check_fault(&process, &report, "-", "module-deadline", "module did not answer within 1500 ms");
    let stage = self::stage(
        "def notify(call):\n  \
           codes = set()\n  \
           for _ in range(101):\n    \
             for id in range(100): request('GetRequestProperty', id, seq=seq(call), name='n')\n    \
             codes |= {json.loads(sys.stdin.readline()).get('error', {}).get('code', 0) for _ in range(100)}\n  \
           park(call, sorted(codes))",
    );
    let mut process = stage.start();
    let echo = Echo::default();
    let report = process.deliver_with(&events([1]), &echo);
    assert_eq!(reasons(&report)[0], json!([-32000, 0]));
    assert_eq!(echo.answered.get(), exeunt_host::CALL_BACKS_PER_BATCH_MAX);
}

#[test]
fn an_answer_that_is_longer_than_a_line_is_an_error() {
    let mut stage =
        stage("def notify(call): park(call, ask('GetRequestProperty', seq=seq(call), name='n'))");
    stage.limits.line_bytes_max = 10_000;
    stage.limits.event = Duration::from_secs(30);
    let mut process = stage.start();
    let echo = Echo { bytes: 10_000, ..Echo::default() };
    assert_eq!(reasons(&process.deliver_with(&events([1]), &echo))[0], json!(-32603));
}
