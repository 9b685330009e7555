/* Strings, values, arrays, dates, identifiers and error objects, from C. */
#include <ole2.h>

#include "expect.h"

static int is_text(BSTR text, const OLECHAR *expected)
{
    UINT units = 0;
    while (expected[units] != 0) {
        units++;
    }
    return SysStringLen(text) == units && memcmp(text, expected, units * sizeof(OLECHAR)) == 0;
}

static void strings(void)
{
    BSTR text = SysAllocString(OLESTR("Zürich"));
    EXPECT(SysStringLen(text) == 6 && SysStringByteLen(text) == 12 && text[6] == 0);
    EXPECT(SysReAllocString(&text, text + 2) == 1);
    EXPECT(is_text(text, OLESTR("rich")));
    EXPECT(SysReAllocStringLen(&text, OLESTR("abc"), 2) == 1);
    EXPECT(is_text(text, OLESTR("ab")));
    SysFreeString(text);

    text = SysAllocStringByteLen("\x30\x00\x00", 3);
    EXPECT(SysStringByteLen(text) == 3 && SysStringLen(text) == 1);
    EXPECT(memcmp(text, "\x30\x00\x00\x00", 4) == 0);
    SysFreeString(text);

    text = SysAllocStringLen(NULL, 2);
    EXPECT(text[0] == 0 && SysStringLen(text) == 2);
    SysFreeString(text);

    EXPECT(SysAllocString(NULL) == NULL);
    EXPECT(SysStringLen(NULL) == 0);
    SysFreeString(NULL);
}

static void values(void)
{
    VARIANT from, to;
    memset(&from, 0xFF, sizeof(from));
    VariantInit(&from);
    VariantInit(&to);
    EXPECT(V_VT(&from) == VT_EMPTY);

    V_VT(&from) = VT_BSTR;
    V_BSTR(&from) = SysAllocString(OLESTR(" 42 "));
    EXPECT(VariantChangeType(&to, &from, 0, VT_I4) == S_OK);
    EXPECT(V_VT(&to) == VT_I4 && V_I4(&to) == 42);
    EXPECT(VariantChangeType(&to, &from, 0, VT_DATE) == S_OK);
    EXPECT(V_DATE(&to) == 42.0);
    EXPECT(VariantCopy(&to, &from) == S_OK);
    EXPECT(V_BSTR(&to) != V_BSTR(&from) && is_text(V_BSTR(&to), OLESTR(" 42 ")));
    EXPECT(VariantClear(&from) == S_OK && V_VT(&from) == VT_EMPTY);
    EXPECT(VariantClear(&to) == S_OK);

    V_VT(&from) = VT_I8;
    V_I8(&from) = 0x100000000LL;
    EXPECT(VariantChangeType(&from, &from, 0, VT_I4) == DISP_E_OVERFLOW);
    EXPECT(V_VT(&from) == VT_I8);
    EXPECT(VariantChangeTypeEx(&from, &from, 0, 0, VT_BSTR) == S_OK);
    EXPECT(is_text(V_BSTR(&from), OLESTR("4294967296")));
    EXPECT(VariantChangeType(&to, &from, 0, VT_UNKNOWN) == DISP_E_BADVARTYPE);
    VariantClear(&from);

    V_VT(&from) = VT_BOOL;
    V_BOOL(&from) = VARIANT_TRUE;
    EXPECT(VariantChangeType(&to, &from, 0, VT_BSTR) == S_OK && is_text(V_BSTR(&to), OLESTR("-1")));
    EXPECT(VariantChangeType(&to, &from, VARIANT_ALPHABOOL, VT_BSTR) == S_OK);
    EXPECT(is_text(V_BSTR(&to), OLESTR("True")));
    VariantClear(&to);

    LONG number = 7;
    V_VT(&from) = VT_I4 | VT_BYREF;
    V_BYREF(&from) = &number;
    EXPECT(VariantCopyInd(&to, &from) == S_OK && V_VT(&to) == VT_I4 && V_I4(&to) == 7);
    EXPECT(VariantClear(NULL) == E_INVALIDARG);
}

static void arrays(void)
{
    SAFEARRAY *array = SafeArrayCreateVector(VT_UI1, 0, 3);
    void *data = NULL;
    EXPECT(SafeArrayAccessData(array, &data) == S_OK);
    memcpy(data, "abc", 3);
    EXPECT(SafeArrayUnaccessData(array) == S_OK);

    /* An array inside a value goes with it. */
    VARIANT value, copy;
    VariantInit(&value);
    VariantInit(&copy);
    V_VT(&value) = VT_ARRAY | VT_UI1;
    V_ARRAY(&value) = array;
    EXPECT(VariantCopy(&copy, &value) == S_OK && V_ARRAY(&copy) != array);
    EXPECT(VariantClear(&value) == S_OK);
    LONG index = 2, low = -1, high = -1;
    BYTE byte = 0;
    EXPECT(SafeArrayGetElement(V_ARRAY(&copy), &index, &byte) == S_OK && byte == 'c');
    index = 3;
    EXPECT(SafeArrayGetElement(V_ARRAY(&copy), &index, &byte) == DISP_E_BADINDEX);
    EXPECT(SafeArrayGetLBound(V_ARRAY(&copy), 1, &low) == S_OK && low == 0);
    EXPECT(SafeArrayGetUBound(V_ARRAY(&copy), 1, &high) == S_OK && high == 2);
    EXPECT(VariantClear(&copy) == S_OK);

    SAFEARRAYBOUND bound = {2, 1};
    array = SafeArrayCreate(VT_BSTR, 1, &bound);
    BSTR text = SysAllocString(OLESTR("second"));
    index = 2;
    EXPECT(SafeArrayPutElement(array, &index, text) == S_OK);
    SysFreeString(text);
    EXPECT(SafeArrayGetElement(array, &index, &text) == S_OK && is_text(text, OLESTR("second")));
    SysFreeString(text);
    EXPECT(SafeArrayDestroy(array) == S_OK);

    array = SafeArrayCreateVector(VT_VARIANT, 0, 1);
    V_VT(&value) = VT_BSTR;
    V_BSTR(&value) = SysAllocString(OLESTR("inside"));
    index = 0;
    EXPECT(SafeArrayPutElement(array, &index, &value) == S_OK);
    VariantClear(&value);
    EXPECT(SafeArrayGetElement(array, &index, &value) == S_OK);
    EXPECT(is_text(V_BSTR(&value), OLESTR("inside")));
    VariantClear(&value);
    EXPECT(SafeArrayDestroy(array) == S_OK);
}

static void dates(void)
{
    SYSTEMTIME time = {2026, 11, 0, 21, 7, 0, 0, 0}, back;
    double date = 0;
    EXPECT(SystemTimeToVariantTime(&time, &date) == 1);
    /* 46347 days lie between 1899-12-30 and 2026-11-21; 7 hours are 7/24. */
    EXPECT(date > 46347.29166 && date < 46347.29167);
    EXPECT(VariantTimeToSystemTime(date, &back) == 1);
    EXPECT(back.wYear == 2026 && back.wHour == 7 && back.wDayOfWeek == 6);
    time.wMonth = 13;
    EXPECT(SystemTimeToVariantTime(&time, &date) == 0);
    EXPECT(VariantTimeToSystemTime(1e9, &back) == 0);
}

static void identifiers(void)
{
    CLSID id;
    OLECHAR text[39];
    LPOLESTR allocated = NULL;
    EXPECT(CLSIDFromString(OLESTR("{00020400-0000-0000-c000-000000000046}"), &id) == S_OK);
    EXPECT(IsEqualGUID(&id, &IID_IDispatch));
    EXPECT(CLSIDFromString(OLESTR("{0002040}"), &id) == CO_E_CLASSSTRING);
    EXPECT(IIDFromString(OLESTR("nothing"), &id) == CO_E_IIDSTRING);
    EXPECT(StringFromGUID2(&IID_IDispatch, text, 39) == 39);
    EXPECT(StringFromGUID2(&IID_IDispatch, text, 38) == 0);
    EXPECT(memcmp(text, OLESTR("{00020400-0000-0000-C000-000000000046}"), sizeof(text)) == 0);
    EXPECT(StringFromCLSID(&IID_IDispatch, &allocated) == S_OK);
    EXPECT(memcmp(text, allocated, sizeof(text)) == 0);
    CoTaskMemFree(allocated);
    EXPECT(CLSIDFromProgID(OLESTR("Nobody.Exit"), &id) == CO_E_CLASSSTRING);
}

static void errors(void)
{
    ICreateErrorInfo *create = NULL;
    IErrorInfo *error = NULL;
    GUID id;
    BSTR text = NULL;
    EXPECT(GetErrorInfo(0, &error) == S_FALSE && error == NULL);
    EXPECT(CreateErrorInfo(&create) == S_OK);
    EXPECT(ICreateErrorInfo_SetGUID(create, &IID_IDispatch) == S_OK);
    EXPECT(ICreateErrorInfo_SetSource(create, OLESTR("Made.Exit")) == S_OK);
    EXPECT(ICreateErrorInfo_SetDescription(create, OLESTR("no paper")) == S_OK);
    EXPECT(ICreateErrorInfo_SetHelpContext(create, 9) == S_OK);
    EXPECT(ICreateErrorInfo_QueryInterface(create, &IID_IErrorInfo, (void **)&error) == S_OK);
    ICreateErrorInfo_Release(create);
    EXPECT(SetErrorInfo(0, error) == S_OK);
    IErrorInfo_Release(error);

    EXPECT(GetErrorInfo(0, &error) == S_OK);
    EXPECT(IErrorInfo_GetGUID(error, &id) == S_OK && IsEqualGUID(&id, &IID_IDispatch));
    EXPECT(IErrorInfo_GetSource(error, &text) == S_OK && is_text(text, OLESTR("Made.Exit")));
    SysFreeString(text);
    EXPECT(IErrorInfo_GetDescription(error, &text) == S_OK && is_text(text, OLESTR("no paper")));
    SysFreeString(text);
    DWORD context = 0;
    EXPECT(IErrorInfo_GetHelpContext(error, &context) == S_OK && context == 9);
    EXPECT(IErrorInfo_GetDescription(error, NULL) == E_POINTER);
    EXPECT(IErrorInfo_Release(error) == 0);
    EXPECT(GetErrorInfo(0, &error) == S_FALSE);
}

int main(void)
{
    EXPECT(CoInitializeEx(NULL, COINIT_MULTITHREADED) == S_OK);
    strings();
    values();
    arrays();
    dates();
    identifiers();
    errors();
    void *block = CoTaskMemRealloc(CoTaskMemAlloc(8), 1 << 20);
    EXPECT(block != NULL);
    CoTaskMemFree(block);
    CoUninitialize();
    puts("done");
    return 0;
}
