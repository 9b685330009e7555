//! A store that is lost or damaged: a clear error, and nothing is issued.

use exeunt_e2e::ca::{Ca, text};

use super::issuing::request;

/// Starting on a store that something was done to.
#[track_caller]
fn check_start(damage: impl Fn(&std::path::Path), code: &str) {
    let ca = Ca::init(&[]);
    damage(&ca.home().join("exeunt.db"));
    let refused = ca.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains(&format!("error[{code}]")), "{message}");
    assert!(message.contains("hint:"), "{message}");
}

#[test]
fn a_server_does_not_start_on_a_store_that_is_lost_or_not_its_own() {
    check_start(|path| std::fs::remove_file(path).unwrap(), "store-missing");
    check_start(
        |path| std::fs::write(path, b"not a database at all\n".repeat(1000)).unwrap(),
        "store-not-ours",
    );
    check_start(
        |path| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(5000).unwrap();
        },
        "store-damaged",
    );
}

#[test]
fn a_store_that_is_deleted_under_the_server_issues_nothing_more() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    ca.ok(&["submit", &file]);
    std::fs::remove_file(ca.home().join("exeunt.db")).unwrap();
    let refused = ca.run(&["submit", &file]);
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains("error[store-missing]"), "{message}");
    assert!(!text(&refused.stdout).contains("BEGIN CERTIFICATE"));
    server.kill();
}
