/* What Exeunt adds to the published interface of exit modules. */
#ifndef EXEUNT_H
#define EXEUNT_H

#include "exeunt/com.h"

/* Events of Exeunt's own. They share the event mask with the EXITEVENT_* of <certexit.h>. */
#define EXITEVENT_CERTUNREVOKED 0x00010000        /* a certificate on hold was released */
#define EXITEVENT_REQUESTFAILED 0x00020000        /* the processing of a request failed */
#define EXITEVENT_CERTEXPIRING 0x00040000         /* a certificate expires soon */
#define EXITEVENT_CACERTISSUED 0x00080000         /* the CA has a new certificate of its own */
#define EXITEVENT_CRLPUBLICATIONFAILED 0x00100000 /* a revocation list could not be published */
#define EXITEVENT_DELIVERYPARKED 0x00200000       /* an event was parked for an operator */
#define EXITEVENT_HEARTBEAT 0x00400000            /* nothing has happened, and the CA lives */
#define EXITEVENT_RESTORED 0x00800000             /* the CA was restored from a backup */

/*
 * Property of ICertManageModule::GetProperty that tells an operator which settings there are: a VT_BSTR
 * with a JSON array, an object for each setting:
 *
 *   [{"name": "folder", "type": "string", "description": "where files go", "required": true}]
 *
 * "type" is string, long, boolean, list or object; "default" and "required" may be left out. A module
 * that does not know the property gives S_FALSE, and VT_EMPTY, as for every unknown one.
 */
#define wszEXEUNT_PROP_SETTINGS OLESTR("Settings")

/*
 * EXPORT: HRESULT ExeuntClass(ULONG index, const OLECHAR **progid, CLSID *clsid)
 *
 * A library may export this function beside DllGetClassObject. It takes the place of the registry:
 * it tells which classes the library has, and under which ProgIDs. Give S_OK and both values while
 * `index` (0, 1, ...) is that of a class, S_FALSE after the last. The text stays the library's and
 * lives as long as it is loaded.
 *
 * EXEUNT_ONE_CLASS writes the function for a library with one class.
 */
EXEUNT_EXTERN_C EXEUNT_EXPORT HRESULT STDMETHODCALLTYPE ExeuntClass(ULONG index,
                                                                    const OLECHAR **progid,
                                                                    CLSID *clsid);

#define EXEUNT_ONE_CLASS(PROGID, CLSID_OF_CLASS)                                                   \
    EXEUNT_EXTERN_C EXEUNT_EXPORT HRESULT STDMETHODCALLTYPE ExeuntClass(                           \
        ULONG index, const OLECHAR **progid, CLSID *clsid)                                         \
    {                                                                                              \
        if (index != 0) {                                                                          \
            return S_FALSE;                                                                        \
        }                                                                                          \
        *progid = PROGID;                                                                          \
        *clsid = CLSID_OF_CLASS;                                                                   \
        return S_OK;                                                                               \
    }

#endif
