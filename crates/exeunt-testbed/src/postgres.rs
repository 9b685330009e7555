//! A `PostgreSQL` server that takes clients over TLS with a password, and `psql` to look into it.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::authority::{Authority, Flaw, fingerprint};
use crate::process::{POLL, Process, START_LIMIT, STOP_LIMIT, free_port, listens, run, wait_for};

/// The user that modules log in as: it owns [`DATABASE`] and is nothing else.
pub const USER: &str = "inventory_writer";

/// The user's password.
pub const PASSWORD: &str = "correct horse 42";

/// The database of the user.
pub const DATABASE: &str = "inventory";

/// The superuser, who logs in over the socket in the server's folder alone.
const ADMINISTRATOR: &str = "postgres";

/// The running server.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    folder: tempfile::TempDir,
    authority: Authority,
    port: u16,
    /// Size of its small disk, in octets.
    small_disk: Option<u64>,
}

impl Postgres {
    /// Starts one with an empty database.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(flaw: Flaw) -> Self {
        Self::start_with(flaw, None)
    }

    /// Starts one with a disk of so many octets beside its own, as the tablespace `small` that
    /// [`USER`] may use; nothing where the system lets nobody mount one. It is gone with the process.
    ///
    /// # Panics
    ///
    /// As [`Postgres::start`].
    pub fn start_with_small_disk(octets: u64) -> Option<Self> {
        let mut tried = Command::new("unshare");
        tried.args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).stderr(Stdio::null());
        if owner().is_none() || !tried.status().is_ok_and(|it| it.success()) {
            return None;
        }
        let server = Self::start_with(Flaw::Nothing, Some(octets));
        let small = server.home().join("small");
        server.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", small.display()));
        server.sql(&format!("GRANT CREATE ON TABLESPACE small TO {USER}"));
        Some(server)
    }

    fn start_with(flaw: Flaw, small_disk: Option<u64>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let authority = Authority::new(&folder.path().join("tls"));
        let server = authority.server(flaw);
        let port = free_port();
        // The server refuses to run as root, so its folder is somebody else's, below one of ours that
        // lets it through.
        let home = folder.path().join("home");
        fs::create_dir(&home).expect("a folder for the data");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("a way through");
        fs::copy(&server.certificate, home.join("server.pem")).expect("the certificate");
        fs::copy(&server.key, home.join("server.key")).expect("its key");
        if let Some((user, group)) = owner() {
            for path in [&home, &home.join("server.pem"), &home.join("server.key")] {
                chown(path, Some(user), Some(group)).expect("its own folder");
            }
        }
        let data = home.join("data");
        let mut initdb = tool("initdb", &home);
        initdb.args(["--auth", "trust", "--username", ADMINISTRATOR, "--encoding", "UTF8"]);
        run(initdb.args(["--locale", "C", "--no-sync", "--pgdata"]).arg(&data));
        // fsync is off: a killed process loses nothing that it has handed to the system.
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{0}'\n\
             ssl = on\nssl_cert_file = '{0}/server.pem'\nssl_key_file = '{0}/server.key'\n\
             fsync = off\nfull_page_writes = off\nmax_connections = 30\nshared_buffers = 32MB\n\
             log_min_messages = warning\n",
            home.display()
        );
        append(&data.join("postgresql.conf"), &settings);
        let doors = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        overwrite(&data.join("pg_hba.conf"), doors);
        let process = launch(&home, port, small_disk);
        let server = Self { process, folder, authority, port, small_disk };
        server.wait();
        server.psql("postgres", &format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"));
        server.psql("postgres", &format!("CREATE DATABASE {DATABASE} OWNER {USER}"));
        server
    }

    /// Its port on 127.0.0.1, whose name is `localhost`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Certificate to trust, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// SHA-256 of the certificate that it shows, as `openssl` says it.
    ///
    /// # Panics
    ///
    /// When `openssl` fails.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.home().join("server.pem"))
    }

    /// Runs statements in [`DATABASE`] as superuser, by `psql`, and gives what it prints: a line for
    /// each row, `|` between the columns.
    ///
    /// # Panics
    ///
    /// When a statement fails.
    pub fn sql(&self, statements: &str) -> String {
        self.psql(DATABASE, statements)
    }

    /// The rows of a table of [`DATABASE`] as statements, by `pg_dump`: so many rows in each.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn dump(&self, table: &str, rows: usize) -> String {
        let mut command = Command::new(programs().join("pg_dump"));
        command.args(["-U", ADMINISTRATOR, "-d", DATABASE, "-p", &self.port.to_string(), "-h"]);
        command.arg(self.home()).args(["--data-only", "-t", table]);
        let said = run(command.arg(format!("--rows-per-insert={rows}")));
        String::from_utf8(said).expect("text")
    }

    /// Runs a script in [`DATABASE`] as superuser, by `psql`.
    ///
    /// # Panics
    ///
    /// When a statement of it fails.
    pub fn run_script(&self, script: &str) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), script).expect("the script");
        run(self.client(DATABASE, &self.home()).arg("-f").arg(file.path()));
    }

    /// Kills it as a failing power supply does. What it has confirmed stays.
    pub fn kill(&mut self) {
        // Each connection has a process in a group of its own, which works on until it sees that the
        // first one has gone. Stopped, that one starts no more.
        self.process.suspend();
        let id = self.process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        self.process.kill();
        if !children.trim().is_empty() {
            // Some may have gone in the meantime.
            let mut kill = Command::new("kill");
            kill.arg("-KILL").args(children.split_whitespace()).stderr(Stdio::null());
            kill.status().expect("kill");
        }
    }

    /// Starts it again after [`Postgres::kill`] or [`Postgres::stop`], at the same port.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.home(), self.port, self.small_disk);
        self.wait();
    }

    /// Ends it in order, as an update of the system does: transactions that are open are rolled back.
    pub fn stop(&mut self) {
        // To the first process alone: what TERM says to it is to wait for the clients.
        let pid = self.process.id().to_string();
        run(Command::new("kill").args(["-INT", &pid]));
        wait_until_ended(&mut self.process);
    }

    /// The process, to suspend it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn wait(&self) {
        let home = self.home();
        wait_for("PostgreSQL", START_LIMIT, || {
            let mut psql = self.client("postgres", &home);
            psql.arg("-c").arg("SELECT 1").stdout(Stdio::null()).stderr(Stdio::null());
            psql.status().is_ok_and(|it| it.success())
        });
    }

    fn psql(&self, database: &str, statements: &str) -> String {
        let said = run(self.client(database, &self.home()).arg("-c").arg(statements));
        String::from_utf8(said).expect("text").trim_end().to_owned()
    }

    fn client(&self, database: &str, home: &Path) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", ADMINISTRATOR]);
        psql.args(["-d", database, "-p", &self.port.to_string(), "-h"]).arg(home);
        psql
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its children are in groups of their own, and end when they see that it has gone; asked so,
        // it ends them at once.
        if self.process.ended().is_none() {
            let pid = self.process.id().to_string();
            let asked = Command::new("kill").args(["-QUIT", &pid]).status();
            if asked.is_ok_and(|it| it.success()) {
                wait_until_ended(&mut self.process);
            }
        }
    }
}

fn launch(home: &Path, port: u16, small_disk: Option<u64>) -> Process {
    let start = || {
        let mut command = match small_disk {
            None => tool("postgres", home),
            Some(octets) => with_small_disk(home, octets),
        };
        command.arg("-D").arg(home.join("data"));
        Process::start(&mut command, &home.with_extension("log"))
    };
    let deadline = Instant::now() + START_LIMIT;
    let mut process = start();
    while !listens(port) {
        // It refuses to start while children of one that was killed are not gone yet.
        if process.ended().is_some() {
            process = start();
        }
        assert!(Instant::now() < deadline, "no PostgreSQL: {}", process.log_end());
        thread::sleep(POLL);
    }
    process
}

/// Waits for a process that was told to end, at most [`STOP_LIMIT`].
fn wait_until_ended(process: &mut Process) {
    let deadline = Instant::now() + STOP_LIMIT;
    while process.ended().is_none() && Instant::now() < deadline {
        thread::sleep(POLL);
    }
}

/// A program of the server, as the user that owns its data.
fn tool(name: &str, home: &Path) -> Command {
    let mut command = Command::new(programs().join(name));
    command.current_dir(home);
    if let Some((user, group)) = owner() {
        command.uid(user).gid(group);
    }
    command
}

/// The server in a view of the file system of its own, where a small disk is mounted.
fn with_small_disk(home: &Path, octets: u64) -> Command {
    let (user, group) = owner().expect("root, who may mount");
    let small = home.join("small");
    fs::create_dir_all(&small).expect("a place for the disk");
    let mount = "mount -t tmpfs -o \"$0\" none \"$1\" && shift && exec setpriv \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", mount])
        .arg(format!("size={octets},uid={user},gid={group}"));
    command.arg(small).args([format!("--reuid={user}"), format!("--regid={group}")]);
    command.arg("--clear-groups").arg(programs().join("postgres")).current_dir(home);
    command
}

/// Debian keeps several versions beside each other; the newest is taken.
fn programs() -> PathBuf {
    let root = Path::new("/usr/lib/postgresql");
    let mut versions: Vec<u32> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|it| it.file_name().to_str()?.parse().ok())
        .filter(|it: &u32| root.join(it.to_string()).join("bin/initdb").exists())
        .collect();
    versions.sort_unstable();
    let newest = versions.pop().expect("PostgreSQL is missing: run `cargo xtask test-tools`");
    root.join(newest.to_string()).join("bin")
}

/// User and group to run it as; nothing where the tests are not run by root.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let id = |flag: &str| -> u32 {
        let mut id = Command::new("id");
        let said = run(id.args([flag, "nobody"]));
        String::from_utf8(said).ok().and_then(|it| it.trim().parse().ok()).expect("a number")
    };
    Some((id("-u"), id("-g")))
}

fn append(path: &Path, text: &str) {
    let file = fs::File::options().append(true).open(path);
    file.and_then(|mut it| it.write_all(text.as_bytes())).expect("settings");
}

fn overwrite(path: &Path, text: &str) {
    // It stays its owner's.
    match fs::write(path, text) {
        Err(err) if err.kind() == ErrorKind::NotFound => {
            panic!("initdb made no {}", path.display())
        }
        other => other.expect("settings"),
    }
}
