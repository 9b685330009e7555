//! Texts in the original's style: a format with `%1`, `%2` and so on, and the names of the properties
//! that are put there.

use exeunt_module_kit::Event;

use crate::property;

/// What stands where a property cannot be read, as in the original.
pub const NOT_FOUND: &str = "???";

/// Most arguments of a format: `%99` is the last that can be written.
pub const ARGUMENTS_MAX: usize = 99;

/// A format with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    arguments: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Index among the arguments.
    Argument(usize),
}

impl Pattern {
    /// Reads a format. `%%` is a per cent sign; one before anything but a digit stands for itself.
    ///
    /// # Errors
    ///
    /// What is wrong: a number without an argument, which would be printed as it stands and puzzle
    /// the recipient.
    pub fn parse(format: &str, arguments: Vec<String>) -> Result<Self, String> {
        if ARGUMENTS_MAX < arguments.len() {
            return Err(format!("it has more than {ARGUMENTS_MAX} arguments"));
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            let digits = after.bytes().take(2).take_while(u8::is_ascii_digit).count();
            match after[..digits].parse::<usize>() {
                Ok(number) if 0 < number => {
                    if arguments.len() < number {
                        return Err(format!(
                            "it names %{number}, and there are {} arguments",
                            arguments.len()
                        ));
                    }
                    if !text.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut text)));
                    }
                    parts.push(Part::Argument(number - 1));
                    rest = &after[digits..];
                }
                _ => {
                    text.push('%');
                    rest = after.strip_prefix('%').unwrap_or(after);
                }
            }
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self { parts, arguments })
    }

    /// The text about an event.
    pub fn filled(&self, event: &Event) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Argument(index) => {
                    let name = self.arguments.get(*index).map_or("", String::as_str);
                    match property::named(event, name) {
                        Ok(value) => text.push_str(&property::printed(name, &value)),
                        Err(_) => text.push_str(NOT_FOUND),
                    }
                }
            }
        }
        text
    }

    /// Arguments that name nothing at all, for a warning.
    pub fn unknown_names(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().map(String::as_str).filter(|it| !property::is_known(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exeunt_module_kit::Value;

    fn event() -> Event {
        let mut event = Event { context: 9, ..Event::default() };
        event.request.push("RequestID", Value::Long(9));
        event.certificate.push("SerialNumber", Value::String("4a1f".to_owned()));
        event
    }

    #[track_caller]
    fn check(format: &str, names: &[&str], expected: &str) {
        let names = names.iter().map(|it| (*it).to_owned()).collect();
        let filled = match Pattern::parse(format, names) {
            Ok(pattern) => pattern.filled(&event()),
            Err(why) => format!("error: {why}"),
        };
        assert_eq!(filled, expected, "{format}");
    }

    #[test]
    fn arguments_stand_where_their_numbers_are() {
        let names = ["Request.RequestID", "SerialNumber", "UPN"];
        check("Request %1: %2.", &names, "Request 9: 4a1f.");
        check("%2%1", &names, "4a1f9");
        check("nothing", &[], "nothing");
        check("", &[], "");
    }

    #[test]
    fn what_cannot_be_read_prints_as_the_original_prints_it() {
        check("%1 and %2", &["UPN", "Request.Nonsense"], "??? and ???");
    }

    #[test]
    fn a_per_cent_sign_stands_for_itself() {
        check("100 % of %1, %%1, %0, 5%", &["SerialNumber"], "100 % of 4a1f, %1, %0, 5%");
        check("%é%", &[], "%é%");
    }

    #[test]
    fn two_digits_are_one_number() {
        let names = vec!["SerialNumber"; 12];
        check("%12|%123", &names, "4a1f|4a1f3");
    }

    #[test]
    fn a_number_without_an_argument_is_refused() {
        check("%2", &["UPN"], "error: it names %2, and there are 1 arguments");
    }

    #[test]
    fn names_that_nobody_knows_are_told() {
        let names = vec!["SerialNumber".to_owned(), "Serial".to_owned()];
        let pattern = Pattern::parse("%1", names).unwrap();
        assert_eq!(pattern.unknown_names().collect::<Vec<_>>(), ["Serial"]);
    }

    proptest::proptest! {
        #[test]
        fn any_format_can_be_read_and_filled(format in "\\PC*", count in 0_usize..4) {
            let names = vec!["SerialNumber".to_owned(); count];
            if let Ok(pattern) = Pattern::parse(&format, names) {
                pattern.filled(&event());
            }
        }
    }
}
