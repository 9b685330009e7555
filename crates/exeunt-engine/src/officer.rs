//! What officers decide on requests: take up again, refuse, change; and fetching a certificate that
//! waited for them.

use exeunt_store::{AuditEntry, StoreError};
use exeunt_types::{
    CertificateRecord, Disposition, EventSeq, OfficerExtension, RequestId, RequestRecord,
    StatusCode, UnixMillis,
};
use exeunt_x509::is_deceptive;

use crate::attributes::{merge_attributes, parse_attributes};
use crate::engine::Engine;
use crate::error::SubmitError;
use crate::journey::Submitted;
use crate::officer_error::OfficerError;
use crate::officer_extension;
use crate::policy::Caller;

/// Longest reason of a refusal, in octets.
pub const REASON_BYTES_MAX: usize = 512;

/// Times that something is tried when somebody else changed the row between reading and writing.
pub(crate) const ATTEMPTS_MAX: u32 = 2;

const PENDING: &[Disposition] = &[Disposition::Pending];
const DENIED: &[Disposition] = &[Disposition::Denied];
const PENDING_OR_DENIED: &[Disposition] = &[Disposition::Pending, Disposition::Denied];

/// A request as it is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retrieved {
    /// Its row.
    pub record: RequestRecord,
    /// Its certificate, revoked or not, if there is one.
    pub certificate: Option<CertificateRecord>,
    /// The event that tells of the fetching; none where nobody waited for an officer.
    pub event: Option<EventSeq>,
}

impl Engine {
    /// Approves a request that waits: the policy decides again, and knows that it is no new one.
    ///
    /// # Errors
    ///
    /// [`OfficerError`]; the request is as it was, unless it is [`OfficerError::Submit`] with anything but
    /// a revoked signer.
    pub fn approve(&self, request: RequestId, by: &Caller) -> Result<Submitted, OfficerError> {
        self.take_up_again(request, PENDING, "request-approve", by)
    }

    /// Takes up a request again that waits or was refused: the policy decides again, and knows that
    /// it is no new one.
    ///
    /// # Errors
    ///
    /// As [`Engine::approve`].
    pub fn resubmit(&self, request: RequestId, by: &Caller) -> Result<Submitted, OfficerError> {
        self.take_up_again(request, PENDING_OR_DENIED, "request-resubmit", by)
    }

    /// The audit entry is in the commit that takes the request up: what cannot be audited is not done.
    ///
    /// What is decided upon is what was read. Where another officer amended it meanwhile, it is read
    /// and decided anew; where it came into another state, that was a decision, and stands.
    fn take_up_again(
        &self,
        request: RequestId,
        from: &'static [Disposition],
        action: &'static str,
        by: &Caller,
    ) -> Result<Submitted, OfficerError> {
        let mut allowed = from;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let row = self.row_in(request, allowed)?;
            by.check_scope(&row, &row.request.attributes)?;
            allowed = if row.disposition == Disposition::Denied { DENIED } else { PENDING };
            let before = Some(row.disposition.word().to_owned());
            let audit = audit_entry(self.clock.now(), by, action, request, String::new())
                .change(before, None);
            let result = self.resume(row, by, audit).map_err(|source| match source {
                SubmitError::Store { action, source } => refused(source, allowed, action),
                source => OfficerError::Submit { source },
            });
            match result {
                Err(OfficerError::ChangedMeanwhile(_)) if attempts < ATTEMPTS_MAX => (),
                result => return result,
            }
        }
    }

    /// Refuses a request that waits. The requester reads who did, and the reason.
    ///
    /// # Errors
    ///
    /// [`OfficerError`]; nothing was changed.
    pub fn deny(
        &self,
        request: RequestId,
        by: &Caller,
        reason: Option<&str>,
    ) -> Result<EventSeq, OfficerError> {
        let reason = reason.map(str::trim).filter(|it| !it.is_empty());
        if reason.is_some_and(|it| REASON_BYTES_MAX < it.len() || it.contains(is_deceptive)) {
            return Err(OfficerError::Reason);
        }
        if by.scope.is_some() {
            let row = self.row_in(request, PENDING)?;
            by.check_scope(&row, &row.request.attributes)?;
        }
        let message = match reason {
            Some(reason) => format!("Denied by {}: {reason}", by.name),
            None => format!("Denied by {}", by.name),
        };
        let now = self.clock.now();
        let detail = reason.unwrap_or_default().to_owned();
        let states = [Disposition::Pending, Disposition::Denied];
        let [before, after] = states.map(|it| Some(it.word().to_owned()));
        let audit = audit_entry(now, by, "request-deny", request, detail).change(before, after);
        self.store
            .deny(request, message, StatusCode::ADMIN_DENIED, now, audit)
            .map_err(|source| refused(source, PENDING, "refusing the request"))
    }

    /// Sets attributes of a request that waits, from lines of `Name:Value` as
    /// [`crate::parse_attributes`] reads them; those of the same name are overwritten. Returns all that
    /// it has then.
    ///
    /// # Errors
    ///
    /// [`OfficerError`]; nothing was changed.
    pub fn set_attributes(
        &self,
        request: RequestId,
        text: &str,
        by: &Caller,
    ) -> Result<Vec<(String, String)>, OfficerError> {
        let unacceptable = |source| OfficerError::Attributes { source };
        let set = parse_attributes(text).map_err(unacceptable)?;
        // One at a time, so that nobody's lines exceed a limit together with another's.
        let _amending = self.amending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let row = self.row_in(request, PENDING)?;
        by.check_scope(&row, &row.request.attributes)?;
        let merged = merge_attributes(&row.request.attributes, &set).map_err(unacceptable)?;
        // Another template may be another manager's.
        by.check_scope(&row, &merged)?;
        let names: Vec<&str> = set.iter().map(|(name, _)| name.as_str()).collect();
        let detail = names.join(", ");
        let audit = audit_entry(self.clock.now(), by, "request-attributes", request, detail)
            .change(of_names(&row.request.attributes, &names), of_names(&set, &names));
        self.store
            .set_attributes(request, set, audit)
            .map_err(|source| refused(source, PENDING, "changing the attributes"))?;
        Ok(merged)
    }

    /// Sets an extension of a request that waits: it replaces the one with its name, is added, or,
    /// where it is disabled, left out of the certificate.
    ///
    /// # Errors
    ///
    /// [`OfficerError`]; nothing was changed.
    pub fn set_extension(
        &self,
        request: RequestId,
        extension: OfficerExtension,
        by: &Caller,
    ) -> Result<(), OfficerError> {
        let _amending = self.amending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let row = self.row_in(request, PENDING)?;
        by.check_scope(&row, &row.request.attributes)?;
        officer_extension::check(&extension, &row.officer_extensions)
            .map_err(|source| OfficerError::Extension { oid: extension.oid.clone(), source })?;
        let detail = format!("{}, flags {:#x}", extension.oid, extension.flags);
        let old = row.officer_extensions.iter().find(|it| it.oid == extension.oid);
        let audit = audit_entry(self.clock.now(), by, "request-extension", request, detail)
            .change(old.map(shown), Some(shown(&extension)));
        self.store
            .set_extension(request, extension, audit)
            .map_err(|source| refused(source, PENDING, "changing an extension"))
    }

    /// Fetches a request with what became of it. Where it waited for an officer and is issued, that is
    /// an event, each time.
    ///
    /// # Errors
    ///
    /// [`OfficerError::RequestUnknown`], [`OfficerError::Store`].
    pub fn retrieve(&self, request: RequestId) -> Result<Retrieved, OfficerError> {
        let action = "fetching the request";
        let store = |source| refused(source, &[], action);
        let event = self.store.retrieve(request, self.clock.now()).map_err(store)?;
        let found = self.store.request(request).map_err(store)?;
        let record = found.ok_or(OfficerError::RequestUnknown(request))?;
        let certificate = self.store.certificate_of(request).map_err(store)?;
        Ok(Retrieved { record, certificate, event })
    }

    /// The row of a request that must be in one of these states.
    fn row_in(
        &self,
        request: RequestId,
        allowed: &'static [Disposition],
    ) -> Result<RequestRecord, OfficerError> {
        let reading = |source| OfficerError::Store { action: "reading the request", source };
        let found = self.store.request(request).map_err(reading)?;
        let row = found.ok_or(OfficerError::RequestUnknown(request))?;
        let disposition = row.disposition;
        if allowed.contains(&disposition) {
            Ok(row)
        } else {
            Err(OfficerError::WrongState { request, disposition, allowed })
        }
    }
}

/// The attributes that have one of these names, in any case, a line each, if there are any.
fn of_names(attributes: &[(String, String)], names: &[&str]) -> Option<String> {
    let is_meant = |it: &&(String, String)| names.iter().any(|one| one.eq_ignore_ascii_case(&it.0));
    let lines = attributes.iter().filter(is_meant).map(|(key, value)| format!("{key}:{value}"));
    Some(lines.collect::<Vec<_>>().join("\n")).filter(|it| !it.is_empty())
}

/// An extension that an officer set, for the audit trail.
fn shown(OfficerExtension { oid, flags, value }: &OfficerExtension) -> String {
    format!("{oid}, flags {flags:#x}, value {}", exeunt_types::hexadecimal(value))
}

/// An officer's deed for the audit trail.
pub(crate) fn audit_entry(
    at: UnixMillis,
    by: &Caller,
    action: &str,
    request: RequestId,
    detail: String,
) -> AuditEntry {
    AuditEntry::new(at, by.actor(), action, format!("request:{request}")).detail(detail)
}

/// What the store says in the officer's words.
pub(crate) fn refused(
    source: StoreError,
    allowed: &'static [Disposition],
    action: &'static str,
) -> OfficerError {
    match source {
        StoreError::NoRequest(request) => OfficerError::RequestUnknown(request),
        StoreError::WrongState { request, disposition } => {
            OfficerError::WrongState { request, disposition, allowed }
        }
        StoreError::ChangedMeanwhile(request) => OfficerError::ChangedMeanwhile(request),
        source => OfficerError::Store { action, source },
    }
}
