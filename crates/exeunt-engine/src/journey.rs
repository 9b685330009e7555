//! The journey of a request, in numbered steps. `docs/journey.md` tells the same with the same
//! numbers; steps 6 to 8 (read, deliver, settle) are the dispatcher's, which the engine does not know.

use exeunt_keys::{SignError, verify};
use exeunt_store::StoreError;
use exeunt_types::{
    EventSeq, NewCertificate, NewIntent, NewRequest, RequestId, RequestType, Resolution, Serial,
    StatusCode, UnixMillis,
};
use exeunt_x509::{
    BuildError, CERTIFICATE_BYTES_MAX, CertificateFields, CertificationRequest, Extension, Finding,
    assemble_certificate, build_tbs, lint_tbs, parse_request,
};

use crate::attributes::{check, merge_attributes};
use crate::engine::{Engine, SERIAL_ATTEMPTS_MAX};
use crate::error::SubmitError;
use crate::policy::{Asked, Caller, Decision, Plan};

/// Name of the request attribute that asks for a template, as the original has it.
const TEMPLATE_ATTRIBUTE: &str = "CertificateTemplate";
/// Room that is kept for a signature with its frame, in octets, so that no certificate becomes too
/// large to be read back. The largest, of ML-DSA-87, has 4,627 (FIPS 204, table 2).
const SIGNATURE_BYTES_MAX: usize = 8_192;

/// A request as it came through a door.
#[derive(Clone, Debug)]
pub struct Submission {
    /// PKCS#10, PEM or DER.
    pub request: Vec<u8>,
    /// Request attributes, parsed by [`crate::parse_attributes`].
    pub attributes: Vec<(String, String)>,
    /// Template that the caller named.
    pub template: Option<String>,
    /// Who asks.
    pub caller: Caller,
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

/// Bytes that passed the lints, with the serial that is in them.
struct Linted {
    serial: Serial,
    tbs: Vec<u8>,
    not_before: UnixMillis,
    not_after: UnixMillis,
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
        // 0. Admit. The request is read and its signature verified; its row is written together
        //    with what follows from it, so that there is no row without an outcome.
        let Submission { request, attributes, template, caller } = submission;
        let request =
            parse_request(&request).map_err(|source| SubmitError::Unreadable { source })?;
        let attributes = merge_attributes(request.enrollment_attributes(), &attributes)
            .map_err(|source| SubmitError::Attributes { source })?;
        let template = choose_template(template, &attributes)?;
        let now = self.clock.now();
        let row = |template: String| NewRequest {
            raw: request.der().to_vec(),
            request_type: RequestType::Pkcs10,
            requester: caller.name.clone(),
            caller: caller.name.clone(),
            template,
            attributes: attributes.clone(),
            subject: request.subject().to_string(),
            submitted: now,
        };
        let signature_is_good = verify(
            request.spki_der(),
            request.key(),
            request.scheme(),
            request.info_der(),
            request.signature(),
        );
        if signature_is_good.is_err() {
            let id = self.resolve(
                row(template.unwrap_or_default()),
                Resolution::Fail {
                    status: StatusCode::BAD_SIGNATURE,
                    message: "the signature of the request does not verify".to_owned(),
                },
            )?;
            return Err(SubmitError::BadSignature { request: id });
        }

        // 1. Decide. Foreign code, no transaction.
        let asked = Asked {
            request: &request,
            attributes: &attributes,
            template: template.as_deref(),
            caller: &caller,
            now,
        };
        let plan = match self.policy.decide(&asked) {
            Decision::Issue(plan) => *plan,
            Decision::Hold { template, message } => {
                let pend = Resolution::Pend { message: message.clone() };
                let request = self.resolve(row(template), pend)?;
                return Ok(Submitted { request, outcome: Outcome::Pending { message } });
            }
            Decision::Refuse { template, code, status, message } => {
                let deny = Resolution::Deny { status, message: message.clone() };
                let request = self.resolve(row(template), deny)?;
                let outcome = Outcome::Denied { code, status, message };
                return Ok(Submitted { request, outcome });
            }
        };

        // 2. Build and lint. Pure.
        // 3. Intend: request row and intent in one commit, before anything is signed.
        let mut attempts = 0;
        let prepared = loop {
            attempts += 1;
            let linted = match self.build(&request, &plan, now)? {
                Ok(linted) => linted,
                Err(findings) => return self.refuse_by_lint(row(plan.template), &findings),
            };
            match self.intend(row(plan.template.clone()), linted) {
                Err(SubmitError::Store { source: StoreError::DuplicateSerial(_), .. })
                    if attempts < SERIAL_ATTEMPTS_MAX => {}
                result => break result?,
            }
        };

        // 4. Sign. May take seconds; no transaction.
        let signed = self.sign(prepared)?;

        // 5. Record: certificate, request state, end of the intent and event become facts together.
        self.record(signed, &request, &plan)
    }

    /// Step 0 without a certificate to follow: the row, its outcome and its event in one commit.
    fn resolve(&self, row: NewRequest, resolution: Resolution) -> Result<RequestId, SubmitError> {
        self.store
            .admit_resolve(row, resolution)
            .map_err(|source| SubmitError::Store { action: "recording the request", source })
    }

    /// Step 2. The inner error is the list of findings: the request cannot become a good certificate.
    fn build(
        &self,
        request: &CertificationRequest,
        plan: &Plan,
        now: UnixMillis,
    ) -> Result<Result<Linted, Vec<Finding>>, SubmitError> {
        let serial = self
            .entropy
            .serial_octets()
            .map(Serial::from_random)
            .map_err(|source| SubmitError::Entropy { source })?;
        let (not_before, not_after) = self.validity(plan, now)?;
        let extensions =
            self.extensions(request, plan).map_err(|source| SubmitError::Build { source })?;
        let tbs = build_tbs(&CertificateFields {
            serial,
            scheme: self.key.scheme(),
            issuer: self.issuer.name(),
            subject: &plan.subject,
            not_before,
            not_after,
            spki_der: request.spki_der(),
            extensions: &extensions,
        })
        .map_err(|source| SubmitError::Build { source })?;
        if CERTIFICATE_BYTES_MAX < tbs.len() + SIGNATURE_BYTES_MAX {
            let message = format!("certificate is larger than {CERTIFICATE_BYTES_MAX} octets");
            return Ok(Err(vec![Finding { code: "certificate-too-large", message }]));
        }
        Ok(lint_tbs(&tbs, Some(&self.issuer)).map(|()| Linted {
            serial,
            tbs,
            not_before: UnixMillis::from_unix_seconds(not_before),
            not_after: UnixMillis::from_unix_seconds(not_after),
        }))
    }

    /// First and last second of validity, both inclusive (RFC 5280, section 4.1.2.5), inside the
    /// CA's own, as the original cuts them.
    fn validity(&self, plan: &Plan, now: UnixMillis) -> Result<(i64, i64), SubmitError> {
        let seconds = |it: std::time::Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
        let now = now.unix_seconds();
        if now < self.issuer.not_before() || self.issuer.not_after() < now {
            return Err(SubmitError::CaNotValid);
        }
        let not_before = now.saturating_sub(seconds(plan.backdate)).max(self.issuer.not_before());
        let not_after = now.saturating_add(seconds(plan.validity)).saturating_sub(1);
        Ok((not_before, not_after.min(self.issuer.not_after())))
    }

    fn extensions(
        &self,
        request: &CertificationRequest,
        plan: &Plan,
    ) -> Result<Vec<Extension>, BuildError> {
        let mut extensions = Vec::with_capacity(self.fixed_extensions.len() + 5);
        extensions.push(Extension::basic_constraints(false, None));
        extensions.push(Extension::key_usage(plan.key_usage));
        if !plan.extended_key_usage.is_empty() {
            extensions.push(Extension::extended_key_usage(&plan.extended_key_usage));
        }
        let identifier = Extension::subject_key_identifier(request.spki_der())
            .map_err(|source| BuildError::PublicKey { source: source.into() })?;
        extensions.push(identifier);
        let names = &plan.subject_alternative_names;
        if !names.is_empty() {
            // Critical when the subject is empty (RFC 5280, section 4.2.1.6).
            extensions.push(Extension::subject_alternative_name(names, plan.subject.is_empty()));
        }
        extensions.extend(self.fixed_extensions.iter().cloned());
        Ok(extensions)
    }

    fn refuse_by_lint(
        &self,
        row: NewRequest,
        findings: &[Finding],
    ) -> Result<Submitted, SubmitError> {
        let list: Vec<String> = findings.iter().map(|it| it.message.clone()).collect();
        let message = format!("the certificate would break a rule: {}", list.join("; "));
        let status = StatusCode::FAIL;
        let deny = Resolution::Deny { status, message: message.clone() };
        let request = self.resolve(row, deny)?;
        let outcome = Outcome::Denied { code: "lint-refused", status, message };
        Ok(Submitted { request, outcome })
    }

    /// Step 3.
    fn intend(&self, row: NewRequest, linted: Linted) -> Result<Prepared, SubmitError> {
        let intent = NewIntent { serial: linted.serial, tbs: linted.tbs.clone() };
        let request = self
            .store
            .admit_intend(row, intent)
            .map_err(|source| SubmitError::Store { action: "writing the intent", source })?;
        Ok(Prepared { request, linted })
    }

    /// Step 4.
    fn sign(&self, prepared: Prepared) -> Result<Signed, SubmitError> {
        let Prepared { request, linted } = prepared;
        match self.sign_and_check(&linted.tbs) {
            Ok(signature) => {
                let raw = assemble_certificate(&linted.tbs, self.key.scheme(), &signature);
                Ok(Signed { request, linted, raw })
            }
            Err(source) => {
                let at = self.clock.now();
                let message = "the CA's key did not sign";
                if let Err(err) = self.store.abandon(request, StatusCode::FAIL, message, at) {
                    // The intent stays in the store, and recovery at the next start finds it.
                    tracing::error!(request = request.0, error = %err, "abandoning an intent failed");
                }
                Err(SubmitError::Sign { request, source })
            }
        }
    }

    /// A signature that was disturbed does not verify, and can betray the key it was made with:
    /// where the operator asks for the check, nobody gets to see one. It costs as much as verifying
    /// the request (decision 0005).
    fn sign_and_check(&self, tbs: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.key.sign(tbs)?;
        if !self.check_signatures {
            return Ok(signature);
        }
        let (key, scheme) = (self.issuer.key(), self.key.scheme());
        match verify(self.issuer.spki_der(), key, scheme, tbs, &signature) {
            Ok(()) => Ok(signature),
            Err(err) => Err(SignError::Module { algorithm: key, source: err.into() }),
        }
    }

    /// Step 5. On an error the certificate exists as bytes but nobody may see it; its intent stays
    /// for recovery.
    fn record(
        &self,
        signed: Signed,
        request: &CertificationRequest,
        plan: &Plan,
    ) -> Result<Submitted, SubmitError> {
        let Signed { request: id, linted, raw } = signed;
        let Linted { serial, tbs: _, not_before, not_after } = linted;
        let names: Vec<String> =
            plan.subject_alternative_names.iter().map(ToString::to_string).collect();
        let subject = plan.subject.to_string();
        let certificate = NewCertificate {
            serial,
            raw: raw.clone(),
            subject: subject.clone(),
            subject_alternative_names: names.join(","),
            not_before,
            not_after,
            key: request.key(),
        };
        let event = self
            .store
            .record(id, certificate, self.clock.now())
            .map_err(|source| SubmitError::Store { action: "recording the certificate", source })?;
        tracing::debug!(request = id.0, %serial, event = event.0, "certificate issued");
        let outcome =
            Outcome::Issued { serial, certificate: raw, subject, not_before, not_after, event };
        Ok(Submitted { request: id, outcome })
    }
}

/// The template that was named, directly or by attribute. Two different ones are a mistake that
/// must not be decided by guessing.
fn choose_template(
    option: Option<String>,
    attributes: &[(String, String)],
) -> Result<Option<String>, SubmitError> {
    let named = attributes.iter().find(|(name, _)| name.eq_ignore_ascii_case(TEMPLATE_ATTRIBUTE));
    if let Some(option) = &option {
        // It goes where the attribute goes: into the row, and before exit modules.
        check(TEMPLATE_ATTRIBUTE, option).map_err(|source| SubmitError::Attributes { source })?;
    }
    match (option, named) {
        (Some(option), Some((_, attribute))) if option != *attribute => {
            Err(SubmitError::TemplateConflict { option, attribute: attribute.clone() })
        }
        (Some(option), _) => Ok(Some(option)),
        (None, named) => Ok(named.map(|(_, value)| value.clone())),
    }
}
