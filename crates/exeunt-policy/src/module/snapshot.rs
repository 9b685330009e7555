//! A question to the engine's policy, as a policy module sees it.

use exeunt_engine::{Asked, Decision, Plan};
use exeunt_module::{
    Event, Extension, Extensions, Properties, Value,
    policy::{DefaultRuling, OWNED, VerifyRequest},
    view::name_parts,
};
use exeunt_types::{Disposition, ExtensionOrigin, OfficerExtension, RequestFlags, UnixMillis};
use exeunt_x509::{
    Certificate, Extension as Der, GeneralName, KeyUsage, Name, ObjectIdentifier, public_key_parts,
    time_text,
};

use super::ModuleFacts;

/// The call about a request: everything that is known of it, and of the certificate that `plan`
/// would make.
pub(super) fn question(
    facts: &ModuleFacts,
    asked: &Asked<'_>,
    plan: &Plan,
    base: Option<&Decision>,
    seq: u64,
) -> VerifyRequest {
    let is_chained = base.is_some();
    let event = Event {
        id: format!("policy-{seq}"),
        seq,
        event: 0,
        context: seq,
        subject: "request".to_owned(),
        time: milliseconds(asked.now),
        attempt: 1,
        request: of_request(asked),
        certificate: of_certificate(facts, asked, plan),
        attributes: asked.attributes.to_vec(),
        extensions: extensions(asked, plan, is_chained),
        detail: Properties::default(),
        system: (facts.system)(asked.now),
    };
    let default = base.map(|base| match base {
        Decision::Hold { message, .. } => {
            DefaultRuling { disposition: 0, message: Some(message.clone()) }
        }
        _ => DefaultRuling { disposition: 1, message: None },
    });
    VerifyRequest { event, new_request: asked.new_request, flags: 0, default }
}

fn of_request(asked: &Asked<'_>) -> Properties {
    let mut properties = Properties::with_capacity(24);
    let mut flags = RequestFlags::default();
    if asked.renewed.is_some() {
        flags = flags.with(RequestFlags::RENEWAL);
    }
    if asked.on_behalf_of.is_some() {
        flags = flags.with(RequestFlags::ENROLL_ON_BEHALF_OF);
        properties.push("Officer", Value::Long(1));
    }
    properties.push("RequestFlags", Value::Long(flags.0.cast_signed()));
    properties.push("StatusCode", Value::Long(0));
    properties.push("Disposition", Value::Long(Disposition::Active.code()));
    if asked.new_request {
        properties.push("SubmittedWhen", Value::Date(seconds(asked.now)));
    }
    if let Some(old) = asked.renewed {
        properties.push("RawOldCertificate", Value::Binary(old.der().to_vec()));
    }
    push_text(&mut properties, "SignerPolicies", &lines(asked.signatures, Certificate::policies));
    let purposes = lines(asked.signatures, Certificate::extended_key_usages);
    push_text(&mut properties, "SignerApplicationPolicies", &purposes);
    let caller = &asked.caller.name;
    push_text(&mut properties, "RequesterName", asked.on_behalf_of.unwrap_or(caller));
    push_text(&mut properties, "CallerName", caller);
    push_text(&mut properties, "CertificateTemplate", asked.template.unwrap_or_default());
    let attributes: String =
        asked.attributes.iter().flat_map(|(name, value)| [name, ":", value, "\n"]).collect();
    push_text(&mut properties, "RequestAttributes", &attributes);
    let subject = asked.request.subject();
    push_text(&mut properties, "DistinguishedName", &subject.to_string());
    if !subject.is_empty() {
        properties.push("RawName", Value::Binary(subject.der().to_owned()));
    }
    push_parts(&mut properties, subject);
    properties.push("RawRequest", Value::Binary(asked.request.der().to_vec()));
    properties
}

/// The whole name and the serial number are not there: they exist when the certificate does.
fn of_certificate(facts: &ModuleFacts, asked: &Asked<'_>, plan: &Plan) -> Properties {
    let mut properties = Properties::with_capacity(16);
    push_text(&mut properties, "CertificateTemplate", &plan.template);
    let (not_before, not_after) = validity(facts, asked.now, plan);
    properties.push("NotBefore", Value::Date(time_text(not_before)));
    properties.push("NotAfter", Value::Date(time_text(not_after)));
    let bits = asked.request.key().public_key_bits();
    properties.push("PublicKeyLength", Value::Long(i32::try_from(bits).unwrap_or(i32::MAX)));
    if let Ok(parts) = public_key_parts(asked.request.spki_der()) {
        properties.push("PublicKeyAlgorithm", Value::String(parts.algorithm.to_string()));
        if let Some(parameters) = parts.parameters {
            let value = Value::Binary(parameters.to_owned());
            properties.push("RawPublicKeyAlgorithmParameters", value);
        }
        properties.push("RawPublicKey", Value::Binary(parts.key.to_owned()));
    }
    let names: Vec<String> = plan
        .subject_alternative_names
        .iter()
        .filter_map(GeneralName::user_principal_name)
        .collect();
    push_text(&mut properties, "UPN", &names.join("\n"));
    push_parts(&mut properties, &plan.subject);
    properties
}

/// First and last second that the engine would give, as it computes them: inside the validity of the
/// CA's newest certificate that holds.
fn validity(facts: &ModuleFacts, now: UnixMillis, plan: &Plan) -> (i64, i64) {
    let seconds = |it: std::time::Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
    let holds = |(first, last): &&(UnixMillis, UnixMillis)| *first <= now && now <= *last;
    let (first, last) =
        facts.validities.iter().rev().find(holds).map_or((i64::MIN, i64::MAX), |(first, last)| {
            (first.unix_seconds(), last.unix_seconds())
        });
    let now = now.unix_seconds();
    let not_before = now.saturating_sub(seconds(plan.backdate)).max(first);
    let not_before = plan.not_before.map_or(not_before, |it| it.unix_seconds().max(not_before));
    let not_after = now.saturating_add(seconds(plan.validity)).saturating_sub(1);
    let not_after = plan.not_after.map_or(not_after, |it| it.unix_seconds().min(not_after));
    (not_before, not_after.min(last))
}

/// What would be in the certificate, with what officers have set, then what the request asks for and
/// nobody has enabled.
fn extensions(asked: &Asked<'_>, plan: &Plan, is_chained: bool) -> Extensions {
    let requested = asked.request.extensions();
    let asks_for = |oid: &ObjectIdentifier| requested.iter().any(|it| it.oid == *oid);
    let mut extensions = Extensions::with_capacity(requested.len() + 4);
    let mut planned: Vec<Der> = Vec::with_capacity(4);
    let is_ca = plan.key_usage.contains(KeyUsage::KEY_CERT_SIGN);
    planned.push(Der::basic_constraints(is_ca, plan.path_length.filter(|_| is_ca)));
    planned.push(Der::key_usage(plan.key_usage));
    if !plan.extended_key_usage.is_empty() {
        planned.push(Der::extended_key_usage(&plan.extended_key_usage));
    }
    if !plan.subject_alternative_names.is_empty() {
        let critical = plan.subject.is_empty();
        planned.push(Der::subject_alternative_name(&plan.subject_alternative_names, critical));
    }
    for it in planned {
        // Of what nobody has planned the request's own wish is shown, until the module enables it.
        if !is_chained && asks_for(&it.oid) && !is_owned(&it.oid.to_string()) {
            continue;
        }
        let origin = if is_chained { ExtensionOrigin::Policy } else { ExtensionOrigin::Server };
        let critical = if it.critical { Extension::CRITICAL } else { 0 };
        let shown = Extension { flags: origin.bits() | critical, value: it.value };
        extensions.push(it.oid.to_string(), shown);
    }
    for OfficerExtension { oid, flags, value } in &plan.extensions {
        let flags = ExtensionOrigin::Policy.bits() | u32::from(*flags);
        extensions.set(oid.clone(), Extension { flags, value: value.clone() });
    }
    // What officers have set comes after every plan.
    for OfficerExtension { oid, flags, value } in asked.officers {
        let Ok(known) = ObjectIdentifier::new(oid) else { continue };
        let oid = known.to_string();
        if is_owned(&oid) {
            continue;
        }
        // Of what officers only take out, the value that they have taken out is shown.
        let of_request = || requested.iter().find(|it| it.oid == known).map(|it| &it.value);
        let taken_out = || extensions.extension(&oid).map(|it| &it.value).or_else(of_request);
        let value = if value.is_empty() { taken_out().unwrap_or(value) } else { value }.clone();
        let flags = ExtensionOrigin::Admin.bits() | u32::from(*flags);
        extensions.set(oid, Extension { flags, value });
    }
    for it in requested {
        let oid = it.oid.to_string();
        if extensions.extension(&oid).is_none() && !is_owned(&oid) {
            let critical = if it.critical { Extension::CRITICAL } else { 0 };
            let flags = ExtensionOrigin::Request.bits() | critical | Extension::DISABLED;
            extensions.push(oid, Extension { flags, value: it.value.clone() });
        }
    }
    extensions
}

fn is_owned(oid: &str) -> bool {
    OWNED.iter().any(|(owned, _)| *owned == oid)
}

/// Parts of a name.
fn push_parts(properties: &mut Properties, name: &Name) {
    for (part, text) in name_parts(name.attributes().rev()) {
        properties.push(part, Value::String(text));
    }
}

/// What all of them say, each once, a line each.
fn lines(signers: &[Certificate], of: fn(&Certificate) -> Vec<ObjectIdentifier>) -> String {
    let mut all: Vec<ObjectIdentifier> = Vec::new();
    for oid in signers.iter().flat_map(of) {
        if !all.contains(&oid) {
            all.push(oid);
        }
    }
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn push_text(properties: &mut Properties, name: &'static str, text: &str) {
    if !text.is_empty() {
        properties.push(name, Value::String(text.to_owned()));
    }
}

fn seconds(moment: UnixMillis) -> String {
    time_text(moment.unix_seconds())
}

/// RFC 3339 in UTC with milliseconds.
fn milliseconds(moment: UnixMillis) -> String {
    let whole = seconds(moment);
    let fraction = moment.0.rem_euclid(1000);
    whole.strip_suffix('Z').map_or_else(String::new, |it| format!("{it}.{fraction:03}Z"))
}
