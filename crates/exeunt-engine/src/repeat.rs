//! Submissions that may be repeated: what the client's key does to the journey. The store keeps the keys.

use exeunt_store::StoreError;
use exeunt_types::{IdempotencyKey, KnownKey, NewKey, UnixMillis};

use crate::engine::Engine;
use crate::error::SubmitError;
use crate::journey::Admitted;
use crate::policy::Caller;

/// Code of a denial that another day may not see.
pub(crate) const RATE_LIMITED: &str = "rate-limited";

impl Engine {
    /// Stops a submission whose key stands for another one, before anybody is asked about it. Two that
    /// come at the same moment both get past this, and the store stops the second.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Repeated`], [`SubmitError::KeyReused`], or the store does not answer.
    pub(crate) fn refuse_repetition(
        &self,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
        now: UnixMillis,
    ) -> Result<(), SubmitError> {
        let Some(IdempotencyKey { key, asked }) = key else { return Ok(()) };
        let action = "reading an idempotency key";
        let reading = |source| SubmitError::Store { action, source };
        let known = self.store.idempotency_key(&caller.name, key, now).map_err(reading)?;
        match known {
            Some(known) => Err(repeated(known.asked == *asked, known)),
            None => Ok(()),
        }
    }
}

impl Admitted {
    /// The key as it is written with the request's row; `denied` is why it is denied, if it is.
    pub(crate) fn new_key(&self, denied: Option<&'static str>) -> Option<NewKey> {
        // Who is told to come again later shall find no closed door then.
        let key = self.key.clone().filter(|_| denied != Some(RATE_LIMITED))?;
        let (caller, at) = (self.caller.name.clone(), self.now);
        Some(NewKey { caller, key, denied: denied.map(str::to_owned), at })
    }
}

/// What the store said to a write that may have had a key.
pub(crate) fn of_store(action: &'static str, source: StoreError) -> SubmitError {
    match source {
        StoreError::KeyTaken { known, same } => repeated(same, *known),
        source => SubmitError::Store { action, source },
    }
}

fn repeated(same: bool, known: KnownKey) -> SubmitError {
    let KnownKey { request, asked: _, denied } = known;
    if same { SubmitError::Repeated { request, denied } } else { SubmitError::KeyReused }
}
