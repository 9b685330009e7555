//! Lints of extensions: which may be there, how critical, and what must be in them.

use super::Lint;
use crate::algorithm::key_identifier;
use crate::certificate::BasicConstraints;
use crate::extension::{KeyUsage, RawExtension};
use crate::general_name::{GeneralName, GeneralNameError, check_uri};
use crate::name::Name;
use crate::oid;
use crate::tlv::{
    BIT_STRING, CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, NotDer, OCTET_STRING, OID, SEQUENCE, Tlv,
    check_der,
};
use const_oid::ObjectIdentifier;
use exeunt_types::KeyAlgorithm;

/// What a certificate may call critical: what every verifier of RFC 5280 knows (section 4.2).
const MAY_BE_CRITICAL: [ObjectIdentifier; 9] = [
    oid::KEY_USAGE,
    oid::SUBJECT_ALTERNATIVE_NAME,
    oid::BASIC_CONSTRAINTS,
    oid::NAME_CONSTRAINTS,
    oid::CERTIFICATE_POLICIES,
    oid::POLICY_MAPPINGS,
    oid::POLICY_CONSTRAINTS,
    oid::EXTENDED_KEY_USAGE,
    oid::INHIBIT_ANY_POLICY,
];

/// What must be critical (RFC 5280, sections 4.2.1.10, 4.2.1.11 and 4.2.1.14).
const MUST_BE_CRITICAL: [ObjectIdentifier; 3] =
    [oid::NAME_CONSTRAINTS, oid::POLICY_CONSTRAINTS, oid::INHIBIT_ANY_POLICY];

/// What must not be critical, or should not and never needs to be (RFC 5280, section 4.2).
const NEVER_CRITICAL: [ObjectIdentifier; 7] = [
    oid::SUBJECT_KEY_IDENTIFIER,
    oid::AUTHORITY_KEY_IDENTIFIER,
    oid::ISSUER_ALTERNATIVE_NAME,
    oid::CRL_DISTRIBUTION_POINTS,
    oid::FRESHEST_CRL,
    oid::AUTHORITY_INFORMATION_ACCESS,
    oid::SUBJECT_INFORMATION_ACCESS,
];

impl Lint<'_> {
    pub(super) fn extensions(
        &mut self,
        constraints: BasicConstraints,
        key: Option<KeyAlgorithm>,
        subject: Option<&Name>,
    ) {
        for (position, extension) in self.tbs.extensions.iter().enumerate() {
            self.any_extension(position, extension, constraints.ca);
        }
        self.key_usage(constraints.ca, key);
        self.extended_key_usage();
        self.subject_key_identifier(constraints.ca);
        self.authority_key_identifier();
        self.alternative_names(subject);
        self.distribution_points(&oid::CRL_DISTRIBUTION_POINTS);
        self.distribution_points(&oid::FRESHEST_CRL);
        self.information_access(&oid::AUTHORITY_INFORMATION_ACCESS);
        self.information_access(&oid::SUBJECT_INFORMATION_ACCESS);
    }

    /// What holds for every extension, known or not.
    fn any_extension(&mut self, position: usize, extension: &RawExtension<'_>, ca: bool) {
        let RawExtension { oid, critical, value } = *extension;
        if self.tbs.extensions[..position].iter().any(|it| it.oid == oid) {
            self.report("extension-duplicate", format!("extension {oid} occurs twice"));
        }
        if critical == Some(&[0]) {
            let message = format!("extension {oid} encodes the default of not being critical");
            self.report("default-encoded", message);
        }
        if let Err(NotDer(what)) = check_der(value) {
            self.report("extension-not-der", format!("extension {oid}: {what}"));
        }
        if extension.is_critical() {
            if NEVER_CRITICAL.contains(&oid) {
                self.report("extension-critical", format!("extension {oid} is critical"));
            } else if !MAY_BE_CRITICAL.contains(&oid) {
                let message = format!("extension {oid} is critical, but hardly anybody knows it");
                self.report("critical-extension-unknown", message);
            }
        } else if MUST_BE_CRITICAL.contains(&oid) || (ca && oid == oid::BASIC_CONSTRAINTS) {
            self.report("extension-not-critical", format!("extension {oid} is not critical"));
        }
        if oid == oid::NAME_CONSTRAINTS && !ca {
            let message = "names are constrained, but this is no certificate authority";
            self.report("name-constraints-without-ca", message);
        }
    }

    fn key_usage(&mut self, ca: bool, key: Option<KeyAlgorithm>) {
        let Some(found) = self.tbs.extension(&oid::KEY_USAGE) else {
            return self.report("key-usage-missing", "there is no key usage");
        };
        let usage = KeyUsage::read(found.value);
        let Some(usage) = self.value_or_report("key-usage-invalid", usage) else { return };
        if usage.is_empty() {
            self.report("key-usage-empty", "key usage allows nothing");
        }
        if has_trailing_zero_bits(found.value) {
            self.report("key-usage-trailing-zeros", "key usage is encoded with trailing zero bits");
        }
        if ca && !usage.contains(KeyUsage::KEY_CERT_SIGN) {
            let message = "a certificate authority may not sign certificates";
            self.report("ca-without-key-cert-sign", message);
        }
        if !ca && usage.contains(KeyUsage::KEY_CERT_SIGN) {
            let message = "the key may sign certificates, but this is no certificate authority";
            self.report("key-cert-sign-without-ca", message);
        }
        let one_way = KeyUsage::ENCIPHER_ONLY | KeyUsage::DECIPHER_ONLY;
        if usage.intersects(one_way) && !usage.contains(KeyUsage::KEY_AGREEMENT) {
            let message = "encipherOnly and decipherOnly mean nothing without keyAgreement";
            self.report("key-usage-combination", message);
        }
        if let Some(key) = key
            && usage.intersects(usage_not_for(key))
        {
            let message = format!("key usage allows what a key of type {} cannot do", key.name());
            self.report("key-usage-key-mismatch", message);
        }
    }

    fn extended_key_usage(&mut self) {
        let Some(found) = self.tbs.extension(&oid::EXTENDED_KEY_USAGE) else { return };
        let purposes = read_purposes(found.value);
        let Some(purposes) = self.value_or_report("extended-key-usage-invalid", purposes) else {
            return;
        };
        if purposes.is_empty() {
            self.report("extended-key-usage-empty", "extended key usage has no purpose");
        }
        for (position, purpose) in purposes.iter().enumerate() {
            if purposes[..position].contains(purpose) {
                let message = format!("extended key usage names {purpose} twice");
                self.report("extended-key-usage-duplicate", message);
            }
        }
    }

    fn subject_key_identifier(&mut self, ca: bool) {
        const MISMATCH: &str = "subject-key-identifier-mismatch";
        let Some(found) = self.tbs.extension(&oid::SUBJECT_KEY_IDENTIFIER) else {
            if ca {
                let message = "a certificate authority has no subject key identifier";
                self.report("subject-key-identifier-missing", message);
            }
            return;
        };
        let identifier = Tlv::read_as(found.value, OCTET_STRING, "it is no octet string");
        let Some(identifier) = self.value_or_report("subject-key-identifier-invalid", identifier)
        else {
            return;
        };
        if key_identifier(self.tbs.spki).is_ok_and(|it| it != identifier.value) {
            self.report(MISMATCH, "subject key identifier is not the SHA-1 of the public key");
        }
    }

    fn authority_key_identifier(&mut self) {
        const MISSING: &str = "authority-key-identifier-missing";
        let Some(found) = self.tbs.extension(&oid::AUTHORITY_KEY_IDENTIFIER) else {
            if self.issuer.is_some() {
                self.report(MISSING, "there is no authority key identifier");
            }
            return;
        };
        let identifier = read_authority_key_identifier(found.value);
        let Some(identifier) = self.value_or_report("authority-key-identifier-invalid", identifier)
        else {
            return;
        };
        let Some(identifier) = identifier else {
            return self.report(MISSING, "authority key identifier names no key");
        };
        let matches = match self.issuer {
            Some(issuer) => identifier == issuer.key_identifier(),
            None => key_identifier(self.tbs.spki).is_ok_and(|it| identifier == it),
        };
        if !matches {
            let message = "authority key identifier is not the issuer's subject key identifier";
            self.report("authority-key-identifier-mismatch", message);
        }
    }

    fn alternative_names(&mut self, subject: Option<&Name>) {
        let subject_is_empty = subject.is_some_and(Name::is_empty);
        let Some(found) = self.tbs.extension(&oid::SUBJECT_ALTERNATIVE_NAME) else {
            if subject_is_empty {
                let message = "there is neither a subject nor an alternative name";
                self.report("subject-and-san-empty", message);
            }
            return;
        };
        if subject_is_empty && !found.is_critical() {
            let message = "alternative names are not critical although the subject is empty";
            self.report("san-not-critical", message);
        }
        if let Err(err) = GeneralName::read_all(found.value) {
            let code = match err {
                GeneralNameError::Empty => "san-empty",
                GeneralNameError::TooMany => "san-too-many",
                GeneralNameError::Malformed { .. } => "san-malformed",
                GeneralNameError::Invalid { .. } => "san-invalid",
            };
            self.report(code, err.to_string());
        }
    }

    fn distribution_points(&mut self, oid: &ObjectIdentifier) {
        let Some(found) = self.tbs.extension(oid) else { return };
        match read_distribution_points(found.value) {
            Err(NotDer(what)) => self.report("distribution-points-invalid", what),
            Ok(uris) => self.uris(&uris),
        }
    }

    fn information_access(&mut self, oid: &ObjectIdentifier) {
        let Some(found) = self.tbs.extension(oid) else { return };
        match read_information_access(found.value) {
            Err(NotDer(what)) => self.report("information-access-invalid", what),
            Ok(uris) => self.uris(&uris),
        }
    }

    /// RFC 5280, sections 4.2.1.13 and 4.2.2.1, names HTTP and LDAP. HTTPS would have verifiers
    /// check a certificate in order to check a certificate.
    fn uris(&mut self, uris: &[&[u8]]) {
        for uri in uris {
            let text = str::from_utf8(uri).unwrap_or_default();
            let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
            let known = ["http", "ldap"].iter().any(|it| it.eq_ignore_ascii_case(scheme));
            if !known || check_uri(text).is_err() {
                let message =
                    format!("{:?} is not a plain http or ldap URI", uri.escape_ascii().to_string());
                self.report("uri-invalid", message);
            }
        }
    }
}

/// Named bits end with the last one that is set (X.690, section 11.2.2).
fn has_trailing_zero_bits(der: &[u8]) -> bool {
    match Tlv::read_as(der, BIT_STRING, "").map(|it| it.value) {
        Ok([unused @ 0..8, .., last]) => last >> unused & 1 == 0,
        _ => false,
    }
}

/// What keys of that type cannot be used for.
fn usage_not_for(key: KeyAlgorithm) -> KeyUsage {
    let encipherment = KeyUsage::KEY_ENCIPHERMENT | KeyUsage::DATA_ENCIPHERMENT;
    let agreement = KeyUsage::KEY_AGREEMENT | KeyUsage::ENCIPHER_ONLY | KeyUsage::DECIPHER_ONLY;
    match key {
        // RFC 3279, section 2.3.1.
        KeyAlgorithm::Rsa { .. } => agreement,
        // RFC 8813, section 3.
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => encipherment,
        // RFC 9295, section 3, and RFC 9881, section 5.
        KeyAlgorithm::Ed25519
        | KeyAlgorithm::MlDsa44
        | KeyAlgorithm::MlDsa65
        | KeyAlgorithm::MlDsa87 => encipherment | agreement,
    }
}

fn read_purposes(der: &[u8]) -> Result<Vec<ObjectIdentifier>, NotDer> {
    let list = Tlv::read_as(der, SEQUENCE, "extended key usage is not a sequence")?;
    let mut list = list.children();
    let mut purposes = Vec::with_capacity(4);
    while !list.is_empty() {
        purposes.push(list.expect(OID, "a purpose is no object identifier")?.oid()?);
    }
    Ok(purposes)
}

/// The key identifier; issuer and serial may stand there too, but only together.
pub(crate) fn read_authority_key_identifier(der: &[u8]) -> Result<Option<&[u8]>, NotDer> {
    let mut fields = Tlv::read_as(der, SEQUENCE, "it is not a sequence")?.children();
    let identifier = fields.optional(CONTEXT_PRIMITIVE)?.map(|it| it.value);
    let issuer = fields.optional(CONTEXT_CONSTRUCTED + 1)?;
    let serial = fields.optional(CONTEXT_PRIMITIVE + 2)?;
    fields.finish("something follows the serial number")?;
    if issuer.is_some() == serial.is_some() {
        Ok(identifier)
    } else {
        Err(NotDer("issuer and serial number stand there only together"))
    }
}

/// All URIs. Every point must have one: a point without a URI leads nowhere.
pub(crate) fn read_distribution_points(der: &[u8]) -> Result<Vec<&[u8]>, NotDer> {
    let list = Tlv::read_as(der, SEQUENCE, "distribution points are not a sequence")?;
    let mut points = list.children();
    let mut uris = Vec::with_capacity(2);
    while uris.is_empty() || !points.is_empty() {
        let point = points.expect(SEQUENCE, "a distribution point is missing or no sequence")?;
        let mut fields = point.children();
        let name = fields.expect(CONTEXT_CONSTRUCTED, "a distribution point has no name")?;
        let mut names =
            Tlv::read_as(name.value, CONTEXT_CONSTRUCTED, "a point's name is not a full name")?
                .children();
        fields.optional(CONTEXT_PRIMITIVE + 1)?;
        fields.optional(CONTEXT_CONSTRUCTED + 2)?;
        fields.finish("something follows in a distribution point")?;
        let before = uris.len();
        while uris.len() == before || !names.is_empty() {
            uris.push(names.expect(CONTEXT_PRIMITIVE + 6, "a point's name is not a URI")?.value);
        }
    }
    Ok(uris)
}

fn read_information_access(der: &[u8]) -> Result<Vec<&[u8]>, NotDer> {
    let list = Tlv::read_as(der, SEQUENCE, "information access is not a sequence")?;
    let mut descriptions = list.children();
    let mut uris = Vec::with_capacity(2);
    while uris.is_empty() || !descriptions.is_empty() {
        let description = descriptions.expect(SEQUENCE, "an access description is missing")?;
        let mut fields = description.children();
        fields.expect(OID, "an access description has no method")?.oid()?;
        uris.push(fields.expect(CONTEXT_PRIMITIVE + 6, "a location is not a URI")?.value);
        fields.finish("something follows the location")?;
    }
    Ok(uris)
}
