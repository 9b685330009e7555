//! Late binding to `CCertServerExit`: members by name and number.

use std::{ffi::c_void, ptr, slice};

use exeunt_com::{
    Bstr, Variant,
    abi::{
        DISP_E_BADINDEX, DISP_E_BADPARAMCOUNT, DISP_E_EXCEPTION, DISP_E_MEMBERNOTFOUND,
        DISP_E_NONAMEDARGS, DISP_E_UNKNOWNNAME, DISPATCH_METHOD, DISPATCH_PROPERTYGET, DISPID,
        DISPID_ICertServerExit_SetContext, DISPID_UNKNOWN, DISPPARAMS, E_INVALIDARG, E_POINTER,
        EXCEPINFO, GUID, HRESULT, LCID, LPOLESTR, S_OK, UINT, VARIANT, WORD,
    },
    bstr::text_of,
    error_info,
};

use super::{SOURCE, ServerExit, object};
use crate::value::{long_of, text_of_variant, variant_of};

/// Members in the order of their numbers, from `SetContext` on, and how many arguments each takes.
const MEMBERS: [(&str, usize); 12] = [
    ("SetContext", 1),
    ("GetRequestProperty", 2),
    ("GetRequestAttribute", 1),
    ("GetCertificateProperty", 2),
    ("GetCertificateExtension", 2),
    ("GetCertificateExtensionFlags", 0),
    ("EnumerateExtensionsSetup", 1),
    ("EnumerateExtensions", 0),
    ("EnumerateExtensionsClose", 0),
    ("EnumerateAttributesSetup", 1),
    ("EnumerateAttributes", 0),
    ("EnumerateAttributesClose", 0),
];

pub(super) unsafe extern "C" fn get_type_info_count(
    _this: *mut c_void,
    count: *mut UINT,
) -> HRESULT {
    if count.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller gives a place for the number. There are no type libraries here.
    unsafe { count.write(0) };
    S_OK
}

pub(super) unsafe extern "C" fn get_type_info(
    _this: *mut c_void,
    _index: UINT,
    _lcid: LCID,
    info: *mut *mut c_void,
) -> HRESULT {
    if !info.is_null() {
        // SAFETY: the caller gives a place for the pointer.
        unsafe { info.write(ptr::null_mut()) };
    }
    DISP_E_BADINDEX
}

pub(super) unsafe extern "C" fn get_ids_of_names(
    _this: *mut c_void,
    _riid: *const GUID,
    names: *mut LPOLESTR,
    count: UINT,
    _lcid: LCID,
    ids: *mut DISPID,
) -> HRESULT {
    let count = count as usize;
    if count == 0 {
        return E_INVALIDARG;
    }
    if names.is_null() || ids.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller gives as many texts, and places for as many numbers, as it says.
    let (names, ids) =
        unsafe { (slice::from_raw_parts(names, count), slice::from_raw_parts_mut(ids, count)) };
    ids.fill(DISPID_UNKNOWN);
    // SAFETY: the texts end with a zero.
    let name = unsafe { text_of(names[0]) };
    let Some(place) = MEMBERS.iter().position(|(it, _)| it.eq_ignore_ascii_case(&name)) else {
        return DISP_E_UNKNOWNNAME;
    };
    ids[0] = DISPID_ICertServerExit_SetContext
        + DISPID::try_from(place).expect("BUG: there are twelve members");
    // Names of parameters are not known: arguments come by their places.
    if count == 1 { S_OK } else { DISP_E_UNKNOWNNAME }
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
    let place = member.checked_sub(DISPID_ICertServerExit_SetContext).map(usize::try_from);
    let Some(&(name, wanted)) = place.and_then(Result::ok).and_then(|it| MEMBERS.get(it)) else {
        return DISP_E_MEMBERNOTFOUND;
    };
    if flags & (DISPATCH_METHOD | DISPATCH_PROPERTYGET) == 0 {
        return DISP_E_MEMBERNOTFOUND;
    }
    if params.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller gives readable parameters.
    let params = unsafe { &*params };
    if params.cNamedArgs != 0 {
        return DISP_E_NONAMEDARGS;
    }
    if params.cArgs as usize != wanted || (wanted != 0 && params.rgvarg.is_null()) {
        return DISP_E_BADPARAMCOUNT;
    }
    let arguments = match wanted {
        0 => &[],
        // SAFETY: there are as many arguments as the parameters say, and an owner of a variant has the
        // layout of one. The slice is only read.
        _ => unsafe { slice::from_raw_parts(params.rgvarg.cast::<Variant>(), wanted) },
    };
    // SAFETY: the caller gives a live object of ours.
    let object = unsafe { object(this) };
    let value = match call(object, name, arguments) {
        Ok(value) => value,
        Err(Failure::Argument(hr)) => return hr,
        Err(Failure::Call(hr)) => {
            let text = error_info::take().map(|it| it.description).unwrap_or_default();
            if exception.is_null() {
                return hr;
            }
            let filled = EXCEPINFO {
                wCode: 0,
                wReserved: 0,
                bstrSource: Bstr::from(SOURCE).into_raw(),
                bstrDescription: Bstr::from(text.as_str()).into_raw(),
                bstrHelpFile: ptr::null_mut(),
                dwHelpContext: 0,
                pvReserved: ptr::null_mut(),
                pfnDeferredFillIn: None,
                scode: hr,
            };
            // SAFETY: the caller gives a place for the exception, and its strings are the caller's.
            unsafe { exception.write(filled) };
            return DISP_E_EXCEPTION;
        }
    };
    if !result.is_null() {
        // SAFETY: the caller gives a place for the result, whose value is the caller's.
        unsafe { result.write(value.into_raw()) };
    }
    S_OK
}

/// Why a member gave nothing.
enum Failure {
    /// An argument is of the wrong type.
    Argument(HRESULT),
    /// The member itself failed; the thread's error information says how.
    Call(HRESULT),
}

/// Calls a member with arguments that stand in reverse order, as many as it wants.
fn call(object: &ServerExit, name: &str, arguments: &[Variant]) -> Result<Variant, Failure> {
    let argument = |place: usize| &arguments[arguments.len() - 1 - place];
    let text = |place| text_of_variant(argument(place)).map_err(Failure::Argument);
    let long = |place| long_of(argument(place)).map_err(Failure::Argument);
    // The end of an enumeration is an empty text: late binding does not see S_FALSE.
    let named = |name: Option<String>| Variant::from(name.unwrap_or_default().as_str());
    let nothing = |()| Variant::empty();
    let result = match name {
        "SetContext" => object.set_context(long(0)?).map(nothing),
        "GetRequestProperty" => {
            object.request_property(&text(0)?, long(1)?).and_then(|it| variant_of(&it))
        }
        "GetRequestAttribute" => {
            object.request_attribute(&text(0)?).map(|it| Variant::from(it.as_str()))
        }
        "GetCertificateProperty" => {
            object.certificate_property(&text(0)?, long(1)?).and_then(|it| variant_of(&it))
        }
        "GetCertificateExtension" => {
            object.certificate_extension(&text(0)?, long(1)?).and_then(|it| variant_of(&it))
        }
        "GetCertificateExtensionFlags" => object.certificate_extension_flags().map(Variant::from),
        "EnumerateExtensionsSetup" => object.enumerate_extensions_setup(long(0)?).map(nothing),
        "EnumerateExtensions" => object.enumerate_extensions().map(named),
        "EnumerateExtensionsClose" => {
            object.enumerate_extensions_close();
            Ok(Variant::empty())
        }
        "EnumerateAttributesSetup" => object.enumerate_attributes_setup(long(0)?).map(nothing),
        "EnumerateAttributes" => object.enumerate_attributes().map(named),
        "EnumerateAttributesClose" => {
            object.enumerate_attributes_close();
            Ok(Variant::empty())
        }
        _ => return Err(Failure::Argument(DISP_E_MEMBERNOTFOUND)),
    };
    result.map_err(Failure::Call)
}
