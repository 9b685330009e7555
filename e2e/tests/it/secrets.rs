//! Where secrets are, and where they must not be.

use std::os::unix::fs::PermissionsExt as _;

use exeunt_e2e::ca::{Ca, text};

use super::issuing::request;
use super::leaks::SPY;

#[test]
fn a_secret_file_that_others_can_read_is_refused() {
    let tls = "[server]\ntls_certificate = \"ca.cert.pem\"\ntls_key = \"tls.key\"";
    for name in ["secrets/ca.key.pem", "secrets/passphrase", "secrets/admin.token", "tls.key"] {
        let ca = Ca::init(&[]);
        ca.configure("[server]", tls);
        let tls_key = ca.home().join("tls.key");
        std::fs::write(&tls_key, "a key").unwrap();
        std::fs::set_permissions(&tls_key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let path = ca.home().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = ca.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        let message = text(&refused.stderr);
        assert!(message.contains("error[key-file-readable-by-others]"), "{name}: {message}");
        assert!(message.contains("hint: chmod 600") && message.contains(name), "{name}: {message}");
    }
}

#[test]
fn the_passphrase_may_come_from_the_environment() {
    let ca = Ca::init(&[]);
    let passphrase = std::fs::read_to_string(ca.home().join("secrets/passphrase")).unwrap();
    ca.configure("passphrase_file = \"secrets/passphrase\"", "passphrase_env = \"CA_PASSPHRASE\"");
    let without = ca.run(&["config", "check"]);
    assert!(text(&without.stderr).contains("error[key-passphrase-missing]"));
    let check = |value: &str| {
        ca.command(&["config", "check"]).env("CA_PASSPHRASE", value).output().unwrap()
    };
    assert!(check(passphrase.trim_end()).status.success());
    let wrong = check("wrong");
    assert!(text(&wrong.stderr).contains("error[key-wrong-passphrase]"), "{}", text(&wrong.stderr));
}

#[test]
fn no_secret_password_token_private_key_is_in_an_event_a_held_row_a_log_or_an_error() {
    let ca = Ca::init(&[]);
    let spy = ca.scratch().join("spy.py");
    std::fs::write(&spy, SPY).unwrap();
    let seen_by = ca.scratch().join("seen");
    let command = format!("command = [\"python3\", '{}', '{}']", spy.display(), seen_by.display());
    ca.configure_more(&format!("[[exit]]\nname = \"spy\"\n{command}"));
    let passphrase = std::fs::read_to_string(ca.home().join("secrets/passphrase")).unwrap();
    ca.configure("passphrase_file = \"secrets/passphrase\"", "passphrase_env = \"CA_PASSPHRASE\"");
    let server =
        ca.serve_with(&[("CA_PASSPHRASE", passphrase.trim_end()), ("EXEUNT_LOG", "trace")]);
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    let url = format!("http://{}", server.address());
    let submit = |token: &std::path::Path| {
        ca.run(&["submit", &file, "--server", &url, "--token-file", token.to_str().unwrap()])
    };
    assert!(submit(&ca.home().join("secrets/admin.token")).status.success());

    // Errors: a token that is nearly right, and a template that does not exist.
    let wrong = ca.scratch().join("wrong.token");
    let nearly = format!("{}0", &ca.token()[..ca.token().len() - 1]);
    std::fs::write(&wrong, nearly.as_bytes()).unwrap();
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o600)).unwrap();
    let errors = [
        submit(&wrong).stderr,
        ca.run(&["submit", &file, "--template", "none"]).stderr,
        ca.command(&["config", "check"]).env("CA_PASSPHRASE", &nearly).output().unwrap().stderr,
    ];
    assert!(errors.iter().all(|it| !it.is_empty()));
    let said = ca.scratch().join("errors");
    std::fs::write(&said, errors.concat()).unwrap();

    exeunt_e2e::ca::wait_for("the spy's shelf", || {
        let status = ca.ok(&["exit", "status", "spy", "--json"]);
        std::fs::write(ca.scratch().join("status"), &status).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["held_retry"].as_u64()? != 0).then_some(())
    });
    server.stop();

    let key = std::fs::read_to_string(ca.home().join("secrets/ca.key.pem")).unwrap();
    let key_line = key.lines().nth(1).unwrap().to_owned();
    let secrets = [ca.token(), passphrase.trim_end().to_owned(), key_line];
    // A token is cut by nobody: its first half alone would be a secret's half.
    let half = ca.token()[..ca.token().len() / 2].to_owned();
    let mut places = vec![said, ca.scratch().join("status"), ca.log(), seen_by];
    files_below(&ca.home(), &mut places);
    places.retain(|it| !it.starts_with(ca.home().join("secrets")));
    let mut seen = false;
    for place in &places {
        let content = std::fs::read(place).unwrap();
        for secret in secrets.iter().chain([&half]) {
            let found = content.windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!found, "a secret stands in {}", place.display());
        }
        seen |= place.ends_with("seen") && text(&content).contains("\"Notify\"");
    }
    assert!(seen, "the spy heard nothing: {places:?}");
    assert!(5 < places.len(), "only {places:?} were looked at");
}

fn files_below(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files_below(&entry.path(), files);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
}

#[test]
fn a_home_is_its_owners_alone() {
    let ca = Ca::init(&[]);
    let server = ca.serve();
    for name in ["", "secrets", "exeunt.db", "exeunt.db-wal", "exeunt.db.lock", "exeunt.sock"] {
        let path = ca.home().join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    server.stop();
}

#[test]
fn init_closes_an_empty_folder_and_leaves_one_that_is_in_use_alone() {
    let ca = Ca::bare();
    let home = ca.home();
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(home.join("something"), "else").unwrap();
    let refused = ca.run(&["init", "--name", "Test Root"]);
    assert!(text(&refused.stderr).contains("error[home-open-to-others]"));
    assert!(text(&refused.stderr).contains("hint: chmod 700"));
    std::fs::remove_file(home.join("something")).unwrap();
    ca.ok(&["init", "--name", "Test Root"]);
    assert_eq!(std::fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn two_inits_at_once_make_one_ca_and_the_loser_takes_nothing_away() {
    let ca = Ca::bare();
    // Large keys take long enough that both are at work at the same time.
    let init = || ca.command(&["init", "--name", "Test Root", "--key-type", "rsa-3072"]);
    let children: Vec<_> =
        (0..4).map(|_| init().stderr(std::process::Stdio::piped()).spawn().unwrap()).collect();
    let outputs: Vec<_> = children.into_iter().map(|it| it.wait_with_output().unwrap()).collect();
    let (winners, losers): (Vec<_>, Vec<_>) = outputs.iter().partition(|it| it.status.success());
    assert_eq!(winners.len(), 1);
    for loser in losers {
        let message = text(&loser.stderr);
        let expected =
            message.contains("error[home-busy]") || message.contains("error[home-exists]");
        assert!(expected, "{message}");
    }
    ca.ok(&["config", "check"]);
    ca.serve().stop();
}
