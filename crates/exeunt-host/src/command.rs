//! What to start, what it may see of our environment, and whether it is still the same on disk.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read},
    os::unix::{
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{StartError, confine::Trampoline};

/// Variables that a module inherits from the server. Everything else of our environment stays ours:
/// pass phrases and tokens come to the server that way.
pub const INHERITED_VARIABLES: [&str; 3] = ["PATH", "LANG", "TZ"];

/// Folder for temporary files of a confined module, in its working directory: the system's own may
/// be closed to it. It is the module's `TMPDIR`.
pub const TEMPORARY_FOLDER: &str = "tmp";

/// How the name of a file ends that an interpreter or a runner executes.
const CODE_EXTENSIONS: [&str; 16] = [
    "dll", "jar", "js", "lua", "mjs", "php", "pl", "ps1", "py", "pyc", "pyz", "rb", "sh", "so",
    "tcl", "wasm",
];

/// How to start a module process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleCommand {
    /// The executable. Absolute; with a slash but relative, from the working directory; without a
    /// slash, searched in the server's `PATH`.
    pub program: PathBuf,
    /// Arguments, as they are; no shell reads them.
    pub args: Vec<OsString>,
    /// The whole environment, beside [`INHERITED_VARIABLES`], which it may override.
    pub env: Vec<(String, String)>,
    /// Where the process starts. It must exist.
    pub working_directory: PathBuf,
    /// The rules that the process is put under; `None` for none. The working directory is then
    /// writable, and its folder [`TEMPORARY_FOLDER`] is made where it is missing.
    pub confine: Option<Trampoline>,
}

impl ModuleCommand {
    /// Starts the process as the leader of its own process group, with three pipes.
    pub(crate) fn spawn(&self) -> Result<Child, StartError> {
        let program = self.program_path()?;
        let shown = program.display().to_string();
        if !self.working_directory.is_dir() {
            let missing = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(StartError::io("entering the working directory", missing));
        }
        let mut command = match &self.confine {
            None => Command::new(&program),
            Some(Trampoline { program: trampoline, prefix, confinement }) => {
                let mut command = Command::new(trampoline);
                command.args(prefix).args(confinement.to_args()).arg(&program);
                command
            }
        };
        command.args(&self.args).current_dir(&self.working_directory).env_clear();
        if self.confine.is_some() {
            let temporary = self.temporary_folder().map_err(|err| {
                StartError::io("making the module's folder for temporary files", err)
            })?;
            command.env("TMPDIR", temporary);
        }
        for name in INHERITED_VARIABLES {
            if let Some(value) = env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        command.spawn().map_err(|err| match (&self.confine, execute_reason(&err)) {
            (None, Some(reason)) => {
                StartError::NotExecutable { program: shown, reason: reason.to_owned() }
            }
            (None, None) => StartError::io("starting the process", err),
            (Some(it), _) => StartError::Confinement {
                reason: format!("{} is not started: {err}", it.program.display()),
            },
        })
    }

    fn temporary_folder(&self) -> io::Result<PathBuf> {
        let path = std::path::absolute(self.working_directory.join(TEMPORARY_FOLDER))?;
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => Err(err),
            _ => Ok(path),
        }
    }

    /// The executable file, checked as far as `stat` can tell.
    pub(crate) fn program_path(&self) -> Result<PathBuf, StartError> {
        let missing = || StartError::Missing { program: self.program.display().to_string() };
        let path = if self.program.components().count() == 1 && !self.program.has_root() {
            let directories = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&directories)
                .map(|it| it.join(&self.program))
                .find(|it| it.is_file())
                .ok_or_else(missing)?
        } else {
            self.working_directory.join(&self.program)
        };
        // A relative path would be looked up again after the change of directory.
        let path = std::path::absolute(path)
            .map_err(|err| StartError::io("finding the current directory", err))?;
        let refuse = |reason: &str| StartError::NotExecutable {
            program: path.display().to_string(),
            reason: reason.to_owned(),
        };
        let metadata = match fs::metadata(&path) {
            Ok(it) => it,
            Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                return Err(refuse("permission denied"));
            }
            Err(_) => return Err(missing()),
        };
        if !metadata.is_file() {
            return Err(refuse("it is not a file"));
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(refuse("it has no execute permission"));
        }
        Ok(path)
    }

    /// The files that this command runs, as they are now: the program, and every argument that
    /// names a file with code (the script of an interpreter). Other files among the arguments do
    /// not count: a module may well write to them.
    pub(crate) fn fingerprints(&self) -> Vec<Fingerprint> {
        let program = self.program_path().ok();
        let args = self.args.iter().map(|it| self.working_directory.join(it));
        let scripts = args.filter(|it| is_code(it));
        program.into_iter().chain(scripts).filter_map(|it| Fingerprint::of(&it)).collect()
    }
}

/// Why the system does not run a file that is there, where that is about the file.
pub(crate) fn execute_reason(err: &io::Error) -> Option<&'static str> {
    match err.kind() {
        // The file was found before, so what is missing is what its first line names.
        io::ErrorKind::NotFound => Some("its interpreter does not exist"),
        io::ErrorKind::PermissionDenied => Some("permission denied"),
        _ if err.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            Some("it is neither a binary for this machine nor a script with an interpreter")
        }
        _ => None,
    }
}

/// Whether a file holds code, by its name or by its first two octets.
fn is_code(path: &Path) -> bool {
    // Only a file is opened: to open a FIFO is to wait.
    if !path.is_file() {
        return false;
    }
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let mut start = [0; 2];
    CODE_EXTENSIONS.contains(&extension)
        || fs::File::open(path).and_then(|mut it| it.read_exact(&mut start)).is_ok()
            && start == *b"#!"
}

/// A file on disk, as it was when the process was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    path: PathBuf,
    dev: u64,
    ino: u64,
    mtime_ns: (i64, i64),
    size: u64,
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            path: path.to_owned(),
            dev: metadata.dev(),
            ino: metadata.ino(),
            mtime_ns: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
        })
    }

    /// Whether another file is there now. A file that is gone is not replaced: an update may be on
    /// its way, and the old process is better than none.
    pub(crate) fn is_replaced(&self) -> bool {
        Self::of(&self.path).is_some_and(|now| now != *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str, working_directory: &Path) -> ModuleCommand {
        ModuleCommand {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            working_directory: working_directory.to_owned(),
            confine: None,
        }
    }

    #[track_caller]
    fn check_refusal(program: &str, directory: &Path, code: &str, contains: &str) {
        let err = command(program, directory).spawn().map(|it| it.id()).unwrap_err();
        assert_eq!(err.code(), code, "{err}");
        assert!(err.to_string().contains(contains), "{err}");
    }

    #[test]
    fn what_cannot_run_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str, text: &str, mode: u32| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        at("plain", "#!/bin/sh\n", 0o644);
        at("bare", "no shebang", 0o755);
        at("lost", "#!/no/such/interpreter\n", 0o755);
        let there = directory.path();
        check_refusal("./none", there, "module-missing", "none does not exist");
        check_refusal("exeunt-no-such-program", there, "module-missing", "does not exist");
        check_refusal("./plain", there, "module-not-executable", "no execute permission");
        check_refusal("./bare", there, "module-not-executable", "neither a binary");
        check_refusal("./lost", there, "module-not-executable", "interpreter does not exist");
        check_refusal("/", there, "module-not-executable", "not a file");
        check_refusal("sh", &there.join("none"), "module-io", "entering the working directory");
    }

    #[test]
    fn a_file_that_is_gone_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("module");
        fs::write(&path, "one").unwrap();
        let before = Fingerprint::of(&path).unwrap();
        assert!(!before.is_replaced());
        fs::remove_file(&path).unwrap();
        assert!(!before.is_replaced());
        fs::write(&path, "longer").unwrap();
        assert!(before.is_replaced());
    }
}
