//! Many callers, one commit.

use std::sync::Barrier;

use exeunt_types::EventSeq;

use crate::support::{Place, assert_whole, at, certificate, intent, request};

#[test]
fn in_a_batch_only_the_culprit_fails() {
    const THREADS: u64 = 32;
    let place = Place::new();
    let store = place.open();
    let taken = store.admit_intend(request(1000), intent(1000)).unwrap();
    let ready = Barrier::new(usize::try_from(THREADS).unwrap() + 1);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..THREADS)
            .map(|number| {
                let (store, ready) = (&store, &ready);
                scope.spawn(move || {
                    let culprit = number % 4 == 0;
                    let wanted = if culprit { 1000 } else { number };
                    ready.wait();
                    let admitted = store.admit_intend(request(number), intent(wanted));
                    match admitted {
                        Err(err) => assert!(culprit && err.code() == "store-duplicate-serial"),
                        Ok(id) => {
                            assert!(!culprit);
                            store.record(id, certificate(number), at(1)).unwrap();
                        }
                    }
                })
            })
            .collect();
        // A foreign lock makes the writer wait, so that the others gather behind its first job.
        let conn = rusqlite::Connection::open(&place.path).unwrap();
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        ready.wait();
        conn.execute_batch("ROLLBACK").unwrap();
        for client in clients {
            client.join().unwrap();
        }
    });
    store.record(taken, certificate(1000), at(1)).unwrap();
    assert_eq!(store.counts().unwrap().issued, 25);
    assert_eq!(store.head(), EventSeq(25));
    drop(store);
    assert_whole(&place.path);
}

#[test]
fn clones_are_the_same_store_and_it_closes_with_the_last() {
    let place = Place::new();
    let store = place.open();
    let other = store.clone();
    other.admit_intend(request(1), intent(1)).unwrap();
    drop(store);
    let refused = exeunt_store::Store::open(&place.path).unwrap_err();
    assert_eq!(refused.code(), "store-in-use");
    assert_eq!(other.counts().unwrap().active, 1);
    drop(other);
    // Closing empties the log into the file and removes it.
    let names: Vec<_> = std::fs::read_dir(place.folder.path())
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|it| it != "store.db.lock")
        .collect();
    assert_eq!(names, ["store.db"]);
    place.open();
}
