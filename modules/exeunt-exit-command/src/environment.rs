//! What the program finds in its environment: the main facts of an event, as they are.

use exeunt_module_kit::{Event, Properties, Value, exit_event};

/// Longest value of a variable, in bytes. The kernel takes 128 KiB (`MAX_ARG_STRLEN`) and all of
/// them together a part of the stack; nothing that the CA says of an event comes near this.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Start of the names of all variables that are ours.
pub const PREFIX: &str = "EXEUNT_";

/// Properties of the request and their variables.
const OF_REQUEST: [(&str, &str); 4] = [
    ("RequesterName", "EXEUNT_REQUESTER"),
    ("Disposition", "EXEUNT_DISPOSITION"),
    ("DispositionMessage", "EXEUNT_DISPOSITION_MESSAGE"),
    ("StatusCode", "EXEUNT_STATUS_CODE"),
];

/// Properties of the certificate and their variables.
const OF_CERTIFICATE: [(&str, &str); 6] = [
    ("SerialNumber", "EXEUNT_SERIAL"),
    ("CertificateTemplate", "EXEUNT_TEMPLATE"),
    ("CommonName", "EXEUNT_COMMON_NAME"),
    ("DistinguishedName", "EXEUNT_DISTINGUISHED_NAME"),
    ("NotBefore", "EXEUNT_NOT_BEFORE"),
    ("NotAfter", "EXEUNT_NOT_AFTER"),
];

/// The variables of an event. One that the event says nothing about is not there.
///
/// # Errors
///
/// One line for the operator: which variable cannot be given, and why.
pub fn of_event(event: &Event, module: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut variables = vec![
        ("EXEUNT_EVENT", exit_event::word(event.event).to_owned()),
        ("EXEUNT_EVENT_BIT", event.event.to_string()),
        ("EXEUNT_EVENT_ID", event.id.clone()),
        ("EXEUNT_SEQ", event.seq.to_string()),
        ("EXEUNT_TIME", event.time.clone()),
        ("EXEUNT_ATTEMPT", event.attempt.to_string()),
        ("EXEUNT_SUBJECT", event.subject.clone()),
        ("EXEUNT_MODULE", module.to_owned()),
    ];
    if event.context != 0 {
        variables.push(("EXEUNT_REQUEST_ID", event.context.to_string()));
    }
    push(&mut variables, &event.request, &OF_REQUEST);
    push(&mut variables, &event.certificate, &OF_CERTIFICATE);
    // Where there is no certificate, the request's own words say what it was to be for.
    for (property, variable) in OF_CERTIFICATE {
        if variables.iter().all(|it| it.0 != variable) {
            push(&mut variables, &event.request, &[(property, variable)]);
        }
    }
    push(&mut variables, &event.system, &[("SanitizedCAName", "EXEUNT_CA")]);
    for (name, value) in &variables {
        if value.contains('\0') {
            return Err(format!("{name} would hold a NUL"));
        }
        if VALUE_BYTES_MAX < value.len() {
            return Err(format!(
                "{name} would be {} bytes long, at most {VALUE_BYTES_MAX} allowed",
                value.len()
            ));
        }
    }
    Ok(variables)
}

fn push(
    variables: &mut Vec<(&'static str, String)>,
    properties: &Properties,
    named: &[(&str, &'static str)],
) {
    for (property, variable) in named {
        let value = match properties.property(property) {
            Ok(Value::Long(number)) => number.to_string(),
            Ok(Value::Date(text) | Value::String(text)) => text.clone(),
            Ok(Value::Binary(_)) | Err(_) => continue,
        };
        variables.push((variable, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::testing::issued_event;

    fn variable(event: &Event, name: &str) -> Option<String> {
        let variables = of_event(event, "hook").unwrap();
        let mut found = variables.into_iter().filter(|it| it.0 == name).map(|it| it.1);
        let value = found.next();
        assert_eq!(found.next(), None, "{name} twice");
        value
    }

    #[test]
    fn an_issued_certificate_has_its_facts_in_variables() {
        let event = issued_event(9, b"");
        for (name, expected) in [
            ("EXEUNT_EVENT", "issued"),
            ("EXEUNT_EVENT_BIT", "1"),
            ("EXEUNT_EVENT_ID", "00000000000000000000000000000001-9"),
            ("EXEUNT_SEQ", "9"),
            ("EXEUNT_TIME", "2026-11-21T07:00:00.000Z"),
            ("EXEUNT_ATTEMPT", "1"),
            ("EXEUNT_SUBJECT", "request:9"),
            ("EXEUNT_MODULE", "hook"),
            ("EXEUNT_REQUEST_ID", "9"),
            ("EXEUNT_REQUESTER", "test"),
            ("EXEUNT_DISPOSITION", "20"),
            ("EXEUNT_SERIAL", "40000000000000000000000000000009"),
            ("EXEUNT_TEMPLATE", "WebServer"),
            ("EXEUNT_COMMON_NAME", "www.example.com"),
            ("EXEUNT_NOT_BEFORE", "2026-11-21T07:00:00Z"),
            ("EXEUNT_NOT_AFTER", "2027-11-21T07:00:00Z"),
            ("EXEUNT_CA", "Test CA"),
        ] {
            assert_eq!(variable(&event, name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(variable(&event, "EXEUNT_DISTINGUISHED_NAME"), None);
    }

    #[test]
    fn a_refused_request_has_the_name_that_it_asked_for() {
        let mut event = Event { certificate: Properties::default(), ..issued_event(9, b"") };
        event.event = exit_event::CERT_DENIED;
        event.request.push("DistinguishedName", Value::String("CN=a".to_owned()));
        assert_eq!(variable(&event, "EXEUNT_EVENT").as_deref(), Some("denied"));
        assert_eq!(variable(&event, "EXEUNT_DISTINGUISHED_NAME").as_deref(), Some("CN=a"));
        assert_eq!(variable(&event, "EXEUNT_SERIAL"), None);
    }

    #[test]
    fn an_event_of_the_server_has_no_request() {
        let event = Event { event: 1 << 30, subject: "server".to_owned(), ..Event::default() };
        assert_eq!(variable(&event, "EXEUNT_EVENT").as_deref(), Some("unknown"));
        assert_eq!(variable(&event, "EXEUNT_EVENT_BIT").as_deref(), Some("1073741824"));
        assert_eq!(variable(&event, "EXEUNT_REQUEST_ID"), None);
    }

    #[test]
    fn what_no_variable_can_hold_is_refused_by_name() {
        for (text, says) in [
            ("a\0b".to_owned(), "EXEUNT_DISPOSITION_MESSAGE would hold a NUL"),
            ("x".repeat(VALUE_BYTES_MAX + 1), "would be 16385 bytes long, at most 16384 allowed"),
        ] {
            let mut event = issued_event(9, b"");
            event.request.push("DispositionMessage", Value::String(text));
            let err = of_event(&event, "hook").unwrap_err();
            assert!(err.contains(says), "{err}");
        }
    }
}
