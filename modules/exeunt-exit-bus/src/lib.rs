//! The exit module that tells a message bus of events.
