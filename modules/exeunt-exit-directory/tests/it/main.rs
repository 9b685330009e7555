//! The module against real directories: `OpenLDAP`, and Samba as an Active Directory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod bed;

mod active_directory;
mod authority;
mod faults;
mod fixture;
mod holders;
mod honesty;
mod lookups;
mod minted;
mod objects;
mod objects_in_a_domain;
mod target;
mod trouble;
