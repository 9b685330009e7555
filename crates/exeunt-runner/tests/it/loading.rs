//! Refusals of the greeting, with a text that the operator can act on.

use std::{fs, path::Path};

use exeunt_module::CallError;
use exeunt_module_kit::testing::HostError;
use serde_json::json;

use crate::{
    build::{module, module_with},
    host, runner,
};
use exeunt_module_kit::testing::Host;

/// The reason of a refused greeting. The runner must live on and take the farewell.
#[track_caller]
fn refused(mut host: Host, settings: &serde_json::Value) -> String {
    let Err(HostError::Refuse(refusal)) = host.initialize(settings) else {
        panic!("not refused");
    };
    assert_eq!(refusal.code, CallError::REFUSED);
    host.shutdown().unwrap();
    refusal.message
}

#[track_caller]
fn refused_library(library: &Path, class: &str) -> String {
    refused(host(library, class), &json!({}))
}

#[test]
fn a_library_that_cannot_be_loaded_is_refused_with_the_linkers_words() {
    let text = refused_library(Path::new("/nowhere/lib.so"), "Test.Direct.Exit");
    assert!(text.starts_with("the library /nowhere/lib.so cannot be loaded: "), "{text}");
    assert!(text.contains("No such file or directory"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let text_file = folder.path().join("text.so");
    fs::write(&text_file, "no library at all\n".repeat(1000)).unwrap();
    let text = refused_library(&text_file, "Test.Direct.Exit");
    assert!(text.contains("invalid ELF header"), "{text}");

    // The header's fifth octet says how many bits the machine has: 1 means 32.
    let mut octets = fs::read(module("direct.cpp")).unwrap();
    octets[4] = 1;
    let other_machine = folder.path().join("other.so");
    fs::write(&other_machine, octets).unwrap();
    let text = refused_library(&other_machine, "Test.Direct.Exit");
    assert!(text.contains("wrong ELF class"), "{text}");
}

#[test]
fn a_library_that_needs_what_is_not_there_is_refused() {
    let text = refused_library(&module("needy.c"), "Test.Needy.Exit");
    assert!(text.contains("undefined symbol: RegOpenKeyExW"), "{text}");
}

#[test]
fn a_library_of_another_kind_is_refused() {
    let text = refused_library(&module("bare.c"), "Test.Direct.Exit");
    assert!(text.ends_with("libbare-c.so has no DllGetClassObject"), "{text}");
}

#[test]
fn a_class_that_the_library_lacks_is_refused() {
    let direct = module("direct.cpp");
    assert_eq!(
        refused_library(&direct, "Other.Exit"),
        "the library has no class Other.Exit; it has Test.Direct.Exit"
    );
    let clsid = "{00000000-1111-2222-3333-444444444444}";
    assert_eq!(
        refused_library(&direct, clsid),
        format!("creating {clsid} failed: 0x80040111 the library does not have that class")
    );
    let silent = module_with("first.c", &["-DNO_CLASSES"]);
    assert_eq!(
        refused_library(&silent, "Test.First.Exit"),
        "the library has no class Test.First.Exit; it has told none, so name it by its CLSID in braces"
    );
}

#[test]
fn a_class_is_found_by_its_number_and_by_its_name_in_any_case() {
    for (library, class) in [
        (module("direct.cpp"), "test.direct.EXIT"),
        (module("direct.cpp"), "{7C0B3A11-0B5E-4D4F-9A11-010203040506}"),
        (module_with("first.c", &["-DNO_CLASSES"]), "{7c0b3a11-0b5e-4d4f-9a11-010203040508}"),
    ] {
        let mut host = host(&library, class);
        host.initialize(&json!({})).unwrap();
        host.shutdown().unwrap();
    }
}

#[test]
fn an_object_that_is_no_exit_module_is_refused() {
    assert_eq!(
        refused_library(&module("first.c"), "Test.First.ExitManage"),
        "Test.First.ExitManage is no exit module: it has neither ICertExit nor IDispatch"
    );
    let deaf = module_with("late.cpp", &["-DNO_NOTIFY"]);
    assert_eq!(
        refused_library(&deaf, "Test.Late.Exit"),
        "Test.Late.Exit is no exit module: it has no member Notify"
    );
}

#[test]
fn automation_can_be_demanded_and_must_then_be_there() {
    let mut command = runner(&module("direct.cpp"), "Test.Direct.Exit");
    command.arg("--automation");
    let text = refused(Host::spawn(command).unwrap(), &json!({}));
    assert_eq!(text, "Test.Direct.Exit is no exit module: it has no member Initialize");
}

#[test]
fn a_failing_initialize_refuses_the_greeting_with_the_modules_words() {
    let host = host(&module("direct.cpp"), "Test.Direct.Exit");
    let text = refused(host, &json!({"refuse": "yes"}));
    assert_eq!(text, "Initialize failed: 0x80070005 no such folder");
}

#[test]
fn a_setting_that_the_manage_module_refuses_refuses_the_greeting() {
    let host = host(&module("direct.cpp"), "Test.Direct.Exit");
    let text = refused(host, &json!({"volume": 11}));
    assert_eq!(text, "setting volume: SetProperty failed: 0x80070057 this goes to ten");
}
