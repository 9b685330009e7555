//! Queries. A key that nobody knows is refused: a misspelt `template` must not choose the default.

use exeunt_api::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};

use crate::fault::Fault;

/// What a submission's query says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SubmitQuery {
    pub(crate) template: Option<String>,
    /// `Name:Value` lines, each ended by a newline.
    pub(crate) attributes: String,
    /// Whether the request is only tried.
    pub(crate) dry_run: bool,
}

impl SubmitQuery {
    pub(crate) fn parse(query: &str) -> Result<Self, Fault> {
        let (mut it, mut dry_run) = (Self::default(), None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "template" => once(&mut it.template, "template", value.into_owned())?,
                "attribute" => {
                    it.attributes.push_str(&value);
                    it.attributes.push('\n');
                }
                "dry_run" => once(&mut dry_run, "dry_run", flag(&value, "dry_run")?)?,
                _ => return Err(unknown(&key, "template, attribute and dry_run")),
            }
        }
        it.dry_run = dry_run.unwrap_or_default();
        Ok(it)
    }
}

/// What a list's query says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageQuery {
    /// Only rows of requests before this one.
    pub(crate) before: Option<u64>,
    /// At most so many rows.
    pub(crate) limit: usize,
}

impl PageQuery {
    pub(crate) fn parse(query: &str) -> Result<Self, Fault> {
        let (mut before, mut limit) = (None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "before" => once(&mut before, "before", number(&value, "before")?)?,
                "limit" => once(&mut limit, "limit", number(&value, "limit")?)?,
                _ => return Err(unknown(&key, "before and limit")),
            }
        }
        let limit = limit.unwrap_or(PAGE_ROWS_DEFAULT);
        if !(1..=PAGE_ROWS_MAX).contains(&limit) {
            return Err(Fault::query(format!("limit is 1 to {PAGE_ROWS_MAX}")));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Self { before, limit })
    }
}

/// The keys of any other path, each at most once.
#[derive(Debug)]
pub(crate) struct Keys(Vec<(String, String)>);

impl Keys {
    pub(crate) fn parse(query: &str, known: &[&str]) -> Result<Self, Fault> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if !known.contains(&&*key) {
                return Err(unknown(&key, &known.join(", ")));
            }
            if found.iter().any(|(it, _)| *it == key) {
                return Err(Fault::query(format!("{key} occurs twice")));
            }
            found.push((key.into_owned(), value.into_owned()));
        }
        Ok(Self(found))
    }

    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(it, _)| it == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, Fault> {
        self.value(key).map(|value| number(value, key)).transpose()
    }

    /// There without a value means yes.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, Fault> {
        self.value(key).map_or(Ok(false), |value| flag(value, key))
    }
}

/// There without a value means yes.
fn flag(value: &str, key: &str) -> Result<bool, Fault> {
    match value {
        "false" => Ok(false),
        "" | "true" => Ok(true),
        _ => Err(Fault::query(format!("{key} is true or false"))),
    }
}

/// For paths that take no query.
pub(crate) fn nothing(query: &str) -> Result<(), Fault> {
    match form_urlencoded::parse(query.as_bytes()).next() {
        None => Ok(()),
        Some((key, _)) => Err(unknown(&key, "nothing")),
    }
}

fn once<T>(place: &mut Option<T>, key: &str, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::query(format!("{key} occurs twice"))),
    }
}

fn number<T: std::str::FromStr>(value: &str, key: &str) -> Result<T, Fault> {
    value.parse().map_err(|_| Fault::query(format!("{key} is not a number in range")))
}

fn unknown(key: &str, known: &str) -> Fault {
    let key: String = key.chars().take(32).collect();
    Fault::query(format!("{key:?} is not known; this path takes {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn words<T: std::fmt::Debug>(result: Result<T, Fault>) -> String {
        match result {
            Ok(it) => format!("{it:?}"),
            Err(fault) => format!("error: {}", fault.problem().detail),
        }
    }

    #[track_caller]
    fn submit(query: &str, expect: &Expect) {
        expect.assert_eq(&words(SubmitQuery::parse(query)));
    }

    #[track_caller]
    fn page(query: &str, expect: &Expect) {
        expect.assert_eq(&words(PageQuery::parse(query)));
    }

    #[test]
    fn a_submission_names_a_template_and_attributes() {
        submit("", &expect![[r#"SubmitQuery { template: None, attributes: "", dry_run: false }"#]]);
        submit(
            "template=web%20server&attribute=CertFile:yes&attribute=a%3Ab+c",
            &expect![[
                r#"SubmitQuery { template: Some("web server"), attributes: "CertFile:yes\na:b c\n", dry_run: false }"#
            ]],
        );
        submit("template=a&template=b", &expect!["error: template occurs twice"]);
        submit(
            "tempalte=a",
            &expect![[
                r#"error: "tempalte" is not known; this path takes template, attribute and dry_run"#
            ]],
        );
    }

    #[track_caller]
    fn keys(query: &str, expect: &Expect) {
        let read = Keys::parse(query, &["parked", "after"])
            .and_then(|it| Ok((it.flag("parked")?, it.number("after")?)));
        expect.assert_eq(&words(read));
    }

    #[test]
    fn a_flag_needs_no_value() {
        keys("", &expect!["(false, None)"]);
        keys("parked", &expect!["(true, None)"]);
        keys("parked=true&after=7", &expect!["(true, Some(7))"]);
        keys("parked=yes", &expect!["error: parked is true or false"]);
        keys("after=-1", &expect!["error: after is not a number in range"]);
        keys("after=1&after=1", &expect!["error: after occurs twice"]);
        keys("x=1", &expect![[r#"error: "x" is not known; this path takes parked, after"#]]);
    }

    #[test]
    fn a_page_has_a_limit() {
        page("", &expect!["PageQuery { before: None, limit: 100 }"]);
        page("limit=1000&before=7", &expect!["PageQuery { before: Some(7), limit: 1000 }"]);
        page("limit=1001", &expect!["error: limit is 1 to 1000"]);
        page("limit=0", &expect!["error: limit is 1 to 1000"]);
        page("limit=-1", &expect!["error: limit is not a number in range"]);
        page("before=x", &expect!["error: before is not a number in range"]);
        page(
            "after=1",
            &expect![[r#"error: "after" is not known; this path takes before and limit"#]],
        );
    }
}
