//! Every name that a module can ask for, as data: whose it is, its type, and what it holds.
//!
//! The names are the original's. `docs/manual/properties.md` says the same to people; a test holds
//! the two against each other.

use crate::PropType;

/// Whose property it is, and with it: which call reads it and under which context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Of the request: `GetRequestProperty` under an event.
    Request,
    /// Of the certificate: `GetCertificateProperty` under an event.
    Certificate,
    /// A name property: as requested through `GetRequestProperty`, as issued through
    /// `GetCertificateProperty`.
    Name,
    /// Of the CA: `GetCertificateProperty` under context 0, and under an event of the server.
    System,
    /// Of the server, but about one request: `GetCertificateProperty` under that request's event.
    RequestSystem,
    /// For policy modules to set; an exit module reads nothing there.
    Policy,
}

/// What a name's index counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Indexed {
    /// The name takes no index.
    No,
    /// The CA's certificates, from 0 to `CertCount` - 1. Without an index: the newest.
    ByCertificate,
    /// Units of time, from 0 (seconds) to 6 (years).
    ByPeriod,
    /// Something that is nobody's to read.
    Other,
}

/// What is known about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// The name as the original writes it.
    pub name: &'static str,
    /// Whose it is.
    pub class: Class,
    /// Its type; `None` where no public source says it, so that every type is let through.
    pub kind: Option<PropType>,
    /// Whether it takes an index.
    pub indexed: Indexed,
    /// Whether this version of Exeunt ever gives it a value. Where not, it reads as empty.
    pub filled: bool,
    /// What it holds, or would hold, in one clause.
    pub meaning: &'static str,
}

/// `ENUM_PERIOD_YEARS`: the last index of `LocalizedTimePeriodUnits`.
pub(super) const PERIOD_LAST: u64 = 6;

/// States of a CA certificate or of its revocation list: `CertState` and `CRLState`, the original's
/// `CA_DISP_*`.
pub mod ca_disposition {
    /// Not known yet.
    pub const INCOMPLETE: i32 = 0;
    /// The certificate is not there; for a list: another certificate with the same key has it.
    pub const ERROR: i32 = 1;
    /// Revoked.
    pub const REVOKED: i32 = 2;
    /// Valid; for a list: it is still published.
    pub const VALID: i32 = 3;
    /// Expired.
    pub const INVALID: i32 = 4;
    /// Asked for and not there yet.
    pub const UNDER_SUBMISSION: i32 = 5;
}

const LONG: Option<PropType> = Some(PropType::Long);
const DATE: Option<PropType> = Some(PropType::Date);
const BINARY: Option<PropType> = Some(PropType::Binary);
const STRING: Option<PropType> = Some(PropType::String);

const fn filled(
    class: Class,
    name: &'static str,
    kind: Option<PropType>,
    meaning: &'static str,
) -> Property {
    Property { name, class, kind, indexed: Indexed::No, filled: true, meaning }
}

const fn empty(
    class: Class,
    name: &'static str,
    kind: Option<PropType>,
    meaning: &'static str,
) -> Property {
    Property { filled: false, ..filled(class, name, kind, meaning) }
}

const fn each(indexed: Indexed, property: Property) -> Property {
    Property { indexed, ..property }
}

use Class::{Certificate, Name, Policy, Request, RequestSystem, System};
use Indexed::{ByCertificate, ByPeriod, Other};

/// Every known name. One that stands in two rows belongs to both classes.
#[rustfmt::skip]
pub const PROPERTIES: &[Property] = &[
    filled(Request, "RequestID", LONG, "number of the request"),
    filled(Request, "RawRequest", BINARY, "the request as it was received, in DER; fetched by call-back where that was agreed; empty where a certificate was imported without one"),
    filled(Request, "RawArchivedKey", BINARY, "the private key that came with the request, encrypted to recovery agents, CMS in DER; fetched by call-back, empty where none was agreed or no key came"),
    empty(Request, "ArchivedKey", BINARY, "archived private key, as key recovery makes it; modules are never given it"),
    filled(Request, "KeyRecoveryHashes", STRING, "SHA-1 of each recovery agent's certificate that the archived key is encrypted to, in lower-case hexadecimal, a line each; fetched by call-back as `RawArchivedKey` is"),
    filled(Request, "RawOldCertificate", BINARY, "the certificate that a renewal replaces, which signed it"),
    filled(Request, "RequestAttributes", STRING, "all attributes, a line `Name:Value` each"),
    filled(Request, "RequestType", LONG, "format of the request: 0x100 PKCS #10, 0x300 PKCS #7, 0x400 CMC; empty as `RawRequest` is"),
    filled(Request, "RequestFlags", LONG, "facts about the request as bits: 0x2 renews a certificate, 0x8 the CA's exchange certificate, 0x10 made on behalf of another, 0x40 a private key came along and is archived, 0x80 by which one key of the CA vouches for another"),
    filled(Request, "StatusCode", LONG, "result of the processing as an HRESULT; 0 is success"),
    filled(Request, "Disposition", LONG, "state when the event was committed: 9 pending, 12 foreign, 20 issued, 21 revoked, 30 failed, 31 denied"),
    filled(Request, "DispositionMessage", STRING, "one line about that state, for people"),
    filled(Request, "SubmittedWhen", DATE, "when the request came in"),
    filled(Request, "ResolvedWhen", DATE, "when its processing ended; empty while it is pending"),
    filled(Request, "RevokedWhen", DATE, "when the order to revoke was carried out"),
    filled(Request, "RevokedEffectiveWhen", DATE, "from when on the certificate counts as revoked"),
    filled(Request, "RevokedReason", LONG, "reason of the revocation, as RFC 5280 numbers it; -1 after a release from hold"),
    filled(Request, "RequesterName", STRING, "for whom the certificate is"),
    filled(Request, "CallerName", STRING, "who handed the request in"),
    filled(Request, "CertificateTemplate", STRING, "name of the template that was asked for or chosen; Exeunt's own place for it, where a pending request has no certificate to say it"),
    filled(Request, "SignerPolicies", STRING, "issuance policies of those who signed the request too, a line each"),
    filled(Request, "SignerApplicationPolicies", STRING, "application policies of those who signed the request too, a line each"),
    filled(Request, "Officer", LONG, "1 where somebody asks on behalf of another by right of office"),
    filled(Request, "PublishExpiredCertInCRL", LONG, "whether the certificate stays on revocation lists after it has expired"),
    empty(Request, "RequesterNameFromOldCertificate", STRING, "requester that the certificate to be renewed names"),
    empty(Request, "AttestationChallenge", BINARY, "challenge of a key attestation"),
    empty(Request, "EndorsementKeyHash", STRING, "hash of a TPM's endorsement key"),
    empty(Request, "EndorsementCertificateHash", STRING, "hash of a TPM's endorsement certificate"),
    empty(Request, "RawPrecertificate", BINARY, "precertificate of certificate transparency"),
    filled(Request, "CRLPartitionIndex", LONG, "part of the revocation lists that the certificate belongs to; empty where they are whole"),
    empty(Request, "LinterCertificate", BINARY, "certificate signed for a linter to look at"),
    filled(Request, "RawCACertificate", BINARY, "the CA's newest certificate in DER"),

    filled(Certificate, "RequestID", LONG, "number of the request that it came from"),
    filled(Certificate, "RawCertificate", BINARY, "the certificate in DER"),
    filled(Certificate, "CertificateHash", STRING, "SHA-1 of the certificate, in lower-case hexadecimal without blanks"),
    filled(Certificate, "CertificateTemplate", STRING, "name of the template; before there is a certificate, that of the request"),
    filled(Certificate, "EnrollmentFlags", LONG, "flags of the template about enrolment and publication; empty where it has none"),
    filled(Certificate, "GeneralFlags", LONG, "general flags of the template; empty where it has none"),
    filled(Certificate, "PrivatekeyFlags", LONG, "flags of the template about the private key; empty where it has none"),
    filled(Certificate, "SerialNumber", STRING, "serial number, in lower-case hexadecimal without a prefix"),
    filled(Certificate, "NotBefore", DATE, "first second of validity"),
    filled(Certificate, "NotAfter", DATE, "last second of validity"),
    filled(Certificate, "SubjectKeyIdentifier", STRING, "subject key identifier, in lower-case hexadecimal"),
    filled(Certificate, "RawPublicKey", BINARY, "the public key: contents of the bit string"),
    filled(Certificate, "PublicKeyLength", LONG, "length of the public key in bits"),
    filled(Certificate, "PublicKeyAlgorithm", STRING, "type of the public key, a dotted OID"),
    filled(Certificate, "RawPublicKeyAlgorithmParameters", BINARY, "DER of that type's parameters; empty where it has none"),
    filled(Certificate, "UPN", STRING, "user principal name among the alternative names"),
    empty(Certificate, "CertificateType", None, "obsolete since Windows 2000"),
    empty(Certificate, "RawSMIMECapabilities", None, "obsolete since Windows 2000"),
    empty(Certificate, "NameType", None, "obsolete since Windows 2000"),

    filled(Name, "DistinguishedName", STRING, "the whole subject, as RFC 4514 writes it"),
    filled(Name, "RawName", BINARY, "the whole subject in DER"),
    filled(Name, "CommonName", STRING, "common name"),
    filled(Name, "Country", STRING, "country, two letters"),
    filled(Name, "DeviceSerialNumber", STRING, "serial number of a device"),
    filled(Name, "DomainComponent", STRING, "labels of a domain name"),
    filled(Name, "EMail", STRING, "mail address in the subject"),
    filled(Name, "GivenName", STRING, "given name"),
    filled(Name, "Initials", STRING, "initials"),
    filled(Name, "Locality", STRING, "town"),
    filled(Name, "Organization", STRING, "organization"),
    filled(Name, "OrgUnit", STRING, "unit of an organization"),
    filled(Name, "State", STRING, "state or province"),
    filled(Name, "StreetAddress", STRING, "street"),
    filled(Name, "SurName", STRING, "family name"),
    filled(Name, "Title", STRING, "title"),
    filled(Name, "UnstructuredAddress", STRING, "address of PKCS #9"),
    filled(Name, "UnstructuredName", STRING, "name of PKCS #9"),

    filled(System, "CAType", LONG, "3 root, 4 subordinate"),
    filled(System, "SanitizedCAName", STRING, "the CA's name, fit for paths"),
    filled(System, "SanitizedShortName", STRING, "the same, shortened to 57 characters with a hash at its end"),
    filled(System, "MachineDNSName", STRING, "host name of the server"),
    filled(System, "ModuleRegistryLocation", STRING, "where the asking module's settings would lie in a Windows registry"),
    filled(System, "fUseDS", LONG, "0: no directory service"),
    filled(System, "fDeltaCRLsDisabled", LONG, "1: no delta revocation lists; 0: there are"),
    filled(System, "fServerUpgraded", LONG, "0: nothing was upgraded"),
    empty(System, "ConfigDN", STRING, "configuration container of a directory"),
    empty(System, "DomainDN", STRING, "domain of a directory"),
    empty(System, "LogLevel", LONG, "how much is logged"),
    empty(System, "SessionCount", LONG, "sessions of a database engine"),
    empty(System, "TemplateChangeSequenceNumber", LONG, "generation of a directory's templates"),
    filled(System, "VolatileMode", LONG, "0: every request is kept"),
    each(ByPeriod, empty(System, "LocalizedTimePeriodUnits", STRING, "words for seconds, minutes and so on up to years")),
    filled(System, "CertCount", LONG, "how many certificates the CA ever had"),
    each(ByCertificate, filled(System, "RawCACertificate", BINARY, "a certificate of the CA in DER")),
    each(ByCertificate, filled(System, "CertState", LONG, "its state: 3 valid, 4 expired")),
    each(ByCertificate, filled(System, "CertSuffix", STRING, "what its file's name ends in: nothing for 0, else its index in brackets")),
    each(ByCertificate, filled(System, "RawCRL", BINARY, "its base revocation list that holds now, in DER")),
    each(ByCertificate, filled(System, "RawDeltaCRL", BINARY, "its delta revocation list; while deltas are off, no such index (0x80070002)")),
    each(ByCertificate, filled(System, "CRLIndex", LONG, "index of the first certificate with the same key, which names the list")),
    each(ByCertificate, filled(System, "CRLState", LONG, "state of its revocation list: 1 another certificate's, 3 published, 4 the certificate has expired")),
    each(ByCertificate, filled(System, "CRLSuffix", STRING, "what the name of the list's file ends in: nothing for 0, else its index in brackets")),
    each(ByCertificate, filled(System, "CRLFile", STRING, "Exeunt's own: path of the file with the base list, which the module may read")),
    each(ByCertificate, filled(System, "DeltaCRLFile", STRING, "Exeunt's own: the same for the delta list")),
    filled(System, "CRLPartitionFiles", STRING, "Exeunt's own: paths of the files with the parts of the lists, bases and deltas of all keys, a line each; the module may read them"),
    empty(System, "SEAuditFilter", LONG, "what is audited"),

    empty(RequestSystem, "RequesterCAAccess", LONG, "rights of the requester"),
    empty(RequestSystem, "UserDN", STRING, "the requester in a directory"),
    filled(RequestSystem, "KeyArchived", LONG, "1 where the private key of the certificate was archived with its request; empty where not"),

    empty(Policy, "EventLogTerse", STRING, "writes a line to the event log"),
    empty(Policy, "EventLogError", STRING, "writes a line to the event log"),
    empty(Policy, "EventLogWarning", STRING, "writes a line to the event log"),
    empty(Policy, "EventLogVerbose", STRING, "writes a line to the event log"),
    empty(Policy, "EventLogExhaustive", STRING, "writes a line to the event log"),
    empty(Policy, "DCName", STRING, "domain controller to ask"),
    empty(Policy, "CrossForest", None, "whether the requester belongs to another forest"),
    empty(Policy, "RequesterSAMName", STRING, "the requester's account name"),
    empty(Policy, "RequesterUPN", STRING, "the requester's principal name"),
    empty(Policy, "RequesterDN", STRING, "the requester in a directory"),
    each(Other, empty(Policy, "SEAuditId", None, "number of an audit record")),
];

/// Other names of name properties: short keywords, and the OIDs of the attribute types.
pub const ALIASES: &[(&str, &str)] = &[
    ("CN", "CommonName"),
    ("2.5.4.3", "CommonName"),
    ("C", "Country"),
    ("2.5.4.6", "Country"),
    ("2.5.4.5", "DeviceSerialNumber"),
    ("DC", "DomainComponent"),
    ("0.9.2342.19200300.100.1.25", "DomainComponent"),
    ("E", "EMail"),
    ("1.2.840.113549.1.9.1", "EMail"),
    ("G", "GivenName"),
    ("2.5.4.42", "GivenName"),
    ("I", "Initials"),
    ("2.5.4.43", "Initials"),
    ("L", "Locality"),
    ("2.5.4.7", "Locality"),
    ("O", "Organization"),
    ("Org", "Organization"),
    ("2.5.4.10", "Organization"),
    ("OU", "OrgUnit"),
    ("OrganizationUnit", "OrgUnit"),
    ("OrganizationalUnit", "OrgUnit"),
    ("2.5.4.11", "OrgUnit"),
    ("ST", "State"),
    ("S", "State"),
    ("2.5.4.8", "State"),
    ("Street", "StreetAddress"),
    ("2.5.4.9", "StreetAddress"),
    ("SN", "SurName"),
    ("2.5.4.4", "SurName"),
    ("T", "Title"),
    ("2.5.4.12", "Title"),
    ("1.2.840.113549.1.9.8", "UnstructuredAddress"),
    ("1.2.840.113549.1.9.2", "UnstructuredName"),
];

/// The parts of a name, from type (dotted object identifier) and value of its attributes in the order of
/// its text. What is no part is passed over.
///
/// Several values of one part are joined by a line feed, as the original does; of several countries the
/// first one stands, because the original never joins them.
pub fn name_parts<'a>(
    attributes: impl IntoIterator<Item = (String, &'a str)>,
) -> Vec<(&'static str, String)> {
    let mut parts: Vec<(&'static str, String)> = Vec::new();
    for (oid, value) in attributes {
        let Some((_, part)) = ALIASES.iter().find(|(alias, _)| *alias == oid) else { continue };
        match parts.iter_mut().find(|(it, _)| it == part) {
            Some(("Country", _)) => (),
            Some((_, text)) => {
                text.push('\n');
                text.push_str(value);
            }
            None => parts.push((part, value.to_owned())),
        }
    }
    parts
}

/// The name property that a name means: its own name, also with `Subject.` before it, or an alias,
/// before which that prefix may not stand.
pub(super) fn name_property(name: &str) -> Option<&'static Property> {
    const PREFIX: &str = "Subject.";
    let plain = match name.get(..PREFIX.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => &name[PREFIX.len()..],
        _ => ALIASES
            .iter()
            .find_map(|(alias, meant)| alias.eq_ignore_ascii_case(name).then_some(*meant))
            .unwrap_or(name),
    };
    find(plain, &[Class::Name])
}

/// The row of a name in any ASCII case, among those classes, without index or prefix.
pub(super) fn find(name: &str, classes: &[Class]) -> Option<&'static Property> {
    PROPERTIES.iter().find(|it| classes.contains(&it.class) && it.name.eq_ignore_ascii_case(name))
}
