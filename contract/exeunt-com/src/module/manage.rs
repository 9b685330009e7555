//! The object behind `ICertManageModule`: what the module is, and its settings.
#![expect(
    non_snake_case,
    non_upper_case_globals,
    reason = "names are those of the published interface"
)]

use std::{ffi::c_void, ptr, sync::Arc};

use exeunt_module::manage::SettingInfo;

use super::{ModuleError, Shared};
use crate::{
    abi::{
        BSTR, DISP_E_MEMBERNOTFOUND, DISPID, DISPID_ICertManageModule_Configure,
        DISPID_ICertManageModule_GetProperty, DISPID_ICertManageModule_SetProperty, E_POINTER,
        GUID, HRESULT, ICertManageModule, ICertManageModuleVtbl, IDispatchVtbl,
        IID_ICertManageModule, IID_IDispatch, IID_ISupportErrorInfo, IID_IUnknown,
        ISupportErrorInfoVtbl, LONG, S_FALSE, S_OK, VARIANT,
    },
    bstr::Bstr,
    dispatch::{self, Arguments, LateBound},
    object::{Object, Part, State},
    pointer::ComPtr,
    variant::Variant,
};

/// The property that tells which settings there are, as `exeunt.h` says.
const SETTINGS: &str = "Settings";

/// What a manage module tells of, whether it is a module of one kind or the other.
pub(super) trait Managed: Send + 'static {
    fn description(&self) -> String;
    fn settings() -> Vec<SettingInfo>;
    fn set(&mut self, name: &str, value: &Variant) -> Result<(), ModuleError>;
    fn check(&self) -> Result<(), ModuleError>;
}

/// A new manage module.
pub(super) fn create<T: Managed>(shared: Arc<Shared<T>>) -> ComPtr<ICertManageModule> {
    // SAFETY: the first part's table is that of the interface.
    unsafe { Object::create(ManageState { shared }) }
}

/// The state of a manage module.
struct ManageState<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Managed> State for ManageState<T> {
    const PARTS: [Part; 2] = [
        Part {
            ids: &[IID_IUnknown, IID_IDispatch, IID_ICertManageModule],
            table: ptr::from_ref(Self::TABLE).cast(),
        },
        Part { ids: &[IID_ISupportErrorInfo], table: ptr::from_ref(Self::SUPPORT).cast() },
    ];
}

impl<T: Managed> ManageState<T> {
    const TABLE: &'static ICertManageModuleVtbl = &ICertManageModuleVtbl {
        base: IDispatchVtbl {
            base: Object::<Self>::unknown::<0>(),
            GetTypeInfoCount: dispatch::type_info_count,
            GetTypeInfo: dispatch::type_info,
            GetIDsOfNames: dispatch::late_names::<Self>,
            Invoke: dispatch::invoke::<Self>,
        },
        GetProperty: Self::get_property,
        SetProperty: Self::set_property,
        Configure: Self::configure,
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

    unsafe extern "C" fn get_property(
        this: *mut c_void,
        _strConfig: BSTR,
        _strStorageLocation: BSTR,
        strPropertyName: BSTR,
        _Flags: LONG,
        pvarProperty: *mut VARIANT,
    ) -> HRESULT {
        if pvarProperty.is_null() {
            return E_POINTER;
        }
        let mut found = None;
        // SAFETY: `this` is a live object; the place is not null; the caller vouches for the rest.
        unsafe {
            pvarProperty.write(Variant::empty().into_raw());
            let shared = &Self::of(this).shared;
            let name = Bstr::lend(strPropertyName).to_text_lossy();
            let hr = shared.call(IID_ICertManageModule, || {
                found = Self::property(shared, &name)?;
                Ok(())
            });
            match found {
                Some(text) => {
                    pvarProperty.write(Variant::from(text.as_str()).into_raw());
                    hr
                }
                None if hr == S_OK => S_FALSE,
                None => hr,
            }
        }
    }

    /// A property by its name, in any case.
    fn property(shared: &Shared<T>, name: &str) -> Result<Option<String>, ModuleError> {
        let is = |it: &str| it.eq_ignore_ascii_case(name);
        Ok(if is("Name") {
            Some(shared.class.progid.to_owned())
        } else if is("Description") {
            Some(shared.module().description())
        } else if is("File Version") || is("Product Version") {
            Some(shared.class.version.to_owned())
        } else if is(SETTINGS) {
            let json = serde_json::to_string(&T::settings());
            Some(json.map_err(|err| ModuleError::from(err.to_string()))?)
        } else {
            None
        })
    }

    unsafe extern "C" fn set_property(
        this: *mut c_void,
        _strConfig: BSTR,
        _strStorageLocation: BSTR,
        strPropertyName: BSTR,
        _Flags: LONG,
        pvarProperty: *const VARIANT,
    ) -> HRESULT {
        // SAFETY: `this` is a live object; the caller vouches for the rest.
        unsafe {
            let Some(value) = Variant::lend(pvarProperty) else { return E_POINTER };
            let shared = &Self::of(this).shared;
            let name = Bstr::lend(strPropertyName).to_text_lossy();
            shared.call(IID_ICertManageModule, || shared.module().set(&name, value))
        }
    }

    unsafe extern "C" fn configure(
        this: *mut c_void,
        _strConfig: BSTR,
        _strStorageLocation: BSTR,
        _Flags: LONG,
    ) -> HRESULT {
        // SAFETY: `this` is a live object.
        let shared = unsafe { &Self::of(this).shared };
        shared.call(IID_ICertManageModule, || shared.module().check())
    }
}

impl<T: Managed> LateBound for ManageState<T> {
    const MEMBERS: &'static [(&'static str, DISPID)] = &[
        ("GetProperty", DISPID_ICertManageModule_GetProperty),
        ("SetProperty", DISPID_ICertManageModule_SetProperty),
        ("Configure", DISPID_ICertManageModule_Configure),
    ];

    unsafe fn late(
        this: *mut c_void,
        member: DISPID,
        arguments: &Arguments,
    ) -> Result<Variant, dispatch::Failure> {
        let null = ptr::null_mut();
        let mut result = Variant::empty();
        // SAFETY: `this` is a live object; all places are ours, and the strings that are null are not
        // looked at.
        let hr = unsafe {
            match member {
                DISPID_ICertManageModule_GetProperty => {
                    let (name, flags) = (arguments.text(2, 4)?, arguments.long(3, 4)?);
                    Self::get_property(this, null, null, name.as_raw(), flags, result.receive())
                }
                DISPID_ICertManageModule_SetProperty => {
                    let (name, flags) = (arguments.text(2, 5)?, arguments.long(3, 5)?);
                    let value = arguments.raw(4, 5)?.as_ptr();
                    Self::set_property(this, null, null, name.as_raw(), flags, value)
                }
                DISPID_ICertManageModule_Configure => {
                    Self::configure(this, null, null, arguments.long(2, 3)?)
                }
                _ => return Err(dispatch::Failure::Argument(DISP_E_MEMBERNOTFOUND)),
            }
        };
        dispatch::done(hr).map(|()| result)
    }
}

unsafe extern "C" fn supports_error_info(_this: *mut c_void, riid: *const GUID) -> HRESULT {
    // SAFETY: null or can be read, as the caller vouches.
    let is_ours = unsafe { riid.as_ref() } == Some(&IID_ICertManageModule);
    if is_ours { S_OK } else { S_FALSE }
}
