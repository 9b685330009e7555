//! A new private key of the CA: made in a file or in a token, or found in a token, as options say;
//! and what a table of the configuration says of it.

use std::path::Path;

use exeunt_keys::{Passphrase, Pkcs11Key, SigningKey, SoftwareKey, secret_file};
use exeunt_types::KeyAlgorithm;

use crate::cli::{KeyOptions, KeyPlace};
use crate::config::{ConfigError, KeyConfig, KeyTable};
use crate::failure::{Failure, chain};
use crate::home::{Home, token_failure};
use crate::output;

/// The algorithm of a new key, where nothing is said.
const ALGORITHM_DEFAULT: KeyAlgorithm = KeyAlgorithm::EcdsaP256;

/// Files of a key that is kept in one, relative to the home.
#[derive(Clone, Copy, Debug)]
pub struct KeyFiles<'a> {
    /// The key.
    pub key: &'a str,
    /// Its passphrase.
    pub passphrase: &'a str,
}

/// A private key, and where it is.
#[derive(Debug)]
pub struct NewKey {
    /// The key.
    pub key: Box<dyn SigningKey>,
    /// What a table says of it, key by key: all of them texts.
    pub entries: Vec<(&'static str, String)>,
    /// Whether it was made in a token, where nothing removes it again.
    pub is_left_in_token: bool,
}

impl NewKey {
    /// What a table says of it, as lines of TOML with comments.
    pub fn toml(&self) -> String {
        self.entries.iter().fold(String::new(), |text, (key, value)| {
            text + comment(key) + &format!("{key} = {}\n", toml::Value::String(value.clone()))
        })
    }
}

/// What a fresh configuration says of a key of `[key]`.
fn comment(key: &str) -> &'static str {
    match key {
        "file" => {
            "# PKCS#8, encrypted. The passphrase comes from a file that only its owner can read, or from the
# environment: passphrase_env = \"EXEUNT_PASSPHRASE\"
"
        }
        "pkcs11_module" => {
            "# In a PKCS #11 token, which it does not leave: docs/manual/tokens.md. The module is the library of
# the token's maker.
"
        }
        "pin_file" | "pin_env" => {
            "# The PIN comes from a file that only its owner can read (pin_file) or from a variable of the
# environment (pin_env).
"
        }
        "scheme" => {
            "# How the key signs: \"default\", or \"pss\" for an RSA key that is to sign by RSASSA-PSS.
"
        }
        _ => "",
    }
}

/// Makes a key, or finds it in its token. Files are written new, with mode 0600.
///
/// `label` is the name of a key in a token whose options give it none.
///
/// # Errors
///
/// Options that do not go together; a token that is missing, does not take its PIN, has such a key
/// or has none; a key that does not sign by the scheme; what the file system said. Nothing was made
/// then.
pub fn new_key(
    home: &Home,
    options: &KeyOptions,
    label: &str,
    files: KeyFiles<'_>,
) -> Result<NewKey, Failure> {
    let scheme = options.scheme();
    if let Some(algorithm) =
        options.key_type.or((!options.existing_key).then_some(ALGORITHM_DEFAULT))
        && !scheme.of(algorithm).fits(algorithm)
    {
        let message = format!(
            "--signature-scheme {} is for RSA keys, and this is one of type {}",
            scheme.word(),
            algorithm.name()
        );
        return Err(Failure::usage("usage-scheme", message).hint("give --key-type rsa-3072"));
    }
    match options.place {
        None | Some(KeyPlace::File) => in_file(home, options, files),
        Some(KeyPlace::Pkcs11) => in_token(home, options, label),
    }
}

fn in_file(home: &Home, options: &KeyOptions, files: KeyFiles<'_>) -> Result<NewKey, Failure> {
    if options.pkcs11_module.is_some() {
        let message = "--pkcs11-module is for a key in a token";
        return Err(Failure::usage("usage-key", message).hint("give --key pkcs11 as well"));
    }
    let algorithm = options.key_type.unwrap_or(ALGORITHM_DEFAULT);
    let key = output::with_progress("making the key", || SoftwareKey::generate(algorithm))?
        .with_scheme(options.scheme().of(algorithm))?;
    let passphrase = Passphrase::generate()?;
    let pem = key.to_encrypted_pem(&passphrase)?;
    let KeyFiles { key: key_file, passphrase: passphrase_file } = files;
    let passphrase = format!("{}\n", passphrase.expose());
    secret_file::write_new(&home.path().join(passphrase_file), passphrase.as_bytes())?;
    secret_file::write_new(&home.path().join(key_file), pem.as_bytes())?;
    let mut entries =
        vec![("file", key_file.to_owned()), ("passphrase_file", passphrase_file.to_owned())];
    entries.push(("scheme", options.scheme().word().to_owned()));
    Ok(NewKey { key: Box::new(key), entries, is_left_in_token: false })
}

fn in_token(home: &Home, options: &KeyOptions, label: &str) -> Result<NewKey, Failure> {
    let table = table(options, label)?;
    let config = KeyConfig::checked("key", &table, home.path()).map_err(|err| as_usage(&err))?;
    let KeyConfig::Pkcs11 { token, scheme } = config else {
        return Err(Failure::usage("usage-key", "--key pkcs11 needs --pkcs11-module"));
    };
    let opened = if options.existing_key {
        Pkcs11Key::open(&token)
    } else {
        let algorithm = options.key_type.unwrap_or(ALGORITHM_DEFAULT);
        output::with_progress("making the key", || Pkcs11Key::generate(&token, algorithm))
    };
    let key = opened.map_err(|err| {
        let code = err.code();
        let failure = token_failure(err, &token);
        match code {
            "token-key-exists" => {
                failure.hint("choose another --key-label").hint("or take that key: --existing-key")
            }
            "token-key-missing" => failure.hint("without --existing-key it is made"),
            _ => failure,
        }
    })?;
    let algorithm = key.algorithm();
    if let Some(wanted) = options.key_type.filter(|it| *it != algorithm) {
        let message = format!(
            "the {} in the {} is of type {}, not {}",
            token.key,
            token.token,
            algorithm.name(),
            wanted.name()
        );
        return Err(Failure::new("key-type-other", message).hint("leave out --key-type"));
    }
    let key = if scheme.of(algorithm) == key.scheme() {
        key
    } else {
        key.with_scheme(scheme.of(algorithm)).map_err(|err| {
            let failure = token_failure(err, &token);
            if options.existing_key { failure } else { left_in_token(failure) }
        })?
    };
    let entries = entries(table)?;
    Ok(NewKey { key: Box::new(key), entries, is_left_in_token: !options.existing_key })
}

/// Says that a failure left a key in the token.
pub fn left_in_token(failure: Failure) -> Failure {
    failure.hint("the key was made and stays in the token: take it with --existing-key next time")
}

/// The table that the options make, with absolute paths: the token is no part of the home.
fn table(options: &KeyOptions, label: &str) -> Result<KeyTable, Failure> {
    let KeyOptions {
        place: _,
        key_type: _,
        signature_scheme: _,
        pkcs11_module,
        token,
        token_serial,
        key_label,
        key_id,
        pin_file,
        pin_env,
        existing_key: _,
    } = options;
    let missing =
        |what: &str| Err(Failure::usage("usage-key", format!("--key pkcs11 needs {what}")));
    if token.is_none() && token_serial.is_none() {
        return missing("--token, the label of the token, or --token-serial");
    }
    if pin_file.is_none() && pin_env.is_none() {
        return missing("--pin-file or --pin-env, where the token's PIN comes from");
    }
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|err| Failure::from_error("home-unreadable", &err))
    };
    let key_label = key_label.clone().or_else(|| key_id.is_none().then(|| label.to_owned()));
    Ok(KeyTable {
        pkcs11_module: pkcs11_module.as_deref().map(absolute).transpose()?,
        token: token.clone(),
        token_serial: token_serial.clone(),
        key_label,
        key_id: key_id.clone(),
        pin_file: pin_file.as_deref().map(absolute).transpose()?,
        pin_env: pin_env.clone(),
        scheme: Some(options.scheme().word().to_owned()),
        ..KeyTable::default()
    })
}

/// The keys of a table that were given, in the order of the manual.
fn entries(table: KeyTable) -> Result<Vec<(&'static str, String)>, Failure> {
    let path = |it: Option<std::path::PathBuf>| {
        it.map(|it| {
            it.into_os_string().into_string().map_err(|it| {
                let message =
                    format!("{} is not UTF-8, and cannot stand in exeunt.toml", it.display());
                Failure::usage("usage-path", message)
            })
        })
        .transpose()
    };
    let all = [
        ("pkcs11_module", path(table.pkcs11_module)?),
        ("token", table.token),
        ("token_serial", table.token_serial),
        ("key_label", table.key_label),
        ("key_id", table.key_id),
        ("pin_file", path(table.pin_file)?),
        ("pin_env", table.pin_env),
        ("scheme", table.scheme),
    ];
    Ok(all.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect())
}

/// What is wrong with a key of the table is wrong with an option.
fn as_usage(error: &ConfigError) -> Failure {
    let message = match error {
        ConfigError::Value { key, reason } => {
            let option = key.rsplit('.').next().unwrap_or(key).replace('_', "-");
            format!("--{option}: {reason}")
        }
        other => chain(other),
    };
    Failure::usage("usage-key", message)
}
