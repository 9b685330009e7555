//! The tables as data, and the statements that write rows into them and compare them.
//!
//! Every statement takes many rows at once: a parameter for each column, an array of its values.

use std::collections::BTreeMap;

use tokio_postgres::types::ToSql;

/// What a column holds, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text, or what the server reads out of one.
    Text,
    /// A whole number.
    Number,
    /// Yes or no.
    Flag,
    /// Octets.
    Octets,
}

/// A column that rows bring a value for.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What travels.
    pub kind: Kind,
    /// Its type in the table.
    pub kept_as: &'static str,
}

const fn column(name: &'static str, kind: Kind, kept_as: &'static str) -> Column {
    Column { name, kind, kept_as }
}

/// A table. Its key is `ca` and the first of its columns.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its columns beside `ca`, `event_seq` and `changed_at`, the key first.
    pub columns: &'static [Column],
    /// What decides which of two rows is the newer; it is never less than before.
    pub rank: &'static str,
}

/// Certificates of the CA, those that it took in, and its own.
pub static CERTIFICATE: Table = Table {
    name: "certificate",
    columns: &[
        column("sha256", Kind::Text, "text"),
        column("sha1", Kind::Text, "text"),
        column("serial", Kind::Text, "text"),
        column("issuer", Kind::Text, "text"),
        column("subject", Kind::Text, "text"),
        column("common_name", Kind::Text, "text"),
        column("dns_names", Kind::Text, "text[]"),
        column("emails", Kind::Text, "text[]"),
        column("user_principal_names", Kind::Text, "text[]"),
        column("template", Kind::Text, "text"),
        column("requester", Kind::Text, "text"),
        column("request_id", Kind::Number, "bigint"),
        column("not_before", Kind::Text, "timestamptz"),
        column("not_after", Kind::Text, "timestamptz"),
        column("is_ca", Kind::Flag, "boolean"),
        column("state", Kind::Text, "text"),
        column("revoked_at", Kind::Text, "timestamptz"),
        column("revoked_from", Kind::Text, "timestamptz"),
        column("revocation_reason", Kind::Number, "bigint"),
        column("der", Kind::Octets, "bytea"),
    ],
    rank: "event_seq",
};

/// Requests, with or without a certificate.
pub static REQUEST: Table = Table {
    name: "request",
    columns: &[
        column("request_id", Kind::Number, "bigint"),
        column("state", Kind::Text, "text"),
        column("requester", Kind::Text, "text"),
        column("caller", Kind::Text, "text"),
        column("template", Kind::Text, "text"),
        column("subject", Kind::Text, "text"),
        column("submitted_at", Kind::Text, "timestamptz"),
        column("resolved_at", Kind::Text, "timestamptz"),
        column("status_code", Kind::Number, "bigint"),
        column("message", Kind::Text, "text"),
        column("certificate_sha256", Kind::Text, "text"),
    ],
    rank: "event_seq",
};

/// Revocation lists: of each key, kind and part the newest.
pub static CRL: Table = Table {
    name: "crl",
    columns: &[
        column("name", Kind::Text, "text"),
        column("issuer", Kind::Text, "text"),
        column("key_identifier", Kind::Text, "text"),
        column("is_delta", Kind::Flag, "boolean"),
        column("part", Kind::Number, "bigint"),
        column("number", Kind::Text, "numeric"),
        column("this_update", Kind::Text, "timestamptz"),
        column("next_update", Kind::Text, "timestamptz"),
        column("size_bytes", Kind::Number, "bigint"),
        column("sha256", Kind::Text, "text"),
        column("der", Kind::Octets, "bytea"),
    ],
    rank: "number",
};

/// All of them.
pub static TABLES: [&Table; 3] = [&CERTIFICATE, &REQUEST, &CRL];

/// The column that is kept where a row brings none: `store_der` may have been on before.
const KEPT: &str = "der";

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Of [`Kind::Text`].
    Text(Option<String>),
    /// Of [`Kind::Number`].
    Number(Option<i64>),
    /// Of [`Kind::Flag`].
    Flag(bool),
    /// Of [`Kind::Octets`].
    Octets(Option<Vec<u8>>),
}

impl Cell {
    fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Number(_) => Kind::Number,
            Self::Flag(_) => Kind::Flag,
            Self::Octets(_) => Kind::Octets,
        }
    }
}

/// A row: a cell for each column of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The cells, the key first.
    cells: Vec<Cell>,
    /// The event that says so.
    seq: i64,
}

impl Row {
    /// A row of a table.
    ///
    /// # Panics
    ///
    /// When the cells are not the table's.
    pub fn new(table: &Table, seq: u64, cells: Vec<Cell>) -> Self {
        let fit = cells.iter().map(Cell::kind).eq(table.columns.iter().map(|it| it.kind));
        assert!(fit, "BUG: cells that are not those of {}", table.name);
        // The store counts in the same 63 bits.
        Self { cells, seq: i64::try_from(seq).unwrap_or(i64::MAX) }
    }

    /// What the row is, in words: its key, and its serial number where it has one.
    pub fn words(&self, table: &Table) -> String {
        let serial = table.columns.iter().position(|it| it.name == "serial");
        match serial.map(|at| &self.cells[at]) {
            Some(Cell::Text(Some(serial))) => format!("serial {serial}"),
            _ => format!("{} {}", table.key(), self.key()),
        }
    }

    /// The key as text, which names the row.
    pub fn key(&self) -> String {
        match &self.cells[0] {
            Cell::Text(text) => text.clone().unwrap_or_default(),
            Cell::Number(number) => number.unwrap_or_default().to_string(),
            Cell::Flag(_) | Cell::Octets(_) => String::new(),
        }
    }
}

/// Of several rows with one key the one of the latest event, ordered by their keys: two writers then
/// lock in the same order, and no statement touches a row twice.
pub fn latest(rows: impl IntoIterator<Item = Row>) -> Vec<Row> {
    let mut by_key: BTreeMap<String, Row> = BTreeMap::new();
    for row in rows {
        match by_key.get(&row.key()) {
            Some(there) if row.seq < there.seq => (),
            _ => {
                by_key.insert(row.key(), row);
            }
        }
    }
    by_key.into_values().collect()
}

/// The values of one column, as a parameter.
pub type Parameter = Box<dyn ToSql + Sync + Send>;

/// The parameters of [`Table::write`] and [`Table::compare`]: the CA's name, an array for each column,
/// and the events' numbers.
pub fn parameters(table: &Table, ca: &str, rows: &[Row]) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = vec![Box::new(ca.to_owned())];
    for (at, column) in table.columns.iter().enumerate() {
        let cells = rows.iter().map(|it| &it.cells[at]);
        parameters.push(match column.kind {
            Kind::Text => Box::new(
                cells
                    .map(|it| if let Cell::Text(it) = it { it.clone() } else { None })
                    .collect::<Vec<_>>(),
            ),
            Kind::Number => Box::new(
                cells
                    .map(|it| if let Cell::Number(it) = it { *it } else { None })
                    .collect::<Vec<_>>(),
            ),
            Kind::Flag => {
                Box::new(cells.map(|it| matches!(it, Cell::Flag(true))).collect::<Vec<_>>())
            }
            Kind::Octets => Box::new(
                cells
                    .map(|it| if let Cell::Octets(it) = it { it.clone() } else { None })
                    .collect::<Vec<_>>(),
            ),
        });
    }
    parameters.push(Box::new(rows.iter().map(|it| it.seq).collect::<Vec<_>>()));
    parameters
}

/// What a statement does with a row that is newer than what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Leaves it: the order of events.
    Newer,
    /// Writes over it: what the CA holds now is known.
    Nothing,
}

impl Table {
    /// The first column.
    pub fn key(&self) -> &'static str {
        self.columns[0].name
    }

    /// The statement that writes rows. It says how many it changed.
    pub fn write(&self, schema: &str, guard: Guard) -> String {
        let names = self.names();
        let (there, brought) = (self.values("t"), self.values_or_kept("excluded"));
        let assignments: Vec<String> = self.columns[1..]
            .iter()
            .map(|it| match it.name {
                KEPT => format!("{KEPT} = coalesce(excluded.{KEPT}, t.{KEPT})"),
                name => format!("{name} = excluded.{name}"),
            })
            .collect();
        let guard = match guard {
            Guard::Newer => format!("excluded.{0} >= t.{0} AND ", self.rank),
            Guard::Nothing => String::new(),
        };
        let seq = "greatest(t.event_seq, excluded.event_seq)";
        format!(
            "INSERT INTO {schema}.{table} AS t (ca, {names}, event_seq, changed_at) \
             SELECT $1, {read}, r.event_seq, now() FROM {rows} \
             ON CONFLICT (ca, {key}) DO UPDATE SET {assignments}, event_seq = {seq}, \
             changed_at = now() \
             WHERE {guard}(t.event_seq < excluded.event_seq \
             OR ({there}) IS DISTINCT FROM ({brought}))",
            table = self.name,
            key = self.key(),
            read = self.read(),
            rows = self.rows(),
            assignments = assignments.join(", "),
        )
    }

    /// The statement that finds the rows that are missing (true) or say something else (false), by
    /// their keys as text.
    pub fn compare(&self, schema: &str) -> String {
        let newer = if self.rank == "event_seq" {
            String::new()
        } else {
            // It was made since the CA was asked.
            format!(" AND t.{0} <= r.{0}", self.rank)
        };
        format!(
            "SELECT r.{key}::text, t.{key} IS NULL \
             FROM (SELECT {read} FROM {rows}) AS r ({names}) \
             LEFT JOIN {schema}.{table} AS t ON t.ca = $1 AND t.{key} = r.{key} \
             WHERE t.{key} IS NULL OR (({there}) IS DISTINCT FROM ({brought}){newer}) \
             ORDER BY 1",
            key = self.key(),
            table = self.name,
            read = self.read(),
            rows = self.rows(),
            names = self.names(),
            there = self.values("t"),
            brought = self.values_or_kept("r"),
        )
    }

    /// The statement that gives a row where one of those that were just written is not there, is
    /// older than that, or of the same age and says something else. A newer one is another writer's.
    pub fn lost(&self, schema: &str) -> String {
        format!(
            "SELECT 1 FROM (SELECT {read}, r.event_seq FROM {rows}) AS r ({names}, event_seq) \
             LEFT JOIN {schema}.{table} AS t ON t.ca = $1 AND t.{key} = r.{key} \
             WHERE t.{key} IS NULL OR t.{rank} < r.{rank} \
             OR (t.{rank} = r.{rank} AND ({there}) IS DISTINCT FROM ({brought})) LIMIT 1",
            read = self.read(),
            rows = self.rows(),
            names = self.names(),
            table = self.name,
            key = self.key(),
            rank = self.rank,
            there = self.values("t"),
            brought = self.values_or_kept("r"),
        )
    }

    fn names(&self) -> String {
        self.columns.iter().map(|it| it.name).collect::<Vec<_>>().join(", ")
    }

    fn values(&self, of: &str) -> String {
        let names: Vec<String> =
            self.columns[1..].iter().map(|it| format!("{of}.{}", it.name)).collect();
        names.join(", ")
    }

    fn values_or_kept(&self, of: &str) -> String {
        let name = |it: &Column| match it.name {
            KEPT => format!("coalesce({of}.{KEPT}, t.{KEPT})"),
            name => format!("{of}.{name}"),
        };
        self.columns[1..].iter().map(name).collect::<Vec<_>>().join(", ")
    }

    /// The columns of [`Table::rows`], each as it is kept.
    fn read(&self) -> String {
        let columns = self.columns.iter().map(|it| format!("r.{}::{}", it.name, it.kept_as));
        columns.collect::<Vec<_>>().join(", ")
    }

    fn rows(&self) -> String {
        let arrays = self.columns.iter().enumerate().map(|(at, it)| {
            let array = match it.kind {
                Kind::Text => "text[]",
                Kind::Number => "bigint[]",
                Kind::Flag => "boolean[]",
                Kind::Octets => "bytea[]",
            };
            format!("${}::{array}", at + 2)
        });
        let arrays: Vec<String> = arrays.collect();
        format!(
            "unnest({}, ${}::bigint[]) AS r ({}, event_seq)",
            arrays.join(", "),
            self.columns.len() + 2,
            self.names()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, seq: u64) -> Row {
        let mut cells = vec![Cell::Number(Some(id))];
        cells.extend(REQUEST.columns[1..].iter().map(|it| match it.kind {
            Kind::Number => Cell::Number(None),
            _ => Cell::Text(None),
        }));
        Row::new(&REQUEST, seq, cells)
    }

    #[test]
    fn of_rows_with_one_key_the_latest_is_written_and_all_in_one_order() {
        let rows = latest([row(7, 3), row(2, 9), row(7, 5), row(7, 4)]);
        let found: Vec<(String, i64)> = rows.iter().map(|it| (it.key(), it.seq)).collect();
        assert_eq!(found, [("2".to_owned(), 9), ("7".to_owned(), 5)]);
    }

    #[test]
    fn a_statement_names_a_parameter_for_every_column() {
        for table in TABLES {
            let parameters = parameters(table, "Test CA", &[]).len();
            for statement in [table.write("s", Guard::Newer), table.compare("s"), table.lost("s")] {
                assert!(statement.contains(&format!("${parameters}::bigint[]")), "{statement}");
                assert!(!statement.contains(&format!("${}", parameters + 1)), "{statement}");
            }
        }
    }
}
