//! The original's publication URLs: templates with `%1` to `%14`, flags before them, targets out of
//! them.
//!
//! An entry of `CRLPublicationURLs` or `CACertPublicationURLs` is `<decimal flags>:<template>`. What
//! is filled in comes from names that the CA has given itself, and is escaped for the place where it
//! stands all the same: as a value in a distinguished name (RFC 4514), as a part of a path, as octets
//! of a URI.

use std::fmt::Write as _;

use exeunt_module_kit::{Properties, PropertyError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 2048;

/// Longest text that a template becomes, in bytes: a path of Linux (`PATH_MAX`).
pub const TARGET_BYTES_MAX: usize = 4096;

/// Flags of an entry: `CSURL_*` (certsrv's headers, MS-CSRA section 3.1.1.4), with their names.
pub const FLAGS: [(u32, &str); 8] = [
    (SERVER_PUBLISH, "CSURL_SERVERPUBLISH"),
    (ADD_TO_CERT_CDP, "CSURL_ADDTOCERTCDP"),
    (ADD_TO_FRESHEST_CRL, "CSURL_ADDTOFRESHESTCRL"),
    (ADD_TO_CRL_CDP, "CSURL_ADDTOCRLCDP"),
    (PUBLISH_RETRY, "CSURL_PUBLISHRETRY"),
    (ADD_TO_CERT_OCSP, "CSURL_ADDTOCERTOCSP"),
    (SERVER_PUBLISH_DELTA, "CSURL_SERVERPUBLISHDELTA"),
    (ADD_TO_IDP, "CSURL_ADDTOIDP"),
];

/// The server writes base lists, or CA certificates, there.
pub const SERVER_PUBLISH: u32 = 0x01;
/// The address is put into issued certificates: as distribution point, or as the CA's certificate.
pub const ADD_TO_CERT_CDP: u32 = 0x02;
/// The address is put into base lists, as where the delta is.
pub const ADD_TO_FRESHEST_CRL: u32 = 0x04;
/// The address is put into lists, as where they were published.
pub const ADD_TO_CRL_CDP: u32 = 0x08;
/// Writing there is to be tried again.
pub const PUBLISH_RETRY: u32 = 0x10;
/// The address is put into issued certificates as that of an OCSP server.
pub const ADD_TO_CERT_OCSP: u32 = 0x20;
/// The server writes delta lists there.
pub const SERVER_PUBLISH_DELTA: u32 = 0x40;
/// The address is put into lists, as their issuing distribution point.
pub const ADD_TO_IDP: u32 = 0x80;

/// What a URI keeps as it is in a path: unreserved characters (RFC 3986, section 2.3) and those that
/// names of CAs often have.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'(')
    .remove(b')')
    .remove(b'+')
    .remove(b'!');

/// The same for a whole distinguished name.
const IN_A_DN: &AsciiSet = &IN_A_PATH.remove(b',').remove(b'=');

/// Why an entry or a template cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No decimal number and colon before the template.
    #[error("the publication URL {0:?} does not start with decimal flags and a colon")]
    NoFlags(String),
    /// Not a template: empty, too long, with control characters or a token that there is not.
    #[error("the publication URL {template:?} is no template: {why}")]
    Malformed {
        /// What was given.
        template: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The template needs something that the CA, or the operator, has not said.
    #[error("the publication URL needs {token}, which is not known")]
    Missing {
        /// Which token, with its name.
        token: &'static str,
    },
    /// What came out is no target: an empty path, a value that leads out of its folder, too long.
    #[error("the publication URL becomes {text:?}, which is no target: {why}")]
    Target {
        /// What came out.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl UrlError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoFlags(_) => "publication-url-flags",
            Self::Malformed { .. } => "publication-url-malformed",
            Self::Missing { .. } => "publication-url-missing",
            Self::Target { .. } => "publication-url-target",
        }
    }
}

/// What the tokens stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `%1`: full DNS name of the server.
    pub machine_dns_name: String,
    /// `%2`: short name of the server; where it is empty, the first label of the DNS name.
    pub machine_short_name: String,
    /// `%3`: name of the CA, sanitised.
    pub sanitized_ca_name: String,
    /// `%7`: name of the CA, sanitised and shortened.
    pub sanitized_short_name: String,
    /// `%4`: suffix of the CA's certificate, nothing or `(n)`.
    pub cert_suffix: String,
    /// `%8`: suffix of the CA's key, nothing or `(n)`.
    pub crl_suffix: String,
    /// `%9` and `%10`: whether it is about a delta.
    pub delta: bool,
    /// `<CRLPartitionIndex>`: part of the lists; 0 is the whole.
    pub part: u32,
    /// `%5`: distinguished name of the domain.
    pub domain_dn: String,
    /// `%6`: distinguished name of the configuration container.
    pub configuration_dn: String,
}

impl Names {
    /// Those names that an event's member `system` holds. `index` counts the CA's certificates; the
    /// newest without one. Directory names, delta and part are the caller's to add.
    ///
    /// # Errors
    ///
    /// A property that every CA has is not there: the index is beyond the last certificate, or was
    /// not fetched.
    pub fn from_properties(
        system: &Properties,
        index: Option<usize>,
    ) -> Result<Self, PropertyError> {
        let text = |name: &str| system.string(name).map(str::to_owned);
        let indexed = |name: &str| match index {
            Some(index) => text(&format!("{name}.{index}")),
            None => text(name),
        };
        Ok(Self {
            machine_dns_name: text("MachineDNSName")?,
            sanitized_ca_name: text("SanitizedCAName")?,
            sanitized_short_name: text("SanitizedShortName")?,
            cert_suffix: indexed("CertSuffix")?,
            crl_suffix: indexed("CRLSuffix")?,
            ..Self::default()
        })
    }
}

/// Whom a search in a directory is about (RFC 4516).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The object itself.
    Base,
    /// Its children.
    One,
    /// It and all below it.
    Sub,
}

/// What a template became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file: the path as written, with `file://` taken away. It may have a drive letter or the
    /// name of a server, and backslashes.
    File(String),
    /// An object in a directory.
    Ldap(LdapTarget),
    /// An address that is named and cannot be written to.
    Http(String),
    /// Another scheme; the whole address. The original writes nothing there either.
    Other(String),
}

/// Where something is in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LdapTarget {
    /// Whether the address says `ldaps`.
    pub tls: bool,
    /// Server and port; none in `ldap:///`.
    pub host: Option<String>,
    /// Distinguished name of the object (RFC 4514).
    pub dn: String,
    /// Attributes that are named.
    pub attributes: Vec<String>,
    /// What is searched; the object itself where nothing is said.
    pub scope: Scope,
    /// Which objects; all where nothing is said.
    pub filter: Option<String>,
}

/// An entry: flags and a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Bits of [`FLAGS`].
    pub flags: u32,
    /// Where.
    pub template: Template,
}

impl Location {
    /// Reads `<decimal flags>:<template>`.
    ///
    /// # Errors
    ///
    /// [`UrlError::NoFlags`] and [`UrlError::Malformed`].
    pub fn parse(entry: &str) -> Result<Self, UrlError> {
        let no_flags = || UrlError::NoFlags(entry.chars().take(80).collect());
        let (flags, template) = entry.split_once(':').ok_or_else(no_flags)?;
        let flags = flags.trim();
        if flags.is_empty() || !flags.bytes().all(|it| it.is_ascii_digit()) {
            return Err(no_flags());
        }
        let flags = flags.parse().map_err(|_| no_flags())?;
        Ok(Self { flags, template: Template::parse(template)? })
    }

    /// Whether all bits of `flag` are set.
    #[must_use]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag == flag
    }
}

/// Names of the flags that are set; bits without a name in hexadecimal.
#[must_use]
pub fn flag_names(flags: u32) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = flags;
    for (bit, name) in FLAGS {
        if flags & bit != 0 {
            names.push(name.to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 {
        names.push(format!("0x{rest:x}"));
    }
    names
}

/// What a template is about, by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Ldap { tls: bool },
    Http,
    Other,
}

/// A template that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    kind: Kind,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Token(Token),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    MachineDnsName,
    MachineShortName,
    CaName,
    CertSuffix,
    DomainDn,
    ConfigurationDn,
    ShortName,
    CrlSuffix,
    Delta,
    /// `?attributes?scope?filter`, by the token's number.
    Search(u8),
    Part,
}

/// The names that certutil and the console show, in the order of the numbers.
const TOKEN_NAMES: [(&str, Token); 12] = [
    ("<ServerDNSName>", Token::MachineDnsName),
    ("<ServerShortName>", Token::MachineShortName),
    ("<CaName>", Token::CaName),
    ("<CertificateName>", Token::CertSuffix),
    ("<DomainContainer>", Token::DomainDn),
    ("<ConfigurationContainer>", Token::ConfigurationDn),
    ("<CATruncatedName>", Token::ShortName),
    ("<CRLNameSuffix>", Token::CrlSuffix),
    ("<DeltaCRLAllowed>", Token::Delta),
    ("<CDPObjectClass>", Token::Search(10)),
    ("<CAObjectClass>", Token::Search(11)),
    ("<CRLPartitionIndex>", Token::Part),
];

impl Token {
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::MachineDnsName,
            2 => Self::MachineShortName,
            3 => Self::CaName,
            4 => Self::CertSuffix,
            5 => Self::DomainDn,
            6 => Self::ConfigurationDn,
            7 => Self::ShortName,
            8 => Self::CrlSuffix,
            9 => Self::Delta,
            10..=14 => Self::Search(number),
            _ => return None,
        })
    }

    fn value(self, names: &Names) -> Result<String, UrlError> {
        let needed = |value: &str, token| match value {
            "" => Err(UrlError::Missing { token }),
            value => Ok(value.to_owned()),
        };
        match self {
            Self::MachineDnsName => needed(&names.machine_dns_name, "%1, the server's name"),
            Self::MachineShortName => {
                let first = names.machine_dns_name.split('.').next().unwrap_or_default();
                let short = if names.machine_short_name.is_empty() {
                    first
                } else {
                    &names.machine_short_name
                };
                needed(short, "%2, the server's short name")
            }
            Self::CaName => needed(&names.sanitized_ca_name, "%3, the CA's name"),
            Self::ShortName => needed(&names.sanitized_short_name, "%7, the CA's short name"),
            Self::DomainDn => needed(&names.domain_dn, "%5, the domain's name in the directory"),
            Self::ConfigurationDn => {
                needed(&names.configuration_dn, "%6, the directory's configuration container")
            }
            Self::CertSuffix => Ok(names.cert_suffix.clone()),
            Self::CrlSuffix => Ok(names.crl_suffix.clone()),
            Self::Delta => Ok(if names.delta { "+" } else { "" }.to_owned()),
            Self::Part if names.part == 0 => Ok(String::new()),
            Self::Part => Ok(format!("_Partition{:05}", names.part)),
            Self::Search(number) => Ok(search(number, names.delta).to_owned()),
        }
    }
}

/// What `%10` to `%14` stand for.
fn search(number: u8, delta: bool) -> &'static str {
    match (number, delta) {
        (10, false) => "?certificateRevocationList?base?objectclass=cRLDistributionPoint",
        (10, true) => "?deltaRevocationList?base?objectclass=cRLDistributionPoint",
        (11, _) => "?cACertificate?base?objectclass=certificationAuthority",
        (12, _) => "?userCertificate?base?objectClass=*",
        (13, _) => "?userCertificate?one?objectClass=msPKI-PrivateKeyRecoveryAgent",
        _ => "?crossCertificatePair?one?objectClass=certificationAuthority",
    }
}

impl Template {
    /// Reads a template without flags.
    ///
    /// In an address (not in a path), a `%` before two hexadecimal digits is an octet that a URI
    /// encodes, and stays, where that octet is printable; `%10` to `%14` are tokens always.
    ///
    /// # Errors
    ///
    /// [`UrlError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let malformed =
            |why| UrlError::Malformed { template: text.chars().take(80).collect(), why };
        if text.is_empty() || TEMPLATE_BYTES_MAX < text.len() {
            return Err(malformed("it has to have 1 to 2048 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(malformed("it holds a control character"));
        }
        let kind = kind_of(text);
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        let mut has_part = false;
        while let Some(first) = rest.chars().next() {
            let (length, token) = match first {
                '%' => percent(rest, kind).map_err(malformed)?,
                '<' => named(rest),
                _ => (first.len_utf8(), None),
            };
            let (piece, after) = rest.split_at(length);
            rest = after;
            match token {
                // As in the original, only the first one is replaced.
                Some(Token::Part) if has_part => literal.push_str(piece),
                Some(token) => {
                    has_part |= token == Token::Part;
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Token(token));
                }
                None if piece == "%%" => literal.push('%'),
                None => literal.push_str(piece),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self { text: text.to_owned(), kind, pieces })
    }

    /// The template as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it becomes a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Whether it becomes an object in a directory.
    #[must_use]
    pub fn is_ldap(&self) -> bool {
        matches!(self.kind, Kind::Ldap { .. })
    }

    /// Whether it becomes an address on the web.
    #[must_use]
    pub fn is_http(&self) -> bool {
        self.kind == Kind::Http
    }

    /// Fills the names in.
    ///
    /// # Errors
    ///
    /// [`UrlError::Missing`] and [`UrlError::Target`].
    pub fn expand(&self, names: &Names) -> Result<Target, UrlError> {
        match self.kind {
            Kind::File => self.file(names),
            Kind::Ldap { tls } => self.ldap(names, tls).map(Target::Ldap),
            Kind::Http => Ok(Target::Http(self.address(names)?)),
            Kind::Other => Ok(Target::Other(self.address(names)?)),
        }
    }

    /// Fills in what is the same for every certificate and list of the CA, and leaves `%4`, `%8`, `%9`
    /// and `<CRLPartitionIndex>` as they are: an address for a configuration, encoded as a URI.
    ///
    /// # Errors
    ///
    /// [`UrlError`]; also where a token that stays would read as an encoded octet.
    pub fn address_with_tokens(&self, names: &Names) -> Result<String, UrlError> {
        let mut address = String::new();
        let mut token_before = false;
        for piece in &self.pieces {
            let text = match piece {
                Piece::Text(text) => text.replace(' ', "%20"),
                Piece::Token(Token::CertSuffix) => "%4".to_owned(),
                Piece::Token(Token::CrlSuffix) => "%8".to_owned(),
                Piece::Token(Token::Delta) => "%9".to_owned(),
                Piece::Token(Token::Part) => "<CRLPartitionIndex>".to_owned(),
                Piece::Token(token @ Token::Search(_)) => token.value(names)?,
                Piece::Token(token @ (Token::DomainDn | Token::ConfigurationDn)) => {
                    utf8_percent_encode(&token.value(names)?, IN_A_DN).to_string()
                }
                Piece::Token(token) if self.is_ldap() => {
                    let value = escape_dn_value(&token.value(names)?);
                    utf8_percent_encode(&value, IN_A_PATH).to_string()
                }
                Piece::Token(token) => {
                    utf8_percent_encode(&token.value(names)?, IN_A_PATH).to_string()
                }
            };
            if token_before && text.starts_with(|it: char| it.is_ascii_hexdigit()) {
                return Err(target(&self.text, "a token that stays would read as an octet"));
            }
            address.push_str(&text);
            token_before =
                matches!(piece, Piece::Token(Token::CertSuffix | Token::CrlSuffix | Token::Delta));
        }
        bounded(address)
    }

    /// The template as it was written, with `%1` and `%2` filled in: of a server that has gone, and
    /// whose name stays in addresses.
    ///
    /// # Errors
    ///
    /// [`UrlError::Target`] where the name has other characters than host names have.
    pub fn with_server(&self, names: &Names) -> Result<String, UrlError> {
        let mut text = String::with_capacity(self.text.len());
        let mut rest = self.text.as_str();
        while let Some(first) = rest.chars().next() {
            let (length, token) = match first {
                '%' => percent(rest, self.kind).map_err(|why| target(&self.text, why))?,
                '<' => named(rest),
                _ => (first.len_utf8(), None),
            };
            let (piece, after) = rest.split_at(length);
            rest = after;
            match token {
                Some(token @ (Token::MachineDnsName | Token::MachineShortName)) => {
                    let name = token.value(names)?;
                    if !name.bytes().all(is_of_a_host) {
                        return Err(target(&name, "it is no name of a host"));
                    }
                    text.push_str(&name);
                }
                _ => text.push_str(piece),
            }
        }
        bounded(text)
    }

    fn file(&self, names: &Names) -> Result<Target, UrlError> {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Token(token) => {
                    let value = token.value(names)?;
                    if value.contains(['/', '\\', ':']) || value.chars().any(char::is_control) {
                        return Err(target(&value, "a name would lead out of its folder"));
                    }
                    path.push_str(&value);
                }
            }
        }
        let scheme = path.get(..7).is_some_and(|it| it.eq_ignore_ascii_case("file://"));
        let path = if scheme { path.split_off(7) } else { path };
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        if name.is_empty() || name == "." || name == ".." {
            return Err(target(&path, "it ends in no file name"));
        }
        Ok(Target::File(bounded(path)?))
    }

    fn address(&self, names: &Names) -> Result<String, UrlError> {
        let mut address = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => address.push_str(&text.replace(' ', "%20")),
                Piece::Token(token) => {
                    let value = token.value(names)?;
                    address.extend(utf8_percent_encode(&value, IN_A_PATH));
                }
            }
        }
        bounded(address)
    }

    /// Parts of the address are told apart by what the operator wrote, never by what is filled in.
    fn ldap(&self, names: &Names, tls: bool) -> Result<LdapTarget, UrlError> {
        // Host, then the four fields of RFC 4516 that the original uses.
        let mut host = String::new();
        let mut fields = [const { String::new() }; 4];
        let mut at = None;
        let mut write = |text: &str, at: &mut Option<usize>| -> Result<(), UrlError> {
            for it in text.chars() {
                match (it, *at) {
                    ('/', None) => *at = Some(0),
                    (it, None) => host.push(it),
                    ('?', Some(3)) => return Err(target(&self.text, "it has extensions")),
                    ('?', Some(field)) => *at = Some(field + 1),
                    (it, Some(field)) => fields[field].push(it),
                }
            }
            Ok(())
        };
        let mut first = true;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    let start = if tls { "ldaps://" } else { "ldap://" }.len();
                    let text = if first { text.get(start..).unwrap_or_default() } else { text };
                    write(text, &mut at)?;
                }
                Piece::Token(token @ Token::Search(_)) => write(&token.value(names)?, &mut at)?,
                Piece::Token(token) => {
                    let value = token.value(names)?;
                    let is_dn = matches!(token, Token::DomainDn | Token::ConfigurationDn);
                    let written = match at {
                        Some(0) if is_dn => encode(&value),
                        Some(0) => encode(&escape_dn_value(&value)),
                        Some(_) => encode(&escape_filter_value(&value)),
                        None if value.bytes().all(is_of_a_host) => value,
                        None => return Err(target(&value, "a name would change the server")),
                    };
                    // Encoded, so that nothing in it is taken for a separator.
                    write(&written, &mut at)?;
                }
            }
            first = false;
        }
        let decoded = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| target(text, "it is not UTF-8"))
        };
        let [dn, attributes, scope, filter] = &fields;
        let dn = decoded(dn)?;
        if dn.is_empty() || dn.chars().any(char::is_control) {
            return Err(target(&self.text, "it names no object"));
        }
        let scope = match scope.to_ascii_lowercase().as_str() {
            "" | "base" => Scope::Base,
            "one" => Scope::One,
            "sub" => Scope::Sub,
            _ => return Err(target(scope, "there is no such scope")),
        };
        let names = attributes.split(',').filter(|it| !it.is_empty());
        Ok(LdapTarget {
            tls,
            host: (!host.is_empty()).then_some(host),
            dn: bounded(dn)?,
            attributes: names.map(decoded).collect::<Result<_, _>>()?,
            scope,
            filter: if filter.is_empty() { None } else { Some(decoded(filter)?) },
        })
    }
}

/// What a name may have where the server stands.
fn is_of_a_host(it: u8) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_')
}

fn target(text: &str, why: &'static str) -> UrlError {
    UrlError::Target { text: text.chars().take(200).collect(), why }
}

fn bounded(text: String) -> Result<String, UrlError> {
    if TARGET_BYTES_MAX < text.len() { Err(target(&text, "it is too long")) } else { Ok(text) }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// By its start: a scheme of two letters and more, or a path. One letter is a drive.
fn kind_of(text: &str) -> Kind {
    let Some((scheme, rest)) = text.split_once(':') else { return Kind::File };
    let letters = scheme.bytes().all(|it| it.is_ascii_alphanumeric());
    if scheme.len() < 2 || !letters {
        return Kind::File;
    }
    match (scheme.to_ascii_lowercase().as_str(), rest.starts_with("//")) {
        ("file", true) => Kind::File,
        ("ldap", true) => Kind::Ldap { tls: false },
        ("ldaps", true) => Kind::Ldap { tls: true },
        ("http" | "https", true) => Kind::Http,
        _ => Kind::Other,
    }
}

/// What starts with a percent sign: how many bytes it takes, and which token it is, if one.
fn percent(rest: &str, kind: Kind) -> Result<(usize, Option<Token>), &'static str> {
    let mut behind = rest.bytes().skip(1);
    let (first, second) = (behind.next(), behind.next());
    let number = |it: Option<u8>| it.filter(u8::is_ascii_digit).map(|it| it - b'0');
    match (number(first), number(second)) {
        (Some(1), Some(low @ 0..=4)) => return Ok((3, Token::from_number(10 + low))),
        _ if first == Some(b'%') => return Ok((2, None)),
        _ => (),
    }
    let hex = |it: Option<u8>| it.and_then(|it| char::from(it).to_digit(16));
    if kind != Kind::File
        && let (Some(high), Some(low)) = (hex(first), hex(second))
        && 0x20 <= high * 16 + low
    {
        return Ok((3, None));
    }
    match number(first).and_then(Token::from_number) {
        Some(token) => Ok((2, Some(token))),
        None => Err("a percent sign starts a token from %1 to %14, or is doubled"),
    }
}

/// What starts with `<`: one of certutil's names, or itself.
fn named(rest: &str) -> (usize, Option<Token>) {
    TOKEN_NAMES
        .iter()
        .find(|(name, _)| rest.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name)))
        .map_or((1, None), |(name, token)| (name.len(), Some(*token)))
}

/// A value of a distinguished name, escaped (RFC 4514, section 2.4). What has a meaning only at the
/// start or the end is escaped everywhere, because a value may stand between others.
#[must_use]
pub fn escape_dn_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, it) in value.chars().enumerate() {
        match it {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' | '#' => {
                out.push('\\');
                out.push(it);
            }
            ' ' if index == 0 || index == last => out.push_str("\\ "),
            it if it.is_control() => {
                let mut octets = [0; 4];
                for octet in it.encode_utf8(&mut octets).bytes() {
                    write!(out, "\\{octet:02x}").expect("BUG: writing to memory does not fail");
                }
            }
            it => out.push(it),
        }
    }
    out
}

/// A value in a search filter, escaped (RFC 4515, section 3).
#[must_use]
pub fn escape_filter_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for it in value.chars() {
        match it {
            '*' | '(' | ')' | '\\' | '\0' => {
                write!(out, "\\{:02x}", u32::from(it))
                    .expect("BUG: writing to memory does not fail");
            }
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests;
