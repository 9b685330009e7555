//! A folder of files, on a disk that goes away.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use exeunt_e2e::ca::Ca;
use exeunt_x509::encode_pem;

use super::{Target, Truth, tell};

/// Where the folder of the module is.
#[derive(Default)]
struct Disk {
    mounted: PathBuf,
    unmounted: PathBuf,
}

/// What others keep there.
const OTHERS: [&str; 2] = ["notes.txt", "other-ca.pem"];

impl Disk {
    fn published(&self) -> PathBuf {
        self.mounted.join("published")
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(self.published()).unwrap().map(Result::unwrap);
        files
            .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
            .collect()
    }
}

impl Target for Disk {
    fn module(&self) -> &'static str {
        "file"
    }

    fn count(&self) -> usize {
        2800
    }

    fn port(&self) -> Option<u16> {
        None
    }

    fn settings(&mut self, ca: &Ca, _port: u16) -> String {
        (self.mounted, self.unmounted) = (ca.scratch().join("disk"), ca.scratch().join("away"));
        fs::create_dir_all(self.published()).unwrap();
        format!(
            "directory = \"{}\"\nca_certificates = true\nlists = true\n",
            self.published().display()
        )
    }

    fn prepare(&mut self, _ca: &Ca) {
        for name in OTHERS {
            fs::write(self.published().join(name), "somebody's").unwrap();
        }
    }

    fn kill(&mut self) {
        fs::rename(&self.mounted, &self.unmounted).unwrap();
    }

    fn restart(&mut self) {
        fs::rename(&self.unmounted, &self.mounted).unwrap();
    }

    fn others(&self) -> Vec<String> {
        let mut files = self.files();
        files.retain(|name, _| OTHERS.contains(&name.as_str()));
        files.into_iter().map(|it| format!("{it:?}")).collect()
    }

    fn check(&self, truth: &Truth) {
        let mut files = self.files();
        files.retain(|name, _| !OTHERS.contains(&name.as_str()));
        for it in &truth.certificates {
            let pem = files.remove(&format!("{}.pem", it.serial)).expect("a certificate's file");
            assert_eq!(String::from_utf8(pem).unwrap(), encode_pem("CERTIFICATE", &it.der));
        }
        assert_eq!(files.remove("Test Root.crl").as_ref(), Some(&truth.list));
        let (name, der) = files.pop_first().expect("the CA's certificate");
        assert!(name.ends_with("_Test Root.crt") && der == truth.authority, "{name}");
        assert!(files.is_empty(), "{:?}", files.keys());
    }
}

#[test]
fn a_folder_holds_what_the_store_says() {
    tell(&mut Disk::default());
}
