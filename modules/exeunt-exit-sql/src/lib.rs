//! The exit module that keeps an inventory in PostgreSQL.
