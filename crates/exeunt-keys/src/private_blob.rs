//! `PRIVATEKEYBLOB`, in which the original's clients send the RSA keys that are to be archived (MS-WCCE,
//! section 2.2.2.9): a header, and the numbers of the key with the least octet first.

use der::{Encode as _, asn1::OctetStringRef, asn1::UintRef};
use pkcs8::{AlgorithmIdentifierRef, PrivateKeyInfoRef, spki::der::AnyRef};
use zeroize::Zeroizing;

use crate::verify::{RSA_BITS_MAX, RSA_ENCRYPTION};

/// `PRIVATEKEYBLOB`, version 2, two reserved octets.
const HEADER: [u8; 4] = [0x07, 0x02, 0x00, 0x00];
/// `CALG_RSA_KEYX` and `CALG_RSA_SIGN`.
const ALGORITHMS: [[u8; 4]; 2] = [[0x00, 0xa4, 0x00, 0x00], [0x00, 0x24, 0x00, 0x00]];
/// What a private key of RSA begins with.
const MAGIC: [u8; 4] = *b"RSA2";
/// Octets before the modulus: the header, the algorithm, the magic, the bits, the public exponent.
const FRONT_OCTETS: usize = 20;

/// The key as PKCS #8; none if it is no such blob. Whether its numbers are a key is left to who reads that.
pub(crate) fn to_pkcs8(blob: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (front, numbers) = blob.split_at_checked(FRONT_OCTETS)?;
    let word = |at: usize| front.get(at..at + 4).and_then(|it| <[u8; 4]>::try_from(it).ok());
    if word(0)? != HEADER || !ALGORITHMS.contains(&word(4)?) || word(8)? != MAGIC {
        return None;
    }
    let bits = u32::from_le_bytes(word(12)?);
    if RSA_BITS_MAX < bits || !bits.is_multiple_of(16) {
        return None;
    }
    let octets = usize::try_from(bits / 8).ok()?;
    let half = octets / 2;
    let exponent = u32::from_le_bytes(word(16)?).to_be_bytes();
    // Modulus, both primes, both exponents, the coefficient, the private exponent; then perhaps zeros that
    // fill the last block.
    let mut rest = numbers;
    let mut take = |len: usize| {
        let (number, after) = rest.split_at_checked(len)?;
        rest = after;
        Some(Zeroizing::new(number.iter().rev().copied().collect::<Vec<u8>>()))
    };
    let modulus = take(octets)?;
    let [prime1, prime2, exponent1, exponent2, coefficient] =
        [take(half)?, take(half)?, take(half)?, take(half)?, take(half)?];
    let private = take(octets)?;
    if rest.iter().any(|it| *it != 0) {
        return None;
    }
    let fields: [&[u8]; 9] = [
        &[0],
        &modulus,
        &exponent,
        &private,
        &prime1,
        &prime2,
        &exponent1,
        &exponent2,
        &coefficient,
    ];
    let mut body = Zeroizing::new(Vec::with_capacity(blob.len() + 64));
    for field in fields {
        UintRef::new(field).ok()?.encode_to_vec(&mut body).ok()?;
    }
    let length = der::Length::try_from(body.len()).ok()?;
    let mut rsa = Zeroizing::new(Vec::with_capacity(body.len() + 8));
    der::Header::new(der::Tag::Sequence, length).encode_to_vec(&mut rsa).ok()?;
    rsa.extend_from_slice(&body);
    let algorithm = AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) };
    let info = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(&rsa).ok()?);
    let mut pkcs8 = Zeroizing::new(Vec::with_capacity(rsa.len() + 64));
    info.encode_to_vec(&mut pkcs8).ok()?;
    Some(pkcs8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A blob of 16 bits: the layout is that of a real one.
    const BLOB: [u8; 29] = [
        7, 2, 0, 0, 0, 0xa4, 0, 0, b'R', b'S', b'A', b'2', 16, 0, 0, 0, 1, 0, 1, 0, // front
        0x34, 0x12, // modulus
        3, 4, 5, 6, 7, // primes, exponents, coefficient
        0x89, 0x08, // private exponent
    ];

    // Worked out by hand from RFC 8017, appendix A.1.2, and RFC 5208, section 5.
    #[test]
    fn a_blob_becomes_a_pkcs8_with_its_numbers_turned_around() {
        let made = to_pkcs8(&BLOB).unwrap();
        let rsa = [
            0x30, 0x1f, 2, 1, 0, 2, 2, 0x12, 0x34, 2, 3, 1, 0, 1, 2, 2, 8, 0x89, 2, 1, 3, 2, 1, 4,
            2, 1, 5, 2, 1, 6, 2, 1, 7,
        ];
        assert!(made.ends_with(&rsa), "{made:02x?}");
        assert_eq!(made[..2], [0x30, u8::try_from(made.len() - 2).unwrap()]);
        // What fills the last block of an encryption is no part of it.
        let filled = [&BLOB[..], &[0; 3]].concat();
        assert_eq!(to_pkcs8(&filled), Some(made));
    }

    #[test]
    fn what_is_no_blob_is_left_alone() {
        for end in 0..BLOB.len() {
            assert_eq!(to_pkcs8(&BLOB[..end]), None, "{end}");
        }
        for (at, octet) in [(0, 6), (1, 3), (5, 0xa5), (8, b'X'), (12, 8), (14, 1), (15, 0xff)] {
            let mut other = BLOB;
            other[at] = octet;
            assert_eq!(to_pkcs8(&other), None, "{at}");
        }
        assert_eq!(to_pkcs8(&[&BLOB[..], &[1]].concat()), None);
    }
}
