//! An S3-compatible bucket, read by Amazon's own library.

use std::collections::BTreeMap;

use exeunt_e2e::ca::Ca;
use exeunt_testbed::s3::{ACCESS_KEY, S3, SECRET_KEY, Setup};

use super::{Target, Truth, secret, tell};

const BUCKET: &str = "pki";

/// What others keep there: something else, and another CA's list.
const OTHERS: [&str; 2] = ["notes.txt", "crl/Other CA.crl"];

fn objects(server: &S3, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Vec<u8>> {
    let mut objects = server.objects(BUCKET);
    objects.retain(|key, _| wanted(key));
    objects
}

impl Target for S3 {
    fn module(&self) -> &'static str {
        "object"
    }

    fn count(&self) -> usize {
        420
    }

    fn port(&self) -> Option<u16> {
        Some(S3::port(self))
    }

    fn settings(&mut self, ca: &Ca, port: u16) -> String {
        format!(
            "endpoint = \"https://localhost:{port}\"\nca_file = \"{}\"\nbucket = \"{BUCKET}\"\n\
             access_key_file = \"{}\"\nsecret_key_file = \"{}\"\ntimeout_s = 3\n",
            self.ca_file().display(),
            secret(ca, "id", ACCESS_KEY),
            secret(ca, "key", SECRET_KEY),
        )
    }

    fn prepare(&mut self, _ca: &Ca) {
        for key in OTHERS {
            self.put(BUCKET, key, b"somebody's", None).unwrap();
        }
    }

    fn kill(&mut self) {
        S3::kill(self);
    }

    fn restart(&mut self) {
        S3::restart(self);
    }

    fn others(&self) -> Vec<String> {
        let others = objects(self, |key| OTHERS.contains(&key));
        others.into_iter().map(|it| format!("{it:?}")).collect()
    }

    fn check(&self, truth: &Truth) {
        let certificates = truth.certificates.iter();
        let mut wanted: BTreeMap<String, Vec<u8>> = certificates
            .map(|it| (format!("certificates/{}.cer", it.serial), it.der.clone()))
            .collect();
        wanted.insert("ca/Test Root.crt".to_owned(), truth.authority.clone());
        wanted.insert("crl/Test Root.crl".to_owned(), truth.list.clone());
        let found = objects(self, |key| !OTHERS.contains(&key));
        let keys = (found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        assert_eq!(keys.0, keys.1);
        assert!(found == wanted, "an object has another content");
    }
}

#[test]
fn a_bucket_holds_what_the_store_says() {
    let server = S3::start(&Setup::default());
    server.make_bucket(BUCKET);
    tell(&mut { server });
}
