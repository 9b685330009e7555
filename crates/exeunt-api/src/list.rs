//! Rows of lists as CSV, for spreadsheets and scripts.

use crate::{CertificateRow, RequestSummary};

/// Media type of CSV (RFC 4180, section 3).
pub const CSV_MEDIA_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// Media type of a JSON object for each line.
pub const JSON_LINES_MEDIA_TYPE: &str = "application/jsonl";

/// Heading of [`RequestSummary::csv`].
pub const REQUEST_CSV_HEADING: [&str; 11] = [
    "id",
    "disposition",
    "status_code",
    "message",
    "requester",
    "caller",
    "template",
    "subject",
    "submitted",
    "resolved",
    "serial",
];

/// Heading of [`CertificateRow::csv`].
pub const CERTIFICATE_CSV_HEADING: [&str; 14] = [
    "serial",
    "request_id",
    "disposition",
    "reason",
    "effective",
    "subject",
    "subject_alternative_names",
    "template",
    "key_type",
    "ca_key",
    "not_before",
    "not_after",
    "issued",
    "event",
];

impl RequestSummary {
    /// The row as one record of CSV, ended by CR and LF.
    #[must_use]
    pub fn csv(&self) -> String {
        csv_record([
            &*self.id.to_string(),
            self.disposition.word(),
            &self.status_code,
            &self.message,
            &self.requester,
            &self.caller,
            &self.template,
            &self.subject,
            &self.submitted,
            self.resolved.as_deref().unwrap_or_default(),
            self.serial.as_deref().unwrap_or_default(),
        ])
    }
}

impl CertificateRow {
    /// The row as one record of CSV, ended by CR and LF. `reason` and `effective` are those of a
    /// certificate that is revoked now.
    #[must_use]
    pub fn csv(&self) -> String {
        let it = &self.summary;
        let revoked = self.revocation.as_ref().filter(|it| it.reason.is_some());
        csv_record([
            &*it.serial,
            &it.request_id.to_string(),
            self.disposition.word(),
            revoked.and_then(|it| it.reason.as_deref()).unwrap_or_default(),
            revoked.map(|it| it.effective.as_str()).unwrap_or_default(),
            &it.subject,
            &it.subject_alternative_names,
            &it.template,
            &it.key_type,
            &self.ca_key.to_string(),
            &it.not_before,
            &it.not_after,
            &it.issued,
            &it.event.to_string(),
        ])
    }
}

/// A record of CSV (RFC 4180), ended by CR and LF.
///
/// A value that a spreadsheet would take for a formula, because it begins with `=`, `+`, `-`, `@`, a tab
/// or a carriage return, gets an apostrophe before it: names come from requesters, and a spreadsheet must
/// not carry out what they wrote. Who wants the exact values takes JSON.
#[must_use]
pub fn csv_record<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let mut record = String::new();
    for (at, value) in values.into_iter().enumerate() {
        if 0 < at {
            record.push(',');
        }
        let guard = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
        if guard.is_empty() && !value.contains([',', '"', '\r', '\n', '\'']) {
            record.push_str(value);
        } else {
            let value = value.replace('"', "\"\"");
            record.extend(["\"", guard, &value, "\""]);
        }
    }
    record.push_str("\r\n");
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_where_it_must_be_and_a_formula_is_none() {
        for (value, written) in [
            ("", ""),
            ("CN=host", "CN=host"),
            ("a,b", "\"a,b\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-1", "\"'-1\""),
            ("\t=1", "\"'\t=1\""),
            ("it's", "\"it's\""),
        ] {
            assert_eq!(csv_record([value, "z"]), format!("{written},z\r\n"));
        }
    }
}
