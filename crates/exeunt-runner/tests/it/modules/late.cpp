// An exit module that is known by the names of its members alone, as one in a scripting language is.
// It reads by names as well.
#include "byname.h"

static const CLSID CLASS = {0x7c0b3a11, 0x0b5e, 0x4d4f, {0x9a, 0x11, 1, 2, 3, 4, 5, 7}};

class Manage : public Named<Manage> {
public:
    static constexpr const char16_t *MEMBERS[] = {u"GetProperty", nullptr};
    HRESULT STDMETHODCALLTYPE Invoke(DISPID, REFIID, LCID, WORD, DISPPARAMS *params, VARIANT *result,
                                     EXCEPINFO *, UINT *) override
    {
        // The last argument, the flags, comes first.
        if (params->cArgs != 4 || params->rgvarg[0].vt != VT_I4 || params->rgvarg[1].vt != VT_BSTR) {
            return DISP_E_BADPARAMCOUNT;
        }
        *result = text(u"late");
        return S_OK;
    }
};

class Exit : public Named<Exit> {
public:
    static constexpr const char16_t *MEMBERS[] = {
#ifndef NO_NOTIFY
        u"notify",
#endif
        u"initialize", u"getdescription", u"getmanagemodule", nullptr};

    HRESULT STDMETHODCALLTYPE Invoke(DISPID id, REFIID, LCID, WORD flags, DISPPARAMS *params,
                                     VARIANT *result, EXCEPINFO *exception, UINT *) override
    {
        if (flags != DISPATCH_METHOD || params->cNamedArgs != 0) {
            return DISP_E_MEMBERNOTFOUND;
        }
        switch (id) {
        case 40:
            if (params->cArgs != 2) {
                return DISP_E_BADPARAMCOUNT;
            }
            return notify(params->rgvarg[1].lVal, params->rgvarg[0].lVal, exception);
        case 41:
            if (params->cArgs != 1 || params->rgvarg[0].vt != VT_BSTR) {
                return DISP_E_TYPEMISMATCH;
            }
            // A mask as text, as a language without types may give it.
            *result = text(u"1");
            return S_OK;
        case 42:
            *result = text(u"called by name");
            return S_OK;
        case 43:
            result->vt = VT_DISPATCH;
            result->pdispVal = new Manage;
            return S_OK;
        default:
            return DISP_E_MEMBERNOTFOUND;
        }
    }

private:
    HRESULT notify(LONG event, LONG context, EXCEPINFO *exception)
    {
        IDispatch *from = nullptr;
        HRESULT hr = CoCreateInstance(CLSID_CCertServerExit, nullptr, CLSCTX_INPROC_SERVER,
                                      IID_IDispatch, reinterpret_cast<void **>(&from));
        if (FAILED(hr)) {
            return hr;
        }
        std::string words, out = "event=" + std::to_string(event) + "; ";
        // A number as text is made a number.
        std::u16string digits = wide(std::to_string(context));
        VARIANT it = text(digits.c_str());
        out += "context=" + hex(by_name(from, u"setcontext", &it, 1, nullptr, &words)) + "; ";
        VariantClear(&it);
        out += read(from, u"GetRequestProperty", u"RequesterName", PROPTYPE_STRING);
        out += read(from, u"GETREQUESTPROPERTY", u"RequestID", PROPTYPE_LONG);
        out += read(from, u"GetCertificateProperty", u"RawCertificate", PROPTYPE_BINARY);
        out += read(from, u"GetCertificateProperty", u"UPN", PROPTYPE_STRING);
        out += read(from, u"GetCertificateExtension", u"1.2.3.1", PROPTYPE_LONG);
        VARIANT value;
        VariantInit(&value);
        by_name(from, u"GetCertificateExtensionFlags", nullptr, 0, &value, &words);
        out += "flags " + shown(value, false) + "; ";
        VARIANT none = number(0);
        by_name(from, u"EnumerateAttributesSetup", &none, 1, nullptr, &words);
        for (;;) {
            hr = by_name(from, u"EnumerateAttributes", nullptr, 0, &value, &words);
            if (FAILED(hr) || SysStringLen(value.bstrVal) == 0) {
                break;
            }
            out += narrow(value.bstrVal) + " ";
            VariantClear(&value);
        }
        VariantClear(&value);
        out += "end " + hex(hr) + "; ";
        by_name(from, u"EnumerateAttributesClose", nullptr, 0, nullptr, &words);
        VARIANT attribute = text(u"Do");
        by_name(from, u"GetRequestAttribute", &attribute, 1, &value, &words);
        bool is_to_report = narrow(value.bstrVal) == "report";
        VariantClear(&attribute);
        VariantClear(&value);
        hr = by_name(from, u"SetContext", nullptr, 0, nullptr, &words);
        out += "count=" + hex(hr) + "; ";
        hr = by_name(from, u"SetCertificateProperty", nullptr, 0, nullptr, &words);
        out += "set=" + hex(hr) + "; ";
        from->Release();
        return is_to_report ? raise(exception, E_ABORT, out, OLESTR("Test.Late.Exit")) : S_OK;
    }

    static std::string read(IDispatch *from, const char16_t *method, const char16_t *name, LONG type)
    {
        VARIANT arguments[] = {text(name), number(type)};
        VARIANT value;
        VariantInit(&value);
        std::string words;
        HRESULT hr = by_name(from, method, arguments, 2, &value, &words);
        std::string out = narrow(name, lstrlenW(name)) + "=";
        out += FAILED(hr) ? hex(hr) + " " + words : shown(value, type == PROPTYPE_BINARY);
        VariantClear(&value);
        VariantClear(&arguments[0]);
        return out + "; ";
    }
};

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out)
{
    *out = nullptr;
    return clsid == CLASS ? factory<Exit>(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}

EXEUNT_ONE_CLASS(OLESTR("Test.Late.Exit"), CLASS)
