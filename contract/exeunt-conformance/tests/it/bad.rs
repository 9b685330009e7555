//! Modules that break one rule each.

use std::thread;

use exeunt_conformance::{ModuleUnderTest, Unchecked, Verdict};

use crate::{check_it, options, python, verdict};

/// The module breaks that rule and no other.
#[track_caller]
fn breaks(rule: &str, bad: &str) {
    let report = check_it(&python(bad));
    assert_eq!(report.with_verdict(Verdict::Fail), [rule], "{report}");
}

/// The module breaks nothing, and that rule has advice for it.
#[track_caller]
fn is_advised(rule: &str, bad: &str) {
    let report = check_it(&python(bad));
    assert!(report.passed(), "{report}");
    assert_eq!(report.with_verdict(Verdict::Advice), [rule], "{report}");
}

#[test]
fn a_program_that_is_not_there() {
    let report = check_it(&ModuleUnderTest::new("/nowhere/at/all"));
    assert_eq!(report.with_verdict(Verdict::Fail), ["starts"]);
    assert_eq!(report.count(Verdict::NotApplicable) + 1, report.rules.len());
    let text = report.to_string();
    assert!(text.contains("nothing was checked: /nowhere/at/all: No such file"), "{text}");
    assert!(!text.contains("breaks the contract") && !text.contains("applicable"), "{text}");
}

#[test]
fn what_keeps_a_module_from_starting_is_no_broken_contract() {
    let missing = ModuleUnderTest::new("python3").args(["/nowhere/issued.py"]);
    let report = check_it(&missing);
    let Some(Unchecked::DidNotStart(why)) = &report.unchecked else { panic!("{report}") };
    assert!(why.contains("can't open file") && why.contains("/nowhere/issued.py"), "{why}");
    assert!(!report.passed());

    let refuses = "class Bad(Module):
    def on_Initialize(self, call, hello):
        self.refuse(call, -32000, 'directory is missing')";
    let report = check_it(&python(refuses));
    let expected = Unchecked::RefusesSettings("directory is missing".to_owned());
    assert_eq!(report.unchecked, Some(expected), "{report}");
    assert!(report.to_string().contains("refuses these settings"), "{report}");
}

#[test]
fn a_program_that_is_no_module() {
    let report = check_it(&ModuleUnderTest::new("true"));
    assert_eq!(report.with_verdict(Verdict::Fail), ["initialize-answered"], "{report}");
}

/// Modules that leave the check waiting at one point, each until the deadline: all of them at once,
/// so that the deadline passes once.
#[test]
fn silence_breaks_the_rule_about_what_is_waited_for() {
    let bad = [
        // An event is never answered.
        (
            "notify-answered",
            "class Bad(Module):
    def notify(self, call, event):
        if event['event'] != 0x400000:
            super().notify(call, event)",
        ),
        // The id 0 counts as none.
        (
            "ids-any-order",
            "class Bad(Module):
    def notify(self, call, event):
        if call['id']:
            super().notify(call, event)",
        ),
        // Of calls that come together, some are lost.
        (
            "window-filled",
            "class Bad(Module):
    mask = 0x1
    def lines(self):
        while some := os.read(0, 1 << 23):
            while not some.endswith(b'\\n'):
                some += os.read(0, 1 << 23)
            lines = some.splitlines(True)
            yield lines[0]
            if len(lines) < 4:
                yield from lines[1:]",
        ),
        // It stays after the farewell.
        (
            "shutdown-exits",
            "class Bad(Module):
    def shutdown(self, call):
        super().shutdown(call)
        time.sleep(600)",
        ),
        // It does not notice that its host is gone.
        (
            "end-of-input-exits",
            "class Bad(Module):
    def input_ended(self):
        time.sleep(600)",
        ),
    ];
    let bad = bad.map(|(rule, bad)| (rule, python(bad)));
    // A program that says nothing at all.
    let mute = ("initialize-answered", ModuleUnderTest::new("sleep").args(["600"]));
    thread::scope(|scope| {
        for (rule, module) in bad.iter().chain([&mute]) {
            scope.spawn(move || {
                let report = check_it(module);
                assert_eq!(report.with_verdict(Verdict::Fail), [*rule], "{report}");
            });
        }
    });
}

#[test]
fn settings_that_the_module_refuses() {
    let report = check_it(&python("class Bad(Module): pass").setting("size", 7));
    assert_eq!(report.with_verdict(Verdict::Fail), ["initialize-answered"]);
    assert!(report.to_string().contains("there is no setting size"), "{report}");
}

#[test]
fn another_protocol() {
    breaks(
        "protocol-version",
        "class Bad(Module):
    def initialized(self, hello):
        return {**super().initialized(hello), 'protocol': 2}",
    );
}

#[test]
fn features_that_were_not_offered() {
    breaks(
        "features-offered",
        "class Bad(Module):
    def initialized(self, hello):
        return {**super().initialized(hello), 'features': ['telepathy']}",
    );
    breaks(
        "features-offered",
        "class Bad(Module):
    def initialized(self, hello):
        return {**super().initialized(hello), 'features': hello['features']}",
    );
}

#[test]
fn a_mask_that_is_none() {
    breaks(
        "event-mask",
        "class Bad(Module):
    def initialized(self, hello):
        return {**super().initialized(hello), 'event_mask': 'all'}",
    );
}

#[test]
fn no_events_at_all() {
    is_advised("event-mask", "class Bad(Module):\n    mask = 0");
}

#[test]
fn a_window_beyond_the_offer() {
    breaks(
        "window-within-offer",
        "class Bad(Module):
    def initialized(self, hello):
        return {**super().initialized(hello), 'window': hello['window'] + 1}",
    );
}

#[test]
fn a_description_that_is_no_line() {
    breaks(
        "description-text",
        "class Bad(Module):
    def on_GetDescription(self, call, _):
        self.result(call, {'name': 'Bad'})",
    );
    breaks(
        "description-text",
        "class Bad(Module):
    def on_GetDescription(self, call, _):
        self.result(call, 'first\\nsecond')",
    );
}

#[test]
fn words_on_standard_output() {
    breaks(
        "stdout-is-messages",
        "class Bad(Module):
    def notify(self, call, event):
        print('issued', event['id'], flush=True)
        super().notify(call, event)",
    );
}

#[test]
fn a_question_that_was_not_agreed_on() {
    breaks(
        "stdout-is-messages",
        "class Bad(Module):
    def initialized(self, hello):
        return {**super().initialized(hello), 'features': []}
    def notify(self, call, event):
        self.say({'jsonrpc': '2.0', 'id': 1, 'method': 'GetRequestProperty', 'params': {}})
        super().notify(call, event)",
    );
}

#[test]
fn answers_that_are_no_responses() {
    breaks(
        "answers-well-formed",
        "class Bad(Module):
    def result(self, call, value):
        self.say({'id': call['id'], 'result': value})",
    );
    breaks(
        "answers-well-formed",
        "class Bad(Module):
    def on_GetManageModule(self, call, _):
        error = {'code': -32601, 'message': 'no such method'}
        self.say({'jsonrpc': '2.0', 'id': call['id'], 'result': None, 'error': error})",
    );
}

#[test]
fn two_answers_to_one_call() {
    breaks(
        "answers-once",
        "class Bad(Module):
    def notify(self, call, event):
        super().notify(call, event)
        super().notify(call, event)",
    );
    breaks(
        "answers-once",
        "class Bad(Module):
    def notify(self, call, event):
        super().notify(call, event)
        super().notify({'id': call['id'] + 1000000}, event)",
    );
}

#[test]
fn an_event_that_kills() {
    breaks(
        "notify-answered",
        "class Bad(Module):
    def notify(self, call, event):
        if event['event'] == 0x8:
            raise RuntimeError('cannot bear revocations')
        super().notify(call, event)",
    );
}

#[test]
fn an_outcome_that_there_is_not() {
    for outcome in ["{'outcome': 'done'}", "'accept'", "{'outcome': 'retry', 'after_ms': 'soon'}"] {
        breaks(
            "notify-outcome",
            &format!(
                "class Bad(Module):
    def notify(self, call, event):
        if event['event'] == 0x20:
            self.result(call, {outcome})
        else:
            super().notify(call, event)"
            ),
        );
    }
}

#[test]
fn an_event_that_was_not_asked_for_and_does_harm() {
    is_advised(
        "event-unasked",
        "class Bad(Module):
    mask = 0x1
    def on_Notify(self, call, params):
        if params['event']['event'] in (0x8, 0x2):
            raise RuntimeError('I did not ask for this')
        super().on_Notify(call, params)",
    );
}

#[test]
fn an_event_that_comes_again_and_is_an_error() {
    breaks(
        "redelivery",
        "class Bad(Module):
    seen = set()
    def notify(self, call, event):
        if event['attempt'] == 1 or event['id'] in self.seen or self.seen.add(event['id']):
            super().notify(call, event)
        else:
            self.result(call, {'outcome': 'retry', 'reason': 'row exists'})",
    );
}

#[test]
fn properties_that_are_taken_for_granted() {
    breaks(
        "properties-missing",
        "class Bad(Module):
    def notify(self, call, event):
        if event['event'] == 1:
            event['certificate']['SerialNumber']['string']
        super().notify(call, event)",
    );
}

#[test]
fn ascii_alone() {
    breaks(
        "text-non-ascii",
        "class Bad(Module):
    def notify(self, call, event):
        for of in ('request', 'certificate'):
            for value in event[of].values():
                value.get('string', '').encode('ascii')
        super().notify(call, event)",
    );
}

#[test]
fn one_line_alone() {
    breaks(
        "attribute-line-feeds",
        "class Bad(Module):
    def notify(self, call, event):
        assert all('\\n' not in value for _, value in event['attributes'])
        super().notify(call, event)",
    );
}

#[test]
fn a_bit_of_the_future() {
    breaks(
        "event-of-the-future",
        "class Bad(Module):
    def initialized(self, hello):
        return {**super().initialized(hello), 'event_mask': 0xFFFFFFFF}
    def on_Notify(self, call, params):
        if params['event']['event'] & self.mask == 0:
            self.result(call, {'outcome': 'park', 'reason': 'what is that'})
        else:
            super().on_Notify(call, params)",
    );
    is_advised(
        "event-of-the-future",
        "class Bad(Module):
    def on_Notify(self, call, params):
        assert params['event']['event'] & self.mask
        super().on_Notify(call, params)",
    );
}

#[test]
fn a_type_of_the_future() {
    breaks(
        "property-type-of-the-future",
        "class Bad(Module):
    def notify(self, call, event):
        for value in event['certificate'].values():
            assert {'long', 'date', 'binary', 'string'} & set(value)
        super().notify(call, event)",
    );
}

#[test]
fn members_of_the_future() {
    breaks(
        "members-unknown",
        "class Bad(Module):
    def on_Notify(self, call, params):
        if set(params) != {'event'}:
            self.refuse(call, -32602, 'unknown field')
        else:
            super().on_Notify(call, params)",
    );
}

#[test]
fn a_small_buffer() {
    breaks(
        "event-large",
        "class Bad(Module):
    def lines(self):
        while line := sys.stdin.buffer.readline(1 << 20):
            yield line",
    );
}

#[test]
fn ids_that_have_to_rise() {
    breaks(
        "ids-any-order",
        "class Bad(Module):
    last = -1
    def notify(self, call, event):
        assert self.last < call['id']
        self.last = call['id']
        super().notify(call, event)",
    );
}

#[test]
fn subjects_that_have_to_come_in_one_piece() {
    breaks(
        "subjects-interleaved",
        "class Bad(Module):
    mask = 0x1
    done = []
    def notify(self, call, event):
        assert event['subject'] not in self.done[:-1]
        if self.done[-1:] != [event['subject']]:
            self.done.append(event['subject'])
        super().notify(call, event)",
    );
}

#[test]
fn a_method_that_is_taken_for_another() {
    breaks(
        "method-unknown",
        "class Bad(Module):
    def unknown(self, call):
        self.result(call, None)",
    );
}

#[test]
fn a_notification_that_is_answered() {
    breaks(
        "notification-unanswered",
        "class Bad(Module):
    def notification(self, call):
        self.say({'jsonrpc': '2.0', 'id': None, 'result': None})",
    );
}

#[test]
fn a_line_that_kills() {
    breaks(
        "line-malformed",
        "class Bad(Module):
    def malformed(self):
        raise ValueError('no JSON')",
    );
}

#[test]
fn a_second_greeting_that_kills() {
    breaks(
        "initialize-twice",
        "class Bad(Module):
    def on_Initialize(self, call, hello):
        assert not self.greeted
        super().on_Initialize(call, hello)",
    );
}

#[test]
fn a_setting_that_kills() {
    breaks(
        "settings-unknown",
        "class Bad(Module):
    def on_Initialize(self, call, hello):
        assert self.wrong(hello['settings']) is None
        super().on_Initialize(call, hello)",
    );
}

#[test]
fn a_setting_that_nobody_knows_and_nobody_minds() {
    is_advised(
        "settings-unknown",
        "class Bad(Module):
    def on_Initialize(self, call, hello):
        hello['settings'] = {}
        super().on_Initialize(call, hello)",
    );
}

#[test]
fn settings_that_are_described_by_no_list() {
    breaks(
        "manage-answered",
        "class Bad(Module):
    def on_GetManageModule(self, call, _):
        self.result(call, {'settings': 'none'})",
    );
}

#[test]
fn a_fact_that_is_no_property() {
    breaks(
        "manage-get-property",
        "class Bad(Module):
    def on_GetProperty(self, call, asked):
        self.result(call, 'Bad')",
    );
}

#[test]
fn a_setting_alone_that_nobody_minds() {
    breaks(
        "manage-set-property",
        "class Bad(Module):
    def on_SetProperty(self, call, asked):
        self.result(call, asked['name'] == 'colour')",
    );
    is_advised(
        "manage-set-property",
        "class Bad(Module):
    def on_SetProperty(self, call, asked):
        self.result(call, None)",
    );
    breaks(
        "manage-set-property",
        "class Bad(Module):
    def on_SetProperty(self, call, asked):
        self.refuse(call, -32000, '')",
    );
}

#[test]
fn settings_together_that_nobody_minds() {
    breaks(
        "manage-configure",
        "class Bad(Module):
    def on_Configure(self, call, asked):
        self.result(call, None)",
    );
}

#[test]
fn a_question_without_its_parameters() {
    breaks(
        "call-backs-well-formed",
        "class Bad(Module):
    def notify(self, call, event):
        if self.may_ask:
            self.ask_with('GetRequestProperty', {})
        super().notify(call, event)",
    );
}

#[test]
fn an_attempt_to_change_something_is_answered_that_there_is_no_such_method() {
    // It goes on only if the answer is the right one, and fails for having asked.
    breaks(
        "call-backs-read-only",
        "class Bad(Module):
    mask = 0x1
    def notify(self, call, event):
        if self.may_ask and event['seq'] == 5:
            answer = self.ask('SetCertificateProperty', event['seq'], 'NotAfter')
            assert answer['error']['code'] == -32601
        super().notify(call, event)",
    );
}

#[test]
fn a_question_about_an_event_of_yesterday() {
    breaks(
        "call-backs-in-hand",
        "class Bad(Module):
    mask = 0x1
    def notify(self, call, event):
        if self.may_ask and event['seq'] == 5:
            answer = self.ask('GetRequestProperty', 4, 'RawRequest')
            assert answer['error']['code'] == -32002
            assert answer['error']['data']['hresult'] == 0x80070057
        super().notify(call, event)",
    );
}

#[test]
fn a_value_that_has_to_be_there() {
    breaks(
        "call-backs-empty",
        "class Bad(Module):
    mask = 0x1
    def notify(self, call, event):
        if self.may_ask and event['request']:
            self.ask('GetRequestProperty', event['seq'], 'RawRequest')['result']['binary']
        super().notify(call, event)",
    );
}

#[test]
fn a_farewell_with_words() {
    breaks(
        "shutdown-answered",
        "class Bad(Module):
    def shutdown(self, call):
        self.result(call, 'bye')",
    );
}

#[test]
fn a_module_that_ends_badly() {
    breaks(
        "shutdown-exits",
        "class Bad(Module):
    def shutdown(self, call):
        super().shutdown(call)
        sys.exit(3)",
    );
}

#[test]
fn every_rule_has_a_module_that_breaks_it() {
    let tests = include_str!("bad.rs");
    let report = check_it(&ModuleUnderTest::new("/nowhere/at/all"));
    for rule in &report.rules {
        let named = |what: &str| tests.contains(&format!("\"{}\"{what}", rule.id));
        assert!(named(",") || named("]"), "no bad module for {}", rule.id);
        assert_eq!(verdict(&report, rule.id), rule.verdict);
    }
}

#[test]
fn a_check_ends_although_the_module_says_too_much() {
    let report = check_it(&python(
        "class Bad(Module):
    def notify(self, call, event):
        while True:
            sys.stdout.write('x' * 65536)",
    ));
    assert!(report.with_verdict(Verdict::Fail).contains(&"stdout-is-messages"));
    // And soon: not after one deadline for each event, of which there are a dozen and more.
    assert!(report.took < 4 * options().answer_within, "{:?}", report.took);
}
