//! A small CA of openssl's, in a folder.

use std::{fmt::Write as _, fs, process::Command};

use exeunt_publication::certificate::Certificate;
use tempfile::TempDir;

/// A CA with its key and its first certificate.
pub struct Ca {
    folder: TempDir,
    /// The CA's own certificate.
    pub certificate: Certificate,
}

/// What a list is to say.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Its number.
    pub number: u64,
    /// For a delta, the number of its base.
    pub base: Option<u8>,
    /// Address of its issuing distribution point.
    pub address: Option<&'a str>,
    /// Start and end, as openssl reads them; today and 30 days where not given.
    pub times: Option<(&'a str, &'a str)>,
}

impl Ca {
    /// `key` are the words after `openssl genpkey`, `sign` those that choose the signature.
    pub fn new(name: &str, key: &[&str], sign: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        run(&folder, &[&["genpkey", "-out", "key.pem"], key].concat());
        fs::write(
            folder.path().join("ca.cnf"),
            "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
             subjectKeyIdentifier=hash\nkeyUsage=critical,keyCertSign,cRLSign\n",
        )
        .unwrap();
        let subject = format!("/O=Exämple, Inc./CN={name}");
        let words = ["req", "-x509", "-new", "-utf8", "-config", "ca.cnf", "-extensions", "ca"];
        let rest = ["-key", "key.pem", "-subj", &subject, "-days", "900", "-out", "ca.pem"];
        run(&folder, &[&words, &rest[..], sign].concat());
        let der = run(&folder, &["x509", "-in", "ca.pem", "-outform", "DER"]);
        let certificate = Certificate::from_der(&der).unwrap();
        Self { folder, certificate }
    }

    /// A certificate with these extensions, a line each.
    pub fn issue(&self, subject: &str, extensions: &str) -> Vec<u8> {
        fs::write(self.folder.path().join("ext.cnf"), format!("[e]\n{extensions}\n")).unwrap();
        let key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        run(&self.folder, &[&["genpkey", "-out", "leaf.key"], &key[..]].concat());
        let words = ["req", "-new", "-utf8", "-config", "ca.cnf", "-key", "leaf.key", "-subj"];
        run(&self.folder, &[&words, &[subject, "-out", "leaf.csr"][..]].concat());
        let words = ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "key.pem"];
        let rest = ["-set_serial", "0xF00D", "-extfile", "ext.cnf", "-extensions", "e"];
        run(&self.folder, &[&words, &rest[..], &["-days", "9", "-outform", "DER"]].concat())
    }

    /// A certificate that was valid in 2020 and has this serial number, in hexadecimal.
    pub fn issue_expired(&self, subject: &str, serial: &str) -> Vec<u8> {
        let file = |name: &str, content: &str| {
            fs::write(self.folder.path().join(name), content).unwrap();
        };
        file(
            "old.cnf",
            "[ca]\ndefault_ca=it\n[it]\ndatabase=old.txt\nserial=old.srl\nnew_certs_dir=.\n\
             default_md=default\npolicy=p\nunique_subject=no\nx509_extensions=e\n[p]\n\
             commonName=supplied\n[e]\nauthorityKeyIdentifier=keyid\n",
        );
        file("old.txt", "");
        file("old.srl", &format!("{serial}\n"));
        let key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
        run(&self.folder, &[&["genpkey", "-out", "old.key"], &key[..]].concat());
        let words = ["req", "-new", "-config", "ca.cnf", "-key", "old.key", "-subj"];
        run(&self.folder, &[&words, &[subject, "-out", "old.csr"][..]].concat());
        let words = ["ca", "-batch", "-notext", "-config", "old.cnf", "-in", "old.csr"];
        let dates = ["-startdate", "20200101000000Z", "-enddate", "20201231000000Z"];
        let rest = ["-cert", "ca.pem", "-keyfile", "key.pem", "-out", "old.pem"];
        run(&self.folder, &[&words, &dates[..], &rest[..]].concat());
        run(&self.folder, &["x509", "-in", "old.pem", "-outform", "DER"])
    }

    /// A revocation list.
    pub fn list(&self, wanted: Wanted<'_>) -> Vec<u8> {
        let mut text = "[ca]\ndefault_ca=it\n[it]\ndatabase=index.txt\ncrlnumber=number\n\
                        default_md=default\ndefault_crl_days=30\ncrl_extensions=e\n[e]\n\
                        authorityKeyIdentifier=keyid\n"
            .to_owned();
        if let Some(base) = wanted.base {
            writeln!(text, "2.5.29.27=critical,DER:0201{base:02x}").unwrap();
        }
        if let Some(address) = wanted.address {
            writeln!(text, "issuingDistributionPoint=critical,@p\n[p]\nfullname=URI:{address}")
                .unwrap();
        }
        let file = |name: &str, content: &str| {
            fs::write(self.folder.path().join(name), content).unwrap();
        };
        file("crl.cnf", &text);
        let revoked = "R\t300101000000Z\t260101000000Z,keyCompromise\t0A\tunknown\t/CN=gone\n";
        file("index.txt", revoked);
        let digits = format!("{:x}", wanted.number);
        let zero = if digits.len() % 2 == 0 { "" } else { "0" };
        file("number", &format!("{zero}{digits}\n"));
        let mut words = vec!["ca", "-gencrl", "-config", "crl.cnf", "-out", "crl.pem"];
        words.extend(["-keyfile", "key.pem", "-cert", "ca.pem"]);
        if let Some((start, end)) = wanted.times {
            words.extend(["-crl_lastupdate", start, "-crl_nextupdate", end]);
        }
        run(&self.folder, &words);
        run(&self.folder, &["crl", "-in", "crl.pem", "-outform", "DER"])
    }
}

/// Keys of the usual curve.
pub fn p256(name: &str) -> Ca {
    Ca::new(name, &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], &[])
}

fn run(folder: &TempDir, words: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(words).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {words:?}: {said}");
    output.stdout
}
