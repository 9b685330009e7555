//! How a configured module is started: its command, its folders, what it is kept from.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use exeunt_dispatch::{ExitSettings, Filter};
use exeunt_host::confine::{Confinement, Trampoline, support};
use exeunt_host::{HostLimits, ModuleCommand};
use serde_json::Value as Json;

use crate::config::{Config, ExitConfig, ModuleConfig, file_of_word};
use crate::failure::Failure;
use crate::home::Home;
use crate::manage::ManageError;

/// The hidden command of this program that puts itself under a module's rules and becomes it.
pub const RUN_CONFINED: &str = "run-confined";

/// The program that loads libraries, beside this one.
const RUNNER: &str = "exeunt-runner";

/// Turns configured modules into commands.
#[derive(Clone, Debug)]
pub struct Launcher {
    home: Home,
    program: PathBuf,
}

impl Launcher {
    /// For the modules of a home.
    ///
    /// # Errors
    ///
    /// This program does not find itself.
    pub fn new(home: &Home) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|err| {
            Failure::from_error("module-missing", &err).hint("start exeunt by its full path")
        })?;
        Ok(Self { home: home.clone(), program })
    }

    /// What the dispatcher is to run. What is missing on the disk shows when it does.
    pub fn settings(&self, config: &Config, exit: &ExitConfig) -> ExitSettings {
        let filter = exit.filter.as_deref().map(Filter::parse).transpose();
        let filter = filter.expect("BUG: the configuration was checked");
        ExitSettings {
            name: exit.name.clone(),
            enabled: exit.enabled,
            command: self.command(config, exit),
            limits: HostLimits {
                event: exit.deadline,
                window_max: exit.window,
                ..HostLimits::default()
            },
            retry: exit.retry,
            start_at: exit.start_at,
            events: exit.events,
            filter,
            before_reply: exit.before_reply,
            settings: self.told_settings(exit),
        }
    }

    /// The command of a module.
    pub fn command(&self, config: &Config, exit: &ExitConfig) -> ModuleCommand {
        let (program, args) = match &exit.module {
            ModuleConfig::Shipped(name) => {
                (self.program.clone(), vec!["run-module".into(), name.into()])
            }
            ModuleConfig::Command(words) => {
                let mut words = self.words(exit, words).map(OsString::from);
                let program = words.next().expect("BUG: the configuration was checked");
                (program.into(), words.collect())
            }
            ModuleConfig::Library { path, class } => {
                let ca = OsString::from(&config.name);
                let options = [("--library", path.into()), ("--class", class.into()), ("--ca", ca)];
                let args = options.into_iter().flat_map(|(name, value)| [name.into(), value]);
                (self.runner(), args.collect())
            }
        };
        // Where it cannot be, the module says why in words of its own.
        let can_be =
            |it: &PathBuf| !self.home.path().starts_with(it) && !exit.writable.contains(it);
        let publishes = exit.publishes.clone().filter(can_be);
        let forbidden = self.forbidden(config);
        let files = std::iter::once(program.clone()).chain(args.iter().map(PathBuf::from));
        let files = files.chain(self.files_of_settings(exit));
        let readable = files.filter(|it| self.is_part_of_module(it, &forbidden)).collect();
        let confinement = Confinement {
            memory_bytes: exit.memory_bytes,
            open_files: exit.open_files,
            cpu_s: exit.cpu_s,
            writable: exit.writable.clone(),
            writable_if_there: publishes.into_iter().collect(),
            readable,
            // What `CRLFile` and `DeltaCRLFile` name.
            readable_folders: vec![self.home.crl_folder()],
            forbidden,
            sandbox: exit.sandbox,
            ..Confinement::default()
        };
        let trampoline = Trampoline {
            program: self.program.clone(),
            prefix: vec![RUN_CONFINED.into()],
            confinement,
        };
        ModuleCommand {
            program,
            args,
            env: Vec::new(),
            working_directory: exit.working_directory.clone(),
            confine: Some(trampoline),
        }
    }

    /// The settings as the module is told them: it runs elsewhere, and what names something in the
    /// home is made absolute for the modules of ours, which are known to mean paths.
    pub fn told_settings(&self, exit: &ExitConfig) -> serde_json::Map<String, Json> {
        let mut settings = exit.settings.clone();
        if let Some(path) = exit.publishes.as_ref().and_then(|it| it.to_str()) {
            settings.insert("directory".to_owned(), path.into());
        }
        if let Some(words) = program_setting(exit) {
            settings.insert("program".to_owned(), self.words(exit, &words).collect());
        }
        settings
    }

    /// A program and its arguments, those that name files of the home by their whole path.
    fn words(&self, exit: &ExitConfig, words: &[String]) -> impl Iterator<Item = String> {
        words.iter().enumerate().map(|(place, word)| {
            let home = self.home.path();
            // A program that is not installed yet will be looked for in the home as well, unless it is
            // where the module runs.
            let is_program_of_home =
                place == 0 && word.contains('/') && !exit.working_directory.join(word).is_file();
            let file = file_of_word(home, word, place == 0)
                .or_else(|| is_program_of_home.then(|| home.join(word)));
            file.and_then(|it| it.into_os_string().into_string().ok())
                .unwrap_or_else(|| word.clone())
        })
    }

    fn files_of_settings(&self, exit: &ExitConfig) -> Vec<PathBuf> {
        program_setting(exit)
            .map_or_else(Vec::new, |it| self.words(exit, &it).map(Into::into).collect())
    }

    /// Whether a module may read and execute a file because its command names it: one of the home
    /// that is where its name says, and not forbidden for itself.
    fn is_part_of_module(&self, path: &Path, forbidden: &[PathBuf]) -> bool {
        let home = self.home.path();
        let Ok(real_home) = home.canonicalize() else { return false };
        // What is not installed yet is looked at again when the module starts.
        let Ok(real) = path.canonicalize() else {
            return path.starts_with(home)
                && forbidden.iter().all(|it| it == home || !path.starts_with(it));
        };
        let rest = path.strip_prefix(home).or_else(|_| path.strip_prefix(&real_home));
        let real_of = |it: &PathBuf| it.canonicalize().unwrap_or_else(|_| it.clone());
        rest.is_ok_and(|it| real_home.join(it) == real)
            && real.is_file()
            && forbidden.iter().map(real_of).all(|it| it == real_home || !real.starts_with(it))
    }

    /// Makes the folders that the module was promised, and looks for what loads it.
    ///
    /// # Errors
    ///
    /// The module could not run. A server that starts says so and goes on: the others can.
    pub fn prepare(&self, exit: &ExitConfig) -> Result<(), ManageError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ManageError::Folder { path, source }
        };
        self.make(&exit.working_directory, true, 0o700).map_err(failed(&exit.working_directory))?;
        // A rule for a folder that is not there would be none, also when the first list is made. Why it
        // cannot be, whoever makes the list says.
        let _ = self.make(&self.home.crl_folder(), false, 0o700);
        // What is published is for others to read; whether they reach it, the folders above say. Where
        // the folder around one is missing, a disk is more likely not mounted.
        for path in &exit.writable {
            self.make(path, false, 0o777).map_err(failed(path))?;
        }
        if let Some(path) = &exit.publishes {
            // The module tries it again, and says why it cannot.
            let _ = self.make(path, false, 0o777);
        }
        let runner = self.runner();
        match exit.module {
            ModuleConfig::Library { .. } if !runner.is_file() => {
                Err(ManageError::RunnerMissing(runner))
            }
            _ => Ok(()),
        }
    }

    /// Makes a folder of the home. What lies elsewhere is the operator's.
    fn make(&self, path: &Path, recursive: bool, mode: u32) -> std::io::Result<()> {
        if !path.starts_with(self.home.path()) || path.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(recursive).mode(mode).create(path)
    }

    /// The program that loads libraries.
    pub fn runner(&self) -> PathBuf {
        self.program.with_file_name(RUNNER)
    }

    /// What no module reads or writes: the home, but for what it is granted there. What else is named
    /// here is not granted at all: secrets, the store, the configuration, the way in.
    fn forbidden(&self, config: &Config) -> Vec<PathBuf> {
        let home = self.home.path();
        let store = self.home.store_path();
        let beside = |suffix: &str| {
            let mut name = store.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        let mut paths = vec![
            home.to_owned(),
            home.join("secrets"),
            self.home.config_path(),
            self.home.socket_path(),
            home.join("init.lock"),
            store.clone(),
            beside("-wal"),
            beside("-shm"),
            beside("-journal"),
            beside(".lock"),
        ];
        // A certificate is no secret, and where it lies elsewhere others may read it.
        let certificates = config.renewals.iter().map(|it| &it.certificate);
        let certificates = [&config.certificate].into_iter().chain(certificates);
        paths.extend(certificates.filter(|it| it.starts_with(home)).cloned());
        let keys = config.renewals.iter().filter_map(|it| it.key.as_ref());
        let keys = [&config.key].into_iter().chain(keys);
        paths.extend(keys.flat_map(|it| it.secret_files()).map(Path::to_owned));
        paths.extend(config.token_files.values().cloned());
        paths.extend(config.tls_keys().cloned());
        // What lies in a forbidden folder is forbidden with it.
        let folder = home.join("secrets");
        paths.retain(|it| *it == folder || !it.starts_with(&folder));
        paths
    }
}

/// The program that the command module is to run, if that is what its settings say.
fn program_setting(exit: &ExitConfig) -> Option<Vec<String>> {
    let ModuleConfig::Shipped(name) = &exit.module else { return None };
    let words = exit.settings.get("program").filter(|_| name == "command")?.as_array()?;
    words.iter().map(|it| it.as_str().map(str::to_owned)).collect()
}

/// What keeps a module from the rest of the machine, in words.
pub fn isolation(exit: &ExitConfig) -> String {
    if !exit.sandbox {
        return "limits; no sandbox, by its configuration".to_owned();
    }
    let support = support();
    match (support.landlock, support.seccomp) {
        (Some(_), true) => "files, system calls, limits",
        (Some(_), false) => "files, limits; this system refuses no system calls",
        (None, true) => "system calls, limits; this system has no Landlock to close files",
        (None, false) => "limits; this system has neither Landlock nor seccomp",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn command(home: &Path, table: &str) -> (ModuleCommand, Launcher) {
        let minimal = include_str!("config/samples/good/minimal.toml");
        let text = format!("{minimal}\n[[exit]]\nname = \"hook\"\n{table}\n");
        let config = Config::from_toml(&text, home).unwrap();
        let launcher = Launcher::new(&Home::at(home).unwrap()).unwrap();
        let exit = config.exits.last().unwrap();
        (launcher.command(&config, exit), launcher)
    }

    #[test]
    fn words_that_name_files_of_the_home_are_found_and_granted_for_reading() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().canonicalize().unwrap();
        for path in ["hooks/hook.py", "secrets/key", "exeunt.toml"] {
            fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
            fs::write(home.join(path), "").unwrap();
        }
        std::os::unix::fs::symlink("../secrets/key", home.join("hooks/link")).unwrap();
        let words = r#"["hooks/later", "hooks/hook.py", "secrets/key", "exeunt.toml", "hooks/link",
                        "word", "out/none", "/etc/passwd"]"#;
        let (command, _) = command(&home, &format!("command = {words}"));
        assert_eq!(command.working_directory, home.join("modules/hook"));
        assert_eq!(command.program, home.join("hooks/later"));
        assert_eq!(command.args[0], home.join("hooks/hook.py"));
        assert_eq!(command.args[4..], ["word", "out/none", "/etc/passwd"]);
        let rules = command.confine.unwrap().confinement;
        assert_eq!(rules.readable, [home.join("hooks/later"), home.join("hooks/hook.py")]);
        assert_eq!(rules.readable_folders, [home.join("crls")]);
        assert!(rules.forbidden.contains(&home) && rules.writable.is_empty(), "{rules:?}");
    }

    #[test]
    fn a_program_without_a_slash_is_no_file_of_the_home() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("sh"), "").unwrap();
        let (command, _) = command(folder.path(), "command = [\"sh\"]");
        assert_eq!(command.program, Path::new("sh"));
    }

    #[test]
    fn the_file_module_is_told_where_its_folder_is_and_may_write_there() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path();
        let table = "module = \"file\"\nworking_directory = \"modules/x\"\n\
                     [exit.settings]\ndirectory = \"out\"";
        let (command, launcher) = command(home, table);
        // Also where it comes later.
        let rules = command.confine.unwrap().confinement;
        assert_eq!((rules.writable, rules.writable_if_there), (Vec::new(), vec![home.join("out")]));
        let minimal = include_str!("config/samples/good/minimal.toml");
        let text = format!("{minimal}\n[[exit]]\nname = \"hook\"\n{table}\n");
        let config = Config::from_toml(&text, home).unwrap();
        let told = launcher.told_settings(config.exits.last().unwrap());
        assert_eq!(told["directory"], home.join("out").to_str().unwrap());
    }

    #[test]
    fn the_folder_of_the_lists_is_there_before_a_module_is_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let minimal = include_str!("config/samples/good/minimal.toml");
        let text = format!("{minimal}\n[[exit]]\nname = \"hook\"\ncommand = [\"sh\"]\n");
        let config = Config::from_toml(&text, folder.path()).unwrap();
        let launcher = Launcher::new(&Home::at(folder.path()).unwrap()).unwrap();
        let exit = config.exits.last().unwrap();
        let lists = folder.path().join("crls");
        launcher.prepare(exit).unwrap();
        assert_eq!(fs::metadata(&lists).unwrap().permissions().mode() & 0o777, 0o700);
        // With lists in it, and where there can be none: no reason to keep a module from running.
        fs::write(lists.join("1-0-0-base.crl"), "list").unwrap();
        launcher.prepare(exit).unwrap();
        assert_eq!(fs::read_to_string(lists.join("1-0-0-base.crl")).unwrap(), "list");
        fs::remove_dir_all(&lists).unwrap();
        fs::write(&lists, "").unwrap();
        launcher.prepare(exit).unwrap();
    }
}
