//! The numbers and categories of what stands in the audit trail: the original's where it has one, our
//! own from [`OWN_EVENTS_FROM`] up.
//!
//! Every word that the server writes as an action stands in [`AUDIT_KINDS`]; a test of the store holds
//! the sources against it.

use std::fmt;

use crate::UnixMillis;

/// First number of what the original has no number for. The original's own end at 4900, and no number of
/// the Windows security log is as large.
pub const OWN_EVENTS_FROM: u32 = 10_000;
/// What a word is that is not in the table: of another version, or of a caller of the store.
pub const EVENT_UNKNOWN: u32 = OWN_EVENTS_FROM;

/// Categories of the audit filter: the original's bits (MS-CSRA, section 3.1.1.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AuditCategories(pub u8);

impl AuditCategories {
    /// Always written: what keeps the trail itself honest, and the original's event 4885. No bit.
    pub const NONE: Self = Self(0);
    /// Start and stop of the service.
    pub const SERVICE: Self = Self(0x01);
    /// Backup and restore.
    pub const BACKUP: Self = Self(0x02);
    /// Requests: received, issued, refused, held, changed.
    pub const REQUESTS: Self = Self(0x04);
    /// Revocation and revocation lists.
    pub const REVOCATION: Self = Self(0x08);
    /// Security settings: who may do what, and who was refused.
    pub const SECURITY: Self = Self(0x10);
    /// Archived keys.
    pub const KEYS: Self = Self(0x20);
    /// The configuration, exit modules among it.
    pub const CONFIGURATION: Self = Self(0x40);
    /// All of them.
    pub const ALL: Self = Self(0x7F);

    /// Each with its word in the configuration.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("service", Self::SERVICE),
        ("backup", Self::BACKUP),
        ("requests", Self::REQUESTS),
        ("revocation", Self::REVOCATION),
        ("security", Self::SECURITY),
        ("keys", Self::KEYS),
        ("configuration", Self::CONFIGURATION),
    ];

    /// The category with that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(it, _)| *it == word).map(|(_, category)| *category)
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether what is of category `other` is written; what has no category always is.
    #[must_use]
    pub const fn writes(self, other: Self) -> bool {
        other.0 == 0 || self.0 & other.0 != 0
    }
}

/// The words, comma-separated; `none` where there are none.
impl fmt::Display for AuditCategories {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = Self::WORDS
            .iter()
            .filter(|(_, it)| self.0 & it.0 != 0)
            .map(|(word, _)| *word)
            .collect();
        out.write_str(if words.is_empty() { "none" } else { "" })?;
        out.write_str(&words.join(", "))
    }
}

/// What a word of the audit trail stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditKind {
    /// The word.
    pub action: &'static str,
    /// The original's number, or one of ours.
    pub event: u32,
    /// Its category.
    pub category: AuditCategories,
}

const fn kind(action: &'static str, event: u32, category: AuditCategories) -> AuditKind {
    AuditKind { action, event, category }
}

/// The original's number of a request that came in (4886). A row that tells what became of a new request
/// carries it as its second number, so that there is one row for each certificate and not two.
pub const EVENT_RECEIVED: u32 = 4886;

/// A certificate was made, and is on record.
pub const ACTION_ISSUED: &str = "request-issued";
/// A request was refused by the policy.
pub const ACTION_DENIED: &str = "request-denied";
/// A request waits for an officer.
pub const ACTION_PENDING: &str = "request-pending";
/// A request failed.
pub const ACTION_FAILED: &str = "request-failed";
/// The server starts; says which categories are written from which event on. Never left out.
pub const ACTION_START: &str = "service-start";
/// The server stops.
pub const ACTION_STOP: &str = "service-stop";
/// Other categories are written from now on; says which and from which event on. Never left out.
pub const ACTION_FILTER: &str = "audit-filter";
/// The trail goes on although it does not fit what a checkpoint says. Never left out.
pub const ACTION_ACCEPT: &str = "audit-accept";

use AuditCategories as C;

/// Every action, by word.
pub const AUDIT_KINDS: &[AuditKind] = &[
    kind("access-known", 10_053, C::SECURITY),
    kind("access-refused", 10_050, C::SECURITY),
    kind(ACTION_ACCEPT, 10_002, C::NONE),
    kind(ACTION_FILTER, 4885, C::NONE),
    kind("audit-resumed", 10_004, C::NONE),
    kind("backup-end", 4877, C::BACKUP),
    kind("backup-start", 4876, C::BACKUP),
    kind("ca-certificate", 10_010, C::CONFIGURATION),
    kind("certificate-import", 4884, C::REQUESTS),
    kind("certificate-publish-expired", 10_011, C::REVOCATION),
    kind("certificate-release", 4870, C::REVOCATION),
    kind("certificate-revoke", 4870, C::REVOCATION),
    kind("config-change", 4891, C::CONFIGURATION),
    kind("crl-issue", 4872, C::REVOCATION),
    kind("crl-publish", 4871, C::REVOCATION),
    kind("dangerous-option-used", 10_031, C::SECURITY),
    kind("exit-add", 10_020, C::CONFIGURATION),
    kind("exit-add-failed", 10_020, C::CONFIGURATION),
    kind("exit-disable", 10_021, C::CONFIGURATION),
    kind("exit-disable-failed", 10_021, C::CONFIGURATION),
    kind("exit-drop", 10_022, C::CONFIGURATION),
    kind("exit-drop-failed", 10_022, C::CONFIGURATION),
    kind("exit-enable", 10_023, C::CONFIGURATION),
    kind("exit-enable-failed", 10_023, C::CONFIGURATION),
    kind("exit-install", 10_032, C::CONFIGURATION),
    kind("exit-install-failed", 10_032, C::CONFIGURATION),
    kind("exit-maintain-end", 10_036, C::CONFIGURATION),
    kind("exit-mend", 10_033, C::CONFIGURATION),
    kind("exit-mend-failed", 10_033, C::CONFIGURATION),
    kind("exit-reconcile", 10_034, C::CONFIGURATION),
    kind("exit-reconcile-failed", 10_034, C::CONFIGURATION),
    kind("exit-remove", 10_024, C::CONFIGURATION),
    kind("exit-remove-failed", 10_024, C::CONFIGURATION),
    kind("exit-replay", 10_025, C::CONFIGURATION),
    kind("exit-replay-failed", 10_025, C::CONFIGURATION),
    kind("exit-retry", 10_026, C::CONFIGURATION),
    kind("exit-retry-failed", 10_026, C::CONFIGURATION),
    kind("exit-settings", 10_027, C::CONFIGURATION),
    kind("exit-settings-failed", 10_027, C::CONFIGURATION),
    kind("exit-test", 10_035, C::CONFIGURATION),
    kind("exit-test-failed", 10_035, C::CONFIGURATION),
    kind("key-archive", 4893, C::KEYS),
    kind("key-import", 4894, C::KEYS),
    kind("key-recover", 4883, C::KEYS),
    kind("key-recovery-approve", 10_070, C::KEYS),
    kind("key-recovery-ask", 10_071, C::KEYS),
    kind("manager-limits", 4890, C::SECURITY),
    kind("policy-change", 4892, C::CONFIGURATION),
    kind("policy-change-failed", 4892, C::CONFIGURATION),
    kind("policy-dry-run", 10_040, C::REQUESTS),
    kind("reload", 10_028, C::CONFIGURATION),
    kind("request-approve", 4869, C::REQUESTS),
    kind("request-attributes", 4874, C::REQUESTS),
    kind(ACTION_DENIED, 4888, C::REQUESTS),
    kind("request-deny", 4868, C::REQUESTS),
    kind("request-extension", 4873, C::REQUESTS),
    kind(ACTION_FAILED, 10_001, C::REQUESTS),
    kind(ACTION_ISSUED, 4887, C::REQUESTS),
    kind(ACTION_PENDING, 4889, C::REQUESTS),
    kind("request-resubmit", 4869, C::REQUESTS),
    kind("restore-end", 4879, C::NONE),
    kind("restore-start", 4878, C::NONE),
    kind("role-separation", 4897, C::SECURITY),
    kind("security-change", 4882, C::SECURITY),
    kind(ACTION_START, 4880, C::NONE),
    kind(ACTION_STOP, 4881, C::SERVICE),
    kind("template-update", 4899, C::CONFIGURATION),
    kind("token-add", 10_051, C::SECURITY),
    kind("token-add-failed", 10_051, C::SECURITY),
    kind("token-remove", 10_052, C::SECURITY),
    kind("token-remove-failed", 10_052, C::SECURITY),
];

impl AuditKind {
    /// That of a word. One that is not in the table is unknown, and is always written.
    #[must_use]
    pub fn of(action: &str) -> Self {
        let found = AUDIT_KINDS.iter().find(|it| it.action == action);
        found.copied().unwrap_or(kind("", EVENT_UNKNOWN, C::NONE))
    }
}

/// Whether such a row may follow the start of a server that ended before it could sign that: commands write it
/// without a server, and the next start before it looks at the trail.
#[must_use]
pub fn is_written_before_signing(action: &str) -> bool {
    let words = ["backup-start", "backup-end", "ca-certificate", "restore-start", "restore-end"];
    words.contains(&action)
}

/// The title of a number, as the reference names it; ours in our words.
#[must_use]
pub fn audit_event_title(event: u32) -> &'static str {
    match event {
        4868 => "pending request denied by officer",
        4869 => "resubmitted request received",
        4870 => "certificate revoked",
        4871 => "CRL publish command received",
        4872 => "CRL published",
        4873 => "extension changed",
        4874 => "attributes changed",
        4875 => "shutdown command",
        4876 => "backup start",
        4877 => "backup end",
        4878 => "restore start",
        4879 => "restore end",
        4880 => "service start",
        4881 => "service stop",
        4882 => "security permissions changed",
        4883 => "archived key retrieved",
        4884 => "certificate imported",
        4885 => "audit filter changed",
        4886 => "request received",
        4887 => "approved and issued",
        4888 => "denied",
        4889 => "set to pending",
        4890 => "manager settings changed",
        4891 => "configuration entry changed",
        4892 => "property changed",
        4893 => "key archived",
        4894 => "key imported and archived",
        4895 => "CA certificate published to AD",
        4896 => "rows deleted",
        4897 => "role separation",
        4898 => "template loaded",
        4899 => "template updated",
        4900 => "template security updated",
        10_001 => "request failed",
        10_002 => "trail accepted as it is",
        10_004 => "trail written again",
        10_010 => "CA certificate taken up",
        10_011 => "certificate kept in lists after its validity",
        10_020 => "exit module added",
        10_021 => "exit module disabled",
        10_022 => "events of an exit module dropped",
        10_023 => "exit module enabled",
        10_024 => "exit module removed",
        10_025 => "events of an exit module told again",
        10_026 => "events of an exit module retried",
        10_027 => "settings of an exit module changed",
        10_028 => "configuration read again",
        10_031 => "dangerous option used",
        10_032 => "target of an exit module prepared",
        10_033 => "target of an exit module mended",
        10_034 => "target of an exit module compared",
        10_035 => "target of an exit module tried",
        10_036 => "maintenance of an exit module ended",
        10_040 => "policy would have decided otherwise",
        10_050 => "access refused",
        10_051 => "token added",
        10_052 => "token removed",
        10_053 => "who is known at the start",
        10_070 => "recovery of a key approved",
        10_071 => "recovery of a key asked for",
        _ => "an event of Exeunt's own",
    }
}

/// Which rows of the trail; what is not given does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Part of the actor's name.
    pub actor: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// The object.
    pub object: Option<String>,
    /// Number of the event, first or second.
    pub event: Option<u32>,
    /// At this moment or later.
    pub since: Option<UnixMillis>,
    /// At this moment or earlier.
    pub until: Option<UnixMillis>,
    /// The newest first.
    pub descending: bool,
    /// Only rows after this number, in that order.
    pub after: Option<u64>,
    /// Most rows; the store has a limit of its own.
    pub limit: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_once_and_its_number_is_the_originals_or_ours() {
        for it in AUDIT_KINDS {
            let same = AUDIT_KINDS.iter().filter(|other| other.action == it.action);
            assert_eq!(same.count(), 1, "{}", it.action);
            assert!((4868..=4900).contains(&it.event) || OWN_EVENTS_FROM < it.event, "{it:?}");
            assert_eq!(AuditKind::of(it.action), *it);
            assert_ne!(audit_event_title(it.event), audit_event_title(EVENT_UNKNOWN), "{it:?}");
        }
        assert_eq!(AuditKind::of("something else").event, EVENT_UNKNOWN);
    }

    #[test]
    fn what_keeps_the_trail_honest_is_written_whatever_the_filter() {
        for word in [ACTION_START, ACTION_FILTER, ACTION_ACCEPT, "restore-end", "unheard of"] {
            assert!(AuditCategories(0).writes(AuditKind::of(word).category), "{word}");
        }
        let issued = AuditKind::of(ACTION_ISSUED).category;
        assert!(AuditCategories::ALL.writes(issued));
        assert!(!AuditCategories(0x7F & !0x04).writes(issued));
    }

    #[test]
    fn the_bits_are_the_originals() {
        let all = AuditCategories::WORDS.iter().fold(C::NONE, |all, (_, it)| all.with(*it));
        assert_eq!(all, AuditCategories::ALL);
        let bits: Vec<u8> = AuditCategories::WORDS.iter().map(|(_, it)| it.0).collect();
        assert_eq!(bits, [0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40]);
        assert_eq!(AuditCategories(0x44).to_string(), "requests, configuration");
        assert_eq!(AuditCategories(0).to_string(), "none");
    }
}
