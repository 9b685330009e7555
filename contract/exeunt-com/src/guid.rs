//! Identifiers as text.
//!
//! The text is `{7B1D2F10-5A5A-4C1E-9D01-102030405060}`; reading takes any case and, in Rust, also
//! the form without braces, because people leave them out in configurations.
#![expect(non_snake_case, reason = "the exported functions have their published names")]

use std::{ffi::c_int, fmt, ptr, str::FromStr};

use crate::{
    abi::{
        CLSID, CO_E_CLASSSTRING, CO_E_IIDSTRING, E_INVALIDARG, E_OUTOFMEMORY, E_POINTER, GUID,
        GUID_NULL, HRESULT, LPCOLESTR, LPOLESTR, OLECHAR, S_OK,
    },
    bstr::{copied_units, units_of},
    memory::CoTaskMemAlloc,
};

/// Units of the text with braces, without the ending zero.
pub const GUID_UNITS: usize = 38;

/// Where the hyphens stand between the braces.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// A text that is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GuidError;

impl GuidError {
    /// Stable code for logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "com-guid"
    }
}

impl fmt::Display for GuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an identifier of the form {00000000-0000-0000-0000-000000000000}")
    }
}

impl std::error::Error for GuidError {}

impl GUID {
    /// The identifier that a text without braces names; for constants.
    ///
    /// `None` if the text is none. Any case.
    #[must_use]
    pub const fn from_hyphenated(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != GUID_UNITS - 2 {
            return None;
        }
        let mut digits: u128 = 0;
        let mut at = 0;
        while at < bytes.len() {
            let hyphen =
                at == HYPHENS[0] || at == HYPHENS[1] || at == HYPHENS[2] || at == HYPHENS[3];
            match (hyphen, (bytes[at] as char).to_digit(16)) {
                (true, None) if bytes[at] == b'-' => {}
                (false, Some(digit)) => digits = digits << 4 | digit as u128,
                _ => return None,
            }
            at += 1;
        }
        Some(Self::from_u128(digits))
    }
}

impl FromStr for GUID {
    type Err = GuidError;

    fn from_str(text: &str) -> Result<Self, GuidError> {
        let inner = match text.strip_prefix('{') {
            Some(rest) => rest.strip_suffix('}').ok_or(GuidError)?,
            None => text,
        };
        Self::from_hyphenated(inner).ok_or(GuidError)
    }
}

impl fmt::Display for GUID {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { Data1, Data2, Data3, Data4: [a, b, rest @ ..] } = self;
        write!(f, "{{{Data1:08X}-{Data2:04X}-{Data3:04X}-{a:02X}{b:02X}-")?;
        rest.iter().try_for_each(|byte| write!(f, "{byte:02X}"))?;
        f.write_str("}")
    }
}

/// Reads the text that is ended by a zero.
///
/// # Safety
///
/// `text` is null or ended by a zero.
unsafe fn parse(text: LPCOLESTR) -> Option<GUID> {
    // SAFETY: the caller vouches for the text.
    let count = unsafe { units_of(text) };
    if count != GUID_UNITS {
        return None;
    }
    // SAFETY: `units_of` has read that many units.
    let units = unsafe { copied_units(text, count) };
    let text = String::from_utf16(&units).ok()?;
    if text.starts_with('{') { text.parse().ok() } else { None }
}

/// Reads a text with braces into `out`; null is [`GUID_NULL`].
///
/// # Safety
///
/// `text` is null or ended by a zero; `out` is null or can be written.
unsafe fn parse_into(text: LPCOLESTR, out: *mut GUID, refused: HRESULT) -> HRESULT {
    if out.is_null() {
        return E_INVALIDARG;
    }
    // SAFETY: the caller vouches for the text.
    let parsed = if text.is_null() { Some(GUID_NULL) } else { unsafe { parse(text) } };
    // SAFETY: `out` is not null, and the caller vouches for the rest.
    unsafe { out.write_unaligned(parsed.unwrap_or(GUID_NULL)) };
    if parsed.is_some() { S_OK } else { refused }
}

/// The class that a text with braces names; null gives [`GUID_NULL`]. A `ProgID` is looked up as well.
///
/// `CO_E_CLASSSTRING` if it is neither.
///
/// # Safety
///
/// `lpsz` is null or ended by a zero; `pclsid` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CLSIDFromString(lpsz: LPCOLESTR, pclsid: *mut CLSID) -> HRESULT {
    // SAFETY: the caller vouches for both.
    let hr = unsafe { parse_into(lpsz, pclsid, CO_E_CLASSSTRING) };
    if hr != CO_E_CLASSSTRING {
        return hr;
    }
    // SAFETY: as above.
    unsafe { crate::class::CLSIDFromProgID(lpsz, pclsid) }
}

/// The interface that a text with braces names; null gives [`GUID_NULL`], else `CO_E_IIDSTRING`.
///
/// # Safety
///
/// `lpsz` is null or ended by a zero; `lpiid` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn IIDFromString(lpsz: LPCOLESTR, lpiid: *mut GUID) -> HRESULT {
    // SAFETY: the caller vouches for both.
    unsafe { parse_into(lpsz, lpiid, CO_E_IIDSTRING) }
}

/// Writes the text with braces and its ending zero. Units written with the zero, 0 if there is no room.
///
/// # Safety
///
/// `rguid` is null or can be read; `lpsz` is null or can be written for `cchMax` units.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn StringFromGUID2(
    rguid: *const GUID,
    lpsz: LPOLESTR,
    cchMax: c_int,
) -> c_int {
    const UNITS_WITH_END: usize = GUID_UNITS + 1;
    let room = usize::try_from(cchMax).unwrap_or(0);
    if rguid.is_null() || lpsz.is_null() || room < UNITS_WITH_END {
        return 0;
    }
    // SAFETY: `rguid` is not null, and the caller vouches for the rest.
    let text = unsafe { rguid.read_unaligned() }.to_string();
    let units: Vec<OLECHAR> = text.encode_utf16().chain([0]).collect();
    // SAFETY: the text has 38 units and its end, and there is room for that many.
    unsafe { ptr::copy_nonoverlapping(units.as_ptr(), lpsz, UNITS_WITH_END) };
    c_int::try_from(UNITS_WITH_END).expect("BUG: 39 fits in an int")
}

/// The text of a class in task memory, which the caller frees.
///
/// # Safety
///
/// `rclsid` is null or can be read; `lplpsz` is null or can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn StringFromCLSID(rclsid: *const CLSID, lplpsz: *mut LPOLESTR) -> HRESULT {
    if lplpsz.is_null() {
        return E_POINTER;
    }
    // SAFETY: `lplpsz` is not null, and the caller vouches for the rest.
    unsafe { lplpsz.write(ptr::null_mut()) };
    if rclsid.is_null() {
        return E_INVALIDARG;
    }
    let text = CoTaskMemAlloc((GUID_UNITS + 1) * size_of::<OLECHAR>()).cast::<OLECHAR>();
    if text.is_null() {
        return E_OUTOFMEMORY;
    }
    // SAFETY: the block has room for the text and its end.
    unsafe {
        StringFromGUID2(rclsid, text, 39);
        lplpsz.write(text);
    }
    S_OK
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::abi::{CLSID_CCertServerExit, IID_ICertExit};

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().chain([0]).collect()
    }

    fn from_string(text: &str) -> (HRESULT, GUID) {
        let mut guid = IID_ICertExit;
        // SAFETY: the text has its end, and the guid can be written.
        let hr = unsafe { CLSIDFromString(units(text).as_ptr(), &raw mut guid) };
        (hr, guid)
    }

    #[test]
    fn text_is_as_the_registry_has_it() {
        let text = "{4C4A5E40-732C-11D0-8816-00A0C903B83C}";
        assert_eq!(CLSID_CCertServerExit.to_string(), text);
        assert_eq!(from_string(text), (S_OK, CLSID_CCertServerExit));
        assert_eq!(from_string(&text.to_lowercase()), (S_OK, CLSID_CCertServerExit));
        assert_eq!(text[1..37].parse(), Ok(CLSID_CCertServerExit));
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in [
            "",
            "{}",
            "4C4A5E40-732C-11D0-8816-00A0C903B83C",
            "{4C4A5E40-732C-11D0-8816-00A0C903B83C",
            "{4C4A5E40-732C-11D0-8816-00A0C903B83C}}",
            "{4C4A5E40-732C-11D0-8816 00A0C903B83C}",
            "{4C4A5E40-732C-11D0-8816-00A0C903B83G}",
            "{4C4A5E40-732C-11D0-8816-00A0C903B83é}",
            "{4C4A5E40732C-11D0-8816-00A0C903B83C00}",
        ] {
            assert_eq!(from_string(text), (CO_E_CLASSSTRING, GUID_NULL), "{text}");
        }
    }

    #[test]
    fn null_is_told_apart_from_no_place() {
        let mut guid = IID_ICertExit;
        // SAFETY: null is allowed.
        unsafe {
            assert_eq!(CLSIDFromString(ptr::null(), &raw mut guid), S_OK);
            assert_eq!(CLSIDFromString(units("{").as_ptr(), ptr::null_mut()), E_INVALIDARG);
        }
        assert_eq!(guid, GUID_NULL);
    }

    proptest! {
        #[test]
        fn every_identifier_comes_back(digits: u128) {
            let guid = GUID::from_u128(digits);
            prop_assert_eq!(from_string(&guid.to_string()), (S_OK, guid));
        }

        #[test]
        fn no_text_does_harm(text in "\\PC{0,64}") {
            let _ = text.parse::<GUID>();
            let (hr, guid) = from_string(&text);
            prop_assert!(hr == S_OK || guid == GUID_NULL);
        }

        #[test]
        fn nearly_right_text_is_read_or_refused(text in "\\{?[0-9A-Fa-f-]{34,38}\\}?") {
            if let Ok(guid) = text.parse::<GUID>() {
                let plain = text.trim_matches(['{', '}']).to_uppercase();
                prop_assert_eq!(guid.to_string(), format!("{{{plain}}}"));
            }
        }
    }
}
