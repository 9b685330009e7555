//! Certificates for the servers, made by `openssl`: right ones, and those that a client must refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::run;

/// A certificate authority in a folder, for `localhost` and 127.0.0.1.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
}

/// A certificate and its key, as PEM files; the key is readable by its owner alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The private key, PKCS#8.
    pub key: PathBuf,
}

/// What is right or wrong about a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing: issued by the authority for `localhost` and 127.0.0.1, valid now.
    Nothing,
    /// It is for another name.
    OtherName,
    /// Another authority of the same name issued it.
    OtherAuthority,
    /// It has expired.
    Expired,
}

/// Subject of the authority.
const SUBJECT: &str = "/O=Exeunt tests/CN=Testbed CA";

/// SHA-256 of a certificate in a PEM file, as `openssl` says it.
///
/// # Panics
///
/// When `openssl` fails.
pub fn fingerprint(certificate: &Path) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]);
    let said = String::from_utf8(run(openssl.arg(certificate))).expect("text");
    said.trim().rsplit_once('=').expect("a fingerprint").1.to_owned()
}

impl Authority {
    /// Makes the authority in a folder, which is made as well.
    ///
    /// # Panics
    ///
    /// When `openssl` fails.
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder for certificates");
        let authority = Self { folder: folder.to_owned() };
        let (key, certificate) = (authority.key(), authority.certificate());
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", "3650", "-subj", SUBJECT, "-keyout"]).arg(&key);
        openssl
            .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out"])
            .arg(&certificate);
        run(&mut openssl);
        // What `openssl ca` wants, which alone can choose both ends of the validity.
        fs::write(authority.file("index.txt"), "").expect("an index");
        fs::write(authority.file("ca.cnf"), authority.settings()).expect("settings");
        authority
    }

    /// Its own certificate, PEM: what a client pins.
    pub fn certificate(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// A certificate for a server on loopback.
    pub fn server(&self, flaw: Flaw) -> Identity {
        match flaw {
            Flaw::Nothing => self.server_for("localhost", &["localhost"]),
            Flaw::OtherName => {
                let names = "DNS:elsewhere.example.test";
                self.issue("other-name", "elsewhere.example.test", names, "serverAuth", DATES_NOW)
            }
            Flaw::OtherAuthority => {
                Self::new(&self.file("impostor")).server_for("localhost", &["localhost"])
            }
            Flaw::Expired => {
                let dates = ("20200101000000Z", "20210101000000Z");
                self.issue(
                    "expired",
                    "localhost",
                    "DNS:localhost,IP:127.0.0.1",
                    "serverAuth",
                    dates,
                )
            }
        }
    }

    /// A certificate for a server with these DNS names, which is good for 127.0.0.1 as well; `file`
    /// is the stem of its files.
    pub fn server_for(&self, file: &str, names: &[&str]) -> Identity {
        let mut listed: Vec<String> = names.iter().map(|it| format!("DNS:{it}")).collect();
        listed.push("IP:127.0.0.1".to_owned());
        let first = names.first().copied().unwrap_or("localhost");
        self.issue(file, first, &listed.join(","), "serverAuth", DATES_NOW)
    }

    /// A certificate for a client whose subject is this common name alone.
    pub fn client(&self, common_name: &str) -> Identity {
        let names = format!("DNS:{common_name}");
        self.issue(common_name, common_name, &names, "clientAuth", DATES_NOW)
    }

    fn issue(
        &self,
        file: &str,
        common_name: &str,
        names: &str,
        usage: &str,
        (begin, end): (&str, &str),
    ) -> Identity {
        let identity = Identity {
            certificate: self.file(&format!("{file}.pem")),
            key: self.file(&format!("{file}.key")),
        };
        let (request, extensions) = (self.file("request.pem"), self.file("extensions.cnf"));
        let subject = format!("/CN={common_name}");
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-subj", &subject, "-keyout"]).arg(&identity.key);
        run(openssl.arg("-out").arg(&request));
        let text = format!(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage={usage}\nsubjectAltName={names}\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        );
        fs::write(&extensions, text).expect("extensions");
        let mut openssl = Command::new("openssl");
        openssl.args(["ca", "-batch", "-notext", "-config"]);
        openssl.arg(self.file("ca.cnf")).args(["-startdate", begin, "-enddate", end, "-extfile"]);
        openssl.arg(&extensions).arg("-in").arg(&request);
        run(openssl.arg("-out").arg(&identity.certificate));
        identity
    }

    fn settings(&self) -> String {
        format!(
            "[ca]\ndefault_ca=it\n[it]\ndatabase={}\nnew_certs_dir={}\ncertificate={}\n\
             private_key={}\ndefault_md=sha256\npolicy=any\nunique_subject=no\nrand_serial=yes\n\
             [any]\ncommonName=supplied\n",
            self.file("index.txt").display(),
            self.folder.display(),
            self.certificate().display(),
            self.key().display(),
        )
    }

    fn key(&self) -> PathBuf {
        self.file("ca.key")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Validity of what must pass whenever the tests run.
const DATES_NOW: (&str, &str) = ("20200101000000Z", "20491231235959Z");

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl` says of a certificate for `localhost`.
    fn verdict(authority: &Authority, identity: &Identity) -> String {
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-verify_hostname", "localhost", "-purpose", "sslserver"]);
        openssl.arg("-CAfile").arg(authority.certificate()).arg(&identity.certificate);
        let output = openssl.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    #[test]
    fn each_flaw_is_what_a_foreign_verifier_finds() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path());
        let cases = [
            (Flaw::Nothing, ": OK"),
            (Flaw::OtherName, "hostname mismatch"),
            (Flaw::OtherAuthority, "unable to get local issuer certificate"),
            (Flaw::Expired, "certificate has expired"),
        ];
        for (flaw, says) in cases {
            let verdict = verdict(&authority, &authority.server(flaw));
            assert!(verdict.contains(says), "{flaw:?}: {verdict}");
        }
    }
}
