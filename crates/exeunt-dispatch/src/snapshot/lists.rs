//! The CA's revocation lists, as modules read them under context 0: those that hold now, also for an
//! event that is told late, so that nobody publishes an old list over a new one.

use std::fs;
use std::io;
use std::path::PathBuf;

use exeunt_module::{Properties, Value};
use exeunt_store::Store;
use exeunt_types::{CrlKind, CrlLine, CrlRecord, UnixMillis};

/// Largest list that is handed over in a message, in octets. In base64 it leaves room in a line
/// (`exeunt_module::LINE_BYTES_MAX`) for the rest of an event; a larger one is read from its file.
const RAW_OCTETS_MAX: u64 = 1024 * 1024;

const NAMES: [&str; 4] = ["RawCRL", "CRLFile", "RawDeltaCRL", "DeltaCRLFile"];

/// Where the lists are found.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    pub(super) store: Store,
    /// Folder of their files.
    pub(super) folder: PathBuf,
    /// Whether delta lists are made.
    pub(super) deltas: bool,
}

impl Lists {
    /// Adds what can be read of the newest base and delta. What cannot be read is left out, and the
    /// log says why.
    pub(super) fn push(&self, properties: &mut Properties, now: UnixMillis) {
        let current = match self.store.current_crls() {
            Ok(current) => current,
            Err(err) => {
                tracing::warn!(%err, "revocation lists cannot be looked up, told without");
                return;
            }
        };
        for record in current.iter().filter(|it| self.counts(it, now)) {
            let (raw, file) = match record.line.kind {
                CrlKind::Base => ("RawCRL", "CRLFile"),
                CrlKind::Delta => ("RawDeltaCRL", "DeltaCRLFile"),
            };
            let path = self.folder.join(record.file_name());
            match self.read(record) {
                Ok(Some(octets)) => properties.push(raw, Value::Binary(octets)),
                Ok(None) => (),
                Err(err) => {
                    tracing::warn!(path = %path.display(), %err, "a revocation list cannot be read");
                    continue;
                }
            }
            properties.push(file, Value::String(path.to_string_lossy().into_owned()));
        }
    }

    /// Whether a list is handed out.
    fn counts(&self, record: &CrlRecord, now: UnixMillis) -> bool {
        let CrlLine { kind, key_index, partition } = record.line;
        // The last delta holds out its time after deltas were turned off. Then nothing follows it,
        // while a list that is only late is better than none.
        let is_dead = kind == CrlKind::Delta && !self.deltas && record.next_update < now;
        // A CA has one key so far, and whole lists.
        !is_dead && partition == 0 && key_index == 0
    }

    /// Whether a name is one of those that [`Self::push`] adds.
    pub(super) fn has(name: &str) -> bool {
        let plain = name.split('.').next().unwrap_or_default();
        NAMES.iter().any(|it| it.eq_ignore_ascii_case(plain))
    }

    /// The list, if it is small enough for a message.
    fn read(&self, record: &CrlRecord) -> io::Result<Option<Vec<u8>>> {
        if RAW_OCTETS_MAX < record.length {
            return Ok(None);
        }
        fs::read(self.folder.join(record.file_name())).map(Some)
    }
}
