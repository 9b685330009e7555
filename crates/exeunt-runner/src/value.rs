//! Values of the contract as variants, and back.

use exeunt_com::{
    Bstr, Variant,
    abi::{
        DATE, DISP_E_TYPEMISMATCH, E_FAIL, HRESULT, LONG, VT_BOOL, VT_BSTR, VT_BYREF, VT_DATE,
        VT_EMPTY, VT_I1, VT_I2, VT_I4, VT_INT, VT_NULL, VT_UI1, VT_UI2,
    },
    date,
};
use exeunt_module::{PropType, Value, view::ViewError};

/// Longest name that a module may ask for, in units of UTF-16. The longest known one has 31.
const NAME_UNITS_MAX: usize = 1024;

/// A value as the original gives it: a long as `VT_I4`, a date as `VT_DATE` in UTC, a text as
/// `VT_BSTR`, bytes as a `VT_BSTR` whose byte length counts.
///
/// # Errors
///
/// `E_FAIL` where a date is none.
pub(crate) fn variant_of(value: &Value) -> Result<Variant, HRESULT> {
    Ok(match value {
        Value::Long(number) => Variant::from(*number),
        Value::Date(text) => Variant::date(date::date_from_iso(text).ok_or(E_FAIL)?),
        Value::Binary(bytes) => Variant::binary(bytes),
        Value::String(text) => Variant::from(text.as_str()),
    })
}

/// A variant as a value, `None` for an empty one. A truth value and whole numbers of at most 32 bits
/// become longs, what is neither that nor a date becomes a text.
///
/// # Errors
///
/// `DISP_E_TYPEMISMATCH` or its like where there is no text for it.
pub(crate) fn value_of(variant: &Variant) -> Result<Option<Value>, HRESULT> {
    Ok(Some(match variant.vt() {
        VT_EMPTY | VT_NULL => return Ok(None),
        VT_DATE => Value::Date(variant.as_date().and_then(date::date_to_iso).ok_or(E_FAIL)?),
        VT_BOOL => Value::Long(i32::from(variant.as_bool() == Some(true))),
        VT_I1 | VT_I2 | VT_I4 | VT_INT | VT_UI1 | VT_UI2 => Value::Long(long_of(variant)?),
        _ => Value::String(text_of_variant(variant)?.to_text_lossy()),
    }))
}

/// A value that a policy module sets as that type; `None` for an empty one, which clears. Nothing is
/// converted: the variant has the type that the original takes for it.
///
/// # Errors
///
/// [`PolicyError::Type`](exeunt_module::policy::PolicyError::Type) is left to the rules of the contract
/// where the variant is of another of the four types; [`ViewError::Argument`] for every other.
pub(crate) fn value_to_set(variant: &Variant, kind: PropType) -> Result<Option<Value>, ViewError> {
    const TYPE: ViewError = ViewError::Argument { what: "the type of the value" };
    let own;
    let variant = if variant.vt() & VT_BYREF == 0 {
        variant
    } else {
        own = variant.dereferenced().map_err(|_| TYPE)?;
        &own
    };
    Ok(Some(match variant.vt() {
        VT_EMPTY | VT_NULL => return Ok(None),
        VT_I4 => Value::Long(variant.as_i32().ok_or(TYPE)?),
        VT_DATE => {
            let text = variant.as_date().and_then(whole_second);
            Value::Date(text.ok_or(ViewError::Argument { what: "the date" })?)
        }
        VT_BSTR => {
            let text = variant.as_bstr().ok_or(TYPE)?;
            match kind {
                PropType::Binary => Value::Binary(text.as_bytes().to_owned()),
                PropType::Long | PropType::Date | PropType::String => {
                    let text = text.to_text();
                    Value::String(text.map_err(|_| ViewError::Argument { what: "the text" })?)
                }
            }
        }
        _ => return Err(TYPE),
    }))
}

/// A date in whole seconds, as certificates have them. A day's fraction is not exact, so it is rounded.
fn whole_second(date: DATE) -> Option<String> {
    let millis = date::unix_millis_from_date(date)?;
    let whole = millis.checked_add(500)?.div_euclid(1000) * 1000;
    date::date_from_unix_millis(whole).and_then(date::date_to_iso)
}

/// A whole number of 32 bits, if need be converted as Automation does it.
///
/// # Errors
///
/// `DISP_E_TYPEMISMATCH`, `DISP_E_OVERFLOW` or their like.
pub(crate) fn long_of(variant: &Variant) -> Result<LONG, HRESULT> {
    match variant.as_i32() {
        Some(number) => Ok(number),
        None => variant.change_type(VT_I4)?.as_i32().ok_or(DISP_E_TYPEMISMATCH),
    }
}

/// A text, if need be converted as Automation does it.
///
/// # Errors
///
/// `DISP_E_TYPEMISMATCH` or its like.
pub(crate) fn text_of_variant(variant: &Variant) -> Result<Bstr, HRESULT> {
    match variant.as_bstr() {
        Some(text) => Ok(text.clone()),
        None => variant.change_type(VT_BSTR)?.as_bstr().cloned().ok_or(DISP_E_TYPEMISMATCH),
    }
}

/// A name that a module asks for.
///
/// # Errors
///
/// [`ViewError::Argument`] where it is no text, or longer than [`NAME_UNITS_MAX`].
pub(crate) fn text_argument(name: &Bstr) -> Result<String, ViewError> {
    if 2 * NAME_UNITS_MAX < name.as_bytes().len() {
        return Err(ViewError::Argument { what: "a name of that length" });
    }
    name.to_text().map_err(|_| ViewError::Argument { what: "a name that is no text" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_the_way_into_a_variant_and_back() {
        for value in [
            Value::Long(-5),
            Value::Date("2026-11-21T07:00:00Z".to_owned()),
            Value::String("Zürich".to_owned()),
        ] {
            let variant = variant_of(&value).unwrap();
            assert_eq!(value_of(&variant).unwrap(), Some(value));
        }
        assert_eq!(value_of(&Variant::empty()), Ok(None));
        assert_eq!(value_of(&Variant::from(true)), Ok(Some(Value::Long(1))));
        assert_eq!(value_of(&Variant::from(2.5)), Ok(Some(Value::String("2.5".to_owned()))));
    }

    #[test]
    fn a_date_counts_days_since_the_end_of_1899() {
        // Day 25569 is 1970-01-01, so 46347 is 20778 days later: 2026-11-21.
        let date = variant_of(&Value::Date("2026-11-21T06:00:00Z".to_owned())).unwrap();
        assert_eq!(date.as_date(), Some(46347.25));
        assert!(variant_of(&Value::Date("tomorrow".to_owned())).is_err());
    }

    #[test]
    fn what_is_set_has_the_type_that_the_original_takes() {
        let set = |variant: Variant, kind| value_to_set(&variant, kind).ok();
        assert_eq!(set(Variant::empty(), PropType::String), Some(None));
        assert_eq!(set(Variant::null(), PropType::Date), Some(None));
        assert_eq!(set(Variant::from(7), PropType::Long), Some(Some(Value::Long(7))));
        let bytes = Some(Some(Value::Binary(vec![5, 0, 1])));
        assert_eq!(set(Variant::binary(&[5, 0, 1]), PropType::Binary), bytes);
        // A text that is no UTF-16, and types that are none of the four.
        assert_eq!(set(Variant::binary(&0xd800_u16.to_ne_bytes()), PropType::String), None);
        assert_eq!(set(Variant::from(true), PropType::Long), None);
        assert_eq!(set(Variant::from(2.5), PropType::Date), None);
    }

    #[test]
    fn a_date_that_is_set_has_whole_seconds() {
        // Day 46347 is 2026-11-21; a second is a 86400th of it.
        for (second, expected) in [(0.4, "00"), (0.6, "01"), (59.0, "59")] {
            let date = Variant::date(46347.25 + second / 86400.0);
            let expected = Value::Date(format!("2026-11-21T06:00:{expected}Z"));
            assert_eq!(value_to_set(&date, PropType::Date).unwrap(), Some(expected));
        }
    }

    #[test]
    fn bytes_keep_an_odd_length() {
        let variant = variant_of(&Value::Binary(vec![0x30, 1, 0])).unwrap();
        assert_eq!(variant.as_bstr().unwrap().as_bytes(), [0x30, 1, 0]);
    }

    #[test]
    fn a_name_has_an_end() {
        assert_eq!(text_argument(&Bstr::from("RawCRL.0")).unwrap(), "RawCRL.0");
        assert!(text_argument(&Bstr::from("x".repeat(NAME_UNITS_MAX + 1).as_str())).is_err());
        assert!(text_argument(&Bstr::from_bytes(&0xd800_u16.to_ne_bytes())).is_err());
    }
}
