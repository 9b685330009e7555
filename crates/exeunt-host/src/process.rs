//! A running module: said hello, handed events in batches, stopped or killed.
//!
//! Everything that a module does wrong ends here, as a [`StartError`], a [`Fault`] or a
//! [`Delivery::Failed`]; nothing of it reaches the caller as a delay without a limit.

use std::{
    io,
    time::{Duration, Instant},
};

use exeunt_module::{
    Call, CallError, Event, Initialize, Initialized, Outcome, Request, Response,
    line::{self, LineError},
};

use crate::{
    Fault, HostLimits, ModuleCommand, StartError,
    command::Fingerprint,
    error::{excerpt, one_line},
    group::Group,
    pipes::{Pipes, Step},
    stderr::StderrLog,
};

/// Time for a process whose pipes are closed to end by itself, so that its status can be told.
const EXIT_WAIT_MAX: Duration = Duration::from_millis(500);

/// Longest text kept of a module's reason, refusal or description, in characters. They go into the
/// store and in front of operators; a window of answers of the largest line would fill the memory.
pub const TEXT_CHARS_MAX: usize = 1000;

/// What became of one event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The module's answer. Never [`Outcome::Unknown`].
    Answered(Outcome),
    /// The answer was an error, or is not understood; or the event cannot be sent because it is
    /// longer than a line may be. The process is fine. One line for the operator.
    Failed(String),
    /// No answer, because the process is no more. The event may have been acted upon all the same.
    Unanswered,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReport {
    /// One for each event, in the order of the events.
    pub outcomes: Vec<Delivery>,
    /// Whether the process can take another batch.
    pub alive: bool,
    /// Why not, if not.
    pub fault: Option<Fault>,
}

impl BatchReport {
    /// Which event the fault is likely about: the oldest without an answer. A module that works
    /// through its window in order has failed at this one and never looked at the others.
    #[must_use]
    pub fn suspect(&self) -> Option<usize> {
        self.fault.as_ref()?;
        self.outcomes.iter().position(|it| *it == Delivery::Unanswered)
    }
}

/// A module process that has said hello. Dropping it kills its process group.
#[derive(Debug)]
#[must_use = "a module process runs until it is stopped or dropped"]
pub struct ModuleProcess {
    // The order of the fields is the order of dropping: the end of the log is read after the kill.
    group: Group,
    stderr: StderrLog,
    pipes: Pipes,
    name: String,
    limits: HostLimits,
    fingerprints: Vec<Fingerprint>,
    next_id: u64,
    initialized: Initialized,
    description: String,
    /// Lines of standard output that were passed over since the last report about them.
    ignored: u64,
    fault: Option<Fault>,
}

impl ModuleProcess {
    /// Starts a module and exchanges the hello: `Initialize`, then `GetDescription`.
    ///
    /// Returns after [`HostLimits::hello`] at the latest. Lines on the module's standard error go
    /// to `tracing` with the target "module".
    ///
    /// # Errors
    ///
    /// See [`StartError`]. Whatever was started is dead and reaped.
    pub fn start(
        command: &ModuleCommand,
        limits: &HostLimits,
        hello: &Initialize,
    ) -> Result<Self, StartError> {
        let mut wait = Wait::of(limits.hello);
        // Before the start: a file that is replaced right now then counts as replaced, which costs
        // one restart too many instead of one too few.
        let fingerprints = command.fingerprints();
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Group::new(child);
        if let Err(err) = group.set_nice(limits.nice) {
            tracing::warn!(module = %hello.module, nice = limits.nice, %err, "no such priority");
        }
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            let missing = io::Error::from(io::ErrorKind::BrokenPipe);
            return Err(StartError::io("connecting the module's pipes", missing));
        };
        let stderr = StderrLog::start(stderr, &hello.module, limits)
            .map_err(|err| StartError::io("reading the module's standard error", err))?;
        let pipes = Pipes::new(stdin, stdout, limits.line_bytes_max)
            .map_err(|err| StartError::io("connecting the module's pipes", err))?;
        let mut process = Self {
            group,
            stderr,
            pipes,
            name: hello.module.clone(),
            limits: limits.clone(),
            fingerprints,
            next_id: 1,
            initialized: Initialized {
                protocol: hello.protocol,
                features: Vec::new(),
                event_mask: 0,
                window: 1,
            },
            description: String::new(),
            ignored: 0,
            fault: None,
        };
        process.initialized = process.initialize(hello, &mut wait)?;
        process.description = process.ask_description(&mut wait)?;
        process.tell_ignored();
        Ok(process)
    }

    /// Events that the module wants, as bits of [`exeunt_module::exit_event`].
    pub fn event_mask(&self) -> u32 {
        self.initialized.event_mask
    }

    /// Most events of one batch: 1 and up.
    pub fn window(&self) -> usize {
        usize::try_from(self.initialized.window).unwrap_or(usize::MAX)
    }

    /// What the module calls itself: one line, or the name it is configured under if it says none.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Number of the process, and of its process group.
    pub fn pid(&self) -> u32 {
        self.group.id()
    }

    /// Hands over a batch and waits for its answers, in whatever order they come.
    ///
    /// An event has [`HostLimits::event`] from the moment when all earlier ones of the batch are
    /// answered. So a module that works through its window one by one has the whole time for each,
    /// and one that leaves the oldest behind is stopped although it answers others. The whole takes
    /// at most that limit times the number of events.
    ///
    /// Events beyond [`Self::window`] are not sent and come back [`Delivery::Unanswered`].
    ///
    /// After a fault the process is dead and reaped; the answers that came before it count.
    pub fn deliver(&mut self, events: &[Event]) -> BatchReport {
        let mut outcomes = vec![Delivery::Unanswered; events.len()];
        let mut fault = self.fault.clone();
        if fault.is_none()
            && let Err(broken) = self.exchange(events, &mut outcomes)
        {
            fault = Some(self.end(broken));
        }
        self.tell_ignored();
        BatchReport { outcomes, alive: fault.is_none(), fault }
    }

    /// Whether the files that were started are other files now: the program, and every argument
    /// that named a file with code at the start (a script: by its extension or its `#!`). One that
    /// is gone does not count.
    pub fn is_replaced(&self) -> bool {
        self.fingerprints.iter().any(Fingerprint::is_replaced)
    }

    /// Why the process is no more, if it is: noticed without a batch. It is reaped then.
    pub fn has_exited(&mut self) -> Option<String> {
        if self.fault.is_none() && self.group.has_exited() {
            self.end(Broken::Ended);
        }
        self.fault.as_ref().map(Fault::to_string)
    }

    /// Asks the module to end, waits for [`HostLimits::shutdown`], kills what is left, reaps.
    pub fn stop(mut self) {
        if self.fault.is_some() {
            return;
        }
        let mut wait = Wait::of(self.limits.shutdown);
        let request = Request { id: self.take_ids(1), call: Call::Shutdown };
        // It is short, and if it could not be written the end of standard input says the same.
        let _ = line::write_request(self.pipes.outgoing(), &request);
        self.pipes.close_when_flushed();
        // Late answers, the answer to this call, last shouts: all the same now.
        while let Ok(_) | Err(Broken::Garbage(_)) = self.next_message(&mut wait) {}
        let stopped = self.group.wait_until(wait.until);
        let status = self.group.kill().map(|it| it.to_string()).unwrap_or_default();
        let module = &self.name;
        if stopped {
            tracing::debug!(%module, status, "module stopped");
        } else {
            let limit_ms = self.limits.shutdown.as_millis();
            tracing::warn!(%module, limit_ms, "module did not stop in time and was killed");
        }
    }

    fn initialize(
        &mut self,
        hello: &Initialize,
        wait: &mut Wait,
    ) -> Result<Initialized, StartError> {
        let response = self.ask(Call::Initialize(hello.clone()), wait)?;
        let result = response.answer.map_err(|err| StartError::Refused {
            message: one_line(&err.message, TEXT_CHARS_MAX),
        })?;
        // The version first: the rest may have another shape in another version.
        let theirs = result.get("protocol").and_then(serde_json::Value::as_u64);
        if let Some(theirs) = theirs
            && theirs != u64::from(hello.protocol)
        {
            let theirs = u32::try_from(theirs).unwrap_or(u32::MAX);
            return Err(StartError::Version { ours: hello.protocol, theirs });
        }
        let shown = excerpt(result.to_string().as_bytes());
        let mut initialized = Response { id: response.id, answer: Ok(result) }
            .into_initialized()
            .map_err(|_| StartError::HelloGarbage { excerpt: shown })?;
        let window_max = hello.window.min(self.limits.window_max).max(1);
        initialized.window = initialized.window.clamp(1, window_max);
        Ok(initialized)
    }

    fn ask_description(&mut self, wait: &mut Wait) -> Result<String, StartError> {
        let response = self.ask(Call::GetDescription, wait)?;
        match response.into_description() {
            Ok(text) if !text.trim().is_empty() => Ok(one_line(text.trim(), TEXT_CHARS_MAX)),
            Ok(_) => Ok(self.name.clone()),
            // A module without a description is a module nevertheless.
            Err(err) => {
                tracing::debug!(module = %self.name, %err, "module does not describe itself");
                Ok(self.name.clone())
            }
        }
    }

    /// One call of the hello and its answer.
    fn ask(&mut self, call: Call, wait: &mut Wait) -> Result<Response, StartError> {
        let id = self.take_ids(1);
        line::write_request(self.pipes.outgoing(), &Request { id, call })
            .map_err(|err| StartError::io("writing the hello", io::Error::other(err)))?;
        loop {
            match self.next_message(wait) {
                Ok(Message::Answer(response)) if response.id == Some(id) => return Ok(response),
                // It could not read our line, and there is only this one.
                Ok(Message::Answer(response @ Response { id: None, .. })) => return Ok(response),
                Ok(Message::Answer(_)) => self.ignored += 1,
                Ok(Message::Malformed { excerpt, .. }) | Err(Broken::Garbage(excerpt)) => {
                    return Err(StartError::HelloGarbage { excerpt });
                }
                Err(broken) => return Err(self.start_error(broken)),
            }
        }
    }

    fn start_error(&mut self, broken: Broken) -> StartError {
        match self.end(broken) {
            Fault::Exited { status, last_words } => StartError::Exited { status, last_words },
            Fault::Deadline { .. } => StartError::HelloTimeout { limit: self.limits.hello },
            Fault::Garbage { excerpt } => StartError::HelloGarbage { excerpt },
            Fault::LineTooLong { limit_bytes } => StartError::HelloGarbage {
                excerpt: format!("a line longer than {limit_bytes} octets"),
            },
            Fault::Closed => StartError::Closed,
            Fault::Io { message } => {
                StartError::io("talking to the module", io::Error::other(message))
            }
        }
    }

    fn exchange(&mut self, events: &[Event], outcomes: &mut [Delivery]) -> Result<(), Broken> {
        // 1. All lines into one buffer.
        let count = events.len().min(self.window());
        let first_id = self.take_ids(count as u64);
        let mut sent_at = Vec::with_capacity(count);
        for (id, (event, outcome)) in
            (first_id..).zip(events.iter().zip(&mut *outcomes)).take(count)
        {
            if let Err(reason) = self.append(id, event) {
                *outcome = Delivery::Failed(reason);
            }
            sent_at.push(self.pipes.appended_bytes());
        }

        // 2. Write and read until every event has its answer.
        let mut oldest = 0;
        let mut wait = Wait::of(self.limits.event);
        loop {
            let before = oldest;
            while oldest < count && outcomes[oldest] != Delivery::Unanswered {
                oldest += 1;
            }
            if oldest == count {
                return Ok(());
            }
            if before != oldest {
                wait = Wait::of(self.limits.event);
            }
            let (id, delivery) = match self.next_message(&mut wait)? {
                Message::Answer(response) => (response.id, delivery(response)),
                Message::Malformed { id, excerpt } => {
                    (id, Delivery::Failed(format!("answer not understood: {excerpt}")))
                }
            };
            let index = id.and_then(|it| it.checked_sub(first_id));
            let index = index.and_then(|it| usize::try_from(it).ok()).filter(|it| *it < count);
            match index {
                Some(index) if self.pipes.sent_bytes() < sent_at[index] => {
                    let excerpt = "an answer to a call that was not made yet";
                    return Err(Broken::Garbage(excerpt.to_owned()));
                }
                Some(index) if outcomes[index] == Delivery::Unanswered => {
                    outcomes[index] = delivery;
                }
                // Answered before, or never asked.
                Some(_) | None => self.ignored += 1,
            }
        }
    }

    /// Appends one event to what is to be sent, or says why not.
    fn append(&mut self, id: u64, event: &Event) -> Result<(), String> {
        let outgoing = self.pipes.outgoing();
        let start = outgoing.len();
        line::write_notify(outgoing, id, event).map_err(|err| err.to_string())?;
        let bytes = outgoing.len() - start - 1;
        let bytes_max = self.limits.line_bytes_max;
        if bytes_max < bytes {
            outgoing.truncate(start);
            return Err(format!("a line of {bytes} bytes is longer than the allowed {bytes_max}"));
        }
        Ok(())
    }

    /// Waits for the next answer. What is no answer but does no harm is passed over.
    fn next_message(&mut self, wait: &mut Wait) -> Result<Message, Broken> {
        loop {
            loop {
                let line = match self.pipes.next_line() {
                    Ok(Some(line)) => line,
                    Ok(None) => break,
                    Err(_) => return Err(Broken::LineTooLong),
                };
                match Message::read(line)? {
                    Some(message) => return Ok(message),
                    None => self.ignored += 1,
                }
            }
            // What is in the pipe at the deadline still counts: we may be the late ones. But only
            // one chunk of it, or a flood of nothing would never end.
            if wait.is_over {
                return Err(Broken::Deadline);
            }
            wait.is_over = wait.until <= Instant::now();
            match self.pipes.step(wait.until) {
                Ok(Step::Move) => (),
                Ok(Step::Wait) => {
                    if self.group.has_exited() {
                        self.pipes.drain();
                    }
                }
                Ok(Step::End) => return Err(Broken::Ended),
                Err(err) => return Err(Broken::Io(err)),
            }
        }
    }

    /// Kills the group, reaps, and keeps why.
    fn end(&mut self, broken: Broken) -> Fault {
        // 1. Whether it ended by itself has to be known before the kill.
        let ended = matches!(broken, Broken::Ended)
            && self.group.wait_until(Instant::now() + EXIT_WAIT_MAX);

        // 2. Kill, reap, and read the rest of its log.
        let status = self.group.kill();
        let last_words = self.stderr.finish();
        let fault = match broken {
            Broken::Ended if ended => Fault::Exited {
                status: status.map_or_else(|| "status unknown".to_owned(), |it| it.to_string()),
                last_words,
            },
            Broken::Ended => Fault::Closed,
            Broken::Deadline => Fault::Deadline { limit: self.limits.event },
            Broken::Garbage(excerpt) => Fault::Garbage { excerpt },
            Broken::LineTooLong => Fault::LineTooLong { limit_bytes: self.limits.line_bytes_max },
            Broken::Io(err) => Fault::Io { message: err.to_string() },
        };
        self.fault = Some(fault.clone());
        fault
    }

    fn take_ids(&mut self, count: u64) -> u64 {
        let first = self.next_id;
        self.next_id += count;
        first
    }

    /// One line in the log for however many answers that nobody waits for.
    fn tell_ignored(&mut self) {
        if self.ignored != 0 {
            let (module, lines) = (&self.name, self.ignored);
            tracing::warn!(%module, lines, "module said what nobody had asked or waits for");
            self.ignored = 0;
        }
    }
}

/// A wait for progress, however many messages it takes.
struct Wait {
    until: Instant,
    /// The last read has been made.
    is_over: bool,
}

impl Wait {
    fn of(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, is_over: false }
    }
}

/// Why a conversation cannot go on.
enum Broken {
    Ended,
    Deadline,
    Garbage(String),
    LineTooLong,
    Io(io::Error),
}

/// A line that a module wrote.
enum Message {
    /// An answer in the form of one.
    Answer(Response),
    /// An answer to this call, but neither a result nor an error.
    Malformed { id: Option<u64>, excerpt: String },
}

impl Message {
    /// Reads a line; `None` for what may be passed over: blank lines, and calls and notifications,
    /// which this version of the protocol does not have in this direction.
    fn read(line: &[u8]) -> Result<Option<Self>, Broken> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        match line::parse_response(line) {
            Ok(response) => Ok(Some(Self::Answer(response))),
            Err(LineError::TooLong { .. }) => Err(Broken::LineTooLong),
            Err(err) => {
                let object: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_slice(line).map_err(|_| Broken::Garbage(excerpt(line)))?;
                if object.get("method").is_some_and(serde_json::Value::is_string) {
                    return Ok(None);
                }
                let id = object.get("id").and_then(serde_json::Value::as_u64);
                match err {
                    LineError::Malformed { .. } if id.is_some() => {
                        Ok(Some(Self::Malformed { id, excerpt: excerpt(line) }))
                    }
                    _ => Err(Broken::Garbage(excerpt(line))),
                }
            }
        }
    }
}

/// What an answer to `Notify` means.
fn delivery(response: Response) -> Delivery {
    let short = |text: String| match text.len() {
        0..TEXT_CHARS_MAX if !text.contains(char::is_control) => text,
        _ => one_line(&text, TEXT_CHARS_MAX),
    };
    match response.into_outcome() {
        Ok(Outcome::Retry { after_ms, reason }) => {
            Delivery::Answered(Outcome::Retry { after_ms, reason: short(reason) })
        }
        Ok(Outcome::Park { reason }) => Delivery::Answered(Outcome::Park { reason: short(reason) }),
        Ok(Outcome::Unknown(members)) => {
            let shown = serde_json::Value::Object(members).to_string();
            Delivery::Failed(format!("answer not understood: {}", excerpt(shown.as_bytes())))
        }
        Ok(outcome) => Delivery::Answered(outcome),
        Err(CallError { code: CallError::INVALID_RESULT, message, .. }) => {
            Delivery::Failed(format!("answer not understood: {}", short(message)))
        }
        Err(CallError { code, message, .. }) => {
            Delivery::Failed(format!("{} (code {code})", short(message)))
        }
    }
}
