//! A receiver of syslog messages over TLS, which takes them apart by the grammar of RFC 5424.

use std::fs;
use std::path::Path;
use std::process::Command;

use exeunt_e2e::ca::Ca;
use exeunt_testbed::authority::{Authority, Flaw};
use exeunt_testbed::process::{Process, free_port};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Target, Told, Truth, assert_told, tell};

struct Receiver {
    folder: TempDir,
    authority: Authority,
    told: Value,
    port: u16,
    process: Process,
}

impl Receiver {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(&folder.path().join("tls"));
        let identity = authority.server(Flaw::Nothing);
        let port = free_port();
        let told = json!({
            "port": port,
            "certificate": identity.certificate,
            "key": identity.key,
            "clients": null,
            "log": folder.path().join("received"),
            "behaviour": folder.path().join("behaviour"),
        });
        fs::write(folder.path().join("behaviour"), "well").unwrap();
        let process = launch(&told, folder.path(), port);
        Self { folder, authority, told, port, process }
    }
}

fn launch(told: &Value, folder: &Path, port: u16) -> Process {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules");
    let script = modules.join("exeunt-exit-syslog/tests/it/receiver.py");
    let mut command = Command::new("python3");
    command.arg("-B").arg(script).arg(told.to_string());
    let mut process = Process::start(&mut command, &folder.join("log"));
    process.wait_for_port(port);
    process
}

impl Target for Receiver {
    fn module(&self) -> &'static str {
        "syslog"
    }

    fn count(&self) -> usize {
        2800
    }

    fn port(&self) -> Option<u16> {
        Some(self.port)
    }

    fn settings(&mut self, _ca: &Ca, port: u16) -> String {
        // Whoever cuts a connection cannot say farewell in the server's place.
        format!(
            "server = \"localhost:{port}\"\nca_file = \"{}\"\nconfirm = \"farewell\"\ntimeout_s = 3\n",
            self.authority.certificate().display(),
        )
    }

    fn kill(&mut self) {
        self.process.kill();
    }

    fn restart(&mut self) {
        self.process = launch(&self.told, self.folder.path(), self.port);
    }

    fn others(&self) -> Vec<String> {
        Vec::new()
    }

    fn is_compared(&self) -> bool {
        false
    }

    fn check(&self, truth: &Truth) {
        let text = fs::read_to_string(self.folder.path().join("received")).unwrap();
        let mut told = Vec::new();
        // What was being written when it was killed has no end.
        for line in text.lines().filter(|it| it.ends_with('}')) {
            let message: Value = serde_json::from_str(line).unwrap();
            assert_eq!(message["wrong"], Value::Null, "{message}");
            let word = message["kind"].as_str().unwrap().to_owned();
            if !["issued", "revoked"].contains(&word.as_str()) {
                continue;
            }
            let value = |name: &str| message["values"][name].as_str().unwrap().to_owned();
            let serial = value("serial");
            let certificate = truth.certificates.iter().find(|it| it.serial == serial);
            let host = &certificate.expect("a certificate").host;
            assert_eq!(value("dn"), format!("CN={host}"));
            told.push(Told { word, serial, id: value("id") });
        }
        assert_told(&told, truth);
    }
}

#[test]
fn a_receiver_of_syslog_has_a_message_of_each_event_of_the_store() {
    tell(&mut Receiver::start());
}
