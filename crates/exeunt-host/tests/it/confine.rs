//! Modules that try to leave their confinement, and modules that work in it.
//!
//! What only Landlock or seccomp can refuse is not looked at on a system that has neither.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions},
    os::{
        fd::AsRawFd,
        unix::fs::{PermissionsExt, symlink},
    },
    path::PathBuf,
    process,
    time::Duration,
};

use exeunt_host::{
    HostLimits,
    confine::{Confinement, Trampoline, is_confined, support},
};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::{Stage, check_alive, check_fault, events, letters};

/// What the modules here have in common: things to try, each of them one word in the description.
const TRY: &str = r#"
import ctypes, errno, resource, socket, tempfile, threading

libc = ctypes.CDLL(None, use_errno=True)

def system(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)

def attempt(what):
    try:
        what()
        return "done"
    except OSError as err:
        return errno.errorcode[err.errno]

def describe(call):
    answer(call, " ".join(attempt(it) for it in TRIES))
"#;

/// A house with a CA in it, and a module beside it that is not to see the secret.
struct House {
    stage: Stage,
}

impl House {
    fn new(own: &str) -> Self {
        let mut stage = Stage::new(&format!("{TRY}\n{own}"));
        for folder in ["ca/secrets", "ca/public", "work", "other"] {
            fs::create_dir_all(stage.path(folder)).unwrap();
        }
        fs::write(stage.path("ca/secrets/key"), "the secret").unwrap();
        let confinement = Confinement {
            writable: vec![stage.path("ca/public")],
            forbidden: vec![stage.path("ca")],
            ..Confinement::default()
        };
        stage.command.working_directory = stage.path("work");
        stage.command.confine = Some(Trampoline {
            program: env!("CARGO_BIN_EXE_exeunt-confine").into(),
            prefix: Vec::new(),
            confinement,
        });
        Self { stage }
    }

    fn with(mut self, change: impl FnOnce(&mut Confinement)) -> Self {
        change(&mut self.stage.command.confine.as_mut().unwrap().confinement);
        self
    }

    /// What the module says of itself. Runs it to its end.
    #[track_caller]
    fn description(&self) -> String {
        let process = self.stage.start();
        let description = process.description().to_owned();
        process.stop();
        description
    }

    #[track_caller]
    fn check_tries(&self, expected: &str) {
        assert_eq!(self.description(), expected);
    }

    #[track_caller]
    fn check_refusal(&self, code: &str, text: &str) {
        let err = self.stage.try_start().map(|it| it.pid()).unwrap_err();
        assert_eq!(err.code(), code, "{err}");
        assert!(err.to_string().contains(text), "{err}");
    }
}

fn has_landlock(abi: u32) -> bool {
    support().landlock.is_some_and(|it| abi <= it)
}

/// Ways to a secret; the first of them is how a module that may would do it.
const WAYS: &str = r#"
CA = os.path.realpath("../ca")
KEY = CA + "/secrets/key"
PARENT = f"/proc/{os.getppid()}"
if not os.path.lexists("link"): os.symlink(KEY, "link")
TRIES = [
    lambda: open(KEY).read(),
    lambda: open("link").read(),
    lambda: open("/proc/self/root" + KEY).read(),
    lambda: open(KEY, "a"),
    lambda: open(CA + "/secrets/new", "w"),
    lambda: os.link(KEY, "hard"),
    lambda: os.rename(CA + "/secrets", "moved"),
    lambda: os.rename(CA, "moved"),
    lambda: os.unlink(KEY),
    lambda: open(PARENT + "/root" + KEY).read(),
    lambda: os.readlink(PARENT + "/cwd"),
    lambda: os.readlink(PARENT + "/fd/0"),
    lambda: open(PARENT + "/environ").read(),
    lambda: open(PARENT + "/mem").read(),
]
"#;

#[test]
fn no_way_leads_to_a_secret() {
    if !has_landlock(2) {
        return;
    }
    let house = House::new(WAYS);
    let denied = "EACCES EACCES EACCES EACCES EACCES";
    let description = house.description();
    let moves = description.strip_prefix(denied).unwrap_or_else(|| panic!("{description}"));
    // What the kernel answers to a forbidden link or rename depends on which of its rules it looks
    // at first; what matters is that nothing is done.
    assert!(!moves.contains("done"), "{description}");
    assert_eq!(fs::read_to_string(house.stage.path("ca/secrets/key")).unwrap(), "the secret");
    // The first five are possible for a module that is not confined: the test does test something.
    let mut house = House::new(WAYS);
    house.stage.command.confine = None;
    let description = house.description();
    assert!(description.starts_with("done done done done done"), "{description}");
}

#[test]
fn a_folder_to_read_can_be_read_and_nothing_else() {
    if !has_landlock(2) {
        return;
    }
    let own = "LISTS = os.path.realpath('../ca/crls')\n\
         TRIES = [lambda: open(LISTS + '/1.crl').read(),\n  \
           lambda: open(LISTS + '/deep/1.crl').read(),\n  \
           lambda: os.listdir(LISTS),\n  \
           lambda: open(LISTS + '/1.crl', 'a'),\n  \
           lambda: open(LISTS + '/new', 'w'),\n  \
           lambda: os.unlink(LISTS + '/1.crl'),\n  \
           lambda: subprocess.run([LISTS + '/1.crl']),\n  \
           lambda: open(LISTS + '/link').read(),\n  \
           lambda: open('../ca/ca.db').read()]\n\
         def notify(call):\n  \
           answer(call, {'outcome': 'park', 'reason': attempt(lambda: open(LISTS + '/2.crl').read())})";
    let house = |folders: &[&str]| {
        let house = House::new(own);
        fs::create_dir_all(house.stage.path("ca/crls/deep")).unwrap();
        for (name, mode) in [("crls/1.crl", 0o755), ("crls/deep/1.crl", 0o644), ("ca.db", 0o644)] {
            let path = house.stage.path(&format!("ca/{name}"));
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        symlink("../ca.db", house.stage.path("ca/crls/link")).unwrap();
        let folders = folders.iter().map(|it| house.stage.path(it)).collect();
        house.with(|it| it.readable_folders = folders)
    };
    let lists = house(&["ca/crls", "ca/none"]);
    lists.check_tries("done done done EACCES EACCES EACCES EACCES EACCES EACCES");
    // A list that is made while the module runs.
    let mut process = lists.stage.start();
    fs::write(lists.stage.path("ca/crls/2.crl"), "x").unwrap();
    let outcome = format!("{:?}", process.deliver(&events([1])).outcomes[0]);
    assert!(outcome.contains("done"), "{outcome}");
    process.stop();
    // Without the grant there is nothing to read.
    house(&[]).check_tries("EACCES EACCES done EACCES EACCES EACCES EACCES EACCES EACCES");
    house(&["ca"]).check_refusal("module-confinement", "is to be readable, but forbidden");
}

#[test]
fn other_processes_are_out_of_reach() {
    if !has_landlock(6) || !support().seccomp {
        return;
    }
    House::new(
        "PTRACE_ATTACH = 16\n\
         TRIES = [lambda: system('ptrace', PTRACE_ATTACH, os.getppid(), 0, 0),\n  \
           lambda: system('process_vm_readv', os.getppid(), 0, 0, 0, 0, 0),\n  \
           lambda: os.kill(os.getppid(), 0),\n  \
           lambda: os.kill(os.getpid(), 0)]",
    )
    .check_tries("EPERM EPERM EPERM done");
}

#[test]
fn calls_that_change_the_system_are_refused() {
    if !support().seccomp {
        return;
    }
    House::new(
        "CLONE_NEWUSER, CLONE_NEWNS, TIOCSTI = 0x10000000, 0x20000, 0x5412\n\
         TRIES = [lambda: system('unshare', CLONE_NEWUSER), lambda: system('unshare', CLONE_NEWNS),\n  \
           lambda: system('mount', b'/', b'/', None, 0, None), lambda: system('setns', 0, 0),\n  \
           lambda: system('ioctl', 0, TIOCSTI, b'x'), lambda: system('chroot', b'/')]",
    )
    .check_tries("EPERM EPERM EPERM EPERM EPERM EPERM");
}

#[test]
fn a_module_has_no_powers_over_the_system() {
    let house = House::new(
        "STATUS = dict(line.split(':\\t', 1) for line in open('/proc/self/status') if ':\\t' in line)\n\
         def describe(call): answer(call, STATUS['NoNewPrivs'].strip() + ' ' + STATUS['CapEff'].strip())",
    );
    let description = house.description();
    let (no_new_privileges, capabilities) = description.split_once(' ').unwrap();
    assert_eq!(no_new_privileges, "1");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE and NET_RAW are
    // bits 0, 1, 3, 4, 5, 6, 7, 10 and 13 (capabilities(7), linux/capability.h).
    let capabilities = u64::from_str_radix(capabilities, 16).unwrap();
    assert_eq!(capabilities & !0b10_0100_1111_1011, 0, "{capabilities:b}");
}

#[test]
fn a_module_inherits_three_descriptors() {
    // As a script does that has a lock open, or a supervisor.
    let leak = File::open("/dev/null").unwrap();
    fcntl_setfd(&leak, FdFlags::empty()).unwrap();
    let own = "OPEN = sorted(int(it) for it in os.listdir('/proc/self/fd'))[:-1]\n\
               def describe(call): answer(call, str(OPEN))";
    // The listing itself and the module's own file are the last ones.
    let description = House::new(own).description();
    assert!(description.starts_with("[0, 1, 2"), "{description}");
    let others = description.trim_end_matches(']').split(", ").skip(3);
    assert!(others.clone().count() <= 1, "{description}");
    assert!(2 < leak.as_raw_fd());
    assert!(others.clone().all(|it| it != leak.as_raw_fd().to_string()), "{description}");
}

#[test]
fn the_environment_of_a_confined_module_is_what_is_documented() {
    let mut house = House::new(
        "def describe(call): answer(call, ' '.join(sorted(set(os.environ) - {'LC_CTYPE'})))",
    );
    house.stage.command.env = vec![("OWN".to_owned(), "1".to_owned())];
    let description = house.description();
    let names: Vec<&str> =
        description.split(' ').filter(|it| !["LANG", "TZ"].contains(it)).collect();
    assert_eq!(names, ["OWN", "PATH", "TMPDIR"]);
}

#[test]
fn a_module_works_in_its_confinement() {
    // Twice: what it has made is there when it comes again.
    let house = House::new(
        "def listen():\n  \
           with socket.create_server(('127.0.0.1', 0)) as door:\n    \
             socket.create_connection(door.getsockname(), 5).close()\n\
         def work():\n  \
           thread = threading.Thread(target=lambda: open('thread', 'w').close())\n  \
           thread.start()\n  \
           thread.join()\n  \
           os.rename('thread', 'there')\n\
         def temporary():\n  \
           with tempfile.NamedTemporaryFile() as it:\n    \
             assert it.name.startswith(os.getcwd() + '/tmp/'), it.name\n\
         TRIES = [listen, work, temporary,\n  \
           lambda: open('../ca/public/crl', 'w').write('x'),\n  \
           lambda: open('../other/file', 'w').write('x'),\n  \
           lambda: subprocess.run(['sh', '-c', 'ls / && echo x > shell'], check=True, stdout=2),\n  \
           lambda: os.mkdir('folder' + str(os.getpid())),\n  \
           lambda: open('/dev/null', 'w').write('x'),\n  \
           lambda: os.listdir('/')]",
    );
    for _ in 0..2 {
        house.check_tries("done done done done done done done done done");
    }
    let mut process = house.stage.start();
    check_alive(&process.deliver(&events(1..=3)), "aaa");
    assert!(house.stage.path("work/shell").exists());
    process.stop();
}

#[test]
fn a_shell_script_is_a_module_too() {
    let mut house = House::new("");
    let script = house.stage.path("module.sh");
    let text = "#!/bin/sh\n\
        read hello; echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocol\":1,\"event_mask\":1,\"window\":1}}'\n\
        read describe; echo \"{\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":2,\\\"result\\\":\\\"$(pwd)\\\"}\"\n\
        read shutdown\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    house.stage.command.program = script;
    house.stage.command.args = Vec::new();
    house.stage.limits.shutdown = Duration::from_secs(1);
    let expected = house.stage.path("work").canonicalize().unwrap();
    assert_eq!(PathBuf::from(house.description()), expected);
}

#[test]
fn what_is_made_later_above_a_forbidden_path_is_closed_until_the_next_start() {
    if !has_landlock(1) {
        return;
    }
    let house = House::new(
        "def notify(call):\n  answer(call, {'outcome': 'park', 'reason': attempt(lambda: open('../late').read())})",
    );
    let reason = |process: &mut exeunt_host::ModuleProcess| {
        format!("{:?}", process.deliver(&events([1])).outcomes[0])
    };
    // Otherwise the folders named TRIES would be missing.
    let stage = Stage { ..house.stage };
    let own = "TRIES = []\n";
    let script = stage.path("module.py");
    let text =
        fs::read_to_string(&script).unwrap().replace("def notify", &format!("{own}def notify"));
    fs::write(&script, text).unwrap();
    let mut process = stage.start();
    fs::write(stage.path("late"), "x").unwrap();
    let first = reason(&mut process);
    assert!(first.contains("EACCES"), "{first}");
    process.stop();
    let mut process = stage.start();
    let second = reason(&mut process);
    assert!(second.contains("done"), "{second}");
    process.stop();
}

#[test]
fn a_folder_of_the_rules_that_comes_later_or_anew_is_open_to_the_next_process() {
    if !has_landlock(2) {
        return;
    }
    // In Python's words, as a module would hand them on.
    let own = "TRIES = []\n\
         def write():\n  \
           try: open('../ca/late/file', 'w').close()\n  \
           except OSError as err: return str(err)\n\
         def notify(call):\n  \
           why = write()\n  \
           answer(call, {'outcome': 'retry', 'reason': why} if why else {'outcome': 'accept'})";
    let house = House::new(own);
    let late = house.stage.path("ca/late");
    let house = house.with(|it| it.writable_if_there = vec![late.clone()]);
    let mut process = house.stage.start();
    let tell = |process: &mut exeunt_host::ModuleProcess| {
        format!("{:?}", process.deliver(&events([1])).outcomes[0])
    };
    // It is not there, and that is all.
    let missing = tell(&mut process);
    assert!(missing.contains("No such file") && !missing.contains("confined"), "{missing}");
    assert_eq!(process.moved_folder(), None);
    for _ in 0..2 {
        // It comes, or another one comes in its place.
        fs::create_dir(&late).unwrap();
        let closed = tell(&mut process);
        for words in ["Permission denied", "this module is confined", "late", "`writable`"] {
            assert!(closed.contains(words), "{closed}");
        }
        assert_eq!(process.moved_folder(), Some(late.as_path()));
        process.stop();
        process = house.stage.start();
        assert_eq!(process.moved_folder(), None);
        let open = tell(&mut process);
        assert!(open.contains("Accept"), "{open}");
        fs::remove_dir_all(&late).unwrap();
        assert_eq!(process.moved_folder(), None);
    }
    process.stop();
}

#[test]
fn memory_is_limited_and_only_the_hog_ends() {
    let own = "TRIES = []\n\
         def notify(call):\n  \
           if seq(call) == 2: hog = bytearray(1 << 30)\n  \
           accept(call)";
    let house = House::new(own).with(|it| it.memory_bytes = 256 << 20);
    let mut hog = house.stage.start();
    let mut other = house.stage.start();
    let report = hog.deliver(&events(1..=3));
    check_fault(
        &hog,
        &report,
        "a--",
        "module-exited",
        "module ended (exit status: 1), last words: MemoryError",
    );
    check_alive(&other.deliver(&events([1, 3])), "aa");
    other.stop();
}

#[test]
fn memory_that_is_only_reserved_does_not_count() {
    // As the runtimes of Go, Java and Node do: addresses first, memory later.
    let own = "import mmap\n\
         TRIES = [lambda: mmap.mmap(-1, 8 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=0)]";
    House::new(own).with(|it| it.memory_bytes = 256 << 20).check_tries("done");
}

#[test]
fn open_files_and_other_numbers_are_limited() {
    let own = "LIMITS = [resource.getrlimit(it) for it in (resource.RLIMIT_DATA, resource.RLIMIT_NOFILE,\n  \
             resource.RLIMIT_CPU, resource.RLIMIT_CORE)]\n\
         KEPT = []\n\
         def files(): KEPT.extend(open('/dev/null') for _ in range(100))\n\
         def describe(call): answer(call, attempt(files) + ' ' + str(LIMITS))";
    House::new(own)
        .with(|it| it.open_files = 40)
        .check_tries("EMFILE [(1073741824, 1073741824), (40, 40), (3600, 3605), (0, 0)]");
    // Root could raise them again, were it not for the sandbox.
    if support().seccomp {
        let own = "import resource\n\
             def higher():\n  \
               try: resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))\n  \
               except ValueError: raise OSError(errno.EPERM, 'no')\n\
             TRIES = [higher]";
        House::new(own).with(|it| it.open_files = 40).check_tries("EPERM");
    }
}

#[test]
fn a_spinner_ends_when_its_processor_time_is_used_up() {
    let own = "TRIES = []\n\
         def notify(call):\n  while True: pass";
    let house = House::new(own).with(|it| it.cpu_s = 1);
    let mut process = house.stage.start();
    let report = process.deliver(&events([1]));
    check_fault(&process, &report, "-", "module-exited", "module ended (signal: 24 (SIGXCPU)");
}

#[test]
fn without_the_sandbox_the_numbers_remain() {
    let house = House::new(
        "TRIES = [lambda: open('../ca/secrets/key').read(),\n  \
           lambda: [open('/dev/null') for _ in range(100)].clear()]",
    );
    let house = house.with(|it| {
        it.sandbox = false;
        it.open_files = 40;
    });
    // A list in the making keeps its files open.
    house.check_tries("done EMFILE");
}

#[test]
fn a_confined_process_is_known_as_one() {
    if !support().seccomp {
        return;
    }
    let house = House::new("TRIES = []");
    let process = house.stage.start();
    assert!(is_confined(process.pid()).unwrap());
    process.stop();
    let loose = Stage::new("").start();
    assert!(!is_confined(loose.pid()).unwrap());
    assert!(!is_confined(process::id()).unwrap());
    is_confined(u32::MAX).unwrap_err();
}

#[test]
fn what_cannot_run_says_why_through_the_trampoline_too() {
    let check = |program: &str, code: &str, text: &str| {
        let mut house = House::new("");
        for (name, text, mode) in [
            ("plain", "#!/bin/sh\n", 0o644),
            ("bare", "no shebang", 0o755),
            ("lost", "#!/no/such/interpreter\n", 0o755),
            ("ca/module", "#!/bin/sh\n", 0o755),
        ] {
            fs::write(house.stage.path(name), text).unwrap();
            fs::set_permissions(house.stage.path(name), Permissions::from_mode(mode)).unwrap();
        }
        house.stage.command.program = program.into();
        house.check_refusal(code, text);
    };
    check("../none", "module-missing", "none does not exist");
    check("../plain", "module-not-executable", "no execute permission");
    check("../bare", "module-not-executable", "bare cannot be executed: it is neither a binary");
    check("../lost", "module-not-executable", "interpreter does not exist");
    if has_landlock(1) {
        check("../ca/module", "module-not-executable", "permission denied");
    }
}

#[test]
fn rules_that_cannot_be_are_told() {
    let house = House::new("").with(|it| it.writable.push("/".into()));
    house.check_refusal("module-confinement", "/: is to be writable, but something forbidden");
    let house = House::new("").with(|it| it.writable.push("none".into()));
    house.check_refusal("module-confinement", "none: does not exist");
    let mut house = House::new("");
    house.stage.command.working_directory = house.stage.path("ca");
    house.check_refusal("module-confinement", "is the working directory, but forbidden");
    let mut house = House::new("");
    house.stage.command.confine.as_mut().unwrap().prefix = vec![OsString::from("run-module")];
    house.check_refusal("module-confinement", "unexpected arguments at run-module");
    let mut house = House::new("");
    house.stage.command.confine.as_mut().unwrap().program = "/no/trampoline".into();
    house.check_refusal("module-confinement", "/no/trampoline is not started");
}

#[test]
fn a_deadline_holds_in_confinement() {
    let mut house = House::new("TRIES = []\ndef notify(call): time.sleep(3600)");
    house.stage.limits = HostLimits { event: Duration::from_millis(300), ..house.stage.limits };
    let mut process = house.stage.start();
    let report = process.deliver(&events([1]));
    assert_eq!(letters(&report), "-");
    check_fault(&process, &report, "-", "module-deadline", "module did not answer within");
}
