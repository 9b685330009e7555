//! What tests of the whole program share: a CA in a temporary home, its server as a process, a
//! client for load, and the record of what a module heard.

pub mod ca;
pub mod load;
pub mod program;
pub mod record;
pub mod wire;
