//! What of a home belongs into its backup: the configuration, the files of the home that it names, the
//! newest revocation lists, the store.
//!
//! The configuration is read as a tree of keys and values, not as settings: whatever key names a file, also
//! one that a later version adds, its file comes along.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use exeunt_store::Store;
use exeunt_types::CrlRecord;
use toml::Value;
use zeroize::Zeroizing;

use super::manifest::{LeftOut, is_plain};
use super::not_read;
use crate::failure::Failure;
use crate::home::Home;

/// Largest file that the configuration names and a backup takes along, in bytes; keys, certificates and
/// scripts are far smaller.
pub const BACKUP_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Keys whose files hold the word that opens a key. It is never in the same file with the key.
const OPENERS: [&str; 2] = ["passphrase_file", "pin_file"];
/// Tables and keys whose files are secrets.
const SECRETS: [&str; 2] = ["token_files", "tls_key"];
/// Tables in which `file` is a private key.
const KEY_TABLES: [&str; 2] = ["key", "renewal"];
/// Keys that are always files, so that one outside of the home is worth a word.
const FILES: [&str; 5] = ["certificate", "file", "tls_certificate", "tls_key", "token_files"];

/// A file that the configuration names.
#[derive(Debug)]
pub struct Named {
    /// Relative to the home.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// What is in it; perhaps a secret.
    pub octets: Zeroizing<Vec<u8>>,
}

/// The files of a home that belong into its backup.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Those that go in.
    pub named: Vec<Named>,
    /// Those that do not.
    pub left_out: Vec<LeftOut>,
}

/// What a value of the configuration is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Opener,
    Secret,
    File,
    /// What leads to a key in a token.
    Token,
    /// Anything; where there is a file of that name, it is meant.
    Perhaps,
}

/// Chooses the files that the configuration `text` names; keys and tokens only if `keys`.
///
/// # Errors
///
/// The configuration is no TOML, or a file is there and cannot be read.
pub fn choose(home: &Home, text: &str, keys: bool) -> Result<Chosen, Failure> {
    let tree: toml::Table =
        toml::from_str(text).map_err(|err| Failure::from_error("config-syntax", &err))?;
    let mut chosen = Chosen::default();
    take(home, &mut chosen, Home::CONFIG)?;
    walk(&Value::Table(tree), &mut Vec::new(), &mut |trail, value| {
        let kind = kind_of(home.path(), trail, value);
        choose_one(home, &mut chosen, (value, kind), keys)
    })?;
    chosen.left_out.sort();
    chosen.left_out.dedup();
    Ok(chosen)
}

fn choose_one(
    home: &Home,
    chosen: &mut Chosen,
    (value, kind): (&str, Kind),
    keys: bool,
) -> Result<(), Failure> {
    let mut leave = |why: &str| {
        chosen.left_out.push(LeftOut { path: value.to_owned(), why: why.to_owned() });
        Ok(())
    };
    let path = home.path().join(value);
    let inside = path.strip_prefix(home.path()).ok().and_then(Path::to_str);
    match (kind, inside.filter(|it| is_plain(it))) {
        (Kind::Token, _) => leave("the key is in a token, which has backups of its own"),
        (Kind::Opener, _) => leave("it opens a key, and is kept elsewhere"),
        (Kind::Secret, _) if !keys => leave("it is a secret, and the backup is without"),
        (Kind::Perhaps, None) => Ok(()),
        (Kind::Perhaps, Some(inside)) if !path.is_file() || is_of_the_store(inside) => Ok(()),
        (_, None) => leave("it lies outside of the home"),
        (_, Some(_)) if !path.exists() => leave("it is not there"),
        (_, Some(inside)) => take(home, chosen, inside),
    }
}

/// Reads a file of the home, once.
fn take(home: &Home, chosen: &mut Chosen, path: &str) -> Result<(), Failure> {
    if chosen.named.iter().any(|it| it.path == path) {
        return Ok(());
    }
    let whole = home.path().join(path);
    let metadata = fs::metadata(&whole).map_err(|err| not_read(&whole, &err))?;
    if BACKUP_FILE_BYTES_MAX < metadata.len() {
        let why = format!("it is larger than {BACKUP_FILE_BYTES_MAX} bytes");
        chosen.left_out.push(LeftOut { path: path.to_owned(), why });
        return Ok(());
    }
    let octets = Zeroizing::new(fs::read(&whole).map_err(|err| not_read(&whole, &err))?);
    let mode = metadata.permissions().mode() & 0o777;
    chosen.named.push(Named { path: path.to_owned(), mode, octets });
    Ok(())
}

/// The store goes in as a copy that is whole, and a socket is nothing to keep.
fn is_of_the_store(path: &str) -> bool {
    path.starts_with("exeunt.db")
}

fn kind_of(home: &Path, trail: &[&str], value: &str) -> Kind {
    let last = trail.last().copied().unwrap_or_default();
    let has = |names: &[&str]| trail.iter().any(|it| names.contains(it));
    let is_key = last == "file" && trail.first().is_some_and(|it| KEY_TABLES.contains(it));
    let settings_of_a_module = trail.first() == Some(&"exit");
    if settings_of_a_module {
        // Where a secret of the home is named there, it is one all the same.
        let secret = home.join(value).starts_with(home.join("secrets"));
        return if secret { Kind::Secret } else { Kind::Perhaps };
    }
    match last {
        it if OPENERS.contains(&it) => Kind::Opener,
        "pkcs11_module" => Kind::Token,
        _ if is_key || has(&SECRETS) => Kind::Secret,
        _ if has(&FILES) => Kind::File,
        _ => Kind::Perhaps,
    }
}

/// Is called with a text and the keys that lead to it.
type Each<'a> = dyn FnMut(&[&str], &str) -> Result<(), Failure> + 'a;

/// Calls `each` with every text of the tree and the keys that lead to it.
fn walk<'a>(
    value: &'a Value,
    trail: &mut Vec<&'a str>,
    each: &mut Each<'_>,
) -> Result<(), Failure> {
    match value {
        Value::String(text) => each(trail, text),
        Value::Array(values) => values.iter().try_for_each(|it| walk(it, trail, each)),
        Value::Table(table) => table.iter().try_for_each(|(key, value)| {
            trail.push(key);
            let walked = walk(value, trail, each);
            trail.pop();
            walked
        }),
        _ => Ok(()),
    }
}

/// The files that a configuration names and that are not there, in a home that was restored elsewhere
/// perhaps.
///
/// # Errors
///
/// The configuration is no TOML.
pub fn missing(home: &Home, text: &str) -> Result<Vec<String>, Failure> {
    let tree: toml::Table =
        toml::from_str(text).map_err(|err| Failure::from_error("config-syntax", &err))?;
    let mut missing = Vec::new();
    walk(&Value::Table(tree), &mut Vec::new(), &mut |trail, value| {
        if kind_of(home.path(), trail, value) != Kind::Perhaps && !home.path().join(value).exists()
        {
            missing.push(value.to_owned());
        }
        Ok(())
    })?;
    missing.sort();
    missing.dedup();
    Ok(missing)
}

/// The newest revocation lists that a copy of the store knows of, where they are in the home.
///
/// # Errors
///
/// The copy cannot be read.
pub fn lists(home: &Home, store: &Path) -> Result<Vec<(CrlRecord, PathBuf)>, Failure> {
    let failed = |err: exeunt_store::StoreError| Failure::from_error(err.code(), &err);
    let records = Store::open_read_only(store).and_then(|it| it.current_crls()).map_err(failed)?;
    let with_path = |it: CrlRecord| {
        let path = home.crl_folder().join(it.file_name());
        (it, path)
    };
    Ok(records.into_iter().map(with_path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [ca]
        name = "x"
        certificate = "ca.cert.pem"
        [key]
        file = "secrets/ca.key.pem"
        passphrase_file = "secrets/passphrase"
        [[renewal]]
        certificate = "ca1.cert.pem"
        [renewal.key]
        file = "/elsewhere/ca1.key.pem"
        [[renewal]]
        certificate = "ca1.cert.pem"
        [renewal.key]
        pkcs11_module = "/usr/lib/token.so"
        [server]
        tls_key = "secrets/tls.pem"
        token_files = { admin = "secrets/admin.token" }
        [[exit]]
        name = "hook"
        command = ["python3", "hooks/hook.py"]
        [exit.settings]
        password = "secrets/mail"
    "#;

    fn chosen(keys: bool) -> (Vec<String>, Vec<(String, String)>) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        for path in [
            "ca.cert.pem",
            "ca1.cert.pem",
            "secrets/ca.key.pem",
            "secrets/passphrase",
            "secrets/admin.token",
            "secrets/mail",
            "hooks/hook.py",
            "unnamed",
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::write(home.config_path(), CONFIG).unwrap();
        let Chosen { named, left_out } = choose(&home, CONFIG, keys).unwrap();
        let mut named: Vec<String> = named.into_iter().map(|it| it.path).collect();
        named.sort();
        (named, left_out.into_iter().map(|it| (it.path, it.why)).collect())
    }

    #[test]
    fn what_the_configuration_names_comes_along_and_what_opens_a_key_never_does() {
        let (named, left_out) = chosen(true);
        let expected = [
            "ca.cert.pem",
            "ca1.cert.pem",
            "exeunt.toml",
            "hooks/hook.py",
            "secrets/admin.token",
            "secrets/ca.key.pem",
            "secrets/mail",
        ];
        assert_eq!(named, expected);
        let reasons = [
            ("/elsewhere/ca1.key.pem", "it lies outside of the home"),
            ("/usr/lib/token.so", "the key is in a token, which has backups of its own"),
            ("secrets/passphrase", "it opens a key, and is kept elsewhere"),
            ("secrets/tls.pem", "it is not there"),
        ];
        assert_eq!(left_out, reasons.map(|(path, why)| (path.to_owned(), why.to_owned())));
    }

    #[test]
    fn without_keys_no_secret_comes_along() {
        let (named, left_out) = chosen(false);
        assert_eq!(named, ["ca.cert.pem", "ca1.cert.pem", "exeunt.toml", "hooks/hook.py"]);
        assert_eq!(left_out.len(), 7);
    }
}
