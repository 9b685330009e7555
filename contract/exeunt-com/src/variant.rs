//! Values with a type: the functions of `oleauto.h`, and [`Variant`], which owns one.
//!
//! Conversions are in [`convert`].
#![expect(non_snake_case, reason = "the exported functions have their published names")]

use std::{fmt, mem::ManuallyDrop, ptr};

use crate::{
    abi::{
        BSTR, DATE, DISP_E_BADVARTYPE, E_INVALIDARG, FAILED, HRESULT, S_OK, VARIANT, VARIANT_FALSE,
        VARIANT_TRUE, VARIANT_VALUE, VARTYPE, VT_ARRAY, VT_BOOL, VT_BSTR, VT_BYREF, VT_CY, VT_DATE,
        VT_DISPATCH, VT_EMPTY, VT_ERROR, VT_I1, VT_I2, VT_I4, VT_I8, VT_INT, VT_NULL, VT_R4, VT_R8,
        VT_UI1, VT_UI2, VT_UI4, VT_UI8, VT_UINT, VT_UNKNOWN, VT_VARIANT,
    },
    bstr::{Bstr, SysFreeString},
    pointer::ComPtr,
    safearray::{SafeArrayCopy, SafeArrayDestroy},
};

pub mod convert;

/// The variant that holds nothing.
const EMPTY: VARIANT = VARIANT {
    vt: VT_EMPTY,
    wReserved1: 0,
    wReserved2: 0,
    wReserved3: 0,
    value: VARIANT_VALUE {
        record: crate::abi::BRECORD { pvRecord: ptr::null_mut(), pRecInfo: ptr::null_mut() },
    },
};

/// Whether a value of that type owns nothing.
fn is_plain(vt: VARTYPE) -> bool {
    matches!(
        vt,
        VT_EMPTY
            | VT_NULL
            | VT_I1
            | VT_I2
            | VT_I4
            | VT_I8
            | VT_UI1
            | VT_UI2
            | VT_UI4
            | VT_UI8
            | VT_INT
            | VT_UINT
            | VT_R4
            | VT_R8
            | VT_CY
            | VT_DATE
            | VT_ERROR
            | VT_BOOL
    )
}

/// Makes any 24 bytes the variant that holds nothing. What was there is not freed.
///
/// # Safety
///
/// `pvarg` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantInit(pvarg: *mut VARIANT) {
    if !pvarg.is_null() {
        // SAFETY: not null, and the caller vouches for the rest.
        unsafe { pvarg.write(EMPTY) };
    }
}

/// Frees what a variant owns and makes it hold nothing.
///
/// `E_INVALIDARG` for null, `DISP_E_BADVARTYPE` for a type that is none, `DISP_E_ARRAYISLOCKED`; in the
/// last two cases nothing is changed.
///
/// # Safety
///
/// `pvarg` is null or a valid variant.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantClear(pvarg: *mut VARIANT) -> HRESULT {
    if pvarg.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: not null, and the caller vouches for the rest; the type says which member is valid.
    unsafe {
        let VARIANT { vt, value, .. } = pvarg.read();
        if vt & VT_BYREF != 0 {
            // What it points to is somebody else's.
        } else if vt & VT_ARRAY != 0 {
            let hr = SafeArrayDestroy(value.parray);
            if FAILED(hr) {
                return hr;
            }
        } else if vt == VT_BSTR {
            SysFreeString(value.bstrVal);
        } else if vt == VT_UNKNOWN || vt == VT_DISPATCH {
            // The object may look at the variant that holds it, so that is empty before the last call.
            pvarg.write(EMPTY);
            drop(ComPtr::from_raw(value.punkVal));
        } else if !is_plain(vt) {
            return DISP_E_BADVARTYPE;
        }
        pvarg.write(EMPTY);
    }
    S_OK
}

/// A copy of a variant that owns its own parts. A pointer to a value stays the same pointer.
///
/// # Safety
///
/// `source` is a valid variant.
unsafe fn duplicate(source: &VARIANT) -> Result<VARIANT, HRESULT> {
    let VARIANT { vt, value, .. } = *source;
    let mut copy = VARIANT { vt, value, ..EMPTY };
    // SAFETY: the type says which member is valid.
    unsafe {
        if vt & VT_BYREF != 0 {
            return Ok(copy);
        } else if vt & VT_ARRAY != 0 {
            let mut array = ptr::null_mut();
            let hr = SafeArrayCopy(value.parray, &raw mut array);
            if FAILED(hr) {
                return Err(hr);
            }
            copy.value.parray = array;
        } else if vt == VT_BSTR {
            copy.value.bstrVal = Bstr::clone(&Bstr::lend(value.bstrVal)).into_raw();
        } else if vt == VT_UNKNOWN || vt == VT_DISPATCH {
            let reference = ComPtr::from_borrowed(value.punkVal);
            copy.value.punkVal = reference.map_or(ptr::null_mut(), ComPtr::into_raw);
        } else if !is_plain(vt) {
            return Err(DISP_E_BADVARTYPE);
        }
    }
    Ok(copy)
}

/// Puts a variant into a place, whose content is freed first.
///
/// # Safety
///
/// `place` is a valid variant.
unsafe fn put(place: *mut VARIANT, fresh: Result<VARIANT, HRESULT>) -> HRESULT {
    let mut fresh = match fresh {
        Ok(fresh) => fresh,
        Err(hr) => return hr,
    };
    // SAFETY: the caller vouches for the place; if it cannot be cleared, the new value is.
    unsafe {
        let hr = VariantClear(place);
        if FAILED(hr) {
            VariantClear(&raw mut fresh);
            return hr;
        }
        place.write(fresh);
    }
    S_OK
}

/// Copies a variant to another, whose content is freed first.
///
/// # Safety
///
/// Both are null or valid variants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantCopy(pvargDest: *mut VARIANT, pvargSrc: *const VARIANT) -> HRESULT {
    if pvargDest.is_null() || pvargSrc.is_null() {
        return E_INVALIDARG;
    }
    if ptr::eq(pvargDest, pvargSrc) {
        return S_OK;
    }
    // SAFETY: neither is null, and the caller vouches for the rest.
    unsafe { put(pvargDest, duplicate(&*pvargSrc)) }
}

/// Like [`VariantCopy`]; where the source points to a value, that is what is copied.
///
/// # Safety
///
/// Both are null or valid variants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantCopyInd(
    pvarDest: *mut VARIANT,
    pvargSrc: *const VARIANT,
) -> HRESULT {
    if pvarDest.is_null() || pvargSrc.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: neither is null, and the caller vouches for the rest.
    unsafe {
        if pvargSrc.read().vt & VT_BYREF == 0 {
            return VariantCopy(pvarDest, pvargSrc);
        }
        match follow(&*pvargSrc) {
            Ok(value) => put(pvarDest, duplicate(&value)),
            Err(hr) => hr,
        }
    }
}

/// The value that a variant points to, which stays its owner's.
///
/// # Safety
///
/// `source` is a valid variant with `VT_BYREF`.
unsafe fn follow(source: &VARIANT) -> Result<VARIANT, HRESULT> {
    let vt = source.vt & !VT_BYREF;
    // SAFETY: with VT_BYREF the value is a pointer.
    let from = unsafe { source.value.byref };
    if from.is_null() {
        return Err(E_INVALIDARG);
    }
    if vt == VT_VARIANT {
        // SAFETY: the type says that it points to a variant.
        let inner = unsafe { from.cast::<VARIANT>().read() };
        // One step more is allowed, as long as it leads to no variant again.
        return match inner.vt {
            it if it & VT_BYREF == 0 => Ok(inner),
            it if it & !VT_BYREF == VT_VARIANT => Err(E_INVALIDARG),
            // SAFETY: `inner` is valid and has VT_BYREF.
            _ => unsafe { follow(&inner) },
        };
    }
    let mut value = VARIANT { vt, ..EMPTY };
    // SAFETY: the type says what it points to; all members begin at the same place.
    unsafe {
        let to = (&raw mut value.value).cast::<u8>();
        let size = match vt {
            VT_I1 | VT_UI1 => 1,
            VT_I2 | VT_UI2 | VT_BOOL => 2,
            VT_I4 | VT_UI4 | VT_INT | VT_UINT | VT_R4 | VT_ERROR => 4,
            VT_I8 | VT_UI8 | VT_R8 | VT_CY | VT_DATE => 8,
            VT_BSTR | VT_UNKNOWN | VT_DISPATCH => size_of::<BSTR>(),
            _ if vt & VT_ARRAY != 0 => size_of::<BSTR>(),
            _ => return Err(DISP_E_BADVARTYPE),
        };
        ptr::copy_nonoverlapping(from.cast::<u8>(), to, size);
    }
    Ok(value)
}

/// A value of one's own. Cleared when dropped.
///
/// It may hold a reference to an object, so it is not `Send`.
#[repr(transparent)]
pub struct Variant(VARIANT);

impl Variant {
    /// Nothing.
    #[must_use]
    pub const fn empty() -> Self {
        Self(EMPTY)
    }

    /// The value that says that there is none: to a property that is set, it clears it.
    #[must_use]
    pub const fn null() -> Self {
        Self(VARIANT { vt: VT_NULL, ..EMPTY })
    }

    /// A value of a type that owns nothing.
    fn plain(vt: VARTYPE, value: VARIANT_VALUE) -> Self {
        Self(VARIANT { vt, value, ..EMPTY })
    }

    /// A moment, as days since 1899-12-30.
    #[must_use]
    pub fn date(date: DATE) -> Self {
        Self::plain(VT_DATE, VARIANT_VALUE { date })
    }

    /// Bytes, as a `VT_BSTR` whose byte length counts.
    #[must_use]
    pub fn binary(bytes: &[u8]) -> Self {
        Self::from(Bstr::from_bytes(bytes))
    }

    /// A result code.
    #[must_use]
    pub fn error(scode: HRESULT) -> Self {
        Self::plain(VT_ERROR, VARIANT_VALUE { scode })
    }

    /// Takes over a raw variant.
    ///
    /// # Safety
    ///
    /// `raw` is valid, and nobody else clears it.
    #[must_use]
    pub const unsafe fn from_raw(raw: VARIANT) -> Self {
        Self(raw)
    }

    /// Gives the raw variant away, to whoever clears it.
    #[must_use = "the raw variant is not cleared by itself"]
    pub fn into_raw(self) -> VARIANT {
        ManuallyDrop::new(self).0
    }

    /// Lends a raw variant that stays somebody else's, such as an argument of a call. `None` for null.
    ///
    /// # Safety
    ///
    /// `raw` is null or a valid variant for as long as the result is used.
    #[must_use]
    pub unsafe fn lend<'a>(raw: *const VARIANT) -> Option<&'a Self> {
        // SAFETY: `Variant` has the layout of `VARIANT`, and the caller vouches for the rest.
        unsafe { raw.cast::<Self>().as_ref() }
    }

    /// A copy of the value, or of the value that it points to.
    ///
    /// # Errors
    ///
    /// `E_INVALIDARG` or `DISP_E_BADVARTYPE` where it points to none.
    pub fn dereferenced(&self) -> Result<Self, HRESULT> {
        let mut copy = Self::empty();
        // SAFETY: both are valid variants.
        let hr = unsafe { VariantCopyInd(copy.receive(), self.as_ptr()) };
        if FAILED(hr) { Err(hr) } else { Ok(copy) }
    }

    /// The raw variant, which stays ours.
    #[must_use]
    pub fn as_ptr(&self) -> *const VARIANT {
        &raw const self.0
    }

    /// Where a call puts a value. What was there is cleared first.
    pub fn receive(&mut self) -> *mut VARIANT {
        *self = Self::empty();
        &raw mut self.0
    }

    /// What it holds: one of `VT_*`.
    #[must_use]
    pub fn vt(&self) -> VARTYPE {
        self.0.vt
    }

    /// The integer of a `VT_I4`.
    #[must_use]
    pub fn as_i32(&self) -> Option<i32> {
        // SAFETY: any bits are such a value, and the type says whether it is meant.
        (self.0.vt == VT_I4).then_some(unsafe { self.0.value.lVal })
    }

    /// The truth of a `VT_BOOL`.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        // SAFETY: any bits are such a value, and the type says whether it is meant.
        (self.0.vt == VT_BOOL).then_some(unsafe { self.0.value.boolVal } != VARIANT_FALSE)
    }

    /// The moment of a `VT_DATE`.
    #[must_use]
    pub fn as_date(&self) -> Option<DATE> {
        // SAFETY: any bits are such a value, and the type says whether it is meant.
        (self.0.vt == VT_DATE).then_some(unsafe { self.0.value.date })
    }

    /// The string of a `VT_BSTR`, which may hold bytes.
    #[must_use]
    pub fn as_bstr(&self) -> Option<&Bstr> {
        if self.0.vt != VT_BSTR {
            return None;
        }
        // SAFETY: the type says which member is valid, and `Bstr` has the layout of `BSTR`.
        Some(unsafe { &*(&raw const self.0.value.bstrVal).cast::<Bstr>() })
    }

    /// The same value as another type, as `VariantChangeType` makes it; truths become the words True
    /// and False.
    ///
    /// # Errors
    ///
    /// `DISP_E_TYPEMISMATCH`, `DISP_E_OVERFLOW` or `DISP_E_BADVARTYPE`.
    pub fn change_type(&self, vt: VARTYPE) -> Result<Self, HRESULT> {
        let mut changed = Self::empty();
        // SAFETY: both are valid variants.
        let hr = unsafe {
            convert::VariantChangeType(
                changed.receive(),
                self.as_ptr(),
                convert::VARIANT_ALPHABOOL,
                vt,
            )
        };
        if FAILED(hr) { Err(hr) } else { Ok(changed) }
    }
}

impl Default for Variant {
    fn default() -> Self {
        Self::empty()
    }
}

impl Drop for Variant {
    fn drop(&mut self) {
        // SAFETY: the variant is ours. A locked array is left alone: somebody still uses it.
        unsafe { VariantClear(&raw mut self.0) };
    }
}

impl Clone for Variant {
    /// A copy that owns its own parts: where the value is only pointed to, as `VT_BYREF` says, that is
    /// what is copied, for the copy may outlive it. Of a value that cannot be copied, nothing.
    fn clone(&self) -> Self {
        let mut copy = Self::empty();
        // SAFETY: both variants are valid. On failure the copy stays as it is.
        unsafe { VariantCopyInd(copy.receive(), self.as_ptr()) };
        copy
    }
}

impl From<i32> for Variant {
    fn from(value: i32) -> Self {
        Self::plain(VT_I4, VARIANT_VALUE { lVal: value })
    }
}

impl From<i64> for Variant {
    fn from(value: i64) -> Self {
        Self::plain(VT_I8, VARIANT_VALUE { llVal: value })
    }
}

impl From<f64> for Variant {
    fn from(value: f64) -> Self {
        Self::plain(VT_R8, VARIANT_VALUE { dblVal: value })
    }
}

impl From<bool> for Variant {
    fn from(value: bool) -> Self {
        let boolVal = if value { VARIANT_TRUE } else { VARIANT_FALSE };
        Self::plain(VT_BOOL, VARIANT_VALUE { boolVal })
    }
}

impl From<Bstr> for Variant {
    fn from(value: Bstr) -> Self {
        Self::plain(VT_BSTR, VARIANT_VALUE { bstrVal: value.into_raw() })
    }
}

impl From<&str> for Variant {
    fn from(value: &str) -> Self {
        Self::from(Bstr::from(value))
    }
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.change_type(VT_BSTR).as_ref().ok().and_then(Self::as_bstr) {
            Some(text) => write!(f, "Variant({}: {text:?})", self.0.vt),
            None => write!(f, "Variant({})", self.0.vt),
        }
    }
}

#[cfg(test)]
mod tests;
