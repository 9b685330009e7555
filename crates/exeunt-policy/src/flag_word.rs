//! The words for the flags of a template, and the original's bits behind them.

use exeunt_types::TemplateFlags;

/// Which of the three numbers a flag stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagSet {
    /// `msPKI-Enrollment-Flag` (MS-CRTD, section 2.26).
    Enrollment,
    /// `flags` (MS-CRTD, section 2.4).
    General,
    /// `msPKI-Private-Key-Flag` (MS-CRTD, section 2.27).
    PrivateKey,
}

const ENROLLMENT: &[(&str, u32)] = &[
    ("include-symmetric-algorithms", 0x1),
    ("pend-all-requests", 0x2),
    ("publish-to-kra-container", 0x4),
    ("publish-to-ds", 0x8),
    ("auto-enrollment-check-user-ds-certificate", 0x10),
    ("auto-enrollment", 0x20),
    ("previous-approval-validate-reenrollment", 0x40),
    ("user-interaction-required", 0x100),
    ("remove-invalid-certificate-from-personal-store", 0x400),
    ("allow-enroll-on-behalf-of", 0x800),
    ("add-ocsp-nocheck", 0x1000),
    ("no-revocation-info-in-issued-certs", 0x4000),
    ("include-basic-constraints-for-ee-certs", 0x8000),
    ("issuance-policies-from-request", 0x2_0000),
    ("skip-auto-renewal", 0x4_0000),
    ("no-security-extension", 0x8_0000),
];
const GENERAL: &[(&str, u32)] = &[
    ("add-email", 0x2),
    ("publish-to-ds", 0x8),
    ("exportable-key", 0x10),
    ("auto-enrollment", 0x20),
    ("machine-type", 0x40),
    ("is-ca", 0x80),
    ("add-template-name", 0x200),
    ("is-cross-ca", 0x800),
    ("do-not-persist-in-db", 0x1000),
    ("is-default", 0x1_0000),
    ("is-modified", 0x2_0000),
];
const PRIVATE_KEY: &[(&str, u32)] = &[
    ("require-private-key-archival", 0x1),
    ("exportable-key", 0x10),
    ("strong-key-protection-required", 0x20),
    ("require-alternate-signature-algorithm", 0x40),
    ("require-same-key-renewal", 0x80),
    ("use-legacy-provider", 0x100),
    ("attest-preferred", 0x1000),
    ("attest-required", 0x2000),
];

impl FlagSet {
    /// The words, each with its bit.
    #[must_use]
    pub fn words(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Enrollment => ENROLLMENT,
            Self::General => GENERAL,
            Self::PrivateKey => PRIVATE_KEY,
        }
    }

    /// The bits of a word, or of a number in hexadecimal after `0x`.
    #[must_use]
    pub fn bits(self, word: &str) -> Option<u32> {
        if let Some(digits) = word.strip_prefix("0x") {
            // The parser would take a sign.
            let is_plain = digits.bytes().all(|it| it.is_ascii_hexdigit());
            return u32::from_str_radix(digits, 16).ok().filter(|_| is_plain);
        }
        self.words().iter().find(|(name, _)| *name == word).map(|(_, bits)| *bits)
    }
}

/// The flags that are set, none where nothing is.
#[must_use]
pub fn flags_of(enrollment: u32, general: u32, private_key: u32) -> Option<TemplateFlags> {
    let flags = TemplateFlags { enrollment, general, private_key };
    (flags != TemplateFlags::default()).then_some(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_a_word_or_a_number() {
        // MS-CRTD: CT_FLAG_PUBLISH_TO_DS is 0x8 of the enrolment flags.
        assert_eq!(FlagSet::Enrollment.bits("publish-to-ds"), Some(8));
        assert_eq!(FlagSet::General.bits("machine-type"), Some(0x40));
        assert_eq!(FlagSet::PrivateKey.bits("0x2010"), Some(0x2010));
        for bad in ["", "0x", "8", "publish", "0x+1", "0x100000000", "PUBLISH-TO-DS"] {
            assert_eq!(FlagSet::Enrollment.bits(bad), None, "{bad}");
        }
        for set in [FlagSet::Enrollment, FlagSet::General, FlagSet::PrivateKey] {
            assert!(set.words().iter().all(|(_, bits)| bits.is_power_of_two()));
        }
    }
}
