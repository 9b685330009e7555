//! Alternative names (RFC 5280, section 4.2.1.6): reading, checking, writing.

use crate::name::{decode_string, is_deceptive};
use crate::oid;
use crate::tlv::{CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, OID, SEQUENCE, Tlv, UTF8_STRING};
use crate::write::Writer;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most names in one subject alternative name extension. Public CAs allow 100.
pub const SAN_COUNT_MAX: usize = 100;
/// Longest DNS name, in octets of text (RFC 1035, section 2.3.4, without length octets).
pub const DNS_NAME_BYTES_MAX: usize = 253;
/// Longest label of a DNS name, in octets (RFC 1035, section 2.3.4).
pub const DNS_LABEL_BYTES_MAX: usize = 63;
/// Longest mail address, in octets (RFC 5321, section 4.5.3.1.3: a path of 256 with its brackets).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Longest URI, in octets: what the original's database keeps of one.
pub const URI_BYTES_MAX: usize = 2048;

/// One alternative name.
///
/// The variants can be made from anything; [`GeneralName::check`] is what makes them trustworthy,
/// and every name that was read has passed it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GeneralName {
    /// `dNSName`, as written; compare without regard to case.
    Dns(String),
    /// `rfc822Name`.
    Email(String),
    /// `uniformResourceIdentifier`.
    Uri(String),
    /// `iPAddress`.
    Ip(IpAddr),
    /// Any other form, kept as it came.
    Other {
        /// Number of the form: 0 `otherName`, 3 `x400Address`, 4 `directoryName`,
        /// 5 `ediPartyName`, 8 `registeredID`.
        tag: u8,
        /// The whole element.
        der: Vec<u8>,
    },
}

/// Which rule an alternative name broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeneralNameError {
    /// The extension is not a sequence of names.
    #[error("alternative names are malformed: {what}")]
    Malformed {
        /// Which rule the bytes broke.
        what: &'static str,
    },
    /// There is none.
    #[error("list of alternative names is empty")]
    Empty,
    /// More than [`SAN_COUNT_MAX`].
    #[error("more than 100 alternative names")]
    TooMany,
    /// One of them is not what it claims to be.
    #[error("{kind} name {name:?} {rule}")]
    Invalid {
        /// "dns", "email", "uri" or "ip".
        kind: &'static str,
        /// The name, at most 64 characters of it.
        name: String,
        /// The rule, as in "has an empty label".
        rule: &'static str,
    },
}

impl GeneralNameError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "alternative-name-malformed",
            Self::Empty => "alternative-name-empty",
            Self::TooMany => "alternative-name-too-many",
            Self::Invalid { .. } => "alternative-name-invalid",
        }
    }
}

impl From<crate::tlv::NotDer> for GeneralNameError {
    fn from(crate::tlv::NotDer(what): crate::tlv::NotDer) -> Self {
        Self::Malformed { what }
    }
}

impl GeneralName {
    /// Reads what [`GeneralName`]'s `Display` writes: `dns:`, `email:`, `uri:` or `ip:` and the
    /// name. Other forms have no text that could be read back.
    ///
    /// # Errors
    ///
    /// [`GeneralNameError::Invalid`] names the rule.
    pub fn parse(text: &str) -> Result<Self, GeneralNameError> {
        let name = match text.split_once(':') {
            Some(("dns", name)) => Self::Dns(name.to_owned()),
            Some(("email", name)) => Self::Email(name.to_owned()),
            Some(("uri", name)) => Self::Uri(name.to_owned()),
            Some(("ip", name)) => match name.parse() {
                Ok(address) => Self::Ip(address),
                Err(_) => return Err(invalid("ip", name, "is not an address")),
            },
            _ => {
                return Err(invalid(
                    "alternative",
                    text,
                    "does not start with dns:, email:, uri: or ip:",
                ));
            }
        };
        name.check()?;
        Ok(name)
    }

    /// Checks the syntax of a name, whoever made it.
    ///
    /// # Errors
    ///
    /// [`GeneralNameError::Invalid`] names the rule.
    pub fn check(&self) -> Result<(), GeneralNameError> {
        match self {
            Self::Dns(name) => check_dns(name).map_err(|rule| invalid("dns", name, rule)),
            Self::Email(name) => check_email(name).map_err(|rule| invalid("email", name, rule)),
            Self::Uri(name) => check_uri(name).map_err(|rule| invalid("uri", name, rule)),
            Self::Ip(_) | Self::Other { .. } => Ok(()),
        }
    }

    /// The user principal name, where this is one: an `otherName` of Microsoft's with a UTF-8 string
    /// that has nothing deceptive in it.
    #[must_use]
    pub fn user_principal_name(&self) -> Option<String> {
        let Self::Other { tag: 0, der } = self else { return None };
        let mut fields = Tlv::read(der).ok()?.children();
        let kind = fields.expect(OID, "").and_then(|it| it.oid()).ok()?;
        let value = fields.expect(CONTEXT_CONSTRUCTED, "").ok()?.value;
        let text = decode_string(&Tlv::read_as(value, UTF8_STRING, "").ok()?)?;
        let is_plain = !text.is_empty() && !text.contains(is_deceptive);
        (kind == oid::USER_PRINCIPAL_NAME && is_plain).then_some(text)
    }

    /// Reads a `GeneralNames` of 1 to [`SAN_COUNT_MAX`] names, checking each.
    pub(crate) fn read_all(der: &[u8]) -> Result<Vec<Self>, GeneralNameError> {
        let mut names = Tlv::read_as(der, SEQUENCE, "they are not a sequence")?.children();
        let mut read = Vec::with_capacity(4);
        while !names.is_empty() {
            if read.len() == SAN_COUNT_MAX {
                return Err(GeneralNameError::TooMany);
            }
            read.push(Self::read(&names.next()?)?);
        }
        if read.is_empty() { Err(GeneralNameError::Empty) } else { Ok(read) }
    }

    fn read(tlv: &Tlv<'_>) -> Result<Self, GeneralNameError> {
        let text = || match str::from_utf8(tlv.value) {
            Ok(text) if text.is_ascii() => Ok(text.to_owned()),
            _ => Err(GeneralNameError::Malformed { what: "a name is not ASCII" }),
        };
        let name = match tlv.tag {
            0x81 => Self::Email(text()?),
            0x82 => Self::Dns(text()?),
            0x86 => Self::Uri(text()?),
            0x87 => Self::Ip(match tlv.value.len() {
                4 => IpAddr::V4(Ipv4Addr::from(octets::<4>(tlv.value))),
                16 => IpAddr::V6(Ipv6Addr::from(octets::<16>(tlv.value))),
                _ => {
                    return Err(GeneralNameError::Malformed {
                        what: "an address has neither 4 nor 16 octets",
                    });
                }
            }),
            0xa0 | 0xa3 | 0xa4 | 0xa5 | 0x88 => {
                Self::Other { tag: tlv.tag & 0x1f, der: tlv.whole.to_owned() }
            }
            _ => return Err(GeneralNameError::Malformed { what: "a name is of no known form" }),
        };
        name.check()?;
        Ok(name)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Email(name) => writer.element(CONTEXT_PRIMITIVE + 1, name.as_bytes()),
            Self::Dns(name) => writer.element(CONTEXT_PRIMITIVE + 2, name.as_bytes()),
            Self::Uri(name) => writer.element(CONTEXT_PRIMITIVE + 6, name.as_bytes()),
            Self::Ip(IpAddr::V4(address)) => {
                writer.element(CONTEXT_PRIMITIVE + 7, &address.octets());
            }
            Self::Ip(IpAddr::V6(address)) => {
                writer.element(CONTEXT_PRIMITIVE + 7, &address.octets());
            }
            Self::Other { der, .. } => writer.raw(der),
        }
    }
}

impl fmt::Display for GeneralName {
    /// `dns:example.org`, `email:a@example.org`, `uri:https://example.org/`, `ip:192.0.2.1`; other
    /// forms by their name and the element in hexadecimal.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(out, "dns:{name}"),
            Self::Email(name) => write!(out, "email:{name}"),
            Self::Uri(name) => write!(out, "uri:{name}"),
            Self::Ip(address) => write!(out, "ip:{address}"),
            Self::Other { tag, der } => {
                out.write_str(match tag {
                    0 => "other:",
                    3 => "x400:",
                    4 => "directory:",
                    5 => "edi-party:",
                    8 => "registered-id:",
                    _ => "unknown:",
                })?;
                der.iter().try_for_each(|octet| write!(out, "{octet:02x}"))
            }
        }
    }
}

fn octets<const LEN: usize>(value: &[u8]) -> [u8; LEN] {
    value.try_into().expect("BUG: the caller has matched the length")
}

fn invalid(kind: &'static str, name: &str, rule: &'static str) -> GeneralNameError {
    GeneralNameError::Invalid { kind, name: name.chars().take(64).collect(), rule }
}

/// Letters, digits and hyphens in labels, after an optional `*.` (RFC 1034, section 3.5 with
/// RFC 1123, section 2.1; RFC 6125, section 6.4.3).
///
/// A last label of digits alone is refused with everything that looks like an address: such a name
/// cannot exist below the root (RFC 3696, section 2), and verifiers disagree about what it means.
pub(crate) fn check_dns(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if DNS_NAME_BYTES_MAX < name.len() {
        return Err("is longer than 253 characters");
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err("is an address, not a name");
    }
    let name = name.strip_prefix("*.").unwrap_or(name);
    let mut last = "";
    for label in name.split('.') {
        if label.is_empty() {
            return Err("has an empty label");
        }
        if DNS_LABEL_BYTES_MAX < label.len() {
            return Err("has a label longer than 63 characters");
        }
        if !label.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
            return Err("has other characters than letters, digits, hyphens and dots");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a label with a hyphen at its start or end");
        }
        last = label;
    }
    if last.bytes().all(|it| it.is_ascii_digit()) {
        return Err("ends in a number");
    }
    Ok(())
}

fn check_email(name: &str) -> Result<(), &'static str> {
    if EMAIL_BYTES_MAX < name.len() {
        return Err("is longer than 254 characters");
    }
    if !name.bytes().all(|it| it.is_ascii_graphic()) {
        return Err("has blanks, controls or characters outside ASCII");
    }
    match name.split_once('@') {
        Some((local, domain)) if !local.is_empty() && !domain.starts_with('*') => {
            check_dns(domain).map_err(|_| "has no valid domain after its @")
        }
        _ => Err("is not of the form name@domain"),
    }
}

pub(crate) fn check_uri(name: &str) -> Result<(), &'static str> {
    if URI_BYTES_MAX < name.len() {
        return Err("is longer than 2048 characters");
    }
    if !name.bytes().all(|it| it.is_ascii_graphic()) {
        return Err("has blanks, controls or characters outside ASCII");
    }
    // RFC 3986, section 3.1. RFC 5280 wants it absolute, so there must be a scheme.
    let scheme_char = |it: u8| it.is_ascii_alphanumeric() || b"+-.".contains(&it);
    match name.split_once(':') {
        Some((scheme, rest))
            if scheme.starts_with(|it: char| it.is_ascii_alphabetic())
                && scheme.bytes().all(scheme_char)
                && !rest.is_empty() =>
        {
            Ok(())
        }
        _ => Err("does not start with a scheme"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_name_is_letters_digits_and_hyphens() {
        let long_label = "a".repeat(63);
        let longest = format!("{0}.{0}.{0}.{1}", long_label, "a".repeat(61));
        assert_eq!(longest.len(), 253);
        for good in [
            "example.org",
            "*.example.org",
            "localhost",
            "a-b.c",
            "1.example",
            &longest,
            "xn--bcher-kva.example",
            "EXAMPLE.org",
            "1.2.3.a",
        ] {
            assert_eq!(check_dns(good), Ok(()), "{good}");
        }
        let too_long = format!("{longest}a");
        let label_too_long = format!("{long_label}a.org");
        for bad in [
            "",
            ".",
            "a..b",
            "example.org.",
            ".example.org",
            "-a.org",
            "a-.org",
            "a_b.org",
            "a b.org",
            "bücher.example",
            "*",
            "*a.org",
            "a.*.org",
            "*.*.org",
            "192.0.2.1",
            "::1",
            "1.2.3",
            "*.1",
            "a.org\0",
            "a\n.org",
            "https://a.org",
            &too_long,
            &label_too_long,
        ] {
            assert!(check_dns(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn addresses_and_uris_are_plain_ascii() {
        for good in [
            "email:a@example.org",
            "email:a+b.c@example.org",
            "uri:https://a.org/?q=1",
            "uri:urn:a:b",
            "uri:ldap://x/cn=a",
            "ip:192.0.2.1",
            "ip:2001:db8::1",
            "dns:a.org",
        ] {
            assert_eq!(GeneralName::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "email:a",
            "email:@a.org",
            "email:a@",
            "email:a b@c.org",
            "email:a@*.org",
            "email:a@b@c.org",
            "email:ä@a.org",
            "uri:a",
            "uri::a",
            "uri:http:",
            "uri:http://a b",
            "uri:1a:b",
            "uri:http://ä",
            "ip:1.2.3",
            "ip:",
            "foo:a",
            "a.org",
            "dns:192.0.2.1",
        ] {
            assert!(GeneralName::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn names_are_written_and_read_back() {
        let names: Vec<_> =
            ["dns:*.a.org", "email:a@a.org", "uri:http://a.org", "ip:192.0.2.1", "ip:::1"]
                .into_iter()
                .map(|it| GeneralName::parse(it).unwrap())
                .chain([GeneralName::Other { tag: 8, der: vec![0x88, 0x01, 0x2a] }])
                .collect();
        let mut writer = Writer::default();
        writer.nest(SEQUENCE, |it| names.iter().for_each(|name| name.write(it)));
        assert_eq!(GeneralName::read_all(&writer.into_bytes()), Ok(names));
    }

    #[test]
    fn a_list_of_names_is_neither_empty_nor_endless_nor_malformed() {
        let list = |count: usize, name: &[u8]| {
            let mut writer = Writer::default();
            writer.nest(SEQUENCE, |it| (0..count).for_each(|_| it.raw(name)));
            GeneralName::read_all(&writer.into_bytes()).map(|it| it.len()).map_err(|it| it.code())
        };
        assert_eq!(list(0, &[]), Err("alternative-name-empty"));
        assert_eq!(list(100, &[0x82, 1, b'a']), Ok(100));
        assert_eq!(list(101, &[0x82, 1, b'a']), Err("alternative-name-too-many"));
        assert_eq!(list(1, &[0x82, 0]), Err("alternative-name-invalid"));
        assert_eq!(list(1, &[0x82, 2, 0xc3, 0xa4]), Err("alternative-name-malformed"));
        assert_eq!(list(1, &[0x87, 3, 1, 2, 3]), Err("alternative-name-malformed"));
        assert_eq!(list(1, &[0xa7, 0]), Err("alternative-name-malformed"));
        assert_eq!(list(1, &[0x89, 0]), Err("alternative-name-malformed"));
        assert_eq!(list(1, &[0x0c, 1, b'a']), Err("alternative-name-malformed"));
    }

    #[test]
    fn a_user_principal_name_is_read_and_nothing_is_taken_for_one() {
        let other = |last_octet: u8, tag: u8, text: &[u8]| {
            // 1.3.6.1.4.1.311.20.2.x
            let kind = [0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 0x14, 2, last_octet];
            let len = u8::try_from(text.len()).unwrap();
            let value = [&[0xa0, len + 2, tag, len], text].concat();
            let whole = u8::try_from(kind.len() + value.len()).unwrap();
            GeneralName::Other { tag: 0, der: [&[0xa0, whole], &kind[..], &value].concat() }
        };
        let good = other(3, UTF8_STRING, b"ada@example.org");
        assert_eq!(good.user_principal_name().as_deref(), Some("ada@example.org"));
        for bad in [
            other(2, UTF8_STRING, b"ada@example.org"),
            other(3, 0x04, b"ada@example.org"),
            other(3, UTF8_STRING, b""),
            other(3, UTF8_STRING, b"a\x00b"),
            other(3, UTF8_STRING, b"a\xff"),
            GeneralName::Other { tag: 0, der: vec![0xa0, 0] },
            GeneralName::Email("ada@example.org".to_owned()),
        ] {
            assert_eq!(bad.user_principal_name(), None);
        }
    }
}
