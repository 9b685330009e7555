//! The name parts that a subject can be built of: the original's properties, with their aliases, object
//! identifiers and lengths.

/// One name part.
#[derive(Debug, PartialEq, Eq)]
pub struct NameProperty {
    /// The original's name.
    pub name: &'static str,
    /// How else it may be written.
    pub aliases: &'static [&'static str],
    /// Type of the attribute in a distinguished name, dotted.
    pub oid: &'static str,
    /// Most characters that the original lets it have; what X.509 allows is looked at besides.
    pub length_max: usize,
}

/// All of them.
#[rustfmt::skip]
pub static NAME_PROPERTIES: [NameProperty; 16] = [
    property("CommonName", &["CN"], "2.5.4.3", 64),
    property("Country", &["C"], "2.5.4.6", 2),
    property("DeviceSerialNumber", &[], "2.5.4.5", 1024),
    property("DomainComponent", &["DC"], "0.9.2342.19200300.100.1.25", 128),
    property("EMail", &["E"], "1.2.840.113549.1.9.1", 128),
    property("GivenName", &["G"], "2.5.4.42", 16),
    property("Initials", &["I"], "2.5.4.43", 5),
    property("Locality", &["L"], "2.5.4.7", 128),
    property("Organization", &["O", "Org"], "2.5.4.10", 64),
    property("OrgUnit", &["OU", "OrganizationUnit", "OrganizationalUnit"], "2.5.4.11", 64),
    property("State", &["ST", "S"], "2.5.4.8", 128),
    property("StreetAddress", &["Street"], "2.5.4.9", 30),
    property("SurName", &["SN"], "2.5.4.4", 40),
    property("Title", &["T"], "2.5.4.12", 64),
    property("UnstructuredAddress", &[], "1.2.840.113549.1.9.8", 1024),
    property("UnstructuredName", &[], "1.2.840.113549.1.9.2", 1024),
];

const fn property(
    name: &'static str,
    aliases: &'static [&'static str],
    oid: &'static str,
    length_max: usize,
) -> NameProperty {
    NameProperty { name, aliases, oid, length_max }
}

impl NameProperty {
    /// The part that is written so: by its name, by its name after `Subject.`, by an alias, or by its
    /// object identifier; without regard to case.
    #[must_use]
    pub fn find(word: &str) -> Option<&'static Self> {
        let bare = match word.split_at_checked("Subject.".len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("Subject.") => Some(rest),
            _ => None,
        };
        NAME_PROPERTIES.iter().find(|it| match bare {
            // The prefix does not go with an alias.
            Some(bare) => it.name.eq_ignore_ascii_case(bare),
            None => {
                it.name.eq_ignore_ascii_case(word)
                    || it.oid == word
                    || it.aliases.iter().any(|it| it.eq_ignore_ascii_case(word))
            }
        })
    }

    /// The part with that object identifier.
    #[must_use]
    pub fn by_oid(oid: &str) -> Option<&'static Self> {
        NAME_PROPERTIES.iter().find(|it| it.oid == oid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_a_name_aliases_and_an_identifier_and_a_prefix_goes_with_the_name_alone() {
        let oid = |word| NameProperty::find(word).map(|it| it.oid);
        for word in ["CommonName", "commonname", "CN", "cn", "2.5.4.3", "Subject.CommonName"] {
            assert_eq!(oid(word), Some("2.5.4.3"), "{word}");
        }
        assert_eq!(oid("OrganizationalUnit"), oid("OU"));
        for word in ["Subject.CN", "Subject.2.5.4.3", "Subject.", "", "DistinguishedName", "X"] {
            assert_eq!(oid(word), None, "{word}");
        }
    }
}
