//! Encrypted messages: private keys that clients send along, and those that are imported.
#![no_main]

use exeunt_x509::{ENVELOPE_BYTES_MAX, RECIPIENT_COUNT_MAX, parse_envelope};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let envelope = match parse_envelope(data) {
        Ok(envelope) => envelope,
        Err(err) => {
            assert!(!err.to_string().contains('\n'), "{err}");
            return;
        }
    };
    assert!((1..=RECIPIENT_COUNT_MAX).contains(&envelope.recipients.len()));
    assert!(!envelope.content.is_empty() && envelope.content.len() % 16 == 0);
    let der = envelope.to_der();
    // What we write has no certificates of the sender and no open lengths. It is not longer, but for
    // parameters that may be left out.
    assert!(der.len() <= 2 * ENVELOPE_BYTES_MAX);
    if let Ok(mut again) = parse_envelope(&der) {
        // The recipients of a SET are sorted when it is written.
        let mut envelope = envelope;
        let by_key = |it: &exeunt_x509::Recipient| it.encrypted_key.clone();
        again.recipients.sort_by_key(by_key);
        envelope.recipients.sort_by_key(by_key);
        assert_eq!(
            (again.cipher, again.iv, &again.content),
            (envelope.cipher, envelope.iv, &envelope.content)
        );
        assert_eq!(again.recipients.len(), envelope.recipients.len());
    } else {
        assert!(ENVELOPE_BYTES_MAX < der.len(), "our own message is one");
    }
});
