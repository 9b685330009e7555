//! What goes into the same commit as a step of a request: who asked, approvals, notes for the audit
//! trail, limits of issuance, flags of the template. And reading it back.

use std::time::Duration;

use exeunt_types::{
    Approval, ArchivedKey, Asker, AuditNote, NewKey, RateLimit, RequestId, Roles, TemplateFlags,
    UnixMillis,
};
use rusqlite::{Connection, OptionalExtension as _};

use crate::archived_key;
use crate::audit::{AuditEntry, write_entry};
use crate::error::During as _;
use crate::idempotency;
use crate::reader::{corrupt, rows};
use crate::row::{read, read_time, sql_int};
use crate::writer::Tx;
use crate::{Store, StoreError};

/// How long a certificate counts against limits of issuance at most: 366 days, the longest window that a
/// template may have.
const RATE_KEPT: Duration = Duration::from_hours(24 * 366);

/// What goes into the same commit as a step of a request. Nothing of it, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Along {
    /// Who asked, where the request may be taken up again.
    pub asker: Option<Asker>,
    /// An approval that the step follows from.
    pub approval: Option<Approval>,
    /// For the audit trail, about the request.
    pub notes: Vec<AuditNote>,
    /// Limits that the certificate counts against, and the moment it counts from.
    pub limits: Vec<(RateLimit, UnixMillis)>,
    /// Flags of the template of the certificate.
    pub flags: Option<TemplateFlags>,
    /// The private key that came with the request, and when it is archived.
    pub archived_key: Option<(ArchivedKey, UnixMillis)>,
    /// The key by which the client may repeat the submission.
    pub key: Option<NewKey>,
}

impl Along {
    /// Writes all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::KeyTaken`], [`StoreError::RateLimited`], [`StoreError::ApprovedAlready`].
    pub(crate) fn write(&self, tx: &mut Tx<'_>, request: RequestId) -> Result<(), StoreError> {
        let Self { asker, approval, notes, limits, flags, archived_key, key } = self;
        // First of all: who comes again is told so, whatever else there is.
        if let Some(key) = key {
            idempotency::write(tx, request, key)?;
        }
        if let Some(asker) = asker {
            write_asker(tx, request, asker)?;
        }
        if let Some(approval) = approval {
            write_approval(tx, request, approval)?;
        }
        for (limit, now) in limits {
            if let Some(again) = again(tx.conn(), limit, *now)? {
                let RateLimit { scope, certificates, window: _ } = limit.clone();
                return Err(StoreError::RateLimited { scope, certificates, again });
            }
        }
        for (position, (limit, now)) in limits.iter().enumerate() {
            let of_scope = |it: &&(RateLimit, UnixMillis)| it.0.scope == limit.scope;
            if limits[..position].iter().any(|it| of_scope(&it)) {
                continue;
            }
            let longest = limits.iter().filter(of_scope).map(|it| it.0.window).max();
            let since = window_start(*now, longest.unwrap_or(limit.window));
            let action = "counting against a limit";
            let sql = "DELETE FROM rate_use WHERE scope = ?1 AND at <= ?2";
            tx.execute(action, sql, (&limit.scope, since))?;
            let sql = "INSERT INTO rate_use (scope, at, request) VALUES (?1, ?2, ?3)";
            tx.execute(action, sql, (&limit.scope, now.0, sql_int(request.0)))?;
        }
        if let Some(TemplateFlags { enrollment, general, private_key }) = flags {
            // A request that is processed again has had its turn before.
            tx.execute(
                "writing the flags of a template",
                "INSERT OR REPLACE INTO template_flags (request, enrollment, general, private_key)
                 VALUES (?1, ?2, ?3, ?4)",
                (sql_int(request.0), enrollment, general, private_key),
            )?;
        }
        if let Some((key, at)) = archived_key {
            archived_key::write(tx, request, key, *at)?;
        }
        for AuditNote { at, actor, action, detail } in notes {
            let object = format!("request:{request}");
            let entry = AuditEntry::new(*at, actor.clone(), action.clone(), object);
            write_entry(tx, &entry.detail(detail.clone()))?;
        }
        Ok(())
    }
}

/// What was counted for a certificate that was not made.
pub(crate) fn give_back(tx: &Tx<'_>, request: RequestId) -> Result<(), StoreError> {
    let sql = "DELETE FROM rate_use WHERE request = ?1";
    tx.execute("counting against a limit", sql, [sql_int(request.0)]).map(|_| ())
}

/// What counts against no limit any more, whoever comes back or not.
pub(crate) fn forget_old_uses(tx: &Tx<'_>, now: UnixMillis) -> Result<(), StoreError> {
    let sql = "DELETE FROM rate_use WHERE at <= ?1";
    let since = window_start(now, RATE_KEPT);
    tx.execute("counting against a limit", sql, [since]).map(|_| ())
}

/// Approvals end where what was approved is not what it was.
pub(crate) fn forget_approvals(tx: &Tx<'_>, request: RequestId) -> Result<(), StoreError> {
    let sql = "DELETE FROM approval WHERE request = ?1";
    tx.execute("forgetting approvals", sql, [sql_int(request.0)]).map(|_| ())
}

/// Who approved a request, the first one first.
pub(crate) fn approvals(
    conn: &Connection,
    request: RequestId,
) -> Result<Vec<Approval>, StoreError> {
    let action = "reading approvals";
    let sql = "SELECT manager, at FROM approval WHERE request = ?1 ORDER BY at, manager";
    let found = rows(conn, action, sql, [sql_int(request.0)], |row| {
        Ok(Approval { manager: read(row, 0)?, at: read_time(row, 1)? })
    })?;
    let found: Result<Vec<_>, _> = found.into_iter().collect();
    found.map_err(corrupt(format!("approvals of request {request}")))
}

impl Store {
    /// Who has approved a request that waits, the first one first.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn approvals(&self, request: RequestId) -> Result<Vec<Approval>, StoreError> {
        self.inner.readers.read("reading approvals", |conn| approvals(conn, request))
    }

    /// Who asked for a request that waits or was refused, where that was noted.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn asker(&self, request: RequestId) -> Result<Option<Asker>, StoreError> {
        let action = "reading who asked";
        let sql = "SELECT door, roles, groups FROM asker WHERE request = ?1";
        let found = self.inner.readers.read(action, |conn| {
            conn.prepare_cached(sql)
                .and_then(|mut it| {
                    it.query_row([sql_int(request.0)], |row| {
                        Ok((row.get(0)?, row.get::<_, u16>(1)?, row.get::<_, String>(2)?))
                    })
                    .optional()
                })
                .during(action)
        })?;
        Ok(found.map(|(door, roles, groups)| Asker {
            door,
            roles: roles_of(roles),
            groups: groups.lines().map(str::to_owned).collect(),
        }))
    }

    /// When there will be room under a limit of issuance; none where there is room now.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn rate_again(
        &self,
        limit: &RateLimit,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, StoreError> {
        self.inner.readers.read("reading a limit", |conn| again(conn, limit, now))
    }
}

fn roles_of(bits: u16) -> Roles {
    let of_bits = Roles::NAMES.into_iter().map(|(_, it)| it).filter(|it| bits & it.bits() != 0);
    of_bits.fold(Roles::NONE, |all, it| all | it)
}

/// The last moment that does not count any more.
fn window_start(now: UnixMillis, window: Duration) -> i64 {
    now.0.saturating_sub(i64::try_from(window.as_millis()).unwrap_or(i64::MAX))
}

/// When the oldest of as many certificates as are allowed leaves the window; none where there are fewer.
/// What was counted at a later time than now, before a clock was put back, counts.
fn again(
    conn: &Connection,
    limit: &RateLimit,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, StoreError> {
    let RateLimit { scope, certificates, window } = limit;
    let action = "counting against a limit";
    let sql = "SELECT at FROM rate_use WHERE scope = ?1 AND ?2 < at
               ORDER BY at DESC LIMIT 1 OFFSET ?3";
    let offset = i64::from(certificates.saturating_sub(1));
    let params = (scope, window_start(now, *window), offset);
    let oldest = conn
        .prepare_cached(sql)
        .and_then(|mut it| it.query_row(params, |row| row.get::<_, i64>(0)).optional())
        .during(action)?;
    let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
    Ok(oldest.map(|at| UnixMillis(at.saturating_add(window))))
}

fn write_asker(tx: &Tx<'_>, request: RequestId, asker: &Asker) -> Result<(), StoreError> {
    let Asker { door, roles, groups } = asker;
    tx.execute(
        "writing who asked",
        "INSERT OR IGNORE INTO asker (request, door, roles, groups) VALUES (?1, ?2, ?3, ?4)",
        (sql_int(request.0), door, roles.bits(), groups.join("\n")),
    )?;
    Ok(())
}

fn write_approval(tx: &Tx<'_>, request: RequestId, approval: &Approval) -> Result<(), StoreError> {
    let Approval { manager, at } = approval;
    let inserted = tx.execute(
        "writing an approval",
        "INSERT INTO approval (request, manager, at) VALUES (?1, ?2, ?3)
         ON CONFLICT (request, manager) DO NOTHING",
        (sql_int(request.0), manager, at.0),
    )?;
    if inserted == 1 {
        Ok(())
    } else {
        Err(StoreError::ApprovedAlready { request, manager: manager.clone() })
    }
}
