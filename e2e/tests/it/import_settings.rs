//! A Windows CA's settings become a configuration that works.

use std::fs;
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::openldap::{OpenLdap, PKI, PUBLISHER, SUFFIX};
use exeunt_testkit::foreign;
use exeunt_x509::encode_pem;

use super::issuing::request;

fn sample(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/exeunt/src/settings_import");
    folder.join("samples").join(name).to_str().unwrap().to_owned()
}

#[test]
fn an_export_becomes_a_configuration_that_is_checked_and_serves() {
    let ca = Ca::init(&[]);
    let made = ca.scratch().join("made.toml");
    let made = made.to_str().unwrap();
    let import = ca.run(&["import-settings", &sample("enterprise.reg"), "--out", made]);
    assert!(import.status.success(), "{}", text(&import.stderr));
    let said = text(&import.stderr);
    for told in ["Invented", "Acme.Exit", "ftp://web1/%3.crl", "EditFlags", "DBSessionCount"] {
        assert!(said.contains(told), "{told} is missing in {said}");
    }
    // A file that is there is not replaced.
    let again = ca.run(&["import-settings", &sample("enterprise.reg"), "--out", made]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("error[settings-out-exists]"));
    // Mail goes to a server that there is not: it waits, and the rest does its work.
    let toml = fs::read_to_string(made).unwrap().replace("127.0.0.1:8780", "127.0.0.1:0");
    fs::write(ca.home().join("exeunt.toml"), toml).unwrap();
    ca.ok(&["config", "check"]);
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=one.example.test", &["one.example.test"]);
    ca.ok(&["submit", &file]);
    let has = |folder: &str, end: &str| {
        let files = fs::read_dir(ca.home().join(folder)).into_iter().flatten().flatten();
        files.map(|it| it.path()).any(|it| it.to_string_lossy().ends_with(end))
    };
    for (folder, end) in [
        ("published", "_Corp Issuing CA.crt"),
        ("published", "Corp Issuing CA.crl"),
        ("published-2", "Corp Issuing CA.crl"),
    ] {
        wait_for(end, || has(folder, end).then_some(()));
    }
    // Not asked for by CertFile.
    assert!(!has("published", ".cer") && !has("published", ".pem"));
    server.stop();
}

#[test]
fn what_is_no_export_of_a_ca_is_refused_with_a_hint() {
    let ca = Ca::bare();
    let file = ca.scratch().join("x.reg");
    fs::write(&file, "REGEDIT4\n[HKEY_CURRENT_USER\\Software]\n\"a\"=\"b\"\n").unwrap();
    let refused = ca.run(&["import-settings", file.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("error[settings-export-no-ca]") && said.contains("reg export"), "{said}");
}

/// An export as `regedit` writes it, with each list as a value of its type.
fn export(server: &str) -> String {
    let several = |texts: &[&str]| {
        let octets = texts.iter().flat_map(|it| it.bytes().chain([0])).chain([0]);
        octets.map(|it| format!("{it:02x}")).collect::<Vec<_>>().join(",")
    };
    let services = "CN=Public Key Services,CN=Services,%6";
    let lists = format!("79:ldap:///CN=%7%8,CN=%2,CN=CDP,{services}%10");
    let certificates = format!("3:ldap:///CN=%7,CN=AIA,{services}%11");
    let path = r"C:\CertEnroll\%1_%3%4.crt";
    let root = r"[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\CertSvc\Configuration";
    format!(
        "REGEDIT4\n\n{root}]\n\"Active\"=\"Test Root\"\n\n{root}\\Test Root]\n\
         \"CommonName\"=\"Test Root\"\n\"CAServerName\"=\"{server}\"\n\"UseDS\"=dword:00000001\n\
         \"DSConfigDN\"=\"{PKI}\"\n\"DSDomainDN\"=\"{SUFFIX}\"\n\
         \"CRLPublicationURLs\"=hex(7):{}\n\"CACertPublicationURLs\"=hex(7):{}\n",
        several(&[&lists]),
        several(&[&format!("1:{path}"), &certificates]),
    )
}

/// What an address in a certificate leads to, asked of that directory by its own tool.
fn fetched(directory: &OpenLdap, certificate: &str, attribute: &str) -> Vec<u8> {
    let said = foreign::openssl_text(certificate);
    let of_attribute = |it: &&str| it.contains("URI:ldap:///") && it.contains(attribute);
    let line = said.lines().find(of_attribute).unwrap_or_else(|| panic!("{attribute}: {said}"));
    let (_, address) = line.split_once("ldap:///").unwrap();
    let address = address.trim().replace("%20", " ");
    let fields: Vec<&str> = address.split('?').collect();
    let [dn, attribute, scope, filter] = fields[..] else { panic!("{address}") };
    // The class of Active Directory cannot be had without revocation lists elsewhere (RFC 4523).
    let filter = format!("({})", filter.replace("certificationAuthority", "pkiCA"));
    let found = directory.search(dn, scope, &[&filter, attribute]);
    let value =
        found.split(":: ").nth(1).unwrap_or_else(|| panic!("nothing at {address}: {found}"));
    STANDARD.decode(value.split_whitespace().collect::<String>()).unwrap()
}

#[test]
fn what_moves_to_another_machine_is_published_where_its_certificates_say() {
    let directory = OpenLdap::start();
    let ca = Ca::init(&[]);
    let file = ca.scratch().join("settings.reg");
    // No machine of this test is called so.
    fs::write(&file, export("OLD01.corp.example")).unwrap();
    let import = ca.run(&["import-settings", file.to_str().unwrap()]);
    let (made, said) = (text(&import.stdout), text(&import.stderr));
    assert!(import.status.success(), "{said}");
    // What a person has to give is told, and given.
    assert!(said.contains("directory: bind_dn and password_file"), "{said}");
    let mut toml = made;
    let trusted = directory.authority().certificate().display().to_string();
    for (from, to) in [
        ("127.0.0.1:8780", "127.0.0.1:0".to_owned()),
        ("enabled = false\n", String::new()),
        ("\"ldaps://example.test\"]", format!("{:?}]\nca_file = {trusted:?}", directory.tls_url())),
        ("CN=exeunt,CN=Users,dc=example,dc=test", PUBLISHER.to_owned()),
        ("\"password\"", format!("{:?}", directory.password_file())),
        ("[exit.settings.objects]\n", "[exit.settings.objects]\nmake = \"parents\"\n".to_owned()),
    ] {
        assert_eq!(toml.matches(from).count(), 1, "{from}: {toml}");
        toml = toml.replace(from, &to);
    }
    fs::write(ca.home().join("exeunt.toml"), toml).unwrap();

    let server = ca.serve();
    ca.ok(&["exit", "install", "directory", "--yes"]);
    ca.ok(&["exit", "test", "directory"]);
    ca.ok(&["crl", "publish"]);
    let request = request(&ca, "ec:P-256", "/CN=one.example.test", &["one.example.test"]);
    let certificate = ca.ok(&["submit", &request]);
    let told = |what: &str| {
        wait_for(what, || {
            let status = ca.ok(&["exit", "status", "directory", "--json"]);
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            (status["lag"] == 0 && status["held_retry"] == 0).then_some(status)
        })
    };
    assert_eq!(told("everything to be published")["held_parked"], 0);
    let root = ca.certificate();
    let list = fetched(&directory, &certificate, "certificateRevocationList");
    let list = encode_pem("X509 CRL", &list);
    foreign::openssl_crl_verify(&list, &root).unwrap();
    foreign::openssl_verify_with_crl(&certificate, &root, &list).unwrap();
    let issuer = fetched(&directory, &certificate, "cACertificate");
    foreign::openssl_verify(&certificate, &encode_pem("CERTIFICATE", &issuer)).unwrap();
    // The file has the old machine's name as well.
    let file = ca.home().join("published/OLD01.corp.example_Test Root.crt");
    wait_for("the CA's certificate", || file.exists().then_some(()));
    server.stop();
}
