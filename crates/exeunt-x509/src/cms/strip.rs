//! A signed message without the private key that came in it: what may be kept.
//!
//! The key stands among the attributes that are not signed, so the signatures stay as good as they were.

use super::ARCHIVED_KEY;
use crate::tlv::{CONTEXT_CONSTRUCTED, Cursor, NotDer, OID, SEQUENCE, SET, Tlv};
use crate::write::Writer;

/// Where the attributes that are not signed stand in a `SignerInfo` (RFC 5652, section 5.3).
const UNSIGNED_ATTRIBUTES: u8 = CONTEXT_CONSTRUCTED + 1;

/// Rewrites a message that was read as signed data before.
pub(crate) fn without_archived_key(content_info: &[u8]) -> Result<Vec<u8>, NotDer> {
    let mut info = Tlv::read_as(content_info, SEQUENCE, "message is not a sequence")?.children();
    let kind = info.expect(OID, "message does not say what it is")?;
    let explicit = info.expect(CONTEXT_CONSTRUCTED, "message has no content")?;
    let data = Tlv::read_as(explicit.value, SEQUENCE, "signed data is not a sequence")?;
    // Version, digests, content, certificates: all but the last, which is the signers.
    let (mut fields, mut before, mut signers) = (data.children(), Vec::new(), None);
    while !fields.is_empty() {
        before.extend(signers.replace(fields.next()?));
    }
    let signers = signers.filter(|it| it.tag == SET).ok_or(NotDer("signers are missing"))?;
    let (mut infos, mut rewritten) = (signers.children(), Vec::new());
    while !infos.is_empty() {
        let info = infos.expect(SEQUENCE, "a signer is not a sequence")?;
        rewritten.push(rewrite_signer(info.children())?);
    }
    let mut writer = Writer::with_capacity(content_info.len());
    writer.nest(SEQUENCE, |it| {
        it.raw(kind.whole);
        it.nest(CONTEXT_CONSTRUCTED, |it| {
            it.nest(SEQUENCE, |it| {
                for each in &before {
                    it.raw(each.whole);
                }
                it.element(SET, &rewritten.concat());
            });
        });
    });
    Ok(writer.into_bytes())
}

fn rewrite_signer(mut fields: Cursor<'_>) -> Result<Vec<u8>, NotDer> {
    let mut kept = Writer::default();
    while !fields.is_empty() {
        let field = fields.next()?;
        if field.tag != UNSIGNED_ATTRIBUTES {
            kept.raw(field.whole);
            continue;
        }
        let (mut attributes, mut others) = (field.children(), Vec::new());
        while !attributes.is_empty() {
            let attribute = attributes.next()?;
            if attribute.children().expect(OID, "an attribute has no type")?.oid()? != ARCHIVED_KEY
            {
                others.extend_from_slice(attribute.whole);
            }
        }
        if !others.is_empty() {
            kept.element(UNSIGNED_ATTRIBUTES, &others);
        }
    }
    let mut signer = Writer::default();
    signer.element(SEQUENCE, kept.as_bytes());
    Ok(signer.into_bytes())
}
