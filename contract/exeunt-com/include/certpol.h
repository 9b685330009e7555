/* ICertPolicy and ICertPolicy2: what a policy module implements. */
#ifndef EXEUNT_CERTPOL_H
#define EXEUNT_CERTPOL_H

#include "certmod.h"

EXEUNT_DECLARE(ICertPolicy);
EXEUNT_DECLARE(ICertPolicy2);
EXTERN_C const IID IID_ICertPolicy;
EXTERN_C const IID IID_ICertPolicy2;

#define EXEUNT_OWN_ICERTPOLICY(I)                                                                  \
    EXEUNT_SLOT(I, HRESULT, Initialize, const BSTR strConfig)                                      \
    EXEUNT_SLOT(I, HRESULT, VerifyRequest, const BSTR strConfig, LONG Context, LONG bNewRequest,   \
                LONG Flags, LONG *pDisposition)                                                    \
    EXEUNT_SLOT(I, HRESULT, GetDescription, BSTR *pstrDescription)                                 \
    EXEUNT_SLOT0(I, HRESULT, ShutDown)
EXEUNT_INTERFACE(ICertPolicy, IDispatch, EXEUNT_SLOTS_IDISPATCH, EXEUNT_OWN_ICERTPOLICY);
#define EXEUNT_SLOTS_ICERTPOLICY(I) EXEUNT_SLOTS_IDISPATCH(I) EXEUNT_OWN_ICERTPOLICY(I)

#define EXEUNT_OWN_ICERTPOLICY2(I)                                                                 \
    EXEUNT_SLOT(I, HRESULT, GetManageModule, ICertManageModule **ppManageModule)
EXEUNT_INTERFACE(ICertPolicy2, ICertPolicy, EXEUNT_SLOTS_ICERTPOLICY, EXEUNT_OWN_ICERTPOLICY2);

#ifndef EXEUNT_CLASSES
#define ICertPolicy_QueryInterface(This, riid, ppv)                                                \
    ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define ICertPolicy_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define ICertPolicy_Release(This) ((This)->lpVtbl->Release(This))
#define ICertPolicy_Initialize(This, config) ((This)->lpVtbl->Initialize(This, config))
#define ICertPolicy_VerifyRequest(This, config, context, is_new, flags, disposition)               \
    ((This)->lpVtbl->VerifyRequest(This, config, context, is_new, flags, disposition))
#define ICertPolicy_GetDescription(This, text) ((This)->lpVtbl->GetDescription(This, text))
#define ICertPolicy_ShutDown(This) ((This)->lpVtbl->ShutDown(This))
#define ICertPolicy2_QueryInterface(This, riid, ppv) ICertPolicy_QueryInterface(This, riid, ppv)
#define ICertPolicy2_AddRef(This) ICertPolicy_AddRef(This)
#define ICertPolicy2_Release(This) ICertPolicy_Release(This)
#define ICertPolicy2_Initialize(This, config) ICertPolicy_Initialize(This, config)
#define ICertPolicy2_VerifyRequest(This, config, context, is_new, flags, disposition)              \
    ICertPolicy_VerifyRequest(This, config, context, is_new, flags, disposition)
#define ICertPolicy2_GetDescription(This, text) ICertPolicy_GetDescription(This, text)
#define ICertPolicy2_ShutDown(This) ICertPolicy_ShutDown(This)
#define ICertPolicy2_GetManageModule(This, module) ((This)->lpVtbl->GetManageModule(This, module))
#endif

#endif
