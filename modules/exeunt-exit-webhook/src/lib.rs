//! The exit module that tells a web server of events.
