//! Call-backs: what a module asks while it has an event in hand, looked up by whoever knows.
//!
//! The host says which questions may be asked, how many, and how much of the answers may wait to be
//! read; what the answer is, it does not know.

use exeunt_module::{
    CallError, Response,
    call_back::{CALL_BACKS, Query, Refusal, parse_call_back},
    line::{self, LineError},
};
use serde_json::Value;

use crate::pipes::Pipes;

/// Optional parts of the protocol that this host can do: what [`Initialize::features`] offers.
///
/// [`Initialize::features`]: exeunt_module::Initialize::features
pub const FEATURES: [&str; 1] = [CALL_BACKS];

/// Most call-backs that are looked up in one batch of events; further ones are refused. A window of
/// 256 events can ask forty times for each.
pub const CALL_BACKS_PER_BATCH_MAX: u32 = 10_000;

/// Most lines of an idle module that are looked at in one [`ModuleProcess::attend`]; the others wait
/// for the next. A module that never stops asking holds its worker no longer than that, and one that
/// asks everything it can in one breath is served in one or two.
///
/// [`ModuleProcess::attend`]: crate::ModuleProcess::attend
pub const CALL_BACKS_PER_ATTEND_MAX: u32 = 256;

/// Octets of answers that may wait for the module to read them. Beyond that the host reads no more
/// of what the module writes, so that both sides hold a bounded amount. Twice the longest line.
const ANSWER_BYTES_WAITING_MAX: u64 = 2 * exeunt_module::LINE_BYTES_MAX as u64;

/// Who knows the answers.
pub trait CallBacks {
    /// Looks up what a module asks. The event is one that the module has in hand, or none (0) for
    /// the CA itself. Counts against the time of the event, so it must not wait for anything slow.
    ///
    /// # Errors
    ///
    /// What the module is to read: a [`Refusal`], mostly.
    fn answer(&self, query: &Query) -> Result<Value, CallError>;
}

/// Answers every question that there is no such method.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCallBacks;

impl CallBacks for NoCallBacks {
    fn answer(&self, query: &Query) -> Result<Value, CallError> {
        let text = format!("{} is not answered here", query.method());
        Err(CallError::new(CallError::METHOD_NOT_FOUND, text))
    }
}

/// The questions of one batch, of one call before the first, or of one look between two.
pub(crate) struct Asking<'a> {
    call_backs: &'a dyn CallBacks,
    looked_up: u32,
    /// [`Pipes::appended_bytes`] when the events of the batch were in; what is before it is no answer.
    /// 0 where there are no events: there everything that waits counts, whoever appended it, or every
    /// look would forgive what the one before it left.
    start_bytes: u64,
}

impl<'a> Asking<'a> {
    /// To be called when the events of the batch have been appended.
    pub(crate) fn about_events(call_backs: &'a dyn CallBacks, pipes: &Pipes) -> Self {
        Self { call_backs, looked_up: 0, start_bytes: pipes.appended_bytes() }
    }

    /// Questions of a module that has no event in hand.
    pub(crate) fn about_the_ca(call_backs: &'a dyn CallBacks) -> Self {
        Self { call_backs, looked_up: 0, start_bytes: 0 }
    }

    /// Whether so much waits for the module that nothing more is to be read from it.
    pub(crate) fn is_full(&self, pipes: &Pipes) -> bool {
        let sent = pipes.sent_bytes().max(self.start_bytes);
        ANSWER_BYTES_WAITING_MAX < pipes.appended_bytes() - sent
    }

    /// Answers one line. `in_hand` says whether an event of that number is with the module,
    /// unanswered. Gives false for a line that is not to be answered.
    pub(crate) fn answer(
        &mut self,
        line: &[u8],
        pipes: &mut Pipes,
        line_bytes_max: usize,
        in_hand: impl Fn(u64) -> bool,
    ) -> bool {
        let (id, answer) = match parse_call_back(line) {
            Ok(call_back) => (call_back.id, self.look_up(&call_back.query, in_hand)),
            Err(LineError::Malformed { id: Some(id), refusal }) => (id, Err(refusal)),
            // Nobody waits for it, or nobody knows who does.
            Err(_) => return false,
        };
        let outgoing = pipes.outgoing();
        let start = outgoing.len();
        let response = Response { id: Some(id), answer };
        let is_short = line::write_response(outgoing, &response).is_ok()
            && outgoing.len() - start - 1 <= line_bytes_max;
        if !is_short {
            outgoing.truncate(start);
            let text = "the value is longer than a line may be";
            let refusal = CallError::new(CallError::INTERNAL, text);
            let response = Response { id: Some(id), answer: Err(refusal) };
            return line::write_response(outgoing, &response).is_ok();
        }
        true
    }

    fn look_up(
        &mut self,
        query: &Query,
        in_hand: impl Fn(u64) -> bool,
    ) -> Result<Value, CallError> {
        let seq = query.asked().seq;
        let is_known = match query {
            Query::GetCertificateProperty(_) => seq == 0 || in_hand(seq),
            _ => seq != 0 && in_hand(seq),
        };
        if !is_known {
            return Err(Refusal::Invalid.into_error(format!("event {seq} is not in hand")));
        }
        if self.looked_up == CALL_BACKS_PER_BATCH_MAX {
            let text = format!("more than {CALL_BACKS_PER_BATCH_MAX} call-backs in one batch");
            return Err(CallError::new(CallError::REFUSED, text));
        }
        self.looked_up += 1;
        self.call_backs.answer(query)
    }
}
