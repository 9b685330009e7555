//! OCSP requests: what anybody on the network sends.
#![no_main]

use exeunt_x509::{
    CertStatus, OCSP_NONCE_BYTES_MAX, OCSP_REQUEST_COUNT_MAX, OcspFields, SingleResponse,
    build_ocsp_response_data, parse_ocsp_request,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = parse_ocsp_request(data) else { return };
    assert!((1..=OCSP_REQUEST_COUNT_MAX).contains(&request.certificates.len()));
    assert!(request.nonce.is_none_or(|it| (1..=OCSP_NONCE_BYTES_MAX).contains(&it.len())));
    let responses: Vec<SingleResponse<'_>> = request
        .certificates
        .iter()
        .map(|certificate| {
            // The fuzzer sees what is compared, and soon writes the hashes that match.
            let _ = certificate.matches(b"name", b"key");
            SingleResponse {
                certificate: *certificate,
                status: CertStatus::Unknown,
                this_update: 0,
                next_update: None,
            }
        })
        .collect();
    // Whatever is accepted can be answered.
    let fields = OcspFields {
        responder_key_hash: [0; 20],
        produced_at: 0,
        responses: &responses,
        nonce: request.nonce,
    };
    let answer = build_ocsp_response_data(&fields).expect("what was asked can be answered");
    assert!(answer.len() < data.len() + 100 + 64 * responses.len());
});
