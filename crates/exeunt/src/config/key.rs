//! `[key]`, checked: where the CA's private key is, and how it signs. A `[[renewal]]` with a key of
//! its own has the same keys.

use std::path::{Path, PathBuf};

use exeunt_keys::{KeyName, PinSource, TokenName, TokenSettings};
use exeunt_types::{KeyAlgorithm, SignatureScheme};

use super::file::KeyTable;
use super::{ConfigError, value_error};

/// Longest label of a token, in octets: what PKCS #11 has room for (`CK_TOKEN_INFO`).
const TOKEN_LABEL_BYTES_MAX: usize = 32;
/// Longest serial number of a token, in octets: what PKCS #11 has room for (`CK_TOKEN_INFO`).
const TOKEN_SERIAL_BYTES_MAX: usize = 16;
/// Longest label or id of a key in a token, in octets. PKCS #11 has no limit; our choice.
const KEY_NAME_BYTES_MAX: usize = 255;

/// Where a private key of the CA is, and how it signs. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyConfig {
    /// In a file.
    File {
        /// Encrypted PKCS#8 in PEM.
        path: PathBuf,
        /// Where its passphrase comes from.
        passphrase: PassphraseSource,
        /// How it signs.
        scheme: SchemeConfig,
    },
    /// In a PKCS #11 token.
    Pkcs11 {
        /// Module, token, key and where the PIN comes from.
        token: TokenSettings,
        /// How it signs.
        scheme: SchemeConfig,
    },
}

/// Where the passphrase of a key in a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PassphraseSource {
    /// A file that only its owner can read.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
}

/// How a key signs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SchemeConfig {
    /// As keys of its algorithm usually do; RSA by PKCS #1 v1.5 with SHA-256.
    #[default]
    Default,
    /// RSASSA-PSS with SHA-256; for RSA keys alone.
    Pss,
}

impl SchemeConfig {
    /// Every one of them.
    pub const ALL: [Self; 2] = [Self::Default, Self::Pss];

    /// Its word in the configuration and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Pss => "pss",
        }
    }

    /// The scheme of a key. Whether the key can sign by it, the key knows.
    pub fn of(self, algorithm: KeyAlgorithm) -> SignatureScheme {
        match self {
            Self::Default => algorithm.default_scheme(),
            Self::Pss => SignatureScheme::RsaPssSha256,
        }
    }
}

impl KeyConfig {
    /// How the key signs.
    pub fn scheme(&self) -> SchemeConfig {
        match self {
            Self::File { scheme, .. } | Self::Pkcs11 { scheme, .. } => *scheme,
        }
    }

    /// The files that nobody else, modules least of all, is to read: the key, what opens it, the PIN.
    pub fn secret_files(&self) -> Vec<&Path> {
        match self {
            Self::File { path, passphrase: PassphraseSource::File(word), .. } => vec![path, word],
            Self::File { path, passphrase: PassphraseSource::Environment(_), .. } => vec![path],
            Self::Pkcs11 { token, .. } => match &token.pin {
                PinSource::File(path) => vec![path],
                PinSource::Variable(_) => Vec::new(),
            },
        }
    }

    /// Checks the keys of a table that says where a private key is. `at` is the table's name, for
    /// errors; relative paths are relative to `home`. Whether the key is there is not looked at, and
    /// what else stands in the table is not either.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`]: neither a file nor a token, both, or half of one.
    pub fn checked(at: &str, table: &KeyTable, home: &Path) -> Result<Self, ConfigError> {
        let KeyTable {
            file,
            passphrase_file,
            passphrase_env,
            pkcs11_module,
            token,
            token_serial,
            key_label,
            key_id,
            pin_file,
            pin_env,
            scheme,
            check_signatures: _,
        } = table;
        let scheme = scheme_of(at, scheme.as_deref())?;
        let of_file = [
            ("passphrase_file", passphrase_file.is_some()),
            ("passphrase_env", passphrase_env.is_some()),
        ];
        let of_token = [
            ("token", token.is_some()),
            ("token_serial", token_serial.is_some()),
            ("key_label", key_label.is_some()),
            ("key_id", key_id.is_some()),
            ("pin_file", pin_file.is_some()),
            ("pin_env", pin_env.is_some()),
        ];
        match (file, pkcs11_module) {
            (Some(file), None) => {
                none_of(at, &of_token, "is for keys in a token, and needs pkcs11_module")?;
                let passphrase = match (passphrase_file, passphrase_env) {
                    (Some(path), None) => PassphraseSource::File(home.join(path)),
                    (None, Some(name)) => PassphraseSource::Environment(name.clone()),
                    _ => {
                        let reason = "give exactly one of passphrase_file and passphrase_env";
                        return Err(value_error(at, reason));
                    }
                };
                Ok(Self::File { path: home.join(file), passphrase, scheme })
            }
            (None, Some(module)) => {
                none_of(at, &of_file, "is for keys in a file; a token has pin_file or pin_env")?;
                let token = TokenSettings {
                    module: home.join(module),
                    token: token_name(at, token.as_ref(), token_serial.as_ref())?,
                    key: key_name(at, key_label.as_ref(), key_id.as_deref())?,
                    pin: match (pin_file, pin_env) {
                        (Some(path), None) => PinSource::File(home.join(path)),
                        (None, Some(name)) => PinSource::Variable(name.clone()),
                        _ => {
                            return Err(value_error(
                                at,
                                "give exactly one of pin_file and pin_env",
                            ));
                        }
                    },
                };
                Ok(Self::Pkcs11 { token, scheme })
            }
            _ => Err(value_error(
                at,
                "give exactly one of file, for a key in a file, and pkcs11_module, for one in a token",
            )),
        }
    }
}

fn none_of(at: &str, keys: &[(&str, bool)], reason: &str) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(value_error(format!("{at}.{key}"), reason)),
        None => Ok(()),
    }
}

fn scheme_of(at: &str, word: Option<&str>) -> Result<SchemeConfig, ConfigError> {
    let Some(word) = word else { return Ok(SchemeConfig::Default) };
    SchemeConfig::ALL.into_iter().find(|it| it.word() == word).ok_or_else(|| {
        let known = SchemeConfig::ALL.map(SchemeConfig::word).join("\" or \"");
        value_error(format!("{at}.scheme"), format!("must be \"{known}\""))
    })
}

fn token_name(
    at: &str,
    label: Option<&String>,
    serial: Option<&String>,
) -> Result<TokenName, ConfigError> {
    match (label, serial) {
        (Some(label), None) => {
            text(&format!("{at}.token"), label, TOKEN_LABEL_BYTES_MAX)?;
            Ok(TokenName::Label(label.clone()))
        }
        (None, Some(serial)) => {
            text(&format!("{at}.token_serial"), serial, TOKEN_SERIAL_BYTES_MAX)?;
            Ok(TokenName::Serial(serial.clone()))
        }
        _ => Err(value_error(at, "give exactly one of token and token_serial")),
    }
}

fn key_name(at: &str, label: Option<&String>, id: Option<&str>) -> Result<KeyName, ConfigError> {
    match (label, id) {
        (Some(label), None) => {
            text(&format!("{at}.key_label"), label, KEY_NAME_BYTES_MAX)?;
            Ok(KeyName::Label(label.clone()))
        }
        (None, Some(id)) => {
            let id = hex(id).filter(|it| (1..=KEY_NAME_BYTES_MAX).contains(&it.len()));
            id.map(KeyName::Id).ok_or_else(|| {
                let reason =
                    format!("must be 1 to {KEY_NAME_BYTES_MAX} octets in hexadecimal, as \"01a2\"");
                value_error(format!("{at}.key_id"), reason)
            })
        }
        _ => Err(value_error(at, "give exactly one of key_label and key_id")),
    }
}

fn text(key: &str, value: &str, bytes_max: usize) -> Result<(), ConfigError> {
    // A token fills its label up with blanks, so that one at the end is no part of it.
    let good = (1..=bytes_max).contains(&value.len())
        && !value.contains(char::is_control)
        && !value.ends_with(' ');
    if good {
        return Ok(());
    }
    let reason = format!("must be 1 to {bytes_max} bytes without controls, and end with no blank");
    Err(value_error(key, reason))
}

/// Octets from hexadecimal digits in any case; none if there is anything else.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.bytes().all(|it| it.is_ascii_hexdigit()) || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<KeyConfig, String> {
        let table: KeyTable = toml::from_str(text).unwrap();
        KeyConfig::checked("key", &table, Path::new("/home")).map_err(|it| it.to_string())
    }

    const TOKEN: &str = "pkcs11_module = '/m.so'\ntoken = 'ca'\npin_env = 'PIN'\n";

    #[test]
    fn a_key_is_in_a_file_or_in_a_token() {
        let file = checked("file = 'k.pem'\npassphrase_env = 'X'\nscheme = 'pss'").unwrap();
        let expected = KeyConfig::File {
            path: "/home/k.pem".into(),
            passphrase: PassphraseSource::Environment("X".to_owned()),
            scheme: SchemeConfig::Pss,
        };
        assert_eq!(file, expected);
        assert_eq!(file.secret_files(), [Path::new("/home/k.pem")]);
        let token =
            "pkcs11_module = '/m.so'\ntoken_serial = '12ab'\nkey_id = '00fF'\npin_file = 'p'";
        let token = checked(token).unwrap();
        let KeyConfig::Pkcs11 { token: settings, scheme } = &token else { panic!("{token:?}") };
        assert_eq!(settings.module, Path::new("/m.so"));
        assert_eq!(settings.token, TokenName::Serial("12ab".to_owned()));
        assert_eq!(settings.key, KeyName::Id(vec![0, 0xff]));
        assert_eq!(*scheme, SchemeConfig::Default);
        assert_eq!(token.secret_files(), [Path::new("/home/p")]);
    }

    #[test]
    fn half_a_key_is_refused_by_the_name_of_what_is_wrong() {
        let long = format!("{TOKEN}key_label = '{}'", "x".repeat(256));
        for (text, expected) in [
            ("", "key: give exactly one of file, "),
            ("file = 'k'\npkcs11_module = 'm'", "key: give exactly one of file, "),
            ("file = 'k'", "key: give exactly one of passphrase_file "),
            ("file = 'k'\npassphrase_env = 'X'\npin_env = 'P'", "key.pin_env: is for keys in a"),
            (TOKEN, "key: give exactly one of key_label and key_id"),
            (&format!("{TOKEN}key_label = ''"), "key.key_label: must be 1 to 255 bytes"),
            (&format!("{TOKEN}key_label = 'a '"), "key.key_label: must be 1 to 255 bytes"),
            (&long, "key.key_label: must be 1 to 255 bytes"),
            (&format!("{TOKEN}key_id = '1'"), "key.key_id: must be 1 to 255 octets"),
            (&format!("{TOKEN}key_id = ''"), "key.key_id: must be 1 to 255 octets"),
            (&format!("{TOKEN}key_id = '+1'"), "key.key_id: must be 1 to 255 octets"),
            (&format!("{TOKEN}key_id = '0ü'"), "key.key_id: must be 1 to 255 octets"),
            (&format!("{TOKEN}token_serial = '1'"), "key: give exactly one of token and token_"),
            (&format!("{TOKEN}passphrase_env = 'X'"), "key.passphrase_env: is for keys in a file"),
            (&format!("{TOKEN}scheme = 'PSS'"), "key.scheme: must be \"default\" or \"pss\""),
        ] {
            let refused = checked(text).unwrap_err();
            assert!(refused.starts_with(expected), "{text:?}: {refused}");
        }
    }
}
