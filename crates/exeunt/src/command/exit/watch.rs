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
    let mut lines = options.lines.unwrap_or(u64::MAX);
    loop {
        let query = [("after", after.to_string()), ("wait_s", DELIVERIES_WAIT_S_MAX.to_string())];
        let page: Deliveries = client.wait_for(&path, &query)?;
        for delivery in &page.deliveries {
            line(delivery, options.json)?;
            lines -= 1;
            if lines == 0 {
                return Ok(());
            }
        }
        after = page.next_after;
    }
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
