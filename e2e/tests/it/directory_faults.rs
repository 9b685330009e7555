//! A directory that does not answer, and a CA that has other work to do.

use std::time::{Duration, Instant};

use exeunt_e2e::ca::{Ca, wait_for};
use exeunt_testbed::openldap::{OpenLdap, PEOPLE, PKI, PUBLISHER};
use exeunt_testbed::proxy::{Fault, Proxy};
use exeunt_testkit::tools;
use serde_json::Value;

use super::issuing::request;

/// How long the module waits for a server that says nothing. Whatever waited for the module would
/// take as long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a command that must be done before the module has given up once.
#[track_caller]
fn at_once(ca: &Ca, words: &[&str]) -> String {
    let start = Instant::now();
    let said = ca.ok(words);
    assert!(start.elapsed() < CONNECT_TIMEOUT, "{words:?} took {:?}", start.elapsed());
    said
}

fn der(pem: &str) -> Vec<u8> {
    tools::run_ok(tools::openssl(), ["x509", "-outform", "DER"], pem.as_bytes())
}

#[test]
fn a_dead_directory_server_neither_delays_nor_fails_the_building_of_a_crl() {
    let directory = OpenLdap::start();
    let names: Vec<String> = (0..8).map(|it| format!("person{it}")).collect();
    directory.add_persons(names.iter().map(String::as_str));
    let mut proxy = Proxy::to_port(directory.tls_port());
    proxy.set(Fault::Silence);
    let ca = Ca::init(&[]);
    ca.configure_more(&format!(
        "[[exit]]\nname = \"directory\"\nmodule = \"directory\"\nstart_at = \"first\"\n\
         deadline_s = 40\nretry_first_s = 1\nretry_longest_s = 2\n\n\
         [exit.settings]\nservers = [\"ldaps://localhost:{}\"]\nca_file = {:?}\n\
         bind_dn = {PUBLISHER:?}\npassword_file = {:?}\nconnect_timeout_s = {}\n\n\
         [exit.settings.users]\npublish = \"always\"\nfilters = [\"(uid={{cn}})\"]\n\n\
         [exit.settings.objects]\ncontainer = {PKI:?}\nmake = \"parents\"\n",
        proxy.port(),
        directory.authority().certificate(),
        directory.password_file(),
        CONNECT_TIMEOUT.as_secs(),
    ));
    let server = ca.serve();

    // 1. The directory accepts connections and says nothing.
    let mut issued = Vec::new();
    for name in &names {
        let file = request(&ca, "ec:P-256", &format!("/CN={name}"), &[]);
        issued.push(der(&at_once(&ca, &["submit", &file])));
        at_once(&ca, &["crl", "publish"]);
    }
    wait_for("an attempt that met the silence", || (0 < proxy.connections()).then_some(()));
    let status = || -> Value {
        serde_json::from_str(&ca.ok(&["exit", "status", "directory", "--json"])).unwrap()
    };
    assert_eq!(status()["accepted"], 0);
    let list = newest_list(&ca);

    // 2. It answers, and has everything.
    proxy.set(Fault::Nothing);
    for (name, certificate) in names.iter().zip(&issued) {
        let dn = format!("uid={name},{PEOPLE}");
        wait_for("the certificate on its holder's object", || {
            (directory.values(&dn, "userCertificate;binary") == [certificate.clone()]).then_some(())
        });
    }
    wait_for("all events to be delivered", || {
        let status = status();
        (status["lag"] == 0 && status["held_retry"] == 0).then_some(())
    });
    assert_eq!(status()["held_parked"], 0);
    let found = base_lists(&directory);
    assert_eq!(found, [list]);
    server.stop();
}

/// The base list that the CA has made last.
fn newest_list(ca: &Ca) -> Vec<u8> {
    let files = std::fs::read_dir(ca.home().join("crls")).unwrap().map(|it| it.unwrap().path());
    let number = |it: &std::path::PathBuf| -> Option<u64> {
        it.file_name()?.to_str()?.strip_suffix("-0-0-base.crl")?.parse().ok()
    };
    std::fs::read(files.filter(|it| number(it).is_some()).max_by_key(number).unwrap()).unwrap()
}

/// Every base list in the directory.
fn base_lists(directory: &OpenLdap) -> Vec<Vec<u8>> {
    let dns = directory.search(PKI, "sub", &["(certificateRevocationList;binary=*)", "1.1"]);
    let dns = dns.lines().filter_map(|it| it.strip_prefix("dn: "));
    dns.flat_map(|it| directory.values(it, "certificateRevocationList;binary")).collect()
}
