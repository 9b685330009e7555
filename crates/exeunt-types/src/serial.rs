//! Certificate serial numbers.

use std::fmt;

use crate::UnixMillis;

/// A positive certificate serial number: the 1 to 20 octets of its DER integer, big-endian. The first
/// one is zero only where the next has its top bit set; other CAs give such numbers out, ours never.
///
/// The constructors are the only way to get one, so a `Serial` in hand is valid
/// (RFC 5280, section 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial {
    len: u8,
    octets: [u8; Self::OCTETS_MAX],
}

/// Which rule the octets of a serial number broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialError {
    /// No octet at all.
    #[error("serial number is empty")]
    Empty,
    /// The first octet is zero, and not needed.
    #[error("serial number starts with a zero octet that it does not need")]
    LeadingZero,
    /// The top bit is set.
    #[error("serial number is negative")]
    Negative,
    /// More than [`Serial::OCTETS_MAX`] octets.
    #[error("serial number is {len} octets long, at most 20 allowed")]
    TooLong {
        /// How many there are.
        len: usize,
    },
    /// The text is not pairs of hexadecimal digits.
    #[error("serial number is not written as pairs of hexadecimal digits")]
    NotHex,
}

impl Serial {
    /// Longest encoding that conforming CAs may use, in octets (RFC 5280, section 4.1.2.2).
    pub const OCTETS_MAX: usize = 20;

    /// Makes a 16-octet serial out of the caller's randomness.
    ///
    /// The top bit is cleared (DER integers are signed) and the next one set (so that the length
    /// never varies), which leaves 126 unpredictable bits. The CA/Browser Forum's baseline asks
    /// for 64.
    #[must_use]
    pub fn from_random(mut random: [u8; 16]) -> Self {
        random[0] = (random[0] & 0x7f) | 0x40;
        Self::from_be_bytes(&random).expect("BUG: 16 octets starting with 0x40..=0x7f are valid")
    }

    /// Octets for [`Self::from_random`] whose order is that of time: after the two bits that it sets, 38
    /// bits of the seconds since 1970, then 88 of the caller's randomness.
    ///
    /// A store keeps every serial that was ever drawn in the order of the numbers. Where they rise with
    /// time, new ones stand together, and a store of ten million certificates takes the next one as
    /// fast as an empty one. Nothing is given away: the certificate says itself when it was made.
    #[must_use]
    pub fn octets_by_time(at: UnixMillis, mut random: [u8; 16]) -> [u8; 16] {
        let [.., high, a, b, c, d] = at.unix_seconds().to_be_bytes();
        random[..5].copy_from_slice(&[high & 0x3f | 0x40, a, b, c, d]);
        random
    }

    /// Reads back the octets of a serial that a conforming CA made.
    ///
    /// # Errors
    ///
    /// [`SerialError`] says which of the four rules the octets broke.
    pub fn from_be_bytes(bytes: &[u8]) -> Result<Self, SerialError> {
        let len = bytes.len();
        match bytes {
            [] => return Err(SerialError::Empty),
            [0] | [0, 0..=0x7f, ..] => return Err(SerialError::LeadingZero),
            [0x80..=0xff, ..] => return Err(SerialError::Negative),
            _ if Self::OCTETS_MAX < len => return Err(SerialError::TooLong { len }),
            _ => (),
        }
        let mut octets = [0; Self::OCTETS_MAX];
        octets[..len].copy_from_slice(bytes);
        Ok(Self { len: u8::try_from(len).expect("BUG: checked against OCTETS_MAX"), octets })
    }

    /// Reads the plain hexadecimal text that [`fmt::Display`] writes; upper case is accepted, and so is
    /// the number without the zero octet that its DER needs, as some tools write it.
    ///
    /// # Errors
    ///
    /// [`SerialError::NotHex`], or as [`Serial::from_be_bytes`].
    pub fn from_hex(text: &str) -> Result<Self, SerialError> {
        let digits = text.as_bytes();
        if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(SerialError::NotHex);
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 0x20) - b'a' + 10,
        };
        let mut octets: Vec<u8> =
            digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect();
        if octets.first().is_some_and(|it| 0x80 <= *it) {
            octets.insert(0, 0);
        }
        Self::from_be_bytes(&octets)
    }

    /// Big-endian octets, exactly as they go into the DER integer.
    #[must_use]
    pub fn as_be_bytes(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

impl fmt::Display for Serial {
    /// Lower-case hexadecimal without a prefix, as the original shows serial numbers.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_be_bytes().iter().try_for_each(|octet| write!(out, "{octet:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Serial({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(bytes: &[u8], expect: &Expect) {
        let actual = match Serial::from_be_bytes(bytes) {
            Ok(serial) => serial.to_string(),
            Err(err) => format!("error: {err}"),
        };
        expect.assert_eq(&actual);
    }

    #[test]
    fn serials_by_time_rise_with_it_and_keep_their_randomness() {
        let at = |seconds| {
            let octets = Serial::octets_by_time(UnixMillis::from_unix_seconds(seconds), [0xa5; 16]);
            Serial::from_random(octets)
        };
        // 2026-11-21 12:00:00 UTC is 0x6b0187c0 seconds after 1970, by date(1).
        assert_eq!(at(1_795_262_400).to_string(), format!("406b0187c0{}", "a5".repeat(11)));
        let times = [0, 1, 1_795_262_400, 0xffff_ffff, 0x1_0000_0000, (1 << 38) - 1];
        assert!(times.map(at).is_sorted());
    }

    #[test]
    fn a_serial_has_one_to_twenty_octets() {
        check(&[1], &expect!["01"]);
        check(&[0x7f; 20], &expect!["7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f"]);
        check(&[], &expect!["error: serial number is empty"]);
        check(&[1; 21], &expect!["error: serial number is 21 octets long, at most 20 allowed"]);
    }

    #[test]
    fn a_serial_is_positive_and_minimal() {
        for needless in [&[0][..], &[0, 0x7f], &[0, 0, 0x80]] {
            assert_eq!(Serial::from_be_bytes(needless), Err(SerialError::LeadingZero));
        }
        check(&[0x80], &expect!["error: serial number is negative"]);
    }

    #[test]
    fn a_zero_octet_stands_where_the_number_would_be_negative_without_it() {
        check(&[0, 0x80], &expect!["0080"]);
        check(&[0, 0xff, 1], &expect!["00ff01"]);
        assert_eq!(Serial::from_hex("00F8eb"), Serial::from_hex("f8eb"));
        assert_eq!(Serial::from_hex("f8eb").unwrap().as_be_bytes(), [0, 0xf8, 0xeb]);
        assert_eq!(Serial::from_hex("0012"), Err(SerialError::LeadingZero));
        let full = "ff".repeat(Serial::OCTETS_MAX);
        assert_eq!(Serial::from_hex(&full), Err(SerialError::TooLong { len: 21 }));
    }

    #[test]
    fn a_random_serial_always_has_sixteen_octets() {
        for fill in [0x00, 0x40, 0x7f, 0x80, 0xff] {
            assert_eq!(Serial::from_random([fill; 16]).as_be_bytes().len(), 16);
        }
    }

    #[test]
    fn the_text_of_a_serial_reads_back() {
        let serial = Serial::from_random([0xa5; 16]);
        assert_eq!(Serial::from_hex(&serial.to_string()), Ok(serial));
        assert_eq!(Serial::from_hex(&serial.to_string().to_uppercase()), Ok(serial));
        assert_eq!(Serial::from_hex("0x12"), Err(SerialError::NotHex));
        assert_eq!(Serial::from_hex("123"), Err(SerialError::NotHex));
    }
}
