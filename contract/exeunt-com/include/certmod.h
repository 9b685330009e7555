/* ICertManageModule: settings and description of a module. */
#ifndef EXEUNT_CERTMOD_H
#define EXEUNT_CERTMOD_H

#include "oaidl.h"

EXEUNT_DECLARE(ICertManageModule);
EXTERN_C const IID IID_ICertManageModule;

/* Flags of Configure. */
#define CMM_REFRESHONLY 0x1
#define CMM_READONLY 0x2

/* Names of properties. */
#define wszCMM_PROP_NAME OLESTR("Name")
#define wszCMM_PROP_DESCRIPTION OLESTR("Description")
#define wszCMM_PROP_COPYRIGHT OLESTR("Copyright")
#define wszCMM_PROP_FILEVER OLESTR("File Version")
#define wszCMM_PROP_PRODUCTVER OLESTR("Product Version")
#define wszCMM_PROP_DISPLAY_HWND OLESTR("HWND")
#define wszCMM_PROP_ISMULTITHREADED OLESTR("IsMultiThreaded")

#define EXEUNT_OWN_ICERTMANAGEMODULE(I)                                                            \
    EXEUNT_SLOT(I, HRESULT, GetProperty, const BSTR strConfig, BSTR strStorageLocation,            \
                BSTR strPropertyName, LONG Flags, VARIANT *pvarProperty)                           \
    EXEUNT_SLOT(I, HRESULT, SetProperty, const BSTR strConfig, BSTR strStorageLocation,            \
                BSTR strPropertyName, LONG Flags, const VARIANT *pvarProperty)                     \
    EXEUNT_SLOT(I, HRESULT, Configure, const BSTR strConfig, BSTR strStorageLocation, LONG Flags)
EXEUNT_INTERFACE(ICertManageModule, IDispatch, EXEUNT_SLOTS_IDISPATCH,
                 EXEUNT_OWN_ICERTMANAGEMODULE);

#ifndef EXEUNT_CLASSES
#define ICertManageModule_QueryInterface(This, riid, ppv)                                          \
    ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define ICertManageModule_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define ICertManageModule_Release(This) ((This)->lpVtbl->Release(This))
#define ICertManageModule_GetProperty(This, config, storage, name, flags, value)                   \
    ((This)->lpVtbl->GetProperty(This, config, storage, name, flags, value))
#define ICertManageModule_SetProperty(This, config, storage, name, flags, value)                   \
    ((This)->lpVtbl->SetProperty(This, config, storage, name, flags, value))
#define ICertManageModule_Configure(This, config, storage, flags)                                  \
    ((This)->lpVtbl->Configure(This, config, storage, flags))
#endif

#endif
