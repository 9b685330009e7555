//! What a module has from its greeting on, and the frame of a module that works by batches.

use crate::{Event, ExitModule, Outcome};

/// Why nothing can be done before the greeting.
const NOT_GREETED: &str = "the module has no settings yet";

/// What a module makes of its greeting: nothing before, and one thing from then on.
#[derive(Clone, Debug)]
pub struct Greeted<T>(Option<T>);

impl<T> Default for Greeted<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Greeted<T> {
    /// Keeps what was made of the greeting, and gives it back to be looked at.
    pub fn set(&mut self, it: T) -> &mut T {
        self.0.insert(it)
    }

    /// Forgets it, and gives it away.
    pub fn take(&mut self) -> Option<T> {
        self.0.take()
    }

    /// It.
    ///
    /// # Errors
    ///
    /// One line for the operator: there was no greeting yet.
    pub fn get(&self) -> Result<&T, String> {
        self.0.as_ref().ok_or_else(|| NOT_GREETED.to_owned())
    }

    /// It, to be changed.
    ///
    /// # Errors
    ///
    /// As [`Greeted::get`].
    pub fn get_mut(&mut self) -> Result<&mut T, String> {
        self.0.as_mut().ok_or_else(|| NOT_GREETED.to_owned())
    }

    /// What [`ExitModule::notify_batch`] does: without a greeting, every event is told later.
    pub fn notify_batch(
        &mut self,
        events: &[Event],
        work: impl FnOnce(&mut T, &[Event]) -> Vec<Outcome>,
    ) -> Vec<Outcome> {
        match self.get_mut() {
            Ok(it) => work(it, events),
            Err(reason) => vec![Outcome::Retry { after_ms: None, reason }; events.len()],
        }
    }
}

/// What [`ExitModule::notify`] does in a module that works by batches: a batch of one.
pub fn notify_as_batch(module: &mut impl ExitModule, event: &Event) -> Outcome {
    let mut outcomes = module.notify_batch(std::slice::from_ref(event));
    outcomes
        .pop()
        .unwrap_or_else(|| Outcome::Retry { after_ms: None, reason: "nothing was done".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::issued_event;

    #[test]
    fn before_the_greeting_every_event_is_told_later_and_from_then_on_the_work_is_done() {
        let events = [issued_event(1, b"x"), issued_event(2, b"x")];
        let mut greeted = Greeted::default();
        let outcomes = |greeted: &mut Greeted<Outcome>| {
            greeted.notify_batch(&events, |it, events| vec![it.clone(); events.len()])
        };
        let early = outcomes(&mut greeted);
        assert_eq!(early.len(), 2);
        for it in early {
            assert!(
                matches!(&it, Outcome::Retry { reason, .. } if reason.contains("no settings")),
                "{it:?}"
            );
        }
        assert!(greeted.get().is_err() && greeted.get_mut().is_err());
        greeted.set(Outcome::Accept);
        assert_eq!(outcomes(&mut greeted), [Outcome::Accept, Outcome::Accept]);
        assert_eq!(greeted.take(), Some(Outcome::Accept));
        assert!(greeted.get().is_err());
    }
}
