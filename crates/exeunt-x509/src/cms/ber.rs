//! A message in BER, made DER: lengths without an end get one, and strings in pieces become one.
//!
//! Writers that do not know how long a message becomes, and Java's by habit, write it so (X.690,
//! section 8.1.3.6). What is DER stays as it is, octet for octet; everything else is left to the
//! reader to refuse.

use super::OCTET_STRING_IN_PIECES;
use crate::tlv::{Cursor, NESTING_DEPTH_MAX, NotDer, OCTET_STRING};
use crate::write::Writer;

/// Octet of length that says "until the end mark".
const INDEFINITE_LENGTH: u8 = 0x80;
/// What ends an element without a length.
const END: [u8; 2] = [0, 0];
/// Bit of the identifier octet that says "holds other elements".
const CONSTRUCTED_BIT: u8 = 0x20;
/// Most octets in which a length is written: 4 GiB, beyond any input.
const LENGTH_OCTETS_MAX: usize = 4;

/// Rewrites exactly one element.
pub(crate) fn to_der(ber: &[u8]) -> Result<Vec<u8>, NotDer> {
    let mut writer = Writer::with_capacity(ber.len());
    let mut rest = ber;
    rewrite(&mut rest, NESTING_DEPTH_MAX, &mut writer)?;
    if rest.is_empty() {
        Ok(writer.into_bytes())
    } else {
        Err(NotDer("bytes follow the end of the structure"))
    }
}

fn rewrite(rest: &mut &[u8], depth_left: usize, writer: &mut Writer) -> Result<(), NotDer> {
    let tag = take(rest)?;
    if tag == 0 {
        return Err(NotDer("an element ends that did not begin"));
    }
    let inside = match take_length(rest)? {
        Some(length) if tag & CONSTRUCTED_BIT == 0 => {
            writer.element(tag, take_octets(rest, length)?);
            return Ok(());
        }
        Some(length) => {
            let mut contents = take_octets(rest, length)?;
            rewrite_all(&mut contents, depth_left, <[u8]>::is_empty)?
        }
        None if tag & CONSTRUCTED_BIT == 0 => {
            return Err(NotDer("an element that holds no others has no length"));
        }
        None => {
            let inside = rewrite_all(rest, depth_left, |it| it.starts_with(&END))?;
            take_octets(rest, END.len())?;
            inside
        }
    };
    if tag == OCTET_STRING_IN_PIECES {
        writer.element(OCTET_STRING, &joined(&inside)?);
    } else {
        writer.element(tag, &inside);
    }
    Ok(())
}

/// Rewrites elements until the end is there.
fn rewrite_all(
    rest: &mut &[u8],
    depth_left: usize,
    is_end: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, NotDer> {
    let Some(depth_left) = depth_left.checked_sub(1) else {
        return Err(NotDer("elements are nested too deep"));
    };
    let mut inside = Writer::default();
    while !is_end(rest) {
        rewrite(rest, depth_left, &mut inside)?;
    }
    Ok(inside.into_bytes())
}

/// The pieces of a string, each of which is one by now.
fn joined(pieces: &[u8]) -> Result<Vec<u8>, NotDer> {
    let mut cursor = Cursor::new(pieces);
    let mut whole = Vec::with_capacity(pieces.len());
    while !cursor.is_empty() {
        let piece = cursor.expect(OCTET_STRING, "a piece of a string is not a string")?;
        whole.extend_from_slice(piece.value);
    }
    Ok(whole)
}

fn take(rest: &mut &[u8]) -> Result<u8, NotDer> {
    let (first, after) = rest.split_first().ok_or(NotDer("an element is missing"))?;
    *rest = after;
    Ok(*first)
}

fn take_octets<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], NotDer> {
    let cut = rest.split_at_checked(length);
    let (octets, after) = cut.ok_or(NotDer("element is longer than what holds it"))?;
    *rest = after;
    Ok(octets)
}

/// The length of an element, which BER may write longer than needed; none where it has no length.
fn take_length(rest: &mut &[u8]) -> Result<Option<usize>, NotDer> {
    let first = take(rest)?;
    let count = match first {
        0..INDEFINITE_LENGTH => return Ok(Some(first.into())),
        INDEFINITE_LENGTH => return Ok(None),
        _ => usize::from(first & 0x7f),
    };
    if LENGTH_OCTETS_MAX < count {
        return Err(NotDer("element is longer than what holds it"));
    }
    let octets = take_octets(rest, count)?;
    Ok(Some(octets.iter().fold(0, |length, &it| length << 8 | usize::from(it))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ber: &[u8], der: &[u8]) {
        assert_eq!(to_der(ber).as_deref(), Ok(der), "{ber:02x?}");
        // And that is DER: it stays.
        assert_eq!(to_der(der).as_deref(), Ok(der), "{der:02x?}");
    }

    // Worked out by hand from X.690, sections 8.1 and 8.7.
    #[test]
    fn lengths_get_an_end_and_strings_become_one() {
        check(&[0x30, 0x80, 0x02, 1, 5, 0, 0], &[0x30, 3, 0x02, 1, 5]);
        check(&[0x30, 0x80, 0x31, 0x80, 0, 0, 0, 0], &[0x30, 2, 0x31, 0]);
        check(&[0x24, 0x80, 4, 1, 7, 4, 2, 8, 9, 0, 0], &[4, 3, 7, 8, 9]);
        check(&[0x24, 7, 0x24, 3, 4, 1, 7, 4, 0], &[4, 1, 7]);
        check(&[0x24, 0x80, 0, 0], &[4, 0]);
        // Longer lengths than needed.
        check(&[0x30, 0x81, 4, 0x02, 0x82, 0, 0], &[0x30, 2, 0x02, 0]);
        // Two zeros inside of an element are no end.
        check(&[0x30, 0x80, 4, 2, 0, 0, 0, 0], &[0x30, 4, 4, 2, 0, 0]);
    }

    #[test]
    fn what_breaks_off_or_does_not_fit_is_refused() {
        for broken in [
            &[][..],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x80, 0],
            &[0x30, 0x80, 2, 1],
            &[0x30, 0x82, 1],
            &[0x30, 0x85, 0, 0, 0, 0, 0],
            &[0x30, 0xff],
            &[0x30, 2, 0, 0],
            &[0, 0],
            &[4, 0x80, 0, 0],
            &[0x24, 0x80, 2, 1, 7, 0, 0],
            &[0x30, 0, 0],
        ] {
            assert!(to_der(broken).is_err(), "{broken:02x?}");
        }
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| {
            let ends = [0].repeat(2 * depth);
            [[0x30, INDEFINITE_LENGTH].repeat(depth), ends].concat()
        };
        assert!(to_der(&nested(NESTING_DEPTH_MAX)).is_ok());
        assert!(to_der(&nested(NESTING_DEPTH_MAX + 1)).is_err());
        assert!(to_der(&nested(60_000)).is_err());
    }
}
