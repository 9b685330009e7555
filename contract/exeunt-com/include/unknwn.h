/* IUnknown and IClassFactory. */
#ifndef EXEUNT_UNKNWN_H
#define EXEUNT_UNKNWN_H

#include "exeunt/com.h"

EXEUNT_DECLARE(IUnknown);
EXEUNT_DECLARE(IClassFactory);
typedef IUnknown *LPUNKNOWN;
typedef IClassFactory *LPCLASSFACTORY;

EXTERN_C const IID IID_IUnknown;
EXTERN_C const IID IID_IClassFactory;

#define EXEUNT_SLOTS_IUNKNOWN(I)                                                                   \
    EXEUNT_SLOT(I, HRESULT, QueryInterface, REFIID riid, void **ppvObject)                         \
    EXEUNT_SLOT0(I, ULONG, AddRef)                                                                 \
    EXEUNT_SLOT0(I, ULONG, Release)
EXEUNT_ROOT_INTERFACE(IUnknown, EXEUNT_SLOTS_IUNKNOWN);

#define EXEUNT_OWN_ICLASSFACTORY(I)                                                                \
    EXEUNT_SLOT(I, HRESULT, CreateInstance, IUnknown *pUnkOuter, REFIID riid, void **ppvObject)    \
    EXEUNT_SLOT(I, HRESULT, LockServer, BOOL fLock)
EXEUNT_INTERFACE(IClassFactory, IUnknown, EXEUNT_SLOTS_IUNKNOWN, EXEUNT_OWN_ICLASSFACTORY);

#ifndef EXEUNT_CLASSES
#define IUnknown_QueryInterface(This, riid, ppv) ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define IUnknown_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IUnknown_Release(This) ((This)->lpVtbl->Release(This))
#define IClassFactory_QueryInterface(This, riid, ppv)                                              \
    ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define IClassFactory_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IClassFactory_Release(This) ((This)->lpVtbl->Release(This))
#define IClassFactory_CreateInstance(This, outer, riid, ppv)                                       \
    ((This)->lpVtbl->CreateInstance(This, outer, riid, ppv))
#define IClassFactory_LockServer(This, lock) ((This)->lpVtbl->LockServer(This, lock))
#endif

#endif
