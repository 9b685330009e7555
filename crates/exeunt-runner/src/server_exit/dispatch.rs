//! Late binding to `CCertServerExit`: members by name and number.
#![expect(non_upper_case_globals, reason = "numbers have their published names")]

use std::ffi::c_void;

use exeunt_com::{
    Variant,
    abi::{
        DISP_E_MEMBERNOTFOUND, DISPATCH_METHOD, DISPATCH_PROPERTYGET, DISPID,
        DISPID_ICertServerExit_EnumerateAttributes,
        DISPID_ICertServerExit_EnumerateAttributesClose,
        DISPID_ICertServerExit_EnumerateAttributesSetup,
        DISPID_ICertServerExit_EnumerateExtensions,
        DISPID_ICertServerExit_EnumerateExtensionsClose,
        DISPID_ICertServerExit_EnumerateExtensionsSetup,
        DISPID_ICertServerExit_GetCertificateExtension,
        DISPID_ICertServerExit_GetCertificateExtensionFlags,
        DISPID_ICertServerExit_GetCertificateProperty, DISPID_ICertServerExit_GetRequestAttribute,
        DISPID_ICertServerExit_GetRequestProperty, DISPID_ICertServerExit_SetContext, DISPPARAMS,
        EXCEPINFO, GUID, HRESULT, LCID, LPOLESTR, UINT, VARIANT, WORD,
    },
    dispatch::{self, Arguments, Failure},
};

use super::{ServerExit, object};
use crate::value::variant_of;

/// Members for late binding.
const MEMBERS: [(&str, DISPID); 12] = [
    ("SetContext", DISPID_ICertServerExit_SetContext),
    ("GetRequestProperty", DISPID_ICertServerExit_GetRequestProperty),
    ("GetRequestAttribute", DISPID_ICertServerExit_GetRequestAttribute),
    ("GetCertificateProperty", DISPID_ICertServerExit_GetCertificateProperty),
    ("GetCertificateExtension", DISPID_ICertServerExit_GetCertificateExtension),
    ("GetCertificateExtensionFlags", DISPID_ICertServerExit_GetCertificateExtensionFlags),
    ("EnumerateExtensionsSetup", DISPID_ICertServerExit_EnumerateExtensionsSetup),
    ("EnumerateExtensions", DISPID_ICertServerExit_EnumerateExtensions),
    ("EnumerateExtensionsClose", DISPID_ICertServerExit_EnumerateExtensionsClose),
    ("EnumerateAttributesSetup", DISPID_ICertServerExit_EnumerateAttributesSetup),
    ("EnumerateAttributes", DISPID_ICertServerExit_EnumerateAttributes),
    ("EnumerateAttributesClose", DISPID_ICertServerExit_EnumerateAttributesClose),
];

pub(super) unsafe extern "C" fn get_ids_of_names(
    _this: *mut c_void,
    _riid: *const GUID,
    names: *mut LPOLESTR,
    count: UINT,
    _lcid: LCID,
    ids: *mut DISPID,
) -> HRESULT {
    // SAFETY: the caller gives as many texts, and places for as many numbers, as it says.
    unsafe { dispatch::ids_of_names(&MEMBERS, names, count, ids) }
}

pub(super) unsafe extern "C" fn invoke(
    this: *mut c_void,
    member: DISPID,
    _riid: *const GUID,
    _lcid: LCID,
    flags: WORD,
    params: *mut DISPPARAMS,
    result: *mut VARIANT,
    exception: *mut EXCEPINFO,
    _bad_argument: *mut UINT,
) -> HRESULT {
    if !result.is_null() {
        // SAFETY: the caller gives a place for the result.
        unsafe { result.write(Variant::empty().into_raw()) };
    }
    if flags & (DISPATCH_METHOD | DISPATCH_PROPERTYGET) == 0 {
        return DISP_E_MEMBERNOTFOUND;
    }
    // SAFETY: the caller gives a live object of ours, readable parameters, and places for the result
    // and the exception.
    unsafe {
        let value = Arguments::new(params).and_then(|it| call(object(this), member, &it));
        dispatch::answer(value, result, exception)
    }
}

/// Calls a member by its number.
fn call(
    object: &ServerExit,
    member: DISPID,
    arguments: &Arguments<'_>,
) -> Result<Variant, Failure> {
    // The end of an enumeration is an empty text: late binding does not see S_FALSE.
    let named = |name: Option<String>| Variant::from(name.unwrap_or_default().as_str());
    let nothing = |()| Variant::empty();
    let text = |number, count| arguments.text(number, count);
    let long = |number, count| arguments.long(number, count);
    let none = || arguments.are(0);
    let result = match member {
        DISPID_ICertServerExit_SetContext => object.set_context(long(0, 1)?).map(nothing),
        DISPID_ICertServerExit_GetRequestProperty => {
            object.request_property(&text(0, 2)?, long(1, 2)?).and_then(|it| variant_of(&it))
        }
        DISPID_ICertServerExit_GetRequestAttribute => {
            object.request_attribute(&text(0, 1)?).map(|it| Variant::from(it.as_str()))
        }
        DISPID_ICertServerExit_GetCertificateProperty => {
            object.certificate_property(&text(0, 2)?, long(1, 2)?).and_then(|it| variant_of(&it))
        }
        DISPID_ICertServerExit_GetCertificateExtension => {
            object.certificate_extension(&text(0, 2)?, long(1, 2)?).and_then(|it| variant_of(&it))
        }
        DISPID_ICertServerExit_GetCertificateExtensionFlags => {
            none()?;
            object.certificate_extension_flags().map(Variant::from)
        }
        DISPID_ICertServerExit_EnumerateExtensionsSetup => {
            object.enumerate_extensions_setup(long(0, 1)?).map(nothing)
        }
        DISPID_ICertServerExit_EnumerateExtensions => {
            none()?;
            object.enumerate_extensions().map(named)
        }
        DISPID_ICertServerExit_EnumerateExtensionsClose => {
            none()?;
            object.enumerate_extensions_close();
            Ok(Variant::empty())
        }
        DISPID_ICertServerExit_EnumerateAttributesSetup => {
            object.enumerate_attributes_setup(long(0, 1)?).map(nothing)
        }
        DISPID_ICertServerExit_EnumerateAttributes => {
            none()?;
            object.enumerate_attributes().map(named)
        }
        DISPID_ICertServerExit_EnumerateAttributesClose => {
            none()?;
            object.enumerate_attributes_close();
            Ok(Variant::empty())
        }
        _ => return Err(Failure::Argument(DISP_E_MEMBERNOTFOUND)),
    };
    result.map_err(Failure::Member)
}
