//! From the name in the URL to the addresses that are connected to, with the refused ones left out.
//!
//! The HTTP library is given addresses and resolves nothing by itself, so what was looked at and what
//! is connected to are the same, whatever a name server says from one moment to the next.

use std::{
    future::ready,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use exeunt_publication::resolver::{LookUp, Resolver as Names};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::Allowed;

/// How long addresses are used before the name is resolved again. Kept connections live on beyond it.
const ADDRESSES_KEPT: Duration = Duration::from_secs(30);

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

/// Resolves the one name of the module.
#[derive(Debug)]
pub struct Resolver {
    names: Names,
    allowed: Allowed,
    book: Book,
    /// When the book was written; `None` where it has to be written anew.
    written: Option<Instant>,
}

impl Resolver {
    /// A resolver for one host, which may be an address.
    pub fn new(host: &str, port: u16, allowed: Allowed, look_up: LookUp) -> Self {
        Self {
            names: Names::with_look_up(host, port, look_up),
            allowed,
            book: Book::default(),
            written: None,
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
        let mut usable = Vec::new();
        let mut refused = Vec::new();
        for address in self.names.addresses(within)? {
            match self.allowed.refuse(address.ip()) {
                None => usable.push(address),
                Some(word) => refused.push(format!("{} is {word}", address.ip())),
            }
        }
        if usable.is_empty() {
            let host = self.names.host();
            return Err(format!(
                "{host} is not talked to: {}; where that is meant, name it in allow_networks",
                refused.join(", ")
            ));
        }
        *self.book.0.write().unwrap_or_else(PoisonError::into_inner) = usable;
        self.written = Some(Instant::now());
        Ok(())
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
}
