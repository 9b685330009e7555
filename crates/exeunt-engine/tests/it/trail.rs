//! The audit trail: who signs it, what a start makes of one that was changed, and that nothing is signed
//! that cannot be written into it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;

use exeunt_engine::{Checkpoint, CheckpointFile, Outcome, RevokeOrder, TrailError, Which};
use exeunt_store::{AuditEntry, AuditRow, ChainHead, ROWS_MAX, check_chain};
use exeunt_testkit::tools;
use exeunt_types::{ACTION_ACCEPT, AuditCategories, KeyAlgorithm, RevocationReason, UnixMillis};
use exeunt_x509::encode_pem;

use crate::support::{Ca, DAY_S, Habit, House, TestKey, officer, plain_request, template};

fn checkpoints(house: &House) -> CheckpointFile {
    CheckpointFile::at(&house.folder.path().join("audit/checkpoints"))
}

fn rows(ca: &Ca) -> Vec<AuditRow> {
    ca.engine.store().audit_after(0, ROWS_MAX).unwrap()
}

/// What `openssl` reads in a checkpoint that the CA signed; what it says where it does not take it.
fn openssl_reads(house: &House, der: &[u8], ca_pem: &str) -> Result<String, String> {
    let ca_path = house.folder.path().join("ca.pem");
    std::fs::write(&ca_path, ca_pem).unwrap();
    let ca = ca_path.to_str().unwrap();
    let args = [
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "PEM",
        "-purpose",
        "any",
        "-CAfile",
        ca,
        "-certfile",
        ca,
    ];
    let output = tools::run(tools::openssl(), args, encode_pem("CMS", der).as_bytes());
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    if output.status.success() {
        Ok(text)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_checkpoint_says_what_the_chain_ends_with_and_openssl_verifies_it() {
    for key in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::Rsa { bits: 2048 },
        KeyAlgorithm::Ed25519,
    ] {
        let house = House::with_key(TestKey::new(key));
        let ca = house.open();
        let file = checkpoints(&house);
        assert_eq!(ca.engine.checkpoint_audit(&file).unwrap(), None, "there is nothing to sign");
        ca.issue(plain_request());
        let made = ca.engine.checkpoint_audit(&file).unwrap().unwrap();
        assert_eq!(made.head, ca.engine.store().audit_head().unwrap());
        assert_eq!(ca.engine.checkpoint_audit(&file).unwrap(), None, "it is signed already");
        let der = file.last().unwrap().unwrap();
        let stored = ca.engine.store().audit_checkpoints(0, 9).unwrap();
        assert_eq!((stored.len(), &stored[0].signed), (1, &der));
        // openssl 3 does not verify Ed25519 in CMS.
        if key != KeyAlgorithm::Ed25519 {
            assert_eq!(openssl_reads(&house, &der, &ca.root_pem()), Ok(made.text()), "{key:?}");
        }
        let issuers = [ca.engine.ca().current().issuer()];
        let store = ca.engine.store().store_id();
        assert_eq!(Checkpoint::verify(&der, store, &issuers).unwrap(), made);
        // Of another store, of another CA, and with a bit of it changed.
        let refused = |der: &[u8], store: &str, ca: &Ca| {
            let issuers = [ca.engine.ca().current().issuer()];
            Checkpoint::verify(der, store, &issuers).unwrap_err().code()
        };
        let other = House::new().open();
        assert_eq!(refused(&der, "0000", &ca), "audit-checkpoint-of-another-store");
        assert_eq!(refused(&der, store, &other), "audit-checkpoint-signature");
        let mut forged = der.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(refused(&forged, store, &ca), "audit-checkpoint-signature");
        let at = der.windows(4).position(|it| it == b"row:").unwrap();
        let mut forged = der;
        forged[at + 5] ^= 1;
        assert_eq!(refused(&forged, store, &ca), "audit-checkpoint-malformed");
        assert!(openssl_reads(&house, &forged, &ca.root_pem()).is_err());
    }
}

#[test]
fn a_key_that_does_not_sign_leaves_no_checkpoint_and_the_next_one_is_whole() {
    let house = House::new();
    let ca = house.open();
    let file = checkpoints(&house);
    ca.issue(plain_request());
    ca.key.shall(Habit::Fail);
    let err = ca.engine.checkpoint_audit(&file).unwrap_err();
    assert_eq!(err.code(), "audit-checkpoint-sign");
    assert_eq!(file.last().unwrap(), None);
    ca.key.shall(Habit::Sign);
    assert_eq!(ca.engine.checkpoint_audit(&file).unwrap().unwrap().head.number, 1);
}

/// Three rows, a checkpoint, and two rows after it.
fn signed_house() -> House {
    let house = House::new();
    let ca = house.open();
    for _ in 0..3 {
        ca.issue(plain_request());
    }
    ca.engine.checkpoint_audit(&checkpoints(&house)).unwrap();
    for _ in 0..2 {
        ca.issue(plain_request());
    }
    house
}

fn meddle(house: &House, sql: &str) {
    let path = house.folder.path().join("store.db");
    let script =
        format!("import sqlite3, sys\nsqlite3.connect(sys.argv[1]).executescript({sql:?})");
    let args = ["-c", &script, path.to_str().unwrap()];
    tools::run_ok(tools::python(), args, b"");
}

#[test]
fn a_start_refuses_a_trail_that_is_not_the_one_that_was_signed() {
    for (sql, code) in [
        ("", None),
        ("DELETE FROM audit WHERE id > 2", Some("audit-cut-off")),
        ("DELETE FROM audit WHERE id > 3", None),
        ("UPDATE audit SET actor = 'x' WHERE id = 4", Some("audit-row-changed")),
        ("DELETE FROM audit WHERE id = 4", Some("audit-row-missing")),
        ("UPDATE audit SET hash = zeroblob(32) WHERE id = 3", Some("audit-rewritten")),
        // What comes before the last checkpoint is for `exeunt audit verify`.
        ("UPDATE audit SET actor = 'x' WHERE id = 1", None),
    ] {
        let house = signed_house();
        if !sql.is_empty() {
            meddle(&house, sql);
        }
        let ca = house.open();
        let checked = ca.engine.check_trail(&checkpoints(&house));
        assert_eq!(checked.as_ref().err().map(TrailError::code), code, "{sql}: {checked:?}");
    }
}

#[test]
fn a_start_refuses_when_the_file_of_checkpoints_was_changed_and_goes_on_when_that_is_accepted() {
    let house = signed_house();
    let file = checkpoints(&house);
    let ca = house.open();
    ca.engine.check_trail(&file).unwrap();
    let whole = std::fs::read_to_string(file.path()).unwrap();
    ca.engine.checkpoint_audit(&file).unwrap();
    let refused = |ca: &Ca| ca.engine.check_trail(&file).unwrap_err().code();
    // Cut off, gone, of somebody else.
    std::fs::write(file.path(), whole).unwrap();
    assert_eq!(refused(&ca), "audit-checkpoints-cut");
    std::fs::remove_file(file.path()).unwrap();
    assert_eq!(refused(&ca), "audit-checkpoints-cut");
    let other = House::new();
    let stranger = other.open();
    stranger.issue(plain_request());
    stranger.engine.checkpoint_audit(&checkpoints(&other)).unwrap();
    std::fs::copy(checkpoints(&other).path(), file.path()).unwrap();
    assert_eq!(refused(&ca), "audit-checkpoint-signature");
    // What `exeunt audit accept` does.
    file.set_aside().unwrap();
    let accept = AuditEntry::new(UnixMillis(1), "olga", ACTION_ACCEPT, "audit");
    ca.engine.store().audit(accept).unwrap();
    ca.engine.check_trail(&file).unwrap();
    ca.engine.checkpoint_audit(&file).unwrap().unwrap();
    ca.engine.check_trail(&file).unwrap();
    // An acceptance counts until the next checkpoint.
    file.set_aside().unwrap();
    assert_eq!(refused(&ca), "audit-checkpoints-cut");
}

#[test]
fn a_trail_that_a_server_wrote_has_a_checkpoint() {
    let house = House::new();
    let ca = house.open();
    let file = checkpoints(&house);
    let check = |ca: &Ca| ca.engine.check_trail(&file).map_err(|it| it.code());
    let audit = |action: &str| {
        ca.engine.store().audit(AuditEntry::new(UnixMillis(1), "x", action, "audit")).unwrap()
    };
    // As commands without a server write it.
    audit("backup-start");
    assert_eq!(check(&ca), Ok(()));
    // The server ended before its first checkpoint, and what it left was restored.
    ca.engine.store().audit_start(UnixMillis(2), "x", AuditCategories::ALL, "").unwrap();
    assert_eq!(check(&ca), Ok(()));
    audit("restore-start");
    audit("restore-end");
    assert_eq!(check(&ca), Ok(()));
    // Neither does a command without a server sign, nor a start before it has looked.
    for action in ["backup-start", "backup-end", "ca-certificate"] {
        audit(action);
        assert_eq!(check(&ca), Ok(()), "{action}");
    }
    ca.issue(plain_request());
    assert_eq!(check(&ca), Err("audit-checkpoints-gone"));
    audit(ACTION_ACCEPT);
    assert_eq!(check(&ca), Ok(()));
}

#[test]
fn a_renewed_ca_verifies_what_its_older_key_signed() {
    let mut house = signed_house();
    let key = TestKey::new(KeyAlgorithm::EcdsaP384);
    let now = house.clock.seconds();
    let certificate = crate::support::root(&key, now - 10, now + 7300 * DAY_S);
    house.renewals = vec![(certificate, Some(key))];
    let ca = house.open();
    let file = checkpoints(&house);
    ca.engine.check_trail(&file).unwrap();
    ca.issue(plain_request());
    ca.engine.checkpoint_audit(&file).unwrap().unwrap();
    ca.engine.check_trail(&file).unwrap();
}

#[test]
fn a_ca_that_cannot_write_its_trail_signs_nothing_and_says_so() {
    let house = House::new();
    let ca = house.open();
    ca.issue(plain_request());
    assert_eq!(ca.engine.trouble(), None);
    drop(ca);
    meddle(
        &house,
        "CREATE TRIGGER no_trail BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let ca = house.open();
    let before = ca.counts();
    for _ in 0..2 {
        // The key works once, between the intent and the record; nobody gets to see what it made.
        let err = ca.submit(plain_request()).unwrap_err();
        assert_eq!(err.code(), "store-sql");
        assert_eq!(ca.engine.trouble(), Some("store-sql"));
    }
    let counts = ca.counts();
    assert_eq!(counts.1, before.1, "no certificate");
    let which = Which::Request(exeunt_types::RequestId(1));
    let order = RevokeOrder::Revoke { reason: RevocationReason::KeyCompromise, effective: None };
    assert_eq!(ca.engine.revoke(which, order, &officer()).unwrap_err().code(), "store-sql");
    drop(ca);
    meddle(&house, "DROP TRIGGER no_trail");
    let ca = house.open();
    ca.engine.recover().unwrap();
    ca.issue(plain_request());
    assert_eq!(ca.engine.trouble(), None);
    let start = ChainHead::start(ca.engine.store().store_id());
    let rows = rows(&ca).into_iter().map(Ok::<_, Infallible>);
    let Ok(checked) = check_chain(start, rows, &BTreeMap::new(), |_| Ok(()));
    assert_eq!(checked.fault, None);
}

#[test]
fn a_read_only_store_is_trouble_and_nothing_is_asked_of_the_key() {
    let house = House::new();
    drop(house.open());
    let ca = house.open();
    let asked = ca.key.asked.load(Ordering::SeqCst);
    std::fs::remove_file(house.folder.path().join("store.db")).unwrap();
    assert_eq!(ca.submit(plain_request()).unwrap_err().code(), "store-missing");
    assert_eq!(ca.engine.trouble(), Some("store-missing"));
    assert_eq!(ca.key.asked.load(Ordering::SeqCst), asked);
}

#[test]
fn officers_deeds_say_what_was_before_and_after() {
    let mut house = House::new();
    let mut held = template("held");
    held.issuance = exeunt_policy::Issuance::Hold;
    house.templates.push(held);
    house.default_template = Some("held".to_owned());
    let ca = house.open();
    let submitted = ca.submit(plain_request()).unwrap();
    assert!(matches!(submitted.outcome, Outcome::Pending { .. }));
    let (id, by) = (submitted.request, officer());
    ca.engine.set_attributes(id, "note:one", &by).unwrap();
    ca.engine.set_attributes(id, "note:two", &by).unwrap();
    ca.engine.approve(id, &by).unwrap();
    let reason = RevocationReason::CertificateHold;
    let order = RevokeOrder::Revoke { reason, effective: None };
    ca.engine.revoke(Which::Request(id), order, &by).unwrap();
    ca.engine.revoke(Which::Request(id), RevokeOrder::Release, &by).unwrap();
    let told: Vec<_> = rows(&ca)
        .into_iter()
        .map(|it| {
            (it.event, it.entry.before.unwrap_or_default(), it.entry.after.unwrap_or_default())
        })
        .collect();
    let row = |event, before: &str, after: &str| (event, before.to_owned(), after.to_owned());
    assert_eq!(
        told,
        [
            row(4889, "", "pending"),
            row(4874, "", "note:one"),
            row(4874, "note:one", "note:two"),
            row(4869, "pending", ""),
            row(4887, "pending", "issued"),
            row(4870, "issued", "revoked, certificate-hold"),
            row(4870, "revoked, certificate-hold", "issued"),
        ]
    );
    let all = AuditCategories::ALL;
    assert!(
        rows(&ca)
            .iter()
            .all(|it| all.writes(exeunt_types::AuditKind::of(&it.entry.action).category))
    );
}
