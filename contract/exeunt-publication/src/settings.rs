//! The settings of a module, read one by one. What nobody asked for is somebody's typing mistake.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value as Json};

/// Reads settings by name and remembers the names, so that [`Reader::finish`] can refuse the others.
///
/// Every error is one line for the operator that names the setting, with the tables that it is in:
/// `templates.User.subject`.
#[derive(Debug)]
pub struct Reader<'a> {
    written: &'a Map<String, Json>,
    /// `templates.User.`, or nothing at the top.
    prefix: String,
    known: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    /// Begins with all settings of a module.
    #[must_use]
    pub fn new(written: &'a Map<String, Json>) -> Self {
        Self::within(written, String::new())
    }

    fn within(written: &'a Map<String, Json>, prefix: String) -> Self {
        Self { written, prefix, known: BTreeSet::new() }
    }

    /// The name of a setting with the tables that it is in, as an error says it.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Whatever stands there.
    pub fn any(&mut self, name: &str) -> Option<&'a Json> {
        self.known.insert(name.to_owned());
        self.written.get(name)
    }

    fn of<T>(
        &mut self,
        name: &str,
        what: &str,
        read: impl FnOnce(&'a Json) -> Option<T>,
    ) -> Result<Option<T>, String> {
        match self.any(name) {
            None => Ok(None),
            Some(value) => read(value)
                .map(Some)
                .ok_or_else(|| format!("{} has to be {what}", self.named(name))),
        }
    }

    /// A text that is not empty.
    ///
    /// # Errors
    ///
    /// It is no text, or empty.
    pub fn text(&mut self, name: &str) -> Result<Option<&'a str>, String> {
        self.of(name, "a text that is not empty", |it| it.as_str().filter(|it| !it.is_empty()))
    }

    /// A text that is not empty, and that may not be left out.
    ///
    /// # Errors
    ///
    /// As [`Reader::text`], or it is missing; `why` says what it is for.
    pub fn required(&mut self, name: &str, why: &str) -> Result<&'a str, String> {
        self.text(name)?.ok_or_else(|| format!("{} is missing: {why}", self.named(name)))
    }

    /// true or false.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, String> {
        self.of(name, "true or false", Json::as_bool)
    }

    /// A whole number within bounds.
    ///
    /// # Errors
    ///
    /// It is something else, or out of bounds.
    pub fn number(
        &mut self,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<u64>, String> {
        let what = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        self.of(name, &what, |it| it.as_u64().filter(|it| bounds.contains(it)))
    }

    /// A whole number of seconds within bounds.
    ///
    /// # Errors
    ///
    /// As [`Reader::number`].
    pub fn seconds(
        &mut self,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Result<Option<Duration>, String> {
        Ok(self.number(name, bounds)?.map(Duration::from_secs))
    }

    /// One of a few words, each with what it means.
    ///
    /// # Errors
    ///
    /// It is another one.
    pub fn choice<T: Clone>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, String> {
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let what = listed(&quoted, "or");
        self.of(name, &what, |it| {
            let said = it.as_str()?;
            words.iter().find_map(|(word, meaning)| (*word == said).then(|| meaning.clone()))
        })
    }

    /// Texts that are not empty, in an array; a single one may stand without.
    ///
    /// # Errors
    ///
    /// It is something else.
    pub fn texts(&mut self, name: &str) -> Result<Option<Vec<&'a str>>, String> {
        let text = |it: &'a Json| it.as_str().filter(|it| !it.is_empty());
        self.of(name, "a list of texts", |it| match it {
            Json::Array(items) => items.iter().map(text).collect(),
            other => Some(vec![text(other)?]),
        })
    }

    /// A table of further settings. [`Reader::finish`] has to be called on it as well.
    ///
    /// # Errors
    ///
    /// It is no table.
    pub fn table(&mut self, name: &str) -> Result<Option<Reader<'a>>, String> {
        let prefix = format!("{}{name}.", self.prefix);
        let table = self.of(name, "a table", Json::as_object)?;
        Ok(table.map(|it| Self::within(it, prefix)))
    }

    /// Every name that is written, for tables whose names are the operator's.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.written.keys().map(String::as_str)
    }

    /// Refuses what was not asked for.
    ///
    /// # Errors
    ///
    /// Names the first such setting, and those that there are.
    pub fn finish(self) -> Result<(), String> {
        match self.written.keys().find(|it| !self.known.contains(*it)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<String> = self.known.iter().cloned().collect();
                let name = self.named(name);
                Err(format!("there is no setting {name:?}; there are {}", listed(&known, "and")))
            }
        }
    }
}

/// `a, b and c`.
fn listed(items: &[String], last: &str) -> String {
    match items {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [most @ .., one] => format!("{} {last} {one}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(json: &Json) -> Map<String, Json> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn every_kind_of_setting_is_read() {
        let written = written(&json!({
            "text": "a", "number": 7, "flag": false, "list": ["a", "b"], "single": "a",
            "word": "fast", "table": {"inner": "b"},
        }));
        let mut reader = Reader::new(&written);
        assert_eq!(reader.text("text"), Ok(Some("a")));
        assert_eq!(reader.text("other"), Ok(None));
        assert_eq!(reader.number("number", 1..=7), Ok(Some(7)));
        assert_eq!(reader.seconds("number", 1..=7), Ok(Some(Duration::from_secs(7))));
        assert_eq!(reader.boolean("flag"), Ok(Some(false)));
        assert_eq!(reader.texts("list"), Ok(Some(vec!["a", "b"])));
        assert_eq!(reader.texts("single"), Ok(Some(vec!["a"])));
        assert_eq!(reader.choice("word", &[("slow", 1), ("fast", 2)]), Ok(Some(2)));
        let mut table = reader.table("table").unwrap().unwrap();
        assert_eq!(table.required("inner", "why"), Ok("b"));
        table.finish().unwrap();
        reader.finish().unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_full_name() {
        let written = written(&json!({
            "text": "", "number": 8, "flag": "no", "list": ["a", 1], "word": "FAST",
            "table": {"iner": "b"}, "line": [],
        }));
        let mut reader = Reader::new(&written);
        let said = |result: Result<(), String>| result.unwrap_err();
        assert_eq!(said(reader.text("text").map(drop)), "text has to be a text that is not empty");
        assert_eq!(
            said(reader.number("number", 1..=7).map(drop)),
            "number has to be a whole number from 1 to 7"
        );
        assert_eq!(said(reader.boolean("flag").map(drop)), "flag has to be true or false");
        assert_eq!(said(reader.texts("list").map(drop)), "list has to be a list of texts");
        assert_eq!(
            said(reader.choice("word", &[("slow", 1), ("fast", 2)]).map(drop)),
            "word has to be \"slow\" or \"fast\""
        );
        assert_eq!(said(reader.table("line").map(drop)), "line has to be a table");
        let mut table = reader.table("table").unwrap().unwrap();
        assert_eq!(
            said(table.required("inner", "say it").map(drop)),
            "table.inner is missing: say it"
        );
        assert_eq!(said(table.finish()), "there is no setting \"table.iner\"; there are inner");
        reader.finish().unwrap();
    }
}
