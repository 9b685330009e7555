//! Extensions, with the original's flags: who put each there, and whether it is in the certificate.

use exeunt_module::{Extension, Extensions};
use exeunt_types::ExtensionOrigin;
use exeunt_x509::{Certificate, CertificationRequest, Extension as Read};

/// What the engine puts into every certificate by itself: subject and authority key identifier,
/// distribution points, authority information.
const OF_SERVER: [&str; 4] = ["2.5.29.14", "2.5.29.35", "2.5.29.31", "1.3.6.1.5.5.7.1.1"];

/// The certificate's extensions in its order, then those of the request that did not get in. Where
/// nothing was `issued`, those of the request as they were asked for.
pub(super) fn extensions(
    issued: bool,
    certificate: Option<&Certificate>,
    request: Option<&CertificationRequest>,
) -> Extensions {
    let inside = certificate.map_or(&[][..], Certificate::extensions);
    let asked = request.map_or(&[][..], CertificationRequest::extensions);
    // An issued certificate that cannot be read says nothing of what got in.
    if issued && certificate.is_none() {
        return Extensions::default();
    }
    let mut extensions = Extensions::with_capacity(inside.len() + asked.len());
    for it in inside {
        let oid = it.oid.to_string();
        let origin = origin(&oid, it, asked);
        extensions.push(oid, made(it, origin, 0));
    }
    for it in asked {
        if inside.iter().all(|other| other.oid != it.oid) {
            let disabled = if issued { Extension::DISABLED } else { 0 };
            extensions.push(it.oid.to_string(), made(it, ExtensionOrigin::Request, disabled));
        }
    }
    extensions
}

/// The server's own come first: it would have put them in whether the request asks or not.
fn origin(oid: &str, extension: &Read, asked: &[Read]) -> ExtensionOrigin {
    if OF_SERVER.contains(&oid) {
        ExtensionOrigin::Server
    } else if asked.iter().any(|it| it.oid == extension.oid && it.value == extension.value) {
        ExtensionOrigin::Request
    } else {
        ExtensionOrigin::Policy
    }
}

fn made(extension: &Read, origin: ExtensionOrigin, disabled: u32) -> Extension {
    let critical = if extension.critical { Extension::CRITICAL } else { 0 };
    Extension { flags: origin.bits() | critical | disabled, value: extension.value.clone() }
}
