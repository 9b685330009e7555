//! `exeunt cert revoke` and `unrevoke` of many certificates: shown first, and carried out when the exact
//! number, or a number within the limit, is confirmed.
//!
//! What is shown is what is meant: certificates that are issued in between are not among them.

use std::collections::HashSet;

use exeunt_api::{
    BULK_COUNT_MAX, BulkAnswer, BulkOutcome, BulkReleaseOrder, BulkResult, BulkRevokeOrder,
    CERTIFICATES_PATH, CertificateDetail, CertificatePage, CertificateSummary, Disposition,
    PAGE_ROWS_MAX, Revocation,
};
use exeunt_types::RevocationReason;
use exeunt_x509::{decode_pem_or_der, parse_certificate};
use reqwest::Method;
use serde::Serialize;

use crate::cli::BulkOptions;
use crate::client::ApiClient;
use crate::failure::{Failure, STATUS_FAILED, plain};
use crate::interrupt::Interrupt;
use crate::output::{self, Progress};

/// Most certificates that one command can mean; their serial numbers are held in memory.
pub const BULK_SELECTION_MAX: usize = 1_000_000;

/// Certificates that are sent at a time. An interruption waits for as many.
const BATCH: usize = if BULK_COUNT_MAX < 128 { BULK_COUNT_MAX } else { 128 };

/// Certificates that are shown before the question.
const SHOWN: usize = 5;

/// What the list of certificates takes that is not a filter.
const OF_LISTS: [&str; 6] = ["after", "before", "format", "limit", "order", "sort"];

/// What is done to each.
#[derive(Clone, Debug)]
pub enum Action {
    /// Why, and from when on; none means now.
    Revoke(RevocationReason, Option<String>),
    Release,
}

impl Action {
    fn infinitive(&self) -> &'static str {
        match self {
            Self::Revoke(..) => "revoke",
            Self::Release => "unrevoke",
        }
    }

    fn participle(&self) -> &'static str {
        match self {
            Self::Revoke(..) => "revoked",
            Self::Release => "released",
        }
    }

    /// Whether there is something to do about a certificate in that state. The server judges anew.
    fn wants(&self, disposition: Disposition, revocation: Option<&Revocation>) -> bool {
        let hold = RevocationReason::CertificateHold;
        let present = revocation.filter(|_| disposition == Disposition::Revoked);
        let on_hold = present.is_some_and(|it| it.reason.as_deref() == Some(hold.word()));
        match self {
            Self::Release => on_hold,
            Self::Revoke(new, _) if on_hold && *new != hold => true,
            Self::Revoke(new, _) => {
                let may_be_sooner = on_hold || *new != hold;
                disposition == Disposition::Issued || may_be_sooner && present.is_some_and(is_ahead)
            }
        }
    }
}

/// Whether it does not count yet: then it can still be brought forward.
fn is_ahead(revocation: &Revocation) -> bool {
    let effective: Result<jiff::Timestamp, _> = revocation.effective.parse();
    effective.is_ok_and(|it| jiff::Timestamp::now() < it)
}

/// A certificate that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meant {
    serial: String,
    request: u64,
    subject: String,
}

/// What is told at the end.
#[derive(Debug, Serialize)]
struct Summary {
    selected: usize,
    changed: usize,
    already: usize,
    refused: usize,
    /// Whether it was interrupted before the end.
    stopped: bool,
    results: Vec<BulkResult>,
}

/// Certificates that meet filters of `cert list`.
pub fn by_filter(
    client: &ApiClient,
    filters: &[String],
    action: &Action,
    options: &BulkOptions,
    json: bool,
) -> Result<u8, Failure> {
    let mut filters_given: Vec<(String, String)> = Vec::new();
    for filter in filters {
        let Some((key, value)) = filter.split_once('=') else {
            let message = format!("--where {filter}: not KEY=VALUE");
            return Err(Failure::usage("usage-where", message)
                .hint("for example --where template=tls-server; the keys are those of cert list"));
        };
        // Options are written with dashes, members of the API without.
        let key = key.replace('-', "_");
        if OF_LISTS.contains(&key.as_str()) {
            let message = format!("--where {key}: not a property of certificates");
            return Err(Failure::usage("usage-where", message)
                .hint("the number is bounded by --limit, and the order does not matter"));
        }
        filters_given.push((key, value.to_owned()));
    }
    let interrupt = Interrupt::listen()?;
    let mut meant = Vec::new();
    let mut place: Option<String> = None;
    loop {
        let mut query = vec![("limit", PAGE_ROWS_MAX.to_string())];
        query.extend(filters_given.iter().map(|(key, value)| (key.as_str(), value.clone())));
        query.extend(place.take().map(|it| ("after", it)));
        let page: CertificatePage = client.get(CERTIFICATES_PATH, &query)?;
        for row in page.certificates {
            if action.wants(row.disposition, row.revocation.as_ref()) {
                let CertificateSummary { serial, request_id: request, subject, .. } = row.summary;
                meant.push(Meant { serial, request, subject });
            }
        }
        if BULK_SELECTION_MAX < meant.len() {
            return Err(too_many());
        }
        if interrupt.is_asked() {
            return Err(Failure::new("interrupted", "stopped before anything was changed"));
        }
        match page.next {
            Some(next) => place = Some(next),
            None => break,
        }
    }
    carry_out(client, &interrupt, &meant, Vec::new(), (action, options, json))
}

/// The certificates of a file. Those that are not this CA's are refused one by one.
pub fn by_file(
    client: &ApiClient,
    certificates: &[Vec<u8>],
    action: &Action,
    options: &BulkOptions,
    json: bool,
) -> Result<u8, Failure> {
    if BULK_SELECTION_MAX < certificates.len() {
        return Err(too_many());
    }
    let interrupt = Interrupt::listen()?;
    let (mut meant, mut refused, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for der in certificates {
        if interrupt.is_asked() {
            return Err(Failure::new("interrupted", "stopped before anything was changed"));
        }
        match ours(client, der)? {
            Ok((found, disposition, revocation)) => {
                if action.wants(disposition, revocation.as_ref())
                    && seen.insert(found.serial.clone())
                {
                    meant.push(found);
                }
            }
            Err(refusal) => refused.push(*refusal),
        }
    }
    carry_out(client, &interrupt, &meant, refused, (action, options, json))
}

/// What is known of a certificate: the CA's own copy, its state, its revocation; or why it is refused.
type Known = Result<(Meant, Disposition, Option<Revocation>), Box<BulkResult>>;

/// Looks a certificate up. A server that cannot answer says nothing about the certificate: that is the
/// failure of the whole order, and nothing was changed.
fn ours(client: &ApiClient, der: &[u8]) -> Result<Known, Failure> {
    let refused = |serial: Option<String>, failure: Failure| {
        Ok(Err(Box::new(BulkResult {
            serial,
            code: Some(failure.code),
            message: Some(failure.message),
            ..BulkResult::of(BulkOutcome::Refused)
        })))
    };
    let certificate = match parse_certificate(der) {
        Ok(certificate) => certificate,
        Err(err) => return refused(None, Failure::from_error("certificate-unreadable", &err)),
    };
    let serial = certificate.serial().to_string();
    let found = client.get(&format!("{CERTIFICATES_PATH}/{serial}"), &[]);
    let detail: CertificateDetail = match found {
        Err(failure) if failure.code == "certificate-not-found" => {
            return refused(Some(serial), failure);
        }
        found => found?,
    };
    let copy = decode_pem_or_der(detail.certificate.as_bytes(), &["CERTIFICATE"]);
    if !copy.is_ok_and(|it| it == der) {
        let message = "another certificate of this CA has its serial number";
        return refused(Some(serial), Failure::new("certificate-differs", message));
    }
    let disposition = detail.disposition.unwrap_or(Disposition::Issued);
    let (request, subject) = (detail.summary.request_id, detail.summary.subject);
    Ok(Ok((Meant { serial, request, subject }, disposition, detail.revocation)))
}

fn too_many() -> Failure {
    let message = format!("more than {BULK_SELECTION_MAX} certificates are meant");
    Failure::new("bulk-limit", message).hint("narrow it down with more filters")
}

/// Shows what is meant, asks for the confirmation, and does it.
fn carry_out(
    client: &ApiClient,
    interrupt: &Interrupt,
    meant: &[Meant],
    refused: Vec<BulkResult>,
    (action, options, json): (&Action, &BulkOptions, bool),
) -> Result<u8, Failure> {
    if !json {
        show(meant, action)?;
    }
    for refusal in &refused {
        complain(refusal);
    }
    let mut summary = Summary {
        selected: meant.len(),
        changed: 0,
        already: 0,
        refused: refused.len(),
        stopped: false,
        results: refused,
    };
    let before = summary.refused;
    // That nothing is meant is another number than the one that was to be confirmed.
    if !meant.is_empty() || options.confirm.is_some() {
        confirm(meant.len(), action, options)?;
    }
    let progress = Progress::start("certificates");
    let done = change(client, interrupt, meant, action, (&mut summary, progress));
    if json {
        output::json(&summary)?;
    } else {
        tell(&summary, before, action)?;
    }
    done?;
    let whole = summary.refused == 0 && !summary.stopped;
    Ok(if whole { 0 } else { STATUS_FAILED })
}

fn show(meant: &[Meant], action: &Action) -> Result<(), Failure> {
    let count = meant.len();
    let noun = if count == 1 { "certificate" } else { "certificates" };
    output::line(&format!("{count} {noun} to {}", action.infinitive()))?;
    let row = |it: &Meant| vec![it.serial.clone(), it.request.to_string(), it.subject.clone()];
    if count == 0 {
        return Ok(());
    }
    let rows = meant.iter().take(SHOWN).map(row).collect();
    output::table(&["SERIAL", "REQUEST", "SUBJECT"], rows)?;
    if SHOWN < count {
        output::line(&format!("and {} more", count - SHOWN))?;
    }
    Ok(())
}

/// Whether so many may be changed.
fn confirm(count: usize, action: &Action, options: &BulkOptions) -> Result<(), Failure> {
    let BulkOptions { limit, confirm, yes, .. } = options;
    let word = action.infinitive();
    match confirm {
        Some(confirmed) if *confirmed == count => return Ok(()),
        Some(confirmed) => {
            let nouns = if count == 1 { "certificate is" } else { "certificates are" };
            let failure =
                Failure::new("bulk-confirm", format!("{count} {nouns} meant, not {confirmed}"));
            return Err(match count {
                0 => failure.hint("nothing was changed; look what there is: exeunt cert list"),
                _ => {
                    failure.hint(format!("nothing was changed; to {word} them: --confirm {count}"))
                }
            });
        }
        None => {}
    }
    if *limit < count {
        let message = format!("{count} certificates are more than the limit of {limit}");
        return Err(Failure::new("bulk-limit", message)
            .hint(format!("nothing was changed; to {word} them all: --confirm {count}")));
    }
    if *yes {
        return Ok(());
    }
    let message = "nothing was changed: it was not confirmed";
    Err(Failure::new("bulk-unconfirmed", message)
        .hint(format!("to {word} them: --confirm {count}, or --yes for whatever is found")))
}

fn change(
    client: &ApiClient,
    interrupt: &Interrupt,
    meant: &[Meant],
    action: &Action,
    (summary, mut progress): (&mut Summary, Progress),
) -> Result<(), Failure> {
    let path = format!("{CERTIFICATES_PATH}/{}", action.infinitive());
    for batch in meant.chunks(BATCH) {
        if interrupt.is_asked() {
            summary.stopped = true;
            break;
        }
        let serials = batch.iter().map(|it| it.serial.clone()).collect();
        let answer: BulkAnswer = match action {
            Action::Revoke(reason, effective) => {
                let reason = Some(reason.word().to_owned());
                let effective = effective.clone();
                let order = BulkRevokeOrder { serials, reason, effective };
                client.change(Method::POST, &path, &[], Some(&order))?
            }
            Action::Release => {
                let order = BulkReleaseOrder { serials };
                client.change(Method::POST, &path, &[], Some(&order))?
            }
        };
        for result in answer.results {
            match result.outcome {
                BulkOutcome::Revoked | BulkOutcome::Released => summary.changed += 1,
                BulkOutcome::Already => summary.already += 1,
                _ => {
                    summary.refused += 1;
                    progress.aside(|| {
                        complain(&result);
                        Ok(())
                    })?;
                }
            }
            progress.advance();
            summary.results.push(result);
        }
    }
    progress.end();
    Ok(())
}

/// A certificate that was refused, on standard error.
fn complain(result: &BulkResult) {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let serial = result.serial.clone().unwrap_or_else(|| "certificate".to_owned());
    let words = format!("{serial}: refused[{}]: {}", text(&result.code), text(&result.message));
    eprintln!("exeunt: {}", plain(&words));
}

fn tell(summary: &Summary, before: usize, action: &Action) -> Result<(), Failure> {
    let Summary { selected, changed, already, refused, stopped, results: _ } = summary;
    let done = action.participle();
    output::line(&format!("{changed} {done}, {already} were so already, {refused} refused"))?;
    if *stopped {
        let left = (selected + before).saturating_sub(changed + already + refused);
        let again = "give the same command again to go on";
        output::line(&format!("stopped with {left} left; {again}"))?;
    }
    if 0 < *changed {
        output::line("relying parties learn it from the next revocation list: exeunt crl publish")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use RevocationReason as Reason;

    fn asked(count: usize, limit: usize, confirm: Option<usize>, yes: bool) -> &'static str {
        let options = BulkOptions { filters: Vec::new(), limit, confirm, yes };
        match super::confirm(count, &Action::Release, &options) {
            Ok(()) => "done",
            Err(failure) if failure.code == "bulk-limit" => "limit",
            Err(failure) if failure.code == "bulk-confirm" => "other number",
            Err(_) => "not confirmed",
        }
    }

    #[test]
    fn many_certificates_need_their_exact_number_and_few_a_yes() {
        assert_eq!(asked(100, 100, None, false), "not confirmed");
        assert_eq!(asked(100, 100, None, true), "done");
        assert_eq!(asked(101, 100, None, true), "limit");
        assert_eq!(asked(101, 100, None, false), "limit");
        assert_eq!(asked(101, 101, None, true), "done");
        assert_eq!(asked(101, 100, Some(101), false), "done");
        assert_eq!(asked(102, 100, Some(101), true), "other number");
        assert_eq!(asked(1, 0, Some(1), false), "done");
        assert_eq!(asked(0, 100, Some(37), false), "other number");
    }

    #[test]
    fn what_is_so_already_is_not_meant() {
        let revoke = |reason| Action::Revoke(reason, None);
        let (issued, revoked) = (Disposition::Issued, Disposition::Revoked);
        let hold = Some("certificate-hold");
        let dated = |reason: Option<&str>, effective: &str| Revocation {
            reason: reason.map(str::to_owned),
            reason_code: 0,
            ordered: String::new(),
            effective: effective.to_owned(),
        };
        for (action, disposition, reason, wanted) in [
            (revoke(Reason::KeyCompromise), issued, None, true),
            (revoke(Reason::KeyCompromise), revoked, Some("superseded"), false),
            (revoke(Reason::KeyCompromise), revoked, hold, true),
            (revoke(Reason::CertificateHold), revoked, hold, false),
            (revoke(Reason::Superseded), Disposition::Foreign, None, false),
            (Action::Release, revoked, hold, true),
            (Action::Release, revoked, Some("superseded"), false),
            (Action::Release, issued, None, false),
        ] {
            let revocation = dated(reason, "2026-01-01T00:00:00Z");
            let wants = action.wants(disposition, Some(&revocation));
            assert_eq!(wants, wanted, "{action:?} {disposition:?}");
        }
        // What does not count yet can be brought forward.
        for (new, reason, wanted) in [
            (Reason::KeyCompromise, Some("superseded"), true),
            (Reason::CertificateHold, hold, true),
            (Reason::CertificateHold, Some("superseded"), false),
        ] {
            let later = dated(reason, "9999-01-01T00:00:00Z");
            assert_eq!(revoke(new).wants(revoked, Some(&later)), wanted, "{new:?} {reason:?}");
            assert!(!revoke(new).wants(Disposition::Foreign, Some(&later)));
        }
    }
}
