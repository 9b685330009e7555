//! What a call-back is answered: the fixture's own values, by the contract's one set of rules.

use exeunt_module::{
    CallError, Event, PropType, Properties, Value,
    call_back::{Asked, Found, Query, Refusal},
    view::{View, ViewError},
};

/// The value that a call-back asks for.
pub(crate) fn find(
    query: &Query,
    event: Option<&Event>,
    system: &Properties,
) -> Result<Found, CallError> {
    let Asked { seq, name, value_type } = query.asked();
    let kind = match value_type {
        None => None,
        Some(word) => {
            let unknown = || Refusal::Invalid.into_error(format!("there is no type {word:?}"));
            Some(PropType::from_name(word).ok_or_else(unknown)?)
        }
    };
    let view = match event {
        Some(event) => View::of(event),
        None if *seq == 0 => View::of_system(system),
        None => return Err(Refusal::Invalid.into_error(format!("event {seq} is not in hand"))),
    };
    let found = match query {
        Query::GetRequestProperty(_) => {
            view.request_property(name, kind).map(|it| Found::Value(it.into_owned()))
        }
        Query::GetRequestAttribute(_) => {
            view.request_attribute(name).map(|it| Found::Value(Value::String(it.to_owned())))
        }
        Query::GetCertificateProperty(_) => {
            view.certificate_property(name, kind).map(|it| Found::Value(it.into_owned()))
        }
        Query::GetCertificateExtension(_) => view
            .extension(name)
            .cloned()
            .map(Found::Extension)
            .ok_or_else(|| ViewError::Empty { name: name.clone() }),
    };
    found.map_err(|err| err.refusal().into_error(err.to_string()))
}
