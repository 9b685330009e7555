//! What this process has written already: whether a refusal may be a forgotten right.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{error::DirectoryError, result_code};

/// The kind of write that makes an object; no attribute has a name with a space.
pub const NEW_OBJECT: &str = "new object";

/// The kinds of writes that have succeeded since the process began: attributes, and [`NEW_OBJECT`].
/// All clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Mutex<BTreeSet<String>>>);

impl Written {
    /// Remembers what could be written, and tells a refusal from one before the first success of its
    /// kind.
    ///
    /// # Errors
    ///
    /// The same, or [`DirectoryError::NeverWritten`] in its place.
    pub fn judge(
        &self,
        kinds: &[impl AsRef<str>],
        result: Result<(), DirectoryError>,
    ) -> Result<(), DirectoryError> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(err) = result else {
            written.extend(kinds.iter().map(|it| it.as_ref().to_owned()));
            return Ok(());
        };
        let all_known = kinds.iter().all(|it| written.contains(it.as_ref()));
        match err.result_code() {
            Some(code) if result_code::MAY_BE_SET_UP_WRONG.contains(&code) && !all_known => {
                Err(DirectoryError::NeverWritten { refusal: err.to_string(), code })
            }
            _ => Err(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result_code::Then;

    #[test]
    fn a_refusal_parks_only_after_a_write_of_its_kind_has_succeeded() {
        let written = Written::default();
        let refused = |kind: &str, code: u32| {
            let (name, said) = (result_code::find(code).name, String::new());
            let err = DirectoryError::Answer { doing: "changing".to_owned(), code, name, said };
            written.judge(&[kind], Err(err)).unwrap_err().then()
        };
        for code in [17, 21, 50] {
            assert_eq!(refused("userCertificate", code), Then::Later, "{code}");
        }
        assert_eq!(refused("userCertificate", 65), Then::Park);
        written.judge(&["userCertificate"], Ok(())).unwrap();
        for code in [17, 21, 50] {
            assert_eq!(refused("userCertificate", code), Then::Park, "{code}");
            assert_eq!(refused("cACertificate", code), Then::Later, "{code}");
            assert_eq!(refused(NEW_OBJECT, code), Then::Later, "{code}");
        }
    }
}
