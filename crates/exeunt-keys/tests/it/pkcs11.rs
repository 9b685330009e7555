//! Keys in tokens of `SoftHSM`: made, opened, used, lost and found again.
//!
//! `SoftHSM` learns from a variable of the environment where its tokens are, and a process has one
//! state of it. So each test runs its body in a process of its own, which is this binary again.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use exeunt_keys::{
    KeyName, PinSource, Pkcs11Key, RESTART_PAUSE, SignError, SigningKey, TokenError, TokenName,
    TokenSettings, TriesLeft, secret_file, verify, verify_reader,
};
use exeunt_testkit::tools;
use exeunt_types::{KeyAlgorithm, SignatureScheme};
use tempfile::TempDir;

use crate::signatures::{MESSAGE, RSA_SCHEMES, openssl_verifies};

const PIN: &str = "2718";

/// Says to the process of a body that it is one, and where its tokens are.
const FOLDER: &str = "EXEUNT_TEST_TOKENS";

/// Holds the PIN in the process of a body.
const PIN_VARIABLE: &str = "EXEUNT_TEST_PIN";

/// A folder of tokens, in the process that uses them.
struct Bed {
    folder: PathBuf,
}

impl Bed {
    /// Runs the test of that name in a process of its own, and gives the bed there only.
    fn of(test: &str) -> Option<Self> {
        if let Some(folder) = env::var_os(FOLDER) {
            return Some(Self { folder: folder.into() });
        }
        let folder = TempDir::new().unwrap();
        let tokens = folder.path().join("tokens");
        fs::create_dir(&tokens).unwrap();
        let conf = folder.path().join("softhsm2.conf");
        let settings = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        fs::write(&conf, settings).unwrap();
        let bed = Self { folder: folder.path().to_owned() };
        bed.init_token("ca");
        let output = Command::new(env::current_exe().unwrap())
            .args([&format!("pkcs11::{test}"), "--exact", "--nocapture"])
            .env("SOFTHSM2_CONF", &conf)
            .env(FOLDER, folder.path())
            .env(PIN_VARIABLE, PIN)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        None
    }

    fn init_token(&self, label: &str) {
        let conf = self.folder.join("softhsm2.conf");
        let args = ["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "31415"];
        let env = format!("SOFTHSM2_CONF={}", conf.display());
        let util = tools::softhsm_util().to_str().unwrap();
        tools::run_ok(Path::new("/usr/bin/env"), [&[env.as_str(), util][..], &args].concat(), b"");
    }

    fn pin_file(&self, pin: &str) -> PathBuf {
        let path = self.folder.join(format!("pin-{pin}"));
        if !path.exists() {
            secret_file::write_new(&path, format!("{pin}\n").as_bytes()).unwrap();
        }
        path
    }

    fn settings(&self, key: &str) -> TokenSettings {
        TokenSettings {
            module: tools::softhsm_module().to_owned(),
            token: TokenName::Label("ca".to_owned()),
            key: KeyName::Label(key.to_owned()),
            pin: PinSource::File(self.pin_file(PIN)),
        }
    }

    /// Pulls the tokens out, by moving their files away.
    fn pull_out(&self) {
        let tokens = self.folder.join("tokens");
        fs::rename(&tokens, self.folder.join("elsewhere")).unwrap();
        fs::create_dir(&tokens).unwrap();
    }

    /// A module that fails as the tests want it.
    fn faulty(&self) -> PathBuf {
        let module = self.folder.join("faulty.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faulty.c");
        let softhsm = format!("-DSOFTHSM=\"{}\"", tools::softhsm_module().display());
        let out = module.to_str().unwrap();
        let args = ["-shared", "-fPIC", "-Wall", "-Werror", &softhsm, "-o", out];
        let args = [&args[..], &[source.to_str().unwrap(), "-ldl"]].concat();
        tools::run_ok(Path::new("/usr/bin/env"), [&["cc"], &args[..]].concat(), b"");
        module
    }

    fn plug_in(&self) {
        let tokens = self.folder.join("tokens");
        fs::remove_dir_all(&tokens).unwrap();
        fs::rename(self.folder.join("elsewhere"), &tokens).unwrap();
    }
}

/// What `attempt` gives as soon as it gives something. A module may have to be restarted for it,
/// which may have to wait.
#[track_caller]
fn in_time<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + RESTART_PAUSE * 2;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time");
        thread::sleep(Duration::from_millis(100));
    }
}

fn code(result: Result<Pkcs11Key, TokenError>) -> &'static str {
    result.err().map_or("no error", |err| err.code())
}

#[test]
fn every_kind_of_key_is_made_and_signs_in_a_token() {
    let Some(bed) = Bed::of("every_kind_of_key_is_made_and_signs_in_a_token") else { return };
    // Longer than what is read at a time.
    let long: Vec<u8> = (0_u32..50_000).flat_map(u32::to_be_bytes).collect();
    for algorithm in KeyAlgorithm::KEY_TYPES {
        let settings = bed.settings(&algorithm.name());
        if matches!(
            algorithm,
            KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 | KeyAlgorithm::MlDsa87
        ) {
            let err = Pkcs11Key::generate(&settings, algorithm).unwrap_err();
            assert_eq!(err.to_string(), "signing by CKM_ML_DSA in a token is not supported");
            continue;
        }
        let made = Pkcs11Key::generate(&settings, algorithm).unwrap();
        let opened = Pkcs11Key::open(&settings).unwrap();
        assert_eq!(opened.public_key_der(), made.public_key_der());
        for key in [made, opened] {
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(key.scheme(), algorithm.default_scheme());
            let (spki, scheme) = (key.public_key_der(), key.scheme());
            let signature = key.sign(MESSAGE).unwrap();
            verify(spki, algorithm, scheme, MESSAGE, &signature).unwrap();
            openssl_verifies(&key, MESSAGE, &signature);
            let signature = key.sign_reader(&mut &long[..]).unwrap();
            verify_reader(spki, algorithm, scheme, &mut &long[..], &signature).unwrap();
            openssl_verifies(&key, &long, &signature);
        }
    }
}

#[test]
fn an_rsa_key_in_a_token_signs_by_any_scheme_of_its_own() {
    let Some(bed) = Bed::of("an_rsa_key_in_a_token_signs_by_any_scheme_of_its_own") else { return };
    let settings = bed.settings("ca");
    Pkcs11Key::generate(&settings, KeyAlgorithm::Rsa { bits: 2048 }).unwrap();
    for scheme in RSA_SCHEMES {
        let key = Pkcs11Key::open(&settings).unwrap().with_scheme(scheme).unwrap();
        let signature = key.sign(MESSAGE).unwrap();
        verify(key.public_key_der(), key.algorithm(), scheme, MESSAGE, &signature).unwrap();
        openssl_verifies(&key, MESSAGE, &signature);
    }
    let key = Pkcs11Key::open(&settings).unwrap();
    assert_eq!(code(key.with_scheme(SignatureScheme::EcdsaSha256)), "token-unsupported");
}

#[test]
fn a_scheme_that_a_token_lists_and_does_not_sign_by_is_found_at_the_start() {
    let Some(bed) =
        Bed::of("a_scheme_that_a_token_lists_and_does_not_sign_by_is_found_at_the_start")
    else {
        return;
    };
    // The module must be initialized for another user of it.
    assert_eq!(code(Pkcs11Key::open(&bed.settings("old"))), "token-key-missing");
    cryptoki_view::make_rsa_without_pss(PIN, "old");
    let key = Pkcs11Key::open(&bed.settings("old")).unwrap();
    let key = key.with_scheme(SignatureScheme::RsaPkcs1Sha512).unwrap();
    assert_eq!(code(key.with_scheme(SignatureScheme::RsaPssSha256)), "token-failed");
}

#[test]
fn a_key_is_found_by_its_names_and_only_if_it_is_the_one() {
    let Some(bed) = Bed::of("a_key_is_found_by_its_names_and_only_if_it_is_the_one") else {
        return;
    };
    let by_label = bed.settings("ca");
    let id = KeyName::Id(vec![0xca, 1]);
    let by_id = TokenSettings { key: id.clone(), ..by_label.clone() };
    assert_eq!(code(Pkcs11Key::open(&by_label)), "token-key-missing");
    let err = Pkcs11Key::open(&by_id).unwrap_err();
    assert_eq!(err.to_string(), "there is no private key of id ca01 in the token labelled \"ca\"");

    let made = Pkcs11Key::generate(&by_id, KeyAlgorithm::EcdsaP256).unwrap();
    assert_eq!(Pkcs11Key::open(&by_id).unwrap().public_key_der(), made.public_key_der());
    assert_eq!(code(Pkcs11Key::generate(&by_id, KeyAlgorithm::EcdsaP256)), "token-key-exists");

    // A stranger's second key of the same id and label.
    let stranger = bed.folder.join("stranger.pem");
    let pem = tools::run_ok(
        tools::openssl(),
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        b"",
    );
    fs::write(&stranger, pem).unwrap();
    let stranger = stranger.to_str().unwrap();
    let import = |id: &str, label: &str| {
        let args = ["--import", stranger, "--token", "ca", "--pin", PIN, "--id", id, "--label"];
        tools::run_ok(tools::softhsm_util(), [&args[..], &[label, "--force"]].concat(), b"");
    };
    import("ca01", "other");
    let err = Pkcs11Key::open(&by_id).unwrap_err();
    assert_eq!(err.code(), "token-key-ambiguous");
    assert!(err.to_string().starts_with("there are 2 private keys in the token"), "{err}");

    // One that another tool put there is as good as ours.
    import("0b", "imported");
    let imported = Pkcs11Key::open(&bed.settings("imported")).unwrap();
    openssl_verifies(&imported, MESSAGE, &imported.sign(MESSAGE).unwrap());

    let elsewhere = TokenName::Label("another".to_owned());
    let err = Pkcs11Key::open(&TokenSettings { token: elsewhere, ..by_label.clone() }).unwrap_err();
    assert_eq!(err.to_string(), "there is no token labelled \"another\"");
    let module = PathBuf::from("/nonexistent/module.so");
    assert_eq!(
        code(Pkcs11Key::open(&TokenSettings { module, ..by_label.clone() })),
        "token-module"
    );
    let module = bed.folder.join("softhsm2.conf");
    assert_eq!(code(Pkcs11Key::open(&TokenSettings { module, ..by_label })), "token-module");
}

#[test]
fn tokens_of_one_label_are_told_apart_by_their_serial_numbers() {
    let Some(bed) = Bed::of("tokens_of_one_label_are_told_apart_by_their_serial_numbers") else {
        return;
    };
    bed.init_token("ca");
    let by_label = bed.settings("ca");
    let err = Pkcs11Key::open(&by_label).unwrap_err();
    assert_eq!(err.code(), "token-ambiguous");
    assert_eq!(err.to_string(), "there are 2 tokens: token labelled \"ca\"");

    let slots = tools::run_ok(tools::softhsm_util(), ["--show-slots"], b"");
    let slots = String::from_utf8(slots).unwrap();
    let serials: Vec<_> = slots
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Serial number:"))
        .map(|it| it.trim().to_owned())
        .filter(|it| !it.is_empty())
        .collect();
    assert_eq!(serials.len(), 2, "{slots}");
    let of = |serial: &str| TokenSettings {
        token: TokenName::Serial(serial.to_owned()),
        pin: PinSource::Variable(PIN_VARIABLE.to_owned()),
        ..by_label.clone()
    };
    let made = Pkcs11Key::generate(&of(&serials[0]), KeyAlgorithm::EcdsaP256).unwrap();
    let opened = Pkcs11Key::open(&of(&serials[0])).unwrap();
    assert_eq!(opened.public_key_der(), made.public_key_der());
    assert_eq!(code(Pkcs11Key::open(&of(&serials[1]))), "token-key-missing");
}

#[test]
fn a_public_half_of_another_key_is_found_out() {
    let Some(bed) = Bed::of("a_public_half_of_another_key_is_found_out") else { return };
    let settings = bed.settings("ca");
    drop(Pkcs11Key::generate(&settings, KeyAlgorithm::EcdsaP256).unwrap());
    cryptoki_view::swap_public_halves(PIN);
    assert_eq!(code(Pkcs11Key::open(&settings)), "token-public-key");
}

#[test]
fn a_key_made_in_a_token_never_leaves_it() {
    let Some(bed) = Bed::of("a_key_made_in_a_token_never_leaves_it") else { return };
    for algorithm in [KeyAlgorithm::Rsa { bits: 2048 }, KeyAlgorithm::EcdsaP384] {
        let name = algorithm.name();
        drop(Pkcs11Key::generate(&bed.settings(&name), algorithm).unwrap());
    }
    // Seen without the crate under test.
    let token = cryptoki_view::private_keys(PIN);
    assert_eq!(token, ["sensitive, not extractable"; 2]);
}

/// The token as another program sees it.
mod cryptoki_view {
    use cryptoki::{
        context::Pkcs11,
        mechanism::{Mechanism, MechanismType},
        object::{Attribute, AttributeType, ObjectClass},
        session::{Session, UserType},
    };
    use exeunt_testkit::tools;

    /// A session of another user of the module, which is initialized already.
    fn log_in(pin: &str) -> Session {
        let functions = Pkcs11::new(tools::softhsm_module()).unwrap();
        let slot = functions.get_slots_with_initialized_token().unwrap()[0];
        let session = functions.open_rw_session(slot).unwrap();
        session.login(UserType::User, Some(&pin.into())).unwrap();
        session
    }

    /// Puts the public half of another key beside the one private key on P-256.
    pub(super) fn swap_public_halves(pin: &str) {
        let session = log_in(pin);
        let public = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)]).unwrap()[0];
        let kinds = [AttributeType::Label, AttributeType::Id, AttributeType::EcParams];
        let mut same = session.get_attributes(public, &kinds).unwrap();
        session.destroy_object(public).unwrap();
        same.push(Attribute::Token(true));
        let private = [Attribute::Token(true), Attribute::Label(b"stranger".to_vec())];
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &same, &private).unwrap();
    }

    /// Makes an RSA key that signs by PKCS #1 v1.5 alone, whatever the token lists.
    pub(super) fn make_rsa_without_pss(pin: &str, label: &str) {
        let session = log_in(pin);
        let both = [Attribute::Token(true), Attribute::Label(label.into()), Attribute::Id(vec![1])];
        let public = [
            &both[..],
            &[Attribute::ModulusBits(2048.into()), Attribute::PublicExponent(vec![1, 0, 1])],
        ];
        let allowed = vec![MechanismType::RSA_PKCS];
        let private = [&both[..], &[Attribute::Sign(true), Attribute::AllowedMechanisms(allowed)]];
        let making = Mechanism::RsaPkcsKeyPairGen;
        session.generate_key_pair(&making, &public.concat(), &private.concat()).unwrap();
    }

    /// What every private key says about leaving.
    pub(super) fn private_keys(pin: &str) -> Vec<&'static str> {
        let session = log_in(pin);
        let found = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap();
        let kinds = [
            AttributeType::Sensitive,
            AttributeType::AlwaysSensitive,
            AttributeType::Extractable,
            AttributeType::NeverExtractable,
        ];
        let told = |object| session.get_attributes(object, &kinds).unwrap();
        let safe = [
            Attribute::Sensitive(true),
            Attribute::AlwaysSensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
        ];
        found
            .into_iter()
            .map(|it| if told(it) == safe { "sensitive, not extractable" } else { "it may leave" })
            .collect()
    }
}

#[test]
fn a_wrong_pin_is_tried_once_and_never_told() {
    let Some(bed) = Bed::of("a_wrong_pin_is_tried_once_and_never_told") else { return };
    drop(Pkcs11Key::generate(&bed.settings("ca"), KeyAlgorithm::EcdsaP256).unwrap());
    let pin = PinSource::File(bed.pin_file("1414"));
    let err = Pkcs11Key::open(&TokenSettings { pin, ..bed.settings("ca") }).unwrap_err();
    assert_eq!(err.to_string(), "the PIN of the token labelled \"ca\" is wrong");
    assert!(!format!("{err:?}").contains("1414"));

    let open = bed.folder.join("open");
    fs::write(&open, PIN).unwrap();
    let pin = PinSource::File(open);
    let err = Pkcs11Key::open(&TokenSettings { pin, ..bed.settings("ca") }).unwrap_err();
    assert_eq!(err.code(), "token-pin-file");
    assert!(err.hint().unwrap().starts_with("chmod 600"));
    let pin = PinSource::Variable("EXEUNT_TEST_NO_SUCH_VARIABLE".to_owned());
    assert_eq!(
        code(Pkcs11Key::open(&TokenSettings { pin, ..bed.settings("ca") })),
        "token-pin-missing"
    );
    let key = Pkcs11Key::open(&bed.settings("ca")).unwrap();
    assert!(!format!("{key:?}").contains(PIN));
}

#[test]
fn what_a_token_says_of_its_last_tries_is_passed_on_and_none_of_them_is_wasted() {
    let Some(bed) =
        Bed::of("what_a_token_says_of_its_last_tries_is_passed_on_and_none_of_them_is_wasted")
    else {
        return;
    };
    let good = TokenSettings { module: bed.faulty(), ..bed.settings("ca") };
    drop(Pkcs11Key::generate(&good, KeyAlgorithm::EcdsaP256).unwrap());
    let wrong = TokenSettings { pin: PinSource::File(bed.pin_file("1414")), ..good.clone() };
    let (calls, flags) = (bed.folder.join("calls"), bed.folder.join("flags"));
    // CKF_USER_PIN_FINAL_TRY and CKF_USER_PIN_LOCKED of PKCS #11, section 3.2.
    for (bits, tries, hint, next) in [
        ("20000", TriesLeft::One, "one more wrong PIN locks the token", "token-pin-last-try"),
        ("40000", TriesLeft::None, "the token is locked now", "token-pin-locked"),
    ] {
        fs::write(&calls, "").unwrap();
        fs::write(&flags, bits).unwrap();
        let err = Pkcs11Key::open(&wrong).unwrap_err();
        assert!(err.hint().unwrap().starts_with(hint), "{err:?}");
        assert!(matches!(err, TokenError::PinWrong { tries: it, .. } if it == tries), "{err:?}");
        // Neither the wrong one nor the right one is tried now.
        for settings in [&wrong, &good] {
            assert_eq!(code(Pkcs11Key::open(settings)), next);
        }
        let called = fs::read_to_string(&calls).unwrap();
        assert_eq!(called.lines().filter(|it| *it == "login").count(), 1, "{called}");
    }
}

#[test]
fn a_pin_that_was_changed_is_tried_once_and_then_left_alone() {
    let Some(bed) = Bed::of("a_pin_that_was_changed_is_tried_once_and_then_left_alone") else {
        return;
    };
    let key = Pkcs11Key::generate(&bed.settings("ca"), KeyAlgorithm::EcdsaP256).unwrap();
    // The token comes back as another one of the same name, which has another PIN.
    bed.pull_out();
    assert_eq!(key.sign(MESSAGE).unwrap_err().code(), "sign-token-missing");
    let args = ["--init-token", "--free", "--label", "ca", "--pin", "9999", "--so-pin", "31415"];
    tools::run_ok(tools::softhsm_util(), args, b"");
    in_time(|| (key.sign(MESSAGE).unwrap_err().code() != "sign-token-missing").then_some(()));
    for _ in 0..3 {
        let err = key.sign(MESSAGE).unwrap_err();
        assert_eq!(err.code(), "sign-token-pin");
        assert_eq!(err.to_string(), "the token labelled \"ca\" does not take its PIN any more");
    }
    // Not even when the old one is back: whoever has looked into it opens the key anew.
    bed.plug_in();
    assert_eq!(key.sign(MESSAGE).unwrap_err().code(), "sign-token-pin");
    let opened = in_time(|| Pkcs11Key::open(&bed.settings("ca")).ok());
    assert_eq!(opened.public_key_der(), key.public_key_der());
}

#[test]
fn a_token_that_goes_and_comes_back_is_named_and_found_again() {
    let Some(bed) = Bed::of("a_token_that_goes_and_comes_back_is_named_and_found_again") else {
        return;
    };
    let key = Pkcs11Key::generate(&bed.settings("ca"), KeyAlgorithm::EcdsaP256).unwrap();
    let other = Pkcs11Key::generate(&bed.settings("other"), KeyAlgorithm::Ed25519).unwrap();
    for _ in 0..2 {
        openssl_verifies(&key, MESSAGE, &in_time(|| key.sign(MESSAGE).ok()));
        openssl_verifies(&other, MESSAGE, &other.sign(MESSAGE).unwrap());
        bed.pull_out();
        for _ in 0..2 {
            let err = key.sign(MESSAGE).unwrap_err();
            assert!(matches!(err, SignError::TokenMissing { .. }), "{err:?}");
            assert_eq!(err.to_string(), "the token labelled \"ca\" is missing or does not answer");
        }
        bed.plug_in();
    }
    openssl_verifies(&key, MESSAGE, &in_time(|| key.sign(MESSAGE).ok()));
    // The module was restarted under this one.
    openssl_verifies(&other, MESSAGE, &other.sign(MESSAGE).unwrap());
}

#[test]
fn a_token_that_fails_each_signature_is_restarted_once_and_sees_one_pin() {
    let Some(bed) = Bed::of("a_token_that_fails_each_signature_is_restarted_once_and_sees_one_pin")
    else {
        return;
    };
    let settings = TokenSettings { module: bed.faulty(), ..bed.settings("ca") };
    let key = Pkcs11Key::generate(&settings, KeyAlgorithm::EcdsaP256).unwrap();
    let (calls, fault) = (bed.folder.join("calls"), bed.folder.join("fault"));
    let count = |what: &str| {
        fs::read_to_string(&calls).unwrap().lines().filter(|line| *line == what).count()
    };

    fs::write(&fault, "").unwrap();
    fs::write(&calls, "").unwrap();
    let begun = Instant::now();
    for _ in 0..5 {
        assert_eq!(key.sign(MESSAGE).unwrap_err().code(), "sign-token-missing");
    }
    assert!(begun.elapsed() < RESTART_PAUSE);
    assert_eq!((count("initialize"), count("login")), (1, 1));
    // The first was tried again in another session, and after the restart; the others were not.
    assert_eq!(count("sign"), 3 + 4);

    // What works again needs no restart.
    fs::remove_file(&fault).unwrap();
    openssl_verifies(&key, MESSAGE, &key.sign(MESSAGE).unwrap());
    assert_eq!((count("initialize"), count("login")), (1, 1));
}

#[test]
fn signatures_are_made_at_the_same_time() {
    let Some(bed) = Bed::of("signatures_are_made_at_the_same_time") else { return };
    let key = Pkcs11Key::generate(&bed.settings("ca"), KeyAlgorithm::EcdsaP256).unwrap();
    std::thread::scope(|scope| {
        for thread in 0_u8..8 {
            let key = &key;
            scope.spawn(move || {
                for round in 0_u8..20 {
                    let message = [thread, round];
                    let signature = key.sign(&message).unwrap();
                    let (spki, algorithm) = (key.public_key_der(), key.algorithm());
                    verify(spki, algorithm, key.scheme(), &message, &signature).unwrap();
                }
            });
        }
    });
}
