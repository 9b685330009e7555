//! Lines of the conversation with a module, in both directions.
#![no_main]

use exeunt_module::Call;
use exeunt_module::line::{parse_request, parse_response, write_request, write_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut line = Vec::new();
    match parse_request(data) {
        Ok(request) => {
            if write_request(&mut line, &request).is_ok() {
                let again = parse_request(&line).expect("our own line is a call");
                assert_eq!(again.id, request.id);
                // Settings may hold fractions, which JSON libraries round at each reading.
                if let Call::Notify(event) = &request.call {
                    assert_eq!(again.call, Call::Notify(event.clone()));
                }
            }
        }
        Err(err) => {
            if let Some(response) = err.into_response() {
                line.clear();
                write_response(&mut line, &response).expect("a refusal is short");
                assert_eq!(line.iter().filter(|it| **it == b'\n').count(), 1);
            }
        }
    }
    if let Ok(response) = parse_response(data) {
        line.clear();
        if write_response(&mut line, &response).is_ok() {
            let again = parse_response(&line).expect("our own line is an answer");
            assert_eq!((again.id, again.answer.is_ok()), (response.id, response.answer.is_ok()));
        }
        let _ = response.clone().into_outcome();
        let _ = response.clone().into_initialized();
        let _ = response.into_description();
    }
});
