//! `exeunt exit explain` and `exeunt exit tail`.

use exeunt_api::{DELIVERIES_WAIT_S_MAX, Deliveries, Delivery, Explanation};

use super::path;
use crate::cli::{Door, Tail};
use crate::client::ApiClient;
use crate::failure::{Failure, plain};
use crate::output;

pub fn explain(name: &str, request: u64, json: bool, door: &Door) -> Result<(), Failure> {
    let path = format!("{}/explain", path(name)?);
    let query = [("request", request.to_string())];
    let told: Explanation = ApiClient::open(door)?.get(&path, &query)?;
    if json {
        return output::json(&told);
    }
    if told.events.is_empty() {
        return output::line(&format!("There is no event about request {request} yet."));
    }
    for event in &told.events {
        output::line(&format!("Event {}, {}, {}", event.event, event.kind, event.at))?;
        for rule in &event.rules {
            let mark = if rule.holds { "yes" } else { "no " };
            output::line(&plain(&format!("  {mark}  {}: {}", rule.rule, rule.because)))?;
        }
    }
    Ok(())
}

pub fn tail(options: &Tail) -> Result<(), Failure> {
    let client = ApiClient::open(&options.door)?;
    let path = format!("{}/deliveries", path(&options.name)?);
    let mut after = if options.from_start {
        0
    } else {
        let now: Deliveries = client.get(&path, &[])?;
        now.next_after
    };
    // What the server has forgotten by now, nobody who begins there has missed.
    let mut seen = (!options.from_start).then_some(after);
    let mut lines = options.lines.unwrap_or(u64::MAX);
    loop {
        let query = [("after", after.to_string()), ("wait_s", DELIVERIES_WAIT_S_MAX.to_string())];
        let page: Deliveries = client.wait_for(&path, &query).map_err(ended)?;
        if let Some(first) = page.deliveries.first()
            && let missed = missed(seen, first.number)
            && 0 < missed
        {
            // Not among the lines, which a program may read.
            let are = if missed == 1 { "delivery was" } else { "deliveries were" };
            eprintln!("exeunt: warning: {missed} {are} missed");
        }
        for delivery in &page.deliveries {
            line(delivery, options.json)?;
            lines -= 1;
            if lines == 0 {
                return Ok(());
            }
        }
        after = page.next_after;
        seen = Some(after);
    }
}

/// A server that answered a moment ago has stopped.
fn ended(failure: Failure) -> Failure {
    match failure.code.as_str() {
        "server-unreachable" | "server-not-running" | "server-stopping" => {
            Failure::new("server-not-running", "the server has stopped")
                .hint("run this again when it is back")
        }
        _ => failure,
    }
}

/// How many deliveries were forgotten by the server before they were asked for. Their numbers have no
/// gaps, and begin anew at 1 with the server. `seen` is the last one that was not missed.
fn missed(seen: Option<u64>, first: u64) -> u64 {
    seen.map_or(0, |it| first.saturating_sub(it.saturating_add(1)))
}

fn line(it: &Delivery, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(it).map_err(|err| Failure::from_error("output", &err))?;
        return output::line(&text);
    }
    let mut text = format!(
        "{}  {}  {:<16} {:<12} attempt {}  {}  {} ms",
        it.at,
        it.event,
        it.kind,
        it.subject,
        it.attempt,
        it.outcome,
        it.took_us / 1000
    );
    if !it.reason.is_empty() {
        text.push_str("  ");
        text.push_str(&it.reason);
    }
    output::line(&plain(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_in_the_numbers_is_what_was_missed() {
        for (seen, first, expected) in [
            (None, 977, 0),
            (Some(0), 1, 0),
            (Some(0), 977, 976),
            (Some(7), 8, 0),
            (Some(7), 9, 1),
            (Some(7), 1, 0),
        ] {
            assert_eq!(missed(seen, first), expected, "{seen:?} {first}");
        }
    }
}
