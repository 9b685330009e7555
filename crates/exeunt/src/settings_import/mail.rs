//! The mail of the original's default exit module. The module mail understands its settings.

use exeunt_exit_mail::MailExit;
use exeunt_module_kit::ManageExitModule as _;
use serde_json::{Map, Value as Json, json};

use super::convert::Settings;
use super::exits::Exit;
use super::registry::Value;

/// Keys of the original's events.
const EVENTS: [&str; 8] =
    ["Issued", "Pending", "Denied", "Revoked", "CRLIssued", "Shutdown", "Startup", "Imported"];

/// Values of such a key.
const TEXTS: [&str; 3] = ["From", "To", "Cc"];
const FORMATS: [&str; 4] = ["TitleFormat", "TitleArg", "BodyFormat", "BodyArg"];

/// The module mail, where the original mails.
pub fn mail(settings: &mut Settings<'_>, exit: &str, is_active: bool) -> Option<Exit> {
    let below = format!("{exit}\\SMTP");
    let filter = settings.number(&below, "EventFilter").unwrap_or(0);
    let mut written = Map::new();
    for event in EVENTS {
        if let Some(table) = event_table(settings, &format!("{below}\\{event}")) {
            written.insert(event.to_owned(), Json::Object(table));
        }
    }
    let mut templates = Map::new();
    for template in settings.children(&format!("{below}\\Templates")) {
        let mut of_template = Map::new();
        for event in EVENTS {
            let path = format!("{below}\\Templates\\{template}\\{event}");
            if let Some(table) = event_table(settings, &path) {
                of_template.insert(event.to_owned(), Json::Object(table));
            }
        }
        if !of_template.is_empty() {
            templates.insert(template.to_owned(), Json::Object(of_template));
        }
    }
    if !templates.is_empty() {
        written.insert("templates".to_owned(), Json::Object(templates));
    }
    let Some(server) = settings.text(&below, "SMTPServer") else {
        if filter != 0 {
            settings.note(
                &below,
                "EventFilter",
                "no SMTPServer is named, so that nothing is mailed",
            );
        }
        return None;
    };
    let mut comments = Vec::new();
    let mut needs = Vec::new();
    let mut enabled = true;
    written.insert("server".to_owned(), json!(server));
    match settings.number(&below, "SMTPAuthenticate").unwrap_or(0) {
        // The original speaks in the clear, and has no word for anything else.
        0 => {
            written.insert("security".to_owned(), json!("none"));
            comments.push("In the clear, as the original does; \"starttls\" is better.".to_owned());
        }
        how => {
            written.insert("user".to_owned(), json!("user"));
            written.insert("password_file".to_owned(), json!("password"));
            needs.push(format!(
                "user and password_file, to log in at {server}: they are not in the export"
            ));
            if how == 2 {
                let why = "NTLM is not spoken: a user and a password over TLS take its place";
                settings.note(&below, "SMTPAuthenticate", why);
            } else {
                settings.note(&below, "SMTPAuthenticate", "the password is not in the export");
            }
        }
    }
    let bits = filter & 0x3ff;
    if bits != filter {
        settings.note(&below, "EventFilter", "bits above 0x200 mean nothing in the original");
    }
    if bits == 0 || !is_active {
        enabled = false;
        let why = if is_active { "EventFilter is 0" } else { "the exit module is not active" };
        comments.push(format!("It is off, as in the original: {why}."));
        written.insert("EventFilter".to_owned(), json!(if bits == 0 { 1 } else { bits }));
    } else {
        written.insert("EventFilter".to_owned(), json!(bits));
    }
    needs.extend(missing(&written).into_iter().map(|(name, why)| format!("{name}: {why}")));
    Some(Exit {
        name: "mail".to_owned(),
        module: "mail",
        enabled,
        comments,
        needs,
        writable: Vec::new(),
        settings: written,
    })
}

/// Settings that the original has no word for, and why each may be needed.
const ASKED: [(&str, &str, &[&str]); 3] = [
    ("from", "the sender where an event names none", &["ca@example.com"]),
    ("to", "who gets the mails of events that name nobody", &["pki@example.com"]),
    (
        "requester_domains",
        "domains in which requesters may be written to; an empty To is the requester",
        &["example.com"],
    ),
];

/// Those of [`ASKED`] that the module does not take these settings without, all of them at once.
fn missing(written: &Map<String, Json>) -> Vec<(&'static str, &'static str)> {
    let takes = |left_out: &[&str]| {
        let mut settings = written.clone();
        for (name, _, values) in ASKED {
            if left_out.contains(&name) || settings.contains_key(name) {
                continue;
            }
            let value = if name == "from" { json!(values[0]) } else { json!(values) };
            settings.insert(name.to_owned(), value);
        }
        MailExit::default().configure(&settings, 0).is_ok()
    };
    // What it does not take even with all of them has another fault, which it says itself.
    if !takes(&[]) {
        return Vec::new();
    }
    let mut left_out = Vec::new();
    let mut missing = Vec::new();
    for (name, why, _) in ASKED {
        left_out.push(name);
        if !takes(&left_out) {
            left_out.pop();
            missing.push((name, why));
        }
    }
    missing
}

fn event_table(settings: &mut Settings<'_>, below: &str) -> Option<Map<String, Json>> {
    settings.key(below)?;
    let mut table = Map::new();
    for name in TEXTS.into_iter().chain(FORMATS) {
        match settings.take(below, name) {
            Some(Value::Text(text)) => table.insert(name.to_owned(), json!(text)),
            Some(Value::Texts(texts)) => table.insert(name.to_owned(), json!(texts)),
            Some(_) => {
                settings.note(below, name, "it is of another type than the original's");
                None
            }
            None => None,
        };
    }
    (!table.is_empty()).then_some(table)
}
