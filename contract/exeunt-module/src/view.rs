//! What an exit module can read, by the rules of the original's `ICertServerExit`: the one
//! implementation for every tier.
//!
//! [`View`] answers single questions about an event or about the CA; [`Reader`] is the same with
//! the state that the original's object has: a context, the extension fetched last, two
//! enumerations. [`PROPERTIES`] is the table of all names.
//!
//! The rules. Names are compared without regard to ASCII case. A property is read in its own type;
//! another type is [`ViewError::Type`], whether there is a value or not. A known name without a
//! value is [`ViewError::Empty`], which is ordinary; a name that nobody knows is
//! [`ViewError::Unknown`] with `E_INVALIDARG`, so that a misspelt one is found. Names beside the
//! table are read where the event has them: a newer server may say more than this version knows.
//!
//! Context 0 reads the CA's own properties, an event's context those of its request and
//! certificate; the context of an event that is about no request reads the CA's as well.

mod answer;
mod decode;
mod error;
mod known;

use std::{borrow::Cow, fmt, sync::Arc};

pub use error::{E_FAIL, ViewError};
pub use known::{ALIASES, Class, Indexed, PROPERTIES, Property, ca_disposition, name_parts};

use crate::{
    Event, Extension, PropType, Properties, Value,
    call_back::{Asked, Found, Query},
};
use known::{PERIOD_LAST, find, name_property};

/// Before the name of a module's setting, it makes a property of the CA: `Setting.folder`.
pub const SETTING_PREFIX: &str = "Setting.";

/// Before the name of a detail of an event, it makes a property that is read like the
/// certificate's: `Detail.Reason`.
pub const DETAIL_PREFIX: &str = "Detail.";

/// `EnumerateExtensionsSetup`'s one flag, `ENUMEXT_OBJECTID`. It changes nothing: names are OIDs.
pub const ENUMEXT_OBJECTID: u32 = 1;

/// Asks the host for what the event was sent without: `RawRequest`, where call-backs were agreed.
pub type Fetch = dyn Fn(&Query) -> Result<Found, ViewError> + Send + Sync;

/// Questions about one event, or about the CA alone.
#[derive(Clone, Copy)]
pub struct View<'a> {
    event: Option<&'a Event>,
    system: &'a Properties,
    fetch: Option<&'a Fetch>,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.event.map(|it| it.seq);
        out.debug_struct("View").field("seq", &seq).finish_non_exhaustive()
    }
}

impl<'a> View<'a> {
    /// What can be read under the context of that event.
    #[must_use]
    pub fn of(event: &'a Event) -> Self {
        Self { event: Some(event), system: &event.system, fetch: None }
    }

    /// What can be read under context 0.
    #[must_use]
    pub fn of_system(system: &'a Properties) -> Self {
        Self { event: None, system, fetch: None }
    }

    /// The same view with a way to fetch what the event does not carry.
    #[must_use]
    pub fn with_fetch(self, fetch: &'a Fetch) -> Self {
        Self { fetch: Some(fetch), ..self }
    }

    /// `GetRequestProperty`. Without a type, in whichever type it has.
    ///
    /// # Errors
    ///
    /// As the rules above say; under context 0 every known name is empty.
    pub fn request_property(
        &self,
        name: &str,
        kind: impl Into<Option<PropType>>,
    ) -> Result<Cow<'a, Value>, ViewError> {
        let kind = kind.into();
        let known = name_property(name).or_else(|| find(name, &[Class::Request]));
        if let Some(known) = known {
            check_kind(name, kind, known.kind)?;
        }
        let plain = known.map_or(name, |it| it.name);
        if let Some(value) = self.event.and_then(|it| value(&it.request, plain)) {
            return in_kind(name, kind, value);
        }
        match (known, plain) {
            (None, _) => Err(unknown(name)),
            (_, "RawCACertificate") if self.event.is_some() => {
                self.indexed(name, plain, None, kind)
            }
            (_, "RawRequest" | "RawArchivedKey" | "KeyRecoveryHashes") => {
                self.fetched(name, plain, kind)
            }
            _ => Err(empty(name)),
        }
    }

    /// `GetRequestAttribute`. Blanks and hyphens in the name do not count.
    ///
    /// # Errors
    ///
    /// [`ViewError::Empty`] where the request has no such attribute.
    pub fn request_attribute(&self, name: &str) -> Result<&'a str, ViewError> {
        let attributes = self.event.map_or(&[][..], |it| it.attributes.as_slice());
        attributes
            .iter()
            .find_map(|(it, value)| same_attribute(it, name).then_some(value.as_str()))
            .ok_or_else(|| empty(name))
    }

    /// `GetCertificateProperty`: of the certificate, or of the CA, by the context. Without a type,
    /// in whichever type it has.
    ///
    /// # Errors
    ///
    /// As the rules above say; a known name of the other context is empty.
    /// [`ViewError::NoSuchIndex`] for an index beyond the last.
    pub fn certificate_property(
        &self,
        name: &str,
        kind: impl Into<Option<PropType>>,
    ) -> Result<Cow<'a, Value>, ViewError> {
        const OURS: [Class; 3] = [Class::Certificate, Class::RequestSystem, Class::Policy];
        let kind = kind.into();
        if let Some(known) = name_property(name).or_else(|| find(name, &OURS)) {
            check_kind(name, kind, known.kind)?;
            let found = self.event.and_then(|it| {
                let of_request = || value(&it.request, known.name);
                // What the row of a request says of its certificate before there is one.
                let shared = matches!(known.name, "RequestID" | "CertificateTemplate");
                value(&it.certificate, known.name).or_else(|| shared.then(of_request)?)
            });
            return in_kind(name, kind, found.ok_or_else(|| empty(name))?);
        }
        if let Some((known, index)) = indexed_name(name) {
            check_kind(name, kind, known.kind)?;
            if known.class == Class::Policy || !self.reads_system() {
                return Err(empty(name));
            }
            return match known.indexed {
                Indexed::ByCertificate => self.indexed(name, known.name, index, kind),
                Indexed::ByPeriod if index.is_some_and(|it| PERIOD_LAST < it) => {
                    Err(ViewError::NoSuchIndex { name: name.to_owned() })
                }
                _ => in_kind(name, kind, value(self.system, name).ok_or_else(|| empty(name))?),
            };
        }
        let beside = self.beside(name);
        match beside {
            Some(value) => in_kind(name, kind, value),
            None if has_prefix(name, SETTING_PREFIX) || has_prefix(name, DETAIL_PREFIX) => {
                Err(empty(name))
            }
            None => Err(unknown(name)),
        }
    }

    /// `GetCertificateExtension`: the value in that type, or its DER without one, and the flags.
    /// Also an extension that was left out of the certificate: look at the flags.
    ///
    /// # Errors
    ///
    /// [`ViewError::Empty`] where there is no such extension, [`ViewError::Undecodable`] where it
    /// is not of that type, [`ViewError::Argument`] for what is no OID.
    pub fn certificate_extension(
        &self,
        oid: &str,
        kind: impl Into<Option<PropType>>,
    ) -> Result<(Value, u32), ViewError> {
        if !is_oid(oid) {
            return Err(ViewError::Argument { what: "the OID" });
        }
        let kind = kind.into().unwrap_or(PropType::Binary);
        let extension = self.extension(oid).ok_or_else(|| empty(oid))?;
        let value = decode::decode(&extension.value, kind)
            .ok_or_else(|| ViewError::Undecodable { oid: oid.to_owned(), asked: kind.name() })?;
        Ok((value, extension.flags))
    }

    /// The extension with that OID as it is.
    #[must_use]
    pub fn extension(&self, oid: &str) -> Option<&'a Extension> {
        self.event.and_then(|it| it.extensions.extension(oid))
    }

    /// The OIDs of all extensions, in order.
    pub fn extension_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.event.into_iter().flat_map(|it| it.extensions.iter().map(|(oid, _)| oid))
    }

    /// The names of all attributes, in order.
    pub fn attribute_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.event.into_iter().flat_map(|it| it.attributes.iter().map(|(name, _)| name.as_str()))
    }

    /// Whether the CA's own properties can be read: under context 0, and under the context of an
    /// event that is about no request.
    fn reads_system(&self) -> bool {
        self.event.is_none_or(|it| it.context == 0)
    }

    /// A property with an index over the CA's certificates. The newest one's stands in the snapshot
    /// under the plain name, under its index, or both.
    fn indexed(
        &self,
        name: &str,
        plain: &str,
        index: Option<u64>,
        kind: Option<PropType>,
    ) -> Result<Cow<'a, Value>, ViewError> {
        let count = match value(self.system, "CertCount") {
            Some(Value::Long(count)) => u64::try_from(*count).unwrap_or(0),
            _ => 0,
        };
        let newest = count.checked_sub(1);
        let index = match index {
            Some(index) if newest.is_none_or(|newest| newest < index) => {
                return Err(ViewError::NoSuchIndex { name: name.to_owned() });
            }
            Some(index) => Some(index),
            None => newest,
        };
        let under_index = || value(self.system, &format!("{plain}.{}", index?));
        let found = if index == newest { value(self.system, plain) } else { None };
        match found.or_else(under_index) {
            Some(value) => in_kind(name, kind, value),
            // The original reports a list that does not exist as a file that does not.
            None if plain == "RawDeltaCRL" && self.has_no_delta_lists() => {
                Err(ViewError::NoSuchIndex { name: name.to_owned() })
            }
            None => Err(empty(name)),
        }
    }

    fn has_no_delta_lists(&self) -> bool {
        matches!(value(self.system, "fDeltaCRLsDisabled"), Some(Value::Long(it)) if *it != 0)
    }

    /// A setting, a detail, or a name that only a newer server knows.
    fn beside(&self, name: &str) -> Option<&'a Value> {
        let of_system = || if self.reads_system() { value(self.system, name) } else { None };
        let Some(event) = self.event else { return of_system() };
        if has_prefix(name, DETAIL_PREFIX) {
            return value(&event.detail, &name[DETAIL_PREFIX.len()..]);
        }
        value(&event.certificate, name).or_else(of_system)
    }

    /// A value of the request that the event came without, asked of the host.
    fn fetched(
        &self,
        name: &str,
        plain: &str,
        kind: Option<PropType>,
    ) -> Result<Cow<'a, Value>, ViewError> {
        let (Some(event), Some(fetch)) = (self.event, self.fetch) else { return Err(empty(name)) };
        if event.context == 0 {
            return Err(empty(name));
        }
        let asked = Asked { seq: event.seq, name: plain.to_owned(), value_type: None };
        match fetch(&Query::GetRequestProperty(asked))? {
            Found::Value(value) => match kind {
                Some(kind) if kind != value.kind() => Err(wrong_kind(name, kind, value.kind())),
                _ => Ok(Cow::Owned(value)),
            },
            Found::Extension(_) => Err(ViewError::Fetch {
                name: name.to_owned(),
                source: "the host answered with an extension".into(),
            }),
        }
    }
}

/// What a [`Reader`] reads.
#[derive(Clone, Debug, Default)]
pub enum Context {
    /// The original's context 0, that of a new object: the CA's own properties.
    #[default]
    System,
    /// An event's.
    Event(Arc<Event>),
}

/// The original's `ICertServerExit` object: questions, and what one call leaves for the next.
///
/// One per object that a module makes. It keeps its event alive; that a context ends with its
/// `Notify` is for the caller to see to.
#[derive(Clone)]
pub struct Reader {
    system: Arc<Properties>,
    context: Context,
    fetch: Option<Arc<Fetch>>,
    flags_of_last: Option<u32>,
    next_extension: Option<usize>,
    next_attribute: Option<usize>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Reader").field("view", &self.view()).finish_non_exhaustive()
    }
}

impl Reader {
    /// A new object: context 0, over the CA's own properties.
    #[must_use]
    pub fn new(system: Arc<Properties>) -> Self {
        Self {
            system,
            context: Context::System,
            fetch: None,
            flags_of_last: None,
            next_extension: None,
            next_attribute: None,
        }
    }

    /// The same with a way to fetch what events do not carry.
    #[must_use]
    pub fn with_fetch(self, fetch: Arc<Fetch>) -> Self {
        Self { fetch: Some(fetch), ..self }
    }

    /// `SetContext`. The extension fetched last and both enumerations are forgotten.
    pub fn set_context(&mut self, context: Context) {
        self.context = context;
        self.flags_of_last = None;
        self.next_extension = None;
        self.next_attribute = None;
    }

    /// Takes a newer state of the event that the context is, as a policy module's own changes make
    /// it. What one call leaves for the next stays; under context 0 nothing happens.
    pub fn refresh(&mut self, event: Arc<Event>) {
        if matches!(self.context, Context::Event(_)) {
            self.context = Context::Event(event);
        }
    }

    /// The same without state.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        let view = match &self.context {
            Context::System => View::of_system(&self.system),
            Context::Event(event) => View::of(event),
        };
        View { fetch: self.fetch.as_deref(), ..view }
    }

    /// `GetRequestProperty`.
    ///
    /// # Errors
    ///
    /// As [`View::request_property`].
    pub fn request_property(
        &self,
        name: &str,
        kind: impl Into<Option<PropType>>,
    ) -> Result<Cow<'_, Value>, ViewError> {
        self.view().request_property(name, kind)
    }

    /// `GetRequestAttribute`.
    ///
    /// # Errors
    ///
    /// As [`View::request_attribute`].
    pub fn request_attribute(&self, name: &str) -> Result<&str, ViewError> {
        self.view().request_attribute(name)
    }

    /// `GetCertificateProperty`.
    ///
    /// # Errors
    ///
    /// As [`View::certificate_property`].
    pub fn certificate_property(
        &self,
        name: &str,
        kind: impl Into<Option<PropType>>,
    ) -> Result<Cow<'_, Value>, ViewError> {
        self.view().certificate_property(name, kind)
    }

    /// `GetCertificateExtension`. A success is what [`Reader::extension_flags`] speaks of next.
    ///
    /// # Errors
    ///
    /// As [`View::certificate_extension`]; the extension fetched last stays the one it was.
    pub fn certificate_extension(
        &mut self,
        oid: &str,
        kind: impl Into<Option<PropType>>,
    ) -> Result<Value, ViewError> {
        let (value, flags) = self.view().certificate_extension(oid, kind)?;
        self.flags_of_last = Some(flags);
        Ok(value)
    }

    /// `GetCertificateExtensionFlags`: of the extension fetched last.
    ///
    /// # Errors
    ///
    /// [`ViewError::Order`] where none was.
    pub fn extension_flags(&self) -> Result<u32, ViewError> {
        self.flags_of_last.ok_or(ViewError::Order { needed: "GetCertificateExtension" })
    }

    /// `EnumerateExtensionsSetup`: starts, or starts again.
    ///
    /// # Errors
    ///
    /// [`ViewError::Argument`] for flags beyond [`ENUMEXT_OBJECTID`].
    pub fn enumerate_extensions_setup(&mut self, flags: u32) -> Result<(), ViewError> {
        check_flags(flags)?;
        self.next_extension = Some(0);
        Ok(())
    }

    /// `EnumerateExtensions`: the next OID, also of an extension that was left out of the
    /// certificate; `None` is the original's `S_FALSE`, again and again.
    ///
    /// # Errors
    ///
    /// [`ViewError::Order`] before the set-up.
    pub fn next_extension(&mut self) -> Result<Option<String>, ViewError> {
        let place =
            self.next_extension.ok_or(ViewError::Order { needed: "EnumerateExtensionsSetup" })?;
        let name = self.view().extension_names().nth(place).map(str::to_owned);
        self.next_extension = Some(place + usize::from(name.is_some()));
        Ok(name)
    }

    /// `EnumerateExtensionsClose`. Closing what is not open is no error.
    pub fn enumerate_extensions_close(&mut self) {
        self.next_extension = None;
    }

    /// `EnumerateAttributesSetup`: starts, or starts again.
    ///
    /// # Errors
    ///
    /// [`ViewError::Argument`] for flags: none is defined that means anything.
    pub fn enumerate_attributes_setup(&mut self, flags: u32) -> Result<(), ViewError> {
        check_flags(flags)?;
        self.next_attribute = Some(0);
        Ok(())
    }

    /// `EnumerateAttributes`: the next name; `None` is the original's `S_FALSE`, again and again.
    ///
    /// # Errors
    ///
    /// [`ViewError::Order`] before the set-up.
    pub fn next_attribute(&mut self) -> Result<Option<String>, ViewError> {
        let place =
            self.next_attribute.ok_or(ViewError::Order { needed: "EnumerateAttributesSetup" })?;
        let name = self.view().attribute_names().nth(place).map(str::to_owned);
        self.next_attribute = Some(place + usize::from(name.is_some()));
        Ok(name)
    }

    /// `EnumerateAttributesClose`. Closing what is not open is no error.
    pub fn enumerate_attributes_close(&mut self) {
        self.next_attribute = None;
    }
}

/// The name property that a name means, also by an alias or with `Subject.` before it.
pub(crate) fn name_part(name: &str) -> Option<&'static Property> {
    name_property(name)
}

/// The row of any other name, of those that a policy might want to set first. An index is dropped.
pub(crate) fn find_property(name: &str) -> Option<&'static Property> {
    const ALL: [Class; 5] =
        [Class::Certificate, Class::Policy, Class::RequestSystem, Class::System, Class::Request];
    let of = |name: &str| ALL.iter().find_map(|class| find(name, &[*class]));
    of(name).or_else(|| indexed_name(name).map(|(known, _)| known))
}

fn value<'a>(properties: &'a Properties, name: &str) -> Option<&'a Value> {
    properties.iter().find_map(|(it, value)| it.eq_ignore_ascii_case(name).then_some(value))
}

/// A row of the table and the index: of `RawCRL.2`, the row of `RawCRL` and 2. An index is a
/// decimal number without sign or leading zero; one too large for 64 bits is beyond every last.
fn indexed_name(name: &str) -> Option<(&'static Property, Option<u64>)> {
    const CLASSES: [Class; 2] = [Class::System, Class::Policy];
    if let Some(known) = find(name, &CLASSES) {
        return Some((known, None));
    }
    let (plain, index) = name.rsplit_once('.')?;
    let known = find(plain, &CLASSES).filter(|it| it.indexed != Indexed::No)?;
    let digits = !index.is_empty() && index.bytes().all(|it| it.is_ascii_digit());
    let shortest = index == "0" || !index.starts_with('0');
    (digits && shortest).then(|| (known, Some(index.parse().unwrap_or(u64::MAX))))
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix))
}

fn same_attribute(one: &str, other: &str) -> bool {
    let plain = |name: &str| {
        name.chars()
            .filter(|it| !matches!(it, ' ' | '-'))
            .map(|it| it.to_ascii_lowercase())
            .collect::<Vec<_>>()
    };
    one.eq_ignore_ascii_case(other) || plain(one) == plain(other)
}

/// At least two numbers with dots between them.
fn is_oid(text: &str) -> bool {
    let number = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
    text.contains('.') && text.split('.').all(number)
}

fn check_flags(flags: u32) -> Result<(), ViewError> {
    match flags {
        0 | ENUMEXT_OBJECTID => Ok(()),
        _ => Err(ViewError::Argument { what: "a flag" }),
    }
}

fn check_kind(
    name: &str,
    asked: Option<PropType>,
    known: Option<PropType>,
) -> Result<(), ViewError> {
    match (asked, known) {
        (Some(asked), Some(known)) if asked != known => Err(wrong_kind(name, asked, known)),
        _ => Ok(()),
    }
}

fn in_kind<'a>(
    name: &str,
    asked: Option<PropType>,
    value: &'a Value,
) -> Result<Cow<'a, Value>, ViewError> {
    check_kind(name, asked, Some(value.kind()))?;
    Ok(Cow::Borrowed(value))
}

fn wrong_kind(name: &str, asked: PropType, found: PropType) -> ViewError {
    ViewError::Type { name: name.to_owned(), asked: asked.name(), found: found.name() }
}

fn empty(name: &str) -> ViewError {
    ViewError::Empty { name: name.to_owned() }
}

fn unknown(name: &str) -> ViewError {
    ViewError::Unknown { name: name.to_owned() }
}

#[cfg(test)]
mod tests;
