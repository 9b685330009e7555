//! Finds the programs under test beside the running one.

use std::path::PathBuf;

/// A program of this workspace, built in the same profile as the caller.
///
/// # Panics
///
/// When it was not built.
pub fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("BUG: a running program has a path");
    // target/PROFILE/name for programs, target/PROFILE/deps/name-HASH for tests.
    let mut folder = own.parent().expect("BUG: a program lies in a folder");
    if folder.ends_with("deps") {
        folder = folder.parent().expect("BUG: deps lies in a profile's folder");
    }
    let program = folder.join(name);
    assert!(
        program.exists(),
        "{} is missing: build it first: cargo build -p exeunt -p exeunt-runner",
        program.display()
    );
    program
}
