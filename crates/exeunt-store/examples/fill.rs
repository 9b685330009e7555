//! Fills a store with rows, for the benchmark of large stores: the newest certificate that is in it
//! already, again and again, each time with other numbers and names. Arguments: the store's file, how
//! many certificates.
//!
//! A power cut would spoil the file, and no server may have it open.

use std::error::Error;
use std::time::{Duration, Instant};

use exeunt_types::{Serial, UnixMillis};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};

/// Holds the table of serial numbers, which are inserted at random places as they are in life.
const CACHE_KIB: i64 = 1024 * 1024;
/// What every name of the benchmarks has, and where the number goes.
const NAME: &str = "host-";
/// `Issued` (the original's `DB_DISP_ISSUED`).
const ISSUED: i64 = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: fill FILE COUNT".into());
    };
    let count: i64 = count.parse()?;
    let conn = Connection::open(&path)?;
    conn.pragma_update(None, "journal_mode", "off")?;
    conn.pragma_update(None, "synchronous", "off")?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update(None, "foreign_keys", false)?;
    let begun = Instant::now();
    conn.execute_batch("BEGIN")?;
    fill(&conn, count)?;
    conn.execute_batch("COMMIT")?;
    conn.pragma_update(None, "journal_mode", "wal")?;
    drop(conn);
    // What is still on its way to the disk would be in the way of whatever is measured next.
    let file = std::fs::File::open(&path)?;
    file.sync_all()?;
    let octets = file.metadata()?.len();
    let per_row = octets / u64::try_from(count)?.max(1);
    let took: Duration = begun.elapsed();
    println!(
        "{count} certificates in {:.1} s, {octets} octets, {per_row} each",
        took.as_secs_f32()
    );
    Ok(())
}

fn fill(conn: &Connection, count: i64) -> Result<(), Box<dyn Error>> {
    let last = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0)).optional();
    let model = last("SELECT max(request) FROM certificate")?.ok_or("there is no certificate")?;
    let request = last("SELECT max(id) FROM request")?.ok_or("there is no request")?;
    let event = last("SELECT max(seq) FROM event")?.ok_or("there is no event")?;
    let of_model = last(&format!("SELECT event FROM certificate WHERE request = {model}"))?
        .ok_or("no event")?;
    let tables = [
        Copied::read(conn, "request", "id", model)?,
        Copied::read(conn, "certificate", "request", model)?,
        Copied::read(conn, "event", "seq", of_model)?,
    ];
    let mut serials = conn.prepare("INSERT INTO serial (serial, request) VALUES (?1, ?2)")?;
    let mut inserts =
        tables.iter().map(|it| conn.prepare(&it.insert)).collect::<Result<Vec<_>, _>>()?;
    for number in 1..=count {
        let (request, event) = (request + number, event + number);
        let serial = serial(number.unsigned_abs());
        serials.execute((&serial[..], request))?;
        for (table, insert) in tables.iter().zip(&mut inserts) {
            let value = |(column, value): &(String, Value)| match (column.as_str(), value) {
                ("id" | "request", _) => Value::Integer(request),
                ("seq" | "event", _) => Value::Integer(event),
                ("serial", _) => Value::Blob(serial.to_vec()),
                ("subject" | "sans", Value::Text(text)) => {
                    Value::Text(text.replace(NAME, &format!("{NAME}{number}-")))
                }
                (_, value) => value.clone(),
            };
            insert.execute(params_from_iter(table.columns.iter().map(value)))?;
        }
    }
    let counted = conn.execute(
        "UPDATE tally SET requests = requests + ?1 WHERE disposition = ?2",
        (count, ISSUED),
    )?;
    if counted == 1 { Ok(()) } else { Err("issued requests are not counted".into()) }
}

/// A row that is copied: its columns, and the statement that writes another one.
struct Copied {
    columns: Vec<(String, Value)>,
    insert: String,
}

impl Copied {
    fn read(conn: &Connection, table: &str, key: &str, id: i64) -> Result<Self, Box<dyn Error>> {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} WHERE {key} = ?1"))?;
        let names: Vec<String> = statement.column_names().map(ToOwned::to_owned).collect();
        let values = statement.query_row([id], |row| {
            (0..names.len()).map(|it| row.get(it)).collect::<Result<Vec<Value>, _>>()
        })?;
        let marks = vec!["?"; names.len()].join(", ");
        let insert = format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", "));
        Ok(Self { columns: names.into_iter().zip(values).collect(), insert })
    }
}

/// Sixteen octets as a CA draws them that issues a hundred certificates a second, but the same in every
/// run: `SplitMix64`.
fn serial(number: u64) -> [u8; 16] {
    let mix = |seed: u64| {
        let mut bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let random = (u128::from(mix(number)) << 64 | u128::from(mix(!number))).to_be_bytes();
    let seconds = i64::try_from(1_600_000_000 + number / 100).unwrap_or(i64::MAX);
    Serial::octets_by_time(UnixMillis::from_unix_seconds(seconds), random)
}
