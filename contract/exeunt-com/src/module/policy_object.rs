//! The object behind `ICertPolicy2`.
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

use exeunt_module::manage::SettingInfo;

use super::{Decision, ModuleError, PolicyClass, Shared, manage, object::Manage};
use crate::{
    abi::{
        BSTR, DISP_E_MEMBERNOTFOUND, DISPID, DISPID_ICertPolicy_GetDescription,
        DISPID_ICertPolicy_Initialize, DISPID_ICertPolicy_ShutDown,
        DISPID_ICertPolicy_VerifyRequest, DISPID_ICertPolicy2_GetManageModule, E_INVALIDARG,
        E_POINTER, GUID, HRESULT, ICertManageModule, ICertPolicy2Vtbl, ICertPolicyVtbl,
        IDispatchVtbl, IID_ICertPolicy, IID_ICertPolicy2, IID_IDispatch, IID_ISupportErrorInfo,
        IID_IUnknown, ISupportErrorInfoVtbl, IUnknown, LONG, S_FALSE, S_OK, VARIANT, VARIANT_VALUE,
        VT_DISPATCH,
    },
    bstr::Bstr,
    dispatch::{self, Arguments, LateBound},
    error_info::{self, ErrorText},
    object::{Object, Part, State},
    pointer::ComPtr,
    server_policy::ServerPolicy,
    variant::Variant,
};

/// A module that is a policy module.
pub(super) struct Policy<T>(pub(super) T);

impl<T: PolicyClass> manage::Managed for Policy<T> {
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

/// A new policy module.
pub(super) fn create<T: PolicyClass>(shared: Shared<Policy<T>>) -> ComPtr<IUnknown> {
    // SAFETY: the first part's table begins with that of `IUnknown`.
    unsafe { Object::create(PolicyState { shared: Arc::new(shared), manage: OnceLock::new() }) }
}

/// The state of a policy module.
struct PolicyState<T> {
    shared: Arc<Shared<Policy<T>>>,
    /// The manage module, once somebody has asked for it.
    manage: OnceLock<Manage>,
}

impl<T: PolicyClass> State for PolicyState<T> {
    const PARTS: [Part; 2] = [
        Part {
            ids: &[IID_IUnknown, IID_IDispatch, IID_ICertPolicy, IID_ICertPolicy2],
            table: ptr::from_ref(Self::TABLE).cast(),
        },
        Part { ids: &[IID_ISupportErrorInfo], table: ptr::from_ref(Self::SUPPORT).cast() },
    ];
}

impl<T: PolicyClass> PolicyState<T> {
    const TABLE: &'static ICertPolicy2Vtbl = &ICertPolicy2Vtbl {
        base: ICertPolicyVtbl {
            base: IDispatchVtbl {
                base: Object::<Self>::unknown::<0>(),
                GetTypeInfoCount: dispatch::type_info_count,
                GetTypeInfo: dispatch::type_info,
                GetIDsOfNames: dispatch::late_names::<Self>,
                Invoke: dispatch::invoke::<Self>,
            },
            Initialize: Self::initialize,
            VerifyRequest: Self::verify_request,
            GetDescription: Self::get_description,
            ShutDown: Self::shut_down,
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

    unsafe extern "C" fn initialize(this: *mut c_void, strConfig: BSTR) -> HRESULT {
        // SAFETY: `this` is a live object; the caller vouches for the text.
        let (shared, config) = unsafe { (&Self::of(this).shared, Bstr::lend(strConfig)) };
        shared.call(IID_ICertPolicy, || {
            let server = ServerPolicy::open(0)?;
            shared.module().0.initialize(&config.to_text_lossy(), &server)
        })
    }

    unsafe extern "C" fn verify_request(
        this: *mut c_void,
        _strConfig: BSTR,
        Context: LONG,
        bNewRequest: LONG,
        _Flags: LONG,
        pDisposition: *mut LONG,
    ) -> HRESULT {
        if pDisposition.is_null() {
            return E_POINTER;
        }
        // SAFETY: `this` is a live object.
        let shared = unsafe { &Self::of(this).shared };
        // Whatever happens, what is left there does not issue.
        let mut decision = Decision::Pend;
        let hr = shared.call(IID_ICertPolicy, || {
            let server = ServerPolicy::open(Context)?;
            // A truth of Automation is -1, so anything but zero counts.
            decision = shared.module().0.verify(bNewRequest != 0, &server)?;
            Ok(())
        });
        if let Decision::RefuseWith(status) = &decision {
            error_info::set(&ErrorText {
                interface: IID_ICertPolicy,
                source: shared.class.progid.to_owned(),
                description: status.text.clone(),
            });
        }
        // SAFETY: the place is not null; the caller vouches for the rest.
        unsafe { pDisposition.write(decision.disposition()) };
        hr
    }

    unsafe extern "C" fn get_description(this: *mut c_void, pstrDescription: *mut BSTR) -> HRESULT {
        if pstrDescription.is_null() {
            return E_POINTER;
        }
        // SAFETY: `this` is a live object; the place is not null; the caller vouches for the rest.
        unsafe {
            pstrDescription.write(ptr::null_mut());
            let shared = &Self::of(this).shared;
            shared.call(IID_ICertPolicy, || {
                let description = shared.module().0.description();
                pstrDescription.write(Bstr::from(description.as_str()).into_raw());
                Ok(())
            })
        }
    }

    unsafe extern "C" fn shut_down(this: *mut c_void) -> HRESULT {
        // SAFETY: `this` is a live object.
        let shared = unsafe { &Self::of(this).shared };
        shared.call(IID_ICertPolicy, || {
            shared.module().0.shut_down();
            Ok(())
        })
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

impl<T: PolicyClass> LateBound for PolicyState<T> {
    const MEMBERS: &'static [(&'static str, DISPID)] = &[
        ("Initialize", DISPID_ICertPolicy_Initialize),
        ("VerifyRequest", DISPID_ICertPolicy_VerifyRequest),
        ("GetDescription", DISPID_ICertPolicy_GetDescription),
        ("ShutDown", DISPID_ICertPolicy_ShutDown),
        ("GetManageModule", DISPID_ICertPolicy2_GetManageModule),
    ];

    unsafe fn late(
        this: *mut c_void,
        member: DISPID,
        arguments: &Arguments,
    ) -> Result<Variant, dispatch::Failure> {
        // SAFETY: `this` is a live object; all places are ours.
        unsafe {
            match member {
                DISPID_ICertPolicy_Initialize => {
                    let config = arguments.text(0, 1)?;
                    dispatch::done(Self::initialize(this, config.as_raw()))?;
                    Ok(Variant::empty())
                }
                DISPID_ICertPolicy_VerifyRequest => {
                    let config = arguments.text(0, 4)?;
                    let (context, is_new) = (arguments.long(1, 4)?, arguments.long(2, 4)?);
                    let (flags, mut disposition) = (arguments.long(3, 4)?, 0);
                    let config = config.as_raw();
                    let place = &raw mut disposition;
                    dispatch::done(Self::verify_request(
                        this, config, context, is_new, flags, place,
                    ))?;
                    Ok(Variant::from(disposition))
                }
                DISPID_ICertPolicy_GetDescription => {
                    let mut text = Bstr::empty();
                    dispatch::done(Self::get_description(this, text.receive()))?;
                    Ok(Variant::from(text))
                }
                DISPID_ICertPolicy_ShutDown => {
                    dispatch::done(Self::shut_down(this))?;
                    Ok(Variant::empty())
                }
                DISPID_ICertPolicy2_GetManageModule => {
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
    if [IID_ICertPolicy, IID_ICertPolicy2].contains(&id) { S_OK } else { S_FALSE }
}
