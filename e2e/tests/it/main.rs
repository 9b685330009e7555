//! Tests of the whole program, as its users would use it: real processes, real files, real tools.

mod command_line;
mod doors;
mod issuing;
mod modules;
mod secrets;
mod store_faults;
