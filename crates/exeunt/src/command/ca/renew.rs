//! `exeunt ca renew`: a further certificate of the CA, or the request for it. Everything is on the disk
//! before `exeunt.toml` names it, and until then it counts for nothing.

use std::time::Duration;

use exeunt_engine::{CaProfile, Renewal, renewal_request, renewed_root, suffix};
use exeunt_keys::{PinSource, TokenName, random_bytes};
use exeunt_types::{KeyAlgorithm, Serial, UnixMillis};
use exeunt_x509::{CaVersion, encode_pem};

use super::{CERTIFICATE_LABEL, REQUEST_LABEL, Waiting, hold, key_of};
use crate::cli::{KeyOptions, KeyPlace, RenewCa};
use crate::clock::now;
use crate::config::{Config, KeyConfig, RENEWAL_COUNT_MAX};
use crate::failure::Failure;
use crate::home::{Home, open_key};
use crate::manage::{ConfigFile, add_renewal};
use crate::new_key::{KeyFiles, NewKey, left_in_token, new_key};
use crate::output;
use crate::own::{Files, OwnCertificate, address_warnings, read_certificates, replace, to_index};

/// How far a root's `notBefore` lies back: the original's `ClockSkewMinutes`.
const BACKDATE: Duration = Duration::from_mins(10);

pub fn run(options: &RenewCa) -> Result<u8, Failure> {
    let home = Home::at(&options.home)?;
    home.config()?;
    let _held = hold(&home)?;
    let file = ConfigFile::read(&home).map_err(|err| Failure::from_error(err.code(), &err))?;
    let own = read_certificates(&home, &file.config)?;
    let last = own.last().expect("BUG: there is at least the first certificate");
    let is_root = last.issuer.is_self_issued();
    check(&home, options, &file.config, is_root)?;
    let index = to_index(own.len());
    let files = Files::of(index);
    set_aside(&home, &files)?;
    let key = key(&home, options, &file.config, last, &files)?;
    let key_index = if options.new_key { index } else { last.key_index };
    let version = CaVersion { certificate_index: index, key_index };
    let renewal = Renewal { version, previous: Some(last.issuer.der()) };
    let made = if is_root {
        sign_root(&home, options, &key, last, renewal, &file)
    } else {
        ask_parent(&home, &key, last, renewal)
    };
    made.map_err(|err| if key.is_left_in_token { left_in_token(err) } else { err })?;
    tell(&home, options, &files, index, is_root)?;
    let has_keys = options.new_key || own.iter().any(|it| 0 < it.key_index);
    let warnings = address_warnings(&file.config, true, has_keys);
    for warning in &warnings {
        output::warn(warning);
    }
    if !warnings.is_empty() {
        output::warn("change these addresses in exeunt.toml before the server is started again");
    }
    Ok(0)
}

/// What is refused before anything is made.
fn check(home: &Home, options: &RenewCa, config: &Config, is_root: bool) -> Result<(), Failure> {
    let shown = home.path().display();
    if !options.new_key && says_something(&options.key) {
        return Err(Failure::usage("usage-key", "options of a key are for a new one")
            .hint("give --new-key as well"));
    }
    if !is_root && options.validity.is_some() {
        let message = "how long the certificate is valid, says the parent that signs it";
        return Err(Failure::usage("usage-validity", message).hint("leave out --validity"));
    }
    if RENEWAL_COUNT_MAX <= config.renewals.len() {
        let message = format!("a CA is renewed {RENEWAL_COUNT_MAX} times at most");
        return Err(Failure::new("ca-renewals-too-many", message).hint("make a new CA"));
    }
    if let Some(waiting) = Waiting::find(home, config)? {
        let message = format!("the CA waits for the certificate to {}", waiting.request.display());
        return Err(Failure::new("ca-renewal-waiting", message)
            .hint(format!("install it: exeunt ca install FILE --home {shown}"))
            .hint(format!("or give it up: rm '{}'", waiting.request.display())));
    }
    Ok(())
}

fn says_something(options: &KeyOptions) -> bool {
    let KeyOptions { place, key_type, signature_scheme, pkcs11_module, .. } = options;
    place.is_some() || key_type.is_some() || signature_scheme.is_some() || pkcs11_module.is_some()
}

/// What an earlier renewal left that broke off, or that somebody gave up, is not written over: a key may
/// be among it that a parent signs at this moment.
fn set_aside(home: &Home, files: &Files) -> Result<(), Failure> {
    let Files { certificate, chain, request, waiting_key, key, passphrase } = files;
    let at = now().unix_seconds();
    for name in [certificate, chain, request, waiting_key, key, passphrase] {
        let path = home.path().join(name);
        if !path.exists() {
            continue;
        }
        let aside = home.path().join(format!("{name}.{at}.old"));
        std::fs::rename(&path, &aside).map_err(|err| {
            let message = format!("{} cannot be set aside: {err}", path.display());
            Failure::new("home-not-writable", message)
        })?;
        output::warn(&format!("an earlier {name} was in the way and is {} now", aside.display()));
    }
    Ok(())
}

/// The key of the renewal. Of one that the CA has, no table says anything.
fn key(
    home: &Home,
    options: &RenewCa,
    config: &Config,
    last: &OwnCertificate,
    files: &Files,
) -> Result<NewKey, Failure> {
    let old = key_of(config, last);
    if !options.new_key {
        let key = open_key(old)?;
        if key.public_key_der() != last.issuer.spki_der() {
            let message =
                format!("{} and its private key do not belong together", last.path.display());
            return Err(Failure::new("ca-key-mismatch", message));
        }
        return Ok(NewKey { key, entries: Vec::new(), is_left_in_token: false });
    }
    let label = format!("{} {}", config.name, suffix(to_index(config.renewals.len() + 1)));
    let options = like(&options.key, old, last.issuer.key());
    let files = KeyFiles { key: &files.key, passphrase: &files.passphrase };
    new_key(home, &options, &label, files)
}

/// What is not said of a new key is as with the old one.
fn like(options: &KeyOptions, old: &KeyConfig, algorithm: KeyAlgorithm) -> KeyOptions {
    let mut options = options.clone();
    if !options.existing_key {
        let algorithm = *options.key_type.get_or_insert(algorithm);
        // One of another type may not know the scheme of the last one.
        let scheme = old.scheme();
        if scheme.of(algorithm).fits(algorithm) {
            options.signature_scheme.get_or_insert(scheme);
        }
    }
    if let KeyConfig::Pkcs11 { token, .. } = old
        && options.place.is_none()
        && options.pkcs11_module.is_none()
    {
        options.place = Some(KeyPlace::Pkcs11);
        options.pkcs11_module = Some(token.module.clone());
        match &token.token {
            TokenName::Label(label) => options.token = Some(label.clone()),
            TokenName::Serial(serial) => options.token_serial = Some(serial.clone()),
        }
        match &token.pin {
            PinSource::File(path) => options.pin_file = Some(path.clone()),
            PinSource::Variable(name) => options.pin_env = Some(name.clone()),
        }
    }
    options
}

/// A root signs itself.
fn sign_root(
    home: &Home,
    options: &RenewCa,
    key: &NewKey,
    last: &OwnCertificate,
    renewal: Renewal<'_>,
    file: &ConfigFile,
) -> Result<(), Failure> {
    let start = now();
    let seconds = if let Some(validity) = options.validity {
        86_400 * u64::from(validity.0)
    } else {
        let lasted = last.issuer.not_after().abs_diff(last.issuer.not_before()) + 1;
        lasted.saturating_sub(BACKDATE.as_secs())
    };
    let end = start.plus(Duration::from_secs(seconds)).unix_seconds();
    let backdate = i64::try_from(BACKDATE.as_secs()).expect("BUG: ten minutes");
    let profile = CaProfile {
        subject: last.issuer.name().clone(),
        not_before: UnixMillis::from_unix_seconds(start.unix_seconds() - backdate),
        // Both ends count (RFC 5280, section 4.1.2.5).
        not_after: UnixMillis::from_unix_seconds(end - 1),
    };
    let serial = Serial::from_random(random_bytes::<16>()?);
    let der = renewed_root(key.key.as_ref(), &profile, serial, renewal)
        .map_err(|err| Failure::from_error(err.code(), &err))?;
    let name = Files::of(renewal.version.certificate_index).certificate;
    replace(&home.path().join(&name), encode_pem(CERTIFICATE_LABEL, &der).as_bytes())?;
    declare(file, &name, &key.entries)
}

/// Puts a certificate into the configuration: from then on the CA has it.
pub(super) fn declare(
    file: &ConfigFile,
    certificate: &str,
    key: &[(&'static str, String)],
) -> Result<(), Failure> {
    let text = add_renewal(&file.text, certificate, key)
        .map_err(|err| Failure::from_error("config-not-edited", &err))?;
    file.check(&text)
        .and_then(|_| file.replace(&text))
        .map_err(|err| Failure::from_error(err.code(), &err))
}

/// A subordinate CA asks its parent. The request is the last that is written, and says that the CA waits.
fn ask_parent(
    home: &Home,
    key: &NewKey,
    last: &OwnCertificate,
    renewal: Renewal<'_>,
) -> Result<(), Failure> {
    let der = renewal_request(key.key.as_ref(), last.issuer.name(), renewal)
        .map_err(|err| Failure::from_error(err.code(), &err))?;
    let files = Files::of(renewal.version.certificate_index);
    if !key.entries.is_empty() {
        let line = |(name, value): &(&str, String)| {
            format!("{name} = {}\n", toml::Value::String(value.clone()))
        };
        let table: String = key.entries.iter().map(line).collect();
        replace(&home.path().join(files.waiting_key), table.as_bytes())?;
    }
    let pem = encode_pem(REQUEST_LABEL, &der);
    replace(&home.path().join(files.request), pem.as_bytes())
}

fn tell(
    home: &Home,
    options: &RenewCa,
    files: &Files,
    index: u16,
    is_root: bool,
) -> Result<(), Failure> {
    let shown = home.path().display();
    let path = |name: &str| home.path().join(name).display().to_string();
    if is_root {
        output::line(&format!("The CA has a new certificate, number {index}."))?;
        output::line(&format!("  certificate: {}", path(&files.certificate)))?;
    } else {
        output::line(&format!("The CA waits for its certificate number {index}."))?;
        output::line(&format!("  request for the parent CA: {}", path(&files.request)))?;
    }
    if options.new_key && home.path().join(&files.key).exists() {
        output::line(&format!("  private key: {} (encrypted)", path(&files.key)))?;
        output::line(&format!("  its passphrase: {}", path(&files.passphrase)))?;
        output::line("Keep a copy of the key and of the passphrase in different places.")?;
    }
    if is_root {
        output::line(
            "It counts when the server is started again. Give it to those who trust the CA.",
        )
    } else {
        output::line(&format!("Then: exeunt ca install FILE --home {shown}"))
    }
}

#[cfg(test)]
mod tests {
    use exeunt_keys::{KeyName, TokenSettings};

    use super::*;
    use crate::config::{PassphraseSource, SchemeConfig};

    const RSA: KeyAlgorithm = KeyAlgorithm::Rsa { bits: 3072 };

    fn in_file(scheme: SchemeConfig) -> KeyConfig {
        let passphrase = PassphraseSource::Environment("X".to_owned());
        KeyConfig::File { path: "/home/k.pem".into(), passphrase, scheme }
    }

    #[test]
    fn a_new_key_is_like_the_old_one_in_what_is_not_said() {
        use SchemeConfig::{Default as Usual, Pss};
        let p256 = KeyAlgorithm::EcdsaP256;
        for (old, old_type, said_type, said_scheme, made_type, made_scheme) in [
            (Usual, RSA, None, None, RSA, Usual),
            (Pss, RSA, None, None, RSA, Pss),
            (Pss, RSA, Some(RSA), None, RSA, Pss),
            (Pss, RSA, None, Some(Usual), RSA, Usual),
            (Usual, RSA, None, Some(Pss), RSA, Pss),
            (Pss, RSA, Some(p256), None, p256, Usual),
            (Usual, p256, Some(RSA), None, RSA, Usual),
        ] {
            let said = KeyOptions {
                key_type: said_type,
                signature_scheme: said_scheme,
                ..KeyOptions::default()
            };
            let made = like(&said, &in_file(old), old_type);
            assert_eq!((made.key_type, made.scheme()), (Some(made_type), made_scheme), "{said:?}");
            assert_eq!(made.place, None);
        }
    }

    #[test]
    fn a_key_stays_in_its_token_if_nothing_else_is_said() {
        let token = TokenSettings {
            module: "/lib/p11.so".into(),
            token: TokenName::Label("CA".to_owned()),
            key: KeyName::Label("old".to_owned()),
            pin: PinSource::Variable("PIN".to_owned()),
        };
        let old = KeyConfig::Pkcs11 { token, scheme: SchemeConfig::Default };
        let made = like(&KeyOptions::default(), &old, RSA);
        assert_eq!(made.place, Some(KeyPlace::Pkcs11));
        assert_eq!(made.token.as_deref(), Some("CA"));
        assert_eq!(made.key_label, None);
        let said = KeyOptions { place: Some(KeyPlace::File), ..KeyOptions::default() };
        let made = like(&said, &old, RSA);
        assert_eq!((made.place, made.token), (Some(KeyPlace::File), None));
    }
}
