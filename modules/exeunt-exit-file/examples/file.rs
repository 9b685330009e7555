//! The module as a program of its own; the module's tests run it.

fn main() -> std::io::Result<()> {
    exeunt_exit_file::main_loop()
}
