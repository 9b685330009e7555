//! What officers do to a request that waits, and that its certificate is fetched after they did.

use exeunt_types::{
    Disposition, EventKind, EventSeq, OfficerExtension, RequestId, StatusCode, UnixMillis,
};
use rusqlite::OptionalExtension as _;

use crate::along::forget_approvals;
use crate::audit::{AuditEntry, write_entry};
use crate::current::Current;
use crate::error::During as _;
use crate::journey::end;
use crate::reader::corrupt;
use crate::row::{
    decode_attributes, decode_extensions, encode_attributes, encode_extensions, read, sql_int,
};
use crate::writer::Tx;
use crate::{Store, StoreError};

const PENDING: &[Disposition] = &[Disposition::Pending];

impl Store {
    /// Refuses a request that waits: its state, the event and the audit entry in one commit.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRequest`], [`StoreError::WrongState`]. Nothing was written.
    pub fn deny(
        &self,
        request: RequestId,
        message: String,
        status: StatusCode,
        at: UnixMillis,
        by: AuditEntry,
    ) -> Result<EventSeq, StoreError> {
        self.write(move |tx| {
            let was = Current::read_in(tx, request, PENDING)?;
            let state = (Disposition::Denied, status, message.as_str());
            let seq = end(tx, request, was.disposition, EventKind::CERT_DENIED, state, at)?;
            forget_approvals(tx, request)?;
            write_entry(tx, &by)?;
            Ok(seq)
        })
    }

    /// Sets attributes of a request that waits: those of the same name, in any case, get the new
    /// value, the others are added. Events of before still show what was there then; approvals of what
    /// was there then are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRequest`], [`StoreError::WrongState`]. Nothing was written.
    pub fn set_attributes(
        &self,
        request: RequestId,
        attributes: Vec<(String, String)>,
        by: AuditEntry,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            let mut amended = Amended::read_pending(tx, request)?;
            for (name, value) in &attributes {
                let same = |it: &&mut (String, String)| it.0.eq_ignore_ascii_case(name);
                match amended.attributes.iter_mut().find(same) {
                    Some((_, old)) => old.clone_from(value),
                    None => amended.attributes.push((name.clone(), value.clone())),
                }
            }
            amended.write(tx, request)?;
            forget_approvals(tx, request)?;
            write_entry(tx, &by)?;
            Ok(())
        })
    }

    /// Sets an extension of a request that waits, in place of the one that an officer set under the
    /// same object identifier before. Events of before still show what was there then; approvals of
    /// what was there then are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRequest`], [`StoreError::WrongState`]. Nothing was written.
    pub fn set_extension(
        &self,
        request: RequestId,
        extension: OfficerExtension,
        by: AuditEntry,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            let mut amended = Amended::read_pending(tx, request)?;
            match amended.extensions.iter_mut().find(|it| it.oid == extension.oid) {
                Some(old) => old.clone_from(&extension),
                None => amended.extensions.push(extension.clone()),
            }
            amended.write(tx, request)?;
            forget_approvals(tx, request)?;
            write_entry(tx, &by)?;
            Ok(())
        })
    }

    /// Notes that a certificate is fetched: an event, each time, if its request ever waited for an
    /// officer and is issued now. For all others nothing is written.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRequest`]. Nothing was written.
    pub fn retrieve(
        &self,
        request: RequestId,
        at: UnixMillis,
    ) -> Result<Option<EventSeq>, StoreError> {
        let action = "reading a request";
        let sql = "SELECT pended = 1 AND disposition = 20 FROM request WHERE id = ?1";
        let tells = self.inner.readers.read(action, |conn| {
            conn.prepare_cached(sql)
                .and_then(|mut it| it.query_row([sql_int(request.0)], |row| row.get(0)).optional())
                .during(action)
        })?;
        match tells {
            None => return Err(StoreError::NoRequest(request)),
            Some(false) => return Ok(None),
            Some(true) => (),
        }
        self.write(move |tx| {
            let current = Current::read(tx, request)?;
            if !current.pended || current.disposition != Disposition::Issued {
                return Ok(None);
            }
            tx.append(EventKind::CERT_RETRIEVE_PENDING, at, Some(current.about()), None).map(Some)
        })
    }
}

/// What officers may change of a request, as it is now.
pub(crate) struct Amended {
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) extensions: Vec<OfficerExtension>,
    pub(crate) template: String,
}

impl Amended {
    /// That of a request that waits.
    fn read_pending(tx: &Tx<'_>, request: RequestId) -> Result<Self, StoreError> {
        Current::read_in(tx, request, PENDING)?;
        Self::read(tx, request)
    }

    pub(crate) fn read(tx: &Tx<'_>, request: RequestId) -> Result<Self, StoreError> {
        let sql = "SELECT ifnull(amendment.attributes, request.attributes),
                          ifnull(amendment.extensions, ''), request.template
                   FROM request LEFT JOIN amendment ON amendment.request = request.id
                   WHERE request.id = ?1 ORDER BY amendment.after DESC LIMIT 1";
        let found = tx.query_one("reading a request", sql, [sql_int(request.0)], |row| {
            let amended = || {
                Ok(Self {
                    attributes: decode_attributes(&read::<String>(row, 0)?)?,
                    extensions: decode_extensions(&read::<String>(row, 1)?)?,
                    template: read(row, 2)?,
                })
            };
            Ok(amended())
        })?;
        let found = found.ok_or(StoreError::NoRequest(request))?;
        found.map_err(corrupt(format!("request {request}")))
    }

    pub(crate) fn write(&self, tx: &Tx<'_>, request: RequestId) -> Result<(), StoreError> {
        tx.execute(
            "amending a request",
            "INSERT OR REPLACE INTO amendment (request, after, attributes, extensions, template)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                sql_int(request.0),
                sql_int(tx.head().0),
                encode_attributes(&self.attributes),
                encode_extensions(&self.extensions),
                &self.template,
            ),
        )?;
        Ok(())
    }
}
