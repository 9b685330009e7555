//! Interfaces: a pointer to a table of functions, in the published order.
//!
//! A table begins with that of the interface it extends, as `base`. `this` is the pointer through
//! which the call is made. A `BSTR` that goes in stays the caller's; one that comes out through a
//! pointer is the caller's from then on.

use std::ffi::c_void;

use super::types::{
    BOOL, BSTR, DISPID, DISPPARAMS, DWORD, EXCEPINFO, GUID, HRESULT, LCID, LONG, LPCOLESTR,
    LPOLESTR, UINT, ULONG, VARIANT, WORD,
};

/// An interface that can be asked for by its identifier.
///
/// # Safety
///
/// The type is `repr(C)`, its first member points to a table that begins with [`IUnknownVtbl`], and an
/// object that answers a query for `IID` with success gives a pointer to the type.
pub unsafe trait Interface {
    /// Identifier of the interface.
    const IID: GUID;
}

/// One interface: the struct that a pointer points to, and its identifier.
macro_rules! interface {
    ($(#[doc = $doc:literal])+ $name:ident, $vtable:ident, $iid:ident) => {
        $(#[doc = $doc])+
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name {
            /// The functions.
            pub lpVtbl: *const $vtable,
        }

        // SAFETY: the struct is one pointer to a table whose innermost base is `IUnknownVtbl`, as the
        // definitions below show.
        unsafe impl Interface for $name {
            const IID: GUID = super::ids::$iid;
        }
    };
}

interface! {
    /// What every object can do.
    IUnknown, IUnknownVtbl, IID_IUnknown
}

/// Functions of [`IUnknown`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IUnknownVtbl {
    /// Asks for another interface of the object; a success is a new reference.
    pub QueryInterface: unsafe extern "C" fn(
        this: *mut c_void,
        riid: *const GUID,
        ppvObject: *mut *mut c_void,
    ) -> HRESULT,
    /// One reference more.
    pub AddRef: unsafe extern "C" fn(this: *mut c_void) -> ULONG,
    /// One reference less; the last one ends the object.
    pub Release: unsafe extern "C" fn(this: *mut c_void) -> ULONG,
}

interface! {
    /// Makes objects of one class.
    IClassFactory, IClassFactoryVtbl, IID_IClassFactory
}

/// Functions of [`IClassFactory`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IClassFactoryVtbl {
    /// Functions of `IUnknown`.
    pub base: IUnknownVtbl,
    /// Makes an object; `pUnkOuter` is null.
    pub CreateInstance: unsafe extern "C" fn(
        this: *mut c_void,
        pUnkOuter: *mut c_void,
        riid: *const GUID,
        ppvObject: *mut *mut c_void,
    ) -> HRESULT,
    /// Keeps the library loaded.
    pub LockServer: unsafe extern "C" fn(this: *mut c_void, fLock: BOOL) -> HRESULT,
}

interface! {
    /// Late binding: members by name.
    IDispatch, IDispatchVtbl, IID_IDispatch
}

/// Functions of [`IDispatch`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IDispatchVtbl {
    /// Functions of `IUnknown`.
    pub base: IUnknownVtbl,
    /// How many type descriptions there are: 0 or 1.
    pub GetTypeInfoCount: unsafe extern "C" fn(this: *mut c_void, pctinfo: *mut UINT) -> HRESULT,
    /// The type description.
    pub GetTypeInfo: unsafe extern "C" fn(
        this: *mut c_void,
        iTInfo: UINT,
        lcid: LCID,
        ppTInfo: *mut *mut c_void,
    ) -> HRESULT,
    /// Numbers of a member and its parameters.
    pub GetIDsOfNames: unsafe extern "C" fn(
        this: *mut c_void,
        riid: *const GUID,
        rgszNames: *mut LPOLESTR,
        cNames: UINT,
        lcid: LCID,
        rgDispId: *mut DISPID,
    ) -> HRESULT,
    /// Calls a member.
    pub Invoke: unsafe extern "C" fn(
        this: *mut c_void,
        dispIdMember: DISPID,
        riid: *const GUID,
        lcid: LCID,
        wFlags: WORD,
        pDispParams: *mut DISPPARAMS,
        pVarResult: *mut VARIANT,
        pExcepInfo: *mut EXCEPINFO,
        puArgErr: *mut UINT,
    ) -> HRESULT,
}

interface! {
    /// What failed, for reading.
    IErrorInfo, IErrorInfoVtbl, IID_IErrorInfo
}

/// Functions of [`IErrorInfo`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IErrorInfoVtbl {
    /// Functions of `IUnknown`.
    pub base: IUnknownVtbl,
    /// The interface that failed.
    pub GetGUID: unsafe extern "C" fn(this: *mut c_void, pGUID: *mut GUID) -> HRESULT,
    /// Who failed.
    pub GetSource: unsafe extern "C" fn(this: *mut c_void, pBstrSource: *mut BSTR) -> HRESULT,
    /// What happened.
    pub GetDescription:
        unsafe extern "C" fn(this: *mut c_void, pBstrDescription: *mut BSTR) -> HRESULT,
    /// File with help.
    pub GetHelpFile: unsafe extern "C" fn(this: *mut c_void, pBstrHelpFile: *mut BSTR) -> HRESULT,
    /// Topic in that file.
    pub GetHelpContext:
        unsafe extern "C" fn(this: *mut c_void, pdwHelpContext: *mut DWORD) -> HRESULT,
}

interface! {
    /// What failed, for writing.
    ICreateErrorInfo, ICreateErrorInfoVtbl, IID_ICreateErrorInfo
}

/// Functions of [`ICreateErrorInfo`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICreateErrorInfoVtbl {
    /// Functions of `IUnknown`.
    pub base: IUnknownVtbl,
    /// The interface that failed.
    pub SetGUID: unsafe extern "C" fn(this: *mut c_void, rguid: *const GUID) -> HRESULT,
    /// Who failed.
    pub SetSource: unsafe extern "C" fn(this: *mut c_void, szSource: LPCOLESTR) -> HRESULT,
    /// What happened.
    pub SetDescription:
        unsafe extern "C" fn(this: *mut c_void, szDescription: LPCOLESTR) -> HRESULT,
    /// File with help.
    pub SetHelpFile: unsafe extern "C" fn(this: *mut c_void, szHelpFile: LPCOLESTR) -> HRESULT,
    /// Topic in that file.
    pub SetHelpContext: unsafe extern "C" fn(this: *mut c_void, dwHelpContext: DWORD) -> HRESULT,
}

interface! {
    /// Says which interfaces leave error information.
    ISupportErrorInfo, ISupportErrorInfoVtbl, IID_ISupportErrorInfo
}

/// Functions of [`ISupportErrorInfo`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ISupportErrorInfoVtbl {
    /// Functions of `IUnknown`.
    pub base: IUnknownVtbl,
    /// `S_OK` if that interface does, `S_FALSE` if not.
    pub InterfaceSupportsErrorInfo:
        unsafe extern "C" fn(this: *mut c_void, riid: *const GUID) -> HRESULT,
}

interface! {
    /// An exit module.
    ICertExit, ICertExitVtbl, IID_ICertExit
}

/// Functions of [`ICertExit`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICertExitVtbl {
    /// Functions of `IDispatch`.
    pub base: IDispatchVtbl,
    /// Takes the CA's name, gives the mask of wanted events.
    pub Initialize:
        unsafe extern "C" fn(this: *mut c_void, strConfig: BSTR, pEventMask: *mut LONG) -> HRESULT,
    /// Takes one event.
    pub Notify: unsafe extern "C" fn(this: *mut c_void, ExitEvent: LONG, Context: LONG) -> HRESULT,
    /// What the module is, in one line.
    pub GetDescription:
        unsafe extern "C" fn(this: *mut c_void, pstrDescription: *mut BSTR) -> HRESULT,
}

interface! {
    /// An exit module that knows its manage module.
    ICertExit2, ICertExit2Vtbl, IID_ICertExit2
}

/// Functions of [`ICertExit2`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICertExit2Vtbl {
    /// Functions of `ICertExit`.
    pub base: ICertExitVtbl,
    /// A new reference to the manage module.
    pub GetManageModule: unsafe extern "C" fn(
        this: *mut c_void,
        ppManageModule: *mut *mut ICertManageModule,
    ) -> HRESULT,
}

interface! {
    /// Settings and description of a module.
    ICertManageModule, ICertManageModuleVtbl, IID_ICertManageModule
}

/// Functions of [`ICertManageModule`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICertManageModuleVtbl {
    /// Functions of `IDispatch`.
    pub base: IDispatchVtbl,
    /// A property of the module by name.
    pub GetProperty: unsafe extern "C" fn(
        this: *mut c_void,
        strConfig: BSTR,
        strStorageLocation: BSTR,
        strPropertyName: BSTR,
        Flags: LONG,
        pvarProperty: *mut VARIANT,
    ) -> HRESULT,
    /// Sets a property of the module.
    pub SetProperty: unsafe extern "C" fn(
        this: *mut c_void,
        strConfig: BSTR,
        strStorageLocation: BSTR,
        strPropertyName: BSTR,
        Flags: LONG,
        pvarProperty: *const VARIANT,
    ) -> HRESULT,
    /// Takes the settings over, or checks them (`CMM_READONLY`).
    pub Configure: unsafe extern "C" fn(
        this: *mut c_void,
        strConfig: BSTR,
        strStorageLocation: BSTR,
        Flags: LONG,
    ) -> HRESULT,
}

interface! {
    /// What an exit module reads from.
    ICertServerExit, ICertServerExitVtbl, IID_ICertServerExit
}

/// Functions of [`ICertServerExit`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICertServerExitVtbl {
    /// Functions of `IDispatch`.
    pub base: IDispatchVtbl,
    /// What to read from: the context of a `Notify` that runs, or 0 for the CA itself.
    pub SetContext: unsafe extern "C" fn(this: *mut c_void, Context: LONG) -> HRESULT,
    /// A property of the request.
    pub GetRequestProperty: unsafe extern "C" fn(
        this: *mut c_void,
        strPropertyName: BSTR,
        PropertyType: LONG,
        pvarPropertyValue: *mut VARIANT,
    ) -> HRESULT,
    /// An attribute of the request.
    pub GetRequestAttribute: unsafe extern "C" fn(
        this: *mut c_void,
        strAttributeName: BSTR,
        pstrAttributeValue: *mut BSTR,
    ) -> HRESULT,
    /// A property of the certificate, or of the CA.
    pub GetCertificateProperty: unsafe extern "C" fn(
        this: *mut c_void,
        strPropertyName: BSTR,
        PropertyType: LONG,
        pvarPropertyValue: *mut VARIANT,
    ) -> HRESULT,
    /// An extension by its dotted identifier.
    pub GetCertificateExtension: unsafe extern "C" fn(
        this: *mut c_void,
        strExtensionName: BSTR,
        Type: LONG,
        pvarValue: *mut VARIANT,
    ) -> HRESULT,
    /// Flags of the extension that was read last.
    pub GetCertificateExtensionFlags:
        unsafe extern "C" fn(this: *mut c_void, pExtFlags: *mut LONG) -> HRESULT,
    /// Begins to enumerate the extensions.
    pub EnumerateExtensionsSetup: unsafe extern "C" fn(this: *mut c_void, Flags: LONG) -> HRESULT,
    /// The next extension's identifier; `S_FALSE` after the last.
    pub EnumerateExtensions:
        unsafe extern "C" fn(this: *mut c_void, pstrExtensionName: *mut BSTR) -> HRESULT,
    /// Ends that enumeration.
    pub EnumerateExtensionsClose: unsafe extern "C" fn(this: *mut c_void) -> HRESULT,
    /// Begins to enumerate the attributes.
    pub EnumerateAttributesSetup: unsafe extern "C" fn(this: *mut c_void, Flags: LONG) -> HRESULT,
    /// The next attribute's name; `S_FALSE` after the last.
    pub EnumerateAttributes:
        unsafe extern "C" fn(this: *mut c_void, pstrAttributeName: *mut BSTR) -> HRESULT,
    /// Ends that enumeration.
    pub EnumerateAttributesClose: unsafe extern "C" fn(this: *mut c_void) -> HRESULT,
}

interface! {
    /// A policy module.
    ICertPolicy, ICertPolicyVtbl, IID_ICertPolicy
}

/// Functions of [`ICertPolicy`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICertPolicyVtbl {
    /// Functions of `IDispatch`.
    pub base: IDispatchVtbl,
    /// Takes the CA's name.
    pub Initialize: unsafe extern "C" fn(this: *mut c_void, strConfig: BSTR) -> HRESULT,
    /// Decides on one request.
    pub VerifyRequest: unsafe extern "C" fn(
        this: *mut c_void,
        strConfig: BSTR,
        Context: LONG,
        bNewRequest: LONG,
        Flags: LONG,
        pDisposition: *mut LONG,
    ) -> HRESULT,
    /// What the module is, in one line.
    pub GetDescription:
        unsafe extern "C" fn(this: *mut c_void, pstrDescription: *mut BSTR) -> HRESULT,
    /// Last call.
    pub ShutDown: unsafe extern "C" fn(this: *mut c_void) -> HRESULT,
}

interface! {
    /// A policy module that knows its manage module.
    ICertPolicy2, ICertPolicy2Vtbl, IID_ICertPolicy2
}

/// Functions of [`ICertPolicy2`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICertPolicy2Vtbl {
    /// Functions of `ICertPolicy`.
    pub base: ICertPolicyVtbl,
    /// A new reference to the manage module.
    pub GetManageModule: unsafe extern "C" fn(
        this: *mut c_void,
        ppManageModule: *mut *mut ICertManageModule,
    ) -> HRESULT,
}

interface! {
    /// What a policy module reads from and writes to.
    ICertServerPolicy, ICertServerPolicyVtbl, IID_ICertServerPolicy
}

/// Functions of [`ICertServerPolicy`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ICertServerPolicyVtbl {
    /// Functions of `IDispatch`.
    pub base: IDispatchVtbl,
    /// What to read from and write to.
    pub SetContext: unsafe extern "C" fn(this: *mut c_void, Context: LONG) -> HRESULT,
    /// A property of the request.
    pub GetRequestProperty: unsafe extern "C" fn(
        this: *mut c_void,
        strPropertyName: BSTR,
        PropertyType: LONG,
        pvarPropertyValue: *mut VARIANT,
    ) -> HRESULT,
    /// An attribute of the request.
    pub GetRequestAttribute: unsafe extern "C" fn(
        this: *mut c_void,
        strAttributeName: BSTR,
        pstrAttributeValue: *mut BSTR,
    ) -> HRESULT,
    /// A property of the certificate, or of the CA.
    pub GetCertificateProperty: unsafe extern "C" fn(
        this: *mut c_void,
        strPropertyName: BSTR,
        PropertyType: LONG,
        pvarPropertyValue: *mut VARIANT,
    ) -> HRESULT,
    /// Sets a property of the certificate to be.
    pub SetCertificateProperty: unsafe extern "C" fn(
        this: *mut c_void,
        strPropertyName: BSTR,
        PropertyType: LONG,
        pvarPropertyValue: *const VARIANT,
    ) -> HRESULT,
    /// An extension by its dotted identifier.
    pub GetCertificateExtension: unsafe extern "C" fn(
        this: *mut c_void,
        strExtensionName: BSTR,
        Type: LONG,
        pvarValue: *mut VARIANT,
    ) -> HRESULT,
    /// Flags of the extension that was read last.
    pub GetCertificateExtensionFlags:
        unsafe extern "C" fn(this: *mut c_void, pExtFlags: *mut LONG) -> HRESULT,
    /// Sets an extension of the certificate to be.
    pub SetCertificateExtension: unsafe extern "C" fn(
        this: *mut c_void,
        strExtensionName: BSTR,
        Type: LONG,
        ExtFlags: LONG,
        pvarValue: *const VARIANT,
    ) -> HRESULT,
    /// Begins to enumerate the extensions.
    pub EnumerateExtensionsSetup: unsafe extern "C" fn(this: *mut c_void, Flags: LONG) -> HRESULT,
    /// The next extension's identifier; `S_FALSE` after the last.
    pub EnumerateExtensions:
        unsafe extern "C" fn(this: *mut c_void, pstrExtensionName: *mut BSTR) -> HRESULT,
    /// Ends that enumeration.
    pub EnumerateExtensionsClose: unsafe extern "C" fn(this: *mut c_void) -> HRESULT,
    /// Begins to enumerate the attributes.
    pub EnumerateAttributesSetup: unsafe extern "C" fn(this: *mut c_void, Flags: LONG) -> HRESULT,
    /// The next attribute's name; `S_FALSE` after the last.
    pub EnumerateAttributes:
        unsafe extern "C" fn(this: *mut c_void, pstrAttributeName: *mut BSTR) -> HRESULT,
    /// Ends that enumeration.
    pub EnumerateAttributesClose: unsafe extern "C" fn(this: *mut c_void) -> HRESULT,
}

/// Type of a library's export `DllGetClassObject`: the factory of a class.
pub type DllGetClassObjectFn =
    unsafe extern "C" fn(rclsid: *const GUID, riid: *const GUID, ppv: *mut *mut c_void) -> HRESULT;

/// Type of a library's export `DllCanUnloadNow`: `S_OK` if nobody uses it.
pub type DllCanUnloadNowFn = unsafe extern "C" fn() -> HRESULT;

/// Type of a library's export `ExeuntClass`, Exeunt's own: the classes that it has, by `ProgID`.
///
/// `S_OK` and both values while `index` (from 0 on) is that of a class, `S_FALSE` after the last. The
/// text is ended by a zero and stays the library's.
pub type ExeuntClassFn =
    unsafe extern "C" fn(index: ULONG, progid: *mut LPCOLESTR, clsid: *mut GUID) -> HRESULT;
