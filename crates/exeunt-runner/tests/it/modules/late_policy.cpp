// A policy module that is known by the names of its members alone, and reads and writes by names.
#include "byname.h"
#include "clerk.h"

static const CLSID CLASS = {0x7c0b3a11, 0x0b5e, 0x4d4f, {0x9a, 0x11, 1, 2, 3, 4, 5, 0x12}};

class Late : public Server {
    IDispatch *from = nullptr;
    std::string last_words;

    HRESULT call(const char16_t *name, std::initializer_list<VARIANT> arguments, VARIANT *result)
    {
        std::vector<VARIANT> all{arguments};
        VARIANT none;
        VariantInit(&none);
        HRESULT hr = by_name(from, name, all.data(), static_cast<UINT>(all.size()),
                             result != nullptr ? result : &none, &last_words);
        VariantClear(&none);
        return hr;
    }

    // A text that stays its owner's.
    static VARIANT lent(BSTR it)
    {
        VARIANT out;
        V_VT(&out) = VT_BSTR;
        V_BSTR(&out) = it;
        return out;
    }

public:
    Late()
    {
        // As a scripting language finds it.
        CLSID clsid = {};
        CLSIDFromProgID(OLESTR("CertificateAuthority.ServerPolicy"), &clsid);
        CoCreateInstance(clsid, nullptr, CLSCTX_INPROC_SERVER, IID_IDispatch,
                         reinterpret_cast<void **>(&from));
    }
    ~Late() override { from->Release(); }
    HRESULT context(LONG to) override { return call(u"setcontext", {number(to)}, nullptr); }
    HRESULT get(bool certificate, BSTR name, LONG type, VARIANT *out) override
    {
        const char16_t *member = certificate ? u"GetCertificateProperty" : u"GetRequestProperty";
        return call(member, {lent(name), number(type)}, out);
    }
    HRESULT set(BSTR name, LONG type, VARIANT *value) override
    {
        return call(u"SETCERTIFICATEPROPERTY", {lent(name), number(type), *value}, nullptr);
    }
    HRESULT extension(BSTR oid, LONG type, VARIANT *out, LONG *flags) override
    {
        HRESULT hr = call(u"GetCertificateExtension", {lent(oid), number(type)}, out);
        if (FAILED(hr)) {
            return hr;
        }
        VARIANT bits;
        VariantInit(&bits);
        hr = call(u"GetCertificateExtensionFlags", {}, &bits);
        *flags = V_I4(&bits);
        return hr;
    }
    HRESULT extend(BSTR oid, LONG type, LONG flags, VARIANT *value) override
    {
        return call(u"SetCertificateExtension", {lent(oid), number(type), number(flags), *value},
                    nullptr);
    }
    HRESULT attribute(BSTR name, BSTR *out) override
    {
        VARIANT value;
        VariantInit(&value);
        HRESULT hr = call(u"GetRequestAttribute", {lent(name)}, &value);
        *out = V_VT(&value) == VT_BSTR ? V_BSTR(&value) : nullptr;
        return hr;
    }
    std::string why() override { return last_words; }
    std::string list(bool extensions) override
    {
        std::string out;
        call(extensions ? u"EnumerateExtensionsSetup" : u"EnumerateAttributesSetup", {number(0)},
             nullptr);
        for (;;) {
            VARIANT name;
            VariantInit(&name);
            HRESULT hr =
                call(extensions ? u"EnumerateExtensions" : u"EnumerateAttributes", {}, &name);
            if (FAILED(hr) || SysStringLen(V_BSTR(&name)) == 0) {
                VariantClear(&name);
                break;
            }
            out += (out.empty() ? "" : " ") + narrow(V_BSTR(&name));
            VariantClear(&name);
        }
        call(extensions ? u"EnumerateExtensionsClose" : u"EnumerateAttributesClose", {}, nullptr);
        return out;
    }
};

class Policy : public Named<Policy> {
public:
    static constexpr const char16_t *MEMBERS[] = {
#ifndef NO_VERIFY
        u"verifyrequest",
#endif
        u"initialize", u"getdescription", u"shutdown", nullptr};

    HRESULT STDMETHODCALLTYPE Invoke(DISPID id, REFIID, LCID, WORD flags, DISPPARAMS *params,
                                     VARIANT *result, EXCEPINFO *exception, UINT *) override
    {
        if (flags != DISPATCH_METHOD || params->cNamedArgs != 0) {
            return DISP_E_MEMBERNOTFOUND;
        }
        switch (id) {
        case 40: {
            // The last argument comes first: flags, whether it is new, the context, the name.
            VARIANT *it = params->rgvarg;
            if (params->cArgs != 4 || V_VT(&it[3]) != VT_BSTR || V_VT(&it[2]) != VT_I4
                || V_VT(&it[1]) != VT_I4 || V_VT(&it[0]) != VT_I4) {
                return DISP_E_BADPARAMCOUNT;
            }
            Late server;
            HRESULT hr = server.context(V_I4(&it[2]));
            if (FAILED(hr)) {
                return hr;
            }
            End end = run(server, V_I4(&it[1]) != 0);
            if (FAILED(end.hr)) {
                return raise(exception, end.hr, end.words, OLESTR("Test.Late.Policy"));
            }
            // Words beside a success are an error object on the thread, also for a late module.
            if (!end.words.empty()) {
                fail(E_FAIL, end.words);
            }
            // A disposition as text, as a language without types may give it.
            *result = text(wide(std::to_string(end.disposition)).c_str());
            return S_OK;
        }
        case 41:
            return params->cArgs == 1 && V_VT(params->rgvarg) == VT_BSTR ? S_OK : DISP_E_BADPARAMCOUNT;
        case 42:
            *result = text(u"called by name");
            return S_OK;
        case 43:
            fprintf(stderr, "ShutDown\n");
            return S_OK;
        default:
            return DISP_E_MEMBERNOTFOUND;
        }
    }
};

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out)
{
    *out = nullptr;
    return clsid == CLASS ? factory<Policy>(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}

EXEUNT_ONE_CLASS(OLESTR("Test.Late.Policy"), CLASS)
