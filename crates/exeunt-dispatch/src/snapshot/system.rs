//! Properties of the CA: what the original gives under context 0.

use std::{fmt::Write as _, sync::Arc};

use exeunt_module::{Properties, Value, view::ca_disposition};
use exeunt_types::{UnixMillis, hexadecimal};
use exeunt_x509::parse_certificate;

use crate::settings::{CaCertificateFacts, CaFacts};

/// Longest sanitised name that is its own short name, in characters ([MS-WCCE], section
/// 3.1.1.4.1.1).
const SHORT_NAME_LENGTH_MAX: usize = 51;

/// The CA's properties. Which of its certificates have expired changes with the time.
#[derive(Clone, Debug)]
pub(super) struct System {
    /// Each with the last moment at which it holds, in order; the last one holds for ever.
    states: Vec<(UnixMillis, Arc<Properties>)>,
    sanitized: String,
    /// Key index of each certificate.
    keys: Vec<u16>,
}

/// A certificate of the CA, as far as its states need it.
#[derive(Clone, Copy, Debug)]
struct Life {
    key_index: u16,
    /// Its last moment.
    not_after: UnixMillis,
}

impl System {
    pub(super) fn new(facts: &CaFacts) -> Self {
        let lives: Vec<Life> = facts.certificates.iter().map(Life::of).collect();
        let sanitized = sanitized(&facts.name);
        let mut ends: Vec<UnixMillis> = lives.iter().map(|it| it.not_after).collect();
        ends.push(UnixMillis(i64::MAX));
        ends.sort();
        ends.dedup();
        let of = |end| (end, Arc::new(properties(facts, &lives, &sanitized, end)));
        let states = ends.into_iter().map(of).collect();
        let keys = lives.iter().map(|it| it.key_index).collect();
        Self { states, sanitized, keys }
    }

    /// The same with what differs from module to module.
    pub(super) fn of_module(&self, name: &str) -> Self {
        self.of("ExitModules", name)
    }

    /// Of a module that lies in that part of the original's registry.
    fn of(&self, part: &str, name: &str) -> Self {
        let location = format!(
            r"SYSTEM\CurrentControlSet\Services\CertSvc\Configuration\{}\{part}\{name}",
            self.sanitized,
        );
        let of = |system: &Properties| {
            let mut properties = system.clone();
            properties.push("ModuleRegistryLocation", Value::String(location.clone()));
            Arc::new(properties)
        };
        let states = self.states.iter().map(|(end, system)| (*end, of(system))).collect();
        Self { states, sanitized: self.sanitized.clone(), keys: self.keys.clone() }
    }

    /// Of each key, the newest certificate's first: its index, and how names of properties end that are
    /// about its newest certificate, to which its lists belong.
    pub(super) fn list_owners(&self) -> Vec<(u16, String)> {
        let mut owners: Vec<(u16, String)> = Vec::new();
        for (index, key) in self.keys.iter().enumerate().rev() {
            if owners.iter().all(|(it, _)| it != key) {
                let plain = index + 1 == self.keys.len();
                owners.push((*key, if plain { String::new() } else { format!(".{index}") }));
            }
        }
        owners
    }

    /// What an event says that tells of one of them, for each.
    pub(super) fn own_certificates(&self, hashes: &[[u8; 32]]) -> Vec<Vec<(String, String)>> {
        let detail = |(index, (key, hash)): (usize, (&u16, &[u8; 32]))| {
            let suffix = suffix(u16::try_from(index).unwrap_or(u16::MAX));
            vec![
                ("CertIndex".to_owned(), index.to_string()),
                ("CertSuffix".to_owned(), suffix),
                ("CRLIndex".to_owned(), key.to_string()),
                ("SHA256".to_owned(), hexadecimal(hash)),
            ]
        };
        self.keys.iter().zip(hashes).enumerate().map(detail).collect()
    }

    /// What holds at that time.
    pub(super) fn at(&self, moment: UnixMillis) -> &Arc<Properties> {
        let (_, properties) = self
            .states
            .iter()
            .find(|(end, _)| moment <= *end)
            .expect("BUG: the last state holds for ever");
        properties
    }
}

/// What a policy module reads about the CA. Revocation lists are not among it.
#[derive(Debug)]
pub struct CaProperties(System);

impl CaProperties {
    /// For the policy module of that name.
    #[must_use]
    pub fn new(facts: &CaFacts, module: &str) -> Self {
        Self(System::new(facts).of("PolicyModules", module))
    }

    /// What holds at that time.
    #[must_use]
    pub fn at(&self, moment: UnixMillis) -> Arc<Properties> {
        Arc::clone(self.0.at(moment))
    }
}

impl Life {
    fn of(facts: &CaCertificateFacts) -> Self {
        let CaCertificateFacts { der, key_index } = facts;
        let not_after = match parse_certificate(der) {
            Ok(read) => UnixMillis(read.not_after().saturating_mul(1000).saturating_add(999)),
            Err(err) => {
                tracing::warn!(%err, "certificate of the CA cannot be read, counts as valid");
                UnixMillis(i64::MAX)
            }
        };
        Self { key_index: *key_index, not_after }
    }
}

/// What the CA is at that moment. What its lists are, changes: see `lists`.
fn properties(facts: &CaFacts, lives: &[Life], sanitized: &str, at: UnixMillis) -> Properties {
    let CaFacts { name: _, machine_dns_name, root, certificates, lists } = facts;
    let has_deltas = lists.as_ref().is_some_and(|it| it.deltas);
    let text = |text: &str| Value::String(text.to_owned());
    let mut properties: Properties = [
        ("SanitizedCAName", text(sanitized)),
        ("SanitizedShortName", Value::String(short_name(sanitized))),
        ("MachineDNSName", text(machine_dns_name)),
        // The original's ENUM_STANDALONE_ROOTCA and ENUM_STANDALONE_SUBCA: no directory behind it.
        ("CAType", Value::Long(if *root { 3 } else { 4 })),
        ("fUseDS", Value::Long(0)),
        ("fDeltaCRLsDisabled", Value::Long(i32::from(!has_deltas))),
        ("fServerUpgraded", Value::Long(0)),
        ("VolatileMode", Value::Long(0)),
        ("CertCount", Value::Long(i32::try_from(certificates.len()).unwrap_or(i32::MAX))),
    ]
    .into_iter()
    .collect();
    for (index, (facts, life)) in certificates.iter().zip(lives).enumerate() {
        // The newest one's stand under the plain names.
        let is_newest = index + 1 == certificates.len();
        let name =
            |plain: &str| if is_newest { plain.to_owned() } else { format!("{plain}.{index}") };
        let index = u16::try_from(index).unwrap_or(u16::MAX);
        properties.push(name("RawCACertificate"), Value::Binary(facts.der.clone()));
        properties.push(name("CertState"), Value::Long(cert_state(*life, at)));
        properties.push(name("CertSuffix"), Value::String(suffix(index)));
        properties.push(name("CRLIndex"), Value::Long(i32::from(life.key_index)));
        properties.push(name("CRLSuffix"), Value::String(suffix(life.key_index)));
        if lists.is_some() {
            let state = crl_state(lives, usize::from(index), at);
            properties.push(name("CRLState"), Value::Long(state));
        }
    }
    properties
}

fn cert_state(life: Life, at: UnixMillis) -> i32 {
    if at <= life.not_after { ca_disposition::VALID } else { ca_disposition::INVALID }
}

/// The newest certificate with a key has the key's lists, as long as any certificate with it is valid.
fn crl_state(lives: &[Life], index: usize, at: UnixMillis) -> i32 {
    let Life { key_index, .. } = lives[index];
    let has_key = |it: &&Life| it.key_index == key_index;
    if lives[index + 1..].iter().any(|it| has_key(&it)) {
        ca_disposition::ERROR
    } else if lives.iter().filter(has_key).any(|it| at <= it.not_after) {
        ca_disposition::VALID
    } else {
        ca_disposition::INVALID
    }
}

/// What stands behind the name of a file for that index.
fn suffix(index: u16) -> String {
    match index {
        0 => String::new(),
        index => format!("({index})"),
    }
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

    /// Certificates that cannot be read, with these keys and last moments.
    fn system(lives: &[(u16, i64)]) -> System {
        let certificate = |(key_index, _): &(u16, i64)| CaCertificateFacts {
            der: vec![0x30, 0],
            key_index: *key_index,
        };
        let facts = CaFacts {
            name: "CA".to_owned(),
            machine_dns_name: "ca.example.org".to_owned(),
            root: true,
            certificates: lives.iter().map(certificate).collect(),
            lists: Some(crate::settings::ListFacts { folder: "/".into(), deltas: false }),
        };
        let life = |&(key_index, end): &(u16, i64)| Life { key_index, not_after: UnixMillis(end) };
        let lives: Vec<Life> = lives.iter().map(life).collect();
        let mut ends: Vec<UnixMillis> = lives.iter().map(|it| it.not_after).collect();
        ends.extend([UnixMillis(i64::MAX)]);
        ends.sort();
        let of = |end| (end, Arc::new(properties(&facts, &lives, "CA", end)));
        System {
            states: ends.into_iter().map(of).collect(),
            sanitized: "CA".to_owned(),
            keys: Vec::new(),
        }
    }

    #[test]
    fn a_certificate_is_expired_when_its_last_second_is_over() {
        let system = system(&[(0, 1_999)]);
        assert_eq!(system.at(UnixMillis(1_999)).long("CertState").unwrap(), 3);
        assert_eq!(system.at(UnixMillis(2_000)).long("CertState").unwrap(), 4);
        let location = system.of_module("census").at(UnixMillis(0)).clone();
        assert_eq!(
            location.string("moduleregistrylocation").unwrap(),
            r"SYSTEM\CurrentControlSet\Services\CertSvc\Configuration\CA\ExitModules\census"
        );
    }

    /// The original's own example of a CA's renewals.
    #[test]
    fn a_module_that_loops_over_the_certificates_finds_one_list_for_each_key() {
        let keys = [0, 1, 1, 1, 4, 4, 6, 6];
        let lives: Vec<(u16, i64)> = keys.into_iter().zip((1..).map(|it| it * 1_000)).collect();
        let system = system(&lives);
        let read = |name: &str, at: i64| -> Vec<i32> {
            let system = system.at(UnixMillis(at));
            let view = exeunt_module::view::View::of_system(system);
            let count = system.long("CertCount").unwrap();
            let long =
                |index| match *view.certificate_property(&format!("{name}.{index}"), None).unwrap()
                {
                    Value::Long(long) => long,
                    ref other => panic!("{other:?}"),
                };
            (0..count).map(long).collect()
        };
        assert_eq!(read("CRLIndex", 0), keys.map(i32::from));
        assert_eq!(read("CertState", 0), [3; 8]);
        assert_eq!(read("CRLState", 0), [3, 1, 1, 3, 1, 3, 1, 3]);
        // The first key's certificate has expired, and with it its list; of the second key two have.
        assert_eq!(read("CertState", 3_500), [4, 4, 4, 3, 3, 3, 3, 3]);
        assert_eq!(read("CRLState", 3_500), [4, 1, 1, 3, 1, 3, 1, 3]);
        assert_eq!(read("CRLState", 9_000), [4, 1, 1, 4, 1, 4, 1, 4]);

        let view = exeunt_module::view::View::of_system(system.at(UnixMillis(0)));
        let text = |name: &str| view.certificate_property(name, None).unwrap().into_owned();
        for (name, expected) in [
            ("CertSuffix", "(7)"),
            ("CertSuffix.7", "(7)"),
            ("CertSuffix.0", ""),
            ("CRLSuffix.5", "(4)"),
            ("CRLSuffix", "(6)"),
        ] {
            assert_eq!(text(name), Value::String(expected.to_owned()), "{name}");
        }
        assert_eq!(
            view.certificate_property("CertState.8", None).unwrap_err().code(),
            "property-index"
        );
    }
}
