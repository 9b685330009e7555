//! A web server in Python, which checks the signatures itself.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_e2e::ca::Ca;
use exeunt_testbed::receiver::{Receiver, Setup};
use serde_json::Value;

use super::{Target, Told, Truth, assert_told, secret, tell};

/// A key, and its base64 by `base64`(1).
const KEY: &[u8] = b"twenty-four octets or so";
const KEY_BASE64: &str = "dHdlbnR5LWZvdXIgb2N0ZXRzIG9yIHNv";

impl Target for Receiver {
    fn module(&self) -> &'static str {
        "webhook"
    }

    fn count(&self) -> usize {
        2100
    }

    fn port(&self) -> Option<u16> {
        Some(Receiver::port(self))
    }

    fn settings(&mut self, ca: &Ca, port: u16) -> String {
        format!(
            "url = \"https://localhost:{port}/hook\"\nca_file = \"{}\"\nsecret_file = \"{}\"\n\
             allow_networks = [\"127.0.0.1\"]\ntimeout_s = 3\n",
            self.ca_file().display(),
            secret(ca, "key", KEY_BASE64),
        )
    }

    fn kill(&mut self) {
        Receiver::kill(self);
    }

    fn restart(&mut self) {
        Receiver::restart(self);
    }

    fn others(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_compared(&self) -> bool {
        false
    }

    fn check(&self, truth: &Truth) {
        let (mut told, mut lists) = (Vec::new(), Vec::new());
        for it in self.received().iter().filter(|it| it.method == "POST") {
            assert_eq!((it.signature.as_str(), it.status), ("good", 200));
            let body: Value = serde_json::from_slice(&it.body).unwrap();
            let octets = |it: &Value| {
                let octets = it.as_str().map(|it| STANDARD.decode(it).unwrap());
                octets.unwrap_or_else(|| panic!("{it} are no octets"))
            };
            let data = &body["data"];
            let word = body["type"].as_str().unwrap().strip_prefix("exeunt.").unwrap();
            if word == "crl-issued" {
                lists.push(octets(&data["system"]["RawCRL"]));
            }
            if !["issued", "revoked"].contains(&word) {
                continue;
            }
            let serial = data["certificate"]["SerialNumber"].as_str().unwrap();
            let certificate = truth.certificates.iter().find(|it| it.serial == serial);
            assert_eq!(octets(&data["certificate"]["RawCertificate"]), certificate.unwrap().der);
            let id = it.header("webhook-id").unwrap();
            assert_eq!(body["id"], id);
            told.push(Told { word: word.to_owned(), serial: serial.to_owned(), id: id.to_owned() });
        }
        assert_told(&told, truth);
        assert!(lists.contains(&truth.list), "the list that holds was not told of");
    }
}

#[test]
fn a_web_server_was_told_everything_that_the_store_says() {
    tell(&mut Receiver::start(&Setup { secret: KEY.to_vec(), ..Setup::default() }));
}
