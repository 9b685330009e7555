//! `PostgreSQL`, read by psql.

use exeunt_e2e::ca::{Ca, hexadecimal};
use exeunt_testbed::authority::Flaw;
use exeunt_testbed::postgres::{DATABASE, PASSWORD, Postgres, USER};

use super::{EXIT, Target, Truth, secret, tell};

/// A row of another CA, and somebody's own table in the schema of the module.
const OTHERS: &str = "\
    INSERT INTO exeunt.certificate (ca, sha256, serial, state, event_seq, changed_at)
        VALUES ('Other CA', '\\x00', '01', 'issued', 1, '2026-01-01');
    CREATE TABLE exeunt.note (words text);
    INSERT INTO exeunt.note VALUES ('somebody''s');";

const CERTIFICATES: &str = "\
    SELECT serial, common_name, state, encode(der, 'hex') FROM exeunt.certificate
        WHERE ca = 'Test Root' ORDER BY serial COLLATE \"C\"";

impl Target for Postgres {
    fn module(&self) -> &'static str {
        "sql"
    }

    fn count(&self) -> usize {
        2800
    }

    fn port(&self) -> Option<u16> {
        Some(Postgres::port(self))
    }

    fn settings(&mut self, ca: &Ca, port: u16) -> String {
        format!(
            "host = \"localhost\"\nport = {port}\ndatabase = \"{DATABASE}\"\nuser = \"{USER}\"\n\
             password_file = \"{}\"\nca_file = \"{}\"\nstore_der = true\ntimeout_s = 3\n",
            secret(ca, "password", PASSWORD),
            self.ca_file().display(),
        )
    }

    fn is_installed(&self) -> bool {
        true
    }

    fn prepare(&mut self, ca: &Ca) {
        ca.ok(&["exit", "reconcile", EXIT, "--mend"]);
        self.sql(OTHERS);
    }

    fn kill(&mut self) {
        Postgres::kill(self);
    }

    fn restart(&mut self) {
        Postgres::restart(self);
    }

    fn others(&self) -> Vec<String> {
        let rows = "SELECT * FROM exeunt.certificate WHERE ca <> 'Test Root'";
        vec![self.sql(rows), self.sql("SELECT * FROM exeunt.note")]
    }

    fn check(&self, truth: &Truth) {
        let row = |serial: &str, name: &str, state: &str, der: &[u8]| {
            format!("{serial}|{name}|{state}|{}", hexadecimal(der))
        };
        let mut wanted: Vec<String> = truth
            .certificates
            .iter()
            .map(|it| {
                let state = if it.revoked { "revoked" } else { "issued" };
                row(&it.serial, &it.host, state, &it.der)
            })
            .collect();
        let found = self.sql(CERTIFICATES);
        let own = self.sql("SELECT serial FROM exeunt.certificate WHERE is_ca");
        wanted.push(row(&own, "Test Root", "issued", &truth.authority));
        wanted.sort_unstable();
        let mut found: Vec<&str> = found.lines().collect();
        found.sort_unstable();
        assert!(found == wanted, "{} rows for {} certificates", found.len(), wanted.len());
        let requests = self.sql("SELECT count(*) FROM exeunt.request WHERE ca = 'Test Root'");
        assert_eq!(requests, truth.requests.to_string());
        let list = self.sql("SELECT number, encode(der, 'hex') FROM exeunt.crl");
        assert_eq!(list, format!("{}|{}", truth.number, hexadecimal(&truth.list)));
    }
}

#[test]
fn an_inventory_in_postgresql_is_what_the_store_says() {
    tell(&mut Postgres::start(Flaw::Nothing));
}
