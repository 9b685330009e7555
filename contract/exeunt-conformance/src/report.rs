//! What the check says: for people as a table, for programs as JSON.

use std::{collections::BTreeMap, fmt, time::Duration};

use exeunt_module::exit_event;
use serde_json::{Value as Json, json};

use crate::rule::{Checked, Verdict};

/// What a module is and does, and how it stands to each rule.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was started, in words.
    pub command: String,
    /// What the module said of itself.
    pub about: About,
    /// Every rule, in the order of the contract.
    pub rules: Vec<Checked>,
    /// The plain events that it was told, one of each kind that it asked for.
    pub told: Vec<Told>,
    /// Start of what it wrote to standard error at its first fault; empty without one.
    pub stderr: String,
    /// Why there was nothing to check, if the module never came as far as its first event.
    pub unchecked: Option<Unchecked>,
    /// How long the whole check took.
    pub took: Duration,
}

/// Why there was nothing to check: a mistake of whoever started the check, more likely than one of the
/// module's author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchecked {
    /// The process could not be started, or ended before its first answer. Why, on one line.
    DidNotStart(String),
    /// The module does not take the settings that it was given. Its own words.
    RefusesSettings(String),
}

impl fmt::Display for Unchecked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DidNotStart(why) => {
                write!(out, "The module did not start, so nothing was checked: {why}")
            }
            Self::RefusesSettings(why) => {
                write!(out, "The module refuses these settings, so nothing was checked: {why}")
            }
        }
    }
}

/// What a module said of itself.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Bits of the events that it asked for; `None` where it was never asked.
    pub mask: Option<u32>,
    /// Its description.
    pub description: Option<String>,
    /// Most events that it takes at once.
    pub window: Option<u32>,
    /// Features of the contract that it uses.
    pub features: Vec<String>,
    /// Call-backs that it made: method and name.
    pub asked: Vec<String>,
}

/// What became of one plain event.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its bit.
    pub event: u32,
    /// The word of its outcome, `error`, or `no answer`.
    pub outcome: &'static str,
    /// Why it was not settled, in the module's words; empty otherwise.
    pub reason: String,
    /// From the call to its answer.
    pub took: Option<Duration>,
}

impl Told {
    /// Whether the module has accepted or skipped it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.outcome, "accept" | "skip")
    }
}

impl About {
    /// The words of the events that it asked for.
    #[must_use]
    pub fn events(&self) -> Vec<&'static str> {
        let mask = self.mask.unwrap_or_default();
        exit_event::WORDS.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, word)| *word).collect()
    }

    /// Call-backs with how often each was made.
    fn asked_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for asked in &self.asked {
            *counts.entry(asked.as_str()).or_default() += 1;
        }
        counts
    }
}

impl Report {
    /// Whether the module breaks no rule.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }

    /// How many rules have that verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rules.iter().filter(|it| it.verdict == verdict).count()
    }

    /// The rules with that verdict, by id.
    #[must_use]
    pub fn with_verdict(&self, verdict: Verdict) -> Vec<&'static str> {
        self.rules.iter().filter(|it| it.verdict == verdict).map(|it| it.id).collect()
    }

    /// The report for programs.
    #[must_use]
    pub fn json(&self) -> Json {
        let rule = |it: &Checked| {
            json!({
                "id": it.id, "sentence": it.sentence, "verdict": it.verdict.word(), "seen": it.seen,
            })
        };
        let told = |it: &Told| {
            json!({
                "event": exit_event::word(it.event), "outcome": it.outcome, "reason": it.reason,
                "took_us": it.took.map(micros),
            })
        };
        json!({
            "passed": self.passed(),
            "unchecked": self.unchecked.as_ref().map(ToString::to_string),
            "command": self.command,
            "module": {
                "description": self.about.description,
                "event_mask": self.about.mask,
                "events": self.about.events(),
                "window": self.about.window,
                "features": self.about.features,
                "call_backs": self.about.asked_counts(),
            },
            "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "events": self.told.iter().map(told).collect::<Vec<_>>(),
            "stderr": self.stderr,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Report {
    fn fmt_stderr(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stderr.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nStandard error, from its start:")?;
        for line in self.stderr.lines() {
            let clean = |it: char| if it.is_control() { '\u{fffd}' } else { it };
            writeln!(out, "  {}", line.chars().map(clean).collect::<String>())?;
        }
        Ok(())
    }
}

fn micros(it: Duration) -> u64 {
    u64::try_from(it.as_micros()).unwrap_or(u64::MAX)
}

/// The report for people: several lines, readable without colour.
impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let About { description, window, features, .. } = &self.about;
        writeln!(out, "Command      {}", self.command)?;
        if let Some(unchecked) = &self.unchecked {
            self.fmt_stderr(out)?;
            return writeln!(out, "\n{unchecked}");
        }
        if let Some(description) = description {
            writeln!(out, "Description  {description}")?;
        }
        if let Some(mask) = self.about.mask {
            writeln!(out, "Events       {} ({mask:#x})", self.about.events().join(", "))?;
        }
        if let Some(window) = window {
            writeln!(out, "Window       {window}")?;
        }
        if !features.is_empty() {
            writeln!(out, "Features     {}", features.join(", "))?;
        }
        for (asked, count) in self.about.asked_counts() {
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            writeln!(out, "Called back  {asked} ({times})")?;
        }
        writeln!(out)?;
        for Checked { id, sentence, verdict, seen } in &self.rules {
            if *verdict == Verdict::NotApplicable {
                continue;
            }
            writeln!(out, "{:6}  {id:27}  {sentence}", verdict.word())?;
            if !seen.is_empty() {
                writeln!(out, "{:6}  {:27}  > {seen}", "", "")?;
            }
        }
        let without_occasion = self.with_verdict(Verdict::NotApplicable);
        if !without_occasion.is_empty() {
            writeln!(out, "\nNot applicable: {}", without_occasion.join(", "))?;
        }
        if !self.told.is_empty() {
            writeln!(out)?;
        }
        for Told { event, outcome, reason, took } in &self.told {
            let word = exit_event::word(*event);
            let took =
                took.map(|it| format!("{:.1} ms", it.as_secs_f64() * 1e3)).unwrap_or_default();
            writeln!(out, "{word:22}  {outcome:9}  {took:>10}  {reason}")?;
        }
        self.fmt_stderr(out)?;
        let count = |verdict| self.count(verdict);
        writeln!(
            out,
            "\n{}: {} pass, {} advice, {} fail, {} not applicable, in {:.1} s",
            if self.passed() {
                "The module keeps the contract"
            } else {
                "The module breaks the contract"
            },
            count(Verdict::Pass),
            count(Verdict::Advice),
            count(Verdict::Fail),
            count(Verdict::NotApplicable),
            self.took.as_secs_f64(),
        )
    }
}
