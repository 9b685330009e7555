//! `VariantChangeType`: the same value as another type.
//!
//! Between numbers, truths, dates and text. Real numbers are rounded to the even neighbour; true is all
//! bits, so -1 where there is a sign; dates are ISO 8601 in text, because the server has no locale.
//! Nothing but itself becomes `VT_EMPTY`, `VT_NULL` or `VT_ERROR`, and only `VT_EMPTY` becomes
//! something else: zero, no text, false.
#![expect(non_snake_case, reason = "the exported functions have their published names")]

use super::{Variant, VariantCopyInd, put};
use crate::{
    abi::{
        DISP_E_BADVARTYPE, DISP_E_OVERFLOW, DISP_E_TYPEMISMATCH, E_INVALIDARG, FAILED, HRESULT,
        LCID, USHORT, VARIANT, VARIANT_FALSE, VARIANT_VALUE, VARTYPE, VT_BOOL, VT_BSTR, VT_DATE,
        VT_EMPTY, VT_I1, VT_I2, VT_I4, VT_I8, VT_INT, VT_R4, VT_R8, VT_UI1, VT_UI2, VT_UI4, VT_UI8,
        VT_UINT,
    },
    bstr::Bstr,
    date::{date_from_iso, date_to_iso},
};

/// Flag of a conversion: truths become the words True and False, not -1 and 0.
pub const VARIANT_ALPHABOOL: USHORT = 0x2;

/// A value between two types.
enum Scalar {
    Nothing,
    Whole(i128),
    Real(f64),
    Truth(bool),
    Date(f64),
    Text(String),
}

/// Changes the type of a value. Source and destination may be the same.
///
/// `DISP_E_TYPEMISMATCH` if there is no way, `DISP_E_OVERFLOW` if the value does not fit,
/// `DISP_E_BADVARTYPE` if the type is none, `E_INVALIDARG` for null.
///
/// # Safety
///
/// Both are null or valid variants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantChangeType(
    pvargDest: *mut VARIANT,
    pvarSrc: *const VARIANT,
    wFlags: USHORT,
    vt: VARTYPE,
) -> HRESULT {
    if pvargDest.is_null() || pvarSrc.is_null() {
        return E_INVALIDARG;
    }
    let mut source = Variant::empty();
    // SAFETY: neither is null, and the caller vouches for the rest.
    unsafe {
        let hr = VariantCopyInd(source.receive(), pvarSrc);
        if FAILED(hr) {
            return hr;
        }
        put(pvargDest, change(source, wFlags, vt).map(Variant::into_raw))
    }
}

/// Like [`VariantChangeType`]; the language is not looked at.
///
/// # Safety
///
/// As [`VariantChangeType`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn VariantChangeTypeEx(
    pvargDest: *mut VARIANT,
    pvarSrc: *const VARIANT,
    _lcid: LCID,
    wFlags: USHORT,
    vt: VARTYPE,
) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe { VariantChangeType(pvargDest, pvarSrc, wFlags, vt) }
}

/// The conversion itself.
fn change(source: Variant, flags: USHORT, vt: VARTYPE) -> Result<Variant, HRESULT> {
    if source.vt() == vt {
        return Ok(source);
    }
    let scalar = read(&source)?;
    let value = match vt {
        VT_I1 => VARIANT_VALUE { cVal: whole(&scalar)? },
        VT_I2 => VARIANT_VALUE { iVal: whole(&scalar)? },
        VT_I4 | VT_INT => VARIANT_VALUE { lVal: whole(&scalar)? },
        VT_I8 => VARIANT_VALUE { llVal: whole(&scalar)? },
        VT_UI1 => VARIANT_VALUE { bVal: unsigned(&scalar, u8::MAX)? },
        VT_UI2 => VARIANT_VALUE { uiVal: unsigned(&scalar, u16::MAX)? },
        VT_UI4 | VT_UINT => VARIANT_VALUE { ulVal: unsigned(&scalar, u32::MAX)? },
        VT_UI8 => VARIANT_VALUE { ullVal: unsigned(&scalar, u64::MAX)? },
        VT_R4 => VARIANT_VALUE { fltVal: narrow(real(&scalar)?)? },
        VT_R8 => VARIANT_VALUE { dblVal: real(&scalar)? },
        VT_DATE => VARIANT_VALUE { date: date(&scalar)? },
        VT_BOOL => return truth(&scalar).map(Variant::from),
        VT_BSTR => return text(&scalar, flags).map(|it| Variant::from(it.as_str())),
        _ if super::is_plain(vt) => return Err(DISP_E_TYPEMISMATCH),
        _ => return Err(DISP_E_BADVARTYPE),
    };
    Ok(Variant::plain(vt, value))
}

/// What a variant holds.
fn read(source: &Variant) -> Result<Scalar, HRESULT> {
    let VARIANT { vt, value, .. } = source.0;
    // SAFETY: the type says which member is valid.
    Ok(unsafe {
        match vt {
            VT_EMPTY => Scalar::Nothing,
            VT_I1 => Scalar::Whole(value.cVal.into()),
            VT_I2 => Scalar::Whole(value.iVal.into()),
            VT_I4 | VT_INT => Scalar::Whole(value.lVal.into()),
            VT_I8 => Scalar::Whole(value.llVal.into()),
            VT_UI1 => Scalar::Whole(value.bVal.into()),
            VT_UI2 => Scalar::Whole(value.uiVal.into()),
            VT_UI4 | VT_UINT => Scalar::Whole(value.ulVal.into()),
            VT_UI8 => Scalar::Whole(value.ullVal.into()),
            VT_R4 => Scalar::Real(value.fltVal.into()),
            VT_R8 => Scalar::Real(value.dblVal),
            VT_DATE => Scalar::Date(value.date),
            VT_BOOL => Scalar::Truth(value.boolVal != VARIANT_FALSE),
            VT_BSTR => Scalar::Text(exact_text(&Bstr::lend(value.bstrVal))?),
            _ => return Err(DISP_E_TYPEMISMATCH),
        }
    })
}

/// A string that is text; bytes are none.
fn exact_text(bstr: &Bstr) -> Result<String, HRESULT> {
    if !bstr.as_bytes().len().is_multiple_of(2) {
        return Err(DISP_E_TYPEMISMATCH);
    }
    bstr.to_text().map_err(|_| DISP_E_TYPEMISMATCH)
}

/// The number that a text says: digits, a sign, a point, an exponent.
fn number(text: &str) -> Result<Scalar, HRESULT> {
    let text = text.trim();
    if let Ok(whole) = text.parse() {
        return Ok(Scalar::Whole(whole));
    }
    // Rust would also read "inf" and "NaN".
    let only = |it: char| it.is_ascii_digit() || matches!(it, '+' | '-' | '.' | 'e' | 'E');
    let real = text.chars().all(only).then(|| text.parse().ok()).flatten();
    real.map(Scalar::Real).ok_or(DISP_E_TYPEMISMATCH)
}

/// A whole number of any size. Truth is `truth`.
fn any_whole(scalar: &Scalar, truth: i128) -> Result<i128, HRESULT> {
    match scalar {
        Scalar::Nothing => Ok(0),
        Scalar::Whole(it) => Ok(*it),
        Scalar::Truth(it) => Ok(if *it { truth } else { 0 }),
        Scalar::Real(it) | Scalar::Date(it) => {
            // Beyond 2^64 no type fits, and before that the cast is exact.
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
            let whole = (it.abs() < 1e20).then(|| it.round_ties_even() as i128);
            whole.ok_or(DISP_E_OVERFLOW)
        }
        Scalar::Text(it) => any_whole(&number(it)?, truth),
    }
}

/// A whole number with a sign.
fn whole<T: TryFrom<i128>>(scalar: &Scalar) -> Result<T, HRESULT> {
    T::try_from(any_whole(scalar, -1)?).map_err(|_| DISP_E_OVERFLOW)
}

/// A whole number without a sign; true is all bits, that is `max`.
fn unsigned<T: TryFrom<i128> + Into<i128>>(scalar: &Scalar, max: T) -> Result<T, HRESULT> {
    T::try_from(any_whole(scalar, max.into())?).map_err(|_| DISP_E_OVERFLOW)
}

/// A real number.
#[expect(clippy::cast_precision_loss, reason = "that is what a real number is")]
fn real(scalar: &Scalar) -> Result<f64, HRESULT> {
    match scalar {
        Scalar::Nothing => Ok(0.0),
        Scalar::Whole(it) => Ok(*it as f64),
        Scalar::Real(it) | Scalar::Date(it) => Ok(*it),
        Scalar::Truth(it) => Ok(if *it { -1.0 } else { 0.0 }),
        Scalar::Text(it) => match real(&number(it)?)? {
            it if it.is_finite() => Ok(it),
            _ => Err(DISP_E_OVERFLOW),
        },
    }
}

/// A real number of 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what does not fit becomes infinite, which is asked"
)]
fn narrow(value: f64) -> Result<f32, HRESULT> {
    let narrowed = value as f32;
    if narrowed.is_finite() || !value.is_finite() { Ok(narrowed) } else { Err(DISP_E_OVERFLOW) }
}

/// A moment within the years that there are.
fn date(scalar: &Scalar) -> Result<f64, HRESULT> {
    if let Scalar::Text(text) = scalar
        && let Some(date) = date_from_iso(text.trim())
    {
        return Ok(date);
    }
    let date = real(scalar)?;
    date_to_iso(date).map(|_| date).ok_or(DISP_E_OVERFLOW)
}

/// True or false; a number is true if it is not zero.
fn truth(scalar: &Scalar) -> Result<bool, HRESULT> {
    match scalar {
        Scalar::Truth(it) => Ok(*it),
        Scalar::Text(it) if it.trim().eq_ignore_ascii_case("true") => Ok(true),
        Scalar::Text(it) if it.trim().eq_ignore_ascii_case("false") => Ok(false),
        other => Ok(real(other)? != 0.0),
    }
}

/// Text.
fn text(scalar: &Scalar, flags: USHORT) -> Result<String, HRESULT> {
    Ok(match scalar {
        Scalar::Nothing => String::new(),
        Scalar::Whole(it) => it.to_string(),
        Scalar::Real(it) => it.to_string(),
        Scalar::Truth(it) => match (flags & VARIANT_ALPHABOOL != 0, it) {
            (true, true) => "True",
            (true, false) => "False",
            (false, true) => "-1",
            (false, false) => "0",
        }
        .to_owned(),
        Scalar::Date(it) => date_to_iso(*it).ok_or(DISP_E_OVERFLOW)?,
        Scalar::Text(it) => it.clone(),
    })
}
