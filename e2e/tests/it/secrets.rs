//! Where secrets are, and where they must not be.

use std::os::unix::fs::PermissionsExt as _;

use exeunt_e2e::ca::{Ca, text};

use super::issuing::request;

#[test]
fn a_secret_file_that_others_can_read_is_refused() {
    for name in ["secrets/ca.key.pem", "secrets/passphrase", "secrets/admin.token"] {
        let ca = Ca::init(&[]);
        let path = ca.home().join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = ca.run(&["serve", "--listen", "127.0.0.1:0"]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        let message = text(&refused.stderr);
        assert!(message.contains("error[key-file-readable-by-others]"), "{name}: {message}");
        assert!(message.contains("hint: chmod 600"), "{name}: {message}");
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
