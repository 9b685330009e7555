//! Telling modules of certificates before they run out.

use exeunt_store::{ExpiryStep, StoreError};

use crate::engine::Engine;

/// Most distances at which a certificate is told of.
pub const EXPIRY_DISTANCES_MAX: usize = 16;
/// Farthest distance, in days: ten years.
pub const EXPIRY_DAYS_MAX: u32 = 3_650;

impl Engine {
    /// Writes the events of certificates that have come within one of the distances, in days and with
    /// the nearest first; a bounded number of them, so that the writer has time for others in between.
    /// Call it until it says that there is no more.
    ///
    /// A certificate that has come within several at once is told of at the nearest. None is told of
    /// twice at the same distance, also not after a restart; but where the clock is put back by more than
    /// a day.
    ///
    /// # Errors
    ///
    /// What the store said; what is not told yet is told by a later call.
    pub fn tell_expiring(&self, nearest_first: &[u32]) -> Result<ExpiryStep, StoreError> {
        let now = self.clock.now();
        let mut all = ExpiryStep::default();
        let mut nearer = 0;
        for days in nearest_first {
            let step = self.store.tell_expiring(*days, nearer, now)?;
            all.told += step.told;
            all.more |= step.more;
            nearer = *days;
        }
        Ok(all)
    }
}
