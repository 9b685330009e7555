//! The server is down, slow, full, refuses, dies, shows a wrong certificate, or is cut off.

use std::time::Duration;

use exeunt_module_kit::{Event, Outcome, Value, testing::parked};
use exeunt_testbed::authority::Flaw;
use exeunt_testbed::postgres::{PASSWORD, Postgres};
use exeunt_testbed::process::wait_for;
use exeunt_testbed::proxy::{Fault, Proxy};
use serde_json::json;

use crate::bed::{Bed, Mould, assert_down, assert_retry, deliver};

const SOON: Duration = Duration::from_mins(1);

#[test]
fn what_is_told_while_the_server_is_down_is_there_in_the_end() {
    let mut bed = Bed::new();
    let mould = Mould::new();
    let mut host = bed.host(bed.server.port(), &json!({}));
    assert_eq!(host.notify(&mould.issued(1, 1)).unwrap(), Outcome::Accept);
    bed.server.kill();
    for _ in 0..2 {
        let outcome = host.notify(&mould.issued(2, 2)).unwrap();
        assert_down(&outcome, "localhost:");
        assert!(!format!("{outcome:?}").contains(PASSWORD), "{outcome:?}");
    }
    bed.server.restart();
    assert_eq!(host.notify(&mould.issued(2, 2)).unwrap(), Outcome::Accept);
    // The connection of before is dead and nobody was told: it costs no attempt.
    bed.server.stop();
    bed.server.restart();
    assert_eq!(host.notify(&mould.issued(3, 3)).unwrap(), Outcome::Accept);
    let wanted: Vec<String> = (1..=3).map(|it| format!("{}|issued", mould.serial(it))).collect();
    assert_eq!(bed.states(), wanted);
}

#[test]
fn a_slow_server_is_waited_for_and_a_silent_one_is_not() {
    let mut bed = Bed::new();
    let mould = Mould::new();
    let mut proxy = Proxy::to_port(bed.server.port());
    let mut host = bed.host(proxy.port(), &json!({"timeout_s": 2, "connect_timeout_s": 1}));
    proxy.set(Fault::Delay(Duration::from_millis(30)));
    let events: Vec<Event> = (1..=300).map(|it| mould.issued(it, it)).collect();
    deliver(&mut host, &events);
    proxy.set(Fault::Silence);
    assert_down(&host.notify(&mould.revoked(301, 1, 1)).unwrap(), "sql-timeout");
    proxy.set(Fault::Nothing);
    deliver(&mut host, &[mould.revoked(301, 1, 1)]);
    // The server itself stops in the middle.
    bed.server.process().suspend();
    let mut other = bed.host(bed.server.port(), &json!({"timeout_s": 1}));
    assert_down(&other.notify(&mould.revoked(302, 2, 1)).unwrap(), "sql-timeout");
    bed.server.process().resume();
    deliver(&mut other, &[mould.revoked(302, 2, 1)]);
    assert_eq!(bed.states().iter().filter(|it| it.ends_with("|revoked")).count(), 2);
    assert_eq!(bed.states().len(), 300);
}

#[test]
fn wherever_a_connection_is_cut_off_the_next_attempt_heals_it() {
    let bed = Bed::new();
    let mould = Mould::new();
    let mut proxy = Proxy::to_port(bed.server.port());
    let mut host = bed.host(proxy.port(), &json!({}));
    let mut seq = 0;
    let mut put_off = 0;
    for bytes in (0..36).map(|it| it * 160) {
        seq += 1;
        let events = [mould.issued(seq, seq), mould.revoked(seq + 10_000, seq, 1)];
        // In either direction: the answer to a commit may be what is lost.
        let fault =
            if seq % 2 == 0 { Fault::CutToServer(bytes) } else { Fault::CutToClient(bytes / 2) };
        proxy.set(fault);
        let outcomes = host.notify_all(&events).unwrap();
        put_off += outcomes.iter().filter(|it| it.as_ref().unwrap() != &Outcome::Accept).count();
        proxy.set(Fault::Nothing);
        deliver(&mut host, &events);
    }
    assert!(10 < put_off, "{put_off}");
    let wanted: Vec<String> = (1..=seq).map(|it| format!("{}|revoked", mould.serial(it))).collect();
    assert_eq!(bed.states(), wanted);
}

#[test]
fn a_server_that_dies_in_the_middle_of_a_transaction_leaves_nothing_half() {
    let mut bed = Bed::new();
    let mould = Mould::new();
    // Certificates are in when the requests are waited for.
    bed.server.sql(
        "CREATE FUNCTION inventory.wait() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$; \
         CREATE TRIGGER wait BEFORE INSERT ON inventory.request \
         FOR EACH STATEMENT EXECUTE FUNCTION inventory.wait()",
    );
    let mut host = bed.host(bed.server.port(), &json!({}));
    let events: Vec<Event> = (1..=50).map(|it| mould.issued(it, it)).collect();
    let told = events.clone();
    let telling = std::thread::spawn(move || {
        let outcomes = host.notify_all(&told).unwrap();
        (host, outcomes)
    });
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    wait_for("the transaction", SOON, || bed.server.sql(asleep) == "1");
    bed.server.kill();
    let (mut host, outcomes) = telling.join().unwrap();
    for outcome in outcomes {
        assert_down(&outcome.unwrap(), "sql-");
    }
    bed.server.restart();
    assert_eq!(bed.states(), [""; 0]);
    bed.server.sql("DROP TRIGGER wait ON inventory.request");
    deliver(&mut host, &events);
    assert_eq!(bed.states().len(), 50);
    assert_eq!(bed.server.sql("SELECT count(*) FROM inventory.request"), "50");
}

#[test]
fn a_server_with_a_wrong_certificate_is_told_nothing() {
    let mould = Mould::new();
    for flaw in [Flaw::OtherName, Flaw::OtherAuthority, Flaw::Expired] {
        let bed = Bed::empty(flaw);
        // Everything else is as it should be: with that very certificate pinned, the event gets in.
        let pin = bed.server.fingerprint();
        let pinned = json!({"ca_file": null, "server_certificate_sha256": [pin]});
        let mut upkeep = bed.upkeep(bed.server.port(), &pinned);
        upkeep.install(true).unwrap();
        let mut host = bed.host(bed.server.port(), &json!({}));
        let outcome = host.notify(&mould.issued(1, 1)).unwrap();
        assert_down(&outcome, "certificate");
        assert_down(&outcome, "sql-connect");
        assert_eq!(bed.states(), [""; 0], "{flaw:?}");
        let mut host = bed.host(bed.server.port(), &pinned);
        assert_eq!(host.notify(&mould.issued(1, 1)).unwrap(), Outcome::Accept, "{flaw:?}");
        let other = json!({"ca_file": null, "server_certificate_sha256": ["00".repeat(32)]});
        let mut host = bed.host(bed.server.port(), &other);
        assert_down(&host.notify(&mould.issued(2, 2)).unwrap(), "certificate");
        assert_eq!(bed.states().len(), 1, "{flaw:?}");
    }
}

#[test]
fn a_refusal_waits_for_a_person_unless_the_event_is_at_fault() {
    let bed = Bed::new();
    let mould = Mould::new();
    bed.password("wrong");
    let mut host = bed.host(bed.server.port(), &json!({}));
    let outcome = host.notify(&mould.issued(1, 1)).unwrap();
    assert_down(&outcome, "28P01");
    assert_down(&outcome, "exeunt exit test under-test");
    // Mended without a new start of the module.
    bed.password(PASSWORD);
    assert_eq!(host.notify(&mould.issued(1, 1)).unwrap(), Outcome::Accept);

    let guilty = mould.serial(7);
    bed.server.sql(&format!(
        "ALTER TABLE inventory.certificate ADD CONSTRAINT mine CHECK (serial <> '{guilty}')"
    ));
    let events: Vec<Event> = (2..=20).map(|it| mould.issued(it, it)).collect();
    for (event, outcome) in events.iter().zip(host.notify_all(&events).unwrap()) {
        let outcome = outcome.unwrap();
        if event.context == 7 {
            assert!(
                matches!(outcome, Outcome::Retry { after_ms: Some(60_000), .. }),
                "{outcome:?}"
            );
            assert_retry(&outcome, "23514");
            assert!(!format!("{outcome:?}").contains(&guilty), "{outcome:?}");
        } else {
            assert_eq!(outcome, Outcome::Accept);
        }
    }
    // Mended without anybody's help to the event.
    bed.server.sql("ALTER TABLE inventory.certificate DROP CONSTRAINT mine");
    deliver(&mut host, &events);
    bed.server.sql("REVOKE ALL ON inventory.certificate FROM inventory_writer");
    bed.server.sql("ALTER TABLE inventory.certificate OWNER TO postgres");
    assert_down(&host.notify(&mould.issued(30, 30)).unwrap(), "42501");
    bed.server.sql("DROP SCHEMA inventory CASCADE");
    assert_down(&host.notify(&mould.issued(30, 30)).unwrap(), "42P01");
}

#[test]
fn what_a_trigger_or_a_narrower_column_does_not_take_is_there_when_it_is_mended() {
    let bed = Bed::new();
    let mould = Mould::new();
    let mut host = bed.host(bed.server.port(), &json!({}));
    let guilty = "somebody with a long name";
    let mut seq = 0;
    for (state, done, mended) in [
        (
            "22001",
            "ALTER TABLE inventory.request ALTER COLUMN requester TYPE varchar(20)".to_owned(),
            "ALTER TABLE inventory.request ALTER COLUMN requester TYPE text",
        ),
        ("22012", trigger("seq := 1 / (length(NEW.requester) - 25)"), UNDONE),
        ("22P02", trigger("seq := substr(NEW.requester, 1, 8)::bigint"), UNDONE),
    ] {
        bed.server.sql(&done);
        let mut events: Vec<Event> = (seq + 1..=seq + 5).map(|it| mould.issued(it, it)).collect();
        for event in &mut events {
            event.request.set("RequesterName", Some(Value::String("12345678".to_owned())));
        }
        events[2].request.set("RequesterName", Some(Value::String(guilty.to_owned())));
        seq += 5;
        for (event, outcome) in events.iter().zip(host.notify_all(&events).unwrap()) {
            if event.seq == events[2].seq {
                assert_retry(&outcome.unwrap(), state);
            } else {
                assert_eq!(outcome.unwrap(), Outcome::Accept, "{state}");
            }
        }
        bed.server.sql(mended);
        assert_eq!(host.notify(&events[2]).unwrap(), Outcome::Accept, "{state}");
    }
    assert_eq!(bed.states().len(), 15);
}

/// A trigger of somebody's that computes something of each request.
fn trigger(statement: &str) -> String {
    format!(
        "CREATE FUNCTION inventory.mine() RETURNS trigger LANGUAGE plpgsql AS \
         $$ DECLARE seq bigint; BEGIN {statement}; RETURN NEW; END $$; \
         CREATE TRIGGER mine BEFORE INSERT ON inventory.request \
         FOR EACH ROW EXECUTE FUNCTION inventory.mine()"
    )
}

const UNDONE: &str = "DROP FUNCTION inventory.mine() CASCADE";

#[test]
fn a_name_that_the_encoding_of_the_database_does_not_have_parks_its_event_alone() {
    let bed = Bed::empty(Flaw::Nothing);
    bed.server.sql(
        "CREATE DATABASE narrow OWNER inventory_writer \
         ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
    );
    let narrow = json!({"database": "narrow"});
    bed.upkeep(bed.server.port(), &narrow).install(true).unwrap();
    let mould = Mould::new();
    let mut host = bed.host(bed.server.port(), &narrow);
    let mut events: Vec<Event> = (1..=3).map(|it| mould.issued(it, it)).collect();
    events[1].request.set("RequesterName", Some(Value::String("漢".to_owned())));
    let mut outcomes = host.notify_all(&events).unwrap().into_iter().map(Result::unwrap);
    assert_eq!(outcomes.next(), Some(Outcome::Accept));
    let outcome = outcomes.next().unwrap();
    let reason = parked(&outcome);
    assert!(reason.contains("22P05"), "{reason}");
    assert_eq!(outcomes.next(), Some(Outcome::Accept));
}

#[test]
fn a_session_that_may_only_read_is_not_kept() {
    let bed = Bed::new();
    let mould = Mould::new();
    // As a name does that leads to a standby, and to the primary later: what is set for a role holds
    // for the sessions that begin then, and for no other.
    bed.server.sql("ALTER ROLE inventory_writer SET default_transaction_read_only = on");
    let mut host = bed.host(bed.server.port(), &json!({}));
    for _ in 0..2 {
        assert_down(&host.notify(&mould.issued(1, 1)).unwrap(), "25006");
    }
    bed.server.sql("ALTER ROLE inventory_writer RESET default_transaction_read_only");
    assert_eq!(host.notify(&mould.issued(1, 1)).unwrap(), Outcome::Accept);
    // One that wrote before and may not now costs no attempt.
    bed.server.sql(
        "CREATE FUNCTION inventory.step_down() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM set_config('default_transaction_read_only', 'on', false); \
         RETURN NULL; END $$; \
         CREATE TRIGGER step_down AFTER INSERT ON inventory.request \
         FOR EACH STATEMENT EXECUTE FUNCTION inventory.step_down()",
    );
    for number in 2..=4 {
        assert_eq!(host.notify(&mould.issued(number, number)).unwrap(), Outcome::Accept);
    }
    assert_eq!(bed.states().len(), 4);
}

#[test]
fn a_session_that_has_forgotten_its_statements_costs_no_attempt() {
    let bed = Bed::new();
    let mould = Mould::new();
    // As a pool does that resets sessions between two transactions.
    bed.server.sql(
        "CREATE FUNCTION inventory.forget() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN NULL; END $$; \
         CREATE TRIGGER forget AFTER INSERT ON inventory.request \
         FOR EACH STATEMENT EXECUTE FUNCTION inventory.forget()",
    );
    for read_back in [true, false] {
        let mut host = bed.host(bed.server.port(), &json!({ "read_back": read_back }));
        for number in 1..=4 {
            let event = mould.issued(number, number);
            assert_eq!(host.notify(&event).unwrap(), Outcome::Accept, "{read_back} {number}");
        }
    }
    assert_eq!(bed.states().len(), 4);
}

#[test]
fn a_server_without_room_is_tried_again() {
    let bed = Bed::new();
    let mould = Mould::new();
    bed.server.sql("ALTER ROLE inventory_writer CONNECTION LIMIT 0");
    let mut host = bed.host(bed.server.port(), &json!({}));
    assert_down(&host.notify(&mould.issued(1, 1)).unwrap(), "53300");
    bed.server.sql("ALTER ROLE inventory_writer CONNECTION LIMIT -1");
    assert_eq!(host.notify(&mould.issued(1, 1)).unwrap(), Outcome::Accept);
}

#[test]
fn what_a_full_disk_did_not_take_is_there_when_there_is_room() {
    let Some(server) = Postgres::start_with_small_disk(1024 * 1024) else {
        println!("not tested: this system lets nobody mount a disk");
        return;
    };
    let bed = Bed::installed(Bed::with(server));
    let mould = Mould::new();
    bed.server.sql("ALTER TABLE inventory.certificate SET TABLESPACE small");
    bed.server.sql(
        "CREATE TABLE inventory.filler TABLESPACE small \
         AS SELECT repeat(n::text, 100) FROM generate_series(1000, 1700) AS n",
    );
    let mut host = bed.host(bed.server.port(), &json!({"store_der": true}));
    let events: Vec<Event> = (1..=900).map(|it| mould.issued(it, it)).collect();
    let outcomes = host.notify_all(&events).unwrap();
    let taken = outcomes.iter().filter(|it| it.as_ref().unwrap() == &Outcome::Accept).count();
    assert!(0 < taken && taken < 900, "{taken}");
    for outcome in outcomes.into_iter().map(Result::unwrap).filter(|it| it != &Outcome::Accept) {
        assert_down(&outcome, "53100");
    }
    // A batch is there or it is not.
    assert_eq!(bed.states().len(), taken);
    assert_eq!(bed.server.sql("SELECT count(*) FROM inventory.request"), taken.to_string());
    bed.server.sql("DROP TABLE inventory.filler");
    deliver(&mut host, &events);
    assert_eq!(bed.states().len(), 900);
}

/// What somebody put into the database.
const LIARS: [(&str, &str); 4] = [
    ("drops the row", "BEFORE INSERT OR UPDATE ON inventory.certificate FOR EACH ROW|RETURN NULL"),
    (
        "changes the row",
        "BEFORE INSERT OR UPDATE ON inventory.certificate FOR EACH ROW|\
         NEW.state := 'revoked'; RETURN NEW",
    ),
    (
        "deletes the row",
        "AFTER INSERT OR UPDATE ON inventory.certificate FOR EACH STATEMENT|\
         DELETE FROM inventory.certificate; RETURN NULL",
    ),
    ("drops changes alone", "BEFORE UPDATE ON inventory.certificate FOR EACH ROW|RETURN OLD"),
];

#[test]
fn what_the_database_drops_or_changes_behind_a_commit_is_noticed_and_heals() {
    let bed = Bed::new();
    let mould = Mould::new();
    let mut host = bed.host(bed.server.port(), &json!({}));
    let mut seq = 0;
    for (liar, trigger) in LIARS {
        let (when, body) = trigger.split_once('|').unwrap();
        seq += 10;
        let issued = mould.issued(seq, seq);
        let revoked = mould.revoked(seq + 1, seq, 1);
        if liar == "drops changes alone" {
            deliver(&mut host, std::slice::from_ref(&issued));
        }
        bed.server.sql(&format!(
            "CREATE FUNCTION inventory.lie() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN {body}; END $$; \
             CREATE TRIGGER lie {when} EXECUTE FUNCTION inventory.lie()"
        ));
        let told = if liar.contains("changes alone") { &revoked } else { &issued };
        let outcome = host.notify(told).unwrap();
        assert_retry(&outcome, "sql-lost");
        assert_retry(&outcome, "trigger");
        bed.server.sql("DROP FUNCTION inventory.lie() CASCADE");
        deliver(&mut host, &[issued, revoked]);
        let wanted = format!("{}|revoked", mould.serial(seq));
        assert!(bed.states().contains(&wanted), "{liar}");
    }
    // A rule, by which the server says that it has done something.
    bed.server.sql("CREATE RULE nothing AS ON INSERT TO inventory.certificate DO INSTEAD NOTHING");
    assert_retry(&host.notify(&mould.issued(900, 900)).unwrap(), "sql-lost");
}
