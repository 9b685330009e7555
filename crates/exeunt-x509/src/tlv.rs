//! Reading DER one element at a time: borrowed, without allocation, with the `der` crate checking
//! every header. Nothing here knows what a certificate is.

use const_oid::ObjectIdentifier;
use der::{Decode, Header, Reader, SliceReader};

/// Deepest nesting of constructed elements that is read. A certificate or request as RFC 5280 and
/// RFC 2986 define it stays below 12.
pub const NESTING_DEPTH_MAX: usize = 32;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const TELETEX_STRING: u8 = 0x14;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// Context-specific and constructed, number 0; add the number for the others.
pub(crate) const CONTEXT_CONSTRUCTED: u8 = 0xa0;
/// Context-specific and primitive, number 0; add the number for the others.
pub(crate) const CONTEXT_PRIMITIVE: u8 = 0x80;

/// Bit of the identifier octet that says "holds other elements".
const CONSTRUCTED_BIT: u8 = 0x20;
/// Bits of the identifier octet that carry class: 0 is universal.
const CLASS_BITS: u8 = 0xc0;
/// Tag numbers from 31 up take more octets; nothing in PKIX uses them.
const HIGH_TAG_NUMBER: u8 = 0x1f;

/// Which rule of DER, or of the structure that was expected, the bytes broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotDer(pub(crate) &'static str);

/// One element: identifier octet, contents, and the whole encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    pub(crate) whole: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// Reads exactly one element; anything after it is an error.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, NotDer> {
        let mut cursor = Cursor::new(bytes);
        let tlv = cursor.next()?;
        cursor.finish("bytes follow the end of the structure")?;
        Ok(tlv)
    }

    /// The same with a demand on the tag.
    pub(crate) fn read_as(
        bytes: &'a [u8],
        tag: u8,
        otherwise: &'static str,
    ) -> Result<Self, NotDer> {
        let tlv = Self::read(bytes)?;
        if tlv.tag == tag { Ok(tlv) } else { Err(NotDer(otherwise)) }
    }

    /// What a constructed element holds.
    pub(crate) fn children(&self) -> Cursor<'a> {
        Cursor::new(self.value)
    }

    /// The octets of a bit string whose length in bits is a multiple of eight.
    pub(crate) fn bit_string_octets(&self) -> Result<&'a [u8], NotDer> {
        match self.value.split_first() {
            Some((0, octets)) => Ok(octets),
            _ => Err(NotDer("bit string does not end on a whole octet")),
        }
    }

    /// The object identifier in this element.
    pub(crate) fn oid(&self) -> Result<ObjectIdentifier, NotDer> {
        check_oid(self.value)?;
        ObjectIdentifier::from_bytes(self.value)
            .map_err(|_| NotDer("object identifier is longer or larger than we read"))
    }
}

/// Reads elements that stand one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the next element, whatever it is.
    pub(crate) fn next(&mut self) -> Result<Tlv<'a>, NotDer> {
        const HEADER: NotDer = NotDer("element header is cut off or not in its shortest form");
        let Some(&tag) = self.0.first() else {
            return Err(NotDer("an element is missing"));
        };
        if tag & HIGH_TAG_NUMBER == HIGH_TAG_NUMBER {
            return Err(NotDer("tag number is above 30"));
        }
        let mut reader = SliceReader::new(self.0).map_err(|_| NotDer("too long"))?;
        let header = Header::decode(&mut reader).map_err(|_| HEADER)?;
        let start = usize::try_from(reader.position()).map_err(|_| HEADER)?;
        let value = reader
            .read_slice(header.length())
            .map_err(|_| NotDer("element is longer than what holds it"))?;
        let (whole, rest) = self.0.split_at(start + value.len());
        self.0 = rest;
        Ok(Tlv { tag, value, whole })
    }

    /// Takes the next element if it has that tag.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, NotDer> {
        if self.0.first() == Some(&tag) { self.next().map(Some) } else { Ok(None) }
    }

    /// Takes the next element, which must have that tag.
    pub(crate) fn expect(&mut self, tag: u8, otherwise: &'static str) -> Result<Tlv<'a>, NotDer> {
        self.optional(tag)?.ok_or(NotDer(otherwise))
    }

    /// Ends the reading: nothing may be left.
    pub(crate) fn finish(self, otherwise: &'static str) -> Result<(), NotDer> {
        if self.is_empty() { Ok(()) } else { Err(NotDer(otherwise)) }
    }
}

/// Checks that `bytes` are exactly one element in DER all over, down to [`NESTING_DEPTH_MAX`].
///
/// The alphabets of string types are left to who reads the strings, because they can say more.
pub(crate) fn check_der(bytes: &[u8]) -> Result<(), NotDer> {
    check_element(&Tlv::read(bytes)?, NESTING_DEPTH_MAX)
}

fn check_element(tlv: &Tlv<'_>, depth_left: usize) -> Result<(), NotDer> {
    match tlv.tag {
        BOOLEAN if !matches!(tlv.value, [0x00 | 0xff]) => Err(NotDer("boolean is not 00 or FF")),
        INTEGER | ENUMERATED => check_integer(tlv.value),
        BIT_STRING => check_bit_string(tlv.value),
        NULL if !tlv.value.is_empty() => Err(NotDer("NULL has contents")),
        OID => check_oid(tlv.value),
        BMP_STRING if !tlv.value.len().is_multiple_of(2) => Err(NotDer("BMPString is cut off")),
        SEQUENCE | SET => check_children(tlv, depth_left),
        BOOLEAN | OCTET_STRING | NULL | UTF8_STRING | 0x0d | 0x12 | PRINTABLE_STRING
        | TELETEX_STRING | IA5_STRING | UTC_TIME | GENERALIZED_TIME | 0x1a | 0x1b | BMP_STRING => {
            Ok(())
        }
        tag if tag & CLASS_BITS == 0 => Err(NotDer("element of an unknown universal type")),
        tag if tag & CONSTRUCTED_BIT == 0 => Ok(()),
        _ => check_children(tlv, depth_left),
    }
}

fn check_children(tlv: &Tlv<'_>, depth_left: usize) -> Result<(), NotDer> {
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return Err(NotDer("elements are nested too deep"));
    };
    let mut children = tlv.children();
    let mut previous: &[u8] = &[];
    while !children.is_empty() {
        let child = children.next()?;
        check_element(&child, depth_left)?;
        // X.690, section 11.6: the members of a SET OF stand in ascending order.
        if tlv.tag == SET && child.whole < previous {
            return Err(NotDer("members of a set are not in ascending order"));
        }
        previous = child.whole;
    }
    Ok(())
}

fn check_integer(value: &[u8]) -> Result<(), NotDer> {
    match value {
        [] => Err(NotDer("integer is empty")),
        [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => {
            Err(NotDer("integer is not in its shortest form"))
        }
        _ => Ok(()),
    }
}

fn check_bit_string(value: &[u8]) -> Result<(), NotDer> {
    const INVALID: NotDer = NotDer("bit string has invalid unused bits");
    let Some((&unused, octets)) = value.split_first() else {
        return Err(NotDer("bit string is empty"));
    };
    if 7 < unused {
        return Err(INVALID);
    }
    let last = octets.last().copied();
    let unused_mask = (1_u8 << unused) - 1;
    match last {
        Some(last) if last & unused_mask != 0 => Err(INVALID),
        None if unused != 0 => Err(INVALID),
        _ => Ok(()),
    }
}

fn check_oid(value: &[u8]) -> Result<(), NotDer> {
    const INVALID: NotDer = NotDer("object identifier is malformed");
    if value.last().is_none_or(|last| last & 0x80 != 0) {
        return Err(INVALID);
    }
    let mut starts_arc = true;
    for &octet in value {
        if starts_arc && octet == 0x80 {
            return Err(INVALID);
        }
        starts_arc = octet & 0x80 == 0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<(), &str>) {
        assert_eq!(check_der(bytes).map_err(|it| it.0), expected, "{bytes:02x?}");
    }

    #[test]
    fn every_rule_of_der_has_its_refusal() {
        check(&[0x30, 0x03, 0x01, 0x01, 0xff], Ok(()));
        check(&[], Err("an element is missing"));
        check(&[0x30, 0x81, 0x01, 0x05], Err(HEADER));
        check(&[0x30, 0x80, 0x00, 0x00], Err(HEADER));
        check(&[0x30, 0x82, 0x00, 0x80], Err(HEADER));
        check(&[0x30, 0x02, 0x05], Err("element is longer than what holds it"));
        check(&[0x05, 0x00, 0x00], Err("bytes follow the end of the structure"));
        check(&[0x01, 0x01, 0x01], Err("boolean is not 00 or FF"));
        check(&[0x01, 0x00], Err("boolean is not 00 or FF"));
        check(&[0x02, 0x00], Err("integer is empty"));
        check(&[0x02, 0x02, 0x00, 0x7f], Err("integer is not in its shortest form"));
        check(&[0x02, 0x02, 0xff, 0x80], Err("integer is not in its shortest form"));
        check(&[0x02, 0x02, 0x00, 0x80], Ok(()));
        check(&[0x03, 0x00], Err("bit string is empty"));
        check(&[0x03, 0x02, 0x08, 0x00], Err("bit string has invalid unused bits"));
        check(&[0x03, 0x02, 0x01, 0x01], Err("bit string has invalid unused bits"));
        check(&[0x03, 0x01, 0x01], Err("bit string has invalid unused bits"));
        check(&[0x05, 0x01, 0x00], Err("NULL has contents"));
        check(&[0x06, 0x00], Err("object identifier is malformed"));
        check(&[0x06, 0x02, 0x2a, 0x80], Err("object identifier is malformed"));
        check(&[0x06, 0x03, 0x2a, 0x80, 0x01], Err("object identifier is malformed"));
        check(&[0x1e, 0x01, 0x00], Err("BMPString is cut off"));
        check(&[0x1f, 0x20, 0x00], Err("tag number is above 30"));
        check(&[0x24, 0x00], Err(HEADER));
        check(&[0x09, 0x00], Err("element of an unknown universal type"));
        check(
            &[0x31, 0x06, 0x02, 0x01, 0x02, 0x02, 0x01, 0x01],
            Err("members of a set are not in ascending order"),
        );
    }

    const HEADER: &str = "element header is cut off or not in its shortest form";

    #[test]
    fn nesting_is_bounded_without_deep_recursion() {
        let nested = |depth: usize| {
            let mut bytes = vec![0x05, 0x00];
            for _ in 0..depth {
                let mut writer = crate::write::Writer::with_capacity(bytes.len() + 4);
                writer.nest(SEQUENCE, |it| it.raw(&bytes));
                bytes = writer.into_bytes();
            }
            bytes
        };
        check(&nested(NESTING_DEPTH_MAX), Ok(()));
        check(&nested(NESTING_DEPTH_MAX + 1), Err("elements are nested too deep"));
        check(&nested(20_000), Err("elements are nested too deep"));
    }
}
