//! Tests of arrays, through the exported functions.

use super::*;
use crate::{abi::VT_EMPTY, variant::Variant};

/// An array that is destroyed with the test.
struct Array(*mut SAFEARRAY);

impl Array {
    fn new(vt: VARTYPE, first: LONG, count: ULONG) -> Self {
        let array = SafeArrayCreateVector(vt, first, count);
        assert!(!array.is_null());
        Self(array)
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        // SAFETY: the array is ours.
        assert_eq!(unsafe { SafeArrayDestroy(self.0) }, S_OK);
    }
}

#[test]
fn bytes_can_be_reached_while_locked() {
    let array = Array::new(VT_UI1, 0, 5);
    let mut data = ptr::null_mut();
    // SAFETY: the array has five bytes, which the lock gives access to.
    unsafe {
        assert_eq!(SafeArrayAccessData(array.0, &raw mut data), S_OK);
        data.cast::<[u8; 5]>().write(*b"hello");
        assert_eq!(SafeArrayDestroy(array.0), DISP_E_ARRAYISLOCKED);
        assert_eq!(SafeArrayUnaccessData(array.0), S_OK);
        assert_eq!(SafeArrayUnaccessData(array.0), E_UNEXPECTED);
        let mut byte = 0_u8;
        assert_eq!(SafeArrayGetElement(array.0, &4, (&raw mut byte).cast()), S_OK);
        assert_eq!(byte, b'o');
    }
}

#[test]
fn bounds_are_kept() {
    let array = Array::new(VT_I4, -1, 3);
    let (mut low, mut high, mut vt) = (0, 0, VT_EMPTY);
    let mut value = 7;
    let place = (&raw mut value).cast();
    // SAFETY: all places can be written.
    unsafe {
        assert_eq!(SafeArrayGetLBound(array.0, 1, &raw mut low), S_OK);
        assert_eq!(SafeArrayGetUBound(array.0, 1, &raw mut high), S_OK);
        assert_eq!(SafeArrayGetUBound(array.0, 2, &raw mut high), DISP_E_BADINDEX);
        assert_eq!(SafeArrayGetVartype(array.0, &raw mut vt), S_OK);
        assert_eq!((low, high, vt), (-1, 1, VT_I4));
        assert_eq!(SafeArrayPutElement(array.0, &1, place), S_OK);
        assert_eq!(SafeArrayPutElement(array.0, &2, place), DISP_E_BADINDEX);
        assert_eq!(SafeArrayPutElement(array.0, &-2, place), DISP_E_BADINDEX);
        assert_eq!(SafeArrayPutElement(array.0, &0, ptr::null_mut()), E_INVALIDARG);
        assert_eq!((SafeArrayGetDim(array.0), SafeArrayGetElemsize(array.0)), (1, 4));
    }
}

#[test]
fn strings_are_copied_in_and_out() {
    let array = Array::new(VT_BSTR, 0, 2);
    let text = Bstr::from("text");
    let mut out = Bstr::empty();
    // SAFETY: strings are ours; each copy is freed by its owner.
    unsafe {
        assert_eq!(SafeArrayPutElement(array.0, &0, text.as_raw().cast()), S_OK);
        assert_eq!(SafeArrayPutElement(array.0, &0, text.as_raw().cast()), S_OK);
        assert_eq!(SafeArrayGetElement(array.0, &0, out.receive().cast()), S_OK);
        assert_ne!(out.as_raw(), text.as_raw());
        assert_eq!(out, text);
        assert_eq!(SafeArrayGetElement(array.0, &1, out.receive().cast()), S_OK);
        assert!(out.is_empty());
    }
}

#[test]
fn a_copy_of_variants_owns_its_own() {
    let array = Array::new(VT_VARIANT, 0, 1);
    let text = Variant::from("text");
    let mut copy = ptr::null_mut();
    let mut out = Variant::empty();
    // SAFETY: variants are ours and initialised.
    unsafe {
        assert_eq!(SafeArrayPutElement(array.0, &0, text.as_ptr().cast_mut().cast()), S_OK);
        assert_eq!(SafeArrayCopy(array.0, &raw mut copy), S_OK);
        drop(array);
        let copy = Array(copy);
        assert_eq!(SafeArrayGetElement(copy.0, &0, out.receive().cast()), S_OK);
    }
    assert_eq!(out.as_bstr(), Some(&Bstr::from("text")));
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(SafeArrayCreateVector(VT_EMPTY, 0, 1).is_null());
    assert!(SafeArrayCreateVector(VT_I8, 0, u32::MAX).is_null());
    assert!(SafeArrayCreateVector(VT_I4, LONG::MAX, 2).is_null());
    let mut vt = 0;
    // SAFETY: null is allowed everywhere.
    unsafe {
        assert!(SafeArrayCreate(VT_I4, 2, ptr::null()).is_null());
        assert_eq!(SafeArrayDestroy(ptr::null_mut()), S_OK);
        assert_eq!(SafeArrayGetVartype(ptr::null_mut(), &raw mut vt), E_INVALIDARG);
        assert_eq!(SafeArrayGetElement(ptr::null_mut(), &0, ptr::null_mut()), E_INVALIDARG);
        assert_eq!(SafeArrayCopy(ptr::null_mut(), ptr::null_mut()), E_INVALIDARG);
    }
}
