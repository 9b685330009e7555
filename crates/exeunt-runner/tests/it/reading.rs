//! What a module reads through `ICertServerExit`.

use exeunt_module::Outcome;
use exeunt_module_kit::testing::Host;
use serde_json::json;

use crate::{build::module, host, parts, reported, runner, told};

const DIRECT: &str = "Test.Direct.Exit";

/// What the module reports when it is told so in event 9.
fn report(settings: &serde_json::Value, what: &str) -> Vec<String> {
    let mut host = host(&module("direct.cpp"), DIRECT);
    host.initialize(settings).unwrap();
    let outcome = host.notify(&told(9, what)).unwrap();
    host.shutdown().unwrap();
    parts(reported(&outcome)).into_iter().map(str::to_owned).collect()
}

#[test]
fn every_kind_of_value_comes_in_its_type() {
    assert_eq!(
        report(&json!({}), "read"),
        [
            "requestid=long 9",
            "RequesterName=string test",
            // 2026-11-21T06:00:00.5Z is day 46347 and a quarter, and half a second.
            "SubmittedWhen=date 46347.250006",
            // Fetched from the server: the event does not carry it.
            "RawRequest=binary 5 3003020105",
            "RequestID=80070057 empty",
            "RequestID=80070057 empty",
            "Nonsense=80070057 empty",
            "CN=string www.example.com",
            "NotBefore=date 46347.291667",
            "RawCertificate=binary 3 300100",
            "UPN=80094004 empty",
            "UPN is empty",
            "Certificate-Template=WebServer",
            "Missing=80094004",
            "2.5.29.99=binary 2 3000 flags 65537",
            "1.2.3.1=long -1 flags 131072",
            "1.2.3.2=string hi flags 262146",
            "1.2.3.2=binary 4 16026869 flags 262146",
            // A failure leaves the flags of the extension before.
            "1.2.3.2=80070057 flags 262146",
            "null=80004003",
        ]
    );
}

#[test]
fn enumerations_follow_their_protocol() {
    assert_eq!(
        report(&json!({}), "enumerate"),
        [
            "early=8000ffff",
            "2.5.29.99 1.2.3.1 1.2.3.2 end",
            "close=00000000",
            "flags=80070057",
            "CertificateTemplate Do close=00000000",
        ]
    );
}

#[test]
fn nothing_can_be_written() {
    assert_eq!(
        report(&json!({}), "write"),
        [
            "name=80020006 ffffffff",
            "name=80020006 ffffffff",
            "name=00000000 60020001",
            "number=80020003",
            "number=80020003",
            "number=80020003",
            "number=80020003",
            "number=80020003",
            "query=80004002",
            "create=80040154",
        ]
    );
}

#[test]
fn a_thread_of_the_module_reads_while_its_notify_runs() {
    assert_eq!(report(&json!({}), "thread"), ["RequesterName=string test"]);
}

#[test]
fn a_context_ends_with_its_notify() {
    let mut host = host(&module("direct.cpp"), DIRECT);
    host.initialize(&json!({})).unwrap();
    assert_eq!(host.notify(&told(1, "keep")).unwrap(), Outcome::Accept);
    let outcome = host.notify(&told(2, "stale")).unwrap();
    assert_eq!(
        parts(reported(&outcome)),
        [
            "RequestID=80070057 empty",
            "a context whose Notify has ended is not valid",
            "Do=80070057",
            "enumerate=80070057",
            "again=80070057",
            "foreign=80070057",
            "fresh=00000000",
            "RequestID=long 2",
            "zero=00000000",
            "SanitizedCAName=string asked",
        ]
    );
    host.shutdown().unwrap();
}

#[test]
fn settings_and_the_cas_properties_can_be_read_in_initialize() {
    let settings = json!({"greeting": "hello", "list": ["a", "b"], "number": 25, "yes": true});
    let location = "ModuleRegistryLocation=string SYSTEM\\CurrentControlSet\\Services\\CertSvc\\Configuration\\Test CA\\ExitModules\\Test.Direct.Exit";
    assert_eq!(
        report(&settings, "about"),
        [
            "config=Test CA",
            "Setting.greeting=string hello",
            "Setting.list=string a b",
            location,
            "Setting.number=long 25",
            "setting.YES=long 1",
            "CAType=long 3",
            "CertCount=80070002 empty",
            "Setting.none=80094004 empty",
            // VT_BSTR, VT_BSTR, VT_I4, VT_BOOL
            "SetProperty: greeting type 8",
            "list type 8",
            "number type 3",
            "yes type 11",
        ]
    );
}

#[test]
fn without_call_backs_the_ca_is_known_from_the_newest_event() {
    let mut host = Host::spawn(runner(&module("direct.cpp"), DIRECT)).unwrap();
    assert!(host.initialize(&json!({})).unwrap().features.is_empty());
    let outcome = host.notify(&told(9, "about")).unwrap();
    assert!(reported(&outcome).contains("CAType=80094004 empty"), "{outcome:?}");
    assert_eq!(host.notify(&told(1, "keep")).unwrap(), Outcome::Accept);
    let outcome = host.notify(&told(2, "stale")).unwrap();
    assert_eq!(parts(reported(&outcome)).last(), Some(&"SanitizedCAName=string Test CA"));
    let outcome = host.notify(&told(9, "read")).unwrap();
    assert!(reported(&outcome).contains("RawRequest=80094004 empty"), "{outcome:?}");
    host.shutdown().unwrap();
}
