//! What the server's two classes share: an object that reads.
//!
//! One object is one `Reader` of the contract's rules behind the original's table of functions. A new
//! object has context 0. The classes are in `server_exit` and `server_policy`; the functions of their
//! tables are here, once for both.

mod dispatch;

pub(crate) use dispatch::read;

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use exeunt_com::{
    Bstr, Variant,
    abi::{
        BSTR, DISPID, E_POINTER, GUID, HRESULT, IDispatchVtbl, ISupportErrorInfoVtbl, LONG,
        S_FALSE, S_OK, VARIANT,
    },
    dispatch::{self as late, Arguments, Failure},
    error_info::{self, ErrorText},
    object::{Object, State as Class},
};
use exeunt_module::{
    Event, PropType, Value,
    policy::PolicyError,
    view::{Context, Reader, SETTING_PREFIX, View, ViewError},
};

use crate::{
    context::Shared,
    value::{text_argument, variant_of},
};

/// A class of the server.
pub(crate) trait Serves: Class {
    /// Its members for late binding.
    const MEMBERS: &'static [(&'static str, DISPID)];
    /// Its interface, which error information names.
    const INTERFACE: GUID;

    /// The half of it that reads.
    fn server(&self) -> &Server;

    /// Calls a member by its name.
    ///
    /// # Errors
    ///
    /// As the variants say.
    fn late(&self, member: &str, arguments: &Arguments<'_>) -> Result<Variant, Failure> {
        read(self.server(), member, arguments)
    }
}

/// Why a call of the server failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// It cannot be read, or the arguments cannot be.
    #[error(transparent)]
    View(#[from] ViewError),
    /// It may not be set.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl ServerError {
    fn hresult(&self) -> HRESULT {
        let bits = match self {
            Self::View(err) => err.hresult(),
            Self::Policy(err) => err.hresult(),
        };
        bits.cast_signed()
    }
}

/// What an object of either class holds.
pub(crate) struct Server {
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// What error information names as its source: the `ProgID` of the class.
    source: &'static str,
    interface: GUID,
}

/// What one call leaves for the next.
pub(crate) struct State {
    reader: Reader,
    /// Context, as `SetContext` took it; 0 is the CA itself.
    pub(crate) handle: LONG,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, source: &'static str, interface: GUID) -> Self {
        let mut reader = Reader::new(shared.system());
        if let Some(fetch) = shared.fetch() {
            reader = reader.with_fetch(fetch);
        }
        Self { shared, state: Mutex::new(State { reader, handle: 0 }), source, interface }
    }

    /// Runs one call on the object's state; an error becomes the code and the thread's error
    /// information.
    pub(crate) fn call<T>(
        &self,
        call: impl FnOnce(&mut State, &Shared) -> Result<T, ServerError>,
    ) -> Result<T, HRESULT> {
        let result = call(&mut self.state(), &self.shared);
        result.map_err(|err| {
            let mut text = err.to_string();
            if let Some(source) = std::error::Error::source(&err) {
                text = format!("{text}: {source}");
            }
            error_info::set(&ErrorText {
                interface: self.interface,
                source: self.source.to_owned(),
                description: text,
            });
            err.hresult()
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_context(&self, handle: LONG) -> Result<(), HRESULT> {
        self.call(|state, shared| {
            let context = match handle {
                0 => Context::System,
                _ => Context::Event(
                    shared.event(handle).ok_or(ViewError::Argument { what: "the context" })?,
                ),
            };
            state.reader.set_context(context);
            state.handle = handle;
            Ok(())
        })
    }

    fn request_property(&self, name: &Bstr, kind: LONG) -> Result<Value, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            let value = state.reader.request_property(&text_argument(name)?, prop_type(kind)?)?;
            Ok(value.into_owned())
        })
    }

    fn request_attribute(&self, name: &Bstr) -> Result<String, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            Ok(state.reader.request_attribute(&text_argument(name)?)?.to_owned())
        })
    }

    fn certificate_property(&self, name: &Bstr, kind: LONG) -> Result<Value, HRESULT> {
        self.call(|state, shared| {
            let event = state.alive(shared)?;
            let (name, kind) = (text_argument(name)?, prop_type(kind)?);
            // The server does not know what only this process knows.
            let own = shared.own();
            let is_own = own.property(&name).is_ok() || is_setting(&name);
            if event.as_ref().is_none_or(|it| it.context == 0) && is_own {
                let value = View::of_system(&own).certificate_property(&name, kind)?;
                return Ok(value.into_owned());
            }
            if event.is_some() {
                return Ok(state.reader.certificate_property(&name, kind)?.into_owned());
            }
            match shared.ask_system(&name, Some(kind.name())) {
                Some(Ok(value)) if value.kind() != kind => {
                    let (asked, found) = (kind.name(), value.kind().name());
                    Err(ViewError::Type { name, asked, found }.into())
                }
                Some(answer) => Ok(answer?),
                None => {
                    let system = shared.system();
                    let value = View::of_system(&system).certificate_property(&name, kind)?;
                    Ok(value.into_owned())
                }
            }
        })
    }

    fn certificate_extension(&self, oid: &Bstr, kind: LONG) -> Result<Value, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            Ok(state.reader.certificate_extension(&text_argument(oid)?, prop_type(kind)?)?)
        })
    }

    fn certificate_extension_flags(&self) -> Result<LONG, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            Ok(state.reader.extension_flags()?.cast_signed())
        })
    }

    fn enumerate_extensions_setup(&self, flags: LONG) -> Result<(), HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            Ok(state.reader.enumerate_extensions_setup(flags.cast_unsigned())?)
        })
    }

    fn enumerate_extensions(&self) -> Result<Option<String>, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            Ok(state.reader.next_extension()?)
        })
    }

    fn enumerate_extensions_close(&self) {
        self.state().reader.enumerate_extensions_close();
    }

    fn enumerate_attributes_setup(&self, flags: LONG) -> Result<(), HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            Ok(state.reader.enumerate_attributes_setup(flags.cast_unsigned())?)
        })
    }

    fn enumerate_attributes(&self) -> Result<Option<String>, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            Ok(state.reader.next_attribute()?)
        })
    }

    fn enumerate_attributes_close(&self) {
        self.state().reader.enumerate_attributes_close();
    }
}

impl State {
    /// What the context shows by now, `None` for context 0. A context ends with its call.
    pub(crate) fn alive(&mut self, shared: &Shared) -> Result<Option<Arc<Event>>, ViewError> {
        if self.handle == 0 {
            return Ok(None);
        }
        let event =
            shared.event(self.handle).ok_or(ViewError::Argument { what: shared.ended() })?;
        self.reader.refresh(Arc::clone(&event));
        Ok(Some(event))
    }
}

/// The type that a call's argument means.
///
/// # Errors
///
/// [`ViewError::Argument`] where it means none.
pub(crate) fn prop_type(kind: LONG) -> Result<PropType, ViewError> {
    PropType::from_number(kind.cast_unsigned()).ok_or(ViewError::Argument { what: "the type" })
}

/// The functions of `IDispatch`, for a class's first interface.
pub(crate) const fn late_binding<S: Serves>() -> IDispatchVtbl {
    IDispatchVtbl {
        base: Object::<S>::unknown::<0>(),
        GetTypeInfoCount: late::type_info_count,
        GetTypeInfo: late::type_info,
        GetIDsOfNames: dispatch::get_ids_of_names::<S>,
        Invoke: dispatch::invoke::<S>,
    }
}

/// The functions of `ISupportErrorInfo`, for its second.
pub(crate) const fn support<S: Serves>() -> ISupportErrorInfoVtbl {
    ISupportErrorInfoVtbl {
        base: Object::<S>::unknown::<1>(),
        InterfaceSupportsErrorInfo: interface_supports_error_info::<S>,
    }
}

/// The object behind a pointer to its first interface.
///
/// # Safety
///
/// `this` points to a live object of the class.
pub(crate) unsafe fn object<'a, S: Serves>(this: *mut c_void) -> &'a S {
    // SAFETY: the caller vouches for it; a live object is only ever shared.
    unsafe { Object::<S>::state::<0>(this) }
}

unsafe extern "C" fn interface_supports_error_info<S: Serves>(
    _this: *mut c_void,
    riid: *const GUID,
) -> HRESULT {
    if riid.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller gives a readable identifier.
    let iid = unsafe { riid.read_unaligned() };
    if iid == S::INTERFACE { S_OK } else { S_FALSE }
}

/// Writes the result of a call that gives one, and answers with its code.
///
/// # Safety
///
/// `out` is null or can be written.
unsafe fn give<T, R>(
    out: *mut T,
    nothing: T,
    call: impl FnOnce() -> Result<R, HRESULT>,
    convert: impl FnOnce(R) -> (T, HRESULT),
) -> HRESULT {
    if out.is_null() {
        return E_POINTER;
    }
    let (value, hr) = call().map_or_else(|hr| (nothing, hr), convert);
    // SAFETY: the caller vouches for `out`, which is not null.
    unsafe { out.write(value) };
    hr
}

/// [`give`] for a value.
///
/// # Safety
///
/// `out` is null or can be written.
unsafe fn give_value(out: *mut VARIANT, call: impl FnOnce() -> Result<Value, HRESULT>) -> HRESULT {
    let call = || call().and_then(|it| variant_of(&it));
    // SAFETY: the caller vouches for `out`.
    unsafe { give(out, Variant::empty().into_raw(), call, |it| (it.into_raw(), S_OK)) }
}

pub(crate) fn code(result: Result<(), HRESULT>) -> HRESULT {
    result.err().unwrap_or(S_OK)
}

/// The next name of an enumeration; null and `S_FALSE` at its end.
fn next_name(name: Option<String>) -> (BSTR, HRESULT) {
    name.map_or((ptr::null_mut(), S_FALSE), |it| (Bstr::from(it.as_str()).into_raw(), S_OK))
}

pub(crate) unsafe extern "C" fn set_context<S: Serves>(
    this: *mut c_void,
    context: LONG,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    code(unsafe { object::<S>(this) }.server().set_context(context))
}

pub(crate) unsafe extern "C" fn get_request_property<S: Serves>(
    this: *mut c_void,
    name: BSTR,
    kind: LONG,
    out: *mut VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the value.
    unsafe {
        let call = || object::<S>(this).server().request_property(&Bstr::lend(name), kind);
        give_value(out, call)
    }
}

pub(crate) unsafe extern "C" fn get_request_attribute<S: Serves>(
    this: *mut c_void,
    name: BSTR,
    out: *mut BSTR,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the text.
    unsafe {
        let call = || object::<S>(this).server().request_attribute(&Bstr::lend(name));
        give(out, ptr::null_mut(), call, |it| (Bstr::from(it.as_str()).into_raw(), S_OK))
    }
}

pub(crate) unsafe extern "C" fn get_certificate_property<S: Serves>(
    this: *mut c_void,
    name: BSTR,
    kind: LONG,
    out: *mut VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the value.
    unsafe {
        let call = || object::<S>(this).server().certificate_property(&Bstr::lend(name), kind);
        give_value(out, call)
    }
}

pub(crate) unsafe extern "C" fn get_certificate_extension<S: Serves>(
    this: *mut c_void,
    oid: BSTR,
    kind: LONG,
    out: *mut VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the value.
    unsafe {
        let call = || object::<S>(this).server().certificate_extension(&Bstr::lend(oid), kind);
        give_value(out, call)
    }
}

pub(crate) unsafe extern "C" fn get_certificate_extension_flags<S: Serves>(
    this: *mut c_void,
    out: *mut LONG,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the flags.
    unsafe {
        give(out, 0, || object::<S>(this).server().certificate_extension_flags(), |it| (it, S_OK))
    }
}

pub(crate) unsafe extern "C" fn enumerate_extensions_setup<S: Serves>(
    this: *mut c_void,
    flags: LONG,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    code(unsafe { object::<S>(this) }.server().enumerate_extensions_setup(flags))
}

pub(crate) unsafe extern "C" fn enumerate_extensions<S: Serves>(
    this: *mut c_void,
    out: *mut BSTR,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the name.
    unsafe {
        give(out, ptr::null_mut(), || object::<S>(this).server().enumerate_extensions(), next_name)
    }
}

pub(crate) unsafe extern "C" fn enumerate_extensions_close<S: Serves>(
    this: *mut c_void,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    unsafe { object::<S>(this) }.server().enumerate_extensions_close();
    S_OK
}

pub(crate) unsafe extern "C" fn enumerate_attributes_setup<S: Serves>(
    this: *mut c_void,
    flags: LONG,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    code(unsafe { object::<S>(this) }.server().enumerate_attributes_setup(flags))
}

pub(crate) unsafe extern "C" fn enumerate_attributes<S: Serves>(
    this: *mut c_void,
    out: *mut BSTR,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the name.
    unsafe {
        give(out, ptr::null_mut(), || object::<S>(this).server().enumerate_attributes(), next_name)
    }
}

pub(crate) unsafe extern "C" fn enumerate_attributes_close<S: Serves>(
    this: *mut c_void,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    unsafe { object::<S>(this) }.server().enumerate_attributes_close();
    S_OK
}

/// Whether a name is one of the module's settings, there or not.
fn is_setting(name: &str) -> bool {
    name.get(..SETTING_PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(SETTING_PREFIX))
}
