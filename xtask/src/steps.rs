//! The steps of `cargo xtask test`, in order; the first failure ends it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{cargo, read, run, run_within};
use crate::{fuzz, tidy, tools};

/// Kills per run of the crash test among the ordinary tests.
pub(crate) const CRASH_TRIALS: u32 = 200;

/// Longest time the quickstart may take once it is built: a key, a start, a round trip, a stop.
const QUICKSTART_LIMIT: Duration = Duration::from_mins(2);

/// One step: its name, and what it does in the repository's root.
type Step = (&'static str, fn(&Path) -> Result<(), String>);

const STEPS: &[Step] = &[
    ("tools", tools::install),
    ("fmt", fmt),
    ("clippy", clippy),
    ("tidy", tidy::run),
    ("unit and integration tests", cargo_test),
    ("doc", doc),
    ("deny", deny),
    ("fuzz", |root| fuzz::run(root, fuzz::SMOKE_SECONDS, None)),
    ("crash", |root| crash(root, CRASH_TRIALS, None)),
    ("quickstart", quickstart),
];

/// Runs every step.
pub(crate) fn test(root: &Path) -> Result<(), String> {
    let started = Instant::now();
    let mut report = Vec::new();
    for (passed, (name, step)) in STEPS.iter().enumerate() {
        println!("\n==> {name} ({} of {})", passed + 1, STEPS.len());
        let step_started = Instant::now();
        let outcome = step(root);
        let took = step_started.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                println!("<== {name}: passed in {took:.1} s");
                report.push(format!("{took:8.1} s  {name}"));
            }
            Err(error) => {
                println!("<== {name}: FAILED after {took:.1} s");
                let left = STEPS.len() - passed - 1;
                return Err(format!(
                    "step \"{name}\": {error}\n{passed} passed, 1 failed, {left} not run"
                ));
            }
        }
    }
    println!("\n{}", report.join("\n"));
    println!("{} passed, 0 failed in {:.0} s", STEPS.len(), started.elapsed().as_secs_f32());
    Ok(())
}

fn fmt(root: &Path) -> Result<(), String> {
    run(cargo(root).args(["fmt", "--all", "--check"]))?;
    run(cargo(root).args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy(root: &Path) -> Result<(), String> {
    run(cargo(root).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn cargo_test(root: &Path) -> Result<(), String> {
    programs(root, "debug")?;
    run(cargo(root).args(["test", "--workspace"]))
}

fn doc(root: &Path) -> Result<(), String> {
    run(cargo(root)
        .args(["doc", "--workspace", "--no-deps", "--document-private-items"])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Without the advisory database: that one changes under our feet and needs the network, so it has
/// a command of its own and does not decide whether the tests pass.
fn deny(root: &Path) -> Result<(), String> {
    run(tools::deny_command(root).args(["check", "bans", "licenses", "sources"]))
}

/// Published vulnerabilities in dependencies.
pub(crate) fn advisories(root: &Path) -> Result<(), String> {
    run(tools::deny_command(root).args(["check", "advisories"]))
}

/// Runs the crash test, which lives in `e2e/`.
pub(crate) fn crash(root: &Path, trials: u32, seed: Option<u64>) -> Result<(), String> {
    let mut command = Command::new(programs(root, "debug")?.join("crash"));
    command.current_dir(root).args(["--trials", &trials.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    run(&mut command)
}

/// Runs a benchmark, which are programs in `e2e/`, on the server as users would build it.
pub(crate) fn bench(root: &Path, program: &str, arguments: &[String]) -> Result<(), String> {
    let program = programs(root, "release")?.join(program);
    run(Command::new(program).current_dir(root).args(arguments))
}

/// Builds an example that a benchmark runs beside the server.
pub(crate) fn build_example(root: &Path, package: &str, name: &str) -> Result<(), String> {
    run(cargo(root).args(["build", "--release", "-p", package, "--example", name]))
}

/// The README's first command, twice: on nothing, and on what the first run left.
fn quickstart(root: &Path) -> Result<(), String> {
    let program = programs(root, "debug")?.join("exeunt");
    let place = std::env::temp_dir().join(format!("exeunt-quickstart-{}", std::process::id()));
    std::fs::create_dir(&place).map_err(|err| format!("{}: {err}", place.display()))?;
    let once = || {
        run_within(
            Command::new(&program)
                .args(["quickstart", "--once"])
                .current_dir(&place)
                .env_remove("EXEUNT_HOME"),
            QUICKSTART_LIMIT,
        )
    };
    let outcome = once().and_then(|()| once());
    // A failed run leaves its folder for whoever looks into it.
    outcome.map_err(|error| format!("{error}; what it left is in {}", place.display()))?;
    std::fs::remove_dir_all(&place).map_err(|err| format!("{}: {err}", place.display()))
}

/// Builds every program of the workspace and returns the folder they are in.
///
/// All of them, because the tests start each other's: a test of `e2e/` kills the server of
/// `crates/exeunt`, and cargo builds only what belongs to the tested package.
fn programs(root: &Path, profile: &str) -> Result<PathBuf, String> {
    let mut command = cargo(root);
    command.args(["build", "--workspace", "--bins"]);
    if profile == "release" {
        command.arg("--release");
    }
    run(&mut command)?;
    Ok(target_folder(root)?.join(profile))
}

fn target_folder(root: &Path) -> Result<PathBuf, String> {
    let text = read(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&text).map_err(|err| format!("cargo metadata: {err}"))?;
    let folder = metadata["target_directory"].as_str();
    folder.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target folder".to_owned())
}
