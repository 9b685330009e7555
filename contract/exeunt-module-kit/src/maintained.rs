//! The part of a module that looks after its target.

use exeunt_module::{
    Event, Initialize,
    maintain::{Compared, InstallReport, TestReport},
};

/// What a module does for its target beside publishing: tries it, prepares it, compares it with the
/// CA.
///
/// It runs in a process of its own. The module's other process, which is told of events, may be
/// running; where something is to be mended, it is not.
pub trait MaintainExitModule {
    /// Takes the greeting and the settings. Nothing may be changed, neither in the target nor among
    /// what the module's other process works on.
    ///
    /// # Errors
    ///
    /// One line for the operator: what about the settings cannot be.
    fn begin(&mut self, hello: &Initialize) -> Result<(), String>;

    /// Connects, authenticates, looks at rights and schema, and says what would be written for the
    /// samples. Writes nothing.
    ///
    /// # Errors
    ///
    /// One line for the operator. What failed about the target is a check of the report.
    fn test(&mut self, samples: &[Event]) -> Result<TestReport, String>;

    /// Makes what has to be in the target before the first event, or says what that is.
    ///
    /// # Errors
    ///
    /// One line for the operator: why nothing was done.
    fn install(&mut self, _apply: bool) -> Result<InstallReport, String> {
        Err("this module has nothing to install".to_owned())
    }

    /// Compares the target with what the CA holds, and mends what differs where it is told to.
    ///
    /// # Errors
    ///
    /// One line for the operator: why nothing can be compared, for example because the target cannot
    /// be reached. What cannot be compared about one event is a finding.
    fn reconcile(&mut self, _events: &[Event], _mend: bool) -> Result<Compared, String> {
        Err("what this module has sent cannot be compared with anything".to_owned())
    }

    /// Names what is ours in the target and was not told of, and takes it out where it is told to.
    ///
    /// # Errors
    ///
    /// As [`MaintainExitModule::reconcile`].
    fn reconcile_end(&mut self, _mend: bool) -> Result<Compared, String> {
        Ok(Compared::default())
    }
}
