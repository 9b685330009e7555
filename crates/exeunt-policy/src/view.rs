//! A template as it is shown: its settings as words, in the order in which people read them.

use exeunt_engine::TemplateView;
use exeunt_types::TemplateFlags;
use exeunt_x509::{KeyUsage, ObjectIdentifier, time_text};

use crate::template::{
    Callers, Holder, Issuance, NameKind, OnBehalf, Others, RatePer, RateRule, Renewal, SubjectPart,
    Template,
};

impl Template {
    /// The template as it is shown.
    #[must_use]
    pub fn view(&self, is_default: bool) -> TemplateView {
        let mut settings = Vec::with_capacity(32);
        // A key that says nothing is not shown.
        let mut say = |key, value: String| {
            if !value.is_empty() {
                settings.push((key, value));
            }
        };
        say("validity_days", days(self.validity));
        say("backdate_s", self.backdate.as_secs().to_string());
        let moment = |it: exeunt_types::UnixMillis| time_text(it.unix_seconds());
        say("valid_from", self.valid_from.map(moment).unwrap_or_default());
        say("valid_until", self.valid_until.map(moment).unwrap_or_default());
        let usages = KeyUsage::NAMES.into_iter().filter(|(_, it)| self.key_usage.contains(*it));
        say("key_usage", usages.map(|(name, _)| name).collect::<Vec<_>>().join(", "));
        say("extended_key_usage", identifiers(&self.extended_key_usage));
        let names: Vec<String> = self.key_minimum.iter().map(|it| it.name()).collect();
        say("key_minimum", names.join(", "));
        say("subject_from_request", self.subject_allowed.join(", "));
        say("subject_other", others(self.subject.others));
        let rdns = self.subject.build.iter().map(|it| rdn(it));
        say("subject", rdns.collect::<Vec<_>>().join(", "));
        say("san_from_request", kinds(&self.names_allowed));
        say("san_other", others(self.names.others));
        let added = self.names.add.iter();
        let added = added.map(|it| format!("{}:{}", it.kind.word(), it.value.text()));
        say("san_add", added.collect::<Vec<_>>().join(", "));
        say("san_required", kinds(&self.names.required));
        say("dns_from_common_name", yes(self.dns_from_common_name));
        say("sid_from_request", yes(self.sid.from_request));
        say("sid_required", yes(self.sid.required));
        let sids = self.sid.by_requester.iter().map(|(name, sid)| format!("{name} = {sid}"));
        say("sid", sids.collect::<Vec<_>>().join(", "));
        say("extensions_from_request", identifiers(&self.extensions_allowed));
        say("issue", issuance(self.issuance));
        if self.issuance == Issuance::Hold {
            say("approvals", self.approvals.to_string());
            let own = if self.own_approval { "allow" } else { "refuse" };
            say("own_approval", own.to_owned());
        }
        say("callers", callers(self.callers));
        say("requesters", self.requesters.join(", "));
        say("groups", self.groups.join(", "));
        if let Some(rule) = &self.signatures {
            say("signatures", rule.count.to_string());
            say("signature_purposes", identifiers(&rule.purposes));
            say("signature_policies", identifiers(&rule.policies));
        }
        say("renewal", renewal(self.renewal));
        say("renewal_days", self.renewal_window.map(days).unwrap_or_default());
        say("on_behalf", on_behalf(self.on_behalf));
        if let Holder::Ca { path_length } = self.holder {
            say("ca", "true".to_owned());
            say("path_length", path_length.map(|it| it.to_string()).unwrap_or_default());
        }
        say("rate", self.rates.iter().map(rate).collect::<Vec<_>>().join(", "));
        if let Some(TemplateFlags { enrollment, general, private_key }) = self.flags {
            say("enrollment_flags", format!("{enrollment:#x}"));
            say("general_flags", format!("{general:#x}"));
            say("private_key_flags", format!("{private_key:#x}"));
        }
        let dangerous = self.dangerous.names();
        say("dangerous", dangerous.join(", "));
        TemplateView { name: self.name.clone(), is_default, settings, dangerous }
    }
}

fn days(duration: std::time::Duration) -> String {
    (duration.as_secs() / 86_400).to_string()
}

fn yes(is_on: bool) -> String {
    if is_on { "true".to_owned() } else { String::new() }
}

fn identifiers(list: &[ObjectIdentifier]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn kinds(list: &[NameKind]) -> String {
    list.iter().map(|it| it.word()).collect::<Vec<_>>().join(", ")
}

fn rdn(parts: &[SubjectPart]) -> String {
    let parts = parts.iter().map(|it| format!("{}={}", it.oid, it.value.text()));
    parts.collect::<Vec<_>>().join("+")
}

fn others(others: Others) -> String {
    match others {
        Others::Refuse => "refuse",
        Others::Ignore => "ignore",
    }
    .to_owned()
}

fn issuance(issuance: Issuance) -> String {
    match issuance {
        Issuance::AtOnce => "at-once",
        Issuance::Hold => "hold",
    }
    .to_owned()
}

fn callers(callers: Callers) -> String {
    match callers {
        Callers::Local => "local",
        Callers::Authenticated => "authenticated",
    }
    .to_owned()
}

fn renewal(renewal: Renewal) -> String {
    match renewal {
        Renewal::SameNames => "same-names",
        Renewal::AnyNames => "any-names",
        Renewal::Refuse => "refuse",
    }
    .to_owned()
}

fn on_behalf(on_behalf: OnBehalf) -> String {
    match on_behalf {
        OnBehalf::Allow => "allow",
        OnBehalf::Refuse => "refuse",
    }
    .to_owned()
}

fn rate(rate: &RateRule) -> String {
    let RateRule { certificates, window, per } = rate;
    let per = match per {
        RatePer::Template => "template",
        RatePer::Requester => "requester",
    };
    format!("{certificates} in {} s per {per}", window.as_secs())
}
