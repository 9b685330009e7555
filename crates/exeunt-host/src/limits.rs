//! What a module process may take at most: time, window, bytes, lines. Each limit has its name here.

use std::time::Duration;

/// Limits of one module process. [`HostLimits::default`] is what the server uses unless configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// Time for the whole hello: start, `Initialize` and `GetDescription` together. Default 10 s.
    pub hello: Duration,
    /// Time for one event, counted from when it became the oldest one without an answer.
    /// Default 30 s.
    pub event: Duration,
    /// Time between `Shutdown` and the kill. Default 5 s.
    pub shutdown: Duration,
    /// Most events outstanding at once, whatever the module asks for. Default 256: one batch of
    /// that size is about as much as one durable commit of the cursor should be worth.
    pub window_max: u32,
    /// Longest line in octets, without its newline, in both directions. Default
    /// [`exeunt_module::LINE_BYTES_MAX`], which is also the most that can be set.
    pub line_bytes_max: usize,
    /// Longest line of standard error in octets; the rest of it is cut. Default 4 KiB.
    pub stderr_line_bytes_max: usize,
    /// Most lines of standard error logged per second; the others are counted. Default 100.
    pub stderr_lines_per_second_max: u32,
    /// Priority of the processes, -20 (first) to 19 (last). Default 19: modules yield the processor
    /// to issuance, and still get about a sixtieth of a busy one.
    pub nice: i32,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            event: Duration::from_secs(30),
            shutdown: Duration::from_secs(5),
            window_max: 256,
            line_bytes_max: exeunt_module::LINE_BYTES_MAX,
            stderr_line_bytes_max: 4 << 10,
            stderr_lines_per_second_max: 100,
            nice: 19,
        }
    }
}
