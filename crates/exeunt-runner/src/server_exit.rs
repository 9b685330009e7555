//! The class `CCertServerExit`: what a module creates to read from.
//!
//! One object is one `Reader` of the contract's rules behind the original's table of functions. A new
//! object has context 0. Nothing here changes anything, and there is no member by which it could.

mod dispatch;

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use exeunt_com::{
    Bstr, ComPtr, Variant,
    abi::{
        BSTR, CLSID_CCertServerExit, E_POINTER, GUID, HRESULT, ICertServerExit,
        ICertServerExitVtbl, IDispatchVtbl, IID_ICertServerExit, IID_IDispatch,
        IID_ISupportErrorInfo, IID_IUnknown, ISupportErrorInfoVtbl, IUnknown, LONG, S_FALSE, S_OK,
        VARIANT,
    },
    class, dispatch as late,
    error_info::{self, ErrorText},
    object::{Object, Part},
};
use exeunt_module::{
    PropType, Value,
    view::{Context, Reader, SETTING_PREFIX, View, ViewError},
};

use crate::{
    context::Shared,
    value::{text_argument, variant_of},
};

/// What error information names as its source: the `ProgID` of the class.
const SOURCE: &str = "CertificateAuthority.ServerExit";

/// Puts the class into the process's table of classes, for as long as the process lives.
pub(crate) fn register(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let factory =
        class::class_factory(move || ServerExit::create(Arc::clone(&shared)).query::<IUnknown>());
    let factory = factory.query().expect("BUG: every object has IUnknown");
    class::register_class(CLSID_CCertServerExit, factory);
}

/// What an object of the class holds.
struct ServerExit {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

/// What one call leaves for the next.
struct State {
    reader: Reader,
    /// Context, as `SetContext` took it; 0 is the CA itself.
    handle: LONG,
}

impl ServerExit {
    /// A new object with one reference.
    fn create(shared: Arc<Shared>) -> ComPtr<ICertServerExit> {
        let mut reader = Reader::new(shared.system());
        if let Some(fetch) = shared.fetch() {
            reader = reader.with_fetch(fetch);
        }
        let object = Self { shared, state: Mutex::new(State { reader, handle: 0 }) };
        // SAFETY: the tables are those of the identifiers below, and begin with the object's own
        // functions.
        unsafe { Object::create(object) }
    }

    /// Runs one call on the object's state; an error becomes the code and the thread's error
    /// information.
    fn call<T>(
        &self,
        call: impl FnOnce(&mut State, &Shared) -> Result<T, ViewError>,
    ) -> Result<T, HRESULT> {
        let result = call(&mut self.state(), &self.shared);
        result.map_err(|err| {
            let mut text = err.to_string();
            if let Some(source) = std::error::Error::source(&err) {
                text = format!("{text}: {source}");
            }
            error_info::set(&ErrorText {
                interface: IID_ICertServerExit,
                source: SOURCE.to_owned(),
                description: text,
            });
            err.hresult().cast_signed()
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
            state.reader.request_attribute(&text_argument(name)?).map(str::to_owned)
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
                    Err(ViewError::Type { name, asked: kind.name(), found: value.kind().name() })
                }
                Some(answer) => answer,
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
            state.reader.certificate_extension(&text_argument(oid)?, prop_type(kind)?)
        })
    }

    fn certificate_extension_flags(&self) -> Result<LONG, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            state.reader.extension_flags().map(u32::cast_signed)
        })
    }

    fn enumerate_extensions_setup(&self, flags: LONG) -> Result<(), HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            state.reader.enumerate_extensions_setup(flags.cast_unsigned())
        })
    }

    fn enumerate_extensions(&self) -> Result<Option<String>, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            state.reader.next_extension()
        })
    }

    fn enumerate_extensions_close(&self) {
        self.state().reader.enumerate_extensions_close();
    }

    fn enumerate_attributes_setup(&self, flags: LONG) -> Result<(), HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            state.reader.enumerate_attributes_setup(flags.cast_unsigned())
        })
    }

    fn enumerate_attributes(&self) -> Result<Option<String>, HRESULT> {
        self.call(|state, shared| {
            state.alive(shared)?;
            state.reader.next_attribute()
        })
    }

    fn enumerate_attributes_close(&self) {
        self.state().reader.enumerate_attributes_close();
    }
}

impl State {
    /// The event of the context, `None` for context 0. A context ends with its `Notify`.
    fn alive(&self, shared: &Shared) -> Result<Option<Arc<exeunt_module::Event>>, ViewError> {
        if self.handle == 0 {
            return Ok(None);
        }
        match shared.event(self.handle) {
            Some(event) => Ok(Some(event)),
            None => Err(ViewError::Argument { what: "a context whose Notify has ended" }),
        }
    }
}

fn prop_type(kind: LONG) -> Result<PropType, ViewError> {
    PropType::from_number(kind.cast_unsigned()).ok_or(ViewError::Argument { what: "the type" })
}

impl exeunt_com::object::State for ServerExit {
    const PARTS: [Part; 2] = [
        Part {
            ids: &[IID_IUnknown, IID_IDispatch, IID_ICertServerExit],
            table: ptr::from_ref(FACE).cast(),
        },
        Part { ids: &[IID_ISupportErrorInfo], table: ptr::from_ref(SUPPORT).cast() },
    ];
}

const FACE: &ICertServerExitVtbl = &ICertServerExitVtbl {
    base: IDispatchVtbl {
        base: Object::<ServerExit>::unknown::<0>(),
        GetTypeInfoCount: late::type_info_count,
        GetTypeInfo: late::type_info,
        GetIDsOfNames: dispatch::get_ids_of_names,
        Invoke: dispatch::invoke,
    },
    SetContext: set_context,
    GetRequestProperty: get_request_property,
    GetRequestAttribute: get_request_attribute,
    GetCertificateProperty: get_certificate_property,
    GetCertificateExtension: get_certificate_extension,
    GetCertificateExtensionFlags: get_certificate_extension_flags,
    EnumerateExtensionsSetup: enumerate_extensions_setup,
    EnumerateExtensions: enumerate_extensions,
    EnumerateExtensionsClose: enumerate_extensions_close,
    EnumerateAttributesSetup: enumerate_attributes_setup,
    EnumerateAttributes: enumerate_attributes,
    EnumerateAttributesClose: enumerate_attributes_close,
};

const SUPPORT: &ISupportErrorInfoVtbl = &ISupportErrorInfoVtbl {
    base: Object::<ServerExit>::unknown::<1>(),
    InterfaceSupportsErrorInfo: interface_supports_error_info,
};

/// The object behind a pointer to its first interface.
///
/// # Safety
///
/// `this` points to a live object that [`ServerExit::create`] made.
unsafe fn object<'a>(this: *mut c_void) -> &'a ServerExit {
    // SAFETY: the caller vouches for it; a live object is only ever shared.
    unsafe { Object::<ServerExit>::state::<0>(this) }
}

unsafe extern "C" fn interface_supports_error_info(
    _this: *mut c_void,
    riid: *const GUID,
) -> HRESULT {
    if riid.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller gives a readable identifier.
    let iid = unsafe { riid.read_unaligned() };
    if iid == IID_ICertServerExit { S_OK } else { S_FALSE }
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

fn code(result: Result<(), HRESULT>) -> HRESULT {
    result.err().unwrap_or(S_OK)
}

/// The next name of an enumeration; null and `S_FALSE` at its end.
fn next_name(name: Option<String>) -> (BSTR, HRESULT) {
    name.map_or((ptr::null_mut(), S_FALSE), |it| (Bstr::from(it.as_str()).into_raw(), S_OK))
}

unsafe extern "C" fn set_context(this: *mut c_void, context: LONG) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    code(unsafe { object(this) }.set_context(context))
}

unsafe extern "C" fn get_request_property(
    this: *mut c_void,
    name: BSTR,
    kind: LONG,
    out: *mut VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the value.
    unsafe {
        let call = || object(this).request_property(&Bstr::lend(name), kind);
        give_value(out, call)
    }
}

unsafe extern "C" fn get_request_attribute(
    this: *mut c_void,
    name: BSTR,
    out: *mut BSTR,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the text.
    unsafe {
        let call = || object(this).request_attribute(&Bstr::lend(name));
        give(out, ptr::null_mut(), call, |it| (Bstr::from(it.as_str()).into_raw(), S_OK))
    }
}

unsafe extern "C" fn get_certificate_property(
    this: *mut c_void,
    name: BSTR,
    kind: LONG,
    out: *mut VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the value.
    unsafe {
        let call = || object(this).certificate_property(&Bstr::lend(name), kind);
        give_value(out, call)
    }
}

unsafe extern "C" fn get_certificate_extension(
    this: *mut c_void,
    oid: BSTR,
    kind: LONG,
    out: *mut VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the value.
    unsafe {
        let call = || object(this).certificate_extension(&Bstr::lend(oid), kind);
        give_value(out, call)
    }
}

unsafe extern "C" fn get_certificate_extension_flags(this: *mut c_void, out: *mut LONG) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the flags.
    unsafe { give(out, 0, || object(this).certificate_extension_flags(), |it| (it, S_OK)) }
}

unsafe extern "C" fn enumerate_extensions_setup(this: *mut c_void, flags: LONG) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    code(unsafe { object(this) }.enumerate_extensions_setup(flags))
}

unsafe extern "C" fn enumerate_extensions(this: *mut c_void, out: *mut BSTR) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the name.
    unsafe { give(out, ptr::null_mut(), || object(this).enumerate_extensions(), next_name) }
}

unsafe extern "C" fn enumerate_extensions_close(this: *mut c_void) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    unsafe { object(this) }.enumerate_extensions_close();
    S_OK
}

unsafe extern "C" fn enumerate_attributes_setup(this: *mut c_void, flags: LONG) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    code(unsafe { object(this) }.enumerate_attributes_setup(flags))
}

unsafe extern "C" fn enumerate_attributes(this: *mut c_void, out: *mut BSTR) -> HRESULT {
    // SAFETY: the caller gives a live object of ours and a place for the name.
    unsafe { give(out, ptr::null_mut(), || object(this).enumerate_attributes(), next_name) }
}

unsafe extern "C" fn enumerate_attributes_close(this: *mut c_void) -> HRESULT {
    // SAFETY: the caller gives a live object of ours.
    unsafe { object(this) }.enumerate_attributes_close();
    S_OK
}

/// Whether a name is one of the module's settings, there or not.
fn is_setting(name: &str) -> bool {
    name.get(..SETTING_PREFIX.len()).is_some_and(|it| it.eq_ignore_ascii_case(SETTING_PREFIX))
}
