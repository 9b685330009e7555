//! From an export to a configuration, value by value.

use std::collections::BTreeSet;

use super::compose::{Heading, compose};
use super::exits::exits;
use super::places::places;
use super::reasons::reason;
use super::registry::{Key, Registry, RegistryError, Value};

/// Where the settings of all CAs of a machine are, whatever stands before it.
const CONFIGURATION: &str = "\\services\\certsvc\\configuration";

/// Longest name of a CA, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Why no configuration came out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The file is no export.
    #[error("the export cannot be read")]
    Registry(#[from] RegistryError),
    /// It is an export of something else.
    #[error("the export holds no settings of a certificate authority")]
    NoCa,
    /// There are several, and none is said to be the active one.
    #[error("the export holds several CAs ({0}); say which one")]
    Several(String),
    /// The CA that was asked for is not there.
    #[error("the export holds no CA {asked:?}; it holds {there}")]
    Unknown {
        /// Its name, as it was given.
        asked: String,
        /// The names that there are.
        there: String,
    },
}

impl ConvertError {
    /// Stable code for messages.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Registry(_) => "settings-export-malformed",
            Self::NoCa => "settings-export-no-ca",
            Self::Several(_) => "settings-export-several",
            Self::Unknown { .. } => "settings-export-unknown-ca",
        }
    }
}

/// Something that was not taken over as it was, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Key below the configuration, and the value's name.
    pub place: String,
    /// The value, in short.
    pub value: String,
    /// Whether it is about a part of a value, an entry of a list.
    pub is_part: bool,
    /// Why, or what became of it.
    pub reason: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { place, value, .. } = self;
        if value.is_empty() { out.write_str(place) } else { write!(out, "{place} = {value}") }
    }
}

/// Notes by their reason, each reason once, in the order in which they came.
pub fn by_reason(notes: &[Note]) -> Vec<(&str, Vec<&Note>)> {
    let mut groups: Vec<(&str, Vec<&Note>)> = Vec::new();
    for note in notes {
        match groups.iter_mut().find(|(reason, _)| *reason == note.reason) {
            Some((_, group)) => group.push(note),
            None => groups.push((&note.reason, vec![note])),
        }
    }
    groups
}

/// What became of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// Name of the CA.
    pub name: String,
    /// The configuration.
    pub toml: String,
    /// What a person still has to give, and to which module.
    pub needs: Vec<String>,
    /// What was not taken over as it was.
    pub notes: Vec<Note>,
}

/// The settings of one CA, and what has been looked at.
pub struct Settings<'a> {
    registry: &'a Registry,
    root: String,
    /// The CA's key in lower case.
    pub ca: String,
    taken: BTreeSet<(String, String)>,
    /// What was not taken over as it was.
    pub notes: Vec<Note>,
}

impl<'a> Settings<'a> {
    /// A key below the CA's; nothing for the CA's own.
    pub fn key(&self, below: &str) -> Option<&'a Key> {
        self.registry.0.get(&self.path(below))
    }

    fn path(&self, below: &str) -> String {
        let dash = if below.is_empty() { "" } else { "\\" };
        format!("{}{dash}{}", self.ca, below.to_ascii_lowercase())
    }

    /// Keys right below one below the CA's, in their own spelling.
    pub fn children(&self, below: &str) -> Vec<&'a str> {
        let start = self.path(below) + "\\";
        let names = self.registry.0.iter().filter_map(|(lower, key)| {
            let rest = lower.strip_prefix(&start)?;
            let name = key.path.get(key.path.len() - rest.len()..)?;
            name.split('\\').next()
        });
        let mut seen = BTreeSet::new();
        names.filter(|it| seen.insert(it.to_ascii_lowercase())).collect()
    }

    /// A value, which counts as taken over from then on.
    pub fn take(&mut self, below: &str, name: &str) -> Option<&'a Value> {
        let value = self.key(below)?.value(name)?;
        self.taken.insert((self.path(below), name.to_ascii_lowercase()));
        Some(value)
    }

    /// A text that is not empty.
    pub fn text(&mut self, below: &str, name: &str) -> Option<&'a str> {
        match self.take(below, name) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            Some(Value::Texts(texts)) if texts.len() == 1 => texts.first().map(String::as_str),
            Some(Value::Text(_)) | None => None,
            Some(_) => {
                self.note(below, name, "it is of another type than the original's");
                None
            }
        }
    }

    /// A number.
    pub fn number(&mut self, below: &str, name: &str) -> Option<u64> {
        match self.take(below, name) {
            Some(Value::Number(number)) => Some(*number),
            None => None,
            Some(_) => {
                self.note(below, name, "it is of another type than the original's");
                None
            }
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, below: &str, name: &str) -> Vec<&'a str> {
        match self.take(below, name) {
            Some(Value::Texts(texts)) => texts.iter().map(String::as_str).collect(),
            Some(Value::Text(text)) if !text.is_empty() => vec![text],
            Some(Value::Text(_)) | None => Vec::new(),
            Some(_) => {
                self.note(below, name, "it is of another type than the original's");
                Vec::new()
            }
        }
    }

    /// Says what became of a value.
    pub fn note(&mut self, below: &str, name: &str, reason: impl Into<String>) {
        let value = self.key(below).and_then(|it| it.value(name)).map(Value::to_string);
        self.note_of(below, name, value.unwrap_or_default(), reason);
        if let Some(note) = self.notes.last_mut() {
            note.is_part = false;
        }
    }

    /// Says what became of a part of a value.
    pub fn note_of(
        &mut self,
        below: &str,
        name: &str,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) {
        let path = self.path(below);
        let path = self.registry.0.get(&path).map_or(path, |it| it.path.clone());
        let place = format!("{}\\{name}", self.below_root(&path));
        let (place, reason) = (short(&place), short(&reason.into()));
        self.notes.push(Note { place, value: short(&value.into()), is_part: true, reason });
    }

    fn below_root(&self, path: &str) -> String {
        let below = path.get(self.root.len()..).unwrap_or_default().trim_start_matches('\\');
        if below.is_empty() { "Configuration".to_owned() } else { below.to_owned() }
    }

    /// A note for every value that nobody took.
    fn note_rest(&mut self) {
        let mut rest = Vec::new();
        for (lower, key) in &self.registry.0 {
            let is_other_ca = {
                let below = lower.strip_prefix(&self.root).map(|it| it.trim_start_matches('\\'));
                let ca = self.ca.get(self.root.len() + 1..).unwrap_or_default();
                match below {
                    None => Some("it is outside of the CA's configuration"),
                    Some("") => None,
                    Some(below) if below == ca || below.starts_with(&format!("{ca}\\")) => None,
                    Some(_) => Some("it is of another CA"),
                }
            };
            if let Some(reason) = is_other_ca {
                rest.push(Note {
                    place: short(&key.path),
                    value: format!("{} values", key.values.len()),
                    is_part: false,
                    reason: reason.to_owned(),
                });
                continue;
            }
            for (name, (written, value)) in &key.values {
                if self.taken.contains(&(lower.clone(), name.clone())) {
                    continue;
                }
                rest.push(Note {
                    place: short(&format!("{}\\{written}", self.below_root(&key.path))),
                    value: short(&value.to_string()),
                    is_part: false,
                    reason: reason(&key.path, written),
                });
            }
        }
        self.notes.extend(rest);
    }
}

/// Converts an export. `ca` names one of several CAs.
///
/// # Errors
///
/// [`ConvertError`].
pub fn convert(export: &[u8], ca: Option<&str>) -> Result<Converted, ConvertError> {
    let registry = Registry::parse(export)?;
    let root = root_of(&registry).ok_or(ConvertError::NoCa)?;
    let ca = ca_of(&registry, &root, ca)?;
    let mut settings = Settings {
        registry: &registry,
        root: root.clone(),
        ca: format!("{root}\\{}", ca.to_ascii_lowercase()),
        taken: BTreeSet::from([(root, "active".to_owned())]),
        notes: Vec::new(),
    };
    let common = settings.text("", "CommonName").unwrap_or(&ca).to_owned();
    let name: String = common.chars().take(NAME_CHARS_MAX).collect();
    if name != common {
        settings.note("", "CommonName", format!("it is cut to {NAME_CHARS_MAX} characters"));
    }
    let places = places(&mut settings, &ca);
    let crl = crl(&mut settings);
    let template = template(&mut settings);
    let audit = audit(&mut settings);
    let (exits, needs) = exits(&mut settings, &places);
    settings.note_rest();
    let (audit, notes) = (audit.as_deref(), settings.notes);
    let heading = Heading { needs: &needs, notes: &notes };
    let toml = compose(&name, heading, &places, &crl, &template, audit, &exits);
    Ok(Converted { name, toml, needs, notes })
}

/// The path of the configuration, in lower case.
fn root_of(registry: &Registry) -> Option<String> {
    registry.0.keys().find_map(|path| {
        let at = path.find(CONFIGURATION)? + CONFIGURATION.len();
        let root = path.get(..at)?;
        let end = path.get(at..)?;
        (end.is_empty() || end.starts_with('\\')).then(|| root.to_owned())
    })
}

/// The CA's key, in its own spelling.
fn ca_of(registry: &Registry, root: &str, asked: Option<&str>) -> Result<String, ConvertError> {
    let start = format!("{root}\\");
    let mut cas: Vec<String> = Vec::new();
    for (path, key) in &registry.0 {
        let Some(below) = path.strip_prefix(&start) else { continue };
        let name = key.path.get(start.len()..).and_then(|it| it.split('\\').next());
        if let Some(name) = name
            && !below.is_empty()
            && !cas.iter().any(|it| it.eq_ignore_ascii_case(name))
        {
            cas.push(name.to_owned());
        }
    }
    let active = registry.0.get(root).and_then(|it| it.value("Active"));
    let active = match active {
        Some(Value::Text(name)) => Some(name.as_str()),
        Some(Value::Texts(names)) => names.first().map(String::as_str),
        _ => None,
    };
    let find = |name: &str| cas.iter().find(|it| it.eq_ignore_ascii_case(name)).cloned();
    match (asked, active.and_then(find), &cas[..]) {
        (_, None, []) => Err(ConvertError::NoCa),
        (Some(asked), ..) => find(asked).ok_or_else(|| ConvertError::Unknown {
            asked: asked.to_owned(),
            there: cas.join(", "),
        }),
        (None, Some(active), _) => Ok(active),
        (None, None, [one]) => Ok(one.clone()),
        (None, None, many) => Err(ConvertError::Several(many.join(", "))),
    }
}

/// A number of the configuration itself, above the CAs.
pub fn root_number(settings: &mut Settings<'_>, name: &str) -> Option<u64> {
    let root = settings.root.clone();
    let value = settings.registry.0.get(&root)?.value(name)?;
    settings.taken.insert((root, name.to_ascii_lowercase()));
    match value {
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// A period in seconds: `<name>Period` or `<name>` with its units.
fn period(settings: &mut Settings<'_>, unit_name: &str, count_name: &str) -> Option<u64> {
    let count = settings.number("", count_name);
    let unit = settings.text("", unit_name)?;
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "seconds" => 1,
        "minutes" => 60,
        "hours" => 3_600,
        "days" => 86_400,
        "weeks" => 604_800,
        "months" => 30 * 86_400,
        "years" => 365 * 86_400,
        _ => {
            settings.note("", unit_name, "there is no such unit");
            return None;
        }
    };
    if matches!(unit.to_ascii_lowercase().as_str(), "months") {
        settings.note("", unit_name, "a month is written as 30 days");
    }
    Some(count?.saturating_mul(seconds))
}

/// The lines of the table `crl` about time.
fn crl(settings: &mut Settings<'_>) -> Vec<String> {
    /// What `[crl]` allows, in seconds.
    const ALLOWED: std::ops::RangeInclusive<u64> = 60..=315_360_000;
    let mut lines = Vec::new();
    let base = period(settings, "CRLPeriod", "CRLPeriodUnits");
    match base {
        Some(0) => lines.push("publish = false".to_owned()),
        Some(base) if ALLOWED.contains(&base) => lines.push(format!("period_s = {base}")),
        Some(_) => {
            settings.note("", "CRLPeriodUnits", "such a period is not allowed; a week is set");
        }
        None => (),
    }
    let of_base = base.filter(|it| ALLOWED.contains(it)).unwrap_or(604_800);
    match period(settings, "CRLDeltaPeriod", "CRLDeltaPeriodUnits") {
        None | Some(0) => (),
        Some(delta) if ALLOWED.contains(&delta) && delta < of_base => {
            lines.push(format!("delta_period_s = {delta}"));
        }
        Some(_) => settings.note(
            "",
            "CRLDeltaPeriodUnits",
            "deltas have to come more often than complete lists; there are none",
        ),
    }
    let overlaps = [
        ("CRLOverlapPeriod", "CRLOverlapUnits", "overlap_s"),
        ("CRLDeltaOverlapPeriod", "CRLDeltaOverlapUnits", "delta_overlap_s"),
    ];
    for (unit, count, key) in overlaps {
        // The newer spelling has the word twice.
        let long = format!("{unit}Units");
        let has_long = settings.key("").is_some_and(|it| it.value(&long).is_some());
        let count = if has_long { &long } else { count };
        // 0 is the original's word for its own rule, which is ours too.
        match period(settings, unit, count) {
            None | Some(0) => (),
            Some(overlap) => lines.push(format!("{key} = {}", overlap.min(*ALLOWED.end()))),
        }
    }
    let skew = settings.number("", "ClockSkewMinutes");
    if let Some(minutes) = skew {
        lines.push(format!("clock_skew_s = {}", minutes.saturating_mul(60).min(86_400)));
    }
    lines
}

/// What the template of the configuration takes over.
pub struct TemplateSettings {
    /// How long certificates last.
    pub validity_days: u64,
    /// How long before now they begin.
    pub backdate_s: u64,
    /// Whether requests wait for an officer.
    pub hold: bool,
}

fn template(settings: &mut Settings<'_>) -> TemplateSettings {
    let validity = period(settings, "ValidityPeriod", "ValidityPeriodUnits");
    let validity_days = validity.map_or(365, |it| (it / 86_400).clamp(1, 36_525));
    let skew = settings.number("", "ClockSkewMinutes");
    let backdate_s = skew.unwrap_or(10).saturating_mul(60).min(86_400);
    let mut hold = false;
    for module in settings.children("PolicyModules") {
        let below = format!("PolicyModules\\{module}");
        if !module.eq_ignore_ascii_case("CertificateAuthority_MicrosoftDefault.Policy") {
            continue;
        }
        match settings.number(&below, "RequestDisposition") {
            // REQDISP_PENDINGFIRST, and what it is followed by does not matter.
            Some(it) if it & 0x100 != 0 || it.trailing_zeros() >= 8 => hold = true,
            Some(it) if it & 0xff == 1 => (),
            Some(_) => {
                hold = true;
                settings.note(&below, "RequestDisposition", "requests wait for an officer");
            }
            None => (),
        }
    }
    match settings.text("PolicyModules", "Active") {
        None | Some("CertificateAuthority_MicrosoftDefault.Policy") => (),
        Some(_) => settings.note(
            "PolicyModules",
            "Active",
            "a policy module of the original's kind can run: docs/manual/library-policies.md",
        ),
    }
    TemplateSettings { validity_days, backdate_s, hold }
}

/// The line of the table `audit`.
fn audit(settings: &mut Settings<'_>) -> Option<String> {
    const WORDS: [(u64, &str); 7] = [
        (0x01, "service"),
        (0x02, "backup"),
        (0x04, "requests"),
        (0x08, "revocation"),
        (0x10, "security"),
        (0x20, "keys"),
        (0x40, "configuration"),
    ];
    let filter = settings.number("", "AuditFilter")?;
    if filter & !0x7f != 0 {
        settings.note("", "AuditFilter", "bits above 0x40 mean nothing here");
    }
    let words =
        WORDS.iter().filter(|(bit, _)| filter & bit != 0).map(|(_, word)| format!("{word:?}"));
    let words: Vec<String> = words.collect();
    Some(format!("filter = [{}]", words.join(", ")))
}

/// A value for people: one line, and not the whole of something long.
fn short(value: &str) -> String {
    /// Longest value in a note, in characters.
    const CHARS_MAX: usize = 300;
    let plain: String = value.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    if plain.chars().count() <= CHARS_MAX {
        return plain;
    }
    plain.chars().take(CHARS_MAX).chain("…".chars()).collect()
}

/// A text as TOML writes it.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
