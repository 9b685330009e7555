/* ICertServerExit and ICertServerPolicy: what a module reads from, and a policy module writes to. */
#ifndef EXEUNT_CERTIF_H
#define EXEUNT_CERTIF_H

#include "oaidl.h"

EXEUNT_DECLARE(ICertServerExit);
EXEUNT_DECLARE(ICertServerPolicy);
EXTERN_C const IID IID_ICertServerExit;
EXTERN_C const IID IID_ICertServerPolicy;
EXTERN_C const CLSID CLSID_CCertServerExit;
EXTERN_C const CLSID CLSID_CCertServerPolicy;

/* Flag of an enumeration. Flags are reserved: pass 0. */
#define ENUMEXT_OBJECTID 0x1

/* CoCreateInstance(CLSID_CCertServerExit, ...), then SetContext with what Notify was given. */
#define EXEUNT_ENUMERATIONS(I)                                                                     \
    EXEUNT_SLOT(I, HRESULT, EnumerateExtensionsSetup, LONG Flags)                                  \
    EXEUNT_SLOT(I, HRESULT, EnumerateExtensions, BSTR *pstrExtensionName)                          \
    EXEUNT_SLOT0(I, HRESULT, EnumerateExtensionsClose)                                             \
    EXEUNT_SLOT(I, HRESULT, EnumerateAttributesSetup, LONG Flags)                                  \
    EXEUNT_SLOT(I, HRESULT, EnumerateAttributes, BSTR *pstrAttributeName)                          \
    EXEUNT_SLOT0(I, HRESULT, EnumerateAttributesClose)

#define EXEUNT_OWN_ICERTSERVEREXIT(I)                                                              \
    EXEUNT_SLOT(I, HRESULT, SetContext, LONG Context)                                              \
    EXEUNT_SLOT(I, HRESULT, GetRequestProperty, const BSTR strPropertyName, LONG PropertyType,     \
                VARIANT *pvarPropertyValue)                                                        \
    EXEUNT_SLOT(I, HRESULT, GetRequestAttribute, const BSTR strAttributeName,                      \
                BSTR *pstrAttributeValue)                                                          \
    EXEUNT_SLOT(I, HRESULT, GetCertificateProperty, const BSTR strPropertyName,                    \
                LONG PropertyType, VARIANT *pvarPropertyValue)                                     \
    EXEUNT_SLOT(I, HRESULT, GetCertificateExtension, const BSTR strExtensionName, LONG Type,       \
                VARIANT *pvarValue)                                                                \
    EXEUNT_SLOT(I, HRESULT, GetCertificateExtensionFlags, LONG *pExtFlags)                         \
    EXEUNT_ENUMERATIONS(I)
EXEUNT_INTERFACE(ICertServerExit, IDispatch, EXEUNT_SLOTS_IDISPATCH, EXEUNT_OWN_ICERTSERVEREXIT);

#define EXEUNT_OWN_ICERTSERVERPOLICY(I)                                                            \
    EXEUNT_SLOT(I, HRESULT, SetContext, LONG Context)                                              \
    EXEUNT_SLOT(I, HRESULT, GetRequestProperty, const BSTR strPropertyName, LONG PropertyType,     \
                VARIANT *pvarPropertyValue)                                                        \
    EXEUNT_SLOT(I, HRESULT, GetRequestAttribute, const BSTR strAttributeName,                      \
                BSTR *pstrAttributeValue)                                                          \
    EXEUNT_SLOT(I, HRESULT, GetCertificateProperty, const BSTR strPropertyName,                    \
                LONG PropertyType, VARIANT *pvarPropertyValue)                                     \
    EXEUNT_SLOT(I, HRESULT, SetCertificateProperty, const BSTR strPropertyName,                    \
                LONG PropertyType, const VARIANT *pvarPropertyValue)                               \
    EXEUNT_SLOT(I, HRESULT, GetCertificateExtension, const BSTR strExtensionName, LONG Type,       \
                VARIANT *pvarValue)                                                                \
    EXEUNT_SLOT(I, HRESULT, GetCertificateExtensionFlags, LONG *pExtFlags)                         \
    EXEUNT_SLOT(I, HRESULT, SetCertificateExtension, const BSTR strExtensionName, LONG Type,       \
                LONG ExtFlags, const VARIANT *pvarValue)                                           \
    EXEUNT_ENUMERATIONS(I)
EXEUNT_INTERFACE(ICertServerPolicy, IDispatch, EXEUNT_SLOTS_IDISPATCH,
                 EXEUNT_OWN_ICERTSERVERPOLICY);

#ifndef EXEUNT_CLASSES
#define ICertServerExit_QueryInterface(This, riid, ppv)                                            \
    ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define ICertServerExit_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define ICertServerExit_Release(This) ((This)->lpVtbl->Release(This))
#define ICertServerExit_SetContext(This, context) ((This)->lpVtbl->SetContext(This, context))
#define ICertServerExit_GetRequestProperty(This, name, type, value)                                \
    ((This)->lpVtbl->GetRequestProperty(This, name, type, value))
#define ICertServerExit_GetRequestAttribute(This, name, value)                                     \
    ((This)->lpVtbl->GetRequestAttribute(This, name, value))
#define ICertServerExit_GetCertificateProperty(This, name, type, value)                            \
    ((This)->lpVtbl->GetCertificateProperty(This, name, type, value))
#define ICertServerExit_GetCertificateExtension(This, name, type, value)                           \
    ((This)->lpVtbl->GetCertificateExtension(This, name, type, value))
#define ICertServerExit_GetCertificateExtensionFlags(This, flags)                                  \
    ((This)->lpVtbl->GetCertificateExtensionFlags(This, flags))
#define ICertServerExit_EnumerateExtensionsSetup(This, flags)                                      \
    ((This)->lpVtbl->EnumerateExtensionsSetup(This, flags))
#define ICertServerExit_EnumerateExtensions(This, name)                                            \
    ((This)->lpVtbl->EnumerateExtensions(This, name))
#define ICertServerExit_EnumerateExtensionsClose(This)                                             \
    ((This)->lpVtbl->EnumerateExtensionsClose(This))
#define ICertServerExit_EnumerateAttributesSetup(This, flags)                                      \
    ((This)->lpVtbl->EnumerateAttributesSetup(This, flags))
#define ICertServerExit_EnumerateAttributes(This, name)                                            \
    ((This)->lpVtbl->EnumerateAttributes(This, name))
#define ICertServerExit_EnumerateAttributesClose(This)                                             \
    ((This)->lpVtbl->EnumerateAttributesClose(This))

#define ICertServerPolicy_QueryInterface(This, riid, ppv)                                          \
    ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define ICertServerPolicy_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define ICertServerPolicy_Release(This) ((This)->lpVtbl->Release(This))
#define ICertServerPolicy_SetContext(This, context) ((This)->lpVtbl->SetContext(This, context))
#define ICertServerPolicy_GetRequestProperty(This, name, type, value)                              \
    ((This)->lpVtbl->GetRequestProperty(This, name, type, value))
#define ICertServerPolicy_GetRequestAttribute(This, name, value)                                   \
    ((This)->lpVtbl->GetRequestAttribute(This, name, value))
#define ICertServerPolicy_GetCertificateProperty(This, name, type, value)                          \
    ((This)->lpVtbl->GetCertificateProperty(This, name, type, value))
#define ICertServerPolicy_SetCertificateProperty(This, name, type, value)                          \
    ((This)->lpVtbl->SetCertificateProperty(This, name, type, value))
#define ICertServerPolicy_GetCertificateExtension(This, name, type, value)                         \
    ((This)->lpVtbl->GetCertificateExtension(This, name, type, value))
#define ICertServerPolicy_GetCertificateExtensionFlags(This, flags)                                \
    ((This)->lpVtbl->GetCertificateExtensionFlags(This, flags))
#define ICertServerPolicy_SetCertificateExtension(This, name, type, flags, value)                  \
    ((This)->lpVtbl->SetCertificateExtension(This, name, type, flags, value))
#define ICertServerPolicy_EnumerateExtensionsSetup(This, flags)                                    \
    ((This)->lpVtbl->EnumerateExtensionsSetup(This, flags))
#define ICertServerPolicy_EnumerateExtensions(This, name)                                          \
    ((This)->lpVtbl->EnumerateExtensions(This, name))
#define ICertServerPolicy_EnumerateExtensionsClose(This)                                           \
    ((This)->lpVtbl->EnumerateExtensionsClose(This))
#define ICertServerPolicy_EnumerateAttributesSetup(This, flags)                                    \
    ((This)->lpVtbl->EnumerateAttributesSetup(This, flags))
#define ICertServerPolicy_EnumerateAttributes(This, name)                                          \
    ((This)->lpVtbl->EnumerateAttributes(This, name))
#define ICertServerPolicy_EnumerateAttributesClose(This)                                           \
    ((This)->lpVtbl->EnumerateAttributesClose(This))
#endif

#endif
