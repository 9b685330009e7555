//! What a certificate may be used for, as its extensions say: purposes and policies.

use crate::certificate::Certificate;
use crate::oid;
use crate::tlv::{NotDer, OID, SEQUENCE, Tlv};
use const_oid::ObjectIdentifier;

/// Microsoft's purpose of an enrolment agent (`szOID_ENROLLMENT_AGENT`): who holds a certificate with
/// it may ask for certificates on behalf of others.
pub const ENROLLMENT_AGENT: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.20.2.1");

/// Microsoft's purpose of a CA's exchange certificate (`szOID_KP_CA_EXCHANGE`): clients encrypt to it
/// what only the CA may read.
pub const CA_EXCHANGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.21.5");

/// Microsoft's purpose of a key recovery agent (`szOID_KP_KEY_RECOVERY_AGENT`): archived keys are
/// encrypted to certificates with it.
pub const KEY_RECOVERY_AGENT: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.21.6");

impl Certificate {
    /// Extended key usages (RFC 5280, section 4.2.1.12), in order; none where the extension is not
    /// there or malformed.
    #[must_use]
    pub fn extended_key_usages(&self) -> Vec<ObjectIdentifier> {
        self.identifiers(&oid::EXTENDED_KEY_USAGE, |it| match it.tag {
            OID => it.oid(),
            _ => Err(NotDer("a purpose is not an identifier")),
        })
    }

    /// Certificate policies (RFC 5280, section 4.2.1.4), in order, without their qualifiers; none
    /// where the extension is not there or malformed.
    #[must_use]
    pub fn policies(&self) -> Vec<ObjectIdentifier> {
        self.identifiers(&oid::CERTIFICATE_POLICIES, |it| {
            it.children().expect(OID, "a policy has no type")?.oid()
        })
    }

    /// One identifier of each member of an extension that is a list.
    fn identifiers(
        &self,
        kind: &ObjectIdentifier,
        read: impl Fn(Tlv<'_>) -> Result<ObjectIdentifier, NotDer>,
    ) -> Vec<ObjectIdentifier> {
        let found = self.extensions().iter().find(|it| it.oid == *kind);
        let list = || -> Result<Vec<ObjectIdentifier>, NotDer> {
            let Some(found) = found else { return Ok(Vec::new()) };
            let list = Tlv::read_as(&found.value, SEQUENCE, "it is not a sequence")?;
            let (mut members, mut all) = (list.children(), Vec::new());
            while !members.is_empty() {
                all.push(read(members.next()?)?);
            }
            Ok(all)
        };
        list().unwrap_or_default()
    }
}
