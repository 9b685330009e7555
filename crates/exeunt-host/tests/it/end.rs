//! Modules that die, have to die, or are asked to.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    Stage, check_alive, check_fault, events, is_dead, is_reaped, letters, pid_in, wait_for,
};

/// Starts a process that holds the module's pipes open and leaves its number in the file `pid`.
const GRANDCHILD: &str = "def grandchild(**how):\n  \
    child = subprocess.Popen(['sleep', '600'], **how)\n  \
    open('pid', 'w').write(f'{child.pid}\\n')\n";

#[test]
fn a_module_that_dies_in_the_middle_of_a_batch_keeps_what_it_answered() {
    let stage = Stage::new(
        "def notify(call):\n  if seq(call) == 3: sys.exit('three is too much')\n  accept(call)",
    );
    let mut process = stage.start();
    let report = process.deliver(&events(1..=5));
    let line = "module ended (exit status: 1), last words: three is too much";
    check_fault(&process, &report, "aa---", "module-exited", line);
    assert_eq!(report.suspect(), Some(2));

    let again = process.deliver(&events(3..=5));
    check_fault(&process, &again, "---", "module-exited", line);
    assert_eq!(process.has_exited().as_deref(), Some(line));
    process.stop();
}

#[test]
fn a_module_that_dies_after_its_answers_has_answered() {
    let stage = Stage::new("def notify(call):\n  accept(call)\n  if seq(call) == 3: os._exit(7)");
    let mut process = stage.start();
    check_alive(&process.deliver(&events(1..=3)), "aaa");
    let mut line = None;
    wait_for("the end", || {
        line = process.has_exited();
        line.is_some()
    });
    assert_eq!(line.as_deref(), Some("module ended (exit status: 7)"));
    assert!(is_reaped(process.pid()));
    let report = process.deliver(&events([4]));
    check_fault(&process, &report, "-", "module-exited", "module ended");
}

#[test]
fn a_module_that_died_between_two_batches_is_noticed_by_the_second() {
    let stage = Stage::new("def notify(call):\n  accept(call)\n  os.kill(os.getpid(), 9)");
    let mut process = stage.start();
    check_alive(&process.deliver(&events([1])), "a");
    wait_for("the end", || is_dead(process.pid()));
    let report = process.deliver(&events(2..=3));
    check_fault(&process, &report, "--", "module-exited", "module ended (signal: 9");
}

#[test]
fn a_module_that_hangs_dies_with_what_it_started() {
    let own = format!("{GRANDCHILD}def notify(call):\n  grandchild()\n  time.sleep(600)");
    let stage = Stage::new(&own).event_limit_ms(5000);
    let mut process = stage.start();
    let start = Instant::now();
    let report = process.deliver(&events(1..=2));
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    check_fault(&process, &report, "--", "module-deadline", "module did not answer within 5000 ms");
    assert_eq!(report.suspect(), Some(0));
    let grandchild = pid_in(&stage.path("pid"));
    wait_for("the grandchild's end", || is_dead(grandchild));
}

#[test]
fn a_module_that_leaves_a_grandchild_behind_has_ended_nevertheless() {
    // The grandchild keeps standard output and error open: there is no end of file.
    let own = format!("{GRANDCHILD}def notify(call):\n  grandchild()\n  os._exit(3)");
    let stage = Stage::new(&own);
    let mut process = stage.start();
    let report = process.deliver(&events([1]));
    check_fault(&process, &report, "-", "module-exited", "module ended (exit status: 3)");
    let grandchild = pid_in(&stage.path("pid"));
    wait_for("the grandchild's end", || is_dead(grandchild));
}

#[test]
fn a_grandchild_that_left_the_group_holds_nobody_up() {
    let own = format!(
        "{GRANDCHILD}def notify(call):\n  grandchild(start_new_session=True)\n  os._exit(3)"
    );
    let stage = Stage::new(&own);
    let mut process = stage.start();
    let start = Instant::now();
    let report = process.deliver(&events([1]));
    check_fault(&process, &report, "-", "module-exited", "module ended (exit status: 3)");
    drop(process);
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    let grandchild = pid_in(&stage.path("pid"));
    assert!(!is_dead(grandchild));
    assert!(Command::new("kill").arg(grandchild.to_string()).status().unwrap().success());
}

#[test]
fn the_oldest_event_cannot_be_left_behind() {
    // The first gets its answer after its deadline; the others have theirs in time.
    let stage = Stage::new(
        "first = None\n\
         def notify(call):\n  \
           global first\n  \
           if first is None: first = call; return\n  \
           accept(call)\n  \
           if seq(call) == 4:\n    \
             time.sleep(8)\n    \
             accept(first)",
    )
    .event_limit_ms(5000);
    let mut process = stage.start();
    let report = process.deliver(&events(1..=4));
    check_fault(
        &process,
        &report,
        "-aaa",
        "module-deadline",
        "module did not answer within 5000 ms",
    );
    assert_eq!(report.suspect(), Some(0));
}

#[test]
fn a_module_that_never_reads_is_killed_at_the_deadline() {
    let stage = Stage::new("def notify(call): time.sleep(600)").event_limit_ms(500);
    let mut events = events(1..=8);
    for event in &mut events {
        event.attributes.push(("large".to_owned(), "y".repeat(100_000)));
    }
    let mut process = stage.start();
    let report = process.deliver(&events);
    check_fault(&process, &report, "--------", "module-deadline", "module did not answer");
}

#[test]
fn a_flood_of_nothing_does_not_move_the_deadline() {
    let stage =
        Stage::new("def notify(call):\n  while True: accept({'id': 1})").event_limit_ms(500);
    let mut process = stage.start();
    let start = Instant::now();
    let report = process.deliver(&events([1]));
    check_fault(&process, &report, "-", "module-deadline", "module did not answer within 500 ms");
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}

#[test]
fn what_is_not_json_rpc_ends_the_conversation() {
    for (text, shown) in [
        ("debug: got it", "debug: got it"),
        ("{\"level\": \"info\"}", "{\"level\": \"info\"}"),
        ("7", "7"),
        ("\\xff\\x00", "\u{fffd}\u{fffd}"),
    ] {
        let stage = Stage::new(&format!(
            "def notify(call):\n  if seq(call) == 1: accept(call)\n  \
             else: os.write(1, b'{text}\\n'); accept(call)",
        ));
        let mut process = stage.start();
        let report = process.deliver(&events(1..=3));
        let line = format!("module wrote something else than JSON-RPC: {shown}");
        check_fault(&process, &report, "a--", "module-garbage", &line);
    }
}

#[test]
fn a_line_without_an_end_ends_the_conversation() {
    let stage = Stage::new("def notify(call):\n  while True: sys.stdout.write('x' * 65536)");
    let mut process = stage.start();
    let report = process.deliver(&events([1]));
    let line = "module wrote a line longer than 4194304 octets";
    check_fault(&process, &report, "-", "module-line-too-long", line);
}

#[test]
fn closed_pipes_end_the_conversation() {
    for end in [1, 0] {
        // The 16 events are more than the pipe holds, so that the write notices a closed input.
        let stage = Stage::new(&format!(
            "def notify(call):\n  accept(call)\n  os.close({end})\n  time.sleep(600)"
        ));
        let mut events = events(1..=16);
        for event in &mut events {
            event.attributes.push(("large".to_owned(), "y".repeat(100_000)));
        }
        let mut process = stage.start();
        let report = process.deliver(&events);
        let line = "module closed its standard input or output";
        check_fault(&process, &report, "a---------------", "module-closed", line);
    }
}

#[test]
fn a_module_cannot_answer_what_it_was_not_asked_yet() {
    let stage = Stage::new(
        "def notify(call):\n  for ahead in range(16): accept({'id': call['id'] + ahead})\n  \
         time.sleep(600)",
    );
    let mut events = events(1..=16);
    for event in &mut events {
        event.attributes.push(("large".to_owned(), "y".repeat(100_000)));
    }
    let mut process = stage.start();
    let report = process.deliver(&events);
    // How many were written by then depends on the pipe; the last ones were not.
    let answered = letters(&report);
    assert!(answered.starts_with('a') && answered.ends_with("--"), "{answered}");
    let line =
        "module wrote something else than JSON-RPC: an answer to a call that was not made yet";
    check_fault(&process, &report, &answered, "module-garbage", line);
}

#[test]
fn a_replaced_file_is_noticed_and_a_removed_one_is_not() {
    let stage = Stage::new("");
    let mut process = stage.start();
    assert!(!process.is_replaced());
    let script = stage.path("module.py");
    let update = stage.path("update.py");
    fs::copy(&script, &update).unwrap();
    assert!(!process.is_replaced());
    fs::rename(&script, stage.path("old.py")).unwrap();
    assert!(!process.is_replaced());
    fs::rename(&update, &script).unwrap();
    assert!(process.is_replaced());
    // The old one is still the one that works.
    check_alive(&process.deliver(&events([1])), "a");
    process.stop();
    assert!(!stage.start().is_replaced());
}

#[test]
fn a_file_that_a_module_writes_does_not_make_it_another_module() {
    let mut stage = Stage::new(
        "def notify(call):\n  open(sys.argv[1], 'a').write('one more line\\n')\n  accept(call)",
    );
    fs::write(stage.path("module.log"), "first line\n").unwrap();
    stage.command.args.push("module.log".into());
    let mut process = stage.start();
    check_alive(&process.deliver(&events([1])), "a");
    assert!(!process.is_replaced());
}

#[test]
fn a_polite_module_has_the_time_to_say_farewell() {
    let stage = Stage::new(
        "def shutdown(call):\n  answer(call, None)\n  time.sleep(0.3)\n  \
         open('farewell', 'w').write('done')\n  sys.exit(0)",
    );
    let process = stage.start();
    let pid = process.pid();
    process.stop();
    assert_eq!(fs::read_to_string(stage.path("farewell")).unwrap(), "done");
    assert!(is_reaped(pid));
}

#[test]
fn the_end_of_standard_input_is_a_shutdown_too() {
    let stage = Stage::new("def shutdown(call): pass");
    let process = stage.start();
    let start = Instant::now();
    process.stop();
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_module_that_ignores_shutdown_is_killed() {
    for ignore in [
        "time.sleep(600)",
        "\n  while True: accept(call)",
        "print('no', flush=True); time.sleep(600)",
    ] {
        let mut stage = Stage::new(&format!(
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef shutdown(call): {ignore}"
        ));
        stage.limits.shutdown = Duration::from_millis(300);
        let process = stage.start();
        let pid = process.pid();
        let start = Instant::now();
        process.stop();
        let took = start.elapsed();
        assert!(Duration::from_millis(300) <= took && took < Duration::from_mins(1), "{took:?}");
        assert!(is_reaped(pid));
    }
}

#[test]
fn a_dropped_process_is_dead_and_so_are_its_children() {
    let own = format!("{GRANDCHILD}def notify(call):\n  grandchild()\n  accept(call)");
    let stage = Stage::new(&own);
    let mut process = stage.start();
    check_alive(&process.deliver(&events([1])), "a");
    let (pid, grandchild) = (process.pid(), pid_in(&stage.path("pid")));
    assert!(!is_dead(grandchild));
    drop(process);
    assert!(is_reaped(pid));
    wait_for("the grandchild's end", || is_dead(grandchild));
}

#[test]
fn processes_come_and_go_on_several_threads() {
    let stage = Stage::new("");
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (command, limits, hello) =
                (stage.command.clone(), stage.limits.clone(), stage.hello.clone());
            thread::spawn(move || {
                for _ in 0..5 {
                    let mut process =
                        exeunt_host::ModuleProcess::start(&command, &limits, &hello).unwrap();
                    check_alive(&process.deliver(&events(1..=3)), "aaa");
                    let pid = process.pid();
                    process.stop();
                    assert!(is_reaped(pid));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
