//! What an event says, as rows.

use std::{collections::HashSet, io};

use der::DateTime;
use exeunt_module_kit::{Event, Properties, exit_event};
use exeunt_publication::{
    certificate::{Certificate, hex},
    list::{RevocationList, read_list},
};

use crate::table::{CERTIFICATE, CRL, Cell, REQUEST, Row, Table, latest};

/// Events that change the inventory.
pub const EVENTS: u32 = exit_event::CERT_ISSUED
    | exit_event::CERT_PENDING
    | exit_event::CERT_DENIED
    | exit_event::CERT_REVOKED
    | exit_event::CERT_UNREVOKED
    | exit_event::CERT_IMPORTED
    | exit_event::REQUEST_FAILED
    | exit_event::CA_CERT_ISSUED
    | exit_event::CRL_ISSUED;

/// Largest revocation list that is itself kept, in bytes.
pub const LIST_DER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most certificates of the CA that lists are looked for.
const CA_CERTIFICATES_MAX: i32 = 1000;

/// `certificateHold` (RFC 5280, section 5.3.1).
const ON_HOLD: i32 = 6;

/// States of a request, as the original counts them.
mod disposition {
    pub const PENDING: i32 = 9;
    pub const FOREIGN: i32 = 12;
    pub const ISSUED: i32 = 20;
    pub const REVOKED: i32 = 21;
    pub const FAILED: i32 = 30;
    pub const DENIED: i32 = 31;
}

/// Rows for each table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rows {
    certificates: Vec<Row>,
    requests: Vec<Row>,
    lists: Vec<Row>,
}

impl Rows {
    /// The rows by table, in the order in which they are written.
    pub fn by_table(&self) -> [(&'static Table, &[Row]); 3] {
        [(&CERTIFICATE, &self.certificates), (&REQUEST, &self.requests), (&CRL, &self.lists)]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_table().iter().all(|(_, rows)| rows.is_empty())
    }

    /// Certificates' keys: their SHA-256.
    pub fn certificates(&self) -> impl Iterator<Item = String> {
        self.certificates.iter().map(Row::key)
    }

    /// The rows with these keys of one table, and nothing else.
    pub fn only(&self, table: &Table, keys: &HashSet<String>) -> Self {
        let of = |it: &Table, rows: &[Row]| -> Vec<Row> {
            let rows = rows.iter().filter(|row| it.name == table.name && keys.contains(&row.key()));
            rows.cloned().collect()
        };
        Self {
            certificates: of(&CERTIFICATE, &self.certificates),
            requests: of(&REQUEST, &self.requests),
            lists: of(&CRL, &self.lists),
        }
    }

    /// Rows of several events together, each key once.
    pub fn together<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut together = Self::default();
        for rows in all {
            together.certificates.extend_from_slice(&rows.certificates);
            together.requests.extend_from_slice(&rows.requests);
            together.lists.extend_from_slice(&rows.lists);
        }
        Self {
            certificates: latest(together.certificates),
            requests: latest(together.requests),
            lists: latest(together.lists),
        }
    }
}

/// Why an event is no rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoRows {
    /// A file cannot be read now.
    NotNow(String),
    /// The event is not what it should be.
    Never(String),
}

/// The rows that an event says; none where it does not change the inventory.
///
/// # Errors
///
/// [`NoRows`], in words for the operator.
pub fn rows(event: &Event, store_der: bool) -> Result<Rows, NoRows> {
    let mut rows = Rows::default();
    if event.event & EVENTS == 0 {
        return Ok(rows);
    }
    match event.event {
        exit_event::CRL_ISSUED => rows.lists = lists(event, store_der)?,
        exit_event::CA_CERT_ISSUED => {
            let der = event.certificate.binary("RawCertificate");
            let der = der.or_else(|_| event.system.binary("RawCACertificate"));
            let certificate = decoded(der.map_err(|err| NoRows::Never(err.to_string()))?)?;
            rows.certificates.push(certificate_row(event, &certificate, store_der));
        }
        _ => {
            let certificate = match event.certificate.binary("RawCertificate") {
                Ok(der) => Some(decoded(der)?),
                Err(_) if without_certificate(event.event) => None,
                Err(err) => return Err(NoRows::Never(err.to_string())),
            };
            if let Some(certificate) = &certificate {
                rows.certificates.push(certificate_row(event, certificate, store_der));
            }
            if event.context != 0 {
                rows.requests.push(request_row(event, certificate.as_ref()));
            }
        }
    }
    Ok(rows)
}

fn without_certificate(event: u32) -> bool {
    let without = exit_event::CERT_PENDING | exit_event::CERT_DENIED | exit_event::REQUEST_FAILED;
    event & without != 0
}

fn decoded(der: &[u8]) -> Result<Certificate, NoRows> {
    Certificate::from_der(der).map_err(|err| NoRows::Never(err.to_string()))
}

/// The state of a request, in the words of the table.
fn state(event: &Event) -> &'static str {
    match event.request.long("Disposition").ok() {
        Some(disposition::REVOKED) => {
            let reason = event.request.long("RevokedReason").ok();
            if reason == Some(ON_HOLD) { "held" } else { "revoked" }
        }
        Some(disposition::FOREIGN) => "foreign",
        Some(disposition::ISSUED) => "issued",
        Some(disposition::PENDING) => "pending",
        Some(disposition::DENIED) => "denied",
        Some(disposition::FAILED) => "failed",
        _ => match event.event {
            exit_event::CERT_REVOKED => "revoked",
            exit_event::CERT_PENDING => "pending",
            exit_event::CERT_DENIED => "denied",
            exit_event::REQUEST_FAILED => "failed",
            _ => "issued",
        },
    }
}

fn certificate_row(event: &Event, certificate: &Certificate, store_der: bool) -> Row {
    let state = state(event);
    let revoked = matches!(state, "revoked" | "held");
    let of_request = |name| text(&event.request, name);
    let when = |name| if revoked { date(&event.request, name) } else { Cell::Text(None) };
    let reason = event.request.long("RevokedReason").ok().filter(|_| revoked);
    let template = text(&event.certificate, "CertificateTemplate");
    let template =
        if template == Cell::Text(None) { of_request("CertificateTemplate") } else { template };
    let cells = vec![
        said(&hex(&certificate.sha256())),
        said(&hex(&certificate.sha1())),
        said(certificate.serial()),
        said(certificate.issuer_text()),
        said(certificate.subject_text()),
        Cell::Text(certificate.common_name().map(plain)),
        said(&array(certificate.dns_names())),
        said(&array(certificate.emails())),
        said(&array(certificate.user_principal_names())),
        template,
        of_request("RequesterName"),
        Cell::Number(i64::try_from(event.context).ok().filter(|it| *it != 0)),
        moment(Some(certificate.not_before())),
        moment(Some(certificate.not_after())),
        Cell::Flag(certificate.is_ca()),
        said(state),
        when("RevokedWhen"),
        when("RevokedEffectiveWhen"),
        Cell::Number(reason.map(i64::from)),
        Cell::Octets(store_der.then(|| certificate.der().to_vec())),
    ];
    Row::new(&CERTIFICATE, event.seq, cells)
}

fn request_row(event: &Event, certificate: Option<&Certificate>) -> Row {
    let of_request = |name| text(&event.request, name);
    let cells = vec![
        Cell::Number(i64::try_from(event.context).ok()),
        said(state(event)),
        of_request("RequesterName"),
        of_request("CallerName"),
        of_request("CertificateTemplate"),
        of_request("DistinguishedName"),
        date(&event.request, "SubmittedWhen"),
        date(&event.request, "ResolvedWhen"),
        Cell::Number(event.request.long("StatusCode").ok().map(i64::from)),
        of_request("DispositionMessage"),
        Cell::Text(certificate.map(|it| hex(&it.sha256()))),
    ];
    Row::new(&REQUEST, event.seq, cells)
}

/// The lists that hold now: of every key of the CA, bases, deltas and parts.
fn lists(event: &Event, store_der: bool) -> Result<Vec<Row>, NoRows> {
    let system = &event.system;
    let count = system.long("CertCount").unwrap_or(1).clamp(1, CA_CERTIFICATES_MAX);
    let mut cas = Vec::new();
    let mut lists: Vec<(RevocationList, usize)> = Vec::new();
    for index in 0..count {
        // The newest stands there under the plain name.
        let named = |name: &str| {
            let index = if index + 1 == count { String::new() } else { format!(".{index}") };
            format!("{name}{index}")
        };
        let Ok(der) = system.binary(&named("RawCACertificate")) else { continue };
        cas.push(decoded(der)?);
        for (raw, file) in [("RawCRL", "CRLFile"), ("RawDeltaCRL", "DeltaCRLFile")] {
            let der = match (system.binary(&named(raw)), system.string(&named(file))) {
                (Ok(der), _) => der.to_vec(),
                (_, Ok(path)) => read(path)?,
                _ => continue,
            };
            lists.push(verified(der, &cas)?);
        }
    }
    for path in system.string("CRLPartitionFiles").unwrap_or_default().lines() {
        lists.push(verified(read(path)?, &cas)?);
    }
    let rows = lists.into_iter().map(|(list, ca)| list_row(event, &list, &cas[ca], store_der));
    Ok(latest(rows))
}

/// A list and which of the CA's certificates has signed it.
fn verified(der: Vec<u8>, cas: &[Certificate]) -> Result<(RevocationList, usize), NoRows> {
    let list = RevocationList::from_der(der).map_err(|err| NoRows::Never(err.to_string()))?;
    let signed = cas.iter().rposition(|ca| list.verify(ca).is_ok());
    let why = || NoRows::Never(format!("list {}: none of the CA's keys signed it", list.number()));
    let signed = signed.ok_or_else(why)?;
    Ok((list, signed))
}

fn list_row(event: &Event, list: &RevocationList, ca: &Certificate, store_der: bool) -> Row {
    let key = ca.subject_key_identifier().or(list.authority_key_identifier());
    let key = key.map_or_else(|| hex(&ca.sha1()), hex);
    let delta = if list.is_delta() { "+" } else { "" };
    let part = match list.part() {
        0 => String::new(),
        part => format!("_Partition{part:05}"),
    };
    let der = list.der();
    let cells = vec![
        said(&format!("{key}{delta}{part}")),
        said(ca.subject_text()),
        said(&key),
        Cell::Flag(list.is_delta()),
        Cell::Number(Some(i64::from(list.part()))),
        said(&decimal(list)),
        moment(Some(list.this_update())),
        moment(list.next_update()),
        Cell::Number(i64::try_from(der.len()).ok()),
        said(&hex(&list.sha256())),
        Cell::Octets((store_der && der.len() <= LIST_DER_BYTES_MAX).then(|| der.to_vec())),
    ];
    Row::new(&CRL, event.seq, cells)
}

/// The number of a list for a column of numbers. One beyond 64 bits, which no server of ours gives
/// out, counts as the greatest.
fn decimal(list: &RevocationList) -> String {
    list.number().as_u64().unwrap_or(u64::MAX).to_string()
}

/// The list in a file.
fn read(path: &str) -> Result<Vec<u8>, NoRows> {
    read_list(path).map_err(|err| {
        let why = format!("reading {path}: {err}");
        if err.kind() == io::ErrorKind::FileTooLarge {
            NoRows::Never(why)
        } else {
            NoRows::NotNow(why)
        }
    })
}

fn said(text: &str) -> Cell {
    Cell::Text(Some(plain(text)))
}

fn text(properties: &Properties, name: &str) -> Cell {
    Cell::Text(properties.string(name).ok().map(plain))
}

fn date(properties: &Properties, name: &str) -> Cell {
    Cell::Text(properties.date(name).ok().map(plain))
}

/// A text that the server takes: it knows no NUL.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn moment(seconds: Option<i64>) -> Cell {
    let moment = seconds.and_then(|it| u64::try_from(it).ok());
    let moment = moment.map(std::time::Duration::from_secs);
    Cell::Text(moment.and_then(|it| DateTime::from_unix_duration(it).ok()).map(|it| it.to_string()))
}

/// An array of texts as the server reads one.
fn array(texts: &[String]) -> String {
    let quoted = texts.iter().map(|it| {
        let escaped = it.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"")
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::Value;

    #[test]
    fn an_array_keeps_what_would_end_it() {
        let texts = ["a".to_owned(), "b\",\"c\\".to_owned(), String::new()];
        assert_eq!(array(&texts), r#"{"a","b\",\"c\\",""}"#);
        assert_eq!(array(&[]), "{}");
    }

    #[test]
    fn a_moment_is_written_as_in_rfc_3339() {
        // 2026-11-21T07:00:00Z, by `date -d @1795244400 -u`.
        assert_eq!(moment(Some(1_795_244_400)), said("2026-11-21T07:00:00Z"));
        assert_eq!(moment(None), Cell::Text(None));
    }

    #[test]
    fn an_event_without_a_certificate_that_should_have_one_is_never_rows() {
        let mut event = Event { event: exit_event::CERT_ISSUED, context: 7, ..Event::default() };
        assert!(matches!(rows(&event, false), Err(NoRows::Never(_))));
        event.certificate.push("RawCertificate", Value::Binary(b"none".to_vec()));
        assert!(matches!(rows(&event, false), Err(NoRows::Never(_))));
        event.event = exit_event::STARTUP;
        assert!(rows(&event, false).unwrap().is_empty());
    }

    #[test]
    fn the_states_of_a_request_are_told_apart() {
        for (disposition, reason, word) in [
            (20, None, "issued"),
            (21, Some(1), "revoked"),
            (21, Some(6), "held"),
            (9, None, "pending"),
        ] {
            let mut event = Event { event: exit_event::CERT_ISSUED, ..Event::default() };
            event.request.push("Disposition", Value::Long(disposition));
            if let Some(reason) = reason {
                event.request.push("RevokedReason", Value::Long(reason));
            }
            assert_eq!(state(&event), word);
        }
    }
}
