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

#[cfg(test)]
#[path = "../tests/it/minted.rs"]
mod minted;

#[cfg(test)]
mod tests {
    use super::{
        minted::{DAY, Leaf, TestCa},
        *,
    };
    use exeunt_publication::settings::Reader;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn users(more: &serde_json::Value) -> UserSettings {
        let all = json!({"users": more});
        UserSettings::read(&mut Reader::new(all.as_object().unwrap())).unwrap()
    }

    /// A certificate that begins and ends so many days from now.
    fn minted(ca: &TestCa, serial: u32, from: i64, to: i64) -> Certificate {
        let (not_before, not_after) = (NOW + from * DAY, NOW + to * DAY);
        let der = ca.issue(&Leaf { name: "alice", serial, not_before, not_after });
        Certificate::from_der(&der).unwrap()
    }

    fn wish(wanted: Wanted, certificate: &Certificate) -> Wish {
        Wish { wanted, certificate: certificate.clone() }
    }

    fn ders(certificates: &[&Certificate]) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = certificates.iter().map(|it| it.der().to_vec()).collect();
        all.sort();
        all
    }

    struct Case {
        ca: TestCa,
        cas: Vec<Certificate>,
    }

    impl Case {
        fn new() -> Self {
            let ca = TestCa::new("Ours");
            let cas = vec![Certificate::from_der(&ca.der).unwrap()];
            Self { ca, cas }
        }

        fn plan(&self, there: &[&Certificate], wishes: &[&Wish], users: &UserSettings) -> Plan {
            let there: Vec<&[u8]> = there.iter().map(|it| it.der()).collect();
            let mut plan = plan(&there, wishes, &self.cas, users, NOW);
            plan.add.sort();
            plan.delete.sort();
            plan
        }
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let case = Case::new();
        let one = minted(&case.ca, 2, -1, 90);
        let plan = case.plan(&[&one], &[&wish(Wanted::There, &one)], &users(&json!({})));
        assert_eq!(plan, Plan { add: vec![], delete: vec![], verdicts: vec![Verdict::Fine] });
    }

    #[test]
    fn of_several_wishes_for_one_certificate_the_last_one_counts() {
        let case = Case::new();
        let one = minted(&case.ca, 2, -1, 90);
        let (there, gone) = (wish(Wanted::There, &one), wish(Wanted::Gone, &one));
        let users = users(&json!({}));
        assert!(case.plan(&[], &[&there, &gone], &users).add.is_empty());
        assert_eq!(case.plan(&[&one], &[&there, &gone], &users).delete, ders(&[&one]));
        assert_eq!(case.plan(&[], &[&there, &gone, &there], &users).add, ders(&[&one]));
    }

    #[test]
    fn only_what_this_ca_signed_leaves_a_day_after_its_end() {
        let case = Case::new();
        let (ours, impostor) = (&case.ca, TestCa::new("Ours"));
        let other = TestCa::new("Others");
        let (long, short) = (minted(ours, 2, -90, -2), minted(ours, 3, -90, 0));
        let (theirs, named) = (minted(&other, 4, -90, -2), minted(&impostor, 5, -90, -2));
        let new = minted(ours, 6, -1, 90);
        let there = [&long, &short, &theirs, &named];
        let wishes = [&wish(Wanted::There, &new)];
        let plan = case.plan(&there, &wishes, &users(&json!({"remove_expired": true})));
        assert_eq!(plan.delete, ders(&[&long]));
        assert_eq!(plan.add, ders(&[&new]));
        assert!(case.plan(&there, &wishes, &users(&json!({}))).delete.is_empty());
    }

    #[test]
    fn what_does_not_fit_waits_and_nothing_else_leaves() {
        let case = Case::new();
        let all: Vec<Certificate> = (2..6).map(|it| minted(&case.ca, it, -1, 90)).collect();
        let [one, two, three, four] = &all[..] else { unreachable!() };
        let (last, gone) = (wish(Wanted::There, four), wish(Wanted::Gone, one));
        let third = wish(Wanted::There, three);
        let users = users(&json!({"values_max": 2}));
        let plan = case.plan(&[one, two], &[&last], &users);
        assert_eq!(plan, Plan { add: vec![], delete: vec![], verdicts: vec![Verdict::Full] });
        let plan = case.plan(&[one, two], &[&third, &gone, &last], &users);
        assert_eq!(plan.add, ders(&[three]));
        assert_eq!(plan.verdicts, [Verdict::Fine, Verdict::Fine, Verdict::Full]);
        // More than the limit is there already: what is wanted and there is fine.
        let plan = case.plan(&[one, two, three], &[&third], &users);
        assert_eq!(plan, Plan { add: vec![], delete: vec![], verdicts: vec![Verdict::Fine] });
    }

    #[test]
    fn in_a_full_object_the_youngest_stay_in_whatever_order_they_are_told() {
        let case = Case::new();
        let other = minted(&TestCa::new("Others"), 9, -80, 90);
        let all: Vec<Certificate> =
            (2..6).map(|it| minted(&case.ca, it, i64::from(it) - 10, 90)).collect();
        let [oldest, old, young, youngest] = &all[..] else { unreachable!() };
        let users = users(&json!({"values_max": 3, "when_full": "replace-oldest"}));
        let plan = case.plan(&[&other, oldest, young], &[&wish(Wanted::There, youngest)], &users);
        assert_eq!((plan.add, plan.delete), (ders(&[youngest]), ders(&[oldest])));
        let plan = case.plan(&[&other, young, youngest], &[&wish(Wanted::There, old)], &users);
        assert_eq!(plan, Plan { add: vec![], delete: vec![], verdicts: vec![Verdict::Superseded] });
        // Where others have taken all the room, nothing of theirs leaves.
        let others: Vec<Certificate> =
            (2..6).map(|it| minted(&TestCa::new("Others"), it, -1, 90)).collect();
        let there: Vec<&Certificate> = others.iter().collect();
        let plan = case.plan(&there, &[&wish(Wanted::There, old)], &users);
        assert_eq!(plan, Plan { add: vec![], delete: vec![], verdicts: vec![Verdict::Full] });
    }
}
