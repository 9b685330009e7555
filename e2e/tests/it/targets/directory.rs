//! Directories: `OpenLDAP`, and Samba as an Active Directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_e2e::ca::Ca;
use exeunt_testbed::authority::Authority;
use exeunt_testbed::openldap::{self, OpenLdap};
use exeunt_testbed::process::run;
use exeunt_testbed::samba::{self, ActiveDirectory};
use exeunt_testkit::foreign;
use exeunt_x509::{encode_pem, parse_certificate};

use super::{HOSTS, Issued, Target, Truth, host, tell};

/// The name of the CA's server in the directory.
const SERVER: &str = "ca1";

/// What a module of a CA writes; everything else on its objects is somebody else's.
const WRITTEN: [&str; 3] = ["userCertificate", "cACertificate", "certificateRevocationList"];

/// Holders that have a certificate of another CA as well.
const HOLDERS_ELSEWHERE: usize = 2;

/// A directory with the holders of all certificates, and what others have in it.
struct Directory<S> {
    server: S,
    /// Certificates of another CA, DER, each on the object of one of the first holders.
    others: Vec<Vec<u8>>,
}

impl<S> Directory<S> {
    fn new(server: S, authority: &Authority) -> Self {
        let other = |index| {
            let pem = std::fs::read(authority.client(&host(index)).certificate).unwrap();
            parse_certificate(&pem).unwrap().der().to_vec()
        };
        Self { server, others: (0..HOLDERS_ELSEWHERE).map(other).collect() }
    }

    /// Changes that put the other CA's certificates there.
    fn ldif(&self, attribute: &str, dn: impl Fn(&str) -> String) -> String {
        let change = |(index, der): (usize, &Vec<u8>)| {
            format!(
                "dn: {}\nchangetype: modify\nadd: {attribute}\n{attribute}:: {}\n\n",
                dn(&host(index)),
                STANDARD.encode(der),
            )
        };
        self.others.iter().enumerate().map(change).collect()
    }

    /// Each holder has the certificates that are not revoked, and the other CA's.
    fn check_holders(&self, mut found: BTreeMap<String, BTreeSet<Vec<u8>>>, truth: &Truth) {
        for index in 0..HOSTS {
            let name = host(index);
            let own = |it: &&Issued| it.host == name && !it.revoked;
            let own = truth.certificates.iter().filter(own).map(|it| &it.der);
            let wanted: BTreeSet<&Vec<u8>> = own.chain(self.others.get(index)).collect();
            let found = found.remove(&name).unwrap_or_default();
            assert!(found.iter().collect::<BTreeSet<_>>() == wanted, "{name} has others");
        }
        assert!(found.is_empty(), "{:?}", found.keys());
    }
}

/// Settings of a module that writes to `container` too.
fn settings(port: u16, authority: &Authority, user: &str, password: &Path, base: &str) -> String {
    let filter = if user.contains('@') { "(cn={cn})" } else { "(uid={cn})" };
    let container = if user.contains('@') {
        String::new()
    } else {
        format!("container = \"{}\"\n", openldap::PKI)
    };
    format!(
        "servers = [\"ldaps://localhost:{port}\"]\nca_file = \"{}\"\nbind_dn = \"{user}\"\n\
         password_file = \"{}\"\nconnect_timeout_s = 3\ntimeout_s = 3\nreturn_after_s = 1\n\n\
         [exit.settings.users]\npublish = \"always\"\nbases = [\"{base}\"]\n\
         filters = [\"{filter}\"]\nremove_revoked = true\n\n\
         [exit.settings.objects]\n{container}make = \"parents\"\n\
         machine_short_name = \"{SERVER}\"\n",
        authority.certificate().display(),
        password.display(),
    )
}

/// Entries without what the CA's module writes on holders and on the CA's own objects.
fn without_written(entries: Vec<String>) -> Vec<String> {
    let own = |entry: &str| entry.contains("Test Root") || entry.contains(".example.test,");
    let kept = |line: &&str| !WRITTEN.iter().any(|it| line.starts_with(it));
    let strip = |entry: String| {
        if own(&entry) { entry.lines().filter(kept).collect::<Vec<_>>().join("\n") } else { entry }
    };
    entries.into_iter().map(strip).collect()
}

/// Values of an attribute of each entry of LDIF without folded lines, by the first value of the DN.
fn values(ldif: &str, attribute: &str) -> BTreeMap<String, BTreeSet<Vec<u8>>> {
    let mut found: BTreeMap<String, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for entry in ldif.split("\n\n") {
        let Some(dn) = entry.lines().find_map(|it| it.strip_prefix("dn: ")) else { continue };
        let name = dn.split([',', '=']).nth(1).unwrap().to_owned();
        let value = |line: &str| {
            let value = line.strip_prefix(attribute)?.strip_prefix(":: ")?;
            Some(STANDARD.decode(value).unwrap())
        };
        let values: BTreeSet<Vec<u8>> = entry.lines().filter_map(value).collect();
        if !values.is_empty() {
            found.insert(name, values);
        }
    }
    found
}

/// The one value of an attribute of the one entry of LDIF.
fn value(ldif: &str, attribute: &str) -> Vec<u8> {
    let mut found = values(ldif, attribute).into_values();
    let mut found = (found.next().unwrap().into_iter(), found.next());
    assert!(found.1.is_none());
    let value = found.0.next().unwrap();
    assert_eq!(found.0.next(), None);
    value
}

impl Target for Directory<OpenLdap> {
    fn module(&self) -> &'static str {
        "directory"
    }

    fn count(&self) -> usize {
        1400
    }

    fn port(&self) -> Option<u16> {
        Some(self.server.tls_port())
    }

    fn settings(&mut self, _ca: &Ca, port: u16) -> String {
        let (authority, password) = (self.server.authority(), self.server.password_file());
        settings(port, authority, openldap::PUBLISHER, &password, openldap::PEOPLE)
    }

    fn is_installed(&self) -> bool {
        true
    }

    fn prepare(&mut self, _ca: &Ca) {
        let dn = |name: &str| format!("uid={name},{}", openldap::PEOPLE);
        self.server.admin_ldif(&self.ldif("userCertificate;binary", dn));
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    fn restart(&mut self) {
        self.server.start_again();
    }

    fn others(&self) -> Vec<String> {
        without_written(self.server.contents())
    }

    fn check(&self, truth: &Truth) {
        let words = ["(uid=*)", "userCertificate;binary"];
        let found = self.server.search(openldap::PEOPLE, "one", &words);
        self.check_holders(values(&found, "userCertificate;binary"), truth);
        let object = |dn: &str, attribute: &str| {
            value(&self.server.search(dn, "base", &["(objectClass=*)", attribute]), attribute)
        };
        let list = format!("CN=Test Root,CN={SERVER},CN=CDP,{}", openldap::PKI);
        assert!(object(&list, "certificateRevocationList;binary") == truth.list);
        let aia = format!("CN=Test Root,CN=AIA,{}", openldap::PKI);
        assert!(object(&aia, "cACertificate;binary") == truth.authority);
    }
}

impl Target for Directory<ActiveDirectory> {
    fn module(&self) -> &'static str {
        "directory"
    }

    fn count(&self) -> usize {
        700
    }

    fn port(&self) -> Option<u16> {
        Some(self.server.tls_port())
    }

    fn settings(&mut self, _ca: &Ca, port: u16) -> String {
        let (authority, password) = (self.server.authority(), self.server.password_file());
        settings(port, authority, samba::PUBLISHER, &password, samba::USERS)
    }

    /// Certificates name the place of their list as those of Windows do, without a server.
    fn configure(&mut self, ca: &Ca) {
        let point = format!("ldap:///{}", list_dn().replace(' ', "%20"))
            + "?certificateRevocationList?base?objectClass=cRLDistributionPoint";
        ca.configure(
            "crl_distribution_points = []",
            &format!("crl_distribution_points = [{point:?}]"),
        );
    }

    fn is_installed(&self) -> bool {
        true
    }

    fn prepare(&mut self, _ca: &Ca) {
        let dn = |name: &str| format!("CN={name},{}", samba::USERS);
        self.server.ldif(&self.ldif("userCertificate", dn));
    }

    fn kill(&mut self) {
        self.server.kill();
    }

    fn restart(&mut self) {
        self.server.start_again();
    }

    fn others(&self) -> Vec<String> {
        let bases = [samba::USERS, samba::PKI];
        without_written(bases.iter().flat_map(|it| self.server.contents(it)).collect())
    }

    fn check(&self, truth: &Truth) {
        let words = ["(userCertificate=*)", "userCertificate"];
        let found = self.server.search(samba::USERS, "one", &words);
        self.check_holders(values(&found, "userCertificate"), truth);
        // By the tool that administrators use, on the right person and on nobody else.
        for index in [0, HOSTS - 1] {
            let words = ["user", "show", &host(index), "--attributes=userCertificate"];
            let shown = self.server.samba_tool(&words).replace("\n ", "");
            for it in truth.certificates.iter().filter(|it| it.host == host(index)) {
                let there = shown.contains(&STANDARD.encode(&it.der));
                assert_eq!(there, !it.revoked, "{}: {shown}", it.serial);
            }
        }
        self.check_list(truth);
    }
}

impl Directory<ActiveDirectory> {
    /// The list that a certificate names is fetched by that name with a foreign client, and a foreign
    /// verifier believes it.
    fn check_list(&self, truth: &Truth) {
        let pem = |it: &Issued| encode_pem("CERTIFICATE", &it.der);
        let good = truth.certificates.iter().find(|it| !it.revoked).map(pem).unwrap();
        let revoked = truth.certificates.iter().find(|it| it.revoked).map(pem).unwrap();
        let said = foreign::openssl_text(&good);
        let at = said.find("URI:ldap:///").unwrap() + "URI:ldap:///".len();
        let address = said[at..].lines().next().unwrap().trim().replace("%20", " ");
        // RFC 4516: name, attribute, scope, filter.
        let parts: Vec<&str> = address.split('?').collect();
        let [dn, attribute, scope, filter] = parts[..] else { panic!("{address}") };
        let mut search = self.server.tool("ldapsearch");
        search.args(["-LLL", "-o", "ldif-wrap=no", "-b", dn, "-s", scope]);
        search.args([&format!("({filter})"), attribute]);
        let list = value(&String::from_utf8(run(&mut search)).unwrap(), attribute);
        assert!(list == truth.list);
        let (list, root) =
            (encode_pem("X509 CRL", &list), encode_pem("CERTIFICATE", &truth.authority));
        foreign::openssl_crl_verify(&list, &root).unwrap();
        foreign::openssl_verify_with_crl(&good, &root, &list).unwrap();
        let said = foreign::openssl_verify_with_crl(&revoked, &root, &list).unwrap_err();
        assert!(said.contains("revoked"), "{said}");
    }
}

fn list_dn() -> String {
    format!("CN=Test Root,CN={SERVER},CN=CDP,{}", samba::PKI)
}

/// An authority that is another CA to the holders.
fn elsewhere() -> (tempfile::TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    (folder, authority)
}

fn names() -> Vec<String> {
    (0..HOSTS).map(host).collect()
}

#[test]
fn openldap_holds_what_the_store_says() {
    let server = OpenLdap::start();
    server.add_persons(names().iter().map(String::as_str));
    let (_folder, authority) = elsewhere();
    tell(&mut Directory::new(server, &authority));
}

#[test]
fn an_active_directory_holds_what_the_store_says() {
    let Some(server) = ActiveDirectory::start() else {
        println!("not tested: this system does not allow unshare");
        return;
    };
    server.add_persons(names().iter().map(String::as_str));
    let (_folder, authority) = elsewhere();
    tell(&mut Directory::new(server, &authority));
}
