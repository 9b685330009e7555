//! Alternative names of the rarer kinds: names of others' making (`otherName`) such as the user principal
//! name, directory names, registered identifiers; and the extension with a security identifier.

use crate::extension::Extension;
use crate::general_name::{GeneralName, GeneralNameError};
use crate::name::{Name, is_deceptive};
use crate::oid;
use crate::tlv::{
    CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, OCTET_STRING, OID, SEQUENCE, Tlv, UTF8_STRING,
    check_der,
};
use crate::write::Writer;
use const_oid::ObjectIdentifier;

/// Longest user principal name, in octets: what the original's database keeps of one.
pub const UPN_BYTES_MAX: usize = 2048;
/// Longest security identifier as text, in octets: `S-1-`, an authority and 15 further numbers of ten
/// digits at most (MS-DTYP, section 2.4.2).
pub const SID_BYTES_MAX: usize = 184;
/// Most numbers after the authority in a security identifier (MS-DTYP, section 2.4.2.2).
const SUB_AUTHORITIES_MAX: usize = 15;

/// Microsoft's object GUID of a domain controller (`szOID_NTDS_REPLICATION`).
const NTDS_REPLICATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.25.1");
/// The name in Microsoft's security extension (`szOID_NTDS_OBJECTSID`, MS-WCCE, section 2.2.2.7.7.4).
const NTDS_OBJECT_SID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.25.2.1");

impl GeneralName {
    /// A user principal name: an `otherName` of Microsoft's with a UTF-8 string.
    ///
    /// # Errors
    ///
    /// [`GeneralNameError::Invalid`] names the rule.
    pub fn user_principal(name: &str) -> Result<Self, GeneralNameError> {
        let invalid = |rule| GeneralNameError::Invalid {
            kind: "upn",
            name: name.chars().take(64).collect(),
            rule,
        };
        if UPN_BYTES_MAX < name.len() {
            return Err(invalid("is longer than 2048 octets"));
        }
        if name.contains(is_deceptive) || name.contains(' ') {
            return Err(invalid("has blanks or characters that deceive"));
        }
        match name.split_once('@') {
            // With a second one, whose account it is would depend on who reads it.
            Some((user, domain))
                if !user.is_empty() && !domain.is_empty() && !domain.contains('@') =>
            {
                Ok(Self::other_text(&oid::USER_PRINCIPAL_NAME, name))
            }
            _ => Err(invalid("is not of the form name@domain")),
        }
    }

    /// An `otherName` with a UTF-8 string.
    #[must_use]
    pub fn other_text(kind: &ObjectIdentifier, text: &str) -> Self {
        Self::write_other(kind, |it| it.element(UTF8_STRING, text.as_bytes()))
    }

    /// An `otherName` with an octet string.
    #[must_use]
    pub fn other_octets(kind: &ObjectIdentifier, octets: &[u8]) -> Self {
        Self::write_other(kind, |it| it.element(OCTET_STRING, octets))
    }

    /// An `otherName` with a value in DER.
    ///
    /// # Errors
    ///
    /// [`GeneralNameError::Malformed`] where it is not the DER of one element.
    pub fn other_der(kind: &ObjectIdentifier, der: &[u8]) -> Result<Self, GeneralNameError> {
        check_der(der)?;
        Ok(Self::write_other(kind, |it| it.raw(der)))
    }

    /// The GUID of a domain controller: an `otherName` of Microsoft's with 16 octets.
    #[must_use]
    pub fn guid(octets: &[u8; 16]) -> Self {
        Self::other_octets(&NTDS_REPLICATION, octets)
    }

    /// A `registeredID`.
    #[must_use]
    pub fn registered_id(id: &ObjectIdentifier) -> Self {
        let mut writer = Writer::default();
        writer.element(CONTEXT_PRIMITIVE + 8, id.as_bytes());
        Self::Other { tag: 8, der: writer.into_bytes() }
    }

    /// A `directoryName`.
    #[must_use]
    pub fn directory(name: &Name) -> Self {
        let mut writer = Writer::default();
        writer.nest(CONTEXT_CONSTRUCTED + 4, |it| it.raw(name.der()));
        Self::Other { tag: 4, der: writer.into_bytes() }
    }

    /// Which kind of an `otherName` this is.
    #[must_use]
    pub fn other_kind(&self) -> Option<ObjectIdentifier> {
        let Self::Other { tag: 0, der } = self else { return None };
        let mut fields = Tlv::read(der).ok()?.children();
        fields.expect(OID, "").and_then(|it| it.oid()).ok()
    }

    fn write_other(kind: &ObjectIdentifier, value: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::default();
        writer.nest(CONTEXT_CONSTRUCTED, |it| {
            it.oid(kind);
            it.nest(CONTEXT_CONSTRUCTED, value);
        });
        Self::Other { tag: 0, der: writer.into_bytes() }
    }
}

impl Extension {
    /// Microsoft's security extension, which ties a certificate to an account of a directory by its
    /// security identifier (MS-WCCE, section 2.2.2.7.7.4); not critical.
    ///
    /// # Errors
    ///
    /// [`GeneralNameError::Invalid`] where that is none.
    pub fn security_identifier(sid: &str) -> Result<Self, GeneralNameError> {
        if !is_sid(sid) {
            let name = sid.chars().take(64).collect();
            let rule = "is not of the form S-1-5-21-1-2-3-500";
            return Err(GeneralNameError::Invalid { kind: "sid", name, rule });
        }
        let name = GeneralName::other_octets(&NTDS_OBJECT_SID, sid.as_bytes());
        Ok(Self::new(oid::SECURITY_IDENTIFIER, false, 80, |it| {
            it.nest(SEQUENCE, |it| name.write(it));
        }))
    }

    /// The security identifier, where this is Microsoft's security extension with one.
    #[must_use]
    pub fn read_security_identifier(&self) -> Option<String> {
        if self.oid != oid::SECURITY_IDENTIFIER {
            return None;
        }
        let names = GeneralName::read_all(&self.value).ok()?;
        let [GeneralName::Other { tag: 0, der }] = names.as_slice() else { return None };
        if names[0].other_kind() != Some(NTDS_OBJECT_SID) {
            return None;
        }
        let mut fields = Tlv::read(der).ok()?.children();
        fields.next().ok()?;
        let value = fields.expect(CONTEXT_CONSTRUCTED, "").ok()?.value;
        let octets = Tlv::read_as(value, OCTET_STRING, "").ok()?.value;
        let sid = str::from_utf8(octets).ok()?;
        is_sid(sid).then(|| sid.to_owned())
    }
}

/// Whether a text is a security identifier as `S-1-5-21-1-2-3-500` (MS-DTYP, section 2.4.2.1).
#[must_use]
pub fn is_sid(text: &str) -> bool {
    let Some(numbers) = text.strip_prefix("S-1-") else { return false };
    let mut numbers = numbers.split('-');
    let is_plain = |it: &str| it == "0" || !it.starts_with(['0', '+']);
    let authority = numbers.next().unwrap_or_default();
    let authority = is_plain(authority) && authority.parse::<u32>().is_ok();
    let subs: Vec<bool> = numbers.map(|it| is_plain(it) && it.parse::<u32>().is_ok()).collect();
    text.len() <= SID_BYTES_MAX
        && authority
        && (1..=SUB_AUTHORITIES_MAX).contains(&subs.len())
        && subs.into_iter().all(|it| it)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The octets are those that MS-WCCE, section 2.2.2.7.7.4, tells how to make, done by hand.
    #[test]
    fn a_security_identifier_is_an_octet_string_in_another_name() {
        let made = Extension::security_identifier("S-1-5-21-1").unwrap();
        assert_eq!(made.oid.to_string(), "1.3.6.1.4.1.311.25.2");
        let mut expected = vec![0x30, 0x1c, 0xa0, 0x1a];
        expected.extend([0x06, 0x0a, 0x2b, 0x06, 1, 4, 1, 0x82, 0x37, 0x19, 2, 1]);
        expected.extend([0xa0, 0x0c, 0x04, 0x0a]);
        expected.extend(b"S-1-5-21-1");
        assert_eq!(made.value, expected);
        assert_eq!(made.read_security_identifier().as_deref(), Some("S-1-5-21-1"));
    }

    #[test]
    fn only_security_identifiers_are_taken_for_one() {
        for good in ["S-1-5-18", "S-1-5-21-1004336348-1177238915-682003330-512", "S-1-0-0"] {
            assert!(is_sid(good), "{good}");
        }
        let long = format!("S-1-5{}", "-1".repeat(16));
        for bad in [
            "",
            "S-1",
            "S-1-",
            "S-1-5",
            "s-1-5-18",
            "S-2-5-18",
            "S-1-5-",
            "S-1-5-x",
            "S-1-5-01",
            "S-1-5-+1",
            "S-1-5-4294967296",
            "S-1-5-18 ",
            "S-1-5-18\0",
            &long,
        ] {
            assert!(!is_sid(bad), "{bad}");
        }
    }

    #[test]
    fn rare_names_are_read_back_as_they_were_made() {
        let upn = GeneralName::user_principal("alice@corp.example").unwrap();
        assert_eq!(upn.user_principal_name().as_deref(), Some("alice@corp.example"));
        let directory = GeneralName::directory(&Name::parse("CN=a,O=b").unwrap());
        let id = ObjectIdentifier::new_unwrap("1.2.3");
        let names = [
            upn,
            directory,
            GeneralName::registered_id(&id),
            GeneralName::guid(&[7; 16]),
            GeneralName::other_der(&id, &[5, 0]).unwrap(),
        ];
        let made = Extension::subject_alternative_name(&names, false);
        assert_eq!(GeneralName::read_all(&made.value).unwrap(), names);
        assert_eq!(names[4].other_kind(), Some(id));
        for bad in ["", "alice", "@a", "a@b@c", "a@", "a b@c", "a\n@b", "a\u{202e}@b"] {
            assert!(GeneralName::user_principal(bad).is_err(), "{bad:?}");
        }
        assert!(GeneralName::other_der(&id, &[5, 1]).is_err());
        assert!(GeneralName::other_der(&id, &[5, 0, 5, 0]).is_err());
    }
}
