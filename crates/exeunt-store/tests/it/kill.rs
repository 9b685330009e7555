//! A process that is killed in the middle loses nothing it has acknowledged.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use exeunt_store::{AuditEntry, Replay, Store};
use exeunt_types::{EventKind, EventSeq, RequestId};

use crate::support::{
    Place, assert_whole, at, certificate, deeds, exit, five, intent, issue, request, serial, to,
};

const STORE: &str = "EXEUNT_TEST_KILLED_STORE";
const FROM: &str = "EXEUNT_TEST_KILLED_FROM";

/// Not a test by itself: what the killed process runs.
#[test]
fn killed_child() {
    let (Ok(path), Ok(from)) = (std::env::var(STORE), std::env::var(FROM)) else { return };
    let from: u64 = from.parse().unwrap();
    let store = Store::open(path.as_ref()).unwrap();
    store.recover(at(0)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                // Ends by itself, should nobody kill it.
                for number in (0..100_000).map(|it| from + it * 8 + thread) {
                    let id = store.admit_intend(request(number), intent(number)).unwrap();
                    store.record(id, certificate(number), at(2)).unwrap();
                    let line = format!("{id} {number}\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    const ROUNDS: u64 = 3;
    const ACKNOWLEDGED: usize = 200;
    let place = Place::new();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::killed_child", "--nocapture"])
            .env(STORE, &place.path)
            .env(FROM, (round * 10_000_000).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // After enough of them it is killed; what it had written until then is read to the end.
        for line in lines {
            let Ok(line) = line else { break };
            let mut words = line.split(' ').map(str::parse::<u64>);
            if let (Some(Ok(id)), Some(Ok(number)), None) =
                (words.next(), words.next(), words.next())
            {
                acknowledged.push((RequestId(id), number));
                seen += 1;
                if seen == ACKNOWLEDGED {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(ACKNOWLEDGED <= seen, "the child ended early after {seen}");
    }

    let store = place.open();
    store.recover(at(9)).unwrap();
    for (id, number) in &acknowledged {
        let found = store.certificate_of(*id).unwrap();
        assert_eq!(found.map(|it| it.certificate), Some(certificate(*number)), "request {id}");
        assert_eq!(store.certificate(&serial(*number)).unwrap().unwrap().request, *id);
    }
    // What was abandoned is not given out again.
    for abandoned in store.abandoned_serials(None, 100).unwrap() {
        let mut again = intent(1);
        again.serial = abandoned.serial;
        assert_eq!(
            store.admit_intend(request(1), again).unwrap_err().code(),
            "store-duplicate-serial"
        );
    }
    issue(&store, 99_000_000);
    drop(store);
    assert_whole(&place.path);
}

const ORDERS: &str = "EXEUNT_TEST_KILLED_ORDERS";

/// Not a test by itself: carries out orders, one after the other, until it is killed.
#[test]
fn killed_orders_child() {
    let Ok(path) = std::env::var(ORDERS) else { return };
    let store = Store::open(path.as_ref()).unwrap();
    let file = exit("file");
    let lease = store.lease(&file, "child", at(1000), at(2000)).unwrap();
    // Ends by itself, should nobody kill it.
    for step in 0..2000_i64 {
        let text = step.to_string();
        let entry = AuditEntry::new(at(step), "test", "order", "file").detail(text.clone());
        store.audit(entry).unwrap();
        match step % 4 {
            0 => store.start_replay(&file, &lease, EventSeq(2), EventSeq(4)),
            1 => store.settle(&file, &lease, to(3)),
            2 => store.settle(&file, &lease, to(4)),
            _ => {
                let detail = [("Step".to_owned(), text)];
                store.append_event(EventKind::HEARTBEAT, at(step), &detail)
            }
        }
        .unwrap();
        std::io::stdout().write_all(format!("{step} done\n").as_bytes()).unwrap();
    }
}

#[test]
fn an_order_that_was_carried_out_survives_kill_9() {
    const ACKNOWLEDGED: i64 = 150;
    let place = Place::new();
    let (store, lease) = five(&place);
    store.settle(&exit("file"), &lease, to(5)).unwrap();
    store.release_lease(&exit("file"), &lease).unwrap();
    drop(store);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::killed_orders_child", "--nocapture"])
        .env(ORDERS, &place.path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last = -1;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        let Some(step) = line.strip_suffix(" done").and_then(|it| it.parse::<i64>().ok()) else {
            continue;
        };
        assert_eq!(step, last + 1);
        last = step;
        if last == ACKNOWLEDGED {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(ACKNOWLEDGED <= last, "the child ended early after {last}");

    // The step after the last one that was told may be done or not, and nothing beyond it.
    let store = place.open();
    let row = store.cursor(&exit("file")).unwrap().unwrap();
    let after = |step: i64| match step % 4 {
        0 => (1, Some(4)),
        1 => (3, Some(4)),
        _ => (5, None),
    };
    let found = (row.position.0, row.replay.map(|it| it.to.0));
    assert!([after(last), after(last + 1)].contains(&found), "{found:?} after {last}");
    if let Some(Replay { resume_at, .. }) = row.replay {
        assert_eq!(resume_at, EventSeq(5));
    }
    let audited = deeds(&store);
    let steps: Vec<_> = audited.iter().map(|it| it.entry.detail.parse::<i64>().unwrap()).collect();
    assert_eq!(steps[..=usize::try_from(last).unwrap()], (0..=last).collect::<Vec<_>>());
    assert!(audited.len() <= usize::try_from(last + 2).unwrap());
    let beats = store.events_after(EventSeq(5), 4096).unwrap();
    let told: Vec<i64> = beats.iter().map(|it| it.detail[0].1.parse().unwrap()).collect();
    let expected: Vec<i64> = (0..=last).filter(|it| it % 4 == 3).collect();
    assert_eq!(told[..expected.len()], expected);
    drop(store);
    assert_whole(&place.path);
}
