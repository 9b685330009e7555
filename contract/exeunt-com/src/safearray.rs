//! Arrays that know their element type: vectors, that is, one dimension.
//!
//! Head and elements are one block from `calloc`; the element type stands in the four bytes before the
//! head, as `FADF_HAVEVARTYPE` says.
#![expect(non_snake_case, reason = "the exported functions have their published names")]

use std::{ffi::c_void, ptr};

use crate::{
    abi::{
        BSTR, DISP_E_ARRAYISLOCKED, DISP_E_BADINDEX, E_INVALIDARG, E_OUTOFMEMORY, E_UNEXPECTED,
        FADF_BSTR, FADF_CREATEVECTOR, FADF_DISPATCH, FADF_HAVEVARTYPE, FADF_UNKNOWN, FADF_VARIANT,
        HRESULT, IUnknown, LONG, S_OK, SAFEARRAY, SAFEARRAYBOUND, UINT, ULONG, USHORT, VARIANT,
        VARTYPE, VT_BOOL, VT_BSTR, VT_CY, VT_DATE, VT_DISPATCH, VT_ERROR, VT_I1, VT_I2, VT_I4,
        VT_I8, VT_INT, VT_R4, VT_R8, VT_UI1, VT_UI2, VT_UI4, VT_UI8, VT_UINT, VT_UNKNOWN,
        VT_VARIANT,
    },
    bstr::{Bstr, SysFreeString},
    pointer::ComPtr,
    variant::{VariantClear, VariantCopy, VariantInit},
};

/// Most bytes that the elements may take together; indices are `LONG`, so this many are addressable
/// whatever the element.
pub const SAFEARRAY_BYTES_MAX: usize = 0x7FFF_0000;

/// Bytes before the head. The last four hold the element type.
const HIDDEN_BYTES: usize = 16;

/// Size of an element and the feature that tells how it is owned; `None` for a type that cannot be one.
fn element(vt: VARTYPE) -> Option<(usize, USHORT)> {
    Some(match vt {
        VT_I1 | VT_UI1 => (1, 0),
        VT_I2 | VT_UI2 | VT_BOOL => (2, 0),
        VT_I4 | VT_UI4 | VT_INT | VT_UINT | VT_R4 | VT_ERROR => (4, 0),
        VT_I8 | VT_UI8 | VT_R8 | VT_CY | VT_DATE => (8, 0),
        VT_BSTR => (size_of::<BSTR>(), FADF_BSTR),
        VT_UNKNOWN => (size_of::<*mut IUnknown>(), FADF_UNKNOWN),
        VT_DISPATCH => (size_of::<*mut IUnknown>(), FADF_DISPATCH),
        VT_VARIANT => (size_of::<VARIANT>(), FADF_VARIANT),
        _ => return None,
    })
}

/// A vector of `cElements` elements, all zero, the first with index `lLbound`. Null if the type cannot
/// be an element, if it would be too large, and without memory.
#[unsafe(no_mangle)]
pub extern "C" fn SafeArrayCreateVector(
    vt: VARTYPE,
    lLbound: LONG,
    cElements: ULONG,
) -> *mut SAFEARRAY {
    let Some((size, owned)) = element(vt) else { return ptr::null_mut() };
    let bytes = (cElements as usize).saturating_mul(size);
    let last = i64::from(lLbound) + i64::from(cElements) - 1;
    if bytes > SAFEARRAY_BYTES_MAX || last > i64::from(LONG::MAX) {
        return ptr::null_mut();
    }
    let head = HIDDEN_BYTES + size_of::<SAFEARRAY>();
    // SAFETY: calloc takes any size; the result is checked before it is used.
    let block = unsafe { libc::calloc(1, head + bytes) };
    if block.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the block has room for what is hidden, the head and the elements, in this order, and
    // malloc's alignment, of which both offsets are multiples.
    unsafe {
        block.byte_add(HIDDEN_BYTES - 4).cast::<u32>().write(u32::from(vt));
        let array = block.byte_add(HIDDEN_BYTES).cast::<SAFEARRAY>();
        array.write(SAFEARRAY {
            cDims: 1,
            fFeatures: FADF_HAVEVARTYPE | FADF_CREATEVECTOR | owned,
            cbElements: u32::try_from(size).expect("BUG: an element has at most 24 bytes"),
            cLocks: 0,
            pvData: block.byte_add(head),
            rgsabound: [SAFEARRAYBOUND { cElements, lLbound }],
        });
        array
    }
}

/// An array with these bounds; null for any number of dimensions but 1, and as
/// [`SafeArrayCreateVector`].
///
/// # Safety
///
/// `rgsabound` is null or can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayCreate(
    vt: VARTYPE,
    cDims: UINT,
    rgsabound: *const SAFEARRAYBOUND,
) -> *mut SAFEARRAY {
    if cDims != 1 || rgsabound.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: not null, and the caller vouches for the rest.
    let SAFEARRAYBOUND { cElements, lLbound } = unsafe { rgsabound.read() };
    SafeArrayCreateVector(vt, lLbound, cElements)
}

/// Frees an array and what its elements own; null is none. `DISP_E_ARRAYISLOCKED` while somebody has
/// its data.
///
/// # Safety
///
/// `psa` is null or an array of ours that nobody uses afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayDestroy(psa: *mut SAFEARRAY) -> HRESULT {
    // SAFETY: the caller vouches for the array.
    let Some(array) = (unsafe { psa.as_ref() }) else { return S_OK };
    if array.cLocks != 0 {
        return DISP_E_ARRAYISLOCKED;
    }
    for index in 0..array.rgsabound[0].cElements as usize {
        // SAFETY: the index is inside, and elements are freed once.
        unsafe { drop_element(array, element_at(array, index)) };
    }
    // SAFETY: the block begins HIDDEN_BYTES before the head.
    unsafe { libc::free(psa.byte_sub(HIDDEN_BYTES).cast()) };
    S_OK
}

/// Where the element with that number, from 0 on, is.
///
/// # Safety
///
/// `index` is less than the number of elements.
unsafe fn element_at(array: &SAFEARRAY, index: usize) -> *mut c_void {
    // SAFETY: the caller vouches for the index.
    unsafe { array.pvData.byte_add(index * array.cbElements as usize) }
}

/// Frees what an element owns.
///
/// # Safety
///
/// `place` is an element of the array, and is written or freed afterwards.
unsafe fn drop_element(array: &SAFEARRAY, place: *mut c_void) {
    // SAFETY: the feature says what the element is; elements are aligned and initialised.
    unsafe {
        if array.fFeatures & FADF_BSTR != 0 {
            SysFreeString(place.cast::<BSTR>().read());
        } else if array.fFeatures & FADF_VARIANT != 0 {
            VariantClear(place.cast());
        } else if array.fFeatures & (FADF_UNKNOWN | FADF_DISPATCH) != 0 {
            drop(ComPtr::from_raw(place.cast::<*mut IUnknown>().read()));
        }
    }
}

/// Where the element with that index is.
///
/// # Safety
///
/// `psa` is null or an array of ours; `rgIndices` is null or can be read.
unsafe fn find(
    psa: *mut SAFEARRAY,
    rgIndices: *const LONG,
) -> Result<(*mut SAFEARRAY, *mut c_void), HRESULT> {
    // SAFETY: the caller vouches for both.
    let (array, index) = unsafe {
        match (psa.as_ref(), rgIndices.as_ref()) {
            (Some(array), Some(index)) => (array, *index),
            _ => return Err(E_INVALIDARG),
        }
    };
    let [SAFEARRAYBOUND { cElements, lLbound }] = array.rgsabound;
    match u32::try_from(i64::from(index) - i64::from(lLbound)) {
        // SAFETY: the index is inside.
        Ok(at) if at < cElements => Ok((psa, unsafe { element_at(array, at as usize) })),
        _ => Err(DISP_E_BADINDEX),
    }
}

/// Copies an element to `pv`, whose content is not freed first. A string or variant is the caller's
/// own copy, a reference a new one.
///
/// # Safety
///
/// `psa` is null or an array of ours; `rgIndices` is null or can be read; `pv` is null or has room
/// for an element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayGetElement(
    psa: *mut SAFEARRAY,
    rgIndices: *const LONG,
    pv: *mut c_void,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    let (array, place) = match unsafe { find(psa, rgIndices) } {
        Ok((array, place)) if !pv.is_null() => (array, place),
        Ok(_) => return E_INVALIDARG,
        Err(hr) => return hr,
    };
    // SAFETY: `find` gives a live array and its element; `pv` has room for one.
    unsafe { copy_element(&*array, place, pv) }
}

/// Copies an element to a place that owns nothing.
///
/// # Safety
///
/// `from` is an element of the array; `to` has room for one.
unsafe fn copy_element(array: &SAFEARRAY, from: *const c_void, to: *mut c_void) -> HRESULT {
    // SAFETY: the feature says what the element is.
    unsafe {
        if array.fFeatures & FADF_BSTR != 0 {
            return put_string(from.cast::<BSTR>().read(), to);
        }
        if array.fFeatures & FADF_VARIANT != 0 {
            VariantInit(to.cast());
            return VariantCopy(to.cast(), from.cast());
        }
        if array.fFeatures & (FADF_UNKNOWN | FADF_DISPATCH) != 0 {
            put_reference(from.cast::<*mut IUnknown>().read(), to);
            return S_OK;
        }
        ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast(), array.cbElements as usize);
    }
    S_OK
}

/// Writes a copy of a string.
///
/// # Safety
///
/// `from` is null or a valid string; `to` has room for a pointer.
unsafe fn put_string(from: BSTR, to: *mut c_void) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe { to.cast::<BSTR>().write(Bstr::clone(&Bstr::lend(from)).into_raw()) };
    S_OK
}

/// Writes a new reference to an object.
///
/// # Safety
///
/// `from` is null or a live object; `to` has room for a pointer.
unsafe fn put_reference(from: *mut IUnknown, to: *mut c_void) {
    // SAFETY: the caller vouches for both.
    let raw = unsafe { ComPtr::from_borrowed(from) }.map_or(ptr::null_mut(), ComPtr::into_raw);
    // SAFETY: as above.
    unsafe { to.cast::<*mut IUnknown>().write(raw) };
}

/// Puts a copy into an element, whose content is freed first. `pv` is the string itself, the reference
/// itself, or points to the value.
///
/// # Safety
///
/// `psa` is null or an array of ours; `rgIndices` is null or can be read; `pv` fits the element type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayPutElement(
    psa: *mut SAFEARRAY,
    rgIndices: *const LONG,
    pv: *mut c_void,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    let (array, place) = match unsafe { find(psa, rgIndices) } {
        // SAFETY: `find` gives a live array.
        Ok((array, place)) => (unsafe { &*array }, place),
        Err(hr) => return hr,
    };
    // A null string or reference is a value; of everything else a pointer is wanted.
    let is_pointer = array.fFeatures & (FADF_BSTR | FADF_UNKNOWN | FADF_DISPATCH) != 0;
    if pv.is_null() && !is_pointer {
        return E_INVALIDARG;
    }
    // SAFETY: `pv` fits the element type. The new value is made before the old one goes, because it
    // may be part of it.
    unsafe {
        let mut fresh = std::mem::MaybeUninit::<VARIANT>::zeroed();
        let from = if is_pointer { (&raw const pv).cast() } else { pv.cast_const() };
        let hr = copy_element(array, from, fresh.as_mut_ptr().cast());
        if hr == S_OK {
            drop_element(array, place);
            let size = array.cbElements as usize;
            ptr::copy_nonoverlapping(fresh.as_ptr().cast::<u8>(), place.cast(), size);
        }
        hr
    }
}

/// A copy of an array. The copy of null is null.
///
/// # Safety
///
/// `psa` is null or an array of ours; `ppsaOut` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayCopy(
    psa: *mut SAFEARRAY,
    ppsaOut: *mut *mut SAFEARRAY,
) -> HRESULT {
    if ppsaOut.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: `ppsaOut` is not null, and the caller vouches for both.
    let source = unsafe {
        ppsaOut.write(ptr::null_mut());
        match psa.as_ref() {
            Some(source) => source,
            None => return S_OK,
        }
    };
    let [SAFEARRAYBOUND { cElements, lLbound }] = source.rgsabound;
    // SAFETY: `psa` is an array of ours.
    let copy = SafeArrayCreateVector(unsafe { type_of(psa) }, lLbound, cElements);
    // SAFETY: null or a new array.
    let Some(array) = (unsafe { copy.as_ref() }) else { return E_OUTOFMEMORY };
    for index in 0..cElements as usize {
        // SAFETY: both arrays have that many elements of one type, and those of the copy own nothing.
        let hr =
            unsafe { copy_element(source, element_at(source, index), element_at(array, index)) };
        if hr != S_OK {
            // SAFETY: the copy is ours and nobody has it.
            unsafe { SafeArrayDestroy(copy) };
            return hr;
        }
    }
    // SAFETY: as above.
    unsafe { ppsaOut.write(copy) };
    S_OK
}

/// The element type.
///
/// # Safety
///
/// `psa` is an array of ours.
pub(crate) unsafe fn type_of(psa: *const SAFEARRAY) -> VARTYPE {
    // SAFETY: the element type stands in the four bytes before the head.
    let hidden = unsafe { psa.byte_sub(4).cast::<u32>().read() };
    VARTYPE::try_from(hidden).expect("BUG: the element type has 16 bits")
}

/// Writes something about an array.
///
/// # Safety
///
/// `psa` is null or an array of ours; `out` is null or can be written.
unsafe fn tell<T>(
    psa: *mut SAFEARRAY,
    out: *mut T,
    what: impl FnOnce(&mut SAFEARRAY) -> Result<T, HRESULT>,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    let (Some(array), false) = (unsafe { psa.as_mut() }, out.is_null()) else {
        return E_INVALIDARG;
    };
    match what(array) {
        Ok(value) => {
            // SAFETY: as above.
            unsafe { out.write(value) };
            S_OK
        }
        Err(hr) => hr,
    }
}

/// Index of the first element; the dimension is 1.
///
/// # Safety
///
/// `psa` is null or an array of ours; `plLbound` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayGetLBound(
    psa: *mut SAFEARRAY,
    nDim: UINT,
    plLbound: *mut LONG,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe {
        tell(psa, plLbound, |array| match nDim {
            1 => Ok(array.rgsabound[0].lLbound),
            _ => Err(DISP_E_BADINDEX),
        })
    }
}

/// Index of the last element, one less than the first if there is none; the dimension is 1.
///
/// # Safety
///
/// `psa` is null or an array of ours; `plUbound` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayGetUBound(
    psa: *mut SAFEARRAY,
    nDim: UINT,
    plUbound: *mut LONG,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe {
        tell(psa, plUbound, |array| {
            let [SAFEARRAYBOUND { cElements, lLbound }] = array.rgsabound;
            match nDim {
                1 => Ok(lLbound.wrapping_add_unsigned(cElements).wrapping_sub(1)),
                _ => Err(DISP_E_BADINDEX),
            }
        })
    }
}

/// The element type.
///
/// # Safety
///
/// `psa` is null or an array of ours; `pvt` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayGetVartype(psa: *mut SAFEARRAY, pvt: *mut VARTYPE) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe { tell(psa, pvt, |array| Ok(type_of(array))) }
}

/// How many dimensions; 0 for null.
///
/// # Safety
///
/// `psa` is null or an array of ours.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayGetDim(psa: *mut SAFEARRAY) -> UINT {
    // SAFETY: the caller vouches for the array.
    unsafe { psa.as_ref() }.map_or(0, |array| UINT::from(array.cDims))
}

/// Size of an element in bytes; 0 for null.
///
/// # Safety
///
/// `psa` is null or an array of ours.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayGetElemsize(psa: *mut SAFEARRAY) -> UINT {
    // SAFETY: the caller vouches for the array.
    unsafe { psa.as_ref() }.map_or(0, |array| array.cbElements)
}

/// Locks the array and gives its elements, one after the other.
///
/// # Safety
///
/// `psa` is null or an array of ours; `ppvData` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayAccessData(
    psa: *mut SAFEARRAY,
    ppvData: *mut *mut c_void,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe {
        tell(psa, ppvData, |array| {
            array.cLocks = array.cLocks.checked_add(1).ok_or(E_UNEXPECTED)?;
            Ok(array.pvData)
        })
    }
}

/// Unlocks the array. `E_UNEXPECTED` if it was not locked.
///
/// # Safety
///
/// `psa` is null or an array of ours.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SafeArrayUnaccessData(psa: *mut SAFEARRAY) -> HRESULT {
    let mut done = ();
    // SAFETY: the caller vouches for the array.
    unsafe {
        tell(psa, &raw mut done, |array| {
            array.cLocks = array.cLocks.checked_sub(1).ok_or(E_UNEXPECTED)?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
