//! The limits of this process: what is too little is said in the beginning, by its name, where it
//! would end the process in the middle of something.

use std::{
    io,
    sync::Mutex,
    thread::{self, Builder},
};

use rustix::process::{Resource, getrlimit};

use super::failure::Failure;

/// Address space that the plugins and their compiler need, in bytes. Each instance reserves 4 GiB
/// of it, and no memory.
const ADDRESS_SPACE: u64 = 24 << 30;
/// Threads besides two for each core.
const THREADS: usize = 8;

/// Checks the limits.
///
/// # Errors
///
/// A limit is too low.
pub(super) fn check() -> Result<(), Failure> {
    if let Some(limit) = getrlimit(Resource::As).current.filter(|limit| *limit < ADDRESS_SPACE) {
        let text = format!(
            "this process may use {limit} bytes of address space (the limit RLIMIT_AS; in a shell `ulimit -v`), and \
             needs {ADDRESS_SPACE}, most of it only reserved; raise the limit, or bound the memory with a control group"
        );
        return Err(Failure::failed("limit.address-space", text));
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let wanted = cores * 2 + THREADS;
    start_at_once(wanted).map_err(|error| {
        let text = format!(
            "this process cannot start {wanted} threads ({error}); raise the limit of processes (RLIMIT_NPROC; in a \
             shell `ulimit -u`), or that of the control group (pids.max)"
        );
        Failure::failed("limit.threads", text)
    })
}

/// Starts so many threads, which end when all have started.
fn start_at_once(wanted: usize) -> io::Result<()> {
    // They end when it is open, also where one cannot be started.
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let _closed = gate.lock();
        for _ in 0..wanted {
            Builder::new().stack_size(64 << 10).spawn_scoped(scope, || drop(gate.lock()))?;
        }
        Ok(())
    })
}
