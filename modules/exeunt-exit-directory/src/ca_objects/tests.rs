//! Where objects go, against the original's defaults.

use exeunt_publication::settings::Reader;
use serde_json::{Value as Json, json};

use super::*;

fn settings(objects: &Json) -> ObjectSettings {
    let written = json!({ "objects": objects });
    ObjectSettings::read(&mut Reader::new(written.as_object().unwrap())).unwrap()
}

fn domain() -> Facts {
    Facts {
        is_active_directory: true,
        configuration: Some("CN=Configuration,DC=example,DC=test".to_owned()),
        ..Facts::default()
    }
}

fn names(delta: bool, part: u32) -> Names {
    Names {
        machine_dns_name: "ca1.example.test".to_owned(),
        sanitized_ca_name: "Test, CA".to_owned(),
        sanitized_short_name: "Test, CA".to_owned(),
        crl_suffix: "(2)".to_owned(),
        configuration_dn: "CN=Configuration,DC=example,DC=test".to_owned(),
        delta,
        part,
        ..Names::default()
    }
}

fn places(objects: &Json, names: &Names) -> Vec<(String, &'static str)> {
    let places = list_places_of(&settings(objects), names, &domain()).unwrap();
    places.into_iter().map(|it| (it.dn, it.attribute)).collect()
}

/// The default of the original for an enterprise CA ([MS-CSRA], 3.1.1.4.2).
const ORIGINAL: &str = "79:ldap:///CN=%7%8,CN=%2,CN=CDP,CN=Public Key Services,CN=Services,%6%10";

#[test]
fn lists_go_where_the_originals_templates_lead() {
    let dn = "CN=Test\\, CA(2),CN=ca1,CN=CDP,CN=Public Key Services,CN=Services,\
              CN=Configuration,DC=example,DC=test";
    let base = [(dn.to_owned(), "certificateRevocationList")];
    let delta = [(dn.to_owned(), "deltaRevocationList")];
    let original =
        json!({"crl_urls": [ORIGINAL, "65:C:\\CertEnroll\\%3%8%9.crl", "6:http://%1/a"]});
    for objects in [&json!({}), &original] {
        assert_eq!(places(objects, &names(false, 0)), base);
        assert_eq!(places(objects, &names(true, 0)), delta);
    }
    // Flags decide: 1 for base lists, 64 for delta lists.
    let only_base = json!({"crl_urls": [ORIGINAL.replace("79:", "1:")]});
    assert_eq!(places(&only_base, &names(false, 0)), base);
    assert_eq!(places(&only_base, &names(true, 0)), []);
}

#[test]
fn lists_of_parts_never_take_the_place_of_the_whole() {
    let original = json!({"crl_urls": [ORIGINAL]});
    assert_eq!(places(&original, &names(false, 3)), []);
    let with_part = json!({"crl_urls": [ORIGINAL.replace("%7%8,", "%7%8<CRLPartitionIndex>,")]});
    for objects in [&json!({}), &with_part] {
        let places = places(objects, &names(false, 3));
        assert!(places[0].0.starts_with("CN=Test\\, CA(2)_Partition00003,CN=ca1,"), "{places:?}");
    }
}

#[test]
fn nobody_guesses_where_the_objects_are() {
    let nowhere = list_places_of(&settings(&json!({})), &names(false, 0), &Facts::default());
    assert!(matches!(nowhere, Err(ObjectError::NoContainer)));
    let said = settings(&json!({"container": "ou=pki,dc=example"}));
    let places = list_places_of(&said, &names(false, 0), &Facts::default()).unwrap();
    assert_eq!(places[0].dn, "CN=Test\\, CA(2),CN=ca1,CN=CDP,ou=pki,dc=example");
}

#[test]
fn names_are_taken_apart_where_they_are_not_escaped() {
    for (dn, above, own) in [
        ("CN=a,DC=b", Some("DC=b"), ("cn", "a")),
        ("CN=a\\,b , DC=c", Some("DC=c"), ("cn", "a,b")),
        ("OU=a\\2cb\\\\,DC=c", Some("DC=c"), ("ou", "a,b\\")),
        ("DC=c", None, ("dc", "c")),
    ] {
        assert_eq!(parent(dn), above, "{dn}");
        let (name, value) = rdn(dn).unwrap();
        assert_eq!((name.as_str(), value.as_str()), own, "{dn}");
    }
    assert_eq!(rdn("CN=a+OU=b,DC=c"), None);
    assert_eq!(rdn("CN=a\\"), None);
}
