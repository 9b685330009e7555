//! Typed values as the DER of an extension: what `SetCertificateExtension` encodes.

use std::time::Duration;

use der::{
    DateTime, Encode as _,
    asn1::{GeneralizedTime, Ia5StringRef, UtcTime},
};

use crate::Value;

/// The first second of 2050, from which on times are no `UTCTime` (RFC 5280, section 4.1.2.5).
const YEAR_2050_UNIX_SECONDS: u64 = 2_524_608_000;

/// DER of a value: a long as INTEGER, a date as a time of X.509, a string as `IA5String`, bytes as
/// they are. `None` where it cannot be.
pub(super) fn encode(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Binary(bytes) => Some(bytes.clone()),
        Value::Long(number) => number.to_der().ok(),
        Value::String(text) => Ia5StringRef::new(text).ok()?.to_der().ok(),
        Value::Date(text) => {
            let moment = moment(text)?;
            if moment.as_secs() < YEAR_2050_UNIX_SECONDS {
                UtcTime::from_unix_duration(moment).ok()?.to_der().ok()
            } else {
                GeneralizedTime::from_unix_duration(moment).ok()?.to_der().ok()
            }
        }
    }
}

/// The moment of an RFC 3339 text in UTC with whole seconds, since 1970.
pub(super) fn moment(text: &str) -> Option<Duration> {
    text.parse::<DateTime>().ok().map(|it| it.unix_duration())
}
