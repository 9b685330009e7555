//! Trying, installing, comparing and mending.

use exeunt_exit_sql::SqlExit;
use exeunt_module_kit::maintain::{CheckResult, Compared, Difference};
use exeunt_module_kit::testing::Host;
use exeunt_module_kit::{Event, Value, exit_event};
use exeunt_testbed::authority::Flaw;
use exeunt_testbed::postgres::Postgres;
use serde_json::json;

use crate::bed::{Bed, Mould, deliver};

fn tables(server: &Postgres) -> String {
    server.sql(
        "SELECT table_name, column_name, data_type FROM information_schema.columns \
         WHERE table_schema = 'inventory' ORDER BY 1, ordinal_position",
    )
}

#[test]
fn the_tables_are_made_or_printed_and_a_test_says_what_is_missing() {
    let bed = Bed::empty(Flaw::Nothing);
    let mould = Mould::new();
    let mut host = bed.upkeep(bed.server.port(), &json!({}));
    let report = host.test_target(&[mould.issued(1, 7)]).unwrap();
    let failed = report.checks.iter().find(|it| it.result == CheckResult::Failed).unwrap();
    assert!(failed.text.contains("exeunt exit install under-test"), "{failed:?}");
    let would_write =
        [format!("certificate: serial {}", mould.serial(7)), "request: request_id 7".to_owned()];
    assert_eq!(report.would_write, would_write);
    let script = host.install(false).unwrap().script.unwrap();
    assert_eq!(tables(&bed.server), "", "nothing was written");

    bed.server.sql(&script);
    let by_hand = tables(&bed.server);
    assert!(by_hand.contains("valid_now|not_after|"), "{by_hand}");
    let report = host.test_target(&[]).unwrap();
    assert!(report.checks.iter().all(|it| it.result == CheckResult::Passed), "{report:?}");
    assert!(report.checks[0].text.starts_with("PostgreSQL 1"), "{report:?}");
    // Made by the superuser, so that the role lives by its grants.
    let mut writer = bed.host(bed.server.port(), &json!({}));
    deliver(&mut writer, &[mould.issued(1, 7)]);
    bed.server.sql("REVOKE DELETE ON inventory.crl FROM inventory_writer");
    let report = host.test_target(&[]).unwrap();
    assert_eq!(report.checks.last().unwrap().text, "missing: DELETE on crl");

    bed.server.sql("DROP SCHEMA inventory CASCADE");
    let report = host.install(true).unwrap();
    assert_eq!(report.steps[0].result, CheckResult::Passed, "{report:?}");
    assert_eq!(tables(&bed.server), by_hand);
    let again = host.install(true).unwrap();
    assert!(again.steps[0].text.contains("is there") && again.script.is_none(), "{again:?}");
}

#[test]
fn a_role_that_may_not_make_tables_is_given_the_script() {
    let bed = Bed::empty(Flaw::Nothing);
    bed.server.sql("ALTER DATABASE inventory OWNER TO postgres");
    let mut host = bed.upkeep(bed.server.port(), &json!({}));
    let report = host.install(true).unwrap();
    assert_eq!(report.steps[0].result, CheckResult::Failed);
    assert!(report.steps[0].text.contains("42501"), "{report:?}");
    bed.server.sql(&report.script.unwrap());
    let report = host.test_target(&[]).unwrap();
    assert!(report.checks.iter().all(|it| it.result == CheckResult::Passed), "{report:?}");
}

#[test]
fn a_file_of_tls_that_is_missing_is_named_before_anything_is_told() {
    let mut host = Host::in_memory(SqlExit::default()).unwrap();
    let settings = json!({
        "host": "localhost", "database": "pki", "user": "ca", "ca_file": "/nowhere/ca.pem",
    });
    let err = host.initialize(&settings).unwrap_err();
    assert!(err.to_string().contains("/nowhere/ca.pem"), "{err}");
}

#[test]
fn a_test_says_that_nobody_is_there_or_that_the_password_is_wrong() {
    let mut bed = Bed::new();
    bed.password("wrong");
    let mut host = bed.upkeep(bed.server.port(), &json!({}));
    for says in ["28P01", "connecting to localhost"] {
        let report = host.test_target(&[]).unwrap();
        assert_eq!(report.checks.len(), 1);
        assert!(report.checks[0].text.contains(says), "{report:?}");
        bed.server.kill();
    }
    let report = host.install(false).unwrap();
    assert_eq!(report.steps[0].result, CheckResult::Warning);
    assert!(report.script.unwrap().contains("CREATE TABLE inventory.certificate"));
    assert!(host.reconcile(&[], false).is_err());
}

fn differences(compared: &Compared) -> Vec<(Difference, &str)> {
    let mut found: Vec<_> =
        compared.findings.iter().map(|it| (it.difference, it.place.as_str())).collect();
    found.sort_unstable();
    found
}

#[test]
fn what_is_missing_stale_or_surplus_is_found_and_mended_and_nothing_else() {
    let bed = Bed::new();
    let mould = Mould::new();
    let events: Vec<Event> = (1..=600).map(|it| mould.issued(it, it)).collect();
    let mut writer = bed.host(bed.server.port(), &json!({}));
    deliver(&mut writer, &events);
    let mut host = bed.upkeep(bed.server.port(), &json!({}));
    let compared = host.reconcile(&events, false).unwrap();
    assert_eq!((compared.good, compared.findings.len()), (1200, 0));

    let serial = |it| mould.serial(it);
    bed.server.sql(&format!(
        "DELETE FROM inventory.certificate WHERE serial = '{}'; \
         UPDATE inventory.certificate SET state = 'revoked', event_seq = 77777 WHERE serial = '{}'; \
         UPDATE inventory.request SET requester = 'nobody' WHERE request_id = 3; \
         INSERT INTO inventory.certificate (ca, sha256, serial, event_seq, changed_at) \
         SELECT 'Another CA', sha256, serial, 1, now() FROM inventory.certificate LIMIT 5",
        serial(1),
        serial(2),
    ));
    // The CA has forgotten the last one.
    let held = &events[..599];
    let wanted = [
        (Difference::Missing, "inventory.certificate"),
        (Difference::Stale, "inventory.certificate"),
        (Difference::Stale, "inventory.request"),
        (Difference::Surplus, "inventory.certificate"),
    ];
    for mend in [false, true] {
        let mut host = bed.upkeep(bed.server.port(), &json!({}));
        let compared = host.reconcile(held, mend).unwrap();
        assert_eq!(differences(&compared), wanted);
        assert!(compared.findings.iter().all(|it| it.mended == mend && it.error.is_none()));
    }
    let mut host = bed.upkeep(bed.server.port(), &json!({}));
    let compared = host.reconcile(held, true).unwrap();
    assert_eq!((compared.good, compared.findings.len()), (1198, 0));
    let sql =
        "SELECT count(*) FILTER (WHERE ca = 'Another CA'), count(*) FROM inventory.certificate";
    assert_eq!(bed.server.sql(sql), "5|604");
}

#[test]
fn rows_of_a_module_with_another_filter_are_nobody_else_s_to_delete() {
    let bed = Bed::new();
    let mould = Mould::new();
    let events: Vec<Event> = (1..=40).map(|it| mould.issued(it, it)).collect();
    let (mine, others) = events.split_at(20);
    // Two modules of one CA, each told of a half.
    for half in [mine, others] {
        let mut writer = bed.host(bed.server.port(), &json!({}));
        deliver(&mut writer, half);
    }
    // One that was taken in from another CA is in no comparison.
    let mut foreign = mould.issued(41, 41);
    foreign.event = exit_event::CERT_IMPORTED;
    foreign.request.set("Disposition", Some(Value::Long(12)));
    let mut writer = bed.host(bed.server.port(), &json!({}));
    deliver(&mut writer, &[foreign]);
    let before = bed.states();
    assert_eq!(before.iter().filter(|it| it.ends_with("|foreign")).count(), 1);

    let mut host = bed.upkeep_of_a_part(bed.server.port());
    let compared = host.reconcile(mine, true).unwrap();
    assert_eq!((compared.good, compared.findings.len()), (40, 0));
    assert_eq!(bed.states(), before);
    // One that is told of everything knows what is surplus.
    let mut host = bed.upkeep(bed.server.port(), &json!({}));
    let compared = host.reconcile(mine, false).unwrap();
    assert_eq!(compared.findings.len(), 20);
    assert_eq!(bed.states(), before);
}
