//! Who comes by TCP with a token, and is held to rules: submits with keys that may be repeated, under a limit
//! of issuance, and with private keys that are archived; and two managers who have to agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Output;

use exeunt_e2e::ca::{Ca, Served};
use exeunt_store::Store;
use exeunt_testkit::requests::openssl_request;
use exeunt_testkit::tools;
use exeunt_types::{Disposition, RequestId};
use fastrand::Rng;
use serde_json::Value;

use super::tally::{About, Answer, Deed, Tally, read_answer};
use super::truth::{Rows, Written};

/// Certificates that the limited template gives in the time of a run.
const LIMIT: usize = 12;
/// Requests for which two have to agree that are open at a time.
const OPEN_MAX: usize = 4;
/// Everybody who has a token.
const PEOPLE: [&str; 3] = ["web", "anna", "bert"];

/// The clerk's templates, the people, and a recovery agent.
fn settings() -> String {
    let template = |name: &str, more: &str| {
        format!(
            "[[template]]\nname = \"{name}\"\nvalidity_days = 90\n\
             key_usage = [\"digitalSignature\"]\nsubject_from_request = [\"CN\"]\n{more}\n"
        )
    };
    [
        template("once", "issue = \"at-once\"\ncallers = \"authenticated\""),
        template("two", "issue = \"hold\"\napprovals = 2\ncallers = \"authenticated\""),
        template(
            "mail",
            "issue = \"at-once\"\ncallers = \"authenticated\"\narchive_key = \"require\"",
        ),
        template(
            "limited",
            &format!(
                "issue = \"at-once\"\ncallers = \"authenticated\"\n\
                 [[template.rate]]\ncertificates = {LIMIT}\nwindow_s = 864000\nper = \"requester\""
            ),
        ),
        "[key_archival]\nagents_used = 1\n\
         [[recovery_agent]]\ncertificate = \"agents/kra.pem\"\n\
         [[principal]]\nname = \"web\"\nroles = [\"enrollee\"]\n\
         [[principal]]\nname = \"anna\"\nroles = [\"certificate-manager\"]\n\
         [[principal]]\nname = \"bert\"\nroles = [\"certificate-manager\"]\n"
            .to_owned(),
    ]
    .concat()
}

/// What came of a submission.
type Issued = (u64, String);

/// What was confirmed.
#[derive(Debug)]
pub(crate) struct Clerk {
    request: String,
    key: String,
    mail: String,
    /// Keys of submissions that were answered, and what with.
    answered: BTreeMap<String, Issued>,
    /// The key of one that was not.
    open: Option<String>,
    keys: u32,
    /// Who agreed to what; none where it is issued.
    two: BTreeMap<u64, Option<BTreeSet<&'static str>>>,
    archived: BTreeSet<u64>,
    /// Recoveries of keys, and whether somebody is known to have agreed.
    recoveries: BTreeMap<u64, bool>,
    /// Whether the limit was reached.
    limited: bool,
}

impl Clerk {
    /// Configures the CA, and has a server give out tokens.
    pub(crate) fn make(ca: &Ca) -> Self {
        let agents = ca.home().join("agents");
        fs::create_dir(&agents).expect("a folder");
        let [agent, agent_key] = [agents.join("kra.pem"), ca.scratch().join("kra.key")];
        let args = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "400", "-subj"];
        let more = ["/CN=kra", "-addext", "extendedKeyUsage=1.3.6.1.4.1.311.21.6", "-keyout"];
        let files = [text(&agent_key), "-out", text(&agent)];
        tools::run_ok(tools::openssl(), [&args[..], &more[..], &files[..]].concat(), b"");
        ca.configure_more(&settings());
        let server = ca.serve();
        for name in PEOPLE {
            ca.ok(&["token", "add", name, "--out", &token(ca, name)]);
        }
        server.stop();
        let request = openssl_request("ec:P-256", "/CN=clerk", &[], ca.scratch());
        let key = ca.scratch().join("mail.key");
        let made = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out"];
        tools::run_ok(tools::openssl(), [&made[..], &[text(&key)]].concat(), b"");
        let mail = ca.scratch().join("mail.csr");
        let made = ["req", "-new", "-subj", "/CN=mail", "-key", text(&key), "-out", text(&mail)];
        tools::run_ok(tools::openssl(), made, b"");
        Self {
            request: text(&request).to_owned(),
            key: text(&key).to_owned(),
            mail: text(&mail).to_owned(),
            answered: BTreeMap::new(),
            open: None,
            keys: 0,
            two: BTreeMap::new(),
            archived: BTreeSet::new(),
            recoveries: BTreeMap::new(),
            limited: false,
        }
    }

    /// Acts until the server is gone. What takes long is begun with where the server lives long.
    pub(crate) fn act(
        &mut self,
        ca: &Ca,
        (server, is_long): (&Served, bool),
        tally: &Tally,
        mut rng: Rng,
    ) {
        let door = Door { ca, server: format!("http://{}", server.address()) };
        // What was not answered comes first, as somebody would do it.
        if self.open.is_some() && !self.submit_once(&door, tally, &mut rng) {
            return;
        }
        if is_long && !(self.recover(&door, tally, &mut rng) && self.archive(&door, tally)) {
            return;
        }
        loop {
            let went_on = match rng.u8(..8) {
                0..=2 => self.submit_once(&door, tally, &mut rng),
                3 => self.archive(&door, tally),
                4 => self.recover(&door, tally, &mut rng),
                5 => self.submit_limited(&door, &mut rng),
                _ => self.agree(&door, tally, &mut rng),
            };
            if !went_on {
                return;
            }
        }
    }

    /// Submits with a key: the one that was not answered, one that was, or a new one.
    fn submit_once(&mut self, door: &Door<'_>, tally: &Tally, rng: &mut Rng) -> bool {
        let before = self.answered.keys().nth(rng.usize(..=2 * self.answered.len()));
        let key = self.open.clone().or_else(|| before.cloned()).unwrap_or_else(|| {
            self.keys += 1;
            format!("key-{}", self.keys)
        });
        if !self.answered.contains_key(&key) {
            self.open = Some(key.clone());
        }
        let args = ["submit", &self.request, "--template", "once", "--idempotency-key", &key];
        let Answer::Done(answer) = door.order("web", &args, &[]) else { return false };
        let issued = read_issued(&answer);
        if self.open.as_ref() == Some(&key) {
            self.open = None;
            tally.done(Deed::SubmitOnce, About::Request(issued.0));
        }
        let before = self.answered.entry(key.clone()).or_insert_with(|| issued.clone());
        assert_eq!(*before, issued, "two answers to {key}");
        true
    }

    /// Submits with a private key.
    fn archive(&mut self, door: &Door<'_>, tally: &Tally) -> bool {
        let args = ["submit", &self.mail, "--template", "mail", "--archive-key", &self.key];
        let Answer::Done(answer) = door.order("web", &args, &[]) else { return false };
        let (id, _) = read_issued(&answer);
        tally.done(Deed::ArchiveKey, About::Request(id));
        self.archived.insert(id);
        true
    }

    /// One asks for an archived key, another agrees, and the first one fetches it.
    fn recover(&mut self, door: &Door<'_>, tally: &Tally, rng: &mut Rng) -> bool {
        let place = rng.usize(..self.archived.len().max(1));
        let Some(id) = self.archived.iter().nth(place).copied() else { return true };
        let step = |deed, who: &str, args: &[&str]| {
            tally.tried(deed, About::Request(id));
            let Answer::Done(answer) = door.order(who, args, &[]) else { return None };
            tally.confirmed(deed, About::Request(id));
            Some(answer)
        };
        let args = ["key", "recover", "--request", &id.to_string(), "--reason", "a crash"];
        let Some(asked) = step(Deed::AskKey, "anna", &args) else { return false };
        let number = asked["id"].as_u64().expect("a number");
        let text = number.to_string();
        let args = ["key", "approve-recovery", &text];
        if step(Deed::AgreeKey, "bert", &args).is_none() {
            self.recoveries.insert(number, false);
            return false;
        }
        self.recoveries.insert(number, true);
        let out = door.ca.scratch().join(format!("recovery-{number}"));
        tally.tried(Deed::FetchKey, About::Request(id));
        let args = ["key", "fetch", &text, "--out", self::text(&out)];
        let fetched = door.run("anna", &args);
        if !fetched.status.success() {
            assert!(matches!(read_answer(&args, &fetched, &[]), Answer::Gone), "{fetched:?}");
            return false;
        }
        tally.confirmed(Deed::FetchKey, About::Request(id));
        true
    }

    fn submit_limited(&mut self, door: &Door<'_>, rng: &mut Rng) -> bool {
        if self.limited && rng.u8(..8) != 0 {
            return true;
        }
        let args = ["submit", &self.request, "--template", "limited"];
        let Answer::Done(answer) = door.order("web", &args, &[]) else { return false };
        if answer["disposition"] == "denied" {
            assert_eq!(answer["code"], "rate-limited", "{answer}");
            self.limited = true;
        } else {
            read_issued(&answer);
            assert!(!self.limited, "a limit that was reached was none");
        }
        true
    }

    /// Has somebody agree to a request that waits, or hands in another one.
    fn agree(&mut self, door: &Door<'_>, tally: &Tally, rng: &mut Rng) -> bool {
        let waits = self.two.iter().filter(|(_, it)| it.is_some()).map(|(id, _)| *id);
        let waits: Vec<u64> = waits.take(OPEN_MAX).collect();
        let place = rng.usize(..=waits.len());
        let Some(id) = waits.get(place).copied() else {
            let args = ["submit", &self.request, "--template", "two"];
            let Answer::Done(answer) = door.order("web", &args, &[]) else { return false };
            assert_eq!(answer["disposition"], "pending", "{answer}");
            let id = answer["request_id"].as_u64().expect("a number");
            self.two.insert(id, Some(BTreeSet::new()));
            return true;
        };
        let who = if rng.bool() { "anna" } else { "bert" };
        tally.tried(Deed::Agree, About::Request(id));
        let args = ["request", "approve", &id.to_string()];
        let output = door.run(who, &[&args[..], &["--json"]].concat());
        let answer = match read_answer(&args, &output, &["approval-twice", "wrong-state"]) {
            Answer::Done(answer) => answer,
            // An order that was never answered has done it.
            Answer::Refused => {
                if String::from_utf8_lossy(&output.stderr).contains("[wrong-state]") {
                    self.two.insert(id, None);
                }
                return true;
            }
            Answer::Gone => return false,
        };
        tally.confirmed(Deed::Agree, About::Request(id));
        let agreed = self.two.get_mut(&id).expect("BUG: it was found in it");
        if answer["disposition"] == "issued" {
            *agreed = None;
        } else {
            assert_eq!(answer["disposition"], "pending", "{answer}");
            agreed.as_mut().expect("BUG: it waits").insert(who);
        }
        true
    }

    /// What was confirmed is so in the store: one certificate for each key, none above the limit, each private
    /// key where one has to be, and nothing that two did not agree to.
    pub(crate) fn check(&self, store: &Store, rows: &Rows, written: &Written) {
        for (key, (id, serial)) in &self.answered {
            let found = rows.request(*id).serial.map(|it| it.to_string());
            assert_eq!(found.as_ref(), Some(serial), "{key}");
        }
        let once = rows.issued_by("once");
        let known = self.answered.len();
        let open = usize::from(self.open.is_some());
        assert!((known..=known + open).contains(&once.len()), "{once:?} of {known} keys");
        let limited = rows.issued_by("limited").len();
        assert!(limited <= LIMIT, "{limited} under a limit of {LIMIT}");
        assert!(!self.limited || limited == LIMIT, "a limit of {LIMIT} was reached at {limited}");
        let mail = rows.issued_by("mail");
        assert!(self.archived.iter().all(|it| mail.contains(it)), "{mail:?}");
        for id in &mail {
            let key = store.archived_key(RequestId(*id)).expect("an archived key");
            assert!(key.is_some(), "request {id} has lost its private key");
            assert_eq!(written.audited_of("key-archive", *id), 1, "request {id}");
        }
        for (id, agreed) in &self.recoveries {
            let found = store.recovery(*id).expect("a recovery").expect("the recovery");
            assert!(!agreed || found.approved.is_some(), "{found:?}");
        }
        for id in rows.issued_by("two") {
            let agreed = store.approvals(RequestId(id)).expect("approvals");
            assert_eq!(agreed.len(), 2, "request {id}: {agreed:?}");
        }
        for id in [once, mail, rows.issued_by("two"), rows.issued_by("limited")].concat() {
            assert_eq!(written.audited_of("request-issued", id), 1, "request {id}");
        }
        for (id, agreed) in &self.two {
            let known = store.approvals(RequestId(*id)).expect("approvals");
            let has = |who: &str| known.iter().any(|it| it.manager == format!("principal:{who}"));
            let Some(agreed) = agreed else {
                assert_eq!(rows.request(*id).disposition, Disposition::Issued, "request {id}");
                continue;
            };
            assert!(agreed.iter().all(|it| has(it)), "request {id}: {agreed:?} of {known:?}");
        }
    }
}

/// The way in by TCP.
struct Door<'a> {
    ca: &'a Ca,
    server: String,
}

impl Door<'_> {
    fn order(&self, who: &str, args: &[&str], refusals: &[&str]) -> Answer {
        read_answer(args, &self.run(who, &[args, &["--json"]].concat()), refusals)
    }

    fn run(&self, who: &str, args: &[&str]) -> Output {
        let door = ["--server", &self.server, "--token-file", &token(self.ca, who)];
        let mut command = self.ca.command(&[args, &door].concat());
        command.env_remove("EXEUNT_HOME").output().expect("running exeunt")
    }
}

fn token(ca: &Ca, name: &str) -> String {
    text(&ca.scratch().join(format!("{name}.token"))).to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn read_issued(answer: &Value) -> Issued {
    assert_eq!(answer["disposition"], "issued", "{answer}");
    let id = answer["request_id"].as_u64().expect("a number");
    (id, answer["serial"].as_str().expect("a text").to_owned())
}
