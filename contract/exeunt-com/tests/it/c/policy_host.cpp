// A host in C++ that loads a policy module written in Rust: its own CCertServerPolicy, both ways of
// calling, truths of Automation, dispositions. The module is the example `clerk`.
#include <dlfcn.h>

#include <certsrv.h>
#include <exeunt.h>
#include <ole2.h>

#include <string>

#include "expect.h"

static LONG servers = 0;
static std::u16string script;
// What the module has set last: name, type of the property, of the variant, flags.
static std::u16string set_name;
static LONG set_type = 0, set_flags = 0;
static VARTYPE set_vt = VT_EMPTY;

static std::u16string text_of(BSTR text)
{
    return std::u16string(text == nullptr ? u"" : text, SysStringLen(text));
}

class Server final : public ICertServerPolicy {
    LONG count = 1;

public:
    Server() { servers++; }
    virtual ~Server() { servers--; }
    STDMETHODIMP QueryInterface(REFIID riid, void **object) override
    {
        if (riid == IID_IUnknown || riid == IID_IDispatch || riid == IID_ICertServerPolicy) {
            *object = static_cast<ICertServerPolicy *>(this);
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
    STDMETHODIMP SetContext(LONG it) override { return it <= 7 ? S_OK : E_INVALIDARG; }
    STDMETHODIMP GetRequestProperty(const BSTR, LONG, VARIANT *) override { return E_NOTIMPL; }
    STDMETHODIMP GetRequestAttribute(const BSTR, BSTR *value) override
    {
        *value = SysAllocString(script.c_str());
        return S_OK;
    }
    STDMETHODIMP GetCertificateProperty(const BSTR, LONG, VARIANT *) override
    {
        return CERTSRV_E_PROPERTY_EMPTY;
    }
    STDMETHODIMP SetCertificateProperty(const BSTR name, LONG type, const VARIANT *value) override
    {
        set_name = text_of(name);
        set_type = type;
        set_vt = V_VT(value);
        return S_OK;
    }
    STDMETHODIMP GetCertificateExtension(const BSTR, LONG, VARIANT *) override
    {
        return CERTSRV_E_PROPERTY_EMPTY;
    }
    STDMETHODIMP GetCertificateExtensionFlags(LONG *) override { return E_NOTIMPL; }
    STDMETHODIMP SetCertificateExtension(const BSTR oid, LONG type, LONG flags,
                                         const VARIANT *value) override
    {
        set_name = text_of(oid);
        set_type = type;
        set_flags = flags;
        set_vt = V_VT(value);
        return E_ACCESSDENIED;
    }
    STDMETHODIMP EnumerateExtensionsSetup(LONG) override { return S_OK; }
    STDMETHODIMP EnumerateExtensions(BSTR *name) override
    {
        *name = nullptr;
        return S_FALSE;
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

// Takes the words of the thread's error, which must be there.
static std::u16string error_text()
{
    IErrorInfo *error = nullptr;
    BSTR text = nullptr;
    EXPECT(GetErrorInfo(0, &error) == S_OK);
    EXPECT(error->GetDescription(&text) == S_OK);
    std::u16string result = text_of(text);
    SysFreeString(text);
    error->Release();
    return result;
}

// What the script comes to, with that for a truth.
static HRESULT verify(ICertPolicy2 *policy, const char16_t *what, LONG is_new, LONG *disposition)
{
    script = what;
    *disposition = 77;
    HRESULT hr = policy->VerifyRequest(nullptr, 5, is_new, 0, disposition);
    EXPECT(servers == 0);
    return hr;
}

static void direct_calls(ICertPolicy2 *policy)
{
    LONG disposition = 0;
    BSTR config = SysAllocString(u"My CA");
    EXPECT(policy->Initialize(config) == S_OK);
    SysFreeString(config);
    EXPECT(policy->VerifyRequest(nullptr, 5, 1, 0, nullptr) == E_POINTER);

    // A truth of Automation is -1, and everything but zero is one.
    for (LONG truth : {1, -1, 0, 256}) {
        EXPECT(verify(policy, u"new", truth, &disposition) == E_ABORT);
        EXPECT(error_text() == (truth == 0 ? u"old" : u"new"));
        // A failure leaves nothing that issues.
        EXPECT(disposition == VR_PENDING);
    }
    EXPECT(verify(policy, u"disposition 1", 1, &disposition) == S_OK && disposition == 1);
    EXPECT(verify(policy, u"disposition 0", 1, &disposition) == S_OK && disposition == 0);
    EXPECT(verify(policy, u"disposition 2", 1, &disposition) == S_OK && disposition == 2);
    EXPECT(verify(policy, u"disposition -2146877423; say not you", 1, &disposition) == S_OK);
    EXPECT(disposition == CERTSRV_E_ENROLL_DENIED && error_text() == u"not you");
    EXPECT(verify(policy, u"panic", 1, &disposition) == E_UNEXPECTED && disposition == VR_PENDING);
    EXPECT(error_text() == u"the module panicked: the script says so");
    EXPECT(policy->VerifyRequest(nullptr, 8, 1, 0, &disposition) == E_INVALIDARG);
    EXPECT(error_text() == u"SetContext(8) failed");

    // What is set arrives as it was meant, and what the server refuses is told.
    EXPECT(verify(policy, u"set 4 null OrgUnit; disposition 1", 1, &disposition) == S_OK);
    EXPECT(set_name == u"OrgUnit" && set_type == PROPTYPE_STRING && set_vt == VT_NULL);
    EXPECT(verify(policy, u"extend 3 empty 2 2.5.29.17", 1, &disposition) == E_ABORT);
    EXPECT(set_name == u"2.5.29.17" && set_type == PROPTYPE_BINARY && set_vt == VT_EMPTY);
    EXPECT(set_flags == EXTENSION_DISABLE_FLAG && error_text() == u"80070005");
}

// Calls a member by its name, the last argument first.
static HRESULT call(IDispatch *object, const char16_t *name, VARIANT *arguments, UINT count,
                    VARIANT *result)
{
    OLECHAR *names[] = {const_cast<OLECHAR *>(name)};
    DISPID member = 0;
    HRESULT hr = object->GetIDsOfNames(IID_NULL, names, 1, 0, &member);
    if (FAILED(hr)) {
        return hr;
    }
    DISPPARAMS parameters = {arguments, nullptr, count, 0};
    return object->Invoke(member, IID_NULL, 0, DISPATCH_METHOD, &parameters, result, nullptr,
                          nullptr);
}

static void late_calls(ICertPolicy2 *policy)
{
    VARIANT arguments[4], result;
    for (VARIANT &it : arguments) {
        V_VT(&it) = VT_I4;
        V_I4(&it) = 0;
    }
    V_I4(&arguments[2]) = 5;
    V_VT(&arguments[3]) = VT_BSTR;
    V_BSTR(&arguments[3]) = SysAllocString(u"My CA");
    VariantInit(&result);
    EXPECT(call(policy, u"initialize", &arguments[3], 1, &result) == S_OK);
    script = u"disposition 1";
    EXPECT(call(policy, u"verifyrequest", arguments, 4, &result) == S_OK);
    EXPECT(V_VT(&result) == VT_I4 && V_I4(&result) == VR_INSTANT_OK);
    // A truth is a number.
    V_VT(&arguments[1]) = VT_BOOL;
    V_BOOL(&arguments[1]) = VARIANT_TRUE;
    script = u"new";
    EXPECT(call(policy, u"VerifyRequest", arguments, 4, &result) == E_ABORT);
    EXPECT(error_text() == u"new");
    EXPECT(call(policy, u"VerifyRequest", arguments, 3, &result) == DISP_E_BADPARAMCOUNT);
    EXPECT(call(policy, u"Notify", arguments, 2, &result) == DISP_E_UNKNOWNNAME);
    VariantClear(&arguments[3]);
    EXPECT(call(policy, u"GetDescription", nullptr, 0, &result) == S_OK);
    EXPECT(text_of(V_BSTR(&result)) == u"does what a script says");
    VariantClear(&result);
    EXPECT(call(policy, u"GetManageModule", nullptr, 0, &result) == S_OK);
    EXPECT(V_VT(&result) == VT_DISPATCH && V_DISPATCH(&result) != nullptr);
    VariantClear(&result);
    EXPECT(call(policy, u"ShutDown", nullptr, 0, &result) == S_OK);
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
    EXPECT(CoRegisterClassObject(CLSID_CCertServerPolicy, &factory, CLSCTX_INPROC_SERVER,
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
    EXPECT(classes(0, &progid, &clsid) == S_OK && std::u16string(progid) == u"Clerk.Policy");
    IClassFactory *module = nullptr;
    EXPECT(get_class(clsid, IID_IClassFactory, reinterpret_cast<void **>(&module)) == S_OK);
    void *other = nullptr;
    EXPECT(module->CreateInstance(nullptr, IID_ICertExit, &other) == E_NOINTERFACE);
    ICertPolicy2 *policy = nullptr;
    EXPECT(module->CreateInstance(nullptr, IID_ICertPolicy2, reinterpret_cast<void **>(&policy)) ==
           S_OK);
    EXPECT(module->Release() == 0);
    ICertPolicy *first = nullptr;
    EXPECT(policy->QueryInterface(IID_ICertPolicy, reinterpret_cast<void **>(&first)) == S_OK);
    EXPECT(first->Release() == 1);

    direct_calls(policy);
    late_calls(policy);
    EXPECT(policy->ShutDown() == S_OK);
    EXPECT(policy->Release() == 0);
    EXPECT(can_unload() == S_OK);
    EXPECT(CoRevokeClassObject(cookie) == S_OK);
    puts("done");
    return 0;
}
