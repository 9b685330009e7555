//! The CA's own objects in an Active Directory: Samba's.

use std::{process::Command, slice::from_ref, thread};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use exeunt_module_kit::{
    Outcome,
    maintain::{CheckResult, Difference},
};
use exeunt_testbed::{
    process::run,
    samba::{ActiveDirectory, PKI, READER},
};
use serde_json::json;

use crate::{
    authority::Authority,
    fixture::{deliver, reason, started, tell, with},
    objects::maintaining,
    target::{Domain, Target as _, domain_settings, domain_values},
};

#[test]
fn the_domain_holds_what_the_ca_holds() {
    let Some(domain) = Domain::start() else { return };
    let objects = json!({
        "users": {"publish": "never"},
        "objects": {"ntauth": true, "enrollment_services": true, "certificate_templates": ["User"]},
    });
    let server = domain.server();
    let settings = with(domain_settings(&server, &server.tls_url()), &objects);
    let domain_before = server.contents("CN=Users,DC=ad,DC=example,DC=test");
    let pki_before = server.contents(PKI);
    let ca = Authority::new("Test CA");
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
        assert_eq!(domain_values(&server, dn, "cACertificate"), from_ref(&ca.der), "{dn}");
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
    assert_eq!(domain_values(&server, &cdp, "certificateRevocationList"), from_ref(&lists[19].0));
    assert_eq!(domain_values(&server, &cdp, "deltaRevocationList"), from_ref(&lists[19].1));

    // 4. A second CA: the first one's certificate stays where both are.
    let other = Authority::new("Other CA");
    let mut host = started(&settings);
    assert_eq!(tell(&mut host, &[other.has_certificate(1)]), [Outcome::Accept]);
    let mut both = vec![ca.der.clone(), other.der.clone()];
    both.sort();
    assert_eq!(domain_values(&server, &ntauth, "cACertificate"), both);

    // 5. Killed while it writes, and started again; too little rights.
    let told = ca.lists_issued(50, &ca.list(50), None);
    let telling = thread::spawn(move || deliver(&mut host, &[told]));
    drop(server);
    domain.kill();
    domain.start_again();
    let server = domain.server();
    assert_eq!(telling.join().unwrap(), [Outcome::Accept]);
    let mut weak = started(&reader);
    let outcomes = tell(&mut weak, &[ca.lists_issued(51, &ca.list(51), None)]);
    assert!(
        matches!(outcomes[0], Outcome::Retry { .. } | Outcome::TargetDown { .. }),
        "{outcomes:?}"
    );
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
    let fetched = fetched(&server, &cdp);
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

/// A list as a stranger fetches it.
fn fetched(server: &ActiveDirectory, dn: &str) -> Vec<u8> {
    let mut tool = Command::new("ldapsearch");
    tool.env("LDAPTLS_CACERT", server.authority().certificate()).args([
        "-x",
        "-LLL",
        "-o",
        "nettimeout=10",
        "-H",
    ]);
    tool.arg(format!("ldaps://127.0.0.1:{}", server.tls_port())).args(["-D", READER, "-y"]);
    tool.arg(server.password_file()).args(["-o", "ldif-wrap=no", "-s", "base", "-b", dn]);
    tool.args(["(objectclass=cRLDistributionPoint)", "certificateRevocationList"]);
    let said = String::from_utf8(run(&mut tool)).unwrap();
    let value = said.split("certificateRevocationList:: ").nth(1).unwrap();
    STANDARD.decode(value.lines().next().unwrap()).unwrap()
}
