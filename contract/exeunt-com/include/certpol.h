/* ICertPolicy and ICertPolicy2. Declared for later: nothing loads a policy module yet. */
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

#endif
