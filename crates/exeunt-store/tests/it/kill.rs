//! A process that is killed in the middle loses nothing it has acknowledged.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use exeunt_store::Store;
use exeunt_types::RequestId;

use crate::support::{Place, assert_whole, at, certificate, intent, issue, request, serial};

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
