//! What the operator says: folder, names, format and permissions.

use std::path::PathBuf;

use exeunt_module_kit::manage::{SettingInfo, SettingType};
use exeunt_publication::pattern::{Pattern, Place};

/// Permissions of a published file where nothing is said: everybody may read a certificate.
const MODE_DEFAULT: u32 = 0o644;

/// The pattern where nothing is said.
const PATTERN_DEFAULT: &str = "{serial}.pem";

/// How a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with armour, RFC 7468.
    Pem,
    /// Plain bytes.
    Der,
}

/// The settings, checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder for the files. A relative one starts at the process's working directory, which is the
    /// home of the CA.
    pub directory: PathBuf,
    /// How files are named.
    pub pattern: Pattern,
    /// How certificates are written.
    pub format: Format,
    /// Permissions of the files, whatever the umask.
    pub mode: u32,
}

impl Settings {
    /// Reads the settings as the operator wrote them.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(written: &serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let mut directory = None;
        let mut pattern = None;
        let mut format = Format::Pem;
        let mut mode = MODE_DEFAULT;
        for (name, value) in written {
            let text = || value.as_str().ok_or_else(|| format!("{name} has to be a text"));
            match name.as_str() {
                "directory" => directory = Some(directory_from(text()?)?),
                "pattern" => pattern = Some(text()?),
                "format" => {
                    format = match text()? {
                        "pem" => Format::Pem,
                        "der" => Format::Der,
                        other => {
                            return Err(format!("format is \"pem\" or \"der\", not {other:?}"));
                        }
                    }
                }
                "mode" => mode = mode_from(text()?)?,
                _ => {
                    return Err(format!(
                        "there is no setting {name:?}; there are directory, pattern, format and mode"
                    ));
                }
            }
        }
        let pattern = Pattern::parse(pattern.unwrap_or(PATTERN_DEFAULT), Place::FileName)?;
        let directory = directory.ok_or("directory is missing: say where the files go")?;
        Ok(Self { directory, pattern, format, mode })
    }
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let text = |name: &str, description: &str, default: Option<&str>| SettingInfo {
        name: name.to_owned(),
        kind: SettingType::String,
        description: description.to_owned(),
        default: default.map(Into::into),
        required: default.is_none(),
    };
    let name = "file name; {serial}, {request_id}, {subject_cn} and {template} are filled in";
    vec![
        text("directory", "folder for the certificates", None),
        text("pattern", name, Some(PATTERN_DEFAULT)),
        text("format", "\"pem\" or \"der\"", Some("pem")),
        text("mode", "permissions of the files, octal", Some(&format!("{MODE_DEFAULT:04o}"))),
    ]
}

fn directory_from(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err(format!("directory {text:?} is no path"));
    }
    Ok(PathBuf::from(text))
}

fn mode_from(text: &str) -> Result<u32, String> {
    let octal = !text.is_empty() && text.bytes().all(|it| matches!(it, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        // Without the owner's right to read, the module could not compare what is there.
        Ok(mode) if octal && mode <= 0o777 && mode & 0o400 != 0 => Ok(mode),
        _ => Err(format!(
            "mode {text:?} is no octal number from \"0400\" to \"0777\" that lets the owner read"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn parse(settings: &serde_json::Value) -> Result<Settings, String> {
        Settings::read(settings.as_object().unwrap())
    }

    #[track_caller]
    fn check_refused(settings: &serde_json::Value, expect: &Expect) {
        expect.assert_eq(&parse(settings).unwrap_err());
    }

    #[test]
    fn a_directory_is_all_that_is_needed() {
        let settings = parse(&json!({"directory": "published"})).unwrap();
        assert_eq!(settings.directory, PathBuf::from("published"));
        assert_eq!(settings.pattern, Pattern::parse("{serial}.pem", Place::FileName).unwrap());
        assert_eq!((settings.format, settings.mode), (Format::Pem, 0o644));
    }

    #[test]
    fn every_known_setting_is_read_and_its_default_is_what_counts_without_it() {
        let mut written = serde_json::Map::new();
        written.insert("directory".to_owned(), "published".into());
        let bare = Settings::read(&written).unwrap();
        for info in known().into_iter().filter(|it| !it.required) {
            written.insert(info.name, info.default.unwrap());
        }
        assert_eq!(Settings::read(&written).unwrap(), bare);
        assert_eq!(written.len(), 4);
        written.remove("directory");
        assert!(Settings::read(&written).unwrap_err().contains("directory"));
    }

    #[test]
    fn every_setting_can_be_given() {
        let settings = json!({
            "directory": "/srv/certificates", "pattern": "{request_id}", "format": "der",
            "mode": "0440",
        });
        let settings = parse(&settings).unwrap();
        assert_eq!((settings.format, settings.mode), (Format::Der, 0o440));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        check_refused(&json!({}), &expect!["directory is missing: say where the files go"]);
        check_refused(&json!({"directory": ""}), &expect![[r#"directory "" is no path"#]]);
        check_refused(&json!({"directory": 7}), &expect!["directory has to be a text"]);
        check_refused(
            &json!({"directory": "a", "folder": "b"}),
            &expect![[
                r#"there is no setting "folder"; there are directory, pattern, format and mode"#
            ]],
        );
        check_refused(
            &json!({"directory": "a", "format": "PEM"}),
            &expect![[r#"format is "pem" or "der", not "PEM""#]],
        );
        for mode in ["", "644x", "+644", "0888", "1777", "0200", "77777777777777"] {
            let err = parse(&json!({"directory": "a", "mode": mode})).unwrap_err();
            assert!(err.starts_with(&format!("mode {mode:?} is no octal number")), "{err}");
        }
        check_refused(&json!({"directory": "a", "mode": 644}), &expect!["mode has to be a text"]);
    }
}
