//! The edge: listeners, TLS, authentication and the HTTP API.
//!
//! The only place with an asynchronous runtime, and it stays inside: [`Server::start`] returns when
//! the doors are open. It decides nothing and signs nothing; it turns HTTP into calls of the engine
//! and the answers into the types of `exeunt-api`. It does not know the dispatcher, whose numbers
//! come through [`Exits`].

mod answer;
mod auth;
mod backup;
mod body;
mod bulk;
mod cms;
mod connection;
mod endpoint;
mod error;
mod exits;
mod export;
mod fault;
mod filter;
mod guess;
mod handler;
mod idempotency;
mod import;
mod listen;
mod manage;
mod ocsp;
mod officer;
#[cfg(feature = "schema")]
pub mod openapi;
mod own;
mod people;
mod principal;
mod query;
mod recovery;
mod refusal;
mod relying;
mod reply;
mod rooms;
mod rows;
mod server;
mod settings;
mod submit;
mod template;
mod tls;
mod trail;
mod workers;

pub use answer::{from_rfc3339, rfc3339};
pub use auth::token_digest;
pub use endpoint::{
    AnswerForm, BodyForm, ENDPOINTS, Endpoint, EndpointDoor, EndpointRoom, Kind, Operation,
    Parameter,
};
pub use error::HttpError;
pub use exits::{BeforeReply, Change, Changed, Exits, NoExits, Refusal, RefusalKind, WhichHeld};
pub use guess::{GUESS_ADDRESSES_MAX, GUESS_WINDOW, GUESSES_MAX};
pub use people::{NoPeople, People};
pub use principal::{
    Access, Network, PRINCIPAL_COUNT_MAX, Principal, PrincipalError, Principals,
    SEPARATED_OWNER_ROLES, TOKEN_COUNT_MAX, TOKEN_FILE_ROLES, Token,
};
pub use refusal::{REFUSALS_OF_ONE_MAX, REFUSALS_WRITTEN_MAX, REFUSED_APART_MAX};
pub use server::Server;
pub use settings::{
    ClientTrust, Clients, HttpSettings, KeyFileError, Limits, NowFn, ReadKeyFn, RefusedFn, TcpDoor,
    Tls, TlsFiles,
};
pub use tls::client::CLIENT_CRL_BYTES_MAX;
pub use tls::{TLS_FILE_BYTES_MAX, TlsReloaded, check_client_files, check_tls_files};
