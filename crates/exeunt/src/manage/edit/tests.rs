//! Edits of a configuration that a person wrote. The expected texts are written by hand.

use exeunt_api::ExitStart;
use serde_json::json;

use super::*;

const BEFORE: &str = include_str!("../samples/before.toml");

fn map(json: Json) -> SettingsMap {
    serde_json::from_value(json).unwrap()
}

fn third() -> NewExit {
    NewExit {
        name: "register".to_owned(),
        command: Some(["register", "--to", "the \"list\""].map(str::to_owned).to_vec()),
        start_at: Some(ExitStart::After(6)),
        events: Some(["issued", "denied"].map(str::to_owned).to_vec()),
        filter: Some("request.RequestID > 5".to_owned()),
        before_reply: true,
        settings: map(json!({"depth": 1.5, "nested": {"list": [1, true, "x"]}})),
        ..NewExit::default()
    }
}

#[test]
fn an_edit_changes_what_it_is_about_and_not_a_blank_more() {
    let text = switch(BEFORE, "file", false).unwrap();
    let old = map(json!({"directory": "published", "old": 16}));
    let new = map(json!({"directory": "elsewhere", "pattern": "{serial}.pem"}));
    let text = set_settings(&text, "file", &old, &new).unwrap();
    let old = map(json!({"host": "localhost", "port": 25}));
    let new = map(json!({"host": "localhost", "port": 2525}));
    let text = set_settings(&text, "mail", &old, &new).unwrap();
    let text = add(&text, &third()).unwrap();
    assert_eq!(text, include_str!("../samples/after.toml"));
}

#[test]
fn a_module_goes_with_the_comment_above_it() {
    let text = remove(BEFORE, "file").unwrap();
    assert_eq!(text, include_str!("../samples/removed.toml"));
}

#[test]
fn a_comment_about_more_than_the_module_stays() {
    let last = "[[template]]\n# The only template.";
    let before = BEFORE
        .replace(
            "# The first module.\n",
            "# About all modules.\n\n# And more.\n\n# The first module.\n",
        )
        .replace(last, &format!("# The templates.\n\n# One.\n{last}"));
    let after = include_str!("../samples/removed.toml")
        .replace(
            "# The second one,\n",
            "# About all modules.\n\n# And more.\n\n# The second one,\n",
        )
        .replace(last, &format!("# The templates.\n\n# One.\n{last}"));
    assert_eq!(remove(&before, "file").unwrap(), after);
    // Before a table of another kind, and at the end of the text.
    for (end, rest) in [("[ca]\nname = \"x\"\n", ""), ("", "# The end.\n")] {
        let text = format!("# All.\n\n# Mine.\n[[exit]]\nname = \"a\"\n\n{end}{rest}");
        assert_eq!(remove(&text, "a").unwrap(), format!("# All.\n\n{end}{rest}"));
    }
}

#[test]
fn what_was_added_and_removed_leaves_no_trace() {
    let text = add(BEFORE, &third()).unwrap();
    assert_eq!(remove(&text, "register").unwrap(), BEFORE);
}

#[test]
fn the_first_module_of_a_configuration_comes_after_all_else() {
    let text = add("[ca]\nname = \"x\"\n", &NewExit { name: "a".to_owned(), ..NewExit::default() });
    let expected = "[ca]\nname = \"x\"\n\n[[exit]]\nname = \"a\"\nstart_at = \"head\"\n\
                    working_directory = \"modules/a\"\n";
    assert_eq!(text.unwrap(), expected);
}

#[test]
fn a_value_that_means_the_same_is_not_touched() {
    let same = map(json!({"directory": "published", "old": 16}));
    assert_eq!(set_settings(BEFORE, "file", &same, &same).unwrap(), BEFORE);
}

#[test]
fn a_table_within_the_settings_keeps_its_other_keys_and_its_comments() {
    let text = "[[exit]]\nname = \"a\"\n\n[exit.settings]\nsmall = { x = 1, y = 2 } # both\n\n\
                # The CA's own.\n[exit.settings.objects]\n# Always.\naia = true # yes\ncrl = true\n\n\
                [ca]\nname = \"x\"\n";
    let old = map(json!({"small": {"x": 1, "y": 2}, "objects": {"aia": true, "crl": true}}));
    let new =
        map(json!({"small": {"x": 1, "y": 3}, "objects": {"aia": false, "container": "o=x"}}));
    let expected = text
        .replace("y = 2", "y = 3")
        .replace("aia = true # yes\ncrl = true", "aia = false # yes\ncontainer = \"o=x\"");
    assert_eq!(set_settings(text, "a", &old, &new).unwrap(), expected);
}

#[test]
fn a_module_without_settings_gets_some() {
    let text = "[[exit]]\nname = \"a\"\n";
    let new = map(json!({"b": 1}));
    let text = set_settings(text, "a", &SettingsMap::new(), &new).unwrap();
    assert_eq!(text, "[[exit]]\nname = \"a\"\n\n[exit.settings]\nb = 1\n");
}

#[test]
fn what_cannot_be_edited_says_why() {
    let missing = remove(BEFORE, "fax").unwrap_err();
    assert!(matches!(missing, EditError::Missing(name) if name == "fax"));
    let again = NewExit { name: "mail".to_owned(), ..NewExit::default() };
    assert!(matches!(add(BEFORE, &again), Err(EditError::Exists(_))));
    assert!(matches!(remove("exit = [{name = \"a\"}]", "a"), Err(EditError::Form)));
    assert!(matches!(remove("[", "a"), Err(EditError::Syntax(_))));
    for (bad, word) in [(json!({"a": null}), "null"), (json!({"a": u64::MAX}), "63 bits")] {
        let err = set_settings(BEFORE, "mail", &SettingsMap::new(), &map(bad)).unwrap_err();
        assert!(err.to_string().contains(word), "{err}");
    }
}

const PEOPLE: &str = r#"# People.
[[principal]]
name = "alice" # in the office
roles = ["reader"]

[[principal.token]]
# Hers.
name = "laptop"
sha256 = "aa"

[[principal]]
name = "bob"
roles = ["auditor"]

# The modules.
[[exit]]
name = "file"
"#;

fn new_token(name: &str) -> NewToken {
    let (sha256, expires) = ("bb".to_owned(), Some("2027-01-31T12:00:00Z".to_owned()));
    let scope = Some(vec!["reader".to_owned()]);
    NewToken { name: name.to_owned(), sha256, expires, scope, from: vec!["::1".to_owned()] }
}

const NEW_TOKEN: &str = r#"
[[principal.token]]
name = "phone"
sha256 = "bb"
expires = "2027-01-31T12:00:00Z"
scope = ["reader"]
from = ["::1"]
"#;

#[test]
fn a_token_comes_behind_its_principals_others_and_goes_again() {
    let with = add_token(PEOPLE, "alice", &new_token("phone")).unwrap();
    let hers = "name = \"laptop\"\nsha256 = \"aa\"\n";
    assert_eq!(with, PEOPLE.replace(hers, &format!("{hers}{NEW_TOKEN}")));
    assert_eq!(remove_token(&with, "alice", "phone").unwrap(), PEOPLE);
    // The first one of a principal.
    let with = add_token(PEOPLE, "bob", &new_token("phone")).unwrap();
    let his = "roles = [\"auditor\"]\n";
    assert_eq!(with, PEOPLE.replace(his, &format!("{his}{NEW_TOKEN}")));
    let without = remove_token(&with, "bob", "phone").unwrap();
    assert_eq!(without, PEOPLE);
}

#[test]
fn a_token_that_is_there_and_one_that_is_not_are_said() {
    let twice = add_token(PEOPLE, "alice", &new_token("laptop"));
    assert!(matches!(twice, Err(EditError::TokenExists { .. })));
    for nobody in ["carol", "file"] {
        let added = add_token(PEOPLE, nobody, &new_token("t"));
        assert!(matches!(added, Err(EditError::NoPrincipal(_))), "{nobody}");
    }
    let missing = remove_token(PEOPLE, "bob", "laptop");
    assert!(matches!(missing, Err(EditError::NoToken { .. })));
    let missing = remove_token("", "alice", "laptop");
    assert!(matches!(missing, Err(EditError::NoPrincipal(_))));
    let inline = "principal = [{ name = \"alice\", roles = [] }]";
    assert!(matches!(remove_token(inline, "alice", "x"), Err(EditError::Form)));
}

#[test]
fn settings_of_the_policy_that_stay_are_not_touched() {
    let text = "[policy]\ncommand = [\"guard\"]\n\n[policy.settings.names]\n# ours\nfirst = 1 # one\n\n\
                [policy.settings.other]\na = 1\n";
    let of = |json: serde_json::Value| json.as_object().unwrap().clone();
    let old = of(serde_json::json!({"names": {"first": 1}, "other": {"a": 1}}));
    let new = of(serde_json::json!({"names": {"first": 1}, "days": 3}));
    let edited = set_policy_settings(text, &old, &new).unwrap();
    assert!(edited.contains("[policy.settings.names]\n# ours\nfirst = 1 # one\n"), "{edited}");
    assert!(edited.contains("days = 3") && !edited.contains("other"), "{edited}");
    assert_eq!(
        toml::from_str::<toml::Table>(&edited).unwrap()["policy"]["settings"]["days"],
        3.into()
    );
    let none = set_policy_settings(text, &old, &SettingsMap::new()).unwrap();
    assert_eq!(none.trim_end(), "[policy]\ncommand = [\"guard\"]");
}
