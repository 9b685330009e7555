//! The CA's home: the folder that holds its configuration, keys, store and socket.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use exeunt_engine::CheckpointFile;
use exeunt_keys::{
    Passphrase, Pkcs11Key, SigningKey, SoftwareKey, TokenError, TokenSettings, secret_file,
};

use crate::config::{Config, KeyConfig, PassphraseSource};
use crate::failure::Failure;

/// What whoever may not look at a home can do.
const OTHER_USER_HINT: &str = "do it as the user of the server, or as root";

/// Longest time to wait for another command on the files of the CA: it may be making a key.
const HOLD_WAIT: Duration = Duration::from_mins(1);
/// How often is looked whether it has ended.
const HOLD_POLL: Duration = Duration::from_millis(50);

/// Permission bits of the group and of everybody.
const OTHERS: u32 = 0o077;

/// A CA's home.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Where a configuration says what is where, relative to the home.
    pub const CONFIG: &'static str = "exeunt.toml";
    /// The CA's first private key, where it is kept in a file, relative to the home.
    pub const KEY: &'static str = "secrets/ca.key.pem";
    /// Its passphrase, relative to the home.
    pub const PASSPHRASE: &'static str = "secrets/passphrase";

    /// The home at `path`, made absolute so that module processes find it from anywhere.
    ///
    /// # Errors
    ///
    /// When the current folder is gone.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        let root = std::path::absolute(path).map_err(|err| {
            Failure::from_error("home-unreadable", &err).hint("give --home an absolute path")
        })?;
        Ok(Self { root })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.root.join(Self::CONFIG)
    }

    /// The CA's certificate, as a fresh configuration names it.
    pub fn certificate_path(&self) -> PathBuf {
        self.root.join("ca.cert.pem")
    }

    /// The request of a subordinate CA.
    pub fn request_path(&self) -> PathBuf {
        self.root.join("ca.csr.pem")
    }

    /// The encrypted private key.
    pub fn key_path(&self) -> PathBuf {
        self.root.join(Self::KEY)
    }

    /// The passphrase of the private key.
    pub fn passphrase_path(&self) -> PathBuf {
        self.root.join(Self::PASSPHRASE)
    }

    /// The token of the administrator on this machine.
    pub fn token_path(&self) -> PathBuf {
        self.root.join("secrets/admin.token")
    }

    /// The store.
    pub fn store_path(&self) -> PathBuf {
        self.root.join("exeunt.db")
    }

    /// The folder of the revocation lists.
    pub fn crl_folder(&self) -> PathBuf {
        self.root.join("crls")
    }

    /// The file of the audit trail's checkpoints.
    pub fn checkpoints(&self) -> CheckpointFile {
        CheckpointFile::at(&self.root.join("audit").join("checkpoints"))
    }

    /// Locked by commands that make or change the CA's certificates.
    pub fn lock_path(&self) -> PathBuf {
        self.root.join("init.lock")
    }

    /// The Unix socket of a running server.
    pub fn socket_path(&self) -> PathBuf {
        self.root.join("exeunt.sock")
    }

    /// Whether there is a CA here.
    pub fn exists(&self) -> bool {
        self.config_path().exists()
    }

    /// Makes the folders of a new home, readable by their owner alone, and keeps other `init`s out
    /// until the answer is dropped.
    ///
    /// # Errors
    ///
    /// When there is a CA already, somebody makes one at this moment, others can read the folder, or
    /// it cannot be made.
    pub fn create(&self) -> Result<fs::File, Failure> {
        if self.exists() {
            return Err(self.taken());
        }
        for folder in [self.root.clone(), self.root.join("secrets")] {
            let mut builder = fs::DirBuilder::new();
            builder
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|err| not_made(&folder, &err))?;
        }
        self.close_to_others()?;
        let path = self.lock_path();
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(&path).map_err(|err| not_made(&path, &err))?;
        if lock.try_lock().is_err() {
            let message = format!("another init is at work in {}", self.root.display());
            return Err(Failure::new("home-busy", message).hint("wait until it has ended"));
        }
        // Now nobody else makes one; but somebody may just have done so.
        if self.exists() {
            return Err(self.taken());
        }
        Ok(lock)
    }

    /// Waits until no command is at work on the files of the CA, and keeps others out until the answer is
    /// dropped. Nothing is written: who takes a backup may be somebody else than the owner.
    ///
    /// # Errors
    ///
    /// `home-busy` when that takes longer than [`HOLD_WAIT`]; the file system refused.
    pub fn hold_when_free(&self) -> Result<Option<fs::File>, Failure> {
        let path = self.lock_path();
        let lock = match fs::File::open(&path) {
            Ok(lock) => lock,
            // No command has ever been at work.
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(err) => return Err(not_made(&path, &err)),
        };
        let until = Instant::now() + HOLD_WAIT;
        while lock.try_lock_shared().is_err() {
            if until <= Instant::now() {
                let message =
                    format!("another command is at work on the CA in {}", self.root.display());
                return Err(Failure::new("home-busy", message).hint("wait until it has ended"));
            }
            std::thread::sleep(HOLD_POLL);
        }
        Ok(Some(lock))
    }

    /// A folder that was there keeps its mode: an empty one gets ours, any other is the operator's
    /// business.
    fn close_to_others(&self) -> Result<(), Failure> {
        let failed = |err: std::io::Error| not_made(&self.root, &err);
        let mode = fs::metadata(&self.root).map_err(failed)?.permissions().mode();
        if mode & OTHERS == 0 {
            return Ok(());
        }
        let others = |it: &std::io::Result<fs::DirEntry>| {
            it.as_ref().map_or(true, |it| it.file_name() != "secrets")
        };
        if fs::read_dir(&self.root).map_err(failed)?.any(|it| others(&it)) {
            let message =
                format!("others can read {} (mode {:03o})", self.root.display(), mode & 0o777);
            return Err(Failure::new("home-open-to-others", message)
                .hint(format!("chmod 700 {}", self.root.display())));
        }
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700)).map_err(failed)
    }

    /// Makes the names in the home, and its own name, durable.
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub fn sync(&self) -> Result<(), Failure> {
        let around = self.root.parent().unwrap_or(&self.root);
        for folder in [self.root.as_path(), around] {
            fs::File::open(folder)
                .and_then(|it| it.sync_all())
                .map_err(|err| not_made(folder, &err))?;
        }
        Ok(())
    }

    /// There is a CA here already.
    pub fn taken(&self) -> Failure {
        Failure::new("home-exists", format!("there is a CA in {} already", self.root.display()))
            .hint(format!("to use it: exeunt serve --home {}", self.root.display()))
            .hint("to make another one, choose another folder")
    }

    /// Writes a file of the home that is no secret; refuses to replace one.
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
        let write = || -> std::io::Result<()> {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o644).open(path)?;
            std::io::Write::write_all(&mut file, content)?;
            file.sync_all()
        };
        write().map_err(|err| {
            Failure::new(
                "home-not-writable",
                format!("{} cannot be written: {err}", path.display()),
            )
        })
    }

    /// There is no CA here.
    pub fn missing(&self, message: String) -> Failure {
        if let Err(err) = self.config_path().try_exists() {
            let message = format!("{} cannot be looked at: {err}", self.root.display());
            return Failure::new("config-unreadable", message).hint(OTHER_USER_HINT);
        }
        Failure::new("config-missing", message)
            .hint(format!("make a CA: exeunt init --home {} --name NAME", self.root.display()))
            .hint("or name the home of an existing one with --home or EXEUNT_HOME")
    }

    /// Reads and checks the configuration.
    ///
    /// # Errors
    ///
    /// The first thing wrong with it.
    pub fn config(&self) -> Result<Config, Failure> {
        Config::load(&self.config_path(), &self.root).map_err(|err| {
            let failure = Failure::from_error(err.code(), &err);
            match err.code() {
                "config-missing" => self.missing(failure.message),
                "config-unreadable" => failure.hint(OTHER_USER_HINT),
                _ => failure.hint(format!("edit {}", self.config_path().display())),
            }
        })
    }
}

fn not_made(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new("home-not-writable", format!("{} cannot be made: {error}", path.display()))
        .hint("choose another place with --home")
}

/// Opens a private key of the CA.
///
/// # Errors
///
/// A file that others can read, a wrong passphrase, a damaged file; a token that is missing, does not
/// take its PIN or has no such key; a key that does not sign by its scheme.
pub fn open_key(config: &KeyConfig) -> Result<Box<dyn SigningKey>, Failure> {
    let scheme = config.scheme();
    Ok(match config {
        KeyConfig::File { path, passphrase, .. } => {
            let key = open_file(path, passphrase)?;
            let scheme = scheme.of(key.algorithm());
            Box::new(key.with_scheme(scheme)?)
        }
        KeyConfig::Pkcs11 { token, .. } => {
            let key = Pkcs11Key::open(token).map_err(|err| token_failure(err, token))?;
            match scheme.of(key.algorithm()) {
                // It was tried when the key was opened.
                same if same == key.scheme() => Box::new(key),
                other => Box::new(key.with_scheme(other).map_err(|err| token_failure(err, token))?),
            }
        }
    })
}

/// What a token refused, with what helps.
pub fn token_failure(error: TokenError, settings: &TokenSettings) -> Failure {
    let module = shell_word(&settings.module.to_string_lossy());
    let hint = match error {
        TokenError::Missing { .. } | TokenError::Ambiguous { .. } => Some(format!(
            "which tokens there are: pkcs11-tool --module {module} --list-token-slots"
        )),
        TokenError::KeyMissing { .. } | TokenError::KeyAmbiguous { .. } => Some(format!(
            "which keys there are: pkcs11-tool --module {module} --login --list-objects"
        )),
        _ => None,
    };
    let failure = Failure::from(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Quotes what a shell would otherwise take apart, so that the hint can be pasted.
fn shell_word(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

fn open_file(path: &Path, passphrase: &PassphraseSource) -> Result<SoftwareKey, Failure> {
    let passphrase = match passphrase {
        PassphraseSource::File(path) => Passphrase::from_file_content(&secret_file::read(path)?)?,
        PassphraseSource::Environment(name) => match std::env::var(name) {
            Ok(text) => Passphrase::new(text)?,
            Err(_absent) => {
                let message = format!("the variable {name} with the key's passphrase is not set");
                return Err(Failure::new("key-passphrase-missing", message)
                    .hint(format!("set it: {name}=… exeunt serve")));
            }
        },
    };
    let pem = secret_file::read(path)?;
    let path = path.display();
    let pem = std::str::from_utf8(&pem)
        .map_err(|_not_utf8| Failure::new("key-malformed", format!("{path} is not PEM")))?;
    let key = SoftwareKey::from_encrypted_pem(pem, &passphrase).map_err(|err| {
        let failure = Failure::from(err);
        Failure { message: format!("{path}: {}", failure.message), ..failure }
    })?;
    Ok(key)
}
