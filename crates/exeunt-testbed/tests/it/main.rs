//! The servers, tried with foreign clients.

mod foreign;
