//! A counted reference to an object behind an interface.

use std::{ffi::c_void, fmt, marker::PhantomData, mem::ManuallyDrop, ptr::NonNull};

use crate::abi::{E_NOINTERFACE, FAILED, HRESULT, IUnknownVtbl, Interface};

/// One reference to an object, through interface `T`. Dropping gives it back.
///
/// A pointer may be sent to another thread only where the object allows it, so it is not `Send`.
pub struct ComPtr<T: Interface>(NonNull<T>, PhantomData<T>);

impl<T: Interface> ComPtr<T> {
    /// Takes over a reference; `None` for null.
    ///
    /// # Safety
    ///
    /// `raw` is null or points to a live object with interface `T`, and comes with a reference that
    /// nobody else gives back.
    #[must_use]
    pub unsafe fn from_raw(raw: *mut T) -> Option<Self> {
        NonNull::new(raw).map(|it| Self(it, PhantomData))
    }

    /// Takes a reference of its own; `None` for null.
    ///
    /// # Safety
    ///
    /// `raw` is null or points to a live object with interface `T`.
    #[must_use]
    pub unsafe fn from_borrowed(raw: *mut T) -> Option<Self> {
        // SAFETY: the clone takes its own reference, and the first one is never given back.
        let lent = ManuallyDrop::new(unsafe { Self::from_raw(raw) }?);
        Some(Self::clone(&lent))
    }

    /// Gives the reference away, to whoever calls `Release` on it.
    #[must_use = "the reference is not given back by itself"]
    pub fn into_raw(self) -> *mut T {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// The pointer, whose reference stays ours.
    #[must_use]
    pub fn as_raw(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// The first argument of every call through the interface.
    #[must_use]
    pub fn this(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// Functions of `IUnknown`, with which every table begins.
    fn unknown(&self) -> &IUnknownVtbl {
        // SAFETY: `Interface` promises a pointer to such a table as the first member; the object lives
        // as long as our reference, and its table as long.
        unsafe { &**self.0.as_ptr().cast::<*const IUnknownVtbl>() }
    }

    /// Another interface of the object.
    ///
    /// # Errors
    ///
    /// What the object answered, usually `E_NOINTERFACE`.
    pub fn query<U: Interface>(&self) -> Result<ComPtr<U>, HRESULT> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: `this` is live, and `raw` can be written.
        let hr = unsafe { (self.unknown().QueryInterface)(self.this(), &U::IID, &raw mut raw) };
        if FAILED(hr) {
            return Err(hr);
        }
        // SAFETY: a success is a new reference to the interface that was asked for.
        unsafe { ComPtr::from_raw(raw.cast()) }.ok_or(E_NOINTERFACE)
    }
}

impl<T: Interface> Clone for ComPtr<T> {
    fn clone(&self) -> Self {
        // SAFETY: `this` is live.
        unsafe { (self.unknown().AddRef)(self.this()) };
        Self(self.0, PhantomData)
    }
}

impl<T: Interface> Drop for ComPtr<T> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and nobody uses it after this.
        unsafe { (self.unknown().Release)(self.this()) };
    }
}

impl<T: Interface> fmt::Debug for ComPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComPtr({:p})", self.0)
    }
}
