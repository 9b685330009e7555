//! A CA of `openssl`'s, so that no list in these tests is our own make.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use exeunt_module_kit::{Event, Properties, Value, exit_event};
use exeunt_testbed::process::run;

pub struct Authority {
    folder: tempfile::TempDir,
    /// Its certificate.
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", "3650", "-subj", &format!("/O=Tests/CN={name}")]);
        openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout"]);
        run(openssl.arg(file("ca.key")).arg("-out").arg(file("ca.pem")));
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-outform", "DER", "-in"]).arg(file("ca.pem"));
        let der = run(&mut openssl);
        fs::write(file("index.txt"), "").unwrap();
        Self { folder, der }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A base list that holds for a month.
    pub fn list(&self, number: u64) -> Vec<u8> {
        self.signed_list(number, None, None)
    }

    /// A base list that holds between two times, in Unix seconds.
    pub fn list_of(&self, number: u64, from: i64, to: i64) -> Vec<u8> {
        self.signed_list(number, None, Some((from, to)))
    }

    /// A delta list.
    pub fn delta(&self, number: u64, base: u64) -> Vec<u8> {
        self.signed_list(number, Some(base), None)
    }

    fn signed_list(&self, number: u64, base: Option<u64>, dates: Option<(i64, i64)>) -> Vec<u8> {
        let indicator = base.map(|it| format!("2.5.29.27=critical,ASN1:INTEGER:{it}\n"));
        let settings = format!(
            "[ca]\ndefault_ca=it\n[it]\ndatabase={}\ncertificate={}\nprivate_key={}\n\
             crlnumber={}\ndefault_md=sha256\ncrl_extensions=crl\n\
             [crl]\nauthorityKeyIdentifier=keyid\n{}",
            self.file("index.txt").display(),
            self.file("ca.pem").display(),
            self.file("ca.key").display(),
            self.file("number").display(),
            indicator.unwrap_or_default(),
        );
        fs::write(self.file("ca.cnf"), settings).unwrap();
        fs::write(self.file("number"), format!("{number:04X}\n")).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["ca", "-gencrl", "-config"]).arg(self.file("ca.cnf"));
        match dates {
            None => openssl.args(["-crldays", "30"]),
            Some((from, to)) => {
                let [from, to] = [from, to].map(openssl_time);
                openssl.args(["-crl_lastupdate", &from, "-crl_nextupdate", &to])
            }
        };
        run(openssl.arg("-out").arg(self.file("list.pem")));
        let mut openssl = Command::new("openssl");
        openssl.args(["crl", "-outform", "DER", "-in"]).arg(self.file("list.pem"));
        run(&mut openssl)
    }

    /// A certificate that this CA issued to another one.
    pub fn cross(&self, other: &Self) -> Vec<u8> {
        let file = |name: &str| self.file(name);
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-in"]).arg(other.file("ca.pem")).args(["-x509toreq", "-signkey"]);
        run(openssl.arg(other.file("ca.key")).arg("-out").arg(file("other.csr")));
        fs::write(file("cross.cnf"), "basicConstraints=critical,CA:TRUE\n").unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["x509", "-req", "-days", "100", "-outform", "DER", "-in"]);
        openssl.arg(file("other.csr")).arg("-CA").arg(file("ca.pem")).arg("-CAkey");
        openssl.arg(file("ca.key")).args(["-set_serial", "77", "-extfile"]);
        run(openssl.arg(file("cross.cnf")))
    }

    /// Whether `openssl` says that a list is this CA's.
    pub fn signed(&self, list: &[u8]) -> bool {
        let fetched = self.file("fetched.crl");
        fs::write(&fetched, list).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["crl", "-inform", "DER", "-noout", "-CAfile"]).arg(self.file("ca.pem"));
        let output = openssl.arg("-in").arg(fetched).output().unwrap();
        String::from_utf8_lossy(&output.stderr).contains("verify OK")
    }

    /// What events say of this CA.
    pub fn system(&self) -> Properties {
        let text = |it: &str| Value::String(it.to_owned());
        Properties::from_iter([
            ("SanitizedCAName", text("Test CA")),
            ("SanitizedShortName", text("Test CA")),
            ("MachineDNSName", text("ca1.example.test")),
            ("CertCount", Value::Long(1)),
            ("RawCACertificate", Value::Binary(self.der.clone())),
            ("CertSuffix", text("")),
            ("CRLSuffix", text("")),
        ])
    }

    /// Lists have been issued: as the event has them.
    pub fn lists_issued(&self, seq: u64, base: &[u8], delta: Option<&[u8]>) -> Event {
        let mut system = self.system();
        system.push("RawCRL", Value::Binary(base.to_vec()));
        if let Some(delta) = delta {
            system.push("RawDeltaCRL", Value::Binary(delta.to_vec()));
        }
        event(exit_event::CRL_ISSUED, seq, system)
    }

    /// The same with a file in the place of the list, as where it is large.
    pub fn list_in_file(&self, seq: u64, path: &Path) -> Event {
        let mut system = self.system();
        system.push("CRLFile", Value::String(path.to_string_lossy().into_owned()));
        event(exit_event::CRL_ISSUED, seq, system)
    }

    /// The CA has this certificate.
    pub fn has_certificate(&self, seq: u64) -> Event {
        event(exit_event::CA_CERT_ISSUED, seq, self.system())
    }

    /// A certificate was issued or revoked.
    pub fn about(&self, kind: u32, seq: u64, certificate: &[u8]) -> Event {
        let mut told = event(kind, seq, self.system());
        told.certificate.push("RawCertificate", Value::Binary(certificate.to_vec()));
        told
    }
}

/// As `openssl` wants it, by `date`.
fn openssl_time(seconds: i64) -> String {
    let mut date = Command::new("date");
    let said = run(date.args(["-u", "+%Y%m%d%H%M%SZ", "-d", &format!("@{seconds}")]));
    String::from_utf8(said).unwrap().trim().to_owned()
}

fn event(kind: u32, seq: u64, system: Properties) -> Event {
    Event {
        id: format!("test-{seq}"),
        seq,
        event: kind,
        subject: "crl".to_owned(),
        time: "2026-11-22T00:00:00.000Z".to_owned(),
        attempt: 1,
        system: Arc::new(system),
        ..Event::default()
    }
}
