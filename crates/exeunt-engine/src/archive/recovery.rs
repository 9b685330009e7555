//! Archived keys come back by two people: one certificate manager asks, another agrees, and either of them
//! may then fetch the encrypted key, which only a recovery agent can open. Every step is in the audit
//! trail before it is answered.

use std::time::Duration;

use exeunt_store::{AuditEntry, StoreError};
use exeunt_types::{
    ArchivedKey, Disposition, KeyRecovery, RecoveryRefusal, RequestId, RequestRecord, Roles,
    UnixMillis,
};
use exeunt_x509::{is_deceptive, parse_certificate};

use super::ArchiveRefusal;
use crate::engine::Engine;
use crate::error::{Blame, blame_of_store};
use crate::officer_error::OfficerError;
use crate::policy::Caller;
use crate::revoke::Which;

/// How long a recovery may be approved and fetched after somebody asked.
pub const RECOVERY_VALIDITY: Duration = Duration::from_hours(24);
/// Longest reason of a recovery, in octets.
pub const RECOVERY_REASON_BYTES_MAX: usize = 512;

/// Why an archived key is not recovered, or none is archived. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// The caller is no certificate manager.
    #[error("only a certificate manager may do this")]
    NotAllowed,
    /// The request or certificate, or the caller's limits.
    #[error(transparent)]
    Officer(#[from] OfficerError),
    /// No key is archived for it.
    #[error("no private key is archived for request {0}")]
    NoKey(RequestId),
    /// There is one already.
    #[error("a private key is archived for request {0} already")]
    KeyThere(RequestId),
    /// The request has no certificate.
    #[error("request {request} is {}: it has no certificate of this CA or an imported one", disposition.word())]
    NoCertificate {
        /// The request.
        request: RequestId,
        /// Its state.
        disposition: Disposition,
    },
    /// A reason is missing, too long, or has characters that break a line or deceive its reader.
    #[error("a recovery needs a reason: one line of at most {RECOVERY_REASON_BYTES_MAX} octets")]
    Reason,
    /// The recovery does not go on.
    #[error("recovery {id} {}", clause(*refusal))]
    Refused {
        /// Its number.
        id: u64,
        /// Why.
        refusal: RecoveryRefusal,
    },
    /// The key that was to be imported.
    #[error(transparent)]
    Key(#[from] ArchiveRefusal),
    /// This CA archives no keys.
    #[error("this CA does not archive keys")]
    Off,
    /// The store refused.
    #[error("{action} failed")]
    Store {
        /// What was being done, as a gerund.
        action: &'static str,
        /// What the store said.
        source: StoreError,
    },
}

impl RecoveryError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed => "recovery-not-allowed",
            Self::Officer(err) => err.code(),
            Self::NoKey(_) => "archived-key-none",
            Self::KeyThere(_) => "archived-key-there",
            Self::NoCertificate { .. } => "wrong-state",
            Self::Reason => "recovery-reason",
            Self::Refused { refusal, .. } => match refusal {
                RecoveryRefusal::Unknown => "recovery-not-found",
                RecoveryRefusal::Expired => "recovery-expired",
                RecoveryRefusal::SamePerson => "recovery-same-person",
                RecoveryRefusal::AlreadyApproved => "recovery-approved-already",
                RecoveryRefusal::NotApproved => "recovery-not-approved",
                RecoveryRefusal::Stranger => "recovery-stranger",
            },
            Self::Key(refusal) => refusal.code(),
            Self::Off => "key-archival-off",
            Self::Store { source, .. } => source.code(),
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::Officer(err) => err.blame(),
            Self::Key(refusal) => refusal.blame(),
            Self::Store { source, .. } => blame_of_store(source),
            _ => Blame::Requester,
        }
    }

    /// What an outsider may read.
    #[must_use]
    pub fn public_message(&self) -> String {
        match self {
            Self::Officer(err) => err.public_message(),
            Self::Store { .. } => "the CA is unable to do this at the moment".to_owned(),
            _ => self.to_string(),
        }
    }
}

fn clause(refusal: RecoveryRefusal) -> &'static str {
    match refusal {
        RecoveryRefusal::Unknown => "does not exist",
        RecoveryRefusal::Expired => "has expired",
        RecoveryRefusal::SamePerson => "must be approved by somebody else than who asked",
        RecoveryRefusal::AlreadyApproved => "is approved already",
        RecoveryRefusal::NotApproved => "is not approved yet",
        RecoveryRefusal::Stranger => "is for the two who asked and approved",
    }
}

/// What the two get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredKey {
    /// The recovery.
    pub recovery: KeyRecovery,
    /// The encrypted key, and the agents that it is encrypted to.
    pub key: ArchivedKey,
    /// The certificate that it belongs to, DER.
    pub certificate: Vec<u8>,
}

fn failed(action: &'static str) -> impl FnOnce(StoreError) -> RecoveryError {
    move |source| RecoveryError::Store { action, source }
}

fn allow(caller: &Caller) -> Result<(), RecoveryError> {
    let is_manager = caller.roles.contains(Roles::CERTIFICATE_MANAGER);
    if is_manager { Ok(()) } else { Err(RecoveryError::NotAllowed) }
}

impl Engine {
    /// Asks for the key of a certificate.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`]; nothing was changed.
    pub fn ask_recovery(
        &self,
        which: Which,
        reason: &str,
        caller: &Caller,
    ) -> Result<KeyRecovery, RecoveryError> {
        allow(caller)?;
        let reason = reason.trim();
        if reason.is_empty()
            || RECOVERY_REASON_BYTES_MAX < reason.len()
            || reason.contains(is_deceptive)
        {
            return Err(RecoveryError::Reason);
        }
        let row = self.row_of(which)?;
        caller.check_scope(&row, &row.request.attributes)?;
        let (_, request) = self.certificate_of(&row)?;
        let now = self.clock.now();
        let recovery = KeyRecovery {
            id: 0,
            request,
            reason: reason.to_owned(),
            asked_by: caller.name.clone(),
            asked: now,
            expires: now.plus(RECOVERY_VALIDITY),
            approved: None,
            fetched: None,
        };
        let entry = entry("key-recovery-ask", caller, now).detail(reason);
        let asked = self.store.ask_recovery(recovery, entry).map_err(failed("asking for a key"))?;
        asked.map_err(|_| RecoveryError::NoKey(request))
    }

    /// Agrees that a key is recovered; somebody else than who asked.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`]; nothing was changed.
    pub fn approve_recovery(&self, id: u64, caller: &Caller) -> Result<KeyRecovery, RecoveryError> {
        self.check_recovery(id, caller)?;
        let entry = entry("key-recovery-approve", caller, self.clock.now());
        let approved =
            self.store.approve_recovery(id, entry).map_err(failed("approving a recovery"))?;
        approved.map_err(|refusal| RecoveryError::Refused { id, refusal })
    }

    /// Hands out the encrypted key of an approved recovery to one of the two.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`]; nothing was changed.
    pub fn fetch_recovered(&self, id: u64, caller: &Caller) -> Result<RecoveredKey, RecoveryError> {
        let row = self.check_recovery(id, caller)?;
        let (certificate, _) = self.certificate_of(&row)?;
        let entry = entry("key-recover", caller, self.clock.now());
        let fetched = self.store.fetch_recovered(id, entry).map_err(failed("fetching a key"))?;
        let fetched = fetched.map_err(|refusal| RecoveryError::Refused { id, refusal })?;
        let exeunt_store::RecoveredBlob { recovery, key } = fetched;
        Ok(RecoveredKey { recovery, key, certificate })
    }

    /// Recoveries, newest first.
    ///
    /// # Errors
    ///
    /// [`RecoveryError::Store`].
    pub fn recoveries(&self, limit: usize) -> Result<Vec<KeyRecovery>, RecoveryError> {
        self.store.recoveries(limit).map_err(failed("reading recoveries"))
    }

    /// Archives the private key of a certificate that was issued or imported without it. `envelope` is the
    /// key, encrypted to the exchange certificate.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`]; nothing was changed.
    pub fn import_key(
        &self,
        which: Which,
        envelope: &[u8],
        caller: &Caller,
    ) -> Result<RequestId, RecoveryError> {
        allow(caller)?;
        if !self.key_archival.is_on() {
            return Err(RecoveryError::Off);
        }
        let row = self.row_of(which)?;
        caller.check_scope(&row, &row.request.attributes)?;
        let (der, request) = self.certificate_of(&row)?;
        let certificate = parse_certificate(&der).map_err(|_| RecoveryError::NoKey(request))?;
        let now = self.clock.now();
        let key = self.reseal(envelope, certificate.spki_der(), now)?;
        let detail = format!("encrypted to {}", key.agents.join(", "));
        let entry =
            AuditEntry::new(now, caller.name.clone(), "key-import", request_object(request))
                .detail(detail);
        let stored =
            self.store.import_key(request, key, entry).map_err(failed("archiving a key"))?;
        stored.map_err(|_| RecoveryError::KeyThere(request))?;
        Ok(request)
    }

    /// The row of a recovery's request, if the caller may decide about that.
    fn check_recovery(&self, id: u64, caller: &Caller) -> Result<RequestRecord, RecoveryError> {
        allow(caller)?;
        let found = self.store.recovery(id).map_err(failed("reading a recovery"))?;
        let unknown = || RecoveryError::Refused { id, refusal: RecoveryRefusal::Unknown };
        let recovery = found.ok_or_else(unknown)?;
        let row = self.row_of(Which::Request(recovery.request))?;
        caller.check_scope(&row, &row.request.attributes)?;
        Ok(row)
    }

    /// The certificate of a request, DER.
    fn certificate_of(&self, row: &RequestRecord) -> Result<(Vec<u8>, RequestId), RecoveryError> {
        let request = row.id;
        let found =
            self.store.certificate_of(request).map_err(failed("looking up a certificate"))?;
        let none = || RecoveryError::NoCertificate { request, disposition: row.disposition };
        Ok((found.ok_or_else(none)?.certificate.raw, request))
    }
}

/// Who is named is compared; by what they came in is told besides.
fn entry(action: &str, caller: &Caller, now: UnixMillis) -> AuditEntry {
    AuditEntry::new(now, caller.name.clone(), action, "").detail(caller.actor())
}

fn request_object(request: RequestId) -> String {
    format!("request:{request}")
}
