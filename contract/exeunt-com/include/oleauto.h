/* Functions for strings, values, arrays, dates and error objects. */
#ifndef EXEUNT_OLEAUTO_H
#define EXEUNT_OLEAUTO_H

#include "oaidl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Strings. Each that a function gives is freed with SysFreeString. Null is the empty string. */
BSTR SysAllocString(const OLECHAR *psz);
BSTR SysAllocStringLen(const OLECHAR *pch, UINT ui);
BSTR SysAllocStringByteLen(const char *psz, UINT len);
INT SysReAllocString(BSTR *pbstr, const OLECHAR *psz);
INT SysReAllocStringLen(BSTR *pbstr, const OLECHAR *psz, UINT len);
void SysFreeString(BSTR bstr);
UINT SysStringLen(BSTR bstr);
UINT SysStringByteLen(BSTR bstr);

/* Values. */
#define V_VT(v) ((v)->vt)
#define V_ISBYREF(v) (V_VT(v) & VT_BYREF)
#define V_ISARRAY(v) (V_VT(v) & VT_ARRAY)
#define V_I2(v) ((v)->iVal)
#define V_I4(v) ((v)->lVal)
#define V_I8(v) ((v)->llVal)
#define V_UI1(v) ((v)->bVal)
#define V_UI4(v) ((v)->ulVal)
#define V_R8(v) ((v)->dblVal)
#define V_BOOL(v) ((v)->boolVal)
#define V_ERROR(v) ((v)->scode)
#define V_DATE(v) ((v)->date)
#define V_BSTR(v) ((v)->bstrVal)
#define V_UNKNOWN(v) ((v)->punkVal)
#define V_DISPATCH(v) ((v)->pdispVal)
#define V_ARRAY(v) ((v)->parray)
#define V_BYREF(v) ((v)->byref)

#define VARIANT_ALPHABOOL 0x2 /* truths become the words True and False, not -1 and 0 */

void VariantInit(VARIANT *pvarg);
HRESULT VariantClear(VARIANT *pvarg);
HRESULT VariantCopy(VARIANT *pvargDest, const VARIANT *pvargSrc);
HRESULT VariantCopyInd(VARIANT *pvarDest, const VARIANT *pvargSrc);
HRESULT VariantChangeType(VARIANT *pvargDest, const VARIANT *pvarSrc, USHORT wFlags, VARTYPE vt);
HRESULT VariantChangeTypeEx(VARIANT *pvargDest, const VARIANT *pvarSrc, LCID lcid, USHORT wFlags,
                            VARTYPE vt);

/* Arrays, of one dimension. */
SAFEARRAY *SafeArrayCreate(VARTYPE vt, UINT cDims, const SAFEARRAYBOUND *rgsabound);
SAFEARRAY *SafeArrayCreateVector(VARTYPE vt, LONG lLbound, ULONG cElements);
HRESULT SafeArrayDestroy(SAFEARRAY *psa);
HRESULT SafeArrayCopy(SAFEARRAY *psa, SAFEARRAY **ppsaOut);
HRESULT SafeArrayGetElement(SAFEARRAY *psa, const LONG *rgIndices, void *pv);
HRESULT SafeArrayPutElement(SAFEARRAY *psa, const LONG *rgIndices, void *pv);
HRESULT SafeArrayGetLBound(SAFEARRAY *psa, UINT nDim, LONG *plLbound);
HRESULT SafeArrayGetUBound(SAFEARRAY *psa, UINT nDim, LONG *plUbound);
HRESULT SafeArrayGetVartype(SAFEARRAY *psa, VARTYPE *pvt);
UINT SafeArrayGetDim(SAFEARRAY *psa);
UINT SafeArrayGetElemsize(SAFEARRAY *psa);
HRESULT SafeArrayAccessData(SAFEARRAY *psa, void **ppvData);
HRESULT SafeArrayUnaccessData(SAFEARRAY *psa);

/* Dates. 1 if done, 0 if not. */
typedef struct _SYSTEMTIME {
    WORD wYear;
    WORD wMonth;
    WORD wDayOfWeek;
    WORD wDay;
    WORD wHour;
    WORD wMinute;
    WORD wSecond;
    WORD wMilliseconds;
} SYSTEMTIME, *LPSYSTEMTIME;
INT SystemTimeToVariantTime(const SYSTEMTIME *lpSystemTime, double *pvtime);
INT VariantTimeToSystemTime(double vtime, SYSTEMTIME *lpSystemTime);

/* What a failed call has to say: one object for each thread. */
HRESULT CreateErrorInfo(ICreateErrorInfo **pperrinfo);
HRESULT SetErrorInfo(ULONG dwReserved, IErrorInfo *perrinfo);
HRESULT GetErrorInfo(ULONG dwReserved, IErrorInfo **pperrinfo);

#define DISPATCH_METHOD 0x1
#define DISPATCH_PROPERTYGET 0x2
#define DISPATCH_PROPERTYPUT 0x4
#define DISPATCH_PROPERTYPUTREF 0x8

#ifdef __cplusplus
}
#endif

#endif
