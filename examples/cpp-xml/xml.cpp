// An exit module in C++ (ICertExit2): an XML file for each issued certificate, SERIAL.xml.
// Setting: directory. A certificate that comes twice has the same file both times.
#include <certsrv.h>
#include <exeunt.h>
#include <ole2.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <unistd.h>

namespace fs = std::filesystem;
static const CLSID CLASS = {0x5a6f1c20, 0x3d1e, 0x4b7a, {0x8c, 0x11, 0x20, 0x26, 0, 0, 0, 2}};

// Throws the code of a call that failed. Its words are on the thread already, as an error object.
static void check(HRESULT hr) { if (FAILED(hr)) throw hr; }

struct Released { void operator()(IUnknown *it) const { it->Release(); } };
struct Freed { void operator()(BSTR it) const { SysFreeString(it); } };
using Text = std::unique_ptr<OLECHAR, Freed>;
static Text text(const fs::path &it) { return Text{SysAllocString(it.u16string().c_str())}; }

// What can be read of an event; of context 0, the CA and the settings.
class Reader {
    std::unique_ptr<ICertServerExit, Released> from;
public:
    explicit Reader(LONG context) {
        void *out;
        check(CoCreateInstance(CLSID_CCertServerExit, nullptr, CLSCTX_ALL, IID_ICertServerExit,
                               &out));
        from.reset(static_cast<ICertServerExit *>(out));
        check(from->SetContext(context));
    }
    // A property in UTF-8, whatever its type. One without a value is ordinary: empty.
    std::string get(const char *name, LONG type, bool of_request = false) {
        VARIANT value = {};
        HRESULT hr = of_request ? from->GetRequestProperty(text(name).get(), type, &value)
                                : from->GetCertificateProperty(text(name).get(), type, &value);
        if (hr == CERTSRV_E_PROPERTY_EMPTY) return {};
        check(hr);
        check(VariantChangeType(&value, &value, 0, VT_BSTR));
        Text words{V_BSTR(&value)};
        return fs::path{words.get(), words.get() + SysStringLen(words.get())}.u8string();
    }
};

// An element of XML. What stands in it may be the requester's choice.
static std::string element(const std::string &name, const std::string &content) {
    std::string out = "  <" + name + ">";
    for (unsigned char it : content) {
        if (it == '&' || it == '<' || it == '>') out += "&#" + std::to_string(it) + ";";
        else out += it < ' ' ? ' ' : static_cast<char>(it);
    }
    return out + "</" + name + ">\n";
}

// Writes a file that appears whole, and is on the disk before the event is accepted.
static void save(const fs::path &path, const std::string &content) {
    fs::path draft = path.parent_path() / ("." + path.filename().string());
    FILE *file = fopen(draft.c_str(), "w");
    bool good = file && fwrite(content.data(), content.size(), 1, file) == 1 && fflush(file) == 0
        && fsync(fileno(file)) == 0;
    std::error_code error{errno, std::generic_category()};
    if (file) fclose(file);
    if (!good) throw fs::filesystem_error{"cannot write", draft, error};
    fs::rename(draft, path);
}

// An exception must not leave a method; one of ours becomes an error object for the operator.
template <class Work> static HRESULT guarded(Work work) {
    try { work(); return S_OK; }
    catch (HRESULT hr) { return hr; }
    catch (const std::exception &err) {
        ICreateErrorInfo *create = nullptr;
        void *error = nullptr;
        CreateErrorInfo(&create);
        create->SetDescription(text(err.what()).get());
        create->QueryInterface(IID_IErrorInfo, &error);
        SetErrorInfo(0, static_cast<IErrorInfo *>(error));
        static_cast<IErrorInfo *>(error)->Release();
        create->Release();
        return E_FAIL;
    }
}

// The module is one object that lives for ever, and its own class factory.
static class Xml final : public ICertExit2, public IClassFactory {
    fs::path directory;
public:
    STDMETHODIMP Initialize(const BSTR, LONG *mask) override {
        *mask = EXITEVENT_CERTISSUED;
        return guarded([this] {
            directory = fs::u8path(Reader{0}.get("Setting.directory", PROPTYPE_STRING));
            if (directory.empty()) throw std::runtime_error{"the setting directory is missing"};
            fs::create_directories(directory);
        });
    }
    STDMETHODIMP Notify(LONG, LONG context) override {
        return guarded([this, context] {
            Reader event{context};
            std::string serial = event.get("SerialNumber", PROPTYPE_STRING);
            save(directory / (serial + ".xml"),
                 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<certificate>\n"
                     + element("serialNumber", serial)
                     + element("sha1", event.get("CertificateHash", PROPTYPE_STRING))
                     + element("subject", event.get("DistinguishedName", PROPTYPE_STRING))
                     + element("notBefore", event.get("NotBefore", PROPTYPE_DATE))
                     + element("notAfter", event.get("NotAfter", PROPTYPE_DATE))
                     + element("template", event.get("CertificateTemplate", PROPTYPE_STRING))
                     + element("requester", event.get("RequesterName", PROPTYPE_STRING, true))
                     + "</certificate>\n");
        });
    }
    STDMETHODIMP GetDescription(BSTR *out) override {
        *out = text("an XML file for each issued certificate").release();
        return S_OK;
    }
    STDMETHODIMP GetManageModule(ICertManageModule **) override { return E_NOTIMPL; }

    STDMETHODIMP QueryInterface(REFIID iid, void **out) override {
        if (iid == IID_IClassFactory) *out = static_cast<IClassFactory *>(this);
        else if (iid == IID_IUnknown || iid == IID_ICertExit || iid == IID_ICertExit2)
            *out = static_cast<ICertExit2 *>(this);
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
} xml;

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out) {
    *out = nullptr;
    return clsid == CLASS ? xml.QueryInterface(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}
EXEUNT_ONE_CLASS(OLESTR("Xml.Exit"), CLASS)
