//! Running other programs, with their output passed through and their failure in one line.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often a program with a deadline is looked at.
const POLL: Duration = Duration::from_millis(50);

/// `cargo` as it runs us, in `root`.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|err| format!("{}: {err}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", shown(command))) }
}

/// Runs a program to its end, or kills it at the deadline.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<(), String> {
    let name = shown(command);
    let started = Instant::now();
    let mut child = command.spawn().map_err(|err| format!("{name}: {err}"))?;
    loop {
        if let Some(status) = child.try_wait().map_err(|err| format!("{name}: {err}"))? {
            return if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) };
        }
        if limit < started.elapsed() {
            // Both fail only when the program has ended in the meantime; the verdict is the same.
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("{name}: still running after {} s, killed", limit.as_secs()));
        }
        std::thread::sleep(POLL);
    }
}

/// Runs a program quietly and returns what it wrote to standard output.
pub(crate) fn read(command: &mut Command) -> Result<String, String> {
    let name = shown(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|err| format!("{name}: {err}"))?;
    if !output.status.success() {
        return Err(format!("{name}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|err| format!("{name}: output is not text: {err}"))
}

/// Whether a program starts and ends well; says nothing.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let word = |it: &OsStr| it.to_string_lossy().into_owned();
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    std::iter::once(word(program)).chain(command.get_args().map(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_named_with_its_arguments() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error, "sh -c exit 3: exit status: 3");
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_the_deadline() {
        let started = Instant::now();
        let error =
            run_within(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert!(error.contains("killed"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
