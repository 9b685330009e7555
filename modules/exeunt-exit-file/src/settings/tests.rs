//! What the operator may say, and what not.

use super::*;
use expect_test::{Expect, expect};
use serde_json::json;

fn parse(settings: &serde_json::Value) -> Result<Settings, String> {
    Settings::read(settings.as_object().unwrap())
}

#[track_caller]
fn check_refused(settings: &serde_json::Value, expect: &Expect) {
    expect.assert_eq(&parse(settings).unwrap_err());
}

#[test]
fn a_directory_is_all_that_is_needed() {
    let settings = parse(&json!({"directory": "published"})).unwrap();
    assert_eq!(settings.directory, PathBuf::from("published"));
    assert_eq!(settings.pattern, Pattern::parse("{serial}.pem", Place::FileName).unwrap());
    assert_eq!((settings.format, settings.mode), (Format::Pem, 0o644));
}

#[test]
fn every_known_setting_is_read_and_its_default_is_what_counts_without_it() {
    let mut written = serde_json::Map::new();
    written.insert("directory".to_owned(), "published".into());
    let bare = Settings::read(&written).unwrap();
    for info in known().into_iter().filter(|it| !it.required) {
        if let Some(default) = info.default {
            written.insert(info.name, default);
        }
    }
    assert_eq!(Settings::read(&written).unwrap(), bare);
    assert_eq!(written.len(), 10);
    written.remove("directory");
    assert!(Settings::read(&written).unwrap_err().contains("directory"));
}

#[test]
fn every_setting_can_be_given() {
    let settings = json!({
        "directory": "/srv/certificates", "pattern": "{request_id}", "format": "der",
        "mode": "0440", "certificates": "on-request", "latest": "{subject_cn}.cer",
        "ca_certificates": true, "ca_certificate_name": "ca%4.crt", "lists": true,
        "delta_lists": false, "list_name": "ca%8%9.crl", "keep_expired_days": 30, "group": "0",
    });
    let written = settings.as_object().unwrap();
    let all: Vec<String> = known().into_iter().map(|it| it.name).collect();
    assert!(all.iter().all(|it| written.contains_key(it)) && all.len() == written.len());
    let settings = parse(&settings).unwrap();
    assert_eq!((settings.format, settings.mode), (Format::Der, 0o440));
    assert_eq!(settings.certificates, Certificates::OnRequest);
    assert_eq!(settings.lists.unwrap().text(), "ca%8%9.crl");
    assert_eq!((settings.delta_lists, settings.group), (false, Some(0)));
    assert_eq!(settings.keep_expired_days, Some(30));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    check_refused(&json!({}), &expect!["directory is missing: say where the files go"]);
    check_refused(&json!({"directory": ""}), &expect![[r#"directory "" is no path"#]]);
    check_refused(&json!({"directory": 7}), &expect!["directory has to be a text"]);
    check_refused(
        &json!({"directory": "a", "folder": "b"}),
        &expect![[
            r#"there is no setting "folder"; there are ca_certificate_name, ca_certificates, certificates, delta_lists, directory, format, group, keep_expired_days, latest, list_name, lists, mode and pattern"#
        ]],
    );
    check_refused(
        &json!({"directory": "a", "format": "PEM"}),
        &expect![[r#"format is "pem" or "der", not "PEM""#]],
    );
}

#[test]
fn permissions_are_octal_text_within_what_a_published_file_may_have() {
    let mode =
        |mode: serde_json::Value| parse(&json!({"directory": "a", "mode": mode})).map(|it| it.mode);
    for text in ["", "644x", "+644", "0888", "1777", "44", "00644", "77777777777777"] {
        let err = mode(text.into()).unwrap_err();
        assert!(err.starts_with(&format!("mode {text:?} is no octal number")), "{err}");
    }
    // 0o640 of TOML comes as 416.
    for number in [777, 644, 416] {
        let expected = "is no text: permissions are written in octal, as mode = \"0640\"";
        assert_eq!(mode(number.into()).unwrap_err(), format!("mode {number} {expected}"));
    }
    for (text, why) in [
        ("0200", "mode \"0200\" does not let the owner read"),
        ("777", "mode \"777\" makes programs of certificates: say \"0664\""),
        ("0755", "mode \"0755\" makes programs of certificates: say \"0644\""),
        ("0666", "mode \"0666\" lets everybody write: say \"0664\""),
    ] {
        assert_eq!(mode(text.into()).unwrap_err(), why);
    }
    for (text, expected) in [("640", 0o640), ("0664", 0o664), ("0400", 0o400)] {
        assert_eq!(mode(text.into()), Ok(expected));
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    check_refused(
        &json!({"directory": "a", "pattern": "x", "latest": "x"}),
        &expect!["latest is the same as pattern: a name is a file or a link"],
    );
    check_refused(
        &json!({"directory": "a", "delta_lists": true}),
        &expect!["delta_lists needs lists: a delta is of no use without its base"],
    );
    for name in ["/srv/%3.crl", "http://h/%3.crl", "a\\b", "sub/x"] {
        let err = parse(&json!({"directory": "a", "list_name": name})).unwrap_err();
        assert!(err.ends_with("names a file, no path and no address"), "{err}");
    }
    check_refused(
        &json!({"directory": "a", "list_name": ".%3"}),
        &expect![[r#"list_name ".%3" starts with a dot: such files are hidden"#]],
    );
    check_refused(
        &json!({"directory": "a", "group": "no such group"}),
        &expect![[r#"group: there is no group "no such group" in /etc/group"#]],
    );
}
