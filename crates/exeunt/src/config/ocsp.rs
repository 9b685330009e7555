//! `[ocsp]`, checked.

use std::time::Duration;

use exeunt_engine::{
    OCSP_RESPONDER_VALIDITY_MIN, OCSP_VALIDITY_MAX, OCSP_VALIDITY_MIN, OcspSettings,
};

use super::file::OcspTable;
use super::{ConfigError, value_error};

pub fn checked(table: &OcspTable) -> Result<OcspSettings, ConfigError> {
    let OcspTable { enabled, validity_s, responder_validity_s } = *table;
    let within = |key: &str, value: u64, least: Duration| {
        let (least, most) = (least.as_secs(), OCSP_VALIDITY_MAX.as_secs());
        if (least..=most).contains(&value) {
            return Ok(Duration::from_secs(value));
        }
        Err(value_error(format!("ocsp.{key}"), format!("must be {least} to {most}")))
    };
    Ok(OcspSettings {
        enabled,
        validity: within("validity_s", validity_s, OCSP_VALIDITY_MIN)?,
        responder_validity: within(
            "responder_validity_s",
            responder_validity_s,
            OCSP_RESPONDER_VALIDITY_MIN,
        )?,
    })
}
