//! Tests of the view: each sentence of its rules.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::prelude::*;

use super::*;
use crate::{CERTSRV_E_PROPERTY_EMPTY, E_INVALIDARG, E_UNEXPECTED, Extensions, exit_event};

const BASIC: &str = "2.5.29.19";
const NUMBER: &str = "1.2.3.4";

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Three certificates, of which the newest stands under its plain name, as the server writes it.
fn system() -> Arc<Properties> {
    let properties = [
        ("CertCount", Value::Long(3)),
        ("fDeltaCRLsDisabled", Value::Long(1)),
        ("CAType", Value::Long(3)),
        ("RawCACertificate", Value::Binary(vec![2])),
        ("RawCACertificate.0", Value::Binary(vec![0])),
        ("CertState.1", Value::Long(4)),
        ("CertState.2", Value::Long(3)),
        ("Setting.folder", text("/srv")),
        ("FromTheFuture", text("system")),
    ];
    Arc::new(properties.into_iter().collect())
}

fn issued() -> Event {
    let mut extensions = Extensions::default();
    extensions.push(BASIC, Extension { flags: 0x2_0001, value: vec![0x30, 0] });
    extensions.push(NUMBER, Extension { flags: 0x1_0002, value: vec![2, 1, 7] });
    Event {
        seq: 4,
        event: exit_event::CERT_ISSUED,
        context: 9,
        request: [
            ("RequestID", Value::Long(9)),
            ("CommonName", text("wanted")),
            ("Disposition", Value::Long(20)),
        ]
        .into_iter()
        .collect(),
        certificate: [
            ("RequestID", Value::Long(9)),
            ("CommonName", text("issued")),
            ("SurName", text("Ada")),
            ("NewThing", Value::Long(1)),
        ]
        .into_iter()
        .collect(),
        attributes: vec![
            ("CertificateTemplate".to_owned(), "tls".to_owned()),
            ("cdc".to_owned(), "dc1".to_owned()),
        ],
        extensions,
        system: system(),
        detail: [("Reason", text("why"))].into_iter().collect(),
        ..Event::default()
    }
}

/// An event of the server: about no request.
fn crl_issued() -> Event {
    Event { event: exit_event::CRL_ISSUED, system: system(), ..Event::default() }
}

fn shown(answer: Result<Cow<'_, Value>, ViewError>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(err) => format!("{} {:#x}", err.code(), err.hresult()),
    }
}

#[track_caller]
fn check_request(name: &str, kind: PropType, expected: &str) {
    assert_eq!(shown(View::of(&issued()).request_property(name, kind)), expected, "{name}");
}

#[track_caller]
fn check_certificate(event: &Event, name: &str, kind: PropType, expected: &str) {
    assert_eq!(shown(View::of(event).certificate_property(name, kind)), expected, "{name}");
}

#[track_caller]
fn check_system(name: &str, kind: PropType, expected: &str) {
    let system = system();
    assert_eq!(
        shown(View::of_system(&system).certificate_property(name, kind)),
        expected,
        "{name}"
    );
}

#[test]
fn names_are_read_in_any_case_and_in_their_own_type_alone() {
    check_request("requestid", PropType::Long, "Long(9)");
    check_request("REQUESTID", PropType::String, "property-type 0x80070057");
    // The type is wrong whether there is a value or not.
    check_request("RevokedReason", PropType::Long, "property-empty 0x80094004");
    check_request("RevokedReason", PropType::Date, "property-type 0x80070057");
    assert_eq!(
        *View::of(&issued()).request_property("Disposition", None).unwrap(),
        Value::Long(20)
    );
}

#[test]
fn a_name_that_nobody_knows_is_an_invalid_argument() {
    check_request("Dispositoin", PropType::Long, "property-unknown 0x80070057");
    check_request("RawCertificate", PropType::Binary, "property-unknown 0x80070057");
    check_certificate(&issued(), "Disposition", PropType::Long, "property-unknown 0x80070057");
    check_system("CAtype.0", PropType::Long, "property-unknown 0x80070057");
    check_system("", PropType::Long, "property-unknown 0x80070057");
}

#[test]
fn a_name_of_a_newer_server_is_read_where_the_event_has_it() {
    check_certificate(&issued(), "newthing", PropType::Long, "Long(1)");
    check_certificate(&issued(), "newthing", PropType::Date, "property-type 0x80070057");
    check_system("FromTheFuture", PropType::String, r#"String("system")"#);
}

#[test]
fn a_name_part_has_aliases_and_a_prefix_that_stands_before_no_alias() {
    for name in ["CommonName", "CN", "cn", "2.5.4.3", "Subject.CommonName", "SUBJECT.commonname"] {
        check_request(name, PropType::String, r#"String("wanted")"#);
        check_certificate(&issued(), name, PropType::String, r#"String("issued")"#);
    }
    check_certificate(&issued(), "SN", PropType::String, r#"String("Ada")"#);
    for name in ["Subject.CN", "Subject.2.5.4.3", "Subject.RequestID", "Subject."] {
        check_request(name, PropType::String, "property-unknown 0x80070057");
    }
    check_request("Subject.RawName", PropType::Binary, "property-empty 0x80094004");
}

#[test]
fn an_index_counts_the_certificates_of_the_ca_and_none_means_the_newest() {
    check_system("RawCACertificate", PropType::Binary, "Binary([2])");
    check_system("rawcacertificate.2", PropType::Binary, "Binary([2])");
    check_system("RawCACertificate.0", PropType::Binary, "Binary([0])");
    check_system("RawCACertificate.1", PropType::Binary, "property-empty 0x80094004");
    check_system("RawCACertificate.3", PropType::Binary, "property-index 0x80070002");
    let large = "RawCACertificate.99999999999999999999999";
    check_system(large, PropType::Binary, "property-index 0x80070002");
    check_system("CertState", PropType::Long, "Long(3)");
    check_system("CertState.1", PropType::Long, "Long(4)");
    check_system("CertState.3", PropType::String, "property-type 0x80070057");
    for name in ["CertState.", "CertState.01", "CertState.+1", "CertState.1.1", "CertState. 1"] {
        check_system(name, PropType::Long, "property-unknown 0x80070057");
    }
    // Periods are counted from seconds to years, not by certificates.
    check_system("LocalizedTimePeriodUnits.6", PropType::String, "property-empty 0x80094004");
    check_system("LocalizedTimePeriodUnits.7", PropType::String, "property-index 0x80070002");
    check_system("SEAuditId.7", PropType::Long, "property-empty 0x80094004");
}

#[test]
fn a_list_that_is_not_there_is_empty_and_a_delta_list_a_file_that_does_not_exist() {
    check_system("RawCRL.0", PropType::Binary, "property-empty 0x80094004");
    check_system("RawDeltaCRL.0", PropType::Binary, "property-index 0x80070002");
    check_system("RawDeltaCRL", PropType::Binary, "property-index 0x80070002");
}

#[test]
fn the_context_decides_what_can_be_read() {
    check_certificate(&issued(), "CertCount", PropType::Long, "property-empty 0x80094004");
    check_certificate(&crl_issued(), "CertCount", PropType::Long, "Long(3)");
    check_system("CertCount", PropType::Long, "Long(3)");
    check_system("CommonName", PropType::String, "property-empty 0x80094004");
    let system = system();
    let disposition = View::of_system(&system).request_property("Disposition", PropType::Long);
    assert_eq!(disposition.unwrap_err().hresult(), CERTSRV_E_PROPERTY_EMPTY);
    // The one property of the CA that is read like the request's.
    check_request("RawCACertificate", PropType::Binary, "Binary([2])");
}

#[test]
fn a_pending_request_has_a_number_and_a_template_although_it_has_no_certificate() {
    let request = [("RequestID", Value::Long(9)), ("CertificateTemplate", text("tls"))];
    let pending = Event { context: 9, request: request.into_iter().collect(), ..Event::default() };
    check_certificate(&pending, "RequestID", PropType::Long, "Long(9)");
    check_certificate(&pending, "certificatetemplate", PropType::String, r#"String("tls")"#);
    check_certificate(&pending, "SerialNumber", PropType::String, "property-empty 0x80094004");
}

#[test]
fn settings_and_details_have_names_of_their_own() {
    check_system("setting.FOLDER", PropType::String, r#"String("/srv")"#);
    check_system("Setting.nothing", PropType::String, "property-empty 0x80094004");
    check_certificate(&issued(), "Detail.Reason", PropType::String, r#"String("why")"#);
    check_certificate(&issued(), "detail.reason", PropType::Long, "property-type 0x80070057");
    check_certificate(&issued(), "Detail.Module", PropType::String, "property-empty 0x80094004");
}

#[test]
fn an_attribute_is_found_without_regard_to_case_blanks_and_hyphens() {
    let event = issued();
    let view = View::of(&event);
    for name in ["CertificateTemplate", "certificate-template", "Certificate Template"] {
        assert_eq!(view.request_attribute(name).unwrap(), "tls");
    }
    let err = view.request_attribute("CertFile").unwrap_err();
    assert_eq!(err.hresult(), CERTSRV_E_PROPERTY_EMPTY);
}

#[test]
fn the_flags_are_those_of_the_extension_that_was_fetched_last() {
    let mut reader = Reader::new(system());
    assert_eq!(reader.extension_flags().unwrap_err().hresult(), E_UNEXPECTED);
    reader.set_context(Context::Event(Arc::new(issued())));
    assert_eq!(
        reader.certificate_extension(BASIC, PropType::Binary).unwrap(),
        Value::Binary(vec![0x30, 0])
    );
    assert_eq!(reader.extension_flags().unwrap(), 0x2_0001);
    assert_eq!(reader.certificate_extension(NUMBER, PropType::Long).unwrap(), Value::Long(7));
    assert_eq!(reader.extension_flags().unwrap(), 0x1_0002);
    // A failure changes nothing.
    let err = reader.certificate_extension(BASIC, PropType::Long).unwrap_err();
    assert_eq!((err.code(), err.hresult()), ("extension-undecodable", E_INVALIDARG));
    let err = reader.certificate_extension("2.5.29.17", PropType::Binary).unwrap_err();
    assert_eq!(err.hresult(), CERTSRV_E_PROPERTY_EMPTY);
    let err = reader.certificate_extension("basicConstraints", PropType::Binary).unwrap_err();
    assert_eq!(err.hresult(), E_INVALIDARG);
    assert_eq!(reader.extension_flags().unwrap(), 0x1_0002);
    reader.set_context(Context::System);
    assert_eq!(reader.extension_flags().unwrap_err().hresult(), E_UNEXPECTED);
}

#[test]
fn an_enumeration_needs_its_set_up_and_ends_with_a_success() {
    let mut reader = Reader::new(system());
    reader.set_context(Context::Event(Arc::new(issued())));
    assert_eq!(reader.next_extension().unwrap_err().hresult(), E_UNEXPECTED);
    assert_eq!(reader.next_attribute().unwrap_err().hresult(), E_UNEXPECTED);
    assert_eq!(reader.enumerate_extensions_setup(2).unwrap_err().hresult(), E_INVALIDARG);
    reader.enumerate_extensions_setup(0).unwrap();
    reader.enumerate_attributes_setup(0).unwrap();
    assert_eq!(reader.next_extension().unwrap().as_deref(), Some(BASIC));
    // Fetching what was found inside the loop is usual and disturbs nothing.
    reader.certificate_extension(NUMBER, PropType::Binary).unwrap();
    assert_eq!(reader.next_attribute().unwrap().as_deref(), Some("CertificateTemplate"));
    assert_eq!(reader.next_extension().unwrap().as_deref(), Some(NUMBER));
    assert_eq!(reader.next_extension().unwrap(), None);
    assert_eq!(reader.next_extension().unwrap(), None);
    reader.enumerate_extensions_setup(0).unwrap();
    assert_eq!(reader.next_extension().unwrap().as_deref(), Some(BASIC));
    reader.enumerate_extensions_close();
    reader.enumerate_extensions_close();
    assert_eq!(reader.next_extension().unwrap_err().hresult(), E_UNEXPECTED);
    assert_eq!(reader.next_attribute().unwrap().as_deref(), Some("cdc"));
    assert_eq!(reader.next_attribute().unwrap(), None);
    reader.enumerate_attributes_close();
    assert!(reader.next_attribute().is_err());
    // Context 0 has no extension and no attribute, which is no error.
    reader.set_context(Context::System);
    reader.enumerate_extensions_setup(ENUMEXT_OBJECTID).unwrap();
    assert_eq!(reader.next_extension().unwrap(), None);
}

#[test]
fn what_the_event_came_without_is_fetched_and_nothing_else() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let fetch: Arc<Fetch> = Arc::new(move |query: &Query| {
        counter.fetch_add(1, Ordering::Relaxed);
        let expected = Asked { seq: 4, name: "RawRequest".to_owned(), value_type: None };
        assert_eq!(*query, Query::GetRequestProperty(expected));
        Ok(Found::Value(Value::Binary(vec![0x30])))
    });
    let mut reader = Reader::new(system()).with_fetch(fetch);
    reader.set_context(Context::Event(Arc::new(issued())));
    let fetched = reader.request_property("rawrequest", PropType::Binary).unwrap().into_owned();
    assert_eq!(fetched, Value::Binary(vec![0x30]));
    assert!(reader.request_property("RawRequest", PropType::Long).is_err());
    assert!(reader.request_property("Disposition", PropType::Long).is_ok());
    assert!(reader.request_property("RawOldCertificate", PropType::Binary).is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    reader.set_context(Context::Event(Arc::new(crl_issued())));
    assert!(reader.request_property("RawRequest", PropType::Binary).is_err());
    // Without a way to fetch, it is empty.
    check_request("RawRequest", PropType::Binary, "property-empty 0x80094004");
}

#[test]
fn a_type_argument_carries_the_type_in_its_low_octet() {
    for kind in PropType::ALL {
        assert_eq!(PropType::from_number(kind.number()), Some(kind));
        assert_eq!(PropType::from_number(0x300 | kind.number()), Some(kind));
        assert_eq!(PropType::from_name(kind.name()), Some(kind));
    }
    for number in [0, 5, 0x100] {
        assert_eq!(PropType::from_number(number), None);
    }
}

#[test]
fn the_table_says_nothing_twice() {
    let mut seen = HashSet::new();
    for property in PROPERTIES {
        // A name of either call means one thing.
        let calls: &[&str] = match property.class {
            Class::Request => &["request"],
            Class::Name => &["request", "certificate"],
            Class::Certificate | Class::System | Class::RequestSystem | Class::Policy => {
                &["certificate"]
            }
        };
        for call in calls {
            assert!(seen.insert((*call, property.name.to_ascii_lowercase())), "{}", property.name);
        }
        assert!(!property.meaning.is_empty());
    }
    for (alias, meant) in ALIASES {
        assert!(name_property(alias).is_some_and(|it| it.name == *meant), "{alias}");
        assert!(find(alias, &[Class::Name, Class::Request, Class::Certificate]).is_none());
    }
}

/// The grammar once more, as slowly and plainly as it can be said.
fn naive(name: &str, count: u64) -> Option<Result<u64, ()>> {
    let (plain, index) = match name.find('.') {
        None => (name, None),
        Some(dot) => (&name[..dot], Some(&name[dot + 1..])),
    };
    if plain.to_lowercase() != "certstate" {
        return None;
    }
    let Some(index) = index else { return Some(count.checked_sub(1).ok_or(())) };
    for number in 0..=20_u64 {
        if number.to_string() == index {
            return Some(if number < count { Ok(number) } else { Err(()) });
        }
    }
    None
}

proptest! {
    #[test]
    fn the_index_grammar_is_the_one_that_is_written_down(
        name in "[cC]ert[sS]tate", tail in r"(\.[0-9]{0,2}|\.[ +-]?[0-9]|\.[0-9]\.[0-9]|x?)", count in 0_u64..5
    ) {
        let name = format!("{name}{tail}");
        let long = |it: u64| Value::Long(i32::try_from(it).unwrap());
        let mut properties = Properties::default();
        properties.push("CertCount", long(count));
        for index in 0..count {
            properties.push(format!("CertState.{index}"), long(index));
        }
        let found = View::of_system(&properties).certificate_property(&name, PropType::Long);
        match naive(&name, count) {
            None if name.rsplit_once('.').is_some_and(|(plain, index)| {
                plain.eq_ignore_ascii_case("certstate") && index.len() == 2 && !index.starts_with('0')
                    && index.bytes().all(|it| it.is_ascii_digit())
            }) => prop_assert_eq!(found.unwrap_err().code(), "property-index"),
            None => prop_assert_eq!(found.unwrap_err().code(), "property-unknown"),
            Some(Ok(index)) => prop_assert_eq!(found.unwrap().into_owned(), long(index)),
            Some(Err(())) if tail.is_empty() => {
                prop_assert_eq!(found.unwrap_err().code(), "property-empty");
            }
            Some(Err(())) => prop_assert_eq!(found.unwrap_err().code(), "property-index"),
        }
    }

    #[test]
    fn a_name_part_is_its_own_name_with_or_without_the_prefix_or_an_alias_without(
        prefix in "([sS]ubject\\.|SUBJECT\\.|subject|Subject\\. |)",
        stem in prop_oneof![
            prop::sample::select(PROPERTIES).prop_map(|it| it.name),
            prop::sample::select(ALIASES).prop_map(|it| it.0),
        ],
        upper in any::<bool>(),
    ) {
        let stem = if upper { stem.to_uppercase() } else { stem.to_lowercase() };
        let same = |other: &str| other.to_lowercase() == stem.to_lowercase();
        let own = PROPERTIES.iter().find(|it| it.class == Class::Name && same(it.name));
        let meant = ALIASES.iter().find(|(alias, _)| same(alias)).map(|(_, name)| *name);
        let expected = match prefix.to_lowercase().as_str() {
            "" => own.map(|it| it.name).or(meant),
            "subject." => own.map(|it| it.name),
            _ => None,
        };
        let found = name_property(&format!("{prefix}{stem}"));
        prop_assert_eq!(found.map(|it| it.name), expected);
    }

    #[test]
    fn no_name_and_no_value_brings_the_view_down(name in ".{0,40}", der in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut event = issued();
        event.extensions.push("9.9.9", Extension { flags: 0, value: der });
        let view = View::of(&event);
        let _ = view.request_property(&name, None);
        let _ = view.certificate_property(&name, None);
        let _ = view.request_attribute(&name);
        let _ = view.certificate_extension(&name, None);
        for kind in PropType::ALL {
            let _ = view.certificate_extension("9.9.9", kind);
        }
    }
}

/// The rows of a section's table, those that begin with a name in backticks.
fn rows<'a>(document: &'a str, section: &str) -> Vec<&'a str> {
    document
        .split("\n## ")
        .find(|it| it.starts_with(section))
        .unwrap_or_else(|| panic!("there is no section {section:?}"))
        .lines()
        .filter(|it| it.starts_with("| `"))
        .collect()
}

#[test]
fn the_manual_lists_every_name_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manual/properties.md");
    let document = std::fs::read_to_string(path).unwrap();
    for (section, class) in [
        ("Properties of the request", Class::Request),
        ("Properties of the certificate", Class::Certificate),
        ("Properties of the name", Class::Name),
        ("Properties of the CA", Class::System),
        ("Properties of the server about one request", Class::RequestSystem),
        ("Properties for policy modules", Class::Policy),
    ] {
        let expected: Vec<String> = PROPERTIES
            .iter()
            .filter(|it| it.class == class)
            .map(|it| {
                let Property { name, class: _, kind, indexed, filled, meaning } = it;
                let index = if *indexed == Indexed::No { "" } else { "`, `.N" };
                let kind = kind.map_or("–", PropType::name);
                let filled = match (filled, class) {
                    (true, _) => "filled",
                    (false, Class::Policy) => "not for exit modules",
                    (false, _) => "no meaning yet",
                };
                format!("| `{name}{index}` | {kind} | {filled} | {meaning} |")
            })
            .collect();
        let found = rows(&document, section);
        assert!(found == expected, "## {section} should be:\n{}\n", expected.join("\n"));
    }
}

#[test]
fn the_manual_lists_every_alias_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/manual/properties.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut expected: Vec<String> = Vec::new();
    for property in PROPERTIES.iter().filter(|it| it.class == Class::Name) {
        let aliases: Vec<String> = ALIASES
            .iter()
            .filter(|(_, meant)| *meant == property.name)
            .map(|(alias, _)| format!("`{alias}`"))
            .collect();
        if !aliases.is_empty() {
            expected.push(format!("| {} | {} |", property.name, aliases.join(", ")));
        }
    }
    let found: Vec<&str> = document
        .lines()
        .filter(|it| expected.iter().any(|row| it.starts_with(row.as_str())))
        .collect();
    assert_eq!(found.len(), expected.len());
}
