//! Names made of events: files, keys of objects, subjects of a bus.
//!
//! A pattern is the operator's text with fields in braces; values are requesters' and hostile until
//! they are sanitised. After it they hold none of the characters that a path, a shell, a terminal or
//! the target gives a meaning, and different values stay different.

use std::fmt::Write as _;

use exeunt_module_kit::{Event, exit_event};

/// Longest file name, in bytes: `NAME_MAX` of Linux.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest key of an object, in bytes: the limit of S3.
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest subject on a bus, in bytes. NATS has no limit of its own below a line of 4096.
pub const SUBJECT_BYTES_MAX: usize = 512;

/// Longest sanitised value that is kept whole, in characters. A common name has at most 64
/// (X.520, ub-common-name), and some of them may take five.
pub const VALUE_CHARS_MAX: usize = 96;

/// Longest serial number, in hexadecimal digits: 20 octets (RFC 5280, section 4.1.2.2).
const SERIAL_DIGITS_MAX: usize = 40;

/// What stands before what tells a cut value apart. Sanitising writes four hexadecimal digits after
/// every `!`, so no value can hold it.
const MARK: &str = "!-";

/// Where a name stands, and so which characters it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file in a folder: no slash, no dot at the start.
    FileName,
    /// The key of an object: slashes by the operator alone, no empty or dotted part.
    ObjectKey,
    /// A subject on a bus: dots by the operator alone, no blanks, no wildcards, no empty token.
    Subject,
}

impl Place {
    /// The word for the operator.
    fn word(self) -> &'static str {
        match self {
            Self::FileName => "file name",
            Self::ObjectKey => "key",
            Self::Subject => "subject",
        }
    }

    fn bytes_max(self) -> usize {
        match self {
            Self::FileName => NAME_BYTES_MAX,
            Self::ObjectKey => KEY_BYTES_MAX,
            Self::Subject => SUBJECT_BYTES_MAX,
        }
    }

    /// Whether a value may hold this character of ASCII. The others are those that the original
    /// allows in no name (`[MS-WCCE]`, section 3.1.1.4.1.1).
    fn keeps(self, it: char, first: bool) -> bool {
        let plain = matches!(it, ' '..='~') && !"!\"#%&'()*+,/:;<=>?[\\]^`{|}".contains(it);
        match (self, it) {
            // A leading one hides a file or names a folder.
            (Self::FileName | Self::ObjectKey, '.') => !first,
            (Self::Subject, '.' | ' ' | '$' | '~') => false,
            _ => plain,
        }
    }

    /// What the operator's own text may not be.
    fn check(self, text: &str) -> Result<(), &'static str> {
        if text.chars().any(char::is_control) {
            return Err(match self {
                Self::FileName => "holds a slash or a control character: it names a file, no path",
                Self::ObjectKey | Self::Subject => "holds a control character",
            });
        }
        let dotted = |it: &str| it.is_empty() || it == "." || it == "..";
        match self {
            Self::FileName if text.starts_with('.') => {
                Err("starts with a dot: such files are hidden")
            }
            Self::FileName if text.contains('/') => {
                Err("holds a slash or a control character: it names a file, no path")
            }
            Self::ObjectKey if text.split('/').any(dotted) => {
                Err("has a part that is empty, \".\" or \"..\"")
            }
            Self::Subject if text.contains([' ', '*', '>']) => Err("holds a blank or a wildcard"),
            Self::Subject if text.starts_with('$') => Err("starts with $, as a server's own do"),
            Self::Subject if text.split('.').any(str::is_empty) => Err("has an empty token"),
            _ => Ok(()),
        }
    }
}

/// How things are named: text with fields in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    place: Place,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Serial,
    RequestId,
    SubjectCn,
    Template,
    Event,
    EventId,
    Ca,
    Requester,
}

/// The fields, in the order in which they are told.
const FIELDS: [(&str, Field); 8] = [
    ("serial", Field::Serial),
    ("request_id", Field::RequestId),
    ("subject_cn", Field::SubjectCn),
    ("template", Field::Template),
    ("event", Field::Event),
    ("event_id", Field::EventId),
    ("ca", Field::Ca),
    ("requester", Field::Requester),
];

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// One line for the operator.
    pub fn parse(text: &str, place: Place) -> Result<Self, String> {
        let bytes_max = place.bytes_max();
        if text.is_empty() || bytes_max < text.len() {
            return Err(format!("pattern has to have 1 to {bytes_max} bytes"));
        }
        place.check(text).map_err(|why| format!("pattern {why}"))?;
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(at);
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (word, after) = braced
                .strip_prefix('{')
                .and_then(|it| it.split_once('}'))
                .ok_or("pattern holds a brace without its partner")?;
            let field = FIELDS.iter().find(|(name, _)| *name == word);
            let (_, field) = field.ok_or_else(|| {
                format!("pattern: there is no field {{{word}}}; there are {}", known())
            })?;
            pieces.push(Piece::Field(*field));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self { place, pieces })
    }

    /// Whether two certificates may get the same name.
    #[must_use]
    pub fn names_may_meet(&self) -> bool {
        let own = |it: &Piece| {
            matches!(it, Piece::Field(Field::Serial | Field::RequestId | Field::EventId))
        };
        !self.pieces.iter().any(own)
    }

    /// Whether a certificate gets another name by each event that tells of it, so that nobody who has
    /// the certificate alone finds it by its name.
    #[must_use]
    pub fn is_named_by_event(&self) -> bool {
        self.pieces.contains(&Piece::Field(Field::EventId))
    }

    /// The name of an event, or of its certificate.
    ///
    /// # Errors
    ///
    /// One line for the operator: the event cannot be named by this pattern, now or later.
    pub fn expand(&self, event: &Event) -> Result<String, String> {
        let place = self.place;
        let text = |name: &str| event.certificate.string(name).unwrap_or_default();
        let request = |name: &str| event.request.string(name).unwrap_or_default();
        let mut name = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Field(Field::Serial) => name.push_str(serial_of(event)?),
                Piece::Field(Field::RequestId) => name.push_str(&request_id_of(event)?),
                Piece::Field(Field::SubjectCn) => {
                    name.push_str(&value(text("CommonName"), event, place)?);
                }
                Piece::Field(Field::Template) => {
                    name.push_str(&value(text("CertificateTemplate"), event, place)?);
                }
                Piece::Field(Field::Requester) => {
                    name.push_str(&value(request("RequesterName"), event, place)?);
                }
                Piece::Field(Field::Event) => name.push_str(exit_event::word(event.event)),
                Piece::Field(Field::EventId) => name.push_str(&sanitized(&event.id, place)),
                Piece::Field(Field::Ca) => {
                    let ca = event.system.string("SanitizedCAName").unwrap_or_default();
                    name.push_str(&value(ca, event, place)?);
                }
            }
        }
        // Of these only the length can happen; the others are the promise of this module, kept
        // where nobody has to trust the lines above.
        if name.is_empty() || name.contains('\0') || place.check(&name).is_err() {
            return Err(format!("{} {name:?} is not safe", place.word()));
        }
        if place.bytes_max() < name.len() {
            return Err(format!(
                "a {} of {} bytes is longer than the allowed {}",
                place.word(),
                name.len(),
                place.bytes_max()
            ));
        }
        Ok(name)
    }
}

/// The fields, for a sentence.
fn known() -> String {
    let (last, others) = FIELDS.split_last().expect("BUG: there are fields");
    let others: Vec<String> = others.iter().map(|(name, _)| format!("{{{name}}}")).collect();
    format!("{} and {{{}}}", others.join(", "), last.0)
}

fn serial_of(event: &Event) -> Result<&str, String> {
    let serial = event.certificate.string("SerialNumber").map_err(|err| err.to_string())?;
    let hex = serial.bytes().all(|it| it.is_ascii_hexdigit());
    if serial.is_empty() || SERIAL_DIGITS_MAX < serial.len() || !hex {
        return Err("property SerialNumber is no serial number".to_owned());
    }
    Ok(serial)
}

/// The context, and not the property: that one is a number of 32 bits, and a full one would give
/// many certificates one name.
fn request_id_of(event: &Event) -> Result<String, String> {
    match event.context {
        0 => Err("the event is about no request".to_owned()),
        id => Ok(id.to_string()),
    }
}

/// A value as a part of a name.
///
/// One that is too long is cut, and one that is empty has nothing to say: both are followed by the
/// serial number, or by the event's id where there is none, so that nobody can choose a long name
/// that meets another's after the cut.
fn value(text: &str, event: &Event, place: Place) -> Result<String, String> {
    let apart = || match event.certificate.string("SerialNumber") {
        Ok(_) => serial_of(event).map(str::to_owned),
        Err(_) => Ok(sanitized(&event.id, place)),
    };
    let mut value = String::new();
    for (index, unit) in text.encode_utf16().enumerate() {
        let start = value.len();
        sanitize(&mut value, unit, index == 0, place);
        if VALUE_CHARS_MAX < value.len() {
            value.truncate(start);
            return Ok(value + MARK + &apart()?);
        }
    }
    if value.is_empty() { Ok(value + MARK + &apart()?) } else { Ok(value) }
}

/// Any text as a part of a name, cut without further ado. No dot is left in it.
#[must_use]
pub fn sanitized(text: &str, place: Place) -> String {
    let mut out = String::new();
    text.encode_utf16().for_each(|unit| {
        if out.len() < VALUE_CHARS_MAX {
            sanitize(&mut out, unit, true, place);
        }
    });
    out
}

/// Appends one UTF-16 unit: as it is, or as `!` and four hexadecimal digits where the place does not
/// allow it.
fn sanitize(out: &mut String, unit: u16, first: bool, place: Place) {
    match u8::try_from(unit).map(char::from) {
        Ok(it) if place.keeps(it, first) => out.push(it),
        _ => write!(out, "!{unit:04x}").expect("BUG: writing to memory does not fail"),
    }
}

#[cfg(test)]
mod tests;
