//! What became of a serial number: the one question of an OCSP responder.

use exeunt_types::{Disposition, Revocation, Serial, UnixMillis};
use rusqlite::{OptionalExtension as _, Row};

use crate::error::During as _;
use crate::reader::corrupt;
use crate::row::{Why, read, read_code, read_revocation};
use crate::{Store, StoreError};

/// Columns: disposition of the request that has a certificate of this number, its revocation, when
/// the number was given up, index of the CA's key.
const STATUS: &str =
    "SELECT request.disposition, revocation.reason, revocation.ran, revocation.effective,
            abandoned_serial.at, coalesce(abandoned_serial.ca_key, certificate.ca_key)
     FROM serial
     LEFT JOIN certificate
         ON certificate.request = serial.request AND certificate.serial = serial.serial
     LEFT JOIN request ON request.id = certificate.request
     LEFT JOIN revocation
         ON revocation.request = certificate.request AND revocation.revoked = 1
     LEFT JOIN abandoned_serial ON abandoned_serial.serial = serial.serial
     WHERE serial.serial = ?1";

/// What became of a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SerialStatus {
    /// It was never given out, or its certificate is being made at this moment.
    Unknown,
    /// A certificate has it that is not revoked.
    Issued,
    /// A certificate has it that is revoked, perhaps from a later time on.
    Revoked(Revocation),
    /// It may have been signed and was given up, which counts as revoked.
    Abandoned {
        /// When.
        at: UnixMillis,
    },
}

impl Store {
    /// What became of a serial number, at one moment. It takes as long in large stores as in small
    /// ones.
    ///
    /// # Errors
    ///
    /// [`StoreError::CorruptRow`] when what stands there cannot be read.
    pub fn serial_status(&self, serial: &Serial) -> Result<SerialStatus, StoreError> {
        self.read_serial_status(serial, None)
    }

    /// [`Self::serial_status`] under the CA's key of that index: a serial number that another key
    /// signed, or was to sign, is unknown.
    ///
    /// # Errors
    ///
    /// As [`Self::serial_status`].
    pub fn serial_status_of(
        &self,
        serial: &Serial,
        ca_key: u16,
    ) -> Result<SerialStatus, StoreError> {
        self.read_serial_status(serial, Some(ca_key))
    }

    fn read_serial_status(
        &self,
        serial: &Serial,
        ca_key: Option<u16>,
    ) -> Result<SerialStatus, StoreError> {
        let action = "reading the status of a serial number";
        self.inner.readers.read(action, |conn| {
            let found = conn
                .prepare_cached(STATUS)
                .and_then(|mut it| {
                    it.query_row([serial.as_be_bytes()], |row| Ok(read_status(row, ca_key)))
                        .optional()
                })
                .during(action)?;
            let Some(status) = found else { return Ok(SerialStatus::Unknown) };
            status.map_err(corrupt(format!("serial number {serial}")))
        })
    }
}

fn read_status(row: &Row<'_>, ca_key: Option<u16>) -> Result<SerialStatus, Why> {
    let of_key = read::<Option<u16>>(row, 5)?;
    if ca_key.is_some_and(|it| of_key != Some(it)) {
        return Ok(SerialStatus::Unknown);
    }
    if let Some(at) = read::<Option<i64>>(row, 4)? {
        return Ok(SerialStatus::Abandoned { at: UnixMillis(at) });
    }
    if read::<Option<i64>>(row, 0)?.is_none() {
        return Ok(SerialStatus::Unknown);
    }
    match read_code(row, 0, Disposition::from_code, "disposition")? {
        Disposition::Issued => Ok(SerialStatus::Issued),
        Disposition::Revoked => {
            let revocation = read_revocation(row, 1)?;
            Ok(SerialStatus::Revoked(revocation.ok_or("it is revoked without a revocation")?))
        }
        // Certificates of other authorities among them.
        _ => Ok(SerialStatus::Unknown),
    }
}
