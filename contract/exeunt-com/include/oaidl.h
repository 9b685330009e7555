/* Values, arrays, late binding and error objects. */
#ifndef EXEUNT_OAIDL_H
#define EXEUNT_OAIDL_H

#include "unknwn.h"

EXEUNT_DECLARE(IDispatch);
EXEUNT_DECLARE(ITypeInfo); /* nobody implements it here */
EXEUNT_DECLARE(IErrorInfo);
EXEUNT_DECLARE(ICreateErrorInfo);
EXEUNT_DECLARE(ISupportErrorInfo);
typedef IDispatch *LPDISPATCH;

EXTERN_C const IID IID_IDispatch;
EXTERN_C const IID IID_ITypeInfo;
EXTERN_C const IID IID_IErrorInfo;
EXTERN_C const IID IID_ICreateErrorInfo;
EXTERN_C const IID IID_ISupportErrorInfo;

typedef LONG DISPID;
typedef LONG MEMBERID;
typedef USHORT VARTYPE;
typedef short VARIANT_BOOL;
typedef double DATE; /* days since 1899-12-30, the time of day as fraction */

#define VARIANT_TRUE ((VARIANT_BOOL)-1)
#define VARIANT_FALSE ((VARIANT_BOOL)0)

typedef union tagCY {
    LONGLONG int64; /* ten-thousandths */
} CY;

/* What a VARIANT holds. */
enum VARENUM {
    VT_EMPTY = 0,
    VT_NULL = 1,
    VT_I2 = 2,
    VT_I4 = 3,
    VT_R4 = 4,
    VT_R8 = 5,
    VT_CY = 6,
    VT_DATE = 7,
    VT_BSTR = 8,
    VT_DISPATCH = 9,
    VT_ERROR = 10,
    VT_BOOL = 11,
    VT_VARIANT = 12,
    VT_UNKNOWN = 13,
    VT_DECIMAL = 14, /* not supported */
    VT_I1 = 16,
    VT_UI1 = 17,
    VT_UI2 = 18,
    VT_UI4 = 19,
    VT_I8 = 20,
    VT_UI8 = 21,
    VT_INT = 22,
    VT_UINT = 23,
    VT_RECORD = 36, /* not supported */
    VT_ARRAY = 0x2000,
    VT_BYREF = 0x4000,
    VT_TYPEMASK = 0xFFF
};

typedef struct tagSAFEARRAYBOUND {
    ULONG cElements;
    LONG lLbound;
} SAFEARRAYBOUND;

/* An array that knows its element type. One dimension. */
typedef struct tagSAFEARRAY {
    USHORT cDims;
    USHORT fFeatures;
    ULONG cbElements;
    ULONG cLocks;
    PVOID pvData;
    SAFEARRAYBOUND rgsabound[1];
} SAFEARRAY;
typedef SAFEARRAY *LPSAFEARRAY;

#define FADF_HAVEVARTYPE 0x0080
#define FADF_BSTR 0x0100
#define FADF_UNKNOWN 0x0200
#define FADF_DISPATCH 0x0400
#define FADF_VARIANT 0x0800
#define FADF_CREATEVECTOR 0x2000

struct exeunt_brecord {
    PVOID pvRecord;
    PVOID pRecInfo;
};

/* A value with its type. 24 bytes. */
typedef struct tagVARIANT VARIANT;
typedef VARIANT VARIANTARG;
typedef VARIANT *LPVARIANT;
struct tagVARIANT {
    VARTYPE vt;
    WORD wReserved1;
    WORD wReserved2;
    WORD wReserved3;
    union {
        LONGLONG llVal;
        LONG lVal;
        BYTE bVal;
        SHORT iVal;
        FLOAT fltVal;
        DOUBLE dblVal;
        VARIANT_BOOL boolVal;
        SCODE scode;
        CY cyVal;
        DATE date;
        BSTR bstrVal;
        IUnknown *punkVal;
        IDispatch *pdispVal;
        SAFEARRAY *parray;
        BYTE *pbVal;
        SHORT *piVal;
        LONG *plVal;
        LONGLONG *pllVal;
        FLOAT *pfltVal;
        DOUBLE *pdblVal;
        VARIANT_BOOL *pboolVal;
        SCODE *pscode;
        CY *pcyVal;
        DATE *pdate;
        BSTR *pbstrVal;
        IUnknown **ppunkVal;
        IDispatch **ppdispVal;
        SAFEARRAY **pparray;
        VARIANT *pvarVal;
        PVOID byref;
        CHAR cVal;
        USHORT uiVal;
        ULONG ulVal;
        ULONGLONG ullVal;
        INT intVal;
        UINT uintVal;
        CHAR *pcVal;
        USHORT *puiVal;
        ULONG *pulVal;
        ULONGLONG *pullVal;
        INT *pintVal;
        UINT *puintVal;
        struct exeunt_brecord record;
    };
};

/* Arguments of Invoke, the last one first. */
typedef struct tagDISPPARAMS {
    VARIANTARG *rgvarg;
    DISPID *rgdispidNamedArgs;
    UINT cArgs;
    UINT cNamedArgs;
} DISPPARAMS;

typedef struct tagEXCEPINFO EXCEPINFO;
struct tagEXCEPINFO {
    WORD wCode;
    WORD wReserved;
    BSTR bstrSource;
    BSTR bstrDescription;
    BSTR bstrHelpFile;
    DWORD dwHelpContext;
    PVOID pvReserved;
    HRESULT(STDMETHODCALLTYPE *pfnDeferredFillIn)(EXCEPINFO *info);
    SCODE scode;
};

#define DISPID_UNKNOWN (-1)
#define DISPID_VALUE 0
#define DISPID_PROPERTYPUT (-3)

#define EXEUNT_OWN_IDISPATCH(I)                                                                    \
    EXEUNT_SLOT(I, HRESULT, GetTypeInfoCount, UINT *pctinfo)                                       \
    EXEUNT_SLOT(I, HRESULT, GetTypeInfo, UINT iTInfo, LCID lcid, ITypeInfo **ppTInfo)              \
    EXEUNT_SLOT(I, HRESULT, GetIDsOfNames, REFIID riid, LPOLESTR *rgszNames, UINT cNames,          \
                LCID lcid, DISPID *rgDispId)                                                       \
    EXEUNT_SLOT(I, HRESULT, Invoke, DISPID dispIdMember, REFIID riid, LCID lcid, WORD wFlags,      \
                DISPPARAMS *pDispParams, VARIANT *pVarResult, EXCEPINFO *pExcepInfo,               \
                UINT *puArgErr)
EXEUNT_INTERFACE(IDispatch, IUnknown, EXEUNT_SLOTS_IUNKNOWN, EXEUNT_OWN_IDISPATCH);
#define EXEUNT_SLOTS_IDISPATCH(I) EXEUNT_SLOTS_IUNKNOWN(I) EXEUNT_OWN_IDISPATCH(I)

#define EXEUNT_OWN_IERRORINFO(I)                                                                   \
    EXEUNT_SLOT(I, HRESULT, GetGUID, GUID *pGUID)                                                  \
    EXEUNT_SLOT(I, HRESULT, GetSource, BSTR *pBstrSource)                                          \
    EXEUNT_SLOT(I, HRESULT, GetDescription, BSTR *pBstrDescription)                                \
    EXEUNT_SLOT(I, HRESULT, GetHelpFile, BSTR *pBstrHelpFile)                                      \
    EXEUNT_SLOT(I, HRESULT, GetHelpContext, DWORD *pdwHelpContext)
EXEUNT_INTERFACE(IErrorInfo, IUnknown, EXEUNT_SLOTS_IUNKNOWN, EXEUNT_OWN_IERRORINFO);

#define EXEUNT_OWN_ICREATEERRORINFO(I)                                                             \
    EXEUNT_SLOT(I, HRESULT, SetGUID, REFGUID rguid)                                                \
    EXEUNT_SLOT(I, HRESULT, SetSource, LPCOLESTR szSource)                                         \
    EXEUNT_SLOT(I, HRESULT, SetDescription, LPCOLESTR szDescription)                               \
    EXEUNT_SLOT(I, HRESULT, SetHelpFile, LPCOLESTR szHelpFile)                                     \
    EXEUNT_SLOT(I, HRESULT, SetHelpContext, DWORD dwHelpContext)
EXEUNT_INTERFACE(ICreateErrorInfo, IUnknown, EXEUNT_SLOTS_IUNKNOWN, EXEUNT_OWN_ICREATEERRORINFO);

#define EXEUNT_OWN_ISUPPORTERRORINFO(I)                                                            \
    EXEUNT_SLOT(I, HRESULT, InterfaceSupportsErrorInfo, REFIID riid)
EXEUNT_INTERFACE(ISupportErrorInfo, IUnknown, EXEUNT_SLOTS_IUNKNOWN, EXEUNT_OWN_ISUPPORTERRORINFO);

#ifndef EXEUNT_CLASSES
#define IDispatch_QueryInterface(This, riid, ppv) ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define IDispatch_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IDispatch_Release(This) ((This)->lpVtbl->Release(This))
#define IDispatch_GetTypeInfoCount(This, count) ((This)->lpVtbl->GetTypeInfoCount(This, count))
#define IDispatch_GetTypeInfo(This, index, lcid, info)                                             \
    ((This)->lpVtbl->GetTypeInfo(This, index, lcid, info))
#define IDispatch_GetIDsOfNames(This, riid, names, count, lcid, ids)                               \
    ((This)->lpVtbl->GetIDsOfNames(This, riid, names, count, lcid, ids))
#define IDispatch_Invoke(This, id, riid, lcid, flags, params, result, info, bad)                   \
    ((This)->lpVtbl->Invoke(This, id, riid, lcid, flags, params, result, info, bad))
#define IErrorInfo_QueryInterface(This, riid, ppv)                                                 \
    ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define IErrorInfo_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define IErrorInfo_Release(This) ((This)->lpVtbl->Release(This))
#define IErrorInfo_GetGUID(This, guid) ((This)->lpVtbl->GetGUID(This, guid))
#define IErrorInfo_GetSource(This, text) ((This)->lpVtbl->GetSource(This, text))
#define IErrorInfo_GetDescription(This, text) ((This)->lpVtbl->GetDescription(This, text))
#define IErrorInfo_GetHelpFile(This, text) ((This)->lpVtbl->GetHelpFile(This, text))
#define IErrorInfo_GetHelpContext(This, context) ((This)->lpVtbl->GetHelpContext(This, context))
#define ICreateErrorInfo_QueryInterface(This, riid, ppv)                                           \
    ((This)->lpVtbl->QueryInterface(This, riid, ppv))
#define ICreateErrorInfo_AddRef(This) ((This)->lpVtbl->AddRef(This))
#define ICreateErrorInfo_Release(This) ((This)->lpVtbl->Release(This))
#define ICreateErrorInfo_SetGUID(This, guid) ((This)->lpVtbl->SetGUID(This, guid))
#define ICreateErrorInfo_SetSource(This, text) ((This)->lpVtbl->SetSource(This, text))
#define ICreateErrorInfo_SetDescription(This, text) ((This)->lpVtbl->SetDescription(This, text))
#define ICreateErrorInfo_SetHelpFile(This, text) ((This)->lpVtbl->SetHelpFile(This, text))
#define ICreateErrorInfo_SetHelpContext(This, context)                                             \
    ((This)->lpVtbl->SetHelpContext(This, context))
#endif

#endif
