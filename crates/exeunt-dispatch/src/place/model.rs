//! Properties of place, shelf and breaker together: the worker's loop without a store, a process and
//! a clock, against targets that are down and against events that only say so.

use std::collections::{BTreeMap, BTreeSet};

use exeunt_types::RequestId;
use proptest::prelude::*;

use super::*;
use crate::{
    breaker::{Allowance, Breaker},
    settings::CaFacts,
};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

/// Turns after which a simulation has lost itself.
const TURNS_MAX: usize = 100_000;

/// A module and its place, in a time of their own.
struct World {
    place: Place,
    breaker: Breaker,
    snapshots: Snapshots,
    schedule: RetrySchedule,
    window: usize,
    log: Vec<LoggedEvent>,
    now: i64,
    draws: std::cell::Cell<u64>,
    /// When each event was accepted.
    accepted: BTreeMap<u64, i64>,
    /// In the order in which they were.
    order: Vec<u64>,
    parked: BTreeSet<u64>,
}

impl World {
    /// Events of these subjects and moments; the first one has the number 1.
    fn new(events: &[(u64, i64)], window: usize, attempts_max: u32, seed: u64) -> Self {
        let facts = CaFacts {
            name: "Test CA".to_owned(),
            machine_dns_name: "ca.example.org".to_owned(),
            root: true,
            certificates: Vec::new(),
            lists: None,
        };
        let logged = |(index, (subject, at)): (usize, &(u64, i64))| LoggedEvent {
            seq: EventSeq(u64::try_from(index).unwrap() + 1),
            kind: EventKind::CERT_ISSUED,
            subject: SubjectKey::Request(RequestId(*subject)),
            at: UnixMillis(*at),
            state: None,
            request: None,
            certificate: None,
            detail: Vec::new(),
            corrupt: None,
        };
        Self {
            place: Place::new(EventSeq(0), None, Shelf::default()),
            breaker: Breaker::default(),
            snapshots: Snapshots::new("model".to_owned(), &facts),
            schedule: RetrySchedule { attempts_max, ..RetrySchedule::default() },
            window,
            log: events.iter().enumerate().map(logged).collect(),
            now: 0,
            draws: std::cell::Cell::new(seed),
            accepted: BTreeMap::new(),
            order: Vec::new(),
            parked: BTreeSet::new(),
        }
    }

    /// A cheap generator (Knuth's linear one); 0 stays at the lowest draw.
    fn draw(&self) -> u64 {
        let old = self.draws.get();
        if old != 0 {
            self.draws.set(
                old.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407),
            );
        }
        old >> 32
    }

    /// Tells on until nothing is left, or until `end`. `target` answers a batch.
    fn run(&mut self, end: i64, mut target: impl FnMut(i64, &[u64]) -> Vec<Outcome>) {
        for _ in 0..TURNS_MAX {
            if end <= self.now || self.accepted.len() + self.parked.len() == self.log.len() {
                return;
            }
            self.turn(&mut target);
        }
        panic!("no end after {TURNS_MAX} turns");
    }

    fn turn(&mut self, target: &mut impl FnMut(i64, &[u64]) -> Vec<Outcome>) {
        let now = UnixMillis(self.now);
        let limit = match self.breaker.allows(now) {
            Allowance::Nothing { until } => return self.now = until.0,
            Allowance::Probe => 1,
            Allowance::Window => self.window,
        };
        let wants = self.place.wants(limit);
        let read_to = self.place.read_to();
        let new = self.log.iter().filter(|it| read_to < it.seq && it.at <= now).take(wants);
        self.place.take_up(new.cloned().collect());
        let row = |seq: &EventSeq| self.log.iter().find(|it| it.seq == *seq).unwrap().clone();
        let due = self.place.due(now, limit).into_iter().map(|it| (it, Ok(row(&it)))).collect();
        let wanted = Wanted { mask: u32::MAX, filter: None, lean: false };
        let batch = self.place.plan(due, &wanted, limit, now, &self.snapshots);
        if batch.is_silent() {
            self.place.pass(&batch, now);
            let held = self.place.shelf.next_due().map(|it| it.0);
            let new = self.log.iter().map(|it| it.at.0).find(|it| self.now < *it);
            let next = held.into_iter().chain(new).filter(|it| self.now < *it).min();
            self.now = next.unwrap_or(i64::MAX);
            return;
        }

        let told: Vec<u64> = batch.told().map(|(seq, ..)| seq.0).collect();
        let answers = if told.is_empty() { Vec::new() } else { target(self.now, &told) };
        assert_eq!(answers.len(), told.len());
        let outcomes = answers.into_iter().map(Delivery::Answered).collect();
        let report = BatchReport { outcomes, alive: true, fault: None };
        // It takes its time.
        self.now += 10;
        let draw = || self.draw();
        let is_probe = self.breaker.is_open();
        let now = UnixMillis(self.now);
        let rules = Rules { schedule: &self.schedule, now, random: &draw, is_probe };
        let judgement = self.place.judge(batch, &report, &rules);
        for (seq, verdict) in &judgement.verdicts {
            self.breaker.learn(verdict);
            match verdict {
                Verdict::Accept => {
                    assert!(self.accepted.insert(seq.0, self.now).is_none(), "{seq} came twice");
                    self.order.push(seq.0);
                }
                Verdict::GiveUp(_) | Verdict::Park(_) => _ = self.parked.insert(seq.0),
                _ => (),
            }
        }
        self.breaker.batch_ends(UnixMillis(self.now), self.draw());
        self.place.apply(judgement);
    }

    /// Of each subject, what was accepted came in the order of the log.
    fn is_in_order(&self) -> bool {
        let mut last: BTreeMap<SubjectKey, u64> = BTreeMap::new();
        self.order.iter().all(|seq| {
            let subject = self.log[usize::try_from(*seq).unwrap() - 1].subject;
            last.insert(subject, *seq).is_none_or(|it| it < *seq)
        })
    }
}

fn down() -> Outcome {
    Outcome::TargetDown { after_ms: None, reason: "connection refused".to_owned() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_parked_because_the_target_is_down_and_all_follows_in_order(
        pauses in prop::collection::vec(0..4 * 60 * MINUTE, 1..60),
        subjects in 1_u64..12,
        window in 1_usize..20,
        attempts_max in 1_u32..13,
        begins in 0..600 * MINUTE,
        lasts in 0..24 * 60 * MINUTE,
        seed in any::<u64>(),
    ) {
        let mut at = 0;
        let events: Vec<(u64, i64)> = pauses
            .iter()
            .enumerate()
            .map(|(index, pause)| {
                at += pause;
                (u64::try_from(index).unwrap() % subjects, at)
            })
            .collect();
        let mut world = World::new(&events, window, attempts_max, seed);
        let ends = begins + lasts;
        let mut is_cut = false;
        world.run(i64::MAX, |now, told| {
            // The first batch of the outage is cut off in its middle.
            let served = match now {
                _ if now < begins || ends <= now => told.len(),
                _ if is_cut => 0,
                _ => told.len() / 2,
            };
            is_cut = begins <= now;
            (0..told.len()).map(|it| if it < served { Outcome::Accept } else { down() }).collect()
        });
        prop_assert!(world.parked.is_empty(), "parked: {:?}", world.parked);
        prop_assert_eq!(world.accepted.len(), events.len());
        prop_assert!(world.is_in_order());
        // Once the target is back, nobody waits for long: a probe a minute, then whole windows, and
        // what was tried comes at once with its own short pause.
        let late = world.accepted.iter().filter(|(seq, at)| {
            let known = events[usize::try_from(**seq).unwrap() - 1].1.max(ends);
            ends <= **at && known + 5 * MINUTE < **at
        });
        prop_assert_eq!(late.collect::<Vec<_>>(), Vec::new());
    }

    #[test]
    fn a_poison_that_always_blames_the_target_is_parked_and_the_others_get_through(
        poison in prop::collection::btree_set(1_u64..60, 1..4),
        window in 1_usize..20,
        attempts_max in 1_u32..13,
        cuts in any::<bool>(),
        burst in 1_usize..120,
        of_server in any::<bool>(),
        seed in any::<u64>(),
    ) {
        // Many at once, and then one every three minutes; each is a subject of its own, or one of the
        // server, which wait for none of each other.
        let events: Vec<(u64, i64)> = (0..300_u64)
            .map(|it| (it, i64::try_from(it).unwrap().saturating_sub_unsigned(burst as u64).max(0) * 3 * MINUTE))
            .collect();
        let mut world = World::new(&events, window, attempts_max, seed);
        if of_server {
            world.log.iter_mut().for_each(|it| it.subject = SubjectKey::Server);
        }
        world.run(i64::MAX, |_, told| {
            let first = told.iter().position(|it| poison.contains(it));
            let fails = |(index, seq): (usize, &u64)| {
                // Where it makes the target cut the connection, what comes behind it suffers too.
                poison.contains(seq) || cuts && first.is_some_and(|it| it < index)
            };
            told.iter().enumerate().map(|it| if fails(it) { down() } else { Outcome::Accept }).collect()
        });
        prop_assert_eq!(&world.parked, &poison);
        prop_assert_eq!(world.accepted.len(), events.len() - poison.len());
        let late = world.accepted.iter().filter(|(seq, at)| {
            events[usize::try_from(**seq).unwrap() - 1].1 + 5 * MINUTE < **at
        });
        prop_assert_eq!(late.collect::<Vec<_>>(), Vec::new());
    }
}
