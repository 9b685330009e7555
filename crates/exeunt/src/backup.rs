//! Backups of a CA: one file that holds everything a home needs to go on elsewhere, but for the words that
//! open its keys.
//!
//! The file is a tar archive, and where it holds keys one that was sealed with a passphrase
//! ([`exeunt_keys::SealingWriter`]). Its first entry is the manifest, which names all others with length
//! and SHA-256. [`parts`] says what belongs to it, [`archive`] writes and reads it, [`partial`] is where
//! unfinished work lies. What the commands do with them stands in `command::backup`.

pub mod archive;
pub mod manifest;
pub mod partial;
pub mod parts;

use std::path::Path;

use exeunt_keys::{Passphrase, secret_file};

use crate::cli::BackupPassphrase;
use crate::failure::Failure;

/// The passphrase that the options name, if they name one.
///
/// # Errors
///
/// A file that others can read, a variable that is not set, a passphrase that is none.
pub fn passphrase(options: &BackupPassphrase) -> Result<Option<Passphrase>, Failure> {
    let BackupPassphrase { passphrase_file, passphrase_env } = options;
    if let Some(path) = passphrase_file {
        return Ok(Some(Passphrase::from_file_content(&secret_file::read(path)?)?));
    }
    let Some(name) = passphrase_env else { return Ok(None) };
    match std::env::var(name) {
        Ok(text) => Ok(Some(Passphrase::new(text)?)),
        Err(_absent) => {
            let message = format!("the variable {name} with the backup's passphrase is not set");
            Err(Failure::new("backup-passphrase-missing", message)
                .hint("or name a file: --passphrase-file FILE"))
        }
    }
}

/// A file or folder that cannot be written.
pub fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be written: {error}", path.display());
    Failure::new("backup-not-written", message)
}

/// A file or folder that cannot be read.
pub fn not_read(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("{} cannot be read: {error}", path.display());
    Failure::new("backup-not-read", message)
}

/// The backup is not as it was written.
pub fn damaged(path: &Path, what: impl std::fmt::Display) -> Failure {
    Failure::new("backup-damaged", format!("{} is damaged: {what}", path.display()))
        .hint("take another copy of it, or an older backup")
}
