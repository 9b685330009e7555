//! What the operator says: the bucket, the keys of objects, and whom to be there.

use std::{path::PathBuf, time::Duration};

use exeunt_module_kit::manage::{SettingInfo, SettingType};
use exeunt_publication::{
    pattern::{Pattern, Place},
    settings::Reader,
    time::TIMEOUT_S_MAX,
    tls::{self, Tls},
};
use url::Url;

/// The region where nothing is said; servers that are not Amazon's mostly say so.
const REGION_DEFAULT: &str = "us-east-1";

/// Keys of certificates where nothing is said.
const CERTIFICATE_KEY_DEFAULT: &str = "certificates/{serial}.cer";

/// Where the CA's own certificates are where nothing is said.
const CA_FOLDER_DEFAULT: &str = "ca";

/// Where the lists are where nothing is said.
const LIST_FOLDER_DEFAULT: &str = "crl";

/// How long others may keep a list where nothing is said: not without asking whether it is the
/// newest (RFC 9111, section 5.2.2.4).
const LIST_CACHE_CONTROL_DEFAULT: &str = "no-cache";

/// How long a batch may take where nothing is said, in seconds.
const TIMEOUT_DEFAULT_S: u64 = 20;

/// Longest folder, in bytes, so that a name after it stays below the limit of a key.
const FOLDER_BYTES_MAX: usize = 256;

/// How a certificate is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text with armour, RFC 7468.
    Pem,
    /// Plain bytes.
    Der,
}

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the server is.
    pub endpoint: Url,
    /// What signatures are made for.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Whether the bucket is in the path, and not in the host's name.
    pub path_style: bool,
    /// Whom to trust, and what to show.
    pub tls: Tls,
    /// Who the module is.
    pub access_key_file: PathBuf,
    /// And its proof.
    pub secret_key_file: PathBuf,
    /// Before every key; nothing, or with a slash at the end.
    pub prefix: String,
    /// Keys of certificates; none are published without.
    pub certificates: Option<Pattern>,
    /// How they are written.
    pub format: Format,
    /// Whether they are read back; lists and the CA's own always are.
    pub read_back: bool,
    /// Where the CA's own certificates are; none are published without.
    pub ca_folder: Option<String>,
    /// Where the lists are; none are published without.
    pub list_folder: Option<String>,
    /// How long others may keep a list.
    pub list_cache_control: String,
    /// How long a batch may take.
    pub timeout: Duration,
}

impl Settings {
    /// Reads the settings as the operator wrote them.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    pub fn read(written: &serde_json::Map<String, serde_json::Value>) -> Result<Self, String> {
        let mut reader = Reader::new(written);
        let plain = reader.boolean("allow_http")?.unwrap_or(false);
        let endpoint = reader.required("endpoint", "say where the server is, https://host:port")?;
        let endpoint = endpoint_from(endpoint, plain)?;
        let region = reader.text("region")?.unwrap_or(REGION_DEFAULT).to_owned();
        let bucket = reader.required("bucket", "say where the objects go")?.to_owned();
        for (name, text) in [("region", &region), ("bucket", &bucket)] {
            let fits = |it: u8| it.is_ascii_alphanumeric() || b"-._".contains(&it);
            if !text.bytes().all(fits) || text.starts_with('.') {
                return Err(format!("{name} {text:?} has to be letters, digits, -, . and _"));
            }
        }
        let path_style = reader.boolean("path_style")?.unwrap_or(true);
        let tls = Tls::read(&mut reader)?;
        let why = "say which file holds it";
        let access_key_file = reader.required("access_key_file", why)?.into();
        let secret_key_file = reader.required("secret_key_file", why)?.into();
        let prefix = match reader.text("prefix")? {
            None => String::new(),
            Some(text) => folder("prefix", text.strip_suffix('/').unwrap_or(text))? + "/",
        };
        let key = reader.text("certificate_key")?.unwrap_or(CERTIFICATE_KEY_DEFAULT);
        let key = Pattern::parse(&format!("{prefix}{key}"), Place::ObjectKey)
            .map_err(|why| format!("certificate_key: {why}"))?;
        let certificates = reader.boolean("certificates")?.unwrap_or(true).then_some(key);
        let format = reader
            .choice("format", &[("der", Format::Der), ("pem", Format::Pem)])?
            .unwrap_or(Format::Der);
        let read_back = reader.boolean("read_back")?.unwrap_or(true);
        let mut folder_of = |name: &str, switch: &str, default: &str| {
            let text = folder(name, reader.text(name)?.unwrap_or(default))?;
            let wanted = reader.boolean(switch)?.unwrap_or(true);
            Ok::<_, String>(wanted.then(|| format!("{prefix}{text}/")))
        };
        let ca_folder = folder_of("ca_folder", "ca_certificates", CA_FOLDER_DEFAULT)?;
        let list_folder = folder_of("list_folder", "lists", LIST_FOLDER_DEFAULT)?;
        let list_cache_control =
            reader.text("list_cache_control")?.unwrap_or(LIST_CACHE_CONTROL_DEFAULT).to_owned();
        if !list_cache_control.bytes().all(|it| it == b' ' || it.is_ascii_graphic()) {
            return Err("list_cache_control has to be one line of ASCII".to_owned());
        }
        let timeout = reader
            .seconds("timeout_s", 1..=TIMEOUT_S_MAX)?
            .unwrap_or(Duration::from_secs(TIMEOUT_DEFAULT_S));
        reader.finish()?;
        Ok(Self {
            endpoint,
            region,
            bucket,
            path_style,
            tls,
            access_key_file,
            secret_key_file,
            prefix,
            certificates,
            format,
            read_back,
            ca_folder,
            list_folder,
            list_cache_control,
            timeout,
        })
    }
}

fn endpoint_from(text: &str, plain: bool) -> Result<Url, String> {
    if text.contains('@') {
        // Not shown: a password may stand before it.
        return Err(
            "endpoint: no @ in it; keys are in access_key_file and secret_key_file".to_owned()
        );
    }
    let refused = |why: &str| format!("endpoint {text:?} {why}");
    let url = Url::parse(text).map_err(|_| refused("is no address like https://host:port"))?;
    let bare = url.query().is_none() && url.fragment().is_none() && url.path() == "/";
    match url.scheme() {
        _ if !bare || url.host_str().is_none() => {
            Err(refused("has to be a scheme and a host alone"))
        }
        "https" => Ok(url),
        "http" if plain => Ok(url),
        "http" => {
            Err(refused("is without TLS; say allow_http = true where nobody else can listen"))
        }
        _ => Err(refused("has to begin with https://")),
    }
}

/// A folder: parts with slashes between them.
fn folder(name: &str, text: &str) -> Result<String, String> {
    let fits = |it: char| it.is_ascii_alphanumeric() || "-._ ".contains(it);
    let part = |it: &str| !it.is_empty() && !it.starts_with('.') && it.chars().all(fits);
    if FOLDER_BYTES_MAX < text.len() || !text.split('/').all(part) {
        return Err(format!(
            "{name} {text:?} has to be names with slashes between them: letters, digits, -, ., _ \
             and blanks, no dot at the start"
        ));
    }
    Ok(text.to_owned())
}

/// What can be set, for whoever asks before setting it.
pub fn known() -> Vec<SettingInfo> {
    let info = SettingInfo::new;
    let text = |name: &str, description: &str, default: Option<&str>| {
        info(name, SettingType::String, description, default.map(Into::into))
    };
    let needed = |name: &str, description: &str| text(name, description, None).required();
    let switch = |name: &str, description: &str, default: bool| {
        info(name, SettingType::Boolean, description, Some(default.into()))
    };
    let mut known = vec![
        needed("endpoint", "where the server is, https://host:port"),
        needed("bucket", "the bucket"),
        needed("access_key_file", "id of the key, in a file readable by its owner alone"),
        needed("secret_key_file", "the key, likewise"),
        text("region", "what signatures are made for", Some(REGION_DEFAULT)),
        switch("path_style", "the bucket is in the path, and not in the host's name", true),
        switch("allow_http", "whether an endpoint without TLS will do", false),
        text("prefix", "before every key", None),
        switch("certificates", "whether certificates are published", true),
        text(
            "certificate_key",
            "their keys, with the fields of file names",
            Some(CERTIFICATE_KEY_DEFAULT),
        ),
        text("format", "how they are written: \"der\" or \"pem\"", Some("der")),
        switch("read_back", "whether they are read back, as lists always are", true),
        switch("ca_certificates", "whether the CA's own certificates are published", true),
        text("ca_folder", "where these are", Some(CA_FOLDER_DEFAULT)),
        switch("lists", "whether revocation lists are published", true),
        text("list_folder", "where these are", Some(LIST_FOLDER_DEFAULT)),
        text("list_cache_control", "their Cache-Control", Some(LIST_CACHE_CONTROL_DEFAULT)),
        info(
            "timeout_s",
            SettingType::Long,
            "how long a batch may take",
            Some(TIMEOUT_DEFAULT_S.into()),
        ),
    ];
    known.extend(tls::known());
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};

    fn least() -> Json {
        json!({
            "endpoint": "https://s3.example:9000", "bucket": "pki", "access_key_file": "id",
            "secret_key_file": "key",
        })
    }

    fn read(settings: &Json) -> Result<Settings, String> {
        Settings::read(settings.as_object().unwrap())
    }

    #[test]
    fn every_known_setting_is_read_and_its_default_is_what_counts_without_it() {
        let bare = read(&least()).unwrap();
        assert_eq!(bare.list_folder.as_deref(), Some("crl/"));
        let mut written = least();
        for info in known() {
            if let Some(default) = info.default {
                written[info.name] = default;
            }
        }
        assert_eq!(read(&written).unwrap(), bare);
        written["nothing"] = json!(1);
        let err = read(&written).unwrap_err();
        for info in known() {
            assert!(err.contains(&info.name), "{} is not in {err}", info.name);
        }
    }

    #[test]
    fn a_prefix_is_before_every_key_and_what_is_switched_off_has_none() {
        let mut written = least();
        written["prefix"] = json!("pki/test");
        let settings = read(&written).unwrap();
        assert_eq!(settings.ca_folder.as_deref(), Some("pki/test/ca/"));
        written["ca_certificates"] = json!(false);
        written["certificates"] = json!(false);
        let settings = read(&written).unwrap();
        assert_eq!((settings.ca_folder, settings.certificates), (None, None));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (name, value, said) in [
            ("endpoint", json!("http://s3"), "is without TLS"),
            ("endpoint", json!("ftp://s3"), "has to begin with https://"),
            ("endpoint", json!("https://s3/bucket"), "a scheme and a host alone"),
            ("endpoint", json!("https://id:secret@s3"), "no @ in it"),
            ("endpoint", json!("s3"), "is no address"),
            ("bucket", json!("a/b"), "bucket \"a/b\""),
            ("bucket", json!(""), "bucket has to be"),
            ("prefix", json!("/a"), "prefix \"/a\""),
            ("list_folder", json!("../a"), "list_folder \"../a\""),
            ("certificate_key", json!("{name}"), "certificate_key: pattern"),
            ("list_cache_control", json!("a\r\nb: c"), "list_cache_control"),
            ("format", json!("txt"), "format has to be"),
        ] {
            let mut written = least();
            written[name] = value;
            let err = read(&written).unwrap_err();
            assert!(err.contains(said) && !err.contains("secret@"), "{err}");
        }
    }

    #[test]
    fn the_manual_names_every_setting() {
        let manual = include_str!("../../../docs/manual/object-module.md");
        for info in known() {
            assert!(manual.contains(&format!("`{}`", info.name)), "{}", info.name);
        }
    }
}
