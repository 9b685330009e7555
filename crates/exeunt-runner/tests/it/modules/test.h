// What the test modules in C++ share: text, error information, a report, class factories.
#pragma once
#include <windows.h>
#include <ole2.h>

#include <certexit.h>
#include <certif.h>
#include <certsrv.h>
#include <exeunt.h>

#include <atomic>
#include <cstdio>
#include <string>

inline std::string narrow(const OLECHAR *text, size_t units)
{
    std::string out;
    for (size_t i = 0; i < units; i++) {
        out += text[i] < 0x80 ? static_cast<char>(text[i]) : '?';
    }
    return out;
}

inline std::string narrow(BSTR text)
{
    return narrow(text, SysStringLen(text));
}

inline std::u16string wide(const std::string &text)
{
    return std::u16string(text.begin(), text.end());
}

// A string that frees itself.
class Text {
public:
    BSTR raw = nullptr;
    Text() = default;
    explicit Text(const std::string &text) : raw(SysAllocString(wide(text).c_str())) {}
    Text(const Text &) = delete;
    ~Text() { SysFreeString(raw); }
    std::string str() const { return narrow(raw); }
};

inline std::string hex(HRESULT hr)
{
    char out[16];
    snprintf(out, sizeof out, "%08x", static_cast<unsigned>(hr));
    return out;
}

// What a value is and holds: "long 9", "date 46347.25", "string text", "binary 3 300100".
inline std::string shown(const VARIANT &value, bool binary)
{
    char out[64];
    switch (value.vt) {
    case VT_EMPTY:
        return "empty";
    case VT_I4:
        return "long " + std::to_string(value.lVal);
    case VT_DATE:
        snprintf(out, sizeof out, "date %.6f", value.date);
        return out;
    case VT_BSTR:
        if (binary) {
            UINT bytes = SysStringByteLen(value.bstrVal);
            std::string text = "binary " + std::to_string(bytes) + " ";
            for (UINT i = 0; i < bytes && i < 8; i++) {
                snprintf(out, sizeof out, "%02x",
                         reinterpret_cast<const unsigned char *>(value.bstrVal)[i]);
                text += out;
            }
            return text;
        }
        return "string " + narrow(value.bstrVal);
    default:
        return "type " + std::to_string(value.vt);
    }
}

inline HRESULT fail(HRESULT hr, const std::string &description)
{
    ICreateErrorInfo *create = nullptr;
    IErrorInfo *error = nullptr;
    if (SUCCEEDED(CreateErrorInfo(&create))) {
        create->SetDescription(const_cast<OLECHAR *>(wide(description).c_str()));
        if (SUCCEEDED(create->QueryInterface(IID_IErrorInfo, reinterpret_cast<void **>(&error)))) {
            SetErrorInfo(0, error);
            error->Release();
        }
        create->Release();
    }
    return hr;
}

// A test reads what a module saw from the reason of its failure.
inline HRESULT report(const std::string &text)
{
    return fail(E_ABORT, text);
}

inline ICertServerExit *server(LONG context)
{
    ICertServerExit *out = nullptr;
    if (FAILED(CoCreateInstance(CLSID_CCertServerExit, nullptr, CLSCTX_INPROC_SERVER,
                                IID_ICertServerExit, reinterpret_cast<void **>(&out)))) {
        return nullptr;
    }
    if (context != 0 && FAILED(out->SetContext(context))) {
        out->Release();
        return nullptr;
    }
    return out;
}

// Counts references; D is the class, I its first interface.
template <class D, class... I> class Counted : public I... {
public:
    virtual ~Counted() = default;
    ULONG STDMETHODCALLTYPE AddRef() override { return ++count; }
    ULONG STDMETHODCALLTYPE Release() override
    {
        ULONG left = --count;
        if (left == 0) {
            delete static_cast<D *>(this);
        }
        return left;
    }

private:
    std::atomic<ULONG> count{1};
};

// Late binding that nobody needs.
#define NO_DISPATCH                                                                                \
    HRESULT STDMETHODCALLTYPE GetTypeInfoCount(UINT *count) override                               \
    {                                                                                              \
        *count = 0;                                                                                \
        return S_OK;                                                                               \
    }                                                                                              \
    HRESULT STDMETHODCALLTYPE GetTypeInfo(UINT, LCID, ITypeInfo **) override                       \
    {                                                                                              \
        return E_NOTIMPL;                                                                          \
    }                                                                                              \
    HRESULT STDMETHODCALLTYPE GetIDsOfNames(REFIID, LPOLESTR *, UINT, LCID, DISPID *) override     \
    {                                                                                              \
        return E_NOTIMPL;                                                                          \
    }                                                                                              \
    HRESULT STDMETHODCALLTYPE Invoke(DISPID, REFIID, LCID, WORD, DISPPARAMS *, VARIANT *,          \
                                     EXCEPINFO *, UINT *) override                                 \
    {                                                                                              \
        return E_NOTIMPL;                                                                          \
    }

template <class T> class Factory : public Counted<Factory<T>, IClassFactory> {
public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID iid, void **out) override
    {
        *out = nullptr;
        if (iid != IID_IUnknown && iid != IID_IClassFactory) {
            return E_NOINTERFACE;
        }
        this->AddRef();
        *out = static_cast<IClassFactory *>(this);
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE CreateInstance(IUnknown *outer, REFIID iid, void **out) override
    {
        *out = nullptr;
        if (outer != nullptr) {
            return CLASS_E_NOAGGREGATION;
        }
        T *object = new T;
        HRESULT hr = object->QueryInterface(iid, out);
        object->Release();
        return hr;
    }
    HRESULT STDMETHODCALLTYPE LockServer(BOOL) override { return S_OK; }
};

template <class T> HRESULT factory(REFIID iid, void **out)
{
    auto *it = new Factory<T>;
    HRESULT hr = it->QueryInterface(iid, out);
    it->Release();
    return hr;
}
