//! The real store, the real host, real module processes: a few lines of Python each.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod damage;
mod deliver;
mod fail;
mod failures;
mod life;
mod maintain;
mod orders;
mod process;
mod target;

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use exeunt_dispatch::{
    CaCertificateFacts, CaFacts, Clock, Dispatcher, ExitSettings, ExitStatus, RetrySchedule,
};
use exeunt_host::{HostLimits, ModuleCommand};
use exeunt_store::Store;
use exeunt_types::{
    EventKind, EventSeq, ExitName, KeyAlgorithm, NewCertificate, NewIntent, NewRequest, RequestId,
    RequestType, Resolution, Serial, StartAt, StatusCode, UnixMillis,
};
use tempfile::TempDir;

/// How long a test waits for something that is sure to happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// A module that writes down what it hears and accepts it. A test puts its own functions between
/// this and `MAIN`. Its second argument is the folder, its third the file for what it hears.
const DECENT: &str = r#"
import json, os, signal, sys, time

FOLDER, HEARD = sys.argv[1], sys.argv[2]
MASK = 0xffdfffff
WINDOW = 64
VERSION = 1

def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()

def answer(call, result):
    send({"jsonrpc": "2.0", "id": call["id"], "result": result})

def refuse(call, message):
    send({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32603, "message": message}})

def accept(call):
    answer(call, {"outcome": "accept"})

def retry(call, after_ms=None):
    answer(call, {"outcome": "retry", "after_ms": after_ms, "reason": "busy"})

def there_is(name):
    return os.path.exists(os.path.join(FOLDER, name))

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def event(call):
    return call["params"]["event"]

def seq(call):
    return event(call)["seq"]

def hear(call):
    it = event(call)
    line = {"id": it["id"], "seq": it["seq"], "attempt": it["attempt"], "event": it["event"],
            "version": VERSION, "time": time.time()}
    with open(HEARD, "a") as out:
        out.write(json.dumps(line) + "\n")

def initialize(call):
    answer(call, {"protocol": 1, "features": [], "event_mask": MASK, "window": WINDOW})

def notify(call):
    accept(call)
"#;

const MAIN: &str = r#"
for line in sys.stdin:
    call = json.loads(line)
    if call["method"] == "Initialize":
        initialize(call)
    elif call["method"] == "GetDescription":
        answer(call, "a decent module")
    elif call["method"] == "Notify":
        hear(call)
        notify(call)
    else:
        answer(call, None)
        break
"#;

/// A CA's store and its modules, in one folder.
struct Stage {
    folder: TempDir,
    store: Store,
    offset: Arc<AtomicI64>,
}

/// What a module was told.
#[derive(Clone, Debug, serde::Deserialize)]
struct Heard {
    id: String,
    seq: u64,
    attempt: u32,
    event: u32,
    version: u32,
    time: f64,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.db");
        Store::create(&path, [0x5a; 8], UnixMillis(1)).unwrap();
        let store = Store::open(&path).unwrap();
        Self { folder, store, offset: Arc::default() }
    }

    /// `count` refused requests: one event each, subjects all different.
    fn deny(&self, count: u64) {
        for _ in 0..count {
            let why = Resolution::Deny { status: StatusCode::ENROLL_DENIED, message: "no".into() };
            self.store.admit_resolve(self.request(), why).unwrap();
        }
    }

    /// An issued certificate; its event.
    fn issue(&self, serial: u8) -> (RequestId, EventSeq) {
        let serial = Serial::from_be_bytes(&[0x4a, serial]).unwrap();
        let not_after = UnixMillis(1_743_465_599_000);
        let intent =
            NewIntent { serial, tbs: vec![0x30, 0x00], not_after, ca_key: 0, crl_partition: 0 };
        let request = self.store.admit_intend(self.request(), intent).unwrap();
        let certificate = NewCertificate {
            serial,
            raw: vec![0x30, 0x03, 0x02, 0x01, 0x05],
            subject: "CN=www.example.org,O=Example".to_owned(),
            subject_alternative_names: "dns:www.example.org".to_owned(),
            not_before: UnixMillis(1_735_689_600_000),
            not_after,
            ca_key: 0,
            crl_partition: 0,
            key: KeyAlgorithm::EcdsaP256,
        };
        (request, self.store.record(request, certificate, self.now()).unwrap())
    }

    /// Events of the server, which wait for none of each other.
    fn serve(&self, count: u64) {
        for _ in 0..count {
            self.store.append_server_event(EventKind::STARTUP, self.now()).unwrap();
        }
    }

    /// Events of one and the same subject, behind each of which the next one waits however long.
    fn miss_a_list(&self, count: u64) {
        for _ in 0..count {
            self.store.append_server_event(EventKind::CRL_PUBLICATION_FAILED, self.now()).unwrap();
        }
    }

    fn request(&self) -> NewRequest {
        NewRequest {
            raw: vec![0x30, 0x02, 0x05, 0x00],
            request_type: RequestType::Pkcs10,
            requester: "alice".to_owned(),
            caller: "alice".to_owned(),
            template: "tls".to_owned(),
            attributes: vec![("cdc".to_owned(), "dc1".to_owned())],
            subject: "CN=www.example.org".to_owned(),
            flags: exeunt_types::RequestFlags::default(),
            old_certificate: None,
            submitted: self.now(),
        }
    }

    fn clock(&self) -> Clock {
        let offset = Arc::clone(&self.offset);
        Arc::new(move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
            UnixMillis(i64::try_from(now).unwrap() + offset.load(Ordering::Relaxed))
        })
    }

    fn now(&self) -> UnixMillis {
        (self.clock())()
    }

    /// Lets the clock jump.
    fn later(&self, seconds: i64) {
        self.offset.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn touch(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// A module from the first event on, with short pauses. `own` redefines what is not decent.
    fn module(&self, name: &str, own: &str) -> ExitSettings {
        let script = self.path(&format!("{name}.py"));
        fs::write(&script, format!("{DECENT}\n{own}\n{MAIN}")).unwrap();
        ExitSettings {
            name: ExitName::parse(name).unwrap(),
            enabled: true,
            command: ModuleCommand {
                program: interpreter(),
                // Isolated: site packages take most of the time of a start.
                args: vec![
                    "-I".into(),
                    "-S".into(),
                    script.into(),
                    self.folder.path().into(),
                    self.path(&format!("{name}.heard")).into(),
                ],
                env: Vec::new(),
                working_directory: self.folder.path().to_owned(),
                confine: None,
            },
            limits: HostLimits {
                hello: PATIENCE,
                event: PATIENCE,
                shutdown: PATIENCE,
                // They yield to nobody here: a loaded machine would starve them.
                nice: 0,
                ..HostLimits::default()
            },
            retry: RetrySchedule {
                first: Duration::from_millis(100),
                factor: 2,
                longest: Duration::from_secs(2),
                attempts_max: 100,
            },
            start_at: StartAt::After(EventSeq(0)),
            events: None,
            filter: None,
            before_reply: false,
            settings: serde_json::Map::new(),
        }
    }

    fn start(&self, exits: Vec<ExitSettings>) -> Dispatcher {
        // The lowest draw: each pause is half of what the schedule says.
        let lowest = Arc::new(|| 0);
        Dispatcher::start(self.store.clone(), exits, &facts(), self.clock(), lowest).unwrap()
    }

    /// What a module was told until now.
    fn heard(&self, name: &str) -> Vec<Heard> {
        let text = fs::read_to_string(self.path(&format!("{name}.heard"))).unwrap_or_default();
        // A line that is being written is not there yet.
        let whole = text.rfind('\n').map_or("", |it| &text[..it]);
        whole.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    /// Places in the log of what a module was told until now.
    fn heard_seqs(&self, name: &str) -> Vec<u64> {
        self.heard(name).iter().map(|it| it.seq).collect()
    }

    /// The cursor as the store has it.
    fn stored_cursor(&self, name: &str) -> u64 {
        let cursors = self.store.cursors().unwrap();
        cursors.iter().find(|it| it.exit == name).unwrap().position.0
    }
}

fn facts() -> CaFacts {
    CaFacts {
        name: "Test CA".to_owned(),
        machine_dns_name: "ca.example.org".to_owned(),
        root: true,
        certificates: vec![CaCertificateFacts {
            der: vec![0x30, 0x03, 0x02, 0x01, 0x01],
            key_index: 0,
        }],
        lists: None,
    }
}

fn named(name: &str) -> ExitName {
    ExitName::parse(name).unwrap()
}

/// Waits until the status of the only module is as wanted, and returns it.
#[track_caller]
fn status_when(dispatcher: &Dispatcher, wanted: impl Fn(&ExitStatus) -> bool) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = dispatcher.status().remove(0);
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < until, "waited in vain: {status:#?}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until nothing is left to tell.
#[track_caller]
fn all_told(dispatcher: &Dispatcher) -> ExitStatus {
    status_when(dispatcher, |it| {
        it.lag == 0 && it.held_retry == 0 && it.held_behind == 0 && it.cursor == it.head
    })
}

#[track_caller]
fn until(wanted: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !wanted() {
        assert!(Instant::now() < until, "waited in vain");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The interpreter itself: `python3` may be a script that looks for one.
fn interpreter() -> PathBuf {
    static INTERPRETER: LazyLock<PathBuf> = LazyLock::new(|| {
        let tell = ["-I", "-S", "-c", "import sys; print(sys.executable)"];
        let output = Command::new("python3").args(tell).output().unwrap();
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    });
    INTERPRETER.clone()
}

/// Runs a few lines of Python on the store's file, as vandals do.
fn damage(stage: &Stage, sql: &str) {
    let script = "import sqlite3, sys\n\
                  conn = sqlite3.connect(sys.argv[1], timeout=30)\n\
                  conn.execute(sys.argv[2]); conn.commit(); conn.close()";
    let args = ["-I", "-S", "-c", script];
    let status =
        Command::new(interpreter()).args(args).arg(stage.path("ca.db")).arg(sql).status().unwrap();
    assert!(status.success());
}
