//! The audit trail: written, shown, exported, verified by us and by strangers, and refused where somebody
//! was at it.

use std::fs;
use std::path::{Path, PathBuf};

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testkit::tools;
use serde_json::Value;

use super::issuing::request;

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn issue(ca: &Ca) -> u64 {
    let file = request(ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let answer: Value = serde_json::from_str(&ca.ok(&["submit", &file, "--json"])).unwrap();
    answer["request_id"].as_u64().unwrap()
}

fn show(ca: &Ca, args: &[&str]) -> Vec<Value> {
    let text =
        ca.ok(&[&["audit", "show", "--all", "--format", "jsonl", "--oldest-first"], args].concat());
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

/// What `audit verify` says: whether all is well, and codes and rows of what is not.
fn verify(ca: &Ca, args: &[&str]) -> (bool, Vec<(String, Option<u64>)>) {
    let output = ca.run(&[&["audit", "verify", "--json"], args].concat());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.map(|it| (it["code"].as_str().unwrap().to_owned(), it["row"].as_u64()));
    assert_eq!(report["whole"].as_bool().unwrap(), output.status.success());
    (output.status.success(), findings.collect())
}

/// The code with which a command is refused.
#[track_caller]
fn refusal(output: &std::process::Output) -> String {
    assert!(!output.status.success());
    let message = text(&output.stderr);
    let code = message.split_once("error[").and_then(|(_, rest)| rest.split_once(']'));
    code.unwrap_or_else(|| panic!("no code in {message:?}")).0.to_owned()
}

fn python(args: &[&str]) -> std::process::Output {
    tools::run(tools::python(), args, b"")
}

fn meddle(ca: &Ca, sql: &str) {
    let script = "import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let output = python(&["-c", script, path(&ca.home().join("exeunt.db")), sql]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn a_trail_is_whole_and_strangers_verify_what_was_exported() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let id = issue(&ca);
    issue(&ca);
    ca.ok(&["cert", "revoke", "--request", &id.to_string(), "--reason", "superseded"]);
    ca.ok(&["crl", "publish"]);
    assert_eq!(verify(&ca, &[]), (true, vec![]), "beside a server");

    // Who did what, with the original's numbers.
    let rows = show(&ca, &[]);
    let told = |event: u64| {
        let row = rows.iter().find(|it| it["event"] == event).unwrap_or_else(|| panic!("{event}"));
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        (word("action"), word("object"), word("before"), word("after"))
    };
    let all = |it: [&str; 4]| {
        let [action, object, before, after] = it.map(str::to_owned);
        (action, object, before, after)
    };
    assert_eq!(told(4887), all(["request-issued", &format!("request:{id}"), "", "issued"]));
    let revoked = ["certificate-revoke", &format!("request:{id}"), "issued", "revoked, superseded"];
    assert_eq!(told(4870), all(revoked));
    assert_eq!(told(4880).0, "service-start");
    assert_eq!((told(4871).0, told(4872).0), ("crl-publish".to_owned(), "crl-issue".to_owned()));
    let issued = show(&ca, &["--event", "4886", "--object", &format!("request:{id}")]);
    assert_eq!(issued.len(), 1);
    let newest: Value =
        serde_json::from_str(&ca.ok(&["audit", "show", "--limit", "1", "--json"])).unwrap();
    assert_eq!(newest["rows"][0]["number"], rows.len());
    assert_eq!(newest["next"], rows.len());
    assert!(ca.ok(&["audit", "show"]).contains("certificate-revoke"));
    server.stop();

    // The stop and its checkpoint are there, and without a server the store is read.
    let rows = show(&ca, &[]);
    assert_eq!(rows.last().unwrap()["event"], 4881);
    let export = ca.scratch().join("trail.jsonl");
    ca.ok(&["audit", "export", path(&export)]);
    assert_eq!(refusal(&ca.run(&["audit", "export", path(&export)])), "audit-export-not-written");
    let ca_file = ca.scratch().join("ca.pem");
    fs::write(&ca_file, ca.certificate()).unwrap();
    let of_file = |file: &Path| verify(&ca, &[path(file), "--ca-file", path(&ca_file)]);
    assert_eq!(of_file(&export), (true, vec![]));

    // Another program, in another language, finds the same hash.
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/verify_trail.py");
    let judged = python(&[path(&verifier), path(&export)]);
    let hash = rows.last().unwrap()["hash"].as_str().unwrap();
    assert_eq!(text(&judged.stdout).trim(), format!("{} {hash}", rows.len()));
    // And openssl verifies every checkpoint, the last of which speaks of the last row.
    let lines = fs::read_to_string(&export).unwrap();
    let lines: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let mut spoken = String::new();
    for signed in lines.iter().filter_map(|it| it["checkpoint"]["signed"].as_str()) {
        let args = ["cms", "-verify", "-binary", "-inform", "PEM", "-purpose", "any", "-CAfile"];
        let more = [path(&ca_file), "-certfile", path(&ca_file)];
        let args = args.into_iter().chain(more);
        spoken = text(&tools::run_ok(tools::openssl(), args, signed.as_bytes()));
    }
    assert!(spoken.contains(&format!("\nrow: {}\nsha256: {hash}\n", rows.len())), "{spoken}");

    // Whatever is done to the export is found, by both.
    let at = lines.iter().position(|it| it.get("row").is_some()).unwrap();
    let whole: Vec<String> = lines.iter().map(|it| format!("{it}\n")).collect();
    let (row, line) = (3_u64, at + 2);
    let last = rows.len() as u64;
    let change = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = whole.clone();
        change(&mut lines);
        let file = ca.scratch().join("changed.jsonl");
        fs::write(&file, lines.concat()).unwrap();
        let judged = python(&[path(&verifier), path(&file)]);
        let (good, findings) = of_file(&file);
        assert_eq!(good, judged.status.success());
        findings
    };
    let one = |code: &str, row: u64| vec![(code.to_owned(), Some(row))];
    assert_eq!(change(&|_| ()), []);
    let found = change(&|it| it[line] = it[line].replace("\"action\":\"", "\"action\":\"x"));
    assert_eq!(found, one("audit-row-changed", row));
    let found = change(&|it| {
        it.remove(line);
    });
    assert_eq!(found, one("audit-row-missing", row));
    assert_eq!(change(&|it| it.swap(line, line + 1)), one("audit-row-out-of-order", row));
    let found = change(&|it| it.truncate(it.len() - 2));
    assert_eq!(found, one("audit-cut-off", last - 1));
    let found = change(&|it| it.truncate(it.len() - 1));
    assert_eq!(found, one("audit-export-cut-off", last));
    // A checkpoint of somebody else, and a key that is not this CA's.
    let other = Ca::init(&[]);
    let other_file = ca.scratch().join("other.pem");
    fs::write(&other_file, other.certificate()).unwrap();
    let (good, findings) = verify(&ca, &[path(&export), "--ca-file", path(&other_file)]);
    assert!(!good && findings.iter().all(|(code, _)| code == "audit-checkpoint-signature"));
    let csv = ca.scratch().join("trail.csv");
    ca.ok(&["audit", "export", path(&csv), "--format", "csv"]);
    let csv = fs::read_to_string(csv).unwrap();
    assert!(csv.starts_with("number,time,unix_ms,event,also,title,actor,action,object"), "{csv}");
    assert!(csv.contains("approved and issued"), "{csv}");
}

#[test]
fn whoever_changes_the_store_is_found_out_at_the_next_start_or_by_verify() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca);
    issue(&ca);
    server.stop();
    let rows = show(&ca, &[]).len() as u64;
    let issued = show(&ca, &["--event", "4887"])[0]["number"].as_u64().unwrap();
    let store = ca.home().join("exeunt.db");
    let whole = fs::read(&store).unwrap();
    let check = |sql: &str, start: Option<&str>, found: &[(&str, Option<u64>)]| {
        fs::write(&store, &whole).unwrap();
        meddle(&ca, sql);
        let expected: Vec<_> = found.iter().map(|(code, row)| ((*code).to_owned(), *row)).collect();
        assert_eq!(verify(&ca, &[]).1, expected, "{sql}");
        if let Some(start) = start {
            assert_eq!(refusal(&ca.run(&["serve"])), start, "{sql}");
        }
    };
    let last = "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)";
    check(last, Some("audit-cut-off"), &[("audit-cut-off", Some(rows - 1))]);
    let first = "UPDATE audit SET actor = 'nobody' WHERE id = 1";
    check(first, None, &[("audit-row-changed", Some(1))]);
    let exchanged = "UPDATE certificate SET raw = x'3000' WHERE request = 1";
    check(exchanged, None, &[("audit-certificate-exchanged", None)]);
    let gone = "DELETE FROM audit_checkpoint; DELETE FROM audit WHERE action = 'request-issued'";
    check(gone, None, &[("audit-row-missing", Some(issued))]);
}

#[test]
fn a_store_that_is_an_older_copy_is_refused_and_goes_on_when_that_is_accepted() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca);
    server.stop();
    let store = ca.home().join("exeunt.db");
    let older = fs::read(&store).unwrap();
    let server = ca.serve();
    issue(&ca);
    server.stop();
    fs::write(&store, older).unwrap();
    let refused = ca.run(&["serve"]);
    assert_eq!(refusal(&refused), "audit-cut-off");
    assert!(text(&refused.stderr).contains("exeunt audit accept"), "{}", text(&refused.stderr));
    ca.ok(&["audit", "accept", "--reason", "the disk failed"]);
    assert!(ca.home().join("audit/checkpoints.1.old").exists());
    let server = ca.serve();
    issue(&ca);
    let rows = show(&ca, &["--event", "10002"]);
    assert_eq!(rows[0]["detail"], "the disk failed");
    server.stop();
    assert_eq!(verify(&ca, &[]), (true, vec![]));
}

#[test]
fn whoever_takes_all_checkpoints_away_is_found_out_at_the_next_start() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca);
    server.stop();
    fs::remove_dir_all(ca.home().join("audit")).unwrap();
    assert_eq!(refusal(&ca.run(&["serve"])), "audit-checkpoints-cut");
    meddle(&ca, "DELETE FROM audit_checkpoint; DELETE FROM audit WHERE action = 'service-stop'");
    assert_eq!(refusal(&ca.run(&["serve"])), "audit-checkpoints-gone");
}

#[test]
fn a_trail_without_a_checkpoint_is_not_whole_in_a_home_nor_in_an_export() {
    let ca = Ca::init(&[]);
    assert_eq!(verify(&ca, &[]), (true, vec![]), "no server has written it");
    let server = ca.serve();
    issue(&ca);
    server.stop();
    let rows = show(&ca, &[]).len() as u64;
    let gone = (false, vec![("audit-checkpoints-gone".to_owned(), Some(rows))]);
    // Whoever had the export in his hands.
    let file = ca.scratch().join("trail.jsonl");
    ca.ok(&["audit", "export", path(&file)]);
    let whole = fs::read_to_string(&file).unwrap();
    let kept = whole.split_inclusive('\n').filter(|it| !it.starts_with("{\"checkpoint\""));
    fs::write(&file, kept.collect::<String>()).unwrap();
    let of_ca = ca.home().join("ca.cert.pem");
    assert_eq!(verify(&ca, &[path(&file), "--ca-file", path(&of_ca)]), gone);
    // Whoever has the store and the home.
    meddle(&ca, "DELETE FROM audit_checkpoint");
    fs::remove_file(ca.home().join("audit/checkpoints")).unwrap();
    assert_eq!(verify(&ca, &[]), gone);
}

#[test]
fn a_trail_whose_end_was_cut_off_goes_on_when_that_is_accepted() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca);
    server.stop();
    // The last checkpoint of the store speaks of a row that is gone: the stop.
    meddle(&ca, "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)");
    assert_eq!(refusal(&ca.run(&["serve"])), "audit-cut-off");
    ca.ok(&["audit", "accept", "--reason", "nothing else is to be had"]);
    for _ in 0..2 {
        let server = ca.serve();
        issue(&ca);
        server.stop();
    }
    assert_eq!(verify(&ca, &[]), (true, vec![]));
}

#[test]
fn a_restored_ca_goes_on_with_the_trail_of_its_backup() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca);
    let backup = ca.scratch().join("ca.backup");
    let word = ca.scratch().join("word");
    fs::write(&word, "a word for the backup").unwrap();
    fs::set_permissions(&word, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    ca.ok(&["backup", path(&backup), "--passphrase-file", path(&word)]);
    issue(&ca);
    server.stop();
    let away: PathBuf = ca.scratch().join("away");
    fs::rename(ca.home(), &away).unwrap();
    ca.ok(&["restore", path(&backup), "--passphrase-file", path(&word)]);
    fs::copy(away.join("secrets/passphrase"), ca.home().join("secrets/passphrase")).unwrap();
    let server = ca.serve();
    issue(&ca);
    server.stop();
    assert_eq!(verify(&ca, &[]), (true, vec![]));
    let events: Vec<u64> = show(&ca, &[]).iter().map(|it| it["event"].as_u64().unwrap()).collect();
    let start = events.iter().position(|it| *it == 4878).unwrap();
    assert_eq!(events[start..=start + 2], [4878, 4879, 4880]);
    assert!(events.contains(&4876) && !events.contains(&4877), "{events:?}");
}

#[test]
fn what_a_reload_changes_is_audited_with_what_was_before_and_another_filter_counts_at_once() {
    let ca = Ca::init(&[]);
    ca.configure_more("[audit]\ncheckpoint_s = 1\n");
    let server = ca.serve();
    issue(&ca);
    ca.configure(
        "checkpoint_s = 1",
        "checkpoint_s = 2\nfilter = [\"security\", \"configuration\"]",
    );
    ca.ok(&["reload"]);
    let number = show(&ca, &[]).len();
    issue(&ca);
    assert_eq!(show(&ca, &[]).len(), number, "issuance is left out");
    let changed = |event: &str| -> Vec<(Value, Value, Value)> {
        let rows = show(&ca, &["--event", event]).into_iter();
        rows.map(|it| (it["object"].clone(), it["before"].clone(), it["after"].clone())).collect()
    };
    let row = |object: &str, before: Value, after: &str| (object.into(), before, after.into());
    let words = "[\"security\", \"configuration\"]";
    assert_eq!(
        changed("4891"),
        [row("audit.checkpoint_s", "1".into(), "2"), row("audit.filter", Value::Null, words)]
    );
    let all = "filter 0x7f: service, backup, requests, revocation, security, keys, configuration";
    let some = "filter 0x50: security, configuration";
    assert_eq!(changed("4885"), [row("audit", all.into(), some)]);
    // A checkpoint within a second or two.
    let is_confirmed = || {
        let output = ca.run(&["audit", "verify", "--json"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (report["confirmed"] == report["rows"]).then_some(())
    };
    wait_for("a checkpoint of the last row", is_confirmed);
    assert_eq!(verify(&ca, &[]), (true, vec![]), "what is left out is not missed");
    server.stop();
    let log = fs::read_to_string(ca.log()).unwrap();
    assert!(log.contains("a checkpoint of the audit trail"), "{log}");
}

#[test]
fn a_ca_that_cannot_write_its_trail_issues_nothing_and_its_health_says_so() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    issue(&ca);
    let health = || {
        let url = format!("http://{}/v1/health", server.address());
        let script = "import sys, urllib.request, urllib.error\n\
                      try: print(urllib.request.urlopen(sys.argv[1]).status)\n\
                      except urllib.error.HTTPError as e: print(e.code, e.read().decode())";
        text(&python(&["-c", script, &url]).stdout)
    };
    assert_eq!(health().trim(), "200");
    fs::remove_file(ca.home().join("exeunt.db")).unwrap();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    assert_eq!(refusal(&ca.run(&["submit", &file])), "store-missing");
    let health =
        wait_for("the health to say so", || Some(health()).filter(|it| it.starts_with("503")));
    assert!(health.contains("store-missing"), "{health}");
    server.kill();
}
