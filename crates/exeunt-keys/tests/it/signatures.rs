//! Signatures: ours judged by strangers, theirs judged by us, damaged ones refused.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use exeunt_keys::{
    Message, SigningKey, SoftwareKey, VerifyError, verify, verify_message, verify_reader,
};
use exeunt_testkit::{foreign, requests, tools};
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use tempfile::TempDir;

pub(crate) const MESSAGE: &[u8] = b"to be signed";

pub(crate) const RSA_SCHEMES: [SignatureScheme; 6] = [
    SignatureScheme::RsaPkcs1Sha256,
    SignatureScheme::RsaPkcs1Sha384,
    SignatureScheme::RsaPkcs1Sha512,
    SignatureScheme::RsaPssSha256,
    SignatureScheme::RsaPssSha384,
    SignatureScheme::RsaPssSha512,
];

/// What openssl calls the hash of a scheme; none for schemes that hash by themselves.
fn openssl_digest(scheme: SignatureScheme) -> Option<&'static str> {
    Some(match scheme {
        SignatureScheme::RsaPkcs1Sha256 | SignatureScheme::EcdsaSha256 => "-sha256",
        SignatureScheme::RsaPkcs1Sha384 | SignatureScheme::EcdsaSha384 => "-sha384",
        SignatureScheme::RsaPkcs1Sha512 | SignatureScheme::EcdsaSha512 => "-sha512",
        SignatureScheme::RsaPssSha256 => {
            "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"
        }
        SignatureScheme::RsaPssSha384 => {
            "-sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:48"
        }
        SignatureScheme::RsaPssSha512 => {
            "-sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:64"
        }
        _ => return None,
    })
}

fn is_ml_dsa(algorithm: KeyAlgorithm) -> bool {
    matches!(algorithm, KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87)
}

fn openssl(command: &str, files: &[(&str, &Path)]) -> Vec<u8> {
    let mut args: Vec<PathBuf> = command.split(' ').map(PathBuf::from).collect();
    args.extend(files.iter().flat_map(|(option, path)| [PathBuf::from(option), path.into()]));
    args.retain(|it| !it.as_os_str().is_empty());
    tools::run_ok(tools::openssl(), args, b"")
}

pub(crate) fn openssl_verifies(key: &dyn SigningKey, message: &[u8], signature: &[u8]) {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let spki = file("key.der", key.public_key_der());
    let message = file("message", message);
    let signature = file("signature", signature);
    let said = match openssl_digest(key.scheme()) {
        Some(digest) => openssl(
            &format!("dgst {digest} -keyform DER"),
            &[("-verify", &spki), ("-signature", &signature), ("", &message)],
        ),
        None => openssl(
            "pkeyutl -verify -rawin -pubin -keyform DER",
            &[("-inkey", &spki), ("-in", &message), ("-sigfile", &signature)],
        ),
    };
    let said = String::from_utf8_lossy(&said);
    // `dgst` and `pkeyutl` use these words.
    assert!(said.contains("Verified OK") || said.contains("Verified Successfully"), "{said}");
}

#[test]
fn what_every_kind_of_key_signs_verifies_here_and_abroad() {
    for algorithm in KeyAlgorithm::KEY_TYPES {
        let key = SoftwareKey::generate(algorithm).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.scheme(), algorithm.default_scheme());
        let signature = key.sign(MESSAGE).unwrap();
        verify(key.public_key_der(), algorithm, key.scheme(), MESSAGE, &signature).unwrap();
        if is_ml_dsa(algorithm) {
            foreign::ml_dsa_verify(key.public_key_der(), MESSAGE, &signature).unwrap();
        } else {
            openssl_verifies(&key, MESSAGE, &signature);
        }
    }
}

#[test]
fn what_is_signed_through_a_reader_verifies_here_and_abroad() {
    // Longer than what is read at a time.
    let message: Vec<u8> = (0_u32..50_000).flat_map(u32::to_be_bytes).collect();
    for algorithm in KeyAlgorithm::KEY_TYPES {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let signature = key.sign_reader(&mut &message[..]).unwrap();
        let check = |mut message: &[u8]| {
            let (spki, scheme) = (key.public_key_der(), key.scheme());
            verify_reader(spki, algorithm, scheme, &mut message, &signature)
        };
        assert_eq!(check(&message), Ok(()));
        // Read once for both.
        let read = Message::read(key.scheme(), &mut &message[..]).unwrap();
        let signature = key.sign_message(&read).unwrap();
        verify_message(key.public_key_der(), algorithm, &read, &signature).unwrap();
        assert_eq!(check(&message[1..]), Err(VerifyError::Signature));
        verify(key.public_key_der(), algorithm, key.scheme(), &message, &signature).unwrap();
        if !is_ml_dsa(algorithm) {
            openssl_verifies(&key, &message, &signature);
        }
    }
}

#[test]
fn a_message_that_was_read_for_another_scheme_is_not_signed() {
    let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    for scheme in [SignatureScheme::Ed25519, SignatureScheme::EcdsaSha384] {
        let message = Message::read(scheme, &mut &MESSAGE[..]).unwrap();
        assert_eq!(key.sign_message(&message).unwrap_err().code(), "sign-module");
    }
}

#[test]
fn a_reader_that_fails_makes_no_signature() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Ed25519] {
        let key = SoftwareKey::generate(algorithm).unwrap();
        assert_eq!(key.sign_reader(&mut Broken).unwrap_err().code(), "sign-read");
        let said = verify_reader(key.public_key_der(), algorithm, key.scheme(), &mut Broken, &[]);
        assert_eq!(said, Err(VerifyError::Read { kind: io::ErrorKind::StorageFull }));
    }
}

#[test]
fn an_rsa_key_signs_by_any_scheme_of_its_own() {
    let algorithm = KeyAlgorithm::Rsa { bits: 2048 };
    for scheme in RSA_SCHEMES {
        let key = SoftwareKey::generate(algorithm).unwrap().with_scheme(scheme).unwrap();
        assert_eq!(key.scheme(), scheme);
        for signature in [key.sign(MESSAGE), key.sign_reader(&mut &MESSAGE[..])] {
            let signature = signature.unwrap();
            openssl_verifies(&key, MESSAGE, &signature);
            for other in RSA_SCHEMES {
                let said = verify(key.public_key_der(), algorithm, other, MESSAGE, &signature);
                assert_eq!(said.is_ok(), other == scheme, "{other:?} of {scheme:?}");
            }
        }
    }
}

#[test]
fn no_key_takes_a_foreign_scheme() {
    let key = || SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    for scheme in SignatureScheme::ALL {
        let taken = key().with_scheme(scheme);
        assert_eq!(taken.is_ok(), scheme == SignatureScheme::EcdsaSha256, "{scheme:?}");
    }
    let err = key().with_scheme(SignatureScheme::RsaPssSha256).unwrap_err();
    assert_eq!(
        err.to_string(),
        "signing by rsa-pss-sha256 with a key of type ecdsa-p256 is not supported"
    );
}

#[test]
fn what_openssl_signs_verifies_here_with_every_hash() {
    let dir = TempDir::new().unwrap();
    let message = dir.path().join("message");
    fs::write(&message, MESSAGE).unwrap();
    let ecdsa =
        [SignatureScheme::EcdsaSha256, SignatureScheme::EcdsaSha384, SignatureScheme::EcdsaSha512];
    for (name, algorithm, schemes) in [
        ("ec:P-256", KeyAlgorithm::EcdsaP256, &ecdsa[..]),
        ("ec:P-384", KeyAlgorithm::EcdsaP384, &ecdsa),
        ("ec:P-521", KeyAlgorithm::EcdsaP521, &ecdsa),
        ("rsa:2048", KeyAlgorithm::Rsa { bits: 2048 }, &RSA_SCHEMES),
        ("rsa:3072", KeyAlgorithm::Rsa { bits: 3072 }, &RSA_SCHEMES),
        ("ed25519", KeyAlgorithm::Ed25519, &[SignatureScheme::Ed25519]),
    ] {
        let key = requests::openssl_key(name);
        let spki = openssl("pkey -pubout -outform DER", &[("-in", &key)]);
        for &scheme in schemes {
            let signature = match openssl_digest(scheme) {
                Some(digest) => {
                    openssl(&format!("dgst {digest}"), &[("-sign", &key), ("", &message)])
                }
                None => openssl("pkeyutl -sign -rawin", &[("-inkey", &key), ("-in", &message)]),
            };
            verify(&spki, algorithm, scheme, MESSAGE, &signature)
                .unwrap_or_else(|err| panic!("{name} {scheme:?}: {err}"));
            assert_eq!(
                verify(&spki, algorithm, scheme, b"another message", &signature),
                Err(VerifyError::Signature)
            );
        }
    }
}

#[test]
fn what_python_signs_with_ml_dsa_verifies_here() {
    for (parameter_set, algorithm) in
        [(44, KeyAlgorithm::MlDsa44), (65, KeyAlgorithm::MlDsa65), (87, KeyAlgorithm::MlDsa87)]
    {
        let made = foreign::ml_dsa_sign(parameter_set, MESSAGE);
        let scheme = algorithm.default_scheme();
        verify(&made.spki_der, algorithm, scheme, MESSAGE, &made.signature).unwrap();
    }
}

/// Copies of `bytes`, each with one bit turned over: one bit in every octet, another each time.
fn flipped(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len()).map(|at| {
        let mut copy = bytes.to_vec();
        copy[at] ^= 1 << (at % 8);
        copy
    })
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    for algorithm in KeyAlgorithm::KEY_TYPES {
        // Time goes into the verification, and the larger moduli have the same code.
        if matches!(algorithm, KeyAlgorithm::Rsa { bits: 3072.. }) {
            continue;
        }
        let key = SoftwareKey::generate(algorithm).unwrap();
        let (spki, scheme) = (key.public_key_der(), key.scheme());
        let signature = key.sign(MESSAGE).unwrap();
        for wrong in flipped(&signature) {
            assert!(verify(spki, algorithm, scheme, MESSAGE, &wrong).is_err(), "{algorithm:?}");
        }
        for wrong in flipped(spki) {
            assert!(verify(&wrong, algorithm, scheme, MESSAGE, &signature).is_err(), "{wrong:x?}");
        }
        for wrong in flipped(MESSAGE) {
            assert!(verify(spki, algorithm, scheme, &wrong, &signature).is_err(), "{algorithm:?}");
        }
    }
}

#[test]
fn octets_missing_or_left_over_are_refused() {
    for algorithm in
        [KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa { bits: 2048 }, KeyAlgorithm::Ed25519]
    {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let (spki, scheme) = (key.public_key_der(), key.scheme());
        let signature = key.sign(MESSAGE).unwrap();
        let longer = |bytes: &[u8]| [bytes, &[0]].concat();
        let check =
            |spki: &[u8], signature: &[u8]| verify(spki, algorithm, scheme, MESSAGE, signature);
        assert_eq!(check(&longer(spki), &signature), Err(VerifyError::PublicKey));
        assert_eq!(check(&spki[..spki.len() - 1], &signature), Err(VerifyError::PublicKey));
        assert_eq!(check(&[], &signature), Err(VerifyError::PublicKey));
        assert_eq!(check(spki, &longer(&signature)), Err(VerifyError::Signature));
        assert_eq!(check(spki, &signature[..signature.len() - 1]), Err(VerifyError::Signature));
        assert_eq!(check(spki, &[]), Err(VerifyError::Signature));
    }
}

#[test]
fn a_key_goes_with_its_own_schemes_only() {
    let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let spki = key.public_key_der();
    let signature = key.sign(MESSAGE).unwrap();
    let check = |algorithm, scheme| verify(spki, algorithm, scheme, MESSAGE, &signature);

    let (p256, sha256) = (KeyAlgorithm::EcdsaP256, SignatureScheme::EcdsaSha256);
    assert_eq!(check(p256, sha256), Ok(()));
    assert_eq!(check(p256, SignatureScheme::EcdsaSha384), Err(VerifyError::Signature));
    // The key is of another algorithm than the caller says.
    assert_eq!(check(KeyAlgorithm::EcdsaP384, sha256), Err(VerifyError::PublicKey));
    let rsa = KeyAlgorithm::Rsa { bits: 2048 };
    assert_eq!(check(rsa, SignatureScheme::RsaPkcs1Sha256), Err(VerifyError::PublicKey));
    // No such pair, or a modulus that is not verified.
    for (key, scheme) in [
        (p256, SignatureScheme::RsaPkcs1Sha256),
        (KeyAlgorithm::Ed25519, sha256),
        (KeyAlgorithm::MlDsa44, SignatureScheme::MlDsa65),
        (KeyAlgorithm::Rsa { bits: 1024 }, SignatureScheme::RsaPkcs1Sha256),
        (KeyAlgorithm::Rsa { bits: 16384 }, SignatureScheme::RsaPkcs1Sha256),
    ] {
        assert_eq!(check(key, scheme), Err(VerifyError::Unsupported { key, scheme }));
    }
}

#[test]
fn a_point_in_another_form_is_refused() {
    let dir = TempDir::new().unwrap();
    let message = dir.path().join("message");
    fs::write(&message, MESSAGE).unwrap();
    let key = requests::openssl_key("ec:P-256");
    let signature = openssl("dgst -sha256", &[("-sign", &key), ("", &message)]);
    let check = |form: &str| {
        let command = format!("pkey -pubout -outform DER -ec_conv_form {form}");
        let spki = openssl(&command, &[("-in", &key)]);
        let (algorithm, scheme) = (KeyAlgorithm::EcdsaP256, SignatureScheme::EcdsaSha256);
        verify(&spki, algorithm, scheme, MESSAGE, &signature)
    };
    assert_eq!(check("uncompressed"), Ok(()));
    assert_eq!(check("compressed"), Err(VerifyError::PublicKey));
    assert_eq!(check("hybrid"), Err(VerifyError::PublicKey));
}

#[test]
fn a_short_rsa_key_is_refused_even_if_the_caller_calls_it_long() {
    let dir = TempDir::new().unwrap();
    let message = dir.path().join("message");
    fs::write(&message, MESSAGE).unwrap();
    let key = requests::openssl_key("rsa:1024");
    let spki = openssl("pkey -pubout -outform DER", &[("-in", &key)]);
    let signature = openssl("dgst -sha256", &[("-sign", &key), ("", &message)]);
    let scheme = SignatureScheme::RsaPkcs1Sha256;
    let said = verify(&spki, KeyAlgorithm::Rsa { bits: 2048 }, scheme, MESSAGE, &signature);
    assert_eq!(said, Err(VerifyError::Signature));
}

#[test]
fn rsa_is_generated_in_three_sizes_only() {
    for bits in [1024, 2047, 8192] {
        let err = SoftwareKey::generate(KeyAlgorithm::Rsa { bits }).unwrap_err();
        assert_eq!(err.code(), "key-unsupported");
    }
}
