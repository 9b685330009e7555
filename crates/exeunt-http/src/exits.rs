//! The seam to whoever manages the exit modules: what the edge asks, and how it is refused.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use exeunt_api::{
    Deliveries, ExitChanged, ExitDetail, ExitList, ExitRemoved, ExitSettings, Explanation,
    KnownSettings, MaintenanceOrder, MaintenanceRun, NewExit, PolicyOrder, PolicySettings,
    PolicyStatus, Reloaded, ReplayOrder, ShelfOrder,
};
use exeunt_types::EventSeq;

/// Whoever manages the exit modules. The edge asks it in the API's own words and knows neither the
/// dispatcher nor the configuration.
///
/// Every call may block for as long as a module takes to answer, and is made on a thread that may.
/// `name` is what stood in the path, unchecked; `actor` is who came in.
pub trait Exits: Send + Sync {
    /// How every module stands, in the order of the configuration.
    ///
    /// # Errors
    ///
    /// [`Refusal`], as for all of these.
    fn list(&self) -> Result<ExitList, Refusal>;

    /// How one module stands, with its shelf, oldest event first.
    fn show(&self, name: &str, held: WhichHeld) -> Result<ExitDetail, Refusal>;

    /// What a module is set to.
    fn settings(&self, name: &str) -> Result<ExitSettings, Refusal>;

    /// What a module says of its settings.
    fn known_settings(&self, name: &str) -> Result<KnownSettings, Refusal>;

    /// Deliveries after a number; without one, only where the next one will be. Never waits.
    fn deliveries(&self, name: &str, after: Option<u64>) -> Result<Deliveries, Refusal>;

    /// Why a module is told of a request, or is not.
    fn explain(&self, name: &str, request: u64) -> Result<Explanation, Refusal>;

    /// The active policy, and how its module does.
    fn policy(&self) -> Result<PolicyStatus, Refusal> {
        Err(Refusal::no_policy())
    }

    /// What the policy module is set to.
    fn policy_settings(&self) -> Result<PolicySettings, Refusal> {
        Err(Refusal::no_policy())
    }

    /// Changes the policy module, and says how it does then.
    fn change_policy(&self, _actor: &str, _order: &PolicyOrder) -> Result<PolicyStatus, Refusal> {
        Err(Refusal::no_policy())
    }

    /// Begins to look after a module's target, and does not wait for it.
    fn maintain(
        &self,
        _actor: &str,
        _name: &str,
        _order: MaintenanceOrder,
    ) -> Result<MaintenanceRun, Refusal> {
        NoExits::refusal()
    }

    /// The newest maintenance of a module, with the findings after a place.
    fn maintenance(&self, _name: &str, _after: u64) -> Result<MaintenanceRun, Refusal> {
        NoExits::refusal()
    }

    /// Ends the maintenance of a module that is under way, and waits for its end, but not for long.
    fn end_maintenance(&self, _actor: &str, _name: &str) -> Result<MaintenanceRun, Refusal> {
        NoExits::refusal()
    }

    /// Does something to a module.
    fn change(&self, actor: &str, change: Change) -> Result<Changed, Refusal>;
}

/// Which rows of a shelf are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichHeld {
    /// All of them.
    All,
    /// Those that wait for an operator.
    Parked,
}

/// What can be done to a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds one that is not there.
    Add(NewExit),
    /// Takes one out of the configuration, and drops its place and its shelf if told so.
    Remove {
        /// The module.
        name: String,
        /// Whether place and shelf go as well.
        drop_backlog: bool,
    },
    /// Switches one on or off. Its backlog waits.
    Switch {
        /// The module.
        name: String,
        /// Whether it is on.
        on: bool,
    },
    /// Replaces all settings of one.
    Set {
        /// The module.
        name: String,
        /// The settings.
        settings: ExitSettings,
    },
    /// Tells held events at once.
    Retry {
        /// The module.
        name: String,
        /// Which.
        order: ShelfOrder,
    },
    /// Gives parked events up.
    Drop {
        /// The module.
        name: String,
        /// Which.
        order: ShelfOrder,
    },
    /// Tells old events again, or ends that.
    Replay {
        /// The module.
        name: String,
        /// Which.
        order: ReplayOrder,
    },
    /// Reads the configuration again.
    Reload,
}

/// What came of a [`Change`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A module is there that was not.
    Added(ExitChanged),
    /// A module is gone.
    Removed(Box<ExitRemoved>),
    /// Anything else about one module.
    Done(ExitChanged),
    /// The configuration was read.
    Reloaded(Reloaded),
}

/// Why a question or a change was refused, ready for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of no it is.
    pub kind: RefusalKind,
    /// Stable code.
    pub code: &'static str,
    /// One clause for people.
    pub detail: String,
    /// What to do about it.
    pub hint: String,
}

impl Refusal {
    /// There is no policy module.
    #[must_use]
    pub fn no_policy() -> Self {
        Self {
            kind: RefusalKind::Missing,
            code: "policy-no-module",
            detail: "there is no policy module; the templates decide".to_owned(),
            hint: "name one: exeunt policy set --command 'PROGRAM …'".to_owned(),
        }
    }
}

/// What kind of no a [`Refusal`] is. The HTTP status follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// There is no such thing: 404.
    Missing,
    /// It does not go together with what is there: 409.
    Conflict,
    /// It can never be: 400.
    Invalid,
    /// It could not be done at the moment: 503.
    Unable,
}

/// Makes answers wait until the modules that asked for it have been told.
#[derive(Clone)]
pub struct BeforeReply {
    /// Whether every event up to this one has been told to them. Asked again and again; never waits.
    pub told: Arc<dyn Fn(EventSeq) -> bool + Send + Sync>,
    /// Longest that an answer waits.
    pub limit: Duration,
}

impl fmt::Debug for BeforeReply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BeforeReply").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// For a server without exit modules: an empty list, and nothing that can be done.
#[derive(Clone, Copy, Debug)]
pub struct NoExits;

impl NoExits {
    fn refusal<T>() -> Result<T, Refusal> {
        Err(Refusal {
            kind: RefusalKind::Missing,
            code: "exit-not-found",
            detail: "this server has no exit modules".to_owned(),
            hint: "see what there is: exeunt exit list".to_owned(),
        })
    }
}

impl Exits for NoExits {
    fn list(&self) -> Result<ExitList, Refusal> {
        Ok(ExitList { exits: Vec::new() })
    }

    fn show(&self, _: &str, _: WhichHeld) -> Result<ExitDetail, Refusal> {
        Self::refusal()
    }

    fn settings(&self, _: &str) -> Result<ExitSettings, Refusal> {
        Self::refusal()
    }

    fn known_settings(&self, _: &str) -> Result<KnownSettings, Refusal> {
        Self::refusal()
    }

    fn deliveries(&self, _: &str, _: Option<u64>) -> Result<Deliveries, Refusal> {
        Self::refusal()
    }

    fn explain(&self, _: &str, _: u64) -> Result<Explanation, Refusal> {
        Self::refusal()
    }

    fn change(&self, _: &str, _: Change) -> Result<Changed, Refusal> {
        Self::refusal()
    }
}
