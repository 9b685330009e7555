//! Certificates and lists of a real CA in a real bucket.

use std::fs;

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testbed::s3::{ACCESS_KEY, S3, SECRET_KEY, Setup};

use super::issuing::request;

#[test]
fn a_bucket_has_the_certificates_and_the_newest_list() {
    let server = S3::start(&Setup::default());
    server.make_bucket("pki");
    let ca = Ca::init(&[]);
    let settings = [
        format!("endpoint={}", server.url()),
        format!("ca_file={}", server.ca_file().display()),
        "bucket=pki".to_owned(),
        format!("access_key_file={}", ca.secret("id", ACCESS_KEY)),
        format!("secret_key_file={}", ca.secret("key", SECRET_KEY)),
    ];
    let running = ca.serve();
    ca.add_exit(&["bucket", "--use", "object"], &settings);
    let host = "www.example.test";
    let file = request(&ca, "ec:P-256", &format!("/CN={host}"), &[host]);
    ca.ok(&["submit", &file]);
    ca.ok(&["crl", "publish"]);
    let list = wait_for("the list in the bucket", || server.get("pki", "crl/Test Root.crl"));
    let keys = wait_for("the certificate in the bucket", || {
        let keys: Vec<String> = server.list("pki").into_keys().collect();
        keys.iter().any(|it| it.starts_with("certificates/")).then_some(keys)
    });
    assert!(keys.contains(&"ca/Test Root.crt".to_owned()), "{keys:?}");
    ca.ok(&["exit", "test", "bucket"]);
    ca.ok(&["exit", "reconcile", "bucket"]);
    let certificate = keys.iter().find(|it| it.starts_with("certificates/")).unwrap();
    server.delete("pki", certificate);
    server.put("pki", "crl/Test Root(3).crl", b"somebody's", None).unwrap();
    let output = ca.run(&["exit", "reconcile", "bucket"]);
    let said = text(&output.stdout);
    assert!(output.status.code() == Some(1) && said.contains(certificate), "{said}");
    ca.ok(&["exit", "reconcile", "bucket", "--mend"]);
    assert!(server.get("pki", certificate).is_some());
    assert_eq!(server.get("pki", "crl/Test Root(3).crl").unwrap().body, b"somebody's");
    // A foreign tool takes what relying parties would fetch.
    let (certificate, crl) = (ca.scratch().join("ca.pem"), ca.scratch().join("list.der"));
    fs::write(&certificate, ca.certificate()).unwrap();
    fs::write(&crl, list.body).unwrap();
    let output = std::process::Command::new("openssl")
        .args(["crl", "-inform", "DER", "-noout", "-in"])
        .arg(&crl)
        .arg("-CAfile")
        .arg(&certificate)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("verify OK"), "{said}");
    running.stop();
}
