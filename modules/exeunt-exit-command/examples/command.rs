//! The module as a program of its own.

fn main() -> std::io::Result<()> {
    exeunt_exit_command::main_loop()
}
