//! The trampoline: puts itself under the rules and becomes the module.

use std::{
    convert::Infallible,
    env,
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    ops::Range,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitCode},
};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
    thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs},
};

use super::{Confinement, grants, support, syscalls};
use crate::command::execute_reason;

/// How the line on standard error starts that says why there is no module.
pub(crate) const REPORT_PREFIX: &str = "exeunt-confine: ";

/// Exit status where the rules could not be applied, as `env` and `nohup` have it (POSIX, "Exit
/// Status": 125 is what their GNU versions use for their own failures).
pub(crate) const CONFINEMENT_STATUS: u8 = 125;

/// Exit status where the program was not executed: found, but it could not be invoked (POSIX).
pub(crate) const EXECUTE_STATUS: u8 = 126;

/// Seconds between the signal that a module can hear, when its processor time is used up, and the
/// one that it cannot.
const CPU_GRACE_S: u64 = 5;

/// Where no `/proc` tells which descriptors are open, those below this number are closed.
const DESCRIPTORS_MAX: i32 = 1024;

/// The newest interface of Landlock that the rules are written for. What the kernel does not know
/// of it is left out.
const LANDLOCK_ABI: ABI = ABI::V9;

/// Where an executable file says that it is one, of how many bits, in which order of octets (ELF,
/// `e_ident` up to `EI_DATA`).
const ELF_CLASS: Range<usize> = 0..6;

/// Where it says for which processor (ELF, `e_machine`).
const ELF_MACHINE: Range<usize> = 18..20;

/// What a module keeps of root's powers, if the server runs as root: those over files and users
/// that programs expect of root, none over the system.
const CAPABILITIES_KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW);

/// Why the trampoline did not become the module.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError {
    /// The arguments are not those that the host writes: a person called, or another version did.
    #[error("unexpected arguments at {at}")]
    Arguments {
        /// The first argument that is not understood.
        at: String,
    },
    /// A path of the rules cannot be: the operator corrects the configuration.
    #[error("{path}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it, one clause.
        reason: &'static str,
    },
    /// The system refused a rule. The module is not started without it.
    #[error("{action} failed")]
    Apply {
        /// What we were doing, as a gerund.
        action: &'static str,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The rules are in force, but the system does not run the program.
    #[error("{reason}")]
    Execute {
        /// What is wrong with it, one clause.
        reason: String,
    },
}

impl EnterError {
    pub(super) fn apply(
        action: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Apply { action, source: source.into() }
    }

    /// Stable code for logs. Never renamed.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Arguments { .. } | Self::Path { .. } | Self::Apply { .. } => "module-confinement",
            Self::Execute { .. } => "module-not-executable",
        }
    }

    /// Tells the host, on standard error and by the status that the trampoline is to end with.
    #[must_use = "the process is to end with it"]
    pub fn report(&self) -> ExitCode {
        let mut line = format!("{REPORT_PREFIX}{self}");
        let mut source = std::error::Error::source(self);
        while let Some(err) = source {
            line.push_str(": ");
            line.push_str(&err.to_string());
            source = err.source();
        }
        // Nobody is left to tell that standard error is closed.
        let _ = writeln!(io::stderr(), "{}", line.replace('\n', " "));
        ExitCode::from(match self {
            Self::Execute { .. } => EXECUTE_STATUS,
            _ => CONFINEMENT_STATUS,
        })
    }
}

/// Applies the rules in the arguments to this process and becomes the program behind them.
///
/// `args` is what the host has written after [`Trampoline::prefix`](super::Trampoline::prefix). To
/// be called first thing by a process of one thread: every descriptor above 2 is closed.
///
/// # Errors
///
/// See [`EnterError`]; [`EnterError::report`] tells the host.
pub fn enter(args: impl IntoIterator<Item = OsString>) -> Result<Infallible, EnterError> {
    // 1. What somebody opened without saying that it ends with exec, before the server or in it.
    close_descriptors();
    let (rules, program, args) = Confinement::from_args(args)?;

    // 2. Files and powers. No new privileges: a program with the setuid bit would leave the rules.
    if rules.sandbox {
        set_no_new_privs(true)
            .map_err(|err| EnterError::apply("giving up new privileges", io::Error::from(err)))?;
        close_files(&rules)?;
        drop_capabilities()
            .map_err(|err| EnterError::apply("giving up capabilities", io::Error::from(err)))?;
    }

    // 3. Numbers. After the files, which take descriptors and memory of ours.
    set_limits(&rules).map_err(|err| EnterError::apply("setting a limit", io::Error::from(err)))?;

    // 4. System calls, last: from here on only exec is needed.
    if rules.sandbox && support().seccomp {
        syscalls::refuse().map_err(|err| EnterError::apply("refusing system calls", err))?;
    }

    let err = if can_be_run(Path::new(&program)) {
        Command::new(program).args(args).exec()
    } else {
        Errno::NOEXEC.into()
    };
    let reason = execute_reason(&err).map_or_else(|| err.to_string(), str::to_owned);
    Err(EnterError::Execute { reason })
}

fn close_descriptors() {
    let numbers = |it: fs::ReadDir| -> Vec<i32> {
        it.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok()).collect()
    };
    // The list is complete, and its own descriptor closed, before anything else is.
    let open = fs::read_dir("/proc/self/fd").map(numbers);
    for descriptor in open.unwrap_or_else(|_| (0..DESCRIPTORS_MAX).collect()) {
        if 2 < descriptor {
            // The one of the list is closed already.
            let _ = nix::unistd::close(descriptor);
        }
    }
}

fn close_files(rules: &Confinement) -> Result<(), EnterError> {
    let here = env::current_dir()
        .map_err(|err| EnterError::apply("finding the current directory", err))?;
    let grants::Grants { whole, readable, readable_folders } = grants::find(&here, rules)?;
    let restrict = || -> Result<(), RulesetError> {
        let all = AccessFs::from_all(LANDLOCK_ABI);
        Ruleset::default()
            // A kernel that lacks some of it, or all, does what it can: the host has said so.
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            // Otherwise a module could stop the server, and every other module.
            .scope(Scope::Signal)?
            .create()?
            .add_rules(path_beneath_rules(whole, all))?
            .add_rules(path_beneath_rules(readable, AccessFs::ReadFile | AccessFs::Execute))?
            .add_rules(path_beneath_rules(
                readable_folders,
                AccessFs::ReadFile | AccessFs::ReadDir,
            ))?
            // Names, not contents: programs look around, and fail oddly where they cannot.
            .add_rules(path_beneath_rules(["/"], AccessFs::ReadDir))?
            .restrict_self()?;
        Ok(())
    };
    restrict().map_err(|err| EnterError::apply("closing the view of the files", err))
}

fn drop_capabilities() -> rustix::io::Result<()> {
    let has = capabilities(None)?;
    if has.permitted.is_empty() && has.effective.is_empty() {
        return Ok(());
    }
    let keep = |it: CapabilitySet| it & CAPABILITIES_KEPT;
    set_capabilities(
        None,
        CapabilitySets {
            effective: keep(has.effective),
            permitted: keep(has.permitted),
            inheritable: keep(has.inheritable),
        },
    )
}

/// Whether the system has a way to run what is in the file. Where it has none, `exec` of the C
/// library hands the file to a shell, whatever it is.
fn can_be_run(program: &Path) -> bool {
    let head = |path: &Path| -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        fs::File::open(path)?.take(ELF_MACHINE.end as u64).read_to_end(&mut head)?;
        Ok(head)
    };
    // What we cannot read may be run all the same.
    let (Ok(theirs), Ok(ours)) = (head(program), head(Path::new("/proc/self/exe"))) else {
        return true;
    };
    let is_like_us =
        [ELF_CLASS, ELF_MACHINE].into_iter().all(|it| theirs.get(it.clone()) == ours.get(it));
    theirs.starts_with(b"#!") || is_like_us || has_other_formats()
}

/// Whether an interpreter is registered for files that the kernel does not know, be it for one.
fn has_other_formats() -> bool {
    fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|it| {
        it.flatten().any(|it| it.file_name() != "register" && it.file_name() != "status")
    })
}

fn set_limits(rules: &Confinement) -> rustix::io::Result<()> {
    let cpu_s_max = rules.cpu_s.saturating_add(CPU_GRACE_S);
    set_limit(Resource::Core, 0, 0)?;
    set_limit(Resource::Data, rules.memory_bytes, rules.memory_bytes)?;
    set_limit(Resource::Nofile, rules.open_files, rules.open_files)?;
    set_limit(Resource::Cpu, rules.cpu_s, cpu_s_max)?;
    if let Some(processes) = rules.processes {
        set_limit(Resource::Nproc, processes, processes)?;
    }
    Ok(())
}

/// Sets both limits, but no higher than what we have ourselves: that nobody is allowed to raise.
fn set_limit(resource: Resource, soft: u64, hard: u64) -> rustix::io::Result<()> {
    let ceiling = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let (soft, hard) = (soft.min(ceiling), hard.min(ceiling));
    setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })
}
