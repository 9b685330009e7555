//! What is to be written on an object, worked out from what is there: pure.

use std::collections::{BTreeMap, BTreeSet};

use exeunt_publication::certificate::Certificate;

use crate::settings::{UserSettings, WhenFull};

/// How long after its end a certificate stays, in seconds: the original's 24 hours (MS-WCCE
/// 3.2.2.1.5.1).
const EXPIRED_STAYS_SECONDS: i64 = 24 * 60 * 60;

/// What an event wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The certificate is to be there.
    There,
    /// It is not.
    Gone,
}

/// A certificate, and what is wanted of it.
#[derive(Clone, Debug)]
pub struct Wish {
    /// What.
    pub wanted: Wanted,
    /// Of which.
    pub certificate: Certificate,
}

/// What becomes of a wish when the plan is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It comes true.
    Fine,
    /// Younger certificates of this CA take all the room.
    Superseded,
    /// There is no room.
    Full,
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Values that come in.
    pub add: Vec<Vec<u8>>,
    /// Values that leave.
    pub delete: Vec<Vec<u8>>,
    /// For each wish.
    pub verdicts: Vec<Verdict>,
}

/// Whether a certificate has been over for more than a day.
pub fn is_long_expired(certificate: &Certificate, now: i64) -> bool {
    certificate.not_after().saturating_add(EXPIRED_STAYS_SECONDS) < now
}

/// Works out what is to be written. Of wishes for one certificate the last one counts.
///
/// What is not proven to be this CA's by its signature never leaves, but for a certificate that an
/// event names.
pub fn plan(
    there: &[&[u8]],
    wishes: &[&Wish],
    cas: &[Certificate],
    users: &UserSettings,
    now: i64,
) -> Plan {
    let is_ours = |it: &Certificate| cas.iter().any(|ca| it.issued_by(ca).is_ok());
    let last: BTreeMap<&[u8], Wanted> =
        wishes.iter().map(|it| (it.certificate.der(), it.wanted)).collect();
    let wanted = |it: &[u8]| last.get(it).copied();
    let mut delete: BTreeSet<&[u8]> =
        there.iter().copied().filter(|it| wanted(it) == Some(Wanted::Gone)).collect();
    if users.remove_expired {
        let expired = |it: &&[u8]| {
            Certificate::from_der(it).is_ok_and(|it| is_long_expired(&it, now) && is_ours(&it))
        };
        delete.extend(there.iter().copied().filter(|it| wanted(it).is_none()).filter(expired));
    }
    // In the order of the events.
    let mut add: Vec<&Certificate> = Vec::new();
    for wish in wishes {
        let der = wish.certificate.der();
        let comes = wanted(der) == Some(Wanted::There) && !there.contains(&der);
        if comes && add.iter().all(|it| it.der() != der) {
            add.push(&wish.certificate);
        }
    }
    // What does not fit.
    let mut left_out: BTreeMap<&[u8], Verdict> = BTreeMap::new();
    let stays = there.len() - delete.len();
    let over = (stays + add.len()).saturating_sub(users.values_max);
    let over = over.min(match users.when_full {
        // Only as many as come; what is there already stays, however many that are.
        WhenFull::Park => add.len(),
        WhenFull::ReplaceOldest => over,
    });
    if 0 < over && !add.is_empty() {
        match users.when_full {
            WhenFull::Park => {
                for certificate in add.split_off(add.len() - over) {
                    left_out.insert(certificate.der(), Verdict::Full);
                }
            }
            WhenFull::ReplaceOldest => {
                let staying = there.iter().filter(|it| !delete.contains(*it));
                let ours: Vec<Certificate> = staying
                    .filter_map(|it| Certificate::from_der(it).ok())
                    .filter(is_ours)
                    .collect();
                let mut oldest: Vec<(i64, Vec<u8>)> = ours
                    .iter()
                    .chain(add.iter().copied())
                    .map(|it| (it.not_before(), it.der().to_vec()))
                    .collect();
                oldest.sort_unstable();
                let fits = over <= oldest.len();
                let leaving: BTreeSet<Vec<u8>> =
                    oldest.into_iter().take(over).map(|it| it.1).collect();
                if fits {
                    delete.extend(there.iter().copied().filter(|it| leaving.contains(*it)));
                    add.retain(|it| {
                        let stays = !leaving.contains(it.der());
                        if !stays {
                            left_out.insert(it.der(), Verdict::Superseded);
                        }
                        stays
                    });
                } else {
                    left_out.extend(add.drain(..).map(|it| (it.der(), Verdict::Full)));
                }
            }
        }
    }
    let verdict = |it: &&Wish| left_out.get(it.certificate.der()).copied().unwrap_or(Verdict::Fine);
    Plan {
        add: add.into_iter().map(|it| it.der().to_vec()).collect(),
        delete: delete.into_iter().map(<[u8]>::to_vec).collect(),
        verdicts: wishes.iter().map(verdict).collect(),
    }
}
