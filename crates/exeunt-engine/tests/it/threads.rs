//! Many at once.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use exeunt_types::{EventKind, EventSeq};

use crate::support::{House, Issued, plain_request, request};

#[test]
fn sixty_four_threads_get_sixty_four_serials_and_a_log_without_gaps() {
    const THREADS: u64 = 64;
    const EACH: u64 = 3;
    let ca = House::new().open();
    let nameless = request("ec:P-256", "/", &[]);
    let start = Barrier::new(64);
    let issued: Vec<Issued> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (ca, start, nameless) = (&ca, &start, &nameless);
                scope.spawn(move || {
                    start.wait();
                    // Some that are refused among them, so that batches are mixed.
                    if number % 4 == 0 {
                        ca.submit(nameless).unwrap();
                    }
                    (0..EACH).map(|_| ca.issue(plain_request())).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|it| it.join().unwrap()).collect()
    });

    let distinct = |of: fn(&Issued) -> String| issued.iter().map(of).collect::<HashSet<_>>().len();
    assert_eq!(issued.len() as u64, THREADS * EACH);
    assert_eq!(distinct(|it| it.serial.to_string()), issued.len());
    assert_eq!(distinct(|it| it.request.to_string()), issued.len());
    assert_eq!(distinct(|it| it.event.to_string()), issued.len());

    let total = THREADS * EACH + THREADS / 4;
    assert_eq!(ca.counts(), (total, THREADS * EACH, total));
    let events = ca.engine.store().events_after(EventSeq(0), 1000).unwrap();
    for (place, event) in (1..).zip(&events) {
        assert_eq!((event.seq, event.corrupt.as_deref()), (EventSeq(place), None));
        assert_eq!(event.certificate.is_some(), event.kind == EventKind::CERT_ISSUED);
    }
    assert_eq!(events.len() as u64, total);
    for certificate in &issued {
        ca.check_certificate(&certificate.der);
    }
}
