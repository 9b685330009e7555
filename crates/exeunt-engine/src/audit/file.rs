//! The file of checkpoints in the home: PEM, one block after the other, oldest first.
//!
//! It is beside the database, so that whoever changes one has to change the other, and so that a database
//! which was exchanged for an older one is noticed at the next start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use exeunt_x509::{SIGNED_TEXT_BYTES_MAX, decode_pem_or_der, encode_pem};

/// Longest block, in octets: what DER of [`SIGNED_TEXT_BYTES_MAX`] is in PEM.
pub const CHECKPOINT_BLOCK_OCTETS_MAX: usize = SIGNED_TEXT_BYTES_MAX / 2 * 3;

/// What a block is (RFC 7468, section 9).
const LABEL: &str = "CMS";
const BEGIN: &str = "-----BEGIN CMS-----";
const END: &str = "-----END CMS-----";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFileError {
    /// It cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it is no block of PEM.
    #[error("{} is damaged in line {line}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1 on; of its end, where only that is read.
        line: usize,
    },
}

impl CheckpointFileError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "audit-checkpoints-unreadable",
            Self::Write { .. } => "audit-checkpoints-not-writable",
            Self::Damaged { .. } => "audit-checkpoints-damaged",
        }
    }
}

/// The file of checkpoints.
#[derive(Clone, Debug)]
pub struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    /// That of a path, whether it is there or not.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a checkpoint; durable when this returns. The file and its folder are made where they are
    /// not there, for their owner alone.
    ///
    /// # Errors
    ///
    /// [`CheckpointFileError::Write`]. The block may be there in part; the next one begins on a line of
    /// its own.
    pub fn append(&self, der: &[u8]) -> Result<(), CheckpointFileError> {
        self.append_all([der])
    }

    /// Adds checkpoints, all with one look at the disk.
    ///
    /// # Errors
    ///
    /// As [`Self::append`].
    pub fn append_all<'a>(
        &self,
        ders: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), CheckpointFileError> {
        let blocks: String = ders.into_iter().map(|it| encode_pem(LABEL, it)).collect();
        let append = || -> io::Result<()> {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            if !folder.is_dir() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let mut options = OpenOptions::new();
            let mut file =
                options.append(true).read(true).create(true).mode(0o600).open(&self.path)?;
            let mut last = [b'\n'];
            // Also where a crash left it empty: its name may not be on the disk.
            let is_new = file.metadata()?.len() == 0;
            if !is_new {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
            file.write_all(blocks.as_bytes())?;
            file.sync_data()?;
            if is_new {
                File::open(folder)?.sync_all()?;
                let around = folder.parent().filter(|it| !it.as_os_str().is_empty());
                File::open(around.unwrap_or(Path::new(".")))?.sync_all()?;
            }
            Ok(())
        };
        append().map_err(|source| CheckpointFileError::Write { path: self.path.clone(), source })
    }

    /// Each checkpoint, DER, oldest first, one at a time in memory; none where there is no file. What a
    /// crash left of a block at the end is passed over.
    ///
    /// # Errors
    ///
    /// [`CheckpointFileError::Read`]; [`CheckpointFileError::Damaged`] where something else stands
    /// between or in the blocks. What `act` says.
    pub fn each<E: From<CheckpointFileError>>(
        &self,
        mut act: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(self.read_error(source).into()),
        };
        self.blocks(BufReader::new(file), &mut act)
    }

    /// The last whole checkpoint, DER. Reads the end of the file only.
    ///
    /// # Errors
    ///
    /// As [`Self::each`].
    pub fn last(&self) -> Result<Option<Vec<u8>>, CheckpointFileError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.read_error(source)),
        };
        let window = u64::try_from(2 * CHECKPOINT_BLOCK_OCTETS_MAX).unwrap_or(u64::MAX);
        let read = |file: &mut File| -> io::Result<Vec<u8>> {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(window)))?;
            let mut end = Vec::new();
            file.take(window).read_to_end(&mut end)?;
            Ok(end)
        };
        let end = read(&mut file).map_err(|source| self.read_error(source))?;
        let text = String::from_utf8_lossy(&end);
        let start = text.find(BEGIN).unwrap_or(text.len());
        let mut last = None;
        self.blocks(&text.as_bytes()[start..], &mut |der| {
            last = Some(der);
            Ok::<_, CheckpointFileError>(())
        })?;
        Ok(last)
    }

    /// Moves the file aside, to the first free name of `checkpoints.1.old` and so on.
    ///
    /// # Errors
    ///
    /// [`CheckpointFileError::Write`].
    pub fn set_aside(&self) -> Result<Option<PathBuf>, CheckpointFileError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let name = |number: u32| self.path.with_extension(format!("{number}.old"));
        let free = (1..=u32::MAX).map(name).find(|it| !it.exists());
        let free = free.unwrap_or_else(|| name(0));
        fs::rename(&self.path, &free)
            .map_err(|source| CheckpointFileError::Write { path: self.path.clone(), source })?;
        Ok(Some(free))
    }

    fn blocks<E: From<CheckpointFileError>>(
        &self,
        mut from: impl io::BufRead,
        act: &mut impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let limit = u64::try_from(CHECKPOINT_BLOCK_OCTETS_MAX).unwrap_or(u64::MAX);
        let mut block = String::new();
        for line in 1_usize.. {
            let damaged = || CheckpointFileError::Damaged { path: self.path.clone(), line };
            let mut text = String::new();
            let read = from.by_ref().take(limit).read_line(&mut text);
            let read = read.map_err(|source| self.read_error(source))?;
            if read == 0 {
                break;
            }
            // Zeros are what some file systems have in the place of what a power cut kept from the disk.
            let words = text.trim_end_matches(|it: char| it.is_whitespace() || it == '\0');
            if words == BEGIN {
                // What stands before was broken off by a crash.
                block.clear();
            } else if block.is_empty() && !BEGIN.starts_with(words) {
                return Err(damaged().into());
            }
            block.push_str(words);
            block.push('\n');
            if CHECKPOINT_BLOCK_OCTETS_MAX < block.len() {
                return Err(damaged().into());
            }
            if words == END {
                let der = decode_pem_or_der(block.as_bytes(), &[LABEL]).map_err(|_| damaged())?;
                act(der.into_owned())?;
                block.clear();
            }
            if words.is_empty() {
                block.clear();
            }
        }
        Ok(())
    }

    fn read_error(&self, source: io::Error) -> CheckpointFileError {
        CheckpointFileError::Read { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(file: &CheckpointFile) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        file.each(|it| {
            found.push(it);
            Ok::<_, CheckpointFileError>(())
        })
        .unwrap();
        found
    }

    #[test]
    fn checkpoints_come_back_in_order_also_after_a_block_that_was_broken_off() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::at(&folder.path().join("audit/checkpoints"));
        assert_eq!((file.last().unwrap(), all(&file)), (None, vec![]));
        let block = |octet| vec![octet; 200];
        file.append(&block(1)).unwrap();
        file.append(&block(2)).unwrap();
        assert_eq!(all(&file), [block(1), block(2)]);
        assert_eq!(file.last().unwrap(), Some(block(2)));
        let (first, second) = (fs::read(file.path()).unwrap(), block(2));
        let both = encode_pem(LABEL, &block(1)) + &encode_pem(LABEL, &second);
        assert_eq!(first, both.as_bytes());
        // A write that ended anywhere: a power cut leaves the beginning of a block, or zeros in its place.
        for zeros in [0, 1, 300] {
            for cut in 1..=encode_pem(LABEL, &second).len() {
                let left = &first[..first.len() - cut];
                fs::write(file.path(), [left, &vec![0; zeros]].concat()).unwrap();
                let found = all(&file);
                assert!(found == [block(1)] || cut == 1, "{cut}");
                assert!(file.last().unwrap().is_some(), "{cut}");
                if zeros != 0 || cut % 16 == 1 || first.len() - cut < both.len() / 2 + 20 {
                    file.append(&block(3)).unwrap();
                    assert_eq!(all(&file).last(), Some(&block(3)), "{cut}");
                    assert_eq!(file.last().unwrap(), Some(block(3)), "{cut}");
                }
            }
        }
        fs::write(file.path(), "something else\n").unwrap();
        let read = file.each(|_| Ok::<_, CheckpointFileError>(()));
        assert_eq!(read.unwrap_err().code(), "audit-checkpoints-damaged");
    }

    #[test]
    fn a_file_that_is_set_aside_is_kept_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::at(&folder.path().join("checkpoints"));
        assert_eq!(file.set_aside().unwrap(), None);
        for number in 1..=2 {
            file.append(&[number; 9]).unwrap();
            let aside = file.set_aside().unwrap().unwrap();
            assert!(aside.ends_with(format!("checkpoints.{number}.old")), "{aside:?}");
        }
        assert_eq!(file.last().unwrap(), None);
    }
}
