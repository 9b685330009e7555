//! `exeunt exit test|install|reconcile`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use exeunt_api::{
    MaintenanceKind, MaintenanceOrder, MaintenanceRun, MaintenanceState, MaintenanceStatus,
    TargetFinding,
};
use reqwest::Method;

use super::path;
use crate::cli::{Install, Named, Reconcile};
use crate::client::ApiClient;
use crate::command::confirm::{Question, ask};
use crate::failure::{Failure, plain};
use crate::interrupt::Interrupt;
use crate::output::{self, Progress};

/// Pause between two questions of how far it is: short at first, as most tests are.
const POLL_FIRST: Duration = Duration::from_millis(20);
const POLL_LONGEST: Duration = Duration::from_millis(500);

/// The status for the shell where something is not as it should be.
const NOT_GOOD: u8 = 1;

/// `exit test`.
pub fn test(options: &Named) -> Result<u8, Failure> {
    let client = ApiClient::open(&options.door)?;
    let interrupt = Interrupt::listen()?;
    let order = MaintenanceOrder { kind: MaintenanceKind::Test, apply: false };
    let run = follow((&client, &interrupt), &options.name, order, u64::MAX)?;
    if options.json {
        output::json(&run)?;
        return Ok(status(&run));
    }
    succeeded(&run)?;
    checks(&run)?;
    if !run.would_write.is_empty() {
        output::line("")?;
        output::line("It would write:")?;
        for it in &run.would_write {
            output::line(&format!("  {}", plain(it)))?;
        }
    }
    Ok(status(&run))
}

/// `exit install`.
pub fn install(options: &Install) -> Result<u8, Failure> {
    let client = ApiClient::open(&options.door)?;
    let interrupt = Interrupt::listen()?;
    let order = |apply| MaintenanceOrder { kind: MaintenanceKind::Install, apply };
    let is_by_hand = options.print || options.out.is_some();
    if is_by_hand || !options.yes {
        let run = follow((&client, &interrupt), &options.name, order(false), u64::MAX)?;
        succeeded(&run)?;
        if is_by_hand {
            by_hand(&run, &options.name, options.out.as_deref())?;
            return Ok(status(&run));
        }
        for it in &run.checks {
            eprintln!("{}", plain(&format!("{}: {}", it.what, it.text)));
        }
        ask(Question {
            consequence: "",
            words: &format!("Have {} make this?", options.name),
            refused: "not installed",
            hints: &[format!(
                "what is to be applied by hand: exeunt exit install {} --print",
                options.name
            )],
        })?;
    }
    let run = follow((&client, &interrupt), &options.name, order(true), u64::MAX)?;
    if options.json {
        output::json(&run)?;
        return Ok(status(&run));
    }
    succeeded(&run)?;
    checks(&run)?;
    Ok(status(&run))
}

/// `exit reconcile`.
pub fn reconcile(options: &Reconcile) -> Result<u8, Failure> {
    let client = ApiClient::open(&options.door)?;
    if options.cancel {
        let path = maintenance_path(&options.name)?;
        let run: MaintenanceRun = client.change(Method::DELETE, &path, &[], None::<&()>)?;
        if options.json {
            output::json(&run)?;
        } else {
            let state = run.status.state.word();
            output::line(&format!("The newest maintenance of {}: {state}.", options.name))?;
        }
        return Ok(0);
    }
    let interrupt = Interrupt::listen()?;
    let order = MaintenanceOrder { kind: MaintenanceKind::Reconcile, apply: options.mend };
    let run = follow((&client, &interrupt), &options.name, order, options.limit)?;
    if options.json {
        output::json(&run)?;
        return Ok(status(&run));
    }
    findings(&run.findings)?;
    let shown = u64::try_from(run.findings.len()).unwrap_or(u64::MAX);
    let hidden = run.status.differences.saturating_sub(shown);
    if hidden != 0 {
        eprintln!("exeunt: note: {hidden} more are not shown");
    }
    succeeded(&run)?;
    output::line(&summary(&run.status))?;
    Ok(status(&run))
}

/// The last comparison in a line of `exit status`.
pub fn in_a_line(it: &MaintenanceStatus) -> String {
    let at = it.ended.as_ref().unwrap_or(&it.started);
    match (&it.error, it.state) {
        (_, MaintenanceState::Running) => {
            format!("under way, {} of {}", it.compared, it.total)
        }
        (Some(error), _) => format!("{at}: {}", error.detail),
        (None, _) => format!("{at}: {}", summary(it)),
    }
}

/// Orders it, and waits for its end. Of its findings the first `limit` are kept.
fn follow(
    (client, interrupt): (&ApiClient, &Interrupt),
    name: &str,
    order: MaintenanceOrder,
    limit: u64,
) -> Result<MaintenanceRun, Failure> {
    let path = maintenance_path(name)?;
    let mut run: MaintenanceRun = client.change(Method::POST, &path, &[], Some(&order))?;
    let number = run.status.number;
    let mut progress = Progress::start("things compared");
    let mut findings: Vec<TargetFinding> = Vec::new();
    let mut is_ended = false;
    let mut pause = POLL_FIRST;
    loop {
        let left = limit.saturating_sub(u64::try_from(findings.len()).unwrap_or(u64::MAX));
        let page = u64::try_from(run.findings.len()).unwrap_or(u64::MAX);
        let kept = usize::try_from(left).unwrap_or(usize::MAX);
        findings.extend(std::mem::take(&mut run.findings).into_iter().take(kept));
        // After the end there may be pages of findings left to read.
        let has_all = page == 0 || left <= page;
        if run.status.state != MaintenanceState::Running && (has_all || limit == 0) {
            break;
        }
        if interrupt.is_asked() && !is_ended {
            is_ended = true;
            let _: MaintenanceRun = client.change(Method::DELETE, &path, &[], None::<&()>)?;
        }
        if order.kind == MaintenanceKind::Reconcile {
            progress.set(run.status.compared, run.status.total);
        }
        if run.status.state == MaintenanceState::Running {
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL_LONGEST);
        }
        let next = run.next_after;
        run = client.get(&path, &[("after", next.to_string())])?;
        if run.status.number != number {
            let message = "another maintenance has begun since; what came of this one is not known";
            return Err(Failure::new("maintenance-superseded", message));
        }
    }
    progress.end();
    run.findings = findings;
    run.next_after = 0;
    Ok(run)
}

fn maintenance_path(name: &str) -> Result<String, Failure> {
    Ok(format!("{}/maintenance", path(name)?))
}

/// What the shell is told.
fn status(run: &MaintenanceRun) -> u8 {
    if run.status.is_good() { 0 } else { NOT_GOOD }
}

/// Fails where the run did.
fn succeeded(run: &MaintenanceRun) -> Result<(), Failure> {
    match &run.status.error {
        Some(error) => Err(Failure::new(&error.code, &error.detail).hint(error.hint.clone())),
        None => Ok(()),
    }
}

fn checks(run: &MaintenanceRun) -> Result<(), Failure> {
    let row =
        |it: &exeunt_api::TargetCheck| vec![it.result.clone(), it.what.clone(), it.text.clone()];
    if run.checks.is_empty() {
        return output::line("There was nothing to do.");
    }
    output::table(&["RESULT", "WHAT", "FOUND"], run.checks.iter().map(row).collect())
}

fn findings(findings: &[TargetFinding]) -> Result<(), Failure> {
    if findings.is_empty() {
        return Ok(());
    }
    let row = |it: &TargetFinding| {
        let mended = match (&it.error, it.mended) {
            (_, true) => "mended".to_owned(),
            (Some(why), false) => why.clone(),
            (None, false) => String::new(),
        };
        vec![it.difference.clone(), it.place.clone(), it.text.clone(), mended]
    };
    let heading = ["DIFFERENCE", "PLACE", "WHAT", "MENDED"];
    output::table(&heading, findings.iter().map(row).collect())
}

/// The numbers of a comparison in a sentence.
fn summary(it: &MaintenanceStatus) -> String {
    let MaintenanceStatus { good, differences, mended, .. } = it;
    let mended = match (differences, mended) {
        (0, _) => String::new(),
        (_, 0) if !it.apply => "; --mend mends what can be mended".to_owned(),
        (_, mended) => format!(", {mended} of them mended"),
    };
    format!("{good} as they should be, {differences} not{mended}.")
}

/// Writes what is to be applied by hand.
fn by_hand(run: &MaintenanceRun, name: &str, out: Option<&Path>) -> Result<(), Failure> {
    let Some(script) = &run.script else {
        let message = "the module has no text to be applied by hand";
        return Err(Failure::new("maintenance-no-script", message)
            .hint(format!("have it applied: exeunt exit install {name}")));
    };
    let Some(path) = out else {
        return output::line(script.trim_end_matches('\n'));
    };
    let failed = |err: std::io::Error| {
        Failure::from_error("output", &err).hint(format!("look at {}", path.display()))
    };
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(script.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    output::line(&format!("Written to {}.", path.display()))
}
