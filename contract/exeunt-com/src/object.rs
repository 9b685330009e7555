//! An object with one or two interfaces, one count and a state: what every class is made of, the
//! library's own and a host's.

use std::{
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    abi::{E_NOINTERFACE, E_POINTER, GUID, HRESULT, IUnknownVtbl, Interface, S_OK, ULONG},
    pointer::ComPtr,
};

/// What an object holds, and which interfaces lead to it.
pub trait State: Send + Sync + Sized + 'static {
    /// The interfaces. The second has no identifiers where there is only one.
    const PARTS: [Part; 2];
}

/// One interface of an object.
#[derive(Debug)]
pub struct Part {
    /// The identifiers that it answers to.
    pub ids: &'static [GUID],
    /// Its table, made with [`Object::unknown`] for its place among the parts.
    pub table: *const c_void,
}

impl Part {
    /// No second interface.
    pub const NONE: Self = Self { ids: &[], table: ptr::null() };
}

/// The object. A pointer to one of its tables is a pointer to an interface.
#[repr(C)]
#[derive(Debug)]
pub struct Object<S> {
    tables: [*const c_void; 2],
    count: AtomicU32,
    state: S,
}

impl<S: State> Object<S> {
    /// A new object with one reference, through its first interface.
    ///
    /// # Safety
    ///
    /// The table of the first part is that of `I`. Every table is that of its part's identifiers,
    /// begins with [`Object::unknown`] for its place, and lives as long as the process.
    pub unsafe fn create<I: Interface>(state: S) -> ComPtr<I> {
        let [first, second] = S::PARTS;
        let count = AtomicU32::new(1);
        let object = Box::new(Self { tables: [first.table, second.table], count, state });
        // SAFETY: the object begins with a pointer to the table that the caller vouches for, has one
        // reference, and frees itself.
        unsafe { ComPtr::from_raw(Box::into_raw(object).cast()) }.expect("BUG: a box is not null")
    }

    /// Functions of `IUnknown` for the part at place `AT`.
    #[must_use]
    pub const fn unknown<const AT: usize>() -> IUnknownVtbl {
        IUnknownVtbl {
            QueryInterface: Self::query::<AT>,
            AddRef: Self::add_ref::<AT>,
            Release: Self::release::<AT>,
        }
    }

    /// The object behind the part at place `AT`.
    unsafe fn whole<const AT: usize>(this: *mut c_void) -> *mut Self {
        // SAFETY: the tables stand at the beginning, one after the other.
        unsafe { this.byte_sub(AT * size_of::<*const c_void>()).cast() }
    }

    /// The state behind the part at place `AT`.
    ///
    /// # Safety
    ///
    /// `this` is that part of a live object.
    #[must_use]
    pub unsafe fn state<'a, const AT: usize>(this: *mut c_void) -> &'a S {
        // SAFETY: the caller vouches for it.
        unsafe { &(*Self::whole::<AT>(this)).state }
    }

    unsafe extern "C" fn query<const AT: usize>(
        this: *mut c_void,
        riid: *const GUID,
        ppv: *mut *mut c_void,
    ) -> HRESULT {
        if ppv.is_null() || riid.is_null() {
            return E_POINTER;
        }
        // SAFETY: `this` is a part of a live object; neither pointer is null, and the caller vouches
        // for the rest.
        unsafe {
            let id = riid.read_unaligned();
            let Some(found) = S::PARTS.iter().position(|it| it.ids.contains(&id)) else {
                ppv.write(ptr::null_mut());
                return E_NOINTERFACE;
            };
            Self::add_ref::<AT>(this);
            let whole = Self::whole::<AT>(this).cast::<c_void>();
            ppv.write(whole.byte_add(found * size_of::<*const c_void>()));
        }
        S_OK
    }

    unsafe extern "C" fn add_ref<const AT: usize>(this: *mut c_void) -> ULONG {
        // SAFETY: `this` is a part of a live object.
        let count = unsafe { &(*Self::whole::<AT>(this)).count };
        count.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    unsafe extern "C" fn release<const AT: usize>(this: *mut c_void) -> ULONG {
        // SAFETY: `this` is a part of a live object; with the last reference it ends, as nobody has it.
        unsafe {
            let whole = Self::whole::<AT>(this);
            let left = (*whole).count.fetch_sub(1, Ordering::AcqRel).wrapping_sub(1);
            if left == 0 {
                drop(Box::from_raw(whole));
            }
            left
        }
    }
}
