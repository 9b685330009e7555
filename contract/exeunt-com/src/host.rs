//! Which copy of this code a module in Rust talks to.
//!
//! A module in Rust is linked with this crate and so brings a copy of it along, with a table of classes
//! and error objects of its own, of which its host knows nothing. Strings, variants and task memory
//! hold no state and may come from any copy. What does hold state is therefore looked up, once, with
//! `dlsym(RTLD_DEFAULT, …)`: that finds the functions which the process's own executable exports (the
//! runner is linked with `--export-dynamic`) before those of any library. Where the executable exports
//! none, the copy at hand is used.
//!
//! Modules in C and C++ need nothing of this: their undefined symbols are bound to the executable's by
//! the dynamic linker, in the same order.

use std::{
    ffi::{CStr, c_void},
    mem,
    sync::OnceLock,
};

use crate::{
    abi::{CLSID, DWORD, GUID, HRESULT, IErrorInfo, ULONG},
    class, error_info,
};

/// The host's functions that hold state.
pub(crate) struct Functions {
    pub(crate) co_create_instance: CoCreateInstanceFn,
    pub(crate) set_error_info: SetErrorInfoFn,
    pub(crate) get_error_info: GetErrorInfoFn,
}

type CoCreateInstanceFn = unsafe extern "C" fn(
    *const CLSID,
    *mut c_void,
    DWORD,
    *const GUID,
    *mut *mut c_void,
) -> HRESULT;
type SetErrorInfoFn = unsafe extern "C" fn(ULONG, *mut IErrorInfo) -> HRESULT;
type GetErrorInfoFn = unsafe extern "C" fn(ULONG, *mut *mut IErrorInfo) -> HRESULT;

/// The host's functions, found at the first call.
pub(crate) fn functions() -> &'static Functions {
    static FUNCTIONS: OnceLock<Functions> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let all = (find(c"CoCreateInstance"), find(c"SetErrorInfo"), find(c"GetErrorInfo"));
        // All of one copy, or none.
        let (Some(create), Some(set), Some(get)) = all else {
            return Functions {
                co_create_instance: class::CoCreateInstance,
                set_error_info: error_info::SetErrorInfo,
                get_error_info: error_info::GetErrorInfo,
            };
        };
        // SAFETY: functions of these names have these published types.
        unsafe {
            Functions {
                co_create_instance: mem::transmute::<*mut c_void, CoCreateInstanceFn>(create),
                set_error_info: mem::transmute::<*mut c_void, SetErrorInfoFn>(set),
                get_error_info: mem::transmute::<*mut c_void, GetErrorInfoFn>(get),
            }
        }
    })
}

/// The address of an exported symbol.
fn find(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name is ended by a zero; dlsym only looks.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address)
}
