//! Writing DER into one buffer: lengths are filled in when an element is complete, so that nothing
//! is measured twice and nothing is copied but what stands behind a long length.

use crate::tlv::{BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, OID};
use const_oid::ObjectIdentifier;

/// A growing DER encoding.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Begins anew in the same memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Appends what is DER already.
    pub(crate) fn raw(&mut self, der: &[u8]) {
        self.0.extend_from_slice(der);
    }

    /// Appends an element with those contents.
    pub(crate) fn element(&mut self, tag: u8, value: &[u8]) {
        self.nest(tag, |it| it.raw(value));
    }

    /// Appends an element whose contents `content` writes.
    pub(crate) fn nest(&mut self, tag: u8, content: impl FnOnce(&mut Self)) {
        self.0.push(tag);
        let at = self.0.len();
        self.0.push(0);
        content(self);
        let len = self.0.len() - at - 1;
        match u8::try_from(len) {
            Ok(short @ 0..0x80) => self.0[at] = short,
            _ => self.lengthen(at, len),
        }
    }

    /// Appends the header of an element whose contents stand elsewhere.
    pub(crate) fn header(&mut self, tag: u8, len: u64) {
        self.0.push(tag);
        if let Ok(short @ 0..0x80) = u8::try_from(len) {
            return self.0.push(short);
        }
        let octets = len.to_be_bytes();
        let zeros = octets.iter().take_while(|&&it| it == 0).count();
        let significant = &octets[zeros..];
        self.0.push(0x80 | u8::try_from(significant.len()).expect("BUG: a u64 has few octets"));
        self.0.extend_from_slice(significant);
    }

    /// Turns the one-octet length at `at` into the long form.
    fn lengthen(&mut self, at: usize, len: usize) {
        let octets = len.to_be_bytes();
        let zeros = octets.iter().take_while(|&&it| it == 0).count();
        let significant = &octets[zeros..];
        self.0[at] = 0x80 | u8::try_from(significant.len()).expect("BUG: a usize has few octets");
        let after = at + 1;
        self.0.splice(after..after, significant.iter().copied());
    }

    pub(crate) fn oid(&mut self, oid: &ObjectIdentifier) {
        self.element(OID, oid.as_bytes());
    }

    /// TRUE; FALSE is never written because it is everywhere the default.
    pub(crate) fn boolean_true(&mut self) {
        self.element(BOOLEAN, &[0xff]);
    }

    /// A small number that is not negative.
    pub(crate) fn integer_u8(&mut self, number: u8) {
        if number < 0x80 {
            self.element(INTEGER, &[number]);
        } else {
            self.element(INTEGER, &[0, number]);
        }
    }

    /// A number that is not negative.
    pub(crate) fn integer_u64(&mut self, number: u64) {
        let octets = number.to_be_bytes();
        let zeros = octets.iter().take_while(|&&it| it == 0).count();
        // One octet at least, and a zero before a top bit that would make it negative.
        let significant = &octets[zeros.min(7)..];
        self.nest(INTEGER, |it| {
            if significant[0] & 0x80 != 0 {
                it.0.push(0);
            }
            it.raw(significant);
        });
    }

    pub(crate) fn octet_string(&mut self, value: &[u8]) {
        self.element(OCTET_STRING, value);
    }

    /// A bit string of whole octets.
    pub(crate) fn bit_string(&mut self, octets: &[u8]) {
        self.nest(BIT_STRING, |it| {
            it.0.push(0);
            it.raw(octets);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_their_shortest_form() {
        for (len, header) in [
            (0, vec![0x04, 0x00]),
            (127, vec![0x04, 0x7f]),
            (128, vec![0x04, 0x81, 0x80]),
            (255, vec![0x04, 0x81, 0xff]),
            (256, vec![0x04, 0x82, 0x01, 0x00]),
            (65_536, vec![0x04, 0x83, 0x01, 0x00, 0x00]),
        ] {
            let mut writer = Writer::default();
            writer.octet_string(&vec![0xaa; len]);
            let bytes = writer.into_bytes();
            assert!(bytes.starts_with(&header), "{len}");
            assert_eq!(bytes.len(), header.len() + len);
            assert!(bytes[header.len()..].iter().all(|&it| it == 0xaa));
            let mut alone = Writer::default();
            alone.header(0x04, len.try_into().unwrap());
            assert_eq!(alone.into_bytes(), header);
        }
    }

    #[test]
    fn a_number_is_positive_and_in_its_shortest_form() {
        for (number, der) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 0x7f]),
            (128, &[2, 2, 0, 0x80]),
            (256, &[2, 2, 1, 0]),
            (u64::MAX, &[2, 9, 0, 255, 255, 255, 255, 255, 255, 255, 255]),
        ] {
            let mut writer = Writer::default();
            writer.integer_u64(number);
            assert_eq!(writer.into_bytes(), der);
        }
    }
}
