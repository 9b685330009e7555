//! What a module asks back, and what it then reads of an event, under names of its own choosing.
#![no_main]

use exeunt_module::call_back::{parse_call_back, write_call_back};
use exeunt_module::line::write_response;
use exeunt_module::view::View;
use exeunt_module::{Event, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut line = Vec::new();
    match parse_call_back(data) {
        Ok(call_back) => {
            write_call_back(&mut line, &call_back).expect("no longer than what was read");
            assert_eq!(parse_call_back(&line).expect("our own line is a call-back"), call_back);
        }
        Err(err) => {
            if let Some(response) = err.into_response() {
                write_response(&mut line, &response).expect("a refusal is short");
                assert_eq!(line.iter().filter(|it| **it == b'\n').count(), 1);
            }
        }
    }

    // A name, and an event whose only extension is what the fuzzer says.
    let (name, value) = data.split_at(data.len() / 2);
    let Ok(name) = std::str::from_utf8(name) else { return };
    let mut event = Event { context: 1, ..Event::default() };
    event.certificate.push("CommonName", Value::String("x".to_owned()));
    let extension = exeunt_module::Extension { flags: 0, value: value.to_vec() };
    event.extensions.push("1.2.3", extension);
    let view = View::of(&event);
    for kind in [None, Some(exeunt_module::PropType::Long), Some(exeunt_module::PropType::Date)] {
        let _ = view.request_property(name, kind);
        let _ = view.certificate_property(name, kind);
        let _ = view.certificate_extension("1.2.3", kind);
    }
    let _ = view.request_attribute(name);
    let text = view.certificate_extension("1.2.3", Some(exeunt_module::PropType::String));
    if let Ok((Value::String(text), _)) = text {
        assert!(text.is_ascii(), "an IA5String is ASCII");
    }
});
