//! Files with certificates in them: one or many, in DER, in PEM, or in a PKCS #7 message.

use super::{MESSAGE_CERTIFICATE_COUNT_MAX, SIGNED_DATA};
use crate::certificate::{CERTIFICATE_BYTES_MAX, CertificateError};
use crate::pem::decode_pem_or_der;
use crate::tlv::{CONTEXT_CONSTRUCTED, INTEGER, NotDer, OID, SEQUENCE, SET, Tlv, check_der};

/// Largest file that [`certificates_in`] reads, in octets: as many certificates as a message may have,
/// each of the largest size, in PEM.
pub const CERTIFICATE_FILE_BYTES_MAX: usize =
    2 * MESSAGE_CERTIFICATE_COUNT_MAX * CERTIFICATE_BYTES_MAX;

/// First line of a block of PEM (RFC 7468, section 3).
const BEGIN: &str = "-----BEGIN ";
const CERTIFICATE_LABELS: [&str; 2] = ["CERTIFICATE", "X509 CERTIFICATE"];
/// RFC 7468, sections 8 and 9.
const MESSAGE_LABELS: [&str; 2] = ["PKCS7", "CMS"];

/// Most certificates in a file that [`many_certificates_in`] reads: what a CA may have issued in years,
/// in one file.
pub const CERTIFICATE_BAG_COUNT_MAX: usize = 65_536;
/// Largest file that [`many_certificates_in`] reads, in octets: that many of usual size, in PEM.
pub const CERTIFICATE_BAG_BYTES_MAX: usize = 128 << 20;

/// The certificates in a file, DER, in its order: a certificate or a PKCS #7 message in DER, or any
/// number of them in PEM. What they say is not looked at.
///
/// A message keeps its certificates as a set: the first one need not be the one that was asked for.
///
/// # Errors
///
/// [`CertificateError::TooLarge`] for more than [`CERTIFICATE_FILE_BYTES_MAX`] octets or
/// [`MESSAGE_CERTIFICATE_COUNT_MAX`] certificates, [`CertificateError::Malformed`] for anything else
/// than certificates, and where there are none.
pub fn certificates_in(input: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    read(input, CERTIFICATE_FILE_BYTES_MAX, MESSAGE_CERTIFICATE_COUNT_MAX)
}

/// [`certificates_in`] for a file that holds not a chain but all that somebody has: an operator's own.
///
/// # Errors
///
/// The same, with the limits [`CERTIFICATE_BAG_BYTES_MAX`] and [`CERTIFICATE_BAG_COUNT_MAX`].
pub fn many_certificates_in(input: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    read(input, CERTIFICATE_BAG_BYTES_MAX, CERTIFICATE_BAG_COUNT_MAX)
}

fn read(
    input: &[u8],
    bytes_max: usize,
    count_max: usize,
) -> Result<Vec<Vec<u8>>, CertificateError> {
    if bytes_max < input.len() {
        return Err(CertificateError::TooLarge);
    }
    let mut found = Vec::new();
    if input.first() == Some(&SEQUENCE) {
        found.extend(in_der(input)?);
    } else {
        let text = std::str::from_utf8(input)
            .map_err(|source| CertificateError::Malformed { source: source.into() })?;
        for (start, _) in text.match_indices(BEGIN) {
            let rest = &text[start..];
            let end = rest[BEGIN.len()..].find(BEGIN).map_or(rest.len(), |it| it + BEGIN.len());
            let labels: Vec<&str> = CERTIFICATE_LABELS.into_iter().chain(MESSAGE_LABELS).collect();
            let der = decode_pem_or_der(block(&rest[..end]).as_bytes(), &labels)
                .map_err(|source| CertificateError::Malformed { source: source.into() })?;
            found.extend(in_der(&der)?);
        }
    }
    if found.is_empty() {
        return Err(NotDer("there is no certificate in it").into());
    }
    if count_max < found.len() {
        return Err(CertificateError::TooLarge);
    }
    Ok(found)
}

/// A block without the words that some tools write after it.
fn block(text: &str) -> &str {
    let closing = text.find("-----END ").unwrap_or(text.len());
    let end = text[closing..].find('\n').map_or(text.len(), |it| closing + it);
    &text[..end]
}

/// One certificate, or those of a message.
fn in_der(der: &[u8]) -> Result<Vec<Vec<u8>>, CertificateError> {
    let outer = Tlv::read_as(der, SEQUENCE, "it is no sequence")?;
    // A message begins with what it is; a certificate with what was signed.
    if outer.value.first() == Some(&OID) {
        return in_message(outer);
    }
    check_der(der)?;
    Ok(vec![der.to_vec()])
}

/// The certificates of a `ContentInfo`, whoever signed it, if anybody did (RFC 5652, section 5.1).
fn in_message(content_info: Tlv<'_>) -> Result<Vec<Vec<u8>>, CertificateError> {
    let mut info = content_info.children();
    if info.expect(OID, "message does not say what it is")?.oid()? != SIGNED_DATA {
        return Err(NotDer("message is of another kind than signed data").into());
    }
    let explicit = info.expect(CONTEXT_CONSTRUCTED, "message has no content")?;
    let signed = Tlv::read_as(explicit.value, SEQUENCE, "signed data is not a sequence")?;
    let mut fields = signed.children();
    fields.expect(INTEGER, "version of the signed data is missing")?;
    fields.expect(SET, "digest algorithms are missing")?;
    fields.expect(SEQUENCE, "signed content is missing")?;
    let mut found = Vec::new();
    if let Some(certificates) = fields.optional(CONTEXT_CONSTRUCTED)? {
        let mut certificates = certificates.children();
        while !certificates.is_empty() {
            let each = certificates.next()?;
            // Attribute certificates and the like have tags of their own (section 10.2.2).
            if each.tag == SEQUENCE {
                check_der(each.whole)?;
                found.push(each.whole.to_vec());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cms::build::build_certs_only;
    use crate::encode_pem;

    /// Sequences of an integer: what certificates say is not looked at here.
    const ONE: [u8; 5] = [0x30, 3, 2, 1, 1];
    const TWO: [u8; 5] = [0x30, 3, 2, 1, 2];

    #[test]
    fn certificates_are_found_in_every_wrapping() {
        let message = build_certs_only(&[ONE, TWO]);
        let chain = encode_pem("CERTIFICATE", &TWO) + &encode_pem("CERTIFICATE", &ONE);
        let both = vec![ONE.to_vec(), TWO.to_vec()];
        let other_way = vec![TWO.to_vec(), ONE.to_vec()];
        let spoken = format!("subject=x\n{chain}\nsubject=y\n");
        for (input, expected) in [
            (ONE.to_vec(), &vec![ONE.to_vec()]),
            (encode_pem("CERTIFICATE", &TWO).into_bytes(), &vec![TWO.to_vec()]),
            (message.clone(), &both),
            (encode_pem("PKCS7", &message).into_bytes(), &both),
            (chain.replace('\n', "\r\n").into_bytes(), &other_way),
            (chain.into_bytes(), &other_way),
            (spoken.into_bytes(), &other_way),
        ] {
            assert_eq!(certificates_in(&input).unwrap(), *expected);
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let many: Vec<[u8; 5]> = (0..33).map(|it| [0x30, 3, 2, 1, it]).collect();
        let too_large = vec![0x30; CERTIFICATE_FILE_BYTES_MAX + 1];
        for (input, code) in [
            (Vec::new(), "certificate-malformed"),
            (b"hello".to_vec(), "certificate-malformed"),
            (encode_pem("PRIVATE KEY", &ONE).into_bytes(), "certificate-malformed"),
            (build_certs_only::<Vec<u8>>(&[]), "certificate-malformed"),
            (build_certs_only(&many), "certificate-too-large"),
            (too_large, "certificate-too-large"),
            ([&ONE[..], &ONE[..]].concat(), "certificate-malformed"),
        ] {
            assert_eq!(certificates_in(&input).unwrap_err().code(), code);
        }
        assert_eq!(many_certificates_in(&build_certs_only(&many)).unwrap().len(), 33);
    }

    #[test]
    fn a_bag_holds_what_a_ca_may_have_issued_and_no_more() {
        let one = |it: usize| {
            let [.., a, b, c] = it.to_be_bytes();
            vec![0x30, 6, 2, 4, 1, a, b, c]
        };
        let mut many: Vec<Vec<u8>> = (0..CERTIFICATE_BAG_COUNT_MAX).map(one).collect();
        assert_eq!(many_certificates_in(&build_certs_only(&many)).unwrap().len(), many.len());
        many.push(TWO.to_vec());
        let refused = many_certificates_in(&build_certs_only(&many)).unwrap_err();
        assert_eq!(refused.code(), "certificate-too-large");
    }
}
