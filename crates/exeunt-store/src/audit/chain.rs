//! The chain: each row's hash is over the hash of the row before it, so that nothing can be changed,
//! taken out, put in or moved without every later hash being another.
//!
//! What is hashed is written down in the manual, and a verifier of a few lines in another language is
//! part of the tests.

use aws_lc_rs::digest::{Context, SHA256};
use exeunt_types::{AuditCategories, AuditKind};
use rusqlite::{Connection, OptionalExtension as _};

use super::{AuditEntry, AuditRow, COLUMNS, read_row};
use crate::StoreError;
use crate::error::During as _;
use crate::reader::{corrupt, rows};
use crate::row::{read, read_unsigned, sql_int};

/// What the first hash begins with. The number at its end is the version of the encoding.
pub const AUDIT_CHAIN_TAG: &str = "exeunt audit chain 1";

/// The end of the chain: the last row's number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHead {
    /// Number of the last row; 0 where there is none.
    pub number: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl ChainHead {
    /// The chain of a store that has no row yet: SHA-256 of [`AUDIT_CHAIN_TAG`], a zero octet and the
    /// store's id, so that no row of one store fits another.
    #[must_use]
    pub fn start(store_id: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        hash.update(AUDIT_CHAIN_TAG.as_bytes());
        hash.update(&[0]);
        hash.update(store_id.as_bytes());
        Self { number: 0, hash: finish(hash) }
    }

    /// The hash that a row has as the next one: SHA-256 of the hash of this head, the row's number (8
    /// octets), time (8), event and second event (4 each), all big-endian; then actor, action, object
    /// and detail, each after its length (4); then what was before and after, each as a zero octet
    /// where there is nothing, or as a one, the length and the text.
    #[must_use]
    pub fn hash_of_next(&self, row: &AuditRow) -> [u8; 32] {
        self.hash_of(&row.entry, row.event, row.also)
    }

    fn hash_of(&self, entry: &AuditEntry, event: u32, also: u32) -> [u8; 32] {
        let AuditEntry { at, actor, action, object, detail, before, after } = entry;
        let mut octets = Vec::with_capacity(128 + actor.len() + object.len() + detail.len());
        octets.extend_from_slice(&self.hash);
        octets.extend_from_slice(&(self.number.wrapping_add(1)).to_be_bytes());
        octets.extend_from_slice(&at.0.to_be_bytes());
        octets.extend_from_slice(&event.to_be_bytes());
        octets.extend_from_slice(&also.to_be_bytes());
        let mut text = |text: &str| {
            // Every text has a limit far below that.
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            octets.extend_from_slice(&length.to_be_bytes());
            octets.extend_from_slice(text.as_bytes());
        };
        for it in [actor, action, object, detail] {
            text(it);
        }
        for state in [before, after] {
            match state {
                None => octets.push(0),
                Some(state) => {
                    octets.push(1);
                    let length = u32::try_from(state.len()).unwrap_or(u32::MAX);
                    octets.extend_from_slice(&length.to_be_bytes());
                    octets.extend_from_slice(state.as_bytes());
                }
            }
        }
        let mut hash = Context::new(&SHA256);
        hash.update(&octets);
        finish(hash)
    }

    /// The head after that entry.
    pub(crate) fn next(&self, entry: &AuditEntry, event: u32, also: u32) -> Self {
        Self { number: self.number + 1, hash: self.hash_of(entry, event, also) }
    }
}

fn finish(hash: Context) -> [u8; 32] {
    let digest = hash.finish();
    digest.as_ref().try_into().expect("BUG: SHA-256 gives 32 octets")
}

/// What the writer knows of the trail between two commits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trail {
    pub(crate) head: ChainHead,
    /// What is written at all.
    pub(crate) filter: AuditCategories,
}

/// The trail as it is in the file. Everything is written until somebody says otherwise.
pub(crate) fn read_trail(conn: &Connection, store_id: &str) -> Result<Trail, StoreError> {
    Ok(Trail { head: read_head(conn, store_id)?, filter: AuditCategories::ALL })
}

pub(crate) fn read_head(conn: &Connection, store_id: &str) -> Result<ChainHead, StoreError> {
    let sql = "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1";
    let found = conn
        .prepare_cached(sql)
        .and_then(|mut it| {
            it.query_row([], |row| Ok((read_unsigned(row, 0), read::<Option<Vec<u8>>>(row, 1))))
                .optional()
        })
        .during("reading the end of the audit trail")?;
    let Some((number, hash)) = found else { return Ok(ChainHead::start(store_id)) };
    let number = number.map_err(corrupt("the last row of the audit trail"))?;
    let hash = hash.ok().flatten().and_then(|it| it.try_into().ok());
    let what = || format!("row {number} of the audit trail has no hash");
    Ok(ChainHead { number, hash: hash.ok_or_else(|| StoreError::Damaged { what: what() })? })
}

/// Links the rows of older versions into a chain, oldest first; a step of the migration.
pub(crate) fn link_older_rows(conn: &Connection) -> Result<(), StoreError> {
    let action = "linking the audit trail";
    let store_id = conn
        .query_row("SELECT store_id FROM meta WHERE id = 1", [], |row| row.get::<_, String>(0))
        .optional()
        .during(action)?;
    // A file that is just being made.
    let Some(store_id) = store_id else { return Ok(()) };
    let mut head = ChainHead::start(&store_id);
    loop {
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE id > ?1 ORDER BY id LIMIT 1024");
        let page = rows(conn, action, &sql, [sql_int(head.number)], read_row)?;
        if page.is_empty() {
            return Ok(());
        }
        for row in page {
            let row = row.map_err(corrupt("a row of the audit trail"))?;
            let event = AuditKind::of(&row.entry.action).event;
            head = head.next(&row.entry, event, 0);
            // Nothing was ever deleted, so the numbers are without gaps; were they not, the row gets
            // its place in the chain here.
            let sql = "UPDATE audit SET id = ?2, event = ?3, hash = ?4 WHERE id = ?1";
            let params = (sql_int(row.id), sql_int(head.number), event, head.hash);
            conn.prepare_cached(sql).and_then(|mut it| it.execute(params)).during(action)?;
        }
    }
}
