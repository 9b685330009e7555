//! Against Samba as the domain controller of an Active Directory.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_module_kit::{Event, Outcome, Properties, exit_event, maintain::Check};
use exeunt_testbed::samba::{ActiveDirectory, READER, USERS};
use serde_json::{Value as Json, json};

use crate::{
    fixture::{certificate, deliver, issued, reason, started, tell, told, with},
    minted::TestCa,
    objects::maintaining,
    target::{Domain, Target as _, domain_settings},
};

/// What Samba's own tool says that a user holds, in base64.
fn shown(server: &ActiveDirectory, account: &str) -> Vec<String> {
    let text = server.samba_tool(&["user", "show", account, "--attributes=userCertificate"]);
    // LDIF goes on in the next line after a blank.
    let text = text.replace("\n ", "");
    let values = text.lines().filter_map(|it| it.strip_prefix("userCertificate:: "));
    let mut values: Vec<String> = values.map(str::to_owned).collect();
    values.sort();
    values
}

#[test]
fn certificates_are_found_on_the_right_users_by_sambas_own_tools() {
    let Some(domain) = Domain::start() else { return };
    let server = &*domain.server();
    let settings = domain_settings(server, &server.tls_url());
    let names: Vec<String> = (0..50).map(|it| format!("user{it}")).collect();
    server.add_persons(names.iter().map(String::as_str));
    let ca = TestCa::new("Ours");
    let encoded = |it: &[u8]| STANDARD.encode(it);
    let rest = domain.rest(&names);
    let mut events: Vec<Event> = Vec::new();
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for serial in 0..2000_u32 {
        let index = serial as usize % names.len();
        let der = certificate(&ca, &names[index], serial + 2);
        let seq = u64::from(serial) + 1;
        events.push(issued(seq, &format!("AD\\{}", names[index]), &der, &ca));
        if serial % 4 == 0 {
            events.push(told(exit_event::CERT_REVOKED, seq, &names[index], &der, &ca));
        } else {
            expected[index].push(encoded(&der));
        }
    }
    let mut host = started(&settings);
    let begun = Instant::now();
    for outcome in deliver(&mut host, &events) {
        assert_eq!(outcome, Outcome::Accept);
    }
    println!("{} events in {:?}", events.len(), begun.elapsed());
    assert_eq!(domain.rest(&names), rest);
    for (index, mut expected) in expected.into_iter().enumerate().step_by(7) {
        expected.sort();
        assert_eq!(shown(server, &names[index]), expected, "{}", names[index]);
    }

    let said = |more: &Json, said: &str, parked: bool| {
        let mut host = started(&with(settings.clone(), more));
        let der = certificate(&ca, "user1", 9000);
        let outcome = tell(&mut host, &[issued(1, "user1", &der, &ca)]).remove(0);
        assert!(reason(&outcome).contains(said), "{more}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Park { .. }), parked, "{outcome:?}");
    };
    said(&json!({"bind_dn": READER}), "insufficientAccessRights (50)", false);
    // Once something of the kind could be written, a refusal is about the object.
    let account = server.samba_tool(&["user", "show", "publisher", "--attributes=objectSid"]);
    let account = account.lines().find_map(|it| it.strip_prefix("objectSid: ")).unwrap();
    let (object, rights) =
        (format!("--objectdn={}", domain.dn("user2")), format!("--sddl=(D;;WP;;;{account})"));
    server.samba_tool(&["dsacl", "set", "--action=deny", &object, &rights]);
    let mut told = |name: &str| {
        tell(&mut host, &[issued(1, name, &certificate(&ca, name, 9002), &ca)]).remove(0)
    };
    assert_eq!(told("user3"), Outcome::Accept);
    let refused = told("user2");
    assert!(matches!(refused, Outcome::Park { .. }), "{refused:?}");
    let expected = format!(
        "directory-answer: changing \"{}\": insufficientAccessRights (50)",
        domain.dn("user2")
    );
    assert!(reason(&refused).starts_with(&expected), "{refused:?}");
    // A test knows without writing.
    let sample = [issued(1, "user2", &certificate(&ca, "user2", 9003), &ca)];
    let tried = |settings: &Json| -> Vec<String> {
        let report = maintaining(settings, Properties::default()).test_target(&sample).unwrap();
        let line = |it: &Check| format!("{:?} {}: {}", it.result, it.what, it.text);
        report.checks.iter().map(line).collect()
    };
    let refused = format!(
        "Failed holder \"{}\": the account may not write userCertificate",
        domain.dn("user2")
    );
    let lines = tried(&settings);
    assert!(lines.contains(&refused), "{lines:#?}");
    let people = |it: &&String| it.contains(" people below ");
    // One of ten may be the account's own object.
    let good = lines.iter().find(people).unwrap();
    assert!(
        good.ends_with("on 10 of 10 looked at") || good.ends_with("on 9 of 10 looked at"),
        "{good}"
    );
    let lines = tried(&with(settings.clone(), &json!({"bind_dn": READER})));
    assert!(lines.contains(&refused), "{lines:#?}");
    let bad = lines.iter().find(people).unwrap();
    assert!(!bad.starts_with("Passed"), "{bad}");
    assert!(
        bad.ends_with("on 0 of 10 looked at") || bad.ends_with("on 1 of 10 looked at"),
        "{bad}"
    );
    said(&json!({"bind_dn": "nobody@ad.example.test"}), "invalidCredentials (49)", false);
    said(
        &json!({"users": {"bases": ["CN=Computers,DC=ad,DC=example,DC=test"]}}),
        "no object",
        true,
    );
    // What only other directories want is said to be unknown here.
    said(&json!({"binary": "yes"}), "(16)", false);

    let mail = json!({"users": {"filters": ["(mail={mail})"], "bases": [USERS]}});
    let start_tls = json!({"servers": [server.url()], "start_tls": true});
    let mut host = started(&with(with(settings.clone(), &mail), &start_tls));
    let der = certificate(&ca, "user1", 9001);
    accept_one(&mut host, &issued(1, "somebody", &der, &ca));
    assert!(shown(server, "user1").contains(&encoded(&der)));
}

fn accept_one(host: &mut exeunt_module_kit::testing::Host, event: &Event) {
    assert_eq!(tell(host, std::slice::from_ref(event)), [Outcome::Accept]);
}
