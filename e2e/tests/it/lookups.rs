//! Finding requests and certificates, taking all of them away, and hearing of those that run out.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use exeunt_e2e::ca::{Ca, Served, text, wait_for};
use exeunt_e2e::{program, record};
use exeunt_testkit::tools;
use serde_json::Value;

use super::issuing::request;

/// `EXITEVENT_CERTEXPIRING`, Exeunt's own.
pub(super) const EXPIRING: u32 = 0x4_0000;
/// So many rows that a server or a client that gathers them would be seen to.
const MANY: u64 = 200_000;
/// What a server or a client may take, in KiB: the rows of [`MANY`] alone would take more.
const MEMORY_KIB_MAX: u64 = 96 * 1024;

/// A CA with a certificate for each of these hosts.
fn with(hosts: &[&str]) -> (Ca, Served) {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    for host in hosts {
        let file = request(&ca, "ec:P-256", &format!("/CN={host}"), &[host]);
        ca.ok(&["submit", &file]);
    }
    (ca, server)
}

/// Runs Python with its words in JSON on standard input; what it writes is JSON.
fn python(script: &str, words: &Value) -> Value {
    let written = tools::run_ok(tools::python(), ["-c", script], words.to_string().as_bytes());
    serde_json::from_slice(&written).unwrap()
}

/// What Python's module `csv` makes of it.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let script = "import csv, io, json, sys\n\
                  text = json.load(sys.stdin)\n\
                  print(json.dumps(list(csv.reader(io.StringIO(text, newline='')))))";
    serde_json::from_value(python(script, &text.into())).unwrap()
}

/// Does something to the store of a server that does not run.
fn meddle(ca: &Ca, script: &str) {
    let script = format!(
        "import json, os, sqlite3, sys\n\
         db = sqlite3.connect(json.load(sys.stdin))\n\
         with db:\n    {}\nprint('null')",
        script.replace('\n', "\n    ")
    );
    let path = ca.home().join("exeunt.db");
    assert!(path.exists(), "{}", path.display());
    python(&script, &path.to_str().unwrap().into());
}

#[test]
fn a_list_shows_what_was_asked_for() {
    let (ca, server) = with(&["one.example", "two.example", "three.example"]);
    let table = ca.ok(&["cert", "list", "--san", "TWO.example", "--expiring-within", "20w"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].trim_start().starts_with("SERIAL"), "{table}");
    assert!(lines[1].contains("issued") && lines[1].contains("CN=two.example"), "{table}");

    let serial = lines[1].split_whitespace().next().unwrap();
    ca.ok(&["cert", "revoke", serial, "--reason", "superseded"]);
    for filter in [["--state", "revoked"], ["--reason", "superseded"], ["--serial", &serial[..20]]]
    {
        let listed = ca.ok(&[&["cert", "list", "--json"], &filter[..]].concat());
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let rows = listed["certificates"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{filter:?}");
        assert_eq!((&rows[0]["serial"], &rows[0]["request_id"]), (&serial.into(), &2.into()));
        assert_eq!(rows[0]["revocation"]["reason"], "superseded");
    }

    let csv = ca.ok(&["request", "list", "--all", "--format", "csv", "--sort", "id"]);
    let rows = read_csv(&csv);
    let column = |name: &str| {
        let at = rows[0].iter().position(|it| it == name).unwrap();
        rows[1..].iter().map(|it| it[at].as_str()).collect::<Vec<_>>()
    };
    assert_eq!(column("id"), ["1", "2", "3"]);
    assert_eq!(column("disposition"), ["issued", "revoked", "issued"]);
    assert_eq!(column("subject"), ["CN=one.example", "CN=two.example", "CN=three.example"]);

    let all = ca.ok(&["request", "list", "--all", "--format", "json"]);
    let all: Value = serde_json::from_str(&all).unwrap();
    let ids = all["requests"].as_array().unwrap().iter().map(|it| it["id"].as_u64().unwrap());
    assert_eq!(ids.collect::<Vec<_>>(), [3, 2, 1]);
    let lines = ca.ok(&["request", "list", "--format", "jsonl", "--limit", "2"]);
    assert_eq!(lines.lines().count(), 2);

    let page = ca.run(&["request", "list", "--limit", "2"]);
    assert!(text(&page.stderr).contains("More: --after 2"), "{}", text(&page.stderr));
    let rest = ca.ok(&["request", "list", "--after", "2"]);
    assert!(rest.contains("CN=one.example") && !rest.contains("CN=two.example"), "{rest}");

    for (wrong, code) in [
        (["--state", "isued"], "error[filter-invalid]"),
        (["--submitted-from", "yesterday"], "error[filter-invalid]"),
        (["--sort", "subject"], "error[filter-invalid]"),
        (["--tempalte", "x"], "unexpected argument"),
    ] {
        let refused = ca.run(&[&["request", "list"], &wrong[..]].concat());
        assert!(!refused.status.success());
        assert!(text(&refused.stderr).contains(code), "{}", text(&refused.stderr));
    }
    server.stop();
}

#[test]
fn two_hundred_thousand_rows_are_taken_away_in_little_memory_on_both_sides() {
    let (ca, server) = with(&["one.example"]);
    server.stop();
    meddle(
        &ca,
        &format!(
            "template = db.execute('SELECT * FROM request').fetchone()\n\
             made = db.execute('SELECT * FROM certificate').fetchone()\n\
             serial = [it[1] for it in db.execute('PRAGMA table_info(certificate)')].index('serial')\n\
             marks = lambda row: ','.join('?' * len(row))\n\
             ids = range(2, {MANY} + 1)\n\
             db.executemany(f'INSERT INTO request VALUES ({{marks(template)}})',\n\
                            ((it, *template[1:]) for it in ids))\n\
             def certificate(it):\n\
             \x20   row = [it, *made[1:]]\n\
             \x20   row[serial] = b'\\x40' + it.to_bytes(15, 'big')\n\
             \x20   return row\n\
             db.executemany(f'INSERT INTO certificate VALUES ({{marks(made)}})', map(certificate, ids))"
        ),
    );
    let server = ca.serve();

    // The command: its own memory, and its rows as Python reads them.
    let file = ca.scratch().join("all.csv");
    let script = "import csv, json, os, subprocess, sys\n\
                  words = json.load(sys.stdin)\n\
                  with open(words['file'], 'wb') as out:\n\
                  \x20   child = subprocess.Popen(words['command'], stdout=out, env=words['env'])\n\
                  _, status, used = os.wait4(child.pid, 0)\n\
                  rows = csv.reader(open(words['file'], newline=''))\n\
                  heading = next(rows)\n\
                  at = heading.index('request_id')\n\
                  ids = [int(row[at]) for row in rows]\n\
                  print(json.dumps([status, used.ru_maxrss, len(ids), len(set(ids))]))";
    let exeunt = program::built("exeunt");
    let words = serde_json::json!({
        "file": file.to_str(),
        "command": [exeunt.to_str(), "cert", "list", "--all", "--format", "csv"],
        "env": {"EXEUNT_HOME": ca.home().to_str()},
    });
    let [status, client_kib, rows, different]: [u64; 4] =
        serde_json::from_value(python(script, &words)).unwrap();
    assert_eq!((status, rows, different), (0, MANY, MANY));
    assert!(client_kib < MEMORY_KIB_MAX, "the client took {client_kib} KiB");

    // One answer of HTTP with all of them.
    let script = "import http.client, json, sys\n\
                  words = json.load(sys.stdin)\n\
                  server = http.client.HTTPConnection(words['address'])\n\
                  server.request('GET', '/v1/requests?format=jsonl',\n\
                                 headers={'Authorization': 'Bearer ' + words['token']})\n\
                  answer = server.getresponse()\n\
                  print(json.dumps([answer.status, sum(1 for line in answer)]))";
    let address = server.address().to_string();
    let words = serde_json::json!({"address": address, "token": ca.token()});
    let [status, rows]: [u64; 2] = serde_json::from_value(python(script, &words)).unwrap();
    assert_eq!((status, rows), (200, MANY));

    // One who does not read holds nobody up, neither those who issue nor the end of the server.
    let mut idle = TcpStream::connect(server.address()).unwrap();
    let token = ca.token();
    write!(
        idle,
        "GET /v1/requests?format=csv HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    idle.read_exact(&mut [0; 512]).unwrap();
    let request = request(&ca, "ec:P-256", "/CN=two.example", &["two.example"]);
    ca.ok(&["submit", &request]);

    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let most = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
    let most: u64 = most.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(most < MEMORY_KIB_MAX, "the server took {most} KiB");
    server.stop();
}

/// The certificates of the first requests are old and have twenty days left, in the store of a server that
/// does not run.
pub(super) fn grow_old(ca: &Ca, requests: usize) {
    meddle(
        ca,
        &format!(
            "import time\n\
             day, now = 86400000, int(time.time() * 1000)\n\
             db.execute('UPDATE certificate SET issued = ?, not_after = ? WHERE request <= ?',\n\
             \x20          (now - 70 * day, now + 20 * day, {requests}))"
        ),
    );
}

#[test]
fn modules_hear_once_of_a_certificate_that_runs_out() {
    let ca = Ca::init(&[]);
    ca.configure("warn_days = [30, 7, 1]", "warn_days = []");
    let (module, heard) = (program::built("record-module"), ca.scratch().join("heard"));
    let (module, file) = (module.to_str().unwrap(), heard.to_str().unwrap());
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = [{module:?}]\n[exit.settings]\nfile = {file:?}"
    ));
    let server = ca.serve();
    for host in ["one.example", "two.example"] {
        let file = request(&ca, "ec:P-256", &format!("/CN={host}"), &[host]);
        ca.ok(&["submit", &file]);
    }
    server.stop();
    grow_old(&ca, 1);
    ca.configure("warn_days = []", "warn_days = [7, 30]");
    let told = || -> Vec<String> {
        let all = record::read(&heard).unwrap();
        all.into_iter().filter(|it| it.event == EXPIRING).map(|it| it.subject).collect()
    };
    let server = ca.serve();
    wait_for("the module to hear", || (!told().is_empty()).then_some(()));
    server.stop();
    // What is told at the next start comes before its end, which the module hears of last.
    ca.serve().stop();
    assert_eq!(told(), ["request:1"]);
}
