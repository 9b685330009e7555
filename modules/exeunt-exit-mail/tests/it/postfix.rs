//! The mail server that most machines have: Postfix, with mailboxes that a program of somebody else
//! reads.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Command,
};

use exeunt_exit_mail::MailExit;
use exeunt_module_kit::{Event, Outcome, Value, testing::Host};
use exeunt_testbed::{
    authority::{Authority, Flaw},
    process::{Process, free_port, listens, run, wait_for},
    smtp::Mail,
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::fixture::{LIMIT, event_ids, issued, judged};

/// Largest mail that it takes, in octets.
const SIZE_MAX: usize = 20_000;

struct Postfix {
    folder: TempDir,
    authority: Authority,
    port: u16,
    process: Process,
}

impl Postfix {
    /// Starts one; nothing where the tests are not run by root, as its processes change their user.
    fn start() -> Option<Self> {
        if ids_of("-u", &[]) != 0 {
            println!("not tested: Postfix is started by root alone");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        let authority = Authority::new(&folder.path().join("tls"));
        let identity = authority.server(Flaw::Nothing);
        let path = |name: &str| folder.path().join(name);
        for name in ["etc", "spool", "data", "mailboxes"] {
            fs::create_dir(path(name)).unwrap();
        }
        let (postfix, nobody) = (ids("postfix"), ids("nobody"));
        chown(path("data"), Some(postfix.0), Some(postfix.1)).unwrap();
        chown(path("mailboxes"), Some(nobody.0), Some(nobody.1)).unwrap();
        let port = free_port();
        let settings = format!(
            "compatibility_level = 3.6\nqueue_directory = {spool}\ndata_directory = {data}\n\
             maillog_file = {maillog}\nmaillog_file_prefixes = /\nmyhostname = mail.example.test\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmydestination =\n\
             mynetworks = 127.0.0.0/8\nsmtpd_recipient_restrictions = reject_unauth_destination\n\
             smtpd_helo_required = yes\nstrict_rfc821_envelopes = yes\n\
             virtual_mailbox_domains = example.test\nvirtual_mailbox_base = {mailboxes}\n\
             virtual_mailbox_maps = inline:{{ {{ops@example.test=ops/}} \
             {{archive@example.test=archive/}} }}\n\
             virtual_minimum_uid = 100\nvirtual_uid_maps = static:{user}\n\
             virtual_gid_maps = static:{group}\nmessage_size_limit = {SIZE_MAX}\n\
             smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {certificate}\n\
             smtpd_tls_key_file = {key}\n",
            spool = path("spool").display(),
            maillog = path("maillog").display(),
            data = path("data").display(),
            mailboxes = path("mailboxes").display(),
            user = nobody.0,
            group = nobody.1,
            certificate = identity.certificate.display(),
            key = identity.key.display(),
        );
        fs::write(path("etc/main.cf"), settings).unwrap();
        let services = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\n\
             cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\n\
             bounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
             flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\n\
             error unix - - n - - error\nretry unix - - n - - error\nvirtual unix - n n - - virtual\n\
             anvil unix - - n - 1 anvil\npostlog unix-dgram n - n - 1 postlogd\n"
        );
        fs::write(path("etc/master.cf"), services).unwrap();
        let process = launch(folder.path(), port);
        Some(Self { folder, authority, port, process })
    }

    fn restart(&mut self) {
        self.process.kill();
        // Its helpers have the port too, and take a moment to be gone.
        wait_for("the end of the server", LIMIT, || !listens(self.port));
        self.process = launch(self.folder.path(), self.port);
    }

    fn host(&self, more: &Json) -> Host {
        let mut settings = json!({
            "server": "localhost", "port": self.port, "ca_file": self.authority.certificate(),
            "hello": "ca.example.test", "timeout_s": 15, "from": "ca@example.test",
            "to": "ops@example.test", "events": ["issued"],
        });
        for (name, value) in more.as_object().unwrap() {
            settings[name] = value.clone();
        }
        let mut host = Host::in_memory(MailExit::default()).unwrap();
        host.initialize(&settings).unwrap();
        host
    }

    /// What is in a mailbox, once a mail about each of the events is.
    fn mailbox(&self, name: &str, events: &[Event]) -> Vec<Json> {
        let folder = self.folder.path().join("mailboxes").join(name).join("new");
        let mails = || -> Vec<String> {
            let files = fs::read_dir(&folder).into_iter().flatten().flatten();
            files.map(|it| fs::read_to_string(it.path()).unwrap()).collect()
        };
        wait_for("the mails", LIMIT, || {
            let text = mails().concat();
            events.iter().all(|it| text.contains(&format!("X-Exeunt-Event: {} ", it.id)))
        });
        // As they came over the line: the mailbox keeps lines as this system does.
        let mails = mails().into_iter().map(|text| Mail {
            from: String::new(),
            to: Vec::new(),
            tls: None,
            user: None,
            helo: String::new(),
            text: text.replace('\n', "\r\n"),
        });
        judged(&mails.collect::<Vec<_>>())
    }
}

fn launch(folder: &Path, port: u16) -> Process {
    // The PATH of users leaves it out.
    run(Command::new("/usr/sbin/postfix").arg("-c").arg(folder.join("etc")).arg("check"));
    // With -d it stays in the group of processes that it is started in, and ends with it.
    let mut command = Command::new("/usr/lib/postfix/sbin/master");
    command.arg("-d").arg("-c").arg(folder.join("etc"));
    let mut process = Process::start(&mut command, &folder.join("log"));
    process.wait_for_port(port);
    process
}

fn ids(user: &str) -> (u32, u32) {
    (ids_of("-u", &[user]), ids_of("-g", &[user]))
}

fn ids_of(flag: &str, user: &[&str]) -> u32 {
    let said = run(Command::new("id").arg(flag).args(user));
    String::from_utf8(said).unwrap().trim().parse().unwrap()
}

#[test]
fn postfix_takes_mails_of_every_kind_and_says_what_it_does_not_take() {
    let Some(mut server) = Postfix::start() else { return };
    // 1. Many mails over a few connections, with both bodies and the certificate.
    let more = json!({"html": "<b>{{ certificate.SerialNumber }}</b>", "attach": "der",
        "text": ".\n{{ certificate.CommonName }}", "cc": "archive@example.test"});
    let mut host = server.host(&more);
    let mut events: Vec<Event> = issued(300);
    for event in &mut events {
        let name = Value::String("東京 ż".to_owned());
        event.certificate.set("CommonName", Some(name));
    }
    for outcome in host.notify_all(&events[..200]).unwrap() {
        assert_eq!(outcome.unwrap(), Outcome::Accept);
    }
    // 2. It is killed and started again; what it has taken is there, and what it has not is told again.
    server.restart();
    let mut left = events[200..].to_vec();
    wait_for("the rest", LIMIT, || {
        let outcomes = host.notify_all(&left).unwrap().into_iter().map(Result::unwrap);
        let again = left.iter().zip(outcomes).filter(|(_, it)| *it != Outcome::Accept);
        left = again.map(|(event, _)| event.clone()).collect();
        left.is_empty()
    });
    for name in ["ops", "archive"] {
        let mails = server.mailbox(name, &events);
        let mut told = event_ids(&mails);
        told.sort();
        told.dedup();
        let mut wanted: Vec<String> = events.iter().map(|it| it.id.clone()).collect();
        wanted.sort();
        assert_eq!(told, wanted, "{name}");
        for mail in &mails {
            assert_eq!(mail["defects"], json!([]), "{mail}");
            assert_eq!(mail["parts"][0]["text"].as_str().unwrap().trim_end(), ".\n東京 ż");
            let html = mail["parts"][1]["text"].as_str().unwrap();
            assert!(html.starts_with("<b>40000000000000000000000000"), "{html}");
            assert_eq!(mail["parts"][2]["octets"], "3000");
        }
    }
    // 3. What it does not take: nobody there, and a mail that is too big.
    let to = json!({"to": "nobody@example.test"});
    let outcome = server.host(&to).notify(&events[0]).unwrap();
    let reason = format!("{outcome:?}");
    assert!(reason.contains("550 5.1.1") && reason.contains("setting"), "{reason}");
    let text = json!({"text": "x".repeat(72) + &"\n".repeat(SIZE_MAX)});
    let outcome = server.host(&text).notify(&events[0]).unwrap();
    let Outcome::Park { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains(&SIZE_MAX.to_string()), "{reason}");
    // 4. A trial goes all the way.
    let mut trial = Host::in_memory(MailExit::default()).unwrap();
    let settings = json!({
        "server": "localhost", "port": server.port, "ca_file": server.authority.certificate(),
        "from": "ca@example.test", "to": "ops@example.test", "events": ["issued"],
    });
    trial.initialize_maintain(&settings).unwrap();
    let report = trial.test_target(&events[..1]).unwrap();
    let passed = exeunt_module_kit::maintain::CheckResult::Passed;
    assert!(report.checks.iter().all(|it| it.result == passed), "{report:?}");
}
