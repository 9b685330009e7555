//! Options that say where a private key of the CA is made, and how it signs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use exeunt_types::KeyAlgorithm;

use crate::config::SchemeConfig;

/// Where a private key of the CA is, and how it signs.
#[derive(Clone, Debug, Default, Args)]
pub struct KeyOptions {
    /// Where the private key is kept; a first one in a file, a later one where the last one is, if
    /// not given
    #[arg(long = "key", value_name = "WHERE", value_enum)]
    pub place: Option<KeyPlace>,

    /// Algorithm and size of the key; ecdsa-p256 for a first one, those of the last one for a later
    /// one, if not given
    #[arg(long, value_name = "TYPE", value_parser = key_type)]
    pub key_type: Option<KeyAlgorithm>,

    /// How the key signs: `default`, or `pss`, which has an RSA key sign by RSASSA-PSS, for everything
    /// that it signs; a later one as the last one, if not given
    #[arg(long, value_name = "SCHEME", value_parser = scheme)]
    pub signature_scheme: Option<SchemeConfig>,

    /// The library of the token's maker, for --key pkcs11
    #[arg(long, value_name = "FILE", required_if_eq("place", "pkcs11"))]
    pub pkcs11_module: Option<PathBuf>,

    /// Label of the token
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module", conflicts_with = "token_serial")]
    pub token: Option<String>,

    /// Serial number of the token, where several have one label
    #[arg(long, value_name = "SERIAL", requires = "pkcs11_module")]
    pub token_serial: Option<String>,

    /// Label of the private key in the token; the CA's name if not given
    #[arg(long, value_name = "LABEL", requires = "pkcs11_module", conflicts_with = "key_id")]
    pub key_label: Option<String>,

    /// Id of the private key in the token, in hexadecimal
    #[arg(long, value_name = "HEX", requires = "pkcs11_module")]
    pub key_id: Option<String>,

    /// File with the PIN of the token's user, which only its owner can read
    #[arg(long, value_name = "FILE", requires = "pkcs11_module", conflicts_with = "pin_env")]
    pub pin_file: Option<PathBuf>,

    /// Variable of the environment with the PIN, now and whenever the server starts
    #[arg(long, value_name = "NAME", requires = "pkcs11_module")]
    pub pin_env: Option<String>,

    /// Take the key of that name that is in the token already, instead of making one
    #[arg(long, requires = "pkcs11_module")]
    pub existing_key: bool,
}

/// Where a private key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyPlace {
    /// In an encrypted file of the home.
    File,
    /// In a PKCS #11 token, which it never leaves.
    Pkcs11,
}

impl KeyOptions {
    /// How the key signs, where nothing is said as its type does.
    pub fn scheme(&self) -> SchemeConfig {
        self.signature_scheme.unwrap_or(SchemeConfig::Default)
    }
}

fn key_type(text: &str) -> Result<KeyAlgorithm, String> {
    KeyAlgorithm::KEY_TYPES.into_iter().find(|it| it.name() == text).ok_or_else(|| {
        let known: Vec<String> =
            KeyAlgorithm::KEY_TYPES.into_iter().map(KeyAlgorithm::name).collect();
        format!("one of: {}", known.join(", "))
    })
}

fn scheme(text: &str) -> Result<SchemeConfig, String> {
    SchemeConfig::ALL
        .into_iter()
        .find(|it| it.word() == text)
        .ok_or_else(|| format!("one of: {}", SchemeConfig::ALL.map(SchemeConfig::word).join(", ")))
}
