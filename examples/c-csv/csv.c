/* An exit module in C, of the first generation (ICertExit): appends a line of CSV for each request
 * that is issued, held or denied. Setting: file. The same event gives the same line, should it come
 * twice. */
#include <certsrv.h>
#include <exeunt.h>
#include <ole2.h>

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const CLSID CLASS = {0x5a6f1c20, 0x3d1e, 0x4b7a, {0x8c, 0x11, 0x20, 0x26, 0, 0, 0, 1}};
static char path[4096];

struct column {
    const OLECHAR *name;
    LONG type;
    int of_request;
};
static const struct column FILE_SETTING = {OLESTR("Setting.file"), PROPTYPE_STRING, 0};
static const struct column COLUMNS[] = {
    {OLESTR("RequestID"), PROPTYPE_LONG, 1},        {OLESTR("SubmittedWhen"), PROPTYPE_DATE, 1},
    {OLESTR("RequesterName"), PROPTYPE_STRING, 1},  {OLESTR("CommonName"), PROPTYPE_STRING, 1},
    {OLESTR("SerialNumber"), PROPTYPE_STRING, 0},   {OLESTR("NotAfter"), PROPTYPE_DATE, 0},
};

/* Writes UTF-16 as UTF-8. In a field quotes are doubled, control characters become blanks, and what
 * a spreadsheet would compute gets an apostrophe: requesters choose some of these texts. */
static void put(FILE *to, BSTR text, int field)
{
    mbstate_t state = {0};
    for (UINT i = 0; i < SysStringLen(text); i++) {
        OLECHAR unit = field && text[i] < ' ' ? ' ' : text[i];
        char bytes[8];
        size_t count = c16rtomb(bytes, unit, &state);
        if (field && i == 0 && (unit == '=' || unit == '+' || unit == '-' || unit == '@'))
            fputc('\'', to);
        if (field && unit == '"')
            fputc('"', to);
        if (count == (size_t)-1)
            fputc('?', to), memset(&state, 0, sizeof state);
        else
            fwrite(bytes, 1, count, to);
    }
}

/* Reads a property as text, whatever its type. One without a value is ordinary: null. */
static HRESULT read_text(ICertServerExit *from, const struct column *what, BSTR *text)
{
    VARIANT value = {.vt = VT_EMPTY};
    BSTR name = SysAllocString(what->name);
    HRESULT hr = what->of_request
        ? ICertServerExit_GetRequestProperty(from, name, what->type, &value)
        : ICertServerExit_GetCertificateProperty(from, name, what->type, &value);
    SysFreeString(name);
    if (SUCCEEDED(hr))
        hr = VariantChangeType(&value, &value, 0, VT_BSTR);
    *text = SUCCEEDED(hr) ? V_BSTR(&value) : NULL;
    return hr == CERTSRV_E_PROPERTY_EMPTY ? S_OK : hr;
}

/* Opens what is read from. Context 0 is the CA, which also knows the settings. */
static HRESULT open_context(LONG context, ICertServerExit **from)
{
    HRESULT hr = CoCreateInstance(&CLSID_CCertServerExit, NULL, CLSCTX_INPROC_SERVER,
                                  &IID_ICertServerExit, (void **)from);
    return SUCCEEDED(hr) ? ICertServerExit_SetContext(*from, context) : hr;
}

/* Fails with words for the operator, and the system's own after them unless `error` is 0. */
static HRESULT fail(const char *words, int error)
{
    char line[256];
    OLECHAR wide[256];
    ICreateErrorInfo *create;
    IErrorInfo *info;
    int length = snprintf(line, sizeof line, error ? "%s: %s" : "%s", words, strerror(error));
    for (int i = 0; i <= length; i++)
        wide[i] = (OLECHAR)line[i];
    if (FAILED(CreateErrorInfo(&create)))
        return E_OUTOFMEMORY;
    ICreateErrorInfo_SetDescription(create, wide);
    ICreateErrorInfo_QueryInterface(create, &IID_IErrorInfo, (void **)&info);
    SetErrorInfo(0, info);
    IErrorInfo_Release(info);
    ICreateErrorInfo_Release(create);
    return E_FAIL;
}

static HRESULT initialize(ICertExit *self, const BSTR ca, LONG *mask)
{
    ICertServerExit *from = NULL;
    BSTR text = NULL;
    HRESULT hr = open_context(0, &from);
    if (SUCCEEDED(hr))
        hr = read_text(from, &FILE_SETTING, &text);
    uselocale(newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0)); /* for put, on this thread alone */
    FILE *to = fmemopen(path, sizeof path, "w");
    if (to != NULL)
        put(to, text, 0), fclose(to);
    SysFreeString(text);
    if (from != NULL)
        ICertServerExit_Release(from);
    *mask = EXITEVENT_CERTISSUED | EXITEVENT_CERTPENDING | EXITEVENT_CERTDENIED;
    (void)self, (void)ca;
    return FAILED(hr) || path[0] != 0 ? hr : fail("the setting file is missing", 0);
}

static HRESULT notify(ICertExit *self, LONG event, LONG context)
{
    ICertServerExit *from = NULL;
    HRESULT hr = open_context(context, &from);
    char *line = NULL;
    size_t length;
    FILE *to = open_memstream(&line, &length);
    (void)self;
    fputs(event == EXITEVENT_CERTISSUED    ? "issued"
          : event == EXITEVENT_CERTPENDING ? "pending" : "denied", to);
    for (size_t i = 0; SUCCEEDED(hr) && i < sizeof COLUMNS / sizeof *COLUMNS; i++) {
        BSTR text;
        hr = read_text(from, &COLUMNS[i], &text);
        fputs(",\"", to), put(to, text, 1), fputc('"', to);
        SysFreeString(text);
    }
    fputc('\n', to);
    if (from != NULL)
        ICertServerExit_Release(from);
    /* S_OK says that the line is safe: the event never comes again. */
    fclose(to);
    int file = SUCCEEDED(hr) ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0644) : -1;
    if (SUCCEEDED(hr)
        && (file < 0 || write(file, line, length) != (ssize_t)length || fsync(file) != 0))
        hr = fail("the file cannot be written", errno);
    if (file >= 0)
        close(file);
    free(line);
    return hr;
}

static HRESULT get_description(ICertExit *self, BSTR *text)
{
    (void)self;
    *text = SysAllocString(OLESTR("a line of CSV for each request"));
    return S_OK;
}

/* The rest is what every class in C needs. Its two objects are static and live for ever. */
static HRESULT query(ICertExit *self, REFIID iid, void **out)
{
    *out = IsEqualIID(iid, &IID_IUnknown) || IsEqualIID(iid, &IID_ICertExit) ? self : NULL;
    return *out != NULL ? S_OK : E_NOINTERFACE;
}

static ULONG count(ICertExit *self)
{
    (void)self;
    return 1;
}

/* NULL are the four of IDispatch, which query denies. */
static const ICertExitVtbl EXIT_TABLE = {query, count, count, NULL, NULL, NULL, NULL,
                                         initialize, notify, get_description};
static ICertExit the_exit = {&EXIT_TABLE};

static HRESULT query_factory(IClassFactory *self, REFIID iid, void **out)
{
    *out = IsEqualIID(iid, &IID_IUnknown) || IsEqualIID(iid, &IID_IClassFactory) ? self : NULL;
    return *out != NULL ? S_OK : E_NOINTERFACE;
}

static ULONG count_factory(IClassFactory *self)
{
    (void)self;
    return 1;
}

static HRESULT create(IClassFactory *self, IUnknown *outer, REFIID iid, void **out)
{
    (void)self, (void)outer;
    return query(&the_exit, iid, out);
}

static HRESULT lock(IClassFactory *self, BOOL lock)
{
    (void)self, (void)lock;
    return S_OK;
}

static const IClassFactoryVtbl FACTORY_TABLE = {query_factory, count_factory, count_factory, create,
                                                lock};
static IClassFactory the_factory = {&FACTORY_TABLE};

STDAPI DllGetClassObject(REFCLSID clsid, REFIID iid, void **out)
{
    *out = NULL;
    return IsEqualCLSID(clsid, &CLASS) ? query_factory(&the_factory, iid, out)
                                       : CLASS_E_CLASSNOTAVAILABLE;
}

EXEUNT_ONE_CLASS(OLESTR("Csv.Exit"), CLASS)
