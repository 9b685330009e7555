//! Writing answers: tables for people, JSON for programs, on standard output only.

use std::io::Write as _;
use std::time::{Duration, Instant};

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::{Failure, plain};

/// Work that takes longer than this shows that it goes on.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// Writes bytes to standard output. A reader that has gone away (`| head`) is no failure.
///
/// # Errors
///
/// Any other fault of the output.
pub fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::from_error("output", &err))
        }
        _ => Ok(()),
    }
}

/// Writes one line.
///
/// # Errors
///
/// As [`write_stdout`].
pub fn line(text: &str) -> Result<(), Failure> {
    write_stdout(format!("{text}\n").as_bytes())
}

/// Says on standard error what the reader should know although the command goes on.
pub fn warn(text: &str) {
    // There is nowhere to say that this could not be said.
    let _ = writeln!(std::io::stderr().lock(), "exeunt: warning: {}", plain(text));
}

/// Writes a value as indented JSON.
///
/// # Errors
///
/// As [`write_stdout`].
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|err| Failure::from_error("output", &err))?;
    line(&text)
}

/// Writes a table with a heading; control characters in cells are shown as escapes.
///
/// # Errors
///
/// As [`write_stdout`].
pub fn table(heading: &[&str], rows: Vec<Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heading.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|it| plain(it)));
    }
    let table = table.to_string();
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    line(&lines.join("\n"))
}

/// Writes `name: value` lines; values that are empty are left out.
///
/// # Errors
///
/// As [`write_stdout`].
pub fn fields(fields: &[(&str, String)]) -> Result<(), Failure> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 1;
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        line(&format!("{:width$} {}", format!("{name}:"), plain(value)))?;
    }
    Ok(())
}

/// Counts long work on standard error: a moving number on a terminal, else a line now and then.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    noun: &'static str,
    done: u64,
    /// When something was shown last, where it is no terminal.
    shown: Instant,
}

impl Progress {
    /// Begins at none of those things.
    pub fn start(noun: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(noun);
        bar.set_style(
            ProgressStyle::with_template("{spinner} {pos} {msg} {per_sec} {elapsed}")
                .expect("BUG: the template is a constant"),
        );
        Self { bar, noun, done: 0, shown: Instant::now() }
    }

    /// One more.
    pub fn advance(&mut self) {
        self.done += 1;
        self.bar.inc(1);
        if self.bar.is_hidden() && PROGRESS_AFTER <= self.shown.elapsed() {
            self.shown = Instant::now();
            eprintln!("exeunt: {} {} so far", self.done, self.noun);
        }
    }

    /// So many now, of so many in all as far as that is known.
    pub fn set(&mut self, done: u64, total: u64) {
        self.done = done;
        self.bar.set_position(done);
        let of = if total == 0 { String::new() } else { format!("of {total} ") };
        self.bar.set_message(format!("{of}{}", self.noun));
        self.bar.tick();
        if self.bar.is_hidden() && PROGRESS_AFTER <= self.shown.elapsed() {
            self.shown = Instant::now();
            eprintln!("exeunt: {done} {of}{} so far", self.noun);
        }
    }

    /// Writes something to standard output without disturbing what is shown.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    pub fn aside(&self, write: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        self.bar.suspend(write)
    }

    /// Ends it; nothing of it stays on a terminal.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Does some work, and shows on a terminal that it goes on when it takes longer than a second.
pub fn with_progress<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let bar = ProgressBar::new_spinner().with_message(what.to_owned());
    bar.set_style(
        ProgressStyle::with_template("{spinner} {msg} {elapsed}")
            .expect("BUG: the template is a constant"),
    );
    std::thread::scope(|scope| {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let shown = bar.clone();
        scope.spawn(move || {
            let mut pause = PROGRESS_AFTER;
            while wait.recv_timeout(pause) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                shown.tick();
                pause = Duration::from_millis(100);
            }
        });
        let result = work();
        drop(done);
        bar.finish_and_clear();
        result
    })
}
