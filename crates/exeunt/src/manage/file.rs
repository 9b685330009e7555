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

    /// Puts another text in the place of this one, unless it is another one by now. Whoever reads the file at that moment sees all of
    /// the one or all of the other; when this returns, the new one is on the disk.
    ///
    /// # Errors
    ///
    /// [`ManageError::Write`] and [`ManageError::ChangedMeanwhile`], and the file is as it was.
    pub fn replace(&self, text: &str) -> Result<(), ManageError> {
        self.exchange(&self.text, text)
    }

    /// Puts the old text back, because what it said is still what runs. `ours` is what this change
    /// wrote: whatever somebody else has put there since stays.
    pub fn put_back(&self, ours: &str) {
        if let Err(err) = self.exchange(ours, &self.text) {
            tracing::error!(
                code = err.code(),
                error = crate::failure::chain(&err),
                "the configuration says something else than what runs"
            );
        }
    }

    fn exchange(&self, old: &str, new: &str) -> Result<(), ManageError> {
        let failed = |source| ManageError::Write { path: self.path.clone(), source };
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        // Commands beside the server edit it, too. A folder that cannot be opened has one editor the less.
        let _held = File::open(folder).and_then(|it| it.lock().map(|()| it));
        let beside = self.path.with_extension("toml.new");
        let replaced = write(&self.path, &beside, new).map_err(failed).and_then(|()| {
            // What remains between this look and the rename is too short for a person.
            if fs::read(&self.path).map_err(failed)? != old.as_bytes() {
                return Err(ManageError::ChangedMeanwhile(self.path.clone()));
            }
            fs::rename(&beside, &self.path).map_err(failed)
        });
        if replaced.is_err() {
            // It may not have come to be.
            let _ = fs::remove_file(&beside);
        }
        replaced?;
        if let Err(err) = File::open(folder).and_then(|it| it.sync_all()) {
            // The new text is there, and would be lost with the power only.
            tracing::warn!(error = %err, "the new configuration may not be on the disk yet");
        }
        Ok(())
    }
}

/// Writes a text beside a file, with its owner and mode, and forces it to the disk.
fn write(path: &Path, beside: &Path, text: &str) -> io::Result<()> {
    let old = fs::metadata(path)?;
    // One that a killed process left; there is one edit at a time.
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
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(home: &Path) -> ConfigFile {
        let text = include_str!("samples/before.toml");
        fs::write(home.join(Home::CONFIG), text).unwrap();
        ConfigFile::read(&Home::at(home).unwrap()).unwrap()
    }

    #[test]
    fn what_somebody_wrote_meanwhile_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Home::CONFIG);
        let file = file(folder.path());
        let theirs = format!("{}# mine\n", file.text);
        fs::write(&path, &theirs).unwrap();
        let err = file.replace("# ours").unwrap_err();
        assert_eq!(err.code(), "config-changed-meanwhile");
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
        file.put_back("# ours");
        assert_eq!(fs::read_to_string(&path).unwrap(), theirs);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
    }

    #[test]
    fn what_nobody_touched_is_replaced_and_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Home::CONFIG);
        let file = file(folder.path());
        file.replace("# ours").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "# ours");
        file.put_back("# ours");
        assert_eq!(fs::read_to_string(&path).unwrap(), file.text);
    }

    // A folder that can be written and not read cannot be opened to be forced to the disk.
    #[test]
    fn what_is_in_place_is_done_even_if_the_folder_cannot_be_forced_to_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let mode = |it| fs::set_permissions(folder.path(), fs::Permissions::from_mode(it)).unwrap();
        mode(0o300);
        let replaced = file.replace("# ours");
        mode(0o700);
        replaced.unwrap();
    }
}
