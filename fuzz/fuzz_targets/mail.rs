//! Mails about what a requester wrote: the name and address on the first two lines, alternative names
//! in DER after them.
#![no_main]

use std::sync::LazyLock;

use exeunt_exit_mail::preview;
use exeunt_module_kit::{Extension, Initialize, Value, testing::issued_event};
use libfuzzer_sys::fuzz_target;

/// Settings that let a requester in wherever they can.
static HELLO: LazyLock<Initialize> = LazyLock::new(|| {
    let settings = serde_json::json!({
        "server": "mail.example.test", "security": "none", "from": "ca@example.test",
        "to": ["ops@example.test", "{requester}", "{EMail}"], "requester_domains": ["*"],
        "events": ["issued"], "subject": "{{ who }}", "text": "{{ who }}\n",
        "html": "<p>{{ who }}</p>", "attach": "der",
    });
    Initialize {
        protocol: 1,
        config: "Test CA".to_owned(),
        module: "mail".to_owned(),
        settings: settings.as_object().expect("an object").clone(),
        window: 1,
        deadline_ms: 30_000,
        ..Initialize::default()
    }
});

/// All headers that there may be.
const HEADERS: [&str; 9] = [
    "Auto-Submitted",
    "Content-Type",
    "Date",
    "From",
    "MIME-Version",
    "Message-ID",
    "Subject",
    "To",
    "X-Exeunt-Event",
];

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |it| *it == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    // A line feed is written as the sign for one, so that it can stand in the words.
    let (name, address) = (text().replace('␊', "\r\n"), text().replace('␊', "\r\n"));
    let mut event = issued_event(9, &[0x30, 0]);
    event.certificate.set("CommonName", Some(Value::String(name)));
    event.certificate.push("EMail", Value::String(address));
    if let Some(der) = lines.next() {
        let names = Extension { flags: 0, value: der.to_vec() };
        event.extensions.push("2.5.29.17".to_owned(), names);
    }
    let previews = preview(&HELLO, &[event]).expect("settings that can be");
    let Some(Some(mail)) = previews.into_iter().next() else { return };
    for recipient in &mail.recipients {
        assert!(recipient.bytes().all(|it| it.is_ascii_graphic()), "{recipient:?}");
        assert!(!recipient.contains(['<', '>', ',', ';', '"', '\\']), "{recipient:?}");
    }
    let (head, _) = mail.message.split_once("\r\n\r\n").expect("headers and a body");
    let mut names: Vec<&str> = Vec::new();
    for line in head.split("\r\n").filter(|it| !it.starts_with([' ', '\t'])) {
        let (name, _) = line.split_once(':').expect("a header");
        names.push(name);
    }
    names.sort_unstable();
    assert_eq!(names, HEADERS, "{head}");
    assert!(mail.message.is_ascii() && mail.message.split("\r\n").all(|it| it.len() <= 998));
    assert!(!mail.message.replace("\r\n", "").contains(['\r', '\n', '\0']));
});
