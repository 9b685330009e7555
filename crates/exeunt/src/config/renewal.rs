//! `[[renewal]]`, checked: each further certificate of the CA, with its key where that is a new one.

use std::path::{Path, PathBuf};

use super::file::RenewalTable;
use super::key::KeyConfig;
use super::{ConfigError, value_error};

/// Most renewals of a CA. The index of a certificate could have 16 bits; a CA that is renewed each year
/// comes to this in two hundred and fifty.
pub const RENEWAL_COUNT_MAX: usize = 255;

/// A renewal of the CA. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalConfig {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key; none where the CA had it before.
    pub key: Option<KeyConfig>,
}

pub fn checked(tables: Vec<RenewalTable>, home: &Path) -> Result<Vec<RenewalConfig>, ConfigError> {
    if RENEWAL_COUNT_MAX < tables.len() {
        return Err(value_error("renewal", format!("there are more than {RENEWAL_COUNT_MAX}")));
    }
    let each = |(index, RenewalTable { certificate, key }): (usize, RenewalTable)| {
        let at = format!("renewal {index}: key");
        if key.as_ref().is_some_and(|it| it.check_signatures) {
            let reason = "is for all keys of the CA, and stands in [key]";
            return Err(value_error(format!("{at}.check_signatures"), reason));
        }
        let key = key.map(|it| KeyConfig::checked(&at, &it, home)).transpose()?;
        Ok(RenewalConfig { certificate: home.join(certificate), key })
    };
    // Numbered as the CA's certificates are: the first one is that of [ca].
    (1..).zip(tables).map(each).collect()
}
