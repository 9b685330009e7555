//! `[[principal]]`, checked one by one; how they go together is checked by `exeunt_http::Principals`.

use std::sync::Arc;

use exeunt_engine::ManagerScope;
use exeunt_http::{Network, Principal, PrincipalError, Token, from_rfc3339};
use exeunt_types::Roles;
use exeunt_x509::Name;

use super::file::{PrincipalTable, TokenTable};
use super::{ConfigError, value_error};

/// Longest name of a principal, of a group, of a token, and longest pattern, in octets.
pub const PRINCIPAL_TEXT_BYTES_MAX: usize = 128;

pub fn checked(table: PrincipalTable) -> Result<Principal, ConfigError> {
    let PrincipalTable {
        name,
        roles,
        groups,
        enabled,
        uid,
        certificate_sha256,
        certificate_subjects,
        templates,
        requesters,
        token,
    } = table;
    let key = |field: &str| format!("principal {name:?}: {field}");
    check_name(&name, || "principal: name".to_owned())?;
    let roles = roles_of(&roles, || key("roles"))?;
    if roles == Roles::NONE {
        return Err(value_error(key("roles"), "there is none"));
    }
    for group in &groups {
        check_text(group, || key("groups"))?;
    }
    for (field, patterns) in [("templates", &templates), ("requesters", &requesters)] {
        patterns.iter().try_for_each(|it| check_text(it, || key(field)))?;
        if !patterns.is_empty() && !roles.contains(Roles::CERTIFICATE_MANAGER) {
            return Err(value_error(key(field), "limits the role certificate-manager alone"));
        }
    }
    let is_limited = !templates.is_empty() || !requesters.is_empty();
    let scope = is_limited.then(|| Arc::new(ManagerScope { templates, requesters }));
    let certificate_hashes =
        certificate_sha256.iter().map(|it| sha256(it, || key("certificate_sha256")));
    let certificate_hashes = certificate_hashes.collect::<Result<_, _>>()?;
    let subject = |text: &String| match Name::parse(text) {
        // As rows and certificates have it.
        Ok(name) if !name.is_empty() => Ok(name.to_string()),
        _ => {
            let reason = format!("{text:?} is no name such as CN=alice,O=Example");
            Err(value_error(key("certificate_subjects"), reason))
        }
    };
    let certificate_subjects =
        certificate_subjects.iter().map(subject).collect::<Result<_, _>>()?;
    let tokens = token.into_iter().map(|it| token_checked(&name, it)).collect::<Result<_, _>>()?;
    Ok(Principal {
        name,
        roles,
        groups,
        disabled: !enabled,
        uid,
        certificate_hashes,
        certificate_subjects,
        tokens,
        scope,
    })
}

fn token_checked(principal: &str, table: TokenTable) -> Result<Token, ConfigError> {
    let TokenTable { name, sha256, expires, scope, from } = table;
    let key = |field: &str| format!("principal {principal:?}: token {name:?}: {field}");
    check_name(&name, || format!("principal {principal:?}: token: name"))?;
    let sha256 = self::sha256(&sha256, || key("sha256"))?;
    let moment = |text: String| {
        let reason = "is no moment such as 2027-01-31T12:00:00Z";
        from_rfc3339(&text).ok_or_else(|| value_error(key("expires"), format!("{text:?} {reason}")))
    };
    let expires = expires.map(moment).transpose()?;
    let scope = match scope {
        Some(words) => Some(roles_of(&words, || key("scope"))?),
        None => None,
    };
    let network = |text: &String| {
        let reason = format!("{text:?} is no network such as 192.0.2.0/24");
        Network::parse(text).ok_or_else(|| value_error(key("from"), reason))
    };
    let from = from.iter().map(network).collect::<Result<_, _>>()?;
    Ok(Token { name, sha256, expires, scope, from })
}

/// What is wrong with principals that are good one by one.
pub fn together(error: PrincipalError) -> ConfigError {
    match error {
        PrincipalError::Separation { .. } => ConfigError::Separation(error),
        error => value_error("principal", error.to_string()),
    }
}

fn roles_of(words: &[String], key: impl Fn() -> String) -> Result<Roles, ConfigError> {
    words.iter().try_fold(Roles::NONE, |roles, word| {
        let known = Roles::NAMES.map(|(name, _)| name).join(", ");
        let role = Roles::from_name(word)
            .ok_or_else(|| value_error(key(), format!("{word:?} is none of {known}")))?;
        Ok(roles | role)
    })
}

fn sha256(text: &str, key: impl Fn() -> String) -> Result<[u8; 32], ConfigError> {
    let wrong = || value_error(key(), "is not a SHA-256 in 64 hexadecimal digits");
    super::key::hex(text).and_then(|it| it.try_into().ok()).ok_or_else(wrong)
}

/// A name that stands in paths, rows and logs.
fn check_name(name: &str, key: impl Fn() -> String) -> Result<(), ConfigError> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.' | '@');
    if (1..=64).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(value_error(key(), "must be 1 to 64 of A-Z, a-z, 0-9, '-', '_', '.' and '@'"))
}

fn check_text(text: &str, key: impl Fn() -> String) -> Result<(), ConfigError> {
    if (1..=PRINCIPAL_TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) {
        return Ok(());
    }
    Err(value_error(key(), format!("must be 1 to {PRINCIPAL_TEXT_BYTES_MAX} octets of text")))
}
