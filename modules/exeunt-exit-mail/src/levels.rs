//! What is said of mails at the top, for an event, and for an event of a certificate template; and what
//! follows for each event.
//!
//! A value is looked for in the original's order: `templates.NAME.EVENT`, `templates.Default.EVENT`,
//! `EVENT`; and then at the top. Each value by itself, but a body with its HTML as one.

use std::collections::HashMap;

use exeunt_module_kit::{Event, exit_event};
use exeunt_publication::settings::Reader;
use lettre::message::Mailbox;
use serde_json::Value as Json;

use crate::{
    pattern::Pattern,
    recipient::{self, AllowList, RECIPIENTS_MAX, Recipient},
    template::{About, TemplateName, Templates},
    wording,
};

/// Most certificate templates with words of their own.
pub const TEMPLATES_MAX: usize = 500;

/// The original's name for what counts for every template that has nothing of its own.
const DEFAULT: &str = "default";

/// Settings that can be said at every level.
pub const NAMES: [&str; 14] = [
    "from",
    "reply_to",
    "to",
    "cc",
    "bcc",
    "subject",
    "text",
    "html",
    "attach",
    "send",
    "TitleFormat",
    "TitleArg",
    "BodyFormat",
    "BodyArg",
];

/// Events that are about a request, and so about a requester.
const OF_A_REQUEST: u32 = exit_event::CERT_ISSUED
    | exit_event::CERT_PENDING
    | exit_event::CERT_DENIED
    | exit_event::CERT_REVOKED
    | exit_event::CERT_RETRIEVE_PENDING
    | exit_event::CERT_IMPORTED
    | exit_event::CERT_UNREVOKED
    | exit_event::REQUEST_FAILED
    | exit_event::CERT_EXPIRING;

/// Whether the certificate goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// It does not.
    Nothing,
    /// As text with armour.
    Pem,
    /// As plain octets.
    Der,
}

/// A text, ready to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// In the original's style.
    Original(Pattern),
    /// In the modern style.
    Modern(TemplateName),
}

impl Text {
    /// The text about an event.
    ///
    /// # Errors
    ///
    /// As [`Templates::text`].
    pub fn made(&self, templates: &Templates, about: &About) -> Result<String, String> {
        match self {
            Self::Original(pattern) => Ok(pattern.filled(&about.event)),
            Self::Modern(name) => templates.text(name, about),
        }
    }
}

/// Everything about the mail of one event, of one template.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Who sends.
    pub from: Mailbox,
    /// Who is to be answered, if not the sender.
    pub reply_to: Option<Mailbox>,
    /// Who is written to.
    pub to: Vec<Recipient>,
    /// Who gets a copy.
    pub cc: Vec<Recipient>,
    /// Who gets a copy that nobody sees.
    pub bcc: Vec<Recipient>,
    /// The subject.
    pub subject: Text,
    /// The body, plain text.
    pub text: Text,
    /// The same in HTML.
    pub html: Option<Text>,
    /// Whether the certificate goes along.
    pub attach: Attach,
}

/// The rules of all events that are mailed about. `None` for those that are not, by `send = false`.
#[derive(Debug, Default)]
pub struct Rules {
    general: HashMap<u32, Option<Rule>>,
    /// By certificate template in lower case.
    special: HashMap<String, HashMap<u32, Option<Rule>>>,
}

impl Rules {
    /// The rule of an event.
    pub fn of(&self, event: &Event) -> Option<&Rule> {
        let name = "CertificateTemplate";
        let template = event.certificate.string(name).or_else(|_| event.request.string(name));
        let template = template.ok().map(str::to_lowercase);
        let special = template.and_then(|it| self.special.get(&it));
        special
            .and_then(|it| it.get(&event.event))
            .or_else(|| self.general.get(&event.event))?
            .as_ref()
    }

    /// Every rule that there is.
    pub fn all(&self) -> impl Iterator<Item = &Rule> {
        let special = self.special.values().flat_map(HashMap::values);
        self.general.values().chain(special).flatten()
    }
}

/// What is said at one level.
#[derive(Debug, Default)]
pub struct Level {
    from: Option<Mailbox>,
    reply_to: Option<Mailbox>,
    to: Option<Vec<Recipient>>,
    cc: Option<Vec<Recipient>>,
    bcc: Option<Vec<Recipient>>,
    subject: Option<Written>,
    body: Option<Body>,
    title_arguments: Option<Vec<String>>,
    body_arguments: Option<Vec<String>>,
    attach: Option<Attach>,
    send: Option<bool>,
}

#[derive(Clone, Debug)]
enum Written {
    Original(String),
    Modern(String),
}

#[derive(Clone, Debug)]
enum Body {
    Original(String),
    Modern { text: String, html: Option<String> },
}

impl Level {
    /// Reads those of [`NAMES`] that are there.
    ///
    /// # Errors
    ///
    /// One line that names the setting.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let subject = match (reader.text("subject")?, lines(reader, "TitleFormat")?) {
            (Some(_), Some(_)) => return Err(both(reader, "subject", "TitleFormat")),
            (Some(text), None) => Some(Written::Modern(text.to_owned())),
            (None, format) => format.map(|it| Written::Original(it.join(" "))),
        };
        let (text, html) = (reader.text("text")?, reader.text("html")?);
        let body = match (text, html, lines(reader, "BodyFormat")?) {
            (Some(_), _, Some(_)) => return Err(both(reader, "text", "BodyFormat")),
            (None, Some(_), _) => {
                let (html, text) = (reader.named("html"), reader.named("text"));
                return Err(format!(
                    "{html} needs {text} beside it, for those who read plain text"
                ));
            }
            (Some(text), html, None) => {
                Some(Body::Modern { text: text.to_owned(), html: html.map(str::to_owned) })
            }
            (None, None, format) => format.map(|it| Body::Original(it.join("\n"))),
        };
        Ok(Self {
            from: one_mailbox(reader, "from")?,
            reply_to: one_mailbox(reader, "reply_to")?,
            // The original writes to the requester where nobody is named.
            to: recipients(reader, "to")?
                .map(|it| if it.is_empty() { vec![Recipient::Requester] } else { it }),
            cc: recipients(reader, "cc")?,
            bcc: recipients(reader, "bcc")?,
            subject,
            body,
            title_arguments: lines(reader, "TitleArg")?,
            body_arguments: lines(reader, "BodyArg")?,
            attach: reader.choice(
                "attach",
                &[("none", Attach::Nothing), ("pem", Attach::Pem), ("der", Attach::Der)],
            )?,
            send: reader.boolean("send")?,
        })
    }
}

fn both(reader: &Reader<'_>, one: &str, other: &str) -> String {
    format!("{} and {} do not go together", reader.named(one), reader.named(other))
}

fn one_mailbox(reader: &mut Reader<'_>, name: &str) -> Result<Option<Mailbox>, String> {
    // An empty one of the original's is none.
    if reader.any(name).and_then(Json::as_str) == Some("") {
        return Ok(None);
    }
    let Some(text) = reader.text(name)? else { return Ok(None) };
    recipient::mailbox(text).map(Some).map_err(|why| format!("{}: {why}", reader.named(name)))
}

/// Entries of a list of recipients. An empty text is a list without any.
fn recipients(reader: &mut Reader<'_>, name: &str) -> Result<Option<Vec<Recipient>>, String> {
    let texts: Option<Vec<&str>> = match reader.any(name) {
        None => return Ok(None),
        Some(Json::String(text)) => Some(vec![text]),
        Some(Json::Array(items)) => items.iter().map(Json::as_str).collect(),
        Some(_) => None,
    };
    let texts = texts.ok_or_else(|| format!("{} has to be a list of texts", reader.named(name)))?;
    let list = Recipient::list(&texts).map_err(|why| format!("{}: {why}", reader.named(name)))?;
    if RECIPIENTS_MAX < list.len() {
        return Err(format!("{} has more than {RECIPIENTS_MAX} entries", reader.named(name)));
    }
    Ok(Some(list))
}

/// A list of lines, as the registry has them: an array, or one text in which the lines are ended by
/// line feeds or, as `certutil` takes them, by a backslash and an n.
fn lines(reader: &mut Reader<'_>, name: &str) -> Result<Option<Vec<String>>, String> {
    let lines = match reader.any(name) {
        None => return Ok(None),
        Some(Json::String(text)) => {
            let plain = text.replace("\\n", "\n");
            Some(plain.trim_end_matches('\n').split('\n').map(str::to_owned).collect())
        }
        Some(Json::Array(items)) => {
            items.iter().map(|it| it.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        }
        Some(_) => None,
    };
    lines.map(Some).ok_or_else(|| format!("{} has to be a list of texts", reader.named(name)))
}

/// All levels, read and not yet put together.
#[derive(Debug, Default)]
pub struct Levels {
    /// What counts for everything.
    pub top: Level,
    /// By event.
    pub events: HashMap<u32, Level>,
    /// By certificate template in lower case, then by event.
    pub templates: HashMap<String, HashMap<u32, Level>>,
}

impl Levels {
    /// Every event that something is said about.
    pub fn named_events(&self) -> u32 {
        let special = self.templates.values().flat_map(HashMap::keys);
        self.events.keys().chain(special).fold(0, |mask, bit| mask | bit)
    }

    /// Puts the rules of these events together, and tries each text.
    ///
    /// # Errors
    ///
    /// One line: what is missing or wrong, and for which event.
    pub fn rules(
        &self,
        mask: u32,
        allowed: &AllowList,
        templates: &mut Templates,
    ) -> Result<Rules, String> {
        let mut rules = Rules::default();
        for (bit, word) in exit_event::WORDS.iter().filter(|(bit, _)| mask & bit != 0) {
            let chain = self.chain(None, *bit);
            let rule = put_together(&chain, *bit, word, allowed, templates)?;
            rules.general.insert(*bit, rule);
            for name in self.templates.keys().filter(|it| *it != DEFAULT) {
                if !self.templates[name].contains_key(bit) {
                    continue;
                }
                let chain = self.chain(Some(name), *bit);
                let place = format!("templates.{name}.{word}");
                let rule = put_together(&chain, *bit, &place, allowed, templates)?;
                rules.special.entry(name.clone()).or_default().insert(*bit, rule);
            }
        }
        Ok(rules)
    }

    fn chain(&self, template: Option<&str>, bit: u32) -> Vec<&Level> {
        let of = |name: &str| self.templates.get(name).and_then(|it| it.get(&bit));
        let levels = [template.and_then(of), of(DEFAULT), self.events.get(&bit), Some(&self.top)];
        levels.into_iter().flatten().collect()
    }
}

fn put_together(
    chain: &[&Level],
    bit: u32,
    place: &str,
    allowed: &AllowList,
    templates: &mut Templates,
) -> Result<Option<Rule>, String> {
    if chain.iter().find_map(|it| it.send) == Some(false) {
        return Ok(None);
    }
    let to = match chain.iter().find_map(|it| it.to.clone()) {
        Some(to) => to,
        None if OF_A_REQUEST & bit != 0 && !allowed.is_empty() => vec![Recipient::Requester],
        None => return Err(format!("{place} has no recipient: set to")),
    };
    if OF_A_REQUEST & bit == 0 && to == [Recipient::Requester] {
        return Err(format!("{place} is about no requester, and has no other recipient: set to"));
    }
    let cc = chain.iter().find_map(|it| it.cc.clone()).unwrap_or_default();
    let bcc = chain.iter().find_map(|it| it.bcc.clone()).unwrap_or_default();
    if allowed.is_empty() && to.iter().chain(&cc).chain(&bcc).any(Recipient::is_foreign) {
        return Err(format!(
            "{place} writes to an address that a requester can choose: set requester_domains to the \
             domains that are allowed"
        ));
    }
    let from = chain
        .iter()
        .find_map(|it| it.from.clone())
        .ok_or_else(|| format!("{place} has no sender: set from"))?;
    let words = wording::of(bit);
    let arguments = |of: fn(&Level) -> Option<&Vec<String>>| {
        chain.iter().find_map(|it| of(it).cloned()).unwrap_or_default()
    };
    let original = |name: &str, format: &str, arguments| {
        let pattern =
            Pattern::parse(format, arguments).map_err(|why| format!("{name} of {place}: {why}"))?;
        for unknown in pattern.unknown_names() {
            eprintln!("{name} of {place}: there is no property {unknown:?}; it prints as ???");
        }
        Ok::<_, String>(Text::Original(pattern))
    };
    let subject = match chain.iter().find_map(|it| it.subject.as_ref()) {
        Some(Written::Original(format)) => {
            original("TitleFormat", format, arguments(|it| it.title_arguments.as_ref()))?
        }
        Some(Written::Modern(source)) => modern("subject", place, source, bit, templates)?,
        None => modern("subject", place, &words.subject, bit, templates)?,
    };
    let (text, html) = match chain.iter().find_map(|it| it.body.as_ref()) {
        Some(Body::Original(format)) => {
            (original("BodyFormat", format, arguments(|it| it.body_arguments.as_ref()))?, None)
        }
        Some(Body::Modern { text, html }) => {
            let html = match html {
                Some(html) => Some(modern("html", place, html, bit, templates)?),
                None => None,
            };
            (modern("text", place, text, bit, templates)?, html)
        }
        None => (modern("text", place, &words.body, bit, templates)?, None),
    };
    let reply_to = chain.iter().find_map(|it| it.reply_to.clone());
    let attach = chain.iter().find_map(|it| it.attach).unwrap_or(Attach::Nothing);
    Ok(Some(Rule { from, reply_to, to, cc, bcc, subject, text, html, attach }))
}

/// Parses a template and makes its text of an event of which nothing is known, so that what is
/// misspelt is told at the start.
fn modern(
    name: &str,
    place: &str,
    source: &str,
    bit: u32,
    templates: &mut Templates,
) -> Result<Text, String> {
    let refused = |why: String| format!("{name} of {place}: {why}");
    let template = templates.add(source, name == "html").map_err(refused)?;
    let event = Event { event: bit, context: 1, ..Event::default() };
    let about = About { event: event.into(), ca_name: "".into() };
    templates.text(&template, &about).map_err(refused)?;
    Ok(Text::Modern(template))
}
