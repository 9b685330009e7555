//! Policy modules: what they may set and what they may not, line by line, with the same scripts in C++
//! called directly, in C++ called by names, and in Rust; their life; their rulings.

use std::path::PathBuf;

use exeunt_module::{
    CallError, Value,
    policy::{LogLevel, Ruling, SetExtension, SetProperty, VerifyRequest},
};
use exeunt_module_kit::testing::{Host, HostError, request_for};
use serde_json::json;

use crate::{
    answer,
    build::{example, module, module_with, rust_module},
    host, runner, with_stderr,
};

/// `CERTSRV_E_ENROLL_DENIED` (winerror.h).
const ENROLL_DENIED: u32 = 0x8009_4011;

/// Whom a line is for. A module in Rust cannot say everything that one in C++ can.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    All,
    Cpp,
}
use In::{All, Cpp};

/// The three modules: library, class, whether it is in Rust.
fn modules() -> [(PathBuf, &'static str, bool); 3] {
    [
        (module("policy.cpp"), "Test.Direct.Policy", false),
        (module("late_policy.cpp"), "Test.Late.Policy", false),
        (rust_module("clerk"), "Clerk.Policy", true),
    ]
}

/// A request with a script for the module, an extension that the request asks for, and one that the
/// CA's templates would put in.
fn told(script: &str) -> VerifyRequest {
    let mut asked = request_for("www.example.com");
    asked.event.attributes.push(("Do".to_owned(), script.to_owned()));
    let organization = Value::String("Example".to_owned());
    asked.event.certificate.push("Organization", organization);
    let usage = exeunt_module::Extension { flags: 0x4_0001, value: vec![3, 2, 7, 0x80] };
    asked.event.extensions.push("2.5.29.15", usage);
    asked
}

fn greeted(library: &std::path::Path, class: &str) -> Host {
    let mut host = host(library, class);
    assert_eq!(host.initialize_policy(&json!({})).unwrap().event_mask, 0);
    host
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, HostError>) -> CallError {
    match result {
        Err(HostError::Refuse(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// What the module reported: the words of its failure.
#[track_caller]
fn reported(host: &mut Host, asked: &VerifyRequest) -> String {
    let refused = refusal(host.verify(asked));
    let text = refused.message.strip_prefix("VerifyRequest failed: 0x80004004 ");
    text.unwrap_or_else(|| panic!("{refused}")).to_owned()
}

/// Runs each script in each module, and compares what it reports.
#[track_caller]
fn check(lines: &[(In, &str, &str)]) {
    for (library, class, is_rust) in modules() {
        let mut host = greeted(&library, class);
        for (whom, script, expected) in lines {
            if *whom == All || !is_rust {
                let report = reported(&mut host, &told(script));
                assert_eq!(&report, expected, "{class}: {script}");
            }
        }
        host.shutdown().unwrap();
    }
}

// 7.2, first row. The engine's validity: 2026-11-21T06:50:00Z to 2027-02-19T06:59:59Z. Day 46347 is
// 2026-11-21, day 46437 2027-02-19; 0.284722222 of a day is 6:50, 0.291655093 is 6:59:59.

#[test]
fn the_validity_is_narrowed_and_reads_back_narrower() {
    check(&[
        (All, "get 2 NotBefore; get 2 NotAfter", "date 46347.284722; date 46437.291655"),
        (All, "set 2 date NotAfter 46387.5; get 2 NotAfter", "00000000; date 46387.500000"),
        (All, "set 2 date notbefore 46350; get 2 NotBefore", "00000000; date 46350.000000"),
        // Back to what the engine gave is no widening.
        (
            All,
            "set 2 date NotAfter 46387; set 2 date NotAfter 46437.291655093",
            "00000000; 00000000",
        ),
    ]);
}

#[test]
fn the_validity_is_never_widened_nor_turned_around() {
    check(&[
        (All, "set 2 date NotAfter 46438; get 2 NotAfter", "80070057; date 46437.291655"),
        (All, "set 2 date NotAfter 46437.2917", "80070057"),
        (All, "set 2 date NotBefore 46347.2847", "80070057"),
        (All, "set 2 date NotBefore 46400; set 2 date NotAfter 46399", "00000000; 80070057"),
        (All, "set 2 null NotAfter", "80070057"),
        (All, "set 2 date NotAfter 3000000", "80070057"),
    ]);
}

#[test]
fn a_date_that_is_there_already_is_refused() {
    check(&[
        (All, "set 2 date NotAfter 46437.291655093", "80070057"),
        (All, "set 2 date NotBefore 46347.284722222", "80070057"),
        (All, "set 2 date NotAfter 46387; set 2 date NotAfter 46387", "00000000; 80070057"),
    ]);
}

// 7.2, second row.

#[test]
fn a_part_of_the_name_is_set_read_back_and_cleared() {
    check(&[
        (All, "set 4 bstr CommonName new; get 4 CommonName", "00000000; string new"),
        (
            All,
            "set 4 bstr Subject.OrgUnit new; get 4 OU; get 4 2.5.4.11",
            "00000000; string new; string new",
        ),
        (All, "set 4 null Organization; get 4 Organization", "00000000; 80094004"),
        (All, "set 4 empty Organization; get 4 O", "00000000; 80094004"),
        // Several values have line feeds in between; reports show what is no ASCII as it is.
        (All, "set 4 bstr OU one|two; set 4 null OU; get 4 OU", "00000000; 00000000; 80094004"),
        // What was requested stays as it was.
        (All, "set 4 bstr CN new; request 4 CN", "00000000; string www.example.com"),
    ]);
}

#[test]
fn a_name_that_cannot_be_is_refused() {
    let long = format!("set 4 bstr CommonName {}", "x".repeat(65));
    check(&[
        (All, &long, "80070057"),
        (All, "set 4 bstr Country DEU", "80070057"),
        (All, "set 4 bstr Country DE|FR", "80070057"),
        // The whole name follows from its parts.
        (All, "set 4 bstr DistinguishedName CN=x", "80070005"),
        (All, "set 3 bytes RawName 3000", "80070005"),
    ]);
}

// 7.2, third row.

#[test]
fn the_properties_for_policies_are_set() {
    check(&[
        (
            All,
            "set 4 bstr EventLogError a; set 4 bstr eventlogverbose b; set 4 null EventLogTerse",
            "00000000; 00000000; 80070057",
        ),
        (
            All,
            "set 4 bstr DCName dc1; set 4 bstr RequesterUPN a@b; set 4 bstr RequesterDN CN=a",
            "00000000; 00000000; 00000000",
        ),
        (All, "set 4 bstr RequesterSAMName A|a; get 4 RequesterSAMName", "00000000; string A a"),
        (All, "set 1 bstr DCName dc1; set 1 i4 DCName 1", "80070057; 80070057"),
    ]);
}

// 7.2, fourth row.

#[test]
fn an_extension_is_set_and_reads_back_as_the_policys() {
    check(&[
        // From each type; a long becomes an INTEGER, a string an IA5String.
        (
            All,
            "extend 3 bytes 1 1.2.3 0500; extension 3 1.2.3",
            "00000000; binary 2 0500 flags 00020001",
        ),
        (
            All,
            "extend 1 i4 0 1.2.3 5; extension 3 1.2.3",
            "00000000; binary 3 020105 flags 00020000",
        ),
        (Cpp, "extend 1 i4 0 1.2.3 5; extension 1 1.2.3", "00000000; long 5 flags 00020000"),
        (
            All,
            "extend 4 bstr 0 1.2.3 hi; extension 3 1.2.3",
            "00000000; binary 4 16026869 flags 00020000",
        ),
        (
            Cpp,
            "extend 2 date 0 1.2.3 46347; extension 2 1.2.3",
            "00000000; date 46347.000000 flags 00020000",
        ),
        // The free bits are the module's own; it comes at the end of the list, or in its place.
        (All, "extend 3 bytes a500 1.2.3 0500; list", "00000000; 2.5.29.17 2.5.29.15 1.2.3"),
        (
            All,
            "extend 3 bytes 0 2.5.29.15 03020520; list; extension 3 2.5.29.15",
            "00000000; 2.5.29.17 2.5.29.15; binary 4 03020520 flags 00020000",
        ),
    ]);
}

#[test]
fn an_extension_is_disabled_and_stays_on_record() {
    check(&[
        // The request's own came in disabled.
        (All, "extension 3 2.5.29.17", "binary 19 3011820f7777772e flags 00010002"),
        (
            All,
            "extend 3 empty 2 2.5.29.15; extension 3 2.5.29.15; list",
            "00000000; binary 4 03020780 flags 00020002; 2.5.29.17 2.5.29.15",
        ),
        (All, "extend 3 null 2 2.5.29.15", "00000000"),
        // Nothing without the flag is no value, and what is not there cannot be disabled.
        (All, "extend 3 empty 0 2.5.29.15", "80070057"),
        (All, "extend 3 empty 2 1.2.3", "80094004"),
        (
            All,
            "extend 3 bytes 2 1.2.3 0500; extension 3 1.2.3",
            "00000000; binary 2 0500 flags 00020002",
        ),
    ]);
}

#[test]
fn an_extension_that_cannot_be_is_refused() {
    let at_most = format!("extend 3 bytes 0 1.2.{} 0500", "3".repeat(27));
    let too_long = format!("extend 3 bytes 0 1.2.{} 0500", "3".repeat(28));
    let large = format!("extend 3 bytes 0 1.2.3 04821000{}", "00".repeat(4096));
    check(&[
        // 31 characters are allowed, 32 are not.
        (All, &too_long, "80070057"),
        (All, "extend 3 bytes 0 subjectAltName 0500", "80070057"),
        (All, &large, "80070057"),
        // What is not one value in DER.
        (All, "extend 3 bytes 0 1.2.3 050000", "80070057"),
        // The variant has to be of the type.
        (All, "extend 1 bstr 0 1.2.3 5", "80070057"),
        (All, "extend 3 i4 0 1.2.3 5", "80070057"),
        (All, "extend 2 i4 0 1.2.3 5", "80070057"),
        (All, "extend 3 r8 0 1.2.3 5", "80070057"),
        (All, "extend 5 bstr 0 1.2.3 5", "80070057"),
        // The origin is the engine's to say, deleting is nobody's.
        (All, "extend 3 bytes 30000 1.2.3 0500", "80070057"),
        (All, "extend 3 bytes 4 1.2.3 0500", "80070057"),
    ]);
    assert_eq!(at_most.split(' ').nth(4).map(str::len), Some(31));
}

#[test]
fn a_variant_of_another_type_is_refused() {
    check(&[
        (All, "set 4 i4 CommonName 5", "80070057"),
        (All, "set 4 date CommonName 46387", "80070057"),
        (All, "set 4 bool CommonName 1", "80070057"),
        (All, "set 2 bstr NotAfter 46387", "80070057"),
        (All, "set 4 date NotAfter 46387", "80070057"),
        (All, "set 2 r8 NotAfter 46387", "80070057"),
        (All, "set 1 i2 CrossForest 1", "80070057"),
        (All, "set 3 bytes CommonName 4141", "80070057"),
        (All, "set 5 bstr CommonName x", "80070057"),
        // Nothing of it has changed anything.
        (All, "set 4 i4 CommonName 5; get 4 CommonName", "80070057; string www.example.com"),
    ]);
}

// 7.2, last row.

#[test]
fn what_is_the_engines_cannot_be_set() {
    check(&[
        (All, "set 3 bytes RawPublicKey 0401", "80070005"),
        (All, "set 4 bstr SerialNumber 01", "80070005"),
        (All, "set 1 i4 PublicKeyLength 8192", "80070005"),
        (All, "set 4 bstr PublicKeyAlgorithm 1.2.3", "80070005"),
        (All, "set 3 bytes RawCertificate 3000", "80070005"),
        (All, "set 4 bstr RequesterName root", "80070005"),
        (All, "set 4 bstr SanitizedCAName x", "80070005"),
        // Of the issuer and the signature there is nothing that could be named.
        (All, "set 4 bstr Issuer.CommonName x", "80070057"),
        (All, "set 4 bstr SignatureAlgorithm 1.2.3", "80070057"),
        (All, "set 4 bstr Nonsense x", "80070057"),
        // Basic constraints, key identifiers, CDP and AIA.
        (All, "extend 3 bytes 1 2.5.29.19 30030101ff", "80070005"),
        (All, "extend 3 bytes 0 2.5.29.35 3000", "80070005"),
        (All, "extend 3 bytes 0 2.5.29.14 0400", "80070005"),
        (All, "extend 3 bytes 0 2.5.29.31 3000", "80070005"),
        (All, "extend 3 empty 2 1.3.6.1.5.5.7.1.1", "80070005"),
    ]);
}

#[test]
fn what_is_refused_is_explained() {
    let from = "from CertificateAuthority.ServerPolicy";
    let later = "NotAfter 2027-02-20T00:00:00Z lies outside the validity from 2026-11-21T06:50:00Z to \
        2027-02-19T06:59:59Z";
    check(&[
        (Cpp, "set 2 date NotAfter 46438; why", &format!("80070057; {later} {from}")),
        (
            Cpp,
            "extend 3 bytes 0 2.5.29.14 0400; why",
            &format!(
                "80070005; extension 2.5.29.14 (subject key identifier) is the engine's own {from}"
            ),
        ),
        (
            Cpp,
            "set 4 r8 CN 1; why",
            &format!("80070057; the type of the value is not valid {from}"),
        ),
        (Cpp, "get 4 UPN; why", &format!("80094004; UPN is empty {from}")),
    ]);
}

#[test]
fn what_comes_with_the_certificate_is_empty_before_there_is_one() {
    check(&[(
        All,
        "get 4 DistinguishedName; get 3 RawName; get 4 SerialNumber; get 3 RawCertificate; get 4 CertificateHash",
        "80094004; 80094004; 80094004; 80094004; 80094004",
    )]);
}

#[test]
fn a_policy_reads_as_an_exit_module_does() {
    check(&[
        (
            All,
            "request 4 RequesterName; request 1 RequestType; get 1 RequestID",
            "string test; long 256; 80094004",
        ),
        (All, "request 1 RequesterName; request 4 Nonsense", "80070057; 80070057"),
        (All, "attributes; new", "Do; new"),
        // The CA itself; a context that is none.
        (Cpp, "context 0; get 4 SanitizedCAName", "00000000; string asked"),
        (All, "context 99999", "80070057"),
    ]);
}

#[test]
fn a_new_request_is_told_from_one_that_waited() {
    for (library, class, _) in modules() {
        let mut host = greeted(&library, class);
        let mut asked = told("new");
        assert_eq!(reported(&mut host, &asked), "new", "{class}");
        asked.new_request = false;
        assert_eq!(reported(&mut host, &asked), "old", "{class}");
        host.shutdown().unwrap();
    }
}

#[test]
fn a_ruling_has_everything_that_was_set_in_its_order() {
    let script = "set 4 bstr OU one|two; set 4 null O; set 2 date NotAfter 46387; \
        set 4 bstr EventLogWarning looked at; extend 3 bytes 1 1.2.3 0500; \
        extend 3 empty 2 2.5.29.15; disposition 1";
    let name = |name: &str, value: Option<Value>| SetProperty { name: name.to_owned(), value };
    let extension = |oid: &str, flags, value| SetExtension { oid: oid.to_owned(), flags, value };
    for (library, class, _) in modules() {
        let mut host = greeted(&library, class);
        let (ruling, server) = host.verify(&told(script)).unwrap();
        let Ruling { disposition, message, set_properties, set_extensions, log } = ruling;
        assert_eq!((disposition, message), (1, None), "{class}");
        let expected = [
            name("OrgUnit", Some(Value::String("one\ntwo".to_owned()))),
            name("Organization", None),
            name("NotAfter", Some(Value::Date("2026-12-31T00:00:00Z".to_owned()))),
        ];
        assert_eq!(set_properties, expected, "{class}");
        let expected = [extension("1.2.3", 1, Some(vec![5, 0])), extension("2.5.29.15", 2, None)];
        assert_eq!(set_extensions, expected, "{class}");
        assert_eq!(log.len(), 1, "{class}");
        assert_eq!((log[0].level, log[0].text.as_str()), (LogLevel::Warning, "looked at"));
        // What the CA makes of it: the extension of the request stays out.
        let flags = |oid| server.view().extension(oid).map(|it| it.flags);
        assert_eq!(flags("2.5.29.17"), Some(0x1_0002), "{class}");
        // The next request knows nothing of this one.
        let (ruling, _) = host.verify(&told("disposition 1")).unwrap();
        assert_eq!(ruling, Ruling { disposition: 1, ..Ruling::default() }, "{class}");
        host.shutdown().unwrap();
    }
}

#[test]
fn a_disposition_is_one_of_three_or_a_failing_status() {
    for (library, class, is_rust) in modules() {
        let mut host = greeted(&library, class);
        let mut ruled = |script: &str| {
            let (ruling, _) = host.verify(&told(script)).unwrap();
            (ruling.disposition, ruling.message.unwrap_or_default())
        };
        assert_eq!(ruled("disposition 1"), (1, String::new()), "{class}");
        assert_eq!(ruled("disposition 0"), (0, "taken under submission".to_owned()), "{class}");
        let plain = "denied by the policy module".to_owned();
        assert_eq!(ruled("disposition 2"), (2, plain.clone()), "{class}");
        let denied = i64::from(ENROLL_DENIED.cast_signed());
        let script = format!("disposition {denied}; say not you");
        assert_eq!(ruled(&script), (denied, "not you".to_owned()), "{class}");
        if !is_rust {
            assert_eq!(ruled("disposition 2; say no").1, "no", "{class}");
            let script = format!("disposition {denied}");
            let text = format!("{plain} with 0x80094011");
            assert_eq!(ruled(&script), (denied, text), "{class}");
            // What the server said about a value that is missing is no reason of the module.
            let script = "get 4 UPN; disposition 2; say ";
            assert_eq!(ruled(script), (2, plain.clone()), "{class}");
            // Words beside a success are not for the requester.
            assert_eq!(ruled("disposition 1; say well done"), (1, String::new()), "{class}");
            for nonsense in ["3", "5", "1722", "2147483647"] {
                let refused = refusal(host.verify(&told(&format!("disposition {nonsense}"))));
                let text = format!("VerifyRequest gave the disposition {nonsense}, which is none");
                assert_eq!(refused.message, text, "{class}");
                assert_eq!(refused.data.unwrap()["hresult"], 0x8000_ffff_u32, "{class}");
            }
        }
        host.shutdown().unwrap();
    }
}

#[test]
fn a_call_that_fails_decides_nothing_and_what_it_set_is_forgotten() {
    for (library, class, _) in modules() {
        let mut host = greeted(&library, class);
        let refused = refusal(host.verify(&told("set 4 bstr O x; fail 80070005")));
        assert_eq!(refused.code, CallError::INTERNAL, "{class}");
        assert_eq!(refused.data.unwrap()["hresult"], 0x8007_0005_u32, "{class}");
        let text = "VerifyRequest failed: 0x80070005 00000000";
        assert_eq!(refused.message, text, "{class}");
        let report = reported(&mut host, &told("get 4 O"));
        assert_eq!(report, "string Example", "{class}");
        host.shutdown().unwrap();
    }
}

#[test]
fn a_policy_that_crashes_ends_the_runner_and_one_in_rust_that_panics_does_not() {
    for (library, class, is_rust) in modules() {
        let mut host = greeted(&library, class);
        let script = if is_rust { "panic" } else { "crash" };
        let asked = told(script);
        if is_rust {
            let refused = refusal(host.verify(&asked));
            let text = "VerifyRequest failed: 0x8000FFFF the module panicked: the script says so";
            assert_eq!(refused.message, text);
            assert_eq!(host.verify(&told("disposition 1")).unwrap().0.disposition, 1);
            host.shutdown().unwrap();
        } else {
            let ended = host.verify(&asked);
            assert!(matches!(ended, Err(HostError::Ended | HostError::Io(_))), "{ended:?}");
        }
    }
}

#[test]
fn a_policy_lives_from_initialize_to_shut_down() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = folder.path().join("stderr");
    let command = with_stderr(runner(&module("policy.cpp"), "Test.Direct.Policy"), &stderr);
    let mut host = Host::spawn(command).unwrap().with_call_backs(answer);
    host.initialize_policy(&json!({})).unwrap();
    assert_eq!(host.description().unwrap(), "called directly");
    for _ in 0..2 {
        host.verify(&told("disposition 1")).unwrap();
    }
    host.shutdown().unwrap();
    let text = std::fs::read_to_string(stderr).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            // E_UNEXPECTED: under context 0 there is nothing to set.
            "Initialize Test CA, set 8000ffff",
            "stale 80070057",
            "ShutDown",
            "exeunt-runner: warning: ShutDown failed: 0x80004005 nothing to put away",
            "the policy was released",
        ]
    );
}

#[test]
fn policies_in_rust_and_by_names_are_greeted_described_and_shut_down() {
    let by_name = (module("late_policy.cpp"), "Test.Late.Policy", "called by name", "ShutDown");
    let in_rust =
        (rust_module("clerk"), "Clerk.Policy", "does what a script says", "clerk: ShutDown");
    for (library, class, description, farewell) in [by_name, in_rust] {
        let folder = tempfile::tempdir().unwrap();
        let stderr = folder.path().join("stderr");
        let command = with_stderr(runner(&library, class), &stderr);
        let mut host = Host::spawn(command).unwrap().with_call_backs(answer);
        host.initialize_policy(&json!({"greeting": "ahoy"})).unwrap();
        assert_eq!(host.description().unwrap(), description);
        host.shutdown().unwrap();
        let text = std::fs::read_to_string(stderr).unwrap();
        assert!(text.lines().any(|it| it == farewell), "{text}");
    }
}

#[test]
fn a_policy_of_the_first_generation_is_called_directly_too() {
    let library = module_with("policy.cpp", &["-DFIRST"]);
    let mut host = greeted(&library, "Test.Direct.Policy");
    assert_eq!(reported(&mut host, &told("get 4 CN")), "string www.example.com");
    host.shutdown().unwrap();
}

#[test]
fn a_module_of_the_other_kind_refuses_the_greeting() {
    let exit = (module("direct.cpp"), "Test.Direct.Exit");
    let mut asked_to_decide = host(&exit.0, exit.1);
    let refused = refusal(asked_to_decide.initialize_policy(&json!({})));
    let text = "Test.Direct.Exit is no policy module: it has neither ICertPolicy nor IDispatch";
    // It has IDispatch, which knows no name.
    let by_name = "Test.Direct.Exit is no policy module: it has no member Initialize";
    assert!([text, by_name].contains(&refused.message.as_str()), "{refused}");
    asked_to_decide.shutdown().unwrap();

    let mut told_events = host(&module("policy.cpp"), "Test.Direct.Policy");
    let refused = refusal(told_events.initialize(&json!({})));
    assert_eq!(
        refused.message,
        "Test.Direct.Policy is no exit module: it has no member Initialize"
    );
    told_events.shutdown().unwrap();

    let deaf = module_with("late_policy.cpp", &["-DNO_VERIFY"]);
    let mut without = host(&deaf, "Test.Late.Policy");
    let refused = refusal(without.initialize_policy(&json!({})));
    assert_eq!(
        refused.message,
        "Test.Late.Policy is no policy module: it has no member VerifyRequest"
    );
    without.shutdown().unwrap();
}

#[test]
fn a_policy_that_does_not_like_its_settings_refuses_the_greeting() {
    for (library, class, is_rust) in modules() {
        if class == "Test.Late.Policy" {
            continue;
        }
        let mut host = host(&library, class);
        let refused = refusal(host.initialize_policy(&json!({"refuse": "yes"})));
        let code = if is_rust { "80004005" } else { "80070005" };
        assert_eq!(refused.message, format!("Initialize failed: 0x{code} no such folder"));
        host.shutdown().unwrap();
    }
}

#[test]
fn a_policy_is_managed_as_an_exit_module_is() {
    let mut command = runner(&module("policy.cpp"), "Test.Direct.Policy");
    command.args(["--ca", "Test CA"]);
    let mut host = Host::spawn(command).unwrap();
    let Some(Value::String(place)) = host.module_property("Where").unwrap() else { panic!() };
    let expected = r"SYSTEM\CurrentControlSet\Services\CertSvc\Configuration\Test CA\PolicyModules\Test.Direct.Policy";
    assert_eq!(place, expected);
    host.configure(&json!({"any": true})).unwrap();
    let refused = refusal(host.set_module_property("volume", json!(11)));
    let expected = "setting volume: SetProperty failed: 0x80070057 this goes to ten";
    assert_eq!(refused.message, expected);
    host.shutdown().unwrap();

    let mut host = Host::spawn(runner(&rust_module("clerk"), "Clerk.Policy")).unwrap();
    let settings = host.manage_module().unwrap().settings;
    assert_eq!((settings.len(), settings[0].name.as_str()), (1, "greeting"));
    host.shutdown().unwrap();
}

/// A value in DER of less than 256 octets.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    let header = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [&header, content].concat()
}

/// Alternative names of RFC 5280, section 4.2.1.6: a tag and a text each.
fn names(names: &[(u8, &[u8])]) -> Vec<u8> {
    let all: Vec<u8> = names.iter().flat_map(|(tag, text)| der(*tag, text)).collect();
    der(0x30, &all)
}

#[test]
fn the_example_lets_hosts_of_its_domain_pass_and_no_others() {
    const HOST: u8 = 0x82;
    let mut host = host(&example("cpp-policy", "fence.cpp"), "Fence.Policy");
    host.initialize_policy(&json!({"domain": "example.com", "days": 30})).unwrap();
    assert_eq!(host.description().unwrap(), "hosts of one domain, and not for long");
    let mut judge = |common_name: &str, der: Option<Vec<u8>>| {
        let mut asked = request_for(common_name);
        asked.event.extensions = exeunt_module::Extensions::default();
        if let Some(value) = der {
            let extension = exeunt_module::Extension { flags: 0x1_0002, value };
            asked.event.extensions.push("2.5.29.17", extension);
        }
        let (ruling, server) = host.verify(&asked).unwrap();
        let end = server.event().certificate.date("NotAfter").unwrap().to_owned();
        (ruling.disposition, ruling.message.unwrap_or_default(), end, ruling.set_extensions)
    };
    // 30 days after 2026-11-21T06:50:00Z, by hand.
    let www = names(&[(HOST, b"www.example.com"), (HOST, b"EXAMPLE.com")]);
    let (disposition, message, end, extensions) = judge("www.example.com", Some(www.clone()));
    assert_eq!((disposition, message.as_str()), (1, ""));
    assert_eq!(end, "2026-12-21T06:50:00Z");
    let enabled = SetExtension { oid: "2.5.29.17".to_owned(), flags: 0, value: Some(www.clone()) };
    assert_eq!(extensions, [enabled]);

    let long = names(&[(HOST, format!("{}.example.com", "x".repeat(120)).as_bytes())]);
    assert_eq!(judge("www.example.com", Some(long)).0, 1);
    let denied = i64::from(ENROLL_DENIED.cast_signed());
    for (common_name, der, words) in [
        ("www.example.net", www.clone(), "the common name is outside"),
        ("notexample.com", www.clone(), "the common name is outside"),
        // Two names in one, and a letter that is like ours in its lower eight bits.
        ("www.example.net\nwww.example.com", www.clone(), "the common name is outside"),
        ("www.ex\u{161}mple.com", www.clone(), "the common name is outside"),
        ("example.com", names(&[(HOST, b"example.net")]), "example.net is outside of example.com"),
        ("example.com", names(&[(0x81, b"a@example.com")]), "a name that is no host"),
        (
            "example.com",
            names(&[(HOST, b"*.example.com")]),
            "*.example.com is outside of example.com",
        ),
        ("example.com", vec![0x30, 5, HOST, 9, b'a', b'b', b'c'], "a name that is no host"),
        ("example.com", vec![0x30, 9, HOST, 1, b'a'], "no names"),
        ("example.com", Vec::new(), "no names"),
    ] {
        let (disposition, message, _, extensions) = judge(common_name, Some(der));
        assert_eq!((disposition, message.as_str()), (denied, words), "{common_name}");
        assert!(extensions.is_empty(), "{common_name}");
    }
    assert_eq!(judge("www.example.com", None).1, "no host is named");
    host.shutdown().unwrap();

    let mut without = crate::host(&example("cpp-policy", "fence.cpp"), "Fence.Policy");
    let refused = refusal(without.initialize_policy(&json!({"domain": "example.com"})));
    let words = "Initialize failed: 0x80070057 the settings domain and days are needed";
    assert_eq!(refused.message, words);
    without.shutdown().unwrap();
}
