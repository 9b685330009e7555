//! The CA's home: the folder that holds its configuration, keys, store and socket.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use exeunt_keys::{Passphrase, SoftwareKey, secret_file};

use crate::config::{Config, PassphraseSource};
use crate::failure::Failure;

/// A CA's home.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// Where a configuration says what is where, relative to the home.
    pub const CONFIG: &'static str = "exeunt.toml";

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
        self.root.join("secrets/ca.key.pem")
    }

    /// The passphrase of the private key.
    pub fn passphrase_path(&self) -> PathBuf {
        self.root.join("secrets/passphrase")
    }

    /// The token of the administrator on this machine.
    pub fn token_path(&self) -> PathBuf {
        self.root.join("secrets/admin.token")
    }

    /// The store.
    pub fn store_path(&self) -> PathBuf {
        self.root.join("exeunt.db")
    }

    /// The Unix socket of a running server.
    pub fn socket_path(&self) -> PathBuf {
        self.root.join("exeunt.sock")
    }

    /// Whether there is a CA here.
    pub fn exists(&self) -> bool {
        self.config_path().exists()
    }

    /// Makes the folders of a new home, readable by their owner alone.
    ///
    /// # Errors
    ///
    /// When there is a CA already, or the folder cannot be made.
    pub fn create(&self) -> Result<(), Failure> {
        if self.exists() {
            return Err(self.taken());
        }
        for folder in [self.root.clone(), self.root.join("secrets")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|err| {
                Failure::new(
                    "home-not-writable",
                    format!("{} cannot be made: {err}", folder.display()),
                )
                .hint("choose another place with --home")
            })?;
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

    /// Reads and checks the configuration.
    ///
    /// # Errors
    ///
    /// The first thing wrong with it.
    pub fn config(&self) -> Result<Config, Failure> {
        Config::load(&self.config_path(), &self.root).map_err(|err| {
            let failure = Failure::from_error(err.code(), &err);
            match err.code() {
                "config-missing" => failure
                    .hint(format!(
                        "make a CA: exeunt init --home {} --name NAME",
                        self.root.display()
                    ))
                    .hint("or name the home of an existing one with --home or EXEUNT_HOME"),
                _ => failure.hint(format!("edit {}", self.config_path().display())),
            }
        })
    }
}

/// Opens the CA's private key.
///
/// # Errors
///
/// A file that others can read, a wrong passphrase, a damaged file.
pub fn open_key(config: &Config) -> Result<SoftwareKey, Failure> {
    let passphrase = match &config.passphrase {
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
    let path = config.key.display();
    let pem = secret_file::read(&config.key)?;
    let pem = std::str::from_utf8(&pem)
        .map_err(|_not_utf8| Failure::new("key-malformed", format!("{path} is not PEM")))?;
    let key = SoftwareKey::from_encrypted_pem(pem, &passphrase).map_err(|err| {
        let failure = Failure::from(err);
        Failure { message: format!("{path}: {}", failure.message), ..failure }
    })?;
    Ok(key)
}
