//! A database, a module that writes into it, and events about thousands of certificates.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use exeunt_exit_sql::SqlExit;
use exeunt_module_kit::testing::{Host, issued_event, retried, target_down};
use exeunt_module_kit::{Event, Initialize, Outcome, Value, exit_event, maintain};
use exeunt_testbed::authority::{Authority, Flaw};
use exeunt_testbed::postgres::{DATABASE, PASSWORD, Postgres, USER};
use exeunt_testbed::process::run;
use serde_json::{Value as Json, json};

/// The server, and files that settings name.
pub struct Bed {
    pub server: Postgres,
    pub folder: tempfile::TempDir,
}

impl Bed {
    /// A database without tables.
    pub fn empty(flaw: Flaw) -> Self {
        Self::with(Postgres::start(flaw))
    }

    /// A server of the test's own.
    pub fn with(server: Postgres) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bed = Self { server, folder };
        bed.password(PASSWORD);
        bed
    }

    /// A database with the tables that the module makes.
    pub fn new() -> Self {
        Self::installed(Self::empty(Flaw::Nothing))
    }

    /// The same with the tables.
    pub fn installed(bed: Self) -> Self {
        let mut host = bed.upkeep(bed.server.port(), &json!({}));
        assert!(host.install(true).expect("a report").script.is_none());
        host.shutdown().expect("a farewell");
        bed
    }

    pub fn password(&self, password: &str) -> PathBuf {
        let path = self.folder.path().join("password");
        fs::write(&path, password).expect("a password");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
        path
    }

    pub fn settings(&self, port: u16, more: &Json) -> Json {
        let mut settings = json!({
            "host": "localhost", "port": port, "database": DATABASE, "user": USER,
            "password_file": self.folder.path().join("password"),
            "ca_file": self.server.ca_file(), "schema": "inventory",
        });
        for (name, value) in more.as_object().expect("an object") {
            settings[name] = value.clone();
        }
        settings.as_object_mut().expect("an object").retain(|_, it| !it.is_null());
        settings
    }

    /// A module that is told of events, at a port of the server or of a proxy to it.
    pub fn host(&self, port: u16, more: &Json) -> Host {
        let mut host = Host::in_memory(SqlExit::default()).expect("pipes");
        host.initialize(&self.settings(port, more)).expect("settings that do");
        host
    }

    /// A module that looks after the database.
    pub fn upkeep(&self, port: u16, more: &Json) -> Host {
        let mut host = Host::in_memory(SqlExit::default()).expect("pipes");
        host.initialize_maintain(&self.settings(port, more)).expect("settings that do");
        host
    }

    /// The same, of an exit with a filter.
    pub fn upkeep_of_a_part(&self, port: u16) -> Host {
        let mut host = Host::in_memory(SqlExit::default()).expect("pipes");
        let settings = self.settings(port, &json!({}));
        host.initialize_with(Initialize {
            protocol: 1,
            config: "Test CA".to_owned(),
            module: "under-test".to_owned(),
            role: Some(maintain::ROLE.to_owned()),
            settings: settings.as_object().expect("an object").clone(),
            window: 1,
            deadline_ms: 30_000,
            partial: true,
            ..Initialize::default()
        })
        .expect("settings that do");
        host
    }

    /// Serial number and state of every certificate, as `psql` sees them.
    pub fn states(&self) -> Vec<String> {
        let sql = "SELECT serial, state FROM inventory.certificate ORDER BY serial";
        self.server.sql(sql).lines().map(str::to_owned).collect()
    }
}

/// A certificate that `openssl` made. Those of the events are the same but for the serial number,
/// so that their signatures are none, which an inventory does not look at.
pub struct Mould {
    der: Vec<u8>,
    /// Where the last eight octets of the serial number are.
    at: usize,
}

impl Mould {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path());
        let identity = authority.server_for("www", &["www.example.com", "*.example.com"]);
        Self::of(&identity.certificate)
    }

    fn of(certificate: &std::path::Path) -> Self {
        let mut openssl = Command::new("openssl");
        let said = run(openssl.args(["x509", "-noout", "-serial", "-in"]).arg(certificate));
        let said = String::from_utf8(said).expect("text");
        let digits = said.trim().strip_prefix("serial=").expect("a serial number");
        let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("an octet");
        let serial: Vec<u8> = (0..digits.len()).step_by(2).map(octet).collect();
        let (_, der) =
            pem_rfc7468::decode_vec(&fs::read(certificate).expect("a file")).expect("PEM");
        let at = der.windows(serial.len()).position(|it| it == serial).expect("the serial number");
        Self { at: at + serial.len() - 8, der }
    }

    /// The certificate with that number.
    pub fn der(&self, number: u64) -> Vec<u8> {
        let mut der = self.der.clone();
        der[self.at..self.at + 8].copy_from_slice(&number.to_be_bytes());
        der
    }

    /// Its serial number as the inventory has it; all of a mould begin alike.
    pub fn serial(&self, number: u64) -> String {
        let der = self.der(number);
        let start = (0..self.at).rev().find(|at| {
            der[*at] == 0x02 && {
                let length = usize::from(der[at + 1]);
                at + 2 + length == self.at + 8
            }
        });
        let start = start.expect("an INTEGER") + 2;
        let octets = der[start..self.at + 8].iter().skip_while(|it| **it == 0);
        octets.fold(String::new(), |text, it| text + &format!("{it:02x}"))
    }

    /// The event that a certificate was issued upon the request of the same number.
    pub fn issued(&self, seq: u64, number: u64) -> Event {
        let mut event = issued_event(seq, &self.der(number));
        event.context = number;
        event.subject = format!("request:{number}");
        event
    }

    /// The event that it was revoked.
    pub fn revoked(&self, seq: u64, number: u64, reason: i32) -> Event {
        let mut event = self.issued(seq, number);
        event.event = exit_event::CERT_REVOKED;
        event.request.set("Disposition", Some(Value::Long(21)));
        event.request.set("RevokedReason", Some(Value::Long(reason)));
        let when = Value::Date("2026-11-22T08:00:00Z".to_owned());
        event.request.set("RevokedWhen", Some(when.clone()));
        event.request.set("RevokedEffectiveWhen", Some(when));
        event
    }
}

/// Events until all are accepted: what is put off is told again, as the host does.
pub fn deliver(host: &mut Host, events: &[Event]) {
    let mut left = events.to_vec();
    for _ in 0..1000 {
        let outcomes = host.notify_all(&left).expect("answers");
        let put_off = |it: &Result<Outcome, _>| match it.as_ref().expect("an outcome") {
            Outcome::Accept => false,
            Outcome::Retry { .. } | Outcome::TargetDown { .. } => true,
            other => panic!("{other:?}"),
        };
        left = left
            .iter()
            .zip(&outcomes)
            .filter(|(_, it)| put_off(it))
            .map(|(it, _)| it.clone())
            .collect();
        if left.is_empty() {
            return;
        }
    }
    panic!("{} events were never accepted", left.len());
}

/// The event is to be told again, and it counts: this event is in trouble, and others may not be.
#[track_caller]
pub fn assert_retry(outcome: &Outcome, said: &str) {
    let reason = retried(outcome);
    assert!(reason.contains(said), "{reason}");
}

/// As [`assert_retry`], where no event could be taken, so that nothing counts.
#[track_caller]
pub fn assert_down(outcome: &Outcome, said: &str) {
    let reason = target_down(outcome);
    assert!(reason.contains(said), "{reason}");
}
