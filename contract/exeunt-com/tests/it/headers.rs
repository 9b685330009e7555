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
