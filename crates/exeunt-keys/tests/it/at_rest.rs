//! Keys at rest: what we write, others open; what openssl writes, we open; all else has a code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use exeunt_keys::{KeyError, Passphrase, SigningKey, SoftwareKey, verify};
use exeunt_testkit::{foreign, requests, tools};
use exeunt_types::KeyAlgorithm;

const SESAME: &str = "öffne dich";

fn sesame() -> Passphrase {
    Passphrase::new(SESAME).unwrap()
}

fn code_of(pem: &str, passphrase: &Passphrase) -> &'static str {
    SoftwareKey::from_encrypted_pem(pem, passphrase).unwrap_err().code()
}

#[test]
fn every_kind_of_key_comes_back_from_its_encrypted_pem() {
    for algorithm in KeyAlgorithm::KEY_TYPES {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let pem = key.to_encrypted_pem(&sesame()).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));

        let back = SoftwareKey::from_encrypted_pem(&pem, &sesame()).unwrap();
        assert_eq!(back.algorithm(), algorithm);
        assert_eq!(back.public_key_der(), key.public_key_der());
        // The public half could have been stored beside the private one: both must still fit.
        let signature = back.sign(b"message").unwrap();
        verify(key.public_key_der(), algorithm, key.scheme(), b"message", &signature).unwrap();
    }
}

type Judge = fn(&str, Option<&str>) -> Result<Vec<u8>, String>;

#[test]
fn others_open_what_we_write() {
    for algorithm in KeyAlgorithm::KEY_TYPES {
        let key = SoftwareKey::generate(algorithm).unwrap();
        let encrypted = key.to_encrypted_pem(&sesame()).unwrap();
        let plain = key.to_pem().unwrap();
        // OpenSSL 3.0 has no ML-DSA; pyca/cryptography opens everything.
        let is_ml_dsa = algorithm.name().starts_with("ml-dsa");
        let judges: &[Judge] = if is_ml_dsa {
            &[foreign::python_public_key]
        } else {
            &[foreign::python_public_key, foreign::openssl_public_key]
        };
        for judge in judges {
            let name = algorithm.name();
            let expected = Ok(key.public_key_der().to_vec());
            assert_eq!(judge(&encrypted, Some(SESAME)), expected, "{name}, encrypted");
            assert_eq!(judge(&plain, None), expected, "{name}, plain");
            assert!(judge(&encrypted, Some("sesame")).is_err(), "{name}, wrong passphrase");
        }
    }
}

#[test]
fn the_form_at_rest_is_scrypt_with_aes_256_cbc() {
    let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let pem = key.to_encrypted_pem(&sesame()).unwrap();
    let text = tools::run_ok(tools::openssl(), ["asn1parse"], pem.as_bytes());
    let text = String::from_utf8(text).unwrap();
    // N, r and p in hexadecimal follow the salt.
    for part in ["PBES2", ":scrypt", "aes-256-cbc", "INTEGER           :4000", ":08", ":01"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert_ne!(pem, key.to_encrypted_pem(&sesame()).unwrap(), "salt and IV are new each time");
}

#[test]
fn we_open_what_openssl_writes() {
    for (name, algorithm) in [
        ("ec:P-256", KeyAlgorithm::EcdsaP256),
        ("ec:P-521", KeyAlgorithm::EcdsaP521),
        ("rsa:2048", KeyAlgorithm::Rsa { bits: 2048 }),
        ("ed25519", KeyAlgorithm::Ed25519),
    ] {
        let path = requests::openssl_key(name);
        let expected =
            foreign::openssl_public_key(&fs::read_to_string(&path).unwrap(), None).unwrap();
        for form in ["-scrypt", "-v2 aes-256-cbc", "-v2 aes-128-cbc -iter 5000"] {
            let pem = openssl_pkcs8(&path, form);
            let key = SoftwareKey::from_encrypted_pem(&pem, &sesame())
                .unwrap_or_else(|err| panic!("{name} {form}: {err:?}"));
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(key.public_key_der(), expected);
        }
    }
}

fn openssl_pkcs8(key: &Path, form: &str) -> String {
    let mut args: Vec<PathBuf> =
        ["pkcs8", "-topk8", "-passout"].map(PathBuf::from).into_iter().collect();
    args.push(format!("pass:{SESAME}").into());
    args.extend(form.split(' ').map(PathBuf::from));
    args.extend(["-in".into(), key.to_owned()]);
    String::from_utf8(tools::run_ok(tools::openssl(), args, b"")).unwrap()
}

#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_file() {
    let key = SoftwareKey::generate(KeyAlgorithm::EcdsaP384).unwrap();
    let pem = key.to_encrypted_pem(&sesame()).unwrap();
    for wrong in ["sesame", "öffne dich ", "Öffne dich"] {
        assert_eq!(code_of(&pem, &Passphrase::new(wrong).unwrap()), "key-wrong-passphrase");
    }
    assert_eq!(code_of("", &sesame()), "key-malformed");
    assert_eq!(code_of("not a key at all", &sesame()), "key-malformed");
    for share in 1..8 {
        assert_eq!(code_of(&pem[..pem.len() * share / 8], &sesame()), "key-malformed");
    }
}

#[test]
fn a_wrong_passphrase_is_one_even_where_the_padding_fits_by_chance() {
    // 1 in 256 passes the padding: in 1500 tries at one round of PBKDF2 each, several do.
    let pem = openssl_pkcs8(&requests::openssl_key("ed25519"), "-v2 aes-256-cbc -iter 1");
    for n in 0..1500 {
        let wrong = Passphrase::new(format!("wrong {n}")).unwrap();
        assert_eq!(code_of(&pem, &wrong), "key-wrong-passphrase");
    }
}

#[test]
fn a_key_that_nobody_encrypted_is_refused_with_a_hint() {
    let key = SoftwareKey::generate(KeyAlgorithm::Ed25519).unwrap();
    let err = SoftwareKey::from_encrypted_pem(&key.to_pem().unwrap(), &sesame()).unwrap_err();
    assert!(matches!(err, KeyError::NotEncrypted));
    assert!(err.hint().unwrap().starts_with("openssl pkcs8 -topk8 -scrypt "));
}

#[test]
fn keys_and_envelopes_of_other_kinds_are_unsupported() {
    let folder = tempfile::TempDir::new().unwrap();
    let other = folder.path().join("other.pem");
    for genpkey in [
        "-algorithm X25519",
        "-algorithm ED448",
        "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
    ] {
        let args = ["genpkey"].into_iter().chain(genpkey.split(' '));
        fs::write(&other, tools::run_ok(tools::openssl(), args, b"")).unwrap();
        assert_eq!(code_of(&openssl_pkcs8(&other, "-scrypt"), &sesame()), "key-unsupported");
    }
    // Encryption older than PBES2, PBES2 with SHA-1, and PBES2 with a cipher of old.
    let key = requests::openssl_key("ec:P-256");
    for form in [
        "-v1 PBE-MD5-DES -provider legacy -provider default",
        "-v1 PBE-SHA1-3DES",
        "-v2 aes-256-cbc -v2prf hmacWithSHA1",
        "-v2 des3",
    ] {
        assert_eq!(code_of(&openssl_pkcs8(&key, form), &sesame()), "key-unsupported", "{form}");
    }
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n";
    assert_eq!(code_of(request, &sesame()), "key-unsupported");
}

#[test]
fn an_rsa_key_too_short_to_be_trusted_is_refused() {
    let pem = openssl_pkcs8(&requests::openssl_key("rsa:1024"), "-scrypt");
    assert_eq!(code_of(&pem, &sesame()), "key-malformed");
}

#[test]
fn debug_of_a_key_shows_its_algorithm_only() {
    let key = SoftwareKey::generate(KeyAlgorithm::Ed25519).unwrap();
    assert_eq!(format!("{key:?}"), "SoftwareKey { algorithm: Ed25519, .. }");
}
