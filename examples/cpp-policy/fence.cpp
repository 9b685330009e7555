// A policy module in C++ (ICertPolicy): certificates are for hosts of one domain, and not for long.
// Settings: domain; days. It works behind the CA's templates, which it makes stricter, and alone.
#include <certsrv.h>
#include <exeunt.h>
#include <ole2.h>

#include <memory>
#include <optional>
#include <string>

static const CLSID CLASS = {0x5a6f1c20, 0x3d1e, 0x4b7a, {0x8c, 0x11, 0x20, 0x26, 0, 0, 0, 4}};

// Throws the code of a call that failed. Its words are on the thread already, as an error object.
static void check(HRESULT hr) { if (FAILED(hr)) throw hr; }

struct Released { void operator()(IUnknown *it) const { it->Release(); } };
struct Freed { void operator()(BSTR it) const { SysFreeString(it); } };
using Text = std::unique_ptr<OLECHAR, Freed>;
static Text text(const std::string &it) {
    return Text{SysAllocString(std::u16string(it.begin(), it.end()).c_str())};
}
// A value that clears itself.
struct Value : VARIANT { Value() : VARIANT{} {} ~Value() { VariantClear(this); } };

// What can be read of a request, and set of its certificate; under context 0, the CA and the settings.
class Server {
    std::unique_ptr<ICertServerPolicy, Released> object;
public:
    explicit Server(LONG context) {
        void *out;
        check(CoCreateInstance(CLSID_CCertServerPolicy, nullptr, CLSCTX_ALL, IID_ICertServerPolicy,
                               &out));
        object.reset(static_cast<ICertServerPolicy *>(out));
        check(object->SetContext(context));
    }
    // Whether there is a value. None is ordinary.
    bool get(const char *name, LONG type, Value &value) {
        HRESULT hr = object->GetCertificateProperty(text(name).get(), type, &value);
        return hr != CERTSRV_E_PROPERTY_EMPTY && (check(hr), true);
    }
    void set(const char *name, LONG type, const Value &value) {
        check(object->SetCertificateProperty(text(name).get(), type, &value));
    }
    bool extension(const char *oid, Value &value) {
        HRESULT hr = object->GetCertificateExtension(text(oid).get(), PROPTYPE_BINARY, &value);
        return hr != CERTSRV_E_PROPERTY_EMPTY && (check(hr), true);
    }
    // Puts the extension in that was read last. Those of the request are there, and disabled until a
    // policy wants them.
    void enable(const char *oid, const Value &value) {
        LONG flags = 0;
        check(object->GetCertificateExtensionFlags(&flags));
        if (flags & EXTENSION_DISABLE_FLAG)
            check(object->SetCertificateExtension(text(oid).get(), PROPTYPE_BINARY, 0, &value));
    }
};

// A text in ASCII. What is none must not turn into it.
static std::string narrow(const Value &it) {
    std::string out;
    for (UINT i = 0; i < SysStringLen(V_BSTR(&it)); i++)
        out += V_BSTR(&it)[i] < 0x80 ? static_cast<char>(V_BSTR(&it)[i]) : '?';
    return out;
}

// Leaves words on the thread, which the requester gets to read.
static HRESULT say(HRESULT hr, const std::string &words) {
    ICreateErrorInfo *create = nullptr;
    void *error = nullptr;
    CreateErrorInfo(&create);
    create->SetDescription(text(words).get());
    create->QueryInterface(IID_IErrorInfo, &error);
    SetErrorInfo(0, static_cast<IErrorInfo *>(error));
    static_cast<IErrorInfo *>(error)->Release();
    create->Release();
    return hr;
}

// Takes a length of DER of at most 65535; nothing where it is none, or more than what follows.
static std::optional<size_t> length(const unsigned char *&at, const unsigned char *end) {
    if (at == end) return {};
    size_t it = *at++;
    if (it > 0x80) {
        size_t octets = it - 0x80;
        if (octets > 2 || size_t(end - at) < octets) return {};
        for (it = 0; octets > 0; octets--) it = it << 8 | *at++;
    } else if (it == 0x80) return {};
    return size_t(end - at) < it ? std::nullopt : std::optional{it};
}

// The module is one object that lives for ever, and its own class factory.
static class Fence final : public ICertPolicy, public IClassFactory {
    std::string domain;
    LONG days = 0;

    // What is no host name is nowhere: a zero, a line feed between two names, a wildcard.
    bool is_inside(std::string host) const {
        for (char &it : host) {
            if (it >= 'A' && it <= 'Z') it += 'a' - 'A';
            bool is_plain = (it >= 'a' && it <= 'z') || (it >= '0' && it <= '9') || it == '-';
            if (!is_plain && it != '.') return false;
        }
        std::string end = "." + domain;
        return host == domain || (host.size() > end.size()
            && host.compare(host.size() - end.size(), end.size(), end) == 0);
    }
    // Why the alternative names are not ours; empty if they are. RFC 5280, section 4.2.1.6.
    std::string objection(const unsigned char *at, const unsigned char *end) const {
        bool is_list = at != end && *at++ == 0x30;
        auto all = length(at, end);
        if (!is_list || !all || *all != size_t(end - at)) return "no names";
        while (at != end) {
            bool is_host = *at++ == 0x82;
            auto size = length(at, end);
            if (!is_host || !size) return "a name that is no host";
            std::string host{at, at + *size};
            if (!is_inside(host)) return host + " is outside of " + domain;
            at += *size;
        }
        return {};
    }
    HRESULT decide(LONG context, LONG *disposition) {
        Server server{context};
        Value names, name, begin, end;
        if (server.get("CommonName", PROPTYPE_STRING, name) && !is_inside(narrow(name)))
            return *disposition = say(CERTSRV_E_ENROLL_DENIED, "the common name is outside"), S_OK;
        if (!server.extension("2.5.29.17", names)) // subjectAltName
            return *disposition = say(CERTSRV_E_BAD_REQUESTSUBJECT, "no host is named"), S_OK;
        auto bytes = reinterpret_cast<const unsigned char *>(V_BSTR(&names));
        std::string why = objection(bytes, bytes + SysStringByteLen(V_BSTR(&names)));
        if (!why.empty()) return *disposition = say(CERTSRV_E_ENROLL_DENIED, why), S_OK;
        server.enable("2.5.29.17", names);
        // Days are the unit of such dates. Only an earlier end may be set.
        if (server.get("NotBefore", PROPTYPE_DATE, begin)
            && server.get("NotAfter", PROPTYPE_DATE, end)
            && V_DATE(&begin) + days < V_DATE(&end)) {
            V_DATE(&end) = V_DATE(&begin) + days;
            server.set("NotAfter", PROPTYPE_DATE, end);
        }
        *disposition = VR_INSTANT_OK;
        return S_OK;
    }
public:
    STDMETHODIMP Initialize(const BSTR) override {
        try {
            Server server{0};
            Value name, number;
            if (!server.get("Setting.domain", PROPTYPE_STRING, name)
                || !server.get("Setting.days", PROPTYPE_LONG, number) || V_I4(&number) < 1)
                return say(E_INVALIDARG, "the settings domain and days are needed");
            domain = narrow(name);
            days = V_I4(&number);
            return S_OK;
        } catch (HRESULT hr) { return hr; }
    }
    STDMETHODIMP VerifyRequest(const BSTR, LONG context, LONG, LONG, LONG *disposition) override {
        // An exception must not leave a method.
        try { return decide(context, disposition); }
        catch (HRESULT hr) { return hr; }
        catch (const std::exception &err) { return say(E_FAIL, err.what()); }
    }
    STDMETHODIMP GetDescription(BSTR *out) override {
        *out = text("hosts of one domain, and not for long").release();
        return S_OK;
    }
    STDMETHODIMP ShutDown() override { return S_OK; }

    STDMETHODIMP QueryInterface(REFIID iid, void **out) override {
        if (iid == IID_IClassFactory) *out = static_cast<IClassFactory *>(this);
        else if (iid == IID_IUnknown || iid == IID_ICertPolicy) *out = static_cast<ICertPolicy *>(this);
        else return *out = nullptr, E_NOINTERFACE;
        return S_OK;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return 1; }
    STDMETHODIMP_(ULONG) Release() override { return 1; }
    STDMETHODIMP CreateInstance(IUnknown *, REFIID iid, void **out) override {
        return QueryInterface(iid, out);
    }
    STDMETHODIMP LockServer(BOOL) override { return S_OK; }
    // Late binding, which QueryInterface denies.
    STDMETHODIMP GetTypeInfoCount(UINT *) override { return E_NOTIMPL; }
    STDMETHODIMP GetTypeInfo(UINT, LCID, ITypeInfo **) override { return E_NOTIMPL; }
    STDMETHODIMP GetIDsOfNames(REFIID, LPOLESTR *, UINT, LCID, DISPID *) override {
        return E_NOTIMPL;
    }
    STDMETHODIMP Invoke(DISPID, REFIID, LCID, WORD, DISPPARAMS *, VARIANT *, EXCEPINFO *,
                        UINT *) override { return E_NOTIMPL; }
} fence;

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out) {
    *out = nullptr;
    return clsid == CLASS ? fence.QueryInterface(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}
EXEUNT_ONE_CLASS(OLESTR("Fence.Policy"), CLASS)
