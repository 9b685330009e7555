//! Several events in one mail.
//!
//! Nothing is collected here: what is not told yet is safe in the CA's log, and what is told is accepted
//! when the mail with it is with the server. So a digest is what has come together since the last one.
//! The module takes up the next batch and keeps it unanswered until it is time, while the log fills;
//! the batch after it has all of that. A crash loses nothing and needs no file.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{compose::Parties, settings::Digest};

/// When the next digest is due.
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<Instant>,
}

impl Pace {
    /// How long to wait with a batch of so many events.
    pub fn wait(&self, digest: Digest, events: usize, now: Instant) -> Duration {
        match self.last {
            Some(last) if events < digest.events_max => {
                digest.every.saturating_sub(now.saturating_duration_since(last))
            }
            _ => Duration::ZERO,
        }
    }

    /// A digest was sent.
    pub fn sent(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

/// Puts together what goes to the same people: indices of the events of each mail, in order.
pub fn groups(parties: &[&Parties], events_max: usize) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut open: HashMap<&Parties, usize> = HashMap::new();
    for (index, parties) in parties.iter().enumerate() {
        let group = open.get(parties).copied().filter(|it| groups[*it].len() < events_max.max(1));
        let group = group.unwrap_or_else(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(index);
        open.insert(parties, group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipient::mailbox;

    fn to(address: &str) -> Parties {
        let from = mailbox("ca@example.com").unwrap();
        let to = vec![mailbox(address).unwrap()];
        Parties { from, reply_to: None, to, cc: Vec::new(), bcc: Vec::new(), fixed: Vec::new() }
    }

    #[test]
    fn events_for_the_same_people_go_together_and_no_more_than_are_allowed() {
        let (a, b) = (to("a@example.com"), to("b@example.com"));
        let all = [&a, &b, &a, &a, &b, &a];
        assert_eq!(groups(&all, 100), [vec![0, 2, 3, 5], vec![1, 4]]);
        assert_eq!(groups(&all, 2), [vec![0, 2], vec![1, 4], vec![3, 5]]);
        assert_eq!(groups(&[], 2), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn the_first_digest_goes_at_once_and_the_next_one_waits_unless_it_is_full() {
        let digest = Digest { every: Duration::from_mins(1), events_max: 10 };
        let mut pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.wait(digest, 1, start), Duration::ZERO);
        pace.sent(start);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(pace.wait(digest, 9, later(20)), Duration::from_secs(40));
        assert_eq!(pace.wait(digest, 10, later(20)), Duration::ZERO);
        assert_eq!(pace.wait(digest, 9, later(61)), Duration::ZERO);
    }
}
