//! A limit for those who guess tokens.
//!
//! A token has 256 bits and is not guessed; whoever tries all the same costs the others time, and shall
//! be seen. Counted are tokens that are nobody's, by address; after some of them the address gets no
//! answer but "later" for a while, with whatever token. The Unix sockets have no addresses, and are
//! never closed.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong tokens from one address in [`GUESS_WINDOW`] that are looked at. Somebody who has mistaken one
/// token for another needs two or three.
pub const GUESSES_MAX: u32 = 10;
/// How long an address is watched from its first wrong token on, and closed out for the rest of it.
pub const GUESS_WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are watched at a time. For one more the oldest is forgotten: whoever has so many
/// addresses has [`GUESSES_MAX`] guesses for each of them anyhow.
pub const GUESS_ADDRESSES_MAX: usize = 4096;

/// First bits of an IPv6 address that count: a network of the smallest usual size is one guesser.
const V6_BITS: u32 = 64;

/// Who has guessed wrong of late.
#[derive(Debug, Default)]
pub(crate) struct Guesses(Mutex<HashMap<IpAddr, Guesser>>);

#[derive(Clone, Copy, Debug)]
struct Guesser {
    since: Instant,
    wrong: u32,
}

impl Guesses {
    /// How long an address is closed out still, if it is.
    pub(crate) fn closed_out(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let table = self.lock();
        let guesser = table.get(&network(address))?;
        let left = GUESS_WINDOW.checked_sub(now.saturating_duration_since(guesser.since))?;
        (GUESSES_MAX <= guesser.wrong && !left.is_zero()).then_some(left)
    }

    /// Counts a wrong token.
    pub(crate) fn wrong(&self, address: IpAddr, now: Instant) {
        let mut table = self.lock();
        let address = network(address);
        if let Some(guesser) = table.get_mut(&address)
            && now.saturating_duration_since(guesser.since) < GUESS_WINDOW
        {
            guesser.wrong = guesser.wrong.saturating_add(1);
            return;
        }
        if GUESS_ADDRESSES_MAX <= table.len() && !table.contains_key(&address) {
            table.retain(|_, it| now.saturating_duration_since(it.since) < GUESS_WINDOW);
            if GUESS_ADDRESSES_MAX <= table.len()
                && let Some(oldest) =
                    table.iter().min_by_key(|(_, it)| it.since).map(|(address, _)| *address)
            {
                table.remove(&oldest);
            }
        }
        table.insert(address, Guesser { since: now, wrong: 1 });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Guesser>> {
        // Each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts of an address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(it) => Ipv6Addr::from_bits(it.to_bits() >> V6_BITS << V6_BITS).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_closed_out_after_so_many_wrong_tokens_until_its_window_ends() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        let one = ip("192.0.2.1");
        for count in 1..GUESSES_MAX {
            guesses.wrong(one, start + Duration::from_secs(u64::from(count)));
            assert_eq!(guesses.closed_out(one, start + Duration::from_secs(9)), None, "{count}");
        }
        guesses.wrong(one, start + Duration::from_secs(10));
        let left = |s| guesses.closed_out(one, start + Duration::from_secs(s));
        assert_eq!(left(10), Some(Duration::from_secs(51)));
        assert_eq!(guesses.closed_out(ip("::ffff:192.0.2.1"), start), left(1));
        assert_eq!(guesses.closed_out(ip("192.0.2.2"), start), None);
        assert_eq!(left(61), None);
        // A new window.
        guesses.wrong(one, start + Duration::from_secs(61));
        assert_eq!(left(61), None);
    }

    #[test]
    fn the_addresses_of_one_network_are_one_guesser() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for count in 0..GUESSES_MAX {
            guesses.wrong(ip(&format!("2001:db8::{count}")), now);
        }
        assert!(guesses.closed_out(ip("2001:db8::ffff"), now).is_some());
        assert!(guesses.closed_out(ip("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn a_crowd_makes_the_table_no_larger() {
        let (guesses, start) = (Guesses::default(), Instant::now());
        let address = |it: usize| IpAddr::from(u32::try_from(it).unwrap().to_be_bytes());
        for it in 0..GUESS_ADDRESSES_MAX + 100 {
            guesses.wrong(address(it), start + Duration::from_millis(u64::try_from(it).unwrap()));
        }
        assert_eq!(guesses.lock().len(), GUESS_ADDRESSES_MAX);
        assert!(!guesses.lock().contains_key(&address(99)));
        assert!(guesses.lock().contains_key(&address(100)));
        guesses.wrong(address(99), start + Duration::from_mins(5));
        assert_eq!(guesses.lock().len(), 1, "windows that have ended were kept");
    }
}
