//! `exeunt policy …`: what decides about requests.

use std::ffi::OsString;
use std::path::PathBuf;

use exeunt_api::{POLICY_PATH, PolicyOrder, PolicySettings as Answer, PolicyStatus, SettingsMap};
use exeunt_conformance::ModuleUnderTest;
use reqwest::Method;
use serde_json::{Value as Json, json};

use super::exit::check::{from_home, load};
use super::exit::settings::{pairs, shown};
use super::submit::{check_attributes, read_file};
use super::trial;
use crate::cli::{CheckPolicy, Failing, Policy, PolicySettings, SetPolicy};
use crate::client::ApiClient;
use crate::config::ModuleConfig;
use crate::failure::{Failure, STATUS_FAILED, plain};
use crate::home::Home;
use crate::output;

/// Keys of `[policy]` that are about a module.
const KEYS: [&str; 15] = [
    "module",
    "command",
    "library",
    "class",
    "chain",
    "on_failure",
    "audit",
    "deadline_s",
    "validity_days",
    "working_directory",
    "writable",
    "sandbox",
    "memory_mib",
    "open_files",
    "cpu_s",
];

pub fn run(command: Policy) -> Result<u8, Failure> {
    match command {
        Policy::Show { json, door } => {
            let status: PolicyStatus = ApiClient::open(&door)?.get(POLICY_PATH, &[])?;
            if json { output::json(&status) } else { show(&status) }?;
            Ok(0)
        }
        Policy::Set(options) => set(options),
        Policy::Settings(options) => settings(&options),
        Policy::Check(options) => check(options),
        Policy::Explain { file, attribute, template, json, door } => {
            check_attributes(&attribute)?;
            let client = ApiClient::open(&door)?;
            let answer = client.try_out(read_file(&file)?, &attribute, template.as_deref())?;
            trial::tell(&answer, json)
        }
    }
}

fn set(options: SetPolicy) -> Result<u8, Failure> {
    let SetPolicy {
        command,
        library,
        class,
        none,
        settings,
        chain,
        on_failure,
        dry_run,
        deadline,
        validity_days,
        json,
        door,
    } = options;
    let mut order = PolicyOrder::default();
    let keys = &mut order.keys;
    let mut put = |key: &str, value: Json| drop(keys.insert(key.to_owned(), value));
    if none {
        for key in KEYS {
            put(key, Json::Null);
        }
    }
    if let Some(words) = command {
        let words = words_of(&words)?;
        for key in ["module", "library", "class"] {
            put(key, Json::Null);
        }
        put("command", json!(words));
    }
    if let Some((path, class)) = library.zip(class) {
        let path = std::path::absolute(&path).unwrap_or(path);
        for key in ["module", "command"] {
            put(key, Json::Null);
        }
        put("library", json!(path));
        put("class", json!(class));
    }
    let word = on_failure.map(|it| match it {
        Failing::Pend => "pend",
        Failing::Fail => "fail",
    });
    let values = [
        ("chain", chain.map(Json::from)),
        ("on_failure", word.map(Json::from)),
        ("audit", dry_run.map(Json::from)),
        ("deadline_s", deadline.map(Json::from)),
        ("validity_days", validity_days.map(Json::from)),
    ];
    for (key, value) in values {
        if let Some(value) = value {
            put(key, value);
        }
    }
    if !settings.is_empty() {
        order.settings = Some(pairs::all(&settings)?);
    }
    if order.keys.is_empty() && order.settings.is_none() {
        return Err(Failure::usage("usage-policy", "there is nothing to set")
            .hint("what there is: exeunt policy set --help"));
    }
    if none {
        order.settings = Some(SettingsMap::new());
    }
    let status: PolicyStatus =
        ApiClient::open(&door)?.change(Method::PUT, POLICY_PATH, &[], Some(&order))?;
    if json { output::json(&status) } else { show(&status) }?;
    Ok(0)
}

fn settings(options: &PolicySettings) -> Result<u8, Failure> {
    let PolicySettings { settings, unset, json, door } = options;
    let new = pairs::parse(settings)?;
    pairs::check_apart(&new, unset)?;
    let client = ApiClient::open(door)?;
    let path = format!("{POLICY_PATH}/settings");
    let Answer { settings: mut all } = client.get(&path, &[])?;
    if !new.is_empty() || !unset.is_empty() {
        for key in unset {
            pairs::take_out(&mut all, key).ok_or_else(|| {
                Failure::new("setting-not-set", format!("the policy has no setting {key:?}"))
                    .hint("see what it is set to: exeunt policy settings")
            })?;
        }
        for it in new {
            it.put(&mut all)?;
        }
        let order = PolicyOrder { keys: SettingsMap::new(), settings: Some(all.clone()) };
        let status: PolicyStatus = client.change(Method::PUT, POLICY_PATH, &[], Some(&order))?;
        if let Some(why) = &status.down {
            eprintln!("exeunt: note: the policy module does not run: {}", plain(why));
        }
    }
    if *json {
        output::json(&all)?;
        return Ok(0);
    }
    if all.is_empty() {
        output::line("The policy module has no settings of its own.")?;
        return Ok(0);
    }
    let rows = all.iter().map(|(key, value)| vec![key.clone(), shown(value)]).collect();
    output::table(&["SETTING", "VALUE"], rows)?;
    Ok(0)
}

fn show(status: &PolicyStatus) -> Result<(), Failure> {
    let PolicyStatus {
        module,
        templates,
        chain,
        audit,
        on_failure,
        deadline_s,
        description,
        pid,
        down,
        isolation,
        starts,
        rulings,
        failures,
    } = status;
    let is_module = on_failure.is_some();
    let decides = match (is_module, *audit, *chain) {
        (false, ..) => "the templates decide",
        (true, true, _) => "the templates decide; the module is asked, and its word written down",
        (true, false, true) => "the templates decide, and the module can only be stricter",
        (true, false, false) => "the module decides",
    };
    debug_assert_eq!(*templates, !is_module || *audit || *chain);
    let counted = |it: u64| if is_module { it.to_string() } else { String::new() };
    output::fields(&[
        ("Policy", plain(module)),
        ("Description", plain(&description.clone().unwrap_or_default())),
        ("Decides", decides.to_owned()),
        ("On failure", on_failure.clone().unwrap_or_default()),
        ("Deadline", deadline_s.map(|it| format!("{it} s")).unwrap_or_default()),
        ("Process", pid.map(|it| it.to_string()).unwrap_or_default()),
        ("Does not run", plain(&down.clone().unwrap_or_default())),
        ("Isolation", isolation.clone().unwrap_or_default()),
        ("Starts", counted(*starts)),
        ("Rulings", counted(*rulings)),
        ("Failures", counted(*failures)),
    ])
}

fn check(options: CheckPolicy) -> Result<u8, Failure> {
    let CheckPolicy { command, library, class, settings, json, home } = options;
    let mut settings = pairs::all(&settings)?;
    let (program, args) = if let Some(words) = command {
        let mut words = words_of(&words)?.into_iter().map(OsString::from);
        let program = words.next().unwrap_or_default();
        (program, words.collect())
    } else if let Some((path, class)) = library.zip(class) {
        load(&path, &class)?
    } else {
        let (program, args, configured) = configured(home)?;
        settings = configured.into_iter().chain(settings).collect();
        (program, args)
    };
    let settings = settings.into_iter().collect();
    let module = ModuleUnderTest { program, args, settings, directory: None };
    let report = output::with_progress("checking the policy module", || {
        exeunt_conformance::check_policy(&module)
    });
    if json {
        output::json(&report.json())?;
    } else {
        for text in report.to_string().lines() {
            output::line(&plain(text))?;
        }
    }
    Ok(if report.passed() { 0 } else { STATUS_FAILED })
}

/// The module of the configuration, with its settings.
fn configured(home: Option<PathBuf>) -> Result<(OsString, Vec<OsString>, SettingsMap), Failure> {
    let nothing = || {
        Failure::usage("usage-policy", "there is nothing to check")
            .hint("name a module with --command, or a CA that has one with --home")
    };
    let home = Home::at(&home.ok_or_else(nothing)?)?;
    let policy = home.config()?.policy.ok_or_else(nothing)?;
    let (program, args) = match &policy.runs.module {
        ModuleConfig::Library { path, class } => load(path, class)?,
        ModuleConfig::Command(words) => (
            from_home(&home, &words[0], true),
            words[1..].iter().map(|it| from_home(&home, it, false)).collect(),
        ),
        ModuleConfig::Shipped(_) => return Err(nothing()),
    };
    Ok((program, args, policy.runs.settings))
}

/// A command line as words.
fn words_of(line: &str) -> Result<Vec<String>, Failure> {
    shlex::split(line).filter(|it| it.first().is_some_and(|it| !it.is_empty())).ok_or_else(|| {
        Failure::usage("usage-policy", "--command is empty or a quote in it is open")
            .hint("for example --command './guard.py --quiet'")
    })
}
