//! Values of single extensions, read where somebody other than a certificate or request brings them.

use const_oid::ObjectIdentifier;

use crate::extension::{EXTENSION_COUNT_MAX, KeyUsage};
use crate::general_name::{GeneralName, GeneralNameError};
use crate::tlv::{NotDer, OID, SEQUENCE, Tlv, check_der};

/// Reads the value of a `subjectAltName` extension (RFC 5280, section 4.2.1.6), checking each name.
///
/// # Errors
///
/// What is wrong with one of them, or with the list.
pub fn alternative_names_in(der: &[u8]) -> Result<Vec<GeneralName>, GeneralNameError> {
    check_der(der)?;
    GeneralName::read_all(der)
}

/// Reads the value of a `keyUsage` extension (RFC 5280, section 4.2.1.3); `None` where it is none.
#[must_use]
pub fn key_usage_in(der: &[u8]) -> Option<KeyUsage> {
    check_der(der).ok()?;
    KeyUsage::read(der).ok()
}

/// Reads the value of an `extKeyUsage` extension (RFC 5280, section 4.2.1.12): 1 to
/// [`EXTENSION_COUNT_MAX`] purposes; `None` where it is none.
#[must_use]
pub fn purposes_in(der: &[u8]) -> Option<Vec<ObjectIdentifier>> {
    check_der(der).ok()?;
    purposes(der).ok().filter(|it| !it.is_empty() && it.len() <= EXTENSION_COUNT_MAX)
}

fn purposes(der: &[u8]) -> Result<Vec<ObjectIdentifier>, NotDer> {
    let mut members = Tlv::read_as(der, SEQUENCE, "purposes are not a sequence")?.children();
    let mut read = Vec::new();
    while !members.is_empty() {
        read.push(members.expect(OID, "a purpose is not an identifier")?.oid()?);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Extension;

    #[test]
    fn values_read_back_as_they_were_written() {
        let names = ["dns:a.example", "ip:192.0.2.1", "email:a@b.example"]
            .map(|it| GeneralName::parse(it).unwrap());
        let written = Extension::subject_alternative_name(&names, false).value;
        assert_eq!(alternative_names_in(&written).unwrap(), names);
        let usage = KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_AGREEMENT;
        assert_eq!(key_usage_in(&Extension::key_usage(usage).value), Some(usage));
        let purposes = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];
        let purposes = purposes.map(ObjectIdentifier::new_unwrap);
        let written = Extension::extended_key_usage(&purposes).value;
        assert_eq!(purposes_in(&written).as_deref(), Some(&purposes[..]));
    }

    #[test]
    fn what_is_no_such_value_is_none() {
        for der in [&[][..], &[0x30], &[0x30, 0], &[5, 0], &[0x30, 2, 5, 0], &[0x30, 0, 0]] {
            assert!(alternative_names_in(der).is_err(), "{der:?}");
            assert!(key_usage_in(der).is_none(), "{der:?}");
            assert!(purposes_in(der).is_none(), "{der:?}");
        }
    }
}
