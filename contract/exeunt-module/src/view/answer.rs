//! Call-backs answered from a view: what a host says to a module that asks back.

use crate::{
    CallError, PropType, Value,
    call_back::{Asked, Found, Query, Refusal},
    view::{View, ViewError},
};

impl View<'_> {
    /// The answer to a call-back about what this view shows.
    ///
    /// # Errors
    ///
    /// What the module is to read: a [`Refusal`].
    pub fn answer(&self, query: &Query) -> Result<Found, CallError> {
        let view = self;
        let Asked { seq, name, value_type } = query.asked();
        let kind = match value_type {
            None => None,
            Some(text) => Some(PropType::from_name(text).ok_or_else(|| {
                Refusal::Invalid.into_error(format!("there is no type {text:?} of properties"))
            })?),
        };
        // Context 0 is for the CA's own properties; the original has nothing else to say there.
        if *seq == 0 && !matches!(query, Query::GetCertificateProperty(_)) {
            let text = format!("{} needs an event in hand", query.method());
            return Err(Refusal::Invalid.into_error(text));
        }
        let found = match query {
            Query::GetRequestProperty(_) => {
                view.request_property(name, kind).map(|it| Found::Value(it.into_owned()))
            }
            Query::GetCertificateProperty(_) => {
                view.certificate_property(name, kind).map(|it| Found::Value(it.into_owned()))
            }
            Query::GetRequestAttribute(_) => attribute(view, name, kind),
            Query::GetCertificateExtension(_) => extension(view, name, kind),
        };
        found.map_err(|err| err.refusal().into_error(err.to_string()))
    }
}

/// Attributes are strings and nothing else.
fn attribute(view: &View<'_>, name: &str, kind: Option<PropType>) -> Result<Found, ViewError> {
    match kind {
        None | Some(PropType::String) => {
            let text = view.request_attribute(name)?.to_owned();
            Ok(Found::Value(Value::String(text)))
        }
        Some(kind) => Err(ViewError::Type {
            name: name.to_owned(),
            asked: kind.name(),
            found: PropType::String.name(),
        }),
    }
}

/// The DER, as an event has it; a type asks that it can be decoded as such.
fn extension(view: &View<'_>, oid: &str, kind: Option<PropType>) -> Result<Found, ViewError> {
    view.certificate_extension(oid, kind)?;
    let extension = view.extension(oid).cloned();
    extension.map(Found::Extension).ok_or_else(|| ViewError::Empty { name: oid.to_owned() })
}
