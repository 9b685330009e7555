// An exit module that is known by the names of its members alone, as one in a scripting language is.
// It reads by names as well.
#include "test.h"

static const CLSID CLASS = {0x7c0b3a11, 0x0b5e, 0x4d4f, {0x9a, 0x11, 1, 2, 3, 4, 5, 7}};

// Calls a member of the server's object by its name; the arguments come in their natural order.
static HRESULT by_name(IDispatch *object, const char16_t *name, VARIANT *arguments, UINT count,
                       VARIANT *result, std::string *words)
{
    LPOLESTR names[] = {const_cast<LPOLESTR>(name)};
    DISPID id = 0;
    HRESULT hr = object->GetIDsOfNames(IID_NULL, names, 1, 0, &id);
    if (FAILED(hr)) {
        return hr;
    }
    VARIANT reversed[4];
    for (UINT i = 0; i < count; i++) {
        reversed[i] = arguments[count - 1 - i];
    }
    DISPPARAMS params = {reversed, nullptr, count, 0};
    EXCEPINFO exception = {};
    hr = object->Invoke(id, IID_NULL, 0, DISPATCH_METHOD | DISPATCH_PROPERTYGET, &params, result,
                        &exception, nullptr);
    if (hr == DISP_E_EXCEPTION) {
        *words = narrow(exception.bstrDescription) + " from " + narrow(exception.bstrSource);
        SysFreeString(exception.bstrDescription);
        SysFreeString(exception.bstrSource);
        return exception.scode;
    }
    return hr;
}

static VARIANT text(const char16_t *it)
{
    VARIANT value;
    VariantInit(&value);
    value.vt = VT_BSTR;
    value.bstrVal = SysAllocString(it);
    return value;
}

static VARIANT number(LONG it)
{
    VARIANT value;
    VariantInit(&value);
    value.vt = VT_I4;
    value.lVal = it;
    return value;
}

// Members by name, in any case, with numbers of the class's own.
template <class D> class Named : public Counted<D, IDispatch> {
public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID iid, void **out) override
    {
        *out = nullptr;
        if (iid != IID_IUnknown && iid != IID_IDispatch) {
            return E_NOINTERFACE;
        }
        this->AddRef();
        *out = static_cast<IDispatch *>(this);
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE GetTypeInfoCount(UINT *count) override
    {
        *count = 0;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE GetTypeInfo(UINT, LCID, ITypeInfo **) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE GetIDsOfNames(REFIID, LPOLESTR *names, UINT, LCID, DISPID *id) override
    {
        for (DISPID it = 0; D::MEMBERS[it] != nullptr; it++) {
            if (lstrcmpiW(names[0], D::MEMBERS[it]) == 0) {
                *id = it + 40;
                return S_OK;
            }
        }
        *id = DISPID_UNKNOWN;
        return DISP_E_UNKNOWNNAME;
    }
};

static HRESULT raise(EXCEPINFO *exception, HRESULT hr, const std::string &words)
{
    exception->scode = hr;
    exception->bstrDescription = SysAllocString(wide(words).c_str());
    exception->bstrSource = SysAllocString(OLESTR("Test.Late.Exit"));
    return DISP_E_EXCEPTION;
}

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
        return is_to_report ? raise(exception, E_ABORT, out) : S_OK;
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
