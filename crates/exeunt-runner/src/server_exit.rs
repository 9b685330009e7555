//! The class `CCertServerExit`: what an exit module creates to read from.
//!
//! Nothing here changes anything, and there is no member by which it could.

use std::{ptr, sync::Arc};

use exeunt_com::{
    ComPtr,
    abi::{
        CLSID_CCertServerExit, DISPID, DISPID_ICertServerExit_EnumerateAttributes,
        DISPID_ICertServerExit_EnumerateAttributesClose,
        DISPID_ICertServerExit_EnumerateAttributesSetup,
        DISPID_ICertServerExit_EnumerateExtensions,
        DISPID_ICertServerExit_EnumerateExtensionsClose,
        DISPID_ICertServerExit_EnumerateExtensionsSetup,
        DISPID_ICertServerExit_GetCertificateExtension,
        DISPID_ICertServerExit_GetCertificateExtensionFlags,
        DISPID_ICertServerExit_GetCertificateProperty, DISPID_ICertServerExit_GetRequestAttribute,
        DISPID_ICertServerExit_GetRequestProperty, DISPID_ICertServerExit_SetContext, GUID,
        ICertServerExit, ICertServerExitVtbl, IID_ICertServerExit, IID_IDispatch,
        IID_ISupportErrorInfo, IID_IUnknown, ISupportErrorInfoVtbl, IUnknown,
    },
    class,
    object::{Object, Part},
};

use crate::{
    context::Shared,
    server::{self, Server, Serves},
};

/// `ProgID` of the class, which error information names as its source.
const SOURCE: &str = "CertificateAuthority.ServerExit";

/// Puts the class into the process's table of classes, for as long as the process lives.
pub(crate) fn register(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let factory =
        class::class_factory(move || ServerExit::create(Arc::clone(&shared)).query::<IUnknown>());
    let factory = factory.query().expect("BUG: every object has IUnknown");
    class::register_class(CLSID_CCertServerExit, factory);
    class::register_progid(SOURCE, CLSID_CCertServerExit);
}

/// What an object of the class holds.
struct ServerExit(Server);

impl ServerExit {
    /// A new object with one reference.
    fn create(shared: Arc<Shared>) -> ComPtr<ICertServerExit> {
        let object = Self(Server::new(shared, SOURCE, IID_ICertServerExit));
        // SAFETY: the tables are those of the identifiers below, and begin with the object's own
        // functions.
        unsafe { Object::create(object) }
    }
}

impl Serves for ServerExit {
    const MEMBERS: &'static [(&'static str, DISPID)] = &[
        ("SetContext", DISPID_ICertServerExit_SetContext),
        ("GetRequestProperty", DISPID_ICertServerExit_GetRequestProperty),
        ("GetRequestAttribute", DISPID_ICertServerExit_GetRequestAttribute),
        ("GetCertificateProperty", DISPID_ICertServerExit_GetCertificateProperty),
        ("GetCertificateExtension", DISPID_ICertServerExit_GetCertificateExtension),
        ("GetCertificateExtensionFlags", DISPID_ICertServerExit_GetCertificateExtensionFlags),
        ("EnumerateExtensionsSetup", DISPID_ICertServerExit_EnumerateExtensionsSetup),
        ("EnumerateExtensions", DISPID_ICertServerExit_EnumerateExtensions),
        ("EnumerateExtensionsClose", DISPID_ICertServerExit_EnumerateExtensionsClose),
        ("EnumerateAttributesSetup", DISPID_ICertServerExit_EnumerateAttributesSetup),
        ("EnumerateAttributes", DISPID_ICertServerExit_EnumerateAttributes),
        ("EnumerateAttributesClose", DISPID_ICertServerExit_EnumerateAttributesClose),
    ];
    const INTERFACE: GUID = IID_ICertServerExit;

    fn server(&self) -> &Server {
        &self.0
    }
}

impl exeunt_com::object::State for ServerExit {
    const PARTS: [Part; 2] = [
        Part {
            ids: &[IID_IUnknown, IID_IDispatch, IID_ICertServerExit],
            table: ptr::from_ref(FACE).cast(),
        },
        Part { ids: &[IID_ISupportErrorInfo], table: ptr::from_ref(SUPPORT).cast() },
    ];
}

const FACE: &ICertServerExitVtbl = &ICertServerExitVtbl {
    base: server::late_binding::<ServerExit>(),
    SetContext: server::set_context::<ServerExit>,
    GetRequestProperty: server::get_request_property::<ServerExit>,
    GetRequestAttribute: server::get_request_attribute::<ServerExit>,
    GetCertificateProperty: server::get_certificate_property::<ServerExit>,
    GetCertificateExtension: server::get_certificate_extension::<ServerExit>,
    GetCertificateExtensionFlags: server::get_certificate_extension_flags::<ServerExit>,
    EnumerateExtensionsSetup: server::enumerate_extensions_setup::<ServerExit>,
    EnumerateExtensions: server::enumerate_extensions::<ServerExit>,
    EnumerateExtensionsClose: server::enumerate_extensions_close::<ServerExit>,
    EnumerateAttributesSetup: server::enumerate_attributes_setup::<ServerExit>,
    EnumerateAttributes: server::enumerate_attributes::<ServerExit>,
    EnumerateAttributesClose: server::enumerate_attributes_close::<ServerExit>,
};

const SUPPORT: &ISupportErrorInfoVtbl = &server::support::<ServerExit>();
