//! The module's side of call-backs: asks the host while the module works on an event.
//!
//! The request goes out on the writer that the answers use, one whole line at a time; the response
//! comes in through the reading thread, which hands it to whoever waits for it.

use std::{
    collections::HashMap,
    io::{self, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use exeunt_module::{
    Response, Value,
    call_back::{Asked, CallBack, Found, Query, Refusal, write_call_back},
};

/// How long a call-back may take. The host looks up one value; one that takes longer hangs.
pub const CALL_BACK_WITHIN: Duration = Duration::from_secs(30);

/// Asks the host for values that an event does not carry.
///
/// A module gets one in [`ExitModule::use_call_backs`](crate::ExitModule::use_call_backs), keeps it
/// as long as it likes and may use it from several threads at the same time. About an event it is
/// answered only until the module has given that event's outcome; about the CA, `seq` 0, always.
#[derive(Clone)]
pub struct CallBacks(Arc<Wire>);

impl std::fmt::Debug for CallBacks {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("CallBacks").finish_non_exhaustive()
    }
}

/// Why a call-back brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallBackError {
    /// The host says that there is nothing to give. For [`Refusal::Empty`] that is ordinary.
    #[error("the host refused: {message}")]
    Refuse {
        /// Which of the three reasons.
        refusal: Refusal,
        /// The host's words.
        message: String,
    },
    /// The host's answer is none that this version understands.
    #[error("the host answered something unexpected: {0}")]
    Unexpected(String),
    /// Nothing came within [`CALL_BACK_WITHIN`].
    #[error("the host did not answer in time")]
    Timeout,
    /// The host has gone.
    #[error("the host has gone")]
    Ended,
    /// The question could not be written.
    #[error("asking the host failed")]
    Io(#[source] io::Error),
}

impl CallBackError {
    /// Stable code for logs. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refuse { .. } => "call-back-refuse",
            Self::Unexpected(_) => "call-back-unexpected",
            Self::Timeout => "call-back-timeout",
            Self::Ended => "call-back-ended",
            Self::Io(_) => "call-back-io",
        }
    }
}

impl CallBacks {
    /// A property of the request of event `seq`; `value_type` is one of long, date, binary, string,
    /// or `None` for whichever it has.
    ///
    /// # Errors
    ///
    /// [`CallBackError::Refuse`] where it has no value; otherwise as the variants say.
    pub fn request_property(
        &self,
        seq: u64,
        name: &str,
        value_type: Option<&str>,
    ) -> Result<Value, CallBackError> {
        let found = self.ask(Query::GetRequestProperty(Asked {
            seq,
            name: name.to_owned(),
            value_type: value_type.map(str::to_owned),
        }))?;
        match found {
            Found::Value(value) => Ok(value),
            Found::Extension(_) => Err(CallBackError::Unexpected("an extension".to_owned())),
        }
    }

    /// Asks any of the questions.
    ///
    /// # Errors
    ///
    /// As the variants of [`CallBackError`] say.
    pub fn ask(&self, query: Query) -> Result<Found, CallBackError> {
        let (sender, answer) = sync_channel(1);
        let id = {
            let mut waiting = self.0.waiting();
            if waiting.ended {
                return Err(CallBackError::Ended);
            }
            waiting.last_id += 1;
            let id = waiting.last_id;
            waiting.answers.insert(id, sender);
            id
        };
        let mut line = Vec::new();
        let written = write_call_back(&mut line, &CallBack { id, query })
            .map_err(|err| io::Error::new(io::ErrorKind::InvalidInput, err))
            .and_then(|()| self.0.write(&line));
        if let Err(err) = written {
            self.0.waiting().answers.remove(&id);
            return Err(CallBackError::Io(err));
        }
        let response = answer.recv_timeout(CALL_BACK_WITHIN).map_err(|err| match err {
            RecvTimeoutError::Timeout => {
                self.0.waiting().answers.remove(&id);
                CallBackError::Timeout
            }
            RecvTimeoutError::Disconnected => CallBackError::Ended,
        })?;
        match response.answer {
            Ok(result) => serde_json::from_value(result)
                .map_err(|err| CallBackError::Unexpected(err.to_string())),
            Err(error) => match Refusal::from_error(&error) {
                Some(refusal) => Err(CallBackError::Refuse { refusal, message: error.message }),
                None => Err(CallBackError::Unexpected(error.to_string())),
            },
        }
    }
}

/// What the loop, the reading thread and the call-backs share.
pub(crate) struct Wire {
    writer: Mutex<Box<dyn Write + Send>>,
    waiting: Mutex<Waiting>,
}

/// Questions that are on their way.
#[derive(Default)]
struct Waiting {
    last_id: u64,
    answers: HashMap<u64, SyncSender<Response>>,
    /// The module takes call-backs: a response on its input is one of them, or a late one.
    agreed: bool,
    /// Nothing is read any more.
    ended: bool,
}

impl Wire {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Arc<Self> {
        Arc::new(Self { writer: Mutex::new(Box::new(writer)), waiting: Mutex::default() })
    }

    pub(crate) fn call_backs(self: &Arc<Self>) -> CallBacks {
        CallBacks(Arc::clone(self))
    }

    /// Writes whole lines, so that two writers never mix.
    pub(crate) fn write(&self, lines: &[u8]) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(lines)?;
        writer.flush()
    }

    /// Both sides have agreed on the feature, or `agreed` is false and they have not.
    pub(crate) fn agree(&self, agreed: bool) {
        self.waiting().agreed = agreed;
    }

    pub(crate) fn agreed(&self) -> bool {
        self.waiting().agreed
    }

    /// Hands a response to whoever waits for it. One that nobody waits for comes too late, and is
    /// dropped.
    pub(crate) fn answered(&self, response: Response) {
        let asker = response.id.and_then(|id| self.waiting().answers.remove(&id));
        if let Some(asker) = asker {
            // It fails where the asker has given up in this very moment.
            asker.send(response).ok();
        }
    }

    /// Nothing more comes: whoever waits learns so.
    pub(crate) fn ended(&self) {
        let mut waiting = self.waiting();
        waiting.ended = true;
        waiting.answers.clear();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
