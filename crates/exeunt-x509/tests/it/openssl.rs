//! The `openssl` program in a directory of its own.

use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// A scratch directory with keys and files in it; gone when dropped.
pub struct OpenSsl {
    dir: TempDir,
}

impl OpenSsl {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Runs `openssl` with blank-separated arguments, then `more`; it must succeed.
    #[track_caller]
    pub fn run(&self, arguments: &str, more: &[&str]) -> Vec<u8> {
        let output = self.try_run("openssl", arguments, more);
        assert!(
            output.status.success(),
            "openssl {arguments} {more:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    #[track_caller]
    pub fn text(&self, arguments: &str, more: &[&str]) -> String {
        String::from_utf8(self.run(arguments, more)).unwrap()
    }

    pub fn try_run(&self, program: &str, arguments: &str, more: &[&str]) -> Output {
        Command::new(program)
            .args(arguments.split_whitespace())
            .args(more)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Makes `NAME.key` and gives its public key in DER. `kind` is what `genpkey` takes.
    pub fn key(&self, name: &str, kind: &str) -> Vec<u8> {
        self.run(&format!("genpkey {kind} -out {name}.key"), &[]);
        self.run(&format!("pkey -in {name}.key -pubout -outform DER"), &[])
    }

    /// Signs with `NAME.key`: SHA-256, or what Ed25519 does by itself.
    pub fn sign(&self, name: &str, signed: &[u8]) -> Vec<u8> {
        self.write("signed.bin", signed);
        let digest = if self
            .text(&format!("pkey -in {name}.key -noout -text"), &[])
            .starts_with("ED25519")
        {
            ""
        } else {
            "-digest sha256"
        };
        self.run(&format!("pkeyutl -sign -rawin {digest} -inkey {name}.key -in signed.bin"), &[])
    }
}

pub const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
pub const P384: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
pub const P521: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-521";
pub const RSA_2048: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
pub const ED25519: &str = "-algorithm ED25519";

pub fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|it| format!("{it:02x}")).collect();
    digits.concat()
}
