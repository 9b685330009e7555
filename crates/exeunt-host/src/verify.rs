//! Asking a policy module: one call, one ruling.

use std::time::Duration;

use exeunt_module::{
    CallError,
    line::{self, LineError},
    policy::{Ruling, VerifyRequest},
};

use crate::{
    CallBacks, Fault, ModuleProcess, TEXT_CHARS_MAX,
    call_backs::Asking,
    error::{excerpt, one_line},
    process::{Broken, Message, Wait},
};

/// Why a policy module gave no ruling.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It answered that it could not decide. It goes on.
    #[error("the module failed: {message} (code {code})")]
    Failed {
        /// Code of the answer.
        code: i64,
        /// Its words, in one line.
        message: String,
        /// The failing HRESULT that came with it, if one did.
        hresult: Option<u32>,
    },
    /// Its answer is no ruling, or the call does not fit a line. It goes on.
    #[error("the answer is not understood: {reason}")]
    Nonsense {
        /// What is wrong with it.
        reason: String,
    },
    /// It does not run, and is not started now.
    #[error("the module does not run: {why}")]
    NotRunning {
        /// Why, in one line.
        why: String,
    },
    /// Its process is no more: it ended, was too late, or spoke something else.
    #[error("{0}")]
    Ended(Fault),
}

impl VerifyError {
    /// Stable code. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failed { .. } => "policy-failed",
            Self::Nonsense { .. } => "policy-nonsense",
            Self::NotRunning { .. } => "policy-not-running",
            Self::Ended(_) => "policy-ended",
        }
    }
}

impl ModuleProcess {
    /// Asks a policy module to decide about a request, and waits for its ruling: for `limit` at the
    /// longest, in which its call-backs about this request and about the CA are answered. A ruling
    /// that has the shape of one is not judged here.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]. After [`VerifyError::Ended`] the process is dead and reaped.
    pub fn verify(
        &mut self,
        asked: &VerifyRequest,
        limit: Duration,
        call_backs: &dyn CallBacks,
    ) -> Result<Ruling, VerifyError> {
        if let Some(fault) = self.fault() {
            return Err(VerifyError::Ended(fault));
        }
        let ruled = self.ask_for_ruling(asked, limit, call_backs);
        self.tell_ignored();
        match ruled {
            Ok(ruling) => ruling,
            Err(broken) => Err(VerifyError::Ended(self.end_late(broken, limit))),
        }
    }

    fn ask_for_ruling(
        &mut self,
        asked: &VerifyRequest,
        limit: Duration,
        call_backs: &dyn CallBacks,
    ) -> Result<Result<Ruling, VerifyError>, Broken> {
        let nonsense = |reason: String| Ok(Err(VerifyError::Nonsense { reason }));
        let id = self.take_ids(1);
        let (bytes_max, outgoing) = (self.line_bytes_max(), self.pipes().outgoing());
        let start = outgoing.len();
        let written = line::write_verify_request(outgoing, id, asked);
        let bytes = outgoing.len() - start;
        if written.is_err() || bytes_max < bytes {
            outgoing.truncate(start);
            let bytes = match written {
                Err(LineError::TooLong { bytes }) => bytes,
                _ => bytes,
            };
            return nonsense(format!("the request makes a line of {bytes} octets"));
        }
        let mut asking = Asking::about_events(call_backs, self.pipes());
        let mut wait = Wait::of(limit);
        loop {
            match self.next_message(&mut wait, Some(&mut asking))? {
                Message::CallBack(line) => {
                    let seq = asked.event.seq;
                    self.answer(&line, &mut asking, |it| it == seq);
                }
                Message::Answer(response) if response.id == Some(id) => {
                    return Ok(response.into_ruling().map_err(failed));
                }
                // It could not read our line, and there is only this one. A ruling that does not say
                // about what may be about a request of before.
                Message::Answer(response) if response.id.is_none() => {
                    return match response.answer {
                        Err(error) => Ok(Err(failed(error))),
                        Ok(_) => nonsense("a result that does not say of which call".to_owned()),
                    };
                }
                Message::Malformed { id: Some(answered), excerpt } if answered == id => {
                    return nonsense(excerpt);
                }
                // Answered before, or never asked.
                Message::Answer(_) | Message::Malformed { .. } => self.pass_over(),
            }
        }
    }
}

fn failed(error: CallError) -> VerifyError {
    let CallError { code, message, data } = error;
    if code == CallError::INVALID_RESULT {
        return VerifyError::Nonsense { reason: excerpt(message.as_bytes()) };
    }
    let hresult = data.as_ref().and_then(|it| it.get("hresult")).and_then(|it| {
        let signed = it.as_i64().and_then(|it| i32::try_from(it).ok());
        let unsigned = it.as_u64().and_then(|it| u32::try_from(it).ok());
        unsigned.or_else(|| signed.map(i32::cast_unsigned)).filter(|it| it >> 31 == 1)
    });
    VerifyError::Failed { code, message: one_line(&message, TEXT_CHARS_MAX), hresult }
}
