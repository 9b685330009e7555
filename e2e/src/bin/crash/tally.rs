//! What was ordered, and how often it was confirmed: each deed leaves so many audit rows and events.
//!
//! Counts only grow, so that a tally of an earlier moment is what a backup of then must have.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::{Mutex, PoisonError};

use exeunt_e2e::ca::{Ca, text};
use exeunt_types::{EventKind, Serial};
use serde_json::Value;

/// What an order is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    Request(u64),
    Certificate(Serial),
    /// The object of the audit row.
    Object(String),
}

/// Something that can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    Submit,
    Approve,
    Deny,
    Resubmit,
    SetAttribute,
    SetExtension,
    Retrieve,
    Revoke,
    Release,
    PublishExpired,
    Import,
    PublishLists,
    BackupStart,
    BackupEnd,
    SubmitOnce,
    ArchiveKey,
    Agree,
    AskKey,
    AgreeKey,
    FetchKey,
}

impl Deed {
    pub(crate) const ALL: [Self; 20] = [
        Self::Submit,
        Self::Approve,
        Self::Deny,
        Self::Resubmit,
        Self::SetAttribute,
        Self::SetExtension,
        Self::Retrieve,
        Self::Revoke,
        Self::Release,
        Self::PublishExpired,
        Self::Import,
        Self::PublishLists,
        Self::BackupStart,
        Self::BackupEnd,
        Self::SubmitOnce,
        Self::ArchiveKey,
        Self::Agree,
        Self::AskKey,
        Self::AgreeKey,
        Self::FetchKey,
    ];

    /// Its word in the audit trail, if it has one.
    pub(crate) fn audited(self) -> Option<&'static str> {
        match self {
            // Others cause such rows as well: who orders it looks for them.
            Self::Submit | Self::Retrieve | Self::SubmitOnce | Self::ArchiveKey => None,
            Self::Approve | Self::Agree => Some("request-approve"),
            Self::Deny => Some("request-deny"),
            Self::Resubmit => Some("request-resubmit"),
            Self::SetAttribute => Some("request-attributes"),
            Self::SetExtension => Some("request-extension"),
            Self::Revoke => Some("certificate-revoke"),
            Self::Release => Some("certificate-release"),
            Self::PublishExpired => Some("certificate-publish-expired"),
            Self::Import => Some("certificate-import"),
            Self::PublishLists => Some("crl-publish"),
            Self::BackupStart => Some("backup-start"),
            Self::BackupEnd => Some("backup-end"),
            Self::AskKey => Some("key-recovery-ask"),
            Self::AgreeKey => Some("key-recovery-approve"),
            Self::FetchKey => Some("key-recover"),
        }
    }

    /// The event that tells of it, where there is one that names a request.
    pub(crate) fn told(self) -> Option<EventKind> {
        match self {
            Self::Submit => Some(EventKind::CERT_PENDING),
            Self::Approve | Self::Resubmit | Self::SubmitOnce | Self::ArchiveKey => {
                Some(EventKind::CERT_ISSUED)
            }
            Self::Deny => Some(EventKind::CERT_DENIED),
            Self::Retrieve => Some(EventKind::CERT_RETRIEVE_PENDING),
            Self::Revoke => Some(EventKind::CERT_REVOKED),
            Self::Release => Some(EventKind::CERT_UNREVOKED),
            Self::Import => Some(EventKind::CERT_IMPORTED),
            Self::SetAttribute
            | Self::SetExtension
            | Self::PublishExpired
            | Self::PublishLists
            | Self::BackupStart
            | Self::BackupEnd
            | Self::Agree
            | Self::AskKey
            | Self::AgreeKey
            | Self::FetchKey => None,
        }
    }

    /// Whether row, event and audit row are one commit, so that there are as many of each. What is
    /// signed is two, with the audit row in the first.
    pub(crate) fn is_one_commit(self) -> bool {
        matches!(self, Self::Deny | Self::Revoke | Self::Release | Self::Import)
    }
}

/// How often something was ordered and confirmed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) tried: u32,
    pub(crate) confirmed: u32,
}

/// All orders of one moment.
pub(crate) type Counts = BTreeMap<(Deed, About), Count>;

/// All orders.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    /// Noted before the order is given.
    pub(crate) fn tried(&self, deed: Deed, about: About) {
        self.change(deed, about, |count| count.tried += 1);
    }

    /// Noted when the answer is there.
    pub(crate) fn confirmed(&self, deed: Deed, about: About) {
        self.change(deed, about, |count| count.confirmed += 1);
    }

    /// Something whose name is known only from its answer.
    pub(crate) fn done(&self, deed: Deed, about: About) {
        self.tried(deed, about.clone());
        self.confirmed(deed, about);
    }

    /// What was there before, by an order whose answer never came.
    pub(crate) fn found(&self, deed: Deed, about: About) {
        self.change(deed, about, |count| count.confirmed = count.confirmed.max(1));
    }

    pub(crate) fn now(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, deed: Deed, about: About, change: impl FnOnce(&mut Count)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(counts.entry((deed, about)).or_default());
    }
}

/// How an order ended.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It was carried out.
    Done(Value),
    /// It was refused, with one of the codes that were expected.
    Refused,
    /// The server is gone, and nobody knows.
    Gone,
}

/// Codes of a command whose server is gone.
const GONE: [&str; 3] = ["server-unreachable", "server-not-running", "server-answer"];

/// Orders something with `--json`. Anything but an answer, one of these refusals and a dead server is a
/// fault.
pub(crate) fn order(ca: &Ca, args: &[&str], refusals: &[&str]) -> Answer {
    read_answer(args, &ca.run(&[args, &["--json"]].concat()), refusals)
}

/// What came of an order.
pub(crate) fn read_answer(args: &[&str], output: &Output, refusals: &[&str]) -> Answer {
    let said = text(&output.stderr);
    let code = said.split_once("error[").and_then(|(_, rest)| rest.split_once(']'));
    match code.map(|(code, _)| code) {
        Some(code) if GONE.contains(&code) => Answer::Gone,
        Some(code) if refusals.contains(&code) => Answer::Refused,
        Some(_) => panic!("{args:?}: {said}"),
        // Of many, some may be refused; of requests, the exit status says what became of them.
        None => {
            let answer: Result<Value, _> = serde_json::from_slice(&output.stdout);
            let answer = answer.unwrap_or_else(|_| panic!("{args:?}: {said}"));
            let results = answer["results"].as_array().map_or(&[][..], Vec::as_slice);
            let is_gone = |it: &&Value| it["code"].as_str().is_some_and(|it| GONE.contains(&it));
            assert_eq!(results.iter().find(is_gone), None, "that is no refusal: {args:?}");
            Answer::Done(answer)
        }
    }
}
