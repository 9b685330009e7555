//! Single messages: what newer and wrong peers send, and how values are read.

use exeunt_module::{
    Call, CallError, Event, Extension, Initialized, LINE_BYTES_MAX, Outcome, PropertyError,
    Response, Value, line,
};
use serde_json::json;

fn outcome(result: serde_json::Value) -> Result<Outcome, CallError> {
    Response { id: Some(1), answer: Ok(result) }.into_outcome()
}

fn event() -> Event {
    serde_json::from_value(json!({
        "id": "a-17", "seq": 17, "event": 1, "context": 9, "subject": "request:9",
        "time": "2026-11-21T07:00:00.123Z", "attempt": 1,
        "request": {
            "RequestID": {"long": 9},
            "StatusCode": {"long": -2_146_877_420},
            "RequesterName": {"string": "alice"},
            "SubmittedWhen": {"date": "2026-11-21T07:00:00Z"},
            "RawRequest": {"binary": "AP8="},
            "Future": {"double": 1.5},
        },
        "attributes": [["CertificateTemplate", "WebServer"]],
        "extensions": {"2.5.29.17": {"flags": 0x1_0003, "value": "MAA=", "more": 1}},
        "future": {"a": [1, 2]},
    }))
    .unwrap()
}

#[test]
fn properties_are_read_by_name_in_any_case_and_by_type() {
    let event = event();
    assert_eq!(event.request_property("requestid"), Ok(&Value::Long(9)));
    assert_eq!(event.request.long("REQUESTID"), Ok(9));
    assert_eq!(event.request.string("RequesterName"), Ok("alice"));
    assert_eq!(event.request.date("SubmittedWhen"), Ok("2026-11-21T07:00:00Z"));
    assert_eq!(event.request.binary("RawRequest"), Ok(&[0x00, 0xff][..]));
    assert_eq!(event.request_attribute("certificatetemplate"), Ok("WebServer"));
    assert_eq!(event.certificate_extension("2.5.29.17"), Ok(&[0x30, 0x00][..]));
    let flags = event.extension_flags("2.5.29.17").unwrap();
    assert_eq!(flags & Extension::CRITICAL, 1);
    assert_eq!(flags & Extension::ORIGIN_MASK, 0x1_0000);
}

#[test]
fn what_is_not_there_is_empty_with_the_code_of_the_original() {
    let event = event();
    for err in [
        event.request_property("DispositionMessage").unwrap_err(),
        event.certificate_property("RawCertificate").unwrap_err(),
        event.system_property("CAType").unwrap_err(),
        event.certificate_extension("2.5.29.15").unwrap_err(),
        event.request_attribute("SAN").map(|_| ()).unwrap_err(),
        // A type of a later version reads as empty, and the rest of the event stays readable.
        event.request_property("Future").unwrap_err(),
    ] {
        assert!(matches!(err, PropertyError::Empty { .. }));
        assert_eq!(err.hresult(), 0x8009_4004);
    }
    let err = event.request.string("RequestID").unwrap_err();
    assert_eq!(err.to_string(), "property RequestID is a long, not a string");
    assert_eq!(err.hresult(), 0x8007_0057);
}

#[test]
fn property_types_have_the_numbers_of_the_original() {
    let types = [
        Value::Long(1),
        Value::Date(String::new()),
        Value::Binary(Vec::new()),
        Value::String(String::new()),
    ];
    assert_eq!(types.map(|it| it.property_type()), [1, 2, 3, 4]);
}

#[test]
fn an_outcome_that_is_not_known_is_kept() {
    let newer = json!({"outcome": "delegate", "to": "somebody"});
    let Ok(Outcome::Unknown(members)) = outcome(newer.clone()) else { panic!("not kept") };
    assert_eq!(serde_json::Value::Object(members), newer);
    for odd in [
        json!({}),
        json!({"outcome": 0}),
        json!({"outcome": null}),
        json!({"outcome": "Accept"}),
        json!({"outcome": "retry", "after_ms": -1}),
        json!({"outcome": "park", "reason": ["many"]}),
    ] {
        assert!(matches!(outcome(odd.clone()), Ok(Outcome::Unknown(_))), "{odd}");
    }
    for wrong in [json!("accept"), json!(null), json!([])] {
        assert_eq!(outcome(wrong).unwrap_err().code, CallError::INVALID_RESULT);
    }
}

#[test]
fn what_may_be_left_out_of_an_outcome_can_be_left_out() {
    let retry = Outcome::Retry { after_ms: None, reason: String::new() };
    assert_eq!(outcome(json!({"outcome": "retry"})), Ok(retry.clone()));
    assert_eq!(outcome(json!({"outcome": "retry", "after_ms": null, "reason": null})), Ok(retry));
    let park = Outcome::Park { reason: String::new() };
    assert_eq!(outcome(json!({"outcome": "park"})), Ok(park));
    assert_eq!(outcome(json!({"outcome": "accept", "mood": "good"})), Ok(Outcome::Accept));
}

#[test]
fn a_retry_may_speak_of_the_target_and_is_a_retry_to_who_does_not_know_it() {
    let down = Outcome::TargetDown { after_ms: Some(5), reason: "no connection".to_owned() };
    let wire = json!({
        "outcome": "retry", "target": true, "after_ms": 5, "reason": "no connection"
    });
    assert_eq!(serde_json::to_value(&down).unwrap(), wire);
    assert_eq!(outcome(wire), Ok(down));
    // Of the event, and what a later version may say there.
    let retry = Outcome::Retry { after_ms: None, reason: String::new() };
    for target in [json!(false), json!(null), json!("ldap://a"), json!({"name": "a"})] {
        assert_eq!(outcome(json!({"outcome": "retry", "target": target})), Ok(retry.clone()));
    }
    assert_eq!(
        outcome(json!({"outcome": "accept", "target": true})),
        Ok(Outcome::Accept),
        "it belongs to a retry"
    );
}

#[test]
fn members_of_later_versions_are_passed_over() {
    let line =
        br#"{"jsonrpc":"2.0","trace":"x","id":1,"method":"Initialize","params":{"protocol":2,
        "config":"c","module":"m","window":1,"deadline_ms":1,"colour":"blue"}}"#;
    let request = line::parse_request(line).unwrap();
    assert!(matches!(request.call, Call::Initialize(hello) if hello.protocol == 2));
    let line =
        br#"{"jsonrpc":"2.0","id":1,"result":{"protocol":1,"event_mask":1,"window":1,"a":1}}"#;
    let initialized = line::parse_response(line).unwrap().into_initialized().unwrap();
    let expected = Initialized { protocol: 1, features: Vec::new(), event_mask: 1, window: 1 };
    assert_eq!(initialized, expected);
}

#[test]
fn an_answer_has_a_result_or_an_error() {
    let parse = |text: &str| line::parse_response(text.as_bytes());
    assert_eq!(parse(r#"{"id":1,"result":null}"#).unwrap().answer, Ok(json!(null)));
    assert_eq!(parse(r#"{"id":null,"result":1}"#).unwrap().id, None);
    let refusal = parse(r#"{"id":1,"error":{"code":5,"message":"no"}}"#).unwrap().answer;
    assert_eq!(refusal, Err(CallError::new(5, "no")));
    for wrong in [r#"{"id":1}"#, r#"{"id":"1","result":1}"#, r#"{"id":-1,"result":1}"#, "[]", ""] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_line_that_is_too_long_is_neither_written_nor_read() {
    let mut out = b"before".to_vec();
    let mut event = Event { id: "x".repeat(LINE_BYTES_MAX), ..Event::default() };
    let err = line::write_notify(&mut out, 1, &event).unwrap_err();
    assert_eq!(err.code(), "line-too-long");
    assert_eq!(out, b"before");

    // The longest one that there can be, to the byte.
    event.id.clear();
    out.clear();
    line::write_notify(&mut out, 1, &event).unwrap();
    event.id = "x".repeat(LINE_BYTES_MAX - (out.len() - 1));
    out.clear();
    line::write_notify(&mut out, 1, &event).unwrap();
    assert_eq!(out.len(), LINE_BYTES_MAX + 1);
    assert!(line::parse_request(&out).is_ok());
    out.insert(0, b' ');
    assert_eq!(line::parse_request(&out).unwrap_err().code(), "line-too-long");
}

#[test]
fn nesting_does_not_exhaust_the_stack() {
    for nested in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert!(line::parse_request(nested.as_bytes()).is_err());
        assert!(line::parse_response(nested.as_bytes()).is_err());
        let deep = format!("{{\"id\":1,\"result\":{nested}");
        assert!(line::parse_response(deep.as_bytes()).is_err());
        let deep = format!("{{\"id\":1,\"method\":\"Notify\",\"params\":{nested}");
        assert!(line::parse_request(deep.as_bytes()).is_err());
    }
}
