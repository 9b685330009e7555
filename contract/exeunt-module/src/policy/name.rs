//! Parts of a subject: how long each may be, and what it may hold.

/// Longest value of a name property, in octets: the original's column.
pub const NAME_BYTES_MAX: usize = 8192;

/// Most values of one part of a name, joined by line feeds.
pub const NAME_VALUES_MAX: usize = 32;

/// What one part of a name may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameLimit {
    /// The property.
    pub name: &'static str,
    /// Its OID in dotted form.
    pub oid: &'static str,
    /// Longest value, in characters: the original's table, which follows the upper bounds of X.520.
    pub chars_max: usize,
    /// Whether it may have several values.
    pub many: bool,
    /// Whether its values are ASCII: those of RFC 5280, appendix A, that are a `PrintableString` or
    /// an `IA5String`.
    pub ascii: bool,
}

const fn limit(name: &'static str, oid: &'static str, chars_max: usize) -> NameLimit {
    NameLimit { name, oid, chars_max, many: true, ascii: false }
}

const fn ascii(limit: NameLimit) -> NameLimit {
    NameLimit { ascii: true, ..limit }
}

/// All parts that a policy can set.
pub(super) const LIMITS: [NameLimit; 16] = [
    limit("CommonName", "2.5.4.3", 64),
    NameLimit { many: false, ..ascii(limit("Country", "2.5.4.6", 2)) },
    ascii(limit("DeviceSerialNumber", "2.5.4.5", 1024)),
    ascii(limit("DomainComponent", "0.9.2342.19200300.100.1.25", 128)),
    ascii(limit("EMail", "1.2.840.113549.1.9.1", 128)),
    limit("GivenName", "2.5.4.42", 16),
    limit("Initials", "2.5.4.43", 5),
    limit("Locality", "2.5.4.7", 128),
    limit("Organization", "2.5.4.10", 64),
    limit("OrgUnit", "2.5.4.11", 64),
    limit("State", "2.5.4.8", 128),
    limit("StreetAddress", "2.5.4.9", 30),
    limit("SurName", "2.5.4.4", 40),
    limit("Title", "2.5.4.12", 64),
    limit("UnstructuredAddress", "1.2.840.113549.1.9.8", 1024),
    limit("UnstructuredName", "1.2.840.113549.1.9.2", 1024),
];

/// What a part of a name may hold, by the property's own name in any ASCII case; `None` for what is
/// no part.
#[must_use]
pub fn name_limit(name: &str) -> Option<NameLimit> {
    LIMITS.into_iter().find(|it| it.name.eq_ignore_ascii_case(name))
}

/// Whether a part may hold that text; else why not.
pub(super) fn check(limit: NameLimit, text: &str) -> Result<(), String> {
    if NAME_BYTES_MAX < text.len() {
        return Err(format!("is longer than {NAME_BYTES_MAX} octets"));
    }
    let values: Vec<&str> = text.split('\n').collect();
    if !limit.many && values.len() != 1 {
        return Err("has one value".to_owned());
    }
    if NAME_VALUES_MAX < values.len() {
        return Err(format!("has more than {NAME_VALUES_MAX} values"));
    }
    for value in values {
        let chars = value.chars().count();
        if chars == 0 {
            return Err("has an empty value; null takes it out".to_owned());
        }
        if limit.chars_max < chars {
            return Err(format!("has more than {} characters", limit.chars_max));
        }
        if value.chars().any(char::is_control) {
            return Err("has control characters".to_owned());
        }
        if limit.ascii && !value.is_ascii() {
            return Err("has characters beyond ASCII".to_owned());
        }
        let letters = value.len() == 2 && value.bytes().all(|it| it.is_ascii_alphabetic());
        if limit.name == "Country" && !letters {
            return Err("is not two letters".to_owned());
        }
    }
    Ok(())
}
