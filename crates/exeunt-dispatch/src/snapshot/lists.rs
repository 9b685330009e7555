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

/// Octets of all lists together that are handed over in one message.
const RAW_OCTETS_TOGETHER_MAX: u64 = 2 * RAW_OCTETS_MAX;

const NAMES: [&str; 5] = ["RawCRL", "CRLFile", "RawDeltaCRL", "DeltaCRLFile", "CRLPartitionFiles"];

/// Where the lists are found.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    pub(super) store: Store,
    /// Folder of their files.
    pub(super) folder: PathBuf,
    /// Whether delta lists are made.
    pub(super) deltas: bool,
    /// Each key, and how the names of properties about its lists end; the newest one first.
    pub(super) owners: Vec<(u16, String)>,
}

impl Lists {
    /// Adds what can be read of the newest base and delta of each key, and where the parts are. What
    /// cannot be read is left out, and the log says why.
    pub(super) fn push(&self, properties: &mut Properties, now: UnixMillis) {
        let current = match self.store.current_crls() {
            Ok(current) => current,
            Err(err) => {
                tracing::warn!(%err, "revocation lists cannot be looked up, told without");
                return;
            }
        };
        let mut room = RAW_OCTETS_TOGETHER_MAX;
        for (key, ending) in &self.owners {
            let whole = |it: &&CrlRecord| (it.line.key_index, it.line.partition) == (*key, 0);
            for record in current.iter().filter(whole).filter(|it| self.counts(it, now)) {
                self.push_list(properties, record, ending, &mut room);
            }
        }
        let parts = current.iter().filter(|it| it.line.partition != 0 && self.counts(it, now));
        let paths = parts.map(|it| self.folder.join(it.file_name()).to_string_lossy().into_owned());
        let paths: Vec<String> = paths.collect();
        if !paths.is_empty() {
            properties.push("CRLPartitionFiles", Value::String(paths.join("\n")));
        }
    }

    fn push_list(
        &self,
        properties: &mut Properties,
        record: &CrlRecord,
        ending: &str,
        room: &mut u64,
    ) {
        let (raw, file) = match record.line.kind {
            CrlKind::Base => ("RawCRL", "CRLFile"),
            CrlKind::Delta => ("RawDeltaCRL", "DeltaCRLFile"),
        };
        let path = self.folder.join(record.file_name());
        match self.read(record, *room) {
            Ok(Some(octets)) => {
                *room -= record.length;
                properties.push(format!("{raw}{ending}"), Value::Binary(octets));
            }
            Ok(None) => (),
            Err(err) => {
                tracing::warn!(path = %path.display(), %err, "a revocation list cannot be read");
                return;
            }
        }
        let path = path.to_string_lossy().into_owned();
        properties.push(format!("{file}{ending}"), Value::String(path));
    }

    /// Whether a list is handed out.
    fn counts(&self, record: &CrlRecord, now: UnixMillis) -> bool {
        // The last delta holds out its time after deltas were turned off. Then nothing follows it,
        // while a list that is only late is better than none.
        let CrlLine { kind, .. } = record.line;
        kind == CrlKind::Base || self.deltas || now <= record.next_update
    }

    /// Whether a name is one of those that [`Self::push`] adds.
    pub(super) fn has(name: &str) -> bool {
        let plain = name.split('.').next().unwrap_or_default();
        NAMES.iter().any(|it| it.eq_ignore_ascii_case(plain))
    }

    /// The list, if it is small enough for a message with so much room.
    fn read(&self, record: &CrlRecord, room: u64) -> io::Result<Option<Vec<u8>>> {
        if RAW_OCTETS_MAX.min(room) < record.length {
            return Ok(None);
        }
        fs::read(self.folder.join(record.file_name())).map(Some)
    }
}
