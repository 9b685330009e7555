//! Certificates that were made elsewhere, and orders about many certificates.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_e2e::{program, record};
use exeunt_keys::{Passphrase, SigningKey as _, SoftwareKey};
use exeunt_testkit::{foreign, tools};
use exeunt_types::Serial;
use exeunt_x509::{
    CertificateFields, Name, assemble_certificate, build_certs_only, build_tbs, decode_pem_or_der,
    encode_pem, parse_certificate,
};
use serde_json::Value;

use super::issuing::request;

/// `EXITEVENT_CERTIMPORTED` of the original.
const IMPORTED: u32 = 0x200;

fn json(ca: &Ca, args: &[&str]) -> Value {
    let output = ca.run(&[args, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

/// Runs what must be refused; the exit status is 1.
#[track_caller]
fn refused(ca: &Ca, args: &[&str], code: &str) {
    let output = ca.run(args);
    let words = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains(&format!("[{code}]")), "{words}");
}

fn put(ca: &Ca, name: &str, octets: impl AsRef<[u8]>) -> String {
    let path = ca.scratch().join(name);
    std::fs::write(&path, octets).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A certificate by openssl with the CA's key, as other software that had the key would have made it.
fn by_openssl(ca: &Ca, serial: &str) -> String {
    let home = |name: &str| ca.home().join(name).to_str().unwrap().to_owned();
    let asked = request(ca, "ec:P-256", "/CN=old.example.test", &[]);
    let out = ca.scratch().join(format!("{serial}.pem")).to_str().unwrap().to_owned();
    let passphrase = format!("file:{}", home("secrets/passphrase"));
    let extensions = put(ca, "v3.cnf", "subjectAltName=DNS:old.example.test\n");
    let (certificate, key) = (home("ca.cert.pem"), home("secrets/ca.key.pem"));
    let args = [
        "x509",
        "-req",
        "-in",
        &asked,
        "-days",
        "30",
        "-set_serial",
        serial,
        "-CA",
        &certificate,
        "-CAkey",
        &key,
        "-passin",
        &passphrase,
        "-extfile",
        &extensions,
        "-out",
        &out,
    ];
    tools::run_ok(tools::openssl(), args, b"");
    out
}

/// A certificate of another CA, PEM.
fn of_another_ca(folder: &Path) -> String {
    of_another_ca_with(folder, "0x7a7b7c")
}

fn of_another_ca_with(folder: &Path, serial: &str) -> String {
    let (key, out) = (folder.join("other.key"), folder.join("other.pem"));
    let args = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=Test Root",
        "-days",
        "30",
        "-set_serial",
        serial,
        "-keyout",
        key.to_str().unwrap(),
        "-out",
        out.to_str().unwrap(),
    ];
    tools::run_ok(tools::openssl(), args, b"");
    out.to_str().unwrap().to_owned()
}

/// Certificates with the CA's key, as its store has never seen them.
fn forgotten(ca: &Ca, count: u32) -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(ca.home().join(name)).unwrap();
    let passphrase = Passphrase::new(read("secrets/passphrase").trim_end()).unwrap();
    let key = SoftwareKey::from_encrypted_pem(&read("secrets/ca.key.pem"), &passphrase).unwrap();
    let root = parse_certificate(ca.certificate().as_bytes()).unwrap();
    let made = |number: u32| {
        let mut octets = [0x22; 16];
        octets[12..].copy_from_slice(&number.to_be_bytes());
        let tbs = build_tbs(&CertificateFields {
            serial: Serial::from_random(octets),
            scheme: key.scheme(),
            issuer: root.subject(),
            subject: &Name::parse(&format!("CN=host{number}")).unwrap(),
            not_before: root.not_before(),
            not_after: root.not_before() + 86_400,
            spki_der: key.public_key_der(),
            extensions: &[],
        });
        let tbs = tbs.unwrap();
        let signature = key.sign(&tbs).unwrap();
        encode_pem("CERTIFICATE", &assemble_certificate(&tbs, key.scheme(), &signature))
    };
    (0..count).map(made).collect()
}

#[test]
fn what_openssl_signed_with_the_cas_key_is_imported_and_openssl_believes_its_revocation() {
    let ca = Ca::init(&[]);
    let (module, heard) = (program::built("record-module"), ca.scratch().join("heard"));
    let (module, file) = (module.to_str().unwrap(), heard.to_str().unwrap());
    ca.configure_more(&format!(
        "[[exit]]\nname = \"record\"\ncommand = [{module:?}]\n[exit.settings]\nfile = {file:?}"
    ));
    let server = ca.serve();
    // Its top bit is set, so that its DER begins with a zero octet.
    let (old, good) = (by_openssl(&ca, "0xF0E1D2C3"), by_openssl(&ca, "0x11223344"));
    let told = ca.ok(&["cert", "import", &old, &good]);
    assert!(told.contains("imported 00f0e1d2c3, request 1"), "{told}");
    assert!(told.ends_with("2 imported, 0 refused\n"), "{told}");
    wait_for("the module to hear of the imports", || {
        let all = record::read(&heard).unwrap();
        (all.iter().filter(|it| it.event == IMPORTED).count() == 2).then_some(())
    });
    let row = json(&ca, &["request", "show", "1"]);
    assert_eq!(
        (&row["disposition"], &row["subject"]),
        (&"issued".into(), &"CN=old.example.test".into())
    );
    assert_eq!(row["requester"], row["caller"]);
    ca.ok(&["cert", "revoke", "--file", &old, "--reason", "key-compromise"]);
    ca.ok(&["crl", "publish"]);
    let crls = ca.home().join("crls");
    let newest = json(&ca, &["crl", "list"])["crls"][0]["number"].as_u64().unwrap();
    let crl = std::fs::read(crls.join(format!("{newest}-0-0-base.crl"))).unwrap();
    let crl = encode_pem("X509 CRL", &crl);
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    foreign::openssl_crl_verify(&crl, &ca.certificate()).unwrap();
    foreign::openssl_verify_with_crl(&read(&good), &ca.certificate(), &crl).unwrap();
    let err = foreign::openssl_verify_with_crl(&read(&old), &ca.certificate(), &crl).unwrap_err();
    assert!(err.contains("certificate revoked"), "{err}");
    let stays = ca.ok(&["cert", "publish-expired", "F0E1D2C3", "on"]);
    assert!(stays.contains("stays in lists after its validity"), "{stays}");
    server.stop();
}

#[test]
fn five_thousand_certificates_are_imported_and_what_is_bad_holds_up_nothing() {
    let ca = Ca::init(&[]);
    let certificates = forgotten(&ca, 5_000);
    let folder = ca.scratch().join("old");
    std::fs::create_dir(&folder).unwrap();
    let (many, rest) = certificates.split_at(4_900);
    let bad = encode_pem("CERTIFICATE", b"\x30\x03no!");
    std::fs::write(folder.join("many.pem"), many.concat() + &bad).unwrap();
    let der =
        |pem: &String| decode_pem_or_der(pem.as_bytes(), &["CERTIFICATE"]).unwrap().into_owned();
    let ders: Vec<_> = rest.iter().map(der).collect();
    for (number, chunk) in ders[..90].chunks(30).enumerate() {
        std::fs::write(folder.join(format!("{number}.p7b")), build_certs_only(chunk)).unwrap();
    }
    for (number, der) in ders[90..].iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.der")), der).unwrap();
    }
    std::fs::write(folder.join("empty.pem"), "nothing").unwrap();
    let folder = folder.to_str().unwrap();
    let server = ca.serve();

    let dry = json(&ca, &["cert", "import", folder, "--dry-run"]);
    assert_eq!((&dry["imported"], &dry["refused"]), (&5_000.into(), &2.into()));
    let output = ca.run(&["cert", "import", folder]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    assert!(told.ends_with("5000 imported, 2 refused\n"), "{}", &told[told.len() - 500..]);
    assert!(told.contains("many.pem#4901: refused[certificate-malformed]"));
    assert!(told.contains("(0x8007000d)") && told.contains("there is no certificate in it"));
    // Once more: all are there.
    let again = json(&ca, &["cert", "import", folder]);
    assert_eq!((&again["imported"], &again["refused"]), (&0.into(), &5_002.into()));
    let exists = again["results"].as_array().unwrap().iter();
    let exists =
        exists.filter(|it| it["code"] == "import-exists" && it["status_code"] == "0x80071392");
    assert_eq!(exists.count(), 5_000);
    server.stop();
}

#[test]
fn all_that_a_ca_has_issued_comes_in_one_message() {
    let ca = Ca::init(&[]);
    let der =
        |pem: &String| decode_pem_or_der(pem.as_bytes(), &["CERTIFICATE"]).unwrap().into_owned();
    let ders: Vec<_> = forgotten(&ca, 600).iter().map(der).collect();
    let message = build_certs_only(&ders);
    let file = put(&ca, "all.p7b", &message);
    let armoured = put(&ca, "all.pem", encode_pem("PKCS7", &message));
    let single = put(&ca, "one.p7b", build_certs_only(&ders[..1]));
    let server = ca.serve();
    let told = ca.ok(&["cert", "import", &file]);
    assert!(told.ends_with("600 imported, 0 refused\n"), "{told}");
    let again = json(&ca, &["cert", "import", &armoured]);
    assert_eq!((&again["imported"], &again["refused"]), (&0.into(), &600.into()));
    // A message of one is a file like any.
    let told = ca.ok(&["cert", "revoke", "--file", &single, "--reason", "superseded"]);
    assert!(told.contains("is revoked: superseded"), "{told}");
    server.stop();
}

/// Sends a signal, as Ctrl-C does.
fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Whether a line of that stream has these words, before it ends.
fn says(stream: &mut impl BufRead, words: &str) -> bool {
    stream.lines().map_while(Result::ok).any(|it| it.contains(words))
}

#[test]
fn ctrl_c_stops_an_import_after_what_is_under_way_and_the_same_command_goes_on() {
    let ca = Ca::init(&[]);
    let certificates = forgotten(&ca, 1_100);
    let all = put(&ca, "all.pem", certificates.concat());
    let pipe = ca.scratch().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let server = ca.serve();
    let mut child = ca
        .command(&["cert", "import", pipe.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    // So many that some are sent; the pipe stays open, so that this cannot be the end.
    let mut file = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    file.write_all(certificates[..1_000].concat().as_bytes()).unwrap();
    assert!(says(&mut out, "#512: imported"));
    signal(&child, "-INT");
    assert!(says(&mut err, "stopping after what is under way"));
    // Whoever waits for the next line of the file sees it then.
    let rest = certificates[1_000..].concat();
    let _ = file.write_all(rest.as_bytes());
    drop(file);
    let mut told = String::new();
    out.read_to_string(&mut told).unwrap();
    assert!(told.contains("512 imported, 0 refused\nstopped before the end"), "{told}");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    // What was not said to be done was not done.
    let again = json(&ca, &["cert", "import", &all]);
    assert_eq!((&again["imported"], &again["refused"]), (&588.into(), &512.into()));
    server.stop();
}

#[test]
fn ctrl_c_before_an_order_for_many_changes_nothing_and_a_second_one_waits_for_nobody() {
    let ca = Ca::init(&[]);
    let file = put(&ca, "all.pem", forgotten(&ca, 3).concat());
    let server = ca.serve();
    ca.ok(&["cert", "import", &file]);
    let revoke = ["cert", "revoke", "--where", "subject=host", "--confirm", "3"];
    let server_signal = |name: &str| {
        let pid = server.pid().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    for second in [false, true] {
        // The server does not answer the question what is meant.
        server_signal("-STOP");
        let mut child =
            ca.command(&revoke).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        // Once its signals are its own.
        let status = format!("/proc/{}/status", child.id());
        wait_for("the command to listen", || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|it| it.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
            // SIGINT is number 2.
            (caught & 2 != 0).then_some(())
        });
        signal(&child, "-INT");
        assert!(says(&mut err, "stopping after what is under way"));
        if second {
            signal(&child, "-INT");
            assert_eq!(child.wait().unwrap().code(), Some(130));
            server_signal("-CONT");
        } else {
            server_signal("-CONT");
            assert!(says(&mut err, "[interrupted]"));
            assert_eq!(child.wait().unwrap().code(), Some(1));
        }
        assert_eq!(json(&ca, &["request", "show", "1"])["disposition"], "issued");
    }
    let told = ca.ok(&revoke);
    assert!(told.contains("3 revoked"), "{told}");
    server.stop();
}

#[test]
fn ctrl_c_in_the_middle_of_an_order_for_many_finishes_what_is_under_way_and_counts_it() {
    let ca = Ca::init(&[]);
    let file = put(&ca, "all.pem", forgotten(&ca, 2_000).concat());
    let server = ca.serve();
    ca.ok(&["cert", "import", &file]);
    // A shell that stops the server at a word: a program that is started for it may come too late.
    let pid = server.pid().to_string();
    let mut stopper = Command::new("sh")
        .args(["-c", "echo; read -r word; kill -STOP $1; echo", "sh", &pid])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stands = BufReader::new(stopper.stdout.take().unwrap());
    let mut read = || stands.read_line(&mut String::new()).unwrap();
    read();
    let mut child = ca
        .command(&["cert", "revoke", "--where", "subject=host", "--confirm", "2000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut err = BufReader::new(child.stderr.take().unwrap());
    assert!(says(&mut out, "2000 certificates to revoke"));
    // Sixteen pieces are to come; the server stands still at one of the first.
    stopper.stdin.take().unwrap().write_all(b"now\n").unwrap();
    read();
    assert!(stopper.wait().unwrap().success());
    signal(&child, "-INT");
    assert!(says(&mut err, "stopping after what is under way"));
    assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
    let mut told = String::new();
    out.read_to_string(&mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{told}");
    let number = |after: &str, before: &str| -> usize {
        let (words, _) = told.split_once(before).unwrap_or_else(|| panic!("{told}"));
        let words = words.rsplit_once(after).map_or(words, |(_, it)| it);
        words.trim().parse().unwrap_or_else(|_| panic!("{told}"))
    };
    let (revoked, left) = (number("\n", " revoked, 0 were so"), number("stopped with ", " left;"));
    assert_eq!((revoked + left, revoked % 128), (2_000, 0), "{told}");
    assert!(0 < left, "{told}");
    // That many and no more, and the same order goes on with what is left.
    let again = ["cert", "revoke", "--where", "subject=host", "--confirm", &left.to_string()];
    let told = ca.ok(&again);
    assert!(told.contains(&format!("{left} revoked, 0 were so already, 0 refused")), "{told}");
    server.stop();
}

#[test]
fn a_number_that_two_certificates_have_means_this_cas_own() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let own = by_openssl(&ca, "0x11223344");
    let other = of_another_ca_with(ca.scratch(), "0x11223344");
    ca.ok(&["cert", "import", &own]);
    ca.ok(&["cert", "import", &other, "--allow-foreign"]);
    for args in [&["cert", "revoke", "--request", "2"][..], &["cert", "unrevoke", "--request", "2"]]
    {
        refused(&ca, args, "wrong-state");
    }
    refused(&ca, &["cert", "revoke", "--file", &other], "certificate-differs");
    let states =
        |state: &str| json(&ca, &["cert", "list", "--state", state])["certificates"].clone();
    assert_eq!(states("issued").as_array().unwrap().len(), 1);
    assert_eq!(states("revoked"), serde_json::json!([]));
    let shown = json(&ca, &["cert", "show", "11223344"]);
    assert_eq!((&shown["request_id"], &shown["disposition"]), (&1.into(), &"issued".into()));
    // By filter, by number and by file it is this CA's own.
    let told = ca.ok(&["cert", "revoke", "--where", "serial=11223344", "--confirm", "1"]);
    assert!(told.contains("1 revoked"), "{told}");
    assert_eq!(states("foreign")[0]["request_id"], 2);
    let rows = ca.ok(&["cert", "list", "--all", "--format", "csv"]);
    assert_eq!(rows.matches("11223344").count(), 2, "{rows}");
    server.stop();
}

#[test]
fn another_cas_certificate_is_foreign_and_never_revoked_here() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let other = of_another_ca(ca.scratch());
    refused(&ca, &["cert", "import", &other], "import-foreign");
    let told = ca.ok(&["cert", "import", &other, "--allow-foreign"]);
    assert!(told.contains("of another CA, request 1"), "{told}");
    assert_eq!(json(&ca, &["request", "show", "1"])["disposition"], "foreign");
    refused(&ca, &["request", "retrieve", "1"], "wrong-state");
    refused(&ca, &["cert", "import", &other, "--allow-foreign"], "import-exists");
    refused(&ca, &["cert", "revoke", "--request", "1"], "wrong-state");
    let own = ca.home().join("ca.cert.pem");
    refused(&ca, &["cert", "import", own.to_str().unwrap()], "import-exists");
    server.stop();
}

#[test]
fn many_certificates_are_revoked_only_by_their_exact_number_and_the_order_can_be_repeated() {
    let ca = Ca::init(&[]);
    let certificates = forgotten(&ca, 120);
    let file = put(&ca, "all.pem", certificates.concat());
    let few = put(&ca, "few.pem", certificates[..3].concat());
    let server = ca.serve();
    ca.ok(&["cert", "import", &file]);
    let revoke = ["cert", "revoke", "--file", &file, "--reason", "superseded"];
    refused(&ca, &revoke, "bulk-limit");
    refused(&ca, &[&revoke[..], &["--yes"]].concat(), "bulk-limit");
    refused(&ca, &[&revoke[..], &["--confirm", "119"]].concat(), "bulk-confirm");
    refused(&ca, &[&revoke[..], &["--limit", "120"]].concat(), "bulk-unconfirmed");
    assert_eq!(json(&ca, &["request", "show", "1"])["disposition"], "issued");

    ca.ok(&["cert", "revoke", "--file", &few, "--reason", "certificate-hold", "--yes"]);
    let told = ca.ok(&["cert", "unrevoke", "--file", &file, "--confirm", "3"]);
    assert!(told.contains("3 released, 0 were so already, 0 refused"), "{told}");
    ca.ok(&["cert", "revoke", "--request", "7", "--reason", "key-compromise"]);
    // One is revoked for good, and a stranger's is in the file: the others go on.
    let mut stranger = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    stranger.write_all(&std::fs::read(of_another_ca(ca.scratch())).unwrap()).unwrap();
    let output = ca.run(&[&revoke[..], &["--confirm", "119"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("119 revoked, 0 were so already, 1 refused"));
    assert!(text(&output.stderr).contains("refused[certificate-not-found]"));
    let row = json(&ca, &["request", "show", "7"]);
    assert_eq!(row["revocation"]["reason"], "key-compromise");
    let again = json(&ca, &revoke);
    assert_eq!((&again["selected"], &again["changed"]), (&0.into(), &0.into()));
    server.stop();
}

#[test]
fn a_filter_means_what_is_on_record_now() {
    let ca = Ca::init(&[]);
    let certificates = forgotten(&ca, 12);
    let file = put(&ca, "all.pem", certificates.concat());
    let server = ca.serve();
    ca.ok(&["cert", "import", &file]);
    // host1, host10 and host11.
    let args = ["cert", "revoke", "--where", "subject=host1"];
    let shown = ca.run(&args);
    assert!(text(&shown.stdout).starts_with("3 certificates to revoke\n"), "{shown:?}");
    refused(&ca, &args, "bulk-unconfirmed");
    let told = ca.ok(&[&args[..], &["--confirm", "3"]].concat());
    assert!(told.contains("3 revoked"), "{told}");
    let told = ca.ok(&["cert", "revoke", "--where", "subject=host1", "--yes"]);
    assert!(told.contains("0 revoked"), "{told}");
    let unknown = ["cert", "revoke", "--where", "colour=red", "--yes"];
    refused(&ca, &unknown, "query-invalid");
    let wrong = ca.run(&["cert", "revoke", "--where", "subject"]);
    assert_eq!(wrong.status.code(), Some(2));
    server.stop();
}
