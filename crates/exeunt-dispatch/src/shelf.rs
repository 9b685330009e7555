//! One module's held events, in memory: loaded once under the lease, then kept in step with the
//! store, so that no event costs a look at the whole shelf.
//!
//! Per line the oldest held event is the *front*: only it can be told. The others wait behind it,
//! in order. A front that was never tried (what was before it is settled) is due at once.
//!
//! A line is a subject, with one exception: each event of the server stands in a line of its own. They
//! build on nothing that is before them, and one of them is what tells the operator that something was
//! parked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use exeunt_store::{Held, HeldState};
use exeunt_types::{EventSeq, SubjectKey, UnixMillis};

/// Most events on one module's shelf. When it is full the cursor stands still until there is room:
/// nothing is lost, and the memory of the server stays bounded.
pub const SHELF_EVENTS_MAX: usize = 100_000;

/// A moment before every clock: fronts that need not wait.
const AT_ONCE: UnixMillis = UnixMillis(i64::MIN);

/// Events that wait for one another: those of a subject, or a single one of the server.
type Line = (SubjectKey, Option<EventSeq>);

fn line(seq: EventSeq, subject: SubjectKey) -> Line {
    (subject, (subject == SubjectKey::Server).then_some(seq))
}

/// The held events of one module.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    rows: BTreeMap<EventSeq, Held>,
    queues: HashMap<Line, Queue>,
    due: BTreeSet<(UnixMillis, EventSeq)>,
    retries: BTreeSet<EventSeq>,
    parked: usize,
}

/// The held events of one line, and the front's entry in `due`.
#[derive(Debug, Default)]
struct Queue {
    events: BTreeSet<EventSeq>,
    due: Option<(UnixMillis, EventSeq)>,
}

impl Shelf {
    /// The shelf with these rows on it.
    pub(crate) fn new(rows: impl IntoIterator<Item = Held>) -> Self {
        let mut shelf = Self::default();
        rows.into_iter().for_each(|it| shelf.put(it));
        shelf
    }

    /// Puts an event on the shelf, or changes what is known of it.
    pub(crate) fn put(&mut self, held: Held) {
        self.take(held.seq);
        match held.state {
            HeldState::Retry { .. } => _ = self.retries.insert(held.seq),
            HeldState::Parked => self.parked += 1,
            HeldState::Wait => (),
        }
        let line = line(held.seq, held.subject);
        self.queues.entry(line).or_default().events.insert(held.seq);
        self.rows.insert(held.seq, held);
        self.find_front(line);
    }

    /// Takes an event off the shelf; the next one of its subject becomes the front.
    pub(crate) fn take(&mut self, seq: EventSeq) {
        let Some(held) = self.rows.remove(&seq) else { return };
        match held.state {
            HeldState::Retry { .. } => _ = self.retries.remove(&seq),
            HeldState::Parked => self.parked -= 1,
            HeldState::Wait => (),
        }
        let line = line(seq, held.subject);
        if let Some(queue) = self.queues.get_mut(&line) {
            queue.events.remove(&seq);
        }
        self.find_front(line);
    }

    fn find_front(&mut self, line: Line) {
        let Some(queue) = self.queues.get_mut(&line) else { return };
        if let Some(entry) = queue.due.take() {
            self.due.remove(&entry);
        }
        let Some(front) = queue.events.first() else {
            self.queues.remove(&line);
            return;
        };
        let at = match self.rows.get(front).map(|it| &it.state) {
            Some(HeldState::Retry { at }) => *at,
            Some(HeldState::Wait) => AT_ONCE,
            Some(HeldState::Parked) | None => return,
        };
        queue.due = Some((at, *front));
        self.due.insert((at, *front));
    }

    /// What is known of an event, if it is held.
    pub(crate) fn held(&self, seq: EventSeq) -> Option<&Held> {
        self.rows.get(&seq)
    }

    /// All held events, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.rows.values()
    }

    /// Whether an event of that subject is held, so that later ones have to wait.
    pub(crate) fn holds(&self, subject: SubjectKey) -> bool {
        self.queues.contains_key(&(subject, None))
    }

    /// Whether nothing more fits.
    pub(crate) fn is_full(&self) -> bool {
        SHELF_EVENTS_MAX <= self.rows.len()
    }

    /// Up to `limit` events that can be told at `now`, the longest due first; never two of one
    /// line.
    pub(crate) fn due(&self, now: UnixMillis, limit: usize) -> Vec<EventSeq> {
        self.due.iter().take_while(|(at, _)| *at <= now).take(limit).map(|(_, seq)| *seq).collect()
    }

    /// When the next event can be told.
    pub(crate) fn next_due(&self) -> Option<UnixMillis> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Events that were tried and will be tried again.
    pub(crate) fn retries(&self) -> usize {
        self.retries.len()
    }

    /// The oldest event that was tried and will be tried again.
    pub(crate) fn oldest_retry(&self) -> Option<EventSeq> {
        self.retries.first().copied()
    }

    /// Events that wait for an operator.
    pub(crate) fn parked(&self) -> usize {
        self.parked
    }

    /// Events that were never tried, because an earlier one of their subject is held.
    pub(crate) fn behind(&self) -> usize {
        self.rows.len() - self.retries.len() - self.parked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_types::RequestId;

    const NOW: UnixMillis = UnixMillis(1_000);

    fn held(seq: u64, request: u64, state: HeldState) -> Held {
        Held {
            seq: EventSeq(seq),
            subject: SubjectKey::Request(RequestId(request)),
            attempts: 1,
            state,
            last_error: "busy".to_owned(),
            first_held: UnixMillis(0),
        }
    }

    fn retry(seq: u64, request: u64, at: i64) -> Held {
        held(seq, request, HeldState::Retry { at: UnixMillis(at) })
    }

    #[track_caller]
    fn check_due(shelf: &Shelf, expected: &[u64]) {
        let due: Vec<u64> = shelf.due(NOW, 10).into_iter().map(|it| it.0).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn only_the_front_of_a_subject_can_be_told() {
        let mut shelf = Shelf::new([
            held(5, 1, HeldState::Wait),
            retry(3, 1, 900),
            held(4, 1, HeldState::Wait),
            retry(8, 2, 800),
            retry(9, 3, 1_001),
        ]);
        check_due(&shelf, &[8, 3]);
        shelf.take(EventSeq(3));
        check_due(&shelf, &[4, 8]);
        shelf.take(EventSeq(4));
        check_due(&shelf, &[5, 8]);
        shelf.take(EventSeq(5));
        assert!(!shelf.holds(SubjectKey::Request(RequestId(1))));
        check_due(&shelf, &[8]);
        assert_eq!(shelf.due(UnixMillis(2_000), 1), [EventSeq(8)]);
    }

    #[test]
    fn behind_a_parked_event_nothing_is_due() {
        let mut shelf = Shelf::new([
            held(1, 1, HeldState::Parked),
            held(2, 1, HeldState::Wait),
            retry(3, 2, 5_000),
        ]);
        check_due(&shelf, &[]);
        assert_eq!((shelf.retries(), shelf.parked(), shelf.behind()), (1, 1, 1));
        assert_eq!(shelf.next_due(), Some(UnixMillis(5_000)));
        shelf.take(EventSeq(1));
        check_due(&shelf, &[2]);
    }

    #[test]
    fn an_event_of_the_server_waits_for_no_other() {
        let server = |it: Held| Held { subject: SubjectKey::Server, ..it };
        let mut shelf = Shelf::new([
            server(held(1, 0, HeldState::Parked)),
            server(retry(2, 0, 5_000)),
            // Written by a program in which they waited.
            server(held(3, 0, HeldState::Wait)),
        ]);
        assert!(!shelf.holds(SubjectKey::Server));
        check_due(&shelf, &[3]);
        shelf.take(EventSeq(3));
        shelf.put(server(retry(4, 0, 900)));
        check_due(&shelf, &[4]);
        assert_eq!((shelf.retries(), shelf.parked(), shelf.behind()), (2, 1, 0));
        assert_eq!(shelf.next_due(), Some(UnixMillis(900)));
        shelf.put(server(held(4, 0, HeldState::Parked)));
        assert_eq!(shelf.next_due(), Some(UnixMillis(5_000)));
    }

    #[test]
    fn an_event_that_fails_again_keeps_its_place() {
        let mut shelf = Shelf::new([retry(1, 1, 500), held(2, 1, HeldState::Wait)]);
        shelf.put(retry(1, 1, 3_000));
        check_due(&shelf, &[]);
        assert_eq!(shelf.next_due(), Some(UnixMillis(3_000)));
        shelf.put(held(1, 1, HeldState::Parked));
        assert_eq!(shelf.next_due(), None);
        assert_eq!((shelf.retries(), shelf.parked(), shelf.behind()), (0, 1, 1));
        assert_eq!(shelf.oldest_retry(), None);
    }
}
