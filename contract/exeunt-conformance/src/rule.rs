//! The rules, each with its id and its sentence, and what was found about each.

/// How a module stands to a rule. Ordered: the worst that was found is the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// There was no occasion to find out.
    NotApplicable,
    /// The module keeps it.
    Pass,
    /// The contract allows what the module does, and something else would be better.
    Advice,
    /// The module breaks it.
    Fail,
}

impl Verdict {
    /// The word for it in reports. Never renamed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotApplicable => "not-applicable",
            Self::Pass => "pass",
            Self::Advice => "advice",
            Self::Fail => "fail",
        }
    }
}

/// A rule of the contract that can be seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Starts,
    InitializeAnswered,
    ProtocolVersion,
    FeaturesOffered,
    EventMask,
    WindowWithinOffer,
    DescriptionText,
    StdoutIsMessages,
    AnswersWellFormed,
    AnswersOnce,
    NotifyAnswered,
    NotifyOutcome,
    EventUnasked,
    Redelivery,
    PropertiesMissing,
    TextNonAscii,
    AttributeLineFeeds,
    EventOfTheFuture,
    PropertyTypeOfTheFuture,
    MembersUnknown,
    EventLarge,
    IdsAnyOrder,
    SubjectsInterleaved,
    WindowFilled,
    MethodUnknown,
    NotificationUnanswered,
    LineMalformed,
    InitializeTwice,
    SettingsUnknown,
    ManageAnswered,
    ManageGetProperty,
    ManageSetProperty,
    ManageConfigure,
    CallBacksWellFormed,
    CallBacksReadOnly,
    CallBacksInHand,
    CallBacksEmpty,
    ShutdownAnswered,
    ShutdownExits,
    EndOfInputExits,
}

/// Every rule in the order of the report: id (never renamed) and sentence.
pub(crate) const RULES: [(Rule, &str, &str); 40] = [
    (Rule::Starts, "starts", "the program can be started"),
    (
        Rule::InitializeAnswered,
        "initialize-answered",
        "Initialize with the given settings is answered with a result in time",
    ),
    (Rule::ProtocolVersion, "protocol-version", "Initialize answers with protocol 1"),
    (
        Rule::FeaturesOffered,
        "features-offered",
        "only features are taken that it knows and was offered",
    ),
    (Rule::EventMask, "event-mask", "Initialize answers with the sum of the bits of known events"),
    (Rule::WindowWithinOffer, "window-within-offer", "the window is 1 to what was offered"),
    (Rule::DescriptionText, "description-text", "GetDescription is answered with one line of text"),
    (
        Rule::StdoutIsMessages,
        "stdout-is-messages",
        "nothing but messages, one a line, stands on standard output",
    ),
    (
        Rule::AnswersWellFormed,
        "answers-well-formed",
        "each answer has jsonrpc \"2.0\", an id, and either a result or an error",
    ),
    (
        Rule::AnswersOnce,
        "answers-once",
        "each call is answered once, and nothing that was not asked",
    ),
    (Rule::NotifyAnswered, "notify-answered", "each event that it asked for is answered in time"),
    (Rule::NotifyOutcome, "notify-outcome", "the answer to an event is an outcome of the contract"),
    (Rule::EventUnasked, "event-unasked", "an event that it did not ask for does no harm"),
    (
        Rule::Redelivery,
        "redelivery",
        "an event that it has settled and that comes again is settled again",
    ),
    (
        Rule::PropertiesMissing,
        "properties-missing",
        "an event of which nothing more is known is answered",
    ),
    (Rule::TextNonAscii, "text-non-ascii", "names and values beyond ASCII are taken"),
    (Rule::AttributeLineFeeds, "attribute-line-feeds", "line feeds in an attribute are taken"),
    (
        Rule::EventOfTheFuture,
        "event-of-the-future",
        "an event with a bit of a later version is skipped or accepted",
    ),
    (
        Rule::PropertyTypeOfTheFuture,
        "property-type-of-the-future",
        "a property of a type of a later version is passed over",
    ),
    (Rule::MembersUnknown, "members-unknown", "members that it does not know are passed over"),
    (Rule::EventLarge, "event-large", "an event of 3 MiB is taken"),
    (Rule::IdsAnyOrder, "ids-any-order", "the ids of calls may be any, in any order, 0 included"),
    (
        Rule::SubjectsInterleaved,
        "subjects-interleaved",
        "events of two subjects that come in turns are taken",
    ),
    (
        Rule::WindowFilled,
        "window-filled",
        "as many events at once as it agreed to are all answered",
    ),
    (Rule::MethodUnknown, "method-unknown", "an unknown method is answered with -32601"),
    (
        Rule::NotificationUnanswered,
        "notification-unanswered",
        "a request without an id is not answered",
    ),
    (
        Rule::LineMalformed,
        "line-malformed",
        "a line that is no JSON is answered with -32700 or passed over",
    ),
    (Rule::InitializeTwice, "initialize-twice", "a second Initialize is answered"),
    (
        Rule::SettingsUnknown,
        "settings-unknown",
        "a setting that it does not know is refused with -32000",
    ),
    (
        Rule::ManageAnswered,
        "manage-answered",
        "GetManageModule before Initialize describes the settings or is answered with -32601",
    ),
    (
        Rule::ManageGetProperty,
        "manage-get-property",
        "GetProperty is answered with a property or null, or with -32601",
    ),
    (
        Rule::ManageSetProperty,
        "manage-set-property",
        "SetProperty takes a given setting with null, or refuses what cannot be alone with -32000 and a reason",
    ),
    (
        Rule::ManageConfigure,
        "manage-configure",
        "Configure takes the given settings with null and refuses what Initialize refuses",
    ),
    (
        Rule::CallBacksWellFormed,
        "call-backs-well-formed",
        "each call-back has an id and the parameters of the contract",
    ),
    (
        Rule::CallBacksReadOnly,
        "call-backs-read-only",
        "it calls back by the four reading methods only",
    ),
    (
        Rule::CallBacksInHand,
        "call-backs-in-hand",
        "it asks about events that it has not answered yet, or about the CA",
    ),
    (
        Rule::CallBacksEmpty,
        "call-backs-empty",
        "where call-backs are answered that there is no value, events are still answered",
    ),
    (Rule::ShutdownAnswered, "shutdown-answered", "Shutdown is answered with null"),
    (
        Rule::ShutdownExits,
        "shutdown-exits",
        "after Shutdown it ends by itself, in time and with status 0",
    ),
    (
        Rule::EndOfInputExits,
        "end-of-input-exits",
        "when its standard input ends it ends by itself, in time",
    ),
];

/// Most notes that are kept for one rule.
const NOTES_MAX: usize = 3;

/// Longest note, in characters.
const NOTE_CHARS_MAX: usize = 300;

/// What was found so far about one rule.
#[derive(Clone, Debug)]
struct Found {
    verdict: Verdict,
    notes: Vec<String>,
    /// Notes beyond [`NOTES_MAX`].
    more: usize,
}

/// What was found so far about every rule.
#[derive(Debug)]
pub(crate) struct Findings(Vec<Found>);

impl Findings {
    pub(crate) fn new() -> Self {
        let nothing = Found { verdict: Verdict::NotApplicable, notes: Vec::new(), more: 0 };
        Self(vec![nothing; RULES.len()])
    }

    pub(crate) fn pass(&mut self, rule: Rule, note: impl AsRef<str>) {
        self.note(rule, Verdict::Pass, note.as_ref());
    }

    pub(crate) fn advice(&mut self, rule: Rule, note: impl AsRef<str>) {
        self.note(rule, Verdict::Advice, note.as_ref());
    }

    pub(crate) fn fail(&mut self, rule: Rule, note: impl AsRef<str>) {
        self.note(rule, Verdict::Fail, note.as_ref());
    }

    /// Why there was no occasion to find out.
    pub(crate) fn not_applicable(&mut self, rule: Rule, note: impl AsRef<str>) {
        self.note(rule, Verdict::NotApplicable, note.as_ref());
    }

    fn note(&mut self, rule: Rule, verdict: Verdict, note: &str) {
        let found = &mut self.0[rule as usize];
        if verdict < found.verdict {
            return;
        }
        if found.verdict < verdict {
            *found = Found { verdict, notes: Vec::new(), more: 0 };
        }
        let note = cut(note);
        if note.is_empty() || found.notes.contains(&note) {
            return;
        }
        if found.notes.len() < NOTES_MAX { found.notes.push(note) } else { found.more += 1 }
    }

    /// Id, sentence, verdict and what was seen, for each rule.
    pub(crate) fn checked(&self) -> Vec<Checked> {
        let mut checked = Vec::with_capacity(RULES.len());
        for ((_, id, sentence), found) in RULES.iter().zip(&self.0) {
            let mut seen = found.notes.join("; ");
            if 0 < found.more {
                seen = format!("{seen}; and {} times more", found.more);
            }
            checked.push(Checked { id, sentence, verdict: found.verdict, seen });
        }
        checked
    }
}

/// A rule, and how the module stands to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Id of the rule in kebab-case. Never renamed.
    pub id: &'static str,
    /// The rule as a sentence.
    pub sentence: &'static str,
    /// How the module stands to it.
    pub verdict: Verdict,
    /// What was seen, on one line; may be empty.
    pub seen: String,
}

/// What the module said, on one line, without control characters and not too long.
pub(crate) fn cut(text: &str) -> String {
    let clean = |it: char| if it.is_control() { ' ' } else { it };
    let mut cut: String = text.trim().chars().map(clean).take(NOTE_CHARS_MAX).collect();
    if cut.chars().count() == NOTE_CHARS_MAX {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_rule_in_its_place() {
        for (place, (rule, id, sentence)) in RULES.iter().enumerate() {
            assert_eq!(*rule as usize, place, "{id}");
            assert!(!sentence.is_empty());
        }
        assert_eq!(Rule::EndOfInputExits as usize + 1, RULES.len());
    }

    #[test]
    fn the_worst_that_was_found_is_the_verdict() {
        let mut findings = Findings::new();
        findings.pass(Rule::Starts, "a");
        findings.fail(Rule::Starts, "b\nc");
        findings.advice(Rule::Starts, "d");
        let checked = &findings.checked()[0];
        assert_eq!((checked.verdict, checked.seen.as_str()), (Verdict::Fail, "b c"));
    }
}
