//! The tutorials of `docs/manual`, followed to the letter: each command that a newcomer copies runs
//! in one shell, in a folder that looks like a fresh clone, and shows what the text shows.
//!
//! Where this is not what a newcomer does:
//!
//! - Nothing is built: `cargo build` is passed over, and `target/release` leads to the programs under
//!   test.
//! - `exeunt quickstart` runs in the background, instead of in a terminal of its own.
//! - A file is written where the text says "Save this as".
//! - A command that only looks is run again until it shows what the text shows, as a newcomer who
//!   types takes longer than a test.
//! - A module that says hello late is as good as one that says it at once.
//! - In what is compared, dates, long hexadecimal numbers and durations are as good as any other, and
//!   `…` stands for anything: in a line of its own, for any lines. A command without output in the
//!   text may say what it likes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use exeunt_e2e::ca::{DEADLINE, wait_for};
use exeunt_e2e::program::built;
use tempfile::TempDir;

/// What a tutorial has one do.
enum Step {
    /// Saves a text as a file.
    Save { name: String, content: String },
    /// Types a command; what the text shows as its output.
    Type { command: String, shown: String },
}

/// Commands that only look.
const LOOKING: [&str; 3] = ["cat ", "exeunt exit parked list ", "exeunt exit explain "];

/// What follows the output of each command, with its exit status.
const END: &str = "end-of-command";

#[test]
fn the_tutorial_for_python_does_what_it_says() {
    follow("tutorial-python.md");
}

#[test]
fn the_tutorial_for_cpp_does_what_it_says() {
    follow("tutorial-cpp.md");
}

#[test]
fn every_page_of_the_manual_is_in_its_index() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manual");
    let index = fs::read_to_string(manual.join("README.md")).unwrap();
    for page in fs::read_dir(manual).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is missing");
    }
}

fn follow(page: &str) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let steps = steps(&fs::read_to_string(repository.join("docs/manual").join(page)).unwrap());
    assert!(15 < steps.len(), "a tutorial has more steps than {}", steps.len());

    let clone = TempDir::new().unwrap();
    for folder in ["contract", "examples"] {
        symlink(repository.join(folder), clone.path().join(folder)).unwrap();
    }
    fs::create_dir(clone.path().join("target")).unwrap();
    // The runner lies beside the program, and is looked for there.
    let programs = built("exeunt-runner").parent().unwrap().to_owned();
    symlink(programs, clone.path().join("target/release")).unwrap();

    let mut shell = Shell::start(clone.path());
    for step in steps {
        match step {
            Step::Save { name, content } => {
                let (folder, _) = shell.run("pwd");
                fs::write(Path::new(folder.trim()).join(name), content).unwrap();
            }
            Step::Type { command, .. } if command.starts_with("cargo build ") => {}
            Step::Type { command, shown } if command.ends_with("exeunt quickstart") => {
                shell.run(&format!("{command} > quickstart.log 2>&1 &"));
                wait_for("the quickstart", || {
                    fits(&shown, &shell.run("cat quickstart.log").0).then_some(())
                });
            }
            Step::Type { command, shown } => check(&mut shell, &command, &shown),
        }
    }
}

/// Runs a command and holds what it says against the text.
fn check(shell: &mut Shell, command: &str, shown: &str) {
    let looks = LOOKING.iter().any(|it| command.starts_with(it));
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (said, status) = shell.run(command);
        let fails = shown.starts_with("exeunt: error");
        if (status != 0) == fails && (shown.is_empty() || fits(shown, &said)) {
            return;
        }
        let again = looks && Instant::now() < deadline;
        assert!(again, "$ {command}\n{said}(status {status}), and not:\n{shown}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Reads what a page has one do, from its fenced blocks.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = page.lines();
    let mut before = "";
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            before = if line.is_empty() { before } else { line };
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|it| *it != "```").collect();
        if language == "console" {
            for line in block {
                match (line.strip_prefix("$ "), steps.last_mut()) {
                    (Some(command), _) => {
                        let command = command.to_owned();
                        steps.push(Step::Type { command, shown: String::new() });
                    }
                    (None, Some(Step::Type { shown, .. })) => shown.extend([line, "\n"]),
                    (None, _) => panic!("output without a command: {line}"),
                }
            }
        } else {
            let name = before.strip_prefix("Save this as `").and_then(|it| it.strip_suffix("`:"));
            let name = name.unwrap_or_else(|| panic!("nothing is done with {block:?}")).to_owned();
            steps.push(Step::Save { name, content: block.join("\n") + "\n" });
        }
    }
    steps
}

/// Whether what was said is what the text shows.
fn fits(shown: &str, said: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(plain).filter(|it| !it.is_empty()).collect()
    };
    fits_lines(&lines(shown), &lines(said))
}

fn fits_lines(shown: &[String], said: &[String]) -> bool {
    match (shown, said) {
        ([], []) => true,
        ([any, rest @ ..], _) if any == "…" => {
            (0..=said.len()).any(|it| fits_lines(rest, &said[it..]))
        }
        ([line, rest @ ..], [first, others @ ..]) => {
            fits_line(line, first) && fits_lines(rest, others)
        }
        _ => false,
    }
}

fn fits_line(shown: &str, said: &str) -> bool {
    let Some((start, rest)) = shown.split_once('…') else { return shown == said };
    let Some(mut said) = said.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = said.split_once(part) else { return false };
        said = after;
    }
    said.ends_with(end)
}

/// A line with single blanks, and one word for each kind of what differs from run to run.
fn plain(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let kind = |(index, word): (usize, &&str)| {
        let word = word.trim_end_matches(',');
        let is_date = word.starts_with("20") && word.get(4..5) == Some("-");
        let is_hex = 30 < word.len() && word.bytes().all(|it| it.is_ascii_hexdigit());
        let is_duration = words.get(index + 1) == Some(&"ms");
        match (is_date, is_hex, is_duration) {
            (true, _, _) => "(date)".to_owned(),
            (_, true, _) => "(hex)".to_owned(),
            (_, _, true) => "(duration)".to_owned(),
            _ => word.to_owned(),
        }
    };
    let line = words.iter().enumerate().map(kind).collect::<Vec<_>>().join(" ");
    // A module may take longer to start than the command waits.
    let line = line.replace(" and is still starting:", ":");
    let late = line.strip_prefix("The settings of ");
    match late.and_then(|it| it.split_once(" are changed, and it is still starting:")) {
        Some((name, _)) => format!("The module {name} goes on with the new settings."),
        None => line,
    }
}

/// A shell that keeps its folder and variables from command to command, as one at a terminal.
struct Shell {
    process: Child,
    input: ChildStdin,
    output: Receiver<String>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new("bash")
            .args(["--norc", "--noprofile"])
            .current_dir(folder)
            .env_remove("EXEUNT_HOME")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What it starts ends with it.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        input.write_all(b"exec 2>&1\n").unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, input, output }
    }

    /// Runs a command; what it said, and its exit status.
    fn run(&mut self, command: &str) -> (String, i32) {
        let line = format!("{{ {command}\n}} < /dev/null\necho {END} $?\n");
        self.input.write_all(line.as_bytes()).unwrap();
        let mut said = String::new();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.output.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("$ {command}\n{said}… and no more came"));
            match line.split_once(END) {
                Some((rest, status)) => return (said + rest, status.trim().parse().unwrap()),
                None => said.extend([line.as_str(), "\n"]),
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let signal = |word| {
            let kill =
                Command::new("kill").args([word, "--", &group]).stderr(Stdio::null()).status();
            kill.is_ok_and(|it| it.success())
        };
        signal("-TERM");
        let _ = self.process.kill();
        let _ = self.process.wait();
        // The server stops in order, and then the group is empty.
        let deadline = Instant::now() + DEADLINE;
        while signal("-0") && Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn what_is_compared_is_what_stays_the_same() {
    for (shown, said) in [
        ("a\n…\nd\n", "a\nb\nc\nd\n"),
        ("…\nd\n", "d\n"),
        ("valid until 2026-01-02T03:04:05Z", "valid  until 2027-02-19"),
        ("took 1 ms", "took 23 ms"),
        ("Command …/x --y …/z --k", "Command /tmp/x --y /tmp/z --k"),
    ] {
        assert!(fits(shown, said), "{shown:?} {said:?}");
    }
    for (shown, said) in [
        ("a\n", "a\nb\n"),
        ("a\n…\n", "b\n"),
        ("1 event", "2 events"),
        ("", "a"),
        ("…/x …", "/tmp/y z"),
    ] {
        assert!(!fits(shown, said), "{shown:?} {said:?}");
    }
}
