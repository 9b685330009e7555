//! The headers and the Rust types say the same: sizes, places, numbers, identifiers.

use std::{fmt::Write as _, mem::offset_of};

use exeunt_com::abi::*;
use tempfile::TempDir;

use crate::build::{C, CPP, run};

/// A C program that prints `name value` for each question, and what Rust answers to the same.
#[derive(Default)]
struct Questions {
    program: String,
    expected: String,
}

impl Questions {
    /// `c` is an expression of C; `rust` its value.
    fn ask(&mut self, c: &str, rust: i64) {
        writeln!(self.program, r#"    printf("%s %lld\n", "{c}", (long long)({c}));"#).unwrap();
        writeln!(self.expected, "{c} {rust}").unwrap();
    }
}

/// Sizes of types, and the places of their members.
macro_rules! layout {
    ($questions:ident, $($type:ident { $($field:ident),* })+) => {
        $(
            let size = i64::try_from(size_of::<$type>()).unwrap();
            $questions.ask(concat!("sizeof(", stringify!($type), ")"), size);
            $(
                let place = i64::try_from(offset_of!($type, $field)).unwrap();
                let c = concat!("offsetof(", stringify!($type), ", ", stringify!($field), ")");
                $questions.ask(c, place);
            )*
        )+
    };
}

/// Slots of interfaces, which in Rust lie behind those of their bases.
macro_rules! slots {
    ($questions:ident, $($table:ident($($base:ident).*) { $($slot:ident),* })+) => {
        $(
            let size = i64::try_from(size_of::<$table>()).unwrap();
            $questions.ask(concat!("sizeof(", stringify!($table), ")"), size);
            $(
                let place = i64::try_from(offset_of!($table, $slot)).unwrap();
                let c = concat!("offsetof(", stringify!($table), ", ", stringify!($slot), ")");
                $questions.ask(c, place);
            )*
            let inherited = i64::try_from(offset_of!($table, $($base.)* AddRef)).unwrap();
            $questions.ask(concat!("offsetof(", stringify!($table), ", AddRef)"), inherited);
        )+
    };
}

/// Numbers of the same name.
macro_rules! numbers {
    ($questions:ident, $($name:ident)+) => {
        $($questions.ask(stringify!($name), i64::from($name));)+
    };
}

#[track_caller]
fn check(questions: &Questions) {
    let folder = TempDir::new().unwrap();
    let text = format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include <certsrv.h>\n#include <certpol.h>\n\
         #include <ole2.h>\n#include <exeunt.h>\nint main(void)\n{{\n{}    return 0;\n}}\n",
        questions.program
    );
    let source = folder.path().join("layout.c");
    std::fs::write(&source, text).unwrap();
    assert_eq!(run(C, &source, &[]), questions.expected);
}

#[test]
fn types_lie_in_memory_as_the_headers_say() {
    let mut questions = Questions::default();
    layout!(questions,
        GUID { Data1, Data2, Data3, Data4 }
        VARIANT { vt, wReserved1, wReserved2, wReserved3 }
        SAFEARRAYBOUND { cElements, lLbound }
        SAFEARRAY { cDims, fFeatures, cbElements, cLocks, pvData, rgsabound }
        DISPPARAMS { rgvarg, rgdispidNamedArgs, cArgs, cNamedArgs }
        EXCEPINFO {
            wCode, wReserved, bstrSource, bstrDescription, bstrHelpFile, dwHelpContext, pvReserved,
            pfnDeferredFillIn, scode
        }
        SYSTEMTIME {
            wYear, wMonth, wDayOfWeek, wDay, wHour, wMinute, wSecond, wMilliseconds
        }
        IUnknown { lpVtbl }
        ICertExit2 { lpVtbl }
        LONG {} ULONG {} DWORD {} WORD {} BOOL {} HRESULT {} OLECHAR {} BSTR {} DATE {}
        VARIANT_BOOL {} VARTYPE {} DISPID {}
    );
    let value = i64::try_from(offset_of!(VARIANT, value)).unwrap();
    for member in ["llVal", "lVal", "bVal", "boolVal", "bstrVal", "record", "pvarVal"] {
        questions.ask(&format!("offsetof(VARIANT, {member})"), value);
    }
    check(&questions);
}

#[test]
fn functions_of_interfaces_stand_in_the_same_order() {
    let mut questions = Questions::default();
    slots!(questions,
        IClassFactoryVtbl(base) { CreateInstance, LockServer }
        IDispatchVtbl(base) { GetTypeInfoCount, GetTypeInfo, GetIDsOfNames, Invoke }
        IErrorInfoVtbl(base) { GetGUID, GetSource, GetDescription, GetHelpFile, GetHelpContext }
        ICreateErrorInfoVtbl(base) {
            SetGUID, SetSource, SetDescription, SetHelpFile, SetHelpContext
        }
        ISupportErrorInfoVtbl(base) { InterfaceSupportsErrorInfo }
        ICertExitVtbl(base.base) { Initialize, Notify, GetDescription }
        ICertExit2Vtbl(base.base.base) { GetManageModule }
        ICertManageModuleVtbl(base.base) { GetProperty, SetProperty, Configure }
        ICertServerExitVtbl(base.base) {
            SetContext, GetRequestProperty, GetRequestAttribute, GetCertificateProperty,
            GetCertificateExtension, GetCertificateExtensionFlags, EnumerateExtensionsSetup,
            EnumerateExtensions, EnumerateExtensionsClose, EnumerateAttributesSetup,
            EnumerateAttributes, EnumerateAttributesClose
        }
        ICertPolicyVtbl(base.base) { Initialize, VerifyRequest, GetDescription, ShutDown }
        ICertPolicy2Vtbl(base.base.base) { GetManageModule }
        ICertServerPolicyVtbl(base.base) {
            SetContext, GetRequestProperty, GetRequestAttribute, GetCertificateProperty,
            SetCertificateProperty, GetCertificateExtension, GetCertificateExtensionFlags,
            SetCertificateExtension, EnumerateExtensionsSetup, EnumerateExtensions,
            EnumerateExtensionsClose, EnumerateAttributesSetup, EnumerateAttributes,
            EnumerateAttributesClose
        }
    );
    // The published slots: seven of IDispatch, then the interface's own.
    questions.ask("offsetof(ICertExit2Vtbl, GetManageModule) / sizeof(void *)", 10);
    questions.ask("offsetof(ICertServerExitVtbl, EnumerateAttributesClose) / sizeof(void *)", 18);
    questions.ask("offsetof(ICertServerPolicyVtbl, EnumerateAttributesClose) / sizeof(void *)", 20);
    questions.ask("offsetof(ICertPolicyVtbl, ShutDown) / sizeof(void *)", 10);
    questions.ask("offsetof(ICertPolicy2Vtbl, GetManageModule) / sizeof(void *)", 11);
    questions.ask("offsetof(ICertServerPolicyVtbl, SetCertificateProperty) / sizeof(void *)", 11);
    questions.ask("offsetof(ICertServerPolicyVtbl, SetCertificateExtension) / sizeof(void *)", 14);
    check(&questions);
}

#[test]
fn numbers_are_the_same_in_both() {
    let mut questions = Questions::default();
    numbers!(questions,
        S_OK S_FALSE E_NOTIMPL E_NOINTERFACE E_POINTER E_ABORT E_FAIL E_PENDING E_UNEXPECTED
        E_ACCESSDENIED E_HANDLE E_OUTOFMEMORY E_INVALIDARG
        DISP_E_UNKNOWNINTERFACE DISP_E_MEMBERNOTFOUND DISP_E_PARAMNOTFOUND DISP_E_TYPEMISMATCH
        DISP_E_UNKNOWNNAME DISP_E_NONAMEDARGS DISP_E_BADVARTYPE DISP_E_EXCEPTION DISP_E_OVERFLOW
        DISP_E_BADINDEX DISP_E_ARRAYISLOCKED DISP_E_BADPARAMCOUNT DISP_E_PARAMNOTOPTIONAL
        CLASS_E_NOAGGREGATION CLASS_E_CLASSNOTAVAILABLE REGDB_E_CLASSNOTREG CO_E_NOTINITIALIZED
        CO_E_CLASSSTRING CO_E_IIDSTRING CO_E_OBJNOTREG
        CERTSRV_E_BAD_REQUESTSUBJECT CERTSRV_E_NO_REQUEST CERTSRV_E_BAD_REQUESTSTATUS
        CERTSRV_E_PROPERTY_EMPTY CERTSRV_E_INVALID_CA_CERTIFICATE CERTSRV_E_SERVER_SUSPENDED
        CERTSRV_E_BAD_RENEWAL_CERT_ATTRIBUTE CERTSRV_E_NO_DB_SESSIONS CERTSRV_E_ENROLL_DENIED
        CERTSRV_E_DOWNLEVEL_DC_SSL_OR_UPGRADE CERTSRV_E_ADMIN_DENIED_REQUEST
        DISPID_UNKNOWN DISPID_VALUE DISPID_PROPERTYPUT
        DISPATCH_METHOD DISPATCH_PROPERTYGET DISPATCH_PROPERTYPUT DISPATCH_PROPERTYPUTREF
        CLSCTX_INPROC_SERVER CLSCTX_INPROC_HANDLER CLSCTX_LOCAL_SERVER
        COINIT_MULTITHREADED COINIT_APARTMENTTHREADED
        VARIANT_TRUE VARIANT_FALSE
        VT_EMPTY VT_NULL VT_I2 VT_I4 VT_R4 VT_R8 VT_CY VT_DATE VT_BSTR VT_DISPATCH VT_ERROR
        VT_BOOL VT_VARIANT VT_UNKNOWN VT_DECIMAL VT_I1 VT_UI1 VT_UI2 VT_UI4 VT_I8 VT_UI8 VT_INT
        VT_UINT VT_RECORD VT_ARRAY VT_BYREF VT_TYPEMASK
        FADF_HAVEVARTYPE FADF_BSTR FADF_UNKNOWN FADF_DISPATCH FADF_VARIANT FADF_CREATEVECTOR
        EXITEVENT_INVALID EXITEVENT_CERTISSUED EXITEVENT_CERTPENDING EXITEVENT_CERTDENIED
        EXITEVENT_CERTREVOKED EXITEVENT_CERTRETRIEVEPENDING EXITEVENT_CRLISSUED EXITEVENT_SHUTDOWN
        EXITEVENT_STARTUP EXITEVENT_CERTIMPORTED EXITEVENT_CERTUNREVOKED EXITEVENT_REQUESTFAILED
        EXITEVENT_CERTEXPIRING EXITEVENT_CACERTISSUED EXITEVENT_CRLPUBLICATIONFAILED
        EXITEVENT_DELIVERYPARKED EXITEVENT_HEARTBEAT EXITEVENT_RESTORED
        PROPTYPE_LONG PROPTYPE_DATE PROPTYPE_BINARY PROPTYPE_STRING PROPTYPE_MASK
        PROPCALLER_SERVER PROPCALLER_POLICY PROPCALLER_EXIT PROPCALLER_ADMIN PROPCALLER_REQUEST
        PROPCALLER_MASK PROPFLAGS_INDEXED
        EXTENSION_CRITICAL_FLAG EXTENSION_DISABLE_FLAG EXTENSION_DELETE_FLAG EXTENSION_POLICY_MASK
        EXTENSION_ORIGIN_REQUEST EXTENSION_ORIGIN_POLICY EXTENSION_ORIGIN_ADMIN
        EXTENSION_ORIGIN_SERVER EXTENSION_ORIGIN_RENEWALCERT EXTENSION_ORIGIN_IMPORTEDCERT
        EXTENSION_ORIGIN_PKCS7 EXTENSION_ORIGIN_CMC EXTENSION_ORIGIN_CACERT EXTENSION_ORIGIN_MASK
        ENUMEXT_OBJECTID CMM_REFRESHONLY CMM_READONLY
        DB_DISP_ACTIVE DB_DISP_PENDING DB_DISP_QUEUE_MAX DB_DISP_FOREIGN DB_DISP_CA_CERT
        DB_DISP_CA_CERT_CHAIN DB_DISP_KRA_CERT DB_DISP_ISSUED DB_DISP_LOG_MIN DB_DISP_REVOKED
        DB_DISP_LOG_FAILED_MIN DB_DISP_ERROR DB_DISP_DENIED
        VR_PENDING VR_INSTANT_OK VR_INSTANT_BAD
        REQDISP_PENDING REQDISP_ISSUE REQDISP_DENY REQDISP_USEREQUESTATTRIBUTE REQDISP_MASK
        REQDISP_PENDINGFIRST
        CR_DISP_INCOMPLETE CR_DISP_ERROR CR_DISP_DENIED CR_DISP_ISSUED CR_DISP_ISSUED_OUT_OF_BAND
        CR_DISP_UNDER_SUBMISSION CR_DISP_REVOKED
        CA_DISP_INCOMPLETE CA_DISP_ERROR CA_DISP_REVOKED CA_DISP_VALID CA_DISP_INVALID
        CA_DISP_UNDER_SUBMISSION
    );
    questions.ask("HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND)", HRESULT_FILE_NOT_FOUND.into());
    // The sums that are published for the defaults.
    questions.ask("EDITF_DEFAULT_STANDALONE", 0x83EE);
    questions.ask("EDITF_DEFAULT_ENTERPRISE", 0x11_014E);
    questions.ask("REQDISP_DEFAULT_STANDALONE", 0x101);
    questions.ask("HRESULT_FROM_WIN32(0)", HRESULT_FROM_WIN32(0).into());
    questions.ask("HRESULT_FROM_WIN32(E_FAIL)", HRESULT_FROM_WIN32(0x8000_4005).into());
    check(&questions);
}

#[test]
fn events_are_those_of_the_contract() {
    for (bit, word) in exeunt_module::exit_event::WORDS {
        let ours = match word {
            "issued" => EXITEVENT_CERTISSUED,
            "pending" => EXITEVENT_CERTPENDING,
            "denied" => EXITEVENT_CERTDENIED,
            "revoked" => EXITEVENT_CERTREVOKED,
            "retrieve-pending" => EXITEVENT_CERTRETRIEVEPENDING,
            "crl-issued" => EXITEVENT_CRLISSUED,
            "shutdown" => EXITEVENT_SHUTDOWN,
            "startup" => EXITEVENT_STARTUP,
            "imported" => EXITEVENT_CERTIMPORTED,
            "unrevoked" => EXITEVENT_CERTUNREVOKED,
            "request-failed" => EXITEVENT_REQUESTFAILED,
            "expiring" => EXITEVENT_CERTEXPIRING,
            "ca-cert-issued" => EXITEVENT_CACERTISSUED,
            "crl-publication-failed" => EXITEVENT_CRLPUBLICATIONFAILED,
            "delivery-parked" => EXITEVENT_DELIVERYPARKED,
            "heartbeat" => EXITEVENT_HEARTBEAT,
            "restored" => EXITEVENT_RESTORED,
            other => panic!("the headers do not know the event {other}"),
        };
        assert_eq!(ours.cast_unsigned(), bit, "{word}");
    }
}

/// The identifiers as the published pages write them, for each name that the library exports.
#[test]
fn identifiers_are_exported_as_published() {
    let published = [
        ("GUID_NULL", "00000000-0000-0000-0000-000000000000"),
        ("IID_IUnknown", "00000000-0000-0000-C000-000000000046"),
        ("IID_IClassFactory", "00000001-0000-0000-C000-000000000046"),
        ("IID_IDispatch", "00020400-0000-0000-C000-000000000046"),
        ("IID_ITypeInfo", "00020401-0000-0000-C000-000000000046"),
        ("IID_IErrorInfo", "1CF2B120-547D-101B-8E65-08002B2BD119"),
        ("IID_ICreateErrorInfo", "22F03340-547D-101B-8E65-08002B2BD119"),
        ("IID_ISupportErrorInfo", "DF0B3D60-548F-101B-8E65-08002B2BD119"),
        ("IID_ICertExit", "E19AE1A0-7364-11D0-8816-00A0C903B83C"),
        ("IID_ICertExit2", "0ABF484B-D049-464D-A7ED-552E7529B0FF"),
        ("IID_ICertManageModule", "E7D7AD42-BD3D-11D1-9A4D-00C04FC297EB"),
        ("IID_ICertServerExit", "4BA9EB90-732C-11D0-8816-00A0C903B83C"),
        ("IID_ICertPolicy", "38BB5A00-7636-11D0-B413-00A0C91BBF8C"),
        ("IID_ICertPolicy2", "3DB4910E-8001-4BF1-AA1B-F43A808317A0"),
        ("IID_ICertServerPolicy", "AA000922-FFBE-11CF-8800-00A0C903B83C"),
        ("CLSID_CCertServerExit", "4C4A5E40-732C-11D0-8816-00A0C903B83C"),
        ("CLSID_CCertServerPolicy", "AA000926-FFBE-11CF-8800-00A0C903B83C"),
    ];
    let (names, expected): (Vec<&str>, Vec<&str>) = published.into_iter().unzip();
    let prints = format!("    show({});\n", names.join(");\n    show("));
    let text = format!(
        "#include <stdio.h>\n#include <certsrv.h>\n#include <certpol.h>\n#include <objbase.h>\n\
         static void show(REFGUID id)\n{{\n    printf(\"%08X-%04X-%04X-\", id.Data1, id.Data2, \
         id.Data3);\n    for (int i = 0; i < 8; i++) {{\n        printf(i == 2 ? \"-%02X\" : \
         \"%02X\", id.Data4[i]);\n    }}\n    puts(\"\");\n}}\nint main()\n{{\n{prints}}}\n"
    );
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("identifiers.cpp");
    std::fs::write(&source, text).unwrap();
    assert_eq!(run(CPP, &source, &[]).trim_end(), expected.join("\n"));
}
