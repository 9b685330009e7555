//! Copies of a store, and going on from one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use exeunt_store::{
    AuditEntry, COPY_LOG_OCTETS_MAX, CRL_NUMBERS_LEFT_OUT, EVENTS_LEFT_OUT, EVENTS_LEFT_OUT_PER_S,
    REQUEST_ID_MAX, REQUESTS_LEFT_OUT, REQUESTS_LEFT_OUT_PER_S, Restored, Store,
};
use exeunt_types::{
    CrlNumber, Disposition, EventKind, EventSeq, NewRequest, RequestId, StartAt, UnixMillis,
};

use super::support::{DEADLINE, Place, at, certificate, deeds, exit, intent, request};

/// Issues the certificates of these numbers.
fn issue(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let id = store.admit_intend(request(number), intent(number)).unwrap();
        store.record(id, certificate(number), at(3000)).unwrap();
    }
}

fn copy(place: &Place) -> std::path::PathBuf {
    let to = place.folder.path().join("copy.db");
    Store::copy(&place.path, &to).unwrap();
    to
}

fn restored(path: &std::path::Path, elapsed_s: i64) -> Restored {
    let by = AuditEntry::new(at(0), "operator", "restore-end", "");
    let store = Store::open(path).unwrap();
    let now = UnixMillis(elapsed_s * 1000);
    let taken = ("Taken".to_owned(), "then".to_owned());
    store.mark_restored(at(0), now, &[taken], vec![by]).unwrap()
}

/// Ends the threads that look at it, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_copy_is_of_one_moment_and_holds_up_nobody() {
    let place = Place::new();
    let store = place.open();
    issue(&store, 0..200);
    let stop = AtomicBool::new(false);
    let to = place.folder.path().join("copy.db");
    let written = std::thread::scope(|scope| {
        let ends = Stop(&stop);
        let writer = scope.spawn(|| {
            let mut number = 1000;
            while !stop.load(Ordering::Relaxed) {
                issue(&store, number..number + 1);
                number += 1;
            }
            number
        });
        // Begins while there is something to collide with.
        let deadline = Instant::now() + DEADLINE;
        while store.head().0 < 210 {
            assert!(Instant::now() < deadline, "nothing is written");
            std::thread::yield_now();
        }
        // Until something was written while a copy was taken: a small one takes a moment only.
        let contents = loop {
            assert!(Instant::now() < deadline, "nothing was written meanwhile");
            let before = store.head();
            let contents = Store::copy(&place.path, &to).unwrap();
            let after = store.head();
            assert!(before <= contents.last_event && contents.last_event <= after);
            if before < after {
                break contents;
            }
            std::fs::remove_file(&to).unwrap();
        };
        drop(ends);
        let number = writer.join().unwrap();
        assert_eq!(Store::inspect(&to).unwrap(), contents);
        assert_eq!(contents.certificates, contents.last_event.0);
        number
    });
    // Everything that was answered before is in it, with what belongs to it.
    let copied = Store::open_read_only(&to).unwrap();
    for event in copied.events_after(EventSeq(0), 4096).unwrap() {
        assert_eq!((event.corrupt, event.certificate.is_some()), (None, true));
    }
    assert!(1010 <= written);
}

#[test]
fn a_copy_is_given_up_when_the_log_grows_beyond_its_limit_however_long_it_was_before() {
    let place = Place::new();
    let store = place.open();
    // More than is copied between two looks.
    let large = NewRequest { raw: vec![7; 48 << 20], ..request(1) };
    store.admit_intend(large, intent(1)).unwrap();
    // As an earlier copy left it; what is no frame of the log is passed over.
    let log = place.folder.path().join("store.db-wal");
    let log = std::fs::OpenOptions::new().write(true).open(log).unwrap();
    log.set_len(COPY_LOG_OCTETS_MAX).unwrap();
    let to = place.folder.path().join("copy.db");
    let before = Store::copy(&place.path, &to).unwrap();
    assert_eq!(Store::inspect(&to).unwrap(), before);
    std::fs::remove_file(&to).unwrap();

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Stop(&stop);
        let (log, stop) = (&log, &stop);
        scope.spawn(move || {
            let mut length = COPY_LOG_OCTETS_MAX;
            while !stop.load(Ordering::Relaxed) {
                length += 1;
                log.set_len(length).unwrap();
            }
        });
        let deadline = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < deadline, "it is never given up");
            match Store::copy(&place.path, &to) {
                Err(err) => break assert_eq!(err.code(), "store-copy-too-slow"),
                // It was quicker than what grows.
                Ok(_) => std::fs::remove_file(&to).unwrap(),
            }
        }
    });
    assert!(!to.exists());
}

#[test]
fn a_copy_is_never_written_over_anything() {
    let place = Place::new();
    let to = copy(&place);
    let err = Store::copy(&place.path, &to).unwrap_err();
    assert_eq!(err.code(), "store-exists");
    let missing = place.folder.path().join("none.db");
    let other = place.folder.path().join("other.db");
    assert_eq!(Store::copy(&missing, &other).unwrap_err().code(), "store-missing");
    assert!(!other.exists());
}

#[test]
fn a_damaged_copy_is_found_out() {
    let place = Place::new();
    issue(&place.open(), 0..200);
    let to = copy(&place);
    let mut octets = std::fs::read(&to).unwrap();
    // A page in the middle, and then the end.
    let middle = octets.len() / 2 / 4096 * 4096;
    octets[middle..middle + 4096].fill(0xff);
    std::fs::write(&to, &octets).unwrap();
    assert_eq!(Store::inspect(&to).unwrap_err().code(), "store-damaged");
    std::fs::write(&to, &octets[..octets.len() / 2]).unwrap();
    assert_eq!(Store::inspect(&to).unwrap_err().code(), "store-damaged");
}

#[test]
fn a_restored_store_gives_out_no_number_again() {
    let place = Place::new();
    {
        let store = place.open();
        issue(&store, 0..3);
        assert_eq!(store.next_crl_number().unwrap(), CrlNumber(1));
        store.open_cursor(&exit("census"), StartAt::Head).unwrap();
        let lease = store.lease(&exit("census"), "original", at(0), at(i64::MAX)).unwrap();
        assert_eq!(lease.token, 1);
    }
    let to = copy(&place);
    // Three hours later, at most so many numbers were given out.
    let elapsed_s = 3 * 3600;
    let Restored { before, event, request: stand_in, crl_number } = restored(&to, elapsed_s);
    let elapsed_s = elapsed_s.unsigned_abs();
    assert_eq!((before.last_event, before.last_request), (EventSeq(3), RequestId(3)));
    assert_eq!(event.0, 4 + EVENTS_LEFT_OUT + EVENTS_LEFT_OUT_PER_S * elapsed_s);
    assert_eq!(stand_in.0, 3 + REQUESTS_LEFT_OUT + REQUESTS_LEFT_OUT_PER_S * elapsed_s);
    assert_eq!(crl_number.0, 1 + CRL_NUMBERS_LEFT_OUT + elapsed_s);

    let store = Store::open(&to).unwrap();
    assert_eq!(store.store_id(), before.store_id);
    let told = store.events_after(EventSeq(3), 10).unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].seq, told[0].kind), (event, EventKind::RESTORED));
    let pairs = [("Taken", "then"), ("LastEvent", "3")];
    assert_eq!(told[0].detail, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // What stands for the requests that are left out.
    let row = store.request(stand_in).unwrap().unwrap();
    assert_eq!(row.disposition, Disposition::Error);
    // New numbers come after, also after another opening.
    let id = store.admit_intend(request(7), intent(7)).unwrap();
    assert_eq!(id.0, stand_in.0 + 1);
    assert_eq!(store.record(id, certificate(7), at(1)).unwrap(), event.next());
    assert_eq!(store.next_crl_number().unwrap().0, crl_number.0 + 1);
    // A lease of the original ends, and its holder cannot settle here.
    let lease = store.lease(&exit("census"), "restored", at(0), at(10)).unwrap();
    assert!(1 < lease.token);
    assert_eq!(deeds(&store)[0].entry.action, "restore-end");
}

#[test]
fn the_same_copy_restored_later_goes_on_beyond_what_was_given_out_meanwhile() {
    let place = Place::new();
    issue(&place.open(), 0..3);
    let second = place.folder.path().join("second.db");
    let first = copy(&place);
    std::fs::copy(&first, &second).unwrap();
    let [first, second] = [(first, 10), (second, 70)].map(|(path, after)| restored(&path, after));
    // A minute lies between them.
    assert_eq!(second.event.0 - first.event.0, 60 * EVENTS_LEFT_OUT_PER_S);
    assert_eq!(second.request.0 - first.request.0, 60 * REQUESTS_LEFT_OUT_PER_S);
    assert_eq!(second.crl_number.0 - first.crl_number.0, 60);
}

#[test]
fn however_wrong_the_clock_is_numbers_do_not_run_out() {
    let place = Place::new();
    let path = copy(&place);
    for elapsed_s in [i64::MAX / 1000, -5] {
        let path_of_one = place.folder.path().join(format!("{elapsed_s}.db"));
        std::fs::copy(&path, &path_of_one).unwrap();
        let restored = restored(&path_of_one, elapsed_s);
        assert!(restored.request.0 <= REQUEST_ID_MAX / 2);
        // What every reader of JSON knows to be a whole number.
        assert!(restored.event.0 < 1 << 53, "{restored:?}");
    }
}
