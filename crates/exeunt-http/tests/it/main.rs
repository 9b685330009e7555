//! The edge over real sockets, with a real engine behind it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod api;
mod backup;
mod bulk;
mod ca;
mod cmc;
mod doors;
mod exits;
mod idempotency;
mod lifetime;
mod limits;
mod lists;
mod ocsp;
mod officers;
mod relying;
mod roles;
mod tls;
mod tls_clients;
