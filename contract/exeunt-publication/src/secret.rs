//! Secrets of a module: passwords, tokens and keys, each in a file of its own.

use std::{
    fmt,
    fs::OpenOptions,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use zeroize::Zeroizing;

/// Largest file of a secret, in octets: a private key with its chain, and room.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// A secret. It is wiped when it is dropped, and is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(..)")
    }
}

impl Secret {
    /// Reads a file that only its owner can read. One line feed at its end does not count, as editors
    /// put one there.
    ///
    /// # Errors
    ///
    /// One line that names the setting and the file: it cannot be read, others can read it, it is
    /// empty or too large.
    pub fn read(setting: &str, path: &Path) -> Result<Self, String> {
        let refused = |why: String| format!("{setting}: {}: {why}", path.display());
        // Not to wait for somebody who writes into a pipe.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map_err(|err| refused(err.to_string()))?;
        let about = file.metadata().map_err(|err| refused(err.to_string()))?;
        if !about.is_file() {
            return Err(refused("it is no file".to_owned()));
        }
        if about.mode() & 0o077 != 0 {
            let mode = about.mode() & 0o777;
            return Err(refused(format!(
                "others than its owner can read it (mode {mode:04o}); say: chmod 600"
            )));
        }
        let mut content = Zeroizing::new(Vec::new());
        file.take(SECRET_BYTES_MAX + 1)
            .read_to_end(&mut content)
            .map_err(|err| refused(err.to_string()))?;
        if SECRET_BYTES_MAX < u64::try_from(content.len()).unwrap_or(u64::MAX) {
            return Err(refused(format!("it is larger than {SECRET_BYTES_MAX} octets")));
        }
        for end in [b'\n', b'\r'] {
            if content.last() == Some(&end) {
                content.pop();
            }
        }
        if content.is_empty() {
            return Err(refused("it is empty".to_owned()));
        }
        Ok(Self(content))
    }

    /// The octets.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, for passwords and tokens.
    ///
    /// # Errors
    ///
    /// One line that names the setting: it is not UTF-8, or has a control character in it, such as a
    /// second line.
    pub fn text(&self, setting: &str) -> Result<&str, String> {
        let text = std::str::from_utf8(&self.0).map_err(|_| format!("{setting}: it is no text"))?;
        if text.chars().any(char::is_control) {
            return Err(format!(
                "{setting}: it has a control character in it; it has to be one line"
            ));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    fn file(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_secret_is_read_without_its_last_line_feed_and_not_shown() {
        for content in [&b"s3cret"[..], b"s3cret\n", b"s3cret\r\n"] {
            let secret = Secret::read("password_file", file(content, 0o600).path()).unwrap();
            assert_eq!(secret.text("password_file"), Ok("s3cret"));
            assert!(!format!("{secret:?}").contains("s3cret"));
        }
    }

    #[test]
    fn a_file_that_others_can_read_that_is_empty_or_too_large_is_refused_by_name() {
        let large = vec![b'x'; usize::try_from(SECRET_BYTES_MAX).unwrap() + 1];
        for (content, mode, said) in [
            (&b"s3cret"[..], 0o640, "mode 0640"),
            (b"\n", 0o600, "it is empty"),
            (&large, 0o600, "larger than"),
        ] {
            let err = Secret::read("password_file", file(content, mode).path()).unwrap_err();
            assert!(err.starts_with("password_file: /") && err.contains(said), "{err}");
        }
        let err = Secret::read("password_file", Path::new("/nowhere/at/all")).unwrap_err();
        assert!(err.starts_with("password_file: /nowhere/at/all: "), "{err}");
        let err = Secret::read("password_file", Path::new("/")).unwrap_err();
        assert!(err.contains("it is no file"), "{err}");
    }

    #[test]
    fn a_password_is_one_line() {
        let secret = Secret::read("p", file(b"one\ntwo\n", 0o600).path()).unwrap();
        assert!(secret.text("p").unwrap_err().contains("one line"));
    }
}
