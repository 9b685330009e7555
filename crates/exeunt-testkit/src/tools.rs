//! Finds and runs the foreign tools: `openssl`, `certtool` (`GnuTLS`), `vfychain` (NSS), Python with its packages.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    thread,
};

/// The `openssl` command.
///
/// # Panics
///
/// If there is none.
pub fn openssl() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| on_path("openssl"))
}

/// The `certtool` command of `GnuTLS`.
///
/// # Panics
///
/// If there is none.
pub fn certtool() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| on_path("certtool"))
}

/// The `vfychain` command of NSS.
///
/// # Panics
///
/// If there is none.
pub fn vfychain() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| on_path("vfychain"))
}

/// The Python of the test environment, which has the packages of `xtask/test-requirements.txt`.
///
/// # Panics
///
/// If the environment was not made.
pub fn python() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let python = test_tools().join("venv/bin/python");
        assert!(python.exists(), "{} is missing: run `cargo xtask test-tools`", python.display());
        python
    })
}

/// The `softhsm2-util` command, which makes tokens of `SoftHSM`.
///
/// # Panics
///
/// If there is none.
pub fn softhsm_util() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| on_path("softhsm2-util"))
}

/// The PKCS #11 module of `SoftHSM`, where distributions put it.
///
/// # Panics
///
/// If there is none.
pub fn softhsm_module() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/softhsm/libsofthsm.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
            "/usr/local/lib/softhsm/libsofthsm2.so",
        ]
        .into_iter()
        .map(PathBuf::from)
        .find(|it| it.is_file())
        .expect("no PKCS #11 module of SoftHSM: run `cargo xtask test-tools`")
    })
}

/// Folder of what is installed or kept for tests only: `target/test-tools`.
pub fn test_tools() -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = crates.and_then(Path::parent).expect("BUG: this crate lies two folders deep");
    root.join("target/test-tools")
}

/// Runs a tool with `input` on its standard input and waits for its end, whatever that is.
///
/// # Panics
///
/// If the tool cannot be started.
pub fn run<S: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = S>,
    input: &[u8],
) -> Output {
    let mut child = Command::new(program)
        .args(args)
        // Their sentences are compared.
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|err| panic!("{} does not start: {err}", program.display()));
    let mut stdin = child.stdin.take().expect("BUG: a pipe was asked for");
    thread::scope(|scope| {
        // A thread, because a tool may fill its output before it has read its input. One that
        // ends without reading breaks the pipe, which is its own business.
        scope.spawn(move || stdin.write_all(input));
        child
            .wait_with_output()
            .unwrap_or_else(|err| panic!("{} is lost: {err}", program.display()))
    })
}

/// Runs a tool that must succeed and gives its standard output.
///
/// # Panics
///
/// If it fails; the message holds what it said.
pub fn run_ok<S: AsRef<OsStr>>(
    program: &Path,
    args: impl IntoIterator<Item = S>,
    input: &[u8],
) -> Vec<u8> {
    let output = run(program, args, input);
    assert!(output.status.success(), "{} failed: {}", program.display(), words(&output));
    output.stdout
}

/// All that a tool said, as text.
pub(crate) fn words(output: &Output) -> String {
    let Output { status, stdout, stderr } = output;
    let said = [stdout, stderr].map(|it| String::from_utf8_lossy(it).trim().to_owned()).join("\n");
    format!("{status}\n{}", said.trim())
}

fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|it| it.join(name))
        .find(|it| it.is_file())
        .unwrap_or_else(|| panic!("no `{name}` on PATH: run `cargo xtask test-tools`"))
}
