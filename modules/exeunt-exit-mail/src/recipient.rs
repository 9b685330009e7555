//! Who may be written to: addresses of the operator, and those that a certificate or its request names.
//!
//! **Invariant.** Words of a requester become a recipient only where a setting names the property that
//! they stand in, only within `requester_domains`, and only if they are an address of the plainest form.

use exeunt_module_kit::{Event, Value};
use lettre::{Address, message::Mailbox};
use x509_cert::{
    der::Decode as _,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::property;

/// Most recipients of a mail, as many as every server takes (RFC 5321, section 4.5.3.1.8).
pub const RECIPIENTS_MAX: usize = 100;

/// Longest address, in octets (RFC 5321, section 4.5.3.1.3, without the brackets).
pub const ADDRESS_BYTES_MAX: usize = 254;

/// Longest part before the at sign, in octets (RFC 5321, section 4.5.3.1.1).
const LOCAL_PART_BYTES_MAX: usize = 64;

/// Subject alternative name.
const SUBJECT_ALT_NAME: &str = "2.5.29.17";

/// The original's flag of an extension that was left out of the certificate.
const EXTENSION_DISABLED: u32 = 0x2;

/// The word, in braces, for the requester's address, wherever it is found.
const REQUESTER: &str = "requester";

/// Properties that the requester's address is looked for in, behind the alternative names.
const REQUESTER_PROPERTIES: [&str; 2] = ["EMail", "Request.EMail"];

/// One entry of `to`, `cc` or `bcc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The operator's own words.
    Fixed(Mailbox),
    /// The requester's address.
    Requester,
    /// Whatever addresses a property holds.
    Property(String),
}

impl Recipient {
    /// Reads the entries of one setting. Several may stand in one text, with a comma or a semicolon
    /// between them.
    ///
    /// # Errors
    ///
    /// The entry that is neither an address nor a property in braces.
    pub fn list(entries: &[&str]) -> Result<Vec<Self>, String> {
        entries
            .iter()
            .flat_map(|it| split(it))
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .map(Self::parse)
            .collect()
    }

    fn parse(entry: &str) -> Result<Self, String> {
        let Some(name) = entry.strip_prefix('{').and_then(|it| it.strip_suffix('}')) else {
            return mailbox(entry).map(Self::Fixed);
        };
        if name.eq_ignore_ascii_case(REQUESTER) {
            return Ok(Self::Requester);
        }
        if !property::is_known(name) {
            return Err(format!("there is no property {name:?}"));
        }
        Ok(Self::Property(name.to_owned()))
    }

    /// Whether a requester has a say in it.
    pub fn is_foreign(&self) -> bool {
        !matches!(self, Self::Fixed(_))
    }
}

/// A mailbox of the operator: `Certificate Services <ca@example.com>`, or the address alone.
///
/// # Errors
///
/// It is none.
pub fn mailbox(text: &str) -> Result<Mailbox, String> {
    let refused = || format!("{text:?} is no mail address");
    if text.chars().any(char::is_control) {
        return Err(refused());
    }
    let (name, address) = match text.strip_suffix('>').map(|it| it.rsplit_once('<')) {
        Some(Some((name, address))) => (name.trim(), address),
        Some(None) => return Err(refused()),
        None => ("", text.trim()),
    };
    let name = match name.strip_prefix('"').map(|it| it.strip_suffix('"')) {
        Some(Some(quoted)) => quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
        Some(None) => return Err(refused()),
        None => name.to_owned(),
    };
    if ADDRESS_BYTES_MAX < address.len() || address.contains(char::is_whitespace) {
        return Err(refused());
    }
    let address: Address = address.parse().map_err(|_| refused())?;
    Ok(Mailbox::new(Some(name).filter(|it| !it.is_empty()), address))
}

/// The domains that requesters' addresses may be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Domain>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Domain {
    Every,
    Exactly(String),
    /// Those below it, by its text with the dot before it.
    Below(String),
}

impl AllowList {
    /// Reads `example.com`, `*.example.com` (everything below it, not itself) and `*`.
    ///
    /// # Errors
    ///
    /// The entry that is none of them.
    pub fn read(entries: &[&str]) -> Result<Self, String> {
        let domain = |entry: &&str| {
            let entry = entry.to_ascii_lowercase();
            if entry == "*" {
                return Ok(Domain::Every);
            }
            let (below, plain) = match entry.strip_prefix("*.") {
                Some(plain) => (true, plain),
                None => (false, entry.as_str()),
            };
            if !is_domain(plain) {
                return Err(format!("{entry:?} is no domain"));
            }
            Ok(if below { Domain::Below(format!(".{plain}")) } else { Domain::Exactly(entry) })
        };
        entries.iter().map(domain).collect::<Result<_, _>>().map(Self)
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn allows(&self, domain: &str) -> bool {
        let domain = domain.to_ascii_lowercase();
        self.0.iter().any(|it| match it {
            Domain::Every => true,
            Domain::Exactly(allowed) => *allowed == domain,
            Domain::Below(end) => domain.ends_with(end.as_str()),
        })
    }
}

/// What became of the entries of one setting.
#[derive(Debug, Default)]
pub struct Found {
    /// Those that can be written to.
    pub mailboxes: Vec<Mailbox>,
    /// Why others cannot, a line each.
    pub refused: Vec<String>,
}

impl Found {
    /// Fills in what the event says.
    pub fn of(recipients: &[Recipient], event: &Event, allowed: &AllowList) -> Self {
        let mut found = Self::default();
        for recipient in recipients {
            match recipient {
                Recipient::Fixed(mailbox) => found.add(mailbox.clone()),
                Recipient::Requester => found.add_requester(event, allowed),
                Recipient::Property(name) => {
                    let texts = texts_of(event, name);
                    if texts.is_empty() {
                        found.refused.push(format!("{name} is empty"));
                    }
                    found.add_foreign(&texts, allowed);
                }
            }
        }
        found
    }

    /// Takes the first place that holds an address, and of that every address.
    fn add_requester(&mut self, event: &Event, allowed: &AllowList) {
        let mut texts = alternative_names(event);
        for name in REQUESTER_PROPERTIES {
            if texts.is_empty() {
                texts = texts_of(event, name);
            }
        }
        if texts.is_empty() {
            self.refused.push("no address of the requester is known".to_owned());
        }
        self.add_foreign(&texts, allowed);
    }

    fn add_foreign(&mut self, texts: &[String], allowed: &AllowList) {
        for text in texts {
            match foreign(text, allowed) {
                Ok(address) => self.add(Mailbox::new(None, address)),
                Err(why) => self.refused.push(why),
            }
        }
    }

    fn add(&mut self, mailbox: Mailbox) {
        if !self.mailboxes.iter().any(|it| it.email == mailbox.email) {
            self.mailboxes.push(mailbox);
        }
    }
}

fn texts_of(event: &Event, name: &str) -> Vec<String> {
    match property::named(event, name) {
        Ok(Value::String(text)) => {
            text.lines().map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// The mail addresses among the alternative names. An extension that was left out of a certificate
/// counts only as long as there is none.
fn alternative_names(event: &Event) -> Vec<String> {
    let Some(extension) = event.extensions.extension(SUBJECT_ALT_NAME) else { return Vec::new() };
    let is_issued = event.certificate_property("RawCertificate").is_ok();
    if is_issued && extension.flags & EXTENSION_DISABLED != 0 {
        return Vec::new();
    }
    let Ok(names) = SubjectAltName::from_der(&extension.value) else { return Vec::new() };
    let address = |it: &GeneralName| match it {
        GeneralName::Rfc822Name(text) => Some(text.as_str().to_owned()),
        _ => None,
    };
    names.0.iter().filter_map(address).collect()
}

/// An address in a requester's words: a dot-atom, an at sign and a domain with a dot in it, all of
/// ASCII. No quotation marks, no comment, no address literal: who needs these is written to by name.
fn foreign(text: &str, allowed: &AllowList) -> Result<Address, String> {
    let shown = || property::one_line(text, ADDRESS_BYTES_MAX);
    let refused = || format!("{:?} is no plain mail address", shown());
    let (local, domain) = text.split_once('@').ok_or_else(refused)?;
    let is_atom = |it: &str| {
        !it.is_empty()
            && it
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&it))
    };
    let is_plain = text.len() <= ADDRESS_BYTES_MAX
        && local.len() <= LOCAL_PART_BYTES_MAX
        && local.split('.').all(is_atom)
        && domain.contains('.')
        && is_domain(domain);
    if !is_plain {
        return Err(refused());
    }
    if !allowed.allows(domain) {
        return Err(format!("{:?} is not within requester_domains", shown()));
    }
    text.parse().map_err(|_| refused())
}

/// Labels of letters, digits and hyphens, with dots between them (RFC 1123, section 2.1).
pub fn is_domain(text: &str) -> bool {
    let is_label = |it: &str| {
        (1..=63).contains(&it.len())
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-')
            && !it.starts_with('-')
            && !it.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Splits at commas and semicolons that are not within quotation marks.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (place, it) in text.char_indices() {
        match it {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' if !quoted => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::Extension;

    fn allowed(entries: &[&str]) -> AllowList {
        AllowList::read(entries).unwrap()
    }

    fn with_mail(text: &str) -> Event {
        let mut event = Event { context: 9, ..Event::default() };
        event.certificate.push("EMail", Value::String(text.to_owned()));
        event
    }

    /// An extension with these octets as its one name of that kind (RFC 5280: 1 mail, 2 DNS).
    fn alternative(kind: u8, octets: &[u8], flags: u32) -> Extension {
        let length = u8::try_from(octets.len()).unwrap();
        let mut value = vec![0x30, length + 2, 0x80 | kind, length];
        value.extend(octets);
        Extension { flags, value }
    }

    fn addresses(found: &Found) -> Vec<String> {
        found.mailboxes.iter().map(|it| it.email.to_string()).collect()
    }

    #[test]
    fn entries_are_split_at_commas_and_semicolons_outside_of_quotation_marks() {
        let list =
            Recipient::list(&["a@example.com; \"Doe, J.\" <j@example.com>,{requester}", "{UPN}"]);
        let named = Mailbox::new(Some("Doe, J.".to_owned()), "j@example.com".parse().unwrap());
        assert_eq!(
            list.unwrap(),
            [
                Recipient::Fixed(mailbox("a@example.com").unwrap()),
                Recipient::Fixed(named),
                Recipient::Requester,
                Recipient::Property("UPN".to_owned()),
            ]
        );
        assert_eq!(Recipient::list(&["", " ; "]).unwrap(), []);
        for wrong in
            ["nobody", "a@b\r\nBcc: c@d.example", "<a@example.com", "a@example.com>", "{Nonsense}"]
        {
            assert!(Recipient::list(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_requester_s_address_is_in_the_alternative_names_or_in_the_subject() {
        let everybody = allowed(&["*"]);
        let found =
            |event: &Event| addresses(&Found::of(&[Recipient::Requester], event, &everybody));
        let mut event = with_mail("subject@example.com");
        assert_eq!(found(&event), ["subject@example.com"]);
        let names = alternative(1, b"alternative@example.com", 0);
        event.extensions.push(SUBJECT_ALT_NAME.to_owned(), names);
        assert_eq!(found(&event), ["alternative@example.com"]);

        let mut event = with_mail("subject@example.com");
        let names = alternative(2, b"host.example.com", 0);
        event.extensions.push(SUBJECT_ALT_NAME.to_owned(), names);
        assert_eq!(found(&event), ["subject@example.com"]);
    }

    #[test]
    fn what_was_left_out_of_a_certificate_counts_until_there_is_one() {
        let everybody = allowed(&["*"]);
        let mut event = Event { context: 9, ..Event::default() };
        let names = alternative(1, b"asked@example.com", EXTENSION_DISABLED);
        event.extensions.push(SUBJECT_ALT_NAME.to_owned(), names);
        let found =
            |event: &Event| addresses(&Found::of(&[Recipient::Requester], event, &everybody));
        assert_eq!(found(&event), ["asked@example.com"]);
        event.certificate.push("RawCertificate", Value::Binary(vec![0x30, 0]));
        assert_eq!(found(&event), [""; 0]);
    }

    #[test]
    fn a_requester_is_written_to_only_within_the_domains_that_are_allowed() {
        let list = allowed(&["example.com", "*.example.org"]);
        for (address, is_allowed) in [
            ("a@example.com", true),
            ("a@EXAMPLE.com", true),
            ("a@sub.example.com", false),
            ("a@notexample.com", false),
            ("a@sub.example.org", true),
            ("a@example.org", false),
            ("a@badexample.org", false),
        ] {
            let found = Found::of(&[Recipient::Requester], &with_mail(address), &list);
            assert_eq!(!found.mailboxes.is_empty(), is_allowed, "{address}");
            assert_eq!(found.refused.is_empty(), is_allowed, "{address}");
        }
        assert!(AllowList::default().is_empty());
        for wrong in ["", "exa mple.com", "*example.com", "example..com", "-a.example"] {
            assert!(AllowList::read(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn words_that_are_no_plain_address_are_no_recipient() {
        let everybody = allowed(&["*"]);
        for text in [
            "nobody",
            "@example.com",
            "a@",
            "a@localhost",
            "a@[127.0.0.1]",
            "\"a b\"@example.com",
            "a b@example.com",
            "a@example.com,b@example.com",
            "a@example.com> SIZE=1",
            "a@example.com\0",
            "a@example.com\u{85}Bcc: b@example.com",
            "ä@example.com",
            "a@exämple.com",
            "a..b@example.com",
            "a@b@example.com",
        ] {
            let found = Found::of(&[Recipient::Requester], &with_mail(text), &everybody);
            assert!(found.mailboxes.is_empty(), "{text:?}: {:?}", found.mailboxes);
            assert_eq!(found.refused.len(), 1, "{text:?}");
        }
    }

    #[test]
    fn several_values_are_several_recipients_and_each_once() {
        let event = with_mail("a@example.com\nb@example.com\na@example.com\nnobody");
        let recipients = [Recipient::Property("EMail".to_owned()), Recipient::Requester];
        let found = Found::of(&recipients, &event, &allowed(&["example.com"]));
        assert_eq!(addresses(&found), ["a@example.com", "b@example.com"]);
    }

    proptest::proptest! {
        /// Whatever a requester writes, an address that comes of it is one word of plain ASCII that
        /// cannot end a command or a header.
        #[test]
        fn an_address_of_a_requester_is_one_plain_word(text in "(\\PC|[\\x00-\\x7f]){0,80}") {
            let everybody = allowed(&["*"]);
            for text in [text.clone(), format!("{text}@example.com"), format!("a@{text}")] {
                let found = Found::of(&[Recipient::Requester], &with_mail(&text), &everybody);
                for mailbox in found.mailboxes {
                    let address = mailbox.email.to_string();
                    proptest::prop_assert!(address.bytes().all(|it| it.is_ascii_graphic()));
                    proptest::prop_assert!(!address.contains(['<', '>', ',', ';', '"', ' ', '\\']));
                    proptest::prop_assert!(mailbox.name.is_none());
                }
            }
        }
    }
}
