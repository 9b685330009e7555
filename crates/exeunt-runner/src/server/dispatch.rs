//! Late binding to the server's classes: members by name and number.

use std::ffi::c_void;

use exeunt_com::{
    Variant,
    abi::{
        DISP_E_MEMBERNOTFOUND, DISPATCH_METHOD, DISPATCH_PROPERTYGET, DISPID, DISPPARAMS,
        EXCEPINFO, GUID, HRESULT, LCID, LPOLESTR, UINT, VARIANT, WORD,
    },
    dispatch::{self, Arguments, Failure},
};

use super::{Server, Serves, object};
use crate::value::variant_of;

pub(super) unsafe extern "C" fn get_ids_of_names<S: Serves>(
    _this: *mut c_void,
    _riid: *const GUID,
    names: *mut LPOLESTR,
    count: UINT,
    _lcid: LCID,
    ids: *mut DISPID,
) -> HRESULT {
    // SAFETY: the caller gives as many texts, and places for as many numbers, as it says.
    unsafe { dispatch::ids_of_names(S::MEMBERS, names, count, ids) }
}

pub(super) unsafe extern "C" fn invoke<S: Serves>(
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
    let Some((name, _)) = S::MEMBERS.iter().find(|(_, it)| *it == member) else {
        return DISP_E_MEMBERNOTFOUND;
    };
    // SAFETY: the caller gives a live object of ours, readable parameters, and places for the result
    // and the exception.
    unsafe {
        let value = Arguments::new(params).and_then(|it| object::<S>(this).late(name, &it));
        dispatch::answer(value, result, exception)
    }
}

/// Calls a member that reads, by its name.
///
/// # Errors
///
/// As the variants say.
pub(crate) fn read(
    object: &Server,
    member: &str,
    arguments: &Arguments<'_>,
) -> Result<Variant, Failure> {
    // The end of an enumeration is an empty text: late binding does not see S_FALSE.
    let named = |name: Option<String>| Variant::from(name.unwrap_or_default().as_str());
    let nothing = |()| Variant::empty();
    let text = |number, count| arguments.text(number, count);
    let long = |number, count| arguments.long(number, count);
    let none = || arguments.are(0);
    let result = match member {
        "SetContext" => object.set_context(long(0, 1)?).map(nothing),
        "GetRequestProperty" => {
            object.request_property(&text(0, 2)?, long(1, 2)?).and_then(|it| variant_of(&it))
        }
        "GetRequestAttribute" => {
            object.request_attribute(&text(0, 1)?).map(|it| Variant::from(it.as_str()))
        }
        "GetCertificateProperty" => {
            object.certificate_property(&text(0, 2)?, long(1, 2)?).and_then(|it| variant_of(&it))
        }
        "GetCertificateExtension" => {
            object.certificate_extension(&text(0, 2)?, long(1, 2)?).and_then(|it| variant_of(&it))
        }
        "GetCertificateExtensionFlags" => {
            none()?;
            object.certificate_extension_flags().map(Variant::from)
        }
        "EnumerateExtensionsSetup" => object.enumerate_extensions_setup(long(0, 1)?).map(nothing),
        "EnumerateExtensions" => {
            none()?;
            object.enumerate_extensions().map(named)
        }
        "EnumerateExtensionsClose" => {
            none()?;
            object.enumerate_extensions_close();
            Ok(Variant::empty())
        }
        "EnumerateAttributesSetup" => object.enumerate_attributes_setup(long(0, 1)?).map(nothing),
        "EnumerateAttributes" => {
            none()?;
            object.enumerate_attributes().map(named)
        }
        "EnumerateAttributesClose" => {
            none()?;
            object.enumerate_attributes_close();
            Ok(Variant::empty())
        }
        _ => return Err(Failure::Argument(DISP_E_MEMBERNOTFOUND)),
    };
    result.map_err(Failure::Member)
}
