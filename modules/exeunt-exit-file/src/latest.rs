//! The link that leads to the newest of several certificates.

use std::{cmp::Ordering, io};

use exeunt_module_kit::{Event, Outcome};
use exeunt_publication::outcome::park;

use crate::{
    certificate::Publication,
    fault::{not_read, not_written},
    folder::{Folder, Found, Link, Stamp},
    publish::State,
    settings::Certificates,
};

/// Requests whose numbers are told apart by the time of a link: its nanoseconds.
const STAMPED_REQUESTS: u64 = 1_000_000_000;

/// How a link stands to a certificate that it may have to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// To it, or to a younger one.
    Right,
    /// It is not there.
    Missing,
    /// To an older one, or to what has gone.
    Stale,
    /// It is no link to a certificate here.
    Foreign,
}

impl State {
    /// The name of the link for a certificate; none where there are no links.
    pub fn latest_name(&self, event: &Event) -> Result<Option<String>, String> {
        match &self.settings.latest {
            Some(pattern) if self.settings.certificates == Certificates::Always => {
                pattern.expand(event).map(Some).map_err(|why| format!("latest: {why}"))
            }
            _ => Ok(None),
        }
    }

    /// How the link stands to the certificate in the file of that name.
    pub fn leads(
        folder: &Folder,
        link: &str,
        event: &Event,
        name: &str,
        publication: &Publication,
    ) -> io::Result<Leads> {
        let (target, other) = match folder.link(link)? {
            Link::Nothing => return Ok(Leads::Missing),
            Link::Foreign => return Ok(Leads::Foreign),
            Link::To(target, _) if target == name => return Ok(Leads::Right),
            Link::To(target, stamp) => (target, stamp),
        };
        let content = match folder.find(&target)? {
            Found::Nothing => return Ok(Leads::Stale),
            Found::Foreign => return Ok(Leads::Foreign),
            Found::File(content) => content,
        };
        let ours = (publication, stamp(event, publication));
        Ok(match Publication::from_file(&content) {
            None => Leads::Foreign,
            Some(it) if !it.has_issuer_of(publication) => Leads::Foreign,
            Some(it) if newest_order((&it, other), ours).is_gt() => Leads::Right,
            Some(_) => Leads::Stale,
        })
    }

    /// Has the link for the newest one lead to this file, unless it leads to a younger one.
    pub fn point_latest(
        &self,
        folder: &Folder,
        event: &Event,
        name: &str,
        publication: &Publication,
    ) -> Result<(), Outcome> {
        let Some(link) = self.latest_name(event).map_err(park)? else { return Ok(()) };
        if link == name {
            return Err(park(format!("{link} would be a file and the link to it")));
        }
        match Self::leads(folder, &link, event, name, publication) {
            Ok(Leads::Right) => Ok(()),
            Ok(Leads::Missing | Leads::Stale) => {
                let temporary = self.temporary(event, "latest");
                folder
                    .stage_link(&temporary, name, stamp(event, publication))
                    .and_then(|()| folder.publish(&temporary, &link))
                    .map_err(|err| not_written(&link, &err))
            }
            Ok(Leads::Foreign) => Err(park(format!(
                "{link} is there and is no link to a certificate of this CA here; it was left alone"
            ))),
            Err(err) => Err(not_read(&link, &err)),
        }
    }
}

/// What a link to this certificate says of it by its time.
fn stamp(event: &Event, publication: &Publication) -> Stamp {
    let nanoseconds = u32::try_from(event.context % STAMPED_REQUESTS).unwrap_or(0);
    Stamp { seconds: publication.not_before(), nanoseconds }
}

/// Orders by age, the younger one is greater: where two start in the same second, the one with the
/// greater request number. A link that was not made here does not tell that number.
fn newest_order(one: (&Publication, Stamp), other: (&Publication, Stamp)) -> Ordering {
    let is_told = |(it, stamp): (&Publication, Stamp)| it.not_before() == stamp.seconds;
    if one.0.not_before() == other.0.not_before() && is_told(one) && is_told(other) {
        let requests = one.1.nanoseconds.cmp(&other.1.nanoseconds);
        return requests.then_with(|| one.0.age_order(other.0));
    }
    one.0.age_order(other.0)
}
