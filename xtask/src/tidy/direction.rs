//! Who may know whom: the table of `ARCHITECTURE.md` as data, held against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tree::Source;
use crate::process::{cargo, read};

/// Stands for every crate of ours.
const EVERYTHING: &[&str] = &["*"];

/// What a shipped module may depend on: the contract, as strangers do.
const OF_A_MODULE: &[&str] = &["exeunt-module", "exeunt-module-kit", "exeunt-publication"];

/// A crate and those of ours that it may depend on.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("exeunt-module", &[]),
    ("exeunt-module-kit", &["exeunt-module"]),
    ("exeunt-com", &["exeunt-module"]),
    ("exeunt-conformance", &["exeunt-module", "exeunt-module-kit"]),
    ("exeunt-publication", &["exeunt-module", "exeunt-module-kit"]),
    ("exeunt-types", &[]),
    ("exeunt-x509", &["exeunt-types"]),
    ("exeunt-keys", &["exeunt-types"]),
    ("exeunt-store", &["exeunt-types"]),
    ("exeunt-engine", &["exeunt-keys", "exeunt-store", "exeunt-types", "exeunt-x509"]),
    (
        "exeunt-policy",
        &["exeunt-engine", "exeunt-host", "exeunt-module", "exeunt-types", "exeunt-x509"],
    ),
    ("exeunt-host", &["exeunt-module"]),
    ("exeunt-runner", &["exeunt-com", "exeunt-module", "exeunt-module-kit"]),
    (
        "exeunt-dispatch",
        &["exeunt-host", "exeunt-module", "exeunt-store", "exeunt-types", "exeunt-x509"],
    ),
    ("exeunt-api", &[]),
    ("exeunt-http", &["exeunt-api", "exeunt-engine", "exeunt-types"]),
    ("exeunt", EVERYTHING),
    ("exeunt-exit-bus", OF_A_MODULE),
    ("exeunt-exit-command", OF_A_MODULE),
    ("exeunt-exit-directory", OF_A_MODULE),
    ("exeunt-exit-file", OF_A_MODULE),
    ("exeunt-exit-mail", OF_A_MODULE),
    ("exeunt-exit-object", OF_A_MODULE),
    ("exeunt-exit-sql", OF_A_MODULE),
    ("exeunt-exit-syslog", OF_A_MODULE),
    ("exeunt-exit-webhook", OF_A_MODULE),
    ("exeunt-rust-csv", &["exeunt-module-kit"]),
    ("exeunt-testbed", &[]),
    ("exeunt-testkit", &["exeunt-types", "exeunt-x509"]),
    ("exeunt-e2e", EVERYTHING),
    ("xtask", &[]),
];

/// What only the tests of a private crate may use beside its row: fixtures and foreign verifiers.
const FOR_TESTS: &str = "exeunt-testkit";

/// What the tests of every crate may use: servers that know nothing of ours.
const SERVERS: &str = "exeunt-testbed";

/// What the tests of one crate may use beside that: a real neighbour is better than a mock.
const MORE_FOR_TESTS: &[(&str, &[&str])] = &[
    ("exeunt-engine", &["exeunt-policy"]),
    ("exeunt-http", &["exeunt-keys", "exeunt-policy", "exeunt-store", "exeunt-x509"]),
];

/// Crates that strangers depend on, or that stand for strangers: no private help in their tests.
const PUBLISHED: &[&str] = &[
    "exeunt-module",
    "exeunt-module-kit",
    "exeunt-com",
    "exeunt-conformance",
    "exeunt-publication",
    "exeunt-exit-bus",
    "exeunt-exit-command",
    "exeunt-exit-directory",
    "exeunt-exit-file",
    "exeunt-exit-mail",
    "exeunt-exit-object",
    "exeunt-exit-sql",
    "exeunt-exit-syslog",
    "exeunt-exit-webhook",
    "exeunt-rust-csv",
];

/// A foreign crate that only some of ours may use, and why.
struct Guarded {
    foreign: &'static str,
    users: &'static [&'static str],
    reason: &'static str,
}

/// `deny.toml` says the same of the whole tree; here the message names our crate.
const GUARDED: &[Guarded] = &[
    Guarded { foreign: "rusqlite", users: &["exeunt-store"], reason: "all SQL is in the store" },
    Guarded {
        foreign: "aws-lc-rs",
        users: &[
            "exeunt-keys",
            "exeunt-x509",
            "exeunt-http",
            "exeunt-store",
            "exeunt-publication",
            "exeunt-exit-webhook",
            "exeunt-exit-object",
        ],
        reason: "keys signs and verifies; x509, store and http hash; publication verifies lists",
    },
    Guarded { foreign: "cryptoki", users: &["exeunt-keys"], reason: "keys in tokens are keys" },
    Guarded {
        foreign: "tokio",
        users: &[
            "exeunt-http",
            "exeunt",
            "exeunt-e2e",
            "exeunt-exit-bus",
            "exeunt-exit-directory",
            "exeunt-exit-object",
            "exeunt-exit-sql",
        ],
        reason: "the core is synchronous; the load generator and some modules are clients",
    },
    Guarded {
        foreign: "libloading",
        users: &["exeunt-runner"],
        reason: "foreign machine code runs in the runner",
    },
    Guarded { foreign: "hyper", users: &["exeunt-http"], reason: "HTTP stays at the edge" },
    Guarded { foreign: "hyper-util", users: &["exeunt-http"], reason: "HTTP stays at the edge" },
    Guarded {
        foreign: "tokio-postgres",
        users: &["exeunt-exit-sql"],
        reason: "one module keeps an inventory",
    },
    Guarded {
        foreign: "tokio-rustls",
        users: &[
            "exeunt-e2e",
            "exeunt-exit-bus",
            "exeunt-exit-directory",
            "exeunt-exit-sql",
            "exeunt-http",
        ],
        reason: "TLS stays at the edge",
    },
    Guarded {
        foreign: "reqwest",
        users: &["exeunt", "exeunt-exit-object", "exeunt-exit-webhook"],
        reason: "the server calls nobody; the command line and some modules do",
    },
    Guarded { foreign: "lapin", users: &["exeunt-exit-bus"], reason: "one module speaks AMQP" },
    Guarded { foreign: "lettre", users: &["exeunt-exit-mail"], reason: "one module sends mail" },
    Guarded { foreign: "minijinja", users: &["exeunt-exit-mail"], reason: "templates of mails" },
    Guarded {
        foreign: "serde",
        users: &[
            "exeunt-module",
            "exeunt-module-kit",
            "exeunt-api",
            "exeunt-http",
            "exeunt",
            "exeunt-e2e",
        ],
        reason: "domain types derive no serde; wire and file types live at the edge",
    },
];

/// What a crate depends on.
#[derive(Default)]
pub(crate) struct Package {
    folder: String,
    normal: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// The members of the workspace, by name.
#[derive(Default)]
pub(crate) struct Workspace {
    packages: BTreeMap<String, Package>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let text = read(cargo(root).args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: serde_json::Value =
            serde_json::from_str(&text).map_err(|err| format!("cargo metadata: {err}"))?;
        let word = |it: &serde_json::Value| it.as_str().unwrap_or_default().to_owned();
        let mut workspace = Self::default();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let manifest = word(&package["manifest_path"]);
            let mut entry = Package { folder: folder_name(&manifest), ..Package::default() };
            for dependency in package["dependencies"].as_array().into_iter().flatten() {
                let name = word(&dependency["name"]);
                if dependency["kind"] == "dev" {
                    entry.tests.insert(name);
                } else {
                    entry.normal.insert(name);
                }
            }
            workspace.packages.insert(word(&package["name"]), entry);
        }
        Ok(workspace)
    }
}

/// Last folder of a manifest's path.
fn folder_name(manifest: &str) -> String {
    let folder = Path::new(manifest).parent().and_then(Path::file_name);
    folder.map(|it| it.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Compares the dependencies with the table.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    let ours = |name: &str| workspace.packages.contains_key(name);
    let mut complaints = Vec::new();
    for (name, Package { folder, normal, tests }) in &workspace.packages {
        if folder != name && format!("exeunt-{folder}") != *name {
            complaints.push(format!("{name}: its folder is called {folder}"));
        }
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(it, _)| it == name) else {
            complaints.push(format!("{name}: has no row in xtask's table of directions"));
            continue;
        };
        let may = |it: &str| *allowed == EVERYTHING || allowed.contains(&it);
        let private = !PUBLISHED.contains(&name.as_str());
        for it in normal.iter().filter(|it| ours(it) && !may(it)) {
            complaints.push(format!("{name}: may not depend on {it}"));
        }
        let more = MORE_FOR_TESTS.iter().find(|(it, _)| it == name).map_or(&[][..], |it| it.1);
        for it in tests.iter().filter(|it| ours(it) && !may(it)) {
            let given = private && (it == FOR_TESTS || more.contains(&it.as_str()));
            if it != SERVERS && !given {
                complaints.push(format!("{name}: its tests may not depend on {it}"));
            }
        }
        for Guarded { foreign, users, reason } in GUARDED {
            if normal.contains(*foreign) && !users.contains(&name.as_str()) {
                complaints.push(format!("{name}: may not use {foreign}: {reason}"));
            }
        }
    }
    for (name, _) in DIRECTIONS.iter().filter(|(it, _)| !ours(it)) {
        complaints.push(format!("{name}: has a row in the table of directions and does not exist"));
    }
    complaints
}

/// Compares the table in the document with ours.
///
/// A row is `| crate | what it may depend on, by comma | … |`; "everything" and "nothing of ours"
/// are written so.
pub(crate) fn check_document(text: &str) -> Vec<String> {
    let mut written = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [name, allowed, ..] = cells[..] else { continue };
        let name = name.trim_matches('`');
        if line.starts_with('|') && DIRECTIONS.iter().any(|(it, _)| *it == name) {
            let allowed = match allowed {
                "everything" => BTreeSet::from(["*"]),
                "nothing of ours" => BTreeSet::new(),
                list => list.split(", ").map(|it| it.trim_matches('`')).collect(),
            };
            written.insert(name, allowed);
        }
    }
    let mut complaints = Vec::new();
    for (name, allowed) in DIRECTIONS {
        let wanted: BTreeSet<&str> = allowed.iter().copied().collect();
        match written.get(name) {
            None => complaints.push(format!("ARCHITECTURE.md: no row for {name}")),
            Some(found) if *found != wanted => complaints
                .push(format!("ARCHITECTURE.md: row {name} differs from the table in xtask")),
            Some(_) => {}
        }
    }
    complaints
}

/// Manifests with lints of their own, because they need `unsafe`: they speak a binary interface.
const UNSAFE_ALLOWED: &[&str] =
    &["contract/exeunt-com/Cargo.toml", "crates/exeunt-runner/Cargo.toml"];

/// Every manifest takes over the workspace's lints, and those forbid `unsafe`. The two that need it
/// must say at each place why it is sound.
pub(crate) fn check_manifests(files: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Source { path, text } in files {
        if !path.ends_with("Cargo.toml") || path.starts_with("fuzz/") {
            continue;
        }
        let manifest: toml::Table = match text.parse() {
            Ok(manifest) => manifest,
            Err(err) => {
                complaints.push(format!("{path}: {err}"));
                continue;
            }
        };
        let at = |keys: &[&str]| {
            let mut table = manifest.get(keys[0]);
            for key in &keys[1..] {
                table = table.and_then(|it| it.get(key));
            }
            table.cloned()
        };
        if path == "Cargo.toml" {
            let forbidden = at(&["workspace", "lints", "rust", "unsafe_code"]);
            if forbidden.as_ref().and_then(toml::Value::as_str) != Some("forbid") {
                complaints.push(format!("{path}: unsafe_code is not forbidden"));
            }
        } else if UNSAFE_ALLOWED.contains(&path.as_str()) {
            for (tool, lint) in
                [("clippy", "undocumented_unsafe_blocks"), ("rust", "unsafe_op_in_unsafe_fn")]
            {
                let level = at(&["lints", tool, lint]);
                if level.as_ref().and_then(toml::Value::as_str) != Some("deny") {
                    complaints.push(format!("{path}: {lint} is not denied"));
                }
            }
        } else if at(&["lints", "workspace"]).and_then(|it| it.as_bool()) != Some(true) {
            complaints.push(format!("{path}: does not take over the workspace's lints"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace_with(name: &str, normal: &[&str], tests: &[&str]) -> Workspace {
        let mut workspace = Workspace::default();
        let owned = |it: &[&str]| it.iter().map(|&it| it.to_owned()).collect();
        for (it, _) in DIRECTIONS {
            let package = Package { folder: (*it).to_owned(), ..Package::default() };
            workspace.packages.insert((*it).to_owned(), package);
        }
        let package =
            Package { folder: name.to_owned(), normal: owned(normal), tests: owned(tests) };
        workspace.packages.insert(name.to_owned(), package);
        workspace
    }

    #[test]
    fn an_engine_that_knows_http_is_refused() {
        let workspace = workspace_with("exeunt-engine", &["exeunt-store", "exeunt-http"], &[]);
        assert_eq!(check(&workspace), ["exeunt-engine: may not depend on exeunt-http"]);
    }

    #[test]
    fn a_module_of_ours_gets_no_private_help_even_in_tests() {
        let workspace = workspace_with("exeunt-exit-file", &[], &["exeunt-testkit"]);
        assert_eq!(
            check(&workspace),
            ["exeunt-exit-file: its tests may not depend on exeunt-testkit"]
        );
        assert!(check(&workspace_with("exeunt-store", &[], &["exeunt-testkit"])).is_empty());
    }

    #[test]
    fn sql_outside_the_store_is_refused() {
        let workspace = workspace_with("exeunt-engine", &["rusqlite"], &[]);
        assert_eq!(
            check(&workspace),
            ["exeunt-engine: may not use rusqlite: all SQL is in the store"]
        );
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_named() {
        let mut workspace = workspace_with("exeunt-new", &[], &[]);
        workspace.packages.remove("exeunt-api");
        assert_eq!(
            check(&workspace),
            [
                "exeunt-new: has no row in xtask's table of directions",
                "exeunt-api: has a row in the table of directions and does not exist"
            ]
        );
    }

    #[test]
    fn a_row_that_differs_in_the_document_is_named() {
        let complaints = check_document("| `exeunt-store` | `exeunt-types`, `exeunt-x509` | x |\n");
        let row = "ARCHITECTURE.md: row exeunt-store differs from the table in xtask";
        assert!(complaints.iter().any(|it| it == row), "{complaints:?}");
    }

    #[test]
    fn a_manifest_with_lints_of_its_own_is_refused() {
        let source = |text: &str| Source { path: "crates/a/Cargo.toml".into(), text: text.into() };
        assert!(check_manifests(&[source("[lints]\nworkspace = true\n")]).is_empty());
        assert_eq!(check_manifests(&[source("[lints.rust]\nunsafe_code = 'allow'\n")]).len(), 1);
        let path = UNSAFE_ALLOWED[0].into();
        let silent = Source { path, text: "[lints.rust]\nunsafe_code = 'allow'\n".into() };
        assert_eq!(check_manifests(&[silent]).len(), 2);
    }
}
