//! What a hostile module of the policy can reach, and what somebody with another role can do about it all.

use std::fs;

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
