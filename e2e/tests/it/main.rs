//! Tests of the whole program, as its users would use it: real processes, real files, real tools.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod api;
mod audit;
mod backup;
mod bus_module;
mod cmc;
mod command_line;
mod crl_parts;
mod directory_join;
mod directory_module;
mod directory_objects;
mod doors;
mod examples;
mod examples_native;
mod exits;
mod file_module;
mod hierarchy;
mod import;
mod import_settings;
mod issuing;
mod key_archival;
mod leaks;
mod library_policy;
mod life;
mod lookups;
mod mail_module;
mod maintenance;
mod modules;
mod object_module;
mod policy_modules;
mod renewal;
mod roles;
mod secrets;
mod sql_module;
mod store_faults;
mod syslog_module;
mod templates;
mod threats;
mod tls;
mod tokens;
mod tutorials;
mod webhook_module;
