//! A request's row as a transition finds it: what it may begin from, and what its event repeats.

use exeunt_types::{Disposition, RequestId, Revocation, StatusCode};

use crate::StoreError;
use crate::reader::corrupt;
use crate::row::{read, read_code, read_revocation, sql_int};
use crate::writer::{About, Tx};

/// The part of a request that changes.
pub(crate) struct Current {
    pub(crate) request: RequestId,
    pub(crate) disposition: Disposition,
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    pub(crate) template: String,
    /// Whether it ever waited for an officer.
    pub(crate) pended: bool,
    pub(crate) revocation: Option<Revocation>,
}

impl Current {
    pub(crate) fn read(tx: &Tx<'_>, request: RequestId) -> Result<Self, StoreError> {
        let sql = "SELECT disposition, status, message, template, pended, reason, ran, effective
                   FROM request LEFT JOIN revocation ON revocation.request = request.id
                   WHERE request.id = ?1";
        let found = tx.query_one("reading a request", sql, [sql_int(request.0)], |row| {
            let current = || {
                Ok(Self {
                    request,
                    disposition: read_code(row, 0, Disposition::from_code, "disposition")?,
                    status: StatusCode(read(row, 1)?),
                    message: read(row, 2)?,
                    template: read(row, 3)?,
                    pended: read(row, 4)?,
                    revocation: read_revocation(row, 5)?,
                })
            };
            Ok(current())
        })?;
        let found = found.ok_or(StoreError::NoRequest(request))?;
        found.map_err(corrupt(format!("request {request}")))
    }

    /// The same, of a request that must be in one of these states.
    pub(crate) fn read_in(
        tx: &Tx<'_>,
        request: RequestId,
        states: &[Disposition],
    ) -> Result<Self, StoreError> {
        let current = Self::read(tx, request)?;
        if states.contains(&current.disposition) { Ok(current) } else { Err(current.wrong_state()) }
    }

    pub(crate) fn wrong_state(&self) -> StoreError {
        StoreError::WrongState { request: self.request, disposition: self.disposition }
    }

    /// For an event that changes nothing.
    pub(crate) fn about(&self) -> About<'_> {
        let Self { request, disposition, status, revocation, .. } = *self;
        About { request, disposition, status, message: &self.message, revocation }
    }
}
