// Classes written in C++ are registered, created, and go with their last reference.
#include <exeunt.h>
#include <ole2.h>
#include <windows.h>

#include "expect.h"

static LONG alive = 0;

class Thing final : public IDispatch {
    LONG count = 1;

public:
    Thing() { InterlockedIncrement(&alive); }
    virtual ~Thing() { InterlockedDecrement(&alive); }
    STDMETHODIMP QueryInterface(REFIID riid, void **object) override
    {
        if (riid == IID_IUnknown || riid == IID_IDispatch) {
            *object = static_cast<IDispatch *>(this);
            AddRef();
            return S_OK;
        }
        *object = nullptr;
        return E_NOINTERFACE;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return InterlockedIncrement(&count); }
    STDMETHODIMP_(ULONG) Release() override
    {
        ULONG left = InterlockedDecrement(&count);
        if (left == 0) {
            delete this;
        }
        return left;
    }
    STDMETHODIMP GetTypeInfoCount(UINT *types) override
    {
        *types = 0;
        return S_OK;
    }
    STDMETHODIMP GetTypeInfo(UINT, LCID, ITypeInfo **) override { return E_NOTIMPL; }
    STDMETHODIMP GetIDsOfNames(REFIID, LPOLESTR *, UINT, LCID, DISPID *) override
    {
        return DISP_E_UNKNOWNNAME;
    }
    STDMETHODIMP Invoke(DISPID, REFIID, LCID, WORD, DISPPARAMS *, VARIANT *, EXCEPINFO *,
                        UINT *) override
    {
        return DISP_E_MEMBERNOTFOUND;
    }
};

class Factory final : public IClassFactory {
public:
    STDMETHODIMP QueryInterface(REFIID riid, void **object) override
    {
        if (riid == IID_IUnknown || riid == IID_IClassFactory) {
            *object = this;
            return S_OK;
        }
        *object = nullptr;
        return E_NOINTERFACE;
    }
    STDMETHODIMP_(ULONG) AddRef() override { return 2; }
    STDMETHODIMP_(ULONG) Release() override { return 1; }
    STDMETHODIMP CreateInstance(IUnknown *outer, REFIID riid, void **object) override
    {
        if (outer != nullptr) {
            return CLASS_E_NOAGGREGATION;
        }
        Thing *thing = new Thing;
        HRESULT hr = thing->QueryInterface(riid, object);
        thing->Release();
        return hr;
    }
    STDMETHODIMP LockServer(BOOL) override { return S_OK; }
};

static Factory factory;
static const CLSID CLSID_Thing = {
    0x2b1d7f40, 0x11aa, 0x4c22, {0x80, 0x01, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60}};

EXEUNT_ONE_CLASS(OLESTR("Made.Exit"), CLSID_Thing)

int main()
{
    DWORD cookie = 0;
    IDispatch *thing = nullptr;
    void **place = reinterpret_cast<void **>(&thing);
    EXPECT(CoCreateInstance(CLSID_Thing, nullptr, CLSCTX_INPROC_SERVER, IID_IDispatch, place) ==
           REGDB_E_CLASSNOTREG);
    EXPECT(CoRegisterClassObject(CLSID_Thing, &factory, CLSCTX_INPROC_SERVER, REGCLS_MULTIPLEUSE,
                                 &cookie) == S_OK);
    EXPECT(CoCreateInstance(CLSID_Thing, nullptr, CLSCTX_ALL, IID_IDispatch, place) == S_OK);
    EXPECT(alive == 1);
    UINT types = 7;
    EXPECT(thing->GetTypeInfoCount(&types) == S_OK && types == 0);

    // A value keeps its object alive.
    VARIANT value, copy;
    VariantInit(&value);
    VariantInit(&copy);
    V_VT(&value) = VT_DISPATCH;
    V_DISPATCH(&value) = thing;
    EXPECT(VariantCopy(&copy, &value) == S_OK);
    EXPECT(VariantClear(&value) == S_OK && alive == 1);
    EXPECT(VariantClear(&copy) == S_OK && alive == 0);

    EXPECT(CoCreateInstance(CLSID_Thing, &factory, CLSCTX_ALL, IID_IDispatch, place) ==
           CLASS_E_NOAGGREGATION);
    EXPECT(CoCreateInstance(CLSID_Thing, nullptr, CLSCTX_ALL, IID_IErrorInfo, place) ==
           E_NOINTERFACE);
    EXPECT(thing == nullptr && alive == 0);
    EXPECT(CoCreateInstance(CLSID_Thing, nullptr, CLSCTX_ALL, IID_IDispatch, nullptr) == E_POINTER);

    IClassFactory *found = nullptr;
    EXPECT(CoGetClassObject(CLSID_Thing, CLSCTX_ALL, nullptr, IID_IClassFactory,
                            reinterpret_cast<void **>(&found)) == S_OK);
    EXPECT(found == &factory);
    EXPECT(CoRevokeClassObject(cookie) == S_OK);
    EXPECT(CoRevokeClassObject(cookie) == CO_E_OBJNOTREG);

    const OLECHAR *progid = nullptr;
    CLSID clsid;
    EXPECT(ExeuntClass(0, &progid, &clsid) == S_OK && clsid == CLSID_Thing);
    EXPECT(lstrcmpiW(progid, OLESTR("made.exit")) == 0);
    EXPECT(ExeuntClass(1, &progid, &clsid) == S_FALSE);
    puts("done");
    return 0;
}
