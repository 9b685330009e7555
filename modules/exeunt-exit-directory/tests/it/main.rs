//! The module against real directories: `OpenLDAP`, and Samba as an Active Directory.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod active_directory;
mod authority;
mod fixture;
mod holders;
mod minted;
mod objects;
mod objects_in_a_domain;
mod trouble;
