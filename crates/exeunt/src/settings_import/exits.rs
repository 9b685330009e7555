//! Exit modules out of the original's: files, directory and mail of its default module.

use std::fmt::Write as _;

use exeunt_exit_directory::DirectoryExit;
use exeunt_exit_file::FileExit;
use exeunt_exit_mail::MailExit;
use exeunt_module_kit::ManageExitModule;
use serde_json::{Map, Value as Json, json};

use super::convert::Settings;
use super::mail::mail;
use super::places::Places;

/// The original's default exit module.
const DEFAULT: &str = "CertificateAuthority_MicrosoftDefault.Exit";

/// `EXITPUB_FILE`, `EXITPUB_ACTIVEDIRECTORY` and `EXITPUB_REMOVEOLDCERTS` (certsrv's headers).
const PUBLISH_FILE: u64 = 0x1;
const PUBLISH_DIRECTORY: u64 = 0x2;
const REMOVE_OLD: u64 = 0x10;

/// One `[[exit]]`.
pub struct Exit {
    /// Its name.
    pub name: String,
    /// The shipped module.
    pub module: &'static str,
    /// Whether it may start at once.
    pub enabled: bool,
    /// Comment lines above it.
    pub comments: Vec<String>,
    /// What a person has to give before it can be switched on.
    pub needs: Vec<String>,
    /// Folders of the home that it may write to.
    pub writable: Vec<String>,
    /// Its settings.
    pub settings: Map<String, Json>,
}

/// The tables of all exit modules, and what a person has to give to them.
pub fn exits(settings: &mut Settings<'_>, places: &Places) -> (String, Vec<String>) {
    let active: Vec<&str> = match settings.key("ExitModules") {
        Some(key) if key.value("Active").is_some() => settings.texts("ExitModules", "Active"),
        _ => Vec::new(),
    };
    for other in active.iter().filter(|it| !it.eq_ignore_ascii_case(DEFAULT)) {
        let why = "an exit module of the original's kind can run: docs/manual/library-modules.md";
        settings.note_of("ExitModules", "Active", *other, why);
    }
    let is_active = active.iter().any(|it| it.eq_ignore_ascii_case(DEFAULT));
    let below = format!("ExitModules\\{DEFAULT}");
    let flags = settings.number(&below, "PublishCertFlags");
    let mut flags = flags.unwrap_or(0);
    let known = PUBLISH_FILE | PUBLISH_DIRECTORY | REMOVE_OLD;
    if flags & !known != 0 {
        settings.note(&below, "PublishCertFlags", "bits other than 0x13 mean nothing here");
    }
    if !is_active && flags != 0 {
        settings.note(&below, "PublishCertFlags", "the module is not active");
        flags = 0;
    }
    let mut all = files(places, flags & PUBLISH_FILE != 0);
    all.extend(directory(settings, places, flags));
    all.extend(mail(settings, &below, is_active));
    let mut out = String::new();
    let mut needs = Vec::new();
    for exit in &mut all {
        check(settings, exit);
        needs.extend(exit.needs.iter().map(|it| format!("{}: {it}", exit.name)));
        out.push_str(&exit.toml());
    }
    (out, needs)
}

/// A module for each folder, the first one with the certificates.
fn files(places: &Places, certificates: bool) -> Vec<Exit> {
    let mut exits = Vec::new();
    let none = [super::places::FolderPlace::default()];
    let folders = match &places.folders[..] {
        [] if certificates => &none[..],
        folders => folders,
    };
    for (index, folder) in folders.iter().enumerate() {
        let number = if index == 0 { String::new() } else { format!("-{}", index + 1) };
        let directory = format!("published{number}");
        let certificates = if certificates && index == 0 { "on-request" } else { "never" };
        let mut settings = Map::from_iter([
            ("directory".to_owned(), json!(directory)),
            ("certificates".to_owned(), json!(certificates)),
        ]);
        if let Some(name) = &folder.ca_certificate_name {
            settings.insert("ca_certificates".to_owned(), json!(true));
            settings.insert("ca_certificate_name".to_owned(), json!(name));
        }
        if let Some(name) = &folder.list_name {
            settings.insert("lists".to_owned(), json!(true));
            settings.insert("delta_lists".to_owned(), json!(folder.deltas));
            settings.insert("list_name".to_owned(), json!(name));
        }
        let mut comments = Vec::new();
        if !folder.path.is_empty() {
            comments.push(format!("In the original: {}", folder.path));
        }
        exits.push(Exit {
            name: format!("file{number}"),
            module: "file",
            enabled: true,
            comments,
            needs: Vec::new(),
            writable: vec![directory],
            settings,
        });
    }
    exits
}

fn directory(settings: &mut Settings<'_>, places: &Places, flags: u64) -> Option<Exit> {
    let ldap = super::convert::root_number(settings, "LDAPFlags");
    if !places.uses_directory {
        if flags & PUBLISH_DIRECTORY != 0 {
            settings.note(
                &format!("ExitModules\\{DEFAULT}"),
                "PublishCertFlags",
                "UseDS is off, so that certificates are not published in a directory",
            );
        }
        return None;
    }
    let users = flags & PUBLISH_DIRECTORY != 0;
    let domain = &places.domain_dn;
    let host: Vec<&str> = domain
        .split(',')
        .filter_map(|it| {
            it.trim()
                .get(..3)
                .filter(|start| start.eq_ignore_ascii_case("dc="))
                .and(it.trim().get(3..))
        })
        .collect();
    let host = if host.is_empty() { "dc1.example.com".to_owned() } else { host.join(".") };
    let needs = vec![
        "bind_dn and password_file, an account of its own: the original logs in as the machine, by \
         Kerberos, which is not spoken here"
            .to_owned(),
    ];
    let mut comments = vec!["How to: docs/manual/directory-module.md".to_owned()];
    if ldap.is_some_and(|it| it & 1 == 0) {
        comments.push("The original speaks without TLS and signs; here it is TLS.".to_owned());
    }
    let mut objects = Map::from_iter([
        ("aia".to_owned(), json!(!places.directory_certificates.is_empty())),
        ("crl".to_owned(), json!(!places.directory_lists.is_empty())),
        ("delta_crl".to_owned(), json!(!places.directory_lists.is_empty())),
    ]);
    for (name, text) in [
        ("configuration", &places.configuration_dn),
        ("domain", domain),
        // Lists stay where the addresses in certificates say, whatever this machine is called.
        ("machine_short_name", &places.machine_short_name),
    ] {
        if !text.is_empty() {
            objects.insert(name.to_owned(), json!(text));
        }
    }
    for (name, urls) in [
        ("crl_urls", &places.directory_lists),
        ("ca_certificate_urls", &places.directory_certificates),
    ] {
        if !urls.is_empty() {
            objects.insert(name.to_owned(), json!(urls));
        }
    }
    let account = if domain.is_empty() { "CN=exeunt" } else { "CN=exeunt,CN=Users," };
    let settings = Map::from_iter([
        ("servers".to_owned(), json!([format!("ldaps://{host}")])),
        ("bind_dn".to_owned(), json!(format!("{account}{domain}"))),
        ("password_file".to_owned(), json!("password")),
        (
            "users".to_owned(),
            json!({
                "publish": if users { "template" } else { "never" },
                "remove_expired": users || flags & REMOVE_OLD != 0,
            }),
        ),
        ("objects".to_owned(), Json::Object(objects)),
    ]);
    Some(Exit {
        name: "directory".to_owned(),
        module: "directory",
        enabled: false,
        comments,
        needs,
        writable: Vec::new(),
        settings,
    })
}

/// A module that waits for a person or refuses its settings is off, and the reason is said.
fn check(settings: &mut Settings<'_>, exit: &mut Exit) {
    if !exit.needs.is_empty() {
        exit.enabled = false;
        let mut comments = vec!["It is off until a person has given".to_owned()];
        comments.extend(exit.needs.iter().map(|it| format!("- {it}")));
        comments.push(format!(
            "Then take out `enabled = false`, and try it: exeunt exit test {}",
            exit.name
        ));
        comments.append(&mut exit.comments);
        exit.comments = comments;
        return;
    }
    let module: &mut dyn ManageExitModule = match exit.module {
        "file" => &mut FileExit::default(),
        "directory" => &mut DirectoryExit::default(),
        _ => &mut MailExit::default(),
    };
    if let Err(why) = module.configure(&exit.settings, 0) {
        exit.enabled = false;
        exit.comments.push(format!("It is off: {why}"));
        let below = format!("ExitModules\\{DEFAULT}");
        settings.note_of(
            &below,
            &format!("[[exit]] {}", exit.name),
            "",
            format!("it is off: {why}"),
        );
    }
}

impl Exit {
    fn toml(&self) -> String {
        let mut out = String::from("\n");
        let mut line = |text: &str| {
            writeln!(out, "{text}").expect("BUG: writing to a String cannot fail");
        };
        for comment in &self.comments {
            let plain: String =
                comment.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
            line(&format!("# {plain}"));
        }
        line("[[exit]]");
        line(&format!("name = \"{}\"", self.name));
        line(&format!("module = \"{}\"", self.module));
        if !self.enabled {
            line("enabled = false");
        }
        line("start_at = \"first\"");
        if !self.writable.is_empty() {
            line(&format!(
                "writable = [{}]",
                self.writable
                    .iter()
                    .map(|it| super::convert::quoted(it))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        table(&mut out, "exit.settings", &self.settings);
        out
    }
}

/// A table, its plain values before its tables.
fn table(out: &mut String, path: &str, values: &Map<String, Json>) {
    writeln!(out, "\n[{path}]").expect("BUG: writing to a String cannot fail");
    for (name, value) in values.iter().filter(|(_, value)| !value.is_object()) {
        let Ok(value) = toml::Value::try_from(value) else { continue };
        writeln!(out, "{} = {value}", key(name)).expect("BUG: writing to a String cannot fail");
    }
    for (name, value) in values {
        if let Json::Object(inner) = value {
            table(out, &format!("{path}.{}", key(name)), inner);
        }
    }
}

/// A key, bare where it may be.
fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_'));
    if bare { name.to_owned() } else { super::convert::quoted(name) }
}
