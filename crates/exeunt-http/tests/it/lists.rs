//! Lists that were asked for something, and all of them row by row.

use exeunt_api::{CertificatePage, Disposition, RequestPage};
use exeunt_testkit::tools;
use serde_json::Value;

use crate::ca::{Ca, Http, problem};

/// A CA with certificates for so many hosts: `host1`, `host2`, …
fn with(hosts: usize) -> (Ca, Http) {
    let ca = Ca::start();
    let http = ca.local();
    for host in 1..=hosts {
        let request = ca.request(&format!("/CN=host{host}.example"), &[]);
        assert_eq!(http.post("/v1/requests", request).status(), 200);
    }
    (ca, http)
}

fn requests(http: &Http, query: &str) -> Vec<u64> {
    let page: RequestPage = http.get(&format!("/v1/requests?{query}")).json().unwrap();
    page.requests.iter().map(|it| it.id).collect()
}

fn certificates(http: &Http, query: &str) -> Vec<u64> {
    let page: CertificatePage = http.get(&format!("/v1/certificates?{query}")).json().unwrap();
    page.certificates.iter().map(|it| it.summary.request_id).collect()
}

/// What Python's module `csv` makes of it.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let script = "import csv, io, json, sys\n\
                  text = sys.stdin.buffer.read().decode()\n\
                  print(json.dumps(list(csv.reader(io.StringIO(text, newline='')))))";
    let read = tools::run_ok(tools::python(), ["-c", script], text.as_bytes());
    serde_json::from_slice(&read).unwrap()
}

#[test]
fn a_list_shows_what_was_asked_for_in_the_order_that_was_asked_for() {
    let (_ca, http) = with(3);
    assert_eq!(requests(&http, ""), [3, 2, 1]);
    assert_eq!(requests(&http, "subject=HOST2"), [2]);
    assert_eq!(requests(&http, "id_from=2&sort=id&submitted_from=1h"), [2, 3]);
    assert_eq!(requests(&http, "state=denied"), [0_u64; 0]);
    assert_eq!(requests(&http, "submitted_to=1h"), [0_u64; 0]);
    assert_eq!(certificates(&http, "subject_is=CN%3Dhost1.example"), [1]);
    assert_eq!(certificates(&http, "expiring_within=1d"), [0_u64; 0]);
    assert_eq!(certificates(&http, "expiring_within=1000w&order=desc"), [3, 2, 1]);
    let page: CertificatePage = http.get("/v1/certificates?limit=1").json().unwrap();
    let row = &page.certificates[0];
    assert_eq!((row.disposition, row.ca_key), (Disposition::Issued, 0));
    let serial = row.summary.serial.to_uppercase();
    assert_eq!(certificates(&http, &format!("serial={}", &serial[..12])), [3]);
    assert_eq!(certificates(&http, &format!("key={}", row.summary.key_type)), [3, 2, 1]);
}

#[test]
fn a_page_says_after_what_the_next_one_begins() {
    let (_ca, http) = with(3);
    for query in ["sort=not-after", "sort=not-after&order=desc", "", "sort=id"] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/certificates?limit=1&{query}{after}");
            let page: CertificatePage = http.get(&path).json().unwrap();
            seen.extend(page.certificates.iter().map(|it| it.summary.request_id));
            assert_eq!(page.next_before.is_some(), query.is_empty() && page.next.is_some());
            let Some(next) = page.next else { break };
            after = format!("&after={next}");
        }
        let descending = query.is_empty() || query.ends_with("desc");
        assert_eq!(seen, if descending { [3, 2, 1] } else { [1, 2, 3] }, "{query}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let (_ca, http) = with(0);
    problem(http.get("/v1/requests?tempalte=x"), 400, "query-invalid");
    problem(http.get("/v1/requests?state=isued"), 400, "filter-invalid");
    problem(http.get("/v1/requests?format=csv&id_from=2&id_to=1"), 400, "filter-invalid");
    problem(http.get("/v1/certificates?reason=theft"), 400, "filter-invalid");
    problem(http.get("/v1/certificates?limit=0"), 400, "query-invalid");
}

#[test]
fn csv_and_lines_of_json_are_all_rows_and_read_back() {
    let (_ca, http) = with(3);
    let answer = http.get("/v1/requests?format=csv&sort=id");
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let rows = read_csv(&answer.text().unwrap());
    assert_eq!(rows[0], exeunt_api::REQUEST_CSV_HEADING);
    let ids: Vec<&str> = rows[1..].iter().map(|it| it[0].as_str()).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    assert!(rows.iter().all(|it| it.len() == rows[0].len()));

    let lines = http.get("/v1/certificates?format=jsonl").text().unwrap();
    let lines: Vec<Value> = lines.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let page: Value = http.get("/v1/certificates").json().unwrap();
    assert_eq!(Value::Array(lines.clone()), page["certificates"]);
    let two = http.get("/v1/certificates?format=jsonl&limit=2").text().unwrap();
    assert_eq!(two.lines().count(), 2);

    let rows = read_csv(&http.get("/v1/certificates?format=csv").text().unwrap());
    assert_eq!(rows[0], exeunt_api::CERTIFICATE_CSV_HEADING);
    for (row, line) in rows[1..].iter().zip(&lines) {
        for (name, value) in rows[0].iter().zip(row) {
            let expected = match &line[name] {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            };
            assert_eq!(*value, expected, "{name}");
        }
    }
}

#[test]
fn an_export_that_finds_nothing_is_a_heading() {
    let (_ca, http) = with(1);
    let rows = read_csv(&http.get("/v1/requests?format=csv&state=denied").text().unwrap());
    assert_eq!(rows, [exeunt_api::REQUEST_CSV_HEADING]);
    assert_eq!(http.get("/v1/requests?format=jsonl&state=denied").text().unwrap(), "");
}
