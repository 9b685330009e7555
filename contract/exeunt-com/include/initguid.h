/* From here on in this file, DEFINE_GUID defines identifiers and does not only declare them. */
#ifndef EXEUNT_INITGUID_H
#define EXEUNT_INITGUID_H

#include "exeunt/com.h"

#ifndef INITGUID
#define INITGUID
#endif

/* Weak, so that several files may define the same one. */
#undef DEFINE_GUID
#define DEFINE_GUID(name, d1, d2, d3, b0, b1, b2, b3, b4, b5, b6, b7)                              \
    EXTERN_C const GUID name __attribute__((weak));                                                \
    const GUID name = {d1, d2, d3, {b0, b1, b2, b3, b4, b5, b6, b7}}

#endif
