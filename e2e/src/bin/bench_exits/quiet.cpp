// An exit module in a library that does nothing but succeed: what the tier itself costs.
#include <initguid.h>

#include <windows.h>

#include <ole2.h>

#include <certexit.h>
#include <exeunt.h>

#include <atomic>

static const CLSID CLASS = {0x51c7a1b2, 0x6f0d, 0x4a61, {0x8e, 0x21, 9, 8, 7, 6, 5, 4}};

class Quiet final : public ICertExit {
    std::atomic<ULONG> count{1};

public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID iid, void **out) override
    {
        *out = nullptr;
        if (iid != IID_IUnknown && iid != IID_IDispatch && iid != IID_ICertExit) {
            return E_NOINTERFACE;
        }
        AddRef();
        *out = this;
        return S_OK;
    }
    ULONG STDMETHODCALLTYPE AddRef() override { return ++count; }
    ULONG STDMETHODCALLTYPE Release() override
    {
        ULONG left = --count;
        if (left == 0) {
            delete this;
        }
        return left;
    }
    HRESULT STDMETHODCALLTYPE GetTypeInfoCount(UINT *number) override
    {
        *number = 0;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE GetTypeInfo(UINT, LCID, ITypeInfo **) override { return E_NOTIMPL; }
    HRESULT STDMETHODCALLTYPE GetIDsOfNames(REFIID, LPOLESTR *, UINT, LCID, DISPID *) override
    {
        return E_NOTIMPL;
    }
    HRESULT STDMETHODCALLTYPE Invoke(DISPID, REFIID, LCID, WORD, DISPPARAMS *, VARIANT *,
                                     EXCEPINFO *, UINT *) override
    {
        return E_NOTIMPL;
    }
    HRESULT STDMETHODCALLTYPE Initialize(const BSTR, LONG *mask) override
    {
        *mask = -1;
        return S_OK;
    }
    HRESULT STDMETHODCALLTYPE Notify(LONG, LONG) override { return S_OK; }
    HRESULT STDMETHODCALLTYPE GetDescription(BSTR *text) override
    {
        *text = SysAllocString(OLESTR("does nothing"));
        return S_OK;
    }
};

class Factory final : public IClassFactory {
public:
    HRESULT STDMETHODCALLTYPE QueryInterface(REFIID iid, void **out) override
    {
        bool known = iid == IID_IUnknown || iid == IID_IClassFactory;
        *out = known ? this : nullptr;
        return known ? S_OK : E_NOINTERFACE;
    }
    ULONG STDMETHODCALLTYPE AddRef() override { return 2; }
    ULONG STDMETHODCALLTYPE Release() override { return 1; }
    HRESULT STDMETHODCALLTYPE CreateInstance(IUnknown *outer, REFIID iid, void **out) override
    {
        *out = nullptr;
        if (outer != nullptr) {
            return CLASS_E_NOAGGREGATION;
        }
        auto *made = new Quiet;
        HRESULT hr = made->QueryInterface(iid, out);
        made->Release();
        return hr;
    }
    HRESULT STDMETHODCALLTYPE LockServer(BOOL) override { return S_OK; }
};

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out)
{
    static Factory factory;
    *out = nullptr;
    return clsid == CLASS ? factory.QueryInterface(iid, out) : CLASS_E_CLASSNOTAVAILABLE;
}

EXEUNT_ONE_CLASS(OLESTR("Exeunt.Bench.Quiet"), CLASS)
