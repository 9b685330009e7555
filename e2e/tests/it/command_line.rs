//! What a person types, sees and gets back.

use exeunt_e2e::ca::{Ca, text};
use exeunt_testkit::requests;
use expect_test::expect;

use super::issuing::request;

#[test]
fn the_quickstart_goes_from_nothing_to_a_published_certificate_and_finds_its_ca_again() {
    let ca = Ca::bare();
    let first = ca.ok(&["quickstart", "--once"]);
    for line in [
        "1. Made a CA in",
        "2. Started the server: http://127.0.0.1:",
        "3. Made a key and a request for www.example.test",
        "4. The CA issued a certificate (request 1):",
        "subject:     CN=www.example.test",
        "5. The exit module published it:",
        "Try next, in another terminal:",
    ] {
        assert!(first.contains(line), "{line:?} is missing in:\n{first}");
    }
    let second = ca.ok(&["quickstart", "--once"]);
    assert!(second.contains("1. Found the CA in"), "{second}");
    assert!(second.contains("(request 2)"), "{second}");
    let is_pem = |it: &std::fs::DirEntry| it.path().extension().is_some_and(|it| it == "pem");
    let files = std::fs::read_dir(ca.published()).unwrap().flatten();
    assert_eq!(files.filter(is_pem).count(), 2);
}

#[test]
fn the_exit_status_tells_done_refused_wrong_usage_and_pending() {
    let ca = Ca::init(&[]);
    ca.configure("issue = \"at-once\"", "issue = \"hold\"");
    ca.configure_more(
        "[[template]]\nname = \"at-once\"\nvalidity_days = 30\nkey_usage = [\"digitalSignature\"]\n\
         subject_from_request = [\"CN\"]\nsan_from_request = [\"dns\"]\nissue = \"at-once\"",
    );
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    let status = |args: &[&str]| {
        let output = ca.run(&[&["submit", file.as_str()], args].concat());
        output.status.code().unwrap()
    };
    assert_eq!(status(&["--template", "at-once"]), 0);
    assert_eq!(status(&["--template", "none"]), 1);
    assert_eq!(status(&["--no-such-option"]), 2);
    assert_eq!(status(&["--attribute", "no-colon"]), 2);
    assert_eq!(status(&["--template", "tls-server"]), 3);
    server.stop();
    assert_eq!(status(&[]), 1);
}

#[test]
fn every_error_is_one_line_with_a_code_and_a_hint() {
    let ca = Ca::init(&[]);
    let errors = |args: &[&str]| {
        let output = ca.run(args);
        assert!(!output.status.success(), "{args:?} succeeded");
        text(&output.stderr).replace(ca.home().parent().unwrap().to_str().unwrap(), "TMP")
    };
    expect![[r"
        exeunt: error[server-not-running]: no server runs for TMP/home
        exeunt: hint: start it: exeunt serve --home TMP/home
    "]]
    .assert_eq(&errors(&["cert", "list"]));
    expect![[r"
        exeunt: error[config-missing]: there is no CA in TMP/none
        exeunt: hint: make a CA: exeunt init --home TMP/none --name NAME
        exeunt: hint: or name the home of an existing one with --home or EXEUNT_HOME
    "]]
    .assert_eq(&errors(&[
        "cert",
        "list",
        "--home",
        ca.home().with_file_name("none").to_str().unwrap(),
    ]));
    // One that was killed leaves its socket behind.
    ca.serve().kill();
    assert!(ca.home().join("exeunt.sock").exists());
    expect![[r"
        exeunt: error[server-not-running]: no server runs for TMP/home
        exeunt: hint: start it: exeunt serve --home TMP/home
    "]]
    .assert_eq(&errors(&["cert", "list"]));
    expect![[r"
        exeunt: error[home-exists]: there is a CA in TMP/home already
        exeunt: hint: to use it: exeunt serve --home TMP/home
        exeunt: hint: to make another one, choose another folder
    "]]
    .assert_eq(&errors(&["init", "--name", "Again"]));
    expect![[r#"
        exeunt: error[module-unknown]: there is no module "fax"
        exeunt: hint: there are: file, command, directory, webhook, mail, bus, sql, object, syslog
    "#]]
    .assert_eq(&errors(&["run-module", "fax"]));
    ca.configure("[ca]", "[ca]\ncolour = \"red\"");
    expect![[r"
        exeunt: error[config-syntax]: line 7: unknown field `colour`, expected `name` or `certificate`
        exeunt: hint: edit TMP/home/exeunt.toml
    "]]
    .assert_eq(&errors(&["config", "check"]));
}

#[test]
fn a_certificate_and_its_request_can_be_looked_up_by_people_and_programs() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let out = ca.scratch().join("host.pem");
    ca.ok(&["submit", &file, "--out", out.to_str().unwrap(), "--attribute", "Ticket:4711"]);
    let json = |args: &[&str]| -> serde_json::Value {
        serde_json::from_str(&ca.ok(&[args, &["--json"]].concat())).unwrap()
    };

    let list = json(&["cert", "list"]);
    let serial = list["certificates"][0]["serial"].as_str().unwrap().to_owned();
    let shown = json(&["cert", "show", &serial]);
    assert_eq!(shown["certificate"], std::fs::read_to_string(out).unwrap());
    assert_eq!(shown["subject"], "CN=host.example.test");
    assert!(ca.ok(&["cert", "list"]).contains(&serial));
    assert!(ca.ok(&["cert", "show", &serial.to_uppercase()]).contains("dns:host.example.test"));

    let request = json(&["request", "show", "1"]);
    assert_eq!(request["disposition"], "issued");
    assert_eq!(request["serial"], serial.as_str());
    assert_eq!(request["attributes"][0]["name"], "Ticket");
    assert_eq!(request["attributes"][0]["value"], "4711");
    assert!(ca.ok(&["request", "show", "1"]).contains("Attribute: Ticket:4711"));
    assert_eq!(json(&["request", "list"])["requests"][0]["id"], 1);
    assert!(ca.ok(&["request", "list", "--limit", "5"]).contains("issued"));

    let missing = ca.run(&["request", "show", "99"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        text(&missing.stderr).contains("error[request-not-found]"),
        "{}",
        text(&missing.stderr)
    );
    server.stop();
}

#[test]
fn a_request_comes_from_standard_input_as_pem_or_der() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let pem = requests::openssl_request("ec:P-256", "/CN=a.example.test", &[], ca.scratch());
    let der = ca.scratch().join("request.der");
    let convert =
        ["req", "-in", pem.to_str().unwrap(), "-outform", "DER", "-out", der.to_str().unwrap()];
    exeunt_testkit::tools::run_ok(exeunt_testkit::tools::openssl(), convert, b"");
    for file in [pem, der] {
        let input = std::fs::File::open(file).unwrap();
        let output = ca.command(&["submit", "-"]).stdin(input).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with("-----BEGIN CERTIFICATE-----"));
    }
    server.stop();
}

#[test]
fn completions_and_manual_pages_come_from_the_command_line_itself() {
    let ca = Ca::init(&[]);
    for shell in ["bash", "zsh", "fish"] {
        assert!(ca.ok(&["completions", shell]).contains("quickstart"), "{shell}");
    }
    assert!(ca.ok(&["man"]).contains(".TH exeunt 1"));
    let folder = ca.scratch().join("man1");
    ca.ok(&["man", "--out", folder.to_str().unwrap()]);
    assert!(folder.join("exeunt-submit.1").exists());
}

#[test]
fn config_check_says_what_is_configured_and_warns() {
    let ca = Ca::init(&["--key-type", "ed25519"]);
    let report = ca.ok(&["config", "check"]);
    for part in ["CN=Test Root", "ed25519", "tls-server", "file", "The configuration is good."] {
        assert!(report.contains(part), "{part:?} is missing in:\n{report}");
    }
    assert!(report.contains("warning: certificates name no place to look for revocation"));
    let json: serde_json::Value =
        serde_json::from_str(&ca.ok(&["config", "check", "--json"])).unwrap();
    assert_eq!(json["key_type"], "ed25519");
}
