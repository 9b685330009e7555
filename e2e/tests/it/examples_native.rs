//! The exit modules in C and C++ of `examples/`: compiled and added by the commands of their pages,
//! and judged by what they write. The pages are read here, so that what they say is what was tried.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_e2e::program::built;
use exeunt_testkit::tools;
use serde_json::{Value, json};

use super::issuing::request;

/// The folder of this repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A CA, and what the commands of an example's page expect around them: this repository's folders
/// in the current one, and the CA's home as `ca`.
fn place() -> Ca {
    let ca = Ca::init(&[]);
    for folder in ["contract", "examples"] {
        symlink(repository().join(folder), ca.scratch().join(folder)).unwrap();
    }
    symlink(ca.home(), ca.scratch().join("ca")).unwrap();
    ca
}

/// The commands of an example's page: how it is compiled, how it is added.
fn commands(example: &str) -> [String; 2] {
    let page = fs::read_to_string(repository().join("examples").join(example).join("README.md"));
    let page = page.unwrap();
    let commands: Vec<String> =
        page.lines().filter_map(|it| it.strip_prefix("$ ")).map(str::to_owned).collect();
    commands.try_into().expect("a page has two commands")
}

/// Runs a command of a page.
fn shell(ca: &Ca, command: &str) {
    let programs = built("exeunt-runner").parent().unwrap().to_owned();
    let path = std::env::join_paths(
        std::iter::once(programs).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let output = Command::new("sh")
        .args(["-e", "-c", command])
        .current_dir(ca.scratch())
        .env("PATH", path.unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "", "{command}");
}

/// The folder in which an added module works.
fn folder(ca: &Ca, module: &str) -> PathBuf {
    ca.home().join("modules").join(module)
}

fn status(ca: &Ca, module: &str) -> Value {
    serde_json::from_str(&ca.ok(&["exit", "status", module, "--json"])).unwrap()
}

fn settled(ca: &Ca, module: &str) {
    wait_for("the module to hear everything", || {
        let status = status(ca, module);
        (status["lag"] == 0 && status["held_retry"] == 0).then_some(())
    });
    assert_eq!(status(ca, module)["held_parked"], 0);
}

/// Issues a certificate; gives what openssl reads in it.
fn issue(ca: &Ca, subject: &str) -> Value {
    let file = request(ca, "ec:P-256", subject, &["host.example.test"]);
    let pem = ca.ok(&["submit", &file]);
    let read = |options: &str| {
        let words = ["x509", "-noout", "-nameopt", "RFC2253,utf8,-esc_msb"];
        let words = words.into_iter().chain(options.split(' '));
        let line = text(&tools::run_ok(tools::openssl(), words, pem.as_bytes()));
        line.split_once('=').unwrap().1.trim_end().to_owned()
    };
    let date = |option: &str| read(&format!("{option} -dateopt iso_8601")).replace(' ', "T");
    json!({
        "serial": read("-serial").to_lowercase(),
        "sha1": read("-fingerprint -sha1").replace(':', "").to_lowercase(),
        "subject": read("-subject"),
        "not_before": date("-startdate"),
        "not_after": date("-enddate"),
    })
}

/// What a foreign reader, a script in Python, makes of a file.
fn read_with(script: &str, file: &Path) -> Value {
    let output =
        tools::run_ok(tools::python(), ["-c".as_ref(), script.as_ref(), file.as_os_str()], b"");
    serde_json::from_slice(&output).unwrap()
}

/// A name that is awkward in CSV, XML, mails and spreadsheets, as openssl is told it and as it reads.
const AWKWARD: &str = "/O=Zürich 𝄞/CN==1, \"2\" <3> & 4";

#[test]
fn the_module_in_c_writes_csv_that_others_read() {
    let ca = place();
    let server = ca.serve();
    let [compile, add] = commands("c-csv");
    shell(&ca, &compile);
    shell(&ca, &add);
    let first = issue(&ca, AWKWARD);
    let refused = ca.run(&["submit", &request(&ca, "ec:P-256", "/CN=host/serialNumber=7", &[])]);
    assert_eq!(refused.status.code(), Some(1));
    settled(&ca, "csv");
    server.stop();
    let rows = read_with(
        "import csv, json, sys; print(json.dumps(list(csv.reader(open(sys.argv[1], encoding='utf-8', newline='')))))",
        &folder(&ca, "csv").join("events.csv"),
    );
    let [issued, denied] = rows.as_array().unwrap().as_slice() else { panic!("{rows}") };
    let submitted = issued[2].as_str().unwrap();
    assert_eq!(submitted[..2], *"20", "{submitted}");
    let requester = &issued[3];
    assert!(requester.as_str().unwrap().starts_with("local:"), "{requester}");
    let name = "'=1, \"2\" <3> & 4";
    let (serial, end) = (&first["serial"], &first["not_after"]);
    assert_eq!(*issued, json!(["issued", "1", submitted, requester, name, serial, end]));
    assert_eq!(denied.as_array().unwrap()[..2], [json!("denied"), json!("2")]);
    assert_eq!(denied.as_array().unwrap()[4..], [json!("host"), json!(""), json!("")]);
}

#[test]
fn the_module_in_cpp_writes_xml_that_others_read() {
    let ca = place();
    let server = ca.serve();
    let [compile, add] = commands("cpp-xml");
    shell(&ca, &compile);
    shell(&ca, &add);
    let certificates = [issue(&ca, AWKWARD), issue(&ca, "/CN=host.example.test")];
    settled(&ca, "xml");
    server.stop();
    let folder = folder(&ca, "xml").join("certificates");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    for openssl in certificates {
        let serial = openssl["serial"].as_str().unwrap();
        let mut read = read_with(
            "import json, sys, xml.etree.ElementTree as tree\n\
             print(json.dumps({it.tag: it.text for it in tree.parse(sys.argv[1]).getroot()}))",
            &folder.join(format!("{serial}.xml")),
        );
        let requester = read["requester"].take();
        assert!(requester.as_str().unwrap().starts_with("local:"), "{requester}");
        let expected = json!({
            "serialNumber": serial,
            "sha1": openssl["sha1"],
            "subject": openssl["subject"],
            "notBefore": openssl["not_before"],
            "notAfter": openssl["not_after"],
            "template": "tls-server",
            "requester": null,
        });
        assert_eq!(read, expected);
    }
}

#[test]
fn the_module_for_automation_sends_mails_that_others_read() {
    let ca = place();
    let server = ca.serve();
    let [compile, add] = commands("cpp-automation");
    shell(&ca, &compile);
    shell(&ca, &add);
    let openssl = issue(&ca, AWKWARD);
    settled(&ca, "mail");
    let shown = ca.ok(&["request", "show", "1", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let submitted = shown["submitted"].as_str().unwrap();
    server.stop();
    let mails = read_with(
        "import email, email.policy, json, mailbox, sys\n\
         read = lambda it: email.message_from_binary_file(it, policy=email.policy.default)\n\
         mails = mailbox.Maildir(sys.argv[1], factory=read, create=False)\n\
         print(json.dumps([{'to': it['To'], 'subject': it['Subject'], 'id': it['Message-ID'],\n\
         'date': it['Date'].datetime.isoformat(), 'defects': len(it.defects),\n\
         'text': it.get_content()} for it in mails]))",
        &folder(&ca, "mail").join("mails"),
    );
    let [mail] = mails.as_array().unwrap().as_slice() else { panic!("{mails}") };
    assert_eq!(mail["to"], "ca@example.test");
    assert_eq!(mail["subject"], "Request 1 is issued");
    assert_eq!(mail["defects"], 0, "{mail}");
    assert!(mail["id"].as_str().unwrap().starts_with("<issued-1@"), "{mail}");
    assert_eq!(mail["date"].as_str().unwrap()[..19], submitted[..19]);
    let text = mail["text"].as_str().unwrap();
    for part in ["subject", "serial", "not_after"] {
        assert!(text.contains(openssl[part].as_str().unwrap()), "{part} is missing in {mail}");
    }
}

/// A module that cannot write: what its example is, how it is set, where its attempts break.
struct Broken {
    example: &'static str,
    library: &'static str,
    class: &'static str,
    settings: &'static str,
    /// Is to be a folder, and is a file; or the other way round.
    obstacle: &'static str,
    is_folder: bool,
    words: &'static str,
}

#[test]
fn what_a_module_says_about_its_failure_is_shown_and_the_event_can_be_told_again() {
    let modules = [
        Broken {
            example: "c-csv",
            library: "csv.so",
            class: "Csv.Exit",
            settings: "file = \"events.csv\"",
            obstacle: "events.csv",
            is_folder: true,
            words: "Notify failed: 0x80004005 the file cannot be written: Is a directory",
        },
        Broken {
            example: "cpp-xml",
            library: "xml.so",
            class: "Xml.Exit",
            settings: "directory = \"certificates\"",
            obstacle: "certificates",
            is_folder: false,
            words: "Notify failed: 0x80004005 filesystem error: cannot write: Not a directory",
        },
        Broken {
            example: "cpp-automation",
            library: "mail.so",
            class: "Mail.Exit",
            settings: "maildir = \"mails\"\nto = \"ca@example.test\"",
            obstacle: "mails/tmp",
            is_folder: false,
            words: "Notify failed: 0x80004005 the mail cannot be written into mails",
        },
    ];
    let ca = place();
    for Broken { example, library, class, settings, .. } in &modules {
        shell(&ca, &commands(example)[0]);
        let library = ca.scratch().join(library);
        ca.configure_more(&format!(
            "[[exit]]\nname = \"{example}\"\nlibrary = {library:?}\nclass = \"{class}\"\n\
             working_directory = \"modules/{example}\"\nretry_attempts_max = 1\n\
             [exit.settings]\n{settings}"
        ));
    }
    let server = ca.serve();
    for Broken { example, obstacle, is_folder, .. } in &modules {
        wait_for("the module to run", || {
            (status(&ca, example)["state"] == "running").then_some(())
        });
        let obstacle = folder(&ca, example).join(obstacle);
        if *is_folder {
            fs::create_dir(obstacle).unwrap();
        } else {
            fs::remove_dir(&obstacle).unwrap();
            fs::write(obstacle, "").unwrap();
        }
    }
    issue(&ca, "/CN=host.example.test");
    for Broken { example, obstacle, is_folder, words, .. } in &modules {
        wait_for("it to be parked", || (status(&ca, example)["held_parked"] == 1).then_some(()));
        let shown = ca.ok(&["exit", "parked", "show", example, "--all"]);
        assert!(shown.contains(words), "{example}: {shown}");
        assert!(ca.ok(&["exit", "status", example]).contains(words), "{example}");

        let obstacle = folder(&ca, example).join(obstacle);
        if *is_folder {
            fs::remove_dir(obstacle).unwrap();
        } else {
            fs::remove_file(&obstacle).unwrap();
            fs::create_dir(obstacle).unwrap();
        }
        ca.ok(&["exit", "parked", "retry", example, "--all"]);
        wait_for("it to be accepted", || (status(&ca, example)["accepted"] == 1).then_some(()));
        settled(&ca, example);
    }
    server.stop();
}

#[test]
fn a_setting_that_is_missing_is_named() {
    let ca = place();
    for (example, library, class, words) in [
        ("c-csv", "csv.so", "Csv.Exit", "the setting file is missing"),
        ("cpp-xml", "xml.so", "Xml.Exit", "the setting directory is missing"),
        ("cpp-automation", "mail.so", "Mail.Exit", "the settings maildir and to are needed"),
    ] {
        shell(&ca, &commands(example)[0]);
        let library = ca.scratch().join(library);
        ca.configure_more(&format!(
            "[[exit]]\nname = \"{example}\"\nlibrary = {library:?}\nclass = \"{class}\""
        ));
        let server = ca.serve();
        let why = wait_for("the module to be down", || {
            let status = status(&ca, example);
            (status["state"] == "down").then(|| status["why"].as_str().unwrap().to_owned())
        });
        assert!(why.contains(words), "{example}: {why}");
        server.stop();
    }
}

#[test]
fn the_modules_in_c_and_cpp_keep_the_contract() {
    let ca = place();
    for (example, library, class, settings) in [
        ("c-csv", "csv.so", "Csv.Exit", &["file=checked.csv"][..]),
        ("cpp-xml", "xml.so", "Xml.Exit", &["directory=checked"]),
        (
            "cpp-automation",
            "mail.so",
            "Mail.Exit",
            &["maildir=checked-mails", "to=ca@example.test"],
        ),
    ] {
        shell(&ca, &commands(example)[0]);
        let mut command = ca.command(&["exit", "check", "--library", library, "--class", class]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let output = command.current_dir(ca.scratch()).output().unwrap();
        assert!(output.status.success(), "{example}: {}", text(&output.stdout));
    }
}
