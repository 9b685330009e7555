//! Structures and scalars. Ownership is that of the published interface; nothing is freed by itself.

use std::ffi::c_void;

use super::vtable::{IDispatch, IUnknown};

/// Result of nearly every call: negative is failure.
pub type HRESULT = i32;
/// Same as [`HRESULT`], by its older name.
pub type SCODE = i32;
/// Integer of 32 bits with a sign, on every platform.
pub type LONG = i32;
/// Integer of 32 bits, on every platform.
pub type ULONG = u32;
/// Integer of 32 bits.
pub type DWORD = u32;
/// Integer of 16 bits.
pub type WORD = u16;
/// Integer of 16 bits.
pub type USHORT = u16;
/// Integer of 32 bits.
pub type UINT = u32;
/// Zero is false, everything else true.
pub type BOOL = i32;
/// Language; ignored throughout.
pub type LCID = u32;
/// Number of a member for late binding.
pub type DISPID = i32;
/// Discriminant of a [`VARIANT`], one of `VT_*`.
pub type VARTYPE = u16;
/// [`VARIANT_TRUE`] or [`VARIANT_FALSE`].
pub type VARIANT_BOOL = i16;
/// Days since 1899-12-30, with the time of day as fraction.
pub type DATE = f64;
/// One unit of UTF-16.
pub type OLECHAR = u16;
/// Units of UTF-16, ended by a zero. Not owned.
pub type LPCOLESTR = *const OLECHAR;
/// Units of UTF-16, ended by a zero.
pub type LPOLESTR = *mut OLECHAR;

/// Counted string: points at the first unit; the four bytes before it hold the length in *bytes*,
/// which may be odd. Null is the empty string. The content may hold zeros and need not be text.
pub type BSTR = *mut OLECHAR;

/// True, as Automation knows it: all bits set.
pub const VARIANT_TRUE: VARIANT_BOOL = -1;
/// False, as Automation knows it.
pub const VARIANT_FALSE: VARIANT_BOOL = 0;

/// Identifier of an interface or class, 16 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GUID {
    /// First eight hexadecimal digits.
    pub Data1: u32,
    /// Next four.
    pub Data2: u16,
    /// Next four.
    pub Data3: u16,
    /// The last sixteen, byte by byte.
    pub Data4: [u8; 8],
}

/// Identifier of an interface.
pub type IID = GUID;
/// Identifier of a class.
pub type CLSID = GUID;

impl GUID {
    /// The identifier whose text form has these hexadecimal digits, in this order.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each cast takes its own part of the digits"
    )]
    pub const fn from_u128(digits: u128) -> Self {
        Self {
            Data1: (digits >> 96) as u32,
            Data2: (digits >> 80) as u16,
            Data3: (digits >> 64) as u16,
            Data4: (digits as u64).to_be_bytes(),
        }
    }
}

/// A value with its type, 24 bytes on 64-bit platforms.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct VARIANT {
    /// What `value` holds: one of `VT_*`, perhaps with [`VT_ARRAY`] or [`VT_BYREF`].
    pub vt: VARTYPE,
    /// Zero.
    pub wReserved1: WORD,
    /// Zero.
    pub wReserved2: WORD,
    /// Zero.
    pub wReserved3: WORD,
    /// The value.
    pub value: VARIANT_VALUE,
}

/// A [`VARIANT`] that is an argument of `IDispatch::Invoke`.
pub type VARIANTARG = VARIANT;

/// The union inside a [`VARIANT`]; which member is valid says `vt`.
///
/// C has these members directly in `VARIANT`, by the same names. `DECIMAL`, which lies over the whole
/// variant, is not supported.
#[repr(C)]
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "each is the value of the VT_* of the same name")]
pub union VARIANT_VALUE {
    pub llVal: i64,
    pub lVal: LONG,
    pub bVal: u8,
    pub iVal: i16,
    pub fltVal: f32,
    pub dblVal: f64,
    pub boolVal: VARIANT_BOOL,
    pub scode: SCODE,
    pub cyVal: i64,
    pub date: DATE,
    pub bstrVal: BSTR,
    pub punkVal: *mut IUnknown,
    pub pdispVal: *mut IDispatch,
    pub parray: *mut SAFEARRAY,
    pub pbVal: *mut u8,
    pub piVal: *mut i16,
    pub plVal: *mut LONG,
    pub pllVal: *mut i64,
    pub pfltVal: *mut f32,
    pub pdblVal: *mut f64,
    pub pboolVal: *mut VARIANT_BOOL,
    pub pscode: *mut SCODE,
    pub pcyVal: *mut i64,
    pub pdate: *mut DATE,
    pub pbstrVal: *mut BSTR,
    pub ppunkVal: *mut *mut IUnknown,
    pub ppdispVal: *mut *mut IDispatch,
    pub pparray: *mut *mut SAFEARRAY,
    pub pvarVal: *mut VARIANT,
    pub byref: *mut c_void,
    pub cVal: i8,
    pub uiVal: USHORT,
    pub ulVal: ULONG,
    pub ullVal: u64,
    pub intVal: i32,
    pub uintVal: UINT,
    pub pcVal: *mut i8,
    pub puiVal: *mut USHORT,
    pub pulVal: *mut ULONG,
    pub pullVal: *mut u64,
    pub pintVal: *mut i32,
    pub puintVal: *mut UINT,
    pub record: BRECORD,
}

/// Value of a `VT_RECORD`; here only because it gives the union its size.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BRECORD {
    /// The record.
    pub pvRecord: *mut c_void,
    /// Its description.
    pub pRecInfo: *mut c_void,
}

/// No value.
pub const VT_EMPTY: VARTYPE = 0;
/// The null of databases.
pub const VT_NULL: VARTYPE = 1;
/// `iVal`.
pub const VT_I2: VARTYPE = 2;
/// `lVal`.
pub const VT_I4: VARTYPE = 3;
/// `fltVal`.
pub const VT_R4: VARTYPE = 4;
/// `dblVal`.
pub const VT_R8: VARTYPE = 5;
/// `cyVal`, in ten-thousandths.
pub const VT_CY: VARTYPE = 6;
/// `date`.
pub const VT_DATE: VARTYPE = 7;
/// `bstrVal`, owned.
pub const VT_BSTR: VARTYPE = 8;
/// `pdispVal`, owned reference.
pub const VT_DISPATCH: VARTYPE = 9;
/// `scode`.
pub const VT_ERROR: VARTYPE = 10;
/// `boolVal`.
pub const VT_BOOL: VARTYPE = 11;
/// `pvarVal`; only with [`VT_BYREF`], or as the element type of an array.
pub const VT_VARIANT: VARTYPE = 12;
/// `punkVal`, owned reference.
pub const VT_UNKNOWN: VARTYPE = 13;
/// A `DECIMAL` over the whole variant; not supported.
pub const VT_DECIMAL: VARTYPE = 14;
/// `cVal`.
pub const VT_I1: VARTYPE = 16;
/// `bVal`.
pub const VT_UI1: VARTYPE = 17;
/// `uiVal`.
pub const VT_UI2: VARTYPE = 18;
/// `ulVal`.
pub const VT_UI4: VARTYPE = 19;
/// `llVal`.
pub const VT_I8: VARTYPE = 20;
/// `ullVal`.
pub const VT_UI8: VARTYPE = 21;
/// `intVal`.
pub const VT_INT: VARTYPE = 22;
/// `uintVal`.
pub const VT_UINT: VARTYPE = 23;
/// A record; not supported.
pub const VT_RECORD: VARTYPE = 36;
/// `parray`, owned; the rest of the type is that of the elements.
pub const VT_ARRAY: VARTYPE = 0x2000;
/// A pointer to the value, which somebody else owns.
pub const VT_BYREF: VARTYPE = 0x4000;
/// The bits of the type without [`VT_ARRAY`] and [`VT_BYREF`].
pub const VT_TYPEMASK: VARTYPE = 0x0FFF;

/// One dimension of a [`SAFEARRAY`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SAFEARRAYBOUND {
    /// How many elements.
    pub cElements: ULONG,
    /// Index of the first.
    pub lLbound: LONG,
}

/// An array that knows its element type and bounds. Only vectors (one dimension) are supported.
#[repr(C)]
#[derive(Debug)]
pub struct SAFEARRAY {
    /// Dimensions: 1.
    pub cDims: USHORT,
    /// `FADF_*`.
    pub fFeatures: USHORT,
    /// Size of an element in bytes.
    pub cbElements: ULONG,
    /// How many callers have the data locked.
    pub cLocks: ULONG,
    /// The elements.
    pub pvData: *mut c_void,
    /// Bounds; the first of `cDims`.
    pub rgsabound: [SAFEARRAYBOUND; 1],
}

/// The element type stands in the four bytes before the array.
pub const FADF_HAVEVARTYPE: USHORT = 0x0080;
/// The elements are strings.
pub const FADF_BSTR: USHORT = 0x0100;
/// The elements are references to `IUnknown`.
pub const FADF_UNKNOWN: USHORT = 0x0200;
/// The elements are references to `IDispatch`.
pub const FADF_DISPATCH: USHORT = 0x0400;
/// The elements are variants.
pub const FADF_VARIANT: USHORT = 0x0800;
/// The data follows the array's head in the same allocation.
pub const FADF_CREATEVECTOR: USHORT = 0x2000;

/// Arguments of `IDispatch::Invoke`, the last one first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DISPPARAMS {
    /// The arguments, in reverse order.
    pub rgvarg: *mut VARIANTARG,
    /// Numbers of the named ones among them.
    pub rgdispidNamedArgs: *mut DISPID,
    /// How many arguments.
    pub cArgs: UINT,
    /// How many of them are named.
    pub cNamedArgs: UINT,
}

/// What a failing `IDispatch::Invoke` has to tell. The strings belong to the caller.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EXCEPINFO {
    /// Code of an application; zero if `scode` is set.
    pub wCode: WORD,
    /// Zero.
    pub wReserved: WORD,
    /// Who failed.
    pub bstrSource: BSTR,
    /// What happened.
    pub bstrDescription: BSTR,
    /// File with help.
    pub bstrHelpFile: BSTR,
    /// Topic in that file.
    pub dwHelpContext: DWORD,
    /// Null.
    pub pvReserved: *mut c_void,
    /// Fills the rest in when it is wanted; may be null.
    pub pfnDeferredFillIn: Option<unsafe extern "C" fn(info: *mut EXCEPINFO) -> HRESULT>,
    /// The failure.
    pub scode: SCODE,
}

/// A moment of the calendar, without a zone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it; January is 1, Sunday is 0")]
pub struct SYSTEMTIME {
    pub wYear: WORD,
    pub wMonth: WORD,
    pub wDayOfWeek: WORD,
    pub wDay: WORD,
    pub wHour: WORD,
    pub wMinute: WORD,
    pub wSecond: WORD,
    pub wMilliseconds: WORD,
}
