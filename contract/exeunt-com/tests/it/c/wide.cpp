// The habits of the original's authors, compiled with -fshort-wchar: L"...", initguid.h, CamelCase
// calls, __declspec. It is compiled and a part of it run; nothing of it is ours.
#include <windows.h>
#include <ole2.h>
#include <initguid.h>
#include <certsrv.h>
#include <certexit.h>
#include <certif.h>

#include "expect.h"

DEFINE_GUID(IID_OfMyOwn, 0xe19ae1a0, 0x7364, 0x11d0, 0x88, 0x16, 0x00, 0xa0, 0xc9, 0x03, 0xb8, 0x3c);

static LONG g_locks = 0;

class Exit : public ICertExit2
{
    LONG m_refs;

public:
    Exit() : m_refs(1) {}
    virtual ~Exit() {}
    STDMETHODIMP QueryInterface(REFIID riid, void **ppv)
    {
        if (IsEqualIID(riid, IID_IUnknown) || IsEqualIID(riid, IID_IDispatch) ||
            IsEqualIID(riid, IID_OfMyOwn) || IsEqualIID(riid, IID_ICertExit2)) {
            *ppv = static_cast<ICertExit2 *>(this);
            AddRef();
            return S_OK;
        }
        *ppv = NULL;
        return E_NOINTERFACE;
    }
    STDMETHODIMP_(ULONG) AddRef() { return InterlockedIncrement(&m_refs); }
    STDMETHODIMP_(ULONG) Release()
    {
        ULONG refs = InterlockedDecrement(&m_refs);
        if (!refs) delete this;
        return refs;
    }
    STDMETHODIMP GetTypeInfoCount(UINT *pc) { *pc = 0; return S_OK; }
    STDMETHODIMP GetTypeInfo(UINT, LCID, ITypeInfo **pp) { *pp = NULL; return E_NOTIMPL; }
    STDMETHODIMP GetIDsOfNames(REFIID, LPOLESTR *names, UINT, LCID, DISPID *ids)
    {
        if (_wcsicmp(names[0], L"Initialize")) return DISP_E_UNKNOWNNAME;
        *ids = 1;
        return S_OK;
    }
    STDMETHODIMP Invoke(DISPID id, REFIID, LCID, WORD flags, DISPPARAMS *dp, VARIANT *result,
                        EXCEPINFO *, UINT *)
    {
        if (id != 1 || !(flags & DISPATCH_METHOD)) return DISP_E_MEMBERNOTFOUND;
        LONG mask = 0;
        HRESULT hr = Initialize(dp->rgvarg[0].bstrVal, &mask);
        if (result) { result->vt = VT_I4; result->lVal = mask; }
        return hr;
    }
    STDMETHODIMP Initialize(const BSTR, LONG *mask)
    {
        *mask = EXITEVENT_CERTISSUED | EXITEVENT_CRLISSUED;
        return S_OK;
    }
    STDMETHODIMP Notify(LONG, LONG context)
    {
        ICertServerExit *server = NULL;
        HRESULT hr = CoCreateInstance(CLSID_CCertServerExit, NULL, CLSCTX_INPROC_SERVER,
                                      IID_ICertServerExit, (void **)&server);
        if (FAILED(hr)) return hr;
        hr = server->SetContext(context);
        server->Release();
        return hr;
    }
    STDMETHODIMP GetDescription(BSTR *text) { *text = SysAllocString(L"wide"); return S_OK; }
    STDMETHODIMP GetManageModule(ICertManageModule **pp) { *pp = NULL; return E_NOTIMPL; }
};

extern "C" {
__declspec(dllexport) HRESULT WINAPI DllGetClassObject(REFCLSID, REFIID, void **ppv)
{
    *ppv = NULL;
    return CLASS_E_CLASSNOTAVAILABLE;
}
__declspec(dllexport) HRESULT WINAPI DllCanUnloadNow() { return g_locks ? S_FALSE : S_OK; }
BOOL WINAPI DllMain(HINSTANCE, DWORD, void *) { return TRUE; }
}

int main()
{
    ICertExit *exit = NULL;
    Exit *made = new Exit;
    EXPECT(SUCCEEDED(made->QueryInterface(IID_ICertExit, (void **)&exit)));
    EXPECT(made->Release() == 1);
    LONG mask = 0;
    BSTR text = SysAllocString(L"My CA");
    EXPECT(exit->Initialize(text, &mask) == S_OK && mask == 0x21);
    SysFreeString(text);
    EXPECT(exit->Notify(EXITEVENT_CERTISSUED, 1) == REGDB_E_CLASSNOTREG);
    EXPECT(exit->GetDescription(&text) == S_OK && !_wcsicmp(text, L"WIDE"));
    EXPECT(lstrlenW(text) == 4 && SysStringByteLen(text) == 8);
    SysFreeString(text);
    EXPECT(exit->Release() == 0);
    puts("done");
    return 0;
}
