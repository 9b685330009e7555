//! The system calls that no module needs: to look into other processes, to change the system, or to
//! reach files past the rules. A list of what is refused, not of what is allowed: modules come in
//! any language, and what their runtimes call changes with every version.

use std::collections::BTreeMap;

use nix::libc::{self, c_long};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule,
};

/// Answered with EPERM, whatever the arguments.
const REFUSED: [c_long; 46] = [
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    // Mounts, roots and name spaces: another view of the same files.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    // Keys that the kernel keeps.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // The system itself.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    // Large parts of the kernel that have often been a way in.
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Bit in the number of a call of x86-64's second interface, x32 (`__X32_SYSCALL_BIT` in
/// asm/unistd.h). The kernel says nothing of it in the architecture.
#[cfg(target_arch = "x86_64")]
const X32_BIT: i64 = 0x4000_0000;

/// Calls that have another number there: ptrace, `process_vm_readv` and `process_vm_writev`,
/// `kexec_load` (`arch/x86/entry/syscalls/syscall_64.tbl`).
#[cfg(target_arch = "x86_64")]
const X32_OWN: [i64; 4] = [521, 539, 540, 528];

/// Refuses the calls from now on, for this process and what it becomes and starts.
pub(super) fn refuse() -> Result<(), Error> {
    let program = refused()?;
    // clone3 hides its flags in memory, where no filter looks; whoever does not have it uses clone.
    let absent = compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)?;
    seccompiler::apply_filter(&absent)?;
    seccompiler::apply_filter(&program)
}

fn refused() -> Result<BpfProgram, Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.into_iter().map(|it| (it, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    {
        let numbers: Vec<i64> = rules.keys().copied().chain(X32_OWN).collect();
        rules.extend(numbers.into_iter().map(|it| (it | X32_BIT, Vec::new())));
    }
    // A name space of users gives powers over the other name spaces.
    let user_space = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    let with = |argument, operator, value| -> Result<SeccompRule, BackendError> {
        let width = SeccompCmpArgLen::Dword;
        SeccompRule::new(vec![SeccompCondition::new(argument, width, operator, value)?])
    };
    rules.insert(libc::SYS_clone, vec![with(0, SeccompCmpOp::MaskedEq(user_space), user_space)?]);
    // Typing in the name of whoever sits at the terminal that the server was started from.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX];
    let typing = typing.into_iter().map(|it| with(1, SeccompCmpOp::Eq, it));
    rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);
    compile(rules, libc::EPERM)
}

fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<BpfProgram, Error> {
    let answer = SeccompAction::Errno(errno.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, answer, machine)?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_a_filter_that_the_kernel_takes() {
        let program = refused().unwrap();
        // BPF_MAXINSNS in linux/bpf_common.h.
        assert!(program.len() < 4096, "{} instructions", program.len());
    }
}
