//! From the start to the description.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

use exeunt_host::{HostLimits, INHERITED_VARIABLES, ModuleProcess, StartError};

use crate::{Stage, is_dead, pid_in};

#[track_caller]
fn check_refusal(stage: &Stage, code: &str, line: &str) -> StartError {
    let err = stage.try_start().map(|it| it.pid()).unwrap_err();
    assert_eq!(err.code(), code, "{err}");
    assert_eq!(err.to_string(), line);
    err
}

#[test]
fn a_module_says_hello() {
    let stage = Stage::new("");
    let process = stage.start();
    assert_eq!(process.event_mask(), 0x2f);
    assert_eq!(process.window(), 16);
    assert_eq!(process.description(), "a decent module");
    assert!(!is_dead(process.pid()));
    process.stop();
}

#[test]
fn a_process_can_move_to_another_thread() {
    fn check<T: Send>() {}
    check::<ModuleProcess>();
}

#[test]
fn the_window_is_the_smallest_of_three() {
    for (theirs, offered, limit, expected) in
        [(16, 64, 256, 16), (100, 64, 256, 64), (100, 64, 8, 8), (0, 64, 256, 1), (5, 0, 256, 1)]
    {
        let mut stage = Stage::new(&format!("def initialize(call): greet(call, window={theirs})"));
        stage.hello.window = offered;
        stage.limits.window_max = limit;
        let window = stage.start().window();
        assert_eq!(window, expected, "{theirs} of {offered}, at most {limit}");
    }
}

#[test]
fn a_module_reads_its_settings() {
    let mut stage = Stage::new(
        "def initialize(call):\n  global told\n  told = call['params']\n  greet(call)\n\
         def describe(call): answer(call, told['config'] + ' ' + told['settings']['to'])",
    );
    stage.hello.settings.insert("to".to_owned(), "/tmp".into());
    assert_eq!(stage.start().description(), "Test CA /tmp");
}

#[test]
fn a_module_yields_the_processor() {
    let mut stage = Stage::new("def describe(call): answer(call, str(os.nice(0)))");
    stage.limits.nice = HostLimits::default().nice;
    assert_eq!(stage.start().description(), "19");
}

#[test]
fn a_module_without_a_description_goes_by_its_name() {
    for describe in
        ["refuse(call, -32601, 'no such method')", "answer(call, ' ')", "answer(call, 7)"]
    {
        let stage = Stage::new(&format!("def describe(call): {describe}"));
        assert_eq!(stage.start().description(), "nasty", "{describe}");
    }
}

#[test]
fn a_module_that_ends_at_once_leaves_its_last_words() {
    let stage = Stage::new("sys.exit('first\\nno settings')");
    let err = check_refusal(
        &stage,
        "module-exited",
        "module ended during its hello (exit status: 1), last words: no settings",
    );
    assert!(matches!(err, StartError::Exited { .. }));
    let stage = Stage::new("os.kill(os.getpid(), 11)");
    let err = stage.try_start().map(|it| it.pid()).unwrap_err();
    assert!(err.to_string().contains("signal: 11"), "{err}");
}

#[test]
fn a_module_that_hangs_in_initialize_is_killed() {
    let mut stage = Stage::new(
        "def initialize(call):\n  open('pid', 'w').write(f'{os.getpid()}\\n')\n  time.sleep(600)",
    );
    // Long enough for the interpreter to start, or else there is nobody to be killed.
    stage.limits.hello = Duration::from_secs(5);
    let start = Instant::now();
    check_refusal(&stage, "module-hello-timeout", "module did not say hello within 5000 ms");
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
    assert!(is_dead(pid_in(&stage.path("pid"))));
}

#[test]
fn a_flood_of_wrong_answers_does_not_prolong_the_hello() {
    let mut stage = Stage::new("def initialize(call):\n  while True: answer({'id': 999}, None)");
    stage.limits.hello = Duration::from_secs(1);
    check_refusal(&stage, "module-hello-timeout", "module did not say hello within 1000 ms");
}

#[test]
fn what_is_no_hello_is_told_as_such() {
    let long = "x".repeat(300);
    let excerpt = format!("{}…", &long[..120]);
    for (initialize, shown) in [
        ("print('Hello, world', flush=True)".to_owned(), "Hello, world"),
        ("answer(call, {'protocol': 1})".to_owned(), "{\"protocol\":1}"),
        ("answer(call, [1])".to_owned(), "[1]"),
        (
            "send({'jsonrpc': '2.0', 'id': call['id']})".to_owned(),
            "{\"jsonrpc\": \"2.0\", \"id\": 1}",
        ),
        (format!("print('{long}', flush=True)"), excerpt.as_str()),
    ] {
        let stage = Stage::new(&format!("def initialize(call): {initialize}"));
        let line = format!("module answered its hello with something else: {shown}");
        check_refusal(&stage, "module-hello-garbage", &line);
    }
}

#[test]
fn a_hello_without_an_end_is_cut() {
    let mut stage = Stage::new("while True: sys.stdout.write('x' * 65536)");
    stage.limits.line_bytes_max = 100_000;
    let line = "module answered its hello with something else: a line longer than 100000 octets";
    check_refusal(&stage, "module-hello-garbage", line);
}

#[test]
fn another_protocol_is_refused_whatever_else_it_says() {
    let line = "module speaks protocol 2, this server speaks protocol 1";
    let stage = Stage::new("def initialize(call): greet(call, protocol=2)");
    check_refusal(&stage, "module-version", line);
    let stage = Stage::new("def initialize(call): answer(call, {'protocol': 2, 'mask': [1]})");
    check_refusal(&stage, "module-version", line);
}

#[test]
fn a_module_refuses_its_settings() {
    let stage = Stage::new("def initialize(call): refuse(call, -32000, 'no setting\\n\"to\"')");
    let line = "module refused to start: no setting\u{fffd}\"to\"";
    check_refusal(&stage, "module-refused", line);
}

#[test]
fn a_module_that_closes_its_output_is_killed() {
    let stage = Stage::new("os.close(1)\ntime.sleep(600)");
    let line = "module closed its standard input or output during its hello";
    check_refusal(&stage, "module-closed", line);
}

#[test]
fn a_program_that_is_not_there_or_cannot_run() {
    let mut stage = Stage::new("");
    stage.command.program = stage.path("none");
    let line = format!("program {} does not exist", stage.path("none").display());
    check_refusal(&stage, "module-missing", &line);

    stage.command.program = stage.path("module.py");
    fs::set_permissions(stage.path("module.py"), fs::Permissions::from_mode(0o644)).unwrap();
    let line = format!(
        "program {} cannot be executed: it has no execute permission",
        stage.path("module.py").display()
    );
    check_refusal(&stage, "module-not-executable", &line);
}

/// Tells the module's environment, name by name. Python changes its own, so the kernel is asked.
const TELL_ENVIRONMENT: &str = "def describe(call):\n  \
    pairs = open('/proc/self/environ').read().split('\\0')\n  \
    answer(call, ' '.join(sorted(pairs)).strip())";

#[test]
fn the_environment_is_what_is_documented() {
    let mut stage = Stage::new(TELL_ENVIRONMENT);
    stage.command.env = vec![("MAIL_TO".to_owned(), "root".to_owned())];
    let mut expected: Vec<String> = INHERITED_VARIABLES
        .iter()
        .filter_map(|name| Some(format!("{name}={}", env::var(name).ok()?)))
        .collect();
    expected.push("MAIL_TO=root".to_owned());
    expected.sort();
    assert_eq!(stage.start().description(), expected.join(" "));

    stage.command.env.push(("TZ".to_owned(), "Etc/Greenwich".to_owned()));
    assert!(stage.start().description().contains("TZ=Etc/Greenwich"));
}

#[test]
fn the_secrets_of_the_server_stay_with_the_server() {
    // The test above once more, in a process that has a secret.
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "hello::the_environment_is_what_is_documented"])
        .envs([("EXEUNT_PASSPHRASE", "secret"), ("TZ", "UTC"), ("LANG", "C")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
