//! The CA's own certificates, as far as the store knows them: which there have been, so that a start
//! with others is noticed, and the cross certificates between its keys.

use exeunt_types::{EventKind, RequestId, UnixMillis};
use rusqlite::Row;

use crate::audit::{AuditEntry, write_entry};
use crate::log::detail_text;
use crate::reader::{corrupt, rows};
use crate::row::{Why, read, read_id, read_unsigned, sql_int};
use crate::{Store, StoreError};

/// A certificate of the CA that the store is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCaCertificate {
    /// Its index: how many the store knew before.
    pub index: u16,
    /// SHA-256 of its DER.
    pub sha256: [u8; 32],
    /// What the event says that tells of it, as of [`Store::append_event`]; no event without.
    pub tell: Option<Vec<(String, String)>>,
    /// Who did what.
    pub by: AuditEntry,
}

/// A cross certificate: one key of the CA vouches for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrossRow {
    /// Index of the CA certificate whose key signed it.
    pub signer: u16,
    /// Index of the CA certificate whose key it is for.
    pub subject: u16,
    /// The request under whose number the certificate is.
    pub request: RequestId,
}

impl Store {
    /// SHA-256 of each of the CA's certificates that the store knows, by index.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read, or is missing in between.
    pub fn ca_certificates(&self) -> Result<Vec<[u8; 32]>, StoreError> {
        let action = "reading the CA's certificates";
        let sql = "SELECT ca_index, sha256 FROM ca_certificate ORDER BY ca_index";
        let found =
            self.inner.readers.read(action, |conn| rows(conn, action, sql, [], read_known))?;
        let hashes: Result<Vec<_>, Why> =
            (0..).zip(found).map(|(at, it)| in_order(at, it)).collect();
        hashes.map_err(corrupt("a certificate of the CA"))
    }

    /// Writes down that the CA has new certificates, each with its event and audit entry, all in one
    /// commit.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn add_ca_certificates(
        &self,
        new: Vec<NewCaCertificate>,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            for NewCaCertificate { index, sha256, tell, by } in &new {
                let sql =
                    "INSERT INTO ca_certificate (ca_index, sha256, since) VALUES (?1, ?2, ?3)";
                tx.execute("recording the CA's certificate", sql, (index, &sha256[..], at.0))?;
                if let Some(detail) = tell {
                    let detail = detail_text(detail);
                    tx.append(EventKind::CA_CERT_ISSUED, at, None, detail.as_deref())?;
                }
                write_entry(tx, by)?;
            }
            Ok(())
        })
    }

    /// The cross certificates, by signer and subject.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read.
    pub fn ca_cross_certificates(&self) -> Result<Vec<CrossRow>, StoreError> {
        let action = "reading the CA's cross certificates";
        let sql = "SELECT signer, subject, request FROM ca_cross ORDER BY signer, subject";
        let found =
            self.inner.readers.read(action, |conn| rows(conn, action, sql, [], read_cross))?;
        let crosses: Result<Vec<_>, Why> = found.into_iter().collect();
        crosses.map_err(corrupt("a cross certificate"))
    }

    /// Notes under which request a cross certificate is; in place of an earlier one of the same keys.
    ///
    /// # Errors
    ///
    /// Nothing was written.
    pub fn add_ca_cross_certificate(&self, row: CrossRow) -> Result<(), StoreError> {
        self.write(move |tx| {
            let CrossRow { signer, subject, request } = row;
            let sql = "INSERT OR REPLACE INTO ca_cross (signer, subject, request)
                       VALUES (?1, ?2, ?3)";
            tx.execute("recording a cross certificate", sql, (signer, subject, sql_int(request.0)))
        })?;
        Ok(())
    }
}

fn read_known(row: &Row<'_>) -> Result<(u64, [u8; 32]), Why> {
    let hash: Vec<u8> = read(row, 1)?;
    let hash = hash.try_into().map_err(|_| "its hash has not 32 octets".to_owned())?;
    Ok((read_unsigned(row, 0)?, hash))
}

fn in_order(at: u64, found: Result<(u64, [u8; 32]), Why>) -> Result<[u8; 32], Why> {
    match found? {
        (index, hash) if index == at => Ok(hash),
        _ => Err(format!("the one with index {at} is missing")),
    }
}

fn read_cross(row: &Row<'_>) -> Result<CrossRow, Why> {
    let index = |at| {
        u16::try_from(read_unsigned(row, at)?).map_err(|_| "an index is above 65535".to_owned())
    };
    Ok(CrossRow { signer: index(0)?, subject: index(1)?, request: read_id(row, 2)? })
}
