//! A child and its process group: seen to end, killed as a whole, always reaped.

use std::{
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, setpriority_pgrp, waitid,
};

/// Pause between two looks at a process that should be ending. `waitid` has no time limit.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How long the caller waits for a killed process to be gone. Longer than that it hangs in the
/// kernel (a dead network file system), and a thread of its own waits for it.
const REAP_WAIT_MAX: Duration = Duration::from_secs(2);

/// A running process that leads its process group. Dropping it kills and reaps.
///
/// The group is killed before its leader is reaped: as long as the leader is there, be it as a
/// zombie, nobody else can get the number of the group.
#[derive(Debug)]
pub(crate) struct Group {
    /// `None` once reaped, or handed over to be.
    child: Option<Child>,
    pid: Pid,
}

impl Group {
    /// Takes charge of a child that was started with `process_group(0)`.
    pub(crate) fn new(child: Child) -> Self {
        let pid = Pid::from_child(&child);
        Self { child: Some(child), pid }
    }

    pub(crate) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sets the priority of every process in the group, and so of those that they start later.
    pub(crate) fn set_nice(&self, nice: i32) -> rustix::io::Result<()> {
        setpriority_pgrp(Some(self.pid), nice)
    }

    /// Whether the leader has ended. Does not reap it.
    pub(crate) fn has_exited(&self) -> bool {
        if self.child.is_none() {
            return true;
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.pid), options) {
                Ok(status) => return status.is_some(),
                Err(rustix::io::Errno::INTR) => (),
                // Somebody has reaped it in our place.
                Err(_) => return true,
            }
        }
    }

    /// Waits for the leader to end by itself. Says whether it did.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        while !self.has_exited() {
            if deadline <= Instant::now() {
                return false;
            }
            thread::sleep(LOOK_AGAIN);
        }
        true
    }

    /// Kills the whole group and reaps the leader. The status is `None` when it was not to be had.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        if let Err(err) = kill_process_group(self.pid, Signal::KILL) {
            tracing::debug!(pid = self.id(), %err, "killing a module's process group failed");
        }
        let deadline = Instant::now() + REAP_WAIT_MAX;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < deadline => thread::sleep(LOOK_AGAIN),
                Ok(None) => break,
                Err(_) => return None,
            }
        }
        tracing::warn!(pid = self.id(), "a killed module process hangs in the kernel");
        let reaper = thread::Builder::new().name("module-reaper".to_owned());
        if let Err(err) = reaper.spawn(move || child.wait()) {
            tracing::warn!(pid = self.id(), %err, "no thread to wait for a killed process");
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
