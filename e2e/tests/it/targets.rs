//! One story for every target: thousands of certificates, while its server is killed and the network
//! fails and the CA itself is killed. In the end the target is what the store says, and nothing else in it
//! was touched.
//!
//! What is in a target is read by tools that know nothing of us. `EXEUNT_TARGETS_FACTOR=10` in the
//! environment makes each story that many times as long.

mod bus;
mod directory;
mod file;
mod mail;
mod object;
mod sql;
mod syslog;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::rc::Rc;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use exeunt_e2e::ca::{Ca, text};
use exeunt_e2e::{load, wire};
use exeunt_store::Store;
use exeunt_testbed::proxy::{Fault, Proxy};
use exeunt_testkit::requests::openssl_request;
use exeunt_types::Disposition;
use exeunt_x509::{parse_certificate, parse_request};
use serde_json::Value;

/// Those that certificates are for; each has several.
const HOSTS: usize = 100;
/// Parts of a story in which certificates are issued.
const PARTS: usize = 7;
/// Connections that submit at the same time.
const CLIENTS: usize = 8;
/// Certificates that are revoked after a part.
const REVOKED: usize = 8;
/// What happens to connections. Those that are open are cut in the middle of an answer or a write,
/// and new ones perhaps before that. No answer of a server has so few bytes that it would pass whole,
/// also where one answers for a whole part at once.
const FAULTS: [Fault; 3] = [Fault::Silence, Fault::CutToClient(20), Fault::CutToServer(2_000)];
/// A network on which something is always under way.
const SLOW: Fault = Fault::Delay(Duration::from_millis(20));
/// How long a module may take to catch up.
const PATIENCE: Duration = Duration::from_mins(3);
/// Rows that a look-up takes at a time.
const PAGE: usize = 500;
/// How often the server is asked how the module stands: a command is started each time.
const POLL: Duration = Duration::from_millis(50);
/// The `[[exit]]` of each story.
const EXIT: &str = "target";

/// What is told of, and held against what a CA's store says.
trait Target {
    /// The module.
    fn module(&self) -> &'static str;
    /// Certificates of the story; as many as its server takes in some seconds.
    fn count(&self) -> usize;
    /// Port of its server, where it has one: the module comes to it by a proxy.
    fn port(&self) -> Option<u16>;
    /// What follows `[exit.settings]`, with that proxy's port.
    fn settings(&mut self, ca: &Ca, port: u16) -> String;
    /// What else the CA's configuration has to say.
    fn configure(&mut self, _ca: &Ca) {}
    /// Whether the module has to make something before the first event.
    fn is_installed(&self) -> bool {
        false
    }
    /// What others put there, before the first certificate, and what the manual says to do first.
    fn prepare(&mut self, _ca: &Ca) {}
    /// The power fails.
    fn kill(&mut self);
    /// It is back.
    fn restart(&mut self);
    /// Everything there that is not the CA's, by a foreign client.
    fn others(&self) -> Vec<String>;
    /// Whether the module can compare it.
    fn is_compared(&self) -> bool {
        true
    }
    /// Reads it by a foreign client and fails where it holds anything but what the store says.
    fn check(&self, truth: &Truth);
}

/// A certificate of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Issued {
    /// Hexadecimal.
    serial: String,
    /// Its common name.
    host: String,
    der: Vec<u8>,
    revoked: bool,
}

/// What the store says.
#[derive(Debug)]
struct Truth {
    certificates: Vec<Issued>,
    /// The revocation list that holds, DER.
    list: Vec<u8>,
    /// Its number.
    number: u64,
    /// The CA's certificate, DER.
    authority: Vec<u8>,
    /// How many requests there are; one that the kill caught has no certificate.
    requests: usize,
}

impl Truth {
    /// Reads the store of a CA whose server does not run.
    fn read(ca: &Ca) -> Self {
        let store = Store::open(&ca.home().join("exeunt.db")).unwrap();
        let mut states = BTreeMap::new();
        let mut before = None;
        loop {
            let page = store.requests(before, PAGE).unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            states.extend(page.into_iter().map(|it| (it.id, it.disposition)));
        }
        let mut certificates = Vec::new();
        let mut before = None;
        loop {
            let page = store.certificates(before, PAGE).unwrap();
            let Some(last) = page.last() else { break };
            before = Some(last.request);
            certificates.extend(page.into_iter().map(|it| Issued {
                serial: it.certificate.serial.to_string(),
                host: it.certificate.subject.strip_prefix("CN=").unwrap().to_owned(),
                der: it.certificate.raw,
                revoked: states[&it.request] == Disposition::Revoked,
            }));
        }
        let lists = store.current_crls().unwrap();
        assert_eq!(lists.len(), 1);
        let number = lists[0].number.0;
        let list = fs::read(ca.home().join(format!("crls/{number}-0-0-base.crl"))).unwrap();
        let authority = parse_certificate(ca.certificate().as_bytes()).unwrap().der().to_vec();
        Self { certificates, list, number, authority, requests: states.len() }
    }

    /// Serial numbers of all.
    fn serials(&self) -> BTreeSet<&str> {
        self.certificates.iter().map(|it| it.serial.as_str()).collect()
    }

    /// Serial numbers of those that are revoked.
    fn revoked(&self) -> BTreeSet<&str> {
        let revoked = self.certificates.iter().filter(|it| it.revoked);
        revoked.map(|it| it.serial.as_str()).collect()
    }
}

/// What a target that takes events was told: of each the word, the serial number, and the id by which
/// one that comes again is known.
struct Told {
    word: String,
    serial: String,
    id: String,
}

/// Each certificate was told of, each revocation, in this order, and nothing that is not in the store.
fn assert_told(told: &[Told], truth: &Truth) {
    let of = |word: &str| -> BTreeSet<&str> {
        told.iter().filter(|it| it.word == word).map(|it| it.serial.as_str()).collect()
    };
    assert_eq!(of("issued"), truth.serials());
    assert_eq!(of("revoked"), truth.revoked());
    let ids = |word: &str| -> BTreeSet<&str> {
        told.iter().filter(|it| it.word == word).map(|it| it.id.as_str()).collect()
    };
    assert_eq!(ids("issued").len(), truth.certificates.len(), "an event has two ids");
    assert_eq!(ids("revoked").len(), truth.revoked().len(), "an event has two ids");
    for serial in truth.revoked() {
        let mut words = told.iter().filter(|it| it.serial == serial).map(|it| it.word.as_str());
        assert_eq!(words.next(), Some("issued"), "{serial} was revoked before it was issued");
    }
}

/// Name of a host; fit for a person's account in Active Directory too.
fn host(index: usize) -> String {
    format!("h{index}.example.test")
}

/// A request for each host, made once.
fn requests() -> &'static [Vec<u8>] {
    static REQUESTS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    REQUESTS.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let make = |index| {
            let host = host(index);
            let path = openssl_request("ec:P-256", &format!("/CN={host}"), &[&host], folder.path());
            parse_request(&fs::read(path).unwrap()).unwrap().der().to_vec()
        };
        (0..HOSTS).map(make).collect()
    })
}

/// A file that its owner alone can read.
fn secret(ca: &Ca, name: &str, content: &str) -> String {
    let path = ca.scratch().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

/// A CA whose events go to a target.
struct Story<'a> {
    ca: &'a Ca,
    /// Certificates of a part.
    part: usize,
}

impl Story<'_> {
    fn status(&self) -> Value {
        serde_json::from_str(&self.ca.ok(&["exit", "status", EXIT, "--json"])).unwrap()
    }

    fn number(&self, name: &str) -> u64 {
        self.status()[name].as_u64().unwrap()
    }

    /// Issues a part, and does something meanwhile; whether all of it was answered.
    fn issue(&self, address: SocketAddr, meanwhile: impl FnOnce()) -> bool {
        let token = self.ca.token();
        let requests = requests().iter().cycle().take(self.part);
        let messages: Vec<Vec<u8>> =
            requests.map(|it| wire::submission(address, &token, it)).collect();
        thread::scope(|scope| {
            let load = scope
                .spawn(move || load::ask_each(address, &Rc::new(messages), CLIENTS, 1).is_ok());
            meanwhile();
            load.join().unwrap()
        })
    }

    /// Events that the module has taken.
    fn accepted(&self) -> u64 {
        self.number("accepted")
    }

    /// Waits until the module has taken some more than it had.
    fn taken_since(&self, before: u64) {
        self.wait("events to be taken", || before + 10 <= self.accepted());
    }

    /// Waits until the module has failed once more.
    fn failed(&self) {
        let before = self.number("retried");
        self.wait("a failed attempt", || before < self.number("retried"));
    }

    /// Kills the process of the module, which the CA then starts again.
    fn kill_module(&self) {
        self.wait("the module to run", || self.status()["pid"].is_u64());
        let pid = self.status()["pid"].to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.unwrap().success());
    }

    /// Revokes some of the newest certificates, and has a list made.
    fn revoke(&self) {
        let limit = REVOKED.to_string();
        let list = ["cert", "list", "--state", "issued", "--limit", &limit, "--json"];
        let listed: Value = serde_json::from_str(&self.ca.ok(&list)).unwrap();
        for it in listed["certificates"].as_array().unwrap() {
            let serial = it["serial"].as_str().unwrap();
            self.ca.ok(&["cert", "revoke", serial, "--reason", "superseded"]);
        }
        self.ca.ok(&["crl", "publish"]);
    }

    /// Waits until everything is delivered; nothing may be parked on the way.
    fn settle(&self) {
        self.wait("everything to be delivered", || {
            let status = self.status();
            assert_eq!(status["held_parked"], 0, "{status}");
            status["state"] == "running"
                && ["lag", "held_retry", "held_behind"].iter().all(|it| status[it] == 0)
        });
    }

    fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            if deadline < Instant::now() {
                let log = fs::read_to_string(self.ca.log()).unwrap_or_default();
                let from = log.len().saturating_sub(4_000);
                panic!("waited for {what}: {}\n{}", self.status(), &log[from..]);
            }
            thread::sleep(POLL);
        }
    }
}

/// Tells a target of a CA's life.
fn tell(target: &mut dyn Target) {
    let factor = std::env::var("EXEUNT_TARGETS_FACTOR").map_or(1, |it| it.parse().unwrap());
    let ca = Ca::init(&[]);
    let mut proxy = target.port().map(Proxy::to_port);
    let settings = target.settings(&ca, proxy.as_ref().map_or(0, Proxy::port));
    ca.configure("module = \"file\"", "module = \"file\"\nenabled = false");
    target.configure(&ca);
    ca.configure_more(&format!(
        "[[exit]]\nname = \"{EXIT}\"\nmodule = \"{}\"\nretry_first_s = 1\nretry_longest_s = 2\n\n\
         [exit.settings]\n{settings}",
        target.module(),
    ));
    let story = Story { ca: &ca, part: target.count() * factor / PARTS };
    let server = ca.serve();
    if target.is_installed() {
        ca.ok(&["exit", "install", EXIT, "--yes"]);
    }
    ca.ok(&["exit", "test", EXIT]);
    target.prepare(&ca);
    let before = target.others();

    // Its server is killed while it is written to, over a network that is slow enough for that, and is
    // away for a part.
    let set = |proxy: &mut Option<Proxy>, fault| {
        if let Some(proxy) = proxy {
            proxy.set(fault);
        }
    };
    set(&mut proxy, SLOW);
    let accepted = story.accepted();
    let all = story.issue(server.address(), || {
        story.taken_since(accepted);
        target.kill();
    });
    assert!(all && story.issue(server.address(), || ()), "requesters need no target");
    set(&mut proxy, Fault::Nothing);
    story.revoke();
    story.failed();
    let accepted = story.accepted();
    target.restart();
    story.taken_since(accepted);

    // The network goes silent, and cuts every connection on its way there and back. Where there is
    // none, the module is killed.
    for fault in FAULTS {
        let accepted = story.accepted();
        let connections = proxy.as_ref().map_or(0, Proxy::connections);
        set(&mut proxy, fault);
        let all = story.issue(server.address(), || {
            if let Some(proxy) = &mut proxy {
                story.wait("new connections", || connections + 2 <= proxy.connections());
                proxy.set(Fault::Nothing);
            } else {
                story.taken_since(accepted);
                story.kill_module();
            }
        });
        assert!(all, "requesters need no network to the target");
        story.settle();
    }
    story.revoke();

    // The CA itself is killed.
    set(&mut proxy, SLOW);
    let accepted = story.accepted();
    story.issue(server.address(), || {
        story.taken_since(accepted);
        server.kill();
    });
    set(&mut proxy, Fault::Nothing);
    let server = ca.serve();
    story.revoke();
    assert!(story.issue(server.address(), || ()));
    ca.ok(&["crl", "publish"]);
    story.settle();

    if target.is_compared() {
        let output = ca.run(&["exit", "reconcile", EXIT, "--json"]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (&said["differences"], &said["failed_checks"]),
            (&0.into(), &0.into()),
            "{said}"
        );
        assert!(0 < said["good"].as_u64().unwrap(), "{said}");
    }
    server.stop();
    let truth = Truth::read(&ca);
    // All parts but what the killed server left of its own.
    assert!(story.part * (PARTS - 1) <= truth.certificates.len());
    target.check(&truth);
    assert_eq!(target.others(), before, "what is not the CA's has changed");
}
