//! Algorithm identifiers of RSASSA-PSS (RFC 4055, section 3.1), whose parameters name the hash again.
//!
//! One form is written: the hash in both places, a salt as long as the hash, everything else left
//! at its default. What is read may also lack the NULL behind a hash, as RFC 4055, section 2.1, asks.

use crate::oid;
use crate::tlv::{CONTEXT_CONSTRUCTED, Cursor, INTEGER, NULL, NotDer, OID, SEQUENCE, Tlv};
use const_oid::ObjectIdentifier;
use exeunt_types::SignatureScheme;

/// RFC 8017, appendix B.2.1.
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");

// NIST's arc of hashes, which RFC 4055, section 2.1, names.
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// With SHA-256 and a salt of 32 octets.
pub(super) const PSS_SHA256: [u8; LEN] = identifier(1, 32);
/// With SHA-384 and a salt of 48 octets.
pub(super) const PSS_SHA384: [u8; LEN] = identifier(2, 48);
/// With SHA-512 and a salt of 64 octets.
pub(super) const PSS_SHA512: [u8; LEN] = identifier(3, 64);

/// Octets of such an identifier.
const LEN: usize = 67;

/// The identifier with the hash that ends in `hash` in NIST's arc.
#[rustfmt::skip]
const fn identifier(hash: u8, salt_octets: u8) -> [u8; LEN] {
    [
        0x30, 65, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 10, 0x30, 52,
        0xa0, 15, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0,
        0xa1, 28, 0x30, 26, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 8,
        0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, hash, 5, 0,
        0xa2, 3, 2, 1, salt_octets,
    ]
}

/// Why an identifier is none of the schemes here, for people.
pub(super) struct NotPss(pub(super) &'static str);

impl From<NotDer> for NotPss {
    fn from(_: NotDer) -> Self {
        Self("RSA-PSS has malformed parameters")
    }
}

/// Reads an `AlgorithmIdentifier` that is one of RSASSA-PSS.
pub(super) fn read(der: &[u8]) -> Result<SignatureScheme, NotPss> {
    let mut fields = Tlv::read_as(der, SEQUENCE, "")?.children();
    if fields.expect(OID, "")?.oid()? != oid::RSA_PSS {
        return Err(NotPss("it is not RSA-PSS"));
    }
    // Parameters that are left out, in whole or in part, mean SHA-1 and a salt of 20 octets.
    let sha1 = NotPss("RSA-PSS uses SHA-1, which is broken; use SHA-256 or longer");
    if fields.is_empty() {
        return Err(sha1);
    }
    let mut parameters = fields.expect(SEQUENCE, "")?.children();
    fields.finish("")?;
    let (Some(hash), Some(mask)) =
        (parameters.optional(CONTEXT_CONSTRUCTED)?, parameters.optional(CONTEXT_CONSTRUCTED | 1)?)
    else {
        return Err(sha1);
    };
    let (scheme, salt_octets) = match read_hash(hash.children())? {
        SHA256 => (SignatureScheme::RsaPssSha256, 32),
        SHA384 => (SignatureScheme::RsaPssSha384, 48),
        SHA512 => (SignatureScheme::RsaPssSha512, 64),
        _ => return Err(NotPss("RSA-PSS uses a hash other than SHA-256, SHA-384 and SHA-512")),
    };
    let mut generator = mask.children();
    let mut mask = generator.expect(SEQUENCE, "")?.children();
    generator.finish("")?;
    if mask.expect(OID, "")?.oid()? != MGF1 || read_hash(mask)? != read_hash(hash.children())? {
        return Err(NotPss("RSA-PSS uses a mask other than MGF1 with the same hash"));
    }
    let salt = match parameters.optional(CONTEXT_CONSTRUCTED | 2)? {
        None => &[20][..],
        Some(salt) => {
            let mut salt = salt.children();
            let octets = salt.expect(INTEGER, "")?.value;
            salt.finish("")?;
            octets
        }
    };
    if salt != [salt_octets] {
        return Err(NotPss(
            "RSA-PSS uses a salt that is not as long as its hash; with openssl, add -sigopt \
             rsa_pss_saltlen:digest",
        ));
    }
    parameters.finish("RSA-PSS has a trailer other than the usual one")?;
    Ok(scheme)
}

/// The one `AlgorithmIdentifier` of a hash that is left in `fields`.
fn read_hash(mut fields: Cursor<'_>) -> Result<ObjectIdentifier, NotDer> {
    let mut hash = fields.expect(SEQUENCE, "")?.children();
    fields.finish("")?;
    let oid = hash.expect(OID, "")?.oid()?;
    if let Some(null) = hash.optional(NULL)?
        && !null.value.is_empty()
    {
        return Err(NotDer("NULL has contents"));
    }
    hash.finish("")?;
    Ok(oid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::Writer;

    /// An identifier with these pieces; a hash of `None` is left out.
    fn written(hash: Option<&str>, mask: Option<&str>, null: &[u8], salt: Option<u8>) -> Vec<u8> {
        let mut writer = Writer::default();
        let hash_of = |it: &mut Writer, dotted: &str| {
            it.nest(SEQUENCE, |it| {
                it.oid(&ObjectIdentifier::new_unwrap(dotted));
                it.raw(null);
            });
        };
        writer.nest(SEQUENCE, |it| {
            it.oid(&oid::RSA_PSS);
            it.nest(SEQUENCE, |it| {
                if let Some(hash) = hash {
                    it.nest(CONTEXT_CONSTRUCTED, |it| hash_of(it, hash));
                }
                if let Some(mask) = mask {
                    it.nest(CONTEXT_CONSTRUCTED | 1, |it| {
                        it.nest(SEQUENCE, |it| {
                            it.oid(&MGF1);
                            hash_of(it, mask);
                        });
                    });
                }
                if let Some(salt) = salt {
                    it.nest(CONTEXT_CONSTRUCTED | 2, |it| it.element(INTEGER, &[salt]));
                }
            });
        });
        writer.into_bytes()
    }

    const SHA1: &str = "1.3.14.3.2.26";
    const SHA2_256: &str = "2.16.840.1.101.3.4.2.1";
    const SHA2_384: &str = "2.16.840.1.101.3.4.2.2";

    #[test]
    fn what_is_written_has_the_pieces_of_the_standard() {
        assert_eq!(written(Some(SHA2_256), Some(SHA2_256), &[5, 0], Some(32)), PSS_SHA256);
        assert_eq!(written(Some(SHA2_384), Some(SHA2_384), &[5, 0], Some(48)), PSS_SHA384);
    }

    #[test]
    fn a_hash_may_lack_its_null() {
        let der = written(Some(SHA2_256), Some(SHA2_256), &[], Some(32));
        assert!(matches!(read(&der), Ok(SignatureScheme::RsaPssSha256)));
    }

    #[test]
    fn other_parameters_are_explained() {
        let (sha256, sha384) = (Some(SHA2_256), Some(SHA2_384));
        for (der, word) in [
            (written(None, None, &[], None), "SHA-1"),
            (written(sha256, None, &[5, 0], Some(32)), "SHA-1"),
            (written(Some(SHA1), Some(SHA1), &[5, 0], Some(20)), "a hash other than"),
            (written(sha256, sha384, &[5, 0], Some(32)), "a mask other than"),
            (written(sha256, sha256, &[5, 0], Some(20)), "a salt"),
            (written(sha256, sha256, &[5, 0], None), "a salt"),
            (written(sha256, sha256, &[5, 1, 0], Some(32)), "malformed"),
        ] {
            let why = read(&der).err().map(|NotPss(why)| why).unwrap_or_default();
            assert!(why.contains(word), "{why:?} has no {word:?}");
        }
    }
}
