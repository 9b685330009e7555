//! Each header compiles alone, in each language, with every warning an error.

use tempfile::TempDir;

use crate::build::{C, CPP, CPP_SHORT, compile, crate_root};

/// The published names.
fn headers() -> Vec<String> {
    let entries = std::fs::read_dir(crate_root().join("include")).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|it| it != "exeunt").collect()
}

#[test]
fn every_header_compiles_alone() {
    let folder = TempDir::new().unwrap();
    let headers = headers();
    assert!(headers.len() >= 13, "{headers:?}");
    for header in headers {
        for language in [C, CPP, CPP_SHORT] {
            let source = folder.path().join(format!("alone.{}", language.ending));
            std::fs::write(&source, format!("#include <{header}>\nint nothing;\n")).unwrap();
            compile(language, &source, &["-fsyntax-only"]);
        }
    }
}

#[test]
fn headers_do_not_mind_their_order_nor_each_other() {
    let folder = TempDir::new().unwrap();
    let mut headers = headers();
    for _ in 0..2 {
        headers.reverse();
        let includes: Vec<String> = headers.iter().map(|it| format!("#include <{it}>")).collect();
        for language in [C, CPP, CPP_SHORT] {
            let source = folder.path().join(format!("all.{}", language.ending));
            std::fs::write(&source, format!("{}\nint nothing;\n", includes.join("\n"))).unwrap();
            compile(language, &source, &["-fsyntax-only"]);
        }
    }
}

#[test]
fn interfaces_are_tables_in_cpp_too_where_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("tables.cpp");
    let text = "#define CINTERFACE\n#include <certsrv.h>\n\
                HRESULT notify(ICertExit *exit) { return ICertExit_Notify(exit, 1, 2); }\n";
    std::fs::write(&source, text).unwrap();
    compile(CPP, &source, &["-fsyntax-only"]);
}

#[test]
fn every_call_of_a_policy_can_be_written_in_c() {
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("policy.c");
    let text = "#include <certsrv.h>\n\
        HRESULT all(ICertPolicy2 *policy, ICertServerPolicy *server, BSTR text, VARIANT *value)\n\
        {\n    LONG it = 0;\n    BSTR out = 0;\n    ICertManageModule *manage = 0;\n\
        ICertPolicy2_AddRef(policy);\n    ICertPolicy2_Initialize(policy, text);\n\
        ICertPolicy2_GetDescription(policy, &out);\n    ICertPolicy2_ShutDown(policy);\n\
        ICertPolicy2_GetManageModule(policy, &manage);\n    ICertPolicy2_Release(policy);\n\
        ICertServerPolicy_SetContext(server, 1);\n\
        ICertServerPolicy_GetRequestProperty(server, text, PROPTYPE_LONG, value);\n\
        ICertServerPolicy_GetRequestAttribute(server, text, &out);\n\
        ICertServerPolicy_GetCertificateProperty(server, text, PROPTYPE_LONG, value);\n\
        ICertServerPolicy_SetCertificateProperty(server, text, PROPTYPE_LONG, value);\n\
        ICertServerPolicy_GetCertificateExtension(server, text, PROPTYPE_LONG, value);\n\
        ICertServerPolicy_GetCertificateExtensionFlags(server, &it);\n\
        ICertServerPolicy_SetCertificateExtension(server, text, PROPTYPE_LONG, 0, value);\n\
        ICertServerPolicy_EnumerateExtensionsSetup(server, 0);\n\
        ICertServerPolicy_EnumerateExtensions(server, &out);\n\
        ICertServerPolicy_EnumerateExtensionsClose(server);\n\
        ICertServerPolicy_EnumerateAttributesSetup(server, 0);\n\
        ICertServerPolicy_EnumerateAttributes(server, &out);\n\
        ICertServerPolicy_EnumerateAttributesClose(server);\n\
        ICertServerPolicy_Release(server);\n\
        return ICertPolicy2_VerifyRequest(policy, text, 1, 1, 0, &it);\n}\n";
    std::fs::write(&source, text).unwrap();
    compile(C, &source, &["-fsyntax-only"]);
}

/// The module in `README.md` is compiled with the command that stands there, and strictly.
#[test]
fn the_module_of_the_manual_compiles() {
    let manual = include_str!("../../README.md");
    let (_, rest) = manual.split_once("```cpp\n").unwrap();
    let (module, rest) = rest.split_once("```").unwrap();
    let options = "-std=c++17 -Wall -Wextra -shared -fPIC -I contract/exeunt-com/include";
    assert!(rest.contains(options), "the command of the manual is another");
    let folder = TempDir::new().unwrap();
    let source = folder.path().join("example.cpp");
    std::fs::write(&source, module).unwrap();
    let library = folder.path().join("example.so");
    compile(CPP, &source, &["-shared", "-fPIC", "-o", library.to_str().unwrap()]);
}
