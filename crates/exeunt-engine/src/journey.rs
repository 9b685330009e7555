//! The journey of a request, in numbered steps. `docs/journey.md` tells the same with the same
//! numbers; steps 6 to 8 (read, deliver, settle) are the dispatcher's, which the engine does not know.

mod asked;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use exeunt_keys::{SignError, verify};
use exeunt_store::{Along, AsRead, AuditEntry, Pending, StoreError};
use exeunt_types::{
    Approval, Asker, AuditNote, EventSeq, IdempotencyKey, NewCertificate, NewIntent, NewRequest,
    OfficerExtension, RequestFlags, RequestId, RequestRecord, Resolution, Serial, StatusCode,
    UnixMillis,
};
use exeunt_x509::{
    CertificationRequest, assemble_certificate, parse_certificate, parse_request, parse_submission,
};

use crate::again::{approved_by, asked_by};
use crate::attributes::merge_attributes;
use crate::build::Linted;
use crate::ca::CaCertificate;
use crate::engine::{Engine, SERIAL_ATTEMPTS_MAX};
use crate::enroll::{Enrolment, choose_template, merge_signed};
use crate::error::SubmitError;
use crate::officer_extension::names_are_set;
use crate::policy::{Caller, Decision, Plan};
use crate::repeat::{self, RATE_LIMITED};

/// What the audit trail calls the use of a dangerous option.
const DANGEROUS_OPTION_USED: &str = "dangerous-option-used";

/// A request as it came through a door.
#[derive(Clone, Debug)]
pub struct Submission {
    /// PKCS#10, or around one PKCS#7 or CMC; PEM or DER.
    pub request: Vec<u8>,
    /// Request attributes, parsed by [`crate::parse_attributes`].
    pub attributes: Vec<(String, String)>,
    /// Template that the caller named.
    pub template: Option<String>,
    /// Who asks.
    pub caller: Caller,
    /// The key by which the caller may repeat it.
    pub key: Option<IdempotencyKey>,
}

/// What became of a submission. It is durable when the caller reads this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Row of the request.
    pub request: RequestId,
    /// The decision, carried out.
    pub outcome: Outcome,
}

/// How a submission ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate.
    Issued {
        /// Its serial number.
        serial: Serial,
        /// The certificate, DER.
        certificate: Vec<u8>,
        /// Its subject, RFC 4514 text.
        subject: String,
        /// First second of its validity.
        not_before: UnixMillis,
        /// Last second of its validity.
        not_after: UnixMillis,
        /// The event that tells of it.
        event: EventSeq,
    },
    /// Waits for an officer.
    Pending {
        /// One line for the requester.
        message: String,
    },
    /// Refused.
    Denied {
        /// Stable code.
        code: &'static str,
        /// The original's number.
        status: StatusCode,
        /// One line for the requester.
        message: String,
    },
}

/// A certificate that the CA issues to itself.
pub(crate) struct Own {
    /// PKCS#10, DER.
    pub(crate) request: Vec<u8>,
    pub(crate) plan: Plan,
    /// What its certificate has beyond a plan.
    pub(crate) extensions: Vec<OfficerExtension>,
    /// What its row says.
    pub(crate) flags: RequestFlags,
    /// Which of the CA's certificates issues it.
    pub(crate) ca: Arc<CaCertificate>,
}

/// How a request came to be admitted.
enum Entry {
    /// By a submission: its row is written with what follows from it.
    New,
    /// An officer takes it up again: it has a row, which must still be as it was read.
    Again {
        request: RequestId,
        from: Box<AsRead>,
        audit: Box<AuditEntry>,
        /// By whom it is approved now, where that is not on record.
        approval: Option<Approval>,
    },
    /// By the CA for itself: its row is a new one's.
    Own {
        /// What its certificate has beyond a plan.
        extensions: Vec<OfficerExtension>,
        /// What its row says.
        flags: RequestFlags,
        /// Which of the CA's certificates issues it.
        ca: Arc<CaCertificate>,
    },
}

/// A row on its way to the disk; a new one has its number only when it is there.
enum Row<T> {
    New(Pending<RequestId>),
    Again(RequestId, Pending<T>),
}

/// A request that was read: what the later steps need of it.
pub(crate) struct Admitted {
    entry: Entry,
    pub(crate) request: CertificationRequest,
    pub(crate) enrolment: Enrolment,
    attributes: Vec<(String, String)>,
    pub(crate) template: Option<String>,
    pub(crate) caller: Caller,
    /// Who approves it, the one who does it now last.
    approvals: Vec<String>,
    pub(crate) now: UnixMillis,
    /// By which a new one may be repeated.
    pub(crate) key: Option<IdempotencyKey>,
}

/// A linted certificate whose intent is durable. Holding one is the proof of both; signing takes
/// it by value, so there is at most one signature for an intent.
#[must_use = "a serial is reserved in the store; sign the certificate or abandon the intent"]
struct Prepared {
    request: RequestId,
    linted: Linted,
}

/// A certificate that exists as bytes but is not a fact before it is recorded.
#[must_use = "a signed certificate must be recorded before anybody sees it"]
struct Signed {
    request: RequestId,
    linted: Linted,
    raw: Vec<u8>,
}

/// After step 3: the row is on its way to the disk, with an intent or with an end.
enum Begun {
    Intending(Box<Intending>),
    Resolving(Resolving),
}

/// After step 5: the certificate, or the end without one, is on its way to the disk.
enum Ending {
    Recording(Box<Recording>),
    Resolving(Resolving),
}

struct Intending {
    row: Row<()>,
    admitted: Admitted,
    plan: Plan,
    linted: Linted,
}

struct Recording {
    pending: Pending<EventSeq>,
    signed: Signed,
    subject: String,
}

/// A refusal, by the policy or by a lint.
struct Denied {
    code: &'static str,
    status: StatusCode,
    message: String,
}

struct Resolving {
    row: Row<EventSeq>,
    end: Box<dyn FnOnce(RequestId) -> Result<Submitted, SubmitError>>,
}

impl<T> Row<T> {
    /// Waits until it is durable.
    fn wait(self) -> Result<RequestId, StoreError> {
        match self {
            Self::New(pending) => pending.wait(),
            Self::Again(request, pending) => pending.wait().map(|_| request),
        }
    }
}

impl Admitted {
    /// The row of a new request; the policy says under which template.
    fn row(&self, template: &str) -> NewRequest {
        let Enrolment { request_type, message, on_behalf_of, renewed, .. } = &self.enrolment;
        NewRequest {
            raw: message.as_deref().unwrap_or(self.request.der()).to_vec(),
            request_type: *request_type,
            requester: on_behalf_of.as_ref().unwrap_or(&self.caller.name).clone(),
            caller: self.caller.name.clone(),
            template: template.to_owned(),
            attributes: self.attributes.clone(),
            subject: self.request.subject().to_string(),
            flags: self.flags(),
            old_certificate: renewed.as_ref().map(|it| it.der().to_vec()),
            submitted: self.now,
        }
    }

    fn flags(&self) -> RequestFlags {
        match &self.entry {
            Entry::New | Entry::Again { .. } => self.enrolment.flags(),
            Entry::Own { flags, .. } => *flags,
        }
    }

    /// What goes into the commit of an intent.
    fn along(&self, plan: &Plan) -> Along {
        let note = |line: &String| AuditNote {
            at: self.now,
            actor: self.caller.actor(),
            action: DANGEROUS_OPTION_USED.to_owned(),
            detail: format!("template {}: {line}", plan.template),
        };
        Along {
            asker: None,
            approval: self.approval().cloned(),
            notes: plan.notes.iter().map(note).chain(self.key_note()).collect(),
            limits: plan.limits.iter().map(|it| (it.clone(), self.now)).collect(),
            flags: plan.flags,
            archived_key: self.enrolment.key.to_keep(self.now),
            key: self.new_key(None),
        }
    }

    /// What goes into the commit of a request that gets no certificate now.
    fn along_with(&self, resolution: &Resolution) -> Along {
        let waits = matches!(resolution, Resolution::Pend { .. });
        // Who failed to sign the request is nobody who will be asked for again.
        let may_come_again = !matches!(resolution, Resolution::Fail { .. });
        let asker = || Asker {
            door: self.caller.door.word().to_owned(),
            roles: self.caller.roles,
            groups: self.caller.groups.clone(),
        };
        let is_new = matches!(self.entry, Entry::New);
        Along {
            asker: (is_new && may_come_again).then(asker),
            approval: self.approval().filter(|_| waits).cloned(),
            notes: self.key_note().into_iter().collect(),
            archived_key: self.enrolment.key.to_keep(self.now),
            // One that fails is not what anybody wants to hear again.
            key: self.new_key(None).filter(|_| may_come_again),
            ..Along::default()
        }
    }

    fn key_note(&self) -> Option<AuditNote> {
        self.enrolment.key.note(&self.caller, self.now)
    }

    fn approval(&self) -> Option<&Approval> {
        match &self.entry {
            Entry::Again { approval, .. } => approval.as_ref(),
            Entry::New | Entry::Own { .. } => None,
        }
    }

    pub(crate) fn has_good_signature(&self) -> bool {
        let it = &self.request;
        verify(it.spki_der(), it.key(), it.scheme(), it.info_der(), it.signature()).is_ok()
    }
}

impl Engine {
    /// Takes a request as far as it goes.
    ///
    /// Blocks for at most two group commits and one signature. No transaction is open while the
    /// policy or the key works. A crash between steps 3 and 5 leaves an intent without a
    /// certificate, which recovery finds at the next start.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; its blame says whose move it is.
    pub fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let mut results = self.submit_all(vec![submission]);
        results.pop().expect("BUG: one submission has one result")
    }

    /// Takes several requests as far as they go, with the results in their order.
    ///
    /// Each goes its own way, as with [`Engine::submit`]; they only share the waiting: while the
    /// intent of one is on its way to the disk the next one is read.
    pub fn submit_all(&self, submissions: Vec<Submission>) -> Vec<Result<Submitted, SubmitError>> {
        // 0 to 3. Admit, decide, build and lint, intend.
        let start = |it| self.begin(self.admit(it)?);
        let begun: Vec<_> = submissions.into_iter().map(|it| guarded(|| start(it))).collect();

        // 4 and 5. Sign what has a durable intent, and record it.
        let ending: Vec<_> =
            begun.into_iter().map(|it| guarded(|| self.sign_and_record(it?))).collect();

        // Durable from here on; now it may be shown.
        ending.into_iter().map(|it| Self::finish(it?)).collect()
    }

    /// Takes a request that is recorded already as far as it goes, once more: the same journey, but
    /// that step 0 reads the row instead of writing one.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`]. The store says when the row is no longer as it was read.
    pub(crate) fn resume(
        &self,
        record: RequestRecord,
        by: &Caller,
        audit: AuditEntry,
    ) -> Result<Submitted, SubmitError> {
        let begun = guarded(|| self.begin(self.readmit(record, by, audit)?))?;
        Self::finish(guarded(|| self.sign_and_record(begun))?)
    }

    /// Issues a certificate that the CA needs itself: the same journey from step 2 on. Nobody is
    /// asked whether it may.
    ///
    /// # Errors
    ///
    /// As [`Engine::submit`]. A certificate that would break a rule is an error, and not recorded.
    pub(crate) fn issue_own(&self, own: Own, caller: Caller) -> Result<Submitted, SubmitError> {
        let Own { request, plan, extensions, flags, ca } = own;
        let begun = guarded(|| {
            let admitted = Admitted {
                entry: Entry::Own { extensions, flags, ca },
                request: parse_request(&request)
                    .map_err(|err| SubmitError::Unreadable { source: err.into() })?,
                enrolment: Enrolment::plain(),
                attributes: Vec::new(),
                template: Some(plan.template.clone()),
                caller,
                approvals: Vec::new(),
                now: self.clock.now(),
                key: None,
            };
            self.intend(admitted, plan)
        })?;
        Self::finish(guarded(|| self.sign_and_record(begun))?)
    }

    /// Steps 0 to 3 of what was read, up to the waiting.
    fn begin(&self, mut admitted: Admitted) -> Result<Begun, SubmitError> {
        // 0. Admit. The signature of the request is verified, as those around it were; its row is
        //    written together with what follows from it, so that there is no row without an outcome.
        if !admitted.has_good_signature() {
            let template = admitted.template.as_deref().unwrap_or_default();
            let fail = Resolution::Fail {
                status: StatusCode::BAD_SIGNATURE,
                message: "the signature of the request does not verify".to_owned(),
            };
            let end = |request| Err(SubmitError::BadSignature { request });
            return self.resolve(&admitted, template, fail, end);
        }
        if let Some(refusal) = admitted.enrolment.refusal {
            let template = admitted.template.as_deref().unwrap_or_default();
            let fail = Resolution::Fail { status: refusal.status(), message: refusal.to_string() };
            let end = move |request| Err(SubmitError::Message { request, refusal });
            return self.resolve(&admitted, template, fail, end);
        }

        // 1. Decide. Foreign code, no transaction.
        let decision = match self.decide(&mut admitted) {
            Ok(decision) => decision,
            Err(refusal) => {
                let template = admitted.template.as_deref().unwrap_or_default();
                let (status, message) = (refusal.status(), refusal.to_string());
                let end = move |request| Err(SubmitError::Key { request, refusal });
                return self.resolve(
                    &admitted,
                    template,
                    Resolution::Fail { status, message },
                    end,
                );
            }
        };
        match decision {
            Decision::Issue(plan) => self.intend(admitted, *plan),
            Decision::Hold { template, message } => {
                let pend = Resolution::Pend { message: message.clone() };
                let outcome = Outcome::Pending { message };
                self.resolve(&admitted, &template, pend, |request| {
                    Ok(Submitted { request, outcome })
                })
            }
            Decision::Refuse { template, code, status, message } => {
                self.refuse(&admitted, &template, Denied { code, status, message })
            }
            Decision::Fail { template, status, message } => {
                let fail = Resolution::Fail { status, message: message.clone() };
                let end = move |request| Err(SubmitError::Policy { request, message });
                self.resolve(&admitted, &template, fail, end)
            }
        }
    }

    /// Step 0, the reading.
    pub(crate) fn admit(&self, submission: Submission) -> Result<Admitted, SubmitError> {
        let Submission { request, attributes, template, caller, key } = submission;
        let unreadable = |source| SubmitError::Unreadable { source };
        let (entry, now) = (Entry::New, self.clock.now());
        self.refuse_repetition(&caller, key.as_ref(), now)?;
        let submitted = parse_submission(&request).map_err(unreadable)?;
        let attributes = if submitted.layers().is_empty() {
            merge_attributes(submitted.request().enrollment_attributes(), &attributes)
                .map_err(|source| SubmitError::Attributes { source })?
        } else {
            // Where one of the signers is not believed, the whole message is refused.
            let signed = submitted.enrollment_attributes_verified(|_| true);
            merge_signed(&signed.into_iter().cloned().collect::<Vec<_>>(), &attributes)?
        };
        let template = choose_template(template, &attributes)?;
        let wants_signatures = self.policy.wants_signatures(template.as_deref());
        let mut enrolment = self.examine(&submitted, wants_signatures, now)?;
        let request = submitted.into_requested().map_err(unreadable)?;
        // A renewal that names none is one of the same kind.
        let template = template.or(enrolment.renewed_template.take());
        let approvals = Vec::new();
        Ok(Admitted {
            entry,
            request,
            enrolment,
            attributes,
            template,
            caller,
            approvals,
            now,
            key,
        })
    }

    /// Step 0 of a request that is taken up again: what the row says now, read as it was then.
    fn readmit(
        &self,
        record: RequestRecord,
        by: &Caller,
        audit: AuditEntry,
    ) -> Result<Admitted, SubmitError> {
        let reading =
            |source| SubmitError::Store { action: "reading who approved the request", source };
        let (known, asker) = self
            .store
            .approvals(record.id)
            .and_then(|known| Ok((known, self.store.asker(record.id)?)))
            .map_err(reading)?;
        let now = self.clock.now();
        let approval = approved_by(&known, &record, by, now, &*self.policy)?;
        let approvals = known.iter().chain(&approval).map(|it| it.manager.clone()).collect();
        let from = Box::new(AsRead::of(&record, known));
        let RequestRecord { id, request: row, .. } = record;
        let unreadable = |source| SubmitError::Unreadable { source };
        let submitted = parse_submission(&row.raw).map_err(unreadable)?;
        let signatures = self.examine_again(id, &submitted)?;
        let request = submitted.into_requested().map_err(unreadable)?;
        // Whose signatures were good is in the row: they need not be so for ever.
        let mut enrolment = Enrolment::recorded(&row);
        enrolment.signatures = signatures;
        // An officer may have set the attribute; the row has the template of the last decision.
        let named = choose_template(None, &row.attributes)?;
        let template = named.or(Some(row.template)).filter(|it| !it.is_empty());
        let caller = asked_by(row.caller, asker, by);
        let entry = Entry::Again { request: id, from, audit: Box::new(audit), approval };
        let (attributes, key) = (row.attributes, None);
        Ok(Admitted {
            entry,
            request,
            enrolment,
            attributes,
            template,
            caller,
            approvals,
            now,
            key,
        })
    }

    /// Step 0 without a certificate to follow: the row, its outcome and its event in one commit.
    fn resolve(
        &self,
        admitted: &Admitted,
        template: &str,
        resolution: Resolution,
        end: impl FnOnce(RequestId) -> Result<Submitted, SubmitError> + 'static,
    ) -> Result<Begun, SubmitError> {
        let along = admitted.along_with(&resolution);
        self.resolve_along(admitted, template, resolution, along, end)
    }

    fn resolve_along(
        &self,
        admitted: &Admitted,
        template: &str,
        resolution: Resolution,
        along: Along,
        end: impl FnOnce(RequestId) -> Result<Submitted, SubmitError> + 'static,
    ) -> Result<Begun, SubmitError> {
        // Where none fits, the row keeps the one that was named: who takes the request up again would have
        // another decide in its place otherwise.
        let named = || admitted.template.as_deref().unwrap_or_default();
        let template = if template.is_empty() { named() } else { template };
        let row = match &admitted.entry {
            Entry::New | Entry::Own { .. } => self
                .store
                .start_admit_resolve_along(admitted.row(template), resolution, along)
                .map(Row::New),
            Entry::Again { request, from, audit, .. } => {
                let (id, from, audit, template) =
                    (*request, AsRead::clone(from), AuditEntry::clone(audit), template.to_owned());
                self.store
                    .start_resume_resolve(
                        id,
                        from,
                        template,
                        (resolution, admitted.now),
                        audit,
                        along,
                    )
                    .map(|pending| Row::Again(id, pending))
            }
        };
        Ok(Begun::Resolving(Resolving { row: row.map_err(resolving)?, end: Box::new(end) }))
    }

    fn refuse(
        &self,
        admitted: &Admitted,
        template: &str,
        denied: Denied,
    ) -> Result<Begun, SubmitError> {
        let Denied { code, status, message } = denied;
        let deny = Resolution::Deny { status, message: message.clone() };
        let outcome = Outcome::Denied { code, status, message };
        let along = Along { key: admitted.new_key(Some(code)), ..admitted.along_with(&deny) };
        let end = |request| Ok(Submitted { request, outcome });
        self.resolve_along(admitted, template, deny, along, end)
    }

    /// Steps 2 and 3.
    fn intend(&self, admitted: Admitted, plan: Plan) -> Result<Begun, SubmitError> {
        // 2. Build and lint. Pure.
        let officers = admitted.officers();
        let ca = match &admitted.entry {
            Entry::New | Entry::Again { .. } => self.ca.issuing(admitted.now.unix_seconds()),
            Entry::Own { ca, .. } => ca,
        };
        let linted = match self.build(ca, &admitted.request, &plan, officers, admitted.now)? {
            Ok(linted) => linted,
            Err(findings) => {
                let list: Vec<String> = findings.into_iter().map(|it| it.message).collect();
                if !officers.is_empty() {
                    // Not the requester's fault: the officer may mend it, as long as it waits.
                    return Err(SubmitError::OfficerLint { findings: list.join("; ") });
                }
                let denied = Denied {
                    code: "lint-refused",
                    status: StatusCode::FAIL,
                    message: format!("the certificate would break a rule: {}", list.join("; ")),
                };
                return self.refuse(&admitted, &plan.template, denied);
            }
        };

        // 3. Intend: request row and intent in one commit, before anything is signed.
        let intent = NewIntent {
            serial: linted.serial,
            tbs: linted.tbs.clone(),
            not_after: linted.not_after,
            ca_key: ca.key_index(),
            crl_partition: linted.crl_partition,
        };
        let along = admitted.along(&plan);
        let row = match &admitted.entry {
            Entry::New | Entry::Own { .. } => self
                .store
                .start_admit_intend_along(admitted.row(&plan.template), intent, along)
                .map(Row::New),
            Entry::Again { request, from, audit, .. } => {
                let (id, from, audit) = (*request, AsRead::clone(from), AuditEntry::clone(audit));
                self.store
                    .start_resume_intend(id, from, plan.template.clone(), intent, audit, along)
                    .map(|pending| Row::Again(id, pending))
            }
        };
        let row = row.map_err(intending)?;
        Ok(Begun::Intending(Box::new(Intending { row, admitted, plan, linted })))
    }

    /// Steps 4 and 5, up to the waiting, once the intent is durable.
    fn sign_and_record(&self, begun: Begun) -> Result<Ending, SubmitError> {
        let mut begun = begun;
        let mut attempts = 1;
        let (request, intended) = loop {
            let Intending { row, admitted, plan, linted } = match begun {
                Begun::Intending(intending) => *intending,
                Begun::Resolving(resolving) => return Ok(Ending::Resolving(resolving)),
            };
            match row.wait() {
                Ok(request) => break (request, (admitted, plan, linted)),
                // Another serial, once: a second collision means broken randomness.
                Err(StoreError::DuplicateSerial(_)) if attempts < SERIAL_ATTEMPTS_MAX => {
                    attempts += 1;
                    begun = self.intend(admitted, plan)?;
                }
                Err(StoreError::RateLimited { scope, certificates, again }) => {
                    let message = rate_message(&scope, certificates, again);
                    if let Entry::Again { request, .. } = admitted.entry {
                        // The request waits as before; it is not its fault.
                        return Err(SubmitError::RateLimited { request, message });
                    }
                    let denied =
                        Denied { code: RATE_LIMITED, status: StatusCode::ENROLL_DENIED, message };
                    begun = self.refuse(&admitted, &plan.template, denied)?;
                }
                Err(err) => return Err(intending(err)),
            }
        };
        let (admitted, plan, linted) = intended;

        // 4. Sign. May take seconds; no transaction.
        let signed = self.sign(Prepared { request, linted })?;

        // 5. Record: certificate, request state, end of the intent and event become facts together.
        self.record(signed, &admitted, &plan)
    }

    /// The end of step 5: waits until it is durable.
    fn finish(ending: Ending) -> Result<Submitted, SubmitError> {
        let Recording { pending, signed, subject } = match ending {
            Ending::Recording(recording) => *recording,
            Ending::Resolving(Resolving { row, end }) => {
                return end(row.wait().map_err(resolving)?);
            }
        };
        let event = pending.wait().map_err(recording)?;
        let Signed { request, linted, raw: certificate } = signed;
        let Linted { serial, not_before, not_after, .. } = linted;
        tracing::debug!(request = request.0, %serial, event = event.0, "certificate issued");
        let outcome =
            Outcome::Issued { serial, certificate, subject, not_before, not_after, event };
        Ok(Submitted { request, outcome })
    }

    /// Step 4.
    fn sign(&self, prepared: Prepared) -> Result<Signed, SubmitError> {
        let Prepared { request, linted } = prepared;
        let result = catch_unwind(AssertUnwindSafe(|| self.sign_and_check(&linted)));
        match result {
            Ok(Ok(signature)) => {
                let raw = assemble_certificate(&linted.tbs, linted.ca.key().scheme(), &signature);
                Ok(Signed { request, linted, raw })
            }
            Ok(Err(source)) => {
                self.give_up(request);
                Err(SubmitError::Sign { request, source })
            }
            Err(panic) => {
                self.give_up(request);
                resume_unwind(panic)
            }
        }
    }

    /// Abandons the intent of a request that was not signed.
    fn give_up(&self, request: RequestId) {
        let at = self.clock.now();
        let message = "the CA's key did not sign";
        if let Err(err) = self.store.abandon(request, StatusCode::FAIL, message, at) {
            // The intent stays in the store, and recovery at the next start finds it.
            tracing::error!(request = request.0, error = %err, "abandoning an intent failed");
        }
    }

    /// A signature that was disturbed does not verify, and can betray the key it was made with:
    /// where the operator asks for the check, nobody gets to see one. It costs as much as verifying
    /// the request (decision 0005).
    fn sign_and_check(&self, linted: &Linted) -> Result<Vec<u8>, SignError> {
        let Linted { ca, tbs, .. } = linted;
        let signature = ca.key().sign(tbs)?;
        if !self.check_signatures {
            return Ok(signature);
        }
        let (key, scheme) = (ca.issuer().key(), ca.key().scheme());
        match verify(ca.issuer().spki_der(), key, scheme, tbs, &signature) {
            Ok(()) => Ok(signature),
            Err(err) => Err(SignError::Module { algorithm: key, source: err.into() }),
        }
    }

    /// Step 5, up to the waiting. On an error the certificate exists as bytes but nobody may see it;
    /// its intent stays for recovery.
    fn record(
        &self,
        signed: Signed,
        admitted: &Admitted,
        plan: &Plan,
    ) -> Result<Ending, SubmitError> {
        let planned = &plan.subject_alternative_names;
        let issued =
            names_are_set(admitted.officers()).then(|| parse_certificate(&signed.raw).ok());
        let issued = issued.flatten();
        let names = issued.as_ref().map_or(planned.as_slice(), |it| it.subject_alternative_names());
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let subject = plan.subject.to_string();
        let certificate = NewCertificate {
            serial: signed.linted.serial,
            raw: signed.raw.clone(),
            subject: subject.clone(),
            subject_alternative_names: names.join(","),
            not_before: signed.linted.not_before,
            not_after: signed.linted.not_after,
            ca_key: signed.linted.ca.key_index(),
            crl_partition: signed.linted.crl_partition,
            key: admitted.request.key(),
        };
        let now = self.clock.now();
        let pending =
            self.store.start_record(signed.request, certificate, now).map_err(recording)?;
        Ok(Ending::Recording(Box::new(Recording { pending, signed, subject })))
    }
}

/// What is said where a limit of issuance is reached.
pub(crate) fn rate_message(scope: &str, certificates: u32, again: UnixMillis) -> String {
    // Rounded up: whoever comes at that second finds room.
    let again = UnixMillis(again.0.saturating_add(999));
    let when = exeunt_x509::time_text(again.unix_seconds());
    format!("there are {certificates} certificates of {scope}, its limit; come again at {when}")
}

/// A panic in one submission, in foreign code most likely, must not take the others with it.
fn guarded<T>(step: impl FnOnce() -> Result<T, SubmitError>) -> Result<T, SubmitError> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<&str>().map(|it| (*it).to_owned());
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(SubmitError::Panicked { words: words.unwrap_or_default() })
    })
}

fn resolving(source: StoreError) -> SubmitError {
    repeat::of_store("recording the request", source)
}

fn intending(source: StoreError) -> SubmitError {
    repeat::of_store("writing the intent", source)
}

fn recording(source: StoreError) -> SubmitError {
    SubmitError::Store { action: "recording the certificate", source }
}
