//! Against Samba as the domain controller of an Active Directory.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_module_kit::{Event, Outcome, exit_event};
use exeunt_testbed::samba::{ActiveDirectory, PUBLISHER, READER, USERS};
use serde_json::{Value as Json, json};

use crate::{
    fixture::{certificate, deliver, issued, reason, started, tell, told, with},
    minted::TestCa,
};

fn settings(server: &ActiveDirectory) -> Json {
    json!({
        "servers": [server.tls_url()],
        "ca_file": server.authority().certificate(),
        "bind_dn": PUBLISHER,
        "password_file": server.password_file(),
        "users": {"remove_revoked": true},
    })
}

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
    let Some(server) = ActiveDirectory::start() else {
        println!("not tested: this system does not allow unshare");
        return;
    };
    let names: Vec<String> = (0..40).map(|it| format!("user{it}")).collect();
    server.add_persons(names.iter().map(String::as_str));
    let ca = TestCa::new("Ours");
    let encoded = |it: &[u8]| STANDARD.encode(it);
    let mut events: Vec<Event> = Vec::new();
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for serial in 0..400_u32 {
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
    let mut host = started(&settings(&server));
    for outcome in deliver(&mut host, &events) {
        assert_eq!(outcome, Outcome::Accept);
    }
    for (index, mut expected) in expected.into_iter().enumerate().step_by(7) {
        expected.sort();
        assert_eq!(shown(&server, &names[index]), expected, "{}", names[index]);
    }

    let said = |more: &Json, said: &str, parked: bool| {
        let mut host = started(&with(settings(&server), more));
        let der = certificate(&ca, "user1", 9000);
        let outcome = tell(&mut host, &[issued(1, "user1", &der, &ca)]).remove(0);
        assert!(reason(&outcome).contains(said), "{more}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Park { .. }), parked, "{outcome:?}");
    };
    said(&json!({"bind_dn": READER}), "insufficientAccessRights (50)", false);
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
    let mut host = started(&with(with(settings(&server), &mail), &start_tls));
    let der = certificate(&ca, "user1", 9001);
    accept_one(&mut host, &issued(1, "somebody", &der, &ca));
    assert!(shown(&server, "user1").contains(&encoded(&der)));
}

fn accept_one(host: &mut exeunt_module_kit::testing::Host, event: &Event) {
    assert_eq!(tell(host, std::slice::from_ref(event)), [Outcome::Accept]);
}
