//! From the name in the URL to the addresses that are connected to, with the refused ones left out.
//!
//! The HTTP library is given addresses and resolves nothing by itself, so what was looked at and what
//! is connected to are the same, whatever a name server says from one moment to the next.

use std::{
    future::ready,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::Allowed;

/// How long addresses are used before the name is resolved again. Kept connections live on beyond it.
const ADDRESSES_KEPT: Duration = Duration::from_secs(30);

/// Most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// The addresses that may be connected to. The HTTP library reads them here.
#[derive(Clone, Debug, Default)]
pub struct Book(Arc<RwLock<Vec<SocketAddr>>>);

impl Resolve for Book {
    fn resolve(&self, _name: Name) -> Resolving {
        let addresses = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        // There is one name. That nothing is known of it cannot be: nobody sends without `refresh`.
        let found: Addrs = Box::new(addresses.into_iter());
        Box::pin(ready(Ok(found)))
    }
}

/// How a name is resolved: the system's way, or a test's.
pub type LookUp = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// The system's way.
pub fn system() -> LookUp {
    Arc::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
}

/// Where the answer to a lookup comes.
type Pending = Receiver<io::Result<Vec<SocketAddr>>>;

/// Resolves the one name of the module.
pub struct Resolver {
    host: String,
    port: u16,
    allowed: Allowed,
    look_up: LookUp,
    book: Book,
    /// When the book was written; `None` where it has to be written anew.
    written: Option<Instant>,
    /// A lookup that takes long. There is never more than one.
    pending: Mutex<Option<Pending>>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Resolver").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver for one host, which may be an address.
    pub fn new(host: &str, port: u16, allowed: Allowed, look_up: LookUp) -> Self {
        Self {
            host: host.to_owned(),
            port,
            allowed,
            look_up,
            book: Book::default(),
            written: None,
            pending: Mutex::default(),
        }
    }

    /// Where the HTTP library looks.
    pub fn book(&self) -> Book {
        self.book.clone()
    }

    /// Forgets what it knows, because a connection failed.
    pub fn forget(&mut self) {
        self.written = None;
    }

    /// Sees to it that the book holds addresses that may be connected to.
    ///
    /// # Errors
    ///
    /// One line for the operator: the name has no address, only refused ones, or the answer does not
    /// come within `within`.
    pub fn refresh(&mut self, within: Duration) -> Result<(), String> {
        if self.written.is_some_and(|it| it.elapsed() < ADDRESSES_KEPT) {
            return Ok(());
        }
        let found = self
            .look_up_within(within)?
            .map_err(|err| format!("resolving {}: {err}", self.host))?;
        let mut usable = Vec::new();
        let mut refused = Vec::new();
        for address in found.iter().take(ADDRESSES_MAX) {
            match self.allowed.refuse(address.ip()) {
                None => usable.push(*address),
                Some(word) => refused.push(format!("{} is {word}", address.ip())),
            }
        }
        if usable.is_empty() {
            let host = &self.host;
            if refused.is_empty() {
                return Err(format!("resolving {host}: it has no address"));
            }
            return Err(format!(
                "{host} is not talked to: {}; where that is meant, name it in allow_networks",
                refused.join(", ")
            ));
        }
        *self.book.0.write().unwrap_or_else(PoisonError::into_inner) = usable;
        self.written = Some(Instant::now());
        Ok(())
    }

    /// The system's call has no time limit, so it runs on a thread of its own. One that hangs is
    /// waited for again the next time.
    fn look_up_within(&self, within: Duration) -> Result<io::Result<Vec<SocketAddr>>, String> {
        let waited_for = self.pending().take();
        let answer = if let Some(answer) = waited_for {
            answer
        } else {
            let (sender, answer) = channel();
            let (host, port) = (self.host.clone(), self.port);
            let look_up = Arc::clone(&self.look_up);
            thread::Builder::new()
                .name("webhook-resolver".to_owned())
                .spawn(move || sender.send(look_up(&host, port)).ok())
                .map_err(|err| format!("starting a thread: {err}"))?;
            answer
        };
        match answer.recv_timeout(within) {
            Ok(found) => Ok(found),
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("resolving {} was given up", self.host))
            }
            Err(RecvTimeoutError::Timeout) => {
                *self.pending() = Some(answer);
                Err(format!("resolving {} took too long", self.host))
            }
        }
    }

    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const WITHIN: Duration = Duration::from_secs(20);

    fn answers(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 443)).collect()
    }

    fn resolver(allowed: &[&str], look_up: LookUp) -> Resolver {
        Resolver::new("hook.example.com", 443, Allowed::parse(allowed).unwrap(), look_up)
    }

    fn known(resolver: &Resolver) -> Vec<SocketAddr> {
        resolver.book.0.read().unwrap().clone()
    }

    #[test]
    fn what_a_name_server_says_later_is_looked_at_as_well() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        // Public the first time, and this machine from then on: DNS rebinding.
        let mut it = resolver(
            &[],
            Arc::new(move |_, _| {
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                Ok(answers(&[if first { "1.1.1.1" } else { "127.0.0.1" }]))
            }),
        );
        it.refresh(WITHIN).unwrap();
        assert_eq!(known(&it), answers(&["1.1.1.1"]));
        it.refresh(WITHIN).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1, "what is known is used for a while");
        it.forget();
        let err = it.refresh(WITHIN).unwrap_err();
        assert!(err.contains("127.0.0.1 is loopback") && err.contains("allow_networks"), "{err}");
        assert_eq!(known(&it), answers(&["1.1.1.1"]), "the private one is never known");
    }

    #[test]
    fn of_many_addresses_the_refused_ones_are_left_out() {
        let mixed = ["10.0.0.1", "2606:4700::1", "::ffff:192.168.0.1", "1.1.1.1", "10.1.0.1"];
        let mut it = resolver(&["10.1.0.0/16"], Arc::new(move |_, _| Ok(answers(&mixed))));
        it.refresh(WITHIN).unwrap();
        assert_eq!(known(&it), answers(&["2606:4700::1", "1.1.1.1", "10.1.0.1"]));
    }

    #[test]
    fn a_lookup_that_hangs_is_given_up_and_not_asked_twice() {
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let mut it = resolver(
            &[],
            Arc::new(move |_, _| {
                count.fetch_add(1, Ordering::SeqCst);
                released.lock().unwrap().recv().ok();
                Ok(answers(&["1.1.1.1"]))
            }),
        );
        for _ in 0..2 {
            let err = it.refresh(Duration::from_millis(5)).unwrap_err();
            assert!(err.contains("took too long"), "{err}");
        }
        release.send(()).unwrap();
        it.refresh(WITHIN).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_name_without_an_address_is_no_address() {
        let mut it = resolver(&[], Arc::new(|_, _| Ok(Vec::new())));
        assert!(it.refresh(WITHIN).unwrap_err().contains("it has no address"));
        let mut it = resolver(&[], Arc::new(|_, _| Err(io::Error::other("no such name"))));
        assert!(it.refresh(WITHIN).unwrap_err().contains("no such name"));
    }
}
