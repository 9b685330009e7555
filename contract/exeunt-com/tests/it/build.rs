//! Compiles C and C++ against the headers and the library, and runs what comes out.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// A language, with its compiler and its strictest options.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    pub compiler: &'static str,
    pub ending: &'static str,
    pub options: &'static [&'static str],
}

pub const C: Language = Language {
    compiler: "cc",
    ending: "c",
    options: &["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"],
};
pub const CPP: Language = Language {
    compiler: "c++",
    ending: "cpp",
    options: &["-std=c++17", "-Wall", "-Wextra", "-Werror"],
};
/// C++ as the original's authors write it: wide characters have 16 bits.
pub const CPP_SHORT: Language = Language {
    compiler: "c++",
    ending: "cpp",
    options: &["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fshort-wchar"],
};

/// The folder of this crate.
pub fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder where cargo puts this test, and the library beside it.
fn deps() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// An example module, which cargo builds with the tests.
pub fn example(name: &str) -> PathBuf {
    let module = deps().parent().unwrap().join(format!("examples/lib{name}.so"));
    assert!(module.exists(), "{} is missing: run all tests of the package", module.display());
    module
}

/// Compiles a source with more options. What the compiler says is the failure's text.
#[track_caller]
pub fn compile(language: Language, source: &Path, more: &[&str]) {
    let output = Command::new(language.compiler)
        .args(language.options)
        .arg("-I")
        .arg(crate_root().join("include"))
        .arg(source)
        .args(more)
        .output()
        .unwrap_or_else(|err| panic!("{} cannot be run: {err}", language.compiler));
    assert_success(language.compiler, &output);
}

/// Compiles a source into a program with the library, runs it, and gives what it wrote.
#[track_caller]
pub fn run(language: Language, source: &Path, arguments: &[&Path]) -> String {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("program");
    let library = deps();
    let library = library.to_str().unwrap();
    compile(
        language,
        source,
        &[
            "-g",
            "-o",
            program.to_str().unwrap(),
            &format!("-L{library}"),
            &format!("-Wl,-rpath,{library}"),
            "-lexeunt_com",
            "-ldl",
            "-pthread",
        ],
    );
    // Memory that was freed is overwritten, so that using it shows.
    let output =
        Command::new(&program).args(arguments).env("MALLOC_PERTURB_", "165").output().unwrap();
    assert_success(&source.display().to_string(), &output);
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn assert_success(what: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
