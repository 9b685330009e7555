//! What the tests need beside Rust and a C compiler: foreign verifiers, a linter, cargo-deny.
//!
//! Everything that can be kept to this folder is: Python packages and cargo-deny go to
//! `target/test-tools`. Only Debian packages are system-wide, and root is asked for only when one
//! is missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{cargo, run, works};

/// Version of cargo-deny that is installed where none is present.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Something that comes from a Debian package, found by what it does and not by its name, so that
/// another distribution serves as well.
struct Need {
    /// A command that succeeds where the need is met.
    probe: &'static [&'static str],
    /// The package to install where it is not.
    package: &'static str,
    /// Who needs it.
    reason: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        probe: &["openssl", "version"],
        package: "openssl",
        reason: "makes requests and verifies certificates",
    },
    Need {
        probe: &["certtool", "--version"],
        package: "gnutls-bin",
        reason: "verifies certificates with GnuTLS",
    },
    Need {
        // It has no option that only tells of itself.
        probe: &["sh", "-c", "command -v vfychain"],
        package: "libnss3-tools",
        reason: "verifies certificates with NSS",
    },
    Need {
        probe: &["softhsm2-util", "--version"],
        package: "softhsm2",
        reason: "is the token of the tests of PKCS #11",
    },
    Need {
        probe: &["python3", "-c", "import venv, ensurepip"],
        package: "python3-venv",
        reason: "runs pkilint and schemathesis",
    },
    Need { probe: &["c++", "--version"], package: "g++", reason: "builds libFuzzer" },
    Need {
        probe: &["pkill", "--version"],
        package: "procps",
        reason: "kills modules in the crash test",
    },
    Need { probe: &["curl", "--version"], package: "curl", reason: "calls as another user" },
    Need {
        probe: &["unshare", "--version"],
        package: "util-linux",
        reason: "gives tests disks of their own to fill",
    },
    Need {
        // It is not on PATH: Debian keeps several versions beside each other.
        probe: &["sh", "-c", "ls /usr/lib/postgresql/*/bin/initdb"],
        package: "postgresql-15",
        reason: "is the inventory of the tests of the SQL module",
    },
    Need {
        probe: &["sh", "-c", "PATH=$PATH:/usr/sbin command -v nats-server"],
        package: "nats-server",
        reason: "is the bus of the tests of the bus module",
    },
    Need {
        // Debian's scripts on PATH change the user; the tests run the ones behind them.
        probe: &["sh", "-c", "test -x /usr/lib/rabbitmq/bin/rabbitmq-server"],
        package: "rabbitmq-server",
        reason: "is the other bus of these tests",
    },
    Need {
        probe: &["sh", "-c", "test -x /usr/sbin/postfix"],
        package: "postfix",
        reason: "takes what the mail module sends",
    },
    Need {
        probe: &["sh", "-c", "PATH=$PATH:/usr/sbin command -v rsyslogd"],
        package: "rsyslog",
        reason: "reads what the syslog module writes",
    },
    Need {
        probe: &[
            "sh",
            "-c",
            "ls /usr/lib/*/rsyslog/lmnsd_gtls.so /usr/lib*/rsyslog/lmnsd_gtls.so | grep .",
        ],
        package: "rsyslog-gnutls",
        reason: "lets rsyslog speak TLS",
    },
    Need {
        probe: &["sh", "-c", "test -x /usr/sbin/slapd"],
        package: "slapd",
        reason: "is the LDAP directory that modules publish in",
    },
    Need {
        probe: &["sh", "-c", "command -v ldapmodify"],
        package: "ldap-utils",
        reason: "sees with other eyes what is in a directory",
    },
    Need {
        probe: &["sh", "-c", "test -x /usr/sbin/samba"],
        package: "samba-ad-dc",
        reason: "is the domain controller that modules publish in",
    },
    Need {
        probe: &["sh", "-c", "test -d /usr/share/samba/setup/ad-schema"],
        package: "samba-ad-provision",
        reason: "has the schema of a domain",
    },
    Need {
        probe: &["sh", "-c", "/usr/bin/python3 -c 'import samba.provision'"],
        package: "python3-samba",
        reason: "makes the files of a domain",
    },
    Need {
        probe: &["sh", "-c", "test -e /usr/lib/*/samba/ldb/samldb.so"],
        package: "samba-dsdb-modules",
        reason: "is what a domain's files are read with",
    },
    Need {
        probe: &["sh", "-c", "test -e /usr/lib/*/samba/vfs/dfs_samba4.so"],
        package: "samba-vfs-modules",
        reason: "is what a domain controller does not start without",
    },
    Need {
        probe: &["sh", "-c", "command -v ldbsearch"],
        package: "ldb-tools",
        reason: "sees with other eyes what is in a domain",
    },
    Need {
        probe: &["sh", "-c", "command -v samba-tool"],
        package: "samba-common-bin",
        reason: "adds accounts to a domain and shows them",
    },
    Need {
        probe: &["sh", "-c", "test -x /usr/sbin/ip || test -x /sbin/ip"],
        package: "iproute2",
        reason: "gives a domain controller a network of its own",
    },
];

/// Folder of what is installed for the tests only.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.join("target/test-tools")
}

/// Installs what is missing; quick when nothing is.
pub(crate) fn install(root: &Path) -> Result<(), String> {
    system_packages()?;
    python_packages(root)?;
    cargo_deny(root)
}

/// `cargo deny`, from PATH or from our folder.
pub(crate) fn deny_command(root: &Path) -> Command {
    if works(cargo(root).args(["deny", "--version"])) {
        let mut command = cargo(root);
        command.arg("deny");
        command
    } else {
        let mut command = Command::new(folder(root).join("bin/cargo-deny"));
        command.current_dir(root);
        command
    }
}

fn system_packages() -> Result<(), String> {
    let missing: Vec<&Need> =
        NEEDS.iter().filter(|it| !works(Command::new(it.probe[0]).args(&it.probe[1..]))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for Need { package, reason, .. } in &missing {
        println!("missing: {package} ({reason})");
    }
    let packages: Vec<&str> = missing.iter().map(|it| it.package).collect();
    // Somebody else may be installing; it waits for them, in seconds.
    let words = [
        "env",
        // Some packages ask how this machine is to be, which no test wants to know.
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=600",
        "install",
        "--yes",
        "--no-install-recommends",
    ];
    let typed = format!("{} {}", words.join(" "), packages.join(" "));
    if !works(Command::new("apt-get").arg("--version")) {
        return Err(format!("this is no Debian; install what {} provides", packages.join(", ")));
    }
    if !is_root() {
        return Err(format!("Debian packages are missing; run: sudo {typed}"));
    }
    println!("running: {typed}");
    let fetch = || run(Command::new(words[0]).args(&words[1..]).args(&packages));
    // The list of packages may be old or empty (a fresh container); fetch it only then.
    fetch().or_else(|_| run(Command::new("apt-get").arg("update")).and_then(|()| fetch()))
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|it| it.status.success() && it.stdout.trim_ascii() == b"0")
}

/// A virtual environment with the pinned packages, made again when the pins change.
fn python_packages(root: &Path) -> Result<(), String> {
    let pins = root.join("xtask/test-requirements.txt");
    let venv = folder(root).join("venv");
    let stamp = venv.join("installed-requirements.txt");
    let wanted = std::fs::read(&pins).map_err(|err| format!("{}: {err}", pins.display()))?;
    if std::fs::read(&stamp).is_ok_and(|it| it == wanted) {
        return Ok(());
    }
    println!("installing Python packages into {}", venv.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(venv.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&pins))?;
    std::fs::write(&stamp, wanted).map_err(|err| format!("{}: {err}", stamp.display()))
}

fn cargo_deny(root: &Path) -> Result<(), String> {
    if works(deny_command(root).arg("--version")) {
        return Ok(());
    }
    println!("installing cargo-deny {CARGO_DENY_VERSION} into {}", folder(root).display());
    run(cargo(root)
        .args(["install", "cargo-deny", "--locked", "--version", CARGO_DENY_VERSION, "--root"])
        .arg(folder(root)))
}
