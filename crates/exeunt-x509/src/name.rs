//! Distinguished names: DER, and what is in it. The text form is in `name_text`.

use crate::tlv::{
    BMP_STRING, Cursor, IA5_STRING, NotDer, OID, PRINTABLE_STRING, SEQUENCE, SET, TELETEX_STRING,
    Tlv, UTF8_STRING, check_der,
};
use crate::write::Writer;
use const_oid::ObjectIdentifier;

/// Largest name, in octets of DER: what the original's database keeps of one.
pub const NAME_BYTES_MAX: usize = 8192;
/// Most attributes in one name. Names seen in practice have less than a dozen.
pub const NAME_ATTRIBUTE_COUNT_MAX: usize = 32;

/// Why bytes or a text are not an acceptable distinguished name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The bytes are not the DER of a name.
    #[error("name is malformed: {what}")]
    Malformed {
        /// Which rule they broke.
        what: &'static str,
    },
    /// The text is not in the form of RFC 4514.
    #[error("name is not written like \"CN=Example,O=Acme,C=DE\": {what}")]
    Syntax {
        /// Which rule it broke.
        what: &'static str,
    },
    /// The text uses a keyword that is not known.
    #[error("name has unknown attribute type {keyword:?}")]
    UnknownType {
        /// The keyword as written, at most 64 characters of it.
        keyword: String,
    },
    /// A character that could deceive a reader or break a line.
    #[error("{attribute} contains the forbidden character U+{character:04X}")]
    Character {
        /// Keyword or dotted object identifier.
        attribute: String,
        /// Code point.
        character: u32,
    },
    /// The value is not in a string type that this attribute may have, or not in its alphabet.
    #[error("{attribute} is not a valid string of a type that it may have")]
    StringType {
        /// Keyword or dotted object identifier.
        attribute: String,
    },
    /// The value has more or fewer characters than allowed.
    #[error("{attribute} has {len} characters, {min} to {max} allowed")]
    Length {
        /// Keyword or dotted object identifier.
        attribute: String,
        /// How many there are.
        len: usize,
        /// Lower bound.
        min: usize,
        /// Upper bound.
        max: usize,
    },
    /// More than [`NAME_ATTRIBUTE_COUNT_MAX`] attributes or [`NAME_BYTES_MAX`] octets.
    #[error("name is too large")]
    TooLarge,
}

impl NameError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "name-malformed",
            Self::Syntax { .. } => "name-syntax",
            Self::UnknownType { .. } => "name-type-unknown",
            Self::Character { .. } => "name-character",
            Self::StringType { .. } => "name-string-type",
            Self::Length { .. } => "name-length",
            Self::TooLarge => "name-too-large",
        }
    }
}

impl From<NotDer> for NameError {
    fn from(NotDer(what): NotDer) -> Self {
        Self::Malformed { what }
    }
}

/// A distinguished name: its exact DER and its attributes (RFC 5280, section 4.1.2.4).
///
/// A `Name` in hand has no character in it that could deceive a reader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    der: Vec<u8>,
    attributes: Vec<NameAttribute>,
}

/// One type and value. Order is that of the DER.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NameAttribute {
    pub(crate) oid: ObjectIdentifier,
    /// Tag of the string type.
    pub(crate) tag: u8,
    pub(crate) value: String,
    /// Whether it stands in the same RDN as the one before it.
    pub(crate) joined: bool,
}

impl Name {
    /// Reads the DER of a `Name`, which must be all that `der` holds.
    ///
    /// Lengths are not checked: see [`Name::check_bounds`].
    ///
    /// # Errors
    ///
    /// [`NameError`] says what is not acceptable about it.
    pub fn from_der(der: &[u8]) -> Result<Self, NameError> {
        if NAME_BYTES_MAX < der.len() {
            return Err(NameError::TooLarge);
        }
        check_der(der)?;
        let mut rdns = Tlv::read_as(der, SEQUENCE, "it is not a sequence")?.children();
        let mut attributes: Vec<NameAttribute> = Vec::with_capacity(4);
        while !rdns.is_empty() {
            let mut rdn = rdns.expect(SET, "an RDN is not a set")?.children();
            let start = attributes.len();
            while attributes.len() == start || !rdn.is_empty() {
                let attribute = read_attribute(&mut rdn, start < attributes.len())?;
                if attributes[start..].iter().any(|it| it.oid == attribute.oid) {
                    return Err(NameError::Malformed { what: "an RDN repeats a type" });
                }
                if attributes.len() == NAME_ATTRIBUTE_COUNT_MAX {
                    return Err(NameError::TooLarge);
                }
                attributes.push(attribute);
            }
        }
        Ok(Self { der: der.to_owned(), attributes })
    }

    /// The name with those attributes, in the order of the DER, which it encodes.
    pub(crate) fn build(attributes: &[NameAttribute]) -> Result<Self, NameError> {
        let mut writer = Writer::with_capacity(128);
        writer.nest(SEQUENCE, |it| {
            for rdn in attributes.chunk_by(|_, next| next.joined) {
                it.nest(SET, |it| write_rdn(it, rdn));
            }
        });
        // Reading it back checks it and puts the attributes of each RDN in the order of the DER.
        let name = Self::from_der(&writer.into_bytes())?;
        name.check_bounds()?;
        Ok(name)
    }

    /// Checks length and string type of every known attribute against RFC 5280, appendix A.
    ///
    /// A foreign issuer's name may break these bounds and still has to be copied faithfully, so
    /// this is asked for subjects only.
    ///
    /// # Errors
    ///
    /// [`NameError::Length`] or [`NameError::StringType`], with the attribute.
    pub fn check_bounds(&self) -> Result<(), NameError> {
        for attribute in &self.attributes {
            let Some(kind) = AttributeType::by_oid(&attribute.oid) else { continue };
            let NameAttribute { value, tag, .. } = attribute;
            let len = value.chars().count();
            let (min, max) = if kind.oid == COUNTRY { (2, 2) } else { (1, kind.len_max) };
            if !(min..=max).contains(&len) {
                let attribute = kind.keyword.to_owned();
                return Err(NameError::Length { attribute, len, min, max });
            }
            if matches!(kind.tag, PRINTABLE_STRING | IA5_STRING) && *tag != kind.tag {
                return Err(NameError::StringType { attribute: kind.keyword.to_owned() });
            }
        }
        Ok(())
    }

    /// The exact bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it has no attribute at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// Whether verifiers take both for one name: case, blanks at the ends, the number of blanks
    /// inside and the string type make no difference (RFC 5280, section 7.1).
    ///
    /// Unicode is not normalised beyond its lower case.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        // Types occur once in an RDN, whose order in the DER depends on the values' case.
        let same_rdn = |ours: &[NameAttribute], theirs: &[NameAttribute]| {
            ours.len() == theirs.len()
                && ours.iter().all(|our| theirs.iter().any(|their| our.matches(their)))
        };
        self.der == other.der
            || (self.rdns().count() == other.rdns().count()
                && self.rdns().zip(other.rdns()).all(|(ours, theirs)| same_rdn(ours, theirs)))
    }

    /// The most specific common name: the last one in the DER, the first one in the text.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        let last = self.attributes.iter().rfind(|it| it.oid == COMMON_NAME);
        last.map(|it| it.value.as_str())
    }

    /// Type (dotted object identifier) and value of every attribute, in the order of the DER.
    pub fn attributes(&self) -> impl DoubleEndedIterator<Item = (String, &str)> {
        self.attributes.iter().map(|it| (it.oid.to_string(), it.value.as_str()))
    }

    /// The name without the attributes that `keeps` says no to, by their dotted object identifiers. What
    /// stays is as it was, to the octet.
    ///
    /// # Errors
    ///
    /// None that a name in hand could cause.
    pub fn filtered(&self, keeps: impl Fn(&str) -> bool) -> Result<Self, NameError> {
        let mut writer = Writer::with_capacity(self.der.len());
        let mut rdns = Tlv::read_as(&self.der, SEQUENCE, "it is not a sequence")?.children();
        let mut failed = None;
        writer.nest(SEQUENCE, |out| {
            let mut copy = || -> Result<(), NameError> {
                while !rdns.is_empty() {
                    let mut rdn = rdns.expect(SET, "an RDN is not a set")?.children();
                    let mut kept = Vec::new();
                    while !rdn.is_empty() {
                        let attribute = rdn.expect(SEQUENCE, "an RDN holds no type and value")?;
                        let oid = attribute.children().expect(OID, "an attribute has no type")?;
                        if keeps(&oid.oid()?.to_string()) {
                            kept.extend_from_slice(attribute.whole);
                        }
                    }
                    if !kept.is_empty() {
                        out.element(SET, &kept);
                    }
                }
                Ok(())
            };
            failed = copy().err();
        });
        match failed {
            Some(err) => Err(err),
            None => Self::from_der(&writer.into_bytes()),
        }
    }

    /// The attributes by RDN, in the order of the DER.
    pub(crate) fn rdns(&self) -> impl DoubleEndedIterator<Item = &[NameAttribute]> {
        self.attributes.chunk_by(|_, next| next.joined)
    }
}

impl NameAttribute {
    fn matches(&self, other: &Self) -> bool {
        let folded = |text: &str| {
            text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
        };
        self.oid == other.oid
            && (self.value == other.value || folded(&self.value) == folded(&other.value))
    }
}

pub(crate) const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
pub(crate) const COUNTRY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.6");

/// What is known about a type of attribute.
#[derive(Debug)]
pub(crate) struct AttributeType {
    pub(crate) oid: ObjectIdentifier,
    /// How it is written.
    pub(crate) keyword: &'static str,
    /// How else it may be typed.
    pub(crate) aliases: &'static [&'static str],
    /// String type it is built with.
    pub(crate) tag: u8,
    /// Most characters.
    pub(crate) len_max: usize,
}

impl AttributeType {
    /// Keywords of RFC 4514 and RFC 4519, and the original's for the rest. Bounds of RFC 5280,
    /// appendix A, and of X.520 for what is not there (street, postal code); mail addresses keep
    /// to 128 as in RFC 3280 and in the original; RFC 1274 bounds UID, RFC 1035 a DC.
    #[rustfmt::skip]
    const KNOWN: [Self; 20] = [
        Self::new("2.5.4.3", "CN", &["commonName"], UTF8_STRING, 64),
        Self::new("2.5.4.10", "O", &["organizationName"], UTF8_STRING, 64),
        Self::new("2.5.4.11", "OU", &["organizationalUnitName"], UTF8_STRING, 64),
        Self::new("2.5.4.6", "C", &["countryName"], PRINTABLE_STRING, 2),
        Self::new("2.5.4.7", "L", &["localityName"], UTF8_STRING, 128),
        Self::new("2.5.4.8", "ST", &["S", "stateOrProvinceName"], UTF8_STRING, 128),
        Self::new("1.2.840.113549.1.9.1", "E", &["emailAddress", "email"], IA5_STRING, 128),
        Self::new("0.9.2342.19200300.100.1.25", "DC", &["domainComponent"], IA5_STRING, 63),
        Self::new("0.9.2342.19200300.100.1.1", "UID", &["userId"], UTF8_STRING, 256),
        Self::new("2.5.4.9", "STREET", &["streetAddress"], UTF8_STRING, 128),
        Self::new("2.5.4.5", "SERIALNUMBER", &[], PRINTABLE_STRING, 64),
        Self::new("2.5.4.4", "SN", &["surname"], UTF8_STRING, 32_768),
        Self::new("2.5.4.42", "GN", &["G", "givenName"], UTF8_STRING, 32_768),
        Self::new("2.5.4.43", "I", &["initials"], UTF8_STRING, 32_768),
        Self::new("2.5.4.44", "GENERATIONQUALIFIER", &[], UTF8_STRING, 32_768),
        Self::new("2.5.4.12", "T", &["title"], UTF8_STRING, 64),
        Self::new("2.5.4.17", "POSTALCODE", &[], UTF8_STRING, 40),
        Self::new("2.5.4.46", "DNQUALIFIER", &["DNQ"], PRINTABLE_STRING, 64),
        Self::new("2.5.4.65", "PSEUDONYM", &[], UTF8_STRING, 128),
        Self::new("2.5.4.97", "ORGANIZATIONIDENTIFIER", &[], UTF8_STRING, 256),
    ];

    const fn new(
        oid: &str,
        keyword: &'static str,
        aliases: &'static [&'static str],
        tag: u8,
        len_max: usize,
    ) -> Self {
        Self { oid: ObjectIdentifier::new_unwrap(oid), keyword, aliases, tag, len_max }
    }

    pub(crate) fn by_oid(oid: &ObjectIdentifier) -> Option<&'static Self> {
        const { &Self::KNOWN }.iter().find(|it| it.oid == *oid)
    }

    /// Keywords are compared without regard to case.
    pub(crate) fn by_keyword(keyword: &str) -> Option<&'static Self> {
        const { &Self::KNOWN }.iter().find(|it| {
            it.keyword.eq_ignore_ascii_case(keyword)
                || it.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(keyword))
        })
    }
}

fn keyword_or_oid(oid: &ObjectIdentifier) -> String {
    AttributeType::by_oid(oid).map_or_else(|| oid.to_string(), |it| it.keyword.to_owned())
}

fn write_rdn(writer: &mut Writer, rdn: &[NameAttribute]) {
    let mut encoded: Vec<Vec<u8>> = rdn
        .iter()
        .map(|attribute| {
            let mut writer = Writer::with_capacity(16 + attribute.value.len());
            writer.nest(SEQUENCE, |it| {
                it.oid(&attribute.oid);
                it.element(attribute.tag, attribute.value.as_bytes());
            });
            writer.into_bytes()
        })
        .collect();
    encoded.sort_unstable();
    for attribute in encoded {
        writer.raw(&attribute);
    }
}

fn read_attribute(rdn: &mut Cursor<'_>, joined: bool) -> Result<NameAttribute, NameError> {
    let mut fields = rdn.expect(SEQUENCE, "an RDN holds no type and value")?.children();
    let oid = fields.expect(OID, "an attribute has no type")?.oid()?;
    let string = fields.next()?;
    fields.finish("an attribute has more than type and value")?;
    let value = read_string(&string, &oid)?;
    Ok(NameAttribute { oid, tag: string.tag, value, joined })
}

/// Decodes a name's string: its type must fit the attribute, its characters must be harmless.
pub(crate) fn read_string(string: &Tlv<'_>, oid: &ObjectIdentifier) -> Result<String, NameError> {
    let bad_type = || NameError::StringType { attribute: keyword_or_oid(oid) };
    let kind = AttributeType::by_oid(oid);
    if string.tag == IA5_STRING && kind.is_some_and(|it| it.tag != IA5_STRING) {
        return Err(bad_type());
    }
    let value = decode_string(string).ok_or_else(bad_type)?;
    if value.is_empty() {
        let max = kind.map_or(NAME_BYTES_MAX, |it| it.len_max);
        let attribute = keyword_or_oid(oid);
        return Err(NameError::Length { attribute, len: 0, min: 1, max });
    }
    match value.chars().find(|&it| is_deceptive(it)) {
        None => Ok(value),
        Some(found) => {
            let attribute = keyword_or_oid(oid);
            Err(NameError::Character { attribute, character: u32::from(found) })
        }
    }
}

/// The text in a string of one of the types that names and request attributes use.
pub(crate) fn decode_string(string: &Tlv<'_>) -> Option<String> {
    let value = string.value;
    match string.tag {
        UTF8_STRING => str::from_utf8(value).ok().map(str::to_owned),
        PRINTABLE_STRING if value.iter().all(|&it| is_printable_string(it)) => {
            str::from_utf8(value).ok().map(str::to_owned)
        }
        IA5_STRING if value.is_ascii() => str::from_utf8(value).ok().map(str::to_owned),
        // T.61 switches alphabets by escape codes that nobody uses; what is out there is Latin-1.
        // Escape codes are control characters, so they are refused with the others.
        TELETEX_STRING => Some(value.iter().map(|&it| char::from(it)).collect()),
        // No surrogates: a BMPString has two octets per character and nothing above U+FFFF.
        BMP_STRING => value
            .chunks(2)
            .map(|pair| char::from_u32(u32::from(u16::from_be_bytes(pair.try_into().ok()?))))
            .collect(),
        _ => None,
    }
}

/// X.680, table 10: the alphabet of `PrintableString`.
pub(crate) fn is_printable_string(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet)
}

/// Whether a character can break a line or make a text read otherwise than it is: controls, line
/// separators, and the characters that turn the direction of writing.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of one attribute, given by its string type and contents.
    fn name_of(oid: &str, tag: u8, value: &[u8]) -> Result<Name, NameError> {
        let mut writer = Writer::default();
        writer.nest(SEQUENCE, |it| {
            it.nest(SET, |it| {
                it.nest(SEQUENCE, |it| {
                    it.oid(&ObjectIdentifier::new_unwrap(oid));
                    it.element(tag, value);
                });
            });
        });
        Name::from_der(&writer.into_bytes())
    }

    const CN: &str = "2.5.4.3";
    const E: &str = "1.2.840.113549.1.9.1";

    #[test]
    fn names_match_without_regard_to_case_blanks_and_string_type() {
        let matches = |a: &str, b: &str| {
            let (a, b) = (Name::parse(a).unwrap(), Name::parse(b).unwrap());
            assert_eq!(a.matches(&b), b.matches(&a));
            a.matches(&b)
        };
        assert!(matches("CN=Example Root,O=Acme", "CN=example   ROOT,O=aCME"));
        assert!(matches("CN=ÜBER", "CN=über"));
        assert!(matches("CN=b+O=a", "CN=B+O=A"));
        for other in ["CN=Example", "CN=Root,O=Acm", "O=Acme,CN=Root", "CN=Root+O=Acme", "O=Acme"] {
            assert!(!matches("CN=Root,O=Acme", other), "{other}");
        }
        let [utf8, printable] =
            [UTF8_STRING, PRINTABLE_STRING].map(|tag| name_of(CN, tag, b"a b").unwrap());
        assert_ne!(utf8, printable);
        assert!(utf8.matches(&printable));
        assert!(utf8.matches(&name_of(CN, UTF8_STRING, b" A  b ").unwrap()));
    }

    #[test]
    fn each_string_type_is_decoded() {
        for (oid, tag, value, expected) in [
            (CN, UTF8_STRING, "Jürgen".as_bytes(), "Jürgen"),
            (CN, PRINTABLE_STRING, b"Plain (1)", "Plain (1)"),
            (CN, TELETEX_STRING, b"J\xfcrgen", "Jürgen"),
            (CN, BMP_STRING, b"\0J\0\xfc\x20\xac", "Jü€"),
            (E, IA5_STRING, b"a@example.org", "a@example.org"),
        ] {
            let name = name_of(oid, tag, value).unwrap();
            assert_eq!(name.attributes().collect::<Vec<_>>(), [(oid.to_owned(), expected)]);
        }
    }

    #[test]
    fn a_wrong_string_type_or_alphabet_is_refused() {
        for (oid, tag, value) in [
            (CN, IA5_STRING, &b"a"[..]),
            (CN, PRINTABLE_STRING, b"a@b"),
            (CN, PRINTABLE_STRING, b"*.example.org"),
            (CN, UTF8_STRING, b"\xff"),
            (CN, UTF8_STRING, b"\xc0\x80"),
            (CN, BMP_STRING, b"\xd8\x00\xdc\x00"),
            (CN, crate::tlv::OCTET_STRING, b"a"),
            (E, IA5_STRING, b"\xe4@example.org"),
        ] {
            let err = name_of(oid, tag, value).unwrap_err();
            assert_eq!(err.code(), "name-string-type", "{tag:#x} {value:x?}");
        }
        assert_eq!(name_of(CN, UTF8_STRING, b"").unwrap_err().code(), "name-length");
        assert_eq!(name_of(CN, BMP_STRING, b"a").unwrap_err().code(), "name-malformed");
    }

    #[test]
    fn characters_that_deceive_are_refused() {
        for text in [
            "a\0b", "a\nb", "a\tb", "\u{7f}", "\u{85}", "\u{9f}", "\u{200e}", "\u{200f}",
            "\u{202a}", "\u{202e}", "\u{2066}", "\u{2069}", "\u{061c}", "\u{2028}",
        ] {
            let err = name_of(CN, UTF8_STRING, text.as_bytes()).unwrap_err();
            assert_eq!(err.code(), "name-character", "{text:?}");
        }
        assert_eq!(name_of(CN, TELETEX_STRING, b"a\x1bb").unwrap_err().code(), "name-character");
        assert_eq!(name_of(CN, BMP_STRING, b"\x20\x2e").unwrap_err().code(), "name-character");
        assert_eq!(
            name_of(CN, UTF8_STRING, "a\u{202e}b".as_bytes()).unwrap_err().to_string(),
            "CN contains the forbidden character U+202E"
        );
    }

    #[test]
    fn a_name_has_a_bounded_number_of_attributes() {
        let name = |count: usize| {
            let mut writer = Writer::default();
            writer.nest(SEQUENCE, |it| {
                for _ in 0..count {
                    it.nest(SET, |it| {
                        it.raw(&[0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x0b, 0x0c, 0x01, b'a']);
                    });
                }
            });
            Name::from_der(&writer.into_bytes())
        };
        assert!(name(NAME_ATTRIBUTE_COUNT_MAX).is_ok());
        assert_eq!(name(NAME_ATTRIBUTE_COUNT_MAX + 1), Err(NameError::TooLarge));
        let huge = name_of("1.2.3.4", UTF8_STRING, &[b'a'; NAME_BYTES_MAX]);
        assert_eq!(huge, Err(NameError::TooLarge));
    }

    #[test]
    fn an_rdn_is_a_sorted_set_of_distinct_types() {
        let name = |rdn: &[[u8; 10]]| {
            let mut writer = Writer::default();
            writer.nest(SEQUENCE, |it| {
                it.nest(SET, |it| rdn.iter().for_each(|attribute| it.raw(attribute)));
            });
            Name::from_der(&writer.into_bytes()).map_err(|err| err.to_string())
        };
        let attribute = |arc, letter| [0x30, 0x08, 0x06, 0x03, 0x55, 0x04, arc, 0x0c, 0x01, letter];
        let good = name(&[attribute(3, b'a'), attribute(10, b'a')]).unwrap();
        assert_eq!(good.rdns().count(), 1);
        assert_eq!(
            name(&[attribute(10, b'a'), attribute(3, b'a')]).unwrap_err(),
            "name is malformed: members of a set are not in ascending order"
        );
        assert_eq!(
            name(&[attribute(3, b'a'), attribute(3, b'b')]).unwrap_err(),
            "name is malformed: an RDN repeats a type"
        );
        assert_eq!(name(&[]).unwrap_err(), "name is malformed: an RDN holds no type and value");
    }
}
