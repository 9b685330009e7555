//! What a maker of revocation lists reads, row by row.

use exeunt_types::{CrlNumber, RevokedCertificate, UnixMillis};
use rusqlite::{Connection, Params, Row};

use crate::error::During as _;
use crate::reader::corrupt;
use crate::row::{Why, read, read_id, read_revocation, read_serial, sql_int};
use crate::{Store, StoreError};

const ACTION: &str = "reading revocations";

/// Columns of all: request, serial, reason, ran, effective, end of validity, whether it stays after it.
const REVOKED_NOW: &str = "SELECT revocation.request, serial, reason, ran, effective, not_after,
            publish_expired
     FROM revocation LEFT JOIN request_extra ON request_extra.request = revocation.request
     WHERE ca_key = ?1 AND crl_partition = ?2 AND revoked = 1
     ORDER BY revocation.request";
/// The same of a part other than 0, which an index finds.
const REVOKED_NOW_OF_PART: &str = "SELECT revocation.request, serial, reason, ran, effective,
            not_after, publish_expired
     FROM revocation LEFT JOIN request_extra ON request_extra.request = revocation.request
     WHERE ca_key = ?1 AND crl_partition = ?2 AND crl_partition > 0 AND revoked = 1
     ORDER BY revocation.request";
const RAN_SINCE: &str = "SELECT revocation.request, serial, reason, ran, effective, not_after,
            publish_expired
     FROM revocation LEFT JOIN request_extra ON request_extra.request = revocation.request
     WHERE ca_key = ?1 AND crl_partition = ?2 AND ran >= ?3
     ORDER BY ran, revocation.request";
const EFFECTIVE_SINCE: &str =
    "SELECT revocation.request, serial, reason, ran, effective, not_after,
            publish_expired
     FROM revocation LEFT JOIN request_extra ON request_extra.request = revocation.request
     WHERE ca_key = ?1 AND crl_partition = ?2 AND effective >= ?3 AND ran < ?3
     ORDER BY effective, revocation.request";
const TOLD_SINCE: &str = "SELECT revocation.request, serial, reason, ran, effective, not_after,
            publish_expired
     FROM revocation LEFT JOIN request_extra ON request_extra.request = revocation.request
     WHERE ca_key = ?1 AND crl_partition = ?2 AND effective < ?3 AND ran < ?3
       AND event > (SELECT after FROM crl WHERE kind = 0 AND key_index = ?1
                                            AND crl_partition = ?2 AND number = ?4)
     ORDER BY event";
const ABANDONED: &str = "SELECT request, serial, 0, at, at, not_after, 0 FROM abandoned_serial
     WHERE ca_key = ?1 AND crl_partition = ?2
       AND (at >= ?3 OR after >= (SELECT after FROM crl WHERE kind = 0 AND key_index = ?1
                                                          AND crl_partition = ?2 AND number = ?4))
     ORDER BY serial";

/// What a delta list builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// The moment from which on it tells what changed.
    pub at: UnixMillis,
    /// Its base. What changed after that was made is told in any case: the clock may have been put
    /// back since. If it is not on record, there is nothing after it.
    pub base: CrlNumber,
}

impl Store {
    /// Has `read` look at the revocations as often as it likes, all of the same moment: whoever
    /// writes a list in two passes, or several lists, reads the same each time.
    ///
    /// It holds one of [`crate::READERS_MAX`] readers until it returns.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn read_revoked<T>(
        &self,
        read: impl FnOnce(&RevokedView<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.inner.readers.read(ACTION, |conn| read(&RevokedView { conn }))
    }
}

/// The revocations at one moment.
pub struct RevokedView<'a> {
    conn: &'a Connection,
}

impl RevokedView<'_> {
    /// Calls `each` for the revoked certificates of a CA key and a part of its lists, until it
    /// answers `false`. One is in memory at a time.
    ///
    /// Without `since`: those that are revoked now, in the order of their requests, also where the
    /// revocation counts from a later time on. With it, what has changed since then: those whose
    /// command ran then or later, released ones too, in the order of that time; those whose command
    /// had run before and which count from then on or later; and of the others those of which the
    /// log tells after the base. Serial numbers that were given up follow, revoked without a reason
    /// when that happened.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when one cannot be read: a list without it would be wrong.
    pub fn revoked(
        &self,
        key_index: u16,
        partition: u32,
        since: Option<Since>,
        each: &mut dyn FnMut(RevokedCertificate) -> bool,
    ) -> Result<(), StoreError> {
        let goes_on = match since {
            None => {
                let sql = if partition == 0 { REVOKED_NOW } else { REVOKED_NOW_OF_PART };
                self.stream(sql, (key_index, partition), each)?
            }
            Some(Since { at, base }) => {
                let params = (key_index, partition, at.0);
                let told = (key_index, partition, at.0, sql_int(base.0));
                self.stream(RAN_SINCE, params, each)?
                    && self.stream(EFFECTIVE_SINCE, params, each)?
                    && self.stream(TOLD_SINCE, told, each)?
            }
        };
        if goes_on {
            let (at, base) = since.map_or((i64::MIN, 0), |it| (it.at.0, sql_int(it.base.0)));
            self.stream(ABANDONED, (key_index, partition, at, base), each)?;
        }
        Ok(())
    }

    /// Whether to go on.
    fn stream(
        &self,
        sql: &str,
        params: impl Params,
        each: &mut dyn FnMut(RevokedCertificate) -> bool,
    ) -> Result<bool, StoreError> {
        let mut statement = self.conn.prepare_cached(sql).during(ACTION)?;
        let mut rows = statement.query(params).during(ACTION)?;
        while let Some(row) = rows.next().during(ACTION)? {
            let revoked = read_revoked(row).map_err(|why| name_row(row, why))?;
            if !each(revoked) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl std::fmt::Debug for RevokedView<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("RevokedView")
    }
}

fn read_revoked(row: &Row<'_>) -> Result<RevokedCertificate, Why> {
    Ok(RevokedCertificate {
        request: read_id(row, 0)?,
        serial: read_serial(row, 1)?,
        revocation: read_revocation(row, 2)?.ok_or("it has no reason")?,
        not_after: read::<Option<i64>>(row, 5)?.map(UnixMillis),
        publish_expired: read::<Option<bool>>(row, 6)?.unwrap_or_default(),
    })
}

fn name_row(row: &Row<'_>, why: Why) -> StoreError {
    let name = read_id(row, 0).map_or_else(|_| "?".to_owned(), |id| id.to_string());
    corrupt(format!("revocation of request {name}"))(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sql: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Store::create(&path, [0; 8], UnixMillis(0)).unwrap();
        let conn = Connection::open(&path).unwrap();
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        for at in 1..=statement.parameter_count() {
            statement.raw_bind_parameter(at, 0).unwrap();
        }
        let mut rows = statement.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get(3).unwrap());
        }
        steps
    }

    #[test]
    fn nothing_is_sorted_so_that_memory_does_not_grow_with_the_list() {
        let extra = "SEARCH request_extra USING INTEGER PRIMARY KEY (rowid=?) LEFT-JOIN";
        assert_eq!(plan(REVOKED_NOW), ["SCAN revocation", extra]);
        let part =
            "SEARCH revocation USING INDEX revocation_partition (ca_key=? AND crl_partition=?)";
        assert_eq!(plan(REVOKED_NOW_OF_PART), [part, extra]);
        let ran = "SEARCH revocation USING INDEX revocation_ran (ran>?)";
        assert_eq!(plan(RAN_SINCE), [ran, extra]);
        let effective = "SEARCH revocation USING INDEX revocation_effective (effective>?)";
        assert_eq!(plan(EFFECTIVE_SINCE), [effective, extra]);
        let told = "SEARCH revocation USING INDEX revocation_event (event>?)";
        let base = "SEARCH crl USING PRIMARY KEY (kind=? AND key_index=? AND crl_partition=? AND number=?)";
        assert_eq!(plan(TOLD_SINCE), [told, "SCALAR SUBQUERY 1", base, extra]);
        let steps = ["SCAN abandoned_serial", "SCALAR SUBQUERY 1", base];
        assert_eq!(plan(ABANDONED), steps);
    }
}
