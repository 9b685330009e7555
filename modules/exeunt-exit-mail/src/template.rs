//! Texts in the modern style: templates of Jinja, with the event in them.
//!
//! Templates are the operator's; what they print is a requester's. So a template for HTML escapes what
//! it prints, and each has a bounded number of steps.

use std::{fmt, sync::Arc};

use exeunt_module::view::{View, ViewError};
use exeunt_module_kit::{Event, Value as Property, exit_event};
use minijinja::{
    AutoEscape, Environment, UndefinedBehavior,
    value::{Object, Value},
};

use crate::property;

/// Most steps of one template, as minijinja counts them: a step is about one instruction.
pub const STEPS_MAX: u64 = 100_000;

/// Longest text that a template makes, in octets.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;

/// End of the name of a template whose output is HTML.
const HTML_END: &str = ".html";

/// What a text is about.
#[derive(Clone, Debug)]
pub struct About {
    /// The event.
    pub event: Arc<Event>,
    /// Name of the CA, as people write it.
    pub ca_name: Arc<str>,
}

impl About {
    /// Whom or what the event is about, in a few words.
    pub fn who(&self) -> String {
        const NAMES: [&str; 5] = [
            "CommonName",
            "DistinguishedName",
            "Request.CommonName",
            "Request.DistinguishedName",
            "Request.RequesterName",
        ];
        let event = &self.event;
        let text = |name: &&str| match property::named(event, name) {
            Ok(Property::String(text)) if !text.trim().is_empty() => Some(property::clean(&text)),
            _ => None,
        };
        NAMES.iter().find_map(text).unwrap_or_else(|| format!("request {}", event.context))
    }
}

/// All templates of the settings, parsed.
pub struct Templates {
    environment: Environment<'static>,
    count: usize,
}

impl fmt::Debug for Templates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Templates").field("count", &self.count).finish_non_exhaustive()
    }
}

/// A template among [`Templates`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateName(String);

impl Templates {
    /// None yet.
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|name| {
            if name.ends_with(HTML_END) { AutoEscape::Html } else { AutoEscape::None }
        });
        // A misspelt name is told; what is merely empty prints as nothing.
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(STEPS_MAX));
        Self { environment, count: 0 }
    }

    /// Parses one.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in one line.
    pub fn add(&mut self, source: &str, is_html: bool) -> Result<TemplateName, String> {
        let end = if is_html { HTML_END } else { ".txt" };
        let name = format!("{}{end}", self.count);
        self.environment
            .add_template_owned(name.clone(), source.to_owned())
            .map_err(|err| described(&err))?;
        self.count += 1;
        Ok(TemplateName(name))
    }

    /// The text about an event.
    ///
    /// # Errors
    ///
    /// What the template names that is not there, or a limit, in one line.
    pub fn text(&self, name: &TemplateName, about: &About) -> Result<String, String> {
        let template = self.environment.get_template(&name.0).map_err(|err| described(&err))?;
        let text = template
            .render(Value::from_object(Root(about.clone())))
            .map_err(|err| described(&err))?;
        if TEXT_BYTES_MAX < text.len() {
            return Err(format!("the text is longer than {TEXT_BYTES_MAX} octets"));
        }
        Ok(text)
    }
}

fn described(err: &minijinja::Error) -> String {
    let line = err.line().map(|it| format!(" in line {it}")).unwrap_or_default();
    let detail = err.detail().map(|it| format!(": {it}")).unwrap_or_default();
    format!("{}{line}{detail}", err.kind())
}

/// What stands at the top: `event`, `request`, `certificate`, `ca`, `detail`, `attributes`, `who` and
/// `ca_name`.
#[derive(Debug)]
struct Root(About);

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let about = &self.0;
        let of = |part| Value::from_object(Part { part, event: Arc::clone(&about.event) });
        Some(match key.as_str()? {
            "event" => of(Of::Event),
            "request" => of(Of::Request),
            "certificate" => of(Of::Certificate),
            "ca" => of(Of::Ca),
            "detail" => of(Of::Detail),
            "attributes" => of(Of::Attributes),
            "who" => Value::from(about.who()),
            "ca_name" => Value::from(about.ca_name.as_ref()),
            _ => return None,
        })
    }
}

/// One of the event's collections. A property without a value is an empty text; a name that nobody
/// knows is undefined, which cannot be printed.
#[derive(Debug)]
struct Part {
    part: Of,
    event: Arc<Event>,
}

#[derive(Clone, Copy, Debug)]
enum Of {
    Event,
    Request,
    Certificate,
    Ca,
    Detail,
    Attributes,
}

impl Object for Part {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let event = self.event.as_ref();
        let view = View::of(event);
        let found = match self.part {
            Of::Event => return of_event(event, name),
            Of::Request => view.request_property(name, None),
            Of::Certificate => view.certificate_property(name, None),
            Of::Ca => {
                return match View::of_system(&event.system).certificate_property(name, None) {
                    Ok(value) => Some(in_text(name, &value)),
                    Err(ViewError::Unknown { .. }) => None,
                    Err(_) => Some(Value::from("")),
                };
            }
            Of::Detail => {
                let value = event.detail.property(name);
                return Some(value.map_or_else(|_| Value::from(""), |it| in_text(name, it)));
            }
            Of::Attributes => {
                let value = view.request_attribute(name).unwrap_or_default();
                return Some(Value::from(property::clean(value)));
            }
        };
        match found {
            Ok(value) => Some(in_text(name, &value)),
            Err(ViewError::Unknown { .. }) => None,
            Err(_) => Some(Value::from("")),
        }
    }
}

fn of_event(event: &Event, name: &str) -> Option<Value> {
    Some(match name {
        "id" => Value::from(property::clean(&event.id)),
        "seq" => Value::from(event.seq),
        "word" => Value::from(exit_event::word(event.event)),
        "time" => Value::from(property::date(&event.time)),
        "subject" => Value::from(property::clean(&event.subject)),
        _ => return None,
    })
}

fn in_text(name: &str, value: &Property) -> Value {
    match value {
        Property::Long(number) if !name.eq_ignore_ascii_case("StatusCode") => Value::from(*number),
        other => Value::from(property::printed(name, other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        let mut event = Event { event: exit_event::CERT_ISSUED, context: 9, ..Event::default() };
        event.id = "5f0c-17".to_owned();
        event.time = "2026-11-21T07:00:00.123Z".to_owned();
        event.request.push("RequestID", Property::Long(9));
        event.certificate.push("CommonName", Property::String("<b>Müller</b>".to_owned()));
        event.attributes.push(("Owner".to_owned(), "Bob".to_owned()));
        event.detail.push("ExpiresWithinDays", Property::String("30".to_owned()));
        About { event: Arc::new(event), ca_name: "Example CA".into() }
    }

    fn text(source: &str, is_html: bool) -> Result<String, String> {
        let mut templates = Templates::new();
        let name = templates.add(source, is_html)?;
        templates.text(&name, &about())
    }

    #[track_caller]
    fn check(source: &str, expected: &str) {
        assert_eq!(text(source, false).as_deref(), Ok(expected), "{source}");
    }

    #[test]
    fn an_event_can_be_named_in_all_its_parts() {
        check(
            "{{ event.word }} {{ event.id }} {{ event.time }}",
            "issued 5f0c-17 2026-11-21 07:00:00 UTC",
        );
        check("{{ request.RequestID + 1 }} {{ request['requestid'] }}", "10 9");
        check(
            "{{ attributes.Owner }} {{ detail.ExpiresWithinDays }} {{ ca_name }}",
            "Bob 30 Example CA",
        );
        check("{{ who }}", "<b>Müller</b>");
    }

    #[test]
    fn what_is_empty_prints_as_nothing_and_is_not_true() {
        check("[{{ certificate.UPN }}] {{ certificate.UPN or 'none' }}", "[] none");
        check("{% if ca.MachineDNSName %}\nyes\n{% else %}\nno\n{% endif %}\n", "no\n");
        check("{{ attributes.Nothing }}{{ detail.Nothing }}", "");
    }

    #[test]
    fn a_template_for_html_escapes_what_it_prints() {
        let escaped = "<p>&lt;b&gt;Müller&lt;&#x2f;b&gt;</p>";
        assert_eq!(text("<p>{{ who }}</p>", true).as_deref(), Ok(escaped));
    }

    #[test]
    fn misspelt_names_and_endless_templates_are_told() {
        for source in
            ["{{ whom }}", "{{ certificate.Serial }}", "{{ event.name }}", "{{ request.X }}"]
        {
            assert!(text(source, false).unwrap_err().contains("undefined"), "{source}");
        }
        assert!(text("{% if %}", false).unwrap_err().contains("line 1"));
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(text(endless, false).unwrap_err().contains("fuel"), "{:?}", text(endless, false));
    }
}
