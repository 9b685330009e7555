//! Revocation lists: our own from the disk, and what somebody puts in their place.
#![no_main]

use exeunt_x509::{CrlFields, CrlWriter, TbsFrame, frame_tbs, parse_crl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(crl) = parse_crl(data) else { return };
    let count = u64::try_from(crl.entries().count()).expect("a usize is no longer than 64 bits");
    assert_eq!(count, crl.entry_count);
    // What was read can be written, and reads the same again.
    let fields = CrlFields {
        scheme: crl.scheme,
        issuer: &crl.issuer,
        this_update: crl.this_update,
        next_update: crl.next_update,
        number: crl.number,
        base: crl.base,
        authority_key_identifier: crl.authority_key_identifier.unwrap_or_default(),
        issuing_distribution_point: crl.issuing_distribution_point.as_ref(),
        freshest_crl: &crl.freshest_crl,
        next_publish: crl.next_publish,
        ca_version: crl.ca_version,
        published_locations: &crl.published_locations,
    };
    let mut entries = Vec::new();
    let mut writer = CrlWriter::new(&mut entries, crl.base.is_some());
    for entry in crl.entries() {
        writer.entry(&entry).expect("an entry that was read can be written");
    }
    let lengths = writer.finish().expect("memory takes what it is given");
    // Not every list that can be read is one that we would make.
    let Ok(TbsFrame { head, tail, length }) = frame_tbs(&fields, lengths) else { return };
    let tbs = [&head[..], &entries, &tail].concat();
    let frame = exeunt_x509::frame_crl(length, crl.scheme, crl.signature);
    let written = [&frame.head[..], &tbs, &frame.tail].concat();
    let again = parse_crl(&written).expect("what is written here is read here");
    assert!(again.entries().eq(crl.entries()));
    assert_eq!((again.number, again.base), (crl.number, crl.base));
    assert_eq!(again.issuing_distribution_point, crl.issuing_distribution_point);
});
