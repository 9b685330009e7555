//! A policy module in a shared library, through the binary: the one in C++ of `examples/`, compiled by
//! the command of its page.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use exeunt_e2e::ca::{Ca, text};
use exeunt_e2e::program::built;
use exeunt_testkit::tools;

use super::issuing::request;

/// A CA whose policy is the example, with more keys of its table.
fn place(more: &str) -> Ca {
    built("exeunt-runner");
    let ca = Ca::init(&[]);
    let library = compile(&ca).display().to_string();
    let table = format!(
        "[policy]\nlibrary = {library:?}\nclass = \"Fence.Policy\"\n{more}\n\
         settings = {{ domain = \"example.test\", days = 30 }}\n"
    );
    ca.configure("[policy]\n", &table);
    ca
}

fn compile(ca: &Ca) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for folder in ["contract", "examples"] {
        symlink(repository.join(folder), ca.scratch().join(folder)).unwrap();
    }
    let page = std::fs::read_to_string(repository.join("examples/cpp-policy/README.md")).unwrap();
    let command = page.lines().find_map(|it| it.strip_prefix("$ ")).unwrap();
    let output =
        Command::new("sh").args(["-e", "-c", command]).current_dir(ca.scratch()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    ca.scratch().join("fence.so")
}

/// Days from the first to the last second of a certificate, and its alternative names, as Python's
/// `cryptography` reads them.
fn read(pem: &str) -> (String, String) {
    let script = "import sys; from cryptography import x509\n\
        it = x509.load_pem_x509_certificate(sys.stdin.buffer.read())\n\
        print((it.not_valid_after_utc - it.not_valid_before_utc).total_seconds() / 86400)\n\
        names = it.extensions.get_extension_for_class(x509.SubjectAlternativeName).value\n\
        print(*names.get_values_for_type(x509.DNSName))";
    let out = text(&tools::run_ok(tools::python(), ["-c", script], pem.as_bytes()));
    let (days, names) = out.trim_end().split_once('\n').unwrap();
    (days.to_owned(), names.to_owned())
}

#[test]
fn a_policy_in_cpp_behind_the_templates_makes_them_stricter() {
    let ca = place("chain = true");
    let server = ca.serve();
    let ours = request(&ca, "ec:P-256", "/CN=host.example.test", &["host.example.test"]);
    let (days, names) = read(&ca.ok(&["submit", &ours]));
    assert_eq!((days.as_str(), names.as_str()), ("30.0", "host.example.test"));

    let theirs = ["host.example.test", "www.example.org"];
    let theirs = request(&ca, "ec:P-256", "/CN=host.example.test", &theirs);
    let refused = ca.run(&["submit", &theirs]);
    assert_eq!(refused.status.code(), Some(1));
    let words = text(&refused.stderr);
    assert!(words.contains("www.example.org is outside of example.test"), "{words}");
    server.stop();
}

#[test]
fn a_policy_in_cpp_alone_puts_in_what_it_has_looked_at() {
    let ca = place("chain = false");
    let server = ca.serve();
    let names = ["host.example.test", "example.test"];
    let ours = request(&ca, "ec:P-256", "/O=Anybody/CN=host.example.test", &names);
    let (days, names) = read(&ca.ok(&["submit", &ours]));
    assert_eq!((days.as_str(), names.as_str()), ("30.0", "host.example.test example.test"));

    let nameless = request(&ca, "ec:P-256", "/CN=host.example.test", &[]);
    let refused = ca.run(&["submit", &nameless]);
    assert_eq!(refused.status.code(), Some(1));
    let words = text(&refused.stderr);
    assert!(words.contains("no host is named"), "{words}");
    server.stop();
}
