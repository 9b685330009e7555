//! How many certificates, and who has to approve them.

use exeunt_types::RateLimit;

use super::{Case, Ruling};
use crate::template::{Holder, Issuance, RatePer};

/// Limits of issuance: whether there is room is the store's to say, for all who ask at once.
pub(super) fn rate(case: &mut Case<'_>) -> Ruling {
    if case.template.rates.is_empty() {
        return Ruling::NotApplied("the template limits no rates");
    }
    case.pass(|| {
        let limits = case.limits();
        let line = |it: &RateLimit| {
            format!("{} of {} in {} s", it.certificates, it.scope, it.window.as_secs())
        };
        let lines: Vec<String> = limits.iter().map(line).collect();
        format!("counts against: {}", lines.join("; "))
    })
}

/// Whether an officer has to approve, and whether enough of them have. Officers have seen what is taken
/// up again; where one is enough, holding it once more would hold it for ever.
pub(super) fn rule(case: &mut Case<'_>) -> Ruling {
    let template = case.template;
    if template.issuance == Issuance::AtOnce {
        return Ruling::NotApplied("the template issues at once");
    }
    let (count, needed) = (case.asked.approvals.len(), template.approvals);
    if needed <= count || (needed <= 1 && !case.asked.new_request) {
        return case.pass(|| format!("{count} of {needed} approvals"));
    }
    if 0 < count {
        return Ruling::Hold(format!("{count} of {needed} approvals"));
    }
    Ruling::Hold(match template.holder {
        Holder::EndEntity => "taken under submission".to_owned(),
        // For the officer, who sees a request like any other.
        Holder::Ca { .. } => "taken under submission; it makes a CA".to_owned(),
    })
}

impl Case<'_> {
    /// What the certificate counts against.
    pub(super) fn limits(&self) -> Vec<RateLimit> {
        let limit = |it: &crate::template::RateRule| RateLimit {
            scope: match it.per {
                RatePer::Template => format!("template {}", self.template.name),
                RatePer::Requester => {
                    format!("template {} for {}", self.template.name, self.requester())
                }
            },
            certificates: it.certificates,
            window: it.window,
        };
        self.template.rates.iter().map(limit).collect()
    }
}
