/* Types and macros that every header of this folder shares. Include the published names instead. */
#ifndef EXEUNT_COM_H
#define EXEUNT_COM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifndef __cplusplus
#include <uchar.h>
#endif

#if !defined(__LP64__)
#error "the interface is that of 64-bit systems"
#endif

/* Linkage. */
#ifdef __cplusplus
#define EXTERN_C extern "C"
#else
#define EXTERN_C extern
#endif
#ifdef __cplusplus
#define EXEUNT_EXTERN_C extern "C"
#else
#define EXEUNT_EXTERN_C
#endif
#define EXEUNT_EXPORT __attribute__((visibility("default")))

/* Conventions of calls: the platform's own. */
#define STDMETHODCALLTYPE
#define STDAPICALLTYPE
#define WINAPI
#define APIENTRY
#define CALLBACK
#define STDAPI EXEUNT_EXTERN_C EXEUNT_EXPORT HRESULT STDAPICALLTYPE
#define STDAPI_(type) EXEUNT_EXTERN_C EXEUNT_EXPORT type STDAPICALLTYPE
#ifdef __cplusplus
#define STDMETHOD(method) virtual HRESULT STDMETHODCALLTYPE method
#define STDMETHOD_(type, method) virtual type STDMETHODCALLTYPE method
#define PURE = 0
#endif
#define STDMETHODIMP HRESULT STDMETHODCALLTYPE
#define STDMETHODIMP_(type) type STDMETHODCALLTYPE

/* Scalars. LONG has 32 bits, whatever the platform's long has. */
typedef int32_t LONG;
typedef uint32_t ULONG;
typedef uint32_t DWORD;
typedef uint16_t WORD;
typedef int16_t SHORT;
typedef uint16_t USHORT;
typedef int INT;
typedef unsigned int UINT;
typedef unsigned char BYTE;
typedef unsigned char UCHAR;
typedef char CHAR;
typedef int BOOL;
typedef BYTE BOOLEAN;
typedef float FLOAT;
typedef double DOUBLE;
typedef int64_t LONGLONG;
typedef uint64_t ULONGLONG;
typedef size_t SIZE_T;
typedef uintptr_t ULONG_PTR;
typedef intptr_t LONG_PTR;
typedef void *PVOID;
typedef void *LPVOID;
typedef const void *LPCVOID;
typedef BYTE *LPBYTE;
typedef DWORD *LPDWORD;
typedef void *HANDLE;
typedef void *HMODULE;
typedef void *HINSTANCE;
typedef void *HWND;
typedef DWORD LCID;
typedef int32_t HRESULT;
typedef int32_t SCODE;

#ifndef TRUE
#define TRUE 1
#define FALSE 0
#endif

/*
 * Text is UTF-16. With -fshort-wchar, wchar_t has 16 bits, and then it is the unit of text, so that
 * code with L"..." compiles as it is. Otherwise write OLESTR("...") or u"...".
 */
#if defined(__SIZEOF_WCHAR_T__) && __SIZEOF_WCHAR_T__ == 2
typedef wchar_t OLECHAR;
#define OLESTR(text) L##text
#else
typedef char16_t OLECHAR;
#define OLESTR(text) u##text
#endif
typedef OLECHAR WCHAR;
typedef OLECHAR *LPOLESTR;
typedef const OLECHAR *LPCOLESTR;
typedef OLECHAR *LPWSTR;
typedef const OLECHAR *LPCWSTR;
typedef OLECHAR *PWSTR;
typedef const OLECHAR *PCWSTR;

/* Counted string. Its length in bytes stands before it; it may hold bytes that are no text. */
typedef OLECHAR *BSTR;

/* Identifiers. */
typedef struct _GUID {
    uint32_t Data1;
    uint16_t Data2;
    uint16_t Data3;
    uint8_t Data4[8];
} GUID;
typedef GUID IID;
typedef GUID CLSID;
typedef IID *LPIID;
typedef CLSID *LPCLSID;

#ifdef __cplusplus
typedef const GUID &REFGUID;
typedef const IID &REFIID;
typedef const CLSID &REFCLSID;

inline bool IsEqualGUID(REFGUID a, REFGUID b)
{
    return memcmp(&a, &b, sizeof(GUID)) == 0;
}
inline bool operator==(REFGUID a, REFGUID b)
{
    return IsEqualGUID(a, b);
}
inline bool operator!=(REFGUID a, REFGUID b)
{
    return !IsEqualGUID(a, b);
}
#else
typedef const GUID *REFGUID;
typedef const IID *REFIID;
typedef const CLSID *REFCLSID;
#define IsEqualGUID(a, b) (memcmp((a), (b), sizeof(GUID)) == 0)
#endif
#define IsEqualIID(a, b) IsEqualGUID(a, b)
#define IsEqualCLSID(a, b) IsEqualGUID(a, b)

/* Declares an identifier; after <initguid.h> it defines one. */
#ifndef DEFINE_GUID
#define DEFINE_GUID(name, d1, d2, d3, b0, b1, b2, b3, b4, b5, b6, b7) EXTERN_C const GUID name
#endif

EXTERN_C const GUID GUID_NULL;
#define IID_NULL GUID_NULL
#define CLSID_NULL GUID_NULL

#include "codes.h"

/*
 * Interfaces, once for both languages. In C++ an interface is an abstract class; in C, or with
 * CINTERFACE, a struct whose lpVtbl points to the functions, which take the object first.
 *
 * EXEUNT_SLOT(interface, result, name, parameters...) is one function, EXEUNT_SLOT0 one without
 * parameters, and EXEUNT_INTERFACE the whole: its base, the base's slots and its own.
 */
#if defined(__cplusplus) && !defined(CINTERFACE)
#define EXEUNT_CLASSES 1
#define interface struct
#define EXEUNT_DECLARE(Name) struct Name
#define EXEUNT_SLOT(Name, Result, Method, ...)                                                     \
    virtual Result STDMETHODCALLTYPE Method(__VA_ARGS__) = 0;
#define EXEUNT_SLOT0(Name, Result, Method) virtual Result STDMETHODCALLTYPE Method() = 0;
#define EXEUNT_ROOT_INTERFACE(Name, OWN)                                                           \
    struct Name {                                                                                  \
        OWN(Name)                                                                                  \
    }
#define EXEUNT_INTERFACE(Name, Base, BASE, OWN)                                                    \
    struct Name : public Base {                                                                    \
        OWN(Name)                                                                                  \
    }
#else
#define EXEUNT_DECLARE(Name) typedef struct Name Name
#define EXEUNT_SLOT(Name, Result, Method, ...)                                                     \
    Result(STDMETHODCALLTYPE *Method)(Name * This, __VA_ARGS__);
#define EXEUNT_SLOT0(Name, Result, Method) Result(STDMETHODCALLTYPE *Method)(Name * This);
#define EXEUNT_ROOT_INTERFACE(Name, OWN)                                                           \
    typedef struct Name##Vtbl {                                                                    \
        OWN(Name)                                                                                  \
    } Name##Vtbl;                                                                                  \
    struct Name {                                                                                  \
        const Name##Vtbl *lpVtbl;                                                                  \
    }
#define EXEUNT_INTERFACE(Name, Base, BASE, OWN)                                                    \
    typedef struct Name##Vtbl {                                                                    \
        BASE(Name)                                                                                 \
        OWN(Name)                                                                                  \
    } Name##Vtbl;                                                                                  \
    struct Name {                                                                                  \
        const Name##Vtbl *lpVtbl;                                                                  \
    }
#endif

#endif
