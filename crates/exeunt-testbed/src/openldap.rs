//! `OpenLDAP`'s `slapd` on loopback: a directory with people, a place for the objects of a CA, and
//! accounts with more and less rights.
//!
//! Its tools speak to it as well (`ldapadd`, `ldapsearch`), so that what a test finds in it is not
//! our own opinion.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::authority::{Authority, Flaw, Identity};
use crate::process::{Process, feed, free_port, listens, run};

/// Root of the directory.
pub const SUFFIX: &str = "dc=example,dc=test";

/// Where persons are.
pub const PEOPLE: &str = "ou=people,dc=example,dc=test";

/// Where the objects of a CA are to be; empty at first.
pub const PKI: &str = "ou=pki,dc=example,dc=test";

/// Where every write is confirmed and none is kept; each object that is asked for by name is there,
/// with nothing on it (`back_null`).
pub const LIAR: &str = "dc=liar,dc=test";

/// May do everything.
pub const ADMIN: &str = "cn=admin,dc=example,dc=test";

/// The account of the CA: may write `userCertificate` of people, and everything below [`PKI`].
pub const PUBLISHER: &str = "cn=publisher,dc=example,dc=test";

/// An account that may only read.
pub const READER: &str = "cn=reader,dc=example,dc=test";

/// Password of every account.
pub const PASSWORD: &str = "correct horse: battery, staple";

/// How large the database may become unless a test wishes it full; a gibibyte that is not written.
const SIZE_BYTES_MAX: u64 = 1 << 30;

/// A directory server with a folder of its own.
#[derive(Debug)]
pub struct OpenLdap {
    folder: tempfile::TempDir,
    authority: Authority,
    port: u16,
    tls_port: u16,
    process: Option<Process>,
    settings: Settings,
}

/// What differs between tests.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes that the database may hold; near 256 KiB it is full after a few entries.
    pub size_bytes_max: u64,
    /// What its certificate is like.
    pub flaw: Flaw,
    /// Whether it refuses a password on a connection without TLS.
    pub require_tls: bool,
    /// Whether there is [`LIAR`] as well.
    pub liar: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { size_bytes_max: SIZE_BYTES_MAX, flaw: Flaw::Nothing, require_tls: true, liar: false }
    }
}

impl OpenLdap {
    /// A running server with an empty [`PEOPLE`] and [`PKI`].
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start() -> Self {
        Self::start_with(Settings::default())
    }

    /// As [`OpenLdap::start`] with other settings.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder for slapd");
        let authority = Authority::new(&folder.path().join("tls"));
        fs::create_dir(folder.path().join("db")).expect("a folder for the database");
        write_secret(&folder.path().join("password"), PASSWORD);
        let (port, tls_port) = (free_port(), free_port());
        let mut server = Self { folder, authority, port, tls_port, process: None, settings };
        server.start_again();
        server.admin_ldif(&format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n\n\
             dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n\n\
             dn: {PKI}\nobjectClass: organizationalUnit\nou: pki\n\n\
             dn: {PUBLISHER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
             cn: publisher\nuserPassword: {PASSWORD}\n\n\
             dn: {READER}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n\
             cn: reader\nuserPassword: {PASSWORD}\n"
        ));
        server
    }

    /// Starts a server that was stopped or killed, with the data that it had.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again(&mut self) {
        // A killed predecessor must have given its ports and its database back.
        self.process = None;
        let settings = self.file("slapd.conf");
        fs::write(&settings, self.settings_text()).expect("slapd.conf");
        let addresses =
            format!("ldap://127.0.0.1:{} ldaps://127.0.0.1:{}", self.port, self.tls_port);
        let mut command = Command::new("/usr/sbin/slapd");
        command.args(["-d", "0", "-h", &addresses, "-f"]).arg(&settings);
        let mut process = Process::start(&mut command, &self.file("log"));
        let (port, tls_port) = (self.port, self.tls_port);
        process.wait_until(|| listens(port) && listens(tls_port));
        self.process = Some(process);
    }

    /// Starts again with another certificate.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again_with(&mut self, flaw: Flaw) {
        self.stop();
        self.settings.flaw = flaw;
        self.start_again();
    }

    /// Starts again with a database that may become so many bytes large.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again_larger(&mut self, size_bytes_max: u64) {
        self.stop();
        self.settings.size_bytes_max = size_bytes_max;
        self.start_again();
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
    }

    /// Kills it at once, whatever it was writing.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// The process, unless it was stopped: to suspend and resume it.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Port of `ldap://127.0.0.1`, which takes `StartTLS`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Port of `ldaps://127.0.0.1`.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// `ldap://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("ldap://localhost:{}", self.port)
    }

    /// `ldaps://localhost:PORT`.
    pub fn tls_url(&self) -> String {
        format!("ldaps://localhost:{}", self.tls_port)
    }

    /// Whose certificates its own is issued by; it also takes client certificates of it: one for
    /// the common name `publisher` authenticates [`PUBLISHER`] by SASL EXTERNAL.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A certificate that authenticates the account `cn=NAME` below [`SUFFIX`] by SASL EXTERNAL.
    pub fn client(&self, name: &str) -> Identity {
        self.authority.client(name)
    }

    /// A file with [`PASSWORD`], readable by its owner alone and without a line end.
    pub fn password_file(&self) -> PathBuf {
        self.file("password")
    }

    /// Adds or changes entries as the administrator, by `ldapmodify -a`.
    ///
    /// # Panics
    ///
    /// With what the tool says, when the server refuses.
    pub fn admin_ldif(&self, ldif: &str) {
        if let Err(said) = self.try_ldif(ADMIN, ldif) {
            panic!("ldapmodify: {said}");
        }
    }

    /// Adds or changes entries with the rights of an account.
    ///
    /// # Errors
    ///
    /// What the tool says, when the server refuses.
    pub fn try_ldif(&self, account: &str, ldif: &str) -> Result<(), String> {
        feed(self.tool("ldapmodify", account).arg("-a"), ldif)
    }

    /// Adds a person `uid=NAME` below [`PEOPLE`], with the address `NAME@example.test`; its DN.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn add_person(&self, name: &str) -> String {
        let dn = format!("uid={name},{PEOPLE}");
        self.admin_ldif(&person(name));
        dn
    }

    /// Adds persons at once, as [`OpenLdap::add_person`].
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub fn add_persons<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let all: Vec<String> = names.into_iter().map(person).collect();
        self.admin_ldif(&all.join("\n"));
    }

    /// What `ldapsearch` finds, as LDIF with unwrapped lines; `words` are a filter and attributes.
    ///
    /// # Panics
    ///
    /// When the search fails, a base that is not there included.
    pub fn search(&self, base: &str, scope: &str, words: &[&str]) -> String {
        let mut command = self.tool("ldapsearch", ADMIN);
        command.args(["-LLL", "-o", "ldif-wrap=no", "-b", base, "-s", scope]).args(words);
        String::from_utf8(run(&mut command)).expect("LDIF is ASCII")
    }

    /// Every value of an attribute of an entry, as `ldapsearch` writes them to files; sorted.
    ///
    /// # Panics
    ///
    /// When the search fails.
    pub fn values(&self, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
        let folder = tempfile::tempdir().expect("a folder for values");
        let mut command = self.tool("ldapsearch", ADMIN);
        command.args(["-LLL", "-b", dn, "-s", "base", "-tt", "-T"]).arg(folder.path());
        run(command.args(["(objectClass=*)", attribute]));
        let files = fs::read_dir(folder.path()).expect("the folder");
        let mut values: Vec<Vec<u8>> =
            files.map(|it| fs::read(it.expect("a file").path()).expect("a value")).collect();
        values.sort();
        values
    }

    /// All that the directory holds, one text for each entry in order of DN, without what the
    /// server notes by itself: for a comparison of before and after.
    ///
    /// # Panics
    ///
    /// When the search fails.
    pub fn contents(&self) -> Vec<String> {
        let text = self.search(SUFFIX, "sub", &["(objectClass=*)"]);
        let mut entries: Vec<String> =
            text.split("\n\n").map(str::trim).filter(|it| !it.is_empty()).map(sorted).collect();
        entries.sort();
        entries
    }

    /// One of `OpenLDAP`'s tools with server, trust and account given, for more arguments.
    pub fn tool(&self, name: &str, account: &str) -> Command {
        let mut command = Command::new(name);
        // The flaws are for the module's eyes; the tools are to see what is there in any case.
        command.env("LDAPTLS_REQCERT", "never").env_remove("LDAPCONF").env_remove("LDAPRC");
        let url = format!("ldaps://127.0.0.1:{}", self.tls_port);
        command.args(["-x", "-H", &url, "-D", account, "-y"]);
        command.arg(self.password_file());
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings_text(&self) -> String {
        let Settings { size_bytes_max, flaw, require_tls, liar } = self.settings;
        let identity = self.authority.server(flaw);
        let (load_liar, liar) = if liar {
            let text = format!(
                "database null\nsuffix \"{LIAR}\"\nbind off\ndosearch on\naccess to * by * write\n"
            );
            ("moduleload back_null\n", text)
        } else {
            ("", String::new())
        };
        let security = if require_tls { "security simple_bind=128\n" } else { "" };
        format!(
            "include /etc/ldap/schema/core.schema\n\
             include /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\n\
             modulepath /usr/lib/ldap\n\
             moduleload back_mdb\n\
             {load_liar}\
             {security}\
             sockbuf_max_incoming_auth 67108863\n\
             TLSCACertificateFile {}\n\
             TLSCertificateFile {}\n\
             TLSCertificateKeyFile {}\n\
             TLSVerifyClient try\n\
             authz-regexp \"^cn=([^,]*)$\" \"cn=$1,{SUFFIX}\"\n\
             database mdb\n\
             maxsize {size_bytes_max}\n\
             suffix \"{SUFFIX}\"\n\
             rootdn \"{ADMIN}\"\n\
             rootpw \"{PASSWORD}\"\n\
             directory {}\n\
             index objectClass,uid,mail eq\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to dn.subtree=\"{PEOPLE}\" attrs=userCertificate\n  \
             by dn.exact=\"{PUBLISHER}\" write by * read\n\
             access to dn.subtree=\"{PKI}\" by dn.exact=\"{PUBLISHER}\" write by * read\n\
             access to * by * read\n\
             {liar}",
            self.authority.certificate().display(),
            identity.certificate.display(),
            identity.key.display(),
            self.file("db").display(),
        )
    }
}

fn person(name: &str) -> String {
    format!(
        "dn: uid={name},{PEOPLE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         mail: {name}@example.test\n"
    )
}

/// An entry with its lines in order below the DN: a server may give values in any.
fn sorted(entry: &str) -> String {
    let mut lines: Vec<&str> = entry.lines().collect();
    if let Some((_dn, rest)) = lines.split_first_mut() {
        rest.sort_unstable();
    }
    lines.join("\n")
}

/// Writes a file that its owner alone may read.
fn write_secret(path: &Path, secret: &str) {
    fs::write(path, secret).expect("a file for a password");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("rights of that file");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One server for a whole story: each step builds on the one before.
    #[test]
    fn the_directory_keeps_its_data_and_tells_accounts_apart() {
        let mut server = OpenLdap::start();
        let alice = server.add_person("alice");
        server.add_persons(["bob", "carol"]);

        let change = format!("dn: {alice}\nchangetype: modify\nreplace: sn\nsn: Changed\n");
        let refused = server.try_ldif(PUBLISHER, &change).unwrap_err();
        assert!(refused.contains("Insufficient access (50)"), "{refused}");
        let add = format!("dn: cn=One,{PKI}\nobjectClass: cRLDistributionPoint\ncn: One\n");
        let refused = server.try_ldif(READER, &add).unwrap_err();
        assert!(refused.contains("no write access to parent"), "{refused}");
        server.try_ldif(PUBLISHER, &add).unwrap();

        let before = server.contents();
        assert_eq!(before.len(), 9);
        server.kill();
        server.start_again_with(Flaw::Expired);
        assert_eq!(server.contents(), before);
    }

    #[test]
    fn a_client_certificate_is_an_account_over_ldaps_and_starttls() {
        let server = OpenLdap::start();
        let Identity { certificate, key } = server.client("publisher");
        // By address: the tool would compare `localhost` with the machine's own name.
        let url = format!("ldap://127.0.0.1:{}", server.port());
        let tls_url = format!("ldaps://127.0.0.1:{}", server.tls_port());
        for words in [vec!["-H", &tls_url], vec!["-H", &url, "-ZZ"]] {
            let mut command = Command::new("ldapwhoami");
            command.env("LDAPTLS_CACERT", server.authority().certificate());
            command.env("LDAPTLS_CERT", &certificate).env("LDAPTLS_KEY", &key);
            let said = run(command.args(["-Q", "-Y", "EXTERNAL"]).args(&words));
            assert_eq!(String::from_utf8(said).unwrap().trim(), format!("dn:{PUBLISHER}"));
        }
    }

    #[test]
    fn a_small_database_is_full_after_a_while() {
        let size_bytes_max = 512 * 1024;
        let server = OpenLdap::start_with(Settings { size_bytes_max, ..Settings::default() });
        let refused = (0..10_000).find_map(|number| {
            let description = "x".repeat(20_000);
            let dn = format!("cn=ballast{number},{SUFFIX}");
            let entry = format!(
                "dn: {dn}\nobjectClass: organizationalRole\ncn: ballast{number}\n\
                 description: {description}\n"
            );
            server.try_ldif(ADMIN, &entry).err()
        });
        let refused = refused.expect("the end of the database");
        assert!(refused.contains("(80)"), "{refused}");
    }
}
