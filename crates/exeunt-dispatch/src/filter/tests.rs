//! What filters say of events, what is refused, and what it costs at worst.

use super::*;
use exeunt_module::{Extension, Extensions, Properties, Value, exit_event};

fn event() -> Event {
    let text = |it: &str| Value::String(it.to_owned());
    let date = |it: &str| Value::Date(it.to_owned());
    let mut extensions = Extensions::default();
    extensions.push("2.5.29.17", Extension { flags: 0x1_0000, value: vec![0x30, 0] });
    extensions.push("2.5.29.19", Extension { flags: 0x4_0001, value: vec![0x30, 0] });
    extensions.push("2.5.29.37", Extension { flags: 0x2_0002, value: vec![0x30, 0] });
    Event {
        id: "5f0c7a3e9d2b4c61-17".to_owned(),
        seq: 17,
        event: exit_event::CERT_ISSUED,
        context: 9,
        subject: "request:9".to_owned(),
        time: "2026-11-21T07:00:00.123Z".to_owned(),
        attempt: 2,
        request: Properties::from_iter([
            ("RequestID", Value::Long(9)),
            ("RequesterName", text("alice")),
            ("StatusCode", Value::Long(-2_146_885_628)),
            ("RawRequest", Value::Binary(vec![0x30, 0x82, 0])),
            ("SubmittedWhen", date("never")),
        ]),
        certificate: Properties::from_iter([
            ("CommonName", text("www.example.com")),
            ("CertificateTemplate", text("WebServer")),
            ("PublicKeyLength", Value::Long(2048)),
            ("NotBefore", date("2026-11-21T07:00:00Z")),
            ("NotAfter", date("2027-02-19T06:59:59Z")),
        ]),
        attributes: vec![("CertificateTemplate".to_owned(), "WebServer".to_owned())],
        extensions,
        system: Arc::new(Properties::from_iter([("SanitizedCAName", text("Example CA"))])),
        ..Event::default()
    }
}

fn verdict(text: &str) -> Verdict {
    Filter::parse(text).unwrap_or_else(|err| panic!("{text}: {err}")).holds(&event())
}

#[test]
fn an_expression_holds_or_not() {
    let table = [
        ("true", true),
        ("event.kind == 'issued'", true),
        ("event.kind in ['issued', 'revoked']", true),
        ("event.kind == 'denied'", false),
        ("event.bit == 1 && event.seq == 17 && event.context == 9 && event.attempt > 1", true),
        ("event.subject.startsWith('request:')", true),
        ("event.time > timestamp('2026-11-21T07:00:00Z')", true),
        ("event.time < timestamp('2026-11-21T08:00:00.2+01:00')", true),
        ("request.RequesterName == 'alice'", true),
        ("request.requestername == 'alice'", true),
        ("request['RequesterName'] != 'alice'", false),
        ("request.StatusCode < 0", true),
        ("size(request.RawRequest) == 3", true),
        ("request.RawRequest == b'0\\x82\\x00'", true),
        ("certificate.CommonName.endsWith('.example.com')", true),
        ("certificate.CommonName.matches('^[a-z]+[.]example[.]com$')", true),
        ("matches(certificate.CommonName, '^mail')", false),
        ("certificate.CommonName.upperAscii() == 'WWW.EXAMPLE.COM'", true),
        (
            "certificate.PublicKeyLength < 3072 ? certificate.CertificateTemplate == 'WebServer' : false",
            true,
        ),
        ("certificate.NotAfter - certificate.NotBefore <= duration('2160h')", true),
        ("certificate.NotAfter - certificate.NotBefore < duration('2159h')", false),
        ("certificate.NotAfter < event.time + duration('2400h')", true),
        ("certificate.NotAfter - duration('2400h') < event.time", true),
        ("certificate.NotBefore == timestamp('2026-11-21T07:00:00Z')", true),
        ("attributes.certificatetemplate == 'WebServer'", true),
        ("attributes['CertificateTemplate'] == 'x'", false),
        ("extensions['2.5.29.19'].critical && !extensions['2.5.29.17'].critical", true),
        ("extensions['2.5.29.37'].disabled", true),
        ("'2.5.29.17' in extensions && !('2.5.29.31' in extensions)", true),
        ("has(request.RequesterName) && !has(request.CallerName)", true),
        ("'CertificateTemplate' in attributes", true),
        ("has(detail.Module)", false),
        ("system.SanitizedCAName == 'Example CA'", true),
        ("[1, 2, 3][1] == 2 && -(2 * 3) + 6 == 0 && 7 % 4 == 3 && 6 / 2 - 3 == 0", true),
        ("string(event.seq) + '!' == '17!' && int('17') == event.seq", true),
        ("'ä' + 'ö' == 'äö' && size('äö') == 2", true),
    ];
    for (text, holds) in table {
        assert_eq!(verdict(text), if holds { Verdict::Yes } else { Verdict::No }, "{text}");
    }
}

#[test]
fn a_property_that_is_not_there_makes_the_filter_pass_the_event_over() {
    let table = [
        ("request.CallerName == 'alice'", Verdict::No),
        ("request.CallerName != 'alice'", Verdict::No),
        ("!(request.CallerName == 'alice')", Verdict::No),
        ("request.CallerName.startsWith('a')", Verdict::No),
        ("detail.Module == 'census'", Verdict::No),
        ("attributes.Unknown == ''", Verdict::No),
        ("extensions['1.2.3'].critical", Verdict::No),
        // What is not needed for the answer does no harm.
        ("request.CallerName == 'alice' || event.seq == 17", Verdict::Yes),
        ("event.seq == 17 || request.CallerName == 'alice'", Verdict::Yes),
        ("request.CallerName == 'alice' || event.seq == 18", Verdict::No),
        ("!has(request.CallerName) || request.CallerName == 'alice'", Verdict::Yes),
    ];
    for (text, expected) in table {
        assert_eq!(verdict(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_evaluated_is_a_failure_and_no_no() {
    for text in [
        "request.RequesterName",
        "event.seq",
        "1 / (event.seq - 17) == 1",
        "request.RequesterName < 7",
        "request.RequesterName && true",
        "request.SubmittedWhen < timestamp('2026-11-21T07:00:00Z')",
        "event.time + 1 == event.time",
        "event.time - duration('175000000h') < event.time",
        "9223372036854775807 + event.seq > 0",
        "[1][event.seq] == 1",
        "int(request.RequesterName) == 1",
        "!event.seq",
    ] {
        assert!(matches!(verdict(text), Verdict::Failed(why) if !why.contains('\n')), "{text}");
    }
}

#[test]
fn what_is_no_filter_is_refused_when_it_is_set() {
    let long = format!("'{}' == ''", "x".repeat(FILTER_BYTES_MAX));
    let deep = format!("{}true{}", "(".repeat(97), ")".repeat(97));
    let broad = format!("true{}", " || true".repeat(257));
    let sums = format!("event.seq{} == 0", " + 1".repeat(9));
    let patterns = ["'a'.matches('b')"; 5].join(" || ");
    let table = [
        (long.as_str(), "filter-too-large", "length in bytes: 4104, at most 4096 allowed"),
        (&deep, "filter-too-large", "brackets: 97, at most 96 allowed"),
        (&broad, "filter-too-large", "operators and dots: 257, at most 256 allowed"),
        (&sums, "filter-too-large", "sums: 9, at most 8 allowed"),
        (&patterns, "filter-too-large", "patterns: 5, at most 4 allowed"),
        ("", "filter-syntax", "the expression is empty"),
        (" \n", "filter-syntax", "the expression is empty"),
        ("event.kind = 'issued'", "filter-syntax", "equality is written == (line 1, character"),
        ("event.kind='issued'", "filter-syntax", "equality is written == (line 1, character"),
        ("event.kind ==", "filter-syntax", "the expression ends too early (line 1"),
        ("'x", "filter-syntax", "line 1"),
        ("requst.CommonName == 'x'", "filter-unknown-name", "requst: there are event, request"),
        ("x == 1", "filter-unknown-name", "x: there are"),
        ("request.CalerName == ''", "filter-unknown-name", "request.CalerName: there is no such"),
        ("has(certificate.CallerName)", "filter-unknown-name", "certificate.CallerName: there is"),
        ("'MachineName' in system", "filter-unknown-name", "system.MachineName: there is"),
        ("event.kid == 'issued'", "filter-unknown-name", "event.kid: an event has kind, bit"),
        ("now() > event.time", "filter-unknown-name", "now: there is no such function"),
        ("request.CallerName.foo()", "filter-unknown-name", "foo: there is no such function"),
        ("extensions['1.2'].oid == ''", "filter-unknown-name", "has critical and disabled"),
        ("request == 1", "filter-not-allowed", "request is no value of its own"),
        ("extensions['1.2'] == 1", "filter-not-allowed", "ask for .critical"),
        ("request[event.kind] == 1", "filter-not-allowed", "request is no value of its own"),
        ("event.kind in request", "filter-not-allowed", "request is no value of its own"),
        ("has(event.kind)", "filter-not-allowed", "always there"),
        ("request.CallerName.Y == 1", "filter-not-allowed", "Y: only event"),
        ("[1].all(x, x > 0)", "filter-not-allowed", "cannot loop"),
        ("[1].exists(x, x > 0)", "filter-not-allowed", "cannot loop"),
        ("[1].map(x, x) == []", "filter-not-allowed", "cannot loop"),
        ("{'a': 1} == {}", "filter-not-allowed", "no use for {"),
        ("size() == 1", "filter-not-allowed", "size cannot be called by itself with 0"),
        ("'a'.matches(event.subject)", "filter-not-allowed", "matches takes a literal text"),
        ("'a'.matches('(')", "filter-literal", "\"(\" is no regular expression"),
        ("'a'.matches('\\\\w{200}')", "filter-literal", "too large a pattern"),
        ("timestamp('today') < event.time", "filter-literal", "\"today\" is no time"),
        ("duration('3 parsecs') == duration('1h')", "filter-literal", "is no duration"),
        ("event.kind == 'isued'", "filter-literal", "\"isued\" is no kind of event"),
        ("event.kind in ['issued', 'x']", "filter-literal", "\"x\" is no kind of event"),
    ];
    for (text, code, says) in table {
        let err = Filter::parse(text).expect_err(text);
        assert_eq!(err.code(), code, "{text}: {err}");
        assert!(err.to_string().contains(says), "{text}: {err}");
        assert!(!err.to_string().contains('\n'), "{err}");
    }
}

#[test]
fn what_can_never_be_equal_is_refused_when_it_is_set() {
    let table = [
        (
            "certificate.CommonName == 1",
            "certificate.CommonName is a text and 1 is a number; they are never equal",
        ),
        (
            "request.RequestID == \"x\"",
            "request.RequestID is a number and \"x\" is a text; they are never equal",
        ),
        ("1 != certificate.commonname", "1 is a number and certificate.commonname is a text"),
        ("request['Subject.CommonName'] == 1", "request['Subject.CommonName'] is a text and 1 is"),
        ("request.RequestID in [1, 'x']", "request.RequestID is a number and \"x\" is a text"),
        (
            "certificate.NotAfter == '2027-01-01'",
            "certificate.NotAfter is a time and \"2027-01-01\"",
        ),
        ("event.seq == timestamp('2027-01-01T00:00:00Z')", "and the right side is a time"),
        ("certificate.NotAfter - certificate.NotBefore == 90", "the left side is a duration"),
        ("request.RawRequest == 'x'", "request.RawRequest is bytes"),
        (
            "extensions['2.5.29.17'].critical == 1",
            "extensions['2.5.29.17'].critical is true or false",
        ),
        ("size(request.RawRequest) == '3'", "the left side is a number and \"3\" is a text"),
        ("certificate.CommonName.lowerAscii() == 2", "the left side is a text and 2 is a number"),
        ("system.CAType == 'root'", "system.CAType is a number"),
        ("attributes.cdc == 1", "attributes.cdc is a text and 1 is a number"),
        ("detail.Event == 7", "detail.Event is a text and 7 is a number"),
        ("request.CallerName != null", "request.CallerName is a text and null is no value"),
        ("(event.seq == 1) == 'true'", "the left side is true or false"),
        ("(true ? event.seq : 7) == 'x'", "the left side is a number"),
        ("event.kind in ['issued'] && !(event.context == '9')", "event.context is a number"),
    ];
    for (text, says) in table {
        let err = Filter::parse(text).expect_err(text);
        assert_eq!(err.code(), "filter-never-equal", "{text}: {err}");
        assert!(err.to_string().contains(says), "{text}: {err}");
    }
}

#[test]
fn where_the_kind_of_a_value_comes_out_later_values_of_different_kinds_are_not_equal() {
    for (text, holds) in [
        ("['17'][0] == event.seq", false),
        ("['17'][0] != event.seq", true),
        ("(event.seq == 17 ? 'x' : 1) == 'x'", true),
        ("(event.seq == 17 ? 'x' : 1) == 1", false),
        ("event.seq == 17u && event.seq == 17.0 && event.seq in [17u]", true),
    ] {
        assert_eq!(verdict(text), if holds { Verdict::Yes } else { Verdict::No }, "{text}");
    }
}

#[test]
fn the_kind_that_a_property_is_taken_for_is_the_one_that_it_has() {
    let event = event();
    let maps = [
        (values::Map::Request, &event.request),
        (values::Map::Certificate, &event.certificate),
        (values::Map::System, &*event.system),
    ];
    for (map, properties) in maps {
        for (name, value) in properties.iter() {
            assert_eq!(map.type_of(name), Some(value.kind()), "{name}");
        }
    }
    assert_eq!(values::Map::System.type_of("CAType"), Some(exeunt_module::PropType::Long));
    assert_eq!(values::Map::Certificate.type_of("NotAfter"), Some(exeunt_module::PropType::Date));
}

/// An event with texts as large as the server lets them be, and letters without a pattern.
fn large_event() -> Event {
    let mut seed = 1_u32;
    let mut text = |length: usize| -> String {
        let mut letter = || {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            if (seed >> 16) & 1 == 0 { 'a' } else { 'b' }
        };
        (0..length).map(|_| letter()).collect()
    };
    let mut event = event();
    event.request = Properties::from_iter([
        ("CallerName", Value::String(text(64 * 1024))),
        ("RequesterName", Value::String(text(FILTER_MATCHED_BYTES_MAX))),
        ("RequestAttributes", Value::String("a".repeat(64 * 1024))),
        ("RawRequest", Value::Binary(vec![b'a'; 64 * 1024])),
    ]);
    event
}

/// As many of them as fit into an expression, none of which decides it.
fn as_often_as_allowed(part: &str) -> Filter {
    let mut text = format!("false || {part}");
    loop {
        let longer = format!("{text} || {part}");
        if Filter::parse(&longer).is_err() {
            return Filter::parse(&text).unwrap();
        }
        text = longer;
    }
}

/// The measured times are in `docs/decisions/0007-cel.md`: the slowest takes some milliseconds in a
/// release build. The bound here is for a busy machine and a debug build, and finds what explodes.
#[test]
fn the_most_expensive_expressions_are_judged_soon() {
    let event = large_event();
    let long = format!("request.RequestAttributes.contains('{}b')", "a".repeat(1000));
    let table = [
        "request.CallerName != request.CallerName",
        "request.RequestAttributes.contains('aaaab')",
        &long,
        "request.CallerName.lowerAscii() == 'a'",
        "size(request.CallerName) == 1",
        "size(request.CallerName + request.CallerName) == 1",
        "[request.CallerName, request.CallerName, request.CallerName] == [request.CallerName]",
        "string(request.RawRequest) == 'a'",
        "request.RequesterName.matches('(a|b|ab)*c')",
        "request.RequesterName.matches('[ab]*a[ab]{60}c')",
        "request.RequesterName.matches('a[ab]{60}c')",
        "request.RequesterName.matches('a[^c]{8}c')",
        "request.RequesterName.matches('(a[ab]{9}|b[ab]{8}){4}c')",
        "request.RequesterName.matches('(.*a.*b){3}c')",
        "request.CallerName + 1 == 1",
        "request.CallerName < 1",
    ];
    for part in table {
        let filter = as_often_as_allowed(part);
        let times = (0..3).map(|_| {
            let start = std::time::Instant::now();
            assert_ne!(filter.holds(&event), Verdict::Yes, "{part}");
            start.elapsed()
        });
        let elapsed = times.min().unwrap();
        assert!(elapsed < std::time::Duration::from_millis(500), "{part}: {elapsed:?}");
        println!("{elapsed:?} {part}");
    }
}

#[test]
fn a_long_text_is_not_searched_and_the_event_is_delivered() {
    let verdict = Filter::parse("request.CallerName.matches('a')").unwrap().holds(&large_event());
    let Verdict::Failed(why) = verdict else { panic!("{verdict:?}") };
    assert!(why.contains("65536 bytes of text, at most 1024 allowed"), "{why}");
}

#[test]
fn the_reason_of_a_failure_does_not_repeat_what_the_requester_wrote() {
    for text in [
        "request.RequesterName + 1 == 1",
        "request.RequesterName < 1",
        "[1][request.RequesterName] == 1",
    ] {
        let Verdict::Failed(why) = verdict(text) else { panic!("{text}") };
        assert!(!why.contains("alice"), "{why}");
    }
}

#[test]
fn the_deepest_expressions_fit_on_the_stack_of_a_thread() {
    let brackets = |n: usize| "(".repeat(n) + "true" + &")".repeat(n);
    let table = [
        brackets(FILTER_BRACKETS_MAX),
        "!(".repeat(FILTER_BRACKETS_MAX) + "true" + &")".repeat(FILTER_BRACKETS_MAX),
        "[".repeat(FILTER_BRACKETS_MAX) + &"]".repeat(FILTER_BRACKETS_MAX) + " == []",
        "!".repeat(FILTER_OPERATORS_MAX) + &brackets(FILTER_BRACKETS_MAX),
        "!-".repeat(FILTER_OPERATORS_MAX / 2) + "1",
        "true".to_owned() + &" == true".repeat(FILTER_OPERATORS_MAX),
        "1".to_owned() + &" * 1".repeat(FILTER_OPERATORS_MAX - 1) + " == 1",
        "true ? ".repeat(FILTER_OPERATORS_MAX / 2)
            + "true"
            + &" : true".repeat(FILTER_OPERATORS_MAX / 2),
        "true ? true : ".repeat(FILTER_OPERATORS_MAX / 2) + "true",
        "true".to_owned() + &" in [true]".repeat(FILTER_BRACKETS_MAX),
        "request".to_owned() + &".a".repeat(FILTER_OPERATORS_MAX),
        "(".repeat(FILTER_BYTES_MAX),
        "'".repeat(FILTER_BYTES_MAX),
        "' (\n".to_owned() + &"(".repeat(FILTER_BYTES_MAX - 8),
    ];
    for text in table {
        if let Ok(filter) = Filter::parse(&text) {
            let _ = filter.holds(&event());
        }
    }
}

/// The examples of the manual, each with a change that makes it true of the usual event and one
/// that makes it false.
#[test]
fn the_examples_of_the_manual_say_what_the_manual_says() {
    fn put(properties: &mut Properties, name: &'static str, value: Value) {
        let others: Vec<(String, Value)> = properties
            .iter()
            .filter(|it| it.0 != name)
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        *properties = others.into_iter().collect();
        properties.push(name, value);
    }
    type Change = fn(&mut Event);
    let changes: [(Change, Change); 10] = [
        (
            |_| (),
            |it| put(&mut it.certificate, "CertificateTemplate", Value::String("Mail".into())),
        ),
        (|it| it.event = exit_event::REQUEST_FAILED, |_| ()),
        (
            |it| put(&mut it.certificate, "CommonName", Value::String("WWW.Example.COM".into())),
            |it| put(&mut it.certificate, "CommonName", Value::String("www.example.net".into())),
        ),
        (
            |it| put(&mut it.certificate, "CommonName", Value::String("web-07.example.com".into())),
            |it| {
                put(
                    &mut it.certificate,
                    "CommonName",
                    Value::String("web-07.example.com.de".into()),
                );
            },
        ),
        (
            |it| put(&mut it.certificate, "NotAfter", Value::Date("2027-02-19T07:00:01Z".into())),
            |it| put(&mut it.certificate, "NotAfter", Value::Date("2027-02-19T07:00:00Z".into())),
        ),
        (
            |it| put(&mut it.certificate, "NotAfter", Value::Date("2026-12-31T23:59:59Z".into())),
            |it| put(&mut it.certificate, "NotAfter", Value::Date("2027-01-01T00:00:00Z".into())),
        ),
        (|_| (), |it| put(&mut it.request, "RequesterName", Value::String("acme".into()))),
        (|_| (), |it| put(&mut it.certificate, "PublicKeyLength", Value::Long(3072))),
        (|it| it.extensions = Extensions::default(), |_| ()),
        (
            |it| {
                it.event = exit_event::DELIVERY_PARKED;
                it.detail.push("Module", Value::String("directory".into()));
            },
            |it| it.event = exit_event::DELIVERY_PARKED,
        ),
    ];
    let manual = include_str!("../../../../docs/manual/filters.md");
    let examples: Vec<&str> = manual
        .split("```cel\n")
        .skip(1)
        .map(|it| it.split("\n```").next().unwrap_or_default())
        .collect();
    assert_eq!(examples.len(), changes.len());
    for (example, (to_yes, to_no)) in examples.into_iter().zip(changes) {
        let filter = Filter::parse(example).unwrap_or_else(|err| panic!("{example}: {err}"));
        for (change, expected) in [(to_yes, Verdict::Yes), (to_no, Verdict::No)] {
            let mut event = event();
            change(&mut event);
            assert_eq!(filter.holds(&event), expected, "{example}");
        }
    }
}

/// Pieces that expressions are made of, and some that they are not.
const PIECES: &[&str] = &[
    "event",
    ".kind",
    ".seq",
    ".time",
    "request",
    ".RequesterName",
    ".RawRequest",
    "certificate",
    "['NotAfter']",
    "extensions",
    "['2.5.29.19']",
    ".critical",
    "attributes",
    "detail",
    ".Module",
    "has(",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "==",
    "!=",
    "<",
    ">=",
    " in ",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "?",
    ":",
    ",",
    "'issued'",
    "'a'",
    "r'\\d'",
    "b'\\x00'",
    "''",
    "1",
    "-1",
    "2.5",
    "7u",
    "9223372036854775807",
    "true",
    "null",
    "size(",
    ".size()",
    ".contains(",
    ".matches(",
    ".lowerAscii()",
    "int(",
    "string(",
    "timestamp('2027-01-01T00:00:00Z')",
    "duration('1h')",
    ".all(x, ",
    ".map(",
    " ",
    "\n",
    "//",
    "\\",
    "'",
    "\"\"\"",
    "ä",
];

proptest::proptest! {
    #[test]
    fn no_text_and_no_event_make_a_filter_panic(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24),
        noise in ".{0,40}",
    ) {
        for text in [pieces.concat(), noise] {
            if let Ok(filter) = check::checked(&text) {
                let filter = Filter(Arc::new(filter));
                let _ = filter.evaluate(&event());
                let _ = filter.evaluate(&Event::default());
            }
        }
    }
}
