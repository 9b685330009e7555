//! What requesters may say in request attributes where a template has one of the dangerous options on:
//! alternative names, the end of validity, extended key usages.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use exeunt_types::UnixMillis;
use exeunt_x509::{GeneralName, ObjectIdentifier, SAN_COUNT_MAX};
use jiff::{Span, Timestamp, tz::TimeZone};

use crate::template::NameKind;

/// Most extended key usages in one attribute.
const PURPOSE_COUNT_MAX: usize = 64;
/// Units of `ValidityPeriod`, as the original writes them.
const UNITS: &str = "Seconds, Minutes, Hours, Days, Weeks, Months, Years";

/// The names in the value of the attribute `SAN`: `type=value`, several with `&` between them.
///
/// Types are `dns`, `dn`, `email`, `url`, `ipaddress`, `guid`, `oid`, `upn`, or an object identifier, whose
/// value is text (`{utf8}` may stand before it), octets after `{octet}` or DER after `{asn}`, both in
/// base64 or, with `{hex}`, in hexadecimal. The original's other tags are refused: `{critical}`, `{text}`,
/// `{decimal}`, and above all `{file}`.
///
/// # Errors
///
/// One clause for the requester.
pub(crate) fn alternative_names(text: &str) -> Result<Vec<GeneralName>, String> {
    let pairs: Vec<&str> = text.split('&').map(str::trim).filter(|it| !it.is_empty()).collect();
    if pairs.is_empty() {
        return Err("attribute SAN names nothing".to_owned());
    }
    if SAN_COUNT_MAX < pairs.len() {
        return Err(format!("attribute SAN has more than {SAN_COUNT_MAX} names"));
    }
    pairs.into_iter().map(alternative_name).collect()
}

fn alternative_name(pair: &str) -> Result<GeneralName, String> {
    let said = |why: String| format!("attribute SAN is not acceptable: {why}");
    let (kind, value) = pair
        .split_once('=')
        .ok_or_else(|| said(format!("{:?} is not type=value", super::rule::excerpt(pair))))?;
    let (kind, value) = (kind.trim(), value.trim());
    let of_kind = |it: NameKind| it.make(value).map_err(said);
    match kind.to_ascii_lowercase().as_str() {
        "dns" => of_kind(NameKind::Dns),
        "dn" => of_kind(NameKind::Directory),
        "email" => of_kind(NameKind::Email),
        "url" => of_kind(NameKind::Uri),
        "ipaddress" => of_kind(NameKind::Ip),
        "oid" => of_kind(NameKind::RegisteredId),
        "upn" => of_kind(NameKind::Upn),
        "guid" => guid(value)
            .map(|it| GeneralName::guid(&it))
            .ok_or_else(|| said("a GUID is 32 hexadecimal digits".to_owned())),
        _ => match ObjectIdentifier::new(kind) {
            Ok(oid) => other(&oid, value).map_err(said),
            Err(_) => Err(said(format!(
                "type {:?} is not one of dns, dn, email, url, ipaddress, guid, oid, upn or an object \
                 identifier",
                super::rule::excerpt(kind)
            ))),
        },
    }
}

/// The sixteen octets of a GUID as text: the first three fields are little-endian (MS-DTYP, section
/// 2.3.4).
fn guid(text: &str) -> Option<[u8; 16]> {
    let text = text.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or(text);
    let digits: String = text.chars().filter(|it| *it != '-').collect();
    let mut octets: [u8; 16] = unhex(&digits)?.try_into().ok()?;
    octets[..4].reverse();
    octets[4..6].reverse();
    octets[6..8].reverse();
    Some(octets)
}

fn other(oid: &ObjectIdentifier, value: &str) -> Result<GeneralName, String> {
    let Some((tag, rest)) = value.strip_prefix('{').and_then(|it| it.split_once('}')) else {
        return text(oid, value);
    };
    match tag.to_ascii_lowercase().as_str() {
        "utf8" => text(oid, rest),
        "octet" => Ok(GeneralName::other_octets(oid, &octets(rest)?)),
        "asn" => GeneralName::other_der(oid, &octets(rest)?).map_err(|err| err.to_string()),
        _ => Err(format!(
            "the tag {{{}}} is not taken; {{utf8}}, {{octet}}, {{asn}} and {{hex}} are",
            super::rule::excerpt(tag)
        )),
    }
}

fn text(oid: &ObjectIdentifier, text: &str) -> Result<GeneralName, String> {
    if text.is_empty() {
        return Err(format!("the value of {oid} is empty"));
    }
    Ok(GeneralName::other_text(oid, text))
}

/// Octets in base64 or, after `{hex}`, in hexadecimal; blanks between digits are passed over.
fn octets(text: &str) -> Result<Vec<u8>, String> {
    let hex = text.get(..5).filter(|it| it.eq_ignore_ascii_case("{hex}"));
    let plain =
        |text: &str| text.chars().filter(|it| !it.is_ascii_whitespace()).collect::<String>();
    let decoded = match hex {
        Some(tag) => unhex(&plain(&text[tag.len()..])),
        None => BASE64_STANDARD.decode(plain(text)).ok(),
    };
    let decoded = decoded.filter(|it| !it.is_empty());
    decoded.ok_or_else(|| "octets are neither base64 nor, after {hex}, hexadecimal".to_owned())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let octet = |pair: &[u8]| {
        let digit = |it: u8| char::from(it).to_digit(16);
        let &[high, low] = pair else { return None };
        u8::try_from(digit(high)? << 4 | digit(low)?).ok()
    };
    text.as_bytes().chunks(2).map(octet).collect()
}

/// Object identifiers with commas between them, as the attribute `CertificateUsage` has them.
///
/// # Errors
///
/// One clause for the requester.
pub(crate) fn purposes(text: &str) -> Result<Vec<ObjectIdentifier>, String> {
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    if words.is_empty() || PURPOSE_COUNT_MAX < words.len() {
        return Err(format!("attribute CertificateUsage has not 1 to {PURPOSE_COUNT_MAX} usages"));
    }
    let purpose = |word: &str| {
        ObjectIdentifier::new(word).map_err(|_| {
            let word = super::rule::excerpt(word);
            format!("attribute CertificateUsage: {word:?} is not an object identifier")
        })
    };
    let mut purposes = Vec::with_capacity(words.len());
    for word in words {
        let purpose = purpose(word)?;
        if !purposes.contains(&purpose) {
            purposes.push(purpose);
        }
    }
    Ok(purposes)
}

/// When the validity ends: `ExpirationDate`, or else `ValidityPeriodUnits` of `ValidityPeriod` from now on.
///
/// # Errors
///
/// One clause for the requester.
pub(crate) fn end_of_validity(
    attributes: &[(String, String)],
    now: UnixMillis,
) -> Result<Option<UnixMillis>, String> {
    let value = |name: &str| {
        let found = attributes.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    if let Some(date) = value("ExpirationDate") {
        return http_date(date).map(Some).ok_or_else(|| {
            let date = super::rule::excerpt(date);
            format!("ExpirationDate {date:?} is not a date like \"Sun, 06 Nov 1994 08:49:37 GMT\"")
        });
    }
    match (value("ValidityPeriod"), value("ValidityPeriodUnits")) {
        (None, None) => Ok(None),
        (Some(period), Some(units)) => {
            let said = || {
                let (period, units) = (super::rule::excerpt(period), super::rule::excerpt(units));
                format!(
                    "ValidityPeriod {period:?} and ValidityPeriodUnits {units:?} are not a number of {UNITS}"
                )
            };
            after(period, units, now).map(Some).ok_or_else(said)
        }
        _ => Err("ValidityPeriod and ValidityPeriodUnits go together".to_owned()),
    }
}

fn http_date(text: &str) -> Option<UnixMillis> {
    let time: SystemTime = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(UnixMillis::from_unix_seconds)
}

fn after(period: &str, units: &str, now: UnixMillis) -> Option<UnixMillis> {
    let number: i64 = units.parse().ok().filter(|it| (1..=1_000_000).contains(it))?;
    let none = Span::new();
    let span = match period.to_ascii_lowercase().as_str() {
        "seconds" => none.try_seconds(number),
        "minutes" => none.try_minutes(number),
        "hours" => none.try_hours(number),
        "days" => none.try_days(number),
        "weeks" => none.try_weeks(number),
        "months" => none.try_months(number),
        "years" => none.try_years(number),
        _ => return None,
    };
    let now = Timestamp::from_millisecond(now.0).ok()?.to_zoned(TimeZone::UTC);
    let end = now.checked_add(span.ok()?).ok()?;
    Some(UnixMillis(end.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_attribute_are_of_every_type_that_the_original_has() {
        let names = |text: &str| {
            let names = alternative_names(text).unwrap();
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            names("dns=a.example&email=a@a.example&url=http://a.example&ipaddress=192.0.2.1"),
            ["dns:a.example", "email:a@a.example", "uri:http://a.example", "ip:192.0.2.1"]
        );
        assert_eq!(names("DNS=a.example"), ["dns:a.example"]);
        // The octets were worked out by hand from X.690 and MS-DTYP.
        assert_eq!(names("oid=1.2.3"), ["registered-id:88022a03"]);
        let octets = ["other:a00a06022a03a00404020102"];
        assert_eq!(names("1.2.3={octet}{hex}01 02"), octets);
        assert_eq!(names("1.2.3={octet}AQI="), octets);
        assert_eq!(names("1.2.3={asn}BQA="), ["other:a00806022a03a0020500"]);
        assert_eq!(names("1.2.3={utf8}ab"), ["other:a00a06022a03a0040c026162"]);
        assert_eq!(names("1.2.3=ab"), names("1.2.3={utf8}ab"));
        let guid = names("guid=00112233-4455-6677-8899-aabbccddeeff");
        assert!(guid[0].ends_with("a012041033221100554477668899aabbccddeeff"), "{guid:?}");
        let upn = alternative_names("upn=a@b.example").unwrap();
        assert_eq!(upn[0].user_principal_name().as_deref(), Some("a@b.example"));
        assert!(names("dn=CN=a,O=b")[0].starts_with("directory:a4"));
    }

    #[test]
    fn what_is_not_a_name_in_the_attribute_is_refused_whole() {
        for bad in [
            "",
            "&",
            "a.example",
            "dns=",
            "dns=a b",
            "dns=ä.example",
            "ipaddress=1.2.3",
            "guid=0011",
            "upn=a",
            "x400=a",
            "oid=x",
            "dn=a",
            "dn=",
            "1.2.3=",
            "1.2.3={file}/etc/passwd",
            "1.2.3={critical}",
            "1.2.3={text}a",
            "1.2.3={decimal}1",
            "1.2.3={asn}BQ==",
            "1.2.3={octet}%%",
            "1.2.3={octet}{hex}0",
            "1.2.3={octet}",
            "dns=a.example&dns=b..example",
        ] {
            assert!(alternative_names(bad).is_err(), "{bad}");
        }
        assert!(alternative_names(&"dns=a.example&".repeat(101)).is_err());
    }

    #[test]
    fn the_end_of_validity_is_a_date_or_a_number_of_periods() {
        let now = UnixMillis::from_unix_seconds(1_000_000_000); // 2001-09-09T01:46:40Z
        let end = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> =
                pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            end_of_validity(&pairs, now).map(|it| it.map(UnixMillis::unix_seconds))
        };
        assert_eq!(end(&[]), Ok(None));
        // The three forms of RFC 2616, section 3.3.1, and the number that date(1) gives for them.
        for date in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(end(&[("ExpirationDate", date)]), Ok(Some(784_111_777)), "{date}");
        }
        for (period, units, seconds) in [
            ("Seconds", "1", 1_000_000_001),
            ("weeks", "3", 1_000_000_000 + 3 * 7 * 86_400),
            // 2001-10-09 and 2002-09-09 at the same time of day.
            ("Months", "1", 1_000_000_000 + 30 * 86_400),
            ("Years", "1", 1_000_000_000 + 365 * 86_400),
        ] {
            let pairs = [("validityperiod", period), ("ValidityPeriodUnits", units)];
            assert_eq!(end(&pairs), Ok(Some(seconds)), "{units} {period}");
        }
        // The date beats the period.
        let both = [
            ("ValidityPeriod", "Days"),
            ("ValidityPeriodUnits", "1"),
            ("ExpirationDate", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ];
        assert_eq!(end(&both), Ok(Some(784_111_777)));
        for bad in [
            &[("ExpirationDate", "tomorrow")][..],
            &[("ValidityPeriod", "Days")],
            &[("ValidityPeriodUnits", "1")],
            &[("ValidityPeriod", "Fortnights"), ("ValidityPeriodUnits", "1")],
            &[("ValidityPeriod", "Days"), ("ValidityPeriodUnits", "0")],
            &[("ValidityPeriod", "Days"), ("ValidityPeriodUnits", "-1")],
            &[("ValidityPeriod", "Years"), ("ValidityPeriodUnits", "100000")],
        ] {
            assert!(end(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn usages_are_object_identifiers() {
        let dotted = |text: &str| purposes(text).map(|it| it.len());
        assert_eq!(dotted("1.3.6.1.5.5.7.3.1, 1.3.6.1.5.5.7.3.2,1.3.6.1.5.5.7.3.1"), Ok(2));
        for bad in ["", ",", "serverAuth", "1.3.6.1.5.5.7.3.1;1.2.3"] {
            assert!(dotted(bad).is_err(), "{bad}");
        }
    }
}
