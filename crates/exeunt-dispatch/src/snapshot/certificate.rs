//! Properties of the certificate.

use exeunt_module::{Properties, Value};
use exeunt_types::{CertificateRecord, NewCertificate, TemplateFlags, hexadecimal};
use exeunt_x509::{Certificate, GeneralName, certificate_hash, public_key_parts};

use super::{long, name, push_text, seconds};

/// `read` is what the certificate's bytes say, where they could be read.
pub(super) fn properties(record: &CertificateRecord, read: Option<&Certificate>) -> Properties {
    let CertificateRecord { request, certificate, template, issued: _, event: _, template_flags } =
        record;
    let NewCertificate {
        serial,
        raw,
        subject,
        subject_alternative_names: _,
        not_before,
        not_after,
        ca_key: _,
        crl_partition: _,
        key,
    } = certificate;
    let mut properties = Properties::with_capacity(24);
    properties.push("RequestID", long(request.0));
    properties.push("RawCertificate", Value::Binary(raw.clone()));
    properties.push("CertificateHash", Value::String(hexadecimal(&certificate_hash(raw))));
    push_text(&mut properties, "CertificateTemplate", template);
    if let Some(TemplateFlags { enrollment, general, private_key }) = *template_flags {
        properties.push("EnrollmentFlags", Value::Long(enrollment.cast_signed()));
        properties.push("GeneralFlags", Value::Long(general.cast_signed()));
        properties.push("PrivatekeyFlags", Value::Long(private_key.cast_signed()));
    }
    properties.push("SerialNumber", Value::String(serial.to_string()));
    properties.push("NotBefore", Value::Date(seconds(*not_before)));
    properties.push("NotAfter", Value::Date(seconds(*not_after)));
    properties.push("PublicKeyLength", long(u64::from(key.public_key_bits())));
    if let Some(read) = read {
        push_key(&mut properties, read);
        // Several are joined as name parts are.
        let names: Vec<String> = read
            .subject_alternative_names()
            .iter()
            .filter_map(GeneralName::user_principal_name)
            .collect();
        push_text(&mut properties, "UPN", &names.join("\n"));
    }
    name::push(&mut properties, subject, read.map(Certificate::subject));
    properties
}

fn push_key(properties: &mut Properties, read: &Certificate) {
    if let Ok(identifier) = read.key_identifier() {
        push_text(properties, "SubjectKeyIdentifier", &hexadecimal(&identifier));
    }
    // A certificate that could be read has a key that can.
    let Ok(parts) = public_key_parts(read.spki_der()) else { return };
    properties.push("PublicKeyAlgorithm", Value::String(parts.algorithm.to_string()));
    if let Some(parameters) = parts.parameters {
        let value = Value::Binary(parameters.to_owned());
        properties.push("RawPublicKeyAlgorithmParameters", value);
    }
    properties.push("RawPublicKey", Value::Binary(parts.key.to_owned()));
}
