//! The module as a program of its own, for tests that start it as a process.

fn main() -> std::io::Result<()> {
    exeunt_exit_mail::main_loop()
}
