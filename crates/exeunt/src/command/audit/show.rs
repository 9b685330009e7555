//! `exeunt audit show`: rows of the trail, from the server or, where none runs, from the store.

use std::io::Write as _;

use exeunt_api::{AUDIT_CSV_HEADING, AUDIT_PATH, AuditPage, AuditRow, PAGE_ROWS_MAX, csv_record};
use exeunt_http::from_rfc3339;
use exeunt_store::Store;
use exeunt_types::{AuditQuery, UnixMillis};

use super::{existing, shown, store_failure};
use crate::cli::{Format, ShowAudit};
use crate::client::ApiClient;
use crate::clock::now;
use crate::failure::{Failure, plain};
use crate::output;

const HEADING: [&str; 6] = ["ROW", "TIME", "EVENT", "ACTOR", "ACTION", "OBJECT"];

/// Where the rows come from.
enum Source {
    Server(Box<ApiClient>),
    Store(Box<Store>),
}

pub fn run(options: &ShowAudit) -> Result<u8, Failure> {
    let source = match ApiClient::open(&options.door) {
        Ok(client) => Source::Server(Box::new(client)),
        Err(failure) if failure.code == "server-not-running" => {
            let Some(home) = &options.door.home else { return Err(failure) };
            let store = Store::open_read_only(&existing(home)?.store_path());
            Source::Store(Box::new(store.map_err(|err| store_failure(&err))?))
        }
        Err(failure) => return Err(failure),
    };
    let format = if options.json { Format::Json } else { options.format };
    let mut left = if options.all { u64::MAX } else { options.limit };
    let mut after = options.after;
    let mut document = Vec::new();
    let mut out = std::io::stdout().lock();
    let mut write = |text: &str| match out.write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        // A reader that has gone away (`| head`) wants no more, and is no failure.
        Err(err) if err.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(err) => Err(Failure::from_error("output", &err)),
    };
    if format == Format::Csv && !write(&csv_record(AUDIT_CSV_HEADING))? {
        return Ok(0);
    }
    loop {
        let limit = left.min(u64::from(PAGE_ROWS_MAX));
        let AuditPage { rows, next } = page(&source, options, after, limit)?;
        left = left.saturating_sub(rows.len() as u64);
        let text: String = match format {
            Format::Csv => rows.iter().map(AuditRow::csv).collect(),
            Format::Jsonl => {
                rows.iter().map(|it| serde_json::to_string(it).unwrap_or_default() + "\n").collect()
            }
            Format::Json | Format::Table => {
                document.extend(rows);
                String::new()
            }
        };
        if !write(&text)? {
            return Ok(0);
        }
        after = next;
        if next.is_none() || left == 0 {
            break;
        }
    }
    drop(out);
    match format {
        Format::Json => output::json(&AuditPage { rows: document, next: after })?,
        Format::Table => table(document)?,
        Format::Csv | Format::Jsonl => (),
    }
    if let Some(after) = after.filter(|_| format == Format::Table) {
        eprintln!("More: --after {after}");
    }
    Ok(0)
}

fn table(rows: Vec<AuditRow>) -> Result<(), Failure> {
    let cells = |it: AuditRow| {
        let event =
            if it.also == 0 { it.event.to_string() } else { format!("{}+{}", it.also, it.event) };
        let cells = [it.number.to_string(), it.time, event, it.actor, it.action, it.object];
        cells.iter().map(|it| plain(it)).collect()
    };
    output::table(&HEADING, rows.into_iter().map(cells).collect())
}

fn page(
    source: &Source,
    options: &ShowAudit,
    after: Option<u64>,
    limit: u64,
) -> Result<AuditPage, Failure> {
    let ShowAudit { since, until, actor, action, object, event, oldest_first, .. } = options;
    match source {
        Source::Server(client) => {
            let order = if *oldest_first { "asc" } else { "desc" };
            let mut query = vec![("limit", limit.to_string()), ("order", order.to_owned())];
            let texts = [("since", since), ("until", until), ("actor", actor), ("action", action)];
            for (key, value) in texts.into_iter().chain([("object", object)]) {
                query.extend(value.iter().map(|it| (key, it.clone())));
            }
            query.extend(event.map(|it| ("event", it.to_string())));
            query.extend(after.map(|it| ("after", it.to_string())));
            client.get(AUDIT_PATH, &query)
        }
        Source::Store(store) => {
            let moment = |it: &Option<String>| it.as_deref().map(moment).transpose();
            let query = AuditQuery {
                actor: actor.clone(),
                action: action.clone(),
                object: object.clone(),
                event: *event,
                since: moment(since)?,
                until: moment(until)?,
                descending: !oldest_first,
                after,
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
            };
            let page = store.find_audit(&query).map_err(|err| store_failure(&err))?;
            Ok(AuditPage { rows: page.rows.into_iter().map(shown).collect(), next: page.next })
        }
    }
}

/// A moment, or a time that lies behind.
fn moment(text: &str) -> Result<UnixMillis, Failure> {
    let behind = || {
        let text = text.strip_prefix('-').unwrap_or(text);
        let unit = match text.as_bytes().last()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        // A plus would lie ahead.
        let number: u32 =
            Some(&text[..text.len() - 1]).filter(|it| !it.starts_with('+'))?.parse().ok()?;
        Some(UnixMillis(now().0.saturating_sub(i64::from(number) * unit * 1000)))
    };
    from_rfc3339(text).or_else(behind).ok_or_else(|| {
        Failure::usage("usage-moment", format!("{text:?} is no moment"))
            .hint("write 2026-12-01T00:00:00Z, or 30d for so long ago")
    })
}
