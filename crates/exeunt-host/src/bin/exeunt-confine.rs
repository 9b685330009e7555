//! The trampoline alone, for the tests of this crate. The server is its own trampoline.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    match exeunt_host::confine::enter(env::args_os().skip(1)) {
        Ok(never) => match never {},
        Err(err) => err.report(),
    }
}
