//! A template table, turned into a template. Every mistake in it is found, not only the first.

use std::fmt::Display;
use std::time::Duration;

use exeunt_policy::{
    Callers, Dangerous, FlagSet, Holder, Issuance, NameEntry, NameKind, NameProperty, NamesRule,
    OnBehalf, Others, Pattern, RatePer, RateRule, Renewal, SidRule, SignatureRule, SubjectPart,
    SubjectRule, Template, TemplatePolicyError, UsageName, flags_of,
};
use exeunt_types::{KeyAlgorithm, UnixMillis};
use exeunt_x509::{KeyUsage, Name, ObjectIdentifier};

use super::file::{DangerousTable, RateTable, TemplateTable};
use super::{ConfigError, value_error};

/// Names of subject attributes, as RFC 4514 and the reference write them, and their OIDs.
const SUBJECT_ATTRIBUTES: [(&str, &str); 13] = [
    ("CN", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("T", "2.5.4.12"),
    ("G", "2.5.4.42"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("E", "1.2.840.113549.1.9.1"),
];

/// Turns every word of the table into what it means.
///
/// # Errors
///
/// The first mistake.
pub fn checked(table: TemplateTable) -> Result<Template, ConfigError> {
    read(table).map_err(|mistakes| {
        mistakes.into_iter().next().expect("BUG: a table is refused for a mistake")
    })
}

/// The same with every mistake.
///
/// # Errors
///
/// One mistake at least.
pub fn read(table: TemplateTable) -> Result<Template, Vec<ConfigError>> {
    let mut words = Words { template: table.name.clone(), mistakes: Vec::new() };
    let template = words.template(table);
    let Words { mut mistakes, .. } = words;
    // What a wrong word should have meant is not known: it would be a second mistake for one.
    let known = mistakes.is_empty();
    if known {
        let broken = template.mistakes().into_iter();
        mistakes.extend(broken.map(|it| ConfigError::Templates(TemplatePolicyError::Template(it))));
    }
    if mistakes.is_empty() { Ok(template) } else { Err(mistakes) }
}

/// Reads words, and notes those that mean nothing.
struct Words {
    template: String,
    mistakes: Vec<ConfigError>,
}

impl Words {
    #[expect(clippy::too_many_lines, reason = "a straight list: what each key means")]
    fn template(&mut self, table: TemplateTable) -> Template {
        let TemplateTable {
            name,
            validity_days,
            backdate_s,
            valid_from,
            valid_until,
            key_usage,
            extended_key_usage,
            key_minimum,
            subject_from_request,
            subject_other,
            subject,
            subject_separator,
            subject_original_lengths,
            san_from_request,
            san_other,
            san_add,
            san_required,
            dns_from_common_name,
            sid_from_request,
            sid_required,
            sid,
            extensions_from_request,
            issue,
            archive_key,
            approvals,
            own_approval,
            callers,
            requesters,
            groups,
            signatures,
            signature_purposes,
            signature_policies,
            renewal,
            renewal_days,
            on_behalf,
            ca,
            path_length,
            enrollment_flags,
            general_flags,
            private_key_flags,
            rate,
            dangerous,
        } = table;
        // What it means is kept elsewhere; here it is only seen whether it means anything.
        self.choice(
            "archive_key",
            &archive_key,
            &["require", "allow", "refuse"].map(|it| (it, ())),
        );
        let usage = "digitalSignature, keyEncipherment";
        let usages = self.list("key_usage", &key_usage, usage, KeyUsage::from_name);
        let key_usage = usages.into_iter().fold(KeyUsage::default(), |all, it| all | it);
        let purposes = "serverAuth, clientAuth, a dotted OID";
        let attributes = "CN, O, OU, a dotted OID";
        let kinds = "dns, ip, email, uri, upn, directory, registered-id, other";
        let day = Duration::from_hours(24);
        let flags = [
            ("enrollment_flags", FlagSet::Enrollment, enrollment_flags),
            ("general_flags", FlagSet::General, general_flags),
            ("private_key_flags", FlagSet::PrivateKey, private_key_flags),
        ]
        .map(|(key, set, list)| {
            let examples = format!("{}, 0x10", set.words()[3].0);
            let bits = self.list(key, &list, &examples, |it| set.bits(it));
            bits.into_iter().fold(0, |all, it| all | it)
        });
        let signatures = (signatures != 0).then(|| SignatureRule {
            count: signatures,
            purposes: self.list(
                "signature_purposes",
                &signature_purposes,
                purposes,
                UsageName::parse,
            ),
            policies: self.list("signature_policies", &signature_policies, "a dotted OID", oid),
        });
        Template {
            validity: day * validity_days,
            backdate: Duration::from_secs(backdate_s),
            valid_from: self.moment("valid_from", valid_from.as_deref()),
            valid_until: self.moment("valid_until", valid_until.as_deref()),
            key_usage,
            extended_key_usage: self.list(
                "extended_key_usage",
                &extended_key_usage,
                purposes,
                UsageName::parse,
            ),
            key_minimum: self.list(
                "key_minimum",
                &key_minimum,
                "rsa-3072, ecdsa-p256, ed25519, ml-dsa-65",
                key_algorithm,
            ),
            subject_allowed: self.list(
                "subject_from_request",
                &subject_from_request,
                attributes,
                subject_oid,
            ),
            subject: SubjectRule {
                build: self.entries("subject", &subject, rdn),
                separator: subject_separator,
                others: self.others("subject_other", &subject_other),
                original_lengths: subject_original_lengths,
            },
            names_allowed: self.list(
                "san_from_request",
                &san_from_request,
                kinds,
                NameKind::from_name,
            ),
            names: NamesRule {
                add: self.entries("san_add", &san_add, name_entry),
                others: self.others("san_other", &san_other),
                required: self.list("san_required", &san_required, kinds, NameKind::from_name),
            },
            sid: SidRule {
                from_request: sid_from_request,
                by_requester: sid.into_iter().collect(),
                required: sid_required,
            },
            dns_from_common_name,
            extensions_allowed: self.list(
                "extensions_from_request",
                &extensions_from_request,
                "a dotted OID",
                oid,
            ),
            issuance: self.choice(
                "issue",
                &issue,
                &[("at-once", Issuance::AtOnce), ("hold", Issuance::Hold)],
            ),
            approvals,
            own_approval: self.choice(
                "own_approval",
                &own_approval,
                &[("allow", true), ("refuse", false)],
            ),
            callers: self.choice(
                "callers",
                &callers,
                &[("local", Callers::Local), ("authenticated", Callers::Authenticated)],
            ),
            requesters,
            groups,
            signatures,
            renewal: self.choice(
                "renewal",
                &renewal,
                &[
                    ("same-names", Renewal::SameNames),
                    ("any-names", Renewal::AnyNames),
                    ("refuse", Renewal::Refuse),
                ],
            ),
            renewal_window: renewal_days.map(|it| day * it),
            on_behalf: self.choice(
                "on_behalf",
                &on_behalf,
                &[("allow", OnBehalf::Allow), ("refuse", OnBehalf::Refuse)],
            ),
            holder: self.holder(ca, path_length),
            rates: rate.into_iter().map(|it| self.rate(&it)).collect(),
            flags: flags_of(flags[0], flags[1], flags[2]),
            dangerous: dangerous_options(&dangerous),
            name,
        }
    }

    fn mistake(&mut self, field: &str, why: impl Into<String>) {
        let key = format!("template {:?}: {field}", self.template);
        self.mistakes.push(value_error(key, why));
    }

    fn unknown(&mut self, field: &str, word: &str, examples: &str) {
        self.mistake(field, format!("{word:?} is not known; for example: {examples}"));
    }

    /// What each word of a list means.
    fn list<T>(
        &mut self,
        field: &str,
        words: &[String],
        examples: &str,
        meaning: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let mut found = Vec::with_capacity(words.len());
        for word in words {
            match meaning(word) {
                Some(it) => found.push(it),
                None => self.unknown(field, word, examples),
            }
        }
        found
    }

    /// What each text of a list is read as.
    fn entries<T, E: Display>(
        &mut self,
        field: &str,
        texts: &[String],
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let mut found = Vec::with_capacity(texts.len());
        for text in texts {
            match read(text) {
                Ok(it) => found.push(it),
                Err(why) => self.mistake(field, format!("{text:?}: {why}")),
            }
        }
        found
    }

    /// What one word of a few means; the first of them, where it means nothing.
    fn choice<T: Copy>(&mut self, field: &str, word: &str, known: &[(&str, T)]) -> T {
        if let Some((_, it)) = known.iter().find(|(name, _)| *name == word) {
            return *it;
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        self.unknown(field, word, &names.join(", "));
        known[0].1
    }

    fn others(&mut self, field: &str, word: &str) -> Others {
        self.choice(field, word, &[("refuse", Others::Refuse), ("ignore", Others::Ignore)])
    }

    fn moment(&mut self, field: &str, text: Option<&str>) -> Option<UnixMillis> {
        let text = text?;
        let moment = exeunt_http::from_rfc3339(text);
        if moment.is_none() {
            self.mistake(field, format!("{text:?} is not a moment such as 2027-01-31T12:00:00Z"));
        }
        moment
    }

    fn holder(&mut self, ca: bool, path_length: Option<u8>) -> Holder {
        if ca {
            return Holder::Ca { path_length };
        }
        if path_length.is_some() {
            self.mistake("path_length", "it is for templates of CAs, which need ca = true");
        }
        Holder::EndEntity
    }

    fn rate(&mut self, table: &RateTable) -> RateRule {
        let RateTable { certificates, window_s, per } = table;
        RateRule {
            certificates: *certificates,
            window: Duration::from_secs(*window_s),
            per: self.choice(
                "rate.per",
                per,
                &[("template", RatePer::Template), ("requester", RatePer::Requester)],
            ),
        }
    }
}

fn dangerous_options(table: &DangerousTable) -> Dangerous {
    let DangerousTable {
        san_from_attributes,
        end_date_from_attributes,
        eku_from_attributes,
        all_request_extensions,
        subject_from_attributes,
    } = *table;
    Dangerous {
        san_from_attributes,
        end_date_from_attributes,
        eku_from_attributes,
        all_request_extensions,
        subject_from_attributes,
    }
}

fn oid(word: &str) -> Option<ObjectIdentifier> {
    ObjectIdentifier::new(word).ok()
}

fn key_algorithm(word: &str) -> Option<KeyAlgorithm> {
    if let Some(bits) = word.strip_prefix("rsa-") {
        let bits: u32 = bits.parse().ok()?;
        let known = exeunt_x509::RSA_BITS_MIN..=exeunt_x509::RSA_BITS_MAX;
        return known.contains(&bits).then_some(KeyAlgorithm::Rsa { bits });
    }
    KeyAlgorithm::KEY_TYPES.into_iter().find(|it| it.name() == word)
}

fn subject_oid(word: &str) -> Option<String> {
    let named = SUBJECT_ATTRIBUTES.iter().find(|(name, _)| *name == word);
    match named {
        Some((_, oid)) => Some((*oid).to_owned()),
        None => ObjectIdentifier::new(word).ok().map(|oid| oid.to_string()),
    }
}

/// An RDN such as `OU=Servers`, `CN={CommonName}` or `CN={CommonName}+SERIALNUMBER={RequesterName}`.
fn rdn(text: &str) -> Result<Vec<SubjectPart>, String> {
    let part = |text: &str| {
        let (kind, value) = text.split_once('=').ok_or("it is not written like CN={CommonName}")?;
        let kind = kind.trim();
        let oid = NameProperty::find(kind).map(|it| it.oid.to_owned());
        // Any other keyword that names have.
        let by_keyword = || {
            let name = Name::parse(&format!("{kind}=a")).ok()?;
            name.attributes().next().map(|(oid, _)| oid)
        };
        let oid = oid.or_else(|| subject_oid(kind)).or_else(by_keyword);
        let oid = oid.ok_or_else(|| format!("{kind:?} is no attribute of a subject"))?;
        let value = Pattern::parse(value.trim()).map_err(|err| err.to_string())?;
        Ok::<_, String>(SubjectPart { oid, value })
    };
    text.split('+').map(part).collect()
}

/// A name such as `dns:{CommonName}` or `upn:{RequesterShortName}@corp.example`.
fn name_entry(text: &str) -> Result<NameEntry, String> {
    let (kind, value) =
        text.split_once(':').ok_or("it is not written like dns:{CommonName}.example")?;
    let kind = NameKind::from_name(kind).ok_or_else(|| format!("{kind:?} is no kind of names"))?;
    let value = Pattern::parse(value).map_err(|err| err.to_string())?;
    Ok(NameEntry { kind, value })
}
