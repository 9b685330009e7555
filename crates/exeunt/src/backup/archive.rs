//! The file of a backup: written once from its parts, read from its beginning to its end, and never
//! believed before its end was seen.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Chain, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use exeunt_keys::{
    OpeningReader, Passphrase, SEALED_MAGIC, SealedError, SealingWriter, sha256, sha256_reader,
};
use exeunt_store::SCHEMA_VERSION;
use exeunt_types::hexadecimal;
use tar::{Archive, Builder, EntryType, Header};
use zeroize::Zeroizing;

use super::manifest::{
    BACKUP_FORMAT, BACKUP_PARTS_MAX, MANIFEST, MANIFEST_BYTES_MAX, Manifest, Part, is_plain,
};
use super::{damaged, not_read, not_written};
use crate::failure::Failure;

/// Octets that are held on the way to and from the disk.
const BUFFER_OCTETS: usize = 256 * 1024;

/// What a part is made of.
#[derive(Debug)]
pub enum Content {
    /// In memory; perhaps a secret.
    Octets(Zeroizing<Vec<u8>>),
    /// In a file that nobody changes meanwhile.
    File(PathBuf),
}

impl Content {
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Octets(octets) => Box::new(octets.as_slice()),
            Self::File(path) => Box::new(File::open(path)?),
        })
    }

    /// The part's entry in the manifest.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn part(&self, path: &str, mode: u32) -> Result<Part, Failure> {
        let described = || -> io::Result<(u64, [u8; 32])> {
            match self {
                Self::Octets(octets) => {
                    Ok((u64::try_from(octets.len()).unwrap_or(u64::MAX), sha256(octets)))
                }
                Self::File(path) => {
                    let mut file = File::open(path)?;
                    Ok((file.metadata()?.len(), sha256_reader(&mut file)?))
                }
            }
        };
        let (length, sha256) = described().map_err(|err| not_read(Path::new(path), &err))?;
        Ok(Part { path: path.to_owned(), length, sha256: hexadecimal(&sha256), mode })
    }
}

/// Writes a backup into a new file; it is on the disk when this returns, its name may not be.
///
/// # Errors
///
/// What the file system said; half a file is left then.
pub fn write(
    path: &Path,
    manifest: &Manifest,
    contents: &[Content],
    passphrase: Option<&Passphrase>,
) -> Result<(), Failure> {
    let failed = |err: io::Error| not_written(path, &err);
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.write(true).create_new(true).open(path).map_err(failed)?;
    let to = BufWriter::with_capacity(BUFFER_OCTETS, file);
    let to = match passphrase {
        None => write_all(to, manifest, contents).map_err(failed)?,
        Some(passphrase) => {
            let to =
                SealingWriter::new(to, passphrase).map_err(|err| sealed_failure(path, &err))?;
            write_all(to, manifest, contents).and_then(SealingWriter::finish).map_err(failed)?
        }
    };
    let file = to.into_inner().map_err(|err| failed(err.into_error()))?;
    file.sync_all().map_err(failed)
}

fn write_all<W: Write>(to: W, manifest: &Manifest, contents: &[Content]) -> io::Result<W> {
    let mut tar = Builder::new(to);
    let taken_s = manifest.taken_unix_ms.max(0).unsigned_abs() / 1000;
    let mut put = |path: &str, length: u64, mode: u32, from: &mut dyn Read| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(length);
        header.set_mode(mode);
        header.set_mtime(taken_s);
        let mut counted = Counted { from: from.take(length), octets: 0 };
        tar.append_data(&mut header, path, &mut counted)?;
        if counted.octets == length {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{path} became shorter")))
        }
    };
    let text = serde_json::to_vec_pretty(manifest)?;
    let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
    put(MANIFEST, length, 0o600, &mut text.as_slice())?;
    for (part, content) in manifest.parts.iter().zip(contents) {
        put(&part.path, part.length, part.safe_mode(), &mut *content.open()?)?;
    }
    tar.into_inner()
}

struct Counted<R> {
    from: R,
    octets: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(into)?;
        self.octets += u64::try_from(len).unwrap_or(0);
        Ok(len)
    }
}

/// A backup that is open, at its beginning.
pub struct Opened {
    path: PathBuf,
    from: Box<dyn Read>,
    /// Whether a passphrase was needed.
    pub sealed: bool,
}

impl Opened {
    /// Opens a backup, and tries the passphrase where it was sealed with one.
    ///
    /// # Errors
    ///
    /// `backup-not-read`, `backup-passphrase-missing`, `sealed-wrong-passphrase`, `backup-damaged`.
    pub fn open(path: &Path, passphrase: Option<&Passphrase>) -> Result<Self, Failure> {
        let read = |err: io::Error| not_read(path, &err);
        let mut file = BufReader::with_capacity(BUFFER_OCTETS, File::open(path).map_err(read)?);
        let mut magic = vec![0; SEALED_MAGIC.len()];
        let len = read_up_to(&mut file, &mut magic).map_err(read)?;
        magic.truncate(len);
        let sealed = magic == SEALED_MAGIC;
        let from: Chain<Cursor<Vec<u8>>, _> = Cursor::new(magic).chain(file);
        let path = path.to_owned();
        if !sealed {
            return Ok(Self { path, from: Box::new(from), sealed });
        }
        let Some(passphrase) = passphrase else {
            let message = format!("{} was sealed with a passphrase", path.display());
            return Err(Failure::new("backup-passphrase-missing", message)
                .hint("name the file with it: --passphrase-file FILE"));
        };
        let from =
            OpeningReader::new(from, passphrase).map_err(|err| sealed_failure(&path, &err))?;
        Ok(Self { path, from: Box::new(from), sealed })
    }

    /// Reads everything to the end. `place` gives the file that a part goes into, if it is to go anywhere;
    /// it is synced. What is in these files is what was written only if this returns.
    ///
    /// # Errors
    ///
    /// `backup-not-ours`, `backup-newer`, `backup-damaged`, `backup-not-read`; those of `place`.
    pub fn read(
        self,
        mut place: impl FnMut(&Part) -> Result<Option<(PathBuf, File)>, Failure>,
    ) -> Result<Manifest, Failure> {
        let Self { path, from, sealed } = self;
        let broken = |err: io::Error| broken(&path, &err);
        let mut archive = Archive::new(from);
        let mut entries = archive.entries().map_err(broken)?;
        let manifest = match entries.next() {
            Some(Ok(mut entry)) if is_at(&entry, MANIFEST) => {
                let mut text = Vec::new();
                let mut limited = (&mut entry).take(MANIFEST_BYTES_MAX);
                limited.read_to_end(&mut text).map_err(broken)?;
                checked(&path, &text)?
            }
            // What was sealed and cannot be read is damaged; anything else may be any file.
            Some(Err(err)) if sealed => return Err(broken(err)),
            _ => return Err(not_ours(&path)),
        };
        for part in &manifest.parts {
            let entry = entries.next().ok_or_else(|| damaged(&path, "it ends too early"))?;
            let mut entry = entry.map_err(broken)?;
            if !is_at(&entry, &part.path) || entry.size() != part.length {
                return Err(damaged(&path, format!("{} is not where it should be", part.path)));
            }
            let file = place(part)?;
            let to = file.as_ref().map(|(_, file)| file);
            let mut tee = Tee { from: &mut entry, to, failed: None };
            let sha256 = sha256_reader(&mut tee);
            if let (Some((path, _)), Some(err)) = (&file, tee.failed) {
                return Err(not_written(path, &err));
            }
            let sha256 = sha256.map_err(broken)?;
            if hexadecimal(&sha256) != part.sha256 {
                return Err(damaged(&path, format!("{} was changed", part.path)));
            }
            if let Some((path, file)) = &file {
                file.sync_all().map_err(|err| not_written(path, &err))?;
            }
        }
        if entries.next().is_some() {
            return Err(damaged(&path, "there is more in it than it says"));
        }
        // The end was sealed, too: that it is the end is known only once it was read.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
        Ok(manifest)
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Opened").field("path", &self.path).finish_non_exhaustive()
    }
}

fn is_at<R: Read>(entry: &tar::Entry<'_, R>, path: &str) -> bool {
    entry.header().entry_type() == EntryType::Regular && *entry.path_bytes() == *path.as_bytes()
}

/// A manifest that this version can read.
fn checked(path: &Path, text: &[u8]) -> Result<Manifest, Failure> {
    /// What every version has.
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(text).map_err(|_other| not_ours(path))?;
    if BACKUP_FORMAT < format {
        return Err(newer(
            path,
            &format!("format {format}, and this program knows {BACKUP_FORMAT}"),
        ));
    }
    let manifest: Manifest = serde_json::from_slice(text)
        .map_err(|err| damaged(path, format!("its manifest: {err}")))?;
    if SCHEMA_VERSION < manifest.schema {
        let found = manifest.schema;
        return Err(newer(
            path,
            &format!("a store of version {found}, and this program knows {SCHEMA_VERSION}"),
        ));
    }
    if BACKUP_PARTS_MAX < manifest.parts.len()
        || manifest.parts.iter().any(|it| !is_plain(&it.path) || it.path == MANIFEST)
    {
        return Err(damaged(path, "its manifest names files that cannot be"));
    }
    Ok(manifest)
}

fn newer(path: &Path, what: &str) -> Failure {
    Failure::new("backup-newer", format!("{} has {what}", path.display()))
        .hint("use the version of exeunt that wrote it, or a newer one")
}

fn not_ours(path: &Path) -> Failure {
    Failure::new("backup-not-ours", format!("{} is not a backup of Exeunt", path.display()))
}

/// A failure to read: damage where the octets are wrong, else the system's fault.
fn broken(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other => {
            damaged(path, error)
        }
        _ => not_read(path, error),
    }
}

fn sealed_failure(path: &Path, error: &SealedError) -> Failure {
    let failure = Failure::from_error(error.code(), error);
    let message = format!("{}: {}", path.display(), failure.message);
    match error {
        SealedError::Malformed => damaged(path, error),
        SealedError::WrongPassphrase => Failure { message, ..failure }
            .hint("give the passphrase with which this backup was made"),
        _ => Failure { message, ..failure },
    }
}

fn read_up_to(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match from.read(&mut into[len..])? {
            0 => break,
            more => len += more,
        }
    }
    Ok(len)
}

/// Writes what is read through it, if there is anything to write into.
struct Tee<'a, R> {
    from: R,
    to: Option<&'a File>,
    /// What kept it from being written.
    failed: Option<io::Error>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(into)?;
        if let Some(mut to) = self.to
            && let Err(err) = to.write_all(&into[..len])
        {
            let kind = err.kind();
            self.failed = Some(err);
            return Err(kind.into());
        }
        Ok(len)
    }
}
