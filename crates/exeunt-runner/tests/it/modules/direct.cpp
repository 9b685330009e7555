// An exit module of the second generation that is called directly. The request's attribute "Do" says
// what it does with an event; most of what it sees it reports as the reason of a failure.
#include "test.h"

#include <stdexcept>
#include <thread>

static const CLSID CLASS = {0x7c0b3a11, 0x0b5e, 0x4d4f, {0x9a, 0x11, 1, 2, 3, 4, 5, 6}};

static std::string property(ICertServerExit *from, bool certificate, const char *name, LONG type)
{
    Text asked{name};
    VARIANT value;
    VariantInit(&value);
    HRESULT hr = certificate ? from->GetCertificateProperty(asked.raw, type, &value)
                             : from->GetRequestProperty(asked.raw, type, &value);
    std::string out = std::string(name) + "=";
    out += FAILED(hr) ? hex(hr) + " " + shown(value, false) : shown(value, type == PROPTYPE_BINARY);
    VariantClear(&value);
    return out + "; ";
}

static std::string attribute(ICertServerExit *from, const char *name)
{
    Text asked{name}, value;
    HRESULT hr = from->GetRequestAttribute(asked.raw, &value.raw);
    return std::string(name) + "=" + (FAILED(hr) ? hex(hr) : value.str()) + "; ";
}

static std::string extension(ICertServerExit *from, const char *oid, LONG type)
{
    Text asked{oid};
    VARIANT value;
    VariantInit(&value);
    HRESULT hr = from->GetCertificateExtension(asked.raw, type, &value);
    std::string out = std::string(oid) + "=";
    out += FAILED(hr) ? hex(hr) : shown(value, type == PROPTYPE_BINARY);
    LONG flags = -1;
    hr = from->GetCertificateExtensionFlags(&flags);
    out += FAILED(hr) ? " flags " + hex(hr) : " flags " + std::to_string(flags);
    VariantClear(&value);
    return out + "; ";
}

static std::string error_text()
{
    IErrorInfo *error = nullptr;
    if (GetErrorInfo(0, &error) != S_OK) {
        return "none";
    }
    Text text;
    error->GetDescription(&text.raw);
    error->Release();
    return text.str();
}

class Manage : public Counted<Manage, ICertManageModule> {
public:
    // Settings that SetProperty took, for all objects of the process.
    static std::string &taken()
    {
        static std::string it;
        return it;
    }
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
    HRESULT STDMETHODCALLTYPE GetProperty(const BSTR config, BSTR storage, BSTR name, LONG flags,
                                          VARIANT *value) override
    {
        VariantInit(value);
        std::string text;
        if (lstrcmpiW(name, wszCMM_PROP_NAME) == 0) {
            text = "Direct";
        } else if (lstrcmpiW(name, OLESTR("Where")) == 0) {
            text = narrow(config) + " | " + narrow(storage) + " | " + std::to_string(flags);
        } else {
            return S_FALSE;
        }
        value->vt = VT_BSTR;
        value->bstrVal = SysAllocString(wide(text).c_str());
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE SetProperty(const BSTR, BSTR, BSTR name, LONG,
                                          const VARIANT *value) override
    {
        if (narrow(name) == "volume") {
            return fail(E_INVALIDARG, "this goes to ten");
        }
        taken() += narrow(name) + " type " + std::to_string(value->vt) + "; ";
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE Configure(const BSTR, BSTR, LONG flags) override
    {
        if (flags != CMM_READONLY) {
            return E_UNEXPECTED;
        }
        if (taken().find("greeting") == std::string::npos) {
            return fail(E_FAIL, "greeting is missing");
        }
        return S_OK;
    }
};

class Exit : public Counted<Exit, ICertExit2, ISupportErrorInfo> {
    ICertServerExit *kept = nullptr;
    std::string seen;

public:
    ~Exit() override
    {
        if (kept != nullptr) {
            kept->Release();
        }
        fprintf(stderr, "the module was released\n");
    }
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID iid, void **out) override
    {
        *out = nullptr;
        if (iid == IID_ISupportErrorInfo) {
            *out = static_cast<ISupportErrorInfo *>(this);
        } else if (iid == IID_IUnknown || iid == IID_IDispatch || iid == IID_ICertExit
                   || iid == IID_ICertExit2) {
            *out = static_cast<ICertExit2 *>(this);
        } else {
            return E_NOINTERFACE;
        }
        AddRef();
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE InterfaceSupportsErrorInfo(REFIID) override { return S_OK; }
    NO_DISPATCH

    HRESULT STDMETHODCALLTYPE Initialize(const BSTR config, LONG *mask) override
    {
        ICertServerExit *from = server(0);
        if (from == nullptr) {
            return E_UNEXPECTED;
        }
        seen = "config=" + narrow(config) + "; ";
        for (auto name : {"Setting.greeting", "Setting.list", "ModuleRegistryLocation"}) {
            seen += property(from, true, name, PROPTYPE_STRING);
        }
        for (auto name : {"Setting.number", "setting.YES", "CAType", "CertCount", "Setting.none"}) {
            seen += property(from, true, name, PROPTYPE_LONG);
        }
        seen += "SetProperty: " + Manage::taken();
        Text refuse{"Setting.refuse"};
        VARIANT value;
        VariantInit(&value);
        HRESULT hr = from->GetCertificateProperty(refuse.raw, PROPTYPE_STRING, &value);
        VariantClear(&value);
        from->Release();
        if (SUCCEEDED(hr)) {
            return fail(E_ACCESSDENIED, "no such folder");
        }
        *mask = EXITEVENT_CERTISSUED | EXITEVENT_SHUTDOWN | EXITEVENT_HEARTBEAT;
        return S_OK;
    }

    HRESULT STDMETHODCALLTYPE GetDescription(BSTR *text) override
    {
        *text = SysAllocString(OLESTR("called\r\n directly"));
        return S_OK;
    }

    HRESULT STDMETHODCALLTYPE GetManageModule(ICertManageModule **out) override
    {
        *out = new Manage;
        return S_OK;
    }

    HRESULT STDMETHODCALLTYPE Notify(LONG event, LONG context) override
    {
        ICertServerExit *from = server(context);
        if (from == nullptr) {
            return report("SetContext failed");
        }
        if (event != EXITEVENT_CERTISSUED) {
            std::string text = "event=" + std::to_string(event) + "; ";
            text += property(from, true, "SanitizedCAName", PROPTYPE_STRING);
            text += property(from, true, "Setting.greeting", PROPTYPE_STRING);
            text += property(from, false, "RequestID", PROPTYPE_LONG);
            from->Release();
            return event == EXITEVENT_SHUTDOWN ? S_OK : report(text);
        }
        Text name{"Do"}, what;
        from->GetRequestAttribute(name.raw, &what.raw);
        HRESULT hr = act(what.str(), from, context);
        from->Release();
        return hr;
    }

private:
    HRESULT act(const std::string &what, ICertServerExit *from, LONG context)
    {
        if (what == "about") {
            return report(seen);
        }
        if (what == "false") {
            return S_FALSE;
        }
        if (what == "print") {
            printf("{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": null}\n");
            fflush(stdout);
            return fgetc(stdin) == EOF ? S_OK : E_UNEXPECTED;
        }
        if (what == "crash") {
            *static_cast<volatile int *>(nullptr) = 1;
        }
        if (what == "throw") {
            throw std::runtime_error("nobody catches this");
        }
        if (what == "fail") {
            return fail(E_ACCESSDENIED, "the disk\nis on fire");
        }
        if (what == "fail without words") {
            SetErrorInfo(0, nullptr);
            return E_FAIL;
        }
        if (what == "not implemented") {
            return E_NOTIMPL;
        }
        if (what == "read") {
            return report(read(from));
        }
        if (what == "thread") {
            std::string text;
            std::thread([&] {
                ICertServerExit *own = server(context);
                text = property(own, false, "RequesterName", PROPTYPE_STRING);
                own->Release();
            }).join();
            return report(text);
        }
        if (what == "enumerate") {
            return report(enumerate(from));
        }
        if (what == "write") {
            return report(write(from));
        }
        if (what == "keep") {
            from->AddRef();
            kept = from;
            return S_OK;
        }
        if (what == "stale") {
            std::string text = property(kept, false, "RequestID", PROPTYPE_LONG);
            text += error_text() + "; " + attribute(kept, "Do");
            text += "enumerate=" + hex(kept->EnumerateExtensionsSetup(0)) + "; ";
            text += "again=" + hex(kept->SetContext(context - 1)) + "; ";
            text += "foreign=" + hex(kept->SetContext(context + 1)) + "; ";
            text += "fresh=" + hex(kept->SetContext(context)) + "; ";
            text += property(kept, false, "RequestID", PROPTYPE_LONG);
            text += "zero=" + hex(kept->SetContext(0)) + "; ";
            text += property(kept, true, "SanitizedCAName", PROPTYPE_STRING);
            return report(text);
        }
        return S_OK;
    }

    std::string read(ICertServerExit *from)
    {
        std::string out;
        out += property(from, false, "requestid", PROPTYPE_LONG);
        out += property(from, false, "RequesterName", PROPTYPE_STRING);
        out += property(from, false, "SubmittedWhen", PROPTYPE_DATE);
        out += property(from, false, "RawRequest", PROPTYPE_BINARY);
        out += property(from, false, "RequestID", PROPTYPE_STRING);
        out += property(from, false, "RequestID", 0x77);
        out += property(from, false, "Nonsense", PROPTYPE_STRING);
        out += property(from, true, "CN", PROPTYPE_STRING);
        out += property(from, true, "NotBefore", PROPTYPE_DATE);
        out += property(from, true, "RawCertificate", PROPTYPE_BINARY);
        out += property(from, true, "UPN", PROPTYPE_STRING);
        out += error_text() + "; ";
        out += attribute(from, "Certificate-Template");
        out += attribute(from, "Missing");
        out += extension(from, "2.5.29.99", PROPTYPE_BINARY);
        out += extension(from, "1.2.3.1", PROPTYPE_LONG);
        out += extension(from, "1.2.3.2", PROPTYPE_STRING);
        out += extension(from, "1.2.3.2", PROPTYPE_BINARY);
        out += extension(from, "1.2.3.2", PROPTYPE_DATE);
        out += "null=" + hex(from->GetRequestProperty(nullptr, PROPTYPE_LONG, nullptr)) + "; ";
        return out;
    }

    std::string enumerate(ICertServerExit *from)
    {
        std::string out;
        Text name;
        out += "early=" + hex(from->EnumerateExtensions(&name.raw)) + "; ";
        from->EnumerateExtensionsSetup(0);
        while (from->EnumerateExtensions(&name.raw) == S_OK) {
            out += name.str() + " ";
            SysFreeString(name.raw);
        }
        out += name.raw == nullptr ? "end; " : "no end; ";
        out += "close=" + hex(from->EnumerateExtensionsClose()) + "; ";
        out += "flags=" + hex(from->EnumerateAttributesSetup(8)) + "; ";
        from->EnumerateAttributesSetup(0);
        while (from->EnumerateAttributes(&name.raw) == S_OK) {
            out += name.str() + " ";
            SysFreeString(name.raw);
        }
        out += "close=" + hex(from->EnumerateAttributesClose()) + "; ";
        return out;
    }

    std::string write(ICertServerExit *from)
    {
        std::string out;
        for (auto name : {u"SetCertificateProperty", u"SetCertificateExtension", u"getrequestproperty"}) {
            LPOLESTR names[] = {const_cast<LPOLESTR>(name)};
            DISPID id = 0;
            HRESULT hr = from->GetIDsOfNames(IID_NULL, names, 1, 0, &id);
            out += "name=" + hex(hr) + " " + hex(id) + "; ";
        }
        DISPPARAMS none = {nullptr, nullptr, 0, 0};
        for (DISPID id : {0, 1, 0x6002000c, 0x6002000d, -1}) {
            HRESULT hr = from->Invoke(id, IID_NULL, 0, DISPATCH_METHOD, &none, nullptr, nullptr,
                                      nullptr);
            out += "number=" + hex(hr) + "; ";
        }
        void *policy = nullptr;
        out += "query=" + hex(from->QueryInterface(IID_ICertServerPolicy, &policy)) + "; ";
        HRESULT hr = CoCreateInstance(CLSID_CCertServerPolicy, nullptr, CLSCTX_INPROC_SERVER,
                                      IID_ICertServerPolicy, &policy);
        out += "create=" + hex(hr) + "; ";
        return out;
    }
};

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out)
{
    *out = nullptr;
    return clsid == CLASS ? factory<Exit>(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}

EXEUNT_ONE_CLASS(OLESTR("Test.Direct.Exit"), CLASS)
