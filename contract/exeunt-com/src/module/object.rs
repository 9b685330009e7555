//! The object behind `ICertExit2`.
#![expect(
    non_snake_case,
    non_upper_case_globals,
    reason = "names are those of the published interface"
)]

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, OnceLock},
};

use super::{ExitClass, ModuleError, Shared, manage};
use exeunt_module::manage::SettingInfo;

use crate::{
    abi::{
        BSTR, DISP_E_MEMBERNOTFOUND, DISPID, DISPID_ICertExit_GetDescription,
        DISPID_ICertExit_Initialize, DISPID_ICertExit_Notify, DISPID_ICertExit2_GetManageModule,
        E_INVALIDARG, E_POINTER, GUID, HRESULT, ICertExit2Vtbl, ICertExitVtbl, ICertManageModule,
        IDispatchVtbl, IID_ICertExit, IID_ICertExit2, IID_IDispatch, IID_ISupportErrorInfo,
        IID_IUnknown, ISupportErrorInfoVtbl, IUnknown, LONG, S_FALSE, S_OK, VARIANT, VARIANT_VALUE,
        VT_DISPATCH,
    },
    bstr::Bstr,
    dispatch::{self, Arguments, LateBound},
    object::{Object, Part, State},
    pointer::ComPtr,
    server_exit::ServerExit,
    variant::Variant,
};

/// A module that is an exit module.
pub(super) struct Exit<T>(pub(super) T);

impl<T: ExitClass> manage::Managed for Exit<T> {
    fn description(&self) -> String {
        self.0.description()
    }
    fn settings() -> Vec<SettingInfo> {
        T::settings()
    }
    fn set(&mut self, name: &str, value: &Variant) -> Result<(), ModuleError> {
        self.0.set(name, value)
    }
    fn check(&self) -> Result<(), ModuleError> {
        self.0.check()
    }
}

/// A new exit module.
pub(super) fn create<T: ExitClass>(shared: Shared<Exit<T>>) -> ComPtr<IUnknown> {
    // SAFETY: the first part's table begins with that of `IUnknown`.
    unsafe { Object::create(ExitState { shared: Arc::new(shared), manage: OnceLock::new() }) }
}

/// The state of an exit module.
struct ExitState<T> {
    shared: Arc<Shared<Exit<T>>>,
    /// The manage module, once somebody has asked for it.
    manage: OnceLock<Manage>,
}

/// The manage module, which any thread may use: its state is behind a lock.
pub(super) struct Manage(pub(super) ComPtr<ICertManageModule>);

// SAFETY: the object is ours, counts with atomics and locks what it holds.
unsafe impl Send for Manage {}
// SAFETY: as above.
unsafe impl Sync for Manage {}

impl<T: ExitClass> State for ExitState<T> {
    const PARTS: [Part; 2] = [
        Part {
            ids: &[IID_IUnknown, IID_IDispatch, IID_ICertExit, IID_ICertExit2],
            table: ptr::from_ref(Self::TABLE).cast(),
        },
        Part { ids: &[IID_ISupportErrorInfo], table: ptr::from_ref(Self::SUPPORT).cast() },
    ];
}

impl<T: ExitClass> ExitState<T> {
    const TABLE: &'static ICertExit2Vtbl = &ICertExit2Vtbl {
        base: ICertExitVtbl {
            base: IDispatchVtbl {
                base: Object::<Self>::unknown::<0>(),
                GetTypeInfoCount: dispatch::type_info_count,
                GetTypeInfo: dispatch::type_info,
                GetIDsOfNames: dispatch::late_names::<Self>,
                Invoke: dispatch::invoke::<Self>,
            },
            Initialize: Self::initialize,
            Notify: Self::notify,
            GetDescription: Self::get_description,
        },
        GetManageModule: Self::get_manage_module,
    };

    const SUPPORT: &'static ISupportErrorInfoVtbl = &ISupportErrorInfoVtbl {
        base: Object::<Self>::unknown::<1>(),
        InterfaceSupportsErrorInfo: supports_error_info,
    };

    /// The state behind the first part.
    unsafe fn of<'a>(this: *mut c_void) -> &'a Self {
        // SAFETY: every caller is in the table of that part.
        unsafe { Object::<Self>::state::<0>(this) }
    }

    unsafe extern "C" fn initialize(
        this: *mut c_void,
        strConfig: BSTR,
        pEventMask: *mut LONG,
    ) -> HRESULT {
        if pEventMask.is_null() {
            return E_POINTER;
        }
        // SAFETY: `this` is a live object; the mask is not null; the caller vouches for the rest.
        unsafe {
            pEventMask.write(0);
            let shared = &Self::of(this).shared;
            let config = Bstr::lend(strConfig);
            shared.call(IID_ICertExit, || {
                let server = ServerExit::open(0)?;
                let mask = shared.module().0.initialize(&config.to_text_lossy(), &server)?;
                pEventMask.write(mask.cast_signed());
                Ok(())
            })
        }
    }

    unsafe extern "C" fn notify(this: *mut c_void, ExitEvent: LONG, Context: LONG) -> HRESULT {
        // SAFETY: `this` is a live object.
        let shared = unsafe { &Self::of(this).shared };
        shared.call(IID_ICertExit, || {
            let server = ServerExit::open(Context)?;
            shared.module().0.notify(ExitEvent.cast_unsigned(), &server)
        })
    }

    unsafe extern "C" fn get_description(this: *mut c_void, pstrDescription: *mut BSTR) -> HRESULT {
        if pstrDescription.is_null() {
            return E_POINTER;
        }
        // SAFETY: `this` is a live object; the place is not null; the caller vouches for the rest.
        unsafe {
            pstrDescription.write(ptr::null_mut());
            let shared = &Self::of(this).shared;
            shared.call(IID_ICertExit, || {
                let description = shared.module().0.description();
                pstrDescription.write(Bstr::from(description.as_str()).into_raw());
                Ok(())
            })
        }
    }

    unsafe extern "C" fn get_manage_module(
        this: *mut c_void,
        ppManageModule: *mut *mut ICertManageModule,
    ) -> HRESULT {
        if ppManageModule.is_null() {
            return E_POINTER;
        }
        // SAFETY: `this` is a live object; the place is not null; the caller vouches for the rest.
        unsafe { ppManageModule.write(Self::of(this).manage().into_raw()) };
        S_OK
    }

    fn manage(&self) -> ComPtr<ICertManageModule> {
        self.manage.get_or_init(|| Manage(manage::create(Arc::clone(&self.shared)))).0.clone()
    }
}

impl<T: ExitClass> LateBound for ExitState<T> {
    const MEMBERS: &'static [(&'static str, DISPID)] = &[
        ("Initialize", DISPID_ICertExit_Initialize),
        ("Notify", DISPID_ICertExit_Notify),
        ("GetDescription", DISPID_ICertExit_GetDescription),
        ("GetManageModule", DISPID_ICertExit2_GetManageModule),
    ];

    unsafe fn late(
        this: *mut c_void,
        member: DISPID,
        arguments: &Arguments,
    ) -> Result<Variant, dispatch::Failure> {
        // SAFETY: `this` is a live object; all places are ours.
        unsafe {
            match member {
                DISPID_ICertExit_Initialize => {
                    let (config, mut mask) = (arguments.text(0, 1)?, 0);
                    dispatch::done(Self::initialize(this, config.as_raw(), &raw mut mask))?;
                    Ok(Variant::from(mask))
                }
                DISPID_ICertExit_Notify => {
                    let (event, context) = (arguments.long(0, 2)?, arguments.long(1, 2)?);
                    dispatch::done(Self::notify(this, event, context))?;
                    Ok(Variant::empty())
                }
                DISPID_ICertExit_GetDescription => {
                    let mut text = Bstr::empty();
                    dispatch::done(Self::get_description(this, text.receive()))?;
                    Ok(Variant::from(text))
                }
                DISPID_ICertExit2_GetManageModule => {
                    let pdispVal = Self::of(this).manage().into_raw().cast();
                    let value = VARIANT_VALUE { pdispVal };
                    let raw = VARIANT { vt: VT_DISPATCH, value, ..Variant::empty().into_raw() };
                    Ok(Variant::from_raw(raw))
                }
                _ => Err(dispatch::Failure::Argument(DISP_E_MEMBERNOTFOUND)),
            }
        }
    }
}

unsafe extern "C" fn supports_error_info(_this: *mut c_void, riid: *const GUID) -> HRESULT {
    if riid.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: not null, and the caller vouches for the rest.
    let id = unsafe { riid.read_unaligned() };
    if [IID_ICertExit, IID_ICertExit2].contains(&id) { S_OK } else { S_FALSE }
}
