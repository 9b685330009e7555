//! Kinds of alternative names, and the words for extended key usages.

use exeunt_x509::{GeneralName, Name, ObjectIdentifier};

/// Kind of a subject alternative name that a requester may be allowed to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// A host name.
    Dns,
    /// An IP address.
    Ip,
    /// A mail address.
    Email,
    /// A URI.
    Uri,
    /// A user principal name: an `otherName` of Microsoft's.
    Upn,
    /// A distinguished name.
    Directory,
    /// An object identifier.
    RegisteredId,
    /// Any other `otherName`.
    Other,
    /// An X.400 address.
    X400,
    /// An EDI party.
    EdiParty,
}

/// Microsoft's user principal name (`szOID_NT_PRINCIPAL_NAME`).
const USER_PRINCIPAL_NAME: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.3");
/// Where the security identifier stands that a URI can carry instead of Microsoft's extension.
pub(crate) const SID_URI_PREFIX: &str = "tag:microsoft.com,2022-09-14:sid:";

impl NameKind {
    /// Every kind with its name in `exeunt.toml`.
    pub const NAMES: [(&'static str, Self); 10] = [
        ("dns", Self::Dns),
        ("ip", Self::Ip),
        ("email", Self::Email),
        ("uri", Self::Uri),
        ("upn", Self::Upn),
        ("directory", Self::Directory),
        ("registered-id", Self::RegisteredId),
        ("other", Self::Other),
        ("x400", Self::X400),
        ("edi-party", Self::EdiParty),
    ];

    /// The kind with that name in `exeunt.toml`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find_map(|(known, kind)| (known == name).then_some(kind))
    }

    /// Its name in `exeunt.toml`.
    #[must_use]
    pub fn word(self) -> &'static str {
        let named = Self::NAMES.into_iter().find(|(_, kind)| *kind == self);
        named.map_or("", |(name, _)| name)
    }

    pub(crate) fn of(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::Dns(_) => Some(Self::Dns),
            GeneralName::Ip(_) => Some(Self::Ip),
            GeneralName::Email(_) => Some(Self::Email),
            GeneralName::Uri(_) => Some(Self::Uri),
            // One that only claims to be a user principal name is of no kind that could be allowed.
            GeneralName::Other { tag: 0, .. } if name.other_kind() == Some(USER_PRINCIPAL_NAME) => {
                name.user_principal_name().map(|_| Self::Upn)
            }
            GeneralName::Other { tag, .. } => match tag {
                0 => Some(Self::Other),
                3 => Some(Self::X400),
                4 => Some(Self::Directory),
                5 => Some(Self::EdiParty),
                8 => Some(Self::RegisteredId),
                _ => None,
            },
        }
    }

    /// Whether a template can make names of this kind from text.
    #[must_use]
    pub fn is_text(self) -> bool {
        !matches!(self, Self::Other | Self::X400 | Self::EdiParty)
    }

    /// The name of this kind that a text says; what is wrong with it, otherwise.
    pub(crate) fn make(self, text: &str) -> Result<GeneralName, String> {
        let name = match self {
            Self::Dns => GeneralName::Dns(text.to_owned()),
            Self::Email => GeneralName::Email(text.to_owned()),
            Self::Uri => GeneralName::Uri(text.to_owned()),
            Self::Ip => {
                let address = text.parse();
                GeneralName::Ip(address.map_err(|_| format!("{text:?} is not an address"))?)
            }
            Self::Upn => GeneralName::user_principal(text).map_err(|err| err.to_string())?,
            Self::Directory => {
                let name = Name::parse(text).map_err(|err| err.to_string())?;
                if name.is_empty() {
                    return Err("a directory name is empty".to_owned());
                }
                GeneralName::directory(&name)
            }
            Self::RegisteredId => {
                let id = ObjectIdentifier::new(text);
                let id = id.map_err(|_| format!("{text:?} is not an object identifier"))?;
                GeneralName::registered_id(&id)
            }
            Self::Other | Self::X400 | Self::EdiParty => {
                return Err(format!("a name of kind {} is not made from text", self.word()));
            }
        };
        // Text in non-ASCII would be written as if it were.
        if matches!(self, Self::Dns | Self::Email | Self::Uri) && !text.is_ascii() {
            return Err(format!("{text:?} has characters outside ASCII"));
        }
        name.check().map_err(|err| err.to_string())?;
        Ok(name)
    }
}

/// An extended key usage by the name that `exeunt.toml` uses, or as a dotted OID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageName;

impl UsageName {
    /// The OID behind a name of RFC 5280, section 4.2.1.12, or behind a dotted OID.
    pub fn parse(name: &str) -> Option<ObjectIdentifier> {
        let dotted = match name {
            "serverAuth" => "1.3.6.1.5.5.7.3.1",
            "clientAuth" => "1.3.6.1.5.5.7.3.2",
            "codeSigning" => "1.3.6.1.5.5.7.3.3",
            "emailProtection" => "1.3.6.1.5.5.7.3.4",
            "timeStamping" => "1.3.6.1.5.5.7.3.8",
            "OCSPSigning" => "1.3.6.1.5.5.7.3.9",
            "smartcardLogon" => "1.3.6.1.4.1.311.20.2.2",
            "enrollmentAgent" => "1.3.6.1.4.1.311.20.2.1",
            other => other,
        };
        ObjectIdentifier::new(dotted).ok()
    }
}
