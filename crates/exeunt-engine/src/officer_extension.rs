//! Extensions that an officer sets on a waiting request: which are taken, and what they do to the
//! certificate.

use exeunt_types::OfficerExtension;
use exeunt_x509::{Extension, ObjectIdentifier};

/// Most extensions that officers may set on one request.
pub const OFFICER_EXTENSION_COUNT_MAX: usize = 32;
/// Longest value of one, in octets: the original's column `ExtensionRawValue`.
pub const OFFICER_EXTENSION_BYTES_MAX: usize = 4096;

/// What the engine puts into every certificate by itself (RFC 5280, sections 4.2.1.1, 4.2.1.2, 4.2.1.9,
/// 4.2.1.13 and 4.2.2.1). Another value would make the certificate one of another issuer, key or kind.
const OWNED: [(ObjectIdentifier, &str); 5] = [
    (ObjectIdentifier::new_unwrap("2.5.29.19"), "basic constraints"),
    (ObjectIdentifier::new_unwrap("2.5.29.35"), "authority key identifier"),
    (ObjectIdentifier::new_unwrap("2.5.29.14"), "subject key identifier"),
    (ObjectIdentifier::new_unwrap("2.5.29.31"), "CRL distribution points"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.1"), "authority information access"),
];
/// Subject alternative names (RFC 5280, section 4.2.1.6).
const SUBJECT_ALTERNATIVE_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// Bits that have a meaning, and the high eight, which are free for private use.
const FLAGS_KNOWN: u16 = OfficerExtension::CRITICAL | OfficerExtension::DISABLED | 0xff00;

/// Why an officer may not set an extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionRefusal {
    /// The name is no object identifier.
    #[error("it is not an object identifier in dotted form")]
    NotOid,
    /// It belongs to the engine.
    #[error("{0} are the engine's own and cannot be set")]
    Owned(&'static str),
    /// Flags without a meaning.
    #[error("flags {0:#x} have no meaning; known are 1 (critical) and 2 (disabled)")]
    Flags(u16),
    /// There is no value.
    #[error("it has no value")]
    Empty,
    /// The value is too long.
    #[error("its value is {0} octets long, at most {OFFICER_EXTENSION_BYTES_MAX} are allowed")]
    TooLarge(usize),
    /// The request has too many already.
    #[error("the request has {OFFICER_EXTENSION_COUNT_MAX} extensions set by officers already")]
    TooMany,
}

impl ExtensionRefusal {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOid => "extension-not-oid",
            Self::Owned(_) => "extension-owned",
            Self::Flags(_) => "extension-flags-invalid",
            Self::Empty => "extension-empty",
            Self::TooLarge(_) => "extension-too-large",
            Self::TooMany => "extension-too-many",
        }
    }
}

/// Whether an officer may set this beside those that are set already.
pub(crate) fn check(
    extension: &OfficerExtension,
    already: &[OfficerExtension],
) -> Result<(), ExtensionRefusal> {
    let OfficerExtension { oid, flags, value } = extension;
    let known = ObjectIdentifier::new(oid).map_err(|_| ExtensionRefusal::NotOid)?;
    if let Some((_, name)) = OWNED.iter().find(|(owned, _)| *owned == known) {
        return Err(ExtensionRefusal::Owned(name));
    }
    if flags & !FLAGS_KNOWN != 0 {
        return Err(ExtensionRefusal::Flags(*flags));
    }
    // What is left out of the certificate needs none.
    if value.is_empty() && flags & OfficerExtension::DISABLED == 0 {
        return Err(ExtensionRefusal::Empty);
    }
    if OFFICER_EXTENSION_BYTES_MAX < value.len() {
        return Err(ExtensionRefusal::TooLarge(value.len()));
    }
    let is_new = already.iter().all(|it| it.oid != *oid);
    if is_new && OFFICER_EXTENSION_COUNT_MAX <= already.len() {
        return Err(ExtensionRefusal::TooMany);
    }
    Ok(())
}

/// Replaces, adds or takes out what an officer set.
pub(crate) fn apply(extensions: &mut Vec<Extension>, officers: &[OfficerExtension]) {
    for OfficerExtension { oid, flags, value } in officers {
        let Ok(oid) = ObjectIdentifier::new(oid) else { continue };
        // Refused when they are set; a row from elsewhere changes nothing about it.
        if OWNED.iter().any(|(owned, _)| *owned == oid) {
            continue;
        }
        if flags & OfficerExtension::DISABLED != 0 {
            extensions.retain(|it| it.oid != oid);
            continue;
        }
        let critical = flags & OfficerExtension::CRITICAL != 0;
        let set = Extension { oid, critical, value: value.clone() };
        match extensions.iter_mut().find(|it| it.oid == oid) {
            Some(found) => *found = set,
            None => extensions.push(set),
        }
    }
}

/// Whether an officer has a say in the subject alternative names.
pub(crate) fn names_are_set(officers: &[OfficerExtension]) -> bool {
    officers.iter().any(|it| ObjectIdentifier::new(&it.oid) == Ok(SUBJECT_ALTERNATIVE_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn officers(oid: &str, flags: u16) -> OfficerExtension {
        OfficerExtension { oid: oid.to_owned(), flags, value: vec![5, 0] }
    }

    fn code(extension: &OfficerExtension) -> &'static str {
        check(extension, &[]).map_or_else(|it| it.code(), |()| "taken")
    }

    #[test]
    fn what_the_engine_owns_is_refused_by_name() {
        for oid in ["2.5.29.19", "2.5.29.35", "2.5.29.14", "2.5.29.31", "1.3.6.1.5.5.7.1.1"] {
            for flags in 0..4 {
                assert_eq!(code(&officers(oid, flags)), "extension-owned", "{oid}");
            }
        }
        let refused = check(&officers("2.5.29.31", 0), &[]).unwrap_err().to_string();
        assert_eq!(refused, "CRL distribution points are the engine's own and cannot be set");
    }

    #[test]
    fn an_extension_has_a_name_a_value_and_known_flags() {
        for flags in [0, 1, 2, 3, 0x0100, 0xff03] {
            assert_eq!(code(&officers("2.5.29.37", flags)), "taken");
        }
        for flags in [4, 0x80] {
            assert_eq!(code(&officers("2.5.29.37", flags)), "extension-flags-invalid");
        }
        for oid in ["", "1", "1.2.", "extKeyUsage", "1.2.840.x"] {
            assert_eq!(code(&officers(oid, 0)), "extension-not-oid", "{oid}");
        }
        let empty = |flags| OfficerExtension { value: Vec::new(), ..officers("1.2.3", flags) };
        assert_eq!(code(&empty(0)), "extension-empty");
        assert_eq!(code(&empty(2)), "taken");
        let long = |len| OfficerExtension { value: vec![5; len], ..officers("1.2.3", 0) };
        assert_eq!(code(&long(4096)), "taken");
        assert_eq!(code(&long(4097)), "extension-too-large");
    }

    #[test]
    fn officers_set_so_many_extensions_and_no_more() {
        let already: Vec<_> = (0..32).map(|it| officers(&format!("1.2.3.{it}"), 0)).collect();
        let one_more = officers("1.2.4", 0);
        assert_eq!(check(&one_more, &already[1..]), Ok(()));
        assert_eq!(check(&one_more, &already), Err(ExtensionRefusal::TooMany));
        // One that takes the place of another is none more.
        assert_eq!(check(&officers("1.2.3.7", 1), &already), Ok(()));
    }

    #[test]
    fn officers_replace_add_and_take_out() {
        let plain = |oid: &str| Extension {
            oid: ObjectIdentifier::new_unwrap(oid),
            critical: true,
            value: vec![1, 1, 0xff],
        };
        let mut extensions = vec![plain("2.5.29.19"), plain("2.5.29.15"), plain("2.5.29.37")];
        let set = [
            officers("2.5.29.15", 0),
            officers("2.5.29.37", 2),
            officers("1.2.3", 1),
            officers("2.5.29.32", 2),
            officers("2.5.29.19", 2),
        ];
        apply(&mut extensions, &set);
        let found: Vec<(String, bool, usize)> =
            extensions.iter().map(|it| (it.oid.to_string(), it.critical, it.value.len())).collect();
        let expected = [("2.5.29.19", true, 3), ("2.5.29.15", false, 2), ("1.2.3", true, 2)];
        assert_eq!(found, expected.map(|(oid, critical, len)| (oid.to_owned(), critical, len)));
    }
}
