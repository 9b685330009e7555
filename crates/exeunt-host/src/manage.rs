//! Managing a module: what its settings are and whether some would do, asked in a process of its
//! own that is never greeted.

use exeunt_module::{
    Call, CallError, Value,
    manage::{Configure, GetProperty, ManageModule, SetProperty, SettingInfo},
};

use crate::{
    HostLimits, ModuleCommand, ModuleProcess, NoCallBacks, StartError, TEXT_CHARS_MAX,
    error::{excerpt, one_line},
    process::Wait,
};

/// What to ask.
#[derive(Clone, Debug, PartialEq)]
pub enum ManageCall {
    /// Which settings the module knows.
    GetManageModule,
    /// A fact about the module, by the original's names.
    GetProperty(GetProperty),
    /// Whether one setting would do.
    SetProperty(SetProperty),
    /// Whether a whole set would do.
    Configure(Configure),
}

/// What the module says.
#[derive(Clone, Debug, PartialEq)]
pub enum ManageAnswer {
    /// To [`ManageCall::GetManageModule`].
    Settings(Vec<SettingInfo>),
    /// To [`ManageCall::GetProperty`]; `None` where it has no such fact.
    Property(Option<Value>),
    /// To [`ManageCall::SetProperty`] and [`ManageCall::Configure`]: it would do.
    Fits,
    /// It would not do, or the module could not say: its own words, one line.
    Refuses(String),
    /// The module has no such method: it does not manage itself, or not in this.
    NotManaged,
}

/// Starts a process, asks one after the other, and tells it to end. `module` names it in the log.
///
/// Each call has [`HostLimits::hello`], and the end [`HostLimits::shutdown`]. Gives one answer for
/// each call.
///
/// # Errors
///
/// See [`StartError`]: the process did not start, ended, or talked nonsense. A module of before
/// these methods may do that as well. Whatever was started is dead and reaped.
pub fn manage(
    command: &ModuleCommand,
    limits: &HostLimits,
    module: &str,
    calls: &[ManageCall],
) -> Result<Vec<ManageAnswer>, StartError> {
    let mut process = ModuleProcess::launch(command, limits, module)?;
    let answers = calls.iter().map(|it| ask(&mut process, limits, it)).collect::<Result<_, _>>()?;
    process.stop();
    Ok(answers)
}

fn ask(
    process: &mut ModuleProcess,
    limits: &HostLimits,
    call: &ManageCall,
) -> Result<ManageAnswer, StartError> {
    let mut wait = Wait::of(limits.hello);
    let request = match call.clone() {
        ManageCall::GetManageModule => Call::GetManageModule,
        ManageCall::GetProperty(params) => Call::GetProperty(params),
        ManageCall::SetProperty(params) => Call::SetProperty(params),
        ManageCall::Configure(params) => Call::Configure(params),
    };
    let result = match process.ask(request, &mut wait, &NoCallBacks)?.answer {
        Ok(result) => result,
        Err(err) if err.code == CallError::METHOD_NOT_FOUND => return Ok(ManageAnswer::NotManaged),
        Err(err) => return Ok(ManageAnswer::Refuses(one_line(&err.message, TEXT_CHARS_MAX))),
    };
    let shown = excerpt(result.to_string().as_bytes());
    let answer = match call {
        ManageCall::GetManageModule => serde_json::from_value::<ManageModule>(result)
            .map(|it| ManageAnswer::Settings(it.settings)),
        ManageCall::GetProperty(_) => serde_json::from_value(result).map(ManageAnswer::Property),
        // What else it may say besides yes is of no meaning.
        ManageCall::SetProperty(_) | ManageCall::Configure(_) => Ok(ManageAnswer::Fits),
    };
    answer.map_err(|_| StartError::HelloGarbage { excerpt: shown })
}
