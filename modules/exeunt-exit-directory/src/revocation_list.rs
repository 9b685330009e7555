//! The CA's own objects: its certificates and its revocation lists.

use exeunt_module_kit::{Event, EventMask, Outcome, manage::SettingInfo};
use exeunt_publication::settings::Reader;

use crate::connection::{DirectoryError, Session};

/// What the operator says about the CA's own objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectSettings {}

impl ObjectSettings {
    /// Reads the settings; those that this asks for are known to all.
    ///
    /// # Errors
    ///
    /// One line for the operator that names the setting.
    #[expect(clippy::unnecessary_wraps, reason = "nothing is read yet")]
    pub fn read(_reader: &mut Reader<'_>) -> Result<Self, String> {
        Ok(Self {})
    }

    /// What can be set.
    pub fn known() -> Vec<SettingInfo> {
        Vec::new()
    }

    /// The events that are wanted.
    #[expect(clippy::unused_self, reason = "nothing is set yet")]
    pub fn events(&self) -> EventMask {
        EventMask(0)
    }
}

/// Takes an event about the CA itself. An error is turned into an outcome by the caller, who may try
/// once more over another connection.
///
/// # Errors
///
/// What the directory said.
#[expect(clippy::unused_async, reason = "nothing is published yet")]
pub async fn notify(
    _session: &Session,
    _settings: &ObjectSettings,
    _event: &Event,
) -> Result<Outcome, DirectoryError> {
    Ok(Outcome::Skip)
}
