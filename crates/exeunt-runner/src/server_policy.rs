//! The class `CCertServerPolicy`: what a policy module creates to read from and to write to.
//!
//! What may be set, and what may not, is judged by the contract's `ServerPolicy`, which the context
//! holds while a `VerifyRequest` runs. A read after a set sees the new value, in every object.

use std::{ffi::c_void, ptr, sync::Arc};

use exeunt_com::{
    Bstr, ComPtr, Variant,
    abi::{
        BSTR, CLSID_CCertServerPolicy, DISPID, DISPID_ICertServerPolicy_EnumerateAttributes,
        DISPID_ICertServerPolicy_EnumerateAttributesClose,
        DISPID_ICertServerPolicy_EnumerateAttributesSetup,
        DISPID_ICertServerPolicy_EnumerateExtensions,
        DISPID_ICertServerPolicy_EnumerateExtensionsClose,
        DISPID_ICertServerPolicy_EnumerateExtensionsSetup,
        DISPID_ICertServerPolicy_GetCertificateExtension,
        DISPID_ICertServerPolicy_GetCertificateExtensionFlags,
        DISPID_ICertServerPolicy_GetCertificateProperty,
        DISPID_ICertServerPolicy_GetRequestAttribute, DISPID_ICertServerPolicy_GetRequestProperty,
        DISPID_ICertServerPolicy_SetCertificateExtension,
        DISPID_ICertServerPolicy_SetCertificateProperty, DISPID_ICertServerPolicy_SetContext,
        E_POINTER, GUID, HRESULT, ICertServerPolicy, ICertServerPolicyVtbl, IID_ICertServerPolicy,
        IID_IDispatch, IID_ISupportErrorInfo, IID_IUnknown, ISupportErrorInfoVtbl, IUnknown, LONG,
        VARIANT,
    },
    class,
    dispatch::{Arguments, Failure},
    object::{Object, Part},
};
use exeunt_module::{policy, view::ViewError};

use crate::{
    context::Shared,
    server::{self, Server, ServerError, Serves, code, object, prop_type},
    value::{text_argument, value_to_set},
};

/// `ProgID` of the class, which error information names as its source.
const SOURCE: &str = "CertificateAuthority.ServerPolicy";

/// Puts the class into the process's table of classes, for as long as the process lives.
pub(crate) fn register(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let factory =
        class::class_factory(move || ServerPolicy::create(Arc::clone(&shared)).query::<IUnknown>());
    let factory = factory.query().expect("BUG: every object has IUnknown");
    class::register_class(CLSID_CCertServerPolicy, factory);
    class::register_progid(SOURCE, CLSID_CCertServerPolicy);
}

/// What an object of the class holds.
struct ServerPolicy(Server);

impl ServerPolicy {
    /// A new object with one reference.
    fn create(shared: Arc<Shared>) -> ComPtr<ICertServerPolicy> {
        let object = Self(Server::new(shared, SOURCE, IID_ICertServerPolicy));
        // SAFETY: the tables are those of the identifiers below, and begin with the object's own
        // functions.
        unsafe { Object::create(object) }
    }

    /// Changes the request of the context.
    fn set(
        &self,
        change: impl FnOnce(&mut policy::ServerPolicy) -> Result<(), ServerError>,
    ) -> Result<(), HRESULT> {
        self.0.call(|state, shared| {
            // Under context 0 there is nothing to shape.
            if state.alive(shared)?.is_none() {
                return Err(ViewError::Order { needed: "SetContext" }.into());
            }
            shared
                .change(state.handle, change)
                .unwrap_or(Err(ViewError::Argument { what: shared.ended() }.into()))
        })
    }

    fn set_certificate_property(
        &self,
        name: &Bstr,
        kind: LONG,
        value: &Variant,
    ) -> Result<(), HRESULT> {
        self.set(|policy| {
            let (name, kind) = (text_argument(name)?, prop_type(kind)?);
            let value = value_to_set(value, kind)?;
            Ok(policy.set_certificate_property(&name, kind, value)?)
        })
    }

    fn set_certificate_extension(
        &self,
        oid: &Bstr,
        kind: LONG,
        flags: LONG,
        value: &Variant,
    ) -> Result<(), HRESULT> {
        self.set(|policy| {
            let (oid, kind) = (text_argument(oid)?, prop_type(kind)?);
            let value = value_to_set(value, kind)?;
            let flags = flags.cast_unsigned();
            Ok(policy.set_certificate_extension(&oid, kind, flags, value.as_ref())?)
        })
    }
}

impl Serves for ServerPolicy {
    const MEMBERS: &'static [(&'static str, DISPID)] = &[
        ("SetContext", DISPID_ICertServerPolicy_SetContext),
        ("GetRequestProperty", DISPID_ICertServerPolicy_GetRequestProperty),
        ("GetRequestAttribute", DISPID_ICertServerPolicy_GetRequestAttribute),
        ("GetCertificateProperty", DISPID_ICertServerPolicy_GetCertificateProperty),
        ("SetCertificateProperty", DISPID_ICertServerPolicy_SetCertificateProperty),
        ("GetCertificateExtension", DISPID_ICertServerPolicy_GetCertificateExtension),
        ("GetCertificateExtensionFlags", DISPID_ICertServerPolicy_GetCertificateExtensionFlags),
        ("SetCertificateExtension", DISPID_ICertServerPolicy_SetCertificateExtension),
        ("EnumerateExtensionsSetup", DISPID_ICertServerPolicy_EnumerateExtensionsSetup),
        ("EnumerateExtensions", DISPID_ICertServerPolicy_EnumerateExtensions),
        ("EnumerateExtensionsClose", DISPID_ICertServerPolicy_EnumerateExtensionsClose),
        ("EnumerateAttributesSetup", DISPID_ICertServerPolicy_EnumerateAttributesSetup),
        ("EnumerateAttributes", DISPID_ICertServerPolicy_EnumerateAttributes),
        ("EnumerateAttributesClose", DISPID_ICertServerPolicy_EnumerateAttributesClose),
    ];
    const INTERFACE: GUID = IID_ICertServerPolicy;

    fn server(&self) -> &Server {
        &self.0
    }

    fn late(&self, member: &str, arguments: &Arguments<'_>) -> Result<Variant, Failure> {
        let set = match member {
            "SetCertificateProperty" => {
                let (name, kind) = (arguments.text(0, 3)?, arguments.long(1, 3)?);
                self.set_certificate_property(&name, kind, arguments.raw(2, 3)?)
            }
            "SetCertificateExtension" => {
                let (oid, kind) = (arguments.text(0, 4)?, arguments.long(1, 4)?);
                let flags = arguments.long(2, 4)?;
                self.set_certificate_extension(&oid, kind, flags, arguments.raw(3, 4)?)
            }
            _ => return server::read(&self.0, member, arguments),
        };
        set.map(|()| Variant::empty()).map_err(Failure::Member)
    }
}

impl exeunt_com::object::State for ServerPolicy {
    const PARTS: [Part; 2] = [
        Part {
            ids: &[IID_IUnknown, IID_IDispatch, IID_ICertServerPolicy],
            table: ptr::from_ref(FACE).cast(),
        },
        Part { ids: &[IID_ISupportErrorInfo], table: ptr::from_ref(SUPPORT).cast() },
    ];
}

const FACE: &ICertServerPolicyVtbl = &ICertServerPolicyVtbl {
    base: server::late_binding::<ServerPolicy>(),
    SetContext: server::set_context::<ServerPolicy>,
    GetRequestProperty: server::get_request_property::<ServerPolicy>,
    GetRequestAttribute: server::get_request_attribute::<ServerPolicy>,
    GetCertificateProperty: server::get_certificate_property::<ServerPolicy>,
    SetCertificateProperty: set_certificate_property,
    GetCertificateExtension: server::get_certificate_extension::<ServerPolicy>,
    GetCertificateExtensionFlags: server::get_certificate_extension_flags::<ServerPolicy>,
    SetCertificateExtension: set_certificate_extension,
    EnumerateExtensionsSetup: server::enumerate_extensions_setup::<ServerPolicy>,
    EnumerateExtensions: server::enumerate_extensions::<ServerPolicy>,
    EnumerateExtensionsClose: server::enumerate_extensions_close::<ServerPolicy>,
    EnumerateAttributesSetup: server::enumerate_attributes_setup::<ServerPolicy>,
    EnumerateAttributes: server::enumerate_attributes::<ServerPolicy>,
    EnumerateAttributesClose: server::enumerate_attributes_close::<ServerPolicy>,
};

const SUPPORT: &ISupportErrorInfoVtbl = &server::support::<ServerPolicy>();

unsafe extern "C" fn set_certificate_property(
    this: *mut c_void,
    name: BSTR,
    kind: LONG,
    value: *const VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours, and a text and a value that stay its own.
    unsafe {
        let Some(value) = Variant::lend(value) else { return E_POINTER };
        let object = object::<ServerPolicy>(this);
        code(object.set_certificate_property(&Bstr::lend(name), kind, value))
    }
}

unsafe extern "C" fn set_certificate_extension(
    this: *mut c_void,
    oid: BSTR,
    kind: LONG,
    flags: LONG,
    value: *const VARIANT,
) -> HRESULT {
    // SAFETY: the caller gives a live object of ours, and a text and a value that stay its own.
    unsafe {
        let Some(value) = Variant::lend(value) else { return E_POINTER };
        let object = object::<ServerPolicy>(this);
        code(object.set_certificate_extension(&Bstr::lend(oid), kind, flags, value))
    }
}
