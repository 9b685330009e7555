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
