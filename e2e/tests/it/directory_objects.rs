//! The CA's revocation list in a directory, fetched where a certificate says that it is.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::openldap::{OpenLdap, PKI, PUBLISHER, Settings};
use exeunt_testbed::process::run;
use exeunt_testkit::foreign;
use exeunt_x509::encode_pem;

use super::issuing::request;

#[test]
fn a_certificate_names_the_place_in_the_directory_where_its_list_is() {
    // Relying parties have neither a password nor TLS.
    let directory = OpenLdap::start_with(Settings { require_tls: false, ..Settings::default() });
    let ca = Ca::init(&[]);
    let dn = format!("CN=Test Root,CN=ca1,CN=CDP,{PKI}");
    let search = "certificateRevocationList;binary?base?(objectclass=cRLDistributionPoint)";
    let encoded = dn.replace(' ', "%20");
    let point = format!("ldap://127.0.0.1:{}/{encoded}?{search}", directory.port());
    ca.configure("crl_distribution_points = []", &format!("crl_distribution_points = [{point:?}]"));
    ca.configure_more(&format!(
        "\n[[exit]]\nname = \"directory\"\nmodule = \"directory\"\n\
         events = [\"crl-issued\", \"ca-cert-issued\"]\n\n\
         [exit.settings]\nservers = [{:?}]\nca_file = {:?}\nbind_dn = {PUBLISHER:?}\n\
         password_file = {:?}\n\n\
         [exit.settings.objects]\ncontainer = {PKI:?}\nmake = \"parents\"\n\
         machine_short_name = \"ca1\"\n",
        directory.tls_url(),
        directory.authority().certificate(),
        directory.password_file(),
    ));
    let server = ca.serve();
    ca.ok(&["exit", "test", "directory"]);
    ca.ok(&["exit", "install", "directory", "--yes"]);
    ca.ok(&["crl", "publish"]);
    wait_for("the list in the directory", || {
        let values = directory.values(&dn, "certificateRevocationList;binary");
        (!values.is_empty()).then_some(())
    });

    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let certificate = ca.ok(&["submit", &file]);
    let said = foreign::openssl_text(&certificate);
    let at = said.find("URI:ldap://").unwrap() + "URI:".len();
    let address = said[at..].lines().next().unwrap().trim();
    let fetched = run(Command::new("curl").args(["-sS", "--max-time", "20", address]));
    let fetched = text(&fetched);
    let value: String = fetched.split(":: ").nth(1).unwrap().split_whitespace().collect();
    let list = encode_pem("X509 CRL", &STANDARD.decode(value).unwrap());
    let root = ca.certificate();
    foreign::openssl_crl_verify(&list, &root).unwrap();
    foreign::openssl_verify_with_crl(&certificate, &root, &list).unwrap();

    let compared = ca.run(&["exit", "reconcile", "directory", "--mend"]);
    assert!(compared.status.success(), "{}{}", text(&compared.stdout), text(&compared.stderr));
    let compared = ca.ok(&["exit", "reconcile", "directory"]);
    assert!(!compared.contains("missing") && !compared.contains("stale"), "{compared}");
    server.stop();
}
