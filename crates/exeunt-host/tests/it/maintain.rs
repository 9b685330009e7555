//! Looking after a target: what a module answers, and everything that it can do wrong at it.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use exeunt_host::{
    CallBacks, FINDINGS_MAX, MaintainCall, MaintainError, ModuleProcess, NoCallBacks,
    SCRIPT_BYTES_MAX, TEXT_CHARS_MAX,
};
use exeunt_module::{
    CallError, Event,
    call_back::Query,
    maintain::{CheckResult, Compared, Difference, NO_TARGET, ROLE},
};
use serde_json::{Value, json};

use crate::{PATIENCE, Stage};

/// Answers the calls behind the greeting with `maintain(call)`, and keeps its words of the greeting.
const MAINTAINER: &str = r#"
def initialize(call):
    greet(call, event_mask=0, features=call["params"]["features"])
    global role
    role = call["params"]["role"]
    for line in sys.stdin:
        call = json.loads(line)
        if call["method"] == "GetDescription":
            describe(call)
        elif call["method"] == "Shutdown":
            shutdown(call)
        else:
            maintain(call)
"#;

fn stage(maintain: &str) -> Stage {
    Stage::new(&format!("{MAINTAINER}\n{maintain}"))
}

fn start(stage: &Stage) -> Result<ModuleProcess, MaintainError> {
    ModuleProcess::start_to_maintain(&stage.command, &stage.limits, &stage.hello, &NoCallBacks)
}

const NEVER: MaintainCall<'static> =
    MaintainCall { limit: PATIENCE, call_backs: &NoCallBacks, is_cancelled: &|| false };

fn event(seq: u64) -> Event {
    Event { seq, ..Event::default() }
}

#[test]
fn a_target_is_tried_prepared_and_compared() {
    let stage = stage(
        r#"
def maintain(call):
    params = call["params"]
    if call["method"] == "Test":
        would = ["%s %d" % (role, it["seq"]) for it in params["samples"]]
        answer(call, {"checks": [{"what": "look", "result": "warning", "text": "a\nb"}], "would_write": would})
    elif call["method"] == "Install":
        answer(call, {"steps": [{"what": "make", "result": "passed"}], "script": "a\r\nb\x1b[31m\n"})
    elif call["method"] == "Reconcile":
        place = " ".join(str(it["seq"]) for it in params["events"])
        finding = {"difference": "stale", "place": place, "mended": params["mend"]}
        answer(call, {"good": 7, "findings": [finding]})
    else:
        answer(call, {"good": 0, "more": not params["mend"]})
"#,
    );
    let mut process = start(&stage).unwrap();
    let report = process.test_target(vec![event(3), event(4)], &NEVER).unwrap();
    assert_eq!(report.would_write, [format!("{ROLE} 3"), format!("{ROLE} 4")]);
    assert_eq!(report.checks[0].result, CheckResult::Warning);
    assert_eq!(report.checks[0].text, "a\u{fffd}b");
    let report = process.install_target(true, &NEVER).unwrap();
    assert_eq!(report.script.unwrap(), "a\nb\u{fffd}[31m\n");
    let compared = process.reconcile_target(vec![event(5), event(6)], true, &NEVER).unwrap();
    assert_eq!((compared.good, compared.more), (7, false));
    let finding = &compared.findings[0];
    assert_eq!((finding.difference, &*finding.place), (Difference::Stale, "5 6"));
    assert!(finding.mended);
    assert!(process.end_reconcile(false, &NEVER).unwrap().more);
    assert_eq!(process.end_reconcile(true, &NEVER).unwrap(), Compared::default());
    process.stop();
}

/// Answers everything with the number of the event, and counts.
#[derive(Default)]
struct Numbers(AtomicU32);

impl CallBacks for Numbers {
    fn answer(&self, query: &Query) -> Result<Value, CallError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(json!({ "string": query.asked().seq.to_string() }))
    }
}

#[test]
fn a_module_asks_about_the_events_of_its_call_and_about_no_other() {
    let mut stage = stage(
        r#"
def ask(seq):
    send({"jsonrpc": "2.0", "id": 1, "method": "GetCertificateProperty", "params": {"seq": seq, "name": "x"}})
    told = json.loads(sys.stdin.readline())
    return told["result"]["string"] if "result" in told else str(told["error"]["code"])

def maintain(call):
    answer(call, {"checks": [], "would_write": [ask(0), ask(8), ask(9)]})
"#,
    );
    stage.hello.features = vec!["call-backs".to_owned()];
    let mut process = start(&stage).unwrap();
    let numbers = Numbers::default();
    let how = MaintainCall { call_backs: &numbers, ..NEVER };
    let report = process.test_target(vec![event(8)], &how).unwrap();
    assert_eq!(report.would_write, ["0", "8", "-32002"]);
    assert_eq!(numbers.0.load(Ordering::SeqCst), 2);
    process.stop();
}

#[test]
fn whatever_a_module_does_wrong_is_an_error_with_a_code() {
    let findings = |count: usize| {
        format!(
            "answer(call, {{'good': 0, 'findings': [{{'difference': 'stale', 'place': 'p'}}] * {count}}})"
        )
    };
    let (most, too_many) = (findings(FINDINGS_MAX), findings(FINDINGS_MAX + 1));
    for (does, code) in [
        ("refuse(call, -32601, 'no such method')", "maintain-unknown"),
        ("refuse(call, -32000, 'the server is down')", "maintain-failed"),
        ("refuse(call, -32603, 'oops')", "maintain-failed"),
        ("answer(call, None)", "maintain-nonsense"),
        ("answer(call, {'good': -1})", "maintain-nonsense"),
        ("answer(call, {'good': 1, 'findings': [{'place': 'x'}]})", "maintain-nonsense"),
        ("send({'id': call['id']})", "maintain-nonsense"),
        (too_many.as_str(), "maintain-nonsense"),
        (most.as_str(), ""),
        ("os._exit(3)", "module-exited"),
        ("print('hello', flush=True)", "module-garbage"),
        ("os.close(1); time.sleep(60)", "module-closed"),
    ] {
        let stage = stage(&format!("def maintain(call):\n    {does}"));
        let mut process = start(&stage).unwrap();
        let compared = process.reconcile_target(vec![event(1)], false, &NEVER);
        let told = compared.as_ref().map_or_else(MaintainError::code, |_| "");
        assert_eq!(told, code, "{does}: {compared:?}");
        // After an answer, whatever it was, the process goes on.
        let is_over = code.starts_with("module-");
        let again = process.end_reconcile(false, &NEVER);
        assert_eq!(matches!(again, Err(MaintainError::Ended(_))), is_over, "{does}: {again:?}");
        process.stop();
    }
}

#[test]
fn a_script_and_texts_without_end_are_bounded() {
    let stage = stage(
        r#"
def maintain(call):
    if call["params"]["apply"]:
        answer(call, {"steps": [], "script": "x" * (1 << 20) + "y"})
    else:
        answer(call, {"steps": [{"what": "w" * 5000, "result": "failed", "text": "t" * 5000}]})
"#,
    );
    let mut process = start(&stage).unwrap();
    assert_eq!(SCRIPT_BYTES_MAX, 1 << 20);
    let err = process.install_target(true, &NEVER).unwrap_err();
    assert_eq!(err.code(), "maintain-nonsense", "{err}");
    let report = process.install_target(false, &NEVER).unwrap();
    assert_eq!(report.steps[0].what.chars().count(), TEXT_CHARS_MAX + 1);
    assert_eq!(report.steps[0].text.chars().count(), TEXT_CHARS_MAX + 1);
    process.stop();
}

#[test]
fn a_module_that_says_nothing_is_late_or_given_up() {
    // One that asks all the time is as late as one that is silent.
    let asks = "while True:\n        send({'jsonrpc': '2.0', 'id': 1, 'method': 'Nothing'})\n        time.sleep(0.01)";
    for does in ["time.sleep(600)", asks] {
        let stage = stage(&format!("def maintain(call):\n    {does}"));
        let mut process = start(&stage).unwrap();
        let limit = Duration::from_millis(300);
        let err = process.test_target(Vec::new(), &MaintainCall { limit, ..NEVER }).unwrap_err();
        assert_eq!(err.code(), "module-deadline", "{does}: {err}");
        assert_eq!(err.to_string(), "module did not answer within 300 ms");

        let mut process = start(&stage).unwrap();
        let began = Instant::now();
        let is_cancelled = || Duration::from_millis(100) < began.elapsed();
        let how = MaintainCall { is_cancelled: &is_cancelled, limit: PATIENCE * 10, ..NEVER };
        let err = process.test_target(Vec::new(), &how).unwrap_err();
        assert_eq!(err.code(), "maintain-cancelled", "{does}: {err}");
        assert!(began.elapsed() < PATIENCE);
    }
}

#[test]
fn a_module_without_a_target_says_so_when_it_is_greeted() {
    let refuses = format!("def initialize(call):\n    refuse(call, -32000, '{NO_TARGET}')");
    assert_eq!(start(&Stage::new(&refuses)).unwrap_err().code(), "maintain-unknown");
    let other = "def initialize(call):\n    refuse(call, -32000, 'no such host')";
    let err = start(&Stage::new(other)).unwrap_err();
    assert_eq!(
        (err.code(), &*err.to_string()),
        ("module-refused", "module refused to start: no such host")
    );
}
