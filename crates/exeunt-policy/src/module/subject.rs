//! A subject of which a policy has set parts.

use exeunt_module::policy::name_limit;
use exeunt_x509::{Name, NameError};

use crate::escape::escape;

/// Order of the parts in the DER, from the widest to the most specific: that of the original's
/// default template for subjects, with the other parts beside their kin.
const ORDER: [&str; 16] = [
    "Country",
    "DomainComponent",
    "State",
    "Locality",
    "StreetAddress",
    "Organization",
    "OrgUnit",
    "Title",
    "SurName",
    "GivenName",
    "Initials",
    "CommonName",
    "DeviceSerialNumber",
    "UnstructuredName",
    "UnstructuredAddress",
    "EMail",
];

/// The name with these parts in the place of its own: each the name of a property and its values,
/// joined by line feeds in the order of the text, or none to take it out. A part that was there keeps
/// its place; a new one comes where `ORDER` has it.
///
/// # Errors
///
/// What is wrong with a value, where a name cannot hold it.
pub(super) fn with_parts(
    name: &Name,
    parts: &[(String, Option<String>)],
) -> Result<Name, NameError> {
    let mut attributes: Vec<(String, String)> =
        name.attributes().map(|(oid, value)| (oid, value.to_owned())).collect();
    for (part, values) in parts {
        let Some(limit) = name_limit(part) else { continue };
        let first = attributes.iter().position(|(oid, _)| oid == limit.oid);
        attributes.retain(|(oid, _)| oid != limit.oid);
        let Some(values) = values else { continue };
        let place = first.unwrap_or_else(|| {
            let rank = rank_of_oid(limit.oid);
            let before = |(oid, _): &(String, String)| rank_of_oid(oid) <= rank;
            attributes.iter().rposition(before).map_or(0, |it| it + 1)
        });
        // The DER has the reverse of the text's order.
        let values = values.split('\n').rev().map(|it| (limit.oid.to_owned(), it.to_owned()));
        let place = place.min(attributes.len());
        attributes.splice(place..place, values);
    }
    let text: Vec<String> =
        attributes.iter().rev().map(|(oid, value)| format!("{oid}={}", escape(value))).collect();
    Name::parse(&text.join(","))
}

/// Place of a part; what is no part counts as the most specific.
fn rank_of_oid(oid: &str) -> usize {
    let is = |part: &&str| name_limit(part).is_some_and(|it| it.oid == oid);
    ORDER.iter().position(is).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(before: &str, parts: &[(&str, Option<&str>)], after: &str) {
        let parts: Vec<_> = parts
            .iter()
            .map(|(part, values)| ((*part).to_owned(), values.map(str::to_owned)))
            .collect();
        let name = with_parts(&Name::parse(before).unwrap(), &parts).unwrap();
        assert_eq!(name.to_string(), after);
    }

    #[test]
    fn a_part_keeps_its_place_and_a_new_one_finds_its_own() {
        check("CN=a,O=Acme,C=DE", &[("CommonName", Some("b"))], "CN=b,O=Acme,C=DE");
        check("CN=a,O=Acme,C=DE", &[("Organization", None)], "CN=a,C=DE");
        check(
            "CN=a",
            &[("Country", Some("DE")), ("Organization", Some("Acme"))],
            "CN=a,O=Acme,C=DE",
        );
        check("", &[("CommonName", Some("a")), ("Country", Some("DE"))], "CN=a,C=DE");
        check("O=Acme,CN=a", &[("Organization", Some("Other"))], "O=Other,CN=a");
        check("CN=a", &[("CommonName", None)], "");
    }

    #[test]
    fn several_values_stand_in_the_order_of_the_text() {
        check("CN=a,OU=x,C=DE", &[("OrgUnit", Some("One\nTwo"))], "CN=a,OU=One,OU=Two,C=DE");
        check("CN=a", &[("DomainComponent", Some("example\ncom"))], "CN=a,DC=example,DC=com");
    }

    #[test]
    fn what_has_a_meaning_in_the_text_is_escaped() {
        for value in ["a,b", "a+b", "#a", " a ", "\\", "a=b", "\"q\"", "<a>;", "="] {
            let parts = [("CommonName".to_owned(), Some(value.to_owned()))];
            let name = with_parts(&Name::parse("").unwrap(), &parts).unwrap();
            assert_eq!(name.common_name(), Some(value));
            assert_eq!(name.attributes().count(), 1);
        }
    }
}
