//! A CA in a temporary home, driven through the program as a user would.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::built;

/// How long a server may take until it listens, and how long anything else may take that a test
/// waits for. Generous, because machines that run tests are busy.
pub const DEADLINE: Duration = Duration::from_mins(3);

/// A CA in a temporary home, removed with its folder at the end.
#[derive(Debug)]
pub struct Ca {
    folder: TempDir,
    scratch: PathBuf,
}

impl Ca {
    /// Runs `exeunt init` with more options.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn init(options: &[&str]) -> Self {
        let ca = Self::bare();
        let output = ca.run(&[&["init", "--name", "Test Root"], options].concat());
        assert!(output.status.success(), "init failed: {}", text(&output.stderr));
        ca
    }

    /// A place for a CA that is not made yet.
    ///
    /// # Panics
    ///
    /// When there is no temporary folder.
    pub fn bare() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let scratch = folder.path().join("scratch");
        fs::create_dir(&scratch).expect("a folder for files of the test");
        Self { folder, scratch }
    }

    /// Its home.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A folder beside the home for files of the test. Modules can write to it; what is made beside
    /// it, in the folder that holds the home, is closed to them.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// The CA's certificate, PEM.
    pub fn certificate(&self) -> String {
        fs::read_to_string(self.home().join("ca.cert.pem")).expect("a CA certificate")
    }

    /// The administrator's token.
    pub fn token(&self) -> String {
        let token = fs::read_to_string(self.home().join("secrets/admin.token"));
        token.expect("a token").trim().to_owned()
    }

    /// The folder of the shipped file module.
    pub fn published(&self) -> PathBuf {
        self.home().join("published")
    }

    /// The configuration with one text replaced by another.
    ///
    /// # Panics
    ///
    /// When the text does not stand in it.
    pub fn configure(&self, from: &str, to: &str) {
        let path = self.home().join("exeunt.toml");
        let config = fs::read_to_string(&path).expect("a configuration");
        assert!(config.contains(from), "{from:?} is not in the configuration");
        fs::write(&path, config.replacen(from, to, 1)).expect("writing the configuration");
    }

    /// The configuration with a text at its end.
    pub fn configure_more(&self, text: &str) {
        let path = self.home().join("exeunt.toml");
        let config = fs::read_to_string(&path).expect("a configuration");
        fs::write(&path, format!("{config}\n{text}\n")).expect("writing the configuration");
    }

    /// A command of the program in this home.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(built("exeunt"));
        command.args(args).env("EXEUNT_HOME", self.home()).stdin(Stdio::null());
        command
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("running exeunt")
    }

    /// Runs a command that must succeed and gives its standard output.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?} failed: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A file in [`Ca::scratch`] that only its owner may read, as passwords have to be; gives its path.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn secret(&self, name: &str, content: &str) -> String {
        let path = self.scratch.join(name);
        fs::write(&path, content).expect("writing a secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        path.display().to_string()
    }

    /// Adds an exit module, whose settings are written as `--set` takes them.
    ///
    /// # Panics
    ///
    /// When it is refused.
    pub fn add_exit(&self, args: &[&str], settings: &[String]) {
        let settings = settings.iter().flat_map(|it| ["--set", it]);
        let add: Vec<&str> = ["exit", "add"].iter().chain(args).copied().chain(settings).collect();
        self.ok(&add);
    }

    /// What the program says of an exit module.
    ///
    /// # Panics
    ///
    /// When it says nothing.
    pub fn exit_status(&self, name: &str) -> Value {
        let status = self.ok(&["exit", "status", name, "--json"]);
        serde_json::from_str(&status).expect("a status")
    }

    /// Waits until a module was told of an event in vain, which waits for another attempt then.
    ///
    /// # Panics
    ///
    /// When it does not happen in time.
    pub fn wait_for_retry(&self, name: &str) {
        wait_for("a failed attempt", || (self.exit_status(name)["held_retry"] != 0).then_some(()));
    }

    /// Starts the server on a free port.
    ///
    /// # Panics
    ///
    /// When it does not listen in time.
    pub fn serve(&self) -> Served {
        self.serve_with(&[])
    }

    /// Starts the server with more variables in its environment.
    ///
    /// # Panics
    ///
    /// As [`Ca::serve`].
    pub fn serve_with(&self, variables: &[(&str, &str)]) -> Served {
        self.serve_doors(variables, 0)
    }

    /// Starts the server with as many further doors as the configuration has.
    ///
    /// # Panics
    ///
    /// As [`Ca::serve`].
    pub fn serve_doors(&self, variables: &[(&str, &str)], doors: usize) -> Served {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(variables.iter().copied());
        self.listen(command, doors)
    }

    /// Starts the server by another program, which becomes it: `unshare` with these options.
    ///
    /// # Panics
    ///
    /// As [`Ca::serve`].
    pub fn serve_by(&self, program: &[&str]) -> Served {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(built("exeunt")).args(["serve", "--listen", "127.0.0.1:0"]);
        command.env("EXEUNT_HOME", self.home()).stdin(Stdio::null());
        self.listen(command, 0)
    }

    fn listen(&self, mut command: Command, doors: usize) -> Served {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log file");
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("starting exeunt");
        Served::wait_until_it_listens(child, doors).unwrap_or_else(|| {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            panic!("the server did not start: {log}")
        })
    }

    /// Where the server's log goes.
    pub fn log(&self) -> PathBuf {
        self.scratch().join("server.log")
    }
}

/// A server that runs as a process.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Of the listener, and of the doors.
    addresses: Vec<SocketAddr>,
}

impl Served {
    fn wait_until_it_listens(mut child: Child, doors: usize) -> Option<Self> {
        let stdout = child.stdout.take().expect("BUG: stdout is piped");
        let mut stdout = BufReader::new(stdout);
        let mut addresses = Vec::new();
        for _ in 0..=doors {
            let mut line = String::new();
            // Ends with the line, or with the process.
            stdout.read_line(&mut line).expect("reading the server's first lines");
            let Some(address) = line.trim_end().strip_prefix("listening on ") else {
                let _ = child.wait();
                return None;
            };
            addresses.push(address.parse().expect("an address and a port"));
        }
        Some(Self { child, addresses })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where a further door is, from 0 on.
    pub fn door(&self, index: usize) -> SocketAddr {
        self.addresses[1 + index]
    }

    /// Process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: the crash.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM: the stop in order.
    ///
    /// # Panics
    ///
    /// When it does not end with status 0 in time.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("running kill");
        assert!(sent.success(), "the server is gone already");
        let status = wait_for("the server to stop", || self.child.try_wait().expect("waiting"));
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until there is an answer.
///
/// # Panics
///
/// When [`DEADLINE`] has passed.
pub fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(pause);
        // What is waited for needs the processor too: most polls start a command.
        pause = (pause * 3 / 2).min(Duration::from_millis(200));
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Octets in lower-case hexadecimal.
pub fn hexadecimal(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::new(), |mut text, it| {
        // Writing into a string does not fail.
        let _ = write!(text, "{it:02x}");
        text
    })
}
