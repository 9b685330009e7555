//! A running module: said hello, handed events in batches, stopped or killed.
//!
//! Everything that a module does wrong ends here, as a [`StartError`], a [`Fault`] or a
//! [`Delivery::Failed`]; nothing of it reaches the caller as a delay without a limit.

use std::{
    io,
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use exeunt_module::{
    Call, CallError, Event, Initialize, Initialized, Outcome, PROTOCOL_VERSION, Request, Response,
    call_back::CALL_BACKS,
    line::{self, LineError},
};

use crate::{
    CallBacks, Fault, HostLimits, ModuleCommand, NoCallBacks, StartError,
    call_backs::{Asking, CALL_BACKS_PER_ATTEND_MAX},
    command::Fingerprint,
    confine::{EXECUTE_STATUS, Ground, REPORT_PREFIX},
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
    program: String,
    limits: HostLimits,
    fingerprints: Vec<Fingerprint>,
    ground: Ground,
    next_id: u64,
    initialized: Initialized,
    description: String,
    /// Lines of standard output that were passed over since the last report about them.
    ignored: u64,
    /// While it is idle and leaves answers unread: when it last took some, and
    /// [`Pipes::sent_bytes`] then.
    unread: Option<(Instant, u64)>,
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
        Self::start_with(command, limits, hello, &NoCallBacks)
    }

    /// As [`Self::start`], and answers what the module asks about the CA (context 0) meanwhile,
    /// where `hello` offers call-backs.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with(
        command: &ModuleCommand,
        limits: &HostLimits,
        hello: &Initialize,
        call_backs: &dyn CallBacks,
    ) -> Result<Self, StartError> {
        let mut wait = Wait::of(limits.hello);
        let mut process = Self::launch(command, limits, &hello.module)?;
        // A module that uses what was offered has not said so before it has answered.
        process.initialized.features.clone_from(&hello.features);
        process.initialized = process.initialize(hello, &mut wait, call_backs)?;
        process.description = process.ask_description(&mut wait, call_backs)?;
        process.tell_ignored();
        Ok(process)
    }

    /// Starts a process and says nothing yet.
    pub(crate) fn launch(
        command: &ModuleCommand,
        limits: &HostLimits,
        module: &str,
    ) -> Result<Self, StartError> {
        // Before the start: a file that is replaced right now then counts as replaced, which costs
        // one restart too many instead of one too few.
        let fingerprints = command.fingerprints();
        let ground = Ground::of(command);
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = Group::new(child);
        if let Err(err) = group.set_nice(limits.nice) {
            tracing::warn!(%module, nice = limits.nice, %err, "no such priority");
        }
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            let missing = io::Error::from(io::ErrorKind::BrokenPipe);
            return Err(StartError::io("connecting the module's pipes", missing));
        };
        let stderr = StderrLog::start(stderr, module, limits)
            .map_err(|err| StartError::io("reading the module's standard error", err))?;
        let pipes = Pipes::new(stdin, stdout, limits.line_bytes_max)
            .map_err(|err| StartError::io("connecting the module's pipes", err))?;
        Ok(Self {
            group,
            stderr,
            pipes,
            name: module.to_owned(),
            program: command.program.display().to_string(),
            limits: limits.clone(),
            fingerprints,
            ground,
            next_id: 1,
            initialized: Initialized {
                protocol: PROTOCOL_VERSION,
                features: Vec::new(),
                event_mask: 0,
                window: 1,
            },
            description: String::new(),
            ignored: 0,
            unread: None,
            fault: None,
        })
    }

    /// Events that the module wants, as bits of [`exeunt_module::exit_event`].
    pub fn event_mask(&self) -> u32 {
        self.initialized.event_mask
    }

    /// Most events of one batch: 1 and up.
    pub fn window(&self) -> usize {
        usize::try_from(self.initialized.window).unwrap_or(usize::MAX)
    }

    /// Whether the module uses an optional part of the protocol that was offered to it.
    pub fn has_feature(&self, name: &str) -> bool {
        self.initialized.features.iter().any(|it| it == name)
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
        self.deliver_with(events, &NoCallBacks)
    }

    /// As [`Self::deliver`], and answers what the module asks meanwhile, if it uses
    /// [`CALL_BACKS`].
    ///
    /// What it asks is no progress: an event has the same time whether its module asks or not. At
    /// most [`CALL_BACKS_PER_BATCH_MAX`](crate::CALL_BACKS_PER_BATCH_MAX) are looked up, the others
    /// refused.
    pub fn deliver_with(&mut self, events: &[Event], call_backs: &dyn CallBacks) -> BatchReport {
        let mut outcomes = vec![Delivery::Unanswered; events.len()];
        let mut fault = self.fault.clone();
        if fault.is_none()
            && let Err(broken) = self.exchange(events, &mut outcomes, call_backs)
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

    /// A folder that the module's rules name and that is another one than at the process's start: made
    /// anew, mounted over, or not there then. It is closed to this process and open to the next one.
    ///
    /// To be asked of a module that has just answered: a folder whose server hangs holds up whoever
    /// looks at it.
    pub fn moved_folder(&self) -> Option<&Path> {
        self.ground.moved()
    }

    /// What a module says, with the rules that it is under where they may be what refused it something.
    pub(crate) fn explain(&self, words: String) -> String {
        self.ground.explain(words)
    }

    /// Why the process is no more, if it is: noticed without a batch. It is reaped then.
    pub fn has_exited(&mut self) -> Option<String> {
        if self.fault.is_none() && self.group.has_exited() {
            self.end(Broken::Ended);
        }
        self.fault.as_ref().map(Fault::to_string)
    }

    /// Answers what the module has asked since the last batch. Does not wait for it to ask: to be
    /// called now and then while there are no events, of a module that [uses
    /// call-backs](Self::has_feature). Between events it can ask about the CA alone (context 0).
    ///
    /// Looks at [`CALL_BACKS_PER_ATTEND_MAX`] lines at the most, and at none as long as too many
    /// answers wait to be read. A module that reads nothing of them for [`HostLimits::event`] is
    /// ended.
    ///
    /// Gives why the process is no more, if that came out.
    pub fn attend(&mut self, call_backs: &dyn CallBacks) -> Option<Fault> {
        if self.fault.is_some() || !self.has_feature(CALL_BACKS) {
            return self.fault.clone();
        }
        let looked = self.look_at_questions(call_backs);
        self.tell_ignored();
        // What the pipe does not take now goes out at the next look, or with the next batch.
        let sent = looked.and_then(|()| self.pipes.write_now().map_err(Broken::Io));
        sent.and_then(|()| self.look_at_unread()).err().map(|it| self.end(it))
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
        while let Ok(_) | Err(Broken::Garbage(_)) = self.next_message(&mut wait, None) {}
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

    /// Answers what has been read, and one chunk more.
    fn look_at_questions(&mut self, call_backs: &dyn CallBacks) -> Result<(), Broken> {
        let mut asked = Asking::about_the_ca(call_backs);
        let mut wait = Wait::of(Duration::ZERO);
        for _ in 0..CALL_BACKS_PER_ATTEND_MAX {
            match self.next_message(&mut wait, Some(&mut asked)) {
                Ok(Message::CallBack(line)) => self.answer(&line, &mut asked, |_| false),
                Ok(Message::Answer(_) | Message::Malformed { .. }) => self.ignored += 1,
                Err(Broken::Deadline) => break,
                Err(broken) => return Err(broken),
            }
        }
        Ok(())
    }

    /// Whether an idle module has read nothing for too long. It counts from the first look at which
    /// something waits: between two looks nobody writes, so that it cannot read either.
    fn look_at_unread(&mut self) -> Result<(), Broken> {
        let now = Instant::now();
        let sent_bytes = self.pipes.sent_bytes();
        match self.unread {
            _ if self.pipes.waiting_bytes() == 0 => self.unread = None,
            Some((since, sent_before)) if sent_before == sent_bytes => {
                if self.limits.event < now.duration_since(since) {
                    return Err(Broken::Unread);
                }
            }
            _ => self.unread = Some((now, sent_bytes)),
        }
        Ok(())
    }

    fn initialize(
        &mut self,
        hello: &Initialize,
        wait: &mut Wait,
        call_backs: &dyn CallBacks,
    ) -> Result<Initialized, StartError> {
        let response = self.ask(Call::Initialize(hello.clone()), wait, call_backs)?;
        let result = response.answer.map_err(|err| StartError::Refused {
            message: self.explain(one_line(&err.message, TEXT_CHARS_MAX)),
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
        initialized.features.retain(|it| hello.features.contains(it));
        Ok(initialized)
    }

    fn ask_description(
        &mut self,
        wait: &mut Wait,
        call_backs: &dyn CallBacks,
    ) -> Result<String, StartError> {
        let response = self.ask(Call::GetDescription, wait, call_backs)?;
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

    /// One call before the first event, and its answer.
    pub(crate) fn ask(
        &mut self,
        call: Call,
        wait: &mut Wait,
        call_backs: &dyn CallBacks,
    ) -> Result<Response, StartError> {
        let id = self.take_ids(1);
        line::write_request(self.pipes.outgoing(), &Request { id, call })
            .map_err(|err| StartError::io("writing a call", io::Error::other(err)))?;
        let mut asked = Asking::about_the_ca(call_backs);
        loop {
            match self.next_message(wait, Some(&mut asked)) {
                Ok(Message::CallBack(line)) => self.answer(&line, &mut asked, |_| false),
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
        let (fault, status) = self.end_with_status(broken);
        match fault {
            Fault::Exited { last_words: Some(line), .. } if line.starts_with(REPORT_PREFIX) => {
                let reason = line[REPORT_PREFIX.len()..].to_owned();
                match status.and_then(|it| it.code()) {
                    Some(code) if code == i32::from(EXECUTE_STATUS) => {
                        StartError::NotExecutable { program: self.program.clone(), reason }
                    }
                    _ => StartError::Confinement { reason },
                }
            }
            Fault::Exited { status, last_words } => StartError::Exited { status, last_words },
            Fault::Deadline { .. } | Fault::Unread { .. } => {
                StartError::HelloTimeout { limit: self.limits.hello }
            }
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

    fn exchange(
        &mut self,
        events: &[Event],
        outcomes: &mut [Delivery],
        call_backs: &dyn CallBacks,
    ) -> Result<(), Broken> {
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
        let mut asked = Asking::about_events(call_backs, &self.pipes);
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
            let (id, delivery) = match self.next_message(&mut wait, Some(&mut asked))? {
                Message::CallBack(line) => {
                    let sent_bytes = self.pipes.sent_bytes();
                    self.answer(&line, &mut asked, |seq| {
                        events.iter().zip(&*outcomes).zip(&sent_at).any(|((event, it), sent_at)| {
                            event.seq == seq
                                && *it == Delivery::Unanswered
                                && *sent_at <= sent_bytes
                        })
                    });
                    continue;
                }
                Message::Answer(response) => {
                    let id = response.id;
                    let delivery = match delivery(response) {
                        Delivery::Answered(it) => {
                            Delivery::Answered(self.ground.explain_outcome(it))
                        }
                        Delivery::Failed(why) => Delivery::Failed(self.explain(why)),
                        Delivery::Unanswered => Delivery::Unanswered,
                    };
                    (id, delivery)
                }
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

    /// Answers a call-back. One that is not to be answered is passed over.
    pub(crate) fn answer(
        &mut self,
        line: &[u8],
        asked: &mut Asking<'_>,
        in_hand: impl Fn(u64) -> bool,
    ) {
        // Nobody reads any more: the answers would only pile up.
        if self.pipes.is_draining() {
            return;
        }
        if !asked.answer(line, &mut self.pipes, self.limits.line_bytes_max, in_hand) {
            self.ignored += 1;
        }
    }

    /// Waits for the next answer or, where somebody answers them, call-back. What is neither but
    /// does no harm is passed over.
    pub(crate) fn next_message(
        &mut self,
        wait: &mut Wait,
        asked: Option<&mut Asking<'_>>,
    ) -> Result<Message, Broken> {
        let answers = asked.filter(|_| self.has_feature(CALL_BACKS));
        loop {
            // A module that asks and does not read is not heard until it reads.
            let is_full = answers.as_ref().is_some_and(|it| it.is_full(&self.pipes))
                && !self.pipes.is_draining();
            if !is_full && let Some(message) = self.message_read(answers.is_some())? {
                return Ok(message);
            }
            // What is in the pipe at the deadline still counts: we may be the late ones. But only
            // one chunk of it, or a flood of nothing would never end.
            if wait.is_over {
                return Err(Broken::Deadline);
            }
            wait.is_over = wait.until <= Instant::now();
            let step = if is_full {
                self.pipes.step_writing(wait.until)
            } else {
                self.pipes.step(wait.until)
            };
            match step {
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

    /// The next message of what has been read already.
    fn message_read(&mut self, answers: bool) -> Result<Option<Message>, Broken> {
        loop {
            let line = match self.pipes.next_line() {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(_) => return Err(Broken::LineTooLong),
            };
            match Message::read(line)? {
                Some(Message::CallBack(_)) if !answers => self.ignored += 1,
                Some(message) => return Ok(Some(message)),
                None => self.ignored += 1,
            }
        }
    }

    /// Kills the group, reaps, and keeps why.
    fn end(&mut self, broken: Broken) -> Fault {
        self.end_with_status(broken).0
    }

    fn end_with_status(&mut self, broken: Broken) -> (Fault, Option<ExitStatus>) {
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
            Broken::Unread => Fault::Unread { limit: self.limits.event },
            Broken::Garbage(excerpt) => Fault::Garbage { excerpt },
            Broken::LineTooLong => Fault::LineTooLong { limit_bytes: self.limits.line_bytes_max },
            Broken::Io(err) => Fault::Io { message: err.to_string() },
        };
        self.fault = Some(fault.clone());
        (fault, status)
    }

    /// As [`Self::end`], where the deadline was not that of an event.
    pub(crate) fn end_late(&mut self, broken: Broken, limit: Duration) -> Fault {
        let late = matches!(broken, Broken::Deadline);
        let fault = self.end(broken);
        if late { Fault::Deadline { limit } } else { fault }
    }

    /// Why the process is no more, if that is known.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.clone()
    }

    pub(crate) fn pipes(&mut self) -> &mut Pipes {
        &mut self.pipes
    }

    pub(crate) fn line_bytes_max(&self) -> usize {
        self.limits.line_bytes_max
    }

    /// Counts a line that nobody waits for.
    pub(crate) fn pass_over(&mut self) {
        self.ignored += 1;
    }

    pub(crate) fn take_ids(&mut self, count: u64) -> u64 {
        let first = self.next_id;
        self.next_id += count;
        first
    }

    /// One line in the log for however many answers that nobody waits for.
    pub(crate) fn tell_ignored(&mut self) {
        if self.ignored != 0 {
            let (module, lines) = (&self.name, self.ignored);
            tracing::warn!(%module, lines, "module said what nobody had asked or waits for");
            self.ignored = 0;
        }
    }
}

/// A wait for progress, however many messages it takes.
pub(crate) struct Wait {
    until: Instant,
    /// The last read has been made.
    is_over: bool,
}

impl Wait {
    pub(crate) fn of(limit: Duration) -> Self {
        Self { until: Instant::now() + limit, is_over: false }
    }
}

/// Why a conversation cannot go on.
pub(crate) enum Broken {
    Ended,
    Deadline,
    Unread,
    Garbage(String),
    LineTooLong,
    Io(io::Error),
}

/// A line that a module wrote.
pub(crate) enum Message {
    /// An answer in the form of one.
    Answer(Response),
    /// An answer to this call, but neither a result nor an error.
    Malformed { id: Option<u64>, excerpt: String },
    /// A call by the module, as it came.
    CallBack(Vec<u8>),
}

impl Message {
    /// Reads a line; `None` for a blank one.
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
                    return Ok(Some(Self::CallBack(line.to_vec())));
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
        Ok(Outcome::TargetDown { after_ms, reason }) => {
            Delivery::Answered(Outcome::TargetDown { after_ms, reason: short(reason) })
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
