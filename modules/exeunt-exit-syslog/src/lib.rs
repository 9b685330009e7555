//! The exit module that writes events to syslog.
