//! Property values and the maps that carry them.
//!
//! Names, types and codes are the original's: a property is a long, a date, bytes or a text, and one
//! that is not there is reported with `CERTSRV_E_PROPERTY_EMPTY`, which is ordinary and no fault.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, display::Base64Display, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap as _,
};

/// `CERTSRV_E_PROPERTY_EMPTY`: the property has no value (winerror.h).
pub const CERTSRV_E_PROPERTY_EMPTY: u32 = 0x8009_4004;

/// `E_INVALIDARG`: the property has another type than was asked for (winerror.h).
pub const E_INVALIDARG: u32 = 0x8007_0057;

/// `E_UNEXPECTED`: the call makes no sense at this point (winerror.h).
pub const E_UNEXPECTED: u32 = 0x8000_ffff;

/// Type of a property: the original's `PROPTYPE_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PropType {
    /// `PROPTYPE_LONG` (1).
    Long,
    /// `PROPTYPE_DATE` (2).
    Date,
    /// `PROPTYPE_BINARY` (3).
    Binary,
    /// `PROPTYPE_STRING` (4).
    String,
}

impl PropType {
    /// `PROPTYPE_MASK`: the bits of a type argument that carry the type. Those above name the
    /// caller, and an exit module is always the same one.
    pub const MASK: u32 = 0xff;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Long, Self::Date, Self::Binary, Self::String];

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Long => 1,
            Self::Date => 2,
            Self::Binary => 3,
            Self::String => 4,
        }
    }

    /// The type that a call's argument means; `None` where it means none of the four.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number & Self::MASK)
    }

    /// Name of the type, as JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Long => "long",
            Self::Date => "date",
            Self::Binary => "binary",
            Self::String => "string",
        }
    }

    /// The type with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A property's value, in one of the original's four types.
///
/// In JSON an object with one member that is named after the type: `{"long":9}`,
/// `{"date":"2026-11-21T07:00:00Z"}`, `{"binary":"MII="}`, `{"string":"text"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `PROPTYPE_LONG` (1).
    Long(i32),
    /// `PROPTYPE_DATE` (2): RFC 3339 in UTC, ending in `Z`.
    Date(String),
    /// `PROPTYPE_BINARY` (3): bytes, in JSON as base64 with padding (RFC 4648, section 4).
    Binary(Vec<u8>),
    /// `PROPTYPE_STRING` (4).
    String(String),
}

impl Value {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> PropType {
        match self {
            Self::Long(_) => PropType::Long,
            Self::Date(_) => PropType::Date,
            Self::Binary(_) => PropType::Binary,
            Self::String(_) => PropType::String,
        }
    }

    /// The number of the type: the original's `PROPTYPE_*`.
    #[must_use]
    pub fn property_type(&self) -> u32 {
        self.kind().number()
    }

    /// Name of the type, as JSON has it.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.kind().name()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Long(number) => map.serialize_entry("long", number)?,
            Self::Date(text) => map.serialize_entry("date", text)?,
            Self::Binary(bytes) => map.serialize_entry("binary", &AsBase64(bytes))?,
            Self::String(text) => map.serialize_entry("string", text)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        KnownValue::deserialize(deserializer)?
            .0
            .ok_or_else(|| de::Error::custom("a property is a long, a date, a binary or a string"))
    }
}

/// A value, or `None` where its type is not one of the four: a newer peer's.
struct KnownValue(Option<Value>);

impl<'de> Deserialize<'de> for KnownValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = KnownValue;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object with one member: long, date, binary or string")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<KnownValue, M::Error> {
                let mut value = None;
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match name.as_ref() {
                        "long" => value = Some(Value::Long(map.next_value()?)),
                        "date" => value = Some(Value::Date(map.next_value()?)),
                        "binary" => value = Some(Value::Binary(map.next_value::<FromBase64>()?.0)),
                        "string" => value = Some(Value::String(map.next_value()?)),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(KnownValue(value))
            }
        }
        deserializer.deserialize_map(ValueVisitor)
    }
}

/// Properties by name, in the order in which they were put in.
///
/// Names compare without regard to ASCII case. The maps are small (some forty entries), so a lookup
/// walks them; building and writing one costs no hashing and, with static names, no allocation for
/// the names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Vec<(Cow<'static, str>, Value)>);

impl Properties {
    /// An empty map with room for `capacity` properties.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Puts a property at the end. The caller sees to it that no name is put in twice; where one
    /// is, the first is the one that is read.
    pub fn push(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        self.0.push((name.into(), value));
    }

    /// Gives a property that value, in its place where it is there already; no value takes it out.
    pub fn set(&mut self, name: &'static str, value: Option<Value>) {
        let place = self.0.iter().position(|(it, _)| it.eq_ignore_ascii_case(name));
        match (place, value) {
            (Some(place), Some(value)) => self.0[place].1 = value,
            (Some(place), None) => drop(self.0.remove(place)),
            (None, Some(value)) => self.push(name, value),
            (None, None) => (),
        }
    }

    /// The value of a property.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has none.
    pub fn property(&self, name: &str) -> Result<&Value, PropertyError> {
        self.0
            .iter()
            .find_map(|(it, value)| it.eq_ignore_ascii_case(name).then_some(value))
            .ok_or_else(|| PropertyError::Empty { name: name.to_owned() })
    }

    /// The number of a property of type long.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has no value, [`PropertyError::Type`] where it is no long.
    pub fn long(&self, name: &str) -> Result<i32, PropertyError> {
        match self.property(name)? {
            Value::Long(number) => Ok(*number),
            other => Err(PropertyError::new_type(name, "long", other)),
        }
    }

    /// The RFC 3339 text of a property of type date.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has no value, [`PropertyError::Type`] where it is no date.
    pub fn date(&self, name: &str) -> Result<&str, PropertyError> {
        match self.property(name)? {
            Value::Date(text) => Ok(text),
            other => Err(PropertyError::new_type(name, "date", other)),
        }
    }

    /// The bytes of a property of type binary.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has no value, [`PropertyError::Type`] where it is no binary.
    pub fn binary(&self, name: &str) -> Result<&[u8], PropertyError> {
        match self.property(name)? {
            Value::Binary(bytes) => Ok(bytes),
            other => Err(PropertyError::new_type(name, "binary", other)),
        }
    }

    /// The text of a property of type string.
    ///
    /// # Errors
    ///
    /// [`PropertyError::Empty`] where it has no value, [`PropertyError::Type`] where it is no string.
    pub fn string(&self, name: &str) -> Result<&str, PropertyError> {
        match self.property(name)? {
            Value::String(text) => Ok(text),
            other => Err(PropertyError::new_type(name, "string", other)),
        }
    }

    /// All properties, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Cow<'static, str>>> FromIterator<(N, Value)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(properties: I) -> Self {
        Self(properties.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PropertiesVisitor;
        impl<'de> Visitor<'de> for PropertiesVisitor {
            type Value = Properties;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object of properties")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Properties, M::Error> {
                let mut properties = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, KnownValue>()? {
                    // A type that only a newer peer knows reads as empty, so that the rest of the
                    // event stays readable.
                    if let Some(value) = value.0 {
                        properties.push((Cow::Owned(name), value));
                    }
                }
                Ok(Properties(properties))
            }
        }
        deserializer.deserialize_map(PropertiesVisitor)
    }
}

/// Why a property could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PropertyError {
    /// It has no value here. Ordinary: which ones have one depends on the event.
    #[error("property {name} is empty")]
    Empty {
        /// The name that was asked for.
        name: String,
    },
    /// It has another type.
    #[error("property {name} is a {found}, not a {asked}")]
    Type {
        /// The name that was asked for.
        name: String,
        /// The type that was asked for.
        asked: &'static str,
        /// The type that it has.
        found: &'static str,
    },
}

impl PropertyError {
    fn new_type(name: &str, asked: &'static str, found: &Value) -> Self {
        Self::Type { name: name.to_owned(), asked, found: found.type_name() }
    }

    /// The original's code for it.
    #[must_use]
    pub fn hresult(&self) -> u32 {
        match self {
            Self::Empty { .. } => CERTSRV_E_PROPERTY_EMPTY,
            Self::Type { .. } => E_INVALIDARG,
        }
    }

    /// Stable code for logs. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "property-empty",
            Self::Type { .. } => "property-type",
        }
    }
}

/// Writes bytes as base64 without a buffer in between.
pub(crate) struct AsBase64<'a>(pub(crate) &'a [u8]);

impl Serialize for AsBase64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// Reads bytes from base64.
pub(crate) struct FromBase64(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for FromBase64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64Visitor;
        impl Visitor<'_> for Base64Visitor {
            type Value = FromBase64;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("base64 with padding")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FromBase64, E> {
                STANDARD.decode(text).map(FromBase64).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Base64Visitor)
    }
}

/// `#[serde(with = …)]` for a field of bytes.
pub(crate) mod base64_field {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        super::AsBase64(bytes).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        super::FromBase64::deserialize(deserializer).map(|it| it.0)
    }
}
