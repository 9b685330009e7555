//! Everything that `libexeunt_com` exports, in one table, so that a linker keeps it.

use std::ffi::c_void;

use crate::{bstr, class, date, error_info, guid, memory, safearray, variant};

/// An address of code, in a table that every thread may read.
#[repr(transparent)]
struct Export(*const c_void);

// SAFETY: nobody follows the pointer.
unsafe impl Sync for Export {}

macro_rules! exports {
    ($($path:path),+ $(,)?) => {
        /// Never read; being used, it pulls every function into an executable.
        #[used]
        static FUNCTIONS: &[Export] = &[$(Export($path as *const c_void)),+];

        /// Names of the exported functions, for a test that compares them with the headers.
        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($path)),+];
    };
}

exports! {
    bstr::SysAllocString,
    bstr::SysAllocStringLen,
    bstr::SysAllocStringByteLen,
    bstr::SysReAllocString,
    bstr::SysReAllocStringLen,
    bstr::SysFreeString,
    bstr::SysStringLen,
    bstr::SysStringByteLen,
    variant::VariantInit,
    variant::VariantClear,
    variant::VariantCopy,
    variant::VariantCopyInd,
    variant::convert::VariantChangeType,
    variant::convert::VariantChangeTypeEx,
    safearray::SafeArrayCreate,
    safearray::SafeArrayCreateVector,
    safearray::SafeArrayDestroy,
    safearray::SafeArrayCopy,
    safearray::SafeArrayGetElement,
    safearray::SafeArrayPutElement,
    safearray::SafeArrayGetLBound,
    safearray::SafeArrayGetUBound,
    safearray::SafeArrayGetVartype,
    safearray::SafeArrayGetDim,
    safearray::SafeArrayGetElemsize,
    safearray::SafeArrayAccessData,
    safearray::SafeArrayUnaccessData,
    memory::CoTaskMemAlloc,
    memory::CoTaskMemRealloc,
    memory::CoTaskMemFree,
    guid::CLSIDFromString,
    guid::IIDFromString,
    guid::StringFromGUID2,
    guid::StringFromCLSID,
    class::CoInitialize,
    class::CoInitializeEx,
    class::CoUninitialize,
    class::CoCreateInstance,
    class::CoGetClassObject,
    class::CoRegisterClassObject,
    class::CoRevokeClassObject,
    class::CLSIDFromProgID,
    error_info::CreateErrorInfo,
    error_info::SetErrorInfo,
    error_info::GetErrorInfo,
    date::SystemTimeToVariantTime,
    date::VariantTimeToSystemTime,
}

/// Keeps every exported function and identifier in an executable that calls this once.
///
/// An executable takes from a library only what it uses, and modules that are loaded later may use
/// everything. It must be linked with `-Wl,--export-dynamic` as well, so that they can find it.
pub fn keep() {
    std::hint::black_box(FUNCTIONS);
    std::hint::black_box(crate::abi::symbols::ALL);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function that is in no header cannot be called, and one that is not exported cannot be linked.
    #[test]
    fn every_exported_function_is_declared_once() {
        let headers = [include_str!("../include/oleauto.h"), include_str!("../include/objbase.h")];
        for path in NAMES {
            let name = path.rsplit("::").next().unwrap().trim();
            let call = format!("{name}(");
            let is_whole = |(at, _): &(usize, &str), header: &str| {
                !header[..*at].ends_with(|it: char| it.is_alphanumeric())
            };
            let declared: usize = headers
                .iter()
                .map(|it| it.match_indices(&call).filter(|found| is_whole(found, it)).count())
                .sum();
            assert_eq!(declared, 1, "{name}");
        }
    }
}
