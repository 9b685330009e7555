//! Requests made by hand, octet by octet, signed with a real key: what openssl would not make.

use exeunt_keys::{SigningKey, SoftwareKey};
use exeunt_types::KeyAlgorithm;
use exeunt_x509::Name;

/// `ecdsa-with-SHA256` (RFC 5758, section 3.2).
const ECDSA_WITH_SHA256: [u8; 12] =
    [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// `extensionRequest` (RFC 2985, section 5.4.2).
const EXTENSION_REQUEST: [u8; 11] =
    [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// `szOID_ENROLLMENT_NAME_VALUE_PAIR` (MS-WCCE, section 2.2.2.7.10).
const NAME_VALUE_PAIR: [u8; 12] =
    [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x0d, 0x02, 0x01];
const SUBJECT_ALTERNATIVE_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];

/// An element of DER.
pub fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let len = contents.len();
    let octets: Vec<u8> = len.to_be_bytes().into_iter().skip_while(|it| *it == 0).collect();
    let mut element = vec![tag];
    if len < 0x80 {
        element.push(u8::try_from(len).unwrap());
    } else {
        element.push(0x80 | u8::try_from(octets.len()).unwrap());
        element.extend(octets);
    }
    element.extend(contents);
    element
}

/// Octets that become a string, valid or not.
#[derive(Clone, Debug)]
pub struct Text(pub u8, pub Vec<u8>);

impl From<&str> for Text {
    /// A `BMPString`, as Windows writes it.
    fn from(text: &str) -> Self {
        Self(0x1e, text.encode_utf16().flat_map(u16::to_be_bytes).collect())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// What goes into a request.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// DER of the subject.
    pub subject: Vec<u8>,
    /// Alternative names: tag and contents.
    pub names: Vec<(u8, Vec<u8>)>,
    /// Enrollment attributes, name and value.
    pub pairs: Vec<(Text, Text)>,
    /// Whether they stand in one attribute.
    pub pairs_together: bool,
    /// More attributes, DER.
    pub attributes: Vec<Vec<u8>>,
}

impl Wanted {
    /// A subject and nothing else.
    pub fn subject(text: &str) -> Self {
        Self {
            subject: Name::parse(text).unwrap().der().to_vec(),
            names: Vec::new(),
            pairs: Vec::new(),
            pairs_together: false,
            attributes: Vec::new(),
        }
    }
}

/// Somebody with a P-256 key.
pub struct Requester(SoftwareKey);

impl Requester {
    pub fn new() -> Self {
        Self(SoftwareKey::generate(KeyAlgorithm::EcdsaP256).unwrap())
    }

    /// The part of a request that is signed.
    pub fn info(&self, wanted: &Wanted) -> Vec<u8> {
        let mut attributes = wanted.attributes.clone();
        if !wanted.names.is_empty() {
            let names: Vec<u8> =
                wanted.names.iter().flat_map(|(tag, contents)| der(*tag, contents)).collect();
            let value = der(0x04, &der(0x30, &names));
            let extension = der(0x30, &[&SUBJECT_ALTERNATIVE_NAME[..], &value].concat());
            let values = der(0x31, &der(0x30, &extension));
            attributes.push(der(0x30, &[&EXTENSION_REQUEST[..], &values].concat()));
        }
        let pairs: Vec<Vec<u8>> = wanted
            .pairs
            .iter()
            .map(|(name, value)| {
                der(0x30, &[der(name.0, &name.1), der(value.0, &value.1)].concat())
            })
            .collect();
        if wanted.pairs_together {
            let mut sorted = pairs;
            sorted.sort_unstable();
            let values = der(0x31, &sorted.concat());
            attributes.push(der(0x30, &[&NAME_VALUE_PAIR[..], &values].concat()));
        } else {
            attributes.extend(
                pairs
                    .iter()
                    .map(|pair| der(0x30, &[&NAME_VALUE_PAIR[..], &der(0x31, pair)].concat())),
            );
        }
        // DER wants a SET OF in ascending order, which may not be the order of the pairs.
        attributes.sort_unstable();
        let parts = [
            vec![0x02, 0x01, 0x00],
            wanted.subject.clone(),
            self.0.public_key_der().to_vec(),
            der(0xa0, &attributes.concat()),
        ];
        der(0x30, &parts.concat())
    }

    pub fn signed(&self, wanted: &Wanted) -> Vec<u8> {
        self.sign_info(&self.info(wanted))
    }

    /// A request around any octets.
    pub fn sign_info(&self, info: &[u8]) -> Vec<u8> {
        let signature = [vec![0], self.0.sign(info).unwrap()].concat();
        let parts = [info.to_vec(), ECDSA_WITH_SHA256.to_vec(), der(0x03, &signature)];
        der(0x30, &parts.concat())
    }
}
