//! `PKIData` (RFC 5272, section 3.2.1): the controls and the one request of a full PKI request.

use super::SubmissionError;
use crate::extension::{EXTENSION_COUNT_MAX, Extension, RawExtension};
use crate::oid;
use crate::request::{check_pair, read_pair};
use crate::tlv::{
    CONTEXT_CONSTRUCTED, Cursor, INTEGER, NotDer, OCTET_STRING, OID, SEQUENCE, SET, Tlv, check_der,
};
use const_oid::ObjectIdentifier;

/// Most controls in one message.
pub const CONTROL_COUNT_MAX: usize = 64;
/// Most enrolment attributes in the controls of one message.
pub const LAYER_ATTRIBUTE_COUNT_MAX: usize = 64;
/// Longest nonce, transaction number or returned data, in octets. RFC 5272 sets no limit, and all of
/// it has to be kept and sent back.
pub const ECHO_BYTES_MAX: usize = 1024;

/// Microsoft's control that adds attributes to a request.
pub(super) const ADD_ATTRIBUTES: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.10.10.1");
/// Microsoft's attribute that holds the certificate which is renewed (MS-WCCE, section 2.2.2.7).
pub(super) const RENEWAL_CERTIFICATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.13.1");
/// What a client tells of itself (MS-WCCE, section 2.2.2.7): provider, system, program. It asks for
/// nothing.
const CLIENT_FACTS: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.13.2.2"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.13.2.3"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.21.20"),
];

/// `id-cmc`: the arc of all controls of RFC 5272 and RFC 6402.
const CONTROL_ARC: &str = "1.3.6.1.5.5.7.7.";
/// Last arcs and names of those controls.
#[rustfmt::skip]
const CONTROL_NAMES: [(u8, &str); 33] = [
    (1, "statusInfo"), (2, "identification"), (3, "identityProof"), (4, "dataReturn"),
    (5, "transactionId"), (6, "senderNonce"), (7, "recipientNonce"), (8, "addExtensions"),
    (9, "encryptedPOP"), (10, "decryptedPOP"), (11, "lraPOPWitness"), (15, "getCert"),
    (16, "getCRL"), (17, "revokeRequest"), (18, "regInfo"), (19, "responseInfo"),
    (21, "queryPending"), (22, "popLinkRandom"), (23, "popLinkWitness"),
    (24, "confirmCertAcceptance"), (25, "statusInfoV2"), (26, "trustedAnchors"), (27, "authData"),
    (28, "batchRequests"), (29, "batchResponses"), (30, "publishCert"), (31, "modCertTemplate"),
    (32, "controlProcessed"), (33, "popLinkWitnessV2"), (34, "identityProofV2"),
    (35, "raIdentityWitness"), (36, "changeSubjectName"), (37, "responseBody"),
];

/// Name of a control in RFC 5272, if it is one of those.
fn control_name(oid: &ObjectIdentifier) -> Option<&'static str> {
    let dotted = oid.to_string();
    let last: u8 = dotted.strip_prefix(CONTROL_ARC)?.parse().ok()?;
    CONTROL_NAMES.iter().find_map(|(arc, name)| (*arc == last).then_some(*name))
}

/// The name for people: from RFC 5272 where it has one.
fn shown(oid: &ObjectIdentifier) -> String {
    control_name(oid).map_or_else(|| oid.to_string(), str::to_owned)
}

/// What has to go back in an answer.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// Contents of an INTEGER.
    pub(super) transaction_id: Option<Vec<u8>>,
    pub(super) sender_nonce: Option<Vec<u8>>,
    pub(super) data_return: Option<Vec<u8>>,
}

/// What the controls of one message say.
#[derive(Debug, Default)]
pub(super) struct Controls {
    pub(super) echo: Echo,
    pub(super) enrollment_attributes: Vec<(String, String)>,
    pub(super) extensions: Vec<Extension>,
    pub(super) renewal_certificate: Option<Vec<u8>>,
    /// Hash of the encrypted private key that came along.
    pub(super) encrypted_key_hash: Option<Vec<u8>>,
}

/// The one thing in the message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body<'a> {
    /// A PKCS #10 request.
    Request(&'a [u8]),
    /// Another message around one.
    Message(&'a [u8]),
}

#[derive(Debug)]
pub(super) struct PkiData<'a> {
    pub(super) controls: Controls,
    /// Number of the body.
    pub(super) body_part: u32,
    pub(super) body: Body<'a>,
}

impl<'a> PkiData<'a> {
    pub(super) fn read(content: &'a [u8]) -> Result<Self, SubmissionError> {
        check_frame(content)?;
        let mut data = Tlv::read_as(content, SEQUENCE, "PKIData is not a sequence")?.children();
        let mut controls = data.expect(SEQUENCE, "controls are missing")?.children();
        let requests = data.expect(SEQUENCE, "requests are missing")?.children();
        let messages = data.expect(SEQUENCE, "nested messages are missing")?.children();
        let others = data.expect(SEQUENCE, "other messages are missing")?;
        data.finish("something follows the other messages")?;
        if !others.value.is_empty() {
            return Err(SubmissionError::Malformed { what: "it holds other messages" });
        }

        // The body first: controls refer to it by its number.
        let mut ids = Vec::new();
        let (body_part, body) = read_body(requests, messages)?;
        ids.push(body_part);
        let mut found = Controls::default();
        let mut seen = Vec::new();
        while !controls.is_empty() {
            if seen.len() == CONTROL_COUNT_MAX {
                let (what, max) = ("controls", CONTROL_COUNT_MAX);
                return Err(SubmissionError::TooMany { what, max });
            }
            let control = controls.expect(SEQUENCE, "a control is not a sequence")?;
            let mut fields = control.children();
            let id = read_body_part(fields.next()?)?;
            let oid = fields.expect(OID, "a control has no type")?.oid()?;
            let values = fields.expect(SET, "a control has no values")?.children();
            fields.finish("something follows the values of a control")?;
            if id == 0 || ids.contains(&id) {
                let what = "two parts of it have the same number, or one has the number 0";
                return Err(SubmissionError::Malformed { what });
            }
            ids.push(id);
            let control = Control { oid, body_part, nested: matches!(body, Body::Message(_)) };
            control.apply(values, seen.contains(&oid), &mut found)?;
            seen.push(oid);
        }
        Ok(Self { controls: found, body_part, body })
    }
}

/// Everything outside of the nested messages must be DER. Those may keep their own order of sets,
/// and are checked when they are read.
fn check_frame(content: &[u8]) -> Result<(), NotDer> {
    let mut data = Tlv::read_as(content, SEQUENCE, "PKIData is not a sequence")?.children();
    let mut place = 0;
    while !data.is_empty() {
        let part = data.next()?;
        if place != 2 {
            check_der(part.whole)?;
        }
        place += 1;
    }
    Ok(())
}

/// The one request: either here or in a nested message.
fn read_body<'a>(
    mut requests: Cursor<'a>,
    mut messages: Cursor<'a>,
) -> Result<(u32, Body<'a>), SubmissionError> {
    let count = count(requests)? + count(messages)?;
    if count != 1 {
        return Err(SubmissionError::RequestCount { count });
    }
    if messages.is_empty() {
        let request = requests.next()?;
        let mut fields = request.children();
        return match request.tag.checked_sub(CONTEXT_CONSTRUCTED) {
            Some(0) => {
                let id = read_body_part(fields.next()?)?;
                let der = fields.expect(SEQUENCE, "a tagged request is not a request")?.whole;
                fields.finish("something follows a tagged request")?;
                Ok((id, Body::Request(der)))
            }
            Some(1) => Err(SubmissionError::RequestKind { kind: "CRMF".to_owned() }),
            Some(2) => {
                read_body_part(fields.next()?)?;
                let kind = fields.expect(OID, "another kind of request has no type")?.oid()?;
                Err(SubmissionError::RequestKind { kind: kind.to_string() })
            }
            _ => Err(SubmissionError::Malformed { what: "a request is of no known kind" }),
        };
    }
    let message = messages.expect(SEQUENCE, "a nested message is not a sequence")?;
    let mut fields = message.children();
    let id = read_body_part(fields.next()?)?;
    let der = fields.expect(SEQUENCE, "a nested message is not a message")?.whole;
    fields.finish("something follows a nested message")?;
    Ok((id, Body::Message(der)))
}

fn count(mut list: Cursor<'_>) -> Result<usize, NotDer> {
    let mut count = 0;
    while !list.is_empty() {
        list.next()?;
        count += 1;
    }
    Ok(count)
}

/// `BodyPartID`: 0 to 4294967295. Checked here as well as in the frame, which leaves the numbers of
/// nested messages out.
fn read_body_part(tlv: Tlv<'_>) -> Result<u32, NotDer> {
    const INVALID: NotDer = NotDer("number of a part is not 0 to 4294967295");
    check_der(tlv.whole)?;
    let magnitude = match tlv.value {
        _ if tlv.tag != INTEGER => return Err(INVALID),
        [] | [0x80..=0xff, ..] => return Err(INVALID),
        [0, magnitude @ ..] | magnitude => magnitude,
    };
    if 4 < magnitude.len() {
        return Err(INVALID);
    }
    Ok(magnitude.iter().fold(0, |number, &octet| number << 8 | u32::from(octet)))
}

/// One control, and the part of the message that it can refer to.
struct Control {
    oid: ObjectIdentifier,
    body_part: u32,
    nested: bool,
}

impl Control {
    fn apply(
        &self,
        mut values: Cursor<'_>,
        again: bool,
        found: &mut Controls,
    ) -> Result<(), SubmissionError> {
        let invalid = |NotDer(what)| self.invalid(what);
        if self.oid == oid::ENROLLMENT_NAME_VALUE_PAIR {
            return keep_pairs(values, found).map_err(|err| self.explain(err));
        }
        if self.oid == ADD_ATTRIBUTES {
            while !values.is_empty() {
                let value = values.next().map_err(invalid)?;
                self.add_attributes(value, found)?;
            }
            return Ok(());
        }
        let name = control_name(&self.oid);
        if CLIENT_FACTS.contains(&self.oid) {
            return Ok(());
        }
        match name {
            // The PKCS #10 proves the possession of its key by itself, whoever else vouches for it;
            // a name says nothing without its proof; and our nonce is nobody's proof here.
            Some("identification" | "lraPOPWitness" | "recipientNonce") => return Ok(()),
            Some("transactionId" | "senderNonce" | "dataReturn" | "regInfo") if again => {
                return Err(self.invalid("it occurs twice"));
            }
            Some("transactionId" | "senderNonce" | "dataReturn" | "regInfo" | "addExtensions") => {}
            _ => return Err(SubmissionError::ControlUnsupported { name: shown(&self.oid) }),
        }
        let value = values.next().map_err(invalid)?;
        values.finish("it has more than one value").map_err(invalid)?;
        match name {
            Some("transactionId") => {
                found.echo.transaction_id = Some(self.keep_octets(&value, INTEGER)?);
            }
            Some("senderNonce") => {
                found.echo.sender_nonce = Some(self.keep_octets(&value, OCTET_STRING)?);
            }
            Some("dataReturn") => {
                found.echo.data_return = Some(self.keep_octets(&value, OCTET_STRING)?);
            }
            Some("regInfo") => {
                keep_registration_info(&value, found).map_err(|err| self.explain(err))?;
            }
            _ => self.add_extensions(&value, found)?,
        }
        Ok(())
    }

    fn invalid(&self, what: &'static str) -> SubmissionError {
        SubmissionError::ControlInvalid { name: shown(&self.oid), what }
    }

    /// Says of a rule which control broke it.
    fn explain(&self, err: SubmissionError) -> SubmissionError {
        match err {
            SubmissionError::Malformed { what } => self.invalid(what),
            other => other,
        }
    }

    fn keep_octets(&self, value: &Tlv<'_>, tag: u8) -> Result<Vec<u8>, SubmissionError> {
        if value.tag != tag {
            return Err(self.invalid("its value is not of the right type"));
        }
        if ECHO_BYTES_MAX < value.value.len() {
            return Err(self.invalid("it is longer than 1024 octets"));
        }
        Ok(value.value.to_owned())
    }

    /// What both controls that add to a request start with: the message that holds it, and its
    /// number there. Since there is one request, they can only mean that.
    fn read_references<'a>(&self, value: &Tlv<'a>) -> Result<Cursor<'a>, SubmissionError> {
        let invalid = |NotDer(what)| self.invalid(what);
        if value.tag != SEQUENCE {
            return Err(self.invalid("its value is not a sequence"));
        }
        let mut fields = value.children();
        let holder = fields.next().and_then(read_body_part).map_err(invalid)?;
        let references = fields.expect(SEQUENCE, "it does not say to what it adds");
        let mut references = references.map_err(invalid)?.children();
        let mut ours = false;
        while !references.is_empty() {
            let id = references.next().and_then(read_body_part).map_err(invalid)?;
            // In a nested message the numbers are that message's.
            ours |= self.nested || id == self.body_part;
        }
        if !ours || !(holder == 0 || self.nested && holder == self.body_part) {
            return Err(self.invalid("it refers to a request that is not there"));
        }
        Ok(fields)
    }

    fn add_extensions(&self, value: &Tlv<'_>, found: &mut Controls) -> Result<(), SubmissionError> {
        let invalid = |NotDer(what)| self.invalid(what);
        let mut fields = self.read_references(value)?;
        let list = fields.expect(SEQUENCE, "it holds no extensions").map_err(invalid)?;
        fields.finish("something follows the extensions").map_err(invalid)?;
        keep_extensions(list.children(), found).map_err(|err| self.explain(err))
    }

    fn add_attributes(&self, value: Tlv<'_>, found: &mut Controls) -> Result<(), SubmissionError> {
        let invalid = |NotDer(what)| self.invalid(what);
        let mut fields = self.read_references(&value)?;
        let mut attributes =
            fields.expect(SET, "it holds no attributes").map_err(invalid)?.children();
        fields.finish("something follows the attributes").map_err(invalid)?;
        let mut count = 0;
        while !attributes.is_empty() {
            count += 1;
            if CONTROL_COUNT_MAX < count {
                let (what, max) = ("added attributes", CONTROL_COUNT_MAX);
                return Err(SubmissionError::TooMany { what, max });
            }
            let attribute =
                attributes.expect(SEQUENCE, "an attribute is not a sequence").map_err(invalid)?;
            let mut fields = attribute.children();
            let oid = fields.expect(OID, "an attribute has no type").and_then(|it| it.oid());
            let oid = oid.map_err(invalid)?;
            let values = fields.expect(SET, "an attribute has no values").map_err(invalid)?;
            fields.finish("an attribute has more than type and values").map_err(invalid)?;
            let attribute = Self { oid, ..*self };
            attribute.keep_attribute(values.children(), found)?;
        }
        Ok(())
    }

    /// Keeps one of the attributes that Microsoft's control adds.
    fn keep_attribute(
        &self,
        mut values: Cursor<'_>,
        found: &mut Controls,
    ) -> Result<(), SubmissionError> {
        let invalid = |NotDer(what)| self.invalid(what);
        match self.oid {
            oid::ENROLLMENT_NAME_VALUE_PAIR => {
                keep_pairs(values, found).map_err(|err| self.explain(err))
            }
            oid::EXTENSION_REQUEST | oid::MICROSOFT_EXTENSIONS => {
                let list = values.expect(SEQUENCE, "it holds no extensions").map_err(invalid)?;
                values.finish("it has more than one value").map_err(invalid)?;
                keep_extensions(list.children(), found).map_err(|err| self.explain(err))
            }
            RENEWAL_CERTIFICATE => {
                let value = values.expect(SEQUENCE, "it holds no certificate").map_err(invalid)?;
                values.finish("it has more than one value").map_err(invalid)?;
                if found.renewal_certificate.is_some() {
                    return Err(self.invalid("it occurs twice"));
                }
                found.renewal_certificate = Some(value.whole.to_owned());
                Ok(())
            }
            oid::ENCRYPTED_KEY_HASH => {
                let value = values.expect(OCTET_STRING, "it is not an octet string");
                let value = value.map_err(invalid)?.value.to_owned();
                values.finish("it has more than one value").map_err(invalid)?;
                if found.encrypted_key_hash.replace(value).is_some() {
                    return Err(self.invalid("it occurs twice"));
                }
                Ok(())
            }
            oid if CLIENT_FACTS.contains(&oid) => Ok(()),
            _ => Err(SubmissionError::ControlUnsupported { name: shown(&self.oid) }),
        }
    }
}

fn keep_pair(pair: (String, String), found: &mut Controls) -> Result<(), SubmissionError> {
    if found.enrollment_attributes.len() == LAYER_ATTRIBUTE_COUNT_MAX {
        let (what, max) = ("enrolment attributes", LAYER_ATTRIBUTE_COUNT_MAX);
        return Err(SubmissionError::TooMany { what, max });
    }
    found.enrollment_attributes.push(pair);
    Ok(())
}

fn keep_pairs(mut values: Cursor<'_>, found: &mut Controls) -> Result<(), SubmissionError> {
    while !values.is_empty() {
        keep_pair(read_pair(&values.next()?)?, found)?;
    }
    Ok(())
}

/// `regInfo`: in RFC 5272 whatever both sides agree on; here what Windows writes, UTF-8 pairs
/// `name=value` with `&` between them (MS-WCCE, section 2.2.2.6.3).
fn keep_registration_info(value: &Tlv<'_>, found: &mut Controls) -> Result<(), SubmissionError> {
    if value.tag != OCTET_STRING {
        return Err(SubmissionError::Malformed { what: "its value is not of the right type" });
    }
    let text = str::from_utf8(value.value)
        .map_err(|_| SubmissionError::Malformed { what: "its value is not UTF-8" })?;
    for pair in text.split('&').filter(|it| !it.is_empty()) {
        let Some((name, value)) = pair.split_once('=') else {
            let what = "its value is not a list of name=value";
            return Err(SubmissionError::Malformed { what });
        };
        check_pair(name, value)?;
        keep_pair((name.to_owned(), value.to_owned()), found)?;
    }
    Ok(())
}

fn keep_extensions(
    mut extensions: Cursor<'_>,
    found: &mut Controls,
) -> Result<(), SubmissionError> {
    while !extensions.is_empty() {
        if found.extensions.len() == EXTENSION_COUNT_MAX {
            let (what, max) = ("added extensions", EXTENSION_COUNT_MAX);
            return Err(SubmissionError::TooMany { what, max });
        }
        let raw = RawExtension::read(&mut extensions)?;
        if found.extensions.iter().any(|it| it.oid == raw.oid) {
            return Err(SubmissionError::Malformed { what: "an extension occurs twice" });
        }
        check_der(raw.value)?;
        found.extensions.push(raw.to_extension()?);
    }
    Ok(())
}
