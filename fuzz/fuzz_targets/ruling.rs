//! What a policy module answers, and what the host makes of it: the judge of what may be set, and the
//! plan that comes out.
#![no_main]

use std::sync::Arc;

use exeunt_module::line::parse_response;
use exeunt_module::policy::{
    CHANGES_MAX, EXTENSION_BYTES_MAX, OWNED, Ruling, ServerPolicy, unix_seconds,
};
use exeunt_module_kit::testing::request_for;
use exeunt_x509::{Name, alternative_names_in, key_usage_in, purposes_in};
use libfuzzer_sys::fuzz_target;

/// What that file uses.
#[path = "../../crates/exeunt-policy/src/escape.rs"]
mod escape;
/// The one file of the policy that makes a name of a module's words.
#[path = "../../crates/exeunt-policy/src/module/subject.rs"]
mod subject;

fuzz_target!(|data: &[u8]| {
    let ruling = match parse_response(data) {
        Ok(response) => response.into_ruling(),
        Err(_) => return,
    };
    let Ok(ruling) = ruling else { return };
    let _ = ruling.disposition();
    let again: Ruling = serde_json::from_str(&serde_json::to_string(&ruling).expect("it is data"))
        .expect("our own text of a ruling is one");
    assert_eq!(again, ruling);

    let before = Arc::new(request_for("www.example.com").event);
    let mut server = ServerPolicy::over(Arc::clone(&before));
    if let Err(err) = server.apply(&ruling) {
        assert!(!err.to_string().contains('\n'), "{err}");
        return;
    }
    assert!(
        ruling.set_properties.len() <= CHANGES_MAX && ruling.set_extensions.len() <= CHANGES_MAX
    );
    let after = server.event();
    // The validity became no wider, whatever was said.
    let date = |event: &exeunt_module::Event, name: &str| {
        event.certificate.date(name).ok().and_then(unix_seconds)
    };
    assert!(date(&before, "NotBefore") <= date(after, "NotBefore"));
    assert!(date(after, "NotAfter") <= date(&before, "NotAfter"));
    for it in &ruling.set_extensions {
        assert!(OWNED.iter().all(|(oid, _)| *oid != it.oid), "{} is the engine's", it.oid);
        let Some(extension) = after.extensions.extension(&it.oid) else { continue };
        assert!(extension.value.len() <= EXTENSION_BYTES_MAX);
        let _ = alternative_names_in(&extension.value);
        let _ = key_usage_in(&extension.value);
        let _ = purposes_in(&extension.value);
    }
    // Parts of a subject become a name or a reason, and each value stays what it was.
    let parts: Vec<(String, Option<String>)> = ruling
        .set_properties
        .iter()
        .filter_map(|it| {
            let name = exeunt_module::policy::name_limit(&it.name)?.name;
            Some((name.to_owned(), after.certificate.string(name).ok().map(str::to_owned)))
        })
        .collect();
    let subject = Name::parse("CN=www.example.com,O=Example,C=DE").expect("it is a name");
    if let Ok(name) = subject::with_parts(&subject, &parts) {
        assert_eq!(Name::parse(&name.to_string()).expect("our own text of a name is one"), name);
    }
});
