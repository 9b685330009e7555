//! Between columns and the nouns: the encodings that are ours, and how rows are read back.

use std::borrow::Cow;

use exeunt_types::{
    CertificateRecord, Disposition, EventSeq, KeyAlgorithm, NewCertificate, NewRequest,
    OfficerExtension, RequestFlags, RequestId, RequestRecord, RequestType, Revocation,
    RevocationReason, Serial, StatusCode, TemplateFlags, UnixMillis,
};
use rusqlite::Row;

/// Why a row could not be read, for people.
pub(crate) type Why = String;

/// Columns of [`read_request`], in its order; `request` joined with whatever has its number.
pub(crate) const REQUEST_COLUMNS: &str = "request.id, request.disposition, request.status, \
     request.resolved, request.submitted, request.request_type, request.message, \
     request.requester, request.caller, ifnull(amendment.template, request.template), request.subject, \
     ifnull(amendment.attributes, request.attributes), request.raw, certificate.serial, \
     request_extra.flags, request_extra.publish_expired, request_extra.old_certificate, \
     revocation.reason, revocation.ran, revocation.effective, amendment.extensions";

/// Columns of [`read_certificate`], in its order; `certificate` joined with `request`.
pub(crate) const CERTIFICATE_COLUMNS: &str = "certificate.request, certificate.event, \
     certificate.issued, certificate.not_before, certificate.not_after, certificate.serial, \
     certificate.key, certificate.subject, certificate.sans, certificate.raw, request.template, \
     certificate.ca_key, certificate.crl_partition, \
     (SELECT enrollment || ' ' || general || ' ' || private_key FROM template_flags \
      WHERE template_flags.request = certificate.request)";

/// Reads [`REQUEST_COLUMNS`], the first of which is column `at`.
pub(crate) fn read_request(row: &Row<'_>, at: usize) -> Result<RequestRecord, Why> {
    let request_type = read_code(row, at + 5, RequestType::from_code, "request type")?;
    let request = NewRequest {
        submitted: read_time(row, at + 4)?,
        request_type,
        requester: read(row, at + 7)?,
        caller: read(row, at + 8)?,
        template: read(row, at + 9)?,
        subject: read(row, at + 10)?,
        attributes: decode_attributes(&read::<String>(row, at + 11)?)?,
        raw: read(row, at + 12)?,
        flags: RequestFlags(read::<Option<u32>>(row, at + 14)?.unwrap_or_default()),
        old_certificate: read(row, at + 16)?,
    };
    Ok(RequestRecord {
        id: read_id(row, at)?,
        request,
        disposition: read_code(row, at + 1, Disposition::from_code, "disposition")?,
        status: StatusCode(read(row, at + 2)?),
        message: read(row, at + 6)?,
        resolved: read::<Option<i64>>(row, at + 3)?.map(UnixMillis),
        officer_extensions: match read::<Option<String>>(row, at + 20)? {
            Some(text) => decode_extensions(&text)?,
            None => Vec::new(),
        },
        revocation: read_revocation(row, at + 17)?,
        publish_expired: read::<Option<bool>>(row, at + 15)?.unwrap_or_default(),
        serial: read::<Option<Vec<u8>>>(row, at + 13)?.map(|it| serial(&it)).transpose()?,
    })
}

/// Reads [`CERTIFICATE_COLUMNS`], the first of which is column `at`.
pub(crate) fn read_certificate(row: &Row<'_>, at: usize) -> Result<CertificateRecord, Why> {
    let key: String = read(row, at + 6)?;
    let certificate = NewCertificate {
        serial: read_serial(row, at + 5)?,
        raw: read(row, at + 9)?,
        subject: read(row, at + 7)?,
        subject_alternative_names: read(row, at + 8)?,
        not_before: read_time(row, at + 3)?,
        not_after: read_time(row, at + 4)?,
        ca_key: read(row, at + 11)?,
        crl_partition: read(row, at + 12)?,
        key: decode_key(&key).ok_or_else(|| format!("unknown key algorithm {key:?}"))?,
    };
    Ok(CertificateRecord {
        request: read_id(row, at)?,
        certificate,
        template: read(row, at + 10)?,
        issued: read_time(row, at + 2)?,
        event: read_seq(row, at + 1)?,
        template_flags: match read::<Option<String>>(row, at + 13)? {
            None => None,
            Some(text) => Some(decode_flags(&text).ok_or("flags of a template")?),
        },
    })
}

/// Three numbers with blanks between them.
fn decode_flags(text: &str) -> Option<TemplateFlags> {
    let numbers: Result<Vec<u32>, _> = text.split(' ').map(str::parse).collect();
    let &[enrollment, general, private_key] = numbers.ok()?.as_slice() else { return None };
    Some(TemplateFlags { enrollment, general, private_key })
}

/// Three columns, of which the first is `at`: reason, when it ran, when it counts; or all empty.
pub(crate) fn read_revocation(row: &Row<'_>, at: usize) -> Result<Option<Revocation>, Why> {
    let Some(code) = read::<Option<u32>>(row, at)? else { return Ok(None) };
    let reason = match code {
        Revocation::RELEASED => None,
        code => match RevocationReason::from_code(code) {
            Some(reason) => Some(reason),
            None => return Err(format!("unknown revocation reason {code}")),
        },
    };
    Ok(Some(Revocation {
        reason,
        ran: read_time(row, at + 1)?,
        effective: read_time(row, at + 2)?,
    }))
}

/// One column, with its number in the error.
pub(crate) fn read<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize) -> Result<T, Why> {
    row.get(at).map_err(|err| err.to_string())
}

pub(crate) fn read_id(row: &Row<'_>, at: usize) -> Result<RequestId, Why> {
    read_unsigned(row, at).map(RequestId)
}

pub(crate) fn read_seq(row: &Row<'_>, at: usize) -> Result<EventSeq, Why> {
    read_unsigned(row, at).map(EventSeq)
}

pub(crate) fn read_time(row: &Row<'_>, at: usize) -> Result<UnixMillis, Why> {
    read(row, at).map(UnixMillis)
}

pub(crate) fn read_serial(row: &Row<'_>, at: usize) -> Result<Serial, Why> {
    serial(&read::<Vec<u8>>(row, at)?)
}

pub(crate) fn read_unsigned(row: &Row<'_>, at: usize) -> Result<u64, Why> {
    let number: i64 = read(row, at)?;
    u64::try_from(number).map_err(|_| format!("number {number} is negative"))
}

/// A number that stands for a variant.
pub(crate) fn read_code<T>(
    row: &Row<'_>,
    at: usize,
    from_code: fn(i32) -> Option<T>,
    noun: &str,
) -> Result<T, Why> {
    let code: i64 = read(row, at)?;
    i32::try_from(code).ok().and_then(from_code).ok_or_else(|| format!("unknown {noun} {code}"))
}

fn serial(octets: &[u8]) -> Result<Serial, Why> {
    Serial::from_be_bytes(octets).map_err(|err| err.to_string())
}

/// An id or a place as `SQLite` keeps it. Beyond 2^63 nothing was ever stored, so the cut is harmless.
pub(crate) fn sql_int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads what [`KeyAlgorithm::name`] wrote.
pub(crate) fn decode_key(name: &str) -> Option<KeyAlgorithm> {
    if let Some(bits) = name.strip_prefix("rsa-") {
        return bits.parse().ok().map(|bits| KeyAlgorithm::Rsa { bits });
    }
    KeyAlgorithm::KEY_TYPES.into_iter().find(|it| it.name() == name)
}

/// A line `name:value` per attribute. `\`, a line feed, and in names the colon, are written as `\\`,
/// `\n` and `\c`.
pub(crate) fn encode_attributes(attributes: &[(String, String)]) -> String {
    let mut text = String::new();
    let mut escape = |part: &str, end: char, colon: bool| {
        for letter in part.chars() {
            match letter {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                ':' if colon => text.push_str("\\c"),
                other => text.push(other),
            }
        }
        text.push(end);
    };
    for (name, value) in attributes {
        escape(name, ':', true);
        escape(value, '\n', false);
    }
    text
}

/// A line `oid flags value` per extension: the flags in decimal, the value in hexadecimal.
pub(crate) fn encode_extensions(extensions: &[OfficerExtension]) -> String {
    let mut text = String::new();
    for OfficerExtension { oid, flags, value } in extensions {
        text.extend([oid.as_str(), " ", &flags.to_string(), " "]);
        let digit = |it: u8| char::from_digit(it.into(), 16);
        text.extend(value.iter().flat_map(|it| [digit(it >> 4), digit(it & 0xf)]).flatten());
        text.push('\n');
    }
    text
}

/// Reads what [`encode_extensions`] wrote.
pub(crate) fn decode_extensions(text: &str) -> Result<Vec<OfficerExtension>, Why> {
    let octet = |pair: &[u8]| {
        let digit = |it: u8| char::from(it).to_digit(16);
        let [high, low] = *pair else { return None };
        u8::try_from(digit(high)? << 4 | digit(low)?).ok()
    };
    let line = |line: &str| {
        let (oid, rest) = line.split_once(' ')?;
        let (flags, digits) = rest.split_once(' ')?;
        let value: Option<_> = digits.as_bytes().chunks(2).map(octet).collect();
        Some(OfficerExtension { oid: oid.to_owned(), flags: flags.parse().ok()?, value: value? })
    };
    text.lines().map(|it| line(it).ok_or_else(|| format!("extension {it:?}"))).collect()
}

/// Reads what [`encode_attributes`] wrote.
pub(crate) fn decode_attributes(text: &str) -> Result<Vec<(String, String)>, Why> {
    let unescape = |part: &str| {
        let mut plain = String::with_capacity(part.len());
        let mut letters = part.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => plain.push(match letters.next() {
                    Some('\\') => '\\',
                    Some('n') => '\n',
                    Some('c') => ':',
                    _ => return Err(format!("attribute text {part:?} has an unknown escape")),
                }),
                other => plain.push(other),
            }
        }
        Ok(plain)
    };
    text.split_terminator('\n')
        .map(|line| {
            let pair = line.split_once(':');
            let (name, value) = pair.ok_or_else(|| format!("attribute {line:?} has no colon"))?;
            Ok((unescape(name)?, unescape(value)?))
        })
        .collect()
}

/// At most `octets` of the text, between two characters; what was cut off leaves "…" in its place.
pub(crate) fn cut_visibly(text: &str, octets: usize) -> Cow<'_, str> {
    const CUT: &str = "…";
    if text.len() <= octets {
        return Cow::Borrowed(text);
    }
    let kept = text.floor_char_boundary(octets.saturating_sub(CUT.len()));
    Cow::Owned(format!("{}{CUT}", &text[..kept]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn attributes_are_kept_as_lines_and_read_back_whatever_they_contain() {
        let attributes =
            [pair("CertificateTemplate", "WebServer"), pair("san", "dns:a.example&dns:b.example")];
        let text = encode_attributes(&attributes);
        expect![[r"
            CertificateTemplate:WebServer
            san:dns:a.example&dns:b.example
        "]]
        .assert_eq(&text);
        assert_eq!(decode_attributes(&text).unwrap(), attributes);
        let odd = [pair("", ""), pair("a:b\\c\nd", "\n\\n:\r"), pair("ä", " ")];
        assert_eq!(decode_attributes(&encode_attributes(&odd)).unwrap(), odd);
        assert_eq!(decode_attributes("").unwrap(), []);
    }

    #[test]
    fn extensions_read_back() {
        let it = |oid: &str, flags, value: &[u8]| OfficerExtension {
            oid: oid.to_owned(),
            flags,
            value: value.to_vec(),
        };
        let extensions = [it("2.5.29.17", 1, &[0x00, 0x9f, 0xf0]), it("1.2", 0xffff, &[])];
        let text = encode_extensions(&extensions);
        assert_eq!(text, "2.5.29.17 1 009ff0\n1.2 65535 \n");
        assert_eq!(decode_extensions(&text).unwrap(), extensions);
        assert_eq!(decode_extensions("").unwrap(), []);
        for bad in ["1.2 0", "1.2 65536 00", "1.2 0 0", "1.2 0 +1", "1.2 0 0ä", "1.2 0 00 "] {
            assert!(decode_extensions(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_cut_text_shows_that_it_was_cut() {
        for (text, kept) in [
            ("", ""),
            ("123456", "123456"),
            ("1234567", "123…"),
            ("12ä4567", "12…"),
            ("1äää", "1ä…"),
        ] {
            assert_eq!(cut_visibly(text, 6), kept);
        }
    }

    #[test]
    fn attribute_text_that_we_did_not_write_is_refused() {
        assert!(decode_attributes("no colon\n").is_err());
        assert!(decode_attributes("a:\\x\n").is_err());
        assert!(decode_attributes("a:\\").is_err());
    }

    #[test]
    fn every_key_algorithm_reads_back() {
        for key in KeyAlgorithm::KEY_TYPES.into_iter().chain([KeyAlgorithm::Rsa { bits: 1023 }]) {
            assert_eq!(decode_key(&key.name()), Some(key));
        }
        assert_eq!(decode_key("rsa-"), None);
        assert_eq!(decode_key("dsa"), None);
    }
}
