//! Requests in any format, with signed messages around them: what strangers send.
#![no_main]

use exeunt_x509::{SignerKey, parse_request, parse_submission};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(submitted) = parse_submission(data) else { return };
    // What is accepted is what was sent, in DER, and reads the same again, but for a private key that came
    // along: that is not kept.
    let again = parse_submission(submitted.der()).expect("an accepted request is accepted again");
    match submitted.brought_key() {
        None => assert_eq!(again, submitted),
        Some(_) => {
            assert!(again.brought_key().is_none());
            assert_eq!(
                (again.request(), again.layers()),
                (submitted.request(), submitted.layers())
            );
        }
    }
    let request = submitted.request();
    assert_eq!(&parse_request(request.der()).expect("what is inside is a request"), request);
    let is_part = |part: &[u8]| submitted.der().windows(part.len()).any(|it| it == part);
    assert!(is_part(request.der()));
    // From the outside in, after the first message that nobody signed there is none that somebody did.
    assert!(submitted.layers().is_sorted_by_key(|it| it.signers().is_empty()));
    for layer in submitted.layers() {
        for signer in layer.signers() {
            assert!(!signer.signed_bytes().is_empty());
            if let SignerKey::Certificate(certificate) = signer.key() {
                assert!(signer.scheme().fits(certificate.key()));
                assert!(is_part(certificate.der()));
            }
        }
    }
    // Whatever is kept of it stays on one line.
    for (name, value) in submitted.enrollment_attributes_verified(|_| true) {
        assert!(!name.is_empty());
        assert!(!name.contains(char::is_control) && !value.contains(char::is_control));
    }
    // What is asked for in the end is the request with what was added, no type twice.
    let (spki, subject) = (request.spki_der().to_vec(), request.subject().clone());
    if let Ok(asked) = submitted.into_requested() {
        assert_eq!((asked.spki_der(), asked.subject()), (&spki[..], &subject));
        let extensions = asked.extensions();
        for (place, it) in extensions.iter().enumerate() {
            assert!(extensions[..place].iter().all(|other| other.oid != it.oid));
        }
    }
});
