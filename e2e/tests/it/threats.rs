//! What a hostile module of the policy can reach, and what somebody with another role can do about it all.

use std::fs;
use std::io::{Read as _, Write as _};

use exeunt_e2e::ca::{Ca, text, wait_for};

use super::issuing::request;

/// A policy module that tries to get at what is not its own before it rules, and writes down what it
/// got; then it issues whatever it is asked about, or tries to.
const HOSTILE: &str = r#"import errno, json, os, socket, sys
home, found = os.path.realpath(".."), []
def reach(name, mode):
    try:
        with open(os.path.join(home, name), mode + "b") as file:
            if mode == "r": file.read(1)
        found.append(mode + " " + name)
    except OSError:
        pass
for name in ["secrets/ca.key.pem", "secrets/passphrase", "exeunt.db", "exeunt.toml", "ca.cert.pem"]:
    reach(name, "r")
for name in ["exeunt.toml", "ca.cert.pem", "published/note", "audit/checkpoints", "new"]:
    reach(name, "a")
def tell():
    with open("found.new", "w") as file: json.dump(found, file)
    os.rename("found.new", "found")
for line in sys.stdin.buffer:
    call, result = json.loads(line), None
    if call["method"] == "Initialize":
        result = {"protocol": 1, "features": [], "event_mask": 0, "window": 1}
    elif call["method"] == "GetDescription":
        result = "hostile"
    elif call["method"] == "VerifyRequest":
        try:
            door = socket.socket(socket.AF_UNIX)
            door.connect(os.path.join(home, "exeunt.sock"))
            door.sendall(b"GET /v1/ca HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            if b" 200 " in door.recv(100): found.append("socket")
        except OSError:
            pass
        tell()
        result = {"disposition": 1}
    print(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}), flush=True)
    if call["method"] == "Shutdown":
        break
"#;

/// A CA with the hostile module as its policy, and what that reached when it was asked.
fn hostile(sandbox: bool) -> Vec<String> {
    let ca = Ca::init(&[]);
    fs::create_dir(ca.home().join("hooks")).unwrap();
    fs::write(ca.home().join("hooks/hostile.py"), HOSTILE).unwrap();
    ca.configure(
        "[policy]\n",
        &format!("[policy]\ncommand = [\"python3\", \"hooks/hostile.py\"]\nsandbox = {sandbox}\n"),
    );
    let server = ca.serve();
    let host = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    ca.ok(&["submit", &host]);
    let place = ca.home().join("policy-module/found");
    let found = wait_for("the module to look around", || fs::read_to_string(&place).ok());
    server.stop();
    serde_json::from_str(&found).unwrap()
}

#[test]
fn a_policy_module_reaches_nothing_of_the_home_but_its_own_folder() {
    // What nothing keeps from it, it does reach: the test does test something.
    let free = hostile(false);
    for reached in ["r secrets/ca.key.pem", "r exeunt.db", "a ca.cert.pem", "a new", "socket"] {
        assert!(free.iter().any(|it| it == reached), "{reached}: {free:?}");
    }
    let kept = hostile(true);
    let support = exeunt_host::confine::support();
    if support.landlock.is_some() {
        assert_eq!(kept, [""; 0]);
    }
    assert!(!support.seccomp || !kept.iter().any(|it| it == "socket"), "{kept:?}");
}

#[test]
fn whoever_administrates_is_seen_giving_himself_the_token_of_another() {
    let ca = Ca::init(&[]);
    ca.configure("[server]", "[server]\nrole_separation = true");
    ca.configure("issue = \"at-once\"", "issue = \"hold\"");
    ca.configure_more(
        "[[principal]]\nname = \"bob\"\nroles = [\"certificate-manager\"]\n\
         [[principal]]\nname = \"audit\"\nroles = [\"auditor\"]\n",
    );
    let server = ca.serve();
    let url = format!("http://{}", server.address());
    let token = |who: &str| {
        let file = ca.scratch().join(format!("{who}.token")).to_str().unwrap().to_owned();
        ca.ok(&["token", "add", who, "--name", "t", "--out", &file]);
        file
    };
    let host = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    assert_eq!(ca.run(&["submit", &host]).status.code(), Some(3), "it waits");
    // The administrator himself may not, and nothing keeps him from taking a token of one who may.
    let refused = ca.run(&["request", "approve", "1"]);
    assert!(text(&refused.stderr).contains("error[role-missing]"), "{}", text(&refused.stderr));
    let (bob, audit) = (token("bob"), token("audit"));
    ca.ok(&["request", "approve", "1", "--server", &url, "--token-file", &bob]);
    // The auditor sees both: who gave the token, and what was done with it.
    let rows = ["audit", "show", "--all", "--format", "jsonl", "--server", &url];
    let rows = ca.ok(&[&rows[..], &["--token-file", &audit]].concat());
    let has = |words: &[&str]| rows.lines().any(|row| words.iter().all(|it| row.contains(it)));
    assert!(has(&["\"token-add\"", "\"principal:bob\"", "\"local:"]), "{rows}");
    assert!(has(&["\"request-approve\"", "principal:bob by token:t"]), "{rows}");
    server.stop();
}

/// Changes a few octets: flips, removes, repeats, puts in.
fn mutated(random: &mut fastrand::Rng, octets: &[u8]) -> Vec<u8> {
    let mut out = octets.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..out.len().max(1));
        match random.u8(0..5) {
            0 => out.insert(at.min(out.len()), random.u8(..)),
            1 => out.truncate(at),
            2 if at < out.len() => out[at] = *random.choice(b"\0\"%{}[],:;/= \r\n-+9\xff").unwrap(),
            3 if at < out.len() => drop(out.drain(at..(at + random.usize(1..8)).min(out.len()))),
            _ => {
                let again = out.clone();
                out.splice(at..at, again[at..].iter().copied().take(40));
            }
        }
    }
    out
}

#[test]
fn no_damaged_message_of_http_panics_or_stops_the_server() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let host = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let pem = fs::read_to_string(&host).unwrap();
    let bearer = format!("authorization: Bearer {}\r\n", ca.token());
    let head = |line: &str, more: &str, body: &str| {
        let length = body.len();
        format!(
            "{line} HTTP/1.1\r\nhost: x\r\n{bearer}{more}content-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
    };
    let json = "content-type: application/json\r\n";
    let seeds = [
        head(
            "POST /v1/requests?template=tls-server&attribute=a:b",
            "idempotency-key: \"k-1\"\r\n",
            &pem,
        ),
        head("POST /v1/requests", json, "{\"request\":\"x\",\"template\":\"t\",\"dry_run\":true}"),
        head(
            "GET /v1/requests?limit=2&status=issued&since=2026-01-01T00:00:00Z&format=csv",
            "",
            "",
        ),
        head(
            "GET /v1/certificates?expires_within=30d&serial=5c&after=3",
            "accept: text/csv;q=0.5\r\n",
            "",
        ),
        head("GET /v1/audit?limit=3&event=4886&before=9", "", ""),
        head(
            "POST /v1/principals/web/tokens",
            json,
            "{\"name\":\"t\",\"sha256\":\"00\",\"from\":[\"::/0\"]}",
        ),
        head("POST /v1/key-recoveries", json, "{\"request\":1,\"reason\":\"lost\"}"),
        head("PUT /v1/requests/1/extensions/1.2.3", json, "{\"value\":\"0500\",\"critical\":true}"),
        head("POST /cmc", "content-type: application/pkcs7-mime\r\n", "0\u{1}"),
        head("GET /ocsp/MEIwQDA%2BMDwwOjAJBgUrDgMCGgUABBQ", "", ""),
        head("GET /crl/ca.crl", "if-none-match: \"00\"\r\nif-modified-since: x\r\n", ""),
    ];
    let mut random = fastrand::Rng::with_seed(5);
    let mut answered = 0;
    for round in 0..1500 {
        let message = mutated(&mut random, seeds[round % seeds.len()].as_bytes());
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        let _ = stream.write_all(&message);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answered += usize::from(answer.starts_with(b"HTTP/1.1 "));
        let is_fault = answer.starts_with(b"HTTP/1.1 500");
        assert!(!is_fault, "{}\n{}", text(&message), text(&answer));
    }
    assert!(500 < answered, "only {answered} were answered");
    ca.ok(&["submit", &host]);
    server.stop();
    let log = fs::read_to_string(ca.log()).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn no_damage_to_an_export_of_the_trail_or_its_checkpoints_makes_the_check_panic() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let host = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    ca.ok(&["submit", &host]);
    server.stop();
    let at = |name: &str| ca.scratch().join(name).to_str().unwrap().to_owned();
    let (export, damaged, root) = (at("trail.jsonl"), at("damaged.jsonl"), at("ca.pem"));
    ca.ok(&["audit", "export", &export]);
    fs::write(&root, ca.certificate()).unwrap();
    let whole = fs::read(&export).unwrap();
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..60 {
        fs::write(&damaged, mutated(&mut random, &whole)).unwrap();
        let judged = ca.run(&["audit", "verify", &damaged, "--ca-file", &root]);
        let code = judged.status.code();
        assert!(code.is_some_and(|it| it < 3), "{code:?}: {}", text(&judged.stderr));
    }
    let checkpoints = ca.home().join("audit/checkpoints");
    let whole = fs::read(&checkpoints).unwrap();
    for _ in 0..40 {
        fs::write(&checkpoints, mutated(&mut random, &whole)).unwrap();
        let judged = ca.run(&["audit", "verify"]);
        let code = judged.status.code();
        assert!(code.is_some_and(|it| it < 3), "{code:?}: {}", text(&judged.stderr));
    }
}
