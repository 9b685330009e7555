//! The loop of a module: lines in, batches to the module, lines out.
//!
//! A thread reads and parses ahead while the module works, so that a batch holds everything that has
//! arrived in the meantime and not just what fits into a pipe.

use std::{
    any::Any,
    io::{self, BufRead as _, BufReader, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use exeunt_module::{
    Call, CallError, Event, Initialize, Initialized, LINE_BYTES_MAX, Outcome, PROTOCOL_VERSION,
    Request, Response, WINDOW_MAX,
    call_back::CALL_BACKS,
    line::{self, LineError},
    maintain,
    policy::{self, ServerPolicy, VerifyRequest},
};

use serde_json::Value as Json;

use crate::{EventMask, ExitModule, MaintainExitModule, ManageExitModule, call_back::Wire};

/// How many calls the reading thread keeps parsed for the module. It bounds memory; the window of
/// the conversation may be larger.
const READ_AHEAD_MAX: usize = 256;

/// Largest window of a module that uses call-backs. It is less than [`READ_AHEAD_MAX`], so that the
/// reading thread never waits for a module that waits for an answer behind the events in between.
const WINDOW_WITH_CALL_BACKS_MAX: u32 = 128;

/// Size of the read buffer, in bytes: a full pipe of Linux, which is 64 KiB by default.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Longest piece of a panic's text in an answer, in characters.
const PANIC_TEXT_MAX: usize = 200;

/// Runs a module on standard input and output until the host says farewell or closes the input.
///
/// # Errors
///
/// Standard input cannot be read, holds a line that is too long, or standard output cannot be
/// written. End the process with a status other than 0 then; the host starts it again.
pub fn serve<M: ExitModule>(module: M) -> io::Result<()> {
    serve_on(io::stdin(), io::stdout(), module)
}

/// Runs a module on any pair of streams; see [`serve`].
///
/// The reading happens on a thread of its own. It ends with the input or after the farewell; where
/// this function returns early because writing failed, it ends at the next line. The writer is shared
/// with [`CallBacks`](crate::CallBacks), which may outlive this function.
///
/// # Errors
///
/// As [`serve`].
pub fn serve_on<R, W, M>(reader: R, writer: W, module: M) -> io::Result<()>
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
    M: ExitModule,
{
    let (sender, incoming) = sync_channel(READ_AHEAD_MAX);
    let wire = Wire::new(writer);
    let of_reader = Arc::clone(&wire);
    thread::Builder::new().name("module-reader".to_owned()).spawn(move || {
        read_lines(reader, &sender, &of_reader);
        of_reader.ended();
    })?;
    let out = Vec::new();
    let mut session =
        Session { module, wire, incoming, out, window: None, maintains: false, next: None };
    let result = session.run();
    // Also after an error: the module may have something to put away.
    if session.window.is_some() {
        guard(|| session.module.shutdown()).ok();
    }
    result
}

/// What the reading thread hands over.
enum Incoming {
    Request(Request),
    /// A line that is no request, and that has to be answered.
    Refuse(Response),
    /// Nothing can be read any more.
    Broken(io::Error),
}

fn read_lines(reader: impl Read, sender: &SyncSender<Incoming>, wire: &Wire) {
    let mut reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more for the line feed and one to tell a line that is too long.
        let allowed = u64::try_from(LINE_BYTES_MAX + 2).unwrap_or(u64::MAX);
        let message = match (&mut reader).take(allowed).read_until(b'\n', &mut line) {
            Ok(0) => return,
            Ok(_) if line.trim_ascii().is_empty() => continue,
            Ok(_) => match line::parse_request(&line) {
                Ok(request) => Incoming::Request(request),
                // Where such a line ends is not worth finding out: the host is not one of ours.
                Err(err @ LineError::TooLong { .. }) => {
                    Incoming::Broken(io::Error::new(io::ErrorKind::InvalidData, err))
                }
                Err(err) => {
                    if wire.agreed()
                        && let Ok(response) = line::parse_response(&line)
                    {
                        wire.answered(response);
                        continue;
                    }
                    match err.into_response() {
                        Some(response) => Incoming::Refuse(response),
                        None => continue,
                    }
                }
            },
            Err(err) => Incoming::Broken(err),
        };
        let last = match &message {
            Incoming::Request(request) => matches!(request.call, Call::Shutdown),
            Incoming::Refuse(_) => false,
            Incoming::Broken(_) => true,
        };
        if sender.send(message).is_err() || last {
            return;
        }
    }
}

struct Session<M> {
    module: M,
    wire: Arc<Wire>,
    incoming: Receiver<Incoming>,
    /// Answers that are not written yet.
    out: Vec<u8>,
    /// Agreed window; `None` before the greeting and after the farewell.
    window: Option<u32>,
    /// Whether the greeting had the role [`maintain::ROLE`].
    maintains: bool,
    /// What came behind a batch and is no event.
    next: Option<Incoming>,
}

impl<M: ExitModule> Session<M> {
    fn run(&mut self) -> io::Result<()> {
        while let Some(incoming) = self.next.take().or_else(|| self.incoming.recv().ok()) {
            match incoming {
                Incoming::Broken(err) => return Err(err),
                Incoming::Refuse(response) => self.answer(&response),
                Incoming::Request(Request { id, call }) => match call {
                    Call::Initialize(hello) => self.initialize(id, &hello),
                    Call::GetDescription => {
                        let description = guard(|| self.module.description());
                        self.answer(&Response {
                            id: Some(id),
                            answer: description.map(Into::into),
                        });
                    }
                    Call::Notify(event) => self.notify(id, *event),
                    Call::VerifyRequest(asked) => self.verify_request(id, &asked),
                    Call::Test(asked) => {
                        self.maintain(id, |it| it.test(&asked.samples).map(serde_json::to_value));
                    }
                    Call::Install(asked) => {
                        self.maintain(id, |it| it.install(asked.apply).map(serde_json::to_value));
                    }
                    Call::Reconcile(asked) => self.maintain(id, |it| {
                        it.reconcile(&asked.events, asked.mend).map(serde_json::to_value)
                    }),
                    Call::ReconcileEnd(asked) => self
                        .maintain(id, |it| it.reconcile_end(asked.mend).map(serde_json::to_value)),
                    Call::GetManageModule => {
                        self.manage(id, |it| it.manage_module().map(serde_json::to_value));
                    }
                    Call::GetProperty(asked) => self.manage(id, |it| {
                        it.property(&asked.name, asked.flags).map(serde_json::to_value)
                    }),
                    Call::SetProperty(setting) => self.manage(id, |it| {
                        it.set_property(&setting.name, &setting.value).map(serde_json::to_value)
                    }),
                    Call::Configure(all) => self.manage(id, |it| {
                        it.configure(&all.settings, all.flags).map(serde_json::to_value)
                    }),
                    Call::Shutdown => {
                        let goodbye = match self.window.take() {
                            Some(_) => guard(|| self.module.shutdown()),
                            None => Ok(()),
                        };
                        let answer = goodbye.map(|()| serde_json::Value::Null);
                        self.answer(&Response { id: Some(id), answer });
                        return self.flush();
                    }
                },
            }
            self.flush()?;
        }
        Ok(())
    }

    fn initialize(&mut self, id: u64, hello: &Initialize) {
        let refusal = if self.window.is_some() {
            Some(CallError::new(CallError::INVALID_REQUEST, "Initialize was called before"))
        } else if hello.protocol < PROTOCOL_VERSION {
            let text = format!(
                "the host speaks protocol {}, this module {PROTOCOL_VERSION}",
                hello.protocol
            );
            Some(CallError::new(CallError::REFUSED, text))
        } else {
            let missing = match hello.role.as_deref() {
                Some(policy::ROLE) if self.module.policy().is_none() => {
                    Some("this is an exit module, and not a policy module")
                }
                Some(maintain::ROLE) if self.module.maintained().is_none() => {
                    Some(maintain::NO_TARGET)
                }
                _ => None,
            };
            missing.map(|text| CallError::new(CallError::REFUSED, text))
        };
        if let Some(refusal) = refusal {
            return self.answer(&Response { id: Some(id), answer: Err(refusal) });
        }
        // Agreed before the greeting is handed on: in there the module may ask about the CA.
        let offered = hello.features.iter().any(|it| it == CALL_BACKS);
        self.wire.agree(offered);
        self.maintains = hello.role.as_deref() == Some(maintain::ROLE);
        let (module, wire, maintains) = (&mut self.module, &self.wire, self.maintains);
        let mask = guard(|| {
            let call_backs = offered && module.use_call_backs(&wire.call_backs());
            let mask = match module.maintained() {
                // It is told of nothing.
                Some(maintained) if maintains => maintained.begin(hello).map(|()| EventMask(0)),
                _ => module.initialize(hello),
            };
            (mask, call_backs)
        })
        .and_then(|(mask, call_backs)| match mask {
            Ok(mask) => Ok((mask, call_backs)),
            Err(reason) => Err(CallError::new(CallError::REFUSED, reason)),
        });
        self.wire.agree(mask.as_ref().is_ok_and(|(_, call_backs)| *call_backs));
        match mask {
            Ok((mask, call_backs)) => {
                let window_max = if call_backs { WINDOW_WITH_CALL_BACKS_MAX } else { WINDOW_MAX };
                let window = hello.window.clamp(1, window_max);
                self.window = Some(window);
                // A host of a newer protocol learns from the answer that it has to speak ours.
                let initialized = Initialized {
                    protocol: PROTOCOL_VERSION,
                    features: call_backs.then(|| CALL_BACKS.to_owned()).into_iter().collect(),
                    event_mask: mask.0,
                    window,
                };
                let written = line::write_initialized(&mut self.out, id, &initialized);
                self.or_refuse(id, written);
            }
            Err(refusal) => self.answer(&Response { id: Some(id), answer: Err(refusal) }),
        }
    }

    /// Takes the events that are there already along with the first one.
    fn notify(&mut self, first_id: u64, first: Event) {
        let Some(window) = self.window.filter(|_| !self.maintains) else {
            let text = "Notify before Initialize, or to a process that maintains";
            let refusal = CallError::new(CallError::INVALID_REQUEST, text);
            return self.answer(&Response { id: Some(first_id), answer: Err(refusal) });
        };
        let mut ids = vec![first_id];
        let mut events = vec![first];
        let batch_max = self.module.batch_max().min(usize::try_from(window).unwrap_or(usize::MAX));
        while events.len() < batch_max {
            match self.incoming.try_recv() {
                Ok(Incoming::Request(Request { id, call: Call::Notify(event) })) => {
                    ids.push(id);
                    events.push(*event);
                }
                Ok(other) => {
                    self.next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        match self.deliver(&events) {
            Ok(outcomes) => {
                for (id, outcome) in ids.into_iter().zip(outcomes) {
                    self.answer_outcome(id, &outcome);
                }
            }
            Err(refusal) if events.len() == 1 => {
                self.answer(&Response { id: Some(first_id), answer: Err(refusal) });
            }
            // One of them is guilty. Alone, each answers for itself; delivery is at least once, so
            // the second time of the others does no harm.
            Err(_) => {
                for (id, event) in ids.into_iter().zip(&events) {
                    match self.deliver(std::slice::from_ref(event)) {
                        Ok(outcomes) => {
                            for outcome in &outcomes {
                                self.answer_outcome(id, outcome);
                            }
                        }
                        Err(refusal) => {
                            self.answer(&Response { id: Some(id), answer: Err(refusal) });
                        }
                    }
                }
            }
        }
    }

    /// Has a policy module decide.
    fn verify_request(&mut self, id: u64, asked: &VerifyRequest) {
        let greeted = self.window.is_some();
        let ruled = guard(|| match self.module.policy() {
            None => Err(CallError::new(
                CallError::METHOD_NOT_FOUND,
                "this is an exit module, and not a policy module",
            )),
            Some(_) if !greeted => {
                Err(CallError::new(CallError::INVALID_REQUEST, "VerifyRequest before Initialize"))
            }
            Some(policy) => {
                let mut server = ServerPolicy::new(asked);
                let verdict = policy.verify_request(asked, &mut server)?;
                Ok(verdict.into_ruling(server))
            }
        });
        match ruled.and_then(|it| it) {
            Ok(ruling) => {
                let written = line::write_ruling(&mut self.out, id, &ruling);
                self.or_refuse(id, written);
            }
            Err(refusal) => self.answer(&Response { id: Some(id), answer: Err(refusal) }),
        }
    }

    /// Answers a call about the module itself.
    fn manage(
        &mut self,
        id: u64,
        call: impl FnOnce(&mut dyn ManageExitModule) -> Result<serde_json::Result<Json>, String>,
    ) {
        let greeted = self.window.is_some();
        let answer = guard(|| match self.module.managed() {
            None => Err(CallError::new(
                CallError::METHOD_NOT_FOUND,
                "this module does not manage itself",
            )),
            Some(_) if greeted => Err(CallError::new(
                CallError::INVALID_REQUEST,
                "managing is done before Initialize, in a process of its own",
            )),
            Some(managed) => answered(call(managed)),
        });
        self.answer(&Response { id: Some(id), answer: answer.and_then(|it| it) });
    }

    /// Answers a call about the module's target.
    fn maintain(
        &mut self,
        id: u64,
        call: impl FnOnce(&mut dyn MaintainExitModule) -> Result<serde_json::Result<Json>, String>,
    ) {
        let greeted = self.window.is_some() && self.maintains;
        let answer = guard(|| match self.module.maintained() {
            None => Err(CallError::new(
                CallError::METHOD_NOT_FOUND,
                "this module has no target to look after",
            )),
            Some(_) if !greeted => Err(CallError::new(
                CallError::INVALID_REQUEST,
                "maintaining is done after Initialize with the role maintain",
            )),
            Some(maintained) => answered(call(maintained)),
        });
        self.answer(&Response { id: Some(id), answer: answer.and_then(|it| it) });
    }

    /// One outcome for each event, or why there is none.
    fn deliver(&mut self, events: &[Event]) -> Result<Vec<Outcome>, CallError> {
        let outcomes = guard(|| self.module.notify_batch(events))?;
        if outcomes.len() == events.len() {
            return Ok(outcomes);
        }
        let text =
            format!("the module gave {} outcomes for {} events", outcomes.len(), events.len());
        Err(CallError::new(CallError::INTERNAL, text))
    }

    fn answer_outcome(&mut self, id: u64, outcome: &Outcome) {
        let written = line::write_outcome(&mut self.out, id, outcome);
        self.or_refuse(id, written);
    }

    fn answer(&mut self, response: &Response) {
        let written = line::write_response(&mut self.out, response);
        self.or_refuse(response.id.unwrap_or_default(), written);
    }

    /// An answer that is too long for a line is replaced by one that says so.
    fn or_refuse(&mut self, id: u64, written: Result<(), LineError>) {
        if let Err(err) = written {
            let answer = Err(CallError::new(CallError::INTERNAL, err.to_string()));
            line::write_response(&mut self.out, &Response { id: Some(id), answer })
                .expect("BUG: a refusal of one clause fits a line");
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            self.wire.write(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }
}

/// What a module gave, or its reason for not giving it.
fn answered(given: Result<serde_json::Result<Json>, String>) -> Result<Json, CallError> {
    match given {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(err)) => Err(CallError::new(CallError::INTERNAL, err.to_string())),
        Err(reason) => Err(CallError::new(CallError::REFUSED, reason)),
    }
}

/// Turns a panic of the module into a refusal. Its text is on standard error as well.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T, CallError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let text = format!("the module panicked: {}", panic_text(payload.as_ref()));
        CallError::new(CallError::INTERNAL, text)
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    text.lines().next().unwrap_or_default().chars().take(PANIC_TEXT_MAX).collect()
}
