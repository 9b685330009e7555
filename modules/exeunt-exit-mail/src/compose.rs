//! Makes a mail of what is said about one event or several.

use std::{collections::HashSet, fmt::Write as _};

use exeunt_module_kit::{Event, exit_event};
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Attachment, Body, Mailbox, Mailboxes, MultiPart, SinglePart,
        header::{self, ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};

use crate::{
    levels::Attach,
    property,
    recipient::{RECIPIENTS_MAX, is_domain},
};

/// Longest subject, in characters.
pub const SUBJECT_CHARS_MAX: usize = 200;

/// Stands between the events of a digest.
const RULER: &str = "------------------------------------------------------------------------";

/// Says that no person wrote it, so that no absence is answered (RFC 3834, section 5).
const AUTO_SUBMITTED: HeaderName = HeaderName::new_from_ascii_str("Auto-Submitted");

/// The event that a mail is about; of a digest, the first one.
const EVENT: HeaderName = HeaderName::new_from_ascii_str("X-Exeunt-Event");

/// Who sends to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parties {
    /// Who sends.
    pub from: Mailbox,
    /// Who is to be answered.
    pub reply_to: Option<Mailbox>,
    /// Who is written to.
    pub to: Vec<Mailbox>,
    /// Who gets a copy.
    pub cc: Vec<Mailbox>,
    /// Who gets a copy that nobody sees.
    pub bcc: Vec<Mailbox>,
    /// Those of them that the operator named, each with the setting.
    pub fixed: Vec<(Address, &'static str)>,
}

impl Parties {
    /// Whether there is nobody to write to.
    pub fn is_nobody(&self) -> bool {
        self.to.is_empty() && self.cc.is_empty() && self.bcc.is_empty()
    }

    /// Every address that gets the mail, each once.
    pub fn recipients(&self) -> Vec<Address> {
        let mut seen = HashSet::new();
        let all = self.to.iter().chain(&self.cc).chain(&self.bcc);
        all.filter(|it| seen.insert(&it.email)).map(|it| it.email.clone()).collect()
    }
}

/// What is said about one event.
#[derive(Clone, Debug)]
pub struct Item {
    /// Id of the event.
    pub id: String,
    /// What happened, as a word.
    pub word: &'static str,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same in HTML.
    pub html: Option<String>,
    /// Files to go along.
    pub attachment: Option<File>,
}

/// A file that goes along.
#[derive(Clone, Debug)]
pub struct File {
    name: String,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Pem(String),
    Der(Vec<u8>),
}

impl File {
    /// The certificate of an event, if it has one and it is wanted.
    pub fn of(event: &Event, attach: Attach) -> Option<Self> {
        if attach == Attach::Nothing {
            return None;
        }
        let der = event.certificate.binary("RawCertificate").ok()?;
        let serial = event.certificate.string("SerialNumber").unwrap_or_default();
        let serial: String = serial.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        let serial = if serial.is_empty() { format!("request-{}", event.context) } else { serial };
        let ending = pem_rfc7468::LineEnding::LF;
        match attach {
            Attach::Pem => {
                let text = pem_rfc7468::encode_string("CERTIFICATE", ending, der).ok()?;
                Some(Self { name: format!("{serial}.pem"), content: Content::Pem(text) })
            }
            _ => Some(Self { name: format!("{serial}.cer"), content: Content::Der(der.to_vec()) }),
        }
    }

    fn part(&self) -> Result<SinglePart, String> {
        let kind = |text| ContentType::parse(text).map_err(|err| format!("{text}: {err}"));
        let attachment = Attachment::new(self.name.clone());
        Ok(match &self.content {
            Content::Pem(text) => attachment.body(text.clone(), kind("application/x-pem-file")?),
            Content::Der(octets) => {
                // Said, because octets that happen to be ASCII would go as they are.
                let body = Body::new_with_encoding(octets.clone(), ContentTransferEncoding::Base64)
                    .map_err(|_| "the certificate cannot be attached".to_owned())?;
                attachment.body(body, kind("application/pkix-cert")?)
            }
        })
    }
}

/// A mail, ready to be sent.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Who gets what cannot be delivered.
    pub sender: Address,
    /// Everybody who gets it.
    pub recipients: Vec<Address>,
    /// Those of them that the operator named, each with the setting.
    pub fixed: Vec<(Address, &'static str)>,
    /// Headers and body, with line ends as they are sent.
    pub text: String,
}

/// Who writes, for the parts of a mail that do not hang on the event.
#[derive(Clone, Debug)]
pub struct Author {
    /// Name of the CA.
    pub ca_name: String,
    /// Name of the module: two modules write two mails about the same event.
    pub module: String,
}

impl Author {
    /// A mail about these events, at least one.
    ///
    /// The same events make the same `Message-ID`, whenever it is sent again: so mail systems and people
    /// can tell a mail that came twice.
    ///
    /// # Errors
    ///
    /// Why it cannot be made, in one line.
    pub fn mail(&self, parties: &Parties, items: &[Item]) -> Result<Mail, String> {
        let recipients = parties.recipients();
        if RECIPIENTS_MAX < recipients.len() {
            return Err(format!("the mail has more than {RECIPIENTS_MAX} recipients"));
        }
        let Some(first) = items.first() else { return Err("the mail is about nothing".to_owned()) };
        let (subject, text, html) = match items {
            [one] => (one.subject.clone(), one.text.clone(), one.html.clone()),
            several => (self.digest_subject(several), self.digest_text(several), None),
        };
        let envelope = Envelope::new(Some(parties.from.email.clone()), recipients.clone())
            .map_err(|err| err.to_string())?;
        let mut builder = Message::builder()
            .mailbox(header::From::from(Mailboxes::from(parties.from.clone())))
            .subject(property::one_line(&subject, SUBJECT_CHARS_MAX))
            .message_id(Some(self.message_id(parties, items)))
            .envelope(envelope)
            .raw_header(HeaderValue::new(AUTO_SUBMITTED, "auto-generated".to_owned()))
            .raw_header(HeaderValue::new(EVENT, format!("{} {}", word(&first.id), first.word)));
        if let Some(reply_to) = &parties.reply_to {
            builder = builder.reply_to(reply_to.clone());
        }
        for (mailboxes, is_copy) in [(&parties.to, false), (&parties.cc, true)] {
            if mailboxes.is_empty() {
                continue;
            }
            let mut all = Mailboxes::new();
            all.extend(mailboxes.iter().cloned());
            builder = if is_copy {
                builder.mailbox(header::Cc::from(all))
            } else {
                builder.mailbox(header::To::from(all))
            };
        }
        let files = items.iter().filter_map(|it| it.attachment.as_ref());
        let files = files.map(File::part).collect::<Result<Vec<_>, _>>()?;
        let message = match (html, files.is_empty()) {
            (None, true) => builder.singlepart(SinglePart::plain(text)),
            (Some(html), true) => builder.multipart(MultiPart::alternative_plain_html(text, html)),
            (html, false) => {
                let mixed = match html {
                    None => MultiPart::mixed().singlepart(SinglePart::plain(text)),
                    Some(html) => {
                        MultiPart::mixed().multipart(MultiPart::alternative_plain_html(text, html))
                    }
                };
                builder.multipart(files.into_iter().fold(mixed, MultiPart::singlepart))
            }
        };
        let message = message.map_err(|err| err.to_string())?;
        let text = String::from_utf8(message.formatted())
            .map_err(|_| "the mail is not of UTF-8".to_owned())?;
        let (sender, fixed) = (parties.from.email.clone(), parties.fixed.clone());
        Ok(Mail { sender, recipients, fixed, text })
    }

    fn message_id(&self, parties: &Parties, items: &[Item]) -> String {
        let domain = Some(parties.from.email.domain()).filter(|it| is_domain(it));
        let domain = domain.unwrap_or("localhost");
        let module = word(&self.module);
        let first = items.first().map(|it| word(&it.id)).unwrap_or_default();
        match items {
            [_] => format!("<{first}.{module}@{domain}>"),
            // A digest of other events must not look like this one to a system that drops what it
            // has seen, so all ids are in it.
            several => {
                let sum = fingerprint(several.iter().map(|it| it.id.as_str()));
                format!("<{first}.{}.{sum:016x}.{module}@{domain}>", several.len())
            }
        }
    }

    fn digest_subject(&self, items: &[Item]) -> String {
        let mut counts = String::new();
        for (_, word) in exit_event::WORDS {
            let count = items.iter().filter(|it| it.word == word).count();
            if 0 < count {
                let comma = if counts.is_empty() { "" } else { ", " };
                write!(counts, "{comma}{count} {word}")
                    .expect("BUG: writing to a String cannot fail");
            }
        }
        format!("[{}] {} events: {counts}", self.ca_name, items.len())
    }

    fn digest_text(&self, items: &[Item]) -> String {
        let line = |it: &Item| property::one_line(&it.subject, SUBJECT_CHARS_MAX);
        let mut text = format!("{} events at {}:\n\n", items.len(), self.ca_name);
        for (index, item) in items.iter().enumerate() {
            writeln!(text, "{:>4}. {}", index + 1, line(item))
                .expect("BUG: writing to a String cannot fail");
        }
        for (index, item) in items.iter().enumerate() {
            let (id, word) = (word(&item.id), item.word);
            write!(
                text,
                "\n{RULER}\n{}. {}\n({word}, {id})\n\n{}\n",
                index + 1,
                line(item),
                item.text.trim_end()
            )
            .expect("BUG: writing to a String cannot fail");
        }
        text
    }
}

/// What may stand in a `Message-ID` (RFC 5322, section 3.6.4), of a bounded length.
fn word(text: &str) -> String {
    let kept = |it: char| if it.is_ascii_alphanumeric() || it == '-' { it } else { '-' };
    text.chars().map(kept).take(100).collect()
}

/// FNV-1a of 64 bits over the ids, each with its end. Only accidents have to be told apart.
fn fingerprint<'a>(ids: impl Iterator<Item = &'a str>) -> u64 {
    let octets = ids.flat_map(|it| it.bytes().chain([0]));
    octets.fold(0xcbf2_9ce4_8422_2325, |sum: u64, it| {
        (sum ^ u64::from(it)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
