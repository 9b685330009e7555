//! What a policy module in Rust reads from and writes to: `ICertServerPolicy`, made safe.

use std::{ffi::c_void, ops::Deref};

use crate::{
    abi::{
        BSTR, CLSID_CCertServerPolicy, DATE, EXTENSION_DISABLE_FLAG, HRESULT, ICertServerPolicy,
        LONG, PROPTYPE_BINARY, PROPTYPE_DATE, PROPTYPE_LONG, PROPTYPE_STRING, VARIANT,
    },
    bstr::Bstr,
    module::ModuleError,
    server_exit::{Extension, ServerExit, calls, check, instance},
    variant::Variant,
};

/// The view of one request, or of the CA itself, that can also shape the certificate to be.
///
/// It reads as [`ServerExit`] does. What it has set it reads back. It is good for as long as the call
/// runs that it was given to.
#[derive(Debug)]
pub struct ServerPolicy {
    server: ServerExit,
    set_certificate_property: SetProperty,
    set_certificate_extension: SetExtension,
}

type SetProperty = unsafe extern "C" fn(*mut c_void, BSTR, LONG, *const VARIANT) -> HRESULT;
type SetExtension = unsafe extern "C" fn(*mut c_void, BSTR, LONG, LONG, *const VARIANT) -> HRESULT;

impl Deref for ServerPolicy {
    type Target = ServerExit;

    fn deref(&self) -> &ServerExit {
        &self.server
    }
}

impl ServerPolicy {
    /// A view of the request that the context stands for; 0 is the CA itself.
    ///
    /// # Errors
    ///
    /// The process has no such class, or the context is of no request in hand.
    pub fn open(context: LONG) -> Result<Self, ModuleError> {
        let object = instance::<ICertServerPolicy>(&CLSID_CCertServerPolicy, "CCertServerPolicy")?;
        // SAFETY: the object lives as long as our reference, and its table as long.
        let table = unsafe { &*(*object.as_raw()).lpVtbl };
        // SAFETY: the object is live.
        let hr = unsafe { (table.SetContext)(object.this(), context) };
        check(hr, || format!("SetContext({context})"))?;
        // SAFETY: the calls are those of the object.
        let server = unsafe { ServerExit::of(object, calls!(table), || Ok(Self::open(0)?.server)) };
        Ok(Self {
            server,
            set_certificate_property: table.SetCertificateProperty,
            set_certificate_extension: table.SetCertificateExtension,
        })
    }

    /// Sets a text of the certificate, a part of its subject above all. Several values of one part
    /// have line feeds in between; `None` clears it.
    ///
    /// # Errors
    ///
    /// The server refuses it, and says why; so with all that follow.
    pub fn set_string(&self, name: &str, text: Option<&str>) -> Result<(), ModuleError> {
        self.set(name, PROPTYPE_STRING, &text.map_or_else(Variant::null, Variant::from))
    }

    /// Sets a moment of the certificate, in UTC: `NotBefore` or `NotAfter`, narrower than it is.
    ///
    /// # Errors
    ///
    /// As [`set_string`](Self::set_string).
    pub fn set_date(&self, name: &str, date: DATE) -> Result<(), ModuleError> {
        self.set(name, PROPTYPE_DATE, &Variant::date(date))
    }

    /// Sets an integer of the certificate.
    ///
    /// # Errors
    ///
    /// As [`set_string`](Self::set_string).
    pub fn set_long(&self, name: &str, number: i32) -> Result<(), ModuleError> {
        self.set(name, PROPTYPE_LONG, &Variant::from(number))
    }

    /// Sets a property in any type, one of `PROPTYPE_*`.
    ///
    /// # Errors
    ///
    /// As [`set_string`](Self::set_string).
    pub fn set(&self, name: &str, kind: LONG, value: &Variant) -> Result<(), ModuleError> {
        let wanted = Bstr::from(name);
        // SAFETY: the object is live; name and value stay ours.
        let hr = unsafe {
            (self.set_certificate_property)(
                self.server.this(),
                wanted.as_raw(),
                kind,
                value.as_ptr(),
            )
        };
        check(hr, || format!("setting {name}"))
    }

    /// Puts an extension into the certificate, or in the place of one with that identifier. Of the
    /// flags, those of `EXTENSION_POLICY_MASK` count.
    ///
    /// # Errors
    ///
    /// As [`set_string`](Self::set_string).
    pub fn set_extension(&self, oid: &str, extension: &Extension) -> Result<(), ModuleError> {
        let value = Variant::binary(&extension.value);
        self.set_extension_as(oid, PROPTYPE_BINARY, extension.flags, &value)
    }

    /// Leaves an extension out of the certificate. It stays on record.
    ///
    /// # Errors
    ///
    /// As [`set_string`](Self::set_string).
    pub fn disable_extension(&self, oid: &str) -> Result<(), ModuleError> {
        self.set_extension_as(oid, PROPTYPE_BINARY, EXTENSION_DISABLE_FLAG, &Variant::empty())
    }

    /// Sets an extension from a value in any type, one of `PROPTYPE_*`, which the server encodes.
    ///
    /// # Errors
    ///
    /// As [`set_string`](Self::set_string).
    pub fn set_extension_as(
        &self,
        oid: &str,
        kind: LONG,
        flags: LONG,
        value: &Variant,
    ) -> Result<(), ModuleError> {
        let wanted = Bstr::from(oid);
        // SAFETY: the object is live; identifier and value stay ours.
        let hr = unsafe {
            (self.set_certificate_extension)(
                self.server.this(),
                wanted.as_raw(),
                kind,
                flags,
                value.as_ptr(),
            )
        };
        check(hr, || format!("setting extension {oid}"))
    }
}
