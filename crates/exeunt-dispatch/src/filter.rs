//! The operator's filter of one module: a CEL expression over an event.
//!
//! An expression is checked when it is set and cannot loop, call out or grow: what it may name is
//! looked up while it is parsed, so that judging an event costs a few lookups and comparisons. It
//! is no place for decisions about certificates: it only says which events a module hears of.
//! Enter at [`Filter::parse`].

mod check;
mod kinds;
mod values;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use cel::{Context, Env, ExecutionError, Value as Cel};
use exeunt_module::Event;

use self::values::Reading;

/// Longest expression, in bytes.
pub const FILTER_BYTES_MAX: usize = 4096;

/// Most opening brackets in an expression, those in its literal texts counted as well. With
/// [`FILTER_OPERATORS_MAX`] it bounds how deep the tree of the expression can be: parsing 256
/// brackets within each other was measured to fit into a thread's 2 MiB of stack, 512 not.
pub const FILTER_BRACKETS_MAX: usize = 96;

/// Most operators and dots in an expression, counted like the brackets.
pub const FILTER_OPERATORS_MAX: usize = 256;

/// Most additions and other operators that make a longer value out of two: each may copy what is
/// largest in an event.
pub const FILTER_SUMS_MAX: usize = 8;

/// Most patterns of `matches` in an expression.
pub const FILTER_PATTERNS_MAX: usize = 4;

/// Largest compiled pattern, in bytes. The time to look through a text grows with it.
pub const FILTER_PATTERN_BYTES_MAX: usize = 16 * 1024;

/// Longest text that a pattern looks through, in bytes. With the two limits above it keeps the
/// worst patterns on the worst texts within a few milliseconds. A longer text is a failure, and so
/// the event is delivered.
pub const FILTER_MATCHED_BYTES_MAX: usize = 1024;

/// Longest reason in [`Verdict::Failed`] and in [`FilterError`], in characters.
const REASON_CHARS_MAX: usize = 200;

/// What an expression may call, apart from what [`check`] puts in the place of `matches`.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(values::env()));

/// A checked expression. Cheap to clone.
#[derive(Clone)]
pub struct Filter(Arc<check::Checked>);

/// What a filter says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the event is delivered or passed over, by what this says"]
pub enum Verdict {
    /// The module hears of it.
    Yes,
    /// The module does not hear of it. Also where the expression needs a property that the event
    /// does not have.
    No,
    /// The expression could not be evaluated, and why, in one line. The event is to be delivered:
    /// a faulty expression must not lose anything.
    Failed(String),
}

/// Why a text is no filter. The operator changes the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// It is larger than an expression may be: in bytes, operators, brackets, sums or patterns.
    #[error("{what}: {found}, at most {allowed} allowed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        allowed: usize,
    },
    /// It is no CEL expression.
    #[error("{0}")]
    Syntax(String),
    /// It names something that an event does not have.
    #[error("{0}")]
    UnknownName(String),
    /// It uses a part of CEL that filters do without, for example one that loops.
    #[error("{0}")]
    NotAllowed(String),
    /// It asks whether two values are equal that never are, because they are of different kinds.
    #[error("{0}")]
    NeverEqual(String),
    /// A literal in it cannot be what it has to be: a pattern, a time, a duration, an event's name.
    #[error("{0}")]
    Literal(String),
}

impl FilterError {
    /// Stable code for logs and API bodies. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "filter-too-large",
            Self::Syntax(_) => "filter-syntax",
            Self::UnknownName(_) => "filter-unknown-name",
            Self::NotAllowed(_) => "filter-not-allowed",
            Self::NeverEqual(_) => "filter-never-equal",
            Self::Literal(_) => "filter-literal",
        }
    }
}

impl Filter {
    /// Parses and checks an expression; see `docs/manual/filters.md` for what it may say.
    ///
    /// # Errors
    ///
    /// As the variants say; each names the part of the text that it is about.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        // The parser is foreign code; what it thinks of a text must not end a worker.
        catch_unwind(AssertUnwindSafe(|| check::checked(text)))
            .unwrap_or_else(|_| Err(FilterError::Syntax("the parser gave up on it".to_owned())))
            .map(|checked| Self(Arc::new(checked)))
    }

    /// The expression as it was set.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Judges an event. Takes microseconds, and a few milliseconds at the very worst.
    pub fn holds(&self, event: &Event) -> Verdict {
        catch_unwind(AssertUnwindSafe(|| self.evaluate(event)))
            .unwrap_or_else(|_| Verdict::Failed("evaluating the expression panicked".to_owned()))
    }

    fn evaluate(&self, event: &Event) -> Verdict {
        let reading = Reading { slots: &self.0.slots, event };
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.set_variable_resolver(&reading);
        // Not `resolve_val`, which would be compiled into this crate and, without optimisation, take
        // 20 KiB of stack for each level of the expression.
        match Cel::resolve(&self.0.expression, &context) {
            Ok(Cel::Bool(true)) => Verdict::Yes,
            Ok(Cel::Bool(false)) => Verdict::No,
            Ok(other) => Verdict::Failed(format!(
                "the expression gives a value of type {}, neither true nor false",
                other.type_of()
            )),
            Err(ExecutionError::UndeclaredReference(name)) if values::is_slot(&name) => Verdict::No,
            Err(err) => Verdict::Failed(reason(&err)),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Filter").field(&self.0.text).finish()
    }
}

/// Why an expression could not be evaluated: types and functions, and nothing of what the requester
/// may have put into the values.
fn reason(err: &ExecutionError) -> String {
    match err {
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("{} and {} have no operator {operator}", left.type_of(), right.type_of())
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", left.type_of(), right.type_of())
        }
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        ExecutionError::UnsupportedIndex(index, _) => format!("{} is no index", index.type_of()),
        other => one_line(&other.to_string()),
    }
}

/// A foreign text, fit for a line of a log.
fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .take(REASON_CHARS_MAX)
        .collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests;
