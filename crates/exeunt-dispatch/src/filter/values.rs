//! What an expression can read: slots of an event, times, durations, patterns.

use std::{any::Any, borrow::Cow, cmp::Ordering};

use cel::{
    Env, ExecutionError,
    common::{
        traits::{Adder, Comparer, Subtractor},
        types::{CelBool, CelBytes, CelInt, CelString, Type},
        value::{CowVal, StaticVal, Val},
    },
    context::VariableResolver,
};
use exeunt_module::{
    Event, Extension, PropType, Value,
    view::{View, ViewError},
};
use exeunt_types::EventKind;
use regex::Regex;

use super::FILTER_MATCHED_BYTES_MAX;

/// Name of the function in whose place [`check`](super::check) puts `matches`.
pub(super) const MATCHES: &str = "@matches";

/// First character of the names of slots. No expression can contain it.
const SLOT_SIGN: char = '@';

/// Something that an expression reads. Expressions name it by its number.
#[derive(Debug)]
pub(super) enum Slot {
    Event(EventField),
    Value(Map, String),
    /// Whether there is such a value.
    Has(Map, String),
    Critical(String),
    Disabled(String),
    /// A literal that was read when the expression was checked.
    Constant(Box<dyn Val>),
}

/// A member of `event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventField {
    Kind,
    Bit,
    Seq,
    Subject,
    Context,
    Time,
    Attempt,
}

impl EventField {
    pub(super) const ALL: [(&str, Self); 7] = [
        ("kind", Self::Kind),
        ("bit", Self::Bit),
        ("seq", Self::Seq),
        ("subject", Self::Subject),
        ("context", Self::Context),
        ("time", Self::Time),
        ("attempt", Self::Attempt),
    ];
}

/// A variable with members that depend on the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Map {
    Request,
    Certificate,
    System,
    Detail,
    Attributes,
    Extensions,
}

impl Map {
    pub(super) const ALL: [(&str, Self); 6] = [
        ("request", Self::Request),
        ("certificate", Self::Certificate),
        ("system", Self::System),
        ("detail", Self::Detail),
        ("attributes", Self::Attributes),
        ("extensions", Self::Extensions),
    ];

    fn value<'a>(self, event: &'a Event, name: &str) -> Option<CowVal<'a, 'a>> {
        match self {
            Self::Attributes => View::of(event).request_attribute(name).ok().map(text),
            Self::Extensions => None,
            _ => self.property(event, name, None).ok().map(property),
        }
    }

    fn has(self, event: &Event, name: &str) -> bool {
        match self {
            Self::Attributes => View::of(event).request_attribute(name).is_ok(),
            Self::Extensions => event.extensions.extension(name).is_some(),
            _ => self.property(event, name, None).is_ok(),
        }
    }

    fn property<'a>(
        self,
        event: &'a Event,
        name: &str,
        kind: Option<PropType>,
    ) -> Result<Cow<'a, Value>, ViewError> {
        match self {
            Self::Request => View::of(event).request_property(name, kind),
            Self::Certificate => View::of(event).certificate_property(name, kind),
            Self::System => View::of_system(&event.system).certificate_property(name, kind),
            Self::Detail => event
                .detail
                .property(name)
                .map(Cow::Borrowed)
                .map_err(|_| ViewError::Empty { name: name.to_owned() }),
            Self::Attributes | Self::Extensions => {
                Err(ViewError::Argument { what: "the kind of value" })
            }
        }
    }

    /// Whether there can be a value of that name, in any event.
    pub(super) fn can_have(self, name: &str) -> bool {
        // Under context 0 the CA's own properties could be read as well.
        let event = Event { context: 1, ..Event::default() };
        !matches!(self.property(&event, name, None), Err(ViewError::Unknown { .. }))
    }

    /// The type that the value of that name has in every event; `None` where no rule says it.
    pub(super) fn type_of(self, name: &str) -> Option<PropType> {
        match self {
            // What an event says beyond its properties, and what a requester says, are texts.
            Self::Detail | Self::Attributes => return Some(PropType::String),
            Self::Extensions => return None,
            Self::Request | Self::Certificate | Self::System => (),
        }
        let event = Event { context: 1, ..Event::default() };
        let can_be = |kind: &PropType| {
            !matches!(self.property(&event, name, Some(*kind)), Err(ViewError::Type { .. }))
        };
        let mut types = PropType::ALL.into_iter().filter(can_be);
        types.next().filter(|_| types.next().is_none())
    }
}

/// Name of the slot with that number.
pub(super) fn slot_name(number: usize) -> String {
    format!("{SLOT_SIGN}{number}")
}

/// The number in the name of a slot.
pub(super) fn slot_number(name: &str) -> Option<usize> {
    name.strip_prefix(SLOT_SIGN)?.parse().ok()
}

/// Whether a name is that of a slot. An expression fails with it where the slot is empty.
pub(super) fn is_slot(name: &str) -> bool {
    name.starts_with(SLOT_SIGN)
}

/// An event, as one expression reads it. Nothing is copied.
pub(super) struct Reading<'a> {
    pub(super) slots: &'a [Slot],
    pub(super) event: &'a Event,
}

impl VariableResolver for Reading<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let number = slot_number(variable)?;
        let event = self.event;
        match self.slots.get(number)? {
            Slot::Event(field) => Some(event_field(*field, event)),
            Slot::Value(map, name) => map.value(event, name),
            Slot::Has(map, name) => Some(truth(map.has(event, name))),
            Slot::Critical(oid) => extension_flag(event, oid, Extension::CRITICAL),
            Slot::Disabled(oid) => extension_flag(event, oid, Extension::DISABLED),
            Slot::Constant(value) => Some(CowVal::Borrowed(value.as_ref())),
        }
    }
}

fn event_field(field: EventField, event: &Event) -> CowVal<'_, '_> {
    match field {
        EventField::Kind => text(EventKind::from_bit(event.event).word()),
        EventField::Bit => number(event.event),
        EventField::Seq => number(event.seq),
        EventField::Subject => text(&event.subject),
        EventField::Context => number(event.context),
        EventField::Time => date(&event.time),
        EventField::Attempt => number(event.attempt),
    }
}

fn extension_flag<'b>(event: &Event, oid: &str, flag: u32) -> Option<CowVal<'b, 'b>> {
    event.extensions.extension(oid).map(|it| truth(it.flags & flag != 0))
}

fn property(value: Cow<'_, Value>) -> CowVal<'_, '_> {
    match value {
        Cow::Borrowed(Value::Long(long)) => CowVal::owned(CelInt::from(i64::from(*long))),
        Cow::Borrowed(Value::Date(at)) => date(at),
        Cow::Borrowed(Value::Binary(bytes)) => CowVal::owned(CelBytes::from(bytes.as_slice())),
        Cow::Borrowed(Value::String(string)) => text(string),
        Cow::Owned(Value::Long(long)) => CowVal::owned(CelInt::from(i64::from(long))),
        Cow::Owned(Value::Date(at)) => match at.parse() {
            Ok(at) => CowVal::owned(Timestamp(at)),
            Err(_) => CowVal::owned(CelString::from(at)),
        },
        Cow::Owned(Value::Binary(bytes)) => CowVal::owned(CelBytes::from(bytes)),
        Cow::Owned(Value::String(string)) => CowVal::owned(CelString::from(string)),
    }
}

fn text(text: &str) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(text))
}

/// CEL's whole numbers have 63 bits; no count of ours gets there.
fn number<'b>(number: impl Into<u64>) -> CowVal<'b, 'b> {
    CowVal::owned(CelInt::from(i64::try_from(number.into()).unwrap_or(i64::MAX)))
}

fn truth<'b>(truth: bool) -> CowVal<'b, 'b> {
    CowVal::owned(CelBool::from(truth))
}

/// What is no date stays a text, so that comparing it with a date fails and is reported.
fn date(at: &str) -> CowVal<'_, '_> {
    at.parse().map_or_else(|_| text(at), |at| CowVal::owned(Timestamp(at)))
}

/// The library's functions, and ours. What of them an expression may call says
/// [`check`](super::check).
pub(super) fn env() -> Env {
    let mut env = Env::default().with_optional_support(false).with_stdlib();
    cel::add_overload!(env, fn matches: (CelString, Pattern) -> Result<CelBool>, name = MATCHES)
        .and_then(|()| cel::extensions::strings(&mut env))
        .expect("BUG: the library declares neither of these itself");
    env
}

fn matches(text: &CelString<'_>, pattern: &Pattern) -> Result<CelBool, ExecutionError> {
    let text = text.inner();
    if FILTER_MATCHED_BYTES_MAX < text.len() {
        let why =
            format!("{} bytes of text, at most {FILTER_MATCHED_BYTES_MAX} allowed", text.len());
        return Err(ExecutionError::function_error("matches", why));
    }
    Ok(CelBool::from(pattern.0.is_match(text)))
}

/// A moment. The library's own type would bring a second library for time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timestamp(pub(super) jiff::Timestamp);

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Duration(pub(super) jiff::SignedDuration);

/// A pattern of `matches`.
#[derive(Clone, Debug)]
pub(super) struct Pattern(pub(super) Regex);

static TIMESTAMP_TYPE: Type = Type::new_unspecified_type("timestamp");
static DURATION_TYPE: Type = Type::new_unspecified_type("duration");
static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

impl StaticVal for Timestamp {}
impl StaticVal for Duration {}
impl StaticVal for Pattern {}

impl Val for Timestamp {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }
    fn cel_type() -> &'static Type {
        &TIMESTAMP_TYPE
    }
    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }
    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)> {
        Some(self)
    }
    fn as_subtractor<'b, 'v>(&'b self) -> Option<&'b (dyn Subtractor + 'v)> {
        Some(self)
    }
}

impl Comparer for Timestamp {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        other
            .downcast_ref::<Self>()
            .map(|other| self.cmp(other))
            .ok_or_else(|| mixed("<", self, other))
    }
}

impl Adder for Timestamp {
    fn add<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Duration(span) = other.downcast_ref().ok_or_else(|| mixed("+", self, other))?;
        self.0.checked_add(*span).map(|it| CowVal::owned(Self(it))).map_err(|_| out_of_range("+"))
    }
}

impl Subtractor for Timestamp {
    fn sub<'b, 'v>(&'b self, other: &(dyn Val + 'v)) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        if let Some(Self(earlier)) = other.downcast_ref() {
            return Ok(CowVal::owned(Duration(self.0.duration_since(*earlier))));
        }
        let Duration(span) = other.downcast_ref().ok_or_else(|| mixed("-", self, other))?;
        self.0.checked_sub(*span).map(|it| CowVal::owned(Self(it))).map_err(|_| out_of_range("-"))
    }
}

impl Val for Duration {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }
    fn cel_type() -> &'static Type {
        &DURATION_TYPE
    }
    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(*self)
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }
}

impl Comparer for Duration {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        other
            .downcast_ref::<Self>()
            .map(|other| self.cmp(other))
            .ok_or_else(|| mixed("<", self, other))
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }
    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

fn mixed(operator: &str, left: &dyn Val, right: &dyn Val) -> ExecutionError {
    let types = [left, right].map(|it| it.get_type().name().to_owned());
    ExecutionError::no_such_overload(operator, types.into())
}

fn out_of_range(operator: &str) -> ExecutionError {
    ExecutionError::function_error(operator, "the result is no time that a calendar has")
}
