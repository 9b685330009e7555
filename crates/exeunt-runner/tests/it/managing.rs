//! The module's manage module, asked before the greeting.

use exeunt_module::{CallError, Value};
use exeunt_module_kit::testing::{Host, HostError};
use serde_json::json;

use crate::{
    build::{module, module_with},
    runner,
};

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, HostError>) -> CallError {
    match result {
        Err(HostError::Refuse(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_direct_module_is_managed_through_its_own_object() {
    let mut command = runner(&module("direct.cpp"), "Test.Direct.Exit");
    command.args(["--ca", "Test CA"]);
    let mut host = Host::spawn(command).unwrap();
    assert!(host.manage_module().unwrap().settings.is_empty());
    let name = host.module_property("name").unwrap();
    assert_eq!(name, Some(Value::String("Direct".to_owned())));
    assert_eq!(host.module_property("Copyright").unwrap(), None);
    let Some(Value::String(place)) = host.module_property("Where").unwrap() else { panic!() };
    let expected = r"\Test CA | SYSTEM\CurrentControlSet\Services\CertSvc\Configuration\Test CA\ExitModules\Test.Direct.Exit | 0";
    assert!(place.ends_with(expected), "{place}");
    assert_ne!(place, expected, "the host's name is missing");

    let refused = refusal(host.configure(&json!({"other": 1})));
    assert_eq!(refused.message, "Configure failed: 0x80004005 greeting is missing");
    host.configure(&json!({"greeting": "hello"})).unwrap();
    host.set_module_property("number", json!(10)).unwrap();
    let refused = refusal(host.set_module_property("volume", json!(11)));
    let expected = "setting volume: SetProperty failed: 0x80070057 this goes to ten";
    assert_eq!(refused, CallError::new(CallError::REFUSED, expected));
    host.shutdown().unwrap();
}

#[test]
fn an_older_module_is_managed_through_the_class_of_its_name() {
    let mut host = Host::spawn(runner(&module("first.c"), "Test.First.Exit")).unwrap();
    assert_eq!(host.module_property("Name").unwrap(), Some(Value::Long(17)));
    // It has no use for settings, and none is refused.
    host.configure(&json!({"any": true})).unwrap();
    host.shutdown().unwrap();
}

#[test]
fn a_module_without_the_interface_is_managed_by_names() {
    let mut host = Host::spawn(runner(&module("late.cpp"), "Test.Late.Exit")).unwrap();
    let name = host.module_property("Name").unwrap();
    assert_eq!(name, Some(Value::String("late".to_owned())));
    host.configure(&json!({"any": true})).unwrap();
    host.shutdown().unwrap();
}

#[test]
fn a_module_without_a_manage_module_says_that_there_is_no_such_method() {
    let library = module_with("first.c", &["-DNO_CLASSES"]);
    let class = "{7c0b3a11-0b5e-4d4f-9a11-010203040508}";
    let mut host = Host::spawn(runner(&library, class)).unwrap();
    assert_eq!(refusal(host.manage_module()).code, CallError::METHOD_NOT_FOUND);
    assert_eq!(refusal(host.configure(&json!({}))).code, CallError::METHOD_NOT_FOUND);
    host.shutdown().unwrap();
}

#[test]
fn a_library_that_cannot_be_loaded_says_so_when_it_is_asked() {
    let mut host = Host::spawn(runner(&module("bare.c"), "Test.Direct.Exit")).unwrap();
    let refused = refusal(host.manage_module());
    assert_eq!(refused.code, CallError::REFUSED);
    assert!(refused.message.ends_with("has no DllGetClassObject"), "{refused}");
    host.shutdown().unwrap();
}
