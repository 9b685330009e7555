//! PEM armour (RFC 7468) on and off.

use pem_rfc7468::{Decoder, LineEnding};
use std::borrow::Cow;

/// First octet of every DER structure that is handled here: a SEQUENCE. No PEM file starts with
/// it unless somebody wrote a zero before the armour.
const DER_START: u8 = 0x30;

/// Why an input is neither the DER nor the PEM that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// No armour, broken armour, or text that is not base64.
    #[error("input is neither DER nor well-formed PEM")]
    Malformed {
        /// What the decoder said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Good armour around something else.
    #[error("PEM holds a {found:?}, not a {wanted:?}")]
    Label {
        /// Label that was found, at most 64 characters of it.
        found: String,
        /// The first label that was allowed.
        wanted: String,
    },
}

impl PemError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "pem-malformed",
            Self::Label { .. } => "pem-label",
        }
    }
}

/// Puts DER into PEM armour: 64 columns, line feeds.
#[must_use]
pub fn encode_pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, LineEnding::LF, der)
        .expect("BUG: labels are plain capital words, and memory held the DER already")
}

/// Takes the armour off if there is any; DER passes as it is.
///
/// One block with one of the `labels`; text before it is skipped, text after it is refused.
///
/// # Errors
///
/// [`PemError`] tells broken armour from armour around something else.
pub fn decode_pem_or_der<'a>(input: &'a [u8], labels: &[&str]) -> Result<Cow<'a, [u8]>, PemError> {
    if input.first() == Some(&DER_START) {
        return Ok(Cow::Borrowed(input));
    }
    let malformed = |err: pem_rfc7468::Error| PemError::Malformed { source: err.into() };
    let mut decoder = Decoder::new_detect_wrap(input.trim_ascii()).map_err(malformed)?;
    let found = decoder.type_label();
    if !labels.contains(&found) {
        let found = found.chars().take(64).collect();
        let wanted = labels.first().copied().unwrap_or_default().to_owned();
        return Err(PemError::Label { found, wanted });
    }
    let mut der = Vec::with_capacity(decoder.remaining_len());
    decoder.decode_to_end(&mut der).map_err(malformed)?;
    Ok(Cow::Owned(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour_comes_off_as_it_went_on() {
        for len in [1, 47, 48, 49, 96, 1000] {
            let der = vec![0x30; len];
            let pem = encode_pem("CERTIFICATE", &der);
            assert_eq!(decode_pem_or_der(pem.as_bytes(), &["CERTIFICATE"]).unwrap(), der);
            let windows = pem.replace('\n', "\r\n");
            assert_eq!(decode_pem_or_der(windows.as_bytes(), &["CERTIFICATE"]).unwrap(), der);
            let spaced = format!("Subject: somebody\n{pem}\n\n");
            assert_eq!(decode_pem_or_der(spaced.as_bytes(), &["CERTIFICATE"]).unwrap(), der);
        }
    }

    #[test]
    fn foreign_or_broken_armour_is_refused() {
        let pem = encode_pem("PRIVATE KEY", &[1, 2, 3]);
        let err = decode_pem_or_der(pem.as_bytes(), &["CERTIFICATE"]).unwrap_err();
        assert_eq!(err.to_string(), "PEM holds a \"PRIVATE KEY\", not a \"CERTIFICATE\"");
        let twice = encode_pem("CERTIFICATE", &[1]).repeat(2);
        let header = "-----BEGIN CERTIFICATE-----\nA: b\n\nAQID\n-----END CERTIFICATE-----\n";
        for bad in ["", "hello", &twice, header, "-----BEGIN CERTIFICATE-----\n"] {
            let err = decode_pem_or_der(bad.as_bytes(), &["CERTIFICATE"]).unwrap_err();
            assert_eq!(err.code(), "pem-malformed", "{bad:?}");
        }
    }
}
