//! The CA's revocation lists, as modules read them under context 0: those that hold now, also for an
//! event that is told late, so that nobody publishes an old list over a new one.

use std::fs;
use std::io;
use std::path::PathBuf;

use exeunt_module::{Properties, Value};
use exeunt_store::Store;
use exeunt_types::{CrlKind, CrlRecord};

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
}

impl Lists {
    /// Adds what can be read of the newest base and delta. What cannot be read is left out, and the
    /// log says why.
    pub(super) fn push(&self, properties: &mut Properties) {
        let current = match self.store.current_crls() {
            Ok(current) => current,
            Err(err) => {
                tracing::warn!(%err, "revocation lists cannot be looked up, told without");
                return;
            }
        };
        // A CA has one key so far, and whole lists.
        for record in current.iter().filter(|it| it.line.partition == 0 && it.line.key_index == 0) {
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
