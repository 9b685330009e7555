//! A host for tests: drives a module on a thread or as a process, and checks the conversation.
//!
//! It is strict where the server is forgiving, so that an author hears early: an answer that nobody
//! asked for, or none within [`ANSWER_WITHIN`], is an error.

mod outcome;

use std::{
    collections::HashMap,
    fmt,
    io::{self, BufRead as _, BufReader, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use exeunt_module::{
    Call, CallError, Event, Extension, Initialize, Initialized, Outcome, PROTOCOL_VERSION,
    Properties, Request, Response, Value,
    call_back::{self, CALL_BACKS, Found, Query, Refusal},
    exit_event,
    line::{self, LineError},
    maintain::{self, Compared, Install, InstallReport, Reconcile, ReconcileEnd, Test, TestReport},
    manage::{CMM_READONLY, Configure, GetProperty, ManageModule, SetProperty},
    policy::{self, Ruling, ServerPolicy, VerifyRequest},
};

use crate::{ExitModule, PolicyModule, serve_on, serve_policy_on};

pub use outcome::{parked, reason, retried, target_down};

/// How long a test waits for one answer, and for the end of a module after its farewell.
pub const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// The window that [`Host::initialize`] offers.
pub const WINDOW: u32 = 64;

/// Why a test host could not get its answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The module answered with a refusal.
    #[error("the module refused: {0}")]
    Refuse(CallError),
    /// The module's line is no answer, or none that was asked for.
    #[error("the module said something unexpected: {0}")]
    Unexpected(String),
    /// Nothing came within [`ANSWER_WITHIN`].
    #[error("no answer came in time")]
    Timeout,
    /// The module has closed its output.
    #[error("the module has ended")]
    Ended,
    /// The operating system failed us.
    #[error("talking to the module failed")]
    Io(#[source] io::Error),
}

impl HostError {
    /// Stable code. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refuse(_) => "test-host-refuse",
            Self::Unexpected(_) => "test-host-unexpected",
            Self::Timeout => "test-host-timeout",
            Self::Ended => "test-host-ended",
            Self::Io(_) => "test-host-io",
        }
    }
}

impl From<LineError> for HostError {
    fn from(err: LineError) -> Self {
        Self::Unexpected(err.to_string())
    }
}

/// The CA's side of the conversation.
pub struct Host {
    /// `None` after hanging up.
    to_module: Option<Box<dyn Write + Send>>,
    from_module: Receiver<io::Result<Vec<u8>>>,
    body: Body,
    next_id: u64,
    window: usize,
    /// Answers that came before they were asked for.
    early: HashMap<u64, Response>,
    /// Answers call-backs; `None` does not offer them.
    call_backs: Option<AnswerCallBack>,
}

/// What a test does when the module asks.
type AnswerCallBack = Box<dyn FnMut(&Query) -> Result<Found, Refusal> + Send>;

/// Where the module lives.
#[derive(Debug)]
enum Body {
    Process(Child),
    Thread(Option<JoinHandle<io::Result<()>>>),
}

impl fmt::Debug for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Host").field("body", &self.body).finish_non_exhaustive()
    }
}

impl Host {
    /// Starts a module as a process, as the server does. Its standard error goes where the test's
    /// goes.
    ///
    /// # Errors
    ///
    /// [`HostError::Io`]: it cannot be started.
    pub fn spawn(mut command: Command) -> Result<Self, HostError> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(HostError::Io)?;
        let stdin = child.stdin.take().expect("BUG: standard input was piped");
        let stdout = child.stdout.take().expect("BUG: standard output was piped");
        Ok(Self::new(stdin, stdout, Body::Process(child)))
    }

    /// Runs a module on a thread of the test.
    ///
    /// # Errors
    ///
    /// [`HostError::Io`]: the system has no pipes left.
    pub fn in_memory<M: ExitModule + Send + 'static>(module: M) -> Result<Self, HostError> {
        let (module_reads, to_module) = io::pipe().map_err(HostError::Io)?;
        let (from_module, module_writes) = io::pipe().map_err(HostError::Io)?;
        let thread = thread::spawn(move || serve_on(module_reads, module_writes, module));
        Ok(Self::new(to_module, from_module, Body::Thread(Some(thread))))
    }

    /// Runs a policy module on a thread of the test.
    ///
    /// # Errors
    ///
    /// [`HostError::Io`]: the system has no pipes left.
    pub fn policy_in_memory<M: PolicyModule + Send + 'static>(
        module: M,
    ) -> Result<Self, HostError> {
        let (module_reads, to_module) = io::pipe().map_err(HostError::Io)?;
        let (from_module, module_writes) = io::pipe().map_err(HostError::Io)?;
        let thread = thread::spawn(move || serve_policy_on(module_reads, module_writes, module));
        Ok(Self::new(to_module, from_module, Body::Thread(Some(thread))))
    }

    fn new(
        to_module: impl Write + Send + 'static,
        from_module: impl Read + Send + 'static,
        body: Body,
    ) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(from_module).split(b'\n') {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            to_module: Some(Box::new(to_module)),
            from_module: lines,
            body,
            next_id: 1,
            window: 1,
            early: HashMap::new(),
            call_backs: None,
        }
    }

    /// Offers call-backs in [`Host::initialize`], and answers them so. The events stay as the test
    /// gives them; what the module is to ask for, the test leaves out.
    #[must_use]
    pub fn with_call_backs(
        mut self,
        answer: impl FnMut(&Query) -> Result<Found, Refusal> + Send + 'static,
    ) -> Self {
        self.call_backs = Some(Box::new(answer));
        self
    }

    /// Greets the module with these settings, a JSON object.
    ///
    /// # Errors
    ///
    /// [`HostError::Refuse`] where the module does not like them; otherwise as the variants say.
    pub fn initialize(&mut self, settings: &serde_json::Value) -> Result<Initialized, HostError> {
        self.initialize_as(None, WINDOW, settings)
    }

    /// Greets a policy module with these settings, a JSON object.
    ///
    /// # Errors
    ///
    /// As [`Host::initialize`].
    pub fn initialize_policy(
        &mut self,
        settings: &serde_json::Value,
    ) -> Result<Initialized, HostError> {
        self.initialize_as(Some(policy::ROLE), 1, settings)
    }

    /// Greets a module that is to look after its target, with these settings, a JSON object.
    ///
    /// # Errors
    ///
    /// As [`Host::initialize`].
    pub fn initialize_maintain(
        &mut self,
        settings: &serde_json::Value,
    ) -> Result<Initialized, HostError> {
        self.initialize_as(Some(maintain::ROLE), 1, settings)
    }

    fn initialize_as(
        &mut self,
        role: Option<&str>,
        window: u32,
        settings: &serde_json::Value,
    ) -> Result<Initialized, HostError> {
        let settings = settings
            .as_object()
            .cloned()
            .ok_or_else(|| HostError::Unexpected("settings that are no JSON object".to_owned()))?;
        self.initialize_with(Initialize {
            protocol: PROTOCOL_VERSION,
            features: self.call_backs.iter().map(|_| CALL_BACKS.to_owned()).collect(),
            config: "Test CA".to_owned(),
            module: "under-test".to_owned(),
            role: role.map(str::to_owned),
            settings,
            window,
            deadline_ms: 30_000,
            partial: false,
        })
    }

    /// Has a module try its target.
    ///
    /// # Errors
    ///
    /// [`HostError::Refuse`] where it could not say anything.
    pub fn test_target(&mut self, samples: &[Event]) -> Result<TestReport, HostError> {
        self.asked(Call::Test(Box::new(Test { samples: samples.to_vec() })))
    }

    /// Has a module make what has to be in its target, or say what that is.
    ///
    /// # Errors
    ///
    /// [`HostError::Refuse`] where nothing was done.
    pub fn install(&mut self, apply: bool) -> Result<InstallReport, HostError> {
        self.asked(Call::Install(Install { apply }))
    }

    /// Has a module compare its target with what the CA holds, or mend it: everything, and then
    /// what is left over. Gives the sum of it.
    ///
    /// # Errors
    ///
    /// [`HostError::Refuse`] where nothing can be compared.
    pub fn reconcile(&mut self, events: &[Event], mend: bool) -> Result<Compared, HostError> {
        let mut sum = Compared::default();
        for events in events.chunks(maintain::EVENTS_MAX) {
            let reconcile = Reconcile { events: events.to_vec(), mend };
            let compared: Compared = self.asked(Call::Reconcile(Box::new(reconcile)))?;
            sum.good += compared.good;
            sum.findings.extend(compared.findings);
        }
        loop {
            let compared: Compared = self.asked(Call::ReconcileEnd(ReconcileEnd { mend }))?;
            sum.good += compared.good;
            sum.findings.extend(compared.findings);
            if !compared.more {
                return Ok(sum);
            }
        }
    }

    /// Asks a policy module to decide, and judges what it sets as the CA does. Gives the ruling, and
    /// the snapshot with everything that the ruling sets.
    ///
    /// # Errors
    ///
    /// [`HostError::Refuse`] where the module failed at it, [`HostError::Unexpected`] where its
    /// ruling is none, or sets what may not be set.
    pub fn verify(&mut self, asked: &VerifyRequest) -> Result<(Ruling, ServerPolicy), HostError> {
        let call = Call::VerifyRequest(Box::new(asked.clone()));
        let ruling = self.call(call)?.into_ruling().map_err(HostError::Refuse)?;
        if ruling.disposition().is_none() {
            return Err(HostError::Unexpected(format!("disposition {}", ruling.disposition)));
        }
        let mut server = ServerPolicy::new(asked);
        server.apply(&ruling).map_err(|err| HostError::Unexpected(err.to_string()))?;
        Ok((ruling, server))
    }

    /// Greets the module with a greeting of the test's own.
    ///
    /// # Errors
    ///
    /// As [`Host::initialize`].
    pub fn initialize_with(&mut self, hello: Initialize) -> Result<Initialized, HostError> {
        let offered = hello.window;
        let initialized =
            self.call(Call::Initialize(hello))?.into_initialized().map_err(HostError::Refuse)?;
        if initialized.window == 0 || offered < initialized.window {
            let text = format!("window {} of {offered}", initialized.window);
            return Err(HostError::Unexpected(text));
        }
        self.window = usize::try_from(initialized.window).unwrap_or(usize::MAX);
        Ok(initialized)
    }

    /// Asks what the module is.
    ///
    /// # Errors
    ///
    /// As the variants say.
    pub fn description(&mut self) -> Result<String, HostError> {
        self.call(Call::GetDescription)?.into_description().map_err(HostError::Refuse)
    }

    /// Asks which settings the module knows. Like the three that follow, before any greeting.
    ///
    /// # Errors
    ///
    /// [`HostError::Refuse`] with [`CallError::METHOD_NOT_FOUND`] where it does not manage itself.
    pub fn manage_module(&mut self) -> Result<ManageModule, HostError> {
        self.asked(Call::GetManageModule)
    }

    /// Asks for a fact about the module.
    ///
    /// # Errors
    ///
    /// As [`Host::manage_module`].
    pub fn module_property(&mut self, name: &str) -> Result<Option<Value>, HostError> {
        self.asked(Call::GetProperty(GetProperty { name: name.to_owned(), flags: 0 }))
    }

    /// Asks whether one setting would do.
    ///
    /// # Errors
    ///
    /// As [`Host::manage_module`], and [`HostError::Refuse`] with [`CallError::REFUSED`] where it
    /// would not.
    pub fn set_module_property(
        &mut self,
        name: &str,
        value: serde_json::Value,
    ) -> Result<(), HostError> {
        self.asked(Call::SetProperty(SetProperty { name: name.to_owned(), value }))
    }

    /// Asks whether these settings, a JSON object, would do together.
    ///
    /// # Errors
    ///
    /// As [`Host::set_module_property`].
    pub fn configure(&mut self, settings: &serde_json::Value) -> Result<(), HostError> {
        let settings = settings
            .as_object()
            .cloned()
            .ok_or_else(|| HostError::Unexpected("settings that are no JSON object".to_owned()))?;
        self.asked(Call::Configure(Configure { settings, flags: CMM_READONLY }))
    }

    fn asked<T: serde::de::DeserializeOwned>(&mut self, call: Call) -> Result<T, HostError> {
        let result = self.call(call)?.answer.map_err(HostError::Refuse)?;
        serde_json::from_value(result).map_err(|err| HostError::Unexpected(err.to_string()))
    }

    /// Delivers one event.
    ///
    /// # Errors
    ///
    /// [`HostError::Refuse`] where the module failed at it, for example by a panic.
    pub fn notify(&mut self, event: &Event) -> Result<Outcome, HostError> {
        let call = Call::Notify(Box::new(event.clone()));
        self.call(call)?.into_outcome().map_err(HostError::Refuse)
    }

    /// Delivers many events, as many at the same time as the window allows. The answers are in the
    /// order of the events.
    ///
    /// # Errors
    ///
    /// As the variants say; a refusal of single events stands in their places.
    pub fn notify_all(
        &mut self,
        events: &[Event],
    ) -> Result<Vec<Result<Outcome, CallError>>, HostError> {
        let mut outcomes = Vec::with_capacity(events.len());
        for events in events.chunks(self.window) {
            let first_id = self.next_id;
            let mut lines = Vec::new();
            for event in events {
                line::write_notify(&mut lines, self.next_id, event)?;
                self.next_id += 1;
            }
            self.send_lines(&lines)?;
            for id in first_id..self.next_id {
                outcomes.push(self.answer(id)?.into_outcome());
            }
        }
        Ok(outcomes)
    }

    /// Writes bytes as they are, for tests of what must not happen.
    ///
    /// # Errors
    ///
    /// [`HostError::Io`] or, after hanging up, [`HostError::Ended`].
    pub fn send_lines(&mut self, lines: &[u8]) -> Result<(), HostError> {
        let to_module = self.to_module.as_mut().ok_or(HostError::Ended)?;
        to_module.write_all(lines).and_then(|()| to_module.flush()).map_err(HostError::Io)
    }

    /// The next answer, whichever it is.
    ///
    /// # Errors
    ///
    /// As the variants say.
    pub fn next_answer(&mut self) -> Result<Response, HostError> {
        loop {
            let line = match self.from_module.recv_timeout(ANSWER_WITHIN) {
                Ok(line) => line.map_err(HostError::Io)?,
                Err(RecvTimeoutError::Timeout) => return Err(HostError::Timeout),
                Err(RecvTimeoutError::Disconnected) => return Err(HostError::Ended),
            };
            let (Some(answer), Ok(asked)) =
                (self.call_backs.as_mut(), call_back::parse_call_back(&line))
            else {
                return Ok(line::parse_response(&line)?);
            };
            let found = answer(&asked.query);
            let found = found.as_ref().map_err(|it| it.into_error("the test has none"));
            let mut out = Vec::new();
            call_back::write_found(&mut out, asked.id, found)?;
            self.send_lines(&out)?;
        }
    }

    /// Says farewell, and waits until the module has ended by itself and well.
    ///
    /// # Errors
    ///
    /// [`HostError::Unexpected`] where it ended with a failure, [`HostError::Timeout`] where it did
    /// not end.
    pub fn shutdown(mut self) -> Result<(), HostError> {
        let response = self.call(Call::Shutdown)?;
        match response.answer {
            Ok(serde_json::Value::Null) => self.wait(),
            Ok(other) => Err(HostError::Unexpected(format!("Shutdown answered {other}"))),
            Err(refusal) => Err(HostError::Refuse(refusal)),
        }
    }

    /// Closes the module's input without a word, and waits until it has ended by itself and well.
    ///
    /// # Errors
    ///
    /// As [`Host::shutdown`].
    pub fn hang_up(mut self) -> Result<(), HostError> {
        self.to_module = None;
        self.wait()
    }

    fn call(&mut self, call: Call) -> Result<Response, HostError> {
        let id = self.next_id;
        self.next_id += 1;
        let mut line = Vec::new();
        line::write_request(&mut line, &Request { id, call })?;
        self.send_lines(&line)?;
        self.answer(id)
    }

    fn answer(&mut self, id: u64) -> Result<Response, HostError> {
        loop {
            if let Some(response) = self.early.remove(&id) {
                return Ok(response);
            }
            let response = self.next_answer()?;
            match response.id {
                Some(answered) if id <= answered && answered < self.next_id => {
                    if self.early.insert(answered, response).is_some() {
                        return Err(HostError::Unexpected(format!("two answers to {answered}")));
                    }
                }
                other => {
                    return Err(HostError::Unexpected(format!(
                        "an answer to {other:?}: {response:?}"
                    )));
                }
            }
        }
    }

    /// Waits for the end of the module; whatever it still says is unexpected.
    fn wait(&mut self) -> Result<(), HostError> {
        match self.next_answer() {
            Err(HostError::Ended) => (),
            Ok(response) => {
                return Err(HostError::Unexpected(format!("a last word: {response:?}")));
            }
            Err(err) => return Err(err),
        }
        match &mut self.body {
            Body::Process(child) => {
                let status = wait_for(child)?;
                if status.success() {
                    Ok(())
                } else {
                    Err(HostError::Unexpected(status.to_string()))
                }
            }
            Body::Thread(thread) => {
                let Some(thread) = thread.take() else { return Ok(()) };
                match thread.join() {
                    Ok(result) => result.map_err(HostError::Io),
                    Err(_) => Err(HostError::Unexpected("the module's thread panicked".to_owned())),
                }
            }
        }
    }
}

/// Its output is closed, so its end is near; there is no way to wait with a deadline but to look.
fn wait_for(child: &mut Child) -> Result<ExitStatus, HostError> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    loop {
        if let Some(status) = child.try_wait().map_err(HostError::Io)? {
            return Ok(status);
        }
        if deadline < Instant::now() {
            return Err(HostError::Timeout);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Host {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        self.to_module = None;
        if let Body::Process(child) = &mut self.body {
            // Both fail only where the process is gone already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// An event that tells of an issued certificate, for tests to change as they like: request number
/// and place in the log are `seq`, and the certificate is the DER in `raw_certificate`.
#[must_use]
pub fn issued_event(seq: u64, raw_certificate: &[u8]) -> Event {
    let number = i32::try_from(seq).unwrap_or(i32::MAX);
    let text = |text: &str| Value::String(text.to_owned());
    let date = |text: &str| Value::Date(text.to_owned());
    Event {
        id: format!("00000000000000000000000000000001-{seq}"),
        seq,
        event: exit_event::CERT_ISSUED,
        context: seq,
        subject: format!("request:{seq}"),
        time: "2026-11-21T07:00:00.000Z".to_owned(),
        attempt: 1,
        request: Properties::from_iter([
            ("RequestID", Value::Long(number)),
            ("RequesterName", text("test")),
            ("Disposition", Value::Long(20)),
            ("StatusCode", Value::Long(0)),
        ]),
        certificate: Properties::from_iter([
            ("RequestID", Value::Long(number)),
            ("RawCertificate", Value::Binary(raw_certificate.to_vec())),
            ("SerialNumber", text(&format!("40{seq:030x}"))),
            ("CommonName", text("www.example.com")),
            ("CertificateTemplate", text("WebServer")),
            ("NotBefore", date("2026-11-21T07:00:00Z")),
            ("NotAfter", date("2027-11-21T07:00:00Z")),
        ]),
        attributes: vec![("CertificateTemplate".to_owned(), "WebServer".to_owned())],
        extensions: exeunt_module::Extensions::default(),
        detail: Properties::default(),
        system: Arc::new(Properties::from_iter([("SanitizedCAName", text("Test CA"))])),
    }
}

/// A request for a certificate of 90 days for one host, as a policy module sees it, for tests to
/// change as they like. Its subject alternative name is there and not enabled.
#[must_use]
pub fn request_for(host: &str) -> VerifyRequest {
    let text = |text: &str| Value::String(text.to_owned());
    let date = |text: &str| Value::Date(text.to_owned());
    let mut extensions = exeunt_module::Extensions::default();
    // SEQUENCE { [2] host }, short lengths alone.
    let length = u8::try_from(host.len()).unwrap_or(0x7d).min(0x7d);
    let mut names = vec![0x30, length + 2, 0x82, length];
    names.extend(host.bytes().take(length.into()));
    extensions.push("2.5.29.17", Extension { flags: 0x1_0002, value: names });
    let event = Event {
        id: "policy-1".to_owned(),
        seq: 1,
        event: 0,
        context: 1,
        subject: "request".to_owned(),
        time: "2026-11-21T07:00:00.000Z".to_owned(),
        attempt: 1,
        request: Properties::from_iter([
            ("RequesterName", text("test")),
            ("RequestType", Value::Long(0x100)),
            ("CommonName", text(host)),
        ]),
        certificate: Properties::from_iter([
            ("CommonName", text(host)),
            ("NotBefore", date("2026-11-21T06:50:00Z")),
            ("NotAfter", date("2027-02-19T06:59:59Z")),
        ]),
        extensions,
        system: Arc::new(Properties::from_iter([("SanitizedCAName", text("Test CA"))])),
        ..Event::default()
    };
    VerifyRequest { event, new_request: true, flags: 0, default: None }
}
