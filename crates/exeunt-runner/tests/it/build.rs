//! Compiles the test modules, each once for a run of the tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Mutex, PoisonError},
};

/// What has been compiled: path by source and flags.
static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

/// The module from that source in `modules/`, a shared library that is linked with no other.
pub(crate) fn module(source: &str) -> PathBuf {
    module_with(source, &[])
}

/// The same with flags for the compiler.
pub(crate) fn module_with(source: &str, flags: &[&str]) -> PathBuf {
    let name = format!("{source}{}", flags.join("")).replace(['.', '='], "-");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(name.clone()).or_insert_with(|| compile(source, flags, &name)).clone()
}

/// The module in C++ of that folder in `examples/`.
pub(crate) fn example(folder: &str, source: &str) -> PathBuf {
    let path = format!("../../../../../examples/{folder}/{source}");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(path.clone()).or_insert_with(|| compile(&path, &[], folder)).clone()
}

fn compile(source: &str, flags: &[&str], name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("lib{name}.so"));
    // Written beside and moved, because another run of the tests may use the old one.
    let draft = folder.join(format!("lib{name}.{}.so", process::id()));
    let (compiler, standard) = if Path::new(source).extension().is_some_and(|it| it == "c") {
        ("cc", "-std=c11")
    } else {
        ("c++", "-std=c++17")
    };
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", "-pthread"])
        .args(flags)
        .arg("-I")
        .arg(here.join("../../contract/exeunt-com/include"))
        .arg(here.join("tests/it/modules").join(source))
        .arg("-o")
        .arg(&draft)
        .output()
        .unwrap_or_else(|err| panic!("{compiler} is needed for these tests: {err}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&draft, &library).unwrap();
    library
}

/// A module in Rust that is an example of the crate for module authors.
pub(crate) fn rust_module(name: &str) -> PathBuf {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(name.to_owned()).or_insert_with(|| cargo_build(name)).clone()
}

fn cargo_build(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--package", "exeunt-com", "--example", name])
        .arg("--target-dir")
        .arg(target)
        .current_dir(here)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join(format!("debug/examples/lib{name}.so"))
}
