/* ICertExit and ICertExit2: what an exit module implements. */
#ifndef EXEUNT_CERTEXIT_H
#define EXEUNT_CERTEXIT_H

#include "certmod.h"

EXEUNT_DECLARE(ICertExit);
EXEUNT_DECLARE(ICertExit2);
EXTERN_C const IID IID_ICertExit;
EXTERN_C const IID IID_ICertExit2;

/* Events: bits of the mask that Initialize gives; Notify brings one. More are in <exeunt.h>. */
#define EXITEVENT_INVALID 0x0
#define EXITEVENT_CERTISSUED 0x1
#define EXITEVENT_CERTPENDING 0x2
#define EXITEVENT_CERTDENIED 0x4
#define EXITEVENT_CERTREVOKED 0x8
#define EXITEVENT_CERTRETRIEVEPENDING 0x10
#define EXITEVENT_CRLISSUED 0x20
#define EXITEVENT_SHUTDOWN 0x40
#define EXITEVENT_STARTUP 0x80
#define EXITEVENT_CERTIMPORTED 0x200

#define EXEUNT_OWN_ICERTEXIT(I)                                                                    \
    EXEUNT_SLOT(I, HRESULT, Initialize, const BSTR strConfig, LONG *pEventMask)                    \
    EXEUNT_SLOT(I, HRESULT, Notify, LONG ExitEvent, LONG Context)                                  \
    EXEUNT_SLOT(I, HRESULT, GetDescription, BSTR *pstrDescription)
EXEUNT_INTERFACE(ICertExit, IDispatch, EXEUNT_SLOTS_IDISPATCH, EXEUNT_OWN_ICERTEXIT);
#define EXEUNT_SLOTS_ICERTEXIT(I) EXEUNT_SLOTS_IDISPATCH(I) EXEUNT_OWN_ICERTEXIT(I)

#define EXEUNT_OWN_ICERTEXIT2(I)                                                                   \
    EXEUNT_SLOT(I, HRESULT, GetManageModule, ICertManageModule **ppManageModule)
EXEUNT_INTERFACE(ICertExit2, ICertExit, EXEUNT_SLOTS_ICERTEXIT, EXEUNT_OWN_ICERTEXIT2);

#ifndef EXEUNT_CLASSES
#define ICertExit_QueryInterface(This, riid, ppv) ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define ICertExit_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define ICertExit_Release(This) ((This)->lpVtbl->Release(This))
#define ICertExit_Initialize(This, config, mask) ((This)->lpVtbl->Initialize(This, config, mask))
#define ICertExit_Notify(This, event, context) ((This)->lpVtbl->Notify(This, event, context))
#define ICertExit_GetDescription(This, text) ((This)->lpVtbl->GetDescription(This, text))
#define ICertExit2_QueryInterface(This, riid, ppv) ICertExit_QueryInterface(This, riid, ppv)
#define ICertExit2_AddRef(This) ICertExit_AddRef(This)
#define ICertExit2_Release(This) ICertExit_Release(This)
#define ICertExit2_Initialize(This, config, mask) ICertExit_Initialize(This, config, mask)
#define ICertExit2_Notify(This, event, context) ICertExit_Notify(This, event, context)
#define ICertExit2_GetDescription(This, text) ICertExit_GetDescription(This, text)
#define ICertExit2_GetManageModule(This, module) ((This)->lpVtbl->GetManageModule(This, module))
#endif

#endif
