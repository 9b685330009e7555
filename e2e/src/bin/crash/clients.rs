//! The clients of the crash test: they submit plain requests, renewals in PKCS #7 and requests on behalf of
//! others in CMC, and remember what they received.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use exeunt_e2e::ca::{Ca, Served};
use exeunt_e2e::wire;
use exeunt_testkit::messages::{DATA, MessageSigner, PKI_DATA, cmc, sign};
use exeunt_testkit::requests::{openssl_key, openssl_request};
use exeunt_testkit::tools;
use exeunt_types::{RequestType, Serial};
use exeunt_x509::decode_pem_or_der;
use fastrand::Rng;

use super::truth::Rows;

/// Templates of agents, and of those whom they ask for.
pub(crate) const TEMPLATES: &str = r#"
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

/// Requests made by somebody else's tools.
#[derive(Debug)]
pub(crate) struct Pool(Vec<(RequestType, Vec<u8>)>);

impl Pool {
    /// Runs a server for the certificates that sign.
    pub(crate) fn make(ca: &Ca) -> Self {
        let make = |index: u32| {
            let host = format!("host-{index}.example.test");
            let key = if index.is_multiple_of(4) { "rsa:2048" } else { "ec:P-256" };
            let path = openssl_request(key, &format!("/CN={host}"), &[&host], ca.scratch());
            (RequestType::Pkcs10, fs::read(path).expect("a request"))
        };
        let mut pool: Vec<_> = (0..7).map(make).collect();
        let server = ca.serve();
        let old = signer(ca, "ec:P-256#old", "/CN=old.example.test", "tls-server");
        let agent = signer(ca, "ec:P-256#agent", "/CN=agent", "agent");
        server.stop();
        let new = openssl_request("ec:P-256#new", "/CN=old.example.test", &[], ca.scratch());
        pool.push((RequestType::Pkcs7, sign(&der(&new), DATA, &[&old])));
        let bob = openssl_request("ec:P-256#bob", "/CN=bob", &[], ca.scratch());
        let file = ca.scratch().join("bob.der");
        fs::write(&file, der(&bob)).expect("a file");
        let info = "RequesterName=ACME\\bob&CertificateTemplate=user";
        let file = file.to_str().expect("a plain path");
        let content = format!(
            "pki_data([control(2, CMC + '18', octets({info:?}.encode()))], \
             [tcr(1, read({file:?}))])"
        );
        pool.push((RequestType::Cmc, sign(&cmc(&content), PKI_DATA, &[&agent])));
        Self(pool)
    }
}

/// Somebody with a certificate of the CA.
fn signer(ca: &Ca, key: &str, subject: &str, template: &str) -> MessageSigner {
    let request = openssl_request(key, subject, &[], ca.scratch());
    let certificate = ca.scratch().join(format!("{template}.pem"));
    let [from, to] = [&request, &certificate].map(|it| it.to_str().expect("a plain path"));
    ca.ok(&["submit", from, "--template", template, "--out", to]);
    MessageSigner { certificate, key: openssl_key(key) }
}

fn der(request: &Path) -> Vec<u8> {
    let args = ["req", "-outform", "DER", "-in"].map(PathBuf::from);
    tools::run_ok(tools::openssl(), args.into_iter().chain([request.to_owned()]), b"")
}

/// Certificates as clients received them, each with the place of its request in the pool.
#[derive(Debug, Default)]
pub(crate) struct Received(Mutex<BTreeMap<Serial, (String, usize)>>);

impl Received {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<Serial, (String, usize)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them.
    pub(crate) fn any(&self, rng: &mut Rng) -> Option<Serial> {
        let received = self.locked();
        received.keys().nth(rng.usize(..received.len().max(1))).copied()
    }

    pub(crate) fn serials(&self) -> Vec<Serial> {
        self.locked().keys().copied().collect()
    }

    /// Submits until the server is gone. What it received counts from the moment the answer is whole.
    pub(crate) fn submit(&self, server: &Served, token: &str, pool: &Pool, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let Ok(mut connection) = wire::Connection::open(server.address(), token) else { return };
        loop {
            let place = rng.usize(..pool.0.len());
            let Ok(answer) = connection.submit(&pool.0[place].1) else { return };
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
            let serial = Serial::from_hex(&text("serial")).expect("a serial");
            let before = self.locked().insert(serial, (text("certificate"), place));
            assert!(before.is_none(), "serial {serial} was handed out twice");
        }
    }

    /// Each is in the store as it was received, with the request that was sent; how many there are.
    pub(crate) fn check(&self, pool: &Pool, rows: &Rows) -> usize {
        let received = self.locked();
        let labels = ["CERTIFICATE REQUEST"];
        let sent = |it: &(RequestType, Vec<u8>)| match it.0 {
            RequestType::Pkcs10 => decode_pem_or_der(&it.1, &labels).expect("PEM").into_owned(),
            RequestType::Pkcs7 | RequestType::Cmc => it.1.clone(),
        };
        let sent: Vec<Vec<u8>> = pool.0.iter().map(sent).collect();
        for (serial, (certificate, place)) in received.iter() {
            let row = rows.of(serial);
            let stored = rows.pem(serial);
            assert_eq!(&stored, certificate, "{serial} is another certificate in the store");
            assert_eq!(row.request.request_type, pool.0[*place].0, "request {}", row.id);
            assert!(row.request.raw == sent[*place], "request {} was not sent", row.id);
        }
        received.len()
    }
}
