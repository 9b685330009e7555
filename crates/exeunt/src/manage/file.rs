//! The configuration file: read as a whole, replaced as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use super::error::ManageError;
use crate::config::{Config, ConfigError};
use crate::home::Home;

/// The file as it was when an edit began.
#[derive(Debug)]
pub struct ConfigFile {
    path: PathBuf,
    home: PathBuf,
    /// Its text.
    pub text: String,
    /// What the text says.
    pub config: Config,
}

impl ConfigFile {
    /// Reads and checks it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no good configuration.
    pub fn read(home: &Home) -> Result<Self, ManageError> {
        let named = home.config_path();
        // The file itself is replaced, and not a link to it.
        let path = fs::canonicalize(&named)
            .map_err(|source| ConfigError::Read { path: named.clone(), source })?;
        let text = Config::read(&path)?;
        let home = home.path().to_owned();
        let config = Config::from_toml(&text, &home)?;
        Ok(Self { path, home, text, config })
    }

    /// What another text would say.
    ///
    /// # Errors
    ///
    /// It would not be a good configuration.
    pub fn check(&self, text: &str) -> Result<Config, ManageError> {
        Ok(Config::from_toml(text, &self.home)?)
    }

    /// Puts another text in the place of this one. Whoever reads the file at that moment sees all of
    /// the one or all of the other; when this returns, the new one is on the disk.
    ///
    /// # Errors
    ///
    /// [`ManageError::Write`], and the old text is still there.
    pub fn replace(&self, text: &str) -> Result<(), ManageError> {
        let beside = self.path.with_extension("toml.new");
        let replaced = write(&self.path, &beside, text);
        if replaced.is_err() {
            // It may not have come to be.
            let _ = fs::remove_file(&beside);
        }
        replaced.map_err(|source| ManageError::Write { path: self.path.clone(), source })
    }

    /// Puts the old text back, because what it said is still what runs.
    pub fn put_back(&self) {
        if let Err(err) = self.replace(&self.text) {
            tracing::error!(
                code = err.code(),
                error = crate::failure::chain(&err),
                "the configuration says something else than what runs"
            );
        }
    }
}

fn write(path: &Path, beside: &Path, text: &str) -> io::Result<()> {
    let old = fs::metadata(path)?;
    // One that a killed server left; there is one edit at a time.
    match fs::remove_file(beside) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(text.as_bytes())?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
