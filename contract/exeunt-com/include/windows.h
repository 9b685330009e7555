/*
 * The little of <windows.h> that modules use: types, atomic counters, text compares. There is no
 * registry here, no handle and no window: a module reads its settings through ICertManageModule or
 * as the system properties Setting.<name>.
 */
#ifndef EXEUNT_WINDOWS_H
#define EXEUNT_WINDOWS_H

#include <stdarg.h>

#include "exeunt/com.h"
#include "objbase.h"

#define DLL_PROCESS_DETACH 0
#define DLL_PROCESS_ATTACH 1
#define DLL_THREAD_ATTACH 2
#define DLL_THREAD_DETACH 3

#define UNREFERENCED_PARAMETER(it) ((void)(it))
#define ZeroMemory(at, size) memset((at), 0, (size))
#define CopyMemory(to, from, size) memcpy((to), (from), (size))

/* __declspec(dllexport) makes a symbol visible; everything else of it says nothing here. */
#ifndef __declspec
#define EXEUNT_DECLSPEC_dllexport EXEUNT_EXPORT
#define EXEUNT_DECLSPEC_dllimport
#define EXEUNT_DECLSPEC_novtable
#define EXEUNT_DECLSPEC_nothrow
#define EXEUNT_DECLSPEC_selectany __attribute__((weak))
#define EXEUNT_DECLSPEC_uuid(text)
#define __declspec(what) EXEUNT_DECLSPEC_##what
#endif

#ifdef __cplusplus
#define EXEUNT_INLINE inline
#else
#define EXEUNT_INLINE static inline
#endif

EXEUNT_INLINE LONG InterlockedIncrement(volatile LONG *at)
{
    return __atomic_add_fetch(at, 1, __ATOMIC_SEQ_CST);
}
EXEUNT_INLINE LONG InterlockedDecrement(volatile LONG *at)
{
    return __atomic_sub_fetch(at, 1, __ATOMIC_SEQ_CST);
}
EXEUNT_INLINE LONG InterlockedExchange(volatile LONG *at, LONG value)
{
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);
}
EXEUNT_INLINE LONG InterlockedCompareExchange(volatile LONG *at, LONG value, LONG expected)
{
    __atomic_compare_exchange_n(at, &expected, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return expected;
}

/* Units before the ending zero; 0 for null. */
EXEUNT_INLINE INT lstrlenW(LPCWSTR text)
{
    INT units = 0;
    while (text != NULL && text[units] != 0) {
        units++;
    }
    return units;
}

/* Compares; upper and lower case of A to Z are the same, which is what names here are made of. */
EXEUNT_INLINE INT lstrcmpiW(LPCWSTR a, LPCWSTR b)
{
    for (;; a++, b++) {
        INT left = *a >= u'A' && *a <= u'Z' ? *a + 32 : *a;
        INT right = *b >= u'A' && *b <= u'Z' ? *b + 32 : *b;
        if (left != right) {
            return left < right ? -1 : 1;
        }
        if (left == 0) {
            return 0;
        }
    }
}
#define _wcsicmp lstrcmpiW

#endif
