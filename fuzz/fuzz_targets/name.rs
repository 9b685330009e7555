//! Distinguished names, as DER and as text (RFC 4514).
#![no_main]

use exeunt_x509::Name;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = Name::from_der(data) {
        assert_eq!(name.der(), data);
        let shown = name.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(name) = Name::parse(text)
    {
        // What we write, we can read.
        let again = Name::parse(&name.to_string()).expect("our own text of a name is a name");
        assert_eq!(again.to_string(), name.to_string());
    }
});
