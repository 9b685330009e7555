//! What a failed call has to say beside its code: one error object for each thread.
#![expect(non_snake_case, reason = "the exported functions have their published names")]

use std::{
    cell::Cell,
    ffi::c_void,
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    abi::{
        BSTR, DWORD, E_INVALIDARG, E_POINTER, GUID, HRESULT, ICreateErrorInfo,
        ICreateErrorInfoVtbl, IErrorInfo, IErrorInfoVtbl, IID_ICreateErrorInfo, IID_IErrorInfo,
        IID_IUnknown, LPCOLESTR, S_FALSE, S_OK, ULONG,
    },
    bstr::{Bstr, text_of},
    host,
    object::{Object, Part, State},
    pointer::ComPtr,
};

/// What an error object says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorText {
    /// Interface that failed.
    pub interface: GUID,
    /// Who failed, usually a `ProgID`.
    pub source: String,
    /// What happened.
    pub description: String,
}

/// Leaves an error object for this thread, in the host's copy of the table.
pub fn set(text: &ErrorText) {
    let error = new_error(text.clone().into());
    // SAFETY: the object is live during the call.
    unsafe { (host::functions().set_error_info)(0, error.as_raw()) };
}

/// Forgets this thread's error object.
pub fn clear() {
    // SAFETY: null is allowed.
    unsafe { (host::functions().set_error_info)(0, ptr::null_mut()) };
}

/// Takes this thread's error object and reads it. Whoever made it, what it refuses to tell is empty.
#[must_use]
pub fn take() -> Option<ErrorText> {
    let mut raw = ptr::null_mut();
    // SAFETY: `raw` can be written, and is a new reference if it is not null.
    let error = unsafe {
        (host::functions().get_error_info)(0, &raw mut raw);
        ComPtr::<IErrorInfo>::from_raw(raw)
    }?;
    let mut text = ErrorText::default();
    let (mut source, mut description) = (Bstr::empty(), Bstr::empty());
    // SAFETY: the object is live, so its table is; the places can be written.
    unsafe {
        let vtable = (*error.as_raw()).lpVtbl;
        ((*vtable).GetGUID)(error.this(), &raw mut text.interface);
        ((*vtable).GetSource)(error.this(), source.receive());
        ((*vtable).GetDescription)(error.this(), description.receive());
    }
    text.source = source.to_text_lossy();
    text.description = description.to_text_lossy();
    Some(text)
}

thread_local! {
    /// The error object of this thread.
    static CURRENT: Cell<Option<ComPtr<IErrorInfo>>> = const { Cell::new(None) };
}

/// Makes the object the thread's error; null forgets it. `E_INVALIDARG` if `dwReserved` is not 0.
///
/// # Safety
///
/// `perrinfo` is null or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SetErrorInfo(dwReserved: ULONG, perrinfo: *mut IErrorInfo) -> HRESULT {
    if dwReserved != 0 {
        return E_INVALIDARG;
    }
    // SAFETY: the caller vouches for the object.
    let error = unsafe { ComPtr::from_borrowed(perrinfo) };
    // While a thread ends there is no place any more, and nobody who would ask.
    let earlier = CURRENT.try_with(|it| it.replace(error));
    drop(earlier);
    S_OK
}

/// Gives the thread's error object away; `S_FALSE` and null if there is none.
///
/// # Safety
///
/// `pperrinfo` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn GetErrorInfo(
    dwReserved: ULONG,
    pperrinfo: *mut *mut IErrorInfo,
) -> HRESULT {
    if dwReserved != 0 || pperrinfo.is_null() {
        return E_INVALIDARG;
    }
    let error = CURRENT.try_with(Cell::take).ok().flatten();
    let hr = if error.is_some() { S_OK } else { S_FALSE };
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { pperrinfo.write(error.map_or(ptr::null_mut(), ComPtr::into_raw)) };
    hr
}

/// A new error object, to be filled through `ICreateErrorInfo`, queried for `IErrorInfo` and given to
/// [`SetErrorInfo`].
///
/// # Safety
///
/// `pperrinfo` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CreateErrorInfo(pperrinfo: *mut *mut ICreateErrorInfo) -> HRESULT {
    if pperrinfo.is_null() {
        return E_INVALIDARG;
    }
    match new_error(Fields::default()).query() {
        Ok(create) => {
            // SAFETY: not null, and the caller vouches for the rest.
            unsafe { pperrinfo.write(create.into_raw()) };
            S_OK
        }
        Err(hr) => hr,
    }
}

/// What an error object holds.
#[derive(Default)]
struct Fields {
    interface: GUID,
    source: String,
    description: String,
    help_file: String,
    help_context: DWORD,
}

impl From<ErrorText> for Fields {
    fn from(text: ErrorText) -> Self {
        let ErrorText { interface, source, description } = text;
        Self { interface, source, description, ..Self::default() }
    }
}

/// The state of an error object.
struct ErrorState(Mutex<Fields>);

/// A new error object.
fn new_error(fields: Fields) -> ComPtr<IErrorInfo> {
    // SAFETY: the first part's table is that of the interface.
    unsafe { Object::create(ErrorState(Mutex::new(fields))) }
}

impl State for ErrorState {
    const PARTS: [Part; 2] = [
        Part { ids: &[IID_IUnknown, IID_IErrorInfo], table: (&raw const READ).cast() },
        Part { ids: &[IID_ICreateErrorInfo], table: (&raw const CREATE).cast() },
    ];
}

static READ: IErrorInfoVtbl = IErrorInfoVtbl {
    base: Object::<ErrorState>::unknown::<0>(),
    GetGUID: get_guid,
    GetSource: get_source,
    GetDescription: get_description,
    GetHelpFile: get_help_file,
    GetHelpContext: get_help_context,
};

static CREATE: ICreateErrorInfoVtbl = ICreateErrorInfoVtbl {
    base: Object::<ErrorState>::unknown::<1>(),
    SetGUID: set_guid,
    SetSource: set_source,
    SetDescription: set_description,
    SetHelpFile: set_help_file,
    SetHelpContext: set_help_context,
};

/// The fields behind the part at place `AT`: 0 reads, 1 writes.
///
/// # Safety
///
/// `this` is that part of a live error object.
unsafe fn fields<'a, const AT: usize>(this: *mut c_void) -> MutexGuard<'a, Fields> {
    // SAFETY: the caller vouches for it.
    let ErrorState(fields) = unsafe { Object::<ErrorState>::state::<AT>(this) };
    fields.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One function that writes a part of the object to where it is asked for.
macro_rules! getter {
    ($name:ident, $type:ty, $field:ident => $value:expr) => {
        unsafe extern "C" fn $name(this: *mut c_void, out: *mut $type) -> HRESULT {
            if out.is_null() {
                return E_POINTER;
            }
            // SAFETY: `this` is the reading interface of a live object; `out` is not null, and the
            // caller vouches for the rest.
            unsafe {
                let $field = &fields::<0>(this).$field;
                out.write($value);
            }
            S_OK
        }
    };
}

getter!(get_guid, GUID, interface => *interface);
getter!(get_source, BSTR, source => Bstr::from(source.as_str()).into_raw());
getter!(get_description, BSTR, description => Bstr::from(description.as_str()).into_raw());
getter!(get_help_file, BSTR, help_file => Bstr::from(help_file.as_str()).into_raw());
getter!(get_help_context, DWORD, help_context => *help_context);

/// One function that sets a text of the object.
macro_rules! text_setter {
    ($name:ident, $field:ident) => {
        unsafe extern "C" fn $name(this: *mut c_void, text: LPCOLESTR) -> HRESULT {
            // SAFETY: `this` is the writing interface of a live object; the caller vouches for the
            // text.
            unsafe { fields::<1>(this).$field = text_of(text) };
            S_OK
        }
    };
}

text_setter!(set_source, source);
text_setter!(set_description, description);
text_setter!(set_help_file, help_file);

unsafe extern "C" fn set_guid(this: *mut c_void, rguid: *const GUID) -> HRESULT {
    if rguid.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: `this` is the writing interface of a live object; `rguid` is not null.
    unsafe { fields::<1>(this).interface = rguid.read_unaligned() };
    S_OK
}

unsafe extern "C" fn set_help_context(this: *mut c_void, context: DWORD) -> HRESULT {
    // SAFETY: `this` is the writing interface of a live object.
    unsafe { fields::<1>(this).help_context = context };
    S_OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::IID_ICertExit;

    fn some_text() -> ErrorText {
        ErrorText {
            interface: IID_ICertExit,
            source: "Made.Exit".to_owned(),
            description: "the printer is on fire".to_owned(),
        }
    }

    #[test]
    fn an_error_is_taken_once() {
        set(&some_text());
        assert_eq!(take(), Some(some_text()));
        assert_eq!(take(), None);
        set(&some_text());
        clear();
        assert_eq!(take(), None);
    }

    #[test]
    fn each_thread_has_its_own() {
        set(&some_text());
        std::thread::spawn(|| assert_eq!(take(), None)).join().unwrap();
        assert!(take().is_some());
    }

    #[test]
    fn both_interfaces_are_one_object() {
        let read = new_error(some_text().into());
        let create = read.query::<ICreateErrorInfo>().unwrap();
        assert_ne!(create.this(), read.this());
        let back = create.query::<IErrorInfo>().unwrap();
        assert_eq!(back.this(), read.this());
        assert!(read.query::<crate::abi::IDispatch>().is_err());
    }

    #[test]
    fn a_reserved_argument_is_zero() {
        let mut raw = ptr::null_mut();
        // SAFETY: the places can be written, or are null, which is allowed.
        unsafe {
            assert_eq!(SetErrorInfo(1, ptr::null_mut()), E_INVALIDARG);
            assert_eq!(GetErrorInfo(1, &raw mut raw), E_INVALIDARG);
            assert_eq!(GetErrorInfo(0, ptr::null_mut()), E_INVALIDARG);
            assert_eq!(CreateErrorInfo(ptr::null_mut()), E_INVALIDARG);
        }
    }
}
