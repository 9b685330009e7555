//! Writes an Exeunt exit module or policy module in Rust.
//!
//! Implement [`ExitModule`], call [`serve()`] in `main`, and the process is a module: the kit reads
//! calls from standard input, hands events over in batches and writes the answers to standard
//! output. Nothing else may be written there; what goes to standard error becomes part of the
//! server's log.
//!
//! ```no_run
//! use exeunt_module_kit::{Event, EventMask, ExitModule, Initialize, Outcome, exit_event};
//!
//! struct Census(u64);
//!
//! impl ExitModule for Census {
//!     fn initialize(&mut self, _hello: &Initialize) -> Result<EventMask, String> {
//!         Ok(EventMask(exit_event::CERT_ISSUED))
//!     }
//!     fn description(&self) -> String {
//!         "counts certificates".to_owned()
//!     }
//!     fn notify(&mut self, event: &Event) -> Outcome {
//!         self.0 += 1;
//!         eprintln!("{} is certificate number {}", event.id, self.0);
//!         Outcome::Accept
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     exeunt_module_kit::serve(Census(0))
//! }
//! ```

mod call_back;
mod facts;
mod greeted;
mod maintained;
mod policy;
mod serve;
pub mod testing;

pub use call_back::{CALL_BACK_WITHIN, CallBackError, CallBacks};
pub use exeunt_module::{
    CallError, Event, Extension, Extensions, Initialize, Initialized, Outcome, PropType,
    Properties, PropertyError, Value,
    call_back::Refusal,
    exit_event, maintain, manage,
    policy::{DefaultRuling, Disposition, LogLevel, PolicyError, ServerPolicy, VerifyRequest},
};
pub use facts::Facts;
pub use greeted::{Greeted, notify_as_batch};
pub use maintained::MaintainExitModule;
pub use policy::{PolicyFailure, PolicyModule, Verdict, serve_policy, serve_policy_on};
pub use serve::{serve, serve_on};

/// The events that a module asks for: bits of [`exit_event`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMask(pub u32);

/// A module that is told what the CA did and changes none of it.
///
/// The kit calls from one thread, one method at a time: first [`initialize`](Self::initialize),
/// once, and last [`shutdown`](Self::shutdown), once.
///
/// A panic in any method is caught and answered as an error of that call; for an event that counts
/// as one failed attempt. The module is used on afterwards. One that cannot go on after a panic is
/// built with `panic = "abort"`: the host starts it again and delivers again.
pub trait ExitModule {
    /// Takes the greeting and the settings, and says which events the module wants.
    ///
    /// # Errors
    ///
    /// One line for the operator: what about the settings cannot be. A setting that the module
    /// does not know is an error as well, because it is a typing mistake of somebody.
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String>;

    /// What the module is, in one line.
    fn description(&self) -> String;

    /// Takes one event. It comes at least once, so a second time must do no harm.
    fn notify(&mut self, event: &Event) -> Outcome;

    /// Takes all events that are there, oldest first, at most as many as the agreed window, and
    /// answers each, in the same order. Worth implementing where the work of many costs little more
    /// than that of one. All of it has to be done within the deadline of one event.
    ///
    /// Where a batch panics, the kit delivers its events once more one by one, so that only the
    /// guilty one is answered as failed.
    fn notify_batch(&mut self, events: &[Event]) -> Vec<Outcome> {
        events.iter().map(|event| self.notify(event)).collect()
    }

    /// Most events of one batch, 1 and up. A module that works on one event after the other and gains
    /// nothing from batches says 1; then every outcome is answered before the next event begins.
    fn batch_max(&self) -> usize {
        usize::MAX
    }

    /// Takes what asks the host, and says whether the module uses it. Called just before
    /// [`initialize`](Self::initialize), and only where the host offers call-backs. A module that
    /// uses them finds no `RawRequest` in its events; it asks for it.
    fn use_call_backs(&mut self, _call_backs: &CallBacks) -> bool {
        false
    }

    /// The part of the module that knows its settings; `None` where it does not manage itself. It is
    /// used before [`initialize`](Self::initialize), in a process that is never greeted.
    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        None
    }

    /// The part of the module that looks after its target; `None` where it does not. It is used where
    /// the greeting has the role [`maintain::ROLE`], and then [`initialize`](Self::initialize) is not
    /// called.
    fn maintained(&mut self) -> Option<&mut dyn MaintainExitModule> {
        None
    }

    /// The part of the module that decides about requests; `None` where it is an exit module alone.
    /// It is used where the greeting has the role of a policy module. [`serve_policy`] is for those
    /// that are nothing else.
    fn policy(&mut self) -> Option<&mut dyn PolicyModule> {
        None
    }

    /// Last call: the host says farewell, or has gone.
    fn shutdown(&mut self) {}
}

/// What a module knows about its own settings: the original's `ICertManageModule`.
///
/// Nothing here may touch what another process of the same module works on, for one may be running.
pub trait ManageExitModule {
    /// Which settings the module knows.
    ///
    /// # Errors
    ///
    /// One line for the operator: why it cannot be told.
    fn manage_module(&mut self) -> Result<manage::ManageModule, String>;

    /// A fact about the module; `None` where it has none of that name. The original's names are
    /// `Name`, `Description`, `Copyright`, `File Version` and `Product Version`, in any case.
    ///
    /// # Errors
    ///
    /// One line for the operator: why it cannot be told.
    fn property(&mut self, _name: &str, _flags: u32) -> Result<Option<Value>, String> {
        Ok(None)
    }

    /// Looks at one setting alone.
    ///
    /// # Errors
    ///
    /// One line for the operator: why it cannot be.
    fn set_property(&mut self, _name: &str, _value: &serde_json::Value) -> Result<(), String> {
        Ok(())
    }

    /// Looks at all settings together; `flags` is [`manage::CMM_READONLY`].
    ///
    /// # Errors
    ///
    /// One line for the operator: what about the settings cannot be.
    fn configure(
        &mut self,
        settings: &serde_json::Map<String, serde_json::Value>,
        flags: u32,
    ) -> Result<(), String>;
}
