//! The facts about a module that the original's console shows.

use exeunt_module::Value;

/// What most modules have to say in
/// [`ManageExitModule::property`](crate::ManageExitModule::property).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `Name`.
    pub name: &'static str,
    /// `Description`, one line.
    pub description: &'static str,
    /// `File Version` and `Product Version`.
    pub version: &'static str,
}

impl Facts {
    /// The fact of that name, in any ASCII case; `None` where it is another one.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Value> {
        let text = match name.to_ascii_lowercase().as_str() {
            "name" => self.name,
            "description" => self.description,
            "file version" | "product version" => self.version,
            _ => return None,
        };
        Some(Value::String(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_told_by_the_originals_names_in_any_case() {
        let facts = Facts { name: "census", description: "counts", version: "1.2" };
        let said = |name: &str| facts.property(name);
        let text = |it: &str| Some(Value::String(it.to_owned()));
        assert_eq!(said("Name"), text("census"));
        assert_eq!(said("DESCRIPTION"), text("counts"));
        assert_eq!((said("File Version"), said("product version")), (text("1.2"), text("1.2")));
        assert_eq!(said("Copyright"), None);
    }
}
