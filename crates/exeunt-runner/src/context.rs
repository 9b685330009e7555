//! What objects of the library may read right now: the CA always, an event while its Notify runs, a
//! request while its `VerifyRequest` does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use exeunt_com::abi::LONG;
use exeunt_module::{
    Event, Properties, Value,
    call_back::{Asked, Found, Query},
    policy::ServerPolicy,
    view::{Fetch, ViewError},
};
use exeunt_module_kit::{CallBackError, CallBacks};

/// What the runner's thread and the threads of the library share.
#[derive(Default)]
pub(crate) struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// Handle of the last call; 0 before the first.
    last: LONG,
    /// What the call that runs now is about.
    running: Option<Subject>,
    /// What the runner itself answers: the settings, and where the original would keep them.
    own: Arc<Properties>,
    /// The CA's properties as the newest event told them, and our own.
    system: Arc<Properties>,
    /// Those of that event alone.
    of_event: Arc<Properties>,
    call_backs: Option<CallBacks>,
    is_policy: bool,
}

/// What a call is about.
enum Subject {
    /// An event, which never changes.
    Event(Arc<Event>),
    /// A request, which a policy module may shape.
    Request(ServerPolicy),
}

/// A call that runs. Dropping it ends its context.
pub(crate) struct Running<'a> {
    shared: &'a Shared,
    /// What the module gets as its context.
    pub(crate) handle: LONG,
}

impl Shared {
    /// Makes an event readable. Its handle is one that no earlier call had, as long as there were
    /// fewer than 2^31 of them.
    pub(crate) fn enter(&self, event: &Event) -> Running<'_> {
        self.run(event, Subject::Event(Arc::new(event.clone())))
    }

    /// Makes a request readable, and what may be set of it writable. The handle is as with
    /// [`enter`](Self::enter).
    pub(crate) fn enter_request(&self, event: &Event, policy: ServerPolicy) -> Running<'_> {
        self.run(event, Subject::Request(policy))
    }

    fn run(&self, event: &Event, subject: Subject) -> Running<'_> {
        let mut state = self.state();
        state.last = state.last.checked_add(1).unwrap_or(1);
        if !Arc::ptr_eq(&state.of_event, &event.system) && state.of_event != event.system {
            state.of_event = Arc::clone(&event.system);
            state.system = Arc::new(merged(&state.own, &event.system));
        }
        state.running = Some(subject);
        Running { shared: self, handle: state.last }
    }

    /// The event behind a handle, or the request as it is by now; `None` where its call does not run.
    pub(crate) fn event(&self, handle: LONG) -> Option<Arc<Event>> {
        let state = self.state();
        Some(match state.running.as_ref().filter(|_| state.last == handle)? {
            Subject::Event(event) => Arc::clone(event),
            Subject::Request(policy) => Arc::clone(policy.event()),
        })
    }

    /// Changes the request behind a handle; `None` where its `VerifyRequest` does not run.
    pub(crate) fn change<T>(
        &self,
        handle: LONG,
        change: impl FnOnce(&mut ServerPolicy) -> T,
    ) -> Option<T> {
        let mut state = self.state();
        let is_running = state.last == handle;
        match state.running.as_mut().filter(|_| is_running)? {
            Subject::Event(_) => None,
            Subject::Request(policy) => Some(change(policy)),
        }
    }

    /// What an object says whose context has ended.
    pub(crate) fn ended(&self) -> &'static str {
        if self.state().is_policy {
            "a context whose VerifyRequest has ended"
        } else {
            "a context whose Notify has ended"
        }
    }

    /// The library holds a policy module.
    pub(crate) fn set_policy(&self) {
        self.state().is_policy = true;
    }

    /// Sets what the runner itself answers.
    pub(crate) fn set_own(&self, own: Properties) {
        let mut state = self.state();
        state.system = Arc::new(merged(&own, &state.of_event));
        state.own = Arc::new(own);
    }

    pub(crate) fn set_call_backs(&self, call_backs: CallBacks) {
        self.state().call_backs = Some(call_backs);
    }

    /// A property that the runner answers by itself.
    pub(crate) fn own(&self) -> Arc<Properties> {
        Arc::clone(&self.state().own)
    }

    /// The CA's properties as far as they are known without asking.
    pub(crate) fn system(&self) -> Arc<Properties> {
        Arc::clone(&self.state().system)
    }

    /// A property of the CA from the host itself; `None` where it cannot be asked.
    pub(crate) fn ask_system(
        &self,
        name: &str,
        value_type: Option<&str>,
    ) -> Option<Result<Value, ViewError>> {
        let call_backs = self.state().call_backs.clone()?;
        let asked =
            Asked { seq: 0, name: name.to_owned(), value_type: value_type.map(str::to_owned) };
        Some(match ask(&call_backs, Query::GetCertificateProperty(asked)) {
            Ok(Found::Value(value)) => Ok(value),
            Ok(Found::Extension(_)) => Err(ViewError::Fetch {
                name: name.to_owned(),
                source: "the host answered with an extension".into(),
            }),
            Err(err) => Err(err),
        })
    }

    /// A way to fetch what events do not carry; `None` where the host cannot be asked.
    pub(crate) fn fetch(&self) -> Option<Arc<Fetch>> {
        let call_backs = self.state().call_backs.clone()?;
        Some(Arc::new(move |query: &Query| ask(&call_backs, query.clone())))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running<'_> {
    /// Ends the context, and gives the request with all that was set; `None` for an event.
    pub(crate) fn into_policy(self) -> Option<ServerPolicy> {
        match self.shared.state().running.take()? {
            Subject::Event(_) => None,
            Subject::Request(policy) => Some(policy),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.shared.state().running = None;
    }
}

fn ask(call_backs: &CallBacks, query: Query) -> Result<Found, ViewError> {
    let name = query.asked().name.clone();
    call_backs.ask(query).map_err(|err| match err {
        CallBackError::Refuse { refusal, .. } => ViewError::from_refusal(refusal, &name),
        other => ViewError::Fetch { name, source: other.into() },
    })
}

fn merged(own: &Properties, system: &Properties) -> Properties {
    let all = own.iter().chain(system.iter());
    all.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Event {
        let name = Value::String(format!("CA {seq}"));
        let system = Arc::new(Properties::from_iter([("SanitizedCAName", name)]));
        Event { seq, system, ..Event::default() }
    }

    #[test]
    fn a_handle_is_good_while_its_notify_runs_and_never_again() {
        let shared = Shared::default();
        let first = shared.enter(&event(1));
        let handle = first.handle;
        assert_eq!(shared.event(handle).unwrap().seq, 1);
        assert!(shared.event(0).is_none());
        assert!(shared.event(handle + 1).is_none());
        drop(first);
        assert!(shared.event(handle).is_none());
        let second = shared.enter(&event(2));
        assert!(shared.event(handle).is_none());
        assert_eq!(shared.event(second.handle).unwrap().seq, 2);
    }

    #[test]
    fn after_the_last_handle_comes_the_first() {
        let shared = Shared::default();
        shared.state().last = LONG::MAX;
        assert_eq!(shared.enter(&event(1)).handle, 1);
    }

    #[test]
    fn our_own_properties_stand_beside_those_of_the_newest_event() {
        let shared = Shared::default();
        let own = Properties::from_iter([("Setting.a", Value::Long(1))]);
        shared.set_own(own);
        for seq in [1, 2] {
            drop(shared.enter(&event(seq)));
            let system = shared.system();
            assert_eq!(system.string("SanitizedCAName"), Ok(format!("CA {seq}").as_str()));
            assert_eq!(system.long("Setting.a"), Ok(1));
        }
    }
}
