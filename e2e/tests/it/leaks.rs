//! A full run with secrets of every kind, after which they are looked for everywhere.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_e2e::leak::{Found, Search, Secret};
use exeunt_e2e::program::built;
use exeunt_testkit::tools;
use serde_json::Value;

use super::issuing::request;

/// An exit module and a policy module that write down all that they can see. The exit module takes no
/// event, so that each becomes a row on its shelf.
pub(super) const SPY: &str = r#"import json, os, sys
with open(sys.argv[1], "ab") as seen:
    seen.write(open("/proc/self/environ", "rb").read() + repr(sys.argv).encode() + b"\n")
    for line in sys.stdin.buffer:
        seen.write(line)
        seen.flush()
        call, result = json.loads(line), None
        if call["method"] == "Initialize":
            result = {"protocol": 1, "features": [], "event_mask": 0xffffffff, "window": 8}
        elif call["method"] == "GetDescription":
            result = "a spy"
        elif call["method"] == "Notify":
            result = {"outcome": "retry", "reason": "not now"}
        elif call["method"] == "VerifyRequest":
            result = {"disposition": 1}
        print(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}), flush=True)
        if call["method"] == "Shutdown":
            break
"#;

const PEOPLE: [&str; 4] = ["alice", "bob", "dave", "eve"];
const SETTINGS: &str = r#"
[[door]]
listen = "127.0.0.1:0"
tls_certificate = "tls.pem"
tls_key = "secrets/tls.key"
client_certificates = "ask"

[key_archival]

[[recovery_agent]]
certificate = "agents/kra.pem"

[[template]]
name = "mail"
validity_days = 90
key_usage = ["keyEncipherment"]
extended_key_usage = ["emailProtection"]
subject_from_request = ["CN"]
issue = "at-once"
callers = "authenticated"
archive_key = "require"

[[template]]
name = "client"
validity_days = 90
key_usage = ["digitalSignature"]
extended_key_usage = ["clientAuth"]
subject_from_request = ["CN"]
issue = "at-once"
callers = "authenticated"

[[principal]]
name = "alice"
roles = ["certificate-manager", "administrator"]

[[principal]]
name = "bob"
roles = ["certificate-manager"]

[[principal]]
name = "dave"
roles = ["enrollee", "reader", "auditor"]

[[principal]]
name = "eve"
roles = ["enrollee"]
certificate_subjects = ["CN=client"]
"#;

/// Settings of modules, as an operator might write a password of a mail server into them.
const EXIT_SECRET: &str = "swordfish-for-the-exit";
const POLICY_SECRET: &str = "halibut-for-the-policy";
const LATER_SECRET: &str = "turbot-after-a-change";
const LATER_POLICY_SECRET: &str = "plaice-after-a-change-of-the-policy";
/// In the environment of the server, for something else.
const BYSTANDER: &str = "a-variable-of-others";
const BACKUP_WORD: &str = "a word for backups alone";
const UNWRAP_WORD: &str = "a word for what was unwrapped";

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn private(file: &Path, content: &[u8]) -> String {
    fs::write(file, content).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

fn openssl(args: &[&str]) -> Vec<u8> {
    tools::run_ok(tools::openssl(), args, b"")
}

/// A private key in a file as the secret that it is: PKCS #8 and the structure inside are the same
/// octets, less those of the public key.
fn key(name: &str, file: &str, passphrase: Option<&str>) -> Secret {
    let word = passphrase.map(|it| format!("pass:{it}"));
    let passin: Vec<&str> = word.iter().flat_map(|it| ["-passin", it]).collect();
    let der = |more: &[&str]| {
        openssl(&[&["pkey", "-in", file, "-outform", "DER"], more, &passin[..]].concat())
    };
    Secret::octets(name, &der(&[]), &der(&["-pubout"]))
}

/// Everything that was told to somebody, in the order in which it was.
struct Told(Vec<u8>);

impl Told {
    fn output(&mut self, output: &Output) {
        self.0.extend_from_slice(&output.stdout);
        self.0.extend_from_slice(&output.stderr);
    }
}

/// Raw HTTP, so that also the head of an answer is looked through.
fn ask(server: std::net::SocketAddr, head: &str, body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).unwrap();
    let length = body.len();
    let head = format!("{head}host: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // It may be answered and closed before it was all read.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 "), "{}", text(&answer));
    answer
}

/// Environment and command line of every process below the server; nothing while there is one that may
/// write its memory to a file, as one may that was started this moment.
fn processes_below(server: u32) -> Option<Vec<(String, Vec<u8>)>> {
    let parent = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if parent(&name) != Some(server) {
            continue;
        }
        let mut all = Vec::new();
        for part in ["environ", "cmdline"] {
            all.extend(fs::read(entry.path().join(part)).ok()?);
        }
        let limits = fs::read_to_string(entry.path().join("limits")).ok()?;
        let core = limits.lines().find(|it| it.starts_with("Max core file size"))?;
        if !core.split_whitespace().skip(4).take(2).eq(["0", "0"]) {
            return None;
        }
        found.push((format!("environment of process {name}"), all));
    }
    Some(found)
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_below(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

/// Reads every file below some folders; its name, and what is in it.
fn contents(folders: &[&Path]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in folders {
        files_below(folder, &mut files);
    }
    let read = |it: PathBuf| (it.to_str().unwrap().to_owned(), fs::read(&it).unwrap());
    files.into_iter().map(read).collect()
}

/// Where which secret may stand: where an operator put it.
fn may_stand(place: &str, secret: &str) -> bool {
    let in_config = place.ends_with("/exeunt.toml") || place.ends_with("no-keys.backup");
    match secret {
        "digest of a token" => in_config,
        "setting of the exit module" => in_config || place.ends_with("seen-by-exit"),
        "setting of the policy module" => in_config || place.ends_with("seen-by-policy"),
        // What keeps them is a folder of its own; from a backup with keys it comes back there.
        "token of the file" | "key of the door" | "file of the CA's key" => {
            place.contains("/secrets/")
        }
        "passphrase of the CA" => place.ends_with("home/secrets/passphrase"),
        _ => false,
    }
}

fn leaks(search: &Search, places: &[(String, Vec<u8>)]) -> Vec<(String, Found)> {
    let mut leaks = Vec::new();
    for (place, content) in places {
        let found = search.find(content).into_iter();
        leaks
            .extend(found.filter(|it| !may_stand(place, &it.secret)).map(|it| (place.clone(), it)));
    }
    leaks
}

#[test]
#[expect(clippy::too_many_lines, reason = "one run from its beginning to its end")]
fn after_a_full_run_no_secret_is_where_it_does_not_belong() {
    // 1. A CA with everything that has secrets.
    let ca = Ca::init(&[]);
    let (home, scratch) = (ca.home(), ca.scratch().to_owned());
    // What the test itself keeps secrets in is beside what is looked through.
    let safe = scratch.join("safe");
    let looked_at = scratch.join("looked-at");
    for folder in [&safe, &looked_at, &home.join("agents")] {
        fs::create_dir(folder).unwrap();
    }
    let kra = path(&safe, "kra.key");
    let new = ["req", "-x509", "-nodes", "-days", "400", "-newkey", "rsa:2048"];
    let agent = ["-addext", "extendedKeyUsage=1.3.6.1.4.1.311.21.6", "-subj", "/CN=kra"];
    let files = ["-keyout", &kra, "-out", &path(&home.join("agents"), "kra.pem")];
    openssl(&[&new[..], &agent[..], &files[..]].concat());
    let (tls_key, tls) = (path(&home.join("secrets"), "tls.key"), path(&home, "tls.pem"));
    openssl(
        &[
            &new[..],
            &[
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-keyout",
                &tls_key,
                "-out",
                &tls,
            ],
        ]
        .concat(),
    );
    fs::set_permissions(&tls_key, fs::Permissions::from_mode(0o600)).unwrap();
    let (client_key, client_csr) = (path(&safe, "client.key"), path(&safe, "client.csr"));
    let client_files = ["-subj", "/CN=client", "-keyout", &client_key, "-out", &client_csr];
    openssl(&[&["req", "-nodes", "-newkey", "rsa:2048"], &client_files[..]].concat());

    let spy = scratch.join("spy.py");
    fs::write(&spy, SPY).unwrap();
    let command = |seen: &str| {
        format!("command = [\"python3\", '{}', '{}']", spy.display(), path(&looked_at, seen))
    };
    ca.configure_more(&format!(
        "{SETTINGS}\n[[exit]]\nname = \"spy\"\n{}\nwritable = ['{}']\n[exit.settings]\npassword = \"{EXIT_SECRET}\"\n",
        command("seen-by-exit"),
        looked_at.display()
    ));
    ca.configure(
        "[policy]\n",
        &format!(
            "[policy]\n{}\nwritable = ['{}']\nsettings = {{ password = \"{POLICY_SECRET}\" }}\n",
            command("seen-by-policy"),
            looked_at.display()
        ),
    );
    let passphrase = fs::read_to_string(home.join("secrets/passphrase")).unwrap();
    let passphrase = passphrase.trim_end();
    ca.configure("passphrase_file = \"secrets/passphrase\"", "passphrase_env = \"CA_PASSPHRASE\"");
    let variables =
        [("CA_PASSPHRASE", passphrase), ("BYSTANDER", BYSTANDER), ("EXEUNT_LOG", "trace")];
    let server = ca.serve_doors(&variables, 1);
    let url = format!("http://{}", server.address());
    let mut told = Told(Vec::new());

    // 2. People with tokens, who do everything that has to do with secrets.
    for name in PEOPLE {
        let out = path(&safe, &format!("{name}.token"));
        told.output(&ca.run(&["token", "add", name, "--name", "t", "--out", &out]));
    }
    let as_of = |who: &str, args: &[&str]| {
        let token = path(&safe, &format!("{who}.token"));
        ca.run(&[args, &["--server", &url, "--token-file", &token]].concat())
    };
    let mut go = |who: &str, args: &[&str]| {
        let output = as_of(who, args);
        told.output(&output);
        assert!(output.status.success(), "{who} {args:?}: {}", text(&output.stderr));
        output
    };
    let subscriber = path(&safe, "erin.key");
    openssl(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-out",
        &subscriber,
    ]);
    fs::set_permissions(&subscriber, fs::Permissions::from_mode(0o600)).unwrap();
    let csr = path(&safe, "erin.csr");
    openssl(&["req", "-new", "-key", &subscriber, "-subj", "/CN=erin", "-out", &csr]);
    let submit = ["submit", &csr, "--template", "mail", "--archive-key", &subscriber, "--json"];
    let answer: Value = serde_json::from_slice(&go("dave", &submit).stdout).unwrap();
    let id = answer["request_id"].to_string();
    let ask_for = ["key", "recover", "--request", &id, "--reason", "lost", "--json"];
    let recovery: Value = serde_json::from_slice(&go("alice", &ask_for).stdout).unwrap();
    let recovery = recovery["id"].to_string();
    go("bob", &["key", "approve-recovery", &recovery]);
    let blob = path(&looked_at, "erin.recovery");
    go("alice", &["key", "fetch", &recovery, "--out", &blob]);
    let client = path(&safe, "client.pem");
    go("dave", &["submit", &client_csr, "--template", "client", "--out", &client]);
    go("dave", &["audit", "show", "--all"]);
    go("alice", &["principal", "list", "--json"]);
    go("dave", &["request", "list", "--json"]);
    let word = private(&safe.join("unwrap.word"), UNWRAP_WORD.as_bytes());
    let opened = path(&looked_at, "erin.opened");
    let unwrap = ["key", "unwrap", "--blob", &blob, "--key", &kra, "--out", &opened];
    told.output(&ca.run(&[&unwrap[..], &["--out-passphrase-file", &word]].concat()));
    assert!(Path::new(&opened).exists());

    // By TLS, with the client's own certificate and key.
    let shown = Command::new("curl")
        .args(["--silent", "--verbose", "--max-time", "30", "--cacert", &tls])
        .args(["--cert", &client, "--key", &client_key])
        .arg(format!("https://localhost:{}/v1/ca", server.door(0).port()))
        .output()
        .expect("curl is missing");
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    told.output(&shown);
    let told_of = text(&shown.stdout);
    assert!(told_of.contains("BEGIN CERTIFICATE"), "{told_of}");

    // 3. Orders at the socket, among them a change of a secret setting, and backups of both kinds.
    let host = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let backup_word = private(&safe.join("backup.word"), BACKUP_WORD.as_bytes());
    let sealed = path(&looked_at, "sealed.backup");
    let no_keys = path(&looked_at, "no-keys.backup");
    let (jsonl, csv) = (path(&looked_at, "trail.jsonl"), path(&looked_at, "trail.csv"));
    let orders: [&[&str]; 11] = [
        &["submit", &host],
        &["exit", "settings", "set", "spy", &format!("password={LATER_SECRET}")],
        &["policy", "settings", &format!("password={LATER_POLICY_SECRET}")],
        &["policy", "show"],
        &["reload"],
        &["crl", "publish"],
        &["backup", &sealed, "--passphrase-file", &backup_word],
        &["backup", &no_keys, "--no-keys"],
        &["verify-backup", &sealed, "--passphrase-file", &backup_word],
        &["audit", "export", &jsonl],
        &["audit", "export", &csv, "--format", "csv"],
    ];
    for args in orders {
        let output = ca.run(args);
        // This one shows the settings, at the socket, to whoever may set them.
        if !args.starts_with(&["policy", "settings"]) {
            told.output(&output);
        }
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }

    // 4. Everything that goes wrong with a secret in hand.
    let token = ca.token();
    let almost = format!("{}0", &token[..token.len() - 1]);
    let wrong = private(&safe.join("wrong.token"), almost.as_bytes());
    let errors: [&[&str]; 6] = [
        &["submit", &host, "--server", &url, "--token-file", &wrong],
        &["submit", &csr, "--template", "tls-server", "--archive-key", &subscriber],
        &[
            "key",
            "unwrap",
            "--blob",
            &blob,
            "--key",
            &client_key,
            "--out",
            &path(&safe, "none"),
            "--out-passphrase-file",
            &word,
        ],
        &["verify-backup", &sealed, "--passphrase-file", &word],
        &["restore", &sealed, "--home", &path(&safe, "nowhere"), "--passphrase-file", &word],
        &["exit", "add", "spy", "--command", "true", "--set", &format!("password={EXIT_SECRET}")],
    ];
    for args in errors {
        let output = ca.run(args);
        assert!(!output.status.success(), "{args:?}");
        told.output(&output);
    }
    let check = |word: &str| ca.command(&["config", "check"]).env("CA_PASSPHRASE", word).output();
    told.output(&check(&format!("{passphrase}x")).unwrap());
    told.output(&check(passphrase).unwrap());
    told.output(&as_of("eve", &["audit", "show"]));
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let eve = fs::read_to_string(safe.join("eve.token")).unwrap();
    let eve = eve.trim_end();
    let subscriber_pem = fs::read(&subscriber).unwrap();
    for (head, body) in [
        (format!("GET /v1/audit HTTP/1.1\r\n{}", bearer(eve)), &b""[..]),
        (format!("GET /v1/{eve} HTTP/1.1\r\n{}", bearer(eve)), b""),
        (format!("GET /v1/ca?{eve} HTTP/1.1\r\n{}", bearer(&almost)), b""),
        (format!("POST /v1/requests HTTP/1.1\r\n{}", bearer(eve)), subscriber_pem.as_slice()),
        (format!("GET /v1/ca HTTP/1.1\r\n{0}{0}", bearer(eve)), b""),
    ] {
        told.0.extend(ask(server.address(), &head, body));
    }

    // 5. The modules heard it, and are as they should be.
    wait_for("the spy's shelf", || {
        let status: Value =
            serde_json::from_str(&ca.ok(&["exit", "status", "spy", "--json"])).unwrap();
        (3 < status["held_retry"].as_u64()?).then_some(())
    });
    told.output(&ca.run(&["exit", "status", "spy", "--json"]));
    told.output(&ca.run(&["exit", "parked", "list", "spy", "--json"]));
    let mut places = wait_for("modules that leave no memory behind", || {
        processes_below(server.pid()).filter(|it| 2 <= it.len())
    });
    // While it runs, so that the write-ahead log is there.
    places.extend(contents(&[&home]));
    assert!(places.iter().any(|(it, _)| it.ends_with("exeunt.db-wal")));
    server.stop();

    // 6. What is in a backup with keys, when it is opened.
    let restored = path(&looked_at, "restored");
    told.output(&ca.run(&[
        "restore",
        &sealed,
        "--home",
        &restored,
        "--passphrase-file",
        &backup_word,
    ]));
    assert!(Path::new(&restored).join("secrets/tls.key").exists());

    // 7. The search.
    let ca_key = path(&home.join("secrets"), "ca.key.pem");
    let ca_key_pem = fs::read_to_string(&ca_key).unwrap();
    let ca_key_body: String = ca_key_pem.lines().filter(|it| !it.starts_with('-')).collect();
    let mut secrets = vec![
        Secret::text("token of the file", &token),
        Secret::text("passphrase of the CA", passphrase),
        Secret::text("file of the CA's key", &ca_key_body),
        Secret::text("setting of the exit module", EXIT_SECRET),
        Secret::text("setting of the exit module", LATER_SECRET),
        Secret::text("setting of the policy module", POLICY_SECRET),
        Secret::text("setting of the policy module", LATER_POLICY_SECRET),
        Secret::text("variable of the server", BYSTANDER),
        Secret::text("passphrase of the backup", BACKUP_WORD),
        Secret::text("passphrase of the unwrapped key", UNWRAP_WORD),
        key("key of the CA", &ca_key, Some(passphrase)),
        key("key of the agent", &kra, None),
        key("key of the subscriber", &subscriber, None),
        key("key of the door", &tls_key, None),
        key("key of the client", &client_key, None),
    ];
    for name in PEOPLE {
        let token = fs::read_to_string(safe.join(format!("{name}.token"))).unwrap();
        secrets.push(Secret::text(&format!("token of {name}"), &token));
        // Whoever has it can try tokens without anybody's noticing.
        let digest = exeunt_keys::sha256(token.trim_end().as_bytes());
        secrets.push(Secret::octets("digest of a token", &digest, &[]));
    }
    let search = Search::new(&secrets);
    places.push(("what was said".to_owned(), told.0));
    places.push(("the log".to_owned(), fs::read(ca.log()).unwrap()));
    places.extend(contents(&[&home, &looked_at]));
    for wanted in ["/seen-by-exit", "/seen-by-policy", "/trail.jsonl", "/audit/checkpoints"] {
        assert!(places.iter().any(|(it, _)| it.ends_with(wanted)), "{wanted} was not looked at");
    }
    assert_eq!(leaks(&search, &places), []);
    let heard = |place: &str, what: &str| {
        let (_, content) = places.iter().find(|(it, _)| it.ends_with(place)).unwrap();
        assert!(text(content).contains(what), "{place} has not heard {what}");
    };
    heard("/seen-by-exit", "\"Notify\"");
    heard("/seen-by-exit", EXIT_SECRET);
    heard("/seen-by-policy", "\"VerifyRequest\"");
    heard("/seen-by-policy", POLICY_SECRET);

    // 8. The same search finds what is put there for it, in each kind of place.
    let planted = |search: &Search, name: &str, content: &[u8]| {
        let place = looked_at.join("planted");
        fs::write(&place, content).unwrap();
        let found = leaks(search, &contents(&[&looked_at]));
        fs::remove_file(&place).unwrap();
        assert!(found.iter().any(|(_, it)| it.secret == name), "{name} was not found: {found:?}");
    };
    let subscriber_der = openssl(&["pkey", "-in", &subscriber, "-outform", "DER"]);
    let shown = openssl(&["pkey", "-in", &subscriber, "-noout", "-text"]);
    let name = "key of the subscriber";
    planted(&search, name, &[b"line\n", &subscriber_pem[..], b"line"].concat());
    planted(&search, name, &[b"page", &subscriber_der[..], b"page"].concat());
    planted(&search, name, format!("{subscriber_der:?}").as_bytes());
    planted(&search, name, &shown);
    let json = serde_json::json!({ "pem": text(&subscriber_pem) }).to_string();
    planted(&search, name, json.as_bytes());
    planted(&search, "token of eve", format!("authorization: Bearer {eve}").as_bytes());
    planted(&search, "passphrase of the CA", passphrase.as_bytes());
}

/// Whether a process that is told to abort leaves its memory behind, where its limits let it.
fn dumps_core(command: &mut Command) -> bool {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    // It is past its beginning when it says something.
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let sent = Command::new("kill").args(["-ABRT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    status.core_dumped()
}

#[test]
fn a_server_or_a_command_that_crashes_leaves_no_memory_behind() {
    let ca = Ca::init(&[]);
    let within = |script: &str| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -c unlimited 2>/dev/null; {script}");
        command.args(["-c", &script, "sh", built("exeunt").to_str().unwrap()]);
        command.env("EXEUNT_HOME", ca.home()).current_dir(ca.scratch());
        command
    };
    // Where this machine lets nobody dump anything, there is nothing to show.
    if !dumps_core(&mut within("echo up; exec sleep 600")) {
        return;
    }
    let server = "exec \"$1\" serve --listen 127.0.0.1:0 2>/dev/null";
    assert!(!dumps_core(&mut within(server)), "the server's memory is in a file");
    let running = ca.serve();
    // It has something to tell, also where the module has heard it before anybody asks.
    let tail = "exec \"$1\" exit tail file --from-start 2>/dev/null";
    let host = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    ca.ok(&["submit", &host]);
    assert!(!dumps_core(&mut within(tail)), "a command's memory is in a file");
    running.stop();
}
