//! What follows from a result code of LDAP (RFC 4511, section 4.1.9): one table.

/// What follows from an answer that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// This server cannot at the moment: another connection once, and then later.
    Elsewhere,
    /// It may pass, or an operator mends it once for all events: later.
    Later,
    /// Somebody else has written in between: look again, and work out anew what to write.
    Look,
    /// It concerns this object or this value alone, and does not pass by itself: a person has to look.
    Park,
}

/// A row of the table.
#[derive(Debug)]
pub struct Rule {
    /// The number.
    pub code: u32,
    /// Its name, as RFC 4511 has it.
    pub name: &'static str,
    /// What follows.
    pub then: Then,
}

const fn rule(code: u32, name: &'static str, then: Then) -> Rule {
    Rule { code, name, then }
}

/// Every code that a server may answer with. Those that concern all events alike wait for an
/// operator, so that a password that has expired parks nothing by the thousand.
pub const RULES: &[Rule] = &[
    // The connection is in a state that the server does not like, which a new one is not.
    rule(1, "operationsError", Then::Elsewhere),
    // The server does not know the operation: it is no server for us, and nothing of the event's.
    rule(2, "protocolError", Then::Later),
    rule(3, "timeLimitExceeded", Then::Later),
    rule(4, "sizeLimitExceeded", Then::Park),
    // How to log in is a setting, which is mended once for all.
    rule(7, "authMethodNotSupported", Then::Later),
    rule(8, "strongerAuthRequired", Then::Later),
    // The object is on a server that nobody has configured.
    rule(10, "referral", Then::Park),
    // A quota, or more work than the server does for one operation.
    rule(11, "adminLimitExceeded", Then::Later),
    rule(12, "unavailableCriticalExtension", Then::Later),
    rule(13, "confidentialityRequired", Then::Later),
    rule(14, "saslBindInProgress", Then::Later),
    // On deletion: somebody else was faster. Otherwise the schema.
    rule(16, "noSuchAttribute", Then::Look),
    // The schema does not take it.
    rule(17, "undefinedAttributeType", Then::Park),
    rule(18, "inappropriateMatching", Then::Park),
    rule(19, "constraintViolation", Then::Park),
    // On addition: somebody else was faster.
    rule(20, "attributeOrValueExists", Then::Look),
    rule(21, "invalidAttributeSyntax", Then::Park),
    rule(32, "noSuchObject", Then::Park),
    rule(33, "aliasProblem", Then::Park),
    rule(34, "invalidDNSyntax", Then::Park),
    rule(36, "aliasDereferencingProblem", Then::Park),
    rule(48, "inappropriateAuthentication", Then::Later),
    // A password that is wrong is wrong for every event; an operator mends it once.
    rule(49, "invalidCredentials", Then::Later),
    // Rights may differ from object to object.
    rule(50, "insufficientAccessRights", Then::Park),
    rule(51, "busy", Then::Elsewhere),
    rule(52, "unavailable", Then::Elsewhere),
    // A server that is read-only says so: another one may not be.
    rule(53, "unwillingToPerform", Then::Elsewhere),
    rule(54, "loopDetect", Then::Later),
    rule(64, "namingViolation", Then::Park),
    rule(65, "objectClassViolation", Then::Park),
    rule(66, "notAllowedOnNonLeaf", Then::Park),
    rule(67, "notAllowedOnRDN", Then::Park),
    // On making an object: somebody else was faster.
    rule(68, "entryAlreadyExists", Then::Look),
    rule(69, "objectClassModsProhibited", Then::Park),
    rule(71, "affectsMultipleDSAs", Then::Park),
    // A full disk of OpenLDAP comes as this, among others.
    rule(80, "other", Then::Later),
    // RFC 4528: the assertion of a compare-and-set does not hold any more.
    rule(122, "assertionFailed", Then::Look),
];

/// Codes by which a server refuses every write where rights or schema were forgotten: they park nothing
/// before a write of the same kind has succeeded.
pub const MAY_BE_SET_UP_WRONG: [u32; 3] = [17, 21, 50];

/// The row of a code. One that nobody has heard of waits, as whatever is behind it may pass.
pub fn find(code: u32) -> &'static Rule {
    const UNKNOWN: Rule = rule(u32::MAX, "unknown", Then::Later);
    RULES.iter().find(|it| it.code == code).unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_names_no_code_twice() {
        assert!(RULES.windows(2).all(|it| it[0].code < it[1].code));
    }

    #[test]
    fn what_concerns_every_event_alike_parks_none() {
        for code in [3, 7, 8, 13, 49, 51, 52, 53, 80, 4711] {
            assert_ne!(find(code).then, Then::Park, "{code}");
        }
        for code in [17, 21, 32, 50, 65] {
            assert_eq!(find(code).then, Then::Park, "{code}");
        }
    }
}
