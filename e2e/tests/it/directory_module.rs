//! Certificates of a real CA on the objects of people in a real directory.

use std::fs;

use exeunt_e2e::ca::{Ca, wait_for};
use exeunt_testbed::openldap::{OpenLdap, PEOPLE, PUBLISHER};
use exeunt_testkit::tools;

use super::issuing::request;

/// Issues a certificate for a person; its file, and its DER.
fn issue(ca: &Ca, name: &str) -> (String, Vec<u8>) {
    let file = request(ca, "ec:P-256", &format!("/CN={name}"), &[]);
    let out = ca.scratch().join(format!("{name}.pem"));
    let out = out.to_str().unwrap();
    ca.ok(&["submit", &file, "--out", out]);
    let der = tools::run_ok(tools::openssl(), ["x509", "-in", out, "-outform", "DER"], b"");
    (out.to_owned(), der)
}

#[test]
fn a_certificate_is_on_its_holders_object_until_it_is_revoked() {
    let mut directory = OpenLdap::start();
    directory.add_persons(["alice", "bob"]);
    let held = |directory: &OpenLdap, name: &str| {
        directory.values(&format!("uid={name},{PEOPLE}"), "userCertificate;binary")
    };
    let ca = Ca::init(&[]);
    ca.configure_more(&format!(
        "[[exit]]\nname = \"directory\"\nmodule = \"directory\"\n\
         [exit.settings]\nservers = [\"{}\"]\nca_file = \"{}\"\nbind_dn = \"{PUBLISHER}\"\n\
         password_file = \"password\"\ntimeout_s = 5\n\
         [exit.settings.users]\npublish = \"always\"\nbases = [\"{PEOPLE}\"]\n\
         filters = [\"(uid={{cn}})\"]\nremove_revoked = true\n",
        directory.tls_url(),
        directory.authority().certificate().display(),
    ));
    // As `cp -p` does: the file stays readable by its owner alone.
    let folder = ca.home().join("modules/directory");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(directory.password_file(), folder.join("password")).unwrap();
    let server = ca.serve();

    let (alice, der) = issue(&ca, "alice");
    let on_object = |directory: &OpenLdap, name: &str, count: usize| {
        wait_for("the object", || (held(directory, name).len() == count).then_some(()));
    };
    on_object(&directory, "alice", 1);
    assert_eq!(held(&directory, "alice"), [der]);
    ca.ok(&["cert", "revoke", "--file", &alice, "--reason", "superseded"]);
    on_object(&directory, "alice", 0);

    directory.stop();
    let (_, der) = issue(&ca, "bob");
    ca.wait_for_retry("directory");
    directory.start_again();
    on_object(&directory, "bob", 1);
    assert_eq!(held(&directory, "bob"), [der]);

    issue(&ca, "carol");
    wait_for("a parked event", || (ca.exit_status("directory")["held_parked"] == 1).then_some(()));
    let parked = ca.ok(&["exit", "parked", "list", "directory"]);
    assert!(parked.contains("directory-holder-missing"), "{parked}");
    server.stop();
}
