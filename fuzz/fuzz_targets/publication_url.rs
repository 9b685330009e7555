//! Publication URLs: the operator's template on the first line, the CA's name after it.
#![no_main]

use exeunt_publication::url::{Location, Names, TARGET_BYTES_MAX, Target, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Location::parse(text);
    let (template, name) = text.split_once('\n').unwrap_or((text, "Roof"));
    let Ok(template) = Template::parse(template) else { return };
    let names = |name: &str| Names {
        machine_dns_name: "ca.example".to_owned(),
        sanitized_ca_name: name.to_owned(),
        sanitized_short_name: name.to_owned(),
        crl_suffix: "(1)".to_owned(),
        configuration_dn: "CN=Configuration,DC=example".to_owned(),
        ..Names::default()
    };
    let Ok(target) = template.expand(&names(name)) else { return };
    // A name changes what is named, and never what kind of thing it is or how it is asked for.
    let plain = template.expand(&names("x"));
    match (&target, plain) {
        (Target::File(path), Ok(Target::File(plain))) => {
            let depth = |it: &str| it.matches(['/', '\\']).count();
            assert!(path.len() <= TARGET_BYTES_MAX);
            assert_eq!(depth(path), depth(&plain));
        }
        (Target::Ldap(it), Ok(Target::Ldap(plain))) => {
            assert_eq!(it.scope, plain.scope);
            assert_eq!(it.attributes.len(), plain.attributes.len());
            assert_eq!(it.filter.is_some(), plain.filter.is_some());
        }
        (Target::Http(_), Ok(Target::Http(_))) | (Target::Other(_), Ok(Target::Other(_))) => (),
        // A plain name may be no worse than another.
        (_, other) => panic!("{target:?} and {other:?}"),
    }
});
