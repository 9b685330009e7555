//! What a policy module sets, carried out on a plan.

use exeunt_engine::{Asked, Plan};
use exeunt_module::{
    Event, Extension,
    policy::{Ruling, name_limit, unix_seconds},
};
use exeunt_types::{KeyAlgorithm, OfficerExtension, UnixMillis};
use exeunt_x509::{KeyUsage, alternative_names_in, key_usage_in, purposes_in};

use super::{ModuleSettings, subject};

/// Subject alternative names, key usage and extended key usage (RFC 5280, section 4.2.1).
pub(super) const ALTERNATIVE_NAMES: &str = "2.5.29.17";
pub(super) const KEY_USAGE: &str = "2.5.29.15";
pub(super) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";

/// What a certificate would say where nothing but the request and the engine has a say: the requested
/// subject, no extension of the request, signing and (of RSA) encrypting keys.
pub(super) fn from_request(settings: &ModuleSettings, asked: &Asked<'_>) -> Plan {
    let key_usage = match asked.request.key() {
        KeyAlgorithm::Rsa { .. } => KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT,
        _ => KeyUsage::DIGITAL_SIGNATURE,
    };
    let template = asked.template.unwrap_or_default();
    let subject = asked.request.subject().clone();
    let plan = Plan::new(template, subject, key_usage, settings.validity);
    Plan { backdate: settings.backdate, ..plan }
}

/// What a ruling changes, once it has been judged.
pub(super) struct Changes {
    /// Parts of the subject, each once, with what stands there in the end.
    pub(super) parts: Vec<(String, Option<String>)>,
    pub(super) not_before: Option<i64>,
    pub(super) not_after: Option<i64>,
    /// Extensions that were set, each once, with what stands there in the end.
    pub(super) extensions: Vec<(String, Extension)>,
}

impl Changes {
    /// What a ruling has made of a snapshot.
    pub(super) fn between(before: &Event, after: &Event, ruling: &Ruling) -> Self {
        let text =
            |event: &Event, name: &str| event.certificate.string(name).ok().map(str::to_owned);
        let mut parts: Vec<(String, Option<String>)> = Vec::new();
        let names = ruling.set_properties.iter().filter_map(|it| part_of(&it.name));
        for name in names {
            let now = text(after, name);
            if now != text(before, name) && parts.iter().all(|(it, _)| it != name) {
                parts.push((name.to_owned(), now));
            }
        }
        let date = |name: &str| {
            let now = after.certificate.date(name).ok();
            now.filter(|it| before.certificate.date(name).ok() != Some(it)).and_then(unix_seconds)
        };
        let mut extensions: Vec<(String, Extension)> = Vec::new();
        for it in &ruling.set_extensions {
            if let Some(now) = after.extensions.extension(&it.oid)
                && extensions.iter().all(|(oid, _)| *oid != it.oid)
            {
                extensions.push((it.oid.clone(), now.clone()));
            }
        }
        Self { parts, not_before: date("NotBefore"), not_after: date("NotAfter"), extensions }
    }

    /// The plan with everything in it.
    ///
    /// # Errors
    ///
    /// What cannot be in a certificate, in one line.
    pub(super) fn carry_out(self, plan: Plan) -> Result<Plan, String> {
        let Self { parts, not_before, not_after, extensions } = self;
        let mut plan = plan;
        if !parts.is_empty() {
            plan.subject = subject::with_parts(&plan.subject, &parts)
                .map_err(|err| format!("the subject cannot be: {err}"))?;
        }
        plan.not_before = not_before.map(UnixMillis::from_unix_seconds).or(plan.not_before);
        plan.not_after = not_after.map(UnixMillis::from_unix_seconds).or(plan.not_after);
        for (oid, Extension { flags, value }) in extensions {
            put(&mut plan, oid, flags, value)?;
        }
        if plan.subject.is_empty() && plan.subject_alternative_names.is_empty() {
            return Err("the certificate has neither a subject nor an alternative name".to_owned());
        }
        Ok(plan)
    }
}

/// The name property that a ruling means, by its own name.
fn part_of(name: &str) -> Option<&'static str> {
    let plain = match name.get(..8) {
        Some(prefix) if prefix.eq_ignore_ascii_case("Subject.") => &name[8..],
        _ => exeunt_module::view::ALIASES
            .iter()
            .find_map(|(alias, part)| alias.eq_ignore_ascii_case(name).then_some(*part))
            .unwrap_or(name),
    };
    name_limit(plain).map(|it| it.name)
}

/// Puts an extension into a plan, or out of it: those that a plan has a place for into that place, so
/// that rows and modules know of them.
fn put(plan: &mut Plan, oid: String, flags: u32, value: Vec<u8>) -> Result<(), String> {
    let is_disabled = flags & Extension::DISABLED != 0;
    let is_critical = flags & Extension::CRITICAL != 0;
    plan.extensions.retain(|it| it.oid != oid);
    match oid.as_str() {
        ALTERNATIVE_NAMES if is_disabled => plan.subject_alternative_names.clear(),
        ALTERNATIVE_NAMES => {
            plan.subject_alternative_names = alternative_names_in(&value)
                .map_err(|err| format!("the alternative names cannot be: {err}"))?;
            // The engine makes them critical where there is no subject; here somebody else does.
            if is_critical && !plan.subject.is_empty() {
                push(plan, oid, flags, value);
            }
        }
        EXTENDED_KEY_USAGE if is_disabled => plan.extended_key_usage.clear(),
        EXTENDED_KEY_USAGE if !is_critical => {
            plan.extended_key_usage =
                purposes_in(&value).ok_or("the extended key usage is none".to_owned())?;
        }
        KEY_USAGE if !is_disabled => {
            let usage = key_usage_in(&value).filter(|it| !it.is_empty());
            let usage = usage.ok_or("the key usage is none".to_owned())?;
            // Whoever may sign certificates would be a CA.
            let adds_ca = |bit| usage.contains(bit) && !plan.key_usage.contains(bit);
            if adds_ca(KeyUsage::KEY_CERT_SIGN) || adds_ca(KeyUsage::CRL_SIGN) {
                return Err("the key usage is that of a CA".to_owned());
            }
            plan.key_usage = usage;
            // The engine's is critical; another wish is carried out as such.
            if !is_critical {
                push(plan, oid, flags, value);
            }
        }
        _ => push(plan, oid, flags, value),
    }
    Ok(())
}

fn push(plan: &mut Plan, oid: String, flags: u32, value: Vec<u8>) {
    let flags = u16::try_from(flags & 0xffff).unwrap_or_default();
    plan.extensions.push(OfficerExtension { oid, flags, value });
}
