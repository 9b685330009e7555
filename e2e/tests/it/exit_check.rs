//! `exeunt exit check` of the modules inside the program, and of those that are configured.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use exeunt_e2e::ca::{Ca, text};
use exeunt_testbed::authority::Authority;

/// Settings as an operator would begin with, by module; `PORT` is one where nobody listens.
const PLAIN: [(&str, &[&str]); 9] = [
    ("file", &["directory=published", "lists=true", "delta_lists=true", "ca_certificates=true"]),
    ("command", &["program=[\"true\"]", "timeout_s=5"]),
    (
        "directory",
        &[
            "servers=[\"ldaps://127.0.0.1:PORT\"]",
            "bind_dn=cn=ca,dc=example,dc=test",
            "password_file=password",
            "users={ remove_expired = true }",
            "objects={ container = \"ou=pki,dc=example,dc=test\" }",
        ],
    ),
    (
        "webhook",
        &[
            "url=https://127.0.0.1:PORT/hook",
            "allow_networks=[\"127.0.0.0/8\"]",
            "secret_file=password",
        ],
    ),
    (
        "mail",
        &[
            "server=127.0.0.1",
            "port=PORT",
            "user=ca",
            "password_file=password",
            "from=ca@example.test",
            "to=[\"pki@example.test\"]",
            "events=[\"issued\", \"crl-publication-failed\"]",
        ],
    ),
    ("bus", &["servers=[\"nats://127.0.0.1:PORT\"]", "user=ca", "password_file=password"]),
    (
        "sql",
        &[
            "host=127.0.0.1",
            "port=PORT",
            "database=pki",
            "user=ca",
            "password_file=password",
            "client_certificate_file=client.pem",
            "client_key_file=client.key",
        ],
    ),
    (
        "object",
        &[
            "endpoint=http://127.0.0.1:PORT",
            "allow_http=true",
            "bucket=pki",
            "access_key_file=password",
            "secret_key_file=password",
        ],
    ),
    ("syslog", &["transport=tcp", "server=127.0.0.1:PORT", "facilities={ denied = \"auth\" }"]),
];

/// A port of this machine where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn the_modules_inside_the_program_keep_the_contract_also_where_their_target_is_down() {
    let ca = Ca::bare();
    let port = closed_port().to_string();
    // Also a key of signatures: 30 octets in base64.
    ca.secret("password", "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0");
    let client = Authority::new(&ca.scratch().join("tls")).client("writer");
    fs::copy(&client.certificate, ca.scratch().join("client.pem")).unwrap();
    ca.secret("client.key", &fs::read_to_string(&client.key).unwrap());
    for (module, settings) in PLAIN {
        let mut command = ca.command(&["exit", "check", "--use", module]);
        command.current_dir(ca.scratch());
        for setting in settings {
            command.args(["--set", &setting.replace("PORT", &port)]);
        }
        let output = command.output().unwrap();
        let said = text(&output.stdout);
        assert!(output.status.success(), "{module}: {said}{}", text(&output.stderr));
        assert!(said.contains("The module keeps the contract"), "{module}: {said}");
    }
}

#[test]
fn a_configured_module_is_checked_only_after_a_yes_and_its_secrets_come_along() {
    let ca = Ca::init(&[]);
    let port = closed_port();
    ca.configure_more(&format!(
        "[[exit]]\nname = \"audience\"\nmodule = \"bus\"\n[exit.settings]\n\
         servers = [\"nats://127.0.0.1:{port}\"]\nuser = \"ca\"\npassword_file = \"password\"\n"
    ));
    let folder = ca.home().join("modules/audience");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("password"), "secret").unwrap();
    fs::set_permissions(folder.join("password"), fs::Permissions::from_mode(0o600)).unwrap();

    // Nobody can be asked: nothing is told to anybody, and the target and another way are named.
    let output = ca.run(&["exit", "check", "audience"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("error[usage-not-confirmed]"), "{told}");
    assert!(told.contains(&format!("servers nats://127.0.0.1:{port}")), "{told}");
    assert!(told.contains("exeunt exit test audience --home "), "{told}");

    let said = ca.ok(&["exit", "check", "audience", "--yes"]);
    assert!(said.contains("The module keeps the contract"), "{said}");
    // It came as far as the server, which is away: the file was found.
    assert!(
        said.contains(&format!("127.0.0.1:{port}")) && !said.contains("No such file"),
        "{said}"
    );
}
