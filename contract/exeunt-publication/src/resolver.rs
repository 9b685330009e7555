//! From a name to its addresses, in a bounded time.
//!
//! The system's call has no time limit and cannot be ended, so it runs on a thread of its own. One that
//! hangs is waited for again by whoever asks next: there is never more than one for a name.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Most addresses of one name that are used.
pub const ADDRESSES_MAX: usize = 16;

/// The addresses one after the other, each with its part of what is left of the time when it is its
/// turn, so that one that says nothing does not keep the next from its own.
pub fn turns(
    addresses: &[SocketAddr],
    until: Instant,
) -> impl Iterator<Item = (SocketAddr, Duration)> {
    addresses.iter().zip((1..=addresses.len()).rev()).map(move |(address, count)| {
        let left = until.saturating_duration_since(Instant::now());
        (*address, left / u32::try_from(count).unwrap_or(u32::MAX))
    })
}

/// Connects to the first of the addresses that takes the connection, until that moment.
///
/// # Errors
///
/// One line for the operator: why each was not taken, as `connect` says.
pub async fn first<T>(
    addresses: &[SocketAddr],
    until: Instant,
    mut connect: impl AsyncFnMut(SocketAddr, Duration) -> Result<T, String>,
) -> Result<T, String> {
    let mut failed = Vec::new();
    for (address, within) in turns(addresses, until) {
        match connect(address, within).await {
            Ok(connected) => return Ok(connected),
            Err(why) => failed.push(format!("{address}: {why}")),
        }
    }
    Err(failed.join("; "))
}

/// How a name is resolved: the system's way, or a test's.
pub type LookUp = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's way.
#[must_use]
pub fn system() -> LookUp {
    Arc::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
}

/// What became of a lookup; `None` while it is under way.
type Answer = Option<Result<Vec<SocketAddr>, String>>;

/// Where a lookup is waited for.
type Desk = Arc<(Mutex<Answer>, Condvar)>;

/// Resolves one name. It may be shared between threads.
pub struct Resolver {
    host: String,
    port: u16,
    look_up: LookUp,
    under_way: Mutex<Option<(Desk, JoinHandle<()>)>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Resolver").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver for one host, which may be an address, by the system's way.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self::with_look_up(host, port, system())
    }

    /// The same by another way.
    #[must_use]
    pub fn with_look_up(host: &str, port: u16, look_up: LookUp) -> Self {
        Self { host: host.to_owned(), port, look_up, under_way: Mutex::default() }
    }

    /// The name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its addresses, at least one and at most [`ADDRESSES_MAX`].
    ///
    /// # Errors
    ///
    /// One line for the operator: there are none, or the answer does not come `within` that time.
    pub fn addresses(&self, within: Duration) -> Result<Vec<SocketAddr>, String> {
        // An address is its own answer.
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let host = &self.host;
        let desk = self.begin()?;
        let (answer, came) = &*desk;
        let (guard, _) = came
            .wait_timeout_while(locked(answer), within, |it| it.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let answer = guard.clone();
        // `begin` takes the locks in the other order.
        drop(guard);
        let Some(answer) = answer else {
            return Err(format!("resolving {host} took too long"));
        };
        self.end(&desk);
        let found = answer.map_err(|why| format!("resolving {host}: {why}"))?;
        if found.is_empty() {
            return Err(format!("resolving {host}: it has no address"));
        }
        Ok(found)
    }

    /// Goes to the lookup that is under way, or begins one.
    fn begin(&self) -> Result<Desk, String> {
        let mut under_way = locked(&self.under_way);
        if let Some((desk, thread)) = &*under_way {
            // A thread that panicked will never answer.
            if !thread.is_finished() || locked(&desk.0).is_some() {
                return Ok(Arc::clone(desk));
            }
        }
        let desk = Desk::default();
        let (host, port) = (self.host.clone(), self.port);
        let (look_up, theirs) = (Arc::clone(&self.look_up), Arc::clone(&desk));
        let thread = thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(move || {
                let found = look_up(&host, port).map_err(|err| err.to_string());
                let found = found.map(|it| it.into_iter().take(ADDRESSES_MAX).collect());
                *locked(&theirs.0) = Some(found);
                theirs.1.notify_all();
            })
            .map_err(|err| format!("starting a thread: {err}"))?;
        *under_way = Some((Arc::clone(&desk), thread));
        Ok(desk)
    }

    /// Forgets a lookup that has answered; the next question is a new one.
    fn end(&self, desk: &Desk) {
        let mut under_way = locked(&self.under_way);
        if under_way.as_ref().is_some_and(|(it, _)| Arc::ptr_eq(it, desk)) {
            *under_way = None;
        }
    }
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    };

    const WITHIN: Duration = Duration::from_secs(20);

    fn counted(
        answer: impl Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> (Resolver, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let look_up: LookUp = Arc::new(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            answer()
        });
        (Resolver::with_look_up("log.example.com", 514, look_up), asked)
    }

    fn address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 514))
    }

    #[test]
    fn a_lookup_that_hangs_is_given_up_in_time_and_not_begun_twice() {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let (it, asked) = counted(move || {
            released.lock().unwrap().recv().ok();
            Ok(vec![address()])
        });
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let err = it.addresses(Duration::from_millis(5)).unwrap_err();
                    assert_eq!(err, "resolving log.example.com took too long");
                });
            }
        });
        release.send(()).unwrap();
        assert_eq!(it.addresses(WITHIN), Ok(vec![address()]));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn every_question_after_an_answer_is_a_new_one() {
        let (it, asked) = counted(|| Ok(vec![address(); ADDRESSES_MAX + 1]));
        for count in 1..=3 {
            assert_eq!(it.addresses(WITHIN).unwrap().len(), ADDRESSES_MAX);
            assert_eq!(asked.load(Ordering::SeqCst), count);
        }
    }

    #[test]
    fn no_address_is_an_error_and_so_is_what_the_system_says() {
        let (it, _) = counted(|| Ok(Vec::new()));
        assert!(it.addresses(WITHIN).unwrap_err().contains("it has no address"));
        let (it, asked) = counted(|| Err(io::Error::other("no such name")));
        for _ in 0..2 {
            assert!(it.addresses(WITHIN).unwrap_err().contains("no such name"));
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_lookup_that_panicked_is_begun_anew() {
        let first = AtomicUsize::new(0);
        let (it, asked) = counted(move || {
            assert!(0 < first.fetch_add(1, Ordering::SeqCst), "the first one fails");
            Ok(vec![address()])
        });
        let until = Instant::now() + WITHIN;
        // The first one is waited for in vain until its thread has ended.
        let found = loop {
            match it.addresses(Duration::from_millis(50)) {
                Ok(found) => break found,
                Err(_) => assert!(Instant::now() < until, "it is not begun anew"),
            }
        };
        assert_eq!(found, [address()]);
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn each_address_has_its_part_of_what_is_left_and_the_last_has_all_of_it() {
        let until = Instant::now() + Duration::from_mins(9);
        let parts: Vec<Duration> = turns(&[address(); 3], until).map(|it| it.1).collect();
        // Nobody has used any of it here.
        for (part, whole_s) in parts.into_iter().zip([180, 270, 540]) {
            let whole = Duration::from_secs(whole_s);
            assert!(whole < part + Duration::from_mins(1) && part <= whole, "{part:?}");
        }
        assert!(turns(&[address()], Instant::now()).all(|it| it.1.is_zero()));
    }

    #[test]
    fn an_address_is_its_own_answer() {
        for (host, expected) in [("192.0.2.1", "192.0.2.1:7"), ("2001:db8::1", "[2001:db8::1]:7")] {
            let look_up: LookUp = Arc::new(|_, _| Err(io::Error::other("nobody is asked")));
            let it = Resolver::with_look_up(host, 7, look_up);
            assert_eq!(it.addresses(Duration::ZERO), Ok(vec![expected.parse().unwrap()]));
        }
    }
}
