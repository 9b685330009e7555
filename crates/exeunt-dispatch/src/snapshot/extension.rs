//! Extensions, with the original's flags: who put each there, and whether it is in the certificate.

use exeunt_module::{Extension, Extensions};
use exeunt_types::{ExtensionOrigin, OfficerExtension};
use exeunt_x509::{Certificate, CertificationRequest, Extension as Read, ObjectIdentifier};

/// What the engine puts into every certificate by itself: subject and authority key identifier,
/// distribution points, authority information.
const OF_SERVER: [&str; 4] = ["2.5.29.14", "2.5.29.35", "2.5.29.31", "1.3.6.1.5.5.7.1.1"];

/// The certificate's extensions in its order, then those that did not get in: of the request, and of
/// officers. Where nothing was `issued`, those that were asked for, and officers' in their place.
pub(super) fn extensions(
    issued: bool,
    certificate: Option<&Certificate>,
    request: Option<&CertificationRequest>,
    officers: &[OfficerExtension],
) -> Extensions {
    let inside = certificate.map_or(&[][..], Certificate::extensions);
    let asked = request.map_or(&[][..], CertificationRequest::extensions);
    // An issued certificate that cannot be read says nothing of what got in.
    if issued && certificate.is_none() {
        return Extensions::default();
    }
    let officers = by_oid(officers);
    let mut extensions = Extensions::with_capacity(inside.len() + asked.len() + officers.len());
    for it in inside {
        let oid = it.oid.to_string();
        let made = if OF_SERVER.contains(&oid.as_str()) {
            // It would have put them in whatever others ask for.
            made(it, ExtensionOrigin::Server, 0)
        } else if let Some(officers) = find(&officers, it).filter(|found| is_in(found, it)) {
            made_by_officer(officers, 0)
        } else if asked.iter().any(|other| other.oid == it.oid && other.value == it.value) {
            made(it, ExtensionOrigin::Request, 0)
        } else {
            made(it, ExtensionOrigin::Policy, 0)
        };
        extensions.push(oid, made);
    }
    let left_out = if issued { Extension::DISABLED } else { 0 };
    let is_left = |oid: &ObjectIdentifier| inside.iter().all(|it| it.oid != *oid);
    for it in asked.iter().filter(|it| is_left(&it.oid)) {
        let made = match find(&officers, it) {
            Some(officers) => made_by_officer(officers, left_out),
            None => made(it, ExtensionOrigin::Request, left_out),
        };
        extensions.push(it.oid.to_string(), made);
    }
    for (oid, it) in officers.iter().filter(|(oid, _)| is_left(oid)) {
        if asked.iter().all(|other| other.oid != *oid) {
            extensions.push(oid.to_string(), made_by_officer(it, left_out));
        }
    }
    extensions
}

/// Those of a certificate that was imported.
pub(super) fn imported(certificate: Option<&Certificate>) -> Extensions {
    let inside = certificate.map_or(&[][..], Certificate::extensions);
    let mut extensions = Extensions::with_capacity(inside.len());
    for it in inside {
        extensions.push(it.oid.to_string(), made(it, ExtensionOrigin::ImportedCert, 0));
    }
    extensions
}

/// What officers set, once for each OID. Their text may say the same OID in two ways; the later one
/// counts, as in the certificate.
fn by_oid(officers: &[OfficerExtension]) -> Vec<(ObjectIdentifier, &OfficerExtension)> {
    let mut found: Vec<(ObjectIdentifier, &OfficerExtension)> = Vec::with_capacity(officers.len());
    for it in officers {
        let Ok(oid) = ObjectIdentifier::new(&it.oid) else { continue };
        match found.iter_mut().find(|(other, _)| *other == oid) {
            Some((_, place)) => *place = it,
            None => found.push((oid, it)),
        }
    }
    found
}

fn find<'a>(
    officers: &[(ObjectIdentifier, &'a OfficerExtension)],
    extension: &Read,
) -> Option<&'a OfficerExtension> {
    officers.iter().find_map(|(oid, it)| (*oid == extension.oid).then_some(*it))
}

/// Whether the extension of the certificate is the one that an officer set.
fn is_in(officers: &OfficerExtension, extension: &Read) -> bool {
    let is_disabled = officers.flags & OfficerExtension::DISABLED != 0;
    let is_critical = officers.flags & OfficerExtension::CRITICAL != 0;
    !is_disabled && is_critical == extension.critical && officers.value == extension.value
}

fn made(extension: &Read, origin: ExtensionOrigin, disabled: u32) -> Extension {
    let critical = if extension.critical { Extension::CRITICAL } else { 0 };
    Extension { flags: origin.bits() | critical | disabled, value: extension.value.clone() }
}

/// With all flags that the officer gave, of which some are free for private use.
fn made_by_officer(extension: &OfficerExtension, disabled: u32) -> Extension {
    let flags = ExtensionOrigin::Admin.bits() | u32::from(extension.flags) | disabled;
    Extension { flags, value: extension.value.clone() }
}
