//! What confines a module process: limits, a closed view of the files, refused system calls.
//!
//! The host cannot put a child under rules between fork and exec without `unsafe`. So it starts a
//! trampoline, a hidden command of the server's own binary, which calls [`enter()`]: that puts itself
//! under the rules and then becomes the module. This file says what the rules are; `enter` applies
//! them; `grants` finds out which files are left, `syscalls` which calls.

mod enter;
mod grants;
mod ground;
mod syscalls;

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use landlock::{LandlockStatus, RestrictSelf};

pub(crate) use enter::{EXECUTE_STATUS, REPORT_PREFIX};
pub use enter::{EnterError, enter};
pub(crate) use ground::Ground;

/// Memory of one process of a module, in octets, where nothing else is configured: 1 GiB.
pub const MEMORY_BYTES: u64 = 1 << 30;

/// Open files of one process of a module, where nothing else is configured: what most systems give.
pub const OPEN_FILES: u64 = 1024;

/// Processor time of one process of a module, in seconds, where nothing else is configured. A
/// module that has used it up is ended and started anew.
pub const CPU_S: u64 = 3600;

/// Rules for a module process and for everything that it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// Most memory that one process may have for itself to write to, in octets (`RLIMIT_DATA`).
    /// Addresses that are only reserved, as by Go, Java and Node, do not count.
    pub memory_bytes: u64,
    /// Most files that one process may have open (`RLIMIT_NOFILE`).
    pub open_files: u64,
    /// Most processor time of one process, in seconds (`RLIMIT_CPU`).
    pub cpu_s: u64,
    /// Most processes (`RLIMIT_NPROC`). The system counts those of the user, not of the module:
    /// `None`, the default, where the module has no user of its own.
    pub processes: Option<u64>,
    /// Folders that the module may use although they are beside or within what is forbidden. They
    /// must exist. The working directory is always one of them.
    pub writable: Vec<PathBuf>,
    /// As [`Self::writable`], but what is no folder when the module starts is passed over: one that
    /// comes later is open to the module's next process.
    pub writable_if_there: Vec<PathBuf>,
    /// Files within what is forbidden that the module may read and execute, and nothing else: its
    /// program and what that is made of. What is no file when the module starts is passed over.
    pub readable: Vec<PathBuf>,
    /// Folders within what is forbidden whose files the module may read, with everything in them, and
    /// nothing else: neither write nor execute. What is no folder when the module starts is passed over.
    pub readable_folders: Vec<PathBuf>,
    /// Files and folders that the module can neither read nor write, whether they exist or not.
    /// What may appear beside a forbidden file, such as a journal, is to be named as well; to
    /// forbid the folder is simpler. What is forbidden within something forbidden stays so: nothing
    /// in it can be granted. The first one is named to the operator where the system refuses something.
    pub forbidden: Vec<PathBuf>,
    /// Whether more than the numbers counts: the files, refused system calls, no new privileges.
    pub sandbox: bool,
}

impl Default for Confinement {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            open_files: OPEN_FILES,
            cpu_s: CPU_S,
            processes: None,
            writable: Vec::new(),
            writable_if_there: Vec::new(),
            readable: Vec::new(),
            readable_folders: Vec::new(),
            forbidden: Vec::new(),
            sandbox: true,
        }
    }
}

/// How a module comes under its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trampoline {
    /// A program that hands its arguments to [`enter()`]. Absolute.
    pub program: PathBuf,
    /// What stands before those arguments: the name of the hidden command.
    pub prefix: Vec<OsString>,
    /// The rules.
    pub confinement: Confinement,
}

const MEMORY_BYTES_ARG: &str = "--memory-bytes";
const OPEN_FILES_ARG: &str = "--open-files";
const CPU_S_ARG: &str = "--cpu-s";
const PROCESSES_ARG: &str = "--processes";
const WRITABLE_ARG: &str = "--writable";
const WRITABLE_IF_THERE_ARG: &str = "--writable-if-there";
const READABLE_ARG: &str = "--readable";
const READABLE_FOLDER_ARG: &str = "--readable-folder";
const FORBIDDEN_ARG: &str = "--forbidden";
const SANDBOX_ARG: &str = "--sandbox";
/// After this the program and its arguments.
const END_ARG: &str = "--";

impl Confinement {
    /// The rules as arguments, up to and with the `--` before the module's program.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let Self {
            memory_bytes,
            open_files,
            cpu_s,
            processes,
            writable,
            writable_if_there,
            readable,
            readable_folders,
            forbidden,
            sandbox,
        } = self;
        let mut args: Vec<OsString> = Vec::new();
        let mut number = |name: &str, value: u64| {
            args.extend([name.into(), value.to_string().into()]);
        };
        number(MEMORY_BYTES_ARG, *memory_bytes);
        number(OPEN_FILES_ARG, *open_files);
        number(CPU_S_ARG, *cpu_s);
        if let Some(processes) = processes {
            number(PROCESSES_ARG, *processes);
        }
        let writable = writable.iter().map(|it| (WRITABLE_ARG, it));
        let if_there = writable_if_there.iter().map(|it| (WRITABLE_IF_THERE_ARG, it));
        let readable = readable.iter().map(|it| (READABLE_ARG, it));
        let folders = readable_folders.iter().map(|it| (READABLE_FOLDER_ARG, it));
        let forbidden = forbidden.iter().map(|it| (FORBIDDEN_ARG, it));
        let writable = writable.chain(if_there);
        for (name, path) in writable.chain(readable).chain(folders).chain(forbidden) {
            args.extend([name.into(), path.into()]);
        }
        if *sandbox {
            args.push(SANDBOX_ARG.into());
        }
        args.push(END_ARG.into());
        args
    }

    /// The reverse: the rules, and the program with its arguments.
    fn from_args(
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<(Self, OsString, Vec<OsString>), EnterError> {
        let mut args = args.into_iter();
        let mut rules = Self { sandbox: false, ..Self::default() };
        let wrong = |name: &OsStr| EnterError::Arguments { at: name.display().to_string() };
        loop {
            let name = args.next().ok_or_else(|| wrong(OsStr::new(END_ARG)))?;
            let mut value = || args.next().ok_or_else(|| wrong(&name));
            let number = |value: OsString| {
                value.to_str().and_then(|it| it.parse().ok()).ok_or_else(|| wrong(&name))
            };
            match name.to_str() {
                Some(MEMORY_BYTES_ARG) => rules.memory_bytes = number(value()?)?,
                Some(OPEN_FILES_ARG) => rules.open_files = number(value()?)?,
                Some(CPU_S_ARG) => rules.cpu_s = number(value()?)?,
                Some(PROCESSES_ARG) => rules.processes = Some(number(value()?)?),
                Some(WRITABLE_ARG) => rules.writable.push(value()?.into()),
                Some(WRITABLE_IF_THERE_ARG) => rules.writable_if_there.push(value()?.into()),
                Some(READABLE_ARG) => rules.readable.push(value()?.into()),
                Some(READABLE_FOLDER_ARG) => rules.readable_folders.push(value()?.into()),
                Some(FORBIDDEN_ARG) => rules.forbidden.push(value()?.into()),
                Some(SANDBOX_ARG) => rules.sandbox = true,
                Some(END_ARG) => break,
                _ => return Err(wrong(&name)),
            }
        }
        let program = args.next().ok_or_else(|| wrong(OsStr::new(END_ARG)))?;
        Ok((rules, program, args.collect()))
    }
}

/// What this kernel, or the container around us, can do to confine a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// Version of Landlock's interface, which closes the view of the files; `None` without it.
    pub landlock: Option<u32>,
    /// Whether system calls can be refused.
    pub seccomp: bool,
}

/// Asks the kernel. Changes nothing; the answer stays the same as long as the system runs.
#[must_use]
pub fn support() -> Support {
    // Restricting ourselves in nothing changes nothing, and tells what could be.
    let landlock = match RestrictSelf::default().no_new_privs(false).apply().map(|it| it.landlock) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => Some(effective_abi as u32),
        Ok(LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) | Err(_) => None,
    };
    // It lists what a filter can answer, and exists where filters do.
    let seccomp = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    Support { landlock, seccomp }
}

/// Whether a process is under more filters of system calls than this one: a module in its sandbox,
/// or what one has started. Nothing takes a filter away from a process or from its children.
///
/// For doors that know a caller by its process: Landlock keeps a module from connecting to a
/// forbidden Unix socket only from version 9 of its interface.
///
/// # Errors
///
/// There is no such process any more, or no `/proc`.
pub fn is_confined(pid: u32) -> io::Result<bool> {
    let filters = |process: &str| -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|it| it.strip_prefix("Seccomp_filters:"));
        // A kernel that does not count them says nothing.
        Ok(line.and_then(|it| it.trim().parse().ok()).unwrap_or(0))
    };
    Ok(filters("self")? < filters(&pid.to_string())?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn rules_survive_the_command_line() {
        let odd = PathBuf::from(OsString::from_vec(b"/a b/\xff\n--".to_vec()));
        let rules = Confinement {
            memory_bytes: u64::MAX,
            open_files: 64,
            cpu_s: 1,
            processes: Some(7),
            writable: vec![odd.clone(), "/w".into()],
            writable_if_there: vec!["/t".into(), odd.clone()],
            readable: vec!["/r".into(), odd.clone()],
            readable_folders: vec![odd.clone(), "/f".into()],
            forbidden: vec!["/f".into(), odd],
            sandbox: true,
        };
        for rules in [
            rules,
            Confinement::default(),
            Confinement { sandbox: false, ..Confinement::default() },
        ] {
            let mut args = rules.to_args();
            args.extend(["/bin/sh".into(), "--sandbox".into(), "--".into()]);
            let (read, program, rest) = Confinement::from_args(args).unwrap();
            assert_eq!((read, program), (rules, "/bin/sh".into()));
            assert_eq!(rest, ["--sandbox", "--"]);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for args in [
            &["--cpu-s", "many", "--", "x"][..],
            &["--cpu-s"],
            &["--other", "--", "x"],
            &["--"],
            &[],
        ] {
            let args = args.iter().map(OsString::from);
            let err = Confinement::from_args(args).unwrap_err();
            assert!(matches!(err, EnterError::Arguments { .. }), "{err}");
        }
    }
}
