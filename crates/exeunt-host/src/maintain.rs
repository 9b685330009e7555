//! Looking after a module's target: tried, prepared, compared with the CA, in a process of its own
//! that is greeted with the role `maintain` and told of no event.
//!
//! What such a module answers is cut to size here: what comes out is short, printable and counted.

use std::time::{Duration, Instant};

use exeunt_module::{
    Call, CallError, Initialize, Request, Response,
    line::{self, LineError},
    maintain::{Check, Compared, Finding, InstallReport, NO_TARGET, ROLE, TestReport},
};

use crate::{
    CallBacks, Fault, HostLimits, ModuleCommand, ModuleProcess, StartError, TEXT_CHARS_MAX,
    call_backs::Asking,
    error::{excerpt, one_line, printable},
    process::{Broken, Message, Wait},
};

/// How long one call may take unless the operator says otherwise. A batch of 256 events is compared
/// in it even where each needs two seconds at the target.
pub const MAINTAIN_LIMIT: Duration = Duration::from_mins(10);

/// Most checks, steps and things that would be written in one answer.
pub const CHECKS_MAX: usize = 1000;

/// Most findings in one answer: ten for each event of the largest batch, and then some.
pub const FINDINGS_MAX: usize = 4096;

/// Longest text to be applied by hand, in octets. A schema of a directory has a tenth of it.
pub const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// How often a call looks whether it has been given up.
const CANCEL_POLL: Duration = Duration::from_millis(200);

/// Why a module did not look after its target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaintainError {
    /// The module does not know the role, or this call of it.
    #[error("the module does not look after its target")]
    NotMaintained,
    /// Its process did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It answered that it could not. It goes on.
    #[error("the module could not do it: {message}")]
    Failed {
        /// Code of the answer.
        code: i64,
        /// Its words, in one line.
        message: String,
    },
    /// Its answer has another shape or is too large, or the call does not fit a line. It goes on.
    #[error("the answer is not understood: {reason}")]
    Nonsense {
        /// What is wrong with it.
        reason: String,
    },
    /// Whoever asked has given it up. The process is dead and reaped.
    #[error("it was cancelled")]
    Cancelled,
    /// Its process is no more: it ended, was too late, or spoke something else.
    #[error("{0}")]
    Ended(Fault),
}

impl MaintainError {
    /// Stable code. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotMaintained => "maintain-unknown",
            Self::Start(err) => err.code(),
            Self::Failed { .. } => "maintain-failed",
            Self::Nonsense { .. } => "maintain-nonsense",
            Self::Cancelled => "maintain-cancelled",
            Self::Ended(fault) => fault.code(),
        }
    }
}

/// How a call goes on.
#[derive(Clone, Copy)]
pub struct MaintainCall<'a> {
    /// How long it may take.
    pub limit: Duration,
    /// Who answers what the module asks meanwhile, about the CA and about the events of the call.
    pub call_backs: &'a dyn CallBacks,
    /// Whether it was given up; asked again and again.
    pub is_cancelled: &'a dyn Fn() -> bool,
}

impl std::fmt::Debug for MaintainCall<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("MaintainCall").field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl ModuleProcess {
    /// Starts a process that looks after the module's target: as [`Self::start_with`], with the role
    /// put into the greeting.
    ///
    /// # Errors
    ///
    /// [`MaintainError::NotMaintained`] or [`MaintainError::Start`]. Whatever was started is dead and
    /// reaped.
    pub fn start_to_maintain(
        command: &ModuleCommand,
        limits: &HostLimits,
        hello: &Initialize,
        call_backs: &dyn CallBacks,
    ) -> Result<Self, MaintainError> {
        let hello = Initialize { role: Some(ROLE.to_owned()), ..hello.clone() };
        match Self::start_with(command, limits, &hello, call_backs) {
            Err(StartError::Refused { message }) if message == NO_TARGET => {
                Err(MaintainError::NotMaintained)
            }
            started => Ok(started?),
        }
    }

    /// `Test`: at most [`CHECKS_MAX`] checks, and as many things that would be written.
    ///
    /// # Errors
    ///
    /// [`MaintainError`]. After [`MaintainError::Ended`] and [`MaintainError::Cancelled`] the process
    /// is dead and reaped.
    pub fn test_target(
        &mut self,
        samples: Vec<exeunt_module::Event>,
        how: &MaintainCall<'_>,
    ) -> Result<TestReport, MaintainError> {
        let seqs: Vec<u64> = samples.iter().map(|it| it.seq).collect();
        let call = Call::Test(Box::new(exeunt_module::maintain::Test { samples }));
        let TestReport { checks, would_write } =
            self.maintain(call, &seqs, how, serde_json::from_value)?;
        few(would_write.len(), CHECKS_MAX, "things that would be written")?;
        let would_write = would_write.iter().map(|it| short(it)).collect();
        Ok(TestReport { checks: self.shown(checks)?, would_write })
    }

    /// `Install`: at most [`CHECKS_MAX`] steps, and a script of [`SCRIPT_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// As [`Self::test_target`].
    pub fn install_target(
        &mut self,
        apply: bool,
        how: &MaintainCall<'_>,
    ) -> Result<InstallReport, MaintainError> {
        let call = Call::Install(exeunt_module::maintain::Install { apply });
        let InstallReport { steps, script } =
            self.maintain(call, &[], how, serde_json::from_value)?;
        if let Some(script) = &script {
            few(script.len(), SCRIPT_BYTES_MAX, "octets of a script")?;
        }
        // It is shown on a terminal, and its lines have a meaning.
        let shown = |it: char| if it == '\n' { it } else { printable(it) };
        let script = script.map(|it| it.replace("\r\n", "\n").chars().map(shown).collect());
        Ok(InstallReport { steps: self.shown(steps)?, script })
    }

    /// Checks as they are shown, with the module's rules where these may have refused it something.
    fn shown(&self, checks: Vec<Check>) -> Result<Vec<Check>, MaintainError> {
        let explained = |it: Check| Check { text: self.explain(it.text), ..it };
        Ok(short_checks(checks)?.into_iter().map(explained).collect())
    }

    /// `Reconcile`: at most [`FINDINGS_MAX`] findings. The events have numbers of their own, by which
    /// the module asks about them.
    ///
    /// # Errors
    ///
    /// As [`Self::test_target`].
    pub fn reconcile_target(
        &mut self,
        events: Vec<exeunt_module::Event>,
        mend: bool,
        how: &MaintainCall<'_>,
    ) -> Result<Compared, MaintainError> {
        let seqs: Vec<u64> = events.iter().map(|it| it.seq).collect();
        let reconcile = exeunt_module::maintain::Reconcile { events, mend };
        let call = Call::Reconcile(Box::new(reconcile));
        short_findings(self.maintain(call, &seqs, how, serde_json::from_value)?)
    }

    /// `ReconcileEnd`: at most [`FINDINGS_MAX`] findings.
    ///
    /// # Errors
    ///
    /// As [`Self::test_target`].
    pub fn end_reconcile(
        &mut self,
        mend: bool,
        how: &MaintainCall<'_>,
    ) -> Result<Compared, MaintainError> {
        let call = Call::ReconcileEnd(exeunt_module::maintain::ReconcileEnd { mend });
        short_findings(self.maintain(call, &[], how, serde_json::from_value)?)
    }

    /// One call, and its answer. `seqs` are the numbers of its events.
    fn maintain<T>(
        &mut self,
        call: Call,
        seqs: &[u64],
        how: &MaintainCall<'_>,
        read: fn(serde_json::Value) -> serde_json::Result<T>,
    ) -> Result<T, MaintainError> {
        if let Some(fault) = self.fault() {
            return Err(MaintainError::Ended(fault));
        }
        let id = self.take_ids(1);
        let (bytes_max, outgoing) = (self.line_bytes_max(), self.pipes().outgoing());
        let start = outgoing.len();
        let written = line::write_request(outgoing, &Request { id, call });
        let bytes = outgoing.len() - start;
        if written.is_err() || bytes_max < bytes {
            outgoing.truncate(start);
            let bytes = match written {
                Err(LineError::TooLong { bytes }) => bytes,
                _ => bytes,
            };
            return Err(nonsense(&format!("the call makes a line of {bytes} octets")));
        }
        let answered = self.await_answer(id, seqs, how);
        self.tell_ignored();
        match answered {
            Ok(response) => understood(response, read),
            Err(None) => {
                let _ = self.end_late(Broken::Deadline, how.limit);
                Err(MaintainError::Cancelled)
            }
            Err(Some(broken)) => Err(MaintainError::Ended(self.end_late(broken, how.limit))),
        }
    }

    /// Waits for the answer to that call. `Err(None)`: it was given up.
    fn await_answer(
        &mut self,
        id: u64,
        seqs: &[u64],
        how: &MaintainCall<'_>,
    ) -> Result<Response, Option<Broken>> {
        let mut asking = Asking::about_events(how.call_backs, self.pipes());
        let until = Instant::now() + how.limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut wait = Wait::of(left.min(CANCEL_POLL));
            let message = match self.next_message(&mut wait, Some(&mut asking)) {
                Ok(message) => message,
                Err(Broken::Deadline) if (how.is_cancelled)() => return Err(None),
                Err(Broken::Deadline) if Instant::now() < until => continue,
                Err(broken) => return Err(Some(broken)),
            };
            match message {
                Message::CallBack(_) if (how.is_cancelled)() => return Err(None),
                Message::CallBack(line) => {
                    // Whoever asks without end is as late as whoever says nothing.
                    if until <= Instant::now() {
                        return Err(Some(Broken::Deadline));
                    }
                    self.answer(&line, &mut asking, |seq| seqs.contains(&seq));
                }
                // Without an id: it could not read our line, and there is only this one.
                Message::Answer(response) if response.id.is_none_or(|it| it == id) => {
                    return Ok(response);
                }
                Message::Malformed { id: Some(answered), excerpt } if answered == id => {
                    let answer = Err(CallError::new(CallError::INVALID_RESULT, excerpt));
                    return Ok(Response { id: Some(id), answer });
                }
                // Answered before, or never asked.
                Message::Answer(_) | Message::Malformed { .. } => self.pass_over(),
            }
        }
    }
}

/// What an answer says.
fn understood<T>(
    response: Response,
    read: fn(serde_json::Value) -> serde_json::Result<T>,
) -> Result<T, MaintainError> {
    match response.answer {
        Ok(result) => read(result).map_err(|err| nonsense(&err.to_string())),
        Err(CallError { code: CallError::METHOD_NOT_FOUND, .. }) => {
            Err(MaintainError::NotMaintained)
        }
        Err(CallError { code: CallError::INVALID_RESULT, message, .. }) => Err(nonsense(&message)),
        Err(CallError { code, message, .. }) => {
            Err(MaintainError::Failed { code, message: short(&message) })
        }
    }
}

fn nonsense(reason: &str) -> MaintainError {
    MaintainError::Nonsense { reason: excerpt(reason.as_bytes()) }
}

fn short(text: &str) -> String {
    one_line(text.trim(), TEXT_CHARS_MAX)
}

fn few(count: usize, count_max: usize, what: &str) -> Result<(), MaintainError> {
    if count_max < count {
        return Err(nonsense(&format!("{count} {what} are more than {count_max}")));
    }
    Ok(())
}

fn short_checks(checks: Vec<Check>) -> Result<Vec<Check>, MaintainError> {
    few(checks.len(), CHECKS_MAX, "checks")?;
    let shortened =
        |Check { what, result, text }| Check { what: short(&what), result, text: short(&text) };
    Ok(checks.into_iter().map(shortened).collect())
}

fn short_findings(compared: Compared) -> Result<Compared, MaintainError> {
    let Compared { good, findings, more } = compared;
    few(findings.len(), FINDINGS_MAX, "findings")?;
    let shortened = |Finding { difference, place, text, mended, error }| Finding {
        difference,
        place: short(&place),
        text: short(&text),
        mended,
        error: error.map(|it| short(&it)),
    };
    Ok(Compared { good, findings: findings.into_iter().map(shortened).collect(), more })
}
