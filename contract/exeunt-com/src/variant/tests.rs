//! Tests of variants, through the exported functions.

use super::*;
use crate::abi::{DISP_E_OVERFLOW, DISP_E_TYPEMISMATCH, SAFEARRAY, VT_I4, VT_UI4, VT_VARIANT};

fn text(variant: &Variant) -> Result<String, HRESULT> {
    let changed = variant.change_type(VT_BSTR)?;
    Ok(changed.as_bstr().unwrap().to_text().unwrap())
}

fn long(variant: &Variant) -> Result<i32, HRESULT> {
    Ok(variant.change_type(VT_I4)?.as_i32().unwrap())
}

#[test]
fn a_copy_owns_its_own_string() {
    let bytes = Variant::binary(&[1, 0, 2]);
    let copy = bytes.clone();
    assert_ne!(copy.as_bstr().unwrap().as_raw(), bytes.as_bstr().unwrap().as_raw());
    drop(bytes);
    assert_eq!(copy.as_bstr().unwrap().as_bytes(), [1, 0, 2]);
}

#[test]
fn a_variant_copied_to_itself_stays() {
    let mut variant = Variant::from("text");
    let place = &raw mut variant.0;
    // SAFETY: the variant is valid.
    assert_eq!(unsafe { VariantCopy(place, place) }, S_OK);
    assert_eq!(text(&variant).unwrap(), "text");
}

#[test]
fn a_copy_of_a_pointer_is_the_value_that_it_pointed_to() {
    let mut number = 7;
    let plVal = &raw mut number;
    let raw = VARIANT { vt: VT_I4 | VT_BYREF, value: VARIANT_VALUE { plVal }, ..EMPTY };
    // SAFETY: the number lives longer than the variant.
    let copy = unsafe { Variant::from_raw(raw) }.clone();
    number = 8;
    assert_eq!((number, copy.as_i32()), (8, Some(7)));

    let mut string = Bstr::from("text");
    let place: *mut BSTR = (&raw mut string).cast();
    let raw =
        VARIANT { vt: VT_BSTR | VT_BYREF, value: VARIANT_VALUE { byref: place.cast() }, ..EMPTY };
    // SAFETY: the string lives longer than the variant.
    let copy = unsafe { Variant::from_raw(raw) }.clone();
    assert_ne!(copy.as_bstr().unwrap().as_raw(), string.as_raw());
    drop(string);
    assert_eq!(text(&copy).unwrap(), "text");

    let nowhere = VARIANT_VALUE { byref: ptr::null_mut() };
    let raw = VARIANT { vt: VT_I4 | VT_BYREF, value: nowhere, ..EMPTY };
    // SAFETY: a null pointer is never followed.
    assert_eq!(unsafe { Variant::from_raw(raw) }.clone().vt(), VT_EMPTY);
}

#[test]
fn an_array_goes_with_its_variant() {
    let array: *mut SAFEARRAY = crate::safearray::SafeArrayCreateVector(VT_I4, 0, 3);
    let raw = VARIANT { vt: VT_ARRAY | VT_I4, value: VARIANT_VALUE { parray: array }, ..EMPTY };
    // SAFETY: the array is given to the variant.
    let variant = unsafe { Variant::from_raw(raw) };
    let copy = variant.clone();
    assert_eq!(copy.vt(), VT_ARRAY | VT_I4);
    // SAFETY: the type says which member is valid.
    assert_ne!(unsafe { copy.0.value.parray }, array);
}

#[test]
fn numbers_become_what_fits() {
    assert_eq!(long(&Variant::from(7_i64)), Ok(7));
    assert_eq!(long(&Variant::from(i64::MAX)), Err(DISP_E_OVERFLOW));
    assert_eq!(long(&Variant::from(2.5)), Ok(2));
    assert_eq!(long(&Variant::from(3.5)), Ok(4));
    assert_eq!(long(&Variant::from(f64::NAN)), Err(DISP_E_OVERFLOW));
    assert_eq!(long(&Variant::from(" -12 ")), Ok(-12));
    assert_eq!(long(&Variant::from("1e3")), Ok(1000));
    assert_eq!(long(&Variant::from("inf")), Err(DISP_E_TYPEMISMATCH));
    assert_eq!(long(&Variant::from("twelve")), Err(DISP_E_TYPEMISMATCH));
    assert_eq!(long(&Variant::empty()), Ok(0));
    assert_eq!(long(&Variant::from(true)), Ok(-1));
    assert_eq!(Variant::from(-1).change_type(VT_UI4).unwrap_err(), DISP_E_OVERFLOW);
}

#[test]
fn truths_and_dates_become_text() {
    assert_eq!(text(&Variant::from(true)).unwrap(), "True");
    assert_eq!(text(&Variant::date(5.25)).unwrap(), "1900-01-04T06:00:00Z");
    assert_eq!(text(&Variant::from(1.5)).unwrap(), "1.5");
    assert_eq!(text(&Variant::empty()).unwrap(), "");
    let date = Variant::from("1900-01-04T06:00:00").change_type(VT_DATE).unwrap();
    assert_eq!(date.as_date(), Some(5.25));
    let truth = |it: Variant| it.change_type(VT_BOOL).map(|it| it.as_bool().unwrap());
    assert_eq!(truth(Variant::from("TRUE")), Ok(true));
    assert_eq!(truth(Variant::from("0")), Ok(false));
    assert_eq!(truth(Variant::from(2)), Ok(true));
}

#[test]
fn null_errors_and_bytes_become_nothing_else() {
    let null = Variant::plain(VT_NULL, EMPTY.value);
    assert_eq!(text(&null), Err(DISP_E_TYPEMISMATCH));
    assert_eq!(long(&Variant::error(5)), Err(DISP_E_TYPEMISMATCH));
    assert_eq!(long(&Variant::binary(&[1, 2, 3])), Err(DISP_E_TYPEMISMATCH));
    assert_eq!(Variant::from(1).change_type(VT_NULL).unwrap_err(), DISP_E_TYPEMISMATCH);
    assert_eq!(Variant::from(1).change_type(999).unwrap_err(), DISP_E_BADVARTYPE);
    // The same type is always possible, whatever the bytes.
    let same = Variant::binary(&[1, 2, 3]).change_type(VT_BSTR).unwrap();
    assert_eq!(same.as_bstr().unwrap().as_bytes(), [1, 2, 3]);
}

#[test]
fn a_pointer_is_followed_once_more_through_a_variant() {
    let mut number = 42;
    let inner =
        VARIANT { vt: VT_I4 | VT_BYREF, value: VARIANT_VALUE { plVal: &raw mut number }, ..EMPTY };
    let mut inner = inner;
    let outer = VARIANT {
        vt: VT_VARIANT | VT_BYREF,
        value: VARIANT_VALUE { pvarVal: &raw mut inner },
        ..EMPTY
    };
    let mut out = Variant::empty();
    // SAFETY: the pointers live as long as the test.
    unsafe {
        assert_eq!(VariantCopyInd(out.receive(), &raw const outer), S_OK);
        assert_eq!(out.as_i32(), Some(42));
        (*outer.value.pvarVal).vt = VT_VARIANT | VT_BYREF;
        assert_eq!(VariantCopyInd(out.receive(), &raw const outer), E_INVALIDARG);
    }
}

#[test]
fn bad_types_and_null_are_refused() {
    let mut odd = VARIANT { vt: 999, ..EMPTY };
    // SAFETY: null is allowed; a type that is none is found before anything is read.
    unsafe {
        assert_eq!(VariantClear(&raw mut odd), DISP_E_BADVARTYPE);
        assert_eq!(VariantClear(ptr::null_mut()), E_INVALIDARG);
        assert_eq!(VariantCopy(ptr::null_mut(), &raw const odd), E_INVALIDARG);
        VariantInit(&raw mut odd);
        assert_eq!(VariantClear(&raw mut odd), S_OK);
        VariantInit(ptr::null_mut());
    }
}
