//! Whether a trail is whole: every hash is computed anew, and every checkpoint compared. The first thing
//! that is wrong is named, with its place.

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::{AuditRow, ChainHead};

/// Rows that are looked at after a wrong one, to tell whether they changed places.
pub const AUDIT_LOOK_AHEAD_ROWS: usize = 1024;

/// What is wrong with a trail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainFault {
    /// The row is not what was written, or another one was put in its place.
    Changed {
        /// Its number.
        number: u64,
    },
    /// Rows are not there.
    Missing {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// The row is there, and stands in another place.
    OutOfOrder {
        /// Its number.
        number: u64,
        /// The number of the place where it stands.
        place: u64,
    },
    /// The rows are in order, but not those that a checkpoint knows: all of them after the checkpoint
    /// before it may have been written anew.
    Rewritten {
        /// The last row that a checkpoint confirms; 0 where none does.
        after: u64,
        /// The row that the checkpoint speaks of.
        number: u64,
    },
    /// A checkpoint speaks of a row that is not there any more.
    CutOff {
        /// The last row that is there.
        after: u64,
        /// The row that the last checkpoint speaks of.
        known: u64,
    },
}

impl ChainFault {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "audit-row-changed",
            Self::Missing { .. } => "audit-row-missing",
            Self::OutOfOrder { .. } => "audit-row-out-of-order",
            Self::Rewritten { .. } => "audit-rewritten",
            Self::CutOff { .. } => "audit-cut-off",
        }
    }

    /// The row that it is about.
    #[must_use]
    pub fn number(&self) -> u64 {
        match *self {
            Self::Changed { number }
            | Self::Missing { first: number, .. }
            | Self::OutOfOrder { number, .. }
            | Self::Rewritten { number, .. } => number,
            Self::CutOff { after, .. } => after,
        }
    }
}

impl fmt::Display for ChainFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Changed { number } => write!(out, "row {number} was changed"),
            Self::Missing { first, last } if first == last => write!(out, "row {first} is missing"),
            Self::Missing { first, last } => write!(out, "rows {first} to {last} are missing"),
            Self::OutOfOrder { number, place } => {
                write!(out, "row {number} is out of order: it stands in the place of row {place}")
            }
            Self::Rewritten { after, number } => {
                write!(
                    out,
                    "rows after {after} were written anew: row {number} is not the one that a checkpoint knows"
                )
            }
            Self::CutOff { after, known } => {
                write!(
                    out,
                    "the trail is cut off after row {after}: a checkpoint knows row {known}"
                )
            }
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The last row that is as it was written.
    pub head: ChainHead,
    /// The last row that a checkpoint confirms; 0 where none does.
    pub confirmed: u64,
    /// The first thing that is wrong.
    pub fault: Option<ChainFault>,
}

/// Checks rows, which come in order after `from`, against each other and against `checkpoints`, by number
/// of the row. `visit` sees each row that is good.
///
/// # Errors
///
/// What `rows` or `visit` say.
pub fn check_chain<E>(
    from: ChainHead,
    rows: impl IntoIterator<Item = Result<AuditRow, E>>,
    checkpoints: &BTreeMap<u64, [u8; 32]>,
    mut visit: impl FnMut(&AuditRow) -> Result<(), E>,
) -> Result<Checked, E> {
    let mut rows = rows.into_iter();
    let mut checked = Checked { head: from, confirmed: 0, fault: None };
    confirm(&mut checked, checkpoints);
    while checked.fault.is_none() {
        let Some(row) = rows.next().transpose()? else {
            let last = checkpoints.keys().next_back().copied().unwrap_or_default();
            if checked.head.number < last {
                let after = checked.head.number;
                checked.fault = Some(ChainFault::CutOff { after, known: last });
            }
            break;
        };
        let hash = checked.head.hash_of_next(&row);
        if row.id != checked.head.number + 1 || row.hash != hash {
            checked.fault = Some(name_fault(checked.head, row, &mut rows)?);
            break;
        }
        checked.head = ChainHead { number: row.id, hash };
        confirm(&mut checked, checkpoints);
        visit(&row)?;
    }
    Ok(checked)
}

fn confirm(checked: &mut Checked, checkpoints: &BTreeMap<u64, [u8; 32]>) {
    let ChainHead { number, hash } = checked.head;
    match checkpoints.get(&number) {
        Some(known) if *known == hash => checked.confirmed = number,
        Some(_) => {
            checked.fault = Some(ChainFault::Rewritten { after: checked.confirmed, number });
        }
        None => (),
    }
}

/// What is wrong with a row that is not the next one.
fn name_fault<E>(
    head: ChainHead,
    row: AuditRow,
    rows: &mut impl Iterator<Item = Result<AuditRow, E>>,
) -> Result<ChainFault, E> {
    let (number, place) = (head.number + 1, row.id);
    let mut seen = VecDeque::from([row]);
    while seen.len() < AUDIT_LOOK_AHEAD_ROWS {
        let Some(row) = rows.next().transpose()? else { break };
        seen.push_back(row);
    }
    // The one that belongs here is known by its hash, whatever number it has now.
    if let Some(at) = seen.iter().position(|it| it.hash == head.hash_of_next(it)) {
        // Where only its number was changed it stands in its place, with the place of another.
        let place = if seen[at].id == number { place } else { seen[at].id };
        return Ok(ChainFault::OutOfOrder { number, place });
    }
    Ok(match place.cmp(&number) {
        Ordering::Greater => ChainFault::Missing { first: number, last: place - 1 },
        Ordering::Less => ChainFault::OutOfOrder { number: place, place: number },
        Ordering::Equal => ChainFault::Changed { number },
    })
}
