//! Batches and their answers, from modules whose processes stay alive.

use std::time::{Duration, Instant};

use exeunt_host::Delivery;
use exeunt_module::Outcome;

use crate::{Log, Stage, check_alive, events};

#[test]
fn a_module_accepts() {
    let stage = Stage::new("");
    let mut process = stage.start();
    check_alive(&process.deliver(&[]), "");
    check_alive(&process.deliver(&events([1])), "a");
    check_alive(&process.deliver(&events(2..=17)), "aaaaaaaaaaaaaaaa");
    assert_eq!(process.has_exited(), None);
    process.stop();
}

#[test]
fn answers_belong_to_their_events_in_whatever_order_they_come() {
    // Nine are collected and answered from the last to the first, each with its own place.
    let stage = Stage::new(
        "held = []\n\
         def notify(call):\n  \
           held.append(call)\n  \
           while len(held) % 9 == 0 and held:\n    \
             last = held.pop()\n    \
             answer(last, {'outcome': 'park', 'reason': str(seq(last))})\n    \
             if not held: break\n    \
             while held:\n      \
               last = held.pop()\n      \
               answer(last, {'outcome': 'park', 'reason': str(seq(last))})",
    );
    let mut process = stage.start();
    for first in [1, 10] {
        let report = process.deliver(&events(first..first + 9));
        check_alive(&report, "ppppppppp");
        for (seq, outcome) in (first..).zip(&report.outcomes) {
            let expected = Outcome::Park { reason: seq.to_string() };
            assert_eq!(*outcome, Delivery::Answered(expected));
        }
    }
}

#[test]
fn every_outcome_arrives_with_its_fields() {
    let stage = Stage::new(
        "ANSWERS = [None, {'outcome': 'accept'}, {'outcome': 'skip'},\n  \
           {'outcome': 'retry', 'after_ms': 1500, 'reason': 'mail server busy'}, {'outcome': 'retry'},\n  \
           {'outcome': 'park', 'reason': 'two\\nlines'}, {'outcome': 'park', 'reason': 'x' * 100000}]\n\
         def notify(call): answer(call, ANSWERS[seq(call)])",
    );
    let report = stage.start().deliver(&events(1..=6));
    check_alive(&report, "asrrpp");
    let retry = |after_ms, reason: &str| {
        Delivery::Answered(Outcome::Retry { after_ms, reason: reason.to_owned() })
    };
    assert_eq!(report.outcomes[2], retry(Some(1500), "mail server busy"));
    assert_eq!(report.outcomes[3], retry(None, ""));
    let park = |reason: String| Delivery::Answered(Outcome::Park { reason });
    assert_eq!(report.outcomes[4], park("two\u{fffd}lines".to_owned()));
    assert_eq!(report.outcomes[5], park("x".repeat(1000) + "…"));
}

#[test]
fn an_answer_that_is_wrong_fails_its_event_only() {
    let stage = Stage::new(
        "def notify(call):\n  \
           match seq(call):\n    \
             case 1: refuse(call, -32603, 'disk full')\n    \
             case 2: answer(call, {'outcome': 'explode'})\n    \
             case 3: answer(call, 'accept')\n    \
             case 4: answer(call, None)\n    \
             case 5: send({'jsonrpc': '2.0', 'id': call['id']})\n    \
             case 6: send({'jsonrpc': '2.0', 'id': call['id'], 'error': 'just a text'})\n    \
             case _: accept(call)",
    );
    let mut process = stage.start();
    let report = process.deliver(&events(1..=7));
    check_alive(&report, "FFFFFFa");
    let starts = [
        "disk full (code -32603)",
        "answer not understood: {\"outcome\":\"explode\"}",
        "answer not understood: result of Notify",
        "answer not understood: result of Notify",
        "answer not understood: {\"jsonrpc\"",
        "answer not understood: {\"jsonrpc\"",
    ];
    for (outcome, start) in report.outcomes.iter().zip(starts) {
        let Delivery::Failed(text) = outcome else { panic!("{outcome:?}") };
        assert!(text.starts_with(start), "{text}");
    }
    check_alive(&process.deliver(&events([8])), "a");
}

#[test]
fn what_nobody_waits_for_is_passed_over_and_counted() {
    let stage = Stage::new(
        "def notify(call):\n  \
           send({'jsonrpc': '2.0', 'method': 'log', 'params': ['a notification']})\n  \
           send({'jsonrpc': '2.0', 'id': 5, 'method': 'ask', 'params': []})\n  \
           print()\n  \
           accept({'id': 123456})\n  \
           accept({'id': 1})\n  \
           accept(call)\n  \
           if seq(call) == 1: answer(call, {'outcome': 'park'})\n  \
           send({'jsonrpc': '2.0', 'id': None, 'error': {'code': -32700, 'message': 'what?'}})",
    );
    let ((), log) = Log::capture(|| {
        let mut process = stage.start();
        check_alive(&process.deliver(&events([1])), "a");
        check_alive(&process.deliver(&events(2..=4)), "aaa");
        process.stop();
    });
    assert!(log.contains("nobody had asked or waits for"), "{log}");
}

#[test]
fn full_pipes_on_both_sides_do_not_stop_us() {
    // 16 events of 300 kB go in while answers of 300 kB come out before anything more is read.
    let stage =
        Stage::new("def notify(call): answer(call, {'outcome': 'retry', 'reason': 'x' * 300000})");
    let mut events = events(1..=16);
    for event in &mut events {
        event.attributes.push(("large".to_owned(), "y".repeat(300_000)));
    }
    let mut process = stage.start();
    check_alive(&process.deliver(&events), "rrrrrrrrrrrrrrrr");
    check_alive(&process.deliver(&events), "rrrrrrrrrrrrrrrr");
}

#[test]
fn an_event_beyond_the_line_limit_fails_alone() {
    let mut stage = Stage::new("");
    stage.limits.line_bytes_max = 2000;
    let mut events = events(1..=3);
    events[1].attributes.push(("large".to_owned(), "y".repeat(2000)));
    let mut process = stage.start();
    let report = process.deliver(&events);
    check_alive(&report, "aFa");
    assert_eq!(report.suspect(), None);
    events[1].attributes[0].1 = "y".repeat(exeunt_module::LINE_BYTES_MAX);
    check_alive(&process.deliver(&events), "aFa");
}

#[test]
fn events_beyond_the_window_are_not_sent() {
    let stage = Stage::new("def initialize(call): greet(call, window=2)");
    let mut process = stage.start();
    check_alive(&process.deliver(&events(1..=4)), "aa--");
    check_alive(&process.deliver(&events(3..=4)), "aa");
}

#[test]
fn a_steady_module_has_the_whole_time_for_each_event() {
    let stage =
        Stage::new("def notify(call):\n  time.sleep(0.3)\n  accept(call)").event_limit_ms(4000);
    let mut process = stage.start();
    let start = Instant::now();
    check_alive(&process.deliver(&events(1..=16)), &"a".repeat(16));
    assert!(Duration::from_secs(4) < start.elapsed());
}

#[test]
fn a_flood_on_standard_error_stops_nobody_and_is_counted() {
    // 4 MB in 40 000 lines, one of 1 MB without an end, and what would colour the terminal.
    let stage = Stage::new(
        "sys.stderr.write('\\x1b[31mred\\n')\n\
         def notify(call):\n  \
           sys.stderr.write(('y' * 99 + '\\n') * 10000)\n  \
           sys.stderr.flush()\n  \
           accept(call)\n\
         def shutdown(call):\n  \
           sys.stderr.write('z' * 1000000)\n  \
           sys.stderr.flush()\n  \
           answer(call, None)\n  \
           sys.exit(0)",
    );
    let ((), log) = Log::capture(|| {
        let mut process = stage.start();
        check_alive(&process.deliver(&events(1..=4)), "aaaa");
        process.stop();
    });
    assert!(log.contains("INFO module: \u{fffd}[31mred module=nasty"), "{}", &log[..1000]);
    let logged = log.lines().filter(|it| it.contains("yyy")).count();
    let dropped: usize = log
        .lines()
        .filter(|it| it.contains("lines of standard error dropped"))
        .filter_map(|it| it.rsplit_once("dropped=")?.1.parse::<usize>().ok())
        .sum();
    let cut = log.lines().filter(|it| it.contains("zzz")).count();
    assert_eq!(logged + dropped + cut, 40_001, "{logged} logged, {dropped} dropped, {cut} cut");
    assert!((1..=2000).contains(&logged), "{logged}");
    assert!(log.lines().all(|it| it.len() < 5000));
}
