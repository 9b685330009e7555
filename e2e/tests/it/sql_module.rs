//! A real CA keeps an inventory in a real database.

use exeunt_e2e::ca::{Ca, wait_for};
use exeunt_testbed::{
    authority::Flaw,
    postgres::{DATABASE, PASSWORD, Postgres, USER},
};
use serde_json::Value;

use super::issuing::request;

const STATES: &str = "SELECT common_name, state FROM exeunt.certificate \
                      WHERE NOT is_ca ORDER BY common_name";

fn issue(ca: &Ca, host: &str) {
    let file = request(ca, "ec:P-256", &format!("/CN={host}"), &[host]);
    ca.ok(&["submit", &file]);
}

#[test]
fn the_inventory_is_what_the_ca_says_also_where_the_database_was_down_or_changed() {
    let mut database = Postgres::start(Flaw::Nothing);
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let settings = [
        "host=localhost".to_owned(),
        format!("port={}", database.port()),
        format!("database={DATABASE}"),
        format!("user={USER}"),
        format!("password_file={}", ca.secret("password", PASSWORD)),
        format!("ca_file={}", database.ca_file().display()),
    ];
    ca.add_exit(&["inventory", "--use", "sql"], &settings);
    let script = ca.ok(&["exit", "install", "inventory", "--print"]);
    assert!(script.contains("CREATE TABLE exeunt.certificate"), "{script}");
    ca.ok(&["exit", "install", "inventory", "--yes"]);
    let tested = ca.ok(&["exit", "test", "inventory"]);
    assert!(tested.contains("PostgreSQL 1"), "{tested}");

    issue(&ca, "a.example.test");
    wait_for("the first certificate", || {
        (database.sql(STATES) == "a.example.test|issued").then_some(())
    });
    database.kill();
    issue(&ca, "b.example.test");
    ca.wait_for_retry("inventory");
    database.restart();
    let serial = wait_for("the second certificate", || {
        let serial = "SELECT serial FROM exeunt.valid_now WHERE common_name = 'b.example.test'";
        Some(database.sql(serial)).filter(|it| !it.is_empty())
    });
    ca.ok(&["cert", "revoke", &serial, "--reason", "superseded"]);
    let both = "a.example.test|issued\nb.example.test|revoked";
    wait_for("the revocation", || (database.sql(STATES) == both).then_some(()));

    database.sql("UPDATE exeunt.certificate SET state = 'issued' WHERE state = 'revoked'");
    database.sql("DELETE FROM exeunt.certificate WHERE common_name = 'a.example.test'");
    ca.ok(&["exit", "reconcile", "inventory", "--mend"]);
    assert_eq!(database.sql(STATES), both);
    ca.ok(&["crl", "publish"]);
    let published: Value = serde_json::from_str(&ca.ok(&["crl", "publish", "--json"])).unwrap();
    let number = published["crls"][0]["number"].as_u64().unwrap();
    let list = format!("SELECT is_delta, part FROM exeunt.crl WHERE number = {number}");
    wait_for("the list", || (database.sql(&list) == "f|0").then_some(()));
    ca.ok(&["exit", "reconcile", "inventory"]);
    let own = "SELECT common_name, state FROM exeunt.certificate WHERE is_ca";
    assert_eq!(database.sql(own), "Test Root|issued");
    server.stop();
}
