//! Builds and runs the fuzz targets on the stable compiler, without cargo-fuzz.
//!
//! libFuzzer needs coverage counters in the code under test. The stable compiler puts them in when
//! LLVM's own pass is asked for; address sanitizer, which needs the nightly compiler, is left out
//! because the code under test has no `unsafe`. See `docs/decisions/0003-fuzzing-on-stable.md`.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::process::{cargo, read, shown};

/// How long each target runs among the ordinary tests, in seconds.
pub(crate) const SMOKE_SECONDS: u32 = 10;

/// Most memory a target may use, in MiB: a small input must not cost much.
const MEMORY_MIB_MAX: u32 = 512;

/// Longest time one input may take, in seconds: wall time, on a machine that may be busy.
const INPUT_SECONDS_MAX: u32 = 30;

/// Longest time the canary may take to be found, in seconds; it takes less than one.
const CANARY_SECONDS_MAX: u32 = 60;

/// The target that is broken on purpose: a run that does not find it tests nothing.
const CANARY: &str = "canary";

/// Lines of a failed target's log that are shown.
const LOG_LINES: usize = 60;

/// Instrumentation, as LLVM's pass names its options. Everything here is stable `rustc`.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Builds the targets, proves on the canary that a fault is found, and runs one or all of them.
pub(crate) fn run(root: &Path, seconds: u32, only: Option<&str>) -> Result<(), String> {
    let targets = targets(root)?;
    let chosen: VecDeque<String> = match only {
        Some(name) if targets.iter().any(|it| it == name) => [name.to_owned()].into(),
        Some(name) => {
            return Err(format!("no fuzz target {name:?}; there are: {}", targets.join(", ")));
        }
        None => targets.into_iter().filter(|it| it != CANARY).collect(),
    };
    let programs = build(root)?;
    canary(root, &programs)?;

    let queue = Mutex::new(chosen);
    let failures = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(name) = next else { break };
                    match run_one(root, &programs, &name, seconds) {
                        Ok(done) => println!("{name}: {done}"),
                        Err(error) => {
                            println!("{error}");
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("fuzz targets failed: {}", failures.join(", ")))
    }
}

/// Names of the targets, from the files: one file, one target.
fn targets(root: &Path) -> Result<Vec<String>, String> {
    let folder = root.join("fuzz/fuzz_targets");
    let listing =
        std::fs::read_dir(&folder).map_err(|err| format!("{}: {err}", folder.display()))?;
    let mut names: Vec<String> = listing
        .filter_map(Result::ok)
        .filter_map(|it| it.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Builds all targets and returns the folder with their programs.
///
/// Naming the machine's own target keeps the flags away from build scripts and procedural macros.
fn build(root: &Path) -> Result<PathBuf, String> {
    let about = read(Command::new("rustc").arg("-vV").current_dir(root))?;
    let host = about.lines().find_map(|it| it.strip_prefix("host: "));
    let host = host.ok_or("rustc -vV names no host")?;
    let folder = root.join("target/fuzz");
    crate::process::run(
        cargo(root)
            .args(["build", "--quiet", "--release", "--target", host])
            .args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir"])
            .arg(&folder)
            .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
            .env_remove("RUSTFLAGS"),
    )?;
    Ok(folder.join(host).join("release"))
}

/// Runs one target from its committed seeds and what earlier runs here have found.
fn run_one(root: &Path, programs: &Path, name: &str, seconds: u32) -> Result<String, String> {
    let mut command = Command::new(programs.join(name));
    command.current_dir(root).args([
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-artifact_prefix=fuzz/artifacts/{name}/"),
        "-print_final_stats=1".to_owned(),
    ]);
    for folder in [format!("fuzz/corpus/{name}"), format!("fuzz/artifacts/{name}")] {
        let folder = root.join(folder);
        std::fs::create_dir_all(&folder).map_err(|err| format!("{}: {err}", folder.display()))?;
    }
    command.arg(format!("fuzz/corpus/{name}"));
    if root.join("fuzz/seeds").join(name).is_dir() {
        command.arg(format!("fuzz/seeds/{name}"));
    }

    let log = programs.join(format!("{name}.log"));
    let log_text = logged(&mut command, &log);
    let (good, text) = log_text?;
    if !good {
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        return Err(format!("{tail}\n{name}: FAILED: {}", shown(&command)));
    }
    let done = text.lines().rev().find(|it| it.starts_with("Done "));
    Ok(done.unwrap_or("done").to_owned())
}

/// Runs the broken target; not finding its fault is the failure.
fn canary(root: &Path, programs: &Path) -> Result<(), String> {
    let mut command = Command::new(programs.join(CANARY));
    command.current_dir(root).args([
        format!("-max_total_time={CANARY_SECONDS_MAX}"),
        format!("-exact_artifact_path={}", programs.join("canary-found").display()),
    ]);
    let (good, text) = logged(&mut command, &programs.join("canary.log"))?;
    if good || !text.contains("the canary was found") {
        return Err("the fuzzer did not find the fault put there for it".to_owned());
    }
    Ok(())
}

/// Runs a program with its output in a file; whether it ended well, and what it wrote.
fn logged(command: &mut Command, log: &Path) -> Result<(bool, String), String> {
    let failed = |err: std::io::Error| format!("{}: {err}", log.display());
    let file = File::create(log).map_err(failed)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(failed)?)
        .stderr(file)
        .status()
        .map_err(|err| format!("{}: {err}", shown(command)))?;
    let bytes = std::fs::read(log).map_err(failed)?;
    Ok((status.success(), String::from_utf8_lossy(&bytes).into_owned()))
}
