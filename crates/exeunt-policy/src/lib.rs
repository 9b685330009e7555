//! The built-in policy: a list of templates decides.
//!
//! It reads nothing but the question and its templates, and writes nothing. Enter at
//! [`TemplatePolicy`].

mod attribute;
mod decide;
mod escape;
mod flag_word;
mod module;
mod pattern;
mod property;
mod rule;
mod switch;
mod template;
mod view;

pub use decide::{TemplatePolicy, TemplatePolicyError};
pub use flag_word::{FlagSet, flags_of};
pub use module::{
    ModuleFacts, ModulePolicy, ModuleSettings, ModuleStatus, Observation, OnFailure, Witness,
};
pub use pattern::{PATTERN_BYTES_MAX, PATTERN_PLACES_MAX, Pattern, PatternError};
pub use property::{NAME_PROPERTIES, NameProperty};
pub use switch::SwitchPolicy;
pub use template::{
    Callers, Dangerous, Holder, Issuance, NAME_ENTRIES_MAX, NameEntry, NameKind, NamesRule,
    OnBehalf, Others, RATE_CERTIFICATES_MAX, RATE_LIMITS_MAX, RATE_WINDOW_MAX, RatePer, RateRule,
    Renewal, SidRule, SignatureRule, SubjectPart, SubjectRule, Template, TemplateError, UsageName,
};
