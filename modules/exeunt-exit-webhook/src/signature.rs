//! Signatures by the scheme of Standard Webhooks: HMAC-SHA256 over id, time and body.
//!
//! Receivers verify them with the library of that name, which there is for most languages, or in a
//! few lines of their own.

use std::path::Path;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_publication::secret::Secret;
use zeroize::Zeroizing;

/// Most keys at the same time: the one in use, and those that it comes from and goes to.
pub const KEYS_MAX: usize = 8;

/// Fewest and most octets of a key (Standard Webhooks, section on signatures).
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What the scheme writes before the base64 of a symmetric key.
const KEY_PREFIX: &str = "whsec_";

/// The keys, in the order of the file. They are wiped when they are dropped.
pub struct Keys(Vec<hmac::Key>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Keys").field("count", &self.0.len()).finish()
    }
}

impl Keys {
    /// Reads a file with a key a line: base64, with `whsec_` before it or without.
    ///
    /// # Errors
    ///
    /// One line that names the setting and the file, and nothing of what is in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        const SETTING: &str = "secret_file";
        let refused = |why: String| format!("{SETTING}: {}: {why}", path.display());
        let secret = Secret::read(SETTING, path)?;
        let text =
            std::str::from_utf8(secret.bytes()).map_err(|_| refused("no text".to_owned()))?;
        let keys = text
            .lines()
            .map(str::trim)
            .enumerate()
            .filter(|(_, line)| !line.is_empty())
            .map(|(index, line)| {
                key(line).ok_or_else(|| {
                    refused(format!(
                        "line {} is no key: base64 of {} to {} octets",
                        index + 1,
                        KEY_BYTES.start(),
                        KEY_BYTES.end()
                    ))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err(refused("it holds no key".to_owned())),
            count if KEYS_MAX < count => Err(refused(format!("more than {KEYS_MAX} keys"))),
            _ => Ok(Self(keys)),
        }
    }

    /// The value of `webhook-signature`: one signature for each key, with blanks between. `timestamp`
    /// is in seconds since 1970.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signatures: Vec<String> = self
            .0
            .iter()
            .map(|key| {
                let mut context = hmac::Context::with_key(key);
                context.update(format!("{id}.{timestamp}.").as_bytes());
                context.update(body);
                format!("v1,{}", STANDARD.encode(context.sign()))
            })
            .collect();
        signatures.join(" ")
    }
}

fn key(line: &str) -> Option<hmac::Key> {
    let encoded = line.strip_prefix(KEY_PREFIX).unwrap_or(line);
    // Room for what the decoder reckons with, which counts in groups of three octets.
    let mut octets = Zeroizing::new([0; *KEY_BYTES.end() + 3]);
    let count = STANDARD.decode_slice(encoded, octets.as_mut_slice()).ok()?;
    let octets = octets.get(..count).filter(|it| KEY_BYTES.contains(&it.len()))?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    fn read(content: &str) -> Result<Keys, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
        Keys::read(file.path())
    }

    /// The example of the specification's own test vectors (Standard Webhooks, libraries).
    const EXAMPLE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn the_published_example_is_signed_as_published() {
        let keys = read(EXAMPLE).unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signature = keys.sign(id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_key_signs_in_the_order_of_the_file() {
        let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let both = read(&format!("\n{other}\n\n{EXAMPLE}\n")).unwrap().sign("a", 1, b"b");
        let one = |key: &str| read(key).unwrap().sign("a", 1, b"b");
        assert_eq!(both, format!("{} {}", one(other), one(EXAMPLE)));
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_and_not_shown() {
        let short = STANDARD.encode([1; 23]);
        let long = STANDARD.encode([1; 65]);
        for (content, said) in [
            (short.as_str(), "line 1 is no key"),
            (&long, "line 1 is no key"),
            (&format!("{EXAMPLE}\nhunter2hunter2hunter2hunter2!!"), "line 2 is no key"),
            (&format!("{EXAMPLE}\n").repeat(KEYS_MAX + 1), "more than 8 keys"),
            (" \n ", "it holds no key"),
        ] {
            let err = read(content).unwrap_err();
            assert!(err.starts_with("secret_file: /") && err.contains(said), "{err}");
            assert!(!err.contains("hunter2") && !err.contains("MfKQ"), "{err}");
        }
        assert_eq!(format!("{:?}", read(EXAMPLE).unwrap()), "Keys { count: 1 }");
    }
}
