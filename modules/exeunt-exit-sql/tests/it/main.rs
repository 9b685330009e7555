//! The module against real `PostgreSQL` servers.

mod bed;
mod faults;
mod inventory;
mod upkeep;
