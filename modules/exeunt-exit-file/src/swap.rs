//! What a crash leaves of two files that change places.
//!
//! A file takes the place of another by a swap, so that what it has displaced can be looked at: it may
//! be somebody else's newer one, and goes back then. A crash in between leaves ours or theirs under the
//! hidden name. That name says which: it holds the number (inode) of ours, and the name in question.
//!
//! | crash | under the hidden name | under the name | what is done at the next start |
//! |---|---|---|---|
//! | before the swap | ours | what was there | ours is removed |
//! | after it | what was there | ours | an older one of the same kind is removed, anything else goes back |
//! | after the way back | ours | what was there | ours is removed |
//!
//! The event that it was about has not been accepted, and is told again: it finds a place in order.

use std::io;

use exeunt_publication::{
    list::{LIST_BYTES_MAX, RevocationList},
    pattern::NAME_BYTES_MAX,
};

use crate::{
    certificate::Publication,
    folder::{Folder, Found},
};

/// End of the name that a file has while it changes places with another one.
const SWAP_END: &str = ".swap";

/// The hidden name of the file with that number while it takes the place of `name`; none where that
/// is too long to have one.
pub fn name(start: &str, inode: u64, name: &str) -> Option<String> {
    let hidden = format!("{start}{inode:x}.{name}{SWAP_END}");
    (hidden.len() <= NAME_BYTES_MAX).then_some(hidden)
}

/// Puts in order what swaps left that were cut off.
///
/// # Errors
///
/// The folder cannot be read or written. What was put in order stays so.
pub fn heal(folder: &Folder, start: &str) -> io::Result<()> {
    for hidden in folder.leftovers(start, SWAP_END)? {
        let rest = hidden.strip_prefix(start).and_then(|it| it.strip_suffix(SWAP_END));
        let parts = rest.and_then(|it| it.split_once('.'));
        let parts =
            parts.and_then(|(inode, name)| Some((u64::from_str_radix(inode, 16).ok()?, name)));
        if let Some((ours, name)) = parts {
            heal_one(folder, &hidden, ours, name)?;
        }
    }
    Ok(())
}

fn heal_one(folder: &Folder, hidden: &str, ours: u64, name: &str) -> io::Result<()> {
    if folder.inode(hidden)? == ours {
        return folder.remove_if_there(hidden);
    }
    match folder.inode(name) {
        // Ours has the name, and what it has displaced is here.
        Ok(it) if it == ours => {
            let bytes_max = u64::try_from(LIST_BYTES_MAX).unwrap_or(u64::MAX);
            let displaced = folder.find_up_to(hidden, bytes_max)?;
            if is_succeeded(&displaced, &folder.find_up_to(name, bytes_max)?) {
                return folder.remove_if_there(hidden);
            }
            folder.exchange(hidden, name)?;
            folder.sync()?;
            folder.remove_if_there(hidden)
        }
        // Somebody has written there since, over whatever had the name.
        Ok(_) => folder.remove_if_there(hidden),
        // Nothing has it: then this is all there is.
        Err(err) if err.kind() == io::ErrorKind::NotFound => folder.publish(hidden, name),
        Err(err) => Err(err),
    }
}

/// Whether the one is an older state of the other: a list of the same CA and kind with a lower number,
/// or a certificate of the same issuer.
fn is_succeeded(displaced: &Found, ours: &Found) -> bool {
    let (Found::File(displaced), Found::File(ours)) = (displaced, ours) else { return false };
    let certificates = (Publication::from_file(displaced), Publication::from_file(ours));
    if let (Some(displaced), Some(ours)) = certificates {
        return displaced.has_issuer_of(&ours) && displaced.age_order(&ours).is_le();
    }
    let lists = (RevocationList::from_der(&displaced[..]), RevocationList::from_der(&ours[..]));
    let (Ok(displaced), Ok(ours)) = lists else { return false };
    let kind = |it: &RevocationList| (it.is_delta(), it.part());
    displaced.issuer() == ours.issuer()
        && displaced.authority_key_identifier() == ours.authority_key_identifier()
        && kind(&displaced) == kind(&ours)
        && displaced.number() <= ours.number()
}
