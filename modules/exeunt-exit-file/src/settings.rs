//! What the operator says: folder, what is published into it, names, format and permissions.

use std::path::PathBuf;

use exeunt_module_kit::manage::{SettingInfo, SettingType};
use exeunt_publication::{
    pattern::{Pattern, Place},
    settings::Reader,
    url::Template,
};
use serde_json::{Map, Value as Json};

use crate::group;

/// Permissions of a published file where nothing is said: everybody may read a certificate.
const MODE_DEFAULT: u32 = 0o644;

/// The pattern where nothing is said.
const PATTERN_DEFAULT: &str = "{serial}.pem";

/// Names of CA certificates where nothing is said: the original's.
const CA_CERTIFICATE_NAME_DEFAULT: &str = "%1_%3%4.crt";

/// Names of revocation lists where nothing is said: the original's.
const LIST_NAME_DEFAULT: &str = "%3%8<CRLPartitionIndex>%9.crl";

/// Longest time that expired certificates are kept, in days: a hundred years.
const KEEP_EXPIRED_DAYS_MAX: u64 = 36_525;

/// How a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with armour, RFC 7468.
    Pem,
    /// Plain bytes.
    Der,
}

/// Which issued certificates become files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// Each, under the name of the pattern.
    Always,
    /// Those whose request has an attribute `CertFile`, as `<RequestID>.cer`.
    OnRequest,
    /// None.
    Never,
}

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Folder for the files. A relative one starts at the process's working directory, which is the
    /// home of the CA.
    pub directory: PathBuf,
    /// Which issued certificates become files.
    pub certificates: Certificates,
    /// How certificates are named.
    pub pattern: Pattern,
    /// How certificates are written.
    pub format: Format,
    /// Name of a link to the newest of several certificates; none without one.
    pub latest: Option<Pattern>,
    /// Names of the CA's own certificates, where they are published.
    pub ca_certificates: Option<Template>,
    /// Names of revocation lists, where they are published.
    pub lists: Option<Template>,
    /// Whether delta lists are published beside base lists.
    pub delta_lists: bool,
    /// How long a certificate's file stays after the certificate has expired, in days; for ever
    /// where nothing is said.
    pub keep_expired_days: Option<u64>,
    /// Permissions of the files, whatever the umask.
    pub mode: u32,
    /// Group that the files belong to, by its number.
    pub group: Option<u32>,
}

impl Settings {
    /// Reads the settings as the operator wrote them.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(written: &Map<String, Json>) -> Result<Self, String> {
        let mut it = Reader::new(written);
        let directory = it.any("directory");
        let certificates = it.choice(
            "certificates",
            &[
                ("always", Certificates::Always),
                ("on-request", Certificates::OnRequest),
                ("never", Certificates::Never),
            ],
        )?;
        let pattern = text(&mut it, "pattern")?.unwrap_or(PATTERN_DEFAULT);
        let format = match text(&mut it, "format")? {
            None | Some("pem") => Format::Pem,
            Some("der") => Format::Der,
            Some(other) => return Err(format!("format is \"pem\" or \"der\", not {other:?}")),
        };
        let latest = text(&mut it, "latest")?;
        if latest == Some(pattern) {
            return Err("latest is the same as pattern: a name is a file or a link".to_owned());
        }
        let ca_certificates = it.boolean("ca_certificates")?.unwrap_or(false);
        let ca_certificate_name = text(&mut it, "ca_certificate_name")?;
        let lists = it.boolean("lists")?.unwrap_or(false);
        let delta_lists = it.boolean("delta_lists")?.unwrap_or(lists);
        let list_name = text(&mut it, "list_name")?;
        let keep_expired_days = it.number("keep_expired_days", 0..=KEEP_EXPIRED_DAYS_MAX)?;
        let mode = it.any("mode").map_or(Ok(MODE_DEFAULT), mode_from)?;
        let group = it.text("group")?.map(group::number_of).transpose()?;
        it.finish()?;
        if delta_lists && !lists {
            return Err("delta_lists needs lists: a delta is of no use without its base".to_owned());
        }
        let name = |key: &str, text: &str| {
            Template::parse(text)
                .map_err(|err| format!("{key}: {err}"))
                .and_then(|it| file_name(key, it))
        };
        let ca_certificate_name = name(
            "ca_certificate_name",
            ca_certificate_name.unwrap_or(CA_CERTIFICATE_NAME_DEFAULT),
        )?;
        let list_name = name("list_name", list_name.unwrap_or(LIST_NAME_DEFAULT))?;
        Ok(Self {
            pattern: Pattern::parse(pattern, Place::FileName)?,
            latest: latest
                .map(|it| Pattern::parse(it, Place::FileName))
                .transpose()
                .map_err(|err| format!("latest: {err}"))?,
            directory: directory_from(directory)?,
            certificates: certificates.unwrap_or(Certificates::Always),
            format,
            ca_certificates: ca_certificates.then_some(ca_certificate_name),
            lists: lists.then_some(list_name),
            delta_lists,
            keep_expired_days,
            mode,
            group,
        })
    }
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let text = |name: &str, description: &str, default: Option<&str>| {
        info(name, SettingType::String, description, default.map(Into::into))
    };
    let flag = |name: &str, description: &str| {
        info(name, SettingType::Boolean, description, Some(false.into()))
    };
    let name =
        "file name; {serial}, {request_id}, {subject_cn}, {template} and others are filled in";
    vec![
        SettingInfo { required: true, ..text("directory", "folder for the files", None) },
        text(
            "certificates",
            "\"always\", \"on-request\" (where the request has an attribute CertFile) or \"never\"",
            Some("always"),
        ),
        text("pattern", name, Some(PATTERN_DEFAULT)),
        text("format", "\"pem\" or \"der\"", Some("pem")),
        text("latest", "name of a link to the newest of several certificates, as pattern", None),
        flag("ca_certificates", "whether the CA's own certificates are published"),
        text(
            "ca_certificate_name",
            "name of a CA certificate, with the original's tokens",
            Some(CA_CERTIFICATE_NAME_DEFAULT),
        ),
        flag("lists", "whether revocation lists are published"),
        flag("delta_lists", "whether delta lists are published too; as lists where not said"),
        text(
            "list_name",
            "name of a revocation list, with the original's tokens",
            Some(LIST_NAME_DEFAULT),
        ),
        info(
            "keep_expired_days",
            SettingType::Long,
            "days after which the file of an expired certificate is removed; never where not said",
            None,
        ),
        text("mode", "permissions of the files, octal", Some(&format!("{MODE_DEFAULT:04o}"))),
        text("group", "group that the files belong to, a name or a number", None),
    ]
}

fn text<'a>(it: &mut Reader<'a>, name: &str) -> Result<Option<&'a str>, String> {
    match it.any(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| format!("{name} has to be a text")),
    }
}

/// A template that names a file, and no path.
fn file_name(key: &str, template: Template) -> Result<Template, String> {
    let text = template.text();
    if !template.is_file() || text.contains(['/', '\\']) {
        return Err(format!("{key} {text:?} names a file, no path and no address"));
    }
    if text.starts_with('.') {
        return Err(format!("{key} {text:?} starts with a dot: such files are hidden"));
    }
    Ok(template)
}

fn directory_from(value: Option<&Json>) -> Result<PathBuf, String> {
    let text = value
        .ok_or("directory is missing: say where the files go")?
        .as_str()
        .ok_or("directory has to be a text")?;
    if text.is_empty() || text.contains('\0') {
        return Err(format!("directory {text:?} is no path"));
    }
    Ok(PathBuf::from(text))
}

fn mode_from(value: &Json) -> Result<u32, String> {
    // A number says nothing of its base: 644 would be 01204 in octal, and 0o644 comes here as 420.
    let text = value.as_str().ok_or_else(|| {
        format!("mode {value} is no text: permissions are written in octal, as mode = \"0640\"")
    })?;
    let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|it| matches!(it, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|it| octal && *it <= 0o777);
    let mode = mode.ok_or_else(|| {
        format!("mode {text:?} is no octal number of three or four digits, as \"0640\"")
    })?;
    // What the module writes is read by it again, run by nobody and changed by nobody else.
    let better = mode & 0o664;
    if mode & 0o400 == 0 {
        return Err(format!("mode {text:?} does not let the owner read"));
    }
    if mode & 0o111 != 0 {
        return Err(format!("mode {text:?} makes programs of certificates: say \"{better:04o}\""));
    }
    if mode & 0o002 != 0 {
        return Err(format!("mode {text:?} lets everybody write: say \"{better:04o}\""));
    }
    Ok(mode)
}

#[cfg(test)]
mod tests;
