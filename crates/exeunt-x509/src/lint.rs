//! Lints: reads a `TBSCertificate` anew, before it is signed, and says what must not be in it.
//!
//! The bytes are all that is trusted. The rules are those of RFC 5280 and of the algorithms' own
//! RFCs, plus the CA's limits. Here are the plain fields; extensions are in `lint/extensions.rs`.

pub(crate) mod extensions;
#[cfg(test)]
mod tests;

use crate::algorithm::{explain_unknown_scheme, key_algorithm, scheme_fits_key, scheme_from_der};
use crate::certificate::{BasicConstraints, Issuer, RawTbs};
use crate::name::Name;
use crate::oid;
use crate::time::{GENERALIZED_TIME_FROM_YEAR, Moment, read_time};
use crate::tlv::{GENERALIZED_TIME, NotDer, Tlv, check_der};
use exeunt_types::{KeyAlgorithm, Serial};

/// A rule that a certificate breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code, kebab-case.
    pub code: &'static str,
    /// One lower-case clause for people.
    pub message: String,
}

/// Checks the bytes that are about to be signed. `issuer` is who signs; `None` is a self-signed
/// root.
///
/// # Errors
///
/// Every finding, at least one. Bytes that cannot be taken apart give one finding, `not-der` or
/// `not-a-certificate`.
pub fn lint_tbs(tbs: &[u8], issuer: Option<&Issuer>) -> Result<(), Vec<Finding>> {
    let alone = |code, NotDer(what): NotDer| vec![Finding { code, message: what.to_owned() }];
    check_der(tbs).map_err(|err| alone("not-der", err))?;
    let tbs = RawTbs::read(tbs).map_err(|err| alone("not-a-certificate", err))?;

    let mut lint = Lint { tbs: &tbs, issuer, findings: Vec::new() };
    let key = lint.key();
    lint.version_and_serial();
    lint.signature_algorithm(key);
    lint.issuer();
    lint.validity();
    let subject = lint.subject();
    let constraints = lint.basic_constraints();
    if let Some(subject) = &subject {
        lint.subject_of(subject, constraints.ca);
    }
    lint.extensions(constraints, key, subject.as_ref());
    if lint.findings.is_empty() { Ok(()) } else { Err(lint.findings) }
}

/// One certificate under examination.
struct Lint<'a> {
    tbs: &'a RawTbs<'a>,
    issuer: Option<&'a Issuer>,
    findings: Vec<Finding>,
}

impl Lint<'_> {
    fn report(&mut self, code: &'static str, message: impl Into<String>) {
        self.findings.push(Finding { code, message: message.into() });
    }

    /// Passes a value on, or reports why there is none.
    fn value_or_report<T>(
        &mut self,
        code: &'static str,
        value: Result<T, impl std::fmt::Display>,
    ) -> Option<T> {
        value.map_err(|err| self.report(code, err.to_string())).ok()
    }

    fn key(&mut self) -> Option<KeyAlgorithm> {
        key_algorithm(self.tbs.spki).map_err(|err| self.report(err.code(), err.to_string())).ok()
    }

    fn version_and_serial(&mut self) {
        if self.tbs.version != Some(&[2]) {
            self.report("version-not-3", "certificate is not of version 3");
        }
        let serial = self.tbs.serial;
        if serial == [0] || serial.first().is_none_or(|it| it & 0x80 != 0) {
            self.report("serial-not-positive", "serial number is zero or negative");
        }
        if Serial::OCTETS_MAX < serial.len() {
            self.report("serial-too-long", "serial number has more than 20 octets");
        }
        if self.tbs.unique_id {
            self.report("unique-identifier", "a unique identifier is in the certificate");
        }
    }

    fn signature_algorithm(&mut self, own_key: Option<KeyAlgorithm>) {
        let der = self.tbs.algorithm.whole;
        let Some(scheme) = scheme_from_der(der) else {
            let message = format!("signature algorithm: {}", explain_unknown_scheme(der));
            return self.report("signature-algorithm-invalid", message);
        };
        let key = self.issuer.map(Issuer::key).or(own_key);
        if key.is_some_and(|key| !scheme_fits_key(scheme, key)) {
            let message = "signature algorithm does not fit the issuer's key";
            self.report("signature-algorithm-mismatch", message);
        }
    }

    fn issuer(&mut self) {
        let expected = self.issuer.map_or(self.tbs.subject, |it| it.name().der());
        if self.tbs.issuer == [0x30, 0] {
            self.report("issuer-empty", "issuer is empty");
        }
        if self.tbs.issuer != expected {
            let message = "issuer differs from the subject of the issuing certificate";
            self.report("issuer-mismatch", message);
        }
    }

    fn validity(&mut self) {
        let not_before = self.time("notBefore", &self.tbs.not_before);
        let not_after = self.time("notAfter", &self.tbs.not_after);
        let (Some(not_before), Some(not_after)) = (not_before, not_after) else { return };
        if not_after.unix_seconds < not_before.unix_seconds {
            self.report("validity-reversed", "validity ends before it begins");
        }
        if self.issuer.is_some_and(|it| it.not_after() < not_after.unix_seconds) {
            self.report("outlives-issuer", "certificate is valid longer than its issuer's");
        }
    }

    fn time(&mut self, field: &str, time: &Tlv<'_>) -> Option<Moment> {
        let moment = match read_time(time) {
            Ok(moment) => moment,
            Err(NotDer(what)) => {
                self.report("time-invalid", format!("{field}: {what}"));
                return None;
            }
        };
        let is_generalized = time.tag == GENERALIZED_TIME;
        if is_generalized != (GENERALIZED_TIME_FROM_YEAR <= moment.year) {
            let message = format!("{field} is not a UTCTime through 2049 or GeneralizedTime after");
            self.report("time-type", message);
        }
        Some(moment)
    }

    fn subject(&mut self) -> Option<Name> {
        let name = Name::from_der(self.tbs.subject);
        let name = self.value_or_report("subject-invalid", name)?;
        self.value_or_report("subject-invalid", name.check_bounds());
        Some(name)
    }

    /// What the subject may be depends on whether it is an authority.
    fn subject_of(&mut self, subject: &Name, ca: bool) {
        if ca && subject.is_empty() {
            self.report("ca-subject-empty", "a certificate authority has no subject");
        }
        // Verifiers would take it for one that the authority issued to itself (RFC 5280, section
        // 3.2), and count and check it otherwise.
        if !ca && self.issuer.is_some_and(|it| subject.matches(it.name())) {
            let message = "subject is that of the issuer, but this is no certificate authority";
            self.report("subject-is-issuer", message);
        }
    }

    /// Whether the certificate says that it is one of a CA; an unreadable extension says no.
    fn basic_constraints(&mut self) -> BasicConstraints {
        let constraints = match self.tbs.extension(&oid::BASIC_CONSTRAINTS) {
            None => Some(BasicConstraints::default()),
            Some(found) => {
                let constraints = BasicConstraints::read(found.value);
                self.value_or_report("basic-constraints-invalid", constraints)
            }
        };
        let constraints = constraints.unwrap_or_default();
        if constraints.default_encoded {
            self.report("default-encoded", "cA FALSE is encoded although it is the default");
        }
        if !constraints.ca {
            if constraints.path_len.is_some() {
                let message = "a path length is given, but this is no certificate authority";
                self.report("path-length-without-ca", message);
            }
            if self.issuer.is_none() {
                let message = "a self-signed certificate is not one of a certificate authority";
                self.report("self-signed-not-ca", message);
            }
            return constraints;
        }
        let below_issuer = self.issuer.and_then(Issuer::path_len);
        if let Some(allowed) = below_issuer
            && constraints.path_len.unwrap_or(0) >= allowed
        {
            let message = format!("issuer's path length of {allowed} leaves no room for this one");
            self.report("path-length-exceeded", message);
        }
        constraints
    }
}
