// What modules share that are known by the names of their members, and call by names.
#pragma once
#include "test.h"

// Calls a member of the server's object by its name; the arguments come in their natural order.
inline HRESULT by_name(IDispatch *object, const char16_t *name, VARIANT *arguments, UINT count,
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

inline VARIANT text(const char16_t *it)
{
    VARIANT value;
    VariantInit(&value);
    value.vt = VT_BSTR;
    value.bstrVal = SysAllocString(it);
    return value;
}

inline VARIANT number(LONG it)
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

inline HRESULT raise(EXCEPINFO *exception, HRESULT hr, const std::string &words,
                     const OLECHAR *source)
{
    exception->scode = hr;
    exception->bstrDescription = SysAllocString(wide(words).c_str());
    exception->bstrSource = SysAllocString(source);
    return DISP_E_EXCEPTION;
}
