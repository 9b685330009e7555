//! Modules that are asked about their settings, and those that cannot be.

use exeunt_host::{ManageAnswer, ManageCall, manage};
use exeunt_module::{
    Value,
    manage::{CMM_READONLY, Configure, GetProperty, SetProperty, SettingType},
};
use serde_json::json;

use crate::Stage;

const MANAGED: &str = r#"
SETTINGS = [{"name": "to", "type": "string", "description": "Where to.", "required": True},
            {"name": "deep", "type": "quantum", "description": "Later.", "default": 3}]

def fit(call, name, value):
    if name == "to" and isinstance(value, str): return answer(call, None)
    refuse(call, -32000, f"{name}:\nno such thing")

def get_property(call):
    answer(call, {"string": "1.2"} if call["params"]["name"] == "File Version" else None)

OWN = {
    "GetManageModule": lambda call: answer(call, {"settings": SETTINGS}),
    "GetProperty": get_property,
    "SetProperty": lambda call: fit(call, call["params"]["name"], call["params"]["value"]),
    "Configure": lambda call: fit(call, *list(call["params"]["settings"].items())[-1]),
    "Shutdown": shutdown,
}
for line in sys.stdin:
    call = json.loads(line)
    if call["method"] == "Shutdown": open("farewell", "w").close()
    OWN.get(call["method"], lambda call: refuse(call, -32601, "no"))(call)
sys.exit(0)
"#;

fn property(name: &str) -> ManageCall {
    ManageCall::GetProperty(GetProperty { name: name.to_owned(), flags: 0 })
}

fn set(name: &str, value: serde_json::Value) -> ManageCall {
    ManageCall::SetProperty(SetProperty { name: name.to_owned(), value })
}

fn configure(settings: serde_json::Value) -> ManageCall {
    let settings = serde_json::from_value(settings).unwrap();
    ManageCall::Configure(Configure { settings, flags: CMM_READONLY })
}

#[test]
fn a_module_tells_its_settings_and_what_they_can_be() {
    let stage = Stage::new(MANAGED);
    let calls = [
        ManageCall::GetManageModule,
        property("File Version"),
        property("Copyright"),
        set("to", json!("/srv")),
        set("to", json!(3)),
        configure(json!({ "to": "/srv" })),
        configure(json!({ "other": 1 })),
    ];
    let answers = manage(&stage.command, &stage.limits, "managed", &calls).unwrap();
    let [ManageAnswer::Settings(settings), rest @ ..] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(settings.len(), 2);
    assert!(settings[0].required && settings[0].kind == SettingType::String);
    assert_eq!((settings[1].kind, &settings[1].default), (SettingType::Unknown, &Some(json!(3))));
    assert_eq!(
        rest,
        [
            ManageAnswer::Property(Some(Value::String("1.2".to_owned()))),
            ManageAnswer::Property(None),
            ManageAnswer::Fits,
            ManageAnswer::Refuses("to:\u{fffd}no such thing".to_owned()),
            ManageAnswer::Fits,
            ManageAnswer::Refuses("other:\u{fffd}no such thing".to_owned()),
        ]
    );
    assert!(stage.path("farewell").exists(), "it was not told to end");
}

#[test]
fn a_module_that_does_not_manage_itself_says_so() {
    let stage = Stage::new(
        "for line in sys.stdin:\n  \
           call = json.loads(line)\n  \
           shutdown(call) if call['method'] == 'Shutdown' else refuse(call, -32601, 'no')",
    );
    let calls = [ManageCall::GetManageModule, property("Name"), set("a", json!(1))];
    let answers = manage(&stage.command, &stage.limits, "plain", &calls).unwrap();
    assert_eq!(answers, vec![ManageAnswer::NotManaged; 3]);
}

#[test]
fn a_module_that_cannot_be_asked_is_an_error() {
    let check = |own: &str, code: &str| {
        let mut stage = Stage::new(own);
        // Only the one that is waited for in vain has little time.
        let hello_s = if code == "module-hello-timeout" { 1 } else { 60 };
        stage.limits.hello = std::time::Duration::from_secs(hello_s);
        let calls = [ManageCall::GetManageModule];
        let err = manage(&stage.command, &stage.limits, "odd", &calls).unwrap_err();
        assert_eq!(err.code(), code, "{err}");
    };
    check("sys.exit('greet me first')", "module-exited");
    check("time.sleep(3600)", "module-hello-timeout");
    check(
        "sys.stdin.readline(); print('settings?'); sys.stdout.flush(); time.sleep(3600)",
        "module-hello-garbage",
    );
    check(
        "answer(json.loads(sys.stdin.readline()), {'settings': 3}); time.sleep(3600)",
        "module-hello-garbage",
    );
}
