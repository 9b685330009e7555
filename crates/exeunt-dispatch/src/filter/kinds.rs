//! What kind of value each part of an expression is, as far as the expression says it.
//!
//! Values of different kinds are never equal, and an expression that asks whether they are would
//! pass events over, or deliver all of them, for good and without a word. Where both kinds are known
//! it is refused when it is set.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use exeunt_module::PropType;

use super::{
    FilterError, one_line,
    values::{self, EventField, Map, Slot},
};

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// Whole numbers and others: they are compared by their value.
    Number,
    Truth,
    Time,
    Duration,
    Bytes,
    List,
    /// `null`, which nothing in an event is.
    Nothing,
    /// The expression does not say; it comes out when an event is judged.
    Unknown,
}

impl Kind {
    fn in_words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Time => "a time",
            Self::Duration => "a duration",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Nothing => "no value",
            Self::Unknown => "a value",
        }
    }
}

pub(super) fn of_literal(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Truth,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kind::Number,
        LiteralValue::Null => Kind::Nothing,
        LiteralValue::String(_) => Kind::Text,
    }
}

pub(super) fn of_slot(slot: &Slot) -> Kind {
    match slot {
        Slot::Event(EventField::Kind | EventField::Subject) => Kind::Text,
        Slot::Event(EventField::Time) => Kind::Time,
        Slot::Event(
            EventField::Bit | EventField::Seq | EventField::Context | EventField::Attempt,
        ) => Kind::Number,
        Slot::Value(map, name) => match map.type_of(name) {
            Some(PropType::Long) => Kind::Number,
            Some(PropType::Date) => Kind::Time,
            Some(PropType::Binary) => Kind::Bytes,
            Some(PropType::String) => Kind::Text,
            None => Kind::Unknown,
        },
        Slot::Has(..) | Slot::Critical(_) | Slot::Disabled(_) => Kind::Truth,
        // Whoever makes a constant says what it is.
        Slot::Constant(_) => Kind::Unknown,
    }
}

/// What an operator or function gives. It is asked of those that an expression may use alone.
pub(super) fn of_call(name: &str, arguments: &[Kind]) -> Kind {
    match (name, arguments) {
        (operators::CONDITIONAL, [_, one, other]) if one == other => *one,
        (operators::NEGATE, [Kind::Duration])
        | (operators::ADD | operators::SUBSTRACT, [Kind::Duration, Kind::Duration])
        | (operators::SUBSTRACT, [Kind::Time, Kind::Time]) => Kind::Duration,
        (operators::ADD | operators::SUBSTRACT, [Kind::Time, Kind::Duration]) => Kind::Time,
        (operators::ADD, [Kind::Text, Kind::Text])
        | ("lowerAscii" | "upperAscii" | "string", _) => Kind::Text,
        (
            operators::ADD
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO,
            [Kind::Number, Kind::Number],
        )
        | (operators::NEGATE, [Kind::Number])
        | ("size" | "int", _) => Kind::Number,
        (
            operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::IN
            | operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | "contains"
            | "startsWith"
            | "endsWith",
            _,
        ) => Kind::Truth,
        _ => Kind::Unknown,
    }
}

/// Refuses to compare what can never be equal. The nodes have been walked: what they read stands in
/// `slots`.
pub(super) fn check_equal(
    left: (&IdedExpr, Kind),
    right: (&IdedExpr, Kind),
    slots: &[Slot],
) -> Result<(), FilterError> {
    let ((left, of_left), (right, of_right)) = (left, right);
    if of_left == of_right || of_left == Kind::Unknown || of_right == Kind::Unknown {
        return Ok(());
    }
    Err(FilterError::NeverEqual(one_line(&format!(
        "{} is {} and {} is {}; they are never equal",
        shown(left, slots).unwrap_or_else(|| "the left side".to_owned()),
        of_left.in_words(),
        shown(right, slots).unwrap_or_else(|| "the right side".to_owned()),
        of_right.in_words(),
    ))))
}

/// What stands in the expression, where that is short.
fn shown(node: &IdedExpr, slots: &[Slot]) -> Option<String> {
    match &node.expr {
        Expr::Literal(literal) => Some(match literal {
            LiteralValue::Boolean(it) => it.inner().to_string(),
            LiteralValue::Double(it) => it.inner().to_string(),
            LiteralValue::Int(it) => it.inner().to_string(),
            LiteralValue::UInt(it) => format!("{}u", it.inner()),
            LiteralValue::Null => "null".to_owned(),
            LiteralValue::String(it) => format!("{:?}", it.inner()),
            LiteralValue::Bytes(_) => return None,
        }),
        Expr::Ident(name) => slot_shown(slots.get(values::slot_number(name)?)?),
        _ => None,
    }
}

fn slot_shown(slot: &Slot) -> Option<String> {
    let named = |map: &Map, name: &str| {
        let (variable, _) = Map::ALL.into_iter().find(|(_, it)| it == map)?;
        let is_word = name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
        Some(if is_word { format!("{variable}.{name}") } else { format!("{variable}['{name}']") })
    };
    match slot {
        Slot::Event(field) => EventField::ALL
            .iter()
            .find_map(|(name, it)| (it == field).then(|| format!("event.{name}"))),
        Slot::Value(map, name) => named(map, name),
        Slot::Critical(oid) => Some(format!("extensions['{oid}'].critical")),
        Slot::Disabled(oid) => Some(format!("extensions['{oid}'].disabled")),
        Slot::Has(..) | Slot::Constant(_) => None,
    }
}
