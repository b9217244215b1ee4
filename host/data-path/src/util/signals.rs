//! Signals that would end the process where an error can be reported.

use nix::sys::signal::{SigSet, Signal};

/// Makes a write beyond the process's limit for files (`RLIMIT_FSIZE`) an error instead of a signal
/// that ends the process. It holds for this thread and every thread that it starts from now on:
/// call it while there is no other.
pub fn report_file_limit() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    // It fails for invalid arguments only.
    let _ = signals.thread_block();
}
