//! Encrypted messages (CMS `EnvelopedData`, RFC 5652, section 6): taking them apart and putting them
//! together. Nothing is encrypted or decrypted here: keys and contents go in and out as octets.
//!
//! Recipients are those with an RSA key (`KeyTransRecipientInfo`); the content is under AES in cipher
//! block chaining. Others are refused by name, so that the sender hears why.

use super::ber::to_der;
use super::signer::write_identifier;
use super::{CmsError, DATA, INDEFINITE_LENGTH, SignerIdentifier};
use crate::oid;
use crate::pem::decode_pem_or_der;
use crate::tlv::{
    CONTEXT_CONSTRUCTED, CONTEXT_PRIMITIVE, Cursor, INTEGER, NULL, NotDer, OCTET_STRING, OID,
    SEQUENCE, SET, Tlv,
};
use crate::write::Writer;
use const_oid::ObjectIdentifier;
use exeunt_types::{ContentCipher, KeyTransport};

/// Longest encrypted message that is read or kept, in octets: the original's column `RawArchivedKey`. A
/// private key of RSA with 8192 bits takes a tenth of it.
pub const ENVELOPE_BYTES_MAX: usize = 65_536;
/// Most recipients of one message.
pub const RECIPIENT_COUNT_MAX: usize = 16;
/// Octets of a block of AES, and of the value that begins a chain of them.
const BLOCK_OCTETS: usize = 16;

/// `id-envelopedData` (RFC 5652, section 6.1).
const ENVELOPED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.3");
/// `id-RSAES-OAEP` and `id-mgf1` (RFC 8017, appendix C).
const RSA_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const PSPECIFIED: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.9");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
/// `id-aes128-CBC` and its kin (RFC 3565, section 4.1).
const CIPHERS: [(ObjectIdentifier, ContentCipher); 3] = [
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"), ContentCipher::Aes128Cbc),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"), ContentCipher::Aes192Cbc),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42"), ContentCipher::Aes256Cbc),
];
/// What else a client may use, by its name for people.
const OTHER_CIPHERS: [(ObjectIdentifier, &str); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.3.7"), "Triple DES"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.3.2"), "RC2"),
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.7"), "DES"),
];

/// PEM labels of a message.
const LABELS: [&str; 2] = ["CMS", "PKCS7"];

/// Why an encrypted message cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Longer than [`ENVELOPE_BYTES_MAX`].
    #[error("encrypted message is larger than 65536 octets")]
    TooLarge,
    /// Some other kind of message.
    #[error("message of type {content_type} is not one of encrypted data")]
    ContentType {
        /// Its type.
        content_type: ObjectIdentifier,
    },
    /// Not the structure of RFC 5652, not DER, or text that is no PEM.
    #[error("encrypted message is malformed: {what}")]
    Malformed {
        /// Which rule it broke.
        what: &'static str,
    },
    /// More than [`RECIPIENT_COUNT_MAX`] recipients.
    #[error("encrypted message has more than {RECIPIENT_COUNT_MAX} recipients")]
    TooMany,
    /// An algorithm that is broken or not known here.
    #[error("{what} is not supported in encrypted messages")]
    Unsupported {
        /// The algorithm, as a noun phrase.
        what: String,
    },
    /// Nobody with an RSA key is among the recipients.
    #[error("encrypted message has no recipient with an RSA key")]
    NoRecipient,
}

impl EnvelopeError {
    /// Stable code for logs and answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge => "envelope-too-large",
            Self::ContentType { .. } => "envelope-type",
            Self::Malformed { .. } => "envelope-malformed",
            Self::TooMany => "envelope-too-many-recipients",
            Self::Unsupported { .. } => "envelope-unsupported",
            Self::NoRecipient => "envelope-no-recipient",
        }
    }
}

impl From<NotDer> for EnvelopeError {
    fn from(NotDer(what): NotDer) -> Self {
        Self::Malformed { what }
    }
}

/// Somebody who can open a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// How the message names the recipient's certificate.
    pub certificate: SignerIdentifier,
    /// How the content's key is encrypted.
    pub transport: KeyTransport,
    /// The content's key, encrypted.
    pub encrypted_key: Vec<u8>,
}

/// An encrypted message, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Those with RSA keys, in the order of the message; at least one.
    pub recipients: Vec<Recipient>,
    /// How the content is encrypted.
    pub cipher: ContentCipher,
    /// What begins the chain of blocks.
    pub iv: [u8; BLOCK_OCTETS],
    /// The encrypted content: whole blocks, at least one.
    pub content: Vec<u8>,
}

impl Envelope {
    /// Puts the message together: a `ContentInfo` around `EnvelopedData`, DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let Self { recipients, cipher, iv, content } = self;
        let by_key_identifier =
            |it: &Recipient| matches!(it.certificate, SignerIdentifier::KeyIdentifier(_));
        let mut infos: Vec<Vec<u8>> = recipients.iter().map(write_recipient).collect();
        infos.sort();
        // RFC 5652, section 6.1: 0, where all recipients are of version 0.
        let version = if recipients.iter().any(by_key_identifier) { 2 } else { 0 };
        let mut writer = Writer::default();
        writer.nest(SEQUENCE, |it| {
            it.oid(&ENVELOPED_DATA);
            it.nest(CONTEXT_CONSTRUCTED, |it| {
                it.nest(SEQUENCE, |it| {
                    it.integer_u8(version);
                    it.element(SET, &infos.concat());
                    it.nest(SEQUENCE, |it| {
                        it.oid(&DATA);
                        it.nest(SEQUENCE, |it| {
                            it.oid(&cipher_oid(*cipher));
                            it.octet_string(iv);
                        });
                        it.element(CONTEXT_PRIMITIVE, content);
                    });
                });
            });
        });
        writer.into_bytes()
    }
}

/// Reads an encrypted message, DER or PEM; BER where lengths and strings are concerned.
///
/// # Errors
///
/// [`EnvelopeError`]; the message says which rule it broke.
pub fn parse_envelope(input: &[u8]) -> Result<Envelope, EnvelopeError> {
    // PEM is a third longer, and may have text before it.
    if 2 * ENVELOPE_BYTES_MAX < input.len() {
        return Err(EnvelopeError::TooLarge);
    }
    let der = decode_pem_or_der(input, &LABELS)
        .map_err(|_| EnvelopeError::Malformed { what: "it is neither DER nor PEM" })?;
    if ENVELOPE_BYTES_MAX < der.len() {
        return Err(EnvelopeError::TooLarge);
    }
    let der = if der.get(1) == Some(&INDEFINITE_LENGTH) { to_der(&der)?.into() } else { der };
    let mut info = Tlv::read_as(&der, SEQUENCE, "message is not a sequence")?.children();
    let content_type = info.expect(OID, "message does not say what it is")?.oid()?;
    if content_type != ENVELOPED_DATA {
        return Err(EnvelopeError::ContentType { content_type });
    }
    let explicit = info.expect(CONTEXT_CONSTRUCTED, "message has no content")?;
    info.finish("something follows the message")?;
    let data = Tlv::read_as(explicit.value, SEQUENCE, "encrypted data is not a sequence")?;
    let mut fields = data.children();
    let version = fields.expect(INTEGER, "version of the encrypted data is missing")?;
    // RFC 5652, section 6.1: 0, 2, 3 or 4.
    if !matches!(version.value, [0 | 2 | 3 | 4]) {
        return Err(NotDer("encrypted data has an unknown version").into());
    }
    // Certificates of the sender may come along; nobody asks them.
    fields.optional(CONTEXT_CONSTRUCTED)?;
    let recipients = read_recipients(fields.expect(SET, "recipients are missing")?.children())?;
    let mut encrypted = fields.expect(SEQUENCE, "encrypted content is missing")?.children();
    fields.optional(CONTEXT_CONSTRUCTED + 1)?;
    fields.finish("something follows the encrypted content")?;
    encrypted.expect(OID, "encrypted content has no type")?.oid()?;
    let algorithm = encrypted.expect(SEQUENCE, "encrypted content has no algorithm")?;
    let (cipher, iv) = read_cipher(algorithm.children())?;
    let content = read_content(&mut encrypted)?;
    encrypted.finish("something follows the encrypted octets")?;
    if content.is_empty() || !content.len().is_multiple_of(BLOCK_OCTETS) {
        return Err(NotDer("encrypted content is not whole blocks").into());
    }
    Ok(Envelope { recipients, cipher, iv, content })
}

/// `[0] IMPLICIT OCTET STRING`; in pieces where the message was BER.
fn read_content(encrypted: &mut Cursor<'_>) -> Result<Vec<u8>, EnvelopeError> {
    if let Some(whole) = encrypted.optional(CONTEXT_PRIMITIVE)? {
        return Ok(whole.value.to_vec());
    }
    let pieces =
        encrypted.expect(CONTEXT_CONSTRUCTED, "encrypted content is not in the message")?;
    let (mut pieces, mut content) = (pieces.children(), Vec::new());
    while !pieces.is_empty() {
        let piece = pieces.expect(OCTET_STRING, "a piece of the content is not a string")?;
        content.extend_from_slice(piece.value);
    }
    Ok(content)
}

fn read_recipients(mut infos: Cursor<'_>) -> Result<Vec<Recipient>, EnvelopeError> {
    let (mut recipients, mut count) = (Vec::new(), 0);
    while !infos.is_empty() {
        count += 1;
        if RECIPIENT_COUNT_MAX < count {
            return Err(EnvelopeError::TooMany);
        }
        let info = infos.next()?;
        // Those who agree on a key, have one already or know a password are somebody else.
        if info.tag == SEQUENCE {
            recipients.push(read_recipient(info.children())?);
        }
    }
    if recipients.is_empty() { Err(EnvelopeError::NoRecipient) } else { Ok(recipients) }
}

fn read_recipient(mut fields: Cursor<'_>) -> Result<Recipient, EnvelopeError> {
    let version = fields.expect(INTEGER, "version of a recipient is missing")?;
    if !matches!(version.value, [0 | 2]) {
        return Err(NotDer("a recipient has an unknown version").into());
    }
    let named = fields.next()?;
    if !matches!(named.tag, SEQUENCE | CONTEXT_PRIMITIVE) {
        return Err(NotDer("a recipient is not named").into());
    }
    let certificate = SignerIdentifier::read(&named).map_err(|err| match err {
        CmsError::Malformed(what) => EnvelopeError::Malformed { what },
        _ => EnvelopeError::Malformed { what: "a recipient is not named" },
    })?;
    let algorithm = fields.expect(SEQUENCE, "a recipient has no algorithm")?;
    let transport = read_transport(algorithm.children())?;
    let key = fields.expect(OCTET_STRING, "a recipient has no encrypted key")?;
    fields.finish("something follows the key of a recipient")?;
    Ok(Recipient { certificate, transport, encrypted_key: key.value.to_vec() })
}

fn read_transport(mut algorithm: Cursor<'_>) -> Result<KeyTransport, EnvelopeError> {
    let kind = algorithm.expect(OID, "algorithm of a recipient has no type")?.oid()?;
    match kind {
        oid::RSA_ENCRYPTION => {
            algorithm.optional(NULL)?;
            algorithm.finish("algorithm of a recipient has parameters where none are allowed")?;
            Ok(KeyTransport::RsaPkcs1)
        }
        RSA_OAEP => {
            let parameters = algorithm.optional(SEQUENCE)?;
            algorithm.finish("something follows the parameters of a recipient's algorithm")?;
            parameters.map_or(Ok(KeyTransport::RsaOaepSha1), |it| read_oaep(it.children()))
        }
        other => Err(EnvelopeError::Unsupported { what: format!("the key transport {other}") }),
    }
}

/// `RSAES-OAEP-params` (RFC 8017, appendix A.2.1).
fn read_oaep(mut fields: Cursor<'_>) -> Result<KeyTransport, EnvelopeError> {
    let unsupported = |what: &str| EnvelopeError::Unsupported { what: what.to_owned() };
    let hash = match fields.optional(CONTEXT_CONSTRUCTED)? {
        None => oid::SHA1,
        Some(it) => read_hash(Tlv::read_as(it.value, SEQUENCE, "hash of OAEP is no algorithm")?)?,
    };
    let mask = match fields.optional(CONTEXT_CONSTRUCTED + 1)? {
        None => oid::SHA1,
        Some(it) => {
            let mut mask =
                Tlv::read_as(it.value, SEQUENCE, "mask of OAEP is no algorithm")?.children();
            if mask.expect(OID, "mask of OAEP has no type")?.oid()? != MGF1 {
                return Err(unsupported("OAEP with another mask than MGF1"));
            }
            let hash = mask.expect(SEQUENCE, "mask of OAEP has no hash")?;
            mask.finish("something follows the hash of a mask")?;
            read_hash(hash)?
        }
    };
    if let Some(source) = fields.optional(CONTEXT_CONSTRUCTED + 2)? {
        let mut source =
            Tlv::read_as(source.value, SEQUENCE, "label of OAEP is no algorithm")?.children();
        let kind = source.expect(OID, "label of OAEP has no type")?.oid()?;
        let label = source.expect(OCTET_STRING, "label of OAEP is not a string")?;
        if kind != PSPECIFIED || !label.value.is_empty() {
            return Err(unsupported("OAEP with a label"));
        }
    }
    fields.finish("OAEP has unknown parameters")?;
    match hash {
        _ if hash != mask => Err(unsupported("OAEP with two hashes")),
        oid::SHA1 => Ok(KeyTransport::RsaOaepSha1),
        oid::SHA256 => Ok(KeyTransport::RsaOaepSha256),
        SHA384 => Ok(KeyTransport::RsaOaepSha384),
        SHA512 => Ok(KeyTransport::RsaOaepSha512),
        other => Err(EnvelopeError::Unsupported { what: format!("OAEP with the hash {other}") }),
    }
}

fn read_hash(identifier: Tlv<'_>) -> Result<ObjectIdentifier, NotDer> {
    let mut fields = identifier.children();
    let kind = fields.expect(OID, "hash of OAEP has no type")?.oid()?;
    fields.optional(NULL)?;
    fields.finish("hash of OAEP has parameters")?;
    Ok(kind)
}

fn read_cipher(
    mut algorithm: Cursor<'_>,
) -> Result<(ContentCipher, [u8; BLOCK_OCTETS]), EnvelopeError> {
    let kind = algorithm.expect(OID, "algorithm of the content has no type")?.oid()?;
    let Some((_, cipher)) = CIPHERS.into_iter().find(|(it, _)| *it == kind) else {
        let named = OTHER_CIPHERS.into_iter().find(|(it, _)| *it == kind);
        let what = named.map_or_else(|| format!("the cipher {kind}"), |(_, it)| it.to_owned());
        return Err(EnvelopeError::Unsupported { what });
    };
    let iv = algorithm.expect(OCTET_STRING, "initial value of the content is missing")?;
    algorithm.finish("something follows the initial value of the content")?;
    let iv = iv.value.try_into().map_err(|_| NotDer("initial value is not 16 octets long"))?;
    Ok((cipher, iv))
}

fn cipher_oid(cipher: ContentCipher) -> ObjectIdentifier {
    let found = CIPHERS.into_iter().find(|(_, it)| *it == cipher);
    found.map(|(oid, _)| oid).expect("BUG: every cipher has an identifier")
}

fn write_recipient(recipient: &Recipient) -> Vec<u8> {
    let Recipient { certificate, transport, encrypted_key } = recipient;
    let mut writer = Writer::default();
    writer.nest(SEQUENCE, |it| {
        // RFC 5652, section 6.2.1.
        it.integer_u8(match certificate {
            SignerIdentifier::IssuerAndSerial { .. } => 0,
            SignerIdentifier::KeyIdentifier(_) => 2,
        });
        write_identifier(it, certificate);
        it.nest(SEQUENCE, |it| write_transport(it, *transport));
        it.octet_string(encrypted_key);
    });
    writer.into_bytes()
}

fn write_transport(writer: &mut Writer, transport: KeyTransport) {
    let hash = match transport {
        KeyTransport::RsaPkcs1 => {
            writer.oid(&oid::RSA_ENCRYPTION);
            return writer.element(NULL, &[]);
        }
        KeyTransport::RsaOaepSha1 => None,
        KeyTransport::RsaOaepSha256 => Some(oid::SHA256),
        KeyTransport::RsaOaepSha384 => Some(SHA384),
        KeyTransport::RsaOaepSha512 => Some(SHA512),
    };
    writer.oid(&RSA_OAEP);
    writer.nest(SEQUENCE, |it| {
        // SHA-1 is the default, and DER leaves defaults out.
        let Some(hash) = hash else { return };
        let identifier = |it: &mut Writer| {
            it.nest(SEQUENCE, |it| {
                it.oid(&hash);
                it.element(NULL, &[]);
            });
        };
        it.nest(CONTEXT_CONSTRUCTED, identifier);
        it.nest(CONTEXT_CONSTRUCTED + 1, |it| {
            it.nest(SEQUENCE, |it| {
                it.oid(&MGF1);
                identifier(it);
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(transport: KeyTransport, cipher: ContentCipher) -> Envelope {
        let recipient = |octet: u8| Recipient {
            certificate: SignerIdentifier::KeyIdentifier(vec![octet; 20]),
            transport,
            encrypted_key: vec![octet; 256],
        };
        Envelope {
            recipients: vec![recipient(1), recipient(2)],
            cipher,
            iv: [7; 16],
            content: vec![9; 48],
        }
    }

    #[test]
    fn what_was_put_together_comes_apart_again() {
        for transport in [
            KeyTransport::RsaPkcs1,
            KeyTransport::RsaOaepSha1,
            KeyTransport::RsaOaepSha256,
            KeyTransport::RsaOaepSha384,
            KeyTransport::RsaOaepSha512,
        ] {
            for (_, cipher) in CIPHERS {
                let made = envelope(transport, cipher);
                assert_eq!(parse_envelope(&made.to_der()), Ok(made));
            }
        }
    }

    #[test]
    fn whatever_is_cut_off_or_changed_in_its_frame_is_refused() {
        let der = envelope(KeyTransport::RsaOaepSha256, ContentCipher::Aes256Cbc).to_der();
        for end in 0..der.len() {
            assert!(parse_envelope(&der[..end]).is_err(), "{end}");
        }
        let code = |der: &[u8]| parse_envelope(der).unwrap_err().code();
        assert_eq!(code(&[der.as_slice(), &[0]].concat()), "envelope-malformed");
        assert_eq!(code(&vec![0x30; ENVELOPE_BYTES_MAX + 1]), "envelope-too-large");
        let blocks = Envelope { content: vec![9; 47], ..parse_envelope(&der).unwrap() };
        assert_eq!(code(&blocks.to_der()), "envelope-malformed");
        let nobody = Envelope { recipients: Vec::new(), ..parse_envelope(&der).unwrap() };
        assert_eq!(code(&nobody.to_der()), "envelope-no-recipient");
        let one = parse_envelope(&der).unwrap().recipients.remove(0);
        let crowd = Envelope {
            recipients: vec![one; RECIPIENT_COUNT_MAX + 1],
            ..parse_envelope(&der).unwrap()
        };
        assert_eq!(code(&crowd.to_der()), "envelope-too-many-recipients");
    }

    #[test]
    fn a_cipher_that_is_not_taken_is_named() {
        let der = envelope(KeyTransport::RsaPkcs1, ContentCipher::Aes256Cbc).to_der();
        let aes = cipher_oid(ContentCipher::Aes256Cbc);
        let at = der.windows(aes.as_bytes().len()).position(|it| it == aes.as_bytes()).unwrap();
        let mut other = der.clone();
        // `id-aes256-GCM` (RFC 5084).
        other[at + aes.as_bytes().len() - 1] = 46;
        let err = parse_envelope(&other).unwrap_err();
        assert_eq!(err.code(), "envelope-unsupported");
        assert!(err.to_string().contains("2.16.840.1.101.3.4.1.46"), "{err}");
    }
}
