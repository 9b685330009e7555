//! OLE dates: days since 1899-12-30 as a double.
//!
//! Before that day the whole part counts backwards and the fraction still forwards: -1.25 is six in the
//! morning of 1899-12-29. Years are 100 to 9999. Everything here is exact to the millisecond; the
//! contract's dates are UTC, and a date itself has no zone.
#![expect(non_snake_case, reason = "the exported functions have their published names")]

use std::ffi::c_int;

use jiff::{
    Span, Timestamp,
    civil::{DateTime, date},
};

use crate::abi::{DATE, SYSTEMTIME};

/// Day 0.
const EPOCH: DateTime = date(1899, 12, 30).at(0, 0, 0, 0);
/// Milliseconds from day 0 to 1970-01-01: 25569 days.
const EPOCH_TO_UNIX_MS: i64 = 25_569 * DAY_MS;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// The first day that there is, 0100-01-01 (oleauto's documented range).
const DAY_MIN: f64 = -657_434.0;
/// The day after the last, 10000-01-01.
const DAY_END: f64 = 2_958_466.0;

/// Milliseconds since day 0; `None` outside the years 100 to 9999.
#[expect(clippy::cast_possible_truncation, reason = "both casts are of checked, whole numbers")]
fn millis_of(date: DATE) -> Option<i64> {
    let (day, fraction) = (date.trunc(), date.fract().abs());
    if !(DAY_MIN..DAY_END).contains(&day) {
        return None;
    }
    Some(day as i64 * DAY_MS + (fraction * 86_400_000.0).round() as i64)
}

/// The date of so many milliseconds since day 0; `None` outside the years 100 to 9999.
#[expect(clippy::cast_precision_loss, reason = "days and milliseconds of a day are small numbers")]
fn from_millis(millis: i64) -> Option<DATE> {
    let day = millis.div_euclid(DAY_MS) as f64;
    let fraction = millis.rem_euclid(DAY_MS) as f64 / 86_400_000.0;
    if !(DAY_MIN..DAY_END).contains(&day) {
        return None;
    }
    Some(if day < 0.0 { day - fraction } else { day + fraction })
}

/// The date as calendar and clock.
fn to_civil(date: DATE) -> Option<DateTime> {
    let millis = millis_of(date)?;
    // Days and clock apart: one span has one sign, and its clock is counted in nanoseconds, which ends
    // after 292 years.
    let day = EPOCH.checked_add(Span::new().try_days(millis.div_euclid(DAY_MS)).ok()?).ok()?;
    day.checked_add(Span::new().try_milliseconds(millis.rem_euclid(DAY_MS)).ok()?).ok()
}

/// Calendar and clock as a date; what is below a millisecond is dropped.
fn from_civil(moment: DateTime) -> Option<DATE> {
    let millis = moment.duration_since(EPOCH).as_millis();
    from_millis(i64::try_from(millis).ok()?)
}

/// The date of so many milliseconds since 1970. `None` outside the years 100 to 9999.
#[must_use]
pub fn date_from_unix_millis(millis: i64) -> Option<DATE> {
    from_millis(millis.checked_add(EPOCH_TO_UNIX_MS)?)
}

/// Milliseconds since 1970. `None` outside the years 100 to 9999.
#[must_use]
pub fn unix_millis_from_date(date: DATE) -> Option<i64> {
    millis_of(date).map(|it| it - EPOCH_TO_UNIX_MS)
}

/// The date as `2026-11-21T07:00:00Z`, with a fraction where there is one.
#[must_use]
pub fn date_to_iso(date: DATE) -> Option<String> {
    to_civil(date).map(|it| format!("{it}Z"))
}

/// The date that such a text says; without zone it is UTC, without clock it is midnight.
#[must_use]
pub fn date_from_iso(text: &str) -> Option<DATE> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return date_from_unix_millis(moment.as_millisecond());
    }
    // The last day has no place in a timestamp, which leaves room for zones.
    from_civil(text.trim_end_matches(['Z', 'z']).parse().ok()?)
}

/// Calendar and clock as a date. 1 if done, 0 if there is no such day or a pointer is null.
///
/// The day of the week is not looked at.
///
/// # Safety
///
/// `lpSystemTime` is null or can be read; `pvtime` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SystemTimeToVariantTime(
    lpSystemTime: *const SYSTEMTIME,
    pvtime: *mut DATE,
) -> c_int {
    if lpSystemTime.is_null() || pvtime.is_null() {
        return 0;
    }
    // SAFETY: not null, and the caller vouches for the rest.
    let time = unsafe { lpSystemTime.read_unaligned() };
    let Some(date) = from_system_time(time) else { return 0 };
    // SAFETY: as above.
    unsafe { pvtime.write_unaligned(date) };
    1
}

/// A date as calendar and clock. 1 if done, 0 outside the years 100 to 9999 or if the pointer is null.
///
/// # Safety
///
/// `lpSystemTime` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantTimeToSystemTime(
    vtime: DATE,
    lpSystemTime: *mut SYSTEMTIME,
) -> c_int {
    let Some(time) = to_civil(vtime).and_then(to_system_time) else { return 0 };
    if lpSystemTime.is_null() {
        return 0;
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { lpSystemTime.write_unaligned(time) };
    1
}

/// Calendar and clock from their parts.
fn from_system_time(time: SYSTEMTIME) -> Option<DATE> {
    let small = |it: u16| i8::try_from(it).ok();
    let moment = DateTime::new(
        i16::try_from(time.wYear).ok()?,
        small(time.wMonth)?,
        small(time.wDay)?,
        small(time.wHour)?,
        small(time.wMinute)?,
        small(time.wSecond)?,
        i32::from(time.wMilliseconds).checked_mul(1_000_000)?,
    );
    from_civil(moment.ok()?)
}

/// Calendar and clock in their parts.
fn to_system_time(moment: DateTime) -> Option<SYSTEMTIME> {
    let word = |it: i8| u16::try_from(it).ok();
    Some(SYSTEMTIME {
        wYear: u16::try_from(moment.year()).ok()?,
        wMonth: word(moment.month())?,
        wDayOfWeek: word(moment.weekday().to_sunday_zero_offset())?,
        wDay: word(moment.day())?,
        wHour: word(moment.hour())?,
        wMinute: word(moment.minute())?,
        wSecond: word(moment.second())?,
        wMilliseconds: u16::try_from(moment.millisecond()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pairs from the published description of the type.
    #[test]
    fn dates_are_the_published_ones() {
        for (date, iso) in [
            (0.0, "1899-12-30T00:00:00Z"),
            (2.0, "1900-01-01T00:00:00Z"),
            (5.25, "1900-01-04T06:00:00Z"),
            (-1.25, "1899-12-29T06:00:00Z"),
            (-657_434.0, "0100-01-01T00:00:00Z"),
            (2_958_465.5, "9999-12-31T12:00:00Z"),
            (25_569.0, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(date_to_iso(date).unwrap(), iso);
            assert_eq!(date_from_iso(iso), Some(date), "{iso}");
        }
        assert_eq!(date_from_unix_millis(0), Some(25_569.0));
    }

    #[test]
    fn what_is_outside_the_years_is_none() {
        for date in [-657_435.0, 2_958_466.0, f64::NAN, f64::INFINITY] {
            assert_eq!(date_to_iso(date), None);
        }
        assert_eq!(date_from_unix_millis(i64::MAX), None);
        assert_eq!(date_from_iso("0099-12-31"), None);
        assert_eq!(date_from_iso("yesterday"), None);
    }

    #[test]
    fn a_zone_is_taken_into_account() {
        assert_eq!(date_from_iso("2026-11-21T08:00:00+01:00"), date_from_iso("2026-11-21 07:00"));
    }

    #[test]
    fn calendar_and_clock_come_back() {
        let date = date_from_iso("2026-11-21T07:08:09.123Z").unwrap();
        let mut time = SYSTEMTIME::default();
        let mut back = 0.0;
        // SAFETY: both places can be read and written.
        unsafe {
            assert_eq!(VariantTimeToSystemTime(date, &raw mut time), 1);
            assert_eq!(SystemTimeToVariantTime(&raw const time, &raw mut back), 1);
            assert_eq!(SystemTimeToVariantTime(std::ptr::null(), &raw mut back), 0);
            time.wMonth = 13;
            assert_eq!(SystemTimeToVariantTime(&raw const time, &raw mut back), 0);
        }
        assert_eq!(date_to_iso(back).unwrap(), "2026-11-21T07:08:09.123Z");
        assert_eq!(
            (time.wYear, time.wDay, time.wDayOfWeek, time.wMilliseconds),
            (2026, 21, 6, 123)
        );
    }

    proptest! {
        #[test]
        fn every_millisecond_comes_back(millis in -59_011_459_200_000_i64..253_402_300_800_000) {
            let date = date_from_unix_millis(millis).unwrap();
            prop_assert_eq!(unix_millis_from_date(date), Some(millis));
        }
    }
}
