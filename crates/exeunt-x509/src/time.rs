//! Times: `UTCTime` through 2049, `GeneralizedTime` from 2050 (RFC 5280, section 4.1.2.5); and
//! `GeneralizedTime` alone, where there is no choice.

use crate::tlv::{GENERALIZED_TIME, NotDer, Tlv, UTC_TIME};
use crate::write::Writer;
use der::DateTime;
use std::time::Duration;

/// First year that a `UTCTime` cannot write.
pub(crate) const GENERALIZED_TIME_FROM_YEAR: u16 = 2050;

/// A point in time as read: seconds since 1970 and the calendar year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) unix_seconds: i64,
    pub(crate) year: u16,
}

/// Writes a time; `None` before 1970 and after 9999.
pub(crate) fn write_time(writer: &mut Writer, unix_seconds: i64) -> Option<()> {
    let (text, year) = digits(unix_seconds)?;
    if year < GENERALIZED_TIME_FROM_YEAR {
        writer.element(UTC_TIME, &text[2..]);
    } else {
        writer.element(GENERALIZED_TIME, &text);
    }
    Some(())
}

/// Writes a time where a `GeneralizedTime` stands in any year; `None` before 1970 and after 9999.
pub(crate) fn write_generalized_time(writer: &mut Writer, unix_seconds: i64) -> Option<()> {
    let (text, _) = digits(unix_seconds)?;
    writer.element(GENERALIZED_TIME, &text);
    Some(())
}

/// Text of a `GeneralizedTime`, and the year.
fn digits(unix_seconds: i64) -> Option<([u8; 15], u16)> {
    let since_epoch = Duration::from_secs(u64::try_from(unix_seconds).ok()?);
    let time = DateTime::from_unix_duration(since_epoch).ok()?;
    let mut text = *b"00000000000000Z";
    let fields = [
        (0, time.year() / 100),
        (2, time.year() % 100),
        (4, time.month().into()),
        (6, time.day().into()),
        (8, time.hour().into()),
        (10, time.minutes().into()),
        (12, time.seconds().into()),
    ];
    for (at, number) in fields {
        let number = u8::try_from(number).ok()?;
        text[at] = b'0' + number / 10;
        text[at + 1] = b'0' + number % 10;
    }
    Some((text, time.year()))
}

/// A moment as RFC 3339 writes it, in UTC with whole seconds; empty before 1970 and after 9999.
#[must_use]
pub fn time_text(unix_seconds: i64) -> String {
    let Some((digits, _)) = digits(unix_seconds) else { return String::new() };
    let part = |range: std::ops::Range<usize>| String::from_utf8_lossy(&digits[range]).into_owned();
    let [year, month, day] = [0..4, 4..6, 6..8].map(part);
    let [hour, minute, second] = [8..10, 10..12, 12..14].map(part);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
}

/// Reads a time that must be in the form which its year demands.
pub(crate) fn read_time_of_its_year(time: &Tlv<'_>) -> Result<i64, NotDer> {
    let moment = read_time(time)?;
    if time.tag == GENERALIZED_TIME && moment.year < GENERALIZED_TIME_FROM_YEAR {
        return Err(NotDer("time before 2050 is not a UTCTime"));
    }
    Ok(moment.unix_seconds)
}

/// Reads a `GeneralizedTime` of any year.
pub(crate) fn read_generalized_time(time: &Tlv<'_>) -> Result<i64, NotDer> {
    if time.tag != GENERALIZED_TIME {
        return Err(NotDer("time is not a GeneralizedTime"));
    }
    read_time(time).map(|it| it.unix_seconds)
}

/// Reads a time: whole seconds, no fraction, `Z`.
pub(crate) fn read_time(time: &Tlv<'_>) -> Result<Moment, NotDer> {
    const INVALID: NotDer = NotDer("time does not exist or is outside 1970 to 9999");
    let (century, rest) = match (time.tag, time.value) {
        (UTC_TIME, value) if value.len() == 13 => (None, value),
        (GENERALIZED_TIME, value) if value.len() == 15 => (Some(pair(value)?), &value[2..]),
        (UTC_TIME | GENERALIZED_TIME, _) => {
            return Err(NotDer("time is not written to the second and without fraction"));
        }
        _ => return Err(NotDer("time is neither a UTCTime nor a GeneralizedTime")),
    };
    if rest[12] != b'Z' {
        return Err(NotDer("time does not end in Z"));
    }
    let year = pair(rest)?;
    // RFC 5280, section 4.1.2.5.1: 50 to 99 mean 19YY.
    let century = century.unwrap_or(if year < 50 { 20 } else { 19 });
    let year = u16::from(century) * 100 + u16::from(year);
    let time = DateTime::new(
        year,
        pair(&rest[2..])?,
        pair(&rest[4..])?,
        pair(&rest[6..])?,
        pair(&rest[8..])?,
        pair(&rest[10..])?,
    )
    .map_err(|_| INVALID)?;
    let unix_seconds = i64::try_from(time.unix_duration().as_secs()).map_err(|_| INVALID)?;
    Ok(Moment { unix_seconds, year })
}

/// Number written by the first two octets, which the caller knows to be there.
fn pair(text: &[u8]) -> Result<u8, NotDer> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ..] => Ok((tens - b'0') * 10 + (ones - b'0')),
        _ => Err(NotDer("time has something else than digits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_seconds: i64, expected: &str) {
        let mut writer = Writer::default();
        write_time(&mut writer, unix_seconds).unwrap();
        let der = writer.into_bytes();
        let tlv = Tlv::read(&der).unwrap();
        assert_eq!(str::from_utf8(tlv.value).unwrap(), expected);
        assert_eq!(tlv.tag, if expected.len() == 13 { UTC_TIME } else { GENERALIZED_TIME });
        assert_eq!(read_time(&tlv).unwrap().unix_seconds, unix_seconds);
    }

    #[test]
    fn the_year_decides_how_a_time_is_written() {
        // Expected values: date --utc --date=@N +%Y%m%d%H%M%SZ.
        check(0, "700101000000Z");
        check(951_827_696, "000229123456Z");
        check(1_790_000_000, "260921141320Z");
        check(2_524_607_999, "491231235959Z");
        check(2_524_608_000, "20500101000000Z");
        check(253_402_300_799, "99991231235959Z");
        let mut writer = Writer::default();
        assert_eq!(write_time(&mut writer, -1), None);
        assert_eq!(write_time(&mut writer, 253_402_300_800), None);
    }

    #[test]
    fn only_whole_existing_seconds_in_utc_are_read() {
        let read = |tag, text: &str| {
            read_time(&Tlv { tag, value: text.as_bytes(), whole: &[] }).map(|it| it.year)
        };
        assert_eq!(read(UTC_TIME, "991231235959Z"), Ok(1999));
        assert_eq!(read(GENERALIZED_TIME, "20491231235959Z"), Ok(2049));
        for (tag, text) in [
            (UTC_TIME, "2601010000Z"),
            (UTC_TIME, "260101000000+0000"),
            (UTC_TIME, "2601010000000"),
            (UTC_TIME, "260230000000Z"),
            (UTC_TIME, "260101240000Z"),
            (UTC_TIME, "260101000060Z"),
            (UTC_TIME, "26010100000aZ"),
            (UTC_TIME, "500101000000Z"),
            (GENERALIZED_TIME, "20500101000000.5Z"),
            (GENERALIZED_TIME, "205001010000Z"),
            (0x0c, "260101000000Z"),
        ] {
            assert!(read(tag, text).is_err(), "{text}");
        }
    }
}
