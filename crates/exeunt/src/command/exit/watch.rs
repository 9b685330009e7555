//! `exeunt exit explain` and `exeunt exit tail`.

use exeunt_api::{
    DELIVERIES_WAIT_S_MAX, Deliveries, Delivery, ExplainedRule, Explanation, RuleAnswer,
};

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
            output::line(&plain(&explained(rule)))?;
        }
    }
    Ok(())
}

/// One rule as a line.
fn explained(rule: &ExplainedRule) -> String {
    let ExplainedRule { rule, answer, holds: _, because } = rule;
    let mark = match answer {
        RuleAnswer::Yes => "yes",
        RuleAnswer::No => "no",
        RuleAnswer::NotYet => "not yet",
        RuleAnswer::Unknown => "?",
    };
    let colon = if because.is_empty() { "" } else { ": " };
    format!("  {mark:<7}  {rule}{colon}{because}")
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
    output::line(&plain(&told(it)))
}

/// One delivery as a line. The columns of a module's usual lines stand below each other.
fn told(it: &Delivery) -> String {
    let outcome = match it.retry_ms {
        Some(pause @ 0..1000) => format!("retry in {pause} ms"),
        Some(pause) => format!("retry in {} s", pause.saturating_add(500) / 1000),
        None => it.outcome.clone(),
    };
    let (seconds, fraction) = it.at.strip_suffix('Z').unwrap_or(&it.at).split_once('.').unzip();
    let at = match (seconds, fraction) {
        (Some(seconds), Some(fraction)) => format!("{seconds}.{fraction:0<3}Z"),
        _ => format!("{}.000Z", it.at.trim_end_matches('Z')),
    };
    let text = format!(
        "{at}  {:>4}  {:<16} {:<12} attempt {:<2}  {outcome:<15}  {:>4} ms  {}",
        it.event,
        it.kind,
        it.subject,
        it.attempt,
        it.took_us / 1000,
        it.reason,
    );
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_tail_stand_below_each_other() {
        let delivery = Delivery {
            number: 1,
            event: 9,
            kind: "issued".to_owned(),
            subject: "request:7".to_owned(),
            attempt: 1,
            outcome: "accepted".to_owned(),
            reason: String::new(),
            at: "2026-11-21T07:39:05Z".to_owned(),
            took_us: 3_456,
            retry_ms: None,
        };
        let failed = Delivery {
            outcome: "failed".to_owned(),
            reason: "busy".to_owned(),
            at: "2026-11-21T07:39:05.12Z".to_owned(),
            retry_ms: Some(5_000),
            ..delivery.clone()
        };
        let parked = Delivery { outcome: "parked".to_owned(), retry_ms: None, ..failed.clone() };
        let soon = Delivery { event: 1234, attempt: 12, retry_ms: Some(250), ..failed.clone() };
        let lines = [
            "2026-11-21T07:39:05.000Z     9  issued           request:7    attempt 1   accepted            3 ms",
            "2026-11-21T07:39:05.120Z     9  issued           request:7    attempt 1   retry in 5 s        3 ms  busy",
            "2026-11-21T07:39:05.120Z     9  issued           request:7    attempt 1   parked              3 ms  busy",
            "2026-11-21T07:39:05.120Z  1234  issued           request:7    attempt 12  retry in 250 ms     3 ms  busy",
        ];
        for (delivery, line) in [delivery, failed, parked, soon].iter().zip(lines) {
            assert_eq!(told(delivery), line);
        }
    }

    #[test]
    fn a_rule_is_a_line_with_its_answer_first() {
        let rule = |answer, because: &str| ExplainedRule {
            rule: "the module is enabled".to_owned(),
            answer,
            holds: true,
            because: because.to_owned(),
        };
        for (rule, line) in [
            (rule(RuleAnswer::Yes, ""), "  yes      the module is enabled"),
            (rule(RuleAnswer::No, "it is not"), "  no       the module is enabled: it is not"),
            (rule(RuleAnswer::NotYet, ""), "  not yet  the module is enabled"),
            (rule(RuleAnswer::Unknown, "x"), "  ?        the module is enabled: x"),
        ] {
            assert_eq!(explained(&rule), line);
        }
    }

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
