//! The built-in policy: a list of templates decides.
//!
//! It reads nothing but the question and its templates, and writes nothing. Enter at
//! [`TemplatePolicy`].

mod decide;
mod template;

pub use decide::{TemplatePolicy, TemplatePolicyError};
pub use template::{
    Callers, Holder, Issuance, NameKind, OnBehalf, Renewal, Template, TemplateError, UsageName,
};
