//! The CA's own objects in an Active Directory: Samba's.

use std::{process::Command, slice::from_ref, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_module_kit::{
    Outcome,
    maintain::{CheckResult, Difference},
};
use exeunt_testbed::{
    process::run,
    samba::{ActiveDirectory, PKI, PUBLISHER, READER},
};
use serde_json::{Value as Json, json};

use crate::{
    authority::Authority,
    fixture::{deliver, reason, started, tell, with},
    objects::maintaining,
};

fn settings(server: &ActiveDirectory) -> Json {
    json!({
        "servers": [server.tls_url()],
        "ca_file": server.authority().certificate(),
        "bind_dn": PUBLISHER,
        "password_file": server.password_file(),
        "connect_timeout_s": 5,
        "timeout_s": 5,
        "return_after_s": 1,
        "users": {"publish": "never"},
        "objects": {"ntauth": true, "enrollment_services": true, "certificate_templates": ["User"]},
    })
}

/// Values of an attribute, as Samba's own tool reads them from its files.
fn values(server: &ActiveDirectory, dn: &str, attribute: &str) -> Vec<Vec<u8>> {
    let text = server.search(dn, "base", &[attribute]);
    let start = format!("{attribute}:: ");
    let lines = text.lines().filter_map(|it| it.strip_prefix(&start));
    let mut values: Vec<Vec<u8>> = lines.map(|it| STANDARD.decode(it).unwrap()).collect();
    values.sort();
    values
}

#[test]
fn the_domain_holds_what_the_ca_holds() {
    let Some(mut server) = ActiveDirectory::start() else {
        println!("not tested: this system does not allow unshare");
        return;
    };
    let domain_before = server.contents("CN=Users,DC=ad,DC=example,DC=test");
    let pki_before = server.contents(PKI);
    let ca = Authority::new("Test CA");
    let settings = settings(&server);
    let cdp = format!("CN=Test CA,CN=ca1,CN=CDP,{PKI}");
    let aia = format!("CN=Test CA,CN=AIA,{PKI}");
    let ntauth = format!("CN=NTAuthCertificates,{PKI}");
    let service = format!("CN=Test CA,CN=Enrollment Services,{PKI}");

    // 1. A test says what is wrong, and what would be written.
    let reader = with(settings.clone(), &json!({"bind_dn": READER}));
    let report = maintaining(&reader, ca.system()).test_target(&[]).unwrap();
    let failed = |it: &&_| matches!(it, CheckResult::Failed);
    let results: Vec<CheckResult> = report.checks.iter().map(|it| it.result).collect();
    assert_eq!(results.iter().filter(failed).count(), 4, "{report:?}");
    let report = maintaining(&settings, ca.system()).test_target(&[]).unwrap();
    assert!(report.checks.iter().all(|it| it.result == CheckResult::Passed), "{report:?}");
    assert_eq!(server.contents(PKI), pki_before);

    // 2. What Install prints, Samba's own tool takes; then everything is there.
    let report = maintaining(&settings, ca.system()).install(false).unwrap();
    assert!(report.steps.iter().all(|it| it.text == "would be made"), "{report:?}");
    server.ldif(&report.script.unwrap());
    let report = maintaining(&settings, ca.system()).install(true).unwrap();
    assert!(report.steps.iter().all(|it| it.text == "was there already"), "{report:?}");
    for dn in [&aia, &ntauth, &service] {
        assert_eq!(values(&server, dn, "cACertificate"), from_ref(&ca.der), "{dn}");
    }
    let shown = server.search(&service, "base", &["dNSHostName", "certificateTemplates"]);
    assert!(shown.contains("dNSHostName: ca1.example.test"), "{shown}");
    assert!(shown.contains("certificateTemplates: User"), "{shown}");

    // 3. Lists, by two writers at the same time.
    let lists: Vec<(Vec<u8>, Vec<u8>)> =
        (1..=20).map(|it| (ca.list(it), ca.delta(it, 1))).collect();
    thread::scope(|scope| {
        for first in 0..2 {
            let (settings, lists, ca) = (&settings, &lists, &ca);
            scope.spawn(move || {
                let mut host = started(settings);
                for (at, (list, delta)) in lists.iter().enumerate().skip(first).step_by(2) {
                    let told = ca.lists_issued(at as u64 + 1, list, Some(delta));
                    let outcomes = deliver(&mut host, &[told]);
                    assert!(matches!(outcomes[0], Outcome::Accept | Outcome::Skip), "{outcomes:?}");
                }
            });
        }
    });
    assert_eq!(values(&server, &cdp, "certificateRevocationList"), from_ref(&lists[19].0));
    assert_eq!(values(&server, &cdp, "deltaRevocationList"), from_ref(&lists[19].1));

    // 4. A second CA: the first one's certificate stays where both are.
    let other = Authority::new("Other CA");
    let mut host = started(&settings);
    assert_eq!(tell(&mut host, &[other.has_certificate(1)]), [Outcome::Accept]);
    let mut both = vec![ca.der.clone(), other.der.clone()];
    both.sort();
    assert_eq!(values(&server, &ntauth, "cACertificate"), both);

    // 5. Killed while it writes, and started again; too little rights.
    let told = ca.lists_issued(50, &ca.list(50), None);
    let telling = thread::spawn(move || deliver(&mut host, &[told]));
    server.kill();
    server.start_again();
    assert_eq!(telling.join().unwrap(), [Outcome::Accept]);
    let mut weak = started(&reader);
    let outcomes = tell(&mut weak, &[ca.lists_issued(51, &ca.list(51), None)]);
    assert!(matches!(outcomes[0], Outcome::Retry { .. }), "{outcomes:?}");
    assert!(reason(&outcomes[0]).contains("insufficientAccessRights"), "{outcomes:?}");

    // 6. Compared and mended.
    let newest = ca.list(60);
    let truth = [ca.has_certificate(1), ca.lists_issued(2, &newest, None)];
    let mut host = maintaining(&settings, ca.system());
    let compared = host.reconcile(&truth, false).unwrap();
    assert_eq!(compared.findings.len(), 1, "{compared:?}");
    assert_eq!(compared.findings[0].difference, Difference::Stale);
    assert!(host.reconcile(&truth, true).unwrap().findings[0].mended);
    assert_eq!(host.reconcile(&truth, false).unwrap().findings, []);

    // 7. Fetched by a stranger from the place that a certificate names.
    let mut tool = Command::new("ldapsearch");
    tool.env("LDAPTLS_CACERT", server.authority().certificate()).args([
        "-x",
        "-LLL",
        "-o",
        "nettimeout=10",
        "-H",
    ]);
    tool.arg(format!("ldaps://127.0.0.1:{}", server.tls_port())).args(["-D", READER, "-y"]);
    tool.arg(server.password_file()).args(["-o", "ldif-wrap=no", "-s", "base", "-b", &cdp]);
    tool.args(["(objectclass=cRLDistributionPoint)", "certificateRevocationList"]);
    let said = String::from_utf8(run(&mut tool)).unwrap();
    let value = said.split("certificateRevocationList:: ").nth(1).unwrap();
    let fetched = STANDARD.decode(value.lines().next().unwrap()).unwrap();
    assert_eq!(fetched, newest);
    assert!(ca.signed(&fetched));

    // 8. Nothing else was touched.
    assert_eq!(server.contents("CN=Users,DC=ad,DC=example,DC=test"), domain_before);
    let objects = [&cdp, &format!("CN=ca1,CN=CDP,{PKI}"), &aia, &ntauth, &service];
    let is_ours = |it: &String| {
        let dn = it.lines().find(|it| it.starts_with("dn: ")).unwrap();
        objects.iter().any(|it| dn.eq_ignore_ascii_case(&format!("dn: {it}")))
            || dn.starts_with("dn: CN=Other CA,")
    };
    let rest: Vec<String> = server.contents(PKI).into_iter().filter(|it| !is_ours(it)).collect();
    assert_eq!(rest, pki_before);
}
