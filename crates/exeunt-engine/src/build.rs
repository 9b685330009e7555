//! Step 2 of the journey: what the certificate will say, built and linted. Pure but for the serial
//! number that is drawn.

use std::sync::Arc;

use exeunt_types::{OfficerExtension, Serial, UnixMillis};
use exeunt_x509::{
    BuildError, CERTIFICATE_BYTES_MAX, CertificateFields, CertificationRequest, Extension, Finding,
    Issuer, KeyUsage, build_tbs, lint_tbs,
};

use crate::address::Tokens;
use crate::ca::CaCertificate;
use crate::engine::Engine;
use crate::error::SubmitError;
use crate::officer_extension;
use crate::policy::Plan;

/// Room that is kept for a signature with its frame, in octets, so that no certificate becomes too
/// large to be read back. The largest, of ML-DSA-87, has 4,627 (FIPS 204, table 2).
const SIGNATURE_BYTES_MAX: usize = 8_192;

/// Bytes that passed the lints, with the serial that is in them.
pub(crate) struct Linted {
    /// The certificate whose key is to sign.
    pub(crate) ca: Arc<CaCertificate>,
    pub(crate) serial: Serial,
    pub(crate) tbs: Vec<u8>,
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
    /// Part of the revocation list that it names.
    pub(crate) crl_partition: u32,
}

impl Engine {
    /// Step 2. The inner error is the list of findings: the request cannot become a good certificate.
    pub(crate) fn build(
        &self,
        ca: &Arc<CaCertificate>,
        request: &CertificationRequest,
        plan: &Plan,
        officers: &[OfficerExtension],
        now: UnixMillis,
    ) -> Result<Result<Linted, Vec<Finding>>, SubmitError> {
        let random =
            self.entropy.serial_octets().map_err(|source| SubmitError::Entropy { source })?;
        let serial = Serial::from_random(random);
        let crl_partition = self.crls.draw_partition(random);
        let (not_before, not_after) = validity(ca.issuer(), plan, now)?;
        let mut extensions =
            extensions(ca, request, plan).map_err(|source| SubmitError::Build { source })?;
        if crl_partition != 0 {
            self.name_part(&mut extensions, ca, crl_partition);
        }
        officer_extension::apply(&mut extensions, &plan.extensions);
        officer_extension::apply(&mut extensions, officers);
        let tbs = build_tbs(&CertificateFields {
            serial,
            scheme: ca.key().scheme(),
            issuer: ca.issuer().name(),
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
        Ok(lint_tbs(&tbs, Some(ca.issuer())).map(|()| Linted {
            ca: Arc::clone(ca),
            serial,
            tbs,
            not_before: UnixMillis::from_unix_seconds(not_before),
            not_after: UnixMillis::from_unix_seconds(not_after),
            crl_partition,
        }))
    }

    /// Has a certificate name the list of its part.
    fn name_part(&self, extensions: &mut [Extension], ca: &CaCertificate, partition: u32) {
        let tokens = Tokens {
            certificate_index: ca.index(),
            key_index: ca.key_index(),
            delta: false,
            partition,
        };
        let addresses: Vec<String> =
            self.crl_distribution_points.iter().map(|it| tokens.expand(it)).collect();
        let points = Extension::crl_distribution_points(&addresses);
        if let Some(found) = extensions.iter_mut().find(|it| it.oid == points.oid) {
            *found = points;
        }
    }
}

/// First and last second of validity, both inclusive (RFC 5280, section 4.1.2.5), inside the
/// CA's own, as the original cuts them.
fn validity(issuer: &Issuer, plan: &Plan, now: UnixMillis) -> Result<(i64, i64), SubmitError> {
    let seconds = |it: std::time::Duration| i64::try_from(it.as_secs()).unwrap_or(i64::MAX);
    let now = now.unix_seconds();
    if now < issuer.not_before() || issuer.not_after() < now {
        return Err(SubmitError::CaNotValid);
    }
    let not_before = now.saturating_sub(seconds(plan.backdate)).max(issuer.not_before());
    let not_before = plan.not_before.map_or(not_before, |it| it.unix_seconds().max(not_before));
    let not_after = now.saturating_add(seconds(plan.validity)).saturating_sub(1);
    let not_after = plan.not_after.map_or(not_after, |it| it.unix_seconds().min(not_after));
    Ok((not_before, not_after.min(issuer.not_after())))
}

fn extensions(
    ca: &CaCertificate,
    request: &CertificationRequest,
    plan: &Plan,
) -> Result<Vec<Extension>, BuildError> {
    let mut extensions = Vec::with_capacity(ca.fixed_extensions().len() + 5);
    // Whoever may sign certificates is a CA (RFC 5280, section 4.2.1.9).
    let is_ca = plan.key_usage.contains(KeyUsage::KEY_CERT_SIGN);
    extensions.push(Extension::basic_constraints(is_ca, plan.path_length.filter(|_| is_ca)));
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
    extensions.extend(ca.fixed_extensions().iter().cloned());
    Ok(extensions)
}
