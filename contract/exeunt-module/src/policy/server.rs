//! What a policy works on while it decides about one request: the original's `ICertServerPolicy`
//! without its binary form. The one judge of what may be set, for every tier and for the host.

use std::sync::Arc;

use der::{Decode as _, asn1::AnyRef};

use crate::{
    Event, Extension, PropType, Value,
    policy::{
        Disposition, LogLevel, LogLine, PolicyError, Ruling, SetExtension, SetProperty,
        VerifyRequest, encode, name,
    },
    view::{self, Class, View},
};

/// Most properties, most extensions and most lines for the log that one ruling may set, each.
pub const CHANGES_MAX: usize = 64;

/// Longest OID that an extension can be set by, in characters: the original's limit.
pub const OID_CHARS_MAX: usize = 31;

/// Longest value of an extension, in octets: the original's column `ExtensionRawValue`.
pub const EXTENSION_BYTES_MAX: usize = 4096;

/// Longest line for the log, in characters; what is longer is cut.
pub const LOG_TEXT_CHARS_MAX: usize = 1000;

/// Flags of an extension that a policy may set: critical, disabled, and the eight bits that are free
/// for its own data.
pub const FLAGS_SETTABLE: u32 = Extension::CRITICAL | Extension::DISABLED | 0xff00;

/// Extensions that the engine puts into every certificate by itself, and their names. Another value
/// would make the certificate one of another issuer, key or kind.
pub const OWNED: [(&str, &str); 5] = [
    ("2.5.29.19", "basic constraints"),
    ("2.5.29.35", "authority key identifier"),
    ("2.5.29.14", "subject key identifier"),
    ("2.5.29.31", "CRL distribution points"),
    ("1.3.6.1.5.5.7.1.1", "authority information access"),
];

/// `EXTENSION_ORIGIN_POLICY`: the engine's mark on what a policy has set.
const ORIGIN_POLICY: u32 = 0x2_0000;

/// One request under decision: what can be read about it, and what was set so far. A read after a
/// set sees the new value.
///
/// Reading is that of exit modules: [`ServerPolicy::view`], or a
/// [`Reader`](crate::view::Reader) that is [refreshed](crate::view::Reader::refresh) with
/// [`ServerPolicy::event`] before each call.
#[derive(Clone, Debug)]
pub struct ServerPolicy {
    event: Arc<Event>,
    /// The validity that the engine would give, where the snapshot says it.
    engine: [Option<String>; 2],
    set_properties: Vec<SetProperty>,
    set_extensions: Vec<SetExtension>,
    log: Vec<LogLine>,
}

impl ServerPolicy {
    /// Over the snapshot of a call.
    #[must_use]
    pub fn new(asked: &VerifyRequest) -> Self {
        Self::over(Arc::new(asked.event.clone()))
    }

    /// The same over a snapshot that is shared.
    #[must_use]
    pub fn over(event: Arc<Event>) -> Self {
        let date = |name| event.certificate.date(name).ok().map(str::to_owned);
        let engine = [date("NotBefore"), date("NotAfter")];
        Self {
            engine,
            event,
            set_properties: Vec::new(),
            set_extensions: Vec::new(),
            log: Vec::new(),
        }
    }

    /// The snapshot as it is by now.
    #[must_use]
    pub fn event(&self) -> &Arc<Event> {
        &self.event
    }

    /// Everything that can be read: `GetRequestProperty` and so on.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::of(&self.event)
    }

    /// `SetCertificateProperty`: a part of the name, a bound of the validity, a line for the log, or
    /// one of the original's properties for policies, which are kept and mean nothing here. No value
    /// takes a part of the name out. `kind` is the type that the caller names beside the value.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]; nothing is changed then.
    pub fn set_certificate_property(
        &mut self,
        name: &str,
        kind: PropType,
        value: Option<Value>,
    ) -> Result<(), PolicyError> {
        if let Some(value) = &value
            && value.kind() != kind
        {
            return Err(wrong_type(name, kind, value.kind()));
        }
        if let Some(part) = view::name_part(name) {
            return self.set_name_part(name, part, kind, value);
        }
        if let Some(level) = LogLevel::from_property(name) {
            return self.write_log(level, name, kind, value);
        }
        match view::find_property(name) {
            Some(known) if matches!(known.name, "NotBefore" | "NotAfter") => {
                self.set_date(known.name, kind, value)
            }
            Some(known) if known.class == Class::Policy => {
                if let Some(expected) = known.kind
                    && expected != kind
                {
                    return Err(wrong_type(name, expected, kind));
                }
                self.keep_property(known.name, value)
            }
            Some(known) => Err(PolicyError::ReadOnly { name: known.name.to_owned() }),
            None => Err(PolicyError::Unknown { name: shown(name) }),
        }
    }

    /// `SetCertificateExtension`, the value in DER or in a type that is encoded: puts an extension
    /// into the certificate or, with [`Extension::DISABLED`], keeps it out. No value needs that flag
    /// and disables the one that is there.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]; nothing is changed then.
    pub fn set_certificate_extension(
        &mut self,
        oid: &str,
        kind: PropType,
        flags: u32,
        value: Option<&Value>,
    ) -> Result<(), PolicyError> {
        // 1. Which one, and how. An identifier has one spelling: one with zeros before a number would
        //    be another here, and the same one in the certificate.
        let is_oid = der::oid::ObjectIdentifier::new(oid).is_ok_and(|it| it.to_string() == oid);
        if !is_oid || OID_CHARS_MAX < oid.len() {
            return Err(PolicyError::Oid { oid: shown(oid) });
        }
        if let Some((_, name)) = OWNED.iter().find(|(it, _)| *it == oid) {
            return Err(PolicyError::Owned { oid: oid.to_owned(), name });
        }
        if flags & !FLAGS_SETTABLE != 0 {
            return Err(PolicyError::Flags { oid: oid.to_owned(), flags });
        }
        check_room(self.set_extensions.len(), "extensions")?;

        // 2. What it holds.
        let disabled = flags & Extension::DISABLED != 0;
        let cannot = |reason: &str| PolicyError::Value {
            name: format!("extension {oid}"),
            reason: reason.to_owned(),
        };
        let der = match value {
            Some(value) if value.kind() != kind => {
                return Err(wrong_type(&format!("extension {oid}"), kind, value.kind()));
            }
            Some(value) => {
                let der = encode::encode(value).ok_or_else(|| cannot("cannot be encoded"))?;
                if EXTENSION_BYTES_MAX < der.len() {
                    return Err(cannot("is longer than 4096 octets"));
                }
                if AnyRef::from_der(&der).is_err() {
                    return Err(cannot("is not one value in DER"));
                }
                Some(der)
            }
            None if disabled => None,
            None => return Err(cannot("has no value, which only one that is disabled may have")),
        };

        // 3. Into the snapshot and among the changes.
        let there = self.event.extensions.extension(oid);
        let stored = match (&der, there) {
            (Some(der), _) => der.clone(),
            (None, Some(there)) => there.value.clone(),
            (None, None) => return Err(PolicyError::NoExtension { oid: oid.to_owned() }),
        };
        let extension = Extension { flags: flags | ORIGIN_POLICY, value: stored };
        Arc::make_mut(&mut self.event).extensions.set(oid.to_owned(), extension);
        self.set_extensions.push(SetExtension { oid: oid.to_owned(), flags, value: der });
        Ok(())
    }

    /// Puts an extension of the request into the certificate as it stands there: its value once
    /// more, without the flag that disables it.
    ///
    /// # Errors
    ///
    /// [`PolicyError::NoExtension`] where there is none; else as
    /// [`ServerPolicy::set_certificate_extension`].
    pub fn enable_extension(&mut self, oid: &str) -> Result<(), PolicyError> {
        let there = self.event.extensions.extension(oid);
        let there = there.ok_or_else(|| PolicyError::NoExtension { oid: shown(oid) })?;
        let (flags, value) = (there.flags & Extension::CRITICAL, there.value.clone());
        self.set_certificate_extension(oid, PropType::Binary, flags, Some(&Value::Binary(value)))
    }

    /// Keeps an extension out of the certificate.
    ///
    /// # Errors
    ///
    /// As [`ServerPolicy::set_certificate_extension`].
    pub fn disable_extension(&mut self, oid: &str) -> Result<(), PolicyError> {
        self.set_certificate_extension(oid, PropType::Binary, Extension::DISABLED, None)
    }

    /// Carries out what a ruling sets, in its order: properties, then extensions, then lines for the
    /// log.
    ///
    /// # Errors
    ///
    /// The first thing that may not be set. What came before it is set.
    pub fn apply(&mut self, ruling: &Ruling) -> Result<(), PolicyError> {
        for SetProperty { name, value } in &ruling.set_properties {
            let known = view::name_part(name).or_else(|| view::find_property(name));
            let kind = match value {
                Some(value) => value.kind(),
                None => known.and_then(|it| it.kind).unwrap_or(PropType::String),
            };
            self.set_certificate_property(name, kind, value.clone())?;
        }
        for SetExtension { oid, flags, value } in &ruling.set_extensions {
            let value = value.clone().map(Value::Binary);
            self.set_certificate_extension(oid, PropType::Binary, *flags, value.as_ref())?;
        }
        for LogLine { level, text } in &ruling.log {
            check_room(self.log.len(), "lines for the log")?;
            self.log.push(LogLine { level: *level, text: cut(text) });
        }
        Ok(())
    }

    /// Everything that was set, as the answer to the call.
    #[must_use]
    pub fn into_ruling(self, disposition: Disposition, message: Option<String>) -> Ruling {
        let Self { set_properties, set_extensions, log, .. } = self;
        let disposition = disposition.number();
        Ruling { disposition, message, set_properties, set_extensions, log }
    }

    /// Lines for the log so far.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }

    fn set_name_part(
        &mut self,
        given: &str,
        part: &'static view::Property,
        kind: PropType,
        value: Option<Value>,
    ) -> Result<(), PolicyError> {
        // The whole name follows from its parts.
        let Some(limit) = name::name_limit(part.name) else {
            return Err(PolicyError::ReadOnly { name: part.name.to_owned() });
        };
        if kind != PropType::String {
            return Err(wrong_type(given, PropType::String, kind));
        }
        if let Some(Value::String(text)) = &value {
            let name = part.name.to_owned();
            name::check(limit, text).map_err(|reason| PolicyError::Value { name, reason })?;
        }
        self.keep_property(part.name, value)
    }

    fn set_date(
        &mut self,
        name: &'static str,
        kind: PropType,
        value: Option<Value>,
    ) -> Result<(), PolicyError> {
        if kind != PropType::Date {
            return Err(wrong_type(name, PropType::Date, kind));
        }
        let cannot =
            |reason: &str| PolicyError::Value { name: name.to_owned(), reason: reason.to_owned() };
        let Some(Value::Date(text)) = value else { return Err(cannot("cannot be taken out")) };
        let moment =
            encode::moment(&text).ok_or_else(|| cannot("is no time like 2026-11-21T07:00:00Z"))?;
        let now = |name| self.event.certificate.date(name).ok().and_then(encode::moment);
        if now(name) == Some(moment) {
            return Err(PolicyError::Unchanged { name: name.to_owned(), value: text });
        }
        let bound = |index: usize| self.engine[index].as_deref().and_then(encode::moment);
        let outside =
            bound(0).is_some_and(|it| moment < it) || bound(1).is_some_and(|it| it < moment);
        if outside {
            let [not_before, not_after] = self.engine.clone().map(Option::unwrap_or_default);
            let name = name.to_owned();
            return Err(PolicyError::Wider { name, value: text, not_before, not_after });
        }
        let crosses = match name {
            "NotBefore" => now("NotAfter").is_some_and(|it| it < moment),
            _ => now("NotBefore").is_some_and(|it| moment < it),
        };
        if crosses {
            return Err(cannot("leaves no time between NotBefore and NotAfter"));
        }
        self.keep_property(name, Some(Value::Date(text)))
    }

    fn write_log(
        &mut self,
        level: LogLevel,
        name: &str,
        kind: PropType,
        value: Option<Value>,
    ) -> Result<(), PolicyError> {
        match value {
            _ if kind != PropType::String => Err(wrong_type(name, PropType::String, kind)),
            Some(Value::String(text)) => {
                check_room(self.log.len(), "lines for the log")?;
                self.log.push(LogLine { level, text: cut(&text) });
                Ok(())
            }
            _ => Err(PolicyError::Value { name: shown(name), reason: "has no text".to_owned() }),
        }
    }

    fn keep_property(
        &mut self,
        name: &'static str,
        value: Option<Value>,
    ) -> Result<(), PolicyError> {
        check_room(self.set_properties.len(), "properties")?;
        Arc::make_mut(&mut self.event).certificate.set(name, value.clone());
        self.set_properties.push(SetProperty { name: name.to_owned(), value });
        Ok(())
    }
}

fn check_room(len: usize, what: &'static str) -> Result<(), PolicyError> {
    if CHANGES_MAX <= len {
        return Err(PolicyError::TooMany { what, max: CHANGES_MAX });
    }
    Ok(())
}

fn wrong_type(name: &str, expected: PropType, found: PropType) -> PolicyError {
    PolicyError::Type { name: shown(name), expected: expected.name(), found: found.name() }
}

/// A module's text, cut for a message.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// A module's text as one line of the log.
fn cut(text: &str) -> String {
    let plain = |it: char| if it.is_control() { ' ' } else { it };
    text.chars().take(LOG_TEXT_CHARS_MAX).map(plain).collect()
}
