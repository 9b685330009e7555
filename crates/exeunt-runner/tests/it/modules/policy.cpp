// A policy module of the second generation that is called directly; with FIRST of the first.
#include "clerk.h"

static const CLSID CLASS = {0x7c0b3a11, 0x0b5e, 0x4d4f, {0x9a, 0x11, 1, 2, 3, 4, 5, 0x11}};

class Direct : public Server {
    ICertServerPolicy *from = nullptr;

public:
    Direct()
    {
        CoCreateInstance(CLSID_CCertServerPolicy, nullptr, CLSCTX_INPROC_SERVER,
                         IID_ICertServerPolicy, reinterpret_cast<void **>(&from));
    }
    ~Direct() override { from->Release(); }
    HRESULT context(LONG to) override { return from->SetContext(to); }
    HRESULT get(bool certificate, BSTR name, LONG type, VARIANT *out) override
    {
        return certificate ? from->GetCertificateProperty(name, type, out)
                           : from->GetRequestProperty(name, type, out);
    }
    HRESULT set(BSTR name, LONG type, VARIANT *value) override
    {
        // A null pointer is no value.
        if (from->SetCertificateProperty(name, type, nullptr) != E_POINTER) {
            return E_UNEXPECTED;
        }
        // What it points to is as good as the value itself.
        VARIANT pointer;
        V_VT(&pointer) = VT_BYREF | VT_VARIANT;
        pointer.pvarVal = value;
        return from->SetCertificateProperty(name, type, type == PROPTYPE_STRING ? &pointer : value);
    }
    HRESULT extension(BSTR oid, LONG type, VARIANT *out, LONG *flags) override
    {
        HRESULT hr = from->GetCertificateExtension(oid, type, out);
        return FAILED(hr) ? hr : from->GetCertificateExtensionFlags(flags);
    }
    HRESULT extend(BSTR oid, LONG type, LONG flags, VARIANT *value) override
    {
        if (from->SetCertificateExtension(oid, type, flags, nullptr) != E_POINTER) {
            return E_UNEXPECTED;
        }
        return from->SetCertificateExtension(oid, type, flags, value);
    }
    HRESULT attribute(BSTR name, BSTR *out) override { return from->GetRequestAttribute(name, out); }
    std::string why() override
    {
        ISupportErrorInfo *support = nullptr;
        HRESULT hr = from->QueryInterface(IID_ISupportErrorInfo, reinterpret_cast<void **>(&support));
        if (FAILED(hr) || support->InterfaceSupportsErrorInfo(IID_ICertServerPolicy) != S_OK) {
            return "no support";
        }
        support->Release();
        IErrorInfo *error = nullptr;
        if (GetErrorInfo(0, &error) != S_OK) {
            return "none";
        }
        Text text, source;
        error->GetDescription(&text.raw);
        error->GetSource(&source.raw);
        error->Release();
        return text.str() + " from " + source.str();
    }
    std::string list(bool extensions) override
    {
        std::string out;
        Text name;
        extensions ? from->EnumerateExtensionsSetup(0) : from->EnumerateAttributesSetup(0);
        while ((extensions ? from->EnumerateExtensions(&name.raw)
                           : from->EnumerateAttributes(&name.raw)) == S_OK) {
            out += (out.empty() ? "" : " ") + name.str();
            SysFreeString(name.raw);
        }
        extensions ? from->EnumerateExtensionsClose() : from->EnumerateAttributesClose();
        return out;
    }
};

class Manage : public Counted<Manage, ICertManageModule> {
public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID iid, void **out) override
    {
        *out = nullptr;
        if (iid != IID_IUnknown && iid != IID_IDispatch && iid != IID_ICertManageModule) {
            return E_NOINTERFACE;
        }
        AddRef();
        *out = static_cast<ICertManageModule *>(this);
        return S_OK;
    }
    NO_DISPATCH
    HRESULT STDMETHODCALLTYPE GetProperty(const BSTR, BSTR storage, BSTR name, LONG,
                                          VARIANT *value) override
    {
        VariantInit(value);
        if (lstrcmpiW(name, OLESTR("Where")) != 0) {
            return S_FALSE;
        }
        V_VT(value) = VT_BSTR;
        V_BSTR(value) = SysAllocStringLen(storage, SysStringLen(storage));
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE SetProperty(const BSTR, BSTR, BSTR name, LONG, const VARIANT *) override
    {
        return narrow(name) == "volume" ? fail(E_INVALIDARG, "this goes to ten") : S_OK;
    }
    HRESULT STDMETHODCALLTYPE Configure(const BSTR, BSTR, LONG) override { return S_OK; }
};

class Policy : public Counted<Policy, ICertPolicy2> {
    ICertServerPolicy *kept = nullptr;

public:
    ~Policy() override { fprintf(stderr, "the policy was released\n"); }
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID iid, void **out) override
    {
        *out = nullptr;
#ifdef FIRST
        bool is_ours = iid == IID_ICertPolicy;
#else
        bool is_ours = iid == IID_ICertPolicy || iid == IID_ICertPolicy2;
#endif
        if (iid != IID_IUnknown && iid != IID_IDispatch && !is_ours) {
            return E_NOINTERFACE;
        }
        AddRef();
        *out = static_cast<ICertPolicy2 *>(this);
        return S_OK;
    }
    NO_DISPATCH
    HRESULT STDMETHODCALLTYPE Initialize(const BSTR config) override
    {
        Direct server;
        Text name{"Setting.refuse"}, written{"CommonName"};
        VARIANT value;
        VariantInit(&value);
        HRESULT hr = server.get(true, name.raw, PROPTYPE_STRING, &value);
        VariantClear(&value);
        if (SUCCEEDED(hr)) {
            return fail(E_ACCESSDENIED, "no such folder");
        }
        // Under context 0 nothing can be set.
        value = value_of("bstr", "x");
        hr = server.set(written.raw, PROPTYPE_STRING, &value);
        VariantClear(&value);
        fprintf(stderr, "Initialize %s, set %s\n", narrow(config).c_str(), hex(hr).c_str());
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE VerifyRequest(const BSTR config, LONG context, LONG is_new, LONG flags,
                                            LONG *disposition) override
    {
        if (narrow(config) != "Test CA" || flags != 0) {
            return fail(E_UNEXPECTED, "arguments");
        }
        // An object whose request was decided has nothing to say any more.
        if (kept != nullptr) {
            VARIANT value = value_of("bstr", "x");
            Text name{"CommonName"};
            HRESULT stale = kept->SetCertificateProperty(name.raw, PROPTYPE_STRING, &value);
            VariantClear(&value);
            fprintf(stderr, "stale %s\n", hex(stale).c_str());
            kept->Release();
            kept = nullptr;
        }
        Direct server;
        HRESULT hr = server.context(context);
        if (FAILED(hr)) {
            return hr;
        }
        End end = run(server, is_new != 0);
        CoCreateInstance(CLSID_CCertServerPolicy, nullptr, CLSCTX_INPROC_SERVER,
                         IID_ICertServerPolicy, reinterpret_cast<void **>(&kept));
        kept->SetContext(context);
        *disposition = end.disposition;
        if (!end.words.empty()) {
            fail(end.hr, end.words);
        }
        return end.hr;
    }
    HRESULT STDMETHODCALLTYPE GetDescription(BSTR *text) override
    {
        *text = SysAllocString(OLESTR("called directly"));
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE ShutDown() override
    {
        if (kept != nullptr) {
            kept->Release();
        }
        fprintf(stderr, "ShutDown\n");
        return fail(E_FAIL, "nothing to put away");
    }
    HRESULT STDMETHODCALLTYPE GetManageModule(ICertManageModule **out) override
    {
        *out = new Manage;
        return S_OK;
    }
};

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out)
{
    *out = nullptr;
    return clsid == CLASS ? factory<Policy>(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}

EXEUNT_ONE_CLASS(OLESTR("Test.Direct.Policy"), CLASS)
