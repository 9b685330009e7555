// A host in C++ that loads a module written in Rust: its own CCertServerExit, both ways of calling,
// errors, a panic, and the manage module. The module is the example `census`.
#include <dlfcn.h>

#include <certsrv.h>
#include <exeunt.h>
#include <ole2.h>

#include <string>

#include "expect.h"

static LONG servers = 0;

static std::u16string text_of(BSTR text)
{
    return std::u16string(text == nullptr ? u"" : text, SysStringLen(text));
}

// Answers for one certificate in context 5, and for two others in 6 and 7.
class Server final : public ICertServerExit {
    LONG count = 1;
    LONG context = 0;
    UINT next = 0;

public:
    Server() { servers++; }
    virtual ~Server() { servers--; }
    STDMETHODIMP QueryInterface(REFIID riid, void **object) override
    {
        if (riid == IID_IUnknown || riid == IID_IDispatch || riid == IID_ICertServerExit) {
            *object = static_cast<ICertServerExit *>(this);
            AddRef();
            return S_OK;
        }
        *object = nullptr;
        return E_NOINTERFACE;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return ++count; }
    STDMETHODIMP_(ULONG) Release() override
    {
        ULONG left = --count;
        if (left == 0) {
            delete this;
        }
        return left;
    }
    STDMETHODIMP GetTypeInfoCount(UINT *) override { return E_NOTIMPL; }
    STDMETHODIMP GetTypeInfo(UINT, LCID, ITypeInfo **) override { return E_NOTIMPL; }
    STDMETHODIMP GetIDsOfNames(REFIID, LPOLESTR *, UINT, LCID, DISPID *) override
    {
        return E_NOTIMPL;
    }
    STDMETHODIMP Invoke(DISPID, REFIID, LCID, WORD, DISPPARAMS *, VARIANT *, EXCEPINFO *,
                        UINT *) override
    {
        return E_NOTIMPL;
    }
    STDMETHODIMP SetContext(LONG it) override
    {
        context = it;
        return it <= 7 ? S_OK : E_INVALIDARG;
    }
    STDMETHODIMP GetRequestProperty(const BSTR, LONG, VARIANT *) override { return E_NOTIMPL; }
    STDMETHODIMP GetRequestAttribute(const BSTR, BSTR *) override { return E_NOTIMPL; }
    STDMETHODIMP GetCertificateProperty(const BSTR name, LONG type, VARIANT *value) override
    {
        EXPECT(text_of(name) == u"SerialNumber" && type == PROPTYPE_STRING);
        if (context == 6) {
            return CERTSRV_E_PROPERTY_EMPTY;
        }
        V_VT(value) = VT_BSTR;
        V_BSTR(value) = SysAllocString(context == 7 ? u"dead" : u"4a1f");
        return S_OK;
    }
    STDMETHODIMP GetCertificateExtension(const BSTR, LONG type, VARIANT *value) override
    {
        EXPECT(type == PROPTYPE_BINARY);
        V_VT(value) = VT_BSTR;
        V_BSTR(value) = SysAllocStringByteLen("\x30\x01\x02", 3);
        return S_OK;
    }
    STDMETHODIMP GetCertificateExtensionFlags(LONG *flags) override
    {
        *flags = EXTENSION_CRITICAL_FLAG | EXTENSION_ORIGIN_POLICY;
        return S_OK;
    }
    STDMETHODIMP EnumerateExtensionsSetup(LONG flags) override
    {
        EXPECT(flags == 0);
        next = 0;
        return S_OK;
    }
    STDMETHODIMP EnumerateExtensions(BSTR *name) override
    {
        *name = next < 2 ? SysAllocString(next == 0 ? u"2.5.29.17" : u"2.5.29.15") : nullptr;
        return next++ < 2 ? S_OK : S_FALSE;
    }
    STDMETHODIMP EnumerateExtensionsClose() override { return S_OK; }
    STDMETHODIMP EnumerateAttributesSetup(LONG) override { return E_NOTIMPL; }
    STDMETHODIMP EnumerateAttributes(BSTR *) override { return E_NOTIMPL; }
    STDMETHODIMP EnumerateAttributesClose() override { return E_NOTIMPL; }
};

class Factory final : public IClassFactory {
public:
    STDMETHODIMP QueryInterface(REFIID, void **object) override
    {
        *object = this;
        return S_OK;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return 2; }
    STDMETHODIMP_(ULONG) Release() override { return 1; }
    STDMETHODIMP CreateInstance(IUnknown *, REFIID riid, void **object) override
    {
        Server *server = new Server;
        HRESULT hr = server->QueryInterface(riid, object);
        server->Release();
        return hr;
    }
    STDMETHODIMP LockServer(BOOL) override { return S_OK; }
};

// Takes the thread's error, which must be there.
static std::u16string error_text()
{
    IErrorInfo *error = nullptr;
    BSTR source = nullptr, text = nullptr;
    EXPECT(GetErrorInfo(0, &error) == S_OK);
    EXPECT(error->GetSource(&source) == S_OK && error->GetDescription(&text) == S_OK);
    EXPECT(text_of(source) == u"Census.Exit");
    std::u16string result = text_of(text);
    SysFreeString(source);
    SysFreeString(text);
    error->Release();
    return result;
}

static std::u16string description_of(ICertExit *exit)
{
    BSTR text = nullptr;
    EXPECT(exit->GetDescription(&text) == S_OK);
    std::u16string result = text_of(text);
    SysFreeString(text);
    return result;
}

static void direct_calls(ICertExit2 *exit)
{
    LONG mask = 0;
    BSTR config = SysAllocString(u"My CA");
    EXPECT(exit->Initialize(config, &mask) == S_OK);
    EXPECT(mask == (EXITEVENT_CERTISSUED | EXITEVENT_SHUTDOWN));
    EXPECT(exit->Initialize(config, nullptr) == E_POINTER);
    SysFreeString(config);
    EXPECT(exit->Notify(EXITEVENT_CERTISSUED, 5) == S_OK);
    EXPECT(description_of(exit) == u"counts certificates: 1");

    // No value, a context that is none, a panic; then it goes on.
    EXPECT(exit->Notify(EXITEVENT_CERTISSUED, 6) == E_FAIL);
    EXPECT(error_text() == u"there is no serial number");
    EXPECT(exit->Notify(EXITEVENT_CERTISSUED, 8) == E_INVALIDARG);
    EXPECT(error_text() == u"SetContext(8) failed");
    EXPECT(exit->Notify(EXITEVENT_CERTISSUED, 7) == E_UNEXPECTED);
    EXPECT(error_text() == u"the module panicked: the serial number is dead");
    EXPECT(exit->Notify(EXITEVENT_CERTISSUED, 5) == S_OK);
    EXPECT(description_of(exit) == u"counts certificates: 3");
    EXPECT(exit->Notify(EXITEVENT_SHUTDOWN, 0) == S_OK);
    EXPECT(servers == 0);

    ISupportErrorInfo *support = nullptr;
    EXPECT(exit->QueryInterface(IID_ISupportErrorInfo, reinterpret_cast<void **>(&support)) ==
           S_OK);
    EXPECT(support->InterfaceSupportsErrorInfo(IID_ICertExit) == S_OK);
    EXPECT(support->InterfaceSupportsErrorInfo(IID_IDispatch) == S_FALSE);
    // Through whichever interface, the object is the same.
    IUnknown *one = nullptr, *other = nullptr;
    EXPECT(exit->QueryInterface(IID_IUnknown, reinterpret_cast<void **>(&one)) == S_OK);
    EXPECT(support->QueryInterface(IID_IUnknown, reinterpret_cast<void **>(&other)) == S_OK);
    EXPECT(one == other);
    one->Release();
    other->Release();
    support->Release();
}

static HRESULT call(IDispatch *object, const char16_t *name, VARIANT *arguments, UINT count,
                    VARIANT *result, EXCEPINFO *exception)
{
    LPOLESTR names[] = {const_cast<LPOLESTR>(name)};
    DISPID id = 0;
    HRESULT hr = object->GetIDsOfNames(IID_NULL, names, 1, 0, &id);
    if (FAILED(hr)) {
        return hr;
    }
    DISPPARAMS params = {arguments, nullptr, count, 0};
    return object->Invoke(id, IID_NULL, 0, DISPATCH_METHOD, &params, result, exception, nullptr);
}

static void late_calls(ICertExit2 *exit)
{
    VARIANT arguments[2], result;
    EXCEPINFO exception;
    V_VT(&arguments[0]) = VT_BSTR;
    V_BSTR(&arguments[0]) = SysAllocString(u"My CA");
    VariantInit(&result);
    EXPECT(call(exit, u"initialize", arguments, 1, &result, nullptr) == S_OK);
    EXPECT(V_VT(&result) == VT_I4 && V_I4(&result) == 0x41);
    EXPECT(call(exit, u"Initialize", arguments, 2, &result, nullptr) == DISP_E_BADPARAMCOUNT);
    EXPECT(call(exit, u"Terminate", nullptr, 0, &result, nullptr) == DISP_E_UNKNOWNNAME);
    VariantClear(&arguments[0]);

    // The last argument comes first, and text is as good as a number.
    V_VT(&arguments[1]) = VT_I4;
    V_I4(&arguments[1]) = EXITEVENT_CERTISSUED;
    V_VT(&arguments[0]) = VT_BSTR;
    V_BSTR(&arguments[0]) = SysAllocString(u"6");
    EXPECT(call(exit, u"Notify", arguments, 2, nullptr, &exception) == DISP_E_EXCEPTION);
    EXPECT(exception.scode == E_FAIL && exception.pfnDeferredFillIn == nullptr);
    EXPECT(text_of(exception.bstrDescription) == u"there is no serial number");
    SysFreeString(exception.bstrSource);
    SysFreeString(exception.bstrDescription);
    VariantClear(&arguments[0]);

    EXPECT(call(exit, u"GetManageModule", nullptr, 0, &result, nullptr) == S_OK);
    EXPECT(V_VT(&result) == VT_DISPATCH && V_DISPATCH(&result) != nullptr);
    VariantClear(&result);
}

static void managing(ICertExit2 *exit)
{
    ICertManageModule *manage = nullptr;
    EXPECT(exit->GetManageModule(&manage) == S_OK);
    VARIANT value;
    BSTR name = SysAllocString(u"name");
    EXPECT(manage->GetProperty(nullptr, nullptr, name, 0, &value) == S_OK);
    EXPECT(text_of(V_BSTR(&value)) == u"Census.Exit");
    VariantClear(&value);
    SysReAllocString(&name, wszEXEUNT_PROP_SETTINGS);
    EXPECT(manage->GetProperty(nullptr, nullptr, name, 0, &value) == S_OK);
    EXPECT(text_of(V_BSTR(&value)) ==
           u"[{\"name\":\"greeting\",\"type\":\"string\",\"description\":\"what is said first\"}]");
    VariantClear(&value);
    SysReAllocString(&name, u"Weight");
    EXPECT(manage->GetProperty(nullptr, nullptr, name, 0, &value) == S_FALSE);
    EXPECT(V_VT(&value) == VT_EMPTY);

    V_VT(&value) = VT_BSTR;
    V_BSTR(&value) = SysAllocString(u"hello");
    EXPECT(manage->SetProperty(nullptr, nullptr, name, 0, &value) == E_INVALIDARG);
    EXPECT(error_text() == u"there is no setting Weight");
    SysReAllocString(&name, u"greeting");
    EXPECT(manage->SetProperty(nullptr, nullptr, name, 0, &value) == S_OK);
    EXPECT(manage->SetProperty(nullptr, nullptr, name, 0, nullptr) == E_POINTER);
    EXPECT(manage->Configure(nullptr, nullptr, CMM_READONLY) == S_OK);
    VariantClear(&value);
    SysFreeString(name);
    EXPECT(manage->Release() == 1); // the exit object keeps one
}

template <class Function> static Function symbol(void *library, const char *name)
{
    void *address = dlsym(library, name);
    EXPECT(address != nullptr);
    return reinterpret_cast<Function>(address);
}

int main(int, char **arguments)
{
    Factory factory;
    DWORD cookie = 0;
    EXPECT(CoRegisterClassObject(CLSID_CCertServerExit, &factory, CLSCTX_INPROC_SERVER,
                                 REGCLS_MULTIPLEUSE, &cookie) == S_OK);
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    auto classes = symbol<decltype(&ExeuntClass)>(library, "ExeuntClass");
    auto get_class = symbol<decltype(&DllGetClassObject)>(library, "DllGetClassObject");
    auto can_unload = symbol<decltype(&DllCanUnloadNow)>(library, "DllCanUnloadNow");

    const OLECHAR *progid = nullptr;
    CLSID clsid;
    EXPECT(classes(0, &progid, &clsid) == S_OK && std::u16string(progid) == u"Census.Exit");
    EXPECT(classes(1, &progid, &clsid) == S_FALSE);
    EXPECT(can_unload() == S_OK);

    IClassFactory *module = nullptr;
    void **place = reinterpret_cast<void **>(&module);
    EXPECT(get_class(CLSID_CCertServerExit, IID_IClassFactory, place) == CLASS_E_CLASSNOTAVAILABLE);
    EXPECT(get_class(clsid, IID_IClassFactory, place) == S_OK);
    EXPECT(can_unload() == S_FALSE);
    ICertExit2 *exit = nullptr;
    EXPECT(module->CreateInstance(nullptr, IID_ICertExit2, reinterpret_cast<void **>(&exit)) ==
           S_OK);
    EXPECT(module->Release() == 0);

    managing(exit);
    direct_calls(exit);
    late_calls(exit);
    EXPECT(can_unload() == S_FALSE);
    EXPECT(exit->Release() == 0);
    EXPECT(can_unload() == S_OK);
    EXPECT(CoRevokeClassObject(cookie) == S_OK);
    puts("done");
    return 0;
}
