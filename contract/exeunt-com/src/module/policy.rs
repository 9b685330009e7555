//! What an author of a policy module in Rust implements.

use exeunt_module::manage::SettingInfo;

use super::ModuleError;
use crate::{
    Variant,
    abi::{E_NOTIMPL, FAILED, HRESULT, LONG, VR_INSTANT_BAD, VR_INSTANT_OK, VR_PENDING},
    server_policy::ServerPolicy,
};

/// A policy module: decides on each request and shapes the certificate to be.
///
/// ```
/// use exeunt_com::{Decision, ModuleError, PolicyClass, ServerPolicy};
///
/// #[derive(Default)]
/// struct NoTest;
///
/// impl PolicyClass for NoTest {
///     fn initialize(&mut self, _ca: &str, _server: &ServerPolicy) -> Result<(), ModuleError> {
///         Ok(())
///     }
///     fn verify(&mut self, _is_new: bool, server: &ServerPolicy) -> Result<Decision, ModuleError> {
///         let name = server.request_string("CommonName")?.unwrap_or_default();
///         if name.ends_with(".test") {
///             return Ok(Decision::Refuse);
///         }
///         server.set_string("OrgUnit", Some("checked"))?;
///         Ok(Decision::Issue)
///     }
///     fn description(&self) -> String {
///         "refuses names that end in .test".to_owned()
///     }
/// }
///
/// exeunt_com::export_policy_module!(
///     NoTest,
///     progid = "Example.Policy",
///     clsid = "9d2f6a51-2b0c-4a66-8f0e-5e6d7c8b9a01"
/// );
/// ```
///
/// Calls come one at a time, whatever the host's threads do. A panic is caught and answered as
/// `E_UNEXPECTED`, with which the request fails; the module is used on afterwards.
pub trait PolicyClass: Default + Send + 'static {
    /// Takes the CA's name. `server` shows the CA itself and the module's settings.
    ///
    /// # Errors
    ///
    /// Why the module cannot work. It decides nothing then.
    fn initialize(&mut self, ca: &str, server: &ServerPolicy) -> Result<(), ModuleError>;

    /// Decides on one request. `is_new` is false for one that waited and is looked at again.
    ///
    /// # Errors
    ///
    /// Why it could not decide: the request fails.
    fn verify(&mut self, is_new: bool, server: &ServerPolicy) -> Result<Decision, ModuleError>;

    /// What the module is, in one line.
    fn description(&self) -> String;

    /// Last call.
    fn shut_down(&mut self) {}

    /// The settings that the module knows, for operators.
    #[must_use]
    fn settings() -> Vec<SettingInfo> {
        Vec::new()
    }

    /// Takes one setting, before `initialize`. A module that reads its settings with
    /// [`ServerExit::setting`](crate::ServerExit::setting) leaves this out.
    ///
    /// # Errors
    ///
    /// Why that cannot be.
    fn set(&mut self, _name: &str, _value: &Variant) -> Result<(), ModuleError> {
        Err(ModuleError::new(E_NOTIMPL, "the module reads its settings from the server"))
    }

    /// Checks all settings together. Nothing may be touched: another process may be at work.
    ///
    /// # Errors
    ///
    /// Why they cannot be.
    fn check(&self) -> Result<(), ModuleError> {
        Ok(())
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It waits for an officer.
    Pend,
    /// It is issued.
    Issue,
    /// It is refused.
    Refuse,
    /// It is refused with a status and words of the module's own. A status that is a success counts
    /// as `E_FAIL`.
    RefuseWith(ModuleError),
}

impl Decision {
    /// The original's disposition.
    pub(super) fn disposition(&self) -> LONG {
        match self {
            Self::Pend => VR_PENDING,
            Self::Issue => VR_INSTANT_OK,
            Self::Refuse => VR_INSTANT_BAD,
            Self::RefuseWith(status) => failing(status.hresult),
        }
    }
}

/// A failure as it is; a success, which would be another disposition, as `E_FAIL`.
fn failing(hresult: HRESULT) -> HRESULT {
    if FAILED(hresult) { hresult } else { crate::abi::E_FAIL }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{CERTSRV_E_ENROLL_DENIED, E_FAIL};

    #[test]
    fn a_decision_is_a_disposition_of_the_original() {
        let mut status = ModuleError::new(CERTSRV_E_ENROLL_DENIED, "not you");
        let with = Decision::RefuseWith(status.clone()).disposition();
        assert_eq!(with, CERTSRV_E_ENROLL_DENIED);
        // The field is public; a success there must not issue.
        status.hresult = VR_INSTANT_OK;
        assert_eq!(Decision::RefuseWith(status).disposition(), E_FAIL);
        let plain = [Decision::Pend, Decision::Issue, Decision::Refuse];
        assert_eq!(plain.map(|it| it.disposition()), [0, 1, 2]);
    }
}
