//! A policy module as a shared library: does what a script in the request's attribute `Do` says, a
//! command to each part between semicolons, and tells what came of it as the reason of a failure.
//!
//! It shows every call that a policy module has. The tests of the runner run the same scripts with it
//! and with modules in C++.

use std::fmt::Write as _;

use exeunt_com::{
    Decision, ModuleError, PolicyClass, ServerPolicy, SettingInfo, SettingType, Variant,
    abi::{
        CERTSRV_E_PROPERTY_EMPTY, E_ABORT, E_INVALIDARG, HRESULT, LONG, PROPTYPE_BINARY,
        PROPTYPE_DATE, PROPTYPE_LONG, VR_INSTANT_BAD, VR_INSTANT_OK, VR_PENDING,
    },
};

#[derive(Default)]
struct Clerk {
    greeting: String,
}

/// What a script comes to, before its end.
struct Said {
    words: Vec<String>,
    end: Option<Result<Decision, HRESULT>>,
}

impl PolicyClass for Clerk {
    fn initialize(&mut self, ca: &str, server: &ServerPolicy) -> Result<(), ModuleError> {
        if server.setting("refuse")?.is_some() {
            return Err("no such folder".into());
        }
        eprintln!("clerk: {} {ca}", self.greeting);
        Ok(())
    }

    fn verify(&mut self, is_new: bool, server: &ServerPolicy) -> Result<Decision, ModuleError> {
        let Some(script) = server.attribute("Do")? else { return Ok(Decision::Issue) };
        let mut said = Said { words: Vec::new(), end: None };
        for command in script.split(';') {
            run(command.trim(), is_new, server, &mut said);
        }
        let words = said.words.join("; ");
        match said.end {
            None => Err(ModuleError::new(E_ABORT, words)),
            Some(Err(hresult)) => Err(ModuleError::new(hresult, words)),
            Some(Ok(Decision::RefuseWith(status))) => {
                Ok(Decision::RefuseWith(ModuleError::new(status.hresult, words)))
            }
            Some(Ok(decision)) => Ok(decision),
        }
    }

    fn description(&self) -> String {
        "does what a script says".to_owned()
    }

    fn shut_down(&mut self) {
        eprintln!("clerk: ShutDown");
    }

    fn settings() -> Vec<SettingInfo> {
        vec![SettingInfo {
            name: "greeting".to_owned(),
            kind: SettingType::String,
            description: "what is said first".to_owned(),
            default: None,
            required: false,
        }]
    }

    fn set(&mut self, name: &str, value: &Variant) -> Result<(), ModuleError> {
        match name {
            "greeting" => {
                self.greeting = value.as_bstr().ok_or("a text is wanted")?.to_text_lossy();
                Ok(())
            }
            "refuse" => Ok(()),
            _ => Err(ModuleError::new(E_INVALIDARG, format!("there is no setting {name}"))),
        }
    }
}

/// Runs one command.
fn run(command: &str, is_new: bool, server: &ServerPolicy, said: &mut Said) {
    let mut words = command.split_whitespace();
    let name = words.next().unwrap_or_default();
    let mut word = || words.next().unwrap_or_default();
    let out = match name {
        "get" | "request" => {
            let kind = number(word());
            read(server, name == "request", kind, word())
        }
        "set" => {
            let (kind, vt, property) = (number(word()), word(), word());
            let value = value_of(vt, rest(command, 4));
            code(server.set(property, kind, &value).err())
        }
        "extend" => {
            let (kind, vt, flags, oid) = (number(word()), word(), word(), word());
            let flags = u32::from_str_radix(flags, 16).unwrap_or_default().cast_signed();
            let value = value_of(vt, rest(command, 5));
            code(server.set_extension_as(oid, kind, flags, &value).err())
        }
        "extension" => {
            word();
            match server.extension(word()) {
                Ok(Some(it)) => format!("{} flags {:08x}", binary(&it.value), it.flags),
                Ok(None) => format!("{CERTSRV_E_PROPERTY_EMPTY:08x}"),
                Err(err) => code(Some(err)),
            }
        }
        "list" => list(server.extensions()),
        "attributes" => list(server.attributes()),
        "new" => if is_new { "new" } else { "old" }.to_owned(),
        "context" => code(ServerPolicy::open(number(word())).err()),
        "disposition" => {
            said.end = Some(Ok(match number(word()) {
                VR_PENDING => Decision::Pend,
                VR_INSTANT_OK => Decision::Issue,
                VR_INSTANT_BAD => Decision::Refuse,
                hresult => Decision::RefuseWith(ModuleError::new(hresult, "")),
            }));
            return;
        }
        "fail" => {
            let hresult = u32::from_str_radix(word(), 16).unwrap_or_default();
            said.end = Some(Err(hresult.cast_signed()));
            return;
        }
        "panic" => panic!("the script says so"),
        _ => rest(command, 1).to_owned(),
    };
    said.words.push(out);
}

fn list(names: Result<exeunt_com::Names<'_>, ModuleError>) -> String {
    let names: Result<Vec<String>, ModuleError> = names.and_then(Iterator::collect);
    names.map_or_else(|err| code(Some(err)), |names| names.join(" "))
}

/// A property in words, or the code of the failure.
fn read(server: &ServerPolicy, of_request: bool, kind: LONG, name: &str) -> String {
    let text = match (kind, of_request) {
        (PROPTYPE_LONG, false) => server.certificate_long(name).map(|it| it.map(long)),
        (PROPTYPE_LONG, true) => server.request_long(name).map(|it| it.map(long)),
        (PROPTYPE_DATE, false) => server.certificate_date(name).map(|it| it.map(date)),
        (PROPTYPE_DATE, true) => server.request_date(name).map(|it| it.map(date)),
        (PROPTYPE_BINARY, false) => {
            server.certificate_binary(name).map(|it| it.map(|it| binary(&it)))
        }
        (PROPTYPE_BINARY, true) => server.request_binary(name).map(|it| it.map(|it| binary(&it))),
        (_, false) => server.certificate_string(name).map(|it| it.map(|it| format!("string {it}"))),
        (_, true) => server.request_string(name).map(|it| it.map(|it| format!("string {it}"))),
    };
    match text {
        Ok(Some(text)) => text,
        Ok(None) => format!("{CERTSRV_E_PROPERTY_EMPTY:08x}"),
        Err(err) => code(Some(err)),
    }
}

fn long(number: i32) -> String {
    format!("long {number}")
}

fn date(date: f64) -> String {
    format!("date {date:.6}")
}

fn binary(bytes: &[u8]) -> String {
    let mut text = format!("binary {} ", bytes.len());
    for it in bytes.iter().take(8) {
        write!(text, "{it:02x}").expect("BUG: writing to a String cannot fail");
    }
    text
}

fn code(failure: Option<ModuleError>) -> String {
    format!("{:08x}", failure.map_or(0, |it| it.hresult))
}

/// What stands behind the first words of a command.
fn rest(command: &str, words: usize) -> &str {
    let mut rest = command;
    for _ in 0..words {
        rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}

fn number(word: &str) -> LONG {
    let number = word.parse::<i64>().unwrap_or_default();
    LONG::try_from(number).unwrap_or_default()
}

/// A value of a type: bstr, bytes (hexadecimal), i4, i2, date (days), r8, bool, null, empty.
fn value_of(vt: &str, text: &str) -> Variant {
    match vt {
        "bstr" => Variant::from(text.replace('|', "\n").as_str()),
        "bytes" => {
            let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_default();
            let bytes: Vec<u8> = (0..text.len() / 2).map(|it| digit(2 * it)).collect();
            Variant::binary(&bytes)
        }
        "i4" => Variant::from(number(text)),
        "i2" => Variant::from(number(text)).change_type(exeunt_com::abi::VT_I2).unwrap_or_default(),
        "date" => Variant::date(text.parse().unwrap_or_default()),
        "r8" => Variant::from(text.parse::<f64>().unwrap_or_default()),
        "bool" => Variant::from(true),
        "null" => Variant::null(),
        _ => Variant::empty(),
    }
}

exeunt_com::export_policy_module!(
    Clerk,
    progid = "Clerk.Policy",
    clsid = "1c7a52e4-8b3d-4f60-9d21-6a0f3e5b7c88"
);
