//! Which classes there are: the process's table of factories and `ProgID`s.
//!
//! It takes the place of the registry. The runner fills it before it calls a module; the functions
//! of `objbase.h` read it. There is one table for each copy of this code, so a module has to reach that
//! of its host: see `host.rs`.
#![expect(non_snake_case, reason = "the exported functions have their published names")]

use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::c_void,
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    abi::{
        BOOL, CLASS_E_NOAGGREGATION, CLSID, CO_E_CLASSSTRING, CO_E_OBJNOTREG, DWORD, E_INVALIDARG,
        E_POINTER, FAILED, GUID, HRESULT, IClassFactory, IClassFactoryVtbl, IID_IClassFactory,
        IID_IUnknown, IUnknown, LPCOLESTR, REGDB_E_CLASSNOTREG, S_FALSE, S_OK,
    },
    bstr::text_of,
    object::{Object, Part, State},
    pointer::ComPtr,
};

/// A factory in the table.
struct Entry {
    cookie: DWORD,
    factory: ComPtr<IUnknown>,
}

// SAFETY: whoever registers a factory lets every thread call it, as the published function says of
// classes that run in the process.
unsafe impl Send for Entry {}

/// The table.
struct Table {
    cookie: DWORD,
    factories: BTreeMap<GUID, Entry>,
    /// Classes by `ProgID` in lower case.
    progids: BTreeMap<String, GUID>,
}

static TABLE: Mutex<Table> =
    Mutex::new(Table { cookie: 0, factories: BTreeMap::new(), progids: BTreeMap::new() });

/// The table, for a moment. No foreign code may run while it is held.
fn table() -> MutexGuard<'static, Table> {
    // Nothing that is done under the lock leaves the table half changed.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Enters a factory; it takes the place of an earlier one. The cookie is for [`revoke_class`].
///
/// The factory is called from any thread.
pub fn register_class(clsid: GUID, factory: ComPtr<IUnknown>) -> DWORD {
    let (cookie, earlier) = {
        let mut table = table();
        table.cookie = table.cookie.wrapping_add(1);
        let cookie = table.cookie;
        (cookie, table.factories.insert(clsid, Entry { cookie, factory }))
    };
    // Only now: it may call foreign code.
    drop(earlier);
    cookie
}

/// Takes a factory out. False if the cookie is of none.
pub fn revoke_class(cookie: DWORD) -> bool {
    let entry = {
        let mut table = table();
        let clsid = table.factories.iter().find(|(_, it)| it.cookie == cookie).map(|(id, _)| *id);
        clsid.and_then(|it| table.factories.remove(&it))
    };
    entry.is_some()
}

/// Enters a `ProgID`, in any case; it takes the place of an earlier one.
pub fn register_progid(progid: &str, clsid: GUID) {
    table().progids.insert(progid.to_lowercase(), clsid);
}

/// The class of a `ProgID`, in any case.
#[must_use]
pub fn class_of_progid(progid: &str) -> Option<GUID> {
    table().progids.get(&progid.to_lowercase()).copied()
}

/// A factory that makes an object with each call of `make`, from any thread.
pub fn class_factory<F>(make: F) -> ComPtr<IClassFactory>
where
    F: Fn() -> Result<ComPtr<IUnknown>, HRESULT> + Send + Sync + 'static,
{
    // SAFETY: the first part's table is that of the interface.
    unsafe { Object::create(Factory { make }) }
}

/// The state of a [`class_factory`].
struct Factory<F> {
    make: F,
}

impl<F> Factory<F>
where
    F: Fn() -> Result<ComPtr<IUnknown>, HRESULT> + Send + Sync + 'static,
{
    const TABLE: &'static IClassFactoryVtbl = &IClassFactoryVtbl {
        base: Object::<Self>::unknown::<0>(),
        CreateInstance: Self::create,
        LockServer: Self::lock,
    };

    unsafe extern "C" fn create(
        this: *mut c_void,
        outer: *mut c_void,
        riid: *const GUID,
        ppv: *mut *mut c_void,
    ) -> HRESULT {
        if ppv.is_null() || riid.is_null() {
            return E_POINTER;
        }
        // SAFETY: `ppv` is not null, and the caller vouches for the rest.
        unsafe { ppv.write(ptr::null_mut()) };
        if !outer.is_null() {
            return CLASS_E_NOAGGREGATION;
        }
        // SAFETY: `this` is a live factory.
        match (unsafe { Object::<Self>::state::<0>(this) }.make)() {
            // SAFETY: the object is live, and the caller vouches for the rest.
            Ok(object) => unsafe { query_interface(&object, riid, ppv) },
            Err(hr) => hr,
        }
    }

    unsafe extern "C" fn lock(_this: *mut c_void, _lock: BOOL) -> HRESULT {
        // Whoever wants to keep the code loaded keeps the factory.
        S_OK
    }
}

impl<F> State for Factory<F>
where
    F: Fn() -> Result<ComPtr<IUnknown>, HRESULT> + Send + Sync + 'static,
{
    const PARTS: [Part; 2] = [
        Part { ids: &[IID_IUnknown, IID_IClassFactory], table: ptr::from_ref(Self::TABLE).cast() },
        Part::NONE,
    ];
}

/// Asks an object for an interface that is known only by identifier.
///
/// # Safety
///
/// `riid` can be read and `ppv` written.
pub(crate) unsafe fn query_interface(
    object: &ComPtr<IUnknown>,
    riid: *const GUID,
    ppv: *mut *mut c_void,
) -> HRESULT {
    // SAFETY: the object is live, so its table is; the caller vouches for the rest.
    unsafe { ((*(*object.as_raw()).lpVtbl).QueryInterface)(object.this(), riid, ppv) }
}

/// The factory of a class, through the interface that is asked for.
///
/// `REGDB_E_CLASSNOTREG` if nobody entered the class.
///
/// # Safety
///
/// `rclsid` and `riid` are null or can be read; `ppv` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoGetClassObject(
    rclsid: *const CLSID,
    _dwClsContext: DWORD,
    _pvReserved: *mut c_void,
    riid: *const GUID,
    ppv: *mut *mut c_void,
) -> HRESULT {
    if ppv.is_null() {
        return E_POINTER;
    }
    // SAFETY: `ppv` is not null, and the caller vouches for the rest.
    unsafe { ppv.write(ptr::null_mut()) };
    if rclsid.is_null() || riid.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: not null, and the caller vouches for the rest.
    let clsid = unsafe { rclsid.read_unaligned() };
    let factory = table().factories.get(&clsid).map(|it| it.factory.clone());
    match factory {
        // SAFETY: the caller vouches for both.
        Some(factory) => unsafe { query_interface(&factory, riid, ppv) },
        None => REGDB_E_CLASSNOTREG,
    }
}

/// A new object of a class, through the interface that is asked for. The context is not looked at:
/// everything runs in this process.
///
/// # Safety
///
/// `rclsid` and `riid` are null or can be read; `ppv` is null or can be written; `pUnkOuter` is null
/// or a live object.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoCreateInstance(
    rclsid: *const CLSID,
    pUnkOuter: *mut c_void,
    dwClsContext: DWORD,
    riid: *const GUID,
    ppv: *mut *mut c_void,
) -> HRESULT {
    if ppv.is_null() {
        return E_POINTER;
    }
    let mut raw = ptr::null_mut();
    // SAFETY: `ppv` is not null, and the caller vouches for the rest. A success is a new reference to
    // the interface that was asked for.
    unsafe {
        ppv.write(ptr::null_mut());
        if riid.is_null() {
            return E_INVALIDARG;
        }
        let hr = CoGetClassObject(
            rclsid,
            dwClsContext,
            ptr::null_mut(),
            &IID_IClassFactory,
            &raw mut raw,
        );
        if FAILED(hr) {
            return hr;
        }
        let Some(factory) = ComPtr::<IClassFactory>::from_raw(raw.cast()) else {
            return REGDB_E_CLASSNOTREG;
        };
        ((*(*factory.as_raw()).lpVtbl).CreateInstance)(factory.this(), pUnkOuter, riid, ppv)
    }
}

/// Enters a factory, which is called from any thread.
///
/// # Safety
///
/// `rclsid` is null or can be read; `pUnk` is null or a live object; `lpdwRegister` is null or can be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoRegisterClassObject(
    rclsid: *const CLSID,
    pUnk: *mut IUnknown,
    _dwClsContext: DWORD,
    _flags: DWORD,
    lpdwRegister: *mut DWORD,
) -> HRESULT {
    // SAFETY: the caller vouches for the object.
    let factory = unsafe { ComPtr::from_borrowed(pUnk) };
    let (Some(factory), false, false) = (factory, rclsid.is_null(), lpdwRegister.is_null()) else {
        return E_INVALIDARG;
    };
    // SAFETY: neither is null, and the caller vouches for the rest.
    unsafe { lpdwRegister.write(register_class(rclsid.read_unaligned(), factory)) };
    S_OK
}

/// Takes a factory out. `CO_E_OBJNOTREG` if it is not there.
#[unsafe(no_mangle)]
pub extern "C" fn CoRevokeClassObject(dwRegister: DWORD) -> HRESULT {
    if revoke_class(dwRegister) { S_OK } else { CO_E_OBJNOTREG }
}

/// The class of a `ProgID`. `CO_E_CLASSSTRING` if nobody entered it.
///
/// # Safety
///
/// `lpszProgID` is null or ended by a zero; `lpclsid` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CLSIDFromProgID(lpszProgID: LPCOLESTR, lpclsid: *mut CLSID) -> HRESULT {
    if lpszProgID.is_null() || lpclsid.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: the caller vouches for the text.
    let clsid = class_of_progid(&unsafe { text_of(lpszProgID) });
    // SAFETY: `lpclsid` is not null, and the caller vouches for the rest.
    unsafe { lpclsid.write_unaligned(clsid.unwrap_or_default()) };
    if clsid.is_some() { S_OK } else { CO_E_CLASSSTRING }
}

thread_local! {
    /// How often this thread has called `CoInitialize`.
    static INITIALIZED: Cell<u32> = const { Cell::new(0) };
}

/// Says that the thread is going to use COM. Nothing needs it here; it is counted, and the first call
/// gives `S_OK`, every other `S_FALSE`.
#[unsafe(no_mangle)]
pub extern "C" fn CoInitializeEx(_pvReserved: *mut c_void, _dwCoInit: DWORD) -> HRESULT {
    let earlier = INITIALIZED.replace(INITIALIZED.get().saturating_add(1));
    if earlier == 0 { S_OK } else { S_FALSE }
}

/// Like [`CoInitializeEx`].
#[unsafe(no_mangle)]
pub extern "C" fn CoInitialize(pvReserved: *mut c_void) -> HRESULT {
    CoInitializeEx(pvReserved, 0)
}

/// Undoes one successful `CoInitialize`.
#[unsafe(no_mangle)]
pub extern "C" fn CoUninitialize() {
    INITIALIZED.set(INITIALIZED.get().saturating_sub(1));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        abi::{CLSCTX_INPROC_SERVER, E_NOINTERFACE, IErrorInfo, Interface},
        error_info::CreateErrorInfo,
    };

    const CLSID_MADE: GUID = GUID::from_u128(0x2b1d_7f40_0000_4000_8000_0000_0000_0001);

    /// Some object: that of error information.
    fn make() -> Result<ComPtr<IUnknown>, HRESULT> {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` can be written and is a new reference then.
        unsafe {
            assert_eq!(CreateErrorInfo(&raw mut raw), S_OK);
            ComPtr::from_raw(raw.cast()).ok_or(E_POINTER)
        }
    }

    #[test]
    fn a_class_is_found_until_it_is_revoked() {
        let mut raw = ptr::null_mut();
        let mut create = |riid: &GUID| {
            // SAFETY: all arguments can be read or written.
            let hr = unsafe {
                CoCreateInstance(
                    &CLSID_MADE,
                    ptr::null_mut(),
                    CLSCTX_INPROC_SERVER,
                    riid,
                    &raw mut raw,
                )
            };
            // SAFETY: null, or a new reference.
            drop(unsafe { ComPtr::<IUnknown>::from_raw(raw.cast()) });
            hr
        };
        assert_eq!(create(&IID_IUnknown), REGDB_E_CLASSNOTREG);
        let cookie = register_class(CLSID_MADE, class_factory(make).query().unwrap());
        assert_eq!(create(&IID_IUnknown), S_OK);
        assert_eq!(create(&IErrorInfo::IID), S_OK);
        assert_eq!(create(&IID_IClassFactory), E_NOINTERFACE);
        assert_eq!(CoRevokeClassObject(cookie), S_OK);
        assert_eq!(CoRevokeClassObject(cookie), CO_E_OBJNOTREG);
        assert_eq!(create(&IID_IUnknown), REGDB_E_CLASSNOTREG);
    }

    #[test]
    fn a_progid_is_found_in_any_case() {
        register_progid("Made.Exit", CLSID_MADE);
        let text: Vec<u16> = "mADE.exit\0".encode_utf16().collect();
        let mut clsid = GUID::default();
        // SAFETY: the text has its end, and the place can be written.
        unsafe {
            assert_eq!(CLSIDFromProgID(text.as_ptr(), &raw mut clsid), S_OK);
            assert_eq!(clsid, CLSID_MADE);
            assert_eq!(CLSIDFromProgID(text[1..].as_ptr(), &raw mut clsid), CO_E_CLASSSTRING);
            assert_eq!(crate::guid::CLSIDFromString(text.as_ptr(), &raw mut clsid), S_OK);
        }
        assert_eq!(clsid, CLSID_MADE);
    }

    #[test]
    fn initialising_is_counted_for_each_thread() {
        assert_eq!(CoInitialize(ptr::null_mut()), S_OK);
        assert_eq!(CoInitialize(ptr::null_mut()), S_FALSE);
        CoUninitialize();
        CoUninitialize();
        CoUninitialize();
        assert_eq!(CoInitialize(ptr::null_mut()), S_OK);
    }
}
