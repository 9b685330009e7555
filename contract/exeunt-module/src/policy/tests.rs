//! Section by section: what a policy may set, and what it may not.

use std::borrow::Cow;

use crate::{
    E_INVALIDARG, Event, Extension, Extensions, PropType, Properties, Value,
    policy::{Disposition, E_ACCESSDENIED, LogLevel, PolicyError, Ruling, ServerPolicy},
};

const SAN: &str = "2.5.29.17";

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn date(text: &str) -> Value {
    Value::Date(text.to_owned())
}

/// A request for www.example.com of an organization, with an alternative name that is not enabled.
fn server() -> ServerPolicy {
    let mut extensions = Extensions::default();
    let names = Extension { flags: 0x1_0002, value: vec![0x30, 0] };
    extensions.push(SAN, names);
    let event = Event {
        seq: 7,
        context: 7,
        certificate: Properties::from_iter([
            ("CommonName", text("www.example.com")),
            ("Organization", text("Example")),
            ("NotBefore", date("2026-11-21T07:00:00Z")),
            ("NotAfter", date("2027-11-21T06:59:59Z")),
            ("RawPublicKey", Value::Binary(vec![4, 1])),
        ]),
        extensions,
        ..Event::default()
    };
    ServerPolicy::over(event.into())
}

/// Sets one property and reads it back: its value, or the code of the refusal.
fn set(name: &str, value: Option<Value>) -> Result<Option<Value>, &'static str> {
    let mut server = server();
    let before = server.event().clone();
    let kind = value.as_ref().map_or(PropType::String, Value::kind);
    match server.set_certificate_property(name, kind, value) {
        Ok(()) => Ok(server.view().certificate_property(name, None).ok().map(Cow::into_owned)),
        Err(err) => {
            assert_eq!(server.event(), &before, "{name}: something changed");
            Err(err.code())
        }
    }
}

/// Sets one extension and gives its flags and length, or the code of the refusal.
fn extend(
    oid: &str,
    flags: u32,
    value: impl Into<Option<Value>>,
) -> Result<(u32, usize), &'static str> {
    let mut server = server();
    let value = value.into();
    let kind = value.as_ref().map_or(PropType::Binary, Value::kind);
    server
        .set_certificate_extension(oid, kind, flags, value.as_ref())
        .map(|()| server.view().extension(oid).map_or((0, 0), |it| (it.flags, it.value.len())))
        .map_err(|err| err.code())
}

#[test]
fn a_part_of_the_name_is_set_read_back_and_taken_out() {
    for name in ["CommonName", "cn", "2.5.4.3", "Subject.CommonName"] {
        assert_eq!(set(name, Some(text("mail.example.com"))), Ok(Some(text("mail.example.com"))));
        assert_eq!(set(name, None), Ok(None), "{name}");
    }
    assert_eq!(set("OrgUnit", Some(text("One\nTwo"))), Ok(Some(text("One\nTwo"))));
    assert_eq!(set("Country", Some(text("DE"))), Ok(Some(text("DE"))));
}

#[test]
fn every_part_of_the_name_has_its_length() {
    let limits = [
        ("CommonName", 64),
        ("DeviceSerialNumber", 1024),
        ("DomainComponent", 128),
        ("EMail", 128),
        ("GivenName", 16),
        ("Initials", 5),
        ("Locality", 128),
        ("Organization", 64),
        ("OrgUnit", 64),
        ("State", 128),
        ("StreetAddress", 30),
        ("SurName", 40),
        ("Title", 64),
        ("UnstructuredAddress", 1024),
        ("UnstructuredName", 1024),
    ];
    for (name, chars) in limits {
        let longest = text(&"x".repeat(chars));
        assert_eq!(set(name, Some(longest.clone())), Ok(Some(longest)), "{name}");
        assert_eq!(set(name, Some(text(&"x".repeat(chars + 1)))), Err("policy-value"), "{name}");
        // Characters are counted, not octets; each value for itself.
        let two = format!("{0}\n{0}", "x".repeat(chars));
        assert_eq!(set(name, Some(text(&two))), Ok(Some(text(&two))), "{name}");
    }
    assert!(set("CommonName", Some(text(&"ä".repeat(64)))).is_ok());
    for country in ["DEU", "D", "D1", "DE\nFR", "ÄÖ"] {
        assert_eq!(set("Country", Some(text(country))), Err("policy-value"), "{country}");
    }
    for name in ["", "One\n", "\nOne", "tab\there", "nul\0"] {
        assert_eq!(set("CommonName", Some(text(name))), Err("policy-value"), "{name:?}");
    }
    assert_eq!(set("EMail", Some(text("bücher@example.com"))), Err("policy-value"));
}

#[test]
fn validity_becomes_narrower_and_never_wider() {
    let inside = [
        ("NotBefore", "2026-11-21T07:00:01Z"),
        ("NotBefore", "2027-11-21T06:59:59Z"),
        ("NotAfter", "2027-11-21T06:59:58Z"),
        ("NotAfter", "2026-11-21T07:00:00Z"),
    ];
    for (name, moment) in inside {
        assert_eq!(set(name, Some(date(moment))), Ok(Some(date(moment))), "{name} {moment}");
    }
    let outside = [
        ("NotBefore", "2026-11-21T06:59:59Z"),
        ("NotBefore", "2027-11-21T07:00:00Z"),
        ("NotAfter", "2027-11-21T07:00:00Z"),
        ("NotAfter", "2026-11-21T06:59:59Z"),
        ("NotAfter", "9999-12-31T23:59:59Z"),
    ];
    for (name, moment) in outside {
        assert_eq!(set(name, Some(date(moment))), Err("policy-date-wider"), "{name} {moment}");
    }
    // The value that is there already.
    assert_eq!(set("NotBefore", Some(date("2026-11-21T07:00:00Z"))), Err("policy-date-unchanged"));
    assert_eq!(set("NotAfter", Some(date("2027-11-21T06:59:59Z"))), Err("policy-date-unchanged"));
    for moment in
        ["", "tomorrow", "2027-01-01", "2027-13-01T00:00:00Z", "2027-01-01T00:00:00+01:00"]
    {
        assert_eq!(set("NotAfter", Some(date(moment))), Err("policy-value"), "{moment}");
    }
    assert_eq!(set("NotAfter", Some(text("2027-01-01T00:00:00Z"))), Err("policy-type"));
    let mut server = server();
    let taken_out = server.set_certificate_property("NotAfter", PropType::Date, None);
    assert_eq!(taken_out.map_err(|it| it.code()), Err("policy-value"));
}

#[test]
fn the_two_bounds_do_not_cross_and_may_be_widened_to_the_engines_again() {
    let mut server = server();
    let mut set = |name: &str, moment: &str| {
        let value = Some(date(moment));
        server.set_certificate_property(name, PropType::Date, value).map_err(|it| it.code())
    };
    assert_eq!(set("NotAfter", "2027-01-01T00:00:00Z"), Ok(()));
    assert_eq!(set("NotBefore", "2027-01-01T00:00:01Z"), Err("policy-value"));
    assert_eq!(set("NotBefore", "2027-01-01T00:00:00Z"), Ok(()));
    assert_eq!(set("NotAfter", "2026-12-31T00:00:00Z"), Err("policy-value"));
    assert_eq!(set("NotAfter", "2027-11-21T06:59:59Z"), Ok(()));
    assert_eq!(set("NotAfter", "2027-11-21T07:00:00Z"), Err("policy-date-wider"));
}

#[test]
fn what_is_not_a_policys_to_set_stays_as_it_is() {
    let read_only = [
        "DistinguishedName",
        "Subject.DistinguishedName",
        "RawName",
        "RawPublicKey",
        "PublicKeyLength",
        "PublicKeyAlgorithm",
        "RawPublicKeyAlgorithmParameters",
        "SubjectKeyIdentifier",
        "SerialNumber",
        "serialnumber",
        "RequestID",
        "RawCertificate",
        "CertificateHash",
        "CertificateTemplate",
        "UPN",
        "RequesterName",
        "Disposition",
        "RawCACertificate",
        "RawCACertificate.0",
        "CAType",
        "RequesterCAAccess",
        "UserDN",
        "KeyArchived",
    ];
    for name in read_only {
        assert_eq!(set(name, Some(text("x"))), Err("policy-property-read-only"), "{name}");
        assert_eq!(set(name, None), Err("policy-property-read-only"), "{name}");
    }
    for name in ["", "CommonNam", "Subject.CN", "Issuer", "SignatureAlgorithm", "Setting.x"] {
        assert_eq!(set(name, Some(text("x"))), Err("policy-property-unknown"), "{name}");
    }
    let codes = |err: PolicyError| err.hresult();
    let mut server = server();
    let set = |it: &mut ServerPolicy, name: &str| {
        it.set_certificate_property(name, PropType::String, Some(text("x"))).map_err(codes)
    };
    assert_eq!(set(&mut server, "SerialNumber"), Err(E_ACCESSDENIED));
    assert_eq!(set(&mut server, "Nonsense"), Err(E_INVALIDARG));
    assert_eq!(set(&mut server, "CommonName"), Ok(()));
}

#[test]
fn a_value_has_the_type_that_is_named_and_the_property_has() {
    let mut server = server();
    let mismatch = server.set_certificate_property("CommonName", PropType::Long, Some(text("x")));
    assert_eq!(mismatch.unwrap_err().code(), "policy-type");
    let long = server.set_certificate_property("CommonName", PropType::Long, Some(Value::Long(1)));
    assert_eq!(long.unwrap_err().code(), "policy-type");
    assert_eq!(set("EventLogError", Some(Value::Long(1))), Err("policy-type"));
    assert_eq!(extend("1.2.3", 0, Some(text("ä"))), Err("policy-value"));
    let named = server.set_certificate_extension("1.2.3", PropType::Long, 0, Some(&text("x")));
    assert_eq!(named.unwrap_err().code(), "policy-type");
}

#[test]
fn the_originals_properties_for_policies_are_taken() {
    let mut server = server();
    for level in LogLevel::ALL {
        let line = Some(text("one\nline"));
        server.set_certificate_property(level.property(), PropType::String, line).unwrap();
    }
    let written: Vec<_> = server.log().iter().map(|it| (it.level, it.text.as_str())).collect();
    assert_eq!(written, LogLevel::ALL.map(|it| (it, "one line")));
    for name in ["DCName", "RequesterSAMName", "RequesterUPN", "RequesterDN"] {
        assert_eq!(set(name, Some(text("x"))), Ok(Some(text("x"))), "{name}");
    }
    assert_eq!(set("CrossForest", Some(Value::Long(1))), Ok(Some(Value::Long(1))));
    assert!(set("SEAuditId", Some(Value::Long(1))).is_ok());
    assert!(set("SEAuditId.1", Some(Value::Long(1))).is_ok());
    // The lines are no properties: nothing is there to read.
    assert_eq!(set("EventLogTerse", Some(text("x"))), Ok(None));
    assert_eq!(set("EventLogTerse", None), Err("policy-value"));
}

#[test]
fn extensions_are_put_in_enabled_and_kept_out() {
    let der = Some(Value::Binary(vec![0x30, 0]));
    assert_eq!(extend("2.5.29.37", 0, der.clone()), Ok((0x2_0000, 2)));
    assert_eq!(extend("2.5.29.37", 1, der.clone()), Ok((0x2_0001, 2)));
    assert_eq!(extend("1.2.3", 0xff00, der.clone()), Ok((0x2_ff00, 2)));
    // One of the request, by its value once more; disabled, with and without one.
    assert_eq!(extend(SAN, 0, der.clone()), Ok((0x2_0000, 2)));
    assert_eq!(extend(SAN, 2, None), Ok((0x2_0002, 2)));
    assert_eq!(extend("1.2.3", 2, der), Ok((0x2_0002, 2)));
    assert_eq!(extend("1.2.3", 2, None), Err("policy-no-extension"));
    assert_eq!(extend(SAN, 0, None), Err("policy-value"));

    let mut server = server();
    server.enable_extension(SAN).unwrap();
    assert_eq!(server.view().extension(SAN).map(|it| it.flags), Some(0x2_0000));
    server.disable_extension(SAN).unwrap();
    assert_eq!(server.view().extension(SAN).map(|it| it.flags), Some(0x2_0002));
    assert_eq!(server.enable_extension("1.2.3").unwrap_err().code(), "policy-no-extension");
}

#[test]
fn typed_values_are_encoded_as_the_original_encodes_them() {
    let encoded = |value: Value| {
        let mut server = server();
        let kind = value.kind();
        server.set_certificate_extension("1.2.3", kind, 0, Some(&value)).unwrap();
        let back = server.view().certificate_extension("1.2.3", kind).unwrap().0;
        assert_eq!(back, value);
        server.event().extensions.extension("1.2.3").unwrap().value.clone()
    };
    assert_eq!(encoded(Value::Long(5)), [2, 1, 5]);
    assert_eq!(encoded(text("hi")), [0x16, 2, b'h', b'i']);
    assert_eq!(encoded(date("2049-12-31T23:59:59Z")), [&[0x17, 13][..], b"491231235959Z"].concat());
    assert_eq!(
        encoded(date("2050-01-01T00:00:00Z")),
        [&[0x18, 15][..], b"20500101000000Z"].concat()
    );
}

#[test]
fn an_extension_has_an_oid_known_flags_and_one_value_of_bounded_length() {
    let der = || Some(Value::Binary(vec![5, 0]));
    for oid in ["", "1", "1.2.", "extKeyUsage", "1.2.840.x"] {
        assert_eq!(extend(oid, 0, der()), Err("policy-oid"), "{oid}");
    }
    assert!(extend("1.3.6.1.4.1.99999.1.12345678.12", 0, der()).is_ok(), "31 characters");
    assert_eq!(extend("1.3.6.1.4.1.99999.1.12345678.123", 0, der()), Err("policy-oid"));
    // The origin is the engine's alone; what has no meaning is refused.
    for flags in [0x4, 0x8, 0x80, 0x1_0000, 0x2_0000, 0x8000_0000] {
        assert_eq!(extend("1.2.3", flags, der()), Err("policy-flags"), "{flags:#x}");
    }
    let long = |len: usize| {
        let [high, low] = u16::try_from(len - 4).unwrap().to_be_bytes();
        Some(Value::Binary([&[4, 0x82, high, low][..], &vec![0; len - 4]].concat()))
    };
    assert_eq!(extend("1.2.3", 0, long(4096)), Ok((0x2_0000, 4096)));
    assert_eq!(extend("1.2.3", 0, long(4097)), Err("policy-value"));
    for bad in [vec![], vec![5], vec![5, 0, 0], vec![0x30, 5, 0]] {
        assert_eq!(extend("1.2.3", 0, Some(Value::Binary(bad))), Err("policy-value"));
    }
}

#[test]
fn what_the_engine_puts_in_by_itself_is_not_overridden() {
    for oid in ["2.5.29.19", "2.5.29.35", "2.5.29.14", "2.5.29.31", "1.3.6.1.5.5.7.1.1"] {
        for flags in 0..3 {
            let der = Some(Value::Binary(vec![0x30, 0]));
            assert_eq!(extend(oid, flags, der), Err("policy-extension-owned"), "{oid}");
        }
    }
}

/// The rules as data, which the kits of other languages keep too.
#[test]
fn every_case_of_the_rules_comes_out_as_it_stands_there() {
    #[derive(serde::Deserialize)]
    struct Rules {
        event: Event,
        cases: Vec<Case>,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Case {
        property: Option<String>,
        extension: Option<String>,
        #[serde(default)]
        flags: u32,
        value: Option<Value>,
        expect: String,
        reads: Option<bool>,
        der: Option<String>,
    }

    let text = include_str!("../../rules/policy.json");
    let Rules { event, cases } = serde_json::from_str(text).unwrap();
    assert!(150 < cases.len());
    for case in cases {
        let mut server = ServerPolicy::over(event.clone().into());
        let kind = case.value.as_ref().map_or(PropType::String, Value::kind);
        let done = match (&case.property, &case.extension) {
            (Some(name), None) => server.set_certificate_property(name, kind, case.value.clone()),
            (None, Some(oid)) => {
                server.set_certificate_extension(oid, kind, case.flags, case.value.as_ref())
            }
            _ => panic!("{case:?}"),
        };
        assert_eq!(done.map_or_else(|it| it.code(), |()| "set"), case.expect, "{case:?}");
        if case.expect != "set" {
            assert_eq!(**server.event(), event, "{case:?}");
        } else if let Some(oid) = &case.extension {
            let now = server.view().extension(oid).unwrap();
            assert_eq!(now.flags, case.flags | 0x2_0000, "{case:?}");
            if let Some(der) = &case.der {
                let json = serde_json::to_value(now).unwrap();
                assert_eq!(json["value"], **der, "{case:?}");
            }
        } else if case.reads != Some(false) {
            let name = case.property.as_deref().unwrap();
            let now = server.view().certificate_property(name, None).ok().map(Cow::into_owned);
            assert_eq!(now, case.value, "{case:?}");
        }
    }
}

#[test]
fn a_ruling_carries_everything_and_is_judged_alike() {
    let mut one = server();
    one.set_certificate_property("CN", PropType::String, None).unwrap();
    let until = Some(date("2027-01-01T00:00:00Z"));
    one.set_certificate_property("notafter", PropType::Date, until).unwrap();
    one.enable_extension(SAN).unwrap();
    one.set_certificate_property("EventLogWarning", PropType::String, Some(text("hm"))).unwrap();
    let event = one.event().clone();
    let ruling = one.into_ruling(Disposition::Issue, None);
    let json = serde_json::to_string(&ruling).unwrap();
    let expected = r#"{"disposition":1,"set_properties":[{"name":"CommonName","value":null},{"name":"NotAfter","value":{"date":"2027-01-01T00:00:00Z"}}],"set_extensions":[{"oid":"2.5.29.17","flags":0,"value":"MAA="}],"log":[{"level":"warning","text":"hm"}]}"#;
    assert_eq!(json, expected);

    let read: Ruling = serde_json::from_str(&json).unwrap();
    let mut other = server();
    other.apply(&read).unwrap();
    assert_eq!(other.event(), &event);
    assert_eq!(other.into_ruling(Disposition::Issue, None), read);
}

#[test]
fn a_ruling_sets_so_much_and_no_more() {
    let many = |count: usize| Ruling {
        log: vec![super::LogLine { level: LogLevel::Terse, text: String::new() }; count],
        ..Ruling::default()
    };
    server().apply(&many(64)).unwrap();
    assert_eq!(server().apply(&many(65)).unwrap_err().code(), "policy-too-many");
}

#[test]
fn a_number_is_a_disposition_or_it_is_none() {
    let known = [
        (0, Disposition::Pend),
        (1, Disposition::Issue),
        (2, Disposition::Deny),
        (-1, Disposition::DenyWith(0xffff_ffff)),
        (-2_146_877_423, Disposition::DenyWith(0x8009_4011)),
        (0x8009_4011, Disposition::DenyWith(0x8009_4011)),
        (0x8000_0000, Disposition::DenyWith(0x8000_0000)),
        (i64::from(i32::MIN), Disposition::DenyWith(0x8000_0000)),
    ];
    for (number, meant) in known {
        assert_eq!(Disposition::from_number(number), Some(meant), "{number}");
        assert_eq!(Disposition::from_number(meant.number()), Some(meant), "{number}");
    }
    for number in [3, 5, 87, 0x7fff_ffff, 0x1_0000_0000, i64::MAX, i64::from(i32::MIN) - 1] {
        assert_eq!(Disposition::from_number(number), None, "{number}");
    }
}

#[test]
fn half_a_ruling_is_none() {
    let bad = [
        "{}",
        "null",
        r#"{"disposition":"1"}"#,
        r#"{"disposition":1.5}"#,
        r#"{"disposition":true}"#,
        r#"{"disposition":1,"set_properties":[{"name":"CommonName"}]}"#,
        r#"{"disposition":1,"set_properties":[{"name":"CommonName","value":{"text":"x"}}]}"#,
        r#"{"disposition":1,"set_extensions":[{"oid":"1.2.3"}]}"#,
        r#"{"disposition":1,"set_extensions":[{"oid":"1.2.3","value":"no base64"}]}"#,
        r#"{"disposition":1,"log":[{"level":"loud","text":"x"}]}"#,
    ];
    for text in bad {
        assert!(serde_json::from_str::<Ruling>(text).is_err(), "{text}");
    }
    let least: Ruling = serde_json::from_str(r#"{"disposition":1,"later":[]}"#).unwrap();
    assert_eq!(least, Ruling { disposition: 1, ..Ruling::default() });
}
