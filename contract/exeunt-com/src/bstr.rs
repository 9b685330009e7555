//! Counted strings: the functions of `oleauto.h`, and [`Bstr`], which owns one.
//!
//! A string may hold bytes that are no text, an odd number of them, and zeros. Nothing here looks
//! inside.
//!
//! The allocation is part of the binary interface, because two copies of this code in one process free
//! for each other: `malloc` gives the block, the length in bytes is the `u32` at offset 4, the content
//! begins at offset 8 and ends with at least one zero unit, which the length does not count.

use std::{alloc::Layout, ffi::c_void, fmt, mem::ManuallyDrop, ptr, slice, string::FromUtf16Error};

use crate::abi::{BSTR, LPCOLESTR, OLECHAR, UINT};

/// Longest string in bytes. `SysStringByteLen` could tell 4 GiB; more than 2 GiB is a mistake in some
/// arithmetic, and callers that keep the length in an `int` stay right.
pub const BSTR_BYTES_MAX: usize = 0x7FFF_FFF0;

/// Longest zero-ended string in units that is looked through for its end. A pointer that leads to no end
/// within it is not one to text.
pub const OLESTR_UNITS_MAX: usize = BSTR_BYTES_MAX / 2;

/// Bytes before the content.
const HEAD_BYTES: usize = 8;

/// A new string of `len` bytes, all zero; null if there is no memory.
fn allocate(len: usize) -> *mut u8 {
    if len > BSTR_BYTES_MAX {
        return ptr::null_mut();
    }
    // The end is a whole zero unit at an even place, whatever the length.
    let size = HEAD_BYTES + len.next_multiple_of(2) + size_of::<OLECHAR>();
    // SAFETY: calloc takes any size; the result is checked before it is used.
    let block = unsafe { libc::calloc(1, size) };
    if block.is_null() {
        return ptr::null_mut();
    }
    let counted = u32::try_from(len).expect("BUG: BSTR_BYTES_MAX fits in 32 bits");
    // SAFETY: the block has at least HEAD_BYTES bytes and malloc's alignment, so that offset 4 is
    // aligned for a u32.
    unsafe {
        block.byte_add(4).cast::<u32>().write(counted);
        block.byte_add(HEAD_BYTES).cast()
    }
}

/// A new string with `len` bytes from `from`; zeros if `from` is null. Null if there is no memory.
///
/// # Safety
///
/// `from` is null or can be read for `len` bytes.
unsafe fn allocate_copy(from: *const u8, len: usize) -> BSTR {
    let content = allocate(len);
    if !content.is_null() && !from.is_null() {
        // SAFETY: the caller vouches for `from`; `content` is a fresh block with room for `len` bytes.
        unsafe { ptr::copy_nonoverlapping(from, content, len) };
    }
    content.cast()
}

/// Units before the zero that ends the text. 0 for null.
///
/// # Safety
///
/// `text` is null or points to units of UTF-16 that end with a zero.
pub(crate) unsafe fn units_of(text: LPCOLESTR) -> usize {
    if text.is_null() {
        return 0;
    }
    let mut units = 0;
    // SAFETY: no unit after the first zero is read.
    while units < OLESTR_UNITS_MAX && unsafe { text.add(units).read_unaligned() } != 0 {
        units += 1;
    }
    units
}

/// A text that is ended by a zero, as a Rust string; what is not UTF-16 becomes U+FFFD.
///
/// # Safety
///
/// `text` is null or points to units of UTF-16 that end with a zero.
pub unsafe fn text_of(text: LPCOLESTR) -> String {
    // SAFETY: the caller vouches for the text.
    let units = unsafe { copied_units(text, units_of(text)) };
    String::from_utf16_lossy(&units)
}

/// A copy of that many units, which need not be aligned: a caller may keep its text in a packed
/// structure.
///
/// # Safety
///
/// `text` can be read for `count` units; with 0 it may be null.
pub(crate) unsafe fn copied_units(text: LPCOLESTR, count: usize) -> Vec<OLECHAR> {
    // SAFETY: the caller vouches for the units.
    (0..count).map(|it| unsafe { text.add(it).read_unaligned() }).collect()
}

/// A new string from a text that is ended by a zero. Null for null and without memory.
///
/// # Safety
///
/// `psz` is null or points to units that end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysAllocString(psz: LPCOLESTR) -> BSTR {
    if psz.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the caller vouches for the text; `units_of` has read what is copied.
    unsafe { allocate_copy(psz.cast(), units_of(psz) * size_of::<OLECHAR>()) }
}

/// A new string of `ui` units: those at `pch`, or zeros if that is null. Null without memory.
///
/// # Safety
///
/// `pch` is null or can be read for `ui` units.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysAllocStringLen(pch: LPCOLESTR, ui: UINT) -> BSTR {
    // SAFETY: the caller vouches for `pch`.
    unsafe { allocate_copy(pch.cast(), (ui as usize).saturating_mul(size_of::<OLECHAR>())) }
}

/// A new string of `len` bytes: those at `psz`, or zeros if that is null. Null without memory.
///
/// # Safety
///
/// `psz` is null or can be read for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysAllocStringByteLen(psz: *const libc::c_char, len: UINT) -> BSTR {
    // SAFETY: the caller vouches for `psz`.
    unsafe { allocate_copy(psz.cast(), len as usize) }
}

/// Puts a new string in the place of an old one, which is freed. 1 if done, 0 without memory, and
/// then the old one stays.
///
/// # Safety
///
/// `pbstr` is null or points to a string of ours; `psz` is null or ended by a zero, and may lie inside
/// the old string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysReAllocString(pbstr: *mut BSTR, psz: LPCOLESTR) -> libc::c_int {
    // SAFETY: the caller vouches for both.
    unsafe { replace(pbstr, SysAllocString(psz), psz.is_null()) }
}

/// Like [`SysReAllocString`] with a given number of units.
///
/// # Safety
///
/// `pbstr` is null or points to a string of ours; `psz` is null or can be read for `len` units.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysReAllocStringLen(
    pbstr: *mut BSTR,
    psz: LPCOLESTR,
    len: UINT,
) -> libc::c_int {
    // SAFETY: the caller vouches for both.
    unsafe { replace(pbstr, SysAllocStringLen(psz, len), false) }
}

/// Puts `new` where `place` points. `may_be_null` tells a wanted null from a lack of memory.
///
/// # Safety
///
/// `place` is null or points to a string of ours; `new` is ours.
unsafe fn replace(place: *mut BSTR, new: BSTR, may_be_null: bool) -> libc::c_int {
    if place.is_null() || (new.is_null() && !may_be_null) {
        // SAFETY: `new` is ours and nobody has it.
        unsafe { SysFreeString(new) };
        return 0;
    }
    // SAFETY: the caller vouches for `place`.
    unsafe { SysFreeString(place.replace(new)) };
    1
}

/// Frees a string; null is none.
///
/// # Safety
///
/// `bstr` is null or comes from one of the functions above, and nobody uses it afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysFreeString(bstr: BSTR) {
    if !bstr.is_null() {
        // SAFETY: the block of a string of ours begins HEAD_BYTES before its content.
        unsafe { libc::free(bstr.byte_sub(HEAD_BYTES).cast::<c_void>()) };
    }
}

/// Length in bytes; 0 for null.
///
/// # Safety
///
/// `bstr` is null or a valid counted string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysStringByteLen(bstr: BSTR) -> UINT {
    if bstr.is_null() {
        return 0;
    }
    // SAFETY: the length of a counted string stands in the four bytes before it.
    unsafe { bstr.byte_sub(4).cast::<u32>().read_unaligned() }
}

/// Length in whole units; 0 for null.
///
/// # Safety
///
/// `bstr` is null or a valid counted string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn SysStringLen(bstr: BSTR) -> UINT {
    // SAFETY: the caller vouches for the string.
    unsafe { SysStringByteLen(bstr) / 2 }
}

/// A counted string of one's own. Freed when dropped.
#[repr(transparent)]
pub struct Bstr(BSTR);

// SAFETY: a string is memory from malloc, which any thread may read and free.
unsafe impl Send for Bstr {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Bstr {}

impl Bstr {
    /// The string without content: null, which counts as empty everywhere.
    #[must_use]
    pub const fn empty() -> Self {
        Self(ptr::null_mut())
    }

    /// A string of these bytes, which need not be text nor even in number.
    ///
    /// Without memory the process ends, as with every allocation of Rust.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        // SAFETY: a slice can be read for its length.
        let raw = unsafe { allocate_copy(bytes.as_ptr(), bytes.len()) };
        if raw.is_null() {
            let layout = Layout::array::<u8>(bytes.len()).unwrap_or(Layout::new::<u8>());
            std::alloc::handle_alloc_error(layout);
        }
        Self(raw)
    }

    /// Takes over a raw string.
    ///
    /// # Safety
    ///
    /// `raw` is null or comes from one of the functions of this module, and nobody else frees it.
    #[must_use]
    pub const unsafe fn from_raw(raw: BSTR) -> Self {
        Self(raw)
    }

    /// Lends a raw string that stays somebody else's, such as an argument of a call.
    ///
    /// # Safety
    ///
    /// `raw` is null or a valid counted string, for as long as the result is used.
    #[must_use]
    pub const unsafe fn lend(raw: BSTR) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(raw))
    }

    /// Gives the raw string away. Whoever gets it frees it with `SysFreeString`.
    #[must_use = "the raw string is not freed by itself"]
    pub fn into_raw(self) -> BSTR {
        ManuallyDrop::new(self).0
    }

    /// The raw string, which stays ours.
    #[must_use]
    pub fn as_raw(&self) -> BSTR {
        self.0
    }

    /// Where a call puts a string. What was there is freed first.
    pub fn receive(&mut self) -> *mut BSTR {
        *self = Self::empty();
        &raw mut self.0
    }

    /// The content, byte by byte.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        if self.0.is_null() {
            return &[];
        }
        // SAFETY: a valid string can be read for its length, and lives as long as `self`.
        unsafe { slice::from_raw_parts(self.0.cast(), SysStringByteLen(self.0) as usize) }
    }

    /// Whether there is no content.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The content as whole units; the last byte of an odd number is left out.
    #[must_use]
    pub fn units(&self) -> Vec<u16> {
        let pairs = self.as_bytes().chunks_exact(2);
        pairs.map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect()
    }

    /// The content as text.
    ///
    /// # Errors
    ///
    /// The content is not UTF-16.
    pub fn to_text(&self) -> Result<String, FromUtf16Error> {
        String::from_utf16(&self.units())
    }

    /// The content as text; what is not UTF-16 becomes U+FFFD.
    #[must_use]
    pub fn to_text_lossy(&self) -> String {
        String::from_utf16_lossy(&self.units())
    }
}

impl From<&str> for Bstr {
    fn from(text: &str) -> Self {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_ne_bytes).collect();
        Self::from_bytes(&bytes)
    }
}

impl Clone for Bstr {
    fn clone(&self) -> Self {
        if self.0.is_null() { Self::empty() } else { Self::from_bytes(self.as_bytes()) }
    }
}

impl Default for Bstr {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Bstr {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Bstr {}

impl fmt::Debug for Bstr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_text_lossy(), f)
    }
}

impl Drop for Bstr {
    fn drop(&mut self) {
        // SAFETY: the string is ours and nobody uses it after this.
        unsafe { SysFreeString(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_keeps_odd_lengths_and_zeros() {
        let bytes = [0x30, 0, 0, 0x82, 7];
        let bstr = Bstr::from_bytes(&bytes);
        assert_eq!(bstr.as_bytes(), bytes);
        assert_eq!(bstr.clone().as_bytes(), bytes);
        let raw = bstr.into_raw();
        // SAFETY: `raw` is ours until `from_raw` takes it over.
        unsafe {
            assert_eq!((SysStringByteLen(raw), SysStringLen(raw)), (5, 2));
            // The end is a zero unit at an even place.
            assert_eq!(raw.cast::<u8>().add(5).cast::<[u8; 3]>().read(), [0; 3]);
            drop(Bstr::from_raw(raw));
        }
    }

    #[test]
    fn text_comes_back() {
        for text in ["", "a", "Zürich", "𝄞 clef", "with\0zero"] {
            assert_eq!(Bstr::from(text).to_text().unwrap(), text);
        }
    }

    #[test]
    fn a_text_at_an_odd_place_is_read() {
        let units: Vec<u8> = "𝄞 clef\0".encode_utf16().flat_map(u16::to_ne_bytes).collect();
        // One of the two places is odd.
        for offset in [0, 1] {
            let mut bytes = vec![0xFF; offset];
            bytes.extend_from_slice(&units);
            // SAFETY: the units after the offset end with a zero.
            let text = unsafe { text_of(bytes.as_ptr().byte_add(offset).cast()) };
            assert_eq!(text, "𝄞 clef");
        }
        // SAFETY: null is allowed.
        assert_eq!(unsafe { text_of(ptr::null()) }, "");
    }

    #[test]
    fn half_a_pair_is_no_text() {
        let bstr = Bstr::from_bytes(&0xD800_u16.to_ne_bytes());
        assert!(bstr.to_text().is_err());
        assert_eq!(bstr.to_text_lossy(), "\u{FFFD}");
    }

    #[test]
    fn null_is_the_empty_string() {
        // SAFETY: null is allowed everywhere.
        unsafe {
            assert_eq!(SysStringLen(ptr::null_mut()), 0);
            assert_eq!(SysStringByteLen(ptr::null_mut()), 0);
            SysFreeString(ptr::null_mut());
            assert!(SysAllocString(ptr::null()).is_null());
            assert_eq!(SysReAllocString(ptr::null_mut(), ptr::null()), 0);
        }
        assert_eq!(Bstr::empty(), Bstr::from(""));
    }

    #[test]
    fn a_string_can_be_replaced_by_a_part_of_itself() {
        let mut raw = Bstr::from("one two").into_raw();
        // SAFETY: the string has seven units and an end, and is freed once.
        unsafe {
            assert_eq!(SysReAllocString(&raw mut raw, raw.add(4)), 1);
            assert_eq!(Bstr::from_raw(raw).to_text().unwrap(), "two");
        }
    }

    #[test]
    fn a_length_beyond_all_reason_gives_null() {
        // SAFETY: without a source nothing is read.
        assert!(unsafe { SysAllocStringLen(ptr::null(), u32::MAX) }.is_null());
    }
}
