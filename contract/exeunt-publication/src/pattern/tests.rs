//! What patterns and values become.

use super::*;
use exeunt_module_kit::{Properties, Value, testing::issued_event};
use expect_test::{Expect, expect};

fn expand(pattern: &str, common_name: &str) -> Result<String, String> {
    let mut event = issued_event(9, b"");
    event.certificate = Properties::from_iter([
        ("SerialNumber", Value::String("40ab".to_owned())),
        ("CommonName", Value::String(common_name.to_owned())),
        ("CertificateTemplate", Value::String("Web Server".to_owned())),
    ]);
    Pattern::parse(pattern, Place::FileName)?.expand(&event)
}

#[track_caller]
fn check(pattern: &str, common_name: &str, expect: &Expect) {
    expect.assert_eq(&expand(pattern, common_name).unwrap_or_else(|err| format!("error: {err}")));
}

#[test]
fn fields_are_filled_in() {
    check("{serial}.pem", "", &expect!["40ab.pem"]);
    check("{request_id}-{template}.der", "", &expect!["9-Web Server.der"]);
    check("ä {subject_cn}", "www.example.com", &expect!["ä www.example.com"]);
    check("latest.pem", "x", &expect!["latest.pem"]);
}

#[test]
fn hostile_names_become_harmless() {
    check("{subject_cn}.pem", "../../etc/passwd", &expect!["!002e.!002f..!002fetc!002fpasswd.pem"]);
    check("{subject_cn}.pem", "a/b", &expect!["a!002fb.pem"]);
    check("{subject_cn}.pem", "a\0b\nc", &expect!["a!0000b!000ac.pem"]);
    check("{subject_cn}.pem", "\u{202e}moc.elpmaxe", &expect!["!202emoc.elpmaxe.pem"]);
    check("{subject_cn}.pem", "ü😀", &expect!["!00fc!d83d!de00.pem"]);
    check("{subject_cn}.pem", "*.example.com", &expect!["!002a.example.com.pem"]);
    check(
        "{subject_cn}.pem",
        "$(reboot)`x`;|",
        &expect!["$!0028reboot!0029!0060x!0060!003b!007c.pem"],
    );
    check("{subject_cn}", ".", &expect!["!002e"]);
    check("{subject_cn}", "..", &expect!["!002e."]);
    check("{subject_cn}", ".bashrc", &expect!["!002ebashrc"]);
    check("{subject_cn}", "", &expect!["!-40ab"]);
    check("{subject_cn}", "!0041", &expect!["!00210041"]);
}

#[test]
fn a_long_name_is_cut_and_told_apart_by_its_serial() {
    let whole = "x".repeat(VALUE_CHARS_MAX);
    assert_eq!(expand("{subject_cn}", &whole).unwrap(), whole);
    assert_eq!(expand("{subject_cn}", &"x".repeat(300)).unwrap(), whole + "!-40ab");
    // The cut never leaves half of an escaped character.
    let mixed = "x".repeat(VALUE_CHARS_MAX - 2) + "//";
    assert_eq!(expand("{subject_cn}", &mixed).unwrap(), "x".repeat(VALUE_CHARS_MAX - 2) + "!-40ab");
    assert_eq!(
        expand("{subject_cn}{subject_cn}{subject_cn}", &"x".repeat(90)).unwrap_err(),
        "a file name of 270 bytes is longer than the allowed 255"
    );
}

#[test]
fn a_pattern_names_a_file_and_no_path() {
    for (pattern, expect) in [
        ("", expect!["error: pattern has to have 1 to 255 bytes"]),
        ("{serial", expect!["error: pattern holds a brace without its partner"]),
        ("serial}", expect!["error: pattern holds a brace without its partner"]),
        ("../{serial}", expect!["error: pattern starts with a dot: such files are hidden"]),
        (
            "a/{serial}",
            expect![
                "error: pattern holds a slash or a control character: it names a file, no path"
            ],
        ),
        (
            "{Serial}",
            expect![
                "error: pattern: there is no field {Serial}; there are {serial}, {request_id}, {subject_cn}, {template}, {event}, {event_id}, {ca} and {requester}"
            ],
        ),
    ] {
        check(pattern, "x", &expect);
    }
}

#[test]
fn a_serial_number_is_hexadecimal() {
    for bad in ["", "../x", "40 ab", &"a".repeat(41)] {
        let mut event = issued_event(9, b"");
        event.certificate =
            Properties::from_iter([("SerialNumber", Value::String(bad.to_owned()))]);
        let pattern = Pattern::parse("{serial}", Place::FileName).unwrap();
        assert_eq!(
            pattern.expand(&event).unwrap_err(),
            "property SerialNumber is no serial number"
        );
    }
}

fn place(place: Place, pattern: &str, common_name: &str) -> Result<String, String> {
    let mut event = issued_event(9, b"");
    event.certificate = Properties::from_iter([
        ("SerialNumber", Value::String("40ab".to_owned())),
        ("CommonName", Value::String(common_name.to_owned())),
    ]);
    Pattern::parse(pattern, place)?.expand(&event)
}

#[test]
fn every_place_allows_its_own_characters() {
    let key = |pattern, name| place(Place::ObjectKey, pattern, name);
    assert_eq!(
        key("certs/{subject_cn}/{serial}.cer", "../a b").unwrap(),
        "certs/!002e.!002fa b/40ab.cer"
    );
    assert_eq!(
        key("certs//x", "").unwrap_err(),
        "pattern has a part that is empty, \".\" or \"..\""
    );
    assert_eq!(key("a/../x", "").unwrap_err(), "pattern has a part that is empty, \".\" or \"..\"");
    let subject = |pattern, name| place(Place::Subject, pattern, name);
    assert_eq!(
        subject("exeunt.{event}.{subject_cn}", "a.b >*$").unwrap(),
        "exeunt.issued.a!002eb!0020!003e!002a!0024"
    );
    assert_eq!(subject("exeunt.>", "").unwrap_err(), "pattern holds a blank or a wildcard");
    assert_eq!(subject("exeunt..x", "").unwrap_err(), "pattern has an empty token");
    assert_eq!(subject("$SYS.x", "").unwrap_err(), "pattern starts with $, as a server's own do");
}

#[test]
fn an_event_without_a_certificate_has_a_name_by_its_id() {
    let mut event = issued_event(9, b"");
    event.certificate = Properties::default();
    let pattern = Pattern::parse("{event_id}-{subject_cn}", Place::FileName).unwrap();
    let id = sanitized(&event.id, Place::FileName);
    assert_eq!(pattern.expand(&event).unwrap(), format!("{id}-!-{id}"));
    assert!(Pattern::parse("{serial}", Place::FileName).unwrap().expand(&event).is_err());
    assert!(!pattern.names_may_meet());
    assert!(Pattern::parse("{subject_cn}", Place::FileName).unwrap().names_may_meet());
}
