//! Subject alternative names as text.
#![no_main]

use exeunt_x509::GeneralName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = GeneralName::parse(text) {
        let again = GeneralName::parse(&name.to_string()).expect("our own text of a name is one");
        assert_eq!(again, name);
    }
});
