//! What of a home belongs into its backup: the configuration, the files of the home that it names and those
//! that stand beside the CA's certificates, the newest revocation lists, the store.
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
use crate::own::{Files, chain_path};

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

/// Permission bits of the group and of everybody.
const OTHERS: u32 = 0o077;

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

/// Chooses the files that the configuration `text` names, and those that stand beside the CA's
/// certificates; keys and tokens only if `keys`.
///
/// # Errors
///
/// The configuration is no TOML, or a file is there and cannot be read.
pub fn choose(home: &Home, text: &str, keys: bool) -> Result<Chosen, Failure> {
    let entries = entries(home, text)?;
    let of_openers = entries.iter().filter(|it| kind_of(home, it) == Kind::Opener);
    let openers: Vec<String> = of_openers.filter_map(|it| inside(home, &it.value)).collect();
    let mut chosen = Chosen::default();
    take(home, &mut chosen, Home::CONFIG)?;
    for entry in &entries {
        let is_opener = inside(home, &entry.value).is_some_and(|it| openers.contains(&it));
        let kind = if is_opener { Kind::Opener } else { kind_of(home, entry) };
        choose_one(home, &mut chosen, (&entry.value, kind), keys)?;
    }
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
    match (kind, inside(home, value)) {
        (Kind::Token, _) => leave("the key is in a token, which has backups of its own"),
        (Kind::Opener, _) => leave("it opens a key, and is kept elsewhere"),
        (Kind::Secret, _) if !keys => leave("it is a secret, and the backup is without"),
        (Kind::Perhaps, None) if !home.path().join(value).is_file() => Ok(()),
        (Kind::Perhaps, Some(inside))
            if !home.path().join(&inside).is_file() || is_of_the_store(&inside) =>
        {
            Ok(())
        }
        (_, None) => leave("it lies outside of the home"),
        (_, Some(inside)) if !home.path().join(&inside).exists() => leave("it is not there"),
        (_, Some(inside)) => take(home, chosen, &inside),
    }
}

/// A path relative to the home, in the one way of writing it in which a backup names its parts; none
/// where it leads elsewhere.
fn inside(home: &Home, value: &str) -> Option<String> {
    let path = home.path().join(value);
    let rest = path.strip_prefix(home.path()).ok()?;
    let words: Option<Vec<&str>> = rest.components().map(|it| it.as_os_str().to_str()).collect();
    words.map(|it| it.join("/")).filter(|it| is_plain(it))
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

/// A text of the configuration.
#[derive(Debug)]
struct Entry {
    /// The keys that lead to it.
    trail: Vec<String>,
    value: String,
}

impl Entry {
    /// A file that no key names.
    fn file(path: String) -> Self {
        Self { trail: vec!["certificate".to_owned()], value: path }
    }

    fn is_at(&self, trail: &[&str]) -> bool {
        self.trail == trail
    }
}

/// Every text of the configuration, and the files that belong to it by their names alone: the
/// certificates above those of the CA, the request that a parent has not answered, and what will be said
/// of its key. Cross certificates are not among them: a start writes them again, out of the store.
fn entries(home: &Home, text: &str) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    collect(text, &[], &mut entries).map_err(|err| Failure::from_error("config-syntax", &err))?;
    let there = |path: &str| home.path().join(path).exists();
    let first = entries.iter().find(|it| it.is_at(&["ca", "certificate"]));
    let is_without = first.is_some_and(|it| !there(&it.value));
    let later: Vec<&Entry> =
        entries.iter().filter(|it| it.is_at(&["renewal", "certificate"])).collect();
    let index = if is_without { 0 } else { later.len() + 1 };
    let chains: Vec<String> = first
        .into_iter()
        .chain(later)
        .filter_map(|it| chain_path(Path::new(&it.value)).to_str().map(str::to_owned))
        .filter(|it| there(it))
        .collect();
    entries.extend(chains.into_iter().map(Entry::file));
    // More than a configuration can declare.
    let Ok(index) = u16::try_from(index) else { return Ok(entries) };
    let Files { request, waiting_key, .. } = Files::of(index);
    if there(&request) {
        entries.push(Entry::file(request));
    }
    if 0 < index && there(&waiting_key) {
        let path = home.path().join(&waiting_key);
        let table = fs::read_to_string(&path).map_err(|err| not_read(&path, &err))?;
        collect(&table, &["key"], &mut entries).map_err(|err| {
            let failure = Failure::from_error("config-syntax", &err);
            Failure { message: format!("{}: {}", path.display(), failure.message), ..failure }
        })?;
        entries.push(Entry::file(waiting_key));
    }
    Ok(entries)
}

/// Adds every text of a TOML file to the entries; `under` are the keys under which it will stand.
fn collect(text: &str, under: &[&str], entries: &mut Vec<Entry>) -> Result<(), toml::de::Error> {
    let tree: toml::Table = toml::from_str(text)?;
    walk(&Value::Table(tree), &mut under.to_vec(), &mut |trail, value| {
        let trail = trail.iter().map(|it| (*it).to_owned()).collect();
        entries.push(Entry { trail, value: value.to_owned() });
    });
    Ok(())
}

fn kind_of(home: &Home, entry: &Entry) -> Kind {
    let Entry { trail, value } = entry;
    let last = trail.last().map(String::as_str).unwrap_or_default();
    let has = |names: &[&str]| trail.iter().any(|it| names.contains(&it.as_str()));
    let is_key =
        last == "file" && trail.first().is_some_and(|it| KEY_TABLES.contains(&it.as_str()));
    if trail.first().is_some_and(|it| it == "exit") {
        // What a module's settings name may be a secret, and its word for it may be any.
        let path = home.path().join(value);
        let in_secrets = path.starts_with(home.path().join("secrets"));
        let is_closed = || {
            let mode = fs::metadata(&path).map(|it| (it.is_file(), it.permissions().mode()));
            has(&["settings"]) && mode.is_ok_and(|(is_file, mode)| is_file && mode & OTHERS == 0)
        };
        let is_inside = inside(home, value).is_some();
        return if is_inside && (in_secrets || is_closed()) { Kind::Secret } else { Kind::Perhaps };
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
type Each<'a> = dyn FnMut(&[&str], &str) + 'a;

/// Calls `each` with every text of the tree and the keys that lead to it.
fn walk<'a>(value: &'a Value, trail: &mut Vec<&'a str>, each: &mut Each<'_>) {
    match value {
        Value::String(text) => each(trail, text),
        Value::Array(values) => values.iter().for_each(|it| walk(it, trail, each)),
        Value::Table(table) => table.iter().for_each(|(key, value)| {
            trail.push(key);
            walk(value, trail, each);
            trail.pop();
        }),
        _ => (),
    }
}

/// The files that a configuration names and that are not there, in a home that was restored elsewhere
/// perhaps.
///
/// # Errors
///
/// The configuration is no TOML.
pub fn missing(home: &Home, text: &str) -> Result<Vec<String>, Failure> {
    let is_missing =
        |it: &Entry| kind_of(home, it) != Kind::Perhaps && !home.path().join(&it.value).exists();
    let mut missing: Vec<String> =
        entries(home, text)?.into_iter().filter(is_missing).map(|it| it.value).collect();
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

    /// Writes files into a home and chooses; a name that ends in `/` is a folder.
    fn chosen_of(config: &str, files: &[(&str, &str)], keys: bool) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::write(home.config_path(), config).unwrap();
        let Chosen { named, left_out } = choose(&home, config, keys).unwrap();
        let mut named: Vec<String> = named.into_iter().map(|it| it.path).collect();
        named.sort();
        (named, left_out.into_iter().map(|it| it.path).collect())
    }

    #[test]
    fn what_stands_beside_the_certificates_comes_along() {
        let config = r#"
            [ca]
            name = "x"
            certificate = "own/first.cert.pem"
            [key]
            file = "secrets/ca.key.pem"
            passphrase_env = "WORD"
            [[renewal]]
            certificate = "ca(1).cert.pem"
        "#;
        let waiting = r#"
            file = "secrets/ca(2).key.pem"
            passphrase_file = "secrets/ca(2).passphrase"
        "#;
        let files = [
            ("own/first.cert.pem", ""),
            ("own/first.chain.pem", ""),
            ("secrets/ca.key.pem", ""),
            ("ca(1).cert.pem", ""),
            ("ca(1).chain.pem", ""),
            ("ca(1).csr.pem", ""),
            ("ca(2).csr.pem", ""),
            ("ca(2).key.toml", waiting),
            ("secrets/ca(2).key.pem", ""),
            ("secrets/ca(2).passphrase", ""),
            ("ca(0-1).cert.pem", ""),
        ];
        let public = [
            "ca(1).cert.pem",
            "ca(1).chain.pem",
            "ca(2).csr.pem",
            "ca(2).key.toml",
            "exeunt.toml",
            "own/first.cert.pem",
            "own/first.chain.pem",
        ];
        let (named, left_out) = chosen_of(config, &files, true);
        let keys = ["secrets/ca(2).key.pem", "secrets/ca.key.pem"];
        assert_eq!(named, [&public[..], &keys].concat());
        assert_eq!(left_out, ["secrets/ca(2).passphrase"]);
        let (named, left_out) = chosen_of(config, &files, false);
        assert_eq!(named, public);
        assert_eq!(
            left_out,
            ["secrets/ca(2).key.pem", "secrets/ca(2).passphrase", "secrets/ca.key.pem"]
        );
    }

    #[test]
    fn a_subordinate_without_a_certificate_keeps_its_request() {
        let config = "[ca]\ncertificate = \"ca.cert.pem\"\n[key]\nfile = \"secrets/ca.key.pem\"";
        let files = [("ca.csr.pem", ""), ("ca(1).csr.pem", ""), ("secrets/ca.key.pem", "")];
        let (named, left_out) = chosen_of(config, &files, true);
        assert_eq!(named, ["ca.csr.pem", "exeunt.toml", "secrets/ca.key.pem"]);
        assert_eq!(left_out, ["ca.cert.pem"]);
    }

    #[test]
    fn a_file_is_taken_once_however_it_is_written() {
        let config = r#"
            [ca]
            certificate = "own//ca.cert.pem"
            [key]
            file = "./secrets/./ca.key.pem"
            [[exit]]
            command = ["/bin/sh", "/no/such", "hook//run.py", "hook/run.py", "./hook/run.py"]
        "#;
        let files = [("own/ca.cert.pem", ""), ("secrets/ca.key.pem", ""), ("hook/run.py", "")];
        let (named, left_out) = chosen_of(config, &files, true);
        assert_eq!(named, ["exeunt.toml", "hook/run.py", "own/ca.cert.pem", "secrets/ca.key.pem"]);
        // What is a file elsewhere is said.
        assert_eq!(left_out, ["/bin/sh"]);
    }

    #[test]
    fn what_opens_a_key_stays_away_whoever_names_it() {
        let config = r#"
            [[exit]]
            [exit.settings]
            a = "secrets/word"
            b = "secrets//word"
            [ca]
            certificate = "ca.cert.pem"
            [key]
            file = "secrets/ca.key.pem"
            passphrase_file = "secrets/word"
        "#;
        let files = [("ca.cert.pem", ""), ("secrets/ca.key.pem", ""), ("secrets/word", "")];
        let (named, _) = chosen_of(config, &files, true);
        assert_eq!(named, ["ca.cert.pem", "exeunt.toml", "secrets/ca.key.pem"]);
    }

    #[test]
    fn without_keys_what_only_its_owner_can_read_stays_away() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let config = "[[exit]]\n[exit.settings]\npassword_file = \"mail.word\"\nscript = \"a.py\"";
        for (name, mode) in [("mail.word", 0o600), ("a.py", 0o644)] {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::write(home.config_path(), config).unwrap();
        let named = |keys| {
            let chosen = choose(&home, config, keys).unwrap();
            chosen.named.into_iter().map(|it| it.path).collect::<Vec<_>>()
        };
        assert_eq!(named(true), ["exeunt.toml", "mail.word", "a.py"]);
        assert_eq!(named(false), ["exeunt.toml", "a.py"]);
    }

    #[test]
    fn without_keys_no_secret_comes_along() {
        let (named, left_out) = chosen(false);
        assert_eq!(named, ["ca.cert.pem", "ca1.cert.pem", "exeunt.toml", "hooks/hook.py"]);
        assert_eq!(left_out.len(), 7);
    }
}
