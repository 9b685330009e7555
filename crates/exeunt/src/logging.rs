//! Logs on standard error: for people on a terminal, JSON lines otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Variable with the filter, for example `info` or `exeunt_dispatch=debug`.
pub const FILTER_VARIABLE: &str = "EXEUNT_LOG";

/// Starts logging. `default` is the filter where the variable is not set.
pub fn start(default: &str) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
