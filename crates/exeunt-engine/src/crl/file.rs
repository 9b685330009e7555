//! The files of revocation lists: nameless ones to write into, the folder of finished ones, and what a
//! crash leaves there.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use exeunt_keys::sha256_reader;
use exeunt_store::{ROWS_MAX, StoreError};
use exeunt_types::{CrlKind, CrlNumber, CrlRecord, UnixMillis};
use exeunt_x509::{CrlFrame, TbsFrame};

use super::CrlError;
use super::times::minus;
use crate::engine::Engine;

/// End of the name of a finished list.
const FINISHED: &str = ".crl";
/// End of the name of one that is being written.
const UNFINISHED: &str = ".crl.tmp";

/// Largest number that a file may have to be taken for a list; the store keeps signed numbers, and one
/// stays for the list after it. No CA ever made so many.
const NUMBER_MAX: u64 = u32::MAX as u64;

/// The entries of all lists of a run, in a file without a name: it is gone when this is, also after a
/// crash.
pub(super) struct Scratch {
    file: File,
    folder: PathBuf,
    number: CrlNumber,
    /// Where the entries of the next list begin.
    end: u64,
}

impl Scratch {
    /// An empty one in the folder, which is made if it is not there.
    pub(super) fn new(folder: &Path, number: CrlNumber) -> Result<Self, CrlError> {
        let file = make_folder(folder)
            .and_then(|()| tempfile::tempfile_in(folder))
            .map_err(failed(number, "making a file in", folder))?;
        Ok(Self { file, folder: folder.to_owned(), number, end: 0 })
    }

    /// To write the entries of the next list into, in large pieces.
    pub(super) fn writer(&mut self) -> &mut File {
        &mut self.file
    }

    /// Notes how long they became, and tells where they begin.
    pub(super) fn end(&mut self, octets: u64) -> u64 {
        let at = self.end;
        self.end += octets;
        at
    }

    /// Reads a list from its beginning: its entries, by place and length, in what stands around them.
    pub(super) fn reader<'a>(
        &'a mut self,
        (at, octets): (u64, u64),
        frame: &'a TbsFrame,
    ) -> Result<impl Read, CrlError> {
        let found = self.file.seek(SeekFrom::Start(at));
        found.map_err(failed(self.number, "reading a file in", &self.folder))?;
        let entries = (&mut self.file).take(octets);
        Ok(frame.head.chain(entries).chain(&frame.tail[..]))
    }
}

/// Files of lists that are no facts yet: removed when this is dropped before [`Self::keep`].
pub(super) struct Unrecorded {
    folder: PathBuf,
    number: CrlNumber,
    names: Vec<String>,
}

impl Unrecorded {
    pub(super) fn new(folder: &Path, number: CrlNumber) -> Self {
        Self { folder: folder.to_owned(), number, names: Vec::new() }
    }

    /// Writes a list: what stands before the signed part, that part, what stands behind it. Gives
    /// length and SHA-256 of the whole.
    pub(super) fn put(
        &mut self,
        name: &str,
        frame: &CrlFrame,
        tbs: &mut dyn Read,
    ) -> Result<(u64, [u8; 32]), CrlError> {
        let path = self.folder.join(name);
        let unfinished = unfinished(&path);
        self.names.push(name.to_owned());
        write_whole(&unfinished, frame, tbs)
            .and_then(|facts| fs::rename(&unfinished, &path).map(|()| facts))
            .map_err(failed(self.number, "writing", &path))
    }

    /// Removes what was written of these.
    pub(super) fn drop_files(&mut self, records: impl Iterator<Item = CrlRecord>) {
        for record in records {
            let name = record.file_name();
            // What cannot be removed now, recovery removes at the next start.
            drop(fs::remove_file(self.folder.join(&name)));
            self.names.retain(|it| *it != name);
        }
    }

    /// Makes the names durable; what is in the files is so already.
    pub(super) fn sync(&self) -> Result<(), CrlError> {
        File::open(&self.folder).and_then(|it| it.sync_all()).map_err(failed(
            self.number,
            "writing",
            &self.folder,
        ))
    }

    /// The files stay.
    pub(super) fn keep(mut self) {
        self.names.clear();
    }
}

impl Drop for Unrecorded {
    fn drop(&mut self) {
        for name in &self.names {
            let path = self.folder.join(name);
            for path in [unfinished(&path), path] {
                // What cannot be removed now, recovery removes at the next start.
                drop(fs::remove_file(path));
            }
        }
    }
}

/// How long a list is kept after it ran out, so that what was true at a time can still be shown: 30 days.
pub const CRL_KEPT: Duration = Duration::from_hours(30 * 24);

impl Engine {
    /// Removes lists that nobody needs any more, row and file: [`CRL_KEPT`] after they ran out, but never
    /// the newest of a line, nor what a delta builds on that is not removed. What cannot be removed is
    /// removed after a later run, or at the next start.
    pub(super) fn prune_crls(&self, now: UnixMillis) {
        let pruned = match self.store.prune_crls(minus(now, CRL_KEPT)) {
            Ok(pruned) => pruned,
            Err(err) => {
                tracing::warn!(%err, "old revocation lists stay");
                return;
            }
        };
        for record in pruned {
            let path = self.crl_file(&record);
            match fs::remove_file(&path) {
                Ok(()) => tracing::debug!(path = %path.display(), "an old CRL was removed"),
                Err(err) if err.kind() == io::ErrorKind::NotFound => (),
                Err(err) => tracing::warn!(path = %path.display(), %err, "an old CRL stays"),
            }
        }
    }

    /// Removes files of lists that are no facts: what a crash between writing and recording leaves.
    /// Other files in the folder are left alone.
    ///
    /// A number is durable before its first file. A file with a greater one shows that the store was
    /// restored from a copy: it stays, and no list is made with its number or one before it.
    pub(crate) fn remove_crl_orphans(&self) -> Result<(), StoreError> {
        let Ok(found) = fs::read_dir(&self.crl_folder) else { return Ok(()) };
        let names = found.filter_map(Result::ok).filter_map(|it| it.file_name().into_string().ok());
        let numbered = names.filter_map(|it| number_of_a_list(&it).map(|number| (it, number)));
        let mut names: HashMap<String, CrlNumber> = numbered.collect();
        let largest = names.values().max().copied();
        if let Some(largest) = largest
            && let Some(last) = self.store.skip_crl_numbers(largest)?
        {
            tracing::error!(
                code = "crl-store-restored",
                last = last.0,
                found = largest.0,
                "the store knows fewer revocation lists than there are files: it was restored from \
                 a copy, and revocations since then may be missing in it"
            );
        }
        let kept = self.store.crl_numbers_skipped()?;
        names.retain(|_, number| kept.is_none_or(|kept| kept < *number));
        let mut before = None;
        while !names.is_empty() {
            let page = self.store.crls(before, ROWS_MAX)?;
            let Some(last) = page.last() else { break };
            before = Some(last.number);
            for record in &page {
                names.remove(&record.file_name());
            }
        }
        for name in names.into_keys() {
            let path = self.crl_folder.join(name);
            match fs::remove_file(&path) {
                Ok(()) => tracing::warn!(path = %path.display(), "an unfinished CRL was removed"),
                Err(err) => {
                    tracing::warn!(path = %path.display(), %err, "an unfinished CRL stays");
                }
            }
        }
        Ok(())
    }
}

/// Makes a folder that is there after a crash, too.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Where a list is written before it has its name.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("crl.tmp")
}

/// Number of the list whose file was named by [`exeunt_types::CrlRecord::file_name`], finished or not.
fn number_of_a_list(name: &str) -> Option<CrlNumber> {
    let stem = name.strip_suffix(UNFINISHED).or_else(|| name.strip_suffix(FINISHED))?;
    let parts: Vec<&str> = stem.split('-').collect();
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    let kinds = [CrlKind::Base, CrlKind::Delta].map(CrlKind::word);
    match parts.as_slice() {
        [number, key, part, kind]
            if [number, key, part].into_iter().all(|it| is_number(it)) && kinds.contains(kind) =>
        {
            number.parse().ok().filter(|it| *it <= NUMBER_MAX).map(CrlNumber)
        }
        _ => None,
    }
}

/// Writes what is read through it.
struct Copying<R> {
    from: R,
    to: File,
}

impl<R: Read> Read for Copying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buffer)?;
        self.to.write_all(&buffer[..len])?;
        Ok(len)
    }
}

/// One pass over the list writes it and hashes it.
fn write_whole(path: &Path, frame: &CrlFrame, tbs: &mut dyn Read) -> io::Result<(u64, [u8; 32])> {
    let whole = frame.head.chain(tbs).chain(&frame.tail[..]);
    let mut copying = Copying { from: whole, to: File::create(path)? };
    let hash = sha256_reader(&mut copying)?;
    let Copying { to: file, .. } = copying;
    file.sync_all()?;
    Ok((file.metadata()?.len(), hash))
}

fn failed(
    number: CrlNumber,
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> CrlError {
    let path = path.to_owned();
    move |source| CrlError::File { number: Some(number), action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_named_as_lists_are_taken_for_lists() {
        for (name, number) in
            [("1-0-0-base.crl", 1), ("42-3-7-delta.crl", 42), ("1-0-0-base.crl.tmp", 1)]
        {
            assert_eq!(number_of_a_list(name), Some(CrlNumber(number)), "{name}");
        }
        for name in [
            "root.crl",
            "1-0-0-base.crl.bak",
            "1-0-0-base",
            "1-0-base.crl",
            "1-0-0-full.crl",
            "x-0-0-base.crl",
            "-0-0-base.crl",
            "",
            "4294967296-0-0-base.crl",
            "99999999999999999999-0-0-base.crl",
        ] {
            assert_eq!(number_of_a_list(name), None, "{name}");
        }
    }
}
