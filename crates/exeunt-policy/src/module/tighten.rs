//! What a chained module may do to what the templates have planned: make it narrower, and nothing
//! else (decision 0013).

use exeunt_module::{Event, Extension};
use exeunt_types::ExtensionOrigin;
use exeunt_x509::{alternative_names_in, key_usage_in, purposes_in};

use super::plan::{ALTERNATIVE_NAMES, Changes, EXTENDED_KEY_USAGE, KEY_USAGE};

/// Whether all changes narrow. That bounds of validity only move inwards is for the judge of all
/// modules to see, who has the templates' as the engine's here.
///
/// # Errors
///
/// The first one that does not, in one line.
pub(super) fn check(before: &Event, changes: &Changes) -> Result<(), String> {
    for (part, now) in &changes.parts {
        let was = before.certificate.string(part).unwrap_or_default();
        let mut known: Vec<&str> = was.split('\n').filter(|it| !it.is_empty()).collect();
        for value in now.iter().flat_map(|it| it.split('\n')) {
            let Some(place) = known.iter().position(|it| *it == value) else {
                return Err(format!("a chained module adds {part} to the subject"));
            };
            known.remove(place);
        }
    }
    for (oid, now) in &changes.extensions {
        let there = before.extensions.extension(oid);
        if there.is_some_and(|it| is_officers(it) && !is_same(it, now)) {
            // It would come to nothing: officers' extensions are put in last.
            return Err(format!("a chained module changes extension {oid}, which an officer set"));
        }
        let was = there.filter(|it| it.flags & Extension::DISABLED == 0);
        extension(oid, was, now)?;
    }
    Ok(())
}

fn is_officers(extension: &Extension) -> bool {
    extension.flags & Extension::ORIGIN_MASK == ExtensionOrigin::Admin.bits()
}

/// Whether both make the same certificate.
fn is_same(one: &Extension, other: &Extension) -> bool {
    let flags = |it: &Extension| it.flags & (Extension::CRITICAL | Extension::DISABLED);
    let is_disabled = one.flags & Extension::DISABLED != 0;
    flags(one) == flags(other) && (is_disabled || one.value == other.value)
}

/// One extension: as it was planned, if it was, and as it is set.
fn extension(oid: &str, was: Option<&Extension>, now: &Extension) -> Result<(), String> {
    let is_disabled = now.flags & Extension::DISABLED != 0;
    let Some(was) = was else {
        // What is not in the certificate is kept out of it once more.
        if is_disabled {
            return Ok(());
        }
        return Err(format!("a chained module adds extension {oid}"));
    };
    let loses_critical = was.flags & !now.flags & Extension::CRITICAL != 0;
    if !is_disabled && loses_critical {
        return Err(format!("a chained module makes extension {oid} less critical"));
    }
    let is_narrower = match oid {
        // Without names there is less to claim; without usages there would be more.
        ALTERNATIVE_NAMES => is_disabled || are_names_narrower(&was.value, &now.value),
        KEY_USAGE => !is_disabled && is_usage_narrower(&was.value, &now.value),
        EXTENDED_KEY_USAGE => !is_disabled && are_purposes_narrower(&was.value, &now.value),
        _ => !is_disabled && was.value == now.value,
    };
    if is_narrower {
        return Ok(());
    }
    Err(format!("a chained module does not narrow extension {oid}"))
}

fn are_names_narrower(was: &[u8], now: &[u8]) -> bool {
    let (Ok(was), Ok(now)) = (alternative_names_in(was), alternative_names_in(now)) else {
        return false;
    };
    now.iter().all(|it| was.contains(it))
}

fn is_usage_narrower(was: &[u8], now: &[u8]) -> bool {
    let (Some(was), Some(now)) = (key_usage_in(was), key_usage_in(now)) else { return false };
    was.contains(now) && !now.is_empty()
}

fn are_purposes_narrower(was: &[u8], now: &[u8]) -> bool {
    let (Some(was), Some(now)) = (purposes_in(was), purposes_in(now)) else { return false };
    now.iter().all(|it| was.contains(it))
}
