//! Logs on standard error: for people on a terminal, JSON lines otherwise.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Variable with the filter, for example `info` or `exeunt_dispatch=debug`.
pub const FILTER_VARIABLE: &str = "EXEUNT_LOG";

/// What is not logged unless the filter names it: the library for tokens reports each mechanism and
/// attribute that it has no name for as an error, and there are dozens in any token; and the one that asks
/// the system about certificates logs as an error what a command says in its own words.
const QUIET: &str = "cryptoki=off,rustls_platform_verifier=off";

/// Starts logging. `default` is the filter where the variable is not set.
pub fn start(default: &str) {
    let given = std::env::var(FILTER_VARIABLE).ok();
    let given = given.filter(|it| !it.trim().is_empty() && EnvFilter::try_new(it).is_ok());
    // Of two that name the same thing, the later one counts.
    let filter = EnvFilter::new(format!("{QUIET},{}", given.as_deref().unwrap_or(default)));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.compact().init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
