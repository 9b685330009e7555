//! The CA's own objects: which there are and where, in Active Directory's layout (MS-WCCE 2.2.2.11)
//! or in that of RFC 4523; and how one is brought to what it should be.
//!
//! Where they are is worked out by [`objects`] and [`list_places`], which are pure. [`ensure`] writes:
//! value by value, so that what others have put there stays.

use std::time::Duration;

use exeunt_module_kit::Outcome;
use exeunt_publication::{
    certificate::Certificate,
    list::ListNumber,
    outcome,
    url::{
        Location, Names, SERVER_PUBLISH, SERVER_PUBLISH_DELTA, Target, UrlError, escape_dn_value,
    },
};

use crate::{
    ca::{Ca, CaCertificate, List},
    ca_settings::{Make, ObjectSettings},
    error::DirectoryError,
    facts::Facts,
    name::quoted,
    result_code::Then,
    session::{Change, Entry, Session},
};

/// What stands in an attribute that may not be empty: one octet, as the original has it.
pub const PLACEHOLDER: &[u8] = &[0];

/// Most containers that are made above an object.
pub const PARENTS_MAX: usize = 8;

/// How often an object is written anew because somebody else has written in between.
pub const ROUNDS: usize = 4;

/// `flags` of an enrollment service: 2, it knows its callers by the domain, and 8, it issues by
/// templates (MS-WCCE 2.2.2.11.2).
const ENROLLMENT_FLAGS: &str = "10";

/// The assertion control (RFC 4528).
const ASSERTION: &str = "1.3.6.1.1.12";

/// noSuchObject (RFC 4511).
const NO_SUCH_OBJECT: u32 = 32;

/// Why an object of the CA is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Nobody says where the objects are.
    #[error(
        "objects.container has to be set: the directory is no Active Directory, and does not say where a CA's objects are"
    )]
    NoContainer,
    /// A publication URL cannot be filled in.
    #[error("a publication URL cannot be used: {0}")]
    Url(String),
    /// What is said about the CA is not enough, or cannot be read.
    #[error("what is said of the CA cannot be used: {0}")]
    Property(String),
    /// A list is none.
    #[error("the revocation list cannot be used: {0}")]
    List(String),
    /// The file of a list cannot be read.
    #[error("the revocation list cannot be read: {0}")]
    ListFile(String),
    /// A list is by none of the CA's keys.
    #[error("revocation list {0} is signed by no key of this CA")]
    Signature(String),
    /// The time of a list has not begun.
    #[error("revocation list {number} holds in {} s only", within.as_secs())]
    Early {
        /// Its number.
        number: ListNumber,
        /// How long until it holds.
        within: Duration,
    },
    /// The object, or what it would be made below, is not there.
    #[error("{} is not there, and may not be made", quoted(.0))]
    Missing(String),
    /// Something stands there that is not this CA's.
    #[error("{} was left alone: {why}", quoted(place))]
    Foreign {
        /// The object.
        place: String,
        /// What is there.
        why: String,
    },
    /// The server confirmed, and what was written is not there, again and again.
    #[error("{} was written, and what was written is not there", quoted(.0))]
    NotThere(String),
    /// What the directory says.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl From<UrlError> for ObjectError {
    fn from(err: UrlError) -> Self {
        Self::Url(err.to_string())
    }
}

impl ObjectError {
    /// Stable code for logs. Never renamed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoContainer => "directory-no-container",
            Self::Url(_) => "directory-url",
            Self::Property(_) => "directory-ca-property",
            Self::List(_) => "directory-list",
            Self::ListFile(_) => "directory-list-file",
            Self::Signature(_) => "directory-list-signature",
            Self::Early { .. } => "directory-list-early",
            Self::Missing(_) => "directory-object-missing",
            Self::Foreign { .. } => "directory-object-foreign",
            Self::NotThere(_) => "directory-not-there",
            Self::Directory(err) => err.code(),
        }
    }

    /// The outcome for an event, but for an error of the directory that another connection may help
    /// with.
    ///
    /// # Errors
    ///
    /// That one.
    pub fn outcome(self) -> Result<Outcome, DirectoryError> {
        let reason = format!("{}: {self}", self.code());
        match self {
            Self::Directory(err) => Err(err),
            // It would be lost if it were skipped: the next one is days away.
            Self::Early { within, .. } => Ok(outcome::retry_after(within, reason)),
            // An operator mends the settings once for all events.
            Self::NoContainer | Self::Url(_) => Ok(outcome::target_retry(reason)),
            // A file and a race may pass by themselves.
            Self::ListFile(_) | Self::NotThere(_) => Ok(outcome::retry(reason)),
            _ => Ok(outcome::park(reason)),
        }
    }
}

/// An attribute and its values.
pub type Attribute = (String, Vec<Vec<u8>>);

/// An object that should be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is for, in a few words.
    pub what: &'static str,
    /// Its name.
    pub dn: String,
    /// What it is made with.
    pub made_with: Vec<Attribute>,
    /// Values that have to be there, in attributes that hold certificates.
    pub values: Vec<Attribute>,
    /// How many of the containers above it are its own, and are made with it.
    pub own_parents: usize,
}

impl Object {
    /// All attributes of the object when it is made.
    pub fn attributes(&self, facts: &Facts) -> Vec<Attribute> {
        let mut attributes = self.made_with.clone();
        for (name, values) in &self.values {
            let name = format!("{name}{}", facts.binary);
            match attributes.iter_mut().find(|(it, _)| it.eq_ignore_ascii_case(&name)) {
                Some((_, there)) if !values.is_empty() => there.clone_from(values),
                Some(_) => (),
                None if values.is_empty() => (),
                None => attributes.push((name, values.clone())),
            }
        }
        attributes
    }
}

/// Where a list goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPlace {
    /// The object.
    pub dn: String,
    /// The attribute.
    pub attribute: &'static str,
    /// As [`Object::own_parents`].
    pub own_parents: usize,
}

/// The container of all objects.
fn container(settings: &ObjectSettings, facts: &Facts) -> Result<String, ObjectError> {
    if let Some(container) = &settings.container {
        return Ok(container.clone());
    }
    let configuration = settings.configuration.as_ref().or(facts.configuration.as_ref());
    let configuration = configuration.ok_or(ObjectError::NoContainer)?;
    Ok(format!("CN=Public Key Services,CN=Services,{configuration}"))
}

/// The objects that hold the CA's certificates, as the settings want them.
///
/// # Errors
///
/// Nobody says where they are.
pub fn objects(
    settings: &ObjectSettings,
    ca: &Ca,
    facts: &Facts,
    now: i64,
) -> Result<Vec<Object>, ObjectError> {
    let newest = ca.newest().names(settings, facts);
    let name = escape_dn_value(&newest.sanitized_short_name);
    let valid = |it: &&CaCertificate| !it.certificate.expired_at(now);
    let certificates: Vec<&Certificate> =
        ca.certificates.iter().filter(valid).map(|it| &it.certificate).collect();
    let der = |it: &[&Certificate]| it.iter().map(|it| it.der().to_vec()).collect::<Vec<_>>();
    let mut objects = Vec::new();
    if settings.aia || settings.cross_certificates {
        let mut values = vec![("cACertificate".to_owned(), der(&certificates))];
        if !settings.aia {
            values.clear();
        }
        let mut places: Vec<(String, Vec<Attribute>)> = Vec::new();
        if settings.certificate_urls.is_empty() {
            places.push((format!("CN={name},CN=AIA,{}", container(settings, facts)?), values));
        } else if settings.aia {
            // Each certificate goes where the template leads with its names.
            for (it, certificate) in ca.certificates.iter().filter(valid).zip(&certificates) {
                let names = it.names(settings, facts);
                for dn in targets(&settings.certificate_urls, SERVER_PUBLISH, &names)? {
                    let der = certificate.der().to_vec();
                    match places.iter_mut().find(|(it, _)| it.eq_ignore_ascii_case(&dn)) {
                        Some((_, values)) => values[0].1.push(der),
                        None => places.push((dn, vec![("cACertificate".to_owned(), vec![der])])),
                    }
                }
            }
        }
        for (dn, values) in places {
            let made_with = ca_object(&dn, facts);
            objects.push(Object { what: "CA certificates", dn, made_with, values, own_parents: 0 });
        }
    }
    if settings.certification_authorities {
        // Only a root is a trusted root.
        let roots: Vec<&Certificate> =
            certificates.iter().copied().filter(|it| it.subject() == it.issuer()).collect();
        let dn = format!("CN={name},CN=Certification Authorities,{}", container(settings, facts)?);
        if !roots.is_empty() {
            objects.push(Object {
                what: "trusted roots",
                made_with: ca_object(&dn, facts),
                values: vec![("cACertificate".to_owned(), der(&roots))],
                dn,
                own_parents: 0,
            });
        }
    }
    if settings.ntauth {
        let dn = format!("CN=NTAuthCertificates,{}", container(settings, facts)?);
        objects.push(Object {
            what: "CAs for logging on",
            made_with: ca_object(&dn, facts),
            values: vec![("cACertificate".to_owned(), der(&certificates))],
            dn,
            own_parents: 0,
        });
    }
    if settings.enrollment_services {
        let dn = format!("CN={name},CN=Enrollment Services,{}", container(settings, facts)?);
        let text = |name: &str, value: &str| (name.to_owned(), vec![value.as_bytes().to_vec()]);
        let mut made_with = named(&dn, &["top", "pKIEnrollmentService"], facts);
        made_with.push(text("dNSHostName", &newest.machine_dns_name));
        made_with.push(text(
            "displayName",
            ca.newest().certificate.common_name().unwrap_or(&newest.sanitized_ca_name),
        ));
        made_with.push(text("cACertificateDN", ca.newest().certificate.subject_text()));
        made_with.push(text("flags", ENROLLMENT_FLAGS));
        if !settings.templates.is_empty() {
            let templates = settings.templates.iter().map(|it| it.as_bytes().to_vec());
            made_with.push(("certificateTemplates".to_owned(), templates.collect()));
        }
        let values = vec![("cACertificate".to_owned(), der(&certificates))];
        objects.push(Object { what: "enrollment service", dn, made_with, values, own_parents: 0 });
    }
    Ok(objects)
}

/// The object that cross certificates go to.
///
/// # Errors
///
/// Nobody says where it is.
pub fn cross_place(
    settings: &ObjectSettings,
    ca: &Ca,
    facts: &Facts,
) -> Result<String, ObjectError> {
    let names = ca.newest().names(settings, facts);
    let placed = targets(&settings.certificate_urls, SERVER_PUBLISH, &names)?;
    if let Some(dn) = placed.into_iter().next() {
        return Ok(dn);
    }
    let name = escape_dn_value(&names.sanitized_short_name);
    Ok(format!("CN={name},CN=AIA,{}", container(settings, facts)?))
}

/// Where a list goes: nowhere, where the settings only have places for other lists.
///
/// # Errors
///
/// Nobody says where, or a template cannot be filled in.
pub fn list_places(
    settings: &ObjectSettings,
    list: &List<'_>,
    facts: &Facts,
) -> Result<Vec<ListPlace>, ObjectError> {
    let delta = list.list.is_delta();
    let names = Names { delta, part: list.list.part(), ..list.ca.names(settings, facts) };
    list_places_of(settings, &names, facts)
}

/// As [`list_places`], for the base or delta list of a key.
///
/// # Errors
///
/// As [`list_places`].
pub fn list_places_of(
    settings: &ObjectSettings,
    names: &Names,
    facts: &Facts,
) -> Result<Vec<ListPlace>, ObjectError> {
    let attribute = if names.delta { "deltaRevocationList" } else { "certificateRevocationList" };
    if !settings.list_urls.is_empty() {
        let flag = if names.delta { SERVER_PUBLISH_DELTA } else { SERVER_PUBLISH };
        let mut dns = targets(&settings.list_urls, flag, names)?;
        if names.part != 0 {
            // A template without a part would have the parts overwrite each other.
            let whole = Names { part: 0, ..names.clone() };
            let whole = targets(&settings.list_urls, flag, &whole)?;
            dns.retain(|it| !whole.contains(it));
        }
        let place = |dn| ListPlace { dn, attribute, own_parents: 1 };
        return Ok(dns.into_iter().map(place).collect());
    }
    let short = match names.machine_short_name.as_str() {
        "" => names.machine_dns_name.split('.').next().unwrap_or_default(),
        short => short,
    };
    let part = match names.part {
        0 => String::new(),
        part => format!("_Partition{part:05}"),
    };
    let name = format!("{}{}{part}", names.sanitized_short_name, names.crl_suffix);
    let dn = format!(
        "CN={},CN={},CN=CDP,{}",
        escape_dn_value(&name),
        escape_dn_value(short),
        container(settings, facts)?
    );
    Ok(vec![ListPlace { dn, attribute, own_parents: 1 }])
}

/// The object that a list is in, to make it.
pub fn list_object(place: &ListPlace, facts: &Facts, value: Option<&[u8]>) -> Object {
    let made_with = if facts.is_active_directory || rdn(&place.dn).is_some_and(|it| it.0 == "cn") {
        named(&place.dn, &["top", "cRLDistributionPoint"], facts)
    } else {
        named(&place.dn, &[container_class(&place.dn, facts), "pkiCA", "deltaCRL"], facts)
    };
    let values: Vec<Vec<u8>> = value.into_iter().map(<[u8]>::to_vec).collect();
    Object {
        what: "revocation lists",
        dn: place.dn.clone(),
        made_with,
        values: vec![(place.attribute.to_owned(), values)],
        own_parents: place.own_parents,
    }
}

/// Objects that templates with a flag lead to, each once.
fn targets(locations: &[Location], flag: u32, names: &Names) -> Result<Vec<String>, ObjectError> {
    let mut dns: Vec<String> = Vec::new();
    for location in locations.iter().filter(|it| it.has(flag) && it.template.is_ldap()) {
        if let Target::Ldap(target) = location.template.expand(names)?
            && !dns.contains(&target.dn)
        {
            dns.push(target.dn);
        }
    }
    Ok(dns)
}

/// What an object for certificates of a CA is made with.
fn ca_object(dn: &str, facts: &Facts) -> Vec<Attribute> {
    if !facts.is_active_directory {
        return named(dn, &[container_class(dn, facts), "pkiCA"], facts);
    }
    let mut attributes = named(dn, &["top", "certificationAuthority"], facts);
    for name in ["authorityRevocationList", "cACertificate", "certificateRevocationList"] {
        attributes.push((name.to_owned(), vec![PLACEHOLDER.to_vec()]));
    }
    attributes
}

/// Classes and the value that its own name says.
fn named(dn: &str, classes: &[&str], facts: &Facts) -> Vec<Attribute> {
    let classes = classes.iter().map(|it| it.as_bytes().to_vec()).collect();
    let mut attributes = vec![("objectClass".to_owned(), classes)];
    // Active Directory puts it in by itself.
    if !facts.is_active_directory
        && let Some((name, value)) = rdn(dn)
    {
        attributes.push((name, vec![value.into_bytes()]));
    }
    attributes
}

/// The class of a container, or of an object that only has auxiliary ones of its own, by its name.
fn container_class(dn: &str, facts: &Facts) -> &'static str {
    match rdn(dn).map(|it| it.0).as_deref() {
        Some("ou") => "organizationalUnit",
        Some("o") => "organization",
        _ if facts.is_active_directory => "container",
        _ => "organizationalRole",
    }
}

/// What a container is made with.
pub fn container_attributes(dn: &str, facts: &Facts) -> Vec<Attribute> {
    named(dn, &[container_class(dn, facts)], facts)
}

/// What is above an object.
pub fn parent(dn: &str) -> Option<&str> {
    let mut escaped = false;
    for (at, octet) in dn.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => return Some(dn[at + 1..].trim_start()),
            _ => (),
        }
    }
    None
}

/// Type in lower case and value of an object's own name, where it has one value.
fn rdn(dn: &str) -> Option<(String, String)> {
    let length = parent(dn).map_or(dn.len(), |it| dn.len() - it.len());
    let own = dn[..length].trim_end();
    let own = own.strip_suffix(',').unwrap_or(own);
    // A blank at the end that is a part of the value is escaped.
    let own = if own.trim_end().ends_with('\\') { own } else { own.trim_end() };
    let (name, value) = own.split_once('=')?;
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.trim_start().bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'\\' => {
                let next = rest.next()?;
                let digit =
                    |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
                match digit(next) {
                    Some(high) => octets.push(high << 4 | digit(rest.next()?)?),
                    None => octets.push(next),
                }
            }
            b'+' => return None,
            other => octets.push(other),
        }
    }
    Some((name.trim().to_ascii_lowercase(), String::from_utf8(octets).ok()?))
}

/// What was done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was as it should be.
    There,
    /// It was changed.
    Changed,
    /// It was made.
    Made,
}

/// Brings an object to what it should be: makes it where it may be made, adds what is missing, and
/// reads it back.
///
/// # Errors
///
/// What kept it from that.
pub async fn ensure(session: &Session, object: &Object, make: Make) -> Result<Done, ObjectError> {
    let mut done = Done::There;
    for _ in 0..ROUNDS {
        let Some(entry) = read(session, object).await? else {
            create(session, object, make).await?;
            done = Done::Made;
            continue;
        };
        let changes = missing(session, object, &entry);
        if changes.is_empty() {
            return Ok(done);
        }
        match session.modify(&object.dn, changes).await {
            Ok(()) if done == Done::There => done = Done::Changed,
            Ok(()) => (),
            // Somebody else has written in between: look again.
            Err(err) if err.then() == Then::Look => (),
            Err(err) => return Err(err.into()),
        }
    }
    Err(ObjectError::NotThere(object.dn.clone()))
}

/// Reads an object as far as it has to be something.
///
/// # Errors
///
/// What the directory says.
pub async fn read(session: &Session, object: &Object) -> Result<Option<Entry>, DirectoryError> {
    let names: Vec<String> = object.values.iter().map(|it| session.attribute(&it.0)).collect();
    let mut asked: Vec<&str> = names.iter().map(String::as_str).collect();
    asked.push("objectClass");
    session.read(&object.dn, &asked).await
}

/// What has to be written on an object that is there.
pub fn missing(session: &Session, object: &Object, entry: &Entry) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, wanted) in &object.values {
        let present: Vec<&[u8]> = entry.values(name).collect();
        let add: Vec<Vec<u8>> =
            wanted.iter().filter(|it| !present.contains(&it.as_slice())).cloned().collect();
        if add.is_empty() {
            continue;
        }
        let attribute = session.attribute(name);
        if present.contains(&PLACEHOLDER) {
            changes.push(Change::Delete(attribute.clone(), vec![PLACEHOLDER.to_vec()]));
        }
        changes.push(Change::Add(attribute, add));
    }
    changes
}

/// Makes an object, and above it what may be made.
pub async fn create(session: &Session, object: &Object, make: Make) -> Result<(), ObjectError> {
    if make == Make::Nothing {
        return Err(ObjectError::Missing(object.dn.clone()));
    }
    // What is missing above it, from the lowest to the highest.
    let mut above: Vec<&str> = Vec::new();
    let most = if make == Make::Parents { PARENTS_MAX } else { object.own_parents };
    let mut dn = object.dn.as_str();
    while let Some(next) = parent(dn) {
        if session.read(next, &["objectClass"]).await?.is_some() {
            break;
        }
        if most <= above.len() {
            return Err(ObjectError::Missing(next.to_owned()));
        }
        above.push(next);
        dn = next;
    }
    for dn in above.iter().rev() {
        add(session, dn, container_attributes(dn, &session.facts)).await?;
    }
    add(session, &object.dn, object.attributes(&session.facts)).await
}

async fn add(session: &Session, dn: &str, attributes: Vec<Attribute>) -> Result<(), ObjectError> {
    match session.add(dn, attributes).await {
        Ok(()) => Ok(()),
        // Somebody else was faster; what is there is looked at by the caller.
        Err(err) if err.then() == Then::Look => Ok(()),
        Err(err) if err.result_code() == Some(NO_SUCH_OBJECT) => {
            Err(ObjectError::Missing(parent(dn).unwrap_or(dn).to_owned()))
        }
        Err(err) => Err(err.into()),
    }
}

/// Sets an attribute, unless somebody has changed the object since `entry` was read: then
/// [`Then::Look`] is what follows from the error.
///
/// `OpenLDAP` has no equality for lists and pairs, and an assertion about the change number of the
/// object (RFC 4528) says the same; Active Directory has no assertions, and takes back what has to
/// be there to be deleted.
///
/// # Errors
///
/// What the directory says.
pub async fn compare_and_set(
    session: &Session,
    entry: &Entry,
    attribute: &str,
    values: Vec<Vec<u8>>,
) -> Result<(), DirectoryError> {
    let name = session.attribute(attribute);
    let state = entry.texts("entryCSN");
    if let Some(state) = state.first()
        && session.facts.controls.iter().any(|it| it == ASSERTION)
    {
        let filter = format!("(entryCSN={})", exeunt_publication::url::escape_filter_value(state));
        return session.modify_if(&entry.name, &filter, vec![Change::Replace(name, values)]).await;
    }
    let present: Vec<&[u8]> = entry.values(attribute).collect();
    let delete: Vec<Vec<u8>> = present
        .iter()
        .filter(|it| !values.iter().any(|value| value == *it))
        .map(|it| it.to_vec())
        .collect();
    let add: Vec<Vec<u8>> =
        values.into_iter().filter(|it| !present.contains(&it.as_slice())).collect();
    let mut changes = Vec::new();
    if !delete.is_empty() {
        changes.push(Change::Delete(name.clone(), delete));
    }
    if !add.is_empty() {
        changes.push(Change::Add(name, add));
    }
    session.modify(&entry.name, changes).await
}

#[cfg(test)]
mod tests;
