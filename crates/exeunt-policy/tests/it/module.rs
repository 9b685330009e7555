//! Policy modules that are real processes, mostly bad ones: what becomes of a request.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use exeunt_engine::{Asked, Caller, Decision, Door, Plan, Policy, Verdict};
use exeunt_host::{HostLimits, ModuleCommand};
use exeunt_module::{Properties, Value};
use exeunt_policy::{
    Issuance, ModuleFacts, ModulePolicy, ModuleSettings, Observation, OnFailure, SwitchPolicy,
    Template, TemplatePolicy,
};
use exeunt_types::{OfficerExtension, Roles, StatusCode, UnixMillis};
use exeunt_x509::{CertificationRequest, Extension, GeneralName, KeyUsage, ObjectIdentifier};
use serde_json::{Value as Json, json};

use crate::support::{plan, request, template};

/// 2026-11-21T07:00:00Z.
const NOW: UnixMillis = UnixMillis(1_795_244_400_000);

/// Answers what its setting `answer` says: a result, or a word for something worse.
const PUPPET: &str = r#"
import json, os, sys, time
def say(message):
    print(json.dumps(message), flush=True)
for line in sys.stdin:
    call = json.loads(line)
    id, method, params = call.get("id"), call["method"], call.get("params")
    if method == "Initialize":
        settings = params["settings"]
        assert params["role"] == "policy", params
        if settings.get("refuse"):
            say({"id": id, "error": {"code": -32000, "message": "no such setting"}})
            continue
        say({"id": id, "result": {"protocol": 1, "features": [], "event_mask": 0, "window": 1}})
    elif method == "GetDescription":
        say({"id": id, "result": "a puppet"})
    elif method == "Shutdown":
        say({"id": id, "result": None})
        break
    elif method == "VerifyRequest":
        if "asked" in settings:
            with open(settings["asked"], "w") as file:
                json.dump(params, file)
        answer = settings["answer"]
        if answer == "hang":
            time.sleep(1000)
        elif answer == "die":
            os._exit(7)
        elif answer == "die-once":
            if not os.path.exists(settings["once"]):
                open(settings["once"], "w").close()
                os._exit(7)
            say({"id": id, "result": {"disposition": 1}})
        elif answer == "garbage":
            print("issue it", flush=True)
        elif answer == "error":
            error = {"code": -32603, "message": "no\ndirectory", "data": {"hresult": -2147023174}}
            say({"id": id, "error": error})
        elif answer == "to-nobody":
            say({"id": None, "result": {"disposition": 1}})
        elif answer == "slow":
            time.sleep(0.2)
            say({"id": id, "result": {"disposition": 1}})
        else:
            say({"id": id, "result": answer})
"#;

struct Stage {
    folder: tempfile::TempDir,
    settings: ModuleSettings,
    templates: Vec<Template>,
    seen: Arc<Mutex<Vec<Observation>>>,
}

impl Stage {
    /// A module that answers that, not chained.
    fn new(answer: impl Into<Json>) -> Self {
        let answer = answer.into();
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("puppet.py");
        fs::write(&script, PUPPET).unwrap();
        let Json::Object(own) = json!({"answer": answer, "once": folder.path().join("once")})
        else {
            unreachable!()
        };
        let command = ModuleCommand {
            program: "python3".into(),
            args: vec!["-I".into(), "-S".into(), script.into()],
            env: Vec::new(),
            working_directory: folder.path().to_owned(),
            confine: None,
        };
        let settings = ModuleSettings {
            name: "policy".to_owned(),
            command,
            // It yields to nobody here: a loaded machine would starve it.
            limits: HostLimits { hello: Duration::from_mins(1), nice: 0, ..HostLimits::default() },
            deadline: Duration::from_secs(30),
            settings: own,
            chain: false,
            on_failure: OnFailure::Pend,
            audit: false,
            validity: Duration::from_hours(24 * 365),
            backdate: Duration::from_mins(10),
        };
        Self { folder, settings, templates: vec![template("tls")], seen: Arc::default() }
    }

    fn chained(answer: impl Into<Json>) -> Self {
        let mut stage = Self::new(answer);
        stage.settings.chain = true;
        stage
    }

    fn policy(&self) -> ModulePolicy {
        let templates = TemplatePolicy::new(self.templates.clone(), None).unwrap();
        let seen = Arc::clone(&self.seen);
        let facts = ModuleFacts {
            config: "Test CA".to_owned(),
            system: Arc::new(|_| {
                let name = ("SanitizedCAName", Value::String("Test CA".to_owned()));
                Arc::new(Properties::from_iter([name]))
            }),
            validities: vec![(UnixMillis(0), UnixMillis(NOW.0 + 10 * 365 * 86_400_000))],
        };
        ModulePolicy::new(
            self.settings.clone(),
            facts,
            Arc::new(templates),
            Arc::new(move |it: &Observation| seen.lock().unwrap().push(it.clone())),
        )
    }

    fn decide(&self, request: &CertificationRequest) -> Decision {
        decide(&self.policy(), request, true)
    }

    fn what_was_seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|it| it.what.clone()).collect()
    }
}

fn asked_by<'a>(caller: &'a Caller, request: &'a CertificationRequest, new: bool) -> Asked<'a> {
    Asked {
        request,
        attributes: &[],
        template: None,
        caller,
        on_behalf_of: None,
        renewed: None,
        signatures: &[],
        approvals: &[],
        officers: &[],
        new_request: new,
        now: NOW,
    }
}

fn caller() -> Caller {
    Caller::new("somebody", Door::Local, Roles::ENROLLEE)
}

fn decide(policy: &ModulePolicy, request: &CertificationRequest, new: bool) -> Decision {
    policy.decide(&asked_by(&caller(), request, new))
}

fn host() -> CertificationRequest {
    request("ec:P-256", "/C=DE/O=Acme/CN=host.example", &["DNS:host.example", "DNS:www.example"])
}

fn base64(der: &[u8]) -> String {
    // The contract's own writing of bytes.
    let value = serde_json::to_value(Value::Binary(der.to_vec())).unwrap();
    value["binary"].as_str().unwrap().to_owned()
}

fn san(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|it| GeneralName::parse(it).unwrap()).collect();
    base64(&Extension::subject_alternative_name(&names, false).value)
}

fn usage(usage: KeyUsage) -> String {
    base64(&Extension::key_usage(usage).value)
}

fn purposes(oids: &[&str]) -> String {
    let oids: Vec<_> = oids.iter().map(|it| ObjectIdentifier::new_unwrap(it)).collect();
    base64(&Extension::extended_key_usage(&oids).value)
}

#[track_caller]
fn check_held(decision: Decision) -> String {
    match decision {
        Decision::Hold { message, .. } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_module_issues_holds_and_refuses() {
    let asked = host();
    let issued = plan(Stage::new(json!({"disposition": 1})).decide(&asked));
    // What the request asks for is not enabled, and nothing else is there.
    assert_eq!(issued.subject.to_string(), "CN=host.example,O=Acme,C=DE");
    assert!(issued.subject_alternative_names.is_empty() && issued.extensions.is_empty());
    assert_eq!(issued.key_usage, KeyUsage::DIGITAL_SIGNATURE);
    assert_eq!(issued.validity, Duration::from_hours(24 * 365));

    let held = Stage::new(json!({"disposition": 0, "message": "wait\nhere"})).decide(&asked);
    assert_eq!(check_held(held), "wait here");
    for (answer, status, message) in [
        (json!({"disposition": 2}), 0x8009_4011, "denied by the policy module"),
        (json!({"disposition": -2_146_877_423, "message": "no"}), 0x8009_4011, "no"),
        (json!({"disposition": 0x8007_0005_u32, "message": "no"}), 0x8007_0005, "no"),
    ] {
        let expected = Decision::Refuse {
            template: String::new(),
            code: "policy-denied",
            status: StatusCode(status),
            message: message.to_owned(),
        };
        assert_eq!(Stage::new(answer).decide(&asked), expected);
    }
}

#[test]
fn what_a_module_sets_is_in_the_plan() {
    let asked = host();
    let stage = Stage::new(json!({
        "disposition": 1,
        "set_properties": [
            {"name": "CN", "value": {"string": "other.example"}},
            {"name": "OrgUnit", "value": {"string": "One\nTwo"}},
            {"name": "Subject.Organization", "value": null},
            {"name": "NotBefore", "value": {"date": "2026-11-21T06:59:00Z"}},
            {"name": "NotAfter", "value": {"date": "2026-12-31T00:00:00Z"}},
        ],
        "set_extensions": [
            {"oid": "2.5.29.17", "flags": 0, "value": san(&["dns:other.example"])},
            {"oid": "2.5.29.15", "flags": 1, "value": usage(KeyUsage::KEY_AGREEMENT)},
            {"oid": "2.5.29.37", "flags": 0, "value": purposes(&["1.3.6.1.5.5.7.3.2"])},
            {"oid": "1.2.3.4", "flags": 0x0101, "value": "BQA="},
        ],
        "log": [{"level": "terse", "text": "done"}],
    }));
    let Plan {
        subject,
        subject_alternative_names,
        key_usage,
        extended_key_usage,
        not_before,
        not_after,
        extensions,
        ..
    } = plan(stage.decide(&asked));
    assert_eq!(subject.to_string(), "CN=other.example,OU=One,OU=Two,C=DE");
    assert_eq!(subject_alternative_names, [GeneralName::parse("dns:other.example").unwrap()]);
    assert_eq!(key_usage, KeyUsage::KEY_AGREEMENT);
    assert_eq!(extended_key_usage.len(), 1);
    assert_eq!(not_before, Some(UnixMillis(1_795_244_340_000)));
    assert_eq!(not_after, Some(UnixMillis(1_798_675_200_000)));
    let [own] = extensions.as_slice() else { panic!("{extensions:?}") };
    assert_eq!(
        (own.oid.as_str(), own.flags, own.value.as_slice()),
        ("1.2.3.4", 0x101, &[5, 0][..])
    );
}

#[test]
fn a_module_is_shown_the_request_and_what_would_be_issued() {
    let asked = host();
    let mut stage = Stage::new(json!({"disposition": 1}));
    let file = stage.folder.path().join("asked");
    stage.settings.settings.insert("asked".to_owned(), json!(file));
    stage.decide(&asked);
    let seen: Json = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(seen["new_request"], true);
    assert_eq!(seen["flags"], 0);
    assert!(seen.get("default").is_none());
    let event = &seen["event"];
    assert_eq!((&event["seq"], &event["event"]), (&event["context"], &json!(0)));
    let (request, certificate) = (&event["request"], &event["certificate"]);
    for name in ["DistinguishedName", "RawName", "RawRequest", "RequesterName", "CommonName"] {
        assert!(request.get(name).is_some(), "{name} in {request}");
    }
    for name in ["DistinguishedName", "RawName", "SerialNumber", "RawCertificate"] {
        assert!(certificate.get(name).is_none(), "{name} in {certificate}");
    }
    assert_eq!(certificate["NotBefore"]["date"], "2026-11-21T06:50:00Z");
    assert_eq!(certificate["NotAfter"]["date"], "2027-11-21T06:59:59Z");
    assert_eq!(certificate["PublicKeyLength"]["long"], 256);
    // Asked for, of the request, and disabled.
    assert_eq!(event["extensions"]["2.5.29.17"]["flags"], 0x1_0002);
    assert_eq!(event["extensions"]["2.5.29.15"]["flags"], 0x4_0001);

    // Chained, the templates' plan; what they have put in is the policy's and enabled.
    stage.settings.chain = true;
    stage.templates[0].subject_allowed.push("2.5.4.6".to_owned());
    plan(stage.decide(&asked));
    let seen: Json = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(seen["default"], json!({"disposition": 1}));
    assert_eq!(seen["event"]["certificate"]["NotAfter"]["date"], "2027-02-19T06:59:59Z");
    assert_eq!(seen["event"]["certificate"]["CertificateTemplate"]["string"], "tls");
    assert_eq!(seen["event"]["extensions"]["2.5.29.17"]["flags"], 0x2_0000);
}

#[test]
fn a_module_that_fails_in_any_way_never_issues() {
    let asked = host();
    let over = |changes: Json| {
        let mut answer = json!({"disposition": 1});
        answer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        answer
    };
    let set =
        |name: &str, value: Json| over(json!({"set_properties": [{"name": name, "value": value}]}));
    let extend = |oid: &str, flags: u32, value: Json| {
        over(json!({"set_extensions": [{"oid": oid, "flags": flags, "value": value}]}))
    };
    let answers = [
        json!("hang"),
        json!("die"),
        json!("garbage"),
        json!("error"),
        json!("to-nobody"),
        json!(null),
        json!(1),
        json!({}),
        json!({"disposition": "issue"}),
        json!({"disposition": 3}),
        json!({"disposition": 87}),
        json!({"outcome": "accept"}),
        set("SerialNumber", json!({"string": "01"})),
        set("RawPublicKey", json!({"binary": "MAA="})),
        set("DistinguishedName", json!({"string": "CN=x"})),
        set("NotAfter", json!({"date": "2099-01-01T00:00:00Z"})),
        set("CommonName", json!({"string": "x".repeat(65)})),
        set("Country", json!({"string": "Germany"})),
        set("CommonName", json!({"string": "de\u{202e}ceptive"})),
        extend("2.5.29.19", 0, json!("MAA=")),
        extend("2.5.29.17", 0, json!("BQA=")),
        extend("2.5.29.15", 0, json!("BQA=")),
        extend("2.5.29.15", 1, json!(usage(KeyUsage::KEY_CERT_SIGN))),
        extend("2.5.29.37", 0, json!("MAA=")),
        extend("1.2.3", 4, json!("BQA=")),
        // The same identifiers in another spelling.
        extend("2.5.29.037", 2, json!("MAA=")),
        extend("2.5.29.019", 0, json!("MAA=")),
        extend("1.2.3", 0, json!("no base64")),
    ];
    for answer in answers {
        for on_failure in [OnFailure::Pend, OnFailure::Fail] {
            let mut stage = Stage::new(answer.clone());
            stage.settings.on_failure = on_failure;
            if answer == "hang" {
                stage.settings.deadline = Duration::from_millis(300);
            }
            match (stage.decide(&asked), on_failure) {
                (Decision::Hold { message, .. }, OnFailure::Pend) => {
                    assert_eq!(message, "the policy could not decide; an officer will");
                }
                (Decision::Fail { status, message, .. }, OnFailure::Fail) => {
                    let rpc = StatusCode(0x8007_06ba);
                    let expected = if answer == "error" { rpc } else { StatusCode::FAIL };
                    assert_eq!(status, expected, "{answer}: {message}");
                    assert!(!message.is_empty() && !message.contains('\n'), "{message}");
                }
                (other, _) => panic!("{answer}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_certificate_without_any_name_is_not_planned() {
    let nameless = request("ec:P-256", "/CN=host.example", &[]);
    let taken_out =
        json!({"disposition": 1, "set_properties": [{"name": "CommonName", "value": null}]});
    check_held(Stage::new(taken_out).decide(&nameless));
}

#[test]
fn a_module_that_died_is_started_again_and_one_that_cannot_start_is_not_started_at_once() {
    let asked = host();
    let stage = Stage::new(json!("die-once"));
    let policy = stage.policy();
    check_held(decide(&policy, &asked, true));
    plan(decide(&policy, &asked, true));
    let status = policy.status();
    assert_eq!((status.starts, status.rulings, status.failures), (2, 1, 1));
    assert_eq!(status.description, "a puppet");
    assert!(status.pid.is_some() && status.down.is_none());

    let mut stage = Stage::new(json!({"disposition": 1}));
    stage.settings.settings.insert("refuse".to_owned(), json!(true));
    let policy = stage.policy();
    assert!(policy.start(NOW).unwrap_err().contains("no such setting"));
    for _ in 0..5 {
        check_held(decide(&policy, &asked, true));
    }
    // Twice without a pause, and then not before its end.
    assert_eq!(policy.status().starts, 2);
    // A clock that is put back makes no pause longer.
    let caller = caller();
    let earlier = UnixMillis(NOW.0 - 86_400_000);
    check_held(policy.decide(&Asked { now: earlier, ..asked_by(&caller, &asked, true) }));
    assert_eq!(policy.status().starts, 3);
}

#[test]
fn requests_that_come_together_are_decided_one_after_the_other() {
    let asked = host();
    let stage = Stage::new(json!("slow"));
    let policy = stage.policy();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..5).map(|_| scope.spawn(|| decide(&policy, &asked, true))).collect();
        for one in all {
            plan(one.join().unwrap());
        }
    });
    assert_eq!(policy.status().rulings, 5);
}

#[test]
fn a_module_that_is_asked_too_often_is_not_ended_for_it() {
    let asked = host();
    let mut stage = Stage::new(json!("slow"));
    stage.settings.deadline = Duration::from_secs(4);
    let policy = stage.policy();
    policy.start(NOW).unwrap();
    // Together they would take eight seconds.
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| decide(&policy, &asked, true));
        }
    });
    let status = policy.status();
    assert_eq!((status.starts, status.down.as_deref()), (1, None));
    assert!(status.rulings != 0 && status.failures != 0, "{status:?}");
}

#[test]
fn a_hang_costs_those_who_wait_behind_it_no_more_than_their_own_deadline() {
    let asked = host();
    let mut stage = Stage::new(json!("hang"));
    stage.settings.deadline = Duration::from_millis(1500);
    let policy = stage.policy();
    policy.start(NOW).unwrap();
    let caller = caller();
    // Each at a time of its own, so that no pause keeps the module from being started.
    let times: Vec<_> = (0..6).map(|place| NOW.plus(place * Duration::from_mins(10))).collect();
    std::thread::scope(|scope| {
        for now in times {
            let asked = Asked { now, ..asked_by(&caller, &asked, true) };
            let policy = &policy;
            scope.spawn(move || check_held(policy.decide(&asked)));
        }
    });
    // One after the other they would take six starts. Who begins late may still find it free.
    assert!(policy.status().starts <= 3, "{:?}", policy.status());
}

#[test]
fn a_chained_module_makes_it_stricter() {
    let asked =
        request("rsa:2048", "/O=Acme/CN=host.example", &["DNS:host.example", "DNS:www.example"]);
    let default = plan(Stage::chained(json!({"disposition": 1})).decide(&asked));
    assert_eq!(default.template, "tls");
    assert_eq!(default.subject_alternative_names.len(), 2);

    let stage = Stage::chained(json!({
        "disposition": 1,
        "set_properties": [
            {"name": "Organization", "value": null},
            {"name": "NotAfter", "value": {"date": "2026-12-01T00:00:00Z"}},
        ],
        "set_extensions": [
            {"oid": "2.5.29.17", "flags": 0, "value": san(&["dns:www.example"])},
            {"oid": "2.5.29.15", "flags": 1, "value": usage(KeyUsage::DIGITAL_SIGNATURE)},
        ],
    }));
    let narrower = plan(stage.decide(&asked));
    assert_eq!(narrower.subject.to_string(), "CN=host.example");
    assert_eq!(narrower.subject_alternative_names.len(), 1);
    assert_eq!(narrower.key_usage, KeyUsage::DIGITAL_SIGNATURE);
    assert_eq!(narrower.extended_key_usage, default.extended_key_usage);
    assert!(narrower.not_after.is_some());

    assert_eq!(
        check_held(Stage::chained(json!({"disposition": 0})).decide(&asked)),
        "taken under submission"
    );
    let Decision::Refuse { template, .. } =
        Stage::chained(json!({"disposition": 2})).decide(&asked)
    else {
        panic!("not refused")
    };
    assert_eq!(template, "tls");
}

#[test]
fn a_chained_module_cannot_loosen() {
    let asked = host();
    let issue = || json!({"disposition": 1});
    // What the templates refuse stays refused, and what they hold stays held.
    let stage = Stage::chained(issue());
    let Decision::Refuse { code, .. } = stage.decide(&asked) else { panic!("C was taken") };
    assert_eq!(code, "subject-not-allowed");
    let asked = request("ec:P-256", "/O=Acme/CN=host.example", &["DNS:host.example"]);
    let mut stage = Stage::chained(issue());
    stage.templates[0].issuance = Issuance::Hold;
    let policy = stage.policy();
    check_held(decide(&policy, &asked, true));
    assert_eq!(policy.status().rulings, 1, "it was asked");
    let mut stage = Stage::chained(json!({"disposition": 2}));
    stage.templates[0].issuance = Issuance::Hold;
    assert!(matches!(stage.decide(&asked), Decision::Refuse { .. }));

    let set = |name: &str, value: Json| json!({"disposition": 1, "set_properties": [{"name": name, "value": value}]});
    let extend = |oid: &str, flags: u32, value: Json| {
        let set = json!([{"oid": oid, "flags": flags, "value": value}]);
        json!({"disposition": 1, "set_extensions": set})
    };
    let all = KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_AGREEMENT;
    for (answer, why) in [
        (set("CommonName", json!({"string": "other.example"})), "another name"),
        (set("OrgUnit", json!({"string": "Admins"})), "one more part"),
        (set("Organization", json!({"string": "Acme\nAcme"})), "one value twice"),
        (set("NotAfter", json!({"date": "2027-06-01T00:00:00Z"})), "longer than the template"),
        (set("NotBefore", json!({"date": "2026-11-20T00:00:00Z"})), "earlier"),
        (extend("2.5.29.17", 0, json!(san(&["dns:evil.example"]))), "another alternative name"),
        (extend("2.5.29.15", 1, json!(usage(all))), "one more usage"),
        (extend("2.5.29.15", 0, json!(usage(KeyUsage::DIGITAL_SIGNATURE))), "less critical"),
        (extend("2.5.29.15", 2, Json::Null), "every usage"),
        (extend("2.5.29.37", 2, Json::Null), "every purpose"),
        (extend("2.5.29.37", 0, json!(purposes(&["2.5.29.37.0"]))), "any purpose"),
        (extend("2.5.29.037", 2, json!("MAA=")), "every purpose, spelled otherwise"),
        (extend("2.5.29.015", 2, json!("MAA=")), "every usage, spelled otherwise"),
        (extend("1.2.3.4", 0, json!("BQA=")), "an extension"),
    ] {
        let decision = Stage::chained(answer).decide(&asked);
        assert!(matches!(decision, Decision::Hold { .. }), "{why}: {decision:?}");
    }
}

#[test]
fn a_dry_run_says_what_would_have_been_and_changes_nothing() {
    let asked = request("ec:P-256", "/O=Acme/CN=host.example", &["DNS:host.example"]);
    let undisturbed = Stage::chained(json!({"disposition": 1})).decide(&asked);
    let narrower = json!({
        "disposition": 1,
        "set_properties": [{"name": "Organization", "value": null}],
        "set_extensions": [{"oid": "2.5.29.17", "flags": 2, "value": null}],
    });
    for (answer, chain, expected) in [
        (json!({"disposition": 1}), true, None),
        (json!({"disposition": 1}), false, None),
        (json!({"disposition": 0, "message": "look"}), true, Some("would have been held: look")),
        (
            json!({"disposition": 2, "message": "no"}),
            true,
            Some("would have been denied with 0x80094011: no"),
        ),
        (
            narrower,
            true,
            Some("would have been changed: Organization taken out, extension 2.5.29.17 disabled"),
        ),
        (
            json!({"disposition": 9}),
            true,
            Some("would have been held: the ruling cannot be carried"),
        ),
        (json!("die"), true, Some("would have been held: module ended (exit status: 7)")),
    ] {
        let mut stage = Stage::new(answer.clone());
        stage.settings.chain = chain;
        stage.settings.audit = true;
        assert_eq!(stage.decide(&asked), undisturbed, "{answer}");
        let seen = stage.what_was_seen();
        match expected {
            None => assert!(seen.is_empty(), "{answer}: {seen:?}"),
            Some(text) => {
                assert_eq!(seen.len(), 1, "{answer}");
                assert!(seen[0].starts_with(text), "{answer}: {seen:?}");
            }
        }
    }
    // Of a module that would be the policy by itself, also what the templates refuse is seen.
    let mut stage = Stage::new(json!({"disposition": 1}));
    stage.settings.audit = true;
    assert!(matches!(stage.decide(&host()), Decision::Refuse { .. }));
    assert_eq!(stage.what_was_seen(), ["would have been issued"]);
}

#[test]
fn the_word_of_a_module_is_explained_beside_those_of_the_templates() {
    let asked = request("ec:P-256", "/O=Acme/CN=host.example", &["DNS:host.example"]);
    let caller = caller();
    let last = |stage: &Stage| {
        let verdicts = stage.policy().explain(&asked_by(&caller, &asked, true));
        let last = verdicts.last().unwrap().clone();
        assert_eq!(last.rule, "policy-module");
        (verdicts.len(), last.verdict, last.message)
    };
    let (alone, verdict, message) = last(&Stage::new(json!({"disposition": 1})));
    assert_eq!((alone, verdict, message.as_str()), (1, Verdict::Pass, "issue, nothing set"));
    let (many, verdict, message) =
        last(&Stage::chained(json!({"disposition": 2, "message": "no"})));
    assert!(1 < many);
    assert_eq!((verdict, message.as_str()), (Verdict::Refuse, "no (0x80094011)"));
    let mut stage = Stage::chained(json!({"disposition": 2, "message": "no"}));
    stage.settings.audit = true;
    let (_, verdict, message) = last(&stage);
    assert_eq!((verdict, message.as_str()), (Verdict::NotApplied, "dry run: no (0x80094011)"));
    let tried = stage.policy().consider(&asked_by(&caller, &asked, true));
    assert!(matches!(tried, Decision::Issue(_)), "{tried:?}");
    assert!(stage.what_was_seen().is_empty(), "trying is no request");
}

#[test]
fn what_the_templates_hold_is_shown_as_it_would_be_issued() {
    let asked = request("ec:P-256", "/O=Acme/CN=host.example", &["DNS:host.example"]);
    let mut stage = Stage::chained(json!({"disposition": 1}));
    stage.templates[0].issuance = Issuance::Hold;
    stage.templates[0].approvals = 2;
    let file = stage.folder.path().join("asked");
    stage.settings.settings.insert("asked".to_owned(), json!(file));
    let policy = stage.policy();
    for new in [true, false] {
        check_held(decide(&policy, &asked, new));
        let seen: Json = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(seen["default"]["disposition"], 0);
        let event = &seen["event"];
        assert_eq!(event["certificate"]["CertificateTemplate"]["string"], "tls");
        // The 90 days of the template, and not the 365 of a module by itself.
        assert_eq!(event["certificate"]["NotAfter"]["date"], "2027-02-19T06:59:59Z");
        // Alternative names, key usage, purposes: the policy's, and enabled.
        for (oid, flags) in
            [("2.5.29.17", 0x2_0000), ("2.5.29.15", 0x2_0001), ("2.5.29.37", 0x2_0000)]
        {
            assert_eq!(event["extensions"][oid]["flags"], flags, "{oid}");
        }
    }
}

#[test]
fn a_module_is_asked_once_about_a_request_that_is_tried() {
    let asked = request("ec:P-256", "/O=Acme/CN=host.example", &["DNS:host.example"]);
    let caller = caller();
    let narrower = json!({"disposition": 1, "set_extensions": [
        {"oid": "2.5.29.17", "flags": 2, "value": "MAA="},
    ]});
    let wider = json!({"disposition": 1, "set_properties": [
        {"name": "Locality", "value": {"string": "Bonn"}},
    ]});
    for (answer, chain, audit, issuance, word, names) in [
        (json!({"disposition": 1}), false, false, Issuance::AtOnce, "issue", Some(0)),
        (json!({"disposition": 1}), true, false, Issuance::AtOnce, "issue", Some(1)),
        (narrower.clone(), true, false, Issuance::AtOnce, "issue", Some(0)),
        (narrower.clone(), true, false, Issuance::Hold, "hold", Some(0)),
        (narrower, true, true, Issuance::Hold, "hold", Some(1)),
        // What would not be issued after approval either.
        (wider, true, false, Issuance::Hold, "hold", None),
        (json!({"disposition": 0}), true, false, Issuance::AtOnce, "hold", None),
        (json!({"disposition": 2}), true, false, Issuance::Hold, "refuse", None),
        (json!({"disposition": 2}), true, true, Issuance::AtOnce, "issue", Some(1)),
    ] {
        let mut stage = Stage::new(answer.clone());
        (stage.settings.chain, stage.settings.audit) = (chain, audit);
        stage.templates[0].issuance = issuance;
        let module = Arc::new(stage.policy());
        let active: Arc<dyn Policy> = Arc::clone(&module) as _;
        let rehearsal = SwitchPolicy::new(active).rehearse(&asked_by(&caller, &asked, true));
        let found = match rehearsal.decision {
            Decision::Issue(_) => "issue",
            Decision::Hold { .. } => "hold",
            Decision::Refuse { .. } => "refuse",
            Decision::Fail { .. } => "fail",
        };
        let planned = rehearsal.plan.map(|it| it.subject_alternative_names.len());
        assert_eq!((found, planned), (word, names), "{answer}");
        assert_eq!(module.status().rulings, 1, "{answer}");
        assert!(stage.what_was_seen().is_empty(), "{answer}");
    }
}

#[test]
fn what_officers_set_is_shown_as_theirs_and_a_chained_module_cannot_change_it() {
    let asked = request("ec:P-256", "/O=Acme/CN=host.example", &["DNS:host.example"]);
    let caller = caller();
    let names = [GeneralName::parse("dns:evil.example").unwrap()];
    let names = Extension::subject_alternative_name(&names, false).value;
    let officer = |oid: &str, flags, value: &[u8]| OfficerExtension {
        oid: oid.to_owned(),
        flags,
        value: value.to_vec(),
    };
    let officers = [
        // The same identifier in another spelling, as officers may write it.
        officer("2.5.29.017", 0, &names),
        officer("2.5.29.37", 2, &[]),
        officer("1.2.3.4", 0x101, &[5, 0]),
        // What a row from elsewhere may have; the engine passes it over.
        officer("2.5.29.19", 0, &[0x30, 0]),
    ];
    for chain in [false, true] {
        let mut stage = Stage::new(json!({"disposition": 1}));
        stage.settings.chain = chain;
        let file = stage.folder.path().join("asked");
        stage.settings.settings.insert("asked".to_owned(), json!(file));
        let again = Asked { officers: &officers, ..asked_by(&caller, &asked, false) };
        plan(stage.policy().decide(&again));
        let seen: Json = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        let extensions = &seen["event"]["extensions"];
        assert_eq!(extensions["2.5.29.17"], json!({"flags": 0x3_0000, "value": base64(&names)}));
        assert_eq!(extensions["2.5.29.37"]["flags"], 0x3_0002);
        let shown = &extensions["2.5.29.37"]["value"];
        assert_eq!(*shown, if chain { purposes(&["1.3.6.1.5.5.7.3.1"]) } else { String::new() });
        assert_eq!(extensions["1.2.3.4"], json!({"flags": 0x3_0101, "value": "BQA="}));
        assert_ne!(extensions["2.5.29.19"]["flags"], 0x3_0000);
    }
    // Officers' extensions are put in last, so that a change of one would come to nothing.
    for (oid, flags, value, is_taken) in [
        ("2.5.29.17", 0, base64(&names), true),
        ("2.5.29.17", 2, base64(&names), false),
        ("2.5.29.17", 1, base64(&names), false),
        ("2.5.29.17", 0, san(&["dns:host.example"]), false),
        ("2.5.29.37", 2, "BQA=".to_owned(), true),
        ("2.5.29.37", 0, purposes(&["1.3.6.1.5.5.7.3.1"]), false),
    ] {
        let set = json!([{"oid": oid, "flags": flags, "value": value}]);
        let stage = Stage::chained(json!({"disposition": 1, "set_extensions": set}));
        let again = Asked { officers: &officers, ..asked_by(&caller, &asked, false) };
        let decision = stage.policy().decide(&again);
        assert_eq!(matches!(decision, Decision::Issue(_)), is_taken, "{oid} {flags}: {decision:?}");
    }
}
