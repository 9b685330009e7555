//! Files of expired certificates leave after a while.
//!
//! Only certificates of this CA are removed, and it is their signature that says so; those of CAs
//! stay. It is done beside events that tell of the CA itself, a piece at a time.

use std::collections::BTreeSet;

use exeunt_module_kit::Event;
use exeunt_publication::{
    authority::{Authority, authorities},
    certificate::Certificate,
};

use crate::{
    certificate::Publication,
    folder::{Folder, Found, Link},
    publish::State,
};

/// How many files are looked at beside one event: some seconds of work at most.
pub const SWEPT_FILES_MAX: usize = 10_000;

/// How long nothing is looked at after everything was, in seconds.
const SWEEP_EVERY_S: i64 = 3600;

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// How far the looking has come.
#[derive(Debug, Default)]
pub struct Retention {
    /// The last name that was looked at.
    after: Option<String>,
    /// When everything had been looked at, in Unix seconds.
    swept_at: Option<i64>,
}

impl Retention {
    /// Looks at the next files and removes those whose time is over. What goes wrong is told to the
    /// log: the event has nothing to do with it.
    pub fn sweep(&mut self, state: &State, folder: &Folder, event: &Event, now: i64) {
        let Some(days) = state.settings.keep_expired_days else { return };
        let recently = |at: i64| at <= now && now < at.saturating_add(SWEEP_EVERY_S);
        if self.swept_at.is_some_and(recently) {
            return;
        }
        let result = authorities(&event.system)
            .and_then(|authorities| self.piece(folder, &authorities, expiry_limit(days, now)));
        if let Err(err) = result {
            eprintln!("looking for expired certificates: {err}");
        }
        if self.after.is_none() {
            self.swept_at = Some(now);
        }
    }

    fn piece(
        &mut self,
        folder: &Folder,
        authorities: &[Authority],
        limit: i64,
    ) -> Result<(), String> {
        let names = folder.names().map_err(|err| err.to_string())?;
        let next = |name: &&String| self.after.as_ref().is_none_or(|after| after < *name);
        let piece: Vec<&String> = names.iter().filter(next).take(SWEPT_FILES_MAX).collect();
        let mut gone = BTreeSet::new();
        for name in &piece {
            let Some(certificate) = certificate_in(folder, name) else { continue };
            if is_over(&certificate, authorities, limit) {
                match folder.remove(name) {
                    Ok(()) => {
                        gone.insert(name.as_str());
                    }
                    Err(err) => eprintln!("removing {name}: {err}"),
                }
            }
        }
        remove_links_to(folder, &names, &gone);
        let whole = piece.len() < SWEPT_FILES_MAX;
        self.after = piece.last().filter(|_| !whole).map(|it| (*it).clone());
        Ok(())
    }
}

/// Certificates that ended before this moment have no file, in Unix seconds.
pub fn expiry_limit(days: u64, now: i64) -> i64 {
    let kept_s = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY_S);
    now.saturating_sub(kept_s)
}

/// The certificate that a file holds, and nothing else.
pub fn certificate_in(folder: &Folder, name: &str) -> Option<Certificate> {
    match folder.find(name) {
        Ok(Found::File(content)) => {
            let publication = Publication::from_file(&content)?;
            Certificate::from_der(publication.der()).ok()
        }
        _ => None,
    }
}

/// Whether a certificate is one that this CA has issued to somebody else, and ended before `limit`.
pub fn is_over(certificate: &Certificate, authorities: &[Authority], limit: i64) -> bool {
    certificate.expired_at(limit) && is_ours(certificate, authorities)
}

/// Whether a certificate is one that this CA has issued to somebody who is no CA.
pub fn is_ours(certificate: &Certificate, authorities: &[Authority]) -> bool {
    !certificate.is_ca()
        && authorities.iter().any(|it| certificate.issued_by(&it.certificate).is_ok())
}

/// Removes links that lead to what has gone.
pub fn remove_links_to(folder: &Folder, names: &[String], gone: &BTreeSet<&str>) {
    if gone.is_empty() {
        return;
    }
    for name in names {
        if matches!(folder.link(name), Ok(Link::To(target, _)) if gone.contains(target.as_str()))
            && let Err(err) = folder.remove(name)
        {
            eprintln!("removing {name}: {err}");
        }
    }
}
