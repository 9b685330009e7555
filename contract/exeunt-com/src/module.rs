//! An exit module or a policy module in Rust as a shared library.
//!
//! ```
//! use exeunt_com::{ExitClass, ModuleError, ServerExit, abi::EXITEVENT_CERTISSUED};
//!
//! #[derive(Default)]
//! struct Census(u64);
//!
//! impl ExitClass for Census {
//!     fn initialize(&mut self, _ca: &str, _server: &ServerExit) -> Result<u32, ModuleError> {
//!         Ok(EXITEVENT_CERTISSUED.cast_unsigned())
//!     }
//!     fn notify(&mut self, _event: u32, server: &ServerExit) -> Result<(), ModuleError> {
//!         let serial = server.certificate_string("SerialNumber")?.unwrap_or_default();
//!         self.0 += 1;
//!         eprintln!("{serial} is certificate number {}", self.0);
//!         Ok(())
//!     }
//!     fn description(&self) -> String {
//!         "counts certificates".to_owned()
//!     }
//! }
//!
//! exeunt_com::export_exit_module!(
//!     Census,
//!     progid = "Example.Exit",
//!     clsid = "6f3b2a10-93c1-4d5e-8a77-0c1d2e3f4a5b"
//! );
//! ```
//!
//! The crate is a `cdylib`. A policy module is the same with [`PolicyClass`] and
//! [`export_policy_module!`](crate::export_policy_module). What the macros make is in `object`,
//! `policy_object` and `manage`; which copy of this code the module's calls reach is in `host.rs`.

mod manage;
mod object;
mod policy;
mod policy_object;

pub use policy::{Decision, PolicyClass};

use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use exeunt_module::manage::SettingInfo;

use crate::{
    Variant,
    abi::{
        CLASS_E_CLASSNOTAVAILABLE, E_FAIL, E_INVALIDARG, E_NOTIMPL, E_POINTER, E_UNEXPECTED,
        FAILED, GUID, HRESULT, IUnknown, LPCOLESTR, S_FALSE, S_OK, ULONG,
    },
    class::{class_factory, query_interface},
    error_info::{self, ErrorText},
    pointer::ComPtr,
    server_exit::ServerExit,
};

/// An exit module: told what the CA did, and changes none of it.
///
/// Calls come one at a time, whatever the host's threads do. A panic is caught and answered as
/// `E_UNEXPECTED`; the module is used on afterwards.
pub trait ExitClass: Default + Send + 'static {
    /// Takes the CA's name and says which events are wanted: bits of `EXITEVENT_*`. `server` shows the
    /// CA itself and the module's settings.
    ///
    /// # Errors
    ///
    /// Why the module cannot work. It is told nothing then.
    fn initialize(&mut self, ca: &str, server: &ServerExit) -> Result<u32, ModuleError>;

    /// Takes one event. It comes at least once, so a second time must do no harm.
    ///
    /// # Errors
    ///
    /// Why it could not be done. The event comes again.
    fn notify(&mut self, event: u32, server: &ServerExit) -> Result<(), ModuleError>;

    /// What the module is, in one line.
    fn description(&self) -> String;

    /// The settings that the module knows, for operators.
    #[must_use]
    fn settings() -> Vec<SettingInfo> {
        Vec::new()
    }

    /// Takes one setting, before `initialize`. A module that reads its settings with
    /// [`ServerExit::setting`] leaves this out.
    ///
    /// # Errors
    ///
    /// Why that cannot be.
    fn set(&mut self, _name: &str, _value: &Variant) -> Result<(), ModuleError> {
        Err(ModuleError::new(E_NOTIMPL, "the module reads its settings from the server"))
    }

    /// Checks all settings together. Nothing may be touched: another process may be at work.
    ///
    /// # Errors
    ///
    /// Why they cannot be.
    fn check(&self) -> Result<(), ModuleError> {
        Ok(())
    }
}

/// Why a call failed: a result code, and a text that becomes the thread's error object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} (0x{hresult:08X})")]
#[non_exhaustive]
pub struct ModuleError {
    /// The code; a success counts as `E_FAIL`.
    pub hresult: HRESULT,
    /// One line for the operator.
    pub text: String,
}

impl ModuleError {
    /// An error with a code of its own.
    #[must_use]
    pub fn new(hresult: HRESULT, text: impl Into<String>) -> Self {
        Self { hresult: if FAILED(hresult) { hresult } else { E_FAIL }, text: text.into() }
    }

    /// Stable code for logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "com-module"
    }

    /// A call that failed, with what it left in the thread's error object.
    pub(crate) fn of_call(hresult: HRESULT, what: &str) -> Self {
        match error_info::take() {
            Some(error) if !error.description.is_empty() => {
                Self::new(hresult, format!("{what}: {}", error.description))
            }
            _ => Self::new(hresult, format!("{what} failed")),
        }
    }
}

impl From<String> for ModuleError {
    /// Without a code of its own it is `E_FAIL`.
    fn from(text: String) -> Self {
        Self::new(E_FAIL, text)
    }
}

impl From<&str> for ModuleError {
    /// Without a code of its own it is `E_FAIL`.
    fn from(text: &str) -> Self {
        Self::new(E_FAIL, text)
    }
}

/// What the macro knows of a class.
#[derive(Debug)]
pub struct ClassInfo {
    progid: &'static str,
    progid_units: &'static [u16],
    clsid: GUID,
    version: &'static str,
}

impl ClassInfo {
    /// A class. `progid_units` is its `ProgID` with an ending zero, from [`progid_units`].
    ///
    /// It is made while the module is compiled, and a text that is no identifier is an error then.
    #[must_use]
    pub const fn new(
        progid: &'static str,
        progid_units: &'static [u16],
        clsid: &'static str,
        version: &'static str,
    ) -> Self {
        let Some(clsid) = GUID::from_hyphenated(clsid) else {
            panic!("clsid is not of the form 00000000-0000-0000-0000-000000000000");
        };
        Self { progid, progid_units, clsid, version }
    }
}

/// A `ProgID` in UTF-16 with its ending zero, for the macro: `N` is one more than its length.
#[must_use]
pub const fn progid_units<const N: usize>(progid: &str) -> [u16; N] {
    let bytes = progid.as_bytes();
    assert!(bytes.len() + 1 == N && progid.is_ascii(), "a ProgID is ASCII");
    let mut units = [0; N];
    let mut at = 0;
    while at < bytes.len() {
        units[at] = bytes[at] as u16;
        at += 1;
    }
    units
}

/// Objects and factories that are in somebody's hands; the library must stay as long.
static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Counts as long as it lives.
#[derive(Debug)]
struct Alive;

impl Alive {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Release);
    }
}

/// What the macro's `DllCanUnloadNow` answers.
#[must_use]
pub fn can_unload() -> HRESULT {
    if ALIVE.load(Ordering::Acquire) == 0 { S_OK } else { S_FALSE }
}

/// What the macro's `ExeuntClass` answers.
///
/// # Safety
///
/// `progid` and `clsid` are null or can be written.
pub unsafe fn tell_class(
    class: &'static ClassInfo,
    index: ULONG,
    progid: *mut LPCOLESTR,
    clsid: *mut GUID,
) -> HRESULT {
    if index != 0 {
        return S_FALSE;
    }
    if progid.is_null() || clsid.is_null() {
        return E_POINTER;
    }
    // SAFETY: neither is null, and the caller vouches for the rest.
    unsafe {
        progid.write(class.progid_units.as_ptr());
        clsid.write(class.clsid);
    }
    S_OK
}

/// What the macro's `DllGetClassObject` answers for an exit module.
///
/// # Safety
///
/// `rclsid` and `riid` are null or can be read; `ppv` is null or can be written.
pub unsafe fn get_class_object<T: ExitClass>(
    class: &'static ClassInfo,
    rclsid: *const GUID,
    riid: *const GUID,
    ppv: *mut *mut c_void,
) -> HRESULT {
    let make = move || Ok(object::create(Shared::new(class, || object::Exit(T::default()))?));
    // SAFETY: the caller vouches for the pointers.
    unsafe { give_factory(class, rclsid, riid, ppv, make) }
}

/// The same for a policy module.
///
/// # Safety
///
/// As [`get_class_object`].
pub unsafe fn get_policy_class_object<T: PolicyClass>(
    class: &'static ClassInfo,
    rclsid: *const GUID,
    riid: *const GUID,
    ppv: *mut *mut c_void,
) -> HRESULT {
    let make = move || {
        let shared = Shared::new(class, || policy_object::Policy(T::default()))?;
        Ok(policy_object::create(shared))
    };
    // SAFETY: the caller vouches for the pointers.
    unsafe { give_factory(class, rclsid, riid, ppv, make) }
}

/// Gives a factory whose objects come from `make`.
///
/// # Safety
///
/// As [`get_class_object`].
unsafe fn give_factory(
    class: &'static ClassInfo,
    rclsid: *const GUID,
    riid: *const GUID,
    ppv: *mut *mut c_void,
    make: impl Fn() -> Result<ComPtr<IUnknown>, HRESULT> + Send + Sync + 'static,
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
    if unsafe { rclsid.read_unaligned() } != class.clsid {
        return CLASS_E_CLASSNOTAVAILABLE;
    }
    let alive = Alive::new();
    let factory = class_factory(move || {
        let _ = &alive;
        make()
    });
    match factory.query() {
        // SAFETY: the caller vouches for both.
        Ok(factory) => unsafe { query_interface(&factory, riid, ppv) },
        Err(hr) => hr,
    }
}

/// What a module's object and its manage object share.
struct Shared<T> {
    class: &'static ClassInfo,
    module: Mutex<T>,
    _alive: Alive,
}

impl<T> Shared<T> {
    /// The state of a new object.
    fn new(class: &'static ClassInfo, make: impl FnOnce() -> T) -> Result<Self, HRESULT> {
        // Making it is the author's, and a panic must not pass through the caller.
        let module = catch_unwind(AssertUnwindSafe(make)).map_err(|_| E_UNEXPECTED)?;
        Ok(Self { class, module: Mutex::new(module), _alive: Alive::new() })
    }

    /// The author's code, for one call. After a panic it is used on, as the trait says.
    fn module(&self) -> MutexGuard<'_, T> {
        self.module.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a call of the interface: a panic and an error become a code and the thread's error object.
    fn call(&self, interface: GUID, call: impl FnOnce() -> Result<(), ModuleError>) -> HRESULT {
        let failure = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(())) => return S_OK,
            Ok(Err(failure)) => failure,
            Err(panic) => {
                let text = format!("the module panicked: {}", panic_text(panic.as_ref()));
                ModuleError::new(E_UNEXPECTED, text)
            }
        };
        error_info::set(&ErrorText {
            interface,
            source: self.class.progid.to_owned(),
            description: failure.text,
        });
        // The fields are public, so the code may be anything.
        if FAILED(failure.hresult) { failure.hresult } else { E_FAIL }
    }
}

/// What a panic says.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a text")
}

/// Exports a type as the exit module of this shared library, under its `ProgID` and class.
///
/// The `ProgID` ends in `.Exit`, as in the original. It defines `DllGetClassObject`,
/// `DllCanUnloadNow` and `ExeuntClass`, so it can stand in a library once, and the lint
/// `unsafe_code` must not be forbidden there: the names of exported functions are a promise that the
/// compiler cannot check.
#[macro_export]
macro_rules! export_exit_module {
    ($class:ty, progid = $progid:literal, clsid = $clsid:literal $(,)?) => {
        $crate::__export_class!($crate::module::get_class_object::<$class>, $progid, $clsid);
    };
}

/// Exports a type as the policy module of this shared library, under its `ProgID` and class.
///
/// The `ProgID` ends in `.Policy`, as in the original; otherwise as [`export_exit_module!`].
#[macro_export]
macro_rules! export_policy_module {
    ($class:ty, progid = $progid:literal, clsid = $clsid:literal $(,)?) => {
        $crate::__export_class!($crate::module::get_policy_class_object::<$class>, $progid, $clsid);
    };
}

/// What both macros come to: the library's three exports.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_class {
    ($get_class_object:expr, $progid:literal, $clsid:literal) => {
        const _: () = {
            static PROGID: [u16; $progid.len() + 1] = $crate::module::progid_units($progid);
            static CLASS: $crate::module::ClassInfo = $crate::module::ClassInfo::new(
                $progid,
                &PROGID,
                $clsid,
                ::core::env!("CARGO_PKG_VERSION"),
            );

            // SAFETY: the three names are those that the interface gives to these functions.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn DllGetClassObject(
                rclsid: *const $crate::abi::GUID,
                riid: *const $crate::abi::GUID,
                ppv: *mut *mut ::core::ffi::c_void,
            ) -> $crate::abi::HRESULT {
                // SAFETY: the caller vouches for the arguments, as the interface demands.
                unsafe { $get_class_object(&CLASS, rclsid, riid, ppv) }
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            extern "C" fn DllCanUnloadNow() -> $crate::abi::HRESULT {
                $crate::module::can_unload()
            }

            // SAFETY: as above.
            #[unsafe(no_mangle)]
            unsafe extern "C" fn ExeuntClass(
                index: $crate::abi::ULONG,
                progid: *mut $crate::abi::LPCOLESTR,
                clsid: *mut $crate::abi::GUID,
            ) -> $crate::abi::HRESULT {
                // SAFETY: as above.
                unsafe { $crate::module::tell_class(&CLASS, index, progid, clsid) }
            }
        };
    };
}
