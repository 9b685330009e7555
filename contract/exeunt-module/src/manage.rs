//! Managing a module: what its settings are, and whether some would do. The original's
//! `ICertManageModule`.
//!
//! The host asks in a process of its own, before any `Initialize`, and then says farewell: a module
//! that manages itself must touch nothing of what its other process works on.

use serde::{Deserialize, Serialize};

/// `CMM_REFRESHONLY`: take the settings up, show nothing (certmod.h).
pub const CMM_REFRESHONLY: u32 = 0x1;
/// `CMM_READONLY`: look at the settings and change nothing (certmod.h). What the host sends.
pub const CMM_READONLY: u32 = 0x2;

/// The answer to `GetManageModule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ManageModule {
    /// The settings that the module knows, in the order in which people should read them.
    #[serde(default)]
    pub settings: Vec<SettingInfo>,
}

/// One setting that a module knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SettingInfo {
    /// Its name in the configuration.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: SettingType,
    /// One line for the operator.
    pub description: String,
    /// What counts where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
    /// Whether the module refuses to start without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

impl SettingInfo {
    /// A setting that may be left out; `default` is what counts then, where that can be said.
    #[must_use]
    pub fn new(
        name: &str,
        kind: SettingType,
        description: &str,
        default: Option<serde_json::Value>,
    ) -> Self {
        let (name, description) = (name.to_owned(), description.to_owned());
        Self { name, kind, description, default, required: false }
    }

    /// The same, without which the module refuses to start.
    #[must_use]
    pub fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

/// What a setting holds, in JSON's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SettingType {
    /// A text.
    String,
    /// A whole number.
    Long,
    /// true or false.
    Boolean,
    /// An array.
    List,
    /// An object.
    Object,
    /// A type of a later version.
    #[serde(other)]
    Unknown,
}

impl SettingType {
    /// The word for it, as it stands in the message.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Long => "long",
            Self::Boolean => "boolean",
            Self::List => "list",
            Self::Object => "object",
            Self::Unknown => "unknown",
        }
    }
}

/// Parameters of `GetProperty`. The original's names are `Name`, `Description`, `Copyright`,
/// `File Version` and `Product Version`; they compare in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetProperty {
    /// Name of the property.
    pub name: String,
    /// Reserved; 0.
    #[serde(default)]
    pub flags: u32,
}

/// Parameters of `SetProperty`: one setting, to be checked alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetProperty {
    /// Name of the setting.
    pub name: String,
    /// What it would hold.
    pub value: serde_json::Value,
}

/// Parameters of `Configure`: all settings, to be checked together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Configure {
    /// The whole set.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// [`CMM_READONLY`] from a host that only checks.
    #[serde(default)]
    pub flags: u32,
}
