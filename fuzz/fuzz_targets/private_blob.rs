//! Private keys as the original's clients send them: what is decrypted was made by a stranger.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The one file: what it makes of a blob never leaves its crate as octets.
#[path = "../../crates/exeunt-keys/src/private_blob.rs"]
mod private_blob;

/// What it needs of its crate.
mod verify {
    pub(crate) use exeunt_keys::RSA_BITS_MAX;

    /// `rsaEncryption` (RFC 8017, appendix C).
    pub(crate) const RSA_ENCRYPTION: pkcs8::ObjectIdentifier =
        pkcs8::ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
}

fuzz_target!(|data: &[u8]| {
    let Some(key) = private_blob::to_pkcs8(data) else { return };
    // It is one whole PKCS #8, and not much longer than what came.
    let info = pkcs8::PrivateKeyInfoRef::try_from(&key[..]).expect("what was made is a PKCS #8");
    assert_eq!(info.algorithm.oid, verify::RSA_ENCRYPTION);
    assert!(key.len() <= data.len() + 128);
});
