/* An exit module of the first generation in C: ICertExit and nothing more. Its manage module is a
 * class of its own, found by its name. It has no words for its failures. */
#include <windows.h>
#include <ole2.h>

#include <certexit.h>
#include <certif.h>
#include <certsrv.h>
#include <exeunt.h>

static const CLSID EXIT = {0x7c0b3a11, 0x0b5e, 0x4d4f, {0x9a, 0x11, 1, 2, 3, 4, 5, 8}};
static const CLSID MANAGE = {0x7c0b3a11, 0x0b5e, 0x4d4f, {0x9a, 0x11, 1, 2, 3, 4, 5, 9}};

/* Both objects and both factories are static, and live for ever. */
static ULONG keep(void *it)
{
    (void)it;
    return 1;
}
#define KEEP(Name)                                                                                 \
    static ULONG add_##Name(Name *it) { return keep(it); }                                         \
    static ULONG release_##Name(Name *it) { return keep(it); }
KEEP(ICertExit)
KEEP(ICertManageModule)
KEEP(IClassFactory)

#define NO_DISPATCH(Name)                                                                          \
    static HRESULT count_##Name(Name *it, UINT *count)                                             \
    {                                                                                              \
        (void)it;                                                                                  \
        *count = 0;                                                                                \
        return S_OK;                                                                               \
    }                                                                                              \
    static HRESULT info_##Name(Name *it, UINT place, LCID lcid, ITypeInfo **info)                  \
    {                                                                                              \
        (void)it, (void)place, (void)lcid, (void)info;                                             \
        return E_NOTIMPL;                                                                          \
    }                                                                                              \
    static HRESULT ids_##Name(Name *it, REFIID iid, LPOLESTR *names, UINT count, LCID lcid,        \
                              DISPID *ids)                                                         \
    {                                                                                              \
        (void)it, (void)iid, (void)names, (void)count, (void)lcid, (void)ids;                      \
        return E_NOTIMPL;                                                                          \
    }                                                                                              \
    static HRESULT invoke_##Name(Name *it, DISPID id, REFIID iid, LCID lcid, WORD flags,           \
                                 DISPPARAMS *params, VARIANT *result, EXCEPINFO *exception,        \
                                 UINT *bad)                                                        \
    {                                                                                              \
        (void)it, (void)id, (void)iid, (void)lcid, (void)flags, (void)params, (void)result;        \
        (void)exception, (void)bad;                                                                \
        return E_NOTIMPL;                                                                          \
    }
NO_DISPATCH(ICertExit)
NO_DISPATCH(ICertManageModule)

static HRESULT query_exit(ICertExit *it, REFIID iid, void **out)
{
    int known = IsEqualIID(iid, &IID_IUnknown) || IsEqualIID(iid, &IID_ICertExit);
    *out = known ? it : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

static HRESULT initialize(ICertExit *it, const BSTR config, LONG *mask)
{
    (void)it;
    *mask = SysStringLen(config) == 0 ? EXITEVENT_INVALID : EXITEVENT_CERTISSUED;
    return S_OK;
}

static HRESULT notify(ICertExit *it, LONG event, LONG context)
{
    ICertServerExit *from = NULL;
    BSTR name = SysAllocString(OLESTR("UPN"));
    VARIANT value;
    (void)it;
    VariantInit(&value);
    HRESULT hr = event == EXITEVENT_CERTISSUED ? S_OK : E_UNEXPECTED;
    if (SUCCEEDED(hr)) {
        hr = CoCreateInstance(&CLSID_CCertServerExit, NULL, CLSCTX_INPROC_SERVER,
                              &IID_ICertServerExit, (void **)&from);
    }
    if (SUCCEEDED(hr)) {
        hr = ICertServerExit_SetContext(from, context);
    }
    if (SUCCEEDED(hr)) {
        /* What it fails with, the module hands on; so it has the words of the server. */
        hr = ICertServerExit_GetCertificateProperty(from, name, PROPTYPE_STRING, &value);
    }
    VariantClear(&value);
    SysFreeString(name);
    if (from != NULL) {
        ICertServerExit_Release(from);
    }
    return hr;
}

static HRESULT get_description(ICertExit *it, BSTR *text)
{
    (void)it, (void)text;
    return E_NOTIMPL;
}

static const ICertExitVtbl EXIT_TABLE = {
    query_exit,     add_ICertExit,    release_ICertExit, count_ICertExit, info_ICertExit,
    ids_ICertExit,  invoke_ICertExit, initialize,        notify,          get_description,
};
static ICertExit exit_object = {&EXIT_TABLE};

static HRESULT query_manage(ICertManageModule *it, REFIID iid, void **out)
{
    int known = IsEqualIID(iid, &IID_IUnknown) || IsEqualIID(iid, &IID_ICertManageModule);
    *out = known ? it : NULL;
    return known ? S_OK : E_NOINTERFACE;
}

static HRESULT get_property(ICertManageModule *it, const BSTR config, BSTR storage, BSTR name,
                            LONG flags, VARIANT *value)
{
    (void)it, (void)config, (void)storage, (void)name, (void)flags;
    VariantInit(value);
    V_VT(value) = VT_I4;
    V_I4(value) = 17;
    return S_OK;
}

static HRESULT set_property(ICertManageModule *it, const BSTR config, BSTR storage, BSTR name,
                            LONG flags, const VARIANT *value)
{
    (void)it, (void)config, (void)storage, (void)name, (void)flags, (void)value;
    return E_NOTIMPL;
}

static HRESULT configure(ICertManageModule *it, const BSTR config, BSTR storage, LONG flags)
{
    (void)it, (void)config, (void)storage, (void)flags;
    return E_NOTIMPL;
}

static const ICertManageModuleVtbl MANAGE_TABLE = {
    query_manage,           add_ICertManageModule,    release_ICertManageModule,
    count_ICertManageModule, info_ICertManageModule,  ids_ICertManageModule,
    invoke_ICertManageModule, get_property,           set_property,
    configure,
};
static ICertManageModule manage_object = {&MANAGE_TABLE};

static HRESULT query_factory(IClassFactory *it, REFIID iid, void **out)
{
    *out = it;
    return IsEqualIID(iid, &IID_IUnknown) || IsEqualIID(iid, &IID_IClassFactory) ? S_OK
                                                                                 : E_NOINTERFACE;
}

static HRESULT lock(IClassFactory *it, BOOL lock)
{
    (void)it, (void)lock;
    return S_OK;
}

static HRESULT create_exit(IClassFactory *it, IUnknown *outer, REFIID iid, void **out)
{
    (void)it, (void)outer;
    return query_exit(&exit_object, iid, out);
}

static HRESULT create_manage(IClassFactory *it, IUnknown *outer, REFIID iid, void **out)
{
    (void)it, (void)outer;
    return query_manage(&manage_object, iid, out);
}

static const IClassFactoryVtbl EXIT_FACTORY = {query_factory, add_IClassFactory,
                                               release_IClassFactory, create_exit, lock};
static const IClassFactoryVtbl MANAGE_FACTORY = {query_factory, add_IClassFactory,
                                                 release_IClassFactory, create_manage, lock};
static IClassFactory exit_factory = {&EXIT_FACTORY};
static IClassFactory manage_factory = {&MANAGE_FACTORY};

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out)
{
    *out = NULL;
    if (IsEqualCLSID(clsid, &EXIT)) {
        return query_factory(&exit_factory, iid, out);
    }
    if (IsEqualCLSID(clsid, &MANAGE)) {
        return query_factory(&manage_factory, iid, out);
    }
    return CLASS_E_CLASSNOTAVAILABLE;
}

#ifndef NO_CLASSES
HRESULT ExeuntClass(ULONG index, const OLECHAR **progid, CLSID *clsid)
{
    *progid = index == 0 ? OLESTR("Test.First.Exit") : OLESTR("Test.First.ExitManage");
    *clsid = index == 0 ? EXIT : MANAGE;
    return index < 2 ? S_OK : S_FALSE;
}
#endif
