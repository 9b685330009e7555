//! The real clock and the real randomness: the only place that asks for them.

use std::time::{SystemTime, UNIX_EPOCH};

use exeunt_engine::{Clock, Entropy};
use exeunt_keys::{KeyError, random_bytes};
use exeunt_types::{Serial, UnixMillis};

/// The system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        now()
    }
}

/// This moment; a clock before 1970 counts as 1970.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The cryptographic library's generator, and the time for the beginning of serial numbers.
#[derive(Clone, Copy, Debug)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn serial_octets(&self) -> Result<[u8; 16], KeyError> {
        Ok(Serial::octets_by_time(now(), random_bytes::<16>()?))
    }
}

/// Spreads retries; its quality matters little, so a generator that fails is no reason to stop.
pub fn jitter() -> u64 {
    random_bytes::<8>().map_or(0, u64::from_le_bytes)
}
