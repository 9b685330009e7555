//! Whole programs in C and C++.

use crate::build::{C, CPP, CPP_SHORT, Language, crate_root, example, run};

#[track_caller]
fn check(language: Language, name: &str, arguments: &[&std::path::Path]) {
    let source = crate_root().join("tests/it/c").join(name);
    // What fails says so and ends the program with a failure.
    assert_eq!(run(language, &source, arguments), "done\n");
}

#[test]
fn c_can_use_strings_values_arrays_dates_and_errors() {
    check(C, "values.c", &[]);
}

#[test]
fn cpp_classes_are_com_classes() {
    check(CPP, "classes.cpp", &[]);
}

#[test]
fn code_with_wide_literals_compiles_as_it_is() {
    check(CPP_SHORT, "wide.cpp", &[]);
}

#[test]
fn a_module_in_rust_is_loaded_by_a_host_in_cpp() {
    check(CPP, "host.cpp", &[&example("census")]);
}

#[test]
fn a_policy_module_in_rust_is_loaded_by_a_host_in_cpp() {
    check(CPP, "policy_host.cpp", &[&example("clerk")]);
}
