//! Where secrets are, and where they must not be.

use std::os::unix::fs::PermissionsExt as _;

use exeunt_e2e::ca::{Ca, text};

use super::issuing::request;

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
fn no_secret_is_in_the_store_the_log_a_module_or_what_is_published() {
    let ca = Ca::init(&[]);
    let spy = ca.scratch().join("spy.sh");
    let seen = ca.scratch().join("seen");
    std::fs::write(
        &spy,
        format!(
            "env > {0}\ntr '\\0' '\\n' < /proc/self/environ >> {0}\ncat >> {0}\n",
            seen.display()
        ),
    )
    .unwrap();
    ca.configure_more(&format!("[[exit]]\nname = \"spy\"\ncommand = [\"sh\", {spy:?}]"));
    let passphrase = std::fs::read_to_string(ca.home().join("secrets/passphrase")).unwrap();
    ca.configure("passphrase_file = \"secrets/passphrase\"", "passphrase_env = \"CA_PASSPHRASE\"");
    let server =
        ca.serve_with(&[("CA_PASSPHRASE", passphrase.trim_end()), ("EXEUNT_LOG", "trace")]);
    let file = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    let token = ca.home().join("secrets/admin.token");
    let url = format!("http://{}", server.address());
    ca.ok(&["submit", &file, "--server", &url, "--token-file", token.to_str().unwrap()]);
    exeunt_e2e::ca::wait_for("the spy to be greeted", || {
        std::fs::read_to_string(&seen).ok().filter(|it| it.contains("Initialize"))
    });
    server.stop();

    let key = std::fs::read_to_string(ca.home().join("secrets/ca.key.pem")).unwrap();
    let key_line = key.lines().nth(1).unwrap().to_owned();
    let secrets = [ca.token(), passphrase.trim_end().to_owned(), key_line];
    let mut looked_at = 0;
    let mut places = vec![ca.log(), seen];
    for folder in [ca.home(), ca.published()] {
        places.extend(std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()));
    }
    for place in places.into_iter().filter(|it| it.is_file()) {
        let content = std::fs::read(&place).unwrap();
        for secret in &secrets {
            let found = content.windows(secret.len()).any(|it| it == secret.as_bytes());
            assert!(!found, "a secret stands in {}", place.display());
        }
        looked_at += 1;
    }
    assert!(5 < looked_at, "only {looked_at} files were looked at");
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
