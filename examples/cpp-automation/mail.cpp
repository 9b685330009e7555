// An exit module for Automation: IDispatch and nothing else. It is called by the names of its
// members, as one in a scripting language is, and reads by names itself. It puts a mail into a
// Maildir for each request that is issued, held or denied. Settings: maildir, to.
#include <certsrv.h>
#include <exeunt.h>
#include <ole2.h>
#include <windows.h>

#include <ctime>
#include <filesystem>
#include <fstream>

namespace fs = std::filesystem;
static const CLSID CLASS = {0x5a6f1c20, 0x3d1e, 0x4b7a, {0x8c, 0x11, 0x20, 0x26, 0, 0, 0, 3}};

struct Failure { HRESULT hr; std::u16string words; };

// A value that frees itself.
struct Value : VARIANT {
    Value() : VARIANT{} {}
    Value(LONG it) : VARIANT{} { vt = VT_I4, lVal = it; }
    Value(const char16_t *it) : VARIANT{} { vt = VT_BSTR, bstrVal = SysAllocString(it); }
    Value(Value &&it) : VARIANT{it} { it.vt = VT_EMPTY; }
    ~Value() { VariantClear(this); }
    // In UTF-8, whatever the type, and in one line: requesters choose some of these texts.
    std::string text() {
        if (FAILED(VariantChangeType(this, this, 0, VT_BSTR))) return {};
        std::string out = fs::path{bstrVal, bstrVal + SysStringLen(bstrVal)}.u8string();
        for (char &it : out) if (static_cast<unsigned char>(it) < ' ') it = ' ';
        return out;
    }
};

// Calls a member by its name; the arguments stand in Automation's order, the last one first.
template <class... Arguments>
static Value call(IDispatch *object, const char16_t *member, Arguments... reversed) {
    LPOLESTR names[] = {const_cast<LPOLESTR>(member)};
    DISPID id = DISPID_UNKNOWN;
    Value arguments[] = {reversed...}, result;
    DISPPARAMS params = {arguments, nullptr, sizeof...(reversed), 0};
    EXCEPINFO thrown = {};
    HRESULT hr = object->GetIDsOfNames(IID_NULL, names, 1, 0, &id);
    if (SUCCEEDED(hr))
        hr = object->Invoke(id, IID_NULL, 0, DISPATCH_METHOD, &params, &result, &thrown, nullptr);
    std::u16string words{thrown.bstrDescription, SysStringLen(thrown.bstrDescription)};
    SysFreeString(thrown.bstrDescription);
    SysFreeString(thrown.bstrSource);
    if (FAILED(hr)) throw Failure{hr == DISP_E_EXCEPTION ? thrown.scode : hr, words};
    return result;
}

// What can be read of an event; of context 0, the CA and the settings.
struct Server {
    IDispatch *from = nullptr;
    explicit Server(LONG context) {
        if (FAILED(CoCreateInstance(CLSID_CCertServerExit, nullptr, CLSCTX_ALL, IID_IDispatch,
                                    reinterpret_cast<void **>(&from))))
            throw Failure{E_FAIL, u"there is no server to read from"};
        call(from, u"SetContext", context);
    }
    ~Server() { from->Release(); }
    // A property as text. One without a value is ordinary: empty.
    std::string get(const char16_t *name, LONG type, bool of_request = false) {
        auto member = of_request ? u"GetRequestProperty" : u"GetCertificateProperty";
        try { return call(from, member, type, name).text(); }
        catch (const Failure &it) { if (it.hr != CERTSRV_E_PROPERTY_EMPTY) throw; }
        return {};
    }
};

// 2026-11-21T07:00:00Z as mails have it: Sat, 21 Nov 2026 07:00:00 +0000.
static std::string mail_date(const std::string &iso) {
    tm parts = {};
    char out[64];
    strptime(iso.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
    return {out, strftime(out, sizeof out, "%a, %d %b %Y %T +0000", &parts)};
}

static class Mail final : public IDispatch {
    fs::path maildir;
    std::string to;

    LONG initialize() {
        Server ca{0};
        maildir = fs::u8path(ca.get(u"Setting.maildir", PROPTYPE_STRING));
        to = ca.get(u"Setting.to", PROPTYPE_STRING);
        if (maildir.empty() || to.empty())
            throw Failure{E_INVALIDARG, u"the settings maildir and to are needed"};
        for (auto it : {"tmp", "new", "cur"}) fs::create_directories(maildir / it);
        return EXITEVENT_CERTISSUED | EXITEVENT_CERTPENDING | EXITEVENT_CERTDENIED;
    }

    void notify(LONG event, LONG context) {
        Server it{context};
        std::string id = it.get(u"RequestID", PROPTYPE_LONG, true);
        std::string word = event == EXITEVENT_CERTISSUED ? "issued"
            : event == EXITEVENT_CERTPENDING ? "pending" : "denied";
        // The same event has the same name and the same Message-ID, should it come twice.
        std::string host = Server{0}.get(u"MachineDNSName", PROPTYPE_STRING);
        std::string name = word + "-" + id + "." + host;
        std::ofstream file{maildir / "tmp" / name};
        file << "From: exeunt@" << host << "\nTo: " << to
             << "\nSubject: Request " << id << " is " << word
             << "\nDate: " << mail_date(it.get(u"SubmittedWhen", PROPTYPE_DATE, true))
             << "\nMessage-ID: <" << word << "-" << id << "@" << host
             << ">\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8"
             << "\nContent-Transfer-Encoding: 8bit\n\n"
             << "Requester:   " << it.get(u"RequesterName", PROPTYPE_STRING, true)
             << "\nSubject:     " << it.get(u"DistinguishedName", PROPTYPE_STRING, true)
             << "\nSerial:      " << it.get(u"SerialNumber", PROPTYPE_STRING)
             << "\nValid until: " << it.get(u"NotAfter", PROPTYPE_DATE)
             << "\nMessage:     " << it.get(u"DispositionMessage", PROPTYPE_STRING, true) << "\n";
        file.close();
        if (!file) throw Failure{E_FAIL, u"the mail cannot be written into " + maildir.u16string()};
        fs::rename(maildir / "tmp" / name, maildir / "new" / name);
    }

public:
    // The numbers of its members are their places here, from 1.
    STDMETHODIMP GetIDsOfNames(REFIID, LPOLESTR *names, UINT, LCID, DISPID *id) override {
        static const OLECHAR *const MEMBERS[] = {u"Initialize", u"Notify", u"GetDescription"};
        for (*id = 1; *id <= 3; ++*id) if (lstrcmpiW(names[0], MEMBERS[*id - 1]) == 0) return S_OK;
        return *id = DISPID_UNKNOWN, DISP_E_UNKNOWNNAME;
    }
    // The last argument comes first. A failure travels in `thrown`.
    STDMETHODIMP Invoke(DISPID id, REFIID, LCID, WORD, DISPPARAMS *params, VARIANT *result,
                        EXCEPINFO *thrown, UINT *) override {
        static const UINT COUNTS[] = {1, 2, 0};
        if (id < 1 || id > 3) return DISP_E_MEMBERNOTFOUND;
        if (params->cArgs != COUNTS[id - 1]) return DISP_E_BADPARAMCOUNT;
        std::u16string words;
        try {
            if (id == 1) V_VT(result) = VT_I4, V_I4(result) = initialize();
            if (id == 2) notify(V_I4(&params->rgvarg[1]), V_I4(&params->rgvarg[0]));
            if (id == 3) V_VT(result) = VT_BSTR, V_BSTR(result) = SysAllocString(u"sends mails");
            return S_OK;
        } catch (const Failure &it) { thrown->scode = it.hr, words = it.words; }
        catch (const std::exception &it) {
            thrown->scode = E_FAIL, words = fs::u8path(it.what()).u16string();
        }
        thrown->bstrDescription = SysAllocString(words.c_str());
        return DISP_E_EXCEPTION;
    }
    STDMETHODIMP GetTypeInfoCount(UINT *count) override { return *count = 0, S_OK; }
    STDMETHODIMP GetTypeInfo(UINT, LCID, ITypeInfo **) override { return E_NOTIMPL; }
    STDMETHODIMP QueryInterface(REFIID iid, void **out) override {
        bool known = iid == IID_IUnknown || iid == IID_IDispatch;
        return *out = known ? this : nullptr, known ? S_OK : E_NOINTERFACE;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return 1; } // it lives for ever
    STDMETHODIMP_(ULONG) Release() override { return 1; }
} mail;

static class Factory final : public IClassFactory {
public:
    STDMETHODIMP QueryInterface(REFIID iid, void **out) override {
        bool known = iid == IID_IUnknown || iid == IID_IClassFactory;
        return *out = known ? this : nullptr, known ? S_OK : E_NOINTERFACE;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return 1; }
    STDMETHODIMP_(ULONG) Release() override { return 1; }
    STDMETHODIMP CreateInstance(IUnknown *, REFIID iid, void **out) override {
        return mail.QueryInterface(iid, out);
    }
    STDMETHODIMP LockServer(BOOL) override { return S_OK; }
} factory;

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out) {
    *out = nullptr;
    return clsid == CLASS ? factory.QueryInterface(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}
EXEUNT_ONE_CLASS(OLESTR("Mail.Exit"), CLASS)
