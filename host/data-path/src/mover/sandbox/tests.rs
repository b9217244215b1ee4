//! Each thing that a mover must not do is tried in a process of its own, which enters the very same
//! sandbox: this test's program, started again.

#![expect(
    clippy::disallowed_methods,
    reason = "tests hold no clock of their own, and run what they test in the background"
)]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitStatus, Stdio},
};

use super::*;

/// The sandbox held, or did not: the process says which by how it ends.
const HELD: i32 = 0;
const BROKEN: i32 = 41;

const BOUNDS: Bounds = Bounds { memory: 256 << 20, descriptors: 16 };

/// Runs an attempt in the sandbox.
fn attempt(name: &str) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "mover::sandbox::tests::inside"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(name.as_bytes()).unwrap();
    child.wait().unwrap()
}

#[test]
#[ignore = "run by other tests, in a process of its own"]
fn inside() {
    let mut name = String::new();
    std::io::stdin().read_to_string(&mut name).unwrap();
    let parent = rustix::process::getppid().unwrap();
    // It stays open without `exec` closing it, as something that a careless shell leaves behind.
    let leaked = File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let leaked = std::os::fd::IntoRawFd::into_raw_fd(leaked);
    if name == "inherited" {
        close_inherited().unwrap();
    }
    let isolation = enter(BOUNDS).unwrap();
    assert!(isolation.is_full(), "this system offers only {isolation:?}");
    let held = match name.as_str() {
        "open" => refused_path(File::open("/etc/passwd").map(drop)),
        "create" => refused_path(File::create("/tmp/imprint-mover-was-here").map(drop)),
        "look" => refused_path(std::fs::metadata("/etc/passwd").map(drop)),
        "list" => refused_path(std::fs::read_dir("/").map(drop)),
        "pair" => std::os::unix::net::UnixStream::pair().is_err(),
        "connect" => std::net::TcpStream::connect("127.0.0.1:9").is_err(),
        "socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_err(),
        "spawn" => Command::new("/bin/true").status().is_err(),
        "execute" => Command::new("/bin/true").exec().raw_os_error().is_some(),
        "signal" => rustix::process::kill_process(parent, Signal::TERM).is_err(),
        "remove" => std::fs::remove_file("/tmp/imprint-mover-was-here").is_err(),
        "priority" => rustix::process::nice(1).is_err(),
        // These it may do.
        "threads" => {
            std::thread::spawn(|| vec![1u8; 1 << 20].len()).join().is_ok_and(|length| length == 1 << 20)
        }
        "time" => std::time::SystemTime::now().elapsed().is_ok(),
        // These are bounded.
        "memory" => Vec::<u8>::new().try_reserve_exact(1 << 30).is_err(),
        "descriptors" => {
            let held: Vec<_> = (0..64).map_while(|_| rustix::io::dup(std::io::stdin()).ok()).collect();
            !held.is_empty() && held.len() < 16
        }
        "inherited" => rustix::io::fcntl_getfd(borrow(leaked)).is_err(),
        other => panic!("no such attempt: {other}"),
    };
    std::process::exit(if held { HELD } else { BROKEN });
}

#[expect(unsafe_code, reason = "the test asks whether a number is a descriptor")]
fn borrow(number: RawFd) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: it is only asked for its flags, which fails for a number that is no descriptor.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(number) }
}

/// The C library tries some paths by itself: those are refused, and do not end the process.
fn refused_path(outcome: io::Result<()>) -> bool {
    outcome.is_err_and(|error| error.raw_os_error() == Some(libc::EACCES))
}

#[test]
fn granting_opens_no_files() {
    for name in ["open", "create", "look", "list"] {
        assert_eq!(attempt(name).code(), Some(HELD), "{name}");
    }
    assert!(!std::path::Path::new("/tmp/imprint-mover-was-here").exists());
}

#[test]
fn a_system_call_that_no_mover_needs_ends_it() {
    for name in ["pair", "connect", "socket", "spawn", "execute", "signal", "remove", "priority"] {
        assert_eq!(attempt(name).signal(), Some(libc::SIGSYS), "{name}");
    }
}

#[test]
fn a_mover_may_do_what_it_needs_within_its_limits() {
    for name in ["threads", "time", "memory", "descriptors", "inherited"] {
        assert_eq!(attempt(name).code(), Some(HELD), "{name}");
    }
}
