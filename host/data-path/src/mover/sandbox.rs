//! The sandbox of a mover process.
//!
//! Nothing is opened, connected or executed any more: Landlock handles every right and grants none,
//! the seccomp filter ends the process at the first system call that moving bytes does not need,
//! the limits bound its memory and its descriptors, and no other process can trace it or make it
//! write a core.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal};
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use serde::{Deserialize, Serialize};

/// The newest set of Landlock rights that is requested; older kernels provide a part of it, and all
/// of them restrict file access.
const LANDLOCK: ABI = ABI::V6;

/// The parts of the sandbox that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Whether Landlock refuses every path (and, with newer kernels, TCP and signals).
    pub landlock: bool,
    /// Whether the seccomp filter is in force.
    pub seccomp: bool,
}

impl Isolation {
    /// Returns whether all of it is in force.
    pub fn is_full(self) -> bool {
        self.landlock && self.seccomp
    }
}

/// The limits of one mover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The number of bytes of address space beyond those of the program itself.
    pub(super) memory: u64,
    /// The number of descriptors, the three standard ones included.
    pub(super) descriptors: u64,
}

/// Enters the sandbox for good (`no_new_privs` comes with it): this thread, and every thread that
/// it starts from now on. Call it while there is no other.
///
/// A part that the kernel does not offer is missing in the answer; any other failure is an error.
pub(super) fn enter(bounds: Bounds) -> io::Result<Isolation> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let memory = own_address_space()?.saturating_add(bounds.memory);
    for (resource, limit) in
        [(Resource::Core, 0), (Resource::Nofile, bounds.descriptors), (Resource::As, memory)]
    {
        let hard = rustix::process::getrlimit(resource).maximum;
        let limit = Some(hard.map_or(limit, |hard| hard.min(limit)));
        rustix::process::setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    let landlock = restrict_paths().map_err(io::Error::other)?;
    Ok(Isolation { landlock, seccomp: filter_system_calls() })
}

/// Closes every descriptor but the standard ones: the parent of the host may have left some open
/// across `exec`. Call it first of all.
pub(super) fn close_inherited() -> io::Result<()> {
    let listing = fs::read_dir("/proc/self/fd")?;
    let open: Vec<RawFd> = listing
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > io::stderr().as_raw_fd())
        .collect();
    for number in open {
        // The one of the listing itself is closed already, as the system reports.
        if is_open(number) {
            #[expect(unsafe_code, reason = "a descriptor that is known by its number only")]
            // SAFETY: the descriptor is open, this process has a single thread, and nothing in it
            // owns a descriptor yet but the standard ones, which are left out above.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    Ok(())
}

fn is_open(number: RawFd) -> bool {
    fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok()
}

/// Returns the number of bytes of address space that the program takes before it does anything.
fn own_address_space() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    Ok(kib.ok_or_else(|| io::Error::other("/proc/self/status does not say the size of the process"))? * 1024)
}

fn restrict_paths() -> Result<bool, landlock::RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => true,
        RulesetStatus::NotEnforced => false,
    })
}

/// Installs the filters and returns whether they are in force.
fn filter_system_calls() -> bool {
    let Ok(target) = TargetArch::try_from(std::env::consts::ARCH) else { return false };
    // The strictest last: it does not permit adding another one.
    let filters = [
        filter(absent(), SeccompAction::Allow, errno(libc::ENOSYS), target),
        filter(refused(), SeccompAction::Allow, errno(libc::EACCES), target),
        filter(allowed(), SeccompAction::KillProcess, SeccompAction::Allow, target),
    ];
    filters
        .into_iter()
        .all(|filter| filter.is_some_and(|program| seccompiler::apply_filter(&program).is_ok()))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(u32::try_from(number).expect("error numbers are positive"))
}

fn filter(
    rules: Option<Rules>,
    otherwise: SeccompAction,
    matching: SeccompAction,
    target: TargetArch,
) -> Option<seccompiler::BpfProgram> {
    SeccompFilter::new(rules?, otherwise, matching, target).ok()?.try_into().ok()
}

/// Returns a rule on one argument of a call.
fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> Option<SeccompRule> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value).ok()?;
    SeccompRule::new(vec![condition]).ok()
}

fn one_of(index: u8, values: &[i64]) -> Option<Vec<SeccompRule>> {
    values
        .iter()
        .map(|value| argument(index, SeccompCmpOp::Eq, u64::try_from(*value).ok()? & 0xFFFF_FFFF))
        .collect()
}

/// Returns the rules for what moving bytes needs. Whatever is missing here ends the process.
fn allowed() -> Option<Rules> {
    let mut rules: Rules = CALLS.iter().chain(ARCH_CALLS).map(|call| (*call, Vec::new())).collect();
    // Another filter refuses them, with an error instead of the end of the process: the C library
    // may try them.
    rules.extend(REFUSED.iter().chain(ARCH_REFUSED).chain(ABSENT).map(|call| (*call, Vec::new())));
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let not_executable = || Some(vec![argument(2, SeccompCmpOp::MaskedEq(executable), 0)?]);
    rules.insert(libc::SYS_mmap, not_executable()?);
    rules.insert(libc::SYS_mprotect, not_executable()?);
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    rules.insert(libc::SYS_clone, vec![argument(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    // For aborting; no other process can be signalled.
    let own = u64::from(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs());
    rules.insert(libc::SYS_tgkill, vec![argument(0, SeccompCmpOp::Eq, own)?]);
    rules.insert(libc::SYS_ioctl, one_of(1, &[FICLONERANGE])?);
    rules.insert(libc::SYS_prctl, one_of(0, &[i64::from(libc::PR_SET_NAME)])?);
    rules.insert(libc::SYS_fcntl, one_of(1, &FCNTL.map(i64::from))?);
    Some(rules)
}

fn refused() -> Option<Rules> {
    Some(REFUSED.iter().chain(ARCH_REFUSED).map(|call| (*call, Vec::new())).collect())
}

fn absent() -> Option<Rules> {
    Some(ABSENT.iter().map(|call| (*call, Vec::new())).collect())
}

/// `_IOW(0x94, 13, struct file_clone_range)`, linux/fs.h.
const FICLONERANGE: i64 = 0x4020_940D;

/// Reading the flags of a descriptor, duplicating it, and choosing how it is cached.
const FCNTL: [i32; 5] = [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC];

const CALLS: &[i64] = &[
    // Bytes of descriptors that are open already.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_copy_file_range,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_ppoll,
    // The sockets that it was given.
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    // Memory.
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    // Threads.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_membarrier,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Time and randomness.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
];

/// Calls that the C library may try by itself; it continues without them.
const REFUSED: &[i64] =
    &[libc::SYS_openat, libc::SYS_newfstatat, libc::SYS_readlinkat, libc::SYS_faccessat, libc::SYS_prlimit64];

/// Calls for which the C library has another one that the filter can check: `clone` for starting a
/// thread, `fstat`.
const ABSENT: &[i64] = &[libc::SYS_clone3, libc::SYS_statx];

#[cfg(target_arch = "x86_64")]
const ARCH_CALLS: &[i64] = &[libc::SYS_poll, libc::SYS_dup2, libc::SYS_arch_prctl];
#[cfg(not(target_arch = "x86_64"))]
const ARCH_CALLS: &[i64] = &[];

#[cfg(target_arch = "x86_64")]
const ARCH_REFUSED: &[i64] =
    &[libc::SYS_open, libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink];
#[cfg(not(target_arch = "x86_64"))]
const ARCH_REFUSED: &[i64] = &[];

#[cfg(test)]
mod tests;
