//! Task memory: what one side allocates and the other frees.
//!
//! It is plain `malloc`, so that two copies of this code in one process free for each other.

use std::ffi::c_void;

/// A block of `cb` bytes, not initialised; null without memory.
#[unsafe(no_mangle)]
pub extern "C" fn CoTaskMemAlloc(cb: usize) -> *mut c_void {
    // SAFETY: malloc takes any size. One byte at least, because 0 must give a block too.
    unsafe { libc::malloc(cb.max(1)) }
}

/// The block with another size, perhaps elsewhere. Size 0 frees it; null without memory, and then the
/// old block stays.
///
/// # Safety
///
/// `pv` is null or a block of task memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoTaskMemRealloc(pv: *mut c_void, cb: usize) -> *mut c_void {
    if cb == 0 && !pv.is_null() {
        // SAFETY: the caller vouches for the block.
        unsafe { libc::free(pv) };
        return std::ptr::null_mut();
    }
    // SAFETY: as above.
    unsafe { libc::realloc(pv, cb.max(1)) }
}

/// Frees a block; null is none.
///
/// # Safety
///
/// `pv` is null or a block of task memory that nobody uses afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn CoTaskMemFree(pv: *mut c_void) {
    // SAFETY: the caller vouches for the block.
    unsafe { libc::free(pv) };
}
