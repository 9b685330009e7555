//! What a module in Rust reads from: `ICertServerExit`, made safe, and the reading half of
//! `ICertServerPolicy`.

use std::{ffi::c_void, marker::PhantomData, ptr};

use crate::{
    abi::{
        BSTR, CERTSRV_E_PROPERTY_EMPTY, CLSCTX_INPROC_SERVER, CLSID, CLSID_CCertServerExit, DATE,
        DISP_E_TYPEMISMATCH, E_NOINTERFACE, FAILED, HRESULT, ICertServerExit, IUnknown, Interface,
        LONG, PROPTYPE_BINARY, PROPTYPE_DATE, PROPTYPE_LONG, PROPTYPE_STRING, S_FALSE, VARIANT,
    },
    bstr::Bstr,
    host,
    module::ModuleError,
    pointer::ComPtr,
    variant::Variant,
};

/// Prefix of the system properties that hold the module's settings.
const SETTING_PREFIX: &str = "Setting.";

/// The read-only view of one event, or of the CA itself.
///
/// A property without a value is `None`. Names compare in any case. It is good for as long as the call
/// runs that it was given to.
#[derive(Debug)]
pub struct ServerExit {
    object: ComPtr<IUnknown>,
    calls: Calls,
    /// Opens the same class under context 0.
    system: fn() -> Result<ServerExit, ModuleError>,
}

/// An extension of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// `EXTENSION_*`: critical, disabled, and where it came from.
    pub flags: LONG,
    /// Its DER.
    pub value: Vec<u8>,
}

/// One of the two functions that read a property, or that for extensions.
type GetProperty = unsafe extern "C" fn(*mut c_void, BSTR, LONG, *mut VARIANT) -> HRESULT;

/// The calls that read, which an exit module's object and a policy module's have in different slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calls {
    pub(crate) get_request_property: GetProperty,
    pub(crate) get_request_attribute: unsafe extern "C" fn(*mut c_void, BSTR, *mut BSTR) -> HRESULT,
    pub(crate) get_certificate_property: GetProperty,
    pub(crate) get_certificate_extension: GetProperty,
    pub(crate) get_certificate_extension_flags:
        unsafe extern "C" fn(*mut c_void, *mut LONG) -> HRESULT,
    pub(crate) extensions: Enumeration,
    pub(crate) attributes: Enumeration,
}

/// Reads the functions out of a table that has them under their published names.
macro_rules! calls {
    ($table:expr) => {{
        let table = $table;
        $crate::server_exit::Calls {
            get_request_property: table.GetRequestProperty,
            get_request_attribute: table.GetRequestAttribute,
            get_certificate_property: table.GetCertificateProperty,
            get_certificate_extension: table.GetCertificateExtension,
            get_certificate_extension_flags: table.GetCertificateExtensionFlags,
            extensions: $crate::server_exit::Enumeration {
                what: "EnumerateExtensions",
                setup: table.EnumerateExtensionsSetup,
                next: table.EnumerateExtensions,
                close: table.EnumerateExtensionsClose,
            },
            attributes: $crate::server_exit::Enumeration {
                what: "EnumerateAttributes",
                setup: table.EnumerateAttributesSetup,
                next: table.EnumerateAttributes,
                close: table.EnumerateAttributesClose,
            },
        }
    }};
}
pub(crate) use calls;

/// An object of one of the server's classes.
///
/// # Errors
///
/// The process has no such class.
pub(crate) fn instance<T: Interface>(
    clsid: &CLSID,
    class: &'static str,
) -> Result<ComPtr<T>, ModuleError> {
    let mut raw = ptr::null_mut();
    // SAFETY: all arguments can be read or written; a success is a new reference to the interface
    // that was asked for.
    let object = unsafe {
        let hr = (host::functions().co_create_instance)(
            clsid,
            ptr::null_mut(),
            CLSCTX_INPROC_SERVER,
            &T::IID,
            &raw mut raw,
        );
        check(hr, || format!("CoCreateInstance({class})"))?;
        ComPtr::from_raw(raw.cast())
    };
    object.ok_or_else(|| {
        ModuleError::new(E_NOINTERFACE, format!("CoCreateInstance({class}) gave no object"))
    })
}

impl ServerExit {
    /// A view of the event that the context stands for; 0 is the CA itself.
    ///
    /// # Errors
    ///
    /// The process has no such class, or the context is of no event in hand.
    pub fn open(context: LONG) -> Result<Self, ModuleError> {
        let object = instance::<ICertServerExit>(&CLSID_CCertServerExit, "CCertServerExit")?;
        // SAFETY: the object lives as long as our reference, and its table as long.
        let table = unsafe { &*(*object.as_raw()).lpVtbl };
        // SAFETY: the object is live.
        let hr = unsafe { (table.SetContext)(object.this(), context) };
        check(hr, || format!("SetContext({context})"))?;
        // SAFETY: the calls are those of the object.
        Ok(unsafe { Self::of(object, calls!(table), || Self::open(0)) })
    }

    /// The same of an object whose context is set.
    ///
    /// # Safety
    ///
    /// The calls are those of the table behind `object`.
    pub(crate) unsafe fn of<T: Interface>(
        object: ComPtr<T>,
        calls: Calls,
        system: fn() -> Result<ServerExit, ModuleError>,
    ) -> Self {
        // SAFETY: every table begins with that of `IUnknown`, and the reference stays the same one.
        let object = unsafe { ComPtr::from_raw(object.into_raw().cast::<IUnknown>()) };
        Self { object: object.expect("BUG: a reference is not null"), calls, system }
    }

    /// First argument of the object's calls.
    pub(crate) fn this(&self) -> *mut c_void {
        self.object.this()
    }

    /// The CA itself.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn system(&self) -> Result<Self, ModuleError> {
        (self.system)()
    }

    /// An integer of the request.
    ///
    /// # Errors
    ///
    /// The property is of another type, or the server failed; so with all that follow.
    pub fn request_long(&self, name: &str) -> Result<Option<i32>, ModuleError> {
        self.property(self.calls.get_request_property, name, PROPTYPE_LONG, Variant::as_i32)
    }

    /// A text of the request.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn request_string(&self, name: &str) -> Result<Option<String>, ModuleError> {
        self.property(self.calls.get_request_property, name, PROPTYPE_STRING, text)
    }

    /// Bytes of the request.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn request_binary(&self, name: &str) -> Result<Option<Vec<u8>>, ModuleError> {
        self.property(self.calls.get_request_property, name, PROPTYPE_BINARY, bytes)
    }

    /// A moment of the request, in UTC; [`date`](crate::date) converts it.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn request_date(&self, name: &str) -> Result<Option<DATE>, ModuleError> {
        self.property(self.calls.get_request_property, name, PROPTYPE_DATE, Variant::as_date)
    }

    /// An integer of the certificate, or of the CA itself.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn certificate_long(&self, name: &str) -> Result<Option<i32>, ModuleError> {
        self.property(self.calls.get_certificate_property, name, PROPTYPE_LONG, Variant::as_i32)
    }

    /// A text of the certificate, or of the CA itself.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn certificate_string(&self, name: &str) -> Result<Option<String>, ModuleError> {
        self.property(self.calls.get_certificate_property, name, PROPTYPE_STRING, text)
    }

    /// Bytes of the certificate, or of the CA itself.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn certificate_binary(&self, name: &str) -> Result<Option<Vec<u8>>, ModuleError> {
        self.property(self.calls.get_certificate_property, name, PROPTYPE_BINARY, bytes)
    }

    /// A moment of the certificate, or of the CA itself, in UTC.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn certificate_date(&self, name: &str) -> Result<Option<DATE>, ModuleError> {
        self.property(self.calls.get_certificate_property, name, PROPTYPE_DATE, Variant::as_date)
    }

    /// A text among the module's settings.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn setting(&self, name: &str) -> Result<Option<String>, ModuleError> {
        self.system()?.certificate_string(&format!("{SETTING_PREFIX}{name}"))
    }

    /// A number, or a truth as 0 or 1, among the module's settings.
    ///
    /// # Errors
    ///
    /// As [`request_long`](Self::request_long).
    pub fn setting_long(&self, name: &str) -> Result<Option<i32>, ModuleError> {
        self.system()?.certificate_long(&format!("{SETTING_PREFIX}{name}"))
    }

    /// An attribute of the request.
    ///
    /// # Errors
    ///
    /// The server failed.
    pub fn attribute(&self, name: &str) -> Result<Option<String>, ModuleError> {
        let (wanted, mut value) = (Bstr::from(name), Bstr::empty());
        // SAFETY: the object is live; the name stays ours, and the value is ours to free.
        let hr = unsafe {
            let get = self.calls.get_request_attribute;
            get(self.this(), wanted.as_raw(), value.receive())
        };
        let there = check_value(hr, || format!("GetRequestAttribute({name})"))?;
        Ok(there.then(|| value.to_text_lossy()))
    }

    /// An extension by its dotted identifier.
    ///
    /// # Errors
    ///
    /// The server failed.
    pub fn extension(&self, oid: &str) -> Result<Option<Extension>, ModuleError> {
        let get = self.calls.get_certificate_extension;
        let Some(value) = self.property(get, oid, PROPTYPE_BINARY, bytes)? else {
            return Ok(None);
        };
        let mut flags = 0;
        // SAFETY: the object is live, and the flags can be written.
        let hr =
            unsafe { (self.calls.get_certificate_extension_flags)(self.this(), &raw mut flags) };
        check(hr, || format!("GetCertificateExtensionFlags of {oid}"))?;
        Ok(Some(Extension { flags, value }))
    }

    /// The identifiers of all extensions, also of those that were left out of the certificate. A
    /// second enumeration of the kind starts the first over.
    ///
    /// # Errors
    ///
    /// The server failed.
    pub fn extensions(&self) -> Result<Names<'_>, ModuleError> {
        self.names(self.calls.extensions)
    }

    /// The names of all attributes of the request.
    ///
    /// # Errors
    ///
    /// The server failed.
    pub fn attributes(&self) -> Result<Names<'_>, ModuleError> {
        self.names(self.calls.attributes)
    }

    fn property<T>(
        &self,
        get: GetProperty,
        name: &str,
        kind: LONG,
        read: impl FnOnce(&Variant) -> Option<T>,
    ) -> Result<Option<T>, ModuleError> {
        let (wanted, mut value) = (Bstr::from(name), Variant::empty());
        // SAFETY: the object is live; the name stays ours, and the value is ours to clear.
        let hr = unsafe { get(self.this(), wanted.as_raw(), kind, value.receive()) };
        if !check_value(hr, || format!("reading {name}"))? {
            return Ok(None);
        }
        let mismatch = || ModuleError::new(DISP_E_TYPEMISMATCH, format!("{name} has another type"));
        read(&value).map(Some).ok_or_else(mismatch)
    }

    fn names(&self, enumeration: Enumeration) -> Result<Names<'_>, ModuleError> {
        // SAFETY: the object is live.
        let hr = unsafe { (enumeration.setup)(self.this(), 0) };
        check(hr, || format!("{}Setup", enumeration.what))?;
        Ok(Names { object: self.object.clone(), enumeration, is_over: false, server: PhantomData })
    }
}

/// The three functions of an enumeration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enumeration {
    pub(crate) what: &'static str,
    pub(crate) setup: unsafe extern "C" fn(*mut c_void, LONG) -> HRESULT,
    pub(crate) next: unsafe extern "C" fn(*mut c_void, *mut BSTR) -> HRESULT,
    pub(crate) close: unsafe extern "C" fn(*mut c_void) -> HRESULT,
}

/// Names, one after the other; nothing comes after an error.
#[derive(Debug)]
pub struct Names<'a> {
    object: ComPtr<IUnknown>,
    enumeration: Enumeration,
    is_over: bool,
    server: PhantomData<&'a ServerExit>,
}

impl Iterator for Names<'_> {
    type Item = Result<String, ModuleError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let mut name = Bstr::empty();
        // SAFETY: the object is live, and the name is ours to free.
        let hr = unsafe { (self.enumeration.next)(self.object.this(), name.receive()) };
        self.is_over = hr == S_FALSE || FAILED(hr);
        if hr == S_FALSE {
            return None;
        }
        Some(check(hr, || self.enumeration.what.to_owned()).map(|()| name.to_text_lossy()))
    }
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        // SAFETY: the object is live. Whatever it answers, there is nothing more to do.
        unsafe { (self.enumeration.close)(self.object.this()) };
    }
}

/// The text of a property.
fn text(value: &Variant) -> Option<String> {
    value.as_bstr().map(Bstr::to_text_lossy)
}

/// The bytes of a property.
fn bytes(value: &Variant) -> Option<Vec<u8>> {
    value.as_bstr().map(|it| it.as_bytes().to_owned())
}

/// A failure as an error, with what the server has to say of it.
pub(crate) fn check(hr: HRESULT, what: impl FnOnce() -> String) -> Result<(), ModuleError> {
    if FAILED(hr) { Err(ModuleError::of_call(hr, &what())) } else { Ok(()) }
}

/// Whether there is a value.
fn check_value(hr: HRESULT, what: impl FnOnce() -> String) -> Result<bool, ModuleError> {
    if hr == CERTSRV_E_PROPERTY_EMPTY {
        // It may have left an error object, which is of no failure of ours.
        crate::error_info::clear();
        return Ok(false);
    }
    check(hr, what).map(|()| true)
}
