//! Extension values as the original's types: what `GetCertificateExtension` decodes.

use der::{
    Decode as _, Tag,
    asn1::{Ia5StringRef, UtcTime},
};

use crate::{PropType, Value};

/// The value of DER in that type: a long from an INTEGER of 32 bits, a date from either time of
/// X.509, a string from an `IA5String`, bytes from anything. `None` where it is not of that type.
pub(super) fn decode(der: &[u8], kind: PropType) -> Option<Value> {
    match kind {
        PropType::Binary => Some(Value::Binary(der.to_owned())),
        PropType::Long => i32::from_der(der).ok().map(Value::Long),
        PropType::String => {
            Ia5StringRef::from_der(der).ok().map(|it| Value::String(it.as_str().to_owned()))
        }
        PropType::Date => date(der),
    }
}

/// Times before 1970 are not read; no certificate in use has one.
fn date(der: &[u8]) -> Option<Value> {
    let tag = Tag::from_der(der.get(..1)?).ok()?;
    let moment = match tag {
        Tag::UtcTime => UtcTime::from_der(der).ok()?.to_date_time(),
        Tag::GeneralizedTime => der::asn1::GeneralizedTime::from_der(der).ok()?.to_date_time(),
        _ => return None,
    };
    Some(Value::Date(moment.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(der: &[u8], kind: PropType, expected: &Value) {
        assert_eq!(decode(der, kind).as_ref(), Some(expected), "{der:02x?} as {}", kind.name());
    }

    #[track_caller]
    fn check_not(der: &[u8], kind: PropType) {
        assert_eq!(decode(der, kind), None, "{der:02x?} as {}", kind.name());
    }

    #[test]
    fn a_value_is_decoded_by_the_type_that_is_asked_for() {
        check(&[2, 1, 5], PropType::Long, &Value::Long(5));
        check(&[2, 4, 0x80, 0, 0, 0], PropType::Long, &Value::Long(i32::MIN));
        check(&[0x16, 2, b'h', b'i'], PropType::String, &Value::String("hi".to_owned()));
        let utc = [&[0x17, 13][..], b"491231235959Z"].concat();
        check(&utc, PropType::Date, &Value::Date("2049-12-31T23:59:59Z".to_owned()));
        let generalized = [&[0x18, 15][..], b"20500101000000Z"].concat();
        check(&generalized, PropType::Date, &Value::Date("2050-01-01T00:00:00Z".to_owned()));
        check(&[0x30, 0], PropType::Binary, &Value::Binary(vec![0x30, 0]));
        check(&[], PropType::Binary, &Value::Binary(Vec::new()));
    }

    #[test]
    fn what_is_of_another_type_is_not_bent_into_the_asked_one() {
        check_not(&[2, 5, 1, 0, 0, 0, 0], PropType::Long);
        check_not(&[2, 1, 5, 0], PropType::Long);
        check_not(&[0x0c, 2, b'h', b'i'], PropType::String);
        check_not(&[0x16, 1, 0xff], PropType::String);
        check_not(&[0x30, 0], PropType::Date);
        check_not(&[0x17, 0], PropType::Date);
        check_not(&[], PropType::Date);
        check_not(&[], PropType::Long);
    }
}
