//! Real servers for tests and benchmarks: each is started on loopback with a folder and certificates
//! of its own, and is gone when it is dropped.
//!
//! Nothing here depends on the other crates, so that modules, which know the contract alone, can be
//! tried against them. A server that does not start is a panic with a sentence: a test cannot go
//! on without it.

pub mod authority;
pub mod nats;
pub mod openldap;
pub mod postgres;
pub mod process;
pub mod proxy;
mod python;
pub mod rabbitmq;
pub mod receiver;
pub mod s3;
pub mod samba;
pub mod silent;
pub mod smtp;
