//! Policy modules, in memory and as processes, in Rust and in Python.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use exeunt_module_kit::{
    CallError, DefaultRuling, Disposition, Initialize, PolicyFailure, PolicyModule, PropType,
    ServerPolicy, Value, Verdict, VerifyRequest,
    testing::{Host, HostError, request_for},
};
use serde_json::json;

/// Does what the name that is asked for says.
#[derive(Default)]
struct Puppet;

impl PolicyModule for Puppet {
    fn initialize(&mut self, hello: &Initialize) -> Result<(), String> {
        if hello.settings.is_empty() { Ok(()) } else { Err("there are no settings".to_owned()) }
    }

    fn description(&self) -> String {
        "does as it is told".to_owned()
    }

    fn verify_request(
        &mut self,
        asked: &VerifyRequest,
        server: &mut ServerPolicy,
    ) -> Result<Verdict, PolicyFailure> {
        match asked.event.request.string("CommonName").unwrap_or_default() {
            "pend" => Ok(Verdict::Pend("wait".to_owned())),
            "deny" => Ok(Verdict::Deny("no".to_owned())),
            "deny-with-success" => {
                Ok(Verdict::DenyWith { hresult: 0, message: "no status".to_owned() })
            }
            "fail" => Err(PolicyFailure::new(0x8007_0005, "no directory")),
            "panic" => panic!("as it was told"),
            "serial" => {
                let value = Some(Value::String("00".to_owned()));
                server.set_certificate_property("SerialNumber", PropType::String, value)?;
                Ok(Verdict::Issue)
            }
            _ => {
                server.enable_extension("2.5.29.17")?;
                Ok(Verdict::Issue)
            }
        }
    }
}

fn puppet() -> Host {
    let mut host = Host::policy_in_memory(Puppet).unwrap();
    let hello = host.initialize_policy(&json!({})).unwrap();
    assert_eq!((hello.event_mask, hello.window), (0, 1));
    host
}

#[track_caller]
fn refused(host: &mut Host, name: &str) -> CallError {
    match host.verify(&request_for(name)) {
        Err(HostError::Refuse(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_policy_module_decides() {
    let mut host = puppet();
    assert_eq!(host.description().unwrap(), "does as it is told");
    let (ruling, server) = host.verify(&request_for("www.example.com")).unwrap();
    assert_eq!(ruling.disposition(), Some(Disposition::Issue));
    assert_eq!(server.event().extension_flags("2.5.29.17"), Ok(0x2_0000));
    let (ruling, _) = host.verify(&request_for("pend")).unwrap();
    assert_eq!((ruling.disposition, ruling.message.as_deref()), (0, Some("wait")));
    let (ruling, _) = host.verify(&request_for("deny")).unwrap();
    assert_eq!((ruling.disposition, ruling.message.as_deref()), (2, Some("no")));
    let (ruling, _) = host.verify(&request_for("deny-with-success")).unwrap();
    assert_eq!(ruling.disposition(), Some(Disposition::DenyWith(0x8000_4005)));
    host.shutdown().unwrap();
}

#[test]
fn a_policy_module_that_fails_says_so_and_lives() {
    let mut host = puppet();
    let failed = refused(&mut host, "fail");
    assert_eq!(failed.message, "no directory");
    assert_eq!(failed.data, Some(json!({"hresult": 0x8007_0005_u32})));
    assert!(refused(&mut host, "panic").message.contains("as it was told"));
    let denied = refused(&mut host, "serial");
    assert_eq!(denied.message, "SerialNumber is not for a policy to set");
    assert_eq!(denied.data, Some(json!({"hresult": 0x8007_0005_u32})));
    assert!(host.verify(&request_for("www.example.com")).is_ok());
    host.shutdown().unwrap();
}

#[test]
fn a_module_is_what_it_is_greeted_as() {
    let mut host = Host::policy_in_memory(Puppet).unwrap();
    let Err(HostError::Refuse(refusal)) = host.initialize(&json!({})) else { panic!("taken") };
    assert_eq!(refusal.message, "this is a policy module, and not an exit module");
    let mut host = Host::in_memory(super::Asker::default()).unwrap();
    let Err(HostError::Refuse(refusal)) = host.initialize_policy(&json!({})) else {
        panic!("taken")
    };
    assert_eq!(refusal.message, "this is an exit module, and not a policy module");
    host.initialize(&json!({})).unwrap();
    let Err(HostError::Refuse(refusal)) = host.verify(&request_for("x")) else { panic!("ruled") };
    assert_eq!(refusal.code, CallError::METHOD_NOT_FOUND);
}

/// What the guard of every language does.
fn check_guard(command: Command) {
    let mut host = Host::spawn(command).unwrap();
    host.initialize_policy(&json!({"domain": "example.com"})).unwrap();
    let (ruling, server) = host.verify(&request_for("www.example.com")).unwrap();
    assert_eq!(ruling.disposition(), Some(Disposition::Issue));
    assert_eq!(server.event().extension_flags("2.5.29.17"), Ok(0x2_0000));
    let (ruling, _) = host.verify(&request_for("www.example.net")).unwrap();
    assert_eq!(ruling.disposition(), Some(Disposition::DenyWith(0x8009_4001)));
    assert_eq!(ruling.message.as_deref(), Some("www.example.net is not ours"));
    let mail = request_for("mail.example.com");
    assert_eq!(host.verify(&mail).unwrap().0.disposition(), Some(Disposition::Pend));
    let default = Some(DefaultRuling { disposition: 1, message: None });
    let again = VerifyRequest { new_request: false, default, ..mail };
    let (ruling, _) = host.verify(&again).unwrap();
    assert_eq!(ruling.disposition(), Some(Disposition::Issue));
    assert!(ruling.set_extensions.is_empty());
    host.shutdown().unwrap();
}

/// The example, which `cargo test` has built beside this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples/guard")
}

#[test]
fn the_guard_in_rust_keeps_its_domain() {
    check_guard(Command::new(example()));
}

#[test]
fn the_guard_in_python_keeps_its_domain() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../python");
    let mut command = Command::new("python3");
    command.arg("-B").arg(folder.join("examples/guard.py")).stderr(Stdio::null());
    check_guard(command);
}
