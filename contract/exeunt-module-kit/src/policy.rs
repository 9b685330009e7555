//! Policy modules: what their authors implement, and how they are served.

use std::io::{self, Read, Write};

use exeunt_module::{
    CallError, Event, Initialize, Outcome,
    policy::{Disposition, PolicyError, ROLE, Ruling, ServerPolicy, VerifyRequest},
    view::{E_FAIL, ViewError},
};

use crate::{CallBacks, EventMask, ExitModule, ManageExitModule, serve_on};

/// A module that decides about requests before anything is issued.
///
/// The kit calls from one thread, one method at a time: first [`initialize`](Self::initialize),
/// once, and last [`shutdown`](Self::shutdown), once. A panic in any method is caught and answered
/// as a failure of that call; nothing is issued then.
///
/// ```no_run
/// use exeunt_module_kit::{
///     Initialize, PolicyFailure, PolicyModule, ServerPolicy, Verdict, VerifyRequest, serve_policy,
/// };
///
/// struct OursAlone;
///
/// impl PolicyModule for OursAlone {
///     fn initialize(&mut self, _hello: &Initialize) -> Result<(), String> {
///         Ok(())
///     }
///     fn description(&self) -> String {
///         "issues to names of example.com".to_owned()
///     }
///     fn verify_request(
///         &mut self,
///         asked: &VerifyRequest,
///         server: &mut ServerPolicy,
///     ) -> Result<Verdict, PolicyFailure> {
///         let name = asked.event.request.string("CommonName").unwrap_or_default();
///         if !name.ends_with(".example.com") {
///             return Ok(Verdict::Deny(format!("{name} is not ours")));
///         }
///         server.enable_extension("2.5.29.17")?;
///         Ok(Verdict::Issue)
///     }
/// }
///
/// fn main() -> std::io::Result<()> {
///     serve_policy(OursAlone)
/// }
/// ```
pub trait PolicyModule {
    /// Takes the greeting and the settings.
    ///
    /// # Errors
    ///
    /// One line for the operator: what about the settings cannot be. A setting that the module
    /// does not know is an error as well, because it is a typing mistake of somebody.
    fn initialize(&mut self, hello: &Initialize) -> Result<(), String>;

    /// What the module is, in one line.
    fn description(&self) -> String;

    /// Decides about a request. What can be read stands in `asked`, and with what was set so far in
    /// `server`. The same request may be asked about again.
    ///
    /// # Errors
    ///
    /// [`PolicyFailure`]: it could not be decided. The CA pends or fails the request, as it is
    /// configured, and issues nothing.
    fn verify_request(
        &mut self,
        asked: &VerifyRequest,
        server: &mut ServerPolicy,
    ) -> Result<Verdict, PolicyFailure>;

    /// As [`ExitModule::use_call_backs`].
    fn use_call_backs(&mut self, _call_backs: &CallBacks) -> bool {
        false
    }

    /// As [`ExitModule::managed`].
    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        None
    }

    /// Last call: the host says farewell, or has gone.
    fn shutdown(&mut self) {}
}

/// What a policy module decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Issue, with what was set.
    Issue,
    /// Keep it for an officer; one line for the requester.
    Pend(String),
    /// Refuse; one line for the requester.
    Deny(String),
    /// Refuse with a status of the module's own.
    DenyWith {
        /// A failing HRESULT: with the top bit. Another counts as `E_FAIL`.
        hresult: u32,
        /// One line for the requester.
        message: String,
    },
}

impl Verdict {
    pub(crate) fn into_ruling(self, server: ServerPolicy) -> Ruling {
        let (disposition, message) = match self {
            Self::Issue => (Disposition::Issue, None),
            Self::Pend(message) => (Disposition::Pend, Some(message)),
            Self::Deny(message) => (Disposition::Deny, Some(message)),
            Self::DenyWith { hresult, message } => {
                let hresult = if hresult >> 31 == 1 { hresult } else { E_FAIL };
                (Disposition::DenyWith(hresult), Some(message))
            }
        };
        server.into_ruling(disposition, message)
    }
}

/// Why a policy module could not decide.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PolicyFailure {
    /// A failing HRESULT for the request's status.
    pub hresult: u32,
    /// One line for the operator.
    pub message: String,
}

impl PolicyFailure {
    /// A failure with a status.
    #[must_use]
    pub fn new(hresult: u32, message: impl Into<String>) -> Self {
        Self { hresult, message: message.into() }
    }
}

impl From<String> for PolicyFailure {
    fn from(message: String) -> Self {
        Self { hresult: E_FAIL, message }
    }
}

impl From<PolicyError> for PolicyFailure {
    fn from(err: PolicyError) -> Self {
        Self { hresult: err.hresult(), message: err.to_string() }
    }
}

impl From<ViewError> for PolicyFailure {
    fn from(err: ViewError) -> Self {
        Self { hresult: err.hresult(), message: err.to_string() }
    }
}

impl From<PolicyFailure> for CallError {
    fn from(failure: PolicyFailure) -> Self {
        let data = serde_json::json!({ "hresult": failure.hresult });
        Self { code: Self::INTERNAL, message: failure.message, data: Some(data) }
    }
}

/// Runs a policy module on standard input and output until the host says farewell or closes the
/// input.
///
/// # Errors
///
/// As [`serve`](crate::serve()).
pub fn serve_policy<M: PolicyModule>(module: M) -> io::Result<()> {
    serve_policy_on(io::stdin(), io::stdout(), module)
}

/// Runs a policy module on any pair of streams; see [`serve_on`].
///
/// # Errors
///
/// As [`serve_on`].
pub fn serve_policy_on<R, W, M>(reader: R, writer: W, module: M) -> io::Result<()>
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
    M: PolicyModule,
{
    serve_on(reader, writer, PolicyAlone(module))
}

/// A policy module that is no exit module.
struct PolicyAlone<M>(M);

impl<M: PolicyModule> ExitModule for PolicyAlone<M> {
    fn initialize(&mut self, hello: &Initialize) -> Result<EventMask, String> {
        if hello.role.as_deref() != Some(ROLE) {
            return Err("this is a policy module, and not an exit module".to_owned());
        }
        self.0.initialize(hello).map(|()| EventMask(0))
    }

    fn description(&self) -> String {
        self.0.description()
    }

    fn notify(&mut self, _event: &Event) -> Outcome {
        Outcome::Skip
    }

    fn use_call_backs(&mut self, call_backs: &CallBacks) -> bool {
        self.0.use_call_backs(call_backs)
    }

    fn managed(&mut self) -> Option<&mut dyn ManageExitModule> {
        self.0.managed()
    }

    fn policy(&mut self) -> Option<&mut dyn PolicyModule> {
        Some(&mut self.0)
    }

    fn shutdown(&mut self) {
        self.0.shutdown();
    }
}
