//! A template table, turned into a template.

use std::time::Duration;

use exeunt_policy::{Callers, Holder, Issuance, NameKind, OnBehalf, Renewal, Template, UsageName};
use exeunt_x509::{KeyUsage, ObjectIdentifier};

use super::file::TemplateTable;
use super::{ConfigError, value_error};

/// Names of subject attributes, as RFC 4514 and the reference write them, and their OIDs.
const SUBJECT_ATTRIBUTES: [(&str, &str); 13] = [
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("T", "2.5.4.12"),
    ("G", "2.5.4.42"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("E", "1.2.840.113549.1.9.1"),
];

/// Turns every word of the table into what it means.
pub fn checked(table: TemplateTable) -> Result<Template, ConfigError> {
    let TemplateTable {
        name,
        validity_days,
        backdate_s,
        key_usage,
        extended_key_usage,
        subject_from_request,
        san_from_request,
        dns_from_common_name,
        issue,
        callers,
        renewal,
        on_behalf,
        ca,
        path_length,
    } = table;
    let key = |field: &str| format!("template {name:?}: {field}");
    let mut usage = KeyUsage::default();
    for word in &key_usage {
        usage |= KeyUsage::from_name(word)
            .ok_or_else(|| unknown(key("key_usage"), word, "digitalSignature, keyEncipherment"))?;
    }
    let extended_key_usage = extended_key_usage
        .iter()
        .map(|word| {
            UsageName::parse(word).ok_or_else(|| {
                unknown(key("extended_key_usage"), word, "serverAuth, clientAuth, a dotted OID")
            })
        })
        .collect::<Result<Vec<ObjectIdentifier>, _>>()?;
    let subject_allowed = subject_from_request
        .iter()
        .map(|word| {
            subject_oid(word).ok_or_else(|| {
                unknown(key("subject_from_request"), word, "CN, O, OU, a dotted OID")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let names_allowed = san_from_request
        .iter()
        .map(|word| {
            NameKind::from_name(word)
                .ok_or_else(|| unknown(key("san_from_request"), word, "dns, ip, email, uri"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let issuance = match issue.as_str() {
        "at-once" => Issuance::AtOnce,
        "hold" => Issuance::Hold,
        _ => return Err(unknown(key("issue"), &issue, "at-once, hold")),
    };
    let callers = match callers.as_str() {
        "local" => Callers::Local,
        "authenticated" => Callers::Authenticated,
        _ => return Err(unknown(key("callers"), &callers, "local, authenticated")),
    };
    let renewal = match renewal.as_str() {
        "same-names" => Renewal::SameNames,
        "any-names" => Renewal::AnyNames,
        "refuse" => Renewal::Refuse,
        _ => return Err(unknown(key("renewal"), &renewal, "same-names, any-names, refuse")),
    };
    let on_behalf = match on_behalf.as_str() {
        "allow" => OnBehalf::Allow,
        "refuse" => OnBehalf::Refuse,
        _ => return Err(unknown(key("on_behalf"), &on_behalf, "allow, refuse")),
    };
    let holder = match (ca, path_length) {
        (true, path_length) => Holder::Ca { path_length },
        (false, None) => Holder::EndEntity,
        (false, Some(_)) => {
            let why = "it is for templates of CAs, which need ca = true".to_owned();
            return Err(value_error(key("path_length"), why));
        }
    };
    Ok(Template {
        validity: Duration::from_hours(24 * u64::from(validity_days)),
        backdate: Duration::from_secs(backdate_s),
        key_usage: usage,
        extended_key_usage,
        subject_allowed,
        names_allowed,
        dns_from_common_name,
        issuance,
        callers,
        renewal,
        on_behalf,
        holder,
        name,
    })
}

fn unknown(key: String, word: &str, examples: &str) -> ConfigError {
    value_error(key, format!("{word:?} is not known; for example: {examples}"))
}

fn subject_oid(word: &str) -> Option<String> {
    let named = SUBJECT_ATTRIBUTES.iter().find(|(name, _)| *name == word);
    match named {
        Some((_, oid)) => Some((*oid).to_owned()),
        None => ObjectIdentifier::new(word).ok().map(|oid| oid.to_string()),
    }
}
