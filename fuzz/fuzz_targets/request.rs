//! PKCS#10 requests, PEM or DER: what strangers send.
#![no_main]

use exeunt_x509::parse_request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = parse_request(data) else { return };
    // What is accepted is what was sent, and reads the same again.
    let again = parse_request(request.der()).expect("an accepted request is accepted again");
    assert_eq!(again.der(), request.der());
    assert_eq!(again.subject(), request.subject());
    // Whatever is shown of it stays on one line.
    let shown = request.subject().to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    for name in request.subject_alternative_names() {
        let shown = name.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
});
