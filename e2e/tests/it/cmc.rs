//! Requests in messages, made by openssl and pyasn1, through the whole program; what a module reads of
//! them; and answers that openssl verifies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use exeunt_e2e::ca::{Ca, text, wait_for};
use exeunt_testkit::messages::{DATA, MessageSigner, PKI_DATA, cmc, sign, verified};
use exeunt_testkit::requests::openssl_key;
use exeunt_testkit::{foreign, tools};
use serde_json::Value;

use super::issuing::request;

/// Writes down the request of each event of an issued certificate, a line of JSON each.
const MODULE: &str = r#"
import json, sys
out = None
for line in sys.stdin:
    call = json.loads(line)
    result = None
    if call["method"] == "Initialize":
        out = open(call["params"]["settings"]["file"], "a")
        result = {"protocol": 1, "event_mask": 0x1, "window": call["params"]["window"]}
    elif call["method"] == "GetDescription":
        result = "writes down requests"
    elif call["method"] == "Notify":
        json.dump(call["params"]["event"]["request"], out)
        out.write("\n")
        out.flush()
        result = {"outcome": "accept"}
    print(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}), flush=True)
    if call["method"] == "Shutdown":
        break
"#;

const TEMPLATES: &str = r#"
[[template]]
name = "agent"
validity_days = 90
key_usage = ["digitalSignature"]
extended_key_usage = ["1.3.6.1.4.1.311.20.2.1"]
subject_from_request = ["CN"]
issue = "at-once"

[[template]]
name = "user"
validity_days = 90
key_usage = ["digitalSignature"]
extended_key_usage = ["clientAuth"]
subject_from_request = ["CN"]
issue = "at-once"
on_behalf = "allow"
"#;

/// A CA with those templates and that module; where the module writes.
fn ca() -> (Ca, PathBuf) {
    let ca = Ca::init(&[]);
    let (script, heard) = (ca.scratch().join("module.py"), ca.scratch().join("heard"));
    fs::write(&script, MODULE).unwrap();
    ca.configure_more(&format!(
        "{TEMPLATES}\n[[exit]]\nname = \"requests\"\ncommand = [\"python3\", {:?}]\n\
         [exit.settings]\nfile = {:?}",
        script.to_str().unwrap(),
        heard.to_str().unwrap()
    ));
    (ca, heard)
}

/// What the module wrote of request number `id`.
fn heard_of(heard: &Path, id: u64) -> Value {
    wait_for(&format!("the module to hear of request {id}"), || {
        let all = fs::read_to_string(heard).unwrap_or_default();
        let mut lines = all.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
        lines.find(|it| it["RequestID"]["long"] == id)
    })
}

/// A certificate of that template, and its key, to sign with.
fn issue(ca: &Ca, key: &str, subject: &str, template: &str) -> MessageSigner {
    let file = request(ca, key, subject, &[]);
    let certificate = ca.scratch().join(format!("{template}.pem"));
    ca.ok(&["submit", &file, "--template", template, "--out", certificate.to_str().unwrap()]);
    MessageSigner { certificate, key: openssl_key(key) }
}

fn der_of(pem: &str) -> Vec<u8> {
    let args = ["req", "-outform", "DER", "-in", pem];
    tools::run_ok(tools::openssl(), args, b"")
}

fn write(ca: &Ca, name: &str, bytes: &[u8]) -> String {
    let path = ca.scratch().join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A full request on behalf of bob, signed by that agent.
fn on_behalf(ca: &Ca, agent: &MessageSigner, template: &str) -> Vec<u8> {
    let request = request(ca, "ec:P-256#bob", "/CN=bob", &[]);
    let file = write(ca, "bob.csr", &der_of(&request));
    let info = format!("RequesterName=ACME\\bob&CertificateTemplate={template}");
    let data = format!(
        "pki_data([control(2, CMC + '18', octets({info:?}.encode()))], [tcr(1, read({file:?}))])"
    );
    sign(&cmc(&data), PKI_DATA, &[agent])
}

#[test]
fn a_certificate_renews_itself_once_it_is_not_revoked() {
    let (ca, heard) = ca();
    let server = ca.serve();
    let old = issue(&ca, "ec:P-256#old", "/CN=host.example.test", "tls-server");
    let new = der_of(&request(&ca, "ec:P-256#new", "/CN=host.example.test", &[]));
    let renewal = write(&ca, "renewal.p7m", &sign(&new, DATA, &[&old]));
    let renewed = ca.ok(&["submit", &renewal]);
    foreign::openssl_verify(&renewed, &ca.certificate()).unwrap();

    let request = heard_of(&heard, 2);
    assert_eq!(request["RequestType"]["long"], 0x300);
    assert_eq!(request["RequestFlags"]["long"], 0x2);
    let args = ["x509", "-outform", "DER", "-in", old.certificate.to_str().unwrap()];
    let der = tools::run_ok(tools::openssl(), args, b"");
    let told = request["RawOldCertificate"]["binary"].as_str().unwrap();
    let told = tools::run_ok(tools::openssl(), ["base64", "-d", "-A"], told.as_bytes());
    assert_eq!(told, der);
    assert_eq!(request["SignerApplicationPolicies"]["string"], "1.3.6.1.5.5.7.3.1");
    let shown = ca.ok(&["request", "show", "2"]);
    assert!(shown.contains("in pkcs7, as a renewal\n"), "{shown}");
    assert!(shown.contains("-----BEGIN PKCS7-----"), "{shown}");

    ca.ok(&["cert", "revoke", "--file", old.certificate.to_str().unwrap()]);
    let refused = ca.run(&["submit", &renewal]);
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains("error[request-signer-revoked]"), "{told}");
    server.stop();
}

#[test]
fn an_agent_asks_for_another_and_is_answered_in_cmc() {
    let (ca, heard) = ca();
    let server = ca.serve();
    let agent = issue(&ca, "ec:P-256#agent", "/CN=agent", "agent");
    let message = write(&ca, "bob.cmc", &on_behalf(&ca, &agent, "user"));
    let answer = ca.scratch().join("answer.cmc");
    let shown =
        ca.ok(&["submit", &message, "--response", "cmc", "--out", answer.to_str().unwrap()]);
    assert!(shown.starts_with("request 2 issued\n"), "{shown}");
    assert_eq!(status(&ca, &fs::read(&answer).unwrap()), "1 25 success 1 issued");

    let detail: Value = serde_json::from_str(&ca.ok(&["request", "show", "2", "--json"])).unwrap();
    assert_eq!((&detail["format"], &detail["on_behalf"]), (&"cmc".into(), &true.into()));
    let request = heard_of(&heard, 2);
    assert_eq!(request["RequesterName"]["string"], "ACME\\bob");
    assert!(request["CallerName"]["string"].as_str().unwrap().starts_with("local:"));
    assert_eq!(
        (&request["RequestType"]["long"], &request["RequestFlags"]["long"]),
        (&0x400.into(), &0x10.into())
    );
    assert_eq!(request["Officer"]["long"], 1);
    assert_eq!(request["SignerApplicationPolicies"]["string"], "1.3.6.1.4.1.311.20.2.1");

    // Where the template does not allow it, CMC says so as well.
    let message = write(&ca, "other.cmc", &on_behalf(&ca, &agent, "tls-server"));
    let denied = ca.run(&["submit", &message, "--response", "cmc"]);
    assert_eq!((denied.status.code(), text(&denied.stderr).trim()), (Some(1), "request 3 denied"));
    let told = status(&ca, &denied.stdout);
    assert!(told.starts_with("1 25 failed 1 on-behalf-not-allowed: "), "{told}");
    server.stop();
}

/// What pyasn1 reads first in a full response that openssl has verified.
fn status(ca: &Ca, answer: &[u8]) -> String {
    let content = verified(answer, &ca.home().join("ca.cert.pem")).unwrap();
    let file = write(ca, "content.der", &content);
    let lines = text(&cmc(&format!("response(read({file:?}))")));
    lines.lines().next().unwrap().to_owned()
}

#[test]
fn a_client_of_cmc_over_http_needs_nothing_but_a_token() {
    let (ca, _) = ca();
    let server = ca.serve();
    let agent = issue(&ca, "ec:P-256#agent", "/CN=agent", "agent");
    let message = write(&ca, "bob.cmc", &on_behalf(&ca, &agent, "user"));
    let (url, out) = (format!("http://{}/cmc", server.address()), ca.scratch().join("answer"));
    let token = format!("Authorization: Bearer {}", ca.token());
    let body = format!("@{message}");
    let kind = "Content-Type: application/pkcs7-mime; smime-type=CMC-request";
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--data-binary", &body, "-H", &token, "-H", kind, "-o"]).arg(&out);
    let output = curl.args(["-w", "%{http_code} %{content_type}", &url]).output().unwrap();
    let told = text(&output.stdout);
    assert_eq!(told, "200 application/pkcs7-mime; smime-type=CMC-response");
    assert_eq!(status(&ca, &fs::read(&out).unwrap()), "1 25 success 1 issued");
    server.stop();
}

#[test]
fn a_certificate_comes_with_that_of_its_ca_in_a_p7b() {
    let (ca, _) = ca();
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    let out = ca.scratch().join("host.p7b");
    let shown = ca.ok(&["submit", &file, "--response", "p7b", "--out", out.to_str().unwrap()]);
    assert!(shown.starts_with("request 1 issued\nanswer written to "), "{shown}");
    let args = ["pkcs7", "-inform", "DER", "-print_certs", "-in", out.to_str().unwrap()];
    let pems = tools::run_ok(tools::openssl(), args, b"");
    assert_eq!(text(&pems).matches("-----BEGIN CERTIFICATE-----").count(), 2);
    assert!(text(&pems).contains("host.example.test"));
    server.stop();
}
