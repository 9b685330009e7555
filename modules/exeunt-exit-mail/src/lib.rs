//! The exit module that sends mail about events.
