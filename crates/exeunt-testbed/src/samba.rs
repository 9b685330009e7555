//! Samba as the domain controller of an Active Directory.
//!
//! Its ports are fixed, so it runs in namespaces of its own, as whoever runs the tests; doors lead
//! from ports of the loopback address out here through Unix sockets to the ports in there.

use std::fs;
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::authority::{Authority, Flaw};
use crate::process::{Process, feed, free_port, listen, run};

/// Root of the domain.
pub const DOMAIN: &str = "DC=ad,DC=example,DC=test";

/// Where persons are.
pub const USERS: &str = "CN=Users,DC=ad,DC=example,DC=test";

/// The forest's configuration.
pub const CONFIGURATION: &str = "CN=Configuration,DC=ad,DC=example,DC=test";

/// Where the objects of a CA are; its containers are there and empty.
pub const PKI: &str =
    "CN=Public Key Services,CN=Services,CN=Configuration,DC=ad,DC=example,DC=test";

/// May do everything.
pub const ADMIN: &str = "administrator@ad.example.test";

/// The account of the CA: a member of Cert Publishers, which may write `userCertificate` of
/// persons, and with rights on what is below [`PKI`].
pub const PUBLISHER: &str = "publisher@ad.example.test";

/// An account without any rights.
pub const READER: &str = "reader@ad.example.test";

/// Password of every account; the domain wants one of several kinds of characters.
pub const PASSWORD: &str = "Passw0rd.Test1";

/// Name of the controller, in its certificate beside `localhost`.
pub const HOST: &str = "dc1.ad.example.test";

/// The environment variable that lets tests pass that were not made, where the system does not allow
/// namespaces. `.ci/run` does not set it.
pub const WITHOUT_DOMAIN: &str = "EXEUNT_TEST_WITHOUT_DOMAIN";

/// Makes the files of the domain.
const DOMAIN_SCRIPT: &str = include_str!("../python/domain.py");

/// Passes Unix sockets on to ports inside.
const DOORS_SCRIPT: &str = include_str!("../python/doors.py");

/// What is done once with the files of a new domain; `$1` is their folder, `$2` the password, `$3`
/// and `$4` as [`PKI`] and the script [`DOMAIN_SCRIPT`].
const PREPARE: &str = r#"set -e
/usr/bin/python3 "$4" "$1" "$2"
files="-s $1/etc/smb.conf -H $1/private/sam.ldb"
samba-tool user create publisher "$2" $files
samba-tool user create reader "$2" $files
samba-tool group addmembers 'Cert Publishers' publisher $files
sid=$(samba-tool user show publisher --attributes=objectSid $files | sed -n 's/^objectSid: //p')
samba-tool dsacl set --action=allow --objectdn="$3" --sddl="(A;CI;RPWPCCDCLCLORC;;;$sid)" $files
"#;

/// Runs the controller; `$1` is the folder of the server. In a process namespace everything ends
/// with its first process.
const SERVE: &str = r#"set -e
ip link set lo up
printf '127.0.0.1 dc1.ad.example.test dc1 localhost\n' > "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
/usr/bin/python3 "$1/doors.py" "$1/389=389" "$1/636=636" &
exec samba -i --debug-stdout -d1 -s "$1/dc/etc/smb.conf" \
 --option='server services=ldap,cldap,kdc,rpc' \
 --option='dcerpc endpoint servers=epmapper,lsarpc,samr,netlogon,drsuapi' \
 --option='interfaces=lo' --option='bind interfaces only=yes' --option='prefork children=1' \
 --option="tls keyfile=$1/tls.key" --option="tls certfile=$1/tls.pem" \
 --option="tls cafile=$1/tls/ca.pem" --option="pid directory=$1/run" \
 --option="ncalrpc dir=$1/run/ncalrpc" --option="log file=$1/run/log.%m" \
 --option="winbindd socket directory=$1/run/winbindd" \
 --option="ntp signd socket directory=$1/run/ntp"
"#;

/// A domain controller with a folder of its own.
#[derive(Debug)]
pub struct ActiveDirectory {
    // Ends first: a door may wait for somebody inside who takes nothing any more.
    process: Option<Process>,
    folder: tempfile::TempDir,
    authority: Authority,
    flaw: Flaw,
    doors: [Door; 2],
}

impl ActiveDirectory {
    /// A running controller; nothing where the system does not allow namespaces and
    /// [`WITHOUT_DOMAIN`] says that this is known.
    ///
    /// The first one of a checkout makes the files of the domain in `target/test-tools`, which takes
    /// some seconds; later ones copy them.
    ///
    /// # Panics
    ///
    /// When it does not start, or the system does not allow namespaces and nobody has said so: a test
    /// that is not made must not look like one that passed.
    pub fn start() -> Option<Self> {
        let allowed = Command::new("unshare").args(["-Urnmp", "--fork", "true"]).output();
        let why = match allowed {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(err) => Some(err.to_string()),
        };
        if let Some(why) = why {
            let known = std::env::var_os(WITHOUT_DOMAIN).is_some();
            assert!(
                known,
                "no namespaces for a domain controller: {why}; set {WITHOUT_DOMAIN}=1 to test without one"
            );
            println!("not tested: no namespaces for a domain controller: {why}");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder for a domain controller");
        let (root, domain) = (folder.path(), prepared_domain());
        run(Command::new("cp").arg("-a").arg(&domain).arg(root.join("dc")));
        let settings = root.join("dc/etc/smb.conf");
        let text = fs::read_to_string(&settings).expect("smb.conf");
        let made_at = text
            .lines()
            .find_map(|it| it.trim().strip_prefix("lock directory = "))
            .expect("smb.conf says where it was made");
        let dc = root.join("dc");
        let text = text.replace(made_at, &dc.to_string_lossy());
        fs::write(&settings, text).expect("smb.conf");
        fs::write(root.join("doors.py"), DOORS_SCRIPT).expect("a script");
        fs::write(root.join("password"), PASSWORD).expect("a file for a password");
        private(&root.join("password"));
        let authority = Authority::new(&root.join("tls"));
        let doors = [Door::open(root.join("389")), Door::open(root.join("636"))];
        let mut server = Self { authority, folder, flaw: Flaw::Nothing, doors, process: None };
        server.start_again();
        Some(server)
    }

    /// Starts a controller that was killed, with the data that it had.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.process = None;
        let root = self.folder.path();
        let identity = match self.flaw {
            Flaw::Nothing => self.authority.server_for("dc1", &[HOST, "localhost"]),
            flaw => self.authority.server(flaw),
        };
        fs::copy(&identity.certificate, root.join("tls.pem")).expect("a certificate");
        fs::copy(&identity.key, root.join("tls.key")).expect("a key");
        private(&root.join("tls.key"));
        let _ = fs::remove_dir_all(root.join("run"));
        fs::create_dir(root.join("run")).expect("a folder for sockets");
        let mut command = Command::new("unshare");
        command.args(["-Urnmp", "--fork", "--kill-child", "sh", "-c", SERVE, "sh"]).arg(root);
        let mut process = Process::start(&mut command, &root.join("log"));
        process.wait_until(|| {
            let mut search = self.tool("ldapsearch");
            search.args(["-s", "base", "-b", DOMAIN, "dn"]);
            search.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            search.status().is_ok_and(|it| it.success())
        });
        self.process = Some(process);
    }

    /// Starts again with another certificate.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start_again_with(&mut self, flaw: Flaw) {
        self.kill();
        self.flaw = flaw;
        self.start_again();
    }

    /// Kills it at once. Connections are refused behind the doors, not at them.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Port of 127.0.0.1 that leads to LDAP, which takes `StartTLS`.
    pub fn port(&self) -> u16 {
        self.doors[0].port
    }

    /// Port of 127.0.0.1 that leads to LDAPS.
    pub fn tls_port(&self) -> u16 {
        self.doors[1].port
    }

    /// `ldap://localhost:PORT`.
    pub fn url(&self) -> String {
        format!("ldap://localhost:{}", self.port())
    }

    /// `ldaps://localhost:PORT`.
    pub fn tls_url(&self) -> String {
        format!("ldaps://localhost:{}", self.tls_port())
    }

    /// Who issued its certificate.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A file with [`PASSWORD`], readable by its owner alone and without a line end.
    pub fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// Adds or changes entries in the controller's files by `ldbmodify`, as the system itself.
    ///
    /// # Panics
    ///
    /// When the tool refuses.
    pub fn ldif(&self, ldif: &str) {
        let file = self.folder.path().join("change.ldif");
        fs::write(&file, ldif).expect("a file for LDIF");
        run(self.ldb("ldbmodify").arg(&file));
    }

    /// Adds or changes entries over LDAPS with the rights of an account, by `ldapmodify`: as another
    /// client of the controller.
    ///
    /// # Errors
    ///
    /// What the tool says, when the server refuses.
    pub fn try_ldif(&self, account: &str, ldif: &str) -> Result<(), String> {
        feed(self.tool_as("ldapmodify", account).arg("-a"), ldif)
    }

    /// Adds a person `CN=NAME` below [`USERS`], with the account NAME, the principal name
    /// `NAME@ad.example.test` and the address `NAME@example.test`; its DN.
    ///
    /// # Panics
    ///
    /// When the tool refuses.
    pub fn add_person(&self, name: &str) -> String {
        self.add_persons([name]);
        format!("CN={name},{USERS}")
    }

    /// Adds persons at once, as [`ActiveDirectory::add_person`].
    ///
    /// # Panics
    ///
    /// When the tool refuses.
    pub fn add_persons<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let person = |name: &str| {
            format!(
                "dn: CN={name},{USERS}\nchangetype: add\nobjectClass: user\nsAMAccountName: {name}\n\
                 userPrincipalName: {name}@ad.example.test\nmail: {name}@example.test\n\n"
            )
        };
        self.ldif(&names.into_iter().map(person).collect::<String>());
    }

    /// What `ldbsearch` finds in the controller's files, without asking the server; `words` are a
    /// filter and attributes.
    ///
    /// # Panics
    ///
    /// When the tool fails.
    pub fn search(&self, base: &str, scope: &str, words: &[&str]) -> String {
        let mut command = self.ldb("ldbsearch");
        command.args(["-b", base, "-s", scope]).args(words);
        // A long value is folded at a line that begins with a blank.
        String::from_utf8(run(&mut command)).expect("LDIF is ASCII").replace("\n ", "")
    }

    /// What a command of `samba-tool` says of the controller's files, such as `user show alice`.
    ///
    /// # Panics
    ///
    /// When the tool fails.
    pub fn samba_tool(&self, words: &[&str]) -> String {
        let mut command = Command::new("samba-tool");
        command.args(words).arg("-s").arg(self.settings()).arg("-H").arg(self.database());
        String::from_utf8_lossy(&run(&mut command)).into_owned()
    }

    /// All entries below a DN in order, without what changes by itself or notes changes: for a
    /// comparison of before and after.
    ///
    /// # Panics
    ///
    /// When the tool fails.
    pub fn contents(&self, base: &str) -> Vec<String> {
        const NOTES: [&str; 6] = [
            "uSNChanged",
            "whenChanged",
            "lastLogon",
            "logonCount",
            "badPwdCount",
            "badPasswordTime",
        ];
        let noted =
            |line: &&str| !NOTES.iter().any(|it| line.starts_with(it)) && !line.starts_with('#');
        let entry = |text: &str| {
            let mut lines: Vec<&str> = text.lines().filter(noted).collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        let text = self.search(base, "sub", &["(objectClass=*)"]);
        let mut entries: Vec<String> =
            text.split("\n\n").map(entry).filter(|it| it.contains("dn: ")).collect();
        entries.sort();
        entries
    }

    /// One of `OpenLDAP`'s tools with server, trust and the administrator's account given.
    pub fn tool(&self, name: &str) -> Command {
        self.tool_as(name, ADMIN)
    }

    fn tool_as(&self, name: &str, account: &str) -> Command {
        let mut command = Command::new(name);
        command.env("LDAPTLS_REQCERT", "never").env_remove("LDAPCONF").env_remove("LDAPRC");
        let url = format!("ldaps://127.0.0.1:{}", self.tls_port());
        command.args(["-x", "-o", "nettimeout=10", "-H", &url, "-D", account, "-y"]);
        command.arg(self.password_file());
        command
    }

    fn ldb(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.arg(format!("--configfile={}", self.settings().display()));
        command.arg("-H").arg(self.database());
        command
    }

    fn settings(&self) -> PathBuf {
        self.folder.path().join("dc/etc/smb.conf")
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("dc/private/sam.ldb")
    }
}

/// Files of a new domain, made once for each version of Samba and of this recipe.
fn prepared_domain() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-tools");
    fs::create_dir_all(&tools).expect("the folder for test tools");
    let version =
        String::from_utf8_lossy(&run(Command::new("samba").arg("--version"))).into_owned();
    let recipe = [&version, DOMAIN_SCRIPT, PREPARE, PASSWORD].concat();
    let ready = tools.join(format!("domain-{:08x}", fingerprint(recipe.as_bytes())));
    if ready.exists() {
        return ready;
    }
    // Somebody else may do the same at this time: who renames first wins.
    let place = tempfile::Builder::new().prefix("domain.").tempdir_in(&tools).expect("a folder");
    let (script, made) = (place.path().join("domain.py"), place.path().join("dc"));
    fs::write(&script, DOMAIN_SCRIPT).expect("a script");
    let mut command = Command::new("unshare");
    command.args(["-Urnm", "sh", "-c", PREPARE, "sh"]).arg(&made).args([PASSWORD, PKI]);
    run(command.arg(&script));
    if let Err(err) = fs::rename(&made, &ready) {
        assert!(ready.exists(), "the files of a domain: {err}");
    }
    ready
}

/// FNV-1a of 32 bits, which does not change between versions of the compiler.
fn fingerprint(text: &[u8]) -> u32 {
    text.iter()
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("rights of a file");
}

/// A port of the loopback address that leads to a Unix socket.
#[derive(Debug)]
struct Door {
    port: u16,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    fn open(socket: PathBuf) -> Self {
        let port = free_port();
        let listener = listen(port);
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = thread::spawn(move || {
            for outside in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                // A connection that nobody takes inside is closed by being dropped.
                let (Ok(outside), Ok(inside)) = (outside, UnixStream::connect(&socket)) else {
                    continue;
                };
                let _ = outside.set_nodelay(true);
                thread::spawn(move || pass(&outside, &inside));
            }
        });
        Self { port, ends, thread: Some(thread) }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // Nothing else wakes a thread that waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pass(outside: &TcpStream, inside: &UnixStream) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::copy(&mut &*outside, &mut &*inside);
            let _ = inside.shutdown(Shutdown::Write);
        });
        let _ = std::io::copy(&mut &*inside, &mut &*outside);
        let _ = outside.shutdown(Shutdown::Both);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_keeps_its_data_and_tells_accounts_apart() {
        let Some(mut server) = ActiveDirectory::start() else { return };
        let alice = server.add_person("alice");
        let value = format!(
            "dn: {alice}\nchangetype: modify\nadd: userCertificate\nuserCertificate:: AAAA\n"
        );
        let said = server.try_ldif(READER, &value).unwrap_err();
        assert!(said.contains("Insufficient access (50)"), "{said}");
        server.try_ldif(PUBLISHER, &value).unwrap();
        let other =
            format!("dn: {alice}\nchangetype: modify\nreplace: description\ndescription: x\n");
        let said = server.try_ldif(PUBLISHER, &other).unwrap_err();
        assert!(said.contains("Insufficient access (50)"), "{said}");
        let object = format!("dn: CN=One,CN=CDP,{PKI}\nchangetype: add\nobjectClass: container\n");
        let said = server.try_ldif(READER, &object).unwrap_err();
        assert!(said.contains("Insufficient access (50)"), "{said}");
        server.try_ldif(PUBLISHER, &object).unwrap();

        let shown = server.samba_tool(&["user", "show", "alice", "--attributes=userCertificate"]);
        assert!(shown.contains("userCertificate:: AAAA"), "{shown}");
        let before = server.contents(PKI);
        server.kill();
        server.start_again();
        assert_eq!(server.contents(PKI), before);
        assert!(server.search(&alice, "base", &["userCertificate"]).contains("AAAA"));
    }
}
