//! Templates of a file by themselves: every mistake in them, not only the first, and what is dangerous
//! about them.

use exeunt_policy::{Template, TemplatePolicyError};
use toml::{Table, Value};

use super::file::TemplateTable;
use super::{ConfigError, syntax_error, template, value_error};

/// Keys that a template must have, each with a value that is good for itself.
const NEEDED: [(&str, &str); 4] = [
    ("name", "\"name\""),
    ("validity_days", "1"),
    ("key_usage", "[\"digitalSignature\"]"),
    ("issue", "\"at-once\""),
];

/// The templates of a text that are good, and every mistake of those that are not. What is not about
/// templates is passed over.
///
/// # Errors
///
/// The text is not TOML.
pub fn check_templates(text: &str) -> Result<(Vec<Template>, Vec<ConfigError>), ConfigError> {
    let file: Table = toml::from_str(text).map_err(|err| syntax_error(text, &err))?;
    let (mut templates, mut mistakes): (Vec<Template>, _) = (Vec::new(), Vec::new());
    let tables = match file.get("template") {
        None => &Vec::new(),
        Some(Value::Array(tables)) => tables,
        Some(_) => {
            mistakes.push(value_error("template", "is not a list of tables: write [[template]]"));
            return Ok((templates, mistakes));
        }
    };
    for (position, table) in tables.iter().enumerate() {
        let Value::Table(table) = table else {
            mistakes.push(value_error("template", "is not a list of tables: write [[template]]"));
            continue;
        };
        match check(table, position) {
            Ok(template) if templates.iter().any(|it| it.name == template.name) => {
                mistakes.push(TemplatePolicyError::Twice(template.name).into());
            }
            Ok(template) => templates.push(template),
            Err(found) => mistakes.extend(found),
        }
    }
    Ok((templates, mistakes))
}

/// What is to be said of a template whose dangerous options are on.
pub fn warn_of(template: &Template) -> Option<String> {
    let names = template.dangerous.names();
    (!names.is_empty()).then(|| {
        format!(
            "template {}: dangerous options are on, requesters say what the CA should say: {}",
            template.name,
            names.join(", ")
        )
    })
}

/// A table by itself. Where its keys are not all of the right type, each is looked at with the others as
/// they should be.
fn check(table: &Table, position: usize) -> Result<Template, Vec<ConfigError>> {
    let whole = table.clone().try_into::<TemplateTable>();
    if let Ok(whole) = whole {
        return template::read(whole);
    }
    let named = table.get("name").and_then(Value::as_str);
    let named = named.map_or_else(|| format!("number {}", position + 1), |it| format!("{it:?}"));
    let mistake =
        |key: &str, reason: String| value_error(format!("template {named}: {key}"), reason);
    let mut mistakes = Vec::new();
    // What is left once the keys with mistakes are as they should be.
    let mut rest = table.clone();
    for (key, value) in table {
        let mut alone = needed();
        alone.insert(key.clone(), value.clone());
        if let Err(err) = alone.try_into::<TemplateTable>() {
            mistakes.push(mistake(key, err.message().replace('\n', ", ")));
            rest.remove(key);
        }
    }
    for (key, value) in needed() {
        if !table.contains_key(&key) {
            mistakes.push(mistake(&key, "is missing".to_owned()));
        }
        rest.entry(key).or_insert(value);
    }
    if let Ok(rest) = rest.try_into::<TemplateTable>() {
        mistakes.extend(template::read(rest).err().into_iter().flatten());
    }
    Err(mistakes)
}

/// A table that has what it must have.
fn needed() -> Table {
    let pairs = NEEDED.iter().map(|(key, value)| format!("{key} = {value}\n"));
    toml::from_str(&pairs.collect::<String>()).expect("BUG: a constant table")
}

#[cfg(test)]
mod tests {
    use exeunt_policy::Dangerous;

    use super::*;
    use crate::failure::chain;

    #[track_caller]
    fn check_text(text: &str, expected: &[&str]) {
        let (_, mistakes) = check_templates(text).unwrap();
        let found: Vec<String> = mistakes.iter().map(|it| chain(it)).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found:?} without {expected:?}");
        }
    }

    #[test]
    fn every_mistake_of_a_file_is_found() {
        let good = "[[template]]\nname = \"a\"\nvalidity_days = 9\nkey_usage = [\"digitalSignature\"]\n\
                    issue = \"at-once\"\nsubject_from_request = [\"CN\"]\n";
        check_text(good, &[]);
        check_text("", &[]);
        check_text("[ca]\nname = 7\n", &[]);
        check_text(&format!("{good}{good}"), &["template a is there twice"]);
        check_text("template = 7", &["is not a list"]);
        // Words that mean nothing, all of them.
        check_text(
            &good.replace("\"CN\"", "\"CN\", \"XX\", \"YY\"").replace("at-once", "later"),
            &["XX", "YY", "\"later\" is not known"],
        );
        check_text(&format!("{good}archive_key = \"yes\"\n"), &["\"yes\" is not known"]);
        // Wrong types, unknown keys, and what is missing.
        check_text(
            "[[template]]\nname = \"a\"\nvalidity_days = \"long\"\nkeyusage = []\nissue = \"hold\"\n\
             callers = \"nobody\"\nsubject_from_request = [\"CN\"]\n",
            &["keyusage", "validity_days", "key_usage: is missing", "callers"],
        );
        // Rules that the template breaks as a whole.
        let broken =
            good.replace("digitalSignature", "keyCertSign").replace("days = 9", "days = 0");
        check_text(&broken, &["validity is not between", "keyCertSign and cRLSign"]);
        assert_eq!(check_templates("[[template").unwrap_err().code(), "config-syntax");
    }

    #[test]
    fn a_dangerous_option_is_named() {
        let text = "[[template]]\nname = \"a\"\nvalidity_days = 9\nkey_usage = [\"digitalSignature\"]\n\
                    issue = \"at-once\"\n[template.dangerous]\nsan_from_attributes = true\n";
        let (templates, mistakes) = check_templates(text).unwrap();
        assert!(mistakes.is_empty());
        let warning = warn_of(&templates[0]).unwrap();
        assert!(warning.contains("san_from_attributes") && warning.contains("template a"));
        let harmless = Template { dangerous: Dangerous::default(), ..templates[0].clone() };
        assert_eq!(warn_of(&harmless), None);
    }
}
