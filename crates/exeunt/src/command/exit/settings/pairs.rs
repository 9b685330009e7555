//! `KEY=VALUE` words. A key with dots leads into tables: `objects.container=…` changes one setting of the
//! table `objects` and leaves the others alone.

use exeunt_api::SettingsMap;
use serde_json::Value as Json;
use toml_edit::Key;

use crate::failure::Failure;

/// One setting and its new value.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// As it was typed.
    key: String,
    /// The tables that it is in, and its own name last.
    path: Vec<String>,
    value: Json,
}

impl Pair {
    /// Sets it, and makes the tables that it is in.
    ///
    /// # Errors
    ///
    /// What should be a table is a value.
    pub fn put(self, settings: &mut SettingsMap) -> Result<(), Failure> {
        let Self { key, path, value } = self;
        // A name with a dot in it, from before dots meant anything.
        if settings.contains_key(&key) {
            settings.insert(key, value);
            return Ok(());
        }
        let Some((name, tables)) = path.split_last() else { return Ok(()) };
        let mut inner = settings;
        for table in tables {
            let next = inner.entry(table).or_insert_with(|| Json::Object(SettingsMap::new()));
            inner = next.as_object_mut().ok_or_else(|| {
                Failure::usage("usage-setting", format!("{table:?} in {key:?} is no table"))
                    .hint(format!("a name with a dot in it is quoted: '\"{key}\"=…'"))
            })?;
        }
        inner.insert(name.clone(), value);
        Ok(())
    }
}

/// Reads the words. A key that comes twice has the last value.
///
/// # Errors
///
/// A word is no pair, or its value is a list or a table with a mistake in it.
pub fn parse(pairs: &[String]) -> Result<Vec<Pair>, Failure> {
    let parse = |pair: &String| {
        let wrong = || {
            Failure::usage("usage-setting", format!("{pair:?} is not KEY=VALUE"))
                .hint("for example port=25, to=ca@example.test or 'list=[1, 2]'")
        };
        let (key, text) = pair.split_once('=').ok_or_else(wrong)?;
        if key.is_empty() {
            return Err(wrong());
        }
        if is_broken(text) {
            let message = format!("{text:?} begins like a list or a table, and is none");
            return Err(Failure::usage("usage-setting", message)
                .hint(format!("where it is meant as a text: '{key}=\"…\"'")));
        }
        Ok(Pair { key: key.to_owned(), path: path(key), value: value(text) })
    };
    pairs.iter().map(parse).collect()
}

/// The settings that the words make where there were none.
///
/// # Errors
///
/// As [`parse`] and [`Pair::put`].
pub fn all(pairs: &[String]) -> Result<SettingsMap, Failure> {
    let mut settings = SettingsMap::new();
    for it in parse(pairs)? {
        it.put(&mut settings)?;
    }
    Ok(settings)
}

/// Refuses to set and leave out the same setting.
///
/// # Errors
///
/// One of them is in both, or in a table that is.
pub fn check_apart(new: &[Pair], unset: &[String]) -> Result<(), Failure> {
    let both = |out: &&String| {
        let out = path(out);
        new.iter().any(|it| it.path.starts_with(&out) || out.starts_with(&it.path))
    };
    let Some(key) = unset.iter().find(both) else { return Ok(()) };
    Err(Failure::usage("usage-setting", format!("{key:?} is to be set and left out"))
        .hint("give it a value, or --unset it"))
}

/// The setting with that key.
pub fn find<'a>(settings: &'a SettingsMap, key: &str) -> Option<&'a Json> {
    if let Some(value) = settings.get(key) {
        return Some(value);
    }
    let path = path(key);
    let (name, tables) = path.split_last()?;
    let inner = tables.iter().try_fold(settings, |it, name| it.get(name)?.as_object())?;
    inner.get(name)
}

/// Takes the setting with that key out. The table that it was in stays, as an empty one may mean
/// something.
pub fn take_out(settings: &mut SettingsMap, key: &str) -> Option<Json> {
    if let Some(value) = settings.remove(key) {
        return Some(value);
    }
    let path = path(key);
    let (name, tables) = path.split_last()?;
    let mut inner = settings;
    for table in tables {
        inner = inner.get_mut(table)?.as_object_mut()?;
    }
    inner.remove(name)
}

/// The names of a key with dots, which may be quoted as in TOML. What is none is one name.
fn path(key: &str) -> Vec<String> {
    match Key::parse(key) {
        Ok(keys) => keys.iter().map(|it| it.get().to_owned()).collect(),
        Err(_) => vec![key.to_owned()],
    }
}

/// TOML if it reads as such, else the text as it is. A moment is a text: JSON has none.
fn value(text: &str) -> Json {
    let Ok(value) = text.parse::<toml::Value>() else { return text.into() };
    json(value).unwrap_or_else(|| text.into())
}

/// Whether somebody wrote a list or a table and made a mistake in it. A pattern such as
/// `{serial}.pem` is neither.
fn is_broken(text: &str) -> bool {
    let is_table = |rest: &str| {
        rest.find('=').is_some_and(|equals| rest.find('}').is_none_or(|end| equals < end))
    };
    let begins = text.starts_with('[') || text.strip_prefix('{').is_some_and(is_table);
    begins && text.parse::<toml::Value>().is_err()
}

fn json(value: toml::Value) -> Option<Json> {
    Some(match value {
        toml::Value::String(it) => it.into(),
        toml::Value::Integer(it) => it.into(),
        // JSON has neither infinity nor NaN.
        toml::Value::Float(it) => Json::Number(serde_json::Number::from_f64(it)?),
        toml::Value::Boolean(it) => it.into(),
        toml::Value::Datetime(it) => it.to_string().into(),
        toml::Value::Array(it) => Json::Array(it.into_iter().map(json).collect::<Option<_>>()?),
        toml::Value::Table(it) => {
            let members = it.into_iter().map(|(key, it)| Some((key, json(it)?)));
            Json::Object(members.collect::<Option<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_toml_and_text_where_it_is_none() {
        let check = |text: &str, expected: Json| assert_eq!(value(text), expected, "{text}");
        check("25", json!(25));
        check("-1.5", json!(-1.5));
        check("true", json!(true));
        check("[1, \"a\"]", json!([1, "a"]));
        check("{ a = 1 }", json!({"a": 1}));
        check("\"25\"", json!("25"));
        check("ca@example.test", json!("ca@example.test"));
        check("{serial}.pem", json!("{serial}.pem"));
        check("2026-11-21", json!("2026-11-21"));
        check("nan", json!("nan"));
        check("", json!(""));
        check("a = 1", json!("a = 1"));
        check("1\n[exit]", json!("1\n[exit]"));
    }

    #[test]
    fn a_list_with_a_mistake_in_it_is_no_text() {
        for bad in ["a=[1,2", "a=[x]", "a={ b = 1", "a={b=}"] {
            assert_eq!(parse(&[bad.to_owned()]).unwrap_err().code, "usage-setting", "{bad}");
        }
        for good in ["a=[1, 2]", "a={b = 1}", "a={serial}.pem", "a={subject_cn}={serial}"] {
            assert!(parse(&[good.to_owned()]).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_pair_needs_a_key() {
        let parse = |text: &str| all(&[text.to_owned()]);
        assert_eq!(parse("a=b=c").unwrap()["a"], "b=c");
        assert_eq!(parse("a=").unwrap()["a"], "");
        for bad in ["a", "=b", ""] {
            assert_eq!(parse(bad).unwrap_err().code, "usage-setting", "{bad:?}");
        }
    }

    #[test]
    fn a_key_with_dots_changes_one_setting_of_a_table() {
        let mut settings = json!({"objects": {"aia": true, "make": "objects"}, "a.b": 1});
        let settings = settings.as_object_mut().unwrap();
        let words = ["objects.container=ou=pki,dc=example", "a.b=2", "users.publish=never"];
        for it in parse(&words.map(str::to_owned)).unwrap() {
            it.put(settings).unwrap();
        }
        let expected = json!({
            "objects": {"aia": true, "make": "objects", "container": "ou=pki,dc=example"},
            "a.b": 2, "users": {"publish": "never"},
        });
        assert_eq!(*settings, *expected.as_object().unwrap());
        assert_eq!(find(settings, "objects.aia"), Some(&json!(true)));
        assert_eq!(find(settings, "objects.crl"), None);
        assert_eq!(take_out(settings, "users.publish"), Some(json!("never")));
        assert_eq!(settings["users"], json!({}));
        assert_eq!(take_out(settings, "a.c"), None);
        // A quoted name is one name; a text is no table.
        let quoted = all(&["\"c.d\"=1".to_owned(), "{x}.y=2".to_owned()]).unwrap();
        assert_eq!(json!(quoted), json!({"c.d": 1, "{x}.y": 2}));
        let wrong = parse(&["objects.make.x=1".to_owned()]).unwrap().remove(0).put(settings);
        assert_eq!(wrong.unwrap_err().code, "usage-setting");
    }

    #[test]
    fn what_is_set_and_left_out_is_refused_also_within_a_table() {
        let new = parse(&["objects.make=parents".to_owned()]).unwrap();
        for out in ["objects", "objects.make", "objects.make.x"] {
            assert!(check_apart(&new, &[out.to_owned()]).is_err(), "{out}");
        }
        check_apart(&new, &["objects.aia".to_owned(), "make".to_owned()]).unwrap();
    }
}
