//! What tests and benchmarks of the whole program share: a CA in a temporary home, its server as a
//! process or its parts without doors, a client for load, and the record of what a module heard.

pub mod ca;
pub mod cases;
pub mod inside;
pub mod leak;
pub mod load;
pub mod measure;
pub mod program;
pub mod record;
pub mod targets;
pub mod wire;
