//! Late binding, for the objects of a module and of a host: members by name, arguments from the back.
#![expect(non_snake_case, reason = "names are those of the published interface")]

use std::{ffi::c_void, ptr, slice};

use crate::{
    abi::{
        DISP_E_BADPARAMCOUNT, DISP_E_EXCEPTION, DISP_E_NONAMEDARGS, DISP_E_UNKNOWNNAME, DISPID,
        DISPID_UNKNOWN, DISPPARAMS, E_NOTIMPL, E_POINTER, EXCEPINFO, FAILED, GUID, HRESULT, LCID,
        LONG, LPOLESTR, S_OK, UINT, VARIANT, VT_BSTR, VT_I4, WORD,
    },
    bstr::{Bstr, text_of},
    error_info,
    variant::Variant,
};

/// Why a late call failed: before the member was called, or in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no such member, or an argument is not one for it.
    Argument(HRESULT),
    /// The member itself; the thread's error information says how.
    Member(HRESULT),
}

/// `GetTypeInfoCount`: there is no type library.
///
/// # Safety
///
/// `pctinfo` is null or can be written.
pub unsafe extern "C" fn type_info_count(_this: *mut c_void, pctinfo: *mut UINT) -> HRESULT {
    if pctinfo.is_null() {
        return E_POINTER;
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { pctinfo.write(0) };
    S_OK
}

/// `GetTypeInfo`: there is no type library.
///
/// # Safety
///
/// `ppTInfo` is null or can be written.
pub unsafe extern "C" fn type_info(
    _this: *mut c_void,
    _iTInfo: UINT,
    _lcid: LCID,
    ppTInfo: *mut *mut c_void,
) -> HRESULT {
    if !ppTInfo.is_null() {
        // SAFETY: not null, and the caller vouches for the rest.
        unsafe { ppTInfo.write(ptr::null_mut()) };
    }
    E_NOTIMPL
}

/// `GetIDsOfNames`: a member in any case. Parameters have no names here.
///
/// # Safety
///
/// Both pointers are null or have room for `count`; the names are ended by a zero.
pub unsafe fn ids_of_names(
    members: &[(&str, DISPID)],
    names: *mut LPOLESTR,
    count: UINT,
    ids: *mut DISPID,
) -> HRESULT {
    if names.is_null() || ids.is_null() || count == 0 {
        return E_POINTER;
    }
    // SAFETY: neither is null, and the caller vouches for the rest.
    unsafe {
        let name = text_of(names.read());
        let member = members.iter().find(|(it, _)| it.eq_ignore_ascii_case(&name));
        slice::from_raw_parts_mut(ids, count as usize).fill(DISPID_UNKNOWN);
        match member {
            Some((_, id)) => ids.write(*id),
            None => return DISP_E_UNKNOWNNAME,
        }
    }
    if count == 1 { S_OK } else { DISP_E_UNKNOWNNAME }
}

/// A module's object whose members are called by their names as well.
pub(crate) trait LateBound {
    /// Names and numbers of its members.
    const MEMBERS: &'static [(&'static str, DISPID)];

    /// A call by number.
    ///
    /// # Safety
    ///
    /// `this` is a live object in whose table [`invoke`] stands for this type.
    unsafe fn late(
        this: *mut c_void,
        member: DISPID,
        arguments: &Arguments,
    ) -> Result<Variant, Failure>;
}

/// `GetIDsOfNames` of such an object.
///
/// # Safety
///
/// As [`ids_of_names`].
pub(crate) unsafe extern "C" fn late_names<T: LateBound>(
    _this: *mut c_void,
    _riid: *const GUID,
    rgszNames: *mut LPOLESTR,
    cNames: UINT,
    _lcid: LCID,
    rgDispId: *mut DISPID,
) -> HRESULT {
    // SAFETY: the caller vouches for the arguments.
    unsafe { ids_of_names(T::MEMBERS, rgszNames, cNames, rgDispId) }
}

/// `Invoke` of such an object.
///
/// # Safety
///
/// `this` is a live object in whose table this stands; the arguments are null or valid, and the places
/// null or can be written.
pub(crate) unsafe extern "C" fn invoke<T: LateBound>(
    this: *mut c_void,
    dispIdMember: DISPID,
    _riid: *const GUID,
    _lcid: LCID,
    _wFlags: WORD,
    pDispParams: *mut DISPPARAMS,
    pVarResult: *mut VARIANT,
    pExcepInfo: *mut EXCEPINFO,
    _puArgErr: *mut UINT,
) -> HRESULT {
    // SAFETY: `this` is a live object of that type; the caller vouches for the arguments.
    unsafe {
        let result = Arguments::new(pDispParams).and_then(|it| T::late(this, dispIdMember, &it));
        answer(result, pVarResult, pExcepInfo)
    }
}

/// The arguments of a call, which come by their places: parameters have no names here.
pub struct Arguments<'a>(&'a [VARIANT]);

impl<'a> Arguments<'a> {
    /// The arguments as the caller laid them down.
    ///
    /// # Safety
    ///
    /// `params` is null or valid.
    ///
    /// # Errors
    ///
    /// `E_POINTER` or `DISP_E_NONAMEDARGS`.
    pub unsafe fn new(params: *const DISPPARAMS) -> Result<Self, Failure> {
        // SAFETY: the caller vouches for it.
        let Some(params) = (unsafe { params.as_ref() }) else {
            return Err(Failure::Argument(E_POINTER));
        };
        if params.cNamedArgs != 0 {
            return Err(Failure::Argument(DISP_E_NONAMEDARGS));
        }
        if params.cArgs == 0 || params.rgvarg.is_null() {
            return Ok(Self(&[]));
        }
        // SAFETY: as above.
        Ok(Self(unsafe { slice::from_raw_parts(params.rgvarg, params.cArgs as usize) }))
    }

    /// Says that the member takes that many.
    ///
    /// # Errors
    ///
    /// `DISP_E_BADPARAMCOUNT`.
    pub fn are(&self, count: usize) -> Result<(), Failure> {
        if self.0.len() == count { Ok(()) } else { Err(Failure::Argument(DISP_E_BADPARAMCOUNT)) }
    }

    /// The argument with that number, from 0 on, of `count`.
    ///
    /// # Errors
    ///
    /// `DISP_E_BADPARAMCOUNT`.
    pub fn raw(&self, number: usize, count: usize) -> Result<&'a Variant, Failure> {
        if self.0.len() != count || number >= count {
            return Err(Failure::Argument(DISP_E_BADPARAMCOUNT));
        }
        // SAFETY: the slice holds valid variants, as whoever made it vouched.
        let argument = unsafe { Variant::lend(&raw const self.0[count - 1 - number]) };
        argument.ok_or(Failure::Argument(E_POINTER))
    }

    /// The same as a text.
    ///
    /// # Errors
    ///
    /// As [`Self::raw`], or the code of the conversion.
    pub fn text(&self, number: usize, count: usize) -> Result<Bstr, Failure> {
        let changed = self.raw(number, count)?.change_type(VT_BSTR).map_err(Failure::Argument)?;
        Ok(changed.as_bstr().cloned().unwrap_or_default())
    }

    /// The same as a number.
    ///
    /// # Errors
    ///
    /// As [`Self::raw`], or the code of the conversion.
    pub fn long(&self, number: usize, count: usize) -> Result<LONG, Failure> {
        let changed = self.raw(number, count)?.change_type(VT_I4).map_err(Failure::Argument)?;
        Ok(changed.as_i32().unwrap_or_default())
    }
}

/// A failed call of a member as a failure.
///
/// # Errors
///
/// [`Failure::Member`].
pub fn done(hr: HRESULT) -> Result<(), Failure> {
    if FAILED(hr) { Err(Failure::Member(hr)) } else { Ok(()) }
}

/// Gives result or failure to the caller. A member's failure goes with its text into the structure for
/// exceptions, if there is one.
///
/// # Safety
///
/// `result` and `exception` are null or can be written.
pub unsafe fn answer(
    outcome: Result<Variant, Failure>,
    result: *mut VARIANT,
    exception: *mut EXCEPINFO,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe {
        match outcome {
            Ok(value) => {
                if !result.is_null() {
                    result.write(value.into_raw());
                }
                S_OK
            }
            Err(Failure::Argument(hr)) => hr,
            Err(Failure::Member(hr)) if exception.is_null() => hr,
            Err(Failure::Member(hr)) => {
                let error = error_info::take().unwrap_or_default();
                exception.write(EXCEPINFO {
                    wCode: 0,
                    wReserved: 0,
                    bstrSource: Bstr::from(error.source.as_str()).into_raw(),
                    bstrDescription: Bstr::from(error.description.as_str()).into_raw(),
                    bstrHelpFile: ptr::null_mut(),
                    dwHelpContext: 0,
                    pvReserved: ptr::null_mut(),
                    pfnDeferredFillIn: None,
                    scode: hr,
                });
                DISP_E_EXCEPTION
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(arguments: &mut [VARIANT], cNamedArgs: UINT) -> DISPPARAMS {
        DISPPARAMS {
            rgvarg: arguments.as_mut_ptr(),
            rgdispidNamedArgs: ptr::null_mut(),
            cArgs: UINT::try_from(arguments.len()).unwrap(),
            cNamedArgs,
        }
    }

    #[test]
    fn arguments_come_from_the_back_and_in_number() {
        let mut raw = [Variant::from(2).into_raw(), Variant::from(1).into_raw()];
        let params = params(&mut raw, 0);
        // SAFETY: the parameters are valid.
        let arguments = unsafe { Arguments::new(&raw const params) }.unwrap_or(Arguments(&[]));
        assert_eq!((arguments.long(0, 2), arguments.long(1, 2)), (Ok(1), Ok(2)));
        let refused = Failure::Argument(DISP_E_BADPARAMCOUNT);
        assert_eq!(arguments.long(0, 1), Err(refused));
        assert_eq!((arguments.are(2), arguments.are(0)), (Ok(()), Err(refused)));
    }

    #[test]
    fn arguments_have_no_names() {
        let mut raw = [Variant::from(1).into_raw()];
        let params = params(&mut raw, 1);
        // SAFETY: the parameters are valid, and null is allowed.
        let refused = unsafe { [Arguments::new(&raw const params), Arguments::new(ptr::null())] };
        let refused = refused.map(Result::err);
        let expected = [DISP_E_NONAMEDARGS, E_POINTER].map(|it| Some(Failure::Argument(it)));
        assert_eq!(refused, expected);
    }
}
