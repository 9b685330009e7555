//! Signed answers that are given again to whoever asks the same.

use std::collections::{BTreeMap, HashMap};

use exeunt_types::{Serial, UnixMillis};

use super::OcspAnswer;

/// Most answers that are kept.
pub const OCSP_ANSWER_COUNT_MAX: usize = 100_000;
/// Most octets that kept answers have together: 64 MiB, for about 60,000 answers by a P-256 key, or
/// 5,000 by one of ML-DSA-87.
pub const OCSP_ANSWER_BYTES_MAX: usize = 64 << 20;

/// Answers by serial number, bounded; the oldest make room.
#[derive(Debug, Default)]
pub(super) struct KeptAnswers {
    /// As clients name the issuer in four ways (two hashes, each with or without parameters), there
    /// are at most four of a serial number.
    answers: HashMap<Serial, Vec<Kept>>,
    /// Serial numbers of the answers in the order in which they were kept.
    ages: BTreeMap<u64, Serial>,
    /// The next place in that order.
    next_age: u64,
    /// Octets of all of them.
    bytes: usize,
    /// How often a status has changed.
    changes: u64,
}

#[derive(Debug)]
struct Kept {
    age: u64,
    /// The `CertID` as the client wrote it, which the answer repeats.
    cert_id: Vec<u8>,
    answer: OcspAnswer,
}

impl Kept {
    fn bytes(&self) -> usize {
        self.cert_id.len() + self.answer.der.len()
    }

    /// Given again for the first half of its time: so that it still counts for whoever gets it last,
    /// also where clocks are fast.
    fn is_fresh(&self, now: UnixMillis) -> bool {
        let OcspAnswer { this_update, next_update, .. } = &self.answer;
        let end = next_update.map_or(this_update.0, |it| this_update.0.midpoint(it.0));
        (this_update.0..end).contains(&now.0)
    }
}

impl KeptAnswers {
    /// The answer to who asks like this, if there is a fresh one.
    pub(super) fn find(
        &self,
        serial: &Serial,
        cert_id: &[u8],
        now: UnixMillis,
    ) -> Option<OcspAnswer> {
        let kept = self.answers.get(serial)?.iter().find(|it| it.cert_id == cert_id)?;
        kept.is_fresh(now).then(|| kept.answer.clone())
    }

    /// To be read before the store is, and handed to [`Self::keep`].
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Keeps an answer, in the place of an older one, unless a status has changed since `changes`.
    pub(super) fn keep(
        &mut self,
        serial: Serial,
        cert_id: &[u8],
        answer: &OcspAnswer,
        changes: u64,
    ) {
        if changes != self.changes {
            return;
        }
        self.take(&serial, |it| it.cert_id == cert_id);
        let age = self.next_age;
        let kept = Kept { age, cert_id: cert_id.to_vec(), answer: answer.clone() };
        self.next_age += 1;
        self.bytes += kept.bytes();
        self.ages.insert(age, serial);
        self.answers.entry(serial).or_default().push(kept);
        while OCSP_ANSWER_COUNT_MAX < self.ages.len() || OCSP_ANSWER_BYTES_MAX < self.bytes {
            let Some((age, serial)) = self.ages.pop_first() else { break };
            self.take(&serial, |it| it.age == age);
        }
    }

    /// Nothing that was answered for this serial number is given again.
    pub(super) fn remove(&mut self, serial: &Serial) {
        self.changes += 1;
        self.take(serial, |_| true);
    }

    /// Nothing is given again. Returns what was kept, for the caller to drop where nobody waits.
    pub(super) fn clear(&mut self) -> Self {
        let changes = self.changes + 1;
        std::mem::replace(self, Self { changes, ..Self::default() })
    }

    fn take(&mut self, serial: &Serial, which: impl Fn(&Kept) -> bool) {
        let Some(answers) = self.answers.get_mut(serial) else { return };
        for taken in answers.extract_if(.., |it| which(it)) {
            self.ages.remove(&taken.age);
            self.bytes -= taken.bytes();
        }
        if answers.is_empty() {
            self.answers.remove(serial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(number: u64) -> Serial {
        let mut octets = [0; 16];
        octets[8..].copy_from_slice(&number.to_be_bytes());
        Serial::from_random(octets)
    }

    fn answer(length: usize) -> OcspAnswer {
        OcspAnswer {
            der: vec![7; length],
            this_update: UnixMillis(1000),
            next_update: Some(UnixMillis(5000)),
            cacheable: true,
            sha256: [7; 32],
        }
    }

    const ID: &[u8] = b"id";

    fn is_kept(kept: &KeptAnswers, number: u64) -> bool {
        kept.find(&serial(number), ID, UnixMillis(1000)).is_some()
    }

    /// What the totals say is what is there.
    fn check(kept: &KeptAnswers) {
        let all = || kept.answers.values().flatten();
        assert_eq!(kept.bytes, all().map(Kept::bytes).sum::<usize>());
        assert_eq!(kept.ages.len(), all().count());
        assert!(all().all(|it| kept.ages.contains_key(&it.age)));
    }

    #[test]
    fn an_answer_is_given_again_in_the_first_half_of_its_time() {
        let mut kept = KeptAnswers::default();
        kept.keep(serial(1), ID, &answer(9), 0);
        for (now, fresh) in [(999, false), (1000, true), (2999, true), (3000, false)] {
            let found = kept.find(&serial(1), ID, UnixMillis(now));
            assert_eq!(found, fresh.then(|| answer(9)), "{now}");
        }
        assert_eq!(kept.find(&serial(1), b"other", UnixMillis(1000)), None);
    }

    #[test]
    fn a_change_drops_all_answers_for_its_serial_and_what_was_read_before_it() {
        let mut kept = KeptAnswers::default();
        kept.keep(serial(1), ID, &answer(9), 0);
        kept.keep(serial(1), b"other", &answer(9), 0);
        kept.keep(serial(2), ID, &answer(9), 0);
        let before = kept.changes();
        kept.remove(&serial(1));
        assert!(!is_kept(&kept, 1) && is_kept(&kept, 2));
        assert_eq!(kept.find(&serial(1), b"other", UnixMillis(1000)), None);
        kept.keep(serial(1), ID, &answer(9), before);
        assert!(!is_kept(&kept, 1));
        kept.keep(serial(1), ID, &answer(9), kept.changes());
        assert!(is_kept(&kept, 1));
        check(&kept);
        let before = kept.changes();
        drop(kept.clear());
        kept.keep(serial(1), ID, &answer(9), before);
        assert!(!is_kept(&kept, 1) && !is_kept(&kept, 2));
        check(&kept);
    }

    #[test]
    fn the_oldest_answers_make_room() {
        let mut kept = KeptAnswers::default();
        let large = OCSP_ANSWER_BYTES_MAX / 4;
        for number in 1..=3 {
            kept.keep(serial(number), ID, &answer(large), 0);
        }
        // Answered anew: the second is the oldest now.
        kept.keep(serial(1), ID, &answer(large), 0);
        kept.keep(serial(4), ID, &answer(large), 0);
        check(&kept);
        assert_eq!([1, 2, 3, 4].map(|it| is_kept(&kept, it)), [true, false, true, true]);

        let mut kept = KeptAnswers::default();
        for number in 0..=100_000 {
            kept.keep(serial(number), ID, &answer(1), 0);
        }
        check(&kept);
        assert_eq!(kept.ages.len(), OCSP_ANSWER_COUNT_MAX);
        assert!(!is_kept(&kept, 0) && is_kept(&kept, 1) && is_kept(&kept, 100_000));
    }
}
