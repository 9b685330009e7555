//! Properties of the CA: what the original gives under context 0.

use std::{fmt::Write as _, sync::Arc};

use exeunt_module::{Properties, Value, view::ca_disposition};
use exeunt_types::UnixMillis;
use exeunt_x509::parse_certificate;

use crate::settings::CaFacts;

/// Longest sanitised name that is its own short name, in characters ([MS-WCCE], section
/// 3.1.1.4.1.1).
const SHORT_NAME_LENGTH_MAX: usize = 51;

/// The CA's properties, before and after its certificate expires.
#[derive(Clone, Debug)]
pub(super) struct System {
    valid: Arc<Properties>,
    expired: Arc<Properties>,
    /// Last moment of the CA's certificate.
    not_after: UnixMillis,
    sanitized: String,
}

impl System {
    pub(super) fn new(facts: &CaFacts) -> Self {
        let not_after = match parse_certificate(&facts.certificate) {
            Ok(read) => UnixMillis(read.not_after().saturating_mul(1000).saturating_add(999)),
            Err(err) => {
                tracing::warn!(%err, "certificate of the CA cannot be read, counts as valid");
                UnixMillis(i64::MAX)
            }
        };
        let sanitized = sanitized(&facts.name);
        let of = |state| Arc::new(properties(facts, &sanitized, state));
        Self {
            valid: of(ca_disposition::VALID),
            expired: of(ca_disposition::INVALID),
            not_after,
            sanitized,
        }
    }

    /// The same with what differs from module to module.
    pub(super) fn of_module(&self, name: &str) -> Self {
        let location = format!(
            r"SYSTEM\CurrentControlSet\Services\CertSvc\Configuration\{}\ExitModules\{name}",
            self.sanitized,
        );
        let of = |system: &Properties| {
            let mut properties = system.clone();
            properties.push("ModuleRegistryLocation", Value::String(location.clone()));
            Arc::new(properties)
        };
        Self { valid: of(&self.valid), expired: of(&self.expired), ..self.clone() }
    }

    /// What holds at that time.
    pub(super) fn at(&self, moment: UnixMillis) -> &Arc<Properties> {
        if moment <= self.not_after { &self.valid } else { &self.expired }
    }
}

/// One certificate. What its lists are, changes: see `lists`.
fn properties(facts: &CaFacts, sanitized: &str, cert_state: i32) -> Properties {
    let CaFacts { name: _, machine_dns_name, root, certificate, lists } = facts;
    let has_deltas = lists.as_ref().is_some_and(|it| it.deltas);
    let text = |text: &str| Value::String(text.to_owned());
    [
        ("SanitizedCAName", text(sanitized)),
        ("SanitizedShortName", Value::String(short_name(sanitized))),
        ("MachineDNSName", text(machine_dns_name)),
        // The original's ENUM_STANDALONE_ROOTCA and ENUM_STANDALONE_SUBCA: no directory behind it.
        ("CAType", Value::Long(if *root { 3 } else { 4 })),
        ("fUseDS", Value::Long(0)),
        ("fDeltaCRLsDisabled", Value::Long(i32::from(!has_deltas))),
        ("fServerUpgraded", Value::Long(0)),
        ("VolatileMode", Value::Long(0)),
        ("CertCount", Value::Long(1)),
        ("RawCACertificate", Value::Binary(certificate.clone())),
        ("CertState", Value::Long(cert_state)),
        ("CertSuffix", text("")),
        ("CRLIndex", Value::Long(0)),
        ("CRLSuffix", text("")),
    ]
    .into_iter()
    // The list is published as long as the certificate holds; the numbers are the same.
    .chain(lists.iter().map(|_| ("CRLState", Value::Long(cert_state))))
    .collect()
}

/// The CA's name with every character that is not safe in a file or directory name written as `!`
/// and the four hexadecimal digits of its UTF-16 unit ([MS-WCCE], section 3.1.1.4.1.1).
fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for unit in name.encode_utf16() {
        match u8::try_from(unit) {
            Ok(it @ 0x20..=0x7e) if !br##"!"#%&'()*+,/:;<=>?[\]^`{|}"##.contains(&it) => {
                out.push(char::from(it));
            }
            _ => write!(out, "!{unit:04x}").expect("BUG: writing to a String cannot fail"),
        }
    }
    out
}

/// A sanitised name cut to [`SHORT_NAME_LENGTH_MAX`], never inside one of its `!` groups, with a
/// hash of what was cut off in five decimal digits (same section).
fn short_name(sanitized: &str) -> String {
    /// `!` and four digits.
    const GROUP: usize = 5;
    if sanitized.len() <= SHORT_NAME_LENGTH_MAX {
        return sanitized.to_owned();
    }
    // A `!` begins a group and stands nowhere else.
    let last_start = SHORT_NAME_LENGTH_MAX + 1 - GROUP;
    let cut = sanitized[last_start..SHORT_NAME_LENGTH_MAX]
        .find('!')
        .map_or(SHORT_NAME_LENGTH_MAX, |it| last_start + it);
    let (kept, rest) = sanitized.split_at(cut);
    let hash = rest.bytes().fold(0_u16, |hash, it| hash.rotate_left(1).wrapping_add(u16::from(it)));
    format!("{kept}-{hash:05}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_name_is_sanitised_by_the_originals_rule() {
        assert_eq!(sanitized("Example & Söhne / CA 1"), "Example !0026 S!00f6hne !002f CA 1");
        assert_eq!(sanitized("a-b_c.d@e$~ "), "a-b_c.d@e$~ ");
        assert_eq!(sanitized("\u{1f511}"), "!d83d!dd11");
        assert_eq!(sanitized("\u{7f}"), "!007f");
    }

    #[test]
    fn a_long_name_is_cut_before_a_group_and_ends_in_a_hash() {
        let fits = "a".repeat(51);
        assert_eq!(short_name(&fits), fits);
        // One character too many: its code is the hash.
        assert_eq!(short_name(&format!("{fits}b")), format!("{fits}-00098"));
        // 98 doubled, and 99.
        assert_eq!(short_name(&format!("{fits}bc")), format!("{fits}-00295"));
        // The top bit comes round: 17 zeros would be lost by a shift.
        let rotated = short_name(&format!("{fits}{}", "a".repeat(20)));
        let slow = (0..20).fold(0_u32, |hash, _| ((hash << 1 | hash >> 15) + 97) % 65_536);
        assert_eq!(rotated, format!("{fits}-{slow:05}"));
        // A group that would be cut apart goes to the rest as a whole.
        for start in 47..=50 {
            let head = "a".repeat(start);
            let short = short_name(&format!("{head}!00e4b"));
            assert!(short.starts_with(&format!("{head}-")), "{short}");
        }
        let whole = format!("{}!00e4", "a".repeat(46));
        assert!(short_name(&format!("{whole}b")).starts_with(&format!("{whole}-")));
    }

    #[test]
    fn a_certificate_is_expired_when_its_last_second_is_over() {
        let facts = CaFacts {
            name: "CA".to_owned(),
            machine_dns_name: "ca.example.org".to_owned(),
            root: true,
            certificate: vec![0x30, 0],
            lists: None,
        };
        let system = System { not_after: UnixMillis(1_999), ..System::new(&facts) };
        assert_eq!(system.at(UnixMillis(1_999)).long("CertState").unwrap(), 3);
        assert_eq!(system.at(UnixMillis(2_000)).long("CertState").unwrap(), 4);
        let location = system.of_module("census").at(UnixMillis(0)).clone();
        assert_eq!(
            location.string("moduleregistrylocation").unwrap(),
            r"SYSTEM\CurrentControlSet\Services\CertSvc\Configuration\CA\ExitModules\census"
        );
    }
}
