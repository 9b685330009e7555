//! Makes the binary show its symbols to the libraries that it loads: a module that was built without
//! any library finds `SysAllocString` and its like in the runner itself.

fn main() {
    println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic");
    println!("cargo:rerun-if-changed=build.rs");
}
