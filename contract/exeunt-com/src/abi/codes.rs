//! Result codes and the small numbers of COM and Automation. Sources: the published `winerror.h`,
//! `oleauto.h` and `objbase.h` constants.

use super::types::{DISPID, DWORD, HRESULT, WORD};

/// The code with these 32 bits.
const fn code(bits: u32) -> HRESULT {
    bits.cast_signed()
}

/// Whether a code is a success.
#[must_use]
pub const fn SUCCEEDED(hr: HRESULT) -> bool {
    hr >= 0
}

/// Whether a code is a failure.
#[must_use]
pub const fn FAILED(hr: HRESULT) -> bool {
    hr < 0
}

/// The result code for an error number of Windows; 0 stays success.
#[must_use]
pub const fn HRESULT_FROM_WIN32(error: u32) -> HRESULT {
    if error.cast_signed() <= 0 {
        error.cast_signed()
    } else {
        code((error & 0xFFFF) | 0x8007_0000)
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $bits:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: HRESULT = code($bits);)+
    };
}

codes! {
    /// Done.
    S_OK = 0x0000_0000;
    /// Done, and the answer is no, nothing or the end.
    S_FALSE = 0x0000_0001;
    /// Not written yet, and never will be.
    E_NOTIMPL = 0x8000_4001;
    /// The object does not have that interface.
    E_NOINTERFACE = 0x8000_4002;
    /// A pointer that must not be null is.
    E_POINTER = 0x8000_4003;
    /// Given up.
    E_ABORT = 0x8000_4004;
    /// Failed, without a reason.
    E_FAIL = 0x8000_4005;
    /// Not there yet.
    E_PENDING = 0x8000_000A;
    /// Cannot happen, and did.
    E_UNEXPECTED = 0x8000_FFFF;
    /// Not allowed.
    E_ACCESSDENIED = 0x8007_0005;
    /// No such handle.
    E_HANDLE = 0x8007_0006;
    /// No memory.
    E_OUTOFMEMORY = 0x8007_000E;
    /// An argument cannot be.
    E_INVALIDARG = 0x8007_0057;
    /// `HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND)`: no such index.
    HRESULT_FILE_NOT_FOUND = 0x8007_0002;

    /// No such interface of names.
    DISP_E_UNKNOWNINTERFACE = 0x8002_0001;
    /// No member with that number.
    DISP_E_MEMBERNOTFOUND = 0x8002_0003;
    /// No parameter with that name.
    DISP_E_PARAMNOTFOUND = 0x8002_0004;
    /// The value is not of that type and cannot be made so.
    DISP_E_TYPEMISMATCH = 0x8002_0005;
    /// No member with that name.
    DISP_E_UNKNOWNNAME = 0x8002_0006;
    /// Named arguments are not taken.
    DISP_E_NONAMEDARGS = 0x8002_0007;
    /// No such type of a variant.
    DISP_E_BADVARTYPE = 0x8002_0008;
    /// The member failed; the exception structure says how.
    DISP_E_EXCEPTION = 0x8002_0009;
    /// The value does not fit.
    DISP_E_OVERFLOW = 0x8002_000A;
    /// No such index.
    DISP_E_BADINDEX = 0x8002_000B;
    /// The array is in use.
    DISP_E_ARRAYISLOCKED = 0x8002_000D;
    /// Too few arguments or too many.
    DISP_E_BADPARAMCOUNT = 0x8002_000E;
    /// An argument is missing.
    DISP_E_PARAMNOTOPTIONAL = 0x8002_000F;

    /// The class cannot be part of another object.
    CLASS_E_NOAGGREGATION = 0x8004_0110;
    /// The library does not have that class.
    CLASS_E_CLASSNOTAVAILABLE = 0x8004_0111;
    /// Nobody registered that class.
    REGDB_E_CLASSNOTREG = 0x8004_0154;
    /// The thread has not called `CoInitialize`; not raised here.
    CO_E_NOTINITIALIZED = 0x8004_01F0;
    /// Not the text of a class.
    CO_E_CLASSSTRING = 0x8004_01F3;
    /// Not the text of an interface.
    CO_E_IIDSTRING = 0x8004_01F4;
    /// No such registration.
    CO_E_OBJNOTREG = 0x8004_01FB;

    /// The subject of a request cannot be.
    CERTSRV_E_BAD_REQUESTSUBJECT = 0x8009_4001;
    /// No such request.
    CERTSRV_E_NO_REQUEST = 0x8009_4002;
    /// The request is not in a state for that.
    CERTSRV_E_BAD_REQUESTSTATUS = 0x8009_4003;
    /// The property has no value.
    CERTSRV_E_PROPERTY_EMPTY = 0x8009_4004;
    /// The CA's certificate is of no use.
    CERTSRV_E_INVALID_CA_CERTIFICATE = 0x8009_4005;
    /// The server is suspended.
    CERTSRV_E_SERVER_SUSPENDED = 0x8009_4006;
    /// The certificate to renew does not fit.
    CERTSRV_E_BAD_RENEWAL_CERT_ATTRIBUTE = 0x8009_400E;
    /// The database has no session left.
    CERTSRV_E_NO_DB_SESSIONS = 0x8009_400F;
    /// The requester may not enrol.
    CERTSRV_E_ENROLL_DENIED = 0x8009_4011;
    /// The directory does not protect the conversation.
    CERTSRV_E_DOWNLEVEL_DC_SSL_OR_UPGRADE = 0x8009_4013;
    /// An officer refused the request.
    CERTSRV_E_ADMIN_DENIED_REQUEST = 0x8009_4014;
}

/// No such member.
pub const DISPID_UNKNOWN: DISPID = -1;
/// The default member.
pub const DISPID_VALUE: DISPID = 0;
/// The new value in a property put.
pub const DISPID_PROPERTYPUT: DISPID = -3;

/// Call a method.
pub const DISPATCH_METHOD: WORD = 0x1;
/// Read a property.
pub const DISPATCH_PROPERTYGET: WORD = 0x2;
/// Write a property.
pub const DISPATCH_PROPERTYPUT: WORD = 0x4;
/// Write a property that is a reference.
pub const DISPATCH_PROPERTYPUTREF: WORD = 0x8;

/// The class's code runs in this process.
pub const CLSCTX_INPROC_SERVER: DWORD = 0x1;
/// A part of the class's code runs in this process.
pub const CLSCTX_INPROC_HANDLER: DWORD = 0x2;
/// The class's code runs in a process of this machine; never so here.
pub const CLSCTX_LOCAL_SERVER: DWORD = 0x4;

/// The thread's objects may be called from any thread.
pub const COINIT_MULTITHREADED: DWORD = 0x0;
/// The thread's objects are called from it alone.
pub const COINIT_APARTMENTTHREADED: DWORD = 0x2;
